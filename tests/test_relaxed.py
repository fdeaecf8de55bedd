"""Relaxed codes: densities integrate to 1, draws have them, and the discrete parts take their weights."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest
from numpyro import handlers
from scipy import stats

from probvae import VAE, fit, guides, nets, priors
from probvae.distributions import ExpConcrete

KEY = jax.random.key(0)
LOGITS = jnp.array([0.3, -0.5, 1.0])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("t", [0.5, 1.0, 2.5])
def test_the_relaxed_categorical_integrates_to_one(t):
    """Over logits (a, b) of x_1 and x_2 against x_3: dy_1 dy_2 / x_3 = da db."""
    grid = np.linspace(-60, 60, 1201)
    a, b = np.meshgrid(grid, grid, indexing="ij")
    y = jax.nn.log_softmax(jnp.stack([a, b, np.zeros_like(a)], -1))
    area = (grid[1] - grid[0]) ** 2
    density = np.exp(ExpConcrete(LOGITS, t).log_prob(y))
    assert density.sum() * area == pytest.approx(1.0, abs=1e-4)


@pytest.mark.usefixtures("float64")
def test_of_two_classes_it_is_a_logistic_on_the_logit():
    q, t = ExpConcrete(LOGITS[:2], 0.7), 0.7
    logit = jnp.linspace(-9.0, 9.0, 11)
    y = jax.nn.log_softmax(jnp.stack([logit, jnp.zeros(11)], -1))
    twin = stats.logistic((0.3 + 0.5) / t, 1 / t)
    np.testing.assert_allclose(q.log_prob(y), twin.logpdf(logit), rtol=1e-6)
    drawn = q.sample(KEY, (20_000,))
    assert stats.kstest(drawn[:, 0] - drawn[:, 1], twin.cdf).pvalue > 1e-3


@pytest.mark.parametrize("t", [0.1, 2.0])
def test_the_largest_entry_has_the_categorical_frequencies(t):
    drawn = ExpConcrete(LOGITS, t).sample(KEY, (50_000,))
    assert bool(ExpConcrete.support(drawn).all())
    shares = np.bincount(drawn.argmax(-1), minlength=3) / 50_000
    expected = np.asarray(jax.nn.softmax(LOGITS))
    assert (np.abs(shares - expected) < 5 * np.sqrt(expected * (1 - expected) / 50_000)).all()


@pytest.mark.usefixtures("float64")
def test_its_centre_is_the_expectation_put_back_on_the_manifold():
    q = ExpConcrete(LOGITS, 0.7)
    drawn = np.asarray(q.sample(KEY, (400_000,)))
    error = drawn.std(0) / np.sqrt(len(drawn))
    centre = np.asarray(q.mean)
    np.testing.assert_array_less(
        np.abs((drawn.mean(0) - drawn.mean()) - (centre - centre.mean())), 6 * error
    )


def test_relaxed_bits_have_numpyros_density():
    """The site is the logit: its density is that of the bit times x (1 - x)."""
    t, p = 0.5, 0.3
    prior = priors.RelaxedBernoulli(p, temperature=t)
    net = nets.Linear()
    vae = VAE(event_shape=(2,), latent_dim=1, prior=prior, encoder=net, decoder=net)
    law = handlers.trace(handlers.seed(vae.model, 0)).get_trace()["z"]["fn"]
    twin = dist.RelaxedBernoulliLogits(jnp.array(t), jnp.log(p / (1 - p)))
    z = jnp.linspace(-5.0, 5.0, 9)[:, None]
    x = prior.code(z)[:, 0]
    np.testing.assert_allclose(
        law.log_prob(z[:, None])[:, 0], twin.log_prob(x) + jnp.log(x * (1 - x)), rtol=1e-4
    )
    drawn = prior.code(law.sample(KEY, (50_000,)))
    assert float((drawn > 0.5).mean()) == pytest.approx(p, abs=0.01)


PAIRS = {
    "bits": (priors.RelaxedBernoulli, guides.RelaxedBernoulli, priors.Bernoulli, guides.Bernoulli),
    "one of K": (
        priors.RelaxedCategorical, guides.RelaxedCategorical, priors.Categorical, guides.Categorical),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_discrete_parts_start_from_the_relaxed_ones(pair):
    prior, guide, hard_prior, hard_guide = PAIRS[pair]
    kinds = jax.random.bernoulli(KEY, 0.5, (200, 1))
    noise = jax.random.bernoulli(jax.random.key(1), 0.05, (200, 6))
    x = np.asarray(kinds ^ noise, np.float32)
    net = nets.MLP((8,))
    vae = VAE(
        event_shape=(6,), latent_dim=3, prior=prior(), posterior=guide(), encoder=net, decoder=net
    )
    options = {"rng_key": KEY, "batch_size": 50, "optimizer": optax.adam(1e-2), "progress": False}
    relaxed = fit(vae, x, epochs=60, **options)
    hard = replace(vae, prior=hard_prior(), posterior=hard_guide())
    warm = fit(hard, x, epochs=1, init_params=relaxed.params, **options)
    cold = fit(hard, x, epochs=1, **options)
    assert warm.history.train["elbo"][0] > cold.history.train["elbo"][0] + 0.5
    mean = relaxed.encode(x[:2]).mean
    np.testing.assert_allclose(relaxed.reconstruct(x[:2]), relaxed.decode(mean).mean)
    assert relaxed.sample(3, rng_key=KEY).x.shape == (3, 6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: priors.RelaxedBernoulli(1.0), "expects a number in \\(0, 1\\); got 1.0"),
        (lambda: priors.RelaxedCategorical(0.0), "RelaxedCategorical\\(temperature=...\\) expects"),
        (lambda: guides.RelaxedBernoulli(float("nan")), "finite number > 0; got nan"),
    ],
    ids=["probability", "zero temperature", "nan"],
)
def test_relaxed_parts_refuse_what_is_no_law(make, words):
    with pytest.raises(ValueError, match=words):
        make()
