"""Ranks of z* under guides that are exact, shifted, narrowed and widened by known factors."""

import sys
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import test_rotated_oracle as rotated
from numpyro import handlers
from scipy import stats

from probvae import VAE, Fitted, History, guides, nets, priors
from probvae.criticism import sbc
from probvae.criticism.posterior import calibration
from probvae.criticism.posterior.uniformity import measure_symmetry, measure_uniformity

KEY = jax.random.key(0)
N, DRAWS = 3000, 250
GUIDES = {
    "exact": (1.0, 0.0),
    "narrow": (0.5, 0.0),
    "wide": (2.0, 0.0),
    "shifted": (1.0, -0.5),
    "shifted and narrow": (0.5, 0.3),
}


def fitted(scale, moved):
    """The posterior's normal, its scale times ``scale``, its mean moved by so many of its scales."""
    weights, mu, variance = oracle.optimum(oracle.dataset())
    values = oracle.params(weights, mu, variance, scale=scale)
    posterior = variance * np.linalg.inv(weights.T @ weights + variance * np.eye(3))
    bias = values["encoder$params"]["layers"][0]["bias"].reshape(3, 2)
    bias[:, 0] += moved * np.sqrt(np.diag(posterior))
    return Fitted(oracle.vae(), jax.tree.map(jnp.float32, values), History({}, {}, {}))


@lru_cache
def whole(name):
    return sbc(fitted(*GUIDES[name]), rng_key=KEY, num_data=N, num_draws=DRAWS)


def found(name):
    return whole(name).sites["z"]


def closed_form(name, u):
    """P(q(z <= z*) <= u), z* = m + e, q = Normal(m + moved, scale^2), e ~ Normal(0, 1)."""
    scale, moved = GUIDES[name]
    return stats.norm.cdf(scale * stats.norm.ppf(u) + moved)


@pytest.mark.parametrize("name", GUIDES)
def test_ranks_follow_their_closed_form(name):
    pit = found(name).pit
    assert pit.shape == (N, 3)
    at = np.linspace(0.05, 0.95, 19)  # at the ends so few draws smooth the narrow guide's peaks
    share = (pit[:, :, None] <= at).mean(0)
    want = closed_form(name, at)
    assert (np.abs(share - want) < 4 * np.sqrt(want * (1 - want) / N) + 1 / DRAWS).all()


@pytest.mark.parametrize("name", GUIDES)
def test_coverage_follows_its_closed_form(name):
    levels = np.array(calibration.LEVELS)
    want = closed_form(name, (1 + levels) / 2) - closed_form(name, (1 - levels) / 2)
    noise = np.sqrt(want * (1 - want) / N)
    got = found(name).coverage
    assert (np.abs(got - want[:, None]) < 4 * noise[:, None] + 2 / DRAWS).all()
    if name == "exact":
        np.testing.assert_allclose(want, levels)


@pytest.mark.parametrize("name", GUIDES)
def test_effects_are_in_posterior_standard_deviations(name):
    scale, moved = GUIDES[name]
    np.testing.assert_allclose(found(name).shift, -moved, atol=4 / np.sqrt(N) + 0.01)
    np.testing.assert_allclose(found(name).spread, 1 / scale, rtol=4 / np.sqrt(2 * N) + 0.01)


def test_only_what_is_off_is_far_from_its_law():
    uniform = {name: found(name).uniformity_p_value.min() for name in GUIDES}
    symmetric = {name: found(name).symmetry_p_value.min() for name in GUIDES}
    assert uniform["exact"] > 1e-3
    assert max(uniform[name] for name in ("narrow", "wide", "shifted")) < 1e-6
    assert min(symmetric[name] for name in ("exact", "narrow", "wide")) > 1e-3
    assert symmetric["shifted"] < 1e-6


def test_shapes():
    """A guide too narrow has a U, one too wide a hump, one too low its mass on the right."""
    ends, middle = {}, {}
    for name in GUIDES:
        counts = np.histogram(found(name).pit, bins=10, range=(0, 1))[0]
        ends[name], middle[name] = counts[[0, -1]].sum(), counts[[4, 5]].sum()
    assert ends["narrow"] > 2 * middle["narrow"]
    assert middle["wide"] > 2 * ends["wide"]
    assert found("shifted").pit.mean() > 0.6


def test_ranks_are_uniform_integers():
    rank = found("exact").rank
    assert rank.min() == 0
    assert rank.max() == DRAWS
    np.testing.assert_array_equal(np.floor(found("exact").pit * (DRAWS + 1)), rank)


@pytest.mark.slow
def test_correlated_posterior_whole_and_by_its_margins():
    """FullRank is exact; the best mean-field guide is narrower than each margin, by its closed form."""
    guide, values = rotated.EXACT["FullRank"]
    options = {"rng_key": KEY, "num_data": 2000, "num_draws": 100}
    exact = sbc(rotated.fitted(guide, values()), **options).sites["z"]
    assert exact.uniformity_p_value.min() > 1e-3
    best = rotated.fitted(guides.MeanField(), rotated.best_mean_field())
    narrow = sbc(best, **options).sites["z"]
    covariance = rotated.posterior()[1]
    ratio = np.sqrt(np.diag(covariance) * np.diag(np.linalg.inv(covariance)))
    np.testing.assert_allclose(narrow.spread, ratio, rtol=0.1)
    assert narrow.uniformity_p_value.min() < 1e-6


