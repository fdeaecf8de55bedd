"""The convolution of the nets is that of JAX: values, both gradients, forwards, and twice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from oracle import close

from probvae import nets
from probvae.nets.fast_convolution import conv, conv_transpose

X = jax.random.normal(jax.random.key(0), (3, 7, 6, 2))
SETTINGS = {
    "same": {},
    "strides": {"strides": (2, 3)},
    "padding": {"padding": ((2, 0), (1, 3))},
    "dilated kernel": {"kernel_dilation": (2, 1)},
    "dilated image": {"input_dilation": 2, "padding": ((1, 1), (0, 2))},
}


def of(layer: nnx.Module):
    """Return the layer as a function of its parameters and an image, and its parameters."""
    graph, params = nnx.split(layer)
    return (lambda params, x: jnp.tanh(nnx.merge(graph, params)(x))), params


def plain(layer: nnx.Conv) -> nnx.Conv:
    """Return the same layer with JAX's own convolution."""
    twin = nnx.clone(layer)
    twin.conv_general_dilated = jax.lax.conv_general_dilated
    return twin


@pytest.mark.parametrize("name", SETTINGS)
def test_derivatives_are_those_of_jax(name):
    layer = conv(2, 4, (3, 2), rngs=nnx.Rngs(1), **SETTINGS[name])
    (ours, params), (theirs, _) = of(layer), of(plain(layer))
    direction = jax.tree.map(jnp.cos, (params, X))

    def looked_at(f):
        def loss(params, x):
            return (f(params, x) ** 2).sum()

        def slope(params, x):
            return jax.jvp(loss, (params, x), direction)[1]

        both = (0, 1)
        by_weights = jax.grad(loss)(params, X)  # the image is not differentiated: another path
        return (
            f(params, X),
            by_weights,
            jax.grad(loss, both)(params, X),
            jax.grad(slope, both)(params, X),
        )

    # theirs is not compiled: in a program, jaxlib 0.7.1 gets its own second derivative wrong
    close(jax.jit(lambda: looked_at(ours))(), looked_at(theirs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
def test_conv_transpose_is_the_transposed_convolution(side):
    ours = conv_transpose(2, 3, side, rngs=nnx.Rngs(0))
    theirs = nnx.ConvTranspose(2, 3, (side, side), strides=(2, 2), rngs=nnx.Rngs(0))
    assert ours(X).shape == (3, 14, 12, 3)
    np.testing.assert_array_equal(ours.kernel[...], theirs.kernel[...])
    close(ours(X), theirs(X), rtol=1e-5, atol=1e-6)


def test_many_kernels_at_once():
    """By ``vmap``, as a sweep trains them: each gradient is that of JAX's own for its kernel alone."""
    layer = conv(2, 4, (3, 3), rngs=nnx.Rngs(0))
    (ours, params), (theirs, _) = of(layer), of(plain(layer))
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf, -leaf]), params)
    found = jax.vmap(jax.grad(lambda params: ours(params, X).sum()))(many)
    for index in range(3):
        alone, one = (jax.tree.map(lambda leaf, at=index: leaf[at], tree) for tree in (many, found))
        close(one, jax.grad(lambda params: theirs(params, X).sum())(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="axes are rearranged on a CPU alone")
@pytest.mark.parametrize("net", [nets.Conv(), nets.MaskedConv((4,)), nets.ResNet(), nets.GatedConv()])
def test_every_convolution_in_a_loop_is_of_the_fast_order(net):
    """What XLA rearranges nowhere but outside of loops: a gradient of another order is slow in one."""
    out = (28, 28, 1) if isinstance(net, nets.MaskedConv) else (5,)
    graph, params, others = nnx.split(net((28, 28, 2), out, rngs=nnx.Rngs(0)), nnx.Param, ...)

    x = jnp.ones((4, 28, 28, 2))

    def loss(params, x):
        return (nnx.merge(graph, params, others)(x) ** 2).sum()

    def step(at, _):
        found = jax.grad(loss, (0, 1))(*at)
        return jax.tree.map(lambda a, g: a - 0.1 * g, at, found), None

    program = jax.jit(lambda *at: jax.lax.scan(step, at, length=3)[0]).lower(params, x).compile()
    orders = [line for line in program.as_text().splitlines() if " convolution(" in line]
    assert orders
    assert all("dim_labels=b01f_01io->b01f" in line for line in orders)
