"""The KL in three parts: index-code information, total correlation, dimension-wise KL."""

import abc
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from numpyro.distributions import Independent

from probvae.checks import Checked
from probvae.objectives.compatibility import check_compatible, check_particles, check_weights
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms, latent_sites, unwrap_expanded
from probvae.typing import RngKey, Schedule

PARTS = ("mutual_information", "total_correlation", "dimension_kl")


class AbstractSampling(Checked, abc.ABC):
    """How q(z) = (1/N) sum_n q(z|x_n) is estimated from a batch that z itself comes from."""

    @abc.abstractmethod
    def log_weights(self, batch: int) -> jax.Array:
        """Return log W ``(batch, batch)``: q(z_i) is estimated by sum_k W_ik q(z_i|x_k)."""


@dataclass(frozen=True)
class MinibatchStratified(AbstractSampling):
    """Minibatch stratified sampling: W_ii = 1/N, W_ik = (N - 1) / (N (B - 1)) for k != i.

    Its estimate of q(z_i) has the right mean over batches, and is exact where the batch is the whole
    data set. The paper gives one of the others another weight, by its place; this is the mean of that
    over places.

    Args:
        num_data: N, the size of the training set (a batch does not know it).

    Raises:
        ValueError: for fewer than two data.

    Reference: Chen et al. 2018, arXiv:1802.04942, appendix C.2.
    """

    num_data: int

    def __post_init__(self) -> None:
        n = self.num_data
        if not isinstance(n, int) or isinstance(n, bool) or n < 2:
            raise ValueError(
                f"MinibatchStratified(num_data=...) expects an integer of at least 2, the number of training "
                f"data; got {n!r}."
            )

    def log_weights(self, batch: int) -> jax.Array:
        if batch > self.num_data:
            raise ValueError(
                f"MinibatchStratified(num_data={self.num_data}) got a batch of {batch}: more than there are "
                "data. Take num_data=len(train)."
            )
        others = math.log((self.num_data - 1) / (self.num_data * (batch - 1)))
        return jnp.where(jnp.eye(batch, dtype=bool), -math.log(self.num_data), others)


@dataclass(frozen=True)
class MinibatchWeighted(AbstractSampling):
    """Minibatch weighted sampling without its constant: W_ik = 1/B. Needs no size of the data set.

    The paper's W_ik = 1/(N B) sums to 1/N, not to 1: a constant that has no gradient, and that puts
    the total correlation (D - 1) log N too high. Here it is removed. What is left is exact where the
    batch is the whole data set; for smaller batches q(z_i) is too large (z_i came from one of its B
    components), and the index-code information cannot exceed log B.

    Reference: Chen et al. 2018, arXiv:1802.04942, section 3.1.
    """

    def log_weights(self, batch: int) -> jax.Array:
        return jnp.full((batch, batch), -math.log(batch))


@dataclass(frozen=True)
class BetaTC(AbstractObjective):
    """E_q[log p(x|z)] - alpha I(z; n) - beta TC(z) - gamma DKL(z), in nats per datum.

    I = E[log q(z|x_n) - log q(z)] is the information that a code has of its datum's index, TC = E[log
    q(z) - sum_j log q(z_j)] the total correlation of the units, DKL = E[sum_j log q(z_j) - log p(z)]
    their KL each. They are sampled at the same z, so that the three add up, datum by datum and draw by
    draw, to log q(z|x) - log p(z), the KL as ``ELBO(closed_form=False)`` samples it: with all weights
    1 that is what this objective is. (For a prior whose units depend on each other the third part is
    the KL of the product of the q(z_j) to p(z).) With other weights it is **not a bound on log p(x)**.

    The parts are recorded as ``mutual_information``, ``total_correlation`` and ``dimension_kl``.

    Args:
        beta: weight of the total correlation: a number >= 0, or an optax schedule of the step.
        alpha: weight of the index-code information.
        gamma: weight of the dimension-wise KL.
        sampling: how q(z) is estimated: ``MinibatchWeighted()``, or ``MinibatchStratified(num_data=len(train))``.
        num_particles: draws of z per datum and step.

    Reference: Chen et al. 2018, arXiv:1802.04942, section 3.
    """

    reports: ClassVar[tuple[str, ...]] = PARTS
    closed_form: ClassVar[bool] = False
    scheduled = ("beta", "alpha", "gamma")
    least_batch = 2

    beta: float | Schedule = 6.0
    alpha: float | Schedule = 1.0
    gamma: float | Schedule = 1.0
    sampling: AbstractSampling = field(default_factory=MinibatchWeighted)
    num_particles: int = 1

    def __post_init__(self) -> None:
        check_particles(self)
        check_weights(self)

    def look(self, guide_trace: dict, model_trace: dict, rng_key: RngKey) -> Any:
        site = guide_trace[_only_site(guide_trace)]
        check_compatible(self, len(site["value"]))
        log_q = log_pairs(site["fn"], site["value"])
        return aggregate(log_q, self.sampling.log_weights(len(log_q)))

    def parts(self, read: Terms, step: jax.Array | None) -> dict[str, jax.Array]:
        log_q_z, log_q_units = read.seen
        log_q, log_p = sum(read.log_guide.values()), sum(read.log_prior.values())
        three = (log_q - log_q_z, log_q_z - log_q_units, log_q_units - log_p)
        return dict(zip(PARTS, three, strict=True))

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        weights = [self.weight(w, step) for w in (self.alpha, self.beta, self.gamma)]
        parts = self.parts(read, step).values()
        cost = sum(w * part for w, part in zip(weights, parts, strict=True))
        return (read.log_likelihood - cost).mean(0)


def log_pairs(q: Any, z: jax.Array) -> jax.Array:
    """Return log q(z_ij | x_k) for all pairs of data and units, ``(batch i, batch k, units j)``."""
    base: Any = unwrap_expanded(q)
    units: Any = getattr(base, "base_dist", None)
    if not isinstance(base, Independent) or units.batch_shape != z.shape:
        raise ValueError(
            f"BetaTC needs q(z_j|x) for each unit alone, and this guide's q(z|x) is a "
            f"{type(base).__name__} whose units are not independent. Take guides.MeanField()."
        )
    return units.log_prob(z[:, None, :])


def aggregate(log_q: jax.Array, log_weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the estimates of log q(z_i) and of sum_j log q(z_ij), ``(batch,)`` each."""
    joint = logsumexp(log_weights + log_q.sum(-1), axis=1)
    units = logsumexp(log_weights[..., None] + log_q, axis=1).sum(-1)
    return joint, units


def _only_site(trace: dict) -> str:
    sites = latent_sites(trace)
    if len(sites) == 1:
        return sites[0]
    raise ValueError(
        f"BetaTC decomposes the KL of one latent site, and the guide has {sites}. Take a distribution "
        "guide such as guides.MeanField()."
    )
