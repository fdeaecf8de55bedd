"""Warm starts: what is frozen stays bit for bit, what is not moves, and what is shared is said."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import parts
import pytest

from probvae import VAE, compatibility, fit, guides, likelihoods, nets, priors, transfer_params
from probvae.training.initial_values import freeze_roles

X = np.asarray(jax.random.uniform(jax.random.key(1), (24, 3, 2)), np.float32)
KEY = jax.random.key(0)
FIRST = VAE(
    event_shape=(3, 2),
    latent_dim=2,
    prior=priors.GaussianMixture(3),
    likelihood=likelihoods.Gaussian(scale=likelihoods.LearnedScale()),
    encoder=nets.MLP((8,)),
    decoder=parts.BatchNormNet,
)


def quick(vae, **options):
    options = {"rng_key": KEY, "epochs": 2, "batch_size": 8, "progress": False, **options}
    return fit(vae, X, **options)


@pytest.fixture(scope="module")
def fitted():
    return quick(FIRST)


def equal(a, b):
    a, b = jax.tree.leaves(a), jax.tree.leaves(b)
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    "freeze",
    [("encoder", "likelihood"), ("prior", "guide", "decoder")],
    ids=" ".join,
)
def test_what_is_frozen_stays_bit_for_bit_and_the_rest_moves(fitted, freeze):
    """Constrained parameters (the mixture's scales) and running state (batch statistics) included."""
    scale = jax.random.uniform(KEY, (3, 2), minval=0.01, maxval=3.0)  # not exact there and back
    values = {**fitted.values, "prior$scale": scale}
    again = quick(FIRST, init_params=values, freeze=freeze, optimizer=optax.adamw(1e-2))
    assert again.vae == FIRST
    assert set(again.values) == set(values)
    for name, value in values.items():
        assert equal(again.values[name], value) == (name.split("$")[0] in freeze), name


@pytest.mark.slow
def test_a_frozen_net_is_the_function_that_it_was(fitted):
    """No batch statistics and no dropout: with all frozen, the loss is that of evaluation."""
    every = ("encoder", "decoder", "prior", "likelihood")
    still = quick(FIRST, init_params=fitted.values, freeze=every, epochs=1, batch_size=24)
    after = quick(FIRST, init_params=fitted.values, optimizer=optax.sgd(0.0), epochs=1, batch_size=24)
    model = fitted.vae.eval()
    same = quick(model, init_params=fitted.values, optimizer=optax.sgd(0.0), epochs=1, batch_size=24)
    loss, trained, evaluated = (each.history.steps["loss"][0] for each in (still, after, same))
    assert loss == pytest.approx(evaluated, rel=1e-6)
    assert abs(loss - trained) > 1e-2


@pytest.mark.slow
def test_running_state_is_taken_up_where_it_is_given(fitted):
    """A training-set value is gathered anew instead, unless it is frozen."""
    vae = replace(FIRST, likelihood=likelihoods.Gaussian(scale=likelihoods.OptimalScale()))
    first = quick(vae)
    still = {"optimizer": optax.sgd(0.0), "epochs": 1}
    high = jax.tree.map(lambda a: jnp.full_like(a, 7.0), first.values["decoder$state"])
    moved = quick(vae, init_params={**first.values, "decoder$state": high}, **still).values
    assert all(np.all(a > 4) for a in jax.tree.leaves(moved["decoder$state"]))  # 7 * 0.99^3 + ...
    assert moved["likelihood$state"]["count"] == len(X), "one pass, not two"
    frozen = quick(vae, init_params=first.values, freeze=("likelihood",), **still).values
    assert equal(frozen["likelihood$state"], first.values["likelihood$state"])


@pytest.mark.slow
def test_shared_params_are_those_of_the_parts_that_were_kept(fitted):
    for changes, lost in (
        ({"prior": priors.LearnedNormal()}, {"prior$logits", "prior$loc", "prior$scale"}),
        ({"prior": priors.GaussianMixture(4)}, {"prior$logits", "prior$loc", "prior$scale"}),
        ({"encoder": nets.GatedMLP((8,))}, {"encoder$params"}),
        ({"decoder": nets.MLP((8,))}, {"decoder$params", "decoder$state"}),
        ({"posterior": guides.FullRank()}, {"encoder$params"}),
    ):
        swapped = replace(FIRST, **changes)
        shared = transfer_params(fitted, swapped)
        assert set(shared) == set(fitted.values) - lost
        assert all(equal(value, fitted.values[name]) for name, value in shared.items())
    again = quick(swapped, init_params=shared, freeze=("decoder",))
    assert equal(again.values["decoder$params"], fitted.values["decoder$params"])


def test_the_optimizer_takes_no_step_for_what_is_held():
    """In each step, and not only in what is returned; momentum and weight decay included."""
    params = {
        "decoder$params": {"w": jnp.ones(2)},
        "decoders$w": jnp.ones(2),
        "objective$params": jnp.ones(2),
    }
    optimizer = freeze_roles(optax.adamw(1e-2), ("decoder",))
    steps, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)
    moved = {name: bool(jax.tree.leaves(step)[0].any()) for name, step in steps.items()}
    assert moved == {"decoder$params": False, "decoders$w": True, "objective$params": True}


def test_equal_arguments_share_one_optimizer():
    """So that a second fit reuses the compiled program."""
    optimizer = optax.adam(1e-3)
    assert freeze_roles(optimizer, ("decoder",)) is freeze_roles(optimizer, ("decoder",))


@pytest.mark.parametrize(
    ("freeze", "given", "message"),
    [
        pytest.param(
            ("decodr",), "values",
            r"freeze expects .*encoder, decoder, prior, guide, likelihood .*got \('decodr',\)", id="name",
        ),
        pytest.param(
            ("decoder",), "params", r"Missing: \['decoder\$state'\]. Pass init_params=fitted.values", id="state"
        ),
        pytest.param(("encoder",), None, r"Missing: \['encoder\$params'\].*transfer_params", id="nothing given"),
    ],
)  # fmt: skip
def test_refusals(fitted, freeze, given, message):
    with pytest.raises(ValueError, match=message):
        quick(FIRST, freeze=freeze, init_params=getattr(fitted, given) if given else None)


def test_a_string_is_no_tuple_of_parts():
    with pytest.raises(ValueError, match="freeze expects a tuple.*got 'decoder'"):
        compatibility.check_roles("freeze", "decoder")


def test_nothing_shared_is_an_error(fitted):
    other = VAE(event_shape=(5,), latent_dim=3, encoder=nets.MLP((4,)), decoder=nets.MLP((4,)))
    with pytest.raises(ValueError, match="have no site with the same name and shapes.*prior"):
        transfer_params(fitted, other)
