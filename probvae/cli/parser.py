"""The commands and their options. The arguments of a model file are options of `train` and `sweep`.

Nothing here imports JAX unless there is a model file, so that `probvae --help` takes a moment.
"""

import argparse
import difflib
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import probvae
from probvae.cli.argument_types import (
    non_negative_integer,
    positive_integer,
    positive_number,
    seed,
)
from probvae.cli.device_options import PLACE, add_device, add_processes, check_processes
from probvae.cli.table_options import add_table_options
from probvae.runs.settings import BATCH_SIZE, BINARIZE, EPOCHS, KEEP, Settings

if TYPE_CHECKING:  # at run time only where there is a model file, since it needs JAX
    from probvae.runs import ModelFile

BUDGETS = ("quick", "usual", "thorough")
DEFAULTS = Settings._field_defaults
PATHS = (
    "model",
    "data",
    "data_dir",
    "out",
    "resume",
    "run_folder",
    "run_folders",
    "name",
    "prepare",
    "variants",
)
MODEL_COMMANDS = ("train", "sweep")  # these have the arguments of a model file as options
MODEL = "a file with one function that returns a VAE"
OVER = (
    "expected NAME=X,X,... with each number once: a weight of the model's objective, such as "
    "beta=0.5,1,2, or learning_rate=1e-3,3e-3"
)


class ShortParser(argparse.ArgumentParser):
    """A parser whose errors have one line of usage, so that the message stays in view."""

    def error(self, message: str) -> NoReturn:
        """End the program with code 2, one line of usage and the message."""
        usage = f"usage: {self.prog} ... (see {self.prog} --help)"
        self.exit(2, f"{usage}\n{self.prog}: error: {message}\n")


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Return the parsed arguments.

    Raises:
        SystemExit: 2 for unknown or contradictory arguments. The message names similar options.
        FileNotFoundError, ModelFileError: for a model file that cannot be loaded.
    """
    dashed = [write_dashes(word) for word in argv]
    if any("\0" in word for word in argv):
        _make_parser([], None)[0].error("an argument contains a null byte, which no file name may have")
    parser, subparsers = _make_parser(dashed[:1], _find_model(dashed))
    if dashed and not dashed[0].startswith("-") and dashed[0] not in COMMANDS:
        similar = difflib.get_close_matches(dashed[0], COMMANDS, n=1)
        hint = f"did you mean {similar[0]}?" if similar else f"commands: {', '.join(COMMANDS)}"
        parser.error(f"unknown command: {argv[0]}; {hint}")
    arguments, unknown = parser.parse_known_args(dashed)
    subparser = subparsers[arguments.command]
    if unknown:
        _report_unknown(subparser, unknown)
    _check_paths(subparser, arguments)
    if arguments.command == "train":
        _check_train(subparser, arguments)
    if arguments.command == "sweep":
        _check_sweep(subparser, arguments)
    arguments.argv = list(argv)
    return arguments


def write_dashes(word: str) -> str:
    """Return a word with dashes in an option's name: --latent_dim becomes --latent-dim."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


def _find_model(argv: list[str]) -> "ModelFile | None":
    if not argv or argv[0] not in MODEL_COMMANDS:
        return None
    path = next((word for word in argv[1:] if word.endswith(".py")), None)
    if path is None:
        return None
    from probvae.runs import load_model_file

    return load_model_file(path)


def _report_unknown(parser: argparse.ArgumentParser, unknown: list[str]) -> None:
    known = [name for action in parser._actions for name in action.option_strings]
    word = next((w for w in unknown if w.startswith("-")), unknown[0])
    similar = difflib.get_close_matches(word.partition("=")[0], known, n=1, cutoff=0.5)
    hint = f"did you mean {similar[0]}?" if similar else f"options: {', '.join(known)}"
    parser.error(f"unknown: {word}; {hint}")


