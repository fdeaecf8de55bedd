"""Bounds on log scales: what the ELBO gains if a bound is looser."""

import copy
import math
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from probvae.checks import LOOSER, check_positive_integer
from probvae.criticism.latents.decoder_response import entry_scales, estimate_outputs
from probvae.criticism.observed import observe
from probvae.evidence import Batch, elbo
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.interfaces import AbstractLikelihood
from probvae.likelihoods import Standardized
from probvae.short_repr import short_repr
from probvae.typing import DataLike, RngKey
from probvae.vae import VAE

ROLES = ("likelihood", "posterior", "prior")
MIN_GAIN = 0.1  # nats: if all bounds together cost less, they are not measured one by one
AT_BOUND = 0.5  # a scale is at its bound if it changes by more than this for a bound one nat looser
MIN_LOSS = 1.1  # nats, see BoundGain: 0.5 for a Gaussian likelihood, 1.07 for Laplace
ROOM = 6.0  # nats between the advised bound and the scale of the data, or the current bound

Part = TypeVar("Part")
Path = tuple[int | str, ...]  # indices and field names, from the VAE to a bound


@short_repr
class BoundGain(NamedTuple):
    """A bound on a log scale, and its cost in nats per row.

    ``part`` is the class that holds the bound, ``field`` the bound's name there, and ``block`` the name
    of a ``Joint``'s block or "". ``bound`` is its value, ``looser_bound`` a value that was tried, and
    ``advised_bound`` one that leaves room, all on the log scale.

    ``gain`` is the mean gain of the ELBO under the looser bound, with the same weights, and
    ``gain_error`` its standard error. ``num_at_bound`` of ``num_entries`` entries of x have a scale
    that the bound keeps above that of the data. ``loss`` estimates their cost:
    log(scale / scale of the data) - 1.1 for each, the least that a normal with the data's mean and
    scale gains. It also shows bounds whose effect ``gain`` misses: weights that never saw a smaller
    scale are not accurate enough to profit from it. ``can_rescale`` is true if x has no fixed range, so
    that you can change its units.
    """

    part: str
    field: str
    block: str
    bound: float
    looser_bound: float
    advised_bound: float
    gain: float
    gain_error: float
    num_at_bound: int
    num_entries: int
    loss: float
    can_rescale: bool

    def describe(self) -> str:
        """Return the argument that holds the bound, such as ``Gaussian(min_log=-5)``."""
        block = f' of block "{self.block}"' if self.block else ""
        return f"{self.part}({self.field}={self.bound:g}){block}"


@short_repr
class ScaleBounds(NamedTuple):
    """The cost of all bounds on log scales, in nats per row.

    ``gain`` is the mean gain of the ELBO if every bound is looser by one nat (a factor of e in the
    scale) and all weights stay the same. ``gain_error`` is its standard error. A bound costs nothing if
    no scale is near it. ``bounds`` holds the cost of each bound by name. It is empty if all bounds
    together gain less than 0.1 nats and keep no scale above that of the data.
    """

    gain: float
    gain_error: float
    bounds: dict[str, BoundGain]


class _DeclaredBound(NamedTuple):
    """A field that bounds a log scale, with the path to it from the VAE and the part that holds it."""

    path: Path
    part: object
    looser: float
    likelihood: AbstractLikelihood | None = None  # the likelihood that the scale belongs to
    block: str = ""
    is_standardized: bool = False  # the bound is in standard deviations of the data

    @property
    def field(self) -> str:
        return str(self.path[-1])

    @property
    def bound(self) -> float:
        return float(getattr(self.part, self.field))

    @property
    def name(self) -> str:
        return "_".join(str(word) for word in (self.path[0], self.block, self.field) if word)

    @property
    def can_rescale(self) -> bool:
        """Whether the bounded scale is in units of x that the user can choose."""
        return self.likelihood is not None and not np.isfinite(self.likelihood.data_range).any()


def scale_bounds(
    fitted: Fitted, x: DataLike, *, rng_key: RngKey, num_particles: int = 20
) -> ScaleBounds:
    """Measure what the bounds on log scales cost: the ELBO with looser bounds minus the ELBO.

    The bounds are the fields that parts declare with ``probvae.checks.scale_bound``, such as
    ``min_log`` of a likelihood's scale or ``log_bound`` of a guide. All ELBOs use the same draws.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, n >= 2, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        num_particles: draws of z per row.

    Raises:
        ValueError: for incompatible data, fewer than two rows, or a part that is not a density.
    """
    check_fitted(fitted)
    check_positive_integer("num_particles", num_particles)
    data = observe(fitted, x, rng_key, least=2)
    declared = list(_find_bounds(fitted.vae))
    if not declared:
        return ScaleBounds(0.0, 0.0, {})

    def evaluate(vae: VAE) -> np.ndarray:
        return elbo(vae, fitted.values, data, rng_key=rng_key, num_particles=num_particles).value

    current_elbo = evaluate(fitted.vae)

    def measure_gain(*bounds: _DeclaredBound) -> tuple[float, float]:
        gains = evaluate(_loosen_bounds(fitted.vae, bounds)) - current_elbo
        return float(gains.mean()), float(gains.std(ddof=1) / math.sqrt(len(gains)))

    total, losses = measure_gain(*declared), _entry_losses(fitted, data, declared, rng_key)
    if not (total[0] > MIN_GAIN or losses.any()):
        return ScaleBounds(*total, {})
    single = [total] if len(declared) == 1 else [measure_gain(bound) for bound in declared]
    bounds = {
        bound.name: _bound_gain(fitted, bound, gain, error, losses, data)
        for bound, (gain, error) in zip(declared, single, strict=True)
    }
    return ScaleBounds(*total, bounds)


