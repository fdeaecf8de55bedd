"""Errors of data files: what was expected, what was given, and what to do."""

import gzip
import io
import re
import struct
import zipfile

import miniatures
import numpy as np
import pandas
import pytest
from miniatures import grey, idx_bytes, write_idx, write_npz

from probvae.containers import read_values
from probvae.data import known_datasets as known_sources
from probvae.data import load, tables

FLOATS = np.ones((10, 2), np.float32)


def with_nan(row):
    array = FLOATS.copy()
    array[row, 1] = np.nan
    return array


def npy(path, array, *, allow_pickle=False):
    np.save(path, array, allow_pickle=allow_pickle)
    return path


def raw(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def npy_bytes(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npy_that_declares(shape):
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + bytes(10)


def npz_of(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def damaged(path, *, keep=0.5):
    content = path.read_bytes()
    return raw(path, content[: int(len(content) * keep)])


def text(path, content):
    return raw(path, content.encode())


def images(folder, *arrays, odd=None):
    image = pytest.importorskip("PIL.Image", reason="a folder of images needs Pillow")
    folder.mkdir()
    for i, array in enumerate(arrays):
        image.fromarray(array).save(folder / f"{i}.png")
    if odd:
        (folder / odd[0]).write_bytes(odd[1])
    return folder


def real_mnist(tmp, change):
    miniatures.mnist(tmp)
    change(tmp / known_sources.MNIST_FILES[0])
    return load("mnist", data_dir=tmp)


def mnist_without_a_label(tmp):
    miniatures.mnist(tmp, rows=10_005)
    write_idx(tmp / known_sources.MNIST_FILES[1], np.zeros(10_004, np.uint8))
    return load("mnist", data_dir=tmp)


def static_mnist(tmp, **arrays):
    write_npz(tmp / known_sources.STATIC_FILE, **arrays)
    return load("binarized-mnist", data_dir=tmp)


def faces(tmp):
    miniatures.freyfaces(tmp)
    return load("freyfaces", data_dir=tmp)


def cells(tmp, *, rows=8, **change):
    _, arrays = miniatures.pbmc3k(tmp, cells=rows)
    write_npz(tmp / known_sources.PBMC_FILE, **{**arrays, **change})
    return load("pbmc3k", data_dir=tmp)


BITS = np.zeros((3, 98), np.uint8)
GREY = grey(10, 4, 3)

NAMES = [
    ("unknown", lambda _: load("imagenet"), ValueError, r"\(digits, mnist, .*pbmc3k\).*'imagenet'"),
    ("close", lambda _: load("mnits"), ValueError, "Did you mean 'mnist'"),
    (
        "no such path",
        lambda t: load(t / "x"),
        FileNotFoundError,
        "expected a file or folder at .*x",
    ),
    ("no such file", lambda _: load("nowhere.npy"), FileNotFoundError, "at .*nowhere.npy; got"),
    (
        "not downloaded",
        lambda t: load("mnist", data_dir=t),
        FileNotFoundError,
        r"\(data_dir\).*mnist/train-images-idx3-ubyte.gz.*export PROBVAE_DATA=<the folder.*mnist/>",
    ),
    (
        "binarize",
        lambda _: load("digits", binarize="x"),
        ValueError,
        "'static', 'dynamic'.*got 'x'",
    ),
    ("an array", lambda _: load(FLOATS), TypeError, "name_or_path"),
    (
        "suffix",
        lambda t: load(text(t / "x.mat", "")),
        ValueError,
        r"ends in .npy.*\.npz. Use np.save",
    ),
]

ARRAYS = [
    ("0-d", np.float32(1), r"shape \(n, \.\.\.\); got shape \(\)"),
    ("1-d", np.ones(5), r"got shape \(5,\). Use array\[:, None\]"),
    ("empty", np.ones((0, 3)), r"empty array of shape \(0, 3\)"),
    ("empty events", np.ones((4, 0)), r"empty array of shape \(4, 0\)"),
    ("two rows", np.ones((2, 3)), "at least 3 rows, for train, valid and test; got 2"),
    ("text", np.array([["a"]]), "expected numbers .*got dtype <U1"),
    ("complex", np.ones((4, 2), complex), "got dtype complex128"),
    ("nan", with_nan(7), r"x.npy: expected finite float32 values; got nan in row 7 \(1 such row,"),
    ("too large", np.full((4, 2), 1e300), "got inf in row 0"),
    ("inexact", np.full((4, 2), 2**25), "float32 holds exactly; got 33554432"),
]


def load_arrays(**arrays):
    return lambda t: load(write_npz(t / "x.npz", **arrays))


SPLITS = [
    ("nan", load_arrays(train=FLOATS, test=with_nan(3)), r"x.npz\[test\]: .* nan in row 3"),
    (
        "inf",
        load_arrays(train=FLOATS, valid=FLOATS * np.inf, test=FLOATS),
        r"\[valid\].* inf in row 0",
    ),
    (
        "names",
        load_arrays(x=FLOATS, y=FLOATS),
        r"one array, or arrays train and test.*\('x', 'y'\)",
    ),
    (
        "no test",
        load_arrays(train=FLOATS, valid=FLOATS),
        r"train and test.*got \('train', 'valid'\)",
    ),
    ("shape", load_arrays(train=FLOATS, test=FLOATS[:, :1]), r"train, \(2,\).*got \(1,\) in test"),
    ("dtype", load_arrays(train=GREY, test=GREY / 255), "one dtype in all splits.*uint8.*float32"),
    ("labels", load_arrays(train=FLOATS, test=FLOATS, test_labels=np.ones(3)), "labels by split"),
    ("labels of one", load_arrays(x=FLOATS, labels=np.ones(3)), "expected 10 labels.*got 3"),
    ("nothing", load_arrays(), r"got \(\)"),
]

FORMATS = [
    (
        "npy text",
        lambda t: load(text(t / "x.npy", "hello")),
        r"cannot read .*x.npy: expected a NumPy",
    ),
    ("npy empty", lambda t: load(raw(t / "x.npy", b"")), "cannot read .*x.npy"),
    ("npy short", lambda t: load(damaged(npy(t / "x.npy", GREY), keep=0.9)), "120 bytes .*got 95"),
    ("npz text", lambda t: load(text(t / "x.npz", "hello")), "expected a NumPy archive.*not a zip"),
    (
        "npz short",
        lambda t: load(damaged(write_npz(t / "x.npz", train=GREY))),
        "cannot read .*x.npz: expected a NumPy archive",
    ),
    (
        "npz member",
        lambda t: load(npz_of(t / "x.npz", train=npy_bytes(GREY)[:-9])),
        r"x.npz\[train\]: expected 120 bytes for shape \(10, 4, 3\) of uint8; got 111",
    ),
    ("idx text", lambda t: load(text(t / "x.idx", "hello")), "bytes 0, 0 and a type in .*104, 101"),
    ("idx empty", lambda t: load(raw(t / "x.idx", b"")), "cannot read .*x.idx: expected an IDX"),
    (
        "idx short",
        lambda t: load(raw(t / "x.idx", idx_bytes(GREY)[:-5])),
        r"expected 120 bytes for shape \(10, 4, 3\) of uint8; got 115. The file",
    ),
    ("idx long", lambda t: load(raw(t / "x.idx", idx_bytes(GREY) + b"!")), "120 bytes.*got more"),
    ("idx not gzip", lambda t: load(raw(t / "x.idx.gz", idx_bytes(GREY))), "BadGzipFile"),
    ("idx short gzip", lambda t: load(damaged(write_idx(t / "x.idx.gz", GREY))), "cannot read"),
    (
        "csv cell",
        lambda t: load(text(t / "x.csv", "a,b\n1,2\n3,x4\n")),
        r"line 3, column 2 \(b\).*'x4'",
    ),
    (
        "csv no header",
        lambda t: load(text(t / "x.csv", "1,b\n2,3\n")),
        "line 1, column 2: .*got 'b'",
    ),
    (
        "csv gap",
        lambda t: load(text(t / "x.csv", "1,2\n3,\n")),
        r"line 2, column 2: .*got ''. The cell seems missing.*header=None.*convert_dtypes.*Batch\(x, mask",
    ),
    (
        "csv semicolons",
        lambda t: load(text(t / "x.csv", "a;b\n1,5;2,0\n3,1;4,2\n")),
        "line 2: expected cells separated by commas; got '1,5;2,0'. Export the table with commas",
    ),
    ("csv tabs", lambda t: load(text(t / "x.csv", "1\t2\n3\t4\n")), "separated by commas; got"),
    (
        "csv ragged",
        lambda t: load(text(t / "x.csv", "1,2\n3,4,5\n")),
        "line 2: expected 2 cells.*3",
    ),
    ("csv empty", lambda t: load(text(t / "x.csv", "")), "at least one row of numbers; got none"),
    ("csv header alone", lambda t: load(text(t / "x.csv", "a,b\n")), "at least one row"),
    (
        "csv nan",
        lambda t: load(text(t / "x.csv", "1,2\n3,nan\n5,6\n")),
        "line 2.*'nan'. The cell seems",
    ),
    ("csv binary", lambda t: load(raw(t / "x.csv", b"\xff\xfe\x00")), "UnicodeDecodeError"),
    ("csv NUL", lambda t: load(raw(t / "x.csv", b"1,2\n3,\x00\n5,6\n")), "x.csv"),
    ("csv underscore", lambda t: load(text(t / "x.csv", "1,2\n3,1_0\n")), "column 2: .*'1_0'"),
]


@pytest.mark.parametrize("cell", [*sorted(tables.MISSING_CELLS), " NA", "  "])
@pytest.mark.parametrize("head", ["", "a,b\n"], ids=["no header", "a header"])
def test_a_missing_cell_of_a_csv_gets_the_advice_of_a_missing_entry_and_it_works(
    cell, head, tmp_path, monkeypatch
):
    path = text(tmp_path / "x.csv", f"{head}1,2\n3,{cell}\n5,6\n")
    with pytest.raises(ValueError, match="seems missing.*nan-in-the-data") as caught:
        load(path)
    assert "Drop" not in str(caught.value)
    monkeypatch.chdir(tmp_path)
    frame = eval(re.search(r"frame = (.*), then fit", str(caught.value))[1], {"pandas": pandas})
    np.testing.assert_array_equal(
        read_values("x", frame).observed, [[True, True], [True, False], [True, True]]
    )


def test_a_first_row_of_missing_cells_is_no_header(tmp_path):
    with pytest.raises(ValueError, match="line 1, column 1: .*seems missing"):
        load(text(tmp_path / "x.csv", "NA,NA\n1,2\n3,4\n"))


def test_nan_in_an_array_file_gets_the_advice_of_a_missing_entry(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1.0, 2.0], [3.0, np.nan]]))
    with pytest.raises(ValueError, match=r"nan in row 1.*mask=np\.isfinite\(x\).*nan-in-the-data"):
        load(tmp_path / "x.npy")


