"""A sweep from its settings to its folder: many trainings of one model file, compared by validation."""

import csv
import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import optax

from probvae import plots
from probvae.checks import check_positive_integer
from probvae.column_checks import describe_unscaled_columns
from probvae.data import Data
from probvae.evidence import explain_no_density
from probvae.fitted import Sweep
from probvae.objectives import ELBO
from probvae.objectives.swept_weights import with_swept
from probvae.runs import figures
from probvae.runs import folder as files
from probvae.runs.evaluation import batch, keys
from probvae.runs.model_file import ModelFile, load_model_file
from probvae.runs.record import add_digests, record
from probvae.runs.settings import (
    Settings,
    add_query_context,
    assemble,
    check_seed,
    check_settings,
    keep_best,
    protocol,
    recovery,
    sizes,
    stopping,
)
from probvae.training import sweep as trained
from probvae.training.sweeps.sweep import sweepable
from probvae.variant import Variant

SHOWN = 20  # combinations in the short table
RATE = "learning_rate"
Over = Mapping[str, Sequence[float]]


class SweptError(ValueError):
    """A sweep over something that cannot be swept; the message says what can."""


def sweep(
    settings: Settings,
    over: Mapping[str, Sequence[float]] | None = None,
    *,
    num_seeds: int = 3,
    at_once: int | None = None,
    command: str = "",
    say: Callable[[str], Any] = print,
    progress: bool = False,
) -> Sweep:
    """Train a model file once for each seed and combination of numbers; write what was found.

    The training of a seed is that of ``train`` with it. The folder has the configuration, a row for
    each training (``sweep.csv``), their picture (``sweep.png``) and the parameters of the one with the
    highest validation ELBO (``best.safetensors``; ``probvae.load`` reads it). An interrupt (Ctrl-C)
    ends a sweep as in ``probvae.sweep``, and what is trained by then is written; a second one at once,
    and nothing is.

    Args:
        settings: what to do, as for ``train``; ``seed`` is the first.
        over: by name, the values of weights of the model's objective, and of ``"learning_rate"``,
            which Adam has then, whatever the model file's optimizer.
        num_seeds: how many trainings each combination has: seeds ``seed``, ``seed + 1``, ...
        at_once: as in ``probvae.sweep``.
        command: the command that asked for it, for the record.
        say: is given each line of the account.
        progress: show a bar.

    Returns:
        every training, its keys those of the seeds.

    Raises:
        SweptError: for a name that cannot be swept, or numbers that it cannot have.
        TypeError, ValueError, OSError: before training, and nothing stays on disk.
    """
    seeds, over = _check_seeds(settings, num_seeds, at_once), dict(over or {})
    file = load_model_file(settings.model)
    variant, data, binarize = assemble(file, settings)
    check_sweep(over, variant, settings)
    _check_compared(variant, data)
    name = f"sweep-{file.path.stem}-{Path(data.name).stem}"
    with files.new_folder(settings.out, name=name) as folder:
        for line in describe_sweep(settings, over, seeds, variant, data):
            say(line)
        config = _record(settings, over, seeds, file, variant, data, binarize, command)
        files.write_json(folder / files.CONFIG, config)
        files.write_text(folder / files.MODEL, file.source)
        begun = time.perf_counter()
        options = {"at_once": at_once, "progress": progress}
        found = _train_sweep(settings, over, seeds, variant, data, **options)
        say(describe_outcome(found, time.perf_counter() - begun))
        try:
            _write(folder, found, seeds, say)
        except KeyboardInterrupt as stop:
            if not (folder / files.BEST).exists():
                raise
            raise type(stop)(f"after training: what was found is kept in {folder}") from None
    return found


def _check_seeds(settings: Settings, num_seeds: Any, at_once: Any) -> range:
    """Return the seeds; raise for settings and numbers that would only fail later."""
    check_settings(settings)
    check_positive_integer("seeds", num_seeds)
    if at_once is not None:
        check_positive_integer("at_once", at_once)
    if recovery(settings) is not None:
        raise ValueError(
            "a sweep takes no skip_batches and no halve_rate: a training whose loss is not finite is "
            "over, with its last good epoch. Train that one by `probvae train`."
        )
    check_seed(settings.seed + num_seeds - 1)
    return range(settings.seed, settings.seed + num_seeds)


def _check_compared(variant: Variant, data: Data) -> None:
    """Raise unless trainings have a validation ELBO to be compared by."""
    if data.valid is None:
        raise ValueError(
            f"a sweep compares trainings by validation data, and {data.name} has none. Give data with "
            "an array `valid`, or without splits of their own: they are then split 80 / 10 / 10."
        )
    if reason := explain_no_density(variant.vae):
        raise ValueError(
            f"a sweep compares trainings by the validation ELBO, and there is none here: {reason} "
            "Train each by `probvae train`."
        )


