"""A fitted decoder as a component of your own NumPyro program."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.distributions import Distribution

from probvae import inputs
from probvae.checks import check_positive_integer
from probvae.data_checks import check_context
from probvae.fitted.queries import posterior_programs
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike, Params
from probvae.vae import VAE


@short_repr
@dataclass(frozen=True, eq=False)
class DecoderPrior:
    r"""$x = E[x | z]$ with $z \sim p(z)$ inside your own program: a fitted VAE as a prior on x.

    A call issues the latent sites of the VAE's prior as ``"<name>/z"`` (in a hierarchy ``"<name>/z1"``,
    ...). All parameters are fixed numbers, so NUTS and SVI infer z alone:

        field = fitted.as_prior()


        def model(y, observed):
            sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
            numpyro.sample("y", dist.Normal(field("field")[observed], sigma), obs=y)

    The mean of unordered levels (``likelihoods.Categorical``) has no meaning. Use
    ``field.distribution(...)`` for them. A call has its own plate. For several independent fields, pass
    ``size``.

    Attributes:
        vae: the VAE in evaluation mode.
        values: its parameters and running state by site.

    Reference: Semenova et al. 2022, arXiv:2110.10422 (PriorVAE).
    """

    vae: VAE
    values: Params

    def __call__(
        self, name: str, *, size: int | None = None, context: ArrayLike | None = None
    ) -> jax.Array:
        """Issue the sites, and return the mean of p(x|z), of shape ``event_shape``.

        Args:
            name: prefix of the sites' names. Use a different one for each call in a program.
            size: number of independent fields. The result is then ``(size, *event_shape)``.
            context: ``(size, *context_shape)``, or ``context_shape`` without ``size``.

        Raises:
            ValueError: for a name in use, a call inside a plate, or a context of another shape.
        """
        if size is not None:
            return self.distribution(name, size=size, context=context).mean
        row = None if context is None else inputs.to_numbers("context", context)[None]
        return self.distribution(name, context=row).mean[0]

    def distribution(
        self, name: str, *, size: int = 1, context: ArrayLike | None = None
    ) -> Distribution:
        """Issue the sites, and return p(x|z) with batch shape ``(size,)``, for ``numpyro.sample``.

        Raises:
            ValueError: as for a call.
        """
        check_positive_integer("size", size)
        if not (isinstance(name, str) and name):
            raise ValueError(
                f"name expects a prefix for the sites' names, such as 'field'; got {name!r}."
            )
        context = check_context(self.vae, context)
        # The model runs with x observed, so that it issues no site "x". The value has no effect.
        x = jnp.full((size, *self.vae.event_shape), self.vae.likelihood.fill)
        try:
            with (
                handlers.scope(prefix=name),
                handlers.block(hide=["x"]),
                handlers.trace() as trace,
            ):
                posterior_programs(self.vae.model, self.values)(x, context)
        except AssertionError as error:  # of NumPyro, often without a message
            raise ValueError(
                f'the sites of "{name}" cannot be added to the program ({error or "a plate is open"}). '
                "Use a different name for each call, and size=... instead of a plate."
            ) from error
        return trace["x"]["fn"]
