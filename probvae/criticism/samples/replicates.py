"""Replicates of data: what the model would have given in their place."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from numpyro import handlers

from probvae.batching import Rows, map_blocks, map_rows
from probvae.checks import check_key
from probvae.compilation import compile_program
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.objectives.terms import trace_programs
from probvae.typing import Params, RngKey

AT_A_TIME = 250  # data drawn together: bounds memory


class Replicate(NamedTuple):
    """One draw of a whole data set, ``(n, *event)`` each.

    ``prior`` is x ~ p(x|z), z ~ p(z) (given the datum's context); ``posterior`` the same with z ~
    q(z|x), the datum's own code. Entries that are missing in the data are drawn too.
    """

    prior: np.ndarray
    posterior: np.ndarray


def apply_observation(fitted: Fitted, x: Any, rng_key: RngKey) -> Batch:
    """Return data as the likelihood scores them: checked, and with its noise (``Spread``).

    Raises:
        ValueError: for data that do not fit, or a likelihood that is no density: nothing is drawn
            from it.
    """
    check_key(rng_key)
    likelihood = fitted.vae.likelihood
    if not likelihood.is_density:
        raise ValueError(
            f"replicates are draws of p(x|z), and {type(likelihood).__name__} is no density: it scores "
            "reconstructions only. Take a likelihood such as Gaussian or Bernoulli."
        )
    data = fitted.check_data(x)
    return data._replace(x=np.asarray(fitted.vae.observe(rng_key, data.x)))


def draw_replicates(
    fitted: Fitted, data: Batch, *, rng_key: RngKey, num_replicates: int
) -> Iterator[Replicate]:
    """Yield replicates of data, one after the other, so that memory does not grow with their number.

    Args:
        fitted: a fitted VAE.
        data: as ``observed`` returns them.
        rng_key: a typed key; each replicate and datum has one of its own.
        num_replicates: how many.
    """
    draw = partial(_draw, fitted.vae.eval(), fitted.values)
    for key in jax.random.split(rng_key, num_replicates):
        yield Replicate(*map_blocks(draw, data, key))


@partial(compile_program, static_argnames=("vae",))
def _draw(vae: Any, values: Params, rows: Rows) -> tuple[jax.Array, jax.Array]:
    """Draw x for each datum, from the prior and from its own q(z|x)."""

    def one_datum(key: RngKey, datum: Batch) -> tuple[jax.Array, jax.Array]:
        prior_key, code_key, x_key = jax.random.split(key, 3)
        x, context, mask = jax.tree.map(lambda a: a[None], datum)
        model = handlers.seed(handlers.substitute(vae.model, dict(values)), prior_key)
        prior = handlers.trace(model).get_trace(None, context)["x"]["value"]
        _, given = trace_programs(code_key, values, vae.model, vae.guide, (x, context, mask), {})
        return prior[0], given["x"]["fn"].sample(x_key)[0]

    return map_rows(one_datum, rows, rows.keys, rows.data, at_a_time=AT_A_TIME)
