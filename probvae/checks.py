"""Checks of arguments and of a part's fields: kinds, numbers, sizes, keys and functions.

A field's annotation states its valid values: ``components: PositiveInt``. ``Checked`` checks every
field when a part is made. A part has its own checks only for conditions on several fields.
"""

import inspect
import os
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields
from dataclasses import field as dataclass_field
from functools import wraps
from typing import Annotated, Any, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from probvae.faq import cite

MOST = 2**31  # no array has an axis of this length

PATH = str | os.PathLike
WORDS = {
    bool: "True or False",
    float: "a number",
    float | int: "a number",
    int: "an integer",
    str: "text",
    type(None): "None",
    PATH: "a path, such as 'runs/first'",
    tuple[int, ...]: "a tuple of integers, such as (32, 64)",
}


@dataclass(frozen=True)
class Requirement:
    """A condition on a value of the right kind, with its words for errors.

    Without ``holds`` there is no condition, and the words replace the name of the kind.
    """

    words: str
    holds: Callable[[Any], bool] = lambda value: True


Number = float | int
PositiveInt = Annotated[int, Requirement("a positive integer", lambda n: n >= 1)]
IntAboveOne = Annotated[int, Requirement("an integer >= 2", lambda n: n >= 2)]
NonNegativeInt = Annotated[int, Requirement("an integer >= 0", lambda n: n >= 0)]
PositiveFloat = Annotated[Number, Requirement("a finite number > 0", lambda v: 0 < v < np.inf)]
NonNegativeFloat = Annotated[
    float | int, Requirement("a finite number >= 0", lambda v: 0 <= v < np.inf)
]
UnitInterval = Annotated[Number, Requirement("a number in [0, 1]", lambda v: 0 <= v <= 1)]
OpenUnitInterval = Annotated[Number, Requirement("a number in (0, 1)", lambda v: 0 < v < 1)]
Rate = Annotated[Number, Requirement("a rate in [0, 1)", lambda v: 0 <= v < 1)]
Sizes = Annotated[
    tuple[int, ...],
    Requirement(
        "a tuple of positive integers, such as (32, 64)", lambda sizes: all(n >= 1 for n in sizes)
    ),
]

LOOSER = "looser"  # the metadata of a field that bounds a log scale


def scale_bound(default: float, *, looser: float) -> Any:
    """Declare a field that bounds the logarithm of a scale, so that ``diagnose`` finds it.

    ``diagnose`` loosens each such bound and measures the gain in ELBO.

    Args:
        default: the bound, in nats.
        looser: -1.0 for a lower bound, 1.0 for an upper bound or a bound on the absolute value.
    """
    return dataclass_field(default=default, metadata={LOOSER: looser})


