"""Make the gallery: ``python docs/figures/gallery.py`` trains each model of models/ and draws it.

Each model is trained by the command that its card states. Its numbers go to docs/gallery/gallery.json,
and its picture beside that file. A model whose command has not changed keeps its numbers, so you can
continue an interrupted call. MNIST and pbmc3k are read from ``$PROBVAE_DATA``.

    python docs/figures/gallery.py --only vampprior mixture   # train these again
    python docs/figures/gallery.py --draw-only                # new pictures of the runs in --runs
    python docs/figures/gallery.py --page-only                # the page and the table of models/
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gallery_page
import gallery_strip
import jax
from gallery_canvas import draw_card, save
from gallery_entries import ENTRIES

import probvae
from probvae.runs import open_run

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "runs" / "gallery"
GALLERY = ROOT / "docs" / "gallery"
DRAWING_SEED = 1


def command_of(name: str) -> list[str]:
    """Return the words of the command that trains a model."""
    return ["probvae", "train", f"models/{name}.py", *shlex.split(ENTRIES[name].options)]


def train(name: str, folder: Path) -> None:
    """Train a model by its command into a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    words = [*command_of(name)[1:], "--out", str(folder)]
    subprocess.run([sys.executable, "-m", "probvae.cli", *words], cwd=ROOT, check=True)


def read_numbers(name: str, folder: Path) -> dict[str, Any]:
    """Return what the gallery keeps of a run."""
    config = json.loads((folder / "config.json").read_text())
    metrics = json.loads((folder / "metrics.json").read_text())
    fit, bound, entry = metrics["fit"], metrics["test_log_prob"], ENTRIES[name]
    numbers = {
        "command": shlex.join(command_of(name)),
        "group": entry.group,
        "paper": gallery_page.read_docstring(name)[0],
        "idea": gallery_page.read_docstring(name)[1],
        "caption": entry.caption,
        "shows": "rows and draws" if entry.rows else "draws",
        "picture": f"{name}.png",
        "data": entry.data,
        "preparation": config["data"]["description"],
        "epochs": fit["epochs"],
        "seconds": fit["seconds"],
        "date": time.strftime("%Y-%m-%d", time.localtime((folder / "metrics.json").stat().st_mtime)),
        "version": probvae.__version__,
    }
    if bound is None:
        return {**numbers, "no_log_prob": metrics["no_log_prob"]}
    kept = ("mean", "standard_error", "num_data", "num_particles")
    return {**numbers, "log_prob": {key: bound[key] for key in kept}}


def draw(name: str, folder: Path, out: Path) -> None:
    """Draw the picture of a run."""
    key = jax.random.key(DRAWING_SEED)
    figure = draw_card(ENTRIES[name].panels, open_run(folder), key)
    out.mkdir(parents=True, exist_ok=True)
    save(figure, out / f"{name}.png")


def main(argv: list[str] | None = None) -> None:
    """Make the entries that are asked for, then the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--only", nargs="+", metavar="NAME", choices=list(ENTRIES), help="train these models again")
    add("--draw-only", action="store_true", help="draw runs that exist, without training")
    add("--page-only", action="store_true", help="write the page and the table from gallery.json")
    add("--out", type=Path, default=GALLERY, help="folder of the pictures and gallery.json")
    add("--runs", type=Path, default=RUNS, help="folder of the runs")
    arguments = parser.parse_args(argv)
    path = arguments.out / "gallery.json"
    entries = json.loads(path.read_text()) if path.exists() else {}
    if not arguments.page_only:
        for name in arguments.only or ENTRIES:
            folder = arguments.runs / name
            is_new = arguments.only or entries.get(name, {}).get("command") != shlex.join(
                command_of(name)
            )
            if is_new and not arguments.draw_only:
                train(name, folder)
            if not (folder / "metrics.json").exists():
                continue
            draw(name, folder, arguments.out)
            entries[name] = read_numbers(name, folder) | gallery_strip.read_tiles(name, folder)
            text = json.dumps({k: entries[k] for k in ENTRIES if k in entries}, indent=1)
            path.write_text(text + "\n")
            print(f"{name}: {arguments.out / entries[name]['picture']}", flush=True)
    if arguments.out == GALLERY:
        for name, entry in entries.items():
            paper, idea = gallery_page.read_docstring(name)
            entry |= {"paper": paper, "idea": idea, "caption": ENTRIES[name].caption}
        path.write_text(json.dumps(entries, indent=1) + "\n")
        (GALLERY / "index.md").write_text(gallery_page.write_page(entries))
        (ROOT / "models" / "README.md").write_text(gallery_page.write_table())
        save(gallery_strip.draw(entries), ROOT / "docs" / "figures" / "gallery-strip.png")


if __name__ == "__main__":
    main()
