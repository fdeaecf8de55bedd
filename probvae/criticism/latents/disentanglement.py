"""Disentanglement: scores of whether each known factor of the data has its own unit of the code."""

from typing import Any, NamedTuple

import jax
import numpy as np

from probvae.checks import check_draw_arguments, check_positive_integer
from probvae.inputs import to_numbers
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike, RngKey


@short_repr
class MutualInformationGap(NamedTuple):
    """The mutual information gap ``score`` in [0, 1], the mean of ``gaps`` ``(factors,)``.

    ``information`` ``(units, factors)`` is I(z_j; v_k) and ``entropy`` ``(factors,)`` is H(v_k), in
    nats.
    """

    score: float
    gaps: np.ndarray
    information: np.ndarray
    entropy: np.ndarray


@short_repr
class FactorVAEScore(NamedTuple):
    """The FactorVAE ``score`` in [0, 1], and the ``votes`` ``(units, factors)`` behind it."""

    score: float
    votes: np.ndarray


def mutual_information_gap(
    codes: ArrayLike, factors: ArrayLike, *, bins: int = 20
) -> MutualInformationGap:
    r"""Compute the mutual information gap (MIG) between units of the code and known factors.

    $\mathrm{MIG} = \frac1K \sum_k (I(z_j; v_k) - \max_{i \ne j} I(z_i; v_k)) / H(v_k)$, where j is the
    unit with the most information about factor k.

    Information is estimated from counts. Each unit is cut into ``bins`` bins of equal width between its
    smallest and largest value. This overestimates I by about (bins - 1) (values - 1) / 2n nats, equally
    for all units, so the bias of the gap is smaller. A constant unit has no information. A single unit
    is compared with 0.

    The paper integrates over q(z|x). Locatello et al. bin the means, as here. You can also pass draws
    of q(z|x).

    Args:
        codes: ``(n, units)``, such as ``fitted.encode(x).mean``.
        factors: ``(n, factors)``, discrete, such as ``data.context["test"]`` of dSprites.
        bins: the number of bins per unit.

    Raises:
        ValueError: for arrays of different lengths, NaN, or a constant factor.

    Reference: Chen et al. 2018, arXiv:1802.04942, equation 6; Locatello et al. 2019, arXiv:1811.12359.
    """
    from sklearn.metrics import mutual_info_score

    check_positive_integer("bins", bins)
    z, v = _check_inputs(codes, factors)
    units = [_bin_codes(column, bins) for column in z.T]
    labels = [np.unique(column, return_inverse=True)[1] for column in v.T]
    information = np.array([[mutual_info_score(label, unit) for label in labels] for unit in units])
    entropy = np.array([mutual_info_score(label, label) for label in labels])
    ranked = np.sort(np.vstack([information, np.zeros_like(entropy)]), axis=0)
    gaps = (ranked[-1] - ranked[-2]) / entropy
    return MutualInformationGap(float(gaps.mean()), gaps, information, entropy)


def factor_vae_score(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    rng_key: RngKey,
    num_votes: int = 800,
    num_rows: int = 64,
    collapsed: float = 0.01,
) -> FactorVAEScore:
    """Compute the accuracy with which the unit that varies least identifies a fixed factor.

    Each vote fixes a random factor at its value in a random row, and draws ``num_rows`` rows with this
    value. It counts for the unit with the least variance among them, relative to the unit's variance
    over all rows. The first ``num_votes`` votes assign each unit the factor with most of its votes. The
    score is the share of ``num_votes`` new votes that agree with this assignment.

    Chance is about 1 / factors. Constant codes score 0. The paper draws new data from a simulator. Here
    votes reuse the rows you pass, so each value of a factor needs several rows in which the other
    factors vary.

    Args:
        codes: ``(n, units)``, such as ``fitted.encode(x).mean``.
        factors: ``(n, factors)``, discrete.
        rng_key: a typed key.
        num_votes: the number of votes for the assignment, and again for the score.
        num_rows: the rows per vote, L in the paper.
        collapsed: units with less variance than this share of the largest have no vote. Use 0.0 for
            codes whose units have different scales, unlike those of a VAE.

    Raises:
        ValueError: as in ``mutual_information_gap``.

    Reference: Kim and Mnih 2018, arXiv:1802.05983, section 4.
    """
    check_draw_arguments(rng_key, num_votes=num_votes, num_rows=num_rows)
    z, v = _check_inputs(codes, factors)
    variance = np.where(np.ptp(z, axis=0) > 0, z.var(axis=0), 0.0)
    active = np.flatnonzero(variance > collapsed * variance.max(initial=0.0))
    votes = np.zeros((2, z.shape[1], v.shape[1]), int)  # (assignment or score, units, factors)
    if not len(active):
        return FactorVAEScore(0.0, votes[0])
    random = np.random.default_rng(np.asarray(jax.random.key_data(rng_key)))
    scaled = z[:, active] / np.sqrt(variance[active])
    for counts in votes:
        for _ in range(num_votes):
            factor = int(random.integers(v.shape[1]))
            same = np.flatnonzero(v[:, factor] == v[random.integers(len(v)), factor])
            unit = scaled[random.choice(same, num_rows)].var(axis=0).argmin()
            counts[active[unit], factor] += 1
    agreeing = votes[1][np.arange(z.shape[1]), votes[0].argmax(axis=1)].sum()
    return FactorVAEScore(float(agreeing / num_votes), votes[0])


def _bin_codes(unit: np.ndarray, bins: int) -> np.ndarray:
    return np.digitize(unit, np.linspace(unit.min(), unit.max(), bins + 1)[1:-1])


def _to_array(name: str, values: ArrayLike, dtype: Any) -> np.ndarray:
    try:
        return np.asarray(to_numbers(name, values), dtype)
    except (ValueError, TypeError) as error:  # rows of unequal length, or text
        raise ValueError(
            f"{name} expects one row of numbers per datum, all of one length; got an invalid array "
            f"({error}). Join columns with np.stack(columns, axis=1)."
        ) from error


def _check_inputs(codes: ArrayLike, factors: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    z, v = _to_array("codes", codes, np.float64), _to_array("factors", factors, None)
    for name, array, columns in (("codes", z, "units"), ("factors", v, "factors")):
        if array.ndim != 2 or not array.size:
            raise ValueError(f"{name} expects an array (n, {columns}); got shape {array.shape}.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} expects finite numbers; got NaN or infinite values.")
    if len(z) != len(v):
        raise ValueError(
            f"codes and factors expect the same rows in the same order; got {len(z)} and {len(v)} rows."
        )
    constant = np.flatnonzero((v == v[0]).all(axis=0))
    if len(constant):
        raise ValueError(
            f"factors expects columns that vary; columns {constant.tolist()} have one value in all "
            f"{len(v)} rows. Drop these columns."
        )
    return z, v
