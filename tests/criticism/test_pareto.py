"""k-hat on the linear-Gaussian oracle, whose weights' tails are known, and on weights drawn by hand."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import test_rotated_oracle as rotated

from probvae import VAE, Batch, Fitted, History, guides, nets, priors
from probvae.batching import all_rows
from probvae.criticism import pareto_shape
from probvae.criticism.comparison import elpd_data
from probvae.criticism.posterior import pareto

pytest.importorskip("arviz_stats", reason="arviz-stats is not installed: pip install 'probvae[arviz]'")

_, MU, VARIANCE = oracle.optimum(oracle.dataset())
X = oracle.dataset().astype(np.float32)[:60]
PARTICLES = 2000


def fitted(scale):
    values = oracle.params(*oracle.optimum(oracle.dataset()), scale=scale)
    return Fitted(oracle.vae(), jax.tree.map(jnp.float32, values), History({}, {}, {}))


def shape(scale, seed=0):
    return pareto_shape(fitted(scale), X, rng_key=jax.random.key(seed), num_particles=PARTICLES)


def test_exact_posterior_has_no_tail():
    found = shape(1.0)
    assert (found.k_hat == -np.inf).all()
    np.testing.assert_allclose(found.effective_sample_size, PARTICLES, rtol=1e-3)
    assert found.share_above == 0
    assert found.threshold == pytest.approx(1 - 1 / np.log10(PARTICLES))


def test_exact_correlated_posterior_has_no_tail():
    guide, values = rotated.EXACT["FullRank"]
    x = rotated.X[:20].astype(np.float32)
    found = pareto_shape(rotated.fitted(guide, values()), x, rng_key=jax.random.key(0))
    assert (found.k_hat == -np.inf).all()


def test_wide_guide_has_light_tails():
    """Weights are bounded. E[w^2] / E[w]^2 of a scale s in 3 dimensions: (s^2 / sqrt(2 s^2 - 1))^3."""
    found = shape(1.2)
    assert (found.k_hat < 0.3).all()
    assert (found.k_hat > -np.inf).all()
    s = 1.2
    inflation = (s**2 / np.sqrt(2 * s**2 - 1)) ** 3
    np.testing.assert_allclose(found.effective_sample_size.mean(), PARTICLES / inflation, rtol=0.02)


def test_narrow_guide_has_heavy_tails():
    """log w = (1 - s^2) |e|^2 / 2 for e ~ N(0, I): w's tail is a Pareto of k = 1 - s^2, up to logs."""
    found = shape(0.25)
    assert np.mean(found.k_hat > 0.7) >= 0.8
    assert np.median(found.k_hat) == pytest.approx(1 - 0.25**2, abs=0.2)
    assert found.share_above == np.mean(found.k_hat > found.threshold) >= 0.8


def test_weights_are_those_that_log_prob_averages():
    key = jax.random.key(4)
    at = fitted(1.2)
    log_w, size = pareto._weigh_particles(at.vae.eval(), at.values, all_rows(Batch(X[:5]), key), 1300)
    bound = at.log_prob(X[:5], rng_key=key, num_particles=1300)
    np.testing.assert_allclose(jax.nn.logsumexp(log_w, axis=1) - np.log(1300), bound.value, rtol=1e-5)
    assert (size - 10 > np.abs(log_w).max(1)).all()  # of terms of either sign, and of 10 entries
    found = pareto_shape(at, X[:5], rng_key=key, num_particles=1300)
    np.testing.assert_allclose(found.gain, bound.value - np.asarray(log_w, float).mean(1), atol=1e-5)


def test_blocks_change_nothing(monkeypatch):
    in_one = shape(1.2)
    monkeypatch.setattr(pareto, "BLOCK", 7 * PARTICLES)
    np.testing.assert_allclose(shape(1.2).k_hat, in_one.k_hat, rtol=1e-3)


