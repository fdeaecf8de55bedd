"""``nets.ColumnInputs``: what the encoder of a table sees."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from numpyro.infer import SVI

from probvae import VAE, Batch, data, fit, fit_table, likelihoods, nets, objectives, priors
from probvae.training.hidden_cells import hide_cells, with_hidden_cells


class Identity(nnx.Module):
    def __init__(self, in_shape, out_shape, *, rngs):
        self.in_shape = in_shape

    def __call__(self, x):
        return jnp.pad(x, ((0, 0), (0, 14 - x.shape[1])))  # both nets have outputs of one shape


def inputs_of(columns, values, mask, context=()):
    row = np.concatenate([values, mask, context], axis=-1).astype(np.float32)
    return np.asarray(columns(row.shape[1:], (1,), rngs=nnx.Rngs(0))(jnp.asarray(row)))


def test_levels_become_one_hot_codes():
    columns = nets.ColumnInputs(Identity, levels=(0, 3))
    seen = inputs_of(columns, [[1.5, 0], [2.5, 2]], [[1, 1], [1, 1]], np.zeros((2, 0)))
    np.testing.assert_array_equal(seen[:, :4], [[1.5, 1, 0, 0], [2.5, 0, 0, 1]])
    assert not seen[:, 4:].any()


def test_missing_cells_are_zero_and_gaps_are_seen():
    columns = nets.ColumnInputs(Identity, levels=(0, 3))
    seen = inputs_of(columns, [[1.5, 0], [2.5, 2]], [[0, 1], [1, 0]], np.ones((2, 1)))
    # number, three codes, context, mask
    np.testing.assert_array_equal(seen[:, :7], [[0, 1, 0, 0, 1, 0, 1], [2.5, 0, 0, 0, 1, 1, 0]])


def test_rows_with_gaps_have_a_net_of_their_own():
    columns = nets.ColumnInputs(nets.MLP((4,)), levels=(0, 0))
    net = columns((4,), (1,), rngs=nnx.Rngs(0))
    rows = jnp.array([[1.0, 2.0, 1.0, 1.0], [1.0, 2.0, 1.0, 0.0]])
    slopes = nnx.grad(lambda n, row: n(row).sum(), argnums=0)
    for row, own, other in ((rows[:1], "net", "gap_net"), (rows[1:], "gap_net", "net")):
        g = slopes(net, row)
        assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(g[own]))
        assert not any(np.any(leaf != 0) for leaf in jax.tree.leaves(g[other]))


def test_many_levels_are_embedded():
    columns = nets.ColumnInputs(Identity, levels=(100, 0), largest_one_hot=32)
    seen = inputs_of(columns, [[7, 1.0], [99, 1.0]], [[1, 1], [0, 1]], np.zeros((2, 0)))
    assert np.any(seen[0, 1:11] != 0)
    assert np.all(seen[1, 1:11] == 0)


def test_codes_have_a_gradient_between_levels():
    columns = nets.ColumnInputs(Identity, levels=(3,))
    net = columns((2,), (1,), rngs=nnx.Rngs(0))
    gradient = jax.jacobian(lambda v: net(jnp.array([[v, 1.0]]))[0])(0.25)
    np.testing.assert_allclose(gradient[:3], [-1, 1, 0])


def test_a_vae_trains_with_gaps_levels_and_pseudo_inputs():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=60), rng.integers(0, 3, 60)])
    mask = rng.random(x.shape) < 0.8
    joint = likelihoods.Joint(
        a=(1, likelihoods.Standardized(likelihoods.Gaussian())), b=(1, likelihoods.Categorical(3))
    )
    vae = VAE(
        event_shape=(2,),
        latent_dim=2,
        likelihood=joint,
        prior=priors.VampPrior(3),
        encoder=nets.ColumnInputs(nets.MLP((8,)), levels=(0, 3)),
        decoder=nets.MLP((8,)),
        encode_mask=True,
    )
    fitted = fit(
        vae, Batch(x, mask=mask), rng_key=jax.random.key(0), epochs=3, batch_size=20, progress=False
    )
    hidden = [fitted.encode(np.where(mask, x, f), mask=mask).mean for f in (0.0, 1.0)]
    np.testing.assert_array_equal(*hidden)


def test_an_input_without_a_mask_is_refused():
    with pytest.raises(ValueError, match="encode_mask=True"):
        VAE(event_shape=(2,), latent_dim=1, encoder=nets.ColumnInputs(nets.MLP((4,)), levels=(0, 0)))


@pytest.mark.parametrize("levels", [(1,), (0, -2)])
def test_impossible_columns_are_refused(levels):
    with pytest.raises(ValueError, match="expects levels"):
        nets.ColumnInputs(nets.MLP((4,)), levels=levels)


def test_the_repr_counts_the_columns():
    text = repr(nets.ColumnInputs(nets.MLP((4,)), levels=(0, 0, 3)))
    assert text.endswith("columns: 2 numbers, 1 with levels)")


def test_rows_lose_random_shares_of_their_cells():
    mask = jnp.arange(50) != 7  # a missing cell stays missing
    hidden = np.asarray(hide_cells(jax.random.key(0), jnp.tile(mask, (4000, 1))))
    assert not hidden[:, 7].any()
    share = 1 - hidden[:, np.asarray(mask)].mean(1)
    np.testing.assert_allclose(np.quantile(share, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.06)


def test_hidden_cells_change_the_gradient_of_the_guide_alone():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(20, 2)))
    columns = nets.ColumnInputs(nets.MLP((8,)), levels=(0, 0))
    options = {"likelihood": likelihoods.Gaussian(), "encode_mask": True, "decoder": nets.MLP((8,))}
    vae = VAE(event_shape=(2,), latent_dim=2, encoder=columns, **options).eval()
    plain = objectives.IWAE(3)
    svi = SVI(vae.model, vae.guide, optax.sgd(0.1), plain)
    params = svi.get_params(svi.init(jax.random.key(1), x))

    def loss(objective, params):
        arguments = (jax.random.key(2), params, vae.model, vae.guide, x)
        return objective.loss_with_mutable_state(*arguments)["loss"]

    both = [with_hidden_cells(plain, each) for each in (nets.MLP((8,)), columns)]
    (a, grad_a), (b, grad_b) = (jax.value_and_grad(lambda p, o=o: loss(o, p))(params) for o in both)
    np.testing.assert_allclose(a, b, rtol=1e-6)
    for name in params:
        same = jax.tree.map(lambda u, v: bool(np.allclose(u, v, rtol=1e-5)), grad_a[name], grad_b[name])
        assert all(jax.tree.leaves(same)) == (not name.startswith("encoder"))


def test_other_nets_hide_nothing():
    columns = nets.ColumnInputs(nets.MLP((4,)), levels=(0, 0), hidden_rows=0.0)
    for recipe in (nets.MLP((4,)), columns):
        assert with_hidden_cells(objectives.ELBO(), recipe) == objectives.ELBO()


@pytest.mark.slow
def test_imputed_intervals_cover_because_the_encoder_saw_gaps():
    """A linear-Gaussian table without gaps in training: 90 % intervals of cells hidden later."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 2)) @ rng.normal(size=(2, 4)) + 0.5 * rng.normal(size=(900, 4))
    frame = {name: x[:, i] for i, name in enumerate("abcd")}
    table = data.Table(frame)
    fitted = fit_table(table[:600], rng_key=jax.random.key(0), progress=False)
    rows = {
        name: np.where(rng.random(300) < 0.4, np.nan, values[600:]) for name, values in frame.items()
    }
    counts = {"quantiles": (0.05, 0.95), "num_particles": 5000}
    imputed = fitted.impute(rows, rng_key=jax.random.key(1), **counts)
    low, high = imputed.interval(0.9)
    hidden = np.isnan(np.column_stack(list(rows.values())))
    covered = ((low <= x[600:]) & (x[600:] <= high))[hidden].mean()
    assert 0.86 <= covered <= 0.94
    assert np.median(imputed.effective_particles) > 100
