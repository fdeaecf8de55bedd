"""Flows: Jacobians by autodiff, inverses, volumes by quadrature, and their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import log_prob, sample
from numpyro import handlers

from probvae import VAE, fit, flows, guides, nets, priors
from probvae.distributions.spline import RationalQuadraticSpline
from probvae.objectives import terms

LAYERS = {
    "Autoregressive": flows.Autoregressive((16,)),
    "Coupling": flows.Coupling(nets.MLP((16,))),
    "SplineCoupling": flows.SplineCoupling(5, 3.0, nets.MLP((16,))),
}
SCOPE = VAE(event_shape=(2,), latent_dim=2)._scope(None, None, None)


def run(make, values=None):
    """What ``make`` returns, its weights drawn far from the identity, or as given: one program."""
    seeded = handlers.seed(make, 0)

    def wild():
        found = handlers.trace(seeded).get_trace()
        drawn = {name: site["value"] for name, site in found.items() if site["type"] == "param"}
        leaves, tree = jax.tree.flatten(drawn)
        keys = jax.random.split(jax.random.key(1), len(leaves))
        noise = [jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)]
        return jax.tree.unflatten(tree, [a + 0.15 * e for a, e in zip(leaves, noise, strict=True)])

    def call(values):
        return handlers.substitute(seeded, wild() if values is None else values)()

    return jax.jit(call)(values)


def composed(layer, n, told=None, depth=2):
    """``depth`` layers; a coupling's small start is undone by wild weights only in part."""
    return run(lambda: flows.transforms(layer, depth, "flow", n, told, training=True))


def forward(steps, x):
    log_det = 0.0
    for step in steps:
        y = step(x)
        log_det, x = log_det + step.log_abs_det_jacobian(x, y), y
    return x, log_det


@pytest.fixture
def strong(monkeypatch):
    """Couplings far from the identity."""
    monkeypatch.setattr("probvae.flows.coupling.SMALL", 0.3)


