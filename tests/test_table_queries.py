"""A table goes in, a table comes out: ``data.Table``, ``VAE.for_table`` and the queries of its fit."""

import dataclasses

import jax
import numpy as np
import optax
import pandas as pd
import pytest

from probvae import VAE, Batch, data, diagnose, fit, load
from probvae.likelihoods import Gaussian, Standardized, StudentT

KEY = jax.random.key(0)


def make_frame(n=120, seed=0):
    """Columns of each type: a real one, a positive one, a count, yes/no, levels and dates, with gaps."""
    rng = np.random.default_rng(seed)
    size = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "temperature": 2 + 5 * size + rng.normal(size=n),
            "price": np.exp(3 + 0.5 * size + 0.2 * rng.normal(size=n)),
            "visits": rng.poisson(np.exp(1 + 0.5 * size)),
            "member": np.where(size + rng.normal(size=n) > 0, "yes", "no"),
            "region": np.array(["north", "south", "west"])[np.digitize(size, [-0.5, 0.5])],
            "day": pd.Timestamp("2024-03-01") + pd.to_timedelta(rng.integers(0, 90, n), unit="D"),
        }
    )
    frame.loc[3, "price"] = np.nan
    frame.loc[5, "region"] = None
    frame.loc[7, "day"] = pd.NaT
    return frame


FRAME = make_frame()
TABLE = data.Table(FRAME)


def train(table, epochs=3, **options):
    vae = VAE.for_table(table, latent_dim=2, **options)
    return fit(vae, table, rng_key=KEY, epochs=epochs, batch_size=40, progress=False)


@pytest.fixture(scope="module")
def fitted():
    return train(TABLE)


def log_prob(fitted, x, **options):
    return fitted.log_prob(x, rng_key=KEY, num_particles=20, **options).value


def test_each_type_gets_its_likelihood():
    blocks = VAE.for_table(TABLE).likelihood.named_blocks
    families = {name: type(block.likelihood).__name__ for name, block in blocks.items()}
    bases = {n: type(getattr(b.likelihood, "base", None)).__name__ for n, b in blocks.items()}
    assert families == {
        "temperature": "Standardized",
        "price": "Standardized",
        "visits": "Standardized",
        "member": "Bernoulli",
        "region": "Categorical",
        "day": "Rounded",
    }
    assert bases["temperature"] == "Gaussian"
    assert bases["day"] == "Standardized"
    assert bases["price"] == "LogNormal"
    assert bases["visits"] == "NegativeBinomial"


def test_a_likelihood_can_be_replaced_by_column():
    heavy = Standardized(StudentT())
    blocks = VAE.for_table(TABLE, likelihoods={"temperature": heavy}).likelihood.named_blocks
    assert blocks["temperature"].likelihood == heavy


def test_neighbours_with_equal_likelihoods_are_one_block():
    rng = np.random.default_rng(0)
    table = data.Table(pd.DataFrame(rng.normal(size=(50, 3)), columns=["a", "b", "c"]))
    assert list(VAE.for_table(table).likelihood.named_blocks) == ["a to c"]


def test_the_composition_is_that_of_the_parts(fitted):
    rebuilt = VAE(**{f.name: getattr(fitted.vae, f.name) for f in dataclasses.fields(fitted.vae)})
    assert rebuilt == fitted.vae
    assert VAE.for_table(TABLE, latent_dim=2) == fitted.vae


def test_columns_are_matched_by_name(fitted):
    shuffled = FRAME[FRAME.columns[::-1]]
    np.testing.assert_array_equal(log_prob(fitted, shuffled), log_prob(fitted, TABLE))


def test_a_frame_a_table_and_a_dict_are_the_same_data(fitted):
    records = {name: FRAME[name].tolist() for name in FRAME}
    for given in (FRAME, data.Table(FRAME), records, Batch(FRAME)):
        np.testing.assert_array_equal(log_prob(fitted, given), log_prob(fitted, TABLE))


def test_a_table_of_few_rows_uses_the_levels_of_training(fitted):
    few = FRAME.iloc[[0, 1]]
    np.testing.assert_allclose(log_prob(fitted, few), log_prob(fitted, TABLE)[:2], atol=1e-4)


def test_a_missing_column_is_named(fitted):
    with pytest.raises(ValueError, match='Column "price" is missing from x'):
        fitted.log_prob(FRAME.drop(columns="price"), rng_key=KEY)


def test_an_unknown_level_counts_as_missing(fitted):
    changed = FRAME.copy()
    changed.loc[0, "region"] = "east"
    with pytest.warns(UserWarning, match=r'column "region" has "east" \(1 cell, first in row 0\)'):
        value = log_prob(fitted, changed)
    changed.loc[0, "region"] = None
    np.testing.assert_array_equal(value, log_prob(fitted, changed))


