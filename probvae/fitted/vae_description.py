"""A VAE described by class names and field values, to compare a saved file with a VAE."""

import hashlib
import re
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import partial
from types import FunctionType
from typing import Any, TypeGuard

import jax
import numpy as np

from probvae.vae import VAE

NOT_COMPARED = {"training", "frozen"}  # how a VAE is trained, not what it is
PARTS = ("prior", "posterior", "likelihood", "encoder", "decoder")
LIBRARIES = {"builtins", "equinox", "flax", "jax", "jaxlib", "math", "numpy", "numpyro", "optax"}

# Parts of this package that had another name when a file was saved, old name first.
RENAMED_CLASSES = {
    "Bayesian": "BayesianNet",
    "Built": "PretrainedNet",
    "Conditional": "ConditionalNormal",
    "ConvTranspose": "ConvDecoder",
    "Perceptual": "PerceptualDistance",
    "ResNetTranspose": "ResNetDecoder",
    "Scanned": "RepeatedBlocks",
    "Stack": "RepeatedNets",
    "Transformed": "InputTransform",
}


def describe_vae(vae: Any) -> dict[str, str]:
    """Return the class of each part and the value of each field, by path.

    An example is ``{"likelihood": "Gaussian", "likelihood.scale": "FixedScale", ...}``. A function is
    described by its name. Your own functions are also described by the values that they enclose, by the
    floats in their code and, for a lambda, by the names in it. An object of an unknown kind, such as a
    module with weights, is described by its class alone.
    """
    texts: dict[str, str] = {}
    for field in fields(vae):
        if field.name not in NOT_COMPARED:
            _describe(field.name, getattr(vae, field.name), texts, ())
    return texts


def format_constructor(vae: VAE) -> str:
    """Return the call that builds a VAE, for the error of a file that does not fit."""
    return f"VAE({', '.join(f'{field.name}={getattr(vae, field.name)!r}' for field in fields(vae))})"


def _describe(path: str, value: object, texts: dict[str, str], above: tuple[int, ...]) -> None:
    texts[path] = _text(value)
    if id(value) not in above:  # a function may enclose itself
        for name, child in _children(value):
            _describe(f"{path}.{name}", child, texts, (*above, id(value)))


def _text(value: object) -> str:
    if _is_plain(value):
        return repr(value)
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, jax.Array | np.ndarray):
        return _array_text(value)
    if _is_own_function(value):
        code = value.__code__
        floats = [repr(each) for each in code.co_consts if isinstance(each, float)]
        details = [*(code.co_names if value.__name__ == "<lambda>" else ()), *floats]
        return f"{value.__qualname__}{details or ''}"
    is_function = isinstance(value, type) or (callable(value) and not is_dataclass(value))
    name = getattr(value, "__qualname__", getattr(value, "__name__", None)) if is_function else None
    return str(name or type(value).__qualname__)


def _is_plain(value: object) -> bool:
    """Tell whether the ``repr`` of a value describes it fully, and equally in every process."""
    if isinstance(value, tuple):
        return all(_is_plain(each) for each in value)
    return value is None or type(value) in (bool, int, float, complex, str, bytes)


def _array_text(array: jax.Array | np.ndarray) -> str:
    if jax.numpy.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    contiguous = np.ascontiguousarray(array)
    digest = hashlib.sha256(contiguous.tobytes()).hexdigest()[:16]
    return f"an array of shape {contiguous.shape} ({digest})"


def _is_own_function(value: object) -> TypeGuard[FunctionType]:
    """Tell whether a value is a Python function of the user's. A library's name identifies its own."""
    return isinstance(value, FunctionType) and str(value.__module__).split(".")[0] not in LIBRARIES


def _children(value: object) -> list[tuple[Any, Any]]:
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
    if _is_own_function(value):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        enclosed = [(name, cell.cell_contents) for name, cell in cells]
        return [*enclosed, *(value.__kwdefaults__ or {}).items(), *enumerate(value.__defaults__ or ())]
    return []


def find_differences(saved: dict[str, str], vae: Any) -> list[str]:
    """Return the parts and fields in which a VAE differs from a saved description, as sentences.

    A field that the description lacks was added by a later version. It may have its default value.
    """
    current = describe_vae(vae)
    different = {
        path
        for path in saved.keys() | current.keys()
        if not _is_same_text(saved.get(path), current.get(path))
    }
    different -= {path for path in different if path not in saved and _is_default(vae, path)}
    first = [path for path in sorted(different) if not any(_above(path, other) for other in different)]
    return [_difference(path, saved.get(path), current.get(path)) for path in first]


def _is_same_text(saved: str | None, current: str | None) -> bool:
    # Your own class may have one of the old names, so an equal name is compared first.
    return saved == current or (saved is not None and RENAMED_CLASSES.get(saved) == current)


def _difference(path: str, saved: str | None, current: str | None) -> str:
    renamed = f" (now {RENAMED_CLASSES[saved]})" if saved in RENAMED_CLASSES else ""
    return f"{path} is {saved or 'missing'}{renamed} in the file and {current or 'missing'} in the VAE"


def _above(path: str, other: str) -> bool:
    return path.startswith(f"{other}.")


def _is_default(vae: Any, path: str) -> bool:
    """Tell whether a field has the default value of its class, or lies below one that has."""
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


def find_other_parts(text: str, vae: VAE) -> list[str]:
    """Return the parts whose class differs from that in the ``repr`` of a VAE, as sentences.

    The first versions of the file format hold nothing else.
    """
    matches = {part: re.search(rf"\b{part}=(\w+)\(", text) for part in PARTS}
    saved = {part: match[1] for part, match in matches.items() if match is not None}
    current = {part: type(getattr(vae, part)).__qualname__ for part in PARTS}
    return [
        _difference(part, name, current[part])
        for part, name in saved.items()
        if not _is_same_text(name, current[part])
    ]
