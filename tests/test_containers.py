"""Containers of other libraries: the numbers that they hold, where they are missing, or their own remedy."""

import re
import warnings
from decimal import Decimal

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xarray as xr
from numpy.lib.recfunctions import structured_to_unstructured

from probvae import VAE, data
from probvae.containers import read_values, to_numbers
from probvae.data import DataError, StreamedData
from probvae.data.streamed import SparseRows, as_streamed
from probvae.data_checks import check_data
from probvae.precision import warn_of_merged_values

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(6, 3))
COUNTS = RANDOM.poisson(2.0, size=(6, 3))
HIDDEN = np.arange(18).reshape(6, 3) % 4 == 1
FRAME = pd.DataFrame(X, columns=list("abc"))
FLAGS = FRAME.assign(c=X[:, 2] > 0)
BIG = np.array([[3_000_000_000], [-(2**40)], [7]])

WHOLE = {
    "a list": (X.tolist(), X),
    "a tuple of arrays": (tuple(X), X),
    "a JAX array": (jnp.asarray(X), X.astype(np.float32)),
    "a frame": (FRAME, X),
    "Float64 columns": (FRAME.convert_dtypes(), X),
    "a bool column": (FLAGS, FLAGS.to_numpy(float)),
    "boolean and Float64 columns": (FLAGS.convert_dtypes(), FLAGS.to_numpy(float)),
    "Int64 columns": (pd.DataFrame(COUNTS).convert_dtypes(), COUNTS),
    "columns of one name": (FLAGS.set_axis(["a", "a", "a"], axis=1), FLAGS.to_numpy(float)),
    "columns of Python numbers": (FRAME.astype(object), X),
    "a series": (FRAME.a, X[:, 0]),
    "an xarray": (xr.DataArray(X), X),
    "CSR": (scipy.sparse.csr_array(COUNTS), COUNTS),
    "COO": (scipy.sparse.coo_matrix(COUNTS), COUNTS),
    "objects": (np.array([[1, 2.5], [True, Decimal("0.5")]], object), [[1, 2.5], [1, 0.5]]),
    "big-endian": (X.astype(">f8"), X),
    "long double": (X.astype(np.longdouble), X),
    "nothing masked": (np.ma.array(X, mask=False), X),
    "integers beyond 32 bits": (BIG, BIG.astype(float)),
    "big-endian integers beyond 32 bits": (BIG.astype(">i8"), BIG.astype(float)),
    "unsigned beyond 32 bits": (np.array([2**40, 5], np.uint64), [2**40, 5]),
}


@pytest.mark.parametrize(("given", "right"), WHOLE.values(), ids=WHOLE)
def test_numbers_are_read_as_they_are(given, right):
    values = read_values("x", given)
    np.testing.assert_array_equal(np.asarray(values.array, float), right)
    assert values.observed is None
    kept = jnp.asarray(values.array)  # what JAX makes of it: no integer is wrapped
    np.testing.assert_allclose(np.asarray(kept, float), right, rtol=1e-6)


gaps = FRAME.convert_dtypes().mask(HIDDEN)
MISSING = {
    "a masked array": np.ma.array(np.where(HIDDEN, 1e6, X), mask=HIDDEN),
    "a list of masked arrays": list(np.ma.array(np.where(HIDDEN, 1e6, X), mask=HIDDEN)),
    "pandas.NA": gaps,
    "NA in Int64 columns": pd.DataFrame(COUNTS).convert_dtypes().mask(HIDDEN),
    "NA among objects": gaps.to_numpy(object),
    "None": np.where(HIDDEN, None, X.astype(object)),
}


@pytest.mark.parametrize("given", MISSING.values(), ids=MISSING)
def test_missing_entries_are_unobserved(given):
    values = read_values("x", given)
    np.testing.assert_array_equal(values.observed, ~HIDDEN)
    assert values.array.dtype.kind == "f"
    with pytest.raises(
        ValueError, match=r"x expects complete data; got 5 masked or missing entries.*mask=~x\.mask"
    ):
        to_numbers("x", given)


class Dataset:  # torch.utils.data.Dataset: one integer index, a tuple (x, label)
    def __len__(self):
        return 6

    def __getitem__(self, index):
        if not isinstance(index, int):
            raise TypeError("only integer indices")
        return X[index], 0


class Whole(Dataset):  # one that takes arrays of row numbers, and still returns a tuple
    def __getitem__(self, index):
        return X[index], 0


class Columns(Dataset):  # datasets.Dataset: rows are dicts of columns
    column_names = ("counts", "cell")


