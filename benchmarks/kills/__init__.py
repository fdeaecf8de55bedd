"""Where a run is killed: a name for each point, and how a process comes to end itself there.

Nothing in the library knows of it: in the process that is to die, and in no other, one function is
replaced by one that does the same and sends SIGKILL to its own process on the way.
"""

import sys
from collections.abc import Iterator

from kills.files import cleaning, renamed, settled, thinned, written
from kills.point import Point
from kills.programs import compiling, evaluating, stepping, validating


def points() -> Iterator[Point]:
    """Yield all points: a run of 4 epochs of 11 steps and 3 batches of validation data has them."""
    yield from map(compiling, (0.05, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98))
    at = ((1, 1), (1, 7), (1, 11), (2, 1), (2, 5), (2, 11), (3, 2), (3, 9), (4, 1), (4, 11))
    yield from (stepping(*each) for each in at)
    phase, file = "in a checkpoint", "epoch-"
    yield from (written(phase, file, share, nth) for share, nth in ((0.0, 1), (0.5, 2), (0.99, 3)))
    yield from map(settled, (1, 2, 3))
    yield from (renamed(phase, file, 1), renamed(phase, file, 3), renamed(phase, file, 2, after=True))
    yield thinned()
    yield from (validating(epoch, batch) for epoch in (1, 2, 3, 4) for batch in (1, 3))
    yield from (validating(2, 2), validating(3, 2))
    phase = "in the report"
    yield from (written(phase, "fitted", 0.5), renamed(phase, "fitted"), written(phase, "metrics", 0.5))
    yield evaluating()
    yield from (
        written(phase, "metrics", 0.5, 2),
        renamed(phase, ".curves"),
        renamed(phase, ".samples"),
    )
    yield from (written(phase, "report", 0.5), cleaning("one"), cleaning("none"))


def armed(point: Point, seconds: float) -> None:
    """Make this process die at a point."""
    print(f"to be killed {point.phase}: {point.name}", file=sys.stderr, flush=True)
    point.arm(seconds)
