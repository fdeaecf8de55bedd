"""Error messages for values outside a likelihood's support, with a remedy for each kind of data."""

from typing import NamedTuple

import numpy as np
from numpyro.distributions import constraints

from probvae.data import Schema
from probvae.data.column_types import AbstractColumn, Date
from probvae.distributions.rounded import positive_whole, whole
from probvae.faq import cite
from probvae.interfaces import AbstractLikelihood
from probvae.likelihoods import Joint

FEW_LEVELS = 20  # integers below this are more likely levels than grey values
MOST_GREY, MOST_PERCENT = 255, 100


class ColumnBlock(NamedTuple):
    """Columns of x with one likelihood. ``name`` is None if it covers all of x."""

    name: str | None
    columns: slice
    likelihood: AbstractLikelihood


class UnsupportedValues(NamedTuple):
    """The values of x, or of one block of its columns, with some outside the support.

    Attributes:
        likelihood: of the block.
        values: all observed values.
        bad: the values outside the support.
        first: the indices in x of the first of them, row first.
        place: the name of the data in the error.
        num_rows: of x.
        columns: the block's columns as an index, such as ``"0:3"``. None for all of x.
        on_fit: True for training data, which may go through an observation.
        can_mask: whether the VAE's likelihood allows a mask.
        column: the column of a table that all the values are from. None for arrays.
    """

    likelihood: AbstractLikelihood
    values: np.ndarray
    bad: np.ndarray
    first: tuple[int, ...]
    place: str
    num_rows: int
    columns: str | None
    on_fit: bool
    can_mask: bool
    column: AbstractColumn | None = None

    @property
    def x(self) -> str:
        """The code for these values."""
        if self.column is not None:
            return f'frame["{self.column.name}"]'
        return "x" if self.columns is None else f"x[..., {self.columns}]"

    @property
    def others(self) -> str:
        """The code for likelihoods of real numbers."""
        if self.column is None:
            return "likelihoods.Gaussian() or likelihoods.StudentT()"
        real = "likelihoods.Standardized(likelihoods.Gaussian())"
        return f'VAE.for_table(table, likelihoods={{"{self.column.name}": {real}}})'

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
        """True if all values are integers."""
        return bool((self.values == np.round(self.values)).all())

    @property
    def sentinel(self) -> float | None:
        """The one negative integer among the bad values, usually a code for "missing", or None."""
        code = float(self.bad[0])
        is_code = code < 0 and code == round(code) and (self.bad == code).all()
        return code if is_code and len(self.bad) < len(self.values) else None


def list_blocks(likelihood: AbstractLikelihood, schema: Schema | None = None) -> list[ColumnBlock]:
    """Return the blocks of a ``Joint``, nested ones too. Any other likelihood is one block.

    With the schema of a table, each column is a block with the column's name.
    """
    inner = likelihood
    while hasattr(inner, "base") and not isinstance(inner, Joint):  # Autoregressive, NotAtRandom
        inner = inner.base
    blocks = [ColumnBlock(None, slice(None), likelihood)]
    if isinstance(inner, Joint):
        blocks = [ColumnBlock(name, *block) for name, block in inner.named_blocks.items()]
    if schema is None:
        return blocks
    return [
        ColumnBlock(schema.names[i], slice(i, i + 1), block.likelihood)
        for block in blocks
        for i in range(*block.columns.indices(len(schema.names)))
    ]


def name_likelihood(likelihood: AbstractLikelihood) -> str:
    """Return the class of a likelihood and of those that it wraps: ``Standardized(LogNormal)``."""
    name, base = type(likelihood).__name__, getattr(likelihood, "base", None)
    return name if base is None else f"{name}({name_likelihood(base)})"


def support_error(data: UnsupportedValues) -> str:
    """Return the error message for values outside the support, with a remedy."""
    likelihood, bad = data.likelihood, data.bad
    unit = f" (days since {data.column.origin})" if isinstance(data.column, Date) else ""
    return (
        f"the likelihood {name_likelihood(likelihood)} expects {describe_support(likelihood)}; "
        f"{data.place} holds {bad.size:,} other values, such as {bad[0]:.6g}, in [{bad.min():.6g}, "
        f"{bad.max():.6g}]{unit}. {remedy(data)} {cite('outside-the-support')}"
    )


