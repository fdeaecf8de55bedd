"""What goes wrong at the command line: exit code, message, and nothing new on disk."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_cli import FEW, TINY, write_grey

from probvae.cli import main
from probvae.runs.run import NEW_DATA

VAMPPRIOR = Path(__file__).parent.parent / "models" / "vampprior.py"

FILES = {
    "none.txt": "x = 1\n",
    "no_function.py": "from math import sqrt\nx = 1\nclass A: pass\ndef _helper(): pass\n",
    "two.py": "def a(event_shape): pass\ndef b(event_shape): pass\n",
    "syntax.py": "def a(event_shape):\n    return (\n",
    "imports.py": "\nimport nothing_of_this_name\n",
    "raises.py": "x = 1\ny = x / 0\ndef a(event_shape): pass\n",
    "late.py": "def a(event_shape):\n    return {}['latent']\n",
    "returns.py": "def a(event_shape):\n    return 3\n",
    "no_shape.py": "def a(*, latent_dim: int = 2):\n    return 3\n",
    "positional.py": "def a(event_shape, latent_dim: int = 2):\n    return 3\n",
    "taken.py": "def a(event_shape, *, seed: int = 2):\n    return 3\n",
    "latin.py": b"# \xe9\ndef a(event_shape): pass\n",
    "damaged.npz": b"PK\x03\x04 nothing",
    "file": "a regular file\n",
    "other/notes.txt": "mine\n",
}
TOGETHER = ["--coordinator", "127.0.0.1:1", "--processes", "2"]

ERRORS = [
    # the model file
    (["train", "missing.py"], 1, "missing.py: expected a Python file .* no such file"),
    (["train", "other"], 1, "other: expected a Python file .* got a folder"),
    (["train", "no_function.py"], 1, "no_function.py: expected exactly one .* got none. Example"),
    (["train", "two.py"], 1, "two.py: expected exactly one public function .* got 2: a, b"),
    (["train", "syntax.py"], 1, "syntax.py, line 2: .* Expected a Python file"),
    (["train", "imports.py"], 1, "imports.py, line 2: No module named 'nothing_of_this_name'"),
    (["train", "raises.py"], 1, "raises.py, line 2: ZeroDivisionError"),
    (["train", "late.py"], 1, "late.py, line 2: KeyError"),
    (["train", "returns.py"], 1, "returns.py: a must return a probvae.VAE .* got 3"),
    (["train", "no_shape.py"], 1, r"no_shape.py: expected a\(event_shape, \*"),
    (["train", "positional.py"], 1, "Write an asterisk after event_shape"),
    (["train", "taken.py"], 1, "taken.py: the argument 'seed' of a is also an option"),
    (["train", "latin.py"], 1, "latin.py"),
    (["train", "none.txt"], 1, "expected exactly one public function"),
    # its arguments
    (["train", "M", "--latent-dim", "-1"], 1, "latent_dim expects a positive integer; got -1"),
    (["train", "M", "--latent_dim", "0"], 1, "latent_dim expects a positive integer; got 0"),
    (["train", "M", "--hidden", "0"], 1, r"GatedMLP\(hidden=...\) expects .* got \(0,\)"),
    (["train", "M", "--components", "0"], 1, "components"),
    (
        ["train", "M", "--hidden", "a,b"],
        2,
        "argument --hidden: expected numbers with commas between them",
    ),
    (["train", "M", "--latent-dim", "x"], 2, "argument --latent-dim: invalid int value: 'x'"),
    (
        ["train", "M", "--latent-dims", "3"],
        2,
        r"unknown: --latent-dims; did you mean --latent-dim\?\n$",
    ),
    # the options
    (["train", "M", "--epoch", "3"], 2, r"unknown: --epoch; did you mean --epochs\?\n$"),
    (["train", "M", "--zzz=1"], 2, "unknown: --zzz=1; options: .*--epochs"),
    (["train", "M", "--epochs", "0"], 2, "argument --epochs: expected a positive integer; got '0'"),
    (
        ["train", "M", "--epochs", "many"],
        2,
        "argument --epochs: expected a positive integer; got 'many'",
    ),
    (["train", "M", "--particles", "0"], 2, "argument --particles: expected a positive integer"),
    (
        ["train", "M", "--batch-size", "9999"],
        1,
        "batch_size=9999 is larger than the data",
    ),
    (["train", "M", "--binarize", "grey"], 2, "argument --binarize: invalid choice: 'grey'"),
    (["train", "M", "--binarize", "none"], 1, "likelihood Bernoulli expects boolean .* Binarise"),
    (["train", "M", "--seed", "-1"], 2, "argument --seed: expected an integer from 0"),
    (
        ["train", "M", "--learning-rate", "-1"],
        2,
        "argument --learning-rate: expected a finite number > 0",
    ),
    (["train"], 2, "required: MODEL.py"),
    # the machine
    (["train", "M", "--device", "abacus"], 2, "argument --device: invalid choice: 'abacus'"),
    (["train", "M", "--device", "tpu"], 2, r'JAX finds no such device.*pip install -U "jax\[tpu\]"'),
    (["evaluate", "run", "--device", "tpu"], 2, "--device tpu: JAX finds no such device"),
    (["train", "M", "--devices", "99"], 1, "--devices expects 1 to 1, .* or all; got 99"),
    (["train", "M", "--devices", "two"], 2, "--devices expects a number, or all; got two"),
    (
        ["train", "M", "--process", "1"],
        2,
        "use --coordinator .* --processes N and --process I together",
    ),
    (["train", "M", *TOGETHER, "--process", "2"], 2, "--process expects 0 to 1; got 2"),
    (["train", "M", *TOGETHER, "--process", "0", "--devices", "4"], 2, "omit --devices"),
    (["trian", "M"], 2, r"unknown command: trian; did you mean train\?\n$"),
    ([], 2, "required: COMMAND"),
    # the data
    (["train", "M", "--data", "mnits"], 1, "digits, .*'mnits'. Did you mean 'mnist'"),
    (
        ["train", "M", "--data", "mnist", "--data-dir", "other"],
        1,
        "'mnist': expected its files in 'other'",
    ),
    (["train", "M", "--data", "missing.npy"], 1, "expected a file or folder at .*missing.npy"),
    (["train", "M", "--data", "damaged.npz"], 1, "cannot read damaged.npz"),
    (["train", "M", "--data", "real.npy"], 1, "likelihood Bernoulli expects boolean"),
    (["data", "mnits"], 1, "Did you mean 'mnist'"),
    # the folder
    (["train", "M", "--out", "file/run"], 1, "file/run: cannot write a run there"),
    (["train", "M", "--out", "file"], 1, "file: cannot write a run there"),
    (["train", "M", "--out", "other"], 1, r"other contains other files \(notes.txt\)"),
    (["train", "M", "--out", "run"], 1, "run contains a run of models/x.py on digits"),
    (["evaluate", "other"], 1, "other: expected the folder of a run .* got no config.json"),
    (["sample", "missing"], 1, "missing: expected the folder of a run .* no such folder"),
    (["reconstruct", "file"], 1, "file: expected the folder of a run"),
    (["interpolate", "other"], 1, "other: expected the folder of a run"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of files that are wrong in one way each."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    np.save(tmp_path / "real.npy", np.random.default_rng(0).normal(size=(20, 3)))
    (tmp_path / "run").mkdir()
    config = {"model": {"file": "models/x.py"}, "data": {"name": "digits"}, "date": "2025-01-01"}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PROBVAE_DATA", raising=False)
    return tmp_path


def held(folder):
    return {path: path.is_file() and path.read_bytes() for path in sorted(folder.rglob("*"))}


def outcome(words):
    try:
        return main(words)
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize(("words", "code", "message"), ERRORS, ids=lambda value: str(value)[:60])
def test_error_says_what_to_do_and_leaves_the_disk_alone(folder, capsys, words, code, message):
    before = held(folder)
    assert outcome([str(VAMPPRIOR) if word == "M" else word for word in words]) == code
    told = capsys.readouterr()
    assert re.search(message, told.err), told.err
    assert "Traceback" not in told.err
    assert told.err.count("\n") <= (1 if code == 1 else 2), "one line of usage and the message"
    assert held(folder) == before


def test_debug_shows_the_traceback(folder, capsys):
    assert main(["train", "two.py", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run on a file of data."""
    base = tmp_path_factory.mktemp("finished")
    (base / "tiny.py").write_text(TINY)
    write_grey(base / "grey.npz")
    words = ["train", str(base / "tiny.py"), "--data", str(base / "grey.npz"), *FEW]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probvae.runs.figures.can_draw", lambda: False)
        assert main([*words, "--out", str(base / "run")]) == 0
    return base


