"""Early stopping, and the choice of the epoch whose parameters ``fit`` returns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probvae.checks import Checked, NonNegativeInt, PositiveInt
from probvae.evidence import explain_no_density
from probvae.faq import cite
from probvae.fitted.history import find_best_epoch
from probvae.objectives import AbstractObjective
from probvae.tracing import has_shared_latents
from probvae.typing import Objective
from probvae.vae import VAE


@dataclass(frozen=True)
class EarlyStopping(Checked):
    """End a run whose validation ELBO no longer improves.

        early = EarlyStopping(patience=50, start=100)
        fit(..., validation=data.valid, epochs=2000, early_stopping=early)

    The run ends after ``patience`` epochs in a row without a new highest validation ELBO. The count
    stays at 0 for the first ``start`` epochs, for example while the weight of the KL grows. ``fit``
    then returns the parameters and the running state of the best epoch, for every objective, unless you
    pass ``keep_best=False``. An epoch before ``start`` may be the best one, too.

    The ELBO is that of the history: one particle, the same draws at every epoch. It does not depend on
    the objective, so it is the ELBO also where the objective is, for example, importance weighted.

    Args:
        patience: epochs without a better validation ELBO.
        start: epochs before the count begins.

    Raises:
        ValueError: for a number out of range.

    Reference: Prechelt 1998 (Early stopping - but when?). Holding the count at 0 during warm-up follows
    the code of Tomczak and Welling 2018, arXiv:1705.07120.

    Examples:
        >>> import jax, numpy as np
        >>> from probvae import VAE, EarlyStopping, fit, likelihoods
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> vae = VAE(event_shape=(3,), latent_dim=2, likelihood=likelihoods.Gaussian())
        >>> options = {"rng_key": jax.random.key(0), "epochs": 2, "progress": False}
        >>> stop = EarlyStopping(patience=5)
        >>> fitted = fit(vae, x[:150], validation=x[150:], early_stopping=stop, **options)
        >>> fitted.history.best_epoch < 2
        True
    """

    patience: PositiveInt = 50
    start: NonNegativeInt = 0

    def should_stop(self, elbo: Sequence[float] | np.ndarray) -> bool:
        """Return whether a run ends now, given the validation ELBO of each epoch so far."""
        best = find_best_epoch(elbo)
        last_good = max(-1 if best is None else best, self.start - 1)
        return len(elbo) - 1 - last_good >= self.patience


def resolve_keep_best(
    vae: VAE,
    objective: Objective,
    num_steps: int,
    *,
    early: EarlyStopping | None,
    keep_best: bool | None,
) -> bool:
    """Return whether a run returns its best validation epoch. ``keep_best`` decides unless it is None.

    An objective such as ``ELBO(beta=4.0)`` maximises something else, and may lower the ELBO as it
    improves. The best epoch by the ELBO would then be one of the first. The same is true of weights
    that have a posterior, because their KL is not part of the validation ELBO.
    """
    if keep_best is not None:
        return keep_best
    if early is not None:
        return True
    if has_shared_latents(vae):
        return False
    if not isinstance(objective, AbstractObjective):  # NumPyro's objectives are bounds
        return True
    return objective.ends_as_evidence(num_steps)


def check_stopping(
    vae: VAE, *, early: EarlyStopping | None, keep_best: bool | None, has_validation: bool
) -> None:
    """Raise ValueError if a run needs the validation ELBO and has none."""
    if early is None and not keep_best:
        return
    setting, name = ("keep_best=True", "keep_best") if early is None else (early, "early_stopping")
    if not has_validation:
        raise ValueError(
            f"{setting} needs validation data. Pass fit(..., validation=data.valid), or omit {name}. "
            f"{cite('validation-missing')}"
        )
    if reason := explain_no_density(vae):
        raise ValueError(
            f"{setting} needs a validation ELBO, and this VAE has none: {reason} Omit {name}."
        )
