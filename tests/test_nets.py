"""Nets: shapes, what they see, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import build, run
from flax import nnx

from probvae import VAE, Batch, fit, likelihoods, nets
from probvae.nets import module

KEY = jax.random.key(0)


@pytest.mark.parametrize("image", [(8, 8), (7, 9), (28, 20, 3)], ids=str)
@pytest.mark.parametrize("channels", [(4,), (4, 5), (4, 5, 6)], ids=len)
def test_convolutions_go_from_image_to_vector_and_back(image, channels):
    assert shape_of(nets.Conv(channels), image, (6, 2)) == (2, 6, 2)
    assert shape_of(nets.ConvDecoder(channels), (6,), (*image, 2)) == (2, *image, 2)


def shape_of(net, in_shape, out_shape):
    """The shape of what a net makes of two data; nothing is computed."""
    made = jax.eval_shape(
        lambda x: module.build(net, in_shape, out_shape, KEY)(x), jnp.ones((2, *in_shape))
    )
    return made.shape


def test_a_convolution_sees_every_pixel_and_a_transposed_one_writes_each():
    down = build(nets.Conv((4, 5)), (7, 9), (3,), KEY)
    seen = run(jax.grad(lambda x: down(x[None])[0].sum()), jax.random.normal(KEY, (7, 9)))
    assert (np.abs(seen) > 0).all()
    up = build(nets.ConvDecoder((4, 5)), (6,), (7, 9), KEY)
    written = run(up, jax.random.normal(KEY, (1, 6)))[0]
    assert (np.abs(written) > 0).mean() > 0.95


def test_a_linear_skip_adds_an_affine_map_to_the_net():
    skip = build(nets.LinearSkip(nets.MLP((4,))), (2, 3), (3, 2), KEY)
    x = jax.random.normal(KEY, (5, 2, 3))
    affine = run(lambda x: skip(x) - skip.net(x), x).reshape(5, 6)
    weights, bias = skip.linear.kernel[...], skip.linear.bias[...]
    np.testing.assert_allclose(affine, x.reshape(5, 6) @ weights + bias, atol=1e-5)
    assert np.abs(affine).max() > 0.1


def test_gated_convolutions_are_those_of_the_paper():
    """Tomczak and Welling: 28 halved twice, 6 channels at the end; a decoder that keeps 28 x 28."""
    down, up = nets.GatedConv(), nets.GatedConvDecoder()
    kernel = nnx.eval_shape(lambda: module.build(down, (28, 28), (40, 2), KEY).last.kernel)
    assert kernel.shape == (7 * 7 * 6, 80)
    assert shape_of(down, (28, 28), (40, 2)) == (2, 40, 2)
    assert shape_of(up, (40,), (28, 28)) == (2, 28, 28)
    assert shape_of(up, (3,), (7, 9, 2, 3)) == (2, 7, 9, 2, 3)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_gated_convolution_is_the_sum_written_out(stride):
    """Of images of 7 x 5, padded with zeros as XLA pads for a stride; the gate alone is squashed."""
    layer = build(nets.GatedConv((2,), (3,), (stride,)), (7, 5, 2), (1,), KEY).layers[0]
    x = np.asarray(jax.random.normal(KEY, (1, 7, 5, 2)))
    out = np.asarray(run(layer, x))[0]

    def convolved(conv):
        kernel, bias = np.asarray(conv.kernel[...]), np.asarray(conv.bias[...])
        size = [-(-n // stride) for n in (7, 5)]
        over = [max((m - 1) * stride + 3 - n, 0) for m, n in zip(size, (7, 5), strict=True)]
        padded = np.pad(x[0], [(o // 2, o - o // 2) for o in over] + [(0, 0)])
        at = np.ndindex(*size)
        cells = [padded[i * stride :, j * stride :][:3, :3] for i, j in at]
        return np.reshape([(c[..., None] * kernel).sum((0, 1, 2)) for c in cells], (*size, 2)) + bias

    signal, gate = convolved(layer.signal), convolved(layer.gate)
    np.testing.assert_allclose(out, signal / (1 + np.exp(-gate)), atol=1e-5)


@pytest.mark.parametrize("norm", [nnx.LayerNorm, nnx.BatchNorm], ids=lambda n: n.__name__)
def test_normalisation_and_dropout_are_arguments(norm):
    options = {"norm": norm, "dropout": 0.1}
    vae = VAE(
        event_shape=(8, 8, 3), latent_dim=2, likelihood=likelihoods.Gaussian(scale=likelihoods.PixelScale()),
        encoder=nets.Conv((4,), **options), decoder=nets.ConvDecoder((4,), **options),
    )  # fmt: skip
    x = np.asarray(jax.random.normal(KEY, (16, 8, 8, 3)))
    fitted = fit(vae, x, rng_key=KEY, epochs=2, batch_size=8, progress=False)
    assert np.isfinite(fitted.history.steps["loss"]).all()
    alone, company = fitted.encode(x[:1]).mean, fitted.encode(x).mean[:1]
    np.testing.assert_allclose(alone, company, rtol=1e-4, atol=1e-5)


def test_context_and_mask_join_a_spatial_net_as_channels():
    vae = VAE(
        event_shape=(8, 8), latent_dim=2, encoder=nets.Conv((4,)), decoder=nets.ConvDecoder((4,)),
        context_shape=(3,), encode_mask=True,
    )  # fmt: skip
    kernel = vae_params(vae)["encoder$params"]["layers"][0]["layer"]["kernel"]
    assert kernel.shape == (3, 3, 1 + 1 + 3, 4)
    x = np.zeros((4, 8, 8), np.float32)
    fitted = fit(vae, Batch(x, np.eye(4, 3)), rng_key=KEY, epochs=1, batch_size=4, progress=False)
    a, b = (fitted.encode(x, np.eye(3)[np.full(4, i)]).mean for i in (0, 1))
    assert jnp.abs(a - b).max() > 1e-3


def vae_params(vae):
    from probvae.tracing import trace_structure

    return trace_structure(vae).params


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: VAE(event_shape=(8,), latent_dim=2, encoder=nets.Conv()), r"Conv expects images .* input; got shape \(8,\).*MLP"),
        (lambda: VAE(event_shape=(8,), latent_dim=2, decoder=nets.ConvDecoder()), "ConvDecoder expects images .* output"),
        (lambda: nets.Conv((0,)), r"channels=...\) expects a tuple of positive integers.*got \(0,\)"),
        (lambda: nets.GatedConv((4, 4)), r"a kernel and a stride for each.*got 2 channels, 5 kernels and 5 strides"),
        (lambda: nets.GatedConv((), (), ()), "one at least; got 0 channels"),
        (lambda: nets.GatedConv(strides=(1, 0, 1, 1, 1)), r"GatedConv\(strides=...\) expects a tuple of positive"),
        (lambda: nets.GatedConvDecoder(channels=()), r"at least one layer, such as \(64,\); got \(\).*GatedMLP"),
        (lambda: nets.GatedConvDecoder(kernel=0), r"kernel=...\) expects a positive integer"),
        (lambda: VAE(event_shape=(8,), latent_dim=2, encoder=nets.GatedConv()), "GatedConv expects images .* input"),
        (lambda: VAE(event_shape=(8,), latent_dim=2, decoder=nets.GatedConvDecoder()), "GatedConvDecoder expects images .* output"),
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
    inner, outer = nets.MLP((4,)), nets.InputTransform(nets.MLP((4,)), one_hot)
    expected = run(build(inner, (2, 3), (5,), KEY), one_hot(levels))
    np.testing.assert_allclose(run(build(outer, (2,), (5,), KEY), levels), expected)
    assert not outer.spatial
    assert nets.InputTransform(nets.Conv(), jnp.log1p).spatial
    assert repr(nets.InputTransform(inner, jnp.log1p)) == f"InputTransform({inner}, log1p)"


def test_a_transformed_net_expects_callables():
    with pytest.raises(TypeError, match="(?s)InputTransform.*function"):
        nets.InputTransform(nets.MLP(), 3)
