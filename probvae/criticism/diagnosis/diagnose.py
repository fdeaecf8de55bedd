"""Everything that there is to measure of a fit, and what it amounts to."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from probvae.checks import check_function, check_key, check_kind
from probvae.criticism.diagnosis import guide_rules, rules
from probvae.criticism.diagnosis.budgets import USUAL, Budget
from probvae.criticism.diagnosis.convergence import Convergence, convergence
from probvae.criticism.diagnosis.diagnosis_tree import build_diagnosis_tree, check_arviz
from probvae.criticism.diagnosis.scale_bounds import ScaleBounds, scale_bounds
from probvae.criticism.diagnosis.verdict import Finding, Kind, Verdict, verdict
from probvae.criticism.latents.active_units import ActiveUnits, active_units
from probvae.criticism.latents.decoder_response import DecoderResponse, decoder_response
from probvae.criticism.latents.elbo_surgery import ELBODecomposition, elbo_surgery
from probvae.criticism.latents.prior_gap import PriorGap, prior_gap
from probvae.criticism.posterior.calibration import Calibration, sbc
from probvae.criticism.posterior.inference_gap import InferenceGap, inference_gap
from probvae.criticism.posterior.pareto import ParetoShape, pareto_shape
from probvae.criticism.samples.predictive import PredictiveChecks, predictive_checks
from probvae.criticism.short_repr import short_repr
from probvae.data_description import DataComparison, RangeDeparture
from probvae.evidence import Batch, BoundEstimate, check_density
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.typing import RngKey

LEAST = 50  # data
NEEDED = ("elbo", "log_prob")  # without which there is nothing to judge
RULES = (
    rules.find_unlike_training_data,  # first: all others may follow from it
    rules.find_unconverged,  # others may follow from it
    rules.find_scale_at_bound,  # as from this
    rules.find_dead_decoder,
    rules.find_collapse,
    rules.find_scale_at_zero,
    rules.find_wrong_likelihood,
    rules.find_past_best,
    rules.find_hole,
    guide_rules.find_narrow_guide,
    guide_rules.find_lagging_encoder,
    guide_rules.find_overfitted_encoder,
    guide_rules.find_unreliable_weights,
    guide_rules.find_approximation_gap,
    guide_rules.find_miscalibration,
    rules.find_narrow_predictions,
)


@short_repr
class Measurements(NamedTuple):
    """What was measured; None where it could not be, for the reason that ``missing`` gives."""

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
    departure: RangeDeparture | None = None  # of the data from the training range
    missing: dict[str, str] = {}  # noqa: RUF012
    seconds: dict[str, float] = {}  # noqa: RUF012


@short_repr
class Diagnosis(NamedTuple):
    """What was measured, as a tree and as numbers, and what it amounts to. Prints as the verdict.

    ``tree`` is ``to_datatree`` of the first data (``num_local`` of the budget, at most 100), with the
    groups ``diagnostics`` and ``verdict``: ``tree.to_netcdf(...)`` keeps all of it.
    """

    tree: Any
    measured: Measurements
    verdict: Verdict

    def __str__(self) -> str:
        return str(self.verdict)


def diagnose(
    fitted: Fitted,
    x: Any,
    *,
    rng_key: RngKey,
    train: Any = None,
    budget: Budget = USUAL,
    say: Callable[[str], None] | None = None,
) -> Diagnosis:
    """Measure all there is to measure of a fit on held-out data, and judge it.

    A *fault* is broken, and has a remedy; a *limit* is a number not to be relied on, with the size of
    the effect: an ordinary mean-field VAE has some; a *note* helps. That no fault was found says that
    none of those looked for was seen, with as many data and draws as the budget has.

    Args:
        fitted: a fitted VAE.
        x: held-out data ``(n, *event_shape)``, n >= 50, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        train: the data that it was fitted to: tells a lagging encoder from one that knows the training
            data by heart.
        budget: how many data, draws and steps: ``QUICK``, ``USUAL``, ``THOROUGH`` or one's own. The
            cost is, in passes through the decoder: ``num_data`` (2 ``num_particles`` + 2
            ``num_replicates``) + ``num_local`` (24 ``num_steps`` + 4 ``num_particles``), the second
            term twice with ``train``, and some more.
        say: called with a line of progress for each measure.

    Raises:
        ImportError: without ArviZ: ``pip install 'probvae[arviz]'``.
        ValueError: for data that do not fit or are too few, or a part that is no density.
    """
    check_fitted(fitted)
    check_arviz()
    check_key(rng_key)
    check_kind("budget", budget, Budget)
    if say is not None:
        check_function("say", say, "", such_as="print")
    check_density(fitted.vae)
    comparer = None if fitted.data is None else DataComparison(fitted.data, "x", warns=False)
    data = _first(fitted, x, "x", budget.num_data, comparer)
    if len(data.x) < LEAST:
        raise ValueError(
            f"diagnose expects at least {LEAST} held-out data; got {len(data.x)}. Hold out more "
            "of them: of a run, by an .npz with arrays train, valid and test."
        )
    told = None if train is None else _first(fitted, train, "train", budget.num_local)
    fitted = replace(fitted, data=None)  # what was compared is not to be compared by every measure
    measured = measure(fitted, data, told, rng_key=rng_key, budget=budget, say=say)
    measured = measured._replace(departure=None if comparer is None else comparer.departure)
    found = apply_rules(measured)
    few = _few(data, budget)
    return Diagnosis(build_diagnosis_tree(fitted, few, measured, found, rng_key), measured, found)


def measure(
    fitted: Fitted,
    data: Batch,
    train: Batch | None,
    *,
    rng_key: RngKey,
    budget: Budget,
    say: Callable[[str], None] | None,
) -> Measurements:
    """Return all measures; where one cannot be had of this fit, the reason in its place."""
    found, missing, seconds = {}, {}, {}
    for i, (name, step) in enumerate(_steps(fitted, data, train, budget).items()):
        start = time.perf_counter()
        try:
            found[name] = step(rng_key=jax.random.fold_in(rng_key, i))
        except ValueError as reason:  # how a measure says that a part does not fit
            if name in NEEDED:
                raise
            missing[name] = str(reason)
        seconds[name] = time.perf_counter() - start
        if say:
            say(f"{name.replace('_', ' ')}: {seconds[name]:.1f} s")
    return Measurements(len(data.x), **found, missing=missing, seconds=seconds)


def _steps(
    fitted: Fitted, data: Batch, train: Batch | None, budget: Budget
) -> dict[str, Callable[..., Any]]:
    """Return the measures by name, each a function of a key."""
    few = _few(data, budget)
    local: dict[str, Any] = {"num_steps": budget.num_steps, "num_particles": budget.num_particles}
    particles: dict[str, Any] = {"num_particles": budget.num_particles}
    simulated: dict[str, Any] = {
        "num_data": budget.num_simulations,
        "context": _contexts(data, budget.num_simulations),
    }
    steps: dict[str, Callable[..., Any]] = {
        "elbo": partial(fitted.elbo, data, num_particles=20),
        "log_prob": partial(fitted.log_prob, data, **particles),
        "units": partial(active_units, fitted, data),
        "surgery": partial(elbo_surgery, fitted, data),
        "prior_gap": partial(prior_gap, fitted, data),
        "response": partial(decoder_response, fitted, data),
        "scale_bounds": partial(scale_bounds, fitted, data),
        "convergence": lambda rng_key: convergence(fitted),
        "pareto": partial(pareto_shape, fitted, data, **particles),
        "gap": partial(inference_gap, fitted, few, **local),
        "calibration": partial(sbc, fitted, num_draws=100, **simulated),
        "predictive": partial(predictive_checks, fitted, data, num_replicates=budget.num_replicates),
    }
    return (
        steps
        if train is None
        else {**steps, "train_gap": partial(inference_gap, fitted, train, **local)}
    )


def _contexts(data: Batch, n: int) -> np.ndarray | None:
    """Return a context for each simulation: those of the data, over and over."""
    return None if data.context is None else np.asarray(data.context)[np.arange(n) % len(data.x)]


def apply_rules(measured: Any) -> Verdict:
    """Return what all rules find, and a note for each measure that could not be had."""
    found = [finding for rule in RULES if (finding := rule(measured)) is not None]
    return verdict([*found, *(_explain_missing(*each) for each in measured.missing.items())])


def _explain_missing(name: str, reason: str) -> Finding:
    return Finding(
        Kind.NOTE, f"{name} not measured", reason, np.nan, np.nan, "none", "See the reason above."
    )


def _few(data: Batch, budget: Budget) -> Batch:
    """Return the data that the dear measures look at."""
    return jax.tree.map(lambda a: a[: budget.num_local], data)


def _first(
    fitted: Fitted, x: Any, name: str, most: int, comparer: DataComparison | None = None
) -> Batch:
    """Return checked data, or ``most`` of them evenly spread."""
    data = fitted.check_data(x, name=name, comparer=comparer)
    return jax.tree.map(lambda a: a[spread(len(data.x), most)], data)


def spread(n: int, most: int) -> np.ndarray:
    """Return all rows of n, or ``most`` of them evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(most, n)).astype(int))
