"""The moving average of the parameters: as computed by hand, kept, validated, and gone on with."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_checkpoints import ADAM, FAST, SHAPE, TOLD, assert_same, at, grey, plain, real

from probvae import VAE, Batch, HalveRate, MovingAverage, fit, likelihoods, nets
from probvae.training import loop
from probvae.training.averaging import add_average, average_in

HALF = MovingAverage(0.5)


def close(one, other, **tolerance):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def by_hand(trail, decay):
    """sum_s decay^(t - s) w_s / sum_s decay^(t - s)."""
    weights = decay ** np.arange(len(trail))[::-1]
    return jax.tree.map(lambda *w: np.average(np.stack(w), axis=0, weights=weights), *trail)


def stepwise(**options):
    """A run whose epochs are of one step."""
    return plain(**{"batch_size": 24, "optimizer": FAST, "average": HALF, "keep_best": False} | options)


@pytest.fixture(scope="module")
def whole():
    return stepwise()


def test_it_equals_the_average_computed_by_hand(whole, monkeypatch):
    real, trail = loop.run_epoch, []

    def epoch(*given):
        after = real(*given)
        trail.append(jax.device_get(after[0].optim_state[1][0]))
        return after

    monkeypatch.setattr(loop, "run_epoch", epoch)
    assert_same(stepwise(), whole)
    assert len(trail) == 6
    close(whole.params, by_hand(trail, 0.5), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("decay", [0.5, 0.99, 0.9999])
def test_over_many_steps_too(decay):
    sgd = add_average(MovingAverage(decay), optax.sgd(0.1, momentum=0.9))
    params, trail = {"w": jnp.array([1.0, -3.0])}, []
    state = sgd.init(params)
    step = jax.jit(lambda p, s: sgd.update({"w": jnp.sin(7.0 * p["w"])}, s, p))
    for _ in range(60):
        updates, state = step(params, state)
        params = optax.apply_updates(params, updates)
        trail.append(jax.device_get(params))
    np.testing.assert_allclose(state.params["w"], by_hand(trail, decay)["w"], rtol=1e-5)


def test_training_is_the_same_and_validation_looks_at_the_average(whole):
    bare = stepwise(average=None)
    for name in bare.history.steps:
        close(bare.history.steps[name], whole.history.steps[name], rtol=1e-5)
    looked, seen = (np.asarray(f.history.validation["elbo"]) for f in (bare, whole))
    np.testing.assert_allclose(looked[0], seen[0], rtol=1e-5)  # one step: the average is that
    assert (np.abs(looked - seen)[1:] > 1e-3).all()
    assert seen[-1] == pytest.approx(validated(whole), rel=1e-5)


def validated(fitted):
    """The validation ELBO, with the history's own draws."""
    data = Batch((grey(6, 1) > 127).astype(np.float32))
    key = jax.random.split(TOLD["rng_key"], 3)[1]
    data = jax.device_put(data)
    return float(loop.summarize(fitted.vae.eval(), fitted.values, key, data, 24).elbo)


def test_the_best_epochs_average_is_kept(whole):
    kept = stepwise(keep_best=True)
    best = kept.history.best_epoch
    assert best == whole.history.validation["elbo"].argmax() < 5
    close(kept.values, stepwise(epochs=best + 1).values, rtol=0)


def test_a_run_goes_on_to_the_same_bits(whole, tmp_path):
    for epochs in (2, 6):
        went_on = stepwise(epochs=epochs, checkpoints=at(tmp_path))
    assert_same(went_on, whole)
    with pytest.raises(ValueError, match="another run: optimizer differ"):
        stepwise(average=MovingAverage(0.6), checkpoints=at(tmp_path))


@pytest.mark.slow
def test_scales_stay_positive_and_what_is_frozen_stays_as_it_is():
    scale = likelihoods.LearnedScale()
    vae = VAE(
        event_shape=SHAPE,
        latent_dim=2,
        encoder=nets.Linear(),
        decoder=nets.Linear(),
        likelihood=likelihoods.Gaussian(scale=scale),
    )
    told = {"rng_key": jax.random.key(0), "batch_size": 8, "epochs": 2, "progress": False}
    told |= {"average": HALF, "recovery": HalveRate(), "optimizer": ADAM}
    first = fit(vae, real(24, 0), **told)
    (name,) = (name for name in first.params if name.startswith("likelihood$"))
    assert (np.asarray(first.params[name]) > 0).all()
    then = fit(vae, real(24, 0), init_params=first.params, freeze=("decoder",), **told)
    for a, b in zip(*(jax.tree.leaves(f.params["decoder$params"]) for f in (first, then)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.params[name], then.params[name])


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, 2.0, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"MovingAverage\(decay=...\) expects a number in \(0, 1\)"):
        MovingAverage(decay)


def test_an_optimizer_without_an_average_has_none():
    assert average_in((0, ({}, optax.EmptyState()))) is None
