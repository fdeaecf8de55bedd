"""ArviZ takes what we make, and the numbers in it are the oracle's."""

import jax
import numpy as np
import oracle
import pytest

from probvae import Fitted, History, to_datatree
from probvae.criticism import events

pytest.importorskip("arviz_base", reason="arviz-base is not installed: pip install 'probvae[arviz]'")


@pytest.fixture(scope="module")
def tree():
    x = oracle.dataset().astype(np.float32)
    values = jax.tree.map(
        lambda a: jax.numpy.asarray(a, float), oracle.params(*oracle.optimum(oracle.dataset()))
    )
    fitted = Fitted(oracle.vae(), values, History({}, {}, {}))
    return fitted, x[:6], to_datatree(fitted, x[:6], rng_key=jax.random.key(0), num_samples=100)


def test_dimensions_have_names(tree):
    _, _, tree = tree
    assert tree["posterior"]["z"].dims == ("chain", "draw", "datum", "latent")
    assert tree["posterior"].sizes["chain"] == 4
    assert tree["observed_data"]["x_0"].dims == ("datum",)
    assert tree["log_prior"]["z"].dims == ("chain", "draw", "datum")
    assert tree["log_likelihood"]["x_given_z"].dims == ("chain", "draw", "datum")
    assert set(tree.children) == {
        "posterior", "posterior_predictive", "prior", "prior_predictive", "observed_data",
        "log_prior", "log_likelihood", "sample_stats"
    }  # fmt: skip


def test_numbers_are_the_oracles(tree):
    fitted, x, tree = tree
    q = fitted.encode(x)
    z = tree["posterior"]["z"]
    np.testing.assert_allclose(
        z.mean(("chain", "draw")), q.mean, atol=4 * float(q.variance.max() ** 0.5) / 20
    )
    truth = oracle.log_prob(x.astype(float), *oracle.optimum(oracle.dataset()))
    np.testing.assert_allclose(
        tree["sample_stats"]["log_weight"].mean(("chain", "draw")), truth, atol=1e-3
    )
    assert abs(float(tree["prior"]["z"].std()) - 1) < 0.1


def test_statistics_are_the_oracles(tree):
    """The exact posterior: equal weights, and log p(x) = ELBO on average over draws."""
    fitted, x, tree = tree
    stats = tree["sample_stats"]
    assert np.all(stats["k_hat"].values == -np.inf)
    truth = oracle.log_prob(x.astype(float), *oracle.optimum(oracle.dataset()))
    np.testing.assert_allclose(stats["elbo"].mean(("chain", "draw")), truth, atol=0.4)
    parts = tree["log_likelihood"]["x_given_z"] - stats["kl"]
    np.testing.assert_allclose(stats["elbo"], parts, rtol=1e-5)


def test_predictive_groups_are_draws_of_x(tree):
    """From the prior they have the data's covariance, W W' + s^2 I; from the posterior less."""
    fitted, _, tree = tree
    drawn = events(tree["prior_predictive"]).reshape(-1, 10)
    weights, mu, variance = oracle.optimum(oracle.dataset())
    np.testing.assert_allclose(drawn.mean(0), mu, atol=0.6)
    expected = np.diag(weights @ weights.T) + variance
    np.testing.assert_allclose(drawn.var(0), expected, rtol=0.15)
    given = events(tree["posterior_predictive"]).std((0, 1)).mean()
    assert 0.9 * variance**0.5 < float(given) < 1.3 * variance**0.5


def test_it_saves_as_netcdf(tree, tmp_path):
    import xarray

    _, _, tree = tree
    tree.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    back = xarray.open_datatree(tmp_path / "fit.nc", engine="h5netcdf")
    np.testing.assert_array_equal(back["posterior"]["z"], tree["posterior"]["z"])
    back.close()
