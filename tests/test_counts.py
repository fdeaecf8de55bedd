"""Likelihoods of counts: where they start, how far rates reach, what the encoder sees."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpyro import handlers
from scipy import stats

from probvae import VAE, Batch, data, fit, likelihoods, nets, priors, sweep
from probvae.nets.input_transform import transforms_input
from probvae.training.initial_values import initial_values

MEANS = np.array([0.02, 5.0, 500.0])
X = np.random.default_rng(0).poisson(MEANS, (200, 3))
X[:, 0] = 0
SIZE = X.sum(1, keepdims=True)
MASK = np.random.default_rng(1).random(X.shape) < 0.6
COUNTS = {
    "Poisson": likelihoods.Poisson,
    "NegativeBinomial": likelihoods.NegativeBinomial,
    "ZeroInflatedNegativeBinomial": likelihoods.ZeroInflatedNegativeBinomial,
}
STILL = {"optimizer": optax.sgd(0.0), "epochs": 1, "batch_size": 100, "progress": False}
KEY = jax.random.key(0)
AS_IT_IS = data.Cast()


def build(likelihood, d=3, **parts):
    nets_of = {"encoder": nets.MLP((8,)), "decoder": nets.MLP((8,)), **parts}
    return VAE(event_shape=(d,), latent_dim=2, likelihood=likelihood, **nets_of)


def log_means(x, mask=None, exposure=1.0):
    """log((sum of counts + 1/2) / sum of exposures), over observed entries."""
    mask = np.ones(x.shape, bool) if mask is None else mask
    return np.log((x * mask).sum(0) + 0.5) - np.log((mask * exposure).sum(0))


def start_of(vae, batch, observation=AS_IT_IS):
    return initial_values(vae, batch, observation)


@pytest.mark.parametrize("family", COUNTS.values(), ids=COUNTS)
def test_counts_start_at_the_log_of_the_datas_mean(family):
    got = start_of(build(family()), Batch(X))["likelihood$log_mean"]
    np.testing.assert_allclose(got, log_means(X), rtol=1e-6)
    assert got[2] == pytest.approx(np.log(500), abs=0.01)


def test_the_start_looks_at_observed_entries_only():
    wrong = np.where(MASK, X, 10**6)
    start = start_of(build(likelihoods.Poisson()), Batch(wrong, mask=MASK))
    np.testing.assert_allclose(start["likelihood$log_mean"], log_means(X, MASK), rtol=1e-6)
    assert start["likelihood$largest"].max() < 15.0
    direct = likelihoods.Poisson().initial_values(wrong, MASK, None)  # whatever stands under the mask
    jax.tree.map(np.testing.assert_array_equal, direct, start)
    none = start_of(build(likelihoods.Poisson()), Batch(X, mask=np.zeros_like(MASK)))
    assert all(np.isfinite(value).all() for value in none.values())


def test_with_a_library_size_counts_start_at_the_log_of_their_shares():
    vae = build(likelihoods.NegativeBinomial(likelihoods.LibrarySize(column=1)), context_shape=(2,))
    context = np.concatenate([np.zeros_like(SIZE), np.log(SIZE)], axis=1)
    got = start_of(vae, Batch(X, context))["likelihood$log_mean"]
    np.testing.assert_allclose(got, log_means(X, exposure=SIZE), rtol=1e-5)
    assert np.exp(got).sum() == pytest.approx(1.0, rel=1e-3)


def test_blocks_of_a_joint_start_at_their_own_columns():
    blocks = likelihoods.Joint(
        size=(1, likelihoods.Gaussian()), a=(1, likelihoods.Poisson()), b=(2, likelihoods.NegativeBinomial())
    )  # fmt: skip
    x = np.concatenate([np.full((200, 1), -7.5), X], axis=1)
    got = start_of(build(blocks, 4), Batch(x))
    assert {name.rsplit("$", 1)[0] for name in got} == {
        "likelihood$a$likelihood",
        "likelihood$b$likelihood",
    }
    found = [got[f"likelihood${name}$likelihood$log_mean"] for name in "ab"]
    np.testing.assert_allclose(np.concatenate(found), log_means(X), rtol=1e-6)


def test_the_base_of_an_autoregressive_likelihood_starts_there_too():
    vae = build(likelihoods.Autoregressive(nets.MADE((8,)), likelihoods.Poisson()))
    np.testing.assert_allclose(start_of(vae, Batch(X))["likelihood$log_mean"], log_means(X), rtol=1e-6)


def test_the_start_sees_the_data_as_they_are_scored():
    thinned = lambda rng_key, x: jnp.round(x / 10)  # noqa: E731
    got = start_of(build(likelihoods.Poisson()), Batch(X), thinned)["likelihood$log_mean"]
    np.testing.assert_allclose(got, log_means(np.round(X / 10)), rtol=1e-5)


def test_other_likelihoods_read_no_data_for_a_start():
    unreadable = Batch(None)
    assert start_of(build(likelihoods.Gaussian()), unreadable) == {}
    joint = likelihoods.Joint(a=(1, likelihoods.Gaussian()), b=(2, likelihoods.Bernoulli()))
    assert start_of(build(joint), unreadable) == {}


@pytest.fixture(scope="module")
def vae():
    return build(likelihoods.Poisson())


def test_streamed_data_give_the_same_start(vae):
    streamed = start_of(vae, Batch(data.StreamedData(X, chunk_bytes=1000)))
    jax.tree.map(np.testing.assert_array_equal, streamed, start_of(vae, Batch(X)))


def test_of_large_data_rows_from_first_to_last_are_read(vae, monkeypatch):
    monkeypatch.setattr("probvae.training.initial_values.ENTRIES", 60)
    got = start_of(vae, Batch(np.arange(600).reshape(200, 3)))["likelihood$log_mean"]
    np.testing.assert_allclose(np.exp(got), [299, 300, 301], atol=2)


def test_a_sweep_starts_there_too(vae):
    members = sweep(vae, X, validation=X, rng_keys=jax.random.split(KEY, 1), **STILL)
    np.testing.assert_allclose(members.best().params["likelihood$log_mean"], log_means(X), rtol=1e-6)


def test_init_params_come_before_the_data(vae):
    given = {"likelihood$log_mean": jnp.asarray([1.0, 2.0, 3.0])}
    fitted = fit(vae, X, rng_key=KEY, init_params=given, **STILL)
    np.testing.assert_array_equal(fitted.params["likelihood$log_mean"], [1.0, 2.0, 3.0])


def test_in_plain_numpyro_the_program_says_the_start(vae):
    sites = handlers.trace(handlers.seed(vae.model, KEY)).get_trace(X.astype(float))
    np.testing.assert_array_equal(sites["likelihood$log_mean"]["value"], 0.0)
    assert np.isfinite(sites["x"]["fn"].log_prob(X)).all()


def rates(vae, values, z):
    program = handlers.substitute(handlers.seed(vae.p_x, KEY), values)
    return np.asarray(program(z).mean)


def test_no_rate_exceeds_the_largest_count_by_far_and_the_bound_is_not_trained(vae):
    moving = {**STILL, "optimizer": optax.adam(0.01)}
    fitted = fit(vae, X, rng_key=KEY, **moving)
    start = start_of(vae, Batch(X))
    np.testing.assert_array_equal(fitted.params["likelihood$largest"], start["likelihood$largest"])
    assert (fitted.params["likelihood$log_mean"] != start["likelihood$log_mean"]).any()
    wild = rates(vae, fitted.params, 1e4 * jax.random.normal(KEY, (200, 2)))
    at_most = np.exp(fitted.params["likelihood$log_mean"] - start["likelihood$log_mean"] + 2)
    assert (wild.max(0) <= 1.01 * at_most * (X.max(0) + 0.5)).all()
    assert wild.max(0)[2] > X.max(0)[2]  # no ordinary rate is out of reach


RUNS = [(500, 0), *((mean, key) for mean in (5, 50, 500, 1e6) for key in range(3))]


@pytest.mark.parametrize(
    ("mean", "key"),
    [pytest.param(*run, marks=[pytest.mark.slow] * (i > 0)) for i, run in enumerate(RUNS)],
)
def test_plain_counts_train_with_a_plain_encoder(mean, key):
    """Key 0 is the worst. The bound: a mean that is off by a third costs mean / 18 an entry."""
    x = np.random.default_rng(0).poisson(mean, (384, 4))
    options = {"epochs": 60, "batch_size": 32, "progress": False}
    fitted = fit(build(likelihoods.Poisson(), 4), x, rng_key=jax.random.key(key), **options)
    best = stats.poisson.logpmf(x, mean).sum(1).mean()
    assert fitted.history.train["elbo"][-1] > best - 5 - mean / 4


# What the encoder sees


def encode(vae, x, **options):
    values = handlers.substitute(handlers.seed(vae.run_encoder, KEY), ENCODER)
    return np.asarray(values(x, **options))


ENCODER = {
    "encoder$params": {
        "layers": {
            0: {"kernel": jnp.ones((3, 8)), "bias": jnp.zeros(8)},
            1: {"kernel": jnp.ones((8, 4)), "bias": jnp.zeros(4)},
        }
    }
}
ROWS = jnp.asarray([[0.0, 1.0, 1e6]])
JOINT = likelihoods.Joint(a=(1, likelihoods.Bernoulli()), b=(2, likelihoods.Poisson()))


@pytest.mark.parametrize(
    ("likelihood", "wrap", "seen"),
    [
        pytest.param(likelihoods.Poisson(), lambda net: net, np.log(2) + np.log(1e6 + 1), id="log1p"),
        pytest.param(likelihoods.Autoregressive(nets.MADE((8,)), likelihoods.Poisson()), lambda net: net, np.log(2) + np.log(1e6 + 1), id="autoregressive"),
        pytest.param(likelihoods.Poisson(), lambda net: nets.InputTransform(net, jnp.sqrt), 1 + 1e3, id="transformed"),
        pytest.param(likelihoods.Gaussian(), lambda net: net, 1 + 1e6, id="real"),
    ],
)  # fmt: skip
def test_the_encoder_sees_log1p_of_counts_unless_it_transforms_them(likelihood, wrap, seen):
    vae = build(likelihood, encoder=wrap(nets.MLP((8,))))
    np.testing.assert_allclose(encode(vae, ROWS), 8 * seen, rtol=1e-6)


def test_in_a_joint_the_encoder_sees_log1p_of_the_counts_alone():
    x = jnp.asarray([[1.0, 3.0, 1e6]])
    np.testing.assert_allclose(
        encode(build(JOINT), x), 8 * (1 + np.log(4) + np.log(1e6 + 1)), rtol=1e-6
    )
    assert "encoder MLP(hidden=(8,), activation=relu) of log(1 + x) in b" in str(build(JOINT))


def test_missing_counts_are_zeros_to_the_encoder():
    mask = jnp.asarray([[True, True, False]])
    np.testing.assert_allclose(
        encode(build(likelihoods.Poisson()), ROWS, mask=mask), 8 * np.log(2), rtol=1e-6
    )


def test_the_description_says_what_the_encoder_sees():
    assert "activation=relu) of log(1 + x)\n" in str(build(likelihoods.Poisson()))
    assert " of log" not in str(build(likelihoods.Gaussian()))
    own = build(likelihoods.Poisson(), encoder=nets.InputTransform(nets.MLP((8,)), jnp.sqrt))
    assert "of log" not in str(own)


def test_a_transformed_net_is_found_inside_of_a_wrapper():
    net = nets.InputTransform(nets.MLP((8,)), jnp.sqrt)
    assert transforms_input(nets.BFloat16(net))
    assert not transforms_input(nets.BFloat16(nets.MLP((8,))))


def test_pseudo_inputs_take_the_same_way_as_data():
    vae = build(likelihoods.Poisson(), prior=priors.VampPrior(components=2))
    u = jnp.asarray([[0.0, 1.0, 1e6], [2.0, 3.0, 4.0]])
    program = handlers.substitute(handlers.seed(vae._posterior, KEY), ENCODER)
    np.testing.assert_allclose(program(u).mean[:, 0], 8 * np.log1p(u).sum(1), rtol=1e-6)
