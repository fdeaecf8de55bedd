"""The README's code runs, and its commands are those that CI runs."""

import os
import re
from pathlib import Path

import jax
import pandas as pd
import pytest

from probvae.cli.parser import parse_arguments

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = (ROOT / "docs" / "reference" / "command-line.md").read_text()
PARTS = (ROOT / "docs" / "reference" / "parts.md").read_text()


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def run_example(capsys, **changes):
    """Run the README's first example with some texts replaced, and return what it prints."""
    example, _ = blocks("python")
    for before, after in changes.values():
        assert example.count(before) == 1
        example = example.replace(before, after)
    exec(compile(example, "README.md", "exec"), {})
    return capsys.readouterr().out


def test_the_example_runs_and_prints_the_model(capsys):
    printed = run_example(
        capsys,
        epochs=("epochs=60", "epochs=2, progress=False"),
        particles=("5000", "20"),
        diagnosis=(
            "print(diagnose(fitted, data.test, train=data.train, rng_key=jax.random.key(2)))",
            "",
        ),
    )
    model, _, rest = blocks("text")[0].partition("-23.")
    assert printed.startswith(model)
    assert re.search(r"-\d+\.\d+ nats \+- \d\.\d+ \(300 data, 20 particles\)", printed)
    assert "Verdict: " in rest


@pytest.mark.slow
def test_the_example_prints_what_the_readme_shows(capsys):
    printed = run_example(capsys).splitlines()
    shown = blocks("text")[0].splitlines()
    for line, expected in zip(printed, shown, strict=False):
        if match := re.match(r"(-\d+\.\d+) nats", expected):
            value = re.match(r"(-\d+\.\d+) nats", line).group(1)
            assert float(value) == pytest.approx(float(match.group(1)), abs=0.05)
        elif not expected.startswith("  For"):  # the number of rows differs between processors
            assert line.startswith(expected.removesuffix(" ..."))


@pytest.mark.slow
def test_the_example_of_a_table_fills_its_gaps(monkeypatch):
    folder = Path(os.environ.get("PROBVAE_DATA", "absent")) / "penguins"
    if not folder.is_dir():
        pytest.skip("the penguins are not here: set PROBVAE_DATA to the folder of the data")
    monkeypatch.chdir(folder)
    names = {"jax": jax}
    exec(compile(blocks("python")[1], "README.md", "exec"), names)
    frame, filled, new = names["frame"], names["filled"], names["new"]
    assert frame.isna().any(axis=None)
    assert not filled.isna().any(axis=None)
    pd.testing.assert_frame_equal(filled[frame.notna()], frame, check_dtype=False)
    assert len(new) == 100
    assert list(new.columns) == list(frame.columns)
    assert set(new["species"]) <= set(frame["species"])


def test_there_are_two_commands_of_one_line_each_and_ci_runs_the_second():
    commands = blocks("sh")
    assert [len(command.strip().splitlines()) for command in commands] == [1, 1]
    assert "probvae train models/vampprior.py" in commands[0]
    ci = (ROOT / ".ci" / "run").read_text()
    pattern = re.search(r"grep -E '(.*)' README.md", ci).group(1)
    assert [line for line in README.splitlines() if re.search(pattern, line)] == [commands[1].strip()]


def test_the_commands_are_understood(monkeypatch):
    monkeypatch.chdir(ROOT)
    (block,) = blocks("text", COMMANDS)
    commands = [c for line in block.splitlines() for c in re.split(r"\s{2,}", line.strip()) if c]
    assert len(commands) == 14
    for command in commands:
        program, *words = command.split()
        assert program == "probvae"
        assert parse_arguments(words).command == words[0]


def test_the_table_names_every_public_part():
    import registry

    for package in ("priors", "guides", "likelihoods", "nets"):
        for make in registry.EVERY[package].values():
            made = make()
            for part in made if isinstance(made, tuple) else (made,):
                name = getattr(part, "__name__", type(part).__name__)
                assert f"`{name}`" in PARTS or f".{name}`" in PARTS or name == "BatchNormNet", name


def test_the_counts_of_parts_are_those_of_the_package():
    """Of likelihoods and objectives, those that a user chooses: not their scales, means and widths."""
    from probvae import guides, likelihoods, objectives, priors
    from probvae.interfaces import AbstractLikelihood
    from probvae.objectives import AbstractObjective

    def count(package, kind=object):
        parts = [getattr(package, n) for n in package.__all__ if not n.startswith("Abstract")]
        return sum(isinstance(part, type) and issubclass(part, kind) for part in parts)

    chosen = count(likelihoods, AbstractLikelihood) - 1  # Delta stands inside Spread alone
    counts = f"{count(priors)} priors, {count(guides)} guides, {chosen} likelihoods"
    assert f"{counts} and {count(objectives, AbstractObjective)} objectives" in " ".join(README.split())
    models = [p for p in (ROOT / "models").glob("*.py") if p.stem != "__init__"]
    assert f"{len(models)} models" in README


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_readme_is_short_and_shows_a_picture():
    assert len(README.split()) <= 600
    prose = [line for line in README.splitlines() if not line.startswith("python3 -m venv")]
    assert max(map(len, prose)) <= 100
    assert "![" in README


def test_the_badges_are_those_of_pyproject(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "figures"))
    import badges

    for name, svg in badges.badges().items():
        assert (ROOT / "docs" / "figures" / name).read_text() == svg, (
            "run python docs/figures/badges.py"
        )
        assert f"docs/figures/{name}" in README
