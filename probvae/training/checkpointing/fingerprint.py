"""What a configuration is, as digests: equal in another process, different for another setting."""

import hashlib
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import jax
import numpy as np

from probvae.data.streamed import StreamedData


def fingerprint(parts: dict[str, Any]) -> dict[str, str]:
    """Return a digest of each part.

    Of numbers and text, arrays (their bytes), containers and dataclasses; of a function, such as those
    an optimizer is made of: its name, what it encloses, its defaults, and the names and constants in
    its code. Of
    other objects: the type and the attributes. What is told apart so is never told apart by where it
    lies in memory.
    """
    return {name: _digest(part) for name, part in parts.items()}


def _digest(part: Any) -> str:
    digest = hashlib.sha256()
    _add(digest, part, ())
    return digest.hexdigest()[:16]


def _add(digest: Any, part: Any, above: tuple[int, ...]) -> None:
    kind = type(part)
    digest.update(f"<{kind.__module__}.{kind.__qualname__}".encode())
    if id(part) not in above:  # not what holds itself
        _add_content(digest, part, (*above, id(part)))
    digest.update(b">")


def _add_content(digest: Any, part: Any, above: tuple[int, ...]) -> None:
    if part is None or isinstance(part, bool | int | float | complex | str | bytes | np.dtype):
        digest.update(repr(part).encode())
    elif isinstance(part, jax.Array | np.ndarray | np.generic):
        _add_array(digest, part)
    elif isinstance(part, StreamedData):
        digest.update(f"{part.dtype} {part.shape}".encode())
        for block in part.iterate_chunks():
            digest.update(np.ascontiguousarray(block).reshape(-1).view(np.uint8))
    elif isinstance(part, set | frozenset):
        digest.update("".join(sorted(_digest(item) for item in part)).encode())
    else:
        for item in _items(part):
            _add(digest, item, above)


def _add_array(digest: Any, part: Any) -> None:
    if isinstance(part, jax.Array) and jax.numpy.issubdtype(part.dtype, jax.dtypes.prng_key):
        digest.update(str(jax.random.key_impl(part)).encode())
        part = jax.random.key_data(part)
    array = np.ascontiguousarray(part)
    digest.update(f"{array.dtype} {array.shape}".encode())
    digest.update(array.reshape(-1).view(np.uint8))


def _items(part: Any) -> list[Any]:
    if isinstance(part, tuple | list):
        return list(part)
    if isinstance(part, dict):
        return [each for pair in part.items() for each in pair]
    if isinstance(part, type):
        return [part.__module__, part.__qualname__]
    if isinstance(part, MethodType):
        return [part.__func__, part.__self__]
    if isinstance(part, partial):
        return [part.func, part.args, part.keywords]
    if is_dataclass(part):
        return [(field.name, getattr(part, field.name)) for field in fields(part)]
    if isinstance(function := getattr(part, "__wrapped__", part), FunctionType):
        return _of_function(function)
    return sorted(getattr(part, "__dict__", {}).items())


def _of_function(function: FunctionType) -> list[Any]:
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    names = [function.__module__, function.__qualname__]
    code = _of_code(function.__code__)
    return [*names, code, function.__defaults__, function.__kwdefaults__, cells]


def _of_code(code: CodeType) -> list[Any]:
    """Return what two lambdas differ in that have one name: ``tanh`` and ``relu``, 2 and 3."""
    numbers = [value for value in code.co_consts if isinstance(value, int | float | complex)]
    inner = [_of_code(value) for value in code.co_consts if isinstance(value, CodeType)]
    return [list(code.co_names), numbers, inner]


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False
