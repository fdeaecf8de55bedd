"""Each rule speaks where its number passes its threshold, names it rightly, and is silent elsewhere."""

from pathlib import Path
from types import SimpleNamespace as Fake

import numpy as np
import pytest

from probvae.criticism import (
    ActiveUnits,
    BoundGain,
    Convergence,
    DecoderResponse,
    Finding,
    ImputationCoverage,
    Kind,
    ParetoShape,
    ScaleBounds,
    Verdict,
)
from probvae.criticism.diagnosis import guide_rules, rules
from probvae.criticism.diagnosis.diagnose import RULES, apply_rules
from probvae.criticism.diagnosis.guide_advice import GuideAdvice
from probvae.criticism.diagnosis.measurements import Measurements
from probvae.criticism.diagnosis.verdict import CAUSES, sort_findings
from probvae.criticism.samples.coverage import Coverage
from probvae.criticism.samples.marginal import Marginal
from probvae.criticism.samples.predictive import Check, Predictive

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "diagnosis.md"
ONE = np.ones(20)


def gap(amortization=0.1, approximation=0.1, ratio=1.0):
    noise = np.linspace(-0.01, 0.01, 20)
    return Fake(
        amortization=amortization + noise,
        approximation=approximation + noise,
        scale_ratio=np.full((20, 2), ratio),
    )


def pareto(k_hat=0.3 * ONE, effective=300.0, gain=1.0):
    return ParetoShape(k_hat, 0.7, effective * ONE, gain * ONE, 1000)


def healthy(**changes):
    """Numbers of a fit that nothing is wrong with; each test changes what its fault changes."""
    numbers = {
        "num_data": 20,
        "elbo": Fake(mean=-25.0),
        "log_prob": Fake(mean=-24.0),
        "units": ActiveUnits({"z": np.full((20, 2), 2.0)}, {"z": np.array([0.9, 0.8])}),
        "surgery": Fake(population_kl=0.2, kl=4.0),
        "prior_gap": Fake(accuracy=0.52, total_variation=0.04, standard_error=0.02),
        "scale_bounds": ScaleBounds(0.01, 0.01, {}),
        "response": DecoderResponse(0.3, 0.3, 0.1, 0.5, 0.6, 0.2),
        "convergence": Convergence(0.01, 0.01, 0.0, 99, 1.0, 100, True),  # noqa: FBT003
        "pareto": pareto(),
        "gap": gap(),
        "train_gap": gap(),
        "calibration": Fake(num_data=1000, sites={"z": Fake(shift=np.zeros(2), spread=np.ones(2))}),
        "predictive": predictive(),
        "imputation": imputation(),
        "departure": None,
        "missing": {},
    }
    return Measurements(**{**numbers, **changes})


def named(**changes):
    return apply_rules(healthy(**changes)).names


def response(**changes):
    return healthy().response._replace(**changes)


def bounds(**changes):
    usual = {"part": "LearnedScale", "field": "min_log", "block": "", "bound": -6.0, "looser_bound": -7.0,
             "advised_bound": -12.0, "gain": 0.0, "gain_error": 0.1, "num_at_bound": 0, "num_entries": 5, "loss": 0.0,
             "can_rescale": True}  # fmt: skip
    return ScaleBounds(1.0, 0.1, {"likelihood_min_log": BoundGain(**{**usual, **changes})})


def convergence(**changes):
    return healthy().convergence._replace(**changes)


def predictive(distance=0.02, share=0.9, blocks=None):
    """Predictive checks of x, and of the blocks of a Joint by name."""
    check = Check(ONE[0], ONE, tail_share=ONE[0], difference=ONE[0], deviations=ONE[:1])
    level, error = np.array([0.9]), np.array([0.01])
    posterior = Predictive(
        {"mean": check},
        Marginal(distance, 0.01 * ONE, 1.0),
        Coverage(level, np.array([share]), error, np.array([[share]])),
        {name: predictive(**changes).posterior for name, changes in (blocks or {}).items()},
    )
    return Fake(posterior=posterior)


