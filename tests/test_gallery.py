"""Every file of models/: it loads, trains, and what it declares is what its paper says."""

from pathlib import Path

import jax
import numpy as np
import pytest

from probvae import data, fit
from probvae.likelihoods import Autoregressive, Bernoulli, Gaussian, LearnedScale, OptimalScale
from probvae.nets import Linear, MaskedConv
from probvae.priors import StandardNormal, VampPrior
from probvae.runs import load_model_file

MODELS = Path(__file__).parent.parent / "models"
FILES = sorted(MODELS.glob("*.py"))
SMALL = {
    "vae": {"hidden": (16,), "latent_dim": 3},
    "gaussian_vae": {"hidden": (16,), "latent_dim": 3},
    "sigma_vae": {"hidden": (16,), "latent_dim": 3},
    "vampprior": {"hidden": (16,), "latent_dim": 3, "components": 5},
    "linear_vae": {},
    "autoregressive_vae": {
        "hidden": (16,),
        "latent_dim": 3,
        "channels": (4,),
        "kernel": 3,
        "features": 2,
    },
}


@pytest.fixture(scope="module")
def digits():
    return {"binary": data.load("digits"), "grey": data.load("digits", binarize=None)}


def built(name, **arguments):
    return load_model_file(MODELS / f"{name}.py").build((8, 8), **arguments)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_model_trains_and_its_numbers_mean_something(path, digits):
    file = load_model_file(path)
    variant = file.build((8, 8), **SMALL[path.stem])
    given = digits[
        "binary" if isinstance(variant.vae.likelihood, Bernoulli | Autoregressive) else "grey"
    ]
    fitted = fit(
        variant.vae,
        given.train,
        validation=given.valid,
        observation=given.observation,
        objective=variant.objective,
        optimizer=variant.optimizer,
        batch_size=variant.batch_size or 128,
        rng_key=jax.random.key(0),
        epochs=2,
        progress=False,
    )
    history = fitted.history
    for series in (history.steps, history.train, history.validation):
        known = {**series}
        if isinstance(variant.vae.likelihood, Autoregressive):
            assert np.isnan(known.pop("scale_x")).all()  # has no closed form, and says so
        assert all(np.isfinite(values).all() for values in known.values())
    assert history.validation["elbo"][-1] > history.validation["elbo"][0]
    parts = history.validation["log_likelihood"] - history.validation["kl"]
    np.testing.assert_allclose(history.validation["elbo"], parts, rtol=1e-5)
    assert (history.validation["kl"] > -0.1).all()
    assert (history.validation["scale_z"] > 0).all()


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
    likelihood = built("autoregressive_vae", channels=(8, 8), kernel=3).vae.likelihood
    assert likelihood.net == MaskedConv((8, 8), kernel=3)
    linear = built("linear_vae").vae
    assert (linear.encoder, linear.decoder) == (Linear(), Linear())


def test_vampprior_moves_its_pseudo_inputs_faster_than_its_nets(digits):
    """The first step of Adam is its learning rate, so that rates can be read off it."""
    variant = built("vampprior", **SMALL["vampprior"])
    params = {"prior$pseudo_inputs": np.zeros(2), "encoder$params": np.zeros(2)}
    step, _ = variant.optimizer.update(
        jax.tree.map(np.ones_like, params), variant.optimizer.init(params), params
    )
    np.testing.assert_allclose(step["prior$pseudo_inputs"], -1e-2, rtol=1e-4)
    np.testing.assert_allclose(step["encoder$params"], -1e-3, rtol=1e-4)
