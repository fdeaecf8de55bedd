"""The entries of the gallery: for each model its group, its command, its picture and a caption."""

from typing import NamedTuple

import gallery_images as images
import gallery_plots as plots
import gallery_tables as tables
from gallery_canvas import Panel

GROUPS = {
    "Start here": "The VAE itself, its linear case, and what is left without a KL.",
    "Priors": "Where codes lie before any data: p(z).",
    "Guides": "What the encoder may say about one datum: q(z | x).",
    "Likelihoods": "What a decoder's output means: p(x | z).",
    "Objectives": "What training maximises. The model stays the same.",
    "Hierarchies": "Several levels of codes.",
    "Labels": "Classes as a condition, or as a code.",
    "Nets": "Encoders and decoders for images.",
}
LOG_PROB = "log p(x)"


class Entry(NamedTuple):
    """An entry of the gallery.

    Attributes:
        group: the heading that it stands under.
        options: the options of ``probvae train models/NAME.py``.
        panels: the panels of its picture, from left to right.
        caption: what the picture shows.
        rows: whether the picture shows rows of the data. Only digits may.
        score: what the number of the card is the log probability or the log density of.
        note: what the reader must know to compare that number, in one or two sentences.
    """

    group: str
    options: str
    panels: tuple[Panel, ...]
    caption: str
    rows: bool = False
    score: str = LOG_PROB
    note: str = ""

    @property
    def data(self) -> str:
        """The name of the data."""
        words = self.options.split()
        return words[words.index("--data") + 1]


def _digits(options: str = "--epochs 300") -> str:
    return f"--data digits {options}"


