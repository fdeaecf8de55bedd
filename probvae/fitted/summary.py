"""``print(fitted)`` and a notebook's view of it: a training run on one screen."""

import jax

from probvae import html
from probvae.data_description import DataDescription
from probvae.equations import equation
from probvae.fitted.history import History
from probvae.typing import Params
from probvae.vae import VAE

SHOWN = 6  # columns of a table


def summarize(
    vae: VAE,
    params: Params,
    history: History,
    seconds: float | None,
    description: DataDescription | None = None,
) -> str:
    """Return a run as text: epochs, ELBO, incidents, columns of a table, and numbers of parameters."""
    rows = [f"  {name:<16} {text}" for name, text in _describe(history, description).items()]
    head = f"{_name_parts(vae)}, fitted {history.describe_length(seconds)}"
    return "\n".join([head, *rows, *history.describe_incidents(), f"  {_format_sizes(params)}"])


def render(
    vae: VAE,
    params: Params,
    history: History,
    seconds: float | None,
    description: DataDescription | None = None,
) -> str:
    """Return a run as HTML, with the equations of its VAE."""
    head = html.lines([f"{_name_parts(vae)}, fitted {history.describe_length(seconds)}"])
    incidents = [html.lines(history.describe_incidents())] if history.incidents else []
    total, by_part = _format_sizes(params).split(": ", 1)
    return html.block(
        head,
        html.table(_describe(history, description) | {total: by_part}),
        *incidents,
        html.details("The model", html.equations(map(equation, vae.equations))),
    )


def _describe(history: History, description: DataDescription | None) -> dict[str, str]:
    schema = None if description is None else description.schema
    if schema is None:
        return history.describe()
    names = [f"{column.name} ({type(column).__name__})" for column in schema.modelled]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return history.describe() | {"columns": ", ".join(names[:SHOWN]) + more}


def _name_parts(vae: VAE) -> str:
    parts = ", ".join(type(part).__name__ for part in (vae.prior, vae.posterior, vae.likelihood))
    return f"VAE of {vae.latent_dim} latent dimensions ({parts})"


def _format_sizes(params: Params) -> str:
    """Return the numbers of parameters, in all and by part."""
    sizes: dict[str, int] = {}
    for name, tree in params.items():
        part = name.split("$")[0]
        sizes[part] = sizes.get(part, 0) + sum(leaf.size for leaf in jax.tree.leaves(tree))
    by_part = ", ".join(f"{part} {size:,}" for part, size in sizes.items())
    return f"{sum(sizes.values()):,} parameters: {by_part}"