FOLDERS = [
    (
        "no images",
        lambda t: load(images(t / "f")),
        r"expected images \(.bmp, .*got none. Give the folder",
    ),
    (
        "size",
        lambda t: load(images(t / "f", GREY[0], GREY[1], GREY[2].T)),
        r"f/2.png: expected 3x4 pixels, 1 channel\(s\), uint8, as in 0.png; got 4x3 pixels",
    ),
    (
        "mode",
        lambda t: load(images(t / "f", GREY[0], np.stack([GREY[1]] * 3, -1))),
        r"f/1.png: expected 3x4 pixels, 1 channel.*got 3x4 pixels, 3 channel",
    ),
    (
        "corrupt",
        lambda t: load(images(t / "f", GREY[0], odd=("1.png", b"\x89PNG nonsense"))),
        "cannot read .*f/1.png: expected an image",
    ),
    (
        "16 bits",
        lambda t: load(images(t / "f", GREY[0].astype(np.uint16))),
        "8 bits.*got mode 'I;16'",
    ),
]

KNOWN = [
    ("damaged", lambda t: real_mnist(t, damaged), "cannot read .*train-images-idx3-ubyte.gz"),
    (
        "another file",
        lambda t: real_mnist(t, lambda path: raw(path, gzip.compress(b"<html>"))),
        "train-images-idx3-ubyte.gz: expected an IDX file",
    ),
    ("labels", lambda t: mnist_without_a_label(t), "got 4 rows for 'train'"),
    ("too few", lambda t: real_mnist(t, lambda _: None), "expected more than 10,000 rows; got 7"),
    ("few faces", lambda t: faces(t), "freyfaces.npz: expected more than 400 rows; got 9. Download"),
    ("few cells", lambda t: cells(t), "pbmc3k_counts.npz: expected more than 270 rows; got 8"),
    ("huge", lambda t: cells(t, shape=np.array([2**31 - 1] * 2)), "matrix of counts, declares"),
    ("no array", lambda t: static_mnist(t, train=BITS, test=BITS), r"missing \['valid'\]"),
    (
        "width",
        lambda t: static_mnist(t, train=BITS[:, 1:], valid=BITS, test=BITS),
        r"uint8 \(n, 98\); got uint8 \(3, 97\)",
    ),
    ("floats", lambda t: static_mnist(t, train=BITS / 1, valid=BITS, test=BITS), "got float64"),
    (
        "a column too far",
        lambda t: cells(t, shape=np.array([8, 5], np.int32)),
        "CSR form.*IndexError",
    ),
    (
        "rows",
        lambda t: cells(t, indptr=np.array([0, 3], np.int32)),
        r"counts.npz: expected indptr with the 8 rows of \d+ values; got 1",
    ),
    (
        "empty cell",
        lambda t: cells(t, rows=300, variable_genes=np.array([0], np.uint16)),
        r"npz\[train\]: .* got none in row",
    ),
]

