"""Convolutions of images whose gradients are fast in a loop on a CPU."""

from functools import partial
from typing import Any, TypeAlias

import jax
from flax import nnx
from jax.custom_derivatives import SymbolicZero

from probvae.typing import Shape

AxisOrder: TypeAlias = tuple[str, str, str]  # of image, kernel and result
Options: TypeAlias = tuple[tuple[str, Any], ...]  # of ``lax.conv_general_dilated``, hashable
Padding: TypeAlias = Any  # "SAME", "VALID", or pairs of pixels, in lists or tuples

PLAIN: AxisOrder = ("NHWC", "HWIO", "NHWC")


def conv(n: int, m: int, sides: tuple[int, int], **options: Any) -> nnx.Conv:
    """Return a convolution from n to m channels: flax NNX's layer, with ``convolve`` inside."""
    return nnx.Conv(n, m, sides, conv_general_dilated=convolve, **options)


def conv_transpose(n: int, m: int, side: int, **options: Any) -> nnx.Conv:
    """Return the transposed convolution that doubles an image: ``nnx.ConvTranspose`` with strides 2.

    It is a convolution of the image with zeros between its pixels.
    """
    pad = min(side - 1, (side + 1) // 2)
    return conv(n, m, (side, side), input_dilation=2, padding=[(pad, side - pad)] * 2, **options)


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    strides: Shape,
    padding: Padding,
    *,
    dimension_numbers: Any,
    feature_group_count: int,
    **options: Any,
) -> jax.Array:
    """Convolve like ``lax.conv_general_dilated``, with faster gradients in training loops on a CPU.

        nnx.Conv(3, 32, (3, 3), conv_general_dilated=nets.convolve, rngs=rngs)

    XLA for CPUs has a fast convolution for the axis order ``PLAIN``, which is that of the layer. Both
    of its gradients are convolutions with other orders. XLA rearranges them, but not inside a loop (JAX
    issue 12868), and training is a loop. Here the derivatives have an axis order whose transpose is
    ``PLAIN``. For groups, other than two spatial axes, or another device, this is JAX's own
    convolution.

    Args:
        x: images ``(n, h, w, c)``.
        kernel: ``(h', w', c, m)``.
        strides: of the two spatial axes.
        padding: ``"SAME"``, ``"VALID"``, or two pairs of pixels.
        dimension_numbers: of the order ``PLAIN``.
        feature_group_count: groups of channels.
        options: further arguments of ``lax.conv_general_dilated``.

    Returns:
        images of m channels.
    """
    if jax.default_backend() != "cpu" or feature_group_count > 1 or x.ndim != 4:
        options |= {"dimension_numbers": dimension_numbers, "feature_group_count": feature_group_count}
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)
    padding = padding if isinstance(padding, str) else tuple(map(tuple, padding))
    return _convolve_plain(
        x, kernel, (("window_strides", strides), ("padding", padding), *options.items())
    )


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _convolve_plain(x: jax.Array, kernel: jax.Array, options: Options) -> jax.Array:
    return _convolve_in_order(x, kernel, options, PLAIN)


def _convolve_in_order(
    x: jax.Array, kernel: jax.Array, options: Options, order: AxisOrder
) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, dimension_numbers=order, **dict(options))


@partial(_convolve_plain.defjvp, symbolic_zeros=True)
def _convolve_jvp(options: Options, primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    """Return d(x * W) = dx * W + x * dW."""
    # JAX makes the gradient by transposing this derivative. The transpose of a convolution is again
    # one, and its axis order follows from the order here. So each term has an order that is unusual by
    # itself, but PLAIN after the transpose, in which other axes are batch and channels:
    #
    #   to x: the cotangent (n, h, w, m) with the kernel (h', w', m, c) gives (n, h, w, c).
    #   to W: the image (c, h, w, n) with the cotangent (h, w, n, m) gives (c, h', w', m). Here c takes
    #         the place of the batch, and n that of the channels, over which a convolution sums.
    #
    # A term whose tangent is zero is skipped: the data, for example, need no gradient.
    (x, kernel), (dx, d_kernel), terms = primals, tangents, []
    if not isinstance(dx, SymbolicZero):
        swapped = kernel.transpose(0, 1, 3, 2)  # (h', w', m, c)
        terms.append(_convolve_in_order(dx, swapped, options, ("NHWC", "HWOI", "NHWC")))
    if not isinstance(d_kernel, SymbolicZero):
        image = x.transpose(3, 1, 2, 0)  # (c, h, w, n)
        filters = d_kernel.transpose(2, 0, 1, 3)  # (c, h', w', m)
        result = _convolve_in_order(image, filters, options, ("CHWN", "IHWO", "HWNC"))
        terms.append(result.transpose(2, 0, 1, 3))  # (h, w, n, m) -> (n, h, w, m)
    return _convolve_plain(x, kernel, options), sum(terms)  # type: ignore[return-value]
