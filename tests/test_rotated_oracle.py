"""Guides on the linear-Gaussian VAE with W rotated, so that its posterior is correlated.

Rotating the code leaves log p(x) as it is and turns the posterior's axes against the code's: the
gap of a mean-field guide is then the KL between a correlated normal and its best diagonal one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest
from compiled import terms
from numpyro import handlers
from numpyro.infer import SVI

from probvae import Fitted, History, guides
from probvae.objectives import ELBO

SIZES, VARIANCE = np.array([2.5, 1.0, 0.4]), 0.4


def draw():
    """Orthogonal axes of W, the code's rotation, mu, and rows of W z + mu + s e."""
    rng = np.random.default_rng(3)
    axes, _ = np.linalg.qr(rng.normal(size=(10, 3)))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    mu = 0.3 * rng.normal(size=10)
    x = rng.normal(size=(200, 3)) @ (axes * SIZES).T + mu
    return axes * SIZES, rotation, mu, x + VARIANCE**0.5 * rng.normal(size=x.shape)


STRAIGHT, ROTATION, MU, X = draw()


def rotated():
    """W, mu and sigma^2 of the model, W turned by a fixed rotation of the code."""
    return STRAIGHT @ ROTATION, MU, VARIANCE


def posterior():
    """Mean map (d, q) and covariance of the exact posterior N((x - mu) A, S)."""
    weights, _, variance = rotated()
    m = weights.T @ weights + variance * np.eye(3)
    return np.linalg.solve(m, weights.T).T, variance * np.linalg.inv(m)


def raw_scale(s):
    return 2 * oracle.BOUND * np.arctanh(np.log(s) / oracle.BOUND)


def encoder(kernel, bias):
    layer = {"kernel": kernel.reshape(10, -1), "bias": bias.ravel()}
    return {"encoder$params": {"layers": {0: layer}}}


def exact_full_rank():
    to_code, covariance = posterior()
    tril = np.linalg.cholesky(covariance)
    below = 3 * (tril / np.diag(tril)[:, None])[np.tril_indices(3, -1)]
    raw = np.concatenate([raw_scale(np.diag(tril)), below])
    kernel = np.concatenate([to_code, np.zeros((10, 6))], axis=1)
    return encoder(kernel, np.concatenate([-rotated()[1] @ to_code, raw]))


def exact_low_rank():
    """S = s^2 I + C C^T with s^2 its least eigenvalue and two columns."""
    to_code, covariance = posterior()
    values, vectors = np.linalg.eigh(covariance)
    factor = vectors[:, 1:] * np.sqrt(values[1:] - values[0])
    kernel, bias = np.zeros((10, 3, 4)), np.zeros((3, 4))
    kernel[..., 0], bias[:, 0] = to_code, -rotated()[1] @ to_code
    bias[:, 1], bias[:, 2:] = raw_scale(np.sqrt(values[0])), factor
    return encoder(kernel, bias)


def best_mean_field():
    """The diagonal normal nearest in KL(q || p): precision = diagonal of the posterior's precision."""
    to_code, covariance = posterior()
    kernel, bias = np.zeros((10, 3, 2)), np.zeros((3, 2))
    kernel[..., 0], bias[:, 0] = to_code, -rotated()[1] @ to_code
    bias[:, 1] = raw_scale(np.diag(np.linalg.inv(covariance)) ** -0.5)
    return encoder(kernel, bias)


def gap():
    """KL of the best diagonal normal to the posterior, in nats."""
    precision = np.linalg.inv(posterior()[1])
    return 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])


def model_values():
    values = oracle.params(*rotated())
    return {name: values[name] for name in ("decoder$params", "likelihood$log_scale")}


def fitted(guide, encoder_values):
    values = jax.tree.map(jnp.asarray, {**model_values(), **encoder_values})
    return Fitted(oracle.vae(posterior=guide), values, History({}, {}, {}))


EXACT = {
    "FullRank": (guides.FullRank(), exact_full_rank),
    "LowRank": (guides.LowRank(2), exact_low_rank),
}


