"""The laws of p(x|z): densities that integrate, twins in SciPy, limits, samples, and extreme outputs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from compiled import log_prob, mean, moments, run, sample
from numpyro import handlers
from pairs import rows
from scipy import integrate, special, stats

from probvae import VAE, Batch, data, fit, likelihoods, nets
from probvae.distributions import (
    ContinuousBernoulli,
    DiscretizedLogistic,
    NegativeBinomialLogMean,
    PoissonLogMean,
)
from probvae.distributions.continuous_bernoulli import NEAR, log_normalizer
from probvae.distributions.counts import log_rising
from probvae.tracing import trace_structure

FIXED = likelihoods.FixedScale(0.7)
PIXEL = likelihoods.PixelScale()
FAMILIES = {name: make for name, make in registry.LIKELIHOODS.items() if "OptimalScale" not in name}
REAL = {
    "Laplace": (likelihoods.Laplace(scale=FIXED), stats.laplace(0.3, 0.7)),
    "StudentT": (likelihoods.StudentT(3.0, scale=FIXED), stats.t(3.0, 0.3, 0.7)),
    "StudentT at df = 1": (likelihoods.StudentT(1.0, scale=FIXED), stats.cauchy(0.3, 0.7)),
}


def p_x(likelihood, outputs, *, event_shape=(1,), context=None):
    """p(x|z) where the decoder gives ``outputs`` ``(batch, *output_shape)``."""
    scope = scope_of(likelihood, event_shape, context)
    return run(handlers.seed(partial(likelihood.distribution, scope=scope), 0), jnp.asarray(outputs))


def scope_of(likelihood, event_shape, context):
    context_shape = () if context is None else context.shape[1:]
    vae = VAE(event_shape=event_shape, latent_dim=1, likelihood=likelihood, context_shape=context_shape,
              encoder=nets.Linear(), decoder=nets.Linear())  # fmt: skip
    return vae._scope(None, context, None)


@pytest.mark.parametrize(("likelihood", "twin"), REAL.values(), ids=REAL)
def test_against_scipy(likelihood, twin):
    p = p_x(likelihood, [[[0.3]]])
    x = np.linspace(-40, 40, 101, dtype=np.float32)
    np.testing.assert_allclose(log_prob(p, x[:, None, None])[:, 0, 0], twin.logpdf(x), rtol=1e-5)


@pytest.mark.parametrize("likelihood", [make(PIXEL) for make in (
    lambda s: likelihoods.Laplace(scale=s), lambda s: likelihoods.StudentT(6.0, scale=s))], ids=str)  # fmt: skip
def test_location_families_integrate_to_one_and_shift_and_stretch(likelihood):
    p = p_x(likelihood, [[[0.4, 0.3]], [[-2.0, -1.0]]])
    for datum in range(2):
        total, _ = integrate.quad(
            lambda x, d=datum: np.exp(float(log_prob(p, x)[d, 0])), -np.inf, np.inf, epsabs=1e-7
        )
        assert total == pytest.approx(1.0, abs=1e-5)
    check_moments(p)


def test_student_t_tends_to_the_gaussian(float64):
    x = np.linspace(-3, 3, 7)[:, None, None]
    heavy = p_x(likelihoods.StudentT(1e5, scale=FIXED), [[[0.3]]])
    normal = p_x(likelihoods.Gaussian(scale=FIXED), [[[0.3]]])
    np.testing.assert_allclose(log_prob(heavy, x), log_prob(normal, x), atol=5e-3)


def check_moments(p, n=40_000):
    """Samples have the mean and the variance that the distribution says, within 5 standard errors."""
    x = np.asarray(sample(p, jax.random.key(3), (n,)), np.float64)
    center, spread = (np.asarray(moment, np.float64) for moment in moments(p))
    assert np.all(np.abs(x.mean(0) - center) <= 5 * np.sqrt(spread / n) + 1e-6)
    kurtosis = ((x - x.mean(0)) ** 4).mean(0)
    assert np.all(
        np.abs(x.var(0) - spread)
        <= 5 * np.sqrt(np.maximum(kurtosis - spread**2, 0) / n) + 1e-5 * spread + 1e-9
    )


# The continuous Bernoulli


def test_continuous_bernoullis_constant_against_its_closed_form(float64):
    probs = np.concatenate([np.linspace(0.001, 0.499, 250), 1 - np.geomspace(1e-12, 0.49, 50)])
    logits = np.log(probs / (1 - probs))
    got = log_prob(ContinuousBernoulli(jnp.asarray(logits)), 0.0) - np.log1p(-probs)
    closed = np.log(2 * np.arctanh(1 - 2 * probs) / (1 - 2 * probs))
    far = np.abs(probs - 0.5) > 1e-3  # nearer, this closed form itself loses digits
    np.testing.assert_allclose(got[far], closed[far], rtol=1e-9)
    assert ContinuousBernoulli(jnp.zeros(())).log_prob(0.3) == pytest.approx(
        0.0, abs=1e-15
    )  # C(1/2) = 2


def test_continuous_bernoullis_constant_against_its_series_near_one_half(float64):
    d = np.linspace(-0.01, 0.01, 41)
    probs = 0.5 + d
    got = log_prob(ContinuousBernoulli(np.log(probs / (1 - probs))), 1.0) - np.log(probs)
    np.testing.assert_allclose(got, np.log(2) + 4 / 3 * d**2 + 104 / 45 * d**4, atol=1e-11)


def test_continuous_bernoullis_series_and_closed_form_meet_without_a_jump(float64):
    sides = np.array([NEAR * (1 - 1e-14), NEAR * (1 + 1e-14)])
    for sign in (1, -1):
        for quantity, digits in (
            (log_normalizer, 1e-12),
            (jax.vmap(jax.grad(log_normalizer)), 1e-11),
            (lambda logits: ContinuousBernoulli(logits).mean, 1e-10),
            (lambda logits: ContinuousBernoulli(logits).variance, 1e-9),
        ):
            below, above = run(quantity, sign * sides)
            np.testing.assert_allclose(below, above, rtol=digits, err_msg=str(quantity))


def test_continuous_bernoullis_moments_are_the_slopes_of_its_constant(float64):
    logits = jnp.array([-30.0, -2.0, -0.4, 0.0, 1e-4, 0.3, 0.51, 5.0, 30.0])
    slope, bend = jax.grad(log_normalizer), jax.grad(jax.grad(log_normalizer))
    exact = run(jax.vmap(lambda logit: (slope(logit), bend(logit))), logits)
    for moment, derivative, digits in zip(
        moments(ContinuousBernoulli(logits)), exact, (1e-9, 1e-6), strict=True
    ):
        np.testing.assert_allclose(moment, derivative, rtol=digits)


@pytest.mark.parametrize("logit", [-50.0, -3.0, -1e-4, 0.0, 0.3, 4.0, 50.0])
def test_continuous_bernoulli_integrates_to_one(logit, float64):
    p = ContinuousBernoulli(jnp.asarray(logit))
    total, _ = integrate.quad(lambda x: np.exp(float(log_prob(p, x))), 0, 1, points=[0.05, 0.95])
    assert total == pytest.approx(1.0, abs=1e-7)


def test_continuous_bernoullis_inverse_undoes_its_distribution_function(float64):
    logits = np.array([-200.0, -5.0, -1e-3, -1e-5, 0.0, 1e-5, 1e-3, 2.0, 200.0])
    u = np.linspace(0.01, 0.99, 9)[:, None]
    x = np.asarray(run(ContinuousBernoulli(logits).icdf, u))
    safe = np.where(logits == 0, 1e-9, logits)
    high = np.maximum(safe, 0)  # both parts of the fraction are scaled alike, so that none overflows
    rise = np.exp(safe * x - high) - np.exp(-high)
    rise = np.where(np.abs(safe) < 1, np.exp(-high) * np.expm1(safe * x), rise)
    whole = np.where(safe > 0, -np.expm1(-np.abs(safe)), np.expm1(-np.abs(safe)))
    np.testing.assert_allclose(rise / whole, np.broadcast_to(u, x.shape), rtol=1e-6)


def test_continuous_bernoullis_samples_have_its_moments_and_follow_the_logits():
    logits = jnp.array([-50.0, -2.0, -1e-4, 0.0, 0.4, 3.0, 50.0])
    check_moments(ContinuousBernoulli(logits))

    def mean_of_draws(logit):
        return ContinuousBernoulli(logit).sample(jax.random.key(0), (20_000,)).mean()

    logits = jnp.array([-2.0, 0.0, 1.0])
    slopes = run(jax.vmap(jax.grad(mean_of_draws)), logits)
    np.testing.assert_allclose(slopes, moments(ContinuousBernoulli(logits))[1], rtol=0.05)


# Counts

COUNTS = np.arange(400.0)
LOG_MEANS = np.log([0.01, 0.5, 3.0, 40.0])


def counts(p):
    return np.asarray(log_prob(p, COUNTS[:, None]), np.float64)


def test_poisson_against_scipy(float64):
    truth = stats.poisson(np.exp(LOG_MEANS)).logpmf(COUNTS[:, None])
    np.testing.assert_allclose(counts(PoissonLogMean(LOG_MEANS)), truth, rtol=1e-8)


@pytest.mark.parametrize("r", [0.05, 1.0, 19.0, 21.0, 300.0])
def test_negative_binomial_against_scipy(r, float64):
    truth = stats.nbinom(r, r / (r + np.exp(LOG_MEANS))).logpmf(COUNTS[:, None])
    got = counts(NegativeBinomialLogMean(LOG_MEANS, np.log(r)))
    np.testing.assert_allclose(got, truth, rtol=1e-8)


@pytest.mark.parametrize("log_r", [14.0, 30.0, 50.0])
def test_negative_binomial_tends_to_poisson(log_r):
    limit, got = PoissonLogMean(LOG_MEANS), NegativeBinomialLogMean(LOG_MEANS, log_r)
    np.testing.assert_allclose(
        counts(got)[:60], counts(limit)[:60], rtol=1e-5, atol=3e-3
    )  # in single precision


def test_log_rising_is_the_difference_of_log_gammas_across_its_two_forms(float64):
    r, x = np.array([0.1, 5.0, 19.99, 20.01, 1e3, 1e5]), np.arange(40.0)[:, None]
    truth = special.gammaln(r + x) - special.gammaln(r)
    np.testing.assert_allclose(run(log_rising, r, x), truth, rtol=1e-9, atol=1e-10)
    slopes = run(jax.vmap(jax.grad(log_rising), (0, None)), r, 7.0)
    np.testing.assert_allclose(slopes, special.digamma(r + 7) - special.digamma(r), rtol=1e-6)


def zero_inflated(gate):
    outputs = np.stack([LOG_MEANS, np.full_like(LOG_MEANS, gate)], -1)[None]
    return p_x(likelihoods.ZeroInflatedNegativeBinomial(), outputs, event_shape=(4,))


def test_zero_inflation_with_a_closed_gate_is_the_negative_binomial():
    plain = p_x(likelihoods.NegativeBinomial(), LOG_MEANS[None], event_shape=(4,))
    got = log_prob(zero_inflated(-30.0), COUNTS[:, None, None])
    np.testing.assert_allclose(got, log_prob(plain, COUNTS[:, None, None]), rtol=1e-5, atol=1e-5)


def test_zero_inflation_adds_the_gate_to_the_zeros_alone():
    plain = np.exp(counts(NegativeBinomialLogMean(LOG_MEANS, 0.0)))
    gate = 1 / (1 + np.exp(-0.4))
    got = np.exp(np.asarray(log_prob(zero_inflated(0.4), COUNTS[:, None, None])))[:, 0]
    np.testing.assert_allclose(
        got, (1 - gate) * plain + gate * (COUNTS == 0)[:, None], rtol=2e-5, atol=1e-9
    )


@pytest.mark.parametrize("p", [
    PoissonLogMean(LOG_MEANS), NegativeBinomialLogMean(LOG_MEANS, jnp.array([-1.0, 0.5, 4.0, 2.0])), zero_inflated(-0.7),
], ids=lambda p: type(p).__name__)  # fmt: skip
def test_counts_sum_to_one_and_are_drawn_as_they_are_scored(p):
    mass = np.exp(np.asarray(log_prob(p, np.arange(4_000.0)[:, None, None]), np.float64))
    np.testing.assert_allclose(mass.sum(0).ravel(), 1.0, rtol=2e-5)
    check_moments(p)


def test_library_size_is_the_sum_of_the_means_and_comes_through_the_context():
    log_size = np.log([[100.0], [3_000.0]]).astype(np.float32)
    raw = np.asarray(jax.random.normal(jax.random.key(0), (2, 5)))
    for family in (likelihoods.Poisson, likelihoods.NegativeBinomial):
        p = p_x(family(likelihoods.LibrarySize()), raw, event_shape=(5,), context=log_size)
        np.testing.assert_allclose(mean(p), np.exp(log_size) * special.softmax(raw, -1), rtol=1e-5)
    gated = likelihoods.ZeroInflatedNegativeBinomial(likelihoods.LibrarySize())
    p = p_x(gated, np.stack([raw, np.full_like(raw, -40.0)], -1), event_shape=(5,), context=log_size)
    np.testing.assert_allclose(mean(p).sum(-1), [100.0, 3_000.0], rtol=1e-5)


def test_counts_train_with_a_library_size():
    log_size = np.log(np.asarray(jax.random.randint(jax.random.key(0), (60, 1), 50, 300))).astype(
        np.float32
    )
    x = np.random.default_rng(0).poisson(np.exp(log_size) * np.array([0.1, 0.2, 0.3, 0.4]))
    vae = VAE(event_shape=(4,), latent_dim=1, context_shape=(1,), encoder=nets.Linear(), decoder=nets.Linear(),
              likelihood=likelihoods.NegativeBinomial(likelihoods.LibrarySize(), start=10.0))  # fmt: skip
    fitted = fit(
        vae, Batch(x, log_size), rng_key=jax.random.key(0), epochs=5, batch_size=20, progress=False
    )
    assert fitted.history.train["elbo"][-1] > fitted.history.train["elbo"][0]
    assert fitted.params["likelihood$log_concentration"].shape == (4,)


# Levels

EXTREMES = np.array([-50.0, -3.0, -0.2, 0.0, 1.0, 50.0])


def mass(p, values):
    return np.exp(np.asarray(log_prob(p, values.reshape(-1, *[1] * len(p.batch_shape))), np.float64))


@pytest.mark.parametrize("g", EXTREMES)
@pytest.mark.parametrize(
    "likelihood", [likelihoods.DiscretizedLogistic(), likelihoods.DiscretizedLogistic(5)], ids=str
)
def test_discretized_logistic_sums_to_one_at_any_mean_and_scale(likelihood, g, float64):
    outputs = np.stack([EXTREMES, np.full_like(EXTREMES, g)], -1)[None]
    p = p_x(likelihood, outputs, event_shape=(6,))
    k = np.linspace(0.0, 1.0, likelihood.num_levels)
    np.testing.assert_allclose(mass(p, k).sum(0), 1.0, rtol=1e-9)
    np.testing.assert_allclose((mass(p, k) * k[:, None, None]).sum(0), mean(p), rtol=1e-9, atol=1e-12)


def test_discretized_logistic_against_scipy(float64):
    m, s, k = 0.37, 0.04, np.arange(256.0)
    edges = stats.logistic(m, s).cdf((k[1:] - 0.5) / 255)
    truth = np.diff(edges, prepend=0.0, append=1.0)
    p = DiscretizedLogistic(jnp.asarray(m), jnp.log(s))
    np.testing.assert_allclose(mass(p, k / 255), truth, rtol=1e-9, atol=1e-14)
    outputs = np.array([[[2 * m - 1, np.log(np.expm1(np.log(2 * s) + 7)) - 7]]])
    np.testing.assert_allclose(
        mass(p_x(likelihoods.DiscretizedLogistic(), outputs), k / 255).ravel(), truth, rtol=1e-6
    )


def test_discretized_logistic_draws_the_levels_that_it_scores():
    p = DiscretizedLogistic(
        jnp.array([0.5, 0.02, 1.3]), np.log(np.array([0.1, 0.3, 0.2])), num_levels=6
    )
    x = np.asarray(sample(p, jax.random.key(0), (50_000,)))
    k = np.arange(6) / 5
    found = (np.round(5 * x)[None] == np.arange(6)[:, None, None]).mean(1)
    np.testing.assert_allclose(found, mass(p, k), atol=5 * 0.5 / np.sqrt(50_000))
    assert bool(p.support(x).all())


def test_logistic_mixture_is_the_weighted_sum_of_its_components():
    outputs = np.asarray(jax.random.normal(jax.random.key(0), (1, 1, 3, 4)))
    p = p_x(likelihoods.DiscretizedLogisticMixture(4), outputs)
    k = np.linspace(0, 1, 256)
    weights = special.softmax(outputs[0, 0, 0])
    parts = [p_x(likelihoods.DiscretizedLogistic(), outputs[:, :, 1:, i]) for i in range(4)]
    truth = sum(w * mass(part, k) for w, part in zip(weights, parts, strict=True))
    np.testing.assert_allclose(mass(p, k), truth, rtol=1e-4)
    np.testing.assert_allclose(mass(p, k).sum(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(
        np.mean(sample(p, jax.random.key(1), (20_000,))), mean(p).item(), atol=0.01
    )


def test_categorical_sums_to_one_and_is_drawn_as_it_is_scored():
    logits = np.array([[[0.0, 1.0, -2.0], [50.0, -50.0, 0.0], [3.0, 3.0, 3.0]]])
    p = p_x(likelihoods.Categorical(3), logits, event_shape=(3,))
    np.testing.assert_allclose(
        mass(p, np.arange(3.0))[:, 0], special.softmax(logits[0], -1).T, rtol=1e-5
    )
    check_moments(p)


# Beta


def test_beta_against_scipy():
    f, g = np.array([0.3, -2.0, 4.0]), np.array([1.0, 3.0, 0.2])
    p = p_x(likelihoods.Beta(), np.stack([f, g], -1)[None], event_shape=(3,))
    phi = np.exp(-6 + np.log1p(np.exp(g + 6)))
    twin = stats.beta(special.expit(f) * phi, special.expit(-f) * phi)
    x = np.linspace(0.01, 0.99, 21)
    np.testing.assert_allclose(
        log_prob(p, x[:, None, None])[:, 0], twin.logpdf(x[:, None]), rtol=1e-4, atol=1e-5
    )
    center, variance = moments(p)
    np.testing.assert_allclose(center[0], special.expit(f), rtol=1e-5)
    np.testing.assert_allclose(variance[0], special.expit(f) * special.expit(-f) / (1 + phi), rtol=1e-5)
    check_moments(p)


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_beta_refuses_the_ends(edge):
    vae = VAE(event_shape=(2,), latent_dim=1, likelihood=likelihoods.Beta())
    with pytest.raises(ValueError, match="likelihood Beta expects"):
        fit(vae, np.full((10, 2), edge), rng_key=jax.random.key(0), batch_size=5)


# Joint

TABLE = likelihoods.Joint(
    income=(2, likelihoods.Gaussian(scale=likelihoods.LearnedScale(start=0.5))),
    age=(1, likelihoods.Laplace()), owner=(1, likelihoods.Bernoulli()), children=(1, likelihoods.NegativeBinomial()),
    share=(2, likelihoods.Beta()), grade=(1, likelihoods.Categorical(3)),
)  # fmt: skip
ROWS = np.array([[0.3, -1.0, 2.0, 1.0, 4.0, 0.2, 0.9, 2.0], [1.0, 0.0, -1.0, 0.0, 0.0, 0.5, 0.4, 0.0]])


def test_joint_is_the_product_of_its_blocks():
    outputs = np.asarray(jax.random.normal(jax.random.key(0), (2, *TABLE.output_shape((8,)))))
    got = log_prob(p_x(TABLE, outputs, event_shape=(8,)), ROWS)
    start = at = 0
    for _, size, part in TABLE.blocks:
        shape = part.output_shape((size,))
        n = int(np.prod(shape))
        p = p_x(part, outputs[:, at : at + n].reshape(2, *shape), event_shape=(size,))
        np.testing.assert_allclose(
            got[:, start : start + size], log_prob(p, ROWS[:, start : start + size]), rtol=1e-5
        )
        start, at = start + size, at + n
    assert (start, at) == (8, outputs.shape[-1])


@pytest.mark.slow
def test_joint_draws_in_its_support_and_with_its_moments():
    p = p_x(
        TABLE, jax.random.normal(jax.random.key(2), (2, *TABLE.output_shape((8,)))), event_shape=(8,)
    )
    assert bool(TABLE.support(p.sample(jax.random.key(0), (50,))).all())
    assert bool(TABLE.support(ROWS).all())
    assert not bool(TABLE.support(ROWS + 0.5).all())
    check_moments(p)


def test_joints_parameters_are_named_by_block_and_missing_entries_are_filled_by_block():
    two = likelihoods.Joint(
        {
            "a": (1, likelihoods.Gaussian()),
            "b": (2, likelihoods.Beta()),
            "c": (1, likelihoods.Laplace()),
        }
    )
    vae = VAE(event_shape=(4,), latent_dim=1, likelihood=two)
    assert {"likelihood$a$likelihood$log_scale", "likelihood$c$likelihood$log_scale"} <= set(
        trace_structure(vae).params
    )
    np.testing.assert_allclose(two.fill, [0.0, 0.5, 0.5, 0.0])
    x = np.random.default_rng(0).uniform(0.1, 0.9, (40, 4))
    mask = np.random.default_rng(1).uniform(size=x.shape) < 0.7
    fitted = fit(
        vae,
        Batch(np.where(mask, x, np.nan), mask=mask),
        rng_key=jax.random.key(0),
        epochs=2,
        batch_size=20,
        progress=False,
    )
    assert np.isfinite(fitted.history.train["elbo"][-1])


# What is refused

REFUSED = {
    "Laplace with the optimal scale": (
        lambda: likelihoods.Laplace(scale=likelihoods.OptimalScale()), ValueError, "OptimalScale is Gaussian only"),
    "no freedom": (lambda: likelihoods.StudentT(0.0), ValueError, r"StudentT\(df=...\) expects a finite number > 0; got 0.0"),
    "a library size without context": (
        lambda: VAE(event_shape=(3,), latent_dim=1, likelihood=likelihoods.Poisson(likelihoods.LibrarySize())),
        ValueError, r"LibrarySize\(column=0\) expects the log library size.*context_shape=\(\)"),
    "concentration 0": (lambda: likelihoods.NegativeBinomial(start=0.0), ValueError, "finite number > 0; got 0.0"),
    "one level": (lambda: likelihoods.DiscretizedLogistic(1), ValueError, "integer >= 2; got 1"),
    "one category": (lambda: likelihoods.Categorical(1), ValueError, "integer >= 2; got 1"),
    "bytes to levels": (
        lambda: fit(VAE(event_shape=(3,), latent_dim=1, likelihood=likelihoods.DiscretizedLogistic()),
                    np.full((9, 3), 200, np.uint8), rng_key=jax.random.key(0), batch_size=9),
        ValueError, r"DiscretizedLogistic expects the 256 levels 0, 1/255.*other values, such as 200.*Rescale\(255\)"),
    "an empty table": (lambda: likelihoods.Joint(), ValueError, "at least one block"),
    "a block without its size": (lambda: likelihoods.Joint(a=likelihoods.Gaussian()), TypeError, "number of columns, likelihood"),
    "columns that no block takes": (
        lambda: VAE(event_shape=(9,), latent_dim=1, likelihood=TABLE), ValueError, r"expects 8 columns.*event_shape=\(9,\)"),
    "a block under noise": (
        lambda: likelihoods.Joint(a=(1, likelihoods.Spread(likelihoods.Delta(), noise=data.GaussianNoise(1.0)))),
        ValueError, r"Joint\(a=...\) expects .*got Spread"),
    "a block with the optimal scale": (
        lambda: likelihoods.Joint(a=(1, likelihoods.Gaussian(scale=likelihoods.OptimalScale()))), ValueError, r"Joint\(a=...\) expects .*OptimalScale"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# All of them


@pytest.mark.slow
@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("size", [0.0, 50.0, -50.0])
def test_gradients_are_finite_at_extreme_outputs(make, size):
    likelihood = make()
    event = (3, 2)
    shape = (4, *likelihood.output_shape(event))
    signs = jax.random.rademacher(jax.random.key(1), shape).astype(float)
    x = datum(likelihood, (4, *event))

    def total(outputs):
        return p_x(likelihood, outputs, event_shape=event).log_prob(x).sum()

    for outputs in (jnp.full(shape, size), size * signs):
        value, slope = jax.value_and_grad(total)(outputs)
        assert np.isfinite(value)
        assert np.isfinite(slope).all()


def datum(likelihood, shape):
    return jnp.asarray(rows(likelihood)[: shape[0]])
