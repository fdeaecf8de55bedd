"""Under `jax_enable_x64` everything is in double precision: a mixture of dtypes has the digits of the worse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx
from pairs import SHAPE, guide_of, joined, rows, tiny

from probvae import VAE, Batch, data, fit, likelihoods, nets, priors
from probvae.objectives import MultiRate
from probvae.tracing import trace_structure
from probvae.training.initial_values import initial_values

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture(autouse=True)
def _forget_structures():
    """A structure is kept by its VAE, whatever precision it was found in."""
    trace_structure.cache_clear()
    yield
    trace_structure.cache_clear()


def dtypes(tree):
    return {
        str(leaf.dtype) for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)
    }


def check(vae):
    found = trace_structure(vae)
    assert dtypes((found.params, found.state)) <= {"float64"}


@pytest.mark.parametrize("name", registry.PRIORS)
def test_priors_are_in_double_precision(name):
    check(joined(name, guide_of(name)))


@pytest.mark.parametrize("name", registry.LIKELIHOODS)
def test_likelihoods_are_in_double_precision(name):
    vae = tiny(likelihood=registry.LIKELIHOODS[name]())
    check(vae)
    x = np.asarray(rows(vae.likelihood), np.float64)
    assert dtypes(initial_values(vae, Batch(x), data.Cast())) <= {"float64"}


@pytest.mark.parametrize("name", registry.NETS)
def test_nets_are_in_double_precision(name):
    encoder, decoder = registry.NETS[name]()
    if name != "user's built module":
        check(VAE(event_shape=(8, 8), latent_dim=2, encoder=encoder, decoder=decoder))


def test_a_fit_has_one_dtype_and_no_warning():
    net = nets.MLP((4,), norm=nnx.BatchNorm)
    vae = tiny(encoder=net, likelihood=likelihoods.Gaussian(), prior=priors.VampPrior(2))
    x = np.random.default_rng(0).normal(size=(20, *SHAPE))
    start = vae.prior.start_at(x, rng_key=jax.random.key(1))
    fitted = fit(
        vae, x, rng_key=jax.random.key(0), init_params=start, epochs=1, batch_size=10, progress=False
    )
    assert dtypes(fitted.values) == {"float64"}
    assert np.isfinite(fitted.history.train["elbo"]).all()


def test_multi_rates_context_is_in_double_precision():
    assert MultiRate().query_context(None, 3).dtype == np.float64
