"""Warm starts: a fitted VAE's values for another VAE, and parts that are held while the rest trains."""

from functools import lru_cache
from typing import Any

import optax

from probvae.structure import structure
from probvae.training import checks
from probvae.training.start_values import same_shapes
from probvae.typing import Params


def shared_params(fitted: Any, vae: Any) -> Params:
    """Return the values of a fitted VAE that another VAE has a place for: after a swap of parts.

    These are the sites, of parameters and running state, that ``vae`` has under the same name with the
    same shapes; all others start anew. (Same shapes need not mean the same
    thing: an encoder keeps its weights where the guide that reads it was swapped for one with as many
    outputs.)

        swapped = dataclasses.replace(fitted.vae, prior=priors.VampPrior())
        fit(swapped, x, init_params=shared_params(fitted, swapped), freeze=("decoder",), rng_key=key)

    Args:
        fitted: a fitted VAE.
        vae: the VAE to start.

    Returns:
        values by site, for ``fit(init_params=...)``; the keys say what is shared.

    Raises:
        ValueError: if nothing is.
    """
    checks.check_fitted(fitted)
    checks.check_vae("shared_params", vae)
    found = structure(vae)
    known = {**found.params, **found.state}
    values = fitted.values.items()
    shared = {k: v for k, v in values if k in known and same_shapes(v, known[k])}
    if not shared:
        raise ValueError(
            f"the two VAEs share nothing: the fitted one has the sites {sorted(fitted.values)}, the "
            f"other {sorted(known)}, and none of these has the same name and shapes in both."
        )
    return shared


@lru_cache(maxsize=32)
def held(optimizer: optax.GradientTransformation, roles: tuple[str, ...]) -> Any:
    """Return an optimizer that leaves the parameters of some roles as they are.

    Cached: equal arguments give one object, so that a second fit reuses the compiled program.
    """

    def labels(params: Params) -> dict[str, str]:
        return {name: "held" if name.split("$")[0] in roles else "moved" for name in params}

    return optax.multi_transform({"moved": optimizer, "held": optax.set_to_zero()}, labels)
