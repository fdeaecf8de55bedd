"""A guide that improves on the encoder's guess for each datum."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro

from probvae.checks import scale_bound
from probvae.distributions import bound_scale, check_bound, diagonal_normal
from probvae.interfaces import AbstractProgramGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class SemiAmortized(AbstractProgramGuide):
    """q(z|x) = Normal(z; m, diag(s^2)), (m, s) moved uphill from the encoder's by the datum's own ELBO.

    Each step goes along the natural gradient of E_q[log p(x, z)] + H(q), in m (slope times s^2) and in
    the log variance (slope times 2), for each datum by itself; a step that would lower the datum's
    ELBO is not taken, and the datum's rate is halved. E_q is the mean over z = m + s v and m - s v, v a
    vector of random signs, the same for all steps and data: exact where log p(x, z) is quadratic with
    uncorrelated entries. Any (m, s) gives a valid bound: the approximation costs tightness only.
    Gradients reach the encoder and the decoder through the steps (second order), as in the paper: with
    the move taken as a constant, a step too far would teach the encoder to start yet further off.

    Args:
        steps: how many inner steps, each one evaluation of the decoder and its gradient.
        rate: of the first step, in natural units (1 is a Newton step where s is right).
        log_bound: b, the bound on |log s|, as in ``MeanField``.

    Raises:
        ValueError: for steps below 1, or a rate or a bound that is not positive.

    Reference: Kim et al. 2018, arXiv:1802.02550, algorithm 1. Theirs takes plain gradient steps with
    momentum and clipping on one draw.
    """

    uses_log_joint = True

    steps: int = 5
    rate: float = 0.5
    log_bound: float = scale_bound(10.0, looser=1.0)

    def __post_init__(self) -> None:
        check_bound(self, self.log_bound)
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(
                f"SemiAmortized(steps=...) expects a positive integer; got {self.steps!r}."
            )
        if not self.rate > 0:
            raise ValueError(f"SemiAmortized(rate=...) expects a number > 0; got {self.rate!r}.")

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim, 2)

    def sample(self, outputs: jax.Array, scope: Scope) -> None:
        moved = self.climb(self._elbo(scope), outputs)
        numpyro.sample("z", diagonal_normal(moved, self.log_bound))

    def climb(self, elbo: Callable[[jax.Array], jax.Array], start: jax.Array) -> jax.Array:
        """Return (m, r) ``(batch, n, 2)`` after all steps; ``elbo`` maps such to ``(batch,)``."""
        slope_and_value = jax.value_and_grad(lambda outputs: _sum_terms(elbo(outputs)), has_aux=True)

        def read(outputs: jax.Array) -> tuple[jax.Array, jax.Array]:
            (_, value), slope = slope_and_value(outputs)
            variance = jnp.square(bound_scale(outputs[..., 1], self.log_bound))
            natural = jnp.stack([variance, jnp.full_like(variance, 2.0)], axis=-1)
            return value, natural * slope

        def step(at: tuple, _: None) -> tuple[tuple, None]:
            outputs, value, direction, rate = at
            tried = outputs + rate[:, None, None] * direction
            new_value, new_direction = read(tried)
            better = new_value >= value  # false for nan
            pick = better[:, None, None]
            kept = (
                jnp.where(pick, tried, outputs),
                jnp.where(better, new_value, value),
                jnp.where(pick, new_direction, direction),
                jnp.where(better, rate, rate / 2),
            )
            return kept, None

        rate = jnp.full(start.shape[0], self.rate, start.dtype)
        (outputs, *_), _ = jax.lax.scan(step, (start, *read(start), rate), None, self.steps)
        return outputs

    def _elbo(self, scope: Scope) -> Callable[[jax.Array], jax.Array]:
        key = numpyro.prng_key()
        key = jax.random.key(0) if key is None else key
        signs = jax.random.rademacher(key, (scope.latent_dim,)).astype(float)

        def elbo(outputs: jax.Array) -> jax.Array:
            m, s = outputs[..., 0], bound_scale(outputs[..., 1], self.log_bound)
            both = scope.log_joint(m + s * signs) + scope.log_joint(m - s * signs)
            return both / 2 + jnp.log(s).sum(-1)

        return elbo

    def __str__(self) -> str:
        return f"Normal(m, diag(s^2)), {self.steps} steps uphill from (m(x), s(x))"


def _sum_terms(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    return values.sum(), values
