"""Spread: the density of the noisy datum, and where the noise enters."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled import run, terms
from numpyro.infer import Predictive
from scipy import integrate, stats
from test_likelihoods import p_x

from probvae import VAE, Batch, data, fit, likelihoods, nets
from probvae.likelihoods import Delta, FixedScale, Gaussian, Laplace, Spread

KEY = jax.random.key(0)
NOISES = [data.GaussianNoise(0.4), data.LaplaceNoise(0.4)]


@pytest.mark.parametrize("sigma", [0.05, 0.3, 2.0])
def test_spread_gaussian_is_the_convolution(sigma):
    spread = Spread(Gaussian(scale=FixedScale(sigma)), noise=data.GaussianNoise(0.4))
    for y in (-1.0, 0.2, 3.0):

        def integrand(x, y=y):
            return stats.norm.pdf(x, 0.3, sigma) * stats.norm.pdf(y - x, 0.0, 0.4)

        truth, _ = integrate.quad(integrand, 0.3 - 12 * sigma, 0.3 + 12 * sigma, epsabs=0, limit=200)
        assert p_x(spread, [[[0.3]]]).log_prob(y).item() == pytest.approx(np.log(truth), rel=1e-4)


@pytest.mark.parametrize(
    ("noise", "law"),
    [(NOISES[0], stats.norm(0.3, 0.4)), (NOISES[1], stats.laplace(0.3, 0.4))],
    ids=["Gaussian", "Laplace"],
)
def test_spread_point_is_the_noise_around_it(noise, law):
    p = p_x(Spread(Delta(), noise=noise), [[0.3]])
    y = np.linspace(-3, 3, 13, dtype=np.float32)
    np.testing.assert_allclose(p.log_prob(y[:, None, None])[:, 0, 0], law.logpdf(y), rtol=1e-5)


def test_without_noise_spread_is_its_base():
    y = jnp.linspace(-2, 2, 9)[:, None, None]
    base = Gaussian(scale=FixedScale(0.5))
    spread = Spread(base, noise=data.GaussianNoise(1e-5))
    outputs = [[[0.3]]]
    np.testing.assert_allclose(
        p_x(spread, outputs).log_prob(y), p_x(base, outputs).log_prob(y), rtol=1e-5
    )


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_noise_has_the_law_that_the_likelihood_takes_it_to_have(noise):
    x = np.full((200_000,), 3.0, np.float32)
    drawn = np.asarray(noise(KEY, x)) - x
    law = {data.GaussianNoise: stats.norm, data.LaplaceNoise: stats.laplace}[type(noise)](
        0.0, noise.scale
    )
    assert stats.kstest(drawn[:20_000], law.cdf).pvalue > 1e-3
    assert drawn.var() == pytest.approx(float(noise.distribution.variance), rel=0.03)
    assert noise.bounds(0.0, 1.0) == (-np.inf, np.inf)


def tiny(likelihood, **parts):
    return VAE(
        event_shape=(3,),
        latent_dim=2,
        likelihood=likelihood,
        encoder=nets.Linear(),
        decoder=nets.Linear(),
        **parts,
    )


REFUSED = {
    "a pair that is not known": (
        lambda: tiny(Spread(Laplace(), noise=NOISES[0])), ValueError, "Delta.*got Laplace with GaussianNoise"),
    "Gaussian with Laplace noise": (
        lambda: tiny(Spread(Gaussian(), noise=NOISES[1])), ValueError, "got Gaussian with LaplaceNoise"),
    "Bernoulli": (
        lambda: tiny(Spread(likelihoods.Bernoulli(), noise=NOISES[0])), ValueError, "got Bernoulli with GaussianNoise"),
    "the optimal scale": (
        lambda: Spread(Gaussian(scale=likelihoods.OptimalScale()), noise=NOISES[0]), ValueError, "without OptimalScale.*LearnedScale"),
    "a noise that is a number": (lambda: Spread(Delta(), noise=0.5), TypeError, r"data.GaussianNoise\(0.5\); got 0.5"),
    "a noise that is no noise": (lambda: Spread(Delta(), noise=data.Cast()), TypeError, r"noise component such as.*got Cast"),
    "no noise": (lambda: data.GaussianNoise(0.0), ValueError, r"GaussianNoise\(scale=...\) expects a finite number > 0"),
    "a point mass alone": (lambda: tiny(Delta()), ValueError, "likelihood Delta puts all mass on one point.*Spread"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_observe_adds_the_noise_and_is_nothing_for_other_likelihoods():
    x = np.asarray(jax.random.normal(KEY, (5, 3)))
    np.testing.assert_array_equal(tiny(Gaussian()).observe(KEY, x), x)
    spread = tiny(Spread(Delta(), noise=NOISES[0]))
    np.testing.assert_array_equal(spread.observe(KEY, x), NOISES[0](KEY, x))
    with pytest.raises(ValueError, match=r"x has shape \(3,\)"):
        spread.observe(KEY, x[0])


@pytest.fixture(scope="module")
def fitted():
    """A Gaussian on one point, under noise: the noisy data's variance is known."""
    x = np.zeros((4_000, 3), np.float32)
    vae = tiny(Spread(Gaussian(), noise=data.GaussianNoise(0.5)))
    return fit(
        vae,
        x,
        validation=x[:500],
        rng_key=KEY,
        epochs=15,
        optimizer=optax.adam(2e-2),
        progress=False,
    )


