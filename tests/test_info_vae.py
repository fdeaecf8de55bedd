"""The maximum mean discrepancy against closed forms, and the objective made of it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest

from probvae import fit, guides, priors
from probvae.objectives import ELBO, RBF, FixedWidth, InfoVAE, InverseMultiquadratic, MedianWidth
from probvae.objectives.kernels import mmd

VAE = oracle.vae(3, 2)
X = oracle.dataset(60).astype(np.float32)[:, :3] / 3
KEY = jax.random.key(3)


def draws(kernel, mean, scale, runs=4000, n=6):
    """Estimates between Normal(0, I) and Normal(mean, scale^2 I), two units, n draws of each."""

    def one(key):
        z, y = jax.random.normal(key, (2, n, 2))
        return mmd(kernel, z, mean + scale * y)

    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(KEY, runs)), float)


def score(values, truth):
    return abs(values.mean() - truth) / (values.std(ddof=1) / np.sqrt(len(values)))


@pytest.mark.parametrize(
    "kernel",
    [RBF(), RBF(FixedWidth((0.5, 2.0))), RBF(MedianWidth()), InverseMultiquadratic()],
    ids=["rbf", "two widths", "median", "imq"],
)
def test_equal_laws_have_none_in_expectation(kernel):
    assert score(draws(kernel, 0.0, 1.0), 0.0) < 4


def test_two_normals_have_the_closed_form_of_the_rbf_kernel():
    """E k(a, b) = prod_d sqrt(h^2 / (h^2 + v)) exp(-m^2 / (2 (h^2 + v))), a - b ~ Normal(m, v)."""

    def expected(m, v, h2=2 * 0.8**2):
        return (np.sqrt(h2 / (h2 + v)) * np.exp(-(m**2) / (2 * (h2 + v)))) ** 2

    mean, scale = 0.7, 0.5
    truth = expected(0, 2) + expected(0, 2 * scale**2) - 2 * expected(mean, 1 + scale**2)
    values = draws(RBF(FixedWidth((0.8,))), mean, scale)
    assert truth > 0.05
    assert score(values, truth) < 4


def test_kernels_by_hand():
    """Two draws of each in the plane: every distance is known; h^2 is D width^2, or half the median."""
    z, y = jnp.array([[0.0, 0.0], [2.0, 0.0]]), jnp.array([[0.0, 1.0], [2.0, 1.0]])
    for kernel, k in (
        (RBF(FixedWidth((1.5,))), lambda d2: np.exp(-d2 / 9)),
        (InverseMultiquadratic(FixedWidth((1.5,))), lambda d2: 1 / (1 + d2 / 9)),
        (RBF(MedianWidth()), lambda d2: np.exp(-d2 / 4)),  # distances 4, 1, 5, 5, 1, 4: the median is 4
    ):
        want = 2 * k(4) - 2 * (2 * k(1) + 2 * k(5)) / 4
        assert float(mmd(kernel, z, y)) == pytest.approx(want, rel=1e-5)


def loss_and_slope(objective, params):
    return jax.jit(jax.value_and_grad(lambda p: objective.loss(KEY, p, VAE.model, VAE.guide, X)))(
        params
    )


def test_neutral_setting_is_the_elbo_and_weights_meet_their_terms():
    params = jax.tree.map(jnp.float32, oracle.params(np.eye(3)[:, :2], np.zeros(3), 0.5))
    for got, want in zip(
        *(jax.tree.leaves(loss_and_slope(o, params)) for o in (InfoVAE(0.0, lam=1.0), ELBO())),
        strict=True,
    ):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    read = jax.jit(lambda: InfoVAE().read(KEY, params, VAE.model, VAE.guide, X))()
    for alpha, lam in ((1.0, 10.0), (0.4, 3.0)):
        want = (
            read.log_likelihood[0] - (1 - alpha) * read.total_kl[0] - (alpha + lam - 1) * read.extra[0]
        )
        np.testing.assert_allclose(InfoVAE(alpha, lam=lam).bound(read, None), want, rtol=1e-5)


@pytest.mark.slow
def test_a_fit_brings_the_codes_to_the_prior():
    """Without a KL: codes run away without the MMD's price, and stay with it."""
    spread = {}
    for lam in (0.0, 300.0):
        fitted = fit(
            VAE, X, rng_key=KEY, objective=InfoVAE(1.0, lam=lam), optimizer=optax.adam(2e-2),
            epochs=150, batch_size=60, progress=False,
        )  # fmt: skip
        q = fitted.encode(X)
        spread[lam] = float(np.log(np.var(q.mean, axis=0) + np.mean(q.variance, axis=0)).max())
        assert np.isfinite(fitted.history.steps["mmd"]).all()
    assert abs(spread[300.0]) < 0.4 < abs(spread[0.0])


def test_a_prior_without_reparametrised_draws_keeps_its_parameters_from_the_mmd():
    vae = oracle.vae(3, 2, prior=priors.GaussianMixture(components=2))
    fitted = fit(vae, X, rng_key=KEY, objective=InfoVAE(0.5), epochs=2, batch_size=20, progress=False)
    assert np.isfinite(fitted.history.steps["loss"]).all()


@pytest.mark.parametrize(
    ("changes", "batch", "message"),
    [
        pytest.param(
            {"prior": priors.TwoLevel(), "posterior": guides.TwoLevelTopDown()}, 4,
            "TwoLevel .*one latent site", id="sites",
        ),
        pytest.param({}, 1, "got a batch of 1", id="batch"),
    ],
)  # fmt: skip
def test_refusals(changes, batch, message):
    with pytest.raises(ValueError, match=message):
        fit(
            oracle.vae(3, 2, **changes), X, rng_key=KEY, objective=InfoVAE(), epochs=1, batch_size=batch
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: InfoVAE(1.5), r"alpha=.*\[0, 1\]; got 1.5", id="alpha"),
        pytest.param(lambda: InfoVAE(0.2, lam=0.5), "alpha . lam >= 1.*lam=0.5", id="sum"),
        pytest.param(lambda: InfoVAE(lam=-1.0), "lam=.*got -1.0", id="lam"),
        pytest.param(lambda: FixedWidth((0.0,)), "widths=.*> 0; got", id="width"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
