"""What counts as a fault or a limit of q(z|x): rules as in ``rules``, on the guide's side."""

from typing import Any

import numpy as np

from probvae.criticism.diagnosis.verdict import Finding, Kind
from probvae.criticism.posterior.pareto import EFFECT

NARROW = 0.5  # of the best local guide's scale
GAP, GAP_SHARE = 1.0, 0.2  # nats, and of the KL: the larger counts
WEIGHT = 0.5  # of the KL, in what was maximised
CALIBRATED = 0.2  # posterior standard deviations, and of the logarithm of their ratio
CREMER = "Cremer et al. 2018, arXiv:1801.03558"


def find_narrow_guide(m: Any) -> Finding | None:
    """The guide is narrower than the best of its own family, on every side."""
    if m.gap is None:
        return None
    ratio = float(np.median(m.gap.scale_ratio))
    if ratio >= NARROW:
        return None
    weight = m.convergence.kl_weight if m.convergence else 1.0
    evidence = (
        f"the encoder's standard deviations are {ratio:.2f} (median) of those of the best local "
        "guide of "
        f"the same family; the ELBO loses {_mean(m.gap.amortization):.3g} nats by it."
    )
    source = "half the best local scale, by convention; the local guide: " + CREMER
    if weight < WEIGHT:
        return Finding(
            Kind.FAULT,
            "KL underweighted",
            f"{evidence} The objective counted {weight:.2g} of the KL.",
            ratio,
            NARROW,
            source,
            "objectives.ELBO() with beta=1, at least at the end. With a lower beta this is an "
            "autoencoder: "
            "neither its prior nor its q(z|x) means what it says.",
        )
    return Finding(
        Kind.FAULT,
        "guide too narrow",
        evidence,
        ratio,
        NARROW,
        source,
        "Fit the guide alone to the model as it stands: fit(..., init_params=fitted.values, "
        'freeze=("decoder", "prior", "likelihood")), with objectives.ELBO().',
    )


def find_lagging_encoder(m: Any) -> Finding | None:
    """The encoder is far from the best local guide, on the data that it was trained on too."""
    gap = m.train_gap if m.train_gap is not None else m.gap
    if gap is None or find_narrow_guide(m) or find_overfitted_encoder(m):
        return None
    nats, error, threshold = _mean(gap.amortization), _error(gap.amortization), _threshold(m)
    large = nats > threshold
    if not nats - 2 * error > min(GAP, threshold):
        return None
    where = "training" if m.train_gap is not None else "held-out"
    return Finding(
        Kind.FAULT if large else Kind.LIMIT,
        "lagging encoder" if large else "amortization gap",
        f"on {where} data the best local guide of the same family has an ELBO {nats:.3g} +- "
        f"{error:.2g} nats "
        "above the encoder's.",
        nats,
        threshold if large else GAP,
        f"a fifth of the KL, at least 1 nat, is a fault; 1 nat a limit, by convention; {CREMER} report "
        "some nats on digits",
        "A larger encoder, more of its steps (fit(..., init_params=fitted.values, "
        'freeze=("decoder", "prior", "likelihood"))), or guides.SemiAmortized(...).',
    )


def find_overfitted_encoder(m: Any) -> Finding | None:
    """The encoder is good on the training data, and not on others."""
    if m.gap is None or m.train_gap is None or find_narrow_guide(m):
        return None
    more = _mean(m.gap.amortization) - _mean(m.train_gap.amortization)
    error = float(np.hypot(_error(m.gap.amortization), _error(m.train_gap.amortization)))
    threshold = _threshold(m)
    if not (more > threshold and more > 2 * error):
        return None
    return Finding(
        Kind.FAULT,
        "overfitted encoder",
        f"the encoder loses {_mean(m.gap.amortization):.3g} nats to the best local guide on held-out "
        "data, and "
        f"{_mean(m.train_gap.amortization):.3g} on training data: {more:.3g} +- {error:.2g} more.",
        more,
        threshold,
        "a fifth of the KL, at least 1 nat, by convention; the comparison: Wu et al. 2017, "
        "arXiv:1611.04273",
        "Dropout or noise in the encoder (nets.MLP(dropout=0.2)), fewer epochs, more data, or an "
        "encoder "
        'fitted to draws of the model: fit(vae, fitted.sample(...).x, freeze=("decoder", ...)).',
    )


