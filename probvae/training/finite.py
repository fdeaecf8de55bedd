"""Losses that are no finite numbers."""

from collections.abc import Callable

import numpy as np

from probvae.training.fitted import Fitted


class NonFiniteLossError(FloatingPointError):
    """The loss stopped being a finite number; ``fitted`` is the VAE at the last good epoch."""

    def __init__(self, message: str, fitted: Fitted) -> None:
        super().__init__(message)
        self.fitted = fitted


def check_finite(steps: dict[str, np.ndarray], epoch: int, last_good: Callable[[], Fitted]) -> None:
    """Raise unless every loss of an epoch is a finite number."""
    bad = ~np.isfinite(steps["loss"])
    if not bad.any():
        return
    at = int(bad.argmax())
    step = epoch * len(bad) + at
    terms = [k for k in ("log_likelihood", "kl") if k in steps and not np.isfinite(steps[k][at])]
    what = " and ".join(f"{k} = {steps[k][at]}" for k in terms) or f"loss = {steps['loss'][at]}"
    before = f"{steps['loss'][at - 1]:.4g}" if at else "not known in this epoch"
    raise NonFiniteLossError(
        f"the loss is not finite at step {step} (epoch {epoch}): {what}; the loss before it was "
        f"{before}. The VAE at the end of the epoch before is kept as `error.fitted`. Usual causes: "
        "a learning rate too high (lower it, or chain optax.clip_by_global_norm(1.0) before it), a "
        "likelihood whose scale runs to 0 (bound it), data of huge scale (standardise them).",
        last_good(),
    )
