"""Optimizers and objectives made alike are one object, and take one program; others never are."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from probvae import VAE, fit, nets, objectives
from probvae.training import loop
from probvae.training.compile_cache import intern_optimizer

MADE = {
    "adam": lambda rate: optax.adam(rate),
    "schedule": lambda rate: optax.adam(optax.cosine_decay_schedule(rate, 100)),
    "chain": lambda rate: optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate)),
    "momentum": lambda rate: optax.sgd(0.1, momentum=rate),
    "of several": lambda rate: optax.multi_transform({"a": optax.adam(rate)}, max),
    "objective": lambda rate: objectives.ELBO(beta=optax.linear_schedule(rate, 1.0, 9)),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_what_is_made_alike_is_one_object_and_what_is_not_is_not(make):
    one = intern_optimizer(make(0.25))
    assert intern_optimizer(make(0.25)) is one
    assert intern_optimizer(make(0.5)) is not one


def test_settings_that_are_equal_as_numbers_only_are_told_apart():
    assert intern_optimizer(optax.sgd(1.0)) is not intern_optimizer(optax.sgd(1))
    assert intern_optimizer(optax.adam(0.1)) is not intern_optimizer(optax.adam(0.1, nesterov=True))
    assert intern_optimizer(optax.adam(0.1)) is not intern_optimizer(optax.adam(0.1, b1=0.8))


def test_a_users_own_functions_and_arrays_are_never_guessed_at():
    for make in (lambda: optax.adam(lambda step: 0.1), lambda: optax.adam(jnp.asarray(0.1))):
        one, other = make(), make()
        assert intern_optimizer(one) is one
        assert intern_optimizer(other) is other


def test_a_second_fit_with_an_optimizer_made_anew_compiles_nothing():
    x = np.zeros((8, 3), np.uint8)

    def once():
        vae = VAE(event_shape=(3,), latent_dim=1, encoder=nets.Linear(), decoder=nets.Linear())
        told = {"epochs": 1, "batch_size": 4, "progress": False, "rng_key": jax.random.key(0)}
        warmed = objectives.ELBO(beta=optax.linear_schedule(0.0, 1.0, 2))
        fit(vae, x, optimizer=optax.adam(0.125), objective=warmed, **told)
        return loop.run_epoch._cache_size()

    assert once() == once()
