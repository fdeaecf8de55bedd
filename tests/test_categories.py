"""Levels without an order: a reconstruction is one that exists, and probabilities are public."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest
from test_threads import fitted_to

from probvae import VAE, likelihoods, nets
from probvae.distributions import find_centre

KEY = jax.random.key(1)
RNG = np.random.default_rng(0)
COLOUR = 2 * RNG.integers(0, 2, 60)
TABLE = np.stack([COLOUR, RNG.normal(size=60), COLOUR > 0], 1).astype("float32")


@pytest.fixture(scope="module")
def fitted():
    blocks = {"colour": (1, likelihoods.Categorical(3)), "size": (1, likelihoods.Gaussian())}
    joint = likelihoods.Joint({**blocks, "owner": (1, likelihoods.Bernoulli())})
    vae = VAE(event_shape=(3,), latent_dim=1, likelihood=joint, decoder=nets.Linear())
    return fitted_to(vae, TABLE, epochs=100, batch_size=30, optimizer=optax.adam(3e-2))


@pytest.mark.parametrize("key", [None, KEY])
def test_a_reconstructed_colour_is_one_of_the_colours(fitted, key):
    colour, size, owner = np.asarray(fitted.reconstruct(TABLE, rng_key=key)).T
    assert set(colour) <= {0.0, 2.0}
    assert (colour == COLOUR).mean() > 0.8
    assert len(set(size)) > 10, "a real column keeps its mean"
    assert ((0 < owner) & (owner < 1)).all(), "zeros and ones keep their mean, a probability"


def test_means_of_other_queries_are_colours_too(fitted):
    assert set(np.asarray(fitted.sample(30, rng_key=KEY).mean)[:, 0]) <= {0.0, 1.0, 2.0}
    path = np.asarray(fitted.interpolate(TABLE[0], TABLE[1], num_points=9))
    assert set(path[:, 0]) <= {0.0, 1.0, 2.0}


def test_probabilities_are_those_of_the_decoder(fitted):
    got = fitted.probabilities(TABLE)
    p = fitted.decode(fitted.encode(TABLE).mean).base_dist
    assert got.keys() == {"colour", "owner"}
    assert got["colour"].shape == (60, 1, 3)
    np.testing.assert_allclose(got["colour"].sum(-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(got["colour"], p.parts[0].probs, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got["owner"], p.parts[2].probs, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(got["colour"].argmax(-1)[:, 0], fitted.reconstruct(TABLE)[:, 0])


def test_numbers_have_no_probabilities():
    vae = VAE(event_shape=(3,), latent_dim=1, likelihood=likelihoods.Gaussian(), decoder=nets.Linear())
    fitted = fitted_to(vae)
    with pytest.raises(TypeError, match="fitted.decode"):
        fitted.probabilities(TABLE)


PROBS = jnp.array([[0.44, 0.1, 0.46], [0.3, 0.4, 0.3]])


@pytest.mark.parametrize(
    ("p", "right"),
    [
        (dist.Categorical(probs=PROBS).to_event(1), [2, 1]),
        (dist.Categorical(logits=jnp.log(PROBS)).mask(jnp.array([True, False])), [2, 1]),
        (dist.Categorical(probs=PROBS[1]).expand((2,)), [1, 1]),
        (dist.StudentT(1.0, jnp.array([3.0, 4.0])), [3, 4]),  # it has no mean
        (dist.Normal(jnp.array([3.0, 4.0]), 1.0).to_event(1), [3, 4]),
        (dist.Poisson(2.5).expand((2,)), [2.5, 2.5]),
    ],
)
def test_centre_is_the_mode_where_a_mean_has_no_meaning(p, right):
    np.testing.assert_allclose(find_centre(p), right)


def test_an_autoregressive_reconstruction_is_a_level():
    likelihood = likelihoods.Autoregressive(nets.MADE((8,)), likelihoods.Categorical(3), mean_draws=4)
    vae = VAE(event_shape=(3,), latent_dim=1, likelihood=likelihood, decoder=nets.Linear())
    fitted = fitted_to(vae, np.repeat(COLOUR[:12, None], 3, 1))
    assert set(np.ravel(fitted.reconstruct(np.eye(3)))) <= {0.0, 1.0, 2.0}
