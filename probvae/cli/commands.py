"""The function that each command of the command line runs."""

import shlex
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from probvae import data as sources
from probvae import plots, runs
from probvae.checks import check_positive_integer
from probvae.cli.devices import select_devices
from probvae.cli.exit_codes import INTERRUPTED, SUCCESS
from probvae.cli.model_options import model_arguments, read_variants
from probvae.cli.table_options import table_options
from probvae.data.table_data import is_table_file
from probvae.runs import Run, Settings, comparing, diagnosing, figures
from probvae.runs import folder as files
from probvae.runs.evaluation import derive_keys, describe_metrics, select_batch
from probvae.runs.run_tables import frame_to_csv
from probvae.runs.settings_checks import check_seed
from probvae.training import DataParallel

MAX_RECONSTRUCTIONS, MAX_POINTS = 40, 12  # in a picture
BINARIZED = (
    "so does load in Python. `probvae train` draws new binary pixels at each step instead, if the "
    "likelihood expects 0 and 1 (--binarize)"
)


def train(arguments: Namespace) -> int:
    """Train a model file on data, or resume a run."""
    if arguments.process:  # not None, nor 0, the process that writes the run
        return SUCCESS if _assist(arguments) else INTERRUPTED
    options: dict[str, Any] = {"say": _say, "progress": True, "devices": select_devices(arguments)}
    if arguments.resume is not None:
        run = runs.resume(arguments.resume, **_data_options(arguments), **options)
    else:
        run = runs.train(_settings(arguments), command=_command_line(arguments), **options)
    # Ctrl-C ends a training early, and the run is still evaluated. The exit code shows it, so that
    # `probvae train ... && next` does not take half a training for a whole one.
    return INTERRUPTED if files.list_checkpoints(run.folder) else SUCCESS


def _assist(arguments: Namespace) -> bool:
    _say(f"process {arguments.process} of {arguments.processes}: process 0 writes the run")
    if arguments.resume is not None:
        return runs.assist_resumed(arguments.resume, **_data_options(arguments), devices=DataParallel())
    return runs.assist(_settings(arguments), devices=DataParallel())


def sweep(arguments: Namespace) -> int:
    """Train a model file over seeds and numbers, and compare the trainings."""
    result = runs.sweep(
        _settings(arguments),
        dict(arguments.over),
        num_seeds=arguments.seeds,
        at_once=arguments.at_once,
        command=_command_line(arguments),
        say=_say,
        progress=True,
    )
    return INTERRUPTED if result.interrupted else SUCCESS


def compare_variants(arguments: Namespace) -> None:
    """Train model files over seeds, and compare their log p(x)."""
    variants = read_variants(arguments.variants)
    runs.compare_variants(
        variants,
        _settings(arguments, model=arguments.variants[0]),
        num_seeds=arguments.seeds,
        at_once=arguments.at_once,
        command=_command_line(arguments),
        say=_say,
        progress=True,
    )


def evaluate(arguments: Namespace) -> None:
    """Print a run's test ELBO and log p(x)."""
    run, seed = _open_run(arguments)
    options = dict(run.config["evaluation"])
    for name in ("num_particles", "max_test"):
        if (value := getattr(arguments, name)) is not None:
            options[name] = value
    for name, value in options.items():
        check_positive_integer(name, value)
    data, key = run.data, derive_keys(seed).evaluation
    _say(run.config["model"]["statement"])
    metrics = runs.evaluate(run.fitted, data, rng_key=key, progress=True, **options)
    for line in describe_metrics(metrics, len(data.test)):
        _say(line)


def sample(arguments: Namespace) -> None:
    """Write draws of a run's model, and a picture of them."""
    run, seed = _open_run(arguments)
    check_positive_integer("num", arguments.num)
    key = derive_keys(seed).figures
    context = figures.select_context(run, arguments.num)
    # With a context there is one draw for each of its rows, so the axis of draws has length 1.
    num = arguments.num if context is None else 1
    draws = run.fitted.sample(num, rng_key=key, context=context)
    if context is not None:
        draws = jax.tree.map(lambda array: array[0], draws)
    codes = draws.z if isinstance(draws.z, dict) else {"z": draws.z}
    arrays = {"x": draws.x, "mean": draws.mean, **codes}
    frame = run.fitted.to_frame(draws.x) if run.data.tables else None
    _write(run, "samples", arrays, lambda: figures.draw_samples(run, arguments.num, key), frame)