def describe_support(likelihood: AbstractLikelihood) -> str:
    """Return the values that a likelihood allows, in words."""
    support = likelihood.support
    if support is constraints.boolean:
        return "boolean values (0 or 1)"
    if support is constraints.nonnegative_integer:
        return "counts 0, 1, 2, ..."
    if support is constraints.positive:
        return "numbers above 0"
    if support is whole or support is positive_whole:
        return str(support)
    if _is_integer_interval(support):
        return f"levels {support.lower_bound}, ..., {support.upper_bound}"
    if hasattr(support, "count"):
        n = support.count
        return f"the {n} levels 0, 1/{n - 1}, ..., 1"
    if hasattr(support, "lower_bound") and hasattr(support, "upper_bound"):
        low, high = support.lower_bound, support.upper_bound
        is_open = type(support) is type(constraints.open_interval(0.0, 1.0))
        ends = " (0 and 1 excluded)" if is_open else ""
        return f"values in [{low:g}, {high:g}]{ends}"
    return f"{str(support).strip('_<>').lower().replace('()', '')} values"


def remedy(data: UnsupportedValues) -> str:
    """Return the advice for these values, by the support and by their range."""
    support = data.likelihood.support
    if support is constraints.boolean:
        return _for_bits(data)
    if support is whole:
        return _for_whole(data)
    if data.sentinel is not None:
        return _mask_remedy(data)
    if support is constraints.nonnegative_integer:
        return _for_counts(data)
    if support is constraints.positive or support is positive_whole:
        return _for_positive(data)
    if _is_integer_interval(support):
        return _for_levels(data, int(support.upper_bound))
    if hasattr(support, "count"):
        return _for_grey_levels(data, int(support.count))
    if hasattr(support, "lower_bound") and hasattr(support, "upper_bound"):
        return _for_shares(data)
    return _use_other_likelihood(data)


def _use_other_likelihood(data: UnsupportedValues) -> str:
    return f"Use a likelihood for such values, such as {data.others}."


def _mask_remedy(data: UnsupportedValues) -> str:
    code = f"{data.sentinel:g}"
    return f"If {code} means a missing value, {_hide(data, f'!= {code}')}"


def _hide(data: UnsupportedValues, condition: str) -> str:
    """Return how to mark values as missing: those for which the condition is False."""
    if not data.can_mask:
        return "drop these rows: this likelihood allows no mask."
    if data.column is not None:
        return f"empty these cells: np.where({data.x} {condition}, {data.x}, np.nan)."
    return f"give a mask: {_mask_code(data, condition)}."


def _mask_code(data: UnsupportedValues, condition: str) -> str:
    if data.columns is None:
        return f"Batch(x, mask=x {condition})"
    observed = f"mask[..., {data.columns}] = {data.x} {condition}"
    return f"mask = np.ones(x.shape, bool); {observed}; Batch(x, mask=mask)"


def _for_bits(data: UnsupportedValues) -> str:
    low, high, x = data.low, data.high, data.x
    if data.sentinel == -1 and not (data.values == 0).any():
        return f"To recode -1 and 1 as 0 and 1, use ({x} + 1) / 2."
    if data.sentinel is not None:
        return _mask_remedy(data)
    if data.are_integers and (low, high) == (1, 2):
        return f"To recode 1 and 2 as 0 and 1, use {x} - 1."
    if data.are_integers and 0 <= low and high < FEW_LEVELS:
        levels = f"For levels, use likelihoods.Categorical({int(high) + 1})."
        is_image = high > 2 and data.column is None
        return f"{levels} If they are grey levels, {_scale_grey(data)}" if is_image else levels
    if 0 <= low and high <= MOST_GREY and data.column is None:
        return _binarise(data, 1 if high <= 1 else MOST_GREY)
    return _use_other_likelihood(data)


def _scale_grey(data: UnsupportedValues) -> str:
    top = int(data.high)
    if data.columns is None and data.on_fit:
        grey, bits = f"observation=data.Rescale({top})", f"observation=data.Binarize(high={top})"
        return (
            f"scale them: fit(..., {grey}) with likelihoods.ContinuousBernoulli(), or {bits} for bits."
        )
    return f"scale them: {data.x} / {top}, with likelihoods.ContinuousBernoulli()."


def _binarise(data: UnsupportedValues, top: int) -> str:
    others = "likelihoods.ContinuousBernoulli() or " * (top == 1) + "likelihoods.Gaussian()"
    if data.columns is not None:
        how = f"np.random.default_rng(0).random({data.x}.shape) < {data.x} / {top}"
    elif data.on_fit:
        how = f"load(..., binarize='dynamic'), or fit(..., observation=data.Binarize(high={top}))"
    else:
        how = f"data.Binarize(high={top})(jax.random.key(0), x)"
    return f"Binarise grey values ({how}), or use a likelihood for such values, such as {others}."


