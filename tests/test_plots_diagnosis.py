"""The figures of a diagnosis agree with its verdict: what it flags is outside of a band, and named."""

from types import SimpleNamespace as Fake

import numpy as np
import pytest
from scipy import stats

from probvae import plots
from probvae.criticism import ParetoShape
from probvae.criticism.diagnosis import guide_rules, rules
from probvae.criticism.diagnosis.guide_advice import GuideAdvice
from probvae.criticism.posterior.calibration import Calibration, SiteCalibration
from probvae.criticism.samples.coverage import Coverage
from probvae.criticism.samples.marginal import (
    find_atoms,
    measure_curve,
    measure_distances,
    rank_distances,
)
from probvae.criticism.samples.predictive import Check, Predictive, PredictiveChecks
from probvae.plots.palette import BLUE, VERMILLION

LEVELS, ERRORS = np.array([0.5, 0.8, 0.9]), np.full(3, 0.01)


def checks_of(shifts, last_share=0.9):
    """Predictive checks where data differ from draws by a shift, for each block by name."""

    def one(shift):
        random = np.random.default_rng(0)
        samples = [random.normal(shift if not i else 0.0, size=2000) for i in range(6)]
        atoms = [find_atoms(sample) for sample in samples]
        marginal = rank_distances(measure_distances(atoms))._replace(curve=measure_curve(atoms))
        check = Check(*(np.ones(()),) * 3, np.ones(()), np.ones(()))
        share = np.array([0.5, 0.8, last_share])
        return Predictive({"mean": check}, marginal, Coverage(LEVELS, share, ERRORS, share[:, None]))

    blocks = {name: one(shift) for name, shift in shifts.items()}
    if list(blocks) == [""]:
        whole = blocks[""]
    else:
        whole = one(0.0)._replace(blocks=blocks)
    return PredictiveChecks(one(0.0), whole, 100, 5)


def texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.3, 1.0])
def test_the_curve_leaves_the_band_where_the_verdict_flags_the_likelihood(shift):
    checks = checks_of({"": shift})
    axes = plots.predictions(checks).axes[0]
    curve = axes.lines[-1]
    band = axes.patches[0]
    low, high = band.get_y(), band.get_y() + band.get_height()
    y = curve.get_ydata()
    is_outside = bool(y.min() < low or y.max() > high)
    finding = rules.find_wrong_likelihood(Fake(predictive=checks))
    assert is_outside is (finding is not None)
    assert np.abs(y).max() == pytest.approx(checks.posterior.marginal.distance)
    assert curve.get_color() == (VERMILLION if is_outside else BLUE)
    assert band.get_zorder() < curve.get_zorder()


@pytest.mark.parametrize("share", [0.77, 0.779, 0.781, 0.85, 0.99])
def test_the_last_interval_is_below_the_band_where_the_verdict_flags_it(share):
    checks = checks_of({"": 0.0}, last_share=share)
    axes = plots.predictions(checks).axes[1]
    (band,) = (each for each in axes.collections if each.get_label() == "what the verdict tolerates")
    low = band.get_paths()[0].vertices[:, 1].min()
    bar = axes.containers[0].lines[2][0].get_segments()[0]
    finding = rules.find_narrow_predictions(Fake(predictive=checks))
    assert bool(bar[:, 1].max() < low) is (finding is not None)
    assert band.get_zorder() < min(line.get_zorder() for line in axes.lines[1:])


def test_blocks_that_are_outside_have_a_name_at_their_curve():
    axes = plots.predictions(checks_of({"age": 0.0, "income": 1.0})).axes[0]
    assert texts(axes) == ["income"]


def test_the_curve_of_two_samples_has_their_distance():
    random = np.random.default_rng(0)
    for data in (random.normal(0.3, size=500), random.integers(0, 3, 500), np.zeros(500)):
        draws = np.rint(random.normal(size=3000)) if data.dtype == int else random.normal(size=3000)
        curve = measure_curve([find_atoms(np.asarray(data, float)), find_atoms(draws)])
        distance = stats.ks_2samp(data, draws).statistic
        assert np.abs(curve[:, 1]).max() == pytest.approx(distance, abs=1e-12)
        assert (np.diff(curve[:, 0]) >= 0).all()


def calibration_of(scales, shifts, n=400):
    """Ranks, shift and spread of units whose guide has another scale or mean than the posterior."""
    z = stats.norm.ppf((np.arange(n) + 0.5) / n)[:, None]
    pit = stats.norm.cdf((z + np.array(shifts)) / np.array(scales))
    empty = np.zeros(len(scales))
    site = SiteCalibration(
        pit, pit, pit[:3], np.array(shifts), 1 / np.array(scales), empty, empty, empty, empty
    )
    return Calibration({"z": site}, (0.5, 0.8, 0.9), n, 100)


def test_units_outside_of_the_box_are_those_that_the_verdict_counts():
    result = calibration_of([1.0, 0.5, 1.0, 2.0, 1.2], [0.0, 0.0, 0.6, 0.0, 0.1])
    ranks, box = plots.calibration(result).axes
    evidence = guide_rules.find_miscalibration(Fake(calibration=result, advice=GuideAdvice())).evidence
    assert "3 of 5 latent units are miscalibrated" in evidence
    assert sorted(texts(box)) == ["z[1]", "z[2]", "z[3]"]
    x, y = box.collections[0].get_paths()[0].vertices.T
    inside, outside = box.lines[:2]
    for line, is_inside in ((inside, True), (outside, False)):
        for a, b in zip(*line.get_data(), strict=True):
            assert bool(x.min() <= a <= x.max() and y.min() <= b <= y.max()) is is_inside
    assert box.collections[0].get_zorder() < inside.get_zorder()
    assert {"z[1]", "z[2]", "z[3]"} <= set(texts(ranks))


def test_a_line_outside_of_its_band_has_the_name_of_its_unit():
    u = np.random.default_rng(0).uniform(size=(500, 4))
    u[:, 2] = u[:, 2] ** 3
    axes = plots.calibration(u).axes[0]
    assert texts(axes) == ["z[2]"]
    colours = [line.get_color() for line in axes.lines]
    assert [colour == VERMILLION for colour in colours] == [False, False, True, False]
    assert axes.collections[0].get_zorder() < min(line.get_zorder() for line in axes.lines)
    x, y = axes.texts[0].xy
    line = axes.lines[2]
    assert y == line.get_ydata()[list(line.get_xdata()).index(x)]  # the name is at the line


def test_crosses_are_the_rows_that_the_verdict_counts():
    k_hat = np.array([0.1, 0.9, 0.9, np.nan])
    gain = np.array([1.0, 1.0, 0.0, 1.0])
    pareto = ParetoShape(k_hat, 0.7, np.full(4, 100.0), gain, 100)
    assert pareto.doubtful.tolist() == [False, True, False, True]
    dots, crosses, *_ = plots.tails(pareto).axes[0].lines
    assert len(dots.get_xdata()) == 2
    np.testing.assert_allclose(crosses.get_ydata(), [0.9, 3.0])
