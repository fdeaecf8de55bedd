"""The start of the command line: `--help` without JAX, names at their first use, `python -m probvae`."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import probvae
from probvae import runs
from probvae.cli import main
from probvae.cli.parser import BUDGETS
from probvae.lazy_names import lazy_names
from probvae.runs.diagnosing import BUDGETS as NUMBERS

HEAVY = ("jax", "numpy", "numpyro", "flax", "optax", "scipy", "sklearn", "matplotlib", "tqdm")


def in_a_process(code):
    """Run code in a new Python. Return its output without the last newline."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.rstrip("\n")


@pytest.mark.parametrize(
    "words", [["--help"], ["train", "--help"], ["diagnose", "--help"], ["--version"], ["trian"]]
)
def test_help_and_usage_errors_import_no_jax(words):
    code = f"""
import sys
from probvae.cli import main
try:
    main({words})
except SystemExit:
    print([name for name in {HEAVY} if name in sys.modules])
"""
    assert in_a_process(code).splitlines()[-1] == "[]"


def test_python_m_probvae_is_the_program():
    words = [sys.executable, "-m", "probvae", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == f"probvae {probvae.__version__}\n"


def lazy_lists(package):
    """Names by module, as Python imports them and as mypy and editors read them."""
    (block,) = [n for n in ast.parse(Path(package.__file__).read_text()).body if isinstance(n, ast.If)]
    (hooks,) = [n for n in ast.walk(ast.Module(block.orelse, [])) if isinstance(n, ast.Call)]
    run = {m: set(names) for m, names in ast.literal_eval(hooks.args[1]).items()}
    submodules = ast.literal_eval(hooks.keywords[0].value)
    typed = {}
    for node in block.body:
        module = node.module.removeprefix(package.__name__).lstrip(".")
        typed.setdefault(module, set()).update(alias.name for alias in node.names)
    return run, set(submodules), typed


@pytest.mark.parametrize("package", [probvae, runs], ids=["probvae", "runs"])
def test_python_and_mypy_see_the_same_names(package):
    run, submodules, typed = lazy_lists(package)
    attributes = typed.pop("", set())  # modules below the package
    assert run == typed
    assert attributes <= submodules
    assert set(package.__all__) <= set().union(attributes, *run.values())
    for name in package.__all__:
        value = getattr(package, name)
        assert name in dir(package)
        assert vars(package)[name] is value  # the second use is an ordinary attribute
    for name in submodules:
        assert getattr(package, name) is importlib.import_module(f"{package.__name__}.{name}")


def test_a_name_that_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'probvae' has no attribute 'VEA'"):
        probvae.VEA  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'VEA'"):
        from probvae import VEA  # noqa: F401
    hooks = lazy_names("probvae", {"_version": ("__version__",)})
    assert hooks.getattr("__version__") == probvae.__version__


def test_dir_lists_names_that_are_not_imported_yet():
    code = (
        "import sys, probvae; print('fit' in dir(probvae), 'VAE' in dir(probvae), 'jax' in sys.modules)"
    )
    assert in_a_process(code) == "True True False"


def test_the_parser_knows_every_budget():
    assert tuple(NUMBERS) == BUDGETS


def test_images_without_pillow_are_named_before_any_training(tmp_path, monkeypatch, capsys):
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "a.png").write_bytes(b"")
    (tmp_path / "vae.py").write_text(
        "from probvae import VAE, nets\n"
        "def vae(event_shape):\n"
        "    return VAE(event_shape=event_shape, latent_dim=1, encoder=nets.Linear(), decoder=nets.Linear())\n"
    )
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    monkeypatch.chdir(tmp_path)
    for words in (["train", "vae.py", "--data", "faces"], ["data", "faces", "--prepare", "out.npy"]):
        assert main(words) == 1
        assert "pip install 'probvae[images]'" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"faces", "vae.py"}
