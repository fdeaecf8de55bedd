"""What a run records."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

CONTINUED = "training continued"

NOT_RECORDED = ("kept", "usable")  # of an epoch that is looked at step by step


class Incident(NamedTuple):
    """A step that went wrong, and what was done about it.

    Its loss or its update was not finite, its gradient was too large to be squared, or the loss
    had jumped.

    Attributes:
        epoch: counted from 0.
        step: of the whole run, counted from 0.
        term: what was wrong.
        action: what was done.
        rows: of the training data, in the step's batch.
    """

    epoch: int
    step: int
    term: str
    action: str
    rows: tuple[int, ...]

    def __str__(self) -> str:
        rows = ", ".join(map(str, self.rows[:8])) + (", ..." if len(self.rows) > 8 else "")
        return f"step {self.step} (epoch {self.epoch + 1}): {self.term}; {self.action} (rows {rows})"


class History(NamedTuple):
    """A run's record. Nats per datum; ``loss`` is what was minimised, NumPyro's scaled sum.

    ``steps`` holds, for every step, ``loss`` and the parts: ``bound`` (what the objective maximises),
    ``log_likelihood``, ``kl`` and the mean standard deviations ``scale_x`` of p(x|z) and ``scale_z``
    of q(z|x), over the first data of the batch, and what the objective reports of its own (``BetaTC``,
    ``InfoVAE``). ``train`` holds their means over each epoch, and the
    ``elbo``, log_likelihood - kl; ``validation`` the same of the validation data, at the epoch's end,
    and nothing where there are none; where a part is no density (``PerceptualDistance``, ``PointMass``)
    there is no ``elbo``. NumPyro's own objectives report the loss alone. A likelihood with
    a training-set value (the optimal scale) is looked at with the value gathered over the epoch, while
    the parameters moved; the fitted VAE has that of the final ones. Where the decoder's weights have a
    prior, ``loss`` is that of all N training data and of the weights, -(N bound - KL(q(w) || p(w))), as
    each batch estimates it; all else is per datum, without the KL of the weights, at one draw of them
    for each batch. An epoch's mean of -loss / N is the whole ELBO per datum.

    ``best_epoch`` is the epoch, counted from 0, whose parameters were kept, where that was the one with
    the best validation ELBO: ``validation["elbo"][best_epoch]``. It is None where the last epoch's were
    kept. ``drop_since_best`` says by how many nats the last epoch is below the best.
    ``incidents`` are the steps that went wrong: not finite, with a gradient that has no square, or with
    a jump of the loss. A step that was skipped is in ``steps`` as it was seen, and in no mean.
    """

    steps: dict[str, np.ndarray]
    train: dict[str, np.ndarray]
    validation: dict[str, np.ndarray]
    best_epoch: int | None = None
    incidents: tuple[Incident, ...] = ()

    @property
    def num_epochs(self) -> int:
        """The number of epochs recorded."""
        return len(self.train["loss"]) if self.train else 0

    @property
    def kept_epoch(self) -> int:
        """The epoch, counted from 0, whose state was kept: the best, or the last; -1 before any."""
        return self.num_epochs - 1 if self.best_epoch is None else self.best_epoch

    @property
    def drop_since_best(self) -> float:
        """Nats of validation ELBO by which the last epoch is below the best; nan without an ELBO."""
        elbo = self.validation.get("elbo", ())
        best = find_best_epoch(elbo)
        return float("nan") if best is None else float(elbo[best] - elbo[-1])

    def describe_kept_epoch(self) -> str:
        """Say which epoch was kept and what the last one had lost; nothing without a choice."""
        best, lost = find_best_epoch(self.validation.get("elbo", ())), self.drop_since_best
        if best is None:
            return ""
        if best == self.num_epochs - 1:
            return f"epoch {best + 1}, the best and the last, is kept"
        nats = f"{lost:.2f} nats" if np.isfinite(lost) else "all: its validation ELBO is not finite"
        if self.best_epoch is not None:
            return f"epoch {best + 1}, the best, is kept (the last had lost {nats})"
        return f"epoch {self.num_epochs}, the last, is kept (it had lost {nats} since epoch {best + 1})"


class Recorder:
    """Gathers a history epoch by epoch."""

    def __init__(self) -> None:
        self._rows: tuple[list[dict], list[dict], list[dict]] = ([], [], [])
        self._incidents: tuple[Incident, ...] = ()

    @classmethod
    def after(cls, history: History) -> "Recorder":
        """Return one that goes on after a history."""
        recorder, n = cls(), history.num_epochs
        for index in range(n):
            steps = {k: v.reshape(n, -1, *v.shape[1:])[index] for k, v in history.steps.items()}
            train, valid = (
                {name: float(values[index]) for name, values in series.items()}
                for series in (history.train, history.validation)
            )
            recorder = recorder.with_epoch((steps, train, valid or None), ())
        recorder._incidents = history.incidents
        return recorder

    def with_epoch(self, row: tuple, incidents: tuple[Incident, ...]) -> "Recorder":
        """Return another with one epoch more: this one stays as it is, whatever interrupts."""
        longer = Recorder()
        for rows, before, new in zip(longer._rows, self._rows, row, strict=True):
            rows.extend([*before, *([] if new is None else [new])])
        longer._incidents = (*self._incidents, *incidents)
        return longer

    @property
    def num_epochs(self) -> int:
        """The number of epochs gathered."""
        return len(self._rows[1])

    @property
    def num_recovered(self) -> int:
        """The number of incidents so far that something was done about."""
        return sum(incident.action != CONTINUED for incident in self._incidents)

    def recent(self, num_steps: int) -> dict[str, np.ndarray]:
        """Return the series of the last two epochs, or of as many as have so many steps."""
        rows = self._rows[0]
        per_epoch = len(rows[-1]["loss"]) if rows else 1
        recent = rows[-max(2, -(-num_steps // per_epoch)) :]
        return _join_rows(recent, np.concatenate) or {"loss": np.zeros(0)}

    @property
    def last(self) -> tuple[dict, dict | None]:
        """The last epoch's means, of training and of validation."""
        return self._rows[1][-1], self._rows[2][-1] if self._rows[2] else None

    @property
    def elbo(self) -> list[float]:
        """The validation ELBO of each epoch; empty where there is none."""
        return [row["elbo"] for row in self._rows[2] if "elbo" in row]

    def history(self) -> History:
        """Return what was gathered."""
        steps, train, validation = self._rows
        means = _join_rows(train, _stack_rows), _join_rows(validation, _stack_rows)
        return History(_join_rows(steps, np.concatenate), *means, incidents=self._incidents)


