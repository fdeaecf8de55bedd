"""Where a run is killed: a name for each point, and how a process comes to end itself there.

Nothing in the library knows of it: in the process that is to die, and in no other, one function is
replaced by one that does the same and sends SIGKILL to its own process on the way.
"""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from probvae.runs import training as runs
from probvae.training import checkpoint_file, looking, loop, store


class Point(NamedTuple):
    """A point of a run: in which phase, its name, and what makes a process die there."""

    phase: str
    name: str
    arm: Callable[[float], None]  # is told how many seconds the first compilation takes


def die() -> None:
    """End this process as a machine that stops does: nothing is closed, flushed or taken away."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def compiling(share: float) -> Point:
    """Die so far into the time from the start of ``fit``'s first program to the first epoch's end."""

    def arm(seconds: float) -> None:
        start, epoch, compiled = loop.start, loop.epoch, threading.Event()

        def wait() -> None:
            if not compiled.wait(share * seconds):
                die()

        def started(*told: Any) -> Any:
            threading.Thread(target=wait, daemon=True).start()
            return start(*told)

        def first(*told: Any, **options: Any) -> Any:
            found = epoch(*told, **options)  # it comes back when it is compiled, and at work
            compiled.set()
            return found

        loop.start, loop.epoch = started, first

    return Point("first compile", f"after {share:.0%}", arm)


def stepping(epoch: int, step: int) -> Point:
    """Die in an epoch (from 1), where the batch of a step (from 1) is ready."""
    return Point("in an epoch", f"epoch {epoch}, step {step}", _doubled(loop, "observed", epoch, step))


def validating(epoch: int, batch: int) -> Point:
    """Die in an epoch (from 1), after its steps, where a batch (from 1) of validation data is seen."""
    name = f"epoch {epoch}, batch {batch}"
    return Point("in validation", name, _doubled(looking, "terms", epoch, batch))


def _doubled(module: Any, name: str, number: int, call: int) -> Callable[[float], None]:
    """Run one epoch by a double of its program, which tells the host of each call of a function.

    The epochs before it are taken by the program itself, so that what they keep is what it gives.
    """

    def arm(_: float) -> None:
        real, called = loop.epoch, iter(range(1, number + 1))

        def epoch(*told: Any, **options: Any) -> Any:
            if next(called) < number:
                return real(*told, **options)
            setattr(module, name, _told_of(getattr(module, name), call))
            return jax.jit(_again(real.__wrapped__), static_argnums=0)(*told, **options)

        loop.epoch = epoch

    return arm


def _again(function: Callable) -> Callable:
    """Return the same as another function: JAX would take what it has traced of that one."""
    return lambda *told: function(*told)


def _told_of(function: Callable, call: int) -> Callable:
    seen = iter(range(1, call + 1))

    def tell(_: Any) -> None:
        if next(seen) == call:
            die()

    def told_of(*given: Any) -> Any:
        found = function(*given)
        jax.debug.callback(tell, jax.tree.leaves(found)[0])
        return found

    return told_of


def written(phase: str, file: str, share: float, nth: int = 1) -> Point:
    """Die where so much of a file is written: of the nth with a name that holds ``file``."""

    def arm(_: float) -> None:
        text, opened, save = Path.write_text, Path.open, store.save_file
        count = iter(range(1, nth + 1))

        def is_it(path: Path) -> bool:
            return file in path.name and "partial" in path.name and next(count) == nth

        def write_text(path: Path, content: str, **options: Any) -> int:
            if is_it(path):
                text(path, content[: int(len(content) * share)], **options)
                die()
            return text(path, content, **options)

        def open_(path: Path, mode: str = "r", *told: Any, **options: Any) -> Any:
            found = opened(path, mode, *told, **options)
            return _Cut(found, share) if mode == "wb" and is_it(path) else found

        def save_file(arrays: dict, path: Path, metadata: dict) -> None:
            save(arrays, path, metadata)
            if is_it(path):
                os.truncate(path, int(path.stat().st_size * share))
                die()

        Path.write_text, Path.open, store.save_file = write_text, open_, save_file

    return Point(phase, f"{_named(file, nth)}, {share:.0%} of it written", arm)


class _Cut:
    """A file that takes a part of what is written, and ends the process."""

    def __init__(self, file: Any, share: float) -> None:
        self._file, self._share = file, share

    def __enter__(self) -> "_Cut":
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def write(self, content: bytes) -> None:
        self._file.write(content[: int(len(content) * self._share)])
        self._file.flush()
        die()


def renamed(phase: str, file: str, nth: int = 1, *, after: bool = False) -> Point:
    """Die before, or right after, a file gets its name: the nth with a name that holds ``file``."""

    def arm(_: float) -> None:
        replace, count = Path.replace, iter(range(1, nth + 1))

        def renaming(path: Path, target: Any) -> Any:
            here = file in path.name and next(count) == nth
            if here and not after:
                die()
            found = replace(path, target)
            if here:
                die()
            return found

        Path.replace = renaming

    return Point(phase, f"{_named(file, nth)}, {'after' if after else 'before'} its renaming", arm)


def settled(nth: int) -> Point:
    """Die before the nth order to write to the disk: a checkpoint's own, then its folder's."""

    def arm(_: float) -> None:
        real, count = os.fsync, iter(range(1, nth + 1))

        def fsync(descriptor: int) -> None:
            if next(count) == nth:
                die()
            real(descriptor)

        checkpoint_file.os.fsync = fsync

    return Point("in a checkpoint", f"before fsync {nth}", arm)


def thinned() -> Point:
    """Die before the oldest checkpoint is taken away."""

    def arm(_: float) -> None:
        unlink = Path.unlink

        def unlinking(path: Path, **options: Any) -> None:
            if path.name.startswith("epoch-") and path.exists():
                die()
            unlink(path, **options)

        Path.unlink = unlinking

    return Point("in a checkpoint", "before the oldest goes", arm)


def evaluating() -> Point:
    """Die in the evaluation, between ELBO and log p(x)."""

    def arm(_: float) -> None:
        kind = runs.Fitted
        kind.log_prob = lambda *_, **__: die()

    return Point("in the report", "the evaluation", arm)


def cleaning(left: str) -> Point:
    """Die in taking the checkpoints away at the very end: the last is gone, or all but the folder."""

    def arm(_: float) -> None:
        def rmtree(path: Path, **_: Any) -> None:
            for file in sorted(Path(path).iterdir(), reverse=True)[: 1 if left == "one" else None]:
                file.unlink()
            die()

        runs.shutil = _Instead(rmtree)

    return Point("in the report", f"checkpoints going, {left} left", arm)


class _Instead:
    def __init__(self, rmtree: Callable) -> None:
        self.rmtree = rmtree

    def __getattr__(self, name: str) -> Any:
        return getattr(shutil, name)


def _named(file: str, nth: int) -> str:
    return file if nth == 1 else f"{file} {nth}"


def points() -> Iterator[Point]:
    """Yield all points: a run of 4 epochs of 11 steps and 3 batches of validation data has them."""
    yield from map(compiling, (0.05, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98))
    at = ((1, 1), (1, 7), (1, 11), (2, 1), (2, 5), (2, 11), (3, 2), (3, 9), (4, 1), (4, 11))
    yield from (stepping(*each) for each in at)
    phase, file = "in a checkpoint", "epoch-"
    yield from (written(phase, file, share, nth) for share, nth in ((0.0, 1), (0.5, 2), (0.99, 3)))
    yield from map(settled, (1, 2, 3))
    yield from (renamed(phase, file, 1), renamed(phase, file, 3), renamed(phase, file, 2, after=True))
    yield thinned()
    yield from (validating(epoch, batch) for epoch in (1, 2, 3, 4) for batch in (1, 3))
    yield from (validating(2, 2), validating(3, 2))
    phase = "in the report"
    yield from (written(phase, "fitted", 0.5), renamed(phase, "fitted"), written(phase, "metrics", 0.5))
    yield evaluating()
    yield from (
        written(phase, "metrics", 0.5, 2),
        renamed(phase, ".curves"),
        renamed(phase, ".samples"),
    )
    yield from (written(phase, "report", 0.5), cleaning("one"), cleaning("none"))


def armed(point: Point, seconds: float) -> None:
    """Make this process die at a point."""
    print(f"to be killed {point.phase}: {point.name}", file=sys.stderr, flush=True)
    point.arm(seconds)
