"""The known data sets: miniatures in the formats on disk, and the real files where they are."""

import functools
import os
from pathlib import Path

import miniatures
import numpy as np
import pytest

from probvae.data import Binarize, Cast, Rescale, list_datasets, load
from probvae.data import known_datasets as known_sources
from probvae.data.single_cell import read_pbmc3k


def shrink(monkeypatch, name, read):
    """Let the known set `name` be read by `read`: its own function, with small splits."""
    entry = known_sources.KNOWN[name]
    small = known_sources.KnownSource(entry.summary, files=entry.files, read=read)
    monkeypatch.setitem(known_sources.KNOWN, name, small)


def test_mnist(tmp_path, monkeypatch):
    train, test = miniatures.mnist(tmp_path)
    shrink(monkeypatch, "mnist", functools.partial(known_sources.read_mnist, held_out=2))
    data = load("mnist", data_dir=tmp_path)
    np.testing.assert_array_equal(data.train, train[:5])
    np.testing.assert_allclose(data.valid, train[5:] / 255, rtol=1e-6)
    np.testing.assert_allclose(data.test, test / 255, rtol=1e-6)
    assert {k: v.tolist() for k, v in data.labels.items()} == {
        "train": [0, 1, 2, 3, 4],
        "valid": [5, 6],
        "test": [0, 1, 2, 3],
    }
    dynamic = load("mnist", binarize="dynamic", data_dir=tmp_path)
    random = np.random.RandomState(777)
    np.testing.assert_array_equal(dynamic.valid, random.binomial(1, train[5:] / 255))
    np.testing.assert_array_equal(dynamic.test, random.binomial(1, test / 255))


def test_binarized_mnist(tmp_path):
    images = miniatures.binarized_mnist(tmp_path)
    data = load("binarized-mnist", data_dir=tmp_path)
    for split, array in images.items():
        np.testing.assert_array_equal(getattr(data, split), array)
        assert getattr(data, split).dtype == np.uint8
    assert data.observation == Cast()
    assert data.labels == {}


def test_omniglot(tmp_path, monkeypatch):
    arrays = miniatures.omniglot(tmp_path)
    shrink(monkeypatch, "omniglot", functools.partial(known_sources.read_omniglot, held_out=2))
    data = load("omniglot", binarize="dynamic", data_dir=tmp_path)
    np.testing.assert_array_equal(data.train, arrays["train"][:-2])
    assert len(data.valid) == 2
    np.testing.assert_array_equal(data.labels["valid"], arrays["train_character"][-2:])
    np.testing.assert_array_equal(data.labels["test"], arrays["test_character"])


def test_freyfaces(tmp_path, monkeypatch):
    images, permutation = miniatures.freyfaces(tmp_path)
    shrink(monkeypatch, "freyfaces", functools.partial(known_sources.read_freyfaces, held_out=2))
    data = load("freyfaces", data_dir=tmp_path)
    shuffled = images[permutation]
    np.testing.assert_array_equal(data.train, shuffled[:5])
    np.testing.assert_allclose(data.valid, shuffled[5:7] / 255, rtol=1e-6)
    np.testing.assert_allclose(data.test, shuffled[7:] / 255, rtol=1e-6)


def test_lfw64(tmp_path):
    arrays = miniatures.lfw64(tmp_path)
    data = load("lfw64", data_dir=tmp_path)
    np.testing.assert_array_equal(data.train, arrays["train"])
    assert data.event_shape == (64, 64, 3)
    assert data.observation == Rescale(255.0)


def test_pbmc3k(tmp_path, monkeypatch):
    dense, arrays = miniatures.pbmc3k(tmp_path)
    path = tmp_path / known_sources.PBMC_FILE
    shrink(monkeypatch, "pbmc3k", lambda root: read_pbmc3k(path, held_out=3))
    data = load("pbmc3k", data_dir=tmp_path)
    chosen = dense[arrays["permutation"]][:, arrays["variable_genes"]]
    np.testing.assert_array_equal(data.train, chosen[:5])
    np.testing.assert_array_equal(data.test, chosen[5:])
    assert data.valid is None
    library = np.exp(data.context["train"])
    np.testing.assert_allclose(library[:, 0], chosen[:5].sum(1), rtol=1e-5)
    assert data.context["test"].shape == (3, 1)


def test_digits_are_binary_unless_asked_otherwise():
    data = load("digits")
    assert [len(array) for array in data.splits.values()] == [1197, 300, 300]
    assert (data.event_shape, data.range, data.observation) == ((8, 8), (0.0, 1.0), Cast())
    assert data.train.dtype == np.uint8
    np.testing.assert_array_equal(data.train, load("digits").train)
    assert {split: len(array) for split, array in data.labels.items()} == {
        "train": 1197,
        "valid": 300,
        "test": 300,
    }


