"""Queries of any number of rows: few programs, and the values of each row alone."""

import jax
import numpy as np
import pytest
from test_threads import KEY, X, fitted_to, small

from probvae import priors

MANY = np.random.default_rng(1).normal(size=(50, 3)).astype("float32")


@pytest.fixture(scope="module")
def fitted():
    return fitted_to(small(prior=priors.GaussianMixture(components=2)))


@pytest.fixture
def programs(monkeypatch):
    """The programs that are compiled, by name."""
    names = []
    listener = lambda event, _, **told: names.append(event) if "backend_compile" in event else None  # noqa: E731
    jax.monitoring.register_event_duration_secs_listener(listener)
    yield names
    jax.monitoring.unregister_event_duration_listener(listener)


BATCH = {
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


@pytest.mark.parametrize("name", BATCH)
def test_fifty_numbers_of_rows_compile_seven_programs(name, fitted, programs):
    query = BATCH[name]
    query(fitted, MANY[:3])  # what does not depend on the rows: a fold of a key, a check of a row
    programs.clear()
    for n in range(1, 51):
        assert len(query(fitted, MANY[:n])) == n
    assert len(programs) <= 7
