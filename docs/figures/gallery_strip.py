"""The strip of the README: what eight models of the gallery draw, with their names."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from gallery_canvas import TEXT, draw_tiles
from matplotlib.figure import Figure

from probvae.runs import Run, open_run

COUNT, SEED = 10, 3


def _samples(run: Run, key: jax.Array) -> Any:
    return run.fitted.sample(COUNT, rng_key=key).mean


def _classes(run: Run, key: jax.Array) -> Any:
    z = jax.random.normal(key, (1, run.fitted.vae.latent_dim))
    return run.fitted.decode(np.tile(z, (10, 1)), np.eye(10, dtype=np.float32)).mean


def _clusters(run: Run, key: jax.Array) -> Any:
    return run.fitted.decode(np.asarray(run.fitted.params["prior$loc"])).mean


STRIP: dict[str, Callable[[Run, jax.Array], Any]] = {
    "vampprior": _samples,
    "mixture": _clusters,
    "conditional": _classes,
    "hierarchical": _samples,
    "flow_prior": _samples,
    "gaussian_vae": _samples,
    "spread": _samples,
    "ladder": _samples,
}


def read_tiles(name: str, folder: Path) -> dict[str, Any]:
    """Return the images of a model in the strip, for gallery.json. Other models have none."""
    if name not in STRIP:
        return {}
    images = np.asarray(STRIP[name](open_run(folder), jax.random.key(SEED)))
    bytes_ = np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)
    return {"tiles": {"shape": bytes_.shape, "bytes": base64.b64encode(bytes_.tobytes()).decode()}}


def draw(entries: dict[str, dict[str, Any]]) -> Figure:
    """Return the strip, from what gallery.json keeps."""
    figure = Figure(figsize=(6, 1.62), dpi=200, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.05, wspace=0.03, hspace=0.05)
    names = [name for name in STRIP if "tiles" in entries.get(name, {})]
    for axes, name in zip(figure.subplots(2, 4).ravel(), names, strict=False):
        tiles = entries[name]["tiles"]
        images = np.frombuffer(base64.b64decode(tiles["bytes"]), np.uint8).reshape(tiles["shape"])
        draw_tiles(axes, images.reshape(2, 5, *images.shape[1:]) / 255.0, "")
        axes.set_title(name, fontsize=9, loc="left", color=TEXT, family="monospace")
    return figure