@pytest.mark.parametrize("k", [0.2, 0.5, 0.9])
def test_known_pareto_tails(k):
    """W = U^-k has the tail of a generalised Pareto of shape k; the sign of log w matters."""
    u = np.random.default_rng(0).random((4000, 30))
    found = pareto.from_log_weights(-k * np.log(u))
    assert found.k_hat.mean() == pytest.approx(k, abs=0.08)


def test_each_datum_by_itself():
    """Equal, zero, nan and tied weights of one datum do not touch the others."""
    rng = np.random.default_rng(1)
    good = rng.normal(size=(400, 2))
    odd = np.stack([np.full(400, -3.0), np.full(400, -np.inf), np.full(400, np.nan)], 1)
    tied = rng.integers(2, size=(400, 1)).astype(float)
    few = np.where(np.arange(400) < 3, 0.0, -np.inf)[:, None]
    far = np.where(np.arange(400) < 3, 0.0, -rng.random(400) * 1e4 - 1e4)[:, None]
    found = pareto.from_log_weights(np.concatenate([odd, good, tied, few, far], axis=1))
    np.testing.assert_array_equal(found.k_hat[:3], [-np.inf, np.nan, np.nan])
    np.testing.assert_array_equal(found.k_hat[3:5], pareto.from_log_weights(good).k_hat)
    np.testing.assert_array_equal(found.k_hat[5:], [-np.inf, np.inf, np.inf])
    np.testing.assert_allclose(found.effective_sample_size[[0, 6, 7]], [400, 3, 3])
    assert found.share_above >= 4 / 8


def test_far_from_zero_is_the_same():
    log_w = np.random.default_rng(2).normal(size=(500, 4))
    np.testing.assert_allclose(
        pareto.from_log_weights(log_w - 3e3).k_hat, pareto.from_log_weights(log_w).k_hat, rtol=1e-6
    )


@pytest.mark.parametrize("spread", [0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1])
def test_nearly_equal_weights_are_the_best_case(spread):
    """Weights of a nearly exact posterior, rounded to float32 at the size of log p(x) or of its terms."""
    random = np.random.default_rng(0)
    log_w = (-1500 + spread * random.normal(size=(1000, 40))).astype(np.float32)
    found = pareto.from_log_weights(log_w)
    assert found.share_above == 0
    assert (found.effect < 0.01).all()
    assert (found.k_hat == -np.inf).all() == (spread < 5e-3)
    psislw = pareto.import_array_stats("this test").psislw
    by_terms = pareto._measure_tails(psislw, log_w.T + 1500, np.full(40, 1500.0))
    np.testing.assert_array_equal(by_terms[0], found.k_hat)


def test_a_guide_that_is_the_prior_of_a_dead_code_has_no_tail():
    """The decoder hardly uses z, and q(z|x) is p(z): the weights are equal to some digits."""
    values = oracle.params(1e-4 * oracle.optimum(oracle.dataset())[0], np.zeros(10), 32.0)
    values["encoder$params"] = jax.tree.map(np.zeros_like, values["encoder$params"])
    at = Fitted(oracle.vae(), jax.tree.map(jnp.float32, values), History({}, {}, {}))
    found = pareto_shape(at, 30 * X, rng_key=jax.random.key(0), num_particles=200)
    assert found.share_above == 0
    np.testing.assert_allclose(found.effective_sample_size, 200, rtol=1e-3)


def test_a_heavy_tail_that_cannot_move_the_bound_is_not_doubtful():
    """Under a Student prior, a normal guide and a dead code, log p(x) is the noise's density."""
    values = oracle.params(np.zeros((10, 3)), MU, VARIANCE)
    values["encoder$params"] = jax.tree.map(np.zeros_like, values["encoder$params"])
    vae = oracle.vae(prior=priors.StudentT(40.0))
    at = Fitted(vae, jax.tree.map(jnp.float32, values), History({}, {}, {}))
    found = pareto_shape(at, X, rng_key=jax.random.key(0), num_particles=200)
    assert found.share_above > 0.1
    assert (found.gain < 0.05).all()
    assert not found.doubtful.any()


