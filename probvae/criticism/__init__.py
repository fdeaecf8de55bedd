"""Criticism: the evidence of whether to trust a fit."""

from probvae.criticism import annealing
from probvae.criticism.annealer import AnnealedEvidence
from probvae.criticism.annealing import Bracket, annealed_log_prob, bracket
from probvae.criticism.bits import bits_per_dimension
from probvae.criticism.budgets import Budget
from probvae.criticism.calibration import Calibration, SiteCalibration, sbc
from probvae.criticism.comparison import Comparison, compare, compare_values
from probvae.criticism.convergence import Convergence, convergence
from probvae.criticism.datatree import to_datatree
from probvae.criticism.decoder import Response, response
from probvae.criticism.diagnose import Diagnosis, diagnose
from probvae.criticism.disentanglement import (
    FactorScore,
    InformationGap,
    factor_vae_score,
    mutual_information_gap,
)
from probvae.criticism.elpd_data import elpd
from probvae.criticism.entries import drop_missing, events
from probvae.criticism.features import ClassifierFeatures, classifier_features
from probvae.criticism.frechet import frechet_distance
from probvae.criticism.gap import InferenceGap, inference_gap
from probvae.criticism.neighbourhoods import Neighbourhoods, neighbourhoods
from probvae.criticism.nuts import ReferenceChains, reference_chains
from probvae.criticism.pareto import ParetoShape, pareto_shape
from probvae.criticism.population import Holes, Surgery, elbo_surgery, holes
from probvae.criticism.power_scaling import psense_per_row
from probvae.criticism.predictive import PredictiveChecks, predictive_checks
from probvae.criticism.prior_gap import PriorGap, prior_gap
from probvae.criticism.sample_quality import SampleQuality, sample_quality
from probvae.criticism.scale_bounds import BoundGain, ScaleBounds, scale_bounds
from probvae.criticism.two_sample import TwoSample, two_sample_test
from probvae.criticism.typicality import Typicality, typicality
from probvae.criticism.units import Units, units
from probvae.criticism.verdict import Finding, Kind, Verdict

__all__ = [
    "AnnealedEvidence",
    "BoundGain",
    "Bracket",
    "Budget",
    "Calibration",
    "ClassifierFeatures",
    "Comparison",
    "Convergence",
    "Diagnosis",
    "FactorScore",
    "Finding",
    "Holes",
    "InferenceGap",
    "InformationGap",
    "Kind",
    "Neighbourhoods",
    "ParetoShape",
    "PredictiveChecks",
    "PriorGap",
    "ReferenceChains",
    "Response",
    "SampleQuality",
    "ScaleBounds",
    "SiteCalibration",
    "Surgery",
    "TwoSample",
    "Typicality",
    "Units",
    "Verdict",
    "annealed_log_prob",
    "annealing",
    "bits_per_dimension",
    "bracket",
    "classifier_features",
    "compare",
    "compare_values",
    "convergence",
    "diagnose",
    "drop_missing",
    "elbo_surgery",
    "elpd",
    "events",
    "factor_vae_score",
    "frechet_distance",
    "holes",
    "inference_gap",
    "mutual_information_gap",
    "neighbourhoods",
    "pareto_shape",
    "predictive_checks",
    "prior_gap",
    "psense_per_row",
    "reference_chains",
    "response",
    "sample_quality",
    "sbc",
    "scale_bounds",
    "to_datatree",
    "two_sample_test",
    "typicality",
    "units",
]
