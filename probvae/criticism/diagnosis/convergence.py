"""Whether a fit was over when it ended: read off its history."""

import math
from typing import NamedTuple

import numpy as np

from probvae.criticism.short_repr import short_repr
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted

TAIL = 0.2  # of the epochs, at least 5: what the trend is read off


@short_repr
class Convergence(NamedTuple):
    """The trend at the end, in nats per datum, of the validation ELBO (of the training's, without one).

    ``gain`` is what a straight line through the last fifth of the epochs (at least five) rises by over
    them, and ``gain_error`` its standard error; ``lost`` what the last epoch (mean of three) is below
    the best mean of three; ``best_epoch`` where that was. ``kl_weight`` is
    (log_likelihood - bound) / kl of the epoch that was kept: 1 for the ELBO, beta where the KL is
    weighted by it; nan where the history does not say. ``is_validation`` tells whose ELBO it is,
    ``num_epochs`` how many there were.
    ``is_best_kept`` says that the fit has the parameters of the best epoch, so that nothing is lost.
    """

    gain: float
    gain_error: float
    lost: float
    best_epoch: int
    kl_weight: float
    num_epochs: int
    is_validation: bool
    is_best_kept: bool = False


def convergence(fitted: Fitted) -> Convergence:
    """Return whether the ELBO was still rising, or past its best, when the fit ended.

    Args:
        fitted: a fitted VAE, with its history.

    Raises:
        ValueError: for a history of fewer than 5 epochs, or without an ELBO (NumPyro's own objectives
            record the loss alone).
    """
    check_fitted(fitted)
    history = fitted.history
    found = "elbo" in history.validation
    elbo = np.asarray((history.validation if found else history.train).get("elbo", ()), float)
    if len(elbo) < 5:
        raise ValueError(
            f"convergence expects a history with the ELBO of at least 5 epochs; got {len(elbo)}. "
            "Train on, by an objective of this package: NumPyro's own record the loss alone."
        )
    tail = max(5, round(TAIL * len(elbo)))
    slope, slope_error = _fit_line(elbo[-tail:])
    smooth = np.convolve(elbo, np.full(3, 1 / 3), mode="valid")
    return Convergence(
        slope * (tail - 1),
        slope_error * (tail - 1),
        float(smooth.max() - smooth[-1]),
        int(smooth.argmax()) + 2,
        _kl_weight(history.train, -1 if history.best_epoch is None else history.best_epoch),
        len(elbo),
        found,
        history.best_epoch is not None,
    )


def _fit_line(y: np.ndarray) -> tuple[float, float]:
    """Return the slope of the least-squares line over the index, and its standard error."""
    t = np.arange(len(y)) - (len(y) - 1) / 2
    slope = (t * y).sum() / (t**2).sum()
    residual = y - y.mean() - slope * t
    return float(slope), math.sqrt((residual**2).sum() / (len(y) - 2) / (t**2).sum())


def _kl_weight(train: dict[str, np.ndarray], epoch: int) -> float:
    if not {"bound", "kl", "log_likelihood"} <= set(train) or not train["kl"][epoch] > 0:
        return math.nan
    return float((train["log_likelihood"][epoch] - train["bound"][epoch]) / train["kl"][epoch])
