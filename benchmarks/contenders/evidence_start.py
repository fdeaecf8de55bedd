"""Fit briefly and store the fit: every contender of the log_prob benchmark scores these weights.

``evidence_start.py IMAGES STORE PRIOR`` writes STORE (for ``probvae.load``) and STORE.npz (plain).
"""

import json
import sys

import evidence_ours
import jax
import numpy as np

from probvae import fit


def main() -> None:
    path, store, prior = sys.argv[1:]
    images = np.load(path)
    fitted = fit(evidence_ours.vae(prior), images, rng_key=jax.random.key(0), epochs=2, progress=False)
    fitted.save(store)
    layers = {"encode": ("encoder", 0), "code": ("encoder", 1), "decode": ("decoder", 0)}
    layers["logits"] = ("decoder", 1)
    plain = {name: _layer(fitted.params, *at) for name, at in layers.items()}
    code = [_apart(a) for a in plain["code"]]
    np.savez(f"{store}.npz", **_flat({**plain, "code": code}))
    print(json.dumps({"peak": 0}))


def _layer(params: dict, role: str, index: int) -> list[np.ndarray]:
    layer = params[f"{role}$params"]["layers"][index]
    while "kernel" not in layer:  # a layer with its activation, or the linear layer itself
        (layer,) = (part for part in layer.values() if isinstance(part, dict))
    return [np.asarray(layer["kernel"]), np.asarray(layer["bias"])]


def _apart(a: np.ndarray) -> np.ndarray:
    """Put the means before the log scales: the encoder gives them in pairs."""
    return np.concatenate([a[..., 0::2], a[..., 1::2]], axis=-1)


def _flat(layers: dict) -> dict:
    return {f"{name}{i}": a for name, pair in layers.items() for i, a in enumerate(pair)}


if __name__ == "__main__":
    main()
