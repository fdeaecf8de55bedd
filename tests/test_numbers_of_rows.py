"""Queries of any number of rows: few programs, and the values of each row alone."""

import jax
import numpy as np
import pytest
from test_threads import fitted_to, small

from probvae import Batch, batching, criticism, evidence, priors

KEY = jax.random.key(1)
SLOW = pytest.mark.slow
X = np.random.default_rng(1).normal(size=(50, 3)).astype("float32")


@pytest.fixture(scope="module")
def fitted():
    return fitted_to(small(prior=priors.GaussianMixture(components=2)))


@pytest.fixture(scope="module")
def conditional():
    x = X[:12]
    return fitted_to(small(context_shape=(2,)), Batch(x, x[:, :2]))


@pytest.fixture
def programs(monkeypatch):
    """The programs that are compiled, by name."""
    names = []
    listener = lambda event, _, **told: names.append(event) if "backend_compile" in event else None  # noqa: E731
    jax.monitoring.register_event_duration_secs_listener(listener)
    yield names
    jax.monitoring.unregister_event_duration_listener(listener)


QUERIES = {
    "encode": lambda f, x: f.encode(x).mean,
    "decode": lambda f, x: f.decode(x[:, :2]).mean,
    "sample": lambda f, x: f.sample(len(x), rng_key=KEY).x,
    "reconstruct": lambda f, x: f.reconstruct(x),
    "reconstruct a draw": lambda f, x: f.reconstruct(x, rng_key=KEY),
    "impute": lambda f, x: f.impute(x, x > -0.5, rng_key=KEY, num_particles=8).x.__array__()[0],
    "responsibilities": lambda f, x: f.responsibilities(x, rng_key=KEY, num_particles=4),
    "interpolate": lambda f, x: f.interpolate(X[0], X[1], num_points=len(x)),
    "elbo": lambda f, x: f.elbo(x, rng_key=KEY, num_particles=2).value,
    "log_prob": lambda f, x: f.log_prob(x, rng_key=KEY, num_particles=8).value,
}


@pytest.mark.parametrize("name", QUERIES)
def test_five_to_eight_rows_are_one_program_and_keep_their_values(name, fitted, programs):
    query = QUERIES[name]
    query(fitted, X[:3])  # what does not depend on the rows, such as a check of the first one
    eight = np.asarray(query(fitted, X[:8]))
    programs.clear()
    for n in (5, 6, 7):
        got = query(fitted, X[:n])
        assert got.shape == (n, *eight.shape[1:])
        if name != "interpolate":
            np.testing.assert_allclose(got, eight[:n], rtol=1e-4, atol=1e-5)
    assert not programs


FIFTY = [name if name == "encode" else pytest.param(name, marks=SLOW) for name in QUERIES]


@pytest.mark.parametrize("name", FIFTY)
def test_fifty_numbers_of_rows_are_seven_programs(name, fitted, programs):
    QUERIES[name](fitted, X[:3])
    programs.clear()
    for n in range(1, 51):
        assert len(QUERIES[name](fitted, X[:n])) == n
    assert len(programs) <= 7


@pytest.mark.parametrize("name", ["sample", "reconstruct a draw", "elbo"])
def test_rows_beyond_a_block_have_keys_of_their_own(name, fitted, monkeypatch):
    """Draws of 20 rows are the same in one block and in blocks of eight."""
    whole = np.asarray(QUERIES[name](fitted, X[:20]))
    monkeypatch.setattr(evidence, "BLOCK", 16)
    monkeypatch.setattr(batching, "MAX_BLOCK", 8)
    np.testing.assert_allclose(QUERIES[name](fitted, X[:20]), whole, rtol=1e-4, atol=1e-5)


def test_samples_of_each_row_of_a_context(conditional):
    """The draws for a row do not depend on the other rows of the context."""
    five = conditional.sample(4, rng_key=KEY, context=X[:5, :2]).x
    three = conditional.sample(3, rng_key=KEY, context=X[:3, :2]).x
    assert five.shape == (4, 5, 3)
    np.testing.assert_allclose(five[:3, :3], three, rtol=1e-5)


CRITICS = {
    "units": lambda f, x: criticism.active_units(f, x, rng_key=KEY, num_samples=4),
    "response": lambda f, x: criticism.decoder_response(f, x, rng_key=KEY),
    "replicates": lambda f, x: criticism.predictive_checks(f, x, rng_key=KEY, num_replicates=20),
    "pareto_shape": lambda f, x: criticism.pareto_shape(f, x, rng_key=KEY, num_particles=100),
    "inference_gap": lambda f, x: criticism.inference_gap(
        f, x, rng_key=KEY, num_steps=2, num_draws=2, num_particles=2
    ),
}


@pytest.mark.parametrize("name", CRITICS)
def test_criticism_of_a_new_number_of_rows_compiles_nothing(name, fitted, programs):
    CRITICS[name](fitted, X[:8])
    programs.clear()
    for n in (5, 6, 7):
        CRITICS[name](fitted, X[:n])
    assert not programs
