"""A model file: one public function from an event shape to a VAE, loaded by path."""

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType, TracebackType
from typing import Any, NamedTuple

from probvae.checks import check_positive_integer
from probvae.typing import Shape
from probvae.vae import VAE
from probvae.variant import Variant

KINDS = (bool, int, float, str, tuple[int, ...], tuple[float, ...])
EXAMPLE = "def my_vae(event_shape, *, latent_dim: int = 16): return VAE(...)"
OWN_WORDS = (ValueError, TypeError, OSError, KeyboardInterrupt)  # passed on as they are


class ModelFileError(ValueError):
    """A model file that is not what it should be; the message names the file."""


class Option(NamedTuple):
    """A keyword-only parameter of a model function: its name, kind (of ``KINDS``) and default."""

    name: str
    kind: Any
    default: Any


class ModelFile(NamedTuple):
    """A file at ``path``, its text (``source``), and its one public ``function``."""

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
        found = self.function.__globals__.get("__doc__") or self.function.__doc__ or ""
        return found.strip().split("\n\n")[0].replace("\n", " ")

    @property
    def options(self) -> tuple[Option, ...]:
        """The keyword-only parameters that have a kind which can be written in a command line."""
        only = [p for p in _parameters(self.function) if p.kind is p.KEYWORD_ONLY]
        found = [Option(p.name, _kind(p), p.default) for p in only]
        return tuple(option for option in found if option.kind is not None)

    def build(self, event_shape: Shape, **arguments: Any) -> Variant:
        """Call the function; raise unless it returns a VAE or a Variant."""
        with _name_failing_line(self.path):
            made = self.function(event_shape, **arguments)
        if isinstance(made, VAE):
            return Variant(made)
        if isinstance(made, Variant) and isinstance(made.vae, VAE):
            for name in ("epochs", "batch_size"):
                if getattr(made, name) is not None:
                    check_positive_integer(f"{self.path}: Variant({name}=...)", getattr(made, name))
            return made
        raise ModelFileError(
            f"{self.path}: {self.name} expected to return a probvae.VAE or a probvae.Variant; got "
            f"{made!r}. End it with `return VAE(...)`."
        )


def load_model_file(path: str | Path, *, stem: str | None = None) -> ModelFile:
    """Load a model file.

    Args:
        path: the file; running it is running its code.
        stem: of the name that it had, where this is a copy: its functions, which a checkpoint knows
            by name, are then the same.

    Raises:
        FileNotFoundError: if there is no such file.
        ModelFileError: if it does not run, or has not exactly one public function.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected a Python file with one function that returns a VAE; got "
            f"{'a folder' if path.is_dir() else 'no such file'}. Example: models/vampprior.py."
        )
    module = ModuleType(f"probvae_model_{stem or path.stem}")
    module.__file__ = str(path)
    with _name_failing_line(path):
        source = path.read_text(encoding="utf-8-sig")  # Windows editors begin a file with a mark
        sys.modules[module.__name__] = module
        exec(compile(source, str(path), "exec"), module.__dict__)  # no bytecode is left on disk
        return ModelFile(path, source, _one_function(path, module))


def _one_function(path: Path, module: ModuleType) -> Callable[..., Any]:
    found = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, FunctionType)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }
    if len(found) != 1:
        got = f"{len(found)}: {', '.join(found)}" if found else "none"
        fix = "Begin the names of helpers with an underscore" if found else f"Example: {EXAMPLE}"
        raise ModelFileError(
            f"{path}: expected exactly one public function that returns a VAE; got {got}. {fix}."
        )
    return _check_signature(path, next(iter(found.values())))


def _check_signature(path: Path, function: Callable[..., Any]) -> Callable[..., Any]:
    parameters = _parameters(function)
    if (
        [p.kind.name.startswith("POSITIONAL") for p in parameters[:1]] == [True]
        and all(p.kind is p.KEYWORD_ONLY for p in parameters[1:])
        and all(p.default is not p.empty or _kind(p) is not None for p in parameters[1:])
    ):
        return function
    raise ModelFileError(
        f"{path}: expected {function.__name__}(event_shape, *, name: kind = default, ...), kinds "
        f"int, float, bool, str, tuple[int, ...]; got {function.__name__}"
        f"{inspect.signature(function)}. Write the asterisk after event_shape, and give defaults."
    )


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function, eval_str=True).parameters.values())


def _kind(parameter: inspect.Parameter) -> Any:
    """Return a parameter's kind, by its annotation or else its default; None if it has none."""
    if parameter.annotation in KINDS:
        return parameter.annotation
    return type(parameter.default) if type(parameter.default) in KINDS else None


@contextmanager
def _name_failing_line(path: Path) -> Iterator[None]:
    """Name the file and the line in what goes wrong while its code runs."""
    try:
        yield
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.filename == str(path) else ""
        raise ModelFileError(f"{path}{line}: {error.msg}. Expected a Python file.") from error
    except ImportError as error:
        fix = "Install it, or write that part into this file: a model file stands alone"
        raise ModelFileError(f"{path}{_line(path, error)}: {error}. {fix}.") from error
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path}: expected Python source in UTF-8; got {error}.") from error
    except OWN_WORDS as error:
        error.add_note(f"(In {path}{_line(path, error)}.)")
        raise
    except SystemExit as stop:
        raise ModelFileError(
            f"{path}{_line(path, stop)}: it ends the program (SystemExit: {stop}); expected one "
            "function that returns a VAE. Take that line out."
        ) from stop
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ModelFileError(f"{path}{_line(path, error)}: {what}. Mend that line.") from error


def _line(path: Path, error: BaseException) -> str:
    """Return ", line N" for the last line of the file that an error passed through."""
    trace: TracebackType | None = error.__traceback__
    lines = [frame.lineno for frame in traceback.extract_tb(trace) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""
