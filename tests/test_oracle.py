"""Numbers against the closed forms of the linear-Gaussian VAE (reference values in the text)."""

import jax
import numpy as np
import oracle
import pytest
from compiled import loss, run, terms
from numpyro.infer import Trace_ELBO

from probvae import Fitted, History, fit, likelihoods
from probvae.objectives import ELBO

LOG_PROB = -13.387448


def exact(vae=None, **changes) -> Fitted:
    values = oracle.params(*oracle.optimum(oracle.dataset()), **changes)
    return Fitted(vae or oracle.vae(), jax.tree.map(jax.numpy.asarray, values), History({}, {}, {}))


def test_reference_values_of_the_data():
    x = oracle.dataset()
    values, _ = oracle.eigen(x)
    np.testing.assert_allclose(values[:4], [112.749037, 13.606342, 2.435609, 0.280441], atol=1e-6)
    weights, mu, variance = oracle.optimum(x)
    assert variance == pytest.approx(0.245550, abs=1e-6)
    assert oracle.log_prob(x, weights, mu, variance).mean() == pytest.approx(LOG_PROB, abs=1e-6)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("seed", range(3))
def test_sampled_elbo_at_the_optimum_is_log_prob_for_every_draw(seed):
    x, fitted = oracle.dataset(), exact()
    log_p = oracle.log_prob(x, *oracle.optimum(x))
    read = terms(
        jax.random.key(seed),
        fitted.values,
        fitted.vae.model,
        fitted.vae.guide,
        x,
        closed_form=False,
    )
    np.testing.assert_allclose(read.log_likelihood - read.total_kl, log_p, atol=1e-5)
    total = loss(ELBO(closed_form=False), jax.random.key(seed), fitted.values, fitted.vae, x)
    assert -float(total) / len(x) == pytest.approx(LOG_PROB, abs=1e-5)


def test_closed_form_elbo_at_the_optimum_is_log_prob_in_expectation():
    x, fitted = oracle.dataset(), exact()
    bound = fitted.elbo(x, rng_key=jax.random.key(0), num_particles=1)
    read = terms(jax.random.key(1), fitted.values, fitted.vae.model, fitted.vae.guide, x)
    noise = np.std(bound.value - oracle.log_prob(x, *oracle.optimum(x)), ddof=1) / np.sqrt(len(x))
    assert abs(bound.mean - LOG_PROB) < 4 * noise
    assert read.kl["z"].shape == (1000, 3)
    assert read.total_kl.mean() == pytest.approx(6.219328, abs=1e-3)


def test_reconstruction_and_kl_of_the_reference():
    x, fitted = oracle.dataset(), exact()
    keys = jax.random.split(jax.random.key(2), 64)

    def mean(key):
        return terms(key, fitted.values, fitted.vae.model, fitted.vae.guide, x).log_likelihood.mean()

    draws = np.asarray(run(jax.vmap(mean), keys))
    assert abs(draws.mean() + 7.168120) < 4 * draws.std(ddof=1) / 8


@pytest.mark.usefixtures("float64")
def test_importance_weights_of_the_exact_posterior_have_no_spread():
    x, fitted = oracle.dataset()[:20], exact()
    bound = fitted.log_prob(x, rng_key=jax.random.key(0), num_particles=7)
    truth = oracle.log_prob(x, *oracle.optimum(oracle.dataset()))
    np.testing.assert_allclose(bound.value, truth, atol=1e-5)
    assert bound.standard_error.max() < 1e-5
    assert bound.num_particles == 7