def _entry_losses(
    fitted: Fitted, data: Batch, declared: list[_DeclaredBound], rng_key: RngKey
) -> np.ndarray:
    """Return the loss in nats of each entry whose scale is at a lower bound and above the data's."""
    lower = [bound for bound in declared if bound.can_rescale and bound.looser < bound.bound]
    data_scales = entry_scales(data)
    if not lower:
        return np.zeros(data_scales.shape)
    _, scales = estimate_outputs(fitted.vae, fitted.values, data, rng_key=rng_key)
    excess = np.nan_to_num(np.log(scales / data_scales) - MIN_LOSS, nan=0.0)
    if not (excess > 0).any():
        return np.zeros(data_scales.shape)
    loosened = _loosen_bounds(fitted.vae, lower)
    _, looser_scales = estimate_outputs(loosened, fitted.values, data, rng_key=rng_key)
    return np.where((excess > 0) & (np.log(scales / looser_scales) > AT_BOUND), excess, 0.0)


def _bound_gain(
    fitted: Fitted, bound: _DeclaredBound, gain: float, error: float, losses: np.ndarray, data: Batch
) -> BoundGain:
    blocks = fitted.vae.likelihood.named_blocks
    columns = blocks[bound.block].columns if bound.block else slice(None)
    entry_losses = losses[..., columns] if bound.can_rescale else np.zeros(())
    scales = entry_scales(data)[..., columns]
    smallest = 1.0 if bound.is_standardized else scales.min()
    anchor = min(bound.bound, math.log(smallest)) if bound.can_rescale else bound.bound
    return BoundGain(
        type(bound.part).__name__,
        bound.field,
        bound.block,
        bound.bound,
        bound.looser,
        float(math.floor(anchor + math.copysign(ROOM, bound.looser - bound.bound))),
        gain,
        error,
        int((entry_losses > 0).sum()),
        scales.size,
        float(entry_losses.sum()),
        bound.can_rescale and not bound.is_standardized,
    )


def _loosen_bounds(vae: Part, bounds: Iterable[_DeclaredBound]) -> Part:
    for bound in bounds:
        vae = _replace_field(vae, bound.path, bound.looser)
    return vae


def _find_bounds(vae: object) -> Iterator[_DeclaredBound]:
    """Find the declared bounds of a VAE's parts, and of the parts inside them."""
    for role in ROLES:
        yield from _walk_bounds(getattr(vae, role), (role,))


def _walk_bounds(
    part: object,
    path: Path,
    likelihood: AbstractLikelihood | None = None,
    block: str = "",
    *,
    is_standardized: bool = False,
) -> Iterator[_DeclaredBound]:
    # `likelihood` and `block` are those of the closest enclosing parts: they give a bound its units
    # and its columns.
    if isinstance(part, tuple):
        name = part[0] if part and isinstance(part[0], str) else ""  # a block of a Joint
        inner_block = ".".join(word for word in (block, name) if word)
        for i, item in enumerate(part):
            yield from _walk_bounds(
                item, (*path, i), likelihood, inner_block, is_standardized=is_standardized
            )
    if not is_dataclass(part) or isinstance(part, type):
        return
    likelihood = part if isinstance(part, AbstractLikelihood) else likelihood
    is_standardized = is_standardized or isinstance(part, Standardized)
    for field in fields(part):
        value, inner_path = getattr(part, field.name), (*path, field.name)
        if LOOSER in field.metadata:
            looser = value + field.metadata[LOOSER]
            yield _DeclaredBound(inner_path, part, looser, likelihood, block, is_standardized)
        else:
            yield from _walk_bounds(
                value, inner_path, likelihood, block, is_standardized=is_standardized
            )


def _replace_field(part: Any, path: Path, value: float) -> Any:
    """Return a copy of a part with another value at the end of a path, without checking it again."""
    if not path:
        return value
    first: Any = path[0]
    rest = path[1:]
    if isinstance(part, tuple):
        return (*part[:first], _replace_field(part[first], rest, value), *part[first + 1 :])
    changed = copy.copy(part)
    object.__setattr__(changed, first, _replace_field(getattr(part, first), rest, value))
    return changed
