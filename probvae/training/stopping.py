"""When to end a run before its last epoch, and which epoch's state to keep."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from probvae.evidence import no_density
from probvae.fields import Checked
from probvae.training.checks import check_count


@dataclass(frozen=True)
class EarlyStopping(Checked):
    """End a run that no longer gets better on validation data; keep its best epoch.

        early = EarlyStopping(patience=50, start=100)
        fit(..., validation=data.valid, epochs=2000, early_stopping=early)

    The run ends after ``patience`` epochs in a row without a validation ELBO above the highest so far.
    The count is held at 0 through the first ``start`` epochs (while the KL's weight grows, say). Of
    all epochs, these too, the one with the highest validation ELBO gives the parameters and the running
    state that ``fit`` returns, however the run ends; ``history.best_epoch`` says which it was. With a
    ``patience`` of as many epochs as the run has, nothing is stopped and the best is kept.

    The ELBO is that of the history: one particle, the same draws at every epoch, whatever the objective
    (an importance-weighted one, say) maximises.

    Args:
        patience: epochs without a better validation ELBO.
        start: epochs before the count begins.

    Raises:
        ValueError: if ``patience`` is no positive integer, or ``start`` none of 0 or more.

    Reference: Prechelt 1998 (Early stopping - but when?); the count held at 0 during warm-up: the code
    of Tomczak and Welling 2018, arXiv:1705.07120.
    """

    patience: int = 50
    start: int = 0

    def __post_init__(self) -> None:
        check_count("patience", self.patience)
        if not isinstance(self.start, int | np.integer) or self.start < 0:
            raise ValueError(f"start expects a number of epochs, 0 or more; got {self.start!r}.")

    def is_over(self, elbo: Any) -> bool:
        """Tell whether a run with these validation ELBOs, one for each epoch, ends now."""
        best = best_epoch(elbo)
        begun = max(-1 if best is None else best, self.start - 1)
        return len(elbo) - 1 - begun >= self.patience


def best_epoch(elbo: Any) -> int | None:
    """Return the first epoch of the highest ELBO; None where none is a number."""
    known = np.asarray(elbo, float)
    return None if not len(known) or np.isnan(known).all() else int(np.nanargmax(known))


def check_stopping(early: Any, vae: Any, validation: Any) -> None:
    """Raise unless a run with early stopping has a validation ELBO to go by."""
    if early is None:
        return
    if not isinstance(early, EarlyStopping):
        raise TypeError(f"early_stopping expects EarlyStopping(patience=50); got {early!r}.")
    if validation is None:
        raise ValueError(
            f"{early} goes by the validation ELBO, and there are no validation data. Give some, "
            "fit(..., validation=data.valid), or leave early_stopping out."
        )
    if reason := no_density(vae):
        raise ValueError(
            f"{early} goes by the validation ELBO, and there is none here: {reason} Leave it out, and "
            "say how many epochs."
        )