def _check_paths(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    # `--data "$DATA"` with an unset variable would otherwise mean the current folder.
    for action in parser._actions:
        value = getattr(arguments, action.dest, None) if action.dest in PATHS else None
        if "" in (value if isinstance(value, list) else [value]):
            parser.error(
                f"{_name(action)} expects a name or a path; got an empty text. Is a variable unset?"
            )


def _name(action: argparse.Action) -> str:
    return (action.option_strings or [str(action.metavar)])[0]


def _check_train(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    check_processes(parser, arguments)
    if arguments.resume is None:
        if arguments.model is None:
            parser.error("the following arguments are required: MODEL.py, or --resume DIR")
        return
    compatible = {"resume", "data", "data_dir", "debug", *PLACE}
    actions = [a for a in parser._actions if a.dest not in compatible and hasattr(arguments, a.dest)]
    if names := [_name(a) for a in actions if getattr(arguments, a.dest) != a.default]:
        parser.error(f"--resume uses the settings in the run's record: omit {', '.join(names)}")


def _check_sweep(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    names = [name for name, _ in arguments.over]
    for name in names:
        if names.count(name) > 1:
            parser.error(f"argument --over: {OVER}; got {name} twice. List all its numbers at once.")


def _make_parser(command: list[str], file: "ModelFile | None") -> tuple[argparse.ArgumentParser, dict]:
    parser = ShortParser("probvae", description=probvae.__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"probvae {probvae.__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers: dict[str, argparse.ArgumentParser] = {}
    for name, (summary, add_options) in COMMANDS.items():
        each = subparsers.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        add_options(each)
        if name != "data":
            add_device(each)
        each.add_argument("--debug", action="store_true", help="show tracebacks")
        parsers[name] = each
    if file is not None:
        from probvae.cli.model_options import add_model_options

        add_model_options(parsers[command[0]], file)
    return parser, parsers


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "probvae train MODEL.py --help also shows the options of the model file."
    add = parser.add_argument
    add("model", metavar="MODEL.py", nargs="?", help=MODEL)
    words = "resume the run in this folder after its last checkpoint, with the settings in its record"
    add("--resume", metavar="DIR", help=words)
    _add_training(parser, "runs/<model>-<data>")
    words = "skip at most N batches whose loss or update is not finite"
    add("--skip-batches", type=positive_integer, metavar="N", help=words)
    words = "halve the learning rate, at most N times, when the loss jumps or is not finite"
    add("--halve-rate", type=positive_integer, metavar="N", help=words)
    _add_evaluation(parser)
    add_processes(parser)


def _add_sweep(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Each training is the same as `probvae train` with its seed: --seed, the next one, and so on. "
        "probvae sweep MODEL.py --help also shows the options of the model file."
    )
    add = parser.add_argument
    add("model", metavar="MODEL.py", help=MODEL)
    words = "numbers for a weight of the objective (beta=0.5,1,2) or for learning_rate; repeatable"
    add("--over", type=_parse_over, action="append", default=[], metavar="NAME=X,X", help=words)
    words = "trainings of each combination, with consecutive seeds (default: 3)"
    add("--seeds", type=positive_integer, default=3, metavar="N", help=words)
    words = "trainings that run side by side in one program (default: all; on a CPU 1)"
    add("--at-once", type=positive_integer, metavar="N", help=words)
    _add_training(parser, "runs/sweep-<model>-<data>")


def _add_training(parser: argparse.ArgumentParser, folder: str) -> None:
    add = parser.add_argument
    add("--data", metavar="NAME|PATH", help=_help("name or path of the data", "data"))
    _add_data_dir(parser)
    add_table_options(parser)
    words = _help("how to binarise grey data", "binarize")
    add("--binarize", default="auto", choices=BINARIZE, help=words)
    add(
        "--epochs",
        type=positive_integer,
        metavar="N",
        help=f"passes through the training data (default: the model file's, else {EPOCHS})",
    )
    add(
        "--batch-size",
        type=positive_integer,
        metavar="N",
        help=f"rows per step (default: the model file's, else {BATCH_SIZE})",
    )
    words = "learning rate of Adam, which replaces the model file's optimizer"
    add("--learning-rate", type=positive_number, metavar="R", help=words)
    words = "stop after N epochs without a better validation ELBO, and keep the best epoch"
    add("--patience", type=positive_integer, metavar="N", help=words)
    words = _help("epochs before the patience starts to count", "patience_start")
    add(
        "--patience-start",
        type=non_negative_integer,
        default=DEFAULTS["patience_start"],
        metavar="N",
        help=words,
    )
    words = "epoch whose parameters to keep (default: best by validation, if the objective is the ELBO)"
    add("--keep", choices=KEEP, help=words)
    add("--out", metavar="DIR", help=f"a new folder (default: {folder})")
    words = _help("seed of all random numbers", "seed")
    add("--seed", type=seed, default=0, metavar="S", help=words)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    _add_run_folder(parser)
    _add_evaluation(parser, from_run=True)


def _add_compare_variants(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Example: probvae compare-variants models/vae.py models/vampprior.py --seeds 5. "
        "Each training is the same as `probvae train` with its seed: --seed, the next one, and so on."
    )
    add = parser.add_argument
    words = f'{MODEL}, in quotes with its options: "vae.py --latent-dim 2"; the first is the reference'
    add("variants", metavar="MODEL.py", nargs="+", help=words)
    words = "trainings of each variant, with consecutive seeds (default: 5)"
    add("--seeds", type=positive_integer, default=5, metavar="N", help=words)
    words = "trainings that run side by side in one program (default: all; on a CPU 1)"
    add("--at-once", type=positive_integer, metavar="N", help=words)
    _add_training(parser, "runs/variants-<models>-<data>")
    _add_evaluation(parser, num_particles=1000)


def _add_sample(parser: argparse.ArgumentParser) -> None:
    _add_run_folder(parser)
    words = "number of draws (default: 100)"
    parser.add_argument("--num", type=positive_integer, default=100, metavar="N", help=words)


def _add_reconstruct(parser: argparse.ArgumentParser) -> None:
    _add_run_folder(parser)
    words = "number of test data (default: 20)"
    parser.add_argument("--num", type=positive_integer, default=20, metavar="N", help=words)


def _add_interpolate(parser: argparse.ArgumentParser) -> None:
    _add_run_folder(parser)
    add = parser.add_argument
    add("--start", type=int, metavar="ROW", help="row of the test data at the start (default: 0)")
    words = "row of the test data at the end (default: the first one with another label)"
    add("--end", type=int, metavar="ROW", help=words)
    words = "number of points, with both ends (default: 10)"
    add("--num", type=positive_integer, default=10, metavar="N", help=words)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run_folders", metavar="DIR", nargs="+", help="folders of runs on the same test data")
    add("--out", metavar="FILE.png", help="a new picture (default: comparison.png, numbered)")
    words = _help("seed of the draws of z", "seed")
    add("--seed", type=seed, default=0, metavar="S", help=words)
    _add_data_place(parser)
    _add_evaluation(parser)


def _add_diagnose(parser: argparse.ArgumentParser) -> None:
    _add_run_folder(parser)
    words = "number of data and draws (quick: up to a minute, thorough: half an hour or more)"
    parser.add_argument("--budget", default="usual", choices=BUDGETS, help=words)


def _add_data(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME|PATH", help="the data set, or the file, to describe")
    _add_data_dir(parser)
    add_table_options(parser)
    words = "prepare the images at PATH (folder, .parquet, .npy) and write them here"
    add("--prepare", metavar="OUT.npy", help=words)
    words = "height and width of a prepared image (default: 64)"
    add("--size", type=positive_integer, default=64, metavar="N", help=words)
    add("--mixed-sizes", action="store_true", help="allow images of several sizes")
    add("--skip-corrupt", action="store_true", help="skip corrupt files")


COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "train": ("Train a model file on data, and write a run's folder.", _add_train),
    "sweep": ("Train over seeds, weights and learning rates.", _add_sweep),
    "evaluate": ("Print a run's test ELBO and log p(x).", _add_evaluate),
    "sample": ("Draw from a run's model.", _add_sample),
    "reconstruct": ("Reconstruct a run's test data.", _add_reconstruct),
    "interpolate": ("Interpolate between two test data.", _add_interpolate),
    "compare": ("Compare runs by their log p(x).", _add_compare),
    "compare-variants": ("Compare model files over seeds by their log p(x).", _add_compare_variants),
    "diagnose": ("Check whether you can trust a run.", _add_diagnose),
    "data": ("List the known data sets, describe one or a table, or prepare images.", _add_data),
}


# Options that several commands share


def _add_run_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="DIR", help="the folder of a run")
    words = "seed of the random numbers (default: the run's)"
    parser.add_argument("--seed", type=seed, metavar="S", help=words)
    _add_data_place(parser)


def _add_data_place(parser: argparse.ArgumentParser) -> None:
    words = "name or path of the run's data, if they have moved since training"
    parser.add_argument("--data", metavar="NAME|PATH", help=words)
    _add_data_dir(parser)


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    words = "folder of the known data sets (default: $PROBVAE_DATA, else ./data)"
    parser.add_argument("--data-dir", metavar="DIR", help=words)


def _add_evaluation(
    parser: argparse.ArgumentParser, *, from_run: bool = False, **own_defaults: int
) -> None:
    """Add the options of log p(x). With ``from_run``, their defaults are those of the run."""
    defaults, add = DEFAULTS | own_defaults, parser.add_argument
    for name, field, words in (
        ("--particles", "num_particles", "draws of z per test row in log p(x)"),
        ("--max-test", "max_test", "use at most K test rows, drawn at random, in log p(x)"),
    ):
        default = None if from_run else defaults[field]
        words += f" (default: {'as in training' if from_run else default})"
        add(name, dest=field, type=positive_integer, default=default, metavar="K", help=words)


def _help(words: str, field: str) -> str:
    return f"{words} (default: {DEFAULTS[field]})"


def _parse_over(word: str) -> tuple[str, tuple[float, ...]]:
    """Return the name and the numbers in NAME=X,X,..."""
    name, _, values = word.partition("=")
    try:
        numbers = tuple(float(value) for value in values.split(","))
    except ValueError:
        numbers = ()
    valid = all(map(math.isfinite, numbers)) and len(set(numbers)) == len(numbers)
    if not (name.strip() and numbers and valid):
        raise argparse.ArgumentTypeError(f"{OVER}; got {word!r}")
    return name.strip().replace("-", "_"), numbers
