"""A class known for some data: against a mixture of linear-Gaussians, whose every density is closed."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import run
from numpyro import handlers
from numpyro.infer import Predictive, TraceGraph_ELBO
from scipy.stats import multivariate_normal

from probvae import (
    VAE,
    Batch,
    Fitted,
    History,
    fit,
    guides,
    likelihoods,
    nets,
    objectives,
    priors,
    to_datatree,
)
from probvae.distributions import OneHotCategorical, PartlyObserved
from probvae.objectives.terms import compute_closed_form_kl
from probvae.tracing import trace_structure

D, Q, K, S = 2, 1, 3, 0.7  # data, style, classes, the likelihood's standard deviation
SCALE = likelihoods.Gaussian(scale=likelihoods.FixedScale(S))
KEY = jax.random.key(3)


def small(**changes):
    parts = {
        "prior": priors.ClassAndStyle(K, learned=True),
        "posterior": guides.ClassAndStyle(K, net=nets.Linear()),
        "likelihood": SCALE,
        "encoder": nets.Linear(),
        "decoder": nets.Linear(),
        **changes,
    }
    return VAE(event_shape=(D,), latent_dim=Q, **{"context_shape": (K,), **parts})


VAE_OF_ALL = small()
RNG = np.random.default_rng(0)
W, MU = RNG.normal(size=(Q, D)), 1.5 * RNG.normal(size=(K, D))
LOG_PI = np.log([0.5, 0.3, 0.2])
X = RNG.normal(size=(9, D))
LABEL = np.where(np.arange(9)[:, None] % 2 == 0, np.eye(K)[np.arange(9) % K], 0.0)
KNOWN = LABEL.any(1)


def log_joint(x):
    """log p(x, y = k), ``(n, K)``: x | y ~ N(mu_k, W^T W + s^2 I)."""
    covariance = W.T @ W + S**2 * np.eye(D)
    rows = [multivariate_normal(m, covariance).logpdf(x) for m in MU]
    return np.stack(rows, axis=1) + LOG_PI


def log_prob(x, label):
    """log p(x, y) where y is known, log p(x) elsewhere."""
    joint = log_joint(x)
    return np.where(label.any(1), (joint * label).sum(1), np.logaddexp.reduce(joint, axis=1))


def exact():
    """Parameters of the mixture, and of the guide that is its exact posterior.

    log p(y = k | x) is linear in x but for a term that all classes share, and so is E[z | x, y].
    """
    inverse = np.linalg.inv(W.T @ W + S**2 * np.eye(D))
    logits = inverse @ MU.T, LOG_PI - 0.5 * np.einsum("kd,de,ke->k", MU, inverse, MU)
    m = W @ W.T + S**2 * np.eye(Q)
    to_code = np.linalg.solve(m, W).T  # (D, Q)
    encoder = np.hstack([logits[0], to_code, np.zeros((D, Q))])
    style = np.zeros((2 * Q + K, Q, 2))
    style[:Q, :, 0], style[2 * Q :, :, 0] = np.eye(Q), -MU @ to_code
    bias = np.zeros((Q, 2))
    deviation = S / np.sqrt(np.diag(m))
    bias[:, 1] = 20.0 * np.arctanh(np.log(deviation) / 10.0)
    values = {
        "encoder$params": layer(encoder, np.concatenate([logits[1], np.zeros(2 * Q)])),
        "guide$style$params": layer(style.reshape(2 * Q + K, -1), bias.ravel()),
        "decoder$params": layer(np.vstack([W, MU]), np.zeros(D)),
        "prior$class_logits": LOG_PI + 7.0,
    }
    return jax.tree.map(lambda a: jnp.asarray(a, float), values)


def layer(kernel, bias):
    return {"layers": {0: {"kernel": kernel, "bias": bias}}}


def moved(values):
    """Other values of all parameters: a guide that is not exact."""
    leaves, tree = jax.tree.flatten(values)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noise = run(
        lambda keys: [jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)], keys
    )
    moved = [np.asarray(a + 0.3 * e) for a, e in zip(map(np.asarray, leaves), noise, strict=True)]
    return jax.tree.unflatten(tree, moved)


def per_datum(values, *data, objective=None, vae=VAE_OF_ALL, key=KEY):
    return compiled_bound(objective or objectives.ELBO(), vae, key, values, *data)


@partial(jax.jit, static_argnums=(0, 1))
def compiled_bound(objective, vae, key, values, *data):
    return objective.bound(objective.read(key, values, vae.model, vae.guide, *data), None)


def fitted(values=None, vae=VAE_OF_ALL):
    return Fitted(vae, jax.tree.map(jnp.float32, values or exact()), History({}, {}, {}))


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("closed_form", [True, False])
def test_bound_at_the_exact_posterior_is_log_prob(closed_form):
    """To the last digit where z's KL is sampled: each draw is exact. In closed form on average."""
    objective = objectives.ELBO(closed_form=closed_form, num_particles=2000 if closed_form else 1)
    found = per_datum(exact(), X, LABEL, objective=objective)
    tolerance = {"atol": 0.06} if closed_form else {"rtol": 1e-10}
    np.testing.assert_allclose(found, log_prob(X, LABEL), **tolerance)
    nothing = per_datum(exact(), X, objective=objectives.ELBO(closed_form=False))
    np.testing.assert_allclose(nothing, log_prob(X, 0 * LABEL), rtol=1e-10)


