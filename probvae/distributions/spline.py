"""`RationalQuadraticSpline`: monotone splines, elementwise."""

from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform

LEAST = 1e-3  # lower bound of a bin's share of the interval, and of a slope


class RationalQuadraticSpline(Transform):
    r"""A monotone spline with K bins on [-bound, bound], and the identity outside.

    A bin maps $[x_k, x_{k+1}]$ to $[y_k, y_{k+1}]$. With the slope $s = (y_{k+1} - y_k) / (x_{k+1} -
    x_k)$ of the bin, the slopes $d_k$ at the knots and $t = (x - x_k) / (x_{k+1} - x_k)$,

    $$y = y_k + (y_{k+1} - y_k)
    \frac{s t^2 + d_k t (1 - t)}{s + (d_{k+1} + d_k - 2 s) \, t (1 - t)}.$$

    Args:
        raw: ``(..., 3 K - 1)``: logits of widths (K) and heights (K), and raw slopes at the inner knots
            (K - 1). Zeros give the identity.
        bound: half the interval's length.

    Reference: Durkan et al. 2019, arXiv:1906.04032, equations 4 to 8.
    """

    domain = constraints.real
    codomain = constraints.real

    def __init__(self, raw: jax.Array, bound: float) -> None:
        bins = (raw.shape[-1] + 1) // 3
        widths, heights, slopes = jnp.split(raw, [bins, 2 * bins], axis=-1)
        self.bound = bound
        # softplus(raw + c) = 1 - LEAST at raw = 0, so that a slope starts at exactly 1
        self.x, self.y = _place_knots(widths, bound), _place_knots(heights, bound)
        inner = LEAST + jax.nn.softplus(slopes + jnp.log(jnp.expm1(1 - LEAST)))
        ends = jnp.ones((*inner.shape[:-1], 1))
        self.slope = jnp.concatenate([ends, inner, ends], axis=-1)

    def __call__(self, x: jax.Array) -> jax.Array:
        # Outside the interval the result is x itself. The spline is still computed there, at the
        # clipped point: the gradient of the `where` needs both branches to be finite.
        inside = jnp.clip(x, -self.bound, self.bound)
        x0, width, y0, height, d0, d1 = self._find_bin(inside, self.x)
        t, s = (inside - x0) / width, height / width
        y = y0 + height * (s * t**2 + d0 * t * (1 - t)) / (s + (d0 + d1 - 2 * s) * t * (1 - t))
        return jnp.where(jnp.abs(x) <= self.bound, y, x)

    def _inverse(self, y: jax.Array) -> jax.Array:
        """Return x with spline(x) = y."""
        # y is a quotient of quadratics in t, so that t solves a t^2 + b t + c = 0 (equations 6 to 8).
        # The root in [0, 1] is 2 c / (-b - sqrt(b^2 - 4 a c)). This form keeps its digits as a goes to
        # 0, in a straight bin, where the usual formula divides 0 by 0.
        inside = jnp.clip(y, -self.bound, self.bound)
        x0, width, y0, height, d0, d1 = self._find_bin(inside, self.y)
        s, rise = height / width, inside - y0
        bend = rise * (d0 + d1 - 2 * s)
        a, b, c = height * (s - d0) + bend, height * d0 - bend, -s * rise
        t = 2 * c / (-b - jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0.0)))
        return jnp.where(jnp.abs(y) <= self.bound, x0 + t * width, y)

    def log_abs_det_jacobian(
        self, x: jax.Array, y: jax.Array, intermediates: jax.Array | None = None
    ) -> jax.Array:
        inside = jnp.clip(x, -self.bound, self.bound)
        x0, width, _, height, d0, d1 = self._find_bin(inside, self.x)
        t, s = (inside - x0) / width, height / width
        numerator = s**2 * (d1 * t**2 + 2 * s * t * (1 - t) + d0 * (1 - t) ** 2)
        denominator = (s + (d0 + d1 - 2 * s) * t * (1 - t)) ** 2
        return jnp.where(jnp.abs(x) <= self.bound, jnp.log(numerator) - jnp.log(denominator), 0.0)

    def _find_bin(self, value: jax.Array, knots: jax.Array) -> tuple[jax.Array, ...]:
        """Return start and length, in x and in y, of the bin of a value, and the slopes at its ends."""
        shape = jnp.broadcast_shapes(value.shape, knots.shape[:-1])
        value = jnp.broadcast_to(value, shape)[..., None]
        index = (value >= knots[..., 1:-1]).sum(-1, keepdims=True)

        def at(array: jax.Array, i: jax.Array) -> jax.Array:
            array = jnp.broadcast_to(array, (*shape, array.shape[-1]))
            return jnp.take_along_axis(array, i, axis=-1)[..., 0]

        x0, y0 = at(self.x, index), at(self.y, index)
        width, height = at(self.x, index + 1) - x0, at(self.y, index + 1) - y0
        return x0, width, y0, height, at(self.slope, index), at(self.slope, index + 1)

    def tree_flatten(self) -> Any:
        names = ("x", "y", "slope")
        return (self.x, self.y, self.slope), (names, {"bound": self.bound})


def _place_knots(logits: jax.Array, bound: float) -> jax.Array:
    """Return K + 1 increasing knots from -bound to bound. A bin has at least a share of ``LEAST``."""
    bins = logits.shape[-1]
    shares = LEAST + (1 - LEAST * bins) * jax.nn.softmax(logits, axis=-1)
    inner = jnp.cumsum(shares, axis=-1)[..., :-1]
    inner = bound * (2 * inner - 1)
    end = jnp.full((*inner.shape[:-1], 1), bound)
    return jnp.concatenate([-end, inner, end], axis=-1)
