"""A run's training in one line of text, and its epochs as a table (metrics.csv)."""

import csv
import io

from probvae.fitted import History
from probvae.fitted.history import format_count
from probvae.runs.run import Run

# The first of these in the history, from the most to the least informative.
NUMBERS = {
    "elbo": "{split} ELBO {value:.2f} nats",
    "log_likelihood": "{split} reconstruction {value:.2f} (no density)",
    "loss": "loss {value:.4g}",
}


def summarize_training(run: Run, seconds: float, *, interrupted: bool = False) -> str:
    """Return the number of epochs, the time, the quality of the kept epoch, and any incidents."""
    history, num_epochs = run.fitted.history, run.config["training"]["epochs"]
    split = "validation" if history.validation else "training"
    values = {k: v[history.kept_epoch] for k, v in (history.validation or history.train).items()}
    name = next(name for name in NUMBERS if name in values)
    result = NUMBERS[name].format(split=split, value=values[name])
    total = "" if history.num_epochs == num_epochs else f" of {num_epochs}"
    early = ", interrupted" if interrupted else ""
    incidents = history.incidents
    trouble = f", {format_count(len(incidents), 'incident')}" if incidents else ""
    count = format_count(history.num_epochs, "epoch") + total
    line = f"fitted {count}{early}{trouble} in {seconds:.1f} s, {result}"
    epoch = history.describe_kept_epoch()
    return f"{line}; {epoch}" if epoch else line


def epochs_to_csv(history: History) -> str:
    """Return metrics.csv: a row per epoch, with columns ``train_...`` and ``validation_...``."""
    series = {
        f"{split}_{name}": values
        for split in ("train", "validation")
        for name, values in getattr(history, split).items()
    }
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["epoch", *series])
    for at, row in enumerate(zip(*series.values(), strict=True)):
        table.writerow([at + 1, *(f"{value:.8g}" for value in row)])
    return text.getvalue()
