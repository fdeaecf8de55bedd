"""Runs of tables: from a file with columns to a report, and every command that opens the run."""

import gzip
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

from probvae.cli import main
from probvae.data import DataError, Real
from probvae.data.files import split_rows
from probvae.data.table_data import load_table
from probvae.runs import open_run

ROOT = Path(__file__).parent.parent
TABLE_MODEL = str(ROOT / "models" / "table.py")
VAE_MODEL = str(ROOT / "models" / "vae.py")
TINY = '''
"""A small model of a table."""
from probvae import VAE, data, nets

def tiny(table: data.Table, *, latent_dim: int = 1):
    return VAE.for_table(table, latent_dim=latent_dim, decoder=nets.MLP((4,)))
'''
FEW = ["--epochs", "1", "--batch-size", "16", "--particles", "7", "--max-test", "5"]
NAMES = ["height", "visits", "smokes", "city", "day"]


def make_frame(n=80):
    """Columns of five types, with gaps in two of them."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "height": rng.normal(170, 10, n).round(1),
            "visits": rng.poisson(3, n),
            "smokes": np.where(rng.uniform(size=n) > 0.5, "yes", "no"),
            "city": rng.choice(["Rome", "Oslo", "Lima"], n),
            "day": (pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 60, n), unit="D")),
        }
    )
    frame["day"] = frame["day"].dt.strftime("%Y-%m-%d")
    frame.loc[::9, "height"] = np.nan
    frame.loc[::7, "city"] = None
    return frame


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "people.csv"
    make_frame().to_csv(path, index=False)
    path.with_name("tiny.py").write_text(TINY)
    return path


@pytest.fixture(scope="module")
def trained(file):
    """A finished run, and what was printed."""
    out = file.with_name("run")
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probvae.cli.commands._say", lambda line: lines.append(str(line)))
        model = str(file.with_name("tiny.py"))
        assert main(["train", model, "--data", str(file), "--out", str(out), *FEW]) == 0
    return out, lines


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the finished run."""
    return shutil.copytree(trained[0], tmp_path / "run")


def test_train_prints_the_columns_and_writes_a_report(trained):
    out, lines = trained
    assert "(64 train, 8 valid, 8 test); 5 columns" in lines[0]
    assert "values in" not in lines[0]
    assert [line.split()[:2] for line in lines[1].splitlines()[2:]][1] == ["visits", "Count"]
    assert (out / "report.html").is_file()
    data = json.loads((out / "config.json").read_text())["data"]
    assert [column["name"] for column in data["columns"]] == NAMES
    assert data["columns"][2]["range"] == "no, yes"
    assert data["table"] == {}


def test_a_run_of_a_table_opens_with_its_schema(trained, file):
    run = open_run(trained[0])
    assert run.fitted.data.schema == run.data.schema
    assert run.data.schema.names == tuple(NAMES)
    assert "columns          height (Positive), visits (Count), smokes (YesNo)" in str(run.fitted)
    assert list(run.fitted.sample(3, rng_key=jax.random.key(0)).frame) == NAMES


