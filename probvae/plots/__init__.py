"""Figures of a fitted VAE, as matplotlib ``Figure`` objects (``pip install 'probvae[plots]'``)."""

from probvae.plots.comparison import comparison
from probvae.plots.curves import curves
from probvae.plots.data_space import interpolation, pseudo_inputs, reconstructions, samples
from probvae.plots.diagnosis import calibration, gaps, predictions, tails, unit_use
from probvae.plots.latent_space import latent_map
from probvae.plots.sweep import sweep
from probvae.plots.table_checks import associations, column_checks
from probvae.plots.variants import variants

__all__ = [
    "associations",
    "calibration",
    "column_checks",
    "comparison",
    "curves",
    "gaps",
    "interpolation",
    "latent_map",
    "predictions",
    "pseudo_inputs",
    "reconstructions",
    "samples",
    "sweep",
    "tails",
    "unit_use",
    "variants",
]
