"""ArviZ takes what we make, and the numbers in it are the oracle's."""

import jax
import numpy as np
import oracle
import pytest

from probvae import Fitted, History, to_datatree

pytest.importorskip("arviz_base", reason="arviz-base is not installed: pip install 'probvae[arviz]'")


@pytest.fixture(scope="module")
def tree():
    x = oracle.dataset().astype(np.float32)
    values = jax.tree.map(
        lambda a: jax.numpy.asarray(a, float), oracle.params(*oracle.optimum(oracle.dataset()))
    )
    fitted = Fitted(oracle.vae(), values, History({}, {}, {}))
    return fitted, x[:6], to_datatree(fitted, x[:6], rng_key=jax.random.key(0), num_samples=400)


def test_dimensions_have_names(tree):
    _, _, tree = tree
    assert tree["posterior"]["z"].dims == ("sample", "datum", "latent")
    assert tree["observed_data"]["x"].dims == ("datum", "x_dim_0")
    assert tree["log_likelihood"]["x"].dims == ("sample", "datum")
    assert set(tree.children) == {
        "posterior", "posterior_predictive", "prior", "observed_data", "log_likelihood", "sample_stats"
    }  # fmt: skip


def test_numbers_are_the_oracles(tree):
    fitted, x, tree = tree
    q = fitted.encode(x)
    z = tree["posterior"]["z"]
    np.testing.assert_allclose(z.mean("sample"), q.mean, atol=4 * float(q.variance.max() ** 0.5) / 20)
    truth = oracle.log_prob(x.astype(float), *oracle.optimum(oracle.dataset()))
    np.testing.assert_allclose(tree["sample_stats"]["log_weight"].mean("sample"), truth, atol=1e-3)
    assert abs(float(tree["prior"]["z"].std()) - 1) < 0.1


def test_it_saves_as_netcdf(tree, tmp_path):
    import xarray

    _, _, tree = tree
    tree.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    back = xarray.open_datatree(tmp_path / "fit.nc", engine="h5netcdf")
    np.testing.assert_array_equal(back["posterior"]["z"], tree["posterior"]["z"])
    back.close()
