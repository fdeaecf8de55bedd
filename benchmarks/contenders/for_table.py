"""``VAE.for_table`` on a CSV file: ``for_table.py FILE EPOCHS BATCH``."""

import json
import resource
import statistics
import sys
import time

import jax

from probvae import VAE, fit, recommend_training
from probvae.data import Table


def main() -> None:
    """Time the start (reading, compiling, the first epoch) and each further epoch."""
    path, epochs, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    start, start_cpu = time.perf_counter(), time.process_time()
    table = Table(path)
    variant = recommend_training(VAE.for_table(table), table)
    ticks: list[tuple[float, float]] = []

    def tick(_: object) -> None:
        ticks.append((time.perf_counter(), time.process_time()))

    fit(
        variant.vae,
        table,
        rng_key=jax.random.key(0),
        objective=variant.objective,
        optimizer=variant.optimizer,
        epochs=1 + epochs,
        batch_size=batch,
        callbacks=(tick,),
        progress=False,
    )
    pairs = list(zip(ticks[:-1], ticks[1:], strict=True))
    result = {
        "start": ticks[0][0] - start,
        "start cpu": ticks[0][1] - start_cpu,
        "epoch": statistics.median(after[0] - before[0] for before, after in pairs),
        "epoch cpu": statistics.median(after[1] - before[1] for before, after in pairs),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
