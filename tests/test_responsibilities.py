"""Which component of a mixture prior a datum belongs to, against quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from probvae import VAE, Batch, Fitted, History, guides, nets, priors
from probvae.tracing import trace_structure

X = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]], np.float32)
KEY = jax.random.key(3)


def fitted(values=None, **parts):
    """A VAE of zero weights, and what is given: q(z|x) is then N(0, 1) for all x."""
    linear = {"encoder": nets.Linear(), "decoder": nets.Linear()}
    vae = VAE(event_shape=(2,), **{"latent_dim": 1, **linear, **parts})
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), trace_structure(vae).params)
    return Fitted(vae, {**zeros, **(values or {})}, History({}, {}, {}))


def test_it_is_the_mean_of_the_components_posterior():
    w, m, s = np.array([0.7, 0.3]), np.array([-1.0, 2.0]), np.array([0.5, 1.5])
    given = {"prior$logits": jnp.log(w) + 5, "prior$loc": m[:, None], "prior$scale": s[:, None]}
    given = {name: jnp.asarray(value, jnp.float32) for name, value in given.items()}
    found = fitted(given, prior=priors.GaussianMixture(2)).responsibilities(
        X, rng_key=KEY, num_particles=4000
    )
    z = np.linspace(-8, 8, 4001)[:, None]
    joint = w * norm.pdf(z, m, s)
    exact = np.trapezoid(norm.pdf(z) * joint / joint.sum(1, keepdims=True), z[:, 0], axis=0)
    np.testing.assert_allclose(found, np.tile(exact, (3, 1)), atol=0.02)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("parts", "columns"),
    [
        pytest.param({"prior": priors.VampPrior(3)}, 3, id="VampPrior"),
        pytest.param(
            {
                "prior": priors.TwoLevel(priors.GaussianMixture(4), nets.Linear()),
                "posterior": guides.TwoLevelTopDown(nets.Linear()),
            }, 4, id="on top",
        ),
        pytest.param({"prior": priors.GaussianMixture(2), "context_shape": (2,)}, 2, id="context"),
    ],
)  # fmt: skip
def test_any_mixture_has_them(parts, columns):
    values = (
        {} if isinstance(parts["prior"], priors.VampPrior) else {"prior$scale": jnp.ones((columns, 1))}
    )
    model = fitted(values, **parts)
    share = model.responsibilities(Batch(X, X if "context_shape" in parts else None), rng_key=KEY)
    assert share.shape == (3, columns)
    np.testing.assert_allclose(share, 1 / columns, rtol=1e-5)  # all components are the same


def test_a_prior_that_is_no_mixture_has_none():
    with pytest.raises(TypeError, match=r"such as priors.GaussianMixture.*got LearnedNormal"):
        fitted(prior=priors.LearnedNormal()).responsibilities(X, rng_key=KEY)


def test_an_encoding_by_a_flow_can_be_drawn_from():
    """Its distribution holds arrays, which a compiled program would not give back."""
    q = fitted(posterior=guides.Flow(depth=1), latent_dim=2).encode(X)
    assert q.sample(KEY, (5,)).shape == (5, 3, 2)