def reconstruct(arguments: Namespace) -> None:
    """Write test data with their reconstructions, and a picture of them."""
    run, seed = _open_run(arguments)
    check_positive_integer("num", arguments.num)
    key = derive_keys(seed).figures
    x, context, _ = select_batch(run.fitted.vae, run.data, "test", slice(arguments.num))
    code_key = None if figures.has_mean_code(run) else key
    mean = run.fitted.reconstruct(x, context=context, rng_key=code_key)
    num = min(arguments.num, MAX_RECONSTRUCTIONS)
    picture = lambda: figures.draw_reconstructions(run, num, key)  # noqa: E731
    frame = mean if run.data.tables else None
    _write(run, "reconstructions", {"x": x, "mean": mean}, picture, frame)


def interpolate(arguments: Namespace) -> None:
    """Write the decoded path between two test data, and a picture of it."""
    run, _ = _open_run(arguments)
    check_positive_integer("num", arguments.num)
    start, end = _endpoints(run, arguments)
    figures.check_complete(run.data, start, end)
    mean = run.fitted.interpolate(run.data.test[start], run.data.test[end], num_points=arguments.num)
    arrays = {"mean": mean, "rows": np.array([start, end])}
    num = min(arguments.num, MAX_POINTS)
    picture = lambda: figures.draw_interpolation(run, start, end, num_points=num)  # noqa: E731
    frame = run.fitted.to_frame(mean) if run.data.tables else None
    _write(run, "interpolation", arrays, picture, frame)


def _endpoints(run: Run, arguments: Namespace) -> tuple[int, int]:
    start, end = figures.choose_endpoints(run.data)
    start = start if arguments.start is None else arguments.start
    end = end if arguments.end is None else arguments.end
    n = len(run.data.test)
    if not (0 <= start < n and 0 <= end < n):
        raise ValueError(
            f"--start and --end expect rows of the test data, 0 to {n - 1}; got {start} and {end}."
        )
    return start, end


def compare(arguments: Namespace) -> None:
    """Print a table of runs by their log p(x), and draw it."""
    for name in ("num_particles", "max_test"):
        check_positive_integer(name, getattr(arguments, name))
    check_seed(arguments.seed)
    path = _picture_path(arguments.out)
    if not figures.can_draw():
        _say(f"note: there will be no picture: {figures.HINT}")
    opened = [runs.open_run(folder, **_data_options(arguments)) for folder in arguments.run_folders]
    key, particles = derive_keys(arguments.seed).evaluation, arguments.num_particles
    options = {"num_particles": particles, "max_test": arguments.max_test, "progress": True}
    comparison = runs.compare(opened, rng_key=key, **options)
    _say(f"test data: {comparing.describe_test_data(opened[0].config['data'])}")
    _say(f"bounds on log p(x), in nats: {comparison.num_data:,} data, {particles} particles")
    _say(comparison)
    if figures.can_draw():
        _say(figures.save_figure(plots.comparison(comparison), path))


def _picture_path(out: str | None) -> Path:
    """Return the path of a new picture. Raise, before any computation, if it cannot be written."""
    if out is None:
        return Path(f"{files.free_stem(Path(), 'comparison', suffixes=('.png',))}.png")
    path = Path(out)
    if not figures.can_draw():
        raise ImportError(f"--out {path}: {figures.HINT}.")
    if path.suffix.lower() != ".png":
        raise ValueError(f"--out {path}: expected a file that ends in .png; got {path.suffix!r}.")
    if path.exists() or not path.parent.is_dir():
        problem = "the file exists" if path.exists() else f"there is no folder {path.parent}"
        raise FileExistsError(
            f"--out {path}: expected a new file in an existing folder, but {problem}. Files are never "
            "overwritten."
        )
    return path


