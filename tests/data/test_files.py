"""Each reader against small files that the test writes."""

import importlib.util

import numpy as np
import pytest
from miniatures import grey, write_idx, write_npz

from probvae.data import Binarize, Cast, Rescale, load
from probvae.data.files import split_rows
from probvae.data.idx import read_idx
from probvae.data.streamed import find_mapped_array

GREY = np.random.default_rng(1).integers(0, 256, (20, 3, 2), dtype=np.uint8)
FLOATS = np.random.default_rng(0).normal(size=(20, 3, 2)).astype(np.float32)


def rows_of(data):
    """All rows of a data set, sorted, so that a split can be compared with what it split."""
    return np.sort(np.concatenate([a.reshape(len(a), -1) for a in data.splits.values()]), axis=0)


def save(path, array):
    np.save(path, array)
    return path


@pytest.mark.parametrize(("n", "sizes"), [(3, (1, 1, 1)), (19, (17, 1, 1)), (100, (80, 10, 10))])
def test_the_rule_of_splitting(n, sizes):
    rows = split_rows(n, what="n")
    assert tuple(len(index) for index in rows.values()) == sizes
    order = np.random.Generator(np.random.PCG64(0)).permutation(n)
    np.testing.assert_array_equal(np.concatenate(list(rows.values())), order)


def test_npy_is_split_and_loses_nothing(tmp_path):
    data = load(save(tmp_path / "x.npy", FLOATS))
    assert data.name == "x.npy"
    assert [len(a) for a in data.splits.values()] == [16, 2, 2]
    assert data.event_shape == (3, 2)
    assert data.observation == Cast()
    np.testing.assert_array_equal(rows_of(data), np.sort(FLOATS.reshape(20, -1), axis=0))
    assert "PCG64(0)" in data.description


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">f8", "<f4", "f2"])
def test_floats_of_any_kind_become_float32(tmp_path, order, dtype):
    data = load(save(tmp_path / "x.npy", np.asarray(FLOATS, dtype, order=order)))
    assert data.train.dtype == data.test.dtype == np.float32
    np.testing.assert_allclose(
        rows_of(data), np.sort(FLOATS.reshape(20, -1), axis=0), rtol=1e-3, atol=1e-4
    )


def test_kinds_of_integers(tmp_path):
    pictures = load(save(tmp_path / "grey.npy", grey(10, 4)))
    assert pictures.observation == Rescale(255.0)
    assert load(tmp_path / "grey.npy", binarize="dynamic").observation == Binarize(255.0)
    bits = load(save(tmp_path / "bits.npy", grey(10, 4) > 99))
    assert (bits.observation, bits.train.dtype, bits.range) == (Cast(), np.uint8, (0.0, 1.0))
    counts = load(save(tmp_path / "counts.npy", grey(10, 4).astype(np.int64)))
    assert (counts.observation, counts.train.dtype) == (Cast(), np.uint8)
    assert counts.test.dtype == np.float32
    assert "counts" in counts.description


def test_npz_with_its_own_splits(tmp_path):
    arrays = {"train": FLOATS, "valid": FLOATS[:3], "test": FLOATS[3:8]}
    labels = {"train_labels": np.arange(20), "test_labels": np.array(list("abcde"))}
    data = load(write_npz(tmp_path / "x.npz", **arrays, **labels))
    for split, array in arrays.items():
        np.testing.assert_array_equal(getattr(data, split), array)
    np.testing.assert_array_equal(data.labels["train"], np.arange(20))
    assert list(data.labels) == ["train", "test"]
    assert load(write_npz(tmp_path / "y.npz", train=FLOATS, test=FLOATS)).valid is None


@pytest.mark.parametrize(
    "array", [GREY, FLOATS, GREY > 99, GREY.astype(np.int64)], ids=lambda a: a.dtype.name
)
def test_a_folder_of_splits_is_mapped_and_its_training_rows_stay_in_the_file(tmp_path, array):
    """Those of uint8 and float32: others are brought to a dtype that is more compact."""
    for split, rows in {"train": array[:14], "valid": array[14:17], "test": array[17:]}.items():
        np.save(tmp_path / f"{split}.npy", rows)
    np.save(tmp_path / "train_labels.npy", np.arange(14))
    data = load(tmp_path)
    assert (find_mapped_array(data.train) is not None) == (array.dtype in (np.uint8, np.float32))
    np.testing.assert_array_equal(data.train, array[:14])
    assert [len(a) for a in data.splits.values()] == [14, 3, 3]
    assert find_mapped_array(data.valid) is None
    np.testing.assert_array_equal(data.labels["train"], np.arange(14))
    whole = tmp_path / "whole.npz"
    np.savez(whole, train=array[:14], valid=array[14:17], test=array[17:])
    other = load(whole)
    assert data.observation == other.observation
    for split in ("valid", "test"):
        np.testing.assert_array_equal(data.splits[split], other.splits[split])
    if array is GREY:
        assert find_mapped_array(load(tmp_path, binarize="dynamic").train) is not None


def test_a_folder_of_splits_without_a_test_split(tmp_path):
    np.save(tmp_path / "train.npy", FLOATS)
    with pytest.raises(ValueError, match=r"expected train.npy and test.npy.*got \['train'\].*np.save"):
        load(tmp_path)


