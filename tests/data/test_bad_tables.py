"""Bad tables: each error names column and row and says what to do, and the advice works."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from probvae import data

GOOD = {"n": [1.5, -2.0, 3.0, 0.5], "g": ["a", "b", "a", "c"]}


def refuse(frame, **options):
    with pytest.raises(data.DataError) as caught:
        data.Table(frame, **options)
    return str(caught.value)


def frame(**columns):
    return pd.DataFrame(GOOD | columns)


def test_no_rows():
    message = refuse(pd.DataFrame({"a": [], "b": []}))
    assert "expected at least two rows" in message
    assert "got 0" in message


def test_one_row_needs_a_schema():
    row = frame()[:1]
    assert "Table(source, types=table.schema)" in refuse(row)
    table = data.Table(row, types=data.Table(frame()).schema)  # the advice
    assert table.x.tolist() == [[1.5, 0]]


def test_no_columns():
    assert "at least one column; got none" in refuse(pd.DataFrame(index=[0, 1]))


def test_all_cells_missing():
    message = refuse(pd.DataFrame({"a": [None, None], "b": [np.nan, np.nan]}))
    assert "2 rows in which all cells are missing" in message


def test_one_column_all_missing():
    bad = frame(empty=[np.nan] * 4)
    message = refuse(bad)
    assert 'Column "empty" has no value: all 4 cells are missing. Drop the column' in message
    table = data.Table(bad, types={"empty": "identifier"})  # the advice
    assert table.schema.names == ("n", "g")


def test_two_columns_of_one_name():
    bad = pd.DataFrame([[1, 2, 3], [4, 5, 6]], columns=["a", "b", "a"])
    assert '"a" (columns 1 and 3). Rename one of them.' in refuse(bad)


def test_numbers_and_text():
    bad = frame(age=[31, "unknown", 42, 27])
    message = refuse(bad)
    assert (
        'Column "age" mixes numbers and text. Most cells are like row 0: 31; others are row 1'
        in message
    )
    assert "'unknown'" in message
    bad.loc[1, "age"] = None  # the advice
    assert data.Table(bad).mask[:, 2].tolist() == [True, False, True, True]
    levels = (
        data.Table(frame(age=["31", "x", "42", "27"]), types={"age": "categorical"})
        .schema["age"]
        .levels
    )
    assert levels == ("27", "31", "42", "x")


def test_mixed_objects_can_be_levels():
    table = data.Table(frame(grade=[1, 2, "3+", 1]), types={"grade": "categorical"})
    assert table.schema["grade"].levels == ("1", "2", "3+")
    assert table.mask.all()


def test_an_impossible_date():
    bad = frame(day=["2023-02-28", "2023-02-30", "2023-03-01", "2023-03-02"])
    message = refuse(bad)
    assert "Column \"day\" has dates that do not exist: row 1: '2023-02-30'" in message
    bad.loc[1, "day"] = None  # the advice
    assert isinstance(data.Table(bad).schema["day"], data.Date)


def test_too_many_levels():
    rng = np.random.default_rng(0)
    city = [f"city {i}" for i in np.append(np.arange(10_000), rng.integers(0, 10_000, 20_000))]
    bad = pd.DataFrame({"n": rng.normal(size=30_000), "city": city})
    message = refuse(bad)
    assert 'Column "city" has 10,000 levels in 30,000 cells' in message
    assert "Merge rare levels" in message
    assert data.Table(bad, types={"city": "identifier"}).schema.names == ("n",)
    assert len(data.Table(bad, types={"city": "categorical"}).schema["city"].levels) == 10_000


def test_distinct_text_names_rows():
    table = data.Table(
        pd.DataFrame(
            {"n": np.random.default_rng(0).normal(size=60), "who": [f"p{i}" for i in range(60)]}
        )
    )
    assert isinstance(table.schema["who"], data.Identifier)
    assert any('"who": names rows' in message for message in table.messages)
    assert list(table.schema.decode(table.x)) == ["n"]


def test_infinite_numbers():
    message = refuse(frame(n=[1.0, np.inf, 2.0, -np.inf]))
    assert 'Column "n" has infinite numbers: row 1: inf, row 3: -inf.' in message
    schema = data.Table(frame()).schema
    with pytest.raises(
        data.DataError, match='Column "n": expected a number in each cell; got row 0: inf'
    ):
        schema.encode(frame(n=[np.inf, 1, 1, 1]))


def test_all_bad_columns_are_named_at_once():
    message = refuse(
        frame(a=[1, "x", 2, 3], b=[np.nan] * 4, c=[1, np.inf, 2, 3], d=["1,5", "2,5", "3", "4"])
    )
    assert message.startswith("The table has 4 bad columns.")
    assert all(f'Column "{name}"' in message for name in "abcd")


def test_complex_numbers_are_no_column():
    message = refuse({"z": np.array([1j, 2j]), "n": [1.0, 2.5]})
    assert 'Column "z" has the data type complex128' in message


def test_lists_as_cells_are_no_column():
    assert "cells that no column type reads: row 0: [1]" in refuse(frame(z=[[1], [2], [3], [4]]))


@pytest.mark.parametrize("source", [3, np.zeros((2, 2)), None])
def test_what_is_no_table(source):
    with pytest.raises(
        TypeError, match="expected a pandas or polars frame, a dict of columns, or the path"
    ):
        data.Table(source)


def test_a_lazy_frame_is_collected_first():
    lazy = pl.DataFrame(GOOD).lazy()
    with pytest.raises(TypeError, match=r"frame.collect\(\)"):
        data.Table(lazy)
    assert len(data.Table(lazy.collect())) == 4


def test_ragged_dicts():
    assert "columns of one length" in refuse({"a": [1, 2], "b": [1, 2, 3]})


class TestTypes:
    def test_a_word_a_class_or_an_instance_replaces_a_type(self):
        bad = frame(age=[31, 40, 42, 27], grade=["low", "high", "mid", "low"])
        for choice in ("real", "Real", data.Real, data.Real()):
            assert isinstance(data.Table(bad, types={"age": choice}).schema["age"], data.Real)
        table = data.Table(bad, types={"grade": data.Ordinal(("low", "mid", "high"))})
        assert table.x[:, 3].tolist() == [0, 2, 1, 0]
        assert table.schema["grade"].name == "grade"

    def test_an_unknown_word_names_the_nearest(self):
        message = refuse(frame(), types={"n": "categorial", "nn": "real"})
        assert 'Did you mean "categorical"?' in message
        assert 'there is no column "nn". The columns are "n", "g". Did you mean "n"?' in message

    def test_a_kind_that_is_none(self):
        assert "expects a name (categorical, constant" in refuse(frame(), types={"n": 3})

    def test_cells_outside_a_chosen_type_are_named(self):
        assert "a whole number >= 0 in each cell; got row 0: 1.5, row 1: -2.0, row 3: 0.5" in refuse(
            frame(), types={"n": "count"}
        )
        assert "a number above 0 in each cell; got row 1: -2.0" in refuse(
            frame(), types={"n": "positive"}
        )
        assert "expected a number in each cell; got row 0: 'a'" in refuse(frame(), types={"g": "real"})
        assert "expects dates" in refuse(frame(), types={"g": "date"})
        assert "3 levels" in refuse(frame(), types={"g": "yes/no"})
        assert "of no level of Ordinal: row 3: 'c'" in refuse(
            frame(), types={"g": data.Ordinal(("a", "b"))}
        )
        assert "several values" in refuse(frame(), types={"g": "constant"})

    def test_missing_cells_stay_missing(self):
        table = data.Table(frame(h=["1", "?", "NA", "2"]), types={"h": "categorical"})
        assert table.mask[:, 2].tolist() == [True, False, False, True]

    def test_only_identifiers_is_no_table(self):
        assert "only constants and identifiers" in refuse({"a": [1, 1]})


def test_integers_that_floats_merge():
    keys = 2**60 + np.array([1, 0, 2, 2, 4])
    message = refuse(pd.DataFrame({"n": [1.5, 2, 0, 3, 4], "key": keys}))
    assert 'Column "key" has integers beyond 2**53' in message
    table = data.Table(
        pd.DataFrame({"n": [1.5, 2, 0, 3, 4], "key": keys}), types={"key": "categorical"}
    )
    assert table.schema.decode(table.x)["key"].tolist() == keys.tolist()


def test_data_types_without_a_column_type():
    assert "timedelta64" in refuse(frame(t=pd.to_timedelta([1, 2, 3, 4], unit="D")))
    assert "Period(" in refuse(frame(t=pd.period_range("2020", periods=4, freq="Y")))
    assert "no column type reads" in refuse(pl.DataFrame(GOOD).with_columns(t=pl.lit([1, 2])))
    assert "no column type reads" in refuse(pl.DataFrame(GOOD).with_columns(t=pl.struct("n", "g")))


class TestQueries:
    schema = data.Table(pd.DataFrame(GOOD | {"k": [7] * 4})).schema

    def test_columns_are_matched_by_name(self):
        encoded = self.schema.encode(frame()[["g", "n"]])
        assert np.array_equal(encoded.x, self.schema.encode(frame()).x)

    def test_a_missing_column_is_named(self):
        with pytest.raises(data.DataError) as caught:
            self.schema.encode(frame().drop(columns="g"), name="new.csv")
        assert str(caught.value).startswith(
            'Column "g" is missing from new.csv. The model was trained on 2 columns: "n", "g"'
        )
        encoded = self.schema.encode(frame(g=[None] * 4))  # the advice
        assert encoded.mask.tolist() == [[True, False]] * 4

    def test_a_new_level_is_missing_with_one_warning(self):
        new = frame(g=["a", "new", "b", "new"])
        with pytest.warns(UserWarning, match="levels") as caught:
            encoded = self.schema.encode(new)
        assert len(caught) == 1
        assert str(caught[0].message) == (
            'x has levels that the training rows do not have: column "g" has "new" (2 cells, first in row 1). '
            "These cells count as missing. Rows count from 0."
        )
        assert encoded.mask[:, 1].tolist() == [True, False, True, False]
        assert caught[0].filename == __file__

    def test_other_columns_are_ignored_with_a_warning(self):
        with pytest.warns(UserWarning, match='the model does not know. They are ignored: "other"'):
            assert self.schema.encode(frame(other=[1] * 4)).x.shape == (4, 2)

    @pytest.mark.parametrize("kind", [dict, pl.DataFrame, data.Table])
    def test_any_table_is_encoded(self, kind):
        encoded = self.schema.encode(kind(GOOD))
        assert np.array_equal(encoded.x, self.schema.encode(frame()).x)

    def test_a_path_is_encoded(self, tmp_path):
        frame().to_csv(tmp_path / "x.csv", index=False)
        assert np.array_equal(self.schema.encode(tmp_path / "x.csv").x, self.schema.encode(frame()).x)

    def test_text_among_numbers_is_named(self):
        with pytest.raises(
            data.DataError, match="Column \"n\": expected a number in each cell; got row 2: 'x'"
        ):
            self.schema.encode(frame(n=[1, 2, "x", 3]))

    def test_numbers_outside_the_support_are_named(self):
        frame = pd.DataFrame({"p": [0.5, 1.5, 2.0, 0.1], "c": [0, 3, 1, 7]})
        schema = data.Table(frame).schema
        with pytest.raises(data.DataError) as caught:
            schema.encode(pd.DataFrame({"p": [1, 0.0], "c": [-1, 2.5]}))
        assert 'Column "p": expected a number above 0 in each cell; got row 1: 0.0.' in str(
            caught.value
        )
        assert (
            'Column "c": expected a whole number >= 0 in each cell; got row 0: -1.0, row 1: 2.5'
            in str(caught.value)
        )
        advice = data.Table(frame, types={"p": "real", "c": "real"}).schema
        assert advice.encode(pd.DataFrame({"p": [1, 0.0], "c": [-1, 2.5]})).mask.all()

    def test_levels_match_in_other_data_types(self):
        text = data.Table({"a": ["1", "2", "3+", "1"]}, types={"a": "categorical"}).schema
        assert text.encode({"a": [2.0, np.nan, 1]}).x[:, 0].tolist()[::2] == [1, 0]
        integers = data.Table({"a": [5, 7, 5, 7] * 5}).schema
        assert integers["a"].levels == (5, 7)
        assert integers.encode({"a": np.array([7.0, 5.0])}).x[:, 0].tolist() == [1, 0]
        with pytest.warns(
            UserWarning, match=r'"6" \(1 cell, first in row 0\), "9" \(1 cell, first in row 1\)'
        ):
            assert integers.encode({"a": [6, 9, 7]}).mask[:, 0].tolist() == [False, False, True]

    def test_bad_arrays_are_not_decoded(self):
        with pytest.raises(
            data.DataError,
            match=r'shape \(3, 5\); expected \(rows, 2\), one column for each of "n", "g"',
        ):
            self.schema.decode(np.zeros((3, 5)))
        with pytest.raises(data.DataError, match='infinite in row 1, column "n"'):
            self.schema.decode([[0, 0], [np.inf, 0]])

    def test_no_text_is_a_schema(self):
        for text in (
            "{}",
            "[",
            '{"columns": [{"type": "Spam"}], "library": "pandas", "numbered": false}',
        ):
            with pytest.raises(data.DataError, match="expected a "):
                data.Schema.from_json(text)


class TestSplit:
    def make(self):
        rng = np.random.default_rng(0)
        return pd.DataFrame(
            {"n": rng.normal(size=100), "g": rng.choice(list("ab"), 100), "i": np.arange(100) + 1000}
        )

    def test_parts_are_the_rows_once(self):
        table = data.Table(self.make())
        parts = table.split((0.6, 0.2, 0.2), seed=3)
        assert [len(part) for part in parts] == [60, 20, 20]
        rows = pd.concat([part.frame for part in parts]).sort_index()
        pd.testing.assert_frame_equal(rows, table.frame)
        assert np.array_equal(table.split((0.6, 0.2, 0.2), seed=3).test.x, parts.test.x)
        assert parts.train.schema == parts.valid.schema == parts.test.schema

    def test_types_come_from_the_training_rows(self):
        frame = self.make()
        test_rows = data.Table(frame).split().test.frame.index
        frame["n"] = np.where(frame.index.isin(test_rows), 1e6, np.abs(frame["n"]))
        frame.loc[test_rows[0], "g"] = "only in test"
        with pytest.warns(
            UserWarning, match='test has levels.*"only in test" \\(1 cell, first in row 0\\)'
        ):
            train, _, test = data.Table(frame).split()
        assert train.schema["g"].levels == ("a", "b")
        assert train.schema["n"].high == train.x[:, 0].max() < 1e6
        assert train.schema["n"].mean == pytest.approx(train.x[:, 0].mean())
        assert train.schema["n"].sd == pytest.approx(train.x[:, 0].std())
        assert not test.mask[0, 1]
        assert test.mask[1:].all()

    def test_kinds_come_from_all_rows(self):
        frame = self.make()
        test_rows = data.Table(frame).split().test.frame.index
        frame["n"] = np.where(frame.index == test_rows[0], 0.0, np.abs(frame["n"]) + 0.1)
        train, _, test = data.Table(frame).split()
        assert isinstance(train.schema["n"], data.Real)  # although all training rows are above 0
        assert train.schema["n"].low > 0
        assert test.x[0, 0] == 0

    def test_a_level_of_all_training_rows_is_constant(self):
        frame = self.make()
        test_rows = data.Table(frame).split().test.frame.index
        frame["g"] = np.where(frame.index == test_rows[0], "b", "a")
        assert isinstance(data.Table(frame).split().train.schema["g"], data.Constant)

    def test_chosen_types_stay(self):
        train = (
            data.Table(self.make(), types={"g": data.Ordinal(("b", "a")), "i": "real"}).split().train
        )
        assert train.schema["g"].levels == ("b", "a")
        assert isinstance(train.schema["i"], data.Real)

    def test_row_numbers_stay_identifiers(self):
        assert isinstance(data.Table(self.make()).split().train.schema["i"], data.Identifier)

    def test_bad_fractions(self):
        table = data.Table(self.make())
        with pytest.raises(ValueError, match="three numbers >= 0 that sum to 1"):
            table.split((0.5, 0.6, 0.1))
        with pytest.raises(ValueError, match="leave 1 of 100 rows for training"):
            table.split((0.01, 0.5, 0.49))

    @pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, dict])
    @pytest.mark.parametrize("rows", [[3, 1], slice(1, 3), np.array([True, False, True, False])])
    def test_rows_keep_the_schema(self, kind, rows):
        table = data.Table(kind(GOOD))
        part = table[rows]
        assert part.schema is table.schema
        assert np.array_equal(part.x, table.x[rows])
        assert np.array_equal(data.Table(part.frame, types=part.schema).x, part.x)


def test_a_table_prints_its_columns():
    table = data.Table(frame(k=[7] * 4, q=["?", "1", "2", "3"]))
    lines = str(table).splitlines()
    assert lines[0] == repr(table) == "Table(4 rows, 3 columns, 8.3% missing)"
    assert lines[1].split() == ["column", "type", "range", "or", "levels", "missing"]
    assert lines[4].split() == ["k", "(Constant)", "always", "7", "0.0%"]
    assert '"k": one value in all rows' in str(table)
    assert "<table>" in table._repr_html_()
    assert "<b>" not in data.Table(frame(**{"<b>": [1, 2, 5, 0]}))._repr_html_()
    with pytest.raises(AttributeError):
        table.x = 0
