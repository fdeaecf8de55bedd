"""Data whose entries depend on each other given the code, in order."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.distributions import constraints

from probvae import distributions, nets
from probvae.compilation import hold_trace_lock
from probvae.interfaces import AbstractLikelihood, InitialValues, Scope
from probvae.likelihoods.bernoulli import Bernoulli
from probvae.likelihoods.count_means import LibrarySize
from probvae.likelihoods.joint import Joint
from probvae.typing import Shape


@dataclass(frozen=True)
class Autoregressive(AbstractLikelihood):
    """p(x|z) = prod_i p(x_i | g_i(x_<i, f(z))), the entries of x in row-major order.

    The decoder f gives ``features`` numbers per entry; the masked net g turns them and the entries
    before i into what ``base`` needs for entry i: for ``Bernoulli()``, a logit. (It sees x as the
    encoder does: log(1 + x) of counts.) The density takes one pass, a draw at most one per entry, far
    fewer where entries are discrete. A strong g can do without z, whose KL is then 0.

    The mean of p(x|z), which ``reconstruct`` gives, is an unbiased estimate from ``mean_draws`` draws
    with fixed noise. For ``Categorical`` it is the level that is most probable in these draws. The
    variance is not known. The entries are not independent given z: a mask is refused.

    Args:
        net: g: ``nets.MaskedConv`` over images of one channel, or ``nets.MADE`` over all entries. A
            recipe of one's own says by ``causal = True`` that output i depends on x_<i only.
        base: the family of an entry given those before it, such as ``Categorical(4)``.
        features: how many numbers per entry the decoder gives.
        mean_draws: over how many draws the mean is taken.

    Raises:
        TypeError, ValueError: for a net that is not masked, a base that does not factorise, or counts
            below 1.

    Reference: Gulrajani et al. 2017, arXiv:1611.05013, section 3.2; Chen et al. 2017,
    arXiv:1611.02731 (on what z is left to say).
    """

    factorises = False
    net: nets.Recipe = nets.MADE((500,))
    base: AbstractLikelihood = field(default_factory=Bernoulli)
    features: int = field(default=4, kw_only=True)
    mean_draws: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        _check_net(self.net)
        _check_base(self.base)
        for name in ("features", "mean_draws"):
            count = getattr(self, name)
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise ValueError(
                    f"Autoregressive({name}=...) expects a positive integer; got {count!r}."
                )
        for name in ("support", "data_range", "fill"):
            object.__setattr__(self, name, getattr(self.base, name))

    @property
    def encoder_view(self) -> Callable[[jax.Array], jax.Array] | None:
        return self.base.encoder_view

    @property
    def initial_values(self) -> InitialValues | None:
        return self.base.initial_values

    def output_shape(self, event_shape: Shape) -> Shape:
        if _spatial(self.net) and (len(event_shape) < 2 or math.prod(event_shape[2:]) != 1):
            raise ValueError(
                f"{type(self.net).__name__} orders the pixels of images of one channel; got "
                f"event_shape={event_shape}. Take Autoregressive(nets.MADE(...)), which orders all "
                "entries, or give images (height, width)."
            )
        return (*event_shape, self.features)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        event, spatial = scope.event_shape, _spatial(self.net)
        given, entries = 1 + self.features, (event[:2] if spatial else (math.prod(event),))
        in_shape = (*entries, given) if spatial else (given * entries[0],)
        out_shape = (*entries, *self.base.output_shape(event)[len(event) :])
        net = nets.register("likelihood$net", self.net, in_shape, out_shape, training=scope.training)
        unseen = scope._replace(x=None, context=None, mask=None, posterior=_mask_later, log_joint=None)
        values = _register_base(self.base, jnp.zeros((1, *self.base.output_shape(event))), unseen)
        conditional = _Conditional(net, values, self.base, unseen)
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
    """(x, h) -> p(x_i | x_<i, h) for all i at once; a pytree of the net's arrays and base's values."""

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
        kept = x.shape[: len(self.net.in_shape)]  # the batch and, for a spatial net, the grid
        last = [math.prod(a.shape[len(kept) :]) for a in (x, h)]
        told = jnp.concatenate([x.reshape(*kept, last[0]), h.reshape(*kept, last[1])], axis=-1)
        outputs = self.net(told).reshape(len(x), *self.base.output_shape(self.scope.event_shape))
        with hold_trace_lock(), handlers.substitute(data=self.values):
            return self.base.distribution(outputs, self.scope)


def _mask_later(*_: Any) -> Any:
    raise TypeError("a conditional of Autoregressive is not told q(z|x).")


def _spatial(net: Any) -> bool:
    return getattr(net, "spatial", False)


def _register_base(base: AbstractLikelihood, outputs: jax.Array, scope: Scope) -> dict[str, Any]:
    """Register the base's own parameters; return their values, for when the program has ended."""
    with handlers.trace() as sites:
        base.distribution(outputs, scope)
    if any(site["type"] != "param" for site in sites.values()):
        raise ValueError(
            f"Autoregressive's base {type(base).__name__} keeps a training-set quantity "
            f"({sorted(sites)}), which is known for a whole likelihood only. Take a base with "
            "parameters alone, as Gaussian(scale=LearnedScale())."
        )
    return {name: site["value"] for name, site in sites.items()}


def _check_net(net: Any) -> None:
    if getattr(net, "causal", False) and not isinstance(net, type):
        return
    raise TypeError(
        "Autoregressive(net=...) expects a masked net, whose output i depends on entries before i "
        f"only: nets.MaskedConv(...) or nets.MADE(...); got {net!r}. With any other, p(x|z) would not "
        "sum to 1."
    )


def _check_base(base: Any) -> None:
    if not isinstance(base, AbstractLikelihood):
        raise TypeError(
            f"Autoregressive(base=...) expects a likelihood such as Bernoulli(); got {base!r}."
        )
    coupled = isinstance(base, Joint) or isinstance(getattr(base, "mean", None), LibrarySize)
    if coupled or not (base.factorises and base.is_density and base.observation is None):
        raise ValueError(
            f"Autoregressive's base is {base}; expected a family of single entries that is a density "
            "and adds no noise, such as Bernoulli(), Categorical(4) or DiscretizedLogistic()."
        )
