"""fit: stochastic variational inference over data."""

import optax

from probvae import data as sources
from probvae.fitted.fitted import Fitted
from probvae.objectives import ELBO
from probvae.training.averaging import MovingAverage
from probvae.training.callbacks import Callback
from probvae.training.checkpointing.checkpoints import Checkpoints
from probvae.training.early_stopping import EarlyStopping
from probvae.training.epochs import train_epochs
from probvae.training.parallel.devices import DataParallel, OneDevice
from probvae.training.preparation import ADAM, FitConfig, prepare_run
from probvae.training.recovery import AbstractRecovery
from probvae.typing import DataLike, Objective, Observation, Params, RngKey
from probvae.vae import VAE


def fit(
    vae: VAE,
    train: DataLike,
    *,
    rng_key: RngKey,
    validation: DataLike = None,
    observation: Observation | None = None,
    objective: Objective | None = None,
    optimizer: optax.GradientTransformation | None = None,
    epochs: int = 100,
    batch_size: int = 128,
    init_params: Params | None = None,
    freeze: tuple[str, ...] = (),
    early_stopping: EarlyStopping | None = None,
    keep_best: bool | None = None,
    checkpoints: Checkpoints | None = None,
    recovery: AbstractRecovery | None = None,
    average: MovingAverage | None = None,
    callbacks: tuple[Callback, ...] = (),
    devices: DataParallel | None = None,
    progress: bool = True,
) -> Fitted:
    """Fit a VAE by stochastic variational inference (NumPyro's ``SVI.update``).

    Every epoch is one call of one compiled program. It shuffles the data, applies the observation to
    each batch, takes the steps, and evaluates the validation data. Each epoch drops its last partial
    batch. Every random number derives from ``rng_key``. An interrupt (Ctrl-C) ends the run after the
    epoch, and ``fit`` returns the VAE so far. A second interrupt ends it at once. If weights have a
    prior (``nets.BayesianNet``), the programs receive ``num_data``, the number of training data.

    **Main arguments**

    Args:
        vae: the VAE to fit.
        train: data ``(n, *event_shape)`` of any numeric dtype (uint8 stays uint8 on the device): an
            array, a masked array, a frame, a sparse matrix, a row source, or a ``Batch(x, context,
            mask)`` of these. A memory-mapped array larger than a quarter of the free memory, a row
            source, or ``data.StreamedData(array)`` is read in chunks. Losses are the same.
        rng_key: a typed key, ``jax.random.key(0)``.
        validation: data like ``train``, but as the likelihood scores them: ``observation`` is not
            applied. ``data.load`` returns them as ``valid``. They are evaluated after every epoch. All
            epochs run, and ``fit`` returns the parameters of the epoch with the best validation ELBO
            (see ``keep_best``).
        observation: applied to training data at each step, with new draws, such as
            ``data.observation``. The default casts x to float. It applies to ``train`` alone. Pass
            validation data, and the data of every query, as it would return them. Others raise an
            error. The likelihood's own noise (``Spread``) is added after it. Validation data receive
            that noise once, with a fixed key.
        objective: a ``numpyro.infer`` ELBO, by default ``objectives.ELBO()``.
        optimizer: an optax optimizer, by default ``optax.adam(1e-3)``.
        epochs: passes through the training data.
        batch_size: data per step, at most n.

    **Further arguments**

    Args:
        init_params: initial values by site: ``vae.prior.start_at(...)``, ``fitted.params``,
            ``fitted.values`` (with running state), or ``transfer_params(fitted, vae)`` after you
            replaced a part.
        freeze: parts that keep their values in ``init_params``, by the first half of their parameters'
            names, such as ``("decoder",)``. The other parts train. A frozen part is a fixed function:
            its running state does not change, and it has no dropout.
        early_stopping: when to end before the last epoch, by the validation ELBO.
        keep_best: whether to return the epoch with the best validation ELBO instead of the last. The
            default is True with early stopping, or if the final objective is a bound on log p(x), such
            as the ELBO. It is False for ``ELBO(beta=4.0)``, ``Capacity``, ``InfoVAE`` or an adversarial
            objective, which maximise something else. It is also False for ``nets.BayesianNet`` (the KL
            of the weights is not part of the ELBO), and without a validation ELBO. ``print(fitted)``
            shows which epoch you have, and how far the last one was below the best. To train on from
            the last epoch, use ``checkpoints``. To train on from the best, use
            ``init_params=fitted.values``.
        checkpoints: the folder in which the run is saved, and from which it resumes.
        recovery: what to do if the loss is not finite: ``SkipBatch()``, ``HalveRate()``. The default
            ends the run.
        average: a moving average of the parameters, which is then validated and returned.
        callbacks: functions of a ``callbacks.Epoch``, called after every epoch, such as
            ``callbacks.JSONLines(path)``. A callback that raises is disabled with a warning. Training
            continues.
        devices: ``DataParallel()`` splits each batch over all devices, or over those that you name. The
            default is JAX's default device.
        progress: show a progress bar.

    Returns:
        the fitted VAE.

    Raises:
        TypeError, ValueError: for incompatible data, settings or objectives, for checkpoints of another
            run, or if every checkpoint is corrupt.
        OSError: if a checkpoint cannot be written, or another process writes to the folder.
        DataError: if streamed data cannot be read during the run. It names the file and rows.
            ``error.fitted`` is the VAE after the epoch before.
        NonFiniteLossError: if the loss stops being finite. It names the step and the term.
            ``error.fitted`` is the VAE of the epochs before: the best or the last, by ``keep_best``.

    Examples:
        >>> import jax, numpy as np
        >>> from probvae import VAE, fit, likelihoods
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> vae = VAE(event_shape=(3,), latent_dim=2, likelihood=likelihoods.Gaussian())
        >>> fitted = fit(vae, x, rng_key=jax.random.key(0), epochs=2, progress=False)
        >>> fitted.encode(x[:5]).mean.shape
        (5, 2)
    """
    config = FitConfig(
        vae=vae,
        rng_key=rng_key,
        observation=sources.Cast() if observation is None else observation,
        objective=ELBO() if objective is None else objective,
        optimizer=ADAM if optimizer is None else optimizer,
        epochs=epochs,
        batch_size=batch_size,
        init_params=init_params,
        freeze=freeze,
        early_stopping=early_stopping,
        keep_best=keep_best,
        checkpoints=checkpoints,
        recovery=recovery,
        average=average,
        callbacks=callbacks,
        devices=OneDevice() if devices is None else devices,
        progress=progress,
    )
    prepared = prepare_run(config, train, validation)
    return train_epochs(prepared)
