"""Rules that find faults and limits of the guide q(z|x), in the form of those in ``rules``."""

from typing import NamedTuple

import numpy as np

from probvae.criticism.diagnosis.guide_advice import ENCODER, GuideAdvice
from probvae.criticism.diagnosis.measurements import Measurements
from probvae.criticism.diagnosis.verdict import Finding, Kind
from probvae.criticism.posterior.calibration import Calibration
from probvae.criticism.posterior.pareto import EFFECT
from probvae.faq import cite

NARROW = 0.5  # of the best local guide's scale
GAP, GAP_SHARE = 1.0, 0.2  # nats, and share of the KL: the larger one is the threshold
MIN_KL_WEIGHT = 0.5  # in the objective
CALIBRATED = 0.2  # standard deviations of q, and logarithm of the ratio of spreads
CREMER = "Cremer et al. 2018, arXiv:1801.03558"
REFIT_GUIDE = 'fit(..., init_params=fitted.values, freeze=("decoder", "prior", "likelihood"))'


def find_narrow_guide(m: Measurements) -> Finding | None:
    """Find a guide that is narrower than the best guide of its own family."""
    if m.gap is None:
        return None
    ratio = float(np.median(m.gap.scale_ratio))
    if ratio >= NARROW:
        return None
    kl_weight = m.convergence.kl_weight if m.convergence else 1.0
    evidence = (
        "The guide is too narrow. The encoder's standard deviations are "
        f"{ratio:.2f} times those of the best local guide of the same family (median). "
        f"The ELBO loses {_mean(m.gap.amortization):.3g} nats because of this."
    )
    if kl_weight < MIN_KL_WEIGHT:
        name = "KL underweighted"
        evidence += f" The objective gave the KL a weight of {kl_weight:.2g}."
        remedy = (
            "Use objectives.ELBO() with beta=1, at least at the end of training. With a lower beta the "
            "model is an autoencoder: its prior and q(z|x) do not have their usual meaning."
        )
    else:
        name = "guide too narrow"
        remedy = f"Train the guide alone, with objectives.ELBO() and the model fixed: {REFIT_GUIDE}."
    source = f"half the best local scale (a convention); the local guide: {CREMER}"
    return Finding(Kind.FAULT, name, evidence, ratio, NARROW, source, remedy)


def find_lagging_encoder(m: Measurements) -> Finding | None:
    """Find an encoder that is far from the best local guide, also on its training data."""
    gap = m.train_gap if m.train_gap is not None else m.gap
    if gap is None or find_narrow_guide(m) or find_overfitted_encoder(m):
        return None
    nats, error, threshold = _mean(gap.amortization), _error(gap.amortization), _gap_threshold(m)
    is_fault = nats > threshold
    if not nats - 2 * error > min(GAP, threshold):
        return None
    return Finding(
        Kind.FAULT if is_fault else Kind.LIMIT,
        "lagging encoder" if is_fault else "amortization gap",
        "The encoder is far from the best guide of its family. On "
        f"{'held-out' if m.train_gap is None else 'training'} data, the ELBO of the best local guide "
        f"is {nats:.3g} +- {error:.2g} nats higher than the encoder's.",
        nats,
        threshold if is_fault else GAP,
        "a fault at a fifth of the KL, at least 1 nat; a limit at 1 nat (conventions); "
        f"{CREMER}, report a few nats on digits",
        f"Use {' or '.join(filter(None, ('a larger encoder', m.advice.refined)))}, or train the "
        f"encoder for longer with the model fixed: {REFIT_GUIDE}.",
    )


def find_overfitted_encoder(m: Measurements) -> Finding | None:
    """Find an encoder that is good on the training data, but not on other data."""
    if m.gap is None or m.train_gap is None or find_narrow_guide(m):
        return None
    held_out, train = m.gap.amortization, m.train_gap.amortization
    excess = _mean(held_out) - _mean(train)
    error = float(np.hypot(_error(held_out), _error(train)))
    threshold = _gap_threshold(m)
    if not (excess > threshold and excess > 2 * error):
        return None
    return Finding(
        Kind.FAULT,
        "overfitted encoder",
        "The encoder is worse on held-out data than on training data. Its ELBO is "
        f"{_mean(held_out):.3g} nats below that of the best local guide on held-out data, and "
        f"{_mean(train):.3g} nats below it on training data: {excess:.3g} +- {error:.2g} nats more.",
        excess,
        threshold,
        "a fifth of the KL, at least 1 nat (a convention); the comparison: Wu et al. 2017, "
        "arXiv:1611.04273",
        "Add dropout or noise to the encoder (nets.MLP(dropout=0.2)), train for fewer epochs, or use "
        "more data. You can also train the encoder on draws from the model: "
        'fit(vae, fitted.sample(...).x, freeze=("decoder", ...)).',
    )


def find_unreliable_weights(m: Measurements) -> Finding | None:
    """Find rows whose importance-weighted log p(x) is a bound that may be far too low."""
    if m.pareto is None:
        return None
    doubtful = m.pareto.doubtful
    if not doubtful.any():
        return None
    k_hat = float(np.median(np.nan_to_num(m.pareto.k_hat[doubtful], nan=np.inf)))
    gain = m.pareto.gain[doubtful]
    of_these = f"{np.median(gain[np.isfinite(gain)]):.3g}" if np.isfinite(gain).any() else "nan"
    return Finding(
        Kind.LIMIT,
        "k-hat above its threshold",
        f"For {doubtful.sum()} of {len(doubtful)} rows, the estimate of log p(x) may be too low by an "
        "unknown amount. The importance weights of these rows have a tail that is too heavy: median "
        f"k-hat {k_hat:.2f} over these rows, with the {m.pareto.num_particles} particles per row of "
        f"diagnose's budget. Known: the estimate lies {of_these} nats above the ELBO (median over "
        f"these rows) and {m.log_prob.mean - m.elbo.mean:.3g} nats above it (mean over all rows). "
        "Unknown: how far log p(x) lies above the estimate. This matters if you compare log p(x) "
        "between models. Samples, codes and reconstructions do not depend on it.",
        k_hat,
        m.pareto.threshold,
        "The limit of k-hat is min(1 - 1/log10 S, 0.7) for S particles (Vehtari et al. 2024, "
        f"arXiv:1507.02646). A row counts if its weights change log p(x) by {EFFECT} nats or more.",
        f"{_advise_on_weights(m.advice)} {cite('k-hat-high')}",
    )


