"""The roles that a VAE is made of: what each part answers, and what it is told.

Every class here is abstract; every part of the package is final. To vary a part, compose or wrap it.
A prior or a guide comes in two kinds. A *distribution* part returns the distribution that the VAE
samples at the site ``"z"``. A *program* part issues its own sites (a hierarchy: ``"z1"`` nearest the
data, ``"z2"`` above it) and returns what the decoder is given.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
from numpyro.distributions import Distribution, constraints

from probvae.checks import Checked
from probvae.typing import Shape

InitialValues = Callable[[np.ndarray, np.ndarray, np.ndarray | None], dict[str, Any]]


class TopDown(NamedTuple):
    """A prior's hierarchy of codes, given one by one from the top: for the guides that descend with it.

    A state h of length ``width``, zeros at first, holds what the codes so far say. ``register()`` is
    called once in a program: it registers the prior's nets (those that it shares with its own
    ``sample``), and returns two functions of i, the code's place in ``sites``: ``conditional(i, h)``,
    which is p(z_i | codes above) for i >= 1, and ``after(i, h, z)``, the state ``(batch, width)`` once
    z_i is known. Nothing is registered before.
    """

    sites: tuple[str, ...]  # the codes' names, top first
    width: int
    register: Callable[[], tuple[Callable[..., Distribution], Callable[..., jax.Array]]]


class Scope(NamedTuple):
    """What the VAE tells its parts, made anew in each run of a program.

    ``latent_dim``, ``event_shape``, ``context_shape`` are the VAE's; ``training`` is false in
    evaluation mode; ``data_range`` is the likelihood's. ``x`` ``(batch, *event_shape)`` are the data,
    filled where they are missing, None where they are to be drawn; ``mask`` is true where x is
    observed.

    ``posterior(x, context=None)`` is q(z|x) as a distribution, in evaluation mode: it lets a VampPrior
    share the encoder. ``log_joint(z)`` is log p(x, z), of shape ``(batch,)`` in nats: for program
    guides that say ``uses_log_joint``, so that all parameters are registered before any inner gradient.
    ``top_down`` is the prior's hierarchy, where it hands it to guides.
    """

    latent_dim: int
    event_shape: Shape
    context_shape: Shape
    training: bool
    data_range: tuple[float, float]
    x: Any  # the data, filled where they are missing; None when they are to be drawn
    context: Any  # None without one
    mask: Any  # true where x is observed; None where all of it is
    posterior: Callable[..., Distribution]
    log_joint: Callable[[jax.Array], jax.Array] | None = None
    top_down: TopDown | None = None


class AbstractPrior(Checked, abc.ABC):  # noqa: B024 (its two kinds have the abstract methods)
    """p(z), or p(z given context).

    ``observes_context`` says that the context holds what is known of a discrete site, and is told to
    no net: rows are one-hot, or zeros where nothing is known; no context is nothing known.
    """

    observes_context: ClassVar[bool] = False

    def code_dim(self, latent_dim: int) -> int:
        """Return the length of the vector that the decoder is given."""
        return latent_dim

    def code(self, z: jax.Array) -> jax.Array:
        """Return what the decoder is given for a draw z: by default z itself."""
        return z

    def top_down(self, scope: Scope) -> TopDown | None:
        """Return the hierarchy as guides may descend by it, where there is one; register nothing."""
        return None


class AbstractDistributionPrior(AbstractPrior):
    """A prior that is one distribution, sampled by the VAE at ``"z"``."""

    @abc.abstractmethod
    def distribution(self, scope: Scope) -> Distribution:
        """Return p(z): event shape ``(latent_dim,)``, batch shape ``()`` or ``(batch,)``."""


class AbstractProgramPrior(AbstractPrior):
    """A prior that issues its own sample sites, inside the VAE's plate."""

    @abc.abstractmethod
    def sample(self, scope: Scope) -> jax.Array:
        """Issue the sites; return the code ``(batch, code_dim)`` for the decoder."""


