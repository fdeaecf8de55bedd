"""A likelihood of entries that depend on each other given the code, in order (as in PixelVAE)."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, NoReturn

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.distributions import constraints

from probvae import distributions, nets
from probvae.checks import PositiveInt, Requirement, format_value
from probvae.compilation import hold_trace_lock
from probvae.interfaces import AbstractLikelihood, InitialValues, Scope
from probvae.likelihoods.bernoulli import Bernoulli
from probvae.likelihoods.count_means import LibrarySize
from probvae.likelihoods.joint import Joint
from probvae.typing import Params, Shape

BaseLikelihood = Annotated[AbstractLikelihood, Requirement("a likelihood such as Bernoulli()")]


@dataclass(frozen=True)
class Autoregressive(AbstractLikelihood):
    r"""A likelihood in which each entry of x depends on the entries before it, in row-major order.

    $p(x|z) = \prod_i p(x_i | g_i(x_{<i}, f(z)))$.

    The decoder f returns ``features`` numbers per entry. The masked net g maps them and the entries
    before i to the parameters of ``base`` for entry i: for ``Bernoulli()``, a logit. g sees x as the
    encoder does (counts as log(1 + x)). The density takes one pass. A draw takes at most one pass per
    entry, and far fewer if entries are discrete. If g is strong, the model may ignore z, and the KL is
    then 0.

    ``reconstruct`` returns the mean of p(x|z), as an unbiased estimate from ``mean_draws`` draws with
    fixed noise. For ``Categorical`` it returns the most frequent level in these draws. The variance is
    not available. Entries are not independent given z, so a mask raises ``ValueError``.

    Args:
        net: g, either ``nets.MaskedConv`` for images of one channel or ``nets.MADE`` for any shape.
            Your own recipe sets ``causal = True`` if output i depends on $x_{<i}$ only.
        base: the family of one entry given those before it, such as ``Categorical(4)``.
        features: how many numbers per entry the decoder returns.
        mean_draws: how many draws the mean averages.

    Raises:
        TypeError: for a net that is not masked.
        ValueError: for a base that does not factorise over entries.

    Reference: Gulrajani et al. 2017, arXiv:1611.05013, section 3.2. Chen et al. 2017,
    arXiv:1611.02731, discuss how much information is left for z.
    """

    factorises = False
    net: nets.Recipe = nets.MADE((500,))
    base: BaseLikelihood = field(default_factory=Bernoulli)
    features: PositiveInt = field(default=4, kw_only=True)
    mean_draws: PositiveInt = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.net, type) or not getattr(self.net, "causal", False):
            raise TypeError(
                "Autoregressive(net=...) expects a masked net such as nets.MADE(...), or p(x|z) would "
                f"not sum to 1; got {format_value(self.net)}."
            )
        base = self.base
        coupled = isinstance(base, Joint) or isinstance(getattr(base, "mean", None), LibrarySize)
        if (
            coupled
            or base.models_mask
            or not (base.factorises and base.is_density and base.observation is None)
        ):
            raise ValueError(
                "Autoregressive(base=...) expects a density of single entries without noise, such as "
                f"Bernoulli() or Categorical(4); got {base}."
            )
        for name in ("support", "data_range", "fill"):
            object.__setattr__(self, name, getattr(base, name))

    @property
    def encoder_view(self) -> Callable[[jax.Array], jax.Array] | None:
        return self.base.encoder_view

    @property
    def initial_values(self) -> InitialValues | None:
        return self.base.initial_values

    def output_shape(self, event_shape: Shape) -> Shape:
        if _is_spatial(self.net) and (len(event_shape) < 2 or math.prod(event_shape[2:]) != 1):
            raise ValueError(
                f"{type(self.net).__name__} expects images of one channel; got event_shape="
                f"{event_shape}. Use nets.MADE(...), which accepts any shape."
            )
        return (*event_shape, self.features)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        # The distribution outlives the program: draws and the mean call g entry by entry. By then
        # NumPyro's handlers are gone, so it carries the net's arrays and the base's parameters with it,
        # as a pytree (`_Conditional`). At each entry, g reads x and the decoder's features.
        event, spatial = scope.event_shape, _is_spatial(self.net)
        num_inputs, entries = 1 + self.features, (event[:2] if spatial else (math.prod(event),))
        in_shape = (*entries, num_inputs) if spatial else (num_inputs * entries[0],)
        out_shape = (*entries, *self.base.output_shape(event)[len(event) :])
        net = nets.register("likelihood$net", self.net, in_shape, out_shape, training=scope.training)
        base_scope = scope._replace(
            x=None, context=None, mask=None, posterior=_refuse_posterior, log_joint=None
        )
        values = _register_base(self.base, jnp.zeros((1, *self.base.output_shape(event))), base_scope)
        conditional = _Conditional(net, values, self.base, base_scope)
        return distributions.Autoregressive(
            conditional, outputs, event_dim=len(event), mean_draws=self.mean_draws
        )

    def __str__(self) -> str:
        return f"prod_i {self.base} of x_i, f(z) replaced by g_i(x_<i, f(z)), g = {self.net}"


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("net", "values"),
    meta_fields=("base", "scope"),
)
@dataclass(frozen=True, eq=False)
class _Conditional:
    """The map from (x, h) to p(x_i | x_<i, h) for all i at once, as a pytree of arrays."""

    net: Any
    values: Any
    base: Any
    scope: Any

    @property
    def support(self) -> constraints.Constraint:
        return self.base.support

    def __call__(self, x: jax.Array, h: jax.Array) -> dist.Distribution:
        view = self.base.encoder_view
        x = x if view is None else view(x)
        # A spatial net keeps the grid: (batch, height, width, 1) and (batch, height, width, features)
        # are joined along the last axis. Any other net reads x and h flattened, one after the other.
        leading = x.shape[: len(self.net.in_shape)]
        widths = [math.prod(a.shape[len(leading) :]) for a in (x, h)]
        inputs = jnp.concatenate([x.reshape(*leading, widths[0]), h.reshape(*leading, widths[1])], -1)
        outputs = self.net(inputs).reshape(len(x), *self.base.output_shape(self.scope.event_shape))
        with hold_trace_lock(), handlers.substitute(data=self.values):
            return self.base.distribution(outputs, self.scope)


def _refuse_posterior(*_: Any) -> NoReturn:
    raise TypeError("the base of Autoregressive cannot use q(z|x).")


def _is_spatial(net: nets.Recipe) -> bool:
    return getattr(net, "spatial", False)


def _register_base(base: AbstractLikelihood, outputs: jax.Array, scope: Scope) -> Params:
    """Register the parameters of the base, and return their values."""
    with handlers.trace() as sites:
        base.distribution(outputs, scope)
    if any(site["type"] != "param" for site in sites.values()):
        raise ValueError(
            "Autoregressive(base=...) expects a base without a training-set quantity; "
            f"{type(base).__name__} has {sorted(sites)}. Use Gaussian(scale=LearnedScale())."
        )
    return {name: site["value"] for name, site in sites.items()}
