"""The pages of the site, for tests: their titles, their code, and the list of them in llms.txt.

``python tests/site_pages.py`` writes that list again. It keeps the line of each page that has one.
"""

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
LLMS = DOCS / "llms.txt"
LINE = re.compile(r"^- \[(.+?)\]\((.+?\.md)\)(?:: (.+))?$", flags=re.MULTILINE)


def all_pages():
    """The pages that readers see, in the order of the sections."""
    sections = re.findall(
        r"^(?:\w+ <)?(\w[\w-]*)/index>?$", (DOCS / "index.md").read_text(), flags=re.MULTILINE
    )
    chapters = [DOCS / "faq.md", *(p for s in sections for p in sorted((DOCS / s).glob("*.md")))]
    return [DOCS / "index.md", *(page for page in chapters if page.exists())]


def name(page):
    return page.relative_to(DOCS).as_posix()


def read(page):
    """A page's text; of one that includes another file, that file's."""
    text = page.read_text()
    included = re.search(r"^```\{include\} (\S+)", text, flags=re.MULTILINE)
    return (page.parent / included[1]).read_text() if included else text


def title(page):
    return re.search(r"^# (.+)$", read(page), flags=re.MULTILINE)[1].strip()


def first_sentence(page):
    """The first sentence of prose: what a list of pages says, until someone writes a better line."""
    body = read(page).split(f"# {title(page)}\n", 1)[1]
    body = re.sub(r"^(```|:::).*?^(```|:::)$", "", body, flags=re.DOTALL | re.MULTILINE)
    prose = [p for p in body.split("\n\n") if p.strip() and p.strip()[0] not in "#|-!+>:<"]
    prose = [p for p in prose if not p.strip().startswith(("Script:", "`from", "`import"))]
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", " ".join(prose[0].split())) if prose else title(page)
    return re.split(r"(?<=[.?])\s", text)[0]


def write_list():
    """The head of llms.txt as it is, and one line for each page."""
    head, _, rest = LLMS.read_text().partition("## Pages\n")
    lines = {path: about for _, path, about in LINE.findall(rest)}
    pages = []
    for page in all_pages():
        about = lines.get(name(page)) or first_sentence(page)
        pages.append(
            f"- [{title(page)}]({name(page)})" + ("" if about == title(page) else f": {about}")
        )
    LLMS.write_text(f"{head}## Pages\n\n" + "\n".join(pages) + "\n")


if __name__ == "__main__":
    write_list()
