"""What counts as a fault or a limit: each rule reads numbers, names their meaning, and says what to do.

The thresholds stand here, each with where it comes from. A rule returns None where all is well, or
where what it reads was not measured.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from probvae.criticism.diagnosis.verdict import Finding, Kind

RESPONSE = 1e-6  # of the data's scale: rounding of float32
LEAST_SCALE = 0.01  # of the data's scale
MARGINAL = 0.1  # of the entries' mass, as a Kolmogorov-Smirnov distance
COVERED = 0.1  # below the nominal 0.9
TRANSPORT = 0.5  # of the prior's mass, as total variation
RISE, RISE_SHARE = 0.5, 0.002  # nats, and of the ELBO: the larger counts

Rule = Callable[[Any], Finding | None]


def find_unlike_training_data(m: Any) -> Finding | None:
    """The data are in other units than the training data: all else may follow from that."""
    if m.departure is None:
        return None
    return Finding(
        Kind.FAULT,
        "unlike the training range",
        m.departure.in_words("x"),
        m.departure.share_outside,
        0.5,
        "half of the data, each with half of its entries beyond the training range widened by three of "
        "its widths on either side, by convention",
        "Give the data in the units of the training data. `fitted.data` says what these were.",
    )


def find_dead_decoder(m: Any) -> Finding | None:
    """Nothing that the code does reaches x."""
    if m.response is None or m.response.moved_ratio > RESPONSE:
        return None
    return Finding(
        Kind.FAULT,
        "dead decoder",
        f"over codes of {m.num_data} data, E[x|z] moves by {m.response.moved:.2g} (data: "
        f"{m.response.data_scale:.3g}, in their own units): the code cannot reach x.",
        m.response.moved_ratio,
        RESPONSE,
        "1e-6 of the data's scale, the rounding of float32",
        "Start anew with another key or a lower learning rate; take an activation without a dead side "
        "(nets.MLP(activation=jax.nn.gelu)), or norm=nnx.LayerNorm.",
    )


def find_collapse(m: Any) -> Finding | None:
    """No unit of the code says anything of the datum."""
    if m.units is None:
        return None
    active = np.concatenate([a for a in m.units.active().values()])
    count, most = int(active.sum()), max(v.max() for v in m.units.variance.values())
    if count == len(active) or (count == 0 and find_dead_decoder(m)):
        return None
    kl = sum(float(kl.sum(1).mean()) for kl in m.units.kl.values())
    evidence = (
        f"{count} of {len(active)} units are active; the largest variance over data of a unit's "
        f"posterior mean is {most:.2g}, the KL {kl:.3g} nats."
    )
    source = "0.01 (Burda et al. 2016, arXiv:1509.00519)"
    if count:
        remedy = "None needed: what is not used costs nothing. A smaller latent_dim would do as well."
        return Finding(Kind.NOTE, "unused units", evidence, count, len(active), source, remedy)
    return Finding(
        Kind.FAULT,
        "posterior collapse",
        evidence,
        most,
        0.01,
        source,
        "objectives.FreeBits(...), objectives.ELBO(beta=optax.linear_schedule(0.0, 1.0, steps)), "
        "priors.AutoregressiveNormal(delta) (a committed rate), or a decoder that sees less.",
    )


def find_scale_at_zero(m: Any) -> Finding | None:
    """p(x|z) has become a point in some direction: log p(x) has no finite maximum."""
    if m.response is None or not m.response.least_ratio < LEAST_SCALE:
        return None
    return Finding(
        Kind.FAULT,
        "scale running to 0",
        f"an entry of x has standard deviation {m.response.least_scale:.2g} given z, "
        f"{m.response.least_ratio:.2%} of that of the data. A density over x that lies on a surface, "
        "or on levels, has no largest log p(x): its value says how far training went.",
        m.response.least_ratio,
        LEAST_SCALE,
        "1 % of the data's scale, by convention",
        "likelihoods.Spread(...) with noise of fixed scale, likelihoods.Gaussian(FixedScale(...)), or "
        "for data on levels likelihoods.DiscretizedLogistic() or Categorical(...).",
    )


def find_scale_at_bound(m: Any) -> Finding | None:
    """A scale would be smaller, or larger, if its bound let it."""
    if m.scale_bounds is None or not m.scale_bounds.bounds or find_scale_at_zero(m):
        return None
    worst = max(m.scale_bounds.bounds.values(), key=lambda each: max(each.gain, each.lost))
    gain, threshold = max(worst.gain - 2 * worst.gain_error, worst.lost), _nats(m)
    if not gain > threshold:
        return None
    if gain == worst.lost:
        effect = (
            f"keeps the scale of {worst.held} of {worst.entries} entries of x above that of the data "
            f"themselves. A constant with the data's scale would gain about {worst.lost:.3g} nats."
        )
    else:
        effect = (
            f"holds a scale back. With {worst.field}={worst.looser:g} and all weights as they are, the "
            f"ELBO is {worst.gain:.3g} +- {worst.gain_error:.2g} nats higher."
        )
    change = (
        "Give x in other units, or standardise each column, (x - mean) / sd: log p(x) then changes by "
        "the sum of log sd. Or lower the bound"
        if worst.units
        else "Loosen the bound"
    )
    return Finding(
        Kind.FAULT,
        "scale at its bound",
        f"{worst} {effect}",
        gain,
        threshold,
        "0.5 nats or 0.2 % of the ELBO, whichever is larger, by convention",
        f"{change}: {worst.part}({worst.field}={worst.advised:.1f}).",
    )


def find_wrong_likelihood(m: Any) -> Finding | None:
    """Draws of the model have entries that the data do not, or lack some that they have."""
    if m.predictive is None:
        return None
    blocks = _blocks(m.predictive.posterior)
    name = max(blocks, key=lambda each: blocks[each].marginal.distance)
    marginal = blocks[name].marginal
    if marginal.distance <= MARGINAL:
        return None
    worst, statistic = _furthest(blocks[name].statistics)
    return Finding(
        Kind.FAULT,
        "wrong likelihood",
        f"{_in_block(name)}the entries of the data and of posterior predictive draws differ by "
        f"{marginal.distance:.2f} in their distribution functions (draws among themselves: "
        f"{marginal.replicates.max():.3f} at most); {statistic}: {worst}.",
        marginal.distance,
        MARGINAL,
        "a tenth of the entries' mass is elsewhere (Kolmogorov-Smirnov distance), by convention",
        "Choose the family by what the data are: counts: likelihoods.NegativeBinomial(); levels: "
        "DiscretizedLogistic() or Categorical(...); shares in (0, 1): Beta() or ContinuousBernoulli(); "
        "0 and 1: Bernoulli(); real numbers with outliers: StudentT(). See docs/compatibility.md.",
    )


def find_narrow_predictions(m: Any) -> Finding | None:
    """Intervals of held-out data cover less than they say."""
    if m.predictive is None or find_wrong_likelihood(m):
        return None
    blocks = _blocks(m.predictive.posterior)
    covers = {name: one.coverage for name, one in blocks.items()}
    at_most = {name: float(c.share[-1] + 2 * c.standard_error[-1]) for name, c in covers.items()}
    name = min(at_most, key=lambda each: at_most[each])
    cover = covers[name]
    share, error, level = (float(a[-1]) for a in (cover.share, cover.standard_error, cover.levels))
    if not at_most[name] < level - COVERED:
        return None
    return Finding(
        Kind.LIMIT,
        "predictive intervals too narrow",
        f"{_in_block(name)}{level:.0%} intervals of p(x|z), z ~ q(z|x), hold {share:.0%} +- "
        f"{error:.0%} of held-out entries.",
        share,
        level - COVERED,
        "10 percentage points below nominal, by convention",
        "A learned scale (likelihoods.LearnedScale(), PixelScale()), heavier tails (StudentT()), or "
        "fewer epochs: the decoder may have learnt the training data by heart.",
    )


def _nats(m: Any) -> float:
    """Return how many nats of the ELBO count: 0.5, or 0.2 % of it."""
    return max(RISE, RISE_SHARE * abs(m.elbo.mean))


def _blocks(checked: Any) -> dict[str, Any]:
    """Return the checks of each block of a Joint, or those of all of x."""
    return checked.blocks or {"": checked}


def _in_block(name: str) -> str:
    return f'in block "{name}", ' if name else ""


def find_unconverged(m: Any) -> Finding | None:
    """The ELBO was still rising."""
    found = m.convergence
    if found is None:
        return None
    threshold = _nats(m)
    if not (found.gain > threshold and found.gain > 2 * found.gain_error):
        return None
    return Finding(
        Kind.FAULT,
        "not converged",
        f"the {_which(found)} ELBO rises by {found.gain:.3g} +- {found.gain_error:.2g} nats over the "
        "last "
        f"fifth of the {found.num_epochs} epochs (at least five).",
        found.gain,
        threshold,
        "0.5 nats or 0.2 % of the ELBO, whichever is larger, by convention",
        "Train for more epochs, or with a higher learning rate.",
    )


def find_past_best(m: Any) -> Finding | None:
    """The validation ELBO had been better before: a fault only if that epoch was not kept."""
    found = m.convergence
    if found is None or not found.is_validation:
        return None
    threshold = _nats(m)
    if found.lost <= threshold or found.gain > 0:
        return None
    evidence = (
        f"the validation ELBO was best at epoch {found.best_epoch} of {found.num_epochs}, and the last "
        f"epoch is {found.lost:.3g} nats below it."
    )
    source = "0.5 nats or 0.2 % of the ELBO, whichever is larger, by convention"
    stop = "early_stopping=EarlyStopping(patience=20) (probvae train --patience 20)"
    better = "A smaller net, dropout (nets.MLP(dropout=0.1)) or more data may raise the best ELBO."
    if found.is_best_kept:
        evidence += " The fit has the parameters of the best epoch."
        remedy = f"None needed. To save the epochs after it: {stop}. {better}"
        return Finding(
            Kind.NOTE, "trained past its best", evidence, found.lost, threshold, source, remedy
        )
    remedy = f"Keep the best epoch: keep_best=True (probvae train --keep best), or {stop}. {better}"
    return Finding(Kind.FAULT, "overfitted", evidence, found.lost, threshold, source, remedy)


def find_hole(m: Any) -> Finding | None:
    """The prior and the population of codes are told apart by a classifier."""
    if m.prior_gap is None or not m.prior_gap.transported > 0.1 + 2 * m.prior_gap.standard_error:
        return None
    far = m.prior_gap.transported > TRANSPORT
    split = m.surgery
    return Finding(
        Kind.FAULT if far else Kind.LIMIT,
        "hole in the prior" if far else "prior off the population of codes",
        "a classifier tells codes of data from draws of the prior with accuracy "
        f"{m.prior_gap.accuracy:.2f}: "
        f"{m.prior_gap.transported:.0%} +- {m.prior_gap.standard_error:.0%} of the prior or more "
        "lies where "
        f"codes do not (total variation). KL(q(z) || p(z)) is {split.population_kl:.3g} nats of "
        f"{split.kl:.3g} (by {m.num_data} data).",
        m.prior_gap.transported,
        TRANSPORT if far else 0.1,
        "a half of the prior's mass is a fault, a tenth a limit (total variation), by convention; the "
        "test: Lopez-Paz and Oquab 2017, arXiv:1610.06545",
        "priors.VampPrior(...), priors.GaussianMixture(...), priors.Flow(...), or "
        "refit(fitted, prior, x, rng_key=...), which leaves all else as it is; "
        "objectives.InfoVAE(...).",
    )


def _which(found: Any) -> str:
    return "validation" if found.is_validation else "training"


def _furthest(statistics: dict[str, Any]) -> tuple[str, str]:
    """Say the statistic that is furthest off, in standard deviations of the replicates."""
    off = {name: float(np.max(np.abs(check.deviations))) for name, check in statistics.items()}
    name = max(off, key=lambda each: off[each])
    check = statistics[name]
    seen, drawn = (float(np.mean(value)) for value in (check.observed, check.replicates))
    return f"{seen:.3g} in the data, {drawn:.3g} in draws", f"their {name.replace('_', ' ')}"
