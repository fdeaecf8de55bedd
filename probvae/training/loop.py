"""The compiled programs of training: initialisation, one epoch, the pass for training-set values."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpyro.infer import SVI
from numpyro.infer.svi import SVIState

from probvae.compilation import compile_program, hold_trace_lock
from probvae.evidence import Batch
from probvae.objectives.objective import STATE, AbstractObjective
from probvae.objectives.terms import terms
from probvae.tracing import has_shared_latents
from probvae.training.averaging import average_in
from probvae.training.hidden_cells import with_hidden_cells
from probvae.training.initial_values import PASS_STATE
from probvae.training.parallel.devices import DeviceBatch, constrain_replicated, gather_rows, num_rows
from probvae.training.validation import ValidationSummary, summarize
from probvae.typing import ArrayLike, Metrics, Objective, Observation, Params, Program, PyTree, RngKey
from probvae.vae import VAE

FAST_COMPILE = {"xla_backend_optimization_level": 0}  # for a program that runs once: half the time


Step: TypeAlias = Callable[[SVIState, ArrayLike, Batch], tuple[SVIState, Metrics]]


class Run(NamedTuple):
    """The static argument of every compiled program here: hashable, and with no arrays."""

    vae: VAE
    objective: Objective
    optimizer: optax.GradientTransformation
    observation: Observation
    batch_size: int


def build_programs(run: Run, vae: VAE) -> tuple[Program, Program]:
    """Return model and guide, with the parameters and state that the objective adds to them."""
    if isinstance(run.objective, AbstractObjective):
        return run.objective.programs(vae.model, vae.guide)
    return vae.model, vae.guide


@lru_cache(maxsize=32)
def build_svi(run: Run) -> SVI:
    """Return NumPyro's SVI for a run."""
    objective = with_hidden_cells(run.objective, run.vae.encoder)
    return SVI(*build_programs(run, run.vae), run.optimizer, objective)


def initialize(run: Run, rng_key: RngKey, batch: Batch, init_params: Params) -> SVIState:
    """Draw the weights, and start the optimizer and the running state."""
    state = _compile_init_state(jax.default_backend())(run, rng_key, batch, init_params)
    if build_svi(run).constrain_fn is None:
        # A compiled program of an equal run was reused, so `init_state` did not run in Python, and the
        # SVI that it completed has left the cache. An abstract trace completes the new one.
        with hold_trace_lock():
            jax.eval_shape(partial(init_state, run), rng_key, batch, init_params)
    return state


@lru_cache
def _compile_init_state(backend: str) -> Callable[..., SVIState]:
    options = FAST_COMPILE if backend == "cpu" else None
    return compile_program(init_state, static_argnames=("run",), compiler_options=options)


def init_state(run: Run, rng_key: RngKey, batch: Batch, init_params: Params) -> SVIState:
    """Do the same as ``initialize``, without compilation."""
    svi = SVI(*build_programs(run, run.vae.eval()), run.optimizer, run.objective)
    state = svi.init(rng_key, *batch, init_params=dict(init_params))
    build_svi(run).constrain_fn = svi.constrain_fn
    return jax.tree.map(_strengthen_type, state)


def _strengthen_type(leaf: jax.Array) -> jax.Array:
    """Give a leaf the type that it has after a checkpoint, so that both use one compiled program."""
    weak = getattr(leaf, "weak_type", False)
    return jax.lax.convert_element_type(leaf, leaf.dtype) if weak else leaf


def observe_batch(run: Run, rng_key: RngKey, batch: Batch) -> Batch:
    """Return a batch as a training step uses it, with all draws that happen outside the programs."""
    batch = batch._replace(x=run.observation(rng_key, batch.x))
    if not isinstance(run.objective, AbstractObjective):
        return batch
    key = jax.random.fold_in(rng_key, 1)
    return batch._replace(context=run.objective.draw_context(key, batch.x, batch.context))


