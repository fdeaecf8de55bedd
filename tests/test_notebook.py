"""A notebook in a real kernel: what each result shows, and what a saved notebook keeps."""

import base64
import re
import struct

import pytest

pytestmark = pytest.mark.slow

CELLS = {
    "import": "import jax\nimport numpy as np\nimport probvae\nfrom probvae import VAE, nets, plots\n"
    "from probvae.criticism import Budget\nkey = jax.random.key(0)",
    "data": 'data = probvae.data.load("digits")\ndata',
    "vae": "vae = VAE(event_shape=data.event_shape, latent_dim=2, encoder=nets.MLP((32,)), "
    "decoder=nets.MLP((32,)))\nvae",
    "fit": "fitted = probvae.fit(vae, data.train, validation=data.valid, rng_key=key, epochs=6)",
    "silent": "_ = probvae.fit(vae, data.train, rng_key=key, epochs=1, progress=False)",
    "fitted": "fitted",
    "history": "fitted.history",
    "bound": "fitted.log_prob(data.test, rng_key=key, num_particles=20)",
    "samples": "fitted.sample(5, rng_key=key)",
    "imputed": "mask = np.random.default_rng(0).random((20, 8, 8)) < 0.7\n"
    "fitted.impute(data.test[:20], mask, rng_key=key, num_samples=5)",
    "diagnosis": "probvae.diagnose(fitted, data.test, rng_key=key, budget=Budget(50, 20, 5, 8, 20, 20))",
    "sweep": "probvae.sweep(vae, data.train, validation=data.valid, rng_keys=[key], "
    'over={"beta": (0.5, 1.0)}, epochs=2)',
    "figure": "figure = plots.samples(fitted, 20, rng_key=key)\nfigure",
    "pyplot": "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
    "figure with pyplot": "figure",
    "saved and closed": 'figure.savefig("figure.svg")\nplt.close(figure)',
}
RICH = ("data", "vae", "fitted", "history", "bound", "imputed", "diagnosis", "sweep")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The outputs of every cell, after the notebook was saved and read again."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    folder = tmp_path_factory.mktemp("notebook")
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    nbformat.write(notebook, folder / "notebook.ipynb")
    saved = nbformat.read(folder / "notebook.ipynb", as_version=4)
    assert (folder / "figure.svg").exists()
    return dict(zip(CELLS, (cell.outputs for cell in saved.cells), strict=True))


def shown(outputs, name):
    """The one result of a cell, by type of content. A sweep also leaves its line of progress."""
    (result,) = [each for each in outputs[name] if each.output_type == "execute_result"]
    return result["data"], result["metadata"]


@pytest.mark.parametrize("name", RICH)
def test_a_result_has_html_and_the_same_as_short_text(outputs, name):
    content, _ = shown(outputs, name)
    assert content.keys() == {"text/html", "text/plain"}
    assert 100 < len(content["text/html"]) < 40_000
    assert len(content["text/plain"]) < 12_000
    assert content["text/html"].startswith('<div class="probvae"><style>')


def test_the_model_is_typeset(outputs):
    html = shown(outputs, "vae")[0]["text/html"]
    assert html.count("<math>") >= 6
    assert "<mi>Bernoulli</mi>" in html


def test_a_diagnosis_has_badges_and_folded_remedies(outputs):
    html = shown(outputs, "diagnosis")[0]["text/html"]
    assert html.count('class="probvae-badge') >= 2
    assert "<details><summary>What to do</summary>" in html


def test_other_results_are_one_line(outputs):
    assert shown(outputs, "samples")[0] == {
        "text/plain": "Samples(x=array(5, 8, 8), mean=array(5, 8, 8), z=array(5, 2))"
    }


def test_a_fit_leaves_one_readable_line(outputs):
    (line,) = outputs["fit"]
    text = line["data"]["text/plain"]
    assert re.match(r"6 epochs, \d+\.\d s, validation ELBO -\d", text)
    assert len(text.splitlines()) == 1
    assert outputs["silent"] == []


def test_no_cell_writes_to_standard_error(outputs):
    for name, cell in outputs.items():
        assert [each for each in cell if each.output_type == "stream"] == [], name


@pytest.mark.parametrize("name", ["figure", "figure with pyplot"])
def test_a_figure_shows_once(outputs, name):
    content, metadata = shown(outputs, name)
    assert content.keys() == {"image/png", "text/plain"}
    assert len(outputs[name]) == 1
    assert 400 < metadata["image/png"]["width"] < 900


def test_a_figure_has_two_pixels_for_each_on_the_page(outputs):
    content, metadata = shown(outputs, "figure")
    png = base64.b64decode(content["image/png"])
    assert struct.unpack(">II", png[16:24]) == tuple(
        2 * metadata["image/png"][side] for side in ("width", "height")
    )
    assert len(png) < 300_000


def test_a_closed_figure_does_not_show_again(outputs):
    assert outputs["saved and closed"] == []
