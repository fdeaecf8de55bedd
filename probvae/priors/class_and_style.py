"""A prior of a class, which may be labelled, and a style."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpyro

from probvae.checks import IntAboveOne
from probvae.distributions import OneHotCategorical, partly_observed
from probvae.interfaces import AbstractProgramPrior, Scope
from probvae.priors.standard_normal import StandardNormal
from probvae.priors.top_down import SinglePrior


@dataclass(frozen=True)
class ClassAndStyle(AbstractProgramPrior):
    r"""A class y and a style z, for data of which some have labels. The decoder receives (z, y).

    $y \sim \mathrm{Categorical}(w)$, $z | y \sim$ ``style``. The site ``"y"`` is one-hot, of length
    ``classes``. The site ``"z"`` has length ``latent_dim``.

    With ``VAE(context_shape=(classes,))`` the context holds the labels. A row is the one-hot label, or
    zeros for a datum without a label. Without a context no datum has a label. Labels are observed at
    the site ``"label"``, so that a labelled datum scores log p(x, y) and an unlabelled one log p(x).
    No net sees the context. Use ``fitted.sample(n, context=...)`` to draw data of a given class. The
    matching guide is ``guides.ClassAndStyle``.

    Args:
        classes: K, the number of classes.
        style: p(z), any prior that is one distribution. A prior that reads the context reads y
            instead: ``priors.ConditionalNormal()`` gives p(z | y).
        learned: learn the weights w, which are 1/K otherwise.

    Reference: Kingma et al. 2014, arXiv:1406.5298 (model M2).
    """

    observes_context = True

    classes: IntAboveOne
    style: SinglePrior = field(default_factory=StandardNormal)
    learned: bool = False

    def code_dim(self, latent_dim: int) -> int:
        return self.style.code_dim(latent_dim) + self.classes

    def sample(self, scope: Scope) -> jax.Array:
        shape = (self.classes,)
        if scope.context_shape not in ((), shape):
            raise ValueError(
                f"the prior ClassAndStyle({self.classes}) reads labels from the context; got "
                f"context_shape={scope.context_shape}. Build VAE(..., context_shape={shape})."
            )
        logits = jnp.zeros(shape)
        p_y = OneHotCategorical(numpyro.param("prior$class_logits", logits) if self.learned else logits)
        # The site "y" is latent in every row, also where the label is known: NumPyro has no site that
        # is observed in some rows only. In known rows it holds the label, and log p(y) moves to the
        # site "label", which is masked to these rows.
        partial_y = partly_observed(p_y, scope.context)
        if scope.context is not None:
            numpyro.sample("label", p_y.mask(partial_y.known), obs=scope.context)
        y = partial_y.fill_known(numpyro.sample("y", partial_y))
        style_scope = scope._replace(context=y, context_shape=shape)
        z = numpyro.sample("z", self.style.distribution(style_scope))
        return jnp.concatenate([self.style.code(z), y], axis=-1)

    def __str__(self) -> str:
        weights = "w), learned" if self.learned else f"1/{self.classes})"
        return f"{self.style}, y ~ Categorical({weights}"
