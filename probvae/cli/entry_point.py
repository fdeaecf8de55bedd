"""The program `probvae`: it runs a command, and turns errors into a message and an exit code."""

import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from probvae.cli.devices import configure_jax
from probvae.cli.parser import parse_arguments
from probvae.cli.terminal import lenient_output
from probvae.runs import SweptError

FAILURES = (ValueError, TypeError, OSError, ArithmeticError, ImportError, MemoryError, RuntimeError)
FAILED, USAGE, INTERRUPTED, TERMINATED = 1, 2, 130, 143


class TerminatedError(KeyboardInterrupt):
    """SIGTERM. Unlike Ctrl-C, it ends a run without an evaluation."""

    code = TERMINATED


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Characters that the terminal cannot show are escaped. If the output cannot be written any more (a
    closed pipe, a full disk), the command runs to its end and returns 1.

    Args:
        argv: the arguments. By default those of the process.

    Returns:
        0 for success, 1 after an error (one paragraph on stderr), 2 for a sweep over a number that
        cannot be swept, 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
        SystemExit: 2 for a usage error or a missing device, 0 after ``--help``.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    with lenient_output() as output:
        code = _run(argv)
        if output is not None and not code:
            output.flush()
            code = _report_lost(output.error)
    return code


def _report_lost(error: OSError | None) -> int:
    """Return the exit code of a successful command, and print a message if its output was lost."""
    if error is None:
        return 0
    if not isinstance(error, BrokenPipeError):  # a reader such as `head` closes the pipe early
        message = f"the command is complete, but its output could not be written: {error.strerror}"
        print(f"probvae: {message}", file=sys.stderr)
    return FAILED


def _run(argv: list[str]) -> int:
    try:
        arguments = parse_arguments(argv)
        with _raise_on_sigterm(), configure_jax(arguments):
            arguments.run(arguments)
    except KeyboardInterrupt as stop:
        print(f"\nprobvae: interrupted {stop}".rstrip(), file=sys.stderr)
        return TERMINATED if isinstance(stop, TerminatedError) else INTERRUPTED
    except FAILURES as error:
        if "--debug" in argv:
            traceback.print_exc()
        print(f"probvae: {_paragraph(error)}", file=sys.stderr)
        return USAGE if isinstance(error, SweptError) else FAILED
    return 0


@contextmanager
def _raise_on_sigterm() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that unfinished files are removed and a message is printed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise TerminatedError

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _paragraph(error: BaseException) -> str:
    """Return an error's message and notes as one paragraph."""
    words = str(error)
    if isinstance(error, OSError) and error.strerror:
        words = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    # The messages of these are written for users. Others need the name of the error.
    is_clear = isinstance(error, ValueError | TypeError | OSError | ImportError | FloatingPointError)
    words = words if is_clear and words else f"{type(error).__name__}: {words}"
    return " ".join(" ".join([words, *getattr(error, "__notes__", [])]).split())
