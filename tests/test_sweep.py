"""Sweeps: each training is that of `fit`; one program; what is swept is swept."""

import functools
import re
import signal
import sys

import jax
import numpy as np
import optax
import pytest

from probvae import VAE, EarlyStopping, fit, likelihoods, nets, objectives, progress, sweep
from probvae.training.sweeps.vmapped import _run_epoch

ADAM = optax.inject_hyperparams(optax.adam)(1e-2)
KEYS = [jax.random.key(seed) for seed in (3, 5)]
X = (np.random.default_rng(0).random((60, 3, 3)) < 0.3).astype(np.uint8)
TOLD = {"batch_size": 10, "progress": False, "validation": X[40:]}


def small(**parts):
    net = nets.MLP((8,))
    return VAE(event_shape=(3, 3), latent_dim=2, encoder=net, decoder=net, **parts)


def same(one, alone):
    assert one.history.num_epochs == alone.history.num_epochs
    assert one.history.best_epoch == alone.history.best_epoch
    np.testing.assert_allclose(one.history.steps["loss"], alone.history.steps["loss"], rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), one.values, alone.values)


@functools.cache
def adam(rate):
    return optax.adam(rate)  # one object: one program


@pytest.mark.parametrize(
    ("at_once", "early"),
    [
        (3, EarlyStopping(2)),
        pytest.param(None, None, marks=pytest.mark.slow),
        pytest.param(8, None, marks=pytest.mark.slow),
    ],
)
def test_each_training_is_that_of_fit_and_all_are_one_program(at_once, early):
    over = {"beta": (0.5, 2.0), "learning_rate": (1e-2, 3e-2)}
    told = {**TOLD, "epochs": 8, "early_stopping": early}
    compiled = _run_epoch._cache_size()
    found = sweep(small(), X[:40], rng_keys=KEYS, over=over, optimizer=ADAM, at_once=at_once, **told)
    assert _run_epoch._cache_size() == compiled + 1
    assert found.shape == (2, 2, 2)
    for at, beta, rate in [(0, 0.5, 1e-2), (1, 2.0, 1e-2), (1, 0.5, 3e-2)]:
        parts = {"objective": objectives.ELBO(beta=beta), "optimizer": adam(rate)}
        alone = fit(small(), X[:40], rng_key=KEYS[at], **parts, **told)
        same(found.at(key=at, beta=beta, learning_rate=rate), alone)
    again = sweep(
        small(), X[:40], rng_keys=KEYS[:1], over=over, optimizer=ADAM, at_once=at_once, **told
    )
    assert _run_epoch._cache_size() == compiled + (2 if at_once == 8 else 1)  # four fill no eight
    same(again.at(beta=2.0, learning_rate=3e-2), found.at(beta=2.0, learning_rate=3e-2))


def test_the_table_has_what_is_kept_of_each():
    over = {"beta": (1.0, 4.0)}
    found = sweep(small(), X[:40], rng_keys=KEYS, over=over, epochs=3, **TOLD)
    table = found.table()
    assert dict(table.sizes) == {"key": 2, "beta": 2}
    one = found.at(key=1, beta=4.0)
    assert [one.history.best_epoch for one in found.fitted] == [2, None, 2, None]
    assert float(table["elbo"].sel(key=1, beta=4.0)) == one.history.validation["elbo"][-1]
    np.testing.assert_allclose(table["elbo"], table["log_likelihood"] - table["kl"], atol=1e-4)
    assert found.best() is found.fitted[int(np.argmax(table["elbo"].values.ravel()))]
    with pytest.raises(KeyError, match="expects a key below 2"):
        found.at(key=2, beta=1.0)
    with pytest.raises(KeyError, match="one value for each"):
        found.at(beta=3.0)


def test_by_default_the_best_epoch_is_kept_as_by_fit():
    """A rate so high that the best epoch is not the last; and the last where it is asked for."""
    told = {**TOLD, "epochs": 6, "optimizer": adam(1.5)}
    (found,) = sweep(small(), X[:40], rng_keys=KEYS[:1], **told).fitted
    assert found.history.best_epoch == int(found.history.validation["elbo"].argmax()) < 5
    same(found, fit(small(), X[:40], rng_key=KEYS[0], **told))
    (last,) = sweep(small(), X[:40], rng_keys=KEYS[:1], keep_best=False, **told).fitted
    same(last, fit(small(), X[:40], rng_key=KEYS[0], keep_best=False, **told))
    assert last.history.best_epoch is None


