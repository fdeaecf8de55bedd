"""The literature's binarisations, against numpy's own draws."""

import numpy as np
import pytest
from miniatures import grey

from probvae.data import Binarize, Cast, Rescale
from probvae.data.protocol import apply_protocol
from probvae.data.source_arrays import Source

ARRAYS = {"train": grey(5, 4, 3, seed=1), "valid": grey(3, 4, 3, seed=2), "test": grey(2, 4, 3)}
GREY = Source("tiny", arrays=ARRAYS, kind="grey", levels=255.0)


def in_one_call(*splits):
    random = np.random.RandomState(777)
    return [random.binomial(1, ARRAYS[split] / 255) for split in splits]


def test_grey_levels_are_rescaled():
    data = apply_protocol(GREY, binarize=None)
    assert data.observation == Rescale(255.0)
    assert data.train is ARRAYS["train"]
    for split in ("valid", "test"):
        held_out = getattr(data, split)
        assert held_out.dtype == np.float32
        np.testing.assert_allclose(held_out, ARRAYS[split] / 255, rtol=1e-6)


def test_dynamic_draws_valid_then_test_once():
    data = apply_protocol(GREY, binarize="dynamic")
    assert data.observation == Binarize(255.0)
    assert data.train is ARRAYS["train"]
    valid, test = in_one_call("valid", "test")
    np.testing.assert_array_equal(data.valid, valid)
    np.testing.assert_array_equal(data.test, test)
    assert data.valid.dtype == data.test.dtype == np.uint8


def test_static_draws_train_after_them():
    data = apply_protocol(GREY, binarize="static")
    assert data.observation == Cast()
    valid, test, train = in_one_call("valid", "test", "train")
    np.testing.assert_array_equal(data.valid, valid)
    np.testing.assert_array_equal(data.test, test)
    np.testing.assert_array_equal(data.train, train)
    assert data.train.dtype == np.uint8


def test_drawing_in_chunks_gives_the_same_bits(monkeypatch):
    monkeypatch.setattr("probvae.data.protocol.CHUNK", 2)
    test_static_draws_train_after_them()


def test_without_valid():
    source = Source("two", arrays={s: ARRAYS[s] for s in ("train", "test")}, kind="grey")
    for binarize in (None, "static", "dynamic"):
        assert apply_protocol(source, binarize=binarize).valid is None
    np.testing.assert_array_equal(
        apply_protocol(source, binarize="static").test, in_one_call("test")[0]
    )


def test_default_is_the_sources_own():
    assert apply_protocol(GREY, binarize="default").observation == Rescale(255.0)
    static = Source("s", arrays=ARRAYS, kind="grey", default="static")
    assert apply_protocol(static, binarize="default").observation == Cast()


@pytest.mark.parametrize("binarize", [None, "static", "default"])
def test_binary_data_stay_as_they_are(binarize):
    arrays = {split: array % 2 for split, array in ARRAYS.items()}
    data = apply_protocol(Source("bits", arrays=arrays, kind="binary"), binarize=binarize)
    for split, array in arrays.items():
        np.testing.assert_array_equal(getattr(data, split), array)
        assert getattr(data, split).dtype == np.uint8
    assert data.observation == Cast()


@pytest.mark.parametrize(
    ("low", "high", "dtype"), [(0, 200, np.uint8), (0, 300, np.uint16), (-3, 200, np.int16)]
)
def test_counts_keep_a_compact_dtype_for_training(low, high, dtype):
    array = np.array([[low], [high]], np.int64)
    data = apply_protocol(
        Source("n", arrays={"train": array, "test": array}, kind="counts"), binarize=None
    )
    assert data.train.dtype == dtype
    assert data.test.dtype == np.float32
    np.testing.assert_array_equal(data.train, array)


@pytest.mark.parametrize(
    ("kind", "binarize", "why"),
    [
        ("binary", "dynamic", "0 and 1 already"),
        ("counts", "static", "counts"),
        ("counts", "dynamic", "counts"),
        ("real", "static", "real numbers"),
    ],
)
def test_no_grey_range(kind, binarize, why):
    source = Source("things", arrays=ARRAYS, kind=kind)
    with pytest.raises(
        ValueError, match=f"'things'.*no grey range: its values are {why}.*Use binarize=None"
    ):
        apply_protocol(source, binarize=binarize)
