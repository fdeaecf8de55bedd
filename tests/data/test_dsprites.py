"""dSprites drawn anew: every image is where, and what, its factors say."""

import numpy as np
import pytest

from probvae.data import dsprites, load
from probvae.data import known_datasets as known_sources

MIDDLE = np.array([[0, 5, 0, 16, 16], [1, 5, 0, 16, 16], [2, 5, 0, 16, 16]])


def centre(images):
    """The centres of mass (x, y), in pixels."""
    at = np.arange(64)
    mass = images.sum((1, 2))
    return np.stack([images.sum(1) @ at / mass, images.sum(2) @ at / mass], axis=-1)


def test_every_combination_is_there_once():
    levels = dsprites.factors(np.arange(dsprites.NUM_IMAGES))
    assert dsprites.NUM_IMAGES == np.prod(dsprites.SIZES) == 737_280
    for j, size in enumerate(dsprites.SIZES):
        np.testing.assert_array_equal(np.bincount(levels[:, j]), dsprites.NUM_IMAGES // size)
    np.testing.assert_array_equal(
        np.ravel_multi_index(levels.T, dsprites.SIZES), np.arange(len(levels))
    )
    np.testing.assert_array_equal(levels[:3, 4], [0, 1, 2])  # y varies fastest, as published


def test_values_are_the_published_ones():
    found = dsprites.values(np.array([[0, 0, 0, 0, 0], [2, 5, 39, 31, 31], [1, 1, 13, 0, 31]]))
    want = [[1, 0.5, 0, 0, 0], [3, 1, 2 * np.pi, 1, 1], [2, 0.6, 2 * np.pi / 3, 0, 1]]
    np.testing.assert_allclose(found, want, atol=1e-12)


@pytest.mark.parametrize("shape", dsprites.SHAPES)
def test_area_goes_with_the_square_of_the_scale(shape):
    """To the pixels on the outline: over orientations they average out."""
    k = dsprites.SHAPES.index(shape)
    levels = np.array([[k, s, a, 3, 7] for s in range(6) for a in range(39)])
    areas = dsprites.render(levels).sum((1, 2)).reshape(6, 39).mean(1)
    exact = {
        "square": (2 * dsprites.SQUARE) ** 2,
        "ellipse": np.pi * np.prod(dsprites.ELLIPSE),
        "heart": 3.661 * dsprites.HEART**2,
    }
    np.testing.assert_allclose(areas / dsprites.SCALES**2, exact[shape], rtol=0.015)


def test_symmetries():
    turned = [dsprites.sprite("square", 0.9, a) for a in (0.4, 0.4 + np.pi / 2, 0.4 + np.pi / 4)]
    np.testing.assert_array_equal(turned[0], turned[1])
    assert (turned[0] != turned[2]).any()
    half = [dsprites.sprite("ellipse", 0.9, a) for a in (0.4, 0.4 + np.pi, 0.4 + np.pi / 2)]
    np.testing.assert_array_equal(half[0], half[1])
    assert (half[0] != half[2]).any()
    heart = dsprites.sprite("heart", 0.9, 0.0)
    np.testing.assert_array_equal(heart, heart[:, ::-1])
    assert (heart != heart[::-1]).any()
    np.testing.assert_array_equal(dsprites.sprite("heart", 0.9, np.pi / 2), np.rot90(heart))
    ends = np.array([[2, 3, 0, 5, 5], [2, 3, 39, 5, 5]])
    np.testing.assert_array_equal(*dsprites.render(ends))


def test_heart_points_down_and_turns_counter_clockwise():
    rows = dsprites.sprite("heart", 1.0, 0.0).sum(1)
    drawn = rows[rows > 0]
    assert drawn[-1] < 3 < drawn[0]
    columns = dsprites.sprite("heart", 1.0, np.pi / 2).sum(0)  # the tip, turned, points to the right
    drawn = columns[columns > 0]
    assert drawn[-1] < 3 < drawn[0]


@pytest.mark.parametrize("angle", [0, 7, 20])
def test_centre_is_the_position_whatever_else_changes(angle):
    levels = np.array(
        [[k, s, angle, x, y] for k in range(3) for s in (0, 5) for x, y in ((0, 31), (9, 4))]
    )
    np.testing.assert_allclose(centre(dsprites.render(levels)), levels[:, 3:] + 16, atol=0.25)


def test_a_step_of_position_is_a_pixel():
    x, y = MIDDLE + [0, 0, 0, 1, 0], MIDDLE + [0, 0, 0, 0, 1]
    image = dsprites.render(MIDDLE)
    np.testing.assert_array_equal(dsprites.render(x), np.roll(image, 1, axis=2))
    np.testing.assert_array_equal(dsprites.render(y), np.roll(image, 1, axis=1))


def test_no_sprite_is_cut_off():
    corners = np.array(
        [[k, 5, a, x, y] for k in range(3) for a in range(40) for x in (0, 31) for y in (0, 31)]
    )
    inside = dsprites.render(corners).sum((1, 2)).reshape(3, 40, 4)
    middle = np.array([[k, 5, a, 16, 16] for k in range(3) for a in range(40)])
    np.testing.assert_array_equal(
        inside, np.repeat(dsprites.render(middle).sum((1, 2)).reshape(3, 40, 1), 4, axis=2)
    )
    for shape in dsprites.SHAPES:
        edges = [dsprites.sprite(shape, 1.0, a) for a in dsprites.ORIENTATIONS]
        for edge in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
            assert not np.array(edges)[edge].any()


def test_orientations_are_told_apart_at_full_size():
    """As many images as orientations, but for the first and the last; at half size some coincide."""
    for k in range(3):
        levels = np.array([[k, 5, a, 16, 16] for a in range(40)])
        assert len(np.unique(dsprites.render(levels).reshape(40, -1), axis=0)) == 39


def test_load_draws_a_subset(monkeypatch):
    entry = known_sources.KNOWN["dsprites"]
    small = known_sources.KnownSource(
        entry.summary, files=(), read=lambda root: known_sources.render_dsprites(root, sizes=(40, 5, 6))
    )
    monkeypatch.setitem(known_sources.KNOWN, "dsprites", small)
    data = load("dsprites")
    assert [len(a) for a in data.splits.values()] == [40, 5, 6]
    assert (data.event_shape, data.range) == ((64, 64), (0.0, 1.0))
    values = data.context["train"]
    levels = np.stack(
        [np.abs(values[:, [j]] - grid).argmin(1) for j, grid in enumerate(
            (np.arange(1, 4), dsprites.SCALES, dsprites.ORIENTATIONS, *[dsprites.POSITIONS] * 2)
        )], axis=-1,
    )  # fmt: skip
    np.testing.assert_array_equal(data.train, dsprites.render(levels))
    np.testing.assert_array_equal(data.labels["train"], levels[:, 0])
    assert "not their file" in data.description


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        pytest.param(np.zeros((3, 4), int), r"integer levels \(n, 5\).*\(3, 4\)", id="shape"),
        pytest.param(np.zeros((3, 5)), "integer levels.*float64", id="floats"),
        pytest.param(np.full((1, 5), 3), r"below \(3, 6, 40, 32, 32\)", id="beyond"),
        pytest.param(np.full((1, 5), -1), "from 0", id="negative"),
    ],
)
def test_errors(levels, message):
    with pytest.raises(ValueError, match=message):
        dsprites.render(levels)
