"""Convolutions of images whose gradients are fast in a loop on a CPU."""

from functools import partial
from typing import Any

import jax
from flax import nnx
from jax.custom_derivatives import SymbolicZero

from probvae.typing import Shape

PLAIN = ("NHWC", "HWIO", "NHWC")


def conv(n: int, m: int, sides: tuple[int, int], **told: Any) -> nnx.Conv:
    """Return a convolution from n to m channels: flax NNX's layer, with ``convolve`` inside."""
    return nnx.Conv(n, m, sides, conv_general_dilated=convolve, **told)


def doubling(n: int, m: int, side: int, **told: Any) -> nnx.Conv:
    """Return the transposed convolution that doubles an image: ``nnx.ConvTranspose`` of strides 2.

    It is a convolution of the image with zeros put between its pixels.
    """
    pad = min(side - 1, (side + 1) // 2)
    return conv(n, m, (side, side), input_dilation=2, padding=[(pad, side - pad)] * 2, **told)


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    strides: Shape,
    padding: Any,
    *,
    dimension_numbers: Any,
    feature_group_count: int,
    **told: Any,
) -> jax.Array:
    """Convolve as ``lax.conv_general_dilated``; on a CPU, in a training, the gradients take less time.

        nnx.Conv(3, 32, (3, 3), conv_general_dilated=nets.convolve, rngs=rngs)

    XLA for CPUs has a fast convolution of axes in the order ``PLAIN``, which is that of the layer. Both
    of its gradients are convolutions of other orders, which XLA rearranges, but not in a loop (JAX
    issue 12868), and a training is a loop. Here each derivative is that of the same convolution
    with its axes so arranged that the transpose is plain. Elsewhere (groups, other than two
    spatial axes, no CPU) it is JAX's own.

    Args:
        x: images ``(n, h, w, c)``.
        kernel: ``(h', w', c, m)``.
        strides: of the two spatial axes.
        padding: ``"SAME"``, ``"VALID"``, or two pairs of pixels.
        dimension_numbers: of the order ``PLAIN``.
        feature_group_count: groups of channels.
        told: further arguments of ``lax.conv_general_dilated``.

    Returns:
        images of m channels.
    """
    if jax.default_backend() != "cpu" or feature_group_count > 1 or x.ndim != 4:
        told |= {"dimension_numbers": dimension_numbers, "feature_group_count": feature_group_count}
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, **told)
    padding = padding if isinstance(padding, str) else tuple(map(tuple, padding))
    return _plain(x, kernel, (("window_strides", strides), ("padding", padding), *told.items()))


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _plain(x: jax.Array, kernel: jax.Array, how: tuple) -> jax.Array:
    return _order_axes(x, kernel, how, PLAIN)


def _order_axes(x: jax.Array, kernel: jax.Array, how: tuple, axes: tuple) -> jax.Array:
    """Return the convolution, the axes of image, kernel and result in the order told."""
    return jax.lax.conv_general_dilated(x, kernel, dimension_numbers=axes, **dict(how))


@partial(_plain.defjvp, symbolic_zeros=True)
def _derivative(how: tuple, at: tuple, along: tuple) -> tuple[jax.Array, Any]:
    """d(x * W) = dx * W + x * dW, each so ordered that its transpose is of the order ``PLAIN``."""
    (x, kernel), (dx, d_kernel), parts = at, along, []
    if not isinstance(dx, SymbolicZero):
        turned = kernel.transpose(0, 1, 3, 2)
        parts.append(_order_axes(dx, turned, how, ("NHWC", "HWOI", "NHWC")))
    if not isinstance(d_kernel, SymbolicZero):
        turned = x.transpose(3, 1, 2, 0), d_kernel.transpose(2, 0, 1, 3)
        parts.append(_order_axes(*turned, how, ("CHWN", "IHWO", "HWNC")).transpose(2, 0, 1, 3))
    return _plain(x, kernel, how), sum(parts)
