"""sweep: many trainings of one VAE, over keys, weights and learning rates, by one compiled program."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import optax

from probvae.checks import check_key, check_kind, check_positive_integer
from probvae.data.streamed import StreamedData
from probvae.evidence import explain_no_density
from probvae.fitted.fitted import Fitted
from probvae.fitted.sweep import Sweep
from probvae.objectives import ELBO, AbstractObjective
from probvae.objectives.swept_weights import with_swept
from probvae.progress import bar as shown_as
from probvae.training.early_stopping import EarlyStopping, keeps_best
from probvae.training.fit import ADAM, prepare_run
from probvae.training.interrupts import note_signals
from probvae.training.sweeps.vmapped import make_member, stack_members, train_group
from probvae.typing import Params
from probvae.vae import VAE


def sweep(
    vae: VAE,
    train: Any,
    *,
    rng_keys: Any,
    validation: Any,
    over: Mapping[str, Sequence[float]] | None = None,
    observation: Any = None,
    objective: Any = None,
    optimizer: optax.GradientTransformation | None = None,
    epochs: int = 100,
    batch_size: int = 128,
    init_params: Params | None = None,
    early_stopping: EarlyStopping | None = None,
    keep_best: bool | None = None,
    at_once: int | None = None,
    progress: bool = True,
) -> Sweep:
    """Train a VAE once for each key and each combination of numbers, by one compiled program.

        found = sweep(vae, data.train, validation=data.valid, rng_keys=jax.random.split(key, 3),
                      over={"beta": (0.5, 1.0, 2.0), "learning_rate": (1e-3, 3e-3)},
                      optimizer=optax.inject_hyperparams(optax.adam)(1e-3))
        found.table()                       # an xarray.Dataset over key, beta and learning_rate
        found.best()                        # the Fitted with the highest validation ELBO

    Each training is that of ``fit`` with the same key and numbers, to rounding, with an end and a best
    epoch of its own. One that is over goes on in vain until all that run with it are. One whose loss
    stops being finite is over, with the values of its best finite epoch (none: those it started
    from); ``Fitted.history`` ends before. An interrupt (Ctrl-C) ends all that run after the epoch, and
    those that wait after their first.

    Args:
        vae: what to train.
        train: data, as in ``fit``.
        rng_keys: typed keys, one for each repetition.
        validation: looked at after every epoch.
        over: by name, the values of weights of the objective (``"beta"``; what takes a schedule) and
            of numbers of the optimizer that ``optax.inject_hyperparams`` holds (``"learning_rate"``).
        observation: as in ``fit``.
        objective: as in ``fit``; one of this package's where a weight is swept.
        optimizer: as in ``fit``.
        epochs: passes through the training data, for each training.
        batch_size: data per step and training.
        init_params: values that all start from, as in ``fit``.
        early_stopping: of each training.
        keep_best: as in ``fit``, by each training's own weights: of ``over={"beta": (1.0, 4.0)}`` the
            first keeps its best epoch, and the second its last.
        at_once: how many run side by side in the program, the others after them; by default all, but
            1 on a CPU, where a few VAEs side by side take as long as one after the other, and more
            memory.
        progress: show a bar, of all groups' epochs.

    Returns:
        the fitted VAEs, by key and number.

    Raises:
        TypeError, ValueError: as ``fit``; for a name that is neither a weight nor a number of the
            optimizer, or for no values.
    """
    check_kind("over", over, Mapping | None)
    swept = {name: _values(name, values) for name, values in (over or {}).items()}
    objective = ELBO() if objective is None else objective
    optimizer = ADAM if optimizer is None else optimizer
    if not isinstance(rng_keys, Iterable):
        raise TypeError(f"rng_keys expects typed keys, jax.random.split(key, 3); got {rng_keys!r}.")
    keys = list(rng_keys)
    _check(keys, swept, validation)
    weights, hyperparams = _split_by_kind(swept, objective, optimizer)
    ready = prepare_run(
        vae,
        train,
        rng_key=keys[0],
        validation=validation,
        observation=observation,
        objective=with_swept(objective, weights) if weights else objective,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        init_params=init_params,
        early_stopping=early_stopping,
        keep_best=keep_best,
        progress=progress,
    )
    _check_resident(ready.data)
    members = [
        (key, dict(zip(swept, values, strict=True)))
        for key in keys
        for values in product(*swept.values())
    ]
    num_steps, bounded = epochs * (len(ready.data[0].x) // batch_size), explain_no_density(vae) is None

    def keeps(numbers: dict[str, float]) -> bool:
        own = replace(objective, **{name: numbers[name] for name in weights}) if weights else objective
        asked: dict[str, Any] = {"early": early_stopping, "keep_best": keep_best}
        return bounded and keeps_best(vae, own, num_steps, **asked)

    told = [
        make_member(key, numbers, weights, hyperparams, keep_best=keeps(numbers))
        for key, numbers in members
    ]
    width = _width(at_once, len(told))
    with note_signals(terminate=False) as asked:
        options = {"epochs": epochs, "early": early_stopping, "asked": asked}
        found = _in_groups(ready, told, width, options, progress=progress)
    return Sweep(swept, len(keys), tuple(found), interrupted=asked.by is not None)


def _in_groups(
    ready: Any, told: list, width: int, options: dict[str, Any], *, progress: bool
) -> list[Fitted]:
    """Train what is told of each member, so many at once; the last group is filled up."""
    data, found = jax.device_put(ready.data), []
    groups = [told[at : at + width] for at in range(0, len(told), width)]
    with shown_as(total=len(groups) * options["epochs"], unit="epoch", disable=not progress) as bar:
        for group in groups:
            padded = stack_members(
                [*group, *[group[0]] * (width - len(group))]
            )  # of one shape: one program
            trained = train_group(ready.run, padded, ready.start, data, **options, bar=bar)
            found += [replace(one, data=ready.description) for one in trained[: len(group)]]
    return found


def _values(name: str, values: Any) -> tuple:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"over: {name!r} expects finite numbers, one or more; got {values!r}.")
    return tuple(values)


def _width(at_once: Any, members: int) -> int:
    if at_once is not None:
        check_positive_integer("at_once", at_once)
        return min(int(at_once), members)
    return 1 if jax.default_backend() == "cpu" else members


def sweepable(objective: Any, optimizer: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what can be swept: weights of the objective, and numbers that the optimizer holds."""
    fields = objective.scheduled if isinstance(objective, AbstractObjective) else ()
    return fields, _hyperparams(optimizer)