def edited(name, old, new):
    def edit(base):
        path = base / "run" / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return edit


def replaced(name, content):
    return lambda base: (base / name).write_bytes(content)


CHANGES = [
    (edited("model.py", "(hidden)", "((5,))"), "was saved from another VAE.*model.py or the arg"),
    (edited("model.py", "return VAE", "return dict"), "model.py: tiny must return"),
    (edited("model.py", "def tiny", "def"), "model.py, line 5"),
    (edited("model.py", "latent_dim: int = 3", "n: int = 3"), "unexpected .*'latent_dim'"),
    (edited("config.json", '"latent_dim": 2', '"latent_dim": 3'), "saved from another VAE"),
    (edited("config.json", '"training"', '"trained"'), "config.json is damaged .*training"),
    (edited("config.json", "{", ""), "config.json is damaged .*JSONDecodeError"),
    (replaced("run/fitted.safetensors", b"x"), "fitted.safetensors is corrupt"),
    (lambda base: (base / "run/fitted.safetensors").unlink(), "got no fitted.safetensors there"),
    (
        lambda base: [(base / "run" / name).unlink() for name in ("fitted.safetensors", "report.html")],
        "training has not ended.*resume it: probvae train --resume .*run",
    ),
    (lambda base: (base / "run/model.py").unlink(), "got no model.py there"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_run_that_was_changed_says_so(finished, tmp_path, capsys, change, message):
    base = shutil.copytree(finished, tmp_path / "copy")
    change(base)
    before = held(base)
    assert main(["evaluate", str(base / "run")]) == 1
    told = capsys.readouterr().err
    assert re.search(message, told), told
    assert told.count("\n") == 1
    assert held(base) == before


def test_data_that_were_changed_say_so(finished, capsys):
    path = finished / "grey.npz"
    original = path.read_bytes()
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {"test": arrays["test"][::-1]})
    try:
        assert main(["evaluate", str(finished / "run")]) == 1
    finally:
        path.write_bytes(original)
    told = capsys.readouterr().err
    assert "have changed since the run" in told
    assert f"To score new rows, use Python: probvae.runs.open_run({str(finished / 'run')!r})" in told
    assert "train again" not in told
    assert Path(__file__).parent.parent.joinpath(NEW_DATA).is_file()
    assert NEW_DATA in told


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["sample", "--num", "0"], 2, "argument --num: expected a positive integer"),
        (["evaluate", "--particles", "0"], 2, "argument --particles: expected a positive integer"),
        (["evaluate", "--seed", "-1"], 2, "argument --seed: expected an integer"),
        (["interpolate", "--end", "12"], 1, "expect rows of the test data, 0 to 9; got 0 and 12"),
    ],
)
def test_commands_on_a_run_check_their_numbers(finished, capsys, words, code, message):
    before = held(finished)
    assert outcome([words[0], str(finished / "run"), *words[1:]]) == code
    assert re.search(message, capsys.readouterr().err)
    assert held(finished) == before
