"""`probvae compare-variants`: its folder, that each training is that of `train`, names and errors."""

import csv
import json
import re

import numpy as np
import pytest
from test_cli import write_grey
from test_cli_compare import PLAIN
from test_cli_errors import held, outcome
from test_cli_sweep import TINY

from probvae.cli import main
from probvae.cli.model_options import read_variants
from probvae.cli.parser import parse_arguments

FEW = ["--data", "grey.npz", "--epochs", "2", "--particles", "7", "--max-test", "8"]
GREY = '''
"""A model of grey values, not of bits."""
from probvae import VAE, likelihoods, nets

def grey(event_shape):
    likelihood = likelihoods.ContinuousBernoulli()
    return VAE(event_shape=event_shape, latent_dim=2, likelihood=likelihood, encoder=nets.Linear(),
               decoder=nets.Linear())
'''


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder of data and models."""
    base = tmp_path_factory.mktemp("variants")
    for name, text in {"tiny": TINY, "plain": PLAIN, "grey": GREY}.items():
        (base / f"{name}.py").write_text(text)
    (base / "two models.py").write_text(TINY)
    write_grey(base / "grey.npz")
    arrays = dict(np.load(base / "grey.npz"))
    np.savez(base / "two.npz", train=arrays["train"], test=arrays["test"])
    return base


@pytest.mark.slow
def test_the_folder_the_table_and_the_trainings(here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    words = [
        "compare-variants",
        "tiny.py",
        "tiny.py --latent_dim 1",
        "--seeds",
        "2",
        "--seed",
        "3",
        *FEW,
    ]
    assert main(words) == 0
    printed = capsys.readouterr().out
    folder = here / "runs" / "variants-tiny-grey"
    names = {path.name for path in folder.iterdir()}
    models = {"model-1-tiny.py", "model-2-tiny-latent_dim-1.py"}
    assert names == {"config.json", "variants.csv", "variants.txt", "variants.png", *models}
    assert (folder / "variants.txt").read_text().rstrip("\n") in printed
    with (folder / "variants.csv").open() as file:
        rows = {(row["variant"], row["seed"]): row for row in csv.DictReader(file)}
    assert list(rows) == [(n, s) for n in ("tiny", "tiny --latent_dim 1") for s in ("3", "4")]
    gain = [float(rows["tiny --latent_dim 1", s]["difference"]) for s in ("3", "4")]
    cell = re.escape(f"{np.mean(gain):+.3f} +- ")
    assert re.search(f"tiny --latent_dim 1 .* {cell}", printed)
    config = json.loads((folder / "config.json").read_text())
    assert config["seeds"] == [3, 4]
    assert config["variants"]["tiny --latent_dim 1"]["model"]["arguments"] == {"latent_dim": 1}
    assert main(["train", "tiny.py", "--latent-dim", "1", "--seed", "4", *FEW, "--out", "alone"]) == 0
    metrics = json.loads((here / "alone" / "metrics.json").read_text())
    own = float(rows["tiny --latent_dim 1", "4"]["test_log_prob"])
    assert own == pytest.approx(metrics["test_log_prob"]["mean"], rel=1e-4)
    assert main([*words, "--out", str(folder)]) == 1
    assert "contains a comparison of tiny, tiny --latent_dim 1" in capsys.readouterr().err


def test_a_variant_is_a_file_with_its_options(here, monkeypatch):
    monkeypatch.chdir(here)
    texts = ["tiny.py", "tiny.py --latent_dim 1", "two models.py", "tiny.py", "tiny.py"]
    variants = read_variants(texts)
    assert list(variants) == ["tiny", "tiny --latent_dim 1", "two models", "tiny (2)", "tiny (3)"]
    assert [dict(each.arguments) for each in variants.values()] == [{}, {"latent_dim": 1}, {}, {}, {}]
    assert len({id(variants[name].file) for name in ("tiny", "tiny (2)")}) == 1
    told = parse_arguments(["compare-variants", "a.py", "b.py --x 1", "--seeds", "2"])
    assert (told.variants, told.seeds, told.num_particles) == (["a.py", "b.py --x 1"], 2, 1000)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["tiny.py"], 1, "expects two or more variants; got 1.* probvae sweep MODEL.py --seeds 5"),
        (["tiny.py", "none.py"], 1, "none.py: expected a Python file .* no such file"),
        (["tiny.py", "tiny.py --wide 3"], 2, "unrecognized arguments: --wide 3"),
        (["tiny.py", "tiny.py --latent-dim x"], 2, "argument --latent-dim: invalid int value: 'x'"),
        (["tiny.py", ""], 2, "expects a name or a path; got an empty text"),
        (["tiny.py", "plain.py"], 1, r"has none: .* \(the model 'plain'\)"),
        (["tiny.py", "grey.py"], 1, "'tiny': probabilities; 'grey': densities"),
        (["tiny.py", "tiny.py", "--seeds", "0"], 2, "argument --seeds: expected a positive integer"),
        (["tiny.py", "tiny.py", "--seed", "4294967295"], 1, "seed expects an integer from 0 to"),
        (["tiny.py", "tiny.py", "--data", "two.npz"], 1, "needs validation data; two.npz has none"),
    ],
    ids=str,
)
def test_errors_come_before_any_training_and_leave_the_disk_alone(
    here, monkeypatch, capsys, words, code, message
):
    monkeypatch.chdir(here)
    monkeypatch.setattr("probvae.runs.variants.compare_trials", lambda *_, **__: pytest.fail("trained"))
    before = held(here)
    assert outcome(["compare-variants", "--data", "grey.npz", *words]) == code
    told = capsys.readouterr().err
    assert re.search(message, " ".join(told.split())), told
    assert held(here) == before


def test_an_interrupt_leaves_nothing_and_returns_130(here, monkeypatch, capsys, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt("in the training of tiny: nothing to compare")

    monkeypatch.chdir(here)
    monkeypatch.setattr("probvae.runs.variants.compare_trials", interrupted)
    out = tmp_path / "new" / "comparison"
    assert main(["compare-variants", "tiny.py", "tiny.py", *FEW, "--out", str(out)]) == 130
    assert "interrupted in the training of tiny" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
