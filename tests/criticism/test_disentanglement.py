"""The disentanglement scores on codes whose scores are known."""

import jax
import numpy as np
import pytest
from scipy.stats import special_ortho_group

from probvae.criticism import factor_vae_score, mutual_information_gap

KEY = jax.random.key(0)
GRID = np.stack(np.meshgrid(*[np.arange(n) for n in (3, 4, 5)], indexing="ij"), -1).reshape(-1, 3)
FACTORS = np.tile(GRID, (10, 1))
ALIGNED = FACTORS[:, [2, 0, 1]] * [1.0, -3.0, 0.5] + 7  # each factor has a unit, in other units
SCALED = (FACTORS - FACTORS.mean(0)) / FACTORS.std(0)


def votes(codes, factors=FACTORS, **changes):
    return factor_vae_score(codes, factors, rng_key=KEY, **{"num_votes": 200, **changes})


def test_axis_aligned_codes_score_one():
    found = mutual_information_gap(ALIGNED, FACTORS)
    np.testing.assert_allclose(found.entropy, np.log([3, 4, 5]))
    exact = np.zeros((3, 3))
    exact[[1, 2, 0], [0, 1, 2]] = np.log([3, 4, 5])
    np.testing.assert_allclose(found.information, exact, atol=1e-12)
    assert found.score == pytest.approx(1)
    score = votes(ALIGNED)
    assert score.score == 1
    np.testing.assert_array_equal(score.votes.argmax(axis=0), [1, 2, 0])
    assert score.votes.sum() == 200


def test_rotated_codes_score_lower():
    turned = SCALED @ special_ortho_group.rvs(3, random_state=1)
    assert mutual_information_gap(turned, FACTORS).score < 0.35
    assert votes(turned).score < 0.9


def test_a_factor_in_two_units_has_no_gap():
    """Two units with all of v_1: the best is no better than the next. The others keep theirs."""
    twice = np.concatenate([ALIGNED, -2 * ALIGNED[:, [1]]], axis=1)
    found = mutual_information_gap(twice, FACTORS)
    np.testing.assert_allclose(found.gaps, [0, 1, 1], atol=1e-12)
    assert votes(twice).score == 1  # the vote does not mind


def test_two_factors_in_one_unit():
    """One unit of v_1 + 3 v_2 says all of both; the vote can name it for one factor only."""
    joint = np.stack([FACTORS[:, 0] + 3 * FACTORS[:, 1], np.zeros(len(FACTORS))], axis=-1)
    found = mutual_information_gap(joint, FACTORS[:, :2], bins=12)
    np.testing.assert_allclose(found.gaps, [1, 1], atol=1e-12)
    assert votes(joint, FACTORS[:, :2]).score == pytest.approx(0.5, abs=0.12)


def test_information_by_hand():
    """A bit told right 3 times in 4: I = log 2 - H(1/4). Cut in two, the code's size does not matter."""
    v = np.repeat([0, 1], 400)
    z = np.where(np.tile([True, True, True, False], 200), v, 1 - v) + 0.1 * np.tile([0, 1], 400)
    found = mutual_information_gap(z[:, None], v[:, None], bins=2)
    bit = np.log(2) - (np.log(4) / 4 + 0.75 * np.log(4 / 3))
    assert found.information[0, 0] == pytest.approx(bit)
    assert found.score == pytest.approx(bit / np.log(2))


def test_bins_are_of_equal_width():
    """One far value puts all others into one bin: they say nothing."""
    z = np.append(np.arange(20.0), 1e6)
    v = np.append(np.arange(20) // 10, 0)
    assert mutual_information_gap(z[:, None], v[:, None]).information[0, 0] < 0.05
    assert mutual_information_gap(z[:20, None], v[:20, None]).score == pytest.approx(1)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e8])
def test_constant_codes_score_nothing(constant):
    codes = np.full((len(FACTORS), 4), constant)
    assert mutual_information_gap(codes, FACTORS).score == 0
    assert votes(codes).score == 0


def test_noise_scores_near_chance():
    noise = np.random.default_rng(0).normal(size=(len(FACTORS), 3))
    assert mutual_information_gap(noise, FACTORS).score < 0.05
    assert 0.2 < votes(noise, num_votes=400).score < 0.5


def test_collapsed_units_have_no_vote():
    """A unit of tiny variance that follows v_1 alone would win its votes; left out, others have them."""
    codes = np.concatenate([ALIGNED[:, [0]], 0.001 * ALIGNED[:, [1]]], axis=1)
    assert votes(codes).votes[1].sum() == 0
    assert votes(codes, collapsed=0.0).votes[1].sum() > 0


def test_votes_follow_the_key():
    turned = SCALED @ special_ortho_group.rvs(3, random_state=1)
    assert votes(turned).score == votes(turned).score
    other = factor_vae_score(turned, FACTORS, rng_key=jax.random.key(1), num_votes=200)
    assert (other.votes != votes(turned).votes).any()


@pytest.mark.parametrize("score", [mutual_information_gap, votes], ids=["mig", "factor"])
@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        pytest.param(ALIGNED, FACTORS[:-1], "same rows in the same order; got 600 and 599", id="rows"),
        pytest.param(ALIGNED[:, 0], FACTORS, r"codes expects an array \(n, units\)", id="vector"),
        pytest.param(ALIGNED * np.nan, FACTORS, "codes expects finite numbers; got NaN", id="nan"),
        pytest.param(ALIGNED, 0 * FACTORS, r"columns \[0, 1, 2\] have one value", id="constant"),
        pytest.param(ALIGNED[:0], FACTORS[:0], "codes expects an array", id="empty"),
    ],
)  # fmt: skip
def test_errors(score, codes, factors, message):
    with pytest.raises(ValueError, match=message):
        score(codes, factors)


def test_errors_of_options():
    with pytest.raises(ValueError, match="bins expects a positive integer"):
        mutual_information_gap(ALIGNED, FACTORS, bins=0)
    with pytest.raises(ValueError, match="num_votes expects a positive integer"):
        votes(ALIGNED, num_votes=0)