def _advise_on_weights(advice: GuideAdvice) -> str:
    """Return what makes log p(x) comparable: a bound without the guide, or a better guide."""
    guide = f"use a guide that is closer to the posterior: {advice.richer}" if advice.richer else ""
    compare = f"compare models with {advice.annealing}" if advice.annealing else ""
    first = ", or ".join(filter(None, (compare, guide)))
    sentences = [f"{first[0].upper()}{first[1:]}."] if first else []
    if advice.objective:
        sentences.append(f"Training with {advice.objective} and many particles can help.")
    return " ".join([*sentences, f"So can {ENCODER}." if sentences else f"Use {ENCODER}."])


def find_approximation_gap(m: Measurements) -> Finding | None:
    """Find a guide's family that is too restrictive for the posterior."""
    if m.gap is None:
        return None
    nats, error = _mean(m.gap.approximation), _error(m.gap.approximation)
    if not nats - 2 * error > GAP:
        return None
    return Finding(
        Kind.LIMIT,
        "approximation gap",
        "The guide's family is too restrictive for the posterior. log p(x) is at least "
        f"{nats:.3g} +- {error:.2g} nats above the ELBO of the best local guide of this family.",
        nats,
        GAP,
        f"1 nat (a convention); the decomposition: {CREMER}",
        f"If the ELBO matters to you, use a richer guide: {m.advice.richer}."
        if m.advice.richer
        else "Report fitted.log_prob(...), which is closer to log p(x) than the ELBO.",
    )


class UnitCalibration(NamedTuple):
    """The calibration of all units, site after site: what the verdict judges, ``(units,)`` each.

    ``shift`` and ``log_spread``, the logarithm of ``spread``, are those of ``Calibration``. A unit is
    miscalibrated if one of them is more than ``tolerance`` from 0.
    """

    names: list[str]
    shift: np.ndarray
    log_spread: np.ndarray
    tolerance: float

    @property
    def is_miscalibrated(self) -> np.ndarray:
        """Whether each unit is outside the tolerance."""
        return (np.abs(self.shift) > self.tolerance) | (np.abs(self.log_spread) > self.tolerance)


def judge_units(calibration: Calibration) -> UnitCalibration:
    """Return the shift and spread of each unit, with the tolerance of the verdict."""
    sites = calibration.sites
    shift, spread = (
        np.concatenate([getattr(site, field) for site in sites.values()])
        for field in ("shift", "spread")
    )
    names = [f"{name}[{unit}]" for name, site in sites.items() for unit in range(len(site.shift))]
    tolerance = CALIBRATED + 2 / np.sqrt(calibration.num_data)  # two standard errors of the shift
    return UnitCalibration(names, shift, np.log(np.maximum(spread, 1e-3)), float(tolerance))


def find_miscalibration(m: Measurements) -> Finding | None:
    """Find units whose true codes, in simulated data, are not distributed as draws of q(z|x)."""
    if m.calibration is None:
        return None
    units = judge_units(m.calibration)
    shift, spread, miscalibrated = units.shift, np.exp(units.log_spread), units.is_miscalibrated
    log_spread = np.abs(units.log_spread)
    if not miscalibrated.any():
        return None
    return Finding(
        Kind.LIMIT,
        "q(z|x) miscalibrated",
        "Draws of q(z|x) do not match the posterior. In "
        f"{m.calibration.num_data} rows drawn from the model, {miscalibrated.sum()} of {len(shift)} "
        "latent units are miscalibrated. The worst mean of q is "
        f"{np.nanmax(np.abs(shift)):.2f} standard deviations away from the true codes. The true codes "
        f"spread {np.nanmin(spread):.2f} to {np.nanmax(spread):.2f} times as wide as q. A number "
        "above 1 means that q is too narrow.",
        float(spread[int(np.nanargmax(log_spread))]),
        1 + CALIBRATED,
        "0.2 standard deviations, and 0.2 in the logarithm of the spread (conventions); ranks: Talts "
        "et al. 2018, arXiv:1804.06788",
        _advise_on_calibration(m.advice),
    )


def _advise_on_calibration(advice: GuideAdvice) -> str:
    closer = (
        f"{advice.richer}, {ENCODER} can" if advice.richer else f"{ENCODER[0].upper()}{ENCODER[1:]} can"
    )
    exact = f" For a few rows, draw from the posterior itself by {advice.posterior}."
    return (
        f"If you need the posterior, do not use q(z|x) in its place. {closer} bring it closer."
        f"{exact if advice.posterior else ''}"
    )


def _mean(nats: np.ndarray) -> float:
    return float(np.mean(nats))


def _error(nats: np.ndarray) -> float:
    return float(np.std(nats, ddof=1) / np.sqrt(len(nats))) if len(nats) > 1 else float("nan")


def _gap_threshold(m: Measurements) -> float:
    kl = sum(float(kl.sum(1).mean()) for kl in m.units.kl.values()) if m.units else 0.0
    return max(GAP, GAP_SHARE * kl)
