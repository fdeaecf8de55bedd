"""``probvae.fit`` on the first rows of a file: ``streamed.py FILE EPOCHS (streamed|resident) ROWS``.

Beside the clock, the largest anonymous memory of the process (RssAnon), sampled through the run.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
import reporting
from sizes import BATCH, HIDDEN, LATENT

from probvae import VAE, fit, nets
from probvae.data import StreamedData


class Anonymous(threading.Thread):
    """The largest RssAnon so far, in MiB, sampled every 20 ms."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0.0

    def run(self) -> None:
        """Sample until the process ends."""
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            kib = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.most = max(self.most, kib / 1024)
            time.sleep(0.02)


def main() -> None:
    path, epochs, which, rows = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    memory = Anonymous()
    memory.start()
    mapped = np.load(path, mmap_mode="r")[:rows]
    data = StreamedData(mapped) if which == "streamed" else np.array(mapped)
    net = nets.MLP((HIDDEN,), activation=jax.nn.softplus)
    vae = VAE(event_shape=(28, 28), latent_dim=LATENT, encoder=net, decoder=net)
    clock = reporting.Clock()
    told = {"epochs": epochs, "batch_size": BATCH, "callbacks": (lambda _: clock.tick(),)}
    fitted = fit(vae, data, rng_key=jax.random.key(0), **told)
    wall, cpu = clock.seconds
    nats = fitted.history.train["elbo"][-1]
    found = {"seconds": wall, "cpu": cpu, "nats": nats, "anon": memory.most, "rows": rows}
    print(json.dumps({**found, "peak": reporting.peak_mib()}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