def _split_by_kind(over: Mapping, objective: Any, optimizer: Any) -> tuple[dict, dict]:
    """Return what is swept, of the objective and of the optimizer."""
    fields, held = sweepable(objective, optimizer)
    for name in over:
        if (name in fields) == (name in held):
            what = "both" if name in fields else "neither"
            raise ValueError(
                f"over: {name!r} is {what} a weight of {type(objective).__name__} ({_list_values(fields)}) "
                f"{'and' if name in fields else 'nor'} a number that the optimizer holds "
                f"({_list_values(held)}). To sweep a number of an optimizer: "
                "optimizer=optax.inject_hyperparams(optax.adam)(1e-3)."
            )
    return {k: v for k, v in over.items() if k in fields}, {k: v for k, v in over.items() if k in held}


def _hyperparams(optimizer: Any) -> tuple[str, ...]:
    state = optimizer.init({"": jnp.zeros(())}) if hasattr(optimizer, "init") else ()
    found: set[str] = set()
    is_one = lambda leaf: hasattr(leaf, "hyperparams")  # noqa: E731
    for leaf in jax.tree.leaves(state, is_leaf=is_one):
        found |= set(leaf.hyperparams) if is_one(leaf) else set()
    return tuple(sorted(found))


def _check_resident(data: tuple) -> None:
    if any(isinstance(batch.x, StreamedData) for batch in data if batch is not None):
        raise ValueError(
            "sweep keeps its data on the device, for all trainings, and these are streamed. Give "
            "arrays, np.asarray(train), or fewer data; or call fit for each training."
        )


def _list_values(names: Sequence[str]) -> str:
    return ", ".join(names) or "it has none"


def _check(keys: list, over: Mapping[str, tuple], validation: Any) -> None:
    if not keys:
        raise ValueError("rng_keys expects one typed key or more, jax.random.split(key, 3); got none.")
    for key in keys:
        check_key(key)
    for name, values in over.items():
        if not values or not all(isinstance(v, Real) and math.isfinite(v) for v in values):
            raise ValueError(f"over: {name!r} expects finite numbers, one or more; got {values!r}.")
        if len(set(values)) < len(values):
            raise ValueError(f"over: {name!r} has a number twice: {values!r}. Name each once.")
    if validation is None:
        raise ValueError(
            "sweep compares trainings by validation data, and there are none. Give some, "
            "sweep(..., validation=data.valid)."
        )
