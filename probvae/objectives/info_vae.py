"""InfoVAE: the codes of all data together, held to the prior by the maximum mean discrepancy."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax

from probvae.objectives.compatibility import check_compatible, check_particles, check_weights
from probvae.objectives.kernels import RBF, AbstractKernel, mmd
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms, latent_sites
from probvae.typing import RngKey, Schedule


@dataclass(frozen=True)
class InfoVAE(AbstractObjective):
    """E_q[log p(x|z)] - (1 - alpha) KL(q(z|x) || p(z)) - (alpha + lambda - 1) MMD^2(q(z), p(z)).

    q(z) is that of the batch's codes, one draw each, against as many draws from the prior; the MMD is
    estimated without bias (and can be negative). It has no unit: lambda also sets its price in nats.
    alpha = 1 is the MMD-VAE, without a KL. **Not a bound on log p(x)**, except with alpha = 0 and
    lambda = 1, which is the ELBO. A prior's own parameters get the MMD's gradient where its draws are
    reparametrised (not in a mixture, say), and with alpha = 1 no other.

    The MMD^2 is recorded as ``mmd``.

    Args:
        alpha: 1 minus the weight of the KL: a number in [0, 1].
        lam: lambda, with alpha + lambda >= 1: a number.
        kernel: ``RBF()`` or ``InverseMultiquadratic()``.
        num_particles: draws of z per datum and step; the MMD is the mean of theirs.
        closed_form: take a KL in closed form where that is exact.

    Raises:
        ValueError: for alpha outside [0, 1], or alpha + lambda < 1.

    Reference: Zhao, Song and Ermon 2019, arXiv:1706.02262; Gretton et al. 2012, JMLR 13, lemma 6.
    """

    fits_points = True
    scheduled = ("lam",)
    least_batch = 2
    reports: ClassVar[tuple[str, ...]] = ("mmd",)

    alpha: float = 1.0
    lam: float | Schedule = 10.0
    kernel: AbstractKernel = field(default_factory=RBF)
    num_particles: int = 1
    closed_form: bool = True

    def __post_init__(self) -> None:
        check_particles(self)
        if not (math.isfinite(self.alpha) and 0 <= self.alpha <= 1):
            raise ValueError(f"InfoVAE(alpha=...) expects a number in [0, 1]; got {self.alpha!r}.")
        check_weights(self)
        start = self.lam(0) if callable(self.lam) else self.lam
        if self.alpha + start < 1:
            raise ValueError(
                "InfoVAE expects alpha + lam >= 1, or it rewards codes for differing from the prior; "
                f"got alpha={self.alpha!r}, lam={start!r}."
            )

    def least(self, name: str) -> float:
        return 1 - self.alpha

    def look(self, guide_trace: dict, model_trace: dict, rng_key: RngKey) -> Any:
        name = _only_site(guide_trace)
        z, p = guide_trace[name]["value"], model_trace[name]["fn"]
        check_compatible(self, len(z))
        drawn = p.sample(jax.random.fold_in(rng_key, 2))  # 0 and 1 are the guide's and the model's
        return mmd(self.kernel, z, drawn if p.has_rsample else jax.lax.stop_gradient(drawn))

    def parts(self, read: Terms, step: jax.Array | None) -> dict[str, jax.Array]:
        return {"mmd": read.seen}

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        price = self.alpha + self.weight(self.lam, step) - 1
        each = read.log_likelihood - (1 - self.alpha) * read.total_kl
        return each.mean(0) - price * read.seen.mean()


def _only_site(trace: dict) -> str:
    sites = latent_sites(trace)
    if len(sites) == 1:
        return sites[0]
    raise ValueError(
        f"InfoVAE compares the codes at one latent site with the prior's, and the guide has {sites}. "
        "Take a distribution guide such as guides.MeanField()."
    )
