"""Where parts are joined: each pair is checked once, and an error names both and the remedy."""

import warnings
from typing import Any

import jax

from probvae.checks import check_kind, to_shape
from probvae.interfaces import (
    AbstractDistributionGuide,
    AbstractDistributionPrior,
    AbstractLikelihood,
    AbstractPrior,
    AbstractProgramGuide,
    AbstractProgramPrior,
)
from probvae.nets import BayesianNet, InputTransform
from probvae.nets.external_modules import adapter_hint, is_module
from probvae.tracing import Site, trace_structure

ROLES = {
    "prior": (AbstractDistributionPrior, AbstractProgramPrior),
    "posterior": (AbstractDistributionGuide, AbstractProgramGuide),
    "likelihood": (AbstractLikelihood,),
}
FITTING = {
    "real": "guides.MeanField() or another normal guide",
    "boolean": "guides.Bernoulli()",
    "one-hot": "guides.Categorical()",
    "sphere": "guides.PowerSpherical()",
    "log-simplex": "guides.RelaxedCategorical()",
}
PARAMETERS = ("encoder", "decoder", "prior", "guide", "likelihood")  # first halves of sites' names
LARGEST = 2**31 - 1  # entries of an array, which an index of 32 bits reaches
PACKAGE = {"prior": "priors", "posterior": "guides", "likelihood": "likelihoods"}


def check_fields(vae: Any) -> None:
    """Raise unless each field of a VAE is of its kind; make shapes tuples."""
    for name in ("event_shape", "context_shape"):
        object.__setattr__(vae, name, to_shape(name, getattr(vae, name)))
    if not vae.event_shape:
        raise ValueError("event_shape expects at least one dimension, such as (8, 8); got ().")
    if not isinstance(vae.latent_dim, int) or isinstance(vae.latent_dim, bool) or vae.latent_dim < 1:
        raise ValueError(f"latent_dim expects a positive integer; got {vae.latent_dim!r}.")
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
            "encode_mask=True tells the encoder which entries of x are observed, but the likelihood "
            f"{type(vae.likelihood).__name__} does not factorise over them, so that no mask can be "
            "given. Take encode_mask=False, or a likelihood that does (Bernoulli, Gaussian)."
        )


def check_roles(name: str, roles: Any) -> tuple[str, ...]:
    """Return roles that own parameters, as a tuple; raise for any other."""
    if isinstance(roles, list | tuple | set | frozenset) and set(roles) <= set(PARAMETERS):
        return tuple(role for role in PARAMETERS if role in roles)
    raise ValueError(
        f"{name} expects a tuple of a VAE's parts, by the first half of their parameters' names: "
        f"{', '.join(PARAMETERS)}; got {roles!r}. (The posterior's own are those of 'guide'.)"
    )


def _check_kind(role: str, part: Any, kinds: tuple[type, ...]) -> None:
    if isinstance(part, kinds):
        return
    if isinstance(part, type) and issubclass(part, kinds):
        hint = f"Call it: {part.__name__}()."
    else:
        hint = f"Take one from probvae.{PACKAGE[role]}, or subclass {kinds[0].__name__}."
    raise TypeError(f"{role} expects a {PACKAGE[role][:-1]} component; got {part!r}. {hint}")


def _check_net(role: str, net: Any) -> None:
    if callable(net) and _hashable(net) and not is_module(net):
        return
    raise TypeError(
        f"{role} expects a recipe `recipe(in_shape, out_shape, *, rngs) -> nnx.Module`, hashable and "
        f"without arrays, such as nets.MLP((300, 300)) or an NNX class; got {type(net).__name__}. "
        f"{adapter_hint(net)}"
    )


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _image_nets(vae: Any) -> list[tuple[str, Any]]:
    """Return the roles and nets that read ``event_shape`` as (height, width[, channels])."""
    decoder = vae.decoder
    while isinstance(decoder, InputTransform):  # it changes the code, not the image that comes out
        decoder = decoder.net
    nets = (("encoder", vae.encoder), ("decoder", decoder))
    return [(role, net) for role, net in nets if getattr(net, "takes_images", False)]


def _check_images(vae: Any) -> None:
    """Raise for volumes, videos and other data of four or more axes in two-dimensional nets."""
    shape = vae.event_shape
    for role, net in _image_nets(vae):
        if len(shape) > 3:
            raise ValueError(
                f"{role}={net} is a two-dimensional net: it expects images (height, width) or "
                f"(height, width, channels); got event_shape={shape}, which has {len(shape)} axes. "
                "Merge the further axes into the channels, as in np.moveaxis(x, 1, 3).reshape(len(x), "
                "height, width, -1) for (n, depth, height, width, channels). Or take nets.MLP, which "
                "reads all entries as one vector, or a three-dimensional module of your own."
            )


