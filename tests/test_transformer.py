"""Transformers on patches: the places, what attention may know, and the way back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import build, run
from flax import nnx

from probvae import VAE, nets
from probvae.nets import module, transformer
from probvae.nets.patches import from_patches, positions, to_patches

KEY, OTHER = jax.random.split(jax.random.key(0))
IMAGE = (4, 6, 3)
SMALL = {"patch": 2, "hidden": 8, "depth": 2, "heads": 2}
X = jax.random.normal(KEY, (2, *IMAGE))


@pytest.fixture(scope="module")
def encoder():
    return build(nets.Transformer(**SMALL), IMAGE, (3, 2), KEY)


@pytest.fixture(scope="module")
def decoder():
    return build(nets.TransformerDecoder(**SMALL), (5,), (*IMAGE, 2), KEY)


@pytest.fixture
def nowhere(monkeypatch):
    """Take the places away."""
    monkeypatch.setattr(transformer, "positions", lambda grid, hidden: jnp.zeros((*grid, hidden)))


def test_places_are_sines_and_cosines_of_row_and_column():
    """At hidden = 8 the rates are 1 and 1/100."""
    place = positions((3, 4), 8)[2, 3]
    by_hand = [np.sin(2), np.sin(0.02), np.cos(2), np.cos(0.02),
               np.sin(3), np.sin(0.03), np.cos(3), np.cos(0.03)]  # fmt: skip
    np.testing.assert_allclose(place, by_hand, rtol=1e-5)
    np.testing.assert_allclose(positions((3, 4), 8)[0, 0], [0, 0, 1, 1, 0, 0, 1, 1])


def test_row_and_column_have_the_same_roles_and_each_patch_its_own_place():
    places = positions((5, 5), 12)
    by_row, by_column = jnp.split(places, 2, axis=-1)
    np.testing.assert_array_equal(by_row, by_column.swapaxes(0, 1))
    flat = places.reshape(25, 12)
    apart = jnp.linalg.norm(flat[:, None] - flat, axis=-1) + 9 * jnp.eye(25)
    assert apart.min() > 0.3


def test_patches_are_cut_in_order_and_put_back():
    x = jnp.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    patches = to_patches(x, 2)
    assert patches.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(patches[1, 1, 2].reshape(2, 2, 3), x[1, 2:4, 4:6])
    np.testing.assert_array_equal(from_patches(patches, 2), x)


def mirrored(x):
    """The same patches in other places: the order of the patches is turned round."""
    return from_patches(to_patches(x, 2)[:, ::-1, ::-1], 2)


def test_without_places_the_encoder_sees_a_set_of_patches(encoder, nowhere):
    turned, straight = run(lambda x: (encoder(mirrored(x)), encoder(x)), X)
    np.testing.assert_allclose(turned, straight, rtol=1e-4, atol=1e-5)


def test_with_places_the_encoder_sees_an_image(encoder):
    turned, straight = run(lambda x: (encoder(mirrored(x)), encoder(x)), X)
    assert np.abs(turned - straight).max() > 1e-2


def patches_of(decoder):
    """The patches that are written for two codes, ``(2, 6, n)``."""

    def write(x):
        return to_patches(decoder(x[:, 0, :5, 0]).reshape(2, 4, 6, 6), 2).reshape(2, 6, -1)

    return np.asarray(run(write, X))


def test_without_places_the_decoder_writes_one_patch_everywhere(decoder, nowhere):
    patches = patches_of(decoder)
    np.testing.assert_allclose(patches, np.broadcast_to(patches[:, :1], patches.shape), atol=1e-5)


def test_with_places_the_decoder_writes_an_image(decoder):
    patches = patches_of(decoder)
    assert (np.abs(patches[:, 1:] - patches[:, :-1]).max(-1) > 1e-3).all()


def test_the_token_hears_of_the_image_by_attention_alone():
    deaf = build(nets.Transformer(**SMALL), IMAGE, (3, 2), KEY)
    kernel = deaf.blocks.blocks.block.attention.out.kernel  # of all blocks
    kernel[...] = jnp.zeros_like(kernel[...])
    np.testing.assert_array_equal(*run(deaf, X))


def test_the_encoder_sees_every_pixel_and_the_code_moves_each(encoder, decoder):
    seen = jax.jit(jax.grad(lambda x: encoder(x).sum()))(X)
    assert (np.abs(seen) > 0).all()
    assert (np.abs(np.subtract(*patches_of(decoder))) > 0).all()


def test_a_block_is_pre_norm_attention_and_mlp():
    """A twin in numpy: softmax(Q K^T / sqrt(d)) V by head, then the MLP, each of the normalised."""
    block = transformer._Block(nets.Transformer(**SMALL), nnx.Rngs(0))
    leaves, form = jax.tree.flatten(nnx.state(block, nnx.Param))
    rng = np.random.default_rng(0)
    drawn = [jnp.asarray(0.5 * rng.normal(size=leaf.shape), "float32") for leaf in leaves]
    nnx.update(block, jax.tree.unflatten(form, drawn))  # no bias is 0, no scale 1
    h = jnp.asarray(rng.normal(size=(2, 5, 8)), "float32")
    np.testing.assert_allclose(run(block, h), twin(block, np.asarray(h)), rtol=1e-4, atol=1e-4)


def twin(block, h):
    def norm(h, layer):
        centred = h - h.mean(-1, keepdims=True)
        unit = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return unit * np.asarray(layer.scale) + np.asarray(layer.bias)

    def projected(h, layer):
        return np.einsum("bti,ihd->bthd", h, layer.kernel) + np.asarray(layer.bias)

    def attention(h, layer):
        q, k, v = (projected(h, part) for part in (layer.query, layer.key, layer.value))
        scores = np.einsum("bshd,bthd->bhst", q, k) / np.sqrt(q.shape[-1])
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        heads = np.einsum("bhst,bthd->bshd", weights, v)
        return np.einsum("bshd,hdo->bso", heads, layer.out.kernel) + np.asarray(layer.out.bias)

    def dense(h, layer):
        return h @ np.asarray(layer.kernel) + np.asarray(layer.bias)

    h = h + attention(norm(h, block.norms[0]), block.attention)
    wide = np.asarray(jax.nn.gelu(dense(norm(h, block.norms[1]), block.wide)))
    return h + dense(wide, block.narrow)


def test_the_published_size_has_the_parameters_that_one_counts():
    """Patch 8, hidden 256, 4 blocks of 4 heads, ratio 4, on 64 x 64 x 3 images."""
    size = {"patch": 8, "hidden": 256, "depth": 4, "heads": 4}
    block = 4 * (256 + 1) * 256 + 2 * 2 * 256 + (256 + 1) * 1024 + (1024 + 1) * 256
    blocks = 4 * block + 2 * 256
    assert count(nets.Transformer(**size), (64, 64, 3), (64, 2)) == (
        (8 * 8 * 3 + 1) * 256 + 256 + blocks + (256 + 1) * 128
    )
    assert count(nets.TransformerDecoder(**size), (64,), (64, 64, 3, 2)) == (
        (64 + 1) * 256 + blocks + (256 + 1) * 8 * 8 * 6
    )


def count(recipe, in_shape, out_shape):
    net = nnx.eval_shape(lambda: module.build(recipe, in_shape, out_shape, KEY))
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(net, nnx.Param)))


def test_dropout_is_an_argument_and_still_in_evaluation():
    net = build(nets.Transformer(**SMALL, dropout=0.5), IMAGE, (3,), KEY)
    assert jnp.abs(net(X) - net(X)).max() > 0
    net.eval()
    np.testing.assert_array_equal(net(X), net(X))


def test_context_joins_as_channels_and_goes_into_the_code():
    vae = VAE(
        event_shape=(4, 6), latent_dim=2, context_shape=(3,),
        encoder=nets.Transformer(**SMALL), decoder=nets.TransformerDecoder(**SMALL),
    )  # fmt: skip
    from probvae.tracing import trace_structure

    params = trace_structure(vae).params
    assert params["encoder$params"]["embed"]["kernel"].shape == (2 * 2 * (1 + 3), 8)
    assert params["decoder$params"]["embed"]["kernel"].shape == (2 + 3, 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: nets.Transformer(patch=0), r"Transformer\(patch=...\) expects a positive integer; got 0", id="patch"),
        pytest.param(lambda: nets.TransformerDecoder(depth=-1), r"TransformerDecoder\(depth=...\) expects a positive integer; got -1", id="depth"),
        pytest.param(lambda: nets.Transformer(hidden=20, heads=3), r"multiple of 3 .*head.* got hidden=20 with heads=3. Use hidden=12", id="heads"),
        pytest.param(lambda: nets.Transformer(hidden=6, heads=2), r"multiple of 4 .*places.* got hidden=6 with heads=2. Use hidden=4", id="places"),
        pytest.param(lambda: nets.Transformer(dropout=-0.1), "rate in", id="dropout"),
        pytest.param(lambda: VAE(event_shape=(4, 6), latent_dim=2, encoder=nets.Transformer(4)), r"Transformer\(patch=4\) expects .* multiples of 4; got 4 x 6", id="encoder patch"),
        pytest.param(lambda: VAE(event_shape=(9, 3), latent_dim=2, decoder=nets.TransformerDecoder(2)), r"TransformerDecoder\(patch=2\) expects .* got 9 x 3. Use a patch", id="decoder patch"),
        pytest.param(lambda: VAE(event_shape=(8,), latent_dim=2, encoder=nets.Transformer()), "Transformer expects images", id="vectors"),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
