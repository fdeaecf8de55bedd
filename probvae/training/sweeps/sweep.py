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

from probvae import data as sources
from probvae.checks import check_key, check_kind, check_positive_integer
from probvae.evidence import explain_no_density
from probvae.faq import cite
from probvae.fitted.fitted import Fitted
from probvae.fitted.sweep import Sweep
from probvae.objectives import ELBO, AbstractObjective
from probvae.objectives.swept_weights import with_swept
from probvae.progress import progress_bar
from probvae.training.early_stopping import EarlyStopping, resolve_keep_best
from probvae.training.interrupts import StopRequest, record_signals
from probvae.training.preparation import ADAM, FitConfig, PreparedRun, prepare_run
from probvae.training.sweeps.vmapped import Member, make_member, stack_members, train_group
from probvae.typing import DataLike, Objective, Observation, Params, RngKey
from probvae.vae import VAE


def sweep(
    vae: VAE,
    train: DataLike,
    *,
    rng_keys: Iterable[RngKey],
    validation: DataLike,
    over: Mapping[str, Sequence[float]] | None = None,
    observation: Observation | None = None,
    objective: Objective | None = None,
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

        results = sweep(vae, data.train, validation=data.valid, rng_keys=jax.random.split(key, 3),
                        over={"beta": (0.5, 1.0, 2.0), "learning_rate": (1e-3, 3e-3)},
                        optimizer=optax.inject_hyperparams(optax.adam)(1e-3))
        results.table()                     # an xarray.Dataset over key, beta and learning_rate
        results.best()                      # the Fitted with the highest validation ELBO

    Each training equals, up to rounding, that of ``fit`` with the same key and numbers. It has its own
    end and its own best epoch. A finished training keeps computing, and its result is discarded, until
    all in its group have finished. A training ends if its loss stops being finite. It then keeps the
    values of its best finite epoch, or its initial values, and ``Fitted.history`` ends before the bad
    epoch. An interrupt (Ctrl-C) ends all running trainings after the epoch, and each later group after
    its first epoch.

    **Main arguments**

    Args:
        vae: the VAE to train.
        train: data, as in ``fit``.
        rng_keys: typed keys, one for each repetition.
        validation: evaluated after every epoch.
        over: values by name. A name is a weight of the objective that accepts a schedule (``"beta"``),
            or a number in the optimizer's ``optax.inject_hyperparams`` (``"learning_rate"``).
        observation: as in ``fit``.
        objective: as in ``fit``. To sweep a weight, use an objective of this package.
        optimizer: as in ``fit``.
        epochs: passes through the training data, for each training.
        batch_size: data per step and training.

    **Further arguments**

    Args:
        init_params: initial values of all trainings, as in ``fit``.
        early_stopping: of each training.
        keep_best: as in ``fit``, by each training's own weights. Of ``over={"beta": (1.0, 4.0)}``, the
            first training returns its best epoch, the second its last.
        at_once: the number of trainings in a group. The groups follow each other. The default is all,
            but 1 on a CPU, where a group takes as long as one training after the other, and more
            memory.
        progress: show a bar over all groups' epochs.

    Returns:
        the fitted VAEs, by key and number.

    Raises:
        TypeError, ValueError: as ``fit``. Also for a name that is neither a weight nor a number of the
            optimizer, and for no values.

    Examples:
        >>> import jax, numpy as np
        >>> from probvae import VAE, likelihoods, sweep
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> vae = VAE(event_shape=(3,), latent_dim=2, likelihood=likelihoods.Gaussian())
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> options = {"rng_keys": keys, "over": {"beta": (0.5, 1.0)}, "epochs": 2, "progress": False}
        >>> trained = sweep(vae, x[:150], validation=x[150:], **options)
        >>> dict(trained.table().sizes)["beta"]
        2
    """
    check_kind("over", over, Mapping | None)
    swept = {name: _list_values(name, values) for name, values in (over or {}).items()}
    objective = ELBO() if objective is None else objective
    optimizer = ADAM if optimizer is None else optimizer
    keys = check_keys(rng_keys)
    if validation is None:
        raise ValueError(
            "sweep compares trainings by validation data. Pass sweep(..., validation=data.valid). "
            f"{cite('validation-missing')}"
        )
    weights, hyperparams = _split_by_kind(swept, objective, optimizer)
    config = FitConfig(
        vae=vae,
        rng_key=keys[0],
        observation=sources.Cast() if observation is None else observation,
        objective=with_swept(objective, weights) if weights else objective,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        init_params=init_params,
        early_stopping=early_stopping,
        keep_best=keep_best,
        progress=progress,
    )
    prepared = prepare_run(config, train, validation)
    _check_resident(prepared)
    has_elbo = explain_no_density(vae) is None

    def resolve_own_keep_best(numbers: dict[str, float]) -> bool:
        own = replace(objective, **{name: numbers[name] for name in weights}) if weights else objective
        choice: dict[str, Any] = {"early": early_stopping, "keep_best": keep_best}
        return has_elbo and resolve_keep_best(prepared.run.vae, own, prepared.num_steps, **choice)

    members = [
        make_member(key, numbers, weights, hyperparams, keep_best=resolve_own_keep_best(numbers))
        for key in keys
        for numbers in (dict(zip(swept, values, strict=True)) for values in product(*swept.values()))
    ]
    with record_signals(terminate=False) as stop:
        fitted = _train_in_groups(prepared, members, _choose_width(at_once, len(members)), stop)
    return Sweep(swept, len(keys), tuple(fitted), interrupted=stop.signal is not None)


def _train_in_groups(
    prepared: PreparedRun, members: list[Member], width: int, stop: StopRequest
) -> list[Fitted]:
    """Train ``width`` members at once. The last group repeats its first member, for the same shape."""
    data, fitted = jax.device_put((prepared.train, prepared.validation)), []
    groups = [members[start : start + width] for start in range(0, len(members), width)]
    total = len(groups) * prepared.config.epochs
    with progress_bar(total=total, unit="epoch", disable=not prepared.config.progress) as bar:
        for group in groups:
            padded = stack_members([*group, *[group[0]] * (width - len(group))])
            fitted += train_group(prepared, padded, data, bar, stop)[: len(group)]
    return fitted


def _list_values(name: str, values: Any) -> tuple:
    """Return the values of a name, if they are different finite numbers."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"over[{name!r}] expects one or more finite numbers; got {values!r}.")
    values = tuple(values)
    if not values or not all(isinstance(v, Real) and math.isfinite(v) for v in values):
        raise ValueError(f"over[{name!r}] expects one or more finite numbers; got {values!r}.")
    if len(set(values)) < len(values):
        raise ValueError(f"over[{name!r}] has a number twice: {values!r}. List each number once.")
    return values


def check_keys(rng_keys: Any) -> list[RngKey]:
    """Return typed keys as a list. Raise ``TypeError`` or ``ValueError`` for anything else."""
    example = "jax.random.split(key, 3)"
    if not isinstance(rng_keys, Iterable):
        raise TypeError(f"rng_keys expects typed keys, {example}; got {rng_keys!r}.")
    keys = list(rng_keys)
    if not keys:
        raise ValueError(f"rng_keys expects one typed key or more, {example}; got none.")
    for key in keys:
        check_key(key)
    return keys


def _choose_width(at_once: int | None, num_members: int) -> int:
    if at_once is not None:
        check_positive_integer("at_once", at_once)
        return min(int(at_once), num_members)
    return 1 if jax.default_backend() == "cpu" else num_members


def list_sweepable(
    objective: Objective, optimizer: optax.GradientTransformation | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names that can be swept: weights of the objective, numbers of the optimizer."""
    weights = objective.scheduled if isinstance(objective, AbstractObjective) else ()
    return weights, () if optimizer is None else _list_hyperparams(optimizer)


def _split_by_kind(
    over: Mapping[str, tuple], objective: Objective, optimizer: optax.GradientTransformation
) -> tuple[dict[str, tuple], dict[str, tuple]]:
    """Return the swept values of the objective and of the optimizer."""
    weights, hyperparams = list_sweepable(objective, optimizer)
    for name in over:
        if (name in weights) == (name in hyperparams):
            either, nor = ("both", "and") if name in weights else ("neither", "nor")
            ours, theirs = (", ".join(names) or "it has none" for names in (weights, hyperparams))
            raise ValueError(
                f"over[{name!r}] is {either} a weight of {type(objective).__name__} ({ours}) {nor} "
                f"a number in the optimizer ({theirs}). To sweep a number of an optimizer, use "
                "optimizer=optax.inject_hyperparams(optax.adam)(1e-3)."
            )
    return (
        {name: values for name, values in over.items() if name in weights},
        {name: values for name, values in over.items() if name in hyperparams},
    )


def _list_hyperparams(optimizer: optax.GradientTransformation) -> tuple[str, ...]:
    state = optimizer.init({"": jnp.zeros(())}) if hasattr(optimizer, "init") else ()
    leaves = jax.tree.leaves(state, is_leaf=lambda leaf: hasattr(leaf, "hyperparams"))
    return tuple(sorted({name for leaf in leaves for name in getattr(leaf, "hyperparams", ())}))


def _check_resident(prepared: PreparedRun) -> None:
    data = (prepared.train, prepared.validation)
    if any(isinstance(each.x, sources.StreamedData) for each in data if each is not None):
        raise ValueError(
            "sweep keeps its data on the device for all trainings, but these data are streamed. Pass "
            "arrays, np.asarray(train), or fewer data, or call fit for each training."
        )
