"""`probvae diagnose`: the verdict, its files, its section of the report; and the runs that have none."""

import sys

import numpy as np
import pytest
from test_cli import TINY
from test_cli_compare import PLAIN
from test_report import CONFIG, METRICS

from probvae import VAE, likelihoods
from probvae.cli import main
from probvae.criticism import Budget, Finding, Kind, Verdict
from probvae.data import Data
from probvae.runs import diagnosing
from probvae.runs.report import END, START, insert_diagnosis, render_report

FAULT = Finding(Kind.FAULT, "a <name>", "evidence.", 1.0, 0.5, "source", "remedy.")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two runs on 60 test data: one to diagnose, one that is no density."""
    base = tmp_path_factory.mktemp("diagnosed")
    (base / "tiny.py").write_text(TINY)
    (base / "plain.py").write_text(PLAIN)
    bits = np.random.default_rng(0).integers(0, 2, (160, 4, 4))
    np.savez(base / "bits.npz", train=bits[:80], valid=bits[80:100], test=bits[100:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probvae.runs.figures.can_draw", lambda: False)
        for name in ("tiny", "plain"):
            words = [str(base / f"{name}.py"), "--data", str(base / "bits.npz"), "--epochs", "6"]
            asked = ["--particles", "5", "--max-test", "6", "--out", str(base / name)]
            assert main(["train", *words, *asked]) == 0
    return base


@pytest.mark.slow
def test_it_prints_the_verdict_and_keeps_it_twice_over(finished, monkeypatch, capsys):
    monkeypatch.setitem(diagnosing.BUDGETS, "quick", Budget(60, 100, 20, 6, 10, 50))
    run = finished / "tiny"
    for _ in range(2):
        assert main(["diagnose", str(run), "--budget", "quick"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("Verdict: ") == 2
    assert "gap: " in printed
    assert {path.name for path in run.glob("diagnosis*")} == {
        "diagnosis", "diagnosis.txt", "diagnosis.nc", "diagnosis-2", "diagnosis-2.txt", "diagnosis-2.nc"
    }  # fmt: skip
    figures = {path.name for path in (run / "diagnosis").iterdir()}
    assert figures == {"unit_use.png", "tails.png", "gaps.png", "calibration.png", "predictions.png"}
    report = (run / "report.html").read_text()
    assert report.count(START) == report.count(END) == 1
    assert report.count("<figure>") == 5
    assert report.index("#finding-1") < report.index('class="numbers"')
    assert (run / "diagnosis.txt").read_text().startswith("Verdict: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plain"], "PointMass"),
        (["none"], "no such folder"),
        (["tiny", "--budget", "lavish"], "invalid choice"),
    ],
)
def test_what_cannot_be_diagnosed_ends_in_a_sentence(finished, words, message, capsys):
    before = sorted(finished.rglob("*"))
    try:
        code = main(["diagnose", str(finished / words[0]), *words[1:]])
    except SystemExit as ended:
        code = ended.code
    assert code in (1, 2)
    assert message in capsys.readouterr().err
    assert sorted(finished.rglob("*")) == before


@pytest.mark.parametrize("missing", [["arviz_base"], ["arviz_stats"], ["h5netcdf", "netCDF4"]])
def test_a_missing_package_is_named_before_anything_is_loaded(finished, monkeypatch, capsys, missing):
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("probvae.runs.open_run", lambda *_, **__: pytest.fail("a run was loaded"))
    assert main(["diagnose", str(finished / "tiny")]) == 1
    told = capsys.readouterr()
    assert f"{missing[0]}" in told.err
    assert "pip install 'probvae[arviz]'" in told.err
    assert told.out == ""


@pytest.mark.parametrize(("tests", "looked_at", "said"), [(20, 60, 1), (50, 50, 0)])
def test_few_test_data_are_looked_at_together_with_the_validation_data(tests, looked_at, said):
    x = np.random.default_rng(0).normal(size=(120 + tests, 3)).astype(np.float32)
    splits = {"train": x[:80], "valid": x[80:120], "test": x[120:]}
    data = Data("few", **splits, context={k: v[:, :1] for k, v in splits.items()})
    vae = VAE(event_shape=(3,), latent_dim=1, likelihood=likelihoods.Gaussian(), context_shape=(1,))
    lines = []
    held_out = diagnosing.select_held_out(vae, data, lines.append)
    np.testing.assert_array_equal(held_out.x[:tests], splits["test"])
    assert held_out.x.shape == (looked_at, 3)
    np.testing.assert_array_equal(held_out.context, held_out.x[:, :1])
    assert len(lines) == said


def test_the_section_is_escaped_and_takes_the_place_of_an_earlier_one():
    first = insert_diagnosis(
        render_report(CONFIG, METRICS, [], command="probvae diagnose run"), Verdict([FAULT]), []
    )
    assert "a &lt;name&gt;" in first
    assert "a <name>" not in first
    assert first.index('<h2 id="diagnosis">') < first.index("<h2>Figures</h2>")
    second = insert_diagnosis(first, Verdict([FAULT._replace(name="another")]), [])
    assert "another" in second
    assert "a &lt;name&gt;" not in second
    assert second.count(START) == 1
