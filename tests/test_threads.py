"""Queries from many threads: the numbers of one thread, to the bit, and no handler left behind."""

from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from flax import nnx
from numpyro import handlers, primitives

from probvae import VAE, criticism, fit, likelihoods, nets, priors

KEY = jax.random.key(1)
X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
MASK = np.arange(36).reshape(12, 3) % 4 > 0
CRITICS = {
    "units": lambda f: criticism.active_units(f, X, rng_key=KEY, num_samples=4),
    "response": lambda f: criticism.decoder_response(f, X, rng_key=KEY),
    "compare": lambda f: str(criticism.compare({"a": f, "b": f}, X, rng_key=KEY, num_particles=100)),
    "datatree": lambda f: criticism.to_datatree(f, X, rng_key=KEY, num_samples=2).posterior["z"].values,
}
QUERIES = {
    "encode": lambda f, n: f.encode(X[:n]).mean,
    "decode": lambda f, n: f.decode(X[:n, :2]).mean,
    "sample": lambda f, n: f.sample(n, rng_key=KEY).x,
    "reconstruct": lambda f, n: f.reconstruct(X[:n]),
    "reconstruct a draw": lambda f, n: f.reconstruct(X[:n], rng_key=KEY),
    "impute": lambda f, n: f.impute(X[:n], MASK[:n], rng_key=KEY, num_particles=8).x,
    "responsibilities": lambda f, n: f.responsibilities(X[:n], rng_key=KEY, num_particles=4),
    "interpolate": lambda f, n: f.interpolate(X[0], X[1], num_points=n),
    "elbo": lambda f, n: f.elbo(X[:n], rng_key=KEY).value,
    "log_prob": lambda f, n: f.log_prob(X[:n], rng_key=KEY, num_particles=8).value,
}


def small(**parts):
    usual = {"encoder": nets.Linear(), "decoder": nets.Linear(), "likelihood": likelihoods.Gaussian()}
    return VAE(event_shape=(3,), latent_dim=2, **{**usual, **parts})


def fitted_to(vae, x=X, **options):
    told = {"rng_key": jax.random.key(0), "epochs": 1, "batch_size": 6, "progress": False}
    return fit(vae, x, **{**told, **options})


@pytest.fixture(scope="module")
def fitted():
    return fitted_to(small(prior=priors.GaussianMixture(components=2)))


def leaves(result):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(result)]


def same(a, b):
    return all(x.tobytes() == y.tobytes() for x, y in zip(leaves(a), leaves(b), strict=True))


def test_first_calls_from_64_threads_give_one_threads_numbers(fitted):
    """All programs are traced for the first time while other threads trace and run them."""
    tasks = [(query, n) for query in QUERIES.values() for n in (5,)] * 6
    tasks = [tasks[i] for i in np.random.default_rng(0).permutation(len(tasks))]
    with ThreadPoolExecutor(64) as pool:
        together = list(pool.map(lambda task: task[0](fitted, task[1]), tasks))
    right = {task: task[0](fitted, task[1]) for task in set(tasks)}
    assert all(same(got, right[task]) for got, task in zip(together, tasks, strict=True))
    assert primitives._PYRO_STACK == []


def test_queries_and_criticism_run_beside_a_fit(fitted):
    with ThreadPoolExecutor(8) as pool:
        other = pool.submit(fitted_to, small(encoder=nets.MLP((4,))), epochs=3)
        seen = {name: pool.submit(critic, fitted) for name, critic in CRITICS.items()}
        codes = pool.map(lambda _: fitted.encode(X).mean, range(20))
        assert all(same(code, fitted.encode(X).mean) for code in codes)
        assert other.result().history.num_epochs == 3
    for name, critic in CRITICS.items():
        assert same(seen[name].result(), critic(fitted)), name


class Fails(nnx.Module):
    """A net that raises when it is run on eight rows."""

    def __init__(self, in_shape, out_shape, *, rngs):
        self.net = nets.Linear()(in_shape, out_shape, rngs=rngs)

    def __call__(self, x):
        if x.shape[0] == 8:
            raise RuntimeError("eight rows")
        return self.net(x)


def test_an_error_leaves_no_handler_open():
    fitted = fitted_to(small(encoder=Fails))
    for query in ("encode", "reconstruct"):
        with pytest.raises(RuntimeError, match="eight rows"):
            QUERIES[query](fitted, 8)
        assert primitives._PYRO_STACK == []
    assert fitted.encode(X[:2]).mean.shape == (2, 2)


def test_a_query_inside_a_program_adds_no_site_to_it(fitted):
    with handlers.trace() as sites, handlers.seed(rng_seed=0):
        fitted.encode(X[:3])
        fitted.sample(3, rng_key=KEY)
        VAE(event_shape=(3,), latent_dim=2)
    assert sites == {}
    assert primitives._PYRO_STACK == []


def test_queries_of_traced_data_are_those_of_arrays(fitted):
    """A query inside the user's own ``jit``, ``grad`` and ``vmap``."""
    codes = fitted.encode(X).mean
    np.testing.assert_allclose(jax.jit(lambda x: fitted.encode(x).mean)(X), codes, rtol=1e-5)
    alone = jax.vmap(lambda x: fitted.encode(x[None]).mean[0])(X)
    np.testing.assert_allclose(alone, codes, rtol=1e-5)
    slope = jax.grad(lambda x: fitted.encode(x).mean.sum())(X)
    shifted = fitted.encode(X + 1e-1 * np.eye(3, dtype="float32")[0]).mean.sum() - codes.sum()
    assert slope[:, 0].sum() == pytest.approx(float(shifted) / 1e-1, rel=1e-3)
