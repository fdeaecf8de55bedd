"""Measurements of a diagnosis: every measure of one fit on one set of held-out rows."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from probvae.criticism.diagnosis.budgets import Budget
from probvae.criticism.diagnosis.convergence import Convergence, convergence
from probvae.criticism.diagnosis.guide_advice import GuideAdvice, advise_on_guide, first_datum
from probvae.criticism.diagnosis.scale_bounds import ScaleBounds, scale_bounds
from probvae.criticism.latents.active_units import ActiveUnits, active_units
from probvae.criticism.latents.decoder_response import DecoderResponse, decoder_response
from probvae.criticism.latents.elbo_surgery import ELBODecomposition, elbo_surgery
from probvae.criticism.latents.prior_gap import PriorGap, prior_gap
from probvae.criticism.posterior.calibration import Calibration, sbc
from probvae.criticism.posterior.inference_gap import InferenceGap, inference_gap
from probvae.criticism.posterior.pareto import ParetoShape, pareto_shape
from probvae.criticism.samples.imputation_coverage import ImputationCoverage, imputation_coverage
from probvae.criticism.samples.predictive import PredictiveChecks, predictive_checks
from probvae.data_description import RangeDeparture
from probvae.evidence import Batch, BoundEstimate
from probvae.fitted import Fitted
from probvae.short_repr import short_repr
from probvae.typing import RngKey

REQUIRED = ("elbo", "log_prob")  # without these no rule has a meaning


@short_repr
class Measurements(NamedTuple):
    """The results of all measures. A measure that failed is None, and ``missing`` has the reason.

    ``departure`` compares the rows with the training range. ``seconds`` is the run time per measure.
    ``advice`` names parts that the remedies can recommend to this VAE.
    """

    num_data: int
    elbo: BoundEstimate
    log_prob: BoundEstimate
    units: ActiveUnits | None = None
    surgery: ELBODecomposition | None = None
    prior_gap: PriorGap | None = None
    response: DecoderResponse | None = None
    scale_bounds: ScaleBounds | None = None
    convergence: Convergence | None = None
    pareto: ParetoShape | None = None
    gap: InferenceGap | None = None
    train_gap: InferenceGap | None = None
    calibration: Calibration | None = None
    predictive: PredictiveChecks | None = None
    imputation: ImputationCoverage | None = None
    departure: RangeDeparture | None = None
    missing: dict[str, str] = {}  # noqa: RUF012
    seconds: dict[str, float] = {}  # noqa: RUF012
    advice: GuideAdvice = GuideAdvice()


def measure(
    fitted: Fitted,
    data: Batch,
    train: Batch | None,
    *,
    rng_key: RngKey,
    budget: Budget,
    say: Callable[[str], None] | None,
) -> Measurements:
    """Run all measures. If one does not apply to this fit, record the reason instead."""
    results, missing, seconds = {}, {}, {}
    for i, (name, run) in enumerate(_measures(fitted, data, train, budget).items()):
        start = time.perf_counter()
        try:
            results[name] = run(rng_key=jax.random.fold_in(rng_key, i))
        except ValueError as reason:  # a measure raises it for a part that it does not support
            if name in REQUIRED:
                raise
            missing[name] = str(reason)
        seconds[name] = time.perf_counter() - start
        if say:
            say(f"{name.replace('_', ' ')}: {seconds[name]:.1f} s")
    advice = advise_on_guide(fitted, first_datum(data))
    return Measurements(len(data.x), **results, missing=missing, seconds=seconds, advice=advice)


def _measures(
    fitted: Fitted, data: Batch, train: Batch | None, budget: Budget
) -> dict[str, Callable[..., Any]]:
    """Return the measures by name, each as a function of a key."""
    num_particles, num_simulations = budget.num_particles, budget.num_simulations
    gap = partial(inference_gap, fitted, num_steps=budget.num_steps, num_particles=num_particles)
    contexts = None
    if data.context is not None:  # those of the data, repeated
        contexts = np.asarray(data.context)[np.arange(num_simulations) % len(data.x)]
    measures: dict[str, Callable[..., Any]] = {
        "elbo": partial(fitted.elbo, data, num_particles=20),
        "log_prob": partial(fitted.log_prob, data, num_particles=num_particles),
        "units": partial(active_units, fitted, data),
        "surgery": partial(elbo_surgery, fitted, data),
        "prior_gap": partial(prior_gap, fitted, data),
        "response": partial(decoder_response, fitted, data),
        "scale_bounds": partial(scale_bounds, fitted, data),
        "convergence": lambda rng_key: convergence(fitted),
        "pareto": partial(pareto_shape, fitted, data, num_particles=num_particles),
        "gap": partial(gap, first_rows(data, budget.num_local)),
        "calibration": partial(sbc, fitted, num_draws=100, num_data=num_simulations, context=contexts),
        "predictive": partial(predictive_checks, fitted, data, num_replicates=budget.num_replicates),
    }
    # Keys depend on a measure's position, so the optional measures come last.
    if train is not None:
        measures["train_gap"] = partial(gap, train)
    if _handles_missing_entries(fitted, data):
        measures["imputation"] = partial(
            imputation_coverage,
            fitted,
            data,
            num_samples=budget.num_replicates,
            num_particles=num_particles,
        )
    return measures


def _handles_missing_entries(fitted: Fitted, data: Batch) -> bool:
    """Tell whether the model was built for missing entries, or the data have some."""
    return fitted.vae.encode_mask or (data.mask is not None and not np.asarray(data.mask).all())


def first_rows(data: Batch, count: int) -> Batch:
    """Return the first rows of a batch, such as those for the expensive measures."""
    return jax.tree.map(lambda a: a[:count], data)
