"""What a training of convolutional nets takes with our convolution, and with JAX's own in its place.

Random binary images, batch 100, float32. The ELBO of the first epoch must be the same to rounding.
"""

import sys
from functools import partial

import harness

NETS = ("Conv", "ResNet", "GatedConv", "MaskedConv")
HEAD = ["nets", "s per step, JAX's", "s per step, ours", "times as fast", "first epoch, s, JAX's, ours"]
HEAD += ["peak MiB, JAX's, ours", "ELBO, JAX's, ours"]


def main() -> None:
    asked = harness.options(__doc__, rounds=1, epochs=3, images=200).parse_args()
    rows = []
    for net in NETS:
        runs = {
            whose: partial(
                harness.run, sys.executable, "convolved", net, whose, asked.images, asked.epochs
            )
            for whose in ("own", "ours")
        }
        found = harness.interleaved(runs, asked.rounds)
        base, ours = (harness.times(found[whose], found["ours"]) for whose in ("own", "ours"))
        both = [found["own"][0], found["ours"][0]]
        steps = asked.images // 100
        cells = [f"{base['seconds'] / steps:.3f}", f"{ours['seconds'] / steps:.3f}"]
        cells += [f"{base['ratio']:.1f}", ", ".join(f"{run['seconds'][0]:.1f}" for run in both)]
        cells += [", ".join(f"{run['peak']:.0f}" for run in both)]
        rows.append([net, *cells, ", ".join(f"{run['nats']:.4f}" for run in both)])
    harness.publish("convolutions", harness.table(HEAD, rows), write=asked.write)


if __name__ == "__main__":
    main()
