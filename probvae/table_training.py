"""``fit_table``: a table goes in, a fitted VAE comes out. The settings suit tables of any size."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import optax

from probvae.checks import check_key
from probvae.data import Table
from probvae.fitted import Fitted
from probvae.interfaces import AbstractLikelihood
from probvae.objectives import IWAE
from probvae.training import fit
from probvae.typing import RngKey
from probvae.vae import VAE
from probvae.variant import Variant

LARGE = 10_000  # rows
STEPS, LARGE_STEPS = 3_000, 10_000
BATCH_SIZE, LARGE_BATCH_SIZE = 64, 512
LEARNING_RATE = 5e-3
NUM_PARTICLES = 5
FEWEST_ROWS = 20  # for a validation split
VALIDATION_SHARE = 0.1


def recommend_training(vae: VAE, table: Table) -> Variant:
    """Return a VAE for a table with the training settings that suit the table's number of rows.

    They are IWAE with 5 particles, and Adam with a cosine decay of its rate to 0 over 3,000 steps of
    64 rows. Tables of 10,000 rows and more get 10,000 steps of 512 rows.

    Args:
        vae: the VAE, such as ``VAE.for_table(table)``.
        table: the training rows.
    """
    return Variant(vae, **_choose_settings(len(table)))


def fit_table(
    table: Any,
    *,
    rng_key: RngKey,
    validation: Any = None,
    latent_dim: int | None = None,
    likelihoods: Mapping[str, AbstractLikelihood] | None = None,
    progress: bool = True,
    **parts: Any,
) -> Fitted:
    """Fit ``VAE.for_table(table)`` with the settings of ``recommend_training``.

    ``fitted.impute(table, rng_key=key).frame`` then fills the missing cells,
    ``fitted.sample(n, rng_key=key).frame`` draws new rows, and ``fitted.log_prob(table, rng_key=key)``
    scores rows in nats.

    Args:
        table: a ``data.Table``, or what it reads: a frame, a dict of columns, or the path of a file.
        rng_key: a typed key.
        validation: rows that choose the best epoch. By default a tenth of the rows, chosen at random
            with a fixed seed, if there are at least 20. The VAE does not train on them.
        latent_dim: as for ``VAE.for_table``.
        likelihoods: as for ``VAE.for_table``.
        progress: show a progress bar.
        parts: any argument of ``VAE``, to swap a part.

    Raises:
        TypeError, ValueError: for a bad table, which the error describes by column and row, and for
            incompatible parts.

    Examples:
        >>> import jax, numpy as np
        >>> from probvae import fit_table
        >>> size = np.random.default_rng(0).normal(size=50)
        >>> frame = {"height": 1.7 + 0.1 * size, "tall": np.where(size > 0, "yes", "no")}
        >>> fitted = fit_table(frame, rng_key=jax.random.key(0), progress=False)
        >>> sorted(fitted.sample(3, rng_key=jax.random.key(1)).frame)
        ['height', 'tall']
    """
    check_key(rng_key)
    train = table if isinstance(table, Table) else Table(table)
    if validation is None and len(train) >= FEWEST_ROWS:
        order = np.random.Generator(np.random.PCG64(0)).permutation(len(train))
        held_out = max(1, round(VALIDATION_SHARE * len(train)))
        train, validation = train.take(order[held_out:]), train.take(order[:held_out])
    vae = VAE.for_table(train, latent_dim=latent_dim, likelihoods=likelihoods, **parts)
    settings = _choose_settings(len(train))
    return fit(vae, train, rng_key=rng_key, validation=validation, progress=progress, **settings)


def _choose_settings(num_rows: int) -> dict[str, Any]:
    """Return objective, optimizer, epochs and batch size for a number of training rows."""
    is_large = num_rows >= LARGE
    steps, size = (LARGE_STEPS, LARGE_BATCH_SIZE) if is_large else (STEPS, BATCH_SIZE)
    batch_size = min(size, num_rows)
    num_batches = num_rows // batch_size
    epochs = math.ceil(steps / num_batches)
    schedule = optax.cosine_decay_schedule(LEARNING_RATE, epochs * num_batches)
    return {
        "objective": IWAE(NUM_PARTICLES),
        "optimizer": optax.adam(schedule),
        "epochs": epochs,
        "batch_size": batch_size,
    }
