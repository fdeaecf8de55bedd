"""`probvae compare`: its table and its picture, and the runs that do not compare."""

import re
import shutil
import sys

import jax
import numpy as np
import pytest
from test_cli import FEW, TINY, write_grey
from test_plots import drawn

from probvae import plots
from probvae.cli import main
from probvae.criticism import compare_values
from probvae.runs import comparing, open_run

PLAIN = '''
"""A point of a code for each datum: no density."""
from probvae import VAE, guides, nets

def plain(event_shape, *, latent_dim: int = 2):
    return VAE(event_shape=event_shape, latent_dim=latent_dim, posterior=guides.PointMass(),
               encoder=nets.Linear(), decoder=nets.Linear())
'''
ASKED = ["--particles", "5", "--max-test", "6"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Runs: two on the same data, one on data like them, one that is no density."""
    base = tmp_path_factory.mktemp("compared")
    (base / "tiny.py").write_text(TINY)
    (base / "plain.py").write_text(PLAIN)
    write_grey(base / "grey.npz")
    arrays = dict(np.load(base / "grey.npz"))
    np.savez(base / "other.npz", **arrays | {"test": arrays["test"][::-1]})
    made = {
        "first": ("tiny", "grey", "0"),
        "second": ("tiny", "grey", "1"),
        "other": ("tiny", "other", "0"),
    }
    made["plain"] = ("plain", "grey", "0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probvae.runs.figures.can_draw", lambda: False)
        for name, (model, data, seed) in made.items():
            words = [str(base / f"{model}.py"), "--data", str(base / f"{data}.npz"), "--seed", seed]
            assert main(["train", *words, *FEW, "--out", str(base / name)]) == 0
    return base


@pytest.fixture
def here(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compared(finished, *names, more=()):
    return main(["compare", *(str(finished / name) for name in names), *ASKED, *more])


def test_table_and_picture(finished, here, capsys):
    assert compared(finished, "first", "second") == 0
    data, bounds, head, *rows, picture = capsys.readouterr().out.splitlines()
    assert data.startswith("test data: 10 data of grey.npz (grey data of ")
    assert "6 data, 5 particles" in bounds
    assert head.split()[:2] == ["rank", "model"]
    assert {row.split()[1] for row in rows} == {"first", "second"}
    assert picture == "comparison.png"
    assert (here / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert compared(finished, "second", "first", more=["--out", "two.png"]) == 0
    assert capsys.readouterr().out.splitlines()[2:5] == [head, *rows]
    assert (here / "two.png").exists()


def test_numbers_are_those_of_the_runs(finished):
    runs = [open_run(finished / name) for name in ("first", "second")]
    key = jax.random.key(3)
    found = comparing.compare(runs, rng_key=key, num_particles=5, max_test=6)
    rows = comparing.draw_test_rows(10, 6)
    for run in runs:
        own = run.fitted.log_prob(run.data.test[rows], rng_key=key, num_particles=5)
        at = found.names.index(run.folder.name)
        np.testing.assert_array_equal(found.values[at], own.value)


def test_folders_of_one_name_are_told_apart_by_their_paths(finished, here, capsys):
    shutil.copytree(finished / "second", here / "first")
    assert main(["compare", str(finished / "first"), "first", *ASKED]) == 0
    shown = capsys.readouterr().out
    assert str(finished / "first") in shown
    assert re.search(r"^ +\d  first ", shown, flags=re.MULTILINE)


def test_without_matplotlib_there_is_a_table(finished, here, capsys, monkeypatch):
    monkeypatch.setattr("probvae.runs.figures.can_draw", lambda: False)
    assert compared(finished, "first", "second") == 0
    assert "pip install 'probvae[plots]'" in capsys.readouterr().out
    assert not list(here.iterdir())


ERRORS = [
    (
        ["first"],
        [],
        "expects two or more runs; got 1. For one run, use: probvae evaluate .*first",
    ),
    (["first", "first"], [], "expects each run once; got .*first more than once"),
    (
        ["first", "other"],
        [],
        "same test data; .*first has 10 data of grey.npz .*, and .*other has 10 data of other.npz",
    ),
    (["first", "none"], [], "none: expected the folder of a run .* no such folder"),
    (["first", "plain"], [], r"PointMass has none: .* \(the model 'plain'\)"),
    (["first", "second"], ["--out", "there.png"], "--out there.png: .* the file exists"),
    (["first", "second"], ["--out", "no/new.png"], "--out no/new.png: .* there is no folder no"),
]


@pytest.mark.parametrize(("names", "more", "message"), ERRORS, ids=[error[2][:40] for error in ERRORS])
def test_runs_that_do_not_compare(finished, here, capsys, names, more, message):
    (here / "there.png").write_text("mine")
    assert compared(finished, *names, more=more) == 1
    told = capsys.readouterr()
    assert re.search(message, told.err), told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert [path.name for path in here.iterdir()] == ["there.png"]
    assert (here / "there.png").read_text() == "mine"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--particles", "0"], "argument --particles: expected a positive integer; got '0'"),
        (["--seed", "-1"], "argument --seed: expected an integer from 0"),
    ],
)
def test_numbers_that_no_command_can_use_are_usage_errors(capsys, more, message):
    with pytest.raises(SystemExit) as stop:
        main(["compare", "first", "second", *more])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_no_folder_at_all(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["compare"])
    assert stop.value.code == 2
    assert "required: DIR" in capsys.readouterr().err


def test_figure_shows_means_and_differences_per_datum():
    base = np.random.default_rng(0).normal(-100, 30, size=50)
    found = compare_values({"a": base, "b": base - 2 + 0.1 * base, "c": base - 5})
    figure = plots.comparison(found)
    words = drawn(figure)
    assert "Held-out log p(x) of 50 data" in words
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == list(found.names)
    assert left.yaxis_inverted()
    for axes, middle, error in (
        (left, found.mean, found.standard_error / 50),
        (right, found.difference / 50, found.difference_standard_error / 50),
    ):
        np.testing.assert_allclose(axes.lines[0].get_xdata(), middle)
        (bars,) = axes.collections
        ends = np.array([path.vertices[:, 0] for path in bars.get_paths()])
        np.testing.assert_allclose(ends, np.stack([middle - 2 * error, middle + 2 * error], axis=1))
        assert axes.get_xlabel() == "nats per datum"


def test_a_picture_that_is_asked_for_needs_matplotlib_first(finished, here, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("probvae.runs.open_run", lambda *_, **__: pytest.fail("a run was loaded"))
    assert compared(finished, "first", "second", more=["--out", "two.png"]) == 1
    assert "pip install 'probvae[plots]'" in capsys.readouterr().err
