"""The README's code runs, and its commands are those that CI runs."""

import re
from pathlib import Path

from probvae.cli.parser import parse_arguments

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = (ROOT / "docs" / "reference" / "command-line.md").read_text()
PARTS = (ROOT / "docs" / "reference" / "parts.md").read_text()


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_example_runs_and_prints_the_model(capsys):
    (example,) = blocks("python")
    quick = example.replace("epochs=100", "epochs=2, progress=False").replace("5000", "20")
    assert quick.count("epochs=2") == 1
    exec(compile(quick, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "x | z ~ Bernoulli" in printed
    assert re.search(r"-\d+\.\d+ nats \+- \d\.\d+ \(300 data, 20 particles\)", printed)


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
    assert len(commands) == 11
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
