"""Claim: `diagnose` names every planted fault, and finds none in healthy fits.

Ten known faults of VAEs are planted in eleven cases, most of them in a VAE of digits
(`inference/faults.py`). Five healthy fits serve as controls (`inference/healthy.py`). The script prints
a confusion table over several keys: the planted fault, and the faults that `diagnose` names. Limits
(k-hat, gaps) are listed separately, because ordinary VAEs have some. Five further faults (`--further`)
had no influence on the thresholds.

    python -m inference.planted_faults [--seeds 3] [--only NAME ...] [--further] [--quick]
"""

import argparse
from collections import Counter
from collections.abc import Callable

import jax

from inference import faults, healthy
from inference.healthy import Case, Settings
from probvae.criticism import Budget, Kind, Verdict, diagnose

BUDGET = Budget(300, 500, 20, 48, 200, 300)
SMALL = Budget(100, 200, 20, 8, 60, 100)
PLANTED: dict[Callable[[int, Settings], Case], str] = {
    faults.collapsed: "posterior collapse",
    faults.lagging: "lagging encoder",
    faults.overfitted_encoder: "overfitted encoder",
    faults.scale_to_zero: "scale shrinking to 0",
    faults.gaussian_on_counts: "wrong likelihood",
    faults.bernoulli_on_grey: "wrong likelihood",
    faults.hole_in_the_prior: "hole in the prior",
    faults.dead_decoder: "dead decoder",
    faults.underweighted_kl: "KL underweighted",
    faults.unconverged: "not converged",
    faults.narrow_guide: "guide too narrow",
}
HEALTHY = (
    healthy.linear_gaussian,
    healthy.mixture,
    healthy.plain_digits,
    healthy.mnist,
    healthy.counts,
)
FURTHER = (
    faults.wide_guide,
    faults.shuffled_test_pixels,
    faults.scale_too_small,
    faults.trained_too_long,
    faults.encoder_of_noise,
)


def diagnose_case(make: Callable, seed: int, settings: Settings, budget: Budget) -> Verdict:
    """Make a case and diagnose it."""
    case = make(seed, settings)
    key = jax.random.key(1000 + seed)
    return diagnose(case.fitted, case.held_out, train=case.train, rng_key=key, budget=budget).verdict


def row(name: str, expected: str, verdicts: list[Verdict]) -> str:
    """Return a row of the table: the planted fault, how often it was named, and other findings."""
    faults_, limits = (
        Counter(each.name for verdict in verdicts for each in verdict.of(kind))
        for kind in (Kind.FAULT, Kind.LIMIT)
    )
    named = faults_.pop(expected, 0) if expected else ""
    hit = f"{named} of {len(verdicts)}" if expected else "-"
    return f"| {name} | {expected or 'none'} | {hit} | {_counted(faults_)} | {_counted(limits)} |"


def _counted(names: Counter) -> str:
    return ", ".join(f"{name} ({count})" for name, count in names.most_common()) or "none"


def main() -> None:
    """Plant the faults, diagnose the fits, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="cases by name")
    parser.add_argument("--further", action="store_true", help="the five further faults")
    parser.add_argument("--quick", action="store_true", help="one key, short fits, few draws")
    args = parser.parse_args()
    settings, budget = (Settings(30), SMALL) if args.quick else (Settings(), BUDGET)
    cases = dict.fromkeys(FURTHER, "") if args.further else {**PLANTED, **dict.fromkeys(HEALTHY, "")}
    print("| case | planted | named | other faults named | limits |\n| --- | --- | --- | --- | --- |")
    for make, expected in cases.items():
        name = make.__name__.replace("_", " ")
        if args.only and make.__name__ not in args.only:
            continue
        seeds = range(1 if args.quick else args.seeds)
        verdicts = [diagnose_case(make, seed, settings, budget) for seed in seeds]
        print(row(name, expected, verdicts), flush=True)


if __name__ == "__main__":
    main()
