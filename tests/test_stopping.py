"""Early stopping: when a run ends by its validation ELBO, and which epoch's state is kept."""

from pathlib import Path

import jax
import numpy as np
import numpyro
import optax
import pytest
from test_checkpoints import FAST, at, plain, state_vae, with_state

from probvae import VAE, EarlyStopping, NonFiniteLossError, guides, load, nets, objectives
from probvae.cli.parser import parse_arguments
from probvae.criticism.diagnosis.convergence import convergence
from probvae.fitted.history import History, find_best_epoch
from probvae.runs import Run, Settings
from probvae.runs.plan import make_early_stopping, resolve
from probvae.runs.settings_checks import check_settings
from probvae.runs.training_summary import summarize_training
from probvae.training.early_stopping import resolve_keep_best

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
        over = [n for n in range(1, 21) if early.should_stop(elbo[:n])]
        assert (over or [20])[0] == counted(elbo, patience, start)


def test_the_best_epoch_is_the_first_of_the_highest():
    assert find_best_epoch([-3.0, -1.0, np.nan, -1.0]) == 1
    assert find_best_epoch([np.nan, np.nan]) is None
    assert find_best_epoch([-np.inf, -np.inf]) is None
    assert find_best_epoch([np.inf, -3.0, -np.inf, -2.0]) == 3
    assert find_best_epoch([]) is None


def test_the_state_of_the_best_epoch_is_returned_to_the_bit(stopped):
    history, best = stopped.history, stopped.history.best_epoch
    assert 0 < best == int(history.validation["elbo"].argmax())
    assert history.num_epochs == best + 1 + 4 < 60
    short = with_state(epochs=best + 1, early_stopping=None, keep_best=False)
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


@pytest.fixture(scope="module")
def chosen():
    """A fit that asks for nothing: its rate is so high that the best of its epochs is not the last."""
    return plain(optimizer=FAST)


def same_values(one, other):
    for a, b in zip(jax.tree.leaves(one.values), jax.tree.leaves(other.values), strict=True):
        np.testing.assert_array_equal(a, b)


def test_with_validation_data_the_best_epoch_is_returned_by_default(chosen):
    history, best = chosen.history, chosen.history.best_epoch
    assert history.num_epochs == 6
    assert best == int(history.validation["elbo"].argmax()) < 5
    same_values(chosen, plain(optimizer=FAST, epochs=best + 1, keep_best=False))
    assert plain(optimizer=FAST, epochs=2, validation=None).history.best_epoch is None


def test_a_run_goes_on_from_its_last_epoch_whichever_is_returned(chosen, tmp_path):
    last = plain(optimizer=FAST, keep_best=False)
    assert last.history.best_epoch is None
    for epochs, keep in ((3, None), (4, False)):
        plain(optimizer=FAST, epochs=epochs, keep_best=keep, checkpoints=at(tmp_path))
    same_values(plain(optimizer=FAST, checkpoints=at(tmp_path)), chosen)
    same_values(plain(optimizer=FAST, keep_best=False, checkpoints=at(tmp_path)), last)


def test_an_error_carries_the_best_epoch_too(chosen):
    """A rate of 1e30 from the last epoch on: what comes before it is as it was."""
    rate = optax.join_schedules([lambda _: 0.6, lambda _: 1e30], [15])
    with pytest.raises(NonFiniteLossError, match="best") as caught:
        plain(optimizer=optax.adam(rate), epochs=7)
    assert caught.value.fitted.history.best_epoch == chosen.history.best_epoch
    same_values(caught.value.fitted, chosen)


@pytest.mark.parametrize(
    ("elbo", "best", "words"),
    [
        ([-9.0, -7.5, -8.0], 1, "epoch 2, the best, is kept (the last had lost 0.50 nats)"),
        ([-9.0, -7.5, -8.0], None, "epoch 3, the last, is kept (it had lost 0.50 nats since epoch 2)"),
        ([-9.0, -8.0, -7.5], 2, "epoch 3, the best and the last, is kept"),
        ([-9.0, np.nan], 0, "epoch 1, the best, is kept (the last had lost all: its validation ELBO is not finite)"),
        ([np.nan, np.nan], None, ""),
        ([], None, ""),
    ],
)  # fmt: skip
def test_words_say_which_epoch_is_kept_and_what_the_last_had_lost(elbo, best, words):
    series = {"elbo": np.array(elbo)} if elbo else {}
    history = History({}, {"loss": np.zeros(len(elbo))}, series, best_epoch=best)
    assert history.describe_kept_epoch() == words


