"""A run on one screen says what its history holds."""

import numpy as np
import pytest
from test_checkpoints import state_vae, with_state

from probvae import guides, load
from probvae.fitted.fitted import Fitted
from probvae.fitted.history import History, Incident

PARAMS = {
    "encoder$params": {"w": np.zeros((300, 4)), "b": np.zeros(4)},
    "decoder$params": {"w": np.zeros((4, 3))},
    "likelihood$state": np.zeros(7),
    "prior$mean": np.zeros(2),
}


@pytest.fixture(autouse=True)
def _any_values(monkeypatch):
    """The numbers of parameters here are not those of the VAE."""
    monkeypatch.setattr("probvae.fitted.fitted.check_values", lambda vae, values: None)


SERIES = {"loss": np.array([30.0, 20.0, 25.0]), "elbo": np.array([-9.0, -7.126, -8.5])}


def fitted(history, **options):
    return Fitted(state_vae(posterior=guides.FullRank()), PARAMS, history, **options)


def test_a_run_on_one_screen():
    history = History({}, SERIES, {"elbo": np.array([-9.5, -8.0, -8.25])}, best_epoch=1)
    assert str(fitted(history, seconds=12.34)).splitlines() == [
        "VAE of 2 latent dimensions (StandardNormal, FullRank, Gaussian), "
        "fitted 3 epochs in 12.3 s; epoch 2, the best, is kept (the last had lost 0.25 nats)",
        "  train ELBO       first -9.00, best -7.13 (epoch 2), last -8.50 nats",
        "  validation ELBO  first -9.50, best -8.00 (epoch 2), last -8.25 nats",
        "  1,218 parameters: encoder 1,204, decoder 12, prior 2",
    ]


def test_without_validation_or_a_bound_and_with_what_was_not_finite():
    odd = tuple(Incident(0, n, "loss = nan", "the batch was skipped", (n,)) for n in range(5))
    history = History({}, {"loss": SERIES["loss"]}, {}, incidents=odd)
    told = str(fitted(history)).splitlines()
    assert told[0].endswith("fitted 3 epochs")
    assert told[1] == "  train loss       first 30.00, best 20.00 (epoch 2), last 25.00"
    assert told[2] == "  5 incidents:"
    assert told[3].endswith("step 0 (epoch 1): loss = nan; the batch was skipped (rows 0)")
    assert (len(told), told[6]) == (8, "    and 2 more")


def test_before_the_first_epoch():
    assert "fitted 0 epochs" in str(fitted(History({}, {}, {})))


@pytest.mark.slow
def test_of_a_fit_and_of_its_file(tmp_path):
    one = with_state(epochs=2)
    assert 0.0 < one.seconds < 100.0
    one.save(tmp_path / "fit.safetensors")
    back = load(tmp_path / "fit.safetensors", state_vae())
    assert back.seconds is None
    assert str(back) == str(one).replace(f" in {one.seconds:.1f} s", "")
