"""What to do about values that a likelihood gives no density to, by what the values look like."""

from typing import Any, NamedTuple

import numpy as np
from numpyro.distributions import constraints

from probvae.interfaces import AbstractLikelihood
from probvae.likelihoods import Joint

FEW_LEVELS = 20  # integers up to here are more likely levels than grey values
MOST_GREY, MOST_PERCENT = 255, 100


class RefusedValues(NamedTuple):
    """The values of data, or of one block of columns, some of which are outside the support.

    ``values`` holds all observed values, ``bad`` those outside; ``where`` names the data, ``columns``
    the block's columns as an index into x (None: all of x); ``on_fit`` is true for the training data,
    which may go through an observation.
    """

    likelihood: AbstractLikelihood
    values: np.ndarray
    bad: np.ndarray
    where: str
    num_rows: int
    columns: str | None
    on_fit: bool
    can_mask: bool

    @property
    def x(self) -> str:
        """What code would call these values."""
        return "x" if self.columns is None else f"x[..., {self.columns}]"

    @property
    def low(self) -> float:
        """The smallest of all values."""
        return float(self.values.min())

    @property
    def high(self) -> float:
        """The largest of all values."""
        return float(self.values.max())

    @property
    def are_integers(self) -> bool:
        """Whether all values are whole numbers."""
        return bool((self.values == np.round(self.values)).all())

    @property
    def sentinel(self) -> float | None:
        """The one negative number that all bad values are: a code for "missing", as a rule."""
        code = float(self.bad[0])
        is_code = code < 0 and code == round(code) and (self.bad == code).all()
        return code if is_code and len(self.bad) < len(self.values) else None


def list_blocks(likelihood: AbstractLikelihood) -> list[tuple[str | None, slice, AbstractLikelihood]]:
    """Return the name, the columns and the family of each block of a ``Joint``; else one of all x."""
    while hasattr(likelihood, "base"):  # Autoregressive, Spread
        likelihood = likelihood.base
    if not isinstance(likelihood, Joint):
        return [(None, slice(None), likelihood)]
    ends = np.cumsum(likelihood.sizes)
    return [
        (name, slice(int(end) - size, int(end)), part)
        for end, (name, size, part) in zip(ends, likelihood.blocks, strict=True)
    ]


def support_error(refused: RefusedValues) -> str:
    """Return the error for values outside the support: what was expected, what there is, a remedy."""
    likelihood, bad = refused.likelihood, refused.bad
    return (
        f"the likelihood {type(likelihood).__name__} takes {describe_support(likelihood)}; "
        f"{refused.where} holds {bad.size:,} others, such as {bad[0]:.4g}, in [{bad.min():.4g}, "
        f"{bad.max():.4g}]. {remedy(refused)}"
    )


def describe_support(likelihood: AbstractLikelihood) -> str:
    """Return the values that a likelihood takes, as its users write them."""
    support = likelihood.support
    if support is constraints.boolean:
        return "boolean values (0 or 1)"
    if support is constraints.nonnegative_integer:
        return "counts 0, 1, 2, ..."
    if _is_interval_of_integers(support):
        return f"levels {support.lower_bound}, ..., {support.upper_bound}"
    if hasattr(support, "count"):
        n = support.count
        return f"the {n} levels 0, 1/{n - 1}, ..., 1"
    if hasattr(support, "lower_bound") and hasattr(support, "upper_bound"):
        low, high = support.lower_bound, support.upper_bound
        ends = " (0 and 1 excluded)" if _excludes_ends(support) else ""
        return f"values in [{low:g}, {high:g}]{ends}"
    return f"{str(support).strip('_<>').lower().replace('()', '')} values"


def remedy(refused: RefusedValues) -> str:
    """Return what to do, by the support and by what the values look like."""
    support = refused.likelihood.support
    if support is constraints.boolean:
        return _for_bits(refused)
    if refused.sentinel is not None:
        return _mask_remedy(refused)
    if support is constraints.nonnegative_integer:
        return _for_counts(refused)
    if _is_interval_of_integers(support):
        return _for_levels(refused, int(support.upper_bound))
    if hasattr(support, "count"):
        return _for_grey_levels(refused, int(support.count))
    if hasattr(support, "lower_bound") and hasattr(support, "upper_bound"):
        return _for_shares(refused)
    return f"Take a likelihood for such values, as {_REAL}."


_REAL = "likelihoods.Gaussian() or likelihoods.StudentT()"


def _mask_remedy(refused: RefusedValues) -> str:
    code = f"{refused.sentinel:g}"
    if not refused.can_mask:
        return f"If {code} stands for a missing value, drop these rows: this likelihood takes no mask."
    if refused.columns is None:
        mask = f"Batch(x, mask=x != {code})"
    else:
        where = f"[..., {refused.columns}]"
        mask = f"mask = np.ones(x.shape, bool); mask{where} = x{where} != {code}; Batch(x, mask=mask)"
    return f"If {code} stands for a missing value, say so by a mask: {mask}."


