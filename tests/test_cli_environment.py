"""The command line where the world has changed: data moved, another encoding, a lost terminal."""

import ast
import errno
import importlib
import io
import json
import os
import re
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_cli import FEW

from probvae.cli import main
from probvae.data import Data
from probvae.runs import folder as files
from probvae.runs import open_run
from probvae.runs.evaluation import describe_metrics
from probvae.runs.record import digest_data
from probvae.runs.run import check_same_data

MODEL = '''
"""Un petit modèle, 日本."""
from probvae import VAE, nets

def conditional(event_shape, *, latent_dim: int = 2):
    """Return a VAE of three classes."""
    return VAE(event_shape=event_shape, latent_dim=latent_dim, context_shape=(3,),
               encoder=nets.Linear(), decoder=nets.Linear())
'''
ASKED = ["--particles", "5", "--max-test", "6"]
COMMANDS = {
    "evaluate": ["evaluate", "run"],
    "sample": ["sample", "run", "--num", "2"],
    "reconstruct": ["reconstruct", "run", "--num", "2"],
    "interpolate": ["interpolate", "run"],
    "compare": ["compare", "run", "second", *ASKED],
    "diagnose": ["diagnose", "run"],
    "resume": ["train", "--resume", "run"],
}


def write_labelled(path):
    """Write bits of three classes, with labels in every split."""
    random = np.random.default_rng(0)
    arrays = {"train": (40, 4), "valid": (10, 4), "test": (10, 4)}
    arrays = {split: random.integers(0, 2, shape, dtype=np.uint8) for split, shape in arrays.items()}
    labels = {f"{split}_labels": np.arange(len(array)) % 3 for split, array in arrays.items()}
    np.savez(path, **arrays, **labels)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two runs of a conditional VAE on a file of data, in a folder."""
    base = tmp_path_factory.mktemp("finished")
    (base / "modèle.py").write_text(MODEL, encoding="utf-8")
    write_labelled(base / "bits.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probvae.runs.figures.can_draw", lambda: False)
        patch.chdir(base)
        assert main(["train", "modèle.py", "--data", "bits.npz", *FEW, "--out", "run"]) == 0
    shutil.copytree(base / "run", base / "second")
    return base


@pytest.fixture
def moved(finished, tmp_path, monkeypatch):
    """A copy of the runs whose data are at another place: elsewhere/moved.npz."""
    base = shutil.copytree(finished, tmp_path / "copy")
    (base / "elsewhere").mkdir()
    shutil.move(base / "bits.npz", base / "elsewhere" / "moved.npz")
    source = finished / "bits.npz"  # what the record names
    source.rename(finished / "hidden.npz")
    monkeypatch.setattr("probvae.runs.figures.can_draw", lambda: False)
    monkeypatch.chdir(base)
    yield base
    (finished / "hidden.npz").rename(source)


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_data_are_named_with_the_option_that_helps(moved, capsys, command):
    (moved / "run" / "report.html").unlink()
    assert main(COMMANDS[command]) == 1
    told = capsys.readouterr().err
    assert re.search(r"bits.npz; got nothing.*--data PATH", told), told


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("changed", ["test", "train", "test_labels"])
def test_other_data_are_refused_for_the_data_of_a_run(moved, capsys, command, changed):
    (moved / "run" / "report.html").unlink()
    path = moved / "elsewhere" / "moved.npz"
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {changed: arrays[changed][::-1]})
    assert main([*COMMANDS[command], "--data", "elsewhere/moved.npz"]) == 1
    told = capsys.readouterr().err
    assert re.search(r"elsewhere/moved.npz: expected the data that the run was made with", told), told
    assert ("the test data" if changed == "test" else "training data") in told


@pytest.mark.parametrize("command", ["evaluate", "sample", "reconstruct", "compare", "resume"])
def test_moved_data_are_found_by_their_new_path(moved, capsys, command):
    if command == "resume":
        (moved / "run" / "report.html").unlink()
    assert main([*COMMANDS[command], "--data", "elsewhere/moved.npz"]) == 0
    assert "nothing there" not in capsys.readouterr().err


def test_moved_data_give_the_numbers_of_training(moved, capsys):
    assert main(["evaluate", "run", "--data", str(moved / "elsewhere" / "moved.npz")]) == 0
    printed = capsys.readouterr().out
    metrics = (moved / "run" / "metrics.json").read_text(encoding="utf-8")
    mean = float(re.search(r'"mean": ([-\d.]+)', metrics).group(1))
    assert f"test ELBO {mean:.2f} nats" in printed
    run = open_run(moved / "run", data=moved / "elsewhere" / "moved.npz")
    np.testing.assert_array_equal(run.data.test, np.load(moved / "elsewhere" / "moved.npz")["test"])


def test_digests_see_every_array_but_labels():
    x = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    splits = {"train": x[:20], "valid": x[20:25], "test": x[25:]}
    data = Data("a", **splits, context={split: each[:, :1] for split, each in splits.items()})
    config = digest_data(data)
    check_same_data(replace(data, name="b", labels={"test": np.arange(5)}), config, "b")
    for split in splits:
        for other in (
            replace(data, **{split: splits[split] + 1}),
            replace(data, context={**data.context, split: splits[split][:, 1:]}),
        ):
            with pytest.raises(ValueError, match="b: expected the data that the run was made with"):
                check_same_data(other, config, "b")
    del config["sha256_rest"]  # a run of before this digest
    check_same_data(replace(data, train=splits["train"] + 1), config, "b")


class Terminal(io.TextIOWrapper):
    """A terminal of an encoding, or one that goes away after some writes."""

    def __init__(self, encoding, *, writes=None):
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self.writes, self.error = writes, BrokenPipeError(32, "Broken pipe")

    def write(self, text):
        if self.writes is not None:
            self.writes -= 1
            if self.writes < 0:
                raise self.error
        return super().write(text)

    def text(self):
        return self.buffer.getvalue().decode(self.encoding)


def run_in(words, *, stdout, stderr):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        patch.setattr(sys, "stderr", stderr)
        patch.setattr("probvae.runs.figures.can_draw", lambda: False)
        try:
            return main(words)
        except SystemExit as stop:
            return stop.code


NAMES = ["rün", "日本 (2)", os.fsdecode(b"r\xfcn")]  # the last is of another file system: not UTF-8
SAID = {
    "evaluate": "test ELBO",
    "sample": "samples.npz",
    "reconstruct": "reconstructions.npz",
    "compare": "bounds on log p",
    "diagnose": "budget usual",
}


@pytest.fixture
def elsewhere(finished, tmp_path, monkeypatch):
    """A folder with the two runs under names that ASCII cannot show."""
    for name in NAMES:
        shutil.copytree(finished / "run", tmp_path / name)
    shutil.copy(finished / "modèle.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("command", SAID)
def test_commands_escape_what_a_terminal_cannot_show(elsewhere, command, encoding):
    name, *others = NAMES if command == "compare" else [NAMES[0]]
    words = [*COMMANDS[command][:1], name, *others, *COMMANDS[command][2:]]
    words = [word for word in words if word != "second"]
    stdout, stderr = Terminal(encoding), Terminal(encoding)
    code = run_in(words, stdout=stdout, stderr=stderr)
    if command == "diagnose":  # ten test data are too few, and it says so
        assert code == 1
        assert "at least 50 held-out data" in stderr.text()
    else:
        assert code == 0, stderr.text()
    assert SAID[command] in stdout.text()
    assert stdout.errors == stderr.errors == "strict"


def test_help_shows_a_docstring_in_any_encoding(elsewhere):
    for command in (["--help"], ["train", "modèle.py", "--help"], ["sweep", "modèle.py", "--help"]):
        stdout = Terminal("ascii")
        assert run_in(command, stdout=stdout, stderr=stdout) == 0
        assert "usage: probvae" in stdout.text()
    assert r"Un petit mod\xe8le, \u65e5\u672c." in stdout.text()


@pytest.mark.parametrize("name", NAMES)
def test_training_in_ascii_writes_its_folder_in_utf8(elsewhere, finished, name):
    out = f"{name} new"
    data = str(finished / "bits.npz")
    words = ["train", "modèle.py", "--data", data, *FEW, "--out", out]
    stdout, stderr = Terminal("ascii"), Terminal("ascii")
    assert run_in(words, stdout=stdout, stderr=stderr) == 0, stderr.text()
    assert "report: " in stdout.text()
    report = (elsewhere / out / "report.html").read_text(encoding="utf-8")
    assert "Un petit modèle, 日本." in report
    config = (elsewhere / out / "config.json").read_text(encoding="utf-8")
    assert json.loads(config)["command"].endswith(shlex.quote(out))
    assert run_in(["evaluate", out], stdout=stdout, stderr=stderr) == 0, stderr.text()


@pytest.mark.parametrize("writes", [0, 3])
def test_training_survives_a_terminal_that_goes_away(elsewhere, finished, writes):
    words = ["train", "modèle.py", "--data", str(finished / "bits.npz"), *FEW, "--out", "lost"]
    terminals = {"stdout": Terminal("utf-8", writes=writes), "stderr": Terminal("utf-8", writes=0)}
    assert run_in(words, **terminals) == 141
    assert {"report.html", "fitted.safetensors", "metrics.json"} <= set(os.listdir("lost"))


def test_output_that_is_lost_is_a_failure(finished):
    stdout, stderr = Terminal("utf-8", writes=0), Terminal("utf-8")
    assert run_in(["data"], stdout=stdout, stderr=stderr) == 141
    assert stderr.text() == ""  # a reader that has seen enough: `probvae data | head -1`
    stdout.error, stdout.writes = OSError(28, "No space left on device"), 0
    assert run_in(["data"], stdout=stdout, stderr=stderr) == 1
    assert "its output could not be written: No space left on device" in stderr.text()


def test_processes_that_begin_at_once_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    free_stem = files.free_stem

    def taken_at_once(folder, stem):
        chosen = free_stem(folder, stem)
        if not chosen.name.endswith("-3"):
            chosen.mkdir()  # another process is faster
        return chosen

    monkeypatch.setattr(files, "free_stem", taken_at_once)
    with files.new_folder(None, name="model-data") as folder:
        files.write_text(folder / files.FITTED, "")
    assert folder == Path("runs", "model-data-3")
    assert os.listdir(folder) == [files.FITTED]


@pytest.mark.parametrize("empty", [True, False])
def test_a_second_process_leaves_the_files_of_the_first_alone(tmp_path, empty):
    with files.new_folder(tmp_path / "run", name="") as folder:
        if not empty:
            files.write_text(folder / files.CONFIG, "{}")
        with pytest.raises(OSError, match="is being written by" if empty else "run contains"):  # noqa: PT012, SIM117
            with files.new_folder(folder, name=""):
                pytest.fail("two processes write one folder")
        files.write_text(folder / files.FITTED, "")
    left = {files.FITTED} if empty else {files.FITTED, files.CONFIG}
    assert set(os.listdir(tmp_path / "run")) == left


def test_a_folder_in_which_nothing_is_fitted_is_removed_with_its_parents(tmp_path):
    def interrupt():
        with files.new_folder(tmp_path / "a" / "b", name="") as folder:
            files.write_text(folder / files.CONFIG, "{}")
            (folder / files.CHECKPOINTS).mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("full", [files.FITTED, files.EPOCHS, files.METRICS, files.REPORT])
def test_a_disk_that_is_full_after_training_costs_no_training(
    elsewhere, finished, monkeypatch, capsys, full
):
    path = elsewhere / "full" / full
    real = Path.replace

    def replace(partial, target):
        if Path(target) == path.relative_to(elsewhere):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(partial, target)

    monkeypatch.setattr("probvae.runs.figures.can_draw", lambda: False)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        words = ["train", "modèle.py", "--data", str(finished / "bits.npz"), *FEW, "--out", "full"]
        assert main(words) == 1
    told = capsys.readouterr().err
    named = "" if full == files.FITTED else f"full/{full}: "
    assert re.search(f"{named}.*No space left on device .*probvae train --resume full", told), told
    assert main(["train", "--resume", "full"]) == 0
    assert path.is_file()


def test_figures_that_cannot_be_drawn_cost_no_training(elsewhere, finished, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(
            "probvae.runs.figures.draw_run_figures", lambda *_: [importlib.import_module("no_such")]
        )
        words = ["train", "modèle.py", "--data", str(finished / "bits.npz"), *FEW, "--out", "drawn"]
        assert main(words) == 1
    assert "probvae train --resume drawn" in capsys.readouterr().err
    monkeypatch.setattr("probvae.runs.figures.draw_run_figures", lambda *_: [])
    assert main(["train", "--resume", "drawn"]) == 0
    assert Path("drawn", "report.html").is_file()


@pytest.mark.parametrize(
    "words", [["evaluate", "run", "--data", ""], ["train", ""], ["train", "modèle.py", "--out", ""]]
)
def test_an_empty_path_is_not_the_current_folder(moved, capsys, words):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert (
        "expects a name or a path; got an empty text. Is a variable unset?" in capsys.readouterr().err
    )


def test_other_data_are_refused_where_a_command_needs_none(moved, capsys):
    assert main(["sample", "run", "--data", "missing.npy"]) == 1
    assert "missing.npy; got nothing" in capsys.readouterr().err


def test_a_bound_that_is_not_finite_is_named():
    number = {
        "mean": np.nan,
        "standard_error": np.nan,
        "monte_carlo_error": 1.0,
        "num_particles": 5,
        "num_data": 6,
    }
    metrics = {"test_elbo": number, "test_log_prob": number | {"num_not_finite": 2}}
    assert "not finite for 2 test data" in describe_metrics(metrics, 6)[-1]
    assert len(describe_metrics(metrics | {"test_log_prob": number}, 6)) == 2


def test_model_files_show_percent_signs_and_may_begin_with_a_mark(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = MODEL.replace("Un petit", "100 % of %(prog)s, %d:").replace("*, ", "*, name: str = '50%', ")
    Path("percent.py").write_text(text, encoding="utf-8-sig")
    for command in ("train", "sweep"):
        with pytest.raises(SystemExit, match="0"):
            main([command, "percent.py", "--help"])
        shown = capsys.readouterr().out
        assert "100 % of %(prog)s, %d: mod" in shown
        assert "(default: 50%)" in shown


def test_the_package_names_the_encoding_of_all_text_that_it_reads_and_writes():
    root, text = Path(__file__).parent.parent / "probvae", []
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            function = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            ours_or_bytes = (
                "files.write_text",
                "write_text",
                "os.open",
                "checkpoints.open",
                "archive.open",
                "pillow.open",
            )
            if function.split(".")[-1] in ("open", "read_text", "write_text"):
                if function not in ours_or_bytes and not re.search("'[rw]b'", ast.unparse(node)):
                    text.append((path.relative_to(root), node))
    assert len(text) > 5
    for path, node in text:
        named = any(keyword.arg == "encoding" for keyword in node.keywords)
        assert named or "meminfo" in ast.unparse(node), f"{path}, line {node.lineno}"
