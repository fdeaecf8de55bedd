"""The folder of a run and the files in it. A file with results is never overwritten."""

import json
import math
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from probvae.faq import cite
from probvae.training.checkpointing.lock import hold_lock

CONFIG, MODEL, FITTED = "config.json", "model.py", "fitted.safetensors"
METRICS, EPOCHS, FIGURES, REPORT = "metrics.json", "metrics.csv", "figures", "report.html"
CHECKPOINTS, LOCK, LINES = "checkpoints", ".lock", "metrics.jsonl"
SWEEP, BEST = "sweep.csv", "best.safetensors"
ROOT = Path("runs")


@contextmanager
def new_folder(out: str | os.PathLike | None, *, name: str) -> Iterator[Path]:
    """Make a run's folder and lock it. Remove it if an error comes before anything is fitted.

    Args:
        out: the folder, new or empty. None for ``runs/<name>``, ``runs/<name>-2``, ...
        name: the run's name.

    Raises:
        BlockingIOError: if another process is writing the folder.
        FileExistsError: if ``out`` has other content, which the message names.
        OSError: if you cannot write there.
    """
    new_folders: list[Path] = []  # innermost first
    try:
        with ExitStack() as stack:
            with _explain_folder(ROOT / name if out is None else Path(out)):
                folder = (
                    _make_numbered_folder(name, new_folders)
                    if out is None
                    else _make_folder(Path(out), new_folders)
                )
                stack.enter_context(hold_lock(folder / LOCK))  # also proves that the folder is writable
            _check_free(folder)  # again, since another process may have used it in the meantime
            stack.enter_context(_remove_unless_fitted(folder))
            yield folder
    finally:
        for path in new_folders:
            with suppress(OSError):  # the run is in it
                path.rmdir()


@contextmanager
def _explain_folder(folder: Path) -> Iterator[None]:
    """Turn an error of the file system into one that names the folder and the option --out."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, BlockingIOError):  # a lock's own message is clear
            raise
        raise type(error)(
            error.errno,
            f"cannot write a run there ({error.strerror}). Choose a folder that is new or empty, and "
            "writable: --out DIR",
            str(folder),
        ) from error


def _make_folder(folder: Path, new_folders: list[Path]) -> Path:
    _check_free(folder)
    new_folders += [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _make_numbered_folder(name: str, new_folders: list[Path]) -> Path:
    """Make the first new folder of runs/name, runs/name-2, ..."""
    if not ROOT.exists():
        new_folders.append(ROOT)
    ROOT.mkdir(exist_ok=True)
    while True:
        folder = free_stem(ROOT, name)
        try:
            folder.mkdir()
        except FileExistsError:  # another process has just made it, and that run is not ours
            continue
        new_folders.insert(0, folder)
        return folder


def _check_free(folder: Path) -> None:
    if folder.is_dir() and any(path.name != LOCK for path in folder.iterdir()):
        resume = f"To continue that run: {resume_command(folder)}. " if _can_resume(folder) else ""
        raise FileExistsError(
            f"{folder} contains {describe_folder(folder)}; expected a folder that is new or empty. "
            f"{resume}Choose another --out, or omit it for a new folder in runs/. "
            f"{cite('run-folder-exists')}"
        )


def _can_resume(folder: Path) -> bool:
    """Return whether a folder has a run, not a sweep, that was stopped before its end."""
    try:
        settings = read_json(folder / CONFIG).get("settings")  # a sweep has none
    except (OSError, ValueError, AttributeError):
        return False
    return isinstance(settings, dict) and (folder / MODEL).is_file() and not is_complete(folder)


@contextmanager
def _remove_unless_fitted(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        # A run that has a fitted VAE or a checkpoint can be resumed. Anything less is of no use.
        if not (any((folder / name).exists() for name in (FITTED, BEST)) or list_checkpoints(folder)):
            for name in (CONFIG, MODEL, LINES):
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # it does not exist, or has other content
                (folder / CHECKPOINTS).rmdir()
            if isinstance(error, KeyboardInterrupt):
                error.add_note(f"The files of this run in {folder} are removed.")
        raise


def is_complete(folder: Path) -> bool:
    """Return whether a run has nothing left to do: its training ended, and its report is written."""
    return (folder / REPORT).exists() and not list_checkpoints(folder)


def resume_command(folder: Path) -> str:
    """Return the command that continues a run."""
    return shlex.join(["probvae", "train", "--resume", str(folder)])


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the paths of a run's checkpoints, in the order of their epochs."""
    return sorted((folder / CHECKPOINTS).glob("epoch-*"))


def last_checkpoint_epoch(folder: Path) -> int:
    """Return the epoch of a run's last checkpoint, or 0 without a checkpoint."""
    paths = list_checkpoints(folder)
    return int(paths[-1].stem.removeprefix("epoch-")) if paths else 0


def remove_results(folder: Path) -> None:
    """Remove the results of a run. The report goes first, since it marks a complete run."""
    for name in (REPORT, METRICS, EPOCHS):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / FIGURES, ignore_errors=True)


def describe_folder(folder: Path) -> str:
    """Return the content of a folder in words: a run, a sweep, or the names of other files."""
    try:
        config = read_json(folder / CONFIG)
        if "compared" in config:
            return f"a comparison of {', '.join(config['compared'])} ({config['date']})"
        kind = "a sweep" if "swept" in config else "a run"
        return f"{kind} of {config['model']['file']} on {config['data']['name']} ({config['date']})"
    except (OSError, ValueError, KeyError, TypeError):
        names = sorted(path.name for path in folder.iterdir())
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"other files ({', '.join(names[:3])}{more})"


def free_stem(folder: Path, stem: str, *, suffixes: tuple[str, ...] = ("",)) -> Path:
    """Return the first of folder/stem, folder/stem-2, ... that exists with none of the suffixes."""
    stems = (folder / (stem if n == 1 else f"{stem}-{n}") for n in count(1))
    return next(s for s in stems if not any(Path(f"{s}{end}").exists() for end in suffixes))


def write(path: Path, writer: Callable[[Path], Any]) -> Path:
    """Write a new file with ``writer``. It appears only when it is complete."""
    if path.exists():
        raise FileExistsError(f"{path} exists; expected a new file. Files are never overwritten.")
    return _replace_file(path, writer)


def _replace_file(path: Path, writer: Callable[[Path], Any]) -> Path:
    """Write a file under another name, then rename it: a reader never sees half of it."""
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
    """Write a text file in UTF-8, which need not be the encoding of the terminal."""
    return write(path, lambda partial: _write_utf8(partial, text))


def rewrite_text(path: Path, text: str) -> Path:
    """Replace a text file, such as a report that gets a new section."""
    return _replace_file(path, lambda partial: _write_utf8(partial, text))


def _write_utf8(path: Path, text: str) -> None:
    # Python holds the bytes of a file name that is not UTF-8 as surrogates, which UTF-8 cannot encode.
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Write a JSON file, in which numbers that are not finite become null."""
    return write_text(path, json.dumps(replace_nonfinite(content), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: if it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def replace_nonfinite(value: Any) -> Any:
    """Return JSON content with None for each number that is not finite."""
    if isinstance(value, dict):
        return {key: replace_nonfinite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_nonfinite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
