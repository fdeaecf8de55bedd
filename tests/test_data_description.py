"""What a fit knows of its training data: kept, saved, and compared with new data in every query."""

import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from probvae import VAE, Batch, criticism, data, fit, likelihoods, load, nets, point_weights
from probvae.data_checks import check_data
from probvae.data_description import DataComparison, DataDescription, DataSummary

KEY = jax.random.key(0)
D = 6
RANDOM = np.random.default_rng(0)
RAW = RANDOM.integers(0, 256, (64, D)).astype("uint8")
UNIT = (RAW / 255).astype("float32")
MASK = np.tile(np.arange(D) < 3, (len(RAW), 1))


START = RANDOM.bit_generator.state


@pytest.fixture(autouse=True)
def _same_draws_whatever_runs_before():
    RANDOM.bit_generator.state = START


def linear(**parts):
    usual = {"likelihood": likelihoods.Gaussian(), "encoder": nets.Linear(), "decoder": nets.Linear()}
    return VAE(event_shape=(D,), latent_dim=2, **{**usual, **parts})


def small_fit(train, vae=None, **options):
    usual = {"rng_key": KEY, "epochs": 1, "batch_size": 32, "progress": False}
    return fit(vae or linear(), train, **{**usual, **options})


@pytest.fixture(scope="module")
def of_bytes():
    """A fit to bytes that went through an observation."""
    return small_fit(RAW, observation=data.Rescale(255))


@pytest.fixture(scope="module")
def of_floats():
    """A fit to the same data, brought to [0, 1] before."""
    return small_fit(UNIT)


FEW = {"rng_key": KEY, "num_particles": 4}
QUERIES = {
    "encode": lambda f, x: f.encode(x).mean,
    "encode a Batch": lambda f, x: f.encode(Batch(x)).mean,
    "reconstruct": lambda f, x: f.reconstruct(x),
    "reconstruct at a draw": lambda f, x: f.reconstruct(x, rng_key=KEY),
    "impute": lambda f, x: f.impute(x, MASK, **FEW).x,
    "elbo": lambda f, x: f.elbo(x, **FEW).value,
    "log_prob": lambda f, x: f.log_prob(x, **FEW).value,
    "interpolate": lambda f, x: f.interpolate(x[0], x[1]),
    "to_datatree": lambda f, x: criticism.to_datatree(f, x, rng_key=KEY, num_samples=2),
    "units": lambda f, x: criticism.active_units(f, x, rng_key=KEY, num_samples=2),
    "elbo_surgery": lambda f, x: criticism.elbo_surgery(f, x, rng_key=KEY),
    "typicality": lambda f, x: criticism.typicality(f, x, **FEW, num_draws=5),
    "compare": lambda f, x: criticism.compare({"a": f, "b": f}, x, **FEW),
    "pareto_shape": lambda f, x: criticism.pareto_shape(f, x, rng_key=KEY, num_particles=100),
}
ONE_WARNING_EACH = {"compare": 2}  # one for each fit


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_refuses_what_did_not_go_through_the_observation(of_bytes, name):
    """The same error, for bytes and for the same numbers as floats."""
    for raw in (RAW, RAW.astype("float32")):
        with pytest.raises(
            ValueError, match=r"scores data in \[0, 1\].*Rescale.*Apply it first"
        ) as error:
            QUERIES[name](of_bytes, raw)
        code = re.search(r"Apply it first: (.*), with", str(error.value)).group(1)
        applied = eval(code, {"data": data, "jax": jax, "x": raw})  # noqa: S307
        np.testing.assert_allclose(applied, UNIT, rtol=1e-6)


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_warns_once_of_other_units_and_answers(of_floats, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "k-hat|Units.active|one or more")
        QUERIES[name](of_floats, UNIT)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert QUERIES[name](of_floats, 255 * UNIT) is not None
    texts = [str(w.message) for w in said if "unlike the training data" in str(w.message)]
    assert len(texts) == ONE_WARNING_EACH.get(name, 1)
    assert "[0, 1]" in texts[0]
    assert "same units" in texts[0]
    assert {w.filename for w in said if "unlike" in str(w.message)} == {__file__}


