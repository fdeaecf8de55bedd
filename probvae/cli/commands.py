"""What each command does."""

import shlex
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from probvae import data as sources
from probvae import plots, runs
from probvae.checks import check_positive_integer
from probvae.cli.devices import data_parallel, joins_processes
from probvae.cli.model_options import model_arguments
from probvae.runs import Run, Settings, comparing, diagnosing, figures
from probvae.runs import folder as files
from probvae.runs.evaluation import batch, keys, sentences
from probvae.runs.settings import check_seed


def train(arguments: Namespace) -> None:
    """Train a model file on data, or resume a run."""
    devices = data_parallel(arguments)
    if joins_processes(arguments):
        _take_part(arguments, devices)
        return
    told: dict[str, Any] = {"say": _say, "progress": True, "devices": devices}
    if arguments.resume is not None:
        runs.resume(arguments.resume, **_data_place(arguments), **told)
        return
    runs.train(_settings(arguments), command=_command(arguments), **told)


def sweep(arguments: Namespace) -> None:
    """Train a model file over seeds and numbers, and compare."""
    options = {"num_seeds": arguments.seeds, "at_once": arguments.at_once, "progress": True}
    told = {"command": _command(arguments), "say": _say, **options}
    runs.sweep(_settings(arguments), dict(arguments.over), **told)


def _take_part(arguments: Namespace, devices: Any) -> None:
    _say(f"process {arguments.process} of {arguments.processes}: process 0 writes the run")
    if arguments.resume is not None:
        runs.assist_resumed(arguments.resume, **_data_place(arguments), devices=devices)
    else:
        runs.assist(_settings(arguments), devices=devices)


def evaluate(arguments: Namespace) -> None:
    """Print a run's numbers."""
    run, seed = _run(arguments)
    asked = run.config["evaluation"] | {
        name: getattr(arguments, name)
        for name in ("num_particles", "max_test")
        if getattr(arguments, name) is not None
    }
    for name, value in asked.items():
        check_positive_integer(name, value)
    data, key = run.data, keys(seed).evaluation
    _say(run.config["model"]["statement"])
    found = runs.evaluate(run.fitted, data, rng_key=key, progress=True, **asked)
    for line in sentences(found, len(data.test)):
        _say(line)


def sample(arguments: Namespace) -> None:
    """Write draws of a run's model, and a picture of the first."""
    run, seed = _run(arguments)
    check_positive_integer("num", arguments.num)
    key = keys(seed).figures
    context = figures.context_of(run, arguments.num)
    drawn = run.fitted.sample(arguments.num if context is None else 1, rng_key=key, context=context)
    drawn = drawn if context is None else jax.tree.map(lambda a: a[0], drawn)
    arrays = {"x": drawn.x, "mean": drawn.mean, **_name_rows(drawn.z)}
    _write(run, "samples", arrays, lambda: figures.samples(run, arguments.num, key))


def reconstruct(arguments: Namespace) -> None:
    """Write test data with their reconstructions, and a picture of them."""
    run, seed = _run(arguments)
    check_positive_integer("num", arguments.num)
    key = keys(seed).figures
    x, context, _ = batch(run.fitted.vae, run.data, "test", slice(arguments.num))
    drawn = None if figures.codes_are_distributions(run) else key
    mean = run.fitted.reconstruct(x, context=context, rng_key=drawn)
    shown = min(arguments.num, 40)
    picture = lambda: figures.reconstructions(run, shown, key)  # noqa: E731
    _write(run, "reconstructions", {"x": x, "mean": mean}, picture)


def interpolate(arguments: Namespace) -> None:
    """Write the decoded path between two test data, and a picture of it."""
    run, _ = _run(arguments)
    check_positive_integer("num", arguments.num)
    start, end = _rows(run, arguments)
    mean = run.fitted.interpolate(run.data.test[start], run.data.test[end], num_points=arguments.num)
    arrays = {"mean": mean, "rows": np.array([start, end])}
    shown = min(arguments.num, 12)
    picture = lambda: figures.interpolation(run, start, end, num_points=shown)  # noqa: E731
    _write(run, "interpolation", arrays, picture)


def compare(arguments: Namespace) -> None:
    """Print a table of runs by their log p(x), and draw it."""
    for name in ("num_particles", "max_test"):
        check_positive_integer(name, getattr(arguments, name))
    check_seed(arguments.seed)
    path = _new_picture(arguments.out)
    opened = [runs.open_run(folder, **_data_place(arguments)) for folder in arguments.run_folders]
    key, particles = keys(arguments.seed).evaluation, arguments.num_particles
    options = {"num_particles": particles, "max_test": arguments.max_test, "progress": True}
    found = runs.compare(opened, rng_key=key, **options)
    _say(f"test data: {comparing.describe_test_data(opened[0].config['data'])}")
    _say(f"bounds on log p(x), in nats: {found.num_data:,} data, {particles} particles")
    _say(found)
    if figures.available():
        _say(figures.save(plots.comparison(found), path))
    else:
        _say(f"no picture: {figures.HINT}")


