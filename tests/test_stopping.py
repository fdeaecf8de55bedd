"""Early stopping: when a run ends by its validation ELBO, and which epoch's state is kept."""

from pathlib import Path

import jax
import numpy as np
import pytest
from test_checkpoints import state_vae, with_state

from probvae import EarlyStopping, guides, load
from probvae.cli.parser import parsed
from probvae.criticism.convergence import convergence
from probvae.runs import Run, Settings
from probvae.runs.account import account
from probvae.runs.settings import check_settings, stopping
from probvae.training.stopping import best_epoch

VANILLA = str(Path(__file__).parent.parent / "models" / "vae.py")


@pytest.fixture(scope="module")
def stopped():
    return with_state(epochs=60, early_stopping=EarlyStopping(patience=4))


def counted(elbo, patience, start):
    """The epochs that a loop with a counter takes."""
    best, count = -np.inf, 0
    for epoch, value in enumerate(elbo):
        best, count = (value, 0) if value > best else (best, count + 1)
        if epoch < start:
            count = 0
        if count == patience:
            return epoch + 1
    return len(elbo)


@pytest.mark.parametrize("start", [0, 3, 10])
@pytest.mark.parametrize("patience", [1, 2, 5])
def test_a_run_ends_where_a_counter_would_end_it(patience, start):
    early = EarlyStopping(patience, start)
    for seed in range(40):
        elbo = np.random.default_rng(seed).integers(0, 9, 20).astype(float)
        elbo[seed % 7] = np.nan
        over = [n for n in range(1, 21) if early.is_over(elbo[:n])]
        assert (over or [20])[0] == counted(elbo, patience, start)


def test_the_best_epoch_is_the_first_of_the_highest():
    assert best_epoch([-3.0, -1.0, np.nan, -1.0]) == 1
    assert best_epoch([np.nan, np.nan]) is None
    assert best_epoch([]) is None


def test_the_state_of_the_best_epoch_is_returned_to_the_bit(stopped):
    history, best = stopped.history, stopped.history.best_epoch
    assert 0 < best == int(history.validation["elbo"].argmax())
    assert history.num_epochs == best + 1 + 4 < 60
    short = with_state(epochs=best + 1, early_stopping=None)
    assert short.history.best_epoch is None
    assert short.history.kept_epoch == history.kept_epoch == best
    for a, b in zip(jax.tree.leaves(stopped.values), jax.tree.leaves(short.values), strict=True):
        np.testing.assert_array_equal(a, b)
    ours, theirs = history.validation["elbo"], short.history.validation["elbo"]
    np.testing.assert_array_equal(ours[: best + 1], theirs)


def test_a_run_that_ends_otherwise_keeps_the_best_too(stopped):
    best = stopped.history.best_epoch
    kept = with_state(epochs=best + 3, early_stopping=EarlyStopping(patience=4))
    assert (kept.history.num_epochs, kept.history.best_epoch) == (best + 3, best)
    for a, b in zip(jax.tree.leaves(stopped.values), jax.tree.leaves(kept.values), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_best_epoch_is_saved_and_nothing_is_lost_by_what_came_after(stopped, tmp_path):
    stopped.save(tmp_path / "fit.safetensors")
    back = load(tmp_path / "fit.safetensors", state_vae()).history
    assert back.best_epoch == stopped.history.best_epoch
    assert convergence(stopped).lost == 0.0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EarlyStopping(0), ValueError, "patience expects a positive integer; got 0"),
        (lambda: EarlyStopping(5, -1), ValueError, "start expects a number of epochs.*got -1"),
        (
            lambda: with_state(early_stopping=EarlyStopping(), validation=None),
            ValueError,
            "no validation",
        ),
        (
            lambda: with_state(posterior=guides.PointMass()),
            ValueError,
            "there is none here: .*PointMass",
        ),
    ],
)
def test_errors_say_what_is_missing(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_the_command_line_takes_a_patience():
    arguments = parsed(["train", VANILLA, "--patience", "5", "--patience_start=3"])
    given = {k: v for k, v in vars(arguments).items() if k in Settings._fields}
    assert stopping(Settings(**given)) == EarlyStopping(5, 3)
    assert stopping(Settings("m.py")) is None
    with pytest.raises(ValueError, match="patience_start expects a patience"):
        check_settings(Settings("m.py", patience_start=3))


def test_a_runs_account_is_of_the_epoch_that_was_kept(stopped):
    run = Run(Path(), {"training": {"epochs": 60}}, stopped, dict)
    line = account(run, 1.0)
    best, history = stopped.history.best_epoch, stopped.history
    assert f"fitted {best + 5} epochs of 60, the best of them {best + 1} in" in line
    assert f"{history.validation['elbo'][best]:.2f} nats" in line
