"""Our objective against NumPyro's, weights and schedules, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import parts
import pytest
from compiled import random_values, run
from numpyro import handlers
from numpyro.infer import SVI, RenyiELBO, Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO

from probvae import VAE, fit, guides, likelihoods, nets, priors
from probvae.objectives import ELBO, terms


def tiny(**changes):
    return VAE(
        event_shape=(4,),
        **{"latent_dim": 2, "encoder": nets.MLP((8,)), "decoder": nets.MLP((8,)), **changes},
    )


@pytest.fixture(scope="module")
def x():
    return np.asarray(jax.random.bernoulli(jax.random.key(0), 0.4, (20, 4)), np.float32)


@pytest.mark.parametrize(
    ("prior", "num_particles", "num_data"),
    [
        (priors.StandardNormal(), 1, None),
        (priors.StandardNormal(), 4, 100),
        (priors.VampPrior(3), 1, 100),
        (priors.VampPrior(3), 4, None),
    ],
    ids=str,
)
def test_beta_one_equals_numpyro_key_for_key(x, prior, num_particles, num_data):
    vae = tiny(prior=prior)
    params, key = random_values(vae), jax.random.key(7)
    for ours, theirs in (
        (ELBO(num_particles=num_particles), TraceMeanField_ELBO(num_particles=num_particles)),
        (
            ELBO(num_particles=num_particles, closed_form=False),
            Trace_ELBO(num_particles=num_particles),
        ),
    ):

        def losses(values, objectives=(ours, theirs)):
            return [o.loss(key, values, vae.model, vae.guide, x, num_data=num_data) for o in objectives]

        found, slopes = jax.jit(lambda p: (losses(p), jax.jacrev(losses)(p)))(params)
        a, b = zip(found, slopes, strict=True)
        np.testing.assert_allclose(a[0], b[0], rtol=1e-6)
        for ga, gb in zip(jax.tree.leaves(a[1]), jax.tree.leaves(b[1]), strict=True):
            np.testing.assert_allclose(ga, gb, rtol=1e-3, atol=1e-4)


def test_beta_weighs_the_kl_alone(x):
    vae = tiny()
    params, key = random_values(vae), jax.random.key(7)
    losses = run(
        lambda params: [
            ELBO(beta=b).loss(key, params, vae.model, vae.guide, x) for b in (0.0, 1.0, 3.0)
        ],
        params,
    )
    losses = [float(loss) for loss in losses]
    kl = losses[1] - losses[0]
    assert kl > 0
    assert losses[2] - losses[0] == pytest.approx(3 * kl, rel=1e-4)


def test_a_schedule_is_read_at_each_step(x):
    """A schedule that is constant is that constant; one that switches is seen in the bound."""
    vae = tiny()
    fits = {
        name: fit(
            vae,
            x,
            rng_key=jax.random.key(0),
            objective=ELBO(beta=beta),
            epochs=4,
            batch_size=10,
            progress=False,
        )
        for name, beta in {
            "two": 2.0,
            "constant": optax.constant_schedule(2.0),
            "switched": optax.piecewise_constant_schedule(1.0, {3: 0.0}),
        }.items()
    }
    np.testing.assert_allclose(
        fits["two"].history.steps["loss"], fits["constant"].history.steps["loss"], rtol=1e-6
    )
    steps = fits["switched"].history.steps
    weight = (steps["log_likelihood"] - steps["bound"]) / steps["kl"]
    np.testing.assert_allclose(weight, [1, 1, 1, 0, 0, 0, 0, 0], atol=2e-3)


def test_a_schedule_in_plain_svi_needs_its_programs(x):
    objective = ELBO(beta=optax.linear_schedule(0.0, 1.0, 10))
    vae = tiny()
    with pytest.raises(ValueError, match="expects the step.*Pass .*programs"):
        SVI(vae.model, vae.guide, optax.adam(1e-3), objective).run(
            jax.random.key(0), 2, x, progress_bar=False
        )
    svi = SVI(*objective.programs(vae.model, vae.guide), optax.adam(1e-3), objective)
    result = svi.run(jax.random.key(0), 5, x, progress_bar=False)
    assert int(result.state.mutable_state["objective$state"]["step"]) == 5


@pytest.mark.parametrize(
    "objective",
    [Trace_ELBO(), TraceMeanField_ELBO(), RenyiELBO(num_particles=3), TraceGraph_ELBO()],
    ids=lambda o: type(o).__name__,
)
def test_numpyro_objectives_fit(x, objective):
    fitted = fit(
        tiny(), x, rng_key=jax.random.key(0), objective=objective, optimizer=optax.adam(1e-2),
        validation=x, epochs=40, batch_size=10, progress=False,
    )  # fmt: skip
    assert fitted.history.validation["elbo"][-1] > fitted.history.validation["elbo"][0] + 0.1
    assert set(fitted.history.train) == {"loss"}


BERNOULLI = {"prior": priors.Bernoulli(), "posterior": guides.Bernoulli()}
OPTIMAL = {"likelihood": likelihoods.Gaussian(scale=likelihoods.OptimalScale())}
BATCH_NORM = {"encoder": parts.BatchNormNet}


@pytest.mark.parametrize(
    ("changes", "objective", "message"),
    [
        (
            BERNOULLI,
            Trace_ELBO(),
            r"Trace_ELBO .* guide Bernoulli draws \['z'\].*zero.*TraceGraph_ELBO",
        ),
        (BERNOULLI, TraceMeanField_ELBO(), "without reparametrisation"),
        (BERNOULLI, RenyiELBO(), "without reparametrisation"),
        ({**BERNOULLI, "latent_dim": 11}, ELBO(), r"at most 1024.* 2048 states.*TraceGraph_ELBO"),
        ({**BERNOULLI, **OPTIMAL}, ELBO(), r"ELBO .*without running state; got .*likelihood\$state"),
        (OPTIMAL, RenyiELBO(), r"RenyiELBO .*without running state.*likelihood\$state"),
        (OPTIMAL, TraceGraph_ELBO(), "TraceGraph_ELBO .*without running state"),
        (BATCH_NORM, Trace_ELBO(num_particles=2), r"num_particles=2 .*encoder\$state"),
    ],
)
def test_silently_wrong_objectives_are_refused(x, changes, objective, message):
    with pytest.raises(ValueError, match=message):
        fit(
            tiny(**changes),
            x,
            rng_key=jax.random.key(0),
            objective=objective,
            epochs=1,
            batch_size=10,
        )


def test_the_refusal_is_needed_a_pathwise_gradient_of_a_discrete_guide_averages_zero(x):
    vae = tiny(**BERNOULLI)
    params = random_values(vae)

    def score(objective):
        def loss(p, key):
            return objective.loss(key, p, vae.model, vae.guide, x)

        keys = jax.random.split(jax.random.key(0), 2000)
        grads = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(params, keys)
        bias = np.asarray(grads["encoder$params"]["layers"][1]["bias"])
        return np.abs(bias.mean(0)) / (bias.std(0) / np.sqrt(len(bias)))

    assert score(Trace_ELBO()).max() < 4
    assert score(TraceGraph_ELBO()).max() > 8
    fitted = fit(
        vae,
        x,
        rng_key=jax.random.key(0),
        objective=TraceGraph_ELBO(),
        epochs=2,
        batch_size=10,
        progress=False,
    )
    assert np.isfinite(fitted.history.steps["loss"]).all()


def test_state_and_several_particles_work_in_ours(x):
    for changes in (OPTIMAL, BATCH_NORM):
        fitted = fit(
            tiny(**changes), x, rng_key=jax.random.key(0), objective=ELBO(num_particles=3),
            epochs=3, batch_size=10, progress=False,
        )  # fmt: skip
        assert np.isfinite(fitted.history.steps["loss"]).all()


def test_scale_handler_in_place_of_the_plate_is_refused_at_the_join():
    with pytest.raises(ValueError, match="ScaledPrior.*handlers.scale.*num_data"):
        tiny(prior=parts.ScaledPrior())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta": -1.0}, "finite number >= 0.*got -1.0"),
        ({"beta": float("nan")}, "got nan"),
        ({"beta": optax.constant_schedule(float("nan"))}, "schedule that gives nan at step 0"),
        ({"num_particles": 0}, "positive integer; got 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ELBO(**arguments)


def test_num_data_scales_the_loss_and_not_the_terms(x):
    vae = tiny()
    params, key = random_values(vae), jax.random.key(7)

    def both(params):
        read = terms(key, params, vae.model, vae.guide, x, num_data=200)
        loss = ELBO().loss(key, params, vae.model, vae.guide, x, num_data=200)
        return read.plate_scale, loss, (read.log_likelihood - read.total_kl).sum()

    plate_scale, loss, elbo = run(both, params)
    assert plate_scale == 10.0
    assert float(loss) == pytest.approx(-10 * float(elbo), rel=1e-5)


def test_terms_state_the_mean_scales(x):
    vae = oracle.vae(4, 2)
    params = random_values(vae)

    def scales(params):
        read = terms(jax.random.key(0), params, vae.model, vae.guide, x)
        guide = handlers.substitute(handlers.seed(vae.guide, 0), params)
        q = handlers.trace(guide).get_trace(x)["z"]["fn"]
        model = handlers.substitute(handlers.seed(vae.model, 1), params)
        p = handlers.trace(model).get_trace(x)["x"]["fn"]
        return [read.scale_x, read.scale_z], [jnp.sqrt(d.variance)[:8].mean() for d in (p, q)]

    scales_read, truth = run(scales, params)
    np.testing.assert_allclose(scales_read, truth, rtol=1e-5)