def _record(
    settings: Settings,
    over: Over,
    seeds: range,
    file: ModelFile,
    variant: Variant,
    data: Data,
    binarize: str | None,
    command: str,
) -> dict[str, Any]:
    """Return a sweep's configuration: a run's, with what is swept in place of what only a run has."""
    config = record(settings, file, variant, data, binarize, command)
    kept = {name: held for name, held in config.items() if name not in ("evaluation", "settings")}
    training = {name: held for name, held in config["training"].items() if name != "seed"}
    swept = {"optimizer": "optax.adam"} if RATE in over else {}
    kept["training"] = {**training, **swept, "seeds": list(seeds)}
    kept["swept"] = {name: list(values) for name, values in over.items()}
    return add_digests(kept, file.source)


def _train_sweep(
    settings: Settings, over: Over, seeds: range, variant: Variant, data: Data, **options: Any
) -> Sweep:
    epochs, batch_size = sizes(settings, variant, data)
    return trained(
        variant.vae,
        batch(variant.vae, data, "train"),
        validation=batch(variant.vae, add_query_context(variant, data), "valid"),
        rng_keys=[keys(seed).fit for seed in seeds],
        over=over,
        observation=data.observation,
        objective=variant.objective,
        optimizer=sweep_optimizer(over, variant, settings),
        epochs=epochs,
        batch_size=batch_size,
        init_params=variant.init_params,
        early_stopping=stopping(settings),
        keep_best=keep_best(settings),
        **options,
    )


def _write(folder: Path, found: Sweep, seeds: range, say: Callable[[str], Any]) -> None:
    """Write the best training, the table, the picture; say what there is."""
    best_line = describe_best(found, seeds)
    found.best().save(folder / files.BEST)
    files.write_text(folder / files.SWEEP, csv_text(found, seeds))
    for line in [*describe_rows(found), best_line]:
        say(line)
    if figures.available():
        path = folder / f"{Path(files.SWEEP).stem}.png"
        say(f"picture: {figures.save(plots.sweep(found, names=seeds), path)}")
    else:
        say(f"no picture: {figures.HINT}")
    say(f"every training: {folder / files.SWEEP}; the best: {folder / files.BEST}")


def describe_sweep(
    settings: Settings, over: Over, seeds: range, variant: Variant, data: Data
) -> list[str]:
    """Return what is done with the data, the model, and how many trainings of it there will be."""
    note = describe_unscaled_columns(variant.vae.likelihood, data.train)
    lines = [protocol(data, settings, variant), *([note] if note else []), str(variant.vae)]
    if RATE in over and variant.optimizer is not None:
        lines.append(f"note: {RATE} is swept: that of Adam, in place of the model file's optimizer")
    epochs, _ = sizes(settings, variant, data)
    total = len(seeds) * prod(map(len, over.values()))
    most = " at most" if stopping(settings) else ""
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    numbers = (f"{name}={','.join(f'{v:g}' for v in values)}" for name, values in over.items())
    each = f" for each of {', '.join(numbers)}" if over else ""
    times = "1 training" if total == 1 else f"{total} trainings"
    return [*lines, f"{times} of {epochs} epochs{most}: {which}{each}"]


def describe_outcome(found: Sweep, seconds: float) -> str:
    """Return how many trainings there were, how long they went on, and how long that took."""
    counts = [one.history.num_epochs for one in found.fitted]
    low, high = min(counts), max(counts)
    epochs = f"{high} epochs" if low == high else f"{low} to {high} epochs"
    cut = ", interrupted" if found.interrupted else ""
    times = "once" if len(counts) == 1 else f"{len(counts)} times"
    return f"trained {times}, {epochs}{cut}, in {seconds:.1f} s"


def csv_text(found: Sweep, seeds: Sequence[int]) -> str:
    """Return sweep.csv: a row for each training; its validation means are in nats per datum.

    They are those of the epoch that is kept, counted from 1 (0: no epoch was finite): see
    ``keep_best`` of ``probvae.sweep``.
    """
    columns, text = found.columns(), io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    bounds = ("elbo", "log_likelihood", "kl")
    measured = [f"validation_{name}" for name in bounds]
    table.writerow([*found.over, "seed", "epochs", "kept_epoch", *measured])
    for at in np.ndindex(found.shape):
        epochs, kept = int(columns["epochs"][at]), int(columns["kept_epoch"][at]) + 1
        numbers = [f"{columns[name][at]:.8g}" for name in bounds]
        table.writerow([*_numbers(found, at), seeds[at[0]], epochs, kept, *numbers])
    return text.getvalue()