def _for_counts(data: UnsupportedValues) -> str:
    if data.are_integers:
        return f"Counts are never negative. For differences, use {data.others}."
    if data.low < 0:
        return f"Give the raw counts, before standardisation, or use {data.others}."
    return (
        "Give the raw counts, before normalisation or a log transform. If they have rounding noise, "
        f"use np.round({data.x}). For other values, use {data.others}."
    )


def _for_whole(data: UnsupportedValues) -> str:
    if isinstance(data.column, Date):
        return (
            f"{_locate(data)} The model was trained on whole days. Give dates without a time of day, "
            "or train on dates that have one."
        )
    if data.column is None:
        other = "use the base alone, without likelihoods.Rounded"
    else:
        other = f"use {data.others}"
    return f"{_locate(data)} Round them, np.round({data.x}), or {other}."


def _locate(data: UnsupportedValues) -> str:
    row, *entry = data.first
    if data.column is not None:
        return f"The first is in row {row}."
    where = f"column {entry[0]}" if len(entry) == 1 else f"entry {tuple(entry)}"
    return f"The first is in row {row}, {where}."


def _for_positive(data: UnsupportedValues) -> str:
    first = _locate(data)
    if data.low < 0:
        return f"{first} For numbers of both signs, use {data.others}."
    if data.likelihood.support is positive_whole and (data.bad > 0).any():
        return _for_whole(data)
    above = data.values[data.values > 0]
    offset = f"{0.5 * above.min() if above.size else 1.0:.3g}"
    missing = _hide(data, "> 0")
    if data.can_mask:
        missing = f"drop these rows, or {missing}"
    if data.likelihood.support is positive_whole:
        add = f"add 1 to all: {data.x} + 1"
    else:
        add = f"add an offset, such as half of the smallest value above 0: {data.x} + {offset}"
    return (
        f"{first} 0 has no logarithm. If 0 means a value too small to measure, {add}. For exact zeros, "
        f"use {data.others}. If 0 means a missing value, {missing}"
    )


def _for_levels(data: UnsupportedValues, top: int) -> str:
    x, part = data.x, data.likelihood
    while hasattr(part, "base"):
        part = part.base
    family = type(part).__name__
    if not data.are_integers or data.low < 0:
        return (
            f"Number the levels of each column from 0, np.unique(column, return_inverse=True)[1], or "
            f"for numbers use {data.others}."
        )
    if data.low >= 1 and data.high == top + 1:
        return f"Levels start at 0: subtract 1, {x} - 1."
    return (
        f"Levels start at 0, so a highest level of {data.high:.0f} needs {int(data.high) + 1} levels. "
        f"Use likelihoods.{family}({int(data.high) + 1}), or number the levels of each column from "
        "0, np.unique(column, return_inverse=True)[1]."
    )


def _for_grey_levels(data: UnsupportedValues, count: int) -> str:
    top = count - 1
    if data.are_integers and 0 <= data.low and data.high <= top:
        return _divide(data, top)
    if 0 <= data.low and data.high <= 1:
        return (
            f"Round them to the levels, np.round({top} * {data.x}) / {top}, or use "
            "likelihoods.ContinuousBernoulli()."
        )
    return f"Divide by the largest possible value first, or use {data.others}."


def _for_shares(data: UnsupportedValues) -> str:
    x, low, high = data.x, data.low, data.high
    if 0 <= low and high <= 1:  # so the interval is open, and the bad values are 0 and 1
        text = (
            f"A share of exactly 0 or 1 has no density. Shrink all shares by ({x} * (n - 1) + 0.5) / n "
            f"with n = {data.num_rows:,} rows (Smithson and Verkuilen 2006)."
        )
        if low == 0 and high < 1 and data.can_mask and not data.columns:
            text += " If 0 means a missing value, give a mask, Batch(x, mask=x > 0)."
        return text
    if 0 <= low and high <= MOST_PERCENT:
        return _divide(data, MOST_PERCENT, "For shares in percent,")
    if 0 <= low and high <= MOST_GREY:
        return _divide(data, MOST_GREY)
    return _use_other_likelihood(data)


def _divide(data: UnsupportedValues, top: int, when: str = "For grey values,") -> str:
    if data.on_fit and data.columns is None:
        return f"{when} divide by {top}: fit(..., observation=data.Rescale({top}))."
    return f"{when} divide by {top}: {data.x} / {top}."


def _is_integer_interval(support: constraints.Constraint) -> bool:
    return type(support) is type(constraints.integer_interval(0, 1))
