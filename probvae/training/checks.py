"""Everything that can be wrong with what `fit` is given, found before anything is compiled."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from probvae import inputs, join
from probvae.data import Cast
from probvae.evidence import Batch
from probvae.typing import Params, Shape

CHUNK = 512  # rows looked at together: the check must not decide the run's peak memory
AS_IT_IS = Cast()
PASS_STATE = "likelihood$state"  # gathered over a pass through the training set, anew each epoch


def check_options(vae: Any, rng_key: Any, optimizer: Any, epochs: Any, batch_size: Any) -> None:
    """Raise unless the options of ``fit`` are of their kinds."""
    from probvae.vae import VAE

    if not isinstance(vae, VAE):
        raise TypeError(f"fit expects a probvae.VAE; got {vae!r}.")
    check_key(rng_key)
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(
            f"optimizer expects an optax optimizer such as optax.adam(1e-3); got {optimizer!r}."
        )
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        check_count(name, value)


def check_count(name: str, value: Any) -> None:
    """Raise unless ``value`` is a positive integer."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} expects a positive integer; got {value!r}.")


def check_draws(rng_key: Any, **counts: Any) -> None:
    """Raise unless there is a key, and each count of what is to be drawn is a positive integer."""
    check_key(rng_key)
    for name, count in counts.items():
        check_count(name, count)


def check_key(rng_key: Any) -> None:
    """Raise unless ``rng_key`` is one typed key."""
    typed = isinstance(rng_key, jax.Array) and jnp.issubdtype(rng_key.dtype, jax.dtypes.prng_key)
    if not (typed and rng_key.shape == ()):
        raise TypeError(f"rng_key expects one typed key, jax.random.key(0); got {rng_key!r}.")


def check_batch_size(batch_size: int, n: int) -> None:
    """Raise if a batch is larger than the data."""
    if batch_size > n:
        raise ValueError(
            f"batch_size={batch_size} is larger than the data, which have {n} rows: no batch would "
            f"ever be full. Take batch_size <= {n}."
        )


def checked_batch(vae: Any, given: Any, name: str, observation: Any) -> Batch:
    """Return data as a ``Batch`` that fits the VAE: shape, dtype, finiteness, range."""
    batch = given if isinstance(given, Batch) else Batch(given)
    x = _checked_array(vae, batch.x, name)
    inputs.check_shape(name, x.shape, vae.event_shape, "event_shape")
    mask = None if batch.mask is None else np.asarray(batch.mask).astype(bool)
    inputs.checked(vae, *(None if a is None else np.asarray(a)[:1] for a in (x, batch.context, mask)))
    for what, array in (("context", batch.context), ("mask", mask)):
        if array is not None and len(array) != len(x):
            raise ValueError(
                f"{name}: {what} has {len(array)} rows and x has {len(x)}; give one per datum."
            )
    context = None if batch.context is None else _finite(np.asarray(batch.context), f"{name} context")
    _check_labels(vae, context)
    x = np.where(mask, x, np.asarray(vae.likelihood.fill, x.dtype)) if mask is not None else x
    _check_values(vae, _finite(x, name), mask, name, observation)
    return Batch(x, context, mask)


def checked_context(vae: Any, context: Any) -> jax.Array | None:
    """Return the context to generate with, as an array; None without one."""
    rows = inputs.checked_context(vae, context, None)
    _check_labels(vae, rows)
    return rows


def _check_labels(vae: Any, context: Any) -> None:
    """Raise unless a context that is what is known of a discrete site is one-hot, or zeros."""
    if context is None or not vae.prior.observes_context:
        return
    rows = np.asarray(context)
    odd = ~((rows == 0) | (rows == 1)).all(-1) | (rows.sum(-1) > 1)
    if odd.any():
        row = int(odd.argmax())
        raise ValueError(
            f"the prior {type(vae.prior).__name__} reads labels from the context: each row is one-hot, "
            f"or zeros where the label is not known; got {rows[row]} in row {row}. Take "
            "np.eye(classes)[label], times 0 where there is none."
        )


def checked_missing(vae: Any, x: Any, context: Any, mask: Any) -> Batch:
    """Return data with missing entries as a ``Batch`` that fits; what stands there is not looked at."""
    for name, array in (("mask", mask), ("x", x)):
        inputs.check_shape(name, np.shape(array), vae.event_shape, "event_shape")
    seen = np.where(np.asarray(mask, bool), np.asarray(x), vae.likelihood.fill)
    return checked_batch(vae, Batch(seen, context, mask), "x", AS_IT_IS)


