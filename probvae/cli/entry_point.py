"""The program `probvae`: it runs a command, and turns errors into a message and an exit code."""

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from probvae.cli import exit_codes
from probvae.cli.parser import parse_arguments
from probvae.cli.terminal import lenient_output

FAILURES = (ValueError, TypeError, OSError, ArithmeticError, ImportError, MemoryError, RuntimeError)


class TerminatedError(KeyboardInterrupt):
    """SIGTERM. Unlike Ctrl-C, it ends a run without an evaluation."""

    code = exit_codes.TERMINATED


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Characters that the terminal cannot show are escaped. If the output cannot be written any more (a
    closed pipe, a full disk), the command still runs to its end, since a training may depend on it.

    Args:
        argv: the arguments. By default those of the process.

    Returns:
        0 for success, 1 after an error (one paragraph on stderr), 2 for a sweep over a number that
        cannot be swept, 130 after Ctrl-C (also if `train` or `sweep` evaluated what it had by then),
        141 if the reader of the output closed its pipe (no message), 143 after SIGTERM.

    Raises:
        SystemExit: 2 for a usage error or a missing device, 0 after ``--help``.
    """
    is_program = argv is None
    argv = list(sys.argv[1:] if argv is None else argv)
    with lenient_output() as output, _own_warnings():
        code = _run(argv)
        if output is not None and not code:
            output.flush()
            code = _report_lost(output.error)
    if is_program and code in (exit_codes.INTERRUPTED, exit_codes.TERMINATED):
        # An interrupted epoch still computes in XLA's threads. Python's own exit would free what they
        # use, and the program would crash (segmentation fault, code 139). All files are closed by now.
        _end_process(code)
    return code


def _end_process(code: int) -> None:
    """End the process without Python's own exit."""
    os._exit(code)


@contextmanager
def _own_warnings() -> Iterator[None]:
    """Print a warning as one line without the place in the source, which says nothing to a user."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        print(f"probvae: warning: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _report_lost(error: OSError | None) -> int:
    """Return the exit code of a successful command, and print a message if its output was lost."""
    if error is None:
        return exit_codes.SUCCESS
    if isinstance(error, BrokenPipeError):  # a reader such as `head` closes the pipe early
        return exit_codes.PIPE_CLOSED
    message = f"the command is complete, but its output could not be written: {error.strerror}"
    print(f"probvae: {message}", file=sys.stderr)
    return exit_codes.FAILED


def _run(argv: list[str]) -> int:
    try:
        arguments = parse_arguments(argv)
        with _raise_on_sigterm():
            # Only now: `probvae --help` has ended before this line, without JAX.
            from probvae.cli import commands
            from probvae.cli.devices import configure_jax

            with configure_jax(arguments):
                return getattr(commands, arguments.command.replace("-", "_"))(arguments) or 0
    except KeyboardInterrupt as stop:
        words = " ".join([f"interrupted {stop}".rstrip(), *getattr(stop, "__notes__", [])])
        print(f"\nprobvae: {words}", file=sys.stderr)
        return getattr(stop, "code", exit_codes.INTERRUPTED)
    except FAILURES as error:
        if "--debug" in argv:
            traceback.print_exc()
        print(f"probvae: {_paragraph(error)}", file=sys.stderr)
        return getattr(error, "exit_code", exit_codes.FAILED)


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
