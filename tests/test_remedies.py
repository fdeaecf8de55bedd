"""Free bits and capacity: their laws, on small fits and on single losses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled import loss as compiled_loss
from compiled import random_values, terms
from oracle import close

from probvae import VAE, fit, flows, guides, nets, priors
from probvae.objectives import ELBO, Capacity, FreeBits, PerSite, PerUnit

X = np.asarray(jax.random.bernoulli(jax.random.key(0), 0.4, (20, 4)), np.float32)
KEY = jax.random.key(7)


def tiny(**changes):
    parts = {"latent_dim": 4, "encoder": nets.Linear(), "decoder": nets.Linear(), **changes}
    return VAE(event_shape=(4,), **parts)


@pytest.fixture(scope="module")
def case():
    """A VAE, its parameters, and its terms at KEY."""
    vae = tiny()
    params = random_values(vae)
    return vae, params, terms(KEY, params, vae.model, vae.guide, X)


def loss_and_slope(objective, vae, params):
    def loss(p):
        return objective.loss(KEY, p, vae.model, vae.guide, X)

    return jax.jit(jax.value_and_grad(loss))(params)


@pytest.mark.parametrize(
    ("neutral", "elbo"),
    [
        pytest.param(FreeBits(0.0), ELBO(), id="FreeBits-PerUnit"),
        pytest.param(FreeBits(0.0, groups=PerSite()), ELBO(), id="FreeBits-PerSite"),
        pytest.param(Capacity(0.0, gamma=2.0), ELBO(beta=2.0), id="Capacity"),
    ],
)
def test_neutral_setting_is_the_elbo(case, neutral, elbo):
    vae, params, _ = case
    close(loss_and_slope(neutral, vae, params), loss_and_slope(elbo, vae, params), rtol=1e-5, atol=1e-6)


def test_free_bits_take_the_mean_over_the_batch_before_the_max(case):
    """By hand, with a threshold between the units' mean KLs; per unit, per pair, per site."""
    vae, params, read = case
    units = np.asarray(read.kl["z"], float).mean(0)
    log_likelihood = float(read.log_likelihood.sum())
    for groups, kl in (
        (PerUnit(), units),
        (PerUnit(size=2), units.reshape(2, 2).sum(1)),
        (PerSite(), units.sum()[None]),
    ):
        for lam in (float(np.median(kl)) + 0.01, float(kl.min()) / 2):
            loss, _ = loss_and_slope(FreeBits(lam, groups=groups), vae, params)
            want = 20 * np.maximum(lam, kl).sum() - log_likelihood
            assert float(loss) == pytest.approx(want, rel=1e-5)


def test_no_gradient_below_the_threshold_and_the_full_one_above(case):
    vae, params, read = case
    none = loss_and_slope(ELBO(beta=0.0), vae, params)[1]
    close(loss_and_slope(FreeBits(50.0), vae, params)[1], none, rtol=1e-5, atol=1e-6)
    lam = float(np.sort(np.asarray(read.kl["z"].mean(0)))[1:3].mean())  # two units below, two above
    slope = loss_and_slope(FreeBits(lam), vae, params)[1]["encoder$params"]
    charged = loss_and_slope(ELBO(), vae, params)[1]["encoder$params"]
    below = np.asarray(read.kl["z"].mean(0)) < lam
    for got, free, paid in zip(
        *map(jax.tree.leaves, (slope, none["encoder$params"], charged)), strict=True
    ):
        by_unit = [a.reshape(-1, 4, 2) for a in (got, free, paid)]
        want = jnp.where(below[None, :, None], by_unit[1], by_unit[2])
        np.testing.assert_allclose(by_unit[0], want, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_fit_with_free_bits_spends_them():
    """Noise has nothing to encode: the ELBO collapses, and free bits keep lambda nats in each unit."""
    settings = {"optimizer": optax.adam(2e-2), "epochs": 150, "batch_size": 20, "progress": False}
    kls = {}
    for name, objective in (("elbo", ELBO()), ("free", FreeBits(0.2))):
        fitted = fit(tiny(), X, rng_key=KEY, objective=objective, **settings)
        kls[name] = terms(KEY, fitted.values, fitted.vae.model, fitted.vae.guide, X).kl["z"].mean(0)
    assert kls["elbo"].min() < 0.1
    assert kls["free"].min() > 0.18


def test_capacity_is_that_of_each_datum_and_takes_schedules(case):
    vae, params, read = case
    kl = np.asarray(read.total_kl, float)
    loss, _ = loss_and_slope(Capacity(float(np.median(kl)), gamma=3.0), vae, params)
    want = 3 * np.abs(kl - np.median(kl)).sum() - float(read.log_likelihood.sum())
    assert float(loss) == pytest.approx(want, rel=1e-5)
    fitted = fit(
        vae, X, rng_key=KEY, objective=Capacity(optax.linear_schedule(0.0, 1.5, 300), gamma=50.0),
        optimizer=optax.adam(1e-2), epochs=600, batch_size=20, progress=False,
    )  # fmt: skip
    last = fitted.history.steps["kl"][-100:].mean()
    assert last == pytest.approx(1.5, abs=0.15)


def test_capacity_averages_a_sampled_kl_over_particles_first():
    vae = tiny(posterior=guides.Flow(flows.Autoregressive((4,)), depth=1))
    params = random_values(vae)
    keys = jax.random.split(KEY, 3)
    reads = [terms(k, params, vae.model, vae.guide, X) for k in keys]
    kl = np.mean([r.total_kl for r in reads], axis=0)
    fit_to = np.mean([r.log_likelihood for r in reads], axis=0)
    loss, _ = loss_and_slope(Capacity(1.0, gamma=2.0, num_particles=3), vae, params)
    assert float(loss) == pytest.approx((2 * np.abs(kl - 1) - fit_to).sum(), rel=1e-4)


@pytest.mark.slow
def test_a_discrete_code_has_free_bits_per_site():
    vae = tiny(prior=priors.Bernoulli(), posterior=guides.Bernoulli())
    params = {}
    read = ELBO().read(KEY, params, vae.model, vae.guide, X)
    loss = compiled_loss(FreeBits(3.0, groups=PerSite()), KEY, params, vae, X)
    assert float(read.total_kl.mean()) < 3
    assert float(loss) == pytest.approx(60 - float(read.log_likelihood.sum()), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "objective", "message"),
    [
        pytest.param(
            {"prior": priors.VampPrior(3)}, FreeBits(),
            r'FreeBits does not work with the prior VampPrior and the posterior MeanField: .*site "z".*Use',
            id="sampled",
        ),
        pytest.param({"posterior": guides.FullRank()}, FreeBits(), "FullRank.*KL per unit", id="joint"),
        pytest.param({}, FreeBits(groups=PerUnit(size=3)), "expects a divisor of 4.*got 3", id="size"),
    ],
)  # fmt: skip
def test_refusals(changes, objective, message):
    with pytest.raises(ValueError, match=message):
        fit(tiny(**changes), X, rng_key=KEY, objective=objective, epochs=1, batch_size=10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: FreeBits(-0.1), "FreeBits.lam=.*>= 0.*got -0.1", id="lam"),
        pytest.param(lambda: FreeBits(num_particles=0), "positive integer; got 0", id="particles"),
        pytest.param(lambda: PerUnit(size=0), "PerUnit.size=.*positive integer; got 0", id="size"),
        pytest.param(lambda: Capacity(-1.0), "Capacity.capacity=.*got -1.0", id="capacity"),
        pytest.param(lambda: Capacity(gamma=float("inf")), "gamma=.*got inf", id="gamma"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
