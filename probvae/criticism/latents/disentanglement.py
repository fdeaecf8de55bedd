"""Disentanglement: whether each known factor of the data has a unit of the code to itself."""

from typing import Any, NamedTuple

import jax
import numpy as np

from probvae.checks import check_key, check_positive_integer
from probvae.criticism.short_repr import short_repr
from probvae.inputs import to_numbers
from probvae.typing import ArrayLike, RngKey


@short_repr
class MutualInformationGap(NamedTuple):
    """The mutual information gap ``score`` in [0, 1], the mean of ``gaps`` ``(factors,)``.

    ``information`` ``(units, factors)`` is I(z_j; v_k), ``entropy`` ``(factors,)`` H(v_k), in nats.
    """

    score: float
    gaps: np.ndarray
    information: np.ndarray
    entropy: np.ndarray


@short_repr
class FactorVAEScore(NamedTuple):
    """The FactorVAE ``score`` in [0, 1]; the ``votes`` ``(units, factors)`` that assigned the units."""

    score: float
    votes: np.ndarray


def mutual_information_gap(
    codes: ArrayLike, factors: ArrayLike, *, bins: int = 20
) -> MutualInformationGap:
    """MIG = (1/K) sum_k (I(z_j; v_k) - max over other units of I(z_i; v_k)) / H(v_k), j the best unit.

    The estimator is the plug-in one, of counts: each unit is cut into ``bins`` bins of equal width
    between its least and its largest value; factors are taken by their distinct values. I is biased
    upwards by about (bins - 1) (values - 1) / 2n nats, for all units alike, and the gap less so. (The
    paper integrates over q(z|x) instead; Locatello et al. bin means, as here. Draws of q(z|x) may be
    given as well as means.) A constant unit has no information; one unit alone has a gap to 0.

    Args:
        codes: ``(n, units)``, such as ``fitted.encode(x).mean``.
        factors: ``(n, factors)``, discrete, such as ``data.context["test"]`` of dSprites.
        bins: for each unit.

    Raises:
        ValueError: for arrays that do not fit each other, NaN, or a factor of one value.

    Reference: Chen et al. 2018, arXiv:1802.04942, equation 6; Locatello et al. 2019, arXiv:1811.12359.
    """
    check_positive_integer("bins", bins)
    z, v = _check_inputs(codes, factors)
    units = [_bin_codes(column, bins) for column in z.T]
    kinds = [np.unique(column, return_inverse=True)[1] for column in v.T]
    information = np.array([[_information(unit, kind) for kind in kinds] for unit in units])
    entropy = np.array([_information(kind, kind) for kind in kinds])
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
    """Accuracy with which the unit that varies least tells the factor that was held fixed.

    A vote: draw a factor and the value that it has in a random datum, then ``num_rows`` of the data
    with that value; of all units, each in units of its variance over all data, take the one of least
    variance. A unit is assigned the factor of most of its first ``num_votes`` votes; the score is the
    share of as many new votes that agree. Chance is about 1 / factors; codes without any unit that
    varies score 0. (The paper draws new data from the simulator; here rows are drawn again from those
    given, which must therefore hold several rows of each value, whose other factors vary.)

    Args:
        codes: ``(n, units)``, such as ``fitted.encode(x).mean``.
        factors: ``(n, factors)``, discrete.
        rng_key: of the votes.
        num_votes: for the assignment, and again for the score.
        num_rows: the paper's L.
        collapsed: units whose variance is at most this share of the largest are left out (where units
            have scales of their own, unlike a VAE's, give 0.0).

    Raises:
        ValueError: as in ``mutual_information_gap``.

    Reference: Kim and Mnih 2018, arXiv:1802.05983, section 4.
    """
    for name, count in (("num_votes", num_votes), ("num_rows", num_rows)):
        check_positive_integer(name, count)
    check_key(rng_key)
    z, v = _check_inputs(codes, factors)
    variance = np.where(np.ptp(z, axis=0) > 0, z.var(axis=0), 0.0)
    active = np.flatnonzero(variance > collapsed * variance.max(initial=0.0))
    votes = np.zeros((2, z.shape[1], v.shape[1]), int)
    if not len(active):
        return FactorVAEScore(0.0, votes[0])
    random = np.random.default_rng(np.asarray(jax.random.key_data(rng_key)))
    scaled = z[:, active] / np.sqrt(variance[active])
    for half in votes:
        for _ in range(num_votes):
            unit, factor = _vote(scaled, v, num_rows, random)
            half[active[unit], factor] += 1
    agree = votes[1][np.arange(z.shape[1]), votes[0].argmax(axis=1)].sum()
    return FactorVAEScore(float(agree / num_votes), votes[0])


def _vote(z: np.ndarray, v: np.ndarray, num_rows: int, random: np.random.Generator) -> tuple[int, int]:
    factor = int(random.integers(v.shape[1]))
    same = np.flatnonzero(v[:, factor] == v[random.integers(len(v)), factor])
    return int(z[random.choice(same, num_rows)].var(axis=0).argmin()), factor


def _bin_codes(unit: np.ndarray, bins: int) -> np.ndarray:
    return np.digitize(unit, np.linspace(unit.min(), unit.max(), bins + 1)[1:-1])


def _information(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mutual information of two columns of integers 0, 1, ..., in nats."""
    n, counts = len(a), np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(counts, (a, b), 1)
    product = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True)
    seen = counts > 0
    return float((counts[seen] / n * np.log(counts[seen] * n / product[seen])).sum())


def _array(name: str, given: ArrayLike, dtype: Any) -> np.ndarray:
    try:
        return np.asarray(to_numbers(name, given), dtype)
    except (ValueError, TypeError) as error:  # rows of unequal length, text
        raise ValueError(
            f"{name} expects numbers in rows of one length, one row per datum; got what makes no such "
            f"array ({error}). Give each datum the same columns: np.stack(columns, axis=1)."
        ) from error


def _check_inputs(codes: ArrayLike, factors: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    z, v = _array("codes", codes, np.float64), _array("factors", factors, None)
    for name, array, columns in (("codes", z, "units"), ("factors", v, "factors")):
        if array.ndim != 2 or not array.size:
            raise ValueError(f"{name} expects an array (n, {columns}); got shape {array.shape}.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are NaN or infinite; expected finite numbers.")
    if len(z) != len(v):
        raise ValueError(
            f"codes have {len(z)} rows and factors {len(v)}: expected one row of factors per datum, of "
            "the same split and in the same order."
        )
    constant = np.flatnonzero((v == v[0]).all(axis=0))
    if len(constant):
        raise ValueError(
            f"factors {constant.tolist()} have one value in all {len(v)} rows: nothing can tell them. "
            "Leave those columns out, or take data in which they vary."
        )
    return z, v