@partial(compile_program, static_argnames=("run", "guarded"))
def run_epoch(
    run: Run,
    state: SVIState,
    fresh: Params,
    train: DeviceBatch,
    valid: DeviceBatch | None,
    rng_key: RngKey,
    index: ArrayLike | int,
    guarded: bool = False,  # noqa: FBT001, FBT002  a static argument
) -> tuple[SVIState, Metrics, ValidationSummary | None]:
    """Run the steps of one epoch, then summarise all validation data.

    ``guarded`` skips the steps that are not finite. The series ``"kept"`` says which steps were not
    skipped, and ``"usable"`` after which steps the parameters are finite. It reads every parameter at
    every step, so use it only for an epoch that is known to have such a step.

    Returns:
        the state, every step's loss and parts, the validation summary.
    """
    n = num_rows(train)
    keys = _split_epoch_key(rng_key, index)  # for the shuffle, the observations, SVI
    rows = _draw_rows(keys[0], n, run.batch_size)  # (steps, batch)
    step = _make_step(run, keys[1], n, guarded=guarded)

    def gather_and_step(state: SVIState, numbered: tuple) -> tuple[SVIState, Metrics]:
        number, row = numbered
        after, terms_of_step = step(state, number, gather_rows(train, row))
        return constrain_replicated(train, after), terms_of_step

    state = _reset_state(state, fresh, keys[2])
    state, history = jax.lax.scan(gather_and_step, state, (jnp.arange(len(rows)), rows))
    if valid is None:
        return constrain_replicated(train, (state, history, None))
    values = extract_values(run, state)
    summary = summarize(run.vae.eval(), values, rng_key, valid, run.batch_size)
    return constrain_replicated(train, (state, history, summary))


def begin_epoch(state: SVIState, fresh: Params, rng_key: RngKey, index: int) -> SVIState:
    """Return the state before an epoch's first step."""
    return _reset_state(state, fresh, _split_epoch_key(rng_key, index)[2])


@partial(compile_program, static_argnames=("run", "n", "guarded"))
def run_steps(
    run: Run,
    state: SVIState,
    batches: Batch,
    rng_key: RngKey,
    position: tuple[ArrayLike | int, ArrayLike | int],
    n: int,
    *,
    guarded: bool,
) -> tuple[SVIState, Metrics]:
    """Run some of the steps of ``run_epoch``, on batches ``(steps, batch_size, ...)``.

    ``position`` has the epoch, and the number of the first step within it.
    """
    index, first = position
    step = _make_step(run, _split_epoch_key(rng_key, index)[1], n, guarded=guarded)
    numbered = (first + jnp.arange(len(batches.x)), batches)
    return jax.lax.scan(lambda state, each: step(state, *each), state, numbered)


def _make_step(run: Run, key: RngKey, n: int, *, guarded: bool) -> Step:
    """Return the function of one step: of a state, the step's number in the epoch, a batch."""
    svi = build_svi(run)
    # Weights with a posterior have one KL for all data, so the plate scales up the terms of a batch.
    data_size = {"num_data": n} if has_shared_latents(run.vae) else {}

    def step(state: SVIState, number: ArrayLike, batch: Batch) -> tuple[SVIState, Metrics]:
        # There are two streams of keys. The observation's key depends on the step's number alone, so
        # chunks of streamed data draw the same noise. SVI's own key is in its state, and every update
        # splits it.
        batch = observe_batch(run, jax.random.fold_in(key, number), batch)
        # The state also holds running state, such as batch statistics: the programs read it, and return
        # it as auxiliary output of the loss, with no gradient. The objective's entry in it reports the
        # terms of the loss, which are read here and never fed back as parameters.
        after, loss = svi.update(state, *batch, **data_size)
        reported = (after.mutable_state or {}).get(STATE, {})
        terms_of_step = {"loss": loss, **{k: v for k, v in reported.items() if k != "step"}}
        if not guarded:
            return after, terms_of_step
        running = _without_reports(after.mutable_state)
        is_finite = all_finite((loss, after.optim_state, running))
        terms_of_step["usable"] = all_finite((after.optim_state[1][0], running))  # moments excluded
        # A skipped step still consumes its key, so the later steps draw the same with and without it.
        state = jax.lax.cond(is_finite, lambda: after, lambda: state._replace(rng_key=after.rng_key))
        return state, {**terms_of_step, "kept": is_finite}

    return step


def is_state_finite(state: SVIState, *, moments: bool = False) -> bool:
    """Return whether parameters and running state are finite. The last update of an epoch needs it.

    No loss follows that update within the epoch. NumPy checks, once an epoch, because a compiled
    program would take longer to compile than it saves.

    Args:
        state: after an epoch.
        moments: whether to check the optimizer's state, too.
    """
    _, (params, inner) = state.optim_state
    tree = params, _without_reports(state.mutable_state), inner if moments else ()
    return all(np.isfinite(leaf).all() for leaf in jax.device_get(_float_leaves(tree)))


