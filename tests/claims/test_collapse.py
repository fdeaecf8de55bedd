"""The run on decoders that can do without their code."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from inference_runs import run

from inference.claims import comparison
from inference.collapse import BASELINE, HEADS, Measures
from inference.window import Window


def test_a_pixel_sees_those_before_it_within_reach_and_no_others():
    net = Window((16,), reach=2)((5, 6, 2), (5, 6), rngs=nnx.Rngs(0))
    image = jax.random.normal(jax.random.key(0), (5, 6))
    slopes = np.zeros((30, 5, 6))
    for seed in range(8):  # a ReLU may sleep at one image
        image = jax.random.normal(jax.random.key(seed), (5, 6))
        out = jax.jacobian(lambda x: net(jnp.stack([x, 0 * x], -1)[None])[0].ravel())(image)
        slopes += np.abs(out)
    for i, seen in enumerate(slopes > 0):
        r, c = divmod(i, 6)
        expected = {(r - a, c + b) for a in (1, 2) for b in range(-2, 3)} | {(r, c - 1), (r, c - 2)}
        assert {tuple(map(int, at)) for at in np.argwhere(seen)} == {
            (a, b) for a, b in expected if 0 <= a < 5 and 0 <= b < 6
        }


def test_the_table_marks_what_exceeds_two_standard_errors():
    base = [Measures(1.0, 0.2, 0.1, -90.0), Measures(1.0, 0.4, 0.1, -92.0)]
    other = [Measures(9.0, 8.2, 0.1, -90.5), Measures(9.2, 8.4, 0.1, -92.5)]
    table = comparison({BASELINE: base, "other": other}, HEADS, baseline=BASELINE, what="remedy")
    line = next(row for row in table.splitlines() if "| other" in row)
    assert line.count("(+)") == 2
    assert "9.100 +- 0.100 (+) | 8.300 +- 0.100 (+) | 0.100 +- 0.000 | -91.50 +- 1.00 |" in line


@pytest.mark.slow
def test_remedies_are_compared(tmp_path):
    printed = run("collapse", "--quick", "--out", str(tmp_path))
    assert (tmp_path / "collapse.png").stat().st_size > 10_000
    assert len(re.findall(r"^\| [^|]+ \| \d+\.\d+ \+- ", printed, re.MULTILINE)) == 3, printed