def test_bounds_are_ordered_below_log_prob():
    """ELBO <= IWAE_K <= IWAE_K' <= log p(x), for a guide 1.5 times too wide."""
    x, fitted = oracle.dataset()[:200], exact(scale=1.5)
    truth = oracle.log_prob(x, *oracle.optimum(oracle.dataset()))
    elbo = fitted.elbo(x, rng_key=jax.random.key(0), num_particles=200)
    few, many = (fitted.log_prob(x, rng_key=jax.random.key(k), num_particles=k) for k in (5, 500))
    for lower, upper in ((elbo.value, few.value), (few.value, many.value), (many.value, truth)):
        gain = upper - lower
        assert gain.mean() > -4 * gain.std(ddof=1) / np.sqrt(len(gain))
    assert few.mean - elbo.mean > 0.1
    assert truth.mean() - many.mean < 0.02


def test_importance_weights_are_unbiased_and_their_error_is_stated_right():
    """In linear space the mean weight is p(x); the stated standard error is the spread over keys."""
    x, fitted = oracle.dataset()[:1], exact(scale=1.5)
    truth = oracle.log_prob(x, *oracle.optimum(oracle.dataset()))[0]
    runs = [fitted.log_prob(x, rng_key=jax.random.key(s), num_particles=400) for s in range(60)]
    ratio = np.exp([run.value[0] - truth for run in runs])
    assert abs(ratio.mean() - 1) < 4 * ratio.std(ddof=1) / np.sqrt(len(ratio))
    stated = np.mean([run.standard_error[0] for run in runs])
    assert stated == pytest.approx(np.std([run.value[0] for run in runs], ddof=1), rel=0.35)


def test_log_prob_is_the_same_alone_and_in_company():
    x, fitted = oracle.dataset()[:7], exact(scale=1.5)
    company = fitted.log_prob(x, rng_key=jax.random.key(0), num_particles=50)
    alone = fitted.log_prob(x[:1], rng_key=jax.random.key(0), num_particles=50)
    np.testing.assert_allclose(alone.value[0], company.value[0], rtol=1e-6)


def test_training_from_random_reaches_the_optimum():
    x = oracle.dataset().astype(np.float32)
    fitted = fit_linear(oracle.vae(), x, epochs=2500)
    reached = oracle.log_prob(x, *oracle.decoded(fitted.values)).mean()
    assert reached == pytest.approx(LOG_PROB, abs=0.01)


@pytest.mark.parametrize(
    ("variance", "active", "best"),
    [
        pytest.param(0.1, 3, -15.337550, marks=pytest.mark.slow),
        (5.0, 2, -20.710433),
        pytest.param(20.0, 1, -25.976783, marks=pytest.mark.slow),
    ],
)
def test_fixed_variance_decides_how_many_units_are_active(variance, active, best):
    """A unit is active where its eigenvalue exceeds sigma^2: the exact posterior-collapse test."""
    x = oracle.dataset().astype(np.float32)
    likelihood = likelihoods.Gaussian(scale=likelihoods.FixedScale(variance**0.5))
    fitted = fit_linear(oracle.vae(likelihood=likelihood), x, epochs=5000 if variance < 1 else 2500)
    units = np.var(np.asarray(fitted.encode(x).mean), axis=0)
    assert (units > 0.01).sum() == active
    layer = fitted.values["decoder$params"]["layers"][0]
    weights, mu = (np.asarray(layer[k], np.float64) for k in ("kernel", "bias"))
    reached = oracle.log_prob(x, weights.T, mu, variance).mean()
    assert reached == pytest.approx(best, abs=0.02)


def fit_linear(vae, x, epochs):
    import optax

    steps = epochs * (len(x) // 100)
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, steps))
    x, epochs = np.tile(x, (50, 1)), epochs // 50  # the same steps in fewer, longer epochs: less time
    return fit(
        vae,
        x,
        rng_key=jax.random.key(0),
        optimizer=optimizer,
        epochs=epochs,
        batch_size=100,
        progress=False,
    )


def test_numpyro_elbo_at_the_optimum_agrees():
    x, fitted = oracle.dataset(), exact()
    total = loss(Trace_ELBO(), jax.random.key(3), fitted.values, fitted.vae, x)
    assert -float(total) / len(x) == pytest.approx(LOG_PROB, abs=1e-3)