def test_evaluate_prints_the_numbers_of_training_again(trained, capsys):
    out, lines = trained
    assert main(["evaluate", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2:] == [line for line in lines if line.startswith("test ")]


@pytest.mark.parametrize(
    ("command", "stem", "rows"),
    [
        ("sample", "samples", 6),
        ("reconstruct", "reconstructions", 6),
        ("interpolate", "interpolation", 6),
    ],
)
def test_a_query_writes_rows_of_the_same_columns(run, command, stem, rows):
    assert main([command, str(run), "--num", "6"]) == 0
    frame = pd.read_csv(run / f"{stem}.csv")
    assert len(frame) == rows
    assert list(frame) == NAMES
    assert frame["visits"].dtype.kind == "i"
    assert set(frame["city"]) <= {"Rome", "Oslo", "Lima"}
    assert (run / f"{stem}.png").is_file()
    assert not (run / f"{stem}.npz").exists()


def test_interpolation_names_the_missing_cells_of_an_end(run, capsys):
    mask = open_run(run).data.tables["test"].mask
    bad = int(np.argmin(mask.all(axis=1)))
    assert main(["interpolate", str(run), "--start", str(bad)]) == 1
    names = [name for name, seen in zip(NAMES, mask[bad], strict=True) if not seen]
    error = capsys.readouterr().err
    assert f"row {bad} has no value in {', '.join(names)}. Choose others with --start" in error
    good = np.flatnonzero(mask.all(axis=1))
    assert main(["interpolate", str(run), "--start", str(good[0]), "--end", str(good[1])]) == 0


def test_other_data_are_recognised(run, file, tmp_path, capsys):
    other = tmp_path / "other.csv"
    frame = pd.read_csv(file)
    frame.loc[:, "height"] += 1.0
    frame.to_csv(other, index=False)
    assert main(["evaluate", str(run), "--data", str(other)]) == 1
    assert "expected the data that the run was made with" in capsys.readouterr().err
    moved = shutil.copy(file, tmp_path / "moved.csv")
    assert main(["evaluate", str(run), "--data", str(moved), "--particles", "5"]) == 0
    assert main(["evaluate", str(run), "--data", str(tmp_path / "no.csv")]) == 1
    assert "use --data PATH" in capsys.readouterr().err


def test_a_stopped_run_of_a_table_is_resumed(run):
    (run / "report.html").unlink()
    before = json.loads((run / "metrics.json").read_text())["test_elbo"]["mean"]
    assert main(["train", "--resume", str(run)]) == 0
    assert json.loads((run / "metrics.json").read_text())["test_elbo"]["mean"] == pytest.approx(before)


def test_types_and_moments_come_from_the_training_rows(tmp_path):
    frame = make_frame(200)
    held_out = split_rows(200, what="x")["test"]
    frame.loc[held_out[0], "city"] = "Quito"
    frame.loc[held_out[1], "height"] = 999.0
    frame.to_csv(tmp_path / "x.csv", index=False)
    with pytest.warns(UserWarning, match="Quito"):
        data = load_table(tmp_path / "x.csv")
    assert data.schema["city"].levels == ("Lima", "Oslo", "Rome")
    assert data.schema["height"].high < 250
    train = frame["height"].to_numpy()[split_rows(200, what="x")["train"]]
    assert data.schema["height"].mean == pytest.approx(np.nanmean(train))
    np.testing.assert_array_equal(data.train[:, 0], train)
    assert np.isnan(data.test[0, 3])


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".parquet"])
def test_each_kind_of_file_gives_the_same_data(tmp_path, suffix):
    frame, path = make_frame(), tmp_path / f"x{suffix}"
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    else:
        text = frame.to_csv(index=False, sep="\t" if suffix == ".tsv" else ",").encode()
        path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    frame.to_csv(tmp_path / "reference.csv", index=False)
    reference = load_table(tmp_path / "reference.csv")
    np.testing.assert_array_equal(load_table(path).train, reference.train)


def test_the_options_of_a_file_reach_the_table(file, tmp_path, capsys):
    path = tmp_path / "europe.csv"
    make_frame().to_csv(path, index=False, sep=";", decimal=",")
    options = ["--sep", ";", "--decimal", ",", "--types", "visits=real,city=ordinal"]
    assert main(["data", str(path), *options]) == 0
    printed = capsys.readouterr().out
    assert "visits  Real" in printed
    assert "city    Ordinal" in printed
    text = path.read_text().splitlines()
    path.write_text("\n".join(["made by hand", *text[1:]]))
    assert main(["data", str(path), *options[:4], "--no-header", "--skip-rows", "1"]) == 0
    assert "column_1" in capsys.readouterr().out


