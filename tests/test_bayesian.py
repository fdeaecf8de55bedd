"""A decoder with a prior on its weights: the scale of the data, and w ~ q(w) in every query.

The decoder here sees the context alone, so that the weights' posterior is that of Bayesian linear
regression, x = W c + noise. Numbers in NumPy, float64.
"""

import math
from dataclasses import replace
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled import terms
from flax import nnx
from numpyro import handlers
from numpyro.infer import SVI, Predictive, RenyiELBO, Trace_ELBO, TraceMeanField_ELBO

import probvae
from probvae import VAE, Batch, Fitted, fit, flows, guides, likelihoods, nets, point_weights, priors
from probvae.criticism import annealed_log_prob, events, inference_gap, reference_chains, to_datatree
from probvae.fitted import History
from probvae.objectives import ELBO, IWAE, STL
from probvae.tracing import has_shared_latents, trace_structure

N, BATCH, SIGMA, PRIOR = 64, 16, 0.5, 0.7
KEY = jax.random.key(0)


class Regression(nnx.Module):
    """W c, without the code and without bias."""

    def __init__(self, in_shape, out_shape, *, rngs):
        sizes = in_shape[0] - 1, math.prod(out_shape)
        self.kernel, self.out_shape = (
            nnx.Param(0.1 * jax.random.normal(rngs.params(), sizes)),
            out_shape,
        )

    def __call__(self, x):
        return (x[:, 1:] @ self.kernel[...]).reshape(len(x), *self.out_shape)


WEIGHED = nets.BayesianNet(Regression, scale=PRIOR)


def regression(decoder=WEIGHED, **parts):
    likelihood = likelihoods.Gaussian(scale=likelihoods.FixedScale(SIGMA))
    sizes = {"event_shape": (2,), "latent_dim": 1, "context_shape": (3,)}
    return VAE(**sizes, likelihood=likelihood, encoder=nets.Linear(), decoder=decoder, **parts)


@lru_cache
def data():
    rng = np.random.default_rng(1)
    c = rng.normal(size=(N, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 1.5]])
    x = c @ np.array([[1.0, -0.5], [0.3, 0.8], [-0.2, 0.1]]) + SIGMA * rng.normal(size=(N, 2))
    return Batch(x.astype(np.float32), c.astype(np.float32))


def posterior():
    """The mean (3, 2) of p(W | data), and the deviations (3,) of the best mean field: 1/sqrt(P_ii)."""
    x, c, _ = (None if a is None else np.asarray(a, np.float64) for a in data())
    precision = c.T @ c / SIGMA**2 + np.eye(3) / PRIOR**2
    return np.linalg.solve(precision, c.T @ x) / SIGMA**2, 1 / np.sqrt(np.diag(precision))


M = np.array([[0.5, -1.0], [0.2, 0.4], [-0.6, 0.1]])
S = np.array([[0.3, 0.1], [0.05, 0.2], [0.1, 0.4]])


def by_hand():
    """q(w) of chosen numbers, and q(z|x) = p(z): every query has a closed form."""
    vae = regression()
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape), trace_structure(vae).params["encoder$params"])
    weights = {"decoder$loc": {"kernel": jnp.asarray(M)}, "decoder$log_scale": {"kernel": jnp.log(S)}}
    return Fitted(vae, {"encoder$params": zeros, **weights}, History({}, {}, {}))


def predictive(c):
    """Mean and variance of x given c, under q(w)."""
    return c @ M, SIGMA**2 + c**2 @ S**2


def log_normal(x, mean, variance):
    return -0.5 * (np.log(2 * np.pi * variance) + (x - mean) ** 2 / variance)


