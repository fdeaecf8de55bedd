"""FactorVAE: a penalty on the total correlation, which a discriminator estimates."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
from numpyro import handlers

from probvae import nets
from probvae.checks import PositiveInt
from probvae.distributions.support import name_support
from probvae.objectives.compatibility import check_batch_size, check_weights, single_latent_site
from probvae.objectives.discriminator import (
    discriminator_weights,
    gradient_only,
    log_loss,
    register_discriminator,
)
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms
from probvae.typing import Program, RngKey, Schedule

TIED = ("sphere", "log-simplex", "one-hot")  # supports whose units cannot be permuted separately


class FactorTerms(NamedTuple):
    """Estimate of the total correlation and loss of the discriminator, per datum."""

    total_correlation: jax.Array
    discriminator_loss: jax.Array


@dataclass(frozen=True)
class FactorVAE(AbstractObjective):
    r"""The ELBO minus gamma times the total correlation of the codes, in nats per datum.

    $E_q[\log p(x|z)] - \mathrm{KL}(q(z|x) || p(z)) - \gamma TC(z)$, with
    $TC(z) = \mathrm{KL}(q(z) || \prod_j q(z_j)) = E[\log D(z) / (1 - D(z))]$.

    D is a net that belongs to the objective (site ``"objective$params"``). D(z) is the probability that
    z is a code, and not a code whose units were permuted, each separately, over the batch. D learns in
    the same step. Its loss $-E[\log D(z)] / 2 - E[\log (1 - D(z'))] / 2$ trains D alone, and TC trains
    the VAE alone. The loss of D is not part of the objective's value.

    With $\gamma = 0$ the value is the ELBO. Otherwise it is **not a bound on log p(x)**: where D errs,
    the estimate of TC may be negative.

    D must keep up with the codes. Set its own learning rate by site name:

        def players(params):
            return {k: "D" if k.startswith("objective$") else "VAE" for k in params}

        optax.multi_transform({"VAE": optax.adam(1e-4), "D": optax.adam(1e-4, b1=0.5)}, players)

    The history records the estimate of TC as ``total_correlation`` and the loss of D as
    ``discriminator_loss`` (log 2 if D cannot tell codes from permuted ones). D is not part of the
    fitted VAE.

    Args:
        gamma: weight of the total correlation: a number >= 0, or an optax schedule of the step.
        discriminator: a recipe of a net from a code to one number, log D / (1 - D).
        num_particles: draws of z per datum and step.
        closed_form: use the closed form of a KL where it is exact.

    Reference: Kim and Mnih 2018, arXiv:1802.05983, equations 2 and 3, algorithm 2. They permute the
    units of a second batch. Here it is the same batch.
    """

    accepts_point_guides = True
    scheduled = ("gamma",)
    min_batch_size = 2
    reports: ClassVar[tuple[str, ...]] = FactorTerms._fields

    gamma: float | Schedule = 10.0
    discriminator: nets.Recipe = nets.MLP((1000,) * 6, jax.nn.leaky_relu)
    num_particles: PositiveInt = 1
    closed_form: bool = True

    def __post_init__(self) -> None:
        check_weights(self)

    def programs(self, model: Program, guide: Program) -> tuple[Program, Program]:
        model, guide = super().programs(model, guide)

        def model_with_discriminator(*args: Any, **kwargs: Any) -> Any:
            with handlers.trace() as trace:
                value = model(*args, **kwargs)
            shape = trace[self._site(trace)]["fn"].event_shape
            register_discriminator(self.discriminator, shape, (1,))
            return value

        return model_with_discriminator, guide

    def look(self, guide_trace: dict, model_trace: dict, rng_key: RngKey) -> FactorTerms:
        # Who receives which gradient is decided by what is stopped:
        #   discriminator_loss   D's weights phi, stopped codes  -> D alone
        #   total_correlation    stopped phi, codes z            -> encoder alone
        # phi are the weights before this step for both, so that one step moves both players.
        z = guide_trace[self._site(guide_trace)]["value"]
        check_batch_size(self, len(z))
        stop = jax.lax.stop_gradient
        d = nets.function(self.discriminator, z.shape[1:], (1,))
        phi = discriminator_weights(self, model_trace)
        permuted = exchange(jax.random.fold_in(rng_key, 2), stop(z))
        loss = (log_loss(d(phi, stop(z)), real=True) + log_loss(d(phi, permuted), real=False)) / 2
        return FactorTerms(d(stop(phi), z)[:, 0], loss[:, 0])

    def parts(self, read: Terms, step: jax.Array | None) -> dict[str, jax.Array]:
        return read.extra._asdict()

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        cost = read.total_kl + self.weight(self.gamma, step) * read.extra.total_correlation
        return (read.log_likelihood - cost - gradient_only(read.extra.discriminator_loss)).mean(0)

    def _site(self, trace: dict) -> str:
        site = single_latent_site(self, trace)
        support = name_support(trace[site]["fn"].support)
        if support in TIED:
            raise ValueError(
                "FactorVAE permutes each unit separately and expects codes on the real line; got codes "
                f"on the {support}. Use a guide such as guides.MeanField()."
            )
        return site


def exchange(rng_key: RngKey, z: jax.Array) -> jax.Array:
    """Permute each unit separately over the batch: draws from the product of the units' marginals."""
    return jax.random.permutation(rng_key, z, axis=0, independent=True)
