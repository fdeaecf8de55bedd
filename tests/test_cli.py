"""The command line: a run from its first line to its report, opened again by every command."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from numpyro import handlers

import probvae
from probvae import VAE, Fitted, History, fit, guides, likelihoods, nets, priors
from probvae.cli import main
from probvae.data import Data
from probvae.runs import Run, draw_run_figures, evaluation, open_run, training

ROOT = Path(__file__).parent.parent
VAMPPRIOR = str(ROOT / "models" / "vampprior.py")
TINY = '''
"""A small model, of the default optimizer: all its runs share what is compiled."""
from probvae import VAE, nets, priors

def tiny(event_shape, *, latent_dim: int = 3, hidden: tuple[int, ...] = (8,)):
    return VAE(event_shape=event_shape, latent_dim=latent_dim, prior=priors.VampPrior(components=3),
               encoder=nets.MLP(hidden), decoder=nets.MLP(hidden))
'''
FEW = ["--epochs", "2", "--latent-dim", "2", "--particles", "7", "--max-test", "5"]


def train(data, out, *more):
    model = data.with_name("tiny.py")
    return main(["train", str(model), "--data", str(data), "--out", str(out), *FEW, *more])


def write_grey(path):
    """Write grey images in bytes: what a Bernoulli takes only after binarisation."""
    grey = np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)
    labels = np.arange(60) % 3
    np.savez(path, train=grey[:40], valid=grey[40:50], test=grey[50:], test_labels=labels[50:])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "grey.npz"
    write_grey(path)
    path.with_name("tiny.py").write_text(TINY)
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A finished run, and what was printed."""
    out = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("probvae.cli.commands._say", lambda line: lines.append(str(line)))
        assert train(data, out) == 0
    return out, lines


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the finished run, to do with as one likes."""
    return shutil.copytree(trained[0], tmp_path / "run")


def test_train_prints_protocol_model_numbers_and_report(trained):
    out, lines = trained
    assert lines[0].startswith("data grey.npz: grey data of ")
    assert "dynamic binarisation" in lines[0]
    assert "binarised because Bernoulli expects 0 and 1 only" in lines[0]
    assert "q(z | u_k), k = 1..3" in lines[1]
    assert "fitted 2 epochs in" in lines[2]
    assert "(10 data, 10 particles" in lines[3]
    assert "(5 data, 7 particles; rows drawn from 10 by PCG64(0)" in lines[4]
    assert lines[4].startswith("test log p(x) >= -")
    assert lines[5] == f"report: {out / 'report.html'}"


def test_run_folder_holds_what_it_should(trained):
    out, _ = trained
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    figures = "curves interpolation latent_map pseudo_inputs reconstructions samples".split()
    files = "config.json fitted.safetensors metrics.csv metrics.json metrics.jsonl model.py report.html".split()
    assert names == {*files, *(f"figures/{name}.png" for name in figures)}
    config = json.loads((out / "config.json").read_text())
    assert config["command"].startswith("probvae train /")
    assert config["command"].endswith("--max-test 5")
    assert config["model"]["arguments"] == {"latent_dim": 2, "hidden": [8]}
    assert config["data"]["binarize"] == "dynamic"
    assert config["training"] == {
        "epochs": 2,
        "batch_size": 40,
        "objective": "ELBO()",
        "optimizer": "optax.adam(0.001)",
        "seed": 0,
    }
    assert {"python", "probvae", "jax", "numpyro", "flax"} <= config["versions"].keys()
    table = (out / "metrics.csv").read_text().splitlines()
    assert table[0].startswith("epoch,train_")
    assert len(table) == 3


def test_open_run_rebuilds_the_fitted_vae_and_its_data(trained):
    run = open_run(trained[0])
    assert run.fitted.vae.latent_dim == 2
    assert run.fitted.history.num_epochs == 2
    assert set(np.unique(run.data.test)) == {0, 1}
    metrics = json.loads((trained[0] / "metrics.json").read_text())
    key = jax.random.split(evaluation.derive_keys(0).evaluation)[0]
    elbo = run.fitted.elbo(run.data.test, rng_key=key, num_particles=10)
    assert metrics["test_elbo"]["mean"] == pytest.approx(elbo.mean, rel=1e-6)
    assert metrics["test_elbo"]["standard_error"] == pytest.approx(elbo.mean_standard_error)


def test_evaluate_prints_the_numbers_of_training_again(trained, capsys):
    assert main(["evaluate", str(trained[0])]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == trained[1][3:5]


def test_evaluate_takes_the_particles_and_rows_asked_for(trained, capsys):
    assert main(["evaluate", str(trained[0]), "--particles", "3", "--max-test", "99"]) == 0
    assert "(10 data, 3 particles; Monte Carlo" in capsys.readouterr().out.splitlines()[-1]


def test_sample_writes_arrays_and_a_picture_beside_earlier_ones(run, capsys):
    for name in ("samples", "samples-2"):
        assert main(["sample", str(run), "--num", "6", "--seed", "1"]) == 0
        assert capsys.readouterr().out.split() == [f"{run / name}.npz", f"{run / name}.png"]
    first, second = (np.load(run / f"{name}.npz") for name in ("samples", "samples-2"))
    assert first["x"].shape == first["mean"].shape == (6, 4, 4)
    assert first["z"].shape == (6, 2)
    np.testing.assert_array_equal(first["x"], second["x"])


def test_reconstruct_and_interpolate_write_what_the_fitted_vae_says(run):
    assert main(["reconstruct", str(run), "--num", "4"]) == 0
    assert main(["interpolate", str(run), "--start", "2", "--end", "5", "--num", "3"]) == 0
    opened = open_run(run)
    test, found = opened.data.test, np.load(run / "reconstructions.npz")
    np.testing.assert_array_equal(found["x"], test[:4])
    np.testing.assert_allclose(found["mean"], opened.fitted.reconstruct(test[:4]), atol=1e-5)
    path = np.load(run / "interpolation.npz")
    means = opened.fitted.reconstruct(test[[2, 5]])
    np.testing.assert_allclose(path["mean"][[0, 2]], means, atol=1e-5)
    assert (run / "reconstructions.png").exists()
    assert (run / "interpolation.png").exists()


def test_default_folders_are_numbered(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "_evaluate_run", lambda *_, **__: {})
    monkeypatch.setattr(training, "_write_report", lambda *_: Path("none"))
    monkeypatch.setattr(training, "describe_metrics", lambda *_: [])
    words = ["train", str(data.with_name("tiny.py")), "--data", str(data), *FEW]
    assert [main(words), main(words)] == [0, 0]
    made = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert made == ["tiny-grey", "tiny-grey-2"]


@pytest.mark.filterwarnings("ignore:the validation ELBO of epoch 1 is nan")
def test_loss_that_is_not_finite_keeps_the_last_good_vae(data, tmp_path, capsys):
    assert train(data, tmp_path / "run", "--learning-rate", "1e30", "--epochs", "3") == 1
    message = capsys.readouterr().err
    assert "the loss is not finite at step" in message
    assert f"epochs is saved as {tmp_path / 'run' / 'fitted.safetensors'}" in message
    assert "Traceback" not in message
    kept = open_run(tmp_path / "run").fitted
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept.values))


def test_interrupted_and_without_matplotlib_a_run_is_finished(data, tmp_path, monkeypatch, capsys):
    def interrupted(*given, epochs, **options):
        return fit(*given, epochs=epochs - 1, **options)

    monkeypatch.setattr(training, "fit", interrupted)
    monkeypatch.setattr("probvae.runs.figures.can_draw", lambda: False)
    assert train(data, tmp_path / "run") == 130
    told, report = capsys.readouterr().out, (tmp_path / "run" / "report.html").read_text()
    assert "fitted 1 epoch of 2, interrupted" in told
    assert "1 of 2" in report
    assert told.index("pip install 'probvae[plots]'") < told.index("fitted 1 epoch")
    assert "No figures were drawn" in report
    assert not (tmp_path / "run" / "figures").exists()


def test_interrupt_in_the_first_epoch_leaves_nothing(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "fit_plan", raising(KeyboardInterrupt))
    assert train(data, tmp_path / "new" / "run") == 130
    assert "interrupted" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_interrupt_after_training_says_where_the_fitted_vae_is(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "evaluate", raising(KeyboardInterrupt))
    assert train(data, tmp_path / "run") == 130
    assert f"the fitted VAE is saved in {tmp_path / 'run'}" in capsys.readouterr().err
    assert open_run(tmp_path / "run").fitted.history.num_epochs == 2


def raising(error):
    def raise_it(*_, **__):
        raise error

    return raise_it


def test_importing_probvae_needs_no_matplotlib():
    code = "import sys, probvae, probvae.cli; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_program_says_its_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"probvae {probvae.__version__}\n"


def test_program_runs_as_a_process(tmp_path):
    words = [sys.executable, "-m", "probvae"]
    failed = subprocess.run(
        [*words, "train", "none.py"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("probvae: none.py: expected a Python file")
    assert "Traceback" not in failed.stderr


def test_data_lists_the_known_sets_one_a_line(capsys, tmp_path):
    assert main(["data", "--data-dir", str(tmp_path)]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["digits"].startswith("found; ")
    assert lines["mnist"].startswith(f"not found: {tmp_path}")


def test_data_describes_one(capsys):
    assert main(["data", "digits"]) == 0
    assert "event shape  (8, 8)" in capsys.readouterr().out


def test_help_of_a_model_shows_its_arguments(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", VAMPPRIOR, "--help"])
    assert stop.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--latent-dim N (default: 16)" in shown
    assert "--hidden N,N (default: 300,300)" in shown
    assert "1705.07120" in shown


def first_weights(vae, x, context=None):
    """A fitted VAE without a fit: nothing is compiled."""
    programs = (handlers.seed(program, jax.random.key(0)) for program in (vae.guide, vae.model))
    traces = [handlers.trace(program).get_trace(x, context) for program in programs]
    sites = [site for trace in traces for site in trace.values()]
    values = {site["name"]: site["value"] for site in sites if site["type"] == "param"}
    return Fitted(vae, values, History({}, {}, {}))


def run_of(folder, **parts):
    random = np.random.default_rng(0)
    x = {split: random.normal(size=(6, 3)).astype(np.float32) for split in ("train", "test")}
    context = {split: random.normal(size=(6, 2)).astype(np.float32) for split in x}
    data = Data("told", **x, context=context)
    nothing = {"encoder": nets.Linear(), "decoder": nets.Linear()}
    gaussian = likelihoods.Gaussian()
    vae = VAE(event_shape=(3,), latent_dim=2, likelihood=gaussian, **nothing, **parts)
    fitted = first_weights(vae, *evaluation.select_batch(vae, data, "train")[:2])
    config = {"data": {"range": [-3.0, 3.0]}, "training": {"seed": 0}}
    return Run(folder, config, fitted, lambda: data)


def test_model_without_one_code_has_the_figures_that_it_can_have(tmp_path):
    run = run_of(tmp_path, prior=priors.TwoLevel(), posterior=guides.TwoLevelTopDown())
    shown = [figure.name for figure in draw_run_figures(run, jax.random.key(1))]
    assert shown == ["curves", "reconstructions", "samples"]


def test_context_comes_from_the_data(tmp_path):
    run = run_of(tmp_path, context_shape=(2,))
    train = evaluation.select_batch(run.fitted.vae, run.data, "train")
    np.testing.assert_array_equal(train.context, run.data.context["train"])
    shown = [figure.name for figure in draw_run_figures(run, jax.random.key(1))]
    assert shown == ["curves", "reconstructions", "samples", "latent_map"]
