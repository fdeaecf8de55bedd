"""What the axes of a datum mean to a two-dimensional net: read, doubted, or refused by name."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from probvae import VAE, likelihoods, nets

NETS = {
    "Conv": lambda: (nets.Conv((4,)), nets.ConvDecoder((4,))),
    "ResNet": lambda: (nets.ResNet((4,), 1), nets.ResNetDecoder((4,), 1)),
    "GatedConv": lambda: (nets.GatedConv((4,), (3,), (2,)), nets.GatedConvDecoder((8,), (4,))),
    "Transformer": lambda: (
        nets.Transformer(patch=1, hidden=8),
        nets.TransformerDecoder(patch=1, hidden=8),
    ),
}


def vae(shape, encoder=None, decoder=None, **parts):
    parts = {"likelihood": likelihoods.Gaussian(), "latent_dim": 2, **parts}
    return VAE(
        event_shape=shape, encoder=encoder or nets.Linear(), decoder=decoder or nets.Linear(), **parts
    )


@pytest.mark.parametrize("role", ["encoder", "decoder"])
@pytest.mark.parametrize("name", NETS)
def test_volumes_and_videos_are_refused_by_the_name_of_the_net(name, role):
    net = NETS[name]()[role == "decoder"]
    with pytest.raises(ValueError, match=rf"{role}={type(net).__name__}.*height.*4 axes"):
        vae((4, 8, 8, 3), **{role: net})


def test_a_volume_with_a_context_is_refused_as_one_without():
    for encoder in (nets.Conv((4,)), nets.BFloat16(nets.Conv((4,))), nets.Linen(object, spatial=True)):
        with pytest.raises(ValueError, match="4 axes"):
            vae((8, 8, 8, 1), encoder, context_shape=(2,))


def test_volumes_work_as_the_error_says():
    merged = np.moveaxis(np.zeros((5, 3, 8, 8, 2)), 1, 3).reshape(5, 8, 8, -1)
    assert vae(merged.shape[1:], nets.Conv((4,)), nets.ConvDecoder((4,))).event_shape == (8, 8, 6)
    assert vae((3, 8, 8, 2), nets.MLP((4,)), nets.MLP((4,))).event_shape == (3, 8, 8, 2)


def merge_depth(x):
    return jnp.moveaxis(x, 1, 3).reshape(len(x), 8, 8, -1)


def test_a_function_before_the_net_may_make_images_of_volumes():
    vae((3, 8, 8, 2), nets.InputTransform(nets.Conv((4,)), merge_depth))
    with pytest.raises(ValueError, match="Conv expects images.*got shape .3, 8, 8, 2."):
        vae((3, 8, 8, 2), nets.InputTransform(nets.Conv((4,)), jnp.tanh))


DOUBTFUL = [(3, 32, 32), (1, 8, 8), (1, 28, 20), (4, 16, 12), (13, 16, 16)]
SERIES = [(128, 2), (2, 128), (40, 4), (16, 1)]
USUAL = [
    (28, 20),
    (8, 8),
    (28, 28, 1),
    (32, 32, 3),
    (8, 8, 16),
    (4, 4, 64),
    (16, 16, 13),
    (2, 2, 3),
    (6, 5),
]
ONE_AXIS = [(128, 1, 2), (1, 128, 2), (128, 2, 1)]


@pytest.mark.parametrize("shape", DOUBTFUL)
@pytest.mark.parametrize("role", ["encoder", "decoder"])
def test_channels_first_images_are_doubted_and_the_advice_helps(shape, role):
    net = (nets.Conv((4,)), nets.ConvDecoder((4,)))[role == "decoder"]
    last = (*shape[1:], shape[0])
    with pytest.warns(UserWarning, match="channels first") as said:
        vae(shape, **{role: net})
    assert len(said) == 1
    assert f"event_shape={last}" in str(said[0].message)
    assert np.moveaxis(np.zeros((1, *shape)), 1, -1).shape[1:] == last
    vae(last, **{role: net})


@pytest.mark.parametrize("shape", SERIES)
def test_series_are_doubted_and_each_remedy_helps(shape):
    with pytest.warns(UserWarning, match="series") as said:
        vae(shape, nets.Conv((4,)))
    length, size = max(shape), min(shape)
    assert f"event_shape={(length, 1, size)}" in str(said[0].message)
    for fine in ((length, 1, size), (*shape, 1)):
        vae(fine, nets.Conv((4,)))
    vae(shape, nets.MLP((4,)))


@pytest.mark.parametrize("shape", USUAL + ONE_AXIS)
def test_ordinary_images_and_feature_maps_are_not_doubted(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vae(shape, nets.Conv((4,)), nets.ConvDecoder((4,)))


def test_other_nets_take_any_axes():
    for shape in ((3, 64, 8), (128, 2)):
        vae(shape, nets.MLP((4,)), nets.MLP((4,)))
        vae(shape, nets.InputTransform(nets.Conv((4,)), jnp.tanh) if len(shape) == 3 else nets.Linear())


def test_transformed_names_the_order_of_its_arguments():
    net = nets.MLP((4,))
    for function in (jnp.log1p, np.log1p, lambda x: x):
        with pytest.raises(
            TypeError, match=r"expects a net, then a function.*Swap them, as in InputTransform"
        ):
            nets.InputTransform(function, net)
    with pytest.raises(TypeError, match=r"InputTransform\(net=...\) expects a recipe"):
        nets.InputTransform(jnp.log1p, jnp.log1p)
    with pytest.raises(
        TypeError, match=r"InputTransform\(function=...\) expects a function, such as jnp.log1p"
    ):
        nets.InputTransform(net, net)


def test_transformed_names_a_function_that_fails_on_its_input():
    with pytest.raises(ValueError, match=r"InputTransform\(.*fails on a batch of shape \(1, 4\)"):
        vae((4,), nets.InputTransform(nets.MLP((4,)), merge_depth))
