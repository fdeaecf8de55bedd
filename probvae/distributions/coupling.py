"""Bijections of a vector whose Jacobian is triangular: coupling, and autoregressive with a context."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions import constraints
from numpyro.distributions.flows import InverseAutoregressiveTransform
from numpyro.distributions.transforms import Transform


class Coupling(Transform):
    """y_a = x_a, y_b = f(x_b; c(x_a)): a is one half of the entries, b the other.

    Args:
        conditioner: c, from ``(..., n_a)`` to the parameters of f.
        bijection: from parameters to an elementwise transform f.
        first: whether a is the first half (of n // 2 entries) or the rest.

    Reference: Dinh, Sohl-Dickstein and Bengio 2017, arXiv:1605.08803.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector

    def __init__(self, conditioner: Callable, bijection: Callable, *, first: bool) -> None:
        self.conditioner, self.bijection, self.first = conditioner, bijection, first

    def _halves(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        low, high = jnp.split(x, [x.shape[-1] // 2], axis=-1)
        return (low, high) if self.first else (high, low)

    def _joined(self, a: jax.Array, b: jax.Array) -> jax.Array:
        a = jnp.broadcast_to(a, (*b.shape[:-1], a.shape[-1]))
        return jnp.concatenate([a, b] if self.first else [b, a], axis=-1)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.call_with_intermediates(x)[0]

    def call_with_intermediates(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        a, b = self._halves(x)
        f = self.bijection(self.conditioner(a))
        y = f(b)
        return self._joined(a, y), f.log_abs_det_jacobian(b, y).sum(-1)

    def _inverse(self, y: jax.Array) -> jax.Array:
        a, b = self._halves(y)
        return self._joined(a, self.bijection(self.conditioner(a)).inv(b))

    def log_abs_det_jacobian(self, x: jax.Array, y: jax.Array, intermediates: Any = None) -> jax.Array:
        return self.call_with_intermediates(x)[1] if intermediates is None else intermediates

    def tree_flatten(self) -> Any:
        aux = {"bijection": self.bijection, "first": self.first}
        return (self.conditioner,), (("conditioner",), aux)


class Autoregressive(InverseAutoregressiveTransform):
    """y_i = s_i x_i + m_i, with (m_i, log s_i) a function of x_<i and of a context with its own batch.

    NumPyro's, but its inverse also takes a y of fewer batch dimensions than the context (one code
    under many components of a mixture). The inverse takes n steps.

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
