"""What every objective of the package shares: particles, scale, sums and the record of its parts."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from numpyro.infer.elbo import ELBO as NumPyroELBO  # noqa: N811
from numpyro.primitives import mutable

from probvae.checks import Checked
from probvae.objectives.enumeration import enumerate_site, find_discrete_site
from probvae.objectives.particles import over_particles
from probvae.objectives.terms import Terms, terms, trace_programs
from probvae.typing import Params, RngKey, Shape

STATE = "objective$state"
PARTS = ("bound", "log_likelihood", "kl", "scale_x", "scale_z")


class AbstractObjective(Checked, NumPyroELBO):
    """A map from terms to a bound per datum. ``loss`` is minus its scaled sum, as in NumPyro.

    ``can_infer_discrete`` says that the bound is a function of the terms' expectations, so that exact
    ones over a discrete code may stand in for draws. ``fits_any`` says that its terms exist for every
    prior and guide; where not, ``look`` or ``bound`` raise as they are traced, and ``fit``
    finds it before it starts. ``fits_points`` says that it means something where q(z|x) is a point, and
    its KL -log p(z). What ``scheduled`` names, ``fit`` evaluates over all its steps before the first
    (``least`` of each). A subclass is a frozen dataclass with ``num_particles`` and a method
    ``bound``. What it needs beyond traces (the step, for schedules) and what it reports (its parts)
    lives at the mutable site ``"objective$state"``, which ``programs`` adds to the model; ``fit``
    does so by itself.
    """

    can_infer_discrete: ClassVar[bool] = False
    fits_any: ClassVar[bool] = False
    fits_points: ClassVar[bool] = False
    reports: ClassVar[tuple[str, ...]] = ()  # the names of its own parts, beside PARTS
    scheduled: ClassVar[tuple[str, ...]] = ()  # fields that are weights: numbers >= 0, or schedules
    asked_at: ClassVar[str] = ""  # what asked_context adds, in words
    least_batch: ClassVar[int] = 1  # data that it compares with each other
    num_particles: int
    closed_form: bool
    order: float = 1.0  # of the mean over particles (Renyi's alpha): 1 is of log w, 0 of w
    estimator: Any = None  # of the gradient: STL() or DReG(), or autodiff as it comes

    @abc.abstractmethod
    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        """Return the bound ``(batch,)`` from terms with a leading axis of particles."""

    def parts(self, read: Terms, step: jax.Array | None) -> dict[str, jax.Array]:
        """Return the quantities named in ``reports``, of any shape; their means are recorded."""
        return {}

    def look(self, guide_trace: dict, model_trace: dict, rng_key: RngKey) -> Any:
        """Return what else the bound needs of the traces (``read.seen``); raise if it is not there."""
        return None

    def least(self, name: str) -> float:
        """Return the least value that a weight may have, at any step."""
        return 0.0

    def ends_as_evidence(self, num_steps: int) -> bool:
        """Return whether the last of so many steps maximises the ELBO or another bound on log p(x).

        If so, ``fit`` returns the epoch with the best validation ELBO unless you ask for the last.
        """
        return False

    def last_weight(self, value: Any, num_steps: int) -> float:
        """Return a weight at the last of so many steps."""
        return float(value(num_steps - 1) if callable(value) else value)

    def data_context_shape(self, context_shape: Shape) -> Shape:
        """Return the shape of the context that training data bring, given the VAE's."""
        return context_shape

    def drawn_context(self, rng_key: RngKey, x: jax.Array, context: Any) -> Any:
        """Return the context that both programs are told at a training step, given the data's."""
        return context

    def asked_context(self, context: Any, rows: int) -> Any:
        """Return the context that a fitted VAE is asked with, for ``rows`` data, given theirs."""
        return context

    def programs(self, model: Callable, guide: Callable) -> tuple[Callable, Callable]:
        """Return the programs with what this objective needs and reports registered in them."""
        start = {"step": jnp.zeros((), int), **dict.fromkeys(PARTS + self.reports, jnp.zeros(()))}

        def registered(*args: Any, **kwargs: Any) -> Any:
            mutable(STATE, dict(start))
            return model(*args, **kwargs)

        return registered, guide

    def read(
        self,
        rng_key: RngKey,
        params: Params,
        model: Callable,
        guide: Callable,
        *args: Any,
        **kwargs: Any,
    ) -> Terms:
        """Return the terms with a leading axis of particles (one, where no site is drawn)."""
        told = (params, model, guide, *args)
        closed_form = self.closed_form and self.estimator is None

        def one(key: RngKey, traces: Callable = trace_programs) -> Terms:
            options: dict[str, Any] = {"traces": traces, "look": self.look, **kwargs}
            return terms(key, *told, closed_form=closed_form, **options)

        if self.estimator is not None:
            return self.estimator.read(one, rng_key, self.num_particles, self.order)
        site = (
            find_discrete_site(rng_key, *told[:1], *told[2:], **kwargs)
            if self.can_infer_discrete
            else None
        )
        if site is None:
            return over_particles(one, rng_key, self.num_particles)

        def summed(key: RngKey) -> Terms:
            options = {"closed_form": closed_form, "look": self.look, **kwargs}
            return enumerate_site(key, site, *told, **options)

        return over_particles(summed, rng_key, 1 if site.alone else self.num_particles)

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
        found = self.read(rng_key, param_map, model, guide, *args, **kwargs)
        state, scale = found.state, found.plate_scale[0]
        step = state[STATE]["step"][0] if STATE in state else None
        bound = self.bound(found, step)
        loss = -(scale * bound.sum() + found.log_global.mean())
        state = jax.tree.map(_one_state, state)
        if step is not None:
            state[STATE] = _record(bound, found, step, self.parts(found, step))
        return {"loss": loss, "mutable_state": state or None}

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


def _one_state(value: jax.Array) -> jax.Array:
    """Reduce a running state over particles: their mean, or the first of a count."""
    return value.mean(0) if jnp.issubdtype(value.dtype, jnp.floating) else value[0]


def _record(
    bound: jax.Array, found: Terms, step: jax.Array, own: dict[str, jax.Array]
) -> dict[str, jax.Array]:
    values = (bound, found.log_likelihood, found.total_kl, found.scale_x, found.scale_z)
    parts = {**dict(zip(PARTS, values, strict=True)), **own}
    means = {name: value.mean() for name, value in parts.items()}
    return jax.lax.stop_gradient({"step": step + 1, **means})
