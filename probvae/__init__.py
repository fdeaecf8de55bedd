"""ProbVAE: variational autoencoders as NumPyro programs made of swappable parts."""

import warnings
from typing import TYPE_CHECKING

from probvae._version import __version__ as __version__
from probvae.lazy_names import lazy_names

# In a notebook without ipywidgets, NumPyro's import of tqdm would warn. No progress here is a widget.
warnings.filterwarnings("ignore", message="IProgress not found")

# JAX, NumPyro and Flax take two seconds to import. So a name is imported at its first use, and
# `probvae --help` needs none of them. Both lists below have the same names: the first is for mypy and
# for editors, the second for Python.
if TYPE_CHECKING:
    from probvae import criticism as criticism
    from probvae import data, flows, guides, likelihoods, nets, objectives, priors
    from probvae import distributions as distributions
    from probvae import fitted as fitted
    from probvae import interfaces as interfaces
    from probvae import plots as plots
    from probvae import runs as runs
    from probvae.criticism import Diagnosis, diagnose, to_datatree
    from probvae.evidence import Batch, BoundEstimate
    from probvae.fitted import (
        DecoderPrior,
        Fitted,
        History,
        Imputed,
        Incident,
        Pooled,
        Samples,
        Sweep,
        latent_paths,
        load,
        point_weights,
    )
    from probvae.table_training import fit_table, recommend_training
    from probvae.training import (
        AbstractRecovery,
        Checkpoints,
        DataParallel,
        EarlyStopping,
        HalveRate,
        LostProcessError,
        MovingAverage,
        NonFiniteLossError,
        SkipBatch,
        callbacks,
        sweep,
        transfer_params,
    )
    from probvae.training.fit import fit
    from probvae.training.refit import refit
    from probvae.vae import VAE
    from probvae.variant import Variant
    from probvae.variant_comparison import VariantComparison
    from probvae.variant_training import compare_variants
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "criticism": ("Diagnosis", "diagnose", "to_datatree"),
            "evidence": ("Batch", "BoundEstimate"),
            "fitted": (
                "DecoderPrior",
                "Fitted",
                "History",
                "Imputed",
                "Incident",
                "Pooled",
                "Samples",
                "Sweep",
                "latent_paths",
                "load",
                "point_weights",
            ),
            "training": (
                "AbstractRecovery",
                "Checkpoints",
                "DataParallel",
                "EarlyStopping",
                "HalveRate",
                "LostProcessError",
                "MovingAverage",
                "NonFiniteLossError",
                "SkipBatch",
                "callbacks",
                "sweep",
                "transfer_params",
            ),
            "table_training": ("fit_table", "recommend_training"),
            "training.fit": ("fit",),
            "training.refit": ("refit",),
            "vae": ("VAE",),
            "variant": ("Variant",),
            "variant_comparison": ("VariantComparison",),
            "variant_training": ("compare_variants",),
        },
        submodules=(
            "criticism",
            "data",
            "distributions",
            "fitted",
            "flows",
            "guides",
            "interfaces",
            "likelihoods",
            "nets",
            "objectives",
            "plots",
            "priors",
            "runs",
            "training",
        ),
    )

__all__ = [
    "AbstractRecovery",
    "Batch",
    "BoundEstimate",
    "Checkpoints",
    "DataParallel",
    "DecoderPrior",
    "Diagnosis",
    "EarlyStopping",
    "Fitted",
    "HalveRate",
    "History",
    "Imputed",
    "Incident",
    "LostProcessError",
    "MovingAverage",
    "NonFiniteLossError",
    "Pooled",
    "Samples",
    "SkipBatch",
    "Sweep",
    "VAE",
    "Variant",
    "VariantComparison",
    "callbacks",
    "compare_variants",
    "data",
    "diagnose",
    "fit",
    "fit_table",
    "flows",
    "guides",
    "latent_paths",
    "likelihoods",
    "load",
    "nets",
    "objectives",
    "point_weights",
    "priors",
    "recommend_training",
    "refit",
    "sweep",
    "to_datatree",
    "transfer_params",
]
