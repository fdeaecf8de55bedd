"""The advice on a guide names parts that differ from those of the VAE, and that can be joined with it."""

import warnings
from dataclasses import replace

import jax
import numpy as np
import pytest
import registry

from probvae import VAE, Batch, Fitted, flows, guides, nets, objectives
from probvae.criticism import annealed_log_prob
from probvae.criticism.diagnosis.guide_advice import advise_on_guide, list_richer_guides, name_guide
from probvae.data import Cast
from probvae.evidence import check_density
from probvae.fitted import History
from probvae.objectives.compatibility import check_terms
from probvae.training.initial_values import initial_values

X = np.zeros((4, 3), np.float32)
CONTEXT = np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]
PRIORS = {
    "TwoLevelTopDown": "TwoLevel",
    "TwoLevelBottomUp": "TwoLevel",
    "Ladder": "Ladder",
    "Bernoulli": "Bernoulli",
    "Categorical": "Categorical",
    "ClassAndStyle": "ClassAndStyle",
    "RelaxedBernoulli": "RelaxedBernoulli",
    "RelaxedCategorical": "RelaxedCategorical",
    "PowerSpherical": "UniformSphere",
}
NORMAL = {"MeanField", "FullRank", "LowRank", "Flow(Autoregressive)", "Flow(Coupling)", "SemiAmortized"}
QUICK = {"MeanField", "LowRank", "Bernoulli"}  # to build
NAMES = sorted(set(registry.GUIDES) - {"PointMass"})  # it has no density, and diagnose says so


def build(guide, prior="StandardNormal", **parts):
    context = {"context_shape": (2,)} if prior == "ClassAndStyle" else {}
    usual = {"latent_dim": 3, "encoder": nets.Linear(), "decoder": nets.Linear()}
    usual |= {"event_shape": (3,), "prior": registry.PRIORS[prior]()}
    return VAE(posterior=guide, **{**usual, **context, **parts})


def advise(vae):
    data = Batch(X, CONTEXT if vae.context_shape else None)
    fitted = Fitted(vae, initial_values(vae, data, Cast()), History({}, {}, {}))
    return fitted, advise_on_guide(fitted, jax.tree.map(lambda a: a[0], data))


@pytest.mark.parametrize(
    "name", [each if each in QUICK else pytest.param(each, marks=pytest.mark.slow) for each in NAMES]
)
def test_every_advised_part_differs_and_can_be_joined(name):
    vae = build(registry.GUIDES[name](), PRIORS.get(name, "StandardNormal"))
    fitted, advice = advise(vae)
    check_density(vae)
    for text in filter(None, (*advice.richer.split(" or "), advice.refined)):
        guide = eval(text, {"guides": guides})
        assert guide != vae.posterior
        assert text.partition("(depth")[0] != f"guides.{name}()"
        replace(vae, posterior=guide)
    if advice.objective:
        check_terms(objectives.IWAE(), vae, 2)
    assert bool(advice.richer) == (name in NORMAL)
    assert bool(advice.annealing) == bool(advice.posterior)


@pytest.mark.slow
def test_the_next_guide_is_richer_than_the_last():
    order = (guides.MeanField(), guides.LowRank(), guides.FullRank(), guides.Flow())
    named = [[name_guide(each) for each in list_richer_guides(build(guide))] for guide in order]
    both = ["guides.FullRank()", "guides.Flow()"]
    assert named == [both, both, both[1:], ["guides.Flow(depth=4)"]]
    assert list_richer_guides(build(guides.MeanField(), latent_dim=1)) == []
    (deeper,) = list_richer_guides(build(guides.Flow(flows.Coupling(), depth=3)))
    assert deeper == guides.Flow(flows.Coupling(), depth=6)


def test_annealing_is_advised_where_it_runs():
    for guide, prior, runs in (
        (guides.MeanField(), "StandardNormal", True),
        (guides.Bernoulli(), "Bernoulli", False),
        (guides.PowerSpherical(), "UniformSphere", False),
    ):
        fitted, advice = advise(build(guide, prior))
        options = {"num_particles": 1, "num_temperatures": 2, "num_leapfrog": 1}
        assert bool(advice.annealing) == runs
        if not runs:
            with pytest.raises(ValueError, match="annealing"):
                annealed_log_prob(fitted, X, rng_key=jax.random.key(0), **options)


def test_the_advice_repeats_no_warning_of_the_parts():
    net = nets.Conv((4,))
    with pytest.warns(UserWarning, match="channels first"):
        vae = build(guides.MeanField(), event_shape=(3, 8, 8), encoder=net)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list_richer_guides(vae)) == 2