@pytest.mark.usefixtures("float64")
def test_the_classifiers_term_is_alpha_times_log_q_of_the_labels_that_are_known():
    values = exact()
    plain = per_datum(values, X, LABEL)
    found = per_datum(values, X, LABEL, objective=objectives.SemiSupervisedELBO(2.5))
    posterior = log_joint(X) - np.logaddexp.reduce(log_joint(X), axis=1)[:, None]
    np.testing.assert_allclose(found - plain, 2.5 * (posterior * LABEL).sum(1), rtol=1e-8)
    neutral = per_datum(values, X, LABEL, objective=objectives.SemiSupervisedELBO(0.0))
    np.testing.assert_allclose(neutral, plain, rtol=1e-12)
    objective = objectives.SemiSupervisedELBO(1.0)

    def parts(values):
        read = objective.read(KEY, values, VAE_OF_ALL.model, VAE_OF_ALL.guide, X, LABEL)
        return objective.parts(read, None)

    mean = (posterior * LABEL).sum() / KNOWN.sum()
    assert float(run(parts, values)["log_q_label"]) == pytest.approx(mean, rel=1e-8)


@pytest.mark.usefixtures("float64")
def test_away_from_it_the_bound_is_the_sum_over_classes_and_below_log_prob():
    """Labelled data have the ELBO of their class; others the mean over q(y|x), plus its entropy."""
    values = {**moved(exact()), **{k: v for k, v in exact().items() if k.startswith(("dec", "prior"))}}
    objective = objectives.ELBO(num_particles=50)
    by_class = np.stack([per_datum(values, X, np.tile(e, (9, 1))) for e in np.eye(K)], axis=1)
    log_q = log_q_of(values)
    np.testing.assert_allclose(
        per_datum(values, X), (np.exp(log_q) * (by_class - log_q)).sum(1), rtol=1e-10
    )
    np.testing.assert_allclose(
        per_datum(values, X, LABEL)[KNOWN], (by_class * LABEL).sum(1)[KNOWN], rtol=1e-10
    )
    assert (per_datum(values, X, LABEL, objective=objective) < log_prob(X, LABEL)).all()


def log_q_of(values):
    def by_class(values):
        guide = handlers.seed(handlers.substitute(VAE_OF_ALL.guide, values), 0)
        q = handlers.trace(guide).get_trace(X)["y"]["fn"]
        return jnp.stack([q.log_prob(jnp.eye(K)[k]) for k in range(K)], axis=1)

    return np.asarray(run(by_class, values))


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
def test_gradient_is_finite_differences():
    flat, unravel = jax.flatten_util.ravel_pytree(moved(exact()))
    objective = objectives.SemiSupervisedELBO(1.5)
    call = jax.jit(lambda v: per_datum(unravel(v), X, LABEL, objective=objective).sum())
    slope = jax.grad(call)(flat)
    for way in np.random.default_rng(0).normal(size=(4, flat.size)):
        found = (call(flat + 1e-6 * way) - call(flat - 1e-6 * way)) / 2e-6
        assert float(slope @ way) == pytest.approx(float(found), rel=1e-6)
    only_labelled = jax.grad(lambda v: per_datum(unravel(v), X, LABEL)[KNOWN].sum())
    logits = unravel(only_labelled(flat))["encoder$params"]["layers"][0]["kernel"][:, :K]
    np.testing.assert_array_equal(logits, 0)  # q(y|x) has no part in the ELBO of a labelled datum


@pytest.mark.slow
def test_trace_graph_elbo_agrees_in_expectation():
    values = jax.tree.map(jnp.float32, moved(exact()))
    programs, data = (VAE_OF_ALL.model, VAE_OF_ALL.guide), (jnp.float32(X), jnp.float32(LABEL))

    def both(key):
        def loss(objective):
            return jax.value_and_grad(lambda v: objective.loss(key, v, *programs, *data))(values)

        return loss(TraceGraph_ELBO()), loss(objectives.ELBO())

    drawn, ours = jax.jit(jax.vmap(both))(jax.random.split(KEY, 4000))
    for a, b in zip(jax.tree.leaves(drawn), jax.tree.leaves(ours), strict=True):
        difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
        noise = difference.std(0) / np.sqrt(len(difference)) + 1e-3
        assert (np.abs(difference.mean(0)) < 5 * noise).all()


