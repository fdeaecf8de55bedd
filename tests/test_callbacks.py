"""What is called after every epoch: what it is given, and that nothing of it costs the fit."""

import json
import re
import sys
import types

import numpy as np
import pytest
from test_checkpoints import assert_same, at, plain
from tqdm import tqdm

from probvae import callbacks, progress
from probvae.training.callbacks import Epoch


def epochs(*numbers):
    return [Epoch(n, {"loss": 2.0 * n, "kl": 0.5}, {"elbo": -float(n)}, 0.1) for n in numbers]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def whole():
    """A fit, and what its callback was given."""
    seen = []
    return plain(callbacks=(seen.append,)), seen


def test_a_callback_is_given_the_rows_of_the_history(whole):
    fitted, seen = whole
    assert [epoch.number for epoch in seen] == [1, 2, 3, 4, 5, 6]
    for index, epoch in enumerate(seen):
        for split in ("train", "validation"):
            means = {name: float(v[index]) for name, v in getattr(fitted.history, split).items()}
            assert getattr(epoch, split) == means
            assert epoch.metrics[f"{split}_elbo"] == means["elbo"]
        assert 0.0 < epoch.metrics["seconds"] == epoch.seconds < 60.0


@pytest.mark.slow
def test_without_validation_there_are_none_of_its_numbers():
    seen = []
    plain(epochs=1, validation=None, callbacks=(seen.append,))
    assert seen[0].validation == {}
    assert set(seen[0].metrics) == {f"train_{name}" for name in seen[0].train} | {"seconds"}


def test_one_that_fails_is_told_of_once_and_left_out_and_the_fit_is_the_same(whole):
    calls, after = [], []

    def fails(epoch):
        calls.append(epoch.number)
        if epoch.number == 2:
            raise OSError("the server is gone")

    with pytest.warns(UserWarning, match="fails.* after epoch 2 with OSError: the server is") as told:
        fitted = plain(callbacks=(fails, after.append))
    assert len(told) == 1
    assert (calls, len(after)) == ([1, 2], 6)
    assert_same(fitted, whole[0])


def test_an_interrupt_in_a_callback_ends_the_run_after_that_epoch():
    def stop(epoch):
        if epoch.number == 3:
            raise KeyboardInterrupt

    assert plain(callbacks=(stop,)).history.num_epochs == 3


def test_a_run_that_goes_on_has_each_epoch_once_in_its_lines(whole, tmp_path):
    path = tmp_path / "logs" / "metrics.jsonl"
    plain(epochs=2, checkpoints=at(tmp_path / "kept"), callbacks=(callbacks.JSONLines(path),))
    beyond = json.dumps({"epoch": 3, "train_elbo": 0.0}) + "\n" + '{"epoch": 4, "tra'
    path.write_text(path.read_text() + beyond)  # the process was killed before a checkpoint
    plain(checkpoints=at(tmp_path / "kept"), callbacks=(callbacks.JSONLines(path),))
    assert [line["epoch"] for line in lines(path)] == [1, 2, 3, 4, 5, 6]
    assert [line["validation_elbo"] for line in lines(path)] == list(
        whole[0].history.validation["elbo"]
    )


def test_lines_are_begun_anew_by_another_run_and_hold_no_nan(tmp_path):
    write = callbacks.JSONLines(tmp_path / "m.jsonl")
    for epoch in (*epochs(1, 2, 3), Epoch(1, {"loss": np.nan}, {}, 0.5)):
        write(epoch)
    assert lines(tmp_path / "m.jsonl") == [{"epoch": 1, "train_loss": None, "seconds": 0.5}]


def test_a_damaged_line_is_left_out(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"epoch": 1}\n{"epo\n[]\n{"epoch": 3}\n{"epoch": 2}')
    callbacks.JSONLines(path)(epochs(4)[0])
    assert [line["epoch"] for line in lines(path)] == [1, 3, 4]


def test_tensorboard_is_given_every_number(monkeypatch, tmp_path):
    written = []

    class SummaryWriter:
        def __init__(self, folder, flush_secs):
            assert folder == str(tmp_path)

        def add_scalar(self, *told):
            written.append(told)

    there = types.SimpleNamespace(SummaryWriter=SummaryWriter)
    monkeypatch.setitem(sys.modules, "tensorboardX", there)
    callbacks.TensorBoard(tmp_path)(epochs(7)[0])
    assert written == [
        ("train/loss", 14.0, 7),
        ("train/kl", 0.5, 7),
        ("validation/elbo", -7.0, 7),
        ("seconds", 0.1, 7),
    ]


def test_tensorboard_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'pip install "probvae\[tensorboard\]"'):
        callbacks.TensorBoard(tmp_path)


def test_in_a_log_file_there_is_a_line_now_and_then(monkeypatch, capsys):
    now = iter(range(0, 10_000, 12))  # seconds: each epoch takes 12 or more
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: next(now)))
    fitted = plain(epochs=5, progress=True)
    told = capsys.readouterr().err
    assert "\r" not in told
    assert [line.split(" [")[0] for line in told.splitlines()] == ["epoch 3/5", "epoch 5/5"]
    assert f"validation ELBO {fitted.history.validation['elbo'][-1]:.2f}" in told.splitlines()[-1]
    plain(progress=False)
    assert capsys.readouterr().err == ""


def test_what_is_soon_done_says_nothing_in_a_log_file(capsys):
    assert list(progress.progress_bar(range(3), unit="block")) == [0, 1, 2]
    plain(epochs=2, progress=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("tty", "module", "kind"),
    [
        (True, "io", tqdm),
        (False, "io", progress.ProgressLines),
        (False, "ipykernel.iostream", progress.NotebookLine),
    ],
)
def test_terminals_notebooks_and_log_files_have_their_own_progress(monkeypatch, tty, module, kind):
    stream = type("Stream", (), {"isatty": lambda _: tty, "__module__": module})()
    monkeypatch.setattr(sys, "stderr", stream)
    assert type(progress.progress_bar(disable=True)) is kind


class Cell:
    """The output of a notebook cell: one text per display, as a front end keeps them."""

    def __init__(self, monkeypatch):
        self.texts, self.changes = [], 0
        stream = type("Stream", (), {"isatty": lambda _: False, "__module__": "ipykernel.iostream"})()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setitem(sys.modules, "IPython.display", self)

    def display(self, content, *, raw, display_id):
        assert raw
        assert display_id
        self.texts.append(content["text/plain"])
        return self

    def update(self, content, *, raw):
        self.changes += 1
        self.texts[-1] = content["text/plain"]


def test_a_fit_leaves_one_line_in_a_notebook(monkeypatch):
    cell = Cell(monkeypatch)
    fitted = plain(epochs=3, progress=True)
    (line,) = cell.texts
    assert re.match(r"3 epochs, \d+\.\d s, validation ELBO", line)
    assert f"{fitted.history.validation['elbo'][-1]:.2f}" in line
    assert fitted.history.describe_kept_epoch() in line
    plain(progress=False)
    assert len(cell.texts) == 1


def test_a_notebook_shows_a_bar_meanwhile_and_no_short_loops(monkeypatch):
    cell = Cell(monkeypatch)
    list(progress.progress_bar(range(3), unit="chunk", desc="reading x"))
    assert cell.texts == []
    now = iter(range(1000))
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: next(now)))
    texts = []
    for _ in progress.progress_bar(range(3), unit="chunk", desc="reading x"):
        texts += cell.texts[:1]
    assert texts[0].startswith("reading x: chunk 1/3 |████████")
    assert cell.texts == ["reading x: 3 chunks, 7.0 s"]
