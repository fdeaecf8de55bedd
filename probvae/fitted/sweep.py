"""The result of a sweep: a fitted VAE for each key and setting, by name and as a table."""

from itertools import product
from typing import Any, NamedTuple

import numpy as np

from probvae import html
from probvae.fitted.dataset import build_dataset
from probvae.fitted.fitted import Fitted
from probvae.fitted.history import format_count
from probvae.short_repr import short_repr

COLUMNS = ("elbo", "log_likelihood", "kl")
SHOWN_ROWS = 20


@short_repr
class Sweep(NamedTuple):
    """Fitted VAEs over keys and numbers.

    Attributes:
        over: the values by name, in the order of the axes.
        num_keys: the number of keys, which are the first axis.
        fitted: all fitted VAEs. The last name varies fastest.
        interrupted: True if Ctrl-C ended the sweep, so that some have fewer epochs than requested.
    """

    over: dict[str, tuple[float, ...]]
    num_keys: int
    fitted: tuple[Fitted, ...]
    interrupted: bool = False

    def __str__(self) -> str:
        names, rows = self._table()
        widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in (names, *rows)
        ]
        return "\n".join([self._describe(), *(f"  {line}" for line in lines), *self._hidden()])

    def _repr_html_(self) -> str:
        return html.block(
            html.lines([self._describe()]), html.columns(*self._table()), html.lines(self._hidden())
        )

    def _describe(self) -> str:
        swept = ", ".join(f"{len(values)} values of {name}" for name, values in self.over.items())
        text = f"Sweep of {len(self.fitted)} fitted VAEs: {format_count(self.num_keys, 'key')}"
        interrupted = " Interrupted: some have fewer epochs than requested." if self.interrupted else ""
        means = "Validation means at the kept epoch, in nats."
        return f"{text}{' x ' if swept else ''}{swept}. {means}{interrupted}"

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Return the names of the columns, and the first rows as text."""
        columns = {name: values.ravel() for name, values in self.columns().items()}
        names = ["key", *self.over, *COLUMNS, "epochs"]
        rows = []
        for index, (key, *values) in enumerate(product(range(self.num_keys), *self.over.values())):
            means = [f"{columns[name][index]:.2f}" for name in COLUMNS]
            numbers = [f"{value:g}" for value in values]
            rows.append([str(key), *numbers, *means, f"{columns['epochs'][index]:.0f}"])
        return names, rows[:SHOWN_ROWS]

    def _hidden(self) -> list[str]:
        more = len(self.fitted) - SHOWN_ROWS
        return [f"and {more} more: see Sweep.columns()"] if more > 0 else []

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of keys, and of values for each name."""
        return (self.num_keys, *(len(values) for values in self.over.values()))

    def at(self, key: int = 0, **numbers: float) -> Fitted:
        """Return one fitted VAE, by the index of its key and its numbers by name.

        Raises:
            KeyError: for numbers that the sweep does not have.
        """
        try:
            index = [self.over[name].index(numbers.pop(name)) for name in self.over]
            if numbers or not 0 <= key < self.num_keys:
                raise KeyError
        except (KeyError, ValueError):
            raise KeyError(
                f"Sweep.at expects a key below {self.num_keys} and one value for each of {self.over}."
            ) from None
        return self.fitted[int(np.ravel_multi_index((key, *index), self.shape))]

    def best(self) -> Fitted:
        """Return the fitted VAE with the highest validation ELBO at its kept epoch.

        Raises:
            ValueError: if none has a finite ELBO.
        """
        elbo = self.columns()["elbo"].ravel()
        if np.isnan(elbo).all():
            raise ValueError("no run of the sweep has a finite validation ELBO.")
        return self.fitted[int(np.nanargmax(elbo))]

    def columns(self) -> dict[str, np.ndarray]:
        """Return validation means at the kept epoch (nats) and epochs, each of shape ``shape``.

        ``elbo``, ``log_likelihood`` and ``kl`` are unweighted for every objective. They are NaN for a
        run without a finite epoch. ``kept_epoch`` is counted from 0.
        """
        rows = [_row(fitted) for fitted in self.fitted]
        return {name: np.reshape([row[name] for row in rows], self.shape) for name in rows[0]}

    def table(self) -> Any:
        """Return ``columns`` as an ``xarray.Dataset`` over ``key`` and the names of ``over``.

        Raises:
            ImportError: without xarray. Install it by ``pip install "probvae[arviz]"``.
        """
        coords = {"key": range(self.num_keys), **{name: list(v) for name, v in self.over.items()}}
        return build_dataset("Sweep", self.columns(), coords)


def _row(fitted: Fitted) -> dict[str, float]:
    history, epoch = fitted.history, fitted.history.kept_epoch
    means = {name: float(series[epoch]) for name, series in history.validation.items()}
    row = {name: means.get(name, np.nan) for name in COLUMNS}
    return {**row, "epochs": history.num_epochs, "kept_epoch": epoch}