BOUND = [
    (
        "npy",
        lambda t: load(raw(t / "x.npy", npy_that_declares((2**40, 2)))),
        "declares 2,199,023,255",
    ),
    ("npy negative", lambda t: load(raw(t / "x.npy", npy_that_declares((-1, -10)))), "got 10"),
    (
        "npz",
        lambda t: load(npz_of(t / "x.npz", train=npy_that_declares((2**40, 2)))),
        r"x.npz\[train\] declares",
    ),
    (
        "idx",
        lambda t: load(raw(t / "x.idx", struct.pack(">HBB2I", 0, 8, 2, 2**31, 2**31))),
        "declares 4,611,686,018,427,387,904 bytes unpacked; expected at most 8,589,934,592. Keep",
    ),
]


def cases(table):
    return pytest.mark.parametrize(
        ("call", "message"), [row[1:] for row in table], ids=[row[0] for row in table]
    )


@pytest.mark.parametrize(
    ("call", "error", "message"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES]
)
def test_names(call, error, message, tmp_path):
    with pytest.raises(error, match=message):
        call(tmp_path)


@cases(ARRAYS)
def test_arrays(call, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load(npy(tmp_path / "x.npy", call))


@cases([*SPLITS, *FORMATS, *FOLDERS, *KNOWN, *BOUND])
def test_files(call, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        call(tmp_path)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_environment_is_named_where_files_are_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBVAE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"\(\$PROBVAE_DATA\)"):
        load("lfw64")
    monkeypatch.delenv("PROBVAE_DATA")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"'data' \(\./data, as \$PROBVAE_DATA is not set\)"):
        load("lfw64")


