"""Images of any kind become one array on disk, whole or not at all; what is wrong with them is named."""

import importlib.util
import io
import sys
import types

import numpy as np
import pytest
from miniatures import grey

from probvae.cli import main
from probvae.data import DataError, Rescale, load, prepare_images

Image = pytest.importorskip("PIL.Image", reason="images are read with Pillow")


def written(folder, arrays, suffix="png"):
    folder.mkdir(exist_ok=True)
    for i, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{i:03}.{suffix}")
    return folder


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "png")
    return stream.getvalue()


def parquet(monkeypatch, cells, *, columns=("image", "label")):
    """Let `pyarrow.parquet` be a stand-in that holds these cells in its column `image`."""

    class ParquetFile:
        schema_arrow = types.SimpleNamespace(names=list(columns))

        def __init__(self, path):
            self.path = path

        def iter_batches(self, *, batch_size, columns):
            assert columns == ["image"]
            for start in range(0, len(cells), 2):
                column = types.SimpleNamespace(to_pylist=lambda s=start: cells[s : s + 2])
                yield types.SimpleNamespace(column=lambda i, c=column: c)

    stand_in = types.SimpleNamespace(ParquetFile=ParquetFile)
    monkeypatch.setitem(sys.modules, "pyarrow", types.SimpleNamespace(parquet=stand_in))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", stand_in)


def test_a_folder_of_the_right_size_keeps_its_pixels(tmp_path):
    x = grey(5, 8, 8, 3)
    done = prepare_images(written(tmp_path / "faces", x), tmp_path / "new" / "x.npy", size=8)
    assert done == (tmp_path / "new" / "x.npy", (5, 8, 8, 3), ())
    np.testing.assert_array_equal(np.load(done.path), x)
    assert [path.name for path in done.path.parent.iterdir()] == ["x.npy"]


def test_squares_are_central_and_averaged(tmp_path):
    x = np.zeros((1, 8, 14), np.uint8)
    x[0, :, 3:11] = np.kron(grey(4, 4), np.ones((2, 2), np.uint8))
    x[0, :, :3], x[0, :, 11:] = 255, 255
    done = prepare_images(written(tmp_path / "wide", x), tmp_path / "x.npy", size=4)
    np.testing.assert_array_equal(np.load(done.path)[0], x[0, ::2, 3:11:2])
    checks = np.tile(np.array([[0, 200], [100, 60]], np.uint8), (1, 4, 4))
    done = prepare_images(written(tmp_path / "checks", checks), tmp_path / "y.npy", size=4)
    np.testing.assert_array_equal(np.load(done.path), np.full((1, 4, 4), 90))


def test_an_array_and_parquet_give_what_a_folder_gives(tmp_path, monkeypatch):
    x = grey(5, 8, 8, 3)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "parts").mkdir()
    for name in ("train-0.parquet", "train-1.parquet"):
        (tmp_path / "parts" / name).touch()
    folder = prepare_images(written(tmp_path / "faces", x), tmp_path / "a.npy", size=4)
    array = prepare_images(tmp_path / "x.npy", tmp_path / "b.npy", size=4)
    parquet(monkeypatch, [{"bytes": png(image), "path": None} for image in x])
    table = prepare_images(tmp_path / "parts" / "train-0.parquet", tmp_path / "c.npy", size=4)
    tables = prepare_images(tmp_path / "parts", tmp_path / "d.npy", size=4)
    for done in (array, table):
        np.testing.assert_array_equal(np.load(done.path), np.load(folder.path))
    np.testing.assert_array_equal(np.load(tables.path), np.tile(np.load(folder.path), (2, 1, 1, 1)))


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_a_real_parquet_file(tmp_path):
    import pyarrow
    import pyarrow.parquet

    x = grey(5, 8, 8, 3)
    cells = [{"bytes": png(image), "path": ""} for image in x]
    pyarrow.parquet.write_table(pyarrow.table({"image": cells}), tmp_path / "x.parquet")
    done = prepare_images(tmp_path / "x.parquet", tmp_path / "x.npy", size=8)
    np.testing.assert_array_equal(np.load(done.path), x)


def odd(folder, image, name="odd.png"):
    """Put one more image at the end of a folder of five 8 x 8 in colour."""
    written(folder, grey(5, 8, 8, 3))
    (folder / name).write_bytes(image if isinstance(image, bytes) else png(image))
    return folder


WRONG = [
    ("size", grey(9, 8, 3), r"odd.png: expected 8x8 pixels.*got 8x9. Use mixed_sizes=True"),
    ("grey", grey(8, 8), "odd.png: expected colour, like the first image; got grey. Use"),
    ("alpha", grey(8, 8, 4), r"odd.png: expected an image of 8 bits .* got mode 'RGBA'"),
    ("cut", png(grey(8, 8, 3))[:60], "cannot read .*odd.png: expected an image"),
    ("empty", b"", "cannot read .*odd.png: expected an image"),
]


