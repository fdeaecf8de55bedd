"""Measures of a fitted VAE of faces: numbers on held-out faces, and pictures."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inference.pictures import in_chunks, sharpness
from probvae import Fitted, plots
from probvae.criticism import bits_per_dimension
from probvae.data import Dequantize
from probvae.fitted.latent_paths import spherical, straight
from probvae.plots.canvas import side_by_side

LEVELS = 256


class Measures(NamedTuple):
    """Measures of a training on held-out faces."""

    squared_error: float
    pca: float
    bits: float
    kl: float
    scale_x: float
    reconstructed: float
    samples: float
    middles: float
    averages: float


def middle_of_level(levels: np.ndarray) -> np.ndarray:
    """Return levels in the model's units, (level + 1/2) / 256."""
    return (levels.astype(np.float32) + 0.5) / LEVELS


def measure(
    fitted: Fitted, levels: np.ndarray, pca: np.ndarray, particles: int
) -> tuple[Measures, dict]:
    """Measure a fitted VAE, and return its pictures by kind, too."""
    x = middle_of_level(levels)
    codes = in_chunks(lambda rows: fitted.encode(rows).mean, x)
    prior_draws = np.asarray(jax.random.normal(jax.random.key(6), codes.shape))  # the prior's
    again, new = decode_mean(fitted, codes), decode_mean(fitted, prior_draws)
    middles = decode_mean(fitted, between(codes[:-1:2], codes[1::2], 0.5))
    averages = (x[:-1:2] + x[1::2]) / 2
    noisy = Dequantize(float(LEVELS))(jax.random.key(9), levels)
    elbo = fitted.elbo(noisy, rng_key=jax.random.key(10), num_particles=particles).mean
    bits = float(bits_per_dimension(elbo, x.shape[1:], levels=LEVELS))
    last = {k: float(v[-1]) for k, v in fitted.history.validation.items()}
    sharp = [sharpness(each) / sharpness(x) for each in (again, new, middles, averages)]
    numbers = Measures(square(again, x), square(pca, x), bits, last["kl"], last["scale_x"], *sharp)
    return numbers, {
        "reconstructions": {"faces": x[:20], "E[x|z]": again[:20], "PCA": pca[:20]},
        "samples": {"E[x|z]": new[:30]},
        "paths": paths(fitted, x, codes),
    }


def square(x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean squared difference of pictures, the first clipped to [0, 1]."""
    return float(((np.clip(x, 0.0, 1.0) - y) ** 2).mean())


def decode_mean(fitted: Fitted, codes: np.ndarray) -> np.ndarray:
    """Return E[x|z], clipped to [0, 1]."""
    return np.clip(in_chunks(lambda z: fitted.decode(z).mean, codes), 0.0, 1.0)


def paths(fitted: Fitted, x: np.ndarray, codes: np.ndarray) -> dict[str, np.ndarray]:
    """Return three paths between two faces, each in pixels and in codes."""
    t = np.linspace(0, 1, 10, dtype=np.float32)

    def along(values, path):
        on = [between(values[0:6:2], values[1:6:2], each, path) for each in t]
        return np.stack(on, axis=1).reshape(-1, *values.shape[1:])

    return {
        "pixels: 1-t, t": along(x, straight),
        "codes: sqrt(1-t^2), t": decode_mean(fitted, along(codes, tutorial_path)),
        "codes: great circle": decode_mean(fitted, along(codes, spherical)),
    }


def between(a: np.ndarray, b: np.ndarray, t: float, path=spherical) -> np.ndarray:
    """Return points on paths between rows of codes."""
    return np.asarray(jax.vmap(lambda p, q: path(p, q, t))(a, b))


def tutorial_path(a: jax.Array, b: jax.Array, t: jax.Array) -> jax.Array:
    """Return the tutorial's path, sqrt(1 - t^2) a + t b."""
    return jnp.sqrt(1 - t**2) * a + t * b


def draw(fitted: Fitted, pictures: dict, measures: Measures, name: str, out: Path) -> None:
    """Write the curves, and a figure for each kind of picture."""
    plots.curves(fitted.history).savefig(out / "celebahq_curves.png", dpi=150)
    titles = {
        "reconstructions": f"{name}, held out: faces, E[x|z] at the mean of q(z|x) (squared error "
        f"{measures.squared_error:.4f}), principal components ({measures.pca:.4f})",
        "samples": f"Transformer VAE of {name}: z ~ p(z)",
        "paths": f"{name}, held out: from one face to another, three pairs",
    }
    for kind, groups in pictures.items():
        figure = side_by_side(groups, title=titles[kind], item="one picture", limits=(0.0, 1.0))
        figure.savefig(out / f"celebahq_{kind}.png", dpi=150, bbox_inches="tight")
    print(f"figures: {out / 'celebahq_*.png'}", flush=True)