def imputation(share=0.9):
    coverage = Coverage(np.array([0.9]), np.array([share]), np.array([0.01]), np.array([[share]]))
    return ImputationCoverage(coverage, 100, 20, 0.0)


DEAD = ActiveUnits({"z": np.zeros((20, 2))}, {"z": np.array([1e-3, -1e-3])})
WIDE = Fake(accuracy=0.9, total_variation=0.8, standard_error=0.05)
NEAR = Fake(accuracy=0.65, total_variation=0.3, standard_error=0.05)
CASES = {
    "outside the training range": {
        "departure": Fake(share_outside=0.9, in_words="{} is unlike.".format)
    },
    "posterior collapse": {"units": DEAD},
    "dead decoder": {"response": response(sensitivity_ratio=1e-8), "units": DEAD},
    "scale shrinking to 0": {"response": response(min_ratio=0.008)},
    "scale at its bound": {"scale_bounds": bounds(gain=3.0)},
    "wrong likelihood": {"predictive": predictive(distance=0.3)},
    "predictive intervals too narrow": {"predictive": predictive(share=0.7)},
    "imputation intervals too narrow": {"imputation": imputation(share=0.7)},
    "not converged": {"convergence": convergence(gain=1.0, gain_error=0.1)},
    "overfitted": {"convergence": convergence(gain=-1.0, drop=3.0)},
    "trained past the best epoch": {
        "convergence": convergence(gain=-1.0, drop=3.0, has_best_parameters=True)
    },
    "hole in the prior": {"prior_gap": WIDE},
    "prior mismatch": {"prior_gap": NEAR},
    "guide too narrow": {"gap": gap(3.0, ratio=0.3)},
    "KL underweighted": {"gap": gap(3.0, ratio=0.3), "convergence": convergence(kl_weight=0.001)},
    "lagging encoder": {"gap": gap(5.0), "train_gap": gap(5.0)},
    "amortization gap": {
        "gap": gap(1.1),
        "train_gap": gap(1.1),
        "units": ActiveUnits({"z": np.full((20, 2), 10.0)}, {"z": np.ones(2)}),
    },
    "overfitted encoder": {"gap": gap(5.0), "train_gap": gap(0.2)},
    "k-hat above its threshold": {"pareto": pareto(k_hat=0.8 * ONE)},
    "approximation gap": {"gap": gap(approximation=2.0)},
    "q(z|x) miscalibrated": {
        "calibration": Fake(
            num_data=1000, sites={"z": Fake(shift=np.zeros(2), spread=np.array([1.0, 1.5]))}
        )
    },
}


def test_a_healthy_fit_is_left_alone():
    assert apply_rules(healthy()) == ()


@pytest.mark.parametrize("name", CASES)
def test_each_fault_is_named_and_no_other(name):
    (found,) = apply_rules(healthy(**CASES[name]))
    assert found.name == name
    assert found.evidence.endswith(".")
    assert found.remedy.endswith(".")
    assert found.source
    assert np.isfinite([found.value, found.threshold]).all()


def test_every_rule_has_a_case():
    spoken = {
        rule
        for rule in RULES
        if any(rule(healthy(**changes)) is not None for changes in CASES.values())
    }
    assert spoken == set(RULES)


def test_a_rule_is_silent_where_nothing_was_measured():
    nothing = dict.fromkeys(("units", "prior_gap", "response", "convergence", "pareto", "gap"))
    nothing |= dict.fromkeys(("train_gap", "calibration", "predictive", "scale_bounds"))
    assert apply_rules(healthy(**nothing)) == ()


def test_noise_is_no_finding():
    assert not named(convergence=convergence(gain=1.0, gain_error=0.8))
    assert not named(prior_gap=Fake(accuracy=0.6, total_variation=0.2, standard_error=0.09))
    assert guide_rules.find_overfitted_encoder(healthy(train_gap=None, gap=gap(9.0))) is None


