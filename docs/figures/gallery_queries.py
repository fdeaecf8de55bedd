"""What several pictures of the gallery read from a run."""

from typing import Any

import numpy as np

from probvae.evidence import Batch
from probvae.runs import Run, load_model_file
from probvae.runs.evaluation import select_batch


def select_test(run: Run) -> Batch:
    """Return the test data, with their context."""
    return select_batch(run.fitted.vae, run.data, "test")


def event_shape(run: Run) -> tuple[int, ...]:
    """Return the shape of a datum."""
    return run.fitted.vae.event_shape


def normal_code(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return the means and the scales of q(z|x) of the test rows."""
    x, context, _ = select_test(run)
    q = run.fitted.encode(x, context).base_dist
    return np.asarray(q.loc), np.asarray(q.scale)


def kl_of_units(loc: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return KL(q || Normal(0, 1)) of each row and unit, in nats."""
    return 0.5 * (loc**2 + scale**2 - 1) - np.log(scale)


def defaults(run: Run) -> dict[str, Any]:
    """Return the defaults of the model function's arguments."""
    return {o.name: o.default for o in load_model_file(run.folder / "model.py").options}
