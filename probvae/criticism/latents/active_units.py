"""Active units: how much each unit of the code depends on the data."""

import warnings
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from probvae.batching import Rows, data_per_block, map_blocks, map_rows
from probvae.checks import check_positive_integer
from probvae.compilation import compile_program
from probvae.criticism.observed import observe
from probvae.evidence import Batch, datum_terms
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.objectives.terms import latent_sites
from probvae.short_repr import short_repr
from probvae.typing import DataLike, Params, RngKey
from probvae.vae import VAE

ACTIVE = 0.01  # Burda et al. 2016: in practice variances are far above or far below it


@short_repr
class ActiveUnits(NamedTuple):
    """The use of each unit of the code, by latent site.

    ``kl`` ``(n, units)`` is E_q[log q(z_u|x) - log p(z_u)] per row, in nats. If the KL does not split
    into units, it is that of the whole site, ``(n, 1)``. ``variance`` ``(units,)`` is the variance over
    x of E_q[z_u|x]. ``noise`` ``(units,)`` is the standard deviation of this estimate for a unit whose
    true variance is 0.
    """

    kl: dict[str, np.ndarray]
    variance: dict[str, np.ndarray]
    noise: dict[str, np.ndarray] = {}  # noqa: RUF012

    def active_mask(self, threshold: float = ACTIVE) -> dict[str, np.ndarray]:
        """Return which units have Var_x E_q[z_u|x] > threshold (Burda et al. 2016).

        Warns if such a unit may be dead: if its variance is less than 3 ``noise``.
        """
        doubtful = [
            (self.variance[site] > threshold) & (self.variance[site] < 3 * noise)
            for site, noise in self.noise.items()
        ]
        if count := sum(int(units.sum()) for units in doubtful):
            warnings.warn(
                f"{count} of the active units may be dead. Their variance is above {threshold}, but "
                "within three standard deviations of 0. Use more num_samples or more data.",
                stacklevel=2,
            )
        return {site: variance > threshold for site, variance in self.variance.items()}

    def collapsed_mask(self, epsilon: float = 0.01, delta: float = 0.01) -> dict[str, np.ndarray]:
        """Return which units have P_x(KL_u < epsilon nats) >= 1 - delta (Lucas et al. 2019)."""
        return {site: (kl < epsilon).mean(0) >= 1 - delta for site, kl in self.kl.items()}


def active_units(
    fitted: Fitted, x: DataLike, *, rng_key: RngKey, num_samples: int = 100
) -> ActiveUnits:
    """Measure the KL and the activity of each unit of the code.

    The variance over rows of E_q[z_u|x] is estimated by the covariance of two independent means of
    ``num_samples`` / 2 draws each. This estimate is unbiased for every guide. For a dead unit its
    standard deviation is 2 sigma^2 / (num_samples sqrt(n)), where sigma is the scale of q. It should be
    well below the threshold of 0.01. With n = 200 and sigma = 1, it is 0.0014 for 100 draws. For 20
    draws it is 0.007, and dead units may appear active.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, n >= 2, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        num_samples: draws of z per row, at least 2.

    Raises:
        ValueError: for fewer than two rows or draws, or a guide that is not a density.

    Reference: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, section 5.2 (activity); Lucas,
    Tucker, Grosse and Norouzi 2019, arXiv:1911.02469 ((epsilon, delta)-collapse).
    """
    check_fitted(fitted)
    check_positive_integer("num_samples", num_samples)
    data = observe(fitted, x, rng_key, least=2)
    if num_samples < 2:
        raise ValueError(f"num_samples expects at least 2 draws of z per row; got {num_samples}.")
    read_block = partial(_read_units, fitted.vae.eval(), fitted.values, half=num_samples // 2)
    kl, first, second = map_blocks(read_block, data, rng_key)
    variance = {site: _covariance(first[site], second[site]) for site in first}
    noise = {site: _noise(first[site], second[site]) for site in first}
    return ActiveUnits(
        {site: np.asarray(value, np.float64) for site, value in kl.items()}, variance, noise
    )


@partial(compile_program, static_argnames=("vae", "half"))
def _read_units(vae: VAE, params: Params, rows: Rows, half: int) -> tuple:
    """Return the mean KL of each row, and two means of z over ``half`` draws each, by site."""

    def draw(key: RngKey, datum: Batch) -> tuple[dict, dict]:
        row_terms = datum_terms(vae, params, key, datum, look=_read_codes)
        kl = {site: value.reshape(-1) for site, value in row_terms.kl.items()}
        return kl, {site: z[0].reshape(-1) for site, z in row_terms.extra.items()}

    def one_datum(key: RngKey, datum: Batch) -> tuple[dict, dict, dict]:
        kl, z = jax.vmap(draw, in_axes=(0, None))(jax.random.split(key, 2 * half), datum)
        mean = partial(jax.tree.map, lambda a: a.mean(0))
        halves = {site: value.reshape(2, half, -1).mean(1) for site, value in z.items()}
        return mean(kl), *({site: pair[i] for site, pair in halves.items()} for i in (0, 1))

    return map_rows(one_datum, rows, batch_size=data_per_block(2 * half))


def _read_codes(guide_trace: dict, model_trace: dict, rng_key: RngKey) -> dict[str, jax.Array]:
    return {name: guide_trace[name]["value"] for name in latent_sites(model_trace)}


def _covariance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (np.asarray(value, np.float64) for value in (a, b))
    return ((a - a.mean(0)) * (b - b.mean(0))).sum(0) / (len(a) - 1)


def _noise(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the standard deviation of the covariance of two independent means over n rows."""
    return np.square(a - b).mean(0) / 2 / np.sqrt(len(a) - 1)