def _for_bits(refused: RefusedValues) -> str:
    low, high, x = refused.low, refused.high, refused.x
    if refused.sentinel == -1 and not (refused.values == 0).any():
        return f"Values coded -1 and 1 become 0 and 1 by ({x} + 1) / 2."
    if refused.sentinel is not None:
        return _mask_remedy(refused)
    if refused.are_integers and (low, high) == (1, 2):
        return f"Values coded 1 and 2 become 0 and 1 by {x} - 1."
    if refused.are_integers and 0 <= low and high < FEW_LEVELS:
        return f"For levels take likelihoods.Categorical({int(high) + 1})."
    if 0 <= low and high <= MOST_GREY:
        return _binarise(refused, 1 if high <= 1 else MOST_GREY)
    return f"Take a likelihood for such values, as {_REAL}."


def _binarise(refused: RefusedValues, top: int) -> str:
    kept = "likelihoods.ContinuousBernoulli() or " * (top == 1) + "likelihoods.Gaussian()"
    if refused.columns is not None:
        how = f"np.random.default_rng(0).random({refused.x}.shape) < {refused.x} / {top}"
    elif refused.on_fit:
        how = f"load(..., binarize='dynamic'), or fit(..., observation=data.Binarize(high={top}))"
    else:
        how = f"data.Binarize(high={top})(jax.random.key(0), x)"
    return f"Binarise grey values ({how}), or take a likelihood for such values, as {kept}."


def _for_counts(refused: RefusedValues) -> str:
    if refused.are_integers:
        return f"Counts are never negative. For differences take {_REAL}."
    if refused.low < 0:
        return f"Give the counts themselves, before they were standardised, or take {_REAL}."
    return (
        "Give the counts themselves, before they were normalised or log-transformed. Counts with noise "
        f"become counts by np.round({refused.x}). For other values take {_REAL}."
    )


def _for_levels(refused: RefusedValues, top: int) -> str:
    x = refused.x
    if not refused.are_integers or refused.low < 0:
        return (
            f"Number the levels of each column from 0, np.unique(column, return_inverse=True)[1], or "
            f"for numbers take {_REAL}."
        )
    if refused.low >= 1 and refused.high == top + 1:
        return f"Levels start at 0: subtract 1, {x} - 1."
    return (
        f"Levels start at 0, so that {int(refused.high) + 1} of them go up to {refused.high:.0f}: take "
        f"likelihoods.Categorical({int(refused.high) + 1}), or number the levels of each column from "
        "0, np.unique(column, return_inverse=True)[1]."
    )


def _for_grey_levels(refused: RefusedValues, count: int) -> str:
    top = count - 1
    if refused.are_integers and 0 <= refused.low and refused.high <= top:
        return _divide(refused, top)
    if 0 <= refused.low and refused.high <= 1:
        return (
            f"Bring them to the levels, np.round({top} * {refused.x}) / {top}, or take "
            "likelihoods.ContinuousBernoulli()."
        )
    return f"Divide by the largest possible value first, or take {_REAL}."


def _for_shares(refused: RefusedValues) -> str:
    x, low, high = refused.x, refused.low, refused.high
    if 0 <= low and high <= 1:  # only an open interval refuses these: 0 and 1 themselves
        n = refused.num_rows
        masked = " If 0 stands for a missing value, give a mask, Batch(x, mask=x > 0)."
        return (
            f"A share of exactly 0 or 1 has no density. Move all shares inside by ({x} * (n - 1) + "
            f"0.5) / n with n = {n:,} rows (Smithson and Verkuilen 2006)."
            f"{masked if low == 0 and high < 1 and refused.can_mask and not refused.columns else ''}"
        )
    if 0 <= low and high <= MOST_PERCENT:
        return _divide(refused, MOST_PERCENT, "For shares in percent")
    if 0 <= low and high <= MOST_GREY:
        return _divide(refused, MOST_GREY, "For grey values")
    return f"Take a likelihood for such values, as {_REAL}."


def _divide(refused: RefusedValues, top: int, when: str = "For grey values") -> str:
    if refused.on_fit and refused.columns is None:
        return f"{when} divide by {top}: fit(..., observation=data.Rescale({top}))."
    return f"{when} divide by {top}: {refused.x} / {top}."


def _is_interval_of_integers(support: Any) -> bool:
    return type(support) is type(constraints.integer_interval(0, 1))


def _excludes_ends(support: Any) -> bool:
    return type(support) is type(constraints.open_interval(0.0, 1.0))
