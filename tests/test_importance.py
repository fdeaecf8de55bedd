"""IWAE, Renyi bounds, and the estimators of their gradients: laws on the linear-Gaussian oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from compiled import loss as compiled_loss
from compiled import structure
from numpyro.infer import RenyiELBO
from oracle import close

from probvae import evidence, fit, flows, guides, likelihoods, nets, priors
from probvae.objectives import ELBO, IWAE, STL, DReG, Renyi, terms
from probvae.objectives.terms import trace_guide

WEIGHTS = np.array(
    [[1.0, 0.0], [0.0, 0.7], [0.5, 0.0]]
)  # orthogonal columns: the posterior is diagonal
MU, VARIANCE = np.array([0.3, -0.2, 0.1]), 0.5
X = np.array([[1.0, -0.5, 0.2], [-1.2, 0.4, 0.6]])
VAE = oracle.vae(3, 2)
WIDE = jax.tree.map(jnp.float32, oracle.params(WEIGHTS, MU, VARIANCE, scale=1.5))


def slopes(objective, params, vae=VAE, keys=None):
    """The loss and its gradient, for a key or for many."""

    def one(key):
        return jax.value_and_grad(lambda p: objective.loss(key, p, vae.model, vae.guide, X))(params)

    return jax.jit(one if keys.ndim == 0 else jax.vmap(one))(keys)


def log_weights(key, num_particles):
    """log w_k per particle and datum, from the reader alone."""

    def read(key):
        return terms(key, WIDE, VAE.model, VAE.guide, X, closed_form=False, num_data=20).log_weight

    return np.asarray(jax.jit(jax.vmap(read))(jax.random.split(key, num_particles)), float)


@pytest.mark.parametrize("alpha", [0.0, 0.5, -1.0, 3.0])
def test_renyi_equals_numpyro_key_for_key(alpha):
    """In value and gradient; NumPyro splits the key once before it splits it over particles."""
    key = jax.random.key(7)
    ours = IWAE(num_particles=4) if alpha == 0 else Renyi(alpha, num_particles=4)
    got = slopes(ours, WIDE, keys=jax.random.split(key)[1])
    close(got, slopes(RenyiELBO(alpha, num_particles=4), WIDE, keys=key), rtol=2e-4, atol=2e-5)


def test_the_bound_is_a_mean_over_the_particles_of_each_datum():
    key = jax.random.key(3)
    log_w = log_weights(key, 5)
    for alpha, objective in ((0, IWAE(5)), (-2, Renyi(-2.0, num_particles=5))):
        want = np.log(np.exp((1 - alpha) * log_w).mean(0)) / (1 - alpha)
        total = compiled_loss(objective, key, WIDE, VAE, X, num_data=20)
        assert float(total) == pytest.approx(-10 * want.sum(), rel=1e-5)


def test_the_standard_error_of_a_bound_is_that_of_a_mean_of_few_particles():
    """std(ddof=1) / sqrt(K) of the ELBO's particles, and of w / mean w. At K = 3, K for K - 1 is 18 % off."""
    key, data = jax.random.key(5), evidence.Batch(jnp.asarray(X, jnp.float32))

    def particle(row, k):
        """Return the ELBO and the log weight of a particle of a datum."""
        datum = jax.tree.map(lambda a: a[row], data)
        row_key = jax.random.fold_in(key, row)
        read = evidence.datum_terms(VAE, WIDE, jax.random.fold_in(row_key, k), datum)
        return (read.log_likelihood - read.total_kl)[0], read.log_weight[0]

    rows, columns = np.indices((2, 3))
    each = jax.jit(jax.vmap(jax.vmap(particle)))
    elbo, log_w = (np.asarray(values, float) for values in each(rows, columns))
    weights = np.exp(log_w - np.log(np.exp(log_w).mean(1, keepdims=True)))
    found = [
        bound(VAE, WIDE, data, rng_key=key, num_particles=3)
        for bound in (evidence.elbo, evidence.log_prob)
    ]
    for each, values in zip(found, (elbo, weights), strict=True):
        exact = values.std(1, ddof=1) / np.sqrt(3)
        np.testing.assert_allclose(each.standard_error, exact, rtol=1e-3)
    np.testing.assert_allclose(found[0].value, elbo.mean(1), rtol=1e-5)


def test_the_standard_error_of_an_elbo_far_from_0_keeps_its_digits():
    """What is orthogonal to the decoder's columns adds a constant, -250,000 nats here, to each particle."""
    far = MU + 500.0 * np.array([0.5, 0.0, -1.0]) / np.sqrt(1.25)
    data = evidence.Batch(jnp.asarray(np.stack([MU, far]), jnp.float32))
    bound = evidence.elbo(VAE, WIDE, data, rng_key=jax.random.key(5), num_particles=400)
    assert bound.value[1] - bound.value[0] == pytest.approx(-250_000.0, rel=1e-5)
    near, away = bound.standard_error
    assert near > 0.01
    assert away == pytest.approx(near, rel=0.15)  # their particles differ: two draws of 400


