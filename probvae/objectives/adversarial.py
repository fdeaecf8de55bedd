"""VAE-GAN: reconstructions are compared in the features of a discriminator on x."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from numpyro import handlers

from probvae import nets
from probvae.checks import Checked, PositiveInt, Requirement
from probvae.objectives.compatibility import check_weights
from probvae.objectives.discriminator import (
    discriminator_weights,
    gradient_only,
    log_loss,
    register_discriminator,
)
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.particles import over_particles
from probvae.objectives.terms import Terms, terms, trace_model
from probvae.typing import Params, Program, RngKey, Schedule, Shape


@dataclass(frozen=True)
class Discriminator(Checked):
    r"""A discriminator $D(x) = \sigma(w^T \phi(x) + b)$: a net for the features, and a linear layer.

    As a recipe it builds a net from x to the features $\phi(x)$ and, as last output, the logit
    $\log D / (1 - D)$.

    Args:
        features: a recipe of phi.
        num_features: the number of features.
    """

    features: nets.Recipe = nets.MLP((256,), jax.nn.leaky_relu)
    num_features: PositiveInt = 64

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        return _DiscriminatorModule(
            self.features(in_shape, (self.num_features,), rngs=rngs), self.num_features, rngs
        )


class _DiscriminatorModule(nnx.Module):
    def __init__(self, features: nnx.Module, num_features: int, rngs: nnx.Rngs) -> None:
        self.features = features
        self.logit = nnx.Linear(num_features, 1, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        phi = self.features(x)  # type: ignore[operator]
        return jnp.concatenate([phi, self.logit(phi)], axis=-1)


class AdversarialTerms(NamedTuple):
    """The terms of the game, per datum: the distance in features, and two losses to minimise."""

    feature_distance: jax.Array
    generator_loss: jax.Array
    discriminator_loss: jax.Array


@dataclass(frozen=True)
class AdversarialELBO(AbstractObjective):
    r"""VAE-GAN: a distance in the features of a discriminator replaces, or joins, the likelihood.

    $-a |\phi(x) - \phi(f(z))|^2 / 2 + l E_q[\log p(x|z)] - \mathrm{KL}(q(z|x) || p(z))$, with the
    weights a = ``features`` and l = ``likelihood``.

    f(z) is the mean of p(x|z). $\phi$ are the features of a discriminator D that belongs to the
    objective (site ``"objective$params"``). Three players learn in one step, each from its own terms:

    - D learns to tell data x from reconstructions f(z) and from samples f(z'), $z' \sim p(z)$.
    - The decoder learns from the formula above and, weighted by ``adversary``, from
      $-\log D(f(z)) / 2 - \log D(f(z')) / 2$.
    - Encoder, prior and likelihood learn from the formula above.

    The losses of the game are not part of the objective's value. **The value is not a bound on
    log p(x)**, except with ``features=0, likelihood=1``, where it is the ELBO. With ``adversary=0`` its
    gradient is then the ELBO's, too. With ``likelihood=0`` a learned scale keeps its initial value.

    Set the learning rate of D by site name, as in ``FactorVAE``. D is not part of the fitted VAE. The
    history records ``feature_distance``, ``generator_loss`` and ``discriminator_loss`` (log 2 if D
    cannot tell data from reconstructions).

    Args:
        features: weight of the distance in features: a number >= 0, or an optax schedule of the step.
        adversary: weight of the game for the decoder: a number or a schedule, as for ``features``.
        likelihood: weight of log p(x|z): a number or a schedule, as for ``features``.
        discriminator: ``Discriminator(...)``.
        num_particles: draws of z per datum and step.
        closed_form: use the closed form of a KL where it is exact.

    Raises:
        ValueError: for a weight out of range.

    Reference: Larsen, Sonderby, Larochelle and Winther 2016, arXiv:1512.09300, algorithm 1. They weight
    the decoder's reconstruction by gamma, which equals ``adversary`` = 1 / gamma here. Their decoder
    ascends -log (1 - D), whose gradient vanishes when D wins. Here it ascends log D. Here
    reconstructions and samples count one half each, so that D sees as many real as generated data.
    """

    accepts_point_guides = True
    scheduled = ("features", "adversary", "likelihood")
    reports: ClassVar[tuple[str, ...]] = AdversarialTerms._fields

    features: float | Schedule = 1.0
    adversary: float | Schedule = 1.0
    likelihood: float | Schedule = 0.0
    discriminator: Annotated[
        Discriminator, Requirement("objectives.Discriminator(features=..., num_features=...)")
    ] = field(default_factory=Discriminator)
    num_particles: PositiveInt = 1
    closed_form: bool = True

    def __post_init__(self) -> None:
        check_weights(self)

    def programs(self, model: Program, guide: Program) -> tuple[Program, Program]:
        model, guide = super().programs(model, guide)

        def model_with_discriminator(*args: Any, **kwargs: Any) -> Any:
            with handlers.trace() as trace:
                value = model(*args, **kwargs)
            shape = trace["x"]["fn"].event_shape
            register_discriminator(self.discriminator, shape, (self.discriminator.num_features + 1,))
            return value

        return model_with_discriminator, guide

    def read(
        self,
        rng_key: RngKey,
        params: Params,
        model: Program,
        guide: Program,
        *args: Any,
        **kwargs: Any,
    ) -> Terms:
        if kwargs.get("mask", args[2] if len(args) > 2 else None) is not None:
            raise ValueError(
                "AdversarialELBO expects data without missing entries, because D would recognise data "
                "by them; got a mask. Use objectives.ELBO()."
            )

        def read_particle(key: RngKey) -> Terms:
            def look(guide_trace: dict, model_trace: dict, rng_key: RngKey) -> AdversarialTerms:
                generated = self._generate(rng_key, params, model, guide_trace, args, kwargs)
                return self._compute_game(model_trace, *generated)

            options: dict[str, Any] = {"closed_form": self.closed_form, "look": look, **kwargs}
            return terms(key, params, model, guide, *args, **options)

        return over_particles(read_particle, rng_key, self.num_particles)

    def _generate(
        self,
        rng_key: RngKey,
        params: Params,
        model: Program,
        guide_trace: dict,
        args: tuple,
        kwargs: dict,
    ) -> tuple[jax.Array, jax.Array]:
        """Return f(z) and f(z'), z' ~ p(z), whose gradients reach the decoder alone."""
        stop = jax.lax.stop_gradient
        decoder = {k: v if k.startswith("decoder$") else stop(v) for k, v in params.items()}
        codes = {k: {**site, "value": stop(site["value"])} for k, site in guide_trace.items()}
        # An empty guide trace replays nothing, so that the model draws z' itself. `terms` uses the keys
        # 0 and 1 of the particle.
        traces = (
            trace_model(jax.random.fold_in(rng_key, i), decoder, model, replayed, args, kwargs)
            for i, replayed in ((2, codes), (3, {}))
        )
        reconstruction, sample = (_mean(trace) for trace in traces)
        return reconstruction, sample

    def _compute_game(
        self, model_trace: dict, reconstruction: jax.Array, sample: jax.Array
    ) -> AdversarialTerms:
        # Who receives which gradient is decided by what is stopped:
        #   feature_distance     stop(phi), f(z) as the VAE computed it    -> encoder and decoder
        #   generator_loss       stop(phi), f(z) and f(z') of `_generate`  -> decoder alone
        #   discriminator_loss   phi, x and stopped f(z), f(z')            -> discriminator alone
        # One step of the optimizer moves all three players, from the same parameters.
        stop = jax.lax.stop_gradient
        x, phi = model_trace["x"]["value"], discriminator_weights(self, model_trace)
        net = nets.function(self.discriminator, x.shape[1:], (self.discriminator.num_features + 1,))
        features_x, features_mean = (net(stop(phi), each) for each in (x, _mean(model_trace)))
        logit_x, logit_reconstruction, logit_sample = (
            net(phi, stop(each))[:, -1] for each in (x, reconstruction, sample)
        )
        loss_generated = (
            log_loss(logit_reconstruction, real=False) + log_loss(logit_sample, real=False)
        ) / 2
        generator = [
            log_loss(net(stop(phi), each)[:, -1], real=True) for each in (reconstruction, sample)
        ]
        return AdversarialTerms(
            feature_distance=jnp.square(features_x - features_mean)[:, :-1].sum(-1) / 2,
            generator_loss=(generator[0] + generator[1]) / 2,
            discriminator_loss=(log_loss(logit_x, real=True) + loss_generated) / 2,
        )

    def parts(self, read: Terms, step: jax.Array | None) -> dict[str, jax.Array]:
        return read.extra._asdict()

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        features, adversary, likelihood = (
            self.weight(w, step) for w in (self.features, self.adversary, self.likelihood)
        )
        game = read.extra
        value = likelihood * read.log_likelihood - features * game.feature_distance - read.total_kl
        losses = adversary * game.generator_loss + game.discriminator_loss
        return (value - gradient_only(losses)).mean(0)


def _mean(trace: dict) -> jax.Array:
    """Return the mean of p(x|z)."""
    p = trace["x"]["fn"]
    try:
        return p.mean
    except NotImplementedError as error:
        raise ValueError(
            f"AdversarialELBO expects a likelihood with a mean; {type(p).__name__} has none. Use "
            "likelihoods.Gaussian(scale=likelihoods.FixedScale(1.0))."
        ) from error