@pytest.mark.parametrize(("image", "message"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_is_wrong_is_named_and_nothing_is_left(tmp_path, image, message):
    with pytest.raises(DataError, match=message):
        prepare_images(odd(tmp_path / "faces", image), tmp_path / "x.npy", size=8)
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_only_damage_is_skipped_and_only_when_asked(tmp_path):
    folder = odd(tmp_path / "faces", b"not an image", name="002b.png")
    done = prepare_images(folder, tmp_path / "x.npy", size=8, skip_corrupt=True)
    assert done.skipped == (str(folder / "002b.png"),)
    np.testing.assert_array_equal(np.load(done.path), grey(5, 8, 8, 3))
    (folder / "grey.png").write_bytes(png(grey(8, 8)))
    with pytest.raises(DataError, match="grey.png: expected colour"):
        prepare_images(folder, tmp_path / "y.npy", size=8, skip_corrupt=True)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match="expected images; got none that can be read"):
        prepare_images(tmp_path / "bad", tmp_path / "y.npy", skip_corrupt=True)


def test_mixed_sizes_when_asked_for(tmp_path):
    folder = odd(tmp_path / "faces", grey(9, 12, 3))
    assert prepare_images(folder, tmp_path / "x.npy", size=8, mixed_sizes=True).shape == (6, 8, 8, 3)
    (folder / "small.png").write_bytes(png(grey(9, 7, 3)))
    with pytest.raises(DataError, match="small.png: expected at least 8x8 pixels; got 7x9"):
        prepare_images(folder, tmp_path / "y.npy", size=8, mixed_sizes=True)


def test_other_mistakes(tmp_path, monkeypatch):
    folder = written(tmp_path / "faces", grey(5, 8, 8, 3))
    with pytest.raises(FileNotFoundError, match="expected a file or folder"):
        prepare_images(tmp_path / "nothing", tmp_path / "x.npy")
    with pytest.raises(DataError, match=r"expected out to end in .npy"):
        prepare_images(folder, tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"size=...\) expects a positive integer; got 0"):
        prepare_images(folder, tmp_path / "x.npy", size=0)
    (tmp_path / "x.npy").touch()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        prepare_images(folder, tmp_path / "x.npy", size=8)
    assert prepare_images(folder, tmp_path / "x.npy", size=8, overwrite=True).shape == (5, 8, 8, 3)
    np.save(tmp_path / "real.npy", np.zeros((5, 8, 8), np.float32))
    with pytest.raises(DataError, match=r"expected images as uint8 .* got float32"):
        prepare_images(tmp_path / "real.npy", tmp_path / "y.npy")
    (tmp_path / "faces.zip").touch()
    with pytest.raises(DataError, match="expected a folder of images, a .parquet or a .npy file"):
        prepare_images(tmp_path / "faces.zip", tmp_path / "y.npy")


def test_parquet_without_pyarrow_or_images(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"pip install 'probvae\[parquet\]'"):
        prepare_images(tmp_path / "x.parquet", tmp_path / "x.npy")
    parquet(monkeypatch, [], columns=("face", "label"))
    with pytest.raises(
        DataError, match=r"expected a column 'image' .* got columns \['face', 'label'\]"
    ):
        prepare_images(tmp_path / "x.parquet", tmp_path / "x.npy")
    parquet(monkeypatch, [{"bytes": None, "path": "a.png"}])
    with pytest.raises(DataError, match=r"x.parquet\[0\]: expected the bytes .* got NoneType"):
        prepare_images(tmp_path / "x.parquet", tmp_path / "x.npy", skip_corrupt=True)


def test_celebahq_is_found_and_never_read_whole(tmp_path):
    x = grey(41, 64, 64, 3)
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "celebahq" / "celebahq64.npy"
    assert main(["data", str(tmp_path / "x.npy"), "--prepare", str(out)]) == 0
    data = load("celebahq", data_dir=tmp_path)
    assert [len(split) for split in data.splits.values()] == [38, 3, 3]
    np.testing.assert_array_equal(data.train, x[:38])
    np.testing.assert_allclose(data.valid, x[38:] / 255, rtol=1e-6)
    np.testing.assert_array_equal(data.valid, data.test)
    assert data.observation == Rescale(255.0)
    assert isinstance(data.train, np.memmap)
    assert not data.train.flags.writeable
    out.write_bytes(out.read_bytes()[:-1])
    with pytest.raises(DataError, match="The file is corrupt"):
        load("celebahq", data_dir=tmp_path)
    prepare_images(tmp_path / "x.npy", out, size=32, overwrite=True)
    with pytest.raises(DataError, match=r"expected images \(n, 64, 64, 3\); got \(41, 32, 32, 3\)"):
        load("celebahq", data_dir=tmp_path)


def test_an_array_beyond_the_limit_of_files_is_mapped(tmp_path, monkeypatch):
    """A file may be larger than memory: neither `prepare_images` nor `load` has a limit of bytes."""
    out = tmp_path / "celebahq" / "celebahq64.npy"
    np.save(tmp_path / "x.npy", grey(20, 64, 64, 3))
    monkeypatch.setattr("probvae.data.read_errors.MAX_BYTES", 64 * 64 * 3)
    prepare_images(tmp_path / "x.npy", out)
    assert len(load("celebahq", data_dir=tmp_path).train) == 19
    with pytest.raises(DataError, match="expected at most 12,288"):
        load(out)


def test_the_command_says_what_is_missing_and_what_was_left_out(tmp_path, capsys):
    assert main(["data", "--prepare", str(tmp_path / "x.npy")]) == 1
    assert "Example: probvae data IMAGES --prepare OUT.npy" in capsys.readouterr().err
    folder = odd(tmp_path / "faces", b"", name="odd.png")
    options = ["--prepare", str(tmp_path / "x.npy"), "--size", "8", "--skip-corrupt"]
    assert main(["data", str(folder), *options]) == 0
    printed = capsys.readouterr().out
    assert "skipped, corrupt: " in printed
    assert "5 images, (8, 8, 3), uint8" in printed
    (tmp_path / "x.npy").unlink()
    assert main(["data", str(folder), *options[:-1]]) == 1
    assert "skip_corrupt=True" in capsys.readouterr().err
