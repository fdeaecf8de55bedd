"""What a sweep says: what it is asked to do, and what it found, in rows of a file and in lines."""

import csv
import io
from collections.abc import Sequence
from math import prod

import numpy as np

from probvae.data import Data
from probvae.runs.settings import Settings, sizes, stopping
from probvae.runs.settings import protocol as of_data
from probvae.runs.swept import RATE, Over
from probvae.training import Sweep
from probvae.training.columns import unscaled
from probvae.variant import Variant

SHOWN = 20  # combinations in the short table


def protocol(settings: Settings, over: Over, seeds: range, variant: Variant, data: Data) -> list[str]:
    """Return what is done with the data, the model, and how many trainings of it there will be."""
    note = unscaled(variant.vae.likelihood, data.train)
    lines = [of_data(data, settings, variant), *([note] if note else []), str(variant.vae)]
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


def account(found: Sweep, seconds: float) -> str:
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


def lines(found: Sweep) -> list[str]:
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


def best(found: Sweep, seeds: Sequence[int]) -> str:
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
