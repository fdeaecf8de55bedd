"""Every file of models/: it loads, trains, and does what its paper is about, beside the plain VAE."""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import pytest
from gallery_claims import CLAIMS, labelled

from probvae import data, fit
from probvae.likelihoods import Autoregressive, Bernoulli, Gaussian, LearnedScale, OptimalScale
from probvae.nets import Linear, MaskedConv
from probvae.priors import StandardNormal, VampPrior
from probvae.runs import Settings, load_model_file, open_run, train
from probvae.runs.context import add_label_context, add_query_context
from probvae.runs.evaluation import select_batch

MODELS = Path(__file__).parent.parent / "models"
# table.py takes a table and not an event shape: tests/test_cli_tables.py trains such models.
FILES = sorted(path for path in MODELS.glob("*.py") if path.stem != "table")
NAMES = [path.stem for path in FILES]
ALWAYS = {"vae", "gaussian_vae", "sigma_vae", "vampprior", "linear_vae"}
TINY = {"hidden": (32,), "latent_dim": 4}
SMALL = {
    "annealed": {"steps": 200},
    "autoregressive_vae": {"channels": (8,), "kernel": 3, "features": 2},
    "capacity": {"steps": 150, "capacity": 6.0},
    "committed_rate": {"delta": 2.5},
    "flow_prior": {"depth": 2, "coupling": (8,)},
    "factor_vae": {"discriminator": (8,)},
    "free_bits": {"lam": 0.6},
    "hierarchical": {"between": (8,), "components": 5},
    "conv_hierarchical": {"channels": (8, 16), "between": (32,), "components": 5},
    "iaf": {"depth": 1, "made": (16,)},
    "iwae": {"num_particles": 5},
    "ladder": {"groups": 3, "width": 16, "warm_up": 200},
    "multi_rate": {"low": 0.1},
    "relaxed": {"latent_dim": 8},
    "semi_amortized": {"steps": 2},
    "semi_supervised": {"hidden": (64,), "latent_dim": 8, "style": (32,)},
    "transformer": {"hidden": 8, "depth": 1, "heads": 2},
    "transformer_vae": {"patch": 4, "hidden": 8, "depth": 1, "heads": 2},
    "vae_gan": {"rate": 3e-3, "discriminator": (64,)},
    "vampprior": {"components": 5},
}
EPOCHS = {
    "autoregressive_vae": 20,
    "conv_hierarchical": 4,
    "discrete": 10,
    "factor_vae": 5,
    "mixture": 5,
    "negative_binomial": 5,
    "semi_amortized": 20,
    "spherical": 10,
}
EPOCHS |= {  # their claims have their own
    "laplace": 5,
    "spread": 5,
    "student_t": 5,
    "transformer": 2,
    "transformer_vae": 2,
}
EPOCHS |= {"linear_vae": 100}
NO_DENSITY = {"autoencoder", "perceptual"}
NO_CLOSED_FORM = {("iaf", "scale_z"), ("autoregressive_vae", "scale_x")}


class Case(NamedTuple):
    fitted: Any
    plain: Any
    data: data.Data
    build: Any
    build_whole: Any


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
    given = add_label_context(variant, digits(variant.vae))
    train, valid = (
        select_batch(variant.vae, split, name)
        for split, name in ((given, "train"), (add_query_context(variant, given), "valid"))
    )
    if variant.vae.prior.observes_context:  # a tenth of the training labels, and no others
        train = train._replace(context=train.context * labelled(len(train.x))[:, None])
        valid = valid._replace(context=None)
    return given, fit(
        variant.vae,
        train,
        validation=valid,
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
    bounded = name not in NO_DENSITY
    assert ("elbo" in history.validation) == bounded
    score = history.validation["elbo" if bounded else "log_likelihood"]
    assert score[-1] > score[0]
    if bounded:
        parts = history.validation["log_likelihood"] - history.validation["kl"]
        np.testing.assert_allclose(score, parts, rtol=1e-5)
    assert (history.validation["kl"] > -0.1).all()
    whole = functools.partial(built, name)
    CLAIMS[name](Case(fitted, trained("vae")[1], given, lambda *a, **k: whole(*a, **k).vae, whole))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_model_file_is_a_few_lines_and_names_its_paper(path):
    text = path.read_text()
    file = load_model_file(path)
    assert file.name == path.stem
    assert len(text.splitlines()) <= 45
    assert "arXiv:" in file.function.__globals__["__doc__"]
    assert "The idea:" in file.function.__globals__["__doc__"]
    assert all(option.kind in (int, float, tuple[int, ...]) for option in file.options)


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
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("conditional", {"classes": 10}),
        ("multi_rate", {"high": 0.5}),
        ("autoencoder", {}),
        ("factor_vae", {"discriminator": (8,)}),
    ],
)
def test_through_the_command_line(name, options, tmp_path):
    """Labels or log beta as context; codes that are no one distribution, or have no mean; no density.

    The run finds its figures, and its report says why there is no log p(x) where there is none.
    """
    given = {"hidden": (8,), "latent_dim": 2, **options}
    settings = Settings(
        MODELS / f"{name}.py", given, epochs=1, out=tmp_path / "run", num_particles=2, max_test=20
    )
    lines = []
    made = train(settings, say=lines.append)
    found = open_run(tmp_path / "run")
    assert np.isfinite(made.fitted.history.steps["loss"]).all()
    report = (tmp_path / "run" / "report.html").read_text()
    assert {p.stem for p in (tmp_path / "run" / "figures").iterdir()} >= {"reconstructions", "samples"}
    shape = {"conditional": (300, 10), "multi_rate": (300, 1)}.get(name)
    assert (found.data.context["test"].shape if found.data.context else None) == shape
    part = {"autoencoder": "PointMass", "perceptual": "PerceptualDistance"}.get(name)
    assert ("There is no test log p(x)" in report) == (part is not None)
    if part:
        assert f"{part} has none" in report
        assert f"{part} has none" in " ".join(lines)
    if (
        name == "multi_rate"
    ):  # evaluated at the beta in [low, high] that is nearest to the ELBO's own weight
        np.testing.assert_allclose(found.data.context["valid"], np.log(0.5), rtol=1e-6)
        assert "evaluated at beta = 0.5" in lines[0]
        assert "evaluated at</th><td>beta = 0.5" in report
