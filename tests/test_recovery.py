"""A loss that is not finite: the run goes back, leaves the batch out or halves the rate, and says so."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from probvae import (
    VAE,
    Checkpoints,
    HalveRate,
    NonFiniteLossError,
    SkipBatch,
    fit,
    likelihoods,
    load,
    nets,
)
from probvae.cli.parser import parse_arguments
from probvae.data import Cast, Data
from probvae.evidence import Batch
from probvae.objectives import ELBO
from probvae.runs import Run, Settings, training
from probvae.runs.plan import make_recovery
from probvae.runs.training_summary import summarize_training
from probvae.training import loop

SHAPE = (3,)
KEY = jax.random.key(0)
EPOCH_KEY = jax.random.split(KEY, 3)[1]
SGD, HIGH = optax.sgd(0.01), optax.sgd(2.0**20)
X = np.random.default_rng(0).normal(size=(24, *SHAPE)).astype(np.float32)
ODD = 5
WITH_ODD = np.where(np.arange(24)[:, None] == ODD, np.float32(1.8e19), X)


def tiny(**changes):
    scale = likelihoods.Gaussian(scale=likelihoods.FixedScale(1.0))
    parts = {"encoder": nets.Linear(), "decoder": nets.Linear(), "likelihood": scale, **changes}
    return VAE(event_shape=SHAPE, latent_dim=2, **parts)


def fitted(vae=None, x=WITH_ODD, **options):
    told = {"rng_key": KEY, "epochs": 3, "batch_size": 8, "optimizer": SGD, "progress": False}
    return fit(tiny() if vae is None else vae, x, **told | options)


def assert_same(one, other):
    for a, b in zip(jax.tree.leaves(one.values), jax.tree.leaves(other.values), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def skipped():
    return fitted(recovery=SkipBatch())


def by_hand(epochs):
    """SVI's own steps, in the order of ``fit``, but for those with the odd datum."""
    run = loop.Run(tiny(), ELBO(), SGD, Cast(), 8)
    data = Batch(jnp.asarray(WITH_ODD))
    state = loop.initialize(run, jax.random.split(KEY, 3)[0], Batch(data.x[:8]), {})
    update = jax.jit(loop.build_svi(run).update)
    for epoch in range(epochs):
        keys = jax.random.split(jax.random.fold_in(EPOCH_KEY, epoch), 3)
        state = state._replace(rng_key=keys[2])
        for rows in loop.draw_step_rows(EPOCH_KEY, epoch, 24, 8):
            after, _ = update(state, data.x[rows])
            state = state._replace(rng_key=after.rng_key) if ODD in rows else after
    return loop.extract_values(run, state)


def test_steps_that_are_left_out_move_nothing_and_all_others_do(skipped):
    want = by_hand(3)
    for name, value in want.items():
        for a, b in zip(jax.tree.leaves(skipped.values[name]), jax.tree.leaves(value), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_history_says_which_step_and_which_data(skipped):
    history = skipped.history
    assert [incident.epoch for incident in history.incidents] == [0, 1, 2]
    for incident in history.incidents:
        assert ODD in incident.rows
        assert len(incident.rows) == 8
        assert incident.term == "log_likelihood = -inf"
        assert incident.action == "the batch was skipped"
        assert not np.isfinite(history.steps["loss"][incident.step])
    assert np.isfinite(history.steps["loss"]).sum() == 6
    good = np.where(np.isfinite(history.steps["loss"]), history.steps["loss"], np.nan)
    np.testing.assert_allclose(history.train["loss"], np.nanmean(good.reshape(3, 3), 1), rtol=1e-6)
    assert str(history.incidents[0]).startswith(f"step {history.incidents[0].step} (epoch 1): log_l")


def test_at_most_so_many_and_the_error_says_how_many_there_were():
    with pytest.raises(
        NonFiniteLossError, match="epoch 2.* The run continued after 2 such steps"
    ) as caught:
        fitted(recovery=SkipBatch(at_most=2))
    kept = caught.value.fitted
    assert kept.history.num_epochs == len(kept.history.incidents) == 2
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept.values))


def test_a_run_in_which_all_is_finite_is_the_same_to_the_bit():
    with_it, without = fitted(x=X, recovery=SkipBatch()), fitted(x=X)
    assert_same(with_it, without)
    assert with_it.history.incidents == ()


def test_the_rate_is_halved_until_it_is_low_enough():
    told = {"x": X, "epochs": 1}
    high = fitted(optimizer=HIGH, recovery=HalveRate(at_most=40), **told)
    halvings = len(high.history.incidents)
    assert 2 < halvings < 40
    assert_same(high, fitted(optimizer=optax.sgd(2.0 ** (20 - halvings)), **told))
    assert high.history.incidents[0].action == "the learning rate was halved"
    with pytest.raises(NonFiniteLossError, match="epoch 0"):
        fitted(optimizer=HIGH, recovery=HalveRate(at_most=halvings - 1), **told)


class Root(nnx.Module):
    """Its output is |a'x + b|, and where that is 0 its gradient is no number."""

    def __init__(self, in_shape, out_shape, *, rngs):
        self.out_shape = out_shape
        self.linear = nnx.Linear(in_shape[-1], int(np.prod(out_shape)), rngs=rngs)

    def __call__(self, x):
        return jnp.sqrt(jnp.square(self.linear(x))).reshape(len(x), *self.out_shape)