def test_the_row_that_is_not_finite_is_named_far_into_a_file(tmp_path):
    many = np.zeros((25_000, 2), np.float32)
    many[20_001, 1] = np.inf
    for split in ("train", "test"):
        np.save(tmp_path / f"{split}.npy", many)
    with pytest.raises(ValueError, match=r"train.npy: expected finite.*got inf in row 20001"):
        load(tmp_path)


@pytest.mark.parametrize("names", [("images", "labels"), ("train", "train_labels")])
def test_npz_of_a_single_array_is_split_with_its_labels(tmp_path, names):
    x = np.repeat(np.arange(20.0), 2).reshape(20, 2)
    data = load(write_npz(tmp_path / "x.npz", **{names[0]: x, names[1]: np.arange(20)}))
    assert len(data.train) == 16
    for split, array in data.splits.items():
        np.testing.assert_array_equal(array[:, 0], data.labels[split])


@pytest.mark.parametrize("name", ["x.idx", "x.idx.gz", "x-idx3-ubyte", "x-idx3-ubyte.gz"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
def test_idx(tmp_path, name, dtype):
    array = (grey(10, 4, 2) // 2).astype(dtype)
    path = write_idx(tmp_path / name, array)
    read = read_idx(path)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.dtype(dtype)
    assert load(path).event_shape == (4, 2)


@pytest.mark.parametrize("header", ["", "a,b\n", '\ufeff"a","b"\n'])
def test_csv(tmp_path, header):
    path = tmp_path / "x.csv"
    lines = [f"{i},{-i / 4}\r\n" for i in range(10)]
    path.write_text(header + "".join(lines) + "\n", encoding="utf-8", newline="")
    data = load(path)
    assert (data.train.dtype, data.event_shape) == (np.float32, (2,))
    expected = np.array([[i, -i / 4] for i in range(10)])
    np.testing.assert_array_equal(rows_of(data), np.sort(expected, axis=0))


def test_a_csv_of_one_column(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("height\n1.5\n2.5\n3e0\n")
    np.testing.assert_array_equal(rows_of(load(path)), [[1.5], [2.5], [3.0]])


needs_pillow = pytest.mark.skipif(
    importlib.util.find_spec("PIL") is None, reason="a folder of images needs Pillow"
)


def write_images(folder, arrays, suffix="png"):
    from PIL import Image

    folder.mkdir(exist_ok=True)
    for i, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{i:03}.{suffix}")
    return folder


@needs_pillow
@pytest.mark.parametrize("shape", [(10, 5, 4), (10, 5, 4, 3), (10, 5, 4, 4)])
def test_images_keep_their_pixels_in_order_of_name(tmp_path, shape):
    from probvae.data.image_folder import read_images

    folder = write_images(tmp_path / "faces", grey(*shape))
    (folder / "README.txt").write_text("not an image")
    (folder / "._000.png").write_text("not one either")
    (folder / "more").mkdir()
    np.testing.assert_array_equal(read_images(folder), grey(*shape))
    data = load(folder)
    assert (data.event_shape, data.train.dtype) == (shape[1:], np.uint8)
    assert data.observation == Rescale(255.0)


@needs_pillow
@pytest.mark.parametrize("shape", [(10, 5, 4, 4), (10, 5, 4, 2)], ids=["RGBA", "LA"])
def test_an_opaque_alpha_channel_is_left_out_and_said_to_be(tmp_path, shape):
    images = grey(*shape)
    images[..., -1] = 255
    folder, colours = write_images(tmp_path / "screens", images), images[..., :-1]
    np.save(tmp_path / "screens.npy", images)
    np.savez(tmp_path / "screens.npz", train=images, test=images)
    for path in (folder, tmp_path / "screens.npy", tmp_path / "screens.npz"):
        data = load(path)
        assert data.event_shape == ((5, 4, 3) if shape[-1] == 4 else (5, 4))
        assert "alpha channel, opaque everywhere, is dropped" in str(data)
    np.testing.assert_array_equal(load(tmp_path / "screens.npz").train, colours.squeeze())
    images[7, 0, 0, -1] = 254
    np.save(tmp_path / "screens.npy", images)
    kept = load(tmp_path / "screens.npy")
    assert kept.event_shape == shape[1:]
    assert "opaque everywhere" not in str(kept)


@needs_pillow
def test_images_of_one_bit_and_palettes(tmp_path):
    from PIL import Image

    bits = load(write_images(tmp_path / "bits", grey(4, 5, 4) > 99))
    assert (bits.range, bits.observation) == ((0.0, 1.0), Cast())
    (tmp_path / "palettes").mkdir()
    for i, array in enumerate(grey(4, 5, 4, 3)):
        Image.fromarray(array).quantize(4).save(tmp_path / "palettes" / f"{i}.png")
    assert load(tmp_path / "palettes").event_shape == (5, 4, 3)


@needs_pillow
def test_jpeg(tmp_path):
    flat = np.full((3, 8, 8), 77, np.uint8)
    data = load(write_images(tmp_path / "flat", flat, suffix="JPG"))
    assert np.abs(data.train.astype(int) - 77).max() <= 2
