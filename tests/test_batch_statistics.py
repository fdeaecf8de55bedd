"""BatchNorm: a batch of one row is refused where nothing is left of it."""

import jax
import numpy as np
import pytest
from flax import nnx
from parts import LinenNet
from test_threads import KEY, X, fitted_to, small

from probvae import VAE, likelihoods, nets, sweep

NET = nets.MLP((4,), norm=nnx.BatchNorm)
REFUSED = {
    "encoder": {"encoder": NET},
    "decoder": {"decoder": NET},
    "a module of linen": {"encoder": nets.Linen(LinenNet)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_one_row_per_batch_is_refused(name):
    with pytest.raises(ValueError, match="BatchNorm in the .*batch_size=20 or more.*nnx.LayerNorm"):
        fitted_to(small(**REFUSED[name]), batch_size=1)


def test_a_sweep_refuses_it_too():
    told = {"epochs": 1, "batch_size": 1, "progress": False}
    with pytest.raises(ValueError, match="BatchNorm in the encoder"):
        sweep(small(encoder=NET), X, validation=X, rng_keys=[KEY], **told)


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        ({"encoder": NET}, {"batch_size": 2}),
        ({"encoder": nets.MLP((4,), norm=nnx.LayerNorm)}, {"batch_size": 1}),
    ],
    ids=["two rows", "layer norm"],
)
def test_what_the_error_advises_works(parts, options):
    fitted = fitted_to(small(**parts), **options)
    assert np.isfinite(fitted.elbo(X, rng_key=KEY).mean)


class Pixels(nnx.Module):
    """A user's net that normalises over rows and pixels."""

    def __init__(self, in_shape, out_shape, *, rngs):
        self.conv = nnx.Conv(1, 2, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(2, rngs=rngs)
        self.last = nnx.Linear(32, int(np.prod(out_shape)), rngs=rngs)
        self.out_shape = out_shape

    def __call__(self, x):
        h = jax.nn.relu(self.norm(self.conv(x[..., None])))
        return self.last(h.reshape(len(x), -1)).reshape(len(x), *self.out_shape)


def test_one_image_per_batch_keeps_its_pixels():
    likelihood = likelihoods.Gaussian()
    vae = VAE(event_shape=(4, 4), latent_dim=2, encoder=Pixels, likelihood=likelihood)
    fitted_to(vae, np.random.default_rng(0).normal(size=(4, 4, 4)), batch_size=1)


def test_a_net_that_is_held_uses_its_running_averages():
    vae = small(encoder=NET)
    start = fitted_to(vae, batch_size=6).values
    fitted_to(vae, batch_size=1, freeze=("encoder",), init_params=start)