def _checked_array(vae: Any, value: Any, name: str) -> np.ndarray:
    if value is None or isinstance(value, str | dict):
        raise TypeError(f"{name} expects an array (n, *event_shape); got {value!r}.")
    x = np.asarray(value)
    if x.dtype.kind not in "buif":
        raise TypeError(
            f"{name} expects numbers; got dtype {x.dtype}. Encode text or objects as numbers first."
        )
    if x.size == 0 or x.ndim == 0:
        raise ValueError(
            f"{name} expects at least one datum of shape {vae.event_shape}; got shape {x.shape}."
        )
    return in_precision(x)


def in_precision(x: np.ndarray) -> np.ndarray:
    """Return float64 as float32, where that is what JAX computes in."""
    return x.astype(np.float32) if x.dtype == np.float64 and jnp.zeros(()).dtype == np.float32 else x


def _finite(x: np.ndarray, name: str) -> np.ndarray:
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        row = int(np.argmax(~np.isfinite(x.reshape(len(x), -1)).all(axis=1)))
        count = int((~np.isfinite(x)).sum())
        raise ValueError(
            f"{name} holds {count} values that are NaN or infinite, the first in row {row}; expected "
            "finite numbers. Drop or fill them, or say that they are missing: Batch(x, mask=...)."
        )
    return x


def _check_values(
    vae: Any, x: np.ndarray, mask: np.ndarray | None, name: str, observation: Any
) -> None:
    """Raise unless every observed value is one that the likelihood gives a density to."""
    likelihood = vae.likelihood
    if (
        x.dtype == np.uint8
        and x.max() > 1
        and type(observation).__name__ == "Cast"
        and _real(likelihood)
    ):
        raise ValueError(
            f"{name} holds bytes in 0..{x.max()} and the likelihood {type(likelihood).__name__} takes "
            "real numbers: they would be modelled in units of grey levels. Give the observation that "
            "the data bring, fit(..., observation=data.observation), or convert them to float."
        )
    for start in range(0, len(x), CHUNK):
        seen = _seen(observation, x[start : start + CHUNK])
        fine = np.asarray(likelihood.support(seen))
        if mask is not None:
            fine = fine | ~mask[start : start + CHUNK]
        if not fine.all():
            raise ValueError(_out_of_range(likelihood, seen[~fine], name))


def _seen(observation: Any, x: np.ndarray) -> np.ndarray:
    return x if isinstance(observation, Cast) else np.asarray(observation(jax.random.key(0), x))


def _real(likelihood: Any) -> bool:
    return "real" in str(likelihood.support).lower()


def _out_of_range(likelihood: Any, bad: np.ndarray, name: str) -> str:
    takes = str(likelihood.support).strip("_<>").lower().replace("()", "")
    return (
        f"the likelihood {type(likelihood).__name__} takes {takes} values"
        f"{' (0 or 1)' if takes == 'boolean' else ''}; {name} holds {bad.size} others, such as "
        f"{bad.ravel()[0]:.4g}, in [{bad.min():.4g}, {bad.max():.4g}]. Binarise grey values "
        "(load(..., binarize='dynamic'), or observation=data.Binarize(high=...)), or take a likelihood "
        "for such values, as likelihoods.Gaussian()."
    )


def checked_params(vae: Any, given: Params) -> dict[str, Any]:
    """Return starting values, of parameters and running state, as the VAE's sites take them.

    What is frozen must be among them. A training-set value is gathered anew, unless it is frozen.
    """
    found = join.structure(vae)
    known = {**found.params, **found.state}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(
            f"init_params names {unknown}, which this VAE does not have. Its sites are {sorted(known)}."
        )
    for name, value in given.items():
        _check_tree(name, value, known[name])
    missing = [name for name in sorted(known) if is_frozen(vae, name) and name not in given]
    if missing:
        raise ValueError(
            f"freeze={vae.frozen} holds a part at the values that init_params gives, and it has none "
            f"for {missing}. Give init_params=fitted.values, or shared_params(fitted, vae) where "
            "other parts were swapped."
        )
    return {k: v for k, v in given.items() if k != PASS_STATE or is_frozen(vae, k)}


def is_frozen(vae: Any, name: str) -> bool:
    """Tell whether a site belongs to a part that is frozen."""
    return name.split("$")[0] in vae.frozen


def same_shapes(value: Any, expected: Any) -> bool:
    """Tell whether two trees have the same names and shapes."""
    return _shapes(value) == _shapes(expected)


def _check_tree(name: str, value: Any, expected: Any) -> None:
    got, want = _shapes(value), _shapes(expected)
    if got == want:
        return
    odd = min(k for k in got.keys() | want.keys() if got.get(k) != want.get(k))
    raise ValueError(
        f"the value given for {name}{odd} has shape {got.get(odd, 'none')}; this VAE expects "
        f"{want.get(odd, 'none there')}. It was made by another VAE, or for other sizes."
    )


def _shapes(tree: Any) -> dict[str, Shape]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): np.shape(leaf) for path, leaf in leaves}