def test_limits():
    """IWAE_1 is the ELBO; Renyi(0) is IWAE; Renyi(1) is the ELBO, and is neared without a jump."""
    key = jax.random.key(5)

    def loss(objective):
        return float(compiled_loss(objective, key, WIDE, VAE, X))

    assert loss(IWAE(1)) == pytest.approx(loss(ELBO(closed_form=False)), rel=1e-6)
    assert loss(Renyi(0.0)) == pytest.approx(loss(IWAE()), rel=1e-6)
    elbo = loss(ELBO(closed_form=False, num_particles=5))
    assert loss(Renyi(1.0)) == pytest.approx(elbo, rel=1e-6)
    for alpha in (1 - 1e-6, 1 + 1e-6):
        assert loss(Renyi(alpha)) == pytest.approx(elbo, rel=1e-5)
    values = [loss(Renyi(alpha)) for alpha in (-1.0, 0.0, 1.0, 2.0)]
    assert values == sorted(values)  # the bound falls as alpha grows: the loss rises
    assert values[0] < values[-1] - 0.05


def test_history_reports_the_bound():
    x = oracle.dataset(40).astype(np.float32)[:, :3]
    fitted = fit(
        VAE, x, rng_key=jax.random.key(0), objective=IWAE(3, estimator=DReG()),
        epochs=2, batch_size=10, progress=False,
    )  # fmt: skip
    steps = fitted.history.steps
    np.testing.assert_allclose(steps["loss"], -10 * steps["bound"], rtol=1e-5)
    assert (steps["bound"] > steps["log_likelihood"] - steps["kl"]).all()


FLOW = oracle.vae(3, 2, posterior=guides.Flow(flows.Autoregressive((4,)), depth=2))


def flow_start(values):
    """The oracle's normal guide, then the flow's layers at the identity: all their weights 0."""
    trace = structure(FLOW.guide, jnp.asarray(X))
    found = {name: site["value"] for name, site in trace.items() if site["type"] == "param"}
    found = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), found)
    layer = jax.tree.map(np.asarray, values["encoder$params"]["layers"][0])
    kernel = np.concatenate([layer["kernel"].reshape(3, 2, 2), np.ones((3, 2, 1))], -1)
    bias = np.concatenate([layer["bias"].reshape(2, 2), np.zeros((2, 1))], -1)
    whole = {"kernel": kernel.reshape(3, 6), "bias": bias.ravel()}
    return {**found, **values, "encoder$params": {"layers": {0: whole}}}


def wide_flow():
    """The wide guide, followed by layers away from the identity."""
    leaves, tree = jax.tree.flatten(flow_start(WIDE))
    keys = jax.random.split(jax.random.key(4), len(leaves))
    moved = [a + 0.3 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    return {**jax.tree.unflatten(tree, moved), "decoder$params": WIDE["decoder$params"]}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("objective", "vae"),
    [
        pytest.param(ELBO(estimator=STL()), VAE, id="STL"),
        pytest.param(ELBO(estimator=STL()), FLOW, id="STL-flow"),
        pytest.param(IWAE(3, estimator=DReG()), VAE, id="DReG"),
    ],
)
def test_the_guides_gradient_vanishes_at_the_exact_posterior(objective, vae):
    """For every draw, in all of the guide's parameters; autodiff's does not, and the value is the same."""
    params = jax.tree.map(jnp.asarray, oracle.params(WEIGHTS, MU, VARIANCE))
    params = params if vae is VAE else flow_start(params)
    plain = ELBO(closed_form=False) if isinstance(objective, ELBO) else IWAE(3)
    keys = jax.random.split(jax.random.key(0), 3)
    (value, slope), (same, noisy) = (slopes(o, params, vae, keys) for o in (objective, plain))
    np.testing.assert_allclose(value, same, rtol=1e-6)
    mine = [name for name in params if name.startswith(("encoder", "guide"))]
    assert len(mine) == 1 or vae is FLOW
    for name in mine:
        assert max(np.abs(a).max() for a in jax.tree.leaves(slope[name])) < 1e-4
        assert max(np.abs(a).max() for a in jax.tree.leaves(noisy[name])) > 0.1