@lru_cache
def fitted():
    steps = 400 * (N // BATCH)
    rate = optax.cosine_decay_schedule(0.05, steps)
    options = {"batch_size": BATCH, "epochs": 400, "optimizer": optax.adam(rate), "progress": False}
    return fit(regression(), data(), validation=data(), rng_key=KEY, **options)


# the law of num_data


def test_fit_finds_the_posterior_of_bayesian_linear_regression():
    """The deviations too: without num_data they would be sqrt(N / batch) = 2 times as wide."""
    mean, deviation = posterior()
    got = fitted().values
    s = np.exp(got["decoder$log_scale"]["kernel"])
    np.testing.assert_allclose(got["decoder$loc"]["kernel"], mean, atol=0.4 * deviation.min())
    np.testing.assert_allclose(s, np.stack([deviation] * 2, 1), rtol=0.15)


@partial(jax.jit, static_argnames=("objective", "num_data"))
def loss(objective, x, c, num_data=None):
    return objective.loss(KEY, by_hand().values, *programs(), x, c, num_data=num_data)


@pytest.mark.parametrize("objective", [ELBO(), ELBO(num_particles=2)], ids=["one", "two"])
def test_mean_over_an_epochs_batches_is_the_loss_of_all_data(objective):
    """At the same draws of w: the local terms are scaled to N, the weights' KL counts once."""
    x, c, _ = data()
    rows = np.split(np.arange(N), N // BATCH)
    batches = [loss(objective, x[row], c[row], num_data=N) for row in rows]
    assert np.mean(batches) == pytest.approx(float(loss(objective, x, c)), rel=1e-5)
    assert np.mean([loss(objective, x[row], c[row]) for row in rows]) != pytest.approx(
        float(loss(objective, x, c)), rel=0.1
    )


def test_loss_is_the_closed_form():
    """-(sum_n E_q(w)[log p(x_n|w)]) + KL(q(w) || p(w)), in the mean over draws of w."""
    x, c = data().x[:5], data().context[:5]
    losses = jax.jit(jax.vmap(lambda key: ELBO().loss(key, by_hand().values, *programs(), x, c)))(
        jax.random.split(KEY, 4000)
    )
    expected = log_normal(x, c @ M, SIGMA**2) - (c**2 @ S**2) / (2 * SIGMA**2)
    kl = np.log(PRIOR / S) + (S**2 + M**2) / (2 * PRIOR**2) - 0.5
    losses = np.asarray(losses, float)
    error = losses.std() / math.sqrt(4000)
    assert losses.mean() == pytest.approx(kl.sum() - expected.sum(), abs=4 * error)
    assert kl.sum() > 20 * error  # its sign and its factor are seen


def programs(vae=None):
    vae = vae or regression()
    return vae.model, vae.guide


@pytest.mark.parametrize("num_data", [None, 100])
def test_loss_is_numpyros_key_for_key(num_data):
    net = nets.MLP((4,))
    vae = VAE(event_shape=(3,), latent_dim=2, encoder=net, decoder=nets.BayesianNet(net, start=0.3))
    x = jax.random.bernoulli(KEY, 0.5, (5, 3)).astype(float)
    svi = SVI(vae.model, vae.guide, optax.adam(1e-2), Trace_ELBO())
    params = svi.get_params(jax.jit(svi.init)(KEY, x))
    for ours, theirs in (
        (ELBO(), TraceMeanField_ELBO()),
        (ELBO(closed_form=False, num_particles=2), Trace_ELBO(num_particles=2)),
    ):
        a, b = (
            jax.jit(
                jax.value_and_grad(lambda p, o=o: o.loss(KEY, p, *programs(vae), x, num_data=num_data))
            )(params)
            for o in (ours, theirs)
        )
        np.testing.assert_allclose(a[0], b[0], rtol=1e-5)
        for ga, gb in zip(jax.tree.leaves(a[1]), jax.tree.leaves(b[1]), strict=True):
            np.testing.assert_allclose(ga, gb, rtol=1e-3, atol=1e-4)


def test_stl_reaches_the_weights_through_their_path_alone():
    """Where q(w) = p(w) and the data say nothing, its gradient is zero, draw for draw."""
    values = by_hand().values
    prior = {
        "decoder$loc": {"kernel": jnp.zeros((3, 2))},
        "decoder$log_scale": {"kernel": jnp.full((3, 2), math.log(PRIOR))},
    }
    x, c, _ = data()

    def loss(values):
        return ELBO(estimator=STL()).loss(KEY, values, *programs(), x[:2], 0 * c[:2])

    slopes = jax.jit(jax.grad(loss))({**values, **prior})
    np.testing.assert_allclose(slopes["decoder$loc"]["kernel"], 0, atol=1e-5)
    np.testing.assert_allclose(slopes["decoder$log_scale"]["kernel"], 0, atol=1e-5)


def test_history_holds_the_local_part_and_the_loss_the_whole():
    history, values = fitted().history, fitted().values
    m, s = values["decoder$loc"]["kernel"], np.exp(values["decoder$log_scale"]["kernel"])
    kl = (np.log(PRIOR / s) + (s**2 + m**2) / (2 * PRIOR**2) - 0.5).sum()
    last = history.steps["loss"][-40:] + N * history.steps["bound"][-40:]
    np.testing.assert_allclose(last, kl, rtol=2e-2)
    assert history.validation["elbo"][-1] == pytest.approx(history.train["elbo"][-1], abs=0.3)


def test_frozen_decoder_stays_q_of_its_weights_and_the_data_are_a_batch():
    start = by_hand()
    options = {"epochs": 1, "batch_size": BATCH, "progress": False, "rng_key": KEY}
    found = fit(start.vae, data(), init_params=start.values, freeze=("decoder",), **options)
    for name in ("decoder$loc", "decoder$log_scale"):
        np.testing.assert_array_equal(found.values[name]["kernel"], start.values[name]["kernel"])
    loss, bound = (found.history.steps[k] for k in ("loss", "bound"))
    np.testing.assert_allclose(loss, -BATCH * bound, rtol=1e-5)


# queries: w ~ q(w), never from the prior


def test_log_prob_is_the_posterior_predictive_density():
    x, c, _ = data()
    found = by_hand().log_prob(Batch(x[:8], c[:8]), rng_key=KEY, num_particles=4000)
    exact = log_normal(x[:8], *predictive(c[:8])).sum(1)
    assert (np.abs(found.value - exact) < 4 * found.standard_error + 1e-4).all()
    plain = log_normal(x[:8], c[:8] @ M, SIGMA**2).sum(1)
    assert np.abs(exact - plain).max() > 20 * found.standard_error.max()


def test_elbo_is_the_mean_over_q_of_the_log_likelihood():
    x, c, _ = data()
    found = by_hand().elbo(Batch(x[:8], c[:8]), rng_key=KEY, num_particles=4000)
    exact = log_normal(x[:8], c[:8] @ M, SIGMA**2) - c[:8] ** 2 @ S**2 / (2 * SIGMA**2)
    assert (np.abs(found.value - exact.sum(1)) < 4 * found.standard_error).all()


def check_moments(draws, mean, variance):
    n = len(draws)
    assert (np.abs(draws.mean(0) - mean) < 4.5 * np.sqrt(variance / n)).all()
    assert (np.abs(draws.var(0) / variance - 1) < 4.5 * math.sqrt(2 / n)).all()


def test_samples_are_of_the_posterior_predictive():
    c = data().context[:3]
    drawn = by_hand().sample(4000, rng_key=KEY, context=c)
    assert drawn.z.shape == (4000, 3, 1)
    check_moments(np.asarray(drawn.x, float), *predictive(c))
    check_moments(np.asarray(drawn.mean, float), c @ M, c**2 @ S**2)


def test_plain_predictive_of_the_fitted_model_draws_the_weights_from_q():
    c = data().context[:3]
    one = by_hand()
    check_moments(
        np.asarray(Predictive(one.model, num_samples=4000)(KEY, None, c)["x"], float), *predictive(c)
    )


def test_decode_and_reconstruct_are_at_the_mean_and_a_key_draws():
    x, c, _ = data()
    one = by_hand()
    np.testing.assert_allclose(one.decode(np.zeros((N, 1)), c).mean, c @ M, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.reconstruct(x, context=c), c @ M, rtol=1e-4, atol=1e-5)
    keys = jax.random.split(KEY, 300)
    drawn = [one.reconstruct(x[:2], context=c[:2], rng_key=key) for key in keys]
    check_moments(np.asarray(drawn, float), c[:2] @ M, c[:2] ** 2 @ S**2)


def test_impute_draws_what_is_missing_from_the_posterior_predictive():
    x, c, _ = data()
    mask = np.stack([np.ones(2), np.zeros(2)], 1).astype(bool)
    counts = {"num_samples": 1000, "num_particles": 2000}
    found = by_hand().impute(x[:2], mask, context=c[:2], rng_key=KEY, **counts)
    np.testing.assert_array_equal(found.x[:, :, 0], np.broadcast_to(x[:2, 0], (1000, 2)))
    mean, variance = predictive(c[:2])
    drawn = np.asarray(found.x[:, :, 1], float)
    assert (np.abs(drawn.mean(0) - mean[:, 1]) < 4 * np.sqrt(variance[:, 1] / 300)).all()
    np.testing.assert_allclose(drawn.var(0), variance[:, 1], rtol=0.25)


def test_to_datatree_has_draws_under_q_of_the_weights():
    x, c, _ = data()
    tree = to_datatree(by_hand(), Batch(x[:4], c[:4]), rng_key=KEY)
    for group in ("posterior_predictive", "prior_predictive"):
        check_moments(events(tree[group]).reshape(1000, 4, 2).astype(float), *predictive(c[:4]))
    assert set(tree["posterior"].data_vars) == {"z", "z_mean"}


def test_file_holds_q_of_the_weights(tmp_path):
    one = by_hand()
    one.save(tmp_path / "vae")
    again = probvae.load(tmp_path / "vae", regression())
    np.testing.assert_array_equal(again.values["decoder$loc"]["kernel"], np.float32(M))
    x, c, _ = data()
    for each in (one, again):
        assert each.log_prob(Batch(x[:1], c[:1]), rng_key=KEY, num_particles=9).num_particles == 9


def test_point_weights_are_an_ordinary_fitted_vae():
    one, c = by_hand(), data().context
    mean = point_weights(one)
    assert mean.vae == regression(Regression)
    np.testing.assert_allclose(mean.values["decoder$params"]["kernel"], np.float32(M))
    keys = jax.random.split(KEY, 500)
    drawn = [point_weights(one, rng_key=key).values["decoder$params"]["kernel"] for key in keys]
    check_moments(np.asarray(drawn, float), M, S**2)
    assert point_weights(mean) is mean
    x = data().x[:2]
    found = mean.log_prob(Batch(x, c[:2]), rng_key=KEY, num_particles=2)
    np.testing.assert_allclose(found.value, log_normal(x, c[:2] @ M, SIGMA**2).sum(1), rtol=1e-4)


def test_as_prior_is_at_the_mean():
    drawn = handlers.seed(lambda: by_hand().as_prior()("f", context=data().context[0]), 3)()
    np.testing.assert_allclose(drawn, data().context[0] @ M, rtol=1e-4, atol=1e-5)


def test_q_starts_narrow_at_the_nets_own_start_of_its_key():
    net = nets.MLP((4,))
    vae = VAE(event_shape=(3,), latent_dim=2, encoder=net, decoder=nets.BayesianNet(net))
    plain = replace(vae, decoder=net)
    x = np.zeros((4, 3), np.float32)

    shapes, own = trace_structure(vae).params, trace_structure(plain).params["decoder$params"]
    assert jax.tree.map(jnp.shape, shapes["decoder$loc"]) == jax.tree.map(jnp.shape, own)
    trace = handlers.trace(handlers.seed(vae.guide, KEY)).get_trace(x)
    assert all(
        np.allclose(np.exp(s), 0.01) for s in jax.tree.leaves(trace["decoder$log_scale"]["value"])
    )
    assert trace["decoder$weights"]["value"].shape == (2 * 4 + 4 + 4 * 3 + 3,)
    assert has_shared_latents(vae)
    assert not has_shared_latents(plain)
    start = handlers.trace(handlers.seed(vae.guide, 7)).get_trace(x)
    other = [jax.tree.leaves(t["decoder$loc"]["value"])[1] for t in (trace, start)]
    assert np.abs(other[0] - other[1]).max() > 0


def test_weights_of_the_vector_are_those_of_the_net():
    """The vector's order is the tree's: the model at w = m is the plain net with weights m."""
    net = nets.MLP((4,))
    vae = VAE(event_shape=(3,), latent_dim=2, encoder=net, decoder=nets.BayesianNet(net))
    x = jnp.ones((2, 3))
    found = handlers.trace(handlers.seed(vae.guide, KEY)).get_trace(x)
    loc = found["decoder$loc"]["value"]
    w = jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(loc)])
    z = jnp.asarray([[0.3, -1.0], [2.0, 0.1]])

    def logits(vae, values):
        model = handlers.substitute(handlers.seed(vae.model, KEY), {**values, "z": z})
        return handlers.trace(model).get_trace(x)["x"]["fn"].mean

    plain = logits(replace(vae, decoder=net), {"decoder$params": loc})
    np.testing.assert_allclose(logits(vae, {"decoder$weights": w}), plain, rtol=1e-6)


