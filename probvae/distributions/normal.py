"""Normal distributions from the outputs of a net, with bounded scales."""

import jax
import numpyro.distributions as dist

from probvae.distributions.log_bounds import bound_scale


def diagonal_normal(outputs: jax.Array, bound: float) -> dist.Distribution:
    """Return Normal(m, diag(s^2)) from ``outputs`` ``(..., n, 2)``: m, and r of ``bound_scale``.

    Args:
        outputs: of a net. Any number gives a finite density.
        bound: of log s, as in ``bound_scale``.
    """
    m, r = outputs[..., 0], outputs[..., 1]
    return dist.Normal(m, bound_scale(r, bound)).to_event(1)