@pytest.mark.parametrize(
    ("changes", "limited"),
    [
        ({"gain": 0.7, "gain_error": 0.05}, True),
        ({"gain": 0.7, "gain_error": 0.2}, False),
        ({"gain": 0.4, "gain_error": 0.0}, False),
        ({"gain": -9.0, "gain_error": 0.6, "loss": 0.6, "num_at_bound": 5}, True),
        ({"gain": -9.0, "gain_error": 0.6, "loss": 0.4, "num_at_bound": 5}, False),
    ],
)
def test_a_bound_is_a_fault_where_it_costs_half_a_nat(changes, limited):
    assert named(scale_bounds=bounds(**changes)) == ["scale at its bound"] * limited
    running = {"scale_bounds": bounds(**changes), "response": response(min_ratio=0.005)}
    assert named(**running) == ["scale shrinking to 0"]  # a lower bound would let it run on


@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_comes_first_in_the_verdict(cause):
    found = apply_rules(healthy(**{"units": DEAD, **CASES[cause]}))
    assert found.names[0] == cause
    assert f"{CAUSES[cause]} The other findings may be" in str(found).splitlines()[0]
    assert CAUSES[cause] not in str(apply_rules(healthy(**CASES[cause])))


@pytest.mark.parametrize(
    ("changes", "limited"),
    [
        ({"gain": 0.005, "effective": 990.0}, False),
        ({"gain": 0.5, "effective": 990.0}, True),
        ({"gain": 0.005, "effective": 300.0}, True),
        ({"gain": np.nan, "effective": np.nan}, True),
        ({"gain": 5.0, "effective": 2.0, "k_hat": 0.5 * ONE}, False),
        ({"gain": 5.0, "effective": 2.0, "k_hat": np.nan * ONE}, True),
    ],
)
def test_a_heavy_tail_is_a_limit_where_the_weights_move_the_bound(changes, limited):
    assert (
        named(pareto=pareto(**{"k_hat": 0.9 * ONE, **changes}))
        == ["k-hat above its threshold"] * limited
    )


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"distance": 0.3}, "wrong likelihood"), ({"share": 0.7}, "predictive intervals too narrow")],
)
def test_a_block_of_a_joint_that_is_off_is_named(changes, name):
    (found,) = apply_rules(
        healthy(predictive=predictive(blocks={"income": {}, "age": changes, "owner": {}}))
    )
    assert found.name == name
    assert found.evidence.startswith('The entries in block "age" ')
    assert not named(predictive=predictive(blocks={"income": {}, "age": {}}))


def test_only_data_that_are_moved_are_counted():
    effective = np.where(np.arange(20) < 3, 200.0, 999.0)
    (found,) = apply_rules(healthy(pareto=pareto(0.9 * ONE, effective, gain=0.001)))
    assert found.evidence.startswith("For 3 of 20 rows")


def test_a_loose_bound_says_what_is_known_of_which_rows_and_what_is_not():
    gain = np.where(np.arange(20) < 3, 0.7, 0.01)
    shape = ParetoShape(0.9 * ONE, 0.7, np.where(gain > 0.1, 200.0, 999.0), gain, 1000)
    (found,) = apply_rules(healthy(pareto=shape))
    assert found.evidence.startswith(
        "For 3 of 20 rows, the estimate of log p(x) may be too low by an unknown amount. "
    )
    assert (
        "0.90 over these rows, with the 1000 particles per row of diagnose's budget." in found.evidence
    )
    assert "Known: the estimate lies 0.7 nats above the ELBO (median over these rows)" in found.evidence
    assert "1 nats above it (mean over all rows). Unknown: how far log p(x) lies" in found.evidence
    assert "This matters if you compare log p(x) between models." in found.evidence
    (found,) = apply_rules(healthy(pareto=shape._replace(gain=np.nan * ONE)))
    assert "lies nan nats" in found.evidence


