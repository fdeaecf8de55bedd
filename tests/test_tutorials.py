"""The tutorials are notebooks: they run in a fresh kernel, show what they draw, and keep their time.

The site's test builds the same pages without running them, so that nothing runs twice.
"""

import re
import resource
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from probvae.data import list_datasets

FOLDER = Path(__file__).parent.parent / "docs" / "tutorials"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "index.md")
CELL = re.compile(r"^```\{code-cell\} ipython3\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
TIME = re.compile(r"(?:about|under) (a|two|\d+) (second|minute)s?( and a half)? on two (?:CPU )?cores")
WORDS = {"a": 1.0, "two": 2.0}
PAGE_IDS = [page.stem for page in PAGES]
SLACK = 3.0  # CPU time over the stated time; two cores at full use take twice the stated time
LONGEST = 120  # seconds
NO_CODE = ("Where", "What to remember", "How to read")  # text alone


def cells_of(text):
    """Return the code of each cell, without its options."""
    return [re.sub(r"^:.*\n", "", code, flags=re.MULTILINE) for code in CELL.findall(text)]


def stated_seconds(text):
    """Return the time that a page states, in seconds."""
    number, unit, half = TIME.search(" ".join(text.replace("**", "").split())).groups()
    count = WORDS[number] if number in WORDS else float(number)
    return (count + 0.5 * bool(half)) * (60 if unit == "minute" else 1)


def missing_data(text):
    """Return the data sets that a page reads and that are not here."""
    known = list_datasets()
    names = re.findall(r"""\bload\(["']([\w-]+)["']""", text)
    return sorted({name for name in names if name in known and not known[name].available})


def faults(text):
    """Return what is wrong with the form of a page."""
    wrong = []
    if not re.match(
        r"---\njupytext:\n.*format_name: myst\n.*kernelspec:\n.*name: python3\n---\n", text, re.S
    ):
        wrong.append("front matter")
    if not TIME.search(" ".join(text.replace("**", "").split())):
        wrong.append("time")
    elif stated_seconds(text) > LONGEST:
        wrong.append("longer than two minutes")
    if re.search(r"^```\{(code-cell|code)\}(?! ipython3$)", text, flags=re.MULTILINE):
        wrong.append("kind of cell")
    if re.search(r"^#> |data:image/|^```\{output", text, flags=re.MULTILINE):
        wrong.append("an output")
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title = section.splitlines()[0]
        if not title.startswith(NO_CODE) and not CELL.search(section):
            wrong.append(f"no cell under {title!r}")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_a_tutorial_states_its_time_and_has_cells_and_no_output(page):
    assert faults(page.read_text()) == []


def test_the_index_names_each_tutorial_and_its_time():
    index = (FOLDER / "index.md").read_text()
    for page in PAGES:
        row = re.search(rf"^\|.*\]\({page.name}\).*\|$", index, flags=re.MULTILINE)
        assert row, page.name
        seconds = int(re.search(r"(\d+) s", row[0])[1])
        assert seconds == stated_seconds(page.read_text()), page.name


def test_the_check_of_the_form_sees_what_is_wrong():
    good = PAGES[0].read_text()
    assert "front matter" in faults(good[4:])
    assert "time" in faults(good.replace("on two", "on many"))
    assert "an output" in faults(good + "\n#> 3.2\n")
    assert "longer than two minutes" in faults(TIME.sub("about 3 minutes on two cores", good))
    assert "no cell under 'More'" in faults(good + "\n## More\n\nText.\n")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_a_tutorial_runs_without_an_error_or_a_warning_in_its_time(page, monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:IProgress not found")  # tqdm, without ipywidgets
    text = page.read_text()
    if missing := missing_data(text):
        pytest.skip(f"needs data that are not in $PROBVAE_DATA: {', '.join(missing)}")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells_of(text)])
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()  # an error in a cell raises CellExecutionError
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    assert [o.text for o in outputs if o.get("name") == "stderr"] == []
    shown = [output.data for output in outputs if "data" in output]
    pictures = [data for data in shown if "image/png" in data or "image/svg+xml" in data]
    objects = [data["text/plain"] for data in shown if data not in pictures]
    assert len(pictures) >= 2
    assert not [words for words in objects if words.lstrip("[(").startswith("<")]
    assert used < SLACK * stated_seconds(text)
