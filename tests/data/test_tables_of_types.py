"""Frames become numbers and come back: `data.Table`, `data.Schema` and the column types."""

import datetime as dt
import importlib.util

import numpy as np
import pandas as pd
import polars as pl
import pytest
from pandas.testing import assert_frame_equal
from polars.testing import assert_frame_equal as assert_polars_equal

from probvae import data

N = 60


def draw(seed=0):
    rng = np.random.default_rng(seed)
    days = pd.to_timedelta(rng.integers(0, 500, N), unit="D")
    seconds = pd.to_timedelta(rng.integers(0, 50_000, N), unit="s")
    start = pd.to_datetime("2020-01-01 03:00")
    return {
        "float64": rng.normal(size=N),
        "float32": rng.normal(size=N).astype(np.float32),
        "positive": rng.gamma(2, size=N),
        "int64": rng.poisson(3, size=N),
        "uint8": rng.poisson(3, size=N).astype(np.uint8),
        "Int64": pd.array(rng.poisson(3, size=N), dtype="Int64"),
        "Float64": pd.array(rng.normal(size=N), dtype="Float64"),
        "negative": rng.integers(-50, 50, N),
        "large": rng.integers(1, 100_000_000, N),
        "year": rng.choice([2007, 2008, 2009], N),
        "zero or one": rng.integers(0, 2, N),
        "bool": rng.random(N) > 0.5,
        "boolean": pd.array(rng.random(N) > 0.5, dtype="boolean"),
        "two words": rng.choice(["no", "yes"], N),
        "object": pd.Series(rng.choice(list("abc"), N), dtype=object),
        "string": pd.array(rng.choice(list("abc"), N), dtype="string"),
        "str": pd.Series(rng.choice(list("abc"), N), dtype="str"),
        "category": pd.Categorical(rng.choice(list("xyz"), N), categories=list("zyxw")),
        "ordered": pd.Categorical(rng.choice(list("xyz"), N), categories=list("zyx"), ordered=True),
        "category of integers": pd.Categorical(rng.choice([1, 2, 30], N)),
        "day": start.normalize() + days,
        "datetime64[s]": (start + seconds).astype("datetime64[s]"),
        "datetime64[ns]": (start + seconds).astype("datetime64[ns]"),
        "milliseconds": start + pd.to_timedelta(rng.integers(0, 50_000, N), unit="ms"),
        "zone": (start + seconds).tz_localize("Europe/Paris"),
        "date object": [dt.date(2020, 1, 1) + dt.timedelta(int(i)) for i in rng.integers(0, 500, N)],
        "date text": [str(dt.date(2020, 1, 1) + dt.timedelta(int(i))) for i in rng.integers(0, 500, N)],
        "time text": [f"2020-01-01 {h:02d}:30" for h in rng.integers(0, 24, N)],
        "constant": 7,
        "constant text": "x",
    }


FRAME = pd.DataFrame(draw())
if importlib.util.find_spec("pyarrow"):
    FRAME["arrow"] = FRAME["int64"].astype("int64[pyarrow]")
COLUMNS = list(FRAME)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_of_pandas_comes_back_as_it_was(column):
    frame = FRAME[["float64", column]] if column != "float64" else FRAME[[column]]
    table = data.Table(frame)
    assert_frame_equal(table.schema.decode(table.x), frame)
    assert table.frame is frame


def test_a_frame_of_polars_comes_back_as_it_was():
    plain = [name for name in COLUMNS if name not in ("ordered", "category of integers", "arrow")]
    pytest.importorskip("pyarrow")  # polars needs it to read pandas
    frame = pl.from_pandas(FRAME[plain]).with_columns(
        pl.Series("enum", FRAME["object"].tolist(), dtype=pl.Enum(list("cabd"))),
        pl.Series("categorical", FRAME["object"].tolist(), dtype=pl.Categorical),
        pl.col("int64").cast(pl.UInt16).alias("UInt16"),
        pl.col("day").cast(pl.Date).alias("date"),
    )
    table = data.Table(frame)
    assert_polars_equal(table.schema.decode(table.x), frame, categorical_as_str=True)
    assert table.schema["enum"].levels == tuple("cabd")


