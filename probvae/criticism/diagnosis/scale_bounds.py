"""Whether a bound on a scale holds the fit back: what the ELBO gains where the bound is looser."""

import copy
import math
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np

from probvae.checks import LOOSER, check_positive_integer
from probvae.criticism.latents.decoder_response import entry_scales, estimate_outputs
from probvae.criticism.observed import apply_noise
from probvae.criticism.short_repr import short_repr
from probvae.evidence import Batch, elbo
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.interfaces import AbstractLikelihood
from probvae.typing import RngKey

ROLES = ("likelihood", "posterior", "prior")
MATTERS = 0.1  # nats that all bounds together must cost before each is measured by itself
HELD = 0.5  # of the nat that a bound is looser by: a scale that follows so far is at the bound
LEAST_LOSS = 1.1  # nats, see BoundGain: 0.5 for a Gaussian likelihood, 1.07 for Laplace
ROOM = 6.0  # nats between the scale of the data, or the old bound, and the bound that is advised


@short_repr
class BoundGain(NamedTuple):
    """A bound on a log scale, and what it costs.

    ``part`` is the class that holds the bound, ``field`` the bound's name there, ``block`` the name of
    a ``Joint``'s block or "". ``bound`` is its value, ``looser`` the one that was tried, and
    ``advised`` one that leaves room, all in nats.

    ``gain`` is the mean over data of what the ELBO gains by the looser bound, in nats, all weights as
    they are, and ``gain_error`` its standard error. ``held`` is how many of ``entries`` of x have a
    scale that the bound keeps above that of the data. ``lost`` is about what these cost, in nats:
    log(scale / scale of the data) - 1.1 each, the least that a normal of the data's own mean and scale
    gains. Weights that were never fit, since they saw such a scale, show there only. ``units`` tells
    whether the units of x can be chosen: x has no fixed range.
    """

    part: str
    field: str
    block: str
    bound: float
    looser: float
    advised: float
    gain: float
    gain_error: float
    held: int
    entries: int
    lost: float
    units: bool

    def __str__(self) -> str:
        block = f' of block "{self.block}"' if self.block else ""
        return f"{self.part}({self.field}={self.bound:g}){block}"


@short_repr
class ScaleBounds(NamedTuple):
    """What bounds on log scales cost, in nats per datum.

    ``gain`` is the mean over data of what the ELBO gains where every bound is looser by one nat, a
    factor of e of the scale, and all weights stay as they are. ``gain_error`` is its standard error. A
    bound that no scale is near costs nothing. ``bounds`` holds each bound by itself, by name. It is
    empty where all together gain less than 0.1 nats, and no scale is held above that of the data.
    """

    gain: float
    gain_error: float
    bounds: dict[str, BoundGain]


class _DeclaredBound(NamedTuple):
    """A field that bounds a log scale: the way to it from the VAE, and the part that holds it."""

    way: tuple[Any, ...]
    part: Any
    looser: float
    likelihood: Any = None  # whose scale it is, with the name of its block
    block: str = ""

    @property
    def bound(self) -> float:
        return float(getattr(self.part, self.way[-1]))

    @property
    def name(self) -> str:
        return "_".join(word for word in (self.way[0], self.block, self.way[-1]) if word)

    @property
    def units(self) -> bool:
        """Whether it bounds a scale in units of x that can be chosen."""
        return self.likelihood is not None and not np.isfinite(self.likelihood.data_range).any()


def scale_bounds(fitted: Fitted, x: Any, *, rng_key: RngKey, num_particles: int = 20) -> ScaleBounds:
    """Return what the bounds on log scales cost: with looser ones, less as it is.

    The bounds are the fields that parts declare by ``probvae.checks.scale_bound``: ``min_log`` of a
    likelihood's scale, ``log_bound`` of a guide or a prior. All take the same draws.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, n >= 2, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        num_particles: draws of z per datum.

    Raises:
        ValueError: for data that do not fit or are too few, or a part that is no density.
    """
    check_fitted(fitted)
    check_positive_integer("num_particles", num_particles)
    data = apply_noise(fitted, x, rng_key, least=2)
    declared = list(_find_bounds(fitted.vae))
    if not declared:
        return ScaleBounds(0.0, 0.0, {})

    def value(vae: Any) -> np.ndarray:
        return elbo(vae, fitted.values, data, rng_key=rng_key, num_particles=num_particles).value

    as_it_is = value(fitted.vae)

    def gain(*some: _DeclaredBound) -> tuple[float, float]:
        more = value(_loosen_bound(fitted.vae, some)) - as_it_is
        return float(more.mean()), float(more.std(ddof=1) / math.sqrt(len(more)))

    total, lost = gain(*declared), _bound_losses(fitted, data, declared, rng_key)
    if not (total[0] > MATTERS or lost.any()):
        return ScaleBounds(*total, {})
    single = [total if len(declared) == 1 else gain(each) for each in declared]
    measured = zip(declared, single, strict=True)
    bounds = {each.name: _bound_gain(fitted, each, *pair, lost, data) for each, pair in measured}
    return ScaleBounds(*total, bounds)


