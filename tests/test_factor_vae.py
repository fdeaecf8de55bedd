"""A discriminator that the objective owns: what it learns, and whom each gradient reaches."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest
from flax import nnx
from numpyro.infer import SVI

from probvae import fit, guides, nets, priors
from probvae.objectives import ELBO, FactorVAE
from probvae.objectives.factor_vae import exchange

KEY = jax.random.key(3)
VAE = oracle.vae(2, 2)
NET = nets.MLP((32,), jax.nn.leaky_relu)
CORRELATION = 0.9


def correlated(n):
    """Normal data with correlation 0.9 and unit variances."""
    z = np.random.default_rng(1).normal(size=(n, 2))
    other = CORRELATION * z[:, 0] + np.sqrt(1 - CORRELATION**2) * z[:, 1]
    return np.stack([z[:, 0], other], axis=1).astype(np.float32)


X = correlated(1024)
PARAMS = jax.tree.map(jnp.float32, oracle.params(np.eye(2), np.zeros(2), 0.1))


def players(params):
    return {k: "D" if k.startswith("objective$") else "VAE" for k in params}


@pytest.fixture(scope="module")
def trained():
    """Programs, and all values after the discriminator alone has learned."""
    objective = FactorVAE(1.0, discriminator=NET)
    programs = objective.programs(VAE.model, VAE.guide)
    rates = {"D": optax.adam(1e-2), "VAE": optax.set_to_zero()}
    svi = SVI(*programs, optax.multi_transform(rates, players), objective)

    @jax.jit
    def run():
        state = jax.jit(svi.init)(KEY, X, init_params=PARAMS)
        state, losses = jax.lax.scan(lambda s, _: svi.update(s, X), state, None, 300)
        return svi.get_params(state), state.mutable_state["objective$state"]

    return *programs, *run()


def test_the_discriminator_recovers_a_known_density_ratio(trained):
    """q(z) = Normal(0, S), S known: TC = -1/2 log(1 - r^2), and the log ratio at each code."""
    model, guide, params, state = trained
    for name in PARAMS:
        for a, b in zip(jax.tree.leaves(params[name]), jax.tree.leaves(PARAMS[name]), strict=True):
            np.testing.assert_array_equal(a, b)
    covariance = np.array([[1, CORRELATION], [CORRELATION, 1]]) / 1.1**2 + np.eye(2) * 0.1 / 1.1
    r = covariance[0, 1] / covariance[0, 0]
    tc = -0.5 * np.log(1 - r**2)
    z = np.random.default_rng(2).multivariate_normal(np.zeros(2), covariance, 2000).astype(np.float32)
    learned = nets.function(NET, (2,), (1,))(params["objective$params"], jnp.asarray(z))[:, 0]
    inverse = np.linalg.inv(covariance) - np.eye(2) / covariance[0, 0]
    exact = tc - 0.5 * np.einsum("ni,ij,nj->n", z, inverse, z)
    assert float(learned.mean()) == pytest.approx(tc, abs=0.08)
    assert float(np.sqrt(np.mean((learned - exact) ** 2))) < 0.3 * exact.std()
    assert float(state["total_correlation"]) == pytest.approx(tc, abs=0.12)
    assert 0.2 < float(state["discriminator_loss"]) < np.log(2) - 0.05


def slopes(trained, objective, *, plain=False):
    model, guide, params, _ = trained
    programs = (VAE.model, VAE.guide) if plain else (model, guide)
    return jax.jit(jax.value_and_grad(lambda p: objective.loss(KEY, p, *programs, X)))(params)


def test_each_player_has_its_own_gradient(trained):
    zero, one, three = (slopes(trained, FactorVAE(g, discriminator=NET)) for g in (0.0, 1.0, 3.0))
    elbo = slopes(trained, ELBO(), plain=True)
    assert float(zero[0]) == pytest.approx(float(elbo[0]), rel=1e-6)
    for name in PARAMS:
        for a, b, c, d in zip(
            *(jax.tree.leaves(s[1][name]) for s in (zero, elbo, one, three)), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)
            np.testing.assert_allclose(d - a, 3 * (c - a), rtol=1e-3, atol=0.05)
            assert np.allclose(a, c) != name.startswith("encoder"), "TC moves the encoder alone"
    for a, b in zip(*(jax.tree.leaves(s[1]["objective$params"]) for s in (zero, three)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        assert np.abs(a).max() > 0, "D learns whatever its weight"
    model, guide, params, _ = trained
    read = FactorVAE(1.0, discriminator=NET).read(KEY, params, model, guide, X)
    cost = float(three[0] - zero[0]) / 3 / len(X)
    assert cost == pytest.approx(float(read.extra[0].mean()), rel=1e-3), "TC lowers the bound"


def test_the_discriminators_gradient_is_that_of_its_loss_alone(trained):
    *_, params, _ = trained
    found = slopes(trained, FactorVAE(2.0, discriminator=NET))[1]["objective$params"]
    objective = FactorVAE(2.0, discriminator=NET)
    read = objective.read(KEY, params, *trained[:2], X)
    assert read.extra[1].shape == (1, len(X))

    def loss(phi):
        told = {**params, "objective$params": phi}
        return objective.read(KEY, told, *trained[:2], X).extra[1].sum()

    for a, b in zip(
        *map(jax.tree.leaves, (found, jax.jit(jax.grad(loss))(params["objective$params"]))), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_exchanged_units_keep_their_values_and_lose_their_company():
    z = jnp.asarray(X)
    other = np.asarray(exchange(KEY, z))
    np.testing.assert_array_equal(np.sort(other, axis=0), np.sort(X, axis=0))
    assert abs(np.corrcoef(other.T)[0, 1]) < 0.15
    assert not np.array_equal(other[:, 0], X[:, 0])


def test_a_fit_records_both_and_keeps_the_vae_alone():
    options = {"rng_key": KEY, "epochs": 2, "batch_size": 64, "progress": False}
    fitted = fit(VAE, X[:128], objective=FactorVAE(1.0, discriminator=NET), **options)
    for name in ("total_correlation", "discriminator_loss"):
        assert np.isfinite(fitted.history.steps[name]).all()
    assert set(fitted.values) == set(PARAMS)
    again = fit(VAE, X[:128], init_params=fitted.params, **options)
    assert np.isfinite(again.history.steps["loss"]).all()


NORMED = nets.MLP((8,), norm=nnx.BatchNorm)


@pytest.mark.parametrize(
    ("changes", "net", "batch", "message"),
    [
        pytest.param(
            {"prior": priors.TwoLevel(), "posterior": guides.TwoLevelTopDown()}, NET, 4,
            "FactorVAE .*one latent site", id="sites",
        ),
        pytest.param(
            {"prior": priors.UniformSphere(), "posterior": guides.PowerSpherical()}, NET, 4,
            "FactorVAE .*codes on the sphere", id="sphere",
        ),
        pytest.param({}, NET, 1, "got a batch of 1", id="batch"),
        pytest.param({}, NORMED, 4, "without running state and dropout.*LayerNorm", id="batch norm"),
    ],
)  # fmt: skip
def test_refusals(changes, net, batch, message):
    vae, objective = oracle.vae(2, 2, **changes), FactorVAE(discriminator=net)
    with pytest.raises(ValueError, match=message):
        fit(vae, X, rng_key=KEY, objective=objective, epochs=1, batch_size=batch)


def test_plain_svi_needs_the_programs():
    with pytest.raises(ValueError, match="FactorVAE expects programs that register its discriminator"):
        FactorVAE(discriminator=NET).loss(KEY, PARAMS, VAE.model, VAE.guide, X)
    with pytest.raises(ValueError, match="gamma=.*got -1.0"):
        FactorVAE(-1.0)
