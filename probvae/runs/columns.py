"""What to say of a table before a net sees it: are its columns of a size that nets learn from?"""

import numpy as np
from numpyro.distributions import constraints

from probvae.data import Data
from probvae.variant import Variant

FAR = 3.0  # of a column's mean from 0, in its standard deviations
WIDE = 5.0  # of a column's standard deviation from 1, as a factor


def unscaled(data: Data, variant: Variant) -> str | None:
    """Return a note where real-valued columns are far from mean 0 and standard deviation 1, or None.

    Weights start for inputs and outputs of about that size: columns of another take far more steps.
    With y = (x - m) / s for each column, log p(x) = log p(y) - sum log s, in nats.

    Args:
        data: columns are the entries of vectors; of images and arrays nothing is said.
        variant: whose likelihood tells whether x is real-valued.
    """
    if variant.vae.likelihood.support is not constraints.real or len(data.event_shape) != 1:
        return None
    x = np.asarray(data.train, float)
    mean, scale = x.mean(0), x.std(0)
    varies = scale > 0
    mean, scale = mean[varies], scale[varies]
    if not varies.any() or not _far(mean, scale):
        return None
    return (
        f"note: the columns of x have means from {mean.min():.3g} to {mean.max():.3g} and standard "
        f"deviations from {scale.min():.3g} to {scale.max():.3g}; nets learn best near 0 and 1. Give "
        "(x - mean) / sd of each column instead: log p(x) is then what is reported, "
        f"{-np.log(scale).sum():+.2f} nats (minus the sum of log sd)."
    )


def _far(mean: np.ndarray, scale: np.ndarray) -> bool:
    return bool((np.abs(mean) > FAR * scale).any() or (np.abs(np.log(scale)) > np.log(WIDE)).any())
