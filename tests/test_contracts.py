"""What every part must obey, over the one registry."""

import inspect
from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import registry
from numpyro import handlers
from numpyro.infer import SVI, Trace_ELBO
from pairs import check_pair, guide_of, joined, rows, tiny

import probvae
from probvae import fit
from probvae.objectives import terms
from probvae.objectives.compatibility import check_objective, check_terms
from probvae.objectives.terms import trace_programs
from probvae.tracing import trace_structure


def each(parts):
    return [pytest.param(make, id=name) for name, make in parts.items()]


def test_every_public_part_is_registered():
    for package, registered in registry.EVERY.items():
        public = {
            name
            for name, value in vars(getattr(probvae, package)).items()
            if inspect.isclass(value) and not inspect.isabstract(value) and not name.startswith("_")
        }
        made = [make() for make in registered.values()]
        made = [part for parts in made for part in (parts if isinstance(parts, tuple) else (parts,))]
        named = {type(part).__name__ for part in made}
        helpers = {
            "Terms",
            "AbstractObjective",
            "ColumnScale",
            "FixedScale",
            "LearnedScale",
            "PixelScale",
            "OptimalScale",
        }
        helpers |= {
            "Delta",
            "FreeMean",
            "LibrarySize",
            "SelfMasking",
            "MaskingNet",
        }  # stand in other parts alone
        helpers |= {"ColumnInputs"}  # reads columns and their mask: see test_column_inputs.py
        helpers |= {"CosineWarmUp", "CyclicalSchedule", "STL", "DReG", "PerSite", "PerUnit"}
        helpers |= {
            "MinibatchStratified",
            "MinibatchWeighted",
            "RBF",
            "InverseMultiquadratic",
            "FixedWidth",
            "MedianWidth",
        }
        helpers |= {"MADE", "MaskedConv", "Discriminator", "RepeatedNets"}
        assert public - helpers <= named, f"{package}: register {public - helpers - named}"
    scales = {
        type(make().scale).__name__ for name, make in registry.LIKELIHOODS.items() if "Scale" in name
    }
    assert scales == {"ColumnScale", "FixedScale", "LearnedScale", "PixelScale", "OptimalScale"}
    masked = {
        type(make().net).__name__ for name, make in registry.LIKELIHOODS.items() if "Autoreg" in name
    }
    assert masked == {"MADE", "MaskedConv"}


# Each part once, beside the first parts that fit (most are slow); every pair is in tests/test_matrix.py.


def some(parts, always):
    """Names of parts: those named always run, the others with the slow tests."""
    return [pytest.param(n, marks=[pytest.mark.slow] * (n not in always)) for n in parts]


@pytest.mark.parametrize("prior", some(registry.PRIORS, {"StandardNormal", "VampPrior", "Bernoulli"}))
def test_prior_trains_and_generates(prior):
    check_pair(joined(prior, guide_of(prior)))


@pytest.mark.parametrize("guide", some(registry.GUIDES, {"FullRank", "TwoLevelTopDown"}))
def test_guide_trains_and_generates(guide):
    check_pair(joined(registry.first_prior(guide), registry.GUIDES[guide]()))


@pytest.mark.parametrize("likelihood", some(registry.LIKELIHOODS, {"Gaussian", "Joint"}))
def test_likelihood_trains_and_generates(likelihood):
    check_pair(tiny(likelihood=registry.LIKELIHOODS[likelihood]()))


@pytest.mark.parametrize("net", some(registry.NETS, {"Conv", "user's NNX class"}))
def test_net_trains_and_generates(net):
    encoder, decoder = registry.NETS[net]()
    check_pair(tiny(encoder=encoder, decoder=decoder))


FIT = {(p, g) for p in registry.PRIORS for g in registry.GUIDES if registry.fit_together(p, g)}


