"""Replicates of data: draws of a whole data set from the model, in the place of the data."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from numpyro import handlers

from probvae.batching import Rows, map_blocks, map_rows
from probvae.compilation import compile_program
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.objectives.terms import trace_programs
from probvae.typing import Params, RngKey
from probvae.vae import VAE

BATCH_SIZE = 250  # rows that run together, which bounds memory


class Replicate(NamedTuple):
    """One draw of a whole data set, ``(n, *event)`` each.

    ``prior`` is x ~ p(x|z) with z ~ p(z), given the context of the datum. ``posterior`` is the same
    with z ~ q(z|x), the code of the datum itself. Both include the entries that are missing in the
    data.
    """

    prior: np.ndarray
    posterior: np.ndarray


def draw_replicates(
    fitted: Fitted, data: Batch, *, rng_key: RngKey, num_replicates: int
) -> Iterator[Replicate]:
    """Yield replicates of data, one after the other, so that memory does not grow with their number.

    Args:
        fitted: a fitted VAE.
        data: the result of ``observe``.
        rng_key: a typed key. Each replicate and datum has a key of its own.
        num_replicates: the number of data sets.
    """
    draw = partial(_draw, fitted.vae.eval(), fitted.values)
    for key in jax.random.split(rng_key, num_replicates):
        yield Replicate(*map_blocks(draw, data, key))


@partial(compile_program, static_argnames=("vae",))
def _draw(vae: VAE, values: Params, rows: Rows) -> Replicate:
    """Draw x for each datum, from the prior and from its own q(z|x)."""

    def draw_datum(key: RngKey, datum: Batch) -> Replicate:
        prior_key, code_key, x_key = jax.random.split(key, 3)
        x, context, mask = jax.tree.map(lambda a: a[None], datum)
        model = handlers.seed(handlers.substitute(vae.model, dict(values)), prior_key)
        prior = handlers.trace(model).get_trace(None, context)["x"]["value"]
        # The trace has the model at the code of the guide, with the observed x. So draw from p(x|z).
        _, trace = trace_programs(code_key, values, vae.model, vae.guide, (x, context, mask), {})
        return Replicate(prior[0], trace["x"]["fn"].sample(x_key)[0])

    return map_rows(draw_datum, rows, batch_size=BATCH_SIZE)
