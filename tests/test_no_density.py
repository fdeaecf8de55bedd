"""Parts that are no density: what they score, and what is refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest

from probvae import VAE, fit, guides, likelihoods, nets, to_datatree
from probvae.data import Data
from probvae.distributions import FeatureDistance
from probvae.objectives import ELBO, IWAE, STL, FreeBits
from probvae.runs.evaluation import describe_metrics, evaluate

KEY = jax.random.key(3)
X = oracle.dataset(200)[:, :4].astype(np.float32)
AUTOENCODER = oracle.vae(
    4, 2, posterior=guides.PointMass(), likelihood=likelihoods.Gaussian(scale=likelihoods.FixedScale())
)


def pair(x):
    """Features in two layers, of other shapes than the data."""
    return {"low": x[:, :2] * 2, "high": jnp.tanh(x[:, 1:, None])}


@pytest.fixture(scope="module")
def fitted():
    return fit(
        AUTOENCODER, X, rng_key=KEY, objective=ELBO(beta=0.0), optimizer=optax.adam(3e-2),
        validation=X[:10], epochs=400, batch_size=200, progress=False,
    )  # fmt: skip


def test_a_linear_autoencoder_finds_the_principal_subspace(fitted):
    """Its squared error is the sum of the other eigenvalues (Baldi and Hornik 1989)."""
    values, _ = oracle.eigen(X)
    error = float(jnp.square(fitted.reconstruct(X) - X).sum(-1).mean())
    assert error == pytest.approx(values[2:].sum(), rel=0.02)
    again = fitted.decode(fitted.encode(X).mean).mean
    np.testing.assert_allclose(again, fitted.reconstruct(X, rng_key=KEY), rtol=1e-5)
    assert float(fitted.encode(X).variance.max()) == 0.0
    want = -0.5 * (error + 4 * np.log(2 * np.pi))
    assert fitted.history.steps["log_likelihood"][-1] == pytest.approx(want, rel=2e-2)
    assert "elbo" not in {**fitted.history.train, **fitted.history.validation}


def test_the_price_of_a_code_is_minus_log_p(fitted):
    told = (KEY, fitted.params, AUTOENCODER.model, AUTOENCODER.guide, X)
    z = fitted.encode(X).mean
    price = 0.5 * (jnp.square(z).sum(-1) + 2 * np.log(2 * np.pi))
    for objective in (ELBO(), ELBO(closed_form=False)):
        np.testing.assert_allclose(objective.read(*told).total_kl[0], price, rtol=1e-4)
    losses = [float(ELBO(beta=beta).loss(*told)) for beta in (0.0, 2.0)]
    assert losses[1] - losses[0] == pytest.approx(2 * float(price.sum()), rel=1e-4)


def looking(features, scale=0.7):
    return oracle.vae(4, 2, likelihood=likelihoods.PerceptualDistance(features, scale=scale))


def test_identity_features_are_the_gaussian_up_to_its_constant(fitted):
    gaussian = oracle.vae(4, 2, likelihood=likelihoods.Gaussian(scale=likelihoods.FixedScale(0.7)))
    params = jax.tree.map(jnp.float32, oracle.params(np.eye(4)[:, :2], np.zeros(4), 0.5))
    params.pop("likelihood$log_scale")

    def loss(vae):
        return jax.jit(jax.value_and_grad(lambda p: ELBO().loss(KEY, p, vae.model, vae.guide, X)))(
            params
        )

    (ours, slope), (theirs, other) = loss(looking(jnp.asarray)), loss(gaussian)
    constant = len(X) * 4 * (np.log(0.7) + 0.5 * np.log(2 * np.pi))
    assert float(theirs - ours) == pytest.approx(constant, rel=1e-3)
    for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


def test_layers_of_features_add_up():
    p = FeatureDistance(jnp.zeros((5, 4)), pair, 0.5)
    x = jnp.asarray(X[:5])
    want = -2 * (4 * (x[:, :2] ** 2).sum(1) + (np.tanh(x[:, 1:]) ** 2).sum(1))
    np.testing.assert_allclose(p.log_prob(x), want, rtol=1e-5)
    np.testing.assert_allclose(p.log_prob(jnp.stack([x, 2 * x]))[0], want, rtol=1e-5)
    assert p.sample(KEY, (3,)).shape == (3, 5, 4)


@pytest.fixture(scope="module")
def perceived():
    return fit(looking(pair), X, rng_key=KEY, epochs=2, batch_size=100, progress=False)


@pytest.mark.parametrize("part", ["PointMass", "PerceptualDistance"])
def test_bounds_are_refused_by_name(part, request):
    fitted = request.getfixturevalue({"PointMass": "fitted", "PerceptualDistance": "perceived"}[part])
    assert np.isfinite(fitted.history.steps["loss"]).all()
    assert fitted.reconstruct(X).shape == X.shape
    assert fitted.sample(3, rng_key=KEY).x.shape == (3, 4)
    assert part in repr(fitted.vae.posterior) + repr(fitted.vae.likelihood)
    for bound in (fitted.log_prob, fitted.elbo):
        with pytest.raises(ValueError, match=f"needs a density .*{part} has none"):
            bound(X, rng_key=KEY, num_particles=2)
    for asked in (
        lambda: fitted.impute(X, np.ones_like(X, bool), rng_key=KEY),
        lambda: to_datatree(fitted, X, rng_key=KEY),
    ):
        with pytest.raises(ValueError, match=f"needs a density .*{part} has none"):
            asked()
    given = Data("rows", train=X, test=X)
    found = evaluate(fitted, given, rng_key=KEY, num_particles=2, max_test=5)
    (line,) = describe_metrics(found, 10)
    assert line.startswith("test log p(x) is not available: ")
    assert f"{part} has none" in line


@pytest.mark.parametrize("objective", [IWAE(), FreeBits(), ELBO(estimator=STL())], ids=repr)
def test_objectives_that_need_a_rate_are_refused(objective):
    with pytest.raises(
        ValueError, match="expects a density q.*PointMass, which puts all mass.*beta=0.0"
    ):
        fit(AUTOENCODER, X, rng_key=KEY, objective=objective, epochs=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: looking(lambda x: x @ jnp.ones((9, 2))), "failed: ", id="shape"),
        pytest.param(lambda: looking(lambda x: x.sum()), r"one row per datum \(2\)", id="rows"),
        pytest.param(lambda: looking(jnp.tanh, scale=0.0), "finite number > 0; got 0.0", id="scale"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_features_are_a_function():
    with pytest.raises(TypeError):
        likelihoods.PerceptualDistance(3)


def test_a_conv_net_may_be_the_features():
    """A built net with fixed weights, closed over."""
    from flax import nnx

    net = nets.Conv((4,))((8, 8, 1), (5,), rngs=nnx.Rngs(0))
    vae = VAE(
        event_shape=(8, 8, 1),
        latent_dim=2,
        likelihood=likelihoods.PerceptualDistance(lambda x: net(x)),
        encoder=nets.MLP((4,)),
        decoder=nets.MLP((4,)),
    )
    x = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype(np.float32)
    fitted = fit(vae, x, rng_key=KEY, epochs=1, batch_size=4, progress=False)
    assert np.isfinite(fitted.history.steps["loss"]).all()