def test_an_update_that_is_not_finite_is_left_out_too():
    first = int(loop.draw_step_rows(EPOCH_KEY, 0, 24, 8)[0, 0])
    x = np.where(np.arange(24)[:, None] == first, np.float32(0.0), X)
    with pytest.raises(NonFiniteLossError, match=r"step 1 \(epoch 0\)"):
        fitted(tiny(encoder=Root), x, epochs=1)
    found = fitted(tiny(encoder=Root), x, epochs=1, recovery=SkipBatch())
    (incident,) = found.history.incidents
    assert (incident.step, incident.term) == (0, "the update")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found.values))


class Kink(nnx.Module):
    """A scale for each input, and a kink where an input is 0: there the gradient is no number."""

    def __init__(self, in_shape, out_shape, *, rngs):
        self.out_shape = out_shape
        self.scale = nnx.Param(jnp.ones(in_shape))
        self.linear = nnx.Linear(in_shape[-1], int(np.prod(out_shape)), rngs=rngs)

    def __call__(self, x):
        bent = jnp.sqrt(jnp.square(self.scale * x))
        return self.linear(bent).reshape(len(x), *self.out_shape)


def in_the_last_batch():
    """Data whose last step of the first epoch has a gradient that is no number, and a finite loss."""
    last = int(loop.draw_step_rows(EPOCH_KEY, 0, 24, 8)[2, 0])
    return np.where(np.arange(24)[:, None] == last, np.float32(0.0), X)


def is_usable(fit):
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit.values))


def test_the_last_update_of_an_epoch_is_looked_at_though_no_loss_tells_of_it(tmp_path):
    bent, x = tiny(encoder=Kink), in_the_last_batch()
    kept = Checkpoints(tmp_path, seconds=0.0)
    with pytest.raises(NonFiniteLossError, match=r"^the update is not finite at step 2 \(ep") as caught:
        fitted(bent, x, epochs=1, checkpoints=kept)
    assert is_usable(caught.value.fitted)
    assert not kept.files
    found = fitted(bent, x, epochs=1, recovery=SkipBatch())
    (incident,) = found.history.incidents
    assert (incident.step, incident.term) == (2, "the update")
    assert is_usable(found)


class Steep(nnx.Module):
    """A net whose outputs are infinite for data that passed every check."""

    def __init__(self, in_shape, out_shape, *, rngs):
        self.linear, self.out_shape = (
            nnx.Linear(in_shape[-1], int(np.prod(out_shape)), rngs=rngs),
            out_shape,
        )

    def __call__(self, x):
        return self.linear(jnp.exp(jnp.square(10 * x))).reshape(len(x), *self.out_shape)


SIX = np.where(np.arange(24)[:, None] == ODD, np.float32(6.0), X / 10)


def test_an_infinity_that_arises_in_a_net_ends_by_name_or_is_left_out():
    with pytest.raises(NonFiniteLossError, match="kl = nan|kl = inf") as caught:
        fitted(tiny(encoder=Steep), SIX, optimizer=optax.sgd(1e-9))
    assert is_usable(caught.value.fitted)
    found = fitted(tiny(encoder=Steep), SIX, optimizer=optax.sgd(1e-9), recovery=SkipBatch())
    assert is_usable(found)
    assert all(ODD in incident.rows for incident in found.history.incidents)
    assert len(found.history.incidents) == 3


def test_incidents_are_kept_and_the_run_goes_on_after_them(skipped, tmp_path):
    skipped.save(tmp_path / "fit")
    assert load(tmp_path / "fit", tiny()).history.incidents == skipped.history.incidents
    told = {"recovery": SkipBatch(), "checkpoints": Checkpoints(tmp_path / "kept", seconds=0.0)}
    fitted(epochs=1, **told)
    went_on = fitted(**told)
    assert_same(went_on, skipped)
    assert went_on.history.incidents == skipped.history.incidents


def test_the_command_line_takes_one_way_out():
    model = str(Path(__file__).parent.parent / "models" / "vae.py")
    for word, kind in (("--skip-batches", SkipBatch), ("--halve-rate", HalveRate)):
        given = vars(parse_arguments(["train", model, word, "7"])).items()
        settings = Settings(**{k: v for k, v in given if k in Settings._fields})
        assert make_recovery(settings) == kind(7)
    with pytest.raises(ValueError, match="skip_batches and halve_rate are alternatives"):
        make_recovery(Settings(model, skip_batches=1, halve_rate=1))


def test_summary_and_report_name_the_incidents(skipped, monkeypatch):
    monkeypatch.setattr(training, "evaluate", lambda *_, **__: {})
    monkeypatch.setattr(training.files, "write_json", lambda *_: None)
    asked = {"training": {"epochs": 3, "seed": 0}, "evaluation": {}}
    run = Run(Path(), asked, skipped, lambda: Data("x", train=X, test=X))
    assert "fitted 3 epochs, 3 incidents in" in summarize_training(run, 1.0)
    told = training._evaluate_run(run, 1.0, 2, progress=False)["fit"]
    assert told["since_epoch"] == 2
    assert told["incidents"] == [str(incident) for incident in skipped.history.incidents]


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match=r"at_most=...\) expects a positive integer; got 0"):
        SkipBatch(0)


def test_a_scale_that_is_not_known_is_no_fault():
    """An autoregressive p(x|z) has no closed-form scale: NaN in what is told, and nothing else."""
    one_by_one = likelihoods.Autoregressive(nets.MADE((4,)), likelihoods.Gaussian())
    found = fitted(tiny(likelihood=one_by_one), epochs=1, recovery=SkipBatch())
    assert len(found.history.incidents) == 1
    assert np.isnan(found.history.steps["scale_x"]).all()
    assert np.isfinite(found.history.steps["loss"]).sum() == 2
