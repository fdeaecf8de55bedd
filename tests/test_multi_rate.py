"""One model for every weight of the KL."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest

from probvae import VAE, Batch, fit, likelihoods, nets
from probvae.objectives import ELBO, MultiRate

KEY = jax.random.key(3)
X = oracle.dataset(60).astype(np.float32)[:, :4] / 3
VAE_ = VAE(
    event_shape=(4,),
    latent_dim=2,
    likelihood=likelihoods.Gaussian(scale=likelihoods.FixedScale(0.5)),
    encoder=nets.MLP((16,)),
    decoder=nets.MLP((16,)),
    context_shape=(1,),
)


def log_beta(beta):
    return np.full((len(X), 1), np.log(beta), np.float32)


@pytest.fixture(scope="module")
def fitted():
    return fit(
        VAE_, X, rng_key=KEY, objective=MultiRate(0.05, 20.0), optimizer=optax.adam(1e-2),
        validation=Batch(X, log_beta(1.0)), epochs=300, batch_size=60, progress=False,
    )  # fmt: skip


def test_in_one_model_the_kl_falls_as_beta_rises(fitted):
    def kl(beta):
        q = fitted.encode(X, log_beta(beta))
        return float((0.5 * (q.mean**2 + q.variance - jnp.log(q.variance) - 1)).sum(-1).mean())

    found = np.array([kl(beta) for beta in (0.05, 0.3, 2.0, 20.0)])
    assert (np.diff(found) < -0.5).all(), found
    assert np.isfinite(fitted.history.validation["elbo"]).all()


def test_each_datum_draws_its_beta_uniformly_on_the_log_scale():
    drawn = MultiRate(0.1, 10.0).draw_context(KEY, jnp.zeros((4000, 4)), jnp.ones((4000, 2)))
    assert drawn.shape == (4000, 3)
    assert (drawn[:, :2] == 1).all()
    u = (drawn[:, 2] - np.log(0.1)) / (np.log(10.0) - np.log(0.1))
    np.testing.assert_allclose(
        np.quantile(u, [0, 0.25, 0.5, 0.75, 1]), [0, 0.25, 0.5, 0.75, 1], atol=0.03
    )


def test_the_range_of_one_is_the_elbo_and_each_datum_has_its_weight(fitted):
    told = (KEY, fitted.params, VAE_.model, VAE_.guide)
    one = MultiRate(1.0, 1.0)
    ones = one.draw_context(KEY, jnp.asarray(X), None)
    for got, want in zip(
        *(
            jax.tree.leaves(
                jax.jit(jax.value_and_grad(lambda p, o=o: o.loss(KEY, p, *told[2:], X, ones)))(told[1])
            )
            for o in (one, ELBO())
        ),
        strict=True,
    ):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    context = np.linspace(-1, 1, len(X), dtype=np.float32)[:, None]
    read = ELBO().read(*told, X, context)
    want = read.log_likelihood[0] - np.exp(context[:, 0]) * read.total_kl[0]
    for objective in (MultiRate(), MultiRate(num_particles=1, low=0.5)):
        np.testing.assert_allclose(
            objective.bound(objective.read(*told, X, context), None), want, rtol=1e-5
        )


def test_the_datas_own_context_comes_first():
    vae = replace(VAE_, context_shape=(3,))
    batch = Batch(X, np.ones((len(X), 2), np.float32))
    fitted = fit(
        vae, batch, rng_key=KEY, objective=MultiRate(), epochs=2, batch_size=20, progress=False
    )
    assert np.isfinite(fitted.history.steps["loss"]).all()
    context = np.random.default_rng(0).normal(size=(len(X), 3)).astype(np.float32)
    read = MultiRate().read(KEY, fitted.params, vae.model, vae.guide, X, context)
    np.testing.assert_allclose(read.extra, np.exp(context[:, 2]), rtol=1e-6)  # beta is the last entry
    with pytest.raises(ValueError, match="context vector|expected .*3"):
        fitted.encode(X, batch.context)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: MultiRate(0.0, 1.0), r"MultiRate\(low=...\) expects a finite number > 0; got 0.0", id="low"),
        pytest.param(lambda: MultiRate(2.0, 1.0), "low=2.0, high=1.0", id="order"),
        pytest.param(
            lambda: fit(replace(VAE_, context_shape=()), X, rng_key=KEY, objective=MultiRate()),
            r"MultiRate .*context_shape=\(\).*context_shape=\(1,\)", id="no room",
        ),
        pytest.param(
            lambda: fit(VAE_, Batch(X, log_beta(1.0)), rng_key=KEY, objective=MultiRate()),
            "got a context of shape", id="log beta given",
        ),
        pytest.param(
            lambda: MultiRate().loss(KEY, {}, VAE_.model, VAE_.guide, X), "draw_context", id="plain SVI"
        ),
    ],
)  # fmt: skip
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
