"""The inner steps of a semi-amortized guide, on the linear-Gaussian VAE."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from numpyro import handlers

from probvae import guides
from probvae.objectives import ELBO

X = oracle.dataset()[:20]


def setting(steps, **changes):
    """Exact model, an encoder that is 1.5 times too wide and off in its mean."""
    vae = oracle.vae(posterior=guides.SemiAmortized(steps, **changes))
    values = oracle.params(*oracle.optimum(oracle.dataset()), scale=1.5)
    layer = values["encoder$params"]["layers"][0]
    shift = np.zeros((3, 2))
    shift[:, 0] = [0.4, -0.5, 0.3]
    layer["bias"] = layer["bias"] + shift.ravel()
    return vae, jax.tree.map(jnp.asarray, values)


def q_of(vae, values, x=X):
    guide = handlers.seed(handlers.substitute(vae.guide, values), 0)
    q = handlers.trace(guide).get_trace(x)["z"]["fn"].base_dist
    return np.asarray(q.loc), np.asarray(q.scale)


def exact():
    weights, mu, variance = oracle.optimum(oracle.dataset())
    m = weights.T @ weights + variance * np.eye(3)
    return (X - mu) @ weights @ np.linalg.inv(m), variance * np.linalg.inv(m)


def gap(loc, scale):
    """KL(q || posterior) per datum: log p(x) minus the datum's ELBO, in closed form."""
    mean, covariance = exact()
    variance = np.diag(covariance)
    return 0.5 * ((scale**2 + (loc - mean) ** 2) / variance - 1 + np.log(variance / scale**2)).sum(1)


@pytest.mark.usefixtures("float64")
def test_a_step_at_rate_1_is_newtons_in_mean_and_log_variance():
    """Of a normal target the ELBO is (r - exp(r) / v - m^2 / v) / 2: what is left is of second order."""
    v, off = np.array([0.3, 1.0]), 0.1
    guide = guides.SemiAmortized(1, rate=1.0, log_bound=1e3)

    def elbo(outputs):
        m, r = outputs[..., 0], outputs[..., 1]
        return ((r - jnp.exp(r) / v - m**2 / v) / 2).sum(-1)

    start = jnp.stack([jnp.full((1, 2), off), jnp.log(v) + off + jnp.zeros((1, 2))], axis=-1)
    moved = guide.climb(elbo, start)
    left = np.exp(off) - 1 - off  # of r: off - (exp(off) - 1)
    np.testing.assert_allclose(moved[..., 1] - np.log(v), np.full((1, 2), -left), atol=1e-5)
    np.testing.assert_allclose(moved[..., 0], np.full((1, 2), off * (1 - np.exp(off))), atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
def test_inner_steps_never_lower_the_elbo_and_reach_the_exact_posterior():
    gaps = np.array([gap(*q_of(*setting(steps))) for steps in (1, 2, 5, 20, 60)])
    vae, values = setting(1)
    begun = gap(*q_of(oracle.vae(), values))
    assert (np.diff(np.vstack([begun, gaps]), axis=0) <= 1e-9).all()
    assert begun.min() > 0.5
    loc, scale = q_of(*setting(60))
    np.testing.assert_allclose(loc, exact()[0], atol=1e-5)
    np.testing.assert_allclose(scale, np.broadcast_to(np.sqrt(np.diag(exact()[1])), (20, 3)), rtol=1e-4)


@pytest.mark.usefixtures("float64")
def test_a_wild_rate_is_halved_until_it_climbs():
    begun = gap(*q_of(oracle.vae(), setting(1)[1]))
    gaps = gap(*q_of(*setting(30, rate=1e4)))
    assert (gaps <= begun + 1e-9).all()
    assert gaps.max() < 0.1 * begun.max()


@pytest.mark.slow
def test_a_datum_climbs_the_same_alone_and_in_company():
    vae, values = setting(5)
    alone, company = q_of(vae, values, X[:1]), q_of(vae, values)
    np.testing.assert_allclose(alone[0][0], company[0][0], rtol=1e-4)
    np.testing.assert_allclose(alone[1][0], company[1][0], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
def test_gradient_through_the_steps_is_finite_differences():
    vae, values = setting(2, rate=0.1)

    def loss(shift):
        layer = values["encoder$params"]["layers"][0]
        moved = {"layers": {0: {**layer, "bias": layer["bias"] + shift}}}
        given = {**values, "encoder$params": moved}
        return ELBO(closed_form=False).loss(jax.random.key(1), given, vae.model, vae.guide, X)

    found = (loss(1e-6) - loss(-1e-6)) / 2e-6
    assert float(jax.grad(loss)(0.0)) == pytest.approx(float(found), rel=1e-5)
