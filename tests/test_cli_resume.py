"""A run of the command line that was stopped goes on, by its own record, to what it would have been."""

import json
import re
import shlex
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from test_checkpoints import on_epoch, sent
from test_cli import write_grey

from probvae.cli import main
from probvae.runs import training
from probvae.runs.resuming import LONGER

TINY = """
from probvae import VAE, nets

def tiny(event_shape, *, latent_dim: int = 3, hidden: tuple[int, ...] = (8,)):
    return VAE(event_shape=event_shape, latent_dim=latent_dim, encoder=nets.MLP(hidden), decoder=nets.MLP(hidden))
"""
FEW = ["--epochs", "4", "--latent-dim", "2", "--hidden", "5,4", "--patience", "9"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    write_grey(path / "grey.npz")
    (path / "tiny.py").write_text(TINY)
    return path


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """Do without what comes after training: it compiles, and has its own tests."""

    def report(run, metrics):
        path = run.folder / "report.html"
        path.write_text("report")
        return path

    def evaluated(run, *_, **__):
        (run.folder / "metrics.json").write_text("{}")

    monkeypatch.setattr(training, "_evaluate_run", evaluated)
    monkeypatch.setattr(training, "_write_report", report)
    monkeypatch.setattr(training, "describe_metrics", lambda *_: [])


def train(base, out, *more):
    words = ["train", str(base / "tiny.py"), "--data", str(base / "grey.npz"), "--out", str(out)]
    return main([*words, *FEW, *more])


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        _short.__wrapped__(patch)
        assert train(base, out) == 0
    return out


def same(run, whole):
    one, other = (load_file(folder / "fitted.safetensors") for folder in (run, whole))
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])
    return (run / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


def held(folder):
    return {path: path.is_file() and path.read_bytes() for path in sorted(folder.rglob("*"))}


FILES = {
    "config.json",
    "fitted.safetensors",
    "metrics.csv",
    "metrics.json",
    "metrics.jsonl",
    "model.py",
    "report.html",
}


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_ctrl_c_finishes_a_run_which_goes_on_later(base, whole, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        on_epoch(patch, 2, sent(signal.SIGINT))
        assert train(base, run) == 130
    told = capsys.readouterr().out
    assert "fitted 2 epochs of 4, interrupted in" in told
    assert f"to continue training: probvae train --resume {run}" in told
    assert names(run) == FILES | {"checkpoints"}
    assert train(base, run) == 1  # --out names the folder of that run
    advised = re.search(r"To continue that run: probvae (.*?)\. ", capsys.readouterr().err).group(1)
    assert main(shlex.split(advised)) == 0
    assert "resuming after epoch 2 of 4" in capsys.readouterr().out
    assert names(run) == names(whole) == FILES
    assert same(run, whole)
    before = held(run)
    assert train(base, run) == 1
    assert "--resume" not in capsys.readouterr().err
    assert main(["train", "--resume", str(run)]) == 0
    told = capsys.readouterr().out
    assert "is already complete. Nothing to do. For more than 4 epochs, train again" in told
    assert Path(__file__).parent.parent.joinpath(LONGER).is_file()
    assert LONGER in told
    assert held(run) == before


def test_sigterm_ends_a_run_which_says_how_to_go_on(base, whole, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        on_epoch(patch, 3, sent(signal.SIGTERM))
        assert train(base, run) == 143
    assert f"in training. To continue training: probvae train --resume {run}" in capsys.readouterr().err
    assert names(run) == {"config.json", "metrics.jsonl", "model.py", "checkpoints"}
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["epoch-00000003.safetensors"]
    assert main(["train", "--resume", str(run)]) == 0
    assert same(run, whole)


def test_a_run_that_was_stopped_before_its_first_checkpoint_starts_anew(base, whole, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.json", "model.py"):
        (run / name).write_bytes((whole / name).read_bytes())
    assert main(["train", "--resume", str(run)]) == 0
    assert "training starts from the first epoch" in capsys.readouterr().out
    assert same(run, whole)


def test_a_run_that_was_killed_after_training_is_evaluated(base, whole, tmp_path, monkeypatch):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(training, "_evaluate_run", lambda *_, **__: 1 / 0)
        assert train(base, run) == 1
    with monkeypatch.context() as patch:
        on_epoch(patch, 1, lambda: pytest.fail("training was over"))
        assert main(["train", "--resume", str(run)]) == 0
    assert same(run, whole)
    assert names(run) == FILES


@pytest.fixture
def stopped(base, whole, tmp_path):
    """A run's folder as it is left by a kill in its first epochs."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.json", "model.py"):
        (run / name).write_bytes((whole / name).read_bytes())
    return run


def edited(name, old, new):
    def edit(run):
        assert old in (run / name).read_text()
        (run / name).write_text((run / name).read_text().replace(old, new))

    return edit


def other_data(run):
    config = json.loads((run / "config.json").read_text())
    config["data"]["sha256"] = "0" * 64
    (run / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: (run / "model.py").unlink(), "got no model.py there"),
        (edited("config.json", '"settings"', '"set"'), "has no settings, or unknown ones"),
        (edited("config.json", '"max_test"', '"most"'), "has no settings, or unknown ones"),
        (edited("config.json", "{", ""), "config.json is damaged"),
        (edited("model.py", "return VAE", "return dict"), "model.py: tiny must return"),
        (other_data, "have changed since the run"),
    ],
)
def test_a_run_that_cannot_go_on_says_why(stopped, capsys, change, message):
    change(stopped)
    before = held(stopped)
    assert main(["train", "--resume", str(stopped)]) == 1
    told = capsys.readouterr().err
    assert re.search(message, told), told
    assert held(stopped) == before


def cut(content):
    return content[: len(content) // 2]


def digit_flipped(content):
    """Another digit, in the middle of a file or after it: what a reader of text does not see."""
    at = next(i for i in range(len(content) // 2, len(content)) if content[i : i + 1] in b"123456789")
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def last_flipped(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def of_another_version(content):
    return content.replace(b"probvae-1", b"probvae-0", 1)


RUNS_DAMAGES = [
    ("config.json", cut, "config.json is damaged"),
    ("config.json", digit_flipped, "config.json is damaged, or was changed since the run"),
    ("config.json", None, "got no config.json there"),
    ("config.json", lambda c: c.replace(b'"settings"', b'"options"'), "made by another version"),
    ("model.py", lambda c: c[:-1], "model.py is damaged, or was changed"),
    ("model.py", lambda c: c.replace(b"= 3", b"= 2"), "model.py is damaged, or was changed"),
    ("model.py", None, "got no model.py there"),
    ("fitted.safetensors", cut, "fitted.safetensors is corrupt"),
    ("fitted.safetensors", last_flipped, "fitted.safetensors is corrupt.*checksum"),
    ("fitted.safetensors", None, "got no fitted.safetensors there"),
    ("fitted.safetensors", of_another_version, "has format 'probvae-0'"),
    ("metrics.csv", cut, "metrics.csv is damaged"),
    ("metrics.csv", digit_flipped, "metrics.csv is damaged"),
    ("metrics.csv", None, "metrics.csv is damaged or missing"),
    ("metrics.json", cut, "metrics.json is damaged"),
    ("metrics.json", None, "metrics.json is damaged or missing"),
]


@pytest.mark.parametrize(("name", "change", "message"), RUNS_DAMAGES)
def test_damage_to_any_file_of_a_run_is_named(whole, tmp_path, capsys, name, change, message):
    run = shutil.copytree(whole, tmp_path / "run")
    (run / name).write_bytes(change(held(run)[run / name])) if change else (run / name).unlink()
    before = held(run)
    assert main(["train", "--resume", str(run)]) == 1
    told = capsys.readouterr().err
    assert re.search(message, told), told
    assert held(run) == before


def test_the_empty_folder_of_a_run_that_was_killed_at_its_very_end_goes(whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    (run / "checkpoints").mkdir()
    assert main(["train", "--resume", str(run)]) == 0
    assert names(run) == FILES


def test_a_run_whose_optimizer_has_a_function_of_the_model_file_goes_on(base, tmp_path, monkeypatch):
    own = TINY.replace("import VAE", "import VAE, Variant").replace("return VAE", "vae = VAE")
    own += "    adam = optax.multi_transform({'a': optax.adam(1e-2)}, lambda params: {k: 'a' for k in params})\n"
    (tmp_path / "own.py").write_text(f"import optax\n{own}    return Variant(vae, optimizer=adam)\n")
    run = tmp_path / "run"
    words = [
        "train",
        str(tmp_path / "own.py"),
        "--data",
        str(base / "grey.npz"),
        "--out",
        str(run),
        *FEW,
    ]
    with monkeypatch.context() as patch:
        on_epoch(patch, 2, sent(signal.SIGINT))
        assert main(words) == 130
    assert main(["train", "--resume", str(run)]) == 0
    assert names(run) == FILES


def test_a_run_goes_on_with_a_changed_record_where_its_digest_is_taken_out(stopped, whole):
    config = json.loads((stopped / "config.json").read_text())
    assert set(config.pop("sha256")) == {"config.json", "model.py"}
    (stopped / "config.json").write_text(json.dumps(config))
    assert main(["train", "--resume", str(stopped)]) == 0
    assert same(stopped, whole)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--resume", "none"], 1, "none: expected the folder of a run .* no such folder"),
        (["--resume", "none", "--epochs", "3", "--seed=1"], 2, "omit --epochs, --seed"),
        ([], 2, "required: MODEL.py, or --resume DIR"),
    ],
)
def test_words_that_do_not_go_together(capsys, words, code, message):
    try:
        found = main(["train", *words])
    except SystemExit as stop:
        found = stop.code
    assert found == code
    assert re.search(message, capsys.readouterr().err)


def test_a_second_process_is_kept_out_of_a_run(base, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    on_epoch(monkeypatch, 2, lambda: main(["train", "--resume", str(run)]))
    assert train(base, run) == 0
    assert f"{run} is being written by process" in capsys.readouterr().err
    assert names(run) == FILES
