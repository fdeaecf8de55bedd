"""Steps that go wrong though the loss is finite: gradients without a square, and jumps of the loss."""

import jax
import numpy as np
import optax
import pytest
from test_recovery import ODD, X, assert_same, fitted, is_usable, tiny

from probvae import (
    Checkpoints,
    HalveRate,
    NonFiniteLossError,
    SkipBatch,
    likelihoods,
    nets,
    sweep,
)
from probvae.data import StreamedData
from probvae.training.bad_steps import JUMP_FACTOR, find_jump_index

ADAM = optax.adam(1e-3)
WITH_HUGE = np.where(np.arange(24)[:, None] == ODD, np.float32(1e15), X)
TOO_LARGE = "the gradient is too large to be squared"
SHARP = tiny(likelihood=likelihoods.Gaussian(scale=likelihoods.FixedScale(1e-12)))


# Gradients


def test_a_gradient_without_a_square_ends_a_run_that_it_would_stop_in_silence():
    with pytest.raises(NonFiniteLossError, match=rf"^{TOO_LARGE} at step 0 \(epoch 0\)") as caught:
        fitted(SHARP, X, optimizer=ADAM)
    assert "standardise" in str(caught.value)
    assert "optax.chain(optax.clip(1.0), optax.adam(1e-3))" in str(caught.value)
    assert is_usable(caught.value.fitted)


@pytest.mark.filterwarnings("ignore:no parameter moved")
def test_the_advice_about_the_gradient_works_and_clipping_the_norm_would_not():
    by_entry = fitted(SHARP, X, epochs=20, optimizer=optax.chain(optax.clip(1.0), optax.adam(1e-2)))
    by_norm = fitted(
        SHARP, X, epochs=20, optimizer=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
    )
    assert by_entry.history.train["elbo"][-1] > 0.9 * by_entry.history.train["elbo"][0]
    start = fitted(SHARP, X, epochs=1, optimizer=optax.sgd(0.0))
    for name, value in start.params.items():
        jax.tree.map(np.testing.assert_array_equal, by_norm.params[name], value)


def test_parameters_that_stand_still_at_a_huge_loss_are_told_of_once():
    """The norm of the gradient is infinite, and what is divided by it is 0."""
    clipped = optax.chain(optax.clip_by_global_norm(1.0), ADAM)
    with pytest.warns(
        UserWarning, match="no parameter moved, and the loss is .*: training continued"
    ) as caught:
        found = fitted(SHARP, X, optimizer=clipped)
    assert len(caught) == 1
    assert "optax.clip(1.0)" in str(caught[0].message)
    assert [incident.epoch for incident in found.history.incidents] == [0, 1, 2]
    assert {incident.action for incident in found.history.incidents} == {"training continued"}
    assert "3 incidents:\n    step 2 (epoch 1): no parameter moved" in str(found)


@pytest.mark.parametrize("held", [np.asarray, StreamedData])
def test_a_batch_with_such_a_gradient_is_skipped(held):
    found = fitted(x=held(WITH_HUGE), optimizer=ADAM, recovery=SkipBatch())
    assert len(found.history.incidents) == 3
    for incident in found.history.incidents:
        assert ODD in incident.rows
        assert (incident.term, incident.action) == (TOO_LARGE, "the batch was skipped")
    assert is_usable(found)
    assert len(np.unique(found.history.train["loss"])) == 3
    with pytest.raises(NonFiniteLossError, match=f"{TOO_LARGE} .*after 2 such steps"):
        fitted(x=held(WITH_HUGE), optimizer=ADAM, recovery=SkipBatch(at_most=2))


def test_the_rate_is_halved_where_it_makes_such_gradients_and_not_where_it_cannot_help():
    high = optax.adam(1e8)
    with pytest.raises(NonFiniteLossError, match=rf"^{TOO_LARGE} at step 1 .*learning rate too high"):
        fitted(x=X, epochs=1, optimizer=high)
    found = fitted(x=X, epochs=1, optimizer=high, recovery=HalveRate(at_most=80))
    assert found.history.incidents[0].term == TOO_LARGE
    assert {incident.action for incident in found.history.incidents} == {"the learning rate was halved"}
    assert is_usable(found)
    with pytest.raises(NonFiniteLossError, match=rf"^{TOO_LARGE} at step 0") as caught:
        fitted(SHARP, X, optimizer=ADAM, recovery=HalveRate())
    assert not caught.value.fitted.history.incidents


def test_a_sweep_ends_the_training_with_such_a_gradient_and_says_so():
    over = {"learning_rate": (1e-3, 2e-3)}
    told = {"over": over, "validation": X[:6], "epochs": 2, "batch_size": 8, "progress": False}
    told |= {"optimizer": optax.inject_hyperparams(optax.adam)(1e-3)}
    with pytest.warns(UserWarning, match=f"{TOO_LARGE} .*: this training ended"):
        found = sweep(tiny(), WITH_HUGE, rng_keys=[jax.random.key(0)], **told)
    for one in found.fitted:
        (incident,) = one.history.incidents
        assert incident.term == TOO_LARGE
        assert one.history.num_epochs == 0
        assert is_usable(one)


# Jumps


