"""A fitted decoder as a component of a user's own NumPyro program."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.distributions import Distribution

from probvae import inputs
from probvae.checks import check_positive_integer
from probvae.data_checks import check_context
from probvae.fitted.queries import posterior_programs
from probvae.typing import ArrayLike, Params
from probvae.vae import VAE


@dataclass(frozen=True, eq=False)
class DecoderPrior:
    """x = E[x | z], z ~ p(z), inside another program: what a VAE has learned, as a prior on x.

    A call issues the latent sites of the VAE's prior, named ``"<name>/z"`` (a hierarchy has
    ``"<name>/z1"``, ...), with all numbers put in and no parameters: NUTS and SVI infer z alone:

        field = fitted.as_prior()


        def model(y, seen):
            sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
            numpyro.sample("y", dist.Normal(field("field")[seen], sigma), obs=y)

    The mean of levels without an order (``likelihoods.Categorical``) means nothing: take
    ``field.distribution(...)`` for them. A call has a plate of its own: for several independent fields
    ask for a ``size``. ``vae`` is the VAE in evaluation mode, ``values`` its numbers by site.

    Reference: Semenova et al. 2022, arXiv:2110.10422 (PriorVAE).
    """

    vae: VAE
    values: Params

    def __call__(
        self, name: str, *, size: int | None = None, context: ArrayLike | None = None
    ) -> jax.Array:
        """Issue the sites; return the mean of p(x|z), of shape ``event_shape``.

        Args:
            name: what stands before the sites' names; another for each call in a program.
            size: how many independent fields: ``(size, *event_shape)`` is then returned.
            context: ``(size, *context_shape)``; ``context_shape`` where no size is given.

        Raises:
            ValueError: for a name that is taken, a call inside a plate, or a context that does not fit.
        """
        if size is not None:
            return self.distribution(name, size=size, context=context).mean
        row = None if context is None else inputs.to_numbers("context", context)[None]
        return self.distribution(name, context=row).mean[0]

    def distribution(
        self, name: str, *, size: int = 1, context: ArrayLike | None = None
    ) -> Distribution:
        """Issue the sites; return p(x|z) itself, batch shape ``(size,)``, for ``numpyro.sample``.

        Raises:
            ValueError: as a call.
        """
        check_positive_integer("size", size)
        if not (isinstance(name, str) and name):
            raise ValueError(f"name expects a string to stand before the sites' names; got {name!r}.")
        context = check_context(self.vae, context)
        unseen = jnp.full((size, *self.vae.event_shape), self.vae.likelihood.fill)
        shown = handlers.block(hide=["x"])
        try:
            with handlers.scope(prefix=name), shown, handlers.trace() as found:
                posterior_programs(self.vae.model, self.values)(unseen, context)
        except AssertionError as error:  # NumPyro's own, often without a word
            raise ValueError(
                f'the sites of "{name}" have no room in the program ({error or "a plate is open"}). '
                "Take another name for each call, and size=... instead of a plate around it."
            ) from error
        return found["x"]["fn"]
