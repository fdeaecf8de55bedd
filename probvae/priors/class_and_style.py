"""A class that some data are labelled with, and a style, as the prior."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpyro

from probvae.distributions import OneHotCategorical, partly_observed
from probvae.interfaces import AbstractDistributionPrior, AbstractProgramPrior, Scope
from probvae.priors.standard_normal import StandardNormal


@dataclass(frozen=True)
class ClassAndStyle(AbstractProgramPrior):
    """y ~ Categorical(w), z | y ~ style; the decoder is given (z, y), y one-hot.

    Sites ``"y"`` of length ``classes`` and ``"z"`` of length ``latent_dim``. With
    ``VAE(context_shape=(classes,))`` the context is what is known of y: a row is the label, one-hot, or
    zeros where there is none (no context: nowhere). A label is observed at the site ``"label"``: a
    labelled datum is scored by log p(x, y), another by log p(x). No net is told the context. Data of a
    class are drawn by ``fitted.sample(n, context=...)``. The guide is ``guides.ClassAndStyle``.

    Args:
        classes: K, the number of classes.
        style: p(z), any prior that is one distribution; one that looks at the context is told y in its
            place, as ``priors.ConditionalNormal`` for p(z | y).
        learned: learn w; it is 1/K otherwise.

    Raises:
        TypeError, ValueError: for fewer than two classes, or a style that is no one distribution.

    Reference: Kingma et al. 2014, arXiv:1406.5298 (model M2).
    """

    observes_context = True

    classes: int
    style: AbstractDistributionPrior = field(default_factory=StandardNormal)
    learned: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.classes, int) or isinstance(self.classes, bool) or self.classes < 2:
            raise ValueError(
                f"ClassAndStyle(classes=...) expects an integer of at least 2; got {self.classes!r}."
            )
        if not isinstance(self.style, AbstractDistributionPrior):
            raise TypeError(
                "ClassAndStyle(style=...) expects a prior that is one distribution, such as "
                f"priors.StandardNormal(); got {self.style!r}."
            )

    def code_dim(self, latent_dim: int) -> int:
        return self.style.code_dim(latent_dim) + self.classes

    def sample(self, scope: Scope) -> jax.Array:
        shape = (self.classes,)
        if scope.context_shape not in ((), shape):
            raise ValueError(
                f"the prior ClassAndStyle({self.classes}) reads labels of its classes from the "
                f"context, and this VAE has context_shape={scope.context_shape}. Build "
                f"VAE(..., context_shape={shape})."
            )
        logits = jnp.zeros(shape)
        p_y = OneHotCategorical(numpyro.param("prior$class_logits", logits) if self.learned else logits)
        here = partly_observed(p_y, scope.context)
        if scope.context is not None:
            numpyro.sample("label", p_y.mask(here.known), obs=scope.context)
        y = here.filled(numpyro.sample("y", here))
        told = scope._replace(context=y, context_shape=shape)
        z = numpyro.sample("z", self.style.distribution(told))
        return jnp.concatenate([self.style.code(z), y], axis=-1)

    def __str__(self) -> str:
        weights = "w), learned" if self.learned else f"1/{self.classes})"
        return f"{self.style}, y ~ Categorical({weights}"