def test_a_query_inside_a_compiled_function_compares_nothing(of_floats):
    mean = jax.jit(lambda x: of_floats.encode(x).mean)(255 * UNIT)
    assert mean.shape == (len(UNIT), 2)


@pytest.mark.parametrize("validation", [RAW, data.StreamedData(RAW, chunk_bytes=60)])
def test_validation_data_are_given_as_they_are_scored(validation):
    with pytest.raises(ValueError, match=r"validation holds values in .*Rescale.*Apply it first"):
        small_fit(RAW, observation=data.Rescale(255), validation=validation)
    with pytest.warns(UserWarning, match="validation is unlike the training data.*100% of the rows"):
        small_fit(UNIT, validation=(255 * UNIT + 100)[:9])


def test_descriptions_hold_what_numpy_says():
    x = RANDOM.normal(size=(1200, D)) * [1, 10, 1e-3, 1, 1, 1] + [0, 0, 0, 1e3, 0, 0]
    x = x.astype("float32")
    mask = RANDOM.random(x.shape) < 0.8
    mask[:, 5] = False
    for given in (
        Batch(x),
        Batch(x, mask=mask),
        Batch(data.StreamedData(x, chunk_bytes=1000), mask=mask),
    ):
        describer = DataSummary((D,), data.Cast())
        check_data(linear(), given, "train", record=describer, keep_streamed=True)
        seen = np.ma.array(x.astype(float), mask=False if given.mask is None else ~mask)
        told = describer.description().x
        for name, want in (
            ("low", seen.min(0)),
            ("high", seen.max(0)),
            ("mean", seen.mean(0)),
            ("sd", seen.std(0)),
        ):
            np.testing.assert_allclose(getattr(told, name), want.filled(np.nan), rtol=1e-5, atol=1e-7)


def test_a_description_says_what_the_observation_made_of_the_data(of_bytes, of_floats):
    assert of_bytes.data.dtype == "uint8"
    assert of_bytes.data.given_range == (RAW.min(), RAW.max())
    np.testing.assert_allclose(of_bytes.data.x.high, UNIT.max(0), rtol=1e-6)
    assert of_bytes.data.observation == "Rescale(high=255)"
    assert (of_floats.data.observation, of_floats.data.num_rows) == ("", 64)
    assert str(of_bytes.data) == "64 data of shape (6,), uint8, in [0, 1] after Rescale(high=255)"


def test_images_have_one_range_and_long_vectors_too():
    for shape in ((3, 3), (2000,)):
        describer = DataSummary(shape, data.Cast())
        describer.add(np.zeros((2, *shape)), np.zeros((2, *shape)), None)
        assert describer.description().x.low == (0.0,)


def test_a_saved_fit_compares_as_before(of_bytes, tmp_path):
    of_bytes.save(tmp_path / "fit")
    loaded = load(tmp_path / "fit", linear())
    assert loaded.data == of_bytes.data
    with pytest.raises(ValueError, match="Rescale"):
        loaded.encode(RAW)
    assert DataDescription.from_json(of_bytes.data.to_json()) == of_bytes.data
    for text in ("{}", "[1]", "nothing"):
        with pytest.raises(ValueError, match="description of its training data is corrupt"):
            DataDescription.from_json(text)


def test_the_description_goes_with_the_fit(of_bytes):
    assert of_bytes.with_values(of_bytes.values).data is of_bytes.data
    assert point_weights(of_bytes).data is of_bytes.data


def compare(train, x, observation=None, *, context=(None, None), mask=None, validation=False):
    """Return all warnings of comparing x with training data."""
    describer = DataSummary(train.shape[1:], observation or data.Cast())
    describer.add(train, train if observation is None else np.asarray(observation(KEY, train)), None)
    describer.add_context(context[0])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        comparer = DataComparison(describer.description(), "x", names_cells=validation)
        comparer.add(x, x, mask)
        comparer.add_context(context[1])
        comparer.conclude()
    return [str(w.message) for w in said]


