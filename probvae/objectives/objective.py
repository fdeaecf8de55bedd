"""What every objective of the package shares: particles, scale, sums and the record of its parts."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from numpyro.infer.elbo import ELBO as NumPyroELBO  # noqa: N811
from numpyro.primitives import mutable

from probvae.objectives.enumeration import enumerated
from probvae.objectives.terms import Terms, terms
from probvae.typing import Params, RngKey

STATE = "objective$state"
PARTS = ("bound", "log_likelihood", "kl", "scale_x", "scale_z")


class AbstractObjective(NumPyroELBO):
    """A map from terms to a bound per datum. ``loss`` is minus its scaled sum, as in NumPyro.

    ``can_infer_discrete`` says that the bound is linear in the terms, so that their exact expectations
    over a discrete code may stand in for draws. A subclass is a frozen dataclass with
    ``num_particles`` and a method ``bound``. What it needs beyond traces (the step, for schedules)
    and what it reports (its parts) lives at the mutable site ``"objective$state"``, which
    :meth:`programs` adds to the model; ``fit`` does so by itself.
    """

    can_infer_discrete: ClassVar[bool] = False
    num_particles: int
    closed_form: bool

    @abc.abstractmethod
    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        """Return the bound ``(batch,)`` from terms with a leading axis of particles."""

    def programs(self, model: Callable, guide: Callable) -> tuple[Callable, Callable]:
        """Return the programs with what this objective needs and reports registered in them."""
        start = {"step": jnp.zeros((), int), **dict.fromkeys(PARTS, jnp.zeros(()))}

        def registered(*args: Any, **kwargs: Any) -> Any:
            mutable(STATE, dict(start))
            return model(*args, **kwargs)

        return registered, guide

    def loss_with_mutable_state(
        self,
        rng_key: RngKey,
        param_map: Params,
        model: Callable,
        guide: Callable,
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return ``{"loss": ..., "mutable_state": ...}``, as ``numpyro.infer.SVI`` asks."""

        def read(key: RngKey) -> Terms:
            return terms(key, param_map, model, guide, *args, closed_form=self.closed_form, **kwargs)

        found = self._enumerated(rng_key, param_map, model, guide, *args, **kwargs)
        if found is None:
            found = _over_particles(read, rng_key, self.num_particles)
        state, scale = found.state, found.plate_scale[0]
        step = state[STATE]["step"][0] if STATE in state else None
        bound = self.bound(found, step)
        loss = -(scale * bound.sum() + found.log_global.mean())
        state = jax.tree.map(_one_state, state)
        if step is not None:
            state[STATE] = _record(bound, found, step)
        return {"loss": loss, "mutable_state": state or None}

    def _enumerated(self, *told: Any, **kwargs: Any) -> Terms | None:
        return enumerated(*told, **kwargs) if self.can_infer_discrete else None

    def weight(self, value: Any, step: jax.Array | None) -> Any:
        """Return a weight at this step: a number, or an optax schedule of the step.

        Raises:
            ValueError: for a schedule without the step, which ``programs`` registers.
        """
        if not callable(value):
            return value
        if step is None:
            raise ValueError(
                f"{type(self).__name__} has a schedule as a weight, which needs the step: pass "
                "`*objective.programs(vae.model, vae.guide)` to SVI (`fit` does so by itself)."
            )
        return value(step)


def _over_particles(read: Callable[[RngKey], Terms], rng_key: RngKey, num_particles: int) -> Terms:
    """Read terms with a leading axis of particles; vmap over just one costs 9 % of a step."""
    if num_particles > 1:
        return jax.vmap(read)(jax.random.split(rng_key, num_particles))
    return jax.tree.map(lambda a: jnp.asarray(a)[None], read(rng_key))


def _one_state(value: jax.Array) -> jax.Array:
    """Reduce a running state over particles: their mean, or the first of a count."""
    return value.mean(0) if jnp.issubdtype(value.dtype, jnp.floating) else value[0]


def _record(bound: jax.Array, found: Terms, step: jax.Array) -> dict[str, jax.Array]:
    values = (bound, found.log_likelihood, found.total_kl, found.scale_x, found.scale_z)
    parts = {name: value.mean() for name, value in zip(PARTS, values, strict=True)}
    return jax.lax.stop_gradient({"step": step + 1, **parts})
