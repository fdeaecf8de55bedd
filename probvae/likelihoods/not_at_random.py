"""A likelihood of data and of their mask, for entries that are missing because of their values."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from probvae.checks import Requirement
from probvae.distributions import MissingEntries, is_reparametrised
from probvae.interfaces import AbstractLikelihood, Block, InitialValues, Scope
from probvae.likelihoods.missingness import AbstractMissingness
from probvae.likelihoods.scales import OptimalScale
from probvae.typing import Shape


def _can_be_hidden(likelihood: AbstractLikelihood) -> bool:
    """Tell whether a likelihood factorises and is a density without noise."""
    return (
        likelihood.factorises
        and likelihood.is_density
        and likelihood.observation is None
        and not isinstance(getattr(likelihood, "scale", None), OptimalScale)
        and not likelihood.models_mask
    )


@dataclass(frozen=True)
class NotAtRandom(AbstractLikelihood):
    r"""A likelihood of data whose entries are missing because of their values (MNAR).

    $p(x_{obs}, s | z) = p(x_{obs} | z) \int p(s | x) p(x_{mis} | z) dx_{mis}$, where s is the mask.

    The program draws $x_{mis} \sim p(x|z)$ once for each code, and scores
    $\log p(x_{obs}|z) + \log p(s | x_{obs}, x_{mis})$. With ``objectives.IWAE`` the bound is that of
    not-MIWAE. ``log_prob`` is then a bound on $\log p(x_{obs}, s)$, in nats: a density of x times the
    probability of the mask. Compare it only with models of the mask. ``impute`` uses the draws
    $x_{mis}$ themselves, with their weights. Data without a mask are completely observed, s = 1.
    ``sample`` returns complete data.

    **Nothing in the data can confirm p(s | x).** If it is wrong, imputed values can be worse than those
    of a model that ignores the mask. Try several, and report what depends on the choice.

    Args:
        base: p(x|z), a density with reparametrised draws, such as ``Gaussian()``. To use it for some
            columns only, make it a block of a ``Joint``.
        missingness: p(s | x), ``SelfMasking(...)`` or ``MaskingNet(...)``.

    Raises:
        ValueError: for a base of counts or levels, whose draws have no gradient.

    Reference: Ipsen, Mattei and Frellsen 2021, not-MIWAE, arXiv:2006.12871.

    Examples:
        >>> from probvae import likelihoods
        >>> missingness = likelihoods.SelfMasking(sign=1)  # large values are missing
        >>> print(likelihoods.NotAtRandom(likelihoods.Gaussian(), missingness=missingness))
        Normal(f(z), sigma^2), sigma learned, logit p(observed) = a_d - w_d x_d, w_d > 0
    """

    base: Annotated[
        AbstractLikelihood,
        Requirement("a density that factorises, without noise, such as Gaussian()", _can_be_hidden),
    ]
    _: KW_ONLY
    missingness: Annotated[
        AbstractMissingness, Requirement("a missingness part such as likelihoods.SelfMasking(sign=1)")
    ]

    def __post_init__(self) -> None:
        for name in ("support", "data_range", "fill"):
            object.__setattr__(self, name, getattr(self.base, name))

    @property
    def models_mask(self) -> bool:
        return True

    @property
    def named_blocks(self) -> dict[str, Block]:
        return self.base.named_blocks

    @property
    def encoder_view(self) -> Callable[[jax.Array], jax.Array] | None:
        return self.base.encoder_view

    @property
    def initial_values(self) -> InitialValues:
        return self._merge_initial_values

    def _merge_initial_values(
        self, x: np.ndarray, mask: np.ndarray, context: np.ndarray | None
    ) -> dict[str, Any]:
        base = self.base.initial_values
        own = self.missingness.initial_values(mask)
        return own if base is None else {**base(x, mask, context), **own}

    def output_shape(self, event_shape: Shape) -> Shape:
        return self.base.output_shape(event_shape)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return self.base.distribution(outputs, scope)

    def observe_mask(self, p: dist.Distribution, scope: Scope) -> dist.Distribution:
        if scope.x is None:  # complete data, to be drawn
            return p
        if not is_reparametrised(p):
            raise ValueError(
                "NotAtRandom(base=...) expects a density whose draws have gradients, such as "
                f"Gaussian() or StudentT(); got {self.base}. In a Joint, wrap only the blocks of real "
                "numbers: Joint(a=(2, NotAtRandom(...)), b=(1, Bernoulli()))."
            )
        # A draw of the missing entries for each code: the weight p(x_obs, s, z) / q(z) is then
        # unbiased, as p(s | x) is averaged over p(x_mis | z). Without a seed, as in the inner gradients
        # of a guide, the draws are the same for every code.
        rng_key = numpyro.prng_key()
        hidden = p.sample(jax.random.key(0) if rng_key is None else rng_key)
        mask = jnp.ones(hidden.shape, bool) if scope.mask is None else scope.mask
        x = jnp.where(mask, scope.x, hidden)
        view = self.base.encoder_view
        logits = self.missingness.logits(x if view is None else view(x), scope)
        log_selection = jax.nn.log_sigmoid(jnp.where(mask, logits, -logits))
        return MissingEntries(p, mask, hidden, log_selection)

    def __str__(self) -> str:
        return f"{self.base}, {self.missingness}"
