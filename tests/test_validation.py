"""Validation data: checked as training data are, and what is not finite in them is named."""

import warnings

import jax
import numpy as np
import pytest

from probvae import VAE, Batch, EarlyStopping, data, fit, likelihoods, nets, sweep

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 3)).astype("float32")
CONTEXT = RANDOM.random((64, 1)).astype("float32")
VAE_OF_X = VAE(
    event_shape=(3,),
    latent_dim=1,
    likelihood=likelihoods.Gaussian(likelihoods.FixedScale(0.01)),
    encoder=nets.Linear(),
    decoder=nets.Linear(),
    context_shape=(1,),
)
OPTIONS = {"epochs": 3, "batch_size": 16, "progress": False}


def with_cell(part, row):
    """Validation data whose row has a value that is too large for a finite bound, not for float32."""
    x, context = X[:20].copy(), CONTEXT[:20].copy()
    (x if part == "x" else context)[row, 0] = 1e18
    return x, context


def said_by(call):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = call()
    return result, [str(w.message) for w in said]


@pytest.mark.parametrize("part", ["x", "context"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_bound_that_is_not_finite_names_its_rows(part, streamed):
    x, context = with_cell(part, 17)
    source = data.StreamedData(x, chunk_bytes=100) if streamed else x
    early = EarlyStopping(1)
    fitted, said = said_by(
        lambda: fit(
            VAE_OF_X, Batch(X, CONTEXT), validation=Batch(source, context), rng_key=KEY,
            early_stopping=early, **OPTIONS,
        )
    )  # fmt: skip
    cell, bound = said
    assert cell.startswith("validation" if part == "x" else "validation context")
    assert "1e+18 in row 17, entry 0" in cell
    assert "the validation ELBO of epoch 1 is" in bound
    assert "1 of its rows have no finite bound: 17." in bound
    assert not np.isfinite(fitted.history.validation["elbo"]).any()
    assert fitted.history.best_epoch is None


def test_a_sweep_names_them_too():
    x, context = with_cell("x", 5)
    found, said = said_by(
        lambda: sweep(
            VAE_OF_X, Batch(X, CONTEXT), validation=Batch(x, context),
            rng_keys=jax.random.split(KEY, 2), **OPTIONS,
        )
    )  # fmt: skip
    assert any("no finite bound: 5." in text for text in said)
    assert found.fitted[0].data.x.high == pytest.approx(X.max(0))
    with pytest.raises(ValueError, match=r"validation holds 1e\+30 in row 5"):
        sweep(
            VAE_OF_X, Batch(X, CONTEXT), validation=Batch(np.where(x == 1e18, 1e30, x), context),
            rng_keys=[KEY], **OPTIONS,
        )  # fmt: skip


def test_ordinary_validation_data_are_silent():
    _, said = said_by(
        lambda: fit(
            VAE_OF_X, Batch(X, CONTEXT), validation=Batch(X[:20], CONTEXT[:20]), rng_key=KEY, **OPTIONS
        )
    )
    assert said == []
