"""``probvae.fit`` without comforts, with all of them at their defaults, or with an average, too."""

import sys
import tempfile
from pathlib import Path

import jax
import reporting
from sizes import BATCH, HIDDEN, LATENT

from probvae import (
    VAE,
    Checkpoints,
    EarlyStopping,
    MovingAverage,
    SkipBatch,
    callbacks,
    fit,
    nets,
)


def comforts(folder: Path) -> dict:
    """Return all that a run can be kept, watched and ended by, at its defaults."""
    return {
        "early_stopping": EarlyStopping(),
        "checkpoints": Checkpoints(folder / "checkpoints"),
        "recovery": SkipBatch(),
        "progress": True,
    }


def main() -> None:
    images, epochs = reporting.arguments()
    compiled = reporting.Compilations()
    net = nets.MLP((HIDDEN,), activation=jax.nn.softplus)
    vae = VAE(event_shape=(28, 28), latent_dim=LATENT, encoder=net, decoder=net)
    images = images.reshape(-1, 28, 28)
    with tempfile.TemporaryDirectory() as folder:
        clock, written = reporting.Clock(), callbacks.JSONLines(Path(folder) / "metrics.jsonl")
        logged = (lambda _: clock.tick(),)
        told = {
            "none": {"callbacks": logged, "progress": False},
            "all": {"callbacks": (written, *logged), **comforts(Path(folder))},
        }
        told["average"] = {**told["all"], "average": MovingAverage()}
        fitted = fit(
            vae,
            images,
            validation=images[:1_000],
            rng_key=jax.random.key(0),
            epochs=epochs,
            batch_size=min(BATCH, len(images)),
            **told[sys.argv[3]],
        )
    reporting.report(clock, fitted.history.train["elbo"][-1], compiled.of("epoch"))


if __name__ == "__main__":
    main()
