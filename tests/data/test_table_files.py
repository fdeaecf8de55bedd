"""Tables from files: CSV as people have it, parquet, and errors that name the option that helps."""

import gzip
import importlib.util
import os
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets

from probvae import data

SHIPPED = Path(sklearn.datasets.__file__).parent / "data"
needs_data = pytest.mark.skipif(
    not os.environ.get("PROBVAE_DATA"), reason="PROBVAE_DATA is not set: real data are not here"
)
# the one option that reads each file, and its rows and columns
FILES = {
    "breast_cancer.csv": ({"skip_rows": 1}, (569, 31)),
    "diabetes_data_raw.csv.gz": ({"sep": " "}, (442, 10)),
    "diabetes_target.csv.gz": ({}, (442, 1)),
    "digits.csv.gz": ({}, (1797, 65)),
    "iris.csv": ({"skip_rows": 1}, (150, 5)),
    "linnerud_exercise.csv": ({"sep": " "}, (20, 3)),
    "linnerud_physiological.csv": ({"sep": " "}, (20, 3)),
    "wine_data.csv": ({"skip_rows": 1}, (178, 14)),
}
ADVICE = re.compile(r"say (skip_rows|sep|header)=('.'|\d+|False)", re.IGNORECASE)


def write(folder, text, name="x.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_the_files_are_all_that_scikit_learn_ships():
    assert set(FILES) == {path.name for path in SHIPPED.glob("*.csv*")}


@pytest.mark.parametrize(("name", "options", "shape"), [(n, *rest) for n, rest in FILES.items()])
def test_a_shipped_file_is_read_or_the_error_names_the_option(name, options, shape):
    path = SHIPPED / name
    if options:
        with pytest.raises(data.DataError, match="on the command line") as caught:
            data.Table(path)
        option, value = ADVICE.search(str(caught.value)).groups()
        assert {option: value} == {key: repr(v) for key, v in options.items()}
    table = data.Table(path, **options)
    assert (len(table), len(table.schema.columns)) == shape
    packed = gzip.open if name.endswith("gz") else open
    with packed(path, "rt") as lines:
        skip = 1 if options.get("skip_rows") or "linnerud" in name else 0
        numbers = np.loadtxt(lines, delimiter=options.get("sep", ","), skiprows=skip, ndmin=2)
    frame = table.schema.decode(table.x)
    assert np.array_equal(
        np.column_stack([frame[column.name] for column in table.schema.columns]), numbers
    )


def test_a_file_is_what_its_frame_is(tmp_path):
    frame = pd.DataFrame(
        {
            "a": [1, 2, 3, 4],
            "b": [1.5, 2.5, -1, 0],
            "c": ["u", "v, w", "u", "x"],
            "d": [True, False, True, True],
        }
    )
    frame.to_csv(tmp_path / "x.csv", index=False)
    table = data.Table(tmp_path / "x.csv")
    assert np.array_equal(table.x, data.Table(frame).x)
    pd.testing.assert_frame_equal(table.frame, frame)
    pd.testing.assert_frame_equal(table.schema.decode(table.x), frame)


@pytest.mark.parametrize(
    ("name", "options", "mark"),
    [
        ("x.tsv", {}, "\t"),
        ("x.txt", {"sep": "tab"}, "\t"),
        ("x.csv", {"sep": ";"}, ";"),
        ("x.csv", {"sep": "|"}, "|"),
    ],
)
def test_other_separators_are_read(tmp_path, name, options, mark):
    path = write(tmp_path, f"a{mark}b\n1.5{mark}u\n2{mark}v\n-3{mark}u\n", name)
    assert np.array_equal(data.Table(path, **options).x, [[1.5, 0], [2, 1], [-3, 0]])


@pytest.mark.parametrize("mark", [";", "|", "\t"])
def test_another_separator_is_named(tmp_path, mark):
    path = write(tmp_path, f"a{mark}b\n1.5{mark}u\n2{mark}v\n-3{mark}u\n")
    with pytest.raises(data.DataError, match=re.escape(f"say sep={mark!r}")):
        data.Table(path)


def test_decimal_commas_are_named_and_read(tmp_path):
    path = write(tmp_path, "a;b\n3,14;u\n2,5;v\n-1;u\n")
    with pytest.raises(data.DataError, match=r"say sep=';', decimal=\",\""):
        data.Table(path)
    with pytest.raises(
        data.DataError, match=r'Column "a" has decimal commas: row 0: \'3,14\'.*decimal=","'
    ):
        data.Table(path, sep=";")
    table = data.Table(path, sep=";", decimal=",")
    assert table.x[:, 0].tolist() == [3.14, 2.5, -1]


def test_decimal_commas_between_commas_are_named(tmp_path):
    path = write(tmp_path, 'a,b\n"3,14",u\n"2,5",v\n"1,0",u\n')
    with pytest.raises(data.DataError, match="decimal commas"):
        data.Table(path)
    assert data.Table(path, decimal=",").x[:, 0].tolist() == [3.14, 2.5, 1]


def test_another_encoding_is_named_and_read(tmp_path):
    path = write(tmp_path, "city,n\nKöln,1\nBonn,0\nUlm,0\n", encoding="latin-1")
    with pytest.raises(data.DataError, match=r"line 2: byte 0xf6.*'Köln,1'.*encoding=\"latin-1\""):
        data.Table(path)
    assert data.Table(path, encoding="latin-1").schema["city"].levels == ("Bonn", "Köln", "Ulm")
    path = write(tmp_path, "city,n\nKöln,1\nBonn,0\n", encoding="utf-16")
    with pytest.raises(data.DataError, match="encoding='utf-16'"):
        data.Table(path)
    assert len(data.Table(path, encoding="utf-16")) == 2


def test_a_spreadsheet_is_no_csv(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"PK\x03\x04\xff\xfe\x00\x80")
    with pytest.raises(data.DataError, match="spreadsheet.*Export it as CSV"):
        data.Table(path)


def test_a_file_without_header_says_so(tmp_path):
    path = write(tmp_path, "39, State-gov, 1\n50, Private, 0\n38, State-gov, 1\n")
    with pytest.raises(
        data.DataError, match=r"'State-gov', which other rows have in column 2.*header=False"
    ):
        data.Table(path)
    table = data.Table(path, header=False)
    assert table.schema.names == ("column_1", "column_2", "column_3")
    assert len(table) == 3


def test_years_can_be_names(tmp_path):
    path = write(tmp_path, "country,2007,2008\na,1,2\nb,2,2.5\nc,0,1\n")
    assert data.Table(path).schema.names == ("country", "2007", "2008")


def test_cells_are_stripped_and_empty_ones_are_missing(tmp_path):
    path = write(tmp_path, "a, b, c\n1, u, ?\n, v , 2\nNA,NaN,3.5\n 4,u,-1\n")
    table = data.Table(path)
    assert table.mask.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 1, 1]]
    assert table.schema["b"].levels == ("u", "v")
    assert 'Cells with "?" count as missing: "c" (1).' in table.messages


