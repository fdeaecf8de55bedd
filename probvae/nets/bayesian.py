"""A decoder whose weights have a prior and a posterior."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from flax import nnx
from numpyro.distributions import Distribution, Normal

from probvae.checks import Checked
from probvae.nets.external_modules import adapter_hint, is_module
from probvae.typing import Shape


@dataclass(frozen=True, repr=False)
class BayesianNet(Checked):
    """A decoder with weights w ~ Normal(0, scale^2), each alone, and q(w) = Normal(m, s^2), each alone.

    All weights, biases too, are one vector at the site ``"decoder$weights"``, outside the plate of the
    data; m and log s are the parameters ``"decoder$loc"`` and ``"decoder$log_scale"``, trees with the
    names of the net's own weights. m starts at the net's own start. ``fit`` tells the programs the size
    N of the training set, so that it climbs:

        sum_n (E_q[log p(x_n | z_n, w)] - KL(q(z_n|x_n) || p(z_n))) - KL(q(w) || p(w))

    with the sum estimated by N / batch times a batch's, at one w for the whole batch; beta and the like
    weigh the KL of z alone. Those who run plain SVI say it themselves: ``svi.update(state, x,
    num_data=N)``. Without it the data count as one batch, and q(w) is too wide by sqrt(N / batch).

    In training the weights are a site of both programs. In evaluation mode (``vae.eval()``,
    ``fitted.model``) the model draws w ~ q(w), anew in each run, from the run's key and without a site:
    p(x|z) is then that of new data, given the training set. (NUTS, which seeds its model once, moves z
    under one draw of w.) ``probvae.point_weights`` puts numbers in place of w.

    Args:
        net: the recipe of the net: f(z; w).
        scale: standard deviation of the prior of each weight.
        start: s at the start, of each weight.

    Raises:
        TypeError, ValueError: for a net that has weights already, or scales that are not positive.

    Reference: Kingma and Welling 2014, arXiv:1312.6114, appendix F (the full variational Bayes of a
    VAE); Blundell et al. 2015, arXiv:1505.05424.
    """

    net: Any
    scale: float = 1.0
    start: float = 0.01

    def __post_init__(self) -> None:
        if isinstance(self.net, BayesianNet) or not callable(self.net) or is_module(self.net):
            raise TypeError(
                "BayesianNet(net=...) expects a recipe without weights, such as nets.MLP((300,)); got "
                f"{self.net!r}. {adapter_hint(self.net)}"
            )
        for name in ("scale", "start"):
            value = getattr(self, name)
            number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and value > 0):
                raise ValueError(f"BayesianNet({name}=...) expects a finite number > 0; got {value!r}.")

    @property
    def spatial(self) -> bool:
        """Whether the net wants images, and a context on their grid."""
        return getattr(self.net, "spatial", False)

    @property
    def takes_images(self) -> bool:
        """Whether x must lie on a grid (height, width) or (height, width, channels)."""
        return getattr(self.net, "takes_images", False)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        raise TypeError(
            "nets.BayesianNet is built by another part, which would give its weights no prior. Let it "
            "stand outermost, as the decoder itself: VAE(decoder=nets.BayesianNet(net))."
        )

    def __repr__(self) -> str:
        return f"BayesianNet({self.net}, scale={self.scale:g})"


def model_weights(role: str, recipe: BayesianNet, start: Any, shapes: Any, *, training: bool) -> Any:
    """Return a draw of the weights inside the model: the site of p(w); in evaluation mode, of q(w).

    Raises:
        ValueError: in evaluation mode, where the model runs without a key.
    """
    if training:
        prior = Normal(jnp.zeros(_size(shapes)), recipe.scale).to_event(1)
        return _as_tree(numpyro.sample(f"{role}$weights", prior), shapes)
    q = _posterior(role, recipe, start, shapes)
    key = numpyro.prng_key()
    if key is None:
        raise ValueError(
            f"the weights of {recipe} are drawn from q(w) in each run of the model, and this run has "
            "no key. Seed it, handlers.seed(fitted.model, key), or put numbers in place of them, "
            "point_weights(fitted)."
        )
    return _as_tree(q.sample(key), shapes)


def guide_weights(role: str, recipe: BayesianNet, start: Any, shapes: Any) -> None:
    """Issue the site of q(w)."""
    numpyro.sample(f"{role}$weights", _posterior(role, recipe, start, shapes))


def _posterior(role: str, recipe: BayesianNet, start: Any, shapes: Any) -> Distribution:
    """Register the parameters of q(w), and return it."""

    def narrow(rng_key: jax.Array) -> Any:
        return jax.tree.map(lambda a: jnp.full(a.shape, math.log(recipe.start), a.dtype), shapes)

    loc = numpyro.param(f"{role}$loc", start)
    log_scale = numpyro.param(f"{role}$log_scale", narrow)
    return Normal(_as_vector(loc), jnp.exp(_as_vector(log_scale))).to_event(1)


def _size(shapes: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def _as_vector(tree: Any) -> jax.Array:
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def _as_tree(vector: jax.Array, shapes: Any) -> Any:
    """Cut a vector into a tree of arrays, in the order of ``_as_vector``."""
    leaves, form = jax.tree.flatten(shapes)
    ends = np.cumsum([math.prod(leaf.shape) for leaf in leaves])
    parts = zip(jnp.split(vector, ends[:-1]), leaves, strict=True)
    return jax.tree.unflatten(form, [part.reshape(a.shape).astype(a.dtype) for part, a in parts])
