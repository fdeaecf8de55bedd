"""``print(fitted)``: a training run on one screen."""

import jax

from probvae.fitted.history import History
from probvae.typing import Params
from probvae.vae import VAE

SHOWN_INCIDENTS = 3


def summarize(vae: VAE, params: Params, history: History, seconds: float | None) -> str:
    """Return a run as text: epochs, ELBO, incidents and numbers of parameters."""
    parts = ", ".join(type(part).__name__ for part in (vae.prior, vae.posterior, vae.likelihood))
    time = "" if seconds is None else f" in {seconds:.1f} s"
    epoch = history.describe_kept_epoch()
    lines = [
        f"VAE of {vae.latent_dim} latent dimensions ({parts}), fitted {history.num_epochs} epochs{time}"
        f"{'; ' if epoch else ''}{epoch}"
    ]
    lines += [_format_series(s, history) for s in ("train", "validation") if getattr(history, s)]
    return "\n".join([*lines, *_format_incidents(history), _format_sizes(params)])


def _format_series(split: str, history: History) -> str:
    """Return the first, the best and the last ELBO of a split, or else of what it has."""
    series = getattr(history, split)
    name = next(name for name in ("elbo", "log_likelihood", "loss") if name in series)
    values = series[name]
    best = values.argmin() if name == "loss" else values.argmax()
    unit = "" if name == "loss" else " nats"
    label = f"{split} {'ELBO' if name == 'elbo' else name}"
    return (
        f"  {label:<16} first {values[0]:.2f}, best {values[best]:.2f} (epoch {best + 1}), "
        f"last {values[-1]:.2f}{unit}"
    )


def format_count(n: int, noun: str) -> str:
    """Return a number with its noun, such as ``"3 incidents"``."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _format_incidents(history: History) -> list[str]:
    incidents = history.incidents
    lines = [f"  {format_count(len(incidents), 'incident')}:"] if incidents else []
    lines += [f"    {incident}" for incident in incidents[:SHOWN_INCIDENTS]]
    more = len(incidents) - SHOWN_INCIDENTS
    return lines + ([f"    and {more} more"] if more > 0 else [])


def _format_sizes(params: Params) -> str:
    """Return the numbers of parameters, in all and by part."""
    sizes: dict[str, int] = {}
    for name, tree in params.items():
        part = name.split("$")[0]
        sizes[part] = sizes.get(part, 0) + sum(leaf.size for leaf in jax.tree.leaves(tree))
    by_part = ", ".join(f"{part} {size:,}" for part, size in sizes.items())
    return f"  {sum(sizes.values()):,} parameters: {by_part}"
