"""The contents of an object, one level down: of containers, functions, partials and dataclasses.

Two modules compare objects by their contents. ``compile_cache`` shares one compiled program between
equal optimizers, and ``checkpointing.fingerprint`` recognises the call that wrote a checkpoint.
"""

from dataclasses import fields, is_dataclass
from functools import partial
from types import CellType, FunctionType
from typing import Any


def list_contents(part: object) -> list[Any] | None:
    """Return the objects that a part is made of, or None for a leaf, such as a number.

    Of a function: module, name, code, defaults and the values that it encloses.
    """
    if isinstance(part, tuple | list):
        return list(part)
    if isinstance(part, dict):
        return [each for pair in part.items() for each in pair]
    if isinstance(part, partial):
        return [part.func, part.args, part.keywords]
    if is_dataclass(part) and not isinstance(part, type):
        return [(field.name, getattr(part, field.name)) for field in fields(part)]
    if isinstance(part, FunctionType):
        cells = [cell.cell_contents for cell in part.__closure__ or () if is_filled(cell)]
        names = [part.__module__, part.__qualname__]
        return [*names, part.__code__, part.__defaults__, part.__kwdefaults__, cells]
    return None


def is_filled(cell: CellType) -> bool:
    """Return whether an enclosed variable has a value yet, other than the cell itself."""
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False
