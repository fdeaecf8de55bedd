"""Criticism: the evidence of whether to trust a fit."""

from probvae.criticism.bits_per_dim import bits_per_dimension
from probvae.criticism.comparison import Comparison, compare, compare_values, elpd
from probvae.criticism.datatree import to_datatree
from probvae.criticism.datatree_variables import drop_missing, events
from probvae.criticism.diagnosis.budgets import Budget
from probvae.criticism.diagnosis.convergence import Convergence, convergence
from probvae.criticism.diagnosis.diagnose import Diagnosis, diagnose
from probvae.criticism.diagnosis.scale_bounds import BoundGain, ScaleBounds, scale_bounds
from probvae.criticism.diagnosis.verdict import Finding, Kind, Verdict
from probvae.criticism.latents.active_units import ActiveUnits, active_units
from probvae.criticism.latents.decoder_response import DecoderResponse, decoder_response
from probvae.criticism.latents.disentanglement import (
    FactorVAEScore,
    MutualInformationGap,
    factor_vae_score,
    mutual_information_gap,
)
from probvae.criticism.latents.elbo_surgery import (
    ELBODecomposition,
    PriorHoles,
    elbo_surgery,
    prior_holes,
)
from probvae.criticism.latents.prior_gap import PriorGap, prior_gap
from probvae.criticism.posterior import annealing
from probvae.criticism.posterior.annealer import AnnealedBound
from probvae.criticism.posterior.annealing import Bracket, annealed_log_prob, bracket
from probvae.criticism.posterior.calibration import Calibration, SiteCalibration, sbc
from probvae.criticism.posterior.inference_gap import InferenceGap, inference_gap
from probvae.criticism.posterior.nuts import ReferenceChains, reference_chains
from probvae.criticism.posterior.pareto import ParetoShape, pareto_shape
from probvae.criticism.posterior.power_scaling import psense_per_row
from probvae.criticism.samples.associations import Association, Associations, associations
from probvae.criticism.samples.column_checks import ColumnChecks, column_checks
from probvae.criticism.samples.features import ClassifierFeatures, classifier_features
from probvae.criticism.samples.frechet import frechet_distance
from probvae.criticism.samples.imputation_coverage import ImputationCoverage, imputation_coverage
from probvae.criticism.samples.neighbourhoods import Neighbourhoods, neighbourhoods
from probvae.criticism.samples.predictive import PredictiveChecks, predictive_checks
from probvae.criticism.samples.sample_quality import SampleQuality, sample_quality
from probvae.criticism.samples.two_sample import TwoSample, two_sample_test
from probvae.criticism.samples.typicality import Typicality, typicality

__all__ = [
    "ActiveUnits",
    "AnnealedBound",
    "Association",
    "Associations",
    "BoundGain",
    "Bracket",
    "Budget",
    "Calibration",
    "ClassifierFeatures",
    "ColumnChecks",
    "Comparison",
    "Convergence",
    "DecoderResponse",
    "Diagnosis",
    "ELBODecomposition",
    "FactorVAEScore",
    "Finding",
    "ImputationCoverage",
    "InferenceGap",
    "Kind",
    "MutualInformationGap",
    "Neighbourhoods",
    "ParetoShape",
    "PredictiveChecks",
    "PriorGap",
    "PriorHoles",
    "ReferenceChains",
    "SampleQuality",
    "ScaleBounds",
    "SiteCalibration",
    "TwoSample",
    "Typicality",
    "Verdict",
    "active_units",
    "annealed_log_prob",
    "annealing",
    "associations",
    "bits_per_dimension",
    "bracket",
    "classifier_features",
    "column_checks",
    "compare",
    "compare_values",
    "convergence",
    "decoder_response",
    "diagnose",
    "drop_missing",
    "elbo_surgery",
    "elpd",
    "events",
    "factor_vae_score",
    "frechet_distance",
    "imputation_coverage",
    "inference_gap",
    "mutual_information_gap",
    "neighbourhoods",
    "pareto_shape",
    "predictive_checks",
    "prior_gap",
    "prior_holes",
    "psense_per_row",
    "reference_chains",
    "sample_quality",
    "sbc",
    "scale_bounds",
    "to_datatree",
    "two_sample_test",
    "typicality",
]