# refusals


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda b: nets.BayesianNet(b), "recipe without weights"),
        (lambda b: replace(b, scale=0.0), r"scale=.*> 0; got 0.0"),
        (lambda b: replace(b, start=-1.0), r"start=.*> 0; got -1"),
        (lambda b: replace(regression(), encoder=b), "decoder only; got it as the net of encoder"),
        (
            lambda b: replace(regression(), prior=priors.ConditionalNormal(b)),
            "decoder only; got it as the net of prior",
        ),
        (lambda b: regression(nets.InputTransform(b, jnp.tanh)), "expects to be the decoder itself"),
        (
            lambda b: VAE(event_shape=(2,), latent_dim=2, prior=priors.Flow(flows.Coupling(b))),
            "decoder only|expects to be the decoder itself",
        ),
        (
            lambda b: regression(b, posterior=guides.SemiAmortized(2)),
            "maximises.*random.*Use guides.MeanF",
        ),
    ],
)
def test_what_cannot_have_such_weights_is_refused(make, match):
    with pytest.raises((TypeError, ValueError), match=f"(?s){match}"):
        make(nets.BayesianNet(nets.MLP((4,))))


@pytest.mark.parametrize("objective", [IWAE(2), RenyiELBO()], ids=["ours", "numpyro's"])
def test_weights_per_datum_are_refused(objective):
    with pytest.raises(
        ValueError, match="decoder\\$weights.*which all data share.*Use objectives.ELBO"
    ):
        fit(regression(), data(), rng_key=KEY, objective=objective, batch_size=BATCH, progress=False)


def test_what_needs_one_decoder_asks_for_it():
    x, c, _ = data()
    for asked in (annealed_log_prob, inference_gap, reference_chains):
        with pytest.raises(ValueError, match="needs fixed decoder weights.*point_weights"):
            asked(by_hand(), Batch(x[:1], c[:1]), rng_key=KEY)
    with pytest.raises(ValueError, match="no key.*point_weights"):
        handlers.substitute(regression().eval().p_x, by_hand().values)(
            jnp.zeros((2, 1)), jnp.asarray(c[:2])
        )


def test_terms_leave_the_weights_out_of_what_is_per_datum():
    x, c, _ = data()
    vae, values = regression(), by_hand().values
    read = terms(KEY, values, *programs(vae), x[:4], c[:4])
    assert set(read.kl) == {"z"}
    kl = np.log(PRIOR / S) + (S**2 + M**2) / (2 * PRIOR**2) - 0.5
    assert float(read.log_global) == pytest.approx(-kl.sum(), rel=1e-5)
