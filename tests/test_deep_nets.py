"""Nets at size: blocks in a loop, what is computed again for the gradient, and products in bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import parts
import pytest
from compiled import build, run
from flax import nnx

from probvae import VAE, nets
from probvae.fitted import serialization
from probvae.fitted.history import History
from probvae.nets import module, transformer
from probvae.nets.module import _seed_dropout, _structure
from probvae.nets.repeated_blocks import RepeatedBlocks
from probvae.objectives import terms
from probvae.tracing import trace_structure

KEY = jax.random.key(0)
SMALL = {"patch": 2, "hidden": 8, "heads": 2}
X = jax.random.normal(KEY, (2, 4, 4))


def equations(jaxpr):
    """All equations, those of loops and calls once."""
    inner = []
    for eqn in jaxpr.eqns:
        inner.append(eqn)
        for value in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda v: hasattr(v, "jaxpr")):
            if hasattr(value, "jaxpr") or hasattr(value, "eqns"):
                inner += equations(getattr(value, "jaxpr", value))
    return inner


def shaped(recipe, in_shape, out_shape, key):
    """A net whose weights are shapes alone."""
    return nnx.eval_shape(lambda: module.build(recipe, in_shape, out_shape, key))


def slope(recipe, x=X, *, drawn=True):
    """Value and gradient of a net's output, by its weights, which are drawn or shapes."""
    net = (build if drawn else shaped)(recipe, x.shape[1:], (3,), KEY)
    graph, params, rest = nnx.split(net, nnx.Param, ...)
    return jax.value_and_grad(lambda p: jnp.square(nnx.merge(graph, p, rest)(x)).sum()), params


def test_blocks_in_a_loop_are_the_blocks_in_turn():
    net = nets.Transformer(**SMALL)
    loop = RepeatedBlocks(lambda rngs: transformer._Block(net, rngs), 3, nnx.Rngs(0), remat=False)
    graph, params, rest = nnx.split(loop.block, nnx.Param, ...)
    h = jax.random.normal(KEY, (2, 5, 8))

    def in_turn(h):
        for i in range(3):
            h = nnx.merge(graph, *jax.tree.map(lambda a: a[i], (params, rest)))(h)  # noqa: B023
        return h

    got, want = run(lambda h: (loop(h), in_turn(h)), h)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert np.abs(got - h).max() > 0.1


def test_each_block_starts_as_one_alone_and_no_two_alike():
    net = nets.Transformer(**{**SMALL, "hidden": 64})
    loop = RepeatedBlocks(lambda rngs: transformer._Block(net, rngs), 3, nnx.Rngs(0), remat=False)
    alone = transformer._Block(net, nnx.Rngs(1))
    for many, one in zip(
        jax.tree.leaves(nnx.state(loop.block)), jax.tree.leaves(nnx.state(alone)), strict=True
    ):
        assert many.shape == (3, *one.shape)
        many, one = np.asarray(many), np.asarray(one)
        np.testing.assert_allclose(many.reshape(3, -1).std(1), one.std(), rtol=0.1, atol=1e-6)
        assert not one.std() or np.abs(many[0] - many[1]).max() > 0


@pytest.mark.parametrize(
    "family", [lambda d: nets.Transformer(**SMALL, depth=d), lambda d: nets.ResNet((4,), d)]
)
def test_what_is_compiled_does_not_grow_with_depth(family):
    shallow, deep = (
        len(equations(jax.make_jaxpr(fn)(params).jaxpr))
        for fn, params in (slope(family(depth), drawn=False) for depth in (2, 8))
    )
    assert shallow == deep > 50