@pytest.mark.usefixtures("float64", "strong")
@pytest.mark.parametrize(
    ("name", "n", "told"),
    [(name, 5, (7, 4)) for name in LAYERS]
    + [("Autoregressive", 2, None), ("Coupling", 2, None)]
    + [pytest.param("SplineCoupling", 2, None, marks=pytest.mark.slow)],
)
def test_log_determinant_is_autodiffs_and_the_inverse_inverts(name, n, told):
    h = None if told is None else jax.random.normal(jax.random.key(2), told)
    steps = composed(LAYERS[name], n, h)
    x = 1.5 * jax.random.normal(jax.random.key(3), (7, n))

    @jax.jit
    def there_and_back(x):
        y, log_det = forward(steps, x)
        back = y
        for step in reversed(steps):
            back = step.inv(back)
        return y, log_det, jax.jacfwd(lambda v: forward(steps, v)[0])(x), back

    y, log_det, jacobian, back = map(np.asarray, there_and_back(x))
    assert np.abs(y - x).mean() > 0.05
    own = np.stack([jacobian[i, :, i] for i in range(7)])
    assert np.abs(jacobian).sum() - np.abs(own).sum() < 1e-9  # rows do not mix
    np.testing.assert_allclose(log_det, np.linalg.slogdet(own)[1], atol=1e-8)
    np.testing.assert_allclose(back, x, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.usefixtures("strong")
def test_intermediates_of_sampling_give_the_density_of_the_sample(name):
    """The fast path of a guide (noise kept) equals the inversion (any code, as a VampPrior asks)."""
    outputs = jax.random.normal(jax.random.key(0), (6, 4, 3))
    scope = SCOPE._replace(latent_dim=4)
    q = run(lambda: guides.Flow(LAYERS[name]).distribution(outputs, scope))
    z, kept = q.sample_with_intermediates(jax.random.key(1))
    np.testing.assert_allclose(q.log_prob(z, kept), q.log_prob(z), rtol=1e-3, atol=1e-3)
    mixed = q.log_prob(z[:, None])  # each code under all six: row i, component i is its own
    assert mixed.shape == (6, 6)
    np.testing.assert_allclose(jnp.diag(mixed), q.log_prob(z), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("float64", "strong")
@pytest.mark.parametrize("name", LAYERS)
def test_a_prior_integrates_to_one(name):
    p = run(lambda: priors.Flow(LAYERS[name], depth=2).distribution(SCOPE))
    axis = jnp.linspace(-30.0, 30.0, 1201)
    grid = jnp.stack(jnp.meshgrid(axis, axis), -1).reshape(-1, 2)
    mass = jnp.exp(jax.lax.map(p.log_prob, grid, batch_size=100_000)).sum() * (axis[1] - axis[0]) ** 2
    assert float(mass) == pytest.approx(1.0, abs=5e-3)
    z = p.sample(jax.random.key(0), (20_000,))
    inside = (jnp.abs(grid) < 1).all(1)
    share = jnp.exp(p.log_prob(grid[inside])).sum() * (axis[1] - axis[0]) ** 2
    assert float((jnp.abs(z) < 1).all(1).mean()) == pytest.approx(float(share), abs=0.015)


def zeroed(layer, n):
    """Weights of a guide whose layers are the identity."""
    vae = VAE(event_shape=(3,), latent_dim=n, posterior=guides.Flow(layer), encoder=nets.MLP((8,)))
    x = jax.random.normal(jax.random.key(0), (5, 3))
    values = jax.jit(lambda: params_of(vae.guide, x))()
    flow = {k: jax.tree.map(np.zeros_like, v) for k, v in values.items() if "flow" in k}
    return vae, x, {**values, **flow}


def params_of(program, x):
    trace = handlers.trace(handlers.seed(program, 0)).get_trace(x)
    return {name: site["value"] for name, site in trace.items() if site["type"] == "param"}


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_at_the_identity_are_the_mean_field(name, depth):
    outputs = jax.random.normal(jax.random.key(0), (6, 4, 3))
    scope = SCOPE._replace(latent_dim=4)

    def make():
        return guides.Flow(LAYERS[name], depth).distribution(outputs, scope)

    shapes = jax.eval_shape(lambda: params_of(lambda _: make(), None))
    q = run(make, jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes))
    twin = guides.MeanField().distribution(outputs[..., :2], scope)
    z = sample(twin, jax.random.key(1))
    np.testing.assert_allclose(log_prob(q, z), log_prob(twin, z), rtol=1e-4, atol=1e-4)


def test_sampled_kl_of_a_flow_guide_is_that_of_its_density():
    """Terms read a flow with the intermediates of its sampling."""
    vae, x, values = zeroed(LAYERS["Autoregressive"], 4)
    x = np.asarray(x > 0, x.dtype)  # the likelihood is Bernoulli

    @jax.jit
    def read_terms(values):
        values = {**values, "decoder$params": params_of(vae.model, x)["decoder$params"]}
        return terms(jax.random.key(0), values, vae.model, vae.guide, x)

    read = read_terms(values)
    assert read.kl["z"].shape == (5,)
    np.testing.assert_allclose(read.kl["z"], read.log_guide["z"] - read.log_prior["z"])


@pytest.mark.usefixtures("float64")
def test_spline_meets_the_identity_at_its_ends_with_a_continuous_slope():
    raw = jax.random.normal(jax.random.key(0), (1, 14))
    near = jnp.array([-2.0 - 1e-9, -2.0 + 1e-9, 2.0 - 1e-9, 2.0 + 1e-9])
    outside, grid = np.array([-3.0, -2.0, 2.0, 3.0]), np.linspace(-2, 2, 500)

    @jax.jit
    def read(raw):
        spline, straight = RationalQuadraticSpline(raw, 2.0), RationalQuadraticSpline(0 * raw, 2.0)
        log_slopes = spline.log_abs_det_jacobian(near, near)
        return spline(outside), log_slopes, spline(grid), straight(grid)

    ends, log_slopes, curve, line = map(np.asarray, read(raw))
    np.testing.assert_allclose(ends, outside, atol=1e-12)
    np.testing.assert_allclose(log_slopes, 0.0, atol=1e-6)
    assert (np.diff(curve) > 0).all()
    np.testing.assert_allclose(line, grid, atol=1e-12)


def test_coupling_of_one_dimension_is_refused_at_the_join():
    with pytest.raises(ValueError, match=r"flows.Coupling splits .* latent_dim >= 2; got 1"):
        VAE(event_shape=(2,), latent_dim=1, prior=priors.Flow())


@pytest.mark.parametrize("part", [guides.Flow, priors.Flow])
def test_bad_flows(part):
    with pytest.raises(ValueError, match="depth=.*positive integer; got 0"):
        part(depth=0)


@pytest.mark.slow
def test_the_posterior_of_a_fitted_flow_guide_can_be_drawn_from_and_scored():
    x = np.asarray(jax.random.bernoulli(jax.random.key(0), 0.5, (8, 6)), np.float32)
    net = nets.MLP((8,))
    posterior = guides.Flow(flows.Autoregressive((8,)))
    vae = VAE(event_shape=(6,), latent_dim=3, posterior=posterior, encoder=net, decoder=net)
    fitted = fit(vae, x, rng_key=jax.random.key(1), epochs=1, batch_size=8, progress=False)
    q = fitted.encode(x)
    z = q.sample(jax.random.key(2), (5,))
    assert q.log_prob(z).shape == (5, 8)
    again = fitted.decode(q.sample(jax.random.key(2))).sample(jax.random.key(3))
    assert bool(vae.likelihood.support(again).all())
