"""Codes on the sphere: volumes by quadrature, moments and KL against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from probvae import VAE, guides
from probvae.distributions import PowerSpherical, SphericalUniform
from probvae.objectives.terms import compute_closed_form_kl


def mean_direction(n):
    mu = jax.random.normal(jax.random.key(n), (n,))
    return mu / jnp.linalg.norm(mu)


def circle(m=4000):
    angle = (jnp.arange(m) + 0.5) * 2 * jnp.pi / m
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1), 2 * jnp.pi / m


def ball(m=400):
    """Points of equal area on S^2: even in height and in angle."""
    height = 2 * (jnp.arange(m) + 0.5) / m - 1
    angle = (jnp.arange(m) + 0.5) * 2 * jnp.pi / m
    h, a = (grid.ravel() for grid in jnp.meshgrid(height, angle))
    r = jnp.sqrt(1 - h**2)
    return jnp.stack([r * jnp.cos(a), r * jnp.sin(a), h], -1), 4 * jnp.pi / m**2


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("n", "grid"), [(2, circle), (3, ball)])
@pytest.mark.parametrize("kappa", [0.5, 3.0, 40.0])
def test_densities_integrate_to_one(n, grid, kappa):
    points, area = grid()
    q = PowerSpherical(mean_direction(n), jnp.array(kappa))
    density = jnp.exp(q.log_prob(points))
    assert float(density.sum() * area) == pytest.approx(1.0, abs=1e-4)
    assert float(jnp.exp(SphericalUniform(n).log_prob(points)).sum() * area) == pytest.approx(
        1.0, abs=1e-6
    )
    entropy = -(density * q.log_prob(points)).sum() * area
    assert float(q.entropy()) == pytest.approx(float(entropy), abs=1e-3)


@pytest.mark.parametrize("n", [2, 3, 8])
@pytest.mark.parametrize("kappa", [0.5, 20.0])
def test_draws_have_the_closed_form_moments_and_the_law_of_the_cosine(n, kappa):
    q = PowerSpherical(mean_direction(n), jnp.array(kappa))
    z = q.sample(jax.random.key(0), (20_000,))
    np.testing.assert_allclose(jnp.linalg.norm(z, axis=-1), 1.0, rtol=1e-5)
    noise = 5 * np.sqrt(np.asarray(q.variance) / len(z))
    assert (np.abs(z.mean(0) - q.mean) < noise + 1e-4).all()
    np.testing.assert_allclose(z.var(0), q.variance, rtol=0.1, atol=2e-3)
    cosine = np.asarray((z @ q.mu + 1) / 2, np.float64).clip(0, 1)
    b = (n - 1) / 2
    assert stats.kstest(cosine, stats.beta(b + kappa, b).cdf).pvalue > 1e-4


@pytest.mark.parametrize("n", [2, 3, 8])
def test_closed_form_kl_to_the_uniform_is_the_sampled_one(n):
    q, p = PowerSpherical(mean_direction(n), jnp.array(4.0)), SphericalUniform(n)
    z = q.sample(jax.random.key(1), (20_000,))
    ratio = np.asarray(q.log_prob(z) - p.log_prob(z))
    assert abs(float(compute_closed_form_kl(q, p)) - ratio.mean()) < 4 * ratio.std() / np.sqrt(
        len(ratio)
    )
    flat = PowerSpherical(mean_direction(n), jnp.array(1e-4))
    assert float(compute_closed_form_kl(flat, p)) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
def test_gradient_through_draws_is_that_of_the_mean():
    """d E[z_1] / d kappa by the draws equals the closed form's."""
    mu = mean_direction(3)

    def drawn(kappa):
        return PowerSpherical(mu, kappa).sample(jax.random.key(0), (40_000,))[:, 0].mean()

    def exact(kappa):
        return PowerSpherical(mu, kappa).mean[0]

    assert float(jax.grad(drawn)(3.0)) == pytest.approx(float(jax.grad(exact)(3.0)), rel=0.05)


def test_the_pole_is_a_mean_direction_like_any_other():
    pole = jnp.array([1.0, 0.0, 0.0])
    slope = jax.grad(lambda m: PowerSpherical(m, jnp.array(5.0)).sample(jax.random.key(0)).sum())(pole)
    assert np.isfinite(slope).all()
    z = PowerSpherical(pole, jnp.array(500.0)).sample(jax.random.key(0), (100,))
    assert float(z[:, 0].min()) > 0.95


def test_uniform_draws_have_its_moments_and_fill_its_support():
    p = SphericalUniform(4)
    z = p.sample(jax.random.key(0), (20_000,))
    assert float(p.support(z).mean()) == 1.0
    np.testing.assert_allclose(z.mean(0), p.mean, atol=0.02)
    np.testing.assert_allclose(z.var(0), p.variance, rtol=0.05)


def test_a_net_that_gives_no_direction_is_given_one():
    outputs = jnp.zeros((2, 4)).at[1].set(1e-8)
    q = guides.PowerSpherical().distribution(
        outputs, VAE(event_shape=(2,), latent_dim=3)._scope(None, None, None)
    )
    np.testing.assert_allclose(jnp.linalg.norm(q.mu, axis=-1), 1.0, rtol=1e-6)
    assert np.isfinite(q.sample(jax.random.key(0))).all()