@pytest.mark.slow
def test_evidence_is_log_prob_of_what_is_known():
    """Particles draw y where it is not known; at the exact posterior all weigh the same."""
    x, label = np.float32(X), np.float32(LABEL)
    model = fitted()
    for given, known in ((Batch(x, label), LABEL), (x, 0 * LABEL), (Batch(x, 0 * label), 0 * LABEL)):
        found = model.log_prob(given, rng_key=KEY, num_particles=20)
        np.testing.assert_allclose(found.value, log_prob(X, known), rtol=1e-4)
    off = {k: v for k, v in moved(exact()).items() if k.startswith(("enc", "guide"))}
    off = fitted({**exact(), **off})
    found = off.log_prob(Batch(x, label), rng_key=KEY, num_particles=20_000)
    assert (np.abs(found.value - log_prob(X, LABEL)) < 5 * found.standard_error + 1e-3).all()
    bound = off.elbo(Batch(x, label), rng_key=KEY, num_particles=4000)
    truth = per_datum(off.values, x, label, objective=objectives.ELBO(num_particles=2000))
    np.testing.assert_allclose(bound.value, truth, atol=0.1)


def test_responsibilities_are_q_of_y_and_the_label_where_it_is_known():
    posterior = np.exp(log_joint(X) - np.logaddexp.reduce(log_joint(X), axis=1)[:, None])
    x, label = np.float32(X), np.float32(LABEL)
    np.testing.assert_allclose(fitted().responsibilities(x, rng_key=KEY), posterior, atol=1e-4)
    found = fitted().responsibilities(Batch(x, label), rng_key=KEY)
    np.testing.assert_allclose(found, np.where(KNOWN[:, None], LABEL, posterior), atol=1e-4)


def test_data_of_a_class_are_drawn_and_without_one_of_all():
    model = fitted()
    drawn = model.sample(4000, context=np.eye(K, dtype=np.float32), rng_key=KEY)
    np.testing.assert_allclose(drawn.x.mean(0), MU, atol=0.1)
    assert set(drawn.z) == {"y", "z"}
    np.testing.assert_array_equal(drawn.z["y"], np.tile(np.eye(K), (4000, 1, 1)))
    free = model.sample(4000, rng_key=KEY)
    np.testing.assert_allclose(free.z["y"].mean(0), np.exp(LOG_PI), atol=0.03)
    np.testing.assert_allclose(free.x.mean(0), np.exp(LOG_PI) @ MU, atol=0.1)
    assert free.x.shape == (4000, D)


@pytest.mark.slow
def test_the_style_may_depend_on_the_class():
    """p(z | y) by a prior that looks at the context: it is told y, known or drawn, not the labels."""
    prior = priors.ClassAndStyle(K, priors.ConditionalNormal(nets.Linear()))
    vae = small(prior=prior)
    model = handlers.seed(vae.model, 0)
    values = handlers.trace(model).get_trace(X)
    kernel = values["prior$net$params"]["value"]["layers"][0]["kernel"]
    for label in (LABEL, None):
        trace = handlers.trace(model).get_trace(X, label)
        mean = trace["y"]["value"] @ kernel.reshape(K, Q, 2)[..., 0]
        np.testing.assert_allclose(trace["z"]["fn"].mean, mean, rtol=1e-5)
        np.testing.assert_array_equal(trace["y"]["value"].sum(1), 1)


def test_no_net_is_told_the_label():
    for vae in (VAE_OF_ALL, small(context_shape=())):
        params = trace_structure(vae).params
        for net, shape in {"encoder": (D, K + 2 * Q), "decoder": (Q + K, D)}.items():
            assert params[f"{net}$params"]["layers"][0]["kernel"].shape == shape
    values = jax.tree.map(jnp.float32, exact())

    @jax.jit
    def logits(label):
        guide = handlers.seed(handlers.substitute(VAE_OF_ALL.guide, values), 0)
        return handlers.trace(guide).get_trace(X, label)["y"]["fn"].base_dist.logits

    np.testing.assert_array_equal(logits(np.float32(LABEL)), logits(0 * np.float32(LABEL)))


