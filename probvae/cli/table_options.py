"""The options for a file with columns, such as a CSV file, without JAX."""

import argparse
from argparse import Namespace
from typing import Any

from probvae.cli.argument_types import non_negative_integer

NAMES = ("sep", "header", "skip_rows", "decimal", "encoding", "types")


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for a file with columns. Their names are those of ``data.Table``."""
    group = parser.add_argument_group("options of a file with columns (CSV, TSV, parquet)")
    add = group.add_argument
    add("--sep", metavar="CHAR", help="separator of its cells (default: a comma, or a tab in .tsv)")
    # Not given is None, so that only the given options are passed on and recorded.
    words = "the first line is a row, and has no names"
    add("--no-header", dest="header", action="store_const", const=False, default=None, help=words)
    words = "lines before the header to skip (default: 0)"
    add("--skip-rows", type=non_negative_integer, metavar="N", help=words)
    add("--decimal", choices=(".", ","), help="decimal mark (default: .)")
    add("--encoding", metavar="NAME", help="encoding (default: utf-8)")
    words = "types of some columns, such as age=real,grade=ordinal; others are inferred"
    add("--types", type=parse_types, metavar="NAME=TYPE,...", help=words)


def table_options(arguments: Namespace) -> dict[str, Any]:
    """Return the options for a file with columns among the parsed arguments, by name."""
    values = {name: getattr(arguments, name, None) for name in NAMES}
    return {name: value for name, value in values.items() if value is not None}


def parse_types(text: str) -> dict[str, str]:
    """Return types by column from text such as ``age=real,grade=ordinal``. A name may hold commas."""
    types: dict[str, str] = {}
    name = ""
    for piece in text.split(","):
        name = f"{name},{piece}" if name else piece
        column, equals, kind = name.rpartition("=")
        if not equals:
            continue
        if not column.strip() or not kind.strip() or column.strip() in types:
            break
        types[column.strip()] = kind.strip()
        name = ""
    if name or not types:
        raise argparse.ArgumentTypeError(
            f"expected NAME=TYPE,..., such as age=real,grade=ordinal, each name once; got {text!r}"
        )
    return types
