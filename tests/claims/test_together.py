"""Trainings in one program: each is the one that ``fit`` gives from the same key."""

import jax
import numpy as np
import optax
import pytest

from inference.together import _epoch, trained_together
from probvae import VAE, EarlyStopping, fit, nets, objectives
from probvae.data import Cast
from probvae.training.loop import Run

OPTIMIZER = optax.adam(1e-2)


def small() -> tuple[VAE, np.ndarray, np.ndarray]:
    net = nets.MLP((8,))
    x = (np.random.default_rng(0).random((60, 3, 3)) < 0.3).astype(np.uint8)
    return VAE(event_shape=(3, 3), latent_dim=2, encoder=net, decoder=net), x[:40], x[40:]


@pytest.mark.parametrize("early", [None, EarlyStopping(2)])
def test_each_training_is_that_of_fit(early):
    vae, train, valid = small()
    run = Run(vae, objectives.ELBO(), OPTIMIZER, Cast(), 10)
    keys = [jax.random.key(seed) for seed in (3, 5, 8)]
    told = {"epochs": 12, "early_stopping": early}
    found = trained_together(run, train, valid, keys, **told)
    for key, one in zip(keys, found, strict=True):
        options = {"optimizer": OPTIMIZER, "batch_size": 10, "progress": False, "validation": valid}
        alone = fit(vae, train, rng_key=key, **options, **told)
        assert one.history.num_epochs == alone.history.num_epochs
        assert one.history.best_epoch == alone.history.best_epoch
        np.testing.assert_allclose(one.history.steps["loss"], alone.history.steps["loss"], rtol=1e-4)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), one.values, alone.values)


def test_all_epochs_are_one_program():
    vae, train, valid = small()
    run = Run(vae, objectives.ELBO(), OPTIMIZER, Cast(), 20)
    before = _epoch._cache_size()
    trained_together(run, train, valid, [jax.random.key(0)], epochs=3, early_stopping=EarlyStopping(9))
    assert _epoch._cache_size() == before + 1


def test_time_ends_all_trainings_after_an_epoch():
    vae, train, valid = small()
    run = Run(vae, objectives.ELBO(), OPTIMIZER, Cast(), 10)
    told = {"epochs": 12, "early_stopping": None, "seconds": 0.0}
    (found,) = trained_together(run, train, valid, [jax.random.key(0)], **told)
    assert found.history.num_epochs == 1