@pytest.mark.slow
@pytest.mark.parametrize("prior", registry.PRIORS)
def test_prior_with_a_guide_that_does_not_fit_is_refused_at_the_join(prior):
    """By an error that names both, and a part that would fit."""
    for guide in registry.GUIDES:
        if (prior, guide) in FIT:
            continue
        names = [type(part()).__name__ for part in (registry.PRIORS[prior], registry.GUIDES[guide])]
        with pytest.raises((TypeError, ValueError), match=f"(?s){names[0]}.*{names[1]}.*(Use|use a)"):
            joined(prior, registry.GUIDES[guide]())


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", each(registry.LIKELIHOODS))
def test_density_of_a_datum_is_the_same_alone_and_in_company(likelihood):
    vae = tiny(likelihood=likelihood()).eval()
    x = jnp.asarray(rows(vae.likelihood))

    @jax.jit
    def both():
        values = values_of(vae, x)
        return [read(vae, values, some).log_likelihood[0] for some in (x[:1], x)]

    np.testing.assert_allclose(*both(), rtol=1e-5)


@pytest.mark.parametrize("net", each(registry.NETS))
def test_encoding_of_a_datum_is_the_same_alone_and_in_company(net):
    vae = tiny(encoder=net()[0]).eval()
    x = jnp.asarray(rows(vae.likelihood))

    @jax.jit
    def both():
        guide = handlers.substitute(handlers.seed(vae.guide, 0), values_of(vae, x))
        return [handlers.trace(guide).get_trace(some)["z"]["fn"].mean[0] for some in (x[:1], x)]

    np.testing.assert_allclose(*both(), rtol=1e-5)


@pytest.mark.parametrize(
    "likelihood",
    each({name: make for name, make in registry.LIKELIHOODS.items() if name != "NotAtRandom"}),
)  # whose mask has a probability of its own: see test_not_at_random.py
def test_masked_gradients_are_those_of_the_observed_part_alone(likelihood):
    """At hidden entries that are NaN, too."""
    vae = tiny(likelihood=likelihood()).eval()
    x = jnp.asarray(rows(vae.likelihood))
    mask = jax.random.bernoulli(jax.random.key(5), 0.6, x.shape)
    if not vae.likelihood.factorises:
        with pytest.raises(ValueError, match="a likelihood that factorises"):
            read(vae, random_values(vae, x), x, None, mask)
        return

    def masked(values):
        poisoned = jnp.where(mask, x, jnp.nan)
        return read(vae, values, poisoned, None, mask).log_likelihood.sum()

    def alone(values):
        filled = jnp.where(mask, x, vae.likelihood.fill)
        # an encoder's view may hide missing entries, so that the guide needs the mask
        hides = hasattr(vae.likelihood.encoder_view, "hide")
        data = (filled, None, mask) if hides else (filled,)
        _, trace = trace_programs(jax.random.key(3), values, vae.model, vae.guide, data, {})
        p = trace["x"]["fn"].base_dist
        by_entry = (p.base_dist if hides else p).log_prob(filled)
        return (by_entry * mask).sum()

    @jax.jit
    def both(values):
        return [jax.value_and_grad(function)(values) for function in (masked, alone)]

    (got, slopes), (want, exact) = both(random_values(vae, x))
    np.testing.assert_allclose(got, want, rtol=1e-5)
    for slope, one in zip(jax.tree.leaves(slopes), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(slope, one, rtol=1e-4, atol=1e-5)


def random_values(vae, x):
    """Values of all parameters, drawn without a compiled program."""
    noise = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: values_of(vae, x))
    return jax.tree.map(lambda a: 0.3 * noise.normal(size=a.shape).astype(a.dtype), shapes)


def values_of(vae, x):
    params, state = values_in(vae.model, vae.guide, x)
    return {**params, **state}


def values_in(model, guide, *data):
    """Return first values of parameters and state."""
    seeded = (handlers.seed(model, 1), handlers.seed(guide, 0))
    sites = [site for run in seeded for site in handlers.trace(run).get_trace(*data).values()]
    return [
        {site["name"]: site["value"] for site in sites if site["type"] == kind}
        for kind in ("param", "mutable")
    ]


def read(vae, values, *data):
    return terms(jax.random.key(3), values, vae.model, vae.guide, *data)


TERMS = {(o, g) for o in registry.OBJECTIVES for g in registry.GUIDES if registry.objective_fits(o, g)}


BESIDE = {  # each objective with the mean field, and the ELBO with every guide
    *((o, next(g for g in registry.GUIDES if (o, g) in TERMS)) for o in registry.OBJECTIVES),
    *(("ELBO", g) for g in registry.GUIDES),
}


