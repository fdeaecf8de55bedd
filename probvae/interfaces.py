"""Abstract classes of a VAE's parts: prior, guide and likelihood, and of the VAE that joins them.

Every class here is abstract, and every part of the package is final. To vary a part, compose or wrap
it. Priors and guides come in two kinds. A *distribution* part returns the distribution that the VAE
samples at the site ``"z"``. A *program* part issues its own sites, such as ``"z1"`` (nearest the data)
and ``"z2"`` (above it). A program prior returns the code for the decoder.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
from numpyro.distributions import Distribution, constraints

from probvae.checks import Checked
from probvae.typing import Recipe, Shape

InitialValues = Callable[[np.ndarray, np.ndarray, np.ndarray | None], dict[str, Any]]


class TopDown(NamedTuple):
    """Conditionals of a hierarchical prior, for guides that draw the codes from the top down.

    A state $h$ of length ``width`` summarises the codes drawn so far. It starts at zeros.

    Attributes:
        sites: names of the codes, top first.
        width: length of the state.
        register: registers the prior's nets, those of its own ``sample``. Call it once in a program.
            It returns two functions of $i$, the index of a code in ``sites``. ``conditional(i, h)`` is
            $p(z_i | z_{<i})$, for $i >= 1$. ``update(i, h, z)`` is the state ``(batch, width)`` once
            $z_i$ is known.
    """

    sites: tuple[str, ...]
    width: int
    register: Callable[[], tuple[Callable[..., Distribution], Callable[..., jax.Array]]]


class Scope(NamedTuple):
    """Shapes, data and mode of one run of a program: the VAE passes them to its parts.

    Attributes:
        latent_dim: of the VAE, as ``event_shape`` and ``context_shape``.
        training: False in evaluation mode.
        data_range: of the likelihood.
        x: data ``(batch, *event_shape)``, filled where they are missing. None to draw them.
        context: ``(batch, *context_shape)``, or None.
        mask: True where ``x`` is observed. None if all of it is.
        posterior: ``posterior(x, context=None)`` returns q(z|x) in evaluation mode, as a distribution.
            A ``VampPrior`` shares the encoder through it.
        log_joint: ``log_joint(z)`` is log p(x, z), ``(batch,)`` in nats. Only guides with
            ``uses_log_joint`` have it. All parameters are then registered before any inner gradient.
        top_down: conditionals of the prior's hierarchy, if it has one.
    """

    latent_dim: int
    event_shape: Shape
    context_shape: Shape
    training: bool
    data_range: tuple[float, float]
    x: jax.Array | None
    context: jax.Array | None
    mask: jax.Array | None
    posterior: Callable[..., Distribution]
    log_joint: Callable[[jax.Array], jax.Array] | None = None
    top_down: TopDown | None = None


class AbstractPrior(Checked, abc.ABC):  # noqa: B024 (its two kinds have the abstract methods)
    """p(z), or p(z | context).

    ``observes_context`` is True if the context holds observed values of a discrete site (labels). Each
    row is then one-hot, or zeros where the label is unknown. The nets do not get such a context.
    """

    observes_context: ClassVar[bool] = False

    def code_dim(self, latent_dim: int) -> int:
        """Return the length of the decoder's input vector."""
        return latent_dim

    def code(self, z: jax.Array) -> jax.Array:
        """Return the decoder's input for a draw ``z``: by default ``z`` itself."""
        return z

    def top_down(self, scope: Scope) -> TopDown | None:
        """Return the conditionals of the hierarchy for guides, or None. Register nothing."""
        return None


class AbstractDistributionPrior(AbstractPrior):
    """A prior that is one distribution. The VAE samples it at ``"z"``."""

    @abc.abstractmethod
    def distribution(self, scope: Scope) -> Distribution:
        """Return p(z): event shape ``(latent_dim,)``, batch shape ``()`` or ``(batch,)``."""


class AbstractProgramPrior(AbstractPrior):
    """A prior that issues its own sample sites, inside the VAE's plate."""

    @abc.abstractmethod
    def sample(self, scope: Scope) -> jax.Array:
        """Issue the sites, and return the code ``(batch, code_dim)`` for the decoder."""


class AbstractGuide(Checked, abc.ABC):
    """q(z|x), with its parameters from the encoder's output.

    ``is_density`` is False for a guide that puts all mass on a point. ``uses_log_joint`` and
    ``uses_top_down`` say which of these fields of ``Scope`` a program guide needs.
    """

    is_density: ClassVar[bool] = True
    uses_log_joint: ClassVar[bool] = False
    uses_top_down: ClassVar[bool] = False

    @abc.abstractmethod
    def output_shape(self, latent_dim: int) -> Shape:
        """Return the shape of the encoder's output for one datum."""


class AbstractDistributionGuide(AbstractGuide):
    """A guide that is one distribution given the encoder's output. The VAE samples it at ``"z"``."""

    @abc.abstractmethod
    def distribution(self, outputs: jax.Array, scope: Scope) -> Distribution:
        """Return q(z|x): batch shape ``(batch,)``, event shape ``(latent_dim,)``."""


