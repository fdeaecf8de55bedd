"""Compile and trace NumPyro programs safely from several threads.

NumPyro keeps all open handlers in one list for the whole process. Two threads that run programs at once
see each other's handlers, and leave the list corrupt. A compiled function runs no Python, so only its
first call for each shape needs a lock. ``compile_program`` is ``jax.jit`` with a lock around the
function's body.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import jax
from numpyro import primitives

from probvae.typing import PyTree

T = TypeVar("T")

_LOCK = threading.RLock()
_owner: int | None = None  # the thread that holds the lock


@contextmanager
def hold_trace_lock() -> Iterator[None]:
    """Run NumPyro programs without other threads of the package, and outside of all open handlers.

    The handlers are open again afterwards, also after an error.
    """
    # A VAE may be built, or a query compiled, inside a user's program. The handlers open there must not
    # see the sites of this trace, so the stack is emptied and put back. The lock is re-entrant: a
    # program that is traced may call another compiled one, in the same thread.
    global _owner  # noqa: PLW0603
    with _LOCK:
        stack = primitives._PYRO_STACK
        handlers, previous_owner = stack[:], _owner
        stack.clear()
        _owner = threading.get_ident()
        try:
            yield
        finally:
            _owner = previous_owner
            stack[:] = handlers


def compile_program(function: Callable[..., Any], **options: Any) -> Any:
    """Return ``jax.jit(function, **options)`` for a function that runs NumPyro programs.

    The function is traced under the lock. Calls with shapes that are already compiled do not wait.
    """

    @wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with hold_trace_lock():
            return function(*args, **kwargs)

    program = jax.jit(traced, **options)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        # JAX makes a second thread that calls the same program wait for the first one's trace. If a
        # thread that is tracing, and so holds the lock, waited like this, the first could not get the
        # lock, and both would wait forever. So a compiled function inside another one is called as a
        # plain function.
        is_tracing = _owner == threading.get_ident()
        return (function if is_tracing else program)(*args, **kwargs)

    for name in ("_cache_size", "clear_cache"):
        setattr(call, name, getattr(program, name))
    return call


def trace_once(function: Callable[..., Any]) -> Any:
    """Return a function for several places of a compiled program, whose Python code runs only once."""
    return jax.jit(function)


def trace_abstractly(function: Callable[[], tuple[T, PyTree]]) -> tuple[T, PyTree]:
    """Run a function that traces NumPyro programs, with shapes in place of numbers.

    Args:
        function: returns facts about the programs, such as supports of sites, and a pytree of arrays.

    Returns:
        the facts unchanged, and the shapes and dtypes of the arrays.
    """
    facts: list[T] = []

    def run() -> PyTree:
        fact, arrays = function()
        facts.append(fact)
        return arrays

    with hold_trace_lock():
        shapes = jax.eval_shape(run)
    return facts[-1], shapes
