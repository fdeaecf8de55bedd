"""Power scaling of the prior and the likelihood, row by row."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

POWER_SCALED = ("posterior", "log_prior", "log_likelihood")


def psense_per_row(tree: Any, **options: Any) -> Any:
    """Return ``arviz_stats.psense_summary`` of each row by itself, in one table.

    Without this, ArviZ scales the prior (or the likelihood) of all rows at once. The weights of a draw
    are then a product over rows. The answer for each row is the same on average, because rows are
    independent, but the other rows add noise that grows with their number.

    Args:
        tree: what ``to_datatree`` returned.
        options: of ``psense_summary``, such as ``threshold``.

    Raises:
        ImportError: without ``arviz-stats``: ``pip install 'probvae[arviz]'``.
    """
    try:
        import pandas as pd
        from arviz_stats import psense_summary
    except ImportError as error:
        raise ImportError("psense_per_row needs arviz-stats: pip install 'probvae[arviz]'.") from error
    with _silence("arviz_stats.psense"):  # it would say once per row that there may be issues
        tables = [psense_summary(row, **options) for row in _rows(tree)]
    return pd.concat(tables)


def _rows(tree: Any) -> Iterator[Any]:
    """Return a tree for each row, with what power scaling reads."""
    import xarray as xr

    for row in range(tree["posterior"].sizes["datum"]):
        groups = {}
        for name in POWER_SCALED:
            dataset = tree[name].to_dataset()
            kept = {}
            for variable_name, variable in dataset.data_vars.items():
                place = variable.dims[-1]
                if "datum" in variable.dims:
                    kept[variable_name] = variable.isel(datum=[row])
                elif place.endswith("_entry"):  # one flat dimension for the entries of all rows
                    own = dataset[place.removesuffix("_entry") + "_datum"].to_numpy() == row
                    kept[variable_name] = variable.isel({place: own})
            groups[name] = xr.Dataset(kept)
        yield xr.DataTree.from_dict(groups)


@contextmanager
def _silence(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
