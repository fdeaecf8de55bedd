"""Convergence of a fit: the trend of the ELBO at the end of its history."""

import math
from typing import NamedTuple

import numpy as np

from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.short_repr import short_repr

TAIL_SHARE, MIN_EPOCHS = 0.2, 5  # the trend is that of a fifth of the epochs, at least 5


@short_repr
class Convergence(NamedTuple):
    """The trend of the ELBO at the end of training, in nats per row.

    ``gain`` is the rise of a straight line through the last fifth of the epochs (at least five), and
    ``gain_error`` its standard error. ``drop`` is the best mean of three consecutive epochs minus the
    mean of the last three. ``best_epoch`` is the middle one of the best three, counted from 1.

    ``kl_weight`` is (log_likelihood - bound) / kl at the epoch whose parameters the fit has: 1 for the
    ELBO, beta for a beta-VAE, NaN if the history lacks one of them. ``num_epochs`` is the length of the
    history. ``is_validation`` is false if the ELBO is that of the training data, for lack of
    validation data. ``has_best_parameters`` is true if the fit has the parameters of the best epoch.
    """

    gain: float
    gain_error: float
    drop: float
    best_epoch: int
    kl_weight: float
    num_epochs: int
    is_validation: bool
    has_best_parameters: bool = False


def convergence(fitted: Fitted) -> Convergence:
    """Measure whether the ELBO was still rising, or past its best, at the end of training.

    Args:
        fitted: a fitted VAE with its history.

    Raises:
        ValueError: for a history of fewer than 5 epochs, or without an ELBO. NumPyro's own objectives
            record only the loss.
    """
    check_fitted(fitted)
    history = fitted.history
    is_validation = "elbo" in history.validation
    record = history.validation if is_validation else history.train
    elbo = np.asarray(record.get("elbo", ()), float)
    if len(elbo) < MIN_EPOCHS:
        raise ValueError(
            f"convergence expects a history with the ELBO of at least {MIN_EPOCHS} epochs; got "
            f"{len(elbo)}. Train longer, with an objective of this package: NumPyro's own record only "
            "the loss."
        )
    tail = max(MIN_EPOCHS, round(TAIL_SHARE * len(elbo)))
    slope, slope_error = _fit_line(elbo[-tail:])
    smooth = np.convolve(elbo, np.full(3, 1 / 3), mode="valid")
    return Convergence(
        slope * (tail - 1),
        slope_error * (tail - 1),
        float(smooth.max() - smooth[-1]),
        int(smooth.argmax()) + 2,
        _kl_weight(history.train, -1 if history.best_epoch is None else history.best_epoch),
        len(elbo),
        is_validation,
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
