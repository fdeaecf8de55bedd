"""``Fitted``, a VAE with its parameters, and ``load``."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution

from probvae import evidence
from probvae.checks import (
    PATH,
    Checked,
    check_draw_arguments,
    check_function,
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
from probvae.fitted import queries, serialization, summary
from probvae.fitted.decoder_prior import DecoderPrior
from probvae.fitted.history import History
from probvae.fitted.imputation import Imputed, impute, require_mask
from probvae.fitted.latent_paths import straight
from probvae.fitted.queries import Samples, check_codes, check_row, check_sites
from probvae.fitted.random_weights import fix_weights
from probvae.fitted.table_results import (
    CompletedFrames,
    TableSamples,
    find_index,
    is_table,
    read_schema,
)
from probvae.fitted.value_checks import check_values
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike, DataLike, Params, Program, RngKey
from probvae.vae import VAE, check_vae


@short_repr
@dataclass(frozen=True, eq=False)
class Fitted(Checked):
    """A VAE with its parameters, running state and history.

    ``print(fitted)`` shows the run on one screen.

    ``model`` and ``guide`` are plain NumPyro programs with fixed parameters, in evaluation mode. Use
    them with ``Predictive``, ``MCMC``, or ``SVI`` and another guide, such as NumPyro's ``AutoNormal``
    of the local codes. Weights with a prior (``nets.BayesianNet``) are drawn from q(w), not from the
    prior, in each run of the model. Methods without a key (``decode``, ``as_prior``) use their mean.

    Queries are thread-safe, also during a ``fit``. NumPyro's programs are not. Run ``model`` and
    ``guide`` (``Predictive``, ``MCMC``) in one thread, and not while another makes its first query.

    Every query expects data as the likelihood scores them, which is after the observation. It compares
    them with ``data``. Data from before the observation raise ``ValueError``. Data far outside the
    training range give a warning about units.

    Attributes:
        vae: the VAE.
        values: its parameters and running state, by site.
        history: losses and ELBO by step and by epoch.
        seconds: the time of the training run. None after ``load``.
        data: a description of the training data: dtype, columns, and their range before and after the
            observation. None, as in files of earlier versions, turns the comparison off.
    """

    vae: VAE
    values: Params
    history: History
    seconds: float | None = None
    data: DataDescription | None = None

    def __post_init__(self) -> None:
        check_vae("Fitted", self.vae)
        check_values(self.vae, self.values)

    def __str__(self) -> str:
        return summary.summarize(self.vae, self.params, self.history, self.seconds, self.data)

    def _repr_html_(self) -> str:
        return summary.render(self.vae, self.params, self.history, self.seconds, self.data)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters by site, for ``init_params`` and ``Predictive(params=...)``."""
        return {name: value for name, value in self.values.items() if not name.endswith("$state")}

    @property
    def model(self) -> Program:
        """The model p(z) p(x|z) with fixed parameters."""
        return queries.posterior_programs(self.vae.eval().model, self.values)

    @property
    def guide(self) -> Program:
        """The guide q(z|x) with fixed parameters."""
        return queries.posterior_programs(self.vae.eval().guide, self.values)

    def as_prior(self) -> DecoderPrior:
        """Return the decoder as a prior on x, for your own NumPyro program."""
        fitted = point_weights(self)
        return DecoderPrior(fitted.vae.eval().without_noise(), fitted.values)

    def with_values(self, values: Params) -> "Fitted":
        """Return the same VAE and history with other parameters and running state."""
        return replace(self, values=check_sites(values, self.values))

    def check_data(
        self,
        x: DataLike,
        context: DataLike | None = None,
        mask: DataLike | None = None,
        *,
        name: str = "x",
        comparer: DataComparison | None = None,
    ) -> Batch:
        """Return data as checked arrays ``Batch(x, context, mask)``, as for every query.

        Args:
            x: data ``(n, *event_shape)``: an array, a masked array, a frame, a source of rows, or a
                ``Batch(x, context, mask)``.
            context: ``(n, *context_shape)``, unless it is in the ``Batch``.
            mask: True where x is observed, unless it is in the ``Batch``.
            name: the name of the data in errors.
            comparer: compares the data with the training data. By default it warns.

        Raises:
            TypeError, ValueError: for data that the VAE cannot use. The error names a remedy.
        """
        if comparer is None and self.data is not None:
            comparer = DataComparison(self.data, name)
        return check_data(self.vae, x, name, context=context, mask=mask, record=comparer)

    def to_frame(self, x: ArrayLike, *, index: Any = None) -> Any:
        """Return numbers ``(n, columns)`` as a frame, with the names, types and levels of the table.

        The frame is of the library that the training table came from: pandas, polars, or a dict of
        arrays. Numbers of a whole column are rounded. Columns that name rows are left out.

        Args:
            x: data in the units of the VAE, such as draws. NaN becomes a missing cell.
            index: the index of a pandas frame.

        Raises:
            ValueError: if the VAE was not trained on a ``data.Table``.
        """
        return read_schema(self.data).decode(x, index=index)

    def _check_context(self, context: DataLike | None, rows: int | None = None) -> ArrayLike | None:
        """Return a context without data as a checked array, compared with the training data."""
        context = check_context(self.vae, context, rows=rows)
        if self.data is not None and not isinstance(context, jax.core.Tracer):
            comparer = DataComparison(self.data, "x")
            comparer.add_context(context)
            comparer.conclude()
        return context

    def encode(
        self, x: DataLike, context: ArrayLike | None = None, mask: ArrayLike | None = None
    ) -> Distribution:
        """Return q(z|x) for data ``(n, *event_shape)``: batch shape ``(n,)``, event ``(latent_dim,)``.

        ``x`` may be a ``Batch(x, context, mask)``.

        Raises:
            TypeError: for a guide that is a program. Draw from it by ``Predictive(fitted.guide)``.
        """
        queries.check_one_distribution(self.vae)
        data = self.check_data(x, context, mask)
        return queries.encode(self.vae.eval(), self.values, data)

    def decode(self, z: ArrayLike, context: ArrayLike | None = None) -> Distribution:
        """Return p(x|z) for codes ``(n, latent_dim)``: batch shape ``(n,)``, event ``event_shape``."""
        z = check_codes(z, self.vae.prior.code_dim(self.vae.latent_dim))
        context, fitted = self._check_context(context, len(z)), point_weights(self)
        return queries.decode(fitted.vae.eval(), fitted.values, z, context)

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
            num_samples: number of draws, for each row of a context.
            rng_key: a typed key.
            context: ``(rows, *context_shape)``.
            noisy: True to add the noise of ``Spread``, as at the model's site ``"x"``.

        Returns:
            samples with leading shape ``(num_samples,)``, or ``(num_samples, rows)`` with context. A
            VAE of a table has them as a frame, too: ``samples.frame``.
        """
        check_draw_arguments(rng_key, num_samples=num_samples)
        context = self._check_context(context)
        vae = self.vae.eval() if noisy else self.vae.eval().without_noise()
        draws = queries.sample(vae, self.values, rng_key, num_samples, context)
        schema = None if self.data is None else self.data.schema
        return draws if schema is None else TableSamples.of(draws, schema)

    def reconstruct(
        self,
        x: DataLike,
        *,
        rng_key: RngKey | None = None,
        context: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> Any:
        """Return the mean of p(x|z) at the mean of q(z|x), or with ``rng_key`` at a draw of it.

        For levels (``Categorical``, ``Ordinal``) it is the mode. See also ``probabilities``.

        Returns:
            ``(n, *event_shape)``. For a ``data.Table`` or a frame, a frame of the same columns.
        """
        centre = self._reconstruct(find_centre, rng_key, x, context, mask)
        return self.to_frame(centre, index=find_index(x)) if is_table(x, self.data) else centre

    def probabilities(
        self,
        x: DataLike,
        *,
        rng_key: RngKey | None = None,
        context: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> jax.Array | dict[str, jax.Array]:
        """Return the probabilities of each entry's values under p(x|z), for z as in ``reconstruct``.

        Returns:
            ``(n, *event_shape, K)`` for K levels, and P(x = 1) ``(n, *event_shape)`` for
            ``Bernoulli``. For a ``Joint``, a dictionary of these by the name of the block.

        Raises:
            TypeError: for a likelihood of numbers or counts. ``decode`` returns p(x|z) itself.
        """
        p = self._reconstruct(probabilities, rng_key, x, context, mask)
        if isinstance(p, tuple):
            blocks = zip(list_blocks(self.vae.likelihood), p, strict=True)
            p = {block.name: p_block for block, p_block in blocks if p_block is not None}
        return queries.check_probabilities(self.vae, p)

    def _reconstruct(
        self, read: Callable[[Distribution], Any], rng_key: RngKey | None, *inputs: DataLike | None
    ) -> Any:
        if rng_key is None:
            queries.check_one_distribution(self.vae)
        else:
            check_key(rng_key)
        data = self.check_data(*inputs)
        fitted = self if rng_key is not None else point_weights(self)
        return queries.reconstruct(fitted.vae.eval(), fitted.values, rng_key, data, read)

    def impute(
        self,
        x: DataLike,
        mask: ArrayLike | None = None,
        *,
        rng_key: RngKey,
        num_samples: int = 1,
        num_particles: int = 1000,
        quantiles: Sequence[float] = (),
        context: ArrayLike | None = None,
    ) -> Imputed:
        r"""Draw the missing entries of each datum from $p(x_{missing} | x_{observed})$.

        It resamples $z_k \sim q(z | x_{observed})$ with weights
        $w_k = p(x_{observed}, z_k) / q(z_k | x_{observed})$, which is exact as $K$ grows. If
        ``effective_particles`` of a row is below ten, ``impute`` warns. Use more particles. If their
        number hardly grows, the guide is too far from the posterior of that row. With ``Spread``, x and
        the draws are noisy data.

        Args:
            x: data ``(n, *event_shape)``, with any values at missing entries.
            mask: ``(n, *event_shape)``, True where x is observed.
            rng_key: a typed key.
            num_samples: draws for each datum.
            num_particles: $K$, for each datum.
            quantiles: probabilities, such as ``(0.05, 0.95)`` for ``imputed.interval(0.9)``.
            context: ``(n, *context_shape)``.

        Returns:
            draws, means, quantiles and the quality of the weights. For a ``data.Table`` or a frame,
            ``imputed.frame`` and ``imputed.frames`` have them as frames.

        Reference: Mattei and Frellsen 2019, arXiv:1812.02633 (MIWAE), section 3.
        """
        check_draw_arguments(rng_key, num_samples=num_samples, num_particles=num_particles)
        evidence.check_density(self.vae)
        data = self.check_data(x, context, mask)
        came_as_table = is_table(x, self.data)
        data = require_mask(data, is_table=came_as_table)
        imputed = impute(
            self.vae.eval(), self.values, rng_key, data, num_samples=num_samples,
            num_particles=num_particles, quantiles=quantiles,
        )  # fmt: skip
        if not came_as_table:
            return imputed
        return imputed._replace(to_frame=CompletedFrames(read_schema(self.data), x, data.mask))

    def responsibilities(self, x: DataLike, *, rng_key: RngKey, num_particles: int = 100) -> jax.Array:
        """Return $E_{q(z|x)}[p(k | z)]$ for the components k of a mixture prior: ``(n, K)``.

        Here $p(k | z) = w_k p_k(z) / p(z)$, so that each row sums to 1. In a hierarchy the mixture is
        the prior of the top code. For a code with K classes the result is q(k | x). Arguments are those
        of ``log_prob``. With ``Spread``, x is noisy data.

        Raises:
            TypeError: for a prior that is not a mixture.

        Reference: Jiang et al. 2017, arXiv:1611.05148.
        """
        check_draw_arguments(rng_key, num_particles=num_particles)
        data = self.check_data(x)
        return queries.responsibilities(self.vae.eval(), self.values, rng_key, data, num_particles)

    def interpolate(
        self,
        start: DataLike,
        end: DataLike,
        *,
        num_points: int = 10,
        path: Callable[..., jax.Array] = straight,
        context: ArrayLike | None = None,
    ) -> jax.Array:
        """Return means of p(x|z) along a path between the codes of two data.

        Args:
            start: the first datum, of shape ``event_shape``.
            end: the last datum.
            num_points: points on the path, including its ends.
            path: ``latent_paths.straight``, ``latent_paths.spherical``, or any ``(a, b, t) -> z``.
            context: the context of both data and of the path, of shape ``context_shape``.

        Returns:
            an array ``(num_points, *event_shape)``.
        """
        check_positive_integer("num_points", num_points)
        check_function("path", path, 0, 0, 0, such_as="latent_paths.spherical")
        data = [("start", start), ("end", end)]
        x = jnp.stack([check_row(name, a, self.vae.event_shape, "event_shape") for name, a in data])
        if context is not None:
            context = check_row("context", context, self.vae.context_shape, "context_shape")
        ends = self.encode(x, None if context is None else jnp.stack([context] * 2)).mean
        fitted = point_weights(self)
        times = np.linspace(0.0, 1.0, num_points, dtype=ends.dtype)
        codes = [path(ends[0], ends[1], t) for t in times]
        return queries.interpolate(fitted.vae.eval(), fitted.values, codes, context)

    def elbo(
        self,
        x: DataLike,
        *,
        rng_key: RngKey,
        num_particles: int = 1,
        num_noise_draws: int = 1,
        progress: bool = False,
    ) -> BoundEstimate:
        """Return the ELBO per datum in nats, averaged over ``num_particles`` draws of z.

        Arguments are those of ``log_prob``. The KL of weights with a prior is not included, as it
        belongs to no single datum.
        """
        counts = num_particles, num_noise_draws
        return self._bound(evidence.elbo, x, rng_key, *counts, progress=progress)

    def log_prob(
        self,
        x: DataLike,
        *,
        rng_key: RngKey,
        num_particles: int = 5000,
        num_noise_draws: int = 1,
        progress: bool = False,
    ) -> BoundEstimate:
        """Return the importance-weighted lower bound on log p(x) per datum, in nats.

        Its expectation lies between the ELBO and log p(x), and grows with ``num_particles``. Chunks of
        particles bound the memory. With ``nets.BayesianNet``, each particle draws its own weights
        $w ~ q(w)$, and p(x) is the approximate posterior predictive density $E_{q(w)}[p(x|w)]$.

        Args:
            x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``.
            rng_key: a typed key.
            num_particles: number of draws of q(z|x) for each datum.
            num_noise_draws: for a likelihood with noise (``Spread``), the number of noisy draws y of a
                clean x over which the bound on log p(y) is averaged. Use 0 if x is already noisy.
            progress: True for a progress bar.

        Raises:
            ValueError: for data that the VAE cannot use, or a likelihood that is not a density.

        Reference: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519.

        Examples:
            >>> import jax, numpy as np
            >>> from probvae import VAE, fit, likelihoods
            >>> x = np.random.default_rng(0).normal(size=(200, 3))
            >>> vae = VAE(event_shape=(3,), latent_dim=2, likelihood=likelihoods.Gaussian())
            >>> fitted = fit(vae, x, rng_key=jax.random.key(0), epochs=2, progress=False)
            >>> bound = fitted.log_prob(x[:5], num_particles=10, rng_key=jax.random.key(1))
            >>> bound.value.shape  # nats for each row
            (5,)
        """
        counts = num_particles, num_noise_draws
        return self._bound(evidence.log_prob, x, rng_key, *counts, progress=progress)

    def _bound(
        self,
        kind: Callable[..., BoundEstimate],
        x: DataLike,
        rng_key: RngKey,
        *counts: int,
        progress: bool,
    ) -> BoundEstimate:
        check_draw_arguments(rng_key, num_particles=counts[0])
        data = self.check_data(x)
        estimate = partial(queries.estimate_bound, kind, self.vae, self.values, progress=progress)
        return estimate(data, rng_key, *counts)

    def save(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Write parameters, running state and history to one safetensors file, which cannot run code.

        Raises:
            FileExistsError: if the file exists, without ``overwrite``.
        """
        serialization.save(path, self.vae, self.values, self.history, self.data, overwrite=overwrite)


