"""Schedules of a weight against their formulas in plain Python."""

import math

import numpy as np
import pytest

from probvae.objectives import ELBO, CosineWarmUp, CyclicalSchedule


def test_cosine_rises_from_zero_to_high_and_stays():
    schedule = CosineWarmUp(8, high=2.0)
    got = [float(schedule(t)) for t in (0, 2, 4, 8, 50)]
    np.testing.assert_allclose(got, [0, 1 - math.sqrt(0.5), 1, 2, 2], atol=1e-6)


def test_cyclical_is_the_formula_of_fu():
    """T = 20, M = 2, R = 0.4: ten steps a cycle, four of them rising."""
    schedule = CyclicalSchedule(20, cycles=2, rise=0.4, high=3.0)
    cycle = [0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1]
    got = [float(schedule(t)) for t in range(25)]
    np.testing.assert_allclose(got, 3 * np.array([*cycle, *cycle, 1, 1, 1, 1, 1]), atol=1e-6)


def test_schedules_are_values():
    assert ELBO(beta=CyclicalSchedule(10)) == ELBO(beta=CyclicalSchedule(10))
    assert hash(CosineWarmUp(10)) == hash(CosineWarmUp(10))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CosineWarmUp(0), "CosineWarmUp.steps=.* positive integer; got 0"),
        (lambda: CosineWarmUp(5, high=-1.0), "high=.* >= 0; got -1.0"),
        (lambda: CyclicalSchedule(10, cycles=0), "cycles=.* positive integer; got 0"),
        (lambda: CyclicalSchedule(3, cycles=4), "3 steps for 4 cycles"),
        (lambda: CyclicalSchedule(10, rise=0.0), r"rise=.*\(0, 1\]; got 0.0"),
        (lambda: CyclicalSchedule(10, high=float("nan")), "high=.*got nan"),
    ],
    ids=["steps", "cosine-high", "cycles", "short", "rise", "high"],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
