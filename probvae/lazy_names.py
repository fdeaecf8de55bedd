"""Public names that a package imports at their first use (PEP 562), so that its own import is fast."""

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple


class ModuleHooks(NamedTuple):
    """The two functions that Python looks up in a module: for a missing attribute, and for ``dir``."""

    getattr: Callable[[str], Any]
    dir: Callable[[], list[str]]


def lazy_names(
    package: str, names: Mapping[str, Iterable[str]], *, submodules: Iterable[str] = ()
) -> ModuleHooks:
    """Return a package's ``__getattr__`` and ``__dir__``.

    A package lists the same names in an ``if TYPE_CHECKING:`` block, for mypy and for editors.

    Args:
        package: ``__name__`` of the package.
        names: public names, by the module below the package that defines them.
        submodules: modules below the package that are attributes, too.
    """
    places = {name: f"{package}.{module}" for module, group in names.items() for name in group}
    modules = frozenset(submodules)

    def get_name(name: str) -> Any:
        if name in modules:
            return import_module(f"{package}.{name}")
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(places[name]), name)
        setattr(sys.modules[package], name, value)  # the next use does not come here
        return value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *places, *modules})

    return ModuleHooks(get_name, list_names)
