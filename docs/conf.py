"""The site, built by ``python -m sphinx -W --keep-going docs site``.

Its pages load nothing from the network. ``PROBVAE_DOCS_EXECUTE=off`` skips running the tutorials.
"""

import os
import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent)]

from sphinx.application import Sphinx  # noqa: E402

from probvae import __version__  # noqa: E402
from probvae.data import list_datasets  # noqa: E402

project = "ProbVAE"
author = "The ProbVAE developers"
project_copyright = author
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
    "mathml",
    "docstrings",
    "families",
]
exclude_patterns = ["_ext", "_static", "figures/*.py", "**/.ipynb_checkpoints"]
default_role = "py:obj"

autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_use_rtype = False
napoleon_preprocess_types = False
add_module_names = False
python_maximum_signature_line_length = 72
toc_object_entries_show_parents = "hide"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath", "html_image"]
myst_heading_anchors = 4

# tests/test_tutorials.py runs each tutorial once, with its errors, warnings and time. The site's test
# therefore builds with PROBVAE_DOCS_EXECUTE=off. A build to publish runs them and shows their outputs.
nb_execution_mode = "off" if os.environ.get("PROBVAE_DOCS_EXECUTE") == "off" else "force"
nb_execution_timeout = 300
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # of tqdm in a kernel without ipywidgets
KNOWN = list_datasets()
nb_execution_excludepatterns = [  # pages that read data that are not here
    f"tutorials/{page.name}"
    for page in (DOCS / "tutorials").glob("*.md")
    for name in re.findall(r"""\bload\(["']([\w-]+)["']""", page.read_text())
    if name in KNOWN and not KNOWN[name].available
]
nb_execution_raise_on_error = True
if not list_datasets()["pbmc3k"].available:  # without its data, the page on cells has no outputs
    nb_execution_excludepatterns = ["tutorials/cells.md"]

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "ProbVAE"
html_static_path = ["_static"]
html_extra_path = ["llms.txt"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
# The left bar lists the pages of a section. A section of one page needs none.
html_sidebars = {name: [] for name in ("gallery/index", "faq", "search", "genindex")}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "show_prev_next": True,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
}


def setup(app: Sphinx) -> None:
    """Let MyST-NB write its notebooks inside the output, not beside it."""
    app.connect("builder-inited", _move_notebooks, priority=900)  # after MyST-NB's own


def _move_notebooks(app: Sphinx) -> None:
    folder = str(app.doctreedir / "jupyter_execute")
    app.env.mystnb_config = app.env.mystnb_config.copy(output_folder=folder)
