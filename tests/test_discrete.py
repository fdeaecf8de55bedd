"""Discrete codes: enumeration against finite differences, draws, and the exact log p(x)."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import terms
from numpyro import handlers
from numpyro.infer import TraceGraph_ELBO

from probvae import VAE, fit, guides, nets, priors
from probvae.distributions import Bits, OneHotCategorical
from probvae.objectives import ELBO
from probvae.objectives.terms import compute_closed_form_kl

X = np.asarray(jax.random.bernoulli(jax.random.key(0), 0.4, (6, 4)), float)
pytestmark = pytest.mark.usefixtures("float64")
PAIRS = {
    "Bernoulli": (priors.Bernoulli(0.3, learned=True), guides.Bernoulli()),
    "Categorical": (priors.Categorical(learned=True), guides.Categorical()),
    "VampPrior": (priors.VampPrior(2), guides.Bernoulli()),
    "VampPrior of one-hot": (priors.VampPrior(2), guides.Categorical()),
}


def vae_of(name):
    prior, guide = PAIRS[name]
    small = nets.MLP((5,))
    return VAE(
        event_shape=(4,), latent_dim=3, prior=prior, posterior=guide, encoder=small, decoder=small
    )


@partial(jax.jit, static_argnums=0)
def values_of(vae):
    model, guide = (
        handlers.trace(handlers.seed(p, 0)).get_trace(jnp.asarray(X)) for p in (vae.model, vae.guide)
    )
    values = {k: s["value"] for k, s in {**guide, **model}.items() if s["type"] == "param"}
    leaves, tree = jax.tree.flatten(values)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [a + 0.5 * jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)]
    moved = jax.tree.unflatten(tree, moved)
    keep = {k: v for k, v in values.items() if "pseudo" in k}  # in its range
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.result_type(float)), {**moved, **keep})


def codes(name):
    every = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    return np.eye(3) if name in ("Categorical", "VampPrior of one-hot") else every


@partial(jax.jit, static_argnums=0)
def log_joint_and_q(vae, values, z):
    guide = handlers.substitute(handlers.seed(vae.guide, 0), {**values})
    q = handlers.trace(guide).get_trace(jnp.asarray(X))["z"]["fn"]
    z = jnp.broadcast_to(z, (len(X), 3))
    model = handlers.substitute(handlers.seed(vae.model, 0), {**values, "z": z})
    trace = handlers.trace(model).get_trace(jnp.asarray(X))
    joint = sum(trace[site]["fn"].log_prob(trace[site]["value"]) for site in ("z", "x"))
    return joint, q.log_prob(z)


@partial(jax.jit, static_argnums=(0, 2))
def loss(vae, values, objective=None, key=0):
    objective = objective or ELBO()
    return objective.loss(jax.random.key(key), values, vae.model, vae.guide, jnp.asarray(X))


@pytest.mark.parametrize("name", PAIRS)
def test_enumerated_elbo_is_the_sum_over_all_codes_and_below_log_prob(name):
    vae = vae_of(name)
    values = values_of(vae)
    joint, log_q = (
        np.array(a) for a in zip(*(log_joint_and_q(vae, values, z) for z in codes(name)), strict=True)
    )
    np.testing.assert_allclose(np.exp(log_q).sum(0), 1.0)
    elbo = (np.exp(log_q) * (joint - log_q)).sum(0)
    log_prob = np.log(np.exp(joint).sum(0))
    assert float(loss(vae, values)) == pytest.approx(-elbo.sum(), rel=1e-10)
    assert (elbo < log_prob).all()
    assert float(loss(vae, values, key=5)) == float(loss(vae, values, key=6))


@pytest.mark.parametrize("name", PAIRS)
def test_enumerated_gradient_is_finite_differences(name):
    vae = vae_of(name)
    values = values_of(vae)
    flat, unravel = jax.flatten_util.ravel_pytree(values)
    call = jax.jit(lambda v: loss(vae, unravel(v)))
    slope = jax.jit(jax.grad(call))(flat)
    rng = np.random.default_rng(0)
    for _ in range(4):
        way = rng.normal(size=flat.shape)
        found = (call(flat + 1e-6 * way) - call(flat - 1e-6 * way)) / 2e-6
        assert float(slope @ way) == pytest.approx(float(found), rel=1e-6)
    encoder = unravel(slope)["encoder$params"]
    assert all(np.abs(g).max() > 1e-3 for g in jax.tree.leaves(encoder))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Bernoulli", "Categorical"])
def test_trace_graph_elbo_agrees_in_expectation(name):
    vae = vae_of(name)
    values = values_of(vae)
    exact, slope = jax.jit(jax.value_and_grad(lambda v: loss(vae, v)))(values)

    def drawn(key):
        objective = TraceGraph_ELBO()
        return jax.value_and_grad(
            lambda v: objective.loss(key, v, vae.model, vae.guide, jnp.asarray(X))
        )(values)

    losses, slopes = jax.jit(jax.vmap(drawn))(jax.random.split(jax.random.key(3), 4000))
    for many, one in zip(
        jax.tree.leaves((losses, slopes)), jax.tree.leaves((exact, slope)), strict=True
    ):
        many = np.asarray(many, np.float64)
        noise = many.std(0) / np.sqrt(len(many)) + 1e-4
        assert (np.abs(many.mean(0) - one) < 5 * noise).all()


def test_fit_enumerates_and_refuses_no_more():
    fitted = fit(
        vae_of("Bernoulli"),
        np.float32(X),
        rng_key=jax.random.key(0),
        epochs=20,
        batch_size=3,
        progress=False,
    )
    elbo = fitted.history.train["elbo"]
    assert elbo[-1] > elbo[0]
    drawn = fitted.sample(3, rng_key=jax.random.key(0))
    assert jnp.issubdtype(drawn.z.dtype, jnp.floating)
    assert set(np.unique(drawn.z)) <= {0.0, 1.0}


def test_too_many_states_are_refused_in_plain_svi_too():
    vae = VAE(event_shape=(4,), latent_dim=11, prior=priors.Bernoulli(), posterior=guides.Bernoulli())
    with pytest.raises(ValueError, match=r'at most 1024.*"z" has 2048 states.*TraceGraph_ELBO'):
        loss(vae, {})


@pytest.mark.parametrize("num_particles", [1, 3])
def test_terms_of_an_enumerated_code_ignore_draws(num_particles):
    vae = vae_of("Categorical")
    values = values_of(vae)
    one, many = loss(vae, values), loss(vae, values, ELBO(num_particles=num_particles))
    assert float(one) == pytest.approx(float(many), rel=1e-6)


@pytest.mark.parametrize("name", ["Bernoulli", "Categorical"])
def test_closed_form_kl_is_the_sum_over_codes(name):
    a, b = jax.random.normal(jax.random.key(4), (2, 5, 3))
    q, p = (
        (Bits(a).to_event(1), Bits(b).to_event(1))
        if name == "Bernoulli"
        else (OneHotCategorical(a), OneHotCategorical(b))
    )
    z = jnp.asarray(codes(name), jnp.float32)[:, None]
    truth = (jnp.exp(q.log_prob(z)) * (q.log_prob(z) - p.log_prob(z))).sum(0)
    found = compute_closed_form_kl(q, p)
    np.testing.assert_allclose(found.reshape(5, -1).sum(1), truth, rtol=1e-5)


def test_draws_have_the_frequencies_of_the_density():
    q = OneHotCategorical(jnp.array([0.0, 1.0, -1.0]))
    z = q.sample(jax.random.key(0), (20_000,))
    np.testing.assert_allclose(z.mean(0), jnp.exp(q.log_prob(jnp.eye(3))), atol=0.015)
    assert bool(q.support(z).all())
    vae = vae_of("Bernoulli")
    read = terms(jax.random.key(0), values_of(vae), vae.model, vae.guide, np.float32(X))
    assert read.kl["z"].shape == (6, 3)