def test_data_of_a_table_file_prints_its_types(file, capsys):
    assert main(["data", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Table(80 rows, 5 columns, 5.2% missing)"
    assert [line.split()[1] for line in lines[2:]] == [
        "Positive",
        "Count",
        "YesNo",
        "Categorical",
        "Date",
    ]


@pytest.mark.parametrize("text", ["age", "age=", "=real", "a=real,a=real", "a=real,b"])
def test_types_expect_name_and_type(text, capsys):
    with pytest.raises(SystemExit) as error:
        main(["data", "x.csv", "--types", text])
    assert error.value.code == 2
    assert "expected NAME=TYPE,..." in capsys.readouterr().err


def test_a_name_with_a_comma_can_have_a_type(tmp_path, capsys):
    frame = make_frame().rename(columns={"visits": "visits, a year"})
    frame.to_csv(tmp_path / "x.csv", index=False)
    assert main(["data", str(tmp_path / "x.csv"), "--types", "visits, a year=real,height=real"]) == 0
    assert "visits, a year  Real" in capsys.readouterr().out


def test_a_model_of_arrays_advises_one_of_tables(file, tmp_path, capsys):
    assert main(["train", VAE_MODEL, "--data", str(file), "--out", str(tmp_path / "a")]) == 1
    error = capsys.readouterr().err
    advice = f"probvae train models/table.py --data {file}"
    assert advice in error
    words = advice.split()[1:]
    words[1] = str(file.with_name("tiny.py"))  # small, so that the test is fast
    assert main([*words, "--out", str(tmp_path / "b"), *FEW]) == 0


def test_options_of_a_table_need_a_model_of_tables(file, capsys):
    assert main(["train", VAE_MODEL, "--data", str(file), "--sep", ";"]) == 1
    assert "sep: only for a model file that takes a table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("digits", "expected a table at"),
        ("no.csv", "expected a table at"),
        ("x.npy", "x.npy: expected a table, such as a file that ends in .csv"),
    ],
)
def test_a_model_of_tables_needs_a_file_of_columns(data, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.zeros((5, 2)))
    assert main(["train", TABLE_MODEL, "--data", data]) == 1
    assert words in capsys.readouterr().err


def test_a_file_of_two_rows_has_too_few(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n2,3\n")
    with pytest.raises(DataError, match="at least 3 rows"):
        load_table(tmp_path / "x.csv")


def test_table_of_settings_has_words_only(file):
    from probvae.runs import Settings
    from probvae.runs.settings_checks import check_settings

    with pytest.raises(ValueError, match='name of a type for each column, such as "real"'):
        check_settings(Settings("m.py", table={"types": {"a": Real()}}))
    with pytest.raises(ValueError, match="table expects options of a file, sep, .*got 'separator'"):
        check_settings(Settings("m.py", table={"separator": ";"}))


@pytest.mark.slow
def test_sweeps_comparisons_and_a_diagnosis_of_tables(run, file, tmp_path, capsys):
    tiny = str(file.with_name("tiny.py"))
    few = ["--data", str(file), "--epochs", "1", "--batch-size", "16"]
    assert main(["sweep", tiny, *few, "--seeds", "2", "--out", str(tmp_path / "sweep")]) == 0
    variants = [tiny, f"{tiny} --latent-dim 2"]
    more = [*few, "--seeds", "2", "--out", str(tmp_path / "variants"), "--particles", "10"]
    assert main(["compare-variants", *variants, *more]) == 0
    other = str(tmp_path / "other")
    assert main(["train", tiny, *few, "--latent-dim", "2", "--out", other, "--particles", "9"]) == 0
    assert main(["compare", str(run), other, "--particles", "9", "--out", str(tmp_path / "c.png")]) == 0


@pytest.mark.slow
def test_a_small_table_is_diagnosed_with_its_validation_rows(tmp_path, capsys):
    frame = make_frame(260)
    frame.to_csv(tmp_path / "x.csv", index=False)
    (tmp_path / "tiny.py").write_text(TINY)
    out = str(tmp_path / "run")
    files = [str(tmp_path / "tiny.py"), "--data", str(tmp_path / "x.csv"), "--out", out]
    assert main(["train", *files, *FEW]) == 0
    assert main(["diagnose", out, "--budget", "quick"]) == 0
    printed = capsys.readouterr().out
    assert "held out: 26 test data (fewer than 50) and 26 validation data" in printed
    assert "Verdict:" in printed