def test_blanks_around_cells_are_no_cells(tmp_path):
    path = write(tmp_path, 'a, b\n1, "x, y"\n2.5,z\n')
    assert data.Table(path).schema["b"].levels == ("x, y", "z")
    path = write(tmp_path, "a   b\n 1.5  2 \n10  -3.5\n")
    assert data.Table(path, sep=" ").x.tolist() == [[1.5, 2], [10, -3.5]]


def test_truth_is_bool_with_and_without_gaps(tmp_path):
    path = write(tmp_path, "a,b\nTrue,true\nFalse,\nTrue,false\n")
    table = data.Table(path)
    assert [column.levels for column in table.schema.modelled] == [(False, True)] * 2
    assert table.mask.tolist() == [[True, True], [True, False], [True, True]]
    assert table.frame["b"].tolist() == [True, None, False]


def test_codes_with_leading_zeros_stay_text(tmp_path):
    path = write(tmp_path, "code,n\n01234,1\n00501,2\n01234,5\n98001,2\n")
    assert data.Table(path, types={"code": "categorical"}).schema["code"].levels == (
        "00501",
        "01234",
        "98001",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got no line of text"),
        ("a,b\n", "rows below the header"),
        ("a,b\n1,2\n1,2,3\n3,4\n", "line 3: expected 2 cells.*got 3.*'1,2,3'.*double quotes"),
        ("a,b,a\n1,2,3\n4,5,6\n", 'columns of one name: "a" \\(columns 1 and 3\\)'),
        ("# made in 2020\n# by me\na,b\n1,2\n3,4\n5,6\n", "skip_rows=2"),
    ],
)
def test_broken_files_are_explained(tmp_path, text, message):
    with pytest.raises(data.DataError, match=message):
        data.Table(write(tmp_path, text))


