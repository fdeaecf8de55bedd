"""`probvae sweep`: its folder, its table, that each training is that of `probvae train`, and errors."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from test_cli import write_grey
from test_cli_compare import PLAIN
from test_cli_errors import held, outcome
from test_plots import sweep_of

import probvae
from probvae import runs
from probvae.cli import main
from probvae.cli.parser import parse_arguments
from probvae.runs import load_model_file, sweeping, training

TINY = '''
"""A model that compiles fast."""
from probvae import VAE, nets

def tiny(event_shape, *, latent_dim: int = 3):
    return VAE(event_shape=event_shape, latent_dim=latent_dim, encoder=nets.Linear(), decoder=nets.Linear())
'''
SEEDS = ["--seeds", "2", "--seed", "3"]
OVER = ["--over", "beta=0.5,1", "--over", "learning-rate=1e-2,3e-2"]
EPOCHS = ["--epochs", "3", "--patience", "1", "--latent-dim", "2"]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder of data and models."""
    base = tmp_path_factory.mktemp("sweep")
    (base / "tiny.py").write_text(TINY)
    (base / "plain.py").write_text(PLAIN)
    write_grey(base / "grey.npz")
    arrays = dict(np.load(base / "grey.npz"))
    np.savez(base / "two.npz", train=arrays["train"], test=arrays["test"])
    return base


@pytest.fixture(scope="module")
def swept(here):
    """A finished sweep's folder, and what was printed."""
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.chdir(here)
        patch.setattr("probvae.cli.commands._say", lambda line: lines.append(str(line)))
        assert main(["sweep", "tiny.py", "--data", "grey.npz", *OVER, *SEEDS, *EPOCHS]) == 0
    return here / "runs" / "sweep-tiny-grey", lines


def rows_of(path):
    with path.open() as file:
        return [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]