def _doubt_about_axes(vae: Any) -> str | None:
    """Say that images look channels-first, or that a series looks like an image; else None.

    A shape does not say what its axes mean. We ask only where the usual reading is all but impossible:
    an image a few pixels wide and very long, or one with fewer rows than (square) columns and channels.
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
            f"{shape[1]}. A series of {length} times with {size} values each has these axes too. For a "
            f"series take nets.MLP, or make the values channels: {series}[:, :, None] and "
            f"event_shape={(length, 1, size)}. For an image, say so by an axis of one channel: "
            f"event_shape={(*shape, 1)}."
        )
    if len(shape) == 3 and _looks_channels_first(*shape):
        channels, height, width = shape
        return (
            f"{role}={net} reads event_shape={shape} as (height, width, channels): height {channels}, "
            f"width {height} and {width} channels. Images with the channels first, as in PyTorch, have "
            "these axes too. If yours do, bring the channels to the end: np.moveaxis(x, 1, -1) and "
            f"event_shape={(height, width, channels)}."
        )
    return None


def _looks_channels_first(a: int, b: int, c: int) -> bool:
    few = a <= 4 < c and a < b and max(b, c) <= 4 * min(b, c)
    return few or a < b == c


def check_programs(vae: Any) -> None:
    """Raise unless prior and guide have the same latent sites, of the same shapes and kinds."""
    _check_climb(vae)
    _check_descent(vae)
    found = trace_structure(vae)
    pair = f"the prior {type(vae.prior).__name__} and the posterior {type(vae.posterior).__name__}"
    if set(found.model) != set(found.guide):
        raise ValueError(
            f"{pair} do not fit: the prior has latent sites {sorted(found.model)}, the posterior "
            f"{sorted(found.guide)}. A hierarchical prior needs a guide with the same sites "
            "(guides.TwoLevelTopDown(), guides.Ladder()); a prior with the one site "
            '"z" needs a distribution guide such as guides.MeanField().'
        )
    _check_points(vae, found.guide)
    for name, p in found.model.items():
        _check_site(pair, name, p, found.guide[name])
    _check_sizes(vae, found.params)
    if doubt := _doubt_about_axes(vae):
        warnings.warn(doubt, stacklevel=4)


def _check_sizes(vae: Any, params: dict[str, Any]) -> None:
    largest = max(jax.tree.leaves(params), key=lambda leaf: leaf.size, default=None)
    if largest is not None and largest.size > LARGEST:
        raise ValueError(
            f"event_shape={vae.event_shape} and latent_dim={vae.latent_dim} make an array of weights, "
            f"{largest.shape}, of {largest.size:,} entries, and there are at most {LARGEST:,}. Is one "
            "of the sizes the number of data? Else take smaller ones."
        )


def _check_climb(vae: Any) -> None:
    if vae.posterior.uses_log_joint and isinstance(vae.decoder, BayesianNet):
        raise ValueError(
            f"the posterior {type(vae.posterior).__name__} climbs log p(x, z), which is one function "
            f"of z only where the decoder's weights are numbers; got {vae.decoder}, whose weights are "
            "random. Take guides.MeanField(), or the net itself as the decoder."
        )


def _check_descent(vae: Any) -> None:
    hands = type(vae.prior).top_down is not AbstractPrior.top_down
    if vae.posterior.uses_top_down and not hands:
        raise ValueError(
            f"the prior {type(vae.prior).__name__} and the posterior {type(vae.posterior).__name__} do "
            "not fit: the posterior descends with the nets of the prior's hierarchy, and this prior "
            "hands it none. Take priors.Ladder() or priors.TwoLevel(), or guides.MeanField()."
        )


def _check_points(vae: Any, sites: dict[str, Site]) -> None:
    points = [name for name, site in sites.items() if site.point]
    if points and vae.posterior.is_density:
        raise ValueError(
            f"the posterior {type(vae.posterior).__name__} puts all mass on one point at site "
            f'"{points[0]}" (a Delta distribution). That is no density: no bound on log p(x) holds. '
            "Take guides.PointMass(), for a plain autoencoder, or say so by `is_density = False` in "
            "the guide's class. For a VAE take a guide with spread, such as guides.MeanField()."
        )


def _check_site(pair: str, name: str, p: Site, q: Site) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(
            f'{pair} do not fit at site "{name}": event shapes {p.event_shape} and {q.event_shape}.'
        )
    if p.support != q.support:
        raise ValueError(
            f'{pair} do not fit at site "{name}": the prior lives on {p.support}, the posterior on '
            f"{q.support}. Take {FITTING.get(p.support, 'a guide with the support of the prior')}."
        )
    if p.scaled or q.scaled:
        raise ValueError(
            f'{pair}: site "{name}" is scaled by `handlers.scale`, which importance-weighted bounds '
            "misread. State the size of the data set by `num_data`: the plate then scales the sites."
        )


def incompatible_parts_error(vae: Any) -> TypeError:
    """Say that a prior mixes q(z|x) and the posterior is not one distribution."""
    return TypeError(
        f"the prior {type(vae.prior).__name__} mixes q(z|x) as a distribution, but the posterior "
        f"{type(vae.posterior).__name__} has none for the code on top. Take another prior, or such as "
        "guides.MeanField() (in a hierarchy, guides.TwoLevelTopDown())."
    )
