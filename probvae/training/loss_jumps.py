"""Jumps of the loss: steps far beyond what the steps before make plausible."""

import numpy as np

FACTOR = 50.0  # times the usual rise above the median; ordinary trainings reach 7
SHARE = 0.1  # of the median: a rise that is always usual, and
NATS = 0.1  # per datum
FEWEST = 20  # steps to judge by
PARTS = {"log_likelihood": -1.0, "kl": 1.0}  # the sign that makes them part of a loss


def first_jump(
    before: dict[str, np.ndarray], steps: dict[str, np.ndarray], num_data: int
) -> int | None:
    """Return the first step of an epoch at which the loss has jumped; None where it has not.

    A step is implausible if its loss exceeds the median of the steps before by 50 times their largest
    excess. A jump is two such steps in a row: a single one is a batch with an odd row, which an epoch
    may have dropped with its last partial batch. If the parts of the loss are recorded, one of them
    must be implausible, too: a schedule may raise the weight of the KL, and the loss with it.

    Args:
        before: series of the steps of the last epochs.
        steps: series of the epoch's steps.
        num_data: that a loss is summed over.
    """
    if len(before["loss"]) < FEWEST:
        return None
    if len(steps["loss"]) == 1:  # all data in one batch: the pair is this step and the last
        steps = {
            name: np.append(before[name][-1:], values)
            for name, values in steps.items()
            if name in before
        }
    odd = _implausible(before["loss"], steps["loss"], NATS * num_data)
    if PARTS.keys() <= steps.keys() and odd.any():
        parts = [_implausible(s * before[k], s * steps[k], NATS) for k, s in PARTS.items()]
        odd &= np.logical_or(*parts)
    pairs = np.flatnonzero(odd[1:] & odd[:-1])
    return int(pairs[0]) if len(pairs) else None


def largest(before: np.ndarray) -> float:
    """Return the largest loss of the steps that a jump is compared with."""
    return float(np.nanmax(np.where(np.isfinite(before), before, np.nan)))


def _implausible(before: np.ndarray, values: np.ndarray, least: float) -> np.ndarray:
    """Return for each step of an epoch whether it is implausible.

    The last step before the epoch sets no standard: it may have been the first of a jump.
    """
    reference = before[:-1].astype(np.float64)
    reference = reference[np.isfinite(reference)]
    if not len(reference):
        return np.zeros(len(values), bool)
    median = np.median(reference)
    usual = max(reference.max() - median, SHARE * abs(median), least)
    return values > median + FACTOR * usual
