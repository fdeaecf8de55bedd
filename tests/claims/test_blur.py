"""Blur: the scale per pixel wins the bound; what the sharpness sees."""

import re

import numpy as np
import pytest
from inference_runs import run

from inference.pictures import sharpness


@pytest.mark.slow
def test_a_scale_for_each_pixel_wins_the_bound(tmp_path):
    printed = run("blur", "--quick", "--out", str(tmp_path))
    assert len(list(tmp_path.glob("blur_digits_*.png"))) == 3
    assert re.search(r"\| sigma per pixel wins the bound \|.* yes \|", printed), printed
    rows = re.findall(r"^\| (shared sigma|sigma per pixel) \|(.*)\|$", printed, re.MULTILINE)
    draws = [float(cells.split("|")[2].split("+-")[0]) for _, cells in rows]
    assert len(draws) == 2
    assert min(draws) > 1.5, printed  # white noise, which no picture of the data has


def test_a_smoothed_picture_is_less_sharp_and_a_slope_has_no_sharpness():
    x = np.random.default_rng(0).normal(size=(50, 20, 20))
    assert abs(sharpness(x) - 20) < 1  # white noise of variance 1: 4^2 + 4 * 1^2
    smooth = (x + np.roll(x, 1, axis=1) + np.roll(x, 1, axis=2)) / 3
    assert sharpness(smooth) < sharpness(x) / 3
    assert sharpness(np.tile(np.arange(20.0), (1, 20, 1))) < 1e-20
    assert abs(sharpness(2 * x) / sharpness(x) - 4) < 1e-9
