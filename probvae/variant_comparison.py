"""The result of ``compare_variants``: log p(x) of each variant over seeds, and paired differences."""

import math
from typing import Any, NamedTuple

import numpy as np

from probvae import html
from probvae.fitted import Fitted
from probvae.fitted.dataset import build_dataset
from probvae.short_repr import short_repr
from probvae.training.sweeps.vmapped import ENDED

HEAD = ("log p(x)", "ELBO", "difference", "keys that agree", "error over data")


@short_repr
class VariantComparison(NamedTuple):
    """Held-out log p(x) of m variants, each trained with the same k keys, on the same n rows, in nats.

    A difference is that to the ``reference`` variant, key by key: the same key, order of the data and
    test rows on both sides. Its standard error over keys says how much it would change if you trained
    both variants again. ``row_standard_error`` says how much it would change with other test rows.

    Attributes:
        names: the variants' names.
        reference: the name of the variant that the differences are to.
        log_prob: importance-weighted bounds on log p(x), of shape ``(m, k, n)``.
        elbo: the ELBO, of shape ``(m, k, n)``.
        num_particles: draws of z per row in ``log_prob``.
        fitted: the fitted VAEs, ``fitted[variant][key]``.
    """

    names: tuple[str, ...]
    reference: str
    log_prob: np.ndarray
    elbo: np.ndarray
    num_particles: int
    fitted: tuple[tuple[Fitted, ...], ...]

    @property
    def num_keys(self) -> int:
        """The number k of keys, which are the trainings of each variant."""
        return self.log_prob.shape[1]

    @property
    def num_data(self) -> int:
        """The number n of test rows."""
        return self.log_prob.shape[2]

    @property
    def mean(self) -> np.ndarray:
        """The mean of log p(x) over rows and keys, of shape ``(m,)``."""
        return self.log_prob.mean((1, 2))

    @property
    def standard_error(self) -> np.ndarray:
        """The standard error of ``mean`` over keys, ``(m,)``. NaN for one key."""
        return _standard_error(self.log_prob.mean(2))

    @property
    def differences(self) -> np.ndarray:
        """The mean log p(x) minus that of the reference with the same key, of shape ``(m, k)``."""
        return self._row_differences().mean(2)

    @property
    def difference(self) -> np.ndarray:
        """The mean of ``differences`` over keys, ``(m,)``."""
        return self.differences.mean(1)

    @property
    def difference_standard_error(self) -> np.ndarray:
        """The standard error of ``difference`` over keys, ``(m,)``. NaN for one key."""
        return _standard_error(self.differences)

    @property
    def row_standard_error(self) -> np.ndarray:
        """The standard error of ``difference`` over test rows, as draws from a population, ``(m,)``."""
        return _standard_error(self._row_differences().mean(1))

    @property
    def num_agree(self) -> np.ndarray:
        """The number of keys whose difference has the sign of the mean difference, ``(m,)``."""
        return (np.sign(self.differences) == np.sign(self.difference)[:, None]).sum(1)

    def _row_differences(self) -> np.ndarray:
        return self.log_prob - self.log_prob[self.names.index(self.reference)]

    def columns(self) -> dict[str, np.ndarray]:
        """Return a number per variant and key, each of shape ``(m, k)``.

        ``log_prob``, ``elbo`` and ``difference`` are means over rows, in nats. ``kept_epoch`` counts
        from 0.
        """
        histories = [[fitted.history for fitted in row] for row in self.fitted]
        return {
            "log_prob": self.log_prob.mean(2),
            "elbo": self.elbo.mean(2),
            "difference": self.differences,
            "epochs": np.array([[history.num_epochs for history in row] for row in histories]),
            "kept_epoch": np.array([[history.kept_epoch for history in row] for row in histories]),
        }

    def table(self) -> Any:
        """Return ``columns`` as an ``xarray.Dataset`` over ``variant`` and ``key``.

        Raises:
            ImportError: without xarray. Install it by ``pip install "probvae[arviz]"``.
        """
        coords = {"variant": list(self.names), "key": range(self.num_keys)}
        return build_dataset("VariantComparison", self.columns(), coords)

    def __str__(self) -> str:
        rows = [("variant", *HEAD), *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]).rstrip()
            for cells in rows
        ]
        return "\n".join([self._title(), *lines, *self.notes()])

    def _repr_html_(self) -> str:
        title = html.Markup("<p>{}</p>").format(self._title())
        notes = (html.Markup('<p class="probvae-quiet">{}</p>').format(note) for note in self.notes())
        return html.block(title, html.columns(("variant", *HEAD), self._rows()), *notes)

    def _title(self) -> str:
        trainings = "1 training" if self.num_keys == 1 else f"{self.num_keys} trainings"
        data = f"{self.num_data:,} data, {self.num_particles:,} particles"
        return (
            f"held-out log p(x) in nats per datum: {trainings} of each variant, {data}; "
            f"difference: to {self.reference!r}, key by key"
        )

    def _rows(self) -> list[tuple[str, ...]]:
        elbo = self.elbo.mean(2)
        numbers = zip(
            *(self.names, self.mean, self.standard_error, elbo.mean(1), _standard_error(elbo)),
            *(self.difference, self.difference_standard_error, self.num_agree, self.row_standard_error),
            strict=True,
        )
        rows: list[tuple[str, ...]] = []
        for name, mean, error, bound, bound_error, gain, gain_error, agree, row_error in numbers:
            cells = (name, _format_pair(mean, error), _format_pair(bound, bound_error))
            own = name == self.reference
            rest = (
                _format_pair(gain, gain_error, sign="+"),
                f"{agree} of {self.num_keys}",
                f"{row_error:.3f}" if math.isfinite(row_error) else "",
            )
            rows.append((*cells, *(("", "", "") if own else rest)))
        return rows

    def notes(self) -> list[str]:
        """Return what to keep in mind about these numbers, such as trainings that ended early."""
        notes = []
        if self.num_keys == 1:
            notes.append("one key gives no standard error: train each variant with three keys or more")
        for name, bounds, row in zip(self.names, self.log_prob, self.fitted, strict=True):
            for key, (values, fitted) in enumerate(zip(bounds, row, strict=True)):
                if num := int((~np.isfinite(values)).sum()):
                    notes.append(f"{name}, key {key}: log p(x) is not finite for {num:,} rows")
                if any(incident.action == ENDED for incident in fitted.history.incidents):
                    num_epochs = fitted.history.num_epochs
                    notes.append(f"{name}, key {key}: the loss was not finite after epoch {num_epochs}")
        return notes


def _standard_error(values: np.ndarray) -> np.ndarray:
    """Return the standard error of means over the last axis, with its entries as independent draws."""
    n = values.shape[-1]
    if n == 1:
        return np.full(values.shape[:-1], np.nan)
    return values.std(axis=-1, ddof=1) / math.sqrt(n)


def _format_pair(value: float, error: float, *, sign: str = "-") -> str:
    if not math.isfinite(value):
        return "not finite"
    return f"{value:{sign}.3f}" + (f" +- {error:.3f}" if math.isfinite(error) else "")
