"""Disentanglement: the objectives are told apart."""

import re

import numpy as np
import pytest
from inference_runs import run

from inference import disentangle
from probvae.data import dsprites


@pytest.mark.slow
def test_two_objectives_are_compared_and_a_price_on_dependence_costs_rate(tmp_path):
    printed = run("disentangle", "--quick", "--out", str(tmp_path))
    assert (tmp_path / "disentangle.png").stat().st_size > 10_000
    rows = dict(re.findall(r"^\| (VAE|beta-TCVAE) \|(.*)\|$", printed, re.MULTILINE))
    assert set(rows) == {"VAE", "beta-TCVAE"}, printed
    for cells in rows.values():
        mig, score, kl = (float(cell.split("+-")[0]) for cell in cells.split("|")[2:5])
        assert 0 <= mig <= 1
        assert 0.2 < score <= 1  # of five factors, a guess gets 0.2
        assert kl > 0.5
    assert printed.count("s.e. 0.") == 1


def test_the_small_images_are_the_renderers_and_no_image_is_in_both_parts():
    train, held_out = disentangle.draw_images(300, 200)
    assert train.x.shape == (300, 32, 32)
    assert set(np.unique(train.x)) == {0, 1}
    assert not {*map(tuple, train.factors)} & {*map(tuple, held_out.factors)}
    ratio = train.x.mean((1, 2)) / dsprites.render(train.factors).mean((1, 2))
    assert 1 < ratio.mean() < 1.15  # of the white area: half-white squares are white
    rows = train.x.any(axis=2)
    middle = (rows * np.arange(32)).sum(1) / rows.sum(1)
    assert np.corrcoef(middle, train.factors[:, 4])[0, 1] > 0.98  # y counts downwards
