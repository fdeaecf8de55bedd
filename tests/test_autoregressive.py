"""Autoregressive p(x|z): masses that sum to 1, draws in the order of the density, strictly causal nets."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from compiled import log_prob, mean, run, sample
from flax import nnx
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.infer import Predictive

from probvae import VAE, Batch, distributions, fit, likelihoods, load, nets
from probvae.distributions import BernoulliLogits
from probvae.likelihoods import Autoregressive, Gaussian
from probvae.nets.module import build
from probvae.objectives import terms
from probvae.tracing import trace_structure

KEY = jax.random.key(0)
IMAGES = np.array(list(itertools.product((0.0, 1.0), repeat=4)), np.float32).reshape(16, 2, 2)
NETS = {
    "MADE": nets.MADE((16, 16), start=1.0),
    "MaskedConv": nets.MaskedConv((4, 4), kernel=3, activation=jnp.tanh),
}


def vae_of(likelihood, event_shape=(2, 2), **parts):
    small = {"encoder": nets.MLP((8,)), "decoder": nets.MLP((8,)), **parts}
    return VAE(event_shape=event_shape, latent_dim=2, likelihood=likelihood, **small)


def wild(vae, size=1.0):
    """Weights that are random, biases included: large in the masked net, so that x_<i matters."""
    noise = np.random.default_rng(3)

    def draw(name, shapes):
        scale = size if name.startswith("likelihood") else 0.3
        return jax.tree.map(
            lambda a: jnp.asarray(scale * noise.normal(size=a.shape), jnp.float32), shapes
        )

    params = trace_structure(vae).params.items()
    return {name: draw(name, shapes) for name, shapes in params if not name.startswith("encoder")}


def p_x(vae, values, z):
    return run(lambda values, z: handlers.substitute(vae.eval().p_x, values)(z), values, z)


@pytest.fixture(scope="module", params=NETS.values(), ids=list(NETS))
def law(request):
    """p(x|z) of three codes over the 2 x 2 images, as a compiled function returns it; its 16 masses."""
    vae = vae_of(Autoregressive(request.param))
    z = jnp.array([[0.0, 0.0], [1.0, 0.5], [-1.0, 2.0]])
    p = p_x(vae, wild(vae), z)
    return p, np.exp(np.asarray(log_prob(p, IMAGES[:, None]), float))


def test_masses_sum_to_one_and_the_entries_depend_on_each_other(law):
    p, mass = law
    assert (p.batch_shape, p.event_shape) == ((3,), (2, 2))
    np.testing.assert_allclose(mass.sum(0), 1.0, rtol=1e-5)
    flat = IMAGES.reshape(16, 4)
    on = np.einsum("ib,id->bd", mass, flat)
    alone = np.prod(np.where(flat[:, None] == 1, on, 1 - on), axis=-1)
    assert np.abs(mass - alone).max() > 0.1
    assert np.abs(mass[:, 0] - mass[:, 1]).max() > 0.02  # and on the code


def test_draws_have_the_frequencies_of_the_density(law):
    p, mass = law
    draws = np.asarray(sample(p, jax.random.key(5), (4000,)), int).reshape(4000, 3, 4)
    index = draws @ np.array([8, 4, 2, 1])
    for b in range(3):
        counts, expected = np.bincount(index[:, b], minlength=16), 4000 * mass[:, b]
        assert (np.abs(counts - expected) < 5 * np.sqrt(expected * (1 - mass[:, b])) + 1e-3).all()


def test_mean_is_unbiased_and_a_function_of_the_code_alone(law):
    p, mass = law
    truth = np.einsum("ib,ide->bde", mass, IMAGES)
    rough = np.stack([p.estimate_mean(jax.random.key(i), 20) for i in range(60)])
    error = rough.std(0, ddof=1) / np.sqrt(60)
    assert (np.abs(rough.mean(0) - truth) < 4.5 * error + 1e-6).all()
    alone = distributions.Autoregressive(p.conditional, p.features[1:2], event_dim=2)
    np.testing.assert_allclose(mean(alone)[0], mean(p)[1], rtol=1e-4)
    with pytest.raises(NotImplementedError):
        p.variance  # noqa: B018


CAUSAL = {
    "MADE": (nets.MADE((16, 32), start=1.0), (12 + 3,), (12, 2), 12),
    "MADE, narrow": (nets.MADE((5,), start=1.0), (12,), (12, 2), 12),
    "MaskedConv": (nets.MaskedConv((4, 4, 4, 4), 3, activation=jnp.tanh), (3, 4, 1 + 3), (3, 4, 2), 12),
    "MaskedConv, one layer": (
        nets.MaskedConv((4,), 7, activation=jnp.tanh, residual=False), (3, 4, 1), (3, 4, 2), 12),
    "MaskedConv, gated": (nets.MaskedConv((4, 4, 4, 4), 3, gated=True), (3, 4, 1 + 3), (3, 4, 2), 12),
}  # fmt: skip


@pytest.mark.parametrize("name", CAUSAL)
def test_output_i_depends_on_inputs_before_i_and_on_all_of_them(name):
    """By the Jacobian: no later entry, none at i itself, no blind spot, all of the context."""
    recipe, in_shape, out_shape, n = CAUSAL[name]
    net = build(recipe, in_shape, out_shape, jax.random.key(3))

    def outputs(x):
        return net(x[None])[0].reshape(n, -1)

    slopes = jax.jit(jax.vmap(jax.jacobian(outputs)))(jax.random.normal(KEY, (4, *in_shape)))
    sizes = np.abs(slopes).sum((0, 2))  # output, then the input's axes
    seen, told = (
        (sizes[..., :1].reshape(n, n), sizes[..., 1:].reshape(n, n, -1))
        if len(in_shape) == 3
        else (sizes[:, :n], sizes[:, n:])
    )
    before = np.tril(np.ones((n, n), bool), -1)
    assert (seen[~before] == 0).all()
    if "narrow" in name:  # too few units to see all, but the last rows see far
        assert (seen[-1] > 0).sum() >= 9
    else:
        assert (seen[before] > 0).all()
    own = told[np.arange(n), np.arange(n)] if len(in_shape) == 3 else told
    assert (own > 0).all()


def test_every_layer_is_told_the_context():
    net = nnx.eval_shape(lambda: build(nets.MaskedConv((4, 4)), (3, 3, 3), (3, 3, 1), KEY))
    for layer in net.layers:
        assert layer.told.kernel.shape == (2, 8)


def test_a_gate_multiplies_the_tanh_of_one_half_by_the_sigmoid_of_the_other():
    """With the second half of every layer constant at b, a layer is sigmoid(b) tanh."""
    gated = build(nets.MaskedConv((4,), 3, gated=True), (3, 4, 1), (3, 4, 2), KEY)
    plain = build(nets.MaskedConv((4,), 3, activation=jnp.tanh), (3, 4, 1), (3, 4, 2), KEY)
    (wide,), (layer,), b = gated.layers, plain.layers, 0.7
    for name, of_gate in (("rows", b), ("row", b), ("down", 0.0)):
        one, other = getattr(wide, name), getattr(layer, name)
        kernel = one.kernel[...].at[..., 4:].set(0.0)
        one.kernel[...], one.bias[...] = kernel, jnp.r_[jnp.ones(4), jnp.full(4, of_gate)]
        other.kernel[...], other.bias[...] = kernel[..., :4], jnp.ones(4)
    layer.down.kernel[...] *= jax.nn.sigmoid(b)  # what it is told, v', is smaller by that
    plain.last.kernel[...] = gated.last.kernel[...] * jax.nn.sigmoid(b)
    x = jax.random.normal(KEY, (2, 3, 4, 1))
    np.testing.assert_allclose(*run(lambda x: (gated(x), plain(x)), x), rtol=1e-4, atol=1e-5)


def test_without_weights_it_is_its_base():
    """The limit: a masked net of zeros but for its last bias is the same Bernoulli for every entry."""
    vae = vae_of(Autoregressive(nets.MADE((8,))))
    values = jax.tree.map(np.zeros_like, wild(vae))
    bias = np.array([1.0, -2.0, 0.5, 3.0], np.float32)
    values["likelihood$net$params"]["layers"][1]["bias"] = bias
    p = p_x(vae, values, jnp.zeros((1, 2)))
    twin = BernoulliLogits(bias.reshape(2, 2))
    want = np.sum(log_prob(twin, IMAGES), (1, 2))
    np.testing.assert_allclose(log_prob(p, IMAGES), want, rtol=1e-5)
    np.testing.assert_allclose(mean(p)[0], mean(twin), rtol=1e-5)


@pytest.mark.parametrize(
    ("net", "base", "levels", "shape"),
    [
        ("MADE", likelihoods.Categorical(3), range(3), (3,)),
        ("MaskedConv", likelihoods.DiscretizedLogistic(3), (0.0, 0.5, 1.0), (1, 3, 1)),
    ],
    ids=["Categorical", "DiscretizedLogistic"],
)
def test_levels_sum_to_one(net, base, levels, shape):
    vae = vae_of(Autoregressive(NETS[net], base), shape)
    x = np.array(list(itertools.product(levels, repeat=3)), np.float32).reshape(27, *shape)
    p = p_x(vae, wild(vae, 0.3), jnp.ones((1, 2)))
    assert float(np.exp(log_prob(p, x)).sum()) == pytest.approx(1.0, rel=1e-5)
    drawn = sample(p, KEY, (50,))
    assert bool(run(vae.likelihood.support, drawn).all())
    assert len(np.unique(np.asarray(drawn).round(3))) == 3


def test_a_base_with_a_parameter_of_its_own_scores_by_it():
    """p(x) = prod_i Normal(x_i; g_i(x_<i, z), sigma): by hand, and moved by the learned sigma."""
    vae = vae_of(
        Autoregressive(nets.MADE((16,), start=1.0), Gaussian(scale=likelihoods.LearnedScale())), (3,)
    )
    values = {**wild(vae), "likelihood$log_scale": jnp.array(-0.4)}
    p, x = p_x(vae, values, jnp.ones((1, 2))), np.array([[0.3, -1.0, 2.0]])
    loc = run(lambda p: p.conditional(x, p.features).mean, p)
    sigma = np.exp(-6 + np.logaddexp(0.0, -0.4 + 6))
    want = scipy.stats.norm.logpdf(x, loc, sigma).sum()
    assert float(log_prob(p, x)[0]) == pytest.approx(want, rel=1e-4)

    def score(values):
        return p_x(vae, values, jnp.ones((1, 2))).log_prob(x).sum()

    slope = run(jax.grad(score), values)["likelihood$log_scale"]
    outer = scipy.special.expit(-0.4 + 6)  # d log sigma / d log_scale
    assert float(slope) == pytest.approx(float(outer * (((x - loc) / sigma) ** 2 - 1).sum()), rel=1e-4)


BASES = {  # and the size of the weights: how far entries follow those before them
    "bits": (likelihoods.Bernoulli(), 2.0),
    "levels": (likelihoods.Categorical(3), 2.0),
    "grey": (likelihoods.DiscretizedLogistic(4), 1.0),
    "grey by a mixture": (likelihoods.DiscretizedLogisticMixture(3, num_levels=4), 1.0),
    "counts": (likelihoods.NegativeBinomial(), 0.3),
    "more counts": (likelihoods.Poisson(), 0.3),
    "reals": (Gaussian(), 0.4),
}


@pytest.mark.parametrize("net", NETS.values(), ids=list(NETS))
@pytest.mark.parametrize(("base", "size"), BASES.values(), ids=list(BASES))
def test_a_draw_is_the_one_in_order(base, size, net):
    """Entry i by its own noise, given the entries before it alone: by a loop of Python."""
    shape = (3, 4)
    vae = vae_of(Autoregressive(net, base), shape)
    p = p_x(vae, wild(vae, size), jnp.ones((5, 2)))
    got = np.asarray(sample(p, KEY)).reshape(5, -1)
    want = np.zeros_like(got)
    given = jax.jit(lambda x: p.conditional(x, p.features).sample(KEY))
    for i in range(want.shape[1]):
        want[:, i] = np.asarray(given(want.reshape(5, *shape))).reshape(5, -1)[:, i]
    np.testing.assert_allclose(got, want, rtol=2e-4, atol=1e-5)
    assert len(np.unique(got)) > 1


@pytest.mark.parametrize("base", ["bits", "grey", "reals"])
def test_the_mean_has_a_gradient(base):
    """Through what is drawn, too, where that is continuous: a loop that ends when it may has none."""
    vae = vae_of(Autoregressive(NETS["MADE"], BASES[base][0]), (3, 4))
    slopes = run(jax.grad(lambda values: p_x(vae, values, jnp.ones((5, 2))).mean.sum()), wild(vae, 0.4))
    sizes = jax.tree.map(lambda leaf: float(np.abs(leaf).max()), slopes["likelihood$net$params"])
    assert all(0 < size < np.inf for size in jax.tree.leaves(sizes))


@jax.tree_util.register_static
@dataclass(frozen=True)
class Neighbour:
    """Bits that look at the one before them by ``gain``, and say at each pass that they were asked."""

    asked: Callable[[], None]
    gain: float
    support = constraints.boolean

    def __call__(self, x, h):
        jax.debug.callback(self.asked)
        before = jnp.pad(x, ((0, 0), (1, 0)))[:, :-1]
        return BernoulliLogits(self.gain * (before - 0.5) + h[..., 0])


@pytest.mark.parametrize(
    ("gain", "size", "most"), [(0.2, 400, 12), (80.0, 20, 20)], ids=["hardly", "a copy"]
)
def test_bits_take_few_passes_and_never_more_than_there_are(gain, size, most):
    passes = []
    neighbour = Neighbour(lambda: passes.append(1), gain)
    h = jnp.zeros((1, size, 1)).at[:, 0].set(gain)  # the first is 1 where others copy it
    x = distributions.Autoregressive(neighbour, h, event_dim=1).sample(KEY, (8,))
    jax.effects_barrier()
    assert 2 <= len(passes) <= most
    assert (np.asarray(x) == 1).all() == (gain > 1)


@pytest.fixture(scope="module")
def pairs():
    """Bits that agree with their left neighbour, whatever z is: 2 log 2 nats a datum."""
    left = np.asarray(jax.random.bernoulli(KEY, 0.5, (256, 2, 1)), np.float32)
    return np.concatenate([left, left], axis=2)


@pytest.fixture(scope="module")
def fitted(pairs):
    vae = vae_of(Autoregressive(nets.MaskedConv((8,), 3)))
    return fit(
        vae, pairs, rng_key=KEY, epochs=60, batch_size=64, optimizer=optax.adam(1e-2), progress=False
    )


def test_it_learns_what_the_code_does_not_say(fitted, pairs):
    bound = fitted.log_prob(pairs, rng_key=KEY, num_particles=20)
    assert bound.mean == pytest.approx(-2 * np.log(2), abs=0.1)
    assert fitted.elbo(pairs, rng_key=KEY, num_particles=20).mean <= bound.mean + 1e-3
    drawn = np.asarray(fitted.sample(200, rng_key=KEY).x)
    assert (drawn[..., 0] == drawn[..., 1]).mean() > 0.95
    assert np.isnan(fitted.history.steps["scale_x"]).all()  # not known, and said so


@pytest.mark.slow
def test_fitted_vae_reconstructs_interpolates_and_comes_back_from_a_file(fitted, pairs, tmp_path):
    for image in (fitted.reconstruct(pairs[:3]), fitted.reconstruct(pairs[:3], rng_key=KEY)):
        assert image.shape == (3, 2, 2)
        assert bool(((image >= 0) & (image <= 1)).all())
    path = fitted.interpolate(pairs[0], pairs[1], num_points=4)
    np.testing.assert_allclose(path[0], fitted.reconstruct(pairs[:1])[0], rtol=1e-4)
    p = fitted.decode(jnp.zeros((2, 2)))
    assert p.sample(KEY, (5,)).shape == (5, 2, 2, 2)
    fitted.save(tmp_path / "a.safetensors")
    again = load(tmp_path / "a.safetensors", fitted.vae)
    np.testing.assert_array_equal(
        again.decode(jnp.zeros((2, 2))).log_prob(pairs[:2]), p.log_prob(pairs[:2])
    )
    drawn = Predictive(fitted.model, num_samples=6)(KEY)
    assert drawn["x"].shape == (6, 1, 2, 2)


def test_terms_are_the_distributions(fitted, pairs):
    vae = fitted.vae.eval()
    read = run(lambda values: terms(KEY, values, vae.model, vae.guide, pairs[:4]), fitted.values)
    assert read.log_likelihood.shape == (4,)
    with pytest.raises(
        ValueError, match="a mask needs a likelihood that factorises .* got Autoregressive"
    ):
        fit(fitted.vae, Batch(pairs, mask=np.ones_like(pairs)), rng_key=KEY, epochs=1, progress=False)


ERRORS = {
    "a net that is not masked": (
        lambda: Autoregressive(nets.MLP()), TypeError, r"masked net.*MADE.*sum to 1; got MLP"),
    "a class": (lambda: Autoregressive(nets.MADE), TypeError, "expects a function.*Call it: MADE"),
    "nested": (
        lambda: Autoregressive(nets.MADE(), Autoregressive(nets.MADE())), ValueError, "density of single entries"),
    "coupled": (
        lambda: Autoregressive(nets.MADE(), likelihoods.Poisson(likelihoods.LibrarySize())), ValueError,
        "density of single entries"),
    "columns": (
        lambda: Autoregressive(nets.MADE(), likelihoods.Joint(a=(2, Gaussian()))), ValueError, "density of single entries"),
    "a kept quantity": (
        lambda: vae_of(Autoregressive(nets.MADE(), Gaussian(scale=likelihoods.OptimalScale()))), ValueError,
        "without a training-set quantity; Gaussian has .*LearnedScale"),
    "colours": (
        lambda: vae_of(Autoregressive(nets.MaskedConv()), (2, 2, 3)), ValueError,
        r"MaskedConv expects images of one channel; got event_shape=\(2, 2, 3\).*MADE"),
    "a vector": (lambda: vae_of(Autoregressive(nets.MaskedConv()), (4,)), ValueError, r"event_shape=\(4,\).*MADE"),
    "no features": (lambda: Autoregressive(nets.MADE(), features=0), ValueError, r"features=...\) .*positive integer; got 0"),
    "no draws": (lambda: Autoregressive(nets.MADE(), mean_draws=0), ValueError, r"mean_draws=...\) .*positive integer; got 0"),
    "even kernel": (lambda: nets.MaskedConv(kernel=4), ValueError, "odd side >= 3; got 4"),
    "no layers": (lambda: nets.MaskedConv(()), ValueError, r"at least one layer.*got \(\)"),
    "an encoder that is masked": (
        lambda: vae_of(likelihoods.Bernoulli(), encoder=nets.MADE()), ValueError, r"MADE expects a vector.*\(2, 2\).*nets.MLP"),
    "an encoder of masked convolutions": (
        lambda: vae_of(likelihoods.Bernoulli(), encoder=nets.MaskedConv()), ValueError, "MaskedConv expects an image.*nets.Conv"),
    "an encoder that is told a mask": (
        lambda: vae_of(Autoregressive(nets.MADE()), encode_mask=True), ValueError,
        "encode_mask=True needs .* got Autoregressive.*encode_mask=False"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=f"(?s){message}"):
        call()