class Trap:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_no_pickle_is_loaded(name, tmp_path):
    path = tmp_path / name
    trap = np.array([[Trap()]] * 3, dtype=object)
    if name.endswith("npy"):
        npy(path, trap, allow_pickle=True)
    else:
        np.savez(path, train=trap, test=trap)
    with pytest.raises(ValueError, match=r"got dtype object \(a pickle, never loaded\). Save"):
        load(path)


def test_a_pickle_in_a_member_that_is_not_read_does_no_harm(tmp_path):
    np.savez(tmp_path / "x.npz", train=FLOATS, test=FLOATS, notes=np.array([Trap()]))
    assert load(tmp_path / "x.npz").event_shape == (2,)


def test_what_an_archive_declares_is_bounded_before_it_is_unpacked(tmp_path, monkeypatch):
    path = write_npz(tmp_path / "x.npz", train=np.zeros((1000, 100)), test=np.zeros((3, 100)))
    monkeypatch.setattr("probvae.data.read_errors.MAX_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"x.npz declares 802,656 bytes unpacked; .* 10,000. Keep"):
        load(path)


def test_images_are_bounded(tmp_path, monkeypatch):
    folder = images(tmp_path / "f", *GREY)
    monkeypatch.setattr("probvae.data.read_errors.MAX_BYTES", 100)
    with pytest.raises(ValueError, match="f declares 120 bytes unpacked"):
        load(folder)


def test_without_pillow_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    folder = images(tmp_path / "f", GREY[0])
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"pip install 'probvae\[images\]'"):
        load(folder)


def test_two_arrays_of_one_event_shape_but_another_dtype_of_bool_agree(tmp_path):
    bits = GREY > 99
    path = write_npz(tmp_path / "x.npz", train=bits, test=bits.astype(np.uint8))
    assert load(path).range == (0.0, 1.0)
