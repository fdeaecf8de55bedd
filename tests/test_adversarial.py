"""Three players in one loss: whom each gradient reaches."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpyro.infer import SVI

from probvae import VAE, Batch, fit, likelihoods, nets, priors
from probvae.objectives import ELBO, AdversarialELBO, Discriminator

KEY = jax.random.key(3)
X = np.asarray(2 + jax.random.normal(jax.random.key(1), (32, 3, 2)), np.float32)
JUDGE = Discriminator(nets.MLP((16,), jax.nn.leaky_relu), 5)
VAE_ = VAE(
    event_shape=(3, 2),
    latent_dim=2,
    prior=priors.VampPrior(3),  # which has the encoder in it
    likelihood=likelihoods.Gaussian(scale=likelihoods.LearnedScale()),
    encoder=nets.MLP((8,)),
    decoder=nets.MLP((8,)),
)
VAES = ("encoder$params", "decoder$params", "prior$pseudo_inputs", "likelihood$log_scale")


def objective(features, adversary, likelihood):
    return AdversarialELBO(features, adversary, likelihood, discriminator=JUDGE)


@pytest.fixture(scope="module")
def start():
    programs = objective(1.0, 1.0, 0.0).programs(VAE_.model, VAE_.guide)
    svi = SVI(*programs, optax.sgd(0.0), objective(1.0, 1.0, 0.0))
    return programs, svi.get_params(jax.jit(svi.init)(KEY, X))


@pytest.fixture(scope="module")
def slopes(start):
    programs, params = start

    def slope(weights):
        made = objective(*weights)
        return jax.jit(jax.value_and_grad(lambda p: made.loss(KEY, p, *programs, X)))(params)

    every = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (2.0, 0.0, 1.0))
    return {weights: slope(weights) for weights in every}


def differ(a, b):
    """Names of sites whose gradients differ."""
    names = {k for k in a[1] for s, t in [(a[1][k], b[1][k])] if not close(s, t)}
    return {name.split("$")[0] for name in names}


def close(a, b):
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.allclose(x, y, rtol=1e-4, atol=1e-4) for x, y in leaves)


def test_the_neutral_setting_is_the_elbo_in_value_and_gradient(start, slopes):
    _, params = start
    own = {name: params[name] for name in VAES}
    value, slope = jax.jit(
        jax.value_and_grad(lambda p: ELBO().loss(KEY, p, VAE_.model, VAE_.guide, X))
    )(own)
    neutral = slopes[0.0, 0.0, 1.0]
    assert float(neutral[0]) == pytest.approx(float(value), rel=1e-6)
    assert close({name: neutral[1][name] for name in VAES}, slope)


def test_the_adversary_moves_the_decoder_alone_and_is_no_part_of_the_value(slopes):
    neutral, game = slopes[0.0, 0.0, 1.0], slopes[0.0, 1.0, 1.0]
    assert differ(neutral, game) == {"decoder"}
    assert float(neutral[0]) == pytest.approx(float(game[0]), rel=1e-6)


def test_features_move_encoder_and_decoder_and_never_the_discriminator(slopes):
    neutral, one, two = (slopes[f, 0.0, 1.0] for f in (0.0, 1.0, 2.0))
    assert differ(neutral, one) == {"encoder", "decoder"}
    assert float(two[0] - neutral[0]) == pytest.approx(2 * float(one[0] - neutral[0]), rel=1e-3)
    assert float(one[0]) > float(neutral[0]), "a distance is a price"


def test_the_discriminator_is_moved_by_its_loss_alone_in_every_setting(start, slopes):
    programs, params = start

    def loss(phi):
        told = {**params, "objective$params": phi}
        return objective(1.0, 1.0, 0.0).read(KEY, told, *programs, X).extra.discriminator_loss.sum()

    want = jax.jit(jax.grad(loss))(params["objective$params"])
    assert np.abs(want["logit"]["kernel"]).max() > 1e-2
    for _, slope in slopes.values():
        assert close(slope["objective$params"], want)


def test_each_player_plays_to_win(start, slopes):
    """A small step down the decoder's part of the game fools D more; one of D's own tells better."""
    programs, params = start
    judged = jax.jit(lambda p: objective(1.0, 1.0, 0.0).read(KEY, p, *programs, X).extra)
    game = jax.tree.map(jnp.subtract, slopes[0.0, 1.0, 1.0][1], slopes[0.0, 0.0, 1.0][1])
    before = judged(params)

    def after(name, slope):
        moved = jax.tree.map(lambda p, s: p - 1e-3 * s / len(X), params[name], slope)
        return judged({**params, name: moved})

    fooled = after("decoder$params", game["decoder$params"])
    assert fooled.generator_loss.mean() < before.generator_loss.mean()
    told = after("objective$params", slopes[0.0, 0.0, 1.0][1]["objective$params"])
    assert told.discriminator_loss.mean() < before.discriminator_loss.mean()


@pytest.mark.slow
def test_a_fit_records_the_game_and_keeps_the_vae_alone():
    """A discriminator with a rate of its own learns to tell: the data are far from 0."""

    def players(params):
        return {k: "D" if k.startswith("objective$") else "VAE" for k in params}

    rates = {"VAE": optax.adam(1e-4), "D": optax.adam(1e-2)}
    fitted = fit(
        VAE_, X, rng_key=KEY, objective=objective(1.0, 1.0, 0.0), epochs=40, batch_size=32,
        optimizer=optax.multi_transform(rates, players), validation=X[:4], progress=False,
    )  # fmt: skip
    steps = fitted.history.steps
    assert all(np.isfinite(series).all() for series in steps.values())
    assert steps["discriminator_loss"][-1] < 0.3 < np.log(2) - 0.2 < steps["discriminator_loss"][0]
    assert steps["generator_loss"][-1] > steps["generator_loss"][0]
    assert set(fitted.values) == set(VAES)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: AdversarialELBO(-1.0), r"features=.*got -1.0", id="weight"),
        pytest.param(
            lambda: fit(VAE_, Batch(X, None, np.ones_like(X, bool)), rng_key=KEY, objective=AdversarialELBO(),
                        epochs=1, batch_size=8),
            "without missing entries.*got a mask", id="mask",
        ),
        pytest.param(
            lambda: AdversarialELBO().loss(KEY, {}, VAE_.model, VAE_.guide, X),
            "register its discriminator", id="plain SVI",
        ),
    ],
)  # fmt: skip
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_plain_net_is_no_discriminator():
    with pytest.raises(TypeError):
        AdversarialELBO(discriminator=nets.MLP((8,)))
