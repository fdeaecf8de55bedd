"""Faces: the quick run says what it was, and the tutorial's loss is the tutorial's formula."""

import re

import jax
import numpy as np
import pytest
from inference_runs import needs_data, run
from sklearn.decomposition import PCA

from inference.faces import square, tutorial_path
from inference.pictures import by_components, in_chunks
from inference.tutorial_loss import TutorialLoss
from probvae import VAE, Fitted, likelihoods, nets
from probvae.fitted import History
from probvae.tracing import trace_structure

KEY = jax.random.key(0)


@needs_data
@pytest.mark.slow
def test_the_quick_run(tmp_path):
    printed = run("celebahq", "--quick", "--data", "lfw64", "--out", str(tmp_path))
    assert printed.startswith("faces: lfw64, 64 train, 32 held out")
    names = ("curves", "reconstructions", "samples", "paths")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*(f"celebahq_{name}.png" for name in names), "celebahq_0.safetensors"]
    )
    rows = re.findall(r"^\| (.*?) \| <=? (\S+) \| (\S+) \| (yes|NO) \|$", printed, re.MULTILINE)
    assert [row[0] for row in rows][:2] == ["squared error", "below the tutorial's"]
    assert all((float(seen) <= float(told)) == (holds == "yes") for _, told, seen, holds in rows)


def test_the_loss_of_the_tutorial():
    """Nets without weights, so that only offsets are left and the draw of z says nothing."""
    vae = VAE(
        event_shape=(3,),
        latent_dim=2,
        likelihood=likelihoods.Gaussian(scale=likelihoods.PixelScale()),
        encoder=nets.Linear(),
        decoder=nets.Linear(),
    )
    random = np.random.default_rng(0)
    values = {
        name: jax.tree.map(lambda a: offsets(a, random), tree)
        for name, tree in trace_structure(vae).params.items()
    }
    x = random.normal(size=(4, 3)).astype(np.float32)
    objective, fitted = TutorialLoss(weight=7.0), Fitted(vae, values, History({}, {}, {}))
    bound = objective.bound(objective.read(KEY, values, vae.model, vae.guide, x), None)
    q, p = fitted.encode(x), fitted.decode(np.zeros((4, 2), np.float32))
    sigma, log_std = np.sqrt(p.variance), np.log(q.variance) / 2
    assert np.abs(log_std).min() > 0.05
    misfit = (((x - p.mean) / sigma) ** 2 + np.log(sigma)).sum(-1) / 2
    kl = (np.exp(log_std) + q.mean**2 - 1 - log_std).sum(-1) / 2
    np.testing.assert_allclose(bound, -misfit - 7.0 * kl, rtol=1e-5)


def offsets(leaf, random):
    return np.zeros(leaf.shape, "f4") if leaf.ndim == 2 else random.normal(size=leaf.shape).astype("f4")


def test_the_paths_of_the_tutorial():
    a, b = np.array([3.0, 0.0]), np.array([0.0, 2.0])
    np.testing.assert_allclose(tutorial_path(a, b, 0.0), a)
    np.testing.assert_allclose(tutorial_path(a, b, 1.0), b)
    np.testing.assert_allclose(tutorial_path(a, b, 0.6), [2.4, 1.2], rtol=1e-6)


def test_components_rebuild_what_they_span_and_errors_are_of_clipped_pictures():
    random = np.random.default_rng(0)
    few = random.uniform(size=(3, 8, 8, 3)).astype("f4")
    train = few[random.integers(0, 3, 30)]
    np.testing.assert_allclose(by_components(train, few, 2), few, atol=1e-4)
    assert square(by_components(train, few, 1), few) > 1e-3
    x = random.normal(size=(200, 12)) * np.linspace(2, 0.1, 12)
    exact = PCA(3).fit(x)
    there = exact.inverse_transform(exact.transform(x[:5]))
    np.testing.assert_allclose(by_components(x, x[:5], 3), there, atol=1e-6)
    assert square(np.full_like(few, 7.0), np.full_like(few, 0.9)) == pytest.approx(0.01)


def test_chunks_leave_no_trace():
    x = np.arange(70.0)[:, None]
    np.testing.assert_array_equal(in_chunks(lambda rows: rows + len(rows), x, rows=32), x + 32)