class Loader:  # torch.utils.data.DataLoader: batches, no index
    def __len__(self):
        return 3

    def __iter__(self):
        return iter([X[:2], X[2:4], X[4:]])


class AnnData:
    X, obs, var = X, None, None


class Tensor:  # torch.Tensor with requires_grad
    def __array__(self, *_, **__):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


fields = np.zeros(4, [("height", float), ("weight", float)])
dates = np.array(["2020-01-01", "2020-01-02"], "datetime64[s]")
REFUSED = {
    "text": (np.array(["A", "B"]), r"got dtype <U1.*DataFrame\(x\)\.infer_objects\(\)"),
    "text among numbers": (np.array([1.0, "A"], object), r"with the value 'A'.*fit_table\(frame"),
    "a text column": (FRAME.assign(c="x"), r'x: column "c" expects numbers.*Table\(frame\).*fit_table'),
    "a categorical column": (FRAME.assign(c=pd.Categorical(list("xyxyxy"))), r'column "c".*Table\(frame'),
    "text as objects": (FRAME.assign(c=pd.Series(list("xyxyxy"), dtype=object)), r'column "c".*Table\(frame'),
    "a column of dates": (FRAME.assign(c=pd.Timestamp(0)), r'column "c".*timedelta64.*Table\(frame'),
    "dates": (dates, r"x - x\.min\(\)"),
    "complex": (X + 1j, "real and imaginary"),
    "fields": (fields, r"fields 'height', 'weight'.*structured_to_unstructured"),
    "a dictionary": ({"height": X, "weight": X}, r"keys 'height', 'weight'.*np\.column_stack"),
    "AnnData": (AnnData(), r"AnnData.*adata\.X.*layers"),
    "a table of columns": (Columns(), r"columns 'counts', 'cell'.*with_format.*to_pandas"),
    "a loader": (Loader(), r"Loader.*np\.concatenate.*loader\.dataset"),
    "a generator": ((row for row in X), r"generator.*np\.stack\(list\(rows\)\)"),
    "an iterator": (iter(X), r"iterator.*np\.stack\(list\(rows\)\)"),
    "a tensor with a gradient": (Tensor(), r"x\.detach\(\)\.cpu\(\)\.numpy\(\)"),
    "ragged": ([[1.0, 2.0], [1.0]], r"np\.stack"),
    "no number": (np.full((2, 2), None), "without a number"),
    "an endless integer": ([[10**400]], "above 1e308"),
    "a frame without columns": (FRAME[[]], "at least one column"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_the_error_names_the_containers_own_remedy(given, message):
    with pytest.raises((TypeError, ValueError), match=f"(?s){message}") as caught:
        read_values("x", given)
    assert len(str(caught.value)) < 500


def test_following_the_remedies_works():
    stacked = [
        np.column_stack(list({"a": X[:, 0], "b": X[:, 1]}.values())),
        structured_to_unstructured(fields),
        np.concatenate([np.asarray(x) for x in Loader()]),
        np.stack(list(row for row in X)),
        np.stack([np.asarray(Dataset()[i][0]) for i in range(len(Dataset()))]),
        pd.get_dummies(FRAME.assign(c=list("xyxyxy"))),
        np.eye(2)[np.unique(["A", "B", "A"], return_inverse=True)[1]],
        (dates - dates.min()) / np.timedelta64(1, "s"),
        (X + 1j).view(float),
    ]
    assert all(read_values("x", array).observed is None for array in stacked)


@pytest.mark.parametrize("source", [Dataset(), Whole()], ids=["of integers", "of tuples"])
def test_a_dataset_of_tuples_is_told_to_be_stacked(source):
    with pytest.raises(DataError, match=r"Dataset|Whole") as caught:
        as_streamed(source)
    assert "np.stack([np.asarray(dataset[i][0]) for i in range(len(dataset))])" in str(caught.value)
    assert "bring the file back" not in str(caught.value)


def test_sparse_rows_are_dense_few_at_a_time(monkeypatch):
    matrix = scipy.sparse.coo_array(COUNTS)
    assert as_streamed(matrix) is matrix
    monkeypatch.setattr("probvae.data.streamed.free_memory", lambda: 0)
    source = as_streamed(matrix)
    assert isinstance(source.source, SparseRows)
    np.testing.assert_array_equal(source.read(np.array([4, 1])), COUNTS[[4, 1]])
    np.testing.assert_array_equal(StreamedData(matrix).read(np.arange(6)), COUNTS)


def test_an_array_in_a_file_of_hdf5_is_streamed_where_it_is_large(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = X
        assert as_streamed(file["x"]) is not None
        assert not isinstance(as_streamed(file["x"]), StreamedData)
        monkeypatch.setattr("probvae.data.streamed.free_memory", lambda: 0)
        np.testing.assert_array_equal(as_streamed(file["x"]).read(np.array([5, 2])), X[[5, 2]])


SECONDS = 1.7e9 + 30 * np.random.default_rng(1).normal(size=(500, 2))
ORDINARY = {
    "a normal column": X.repeat(100, axis=0) + RANDOM.normal(size=(600, 3)),
    "of large offset": 1e4 + RANDOM.normal(size=(500, 2)),
    "degrees": 120 + 0.01 * RANDOM.normal(size=(500, 2)),
    "heavy tails": np.exp(5 * RANDOM.normal(size=(500, 2))),
    "constant but for rounding": 1 / 3 + 1e-16 * RANDOM.integers(0, 4, size=(500, 2)),
    "zeros": np.zeros((500, 2)),
    "one large integer": np.full((500, 2), 3_000_000_000),
    "two levels": np.tile([[3e9], [3e9 + 1024]], (250, 2)),
    "counts": RANDOM.poisson(1e8, size=(500, 2)),
    "few rows": SECONDS[:8],
}
COLLAPSED = {
    "seconds": SECONDS,
    "seconds as integers": SECONDS.astype(np.int64),
    "seconds among ordinary columns": np.hstack([RANDOM.normal(size=(500, 3)), SECONDS]),
    "two identifiers": np.tile([[2_000_000_000], [2_000_000_001]], (250, 2)),
    "32-bit integers": (SECONDS - 6e8).astype(np.int32),
    "beyond the smallest": 1e-50 * RANDOM.normal(size=(500, 2)),
}


@pytest.mark.parametrize("x", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_columns_give_no_warning_of_merged_values(x):
    warn_of_merged_values("x", x)  # a warning is an error here


@pytest.mark.parametrize("x", COLLAPSED.values(), ids=COLLAPSED)
def test_values_that_float32_merges_are_named(x):
    with pytest.warns(UserWarning, match=r"(?s)float32.*column \d.*Subtract an offset.*jax_enable_x64"):
        warn_of_merged_values("x", x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_merged_values("x", (x - x.mean(axis=0)) / x.std(axis=0))


def test_values_beside_zeros_merge_too_unless_the_zeros_are_unobserved():
    known = np.arange(500)[:, None] % 3 > 0
    x = np.where(known, SECONDS, 0)
    with pytest.warns(UserWarning, match="float32"):
        warn_of_merged_values("x", x)
    with pytest.warns(UserWarning, match="float32"):
        warn_of_merged_values("x", x, known.repeat(2, axis=1))
    warn_of_merged_values("x", x - 1.7e9 * known, known.repeat(2, axis=1))


def test_nothing_merges_in_double_precision(float64):
    warn_of_merged_values("x", SECONDS)


TEXT = FRAME.assign(c=["x", None, "y", "x", "y", "x"], b=HIDDEN[:, 1])


def test_the_code_for_text_reads_a_table_that_a_vae_takes():
    """Of a frame, and of an array after the code for arrays."""
    array = np.array([["x", 1.5], ["y", 2.5], ["x", 3.5]], object)
    with pytest.raises(TypeError, match="fit_table") as caught:
        read_values("train", array)
    names = {"data": data, "VAE": VAE, "pandas": pd, "x": array}
    for first in ("", re.search(r"first: (.*?)\. If", str(caught.value)).group(1)):
        names |= {"frame": TEXT}
        exec(first, names)  # noqa: S102
        table, vae = re.search(r": (table = .*?), (vae = .*?),", str(caught.value)).groups()
        exec(f"{table}\n{vae}", names)  # noqa: S102
        check_data(names["vae"], names["table"])


@pytest.mark.parametrize(
    "frame", [TEXT, TEXT.convert_dtypes()], ids=["objects", "after convert_dtypes"]
)
def test_the_advice_for_text_columns_keeps_other_columns_and_missing_text(frame):
    with pytest.raises(TypeError, match=r'column "c".*get_dummies\(frame, columns=.*dummy_na=True'):
        read_values("context", frame)
    encoded = pd.get_dummies(frame, columns=["c"], dummy_na=True)
    values = read_values("x", encoded)
    assert values.array.shape == (6, 5)  # a, b, and x, y, missing
    np.testing.assert_array_equal(values.array[:, 2:].sum(axis=1), 1)
    assert pd.get_dummies(frame, columns=["c"]).iloc[1, 2:].sum() == 0  # what the error warns of
