"""When to end a run before its last epoch, and which epoch's parameters `fit` returns."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from probvae.checks import Checked, check_kind, check_positive_integer
from probvae.evidence import explain_no_density
from probvae.fitted.history import find_best_epoch
from probvae.objectives import AbstractObjective
from probvae.tracing import has_shared_latents


@dataclass(frozen=True)
class EarlyStopping(Checked):
    """End a run that no longer gets better on validation data.

        early = EarlyStopping(patience=50, start=100)
        fit(..., validation=data.valid, epochs=2000, early_stopping=early)

    The run ends after ``patience`` epochs in a row without a validation ELBO above the highest so far.
    The count is held at 0 through the first ``start`` epochs (while the KL's weight grows, say).
    ``fit`` then returns the parameters and the running state of the best epoch, for every objective,
    unless you pass ``keep_best=False``. Epochs before ``start`` may be the best one, too.

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
        check_positive_integer("patience", self.patience)
        if not isinstance(self.start, int | np.integer) or self.start < 0:
            raise ValueError(f"start expects a number of epochs, 0 or more; got {self.start!r}.")

    def is_over(self, elbo: Any) -> bool:
        """Tell whether a run with these validation ELBOs, one for each epoch, ends now."""
        best = find_best_epoch(elbo)
        begun = max(-1 if best is None else best, self.start - 1)
        return len(elbo) - 1 - begun >= self.patience


def keeps_best(
    vae: Any, objective: Any, num_steps: int, *, early: EarlyStopping | None, keep_best: bool | None
) -> bool:
    """Return whether a run returns its best validation epoch; ``keep_best`` decides unless it is None.

    An objective that maximises something else, such as ``ELBO(beta=4.0)``, may lower the ELBO while it
    does its job: its best epoch by the ELBO would be one that it had hardly begun to work on. So it is
    with weights that have a posterior, whose KL is no part of the validation ELBO.
    """
    if keep_best is not None:
        return keep_best
    if early is not None:
        return True
    if has_shared_latents(vae):
        return False
    if not isinstance(objective, AbstractObjective):  # NumPyro's are bounds
        return True
    return objective.ends_as_evidence(num_steps)


def check_stopping(early: Any, keep_best: Any, vae: Any, validation: Any) -> None:
    """Raise unless a run that asks for the validation ELBO has one."""
    check_kind("keep_best", keep_best, bool | None)
    if early is not None and not isinstance(early, EarlyStopping):
        raise TypeError(f"early_stopping expects EarlyStopping(patience=50); got {early!r}.")
    if early is None and not keep_best:
        return
    asks, name = ("keep_best=True", "keep_best") if early is None else (str(early), "early_stopping")
    if validation is None:
        raise ValueError(
            f"{asks} goes by the validation ELBO, and there are no validation data. Give some, "
            f"fit(..., validation=data.valid), or leave {name} out."
        )
    if reason := explain_no_density(vae):
        raise ValueError(
            f"{asks} goes by the validation ELBO, and there is none here: {reason} Leave it out, and "
            "say how many epochs."
        )