class AbstractProgramGuide(AbstractGuide):
    """A guide that issues its own sample sites, inside the VAE's plate."""

    @abc.abstractmethod
    def sample(self, outputs: jax.Array, scope: Scope) -> None:
        """Issue a site for each latent site of the prior."""

    def top(self, outputs: jax.Array, scope: Scope) -> Distribution | None:
        """Return q of the top code given x if that is one distribution. A ``VampPrior`` mixes it."""
        return None


class Block(NamedTuple):
    """Columns of x with their own ``likelihood``: ``columns`` is a slice of the last axis of x."""

    columns: slice
    likelihood: "AbstractLikelihood"


class AbstractLikelihood(Checked, abc.ABC):
    """p(x|z), with its normalising constant.

    Attributes:
        support: the constraint that every value of x must satisfy.
        data_range: the interval that holds learned inputs which stand for data (pseudo-inputs).
        factorises: True if the entries of x are independent given z. A mask needs this.
        is_density: True if log p(x) has a meaning.
        fill: the value at missing entries.
    """

    support: ClassVar[Any] = constraints.real
    data_range: ClassVar[tuple[float, float]] = (-float("inf"), float("inf"))
    factorises: ClassVar[bool] = True
    is_density: ClassVar[bool] = True
    fill: ClassVar[float] = 0.0

    @property
    def observation(self) -> Any:
        """Noise ``(rng_key, x) -> y`` that is added to data before they are scored, or None.

        It is a ``data.AbstractObservation``.
        """
        return None

    @property
    def named_blocks(self) -> dict[str, Block]:
        """Blocks of columns by name, if each block has its own likelihood (``Joint``)."""
        return {}

    @property
    def noiseless(self) -> "AbstractLikelihood":
        """The likelihood of x itself, if this one is of x plus noise."""
        return self

    @property
    def encoder_view(self) -> Callable[[jax.Array], jax.Array] | None:
        """The function of x that the encoder sees, with the same shape, or None for x itself.

        It is a part whose ``str`` is its formula. An encoder ``nets.InputTransform`` sees x. At a
        missing entry the encoder sees the view of ``fill``, or what a method ``hide(view, mask)`` of
        the view returns.
        """
        return None

    @property
    def initial_values(self) -> InitialValues | None:
        """A function of the training data that returns initial parameters by site, or None.

        ``fit`` calls it with (a sample of) the training data: ``x`` with ``fill`` where it is missing,
        a mask that is True where ``x`` is observed, both ``(n, *event_shape)``, and the context
        ``(n, *context_shape)`` or None. The argument ``init_params`` of ``fit`` takes precedence.
        Without ``fit``, a NumPyro program starts at its own initial parameters.
        """
        return None

    @abc.abstractmethod
    def output_shape(self, event_shape: Shape) -> Shape:
        """Return the shape of the decoder's output for one datum."""

    @abc.abstractmethod
    def distribution(self, outputs: jax.Array, scope: Scope) -> Distribution:
        """Return p(x|z), elementwise over ``(batch, *event_shape)`` if it factorises."""

    @property
    def models_mask(self) -> bool:
        """Whether p(mask | x) is part of the likelihood, so that log p(x) is of x and its mask."""
        return False

    def observe_mask(self, p: Distribution, scope: Scope) -> Distribution:
        """Return p(x|z) with only the observed entries, and with the mask's own probability if any.

        ``NotAtRandom`` adds log p(mask | x). By default the mask carries no information about z.
        """
        return p if scope.mask is None else p.mask(scope.mask)


def hide_missing(part: Any, view: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Return the encoder's view of x with missing entries as the view wants them."""
    hide = getattr(part, "hide", None)
    return view if hide is None or mask is None else hide(view, mask)


class AbstractVAE(abc.ABC):
    """The fields and programs of ``probvae.VAE``, which is the only subclass.

    Use it as an annotation in modules that ``vae.py`` imports. Everywhere else, annotate ``VAE``.
    """

    event_shape: Shape
    latent_dim: int
    prior: AbstractPrior
    posterior: AbstractGuide
    likelihood: AbstractLikelihood
    encoder: Recipe
    decoder: Recipe
    context_shape: Shape
    encode_mask: bool
    training: bool
    frozen: tuple[str, ...]

    @abc.abstractmethod
    def model(self, *args: Any, **kwargs: Any) -> jax.Array:
        """Run the model: z ~ p(z), x ~ p(x|z)."""

    @abc.abstractmethod
    def guide(self, *args: Any, **kwargs: Any) -> None:
        """Run the guide: z ~ q(z|x)."""

    @abc.abstractmethod
    def p_x(self, z: jax.Array, context: jax.Array | None = None) -> Distribution:
        """Return p(x|z), inside a program or a handler that supplies the weights."""

    @abc.abstractmethod
    def eval(self) -> "AbstractVAE":
        """Return the same VAE in evaluation mode."""
