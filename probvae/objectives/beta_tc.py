"""beta-TCVAE: the KL in three parts, with a weight for each."""

import abc
import math
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from numpyro.distributions import Distribution, Independent

from probvae.checks import Checked, IntAboveOne, PositiveInt
from probvae.objectives.compatibility import check_batch_size, check_weights, single_latent_site
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.terms import Terms, unwrap_expanded
from probvae.typing import RngKey, Schedule

PARTS = ("mutual_information", "total_correlation", "dimension_kl")


class AbstractSampling(Checked, abc.ABC):
    r"""An estimator of $q(z) = (1/N) \sum_n q(z|x_n)$ from the batch that z itself comes from."""

    @abc.abstractmethod
    def log_weights(self, batch: int) -> jax.Array:
        """Return log W ``(batch, batch)``: q(z_i) is estimated by sum_k W_ik q(z_i|x_k)."""


@dataclass(frozen=True)
class MinibatchStratified(AbstractSampling):
    r"""Minibatch stratified sampling, which knows the size N of the training set.

    $W_{ii} = 1/N$, and $W_{ik} = (N - 1) / (N (B - 1))$ for $k \ne i$, with the batch size B.

    The estimate of $q(z_i)$ is unbiased over batches, and exact if the batch is the whole training set.

    Args:
        num_data: N, the size of the training set, which a batch does not show.

    Reference: Chen et al. 2018, arXiv:1802.04942, appendix C.2. They give one of the other data a
    weight of its own, by its place in the batch. This is the mean of their weights over places.
    """

    num_data: IntAboveOne

    def log_weights(self, batch: int) -> jax.Array:
        # z_i was drawn from q(z|x_i), so the batch is not a random sample of components for z_i: it
        # always contains z_i's own component, which gets its exact weight 1/N. The other B - 1 are a
        # random sample of the remaining N - 1, and share the remaining mass (N - 1) / N equally.
        if batch > self.num_data:
            raise ValueError(
                f"MinibatchStratified(num_data=...) expects at least the batch size {batch}; got "
                f"{self.num_data}. Use num_data=len(train)."
            )
        others = math.log((self.num_data - 1) / (self.num_data * (batch - 1)))
        return jnp.where(jnp.eye(batch, dtype=bool), -math.log(self.num_data), others)  # (B, B)


@dataclass(frozen=True)
class MinibatchWeighted(AbstractSampling):
    r"""Minibatch weighted sampling without its constant. It needs no size of the training set.

    $W_{ik} = 1/B$, with the batch size B.

    The estimate is exact if the batch is the whole training set. For smaller batches $q(z_i)$ is too
    large, because $z_i$ comes from one of the B components, and the index-code information cannot
    exceed log B.

    Reference: Chen et al. 2018, arXiv:1802.04942, section 3.1.
    """

    def log_weights(self, batch: int) -> jax.Array:
        # The paper's weights 1 / (N B) sum to 1/N instead of 1. This constant has no gradient, but adds
        # (D - 1) log N to the total correlation of D units: log q(z) contains it once, and
        # sum_j log q(z_j) D times. Without it, the recorded parts are on the scale of the KL.
        return jnp.full((batch, batch), -math.log(batch))


class AggregatePosterior(NamedTuple):
    """Estimates of log q(z_i) and of sum_j log q(z_ij), ``(batch,)`` each."""

    log_joint: jax.Array
    log_units: jax.Array


@dataclass(frozen=True)
class BetaTC(AbstractObjective):
    r"""The ELBO with one weight for each of three parts of the KL, in nats per datum.

    $E_q[\log p(x|z)] - \alpha I(z; n) - \beta TC(z) - \gamma DKL(z)$.

    - $I = E[\log q(z|x_n) - \log q(z)]$ is the information of a code about the index of its datum.
    - $TC = E[\log q(z) - \sum_j \log q(z_j)]$ is the total correlation of the units.
    - $DKL = E[\sum_j \log q(z_j) - \log p(z)]$ is the sum of the KLs of single units.

    All parts are sampled at the same z. For each datum and draw they therefore add up to
    $\log q(z|x) - \log p(z)$, the sampled KL of ``ELBO(closed_form=False)``. With all weights at 1,
    this objective is that one. With other weights it is **not a bound on log p(x)**. For a prior whose
    units depend on each other, DKL is the KL from the product of the q(z_j) to p(z).

    The history records the parts as ``mutual_information``, ``total_correlation`` and ``dimension_kl``.

    Args:
        beta: weight of the total correlation: a number >= 0, or an optax schedule of the step.
        alpha: weight of the index-code information.
        gamma: weight of the dimension-wise KL.
        sampling: the estimator of q(z): ``MinibatchWeighted()``, or
            ``MinibatchStratified(num_data=len(train))``.
        num_particles: draws of z per datum and step.

    Reference: Chen et al. 2018, arXiv:1802.04942, section 3.
    """

    reports: ClassVar[tuple[str, ...]] = PARTS
    closed_form: ClassVar[bool] = False
    scheduled = ("beta", "alpha", "gamma")
    min_batch_size = 2

    beta: float | Schedule = 6.0
    alpha: float | Schedule = 1.0
    gamma: float | Schedule = 1.0
    sampling: AbstractSampling = field(default_factory=MinibatchWeighted)
    num_particles: PositiveInt = 1

    def __post_init__(self) -> None:
        check_weights(self)

    def look(self, guide_trace: dict, model_trace: dict, rng_key: RngKey) -> AggregatePosterior:
        site = guide_trace[single_latent_site(self, guide_trace)]
        check_batch_size(self, len(site["value"]))
        log_q = log_pairs(site["fn"], site["value"])
        return aggregate(log_q, self.sampling.log_weights(len(log_q)))

    def parts(self, read: Terms, step: jax.Array | None) -> dict[str, jax.Array]:
        log_q_z, log_q_units = read.extra
        log_q, log_p = sum(read.log_guide.values()), sum(read.log_prior.values())
        values = (log_q - log_q_z, log_q_z - log_q_units, log_q_units - log_p)
        return dict(zip(PARTS, values, strict=True))

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        weights = [self.weight(w, step) for w in (self.alpha, self.beta, self.gamma)]
        parts = self.parts(read, step).values()
        cost = sum(w * part for w, part in zip(weights, parts, strict=True))
        return (read.log_likelihood - cost).mean(0)


def log_pairs(q: Distribution, z: jax.Array) -> jax.Array:
    """Return log q(z_ij | x_k) for all pairs of data and units, ``(batch i, batch k, units j)``."""
    base = unwrap_expanded(q)
    units = getattr(base, "base_dist", None)
    if units is None or not isinstance(base, Independent) or units.batch_shape != z.shape:
        raise ValueError(
            f"BetaTC expects a q(z|x) with independent units; got {type(base).__name__}. Use "
            "guides.MeanField()."
        )
    return units.log_prob(z[:, None, :])


def aggregate(log_q: jax.Array, log_weights: jax.Array) -> AggregatePosterior:
    """Estimate log q(z_i) and sum_j log q(z_ij) from all pairs.

    Args:
        log_q: log q(z_ij | x_k), ``(batch i, batch k, units j)``.
        log_weights: log W_ik, ``(batch i, batch k)``.
    """
    joint = logsumexp(log_weights + log_q.sum(-1), axis=1)  # (batch,)
    units = logsumexp(log_weights[..., None] + log_q, axis=1).sum(-1)  # (batch,)
    return AggregatePosterior(joint, units)
