"""The gap's two parts and the local guide's moments, on the oracle with W rotated."""

from functools import lru_cache

import jax
import numpy as np
import oracle
import pytest
from compiled import random_values
from test_rotated_oracle import (
    X,
    best_mean_field,
    exact_full_rank,
    fitted,
    gap,
    posterior,
    raw_scale,
    rotated,
)

from probvae import (
    VAE,
    Batch,
    BoundEstimate,
    Fitted,
    History,
    data,
    flows,
    guides,
    likelihoods,
    nets,
    priors,
)
from probvae.criticism import inference_gap
from probvae.criticism.posterior import inference_gap as module

KEY = jax.random.key(5)
DATA = X[:12]
PRECISE = {"num_particles": 2000, "num_steps": 600}
SHIFT, FACTOR = np.array([0.8, -0.5, 0.3]), np.array([0.5, 1.0, 1.7])


def truth():
    return oracle.log_prob(DATA, *rotated())


def moved(values):
    """A mean-field encoder off the best by SHIFT and FACTOR, in units of the best's deviations."""
    layer = values["encoder$params"]["layers"][0]
    bias = layer["bias"].reshape(3, 2).copy()
    s = np.diag(np.linalg.inv(posterior()[1])) ** -0.5
    bias[:, 0] += SHIFT * s
    bias[:, 1] = raw_scale(FACTOR * s)
    return {"encoder$params": {"layers": {0: {"kernel": layer["kernel"], "bias": bias.ravel()}}}}


def amortization():
    """KL of the moved guide to the posterior minus that of the best: precision times deviations is 1."""
    precision = np.linalg.inv(posterior()[1])
    off = SHIFT * np.diag(precision) ** -0.5
    return 0.5 * (off @ precision @ off + (FACTOR**2 - 1 - 2 * np.log(FACTOR)).sum())


@lru_cache
def measured(name):
    guide, values = {
        "best": (guides.MeanField(), best_mean_field),
        "moved": (guides.MeanField(), lambda: moved(best_mean_field())),
        "exact": (guides.FullRank(), exact_full_rank),
    }[name]
    return inference_gap(fitted(guide, values()), DATA, rng_key=KEY, **PRECISE)


def assert_near(found, error, expected, slack=0.0):
    """Each datum within 4.5 standard errors, and the mean within 4 of its own."""
    assert (np.abs(found - expected) < 4.5 * error + slack).all(), (found, expected, error)
    own = np.sqrt((error**2).sum()) / len(found)
    assert abs(found.mean() - expected) < 4 * own + slack, (found.mean(), expected, own)


def test_mean_fields_approximation_gap_is_its_closed_form():
    """No encoder can close it, and one at the best of its family leaves nothing."""
    found = measured("best")
    known = BoundEstimate(truth(), np.zeros(len(DATA)), 1)
    exact = module._with_log_prob(found, known)
    assert_near(exact.approximation, exact.approximation_standard_error, gap(), slack=1e-4)
    assert exact.approximation_standard_error.max() < 0.05
    np.testing.assert_allclose(found.amortization, 0, atol=2e-3)
    np.testing.assert_allclose(found.scale_ratio, 1, atol=0.03)
    np.testing.assert_allclose(found.shift, 0, atol=0.03)


def test_a_moved_encoders_gap_is_its_closed_form_and_its_moments_say_how():
    found = measured("moved")
    assert found.climbed.all()
    assert_near(found.amortization, found.amortization_standard_error, amortization(), slack=2e-3)
    spread = found.amortization.std(ddof=1) / found.amortization_standard_error.mean()
    assert 0.4 < spread < 1.7
    np.testing.assert_allclose(found.scale_ratio.mean(0), FACTOR, rtol=0.02)
    np.testing.assert_allclose(found.shift.mean(0), SHIFT, atol=0.03)
    known = module._with_log_prob(found, BoundEstimate(truth(), np.zeros(len(DATA)), 1))
    assert_near(known.approximation, known.approximation_standard_error, gap(), slack=2e-3)
    np.testing.assert_allclose(
        known.approximation + known.amortization, known.log_prob - known.elbo, atol=1e-4
    )


def test_an_exact_guide_has_no_gap():
    found = measured("exact")
    np.testing.assert_allclose(found.log_prob, truth(), atol=1e-3)
    np.testing.assert_allclose(found.amortization, 0, atol=1e-3)
    assert_near(found.approximation, found.approximation_standard_error, 0.0, slack=1e-3)
    np.testing.assert_allclose(found.scale_ratio, 1, atol=0.03)


def test_importance_weighted_bounds_stay_below_and_their_error_is_stated():
    for name in ("best", "moved"):
        found = measured(name)
        assert (found.log_prob - truth() < 4 * found.log_prob_standard_error).all()
        assert (found.approximation - gap() < 4 * found.approximation_standard_error).all()
        assert np.median(np.abs(found.log_prob - truth())) < 0.1
        np.testing.assert_allclose(found.log_prob - found.elbo_local, found.approximation, atol=1e-4)