@pytest.mark.parametrize(
    ("objective", "guide"),
    [pytest.param(o, g, marks=[pytest.mark.slow] * (g != "MeanField")) for o, g in sorted(BESIDE)],
)
def test_objective_with_guide(objective, guide):
    """Gradients are finite and reach every parameter; for the ELBO compiled equals eager."""
    plain = (objective, guide) == ("ELBO", "MeanField")  # eager runs take seconds each
    asked = registry.ASKS.get(objective, {})
    vae = joined(registry.first_prior(guide), registry.GUIDES[guide](), **asked)
    x, objective = rows(vae.likelihood), registry.OBJECTIVES[objective]()
    context = objective.draw_context(jax.random.key(1), jnp.asarray(x), None)
    told = (x,) if context is None else (x, context)
    programs = objective.programs(vae.model, vae.guide)
    params, state = values_in(*programs, *told)

    def loss(params):
        return objective.loss(jax.random.key(0), {**params, **state}, *programs, *told)

    value, slopes = jax.jit(jax.value_and_grad(loss))(params)
    if plain:
        assert loss(params) == pytest.approx(float(value), rel=1e-5)
    for path, slope in jax.tree_util.tree_leaves_with_path(slopes):
        assert np.isfinite(slope).all(), path
        assert np.abs(slope).max() > 0, path


@pytest.mark.parametrize(
    "objective",
    [pytest.param(o, marks=[pytest.mark.slow] * (o != "ELBO")) for o in registry.OBJECTIVES],
)
def test_objective_fits(objective):
    guide = dict(sorted(BESIDE))[objective]
    vae = joined(
        registry.first_prior(guide), registry.GUIDES[guide](), **registry.ASKS.get(objective, {})
    )
    fitted = fit(
        vae,
        rows(vae.likelihood),
        rng_key=jax.random.key(0),
        objective=registry.OBJECTIVES[objective](),
        epochs=3,
        batch_size=4,
        progress=False,
    )
    for name in ("loss", "bound", "log_likelihood", "kl"):  # a flow knows no standard deviation
        assert np.isfinite(fitted.history.steps[name]).all()


@pytest.mark.slow
@pytest.mark.parametrize("guide", registry.GUIDES)
def test_objective_has_its_terms_or_is_refused_before_the_fit(guide):
    """By an error that names both, and what to take instead; every pair is traced."""
    for name, make in registry.OBJECTIVES.items():
        asked = {} if guide == "ClassAndStyle" else registry.ASKS.get(name, {})  # its own context
        vae = joined(registry.first_prior(guide), registry.GUIDES[guide](), **asked)
        found, objective = trace_structure(vae), make()
        fits = (name, guide) in TERMS
        both = f"(?s){type(objective).__name__}.*{type(vae.posterior).__name__}.*(Take|Use)"
        with nullcontext() if fits else pytest.raises(ValueError, match=both):
            check_objective(objective, *found[:2], found.state, type(vae.posterior).__name__)
            check_terms(objective, vae, 4)


@pytest.mark.parametrize("role", ["prior", "likelihood", "encoder"])
def test_parts_are_hashable_values(role):
    table = {
        "prior": registry.PRIORS,
        "likelihood": registry.LIKELIHOODS,
        "encoder": registry.NETS,
    }[role]
    for name, make in table.items():
        first, second = ((part[0] if isinstance(part, tuple) else part) for part in (make(), make()))
        assert first == second, name
        one, other = (
            joined(name, guide_of(name)) if role == "prior" else tiny(**{role: part})
            for part in (first, second)
        )
        assert hash(one) == hash(other), name


def test_two_keys_give_two_starts_and_an_ensemble_trains_by_vmap():
    vae = tiny()
    x = rows(vae.likelihood)
    svi = SVI(vae.model, vae.guide, optax.adam(1e-2), Trace_ELBO())
    states = jax.jit(jax.vmap(lambda key: svi.init(key, x)))(jax.random.split(jax.random.key(0), 3))
    kernels = svi.get_params(states)["decoder$params"]["layers"][0]["layer"]["kernel"]
    assert float(jnp.abs(kernels[0] - kernels[1]).min()) > 0
    states, losses = jax.jit(jax.vmap(lambda state: svi.update(state, x)))(states)
    assert losses.shape == (3,)
