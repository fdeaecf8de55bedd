"""The program: arguments to a command, and what goes wrong to a message and an exit code."""

import sys
import traceback
from collections.abc import Sequence

from probvae.cli.parser import parsed

FAILURES = (ValueError, TypeError, OSError, ArithmeticError, ImportError, MemoryError, RuntimeError)
FAILED, INTERRUPTED = 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        0, or 1 for what went wrong (a paragraph on stderr), or 130 after Ctrl-C.

    Raises:
        SystemExit: 2 for a command that does not exist as it is written, 0 after ``--help``.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = parsed(argv)
        arguments.run(arguments)
    except KeyboardInterrupt as stop:
        print(f"\nprobvae: interrupted {stop}".rstrip(), file=sys.stderr)
        return INTERRUPTED
    except FAILURES as error:
        if "--debug" in argv:
            traceback.print_exc()
        print(f"probvae: {_paragraph(error)}", file=sys.stderr)
        return FAILED
    return 0


def _paragraph(error: BaseException) -> str:
    """Return an error's message and notes as one paragraph."""
    words = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        words = f"{error.filename}: {error.strerror}"
    told = isinstance(error, ValueError | TypeError | OSError | ImportError | FloatingPointError)
    words = words if told and words else f"{type(error).__name__}: {words}"
    return " ".join(" ".join([words, *getattr(error, "__notes__", [])]).split())
