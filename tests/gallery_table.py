"""models/README.md, made from the docstrings of the files: ``python tests/gallery_table.py`` writes it."""

import ast
import re
from pathlib import Path

MODELS = Path(__file__).parent.parent / "models"
HEAD = """# The gallery

Each file is one variant of the VAE from the literature: a function that returns it, in a few lines, with the objective and
the optimizer if the paper's idea is in them. `probvae train models/NAME.py` trains it. The function's keyword arguments are
options of the command. `tests/gallery_claims.py` tests for each variant what its paper claims.

| file | paper | idea |
| --- | --- | --- |
"""


def row(path):
    """One line: the file, its docstring's first paragraph, and the first sentence of the idea."""
    paper, idea = re.split(r"\n\nThe idea: ", ast.get_docstring(ast.parse(path.read_text())))
    sentence = re.split(r"\.\s+(?=[A-Z(])", idea)[0].rstrip(".")
    sentence = sentence if sentence[1] == "(" else sentence[0].upper() + sentence[1:]
    cells = (f"[{path.stem}]({path.name})", paper, f"{sentence}.")
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def table():
    return HEAD + "\n".join(row(path) for path in sorted(MODELS.glob("*.py"))) + "\n"


if __name__ == "__main__":
    (MODELS / "README.md").write_text(table())