def images(n):
    """Images with a dark border, dead pixels and a few bright strokes."""
    x = np.zeros((n, 8, 8))
    x[:, 2:6, 2:6] = RANDOM.random((n, 4, 4)) * (RANDOM.random((n, 4, 4)) < 0.3)
    return x


SAME_SOURCE = {
    "normal": lambda n: RANDOM.normal(size=(n, 5)),
    "one column": lambda n: RANDOM.normal(size=(n, 1)),
    "log-normal": lambda n: np.exp(2 * RANDOM.normal(size=(n, 3))),
    "Student's t with 2 degrees of freedom": lambda n: RANDOM.standard_t(2, (n, 4)),
    "Cauchy": lambda n: RANDOM.standard_cauchy((n, 8)),
    "one heavy-tailed size per row": lambda n: (
        RANDOM.standard_t(2, (n, 1)) * RANDOM.normal(size=(n, 6))
    ),
    "rare counts": lambda n: RANDOM.poisson(0.02, (n, 30)).astype(float),
    "large counts": lambda n: RANDOM.negative_binomial(0.3, 0.01, (n, 10)).astype(float),
    "constant columns": lambda n: np.concatenate([np.ones((n, 3)), RANDOM.normal(size=(n, 2))], 1),
    "bits": lambda n: (RANDOM.random((n, 12)) < 0.1).astype(float),
    "images": images,
    "images as vectors": lambda n: images(n).reshape(n, -1),
    "columns in other units": lambda n: RANDOM.normal(size=(n, 4)) * [1e-6, 1, 1e6, 1] + [0, 0, 1e7, 0],
}


@pytest.mark.parametrize("name", SAME_SOURCE)
def test_held_out_data_of_the_same_source_are_never_warned_of(name):
    draw = SAME_SOURCE[name]
    for trial in range(300):
        train, held_out = draw((50, 200)[trial % 2]), draw((1, 2, 3, 10, 50)[trial % 5])
        assert compare(train, held_out, validation=True) == []


HEAVY = ("Cauchy", "log-normal", "Student", "one heavy-tailed", "large counts")
NO_UNITS = ("bits", "rare counts")
CHANGED = [(n, "scaled") for n in SAME_SOURCE if n not in NO_UNITS]
CHANGED += [(n, "shifted") for n in SAME_SOURCE if n not in NO_UNITS and not n.startswith(HEAVY)]


@pytest.mark.parametrize(("name", "change"), CHANGED)
def test_data_in_other_units_are_warned_of(name, change):
    draw = SAME_SOURCE[name]
    for _ in range(5):
        train, held_out = draw(200), draw(50)
        width = train.max(0) - train.min(0)
        other = 1e5 * held_out if change == "scaled" else held_out + 6 * width.max()
        assert len(compare(train, other)) == 1


def test_a_few_outliers_are_scored_in_silence():
    train = RANDOM.normal(size=(100, 5))
    x = RANDOM.normal(size=(40, 5))
    x[:12] += 1e6
    x[20:, 1] = -1e6
    assert compare(train, x) == []
    assert len(compare(train, x + 1e6)) == 1


def test_missing_entries_are_compared_with_nothing():
    train, x = RANDOM.normal(size=(100, 5)), RANDOM.normal(size=(20, 5))
    x[:, :4] = 1e9
    assert len(compare(train, x)) == 1
    assert compare(train, x, mask=np.tile(np.arange(5) == 4, (20, 1))) == []


def test_a_context_in_other_units_is_named():
    x, context = RANDOM.normal(size=(60, 5)), RANDOM.random((60, 2))
    assert compare(x, x, context=(context, context[:60])) == []
    (text,) = compare(x, x, context=(context, 100 + context))
    assert text.startswith("context is unlike the training data")


