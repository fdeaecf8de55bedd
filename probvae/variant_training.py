"""compare_variants: every variant trained with every key, then compared on the same test rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from numbers import Real
from string import ascii_uppercase
from typing import Any, NamedTuple

import jax
import numpy as np

from probvae.checks import check_positive_integer
from probvae.criticism.comparison import check_comparable, drop_context
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.objectives import ELBO, AbstractObjective
from probvae.training import EarlyStopping, sweep
from probvae.training.compile_cache import intern_optimizer
from probvae.training.sweeps.sweep import check_keys
from probvae.typing import DataLike, Observation, RngKey
from probvae.vae import VAE
from probvae.variant import Variant
from probvae.variant_comparison import VariantComparison

ELBO_PARTICLES = 10
EVALUATION = 2**16  # folded into a key: `fit` splits the key itself, into few
Variants = Mapping[str, VAE | Variant] | Sequence[VAE | Variant]


class Trial(NamedTuple):
    """A variant to train: its name, its VAE, the other arguments of ``sweep``, and the test rows."""

    name: str
    vae: VAE
    options: dict[str, Any]
    test: DataLike


def compare_variants(
    variants: Variants,
    x: DataLike,
    *,
    validation: DataLike,
    test: DataLike,
    rng_keys: Iterable[RngKey],
    observation: Observation | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    early_stopping: EarlyStopping | None = None,
    keep_best: bool | None = None,
    num_particles: int = 1000,
    reference: str | None = None,
    at_once: int | None = None,
    progress: bool = True,
) -> VariantComparison:
    """Train every variant once with every key, and compare their log p(x) on the same test rows.

    One training of A against one of B says little, because log p(x) changes from key to key. Here the
    trainings are paired: with the same key, every variant sees the data in the same order, and is
    evaluated on the same rows. ``print`` of the result shows the mean and the standard error over keys
    of log p(x) and the ELBO, the paired difference to the reference with its standard error, and how
    many keys agree with its sign.

    All keys of a variant run in one compiled program. Variants that differ in one number of the
    objective alone, such as ``beta``, share that program.

    **Main arguments**

    Args:
        variants: two or more, by name: ``{"plain": vae, "flow": Variant(other, optimizer=...)}``. A
            ``Variant`` has its own objective, optimizer and initial parameters. The names of a sequence
            are A, B, C, ...
        x: training data, as in ``fit``. Variants without a context ignore the context of a ``Batch``.
        validation: chooses the epoch that each training keeps, as in ``fit``.
        test: the rows on which the variants are compared. No training sees them.
        rng_keys: typed keys, one for each repetition, such as ``jax.random.split(key, 5)``.
        observation: as in ``fit``.
        epochs: passes through the data, for every variant. The default is that of each variant.
        batch_size: data per step, for every variant. The default is that of each variant.

    **Further arguments**

    Args:
        early_stopping: of each training.
        keep_best: as in ``fit``.
        num_particles: draws of z per test row in log p(x).
        reference: the name of the variant to which the others are compared. The default is the first.
        at_once: as in ``sweep``, the number of keys that train side by side.
        progress: show bars.

    Returns:
        the numbers, and every fitted VAE.

    Raises:
        TypeError, ValueError: as ``fit``. Also for a single variant, a key that you pass twice, a
            variant with a part that is not a density, or variants whose log p(x) are not of the same
            data or not in the same units.
        KeyboardInterrupt: after Ctrl-C, since variants that are trained in part do not compare.

    Examples:
        >>> import dataclasses, jax, numpy as np
        >>> from probvae import VAE, compare_variants, likelihoods
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(500, 2)) @ rng.normal(size=(2, 4)) + 0.3 * rng.normal(size=(500, 4))
        >>> one = VAE(event_shape=(4,), latent_dim=1, likelihood=likelihoods.Gaussian())
        >>> variants = {"one unit": one, "two units": dataclasses.replace(one, latent_dim=2)}
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> options = {"epochs": 20, "batch_size": 50, "num_particles": 100, "progress": False}
        >>> held_out = {"validation": x[300:400], "test": x[400:]}
        >>> result = compare_variants(variants, x[:300], rng_keys=keys, **held_out, **options)
        >>> result.differences.shape, bool(result.difference[1] > 0)
        ((2, 3), True)
    """
    check_positive_integer("num_particles", num_particles)
    keys = _check_different(check_keys(rng_keys))
    trials = [
        Trial(
            name,
            variant.vae,
            {
                "train": drop_context(variant.vae, x),
                "validation": drop_context(variant.vae, validation),
                "observation": observation,
                "objective": variant.objective,
                "optimizer": variant.optimizer,
                "epochs": epochs or variant.epochs or 100,
                "batch_size": batch_size or variant.batch_size or 128,
                "init_params": variant.init_params,
                "early_stopping": early_stopping,
                "keep_best": keep_best,
            },
            drop_context(variant.vae, test),
        )
        for name, variant in name_variants(variants).items()
    ]
    for name, size in (("epochs", epochs), ("batch_size", batch_size)):
        if size is not None:
            check_positive_integer(name, size)
    return compare_trials(
        trials,
        keys,
        [jax.random.fold_in(key, EVALUATION) for key in keys],
        num_particles=num_particles,
        reference=reference,
        at_once=at_once,
        progress=progress,
    )


def name_variants(variants: Variants) -> dict[str, Variant]:
    """Return variants by name. A VAE alone becomes a variant."""
    if isinstance(variants, VAE | Variant):
        variants = [variants]  # `compare_trials` says that it needs two
    if not isinstance(variants, Mapping):
        names = [*ascii_uppercase, *(f"{n + 1}" for n in range(26, len(variants)))]
        variants = dict(zip(names, variants, strict=False))
    named = {}
    for name, variant in variants.items():
        each = Variant(variant) if isinstance(variant, VAE) else variant
        if not isinstance(each, Variant) or not isinstance(each.vae, VAE):
            raise TypeError(f"variants[{name!r}] expects a VAE or a Variant; got {variant!r}.")
        named[str(name)] = each
    return named


def compare_trials(
    trials: Sequence[Trial],
    keys: Sequence[RngKey],
    evaluation_keys: Sequence[RngKey],
    *,
    num_particles: int,
    reference: str | None = None,
    at_once: int | None = None,
    progress: bool = False,
    say: Callable[[str], Any] = lambda _: None,
) -> VariantComparison:
    """Train and compare variants. ``compare_variants`` documents the arguments.

    Args:
        trials: two or more variants.
        keys: one for each training of a variant.
        evaluation_keys: as many, for the bounds on log p(x).
        num_particles: draws of z per test row.
        reference: the name of a variant.
        at_once: keys side by side.
        progress: show bars.
        say: called with a line before each training.

    Raises:
        ValueError: for fewer than two variants, or variants that do not compare.
        KeyboardInterrupt: after Ctrl-C.
    """
    names = [trial.name for trial in trials]
    if len(trials) < 2:
        raise ValueError(
            "compare_variants expects two or more variants, such as {'a': vae_a, 'b': vae_b}; got "
            f"{len(trials)}. For the seeds of one variant, use sweep(vae, x, rng_keys=...)."
        )
    reference = names[0] if reference is None else reference
    if reference not in names:
        raise ValueError(f"reference expects one of the variants {names}; got {reference!r}.")
    check_comparable({trial.name: trial.vae for trial in trials})
    fitted: dict[str, tuple[Fitted, ...]] = {}
    for group in _group_by_program(trials):
        say(f"training {', '.join(trial.name for trial in group)}: {len(keys)} times each")
        fitted |= _train_group(group, keys, at_once=at_once, progress=progress)
    log_prob, elbo = [], []
    for trial in trials:
        say(f"evaluating {trial.name}")
        pairs = zip(fitted[trial.name], evaluation_keys, strict=True)
        options: dict[str, Any] = {"num_particles": num_particles, "progress": progress}
        bounds = [_evaluate(each, trial.test, key, **options) for each, key in pairs]
        log_prob.append([values for values, _ in bounds])
        elbo.append([values for _, values in bounds])
    return VariantComparison(
        tuple(names),
        reference,
        np.array(log_prob),
        np.array(elbo),
        num_particles,
        tuple(fitted[name] for name in names),
    )


def _check_different(keys: list[RngKey]) -> list[RngKey]:
    data = [tuple(jax.random.key_data(key).ravel().tolist()) for key in keys]
    if len(set(data)) < len(data):
        raise ValueError(
            "rng_keys has a key twice: its trainings would be identical, and the standard error too "
            "small. Use jax.random.split(key, 5)."
        )
    return keys


def _evaluate(
    fitted: Fitted, test: DataLike, key: RngKey, *, num_particles: int, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return log p(x) and the ELBO of test rows, ``(n,)`` each."""
    batch: Batch = fitted.check_data(test, name="test")
    fitted = replace(fitted, data=None)  # check_data compared the rows with the training data already
    elbo_key, log_prob_key = jax.random.split(key)  # as `probvae train` does
    elbo = fitted.elbo(batch, rng_key=elbo_key, num_particles=ELBO_PARTICLES, progress=progress)
    log_prob = fitted.log_prob(
        batch, rng_key=log_prob_key, num_particles=num_particles, progress=progress
    )
    return log_prob.value, elbo.value


