"""What the command line prints: warnings, interrupts, data sets, defaults, and fits without a use."""

import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from test_cli import TINY

from probvae import likelihoods
from probvae.cli import commands, entry_point, main
from probvae.column_checks import describe_useless_fit
from probvae.data import load
from probvae.runs.folder import new_folder

X = np.random.default_rng(0).normal(size=(50, 2)) * [1.0, 1e6]


def test_a_warning_is_one_line_without_a_place_in_the_source(monkeypatch, capsys):
    def warn(_):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("first line\nsecond line", stacklevel=1)

    monkeypatch.setattr(commands, "data", warn)
    assert main(["data"]) == 0
    assert capsys.readouterr().err == "probvae: warning: first line second line\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, entry_point.TerminatedError])
def test_an_interrupted_program_ends_without_the_exit_of_python(monkeypatch, tmp_path, error):
    def interrupt(_):
        with new_folder(tmp_path / "run", name="run"):
            raise error("in the first epoch.")

    codes = []
    monkeypatch.setattr(commands, "data", interrupt)
    monkeypatch.setattr(entry_point, "_end_process", codes.append)
    monkeypatch.setattr(sys, "argv", ["probvae", "data"])
    code = main()
    assert codes == [code]
    assert code == (143 if error is entry_point.TerminatedError else 130)
    assert not (tmp_path / "run").exists()
    main(["data"])
    assert len(codes) == 1, "in a Python process, main returns"


def test_an_interrupt_says_that_the_files_are_removed(monkeypatch, tmp_path, capsys):
    def interrupt(_):
        with new_folder(tmp_path / "run", name="run"):
            raise KeyboardInterrupt("in the first epoch. Nothing is saved.")

    monkeypatch.setattr(commands, "data", interrupt)
    assert main(["data"]) == 130
    told = f"Nothing is saved. The files of this run in {tmp_path / 'run'} are removed.\n"
    assert capsys.readouterr().err.endswith(told)


# `python -m probvae`, which hears interrupts also where its parent ignores them
HEAR = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("probvae", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("try_", range(2))
def test_ctrl_c_twice_in_the_first_epoch_ends_with_130(tmp_path, try_):
    """Python's own exit crashed here, as XLA was still computing the epoch."""
    (tmp_path / "tiny.py").write_text(TINY.replace("(8,)", "(500, 500)"))
    rows = np.random.default_rng(0).integers(0, 256, (60_000, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "grey.npy", rows)
    words = [sys.executable, "-c", HEAR, "train", "tiny.py", "--data", "grey.npy", "--out", "run"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "run" / "checkpoints").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1]
    assert process.returncode == 130, told[-500:]
    assert (tmp_path / "run").exists() == ("are removed" not in told)


def test_the_data_sets_say_what_load_and_train_make_of_grey_levels(capsys):
    assert main(["data"]) == 0
    assert "8x8, grey levels 0..16\n" in capsys.readouterr().out
    assert main(["data", "digits"]) == 0
    told = capsys.readouterr().out
    assert "static binarisation" in told
    assert "`probvae train` draws new binary pixels at each step" in told


def test_a_file_of_real_numbers_is_described_once(tmp_path):
    np.save(tmp_path / "x.npy", X)
    assert load(tmp_path / "x.npy").description.startswith(
        f"real data of {tmp_path / 'x.npy'}; as stored;"
    )


def test_help_shows_the_default_epochs_and_batch_size(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "training data (default: the model file's, else 100)" in words
    assert "rows per step (default: the model file's, else 128)" in words


def test_an_absurd_elbo_of_unscaled_columns_gives_a_last_note(tmp_path, capsys):
    normal = likelihoods.Gaussian()
    assert "probably useless" in describe_useless_fit(normal, X, -1e9)
    assert describe_useless_fit(normal, X, -100.0) is None
    assert describe_useless_fit(normal, X / X.std(0), -1e9) is None
    np.save(tmp_path / "x.npy", X * [1e6, 1.0])
    text = TINY.replace(
        "return VAE(", "return VAE(likelihood=likelihoods.Gaussian(likelihoods.FixedScale(1.0)), "
    )
    (tmp_path / "tiny.py").write_text(text.replace("import VAE", "import VAE, likelihoods"))
    words = ["--epochs", "1", "--batch-size", "20", "--particles", "2", "--out", str(tmp_path / "run")]
    assert main(["train", str(tmp_path / "tiny.py"), "--data", str(tmp_path / "x.npy"), *words]) == 0
    told = capsys.readouterr().out
    assert "fitted 1 epoch in" in told
    assert "this fit is probably useless" in told.splitlines()[-1]
