"""Types of the options' numbers. A number that no command can use ends it with the usage code, 2."""

import argparse
import math
from collections.abc import Callable
from typing import TypeVar

Number = TypeVar("Number", int, float)


def _make_type(
    kind: Callable[[str], Number], expected: str, is_valid: Callable[[Number], bool]
) -> Callable[[str], Number]:
    def parse_number(text: str) -> Number:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not is_valid(number):
            raise argparse.ArgumentTypeError(f"expected {expected}; got {text!r}")
        return number

    return parse_number


positive_integer = _make_type(int, "a positive integer", lambda n: 0 < n < 2**31)
non_negative_integer = _make_type(int, "an integer >= 0", lambda n: n >= 0)
positive_number = _make_type(float, "a finite number > 0", lambda x: 0 < x < math.inf)
# JAX makes the same key of seed and seed + 2^32.
seed = _make_type(int, "an integer from 0 to 2^32 - 1", lambda n: 0 <= n < 2**32)