def describe_rows(found: Sweep) -> list[str]:
    """Return a row for each combination of numbers, the best first: means over its trainings."""
    columns = found.columns()
    rows = [_row(found, columns, where) for where in np.ndindex(found.shape[1:])]
    rows.sort(key=lambda row: -np.inf if np.isnan(row[0]) else row[0], reverse=True)
    head = [*found.over, "trainings", "validation ELBO (nats)", "log-likelihood", "KL"]
    told = [head, *(cells for _, cells in rows[:SHOWN])]
    widths = [max(map(len, column)) for column in zip(*told, strict=True)]
    more = [f"and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    shown = ["  ".join(map(str.rjust, cells, widths)) for cells in told]
    return [*shown, *more]


def describe_best(found: Sweep, seeds: Sequence[int]) -> str:
    """Return which training has the highest validation ELBO, and what that is."""
    fitted = found.best()
    at = [int(i) for i in np.unravel_index(found.fitted.index(fitted), found.shape)]
    numbers = zip(found.over, _numbers(found, at), strict=True)
    which = ", ".join([f"seed {seeds[at[0]]}", *(f"{name} {value}" for name, value in numbers)])
    kept = fitted.history.kept_epoch
    elbo, likelihood, kl = (
        fitted.history.validation[name][kept] for name in ("elbo", "log_likelihood", "kl")
    )
    bound = f"validation ELBO {elbo:.2f} = log-likelihood {likelihood:.2f} - KL {kl:.2f} nats"
    return f"best: {which}; {bound}, epoch {kept + 1}"


def _numbers(found: Sweep, at: Sequence) -> list[str]:
    return [f"{values[i]:.8g}" for values, i in zip(found.over.values(), at[1:], strict=True)]


def _row(found: Sweep, columns: dict[str, np.ndarray], where: tuple) -> tuple[float, list[str]]:
    """Return a combination's mean ELBO, and its cells: +- is the standard error over trainings."""
    here = {name: values[(slice(None), *where)] for name, values in columns.items()}
    known = np.isfinite(here["elbo"])
    n, all_of_them = int(known.sum()), len(known)
    count = str(n) if n == all_of_them else f"{n} of {all_of_them}"
    numbers = _numbers(found, (0, *where))
    if not n:
        return np.nan, [*numbers, count, "not finite", "", ""]
    elbo, likelihood, kl = (here[name][known] for name in ("elbo", "log_likelihood", "kl"))
    error = f" +- {elbo.std(ddof=1) / np.sqrt(n):.2f}" if n > 1 else ""
    cells = [count, f"{elbo.mean():.2f}{error}", f"{likelihood.mean():.2f}", f"{kl.mean():.2f}"]
    return float(elbo.mean()), [*numbers, *cells]


def sweep_optimizer(over: Over, variant: Variant, settings: Settings) -> Any:
    """Return the optimizer of a sweep: Adam, its numbers told later, where its rate is swept."""
    if RATE in over:
        return optax.inject_hyperparams(optax.adam)(float(over[RATE][0]))
    rate = settings.learning_rate
    return variant.optimizer if rate is None else optax.adam(rate)


def check_sweep(over: Over, variant: Variant, settings: Settings) -> None:
    """Raise unless each name can be swept, over numbers that it can have.

    Raises:
        SweptError: if not.
    """
    objective = ELBO() if variant.objective is None else variant.objective
    weights, held = sweepable(objective, sweep_optimizer(over, variant, settings))
    can = f"What can be swept here: {_list_values(weights, held, objective)}."
    if RATE in over and settings.learning_rate is not None:
        raise SweptError(f"{RATE} is swept, and told as one number, too: give one of the two. {can}")
    for name, values in over.items():
        if name not in {*weights, *held}:
            raise SweptError(f"cannot sweep {name!r}: no such number of this model's training. {can}")
        _check_numbers(name, values, can)
    _check_weights({name: over[name] for name in over if name in weights}, objective, can)


def _list_values(weights: Sequence[str], held: Sequence[str], objective: Any) -> str:
    rates = ", ".join(dict.fromkeys([RATE, *held]))
    of = f"the weights of {type(objective).__name__} ({', '.join(weights)}), " if weights else ""
    return f"{of}numbers of the optimizer ({rates})"


def _check_numbers(name: str, values: Sequence[float], can: str) -> None:
    if not values or not all(math.isfinite(value) for value in values):
        raise SweptError(f"{name} expects finite numbers, one or more; got {tuple(values)!r}. {can}")
    if len(set(values)) < len(values):
        raise SweptError(f"{name} has a number twice: {tuple(values)!r}; name each once. {can}")
    if name == RATE and min(values) <= 0:
        raise SweptError(f"{name} expects positive numbers; got {tuple(values)!r}. {can}")


def _check_weights(over: Over, objective: Any, can: str) -> None:
    try:
        with_swept(objective, over)
    except (ValueError, TypeError) as error:
        raise SweptError(f"{error} {can}") from error
