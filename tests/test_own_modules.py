"""The user's own modules: what linen and equinox give is what the net gives, in both modes."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import parts
import pytest
from flax import linen, nnx
from numpyro import handlers

from probvae import VAE, fit, nets
from probvae.nets.module import build
from probvae.tracing import trace_structure

KEY, OTHER = jax.random.split(jax.random.key(0))
SHAPE = (3, 2)
X = jax.random.normal(OTHER, (16, *SHAPE))


def tiny(**changes):
    return VAE(**{"event_shape": SHAPE, "latent_dim": 2, "encoder": nets.MLP((4,)), "decoder": nets.MLP((4,)), **changes})  # fmt: skip


class Plain(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(4)(x.reshape(len(x), -1))


def plain_equinox(in_shape, out_shape, *, key):
    return eqx.nn.Sequential([eqx.nn.Lambda(jnp.ravel), eqx.nn.Linear(6, 4, key=key)])


@pytest.mark.parametrize(
    ("recipe", "kernel", "bias"),
    [
        pytest.param(nets.Linen(Plain()), lambda p: p["params"]["Dense_0"]["kernel"], lambda p: p["params"]["Dense_0"]["bias"], id="linen"),
        pytest.param(nets.Equinox(plain_equinox), lambda p: p["arrays"][0].T, lambda p: p["arrays"][1], id="equinox"),
    ],
)  # fmt: skip
def test_an_affine_module_is_an_affine_net_with_its_weights_at_the_site(recipe, kernel, bias):
    def program(x):
        return nets.register("role", recipe, SHAPE, (2, 2))(x)

    seeded = handlers.seed(program, 1)
    trace = handlers.trace(seeded).get_trace(X)
    params = jax.tree.map(lambda leaf: leaf + 0.1, trace["role$params"]["value"])
    y = handlers.substitute(seeded, {"role$params": params})(X)
    by_hand = X.reshape(16, 6) @ kernel(params) + bias(params)
    np.testing.assert_allclose(y, by_hand.reshape(16, 2, 2), rtol=1e-5, atol=1e-6)


def test_linen_weights_are_those_that_linen_draws():
    rngs = nnx.Rngs(KEY)
    drawn = Plain().init(rngs.params(), X)
    net = build(nets.Linen(Plain()), SHAPE, (4,), KEY)
    np.testing.assert_allclose(net(X), Plain().apply(drawn, X), rtol=1e-6)


def test_equinox_weights_are_those_that_equinox_draws():
    rngs = nnx.Rngs(KEY)
    module = plain_equinox(SHAPE, (4,), key=rngs.params())
    net = build(nets.Equinox(plain_equinox), SHAPE, (4,), KEY)
    np.testing.assert_allclose(net(X), jax.vmap(module)(X), rtol=1e-6)


@pytest.mark.parametrize("recipe", [parts.LinenNet, parts.EquinoxNet], ids=lambda c: c.__name__)
def test_two_keys_give_two_starts(recipe):
    recipe = (nets.Linen if recipe is parts.LinenNet else nets.Equinox)(recipe)
    one, other = (build(recipe, SHAPE, (4,), key) for key in (KEY, OTHER))
    assert jnp.abs(one(X) - other(X)).max() > 1e-2


def test_running_averages_of_linen_are_kept_in_training_and_used_in_evaluation():
    net = build(nets.Linen(parts.LinenNet), SHAPE, (4,), KEY)
    net.train()
    net(X)
    kept = net.state["batch_stats"]["BatchNorm_0"]
    flat = X.reshape(16, 6)
    np.testing.assert_allclose(kept["mean"][...], 0.01 * flat.mean(0), rtol=1e-4)
    np.testing.assert_allclose(kept["var"][...], 0.99 + 0.01 * flat.var(0), rtol=1e-4)
    net.eval()
    dense = net.params["Dense_0"]
    unit = (flat - kept["mean"][...]) / jnp.sqrt(kept["var"][...] + 1e-5)
    by_hand = unit @ dense["kernel"][...] + dense["bias"][...]
    np.testing.assert_allclose(net(X), by_hand, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(kept["mean"][...], 0.01 * flat.mean(0), rtol=1e-4)


@pytest.mark.parametrize("recipe", [nets.Linen(parts.LinenNet), nets.Equinox(parts.EquinoxNet)], ids=["linen", "equinox"])  # fmt: skip
def test_dropout_differs_by_datum_and_call_in_training_and_rests_in_evaluation(recipe):
    net = build(recipe, SHAPE, (4,), KEY)
    net.train()
    same = jnp.concatenate([X[:1]] * 8 + [X[1:2]] * 8)
    assert jnp.abs(net(same)[:8] - net(same)[:1]).max() > 1e-3
    assert jnp.abs(net(same) - net(same)).max() > 1e-3
    net.eval()
    np.testing.assert_array_equal(net(same), net(same))


@pytest.mark.slow
def test_a_fit_moves_linen_running_state():
    vae = tiny(encoder=nets.Linen(parts.LinenNet))
    assert "encoder$state" in trace_structure(vae).state
    x = np.asarray(jax.random.bernoulli(KEY, 0.8, (32, *SHAPE)), np.float32)
    fitted = fit(vae, x, rng_key=KEY, epochs=3, batch_size=8, progress=False)
    kept = fitted.values["encoder$state"]["value"]["state"]["batch_stats"]["BatchNorm_0"]["mean"]
    assert (kept > 0.05).all()
    np.testing.assert_allclose(fitted.encode(x[:1]).mean[0], fitted.encode(x).mean[0], rtol=1e-4)


@pytest.mark.parametrize("framework", ["nnx", "equinox"])
def test_a_built_module_starts_from_its_weights_and_is_left_as_it_is(framework):
    if framework == "nnx":
        flat = lambda x: x.reshape(len(x), -1)  # noqa: E731
        module = nnx.Sequential(flat, nnx.Linear(6, 4, rngs=nnx.Rngs(3)))
        want = module(X)
        weights = lambda: module.layers[1].kernel[...]  # noqa: E731
    else:
        module = plain_equinox(SHAPE, (4,), key=OTHER)
        want = jax.vmap(module)(X)
        weights = lambda: module.layers[1].weight  # noqa: E731
    before = np.asarray(weights())
    net = nets.PretrainedNet(module)
    for key in (KEY, OTHER):
        np.testing.assert_allclose(build(net, SHAPE, (2, 2), key)(X).reshape(16, 4), want, rtol=1e-6)
    x = np.ones((8, *SHAPE), np.float32)
    fitted = fit(tiny(encoder=net), x, rng_key=KEY, epochs=2, batch_size=4, progress=False)
    start = jax.tree.leaves(trace_structure(tiny(encoder=net)).params["encoder$params"])
    moved = jax.tree.leaves(fitted.params["encoder$params"])
    assert [leaf.shape for leaf in moved] == [leaf.shape for leaf in start]
    assert min(np.abs(leaf - before).max() for leaf in moved if leaf.shape == before.shape) > 1e-4
    np.testing.assert_array_equal(weights(), before)
    assert str(net) == "PretrainedNet(Sequential)"


def test_adapters_print_in_one_line_without_addresses():
    nets_ = (
        nets.Linen(linen.Dense(4)),
        nets.Linen(parts.LinenNet, spatial=True),
        nets.Equinox(plain_equinox),
    )
    assert [str(net) for net in nets_] == [
        "Linen(Dense)",
        "Linen(LinenNet, spatial=True)",
        "Equinox(plain_equinox)",
    ]


def test_integers_of_an_equinox_module_are_no_weights():
    class Gather(eqx.Module):
        index: jax.Array
        linear: eqx.nn.Linear

        def __init__(self, in_shape, out_shape, *, key):
            self.index = jnp.array([3, 0])
            self.linear = eqx.nn.Linear(2, 4, key=key)

        def __call__(self, x):
            return self.linear(x.ravel()[self.index])

    vae = tiny(encoder=nets.Equinox(Gather))
    assert len(jax.tree.leaves(trace_structure(vae).params["encoder$params"])) == 2
    x = np.ones((8, *SHAPE), np.float32)
    fitted = fit(vae, x, rng_key=KEY, epochs=1, batch_size=4, progress=False)
    assert np.isfinite(fitted.history.steps["loss"]).all()


def test_a_spatial_module_gets_context_and_mask_as_channels():
    class Channels(linen.Module):
        @linen.compact
        def __call__(self, x):
            assert x.shape[1:] == (3, 2, 1 + 1 + 4)
            return linen.Dense(4)(x.mean((1, 2)))

    tiny(encoder=nets.Linen(Channels(), spatial=True), context_shape=(4,), encode_mask=True)


class KeepsUntold(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(4)(linen.BatchNorm(use_running_average=False)(x.reshape(len(x), -1)))


class Pair(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(2)(x.reshape(len(x), -1)), linen.Dense(2)(x.reshape(len(x), -1))


class Stateful(eqx.Module):
    norm: eqx.nn.BatchNorm

    def __init__(self, in_shape, out_shape, *, key):
        self.norm = eqx.nn.BatchNorm(6, axis_name="batch", mode="batch")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        pytest.param(lambda: tiny(encoder=Plain()), TypeError, r"encoder expects a recipe.*got Plain. Give a linen module as nets.Linen\(module\)", id="linen as it is"),
        pytest.param(lambda: tiny(encoder=parts.LinenNet), TypeError, "nets.Linen", id="a linen class"),
        pytest.param(lambda: tiny(encoder=parts.EquinoxNet), TypeError, r"nets.Equinox\(EquinoxNet\)", id="an equinox class"),
        pytest.param(lambda: tiny(encoder=plain_equinox(SHAPE, (4,), key=KEY)), TypeError, r"nets.Equinox\(make\), or nets.PretrainedNet", id="equinox as it is"),
        pytest.param(lambda: tiny(encoder=nnx.Linear(6, 4, rngs=nnx.Rngs(0))), TypeError, r"built already as its recipe, or as nets.PretrainedNet\(module\)", id="nnx as it is"),
        pytest.param(lambda: tiny(encoder=lambda i, o, *, rngs: Plain()), TypeError, r"the recipe .* expects to make a NNX module; got Plain.*nets.Linen", id="a recipe of linen"),
        pytest.param(lambda: tiny(encoder=nets.Linen(plain_equinox_of)), TypeError, "nets.Linen expects to make a flax module; got .*nets.Equinox", id="equinox as linen"),
        pytest.param(lambda: tiny(encoder=nets.PretrainedNet(Plain())), TypeError, "nets.PretrainedNet expects to make a equinox module.*nets.Linen", id="linen as built"),
        pytest.param(lambda: nets.Linen(linen.Sequential([linen.Dense(4)])), TypeError, r"without arrays or lists.* got a Sequential. Give a function `\(in_shape, out_shape\)", id="a list in linen"),
        pytest.param(lambda: nets.Equinox(plain_equinox(SHAPE, (4,), key=KEY)), TypeError, r"got a Sequential. Give a function .* or nets.PretrainedNet\(module\)", id="weights in equinox"),
        pytest.param(lambda: tiny(encoder=nets.Linen(KeepsUntold())), ValueError, r"train, training.*KeepsUntold, which keeps \['batch_stats'\].*Add `train: bool`", id="linen untold"),
        pytest.param(lambda: tiny(encoder=nets.Equinox(Stateful)), ValueError, "Stateful, which has layers with running state.*LayerNorm", id="equinox state"),
        pytest.param(lambda: tiny(encoder=nets.Linen(Pair())), TypeError, r"one array of 4 numbers per datum.*\(2, 2\); got a tuple. Stack", id="a tuple"),
        pytest.param(lambda: tiny(decoder=nets.Linen(Plain())), ValueError, r"decoder's net Linen\(.* returned shape \(2, 4\).*expected \(2, 3, 2\)", id="size"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        call()


def plain_equinox_of(in_shape, out_shape):
    return plain_equinox(in_shape, out_shape, key=KEY)


def test_without_equinox_an_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "equinox", None)
    with pytest.raises(ImportError, match="nets.Equinox expects equinox.* pip install equinox"):
        tiny(encoder=nets.Equinox(plain_equinox))
