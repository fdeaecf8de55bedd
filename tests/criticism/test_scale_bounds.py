"""Bounds on scales: what a looser one gains, in closed form, and which part holds it."""

import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import registry
from test_predictive import constant

from probvae import Batch, Fitted, History, criticism, guides, likelihoods
from probvae.criticism import scale_bounds
from probvae.criticism.diagnosis import rules
from probvae.criticism.diagnosis.measurements import Measurements
from probvae.criticism.diagnosis.scale_bounds import _find_bounds, _loosen_bounds

KEY = jax.random.key(0)
X = oracle.dataset(200)
W, MU, VARIANCE = oracle.optimum(X)
LOW = np.exp(-6.0)  # of sigma


def oracle_in(unit, raw=-40.0, shift=0.0, variance=VARIANCE, width=1.0, **parts):
    """The oracle of data in other units, log sigma's raw value far below its bound unless given.

    ``shift`` is added to the decoder's weights, as by an optimizer whose steps are too large.
    """
    values = oracle.params(W, MU, variance, width)
    encoder, decoder = (values[f"{role}$params"]["layers"][0] for role in ("encoder", "decoder"))
    encoder["kernel"] = encoder["kernel"] / unit
    decoder["kernel"], decoder["bias"] = unit * decoder["kernel"] + shift, unit * decoder["bias"]
    values["likelihood$log_scale"] = np.array(raw)
    values = jax.tree.map(lambda a: jnp.asarray(a, float), values)
    return Fitted(oracle.vae(**parts), values, History({}, {}, {}))


def finding(fitted, x):
    """Return what the rule says of a fit."""
    measurements = Measurements(
        num_data=len(X),
        elbo=SimpleNamespace(mean=-20.0),
        log_prob=None,
        scale_bounds=scale_bounds(fitted, x, rng_key=KEY),
        response=criticism.decoder_response(fitted, x, rng_key=KEY),
    )
    return rules.find_scale_at_bound(measurements)


def test_the_gain_of_a_looser_bound_is_its_closed_form():
    """sigma falls by e: d nats from its logarithm, less (e^2 - 1) / 2 E|x - W z - mu|^2 / sigma^2."""
    unit = 1e-3
    found = scale_bounds(oracle_in(unit), unit * X, rng_key=KEY)
    exact = 10 * (1 - 0.5 * np.expm1(2) * unit**2 * VARIANCE / LOW**2)
    bound = found.bounds["likelihood_min_log"]
    assert (bound.part, bound.bound, bound.looser_bound, bound.num_at_bound) == (
        "LearnedScale",
        -6.0,
        -7.0,
        0,
    )
    assert bound.gain == pytest.approx(exact, abs=4 * bound.gain_error)
    assert bound.gain_error < 0.05
    assert abs(found.bounds["posterior_log_bound"].gain) < 0.05
    assert found.gain == pytest.approx(bound.gain, abs=0.05)


def test_bounds_that_no_scale_is_near_cost_nothing():
    raw = 0.5 * np.log(VARIANCE)
    found = scale_bounds(oracle_in(1.0, raw), X, rng_key=KEY)
    assert abs(found.gain) < 0.05
    assert not found.bounds
    assert finding(oracle_in(1.0, raw), X) is None
    wide = scale_bounds(oracle_in(1.0, np.log(40.0)), X, rng_key=KEY)  # wider than x, and free
    assert not wide.bounds


def test_weights_that_are_noise_at_the_scale_of_the_data_do_not_hide_the_bound():
    """A smaller sigma would not do for these weights: it shows in that sigma is wider than x itself."""
    unit = 1e-5
    fitted = oracle_in(unit, shift=0.5 * LOW)
    bound = scale_bounds(fitted, unit * X, rng_key=KEY).bounds["likelihood_min_log"]
    assert bound.gain < 0
    assert (bound.num_at_bound, bound.num_entries) == (10, 10)
    assert bound.loss == pytest.approx((np.log(LOW / (unit * X.std(0))) - 1.1).sum(), rel=1e-3)
    found = finding(fitted, unit * X)
    assert found.name == "scale at its bound"
    assert "10 of 10 entries" in found.evidence


def test_each_remedy_frees_the_scale():
    """In other units, or by the bound that is advised, the same fit is held back no more."""
    unit, raw = 1e-3, np.log(1e-3) + 0.5 * np.log(VARIANCE)
    found = finding(oracle_in(unit, raw), unit * X)
    assert all(word in found.remedy for word in ("units", "standardise", "lower the bound"))
    code = found.remedy.rsplit(": ")[-1].rstrip(".")
    scale = eval(code, vars(likelihoods))  # noqa: S307
    assert scale.min_log < raw - 5
    freed = oracle_in(unit, raw, likelihood=likelihoods.Gaussian(scale))
    assert finding(freed, unit * X) is None
    assert finding(oracle_in(1.0, raw - np.log(unit)), X) is None


def test_a_density_without_a_maximum_is_not_sent_further_down():
    """Data on a plane: a lower bound would only let sigma run on."""
    plane = (X - MU) @ W @ np.linalg.pinv(W) + MU
    fitted = oracle_in(1.0, variance=(1.001 * LOW) ** 2, width=0.3)
    assert scale_bounds(fitted, plane, rng_key=KEY).bounds["likelihood_min_log"].gain > 5
    assert finding(fitted, plane) is None


def test_a_guide_at_its_bound_is_named():
    fitted = oracle_in(1.0, 0.5 * np.log(VARIANCE), posterior=guides.MeanField(log_bound=1.0))
    found = finding(fitted, X)
    assert found.evidence.startswith("MeanField(log_bound=1) ")
    assert found.remedy == "Loosen the bound: MeanField(log_bound=7.0)."


def test_the_block_of_a_joint_is_named_and_its_columns_are_its_own():
    """Block b is in units where its scale is at the bound; a's columns are a thousand times larger."""
    joint = likelihoods.Joint(
        a=(1, likelihoods.Gaussian(likelihoods.PixelScale())),
        b=(2, likelihoods.Gaussian(likelihoods.PixelScale())),
    )
    fitted = constant(joint, [0.0, 0.0, 0.0, -40.0, 0.0, -40.0], columns=3)
    x = np.random.default_rng(0).normal(size=(200, 3)) * [1, 1e-4, 1e-4]
    mask = np.random.default_rng(1).uniform(size=x.shape) < 0.8
    found = finding(fitted, Batch(x, mask=mask))
    assert found.evidence.startswith('PixelScale(min_log=-6) of block "b" ')
    assert "2 of 2 entries" in found.evidence


@pytest.mark.parametrize("role", ["likelihood", "posterior", "prior"])
def test_every_bound_of_a_part_is_declared(role):
    """A field that is called a bound is found below the VAE, and can be loosened there."""
    parts = {"likelihood": registry.LIKELIHOODS, "posterior": registry.GUIDES, "prior": registry.PRIORS}
    words = ("min_log", "max_log", "log_bound")
    for name, make in parts[role].items():
        part = make()
        roles = dict.fromkeys(("likelihood", "posterior", "prior"))
        vae = SimpleNamespace(**{**roles, role: part})
        found = list(_find_bounds(vae))
        asked = sum(repr(part).count(f"{word}=") for word in words)
        layers = len(
            re.findall(r"\bCoupling\(", repr(part))
        )  # a layer's bound shapes a flow and is no scale's
        assert len(found) == asked - layers, name
        for each in found:
            (loose,) = [
                other for other in _find_bounds(_loosen_bounds(vae, [each])) if other.path == each.path
            ]
            assert loose.bound == each.looser
