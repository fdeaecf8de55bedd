"""``VAE``: a prior, a guide, a likelihood and two nets as two NumPyro programs, model and guide."""

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
from numpyro import handlers
from numpyro.distributions import Distribution
from numpyro.infer.util import compute_log_probs

from probvae import compatibility, guides, html, inputs, likelihoods, nets, priors
from probvae.checks import check_key, format_value
from probvae.data import Table
from probvae.equations import equation
from probvae.html import format_shape
from probvae.interfaces import (
    AbstractDistributionGuide,
    AbstractDistributionPrior,
    AbstractGuide,
    AbstractLikelihood,
    AbstractPrior,
    AbstractVAE,
    Scope,
    hide_missing,
)
from probvae.nets.input_transform import transforms_input
from probvae.short_repr import short_repr
from probvae.table_vae import table_parts
from probvae.typing import ArrayLike, RngKey, Shape


@short_repr
@dataclass(frozen=True, kw_only=True)
class VAE(AbstractVAE):
    """A variational autoencoder: a model p(z) p(x|z) and a guide q(z|x).

    ``vae.model`` and ``vae.guide`` are ordinary NumPyro programs of ``(x, context, mask, num_data)``.
    They have one plate ``"data"``, the latent site ``"z"`` (a program prior has its own sites) and the
    observed site ``"x"``. Incompatible parts raise an error when you build the VAE.

    Args:
        event_shape: shape of one datum.
        latent_dim: length of the code z.
        prior: p(z).
        posterior: the family of q(z|x), with parameters from the encoder.
        likelihood: the family of p(x|z), with parameters from the decoder.
        encoder: a net from a datum to the parameters of q(z|x).
        decoder: a net from a code to the parameters of p(x|z).
        context_shape: shape of the conditioning input (labels, covariates). It enters encoder, decoder
            and prior. Labels of a ``ClassAndStyle`` prior enter only the prior. ``()`` for none.
        encode_mask: whether the mask of observed entries is a further input of the encoder.
        training: False for evaluation mode of dropout, batch statistics and training-set quantities.
        frozen: roles in evaluation mode even in training, set by ``fit(freeze=...)``.

    Raises:
        TypeError, ValueError: for incompatible parts. The error names both and a remedy.

    Reference: Kingma and Welling 2014, arXiv:1312.6114; Rezende et al. 2014, arXiv:1401.4082.

    Examples:
        >>> from probvae import VAE, likelihoods, nets
        >>> net, likelihood = nets.MLP((16,)), likelihoods.Gaussian()
        >>> print(VAE(event_shape=(3,), latent_dim=2, likelihood=likelihood, encoder=net, decoder=net))
        z ~ Normal(0, I)
        x | z ~ Normal(f(z), sigma^2), sigma learned
        q(z | x) = Normal(m(x), diag(s(x)^2))
        z in R^2, x of shape 3
        encoder MLP(hidden=(16,), activation=relu)
        decoder MLP(hidden=(16,), activation=relu)
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

    @classmethod
    def for_table(
        cls,
        table: Table,
        *,
        latent_dim: int | None = None,
        likelihoods: Mapping[str, AbstractLikelihood] | None = None,
        **parts: Any,
    ) -> "VAE":
        """Return a VAE for a table: each column has a likelihood of its type.

        ``print`` shows the composition. Real numbers and dates are Gaussian, positive numbers
        lognormal, counts negative binomial, and levels Bernoulli, categorical or cumulative logit
        (``Ordinal``). Whole numbers have a probability (``Rounded``). Numbers are ``Standardized`` and
        have a scale for each column, so that log p(x) is per row in the units of the file. The prior is
        a mixture, with components for clusters of rows. The encoder sees standardized numbers, one-hot
        codes (or embeddings), and the mask of columns with gaps (``nets.ColumnInputs``).

        Args:
            table: the table to train on. ``fit`` stores its schema.
            latent_dim: length of the code z. By default one less than the columns, and at most 32.
            likelihoods: another likelihood for some columns, by name, such as
                ``{"income": likelihoods.Standardized(likelihoods.StudentT())}``.
            parts: any argument of ``VAE``, to swap a part.

        Raises:
            TypeError, ValueError: for another object than a table, an unknown column, or incompatible
                parts.

        Examples:
            >>> from probvae import VAE, data
            >>> columns = {"height": [1.6, 1.7, None, 1.8], "smokes": ["yes", "no", "no", None]}
            >>> table = data.Table(columns)
            >>> vae = VAE.for_table(table, latent_dim=1)
            >>> vae.likelihood.sizes
            (1, 1)
        """
        chosen = table_parts(table, latent_dim=latent_dim, likelihoods=likelihoods, **parts)
        return cls(**chosen)

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
            num_data: size of the whole data set if x is a batch of it. The plate has this size, or
                that of the batch by default. You need it only if a parameter has a prior.

        Returns:
            the value at site ``"x"``.
        """
        # Nets are registered outside of the plate, as their parameters belong to all data.
        scope = self._scope(x, context, mask)
        draw = _register(self.prior, AbstractDistributionPrior, self._freeze("prior", scope))
        decode = self._decoder()
        with self._plate(scope, num_data):
            return numpyro.sample("x", self._p_x(decode, draw(), scope), obs=scope.x)

    def p_x(self, z: jax.Array, context: jax.Array | None = None) -> Distribution:
        """Return p(x|z) for codes ``(batch, code_dim)``.

        Call it inside a program or a ``substitute`` handler, which supplies the weights.
        """
        return self._p_x(self._decoder(), z, self._scope(None, context, None))

    def run_encoder(
        self, x: ArrayLike, context: ArrayLike | None = None, mask: ArrayLike | None = None
    ) -> jax.Array:
        """Return the encoder's output ``(batch, *output_shape)``. Call it as ``p_x``."""
        scope = self._scope(x, context, mask)
        return self._encoder(training=self.training)(scope.x, scope.context, scope.mask)

    def guide(
        self,
        x: ArrayLike | None = None,
        context: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        num_data: int | None = None,
    ) -> None:
        """Run the guide: z ~ q(z|x). Arguments are those of ``model``.

        Raises:
            ValueError: without x.
        """
        if x is None:
            raise ValueError(
                f"the guide expects data x of shape (batch, {', '.join(map(str, self.event_shape))}); "
                "got None. To generate data, run `Predictive(vae.model, params=...)` without a guide."
            )
        scope = self._scope(x, context, mask)
        if self.posterior.uses_log_joint:
            scope = scope._replace(log_joint=self._log_joint(scope))
        self._decoder(nets.register_posterior)  # q(w), if the decoder's weights have a prior
        encode = self._encoder(training=self.training)
        with self._plate(scope, num_data):
            outputs = encode(scope.x, scope.context, scope.mask)
            _register(
                self.posterior, AbstractDistributionGuide, outputs, self._freeze("guide", scope)
            )()

    def eval(self) -> "VAE":
        """Return the same VAE in evaluation mode: dropout, running state, training-set quantities."""
        return self._with(training=False)

    def observe(self, rng_key: RngKey, x: ArrayLike) -> jax.Array:
        """Return data as the likelihood scores them: with its noise (``Spread``), or unchanged.

        ``fit`` calls it at each step. If you run plain SVI, call it on every batch.
        """
        x = inputs.check_array("x", x, self.event_shape, "event_shape")
        noise = self.likelihood.observation
        if noise is not None:
            check_key(rng_key)
        return x if noise is None else noise(rng_key, x)

    def without_noise(self) -> "VAE":
        """Return the same VAE with the likelihood of x itself, without the noise of ``Spread``."""
        return self._with(likelihood=self.likelihood.noiseless)

    def _with(self, **changes: Any) -> "VAE":
        same = copy.copy(self)  # without __post_init__, as its parts are already checked
        for name, value in changes.items():
            object.__setattr__(same, name, value)
        return same

    def _plate(self, scope: Scope, num_data: int | None) -> numpyro.plate:
        data = scope.x if scope.x is not None else scope.context
        batch = 1 if data is None else data.shape[0]
        return numpyro.plate("data", num_data or batch, subsample_size=batch, dim=-1)

    def _scope(self, x: ArrayLike | None, context: ArrayLike | None, mask: ArrayLike | None) -> Scope:
        data = inputs.check_inputs(self, x, context, mask)
        scope = Scope(
            latent_dim=self.latent_dim,
            event_shape=self.event_shape,
            context_shape=self.context_shape,
            training=self.training,
            data_range=self.likelihood.data_range,
            x=data.x,
            context=data.context,
            mask=data.mask,
            posterior=self._posterior,
        )
        return scope._replace(top_down=self.prior.top_down(self._freeze("prior", scope)))

    def _net(
        self, role: str, *shapes: Shape, training: bool, register: Callable = nets.register
    ) -> Any:
        training = training and role not in self.frozen
        return register(role, getattr(self, role), *shapes, training=training)

    def _freeze(self, role: str, scope: Scope) -> Scope:
        """Return the scope in evaluation mode for a frozen role."""
        return scope._replace(training=False) if role in self.frozen else scope

    def _encoder(self, *, training: bool) -> Callable[..., jax.Array]:
        """Register the encoder, and return it as a function of x, context and mask."""
        spatial = getattr(self.encoder, "spatial", False)
        extra = (self.event_shape,) * self.encode_mask + (self.context_shape,) * self._has_context
        in_shape = inputs.join_shapes(self.event_shape, extra, spatial=spatial)
        out_shape = self.posterior.output_shape(self.latent_dim)
        net = self._net("encoder", in_shape, out_shape, training=training)

        view = self._encoder_view

        def encode(x: jax.Array, context: jax.Array | None, mask: jax.Array | None) -> jax.Array:
            parts = [hide_missing(view, x if view is None else view(x), mask)]
            if self.encode_mask:
                parts.append(jnp.ones_like(x) if mask is None else mask.astype(x.dtype))
            if self._has_context and context is not None:
                parts.append(context)
            return net(inputs.join_inputs(parts, spatial=spatial))

        return encode

    def _decoder(self, register: Callable = nets.register) -> Any:
        code = (self.prior.code_dim(self.latent_dim),)
        extra = (self.context_shape,) * self._has_context
        in_shape = inputs.join_shapes(code, extra, spatial=False)
        out_shape = self.likelihood.output_shape(self.event_shape)
        shapes = in_shape, out_shape
        return self._net("decoder", *shapes, training=self.training, register=register)

    @property
    def _encoder_view(self) -> Callable[[jax.Array], jax.Array] | None:
        """The likelihood's function of x for the encoder, unless the encoder transforms x itself."""
        return None if transforms_input(self.encoder) else self.likelihood.encoder_view

    @property
    def _has_context(self) -> bool:
        return bool(self.context_shape) and not self.prior.observes_context

    def _p_x(self, decoder: Callable, z: jax.Array, scope: Scope) -> Distribution:
        parts = [self.prior.code(z)]
        if self._has_context and scope.context is not None:
            parts.append(scope.context)
        code = inputs.join_inputs(parts, spatial=False)
        scope = self._freeze("likelihood", scope)
        p = self.likelihood.observe_mask(self.likelihood.distribution(decoder(code), scope), scope)
        return p.to_event(len(self.event_shape) - p.event_dim)

    def _posterior(self, x: jax.Array, context: jax.Array | None = None) -> Distribution:
        """Return q(z|x), or q of the top code, in evaluation mode, for a VampPrior."""
        scope = self._scope(x, context, None)._replace(training=False)
        outputs = self._encoder(training=False)(scope.x, scope.context, None)
        guide: Any = self.posterior
        is_distribution = isinstance(guide, AbstractDistributionGuide)
        q = (guide.distribution if is_distribution else guide.top)(outputs, scope)
        if q is None or not guide.is_density:
            raise compatibility.incompatible_parts_error(self)
        return q

    def _log_joint(self, scope: Scope) -> Callable[[jax.Array], jax.Array]:
        """Register the model's parameters, and return z -> log p(x, z) per datum, in nats."""
        # The guide takes gradients of log p(x, z), and no parameter may be registered inside a
        # gradient. So the model runs once here, at z = 0, and its parameters become plain values.
        # Its latent and observed sites are hidden, as they must not reach the guide's trace.
        data = (scope.x, scope.context, scope.mask)
        start = {"z": jnp.zeros((len(jnp.asarray(scope.x)), self.latent_dim))}
        visible = handlers.block(
            handlers.substitute(self.eval().model, start),
            hide_fn=lambda site: site["type"] in ("sample", "plate", "deterministic"),
        )
        trace = handlers.trace(visible).get_trace(*data)
        values = {name: site["value"] for name, site in trace.items()}

        def log_joint(z: jax.Array) -> jax.Array:
            with handlers.block():
                log_probs, _ = compute_log_probs(
                    self.eval().model, data, {}, {**values, "z": z}, sum_log_prob=False
                )
            if "z" not in log_probs:
                raise ValueError(
                    f"the prior {type(self.prior).__name__} and the posterior "
                    f"{type(self.posterior).__name__} are incompatible: the posterior needs the site "
                    '"z", and the prior has no such site. Use a prior that is one distribution, such '
                    "as priors.StandardNormal()."
                )
            return log_probs["z"] + log_probs["x"]

        return log_joint

    @property
    def equations(self) -> tuple[str, ...]:
        """The statements of p(z), p(x|z) and q(z|x), as ``print(vae)`` shows them.

        A likelihood with blocks of columns (``Joint``) has a statement for each block.
        """
        context, prior = ", context" * self._has_context, str(self.prior)
        blocks = self.likelihood.named_blocks
        parts = {name: block.likelihood for name, block in blocks.items()} or {"x": self.likelihood}
        return (
            prior if re.match(r"z\S* ~ ", prior) else f"z ~ {prior}",  # a hierarchy names its codes
            *(f"{name} | z{context} ~ {part}" for name, part in parts.items()),
            f"q(z | x{context}) = {self.posterior}",
        )

    def _describe_nets(self) -> dict[str, str]:
        view = self._encoder_view
        of = "" if view is None else f" of {view}"
        return {"encoder": f"{self.encoder}{of}", "decoder": str(self.decoder)}

    def __str__(self) -> str:
        code = "z" if self.equations[0].startswith("z ~ ") else "each code"
        shapes = f"{code} in R^{self.latent_dim}, x of shape {format_shape(self.event_shape)}"
        nets = [f"{role} {net}" for role, net in self._describe_nets().items()]
        return "\n".join([*self.equations, shapes, *nets])

    def _repr_html_(self) -> str:
        shapes = {
            "code z": f"{self.latent_dim} dimensions",
            "data x": f"shape {format_shape(self.event_shape)}",
        }
        details = html.table(shapes | self._describe_nets())
        return html.block(html.equations(map(equation, self.equations)), details)


def _register(part: Any, distribution_kind: Any, *args: Any) -> Callable[[], Any]:
    """Register a part's parameters, and return a function that issues its sites inside the plate."""
    if isinstance(part, distribution_kind):
        p_z = part.distribution(*args)
        return lambda: numpyro.sample("z", p_z)
    return lambda: part.sample(*args)


def check_vae(name: str, vae: object) -> None:
    """Raise TypeError unless ``vae`` is a VAE."""
    if not isinstance(vae, VAE):
        raise TypeError(f"{name} expects a probvae.VAE; got {format_value(vae)}.")