def diagnose(arguments: Namespace) -> None:
    """Say whether to trust a run: faults, limits, notes; write figures and a section of its report."""
    diagnosing.check_installed()  # before anything is loaded: ArviZ is optional
    run, seed = _run(arguments)
    budget = diagnosing.BUDGETS[arguments.budget]
    _say(f"budget {arguments.budget}: {budget}")
    key = jax.random.fold_in(keys(seed).evaluation, 1)
    found = diagnosing.diagnose_run(run, rng_key=key, budget=budget, say=_say)
    _say(f"\n{found}")


def data(arguments: Namespace) -> None:
    """List the known data sets, or describe one, or prepare images."""
    if arguments.prepare is not None:
        _prepare(arguments)
        return
    if arguments.name is not None:
        _say(str(sources.load(arguments.name, data_dir=arguments.data_dir)))
        return
    for name, found in sources.list_datasets(data_dir=arguments.data_dir).items():
        there = "found" if found.available else f"not found: {found.paths[0]}"
        _say(f"{name:<16} {there}; {found.summary}")


def _prepare(arguments: Namespace) -> None:
    """Write images as one array, and say what was left out."""
    if arguments.name is None:
        raise ValueError(
            "--prepare expected images, got no PATH; usual fix: probvae data IMAGES --prepare OUT.npy"
        )
    done = sources.prepare_images(
        arguments.name,
        arguments.prepare,
        size=arguments.size,
        mixed_sizes=arguments.mixed_sizes,
        skip_corrupt=arguments.skip_corrupt,
    )
    for name in done.skipped:
        _say(f"left out, damaged: {name}")
    _say(f"{done.path}: {done.shape[0]:,} images, {done.shape[1:]}, uint8")


def _settings(arguments: Namespace) -> Settings:
    given = {k: v for k, v in vars(arguments).items() if k in Settings._fields and v is not None}
    return Settings(**given, arguments=model_arguments(arguments))


def _data_place(arguments: Namespace) -> dict[str, Any]:
    """Return where a run's data are now, as the arguments say."""
    return {"data": arguments.data, "data_dir": arguments.data_dir}


def _command(arguments: Namespace) -> str:
    return shlex.join(["probvae", *arguments.argv])


def _run(arguments: Namespace) -> tuple[Run, int]:
    run = runs.open_run(arguments.run_folder, **_data_place(arguments))
    seed = run.seed if arguments.seed is None else arguments.seed
    check_seed(seed)
    if arguments.data is not None:
        run.data  # noqa: B018  it raises for other data, also where a command needs none
    return run, seed


def _new_picture(out: str | None) -> Path:
    """Return where a picture goes; raise, before anything is computed, where it cannot."""
    if out is None:
        return Path(f"{files.free_stem(Path(), 'comparison', suffixes=('.png',))}.png")
    path = Path(out)
    if not figures.available():
        raise ImportError(f"--out {path}: {figures.HINT}.")
    if path.suffix.lower() != ".png":
        raise ValueError(f"--out {path}: expected a file that ends in .png, got {path.suffix!r}.")
    if path.exists() or not path.parent.is_dir():
        got = "one that exists" if path.exists() else f"no folder {path.parent}"
        raise FileExistsError(
            f"--out {path}: expected a new file in a folder that is there, since nothing is ever "
            f"overwritten; got {got}."
        )
    return path


def _rows(run: Run, arguments: Namespace) -> tuple[int, int]:
    given = (arguments.start, arguments.end)
    usual = figures.ends(run.data)
    start, end = (at if row is None else row for row, at in zip(given, usual, strict=True))
    n = len(run.data.test)
    if not (0 <= start < n and 0 <= end < n):
        raise ValueError(
            f"--start and --end expect rows of the test data, 0 to {n - 1}; got {start} and {end}."
        )
    return start, end


def _name_rows(z: Any) -> dict[str, Any]:
    return z if isinstance(z, dict) else {"z": z}


def _write(run: Run, stem: str, arrays: dict[str, Any], picture: Callable[[], Any]) -> None:
    """Write arrays (.npz) and, where matplotlib is installed, a picture (.png); say where."""
    path = files.free_stem(run.folder, stem, suffixes=(".npz", ".png"))
    held: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    _say(files.write(Path(f"{path}.npz"), lambda partial: np.savez(partial, **held)))
    if figures.available():
        _say(figures.save(picture(), Path(f"{path}.png")))
    else:
        _say(f"no picture: {figures.HINT}")


def _say(line: Any) -> None:
    print(line, flush=True)