def have_same_params(state: SVIState, other: SVIState) -> bool:
    """Return whether two states have the same parameters, bit for bit."""
    leaves = (jax.tree.leaves(jax.device_get(each.optim_state[1][0])) for each in (state, other))
    return all(np.array_equal(a, b) for a, b in zip(*leaves, strict=True))


def _without_reports(state: Params | None) -> dict[str, Any]:
    """Return running state without the objective's reports, where an unknown scale is NaN."""
    return {name: value for name, value in (state or {}).items() if name != STATE}


def draw_step_rows(rng_key: RngKey, index: int, n: int, batch_size: int) -> jax.Array:
    """Return the rows of the data in each step of an epoch: ``(steps, batch_size)``."""
    return _draw_rows(_split_epoch_key(rng_key, index)[0], n, batch_size)


def _split_epoch_key(rng_key: RngKey, index: ArrayLike | int) -> jax.Array:
    return jax.random.split(jax.random.fold_in(rng_key, index), 3)


def _draw_rows(rng_key: RngKey, n: int, batch_size: int) -> jax.Array:
    """Return a random order of the rows, in batches, without the last partial batch.

    Sorting random bits compiles in half the time of ``jax.random.permutation``. Two rows with the same
    bits (about n^2 / 2^33 pairs) keep their order.
    """
    steps = n // batch_size
    order = jnp.argsort(jax.random.bits(rng_key, (n,)))
    return order[: steps * batch_size].reshape(steps, batch_size)


def all_finite(tree: PyTree) -> jax.Array:
    """Return whether every floating-point number of a tree is finite."""
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in _float_leaves(tree)]).all()


def _float_leaves(tree: PyTree) -> list[jax.Array]:
    return [a for a in jax.tree.leaves(tree) if jnp.issubdtype(a.dtype, jnp.floating)]


def _reset_state(state: SVIState, fresh: Params, rng_key: RngKey) -> SVIState:
    """Return a state with an epoch's key. A training-set value starts again in every epoch."""
    running = state.mutable_state
    if running is not None and PASS_STATE in running:
        running = {**running, PASS_STATE: fresh[PASS_STATE]}
    return SVIState(state.optim_state, running, rng_key)


def extract_values(run: Run, state: SVIState) -> dict[str, Any]:
    """Return the VAE's parameters and running state by site, constrained, for its programs.

    The objective's own values (its state, a discriminator) are not included. If the optimizer keeps an
    average of the parameters, the average is returned.
    """
    svi, average = build_svi(run), average_in(state.optim_state)
    params = svi.get_params(state) if average is None else svi.constrain_fn(average)
    values = {**params, **(state.mutable_state or {})}
    return {name: value for name, value in values.items() if not name.startswith("objective$")}


@partial(compile_program, static_argnames=("run",))
def run_state_pass(
    run: Run, params: Params, fresh: Params, train: DeviceBatch, rng_key: RngKey
) -> PyTree:
    """Return the likelihood's running state after one pass over the whole training set.

    The optimal scale needs it. No parameter changes in this pass, so the scale is exact for the final
    parameters.
    """
    n = num_rows(train)
    num_full = n - n % run.batch_size
    rows = jnp.arange(num_full).reshape(-1, run.batch_size)
    accumulate = _make_accumulate(run, params, rng_key)

    def step(state: PyTree, row: jax.Array) -> tuple[PyTree, None]:
        return accumulate(state, row[0], gather_rows(train, row)), None

    state, _ = jax.lax.scan(step, fresh[PASS_STATE], rows)
    state = step(state, jnp.arange(num_full, n))[0] if num_full < n else state
    return constrain_replicated(train, state)


@partial(compile_program, static_argnames=("run",))
def continue_state_pass(
    run: Run, params: Params, state: PyTree, firsts: ArrayLike, batches: Batch, key: RngKey
) -> PyTree:
    """Run ``run_state_pass`` on some of its batches. ``firsts`` has the first row of each."""
    accumulate = _make_accumulate(run, params, key)
    return jax.lax.scan(lambda s, each: (accumulate(s, *each), None), state, (firsts, batches))[0]


def _make_accumulate(
    run: Run, params: Params, rng_key: RngKey
) -> Callable[[PyTree, ArrayLike, Batch], PyTree]:
    def accumulate(state: PyTree, first: ArrayLike, batch: Batch) -> PyTree:
        keys = jax.random.split(jax.random.fold_in(rng_key, first))
        values = {**params, PASS_STATE: state}
        batch = observe_batch(run, keys[0], batch)
        read = terms(keys[1], values, run.vae.model, run.vae.guide, *batch)
        return read.state[PASS_STATE]

    return accumulate
