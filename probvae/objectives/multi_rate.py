"""One model for every weight of the KL."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from probvae.objectives.compatibility import check_particles
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms
from probvae.typing import RngKey, Shape


@dataclass(frozen=True)
class MultiRate(AbstractObjective):
    """E_q[log p(x|z, beta)] - beta KL(q(z|x, beta) || p(z)), log beta ~ Uniform(log low, log high).

    At each step each datum draws its beta, and encoder, decoder and a prior that looks at the context
    are told log beta as the context's last entry: one VAE answers for every beta in [low, high]. The
    VAE's context is one entry longer than the data's, which ``fit`` is given without it; afterwards say
    which beta is meant, in validation data, too:

        vae = VAE(..., context_shape=(1,))
        fitted = fit(vae, x, objective=MultiRate(0.01, 10.0), rng_key=key)
        fitted.encode(x, context=jnp.full((len(x), 1), jnp.log(0.5)))

    (Both papers feed log beta to each layer, as a gate; here it is an input like any other. The draw is
    made outside the two programs, as that of an observation: once for both of them, and for all
    particles. For plain SVI it is ``drawn_context``.) Only at beta = 1 is it a bound on log p(x|beta).

    Args:
        low: the least beta, > 0.
        high: the largest.
        num_particles: draws of z per datum and step.
        closed_form: take a KL in closed form where that is exact.

    Raises:
        ValueError: unless 0 < low <= high, high finite.

    Reference: Dosovitskiy and Djolonga 2020, "You only train once: loss-conditional training of deep
    networks", ICLR; Bae et al. 2022, arXiv:2212.03905.
    """

    can_infer_discrete = True
    fits_any = True

    low: float = 0.01
    high: float = 10.0
    num_particles: int = 1
    closed_form: bool = True

    def __post_init__(self) -> None:
        check_particles(self)
        if not (0 < self.low <= self.high and math.isfinite(self.high)):
            raise ValueError(
                "MultiRate(low, high) expects numbers with 0 < low <= high, the range of beta; got "
                f"low={self.low!r}, high={self.high!r}."
            )

    def data_context_shape(self, context_shape: Shape) -> Shape:
        if len(context_shape) != 1:
            raise ValueError(
                "MultiRate tells encoder and decoder log beta as the last entry of the context, so the "
                "VAE's context is a vector, one longer than the data's; this VAE has "
                f"context_shape={context_shape}. Build VAE(..., context_shape=(1,)), or the length "
                "of the data's own context plus one."
            )
        (length,) = context_shape
        return (length - 1,) if length > 1 else ()

    def drawn_context(self, rng_key: RngKey, x: jax.Array, context: Any) -> jax.Array:
        low, high = math.log(self.low), math.log(self.high)
        log_beta = jax.random.uniform(rng_key, (len(x), 1), minval=low, maxval=high)
        return log_beta if context is None else jnp.concatenate([context, log_beta], axis=-1)

    def asked_context(self, context: Any, rows: int) -> Any:
        """Return the context with beta = 1, or the nearest in [low, high]: the ELBO's weight."""
        log_beta = np.full((rows, 1), math.log(self._nearest_to_1), jnp.zeros(()).dtype)
        return log_beta if context is None else np.concatenate([context, log_beta], axis=-1)

    @property
    def asked_at(self) -> str:  # type: ignore[override]
        return f"beta = {self._nearest_to_1:g}"

    @property
    def _nearest_to_1(self) -> float:
        return min(max(1.0, self.low), self.high)

    def read(
        self, rng_key: RngKey, params: Any, model: Any, guide: Any, *args: Any, **kwargs: Any
    ) -> Terms:
        context = kwargs.get("context", args[1] if len(args) > 1 else None)
        if context is None:
            raise ValueError(
                "MultiRate reads log beta from the context's last entry, and got no context. Build "
                "VAE(..., context_shape=(1,)); to plain SVI, give each batch the context "
                "`objective.drawn_context(key, x, None)`."
            )
        found = super().read(rng_key, params, model, guide, *args, **kwargs)
        return found._replace(seen=jnp.exp(context[:, -1]))

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        return (read.log_likelihood - read.seen * read.total_kl).mean(0)
