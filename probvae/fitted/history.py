"""The training history: losses and ELBO by step and by epoch, and incidents."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from probvae import html
from probvae.short_repr import short_repr
from probvae.typing import Metrics

CONTINUED = "training continued"

SHOWN_INCIDENTS = 3
NOT_RECORDED = ("kept", "usable")  # series of the training loop that no history holds


@short_repr
class Incident(NamedTuple):
    """A training step that failed, and the action that followed.

    The loss or the update was not finite, the squared gradient overflowed, or the loss jumped.

    Attributes:
        epoch: counted from 0.
        step: counted from 0, over the whole run.
        term: the fault, in words.
        action: the action, in words.
        rows: the rows of the training data in the batch.
    """

    epoch: int
    step: int
    term: str
    action: str
    rows: tuple[int, ...]

    def __str__(self) -> str:
        rows = ", ".join(map(str, self.rows[:8])) + (", ..." if len(self.rows) > 8 else "")
        return f"step {self.step} (epoch {self.epoch + 1}): {self.term}; {self.action} (rows {rows})"


@short_repr
class History(NamedTuple):
    """The record of a training run, in nats per datum except ``loss``.

    The series are:

    - ``loss``: the minimised loss, which is NumPyro's scaled sum over the data.
    - ``bound``: the bound that the objective maximises.
    - ``log_likelihood`` and ``kl``, and in ``train`` and ``validation`` their difference ``elbo``.
      There is no ``elbo`` if a part is not a density (``PerceptualDistance``, ``PointMass``).
    - ``scale_x`` and ``scale_z``: mean standard deviations of p(x|z) and q(z|x), over the first data
      of the batch.
    - the quantities that an objective reports itself (``BetaTC``, ``InfoVAE``).

    NumPyro's own objectives report ``loss`` alone. A likelihood with a training-set value (the optimal
    scale) uses the value gathered during the epoch, while the parameters moved. The fitted VAE has the
    value for its final parameters.

    If the decoder's weights $w$ have a prior, ``loss`` covers all $N$ training data and the weights:
    $-(N bound - KL(q(w) || p(w)))$, estimated from each batch. The other series are per datum, at one
    draw of $w$ per batch and without its KL. The mean of $-loss / N$ over an epoch is the whole ELBO
    per datum.

    Attributes:
        steps: a value for each step. It includes steps that were skipped.
        train: the mean of each series over each epoch, without skipped steps.
        validation: the same on the validation data at the end of each epoch. Empty without them.
        best_epoch: the epoch, counted from 0, with the best validation ELBO, if ``fit`` returned its
            parameters. None if it returned those of the last epoch.
        incidents: the steps that failed.
    """

    steps: dict[str, np.ndarray]
    train: dict[str, np.ndarray]
    validation: dict[str, np.ndarray]
    best_epoch: int | None = None
    incidents: tuple[Incident, ...] = ()

    def __str__(self) -> str:
        rows = [f"  {name:<16} {text}" for name, text in self.describe().items()]
        return "\n".join([self.describe_length(), *rows, *self.describe_incidents()])

    def _repr_html_(self) -> str:
        incidents = [html.lines(self.describe_incidents())] if self.incidents else []
        return html.block(html.lines([self.describe_length()]), html.table(self.describe()), *incidents)

    @property
    def num_epochs(self) -> int:
        """The number of epochs recorded."""
        return len(self.train["loss"]) if self.train else 0

    @property
    def kept_epoch(self) -> int:
        """The epoch, counted from 0, whose parameters were kept: the best or the last. -1 for none."""
        return self.num_epochs - 1 if self.best_epoch is None else self.best_epoch

    @property
    def drop_since_best(self) -> float:
        """Nats of validation ELBO by which the last epoch is below the best; nan without an ELBO."""
        elbo = self.validation.get("elbo", ())
        best = find_best_epoch(elbo)
        return float("nan") if best is None else float(elbo[best] - elbo[-1])

    def describe_length(self, seconds: float | None = None) -> str:
        """Return the number of epochs, their time and the kept epoch, in words."""
        time = "" if seconds is None else f" in {seconds:.1f} s"
        kept = self.describe_kept_epoch()
        return f"{format_count(self.num_epochs, 'epoch')}{time}{'; ' if kept else ''}{kept}"

    def describe(self) -> dict[str, str]:
        """Return the first, the best and the last ELBO of each split, or else of what it has."""
        splits = {split: getattr(self, split) for split in ("train", "validation")}
        return dict(_describe_series(*item) for item in splits.items() if item[1])

    def describe_incidents(self) -> list[str]:
        """Return the number of incidents and the first few, as lines of text."""
        lines = [f"  {format_count(len(self.incidents), 'incident')}:"] if self.incidents else []
        lines += [f"    {incident}" for incident in self.incidents[:SHOWN_INCIDENTS]]
        more = len(self.incidents) - SHOWN_INCIDENTS
        return lines + ([f"    and {more} more"] if more > 0 else [])

    def describe_kept_epoch(self) -> str:
        """Return which epoch was kept and the loss since, in words. "" without a validation ELBO."""
        best, lost = find_best_epoch(self.validation.get("elbo", ())), self.drop_since_best
        if best is None:
            return ""
        if best == self.num_epochs - 1:
            return f"epoch {best + 1}, the best and the last, is kept"
        nats = f"{lost:.2f} nats" if np.isfinite(lost) else "all: its validation ELBO is not finite"
        if self.best_epoch is not None:
            return f"epoch {best + 1}, the best, is kept (the last had lost {nats})"
        return f"epoch {self.num_epochs}, the last, is kept (it had lost {nats} since epoch {best + 1})"


def _describe_series(split: str, series: dict[str, np.ndarray]) -> tuple[str, str]:
    name = next(name for name in ("elbo", "log_likelihood", "loss") if name in series)
    values = series[name]
    best = values.argmin() if name == "loss" else values.argmax()
    unit = "" if name == "loss" else " nats"
    best_text = f"best {values[best]:.2f} (epoch {best + 1})"
    text = f"first {values[0]:.2f}, {best_text}, last {values[-1]:.2f}{unit}"
    return f"{split} {'ELBO' if name == 'elbo' else name}", text


def format_count(n: int, noun: str) -> str:
    """Return a number with its noun, such as ``"3 incidents"``."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


