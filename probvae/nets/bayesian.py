"""`BayesianNet`: a decoder whose weights have a prior and a posterior."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from flax import nnx
from numpyro.distributions import Distribution, Normal

from probvae.checks import Checked, PositiveFloat
from probvae.nets.external_modules import adapter_hint, is_module
from probvae.typing import Initializer, Recipe, Shape, Weights


@dataclass(frozen=True, repr=False)
class BayesianNet(Checked):
    r"""A decoder with random weights: a prior p(w), and a variational posterior q(w).

    The prior of each weight is $\mathrm{Normal}(0, scale^2)$, its posterior
    $\mathrm{Normal}(m, s^2)$. All weights are independent, under both. Together with the biases, they
    are one vector at the site ``"decoder$weights"``, outside the plate of the data. m and log s are the
    parameters ``"decoder$loc"`` and ``"decoder$log_scale"``, trees with the names of the net's own
    weights. m starts at the net's own initial weights. ``fit`` passes the size N of the training set to
    the programs, so that it maximizes

    $$\sum_n (E_q[\log p(x_n | z_n, w)] - KL(q(z_n | x_n) || p(z_n))) - KL(q(w) || p(w)).$$

    The sum is estimated by N / batch times the sum over a batch, with one w for the whole batch. beta
    and similar weights apply to the KL of z alone. In plain SVI, you pass N yourself:
    ``svi.update(state, x, num_data=N)``. Without it, the batch counts as all data, and q(w) is too wide
    by sqrt(N / batch).

    In training the weights are a site of both programs. In evaluation mode (``vae.eval()``,
    ``fitted.model``) the model draws w ~ q(w) in each run, from the run's key and without a site. Then
    p(x|z) is the distribution of new data, given the training set. (NUTS seeds its model once, so it
    moves z under one draw of w.) ``probvae.point_weights`` replaces w by numbers.

    Args:
        net: the recipe of the net f(z; w).
        scale: standard deviation of the prior of each weight.
        start: initial s of each weight.

    Raises:
        TypeError, ValueError: the net has weights already, or a scale is not positive.

    Reference: Kingma and Welling 2014, arXiv:1312.6114, appendix F (the full variational Bayes of a
    VAE); Blundell et al. 2015, arXiv:1505.05424.
    """

    net: Recipe
    scale: PositiveFloat = 1.0
    start: PositiveFloat = 0.01

    def __post_init__(self) -> None:
        if isinstance(self.net, BayesianNet) or is_module(self.net):
            got = f"{self.net!r}. {adapter_hint(self.net)}"
            expected = "a recipe without weights, such as nets.MLP((300,))"
            raise TypeError(f"BayesianNet(net=...) expects {expected}; got {got}")

    @property
    def spatial(self) -> bool:
        """Whether the net uses images, and a context on their grid."""
        return getattr(self.net, "spatial", False)

    @property
    def takes_images(self) -> bool:
        """Whether x must lie on a grid (height, width) or (height, width, channels)."""
        return getattr(self.net, "takes_images", False)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        fix = "Make it the outermost recipe of the decoder: VAE(decoder=nets.BayesianNet(net))."
        got = "a call by another part, which would give its weights no prior"
        raise TypeError(f"nets.BayesianNet expects to be the decoder itself; got {got}. {fix}")

    def __repr__(self) -> str:
        return f"BayesianNet({self.net}, scale={self.scale:g})"


def draw_model_weights(
    role: str, recipe: BayesianNet, start: Initializer, shapes: Weights, *, training: bool
) -> Weights:
    """Draw the weights in the model, at the site of p(w). In evaluation mode, draw them from q(w).

    Raises:
        ValueError: the model runs in evaluation mode without a key.
    """
    if training:
        prior = Normal(jnp.zeros(_count_entries(shapes)), recipe.scale).to_event(1)
        return _to_tree(numpyro.sample(f"{role}$weights", prior), shapes)
    q = _register_posterior(role, recipe, start, shapes)
    key = numpyro.prng_key()
    if key is None:
        fix = "Use handlers.seed(fitted.model, key), or point_weights(fitted) for fixed weights."
        got = f"no key, and {recipe} draws its weights from q(w) in each run"
        raise ValueError(f"the model expects a key; got {got}. {fix}")
    return _to_tree(q.sample(key), shapes)


def sample_guide_weights(role: str, recipe: BayesianNet, start: Initializer, shapes: Weights) -> None:
    """Issue the site of q(w) in the guide."""
    numpyro.sample(f"{role}$weights", _register_posterior(role, recipe, start, shapes))


def _register_posterior(
    role: str, recipe: BayesianNet, start: Initializer, shapes: Weights
) -> Distribution:
    """Register the parameters of q(w), and return q(w)."""

    def fill_log_scale(rng_key: jax.Array) -> Weights:
        return jax.tree.map(lambda a: jnp.full(a.shape, math.log(recipe.start), a.dtype), shapes)

    loc = numpyro.param(f"{role}$loc", start)
    log_scale = numpyro.param(f"{role}$log_scale", fill_log_scale)
    return Normal(_to_vector(loc), jnp.exp(_to_vector(log_scale))).to_event(1)


def _count_entries(shapes: Weights) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def _to_vector(tree: Weights) -> jax.Array:
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def _to_tree(vector: jax.Array, shapes: Weights) -> Weights:
    """Cut a vector into a tree of arrays, in the order of ``_to_vector``."""
    leaves, structure = jax.tree.flatten(shapes)
    ends = np.cumsum([math.prod(leaf.shape) for leaf in leaves])
    parts = zip(jnp.split(vector, ends[:-1]), leaves, strict=True)
    return jax.tree.unflatten(structure, [part.reshape(a.shape).astype(a.dtype) for part, a in parts])
