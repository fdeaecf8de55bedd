"""Entries missing because of their values: not-MIWAE against quadrature, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest
from numpyro import handlers
from numpyro.infer import Predictive
from scipy import stats

from probvae import (
    VAE,
    Batch,
    criticism,
    data,
    fit,
    likelihoods,
    load,
    nets,
    objectives,
    transfer_params,
)
from probvae.fitted import Fitted, History

KEY = jax.random.key(0)
WEIGHTS, MU, VARIANCE = np.array([[1.0], [0.8]]), np.array([0.3, -0.2]), 0.25
INTERCEPT = np.array([0.4, 1.0])
GRID = np.linspace(-12, 12, 20_001)
X = np.array([[0.5, 0.1], [-1.0, 0.7], [2.0, -1.5]])
MASK = np.array([[False, True], [True, False], [True, True]])


def not_at_random(missingness=None, base=None):
    missingness = likelihoods.SelfMasking() if missingness is None else missingness
    return likelihoods.NotAtRandom(base or likelihoods.Gaussian(), missingness=missingness)


def exact(slope, missingness=None, scale=1.5):
    """The linear-Gaussian VAE of two columns, its guide a bit wide, with a logistic curve for each."""
    values = oracle.params(WEIGHTS, MU, VARIANCE, scale)
    values |= {"likelihood$mask_intercept": INTERCEPT, "likelihood$mask_slope": np.asarray(slope)}
    vae = oracle.vae(d=2, q=1, likelihood=not_at_random(missingness))
    return Fitted(vae, jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), values), History({}, {}, {}))


def sigmoid(logit):
    return 1 / (1 + np.exp(-logit))


def missing_density(row, column, slope):
    """p(x_column | x_other) p(s_column = 0 | x_column) on the grid."""
    whole, other = WEIGHTS @ WEIGHTS.T + VARIANCE * np.eye(2), 1 - column
    gain = whole[0, 1] / whole[other, other]
    p = stats.norm(MU[column] + gain * (X[row, other] - MU[other]), np.sqrt(whole[column, column] - gain * whole[0, 1]))  # fmt: skip  # noqa: E501
    return p.pdf(GRID) * sigmoid(slope[column] * GRID - INTERCEPT[column])


def log_joint(row, slope):
    """log p(x_observed, s) by quadrature."""
    whole = WEIGHTS @ WEIGHTS.T + VARIANCE * np.eye(2)
    seen = MASK[row]
    logit = INTERCEPT - np.asarray(slope) * X[row]
    value = np.log(sigmoid(logit[seen])).sum()
    value += stats.multivariate_normal(MU[seen], whole[seen][:, seen]).logpdf(X[row, seen])
    for column in np.flatnonzero(~seen):
        value += np.log(missing_density(row, column, slope).sum() * (GRID[1] - GRID[0]))
    return value


SIGNS = {
    "unknown": (likelihoods.SelfMasking(), [2.0, -1.0], [2.0, -1.0]),
    "large values": (likelihoods.SelfMasking(sign=1), [2.0, 0.5], None),
    "small values": (likelihoods.SelfMasking(sign=-1), [2.0, 0.5], None),
}


@pytest.mark.parametrize("name", SIGNS)
def test_log_prob_equals_quadrature(name):
    missingness, slope, effective = SIGNS[name]
    if effective is None:
        effective = missingness.sign * np.log1p(np.exp(slope))
    bound = exact(slope, missingness).log_prob(Batch(X, mask=MASK), rng_key=KEY, num_particles=100_000)
    want = [log_joint(row, effective) for row in range(3)]
    assert (np.abs(bound.value - want) < 4 * bound.standard_error + 1e-3).all()
    assert bound.standard_error.max() < 0.01


def test_without_a_slope_the_mask_adds_a_constant():
    vae = oracle.vae(d=2, q=1)
    fitted = exact([0.0, 0.0])
    plain = Fitted(
        vae, {k: v for k, v in fitted.values.items() if "mask" not in k}, History({}, {}, {})
    )
    batch, options = Batch(X, mask=MASK), {"rng_key": KEY, "num_particles": 50}
    constant = np.log(sigmoid(np.where(MASK, INTERCEPT, -INTERCEPT))).sum(1)
    np.testing.assert_allclose(
        fitted.log_prob(batch, **options).value,
        plain.log_prob(batch, **options).value + constant,
        atol=1e-5,
    )


def test_imputed_values_equal_quadrature():
    """Large values are missing: the mean is above that of data missing at random."""
    slope = [2.0, -1.0]
    fitted = exact(slope)
    imputed = fitted.impute(
        X, MASK, rng_key=KEY, num_samples=2, num_particles=100_000, quantiles=(0.05, 0.95)
    )
    for row, column in ((0, 0), (1, 1)):
        p = missing_density(row, column, slope)
        p /= p.sum()
        mean = (p * GRID).sum()
        deviation = np.sqrt((p * (GRID - mean) ** 2).sum())
        error = deviation / np.sqrt(float(imputed.effective_particles[row]))
        assert abs(float(imputed.mean[row, column]) - mean) < 4 * error
        at_random = exact([0.0, 0.0]).impute(X, MASK, rng_key=KEY, num_particles=10_000)
        assert (mean - float(at_random.mean[row, column])) * slope[column] > 0.1
        for end, level in zip(imputed.interval(0.9), (0.05, 0.95), strict=True):
            assert abs(float(end[row, column]) - GRID[p.cumsum().searchsorted(level)]) < 10 * error


def test_the_weights_and_the_draws_share_one_x():
    """A curve so steep that a missing entry must be above its threshold: every draw is."""
    fitted = exact([200.0, 0.0])
    threshold = INTERCEPT[0] / 200
    imputed = fitted.impute(X[:1], MASK[:1], rng_key=KEY, num_samples=500, num_particles=2_000)
    assert (imputed.x[:, 0, 0] > threshold - 0.05).all()


def test_data_without_a_mask_are_all_observed():
    fitted, options = exact([2.0, -1.0]), {"rng_key": KEY, "num_particles": 20}
    without = fitted.log_prob(X, **options).value
    complete = fitted.log_prob(Batch(X, mask=np.ones_like(MASK)), **options).value
    np.testing.assert_array_equal(without, complete)


@pytest.fixture(scope="module")
def trained():
    """Column 0 is missing where it is large, by a logistic curve. Column 1 says something about it."""
    random = np.random.default_rng(0)
    x = random.normal(size=(1_500, 1)) @ WEIGHTS.T + 0.4 * random.normal(size=(1_500, 2))
    mask = np.ones(x.shape, bool)
    mask[:, 0] = random.random(len(x)) < sigmoid(-3 * x[:, 0])

    def train(likelihood):
        vae = VAE(event_shape=(2,), latent_dim=1, likelihood=likelihood, encode_mask=True,
                  encoder=nets.MLP((16,)), decoder=nets.Linear())  # fmt: skip
        batch = Batch(np.where(mask, x, np.nan), mask=mask)
        return fit(vae, batch, rng_key=KEY, objective=objectives.IWAE(num_particles=10),
                   optimizer=optax.adam(5e-3), epochs=60, progress=False)  # fmt: skip

    return x, mask, train


@pytest.mark.slow
def test_training_removes_the_bias_only_if_the_sign_is_right(trained):
    x, mask, train = trained
    bias = {}
    for name, likelihood in {
        "at random": likelihoods.Gaussian(),
        "right": not_at_random(likelihoods.SelfMasking(sign=1)),
        "wrong": not_at_random(likelihoods.SelfMasking(sign=-1)),
    }.items():
        imputed = train(likelihood).impute(x, mask, rng_key=KEY, num_particles=500)
        bias[name] = float((imputed.mean - x)[~mask].mean())
    assert abs(bias["right"]) < 0.5 * abs(bias["at random"])
    assert bias["wrong"] < bias["at random"] < 0


@pytest.mark.parametrize(
    "missingness",
    [likelihoods.SelfMasking(), likelihoods.MaskingNet(), likelihoods.MaskingNet(nets.MLP((4,)))],
    ids=str,
)
def test_every_query_works_and_a_file_keeps_the_missingness(missingness, tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 3)) * [1, 100, 0.1]
    mask = random.random(x.shape) < 0.7
    likelihood = not_at_random(missingness, likelihoods.Standardized(likelihoods.Gaussian()))
    net = nets.MLP((8,))
    vae = VAE(event_shape=(3,), latent_dim=2, likelihood=likelihood, encoder=net, decoder=net)
    fitted = fit(vae, Batch(x, mask=mask), rng_key=KEY, epochs=2, batch_size=20, progress=False)
    assert np.isfinite(fitted.history.train["elbo"]).all()
    batch = Batch(x, mask=mask)
    bound = fitted.log_prob(batch, rng_key=KEY, num_particles=5)
    fitted.save(tmp_path / "fit.safetensors")
    loaded = load(tmp_path / "fit.safetensors", vae).log_prob(batch, rng_key=KEY, num_particles=5)
    np.testing.assert_array_equal(bound.value, loaded.value)
    z = fitted.encode(x).mean
    assert fitted.decode(z).log_prob(x).shape == (60,)
    assert fitted.sample(4, rng_key=KEY).x.shape == (4, 3)
    assert fitted.reconstruct(x, mask=mask).shape == (60, 3)
    assert Predictive(fitted.model, num_samples=2)(KEY, x, None, mask)["x"].shape == (2, 60, 3)
    assert set(transfer_params(fitted, vae)) == set(fitted.params)


def test_the_missingness_sees_standardized_numbers():
    """Other units of x change log p(x, s) by the Jacobian of observed entries alone."""
    base = likelihoods.Standardized(likelihoods.Gaussian())
    vae = oracle.vae(d=2, q=1, likelihood=not_at_random(base=base))
    values, m, s = dict(exact([2.0, -1.0]).values), np.array([5.0, -3.0]), np.array([100.0, 0.01])
    bounds = []
    for mean, sd in ((np.zeros(2), np.ones(2)), (m, s)):
        moments = {"likelihood$column_mean": mean, "likelihood$column_sd": sd}
        moments = {name: jnp.asarray(value, jnp.float32) for name, value in moments.items()}
        fitted = Fitted(vae, values | moments, History({}, {}, {}))
        batch = Batch(np.where(MASK, mean + sd * X, 0), mask=MASK)
        bounds.append(fitted.log_prob(batch, rng_key=KEY, num_particles=50).value)
    np.testing.assert_allclose(bounds[1] - bounds[0], -(np.log(s) * MASK).sum(1), atol=1e-3)


def test_one_block_of_a_joint_can_be_missing_not_at_random():
    """With slope 0 it adds log p(s) of its block, and nothing of the others."""
    blocks = {"b": (1, likelihoods.Bernoulli()), "a": (1, not_at_random())}
    plain_blocks = blocks | {"a": (1, likelihoods.Gaussian())}
    vaes = [
        VAE(event_shape=(2,), latent_dim=1, likelihood=likelihoods.Joint(b), encoder=nets.Linear(),
            decoder=nets.Linear())
        for b in (blocks, plain_blocks)
    ]  # fmt: skip
    x = np.array([[1.0, 0.3], [0.0, 2.0]])
    mask = np.array([[True, False], [False, True]])
    fitted = fit(vaes[0], Batch(x, mask=mask), rng_key=KEY, epochs=1, batch_size=2, progress=False)
    site = "likelihood$a$likelihood$mask_intercept"
    values = fitted.values | {site: jnp.array([1.5]), site.replace("intercept", "slope"): jnp.zeros(1)}
    plain = {name: value for name, value in values.items() if "mask" not in name}
    batch, options = Batch(x, mask=mask), {"rng_key": KEY, "num_particles": 20}
    bound = fitted.with_values(values).log_prob(batch, **options).value
    without = Fitted(vaes[1], plain, History({}, {}, {})).log_prob(batch, **options).value
    np.testing.assert_allclose(bound - without, np.log(sigmoid(np.array([-1.5, 1.5]))), atol=1e-5)
    mean = fitted.impute(x, mask, rng_key=KEY, num_particles=10).mean
    assert 0 <= mean[1, 0] <= 1


def test_gradients_at_hidden_entries_are_finite():
    vae = oracle.vae(d=2, q=1, likelihood=not_at_random(base=likelihoods.StudentT(1.0)))
    values = exact([2.0, -1.0]).values

    def log_likelihood(values):
        x = jnp.where(MASK, X, jnp.nan)
        batch = (x, None, jnp.asarray(MASK))
        return objectives.terms(KEY, values, vae.model, vae.guide, *batch).log_likelihood.sum()

    gradient = jax.jit(jax.grad(log_likelihood))(values)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert (np.asarray(gradient["likelihood$mask_slope"]) != 0).all()


def test_each_particle_draws_its_own_missing_entries():
    fitted = exact([2.0, -1.0])
    model = handlers.substitute(fitted.vae.model, data=dict(fitted.values))
    draws = [
        handlers.trace(handlers.seed(model, seed)).get_trace(X, None, MASK)["x"]["fn"].base_dist.hidden
        for seed in (0, 1)
    ]
    assert (np.asarray(draws[0]) != np.asarray(draws[1])).all()


def test_measures_that_need_the_density_itself_are_refused():
    fitted = exact([2.0, -1.0])
    for measure in (criticism.reference_chains, criticism.annealed_log_prob):
        with pytest.raises(ValueError, match="NotAtRandom draws missing entries.*fitted.log_prob"):
            measure(fitted, X, rng_key=KEY)


def _joint_of(base):
    return VAE(event_shape=(2,), latent_dim=1, likelihood=not_at_random(base=base))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: _joint_of(likelihoods.Poisson()), ValueError, "whose draws have gradients.*got Poisson"),
        (
            lambda: _joint_of(likelihoods.Joint(a=(1, likelihoods.Gaussian()), b=(1, likelihoods.Bernoulli()))),
            ValueError,
            "wrap only the blocks",
        ),
        (lambda: not_at_random(base=likelihoods.Gaussian(likelihoods.OptimalScale())), ValueError, "without noise"),
        (lambda: not_at_random(base=not_at_random()), ValueError, "a density that factorises"),
        (lambda: not_at_random(likelihoods.SelfMasking), TypeError, r"Call it: SelfMasking\(...\)"),
        (lambda: likelihoods.Standardized(not_at_random()), ValueError, "Standardize inside"),
        (lambda: likelihoods.Spread(not_at_random(), noise=data.GaussianNoise(1.0)), ValueError, "without a model"),
        (lambda: likelihoods.Autoregressive(nets.MADE((8,)), not_at_random()), ValueError, "single entries"),
        (lambda: likelihoods.SelfMasking(sign=2), ValueError, "1, -1 or 0"),
    ],
    ids=["counts", "levels in a Joint", "optimal scale", "twice", "class", "Standardized", "Spread", "Autoregressive", "sign"],
)  # fmt: skip
def test_what_has_no_gradient_or_no_density_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()
