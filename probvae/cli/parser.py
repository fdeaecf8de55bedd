"""The commands and their options; a model file's arguments are options of `train` and `sweep`."""

import argparse
import difflib
import math
from collections.abc import Callable, Sequence

import probvae
from probvae.cli import commands
from probvae.cli.devices import PLACE, add_device, add_processes, check_processes
from probvae.cli.model_options import add_model_options
from probvae.runs import ModelFile, Settings, load_model_file
from probvae.runs.diagnosing import BUDGETS
from probvae.runs.settings import BINARIZE, KEEP

DEFAULTS = Settings._field_defaults
PLACES = ("model", "data", "data_dir", "out", "resume", "run_folder", "run_folders", "name", "prepare")
OF_A_MODEL = ("train", "sweep")  # commands that take a model file, and its arguments as options


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Return the parsed arguments; ``run`` is the command's function.

    Raises:
        SystemExit: 2 for arguments that are not understood, with the closest that are.
        FileNotFoundError, ModelFileError: for a model file that cannot be loaded.
    """
    dashed = [_write_dashes(word) for word in argv]
    if any("\0" in word for word in argv):
        _parser([], None)[0].error("an argument holds a null byte, which no name of a file has")
    parser, subparsers = _parser(dashed[:1], _find_model(dashed))
    found, unknown = parser.parse_known_args(dashed)
    if unknown:
        _refuse(subparsers[found.command], unknown)
    _check_places(subparsers[found.command], found)
    if found.command == "train":
        _check_train(subparsers["train"], found)
    if found.command == "sweep":
        check_once(subparsers["sweep"], found.over)
    found.argv = list(argv)
    return found


def _write_dashes(word: str) -> str:
    """Write an option's name with dashes: --latent_dim is --latent-dim."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


def _find_model(argv: list[str]) -> ModelFile | None:
    if not argv or argv[0] not in OF_A_MODEL:
        return None
    path = next((word for word in argv[1:] if word.endswith(".py")), None)
    return None if path is None else load_model_file(path)


