"""From what was read to a data set: grey, binarised once (static) or at every step (dynamic)."""

import numpy as np

from probvae.data.dataset import Data
from probvae.data.observations import AbstractObservation, Binarize, Cast, Rescale
from probvae.data.read_errors import DataError
from probvae.data.source_arrays import Source

SEED = 777
CHUNK = 1000


def apply_protocol(source: Source, *, binarize: str | None) -> Data:
    """Apply a protocol: None (as stored), "static", "dynamic", or "default" (the source's own).

    Valid and test are drawn once by `RandomState(777)`, valid first, as in the VampPrior code
    (Tomczak, Welling 2018, arXiv:1705.07120); for "static", train after them. ValueError where
    values have no grey range; "static" leaves data that are binary already as they are.
    """
    binarize = source.default if binarize == "default" else binarize
    if binarize is None or (binarize == "static" and source.kind == "binary"):
        return _grey(source) if source.kind == "grey" else _as_stored(source)
    if source.kind != "grey":
        raise DataError(_no_grey_range(source, binarize))
    return _dynamic(source) if binarize == "dynamic" else _static(source)


def _no_grey_range(source, binarize):
    why = {
        "binary": "its values are 0 and 1 already",
        "counts": "its values are counts",
        "real": "its values are real numbers",
    }[source.kind]
    return (
        f"binarize={binarize!r} expected grey levels, got data {source.name!r}, which has no grey "
        f"range: {why}; usual fix: binarize=None, or save grey images as uint8, 0..255"
    )


def _as_stored(source):
    dtype = np.uint8 if source.kind == "binary" else np.float32
    arrays = {split: array.astype(dtype) for split, array in _check_held_out(source).items()}
    arrays["train"] = _compact(source.arrays["train"])
    return _data(source, arrays, Cast(), {"binary": "binary as stored"}.get(source.kind, source.kind))


def _grey(source):
    levels = np.float32(source.levels)
    arrays = {
        split: array.astype(np.float32) / levels for split, array in _check_held_out(source).items()
    }
    arrays["train"] = source.arrays["train"]
    return _data(source, arrays, Rescale(source.levels), f"grey levels 0..{source.levels:g} as [0, 1]")


def _dynamic(source):
    random = np.random.RandomState(SEED)
    held_out = _check_held_out(source).items()
    arrays = {split: _draw(random, array, levels=source.levels) for split, array in held_out}
    arrays["train"] = source.arrays["train"]
    words = f"dynamic binarisation, valid and test drawn once (seed {SEED})"
    return _data(source, arrays, Binarize(source.levels), words)


def _static(source):
    random = np.random.RandomState(SEED)
    in_order = {**_check_held_out(source), "train": source.arrays["train"]}.items()
    arrays = {split: _draw(random, array, levels=source.levels) for split, array in in_order}
    return _data(source, arrays, Cast(), f"static binarisation, drawn once (seed {SEED})")


def _check_held_out(source):
    return {split: source.arrays[split] for split in ("valid", "test") if split in source.arrays}


def _draw(random, grey, *, levels):
    """Draw Bernoulli(grey / levels), a thousand rows at a time: the same bits as in one call."""
    drawn = np.empty(grey.shape, np.uint8)
    for start in range(0, len(grey), CHUNK):
        rows = slice(start, start + CHUNK)
        drawn[rows] = random.binomial(1, grey[rows] / levels)
    return drawn


def _compact(array):
    """Return integers in the smallest dtype that holds them; floats as they are."""
    if array.dtype.kind == "f":
        return array
    low, high = np.min_scalar_type(int(array.min())), np.min_scalar_type(int(array.max()))
    return array.astype(np.promote_types(low, high), copy=False)


def _data(source: Source, arrays: dict, observation: AbstractObservation, words: str) -> Data:
    return Data(
        source.name,
        train=arrays["train"],
        valid=arrays.get("valid"),
        test=arrays["test"],
        observation=observation,
        labels=source.labels,
        context=source.context,
        description="; ".join([source.origin, words, source.rule]),
    )
