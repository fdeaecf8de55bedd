"""Time of an epoch of several VAEs in one program, beside that of one: what ``jax.vmap`` of SVI gives.

The work of ``training.py``, from so many keys (``inference/together.py``). The first epoch of a run
compiles; what is shown is the mean of those after it.

    PYTHONPATH=. python benchmarks/together.py [--members 1 8 64] [--epochs 5]
"""

import argparse
import time

import harness
import jax
import optax
import training
from contenders.sizes import BATCH, HIDDEN, LATENT, LEARNING_RATE

from inference.together import trained_together
from probvae import VAE, nets, objectives
from probvae.data import Cast
from probvae.training.loop import Run


def seconds(run: Run, images: object, members: int, epochs: int) -> float:
    """Return the seconds of an epoch of so many VAEs, once the program is compiled."""
    keys = list(jax.random.split(jax.random.key(0), members))
    took = []
    for count in (1, 1, 1 + epochs):  # compile; start and one epoch; start and the rest
        begun = time.perf_counter()
        trained_together(run, images, images[:BATCH], keys, epochs=count, early_stopping=None)
        took.append(time.perf_counter() - begun)
    return (took[2] - took[1]) / epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--images", type=int, default=60_000)
    told = parser.parse_args()
    net = nets.MLP((HIDDEN,), activation=jax.nn.softplus)
    vae = VAE(event_shape=(28, 28), latent_dim=LATENT, encoder=net, decoder=net)
    run = Run(vae, objectives.ELBO(), optax.adam(LEARNING_RATE), Cast(), BATCH)
    images = training.images(told.images).reshape(-1, 28, 28)
    found = {n: seconds(run, images, n, told.epochs) for n in told.members}
    base = found[told.members[0]]
    rows = [[str(n), f"{s:.3f}", f"{s / base:.2f}", f"{s / n:.4f}"] for n, s in found.items()]
    print(harness.table(["VAEs", "s per epoch", "ratio", "s per epoch and VAE"], rows))
    print(f"device: {jax.devices()[0].device_kind}")


if __name__ == "__main__":
    main()
