"""A run's folder: proved writable before training, and nothing in it ever overwritten."""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from probvae.training.checkpointing.lock import hold_lock

CONFIG, MODEL, FITTED = "config.json", "model.py", "fitted.safetensors"
METRICS, EPOCHS, FIGURES, REPORT = "metrics.json", "metrics.csv", "figures", "report.html"
CHECKPOINTS, LOCK, LINES = "checkpoints", ".lock", "metrics.jsonl"
SWEEP, BEST = "sweep.csv", "best.safetensors"
ROOT = Path("runs")


@contextmanager
def new_folder(out: str | os.PathLike | None, *, name: str) -> Iterator[Path]:
    """Make a run's folder and lock it; remove it if what follows ends before anything is fitted.

    Args:
        out: the folder, new or empty; None for ``runs/<name>``, ``runs/<name>-2``, ...
        name: the run's name.

    Raises:
        BlockingIOError: if another process is writing the folder.
        FileExistsError: if ``out`` holds something; the message says what.
        OSError: if no folder or file can be made there.
    """
    made: list[Path] = []
    try:
        with ExitStack() as stack:
            with _explain_folder(ROOT / name if out is None else Path(out)):
                folder = _make_next(name, made) if out is None else _make(Path(out), made)
                stack.enter_context(hold_lock(folder / LOCK))  # it proves that the folder is writable
            _check_free(folder)  # once more: another process may have been faster
            stack.enter_context(_remove_unless_fitted(folder))
            yield folder
    finally:
        for path in made:
            with suppress(OSError):  # it holds the run
                path.rmdir()


@contextmanager
def _explain_folder(folder: Path) -> Iterator[None]:
    """Say what is expected of a folder in which nothing can be written."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, BlockingIOError):  # it says so itself
            raise
        raise type(error)(
            error.errno,
            f"cannot write a run there ({error.strerror}); expected a folder that is new or empty, "
            "and writable. Give another one: --out DIR",
            str(folder),
        ) from error


def _make(folder: Path, made: list[Path]) -> Path:
    """Make a folder and its parents; add those that are new to ``made``, innermost first."""
    _check_free(folder)
    made += [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _make_next(name: str, made: list[Path]) -> Path:
    """Make the first of runs/name, runs/name-2, ... that is not there.

    Processes that begin at the same moment each get a folder of their own: ``mkdir`` succeeds in one
    of them.
    """
    if not ROOT.exists():
        made.append(ROOT)
    ROOT.mkdir(exist_ok=True)
    while True:
        folder = free_stem(ROOT, name)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        made.insert(0, folder)
        return folder


def _check_free(folder: Path) -> None:
    if folder.is_dir() and any(path.name != LOCK for path in folder.iterdir()):
        raise FileExistsError(
            f"{folder} holds {describe_folder(folder)}; expected a folder that is new or empty, since "
            "nothing is ever overwritten. Give another --out, or none for a new folder below runs/."
        )


@contextmanager
def _remove_unless_fitted(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if not (any((folder / name).exists() for name in (FITTED, BEST)) or checkpoints(folder)):
            for name in (CONFIG, MODEL, LINES):
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # there is none, or something else lies in it
                (folder / CHECKPOINTS).rmdir()
        raise


def checkpoints(folder: Path) -> list[Path]:
    """Return a run's checkpoints, the last one last."""
    return sorted((folder / CHECKPOINTS).glob("epoch-*"))


def epochs_kept(folder: Path) -> int:
    """Return the epoch of a run's last checkpoint; 0 without one."""
    kept = checkpoints(folder)
    return int(kept[-1].stem.removeprefix("epoch-")) if kept else 0


def remove_results(folder: Path) -> None:
    """Take away what was made of a fitted VAE, the report first: a run with a report is whole."""
    for name in (REPORT, METRICS, EPOCHS):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / FIGURES, ignore_errors=True)


def describe_folder(folder: Path) -> str:
    """Say what a folder holds: a run or a sweep of which model, or some other files."""
    try:
        config = read_json(folder / CONFIG)
        what = "a sweep" if "swept" in config else "a run"
        return f"{what} of {config['model']['file']} on {config['data']['name']} ({config['date']})"
    except (OSError, ValueError, KeyError, TypeError):
        names = sorted(path.name for path in folder.iterdir())
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"other files ({', '.join(names[:3])}{more})"


def free_stem(folder: Path, stem: str, *, suffixes: tuple[str, ...] = ("",)) -> Path:
    """Return folder/stem, or the first of stem-2, stem-3, ... under which no suffix is taken."""
    stems = (folder / (stem if n == 1 else f"{stem}-{n}") for n in count(1))
    return next(s for s in stems if not any(Path(f"{s}{end}").exists() for end in suffixes))


def write(path: Path, writer: Callable[[Path], Any]) -> Path:
    """Have ``writer`` write a file, which appears whole, and only where there is none."""
    if path.exists():
        raise FileExistsError(f"{path} exists; expected a new file: nothing is ever overwritten.")
    return _write_whole(path, writer)


def _write_whole(path: Path, writer: Callable[[Path], Any]) -> Path:
    """Have ``writer`` write a file of another name, and rename it."""
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        writer(partial)
        partial.replace(path)
    except OSError as error:
        if error.errno is None:
            raise
        # A full disk raises an error that names no file.
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a text file in UTF-8, whatever the encoding of the terminal."""
    return write(path, lambda partial: _write_utf8(partial, text))


def rewrite_text(path: Path, text: str) -> Path:
    """Put a text file in the place of another, at once: the report, which grows."""
    return _write_whole(path, lambda partial: _write_utf8(partial, text))


def _write_utf8(path: Path, text: str) -> None:
    # Python holds the bytes of a file name that is not UTF-8 as surrogates, which UTF-8 cannot encode.
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Write a JSON file; numbers that are not finite become null."""
    return write_text(path, json.dumps(finite(content), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: if it is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def finite(value: Any) -> Any:
    """Return what is to be JSON with None in the place of numbers that are not finite."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
