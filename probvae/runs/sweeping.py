"""A sweep from its settings to its folder: many trainings of one model file, compared by validation."""

import csv
import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optax

from probvae import plots
from probvae.checks import check_positive_integer
from probvae.evidence import explain_no_density
from probvae.fitted import Sweep
from probvae.objectives import ELBO
from probvae.objectives.swept_weights import with_swept
from probvae.runs import figures
from probvae.runs import folder as files
from probvae.runs.evaluation import derive_keys
from probvae.runs.plan import RunPlan, resolve
from probvae.runs.record import make_sweep_record
from probvae.runs.settings import Settings
from probvae.runs.settings_checks import check_seed
from probvae.training import sweep as train_sweep
from probvae.training.sweeps.sweep import list_sweepable

MAX_ROWS = 20  # combinations in the printed table
RATE = "learning_rate"
BOUNDS = ("elbo", "log_likelihood", "kl")
Over = Mapping[str, Sequence[float]]


class SweptError(ValueError):
    """A sweep over a number that cannot be swept. The message lists those that can."""

    exit_code = 2  # of the command line, as for any option that is wrong


def sweep(
    settings: Settings,
    over: Over | None = None,
    *,
    num_seeds: int = 3,
    at_once: int | None = None,
    command: str = "",
    say: Callable[[str], Any] = print,
    progress: bool = False,
) -> Sweep:
    """Train a model file once for each seed and combination of numbers, and write the results.

    Each training is that of ``train`` with the same seed. The folder has the configuration, a row per
    training (``sweep.csv``), their picture (``sweep.png``) and the parameters with the highest
    validation ELBO (``best.safetensors``, which ``probvae.load`` reads). An interrupt (Ctrl-C) ends a
    sweep as in ``probvae.sweep``, and the results so far are written. A second interrupt at once
    writes nothing.

    Args:
        settings: as for ``train``. ``seed`` is the first seed.
        over: values by name: a weight of the model's objective, or ``"learning_rate"``. A learning rate
            is that of Adam, which replaces the model file's optimizer.
        num_seeds: trainings of each combination, with the seeds ``seed``, ``seed + 1``, ...
        at_once: as in ``probvae.sweep``.
        command: the command line, for the record.
        say: a function that prints a line.
        progress: show a bar.

    Returns:
        every training. Its keys are those of the seeds.

    Raises:
        SweptError: for a name that cannot be swept, or values that it cannot have.
        TypeError, ValueError, OSError: before training. Nothing stays on disk.
    """
    check_positive_integer("seeds", num_seeds)
    if at_once is not None:
        check_positive_integer("at_once", at_once)
    check_seed(settings.seed + num_seeds - 1)
    seeds, over = range(settings.seed, settings.seed + num_seeds), dict(over or {})
    plan = resolve(settings)
    _check_over(plan, over)
    _check_comparable(plan)
    name = f"sweep-{plan.file.path.stem}-{Path(plan.data.name).stem}"
    with files.new_folder(settings.out, name=name) as folder:
        for line in [*plan.describe(), *_describe_trainings(plan, over, seeds)]:
            say(line)
        if not figures.can_draw():
            say(f"note: there will be no picture: {figures.HINT}")
        files.write_json(folder / files.CONFIG, make_sweep_record(plan, over, seeds, command))
        files.write_text(folder / files.MODEL, plan.file.source)
        start = time.perf_counter()
        result = train_sweep(
            plan.variant.vae,
            **plan.fit_options(),
            optimizer=_choose_optimizer(plan, over),
            over=over,
            rng_keys=[derive_keys(seed).fit for seed in seeds],
            at_once=at_once,
            progress=progress,
        )
        say(_describe_duration(result, time.perf_counter() - start))
        try:
            _write_results(folder, result, seeds, say)
        except KeyboardInterrupt as stop:
            if not (folder / files.BEST).exists():
                raise
            raise type(stop)(f"after training: the results so far are saved in {folder}") from None
    return result


# Before the training: can these numbers be swept, and can the trainings be compared?


def _choose_optimizer(plan: RunPlan, over: Over) -> Any:
    """Return the optimizer of a sweep. If its rate is swept, it is Adam with the rate in its state."""
    # Trainings that differ in a number run side by side in one program. So that number is an array in
    # the optimizer's state, not a constant of the program, and its first value only sets the type.
    if RATE in over:
        return optax.inject_hyperparams(optax.adam)(float(over[RATE][0]))
    return plan.optimizer