@short_repr
class EpochRecord(NamedTuple):
    """The record of one epoch: values of each step, their means, and the validation means."""

    steps: dict[str, np.ndarray]
    train: dict[str, float]
    validation: dict[str, float] | None


class Recorder:
    """A growing history, epoch by epoch."""

    def __init__(self) -> None:
        self._rows: tuple[list[dict], list[dict], list[dict]] = ([], [], [])
        self._incidents: tuple[Incident, ...] = ()

    @classmethod
    def resume(cls, history: History) -> "Recorder":
        """Return a recorder that already holds a history."""
        recorder, n = cls(), history.num_epochs
        for index in range(n):
            steps = {k: v.reshape(n, -1, *v.shape[1:])[index] for k, v in history.steps.items()}
            train, valid = (
                {name: float(values[index]) for name, values in series.items()}
                for series in (history.train, history.validation)
            )
            recorder = recorder.with_epoch(EpochRecord(steps, train, valid or None), ())
        recorder._incidents = history.incidents
        return recorder

    def with_epoch(self, record: EpochRecord | None, incidents: tuple[Incident, ...]) -> "Recorder":
        """Return a copy with one more epoch, or with none if it failed.

        It is a copy so that an interrupt cannot leave the record half changed.
        """
        longer = Recorder()
        for rows, before, new in zip(longer._rows, self._rows, record or (None,) * 3, strict=True):
            rows.extend([*before, *([] if new is None else [new])])
        longer._incidents = (*self._incidents, *incidents)
        return longer

    @property
    def num_epochs(self) -> int:
        """The number of epochs recorded."""
        return len(self._rows[1])

    @property
    def num_recovered(self) -> int:
        """The number of incidents so far that were repaired."""
        return sum(incident.action != CONTINUED for incident in self._incidents)

    def recent(self, num_steps: int) -> dict[str, np.ndarray]:
        """Return the series of the last ``num_steps`` steps: whole epochs, two at least."""
        rows = self._rows[0]
        per_epoch = len(rows[-1]["loss"]) if rows else 1
        recent = rows[-max(2, -(-num_steps // per_epoch)) :]
        return _join_rows(recent, np.concatenate) or {"loss": np.zeros(0)}

    @property
    def last(self) -> tuple[dict, dict | None]:
        """The means of the last epoch: on training data, and on validation data if there are any."""
        return self._rows[1][-1], self._rows[2][-1] if self._rows[2] else None

    @property
    def elbo(self) -> list[float]:
        """The validation ELBO of each epoch. Empty without one."""
        return [row["elbo"] for row in self._rows[2] if "elbo" in row]

    def history(self) -> History:
        """Return the history of all epochs so far."""
        steps, train, validation = self._rows
        stack = partial(np.asarray, dtype=np.float64)
        means = _join_rows(train, stack), _join_rows(validation, stack)
        return History(_join_rows(steps, np.concatenate), *means, incidents=self._incidents)


def _join_rows(rows: list[dict], join: Callable) -> dict[str, np.ndarray]:
    return {name: join([row[name] for row in rows]) for name in rows[0]} if rows else {}


def summarize_epoch(steps: Metrics, validation: Any, *, bounded: bool) -> EpochRecord:
    """Return the record of one epoch: its steps, their means, and the validation means.

    Args:
        steps: a value for each step. ``kept`` is False for skipped steps, which no mean includes.
        validation: a NamedTuple of the terms of the ELBO on the validation data, or None.
        bounded: whether the parts are densities, so that there is an ELBO.
    """
    was_taken = steps.get("kept", np.ones(len(steps["loss"]), bool))
    steps = {k: values for k, values in steps.items() if k not in NOT_RECORDED}
    train = {name: float(values[was_taken].mean(dtype=np.float64)) for name, values in steps.items()}
    if "kl" in train and bounded:
        train["elbo"] = train["log_likelihood"] - train["kl"]
    terms = {} if validation is None else validation._asdict()
    valid = {name: float(value) for name, value in terms.items() if bounded or name != "elbo"}
    return EpochRecord(steps, train, None if validation is None else valid)


def format_epoch(train: Metrics, validation: Metrics | None) -> str:
    """Return the means of an epoch on one line."""
    means = validation or train
    if "kl" not in means:
        return f"train loss {means['loss']:.4g}"
    bound = f" ELBO {means['elbo']:.2f} =" if "elbo" in means else ""
    return (
        f"{'validation' if validation else 'train'}{bound} "
        f"log-likelihood {means['log_likelihood']:.2f} - KL {means['kl']:.2f} nats"
    )


def find_best_epoch(elbo: Sequence[float] | np.ndarray) -> int | None:
    """Return the first epoch with the highest finite ELBO. None if no ELBO is finite."""
    values = np.asarray(elbo, float)
    finite = np.isfinite(values)
    return int(np.where(finite, values, -np.inf).argmax()) if finite.any() else None
