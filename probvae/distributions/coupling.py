"""Bijections of a vector with a triangular Jacobian: coupling, and autoregressive."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions import constraints
from numpyro.distributions.flows import InverseAutoregressiveTransform
from numpyro.distributions.transforms import Transform


class Coupling(Transform):
    """$y_a = x_a$, $y_b = f(x_b; c(x_a))$, where a is one half of the entries and b the other.

    Args:
        conditioner: c, from ``(..., n_a)`` to the parameters of f.
        bijection: from parameters to an elementwise transform f.
        first: whether a is the first half (n // 2 entries) or the second.

    Reference: Dinh, Sohl-Dickstein and Bengio 2017, arXiv:1605.08803.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector

    def __init__(self, conditioner: Callable, bijection: Callable, *, first: bool) -> None:
        self.conditioner, self.bijection, self.first = conditioner, bijection, first

    def _split_halves(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        low, high = jnp.split(x, [x.shape[-1] // 2], axis=-1)
        return (low, high) if self.first else (high, low)

    def _join_halves(self, a: jax.Array, b: jax.Array) -> jax.Array:
        a = jnp.broadcast_to(a, (*b.shape[:-1], a.shape[-1]))
        return jnp.concatenate([a, b] if self.first else [b, a], axis=-1)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.call_with_intermediates(x)[0]

    def call_with_intermediates(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        a, b = self._split_halves(x)
        f = self.bijection(self.conditioner(a))
        y = f(b)
        return self._join_halves(a, y), f.log_abs_det_jacobian(b, y).sum(-1)

    def _inverse(self, y: jax.Array) -> jax.Array:
        a, b = self._split_halves(y)
        return self._join_halves(a, self.bijection(self.conditioner(a)).inv(b))

    def log_abs_det_jacobian(
        self, x: jax.Array, y: jax.Array, intermediates: jax.Array | None = None
    ) -> jax.Array:
        return self.call_with_intermediates(x)[1] if intermediates is None else intermediates

    def tree_flatten(self) -> Any:
        aux = {"bijection": self.bijection, "first": self.first}
        return (self.conditioner,), (("conditioner",), aux)


class Autoregressive(InverseAutoregressiveTransform):
    r"""$y_i = s_i x_i + m_i$, where $(m_i, \log s_i)$ is a function of $x_{<i}$ and of a context.

    It extends NumPyro's transform: y may have fewer batch dimensions than the context in the inverse
    (one code under many components of a mixture). The inverse takes n steps.

    Reference: Kingma et al. 2016, arXiv:1606.04934.

    Args:
        net: a pytree, from ``(..., n)`` to (m_i, log s_i), ``(..., n, 2)``.
    """

    log_scale_min_clip = -5.0  # NumPyro's
    log_scale_max_clip = 3.0

    def __init__(self, net: Callable[[jax.Array], jax.Array]) -> None:
        self.net = net

    def arn(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return (m, log s)."""
        outputs = self.net(x)
        return outputs[..., 0], outputs[..., 1]

    def tree_flatten(self) -> Any:
        return (self.net,), (("net",), {})

    def _inverse(self, y: jax.Array) -> jax.Array:
        shape = jnp.broadcast_shapes(y.shape, jax.eval_shape(self.arn, y)[0].shape)
        return super()._inverse(jnp.broadcast_to(y, shape))
