"""What objectives with a player of their own share: its weights, its loss, and who gets a gradient."""

from typing import Any

import jax

from probvae import nets
from probvae.typing import Shape

SITE = "objective$params"


def register(recipe: nets.Recipe, in_shape: Shape, out_shape: Shape) -> None:
    """Register the weights of a net without running state at ``"objective$params"``."""
    nets.function(recipe, in_shape, out_shape)
    nets.register("objective", recipe, in_shape, out_shape)


def weights(objective: Any, model_trace: dict) -> Any:
    """Return the discriminator's weights, which the objective's programs register.

    Raises:
        ValueError: if the programs are not the objective's.
    """
    if SITE not in model_trace:
        raise ValueError(
            f"{type(objective).__name__} has a discriminator, whose weights its programs register: "
            "pass `*objective.programs(vae.model, vae.guide)` to SVI (`fit` does so by itself)."
        )
    return model_trace[SITE]["value"]


def log_loss(logit: jax.Array, *, real: bool) -> jax.Array:
    """Return -log D where what was judged is real, -log (1 - D) where not; logit = log D / (1 - D)."""
    return jax.nn.softplus(-logit if real else logit)


def for_gradient(value: jax.Array) -> jax.Array:
    """Return zeros with the gradient of ``value``: what moves a player and is no part of the bound."""
    return value - jax.lax.stop_gradient(value)
