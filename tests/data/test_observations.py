import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from probvae.data import AbstractObservation, Binarize, Cast, Compose, Dequantize, Flip, Rescale

ALL = [
    Cast(),
    Rescale(255.0),
    Rescale(16),
    Binarize(255.0),
    Dequantize(256.0),
    Compose(()),
    Compose((Rescale(255.0), Binarize(1.0))),
]
LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.mark.parametrize("observation", ALL, ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int32])
def test_contract(observation, dtype, key):
    x = LEVELS.astype(dtype)
    eager = observation(key, x)
    assert eager.dtype == jnp.float32
    assert eager.shape == x.shape
    np.testing.assert_array_equal(eager, observation(key, jnp.asarray(x)))
    np.testing.assert_allclose(eager, jax.jit(observation)(key, x), rtol=1e-6)
    assert hash(observation) == hash(dataclasses.replace(observation))
    assert observation == dataclasses.replace(observation)


@pytest.mark.parametrize("observation", ALL, ids=str)
def test_values_lie_within_the_stated_bounds(observation, key):
    y = jax.jit(observation)(key, LEVELS)
    low, high = observation.bounds(0.0, 255.0)
    assert low <= y.min()
    assert y.max() <= high


@pytest.mark.parametrize("observation", ALL, ids=str)
def test_one_key_one_draw_and_another_key_another(observation, key):
    x = np.full((1000,), 100, np.uint8)
    np.testing.assert_array_equal(observation(key, x), observation(key, x))
    other = observation(jax.random.key(1), x)
    is_random = any(word in str(observation) for word in ("Binarize", "Dequantize"))
    assert bool((observation(key, x) != other).any()) == is_random


def test_rescale_is_division_and_never_leaves_the_unit_interval(key):
    y = jax.jit(Rescale(255.0))(key, LEVELS)
    np.testing.assert_allclose(y, LEVELS / 255, rtol=1e-6)
    assert y.min() == 0
    assert y.max() == 1


@pytest.mark.parametrize("high", [255.0, 16.0])
def test_binarize_has_the_mean_of_a_bernoulli(high, key):
    n = 20_000
    x = np.tile(np.linspace(0, high, 9, dtype=np.float32), (n, 1))
    draws = np.asarray(Binarize(high)(key, x))
    assert set(np.unique(draws)) == {0.0, 1.0}
    p = x[0] / high
    assert (np.abs(draws.mean(0) - p) <= 4.5 * np.sqrt(p * (1 - p) / n)).all()


def test_dequantize_is_uniform_within_its_level(key):
    n = 40_000
    x = np.tile(np.array([0, 7, 254, 255], np.uint8), (n, 1))
    y = np.asarray(Dequantize(256.0)(key, x), np.float64) * 256
    np.testing.assert_array_equal(np.floor(y), x)
    within = y - x
    assert (np.abs(within.mean(0) - 1 / 2) <= 4.5 * np.sqrt(1 / 12 / n)).all()
    assert (np.abs(within.var(0) - 1 / 12) <= 4.5 * np.sqrt(1 / 180 / n)).all()


def test_dequantize_never_reaches_the_next_level(monkeypatch, key):
    largest = np.nextafter(np.float32(1), np.float32(0))
    monkeypatch.setattr(jax.random, "uniform", lambda _, shape: jnp.full(shape, largest))
    y = np.asarray(Dequantize(256.0)(key, LEVELS))
    np.testing.assert_array_equal(np.floor(y * 256), LEVELS)
    assert y.max() < 1


def test_compose_applies_in_order_and_splits_the_key(key):
    keys = jax.random.split(key, 2)
    expected = Binarize(1.0)(keys[1], Rescale(255.0)(keys[0], LEVELS))
    np.testing.assert_array_equal(Compose((Rescale(255.0), Binarize(1.0)))(key, LEVELS), expected)
    twice = Compose((Dequantize(1.0), Dequantize(1.0)))(key, np.zeros(1000, np.uint8))
    assert np.unique(np.asarray(twice) * 2 % 1).size > 900


def test_compose_of_nothing_is_cast(key):
    np.testing.assert_array_equal(Compose(())(key, LEVELS), Cast()(key, LEVELS))
    assert Compose(()).bounds(2.0, 3.0) == (2.0, 3.0)


def test_the_interface_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        AbstractObservation()


def test_flip_mirrors_half_of_the_data_and_each_whole(key):
    """The last axis of pixels, or the one before channels; never rows, channels or half an image."""
    n = 4000
    for shape in ((3, 5), (3, 5, 2)):
        image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        y = np.asarray(jax.jit(Flip())(key, np.tile(image, (n,) + (1,) * len(shape))))
        mirrored = (y == image[:, ::-1]).reshape(n, -1).all(1)
        assert (mirrored ^ (y == image).reshape(n, -1).all(1)).all()
        assert abs(mirrored.mean() - 1 / 2) <= 4.5 / np.sqrt(4 * n)


def test_flip_composes_and_keeps_bounds(key):
    x = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    both = Compose((Rescale(255.0), Flip()))
    keys = jax.random.split(key, 2)
    np.testing.assert_array_equal(both(key, x), Flip()(keys[1], Rescale(255.0)(keys[0], x)))
    assert both.bounds(0.0, 255.0) == (0.0, 1.0)
    assert hash(Flip()) == hash(Flip())
    with pytest.raises(ValueError, match=r"Flip expects images .* got shape \(16, 16\)"):
        Flip()(key, LEVELS)


ERRORS = [
    ("rescale", lambda: Rescale(0.0), r"Rescale\(high=...\) expects a finite number > 0; got 0.0"),
    ("binarize", lambda: Binarize(-1.0), r"Binarize\(high=...\) expects a finite number > 0; got -1.0"),
    (
        "dequantize",
        lambda: Dequantize(float("nan")),
        r"Dequantize\(high=...\) expects a finite number > 0; got nan",
    ),
]


@pytest.mark.parametrize(("call", "message"), [e[1:] for e in ERRORS], ids=[e[0] for e in ERRORS])
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_compose_of_classes_is_an_error():
    with pytest.raises(TypeError, match="parts"):
        Compose((Rescale,))
