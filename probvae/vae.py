"""The VAE: parts joined into two NumPyro programs."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
from numpyro import handlers
from numpyro.distributions import Distribution
from numpyro.infer.util import compute_log_probs

from probvae import compatibility, guides, inputs, likelihoods, nets, priors
from probvae.checks import check_key, format_value
from probvae.interfaces import (
    AbstractDistributionGuide,
    AbstractDistributionPrior,
    AbstractGuide,
    AbstractLikelihood,
    AbstractPrior,
    AbstractVAE,
    Scope,
)
from probvae.nets.input_transform import transforms_input
from probvae.typing import ArrayLike, RngKey, Shape


@dataclass(frozen=True, kw_only=True)
class VAE(AbstractVAE):
    """A variational autoencoder: a model p(z) p(x|z), and a guide q(z|x).

    ``vae.model`` and ``vae.guide`` are ordinary NumPyro programs of ``(x, context, mask, num_data)``
    with one plate ``"data"``, latent site ``"z"`` (a program prior has its own) and observed site
    ``"x"``. The parts are checked against each other here, once.

    Args:
        event_shape: shape of one datum.
        latent_dim: length of the code z.
        prior: p(z).
        posterior: q(z|x), the family; the encoder gives its parameters.
        likelihood: p(x|z), the family; the decoder gives its parameters.
        encoder: a net, from a datum to what the posterior needs.
        decoder: a net, from a code to what the likelihood needs.
        context_shape: shape of what is known about a datum beside x (labels, covariates): it enters
            encoder, decoder and prior (labels of a ``ClassAndStyle`` only that). ``()`` is none.
        encode_mask: whether the encoder is also told which entries are observed.
        training: how dropout, batch statistics and training-set quantities behave.
        frozen: roles that are in evaluation mode even in training (``fit(freeze=...)`` says which).

    Raises:
        TypeError, ValueError: where two parts do not fit, naming both and the remedy.

    Reference: Kingma and Welling 2014, arXiv:1312.6114; Rezende et al. 2014, arXiv:1401.4082.
    """

    event_shape: Shape
    latent_dim: int
    prior: AbstractPrior = field(default_factory=priors.StandardNormal)
    posterior: AbstractGuide = field(default_factory=guides.MeanField)
    likelihood: AbstractLikelihood = field(default_factory=likelihoods.Bernoulli)
    encoder: nets.Recipe = field(default_factory=nets.MLP)
    decoder: nets.Recipe = field(default_factory=nets.MLP)
    context_shape: Shape = ()
    encode_mask: bool = False
    training: bool = True
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        compatibility.check_fields(self)
        compatibility.check_programs(self)

    def model(
        self,
        x: ArrayLike | None = None,
        context: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        num_data: int | None = None,
    ) -> jax.Array:
        """Run the model: z ~ p(z), x ~ p(x|z).

        Args:
            x: data ``(batch, *event_shape)``, or None to draw it.
            context: ``(batch, *context_shape)``.
            mask: ``(batch, *event_shape)``, true where x is observed.
            num_data: size of the data set that x is a batch of; only needed when a parameter has a
                prior. The plate's size is otherwise the batch.

        Returns:
            the value at site ``"x"``.
        """
        scope = self._scope(x, context, mask)
        draw = _drawer(self.prior, AbstractDistributionPrior, self._held("prior", scope))
        decode = self._decoder()
        with self._plate(scope, num_data):
            return numpyro.sample("x", self._p_x(decode, draw(), scope), obs=scope.x)

    def p_x(self, z: jax.Array, context: jax.Array | None = None) -> Distribution:
        """Return p(x|z) for codes ``(batch, code_dim)``, inside a program or a handler with weights."""
        return self._p_x(self._decoder(), z, self._scope(None, context, None))

    def encoded(self, x: ArrayLike, context: Any = None, mask: Any = None) -> jax.Array:
        """Return what the encoder tells the posterior, ``(batch, *output_shape)``, as ``p_x``."""
        scope = self._scope(x, context, mask)
        return self._encoder(training=self.training)(scope.x, scope.context, scope.mask)

    def guide(
        self,
        x: ArrayLike | None = None,
        context: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        num_data: int | None = None,
    ) -> None:
        """Run the guide: z ~ q(z|x). Arguments as for ``model``; raises ValueError without x."""
        if x is None:
            raise ValueError(
                f"the guide expects data x of shape (batch, {', '.join(map(str, self.event_shape))}); "
                "got None. To generate, run `Predictive(vae.model, params=...)`: it needs no guide."
            )
        scope = self._scope(x, context, mask)
        if self.posterior.uses_log_joint:
            scope = scope._replace(log_joint=self._log_joint(scope))
        self._decoder(nets.register_posterior)  # of its weights, where they have a prior
        encode = self._encoder(training=self.training)
        with self._plate(scope, num_data):
            outputs = encode(scope.x, scope.context, scope.mask)
            _drawer(self.posterior, AbstractDistributionGuide, outputs, self._held("guide", scope))()

    def eval(self) -> "VAE":
        """Return the same VAE in evaluation mode (nets, running state, training-set quantities)."""
        return self._with(training=False)

    def observe(self, rng_key: RngKey, x: ArrayLike) -> jax.Array:
        """Return data as the likelihood scores them: with its noise (``Spread``), else as they are.

        ``fit`` does this at each step; those who run plain SVI call it on every batch.
        """
        x = inputs.check_array("x", x, self.event_shape, "event_shape")
        noise = self.likelihood.observation
        if noise is not None:
            check_key(rng_key)
        return x if noise is None else noise(rng_key, x)

    def without_noise(self) -> "VAE":
        """Return the same VAE with the likelihood of x itself, where ``Spread`` adds noise to it."""
        return self._with(likelihood=self.likelihood.noiseless)

    def _with(self, **changes: Any) -> "VAE":
        same = copy.copy(self)  # its parts are joined and checked already
        for name, value in changes.items():
            object.__setattr__(same, name, value)
        return same

    def _plate(self, scope: Scope, num_data: int | None) -> numpyro.plate:
        given = scope.x if scope.x is not None else scope.context
        batch = 1 if given is None else given.shape[0]
        return numpyro.plate("data", num_data or batch, subsample_size=batch, dim=-1)

    def _scope(self, x: Any, context: Any, mask: Any) -> Scope:
        x, context, mask = inputs.check_inputs(self, x, context, mask)
        scope = Scope(
            latent_dim=self.latent_dim,
            event_shape=self.event_shape,
            context_shape=self.context_shape,
            training=self.training,
            data_range=self.likelihood.data_range,
            x=x,
            context=context,
            mask=mask,
            posterior=self._posterior,
        )
        return scope._replace(top_down=self.prior.top_down(self._held("prior", scope)))

    def _net(self, role: str, *shapes: Shape, training: bool, register: Any = nets.register) -> Any:
        training = training and role not in self.frozen
        return register(role, getattr(self, role), *shapes, training=training)

    def _held(self, role: str, scope: Scope) -> Scope:
        return scope._replace(training=False) if role in self.frozen else scope

    def _encoder(self, *, training: bool) -> Callable[..., jax.Array]:
        """Register the encoder: a function of (x, context, mask), joined into its one input."""
        spatial = getattr(self.encoder, "spatial", False)
        extra = (self.event_shape,) * self.encode_mask + (self.context_shape,) * self._has_context
        in_shape = inputs.join_shapes(self.event_shape, extra, spatial=spatial)
        out_shape = self.posterior.output_shape(self.latent_dim)
        net = self._net("encoder", in_shape, out_shape, training=training)

        view = self._encoder_view

        def encode(x: jax.Array, context: Any = None, mask: Any = None) -> jax.Array:
            seen = jnp.ones_like(x) if mask is None else mask.astype(x.dtype)
            told = (
                [x if view is None else view(x)]
                + [seen] * self.encode_mask
                + [context] * self._has_context
            )
            return net(inputs.join_inputs(told, spatial=spatial))

        return encode

    def _decoder(self, register: Any = nets.register) -> Any:
        code = (self.prior.code_dim(self.latent_dim),)
        extra = (self.context_shape,) * self._has_context
        in_shape = inputs.join_shapes(code, extra, spatial=False)
        out_shape = self.likelihood.output_shape(self.event_shape)
        shapes = in_shape, out_shape
        return self._net("decoder", *shapes, training=self.training, register=register)

    @property
    def _encoder_view(self) -> Callable[[jax.Array], jax.Array] | None:
        """What the likelihood lets the encoder see of x, unless the encoder transforms x itself."""
        own = transforms_input(self.encoder)
        return None if own else self.likelihood.encoder_view

    @property
    def _has_context(self) -> bool:
        return bool(self.context_shape) and not self.prior.observes_context

    def _p_x(self, decoder: Callable, z: jax.Array, scope: Scope) -> Distribution:
        parts = [self.prior.code(z)]
        if self._has_context and scope.context is not None:
            parts.append(scope.context)
        code = inputs.join_inputs(parts, spatial=False)
        p = self.likelihood.distribution(decoder(code), self._held("likelihood", scope))
        if scope.mask is not None:
            p = p.mask(scope.mask)
        return p.to_event(len(self.event_shape) - p.event_dim)

    def _posterior(self, x: jax.Array, context: jax.Array | None = None) -> Distribution:
        """q(z|x), or of the code on top, in evaluation mode: what a VampPrior mixes."""
        scope = self._scope(x, context, None)._replace(training=False)
        outputs = self._encoder(training=False)(scope.x, scope.context, None)
        guide: Any = self.posterior
        whole = isinstance(guide, AbstractDistributionGuide)
        q = (guide.distribution if whole else guide.top)(outputs, scope)
        if q is None or not guide.is_density:
            raise compatibility.incompatible_parts_error(self)
        return q

    def _log_joint(self, scope: Scope) -> Callable[[jax.Array], jax.Array]:
        """Register the model's parameters now; return z -> log p(x, z) per datum, in nats.

        The inner run of the model is blocked: none of its sites may reach the guide's trace.
        """
        data = (scope.x, scope.context, scope.mask)
        start = {"z": jnp.zeros((len(jnp.asarray(scope.x)), self.latent_dim))}
        visible = handlers.block(
            handlers.substitute(self.eval().model, start),
            hide_fn=lambda site: site["type"] in ("sample", "plate", "deterministic"),
        )
        found = handlers.trace(visible).get_trace(*data)
        values = {name: site["value"] for name, site in found.items()}

        def log_joint(z: jax.Array) -> jax.Array:
            with handlers.block():
                log_probs, _ = compute_log_probs(
                    self.eval().model, data, {}, {**values, "z": z}, sum_log_prob=False
                )
            if "z" not in log_probs:
                raise ValueError(
                    f"the prior {type(self.prior).__name__} and the posterior "
                    f"{type(self.posterior).__name__} do not fit: it climbs log p(x, z) at the site "
                    '"z", and the prior has none. Take a prior that is one distribution, such as '
                    "priors.StandardNormal()."
                )
            return log_probs["z"] + log_probs["x"]

        return log_joint

    def __str__(self) -> str:
        shape, given = "x".join(map(str, self.event_shape)), ", context" * self._has_context
        view = self._encoder_view
        lines = [
            f"z ~ {self.prior}",
            f"x | z{given} ~ {self.likelihood}",
            f"q(z | x{given}) = {self.posterior}\nz in R^{self.latent_dim}, x of shape {shape}",
            f"encoder {self.encoder}{'' if view is None else f' of {view}'}\ndecoder {self.decoder}",
        ]
        return "\n".join(lines)


def _drawer(part: Any, distribution_kind: Any, *told: Any) -> Callable[[], Any]:
    """Register a part's parameters now; return what draws z later, inside the plate."""
    if isinstance(part, distribution_kind):
        p_z = part.distribution(*told)
        return lambda: numpyro.sample("z", p_z)
    return lambda: part.sample(*told)


def check_vae(name: str, vae: Any) -> None:
    """Raise unless ``vae`` is a VAE."""
    from probvae.vae import VAE

    if not isinstance(vae, VAE):
        raise TypeError(f"{name} expects a probvae.VAE; got {format_value(vae)}.")
