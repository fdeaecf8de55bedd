"""Whether the likelihood takes the data, as the observation makes them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from probvae.data import Cast
from probvae.data_description import Comparer, Describer
from probvae.fields import shown
from probvae.training.remedies import Refused, blocks_of, refusal_text

CHUNK = 512  # rows looked at together: the check must not decide the run's peak memory


def check_values(
    vae: Any,
    x: np.ndarray,
    mask: np.ndarray | None,
    name: str,
    observation: Any,
    record: Describer | Comparer | None = None,
    first_row: int = 0,
) -> None:
    """Raise unless every observed value is one that the likelihood gives a density to.

    Args:
        vae: whose likelihood it is.
        x: data, or a chunk of them, as they are stored.
        mask: true where x is observed.
        name: what an error calls the data.
        observation: what is applied to x before it is scored.
        record: is shown the values before anything is said of them.
        first_row: the number of the chunk's first row.
    """
    likelihood = vae.likelihood
    for start in range(0, len(x), CHUNK):
        rows = slice(start, start + CHUNK)
        seen = _seen(observation, x[rows])
        check_magnitude(name, seen, first_row + start)
        if record is not None:
            record.add(x[rows], seen, None if mask is None else mask[rows])
        if seen.dtype == np.uint8 and seen.max() > 1 and _real(likelihood):
            raise ValueError(
                f"{name} holds bytes in 0..{x.max()} and the likelihood {type(likelihood).__name__} "
                "takes real numbers: they would be modelled in units of grey levels. "
                f"{_bytes_remedy(name)}"
            )
        fine = np.asarray(likelihood.support(seen))
        if mask is not None:
            fine = fine | ~mask[rows]
        if not fine.all():
            raise ValueError(_refusal(vae, x, mask, name, observation))


def check_magnitude(name: str, x: np.ndarray, first_row: int = 0) -> None:
    """Raise for finite values whose square is beyond the numbers that JAX computes in."""
    limit = float(np.finfo(jnp.zeros(()).dtype).max) ** 0.5
    if x.dtype.kind == "f" and float(np.abs(x).max(initial=0)) >= limit:
        flat = x.reshape(len(x), -1).astype(float)
        row, entry = np.argwhere(np.abs(flat) >= limit)[0]
        raise ValueError(
            f"{name} holds {flat[row, entry]:.6g} in row {first_row + row}, entry {entry}; expected "
            f"numbers below {limit:.2g}, whose squares are finite. If this is a fill value for what is "
            "missing (netCDF writes 9.97e36), give a mask of x that is false there, Batch(x, "
            "mask=...), or drop the row. Otherwise divide the data by a unit."
        )


def _bytes_remedy(name: str) -> str:
    if name.startswith("train"):
        return (
            "Give the observation that the data bring, fit(..., observation=data.observation), or "
            "convert them to float."
        )
    return "Bring them to the units of the training data, such as x / 255, or convert them to float."


def _refusal(vae: Any, x: np.ndarray, mask: np.ndarray | None, name: str, observation: Any) -> str:
    """Say what is outside the support in the first block that has such values, and what to do."""
    seen = np.concatenate(
        [_seen(observation, x[start : start + CHUNK]) for start in range(0, len(x), CHUNK)]
    )
    observed = np.ones(seen.shape, bool) if mask is None else mask
    bad = {
        block: ~np.asarray(likelihood.support(seen[..., columns])) & observed[..., columns]
        for block, columns, likelihood in blocks_of(vae.likelihood)
    }
    block, columns, likelihood = next(each for each in blocks_of(vae.likelihood) if bad[each[0]].any())
    refused = Refused(
        likelihood=likelihood,
        values=seen[..., columns][observed[..., columns]],
        bad=seen[..., columns][bad[block]],
        where=_place(name, observation, block),
        num_rows=len(x),
        columns=None if block is None else f"{columns.start}:{columns.stop}",
        on_fit=name.startswith("train"),
        can_mask=vae.likelihood.factorises,
    )
    return refusal_text(refused)


def _place(name: str, observation: Any, block: str | None) -> str:
    place = name if block is None else f"block {block!r} of {name}"
    return place if isinstance(observation, Cast) else f"{place}, after {shown(observation)},"


def _seen(observation: Any, x: np.ndarray) -> np.ndarray:
    return x if isinstance(observation, Cast) else np.asarray(observation(jax.random.key(0), x))


def _real(likelihood: Any) -> bool:
    return "real" in str(likelihood.support).lower()


def check_observation(observation: Any, x: np.ndarray) -> None:
    """Raise unless an observation can be called on a key and data, and returns as many numbers."""
    expected = "observation expects a function (rng_key, x) -> x, such as data.Binarize()"
    if not callable(observation) or isinstance(observation, type):
        raise TypeError(f"{expected}; got {shown(observation)}.")
    try:
        seen = observation(jax.random.key(0), x[:2])
    except TypeError as error:
        raise TypeError(f"{expected}; {shown(observation)} fails on two data: {error}") from error
    if np.shape(seen) != x[:2].shape:
        got = f"{np.shape(seen)} for {x[:2].shape}"
        raise ValueError(f"{expected}, of the same shape; {shown(observation)} gives {got}.")
