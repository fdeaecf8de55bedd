"""Rules that find faults and limits of the model: decoder, likelihood, prior and training.

A rule reads measurements and returns a finding, or None if all is well or a measurement is missing.
The rules of the guide are in ``guide_rules``. Each threshold has its source in the finding.
"""

from collections.abc import Mapping

import numpy as np

from probvae.criticism.diagnosis.measurements import Measurements
from probvae.criticism.diagnosis.verdict import Finding, Kind
from probvae.criticism.samples.coverage import Coverage
from probvae.criticism.samples.predictive import Check, Predictive
from probvae.faq import cite

RESPONSE = 1e-6  # of the data's scale: the rounding error of float32
MIN_SCALE = 0.01  # of the data's scale
MARGINAL = 0.1  # Kolmogorov-Smirnov distance
COVERAGE = 0.1  # below the nominal level
HOLE, MISMATCH = 0.5, 0.1  # of the prior's mass, as total variation
RISE, RISE_SHARE = 0.5, 0.002  # nats, and share of the ELBO: the larger one is the threshold
NATS = "0.5 nats or 0.2 % of the ELBO, whichever is larger (a convention)"


def find_unlike_training_data(m: Measurements) -> Finding | None:
    """Find data outside the training range, usually in other units. It can cause all other findings."""
    if m.departure is None:
        return None
    return Finding(
        Kind.FAULT,
        "outside the training range",
        m.departure.in_words("x"),
        m.departure.share_outside,
        0.5,
        "half of the rows, where a row counts if half of its entries lie outside the training range "
        "widened by three times its width on each side (a convention)",
        "Convert the data to the units of the training data. `fitted.data` describes them.",
    )


def find_dead_decoder(m: Measurements) -> Finding | None:
    """Find a decoder whose output does not depend on the code."""
    if m.response is None or m.response.sensitivity_ratio > RESPONSE:
        return None
    return Finding(
        Kind.FAULT,
        "dead decoder",
        f"The decoder's output does not depend on the code. Over the codes of {m.num_data} rows, the "
        f"standard deviation of E[x|z] is {m.response.sensitivity:.2g}. That of the data is "
        f"{m.response.data_scale:.3g}.",
        m.response.sensitivity_ratio,
        RESPONSE,
        "1e-6 of the data's scale, the rounding error of float32",
        "Train again with a different key or a lower learning rate. If the decoder dies again, use an "
        "activation that does not become constant (nets.MLP(activation=jax.nn.gelu)), or "
        "norm=nnx.LayerNorm.",
    )


def find_collapse(m: Measurements) -> Finding | None:
    """Find units of the code that carry no information about x: all (a fault) or some (a note)."""
    if m.units is None:
        return None
    active = np.concatenate(list(m.units.active_mask().values()))
    count, largest = int(active.sum()), max(v.max() for v in m.units.variance.values())
    if count == len(active) or (count == 0 and find_dead_decoder(m)):
        return None
    kl = sum(float(kl.sum(1).mean()) for kl in m.units.kl.values())
    evidence = (
        f"{count} of {len(active)} units of the code are active. The largest variance over the data of "
        f"a unit's posterior mean is {largest:.2g}, and the KL is {kl:.3g} nats."
    )
    source = "0.01 (Burda et al. 2016, arXiv:1509.00519)"
    if count:
        remedy = "Nothing to do: unused units do no harm. You can also use a smaller latent_dim."
        return Finding(Kind.NOTE, "unused units", evidence, count, len(active), source, remedy)
    return Finding(
        Kind.FAULT,
        "posterior collapse",
        f"The code carries no information about x. {evidence}",
        largest,
        0.01,
        source,
        "If the objective gives the KL a weight above 1, use objectives.ELBO(). If the likelihood has "
        "a fixed scale, learn it: a scale that is too large makes every code too expensive. Otherwise "
        "use objectives.FreeBits(...), or increase the weight of the KL slowly: "
        "objectives.ELBO(beta=optax.linear_schedule(0.0, 1.0, steps)). You can also use "
        "priors.AutoregressiveNormal(delta), which keeps the KL above a minimum, or a weaker decoder. "
        f"{cite('posterior-collapse')}",
    )


def find_scale_at_zero(m: Measurements) -> Finding | None:
    """Find a scale of p(x|z) that shrinks to 0, so that log p(x) has no finite maximum."""
    if m.response is None or not m.response.min_ratio < MIN_SCALE:
        return None
    return Finding(
        Kind.FAULT,
        "scale shrinking to 0",
        f"Given z, an entry of x has standard deviation {m.response.min_scale:.2g}, which is "
        f"{m.response.min_ratio:.2%} of that of the data. If the data lie on a surface or on discrete "
        "levels, the density has no largest log p(x). Its value then only shows how long you trained.",
        m.response.min_ratio,
        MIN_SCALE,
        "1 % of the data's scale (a convention)",
        "Use likelihoods.Spread(...) with noise of a fixed scale, or "
        "likelihoods.Gaussian(FixedScale(...)). For data on discrete levels, use "
        "likelihoods.DiscretizedLogistic() or Categorical(...).",
    )


