"""Warnings about columns of a table whose scales are hard for nets to learn from."""

import numpy as np
from numpyro.distributions import constraints

from probvae.data import Cast
from probvae.data_description import DataSummary, Ranges
from probvae.data_remedies import list_blocks
from probvae.distributions.rounded import whole
from probvae.faq import cite
from probvae.interfaces import AbstractLikelihood
from probvae.likelihoods import NotAtRandom, Rounded, Standardized
from probvae.user_warnings import warn_user

FAR = 3.0  # of a column's mean from 0, in its standard deviations
WIDE = 5.0  # of a column's standard deviation from 1, as a factor
APART = 100.0  # of two columns' standard deviations, as a factor
ABSURD = -1e6  # nats per row
RARE = 20.0  # standard deviations: a column with a wider range is constant but for a few rows


def describe_unscaled_columns(likelihood: AbstractLikelihood, x: np.ndarray) -> str | None:
    """Return a note on real-valued columns far from mean 0 and standard deviation 1, or None.

    ``fit`` itself warns about columns whose scales are far apart, so they give no note.

    Args:
        likelihood: its support tells which columns are real-valued.
        x: vectors ``(n, columns)``. Images and other arrays give no note.
    """
    ranges = _measure_columns(likelihood, x)
    if ranges is None or not _are_far(ranges) or _are_apart(ranges):
        return None
    return f"note: {_describe_columns(ranges)}"


def describe_useless_fit(likelihood: AbstractLikelihood, x: np.ndarray, elbo: float) -> str | None:
    """Return a note on a fit whose ELBO per row is absurdly low for unscaled columns, or None."""
    if elbo > ABSURD:
        return None
    ranges = _measure_columns(likelihood, x)
    if ranges is None or not (_are_far(ranges) or _are_apart(ranges)):
        return None
    return (
        f"note: an ELBO of {elbo:.3g} nats per row is absurd. The columns of x were not standardised, "
        "so this fit is probably useless. Use (x - mean) / sd of each column, and train again. "
        f"{cite('columns-on-other-scales')}"
    )


def _measure_columns(likelihood: AbstractLikelihood, x: np.ndarray) -> Ranges | None:
    if x.ndim != 2:
        return None
    data_summary = DataSummary(x.shape[1:], Cast())
    has_gaps = x.dtype.kind == "f" and bool(np.isnan(x).any())
    data_summary.add(x, x, ~np.isnan(x) if has_gaps else None)
    return _real_columns(likelihood, data_summary.description().x)


def _are_far(ranges: Ranges) -> bool:
    mean, sd = np.asarray(ranges.mean), np.asarray(ranges.sd)
    return bool((np.abs(mean) > FAR * sd).any() or (np.abs(np.log(sd)) > np.log(WIDE)).any())


def warn_of_column_scales(likelihood: AbstractLikelihood, ranges: Ranges) -> None:
    """Warn about real-valued columns on very different scales, which one learned scale cannot model."""
    real = _real_columns(likelihood, ranges)
    if _are_apart(real):
        warn_user(_describe_columns(real))


def _describe_columns(ranges: Ranges) -> str:
    r"""Return the scales of the columns, and the advice to standardise them.

    Initial weights suit inputs and outputs of about size 1. Other scales take far more steps. With
    $y = (x - m) / s$ for each column, $\log p(x) = \log p(y) - \sum \log s$ in nats.
    """
    mean, sd = np.asarray(ranges.mean), np.asarray(ranges.sd)
    return (
        f"the columns of x have means from {mean.min():.3g} to {mean.max():.3g} and standard "
        f"deviations from {sd.min():.3g} to {sd.max():.3g}; nets learn best near 0 and 1. Use "
        "likelihoods.Standardized(...) around the likelihood: the nets then work with (x - mean) / sd, "
        "and log p(x) stays in the units of x. If you standardize x yourself, log p(x) of the raw data "
        "= log p of the standardized data - sum of log sd. Here the sum is "
        f"{np.log(sd).sum():.2f} nats. "
        f"{cite('columns-on-other-scales')}"
    )


def _real_columns(likelihood: AbstractLikelihood, ranges: Ranges) -> Ranges:
    """Return the ranges of the real-valued columns that vary: none if x is not a vector."""
    varies = np.zeros(len(ranges.sd), bool)
    if _is_standardized(likelihood):
        return Ranges((), (), (), ())
    for block in list_blocks(likelihood):
        is_raw = not _is_standardized(block.likelihood)
        varies[block.columns] = is_raw and block.likelihood.support in (constraints.real, whole)
    with np.errstate(invalid="ignore"):
        varies &= np.asarray(ranges.sd) > 0
    return Ranges(*(tuple(np.asarray(each)[varies].tolist()) for each in ranges))


def _are_apart(ranges: Ranges) -> bool:
    """Tell whether the scales of columns are far apart.

    A pixel that is dark in nearly all images has a small standard deviation and a wide range. It is not
    a column in another unit, so it is ignored.
    """
    low, high, _, sd = (np.asarray(each) for each in ranges)
    sd = sd[high - low <= RARE * sd]
    return len(sd) > 1 and bool(sd.max() > APART * sd.min())


def _is_standardized(likelihood: AbstractLikelihood) -> bool:
    base = likelihood.base if isinstance(likelihood, NotAtRandom | Rounded) else likelihood
    return isinstance(base, Standardized)
