"""What a sweep found: a fitted VAE for each key and number, as a table and by name."""

from typing import Any, NamedTuple

import numpy as np

from probvae.fitted.fitted import Fitted

COLUMNS = ("elbo", "log_likelihood", "kl")


class Sweep(NamedTuple):
    """Trainings over keys and numbers.

    Attributes:
        over: the values by name, in the order of the axes.
        num_keys: the number of keys, the first axis.
        fitted: every training, the last name's values next to each other.
        interrupted: whether Ctrl-C ended it: some have fewer epochs than they would have had.
    """

    over: dict[str, tuple[float, ...]]
    num_keys: int
    fitted: tuple[Fitted, ...]
    interrupted: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Keys, and values of each name."""
        return (self.num_keys, *(len(values) for values in self.over.values()))

    def at(self, key: int = 0, **numbers: float) -> Fitted:
        """Return a training: the number of its key, and its numbers by name.

        Raises:
            KeyError: for numbers that were not swept.
        """
        try:
            where = [self.over[name].index(numbers.pop(name)) for name in self.over]
            if numbers or not 0 <= key < self.num_keys:
                raise KeyError
        except (KeyError, ValueError):
            raise KeyError(
                f"no such training: expected a key below {self.num_keys} and one value for each of "
                f"{self.over}."
            ) from None
        return self.fitted[int(np.ravel_multi_index((key, *where), self.shape))]

    def best(self) -> Fitted:
        """Return the training with the highest validation ELBO, of the epochs that are kept.

        Raises:
            ValueError: if no training has one.
        """
        elbo = self.columns()["elbo"].ravel()
        if np.isnan(elbo).all():
            raise ValueError("no training has a validation ELBO: each stopped being finite at once.")
        return self.fitted[int(np.nanargmax(elbo))]

    def columns(self) -> dict[str, np.ndarray]:
        """Return, for each training, validation means of the epoch that is kept (nats), and counts.

        ``elbo``, ``log_likelihood`` and ``kl`` are unweighted, whatever the objective: nan where no
        epoch was finite. ``kept_epoch`` is counted from 0.
        """
        rows = [_row(one) for one in self.fitted]
        return {name: np.reshape([row[name] for row in rows], self.shape) for name in rows[0]}

    def table(self) -> Any:
        """Return ``columns`` as an ``xarray.Dataset`` over ``key`` and what was swept.

        Raises:
            ImportError: where xarray is not installed: ``pip install "probvae[arviz]"``.
        """
        try:
            import xarray
        except ImportError as error:
            raise ImportError(
                'a table needs xarray: pip install "probvae[arviz]". Without it: sweep.columns().'
            ) from error
        dims = ("key", *self.over)
        held = {name: (dims, values) for name, values in self.columns().items()}
        coords = {"key": range(self.num_keys), **{name: list(v) for name, v in self.over.items()}}
        return xarray.Dataset(held, coords=coords)


def _row(fitted: Fitted) -> dict[str, float]:
    history, kept = fitted.history, fitted.history.kept_epoch
    known = {name: float(series[kept]) for name, series in history.validation.items()}
    row = {name: known.get(name, np.nan) for name in COLUMNS}
    return {**row, "epochs": history.num_epochs, "kept_epoch": kept}
