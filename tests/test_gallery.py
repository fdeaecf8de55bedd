"""Every file of models/: it loads, trains, and does what its paper is about, beside the plain VAE."""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import gallery_table
import jax
import numpy as np
import optax
import pytest
from gallery_claims import CLAIMS, labelled

from probvae import Batch, data, fit
from probvae.likelihoods import Autoregressive, Bernoulli, Gaussian, LearnedScale, OptimalScale
from probvae.nets import Linear, MaskedConv
from probvae.priors import StandardNormal, VampPrior
from probvae.runs import Settings, load_model_file, open_run, train

MODELS = Path(__file__).parent.parent / "models"
FILES = sorted(MODELS.glob("*.py"))
NAMES = [path.stem for path in FILES]
ALWAYS = {"vae", "gaussian_vae", "sigma_vae", "vampprior", "linear_vae", "beta_vae", "free_bits"}
TINY = {"hidden": (32,), "latent_dim": 4}
SMALL = {
    "annealed": {"steps": 200},
    "autoregressive_vae": {"channels": (8,), "kernel": 3, "features": 2},
    "capacity": {"steps": 150, "capacity": 6.0},
    "committed_rate": {"delta": 2.5},
    "flow_prior": {"depth": 2, "coupling": (8,)},
    "free_bits": {"lam": 0.6},
    "hierarchical": {"between": (8,), "components": 5},
    "iaf": {"depth": 1, "made": (16,)},
    "iwae": {"num_particles": 5},
    "relaxed": {"latent_dim": 8},
    "semi_amortized": {"steps": 2},
    "semi_supervised": {"hidden": (64,), "latent_dim": 8, "style": (32,)},
    "transformer": {"hidden": 8, "depth": 1, "heads": 2},
    "vampprior": {"components": 5},
}
EPOCHS = {
    "autoregressive_vae": 20,
    "discrete": 10,
    "mixture": 5,
    "negative_binomial": 5,
    "semi_amortized": 20,
    "spherical": 10,
}
EPOCHS |= {"laplace": 5, "spread": 5, "student_t": 5, "transformer": 2}  # their claims have their own
EPOCHS |= {"linear_vae": 100}
NO_CLOSED_FORM = {("iaf", "scale_z"), ("autoregressive_vae", "scale_x")}


class Case(NamedTuple):
    fitted: Any
    plain: Any
    data: data.Data
    build: Any


def built(name, event_shape=(8, 8), **arguments):
    return load_model_file(MODELS / f"{name}.py").build(event_shape, **arguments)


def small(name):
    file = load_model_file(MODELS / f"{name}.py")
    given = {**TINY, **SMALL.get(name, {})}
    return built(name, **{o.name: given[o.name] for o in file.options if o.name in given})


@functools.lru_cache
def digits(vae):
    """The digits as a VAE's likelihood takes them."""
    if isinstance(vae.likelihood, Bernoulli | Autoregressive):
        return data.load("digits")
    grey = data.load("digits", binarize=None)
    if np.all(vae.likelihood.support(np.float32(0.5))):
        return grey
    held = {s: np.round(getattr(grey, s) * 16) for s in ("valid", "test")}
    return data.Data("counts", train=grey.train, labels=grey.labels, **held)


