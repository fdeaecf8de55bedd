"""Files that an earlier version saved, with other class names, still load."""

from pathlib import Path

import jax
import numpy as np
import pytest

from probvae import VAE, likelihoods, load, nets

FOLDER = Path(__file__).parent / "data" / "saved_before_renaming"
MLP = nets.MLP((4,))


def conv_vae(decoder):
    bits = likelihoods.Bernoulli()
    return VAE(
        event_shape=(8, 8), latent_dim=2, encoder=nets.Conv((2,)), decoder=decoder, likelihood=bits
    )


def test_an_earlier_fit_has_the_same_elbo():
    fitted = load(
        FOLDER / "fit.safetensors", VAE(event_shape=(6,), latent_dim=2, encoder=MLP, decoder=MLP)
    )
    expected = np.load(FOLDER / "expected.npz")
    elbo = fitted.elbo(expected["x"], num_particles=2, rng_key=jax.random.key(1)).value
    np.testing.assert_allclose(elbo, expected["elbo"], rtol=1e-6)
    assert fitted.history.num_epochs == 2
    assert {"loss", "bound", "kl", "log_likelihood", "elbo"} <= set(fitted.history.train)


def test_a_renamed_class_loads_under_its_new_name():
    fitted = load(FOLDER / "fit_conv.safetensors", conv_vae(nets.ConvDecoder((2,))))
    assert fitted.history.num_epochs == 1
    assert fitted.decode(np.zeros((1, 2))).mean.shape == (1, 8, 8)


def test_an_error_names_the_old_and_the_new_class():
    with pytest.raises(
        ValueError, match=r"decoder is ConvTranspose \(now ConvDecoder\) in the file and MLP"
    ):
        load(FOLDER / "fit_conv.safetensors", conv_vae(MLP))
