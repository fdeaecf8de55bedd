"""Densities of tables without a VAE: independent columns, Gaussians, mixtures, and a copula.

Each function takes training and validation rows of one ``data.Table`` split, and returns a function
that scores rows: log p(x) in nats per row, in the file's own units. Levels and whole numbers are
scored by their probability, other numbers by their density. Settings such as the number of components
are chosen by the validation rows.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from probvae.data import Table
from probvae.data.column_types import AbstractLevels, AbstractNumber, Count

Score = Callable[[Table], np.ndarray]
warnings.filterwarnings("ignore", category=ConvergenceWarning)
LOG_2PI = float(np.log(2 * np.pi))


class Normal(NamedTuple):
    """One component of a mixture of normal distributions."""

    weight: float
    mean: np.ndarray
    cov: np.ndarray


def choose(candidates: dict[str, Score], valid: Table) -> tuple[str, Score]:
    """Return the candidate with the highest mean log p of the validation rows, and its name."""
    means = {name: float(score(valid).mean()) for name, score in candidates.items()}
    best = max(means, key=lambda name: means[name])
    return best, candidates[best]


# Columns -----------------------------------------------------------------------------------------


def fit_column(x: np.ndarray, column: object) -> Callable[[np.ndarray], np.ndarray]:
    """Return log p of one column's cells, fitted to observed training cells (n,)."""
    if isinstance(column, AbstractLevels):
        return _fit_levels(x, len(column.levels))
    whole = bool(getattr(column, "whole", False))
    families = [_fit_normal(x, whole=whole)]
    if (x > 0).all():
        families.append(_fit_log_normal(x, whole=whole))
    if whole and (x >= 0).all():
        families.append(_fit_empirical(x))
        families += [_fit_negative_binomial(x)] if isinstance(column, Count) else []
    # The last fifth of the rows chooses the family: an empirical mass fits its own rows too well.
    if whole and len(x) > 50:
        held = len(x) // 5
        return max(_refit(x, column, held), key=lambda pair: pair[0])[1]
    return max(families, key=lambda log_p: log_p(x).mean())


def _refit(x: np.ndarray, column: object, held: int) -> list[tuple[float, Callable]]:
    families: list[Callable] = [lambda y: _fit_normal(y, whole=True)]
    families += [lambda y: _fit_log_normal(y, whole=True)] if (x > 0).all() else []
    families += [_fit_empirical] if (x >= 0).all() else []
    families += [_fit_negative_binomial] if isinstance(column, Count) else []
    return [(family(x[:-held])(x[-held:]).mean(), family(x)) for family in families]


def _fit_levels(x: np.ndarray, k: int) -> Callable[[np.ndarray], np.ndarray]:
    counts = np.bincount(x.astype(int), minlength=k) + 1.0
    log_p = np.log(counts / counts.sum())
    return lambda y: log_p[y.astype(int)]


def _interval(cdf: Callable, x: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(cdf(x + 0.5) - cdf(x - 0.5), 1e-300))


def _fit_normal(x: np.ndarray, *, whole: bool) -> Callable[[np.ndarray], np.ndarray]:
    p = stats.norm(x.mean(), x.std() or 1.0)
    return (lambda y: _interval(p.cdf, y)) if whole else p.logpdf


def _fit_log_normal(x: np.ndarray, *, whole: bool) -> Callable[[np.ndarray], np.ndarray]:
    log_x = np.log(x)
    p = stats.lognorm(s=log_x.std() or 1.0, scale=np.exp(log_x.mean()))
    return (lambda y: _interval(p.cdf, y)) if whole else p.logpdf


