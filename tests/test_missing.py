"""Missing entries: drawn from their conditional, which the linear-Gaussian VAE knows."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from probvae import VAE, Batch, fit, likelihoods, nets
from probvae.fitted import Fitted, History

KEY = jax.random.key(0)
SEEN = np.arange(10) % 5 != 1


@pytest.fixture(scope="module")
def exact():
    """The VAE at its optimum; its encoder is right for complete data only."""
    values = jax.tree.map(jnp.asarray, oracle.params(*oracle.optimum(oracle.dataset())))
    return Fitted(oracle.vae(), values, History({}, {}, {}))


def conditional(x):
    """Mean and covariance of p(x_missing | x_observed), x ~ Normal(mu, W W' + sigma^2 I)."""
    weights, mu, variance = oracle.optimum(oracle.dataset())
    whole = weights @ weights.T + variance * np.eye(len(mu))
    seen = SEEN
    gain = whole[~seen][:, seen] @ np.linalg.inv(whole[seen][:, seen])
    return mu[~seen] + gain @ (x - mu)[seen], whole[~seen][:, ~seen] - gain @ whole[seen][:, ~seen]


@pytest.mark.slow
def test_draws_have_the_conditional_mean_and_covariance(exact):
    x = oracle.dataset()[:1]
    mask = SEEN[None]
    wide = jax.tree.map(jnp.asarray, oracle.params(*oracle.optimum(oracle.dataset()), scale=3.0))
    drawn = exact.with_values(wide).impute(
        np.where(mask, x, np.nan), mask, rng_key=KEY, num_samples=4000, num_particles=20_000
    )
    assert drawn.x.shape == (4000, *x.shape)
    assert float(drawn.effective_particles[0]) > 200
    np.testing.assert_allclose(
        drawn.x[:, mask], np.broadcast_to(x[mask], (4000, mask.sum())), rtol=1e-6
    )
    values = np.asarray(drawn.x[:, 0, ~mask[0]], np.float64)
    mean, covariance = conditional(x[0])
    error = np.sqrt(np.diag(covariance) / 4000) * 1.5  # particles are chosen more than once
    assert (np.abs(values.mean(0) - mean) < 4 * error).all()
    np.testing.assert_allclose(np.cov(values.T), covariance, atol=0.12 * np.diag(covariance).max())


def test_nothing_is_drawn_where_nothing_is_missing(exact):
    x = oracle.dataset()[:3]
    drawn = exact.impute(x, np.ones_like(x, bool), rng_key=KEY, num_particles=50)
    np.testing.assert_allclose(drawn.x[0], x, rtol=1e-6)
    np.testing.assert_allclose(drawn.effective_particles, 50, rtol=1e-3)  # q is the posterior


def test_rows_with_few_effective_particles_are_warned_of(exact):
    """A narrow guide in the wrong place: the warning counts the rows, and a right guide is silent."""
    x, mask = oracle.dataset()[:4], np.broadcast_to(SEEN, (4, 10))
    narrow = jax.tree.map(jnp.asarray, oracle.params(*oracle.optimum(oracle.dataset()), scale=0.02))
    options = {"rng_key": KEY, "num_particles": 100}
    with pytest.warns(UserWarning, match=r"^\d of 4 rows have fewer than 10 effective .* of 100,"):
        poor = exact.with_values(narrow).impute(x, mask, **options)
    assert (poor.effective_particles < 10).any()
    exact.with_values(narrow).impute(x, mask, **{**options, "num_particles": 99})  # few were asked for
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exact.impute(x, np.ones_like(mask), **options)


def test_a_datum_is_imputed_alone_as_in_company(exact):
    x, mask = oracle.dataset()[:4], np.broadcast_to(SEEN, (4, 10))
    options = {"rng_key": KEY, "num_samples": 2, "num_particles": 40}
    whole, alone = exact.impute(x, mask, **options).x, exact.impute(x[:1], mask[:1], **options).x
    np.testing.assert_allclose(whole[:, :1], alone, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"mask": np.ones((2, 2), bool)}, ValueError, "mask has shape"),
        ({"num_samples": 0}, ValueError, "num_samples expects a positive integer"),
    ],
    ids=["mask", "count"],
)
def test_what_cannot_be_imputed_is_refused(exact, change, error, words):
    x = oracle.dataset()[:2]
    options = {"x": x, "mask": np.ones_like(x, bool), "rng_key": KEY, **change}
    with pytest.raises(error, match=words):
        exact.impute(**options)


def test_a_mask_and_a_context_go_end_to_end():
    """Told the label and the mask, a VAE fills in what the label decides."""
    label = np.repeat([0.0, 1.0], 100)[:, None].astype(np.float32)
    x = np.repeat(label, 4, axis=1)
    mask = np.asarray(jax.random.bernoulli(KEY, 0.6, x.shape))
    net = nets.MLP((16,))
    vae = VAE(
        event_shape=(4,), latent_dim=1, context_shape=(1,), encode_mask=True, encoder=net, decoder=net,
        likelihood=likelihoods.Bernoulli(),
    )  # fmt: skip
    fitted = fit(vae, Batch(x, label, mask), rng_key=KEY, epochs=150, batch_size=50, progress=False)
    drawn = fitted.impute(x, mask, rng_key=KEY, context=label, num_samples=5, num_particles=20)
    assert float(np.abs(drawn.x - x).mean()) < 0.05