def test_a_mask_hides_further_cells(fitted):
    mask = np.ones(TABLE.x.shape, bool)
    mask[:, 1] = False
    hidden = FRAME.assign(price=np.nan)
    np.testing.assert_array_equal(log_prob(fitted, Batch(FRAME, mask=mask)), log_prob(fitted, hidden))


def test_draws_are_a_frame_of_the_same_types_and_levels(fitted):
    frame = fitted.sample(500, rng_key=KEY).frame
    assert list(frame.columns) == list(FRAME.columns)
    assert (frame.dtypes == FRAME.dtypes).all()
    assert set(frame["region"]) <= {"north", "south", "west"}
    assert set(frame["member"]) <= {"yes", "no"}
    assert (frame["visits"] >= 0).all()
    assert (frame["price"] > 0).all()
    assert (frame["day"] == frame["day"].dt.normalize()).all()


def test_reconstructions_keep_the_index(fitted):
    rows = FRAME.iloc[10:15]
    frame = fitted.reconstruct(rows)
    assert list(frame.index) == list(rows.index)
    assert (frame.dtypes == FRAME.dtypes).all()
    assert not frame.isna().any(axis=None)


def test_arrays_in_are_arrays_out(fitted):
    x = np.where(TABLE.mask, TABLE.x, 1.0)
    assert isinstance(fitted.reconstruct(x), jax.Array)


def test_another_unit_changes_log_prob_by_its_logarithm(fitted):
    """Density per degree and per millidegree: the nets see the same standardized numbers."""
    other = train(data.Table(FRAME.assign(temperature=1000 * FRAME["temperature"])))
    difference = log_prob(fitted, TABLE) - log_prob(
        other, FRAME.assign(temperature=1000 * FRAME["temperature"])
    )
    np.testing.assert_allclose(difference, np.log(1000), atol=2e-3)


def test_the_schema_is_saved_with_the_fit(fitted, tmp_path):
    fitted.save(tmp_path / "fit.safetensors")
    loaded = load(tmp_path / "fit.safetensors", fitted.vae)
    assert loaded.data == fitted.data
    pd.testing.assert_frame_equal(
        loaded.sample(20, rng_key=KEY).frame, fitted.sample(20, rng_key=KEY).frame
    )


def test_levels_and_moments_come_from_the_training_rows():
    frame = make_frame(200)
    frame.loc[199, "region"] = "east"
    seed = next(s for s in range(9) if 199 not in np.random.default_rng(s).permutation(200)[:160])
    with pytest.warns(UserWarning, match="east"):
        train_table, valid, test = data.Table(frame).split(seed=seed)
    assert not any("east" in t.schema["region"].levels for t in (train_table, valid, test))
    model = train(train_table)
    observed = np.where(train_table.mask, train_table.x, np.nan)[:, 0]
    site = "likelihood$temperature$likelihood$column_mean"
    np.testing.assert_allclose(model.values[site], np.nanmean(observed), rtol=1e-5)


def test_validation_rows_are_read_by_the_schema_of_training():
    parts = data.Table(make_frame(200)).split()
    vae = VAE.for_table(parts.train, latent_dim=2)
    own = data.Table(parts.valid.frame)  # with levels and an origin of its own
    histories = [
        fit(vae, parts.train, validation=v, rng_key=KEY, epochs=2, progress=False).history.validation
        for v in (parts.valid, own, parts.valid.frame)
    ]
    for history in histories[1:]:
        np.testing.assert_array_equal(history["elbo"], histories[0]["elbo"])


def test_a_fit_to_an_array_has_no_frame():
    fitted = fit(
        VAE(event_shape=(3,), latent_dim=1, likelihood=Gaussian()),
        np.random.default_rng(0).normal(size=(50, 3)),
        rng_key=KEY,
        epochs=1,
        batch_size=10,
        progress=False,
    )
    assert not hasattr(fitted.sample(2, rng_key=KEY), "frame")
    with pytest.raises(ValueError, match=r"trained on a table, fit\(vae, data.Table\(frame\)"):
        fitted.to_frame(np.zeros((2, 3)))


@pytest.mark.parametrize("given", [FRAME, np.zeros((3, 2)), "table.csv", None])
def test_for_table_expects_a_table(given):
    with pytest.raises(TypeError, match=r"expects a data.Table.*table = data.Table\(frame\)"):
        VAE.for_table(given)


def test_an_unknown_column_is_named():
    with pytest.raises(ValueError, match="names of modelled columns, temperature.*'prise'"):
        VAE.for_table(TABLE, likelihoods={"prise": Gaussian()})
    with pytest.raises(TypeError, match=r"likelihoods\['price'\] expects a likelihood"):
        VAE.for_table(TABLE, likelihoods={"price": "gaussian"})
    with pytest.raises(TypeError, match="a likelihood by column"):
        VAE.for_table(TABLE, likelihoods=[Gaussian()])


