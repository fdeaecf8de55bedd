"""What a VAE is made of, as names and texts: kept in a saved file, and compared where it is loaded."""

import hashlib
import re
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import partial
from types import FunctionType
from typing import Any

import jax
import numpy as np

NOT_COMPARED = {"training", "frozen"}  # how a VAE is trained, not what it is
PARTS = ("prior", "posterior", "likelihood", "encoder", "decoder")
SHOWN = 3  # differences that an error names
LIBRARIES = {"builtins", "equinox", "flax", "jax", "jaxlib", "math", "numpy", "numpyro", "optax"}


def describe_vae(vae: Any) -> dict[str, str]:
    """Return the class of each part and the value of each field, by path.

    An example is ``{"likelihood": "Gaussian", "likelihood.scale": "FixedScale", ...}``. A function is
    its name. A function of the user's own is also the values that it encloses, the floats in its code
    and, for a lambda, the names there. Of an object of an unknown kind, such as a module with weights,
    only the class is compared.
    """
    texts: dict[str, str] = {}
    for field in fields(vae):
        if field.name not in NOT_COMPARED:
            _describe(field.name, getattr(vae, field.name), texts, ())
    return texts


def _describe(path: str, value: Any, texts: dict[str, str], above: tuple[int, ...]) -> None:
    texts[path] = _text(value)
    if id(value) not in above:  # not what encloses itself
        for name, child in _children(value):
            _describe(f"{path}.{name}", child, texts, (*above, id(value)))


def _text(value: Any) -> str:
    if _is_plain(value):
        return repr(value)
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, jax.Array | np.ndarray):
        return _array_text(value)
    if isinstance(value, FunctionType) and not _is_a_librarys(value):
        code = value.__code__
        floats = [repr(each) for each in code.co_consts if isinstance(each, float)]
        said = [*(code.co_names if value.__name__ == "<lambda>" else ()), *floats]
        return f"{value.__qualname__}{said or ''}"
    function = isinstance(value, type) or (callable(value) and not is_dataclass(value))
    name = getattr(value, "__qualname__", getattr(value, "__name__", None)) if function else None
    return str(name or type(value).__qualname__)


def _is_plain(value: Any) -> bool:
    """Say whether the ``repr`` of a value says what it is, in every process."""
    if isinstance(value, tuple):
        return all(_is_plain(each) for each in value)
    return value is None or type(value) in (bool, int, float, complex, str, bytes)


def _array_text(array: Any) -> str:
    if jax.numpy.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    contiguous = np.ascontiguousarray(array)
    digest = hashlib.sha256(contiguous.tobytes()).hexdigest()[:16]
    return f"an array of shape {contiguous.shape} ({digest})"


def _is_a_librarys(function: Any) -> bool:
    """Say whether a function comes with a library, where its name says what it is."""
    return str(function.__module__).split(".")[0] in LIBRARIES


def _children(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, type) or _is_plain(value):
        return []
    if is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in fields(value) if field.compare]
    if isinstance(value, partial):
        return [("func", value.func), *enumerate(value.args), *value.keywords.items()]
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, FunctionType) and not _is_a_librarys(value):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        enclosed = [(name, cell.cell_contents) for name, cell in cells]
        return [*enclosed, *(value.__kwdefaults__ or {}).items(), *enumerate(value.__defaults__ or ())]
    return []


def find_differences(saved: dict[str, str], vae: Any) -> list[str]:
    """Return in which parts and fields a VAE differs from a description, as sentences.

    A field that the description lacks was added by a later version. It may have its default value.
    """
    now = describe_vae(vae)
    different = {path for path in saved.keys() | now.keys() if saved.get(path) != now.get(path)}
    different -= {path for path in different if path not in saved and _is_default(vae, path)}
    first = [path for path in sorted(different) if not any(_above(path, other) for other in different)]
    return [
        f"{path} is {saved.get(path, 'not there')} in the file and {now.get(path, 'not there')} in the "
        "VAE given"
        for path in first
    ]


def _above(path: str, other: str) -> bool:
    return path.startswith(f"{other}.")


def _is_default(vae: Any, path: str) -> bool:
    """Say whether a field has the default of its class, or is below one that has."""
    owner = vae
    for name in path.split("."):
        if not is_dataclass(owner):
            return False
        field = next(each for each in fields(owner) if each.name == name)
        value = getattr(owner, name)
        if _default(field) is not MISSING and _default(field) == value:
            return True
        owner = value
    return False


def _default(field: Field) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def find_other_parts(text: str, vae: Any) -> list[str]:
    """Return which parts are of another class than in the ``repr`` of a VAE.

    Files of earlier versions hold nothing else.
    """
    saved = {part: re.search(rf"\b{part}=(\w+)\(", text) for part in PARTS}
    names = {part: type(getattr(vae, part)).__qualname__ for part in PARTS}
    return [
        f"{part} is {found[1]} in the file and {names[part]} in the VAE given"
        for part, found in saved.items()
        if found is not None and found[1] != names[part]
    ]