def started(vae, *data):
    def values():
        found = {}
        for program in (vae.guide, vae.model):
            trace = handlers.trace(handlers.seed(program, jax.random.key(0))).get_trace(*data)
            found |= {name: site["value"] for name, site in trace.items() if site["type"] == "param"}
        return found

    return Fitted(vae, jax.jit(values)(), History({}, {}, {}))


def linear(**changes):
    return VAE(event_shape=(3,), latent_dim=2, encoder=nets.Linear(), decoder=nets.Linear(), **changes)


def test_ties_of_a_discrete_code_are_broken_at_random():
    """A decoder that says nothing: the posterior is the prior, and a guide that knows it is calibrated."""
    at = started(linear(prior=priors.Bernoulli(), posterior=guides.Bernoulli()), np.zeros((1, 3)))
    values = {name: jax.tree.map(jnp.zeros_like, value) for name, value in at.values.items()}
    site = sbc(at.with_values(values), rng_key=KEY, num_data=2000, num_draws=50).sites["z"]
    assert site.uniformity_p_value.min() > 1e-3
    np.testing.assert_allclose(site.spread, 1, rtol=0.1)


def test_a_hierarchy_has_its_sites_and_a_context_its_rows():
    vae = linear(
        prior=priors.TwoLevel(net=nets.Linear()), posterior=guides.TwoLevelTopDown(nets.Linear()),
        context_shape=(1,),
    )  # fmt: skip
    at = started(vae, np.zeros((1, 3)), np.zeros((1, 1)))
    rows = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    sites = sbc(at, rng_key=KEY, num_data=40, num_draws=20, context=rows).sites
    assert set(sites) == {"z1", "z2"}
    assert sites["z1"].coverage.shape == (3, 2)
    with pytest.raises(ValueError, match="one row for each of 30"):
        sbc(at, rng_key=KEY, num_data=30, context=rows)


def test_guides_that_give_one_code_have_no_spread():
    residual = np.array([[np.nan, 1.0], [np.nan, np.nan], [np.nan, 3.0]])
    site = calibration._calibrate_site(
        calibration.DrawRanks(np.zeros((3, 2), int), np.full((3, 2), 0.5), residual), (0.5,), 20
    )
    np.testing.assert_allclose(site.spread, [np.nan, np.sqrt(2)])
    np.testing.assert_allclose(site.shift, [np.nan, np.sqrt(2)])


def test_distances_and_their_p_values():
    """Against SciPy; and against simulation for symmetry."""
    u = np.random.default_rng(0).random((200, 400))
    distance, p_value = measure_uniformity(u**1.1)
    twin = [stats.kstest(column, "uniform") for column in (u**1.1).T]
    np.testing.assert_allclose(distance, [each.statistic for each in twin])
    np.testing.assert_allclose(p_value, [each.pvalue for each in twin], atol=0.01)
    bent = np.where(u < 0.5, u**2 * 2, 1 - 2 * (1 - u) ** 2)  # symmetric, not uniform
    for law in (u, bent):
        distance, p_value = measure_symmetry(law)
        assert stats.kstest(p_value, "uniform").statistic < 0.12
        grid = np.sort(np.concatenate([law[:, 0], 1 - law[:, 0]])) - 1e-12
        share = np.array([(law[:, 0] <= t).mean() - (1 - law[:, 0] <= t).mean() for t in grid])
        assert np.abs(share).max() == pytest.approx(distance[0])
    assert measure_uniformity(bent)[1].max() < 0.1
    assert np.median(measure_symmetry(u**1.3)[1]) < 0.2


@pytest.mark.slow
def test_arviz_draws_the_bands():
    plots = pytest.importorskip("arviz_plots")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    tree = calibration.to_datatree(whole("exact"))
    assert tree["prior_sbc"]["z"].dims == ("chain", "draw", "latent")
    drawn = plots.plot_ecdf_pit(tree)
    assert drawn.viz["figure"] is not None
    matplotlib.pyplot.close("all")


def test_wrong_input():
    at = fitted(1.0, 0.0)
    with pytest.raises(ValueError, match="at least 20 draws"):
        sbc(at, rng_key=KEY, num_draws=5)
    with pytest.raises(ValueError, match="num_data"):
        sbc(at, rng_key=KEY, num_data=0)
    for levels in ((), (0.5, 90.0)):
        with pytest.raises(ValueError, match=r"shares in \(0, 1\)"):
            sbc(at, rng_key=KEY, levels=levels)
    with pytest.raises(ValueError, match="PointMass"):
        sbc(Fitted(linear(posterior=guides.PointMass()), {}, at.history), rng_key=KEY)


def test_without_arviz(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r"probvae\[arviz\]"):
        calibration.to_datatree(calibration.Calibration({}, (0.5,), 1, 20))