def wide():
    """The exact full-rank encoder, every deviation 1.3 times too large."""
    values = exact_full_rank()
    layer = values["encoder$params"]["layers"][0]
    s = np.exp(oracle.BOUND * np.tanh(layer["bias"][3:6] / (2 * oracle.BOUND)))
    bias = np.concatenate([layer["bias"][:3], raw_scale(1.3 * s), layer["bias"][6:]])
    return {"encoder$params": {"layers": {0: {"kernel": layer["kernel"], "bias": bias}}}}


def test_standard_errors_are_those_of_repetition():
    same = np.repeat(DATA[:1], 200, axis=0)
    part_of_the_way = {"num_particles": 200, "num_steps": 10, "rate": 0.03}
    found = inference_gap(fitted(guides.FullRank(), wide()), same, rng_key=KEY, **part_of_the_way)
    for name in ("elbo", "log_prob", "approximation"):
        spread = getattr(found, name).std(ddof=1)
        stated = np.median(getattr(found, f"{name}_standard_error"))
        assert spread == pytest.approx(stated, rel=0.3), name
    kl = 3 * (0.5 * (1.3**2 - 1) - np.log(1.3))
    assert (found.log_prob - found.elbo).mean() == pytest.approx(kl, abs=0.02)
    assert 0.2 * kl < found.amortization.mean() < 0.9 * kl


def test_a_datum_is_measured_alike_alone_and_in_company():
    alone = inference_gap(
        fitted(guides.MeanField(), moved(best_mean_field())), DATA[:1], rng_key=KEY, **PRECISE
    )
    np.testing.assert_allclose(alone.elbo_local, measured("moved").elbo_local[:1], rtol=1e-4)


def small(**parts):
    """A VAE of random small weights."""
    net = nets.MLP((6,))
    vae = VAE(**{"event_shape": (4,), "latent_dim": 2, "encoder": net, "decoder": net, **parts})
    return Fitted(vae, random_values(vae), History({}, {}, {}))


KINDS = {
    "program guide": {"prior": priors.TwoLevel(net=nets.MLP((4,))), "posterior": guides.TwoLevelTopDown(nets.MLP((4,)))},
    "inner steps": {"posterior": guides.SemiAmortized(2)},
    "shared encoder, flow, context": {
        "prior": priors.VampPrior(3), "posterior": guides.Flow(flows.Coupling(nets.MLP((4,))), depth=1), "context_shape": (1,),
    },
    "noise": {"likelihood": likelihoods.Spread(likelihoods.Gaussian(), noise=data.GaussianNoise(0.2))},
}  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[] if kind == "program guide" else pytest.mark.slow) for kind in KINDS],
)
def test_every_kind_of_guide_has_a_best_local_one(kind):
    """The prior and the decoder do not move with it: its ELBO is that of the model as fitted."""
    at = small(**KINDS[kind])
    x = np.asarray(jax.random.bernoulli(jax.random.key(2), 0.4, (3, 4)), np.float32)
    context = np.ones((3, 1), np.float32) if at.vae.context_shape else None
    given = Batch(x, context, None if kind != "program guide" else x > -1)
    found = inference_gap(at, given, rng_key=KEY, num_steps=40, num_particles=200)
    if kind != "noise":
        bound = at.elbo(given, rng_key=KEY, num_particles=2000)
        error = np.hypot(bound.standard_error, found.elbo_standard_error)
        assert (np.abs(found.elbo - bound.value) < 4 * error + 1e-5).all()
    better = at.log_prob(given, rng_key=KEY, num_particles=2000, num_noise_draws=0)
    if kind != "noise":
        assert (found.elbo_local < better.value + 4 * found.elbo_local_standard_error + 0.02).all()
    assert (found.amortization > -4 * found.amortization_standard_error).all()
    assert found.amortization.mean() > 0.002
    units = 4 if kind == "program guide" else 2
    assert found.scale_ratio.shape == found.shift.shape == (3, units)


AT = {
    "a discrete code": ({"prior": priors.Categorical(), "posterior": guides.Categorical()}, {}, "Sum over its states"),
    "a point": ({"posterior": guides.PointMass()}, {}, "PointMass has none"),
    "one particle": ({}, {"num_particles": 1}, "at least 2"),
    "no steps": ({}, {"num_steps": 0}, "num_steps expects a positive integer"),
    "no rate": ({}, {"rate": 0.0}, "rate expects a finite number > 0"),
    "log p(x) of other data": ({}, {"log_prob": BoundEstimate(np.zeros(5), np.zeros(5), 3)}, "of these 3 data"),
}  # fmt: skip


@pytest.mark.parametrize("case", AT)
def test_what_cannot_be_measured_is_refused(case):
    parts, options, words = AT[case]
    vae = VAE(event_shape=(4,), latent_dim=2, **parts)
    at = Fitted(vae, {}, History({}, {}, {}))
    with pytest.raises(ValueError, match=words):
        inference_gap(at, np.zeros((3, 4), np.float32), rng_key=KEY, **options)


def test_another_shape_is_refused():
    at = fitted(guides.MeanField(), best_mean_field())
    with pytest.raises(ValueError, match=r"expected \(batch, 10\)"):
        inference_gap(at, np.zeros((3, 4), np.float32), rng_key=KEY)
