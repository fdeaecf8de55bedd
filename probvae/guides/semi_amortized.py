"""A guide that starts from the encoder's outputs and improves them for each datum."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpyro

from probvae.checks import PositiveFloat, PositiveInt, scale_bound
from probvae.distributions import bound_scale, diagonal_normal
from probvae.interfaces import AbstractProgramGuide, Scope
from probvae.typing import Shape


class _Climb(NamedTuple):
    """The state of the inner optimisation: one value, direction and rate per datum."""

    outputs: jax.Array  # (batch, n, 2): m and r
    elbo: jax.Array  # (batch,)
    direction: jax.Array  # (batch, n, 2)
    rate: jax.Array  # (batch,)


@dataclass(frozen=True)
class SemiAmortized(AbstractProgramGuide):
    r"""A diagonal normal whose (m, s) take gradient steps from the encoder's outputs.

    $q(z|x) = \mathrm{Normal}(z; m, \mathrm{diag}(s^2))$.

    Each step follows the natural gradient of the datum's own ELBO, $E_q[\log p(x, z)] + H(q)$: the
    gradient times $s^2$ in m, and times 2 in the log variance. A step that would lower the ELBO of a
    datum is rejected, and the rate of this datum is halved. Every (m, s) gives a valid bound on
    log p(x).

    Gradients reach the encoder and the decoder through the steps (second order), as in the paper.

    Args:
        steps: the number of inner steps. Each evaluates the decoder and its gradient once.
        rate: the rate of the first step, in natural units (1 is a Newton step if s is right).
        log_bound: b, the bound on $|\log s|$, as in ``MeanField``.

    Reference: Kim et al. 2018, arXiv:1802.02550, algorithm 1. They take plain gradient steps with
    momentum and clipping, on one draw.
    """

    uses_log_joint = True

    steps: PositiveInt = 5
    rate: PositiveFloat = 0.5
    log_bound: PositiveFloat = scale_bound(10.0, looser=1.0)

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim, 2)

    def sample(self, outputs: jax.Array, scope: Scope) -> None:
        improved = self.climb(self._elbo(scope), outputs)
        numpyro.sample("z", diagonal_normal(improved, self.log_bound))

    def climb(self, elbo: Callable[[jax.Array], jax.Array], start: jax.Array) -> jax.Array:
        """Return (m, r) ``(batch, n, 2)`` after all steps.

        Args:
            elbo: a function from (m, r) to the ELBO of each datum, ``(batch,)``, in nats.
            start: (m, r) of the encoder, ``(batch, n, 2)``.
        """
        # The gradient of the sum over the batch is the gradient of each datum's ELBO, since a datum's
        # ELBO depends on its own (m, r) only. There is no stop_gradient here: if the improvement were a
        # constant for the outer gradient, a step that overshoots would teach the encoder to start even
        # further away.
        gradient_and_elbo = jax.value_and_grad(lambda outputs: _sum_terms(elbo(outputs)), has_aux=True)

        def evaluate(outputs: jax.Array) -> tuple[jax.Array, jax.Array]:
            (_, value), gradient = gradient_and_elbo(outputs)
            variance = jnp.square(bound_scale(outputs[..., 1], self.log_bound))
            fisher_inverse = jnp.stack([variance, jnp.full_like(variance, 2.0)], axis=-1)
            return value, fisher_inverse * gradient

        def step(state: _Climb, _: None) -> tuple[_Climb, None]:
            proposal = state.outputs + state.rate[:, None, None] * state.direction
            value, direction = evaluate(proposal)
            better = value >= state.elbo  # false for nan: such a step is rejected, too
            accept = better[:, None, None]
            state = _Climb(
                outputs=jnp.where(accept, proposal, state.outputs),
                elbo=jnp.where(better, value, state.elbo),
                direction=jnp.where(accept, direction, state.direction),
                rate=jnp.where(better, state.rate, state.rate / 2),
            )
            return state, None

        rate = jnp.full(start.shape[0], self.rate, start.dtype)
        state = _Climb(start, *evaluate(start), rate)
        return jax.lax.scan(step, state, None, self.steps)[0].outputs

    def _elbo(self, scope: Scope) -> Callable[[jax.Array], jax.Array]:
        # E_q is the mean over z = m + s v and z = m - s v, for one vector v of random signs. It is
        # exact if log p(x, z) is quadratic with uncorrelated entries. All steps and all data share v,
        # so the ELBO is a fixed function of (m, r), and the comparison of two steps makes sense.
        key = numpyro.prng_key()
        key = jax.random.key(0) if key is None else key
        signs = jax.random.rademacher(key, (scope.latent_dim,)).astype(float)

        def elbo(outputs: jax.Array) -> jax.Array:
            assert scope.log_joint is not None
            m, s = outputs[..., 0], bound_scale(outputs[..., 1], self.log_bound)
            log_joint = scope.log_joint(m + s * signs) + scope.log_joint(m - s * signs)
            return log_joint / 2 + jnp.log(s).sum(-1)

        return elbo

    def __str__(self) -> str:
        return f"Normal(m, diag(s^2)), {self.steps} steps uphill from (m(x), s(x))"


def _sum_terms(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    return values.sum(), values