def test_heavy_tails_far_from_zero_are_found_in_single_precision():
    """Rounding at the size of the terms must not hide a tail whose logarithms differ by nats."""
    log_w = -0.9 * np.log(np.random.default_rng(0).random((4000, 30)))
    found = pareto.from_log_weights((log_w - 3e3).astype(np.float32))
    assert found.k_hat.mean() == pytest.approx(0.9, abs=0.08)
    assert found.share_above > 0.9
    alone = np.where(np.arange(4000) % 200 == 0, 3.0, 1e-3 * log_w.T).T  # one draw in 200 is e^3
    assert pareto.from_log_weights((alone - 3e3).astype(np.float32)).share_above == 1


def test_the_effect_of_normal_log_weights_is_half_their_variance():
    log_w = 0.4 * np.random.default_rng(0).normal(size=(4000, 30))
    found = pareto.from_log_weights(log_w)
    np.testing.assert_allclose(found.gain.mean(), 0.08, rtol=0.05)
    np.testing.assert_allclose(found.effect.mean(), 0.08, rtol=0.05)
    alone = np.zeros((1000, 1))
    alone[0] = np.log(30)  # one weight of 30: the mean rises by 0.029, the variance of weights is 0.84
    found = pareto.from_log_weights(alone)
    assert found.gain[0] == pytest.approx(np.log(1.029) - np.log(30) / 1000)
    assert found.effect[0] == pytest.approx(0.5 * np.log(1000 * 1899 / 1029**2))


def test_arviz_is_warned_of_heavy_tails_that_matter():
    k_hat, effective = np.array([0.9, 0.3]), np.array([990.0, 200.0])
    shape = pareto.ParetoShape(k_hat, 0.7, effective, np.array([0.005, 0.8]), 1000)
    assert shape.above.tolist() == [True, False]
    assert not elpd_data(np.array([-3.0, -4.0]), shape).warning  # one is heavy, the other moves
    assert elpd_data(np.array([-3.0, -4.0]), shape._replace(k_hat=k_hat[::-1])).warning


def test_hierarchy_and_context_are_measured():
    vae = VAE(
        event_shape=(3,), latent_dim=2, context_shape=(1,), prior=priors.TwoLevel(net=nets.Linear()),
        posterior=guides.TwoLevelTopDown(net=nets.Linear()), encoder=nets.Linear(),
        decoder=nets.Linear(),
    )  # fmt: skip
    x = np.eye(3, dtype=np.float32)
    data = Batch(x, np.zeros((3, 1), np.float32), np.ones((3, 3), bool))
    found = pareto_shape(started(vae, data), data, rng_key=jax.random.key(0), num_particles=100)
    assert np.isfinite(found.k_hat).all()


def started(vae, data):
    from numpyro.infer import SVI, Trace_ELBO
    from numpyro.optim import Adam

    svi = SVI(vae.model, vae.guide, Adam(1e-3), Trace_ELBO())
    return Fitted(vae, svi.get_params(jax.jit(svi.init)(jax.random.key(0), *data)), History({}, {}, {}))


def test_wrong_input():
    at, key = fitted(1.0), jax.random.key(0)
    with pytest.raises(ValueError, match="at least 100 particles"):
        pareto_shape(at, X, rng_key=key, num_particles=99)
    with pytest.raises(ValueError, match="at least 100 particles"):
        pareto.from_log_weights(np.zeros((99, 2)))
    with pytest.raises(ValueError, match=r"\(particles, n\)"):
        pareto.from_log_weights(np.zeros(200))
    with pytest.raises(ValueError, match="event_shape"):
        pareto_shape(at, X[:, :4], rng_key=key)
    point = Fitted(oracle.vae(posterior=guides.PointMass()), {}, History({}, {}, {}))
    with pytest.raises(ValueError, match="PointMass"):
        pareto_shape(point, X, rng_key=key)


def test_without_arviz(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz_stats.base", None)
    with pytest.raises(ImportError, match=r"probvae\[arviz\]"):
        pareto.from_log_weights(np.zeros((200, 2)))