def _fit_empirical(x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return observed frequencies, with a share of ~1 row spread over all integers up to twice the top.

    The share is that of Good and Turing: the number of values seen once over n.
    """
    values, counts = np.unique(x, return_counts=True)
    share = (np.sum(counts == 1) + 1) / (len(x) + 2)
    width = 2 * values[-1] + 2

    def log_p(y: np.ndarray) -> np.ndarray:
        place = np.searchsorted(values, y).clip(max=len(values) - 1)
        frequency = np.where(values[place] == y, counts[place] / len(x), 0.0)
        inside = (y >= 0) & (y < width)
        return np.log(np.maximum((1 - share) * frequency + share * inside / width, 1e-300))

    return log_p


def _fit_negative_binomial(x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    mean = max(x.mean(), 1e-6)

    def loss(log_r: float) -> float:
        r = np.exp(log_r)
        return -stats.nbinom(r, r / (r + mean)).logpmf(x).mean()

    r = np.exp(optimize.minimize_scalar(loss, bounds=(-8, 12), method="bounded").x)
    return stats.nbinom(r, r / (r + mean)).logpmf


def fit_independent(train: Table, valid: Table) -> dict[str, Score]:
    """Return independent columns. Missing cells have no factor."""
    columns = train.schema.modelled
    fits = [fit_column(train.x[train.mask[:, i], i], column) for i, column in enumerate(columns)]

    def score(table: Table) -> np.ndarray:
        total = np.zeros(len(table))
        for i, log_p in enumerate(fits):
            rows = table.mask[:, i]
            total[rows] += log_p(table.x[rows, i])
        return total

    return {"": score}


# Gaussians ---------------------------------------------------------------------------------------


class Scaled:
    """Numbers of a complete table, standardized, of which positive ones may be logarithms.

    A column of two levels stays as it is, and is scored by its probability given the other columns.
    """

    def __init__(self, train: Table, *, logs: bool) -> None:
        columns = train.schema.modelled
        if not train.mask.all():
            raise ValueError("expected a table without missing cells.")
        self.binary = [i for i, c in enumerate(columns) if isinstance(c, AbstractLevels)]
        if any(len(columns[i].levels) > 2 for i in self.binary):
            raise ValueError("expected numbers and columns of two levels.")
        positive = np.array([isinstance(c, AbstractNumber) for c in columns]) & (train.x > 0).all(0)
        self.log = positive if logs else np.zeros_like(positive)
        y = self._take_logs(train.x)
        self.mean, self.sd = y.mean(0), y.std(0)

    def _take_logs(self, x: np.ndarray) -> np.ndarray:
        return np.where(self.log, np.log(np.where(self.log, np.maximum(x, 1e-12), 1.0)), x)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (self._take_logs(x) - self.mean) / self.sd

    def log_jacobian(self, x: np.ndarray) -> np.ndarray:
        """Return log |dy/dx| of each row, over columns that have a density."""
        terms = -np.log(self.sd) - np.where(self.log, self._take_logs(x), 0.0)
        return np.delete(np.broadcast_to(terms, x.shape), self.binary, axis=1).sum(1)


def score_normals(components: Sequence[Normal], scaled: Scaled) -> Score:
    """Return log p of rows under a mixture of normals of standardized columns."""

    def density(y: np.ndarray, columns: list[int]) -> np.ndarray:
        logs = [
            np.log(c.weight)
            + stats.multivariate_normal(
                c.mean[columns], c.cov[np.ix_(columns, columns)], allow_singular=True
            ).logpdf(y[:, columns])
            for c in components
        ]
        return special.logsumexp(logs, axis=0)

    def score(table: Table) -> np.ndarray:
        y, everything = scaled(table.x), list(range(table.x.shape[1]))
        log_p = scaled.log_jacobian(table.x)
        if not scaled.binary:
            return log_p + density(y, everything)
        (i,) = scaled.binary  # p(rest) p(level | rest): the density at one level over that at both
        rest = [j for j in everything if j != i]
        levels = [(level - scaled.mean[i]) / scaled.sd[i] for level in (0.0, 1.0)]
        swapped = [np.where(np.arange(len(everything)) == i, level, y) for level in levels]
        both = special.logsumexp([density(each, everything) for each in swapped], axis=0)
        return log_p + density(y, rest) + density(y, everything) - both

    return score


def _one(cov: np.ndarray) -> list[Normal]:
    return [Normal(1.0, np.zeros(len(cov)), cov)]


def fit_full(train: Table, *, logs: bool) -> dict[str, Score]:
    """Return the normal distribution with the training rows' covariance."""
    scaled = Scaled(train, logs=logs)
    return {"": score_normals(_one(np.cov(scaled(train.x).T, bias=True)), scaled)}


def fit_factors(train: Table, units: Sequence[int], *, logs: bool) -> dict[str, Score]:
    """Return scikit-learn's FactorAnalysis, by the number of units."""
    scaled = Scaled(train, logs=logs)
    y = scaled(train.x)
    fits = {k: FactorAnalysis(k, tol=1e-4, max_iter=3000).fit(y) for k in units if k < y.shape[1]}
    return {f"{k} units": score_normals(_one(f.get_covariance()), scaled) for k, f in fits.items()}


def fit_pca(train: Table, units: Sequence[int], *, logs: bool) -> dict[str, Score]:
    """Return probabilistic PCA, by the number of units."""
    scaled = Scaled(train, logs=logs)
    y = scaled(train.x)
    fits = {k: PCA(k).fit(y) for k in units if k < y.shape[1]}
    return {f"{k} units": score_normals(_one(f.get_covariance()), scaled) for k, f in fits.items()}


def fit_normals(train: Table, components: Sequence[int], *, logs: bool) -> dict[str, Score]:
    """Return mixtures of normals, by components, covariance type and regularization."""
    scaled, scores = Scaled(train, logs=logs), {}
    y = scaled(train.x)
    for kind in ("full", "tied", "diag"):
        for k in components:
            for ridge in (1e-3, 1e-2, 1e-1):
                g = GaussianMixture(k, covariance_type=kind, reg_covar=ridge, random_state=0).fit(y)
                covs = {
                    "full": g.covariances_,
                    "tied": [g.covariances_] * k,
                    "diag": [np.diag(v) for v in g.covariances_] if kind == "diag" else [],
                }[kind]
                parts = [Normal(*part) for part in zip(g.weights_, g.means_, covs, strict=True)]
                scores[f"{k} {kind}, {ridge:g}"] = score_normals(parts, scaled)
    return scores


# Mixed tables ------------------------------------------------------------------------------------


class _Codes:
    """A mixed table as numbers for a mixture: levels, frequent whole numbers, and real numbers."""

    def __init__(self, train: Table, most: int = 150) -> None:
        self.kinds: list[tuple[str, np.ndarray]] = []
        for i, column in enumerate(train.schema.modelled):
            x = train.x[train.mask[:, i], i]
            if isinstance(column, AbstractLevels):
                self.kinds.append(("levels", np.arange(len(column.levels), dtype=float)))
            elif getattr(column, "whole", False) and len(np.unique(x)) <= min(most, len(x) // 20):
                self.kinds.append(("levels", np.unique(x)))
            else:
                self.kinds.append(("log" if (x > 0).all() else "real", np.empty(0)))

    def levels(self, i: int, x: np.ndarray) -> np.ndarray:
        """Return the place of each value, or the number of levels for a value that is new."""
        values = self.kinds[i][1]
        place = np.searchsorted(values, x).clip(max=len(values) - 1)
        return np.where(values[place] == x, place, len(values))


def fit_latent_classes(
    train: Table, classes: Sequence[int], *, iterations: int = 100, seed: int = 0
) -> dict[str, Score]:
    """Return mixtures of independent columns, fitted by EM, by the number of classes.

    Levels, and whole numbers with at most 150 distinct values, have frequencies in each class (with a
    prior count of 0.1 for each level, and one level for all values that training has not). Other
    numbers are normal, or lognormal if positive. Missing cells have no factor.
    """
    codes = _Codes(train)
    return {f"{k} classes": _fit_classes(train, codes, k, iterations, seed) for k in classes}


def _fit_classes(train: Table, codes: _Codes, k: int, iterations: int, seed: int) -> Score:
    rng = np.random.default_rng(seed)
    r = rng.dirichlet(np.full(k, 0.3), len(train))  # (n, k) responsibilities
    columns = [_prepare(train, codes, i) for i in range(train.x.shape[1])]
    log_p, before = None, -np.inf
    for _ in range(iterations):
        weights = np.log((r.sum(0) + 1) / (len(r) + k))
        tables = [_maximize(kind, y, mask, r) for kind, y, mask in columns]
        log_p = weights + sum(
            _log_column(kind, y, mask, t) for (kind, y, mask), t in zip(columns, tables, strict=True)
        )
        total = special.logsumexp(log_p, axis=1)
        r = np.exp(log_p - total[:, None])
        if abs(total.mean() - before) < 1e-4:
            break
        before = total.mean()

    def score(table: Table) -> np.ndarray:
        parts, extra = [], np.zeros(len(table))
        for i, t in enumerate(tables):
            kind, y, mask = _prepare(table, codes, i)
            parts.append(_log_column(kind, y, mask, t))
            if codes.kinds[i][0] == "log":  # the density of x, not of log x
                extra -= np.where(mask, y, 0.0)
            top = 2 * train.x[train.mask[:, i], i].max() + 2
            if codes.kinds[i][0] == "levels":  # a new value shares its level with all others
                extra -= np.where(mask & (y == len(codes.kinds[i][1])), np.log(top), 0.0)
        return special.logsumexp(weights + sum(parts), axis=1) + extra

    return score


def _prepare(table: Table, codes: _Codes, i: int) -> tuple[str, np.ndarray, np.ndarray]:
    kind, values = codes.kinds[i]
    mask = table.mask[:, i]
    x = np.where(mask, table.x[:, i], values[0] if kind == "levels" else 1.0)
    if kind == "levels":
        return f"levels {len(values) + 1}", codes.levels(i, x), mask
    return kind, np.log(np.maximum(x, 1e-12)) if kind == "log" else x, mask


def _maximize(kind: str, y: np.ndarray, mask: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, ...]:
    r = r * mask[:, None]
    if kind.startswith("levels"):
        size = int(kind.split()[1])
        counts = np.stack([np.bincount(y, each, size) for each in r.T]) + 0.1
        return (np.log(counts / counts.sum(1, keepdims=True)),)  # (k, levels)
    n = r.sum(0) + 1.0
    mean = (r.T @ y + y[mask].mean()) / n
    square = (r * (y[:, None] - mean) ** 2).sum(0) + y[mask].var()
    return mean, np.sqrt(square / n)


def _log_column(kind: str, y: np.ndarray, mask: np.ndarray, t: tuple[np.ndarray, ...]) -> np.ndarray:
    if kind.startswith("levels"):
        return np.where(mask[:, None], t[0].T[y], 0.0)
    mean, sd = t
    log_p = -0.5 * ((y[:, None] - mean) / sd) ** 2 - np.log(sd) - LOG_2PI / 2
    return np.where(mask[:, None], log_p, 0.0)


def fit_copula(train: Table, *, draws: int = 20, seed: int = 0) -> dict[str, Score]:
    """Return a Gaussian copula of the numbers, beside independent levels.

    Margins are those of independent columns, by their distribution function on the training rows. A
    whole number is spread over its cell by ``draws`` uniform draws: their mean density estimates its
    probability. Levels without an order have no distribution function, so they stay independent.
    """
    columns = train.schema.modelled
    numbers = [i for i, c in enumerate(columns) if isinstance(c, AbstractNumber)]
    if not train.mask[:, numbers].all():
        raise ValueError("expected numbers without gaps.")
    fits = [fit_column(train.x[train.mask[:, i], i], c) for i, c in enumerate(columns)]
    margins = [np.unique(train.x[:, i], return_counts=True) for i in numbers]

    def normal_scores(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        scores = []
        for (values, counts), i in zip(margins, numbers, strict=True):
            steps = np.concatenate([[0], np.cumsum(counts)]) / (counts.sum() + 1)
            low = np.searchsorted(values, x[:, i], side="left")
            high = np.searchsorted(values, x[:, i], side="right")
            u = steps[low] + (steps[high] - steps[low]) * rng.random(len(x))
            scores.append(special.ndtri(u.clip(0.5 / len(train), 1 - 0.5 / len(train))))
        return np.stack(scores, axis=1)

    rng = np.random.default_rng(seed)
    correlation = np.corrcoef(normal_scores(train.x, rng).T)
    p = stats.multivariate_normal(np.zeros(len(numbers)), correlation)

    def score(table: Table) -> np.ndarray:
        total = np.zeros(len(table))
        for i, log_p in enumerate(fits):
            rows = table.mask[:, i]
            total[rows] += log_p(table.x[rows, i])
        rng = np.random.default_rng(seed + 1)
        ratios = []
        for _ in range(draws):
            y = normal_scores(table.x, rng)
            ratios.append(p.logpdf(y) - stats.norm.logpdf(y).sum(1))
        return total + special.logsumexp(ratios, axis=0) - np.log(draws)

    return {"": score}
