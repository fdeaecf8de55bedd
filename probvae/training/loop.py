"""The compiled parts of a training run: the start, one epoch, and the pass for training-set values."""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import SVI
from numpyro.infer.svi import SVIState

from probvae.compilation import compile_program
from probvae.evidence import Batch
from probvae.objectives.objective import STATE, AbstractObjective
from probvae.objectives.terms import terms
from probvae.tracing import has_shared_latents
from probvae.training.averaging import average_in
from probvae.training.initial_values import PASS_STATE
from probvae.training.parallel.devices import gather_rows, num_rows, replicate
from probvae.training.validation import Summary, summary
from probvae.typing import Params, RngKey

ONCE = {"xla_backend_optimization_level": 0}  # what runs once should compile fast: half the time


class Run(NamedTuple):
    """What a compiled program depends on beside shapes: hashable, and a static argument."""

    vae: Any
    objective: Any
    optimizer: Any
    observation: Any
    batch_size: int


def programs(run: Run, vae: Any) -> tuple[Any, Any]:
    """Return model and guide, with what the objective registers in them."""
    if isinstance(run.objective, AbstractObjective):
        return run.objective.programs(vae.model, vae.guide)
    return vae.model, vae.guide


@lru_cache(maxsize=32)
def engine(run: Run) -> SVI:
    """Return NumPyro's SVI for a run."""
    return SVI(*programs(run, run.vae), run.optimizer, run.objective)


def start(run: Run, rng_key: RngKey, batch: Batch, init_params: Params) -> SVIState:
    """Draw the weights and start the optimizer; running state is where its parts start it."""
    return _starter(jax.default_backend())(run, rng_key, batch, init_params)


@lru_cache
def _starter(backend: str) -> Any:
    options = ONCE if backend == "cpu" else None
    return compile_program(init_state, static_argnames=("run",), compiler_options=options)


def init_state(run: Run, rng_key: RngKey, batch: Batch, init_params: Params) -> SVIState:
    """Return what ``start`` does, not compiled."""
    svi = SVI(*programs(run, run.vae.eval()), run.optimizer, run.objective)
    state = svi.init(rng_key, *batch, init_params=dict(init_params))
    engine(run).constrain_fn = svi.constrain_fn
    return jax.tree.map(_strong, state)


def _strong(leaf: jax.Array) -> jax.Array:
    """Give a leaf the type that one read from a file has: one compiled program takes both."""
    weak = getattr(leaf, "weak_type", False)
    return jax.lax.convert_element_type(leaf, leaf.dtype) if weak else leaf


def observe_batch(run: Run, rng_key: RngKey, batch: Batch) -> Batch:
    """Return a batch as a training step sees it: what is drawn for a datum outside the programs."""
    batch = batch._replace(x=run.observation(rng_key, batch.x))
    if not isinstance(run.objective, AbstractObjective):
        return batch
    told = (jax.random.fold_in(rng_key, 1), batch.x, batch.context)
    return batch._replace(context=run.objective.draw_context(*told))


@partial(compile_program, static_argnames=("run", "guarded"))
def epoch(
    run: Run,
    state: SVIState,
    fresh: Params,
    train: Any,
    valid: Any,
    rng_key: RngKey,
    index: Any,
    guarded: bool = False,  # noqa: FBT001, FBT002  a static argument
) -> tuple[SVIState, dict[str, jax.Array], Summary | None]:
    """Take one epoch of steps, then look at all validation data.

    ``guarded`` leaves out the steps that are not finite, and tells in ``"kept"`` which are taken, and
    in ``"usable"`` after which the parameters are finite: it looks at every parameter at every step,
    and is for an epoch that is known to have such a step.

    Returns:
        the state, every step's loss and parts, the validation's summary.
    """
    n = num_rows(train)
    keys = _epoch_keys(rng_key, index)
    rows = _rows_of_steps(keys[0], n, run.batch_size)
    step = _step(run, keys[1], n, guarded=guarded)

    def numbered(state: SVIState, at: tuple) -> tuple[SVIState, dict]:
        after, seen = step(state, at[0], gather_rows(train, at[1]))
        return replicate(train, after), seen

    state = _reset_state(state, fresh, keys[2])
    state, history = jax.lax.scan(numbered, state, (jnp.arange(len(rows)), rows))
    if valid is None:
        return replicate(train, (state, history, None))
    values = parameters(run, state)
    seen = summary(run.vae.eval(), values, rng_key, valid, run.batch_size)
    return replicate(train, (state, history, seen))


def begin_epoch(state: SVIState, fresh: Params, rng_key: RngKey, index: int) -> SVIState:
    """Return the state that an epoch's first step is taken from."""
    return _reset_state(state, fresh, _epoch_keys(rng_key, index)[2])


@partial(compile_program, static_argnames=("run", "n", "guarded"))
def run_steps(
    run: Run, state: SVIState, batches: Batch, rng_key: RngKey, at: tuple, n: int, *, guarded: bool
) -> tuple[SVIState, dict[str, jax.Array]]:
    """Take the steps of an epoch that ``batches`` ``(steps, batch_size, ...)`` are for.

    ``at``: the epoch, and the number of the first step in it. The same steps as ``epoch`` takes.
    """
    index, first = at
    step = _step(run, _epoch_keys(rng_key, index)[1], n, guarded=guarded)
    numbered = (first + jnp.arange(len(batches.x)), batches)
    return jax.lax.scan(lambda s, each: step(s, *each), state, numbered)


