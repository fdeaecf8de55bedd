"""A run on one screen."""

from typing import Any

import jax

from probvae.fitted.history import History

INCIDENTS = 3  # are told one by one


def summarize(fitted: Any) -> str:
    """Return how a run went and what it came to: epochs, bounds, incidents, sizes."""
    history, vae = fitted.history, fitted.vae
    parts = (vae.prior, vae.posterior, vae.likelihood)
    named = ", ".join(type(part).__name__ for part in parts)
    lines = [f"VAE of {vae.latent_dim} latent dimensions ({named}), {_length(fitted)}"]
    lines += [_course(split, history) for split in ("train", "validation") if getattr(history, split)]
    lines += _incidents(history)
    return "\n".join([*lines, _sizes(fitted.params)])


def _length(fitted: Any) -> str:
    history = fitted.history
    time = "" if fitted.seconds is None else f" in {fitted.seconds:.1f} s"
    kept = history.describe_kept_epoch()
    return f"fitted {history.num_epochs} epochs{time}{'; ' if kept else ''}{kept}"


def _course(split: str, history: History) -> str:
    """Return where a split's number began, was best and ended: its ELBO, or else what there is."""
    series = getattr(history, split)
    name = next(name for name in ("elbo", "log_likelihood", "loss") if name in series)
    values = series[name]
    best = values.argmin() if name == "loss" else values.argmax()
    unit, shown = {"elbo": (" nats", "ELBO"), "loss": ("", "loss")}.get(name, (" nats", name))
    return (
        f"  {split + ' ' + shown:<16} first {values[0]:.2f}, best {values[best]:.2f} "
        f"(epoch {best + 1}), last {values[-1]:.2f}{unit}"
    )


def format_count(n: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def _incidents(history: History) -> list[str]:
    odd = history.incidents
    if not odd:
        return []
    more = [f"    and {len(odd) - INCIDENTS} more"] if len(odd) > INCIDENTS else []
    told = [f"    {each}" for each in odd[:INCIDENTS]]
    return [f"  {format_count(len(odd), 'incident')}:", *told, *more]


def _sizes(params: Any) -> str:
    """Return the numbers of parameters, by part."""
    sizes: dict[str, int] = {}
    for name, tree in params.items():
        part = name.split("$")[0]
        sizes[part] = sizes.get(part, 0) + sum(leaf.size for leaf in jax.tree.leaves(tree))
    shown = ", ".join(f"{part} {size:,}" for part, size in sizes.items())
    return f"  {sum(sizes.values()):,} parameters: {shown}"
