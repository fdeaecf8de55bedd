"""Multi-rate VAE: one model for every weight beta of the KL, with log beta in its context."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from probvae.checks import PositiveFloat, PositiveInt
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms
from probvae.typing import ArrayLike, Params, Program, RngKey, Shape


@dataclass(frozen=True)
class MultiRate(AbstractObjective):
    r"""The beta-VAE objective for a beta that each datum draws, so that one VAE covers all betas.

    $E_q[\log p(x|z, \beta)] - \beta \mathrm{KL}(q(z|x, \beta) || p(z))$, with
    $\log \beta \sim \mathrm{Uniform}(\log \mathrm{low}, \log \mathrm{high})$.

    At each step each datum draws its own beta. Encoder, decoder and a prior that reads the context see
    log beta as the last entry of the context. The VAE's context is therefore one entry longer than the
    data's. Call ``fit`` with the data's own context. Afterwards you choose beta, as you do for
    validation data:

        vae = VAE(..., context_shape=(1,))
        fitted = fit(vae, x, objective=MultiRate(0.01, 10.0), rng_key=key)
        fitted.encode(x, context=jnp.full((len(x), 1), jnp.log(0.5)))

    ``fit`` draws beta outside the two programs, once for both and for all particles. For plain SVI, use
    ``draw_context``. Only at beta = 1 is the value a bound on log p(x|beta).

    Args:
        low: the smallest beta.
        high: the largest beta.
        num_particles: draws of z per datum and step.
        closed_form: use the closed form of a KL where it is exact.

    Raises:
        ValueError: unless 0 < low <= high.

    Reference: Dosovitskiy and Djolonga 2020, "You only train once: loss-conditional training of deep
    networks", ICLR. Bae et al. 2022, arXiv:2212.03905. Both feed log beta to each layer, as a gate.
    Here it is an ordinary input.
    """

    can_infer_discrete = True
    accepts_all_parts = True

    low: PositiveFloat = 0.01
    high: PositiveFloat = 10.0
    num_particles: PositiveInt = 1
    closed_form: bool = True

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(
                f"MultiRate expects 0 < low <= high; got low={self.low!r}, high={self.high!r}."
            )

    def data_context_shape(self, context_shape: Shape) -> Shape:
        if len(context_shape) != 1:
            raise ValueError(
                "MultiRate expects a context vector with log beta as its last entry; got context_shape="
                f"{context_shape}. Build VAE(..., context_shape=(1,)), or one more than the data's own."
            )
        (length,) = context_shape
        return (length - 1,) if length > 1 else ()

    def draw_context(
        self, rng_key: RngKey, x: ArrayLike, context: ArrayLike | None
    ) -> ArrayLike | None:
        low, high = math.log(self.low), math.log(self.high)
        log_beta = jax.random.uniform(rng_key, (len(x), 1), minval=low, maxval=high)
        return log_beta if context is None else jnp.concatenate([context, log_beta], axis=-1)

    def query_context(self, context: ArrayLike | None, rows: int) -> ArrayLike | None:
        """Return the context with beta = 1, the ELBO's weight, or the nearest value in [low, high]."""
        log_beta = np.full((rows, 1), math.log(self._query_beta), jnp.zeros(()).dtype)
        return log_beta if context is None else np.concatenate([context, log_beta], axis=-1)

    @property
    def query_setting(self) -> str:  # type: ignore[override]
        return f"beta = {self._query_beta:g}"

    @property
    def _query_beta(self) -> float:
        return min(max(1.0, self.low), self.high)

    def read(
        self,
        rng_key: RngKey,
        params: Params,
        model: Program,
        guide: Program,
        *args: Any,
        **kwargs: Any,
    ) -> Terms:
        context = kwargs.get("context", args[1] if len(args) > 1 else None)
        if context is None:
            raise ValueError(
                "MultiRate expects log beta as the last entry of the context; got none. For plain "
                "SVI, pass `objective.draw_context(key, x, None)` as the context of each batch."
            )
        read = super().read(rng_key, params, model, guide, *args, **kwargs)
        return read._replace(extra=jnp.exp(context[:, -1]))

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        return (read.log_likelihood - read.extra * read.total_kl).mean(0)
