"""`diagnose` end to end: a healthy oracle has no fault, and everything that was measured is in the tree."""

import sys
from dataclasses import replace

import jax
import numpy as np
import optax
import oracle
import pytest

import probvae
from probvae import VAE, Fitted, History, diagnose, guides, likelihoods, nets, priors
from probvae.criticism import Budget, Kind
from probvae.data import Cast
from probvae.data_description import DataSummary

X = oracle.dataset(200).astype(np.float32)
BUDGET = Budget(100, 100, 20, 8, 20, 100)
KEY = jax.random.key(0)


def exact(**changes):
    values = oracle.params(*oracle.optimum(oracle.dataset(1000)))
    record = {"elbo": np.full(20, -13.4), "kl": np.full(20, 6.0)}
    history = History({}, record, record)
    return Fitted(oracle.vae(**changes), {} if "posterior" in changes else values, history)


@pytest.fixture(scope="module")
def found():
    return diagnose(exact(), X, train=X, rng_key=KEY, budget=BUDGET)


def test_the_oracle_has_no_fault(found):
    assert not found.verdict.of(Kind.FAULT)
    assert not found.measurements.missing
    assert np.all(found.measurements.pareto.k_hat == -np.inf)
    assert abs(found.measurements.gap.amortization.mean()) < 0.05


def test_the_tree_holds_what_was_measured_and_found(found, tmp_path):
    found.tree.to_netcdf(tmp_path / "tree.nc")
    numbers = found.tree["diagnostics"]
    np.testing.assert_allclose(numbers["units_kl_z"], found.measurements.units.kl["z"])
    assert float(numbers["surgery_kl"]) == found.measurements.surgery.kl
    assert found.tree["verdict"].sizes["finding"] == len(found.verdict)
    assert found.tree["posterior"]["z"].dims == ("chain", "draw", "datum", "latent")
    assert found.tree["posterior"].sizes["datum"] == BUDGET.num_local  # the dear measures' data
    assert (tmp_path / "tree.nc").stat().st_size > 10_000


def test_it_prints_the_verdict_and_says_what_each_measure_cost(found):
    assert str(found).startswith("Verdict: 0 faults")
    assert set(found.measurements.seconds) >= {"elbo", "gap", "train_gap", "calibration", "predictive"}


def test_what_is_not_to_be_had_is_a_note():
    """NumPyro's own objectives record the loss alone: there is no trend to read."""
    fitted = exact()
    silent = Fitted(fitted.vae, fitted.values, History({}, {"loss": np.ones(9)}, {}))
    made = diagnose(silent, X, rng_key=KEY, budget=BUDGET)
    assert "convergence" in made.measurements.missing
    assert "convergence not measured" in [note.name for note in made.verdict.of(Kind.NOTE)]


def test_data_in_other_units_are_a_finding_that_comes_first_and_no_warning():
    describer = DataSummary(X.shape[1:], Cast())
    describer.add(X, X, None)
    fitted = replace(exact(), data=describer.description())
    verdict = diagnose(fitted, 255 * X, rng_key=KEY, budget=BUDGET).verdict
    assert verdict[0].name == "outside the training range"
    assert verdict[0].kind == Kind.FAULT
    assert "same units" in verdict[0].evidence
    other = diagnose(fitted, X, rng_key=KEY, budget=BUDGET).verdict
    assert "outside the training range" not in other.names


def test_bad_input_is_refused_before_anything_is_measured():
    with pytest.raises(
        ValueError, match=r"at least 50 held-out data; got 49.*x\[:-n\].*missing entries count"
    ):
        diagnose(exact(), X[:49], rng_key=KEY)
    with pytest.raises(ValueError, match="event_shape"):
        diagnose(exact(), X[:, :5], rng_key=KEY)
    with pytest.raises(ValueError, match="PointMass"):
        diagnose(exact(posterior=guides.PointMass()), X, rng_key=KEY)


def test_without_arviz_it_says_so_before_it_measures(monkeypatch):
    monkeypatch.setattr("probvae.criticism.diagnosis.diagnosis_tree.find_spec", lambda name: None)
    module = sys.modules["probvae.criticism.diagnosis.diagnose"]  # the package's name is the function's
    monkeypatch.setattr(module, "measure", lambda *a, **k: pytest.fail("measured"))
    with pytest.raises(ImportError, match=r"probvae\[arviz\]"):
        diagnose(exact(), X, rng_key=KEY)


@pytest.mark.slow
@pytest.mark.parametrize(
    "parts",
    [
        {"prior": priors.Bernoulli(), "posterior": guides.Bernoulli()},
        {
            "prior": priors.TwoLevel(net=nets.MLP((8,))),
            "posterior": guides.TwoLevelTopDown(nets.MLP((8,))),
        },
        {"likelihood": likelihoods.Gaussian(), "context_shape": (2,)},
    ],
    ids=["discrete", "hierarchy", "context"],
)
def test_every_kind_of_vae_is_diagnosed(parts):
    x = np.random.default_rng(0).uniform(size=(120, 3, 2)).astype(np.float32)
    x = x if "likelihood" in parts else np.round(x)
    net = nets.MLP((8,))
    vae = VAE(event_shape=(3, 2), latent_dim=2, encoder=net, decoder=net, **parts)
    told = probvae.Batch(x, x[:, 0] if vae.context_shape else None)
    fitted = probvae.fit(
        vae, told, rng_key=KEY, epochs=6, batch_size=40, optimizer=optax.adam(1e-2), progress=False
    )
    made = diagnose(fitted, told, train=told, rng_key=KEY, budget=BUDGET)
    assert {"units", "surgery", "prior_gap"} <= set(made.measurements.seconds) - set(
        made.measurements.missing
    )
    assert str(made.verdict)
