"""What is swept, as words of the command line: NAME=X,X,..."""

import argparse
import math

EXPECTED = (
    "expected NAME=X,X,... with each number once: a weight of the model's objective, such as "
    "beta=0.5,1,2, or learning_rate=1e-3,3e-3"
)


def swept(word: str) -> tuple[str, tuple[float, ...]]:
    """Return the name and the numbers in NAME=X,X,...

    Raises:
        ArgumentTypeError: for a word of another form, no numbers, or one that is there twice.
    """
    name, _, told = word.partition("=")
    try:
        numbers = tuple(float(number) for number in told.split(","))
    except ValueError:
        numbers = ()
    good = all(map(math.isfinite, numbers)) and len(set(numbers)) == len(numbers)
    if not (name.strip() and numbers and good):
        raise argparse.ArgumentTypeError(f"{EXPECTED}; got {word!r}")
    return name.strip().replace("-", "_"), numbers


def check_once(parser: argparse.ArgumentParser, over: list[tuple[str, tuple]]) -> None:
    """End where a name is swept twice."""
    names = [name for name, _ in over]
    for name in names:
        if names.count(name) > 1:
            parser.error(f"argument --over: {EXPECTED}; got {name} twice: give all its numbers at once")