ENTRIES: dict[str, Entry] = {
    "vae": Entry(
        "Start here",
        _digits(),
        (images.reconstructions, images.samples),
        "Test digits and their reconstructions, and digits that the model invents.",
        rows=True,
    ),
    "linear_vae": Entry(
        "Start here",
        _digits(),
        (plots.latent_map, images.manifold),
        "Probabilistic PCA in two dimensions: each test digit at its code, and the plane of means.",
    ),
    "autoencoder": Entry(
        "Start here",
        _digits(),
        (images.reconstructions, images.interpolations),
        "Sharper reconstructions than the VAE's. There is nothing to draw new digits from.",
        rows=True,
    ),
    "vampprior": Entry(
        "Priors",
        _digits(),
        (images.pseudo_inputs, images.samples),
        "The prior's learned pseudo-inputs, and samples.",
    ),
    "mixture": Entry(
        "Priors",
        _digits(),
        (images.components,),
        "Each column is a cluster that the model found without labels.",
    ),
    "flow_prior": Entry(
        "Priors",
        _digits("--latent-dim 2 --epochs 300"),
        (plots.prior_and_codes, images.samples),
        "Two units only, to see the prior (grey): it took the shape of the codes.",
    ),
    "spherical": Entry(
        "Priors",
        "--data mnist --latent-dim 3 --epochs 6 --particles 200",
        (plots.hemisphere("front"), plots.hemisphere("back")),
        "Codes of MNIST test digits on a sphere, seen from both sides. No place is the centre.",
    ),
    "student_t": Entry(
        "Priors",
        _digits("--epochs 150"),
        (plots.tails, images.samples),
        "The entries of the codes beside the t prior, and samples.",
    ),
    "committed_rate": Entry(
        "Priors",
        _digits(),
        (plots.rate_of_each_datum, images.samples),
        "No datum's KL is below delta, so the code cannot collapse.",
    ),
    "iaf": Entry(
        "Guides",
        _digits("--latent-dim 2 --epochs 300"),
        plots.exact_posterior((0, 1, 2)),
        "Draws of q(z | x) (dots) over the exact posterior (blue) of three test digits.",
    ),
    "semi_amortized": Entry(
        "Guides",
        _digits("--epochs 60"),
        (plots.inner_steps, images.samples),
        "Each inner step on a datum's own ELBO improves the encoder's guess.",
    ),
    "discrete": Entry(
        "Guides",
        _digits("--latent-dim 6 --epochs 150"),
        (images.codebook,),
        "Six bits give 64 codes. This is all that the model can say about a digit.",
    ),
    "relaxed": Entry(
        "Guides",
        _digits(),
        (plots.relaxed_bits, images.samples),
        "The entries of the codes are nearly bits, and have a gradient.",
    ),
    "gaussian_vae": Entry(
        "Likelihoods",
        _digits("--epochs 150"),
        (plots.residuals, images.samples),
        "The learned sigma is the spread of the residuals.",
    ),
    "sigma_vae": Entry(
        "Likelihoods",
        _digits("--epochs 150"),
        (plots.scale_by_epoch, images.samples),
        "Sigma is the training error at each step, and falls with it.",
    ),
    "laplace": Entry(
        "Likelihoods",
        _digits("--epochs 150"),
        (plots.residuals, images.samples),
        "Residuals of grey levels have a peak and long tails, as a Laplace density has.",
    ),
    "continuous_bernoulli": Entry(
        "Likelihoods",
        _digits("--epochs 150"),
        (plots.pixel_densities, images.samples),
        "A density on [0, 1] for each pixel, and samples in grey.",
        note="This is a density on [0, 1] at grey levels without noise: half of the pixels are exactly"
        " 0, where such a density can be very high. It does not make this the best model.",
    ),
    "negative_binomial": Entry(
        "Likelihoods",
        "--data pbmc3k --epochs 30 --particles 500",
        (plots.cells, plots.mean_and_variance),
        "Codes of 2,430 blood cells. Genes vary more than a Poisson, in data and in draws.",
    ),
    "table": Entry(
        "Likelihoods",
        "--data docs/gallery/wine.csv",
        (tables.drawn_columns, tables.pair_associations),
        "Drawn wines by cultivar, and the association of each pair of columns, in test data and draws.",
        note="Reals are scored as densities in the units of the file, and levels as probabilities.",
    ),
    "autoregressive_vae": Entry(
        "Likelihoods",
        _digits("--epochs 60 --particles 500"),
        (images.held_out, images.drawn_samples),
        "Test digits, and draws of x. Each pixel is drawn given the pixels before it.",
        rows=True,
    ),
    "spread": Entry(
        "Likelihoods",
        _digits(),
        (images.denoised, images.samples),
        "The same noise on data and model. The decoder itself has none, so it removes it.",
        rows=True,
        score="log p(noisy x)",
        note="The noisy digits are scored, so it does not compare with a log p(x).",
    ),
    "perceptual": Entry(
        "Likelihoods",
        _digits(),
        (images.reconstructions, images.samples),
        "Edges are compared, not pixels.",
        rows=True,
    ),
    "beta_vae": Entry(
        "Objectives",
        _digits("--beta 2 --epochs 300"),
        (images.traversals, plots.unit_kl),
        "A higher price of the KL leaves a few units in use, each with its own effect.",
    ),
    "beta_tc": Entry(
        "Objectives",
        _digits("--beta 3 --epochs 300"),
        (images.traversals, plots.unit_kl),
        "Only the dependence between units has a price.",
    ),
    "factor_vae": Entry(
        "Objectives",
        _digits(),
        (images.traversals, plots.unit_kl),
        "The same price, with a discriminator that estimates the dependence.",
    ),
    "capacity": Entry(
        "Objectives",
        _digits("--capacity 6 --epochs 300"),
        (plots.kl_by_epoch, images.samples),
        "The KL follows its target C.",
    ),
    "annealed": Entry(
        "Objectives",
        _digits(),
        (plots.kl_by_epoch, images.samples),
        "The KL has its full weight only after the decoder has learned to use the code.",
    ),
    "free_bits": Entry(
        "Objectives",
        _digits(),
        (plots.unit_kl, images.samples),
        "The first lambda nats of each unit are free, so every unit stays in use.",
    ),
    "iwae": Entry(
        "Objectives",
        _digits("--epochs 200"),
        (plots.bound_by_particles, images.samples),
        "The bound on log p(x) rises with the number of particles.",
    ),
    "multi_rate": Entry(
        "Objectives",
        _digits(),
        (plots.rate_distortion, images.reconstructions_by_beta),
        "The whole rate-distortion curve from one fit, and three reconstructions from it.",
        rows=True,
    ),
    "info_vae": Entry(
        "Objectives",
        _digits("--latent-dim 2 --epochs 300"),
        (plots.prior_and_codes, images.samples),
        "The codes of all data together match the prior (grey). Single codes are narrow.",
    ),
    "vae_gan": Entry(
        "Objectives",
        _digits(),
        (images.reconstructions, images.samples),
        "A discriminator's features replace the pixels.",
        rows=True,
    ),
    "hierarchical": Entry(
        "Hierarchies",
        _digits(),
        (plots.kl_of_levels, images.samples),
        "What each level says about x. On digits this small, z1 has nearly all of it.",
    ),
    "conv_hierarchical": Entry(
        "Hierarchies",
        _digits("--epochs 100 --particles 500"),
        (plots.kl_of_levels, images.samples),
        "The same with convolutions, whose weights are shared between places.",
    ),
    "ladder": Entry(
        "Hierarchies",
        _digits(),
        (plots.kl_of_levels, images.same_top("z5")),
        "How much each of the five levels says about x, and samples that share the top code by row.",
    ),
    "conditional": Entry(
        "Labels",
        _digits(),
        (images.classes,),
        "You choose the class. The code is the style.",
        score="log p(x | label)",
        note="The model is told the label. That is worth up to log 10 = 2.3 nats, so it does not"
        " compare with a log p(x).",
    ),
    "semi_supervised": Entry(
        "Labels",
        _digits("--epochs 150"),
        (images.style_transfer,),
        "The style of a test digit, written in all ten classes.",
        rows=True,
        score="log p(x, label)",
        note="The model predicts the label, too, so the number is below its log p(x).",
    ),
    "transformer": Entry(
        "Nets",
        _digits("--patch 4 --depth 1 --binarize static --epochs 80 --particles 200"),
        (images.reconstructions, images.samples),
        "Four patches of 4x4 pixels that attend to each other. It needs longer training than this.",
        rows=True,
    ),
    "transformer_vae": Entry(
        "Nets",
        _digits(
            "--patch 4 --hidden 32 --depth 1 --latent-dim 16 --learning-rate 3e-3"
            " --epochs 80 --particles 200"
        ),
        (images.samples, images.pixel_scales),
        "The mean and the scale of each pixel. This training is too short for its transformers.",
    ),
}