@functools.lru_cache
def trained(name):
    """One fit of a variant: the plain one serves all others."""
    variant = small(name)
    given, labels = digits(variant.vae), np.eye(10, dtype=np.float32)

    def batch(split):
        x = getattr(given, split)
        context = labels[given.labels[split]] if variant.vae.context_shape else None
        if variant.vae.prior.observes_context:  # a tenth of the training labels
            context = context * labelled(len(x))[:, None] if split == "train" else None
        return Batch(x, context)

    return given, fit(
        variant.vae,
        batch("train"),
        validation=batch("valid"),
        observation=given.observation,
        objective=variant.objective,
        optimizer=variant.optimizer or optax.adam(3e-3),
        batch_size=100,
        init_params=variant.init_params,
        rng_key=jax.random.key(0),
        epochs=EPOCHS.get(name, 60),
        progress=False,
    )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in ALWAYS)) for name in NAMES]
)
def test_model_trains_and_does_what_its_paper_is_about(name):
    given, fitted = trained(name)
    history = fitted.history
    for which in (history.steps, history.train, history.validation):
        for series, values in which.items():
            assert np.isfinite(values).all() or (name, series) in NO_CLOSED_FORM
    assert history.validation["elbo"][-1] > history.validation["elbo"][0]
    parts = history.validation["log_likelihood"] - history.validation["kl"]
    np.testing.assert_allclose(history.validation["elbo"], parts, rtol=1e-5)
    assert (history.validation["kl"] > -0.1).all()
    CLAIMS[name](Case(fitted, trained("vae")[1], given, lambda *a, **k: built(name, *a, **k).vae))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_model_file_is_a_few_lines_and_names_its_paper(path):
    text = path.read_text()
    file = load_model_file(path)
    assert file.name == path.stem
    assert len(text.splitlines()) <= 45
    assert "arXiv:" in file.function.__globals__["__doc__"]
    assert "The idea:" in file.function.__globals__["__doc__"]
    assert all(option.kind in (int, float, tuple[int, ...]) for option in file.options)


def test_the_table_is_that_of_the_files():
    assert (MODELS / "README.md").read_text() == gallery_table.table(), (
        "models/README.md is made from the docstrings: run `python tests/gallery_table.py`"
    )


def test_vae_is_the_papers():
    vae = built("vae").vae
    assert (vae.latent_dim, vae.encoder.hidden, vae.decoder.hidden) == (20, (500,), (500,))
    assert vae.encoder.activation is jax.nn.relu
    assert (vae.likelihood, vae.prior) == (Bernoulli(), StandardNormal())


def test_variants_differ_from_each_other_by_their_idea():
    assert isinstance(built("gaussian_vae").vae.likelihood.scale, LearnedScale)
    assert built("sigma_vae").vae.likelihood == Gaussian(scale=OptimalScale())
    assert built("vampprior", components=7).vae.prior == VampPrior(components=7)
    linear = built("linear_vae").vae
    assert (linear.encoder, linear.decoder) == (Linear(), Linear())
    likelihood = built("autoregressive_vae", channels=(8, 8), kernel=3).vae.likelihood
    assert likelihood.net == MaskedConv((8, 8), kernel=3)


def test_vampprior_moves_its_pseudo_inputs_faster_than_its_nets():
    """The first step of Adam is its learning rate, so that rates can be read off it."""
    variant = small("vampprior")
    params = {"prior$pseudo_inputs": np.zeros(2), "encoder$params": np.zeros(2)}
    step, _ = variant.optimizer.update(
        jax.tree.map(np.ones_like, params), variant.optimizer.init(params), params
    )
    np.testing.assert_allclose(step["prior$pseudo_inputs"], -1e-2, rtol=1e-4)
    np.testing.assert_allclose(step["encoder$params"], -1e-3, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conditional", "hierarchical", "iaf"])
def test_through_the_command_line(name, tmp_path):
    """Labels as context; codes that are no one distribution, or have no mean: the run finds its figures."""
    options = {"conditional": ("classes", 10), "hierarchical": ("components", 5), "iaf": ("depth", 1)}[
        name
    ]
    given = {"hidden": (8,), "latent_dim": 2, options[0]: options[1]}
    settings = Settings(
        MODELS / f"{name}.py", given, epochs=1, out=tmp_path / "run", num_particles=2, max_test=20
    )
    made = train(settings, say=lambda line: None)
    found = open_run(tmp_path / "run")
    assert np.isfinite(made.fitted.history.steps["loss"]).all()
    assert (tmp_path / "run" / "report.html").is_file()
    shape = {"conditional": (300, 10)}.get(name)
    assert (found.data.context["test"].shape if found.data.context else None) == shape
