"""Numbers at the edge: sharp mixtures, wild outputs, large counts, values outside a support, no rows."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from compiled import log_prob, run
from scipy import special, stats

from probvae import distributions as own
from probvae import likelihoods
from probvae.distributions import mixture, soft_clip
from probvae.distributions.counts import MOST, deviance
from probvae.interfaces import Scope

# Mixtures

RATIOS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # of a component's scale to the spread of the means


def sharp_mixture(ratio, k, d, rows=200):
    """Means of spread 1, scales of about ``ratio``, and draws of the mixture, in single precision."""
    random = np.random.default_rng(0)
    means = random.normal(size=(k, d))
    scales = ratio * np.exp(0.2 * random.normal(size=(k, d)))
    which = random.integers(k, size=rows)
    z = means[which] + scales[which] * random.normal(size=(rows, d))
    return [a.astype(np.float32) for a in (z, means, scales)]


def exact_mixture(z, means, scales):
    """log p(z) and the slopes of its sum in z, means and scales, in double precision."""
    z, means, scales = (a.astype(np.float64) for a in (z, means, scales))
    joint = stats.norm.logpdf(z[:, None], means, scales).sum(-1) - np.log(len(means))
    value = special.logsumexp(joint, axis=1)
    weight = np.exp(joint - value[:, None])[..., None]
    off = (z[:, None] - means) / scales
    slopes = (-weight * off / scales).sum(1), (weight * off / scales).sum(0)
    return value, (*slopes, (weight * (off**2 - 1) / scales).sum(0))


@pytest.mark.parametrize(("k", "d"), [(100, 2), (100, 32), (3, 2)])
def test_mixtures_of_sharp_normals_keep_their_digits(k, d):
    def log_prob(z, means, scales):
        p = mixture(jnp.zeros(k), dist.Normal(means, scales).to_event(1)).log_prob(z)
        return p.sum(), p

    evaluate = jax.jit(jax.value_and_grad(log_prob, (0, 1, 2), has_aux=True))
    for ratio in RATIOS:
        numbers = sharp_mixture(ratio, k, d)
        (_, value), slopes = evaluate(*numbers)
        exact, exact_slopes = exact_mixture(*numbers)
        np.testing.assert_allclose(value, exact, atol=5e-4)
        for slope, truth in zip(slopes, exact_slopes, strict=True):  # in units of the scale
            np.testing.assert_allclose(ratio * slope, ratio * truth, rtol=2e-3, atol=2e-3)


def test_a_batch_of_mixtures_is_numpyros():
    keys = jax.random.split(jax.random.key(0), 4)

    @jax.jit
    def both(keys):
        logits, loc = jax.random.normal(keys[0], (4, 3)), jax.random.normal(keys[1], (4, 3, 2))
        components = dist.Normal(loc, jnp.exp(jax.random.normal(keys[2], (4, 3, 2)))).to_event(1)
        z = jax.random.normal(keys[3], (4, 2))
        right = dist.MixtureSameFamily(dist.Categorical(logits=logits), components)
        return mixture(logits, components).log_prob(z), right.log_prob(z)

    np.testing.assert_allclose(*both(keys), rtol=1e-6)


# Bounds

SCOPE = Scope(1, (), (), False, (0.0, 1.0), None, None, None, lambda x: dist.Normal(x))  # noqa: FBT003
WILD = (-1e6, -100.0, -90.0, 0.0, 90.0, 100.0, 1e6)
BOUNDED = {
    "Beta": (likelihoods.Beta(), (0.3, 0.999)),
    "Gaussian": (likelihoods.Gaussian(scale=likelihoods.PixelScale()), (0.0, 3.0)),
    "Laplace": (likelihoods.Laplace(scale=likelihoods.PixelScale()), (0.0, 3.0)),
    "LogNormal": (likelihoods.LogNormal(scale=likelihoods.PixelScale()), (1e-6, 3.0)),
    "StudentT": (likelihoods.StudentT(scale=likelihoods.PixelScale()), (0.0, 3.0)),
    "DiscretizedLogistic": (likelihoods.DiscretizedLogistic(), (0.0, 1.0, 128 / 255)),
}


@pytest.mark.parametrize(("likelihood", "values"), BOUNDED.values(), ids=BOUNDED)
def test_wild_outputs_have_finite_densities_and_gradients(likelihood, values):
    def log_prob(outputs, x):
        return likelihood.distribution(outputs, SCOPE).log_prob(x)

    outputs = jnp.asarray([[a, b] for a in WILD[1:-1] for b in WILD])
    evaluate = jax.jit(jax.vmap(jax.value_and_grad(log_prob), (0, None)))
    for x in values:
        value, slope = evaluate(outputs, jnp.float32(x))
        assert np.isfinite(value).all()
        assert np.isfinite(slope).all()


def test_wild_rates_and_concentrations_of_counts_are_finite():
    def log_prob(log_mean, log_r, x):
        poisson = own.PoissonLogMean(log_mean).log_prob(x)
        return jnp.stack([poisson, own.NegativeBinomialLogMean(log_mean, log_r).log_prob(x)])

    log_mean, log_r = (jnp.asarray(a.ravel()) for a in np.meshgrid(WILD, WILD))
    slopes = jax.jit(jax.vmap(jax.jacrev(log_prob, (0, 1)), (0, 0, None)))
    for x in (0.0, 3.0, 1e4):
        assert np.isfinite(jax.jit(log_prob)(log_mean, log_r, x)).all()
        assert np.isfinite(slopes(log_mean, log_r, x)).all()


def test_a_soft_clip_leaves_the_inside_alone_and_always_leads_back():
    read = jax.jit(jax.vmap(jax.value_and_grad(lambda x: soft_clip(x, -3.0, 5.0))))
    inside = np.linspace(-3.0, 5.0, 41, dtype=np.float32)
    for got, want in zip(read(inside), (inside, 1.0), strict=True):
        np.testing.assert_array_equal(got, want)
    clipped, slope = map(np.asarray, read(np.float32([-1e4, -100.0, -4.0, 6.0, 100.0, 1e4])))
    assert (np.diff(clipped) > 0).all()
    assert clipped.min() >= -4.0
    assert clipped.max() <= 6.0
    np.testing.assert_allclose(slope, 1 / (1 + np.array([9997, 97, 1, 1, 95, 9995.0])) ** 2, rtol=1e-3)


# Counts


def count_grid():
    """Counts about and far from means of 1e-3 to 1e8, by concentrations of 1e-6 to 1e12."""
    random = np.random.default_rng(0)
    log_mean, log_r = np.meshgrid(
        np.log([1e-3, 1, 25, 1e3, 1e6, 1e8]), np.log([1e-6, 0.5, 19, 21, 1e3, 1e6, 1e12])
    )
    log_mean, log_r = (np.repeat(a.ravel(), 40).astype(np.float32) for a in (log_mean, log_r))
    mean, r = np.exp(log_mean.astype(np.float64)), np.exp(log_r.astype(np.float64))
    x = np.minimum(random.poisson(np.minimum(random.gamma(r) * mean / r, 1e9)), 4 * mean + 40)
    x[::20], x[1::20] = 0.0, np.round(2 * mean[1::20] + 3)
    return log_mean, log_r, x.astype(np.float32).round(), mean, r


def test_negative_binomials_of_any_size_keep_their_digits():
    log_mean, log_r, x, mean, r = count_grid()
    x64 = x.astype(np.float64)

    def total(log_mean, log_r):
        values = own.NegativeBinomialLogMean(log_mean, log_r).log_prob(x)
        return values.sum(), values

    slopes, values = run(jax.grad(total, (0, 1), has_aux=True), log_mean, log_r)
    far = (x64 - mean) / (r + mean)
    series = far**2 / 2 - far**3 / 3  # of log(1 + u) - u, which cancels where r is large
    in_r = r * (special.digamma(x64 + r) - special.digamma(r) + np.log(r / (r + mean)) - far)
    in_r = np.where(r > 1e9, -series * r + x64 / (2 * (r + x64)), in_r)
    exact = (x64 - mean) * r / (r + mean), in_r
    truth = stats.nbinom.logpmf(x64, r, r / (r + mean))
    far_off = r > 1e9  # where SciPy cancels, too: there it is Poisson(mean) to 1e-3
    truth[far_off] = stats.poisson.logpmf(x64, mean)[far_off] + (r * (far**2 / 2))[far_off]
    np.testing.assert_allclose(values, truth, rtol=2e-5, atol=0.02)
    for slope, right in zip(slopes, exact, strict=True):
        assert (np.abs(slope - right) < 2e-3 + 1e-3 * np.abs(right) + 2e-7 * (mean + x64)).all()


def test_poissons_of_any_size_keep_their_digits():
    log_mean, _, x, mean, _ = count_grid()
    x64 = x.astype(np.float64)
    value = log_prob(own.PoissonLogMean(log_mean), x)
    slope = run(jax.grad(lambda m: own.PoissonLogMean(m).log_prob(x).sum()), log_mean)
    np.testing.assert_allclose(value, stats.poisson.logpmf(x64, mean), rtol=2e-5, atol=0.02)
    np.testing.assert_allclose(slope, x64 - mean, rtol=1e-4, atol=1e-3 * np.sqrt(mean).max())


def test_deviances_slopes_are_finite_differences(float64):
    def f(x, m):
        return deviance(x, m, x - jnp.exp(m))

    x, log_mean = np.asarray([30.0, 500.0, 1e4]), np.log([29.0, 20.0, 1e4])
    slopes, f = run(jax.vmap(jax.grad(f, (0, 1))), x, log_mean), jax.jit(f)
    for slope, (a, b) in zip(slopes, ((1e-4, 0.0), (0.0, 1e-5)), strict=True):
        change = f(x + a * x, log_mean + b) - f(x - a * x, log_mean - b)
        np.testing.assert_allclose(slope, change / (2 * (a * x + b)), rtol=1e-5, atol=1e-6)
    assert float(run(jax.hessian(f, 1), 1e4, np.log(1e4))) == pytest.approx(1e4)


def test_counts_beyond_the_bound_are_scored_as_at_the_bound():
    assert float(own.PoissonLogMean(1e30).log_prob(0.0)) == pytest.approx(-np.exp(MOST + 1), rel=1e-4)


# Supports

OUTSIDE = {
    "PoissonLogMean": (lambda: own.PoissonLogMean(0.0), 2.5, 2.0),
    "MultinomialLogShares": (lambda: own.MultinomialLogShares(jnp.full(2, -np.log(2)), 3), [0.5, 1.5], [1.0, 2.0]),
    "GammaLogMean": (lambda: own.GammaLogMean(0.0, 0.0), -1.0, 1.0),
    "NegativeBinomialLogMean": (lambda: own.NegativeBinomialLogMean(0.0, 0.0), -1.0, 1.0),
    "BernoulliLogits": (lambda: own.BernoulliLogits(0.3), 0.5, 1.0),
    "Bits": (lambda: own.Bits(0.3), 2.0, 0.0),
    "ContinuousBernoulli": (lambda: own.ContinuousBernoulli(0.5), 2.0, 0.2),
    "CategoricalLevels": (lambda: own.CategoricalLevels(jnp.arange(3.0)), 0.7, 2.0),
    "CategoricalLevels above": (lambda: own.CategoricalLevels(jnp.arange(3.0)), 3.0, 0.0),
    "DiscretizedLogistic": (lambda: own.DiscretizedLogistic(0.3, 0.0), 2.0, 1.0),
    "OneHotCategorical": (lambda: own.OneHotCategorical(jnp.zeros(2)), [1.0, 1.0], [0.0, 1.0]),
    "ExpConcrete": (lambda: own.ExpConcrete(jnp.zeros(2), 0.5), [0.0, 0.0], [-np.log(2), -np.log(2)]),
    "SphericalUniform": (lambda: own.SphericalUniform(2), [1.0, 1.0], [0.6, 0.8]),
    "PowerSpherical": (lambda: own.PowerSpherical(jnp.asarray([0.0, 1.0]), jnp.asarray(2.0)), [1.0, 1.0], [0.6, 0.8]),
    "FeatureDistance": (lambda: own.FeatureDistance(jnp.zeros((1, 2)), jnp.tanh, 1.0), [[np.nan, 0.0]], [[1.0, 0.0]]),
    "NormalMixture": (lambda: mixture(jnp.zeros(2), dist.Normal(jnp.zeros((2, 1)), jnp.ones((2, 1))).to_event(1)), [np.nan], [1.0]),
    "RoundedNormal": (lambda: own.RoundedNormal(0.0, 1.0), 0.5, 1.0),
    "RoundedLogNormal": (lambda: own.RoundedLogNormal(0.0, 1.0), 0.0, 1.0),
    "MissingEntries": (lambda: own.MissingEntries(dist.LogNormal(0.0, 1.0), True, 1.0, 0.0), -1.0, 1.0),
    "Blocks": (lambda: own.Blocks((own.PoissonLogMean(jnp.zeros(1)), dist.Normal(jnp.zeros(1)))), [0.5, 0.5], [1.0, 0.5]),
}  # fmt: skip


@pytest.mark.parametrize(("make", "outside", "inside"), OUTSIDE.values(), ids=OUTSIDE)
def test_values_outside_the_support_warn_and_have_no_density(make, outside, inside):
    with pytest.warns(UserWarning, match="should be within the support"):
        value = make().log_prob(jnp.asarray(outside))
    assert np.ravel(value)[0] == -np.inf
    assert np.isfinite(make().log_prob(jnp.asarray(inside))).all()  # and no warning, which is an error


def test_every_distribution_has_a_value_outside_its_support():
    """`Autoregressive` and `PartlyObserved` hand the value on to a distribution of this list."""
    classes = {name for name in own.__all__ if isinstance(getattr(own, name), type)}
    assert classes - {"Autoregressive", "PartlyObserved"} == {name.split()[0] for name in OUTSIDE}


def test_compiled_programs_do_not_look_at_the_support():
    for make, _, inside in (OUTSIDE["PoissonLogMean"], OUTSIDE["BernoulliLogits"]):
        checked = str(jax.make_jaxpr(lambda x, make=make: make().log_prob(x))(jnp.asarray(inside)))
        with numpyro.validation_enabled(False):
            plain = str(jax.make_jaxpr(lambda x, make=make: make().log_prob(x))(jnp.asarray(inside)))
        assert checked == plain


def test_masked_values_and_switched_off_checks_do_not_warn():
    x = jnp.asarray([np.nan, 2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masked = own.PoissonLogMean(jnp.zeros(2)).mask(jnp.asarray([False, True])).log_prob(x)
        own.PoissonLogMean(0.0, validate_args=False).log_prob(jnp.asarray(2.5))
        with numpyro.validation_enabled(False):
            own.PoissonLogMean(0.0).log_prob(jnp.asarray(2.5))
    np.testing.assert_allclose(masked, [0.0, -1 - np.log(2)], rtol=1e-6)


# No rows

NONE = jnp.zeros((0, 8, 8))
EMPTY = {
    "BernoulliLogits": lambda: own.BernoulliLogits(NONE),
    "PoissonLogMean": lambda: own.PoissonLogMean(NONE),
    "NegativeBinomialLogMean": lambda: own.NegativeBinomialLogMean(NONE, NONE),
    "GammaLogMean": lambda: own.GammaLogMean(NONE, NONE),
    "ContinuousBernoulli": lambda: own.ContinuousBernoulli(NONE),
    "DiscretizedLogistic": lambda: own.DiscretizedLogistic(NONE, NONE),
    "Blocks": lambda: own.Blocks((own.PoissonLogMean(NONE[..., :5]), dist.Normal(NONE[..., 5:]))),
}


@pytest.mark.parametrize("make", EMPTY.values(), ids=EMPTY)
def test_an_empty_batch_has_an_empty_log_density(make):
    assert make().log_prob(NONE).shape == NONE.shape


def test_an_empty_batch_of_vectors_has_an_empty_log_density():
    vectors = jnp.zeros((0, 3))
    wide = mixture(jnp.zeros(100), dist.Normal(jnp.zeros((100, 3)), jnp.ones((100, 3))).to_event(1))
    with numpyro.validation_enabled(False):  # which fails for vectors, as it does for NumPyro's own
        for p in (wide, own.OneHotCategorical(vectors), own.SphericalUniform(3)):
            assert jax.eval_shape(p.log_prob, vectors).shape == (0,)
        features = own.FeatureDistance(vectors, jnp.tanh, 1.0)
        assert jax.eval_shape(features.log_prob, vectors).shape == (0,)