def _check_over(plan: RunPlan, over: Over) -> None:
    objective = ELBO() if plan.variant.objective is None else plan.variant.objective
    weights, hyperparameters = list_sweepable(objective, _choose_optimizer(plan, over))
    rates = ", ".join(dict.fromkeys([RATE, *hyperparameters]))
    choices = f"You can sweep numbers of the optimizer ({rates})"
    if weights:
        choices += f" and the weights of {type(objective).__name__} ({', '.join(weights)})"

    def error(problem: str) -> SweptError:
        return SweptError(f"{problem} {choices}.")

    if RATE in over and plan.settings.learning_rate is not None:
        raise error(f"{RATE} is both swept and set to one number. Choose one of the two.")
    for name, values in over.items():
        if name not in {*weights, *hyperparameters}:
            raise error(f"Cannot sweep {name!r}: this training has no such number.")
        if not values or not all(math.isfinite(value) for value in values):
            raise error(f"{name} expects one or more finite numbers; got {tuple(values)!r}.")
        if len(set(values)) < len(values):
            raise error(f"{name} expects each number once; got {tuple(values)!r}.")
        if name == RATE and min(values) <= 0:
            raise error(f"{name} expects positive numbers; got {tuple(values)!r}.")
    try:
        with_swept(objective, {name: over[name] for name in over if name in weights})
    except (ValueError, TypeError) as cause:
        raise error(str(cause)) from cause


def _check_comparable(plan: RunPlan) -> None:
    """Raise ``ValueError`` unless the trainings have a validation ELBO, and run without recovery."""
    if plan.recovery is not None:
        raise ValueError(
            "A sweep does not support skip_batches and halve_rate: a training whose loss is not finite "
            "ends with its last good epoch. Use `probvae train` for such a training."
        )
    if plan.data.valid is None:
        raise ValueError(
            f"A sweep compares trainings by validation data; {plan.data.name} has none. Add an array "
            "`valid`, or remove the splits: the data are then split 80 / 10 / 10."
        )
    if reason := explain_no_density(plan.variant.vae):
        problem = f"A sweep compares trainings by the validation ELBO; this model has none: {reason}"
        raise ValueError(f"{problem} Use `probvae train` for each one.")


def _describe_trainings(plan: RunPlan, over: Over, seeds: range) -> list[str]:
    lines = []
    if RATE in over and plan.variant.optimizer is not None:
        lines.append(f"note: to sweep {RATE}, Adam replaces the model file's optimizer")
    total = len(seeds) * prod(map(len, over.values()))
    trainings = "1 training" if total == 1 else f"{total} trainings"
    epochs = f"{plan.epochs} epochs{' at most' if plan.early_stopping else ''}"
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    numbers = [f"{name}={','.join(f'{v:g}' for v in values)}" for name, values in over.items()]
    each = f" for each of {', '.join(numbers)}" if numbers else ""
    return [*lines, f"{trainings} of {epochs}: {which}{each}"]


# After the training: the table, the best training, and the files.


def _describe_duration(result: Sweep, seconds: float) -> str:
    counts = [fitted.history.num_epochs for fitted in result.fitted]
    low, high = min(counts), max(counts)
    epochs = f"{high} epochs" if low == high else f"{low} to {high} epochs"
    cut = ", interrupted" if result.interrupted else ""
    times = "once" if len(counts) == 1 else f"{len(counts)} times"
    return f"trained {times}, {epochs}{cut}, in {seconds:.1f} s"


def _write_results(folder: Path, result: Sweep, seeds: range, say: Callable[[str], Any]) -> None:
    best_line = describe_best(result, seeds)
    result.best().save(folder / files.BEST)
    files.write_text(folder / files.SWEEP, sweep_to_csv(result, seeds))
    for line in [*describe_combinations(result), best_line]:
        say(line)
    if figures.can_draw():
        path = folder / f"{Path(files.SWEEP).stem}.png"
        say(f"picture: {figures.save_figure(plots.sweep(result, names=seeds), path)}")
    say(f"every training: {folder / files.SWEEP}; the best: {folder / files.BEST}")


