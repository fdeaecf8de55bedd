"""Model files: Python files with one public function that returns a VAE for a shape of data."""

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from probvae.checks import check_positive_integer
from probvae.data import Table
from probvae.faq import cite
from probvae.typing import Shape
from probvae.vae import VAE
from probvae.variant import Variant

KINDS = (bool, int, float, str, tuple[int, ...], tuple[float, ...])
EXAMPLE = "def my_vae(event_shape, *, latent_dim: int = 16): return VAE(...)"
CLEAR_ERRORS = (ValueError, TypeError, OSError, KeyboardInterrupt)  # pass through, with a note


class ModelFileError(ValueError):
    """A model file that cannot be used. The message names the file."""


class Option(NamedTuple):
    """A keyword-only parameter of a model function: its name, kind (of ``KINDS``) and default."""

    name: str
    kind: Any
    default: Any


class ModelFile(NamedTuple):
    """A file at ``path``, its text (``source``), and its public ``function``."""

    path: Path
    source: str
    function: Callable[..., Any]

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    @property
    def summary(self) -> str:
        """The first line of the file's docstring, or of its function's."""
        docstring = self.function.__globals__.get("__doc__") or self.function.__doc__ or ""
        return docstring.strip().split("\n\n")[0].replace("\n", " ")

    @property
    def options(self) -> tuple[Option, ...]:
        """The keyword-only parameters of a kind that the command line can express."""
        parameters = [p for p in _parameters(self.function) if p.kind is p.KEYWORD_ONLY]
        options = [Option(p.name, _kind(p), p.default) for p in parameters]
        return tuple(option for option in options if option.kind is not None)

    @property
    def takes_table(self) -> bool:
        """Whether the function's first parameter is a ``data.Table`` instead of an event shape."""
        return _parameters(self.function)[0].annotation is Table

    def build(self, source: Shape | Table, **arguments: Any) -> Variant:
        """Call the function with an event shape, or with the table of training rows.

        Raises:
            ModelFileError: if it does not return a VAE or a Variant, or needs a table.
        """
        if self.takes_table and not isinstance(source, Table):
            raise ModelFileError(
                f"{self.path}: {self.name} expects a table; got data of shape {source}. Use a file "
                "with columns: --data FILE.csv."
            )
        with _name_failing_line(self.path):
            variant = self.function(source, **arguments)
        if isinstance(variant, VAE):
            return Variant(variant)
        if isinstance(variant, Variant) and isinstance(variant.vae, VAE):
            for name in ("epochs", "batch_size"):
                if (size := getattr(variant, name)) is not None:
                    check_positive_integer(f"{self.path}: Variant({name}=...)", size)
            return variant
        raise ModelFileError(
            f"{self.path}: {self.name} must return a probvae.VAE or a probvae.Variant; got "
            f"{variant!r}. End it with `return VAE(...)`."
        )


def load_model_file(path: str | Path, *, stem: str | None = None) -> ModelFile:
    """Load a model file.

    Args:
        path: the file. Its code is executed.
        stem: the stem of the original file, if this one is a copy. A checkpoint refers to functions by
            the name of their module, and the copy then has the same one.

    Raises:
        FileNotFoundError: if the file does not exist.
        ModelFileError: if its code fails, or does not define exactly one public function.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected a Python file with one function that returns a VAE; got "
            f"{'a folder' if path.is_dir() else 'no such file'}. Example: models/vampprior.py. "
            f"{cite('model-file-not-found')}"
        )
    module = ModuleType(f"probvae_model_{stem or path.stem}")
    module.__file__ = str(path)
    with _name_failing_line(path):
        source = path.read_text(encoding="utf-8-sig")  # some editors write a byte-order mark
        sys.modules[module.__name__] = module
        exec(compile(source, str(path), "exec"), module.__dict__)  # writes no bytecode to disk
        return ModelFile(path, source, _find_function(path, module))


def _find_function(path: Path, module: ModuleType) -> Callable[..., Any]:
    functions = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, FunctionType)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }
    if len(functions) != 1:
        got = f"{len(functions)}: {', '.join(functions)}" if functions else "none"
        fix = "Start the names of helpers with an underscore" if functions else f"Example: {EXAMPLE}"
        raise ModelFileError(
            f"{path}: expected exactly one public function that returns a VAE; got {got}. {fix}."
        )
    return _check_signature(path, next(iter(functions.values())))


def _check_signature(path: Path, function: Callable[..., Any]) -> Callable[..., Any]:
    parameters = _parameters(function)
    if (
        [p.kind.name.startswith("POSITIONAL") for p in parameters[:1]] == [True]
        and all(p.kind is p.KEYWORD_ONLY for p in parameters[1:])
        and all(p.default is not p.empty or _kind(p) is not None for p in parameters[1:])
    ):
        return function
    raise ModelFileError(
        f"{path}: expected {function.__name__}(event_shape, *, name: kind = default, ...), or "
        f"{function.__name__}(table: data.Table, *, ...), kinds "
        f"int, float, bool, str, tuple[int, ...]; got {function.__name__}"
        f"{inspect.signature(function)}. Write an asterisk after event_shape, and a default or a kind "
        "for each parameter after it."
    )


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function, eval_str=True).parameters.values())


def _kind(parameter: inspect.Parameter) -> Any:
    """Return the kind of a parameter, from its annotation or its default. None if neither says it."""
    if parameter.annotation in KINDS:
        return parameter.annotation
    return type(parameter.default) if type(parameter.default) in KINDS else None


@contextmanager
def _name_failing_line(path: Path) -> Iterator[None]:
    """Name the file and the line in an error of its code."""
    try:
        yield
    except UnicodeDecodeError as error:  # a ValueError, but not one with a message for the user
        raise ModelFileError(f"{path}: expected Python source in UTF-8; got {error}.") from error
    except CLEAR_ERRORS as error:
        error.add_note(f"(In {path}{_line(path, error)}.)")
        raise
    except (Exception, SystemExit) as error:
        raise ModelFileError(f"{path}{_line(path, error)}: {_explain(error)}") from error


def _explain(error: BaseException) -> str:
    match error:
        case SyntaxError():
            return f"{error.msg}. Expected a Python file."
        case ImportError():
            return f"{error}. Install it, or copy that code: a model file cannot import its neighbours."
        case SystemExit():
            return f"this line ends the program (SystemExit: {error}). Remove it."
        case _:
            return f"{type(error).__name__}: {error}. Correct that line."


def _line(path: Path, error: BaseException) -> str:
    """Return ", line N" for the last line of the file that an error passed through."""
    if isinstance(error, SyntaxError):  # it has not run, so it is not in the traceback
        return f", line {error.lineno}" if error.filename == str(path) else ""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""
