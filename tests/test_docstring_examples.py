"""The names that users meet first have an example in their docstring, and it runs."""

import doctest

import numpy as np
import pytest

import probvae
from probvae import data, guides, likelihoods, nets, objectives, priors

QUICK = [
    probvae.Batch,
    probvae.VAE,
    data.load,
    data.Table,
    guides.MeanField,
    likelihoods.Bernoulli,
    likelihoods.Gaussian,
    nets.Conv,
    nets.MLP,
    objectives.ELBO,
    priors.VampPrior,
]
TRAINS = [
    objectives.IWAE,
    probvae.Checkpoints,
    probvae.EarlyStopping,
    probvae.Fitted.log_prob,
    probvae.diagnose,
    probvae.fit,
    probvae.load,
    probvae.refit,
    probvae.sweep,
    probvae.to_datatree,
    probvae.transfer_params,
]


def run(name):
    parser, text = doctest.DocTestParser(), name.__doc__ or ""
    test = parser.get_doctest(text, {}, name.__qualname__, None, 0)
    assert test.examples, "has no example"
    assert "Examples:\n" in text, "the site shows an example as code only under this heading"
    with np.printoptions(legacy=False):
        results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert results.failed == 0


@pytest.mark.parametrize("name", QUICK, ids=lambda name: name.__qualname__)
def test_example_runs(name):
    run(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINS, ids=lambda name: name.__qualname__)
def test_example_that_trains_runs(name):
    run(name)