# Variants that share a program


def _group_by_program(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Return groups of variants that differ in one number of the objective, or in nothing, at most."""
    groups: list[list[Trial]] = []
    for trial in trials:
        group = next((g for g in groups if _differing_weights([*g, trial]) is not None), None)
        if group is None:
            groups.append([trial])
        else:
            group.append(trial)
    return groups


def _differing_weights(group: Sequence[Trial]) -> tuple[str, ...] | None:
    """Return the weight in which the objectives of a group differ: none or one.

    None if the group differs in anything else, so that it needs more than one program.
    """
    first = group[0]
    for other in group[1:]:
        are_same = (_is_same(k, v, first.options[k]) for k, v in other.options.items())
        if other.vae != first.vae or not all(are_same):
            return None
    objectives = [_objective(trial) for trial in group]
    if not all(type(each) is type(objectives[0]) for each in objectives):
        return None
    if not isinstance(objectives[0], AbstractObjective):
        return () if all(each == objectives[0] for each in objectives) else None
    values = {f.name: [getattr(each, f.name) for each in objectives] for f in fields(objectives[0])}
    differing = tuple(name for name, each in values.items() if any(v != each[0] for v in each))
    if not differing:
        return ()
    (name, *more) = differing
    are_numbers = all(isinstance(value, Real) for value in values[name])
    return None if more or name not in objectives[0].scheduled or not are_numbers else (name,)


def _objective(trial: Trial) -> Any:
    return ELBO() if trial.options["objective"] is None else trial.options["objective"]


def _is_same(name: str, value: Any, other: Any) -> bool:
    """Return whether two variants can share a program as far as one of their options is concerned."""
    if value is other or name == "objective":
        return True
    if name == "optimizer":
        return None not in (value, other) and intern_optimizer(value) is intern_optimizer(other)
    if name in ("train", "validation", "init_params"):  # arrays
        batches = isinstance(value, Batch) and isinstance(other, Batch)
        return batches and all(a is b for a, b in zip(value, other, strict=True))
    return value == other


def _train_group(
    group: Sequence[Trial], keys: Sequence[RngKey], *, at_once: int | None, progress: bool
) -> dict[str, tuple[Fitted, ...]]:
    """Return the fitted VAEs of each variant, by name and in the order of the keys."""
    options = {**group[0].options, "at_once": at_once, "progress": progress}
    train = options.pop("train")
    values: dict[str, tuple[float, ...]] = {
        name: tuple(dict.fromkeys(getattr(_objective(trial), name) for trial in group))
        for name in _differing_weights(group) or ()
    }
    result = sweep(group[0].vae, train, rng_keys=keys, over=values, **options)
    if result.interrupted:
        names = ", ".join(trial.name for trial in group)
        raise KeyboardInterrupt(f"in the training of {names}: nothing to compare")
    return {
        trial.name: tuple(
            result.at(key, **{name: getattr(_objective(trial), name) for name in values})
            for key in range(len(keys))
        )
        for trial in group
    }
