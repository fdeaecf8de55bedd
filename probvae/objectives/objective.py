"""The base class of objectives: particles, scaling, sums, schedules and the record of parts."""

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
from probvae.typing import ArrayLike, Params, Program, RngKey, Schedule, Shape

STATE = "objective$state"
PARTS = ("bound", "log_likelihood", "kl", "scale_x", "scale_z")


class AbstractObjective(Checked, NumPyroELBO):
    """A map from terms to a bound per datum. ``loss`` is minus its scaled sum, as in NumPyro.

    A subclass is a frozen dataclass with ``num_particles`` and a method ``bound``. These class
    attributes describe it:

    - ``can_infer_discrete``: the bound is a function of the expectations of the terms. Exact sums over
      a discrete code may then replace draws.
    - ``accepts_all_parts``: its terms exist for every prior and guide. If not, ``look`` or ``bound``
      raise while they are traced, and ``fit`` checks this before it starts.
    - ``accepts_point_guides``: it has a meaning if q(z|x) is a point, with -log p(z) as the KL.
    - ``scheduled``: the fields that are weights. Before a fit, ``fit`` checks them at every step
      against ``min_weight``.
    - ``reports``: the names of its own parts, in addition to ``PARTS``.
    - ``query_setting``: describes what ``query_context`` adds, such as "beta = 1".
    - ``min_batch_size``: the number of data that it compares with each other.

    The step (for schedules) and the recorded parts live at the mutable site ``"objective$state"``,
    which ``programs`` adds to the model. ``fit`` calls ``programs`` for you.
    """

    can_infer_discrete: ClassVar[bool] = False
    accepts_all_parts: ClassVar[bool] = False
    accepts_point_guides: ClassVar[bool] = False
    reports: ClassVar[tuple[str, ...]] = ()
    scheduled: ClassVar[tuple[str, ...]] = ()
    query_setting: ClassVar[str] = ""
    min_batch_size: ClassVar[int] = 1
    num_particles: int
    closed_form: bool
    order: float = 1.0  # of the mean over particles (Renyi's alpha): 1 is of log w, 0 of w
    estimator: Any = None  # of the gradient: STL() or DReG(), or None for automatic differentiation

    @abc.abstractmethod
    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        """Return the bound ``(batch,)`` from terms with a leading axis of particles."""

    def parts(self, read: Terms, step: jax.Array | None) -> dict[str, jax.Array]:
        """Return the quantities named in ``reports``, of any shape. Their means are recorded."""
        return {}

    def look(self, guide_trace: dict, model_trace: dict, rng_key: RngKey) -> Any:
        """Return what else the bound needs of the traces, as ``read.extra``. Raise if it is missing."""
        return None

    def min_weight(self, name: str) -> float:
        """Return the smallest value that a weight may have, at any step."""
        return 0.0

    def ends_as_evidence(self, num_steps: int) -> bool:
        """Return whether the last of ``num_steps`` steps maximises a bound on log p(x).

        If so, ``fit`` returns the epoch with the best validation ELBO unless you ask for the last.
        """
        return False

    def last_weight(self, value: float | Schedule, num_steps: int) -> float:
        """Return a weight at the last of ``num_steps`` steps."""
        return float(value(num_steps - 1) if callable(value) else value)

    def data_context_shape(self, context_shape: Shape) -> Shape:
        """Return the shape of the training data's context, given the VAE's."""
        return context_shape

    def draw_context(
        self, rng_key: RngKey, x: ArrayLike, context: ArrayLike | None
    ) -> ArrayLike | None:
        """Return the context of both programs at a training step, given the data's."""
        return context

    def query_context(self, context: ArrayLike | None, rows: int) -> ArrayLike | None:
        """Return the context for queries of a fitted VAE on ``rows`` data, given the data's."""
        return context

    def programs(self, model: Program, guide: Program) -> tuple[Program, Program]:
        """Return the programs with this objective's own sites registered in them."""
        start = {"step": jnp.zeros((), int), **dict.fromkeys(PARTS + self.reports, jnp.zeros(()))}

        def model_with_state(*args: Any, **kwargs: Any) -> Any:
            mutable(STATE, dict(start))
            return model(*args, **kwargs)

        return model_with_state, guide

    def read(
        self,
        rng_key: RngKey,
        params: Params,
        model: Program,
        guide: Program,
        *args: Any,
        **kwargs: Any,
    ) -> Terms:
        """Return the terms with a leading axis of particles (of length 1 if no site is drawn)."""
        programs = (params, model, guide, *args)
        closed_form = self.closed_form and self.estimator is None

        def read_particle(key: RngKey, traces: Callable = trace_programs) -> Terms:
            options: dict[str, Any] = {"traces": traces, "look": self.look, **kwargs}
            return terms(key, *programs, closed_form=closed_form, **options)

        if self.estimator is not None:
            return self.estimator.read(read_particle, rng_key, self.num_particles, self.order)
        site = None
        if self.can_infer_discrete:
            site = find_discrete_site(rng_key, params, guide, *args, **kwargs)
        if site is None:
            return over_particles(read_particle, rng_key, self.num_particles)

        def sum_states(key: RngKey) -> Terms:
            options = {"closed_form": closed_form, "look": self.look, **kwargs}
            return enumerate_site(key, site, *programs, **options)

        return over_particles(sum_states, rng_key, 1 if site.alone else self.num_particles)

    def loss_with_mutable_state(
        self,
        rng_key: RngKey,
        param_map: Params,
        model: Program,
        guide: Program,
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return ``{"loss": ..., "mutable_state": ...}``, as ``numpyro.infer.SVI`` expects."""
        read = self.read(rng_key, param_map, model, guide, *args, **kwargs)
        state, scale = read.state, read.plate_scale[0]
        step = state[STATE]["step"][0] if STATE in state else None
        bound = self.bound(read, step)
        loss = -(scale * bound.sum() + read.log_global.mean())
        state = jax.tree.map(_reduce_particles, state)
        if step is not None:
            state[STATE] = _record(bound, read, step, self.parts(read, step))
        return {"loss": loss, "mutable_state": state or None}

    def weight(self, value: float | Schedule, step: jax.Array | None) -> Any:
        """Return a weight at this step: the number itself, or a schedule's value.

        Raises:
            ValueError: for a schedule without the step, which ``programs`` registers.
        """
        if not callable(value):
            return value
        if step is None:
            raise ValueError(
                f"{type(self).__name__} expects the step for its schedule; got programs without it. "
                "Pass `*objective.programs(vae.model, vae.guide)` to SVI (`fit` does this for you)."
            )
        return value(step)


def _reduce_particles(value: jax.Array) -> jax.Array:
    """Reduce a running state over particles: the mean, or the first of an integer count."""
    return value.mean(0) if jnp.issubdtype(value.dtype, jnp.floating) else value[0]


def _record(
    bound: jax.Array, read: Terms, step: jax.Array, own_parts: dict[str, jax.Array]
) -> dict[str, jax.Array]:
    values = (bound, read.log_likelihood, read.total_kl, read.scale_x, read.scale_z)
    parts = {**dict(zip(PARTS, values, strict=True)), **own_parts}
    means = {name: value.mean() for name, value in parts.items()}
    return jax.lax.stop_gradient({"step": step + 1, **means})
