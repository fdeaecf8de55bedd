"""Bits per dimension of what is uniform: the logarithm of the number of levels."""

import math

import numpy as np
import pytest

from probvae.criticism import bits_per_dimension


def test_uniform_takes_all_bits():
    """As a probability of each of 256 integers, and as the density of the dequantised ones on [0, 1]."""
    d = 3 * 4
    np.testing.assert_allclose(bits_per_dimension(-d * math.log(256), (3, 4)), 8.0)
    np.testing.assert_allclose(bits_per_dimension(np.zeros(2), (3, 4), levels=256), [8.0, 8.0])


def test_fair_coins_take_one_bit_and_more_nats_are_fewer_bits():
    np.testing.assert_allclose(bits_per_dimension(5 * math.log(0.5), (5,)), 1.0)
    assert bits_per_dimension(-1.0, (5,)) < bits_per_dimension(-2.0, (5,))


@pytest.mark.parametrize("wrong", [{"levels": 0}, {"levels": 2.5}, {"event_shape": (0,)}])
def test_wrong_input(wrong):
    options = {"event_shape": (2,), "levels": 1} | wrong
    with pytest.raises((ValueError, TypeError), match="levels|event_shape"):
        bits_per_dimension(0.0, options["event_shape"], levels=options["levels"])
