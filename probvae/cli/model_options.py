"""Command-line options for the keyword arguments of a model function."""

import argparse
import inspect
import shlex
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from probvae.cli.parser import write_dashes
from probvae.runs import ModelFile, ModelFileError, VariantFile, load_model_file
from probvae.runs.model_file import Option

ARGUMENT = "argument:"  # the prefix of their names among the parsed arguments
METAVARS = {int: "N", float: "X", str: "TEXT", tuple[int, ...]: "N,N", tuple[float, ...]: "X,X"}


def model_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments of the model function among the parsed arguments."""
    options = vars(arguments).items()
    return {k.removeprefix(ARGUMENT): v for k, v in options if k.startswith(ARGUMENT)}


def add_model_options(parser: argparse.ArgumentParser, file: ModelFile) -> None:
    """Add an option for each keyword argument of a model function.

    Raises:
        ModelFileError: if one has the name of an option of the command.
    """
    reserved = {name for action in parser._actions for name in action.option_strings}
    group = parser.add_argument_group(f"options of {file.path}", _escape_format(file.summary))
    for option in file.options:
        name = f"--{option.name.replace('_', '-')}"
        if name in reserved:
            raise ModelFileError(
                f"{file.path}: the argument {option.name!r} of {file.name} is also an option of "
                f"`{parser.prog}`. Give it another name."
            )
        group.add_argument(name, dest=ARGUMENT + option.name, **_argparse_settings(option))


def read_variants(texts: Sequence[str]) -> dict[str, VariantFile]:
    """Return model files with their arguments, each from a text such as "vae.py --latent-dim 2".

    The names are the stems of the files, with the options if there are any.

    Raises:
        SystemExit: 2 for options that the model file does not have.
        FileNotFoundError, ModelFileError: for a model file that cannot be loaded.
    """
    files: dict[str, ModelFile] = {}
    variants: dict[str, VariantFile] = {}
    for text in texts:
        path, *words = [text] if Path(text).is_file() else shlex.split(text) or [text]
        # Loaded once: two loads of a file would make different classes, and programs of their own.
        if path not in files:
            files[path] = load_model_file(path)
        file = files[path]
        name = " ".join([file.path.stem, *words])
        copies = sum(each == name or each.startswith(f"{name} (") for each in variants)
        name = f"{name} ({copies + 1})" if copies else name
        variants[name] = VariantFile(file, _parse_arguments(file, words))
    return variants


def _parse_arguments(file: ModelFile, words: Sequence[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(
        f"probvae compare-variants {file.path}", add_help=False, allow_abbrev=False
    )
    add_model_options(parser, file)
    return model_arguments(parser.parse_args([write_dashes(word) for word in words]))


def _argparse_settings(option: Option) -> dict[str, Any]:
    required = option.default is inspect.Parameter.empty
    words = "required" if required else f"(default: {_format_default(option.default)})"
    words = words.replace("%", "%%")  # argparse formats help texts
    settings = {"default": argparse.SUPPRESS, "required": required, "help": words}
    if option.kind is bool:
        return {**settings, "action": argparse.BooleanOptionalAction}
    item = typing.get_args(option.kind)
    kind = _list_parser(item[0]) if item else option.kind
    return {**settings, "type": kind, "metavar": METAVARS[option.kind]}


def _escape_format(text: str) -> str:
    """Escape text for argparse, which formats a description only if it contains "%(prog)"."""
    return text.replace("%", "%%") if "%(prog)" in text else text


def _list_parser(kind: Callable[[str], Any]) -> Callable[[str], tuple]:
    def parse_list(text: str) -> tuple:
        try:
            return tuple(kind(word) for word in text.strip("() ").split(",") if word.strip())
        except ValueError:
            expected = "numbers with commas between them, such as 300,300"
            raise argparse.ArgumentTypeError(f"expected {expected}; got {text!r}") from None

    return parse_list


def _format_default(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
