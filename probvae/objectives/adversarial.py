"""VAE-GAN: a discriminator on x, whose features are the space of reconstruction."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from numpyro import handlers

from probvae import nets
from probvae.checks import Checked
from probvae.nets.layers import check_count
from probvae.objectives.compatibility import check_particles, check_weights
from probvae.objectives.discriminator import for_gradient, log_loss, register, weights
from probvae.objectives.objective import AbstractObjective
from probvae.objectives.particles import over_particles
from probvae.objectives.terms import Terms, terms, trace_model
from probvae.typing import Params, RngKey, Schedule, Shape


@dataclass(frozen=True)
class Discriminator(Checked):
    """D(x) = sigmoid(w phi(x) + b): a net phi to ``num_features`` features, and a line on top of them.

    As a recipe it makes a net from x to the features and, last, the logit log D / (1 - D).

    Args:
        features: a recipe of phi.
        num_features: how many.
    """

    features: nets.Recipe = nets.MLP((256,), jax.nn.leaky_relu)
    num_features: int = 64

    def __post_init__(self) -> None:
        check_count("Discriminator", "num_features", self.num_features)

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


class Discriminated(NamedTuple):
    """Per datum: |phi(x) - phi(f(z))|^2 / 2, and what decoder and discriminator minimise."""

    feature_distance: jax.Array
    generator_loss: jax.Array
    discriminator_loss: jax.Array


@dataclass(frozen=True)
class AdversarialELBO(AbstractObjective):
    """-features |phi(x) - phi(f(z))|^2 / 2 + likelihood E_q[log p(x|z)] - KL(q(z|x) || p(z)).

    f(z) is the mean of p(x|z), phi the features of a discriminator D that the objective owns (site
    ``"objective$params"``). Three players, each moved by its own terms alone: D learns to tell data x
    from reconstructions f(z) and from f(z'), z' ~ p(z); the decoder is moved by the terms above and,
    ``adversary`` times, by -1/2 log D(f(z)) - 1/2 log D(f(z')); encoder, prior and likelihood by the
    terms above. D is blind to them. The losses of the game have no part in the objective's value.

    **Not a bound on log p(x)**, except with ``features=0, likelihood=1``, where the value is the ELBO
    and, with ``adversary=0``, its gradient too. With ``likelihood=0`` a learned scale stays where it
    starts. D's own learning rate comes by site name, as in ``FactorVAE``; D is not kept. Recorded are
    ``feature_distance``, ``generator_loss`` and ``discriminator_loss`` (log 2 where D cannot tell).

    (The paper weighs the decoder's reconstruction by gamma; here its adversary by 1 / gamma. Its
    decoder climbs -log (1 - D), whose gradient fades where D wins; here log D. Reconstructions and
    samples count half each, so that D sees as much data as not.)

    Args:
        features: weight of the distance in features: a number >= 0, or an optax schedule of the step.
        adversary: weight of the game for the decoder, likewise.
        likelihood: weight of log p(x|z), likewise.
        discriminator: ``Discriminator(...)``.
        num_particles: draws of z per datum and step.
        closed_form: take a KL in closed form where that is exact.

    Raises:
        TypeError, ValueError: for a discriminator that is none, or weights or particles out of range.

    Reference: Larsen, Sonderby, Larochelle and Winther 2016, arXiv:1512.09300, algorithm 1.
    """

    fits_points = True
    scheduled = ("features", "adversary", "likelihood")
    reports: ClassVar[tuple[str, ...]] = Discriminated._fields

    features: float | Schedule = 1.0
    adversary: float | Schedule = 1.0
    likelihood: float | Schedule = 0.0
    discriminator: Discriminator = field(default_factory=Discriminator)
    num_particles: int = 1
    closed_form: bool = True

    def __post_init__(self) -> None:
        check_particles(self)
        check_weights(self)
        if not isinstance(self.discriminator, Discriminator):
            raise TypeError(
                "AdversarialELBO(discriminator=...) expects objectives.Discriminator(features=..., "
                f"num_features=...), whose features it compares in; got {self.discriminator!r}."
            )

    def programs(self, model: Callable, guide: Callable) -> tuple[Callable, Callable]:
        model, guide = super().programs(model, guide)

        def registered(*args: Any, **kwargs: Any) -> Any:
            with handlers.trace() as trace:
                value = model(*args, **kwargs)
            shape = trace["x"]["fn"].event_shape
            register(self.discriminator, shape, (self.discriminator.num_features + 1,))
            return value

        return registered, guide

    def read(
        self, rng_key: RngKey, params: Params, model: Any, guide: Any, *args: Any, **kwargs: Any
    ) -> Terms:
        if kwargs.get("mask", args[2] if len(args) > 2 else None) is not None:
            raise ValueError(
                "AdversarialELBO judges whole data, and got a mask: D would tell data by what is missing. "
                "Take objectives.ELBO() for data with missing entries."
            )

        def one(key: RngKey) -> Terms:
            def look(guide_trace: dict, model_trace: dict, rng_key: RngKey) -> Discriminated:
                others = self._others(rng_key, params, model, guide_trace, args, kwargs)
                return self._judge(model_trace, *others)

            options: dict[str, Any] = {"closed_form": self.closed_form, "look": look, **kwargs}
            return terms(key, params, model, guide, *args, **options)

        return over_particles(one, rng_key, self.num_particles)

    def _others(
        self, rng_key: RngKey, params: Params, model: Any, guide_trace: dict, args: tuple, kwargs: dict
    ) -> tuple[jax.Array, jax.Array]:
        """Return f(z) and f(z'), z' ~ p(z), whose gradients reach the decoder alone."""
        stop = jax.lax.stop_gradient
        decoder = {k: v if k.startswith("decoder$") else stop(v) for k, v in params.items()}
        codes = {k: {**site, "value": stop(site["value"])} for k, site in guide_trace.items()}
        runs = (
            trace_model(jax.random.fold_in(rng_key, i), decoder, model, drawn, args, kwargs)
            for i, drawn in ((2, codes), (3, {}))
        )
        again, dreamt = (_mean(run) for run in runs)
        return again, dreamt

    def _judge(self, model_trace: dict, again: jax.Array, dreamt: jax.Array) -> Discriminated:
        stop = jax.lax.stop_gradient
        x, phi = model_trace["x"]["value"], weights(self, model_trace)
        net = nets.function(self.discriminator, x.shape[1:], (self.discriminator.num_features + 1,))
        seen, shown = (net(stop(phi), each) for each in (x, _mean(model_trace)))
        data, old, new = (net(phi, stop(each))[:, -1] for each in (x, again, dreamt))
        found = (log_loss(old, real=False) + log_loss(new, real=False)) / 2
        passed = [log_loss(net(stop(phi), each)[:, -1], real=True) for each in (again, dreamt)]
        return Discriminated(
            feature_distance=jnp.square(seen - shown)[:, :-1].sum(-1) / 2,
            generator_loss=(passed[0] + passed[1]) / 2,
            discriminator_loss=(log_loss(data, real=True) + found) / 2,
        )

    def parts(self, read: Terms, step: jax.Array | None) -> dict[str, jax.Array]:
        return read.seen._asdict()

    def bound(self, read: Terms, step: jax.Array | None) -> jax.Array:
        features, adversary, likelihood = (
            self.weight(w, step) for w in (self.features, self.adversary, self.likelihood)
        )
        judged = read.seen
        value = likelihood * read.log_likelihood - features * judged.feature_distance - read.total_kl
        game = adversary * judged.generator_loss + judged.discriminator_loss
        return (value - for_gradient(game)).mean(0)


def _mean(trace: dict) -> jax.Array:
    """Return the mean of p(x|z)."""
    p = trace["x"]["fn"]
    try:
        return p.mean
    except NotImplementedError as error:
        raise ValueError(
            f"AdversarialELBO judges the mean of p(x|z), and {type(p).__name__} knows none. Take a "
            "likelihood such as likelihoods.Gaussian(scale=likelihoods.FixedScale(1.0))."
        ) from error