def rising(last):
    return lambda step: last * (step + 1) / 100


@pytest.mark.parametrize(
    ("objective", "by_default"),
    [
        (objectives.ELBO(), True),
        (objectives.ELBO(beta=rising(1.0)), True),
        (objectives.ELBO(beta=rising(0.5)), False),
        (objectives.ELBO(beta=4.0), False),
        (objectives.ELBO(beta=0.0), False),
        (objectives.IWAE(), True),
        (objectives.Renyi(0.5), True),
        (objectives.Renyi(-1.0), False),
        (objectives.Capacity(5.0), False),
        (objectives.FreeBits(0.5), False),
        (objectives.FreeBits(0.0), True),
        (objectives.InfoVAE(), False),
        (objectives.MultiRate(), False),
        (objectives.AdversarialELBO(), False),
        (objectives.SemiSupervisedELBO(), False),
        (numpyro.infer.Trace_ELBO(), True),
    ],
    ids=lambda each: type(each).__name__,
)
def test_the_best_is_kept_by_default_where_the_elbo_is_what_is_maximised(objective, by_default):
    told = (state_vae(), objective, 100)
    assert resolve_keep_best(*told, early=None, keep_best=None) is by_default
    assert resolve_keep_best(*told, early=EarlyStopping(), keep_best=None)
    assert resolve_keep_best(*told, early=None, keep_best=True)
    assert not resolve_keep_best(*told, early=EarlyStopping(), keep_best=False)


def test_the_last_is_kept_by_default_where_weights_have_a_posterior():
    told = {"early": None, "keep_best": None}
    net = nets.Linear()
    plain_vae, bayesian = (
        VAE(event_shape=(3,), latent_dim=2, encoder=net, decoder=decoder)
        for decoder in (net, nets.BayesianNet(net))
    )
    assert resolve_keep_best(plain_vae, objectives.ELBO(), 9, **told)
    assert not resolve_keep_best(bayesian, objectives.ELBO(), 9, **told)


def test_the_best_epoch_is_saved_and_nothing_is_lost_by_what_came_after(stopped, tmp_path):
    stopped.save(tmp_path / "fit.safetensors")
    back = load(tmp_path / "fit.safetensors", state_vae()).history
    assert back.best_epoch == stopped.history.best_epoch
    assert convergence(stopped).has_best_parameters


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EarlyStopping(0), ValueError, "patience=...\\) expects a positive integer; got 0"),
        (lambda: EarlyStopping(5, -1), ValueError, "start=...\\) expects an integer >= 0; got -1"),
        (
            lambda: with_state(early_stopping=EarlyStopping(), validation=None),
            ValueError,
            "needs validation data",
        ),
        (
            lambda: with_state(posterior=guides.PointMass()),
            ValueError,
            "needs a validation ELBO, and this VAE has none: .*PointMass",
        ),
        (
            lambda: plain(keep_best=True, validation=None),
            ValueError,
            "keep_best=True needs validation data.*or omit keep_best",
        ),
        (lambda: plain(keep_best="last"), TypeError, "keep_best"),
    ],
)
def test_errors_say_what_is_missing(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_the_command_line_takes_a_patience():
    arguments = parse_arguments(["train", VANILLA, "--patience", "5", "--patience_start=3"])
    given = {k: v for k, v in vars(arguments).items() if k in Settings._fields}
    assert make_early_stopping(Settings(**given)) == EarlyStopping(5, 3)
    assert make_early_stopping(Settings("m.py")) is None
    kept = [resolve(Settings(VANILLA, keep=word)).keep_best for word in (None, "best", "last")]
    assert kept == [None, True, False]
    assert parse_arguments(["train", VANILLA, "--keep", "last"]).keep == "last"
    with pytest.raises(ValueError, match="keep expects .* got 'first'"):
        check_settings(Settings("m.py", keep="first"))
    with pytest.raises(ValueError, match="patience_start needs a patience"):
        make_early_stopping(Settings("m.py", patience_start=3))


def test_a_runs_summary_is_of_the_epoch_that_is_kept(stopped):
    run = Run(Path(), {"training": {"epochs": 60}}, stopped, dict)
    line = summarize_training(run, 1.0)
    best, history = stopped.history.best_epoch, stopped.history
    assert f"fitted {best + 5} epochs of 60 in" in line
    assert line.endswith(
        f"epoch {best + 1}, the best, is kept (the last had lost {history.drop_since_best:.2f} nats)"
    )
    assert f"{history.validation['elbo'][best]:.2f} nats" in line