@pytest.mark.parametrize("alpha", [0.5, -1.0, 1.0])
def test_dreg_weighs_each_path_by_its_factor(alpha):
    """d/dm of the bound is sum_k v_k (alpha + (1 - alpha) v_k) d log w_k / dz_k, at the same draws.

    log w is log p(z|x) - log q(z|x) and a constant. q has the posterior's mean and 1.5 times its scale s,
    so that log w = -(1.5^2 - 1) u^2 / 2 and a constant, u = (z - m) / (1.5 s).
    """
    key, k = jax.random.key(2), 4

    def draw(key):
        return trace_guide(jax.random.split(key)[1], WIDE, VAE.guide, (X,), {})["z"]

    drawn = [draw(particle) for particle in jax.random.split(key, k)]
    z, q = np.stack([site["value"] for site in drawn]), drawn[0]["fn"].base_dist
    u, excess = (z - np.asarray(q.loc)) / np.asarray(q.scale), 1.5**2 - 1
    power = np.exp(-(1 - alpha) * excess * (u**2).sum(-1) / 2)
    v = (power / power.sum(0))[..., None]
    want = (v * (alpha + (1 - alpha) * v) * -excess * u / np.asarray(q.scale)).sum((0, 1))
    _, got = slopes(Renyi(alpha, num_particles=k, estimator=DReG()), WIDE, keys=key)
    bias = got["encoder$params"]["layers"][0]["bias"].reshape(2, 2)
    np.testing.assert_allclose(-bias[:, 0], want, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plain", "better", "vae"),
    [
        pytest.param(ELBO(closed_form=False), ELBO(estimator=STL()), VAE, id="STL"),
        pytest.param(ELBO(closed_form=False), ELBO(estimator=STL()), FLOW, id="STL-flow"),
        pytest.param(IWAE(3), IWAE(3, estimator=DReG()), VAE, id="IWAE"),
        pytest.param(Renyi(0.5), Renyi(0.5, estimator=DReG()), VAE, id="Renyi(0.5)"),
        pytest.param(Renyi(-1.0), Renyi(-1.0, estimator=DReG()), VAE, id="Renyi(-1)"),
    ],
)
def test_estimators_agree_with_autodiff_in_expectation(plain, better, vae):
    """In the guide's parameters, in standard errors of the paired difference; in the model's, exactly."""
    params = WIDE if vae is VAE else wide_flow()
    keys = jax.random.split(jax.random.key(1), 8000)
    (value, slope), (other, theirs) = (slopes(o, params, vae, keys) for o in (better, plain))
    np.testing.assert_allclose(value, other, rtol=2e-4)
    close(slope["decoder$params"], theirs["decoder$params"], rtol=1e-2, atol=1e-3)
    mine = [name for name in params if name.startswith(("encoder", "guide"))]
    pairs = zip(*(jax.tree.leaves([s[name] for name in mine]) for s in (slope, theirs)), strict=True)
    scores, spreads = [], []
    for a, b in ((np.asarray(a, float), np.asarray(b, float)) for a, b in pairs):
        difference = (a - b).reshape(len(a), -1)
        error = difference.std(0, ddof=1) / np.sqrt(len(a)) + 1e-9
        scores.append(np.abs(difference.mean(0) / error).max())
        spreads.append([a.var(0).sum(), b.var(0).sum()])
    assert max(scores) < 4.5
    if vae is VAE:
        ours, autodiffs = np.sum(spreads, axis=0)
        assert ours < 0.8 * autodiffs


def test_a_sites_units_share_the_datums_factor_and_the_hierarchy_works():
    """A hierarchical guide: DReG has the same mean through z2 -> z1 (one key: finite and moved)."""
    net = nets.MLP((4,))
    vae = oracle.vae(3, 2, prior=priors.TwoLevel(net=net), posterior=guides.TwoLevelTopDown(net))
    fitted = fit(
        vae, X.astype(np.float32), rng_key=jax.random.key(0), objective=IWAE(3, estimator=DReG()),
        epochs=2, batch_size=2, progress=False,
    )  # fmt: skip
    assert np.isfinite(fitted.history.steps["bound"]).all()


@pytest.mark.parametrize(
    ("changes", "objective", "message"),
    [
        pytest.param(
            {"likelihood": likelihoods.Gaussian(scale=likelihoods.OptimalScale())}, IWAE(),
            r"IWAE does not work .*StandardNormal.*MeanField.*likelihood\$state.*LayerNorm",
            id="state",
        ),
        pytest.param(
            {"prior": priors.Bernoulli(), "posterior": guides.Bernoulli()}, IWAE(),
            r"IWAE .* guide Bernoulli draws \['z'\] without reparametrisation", id="discrete",
        ),
        pytest.param(
            {"prior": priors.Bernoulli(), "posterior": guides.Bernoulli()}, ELBO(estimator=STL()),
            r"ELBO .* guide Bernoulli .*without an estimator", id="discrete-stl",
        ),
    ],
)  # fmt: skip
def test_refusals(changes, objective, message):
    with pytest.raises(ValueError, match=message):
        fit(oracle.vae(3, 2, **changes), X.astype(np.float32), rng_key=jax.random.key(0),
            objective=objective, epochs=1, batch_size=2)  # fmt: skip


def test_plain_svi_refuses_an_estimator_on_a_discrete_guide():
    vae = oracle.vae(3, 2, prior=priors.Bernoulli(), posterior=guides.Bernoulli())
    with pytest.raises(ValueError, match='site "z" is drawn .* without an estimator'):
        ELBO(estimator=STL()).loss(jax.random.key(0), {}, vae.model, vae.guide, X.astype(np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: IWAE(0), "IWAE.num_particles=.* positive integer; got 0", id="particles"),
        pytest.param(lambda: Renyi(float("inf")), "alpha=.* finite number; got inf", id="alpha"),
        pytest.param(
            lambda: IWAE(estimator=STL()), "IWAE.estimator=.*unbiased.*got STL.*DReG", id="stl"
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
