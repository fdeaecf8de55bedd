"""Runs of the command line at tiny sizes, each in a process of its own that has computed nothing."""

import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax

from probvae import plots
from probvae.cli import main
from probvae.runs import figures, training
from probvae.training import Checkpoints, loop

MODELS = Path(__file__).parent.parent / "models"
TINY = "--epochs 4 --latent-dim 2 --particles 20 --max-test 20 --batch-size 100".split()
VARIANTS = {
    "vae": ["--hidden", "16", "--patience", "9"],
    "vampprior": ["--hidden", "16", "--components", "5"],
    "sigma_vae": ["--hidden", "16"],
    "annealed": ["--hidden", "16", "--steps", "30", "--patience", "9"],
    "factor_vae": ["--hidden", "16", "--discriminator", "8"],
}


def trained(folder: Path, variant: str) -> list:
    """Return the words that train a variant."""
    return ["train", MODELS / f"{variant}.py", *TINY, *VARIANTS[variant], "--out", folder]


def probvae(log: Path, words: list, cache: Path | None, arm: Callable[[], None] | None = None) -> int:
    """Run the command line in a process of its own, with a checkpoint at each epoch."""

    def work() -> int:
        jax.config.update("jax_compilation_cache_dir", None if cache is None else str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        training.Checkpoints = lambda folder: Checkpoints(folder, seconds=0.0)
        figures.draw_run_figures = two
        if arm is not None:
            arm()
        return main([str(word) for word in words])

    return in_its_own_process(log, work)


def in_its_own_process(log: Path, work: Callable[[], int]) -> int:
    """Do something in a fork of this process; return its exit code, or minus the signal's number."""
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX's, of forks: nothing has been computed here
        child = os.fork()
    if child == 0:
        with log.open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        try:
            code = work()
        except BaseException:
            traceback.print_exc()
            code = 70
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def two(run: object, rng_key: object) -> Iterator[figures.RunFigure]:
    """Draw two figures, one of history and one of draws: the others would take most of the time."""
    yield figures.RunFigure("curves", "Curves.", plots.curves(run.fitted.history))
    yield figures.RunFigure("samples", "Samples.", figures.draw_samples(run, 4, rng_key))


def whole(base: Path, variant: str, cache: Path | None, name: str) -> float:
    """Train a variant that nobody stops; return the seconds that its first compilation takes."""
    start, clock = time.perf_counter(), base / f"{variant}-{name}.clock"
    log, words = base / f"{variant}-{name}.log", trained(base / f"{variant}-{name}", variant)
    if code := probvae(log, words, cache, partial(clocked, clock)):
        raise RuntimeError(f"{variant} ended with {code}:\n{log.read_text()[-2000:]}")
    took = time.perf_counter() - start
    print(f"{variant}: {took:.0f} s, never stopped", file=sys.stderr, flush=True)
    return float(clock.read_text())


def clocked(clock: Path) -> None:
    """Have this process write down the seconds from the start of the first program to the epoch's."""
    begun, start, epoch = [], loop.initialize, loop.run_epoch

    def started(*told: object) -> object:
        begun.append(time.perf_counter())
        return start(*told)

    def first(*told: object, **options: object) -> object:
        found = epoch(*told, **options)
        if not clock.exists():
            clock.write_text(str(time.perf_counter() - begun[0]))
        return found

    loop.initialize, loop.run_epoch = started, first
