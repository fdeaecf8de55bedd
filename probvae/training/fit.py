"""fit: SVI over data, as one compiled program."""

from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import optax

from probvae import compatibility
from probvae import data as sources
from probvae.checks import check_kind
from probvae.column_checks import warn_of_column_scales
from probvae.data_checks import check_data
from probvae.data_description import DataComparison, DataDescription, DataSummary
from probvae.evidence import Batch
from probvae.fitted.fitted import Fitted
from probvae.objectives import ELBO, AbstractObjective
from probvae.objectives.compatibility import check_objective, check_schedules, check_terms
from probvae.tracing import trace_structure
from probvae.training import argument_checks, loop
from probvae.training.averaging import add_average
from probvae.training.batch_norm_check import check_batch_statistics
from probvae.training.callbacks import Callback, check_callbacks
from probvae.training.checkpointing.checkpoints import Checkpoints
from probvae.training.compile_cache import intern_optimizer
from probvae.training.early_stopping import EarlyStopping, check_stopping, keeps_best
from probvae.training.epochs import TrainingPlan, train_epochs
from probvae.training.initial_values import check_params, freeze_roles, initial_values
from probvae.training.parallel.devices import check_devices
from probvae.training.recovery import AbstractRecovery, prepare_optimizer
from probvae.typing import Params, RngKey
from probvae.vae import VAE

ADAM = optax.adam(1e-3)  # one object: a fit with the same parts reuses the compiled program