@pytest.mark.slow
def test_fit_gives_every_step_fresh_noise_and_the_model_takes_it_away(fitted):
    per_entry = float(stats.norm(0, 0.5).entropy())
    x = np.zeros((2_000, 3), np.float32)
    found = fitted.log_prob(x, rng_key=KEY, num_particles=20)
    assert found.mean == pytest.approx(-3 * per_entry, abs=0.05)
    assert fitted.history.validation["elbo"][-1] == pytest.approx(-3 * per_entry, abs=0.12)
    clean = fitted.sample(4_000, rng_key=KEY).x
    assert float(clean.std()) < 0.2
    noisy = fitted.sample(4_000, rng_key=KEY, noisy=True).x
    drawn = Predictive(fitted.model, num_samples=4_000)(KEY)[
        "x"
    ]  # the program's site is the noisy datum
    for each in (noisy, drawn):
        assert float(each.var()) == pytest.approx(float(clean.var()) + 0.5**2, rel=0.05)


def test_evidence_states_its_noise_draws_and_takes_noisy_data_too(fitted):
    x = np.zeros((6, 3), np.float32)
    one = fitted.log_prob(x, rng_key=KEY, num_particles=5)
    assert (one.num_noise_draws, "1 noise draws" in str(one)) == (1, True)
    many = fitted.log_prob(x, rng_key=KEY, num_particles=5, num_noise_draws=40)
    assert "5 particles, 40 noise draws" in str(many)
    assert many.value.std() < one.value.std()  # all data are the same: what differs is the noise
    np.testing.assert_allclose(many.standard_error, 1.22 / np.sqrt(40), rtol=0.6)  # std of chi^2_3 / 2
    noisy = fitted.vae.observe(KEY, x)
    given = fitted.log_prob(noisy, rng_key=KEY, num_particles=5, num_noise_draws=0)
    assert given.num_noise_draws == 0
    alone = fitted.log_prob(x[:1], rng_key=KEY, num_particles=5)
    np.testing.assert_allclose(alone.value, one.value[:1], rtol=1e-5)


def test_noise_comes_after_the_datas_own_observation():
    """Bytes are rescaled first: otherwise noise of 0.5 in grey levels would be nothing."""
    x = np.full((2_000, 3), 255, np.uint8)
    vae = tiny(Spread(Gaussian(), noise=data.GaussianNoise(0.5)))
    start = {"likelihood$log_scale": jnp.asarray(-20.0)}
    fitted = fit(vae, x, rng_key=KEY, observation=data.Rescale(255.0), epochs=20, init_params=start,
                 optimizer=optax.adam(3e-2), progress=False)  # fmt: skip
    assert fitted.history.train["elbo"][-1] == pytest.approx(
        -3 * float(stats.norm(0, 0.5).entropy()), abs=0.1
    )


def test_spread_on_the_oracle_is_the_marginal_of_the_noisy_data():
    """Linear decoder: log p(y) = log N(y; b, W W^T + (sigma^2 + t^2) I), by many particles."""
    W = np.array([[1.0, 0.2], [0.0, 0.7], [0.5, -0.4]], np.float32)
    vae = tiny(Spread(Gaussian(scale=FixedScale(0.6)), noise=data.GaussianNoise(0.8)))
    y = np.asarray(jax.random.normal(KEY, (4, 3)))
    x = jnp.zeros((1, 3))
    values = _values(vae, x, W)
    cov = W @ W.T + (0.6**2 + 0.8**2) * np.eye(3)
    keys = jax.random.split(KEY, 20_000)

    def log_mean_weight(keys):
        log_w = jax.vmap(lambda key: terms(key, values, vae.model, vae.guide, y).log_weight)(keys)
        return jax.nn.logsumexp(log_w, axis=0) - np.log(len(keys))

    found = run(log_mean_weight, keys)
    np.testing.assert_allclose(found, stats.multivariate_normal(np.zeros(3), cov).logpdf(y), atol=0.05)


def _values(vae, x, W):
    from test_contracts import values_of

    shapes = jax.eval_shape(lambda: values_of(vae, x))
    zeros = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)
    leaves, tree = jax.tree.flatten(zeros["decoder$params"])
    leaves[[leaf.shape for leaf in leaves].index((2, 3))] = W.T
    return {**zeros, "decoder$params": jax.tree.unflatten(tree, leaves)}


def test_masked_entries_need_no_noise_of_their_own():
    x = np.zeros((200, 3), np.float32)
    mask = np.ones_like(x, bool)
    mask[:, 0] = False
    x[:, 0] = np.nan
    vae = tiny(Spread(Gaussian(), noise=data.GaussianNoise(0.5)))
    fitted = fit(vae, Batch(x, mask=mask), rng_key=KEY, epochs=2, batch_size=50, progress=False)
    assert np.isfinite(fitted.log_prob(Batch(x, mask=mask), rng_key=KEY, num_particles=3).value).all()


def test_spread_is_a_value():
    spread = Spread(Delta(), noise=NOISES[0])
    assert hash(dataclasses.replace(spread)) == hash(spread)
    assert str(spread) == "Delta(f(z)), spread by GaussianNoise(scale=0.4)"
