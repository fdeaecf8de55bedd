"""The discriminator of ``FactorVAE`` and ``AdversarialELBO``: its weights, its loss, its gradient."""

from typing import Any

import jax

from probvae import nets
from probvae.typing import Shape

SITE = "objective$params"


def register_discriminator(recipe: nets.Recipe, in_shape: Shape, out_shape: Shape) -> None:
    """Register the weights of a net without running state at ``"objective$params"``."""
    nets.function(recipe, in_shape, out_shape)  # raises for a net with running state or dropout
    nets.register("objective", recipe, in_shape, out_shape)


def discriminator_weights(objective: object, model_trace: dict) -> dict[str, Any]:
    """Return the discriminator's weights, which the objective's programs register.

    Raises:
        ValueError: if the programs are not the objective's.
    """
    if SITE not in model_trace:
        raise ValueError(
            f"{type(objective).__name__} expects programs that register its discriminator; got others. "
            "Pass `*objective.programs(vae.model, vae.guide)` to SVI (`fit` does this for you)."
        )
    return model_trace[SITE]["value"]


def log_loss(logit: jax.Array, *, real: bool) -> jax.Array:
    """Return -log D for real inputs, -log (1 - D) for others, from logit = log D / (1 - D)."""
    return jax.nn.softplus(-logit if real else logit)


def gradient_only(value: jax.Array) -> jax.Array:
    """Return zeros with the gradient of ``value``, for a loss that is not part of the bound."""
    return value - jax.lax.stop_gradient(value)
