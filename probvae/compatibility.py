"""Checks that the parts of a VAE are compatible. Each error names both parts and a remedy."""

import warnings
from contextlib import suppress

import jax

from probvae.checks import check_kind, check_positive_integer, to_shape
from probvae.faq import cite
from probvae.interfaces import (
    AbstractDistributionGuide,
    AbstractDistributionPrior,
    AbstractLikelihood,
    AbstractPrior,
    AbstractProgramGuide,
    AbstractProgramPrior,
    AbstractVAE,
)
from probvae.nets import BayesianNet, InputTransform
from probvae.nets.external_modules import adapter_hint, is_module
from probvae.tracing import Site, trace_structure
from probvae.typing import Params, Recipe

ROLES = {
    "prior": (AbstractDistributionPrior, AbstractProgramPrior),
    "posterior": (AbstractDistributionGuide, AbstractProgramGuide),
    "likelihood": (AbstractLikelihood,),
}
GUIDES = {  # by the support of the prior
    "real": "guides.MeanField() or another normal guide",
    "boolean": "guides.Bernoulli()",
    "one-hot": "guides.Categorical()",
    "sphere": "guides.PowerSpherical()",
    "log-simplex": "guides.RelaxedCategorical()",
}
PARAMETERS = ("encoder", "decoder", "prior", "guide", "likelihood")  # prefixes of the sites' names
LARGEST = 2**31 - 1  # entries of an array with 32-bit indices
PACKAGE = {"prior": "priors", "posterior": "guides", "likelihood": "likelihoods"}


def check_fields(vae: AbstractVAE) -> None:
    """Raise unless each field of a VAE is of its kind. Convert shapes to tuples."""
    for name in ("event_shape", "context_shape"):
        object.__setattr__(vae, name, to_shape(name, getattr(vae, name)))
    if not vae.event_shape:
        raise ValueError("event_shape expects at least one dimension, such as (8, 8); got ().")
    check_positive_integer("latent_dim", vae.latent_dim)
    for name in ("encode_mask", "training"):
        check_kind(name, getattr(vae, name), bool)
    object.__setattr__(vae, "frozen", check_roles("frozen", vae.frozen))
    for role, kinds in ROLES.items():
        _check_kind(role, getattr(vae, role), kinds)
    for role in ("encoder", "decoder"):
        _check_net(role, getattr(vae, role))
    _check_images(vae)
    if vae.encode_mask and not vae.likelihood.factorises:
        raise ValueError(
            "encode_mask=True needs a likelihood that factorises over the entries of x, such as "
            f"Bernoulli or Gaussian; got {type(vae.likelihood).__name__}. Or use encode_mask=False."
        )


def check_roles(name: str, roles: object) -> tuple[str, ...]:
    """Return roles of parts with parameters as a tuple. Raise ValueError for other roles."""
    if isinstance(roles, list | tuple | set | frozenset) and set(roles) <= set(PARAMETERS):
        return tuple(role for role in PARAMETERS if role in roles)
    raise ValueError(
        f"{name} expects a tuple with some of {', '.join(PARAMETERS)} ('guide' means the posterior's "
        f"own parameters); got {roles!r}."
    )


def _check_kind(role: str, part: object, kinds: tuple[type, ...]) -> None:
    if isinstance(part, kinds):
        return
    if isinstance(part, type) and issubclass(part, kinds):
        hint = f"Call it: {part.__name__}()."
    else:
        hint = f"Use one from probvae.{PACKAGE[role]}, or subclass {kinds[0].__name__}."
    raise TypeError(f"{role} expects a {PACKAGE[role][:-1]} component; got {part!r}. {hint}")


def _check_net(role: str, net: object) -> None:
    with suppress(TypeError):  # of a net that is not hashable, as it holds arrays
        hash(net)
        if callable(net) and not is_module(net):
            return
    raise TypeError(
        f"{role} expects a recipe `recipe(in_shape, out_shape, *, rngs) -> nnx.Module`, hashable and "
        f"without arrays, such as nets.MLP((300, 300)) or an NNX class; got {type(net).__name__}. "
        f"{adapter_hint(net)}"
    )


def _image_nets(vae: AbstractVAE) -> list[tuple[str, Recipe]]:
    """Return the roles and nets that read ``event_shape`` as (height, width[, channels])."""
    decoder = vae.decoder
    while isinstance(decoder, InputTransform):  # it transforms the code, not the output image
        decoder = decoder.net
    nets = (("encoder", vae.encoder), ("decoder", decoder))
    return [(role, net) for role, net in nets if getattr(net, "takes_images", False)]


def _check_images(vae: AbstractVAE) -> None:
    """Raise for volumes, videos and other data with four or more axes in two-dimensional nets."""
    shape = vae.event_shape
    for role, net in _image_nets(vae):
        if len(shape) > 3:
            raise ValueError(
                f"{role}={net} expects images (height, width[, channels]); got event_shape={shape}, "
                f"with {len(shape)} axes. Merge the other axes into the channels: np.moveaxis(x, 1, 3)"
                ".reshape(len(x), height, width, -1) for (n, depth, height, width, channels). Or use "
                "nets.MLP, which reads all entries as one vector, or your own three-dimensional module."
            )


