"""The guides' families, against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from probvae import VAE, guides


def scale(raw):
    vae = VAE(event_shape=(1,), latent_dim=1)
    outputs = jnp.stack([jnp.zeros_like(raw), raw], axis=-1)
    return guides.MeanField().distribution(outputs, vae._scope(None, None, None)).base_dist.scale


def test_mean_field_output_is_the_log_variance():
    raw = jnp.array([-4.0, -1.0, 0.0, 1.0, 2.0])
    np.testing.assert_allclose(2 * jnp.log(scale(raw)), raw, rtol=0.02)
    np.testing.assert_allclose(scale(raw)[2], 1.0)


@pytest.mark.parametrize("raw", [-1e6, -300.0, 300.0, 1e6])
def test_mean_field_survives_wild_outputs(raw):
    s = float(scale(jnp.array([raw]))[0])
    assert np.exp(-10.01) < s < np.exp(10.01)
    assert np.isfinite(jax.grad(lambda r: scale(r[None])[0])(jnp.array(raw)))


def test_mean_field_bound_is_positive():
    with pytest.raises(ValueError, match=r"log_bound=.*finite number > 0; got 0.0"):
        guides.MeanField(0.0)
