"""A fitted VAE: the programs with numbers put in, and what one asks of them."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution

from probvae import evidence
from probvae.checks import (
    PATH,
    Checked,
    check_draw_arguments,
    check_key,
    check_kind,
    check_positive_integer,
    format_value,
)
from probvae.data_checks import check_context, check_data
from probvae.data_description import DataComparison, DataDescription
from probvae.data_remedies import list_blocks
from probvae.distributions import find_centre, probabilities
from probvae.evidence import Batch, BoundEstimate
from probvae.fitted import queries, serialization
from probvae.fitted.decoder_prior import DecoderPrior
from probvae.fitted.history import History
from probvae.fitted.latent_paths import straight
from probvae.fitted.queries import Imputed, Samples, check_codes, check_path_ends, check_sites
from probvae.fitted.summary import summarize
from probvae.interfaces import AbstractDistributionGuide
from probvae.nets import BayesianNet
from probvae.typing import ArrayLike, Params, RngKey
from probvae.vae import VAE, check_vae


@dataclass(frozen=True, eq=False)
class Fitted(Checked):
    """A VAE with its parameters, running state and history.

    ``values`` holds parameters and running state of ``vae`` by site; ``model`` and ``guide`` are the
    VAE's programs with these put in and nets in evaluation mode: plain NumPyro, without parameters, for
    ``Predictive``, ``MCMC``, ``SVI`` with a guide of its own (NumPyro's ``AutoNormal`` of the local
    codes). Weights with a prior (``nets.BayesianNet``) are drawn from q(w), never from the prior, anew in
    each run of the model; what has no key (``decode``, ``as_prior``) has their mean.
    ``print(fitted)`` is the run on one screen; it took ``seconds`` here (None after ``load``).

    Queries may be called from several threads, also beside a ``fit``. NumPyro's programs may not: run
    ``model`` and ``guide`` (``Predictive``, ``MCMC``) in one thread, and not while another makes its
    first query.

    ``data`` describes the training data: their range before and after the observation, dtype and
    columns. Every query takes data as the likelihood scores them, which is after the observation, and
    compares them with it. Data from before the observation raise ``ValueError``. Data far outside the
    training range are answered with a warning about units. Without a description (None, as in files of
    earlier versions) nothing is compared.
    """

    vae: VAE
    values: Params
    history: History
    seconds: float | None = None
    data: DataDescription | None = None

    def __str__(self) -> str:
        return summarize(self)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters by site, as ``init_params`` and ``Predictive(params=...)`` take them."""
        return {name: value for name, value in self.values.items() if not name.endswith("$state")}

    @property
    def model(self) -> Callable:
        """The model, p(z) p(x|z), with numbers put in."""
        return queries.posterior_programs(self.vae.eval().model, self.values)

    @property
    def guide(self) -> Callable:
        """The guide, q(z|x), with numbers put in."""
        return queries.posterior_programs(self.vae.eval().guide, self.values)

    def as_prior(self) -> DecoderPrior:
        """Return the decoder as a component of a program of your own: a prior on x, z its code."""
        fixed = point_weights(self)
        return DecoderPrior(fixed.vae.eval().without_noise(), fixed.values)

    def with_values(self, values: Params) -> "Fitted":
        """Return the same with other parameters and state."""
        return replace(self, values=check_sites(values, self.values))

    def check_data(
        self,
        x: Any,
        context: Any = None,
        mask: Any = None,
        *,
        name: str = "x",
        comparer: DataComparison | None = None,
    ) -> Batch:
        """Return data as every query takes them: as arrays ``Batch(x, context, mask)`` that fit.

        Args:
            x: data ``(n, *event_shape)``: an array, a masked array, a frame, a source of rows, or a
                ``Batch(x, context, mask)``.
            context: ``(n, *context_shape)``, where ``x`` is no ``Batch``.
            mask: true where x is observed, likewise.
            name: what an error calls the data.
            comparer: compares them with the training data, in place of a warning.

        Raises:
            TypeError, ValueError: for data that do not fit, with a remedy.
        """
        if comparer is None and self.data is not None:
            comparer = DataComparison(self.data, name)
        return check_data(self.vae, x, name, context=context, mask=mask, record=comparer)

    def _check_context(self, context: Any, rows: int | None = None) -> Any:
        """Return a context without data: as an array that fits, compared with that of the training."""
        context = check_context(self.vae, context, rows=rows)
        if self.data is not None and not isinstance(context, jax.core.Tracer):
            comparer = DataComparison(self.data, "x")
            comparer.add_context(context)
            comparer.conclude()
        return context

    def encode(
        self, x: Any, context: ArrayLike | None = None, mask: ArrayLike | None = None
    ) -> Distribution:
        """Return q(z|x) for data ``(n, *event_shape)``: batch shape ``(n,)``, event ``(latent_dim,)``.

        ``x`` may be a ``Batch(x, context, mask)``.

        Raises:
            TypeError: for a guide that is a program: draw from it by ``Predictive(fitted.guide)``.
        """
        self._check_one_distribution()
        data = self.check_data(x, context, mask)
        return queries.encode(self.vae.eval(), self.values, data)

    def _check_one_distribution(self) -> None:
        if not isinstance(self.vae.posterior, AbstractDistributionGuide):
            raise TypeError(
                f"the posterior {type(self.vae.posterior).__name__} is a program with several sites, "
                "not one distribution. Draw from it: Predictive(fitted.guide, num_samples=...)(key, x)."
            )

    def decode(self, z: ArrayLike, context: ArrayLike | None = None) -> Distribution:
        """Return p(x|z) for codes ``(n, latent_dim)``: batch shape ``(n,)``, event ``event_shape``."""
        z = check_codes(z, self.vae.prior.code_dim(self.vae.latent_dim))
        context, at = self._check_context(context, len(z)), point_weights(self)
        return queries.decode(at.vae.eval(), at.values, z, context)

    def sample(
        self,
        num_samples: int,
        *,
        rng_key: RngKey,
        context: ArrayLike | None = None,
        noisy: bool = False,
    ) -> Samples:
        """Draw from the model: z ~ p(z), x ~ p(x|z).

        Args:
            num_samples: how many; with a context, how many for each of its rows.
            rng_key: a typed key.
            context: ``(rows, *context_shape)``.
            noisy: with the noise of ``Spread``, as the model's own site ``"x"`` has it.

        Returns:
            samples with leading shape ``(num_samples,)``, or ``(num_samples, rows)`` with context.
        """
        check_draw_arguments(rng_key, num_samples=num_samples)
        context = self._check_context(context)
        vae = self.vae.eval() if noisy else self.vae.eval().without_noise()
        return queries.sample(vae, self.values, rng_key, num_samples, context)

    def reconstruct(
        self,
        x: Any,
        *,
        rng_key: RngKey | None = None,
        context: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> jax.Array:
        """Return the mean of p(x|z), at the mean of q(z|x) or, given ``rng_key``, at a draw of it.

        Where a mean has no meaning, as of levels without an order (``likelihoods.Categorical``), it is
        the mode: see ``probabilities``.
        """
        return self._read_p_x(find_centre, x, rng_key, context, mask)

    def probabilities(
        self,
        x: Any,
        *,
        rng_key: RngKey | None = None,
        context: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> jax.Array | dict[str, jax.Array]:
        """Return the probabilities of an entry's values under p(x|z), for z as in ``reconstruct``.

        Returns:
            ``(n, *event_shape, K)`` for ``Categorical(K)``, and P(x = 1) ``(n, *event_shape)`` for
            ``Bernoulli``. For a ``Joint`` a dictionary of these by the name of the block.

        Raises:
            TypeError: for a likelihood of numbers or counts. See ``decode``, which gives p(x|z) itself.
        """
        found = self._read_p_x(probabilities, x, rng_key, context, mask)
        if isinstance(found, tuple):
            names = (name for name, *_ in list_blocks(self.vae.likelihood))
            found = {name: p for name, p in zip(names, found, strict=True) if p is not None}
        if found is None or (isinstance(found, dict) and not found):
            raise TypeError(
                f"the likelihood {self.vae.likelihood} gives no probabilities to single values. For "
                "its variance or log_prob take p(x|z) itself: fitted.decode(fitted.encode(x).mean)."
            )
        return found

    def _read_p_x(self, read: Callable, x: Any, rng_key: Any, context: Any, mask: Any) -> Any:
        if rng_key is None:
            self._check_one_distribution()
        else:
            check_key(rng_key)
        data = self.check_data(x, context, mask)
        at = self if rng_key is not None else point_weights(self)
        return queries.reconstruct(at.vae.eval(), at.values, rng_key, data, read)

    def impute(
        self,
        x: Any,
        mask: ArrayLike | None = None,
        *,
        rng_key: RngKey,
        num_samples: int = 1,
        num_particles: int = 1000,
        context: ArrayLike | None = None,
    ) -> Imputed:
        """Draw the missing entries of each datum from p(x_missing | x_observed).

        By importance resampling: z_k ~ q(z | x_observed), with weights w_k = p(x_observed, z_k) /
        q(z_k | x_observed); exact as K grows. Where ``effective_particles`` are under ten, take more,
        or do not trust the draws. With ``Spread``, x and what is drawn are noisy data.

        Args:
            x: data ``(n, *event_shape)``; what stands at missing entries is never looked at.
            mask: ``(n, *event_shape)``, true where x is observed.
            rng_key: a typed key.
            num_samples: draws for each datum.
            num_particles: K, for each datum.
            context: ``(n, *context_shape)``.

        Reference: Mattei and Frellsen 2019, arXiv:1812.02633 (MIWAE), section 3.
        """
        check_draw_arguments(rng_key, num_samples=num_samples, num_particles=num_particles)
        evidence.check_density(self.vae)
        data = self.check_data(x, context, mask)
        if data.mask is None:
            raise ValueError(
                "impute expects a mask, true where x is observed; got None. Where x is NaN, that is "
                "impute(x, np.isfinite(x), ...)."
            )
        counts = {"num_samples": num_samples, "num_particles": num_particles}
        return queries.impute(self.vae.eval(), self.values, rng_key, data, **counts)

    def responsibilities(self, x: Any, *, rng_key: RngKey, num_particles: int = 100) -> jax.Array:
        """Return E[p(k | z)], z ~ q(z|x), for the components k of a mixture prior: ``(n, K)``.

        p(k | z) = w_k p_k(z) / p(z); each row sums to 1. Arguments as in ``log_prob`` (with ``Spread``
        x is noisy data). In a hierarchy the mixture is on top; a code that is one of K has q(k | x).

        Raises:
            TypeError: for a prior that is no mixture.

        Reference: Jiang et al. 2017, arXiv:1611.05148.
        """
        check_draw_arguments(rng_key, num_particles=num_particles)
        data = self.check_data(x)
        return queries.responsibilities(self.vae.eval(), self.values, rng_key, data, num_particles)

    def interpolate(
        self,
        start: ArrayLike,
        end: ArrayLike,
        *,
        num_points: int = 10,
        path: Callable = straight,
        context: ArrayLike | None = None,
    ) -> jax.Array:
        """Return means of p(x|z) along a path between the codes of two data.

        Args:
            start: a datum, of shape ``event_shape``.
            end: another.
            num_points: points on the path, ends included.
            path: ``latent_paths.straight`` or ``latent_paths.spherical``, or any ``(a, b, t) -> z``.
            context: what both data and the whole path are given, of shape ``context_shape``.

        Returns:
            an array ``(num_points, *event_shape)``.
        """
        check_positive_integer("num_points", num_points)
        a, b, told = check_path_ends(self.vae, start, end, path, context)
        ends = self.encode(jnp.stack([a, b]), None if told is None else jnp.stack([told] * 2)).mean
        at = point_weights(self)
        return queries.interpolate(at.vae.eval(), at.values, path, ends, num_points, told)

    def elbo(
        self,
        x: Any,
        *,
        rng_key: RngKey,
        num_particles: int = 1,
        num_noise_draws: int = 1,
        progress: bool = False,
    ) -> BoundEstimate:
        """Return the ELBO per datum, in nats: the mean over draws of z (arguments: ``log_prob``).

        The KL of weights with a prior is no datum's, and is left out.
        """
        return self._bound(evidence.elbo, x, rng_key, num_particles, num_noise_draws, progress=progress)

    def log_prob(
        self,
        x: Any,
        *,
        rng_key: RngKey,
        num_particles: int = 5000,
        num_noise_draws: int = 1,
        progress: bool = False,
    ) -> BoundEstimate:
        """Return the importance-weighted lower bound on log p(x) per datum, in nats.

        Exactly ``num_particles`` draws of q(z|x) are taken for each datum, in chunks that bound the
        memory. In expectation it lies between the ELBO and log p(x), and rises with the particles. With
        ``nets.BayesianNet`` each particle has weights w ~ q(w) of its own, and p(x) is the approximate
        posterior predictive density E_q(w)[p(x|w)].

        Args:
            x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``.
            rng_key: a typed key.
            num_particles: the number K of particles.
            num_noise_draws: where the likelihood adds noise (``Spread``), over how many draws y of a
                clean x the bound on log p(y) is averaged; 0 for data that are noisy already.
            progress: show a bar.

        Raises:
            ValueError: for data that do not fit, or a likelihood that is no density.

        Reference: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519.
        """
        told = x, rng_key, num_particles, num_noise_draws
        return self._bound(evidence.log_prob, *told, progress=progress)

    def _bound(
        self, bound: Any, x: Any, key: Any, num_particles: Any, num_draws: int, *, progress: bool
    ) -> BoundEstimate:
        check_draw_arguments(key, num_particles=num_particles)
        told = self.check_data(x), key, num_particles, num_draws
        return queries.estimate_bound(bound, self.vae, self.values, *told, progress=progress)

    def save(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Write parameters, state and history to one file (safetensors: arrays only, no pickle).

        Raises:
            FileExistsError: if the file exists and ``overwrite`` is not asked for.
        """
        serialization.save(path, self.vae, self.values, self.history, self.data, overwrite=overwrite)


def load(path: str | os.PathLike, vae: VAE) -> Fitted:
    """Read what ``Fitted.save`` wrote, for the VAE that it was written from.

    Args:
        path: the file.
        vae: the VAE, made anew by the same code.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a file that is damaged or of another kind, or was saved from another VAE. All
            parts and their fields are compared, and the names and shapes of all sites. The error names
            what differs.
    """
    check_vae("load", vae)
    check_kind("path", path, PATH)
    values, history, description = serialization.load(path, vae)
    return Fitted(vae, values, history, data=description)


def check_fitted(fitted: Any) -> None:
    """Raise unless ``fitted`` is what ``fit`` returns."""
    from probvae.fitted.fitted import Fitted

    if not isinstance(fitted, Fitted):
        raise TypeError(
            f"fitted expects what fit(...) or load(...) returned; got {format_value(fitted)}."
        )


def point_weights(fitted: Any, *, rng_key: RngKey | None = None) -> Any:
    """Return a fitted VAE with one decoder: the mean of q(w) or, given ``rng_key``, a draw of it.

    It is an ordinary fitted VAE, whose decoder is the net of ``nets.BayesianNet`` and whose p(x|z) is one
    function of z: what AIS, NUTS and ``fitted.as_prior()`` need. The mean of q(w) is not the mean of
    p(x|z, w): several draws show what the weights leave open. A VAE without such weights is returned
    as it is.

    Args:
        fitted: a fitted VAE.
        rng_key: a typed key.
    """
    check_fitted(fitted)
    if rng_key is not None:
        check_key(rng_key)
    if not isinstance(fitted.vae.decoder, BayesianNet):
        return fitted
    values = dict(fitted.values)
    loc, log_scale = values.pop("decoder$loc"), values.pop("decoder$log_scale")
    weights = loc if rng_key is None else _draw(rng_key, loc, log_scale)
    vae = replace(fitted.vae, decoder=fitted.vae.decoder.net)
    return replace(fitted, vae=vae, values={**values, "decoder$params": weights})


def _draw(rng_key: RngKey, loc: Any, log_scale: Any) -> Any:
    leaves, form = jax.tree.flatten(loc)
    keys = jax.tree.unflatten(form, list(jax.random.split(rng_key, len(leaves))))
    return jax.tree.map(
        lambda key, m, log_s: m + jnp.exp(log_s) * jax.random.normal(key, m.shape, m.dtype),
        keys,
        loc,
        log_scale,
    )