def _axes_warning(vae: AbstractVAE) -> str | None:
    """Return a warning for images that look channels-first, or like a time series, or None.

    A shape does not name its axes. The warning is for shapes that are almost impossible for an image:
    a few pixels wide and very long, or with fewer rows than (square) columns and channels.
    """
    images, shape = _image_nets(vae), vae.event_shape
    if not images:
        return None
    role, net = images[0]
    if len(shape) == 2:
        long, short = max(shape), min(shape)
        if short > 4 or long < 8 * short:
            return None
        length, size = shape if shape[0] >= shape[1] else shape[::-1]
        series = "x" if shape[0] >= shape[1] else "np.moveaxis(x, 1, 2)"
        return (
            f"{role}={net} reads event_shape={shape} as an image of height {shape[0]} and width "
            f"{shape[1]}. A series of {length} times with {size} values each has this shape too. For a "
            f"series use nets.MLP, or make the values channels: {series}[:, :, None] and "
            f"event_shape={(length, 1, size)}. For an image, add an axis of one channel: "
            f"event_shape={(*shape, 1)}."
        )
    if len(shape) == 3 and _looks_channels_first(*shape):
        channels, height, width = shape
        return (
            f"{role}={net} reads event_shape={shape} as (height, width, channels): height {channels}, "
            f"width {height} and {width} channels. Images with the channels first, as in PyTorch, have "
            "this shape too. If yours do, move the channels to the end: np.moveaxis(x, 1, -1) and "
            f"event_shape={(height, width, channels)}. {cite('channels-first')}"
        )
    return None


def _looks_channels_first(a: int, b: int, c: int) -> bool:
    few = a <= 4 < c and a < b and max(b, c) <= 4 * min(b, c)
    return few or a < b == c


def check_programs(vae: AbstractVAE) -> None:
    """Raise unless prior and guide have the same latent sites, with the same shapes and supports."""
    _check_log_joint(vae)
    _check_top_down(vae)
    structure = trace_structure(vae)
    pair = _name_pair(vae)
    if set(structure.model) != set(structure.guide):
        raise ValueError(
            f"{pair} are incompatible: the prior has latent sites {sorted(structure.model)}, the "
            f"posterior {sorted(structure.guide)}. For a hierarchical prior, use a guide with the same "
            "sites (guides.TwoLevelTopDown(), guides.Ladder()). For a prior with the one site "
            '"z", use a distribution guide such as guides.MeanField(). '
            f"{cite('incompatible-parts')}"
        )
    _check_points(vae, structure.guide)
    for name, p in structure.model.items():
        _check_site(pair, name, p, structure.guide[name])
    _check_sizes(vae, structure.params)
    if text := _axes_warning(vae):
        warnings.warn(text, stacklevel=4)


def _name_pair(vae: AbstractVAE) -> str:
    return f"the prior {type(vae.prior).__name__} and the posterior {type(vae.posterior).__name__}"


def _check_sizes(vae: AbstractVAE, params: Params) -> None:
    largest = max(jax.tree.leaves(params), key=lambda leaf: leaf.size, default=None)
    if largest is not None and largest.size > LARGEST:
        raise ValueError(
            f"event_shape={vae.event_shape} and latent_dim={vae.latent_dim} make an array of weights, "
            f"{largest.shape}, with {largest.size:,} entries. At most {LARGEST:,} are possible. Check "
            "that no size is the number of data, or use smaller sizes."
        )


def _check_log_joint(vae: AbstractVAE) -> None:
    if vae.posterior.uses_log_joint and isinstance(vae.decoder, BayesianNet):
        raise ValueError(
            f"the posterior {type(vae.posterior).__name__} maximises log p(x, z) over z, which needs a "
            f"decoder with fixed weights; got {vae.decoder} with random weights. Use "
            "guides.MeanField(), or the net itself as the decoder."
        )


def _check_top_down(vae: AbstractVAE) -> None:
    has_hierarchy = type(vae.prior).top_down is not AbstractPrior.top_down
    if vae.posterior.uses_top_down and not has_hierarchy:
        raise ValueError(
            f"{_name_pair(vae)} are incompatible: the posterior uses the nets of a prior's hierarchy, "
            "and this prior has none. Use priors.Ladder(), priors.TwoLevel() or guides.MeanField()."
        )


def _check_points(vae: AbstractVAE, sites: dict[str, Site]) -> None:
    points = [name for name, site in sites.items() if site.point]
    if points and vae.posterior.is_density:
        raise ValueError(
            f"the posterior {type(vae.posterior).__name__} puts all mass on one point at site "
            f'"{points[0]}" (a Delta distribution). It has no density, so that no bound on log p(x) '
            "holds. For a plain autoencoder, use guides.PointMass(), or set `is_density = False` in "
            "the guide's class. For a VAE, use a guide with spread, such as guides.MeanField()."
        )


def _check_site(pair: str, name: str, p: Site, q: Site) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(
            f'{pair} are incompatible at site "{name}": event shapes {p.event_shape} and '
            f"{q.event_shape}."
        )
    if p.support != q.support:
        guide = GUIDES.get(p.support, "a guide with the support of the prior")
        raise ValueError(
            f'{pair} are incompatible at site "{name}": the support of the prior is {p.support}, that '
            f"of the posterior {q.support}. Use {guide}. {cite('incompatible-parts')}"
        )
    if p.scaled or q.scaled:
        raise ValueError(
            f'{pair}: `handlers.scale` applies to the site "{name}", so importance-weighted bounds are '
            "wrong. Pass the size of the data set as `num_data`, and the plate scales the sites."
        )


def incompatible_parts_error(vae: AbstractVAE) -> TypeError:
    """Return the error for a prior that mixes q(z|x) if it has no density."""
    return TypeError(
        f"{_name_pair(vae)} are incompatible: the prior is a mixture of q(z|x), and the posterior has "
        "no density of the top code. Use a different prior, or a guide such as guides.MeanField() (in "
        "a hierarchy, guides.TwoLevelTopDown())."
    )
