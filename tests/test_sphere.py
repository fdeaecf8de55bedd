"""Codes on the sphere: volumes by quadrature, moments and KL against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import log_prob, moments, run, sample
from scipy import stats

from probvae import VAE, guides
from probvae.distributions import PowerSpherical, SphericalUniform
from probvae.objectives.terms import compute_closed_form_kl


def mean_direction(n):
    mu = np.asarray(jax.random.normal(jax.random.key(n), (n,)))
    return mu / np.linalg.norm(mu)


def circle(m=4000):
    angle = (np.arange(m) + 0.5) * 2 * np.pi / m
    return np.stack([np.cos(angle), np.sin(angle)], -1), 2 * np.pi / m


def ball(m=400):
    """Points of equal area on S^2: even in height and in angle."""
    height = 2 * (np.arange(m) + 0.5) / m - 1
    angle = (np.arange(m) + 0.5) * 2 * np.pi / m
    h, a = (grid.ravel() for grid in np.meshgrid(height, angle))
    r = np.sqrt(1 - h**2)
    return np.stack([r * np.cos(a), r * np.sin(a), h], -1), 4 * np.pi / m**2


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("n", "grid"), [(2, circle), (3, ball)])
@pytest.mark.parametrize("kappa", [0.5, 3.0, 40.0])
def test_densities_integrate_to_one(n, grid, kappa):
    points, area = grid()
    q = PowerSpherical(mean_direction(n), jnp.array(kappa))
    log_density = np.asarray(log_prob(q, points))
    density = np.exp(log_density)
    assert density.sum() * area == pytest.approx(1.0, abs=1e-4)
    uniform = np.broadcast_to(log_prob(SphericalUniform(n), points), len(points))
    assert np.exp(uniform).sum() * area == pytest.approx(1.0, abs=1e-6)
    entropy = -(density * log_density).sum() * area
    assert float(run(lambda q: q.entropy(), q)) == pytest.approx(entropy, abs=1e-3)


@pytest.mark.parametrize("n", [2, 3, 8])
@pytest.mark.parametrize("kappa", [0.5, 20.0])
def test_draws_have_the_closed_form_moments_and_the_law_of_the_cosine(n, kappa):
    q = PowerSpherical(mean_direction(n), jnp.array(kappa))
    z = np.asarray(sample(q, jax.random.key(0), (10_000,)))
    np.testing.assert_allclose(np.linalg.norm(z, axis=-1), 1.0, rtol=1e-5)
    mean, variance = map(np.asarray, moments(q))
    noise = 5 * np.sqrt(variance / len(z))
    assert (np.abs(z.mean(0) - mean) < noise + 1e-4).all()
    np.testing.assert_allclose(z.var(0), variance, rtol=0.1, atol=2e-3)
    cosine = np.asarray((z @ np.asarray(q.mu) + 1) / 2, np.float64).clip(0, 1)
    b = (n - 1) / 2
    assert stats.kstest(cosine, stats.beta(b + kappa, b).cdf).pvalue > 1e-4


@pytest.mark.parametrize("n", [2, 3, 8])
def test_closed_form_kl_to_the_uniform_is_the_sampled_one(n):
    q, p = PowerSpherical(mean_direction(n), jnp.array(4.0)), SphericalUniform(n)
    z = sample(q, jax.random.key(1), (10_000,))
    ratio = np.asarray(log_prob(q, z)) - np.asarray(log_prob(p, z))
    noise = ratio.std() / np.sqrt(len(ratio))
    assert abs(float(run(compute_closed_form_kl, q, p)) - ratio.mean()) < 4 * noise
    flat = PowerSpherical(mean_direction(n), jnp.array(1e-4))
    assert float(run(compute_closed_form_kl, flat, p)) == pytest.approx(0.0, abs=1e-4)


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

    def total(mu):
        return PowerSpherical(mu, jnp.array(5.0)).sample(jax.random.key(0)).sum()

    assert np.isfinite(run(jax.grad(total), pole)).all()
    z = sample(PowerSpherical(pole, jnp.array(500.0)), jax.random.key(0), (100,))
    assert float(z[:, 0].min()) > 0.95


def test_uniform_draws_have_its_moments_and_fill_its_support():
    p = SphericalUniform(4)
    z = np.asarray(sample(p, jax.random.key(0), (10_000,)))
    assert np.mean(run(p.support, z)) == 1.0
    mean, variance = moments(p)
    np.testing.assert_allclose(z.mean(0), mean, atol=0.02)
    np.testing.assert_allclose(z.var(0), variance, rtol=0.05)


def test_a_net_that_gives_no_direction_is_given_one():
    outputs = jnp.zeros((2, 4)).at[1].set(1e-8)
    scope = VAE(event_shape=(2,), latent_dim=3)._scope(None, None, None)
    q = run(lambda outputs: guides.PowerSpherical().distribution(outputs, scope), outputs)
    np.testing.assert_allclose(np.linalg.norm(q.mu, axis=-1), 1.0, rtol=1e-6)
    assert np.isfinite(sample(q, jax.random.key(0))).all()


def test_many_draws_of_a_compiled_program_are_those_of_an_eager_call():
    """XLA compiled the reflection wrongly for one mu and more than about 10,000 rows."""
    q = PowerSpherical(jnp.array([0.6, 0.8, 0.0]), jnp.array(4.0))
    compiled, eager = sample(q, jax.random.key(0), (20_000,)), q.sample(jax.random.key(0), (20_000,))
    np.testing.assert_allclose(compiled, eager, atol=1e-5)
