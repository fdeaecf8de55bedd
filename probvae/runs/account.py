"""What a run tells of its training: a line, and a table of its epochs."""

import csv
import io

from probvae.fitted import History
from probvae.fitted.summary import format_count
from probvae.runs.run import Run


def account(run: Run, seconds: float, *, interrupted: bool = False) -> str:
    """Say how many epochs were fitted, which of them is kept, how good it is, and what went wrong."""
    history, asked = run.fitted.history, run.config["training"]["epochs"]
    last = {k: v[history.kept_epoch] for k, v in (history.validation or history.train).items()}
    which = "validation" if history.validation else "training"
    shown = [name for name in ("elbo", "log_likelihood", "loss") if name in last][0]
    number = {
        "elbo": "{which} ELBO {value:.2f} nats",
        "log_likelihood": "{which} reconstruction {value:.2f} (no density)",
        "loss": "loss {value:.4g}",
    }[shown].format(which=which, value=last[shown])
    early = ", interrupted" if interrupted else ""
    kept = history.describe_kept_epoch()
    odd = f", {format_count(len(history.incidents), 'incident')}" if history.incidents else ""
    of = "" if history.num_epochs == asked else f" of {asked}"
    told = f"fitted {history.num_epochs} epochs{of}{early}{odd} in {seconds:.1f} s, {number}"
    return f"{told}; {kept}" if kept else told


def epochs_text(history: History) -> str:
    """Return metrics.csv: a row for each epoch, ``train_...`` and ``validation_...``."""
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
