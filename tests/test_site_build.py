"""The site builds from any folder without a warning, loads nothing from the network, and fits a phone."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import site_pages

ROOT = Path(__file__).parent.parent
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PHONE = 390  # pixels
WIDE = (  # pages with what is widest: tables, signatures, formulas, code
    "index.md",
    "explanation/compatibility.md",
    "reference/parts.md",
    "reference/command-line.md",
    "reference/vae.md",
    "reference/likelihoods.md",
    "reference/objectives.md",
    "results/index.md",
    "how-to/write-your-own-part.md",
)


MEASURE = """
// The right edge of what reaches farthest, but for what scrolls in a box of its own.
const scrolls = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
function edge(page) {
  let farthest = page.documentElement.scrollWidth;
  for (const e of page.querySelectorAll("article.bd-article *")) {
    let box = e.parentElement;
    while (box && box.tagName != "ARTICLE" && !scrolls(box)) box = box.parentElement;
    if (box.tagName == "ARTICLE") farthest = Math.max(farthest, e.getBoundingClientRect().right);
  }
  return farthest;
}
addEventListener("load", () => {
  const frames = [...document.querySelectorAll("iframe")];
  document.title = JSON.stringify(frames.map((frame) => edge(frame.contentDocument)));
});
"""


class Page(HTMLParser):
    """The anchors, links and loaded files of a page."""

    def __init__(self, html):
        super().__init__()
        self.ids, self.links, self.loaded = set(), set(), set()
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids.add(given.get("id"))
        if tag == "a" and given.get("href"):
            self.links.add(given["href"])
        if tag == "link" and given.get("rel") not in ("canonical", "index", "search", "next", "prev"):
            self.loaded.add(given.get("href"))
        self.loaded.add(given.get("src"))


def build(folder):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", ROOT / "docs", "site"]
    environment = os.environ | {"PROBVAE_DOCS_EXECUTE": "off"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    return folder / "site"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return build(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="module")
def pages(site):
    return {
        path: Page(path.read_text()) for path in site.rglob("*.html") if "_static" not in path.parts
    }


@pytest.mark.slow
def test_the_site_loads_nothing_from_the_network(site, pages):
    for path, page in pages.items():
        outside = [url for url in page.loaded if url and re.match(r"(https?:)?//", url)]
        assert not outside, (path.name, outside)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text()), sheet.name


@pytest.mark.slow
def test_every_internal_link_leads_somewhere(pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme or link in ("#", "") or path.name in ("search.html", "genindex.html"):
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            known = target in pages and url.fragment
            if not target.exists() or (known and unquote(url.fragment) not in pages[target].ids):
                broken.append((path.name, link))
    assert not broken


@pytest.mark.slow
def test_the_inventory_names_every_public_object(site):
    sys.path.insert(0, str(ROOT / "docs" / "_ext"))
    import families
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "https://example.org", lambda *parts: "/".join(parts))
    kinds = getattr(inventory, "data", inventory)  # a dict, or a class that has one
    listed = {name for kind in kinds if kind.startswith("py:") for name in kinds[kind]}
    pages = families.find_families(ROOT / "docs" / "reference")
    names = [each for family in families.entries(pages).values() for each in family]
    assert {each.name for each in names if not inspect.ismodule(each.value)} <= listed
    assert {"probvae.fit", "probvae.priors.VampPrior", "probvae.Fitted.elbo"} <= listed


@pytest.mark.slow
def test_an_entry_shows_what_its_docstring_says_without_internals(site):
    import test_site

    text = {p: p.read_text() for p in (site / "reference").glob("*.html")}
    everything = "\n".join(text.values())
    words = test_site.words(unescape(re.sub(r"<[^>]+>", "", everything)))
    sys.path.insert(0, str(ROOT / "docs" / "_ext"))
    import families

    for name in families.all_entries(families.find_families(ROOT / "docs" / "reference")):
        assert f'id="{name}"' in everything, name
    for name, value in test_site.NAMED:
        summary = re.split(r"[`$\\|]", (value.__doc__ or "").strip().split("\n")[0])[0]
        assert test_site.words(summary) in words, name
    assert "Bases:" not in everything
    assert not re.search(r'id="probvae[\w.]*\._', everything)
    assert everything.count("<math") > 300


@pytest.mark.slow
def test_four_questions_are_two_clicks_from_home(site, pages):
    first = {(site / urlsplit(link).path).resolve() for link in pages[site / "index.html"].links}
    second = {
        (path.parent / urlsplit(link).path).resolve()
        for path in first
        if path in pages
        for link in pages[path].links
    }
    for answer in (
        "tutorials/critics",
        "how-to/choose-a-likelihood",
        "how-to/write-your-own-part",
        "how-to/apply-a-fit-to-new-data",
    ):
        assert (site / f"{answer}.html").resolve() in first | second, answer


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_no_page_scrolls_sideways_on_a_phone(site):
    chosen = [name.replace(".md", ".html") for name in WIDE]
    frames = "".join(f'<iframe src="{name}" width="{PHONE}" height="800"></iframe>' for name in chosen)
    (site / "phone.js").write_text(MEASURE)
    script = '<script src="phone.js"></script>'
    (site / "phone.html").write_text(f"<title></title>{frames}{script}")
    flags = [
        "--headless",
        "--no-sandbox",
        "--allow-file-access-from-files",
        "--virtual-time-budget=20000",
    ]
    command = [CHROMIUM, *flags, "--dump-dom", (site / "phone.html").as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    widths = json.loads(unescape(re.search(r"<title>(.*?)</title>", shown)[1]))
    assert not {name: width for name, width in zip(chosen, widths, strict=True) if width > PHONE}


def test_llms_txt_lists_every_page_with_its_title():
    listed = {path: title for title, path, _ in site_pages.LINE.findall(site_pages.LLMS.read_text())}
    expected = {site_pages.name(page): site_pages.title(page) for page in site_pages.all_pages()}
    assert listed == expected, "run `python tests/site_pages.py`"


def test_every_page_is_in_a_table_of_contents():
    """A page that a glob or a name brings into its section's index."""
    for page in site_pages.all_pages():
        if page.name in ("index.md", "faq.md"):
            continue
        index = (page.parent / "index.md").read_text()
        lines = {line.strip().removesuffix(".md") for line in index.splitlines()}
        assert page.stem in lines or "*" in lines, site_pages.name(page)