def find_scale_at_bound(m: Measurements) -> Finding | None:
    """Find a scale that its bound keeps too large or too small."""
    if m.scale_bounds is None or not m.scale_bounds.bounds or find_scale_at_zero(m):
        return None
    worst = max(m.scale_bounds.bounds.values(), key=lambda bound: max(bound.gain, bound.loss))
    gain, threshold = max(worst.gain - 2 * worst.gain_error, worst.loss), _nats_threshold(m)
    if not gain > threshold:
        return None
    if gain == worst.loss:
        effect = (
            f"keeps the scale of {worst.num_at_bound} of {worst.num_entries} entries of x above that "
            f"of the data. A constant prediction with the data's scale would gain about "
            f"{worst.loss:.3g} nats."
        )
    else:
        effect = (
            f"limits a scale. With {worst.field}={worst.looser_bound:g} and the same weights, the ELBO "
            f"is {worst.gain:.3g} +- {worst.gain_error:.2g} nats higher."
        )
    change = (
        "Change the units of x, or standardise each column: (x - mean) / sd. log p(x) then changes by "
        "the sum of log sd. Or lower the bound"
        if worst.can_rescale
        else "Loosen the bound"
    )
    return Finding(
        Kind.FAULT,
        "scale at its bound",
        f"{worst.describe()} {effect}",
        gain,
        threshold,
        NATS,
        f"{change}: {worst.part}({worst.field}={worst.advised_bound:.1f}).",
    )


def find_wrong_likelihood(m: Measurements) -> Finding | None:
    """Find draws of the model whose entries are distributed differently from those of the data."""
    if m.predictive is None:
        return None
    blocks = select_blocks(m.predictive.posterior)
    name = max(blocks, key=lambda block: blocks[block].marginal.distance)
    marginal = blocks[name].marginal
    if marginal.distance <= MARGINAL:
        return None
    return Finding(
        Kind.FAULT,
        "wrong likelihood",
        f"{_name_entries(name)} of the data and of posterior predictive draws are distributed "
        f"differently. Their Kolmogorov-Smirnov distance is {marginal.distance:.2f}. Between sets of "
        f"draws it is at most {marginal.replicates.max():.3f}. "
        f"{_describe_worst_statistic(blocks[name].statistics)}",
        marginal.distance,
        MARGINAL,
        "a Kolmogorov-Smirnov distance of 0.1 (a convention)",
        "Choose the likelihood by the kind of data. Counts: likelihoods.NegativeBinomial(). Discrete "
        "levels: DiscretizedLogistic() or Categorical(...). Shares in (0, 1): Beta() or "
        "ContinuousBernoulli(). Values 0 and 1: Bernoulli(). Positive numbers: LogNormal() or Gamma(). "
        "Real numbers with outliers: StudentT(). "
        "See docs/explanation/compatibility.md.",
    )


def find_narrow_predictions(m: Measurements) -> Finding | None:
    """Find predictive intervals that contain fewer held-out entries than their nominal level."""
    if m.predictive is None or find_wrong_likelihood(m):
        return None
    blocks = select_blocks(m.predictive.posterior)
    upper = {name: bound_coverage(block.coverage) for name, block in blocks.items()}
    name = min(upper, key=lambda block: upper[block])
    cover = blocks[name].coverage
    share, error, level = (float(a[-1]) for a in (cover.share, cover.standard_error, cover.levels))
    if not upper[name] < level - COVERAGE:
        return None
    return Finding(
        Kind.LIMIT,
        "predictive intervals too narrow",
        f"{_name_entries(name)} of held-out data lie inside the {level:.0%} intervals of p(x|z), with "
        f"z ~ q(z|x), in only {share:.0%} +- {error:.0%} of the cases.",
        share,
        level - COVERAGE,
        "10 percentage points below the nominal level (a convention)",
        "Learn the scale (likelihoods.LearnedScale() or PixelScale()), or use heavier tails "
        "(StudentT()). If the decoder has memorised the training data, train for fewer epochs.",
    )


def find_narrow_imputations(m: Measurements) -> Finding | None:
    """Find intervals of imputed entries that contain fewer hidden values than their nominal level."""
    if m.imputation is None:
        return None
    cover = m.imputation.coverage
    share, error, level = (float(a[-1]) for a in (cover.share, cover.standard_error, cover.levels))
    if not bound_coverage(cover) < level - COVERAGE:
        return None
    few = m.imputation.share_few
    return Finding(
        Kind.LIMIT,
        "imputation intervals too narrow",
        f"{m.imputation.num_hidden:,} observed entries of {m.imputation.num_rows:,} rows were hidden "
        f"at random. Only {share:.0%} +- {error:.0%} of them lie inside their {level:.0%} intervals. "
        f"{few:.0%} of the rows have fewer than ten effective particles.",
        share,
        level - COVERAGE,
        "10 percentage points below the nominal level (a convention)",
        "If many rows have few effective particles, call impute with more of them, or use a guide such "
        "as guides.FullRank(). Otherwise use encode_mask=True, and train with missing entries: the "
        f"encoder must have seen gaps. {cite('few-effective-particles')}",
    )


