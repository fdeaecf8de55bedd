"""A model function's keyword arguments as options of the command line."""

import argparse
import inspect
import typing
from collections.abc import Callable
from typing import Any

from probvae.runs import ModelFile, ModelFileError
from probvae.runs.model_file import Option

ARGUMENT = "argument:"  # begins their names among the parsed arguments
METAVARS = {int: "N", float: "X", str: "TEXT", tuple[int, ...]: "N,N", tuple[float, ...]: "X,X"}


def model_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments that were given."""
    given = vars(arguments).items()
    return {k.removeprefix(ARGUMENT): v for k, v in given if k.startswith(ARGUMENT)}


def add_model_options(parser: argparse.ArgumentParser, file: ModelFile) -> None:
    """Add an option for each keyword argument of a model function.

    Raises:
        ModelFileError: if one has the name of an option that is there already.
    """
    taken = {name for action in parser._actions for name in action.option_strings}
    group = parser.add_argument_group(f"options of {file.path}", _escape_format(file.summary))
    for option in file.options:
        name = f"--{option.name.replace('_', '-')}"
        if name in taken:
            raise ModelFileError(
                f"{file.path}: the argument {option.name!r} of {file.name} is also an option of "
                f"`{parser.prog}`. Give it another name."
            )
        group.add_argument(name, dest=ARGUMENT + option.name, **_kind_of(option))


def _kind_of(option: Option) -> dict[str, Any]:
    required = option.default is inspect.Parameter.empty
    usual = argparse.SUPPRESS
    words = "required" if required else f"(default: {_parse_value(option.default)})".replace("%", "%%")
    given = {"default": usual, "required": required, "help": words}
    if option.kind is bool:
        return {**given, "action": argparse.BooleanOptionalAction}
    item = typing.get_args(option.kind)
    kind = _parse_list(item[0]) if item else option.kind
    return {**given, "type": kind, "metavar": METAVARS[option.kind]}


def _escape_format(text: str) -> str:
    """Return text that argparse shows as it is: it formats a description that holds "%(prog)"."""
    return text.replace("%", "%%") if "%(prog)" in text else text


def _parse_list(kind: Callable[[str], Any]) -> Callable[[str], tuple]:
    def read(text: str) -> tuple:
        try:
            return tuple(kind(word) for word in text.strip("() ").split(",") if word.strip())
        except ValueError:
            what = "numbers between commas, such as 300,300"
            raise argparse.ArgumentTypeError(f"expected {what}; got {text!r}") from None

    return read


def _parse_value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
