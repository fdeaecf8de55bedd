"""The gallery's page: each model has a card, which its script makes from what it measured."""

import json
import math
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "docs" / "figures"
sys.path.append(str(SCRIPTS))  # the scripts of docs/figures import each other by name

import gallery  # noqa: E402
import gallery_page  # noqa: E402

GALLERY = ROOT / "docs" / "gallery"
ENTRIES = json.loads((GALLERY / "gallery.json").read_text())
NAMES = sorted(path.stem for path in (ROOT / "models").glob("*.py"))
OPEN_DATA = {"digits", "mnist", "pbmc3k"}  # their terms allow to show rows
LIMIT = 3_000_000  # bytes


def test_each_model_has_an_entry():
    assert sorted(ENTRIES) == sorted(gallery.ENTRIES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_entry_is_complete(name):
    entry = ENTRIES[name]
    assert (GALLERY / entry["picture"]).is_file()
    assert (entry["paper"], entry["idea"]) == gallery_page.read_docstring(name)
    assert "arXiv:" in entry["paper"]
    assert entry["caption"]
    assert ("log_prob" in entry) != ("no_log_prob" in entry)
    if "log_prob" in entry:
        assert all(map(math.isfinite, entry["log_prob"].values()))
        assert entry["log_prob"]["standard_error"] > 0
    else:
        assert len(entry["no_log_prob"]) > 20


@pytest.mark.parametrize("name", NAMES)
def test_card_states_the_command_that_made_it(name):
    assert ENTRIES[name]["command"] == shlex.join(gallery.command_of(name))
    assert ENTRIES[name]["caption"] == gallery.ENTRIES[name].caption


def test_no_picture_shows_rows_whose_terms_forbid_it():
    for name, entry in ENTRIES.items():
        assert entry["shows"] in ("draws", "rows and draws")
        assert (entry["shows"] == "rows and draws") == gallery.ENTRIES[name].rows
        assert entry["shows"] == "draws" or entry["data"] in OPEN_DATA, name


def test_page_and_table_are_made_from_the_entries():
    message = "run `python docs/figures/gallery.py --page-only`"
    assert (GALLERY / "index.md").read_text() == gallery_page.write_page(ENTRIES), message
    assert (ROOT / "models" / "README.md").read_text() == gallery_page.write_table(), message


def test_images_are_of_web_size():
    strip = SCRIPTS / "gallery-strip.png"
    assert sum(path.stat().st_size for path in [*GALLERY.iterdir(), strip]) < LIMIT
    assert strip.stat().st_size < 150_000
    assert (SCRIPTS / "readme.png").stat().st_size < 200_000


@pytest.mark.slow
def test_script_reproduces_an_entry(tmp_path):
    words = ["--only", "linear_vae", "--out", tmp_path / "out", "--runs", tmp_path / "runs"]
    subprocess.run([sys.executable, SCRIPTS / "gallery.py", *words], check=True, cwd=ROOT)
    (name, entry), *others = json.loads((tmp_path / "out" / "gallery.json").read_text()).items()
    assert (name, others) == ("linear_vae", [])
    committed = ENTRIES[name]
    assert entry.keys() == committed.keys()
    same = ("command", "paper", "idea", "caption", "shows", "epochs", "preparation")
    assert [entry[key] for key in same] == [committed[key] for key in same]
    assert entry["log_prob"]["mean"] == pytest.approx(committed["log_prob"]["mean"], abs=0.1)
    with Image.open(tmp_path / "out" / "linear_vae.png") as image:
        assert image.width == 780