DRAWS = {
    "normal": lambda rng, n: 100 + 3 * rng.normal(size=n),
    "near zero": lambda rng, n: rng.normal(size=n),
    "negative": lambda rng, n: -1e4 + 10 * rng.normal(size=n),
    "falling": lambda rng, n: 1e3 * np.exp(-np.arange(n) / 10),
    "lognormal": lambda rng, n: np.exp(2 * rng.normal(size=n)),
    "constant": lambda rng, n: np.full(n, -7.0),
    "the same rows each epoch": lambda rng, n: epochs_of(rng.standard_cauchy(33) ** 4, rng, n),
}


def epochs_of(rows, rng, n):
    """The losses of shuffled batches of one row: the last three of each epoch are dropped."""
    return np.concatenate([rng.permutation(rows)[:30] for _ in range(-(-n // 30))])[:n]


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_ordinary_series_have_no_jump(draw):
    for seed in range(500):
        whole = draw(np.random.default_rng(seed), 90)
        for known in (30, 60):
            assert (
                find_jump_index({"loss": whole[:known]}, {"loss": whole[known : known + 30]}, 1) is None
            )


@pytest.mark.parametrize("draw", list(DRAWS.values())[:-1], ids=list(DRAWS)[:-1])
def test_a_jump_is_found_where_it_is(draw):
    rng = np.random.default_rng(0)
    before, after = draw(rng, 60), draw(rng, 30)
    usual = max(np.ptp(before), np.abs(before).max())
    after[12:] += 3 * JUMP_FACTOR * usual
    assert find_jump_index({"loss": before}, {"loss": after}, 1) == 12
    assert find_jump_index({"loss": before[:15]}, {"loss": after}, 1) is None  # too few to judge by
    across = np.append(before[1:], after[12])
    assert find_jump_index({"loss": across}, {"loss": after[13:]}, 1) == 0


def test_with_all_data_in_one_batch_a_jump_lasts_two_epochs():
    before = np.random.default_rng(0).normal(size=30)
    assert find_jump_index({"loss": before}, {"loss": np.array([1e9])}, 1) is None
    assert find_jump_index({"loss": np.append(before, 1e9)}, {"loss": np.array([1e9])}, 1) == 0


def test_one_odd_batch_is_no_jump():
    """An epoch may drop the row that is odd, with its last partial batch, and the next one meet it."""
    before, after = np.random.default_rng(0).normal(size=(2, 30))
    for at in (0, 7, 29):
        odd = np.where(np.arange(30) == at, 1e9, after)
        assert find_jump_index({"loss": before}, {"loss": odd}, 1) is None
    assert find_jump_index({"loss": np.append(before, [1e9])}, {"loss": after}, 1) is None
    assert (
        find_jump_index({"loss": np.append(before, [1e9])}, {"loss": np.append([1e9], after)}, 1)
        is None
    )


def test_a_weight_that_a_schedule_raises_makes_no_jump():
    parts = {"log_likelihood": np.full(30, -70.0), "kl": np.full(30, 500.0)}
    before, after = ({"loss": 70 + beta * parts["kl"], **parts} for beta in (0.0, 100.0))
    assert find_jump_index(before, after, 1) is None
    assert find_jump_index({"loss": before["loss"]}, {"loss": after["loss"]}, 1) == 0
    for name, sign in (("log_likelihood", -1.0), ("kl", 1.0)):
        worse = {**after, name: after[name] + sign * 1e9}
        assert find_jump_index(before, worse, 1) == 0


def blown_up(**options):
    """A run of eight steps an epoch, whose learning rate is 1,000 times too high for three steps."""
    spike = [optax.constant_schedule(rate) for rate in (1e-2, 30.0, 1e-2)]
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    told = {"epochs": 8, "optimizer": optax.adam(optax.join_schedules(spike, [34, 37])), **options}
    return fitted(tiny(decoder=nets.MLP((8,))), x, **told)


@pytest.mark.parametrize("recovery", [None, SkipBatch()])
def test_a_finite_jump_of_the_loss_is_recorded_with_a_warning(recovery):
    with pytest.warns(
        UserWarning, match=r"the loss jumped to .*\(epoch 4\): training continued.*HalveR"
    ):
        found = blown_up(recovery=recovery)
    (incident,) = found.history.incidents
    assert incident.epoch == 4
    assert 35 <= incident.step <= 37
    assert np.isfinite(found.history.steps["loss"]).all()
    assert incident.action == "training continued"


def test_the_rate_is_halved_at_a_jump_until_there_is_none(tmp_path):
    found = blown_up(recovery=HalveRate(at_most=20))
    assert 1 < len(found.history.incidents) < 20
    assert {incident.epoch for incident in found.history.incidents} == {4}
    loss = found.history.steps["loss"]
    assert loss[40:].max() < 10 * loss[:32].max()
    kept = Checkpoints(tmp_path, seconds=0.0)
    for epochs in (5, 8):
        went_on = blown_up(recovery=HalveRate(at_most=20), epochs=epochs, checkpoints=kept)
    assert_same(went_on, found)
    assert went_on.history.incidents == found.history.incidents


def test_a_quiet_run_has_no_incident_and_the_same_bits_with_recovery():
    quiet = {"optimizer": optax.adam(1e-2)}
    one, other = blown_up(**quiet), blown_up(recovery=HalveRate(), **quiet)
    assert one.history.incidents == other.history.incidents == ()
    assert_same(one, other)