def _bound_losses(
    fitted: Fitted, data: Batch, declared: list[_DeclaredBound], rng_key: RngKey
) -> np.ndarray:
    """Return what each entry of x loses in nats, where its scale is at a bound and above the data's."""
    lower = [each for each in declared if each.units and each.looser < each.bound]
    own = entry_scales(data)
    if not lower:
        return np.zeros(own.shape)
    _, scale = estimate_outputs(fitted.vae, fitted.values, data, rng_key=rng_key)
    excess = np.nan_to_num(np.log(scale / own) - LEAST_LOSS, nan=0.0)
    if not (excess > 0).any():
        return np.zeros(own.shape)
    _, looser = estimate_outputs(_loosen_bound(fitted.vae, lower), fitted.values, data, rng_key=rng_key)
    return np.where((excess > 0) & (np.log(scale / looser) > HELD), excess, 0.0)


def _bound_gain(
    fitted: Fitted, at: _DeclaredBound, gain: float, error: float, lost: np.ndarray, data: Batch
) -> BoundGain:
    blocks = fitted.vae.likelihood.named_blocks
    columns = blocks[at.block].columns if at.block else slice(None)
    own = lost[..., columns] if at.units else np.zeros(())
    scales = entry_scales(data)[..., columns]
    anchor = min(at.bound, math.log(scales.min())) if at.units else at.bound
    return BoundGain(
        type(at.part).__name__,
        at.way[-1],
        at.block,
        at.bound,
        at.looser,
        float(math.floor(anchor + math.copysign(ROOM, at.looser - at.bound))),
        gain,
        error,
        int((own > 0).sum()),
        scales.size,
        float(own.sum()),
        at.units,
    )


def _loosen_bound(vae: Any, some: Iterable[_DeclaredBound]) -> Any:
    for each in some:
        vae = _replace_field(vae, each.way, each.looser)
    return vae


def _find_bounds(vae: Any) -> Iterator[_DeclaredBound]:
    """Find the bounds of a VAE's parts, and of the parts that these hold."""
    for role in ROLES:
        yield from _below(getattr(vae, role), (role,))


def _below(
    part: Any, way: tuple[Any, ...], likelihood: Any = None, block: str = ""
) -> Iterator[_DeclaredBound]:
    if isinstance(part, tuple):
        name = part[0] if part and isinstance(part[0], str) else ""  # a block of a Joint
        inner = ".".join(word for word in (block, name) if word)
        for i, item in enumerate(part):
            yield from _below(item, (*way, i), likelihood, inner)
    if not is_dataclass(part) or isinstance(part, type):
        return
    likelihood = part if isinstance(part, AbstractLikelihood) else likelihood
    for field in fields(part):
        value, inside = getattr(part, field.name), (*way, field.name)
        if LOOSER in field.metadata:
            yield _DeclaredBound(inside, part, value + field.metadata[LOOSER], likelihood, block)
        else:
            yield from _below(value, inside, likelihood, block)


def _replace_field(part: Any, way: tuple[Any, ...], value: Any) -> Any:
    """Return a part with another value at the end of a way; parts are checked already."""
    if not way:
        return value
    first, rest = way[0], way[1:]
    if isinstance(part, tuple):
        return (*part[:first], _replace_field(part[first], rest, value), *part[first + 1 :])
    same = copy.copy(part)
    object.__setattr__(same, first, _replace_field(getattr(part, first), rest, value))
    return same
