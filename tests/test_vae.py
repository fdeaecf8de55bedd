"""The two programs: what is printed, drawn, conditioned on and left out."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
import parts
import pytest
from compiled import run, structure
from numpyro import handlers
from numpyro.infer import SVI, Predictive, Trace_ELBO

from probvae import VAE, Batch, fit, likelihoods, nets, priors
from probvae.objectives import terms
from probvae.objectives.terms import trace_programs

SHAPE = (3, 2)


def tiny(**changes):
    return VAE(
        event_shape=SHAPE,
        latent_dim=2,
        **{"encoder": nets.MLP((8,)), "decoder": nets.MLP((8,)), **changes},
    )


def binary(n=10):
    return np.asarray(jax.random.bernoulli(jax.random.key(0), 0.4, (n, *SHAPE)), np.float32)


def test_print_states_the_model():
    text = str(tiny(prior=priors.VampPrior(7), context_shape=(3,)))
    assert "z ~ sum_k 1/7 q(z | u_k), k = 1..7" in text
    assert "x | z, context ~ Bernoulli(logits = f(z))" in text
    assert "q(z | x, context) = Normal(m(x), diag(s(x)^2))" in text
    assert "z in R^2, x of shape 3x2" in text


def test_numpyro_renders_the_model():
    relations = numpyro.infer.inspect.get_model_relations(tiny().model, (binary(),))
    assert relations["sample_param"]["x"] is not None
    assert relations["plate_sample"] == {"data": ["z", "x"]}
    assert relations["observed"] == ["x"]


def test_sites_are_the_fields_own():
    vae = tiny(prior=priors.VampPrior(4), likelihood=likelihoods.Gaussian())
    x = binary()
    model = structure(vae.model, x)
    params = {name for name, site in model.items() if site["type"] == "param"}
    assert params == {
        "decoder$params",
        "encoder$params",
        "likelihood$log_scale",
        "prior$pseudo_inputs",
    }
    guide = structure(vae.guide, x)
    assert [name for name, site in guide.items() if site["type"] == "sample"] == ["z"]
    assert guide["z"]["fn"].batch_shape == (10,)


def test_plate_is_the_batch_unless_the_data_are_more():
    vae, x = tiny(), binary()
    for num_data, args in ((None, (10, 10)), (100, (100, 10))):
        assert structure(vae.model, x, num_data=num_data)["data"]["args"] == args
    assert structure(vae.model)["x"]["value"].shape == (1, *SHAPE)


def test_context_reaches_encoder_decoder_and_generation():
    vae = tiny(context_shape=(3,), likelihood=likelihoods.Gaussian())
    x, context = binary(), np.eye(3, dtype=np.float32)[np.arange(10) % 3]
    fitted = fit(
        vae, Batch(x, context), rng_key=jax.random.key(0), epochs=2, batch_size=5, progress=False
    )
    other = np.roll(context, 1, axis=1)
    codes = [np.asarray(fitted.encode(x, given).mean) for given in (context, other)]
    assert np.abs(np.subtract(*codes)).max() > 1e-3
    z = jnp.zeros((10, 2))
    images = [np.asarray(fitted.decode(z, given).mean) for given in (context, other)]
    assert np.abs(np.subtract(*images)).max() > 1e-3
    assert fitted.sample(4, rng_key=jax.random.key(0), context=np.eye(3)).x.shape == (4, 3, *SHAPE)
    generate = Predictive(fitted.model, num_samples=4)
    drawn = jax.eval_shape(generate, jax.random.key(0), None, np.eye(3, dtype=np.float32))
    assert drawn["x"].shape == (4, 3, *SHAPE)
    assert fitted.interpolate(x[0], x[1], num_points=3, context=context[0]).shape == (3, *SHAPE)
    assert fitted.elbo(Batch(x, context), rng_key=jax.random.key(0)).value.shape == (10,)


def test_vamp_prior_with_context_learns_pseudo_contexts():
    vae = tiny(context_shape=(3,), prior=priors.VampPrior(4))
    trace = structure(vae.model, binary(), np.eye(3, dtype=np.float32)[np.arange(10) % 3])
    assert trace["prior$pseudo_context"]["value"].shape == (4, 3)
    assert trace["z"]["fn"].batch_shape == (10,)


def test_the_encoder_sees_filled_data_and_the_mask_only_if_asked():
    x = binary()
    mask = np.asarray(jax.random.bernoulli(jax.random.key(1), 0.5, x.shape))
    for encode_mask in (False, True):
        vae = tiny(encode_mask=encode_mask)
        svi = SVI(vae.model, vae.guide, optax.adam(1e-2), Trace_ELBO())
        params = svi.get_params(jax.jit(svi.init)(jax.random.key(0), x))

        @jax.jit
        def mean(x, mask, vae=vae, params=params):
            guide = handlers.substitute(handlers.seed(vae.guide, 0), params)
            return handlers.trace(guide).get_trace(x, None, mask)["z"]["fn"].mean

        poisoned, filled = (np.where(mask, x, np.float32(other)) for other in (np.nan, 0.0))
        np.testing.assert_allclose(mean(poisoned, mask), mean(filled, mask))
        same = np.allclose(mean(filled, mask), mean(filled, np.ones_like(mask)))
        assert same is not encode_mask


def test_missing_entries_train_from_nan():
    x = np.array(binary(20))
    mask = np.array(jax.random.bernoulli(jax.random.key(1), 0.7, x.shape))
    x[~mask] = np.nan
    vae = tiny(encode_mask=True)
    batch = Batch(x, mask=mask)
    fitted = fit(
        vae,
        batch,
        rng_key=jax.random.key(0),
        validation=batch,
        epochs=3,
        batch_size=5,
        progress=False,
    )
    assert np.isfinite(fitted.history.steps["loss"]).all()
    assert np.isfinite(fitted.log_prob(batch, rng_key=jax.random.key(0), num_particles=10).value).all()


def test_dropout_draws_in_training_and_rests_in_evaluation():
    vae = tiny(encoder=parts.BatchNormNet, decoder=parts.BatchNormNet)
    x = binary()
    svi = SVI(vae.model, vae.guide, optax.adam(1e-2), Trace_ELBO())
    result = svi.run(jax.random.key(0), 5, x, progress_bar=False)
    values = {**result.params, **result.state.mutable_state}

    def means(program):
        def mean(key):
            guide = handlers.substitute(handlers.seed(program, key), values)
            return handlers.trace(guide).get_trace(x)["z"]["fn"].mean

        return np.asarray(run(jax.vmap(mean), jax.random.split(jax.random.key(0))))

    assert np.abs(np.subtract(*means(vae.guide))).max() > 1e-4
    np.testing.assert_array_equal(*means(vae.eval().guide))
    norm = values["encoder$state"]["value"]["norm"]
    assert np.abs(norm["mean"]).max() > 0


@pytest.mark.slow
def test_deep_nets_keep_their_layers_in_order():
    """Twelve layers: keys 0..11 must not be sorted as text when weights are put back."""
    widths = tuple(range(3, 15))
    vae = tiny(encoder=nets.MLP(widths))
    svi = SVI(vae.model, vae.guide, optax.adam(1e-2), Trace_ELBO())
    params = svi.get_params(jax.jit(svi.init)(jax.random.key(0), binary()))
    layers = params["encoder$params"]["layers"]
    assert [layers[i]["layer"]["kernel"].shape[1] for i in range(12)] == list(widths)
    assert terms(jax.random.key(0), params, vae.model, vae.guide, binary()).log_likelihood.shape == (
        10,
    )


def test_optimal_scale_is_the_batchs_in_training_and_the_training_sets_afterwards():
    vae = tiny(likelihood=likelihoods.Gaussian(scale=likelihoods.OptimalScale()))
    x = np.asarray(jax.random.normal(jax.random.key(0), (25, *SHAPE)))
    fitted = fit(vae, x, rng_key=jax.random.key(0), epochs=3, batch_size=10, progress=False)
    state = fitted.values["likelihood$state"]
    assert float(state["count"]) == 25
    assert float(state["mean_square"]) == pytest.approx(mean_square(fitted, x), rel=0.2)
    scale = fitted.decode(jnp.zeros((1, 2))).base_dist.scale
    np.testing.assert_allclose(scale, float(state["mean_square"]) ** 0.5, rtol=1e-5)

    def score(values):
        read = terms(jax.random.key(0), values, vae.model, vae.guide, x[:10])
        _, trace = trace_programs(jax.random.key(0), values, vae.model, vae.guide, (x[:10],), {})
        p = trace["x"]["fn"].base_dist
        return read.log_likelihood.mean(), p.loc, p.scale

    log_likelihood, loc, p_scale = run(score, fitted.values)
    batch = float(((x[:10] - np.asarray(loc)) ** 2).mean())
    np.testing.assert_allclose(p_scale, batch**0.5, rtol=1e-5)
    constant = -0.5 * 6 * (np.log(2 * np.pi * batch) + 1)
    assert float(log_likelihood) == pytest.approx(constant, rel=1e-4)


def mean_square(fitted, x):
    keys = jax.random.split(jax.random.key(4), 50)
    return np.mean([np.square(np.asarray(fitted.reconstruct(x, rng_key=key)) - x) for key in keys])


def test_scales_are_bounded_below():
    vae = tiny(likelihood=likelihoods.Gaussian(scale=likelihoods.PixelScale(min_log=-2.0)))
    outputs = jnp.full((1, *SHAPE, 2), -100.0)
    scope = vae._scope(None, None, None)

    def density(outputs):
        p = vae.likelihood.distribution(outputs, scope)
        return p.log_prob(0.0).sum(), p.scale

    slope, scale = run(jax.grad(density, has_aux=True), outputs)
    np.testing.assert_allclose(scale, np.exp(-2.0), rtol=1e-5)
    assert np.isfinite(slope).all()


def test_vamp_prior_starts_at_data_and_stays_in_their_range():
    x = np.asarray(binary(30))
    vae = tiny(prior=priors.VampPrior(8))
    start = vae.prior.start_at(x, rng_key=jax.random.key(0))
    fitted = fit(
        vae, x, rng_key=jax.random.key(0), init_params=start, epochs=1, batch_size=30,
        optimizer=optax.sgd(0.0), progress=False,
    )  # fmt: skip
    kept = np.asarray(fitted.params["prior$pseudo_inputs"])
    np.testing.assert_allclose(kept, start["prior$pseudo_inputs"], atol=1e-5)
    near = np.abs(kept[:, None] - x[None]).max((2, 3)).min(1)
    assert near.max() < 0.06
    moved = fit(
        vae,
        x,
        rng_key=jax.random.key(0),
        optimizer=optax.adam(0.3),
        epochs=30,
        batch_size=10,
        progress=False,
    )
    u = np.asarray(moved.params["prior$pseudo_inputs"])
    assert u.min() >= 0
    assert u.max() <= 1
    with pytest.raises(ValueError, match="at least components=8 rows of data; got 3"):
        vae.prior.start_at(x[:3], rng_key=jax.random.key(0))


def test_vamp_prior_is_the_mean_of_its_posteriors():
    vae = tiny(prior=priors.VampPrior(4, learned_weights=True))
    x = binary()

    @jax.jit
    def both():
        trace = handlers.trace(handlers.seed(vae.model, 0)).get_trace(x)
        values = {name: site["value"] for name, site in trace.items() if site["type"] == "param"}
        guide = handlers.substitute(handlers.seed(vae.guide, 0), values)
        q = handlers.trace(guide).get_trace(values["prior$pseudo_inputs"])["z"]["fn"]
        z = trace["z"]["value"]
        density = jnp.exp(jax.vmap(q.log_prob)(jnp.broadcast_to(z[:, None], (10, 4, 2)))).mean(1)
        return jnp.exp(trace["z"]["fn"].log_prob(z)), density

    np.testing.assert_allclose(*both(), rtol=1e-5)
