"""fit: SVI over data, as one compiled program."""

from copy import copy
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import optax
from tqdm.auto import tqdm

from probvae import data as sources
from probvae import join
from probvae.evidence import Batch
from probvae.objectives import ELBO, AbstractObjective
from probvae.objectives.checks import check_objective, check_schedules, check_terms
from probvae.training import checks, loop
from probvae.training.fitted import Fitted
from probvae.training.history import Recorder
from probvae.training.warm_start import held
from probvae.typing import Params, RngKey
from probvae.vae import VAE

PASS = checks.PASS_STATE
ADAM = optax.adam(1e-3)  # one object: a fit with the same parts reuses the compiled program


class NonFiniteLossError(FloatingPointError):
    """The loss stopped being a finite number; ``fitted`` is the VAE at the last good epoch."""

    def __init__(self, message: str, fitted: Fitted) -> None:
        super().__init__(message)
        self.fitted = fitted


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
    progress: bool = True,
) -> Fitted:
    """Fit a VAE by stochastic variational inference (NumPyro's ``SVI.update``).

    Every epoch is one call of one compiled program: it shuffles, observes each batch, takes the
    steps, and looks at the validation data. Rows that do not fill a batch wait for the next epoch's
    shuffle. Every random number derives from ``rng_key``. An interrupt (Ctrl-C) ends the run after
    the last whole epoch and returns what is fitted by then. Where weights have a prior
    (``nets.Bayesian``) the programs are told ``num_data``, the number of training data.

    Args:
        vae: what to fit.
        train: data ``(n, *event_shape)`` in any numeric dtype (uint8 stays uint8 on the device), or a
            ``Batch(x, context, mask)``.
        rng_key: a typed key, ``jax.random.key(0)``.
        validation: like ``train``, already observed; looked at after every epoch.
        observation: what happens to a training datum before it is scored, anew at each step, such as
            ``data.observation``; by default x is cast to float. The likelihood's own noise (``Spread``)
            comes after it; validation data get that noise once, with a fixed key.
        objective: a ``numpyro.infer`` ELBO; by default ``objectives.ELBO()``.
        optimizer: an optax optimizer; by default ``optax.adam(1e-3)``.
        epochs: passes through the training data.
        batch_size: data per step; at most n.
        init_params: values to start from, by site: ``vae.prior.start_at(...)``, ``fitted.params``,
            ``fitted.values`` (with running state), or ``shared_params(fitted, vae)`` after a swap.
        freeze: parts that keep their values in ``init_params`` while the rest trains, by the first
            half of their parameters' names, such as ``("decoder",)``. A frozen part is the function
            that it was: its running state does not move, and it has no dropout.
        progress: show a bar.

    Returns:
        the fitted VAE.

    Raises:
        TypeError, ValueError: for data, options or objectives that do not fit the VAE.
        NonFiniteLossError: if the loss stops being finite; names step and term, and carries the VAE
            at the last good epoch as ``error.fitted``.
    """
    objective = ELBO() if objective is None else objective
    observation = sources.Cast() if observation is None else observation
    optimizer = ADAM if optimizer is None else optimizer
    checks.check_options(vae, rng_key, optimizer, epochs, batch_size)
    roles = join.checked_roles("freeze", freeze)
    if roles:
        vae, optimizer = replace(vae, frozen=roles), held(optimizer, roles)
    found = join.structure(vae)
    check_objective(objective, found.model, found.guide, found.state, type(vae.posterior).__name__)
    bare = _data_side(vae, objective)
    train = checks.checked_batch(bare, train, "train", observation)
    checks.check_batch_size(batch_size, len(train.x))
    check_terms(objective, vae, batch_size)
    check_schedules(objective, epochs * (len(train.x) // batch_size))
    if validation is not None:
        validation = checks.checked_batch(vae, validation, "validation", sources.Cast())
        validation = validation._replace(x=vae.observe(jax.random.key(0), validation.x))
    start = checks.checked_params(vae, init_params or {})
    if vae.likelihood.observation is not None:
        observation = sources.Compose((observation, vae.likelihood.observation))
    run = loop.Run(vae, objective, optimizer, observation, batch_size)
    return _run(run, train, validation, rng_key, epochs, start, bar=progress)


def _data_side(vae: VAE, objective: Any) -> VAE:
    """Return the VAE as the training data see it: an objective may add to their context."""
    if not isinstance(objective, AbstractObjective):
        return vae
    bare = copy(vae)  # its parts are not joined anew: it only says what shapes data have
    object.__setattr__(bare, "context_shape", objective.data_context_shape(vae.context_shape))
    return bare


def _run(
    run: loop.Run,
    train: Batch,
    valid: Batch | None,
    rng_key: RngKey,
    epochs: int,
    start: Params,
    *,
    bar: bool,
) -> Fitted:
    init_key, epoch_key, pass_key = jax.random.split(rng_key, 3)
    train, valid = jax.device_put((train, valid))
    first = jax.tree.map(lambda a: a[: run.batch_size], train)
    state = loop.start(run, init_key, loop.observed(run, init_key, first), start)
    fresh = dict(state.mutable_state or {})
    recorder = Recorder()
    with tqdm(total=epochs, unit="epoch", disable=not bar) as shown:
        try:
            for index in range(epochs):
                after, *looked = loop.epoch(run, state, fresh, train, valid, epoch_key, index)
                row = _row(jax.device_get(looked), bounded=_bounded(run.vae))
                _check_finite(row[0], index, lambda: _fitted(run, start, state, recorder))  # noqa: B023
                state = after
                recorder.add(*row)
                shown.set_postfix_str(_postfix(row[1], row[2]), refresh=False)
                shown.update()
        except KeyboardInterrupt:
            shown.write(f"interrupted: the fit is that of epoch {recorder.history().num_epochs}")
    fitted = _fitted(run, start, state, recorder)
    if PASS not in fresh or checks.is_frozen(run.vae, PASS):
        return fitted
    gathered = loop.whole_pass(run, fitted.values, fresh, train, pass_key)
    return fitted.with_values({**fitted.values, PASS: gathered})


def _fitted(run: loop.Run, start: Params, state: Any, recorder: Recorder) -> Fitted:
    """Return the VAE as it is now; what is frozen has not been through a constraint and back."""
    frozen = {name: start[name] for name in start if checks.is_frozen(run.vae, name)}
    vae = replace(run.vae, frozen=())
    return Fitted(vae, {**loop.parameters(run, state), **frozen}, recorder.history())


def _bounded(vae: VAE) -> bool:
    return vae.likelihood.is_density and vae.posterior.is_density


def _row(looked: list, *, bounded: bool) -> tuple[dict, dict, dict | None]:
    """Return one epoch's record: steps, means over them, validation; no ELBO where there is none."""
    steps, valid = looked
    train = {name: float(values.mean(dtype=np.float64)) for name, values in steps.items()}
    if "kl" in train and bounded:
        train["elbo"] = train["log_likelihood"] - train["kl"]
    return (
        steps,
        train,
        None
        if valid is None
        else {k: float(v) for k, v in valid._asdict().items() if bounded or k != "elbo"},
    )


def _postfix(train: dict, valid: dict | None) -> str:
    shown = valid or train
    if "kl" not in shown:
        return f"train loss {shown['loss']:.4g}"
    bound = f" ELBO {shown['elbo']:.2f} =" if "elbo" in shown else ""
    return (
        f"{'validation' if valid else 'train'}{bound} "
        f"log-likelihood {shown['log_likelihood']:.2f} - KL {shown['kl']:.2f} nats"
    )


def _check_finite(steps: dict[str, np.ndarray], epoch: int, last_good: Any) -> None:
    bad = ~np.isfinite(steps["loss"])
    if not bad.any():
        return
    at = int(bad.argmax())
    step = epoch * len(bad) + at
    terms = [k for k in ("log_likelihood", "kl") if k in steps and not np.isfinite(steps[k][at])]
    what = " and ".join(f"{k} = {steps[k][at]}" for k in terms) or f"loss = {steps['loss'][at]}"
    before = f"{steps['loss'][at - 1]:.4g}" if at else "not known in this epoch"
    raise NonFiniteLossError(
        f"the loss is not finite at step {step} (epoch {epoch}): {what}; the loss before it was "
        f"{before}. The VAE at the end of the epoch before is kept as `error.fitted`. Usual causes: "
        "a learning rate too high (lower it, or chain optax.clip_by_global_norm(1.0) before it), a "
        "likelihood whose scale runs to 0 (bound it), data of huge scale (standardise them).",
        last_good(),
    )
