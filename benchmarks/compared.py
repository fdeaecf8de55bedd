"""What is compared of the folders of runs: is every file whole, and do two runs hold the same bits?"""

import json
from pathlib import Path

from safetensors.numpy import load_file

from probvae.training.checkpointing import file_format


def damages(folder: Path) -> list[str]:
    """Return what is wrong with those files of a run's folder that have their names."""
    readers = {".json": lambda path: json.loads(path.read_text()), ".safetensors": load_file}
    found = []
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".") or path.name.endswith(".partial") or path.is_dir():
            continue
        reader = file_format.read if path.name.startswith("epoch-") else readers.get(path.suffix)
        try:
            if reader:
                reader(path)
            elif path.stat().st_size == 0 and path.name != "lock":
                raise ValueError("empty")
        except Exception as error:
            found.append(f"{path.name}: {type(error).__name__} {error}")
    return found


def differences(run: Path, whole: Path) -> list[str]:
    """Return in what a run's folder differs from another's, seconds and dates aside."""
    one, other = (sorted(str(p.relative_to(f)) for p in f.rglob("*")) for f in (run, whole))
    if one != other:
        return [f"names: {sorted(set(one) ^ set(other))}"]
    arrays = [load_file(folder / "fitted.safetensors") for folder in (run, whole)]
    found = [n for n in sorted(arrays[0].keys() | arrays[1].keys()) if not _same(n, *arrays)]
    numbers = [_numbers(folder / "metrics.json") for folder in (run, whole)]
    found += [] if numbers[0] == numbers[1] else [f"metrics.json: {numbers}"]
    alike = [name for name in one if name.endswith((".csv", ".png", ".py"))]
    return found + [n for n in alike if (run / n).read_bytes() != (whole / n).read_bytes()]


def _same(name: str, one: dict, other: dict) -> bool:
    return name in one and name in other and one[name].tobytes() == other[name].tobytes()


def _numbers(path: Path) -> dict:
    found = json.loads(path.read_text())
    for part in found.values():
        for name in ("seconds", "since_epoch"):
            if isinstance(part, dict):
                part.pop(name, None)
    return found
