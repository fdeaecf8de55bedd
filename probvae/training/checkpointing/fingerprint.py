"""Digests of a run's configuration: equal in every process, different for different settings."""

import hashlib
from collections.abc import Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from probvae.data.streamed import StreamedData
from probvae.training.object_contents import list_contents
from probvae.typing import ArrayLike

if TYPE_CHECKING:
    from hashlib import _Hash


def fingerprint(parts: Mapping[str, Any]) -> dict[str, str]:
    """Return a digest of each part.

    Numbers, text, arrays (their bytes), containers and dataclasses count by value. A function, such as
    those in an optimizer, counts by its name, enclosed values, defaults, and the names and constants
    in its code. Any other object counts by type and attributes. No digest depends on a memory address.
    """
    return {name: _digest(part) for name, part in parts.items()}


def _digest(part: object) -> str:
    digest = hashlib.sha256()
    _add(digest, part, ())
    return digest.hexdigest()[:16]


def _add(digest: "_Hash", part: object, above: tuple[int, ...]) -> None:
    part = _list_code(part) if isinstance(part, CodeType) else part
    kind = type(part)
    digest.update(f"<{kind.__module__}.{kind.__qualname__}".encode())
    if id(part) not in above:  # an object may contain itself
        _add_content(digest, part, (*above, id(part)))
    digest.update(b">")


def _add_content(digest: "_Hash", part: Any, above: tuple[int, ...]) -> None:
    if part is None or isinstance(part, bool | int | float | complex | str | bytes | np.dtype):
        digest.update(repr(part).encode())
    elif isinstance(part, jax.Array | np.ndarray | np.generic):
        _add_array(digest, part)
    elif isinstance(part, StreamedData):
        digest.update(f"{part.dtype} {part.shape}".encode())
        for block in part.iterate_chunks():
            digest.update(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)
    elif isinstance(part, set | frozenset):
        digest.update("".join(sorted(_digest(item) for item in part)).encode())
    else:
        for item in _items(part):
            _add(digest, item, above)


def _add_array(digest: "_Hash", part: ArrayLike | np.generic) -> None:
    if isinstance(part, jax.Array) and jax.numpy.issubdtype(part.dtype, jax.dtypes.prng_key):
        digest.update(str(jax.random.key_impl(part)).encode())
        part = jax.random.key_data(part)
    array = np.ascontiguousarray(part)
    digest.update(f"{array.dtype} {array.shape}".encode())
    digest.update(array.reshape(-1).view(np.uint8).data)


def _items(part: object) -> list[Any]:
    if isinstance(part, type):
        return [part.__module__, part.__qualname__]
    if isinstance(part, MethodType):
        return [part.__func__, part.__self__]
    wrapped = getattr(part, "__wrapped__", None)
    if isinstance(wrapped, FunctionType) and not isinstance(part, partial):
        part = wrapped
    contents = list_contents(part)
    return sorted(getattr(part, "__dict__", {}).items()) if contents is None else contents


def _list_code(code: CodeType) -> list[Any]:
    """Return the names and numbers in code: they tell apart two lambdas with one name.

    The bytecode is not included, because it changes with the version of Python.
    """
    numbers = [value for value in code.co_consts if isinstance(value, int | float | complex)]
    inner = [_list_code(value) for value in code.co_consts if isinstance(value, CodeType)]
    return [list(code.co_names), numbers, inner]
