"""The result of a sweep: a fitted VAE for each key and setting, by name and as a table."""

from typing import Any, NamedTuple

import numpy as np

from probvae.faq import cite
from probvae.fitted.fitted import Fitted

COLUMNS = ("elbo", "log_likelihood", "kl")


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
        try:
            import xarray
        except ImportError as error:
            raise ImportError(
                'Sweep.table needs xarray: pip install "probvae[arviz]". Or use Sweep.columns(). '
                f"{cite('missing-extra')}"
            ) from error
        dims = ("key", *self.over)
        columns = {name: (dims, values) for name, values in self.columns().items()}
        coords = {"key": range(self.num_keys), **{name: list(v) for name, v in self.over.items()}}
        return xarray.Dataset(columns, coords=coords)


def _row(fitted: Fitted) -> dict[str, float]:
    history, epoch = fitted.history, fitted.history.kept_epoch
    means = {name: float(series[epoch]) for name, series in history.validation.items()}
    row = {name: means.get(name, np.nan) for name in COLUMNS}
    return {**row, "epochs": history.num_epochs, "kept_epoch": epoch}
