"""A model function's arguments as options, and the settings they lead to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from probvae import VAE, DataParallel, Fitted, History, Variant
from probvae.cli import main
from probvae.cli.model_options import model_arguments
from probvae.cli.parser import parse_arguments
from probvae.runs import Settings, load_model_file, training
from probvae.runs.plan import resolve
from probvae.runs.settings_checks import check_settings

MODEL = '''
"""A model of many arguments."""
from probvae import VAE, nets

def many(event_shape, *, latent_dim: int = 4, hidden: tuple[int, ...] = (8,), rate=0.5,
         name: str = "a", deep: bool = False, weights: tuple[float, ...] = (), activation=abs):
    return VAE(event_shape=event_shape, latent_dim=latent_dim, encoder=nets.MLP(hidden), decoder=nets.MLP(hidden))
'''


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "many.py"
    path.write_text(MODEL)
    return str(path)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {}),
        (["--latent-dim", "3"], {"latent_dim": 3}),
        (["--latent_dim=3"], {"latent_dim": 3}),
        (["--hidden", "300,200"], {"hidden": (300, 200)}),
        (["--hidden", "(300,)"], {"hidden": (300,)}),
        (["--hidden", ""], {"hidden": ()}),
        (["--weights", "0.5,1e-3"], {"weights": (0.5, 1e-3)}),
        (["--rate", "1e-2"], {"rate": 0.01}),
        (["--deep"], {"deep": True}),
        (["--no-deep", "--name", "b_c"], {"deep": False, "name": "b_c"}),
    ],
)
def test_options_become_arguments(model, words, expected):
    assert model_arguments(parse_arguments(["train", model, *words])) == expected


def test_options_may_come_before_the_model_file(model):
    arguments = parse_arguments(["train", "--latent-dim", "5", model, "--batch_size", "7"])
    assert (arguments.model, arguments.batch_size) == (model, 7)
    assert model_arguments(arguments) == {"latent_dim": 5}


def test_arguments_of_other_kinds_keep_their_default(model):
    options = {option.name: option.kind for option in load_model_file(model).options}
    assert "activation" not in options
    assert options["rate"] is float


def test_model_file_gives_what_its_function_makes(model):
    file = load_model_file(model)
    assert (file.name, file.summary) == ("many", "A model of many arguments.")
    variant = file.build((4, 4), latent_dim=2)
    assert isinstance(variant, Variant)
    assert isinstance(variant.vae, VAE)
    assert variant[1:] == (None,) * 5


def test_model_file_leaves_no_bytecode(model, tmp_path):
    load_model_file(model)
    assert [path.name for path in tmp_path.iterdir()] == ["many.py"]


def test_string_annotations_are_read(tmp_path):
    path = tmp_path / "later.py"
    path.write_text(f"from __future__ import annotations\n{MODEL.split(chr(10), 2)[2]}")
    assert {"latent_dim", "hidden"} <= {option.name for option in load_model_file(path).options}


@pytest.mark.parametrize(
    ("likelihood", "binarize", "chosen", "values"),
    [
        ("Bernoulli", "auto", "dynamic", {0, 1}),
        ("Gaussian", "auto", None, None),
        ("Bernoulli", "static", "static", {0, 1}),
        ("Gaussian", "dynamic", "dynamic", {0, 1}),
    ],
)
def test_grey_data_are_binarised_when_the_likelihood_takes_nothing_else(
    tmp_path, likelihood, binarize, chosen, values
):
    path = tmp_path / "plain.py"
    path.write_text(
        "from probvae import VAE, likelihoods\ndef plain(event_shape):\n"
        f"    return VAE(event_shape=event_shape, latent_dim=2, likelihood=likelihoods.{likelihood}())\n"
    )
    plan = resolve(Settings(path, binarize=binarize))
    assert plan.binarize == chosen
    found = set(plan.data.test.ravel().tolist())
    assert found == values if values else len(found) > 2


def test_settings_go_before_the_models_and_these_before_defaults(model, tmp_path):
    def sizes(path, **options):
        plan = resolve(Settings(path, **options))
        return plan.epochs, plan.batch_size

    assert sizes(model) == (100, 128)
    advised = tmp_path / "advised.py"
    variant = MODEL.replace("import VAE", "import VAE, Variant").replace("return VAE", "vae = VAE")
    advised.write_text(f"{variant}    return Variant(vae, epochs=7, batch_size=5000)\n")
    assert sizes(advised) == (7, len(resolve(Settings(advised)).data.train))
    assert sizes(advised, epochs=3, batch_size=9) == (3, 9)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 0}, "epochs expects a positive integer; got 0"),
        ({"num_particles": -1}, "num_particles expects a positive integer; got -1"),
        ({"max_test": 0}, "max_test expects a positive integer; got 0"),
        ({"seed": -1}, "seed expects an integer from 0"),
        ({"seed": 2**32}, "seed expects an integer from 0"),
        ({"learning_rate": 0.0}, "learning_rate expects a finite number > 0"),
        ({"learning_rate": float("nan")}, "learning_rate expects a finite number > 0"),
    ],
)
def test_settings_that_would_fail_after_training_fail_before(changed, message):
    with pytest.raises(ValueError, match=message):
        check_settings(Settings("model.py", **changed))


def test_a_gpu_that_is_not_there_is_named_with_the_line_that_installs_it(model, monkeypatch, capsys):
    def none(backend):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "local_devices", none)
    for device in ("gpu", "cuda"):
        with pytest.raises(SystemExit) as stop:
            main(["train", model, "--device", device])
        assert stop.value.code == 2
        told = capsys.readouterr().err
        assert told.startswith(
            f"probvae: --device {device}: JAX finds no such device, only cpu. Install"
        )
        assert 'pip install -U "jax[cuda13]"' in told


def test_a_device_that_is_there_is_the_one_that_is_used(model, monkeypatch, tmp_path):
    used = []
    monkeypatch.setattr(
        training, "fit", lambda *_, devices, **__: used.append((jnp.ones(()), devices)) or 1 / 0
    )
    words = ["train", model, "--binarize", "auto", "--out", str(tmp_path / "run")]
    assert main([*words, "--device", "cpu"]) == 1
    assert main([*words, "--devices", "all"]) == 1
    assert [devices for _, devices in used] == [None, DataParallel()]
    assert used[0][0].device == jax.devices("cpu")[0]


def test_the_others_take_part_and_write_nothing(model, monkeypatch, tmp_path):
    asked = []

    epochs = 3

    def fit(vae, train, **told):
        asked.append(told)
        return Fitted(vae, {}, History({}, {"loss": np.zeros(epochs)}, {}))

    monkeypatch.setattr(training, "fit", fit)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *told, **_: asked.append(told))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    words = ["--coordinator", "host:1", "--processes", "2", "--process", "1", "--epochs", "3"]
    assert main(["train", model, *words]) == 0
    epochs = 2  # Ctrl-C ended all processes after the second
    assert main(["train", model, *words]) == 130
    assert asked[0] == ("host:1", 2, 1)
    assert (asked[1]["devices"], asked[1]["epochs"]) == (DataParallel(), 3)
    assert sorted(tmp_path.rglob("*")) == before