def test_what_is_computed_again_is_the_same_with_less_memory():
    x = jax.random.normal(KEY, (8, 8, 8))
    found = []
    for remat in (False, True):
        fn, params = slope(nets.Transformer(1, 16, 8, heads=2, remat=remat), x)
        compiled = jax.jit(fn).lower(params).compile()
        found.append((compiled(params), compiled.memory_analysis().temp_size_in_bytes))
    (plain, whole), (again, less) = found
    for got, want in zip(jax.tree.leaves(again), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    assert less < 0.5 * whole


def products(fn, *args):
    eqns = equations(jax.make_jaxpr(fn)(*args).jaxpr)
    return [e for e in eqns if e.primitive.name in ("dot_general", "conv_general_dilated")]


def types(eqns):
    return {v.aval.dtype.name for e in eqns for v in e.invars}


@pytest.mark.parametrize(
    "net",
    [nets.MLP((32, 32), norm=nnx.LayerNorm), nets.ResNet((8,), 2), nets.Transformer(**SMALL)],
    ids=lambda net: type(net).__name__,
)
def test_products_are_in_bfloat16_and_all_else_is_near_and_in_float32(net):
    whole, half = (build(each, (4, 4), (3,), KEY) for each in (net, nets.BFloat16(net)))
    assert types(products(half, X)) == {"bfloat16"}
    assert types(products(whole, X)) == {"float32"}
    fn, params = slope(nets.BFloat16(net), drawn=False)
    if not isinstance(net, nets.Transformer):  # JAX's attention: its weights' gradient is in float32
        assert types(products(fn, params)) == {"bfloat16"}
    assert {leaf.dtype.name for leaf in jax.tree.leaves(jax.eval_shape(fn, params))} == {"float32"}
    got, want = run(lambda x: (half(x), whole(x)), X)
    assert got.dtype == jnp.float32
    assert np.abs(got - want).max() < 0.02 * np.abs(want).max()
    assert np.abs(got - want).max() > 0


def test_likelihood_and_kl_stay_in_float32():
    net = nets.BFloat16(nets.MLP((8,)))
    vae = VAE(event_shape=(4, 4), latent_dim=2, encoder=net, decoder=net)

    def read(x):
        return terms(KEY, {}, vae.model, vae.guide, x)

    found = jax.eval_shape(read, X)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {"float32"}
    assert types(products(read, X)) == {"bfloat16"}


def test_a_saved_net_of_stacked_blocks_is_read_again(tmp_path):
    net = nets.TransformerDecoder(**SMALL, depth=3)
    vae = VAE(event_shape=(4, 4), latent_dim=2, encoder=nets.Linear(), decoder=net)
    values = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.3, "float32"), trace_structure(vae).params)
    empty = History(*({} for _ in History._fields))
    serialization.save(tmp_path / "vae", vae, values, empty, None, overwrite=False)
    read, *_ = serialization.load(tmp_path / "vae", vae)
    for got, want in zip(jax.tree.leaves(read), jax.tree.leaves(values), strict=True):
        np.testing.assert_array_equal(got, want)


def test_every_dropout_layer_and_every_block_draws_its_own():
    recipe = nets.Transformer(**SMALL, depth=3, dropout=0.5)
    streams = _structure(recipe, (4, 4), (3,), training=True).rngs
    keys = [leaf for leaf in jax.tree.leaves(_seed_dropout(streams, KEY)) if leaf.dtype == KEY.dtype]
    drawn = jnp.concatenate([jax.random.key_data(key).reshape(-1, 2) for key in keys])
    assert len(drawn) >= 3
    assert len(np.unique(drawn, axis=0)) == len(drawn)
    mlp = _structure(nets.MLP((8, 8), dropout=0.5), (4,), (3,), training=True).rngs
    first, second = (
        leaf for leaf in jax.tree.leaves(_seed_dropout(mlp, KEY)) if leaf.dtype == KEY.dtype
    )
    assert (jax.random.key_data(first) != jax.random.key_data(second)).any()


def test_bfloat16_is_of_a_net_and_as_spatial_and_causal_as_it():
    assert nets.BFloat16(nets.Conv()).spatial
    assert not nets.BFloat16(nets.MLP()).spatial
    assert nets.BFloat16(nets.MaskedConv()).causal
    assert str(nets.BFloat16(nets.MLP((8,)))) == "BFloat16(MLP(hidden=(8,), activation=relu))"
    with pytest.raises(TypeError, match="(?s)BFloat16.*net"):
        nets.BFloat16(3)
    with pytest.raises(
        TypeError, match="BFloat16 expects a net with layers of flax.nnx.*LinenNet.*linen's dtype"
    ):
        module.build(nets.BFloat16(nets.Linen(parts.LinenNet)), (4,), (3,), KEY)