def test_the_folder_holds_what_it_should(swept):
    folder, _ = swept
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "model.py", "sweep.csv", "sweep.png", "best.safetensors"}
    assert (folder / "sweep.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((folder / "config.json").read_text())
    assert config["swept"] == {"beta": [0.5, 1.0], "learning_rate": [0.01, 0.03]}
    assert config["training"]["seeds"] == [3, 4]
    assert config["command"].startswith("probvae sweep tiny.py")
    assert not {"settings", "evaluation"} & config.keys()


def test_a_row_for_each_training_and_the_best_kept(swept):
    folder, _ = swept
    rows = rows_of(folder / "sweep.csv")
    told = {(row["beta"], row["learning_rate"], row["seed"]) for row in rows}
    assert told == {(b, r, s) for b in (0.5, 1.0) for r in (0.01, 0.03) for s in (3, 4)}
    for row in rows:
        assert 1 <= row["kept_epoch"] <= row["epochs"] <= 3
        parts = row["validation_log_likelihood"] - row["validation_kl"]
        assert row["validation_elbo"] == pytest.approx(parts, abs=1e-4)
    vae = load_model_file(folder / "model.py").build((4, 4), latent_dim=2).vae
    best = probvae.load(folder / "best.safetensors", vae).history
    highest = max(rows, key=lambda row: row["validation_elbo"])
    assert best.validation["elbo"][best.kept_epoch] == pytest.approx(highest["validation_elbo"])


def test_it_prints_protocol_table_best_and_where(swept):
    folder, lines = swept
    assert lines[0].startswith("data grey.npz: grey data of ")
    assert lines[2] == (
        "8 trainings of 3 epochs at most: seeds 3 to 4 for each of beta=0.5,1, learning_rate=0.01,0.03"
    )
    assert re.match(r"trained 8 times, .* epochs, in \d+\.\d s", lines[3])
    rows = rows_of(folder / "sweep.csv")
    means = {}
    for row in rows:
        means.setdefault((row["beta"], row["learning_rate"]), []).append(row["validation_elbo"])
    assert list(means) == sorted(means)  # the file is in the order of the numbers, and so is the table
    highest = max(means, key=lambda told: np.mean(means[told]))
    assert lines[4].split()[:4] == ["beta", "learning_rate", "trainings", "validation"]
    for line, told in zip(lines[5:9], sorted(means), strict=True):
        assert line.endswith("highest mean") == (told == highest)
        beta, rate, count, mean, _, error = line.split()[:6]
        assert (float(beta), float(rate), count) == (*told, "2")
        assert float(mean) == pytest.approx(np.mean(means[told]), abs=6e-3)
        spread = np.std(means[told], ddof=1) / np.sqrt(2)
        assert float(error) == pytest.approx(spread, abs=6e-3)
    best = max(rows, key=lambda row: row["validation_elbo"])
    which = f"seed {best['seed']:g}, beta {best['beta']:g}, learning_rate {best['learning_rate']:g}"
    assert lines[9].startswith(f"best: {which}; validation ELBO {best['validation_elbo']:.2f} = ")
    assert [Path(line.split()[-1]).name for line in lines[10:]] == ["sweep.png", "best.safetensors"]


@pytest.mark.slow
def test_each_training_is_that_of_train_with_its_seed(swept, here, monkeypatch):
    for name, nothing in (("_evaluate_run", {}), ("_write_report", Path()), ("describe_metrics", [])):
        monkeypatch.setattr(training, name, lambda *_, nothing=nothing, **__: nothing)
    monkeypatch.chdir(here)
    words = ["--learning-rate", "3e-2", "--seed", "4", *EPOCHS, "--out", "alone"]
    assert main(["train", "tiny.py", "--data", "grey.npz", *words]) == 0
    alone = rows_of(here / "alone" / "metrics.csv")
    (row,) = (
        row
        for row in rows_of(swept[0] / "sweep.csv")
        if (row["beta"], row["learning_rate"], row["seed"]) == (1.0, 0.03, 4)
    )
    assert row["epochs"] == len(alone)
    kept = alone[int(row["kept_epoch"]) - 1]
    for name in ("validation_elbo", "validation_log_likelihood", "validation_kl"):
        assert row[name] == pytest.approx(kept[name], rel=1e-4)


def test_a_second_one_has_a_folder_of_its_own_and_none_is_a_run(swept, here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    monkeypatch.setattr(sweeping, "train_sweep", trained_as({}, 2))
    assert main(["sweep", "tiny.py", "--data", "grey.npz", *SEEDS]) == 0
    assert (here / "runs" / "sweep-tiny-grey-2" / "sweep.csv").exists()
    before = held(here)
    assert main(["sweep", "tiny.py", "--data", "grey.npz", "--out", str(swept[0])]) == 1
    assert "contains a sweep of tiny.py on grey.npz" in capsys.readouterr().err
    for words in (["train", "--resume"], ["evaluate"], ["sample"]):
        assert main([*words, str(swept[0])]) == 1
        assert "got that of a sweep" in capsys.readouterr().err
    assert held(here) == before


def trained_as(over, num_keys, elbo=lambda *_: -3.0, **options):
    """A double of the training: what the command makes of what was found."""

    def trained(*_, **told):
        assert len(told["rng_keys"]) == num_keys
        return sweep_of(over, num_keys, elbo)._replace(**options)

    return trained


def test_what_is_told_reaches_the_sweep(here, tmp_path, monkeypatch, capsys):
    given = {}

    def trained(*_, **told):
        given.update(told)
        return sweep_of({}, 2)._replace(interrupted=True)

    monkeypatch.setattr(sweeping, "train_sweep", trained)
    monkeypatch.setattr("probvae.runs.figures.can_draw", lambda: False)
    monkeypatch.chdir(here)
    words = ["--at-once", "5", "--epochs", "9", "--batch-size", "7", "--out", str(tmp_path / "run")]
    assert main(["sweep", "tiny.py", "--data", "grey.npz", *SEEDS, *words]) == 130
    assert (given["at_once"], given["epochs"], given["batch_size"]) == (5, 9, 7)
    for key, seed in zip(given["rng_keys"], (3, 4), strict=True):
        assert key == runs.evaluation.derive_keys(seed).fit
    said = capsys.readouterr().out
    assert "interrupted" in said
    assert "pip install 'probvae[plots]'" in said
    assert not (tmp_path / "run" / "sweep.png").exists()


def test_an_interrupt_at_once_and_a_sweep_that_finds_nothing_leave_nothing(
    here, tmp_path, monkeypatch, capsys
):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    words = ["sweep", str(here / "tiny.py"), "--data", str(here / "grey.npz"), "--seeds", "2"]
    words += ["--out", str(tmp_path / "new" / "run")]
    monkeypatch.setattr(sweeping, "train_sweep", interrupted)
    assert main(words) == 130
    monkeypatch.setattr(sweeping, "train_sweep", trained_as({}, 2, lambda *_: np.nan))
    assert main(words) == 1
    assert "no run of the sweep has a finite validation ELBO" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_interrupt_after_training_says_where_what_was_found_is(here, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeping, "train_sweep", trained_as({}, 2))
    monkeypatch.setattr("probvae.runs.figures.save_figure", interrupted)
    words = ["--data", str(here / "grey.npz"), "--seeds", "2", "--out", str(tmp_path / "run")]
    assert main(["sweep", str(here / "tiny.py"), *words]) == 130
    assert f"the results so far are saved in {tmp_path / 'run'}" in capsys.readouterr().err
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"config.json", "model.py", "sweep.csv", "best.safetensors"}


ERRORS = [
    (["--over", "gamma=1"], 2, r"Cannot sweep 'gamma'.* \(learning_rate\) and the weights of ELBO \(beta\)"),
    (["--over", "beta=-1,2"], 2, r"a finite number >= 0.* got -1.0.*weights of ELBO \(beta\)"),
    (["--over", "learning_rate=0,1"], 2, "learning_rate expects positive numbers; got"),
    (["--over", "learning_rate=1", "--learning-rate", "1"], 2, "both swept and set to one number"),
    (["--over", "beta="], 2, "expected NAME=X,X.* beta=0.5,1,2, or learning_rate.*; got 'beta='"),
    (["--over", "beta"], 2, "expected NAME=X,X.*; got 'beta'"),
    (["--over", "=1"], 2, "expected NAME=X,X.*; got '=1'"),
    (["--over", "beta=1,x"], 2, "expected NAME=X,X.*; got 'beta=1,x'"),
    (["--over", "beta=1,nan"], 2, "expected NAME=X,X.*; got 'beta=1,nan'"),
    (["--over", "beta=1,1.0"], 2, "expected NAME=X,X.* each number once.*; got 'beta=1,1.0'"),
    (["--over", "beta=1", "--over", "beta=2"], 2, "got beta twice"),
    (["--overs", "beta=1"], 2, "unknown: --overs; did you mean --over"),
    (["--skip-batches", "1"], 2, "unknown: --skip-batches"),
    (["--seeds", "0"], 2, "argument --seeds: expected a positive integer"),
    (["--at-once", "0"], 2, "argument --at-once: expected a positive integer"),
    (["--seed", "4294967295"], 1, "seed expects an integer from 0 to"),
    (["--epochs", "0"], 2, "argument --epochs: expected a positive integer"),
    (["--data", "two.npz"], 1, "compares trainings by validation data; two.npz has none"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code", "message"), ERRORS, ids=[e[2][:40] for e in ERRORS])
def test_errors_say_what_can_be_and_leave_the_disk_alone(
    here, monkeypatch, capsys, words, code, message
):
    monkeypatch.chdir(here)
    before = held(here)
    assert outcome(["sweep", "tiny.py", "--data", "grey.npz", *words]) == code
    told = capsys.readouterr()
    assert re.search(message, " ".join(told.err.split())), told.err
    assert "Traceback" not in told.err
    assert held(here) == before


def test_a_model_without_a_density_has_nothing_to_be_compared_by(here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    assert main(["sweep", "plain.py", "--data", "grey.npz", "--seeds", "1"]) == 1
    assert "by the validation ELBO; this model has none: " in capsys.readouterr().err


def test_settings_that_a_sweep_cannot_heed_are_refused(here, tmp_path):
    settings = runs.Settings(here / "tiny.py", data=str(here / "grey.npz"), out=tmp_path / "run")
    with pytest.raises(ValueError, match="A sweep does not support skip_batches and halve_rate"):
        runs.sweep(settings._replace(halve_rate=1))
    assert not list(tmp_path.iterdir())


def test_options_of_the_model_and_no_model(here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    told = parse_arguments(["sweep", "--over", "learning-rate=1e-3,1", "tiny.py", "--latent_dim", "7"])
    assert told.over == [("learning_rate", (1e-3, 1.0))]
    assert vars(told)["argument:latent_dim"] == 7
    assert outcome(["sweep"]) == 2
    assert "required: MODEL.py" in capsys.readouterr().err
    (here / "seeds.py").write_text(TINY.replace("latent_dim: int = 3", "seeds: int = 3"))
    assert main(["sweep", "seeds.py"]) == 1
    assert "'seeds' of tiny is also an option of `probvae sweep`" in capsys.readouterr().err
    assert parse_arguments(["train", "seeds.py", "--seeds", "4"]).command == "train"
