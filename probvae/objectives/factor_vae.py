"""FactorVAE: the total correlation of the codes, estimated by a discriminator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
from numpyro import handlers

from probvae import nets
from probvae.distributions.support import name_support
from probvae.objectives.compatibility import check_compatible, check_particles, check_weights
from probvae.objectives.discriminator import for_gradient, log_loss, register, weights
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms, latent_sites
from probvae.typing import RngKey, Schedule

TIED = ("sphere", "log-simplex", "one-hot")  # supports whose units cannot be exchanged one by one


@dataclass(frozen=True)
class FactorVAE(AbstractObjective):
    """E_q[log p(x|z)] - KL(q(z|x) || p(z)) - gamma TC(z), in nats per datum.

    TC(z) = KL(q(z) || prod_j q(z_j)) = E[log D(z) / (1 - D(z))], D(z) the probability that z is a code
    and not one whose units were exchanged, each alone, among the codes of the batch. D is a net that
    the objective owns (site ``"objective$params"``) and learns the difference in the same step: its
    loss -1/2 E[log D(z)] - 1/2 E[log (1 - D(z'))] moves D alone, and TC moves the VAE alone. The loss
    of D has no part in the objective's value, which with gamma = 0 is the ELBO. **Not a bound on
    log p(x)** otherwise: where D errs, the estimate of TC may be negative.

    D must keep up with the codes. Its own learning rate comes by site name:

        def players(params):
            return {k: "D" if k.startswith("objective$") else "VAE" for k in params}

        optax.multi_transform({"VAE": optax.adam(1e-4), "D": optax.adam(1e-4, b1=0.5)}, players)

    The estimate of TC and the loss of D are recorded as ``total_correlation`` and
    ``discriminator_loss`` (log 2 where D cannot tell). D serves training, and is not kept. (The paper
    exchanges units in a second batch; here it is the same one.)

    Args:
        gamma: weight of the total correlation: a number >= 0, or an optax schedule of the step.
        discriminator: a net from a code to one number, log D / (1 - D).
        num_particles: draws of z per datum and step.
        closed_form: take a KL in closed form where that is exact.

    Reference: Kim and Mnih 2018, arXiv:1802.05983, equations 2 and 3, algorithm 2.
    """

    fits_points = True
    scheduled = ("gamma",)
    least_batch = 2
    reports: ClassVar[tuple[str, ...]] = ("total_correlation", "discriminator_loss")

    gamma: float | Schedule = 10.0
    discriminator: nets.Recipe = nets.MLP((1000,) * 6, jax.nn.leaky_relu)
    num_particles: int = 1
    closed_form: bool = True

    def __post_init__(self) -> None:
        check_particles(self)
        check_weights(self)

    def programs(self, model: Callable, guide: Callable) -> tuple[Callable, Callable]:
        model, guide = super().programs(model, guide)

        def registered(*args: Any, **kwargs: Any) -> Any:
            with handlers.trace() as trace:
                value = model(*args, **kwargs)
            register(self.discriminator, trace[_site(trace)]["fn"].event_shape, (1,))
            return value

        return registered, guide

    def look(self, guide_trace: dict, model_trace: dict, rng_key: RngKey) -> Any:
        z = guide_trace[_site(guide_trace)]["value"]
        check_compatible(self, len(z))
        stop = jax.lax.stop_gradient
        d, phi = nets.function(self.discriminator, z.shape[1:], (1,)), weights(self, model_trace)
        exchanged = exchange(jax.random.fold_in(rng_key, 2), stop(z))
        loss = (log_loss(d(phi, stop(z)), real=True) + log_loss(d(phi, exchanged), real=False)) / 2
        return d(stop(phi), z)[:, 0], loss[:, 0]

    def parts(self, read: Terms, step: jax.Array | None) -> dict[str, jax.Array]:
        return dict(zip(self.reports, read.seen, strict=True))

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        log_ratio, loss = read.seen
        cost = read.total_kl + self.weight(self.gamma, step) * log_ratio
        return (read.log_likelihood - cost - for_gradient(loss)).mean(0)


def exchange(rng_key: RngKey, z: jax.Array) -> jax.Array:
    """Permute each unit alone over the batch: draws from the product of the units' own laws."""
    return jax.random.permutation(rng_key, z, axis=0, independent=True)


def _site(trace: dict) -> str:
    sites = latent_sites(trace)
    if len(sites) != 1:
        raise ValueError(
            f"FactorVAE exchanges the units of the codes at one latent site, and there are {sites}. "
            "Take a distribution guide such as guides.MeanField()."
        )
    support = name_support(trace[sites[0]]["fn"].support)
    if support in TIED:
        raise ValueError(
            f"FactorVAE exchanges the units of codes one by one, which leaves the {support} that these "
            "codes live on. Take a guide on the plane such as guides.MeanField()."
        )
    return sites[0]
