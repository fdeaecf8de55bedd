"""The figures of a run, each with a caption on how to read it."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from probvae import plots
from probvae.data import Data
from probvae.interfaces import AbstractDistributionGuide
from probvae.runs import folder as files
from probvae.runs.evaluation import select_batch
from probvae.runs.run import Run
from probvae.typing import RngKey

NUM_IMAGES = 20  # test data that are drawn as they are
NUM_CODES = 2_000  # test data that are drawn as dots in latent space
HINT = "matplotlib is not installed: pip install 'probvae[plots]'"

CURVES = (
    "The ELBO should have levelled off. If the validation curve falls while the training curve rises, "
    "the VAE overfits."
)
RECONSTRUCTIONS = (
    "Each test datum, next to its reconstruction from the code. Where they differ, p(x|z) treats the "
    "difference as noise."
)
SAMPLES = (
    "Each draw of the model, next to the mean of the p(x|z) that it comes from. Draws should look like "
    "the data, and be as varied."
)
INTERPOLATION = (
    "Between two test data, in data space (one fades into the other) and in latent space (the points "
    "between the two codes, decoded). In latent space, each step should look like a datum."
)
LATENT_MAP = (
    "Each dot is a test datum at the mean of its q(z|x). Colours show the labels, if there are any. "
    "Training did not use them: if the classes lie apart, the VAE found them from x alone."
)
PSEUDO_INPUTS = (
    "Each image is a learned point u of data space, and q(z|u) is one component of the prior. It need "
    "not look like data, since only its code matters."
)


class RunFigure(NamedTuple):
    """A figure, its name, and a caption on how to read it."""

    name: str
    caption: str
    figure: Any


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_run_figures(run: Run, rng_key: RngKey) -> Iterator[RunFigure]:
    """Yield the figures of a run. The parts of its VAE decide which ones there are."""
    sample_key, code_key = jax.random.split(rng_key)
    yield RunFigure("curves", CURVES, plots.curves(run.fitted.history))
    reconstructions = draw_reconstructions(run, NUM_IMAGES, code_key)
    yield RunFigure("reconstructions", RECONSTRUCTIONS, reconstructions)
    yield RunFigure("samples", SAMPLES, draw_samples(run, 2 * NUM_IMAGES, sample_key))
    if has_mean_code(run):
        if not run.fitted.vae.context_shape:
            figure = draw_interpolation(run, *choose_endpoints(run.data))
            yield RunFigure("interpolation", INTERPOLATION, figure)
        yield RunFigure("latent_map", LATENT_MAP, _draw_latent_map(run))
    if plots.data_space.PSEUDO_INPUTS in run.fitted.params:
        figure = plots.pseudo_inputs(run.fitted, limits=run.limits)
        yield RunFigure("pseudo_inputs", PSEUDO_INPUTS, figure)


def has_mean_code(run: Run) -> bool:
    """Return whether q(z|x) is one distribution with a known mean, the code of a datum."""
    if not isinstance(run.fitted.vae.posterior, AbstractDistributionGuide):
        return False
    x, context, _ = select_batch(run.fitted.vae, run.data, "test", slice(1))
    try:
        return bool(run.fitted.encode(x, context).mean.size)
    except NotImplementedError:  # a flow
        return False


def draw_reconstructions(run: Run, num: int, rng_key: RngKey) -> Any:
    """Draw test data next to their reconstructions."""
    x, context, _ = select_batch(run.fitted.vae, run.data, "test", slice(num))
    key = None if has_mean_code(run) else rng_key
    return plots.reconstructions(run.fitted, x, context=context, rng_key=key, limits=run.limits)


def draw_samples(run: Run, num: int, rng_key: RngKey) -> Any:
    """Draw samples of the model. With a context, there is one for each of the first test data."""
    context = select_context(run, num)
    return plots.samples(run.fitted, num, rng_key=rng_key, context=context, limits=run.limits)


def select_context(run: Run, num: int) -> np.ndarray | None:
    """Return the context of the first test data, if the VAE has one."""
    return run.data.context["test"][:num] if run.fitted.vae.context_shape else None


def choose_endpoints(data: Data) -> tuple[int, int]:
    """Return the first test row, and the next one with another label. Without labels, the last one."""
    labels = data.labels.get("test", np.arange(len(data.test)))
    others = np.flatnonzero(labels != labels[0])
    return 0, int(others[0]) if len(others) else len(data.test) - 1


def draw_interpolation(run: Run, start: int, end: int, *, num_points: int = 10) -> Any:
    """Draw the path between two rows of the test data."""
    ends = run.data.test[start], run.data.test[end]
    return plots.interpolation(run.fitted, *ends, num_points=num_points, limits=run.limits)


def _draw_latent_map(run: Run) -> Any:
    x, context, _ = select_batch(run.fitted.vae, run.data, "test", slice(NUM_CODES))
    labels = run.data.labels.get("test")
    labels = None if labels is None else labels[:NUM_CODES]
    return plots.latent_map(run.fitted, x, labels, context=context)


def save_figure(figure: Any, path: Path) -> Path:
    """Write a figure as a PNG file."""
    return files.write(path, lambda partial: figure.savefig(partial, dpi=150, format="png"))