def find_unconverged(m: Measurements) -> Finding | None:
    """Find an ELBO that was still rising at the end of training."""
    trend = m.convergence
    if trend is None:
        return None
    threshold = _nats_threshold(m)
    if not (trend.gain > threshold and trend.gain > 2 * trend.gain_error):
        return None
    return Finding(
        Kind.FAULT,
        "not converged",
        f"The model had not converged. The {'validation' if trend.is_validation else 'training'} ELBO "
        f"still rose by {trend.gain:.3g} +- {trend.gain_error:.2g} nats over the last fifth of the "
        f"{trend.num_epochs} epochs (at least five epochs).",
        trend.gain,
        threshold,
        NATS,
        f"Train for more epochs, or with a higher learning rate. {cite('not-converged')}",
    )


def find_past_best(m: Measurements) -> Finding | None:
    """Find training past the best validation ELBO: a fault only if the fit has later parameters."""
    trend = m.convergence
    if trend is None or not trend.is_validation:
        return None
    threshold = _nats_threshold(m)
    if trend.drop <= threshold or trend.gain > 0:
        return None
    evidence = (
        "Training continued past the best epoch. The validation ELBO was best at epoch "
        f"{trend.best_epoch} of {trend.num_epochs}. At the last epoch it is {trend.drop:.3g} nats "
        "lower."
    )
    stop = "early_stopping=EarlyStopping(patience=20) (probvae train --patience 20)"
    better = "A smaller net, dropout (nets.MLP(dropout=0.1)) or more data may raise the best ELBO."
    if trend.has_best_parameters:
        kind, name = Kind.NOTE, "trained past the best epoch"
        evidence += " The fit has the parameters of the best epoch."
        remedy = f"Nothing to do. To save time, stop earlier with {stop}. {better}"
    else:
        kind, name = Kind.FAULT, "overfitted"
        remedy = (
            "Keep the best epoch with keep_best=True (probvae train --keep best), or stop earlier "
            f"with {stop}. {better}"
        )
    return Finding(kind, name, evidence, trend.drop, threshold, NATS, remedy)


def find_hole(m: Measurements) -> Finding | None:
    """Find a prior that a classifier distinguishes from the population of codes."""
    gap, split = m.prior_gap, m.surgery
    if gap is None or not gap.total_variation > MISMATCH + 2 * gap.standard_error:
        return None
    is_hole = gap.total_variation > HOLE
    parts = (
        f" KL(q(z) || p(z)) is {split.population_kl:.3g} of the KL's {split.kl:.3g} nats (from "
        f"{m.num_data} rows)."
        if split
        else ""
    )
    return Finding(
        Kind.FAULT if is_hole else Kind.LIMIT,
        "hole in the prior" if is_hole else "prior mismatch",
        "The prior generates codes unlike those of the data. A classifier distinguishes the two with "
        f"accuracy {gap.accuracy:.2f}, so at least {gap.total_variation:.0%} +- "
        f"{gap.standard_error:.0%} of the prior's mass lies where there are no codes.{parts}",
        gap.total_variation,
        HOLE if is_hole else MISMATCH,
        "total variation: 0.5 is a fault, 0.1 a limit (a convention); the test: Lopez-Paz and Oquab "
        "2017, arXiv:1610.06545",
        "Use a prior that adapts to the codes: priors.VampPrior(...), priors.GaussianMixture(...) or "
        "priors.Flow(...). refit(fitted, prior, x, rng_key=...) fits a new prior and keeps the rest of "
        "the model. objectives.InfoVAE(...) moves the codes towards the prior instead.",
    )


def _nats_threshold(m: Measurements) -> float:
    """Return the number of nats that is worth a finding: 0.5, or 0.2 % of the ELBO if that is more."""
    return max(RISE, RISE_SHARE * abs(m.elbo.mean))


def select_blocks(checks: Predictive) -> Mapping[str, Predictive]:
    """Return the checks of each block of a ``Joint``, or those of all of x under the name ""."""
    return checks.blocks or {"": checks}


def bound_coverage(coverage: Coverage) -> float:
    """Return the upper end of the share of entries inside their widest intervals: two errors above."""
    return float(coverage.share[-1] + 2 * coverage.standard_error[-1])


def _name_entries(block: str) -> str:
    return f'The entries in block "{block}"' if block else "The entries"


def _describe_worst_statistic(statistics: Mapping[str, Check]) -> str:
    """Name the statistic that differs most, in standard deviations over the replicates."""
    distance = {name: float(np.max(np.abs(check.deviations))) for name, check in statistics.items()}
    name = max(distance, key=lambda statistic: distance[statistic])
    check = statistics[name]
    data, draws = (float(np.mean(value)) for value in (check.observed, check.replicates))
    return f"The {name.replace('_', ' ')} differs most: {data:.3g} in the data, {draws:.3g} in draws."
