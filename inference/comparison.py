"""Comparisons of VAEs: trainings from several keys, a table, and differences beyond the noise."""

import argparse
from collections.abc import Callable, Mapping

import numpy as np

Results = dict[str, np.ndarray]


def options(doc: str, *, seeds: int, quick: str) -> argparse.ArgumentParser:
    """Return a parser with the options of every comparison: ``--seeds`` and ``--quick``."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=seeds, help="trainings of each, at least 2")
    parser.add_argument("--quick", action="store_true", help=quick)
    return parser


def compare(
    variants: Mapping[str, Callable[[int], float]], seeds: int, *, baseline: str, what: str, score: str
) -> None:
    """Train every variant, and print the table and the differences beyond two standard errors."""
    results = trainings(variants, seeds)
    print(table(results, what=what, score=score))
    print("\n" + differences(results, baseline))


def trainings(variants: Mapping[str, Callable[[int], float]], seeds: int) -> Results:
    """Train every variant from keys 0, 1, ..., and return its scores (nats per datum)."""
    scores: dict[str, list[float]] = {name: [] for name in variants}
    for seed in range(seeds):  # seed by seed: an interrupted run has compared something
        for name, score in variants.items():
            scores[name].append(score(seed))
            print(f"{name}, key {seed}: {scores[name][-1]:.3f}", flush=True)
    return {name: np.array(values) for name, values in scores.items()}


def draw_rows(rows: np.ndarray, most: int | None) -> np.ndarray:
    """Return at most ``n`` random rows, with a fixed seed: static MNIST's test file is sorted."""
    return rows[np.random.default_rng(0).permutation(len(rows))[:most]]


def table(results: Results, *, what: str, score: str) -> str:
    """Return a table of the mean and the standard error over trainings, and of each training."""
    lines = [f"| {what} | {score} (mean, s.e. over trainings) | each training |", "| --- | --- | --- |"]
    for name, values in results.items():
        each = ", ".join(f"{value:.2f}" for value in values)
        lines.append(f"| {name} | {values.mean():.3f} +- {error(values):.3f} | {each} |")
    return "\n".join(lines)


def differences(results: Results, baseline: str) -> str:
    """Report for each variant whether it differs from the baseline by two standard errors."""
    lines = []
    for name, values in results.items():
        if name == baseline:
            continue
        gain = values.mean() - results[baseline].mean()
        both = np.hypot(error(values), error(results[baseline]))
        verdict = "exceeds" if abs(gain) > 2 * both else "does not exceed"
        lines.append(
            f"{name} minus {baseline}: {gain:+.3f} nats, standard error {both:.3f} over {len(values)} "
            f"trainings each: the difference {verdict} two standard errors."
        )
    return "\n".join(lines)


def error(values: np.ndarray) -> float:
    """Return the standard error of the mean over trainings."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))
