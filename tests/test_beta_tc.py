"""The three parts of the KL: exact mixtures, quadrature, and what is estimated from a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest
from oracle import close
from scipy.special import logsumexp
from scipy.stats import norm

from probvae import fit, guides, priors
from probvae.objectives import ELBO, BetaTC, MinibatchStratified, MinibatchWeighted
from probvae.objectives.beta_tc import aggregate

WEIGHTS = np.array([[1.0, 0.6], [0.0, 0.7], [0.5, 0.0]])
VAE = oracle.vae(3, 2)
PARAMS = jax.tree.map(jnp.float32, oracle.params(WEIGHTS, np.zeros(3), 0.8))
X = np.array([[2.0, 1.5, 0.2], [-1.2, 0.4, 0.6], [-1.5, -2.0, 0.3], [1.5, 2.0, 1.0]], np.float32)
KEY = jax.random.key(3)
FULL = [MinibatchWeighted(), MinibatchStratified(4)]


def read(objective):
    return jax.jit(lambda: objective.read(KEY, PARAMS, VAE.model, VAE.guide, X))()


def posterior():
    """Means and deviations of q(z|x) for the four data."""
    from numpyro import handlers

    guide = handlers.substitute(handlers.seed(VAE.guide, 0), PARAMS)
    q = handlers.trace(guide).get_trace(X)["z"]["fn"]
    return np.asarray(q.mean, float), np.sqrt(np.asarray(q.variance, float))


@pytest.mark.parametrize("sampling", FULL, ids=str)
def test_the_whole_data_set_as_the_batch_is_exact_for_each_draw(sampling):
    """log q(z) and log q(z_j) are then mixtures of four known normals, at the draws themselves."""
    m, s = posterior()
    rng = np.random.default_rng(0)
    z = m + s * rng.normal(size=m.shape)
    pairs = norm.logpdf(z[:, None], m, s)
    joint, units = aggregate(jnp.asarray(pairs), sampling.log_weights(4))
    np.testing.assert_allclose(joint, logsumexp(pairs.sum(-1), axis=1) - np.log(4), rtol=1e-5)
    by_unit = logsumexp(pairs, axis=1) - np.log(4)
    np.testing.assert_allclose(units, by_unit.sum(-1), rtol=1e-5)


@pytest.mark.parametrize("sampling", FULL, ids=str)
def test_each_part_is_right_against_quadrature(sampling):
    m, s = posterior()
    grid = np.linspace(-6, 6, 601)
    cell = (grid[1] - grid[0]) ** 2
    each = np.exp(norm.logpdf(grid[:, None, None], m, s))  # grid, datum, unit
    conditional = each[:, None, :, 0] * each[None, :, :, 1]
    q, (one, two) = conditional.mean(-1), each.mean(1).T
    product, p = one[:, None] * two, norm.pdf(grid)[:, None] * norm.pdf(grid)

    def expectation(weight, above, below):
        safe = np.where(weight > 0, np.log(np.maximum(above, 1e-300) / np.maximum(below, 1e-300)), 0)
        return float((weight * safe).sum() * cell)

    information = np.mean([expectation(conditional[..., k], conditional[..., k], q) for k in range(4)])
    want = (information, expectation(q, q, product), expectation(q, product, p))
    objective = BetaTC(sampling=sampling, num_particles=20_000)
    parts = objective.parts(read(objective), None)
    assert list(parts) == ["mutual_information", "total_correlation", "dimension_kl"]
    for got, truth in zip(parts.values(), want, strict=True):
        draws = np.asarray(got, float).mean(1)
        assert abs(draws.mean() - truth) < 4.5 * draws.std(ddof=1) / np.sqrt(len(draws))
        assert truth > 0.05


@pytest.mark.parametrize("sampling", [MinibatchWeighted(), MinibatchStratified(50)], ids=str)
def test_with_all_weights_one_it_is_the_sampled_elbo_for_any_batch(sampling):
    """The parts telescope: the same value and gradient, draw by draw."""
    both = []
    for objective in (BetaTC(1.0, sampling=sampling), ELBO(closed_form=False)):
        slope = jax.jit(
            jax.value_and_grad(lambda p, o=objective: o.loss(KEY, p, VAE.model, VAE.guide, X))
        )
        both.append(slope(PARAMS))
    close(*both, rtol=1e-4, atol=1e-5)


def test_each_weight_meets_its_own_part():
    found = read(BetaTC(1.0))
    parts = BetaTC(1.0).parts(found, None)
    base = BetaTC(0.0, alpha=0.0, gamma=0.0).bound(found, None)
    np.testing.assert_allclose(base, found.log_likelihood[0], rtol=1e-6)
    for name, weights in (
        ("mutual_information", {"beta": 0.0, "alpha": 2.0, "gamma": 0.0}),
        ("total_correlation", {"beta": 2.0, "alpha": 0.0, "gamma": 0.0}),
        ("dimension_kl", {"beta": 0.0, "alpha": 0.0, "gamma": 2.0}),
    ):
        cost = base - BetaTC(**weights).bound(found, None)
        np.testing.assert_allclose(cost, 2 * parts[name][0], rtol=1e-4, atol=1e-5)


def test_stratified_weights_are_unbiased_over_batches_and_sum_to_one():
    """The mean over all batches of 3 out of 5 that hold datum 0 is the mixture of all five."""
    from itertools import combinations

    density = np.array([0.7, 0.1, 0.4, 0.05, 0.9])
    weights = np.exp(np.asarray(MinibatchStratified(5).log_weights(3), float))
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    estimates = [weights[0] @ density[[0, *others]] for others in combinations(range(1, 5), 2)]
    assert np.mean(estimates) == pytest.approx(density.mean(), rel=1e-6)


def test_the_papers_weighted_sampling_is_too_high_by_its_constant():
    """W = 1/(N B): the total correlation exceeds ours, exact here, by (D - 1) log N."""
    log_q = jax.random.normal(KEY, (4, 4, 3))
    ours, papers = (
        np.subtract(*aggregate(log_q, w))
        for w in (MinibatchWeighted().log_weights(4), jnp.full((4, 4), -jnp.log(16.0)))
    )
    np.testing.assert_allclose(papers - ours, 2 * np.log(4), rtol=1e-5)


def test_a_fit_records_the_parts_and_a_dear_total_correlation_falls():
    x = oracle.dataset(100).astype(np.float32)[:, :3]
    last = {}
    for beta in (1.0, 30.0):
        fitted = fit(
            VAE, x, rng_key=KEY, objective=BetaTC(beta, sampling=MinibatchStratified(100)),
            optimizer=optax.adam(1e-2), epochs=60, batch_size=50, progress=False,
        )  # fmt: skip
        steps = fitted.history.steps
        total = steps["mutual_information"] + steps["total_correlation"] + steps["dimension_kl"]
        np.testing.assert_allclose(total, steps["kl"], rtol=1e-3, atol=1e-3)
        last[beta] = steps["total_correlation"][-40:].mean()
    assert last[30.0] < last[1.0] / 2


@pytest.mark.parametrize(
    ("changes", "objective", "message"),
    [
        pytest.param({"posterior": guides.FullRank()}, BetaTC(), "FullRank.*independent units.*MeanField", id="joint"),
        pytest.param(
            {"prior": priors.TwoLevel(), "posterior": guides.TwoLevelTopDown()}, BetaTC(),
            r"TwoLevel .*one latent site; got", id="sites",
        ),
        pytest.param({}, BetaTC(sampling=MinibatchStratified(3)), "at least the batch size 4; got 3.*num_data=len", id="num_data"),
    ],
)  # fmt: skip
def test_refusals(changes, objective, message):
    with pytest.raises(ValueError, match=message):
        fit(oracle.vae(3, 2, **changes), X, rng_key=KEY, objective=objective, epochs=1, batch_size=4)


def test_a_batch_of_one_is_refused():
    with pytest.raises(ValueError, match="got a batch of 1"):
        fit(VAE, X, rng_key=KEY, objective=BetaTC(), epochs=1, batch_size=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: BetaTC(-1.0), "BetaTC.beta=.*got -1.0", id="beta"),
        pytest.param(lambda: BetaTC(gamma=float("nan")), "gamma=.*got nan", id="gamma"),
        pytest.param(lambda: MinibatchStratified(1), "integer >= 2; got 1", id="num_data"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
