"""A run's figures: which it has, and how each is read."""

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
from probvae.runs.evaluation import batch
from probvae.runs.run import Run
from probvae.typing import RngKey

SHOWN, MAPPED = 20, 2_000  # data shown as they are, data shown as codes
HINT = "matplotlib is not installed: pip install 'probvae[plots]'"


class RunFigure(NamedTuple):
    """A figure, its name, and one sentence on how to read it."""

    name: str
    caption: str
    figure: Any


def available() -> bool:
    """Tell whether figures can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_run_figures(run: Run, rng_key: RngKey) -> Iterator[RunFigure]:
    """Yield a run's figures, those that its parts have."""
    sample_key, code_key = jax.random.split(rng_key)
    yield RunFigure("curves", CURVES, plots.curves(run.fitted.history))
    yield RunFigure("reconstructions", RECONSTRUCTIONS, reconstructions(run, SHOWN, code_key))
    yield RunFigure("samples", SAMPLES, samples(run, 2 * SHOWN, sample_key))
    if codes_are_distributions(run):
        if not run.fitted.vae.context_shape:
            yield RunFigure("interpolation", INTERPOLATION, interpolation(run, *ends(run.data)))
        yield RunFigure("latent_map", LATENT_MAP, _latent_map(run))
    if plots.data_space.PSEUDO_INPUTS in run.fitted.params:
        shown = plots.pseudo_inputs(run.fitted, limits=run.limits)
        yield RunFigure("pseudo_inputs", PSEUDO_INPUTS, shown)


CURVES = (
    "The ELBO should have levelled off; a validation curve that falls while training rises says "
    "that the VAE is learning the training data by heart."
)
RECONSTRUCTIONS = (
    "Each test datum stands beside what its code keeps of it; what differs is what p(x|z) takes "
    "for noise."
)
SAMPLES = (
    "Each draw stands beside the mean of the p(x|z) that it is drawn from; draws should look like "
    "the data, and be as varied."
)
INTERPOLATION = (
    "In data space one datum fades into the other; in latent space the points between the two "
    "codes are decoded, and each step should look like a datum of its own."
)
LATENT_MAP = (
    "Each dot is a test datum at the mean of q(z|x); labels, where the data have them, took no "
    "part in training, so that classes which lie apart were found from x alone."
)
PSEUDO_INPUTS = (
    "Each is a learned point of data space, whose q(z|u) is one component of the prior; they need "
    "not look like data, since only their codes count."
)


def codes_are_distributions(run: Run) -> bool:
    """Tell whether q(z|x) is one distribution with a known mean (a flow has none): a datum's code."""
    if not isinstance(run.fitted.vae.posterior, AbstractDistributionGuide):
        return False
    x, context, _ = batch(run.fitted.vae, run.data, "test", slice(1))
    try:
        return bool(run.fitted.encode(x, context).mean.size)
    except NotImplementedError:
        return False


def reconstructions(run: Run, num: int, rng_key: RngKey) -> Any:
    """Draw test data beside their reconstructions."""
    x, context, _ = batch(run.fitted.vae, run.data, "test", slice(num))
    key = None if codes_are_distributions(run) else rng_key
    return plots.reconstructions(run.fitted, x, context=context, rng_key=key, limits=run.limits)


def samples(run: Run, num: int, rng_key: RngKey) -> Any:
    """Draw samples of the model; with a context, one for each of the first test data's."""
    context = context_of(run, num)
    return plots.samples(run.fitted, num, rng_key=rng_key, context=context, limits=run.limits)


def context_of(run: Run, num: int) -> np.ndarray | None:
    """Return the context of the first test data, where the VAE takes one."""
    return run.data.context["test"][:num] if run.fitted.vae.context_shape else None


def ends(data: Data) -> tuple[int, int]:
    """Return the first test row, and the next one with another label (or just the next)."""
    labels = data.labels.get("test", np.arange(len(data.test)))
    others = np.flatnonzero(labels != labels[0])
    return 0, int(others[0]) if len(others) else len(data.test) - 1


def interpolation(run: Run, start: int, end: int, *, num_points: int = 10) -> Any:
    """Draw the path between two rows of the test data."""
    a, b = run.data.test[start], run.data.test[end]
    return plots.interpolation(run.fitted, a, b, num_points=num_points, limits=run.limits)


def _latent_map(run: Run) -> Any:
    x, context, _ = batch(run.fitted.vae, run.data, "test", slice(MAPPED))
    labels = run.data.labels.get("test")
    return plots.latent_map(run.fitted, x, None if labels is None else labels[:MAPPED], context=context)


def save(figure: Any, path: Path) -> Path:
    """Write a figure as a PNG file."""
    return files.write(path, lambda partial: figure.savefig(partial, dpi=150, format="png"))
