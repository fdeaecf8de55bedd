"""``probvae.fit`` where one size grows: ``scaled.py AXIS VALUE EPOCHS``; seconds and FLOP of a step.

Random binary images; the gated work of ``vampprior.py`` in small, and of it the AXIS has the VALUE.
FLOP are those of the matrix products alone, forward and twice that backward; the machine's rate of
such products is measured in the same process.
"""

import json
import os
import sys

import jax
import numpy as np
import reporting
from machine import rate

from probvae import VAE, fit, nets, objectives, priors
from probvae.tracing import trace_structure

SIZES = {"N": 2_000, "pixels": 784, "latents": 40, "components": 1, "particles": 1, "batch": 100}
HIDDEN = (300, 300)


def flop(vae: VAE, size: dict[str, int]) -> float:
    """Return FLOP of a step's matrix products: nets by rows, and the mixture's densities."""
    weights = {
        role: sum(leaf.size for leaf in jax.tree.leaves(params) if leaf.ndim == 2)
        for role, params in trace_structure(vae).params.items()
    }
    mixed = size["components"] * (size["components"] > 1)
    rows = size["batch"] * size["particles"]
    products = weights["encoder$params"] * (size["batch"] + mixed)
    products += weights["decoder$params"] * rows + 2 * rows * mixed * size["latents"]
    return 3 * 2.0 * products


def main() -> None:
    axis, value, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    size = {**SIZES, axis: value}
    x = np.random.default_rng(0).integers(0, 2, (size["N"], size["pixels"]), np.uint8)
    net = nets.GatedMLP(HIDDEN)
    mixture = priors.VampPrior(components=size["components"])
    vae = VAE(
        event_shape=(size["pixels"],),
        latent_dim=size["latents"],
        prior=mixture if size["components"] > 1 else priors.StandardNormal(),
        encoder=net,
        decoder=net,
    )
    many = size["particles"] > 1
    clock = reporting.Clock()
    fit(
        vae,
        x,
        objective=objectives.IWAE(size["particles"]) if many else objectives.ELBO(),
        rng_key=jax.random.key(0),
        epochs=epochs,
        batch_size=size["batch"],
        callbacks=(lambda _: clock.tick(),),
        progress=False,
    )
    steps = size["N"] // size["batch"]
    found = {"seconds": float(np.median(clock.seconds[0][1:])) / steps, "epoch_steps": steps}
    found |= {"compile": clock.seconds[0][0], "peak": reporting.peak_mib()}
    print(json.dumps({**found, "flop": flop(vae, size), "rate": rate()}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
