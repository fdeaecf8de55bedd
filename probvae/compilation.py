"""One trace of NumPyro programs at a time, whatever the threads.

NumPyro keeps the handlers that are open in one list for the whole process. Two threads that run
programs at once see each other's handlers, and leave the list broken. A compiled function runs no
Python, so only its first call for each shape needs care: ``compiled`` is ``jax.jit`` with a lock around
the function's body.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import jax
from numpyro import primitives

_LOCK = threading.RLock()
_owner: int | None = None  # the thread that has the lock


@contextmanager
def hold_trace_lock() -> Iterator[None]:
    """Run NumPyro programs while no other thread of the package does, and away from open handlers.

    The handlers that were open are open again afterwards, also after an error.
    """
    global _owner  # noqa: PLW0603
    with _LOCK:
        stack = primitives._PYRO_STACK
        outer, above = stack[:], _owner
        stack.clear()
        _owner = threading.get_ident()
        try:
            yield
        finally:
            _owner = above
            stack[:] = outer


def compile_program(function: Callable[..., Any], **options: Any) -> Any:
    """Return ``jax.jit(function, **options)`` for a function that runs programs: it traces ``alone``.

    Threads that call it with shapes that are compiled already do not wait for each other.
    """

    @wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with hold_trace_lock():
            return function(*args, **kwargs)

    program = jax.jit(traced, **options)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        # JAX lets a second thread that calls the same program wait for the first one's trace. A thread
        # that traces, and so has the lock, must never wait in this way: the first may need the lock to
        # go on. So a compiled function inside another is a plain function.
        inside = _owner == threading.get_ident()
        return (function if inside else program)(*args, **kwargs)

    for name in ("_cache_size", "clear_cache"):
        setattr(call, name, getattr(program, name))
    return call


def trace_once(function: Callable[..., Any]) -> Any:
    """Return a part of a compiled program that stands at several places there: Python runs it once."""
    return jax.jit(function)
