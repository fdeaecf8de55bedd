"""Nets: shapes, what they see, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from probvae import VAE, Batch, fit, likelihoods, nets
from probvae.nets.module import build

KEY = jax.random.key(0)


@pytest.mark.parametrize("image", [(8, 8), (7, 9), (28, 20, 3)], ids=str)
@pytest.mark.parametrize("channels", [(4,), (4, 5), (4, 5, 6)], ids=len)
def test_convolutions_go_from_image_to_vector_and_back(image, channels):
    down = build(nets.Conv(channels), image, (6, 2), KEY)
    assert down(jnp.ones((2, *image))).shape == (2, 6, 2)
    up = build(nets.ConvTranspose(channels), (6,), (*image, 2), KEY)
    assert up(jnp.ones((2, 6))).shape == (2, *image, 2)


def test_a_convolution_sees_every_pixel_and_a_transposed_one_writes_each():
    down = build(nets.Conv((4, 5)), (7, 9), (3,), KEY)
    seen = jax.jacobian(lambda x: down(x[None])[0].sum())(jax.random.normal(KEY, (7, 9)))
    assert (jnp.abs(seen) > 0).all()
    up = build(nets.ConvTranspose((4, 5)), (6,), (7, 9), KEY)
    written = up(jax.random.normal(KEY, (1, 6)))[0]
    assert (jnp.abs(written) > 0).mean() > 0.95


@pytest.mark.parametrize("norm", [nnx.LayerNorm, nnx.BatchNorm], ids=lambda n: n.__name__)
def test_normalisation_and_dropout_are_arguments(norm):
    options = {"norm": norm, "dropout": 0.1}
    vae = VAE(
        event_shape=(8, 8, 3), latent_dim=2, likelihood=likelihoods.Gaussian(scale=likelihoods.PixelScale()),
        encoder=nets.Conv((4,), **options), decoder=nets.ConvTranspose((4,), **options),
    )  # fmt: skip
    x = np.asarray(jax.random.normal(KEY, (16, 8, 8, 3)))
    fitted = fit(vae, x, rng_key=KEY, epochs=2, batch_size=8, progress=False)
    assert np.isfinite(fitted.history.steps["loss"]).all()
    alone, company = fitted.encode(x[:1]).mean, fitted.encode(x).mean[:1]
    np.testing.assert_allclose(alone, company, rtol=1e-4, atol=1e-5)


def test_context_and_mask_join_a_spatial_net_as_channels():
    vae = VAE(
        event_shape=(8, 8), latent_dim=2, encoder=nets.Conv((4,)), decoder=nets.ConvTranspose((4,)),
        context_shape=(3,), encode_mask=True,
    )  # fmt: skip
    kernel = vae_params(vae)["encoder$params"]["layers"][0]["layer"]["kernel"]
    assert kernel.shape == (3, 3, 1 + 1 + 3, 4)
    x = np.zeros((4, 8, 8), np.float32)
    fitted = fit(vae, Batch(x, np.eye(4, 3)), rng_key=KEY, epochs=1, batch_size=4, progress=False)
    a, b = (fitted.encode(x, np.eye(3)[np.full(4, i)]).mean for i in (0, 1))
    assert jnp.abs(a - b).max() > 1e-3


def vae_params(vae):
    from probvae.join import structure

    return structure(vae).params


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: VAE(event_shape=(8,), latent_dim=2, encoder=nets.Conv()), r"Conv expects images .* input; got shape \(8,\).*MLP"),
        (lambda: VAE(event_shape=(8,), latent_dim=2, decoder=nets.ConvTranspose()), "ConvTranspose expects images .* output"),
        (lambda: nets.Conv((0,)), r"channels=...\) expects a tuple of positive integers.*got \(0,\)"),
        (lambda: nets.Conv(dropout=1.0), r"rate in \[0, 1\); got 1.0"),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_transformed_net_sees_the_function_of_its_input():
    def one_hot(x):
        return (x[..., None] == jnp.arange(3)).astype(float)

    levels = jnp.array([[0.0, 2.0], [1.0, 1.0]])
    inner, outer = nets.MLP((4,)), nets.Transformed(nets.MLP((4,)), one_hot)
    expected = build(inner, (2, 3), (5,), KEY)(one_hot(levels))
    np.testing.assert_allclose(build(outer, (2,), (5,), KEY)(levels), expected)
    assert not outer.spatial
    assert nets.Transformed(nets.Conv(), jnp.log1p).spatial
    assert repr(nets.Transformed(inner, jnp.log1p)) == f"Transformed({inner}, log1p)"


def test_a_transformed_net_expects_callables():
    with pytest.raises(TypeError, match=r"Transformed\(function=...\) expects a callable; got 3"):
        nets.Transformed(nets.MLP(), 3)