def test_a_training_that_is_not_finite_is_over_and_the_others_go_on():
    """A rate so high that the loss overflows: its values are those of its last finite epoch."""
    over = {"learning_rate": (1e-2, 1e38)}
    found = sweep(small(), X[:40], rng_keys=KEYS[:1], over=over, optimizer=ADAM, epochs=4, **TOLD)
    good, bad = found.fitted
    assert good.history.num_epochs == 4
    assert bad.history.num_epochs < 4
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(bad.values))
    assert found.best() is good


def test_all_start_from_the_values_given():
    """With a rate of 0 they stay there; the others are drawn from each key."""
    over = {"learning_rate": (0.0,)}
    told = {"rng_keys": KEYS, "over": over, "optimizer": ADAM, "epochs": 1, **TOLD}
    drawn = sweep(small(), X[:40], **told).fitted
    given = {"decoder$params": drawn[1].params["decoder$params"]}
    found = sweep(small(), X[:40], init_params=given, **told).fitted
    for one, other in zip(found, drawn, strict=True):
        for name, start in {**other.params, **given}.items():
            jax.tree.map(np.testing.assert_array_equal, one.params[name], start)
    with pytest.raises(ValueError, match="decoder"):
        sweep(small(), X[:40], init_params={"decoder": 1.0}, **told)


def test_an_interrupt_ends_what_runs_after_the_epoch_and_the_others_after_their_first(monkeypatch):
    class Bar(progress.ProgressLines):
        def update(self, n=1):
            super().update(n)
            if self._n == 2:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(sys.modules["probvae.training.sweeps.sweep"], "progress_bar", Bar)
    over = {"learning_rate": (1e-2,)}
    found = sweep(small(), X[:40], rng_keys=KEYS, over=over, optimizer=ADAM, epochs=6, **TOLD)
    assert [one.history.num_epochs for one in found.fitted] == [2, 1]
    assert found.interrupted
    assert np.isfinite(found.columns()["elbo"]).all()


@pytest.mark.parametrize(
    ("told", "error", "message"),
    [
        ({"over": {"gamma": (1.0,)}}, ValueError, "over['gamma'] is neither a weight of ELBO (beta) nor a number in the optimizer"),
        ({"over": {"learning_rate": (1.0,)}}, ValueError, "optimizer=optax.inject_hyperparams(optax.adam)(1e-3)"),
        ({"over": {"beta": ()}}, ValueError, "over['beta'] expects one or more finite numbers; got ()"),
        ({"over": {"beta": (1.0, np.nan)}}, ValueError, "expects one or more finite numbers"),
        ({"over": {"beta": (1.0, 1.0)}}, ValueError, "has a number twice"),
        ({"over": {"beta": (1.0, -1.0)}}, ValueError, "-1.0"),
        ({"rng_keys": []}, ValueError, "rng_keys expects one typed key or more"),
        ({"validation": None}, ValueError, "sweep compares trainings by validation data"),
        ({"at_once": 0}, ValueError, "at_once expects a positive integer; got 0"),
        ({"epochs": 0}, ValueError, "epochs expects a positive integer"),
    ],
    ids=str,
)  # fmt: skip
def test_errors(told, error, message):
    options = {"rng_keys": KEYS, "epochs": 1, **TOLD, **told}
    with pytest.raises(error, match=re.escape(message)):
        sweep(small(), X[:40], **options)


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2])
def test_a_value_of_the_whole_training_set_is_gathered_as_by_fit(at_once):
    vae = small(likelihood=likelihoods.Gaussian(scale=likelihoods.OptimalScale()))
    x = np.random.default_rng(1).normal(size=(60, 3, 3)).astype(np.float32)
    told = {**TOLD, "validation": x[40:], "epochs": 6, "early_stopping": EarlyStopping(2)}
    found = sweep(vae, x[:40], rng_keys=KEYS, at_once=at_once, **told)
    for one, key in zip(found.fitted, KEYS, strict=True):
        alone = fit(vae, x[:40], rng_key=key, **told)
        same(one, alone)
        np.testing.assert_allclose(
            one.history.validation["elbo"], alone.history.validation["elbo"], rtol=1e-4
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4),
            one.values["likelihood$state"],
            alone.values["likelihood$state"],
        )