def test_digits_keep_every_row_of_their_source():
    from sklearn.datasets import load_digits

    data = load("digits", binarize=None)
    assert data.observation == Rescale(16.0)
    pixels = np.concatenate([data.train, data.valid * 16, data.test * 16]).reshape(1797, 64)
    labels = np.concatenate(list(data.labels.values()))
    found = np.column_stack([pixels, labels])
    source = np.column_stack([load_digits().data, load_digits().target])
    np.testing.assert_array_equal(
        found[np.lexsort(found.T)], source[np.lexsort(source.T)], strict=False
    )
    assert load("digits", binarize="dynamic").observation == Binarize(16.0)


def test_known_says_what_is_found(tmp_path, monkeypatch):
    miniatures.binarized_mnist(tmp_path)
    found = list_datasets(data_dir=tmp_path)
    there = {name for name, entry in found.items() if entry.available}
    assert there == {"digits", "dsprites", "binarized-mnist"}
    monkeypatch.setenv("PROBVAE_DATA", str(tmp_path))
    assert list_datasets() == found
    monkeypatch.delenv("PROBVAE_DATA")
    monkeypatch.chdir(tmp_path)
    assert list_datasets()["binarized-mnist"].paths == (Path("data") / known_sources.STATIC_FILE,)


def test_data_dir_goes_before_the_environment(tmp_path, monkeypatch):
    miniatures.binarized_mnist(tmp_path / "here")
    monkeypatch.setenv("PROBVAE_DATA", str(tmp_path / "nowhere"))
    assert len(load("binarized-mnist", data_dir=tmp_path / "here").train) == 3


def needs(file):
    root = os.environ.get("PROBVAE_DATA")
    missing = root is None or not (Path(root) / file).is_file()
    return pytest.mark.skipif(missing, reason=f"needs {file} in $PROBVAE_DATA")


REAL = [
    ("mnist", (28, 28), (50_000, 10_000, 10_000), known_sources.MNIST_FILES[0]),
    ("binarized-mnist", (28, 28), (50_000, 10_000, 10_000), known_sources.STATIC_FILE),
    ("omniglot", (28, 28), (23_000, 1_345, 8_070), known_sources.OMNIGLOT_FILE),
    ("freyfaces", (28, 20), (1_565, 200, 200), known_sources.FREYFACES_FILE),
    ("lfw64", (64, 64, 3), (4_749, 500, 500), known_sources.LFW_FILE),
    ("pbmc3k", (2000,), (2_430, 270), known_sources.PBMC_FILE),
]


@pytest.mark.parametrize(
    ("name", "event_shape", "sizes"), [pytest.param(*row[:3], marks=needs(row[3])) for row in REAL]
)
def test_real_sizes(name, event_shape, sizes):
    data = load(name)
    assert data.event_shape == event_shape
    assert tuple(len(array) for array in data.splits.values()) == sizes
    assert data.name == name


@needs(known_sources.STATIC_FILE)
def test_real_binarized_mnist():
    data = load("binarized-mnist")
    means = [float(array.mean()) for array in data.splits.values()]
    np.testing.assert_allclose(means, [0.130562, 0.131127, 0.132512], atol=5e-7)
    rows = [np.packbits(array.reshape(len(array), -1), axis=1) for array in data.splits.values()]
    assert len({row.tobytes() for row in np.concatenate(rows)}) == 70_000


@needs(known_sources.MNIST_FILES[0])
def test_real_mnist():
    data = load("mnist", binarize="dynamic")
    assert data.train.mean() == pytest.approx(33.39, abs=0.01)
    assert data.labels["train"][:5].tolist() == [5, 0, 4, 1, 9]
    assert data.labels["test"][:5].tolist() == [7, 2, 1, 0, 4]
    grey = load("mnist")
    random = np.random.RandomState(777)
    np.testing.assert_array_equal(
        data.valid, random.binomial(1, np.rint(grey.valid * 255.0).astype(np.uint8) / 255)
    )


@needs(known_sources.FREYFACES_FILE)
def test_real_freyfaces():
    data = load("freyfaces")
    low, high = data.range
    assert (round(low * 255), round(high * 255)) == (8, 238)
    sums = [255 * array.sum(dtype=np.float64) for array in (data.valid, data.test)]
    mean = (data.train.sum(dtype=np.float64) + sum(sums)) / (1_965 * 560)
    assert mean == pytest.approx(154.5, abs=0.05)


@needs(known_sources.OMNIGLOT_FILE)
def test_real_omniglot():
    data = load("omniglot")
    ink = data.train.sum(dtype=np.float64) / 255
    ink += data.valid.sum(dtype=np.float64) + data.test.sum(dtype=np.float64)
    assert ink / (32_415 * 784) == pytest.approx(0.0805, abs=5e-5)
    assert len(np.unique(data.labels["train"])) == 1_623


@needs(known_sources.PBMC_FILE)
def test_real_pbmc3k():
    data = load("pbmc3k")
    assert data.range == (0.0, 419.0)
    share = np.concatenate([data.train, data.test]).astype(bool).mean()
    assert share == pytest.approx(0.28, abs=0.005)
    assert np.isfinite(data.context["train"]).all()
    np.testing.assert_allclose(np.exp(data.context["train"][:, 0]), data.train.sum(axis=1), rtol=1e-5)
