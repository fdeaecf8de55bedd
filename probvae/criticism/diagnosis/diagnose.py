"""``diagnose``: measure a fit on held-out data, and judge it by rules."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np

from probvae.checks import check_function, check_key, check_kind
from probvae.criticism.datatree_variables import DataTree
from probvae.criticism.diagnosis import guide_rules, rules
from probvae.criticism.diagnosis.budgets import USUAL, Budget
from probvae.criticism.diagnosis.diagnosis_tree import build_diagnosis_tree, check_arviz
from probvae.criticism.diagnosis.measurements import Measurements, first_rows, measure
from probvae.criticism.diagnosis.verdict import Finding, Kind, Verdict, sort_findings
from probvae.data_description import DataComparison
from probvae.evidence import Batch, check_density
from probvae.faq import cite
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.short_repr import short_repr
from probvae.typing import DataLike, RngKey

MIN_DATA = 50  # held-out rows
RULES = (
    rules.find_unlike_training_data,  # first the possible causes of other findings
    rules.find_unconverged,
    rules.find_scale_at_bound,
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
    rules.find_narrow_imputations,
)


@short_repr
class Diagnosis(NamedTuple):
    """The result of ``diagnose``: measurements, verdict, and an ArviZ tree. It prints as the verdict.

    ``tree`` is ``to_datatree`` of the first rows (``num_local`` of the budget, at most 100), with the
    groups ``diagnostics`` and ``verdict``. Save it with ``tree.to_netcdf(...)``.
    """

    tree: DataTree
    measurements: Measurements
    verdict: Verdict

    def __str__(self) -> str:
        return str(self.verdict)

    def _repr_html_(self) -> str:
        return self.verdict._repr_html_()


def diagnose(
    fitted: Fitted,
    x: DataLike,
    *,
    rng_key: RngKey,
    train: DataLike = None,
    budget: Budget = USUAL,
    say: Callable[[str], None] | None = None,
) -> Diagnosis:
    """Measure a fit on held-out data, and judge it.

    Findings have three kinds. A *fault* is something broken, and has a remedy. A *limit* is a number
    that you should not rely on, with the size of the effect: an ordinary mean-field VAE has some. A
    *note* is information. If no fault is found, the fit may still have faults that ``diagnose`` does
    not check for, or that need more rows and draws than the budget has.

    Args:
        fitted: a fitted VAE.
        x: held-out data ``(n, *event_shape)``, n >= 50, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        train: the training data. With them, the diagnosis can tell a lagging encoder from an
            overfitted one.
        budget: the numbers of rows, draws and steps: ``QUICK``, ``USUAL``, ``THOROUGH`` or your own
            ``Budget``. The cost, in passes through the decoder, is about ``num_data``
            (2 ``num_particles`` + 2 ``num_replicates``) + ``num_local`` (24 ``num_steps`` +
            4 ``num_particles``). With ``train`` the second term counts twice. A VAE for missing entries
            costs ``num_data`` x ``num_particles`` more.
        say: called with a line of progress after each measure, such as ``print``.

    Raises:
        ImportError: without ArviZ. Run ``pip install 'probvae[arviz]'``.
        ValueError: for incompatible data, fewer than 50 rows, or a part that is not a density.

    Examples:
        >>> import jax, numpy as np
        >>> from probvae import VAE, diagnose, fit, likelihoods
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> vae = VAE(event_shape=(3,), latent_dim=2, likelihood=likelihoods.Gaussian())
        >>> fitted = fit(vae, x, rng_key=jax.random.key(0), epochs=2, progress=False)
        >>> from probvae.criticism import Budget
        >>> budget = Budget(50, 50, 5, 4, 20, 20)  # small, for a quick example
        >>> diagnosis = diagnose(fitted, x, rng_key=jax.random.key(1), budget=budget)
        >>> print(diagnosis)  # doctest: +SKIP
    """
    check_fitted(fitted)
    check_arviz()
    check_key(rng_key)
    check_kind("budget", budget, Budget)
    if say is not None:
        check_function("say", say, "", such_as="print")
    check_density(fitted.vae)
    comparer = None if fitted.data is None else DataComparison(fitted.data, "x", warns=False)
    data = _spread_data(fitted.check_data(x, comparer=comparer), budget.num_data)
    if len(data.x) < MIN_DATA:
        is_table = fitted.data is not None and fitted.data.schema is not None
        how = (
            "table.split((0.6, 0.1, 0.3)) returns train, valid and test rows. Fit the first two, "
            "fit_table(train, validation=valid, ...), and diagnose the third."
            if is_table
            else f"Shuffle your rows, and keep n >= {MIN_DATA} of them out of fit: train, test = "
            "x[:-n], x[-n:]. Rows with missing entries count. For a run, use an .npz file with the "
            "arrays train, valid and test."
        )
        raise ValueError(
            f"diagnose expects at least {MIN_DATA} held-out data; got {len(data.x)}. {how} "
            f"{cite('too-few-rows')}"
        )
    if train is not None:
        train = _spread_data(fitted.check_data(train, name="train"), budget.num_local)
    # The rows were compared with the training range above. Without `data`, no measure repeats it.
    fitted = replace(fitted, data=None)
    measurements = measure(fitted, data, train, rng_key=rng_key, budget=budget, say=say)
    measurements = measurements._replace(departure=None if comparer is None else comparer.departure)
    verdict = apply_rules(measurements)
    local_rows = first_rows(data, budget.num_local)
    tree = build_diagnosis_tree(fitted, local_rows, measurements, verdict, rng_key)
    return Diagnosis(tree, measurements, verdict)


def apply_rules(measurements: Measurements) -> Verdict:
    """Return the findings of all rules, and a note for each missing measure."""
    findings = [finding for rule in RULES if (finding := rule(measurements)) is not None]
    for name, reason in measurements.missing.items():
        texts = ("none", "See the reason above.")
        findings.append(Finding(Kind.NOTE, f"{name} not measured", reason, np.nan, np.nan, *texts))
    return sort_findings(findings)


def _spread_data(data: Batch, max_rows: int) -> Batch:
    return jax.tree.map(lambda a: a[spread_rows(len(data.x), max_rows)], data)


def spread_rows(n: int, max_rows: int) -> np.ndarray:
    """Return the indices of ``max_rows`` evenly spread rows out of n, or of all rows if n is less."""
    return np.unique(np.linspace(0, n - 1, min(max_rows, n)).astype(int))