def load(path: str | os.PathLike, vae: VAE) -> Fitted:
    """Read a file that ``Fitted.save`` wrote.

    Args:
        path: the file.
        vae: the VAE that it was saved from, rebuilt by the same code.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: for a file that is corrupt or was saved from another VAE. ``load`` compares all
            parts, their fields, and the names and shapes of all sites. The error names the differences.

    Examples:
        >>> import jax, numpy as np
        >>> from probvae import VAE, fit, likelihoods, load
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> vae = VAE(event_shape=(3,), latent_dim=2, likelihood=likelihoods.Gaussian())
        >>> fitted = fit(vae, x, rng_key=jax.random.key(0), epochs=2, progress=False)
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/fit.safetensors"
        >>> fitted.save(path)
        >>> load(path, vae).encode(x[:5]).mean.shape
        (5, 2)
    """
    check_vae("load", vae)
    check_kind("path", path, PATH)
    saved = serialization.load(path, vae)
    return Fitted(vae, saved.values, saved.history, data=saved.description)


def check_fitted(fitted: object) -> None:
    """Raise TypeError unless ``fitted`` is a ``Fitted``."""
    if not isinstance(fitted, Fitted):
        raise TypeError(
            f"fitted expects the result of fit(...) or load(...); got {format_value(fitted)}."
        )


def point_weights(fitted: Fitted, *, rng_key: RngKey | None = None) -> Fitted:
    """Return a fitted VAE with fixed decoder weights: the mean of q(w), or with ``rng_key`` a draw.

    The decoder becomes the net of ``nets.BayesianNet``, and p(x|z) one function of z, as AIS, NUTS and
    ``fitted.as_prior()`` need. The mean of q(w) does not give the mean of p(x|z, w). Use several draws
    to see the uncertainty of the weights. A VAE without a prior on its weights is returned unchanged.

    Args:
        fitted: a fitted VAE.
        rng_key: a typed key.
    """
    check_fitted(fitted)
    if rng_key is not None:
        check_key(rng_key)
    vae, values = fix_weights(fitted.vae, fitted.values, rng_key)
    return fitted if vae is fitted.vae else replace(fitted, vae=vae, values=values)