def _step(run: Run, key: RngKey, n: int, *, guarded: bool) -> Any:
    """Return a function that takes one step: of a state, the step's number in the epoch, a batch."""
    svi = engine(run)
    told = {"num_data": n} if has_shared_latents(run.vae) else {}

    def step(state: SVIState, number: Any, batch: Batch) -> tuple[SVIState, dict]:
        batch = observe_batch(run, jax.random.fold_in(key, number), batch)
        after, loss = svi.update(state, *batch, **told)
        parts = (after.mutable_state or {}).get(STATE, {})
        seen = {"loss": loss, **{k: v for k, v in parts.items() if k != "step"}}
        if not guarded:
            return after, seen
        learned = _drop_unlearned(after.mutable_state)
        kept = all_finite((loss, after.optim_state, learned))
        seen["usable"] = all_finite((after.optim_state[1][0], learned))  # without the moments
        state = jax.lax.cond(kept, lambda: after, lambda: state._replace(rng_key=after.rng_key))
        return state, {**seen, "kept": kept}

    return step


def is_finite(state: SVIState, *, moments: bool = False) -> bool:
    """Tell whether parameters and running state are finite: of an epoch's last update no loss tells.

    NumPy looks, once an epoch: a program of its own would take longer to compile.

    Args:
        state: after an epoch.
        moments: whether to look at the optimizer's state, too.
    """
    _, (params, inner) = state.optim_state
    held = params, _drop_unlearned(state.mutable_state), inner if moments else ()
    return all(np.isfinite(leaf).all() for leaf in jax.device_get(_floats(held)))


def are_same(state: SVIState, other: SVIState) -> bool:
    """Tell whether two states have the same parameters, bit for bit."""
    pairs = zip(
        *(jax.tree.leaves(jax.device_get(s.optim_state[1][0])) for s in (state, other)), strict=True
    )
    return all(np.array_equal(a, b) for a, b in pairs)


def _drop_unlearned(state: Any) -> Any:
    """Leave out of running state what is only told: a scale that is not known is NaN."""
    return {name: held for name, held in (state or {}).items() if name != STATE}


def rows_of_steps(rng_key: RngKey, index: int, n: int, batch_size: int) -> jax.Array:
    """Return the rows of the data in each step of an epoch: ``(steps, batch_size)``."""
    return _rows_of_steps(_epoch_keys(rng_key, index)[0], n, batch_size)


def _epoch_keys(rng_key: RngKey, index: Any) -> jax.Array:
    return jax.random.split(jax.random.fold_in(rng_key, index), 3)


def _rows_of_steps(rng_key: RngKey, n: int, batch_size: int) -> jax.Array:
    steps = n // batch_size
    return _shuffle_rows(rng_key, n)[: steps * batch_size].reshape(steps, batch_size)


def all_finite(tree: Any) -> jax.Array:
    """Return whether every floating number of a tree is finite."""
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in _floats(tree)]).all()


def _floats(tree: Any) -> list[jax.Array]:
    return [a for a in jax.tree.leaves(tree) if jnp.issubdtype(a.dtype, jnp.floating)]


def _shuffle_rows(rng_key: RngKey, n: int) -> jax.Array:
    """Return the rows in a random order: one sort of random bits, which compiles in half the time.

    Two rows with the same bits (about n^2 / 2^33 pairs) keep their order.
    """
    return jnp.argsort(jax.random.bits(rng_key, (n,)))


def _reset_state(state: SVIState, fresh: Params, rng_key: RngKey) -> SVIState:
    return SVIState(state.optim_state, _reset_running_state(state.mutable_state, fresh), rng_key)


def _reset_running_state(state: Any, fresh: Params) -> Any:
    return (
        state if state is None or PASS_STATE not in state else {**state, PASS_STATE: fresh[PASS_STATE]}
    )


def parameters(run: Run, state: SVIState) -> dict[str, Any]:
    """Return the VAE's parameters and running state by site, as its programs take them.

    What the objective owns (its state, a discriminator) is left out. Where an average of the
    parameters is kept, they are that.
    """
    svi, average = engine(run), average_in(state.optim_state)
    params = svi.get_params(state) if average is None else svi.constrain_fn(average)
    values = {**params, **(state.mutable_state or {})}
    return {name: value for name, value in values.items() if not name.startswith("objective$")}


@partial(compile_program, static_argnames=("run",))
def evaluate_all(run: Run, params: Params, fresh: Params, train: Any, rng_key: RngKey) -> Any:
    """Return the likelihood's running state after one pass over the whole training set.

    The optimal scale needs it: no parameter moves, so it is exact for the final ones.
    """
    n = num_rows(train)
    whole = n - n % run.batch_size
    rows = jnp.arange(whole).reshape(-1, run.batch_size)
    gather = _gather(run, params, rng_key)

    def gathered(held: Any, row: jax.Array) -> tuple[Any, None]:
        return gather(held, row[0], gather_rows(train, row)), None

    held, _ = jax.lax.scan(gathered, fresh[PASS_STATE], rows)
    held = gathered(held, jnp.arange(whole, n))[0] if whole < n else held
    return replicate(train, held)


@partial(compile_program, static_argnames=("run",))
def evaluate_rows(run: Run, params: Params, held: Any, firsts: Any, batches: Batch, key: RngKey) -> Any:
    """Gather from some of the batches of ``whole_pass``; ``firsts`` are the rows that they begin at."""
    gather = _gather(run, params, key)
    return jax.lax.scan(lambda s, at: (gather(s, *at), None), held, (firsts, batches))[0]


def _gather(run: Run, params: Params, rng_key: RngKey) -> Any:
    def gather(held: Any, first: Any, batch: Batch) -> Any:
        keys = jax.random.split(jax.random.fold_in(rng_key, first))
        values = {**params, PASS_STATE: held}
        batch = observe_batch(run, keys[0], batch)
        read = terms(keys[1], values, run.vae.model, run.vae.guide, *batch)
        return read.state[PASS_STATE]

    return gather
