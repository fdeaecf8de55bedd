"""Sensitivity to the prior and the likelihood, by power scaling of each row."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from probvae.faq import cite

POWER_SCALED = ("posterior", "log_prior", "log_likelihood")


def psense_per_row(tree: Any, **options: Any) -> Any:
    """Return ``arviz_stats.psense_summary`` of each row by itself, in one table.

    ArviZ alone scales the prior (or the likelihood) of all rows at once, so the weight of a draw is a
    product over rows. Rows are independent, and the answer for each row is the same on average. But
    the other rows add noise, which grows with their number.

    Args:
        tree: the result of ``to_datatree``.
        options: of ``psense_summary``, such as ``threshold``.

    Raises:
        ImportError: without ``arviz-stats``. Run ``pip install 'probvae[arviz]'``.
    """
    try:
        import pandas as pd
        from arviz_stats import psense_summary
    except ImportError as error:
        raise ImportError(
            f"psense_per_row needs arviz-stats: pip install 'probvae[arviz]'. {cite('missing-extra')}"
        ) from error
    with _silence("arviz_stats.psense"):  # it would warn once per row
        tables = [psense_summary(row, **options) for row in _rows(tree)]
    return pd.concat(tables)


def _rows(tree: Any) -> Iterator[Any]:
    """Yield a tree for each row, with the groups that power scaling needs."""
    import xarray as xr

    for row in range(tree["posterior"].sizes["datum"]):
        groups = {}
        for name in POWER_SCALED:
            dataset = tree[name].to_dataset()
            variables = {}
            for variable_name, variable in dataset.data_vars.items():
                dimension = variable.dims[-1]
                if "datum" in variable.dims:
                    variables[variable_name] = variable.isel(datum=[row])
                elif dimension.endswith("_entry"):  # one flat dimension for the entries of all rows
                    own = dataset[dimension.removesuffix("_entry") + "_datum"].to_numpy() == row
                    variables[variable_name] = variable.isel({dimension: own})
            groups[name] = xr.Dataset(variables)
        yield xr.DataTree.from_dict(groups)


@contextmanager
def _silence(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    was_disabled = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = was_disabled
