"""The texts of the gallery: docs/gallery/index.md, and the table in models/README.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gallery_entries import GROUPS

MODELS = Path(__file__).parents[2] / "models"

HEAD = """# Gallery

The {count} models of `models/`, each from a paper and in one short file. The
command on a card trains the model and writes a report. It is the command that made the card.

How to read a card:

- **Picture**: what the model does after training. It shows images that the model draws, codes, or
  curves. Images of 8x8 digits are enlarged smoothly. E[x | z] is the mean of p(x | z).
- **log p(x)**: a lower bound on the mean over the test rows, by importance sampling from the guide,
  in nats per row. The ± is the standard error over the test rows. Each number is one training with
  seed 0.
- **Time**: that of the training, on two CPU cores shared with other work.

Compare numbers only within one kind of data:

- *Binary digits*: 1,197 training, 300 validation and 300 test digits of 8x8 pixels. They need no
  download. Each training step draws new binary pixels from the grey levels, or only the first one
  does (`--binarize static`). Validation and test rows were drawn once, and are the same for all.
- *Grey digits*: the same digits as grey levels in [0, 1], for likelihoods of real numbers. Their
  p(x) is a density, so log p(x) can be above 0.
- *MNIST* (28x28 pixels, binary) and *counts of cells* (pbmc3k): files in `$PROBVAE_DATA`. The command
  `probvae data` lists them.

[All numbers](#all-numbers) are in one table at the end. `python docs/figures/gallery.py` makes this
page.

"""
TABLE_HEAD = """# The gallery

Each file is one variant of the VAE from the literature: a function that returns it, in a few lines,
with the objective and the optimizer if the paper's idea is in them. `probvae train models/NAME.py`
trains it. The function's keyword arguments are options of the command. `tests/gallery_claims.py` tests
for each variant what its paper claims. [Pictures, commands and test log p(x)](../docs/gallery/index.md)
of all of them are on one page.

| file | paper | idea |
| --- | --- | --- |
"""
KINDS = {"digits": "digits", "mnist": "MNIST", "pbmc3k": "counts of cells"}


def read_docstring(name: str) -> tuple[str, str]:
    """Return the paper and the first sentence of the idea, from the docstring of a model file."""
    docstring = ast.get_docstring(ast.parse((MODELS / f"{name}.py").read_text())) or ""
    paper, idea = docstring.split("\n\nThe idea: ")
    sentence = re.split(r"\.\s+(?=[A-Z(])", idea)[0].rstrip(".")
    sentence = sentence if sentence[1] == "(" else sentence[0].upper() + sentence[1:]
    return " ".join(paper.split()), f"{' '.join(sentence.split())}."


def write_table() -> str:
    """Return the text of models/README.md."""
    rows = []
    for name in sorted(path.stem for path in MODELS.glob("*.py")):
        cells = (f"[{name}]({name}.py)", *(cell.replace("|", "\\|") for cell in read_docstring(name)))
        rows.append(f"| {' | '.join(cells)} |\n")
    return TABLE_HEAD + "".join(rows)


def write_page(entries: dict[str, dict[str, Any]]) -> str:
    """Return the text of the gallery's page."""
    parts = [HEAD.format(count=len(entries)), *_contents(entries)]
    for group, words in GROUPS.items():
        parts.append(f"## {group}\n\n{words}\n\n")
        parts += [_card(name, entry) for name, entry in entries.items() if entry["group"] == group]
    return "".join([*parts, *_numbers(entries)]).rstrip("\n") + "\n"


def _contents(entries: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield "| idea | models |\n| --- | --- |\n"
    for group in GROUPS:
        names = [name for name, entry in entries.items() if entry["group"] == group]
        yield f"| {group} | {', '.join(f'[{name}](#{name})' for name in names)} |\n"
    yield "\n"


def _card(name: str, entry: dict[str, Any]) -> str:
    paper = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", entry["paper"])
    source = f"[models/{name}.py](../../models/{name}.py)"
    return (
        f"### {name}\n\n{entry['idea']}\n\n"
        f'<img src="{entry["picture"]}" width="520" alt="{name}: {entry["caption"]}">\n\n'
        f"*{entry['caption']}*\n\n"
        f"{describe_number(entry)} {_describe_training(entry)}\n\n"
        f"```sh\n{entry['command']}\n```\n\n{paper} {source}\n\n"
    )


def describe_number(entry: dict[str, Any]) -> str:
    """Return the test log p(x) of an entry in words, or why there is none."""
    if "no_log_prob" in entry:
        reason = entry["no_log_prob"].split(". ")[0].rstrip(".")
        return f"**No log p(x)**: {reason}."
    bound = entry["log_prob"]
    return (
        f"**log p(x) ≥ {_format(bound['mean'])} ± {bound['standard_error']:.2f} nats** "
        f"({bound['num_data']} test rows, {bound['num_particles']:,} particles)."
    )


def _describe_training(entry: dict[str, Any]) -> str:
    return (
        f"Data: {describe_data(entry)}. {entry['epochs']} epochs, {entry['seconds']:.0f} s, "
        f"{entry['date']}."
    )


def describe_data(entry: dict[str, Any]) -> str:
    """Return the kind of the data, within which numbers compare."""
    kind = KINDS[entry["data"]]
    if kind != "digits":
        return kind
    return "binary digits" if "binaris" in entry["preparation"] else "grey digits"


def _numbers(entries: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield "## All numbers\n\nSorted within each kind of data. Each is one training, so small "
    yield "differences are ties.\nThe largest number is not the best model: some models have another "
    yield "aim.\n\n"
    yield "| data | model | test log p(x) ≥ | standard error | training |\n"
    yield "| --- | --- | --: | --: | --: |\n"
    numbers = [(name, e) for name, e in entries.items() if "log_prob" in e]
    kinds = list(dict.fromkeys(describe_data(e) for _, e in numbers))
    numbers.sort(key=lambda each: (kinds.index(describe_data(each[1])), -each[1]["log_prob"]["mean"]))
    for name, entry in numbers:
        bound = entry["log_prob"]
        cells = (
            describe_data(entry),
            f"[{name}](#{name})",
            _format(bound["mean"]),
            f"{bound['standard_error']:.2f}",
            f"{entry['seconds']:.0f} s",
        )
        yield f"| {' | '.join(cells)} |\n"


def _format(nats: float) -> str:
    return f"{nats:,.2f}".replace("-", "−")