def test_rotation_leaves_log_prob_and_opens_a_gap():
    truth = oracle.log_prob(X, STRAIGHT, MU, VARIANCE)
    np.testing.assert_allclose(oracle.log_prob(X, *rotated()), truth)
    assert gap() > 0.3


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", EXACT)
def test_weights_of_the_exact_posterior_have_no_spread(name):
    guide, values = EXACT[name]
    at = fitted(guide, values())
    read = terms(jax.random.key(0), at.values, at.vae.model, at.vae.guide, X, closed_form=False)
    np.testing.assert_allclose(read.log_weight, oracle.log_prob(X, *rotated()), atol=1e-5)


@pytest.mark.usefixtures("float64")
def test_best_mean_field_misses_log_prob_by_its_closed_form():
    at = fitted(guides.MeanField(), best_mean_field())
    bound = at.elbo(X[:50], rng_key=jax.random.key(0), num_particles=2000)
    missing = oracle.log_prob(X, *rotated())[:50] - bound.value
    assert abs(missing.mean() - gap()) < 4 * bound.standard_error.mean() / np.sqrt(50)


BEST = {
    "MeanField": (guides.MeanField(), best_mean_field),
    "FullRank": (guides.FullRank(), exact_full_rank),
    "LowRank": (guides.LowRank(2), exact_low_rank),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BEST)
def test_trained_guide_reaches_its_closed_form_best(name):
    """The model stays at the optimum; the encoder starts off its best, with the covariance unknown."""
    guide, best = BEST[name]
    vae, x, steps = oracle.vae(posterior=guide), X.astype(np.float32), 2500
    fixed = jax.tree.map(jnp.asarray, model_values())
    model = handlers.block(handlers.substitute(vae.model, data=fixed), hide=list(fixed))
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, steps))
    svi = SVI(model, vae.guide, optimizer, ELBO(closed_form=False))
    start = off(best())
    result = svi.run(jax.random.key(0), steps, x, progress_bar=False, init_params=start)
    least = gap() if name == "MeanField" else 0.0
    assert excess(vae, jax.tree.map(jnp.asarray, best()), x) == pytest.approx(least, abs=2e-3)
    assert excess(vae, start, x) > least + 1.0
    assert excess(vae, result.params, x) == pytest.approx(least, abs=0.03)


def excess(vae, values, x):
    """Mean KL(q(z|x) || p(z|x)), in nats, from the moments of both."""
    mean, covariance = (np.asarray(a, np.float64) for a in moments(vae, values, x))
    to_code, exact = posterior()
    precision = np.linalg.inv(exact)
    off = mean - (x - rotated()[1]) @ to_code
    square = np.einsum("ni,ij,nj->n", off, precision, off)
    trace = np.einsum("ij,nji->n", precision, covariance)
    log_det = np.linalg.slogdet(exact)[1] - np.linalg.slogdet(covariance)[1]
    return 0.5 * (trace + square - 3 + log_det).mean()


def off(values):
    """The best encoder, its covariance forgotten."""
    layer = values["encoder$params"]["layers"][0]
    rng = np.random.default_rng(2)
    means = np.abs(layer["kernel"]).max(0) > 0
    bias = np.where(means, layer["bias"], 0.0)
    found = {"kernel": layer["kernel"], "bias": bias + 0.05 * rng.normal(size=bias.shape)}
    return jax.tree.map(jnp.asarray, {"encoder$params": {"layers": {0: found}}})


def moments(vae, values, x):
    """Mean and covariance of q(z|x)."""
    guide = handlers.seed(handlers.substitute(vae.guide, values), 0)
    q = handlers.trace(guide).get_trace(x)["z"]["fn"]
    if hasattr(q, "covariance_matrix"):
        return q.mean, q.covariance_matrix
    return q.mean, q.variance[..., None] * jnp.eye(3)


def read_kl(at, *, closed_form):
    def kl(key):
        return terms(
            key, at.values, at.vae.model, at.vae.guide, X[:5], closed_form=closed_form
        ).total_kl

    return np.asarray(jax.vmap(kl)(jax.random.split(jax.random.key(1), 4000)))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_closed_form_kl_to_the_standard_normal_is_the_sampled_one(name):
    guide, values = EXACT[name]
    at = fitted(guide, values())
    closed, sampled = (read_kl(at, closed_form=form) for form in (True, False))
    assert np.ptp(closed, axis=0).max() < 1e-4
    noise = sampled.std(0) / np.sqrt(len(sampled))
    assert (np.abs(closed.mean(0) - sampled.mean(0)) < 4 * noise).all()