class Checked:
    """A dataclass whose fields are checked against their annotations.

    Numbers, flags, paths, functions and tuples are checked before the part's own ``__post_init__``,
    which may then compare, call or iterate them. Other fields are checked after it, as it has more
    specific errors for them.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A part's own __post_init__ replaces the inherited one, so it is wrapped here, once per class.
        own = cls.__dict__.get("__post_init__")
        if own is not None:
            setattr(cls, "__post_init__", _around(own))  # noqa: B010

    def __post_init__(self) -> None:
        check_fields(self)
        check_finite(self)


def _around(own: Callable[[Any], None]) -> Callable[[Any], None]:
    @wraps(own)
    def checked(self: Any) -> None:
        check_fields(self, only=_is_first)
        own(self)
        check_fields(self)
        check_finite(self)

    return checked


def _is_first(kind: Any) -> bool:
    """Tell whether a ``__post_init__`` may use fields of a kind without its own check."""
    if typing.get_origin(kind) is Annotated:
        return True
    return kind in (float, bool, PATH, float | int) or _is_function(kind) or _is_tuple(kind)


def check_fields(part: Any, *, only: Callable[[Any], bool] = lambda kind: True) -> None:
    """Raise unless the fields of a part match their annotations.

    Raises:
        TypeError: for a value of another kind. The error names the part, the field and the kind.
        ValueError: for a value that breaks a ``Requirement``.
    """
    for field in fields(part):
        if field.init and only(field.type):
            name = f"{type(part).__name__}({field.name}=...)"
            check_kind(name, getattr(part, field.name), field.type)


def check_finite(part: Any) -> None:
    """Raise ValueError if a field of a part is NaN or infinite."""
    for field in fields(part):
        value = getattr(part, field.name) if field.init else None
        if isinstance(value, float | np.floating) and not np.isfinite(value):
            name = f"{type(part).__name__}({field.name}=...)"
            raise ValueError(f"{name} expects a finite number; got {value!r}.")


def check_kind(name: str, value: object, kind: Any) -> None:
    """Raise unless a value is of a kind: a class, a number, a function, or a tuple of these.

    Raises:
        TypeError: for a value of another kind.
        ValueError: for a value that breaks the ``Requirement`` of an ``Annotated`` kind.
    """
    if not _fits(value, kind):
        wrong = ValueError if _fits(value, kind, bare=True) else TypeError
        raise wrong(f"{name} expects {_words(kind)}; got {format_value(value)}.{_hint(value)}")


def _split_annotated(kind: Any) -> tuple[Any, tuple[Requirement, ...]]:
    """Return the kind without its annotations, and its requirements. ``X | None`` has none."""
    if typing.get_origin(kind) is not Annotated:
        return kind, ()
    plain, *notes = typing.get_args(kind)
    return plain, tuple(note for note in notes if isinstance(note, Requirement))


def _fits(value: object, kind: Any, *, bare: bool = False) -> bool:
    """Tell whether a value is of a kind. With ``bare``, ignore its requirements."""
    if typing.get_origin(kind) is Annotated:
        plain, requirements = _split_annotated(kind)
        return _fits(value, plain) and (bare or all(each.holds(value) for each in requirements))
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return any(_fits(value, each, bare=bare) for each in typing.get_args(kind))
    if kind is bool:
        return isinstance(value, bool | np.bool_)
    if kind in (int, float):
        numbers = (int, np.integer) if kind is int else (int, float, np.integer, np.floating)
        return isinstance(value, numbers) and not isinstance(value, bool)
    if _is_function(kind):
        return callable(value) and not _is_part(value)
    if typing.get_origin(kind) is tuple:
        return isinstance(value, tuple) and _fit_each(value, typing.get_args(kind))
    plain = isinstance(kind, type) and kind is not Any and not typing.get_args(kind)
    return isinstance(value, kind) if plain else True


def _fit_each(values: tuple, kinds: tuple) -> bool:
    kinds = kinds[:1] * len(values) if kinds[-1:] == (...,) else kinds
    return len(values) == len(kinds) and all(map(_fits, values, kinds))


def _is_function(kind: Any) -> bool:
    return kind is Callable or typing.get_origin(kind) is Callable


def _is_tuple(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple and kind != tuple[int, ...]  # sizes have words of their own


def _is_part(value: object) -> TypeGuard[type]:
    """Tell whether a value is a class of parts, which the user forgot to call."""
    return isinstance(value, type) and issubclass(value, Checked)


def _words(kind: Any) -> str:
    plain, requirements = _split_annotated(kind)
    if requirements:
        return requirements[0].words
    kind = plain
    if kind in WORDS:
        return WORDS[kind]
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " or ".join(_words(each) for each in typing.get_args(kind))
    if _is_function(kind):
        return "a function (for a net, a recipe such as nets.MLP((300, 300)))"
    if typing.get_origin(kind) is tuple:
        return f"a tuple with {_words(typing.get_args(kind)[0])} in each place"
    return f"a {getattr(kind, '__name__', str(kind)).removeprefix('Abstract')}"


def _hint(value: object) -> str:
    return f" Call it: {value.__name__}(...)." if _is_part(value) else ""


def format_value(value: object) -> str:
    """Return a value as short text on one line, for an error."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"a {type(value).__name__}, {text[:60]}..."


def signature_error(function: object, *args: Any, **kwargs: Any) -> str:
    """Return why a value cannot be called with these arguments. "" if it can, or has no signature."""
    if not callable(function):
        return "it is not a function"
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        return str(error)
    except ValueError:  # of some functions that are written in C
        return ""
    return ""


def check_function(name: str, function: object, *args: Any, such_as: str) -> None:
    """Raise TypeError unless a value can be called with these arguments."""
    reason = signature_error(function, *args)
    if reason:
        raise TypeError(
            f"{name} expects a function, such as {such_as}; got {format_value(function)}: {reason}."
        )


def to_shape(name: str, value: object) -> tuple[int, ...]:
    """Return a list or tuple of positive integers as a tuple of ``int``. Raise for other values."""
    if isinstance(value, list | tuple) and all(_is_size(n) for n in value):
        return tuple(int(n) for n in value)
    raise ValueError(f"{name} expects a tuple of positive integers; got {value!r}.")


def _is_size(n: object) -> bool:
    return isinstance(n, int | np.integer) and not isinstance(n, bool) and bool(n > 0)


def check_key(rng_key: object) -> None:
    """Raise unless ``rng_key`` is one typed key."""
    if isinstance(rng_key, jax.Array) and jnp.issubdtype(rng_key.dtype, jax.dtypes.prng_key):
        if rng_key.shape == ():
            return
    raise TypeError(
        f"rng_key expects one typed key, jax.random.key(0); got {format_value(rng_key)}. "
        f"{cite('typed-keys')}"
    )


def check_number(name: str, value: object, kind: Any) -> None:
    """Raise ValueError unless an argument is a number of a kind such as ``PositiveFloat``."""
    if not _fits(value, kind):
        raise ValueError(f"{name} expects {_words(kind)}; got {format_value(value)}.")


def check_positive_integer(name: str, value: Any) -> None:
    """Raise unless ``value`` is a positive integer that can be the size of an array."""
    check_number(name, value, PositiveInt)
    if value >= MOST:
        raise ValueError(f"{name} expects a positive integer below 2^31; got {value}.")


def check_draw_arguments(rng_key: object, **counts: Any) -> None:
    """Raise unless ``rng_key`` is a key and each number of draws is a positive integer."""
    check_key(rng_key)
    for name, count in counts.items():
        check_positive_integer(name, count)