def test_no_file_and_a_folder_are_explained(tmp_path):
    with pytest.raises(data.DataError, match="there is no file.*Check the path"):
        data.Table(tmp_path / "none.csv")
    with pytest.raises(data.DataError, match="got the folder"):
        data.Table(tmp_path)
    with pytest.raises(data.DataError, match="encoding 'klingon' is unknown"):
        data.Table(write(tmp_path, "a\n1\n"), encoding="klingon")


def test_a_parquet_file_is_its_frame(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {
            "a": [1, 2, 5],
            "b": pd.Categorical(["u", "v", "u"]),
            "d": pd.to_datetime(["2020-01-01"] * 2 + ["2021-01-01"]),
        }
    )
    frame.to_parquet(tmp_path / "x.parquet")
    table = data.Table(tmp_path / "x.parquet")
    pd.testing.assert_frame_equal(table.schema.decode(table.x), frame)


def test_files_are_read_without_pandas(tmp_path, monkeypatch):
    path = write(tmp_path, "a,b\n1.5,u\n,v\n-3,u\n")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pandas" else find(name)
    )
    table = data.Table(path)
    assert table.schema.library == "none"
    back = table.schema.decode(table.x)
    assert back["b"].tolist() == ["u", "v", "u"]
    assert np.array_equal(back["a"], [1.5, np.nan, -3], equal_nan=True)


def test_an_old_csv_of_text_is_sent_to_tables(tmp_path):
    path = write(tmp_path, "a,b\n1.5,u\n2,v\n")
    with pytest.raises(data.DataError, match=r"probvae.data.Table\('x.csv'\)"):
        data.load(str(path))


@needs_data
def test_adult_loads_in_seconds():
    path = Path(os.environ["PROBVAE_DATA"]) / "adult" / "adult.csv"
    start = time.process_time()
    table = data.Table(path)
    assert time.process_time() - start < 5
    assert len(table) == 32_561
    kinds = {column.name: type(column) for column in table.schema.columns}
    assert kinds["age"] is data.Count
    assert kinds["fnlwgt"] is data.Count
    assert kinds["sex"] is kinds["income"] is data.YesNo
    assert "<=50K" in table.schema["income"].levels
    assert (~table.mask).sum(axis=0)[table.schema.names.index("occupation")] == 1843


@needs_data
def test_penguins_are_read():
    path = Path(os.environ["PROBVAE_DATA"]) / "penguins" / "penguins.csv"
    table, same = data.Table(path), data.Table(pd.read_csv(path))
    assert np.array_equal(table.x, same.x, equal_nan=True)
    assert table.schema.names == (
        "species",
        "island",
        "bill_length_mm",
        "bill_depth_mm",
        "flipper_length_mm",
        "body_mass_g",
        "sex",
        "year",
    )
    assert int((~table.mask).sum()) == 19
