"""Points in what is written: files and folders that a run makes, names, and takes away."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kills.point import Point, die
from probvae.fitted import serialization
from probvae.runs import training as runs
from probvae.training.checkpointing import file_format


def written(phase: str, file: str, share: float, nth: int = 1) -> Point:
    """Die where so much of a file is written: of the nth with a name that holds ``file``."""

    def arm(_: float) -> None:
        text, opened, save = Path.write_text, Path.open, serialization.save_file
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

        Path.write_text, Path.open, serialization.save_file = write_text, open_, save_file

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

        file_format.os.fsync = fsync

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