class AbstractGuide(Checked, abc.ABC):
    """q(z given x): how many outputs it needs of the encoder, and what they mean.

    ``is_density`` is false for one that puts all mass on a point.
    """

    is_density: ClassVar[bool] = True

    @abc.abstractmethod
    def output_shape(self, latent_dim: int) -> Shape:
        """Return the shape of the encoder's output for one datum."""


class AbstractDistributionGuide(AbstractGuide):
    """A guide that is one distribution given the encoder's outputs, sampled at ``"z"``."""

    @abc.abstractmethod
    def distribution(self, outputs: jax.Array, scope: Scope) -> Distribution:
        """Return q(z|x): batch shape ``(batch,)``, event shape ``(latent_dim,)``."""


class AbstractProgramGuide(AbstractGuide):
    """A guide that issues its own sample sites, inside the VAE's plate.

    ``uses_log_joint`` and ``uses_top_down`` say which of the scope's it needs.
    """

    uses_log_joint: ClassVar[bool] = False
    uses_top_down: ClassVar[bool] = False

    @abc.abstractmethod
    def sample(self, outputs: jax.Array, scope: Scope) -> None:
        """Issue a site for each latent site of the prior."""

    def top(self, outputs: jax.Array, scope: Scope) -> Distribution | None:
        """Return q of the code on top given x, where that is one distribution: a VampPrior mixes it."""
        return None


class Block(NamedTuple):
    """Columns of x with a ``likelihood`` of their own: ``columns`` is a slice of x's last axis."""

    columns: slice
    likelihood: "AbstractLikelihood"


class AbstractLikelihood(Checked, abc.ABC):
    """p(x given z), with its normalising constant.

    ``support`` is the constraint that every value of x must meet; ``data_range`` the interval that
    inputs which stand for data (pseudo-inputs) are kept in; ``factorises`` whether the entries of x
    are independent given z (a mask needs it); ``is_density`` whether log p(x) means anything;
    ``fill`` the value that stands in for a missing entry.
    """

    support: ClassVar[Any] = constraints.real
    data_range: ClassVar[tuple[float, float]] = (-float("inf"), float("inf"))
    factorises: ClassVar[bool] = True
    is_density: ClassVar[bool] = True
    fill: ClassVar[float] = 0.0

    @property
    def observation(self) -> Any:
        """Noise ``(rng_key, x) -> y`` that a datum gets before it is scored, or None."""
        return None

    @property
    def named_blocks(self) -> dict[str, Block]:
        """The blocks of columns by name, where each has a likelihood of its own, as in ``Joint``."""
        return {}

    @property
    def noiseless(self) -> "AbstractLikelihood":
        """The likelihood of x itself where this one is that of x and noise."""
        return self

    @property
    def encoder_view(self) -> Callable[[jax.Array], jax.Array] | None:
        """The function of x that the encoder sees, of the same shape; None for x itself.

        It is a part whose ``str`` is its formula. An encoder that is ``nets.InputTransform`` sees x.
        """
        return None

    @property
    def initial_values(self) -> InitialValues | None:
        """A function of the training data that returns values to start from, by site; None without.

        ``fit`` calls it with (a sample of) the training data as they are scored: x with ``fill`` where
        it is missing, a mask (true where x is observed), both ``(n, *event_shape)``, and the context
        ``(n, *context_shape)`` or None. What ``init_params`` of ``fit`` says comes first. In a
        NumPyro program without ``fit`` the parameters start as the program says.
        """
        return None

    @abc.abstractmethod
    def output_shape(self, event_shape: Shape) -> Shape:
        """Return the shape of the decoder's output for one datum."""

    @abc.abstractmethod
    def distribution(self, outputs: jax.Array, scope: Scope) -> Distribution:
        """Return p(x|z), elementwise over ``(batch, *event_shape)`` where it factorises."""