OBSERVATIONS = {
    "Rescale": (data.Rescale(255), lambda x: x / 255),
    "Rescale of 16 levels": (data.Rescale(15), lambda x: x / 15),
    "Dequantize": (data.Dequantize(256), lambda x: (x + 0.5) / 256),
    "Compose": (data.Compose((data.Rescale(255), data.GaussianNoise(0.01))), lambda x: x / 255),
}


@pytest.mark.parametrize("name", OBSERVATIONS)
@pytest.mark.parametrize("dark", [False, True])
def test_data_from_before_the_observation_are_recognised(name, dark):
    """Also single, dark and mostly empty images."""
    observation, apply = OBSERVATIONS[name]
    top = 15 if "16" in name else 255
    train = RANDOM.integers(0, top + 1, (100, 6, 6)) * (RANDOM.random((100, 6, 6)) < 0.3)
    train = train.astype("uint8")
    raw = np.minimum(train, 3) if dark else train
    for rows in (slice(0, 50), slice(0, 1)):
        assert compare(train, np.asarray(apply(train[rows].astype("float32"))), observation) == []
        with pytest.raises(ValueError, match="went through the observation"):
            compare(train, raw[rows], observation)


def test_an_observation_of_ones_own_is_named_by_its_function():
    def halve(key, x):
        return x / 500

    train = RANDOM.uniform(0, 500, (50, 4))
    with pytest.raises(ValueError, match=r"observation test_an.*halve\. Apply it first, as `fit` did"):
        compare(train, train, halve)
    assert compare(train, train / 500, halve) == []


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("cell", [9.96921e36, -9999.0, 3e7, 1e20])
def test_an_absurd_cell_of_the_validation_data_is_named(cell, streamed):
    """By an error where its square is not finite, else by a warning; in data and in their context."""
    x, context = RANDOM.normal(size=(80, D)).astype("float32"), RANDOM.random((80, 2))
    vae = linear(context_shape=(2,))
    describer = DataSummary((D,), data.Cast())
    check_data(vae, Batch(x, context), "train", record=describer)
    for bad_context in (False, True):
        validation, told = x[:20].copy(), context[:20].copy()
        (told if bad_context else validation)[13, 1] = cell
        comparer = DataComparison(describer.description(), "validation", names_cells=True)
        source = data.StreamedData(validation, chunk_bytes=100) if streamed else validation
        place = "validation context" if bad_context else "validation"
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                check_data(vae, Batch(source, told), "validation", record=comparer, keep_streamed=True)
            except ValueError as error:
                said = [*said, error]
        (text,) = [str(getattr(each, "message", each)) for each in said]
        assert text.startswith(place)
        assert re.search(r"in row 13, entry 1\b", text)


def test_absurd_training_data_and_queries_are_refused_by_row(of_floats):
    x = UNIT.copy()
    x[5, 2] = -1e30
    for call, name in ((small_fit, "train"), (of_floats.encode, "x")):
        with pytest.raises(ValueError, match=rf"{name} holds -1e\+30 in row 5, entry 2; expected"):
            call(x)
    mask = x > -1
    assert np.isfinite(of_floats.log_prob(Batch(x, mask=mask), **FEW).value).all()


def test_double_precision_takes_what_its_squares_hold(float64):
    x = jnp.asarray(UNIT, float) * 1e30
    check_data(linear(), np.asarray(x))
    with pytest.raises(ValueError, match="below 1.3e"):
        check_data(linear(), np.asarray(x) * 1e130)


@pytest.mark.parametrize(
    ("rows", "widths", "warns"),
    [(50, 2.5, False), (50, 3.5, True), (3, 3.5, True), (2, 9.5, False), (2, 10.5, True), (1, 10.5, True)],
)  # fmt: skip
def test_how_far_outside_is_far_depends_on_the_number_of_rows(rows, widths, warns):
    """A drift by less than three ranges is silent, and ten ranges are asked of one or two rows."""
    train = RANDOM.uniform(1, 2, (100, 4))
    width = np.ptp(train, axis=0)
    for x in (train.max(0) + widths * width, train.min(0) - widths * width):
        assert len(compare(train, np.tile(x, (rows, 1)))) == warns