def diagnose(arguments: Namespace) -> None:
    """Print a verdict on a run, and write its figures and a section of its report."""
    diagnosing.check_installed()  # before the run is loaded, since ArviZ is optional
    run, seed = _open_run(arguments)
    budget = diagnosing.BUDGETS[arguments.budget]
    _say(f"budget {arguments.budget}: {budget}")
    key = jax.random.fold_in(derive_keys(seed).evaluation, 1)
    diagnosis = diagnosing.diagnose_run(run, rng_key=key, budget=budget, say=_say)
    _say(f"\n{diagnosis}")


def data(arguments: Namespace) -> None:
    """List the known data sets, describe one or a table, or prepare images."""
    if arguments.prepare is not None:
        _prepare(arguments)
    elif arguments.name is not None and _is_table(arguments):
        _say(sources.Table(arguments.name, **table_options(arguments)))
    elif arguments.name is not None:
        described = sources.load(arguments.name, data_dir=arguments.data_dir)
        _say(str(described))
        if "static binarisation" in str(described.description):
            _say(BINARIZED)
    else:
        for name, entry in sources.list_datasets(data_dir=arguments.data_dir).items():
            status = "found" if entry.available else f"not found: {entry.paths[0]}"
            _say(f"{name:<16} {status}; {entry.summary}")


def _is_table(arguments: Namespace) -> bool:
    return is_table_file(arguments.name) or bool(table_options(arguments))


def _prepare(arguments: Namespace) -> None:
    """Write images as one array, and list the corrupt files that were skipped."""
    if arguments.name is None:
        raise ValueError(
            "--prepare needs the PATH of the images. Example: probvae data IMAGES --prepare OUT.npy"
        )
    result = sources.prepare_images(
        arguments.name,
        arguments.prepare,
        size=arguments.size,
        mixed_sizes=arguments.mixed_sizes,
        skip_corrupt=arguments.skip_corrupt,
    )
    for name in result.skipped:
        _say(f"skipped, corrupt: {name}")
    _say(f"{result.path}: {result.shape[0]:,} images, {result.shape[1:]}, uint8")


def _settings(arguments: Namespace, **changes: Any) -> Settings:
    options = {**vars(arguments), **changes}.items()
    settings = {k: v for k, v in options if k in Settings._fields and v is not None}
    table = table_options(arguments)
    return Settings(**settings, arguments=model_arguments(arguments), table=table)


def _data_options(arguments: Namespace) -> dict[str, Any]:
    return {"data": arguments.data, "data_dir": arguments.data_dir}


def _command_line(arguments: Namespace) -> str:
    return shlex.join(["probvae", *arguments.argv])


def _open_run(arguments: Namespace) -> tuple[Run, int]:
    run = runs.open_run(arguments.run_folder, **_data_options(arguments))
    seed = run.seed if arguments.seed is None else arguments.seed
    check_seed(seed)
    if arguments.data is not None:
        run.data  # noqa: B018  raises for other data, even if the command needs no data
    return run, seed


def _write(
    run: Run, stem: str, arrays: Mapping[str, Any], draw: Callable[[], Any], frame: Any = None
) -> None:
    """Write arrays (.npz), or for a table its rows (.csv), and a picture (.png). Print their paths."""
    path = files.free_stem(run.folder, stem, suffixes=(".csv" if run.data.tables else ".npz", ".png"))
    if frame is not None:
        _say(files.write_text(Path(f"{path}.csv"), frame_to_csv(frame)))
    else:
        numpy_arrays: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
        _say(files.write(Path(f"{path}.npz"), lambda partial: np.savez(partial, **numpy_arrays)))
    if figures.can_draw():
        _say(figures.save_figure(draw(), Path(f"{path}.png")))
    else:
        _say(f"no picture: {figures.HINT}")


def _say(line: Any) -> None:
    print(line, flush=True)
