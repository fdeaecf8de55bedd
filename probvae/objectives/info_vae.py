"""InfoVAE (MMD-VAE): the maximum mean discrepancy between all codes and the prior."""

from dataclasses import dataclass, field
from typing import ClassVar

import jax

from probvae.checks import PositiveInt, UnitInterval
from probvae.objectives.compatibility import check_batch_size, check_weights, single_latent_site
from probvae.objectives.kernels import RBF, AbstractKernel, mmd
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms
from probvae.typing import RngKey, Schedule


@dataclass(frozen=True)
class InfoVAE(AbstractObjective):
    r"""InfoVAE: the discrepancy (MMD) between q(z) and p(z) replaces part or all of the KL.

    $E_q[\log p(x|z)] - (1 - \alpha) \mathrm{KL}(q(z|x) || p(z)) - (\alpha + \lambda - 1) MMD^2$.

    $MMD^2$ compares the batch's codes, one draw each, with as many draws from the prior. The estimate
    is unbiased and can be negative. It has no unit, so lambda also sets its price in nats.

    With alpha = 1 this is the MMD-VAE, without a KL. **It is not a bound on log p(x)**, except with
    alpha = 0 and lambda = 1, where it is the ELBO. The parameters of a prior receive the gradient of
    the MMD if its draws are reparametrised (not for a mixture). With alpha = 1 they receive no other.

    The history records the MMD^2 as ``mmd``.

    Args:
        alpha: 1 minus the weight of the KL, in [0, 1].
        lam: lambda, with alpha + lambda >= 1: a number, or an optax schedule of the step.
        kernel: ``RBF()`` or ``InverseMultiquadratic()``.
        num_particles: draws of z per datum and step. The MMDs of the particles are averaged.
        closed_form: use the closed form of a KL where it is exact.

    Raises:
        ValueError: for alpha + lambda < 1.

    Reference: Zhao, Song and Ermon 2019, arXiv:1706.02262. Gretton et al. 2012, JMLR 13, lemma 6.
    """

    accepts_point_guides = True
    scheduled = ("lam",)
    min_batch_size = 2
    reports: ClassVar[tuple[str, ...]] = ("mmd",)

    alpha: UnitInterval = 1.0
    lam: float | Schedule = 10.0
    kernel: AbstractKernel = field(default_factory=RBF)
    num_particles: PositiveInt = 1
    closed_form: bool = True

    def __post_init__(self) -> None:
        check_weights(self)
        start = self.lam(0) if callable(self.lam) else self.lam
        if self.alpha + start < 1:
            raise ValueError(
                f"InfoVAE expects alpha + lam >= 1; got alpha={self.alpha!r}, lam={start!r}. A smaller "
                "sum would reward codes for differing from the prior."
            )

    def min_weight(self, name: str) -> float:
        return 1 - self.alpha

    def look(self, guide_trace: dict, model_trace: dict, rng_key: RngKey) -> jax.Array:
        name = single_latent_site(self, guide_trace)
        z, p = guide_trace[name]["value"], model_trace[name]["fn"]
        check_batch_size(self, len(z))
        sample = p.sample(
            jax.random.fold_in(rng_key, 2)
        )  # 0 and 1 are the guide's and the model's keys
        return mmd(self.kernel, z, sample if p.has_rsample else jax.lax.stop_gradient(sample))

    def parts(self, read: Terms, step: jax.Array | None) -> dict[str, jax.Array]:
        return {"mmd": read.extra}

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        price = self.alpha + self.weight(self.lam, step) - 1
        bound = read.log_likelihood - (1 - self.alpha) * read.total_kl
        return bound.mean(0) - price * read.extra.mean()
