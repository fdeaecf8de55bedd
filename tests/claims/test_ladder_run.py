"""The run on ladders of codes."""

import re

import pytest
from inference_runs import run

from inference.ladder import BASELINE, SIZES, ladder, models, number


def test_one_level_is_as_wide_as_gives_it_no_fewer_parameters():
    compared = models((8, 8), SIZES["digits"])
    sizes = {name: number(vae) for name, vae in compared.items()}
    assert sizes[BASELINE] >= max(sizes.values())
    assert sizes[BASELINE] < 1.05 * max(sizes.values())
    assert ladder((8, 8), SIZES["digits"], 5).latent_dim * 5 == SIZES["digits"].latents


@pytest.mark.slow
def test_ladders_are_compared_with_one_level(tmp_path):
    printed = run("ladder", "--quick", "--out", str(tmp_path))
    assert (tmp_path / "ladder_digits.png").stat().st_size > 10_000
    assert len(re.findall(r"^\| [^|]+ \| -\d+\.\d+ \+- ", printed, re.MULTILINE)) == 3, printed
