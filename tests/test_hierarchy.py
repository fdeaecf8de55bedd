"""Program parts: a two-level hierarchy, and a guide that looks at the model."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import parts
import pytest
from compiled import random_values, run, structure
from numpyro import handlers
from numpyro.infer import Predictive, TraceMeanField_ELBO

from probvae import VAE, fit, guides, likelihoods, nets, priors
from probvae.objectives import ELBO, terms
from probvae.objectives.terms import trace_programs


def two_level(*, top_down=True, **changes):
    family = guides.TwoLevelTopDown if top_down else guides.TwoLevelBottomUp
    prior = changes.pop("prior", priors.TwoLevel(net=nets.Linear()))
    return linear(prior=prior, posterior=family(nets.Linear()), **changes)


def linear(**changes):
    likelihood = likelihoods.Gaussian(scale=likelihoods.FixedScale(0.5))
    return VAE(
        event_shape=(4,),
        latent_dim=2,
        encoder=nets.Linear(),
        decoder=nets.Linear(),
        likelihood=likelihood,
        **changes,
    )


@pytest.fixture(scope="module")
def x():
    z = jax.random.normal(jax.random.key(0), (64, 2))
    return np.asarray(z @ jnp.array([[1.0, -1.0, 0.5, 0.0], [0.0, 1.0, 1.0, -2.0]]))


def read_terms(vae, params, x):
    return run(lambda params: terms(jax.random.key(0), params, vae.model, vae.guide, x), params)


def calm(vae):
    """Small weights: scales that vary little, so that the mean of draws has a small error."""
    return random_values(vae, 0.1)


def draws(vae, params, x, *, closed_form, n=4000):
    def elbo(key):
        read = terms(key, params, vae.model, vae.guide, x, closed_form=closed_form)
        return (read.log_likelihood - read.total_kl).mean()

    return np.asarray(jax.jit(jax.vmap(elbo))(jax.random.split(jax.random.key(2), n)))


def test_a_hierarchy_prints_its_own_codes():
    lines = str(two_level()).splitlines()
    assert lines[0].startswith("z2 ~ ")
    assert lines[3].startswith("each code in R^")
    assert str(VAE(event_shape=(4,), latent_dim=3)).splitlines()[0] == "z ~ Normal(0, I)"


def test_closed_form_equals_sampled_kl_with_a_top_down_guide(x):
    vae = two_level()
    params = calm(vae)
    closed, sampled = (draws(vae, params, x, closed_form=form) for form in (True, False))
    noise = np.hypot(closed.std(), sampled.std()) / np.sqrt(len(closed))
    assert abs(closed.mean() - sampled.mean()) < 4 * noise
    assert closed.std() < sampled.std()
    read = read_terms(vae, params, x)
    assert {name: kl.shape for name, kl in read.kl.items()} == {"z1": (64, 2), "z2": (64, 2)}


def test_closed_form_is_not_used_below_a_bottom_up_guide(x):
    """q draws z1 before z2, on which p(z1 | z2) depends: there the closed form is another number."""
    vae = two_level(top_down=False)
    params = calm(vae)
    read = read_terms(vae, params, x)
    np.testing.assert_allclose(read.kl["z1"], read.log_guide["z1"] - read.log_prior["z1"])
    assert read.kl["z2"].shape == (64, 2)
    ours, sampled = (draws(vae, params, x, closed_form=form) for form in (True, False))
    noise = np.hypot(ours.std(), sampled.std()) / np.sqrt(len(ours))
    assert abs(ours.mean() - sampled.mean()) < 4 * noise


def test_numpyro_closed_form_is_refused_with_a_bottom_up_guide(x):
    with pytest.raises(ValueError, match=r"TraceMeanField_ELBO .*\['z1'\].*objectives.ELBO"):
        fit(two_level(top_down=False), x, rng_key=jax.random.key(0), objective=TraceMeanField_ELBO())


@pytest.mark.slow
@pytest.mark.parametrize("top_down", [True, False])
def test_a_hierarchy_trains_and_its_bounds_are_in_order(x, top_down):
    vae = two_level(top_down=top_down)
    fitted = fit(
        vae,
        x,
        rng_key=jax.random.key(0),
        optimizer=optax.adam(1e-2),
        epochs=60,
        batch_size=32,
        progress=False,
    )
    elbo = fitted.history.train["elbo"]
    assert elbo[-10:].mean() > elbo[:3].mean() + 1
    bound = fitted.elbo(x, rng_key=jax.random.key(0), num_particles=100)
    many = fitted.log_prob(x, rng_key=jax.random.key(0), num_particles=500)
    assert bound.mean < many.mean
    drawn = fitted.sample(5, rng_key=jax.random.key(0))
    assert drawn.x.shape == (5, 4)
    assert {name: z.shape for name, z in drawn.z.items()} == {"z1": (5, 2), "z2": (5, 2)}
    assert fitted.reconstruct(x, rng_key=jax.random.key(0)).shape == x.shape
    sites = Predictive(fitted.guide, num_samples=3)(jax.random.key(0), x)
    assert {name: sites[name].shape for name in ("z1", "z2")} == {"z1": (3, 64, 2), "z2": (3, 64, 2)}
    with pytest.raises(TypeError, match="TwoLevel.* is a program.*Predictive"):
        fitted.encode(x)


@pytest.mark.parametrize(
    "top",
    [priors.GaussianMixture(3), priors.Flow(depth=1), priors.StudentT()],
    ids=lambda p: type(p).__name__,
)
def test_any_distribution_prior_may_be_on_top(x, top):
    """The prior's density of (z1, z2) is the top's of z2 times the normal's of z1."""
    vae = two_level(prior=priors.TwoLevel(top, nets.Linear()))
    params = random_values(vae)
    read = read_terms(vae, params, x)
    assert read.total_kl.shape == (64,)
    alone = linear(prior=top)
    shared = {**random_values(alone), **{k: v for k, v in params.items() if k.startswith("prior")}}

    def log_density_alone(params, shared):
        guide_trace, _ = trace_programs(jax.random.key(0), params, vae.model, vae.guide, (x,), {})
        z2 = guide_trace["z2"]["value"]
        model = handlers.substitute(handlers.seed(alone.model, 0), {**shared, "z": z2})
        return handlers.trace(model).get_trace(x)["z"]["fn"].log_prob(z2)

    want = run(log_density_alone, params, shared)
    np.testing.assert_allclose(read.log_prior["z2"], want, rtol=1e-5, atol=1e-5)


