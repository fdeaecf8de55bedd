"""Residual nets: what a block adds, and what is left when it adds nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import build, run
from flax import nnx

from probvae import VAE, nets
from probvae.nets import module, resnet

KEY, OTHER = jax.random.split(jax.random.key(0))
PAIRS = {
    "ResNet": (nets.ResNet, nets.Conv, (7, 9), (3, 2)),
    "ResNetDecoder": (nets.ResNetDecoder, nets.ConvDecoder, (5,), (7, 9, 2)),
}


@pytest.fixture(scope="module", params=PAIRS)
def pair(request):
    """A residual net, the plain one with the same weights, and an input."""
    deep, plain, in_shape, out_shape = PAIRS[request.param]
    options = {"channels": (4, 5), "norm": nnx.LayerNorm}
    deep = build(deep(blocks=2, **options), in_shape, out_shape, KEY)
    plain = build(plain(**options), in_shape, out_shape, OTHER)
    lend(deep, plain)
    return deep, plain, jax.random.normal(KEY, (3, *in_shape))


def lend(deep, plain):
    """Give the plain net the weights of the residual one, blocks left out."""
    plain.last = deep.last
    stages = [*([deep.first] if hasattr(deep, "first") else []), *deep.layers]
    twins = [*([plain.first] if hasattr(plain, "first") else []), *plain.layers]
    for stage, twin in zip(stages, twins, strict=True):
        twin.layer, twin.norm = stage.layer.layer, stage.norm


def blocks(net):
    return [module for _, module in nnx.iter_graph(net) if type(module).__name__ == "_Block"]


def test_a_fresh_net_is_the_plain_stack_and_no_more_once_a_block_adds(pair):
    deep, plain, x = pair
    graph = nnx.graphdef(deep)
    want = run(plain, x)
    apply = jax.jit(lambda state: nnx.merge(graph, state)(x))
    np.testing.assert_array_equal(apply(nnx.state(deep)), want)
    for stage in blocks(deep):
        kernel = stage.last.kernel  # of all blocks of a stage
        before, drawn = np.asarray(kernel[...]), np.asarray(jax.random.normal(OTHER, kernel.shape))
        for i in range(len(before)):
            kernel[...] = jnp.asarray(np.where(np.arange(len(before)) == i, drawn.T, before.T).T)
            assert np.abs(apply(nnx.state(deep)) - want).max() > 1e-4
        kernel[...] = jnp.asarray(before)


def test_a_net_has_as_many_blocks_in_each_stage_as_asked_for(pair):
    deep, _, _ = pair
    assert [len(stage.last.kernel[...]) for stage in blocks(deep)] == [2, 2]


@pytest.mark.parametrize("activation", [jax.nn.relu, jnp.tanh], ids=["relu", "tanh"])
def test_a_block_adds_two_convolutions_of_the_normalised_and_activated(activation):
    """h + V g(W g(h)): He et al. 2016b, figure 1b; here by numpy, kernels of one pixel."""
    recipe = nets.ResNet((3,), 1, kernel=1, activation=activation, norm=nnx.LayerNorm)
    block = resnet._Block(recipe, 3, nnx.Rngs(0))
    block.last.kernel[...] = jax.random.normal(OTHER, block.last.kernel.shape)
    h = jax.random.normal(KEY, (2, 2, 2, 3))
    w, v = (np.asarray(layer.kernel)[0, 0] for layer in (block.first.layer, block.last))

    def g(h):
        centred = h - h.mean(-1, keepdims=True)
        unit = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return np.asarray(activation(unit))

    np.testing.assert_allclose(
        run(block, h), np.asarray(h) + g(g(np.asarray(h)) @ w) @ v, rtol=1e-4, atol=1e-5
    )


def test_gradients_reach_a_block_behind_its_zeros():
    net = build(nets.ResNet((3,), 1), (4, 4), (2,), KEY)
    x = jax.random.normal(KEY, (2, 4, 4))
    graph, state = nnx.split(net)
    slopes = run(jax.grad(lambda state: (nnx.merge(graph, state)(x) ** 2).sum()), state)
    block = slopes["layers"][0]["layer"]["blocks"]["block"]
    assert np.abs(block["last"]["kernel"][...]).max() > 0


@pytest.mark.parametrize("image", [(8, 8), (7, 9), (6, 5, 3)], ids=str)
def test_any_image_goes_to_a_vector_and_back(image):
    def shape_of(recipe, in_shape, out_shape):
        def call(x):
            return module.build(recipe, in_shape, out_shape, KEY)(x)

        return jax.eval_shape(call, jnp.ones((2, *in_shape))).shape

    assert shape_of(nets.ResNet((4, 5, 6), 1), image, (6, 2)) == (2, 6, 2)
    assert shape_of(nets.ResNetDecoder((4, 5, 6), 1), (6,), (*image, 2)) == (2, *image, 2)


def test_a_recipe_prints_as_it_is_written():
    net = nets.ResNet((4,), 3, norm=nnx.LayerNorm)
    assert str(net) == "ResNet(channels=(4,), blocks=3, kernel=3, activation=relu, norm=LayerNorm)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: nets.ResNet((4, 0)), r"ResNet\(channels=.*positive integers.*got \(4, 0\)", id="channels"),
        pytest.param(lambda: nets.ResNetDecoder(blocks=0), r"ResNetDecoder\(blocks=...\) expects a positive integer; got 0", id="blocks"),
        pytest.param(lambda: nets.ResNet(dropout=1.0), r"ResNet\(dropout=...\) expects a rate", id="dropout"),
        pytest.param(lambda: VAE(event_shape=(8,), latent_dim=2, encoder=nets.ResNet()), r"ResNet expects images .* input; got shape \(8,\)", id="encoder of vectors"),
        pytest.param(lambda: VAE(event_shape=(8,), latent_dim=2, decoder=nets.ResNetDecoder()), "ResNetDecoder expects images .* output", id="decoder of vectors"),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
