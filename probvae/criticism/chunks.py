"""How many rows of work a compiled program takes together."""

from probvae.evidence import ROWS


def at_a_time(n: int, rows_each: int = 1) -> int:
    """Return how many of ``n`` to take together, each of so many decoder rows, of ``ROWS`` at most.

    A divisor of n where one is near: what is left over would be compiled as a program of its own.
    """
    most = min(max(ROWS // rows_each, 1), n)
    whole = next(k for k in range(most, 0, -1) if n % k == 0)
    return whole if 2 * whole >= most else most