def test_a_vamp_prior_on_top_mixes_the_guides_top(x):
    """log p(z2) = log (1/K) sum_k q(z2 | u_k), q(z2 | x) the guide's own."""
    vae = two_level(prior=priors.TwoLevel(priors.VampPrior(3), nets.Linear()))
    params = random_values(vae)

    def both(params):
        guide = handlers.trace(handlers.seed(handlers.substitute(vae.guide, params), 0))
        q = guide.get_trace(params["prior$pseudo_inputs"])["z2"]["fn"]
        model = handlers.trace(handlers.seed(handlers.substitute(vae.model, params), 1))
        site = model.get_trace(x)["z2"]
        components = q.log_prob(site["value"][:, None])
        return site["fn"].log_prob(site["value"]), jax.scipy.special.logsumexp(components, axis=1)

    got, total = run(both, params)
    np.testing.assert_allclose(got, np.asarray(total) - np.log(3), rtol=1e-5)


def test_a_vamp_prior_on_top_is_refused_where_the_guide_has_no_top():
    with pytest.raises(TypeError, match="(?s)mixture of q.*no density of the top.*TopDown"):
        two_level(prior=priors.TwoLevel(priors.VampPrior(3)), top_down=False)


def test_log_joint_is_the_models_own_density(x):
    """The scope's log p(x, z) per datum, for a guide that climbs it."""
    vae = linear(posterior=parts.OneStepGuide())
    params = random_values(vae)
    fitted = fit(vae, x, rng_key=jax.random.key(0), epochs=20, batch_size=32, progress=False)
    assert fitted.history.train["elbo"][-1] > fitted.history.train["elbo"][0]
    z = np.asarray(jax.random.normal(jax.random.key(5), (64, 2)))
    layer = jax.tree.map(np.asarray, params["decoder$params"]["layers"][0])
    residual = (x - (z @ layer["kernel"] + layer["bias"])) / 0.5
    normal = -0.5 * np.log(2 * np.pi)
    truth = (-0.5 * residual**2 + normal - np.log(0.5)).sum(1) + (-0.5 * z**2 + normal).sum(1)

    def log_joint(params):
        with handlers.substitute(data=params):
            return vae._log_joint(vae._scope(x, None, None))(z)

    np.testing.assert_allclose(run(log_joint, params), truth, rtol=1e-4)


def test_two_inner_steps_move_no_parameter_into_the_guides_trace(x):
    """The inner run of the model is blocked: the guide's sites are the guide's alone."""
    vae = linear(posterior=parts.OneStepGuide())
    trace = structure(vae.guide, x)
    assert [name for name, site in trace.items() if site["type"] == "sample"] == ["z"]


def test_objective_parts_add_up_in_a_hierarchy(x):
    vae = two_level()
    params = random_values(vae)
    read = read_terms(vae, params, x)
    loss = run(lambda params: ELBO().loss(jax.random.key(0), params, vae.model, vae.guide, x), params)
    elbo = np.sum(np.asarray(read.log_likelihood) - np.asarray(read.total_kl))
    assert float(loss) == pytest.approx(-float(elbo), rel=1e-5)