def _refuse(parser: argparse.ArgumentParser, unknown: list[str]) -> None:
    known = [name for action in parser._actions for name in action.option_strings]
    word = next((w for w in unknown if w.startswith("-")), unknown[0])
    close = difflib.get_close_matches(word.partition("=")[0], known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"options: {', '.join(known)}"
    parser.error(f"unknown: {word}; {hint}")


def _check_places(parser: argparse.ArgumentParser, found: argparse.Namespace) -> None:
    """Refuse an empty path: `--data "$DATA"` of an unset variable would be the current folder."""
    for action in parser._actions:
        value = getattr(found, action.dest, None) if action.dest in PLACES else None
        if "" in (value if isinstance(value, list) else [value]):
            name = (action.option_strings or [str(action.metavar)])[0]
            parser.error(f"{name} expects a name or a path, got an empty text: is a variable unset?")


def _check_train(parser: argparse.ArgumentParser, found: argparse.Namespace) -> None:
    check_processes(parser, found)
    if found.resume is None:
        if found.model is None:
            parser.error("the following arguments are required: MODEL.py, or --resume DIR")
        return
    free = {"resume", "data", "data_dir", "debug", *PLACE}
    actions = [a for a in parser._actions if a.dest not in free and hasattr(found, a.dest)]
    given = [a for a in actions if getattr(found, a.dest) != a.default]
    if given:
        names = ", ".join((a.option_strings or [str(a.metavar)])[0] for a in given)
        parser.error(f"--resume goes on by the run's own record: it takes no {names}")


def _parser(command: list[str], file: ModelFile | None) -> tuple[argparse.ArgumentParser, dict]:
    parser = argparse.ArgumentParser("probvae", description=probvae.__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"probvae {probvae.__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    made: dict[str, argparse.ArgumentParser] = {}
    for name, (run, summary, fill) in COMMANDS.items():
        made[name] = subparsers.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        made[name].set_defaults(run=run)
        fill(made[name])
        if run is not commands.data:
            add_device(made[name])
        made[name].add_argument("--debug", action="store_true", help="show tracebacks")
    if file is not None:
        add_model_options(made[command[0]], file)
    return parser, made


def _train(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "probvae train MODEL.py --help shows the model file's own options too."
    add = parser.add_argument
    add("model", metavar="MODEL.py", nargs="?", help=MODEL)
    words = "resume the run in this folder by its own record, after its last checkpoint"
    add("--resume", metavar="DIR", help=words)
    _training(parser, "runs/<model>-<data>")
    words = "leave out batches whose loss or update is not finite, N at most"
    add("--skip-batches", type=int, metavar="N", help=words)
    words = "halve the learning rate where the loss jumps or is not finite, N times at most"
    add("--halve-rate", type=int, metavar="N", help=words)
    _particles(parser, DEFAULTS["num_particles"])
    add_processes(parser)


def _sweep(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Each training is that of `probvae train` with its seed: --seed, the next, and so on. "
        "probvae sweep MODEL.py --help shows the model file's own options too."
    )
    add = parser.add_argument
    add("model", metavar="MODEL.py", help=MODEL)
    words = "numbers of a weight of the objective (beta=0.5,1,2) or of learning_rate; repeatable"
    add("--over", type=parse_sweep, action="append", default=[], metavar="NAME=X,X", help=words)
    words = "trainings of each combination, by seeds that follow each other (default: 3)"
    add("--seeds", type=int, default=3, metavar="N", help=words)
    words = "trainings side by side in the program (default: all; on a CPU 1)"
    add("--at-once", type=int, metavar="N", help=words)
    _training(parser, "runs/sweep-<model>-<data>")


def _training(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add what all trainings are told."""
    add = parser.add_argument
    add("--data", metavar="NAME|PATH", help=_help("name or path", "data"))
    _data_dir(parser)
    add("--binarize", default="auto", choices=BINARIZE, help=_help("grey data", "binarize"))
    add("--epochs", type=int, metavar="N", help="passes through the training data")
    add("--batch-size", type=int, metavar="N", help="data per step")
    add("--learning-rate", type=float, metavar="R", help="Adam's; replaces the model file's optimizer")
    words = "end after N epochs without a better validation ELBO, and keep the best epoch"
    add("--patience", type=int, metavar="N", help=words)
    words = f"epochs before these are counted (default: {DEFAULTS['patience_start']})"
    add("--patience-start", type=int, default=DEFAULTS["patience_start"], metavar="N", help=words)
    words = "whose parameters are kept (default: best by validation, where the ELBO is the objective)"
    add("--keep", choices=KEEP, help=words)
    add("--out", metavar="DIR", help=f"a new folder (default: {folder})")
    add("--seed", type=int, default=0, metavar="S", help=_help("of all random numbers", "seed"))


def _evaluate(parser: argparse.ArgumentParser) -> None:
    _run_folder(parser)
    _particles(parser, None)


def _sample(parser: argparse.ArgumentParser) -> None:
    _run_folder(parser)
    parser.add_argument("--num", type=int, default=100, metavar="N", help="how many (default: 100)")


def _reconstruct(parser: argparse.ArgumentParser) -> None:
    _run_folder(parser)
    parser.add_argument("--num", type=int, default=20, metavar="N", help="test data (default: 20)")


def _interpolate(parser: argparse.ArgumentParser) -> None:
    _run_folder(parser)
    add = parser.add_argument
    add("--start", type=int, metavar="ROW", help="a row of the test data (default: the first)")
    add("--end", type=int, metavar="ROW", help="another (default: the next with another label)")
    add("--num", type=int, default=10, metavar="N", help="points, ends included (default: 10)")


def _compare(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run_folders", metavar="DIR", nargs="+", help="folders of runs on the same test data")
    add("--out", metavar="FILE.png", help="a new picture (default: comparison.png, numbered)")
    add("--seed", type=int, default=0, metavar="S", help=_help("of the draws of z", "seed"))
    _add_data_place(parser)
    _particles(parser, DEFAULTS["num_particles"])


def _diagnose(parser: argparse.ArgumentParser) -> None:
    _run_folder(parser)
    words = "how many data and draws: quick takes seconds to a minute, thorough half an hour or more"
    parser.add_argument("--budget", default="usual", choices=tuple(BUDGETS), help=words)


def _data(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME|PATH", help="describe one of them")
    _data_dir(parser)
    add("--prepare", metavar="OUT.npy", help="write the images at PATH (folder, .parquet, .npy) here")
    add("--size", type=int, default=64, metavar="N", help="side of a prepared image (default: 64)")
    add("--mixed-sizes", action="store_true", help="prepare images of several sizes")
    add("--skip-corrupt", action="store_true", help="prepare without the files that are damaged")


MODEL = "a file with one function that returns a VAE"
COMMANDS: dict[str, tuple[Callable, str, Callable]] = {
    "train": (commands.train, "Train a model file on data; write a run's folder.", _train),
    "sweep": (commands.sweep, "Train over seeds, weights and learning rates; compare.", _sweep),
    "evaluate": (commands.evaluate, "Print a run's test ELBO and log p(x).", _evaluate),
    "sample": (commands.sample, "Draw from a run's model.", _sample),
    "reconstruct": (commands.reconstruct, "Reconstruct a run's test data.", _reconstruct),
    "interpolate": (commands.interpolate, "Go from one test datum to another.", _interpolate),
    "compare": (commands.compare, "Compare runs by their log p(x).", _compare),
    "diagnose": (commands.diagnose, "Say whether to trust a run, and why.", _diagnose),
    "data": (commands.data, "List the known data sets, describe one, or prepare images.", _data),
}


def _run_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="DIR", help="the folder of a run")
    parser.add_argument("--seed", type=int, metavar="S", help="(default: the run's)")
    _add_data_place(parser)


def _add_data_place(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the data of a run are now."""
    words = "where the run's data are now, if they have moved; other data are refused"
    parser.add_argument("--data", metavar="NAME|PATH", help=words)
    _data_dir(parser)


def _data_dir(parser: argparse.ArgumentParser) -> None:
    words = "where known data sets lie (default: $PROBVAE_DATA, else ./data)"
    parser.add_argument("--data-dir", metavar="DIR", help=words)


def _particles(parser: argparse.ArgumentParser, default: int | None) -> None:
    words = "draws of z per datum in log p(x)"
    rows = "random rows of the test data in log p(x), at most"
    for name, field, text in (
        ("--particles", "num_particles", words),
        ("--max-test", "max_test", rows),
    ):
        shown = f"{text} (default: {DEFAULTS[field] if default else 'as in training'})"
        usual = DEFAULTS[field] if default else None
        parser.add_argument(name, dest=field, type=int, default=usual, metavar="K", help=shown)


def _help(words: str, field: str) -> str:
    return f"{words} (default: {DEFAULTS[field]})"


EXPECTED = (
    "expected NAME=X,X,... with each number once: a weight of the model's objective, such as "
    "beta=0.5,1,2, or learning_rate=1e-3,3e-3"
)


def parse_sweep(word: str) -> tuple[str, tuple[float, ...]]:
    """Return the name and the numbers in NAME=X,X,...

    Raises:
        ArgumentTypeError: for a word of another form, no numbers, or one that is there twice.
    """
    name, _, told = word.partition("=")
    try:
        numbers = tuple(float(number) for number in told.split(","))
    except ValueError:
        numbers = ()
    good = all(map(math.isfinite, numbers)) and len(set(numbers)) == len(numbers)
    if not (name.strip() and numbers and good):
        raise argparse.ArgumentTypeError(f"{EXPECTED}; got {word!r}")
    return name.strip().replace("-", "_"), numbers


def check_once(parser: argparse.ArgumentParser, over: list[tuple[str, tuple]]) -> None:
    """End where a name is swept twice."""
    names = [name for name, _ in over]
    for name in names:
        if names.count(name) > 1:
            parser.error(f"argument --over: {EXPECTED}; got {name} twice: give all its numbers at once")
