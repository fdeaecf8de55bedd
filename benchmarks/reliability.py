"""Runs that are killed: does each go on to the bits of the run that was not, and is nothing damaged?

`probvae train` is killed (SIGKILL) at named points of every phase (`kills`), over several variants,
at tiny sizes on digits; `probvae train --resume` then goes on in another process. What it comes to is
compared with a run that was never stopped: parameters and history, metrics, figures, the names of all
files. Right after the kill every file that has its name must be whole. Of the figures two are drawn.

Each run is a process of its own, forked from one that has imported the library and computed nothing.
Programs are shared through JAX's compilation cache, but by those runs that are killed as they compile.
One reference run has no cache: it must come to the same bits. Programs are compiled in haste
(`jax_disable_most_optimizations`), as in the tests: `--optimised` compiles them as a user's are.
"""

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import harness
import jax
import kills
from compared import damages, differences
from forked import VARIANTS, probvae, trained, whole

HASTE = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


class Outcome(NamedTuple):
    """What came of a kill: was it at its point, what was damaged by it, what differs after all."""

    phase: str
    point: str
    variant: str
    killed: bool
    damaged: list[str]
    different: list[str]


def outcome(base: Path, point: kills.Point, variant: str, seconds: float) -> Outcome:
    """Kill a run at a point, let it go on, and say what came of it."""
    name = f"{variant}-{point.phase}-{point.name}".replace(" ", "_").replace("%", "")
    run, log, cache = base / name, base / f"{name}.log", base / "cache"
    given = None if point.phase == "first compile" else cache
    for again in range(4):  # a timer may be late, where the machine has other work
        shutil.rmtree(run, ignore_errors=True)
        code = probvae(
            log, trained(run, variant), given, partial(kills.armed, point, seconds / 2**again)
        )
        if code == -signal.SIGKILL:
            break
    damaged = damages(run)
    went_on = probvae(log, ["train", "--resume", run], cache)
    wrong = [f"--resume ended with {went_on}: {log.read_text()[-500:]}"] if went_on else []
    wrong = wrong or differences(run, base / f"{variant}-whole")
    if not wrong:
        shutil.rmtree(run)
    told = code == -signal.SIGKILL, damaged + damages(run), wrong
    return Outcome(point.phase, point.name, variant, *told)


def plan(num: int, variants: list[str]) -> list[tuple[kills.Point, str]]:
    """Return so many kills of each phase, spread over points and variants."""
    phases: dict[str, list[kills.Point]] = {}
    for point in kills.points():
        phases.setdefault(point.phase, []).append(point)
    picked = []
    for number, found in enumerate(phases.values()):
        for at in range(num):
            index = at * len(found) // num if num < len(found) else at % len(found)
            picked.append((found[index], variants[(at + number + at // len(found)) % len(variants)]))
    return picked


def _worker(told: tuple) -> list[Outcome]:
    base, share, seconds = told
    done, points = [], {(point.phase, point.name): point for point in kills.points()}
    for place, variant in share:
        point = points[place]
        done.append(outcome(base, point, variant, seconds[variant]))
        told = "good" if _good(done[-1]) else done[-1]
        print(f"{variant}, {point.phase}, {point.name}: {told}", file=sys.stderr, flush=True)
    return done


def _good(found: Outcome) -> bool:
    return found.killed and not found.damaged and not found.different


def report(found: list[Outcome], uncached: list[str] | None) -> str:
    """Return the table, and what was not good."""
    head = ["killed", "kills", "at the point", "damaged folders", "resumed to the same bits"]
    rows = []
    for phase in dict.fromkeys(each.phase for each in found):
        of = [each for each in found if each.phase == phase]
        counts = [
            sum(map(bool, each)) for each in zip(*[(o.killed, o.damaged) for o in of], strict=True)
        ]
        same = sum(not each.different for each in of)
        rows.append([phase, *map(str, (len(of), counts[0], counts[1], same))])
    odd = [f"- {each}" for each in found if not _good(each)] or ["- nothing was otherwise"]
    variants = sorted({each.variant for each in found})
    cached = "not looked at" if uncached is None else uncached or "the same bits"
    told = f"- variants: {', '.join(variants)}; without the compilation cache: {cached}"
    return "\n".join([harness.table(head, rows), "", told, *odd])


def without_cache(base: Path, variant: str) -> list[str]:
    """Return in what a run that shares no program differs from one that does."""
    whole(base, variant, None, "uncached")
    return differences(base / f"{variant}-uncached", base / f"{variant}-whole")


def measure(
    base: Path, num: int, variants: list[str], workers: int, *, quick: bool
) -> tuple[list[Outcome], list[str] | None]:
    """Make the reference runs, then all kills; return what came of them."""
    seconds = {variant: whole(base, variant, base / "cache", "whole") for variant in variants}
    uncached = None if quick else without_cache(base, variants[0])
    asked = plan(num, variants)
    places = [((point.phase, point.name), variant) for point, variant in asked]
    shares = [(base, places[at::workers], seconds) for at in range(workers)]
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        found = [each for share in pool.imap(_worker, shares) for each in share]
    order = [point.phase for point, _ in asked]
    return sorted(found, key=lambda each: order.index(each.phase)), uncached


def run() -> None:
    parser = harness.options(__doc__, workers=2)
    parser.add_argument("--kills", type=int, default=10, help="of each phase")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--quick", action="store_true", help="without the run that has no cache")
    parser.add_argument("--optimised", action="store_true", help="compile as for a user")
    asked = parser.parse_args()
    jax.config.update("jax_disable_most_optimizations", not asked.optimised)
    if not asked.optimised and jax.__version_info__ < (0, 11):  # an unknown flag is fatal
        os.environ["XLA_FLAGS"] = HASTE
    with tempfile.TemporaryDirectory() as base:
        found, uncached = measure(
            Path(base), asked.kills, asked.variants, asked.workers, quick=asked.quick
        )
    body = report(found, uncached)
    harness.publish("reliability", body, write=asked.write)
    sys.exit(not all(map(_good, found)) or bool(uncached))


if __name__ == "__main__":
    run()