def sweep_to_csv(result: Sweep, seeds: Sequence[int]) -> str:
    """Return sweep.csv, a row per training with validation means in nats per datum.

    The rows are in the order of the swept numbers, then of the seeds. The means are those of the kept
    epoch, which counts from 1. It is 0 if no epoch was finite.
    """
    columns, text = result.columns(), io.StringIO()  # each column of shape (seeds, *swept values)
    table = csv.writer(text, lineterminator="\n")
    means = [f"validation_{name}" for name in BOUNDS]
    table.writerow([*result.over, "seed", "epochs", "kept_epoch", *means])
    for numbers, seed in product(_sort_combinations(result), range(len(seeds))):
        at = (seed, *numbers)
        epochs, epoch = int(columns["epochs"][at]), int(columns["kept_epoch"][at]) + 1
        bounds = [f"{columns[name][at]:.8g}" for name in BOUNDS]
        table.writerow([*_format_numbers(result, at[1:]), seeds[at[0]], epochs, epoch, *bounds])
    return text.getvalue()


class _Row(NamedTuple):
    elbo: float  # nan if no training of the combination is finite
    cells: list[str]


def describe_combinations(result: Sweep) -> list[str]:
    """Return a table with a line per combination, in the order of the numbers: means over trainings.

    Of more than ``MAX_ROWS`` combinations, those with the highest mean ELBO are shown.
    """
    columns = result.columns()
    rows = [_make_row(result, columns, at) for at in _sort_combinations(result)]
    elbos = np.nan_to_num([row.elbo for row in rows], nan=-np.inf)
    shown = sorted(np.argsort(-elbos, kind="stable")[:MAX_ROWS])
    best = int(np.argmax(elbos)) if np.isfinite(elbos).any() else -1
    marks = ["highest mean" if len(rows) > 1 and i == best else "" for i in shown]
    head = [*result.over, "trainings", "validation ELBO (nats)", "log-likelihood", "KL"]
    table = [head, *(rows[i].cells for i in shown)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(map(str.rjust, cells, widths)) for cells in table]
    lines = [f"{line}  {mark}".rstrip() for line, mark in zip(lines, ["", *marks], strict=True)]
    if hidden := len(rows) - len(shown):
        lines.append(f"and {hidden} more with a lower mean, all in {files.SWEEP}")
    return lines


def _sort_combinations(result: Sweep) -> list[tuple[int, ...]]:
    """Return the index of every combination, in the order of its numbers."""
    values = list(result.over.values())
    at = np.ndindex(result.shape[1:])
    return sorted(at, key=lambda at: [numbers[i] for numbers, i in zip(values, at, strict=True)])


def _make_row(result: Sweep, columns: dict[str, np.ndarray], at: tuple) -> _Row:
    bounds = [columns[name][(slice(None), *at)] for name in BOUNDS]  # each of shape (seeds,)
    finite = np.isfinite(bounds[0])
    n, total = int(finite.sum()), len(finite)
    cells = [*_format_numbers(result, at), str(n) if n == total else f"{n} of {total}"]
    if not n:
        return _Row(np.nan, [*cells, "not finite", "", ""])
    elbo, likelihood, kl = (values[finite] for values in bounds)
    error = f" +- {elbo.std(ddof=1) / np.sqrt(n):.2f}" if n > 1 else ""
    cells += [f"{elbo.mean():.2f}{error}", f"{likelihood.mean():.2f}", f"{kl.mean():.2f}"]
    return _Row(float(elbo.mean()), cells)


def describe_best(result: Sweep, seeds: Sequence[int]) -> str:
    """Return the training with the highest validation ELBO, in one line."""
    fitted = result.best()
    seed, *at = (int(i) for i in np.unravel_index(result.fitted.index(fitted), result.shape))
    numbers = zip(result.over, _format_numbers(result, at), strict=True)
    which = ", ".join([f"seed {seeds[seed]}", *(f"{name} {value}" for name, value in numbers)])
    epoch = fitted.history.kept_epoch
    elbo, likelihood, kl = (fitted.history.validation[name][epoch] for name in BOUNDS)
    bound = f"validation ELBO {elbo:.2f} = log-likelihood {likelihood:.2f} - KL {kl:.2f} nats"
    return f"best: {which}; {bound}, epoch {epoch + 1}"


def _format_numbers(result: Sweep, at: Sequence[int]) -> list[str]:
    return [f"{values[i]:.8g}" for values, i in zip(result.over.values(), at, strict=True)]