def fit(
    vae: VAE,
    train: Any,
    *,
    rng_key: RngKey,
    validation: Any = None,
    observation: Any = None,
    objective: Any = None,
    optimizer: optax.GradientTransformation | None = None,
    epochs: int = 100,
    batch_size: int = 128,
    init_params: Params | None = None,
    freeze: tuple[str, ...] = (),
    early_stopping: EarlyStopping | None = None,
    keep_best: bool | None = None,
    checkpoints: Checkpoints | None = None,
    recovery: AbstractRecovery | None = None,
    average: Any = None,
    callbacks: tuple[Callback, ...] = (),
    devices: Any = None,
    progress: bool = True,
) -> Fitted:
    """Fit a VAE by stochastic variational inference (NumPyro's ``SVI.update``).

    Every epoch is one call of one compiled program: it shuffles, observes each batch, takes the
    steps, and looks at the validation data. Rows that do not fill a batch wait for the next epoch's
    shuffle. Every random number derives from ``rng_key``. An interrupt (Ctrl-C) ends the run at the
    end of the epoch, a second one at once, and returns what is fitted by then. Where weights have a
    prior (``nets.BayesianNet``) the programs are told ``num_data``, the number of training data.

    Args:
        vae: what to fit.
        train: data ``(n, *event_shape)`` in any numeric dtype (uint8 stays uint8 on the device): an
            array, a masked array, a frame, a sparse matrix, a source of rows, or a
            ``Batch(x, context, mask)`` of these. A mapped array of more than a quarter of the free
            memory, a source of rows, or ``data.StreamedData(array)`` is read chunk by chunk; losses are
            the same.
        rng_key: a typed key, ``jax.random.key(0)``.
        validation: like ``train``, but as the likelihood scores them: ``observation`` is not applied.
            They are what ``data.load`` gives as ``valid``. Looked at after every epoch. All epochs run,
            and the parameters of the one with the best validation ELBO are returned (see
            ``keep_best``).
        observation: what happens to a training datum before it is scored, anew at each step, such as
            ``data.observation``; by default x is cast to float. It is for ``train`` alone: validation
            data and the data of every query are given as it leaves them, and others raise an error.
            The likelihood's own noise (``Spread``) comes after it; validation data get that noise
            once, with a fixed key.
        objective: a ``numpyro.infer`` ELBO; by default ``objectives.ELBO()``.
        optimizer: an optax optimizer; by default ``optax.adam(1e-3)``.
        epochs: passes through the training data.
        batch_size: data per step; at most n.
        init_params: values to start from, by site: ``vae.prior.start_at(...)``, ``fitted.params``,
            ``fitted.values`` (with running state), or ``shared_params(fitted, vae)`` after a swap.
        freeze: parts that keep their values in ``init_params`` while the rest trains, by the first
            half of their parameters' names, such as ``("decoder",)``. A frozen part is the function
            that it was: its running state does not move, and it has no dropout.
        early_stopping: when to end before the last epoch, by the validation ELBO.
        keep_best: whether to return the epoch with the best validation ELBO instead of the last. By
            default the best is returned, if there is early stopping, or if the objective ends as the
            ELBO or another bound on log p(x). ``ELBO(beta=4.0)``, ``Capacity``, ``InfoVAE`` or a game
            maximise something else, so their last epoch is returned. So it is with ``nets.BayesianNet``
            (the KL of the weights is no part of the ELBO), and without a validation ELBO.
            ``print(fitted)`` says which epoch it is and what the last one had lost. To train on from
            the last epoch, use ``checkpoints``; ``init_params=fitted.values`` starts from the epoch
            that was kept.
        checkpoints: the folder that the run is kept in as it goes, and goes on from where it holds one.
        recovery: what to do where the loss is not finite: ``SkipBatch()``, ``HalveRate()``; by default
            the run ends.
        average: of the parameters along their way, which is then what is validated and returned.
        callbacks: functions of a ``callbacks.Epoch``, called after every epoch, such as
            ``callbacks.JSONLines(path)``. One that raises is told of in a warning and left out from
            then on; the fit goes on.
        devices: ``DataParallel()`` to split each batch over all devices, or those that it names; by
            default JAX's default device takes all.
        progress: show a bar.

    Returns:
        the fitted VAE.

    Raises:
        TypeError, ValueError: for data, options or objectives that do not fit the VAE; for checkpoints
            of another run, or none that is whole.
        OSError: if a checkpoint cannot be written, or another process writes there.
        DataError: if streamed data cannot be read in the middle of a run; names the file and rows, and
            carries the VAE at the end of the epoch before as ``error.fitted``.
        NonFiniteLossError: if the loss stops being finite; names step and term, and carries the VAE
            of the epochs before as ``error.fitted``: the best or the last, as ``keep_best`` says.
    """
    check_kind("progress", progress, bool)
    ready = prepare_run(
        vae,
        train,
        rng_key=rng_key,
        validation=validation,
        observation=observation,
        objective=objective,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        init_params=init_params,
        freeze=freeze,
        early_stopping=early_stopping,
        keep_best=keep_best,
        recovery=recovery,
        average=average,
        progress=progress,
    )
    check_callbacks(callbacks)
    check_kind("checkpoints", checkpoints, Checkpoints | None)
    on = check_devices(devices, batch_size)
    num_steps = epochs * (len(ready.data[0].x) // batch_size)
    asked: dict[str, Any] = {"early": early_stopping, "keep_best": keep_best}
    keep = keeps_best(ready.run.vae, ready.run.objective, num_steps, **asked)
    plan = TrainingPlan(epochs, early_stopping, keep, checkpoints, recovery, tuple(callbacks), on)
    return train_epochs(
        ready.run, plan, *ready.data, rng_key, ready.start, ready.description, bar=progress
    )


class PreparedRun(NamedTuple):
    """A run whose data and options are checked: what is compiled, the data, where values start."""

    run: loop.Run
    data: tuple[Batch, Batch | None]  # for training, and for validation
    start: Params
    description: DataDescription  # of the training data


def prepare_run(
    vae: VAE,
    train: Any,
    *,
    rng_key: RngKey,
    validation: Any,
    observation: Any,
    objective: Any,
    optimizer: Any,
    epochs: int,
    batch_size: int,
    init_params: Params | None = None,
    freeze: tuple[str, ...] = (),
    early_stopping: EarlyStopping | None = None,
    keep_best: bool | None = None,
    recovery: AbstractRecovery | None = None,
    average: Any = None,
    progress: bool = False,
) -> PreparedRun:
    """Check what ``fit`` is given, before anything is compiled."""
    objective = ELBO() if objective is None else objective
    observation = sources.Cast() if observation is None else observation
    optimizer = ADAM if optimizer is None else optimizer
    argument_checks.check_options(vae, rng_key, optimizer, epochs, batch_size)
    objective, optimizer = intern_optimizer(objective), intern_optimizer(optimizer)
    roles = compatibility.check_roles("freeze", freeze)
    if roles:
        vae, optimizer = replace(vae, frozen=roles), freeze_roles(optimizer, roles)
    optimizer = add_average(average, prepare_optimizer(recovery, optimizer))
    found = trace_structure(vae)
    check_objective(objective, found.model, found.guide, found.state, type(vae.posterior).__name__)
    bare = _data_side(vae, objective)
    look = {"keep_streamed": True, "progress": progress}
    describer = DataSummary(vae.event_shape, observation)
    train = check_data(bare, train, "train", observation=observation, record=describer, **look)
    description = describer.description()
    if len(vae.event_shape) == 1:
        warn_of_column_scales(vae.likelihood, description.x)
    argument_checks.check_batch_size(batch_size, len(train.x))
    if train.mask is not None and not train.mask.any():
        raise ValueError(
            "train mask is false everywhere, so that no entry is observed. A mask is true where x is "
            "observed. It seems inverted: Batch(x, mask=~mask)."
        )
    check_batch_statistics(vae, batch_size)
    check_terms(objective, vae, batch_size)
    check_schedules(objective, epochs * (len(train.x) // batch_size))
    if validation is not None:
        comparer = DataComparison(description, "validation", names_cells=True)
        validation = check_data(vae, validation, "validation", record=comparer, **look)
        if not isinstance(validation.x, sources.StreamedData):
            validation = validation._replace(x=vae.observe(jax.random.key(0), validation.x))
        elif vae.likelihood.observation is not None:
            raise sources.DataError(
                f"validation is streamed, and {type(vae.likelihood).__name__} adds noise to all of it, "
                "once; usual fix: give validation data in memory, np.asarray(validation[:10_000])"
            )
    check_stopping(early_stopping, keep_best, vae, validation)
    start = check_params(vae, {} if init_params is None else init_params)
    start = {**initial_values(vae, train, observation), **start}
    if vae.likelihood.observation is not None:
        observation = sources.Compose((observation, vae.likelihood.observation))
    run = loop.Run(vae, objective, optimizer, observation, batch_size)
    return PreparedRun(run, (train, validation), start, description)


def _data_side(vae: VAE, objective: Any) -> VAE:
    """Return the VAE as the training data see it: an objective may add to their context."""
    if not isinstance(objective, AbstractObjective):
        return vae
    bare = copy(vae)  # its parts are not joined anew: it only says what shapes data have
    object.__setattr__(bare, "context_shape", objective.data_context_shape(vae.context_shape))
    return bare