def test_a_dict_of_arrays_comes_back_as_it_was():
    columns = {
        "a": np.arange(5) * 2.5 - 3,
        "b": np.array(["u", "v", "w", "u", "v"]),
        "c": [1, 2, 1, 3, 0],
    }
    table = data.Table(columns)
    back = table.schema.decode(table.x)
    assert back["b"].tolist() == ["u", "v", "w", "u", "v"]
    assert np.array_equal(back["a"], columns["a"])
    assert back["c"].tolist() == columns["c"]
    assert back["c"].dtype == np.int64


def test_a_schema_is_the_same_after_json():
    schema = data.Table(FRAME).schema
    assert data.Schema.from_json(schema.to_json()) == schema


ROWS = np.arange(N)
WHOLE = {
    "far from 0": np.random.default_rng(0).poisson(200, N),  # not too even, but far
    "too even": np.where(ROWS < 6, 0, np.where(ROWS < 54, 1, 2)),  # mean 1, variance 0.2
    "too even, many levels": 14 + ROWS % 11,
    "fifty": np.random.default_rng(0).geometric(0.02, N),
    "one or two": 1 + ROWS % 2,
}
KINDS = {
    "float64": data.Real,
    "positive": data.Positive,
    "int64": data.Count,
    "negative": data.Real,
    "large": data.Positive,
    "year": data.Ordinal,
    "far from 0": data.Real,
    "too even": data.Ordinal,
    "too even, many levels": data.Real,
    "fifty": data.Count,
    "one or two": data.YesNo,
    "zero or one": data.YesNo,
    "bool": data.YesNo,
    "two words": data.YesNo,
    "str": data.Categorical,
    "category": data.Categorical,
    "ordered": data.Ordinal,
    "day": data.Date,
    "date object": data.Date,
    "date text": data.Date,
    "time text": data.Date,
    "constant": data.Constant,
}


@pytest.mark.parametrize(("column", "kind"), KINDS.items())
def test_types_are_inferred(column, kind):
    frame = FRAME.assign(**WHOLE)
    assert isinstance(data.Table(frame).schema[column], kind)


def test_x_has_the_units_of_the_file():
    frame = pd.DataFrame(
        {"r": [1.5, -2, 3], "c": ["b", "a", "c"], "d": ["2020-01-03", "2020-01-01", None]}
    )
    table = data.Table(frame)
    assert np.array_equal(table.x, [[1.5, 1, 2], [-2, 0, 0], [3, 2, np.nan]], equal_nan=True)
    assert table.mask.tolist() == [[True] * 3, [True] * 3, [True, True, False]]
    assert table.schema["d"].origin == "2020-01-01"


GAPS = [name for name in COLUMNS if "constant" not in name and name != "float64"]


@pytest.mark.parametrize("column", GAPS)
def test_a_column_with_gaps_comes_back(column):
    frame = FRAME[["float64", column]].copy()
    frame[column] = frame[column].where(np.arange(N) % 7 != 0)
    table = data.Table(frame)
    assert table.mask[:, 1].tolist() == (np.arange(N) % 7 != 0).tolist()
    back = table.schema.decode(table.x)
    gaps = back[column].isna()
    assert gaps.equals(frame[column].isna())
    assert back[column].dtype == frame[column].dtype
    assert_frame_equal(back[~gaps], frame[~gaps])


def test_whole_floats_are_rounded():
    frame = pd.DataFrame({"a": [1.0, 5.0, 0.0, np.nan], "b": [1.5, 2, -3, 0]})
    schema = data.Table(frame).schema
    assert schema.decode([[2.4, 2.4], [-1, -1]]).to_dict("list") == {"a": [2.0, 0.0], "b": [2.4, -1]}


def test_numbered_columns_keep_their_numbers():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(5, 3)))
    table = data.Table(frame)
    assert table.schema.names == ("0", "1", "2")
    assert_frame_equal(table.schema.decode(table.x), frame, check_column_type=False)


def test_draws_stay_in_the_support():
    x = np.random.default_rng(0).normal(0, 1e3, (200, 20))
    table = data.Table(FRAME[COLUMNS[:20]])
    frame = table.schema.decode(x)
    assert (frame["int64"] >= 0).all()
    assert frame["int64"].dtype == np.int64
    assert (frame["large"] > 0).all()
    assert frame["uint8"].max() == 255  # the largest that the data type holds
    for name in ("two words", "string", "category", "year"):
        assert set(frame[name]) <= set(table.schema[name].levels)
    again = table.schema.encode(frame[frame.columns[::-1]].assign(positive=1.0))
    assert again.mask.all()
