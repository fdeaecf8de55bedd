"""Draw the pictures of docs/how-to/arviz.md beside this file: ``python docs/figures/arviz.py``."""

from pathlib import Path

import arviz_plots
import arviz_stats
import jax
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_iris

from probvae import VAE, Fitted, fit, likelihoods, nets, to_datatree
from probvae.criticism import elpd, reference_chains, sbc
from probvae.criticism.posterior import calibration

FOLDER = Path(__file__).parent
KEY = jax.random.key(0)
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


def flowers() -> tuple[np.ndarray, np.ndarray]:
    """Return 120 flowers of scikit-learn's iris data for training and 30 that are held out, in cm."""
    x = load_iris().data.astype(np.float32)
    x = np.random.default_rng(0).permutation(x)
    return x[:120], x[120:]


def train(x: np.ndarray, rate: float = 5e-3, **parts: object) -> Fitted:
    """Fit a VAE with a code of two units."""
    net, scale = nets.MLP((32,)), likelihoods.LearnedScale()
    family = {"likelihood": likelihoods.Gaussian(scale=scale), "encoder": net, "decoder": net}
    vae = VAE(event_shape=(4,), latent_dim=2, **{**family, **parts})
    options = {"epochs": 2000, "batch_size": 40, "progress": False}
    return fit(vae, x, rng_key=KEY, optimizer=optax.adam(rate), **options)


def write(name: str) -> None:
    """Write the last figure as a small PNG file."""
    plt.gcf().savefig(FOLDER / f"arviz_{name}.png", dpi=70, bbox_inches="tight")
    plt.close("all")


def main() -> None:
    """Draw all pictures."""
    matplotlib.use("Agg")
    train_x, test_x = flowers()
    fitted = train(train_x)
    tree = to_datatree(fitted, test_x, rng_key=KEY, column_names=NAMES)
    few = to_datatree(fitted, test_x[:6], rng_key=KEY, column_names=NAMES)

    arviz_plots.plot_ppc_dist(tree)
    write("ppc_dist")
    arviz_plots.plot_ppc_pit(tree)
    write("ppc_pit")
    arviz_plots.plot_forest(few)
    write("forest")

    arviz_plots.plot_ecdf_pit(calibration.to_datatree(sbc(fitted, rng_key=KEY)))
    write("ecdf_pit")
    chains = reference_chains(fitted, test_x[:4], rng_key=KEY)
    arviz_plots.plot_forest(chains.to_datatree())
    write("reference")

    linear = train(train_x, rate=3e-2, encoder=nets.Linear(), decoder=nets.Linear())
    models = {"two layers": fitted, "linear": linear}
    scores = {name: elpd(model, test_x, rng_key=KEY) for name, model in models.items()}
    arviz_plots.plot_khat(scores["two layers"], threshold=0.7)
    write("khat")
    arviz_plots.plot_compare(arviz_stats.compare(scores))
    write("compare")

    odd = to_datatree(linear, 2 * test_x[:1], rng_key=KEY, num_samples=1000)
    arviz_plots.plot_psense_dist(
        odd, var_names="z", figure_kwargs={"figsize": (9, 8), "figsize_units": "inches"}
    )
    write("psense_dist")


if __name__ == "__main__":
    main()