@pytest.mark.slow
def test_a_tie_between_two_columns_is_kept():
    rng = np.random.default_rng(0)
    place = rng.integers(0, 3, 2000)
    frame = pd.DataFrame({"number": place + 1, "letter": np.array(list("abc"))[place]})
    table = data.Table(frame, types={"number": "ordinal"})
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, 4000))
    options = {"epochs": 200, "batch_size": 100, "optimizer": optimizer, "progress": False}
    model = fit(VAE.for_table(table), table, rng_key=KEY, **options)
    draws = model.sample(5000, rng_key=KEY).frame
    assert draws["number"].dtype == frame["number"].dtype
    kept = draws["letter"].map({"a": 1, "b": 2, "c": 3}) == draws["number"]
    assert kept.mean() >= 0.99


def test_probabilities_are_by_column(fitted):
    p = fitted.probabilities(FRAME)
    assert set(p) >= {"member", "region"}
    assert p["region"].shape == (len(FRAME), 1, 3)


def test_whole_training_rows_of_a_file_with_fractions_are_no_whole_numbers():
    x = np.array([*np.repeat(np.arange(100.0, 135.0), 2), 160.5])
    (whole,) = data.Table({"x": x[:70]}).schema.columns
    (taken,) = data.Table(data.Table({"x": x}).take(np.arange(70))).schema.columns
    assert whole.whole
    assert not taken.whole
    assert type(taken).__name__ == "Positive"


def test_records_are_rows(fitted):
    records = (
        FRAME[["temperature", "price", "visits", "member", "region", "day"]].head(3).to_dict("records")
    )
    np.testing.assert_allclose(log_prob(fitted, records), log_prob(fitted, FRAME.head(3)))


def test_one_row_as_a_series_is_refused(fitted):
    with pytest.raises(TypeError, match=r"frame.iloc\[\[0\]\]"):
        fitted.log_prob(FRAME.iloc[0], rng_key=KEY)


def test_a_frame_without_types_is_refused():
    numbers = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    vae = VAE.for_table(data.Table(numbers))
    with pytest.raises(TypeError, match=r"table = data.Table\(frame\)"):
        fit(vae, numbers, rng_key=KEY, epochs=1, progress=False)


def test_numbers_far_from_zero_keep_their_digits():
    rng = np.random.default_rng(0)
    offsets = {"real": 1e9 + rng.normal(size=60), "whole": 3_000_000_000 + rng.integers(0, 50, 60)}
    frame = pd.DataFrame(offsets)
    table = data.Table(frame, types={"whole": "real"})
    assert [type(column).__name__ for column in table.schema.modelled] == ["Real", "Real"]
    pd.testing.assert_frame_equal(table.schema.decode(table.x), frame)
    draws = train(table).sample(100, rng_key=KEY).frame
    assert ((draws - frame.mean()).abs() < 1000).all(axis=None)
    assert draws["whole"].dtype == np.int64


def test_imputed_frames_keep_observed_cells_and_the_names_of_rows():
    frame = make_frame(80).assign(code=[f"P{i}" for i in range(80)])
    frame["temperature"] = frame["temperature"].round(1)  # 2.1 is no number of float32
    table = data.Table(frame)
    assert type(table.schema["code"]).__name__ == "Identifier"
    imputed = train(table).impute(frame, rng_key=KEY, num_particles=50, num_samples=2)
    for filled in (imputed.frame, *imputed.frames):
        assert not filled.isna().any(axis=None)
        pd.testing.assert_frame_equal(filled.where(frame.notna(), np.nan), frame, check_dtype=False)


def test_rows_without_gaps_come_back_as_they_are(fitted):
    rows = FRAME.dropna().head(4)
    filled = fitted.impute(rows, rng_key=KEY, num_particles=20).frame
    pd.testing.assert_frame_equal(filled, rows)


def test_probabilities_of_a_missing_level_sum_to_one(fitted):
    p = fitted.impute(FRAME, rng_key=KEY, num_particles=50).probabilities
    assert list(p) == ["region"]
    assert p["region"].shape == (len(FRAME), 1, 3)
    np.testing.assert_allclose(p["region"].sum(-1), 1.0, rtol=1e-5)


def test_diagnose_says_how_to_hold_rows_of_a_table_out(fitted):
    pytest.importorskip("arviz_stats")
    with pytest.raises(ValueError, match=r"table.split\(\(0.6, 0.1, 0.3\)\)"):
        diagnose(fitted, FRAME.head(20), rng_key=KEY)
