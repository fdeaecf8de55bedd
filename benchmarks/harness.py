"""What the benchmarks share: contenders in processes of their own, interleaved, and their table."""

import argparse
import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
README = HERE / "README.md"


def has(python: str, module: str) -> bool:
    """Tell whether an interpreter can import a module."""
    find = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", find], check=False).returncode == 0


def run(python: str, contender: str, *told: object) -> dict:
    """Run one contender in its own process; return the JSON that it ends with."""
    command = [python, str(HERE / "contenders" / f"{contender}.py"), *map(str, told)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def interleaved(contenders: dict[str, Callable[[], dict]], rounds: int) -> dict[str, list[dict]]:
    """Run every contender once a round, in turning order, so that all meet the same noise."""
    found: dict[str, list[dict]] = {name: [] for name in contenders}
    for index in range(rounds):
        names = list(contenders)
        for name in names[:: 1 if index % 2 == 0 else -1]:
            start = time.perf_counter()
            found[name].append(contenders[name]())
            took = time.perf_counter() - start
            print(f"round {index + 1}: {name}, {took:.0f} s", file=sys.stderr, flush=True)
    return found


def steady(run: dict, clock: str = "seconds") -> float:
    """Return the median time of a run's epochs after the first, which compiles."""
    return statistics.median(run[clock][1:])


def times(runs: Sequence[dict], base: Sequence[dict]) -> dict[str, float]:
    """Return seconds, and the ratios of wall and CPU time to those of ``base``, as medians."""

    def ratio(clock: str) -> float:
        pairs = zip(runs, base, strict=True)
        return statistics.median(steady(r, clock) / steady(b, clock) for r, b in pairs)

    seconds = statistics.median(steady(r) for r in runs)
    return {"seconds": seconds, "ratio": ratio("seconds"), "cpu ratio": ratio("cpu")}


def ratios(
    found: dict[str, list[dict]], base: str, *, what: str, nats: str, digits: int
) -> tuple[str, dict[str, dict]]:
    """Return the table of times, ratios to ``base``, peaks and nats, and the numbers of ``times``.

    ``what`` and ``nats`` head the columns of seconds and of nats, which have so many ``digits``.
    """
    numbers = {name: times(runs, found[base]) for name, runs in found.items()}
    rows = [
        [
            name,
            f"{numbers[name]['seconds']:.2f}",
            f"{numbers[name]['ratio']:.2f}",
            f"{numbers[name]['cpu ratio']:.2f}",
            f"{statistics.median(r['peak'] for r in runs):.0f}",
            f"{statistics.median(r['nats'] for r in runs):.{digits}f}",
        ]
        for name, runs in found.items()
    ]
    head = ["contender", what, "ratio", "ratio of CPU time", "peak MiB", nats]
    return table(head, rows), numbers


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _stated(body: str) -> str:
    """Return a result with the machine, the versions, the date and the command that made it."""
    told = ["PATH" if os.path.isabs(word) else word for word in sys.argv[1:]]  # none of this machine
    command = shlex.join(["python", os.path.relpath(sys.argv[0]), *told])
    versions = ", ".join(f"{p} {version(p)}" for p in ("jax", "numpyro", "flax", "optax"))
    today = datetime.date.today().isoformat()
    cpu = f"{os.cpu_count()} cores, {_cpu()}, {_memory_gib():.0f} GiB, {platform.system()}"
    return f"{body}\n\n{today}; {cpu}; Python {platform.python_version()}, {versions}.\n`{command}`"


def options(doc: str, **numbers: int) -> argparse.ArgumentParser:
    """Return a parser of numbers, such as ``rounds=3``, each with its default, and of ``--write``."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    return parser


def publish(name: str, body: str, *, write: bool) -> None:
    """Print a result with its circumstances; if asked for, put it into README.md, too."""
    print(told := _stated(body))
    if write:
        _write(name, told)


def _write(name: str, body: str) -> None:
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = README.read_text().partition(begin)
    _, _, after = rest.partition(end)
    README.write_text(f"{before}{begin}\n{body}\n{end}{after}")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
