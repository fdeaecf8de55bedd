"""Criticism: the evidence of whether to trust a fit."""

from probvae.criticism.comparison import Comparison, compare, compare_values
from probvae.criticism.datatree import to_datatree
from probvae.criticism.disentanglement import (
    FactorScore,
    InformationGap,
    factor_vae_score,
    mutual_information_gap,
)
from probvae.criticism.features import ClassifierFeatures, classifier_features
from probvae.criticism.frechet import frechet_distance
from probvae.criticism.neighbourhoods import Neighbourhoods, neighbourhoods
from probvae.criticism.predictive import PredictiveChecks, predictive_checks
from probvae.criticism.sample_quality import SampleQuality, sample_quality
from probvae.criticism.two_sample import TwoSample, two_sample_test
from probvae.criticism.typicality import Typicality, typicality

__all__ = [
    "ClassifierFeatures",
    "Comparison",
    "FactorScore",
    "InformationGap",
    "Neighbourhoods",
    "PredictiveChecks",
    "SampleQuality",
    "TwoSample",
    "Typicality",
    "classifier_features",
    "compare",
    "compare_values",
    "factor_vae_score",
    "frechet_distance",
    "mutual_information_gap",
    "neighbourhoods",
    "predictive_checks",
    "sample_quality",
    "to_datatree",
    "two_sample_test",
    "typicality",
]
