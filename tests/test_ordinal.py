"""Laws of ordered levels: masses, cutpoints, the limit of two levels, starts and extreme outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import log_prob, run
from numpyro import handlers
from scipy import special, stats
from test_likelihoods import check_moments, p_x, scope_of

from probvae import VAE, Batch, criticism, fit, likelihoods, nets
from probvae.likelihoods.ordinal import log_masses
from probvae.training.initial_values import initial_values

LINEAR = {"encoder": nets.Linear(), "decoder": nets.Linear()}
CUTPOINTS = np.array([[-2.0, -0.5, 1.5], [0.1, 0.2, 4.0]])


def ordinal(f, cutpoints):
    """p(x|z) of `Ordinal` at decoder outputs f ``(batch, D)`` and cutpoints ``(D, K - 1)``."""
    likelihood = likelihoods.Ordinal(cutpoints.shape[-1] + 1)
    values = np.concatenate([cutpoints[:, :1], np.log(np.diff(cutpoints))], -1)
    scope = scope_of(likelihood, f.shape[1:], None)
    with handlers.substitute(data={"likelihood$cutpoints": jnp.asarray(values)}):
        return likelihood.distribution(jnp.asarray(f), scope)


def test_masses_are_differences_of_the_cumulative_logits(float64):
    f = np.array([[0.3, -1.0], [2.0, 0.0], [-4.0, 5.0]])
    p = ordinal(f, CUTPOINTS)
    cumulative = special.expit(CUTPOINTS - f[..., None])
    truth = np.diff(cumulative, prepend=0.0, append=1.0)
    np.testing.assert_allclose(p.probs, truth, rtol=1e-9)
    np.testing.assert_allclose(p.probs.sum(-1), 1.0, rtol=1e-12)
    for k in range(4):
        np.testing.assert_allclose(log_prob(p, np.full((3, 2), float(k))), np.log(truth[..., k]))
    np.testing.assert_allclose(p.mean, truth @ np.arange(4), rtol=1e-9)
    np.testing.assert_array_equal(p.centre, truth.argmax(-1))


def test_levels_are_drawn_as_they_are_scored():
    check_moments(ordinal(np.array([[0.3, -1.0]]), CUTPOINTS))


def test_two_levels_are_a_bernoulli(float64):
    f, c = np.linspace(-5, 5, 11)[:, None], np.array([[0.7]])
    bernoulli = p_x(likelihoods.Bernoulli(), f - 0.7)
    for x in (0.0, 1.0):
        got, truth = (log_prob(p, np.full((11, 1), x)) for p in (ordinal(f, c), bernoulli))
        np.testing.assert_allclose(got, truth, rtol=1e-10)


def test_a_latent_logistic_variable_is_cut_into_levels():
    """McCullagh 1980: x counts the cutpoints below y = f + logistic noise."""
    y = stats.logistic(0.3).rvs(200_000, random_state=0)
    x = (y[:, None] > CUTPOINTS[0]).sum(-1)
    shares = np.bincount(x, minlength=4) / len(x)
    p = ordinal(np.array([[0.3, 0.0]]), CUTPOINTS)
    np.testing.assert_allclose(p.probs[0, 0], shares, atol=5 * 0.5 / np.sqrt(len(x)))


def test_odds_are_proportional(float64):
    """A step of f multiplies the odds of every "above k" by the same factor."""
    probs = np.asarray(ordinal(np.array([[0.3, -1.0], [1.3, 0.0]]), CUTPOINTS).probs)
    above = 1 - np.cumsum(probs, -1)[..., :-1]
    odds = np.log(above) - np.log1p(-above)
    np.testing.assert_allclose(odds[1] - odds[0], 1.0, rtol=1e-7)


def test_far_levels_keep_their_digits_in_single_precision():
    f = np.array([-60.0, -20.0, 0.0, 20.0, 60.0], np.float32)
    got = run(log_masses, f, jnp.float32(0.0), jnp.array([1e-6, 2.0]))
    low, middle, high = (c - f.astype(float) for c in (0.0, 1e-6, 2.000001))
    second = special.log_expit(middle) + special.log_expit(-low) + np.log(-np.expm1(-1e-6))
    third = special.log_expit(high) + special.log_expit(-middle) + np.log(-np.expm1(-2.0))
    truth = np.stack([special.log_expit(low), second, third, special.log_expit(-high)], -1)
    np.testing.assert_allclose(got, truth, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1e4, -1e4, 100.0, -100.0])
def test_extreme_outputs_and_cutpoints_have_finite_masses_and_gradients(size):
    likelihood = likelihoods.Ordinal(4)
    scope = scope_of(likelihood, (1,), None)

    def total(f, cutpoints, x):
        with handlers.substitute(data={"likelihood$cutpoints": cutpoints}):
            return likelihood.distribution(f, scope).log_prob(x).sum()

    evaluate = jax.jit(jax.value_and_grad(total, (0, 1)))
    for gap in (-1e4, 0.0, 1e4):
        for x in range(4):
            cutpoints = jnp.array([[0.5, gap, gap]])
            value, slopes = evaluate(jnp.full((1, 1), size), cutpoints, jnp.full((1, 1), float(x)))
            assert np.isfinite(value)
            assert all(np.isfinite(slope).all() for slope in slopes)


def test_cutpoints_start_at_the_observed_cumulative_frequencies():
    random = np.random.default_rng(0)
    x = random.choice(4, p=[0.1, 0.2, 0.0, 0.7], size=(5000, 3)).astype(np.float32)
    mask = random.random(x.shape) < 0.8
    mask[:, 2] = False
    vae = VAE(event_shape=(3,), latent_dim=1, likelihood=likelihoods.Ordinal(4), **LINEAR)
    start = initial_values(vae, Batch(np.where(mask, x, 3), mask=mask), lambda key, x: x)
    scope = scope_of(vae.likelihood, (3,), None)
    with handlers.substitute(data=start):
        probs = np.asarray(vae.likelihood.distribution(jnp.zeros((1, 3)), scope).probs)[0]
    for column in range(2):
        counts = np.bincount(x[mask[:, column], column].astype(int), minlength=4) + 0.5
        np.testing.assert_allclose(probs[column], counts / counts.sum(), rtol=1e-3)
    np.testing.assert_allclose(probs[2], 0.25, rtol=1e-5)  # never observed


def test_without_fit_the_levels_start_equally_probable():
    p = p_x(likelihoods.Ordinal(5), np.zeros((1, 2)), event_shape=(2,))
    np.testing.assert_allclose(p.probs, np.full((1, 2, 5), 0.2), rtol=1e-5)


def survey(n=600):
    """Answers on five levels, by one latent trait."""
    random = np.random.default_rng(0)
    z = random.normal(size=(n, 1))
    y = z @ [[2.0, -1.0, 1.5]] + random.logistic(size=(n, 3))
    return (y[..., None] > np.array([-2.0, -1.0, 0.5, 2.0])).sum(-1).astype(np.float32)


@pytest.mark.slow
def test_a_fitted_survey_gives_levels_probabilities_and_a_diagnosis():
    x = survey()
    vae = VAE(event_shape=(3,), latent_dim=1, likelihood=likelihoods.Ordinal(5), **LINEAR)
    fitted = fit(vae, x, rng_key=jax.random.key(0), epochs=60, batch_size=50, progress=False)
    probabilities = np.asarray(fitted.probabilities(x[:50]))
    assert probabilities.shape == (50, 3, 5)
    np.testing.assert_allclose(probabilities.sum(-1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(fitted.reconstruct(x[:50]), probabilities.argmax(-1))
    checks = criticism.predictive_checks(fitted, x, rng_key=jax.random.key(1))
    assert checks.posterior.marginal.distance < 0.1
    diagnosis = criticism.diagnose(fitted, x, rng_key=jax.random.key(2))
    assert diagnosis.verdict.of("fault") == [], str(diagnosis)


def test_joint_takes_ordered_levels_with_missing_entries():
    x = np.concatenate([survey(60), np.random.default_rng(1).normal(size=(60, 1))], 1)
    mask = np.random.default_rng(2).random(x.shape) < 0.8
    table = likelihoods.Joint(answers=(3, likelihoods.Ordinal(5)), age=(1, likelihoods.Gaussian()))
    vae = VAE(event_shape=(4,), latent_dim=1, likelihood=table, **LINEAR)
    fitted = fit(vae, Batch(np.where(mask, x, np.nan), mask=mask), rng_key=jax.random.key(0), epochs=3,
                 batch_size=20, progress=False)  # fmt: skip
    assert np.isfinite(fitted.history.train["elbo"]).all()
    assert fitted.params["likelihood$answers$likelihood$cutpoints"].shape == (3, 4)


def test_one_level_is_refused():
    with pytest.raises(ValueError, match="integer >= 2; got 1"):
        likelihoods.Ordinal(1)