OF_THE_GUIDE = (
    "k-hat above its threshold",
    "approximation gap",
    "q(z|x) miscalibrated",
    "guide too narrow",
)


@pytest.mark.parametrize("name", [*OF_THE_GUIDE, "amortization gap", "lagging encoder"])
def test_a_remedy_names_only_parts_that_the_advice_has(name):
    def remedy(advice):
        (found,) = apply_rules(healthy(**CASES[name], advice=advice))
        return found.remedy

    parts = ("guides.", "objectives.IWAE", "criticism.annealed_log_prob", "NUTS")
    nothing, everything = remedy(GuideAdvice()), remedy(GuideAdvice("guides.Flow()", *parts))
    assert not any(part in nothing for part in parts)
    assert nothing[0].isupper()
    assert ". ." not in nothing + everything
    if name in OF_THE_GUIDE[:3]:
        assert "guides.Flow()" in everything


def test_some_unused_units_are_a_note():
    some = ActiveUnits({"z": np.array([[2.0, 0.0]] * 20)}, {"z": np.array([0.9, 0.0])})
    (found,) = apply_rules(healthy(units=some))
    assert (found.kind, found.name) == (Kind.NOTE, "unused units")


def test_the_verdict_prints_faults_first_and_limits_what_it_claims():
    made = [Finding(kind, str(kind), "e.", 1.0, 0.5, "s", "r.") for kind in reversed(Kind)]
    found = sort_findings(made)
    assert [each.kind for each in found] == list(Kind)
    assert str(found).startswith("Verdict: 1 fault, 1 limit, 1 note.\n\nFAULT  fault")
    assert found.names == ["fault", "limit"]
    assert "among those that diagnose checks for" in str(Verdict())
    (note,) = apply_rules(healthy(missing={"gap": "no local guide."}))
    assert (note.kind, note.name, note.evidence) == (Kind.NOTE, "gap not measured", "no local guide.")


@pytest.mark.parametrize("kind", Kind)
def test_a_verdict_lists_its_findings_by_kind_or_by_its_name(kind):
    """Findings that were read back from a file have strings as their kinds."""
    made, read = (
        [Finding(make(each), str(each), "e.", 1.0, 0.5, "s", "r.") for each in Kind]
        for make in (Kind, str)
    )
    for found in (Verdict(made), sort_findings(read[::-1])):
        assert [each.name for each in found.of(kind)] == [str(kind)]
        assert found.of(str(kind)) == found.of(kind)
        assert found.names == ["fault", "limit"]
        assert str(found) == str(Verdict(made))


@pytest.mark.parametrize("kind", ["faults", "FAULT", ""])
def test_a_kind_that_does_not_exist_is_refused(kind):
    with pytest.raises(ValueError, match=r'expects one of Kind.FAULT \("fault"\), .*; got'):
        Verdict().of(kind)


def test_an_unconverged_fit_comes_first_in_the_verdict():
    rising = {"convergence": convergence(gain=1.0, gain_error=0.1)}
    found = apply_rules(
        healthy(**rising, units=ActiveUnits({"z": np.zeros((20, 2))}, {"z": np.zeros(2)}))
    )
    assert found.names == ["not converged", "posterior collapse"]
    assert "Train longer first" in str(found).splitlines()[0]
    assert "Train longer first" not in str(apply_rules(healthy(**rising)))


def test_thresholds_are_relative_where_data_are_large():
    """Half a nat is much of -25 nats, and nothing of -1500."""
    rising = {"convergence": convergence(gain=1.0, gain_error=0.1)}
    assert named(**rising) == ["not converged"]
    assert not named(**rising, elbo=Fake(mean=-1500.0))
    assert rules.RISE_SHARE * 1500 > 1


def test_the_page_names_every_finding():
    page = PAGE.read_text().replace("\\|", "|")
    milder = {"amortization gap", "prior mismatch"}  # limits of rows that are there
    assert all(name in page for name in set(CASES) - milder)