def _stack_rows(values: list) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def _join_rows(rows: list[dict], join: Callable) -> dict[str, np.ndarray]:
    return {name: join([row[name] for row in rows]) for name in rows[0]} if rows else {}


def summarize_epoch(looked: tuple, *, bounded: bool) -> tuple[dict, dict, dict | None]:
    """Return one epoch's record: steps, means over them, validation; no ELBO where there is none."""
    steps, valid = looked
    kept = steps.get("kept", np.ones(len(steps["loss"]), bool))
    steps = {name: values for name, values in steps.items() if name not in NOT_RECORDED}
    train = {name: float(values[kept].mean(dtype=np.float64)) for name, values in steps.items()}
    if "kl" in train and bounded:
        train["elbo"] = train["log_likelihood"] - train["kl"]
    return (
        steps,
        train,
        None
        if valid is None
        else {k: float(v) for k, v in valid._asdict().items() if bounded or k != "elbo"},
    )


def format_epoch(train: dict, valid: dict | None) -> str:
    """Return an epoch's numbers in a line."""
    shown = valid or train
    if "kl" not in shown:
        return f"train loss {shown['loss']:.4g}"
    bound = f" ELBO {shown['elbo']:.2f} =" if "elbo" in shown else ""
    return (
        f"{'validation' if valid else 'train'}{bound} "
        f"log-likelihood {shown['log_likelihood']:.2f} - KL {shown['kl']:.2f} nats"
    )


def find_best_epoch(elbo: Any) -> int | None:
    """Return the first epoch of the highest finite ELBO; None where no ELBO is finite."""
    values = np.asarray(elbo, float)
    finite = np.isfinite(values)
    return int(np.where(finite, values, -np.inf).argmax()) if finite.any() else None
