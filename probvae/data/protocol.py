"""Protocols that make a data set of a source: grey levels, static or dynamic binarisation."""

from collections.abc import Mapping

import numpy as np

from probvae.data.dataset import Data
from probvae.data.observations import AbstractObservation, Binarize, Cast, Rescale
from probvae.data.read_errors import DataError
from probvae.data.source_arrays import Source

Arrays = Mapping[str, np.ndarray]

SEED = 777
CHUNK = 1000


def apply_protocol(source: Source, *, binarize: str | None) -> Data:
    """Apply a protocol: None (as stored), "static", "dynamic", or "default" (the source's own).

    `RandomState(777)` draws valid and test once, valid first, as in the VampPrior code (Tomczak and
    Welling 2018, arXiv:1705.07120). "static" draws train after them. It leaves binary data unchanged.

    Raises:
        ValueError: the values have no grey levels to binarize.
    """
    binarize = source.default if binarize == "default" else binarize
    if binarize is None or (binarize == "static" and source.kind == "binary"):
        return _use_grey_levels(source) if source.kind == "grey" else _use_stored_values(source)
    if source.kind != "grey":
        why = {
            "binary": "its values are 0 and 1 already",
            "counts": "its values are counts",
            "real": "its values are real numbers",
        }[source.kind]
        got = f"data {source.name!r}, which has no grey range: {why}"
        fix = "Use binarize=None, or save grey images as uint8, 0..255."
        raise DataError(f"binarize={binarize!r} expects grey levels; got {got}. {fix}")
    return _binarize_each_step(source) if binarize == "dynamic" else _binarize_once(source)


def _use_stored_values(source: Source) -> Data:
    dtype = np.uint8 if source.kind == "binary" else np.float32
    arrays = {split: array.astype(dtype) for split, array in _select_held_out(source).items()}
    arrays["train"] = _compact(source.arrays["train"])
    words = "binary as stored" if source.kind == "binary" else "as stored"
    return _make_data(source, arrays, Cast(), words)


def _use_grey_levels(source: Source) -> Data:
    levels = np.float32(source.levels)
    held_out = _select_held_out(source).items()
    arrays = {split: array.astype(np.float32) / levels for split, array in held_out}
    arrays["train"] = source.arrays["train"]
    words = f"grey levels 0..{source.levels:g} as [0, 1]"
    return _make_data(source, arrays, Rescale(source.levels), words)


def _binarize_each_step(source: Source) -> Data:
    random = np.random.RandomState(SEED)
    held_out = _select_held_out(source).items()
    arrays = {split: _draw_bits(random, array, levels=source.levels) for split, array in held_out}
    arrays["train"] = source.arrays["train"]
    words = f"dynamic binarisation, valid and test drawn once (seed {SEED})"
    return _make_data(source, arrays, Binarize(source.levels), words)


def _binarize_once(source: Source) -> Data:
    # one stream of random numbers for all splits: their order decides which bits each split gets
    random = np.random.RandomState(SEED)
    in_order = {**_select_held_out(source), "train": source.arrays["train"]}.items()
    arrays = {split: _draw_bits(random, array, levels=source.levels) for split, array in in_order}
    return _make_data(source, arrays, Cast(), f"static binarisation, drawn once (seed {SEED})")


def _select_held_out(source: Source) -> dict[str, np.ndarray]:
    return {split: source.arrays[split] for split in ("valid", "test") if split in source.arrays}


def _draw_bits(random: np.random.RandomState, grey: np.ndarray, *, levels: float) -> np.ndarray:
    """Draw Bernoulli(grey / levels), a thousand rows at a time: the same bits as in one call."""
    bits = np.empty(grey.shape, np.uint8)
    for start in range(0, len(grey), CHUNK):
        rows = slice(start, start + CHUNK)
        bits[rows] = random.binomial(1, grey[rows] / levels)
    return bits


def _compact(array: np.ndarray) -> np.ndarray:
    """Return integers in the smallest dtype that holds them, and floats as they are."""
    if array.dtype.kind == "f":
        return array
    low, high = np.min_scalar_type(int(array.min())), np.min_scalar_type(int(array.max()))
    return array.astype(np.promote_types(low, high), copy=False)


def _make_data(source: Source, arrays: Arrays, observation: AbstractObservation, words: str) -> Data:
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