def find_unreliable_weights(m: Any) -> Finding | None:
    """The importance-weighted log p(x) is a bound of unknown slack, which may matter."""
    if m.pareto is None:
        return None
    doubtful = m.pareto.doubtful
    if not doubtful.any():
        return None
    k_hat, effect = (
        float(np.median(np.nan_to_num(each[doubtful], nan=np.inf)))
        for each in (m.pareto.k_hat, m.pareto.effect)
    )
    return Finding(
        Kind.LIMIT,
        "k-hat above its threshold",
        f"for {doubtful.sum()} of {len(doubtful)} data the importance weights' tail is too heavy "
        f"(median k-hat {k_hat:.2f} of these, {m.pareto.num_particles} particles), and the "
        f"weights matter: they move log p(x) of these by {effect:.3g} nats (median). Their "
        "log p(x) is a lower bound of unknown slack. Over all data it exceeds the ELBO by "
        f"{m.log_prob.mean - m.elbo.mean:.3g} nats.",
        k_hat,
        m.pareto.threshold,
        f"min(1 - 1/log10 S, 0.7), Vehtari et al. 2024, arXiv:1507.02646, where the weights move "
        f"log p(x) by {EFFECT} nats or more, by convention",
        "Compare models by criticism.annealed_log_prob(...), or take a guide that comes closer: "
        "guides.FullRank(), guides.Flow(...), objectives.IWAE(...).",
    )


def find_approximation_gap(m: Any) -> Finding | None:
    """The guide's family is what costs."""
    if m.gap is None:
        return None
    nats, error = _mean(m.gap.approximation), _error(m.gap.approximation)
    if not nats - 2 * error > GAP:
        return None
    return Finding(
        Kind.LIMIT,
        "approximation gap",
        f"log p(x) is at least {nats:.3g} +- {error:.2g} nats above the ELBO of the best local "
        "guide: the "
        "family is too small for the posterior.",
        nats,
        GAP,
        f"1 nat, by convention; the split: {CREMER}",
        "guides.FullRank(), guides.LowRank(...) or guides.Flow(...).",
    )


def _mean(nats: np.ndarray) -> float:
    return float(np.mean(nats))


def _error(nats: np.ndarray) -> float:
    return float(np.std(nats, ddof=1) / np.sqrt(len(nats))) if len(nats) > 1 else float("nan")


def _threshold(m: Any) -> float:
    kl = sum(float(kl.sum(1).mean()) for kl in m.units.kl.values())
    return max(GAP, GAP_SHARE * kl)


def find_miscalibration(m: Any) -> Finding | None:
    """Codes that made the data do not lie in q(z|x) as its draws do."""
    if m.calibration is None:
        return None
    sites = m.calibration.sites.values()
    shift, spread = (np.concatenate([getattr(s, f) for s in sites]) for f in ("shift", "spread"))
    noise = 2 / np.sqrt(m.calibration.num_data)
    width = np.abs(np.log(np.maximum(spread, 1e-3)))
    off = (np.abs(shift) > CALIBRATED + noise) | (width > CALIBRATED + noise)
    if not off.any():
        return None
    worst = int(np.nanargmax(width))
    return Finding(
        Kind.LIMIT,
        "q(z|x) off the posterior",
        f"for data drawn from the model, {off.sum()} of {len(off)} units are off: the true code lies "
        "up to "
        f"{np.nanmax(np.abs(shift)):.2f} standard deviations of q from its mean on average, and its "
        "spread "
        f"about it is {np.nanmin(spread):.2f} to {np.nanmax(spread):.2f} times q's "
        f"({m.calibration.num_data} "
        "simulations; above 1: q is too narrow).",
        float(spread[worst]),
        1 + CALIBRATED,
        "0.2 standard deviations, and 0.2 in the logarithm of the spread, by convention; ranks: "
        "Talts et "
        "al. 2018, arXiv:1804.06788",
        "Do not read q(z|x) as the posterior. guides.FullRank() or guides.Flow(...) come closer; "
        "NUTS on "
        "fitted.model gives the posterior itself for a few data.",
    )