def test_plain_numpyro_draws_all_sites():
    model, x = fitted(), np.float32(X)
    drawn = Predictive(model.model, num_samples=5)(KEY)
    assert {name: v.shape for name, v in drawn.items()} == {
        "y": (5, 1, K), "z": (5, 1, Q), "x": (5, 1, D)
    }  # fmt: skip
    codes = Predictive(model.guide, num_samples=5)(KEY, x, np.float32(LABEL))
    np.testing.assert_array_equal(codes["y"][:, KNOWN], np.tile(LABEL[KNOWN], (5, 1, 1)))
    assert model.reconstruct(x, rng_key=KEY).shape == X.shape
    with pytest.raises(TypeError, match="posterior ClassAndStyle is a program.*Predictive"):
        model.encode(x)


def test_arviz_takes_class_and_style():
    pytest.importorskip("arviz_base", reason="arviz-base is not installed")
    x, label = np.float32(X), np.float32(LABEL)
    tree = to_datatree(fitted(), Batch(x, label), rng_key=KEY, num_samples=10)
    posterior = tree["posterior"]
    assert posterior["y"].dims == ("chain", "draw", "datum", "y_latent")
    assert posterior["z"].dims == ("chain", "draw", "datum", "latent")
    np.testing.assert_array_equal(posterior["y"].values[0][:, KNOWN], np.tile(LABEL[KNOWN], (10, 1, 1)))
    weight = tree["sample_stats"]["log_weight"].mean(("chain", "draw"))
    np.testing.assert_allclose(weight, log_prob(X, LABEL), rtol=1e-4)


@pytest.mark.parametrize("name", ["log_prob", "kl", "mean"])
def test_a_partly_observed_site_is_the_base_in_other_rows(name):
    p, q = (OneHotCategorical(a) for a in jax.random.normal(KEY, (2, 9, K)))
    known = jnp.asarray(KNOWN)
    sites = [PartlyObserved(base, jnp.float32(LABEL), known) for base in (q, p)]
    value = jnp.eye(K)[0]
    found, base, where_known = {
        "log_prob": (sites[0].log_prob(value), q.log_prob(value), 0.0),
        "kl": (compute_closed_form_kl(*sites), compute_closed_form_kl(q, p), 0.0),
        "mean": (sites[0].mean, q.mean, LABEL[KNOWN]),
    }[name]
    np.testing.assert_allclose(found[KNOWN], where_known)
    np.testing.assert_allclose(found[~KNOWN], base[~KNOWN], rtol=1e-6)


@pytest.mark.slow
def test_fit_takes_labels_where_they_are_and_learns_from_all():
    x, label = np.tile(np.float32(X), (4, 1)), np.tile(np.float32(LABEL), (4, 1))
    settings = {"rng_key": KEY, "epochs": 20, "batch_size": 12, "progress": False}
    model = fit(
        small(),
        Batch(x, label),
        validation=x,
        objective=objectives.SemiSupervisedELBO(1.0, num_particles=2),
        **settings,
    )
    steps = model.history.steps["bound"]
    assert np.isfinite(steps).all()
    assert model.history.train["log_q_label"][-1] > model.history.train["log_q_label"][0]
    assert fit(small(), x, **settings).history.train["elbo"].shape == (20,)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: small(context_shape=(4,)), r"ClassAndStyle\(3\).*context_shape=\(4,\).*\(3,\)"),
        (lambda: priors.ClassAndStyle(1), "integer >= 2; got 1"),
        (lambda: priors.ClassAndStyle(3, priors.TwoLevel()), "prior that is one distribution|AbstractDistribution"),
        (lambda: guides.ClassAndStyle(3, guides.PointMass()), "with a density"),
        (lambda: small(posterior=guides.ClassAndStyle(4)), r'site "y": event shapes \(3,\) and \(4,\)'),
        (lambda: small(posterior=guides.MeanField()), r"latent sites \['y', 'z'\]"),
        (lambda: fit_with(X, objectives.SemiSupervisedELBO(), vae=plain()), "(?s)MeanField.*ClassAndStyle"),
        (lambda: fit_with(X, objectives.IWAE(num_particles=2)), r"IWAE .*\['y'\].*ELBO"),
        (lambda: fit_with(X, objectives.MultiRate()), "MultiRate extends .* ClassAndStyle"),
        (lambda: fit_with(Batch(X, LABEL + 0.1)), "one-hot rows, or zeros.*row 0"),
        (lambda: fit_with(Batch(X, LABEL * 2)), "one-hot rows, or zeros"),
        (lambda: fitted().sample(2, context=np.full((1, K), 0.5), rng_key=KEY), "one-hot rows, or zeros"),
        (lambda: objectives.SemiSupervisedELBO(-1.0), "alpha=.*expects a finite number"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


def plain():
    return VAE(event_shape=(D,), latent_dim=Q, likelihood=SCALE)


def fit_with(data, objective=None, vae=None):
    return fit(
        vae or small(), data, objective=objective, rng_key=KEY, epochs=1, batch_size=3, progress=False
    )
