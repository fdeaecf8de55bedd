"""``probvae.fit`` of convolutional nets on images 28 x 28: ``convolved.py NET WHOSE IMAGES EPOCHS``.

WHOSE convolution: ``ours``, or ``own``, JAX's, put in its place.
"""

import sys

import jax
import numpy as np
import reporting

from probvae import VAE, fit, likelihoods, nets
from probvae.nets import fast_convolution

NETS = {
    "Conv": {"encoder": nets.Conv(), "decoder": nets.ConvDecoder()},
    "ResNet": {"encoder": nets.ResNet(), "decoder": nets.ResNetDecoder()},
    "GatedConv": {"encoder": nets.GatedConv(), "decoder": nets.GatedConvDecoder((300,), (32, 32))},
    "MaskedConv": {"likelihood": likelihoods.Autoregressive(nets.MaskedConv((16, 16)), features=4)},
}


def main() -> None:
    net, whose, images, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if whose == "own":
        fast_convolution.convolve = jax.lax.conv_general_dilated
    x = np.random.default_rng(0).integers(0, 2, (images, 28, 28), np.uint8)
    clock = reporting.Clock()
    fitted = fit(
        VAE(event_shape=(28, 28), latent_dim=40, **NETS[net]),
        x,
        rng_key=jax.random.key(0),
        epochs=epochs,
        batch_size=100,
        callbacks=(lambda _: clock.tick(),),
        progress=False,
    )
    reporting.report(clock, float(fitted.history.train["elbo"][0]), None)


if __name__ == "__main__":
    main()
