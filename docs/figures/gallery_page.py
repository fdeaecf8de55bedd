"""The texts of the gallery: docs/gallery/index.md, and the table in models/README.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gallery_entries import ENTRIES, GROUPS, LOG_PROB

MODELS = Path(__file__).parents[2] / "models"

HEAD = """# Gallery

The {count} models of `models/`, each from a paper and in one short file. The
command on a card trains the model and writes a report. It is the command that made the card.

"""
KEY = """## How to read a card

- **Picture**: what the model does after training. It shows images that the model draws, codes, or
  curves. Images of 8x8 digits are enlarged smoothly. E[x | z] is the mean of p(x | z).
- **log p(x)**: a lower bound on the mean over the test rows, by importance sampling from the guide,
  in nats per row. The ± is the standard error over the test rows. Each number is one training with
  seed 0.
- **Time**: that of the training, on two CPU cores shared with other work.

Compare numbers only within one kind of data, and only if the same thing is scored. A card says so if
that is not log p(x), for example log p(x | label).

- *Binary digits*: 1,197 training, 300 validation and 300 test digits of 8x8 pixels. They need no
  download. Each training step draws new binary pixels from the grey levels, or only the first one
  does (`--binarize static`). Validation and test rows were drawn once, and are the same for all.
- *Grey digits*: the same digits as 17 grey levels in [0, 1], without dequantization noise, for
  likelihoods of real numbers. Their p(x) is a density, so log p(x) can be above 0. At exact levels a
  density can grow without end, so a large number alone does not make a good model.
- *MNIST* (28x28 pixels, binary) and *counts of cells* (pbmc3k): files in `$PROBVAE_DATA`. The command
  `probvae data` lists them.
- *Wine*: [a table](wine.csv) of 178 wines, 13 measurements and the cultivar, of scikit-learn.

[All numbers](#all-numbers) are in tables at the end. `python docs/figures/gallery.py` makes this
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
KINDS["docs/gallery/wine.csv"] = "wine, a table"


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
    parts = [HEAD.format(count=len(entries)), *_contents(entries), KEY]
    for group, words in GROUPS.items():
        parts.append(f"## {group}\n\n{words}\n\n")
        parts += [_card(name, entry) for name, entry in entries.items() if entry["group"] == group]
    return "".join([*parts, *_numbers(entries)]).rstrip("\n") + "\n"


def _contents(entries: dict[str, dict[str, Any]]) -> Iterator[str]:
    for group in GROUPS:
        members = {name: entry for name, entry in entries.items() if entry["group"] == group}
        yield f"**{group}**\n\n"
        for name, entry in members.items():
            image = f'<img src="{entry["picture"]}" width="150" alt="">'
            yield f"[{image}<br>{name}](#{name})\n"
        yield "\n"


def _card(name: str, entry: dict[str, Any]) -> str:
    paper = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", entry["paper"])
    source = f"[models/{name}.py](../../models/{name}.py)"
    return (
        f"### {name}\n\n{entry['idea']}\n\n"
        f'<img src="{entry["picture"]}" width="520" alt="{name}: {entry["caption"]}">\n\n'
        f"*{entry['caption']}*\n\n"
        f"{describe_number(name, entry)} {_describe_training(entry)}\n\n"
        f"```sh\n{entry['command']}\n```\n\n{paper} {source}\n\n"
    )


def describe_number(name: str, entry: dict[str, Any]) -> str:
    """Return the test log p(x) of an entry, and how it compares, in words. Or why there is none."""
    if "no_log_prob" in entry:
        reason = entry["no_log_prob"].split(". ")[0].rstrip(".")
        return f"**No log p(x)**: {reason}."
    bound = entry["log_prob"]
    note = f" {ENTRIES[name].note}" if ENTRIES[name].note else ""
    return (
        f"**{ENTRIES[name].score} ≥ {_format(bound['mean'])} ± {bound['standard_error']:.2f} nats** "
        f"({bound['num_data']} test rows, {bound['num_particles']:,} particles).{note}"
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
    yield "## All numbers\n\nEach table has one kind of data, and one thing that is scored on the test "
    yield "rows. Compare only within a\ntable. The ± is the standard error over the test rows. Each "
    yield "number is one training, so small differences\nare ties. The largest number is not "
    yield "the best model: some models have another aim.\n\n"
    tables: dict[str, list[str]] = {}
    for name, entry in entries.items():
        if "log_prob" in entry:
            tables.setdefault(_describe_table(name, entry), []).append(name)
    for title, names in sorted(tables.items(), key=lambda each: -len(each[1])):
        names.sort(key=lambda name: -entries[name]["log_prob"]["mean"])
        score = ENTRIES[names[0]].score.replace("|", "\\|")
        yield f"**{title}**\n\n"
        if len(names) == 1 and ENTRIES[names[0]].note:
            yield f"{ENTRIES[names[0]].note}\n\n"
        yield f"| model | {score} ≥ | ± | time |\n| --- | --: | --: | --: |\n"
        for name in names:
            bound, seconds = entries[name]["log_prob"], entries[name]["seconds"]
            cells = f"{_format(bound['mean'])} | {bound['standard_error']:.2f} | {seconds:.0f} s"
            yield f"| [{name}](#{name}) | {cells} |\n"
        yield "\n"


def _describe_table(name: str, entry: dict[str, Any]) -> str:
    """Return what the numbers of a table share: the data, what is scored, and a density's domain."""
    kind = describe_data(entry)
    title = f"{kind[0].upper()}{kind[1:]}, {ENTRIES[name].score}"
    if kind != "grey digits" or ENTRIES[name].score != LOG_PROB:
        return title
    domain = "[0, 1]" if name == "continuous_bernoulli" else "the real line"
    return f"{title}: a density on {domain}, at 17 levels without noise"


def _format(nats: float) -> str:
    return f"{nats:,.2f}".replace("-", "−")
