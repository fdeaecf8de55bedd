"""Ladders of codes: their bounds against exact numbers, and what guide and prior share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers
from scipy.stats import multivariate_normal

from probvae import VAE, guides, likelihoods, nets, priors
from probvae.objectives import terms
from probvae.tracing import trace_structure

SITES, WIDTH, NOISE = ("z3", "z2", "z1"), 3, 0.5
X = np.asarray(jax.random.normal(jax.random.key(0), (4, 3)), np.float32)


def ladder(groups=3, latent_dim=1, **changes):
    """A ladder of affine maps: with constant scales it is a normal model."""
    parts = {
        "prior": priors.Ladder(groups, width=WIDTH, net=nets.Linear()),
        "posterior": guides.Ladder(WIDTH, bottom_up=nets.Linear(), message=nets.Linear()),
        "likelihood": likelihoods.Gaussian(scale=likelihoods.FixedScale(NOISE)),
        "encoder": nets.Linear(),
        "decoder": nets.Linear(),
    }
    return VAE(event_shape=(3,), latent_dim=latent_dim, **{**parts, **changes})


def start(vae):
    leaves, form = jax.tree.flatten(trace_structure(vae).params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    drawn = [0.5 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(form, drawn)


def weights(params, site):
    """Kernel and bias of a linear net, as a map W x + b."""
    layer = params[f"{site}$params"]["layers"][0]
    return np.asarray(layer["kernel"], float).T, np.asarray(layer["bias"], float)


def put(params, site, w, b):
    layer = {"kernel": jnp.asarray(np.transpose(w), "float32"), "bias": jnp.asarray(b, "float32")}
    same = jax.tree.map(
        lambda old, new: new.reshape(old.shape), params[f"{site}$params"], {"layers": {0: layer}}
    )
    params[f"{site}$params"] = same


def scale(r):
    return np.exp(10 * np.tanh(r / 20))


def normal_model(vae):
    """Params with constant scales, and all of the model as affine maps of unit noise: rows and offsets.

    The state above each code, each code, and x.
    """
    params = start(vae)
    states, codes = [(np.zeros((WIDTH, 6)), np.zeros(WIDTH))], []
    for i, site in enumerate(SITES):
        h, at = states[-1]
        z, mean = np.eye(6)[i], 0.0
        if i:
            w, b = weights(params, f"prior${site}")
            w[1] = 0
            put(params, f"prior${site}", w, b)
            z, mean = w[0] @ h + scale(b[1]) * z, w[0] @ at + b[0]
        codes.append((z, mean))
        w, b = weights(params, f"prior$after_{site}")
        states.append((h + w @ np.vstack([h, z]), at + w @ np.append(at, mean) + b))
    w, b = weights(params, "decoder")
    x = w @ states[-1][0]
    x[:, 3:] = NOISE * np.eye(3)
    return params, states, codes, (x, w @ states[-1][1] + b)


def tell_exactly(params, states, codes, x):
    """Give the guide the messages that make each q(z_l | x, z_>l) the exact one."""
    put(params, "encoder", np.eye(3), np.zeros(3))
    params["guide$bottom_up$params"] = jax.tree.map(jnp.zeros_like, params["guide$bottom_up$params"])
    for i, site in enumerate(SITES):
        (h, at), (z, mean) = states[i], codes[i]
        told, told_at = np.vstack([x[0], h]), np.append(x[1], at)
        w = z @ told.T @ np.linalg.pinv(told @ told.T, rcond=1e-9)
        b, v = mean - w @ told_at, z @ z - w @ told @ z
        if i:  # divide by p: precisions and precisions times means are subtracted
            (wp, _), (bp, r) = weights(params, f"prior${site}")
            own = scale(r) ** 2
            left = 1 / (1 / v - 1 / own)
            w, b, v = left * (w / v - np.append(np.zeros(3), wp) / own), left * (b / v - bp / own), left
        both = np.stack([w, np.zeros(6)]), [b, 20 * np.arctanh(0.5 * np.log(v) / 10)]
        put(params, f"guide${site}", *both)


@pytest.fixture(scope="module")
def normal():
    vae = ladder()
    params, states, codes, x = normal_model(vae)
    exact = multivariate_normal(x[1], x[0] @ x[0].T).logpdf(X)
    return vae, params, states, codes, x, exact


def drawn(vae, params, n, **options):
    def read(params, key):
        return terms(key, params, vae.model, vae.guide, X, **options)

    return jax.jit(jax.vmap(read, (None, 0)))(params, jax.random.split(jax.random.key(2), n))


def test_with_exact_messages_every_draw_gives_the_exact_log_prob(normal):
    """Then q is the posterior: log p(x, z) - log q(z | x) = log p(x), whatever z."""
    vae, params, states, codes, x, exact = normal
    params = dict(params)
    tell_exactly(params, states, codes, x)
    found = drawn(vae, params, 50)
    np.testing.assert_allclose(found.log_weight, np.tile(exact, (50, 1)), atol=5e-3)
    assert float(np.std(found.log_prior["z1"])) > 0.1  # draws differ


def test_bounds_are_below_the_exact_log_prob_and_climb_to_it(normal):
    vae, params, states, codes, x, exact = normal
    params = dict(params)
    tell_exactly(params, states, codes, x)
    for site in SITES:  # wider than they should be, and beside it
        w, b = weights(params, f"guide${site}")
        put(params, f"guide${site}", w, b + [0.5 * scale(b[1]), 1.0])
    found = drawn(vae, params, 5_000)
    log_w = np.asarray(found.log_weight, float)
    elbo = (found.log_likelihood - found.total_kl).mean(0)
    few, many = (
        (np.logaddexp.reduce(log_w.reshape(-1, n, 4), axis=1) - np.log(n)).mean(0) for n in (5, 5_000)
    )
    assert (elbo < few).all()
    assert (few < many).all()
    np.testing.assert_allclose(many, exact, atol=0.05)
    sampled, closed = log_w, np.asarray(found.log_likelihood - found.total_kl)
    noise = np.hypot(sampled.std(0), closed.std(0)) / np.sqrt(len(log_w))
    assert (np.abs(sampled.mean(0) - closed.mean(0)) < 5 * noise).all()
    assert {name: kl.shape[1:] for name, kl in found.kl.items()} == {site: (4, 1) for site in SITES}


def test_with_a_state_that_is_the_last_code_a_ladder_is_two_levels():
    """f(h, z) = z - h: the same log p(x, z2, z1), under one guide of both."""
    guide, n = guides.TwoLevelTopDown(nets.Linear()), WIDTH
    steps, levels = (
        ladder(2, n, prior=prior, posterior=guide)
        for prior in (priors.Ladder(2, width=n, net=nets.Linear()), priors.TwoLevel(net=nets.Linear()))
    )
    params = start(steps)
    for site in ("z2", "z1"):
        put(params, f"prior$after_{site}", np.hstack([-np.eye(n), np.eye(n)]), np.zeros(n))
    one, other = (drawn(vae, params, 3) for vae in (steps, levels))
    np.testing.assert_allclose(one.log_weight, other.log_weight, rtol=1e-4)


def test_where_the_message_is_wide_the_guide_is_the_prior():
    vae = ladder(2, 2)
    params = start(vae)
    put(params, "guide$z1", np.zeros((4, 6)), [0.0, 60.0, 0.0, 60.0])
    found = drawn(vae, params, 2)
    np.testing.assert_allclose(found.kl["z1"], 0, atol=1e-5)
    assert (np.asarray(found.kl["z2"]) > 1e-3).all()


@pytest.mark.parametrize("groups", [1, 5])
def test_any_depth_has_its_sites_and_no_more_arrays_than_groups(groups):
    found = trace_structure(ladder(groups, prior=priors.Ladder(groups), posterior=guides.Ladder()))
    sites = [f"z{level}" for level in range(groups, 0, -1)]
    assert list(found.model) == list(found.guide) == sites
    assert len([name for name in found.params if name.startswith("prior")]) == 2 * groups - 1
    assert len([name for name in found.params if name.startswith("guide")]) == groups + (groups > 1)


def test_a_vamp_prior_on_top_mixes_the_guides_top():
    vae = ladder(2, 2, prior=priors.Ladder(2, priors.VampPrior(3), WIDTH, nets.Linear()))
    z = jnp.ones((4, 1, 2))

    def fn(program, params, x):
        seeded = handlers.seed(handlers.substitute(program, params), 0)
        return handlers.trace(seeded).get_trace(x)["z2"]["fn"]

    @jax.jit
    def densities(params):
        q = fn(vae.guide, params, params["prior$pseudo_inputs"])
        return fn(vae.model, params, X).log_prob(z[:, 0]), q.log_prob(z)

    p, q = densities(start(vae))
    np.testing.assert_allclose(p, jax.nn.logsumexp(q, axis=1) - np.log(3), rtol=1e-4)


def test_the_guide_of_a_ladder_descends_with_two_levels_too():
    vae = ladder(2, 2, prior=priors.TwoLevel(net=nets.Linear()))
    found = drawn(vae, start(vae), 2)
    assert {name: kl.shape for name, kl in found.kl.items()} == {
        name: (2, 4, 2) for name in ("z2", "z1")
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: priors.Ladder(0), r"Ladder\(groups=...\) expects a positive integer; got 0", id="groups"),
        pytest.param(lambda: priors.Ladder(width=0), r"Ladder\(width=...\) expects a positive integer; got 0", id="width"),
        pytest.param(lambda: guides.Ladder(width=-1), r"Ladder\(width=...\) expects a positive integer; got -1", id="guide's width"),
        pytest.param(lambda: guides.Ladder(log_bound=0.0), "Ladder.log_bound=.*finite number > 0", id="bound"),
        pytest.param(lambda: ladder(posterior=guides.MeanField()), r"Ladder and the posterior MeanField are incompatible.*guides.Ladder\(\)", id="flat guide"),
        pytest.param(lambda: ladder(posterior=guides.TwoLevelTopDown()), r"sites \['z1', 'z2', 'z3'\], the posterior \['z1', 'z2'\]", id="fewer sites"),
        pytest.param(lambda: ladder(prior=priors.StandardNormal()), r"StandardNormal and the posterior Ladder are incompatible.*this prior has none. Use priors.Ladder\(\)", id="flat prior"),
        pytest.param(lambda: ladder(posterior=guides.Ladder(bottom_up=nets.MLP(dropout=0.1))), "without running state and dropout", id="dropout in a loop"),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
