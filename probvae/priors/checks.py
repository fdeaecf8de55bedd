"""The check that mixture priors share."""

from typing import Any


def check_components(prior: Any) -> None:
    """Raise unless ``prior.components`` is a positive integer."""
    if not isinstance(prior.components, int) or prior.components < 1:
        raise ValueError(
            f"{type(prior).__name__}(components=...) expects a positive integer; "
            f"got {prior.components!r}."
        )
