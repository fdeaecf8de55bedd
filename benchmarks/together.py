"""Time of a sweep in one program, beside one after the other, and beside as many calls of ``fit``.

The work of ``training.py`` on fewer images, from so many keys. A contender runs in this process, after
a round that compiles; what is shown is the time of ``--epochs`` epochs of all VAEs, start included.

    python benchmarks/together.py [--members 1 8 64] [--epochs 5] [--images 60000]
"""

import argparse
import time
from collections.abc import Callable

import harness
import jax
import optax
import training
from contenders.sizes import BATCH, HIDDEN, LATENT, LEARNING_RATE

from probvae import VAE, fit, nets, sweep

ADAM = optax.adam(LEARNING_RATE)  # one object: one program


def contenders(vae: VAE, images: object, members: int, epochs: int) -> dict[str, Callable]:
    """Return what trains so many VAEs, by name."""
    keys = list(jax.random.split(jax.random.key(0), members))
    told = {"validation": images[:BATCH], "epochs": epochs, "batch_size": BATCH, "optimizer": ADAM}
    told["progress"] = False
    return {
        "sweep, side by side": lambda: sweep(vae, images, rng_keys=keys, at_once=members, **told),
        "sweep, one by one": lambda: sweep(vae, images, rng_keys=keys, at_once=1, **told),
        "fit, one by one": lambda: [fit(vae, images, rng_key=key, **told) for key in keys],
    }


def seconds(train: Callable) -> float:
    """Return how long it takes, once it is compiled."""
    train()
    begun = time.perf_counter()
    train()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--images", type=int, default=60_000)
    told = parser.parse_args()
    net = nets.MLP((HIDDEN,), activation=jax.nn.softplus)
    vae = VAE(event_shape=(28, 28), latent_dim=LATENT, encoder=net, decoder=net)
    images = training.images(told.images).reshape(-1, 28, 28)
    rows, one = [], 0.0
    for members in told.members:
        found = contenders(vae, images, members, told.epochs)
        took = {name: seconds(train) for name, train in found.items()}
        one = one or took["fit, one by one"] / members
        rows += [[str(members), name, f"{s:.2f}", f"{s / one:.2f}"] for name, s in took.items()]
    head = ["VAEs", "how", "s", "ratio to one fit"]
    print(harness.stated(harness.table(head, rows)))
    print(f"device: {jax.devices()[0].device_kind}")


if __name__ == "__main__":
    main()
