"""The door for data: fit and every query read the same numbers from whatever holds them."""

import inspect
import io
import sys
import tracemalloc
import warnings

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from probvae import VAE, Batch, Fitted, criticism, data, data_checks, fit, likelihoods, nets, priors
from probvae.data import StreamedData
from probvae.data_checks import check_context, check_data

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
N, D = 40, 3
X = RANDOM.normal(size=(N, D)).astype(np.float32)
SEEN = RANDOM.random((N, D)) > 0.2
MASKED = np.ma.array(np.where(SEEN, X, 1e6).astype(np.float32), mask=~SEEN)
PLAIN = Batch(np.where(SEEN, X, 0), mask=SEEN)
CODES = RANDOM.integers(0, 3, N)


def tiny(shape=(D,), **changes):
    usual = {"event_shape": shape, "latent_dim": 2, "likelihood": likelihoods.Gaussian()}
    return VAE(**{**usual, "encoder": nets.Linear(), "decoder": nets.Linear(), **changes})


V, TOLD = tiny(), tiny(context_shape=(3,))
COUNTING = tiny(likelihood=likelihoods.Poisson())


def trained(x, vae=V, **options):
    usual = {"rng_key": KEY, "epochs": 2, "batch_size": 16, "progress": False}
    return fit(vae, x, **{**usual, **options})


class Rows:
    """A source of rows."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return len(self.array)

    def __getitem__(self, rows):
        return self.array[np.atleast_1d(rows)]


@pytest.fixture(scope="module")
def fitted():
    return trained(PLAIN, validation=PLAIN)


FORMS = {
    "a masked array": MASKED,
    "a masked array in a Batch": Batch(MASKED),
    "NaN under a mask": Batch(np.where(SEEN, X, np.nan), mask=SEEN),
    "a mask of 0 and 1": Batch(X, mask=SEEN.astype(int)),
    "a frame of masks": Batch(pd.DataFrame(np.where(SEEN, X, np.nan)), mask=pd.DataFrame(SEEN)),
    "pandas.NA": pd.DataFrame(X).astype("Float32").mask(~SEEN),
    "a masked array and half of its mask": Batch(
        np.ma.array(X, mask=~SEEN & (np.arange(D) > 0)), mask=SEEN | (np.arange(D) > 0)
    ),
    "sources of rows": Batch(Rows(np.where(SEEN, X, np.nan)), mask=Rows(SEEN)),
    "masked rows of a source": Batch(Rows(MASKED), mask=SEEN),
}
QUERIES = {
    "elbo": lambda f, x: f.elbo(x, rng_key=KEY).value,
    "log_prob": lambda f, x: f.log_prob(x, rng_key=KEY, num_particles=5).value,
    "encode": lambda f, x: f.encode(x).mean,
    "reconstruct": lambda f, x: f.reconstruct(x),
    "reconstruct a draw": lambda f, x: f.reconstruct(x, rng_key=KEY),
    "impute": lambda f, x: f.impute(x, rng_key=KEY, num_particles=5).x,
}


@pytest.fixture(scope="module")
def right(fitted):
    return {name: np.asarray(query(fitted, PLAIN)) for name, query in QUERIES.items()}


@pytest.mark.parametrize("form", FORMS)
def test_every_query_keeps_the_mask(fitted, right, form):
    for name, query in QUERIES.items():
        np.testing.assert_array_equal(query(fitted, FORMS[form]), right[name], err_msg=name)


MISSING = {
    "a masked array": MASKED,
    "a list of masked arrays": list(MASKED),
    "masked rows of a source": Rows(MASKED),
    "pandas.NA": pd.DataFrame(X).astype("Float32").mask(~SEEN),
    "NaN after convert_dtypes": pd.DataFrame(np.where(SEEN, X, np.nan)).convert_dtypes(),
    "None": np.where(SEEN, X.astype(object), None),
    "NaN": np.where(SEEN, X, np.nan),
}


@pytest.mark.parametrize("x", MISSING.values(), ids=MISSING)
def test_an_inverted_mask_raises_for_every_container_that_knows_what_is_missing(fitted, x):
    """Otherwise impute would redraw the observed entries."""
    for ask in (
        lambda: fitted.impute(x, ~SEEN, rng_key=KEY, num_particles=5),
        lambda: fitted.impute(x, pd.DataFrame(~SEEN), rng_key=KEY, num_particles=5),
        lambda: fitted.encode(x, mask=~SEEN),
        lambda: fitted.log_prob(Batch(x, mask=~SEEN), rng_key=KEY, num_particles=5),
        lambda: trained(Batch(x, mask=~SEEN)),
        lambda: trained(PLAIN, validation=Batch(x, mask=~SEEN)),
    ):
        refused(
            ask,
            r"True only where x is missing. It seems inverted: Batch\(x, mask=~mask\).*#mask-inverted",
        )
    np.testing.assert_array_equal(fitted.check_data(x, mask=SEEN).mask, SEEN)


def test_rows_without_any_observed_entry_are_no_sign_of_an_inverted_mask(fitted):
    nothing = np.ma.masked_all((3, D))
    assert not fitted.check_data(nothing, mask=np.ones((3, D), bool)).mask.any()


def test_a_mask_may_hide_more_than_the_container_does(fitted):
    for mask in (np.ones_like(SEEN), SEEN | (np.arange(D) > 0), np.zeros_like(SEEN)):
        np.testing.assert_array_equal(fitted.check_data(MASKED, mask=mask).mask, SEEN & mask)


def test_encode_takes_mask_and_context_beside_x_or_in_a_batch(fitted, right):
    np.testing.assert_array_equal(fitted.encode(X, mask=SEEN).mean, right["encode"])
    with pytest.raises(ValueError, match="x is a Batch with a mask, and mask is given too"):
        fitted.encode(PLAIN, mask=SEEN)


@pytest.mark.parametrize("form", ["a masked array", "pandas.NA"])
def test_fit_keeps_the_mask_of_train_and_validation(fitted, form):
    again = trained(FORMS[form], validation=FORMS[form])
    np.testing.assert_array_equal(again.history.train["loss"], fitted.history.train["loss"])
    np.testing.assert_array_equal(again.history.validation["elbo"], fitted.history.validation["elbo"])


def test_streamed_data_are_those_in_memory_to_the_bit(tmp_path, fitted):
    whole = trained(X.astype(np.float64))
    forms = {
        "NaN under a mask": (np.where(SEEN, X, np.nan), SEEN, fitted),
        "big-endian": (X.astype(">f4"), None, whole),
        "big-endian double": (X.astype(">f8"), None, whole),
        "long double": (X.astype(np.longdouble), None, whole),
    }
    for name, (array, mask, same) in forms.items():
        np.save(tmp_path / f"{name}.npy", array)
        mapped = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
        found = trained(Batch(StreamedData(mapped, chunk_bytes=300), mask=mask))
        np.testing.assert_array_equal(found.history.train["loss"], same.history.train["loss"], name)


@pytest.mark.parametrize("where", [0, 30], ids=["in the first chunk", "in a later one"])
def test_integers_beyond_32_bits_keep_their_value_streamed_or_not(where):
    x = RANDOM.poisson(3, (N, D))
    x[where, 1] = 2**32 + 3
    right = x.astype(np.float32)
    whole = check_data(COUNTING, x).x
    read = check_data(COUNTING, StreamedData(Rows(x), chunk_bytes=240)).x
    kept = check_data(COUNTING, StreamedData(Rows(x), chunk_bytes=240), keep_streamed=True).x
    assert kept.loaded_dtype == np.float32
    for found in (whole, read):
        np.testing.assert_array_equal(np.asarray(jax.numpy.asarray(found), np.float32), right)


def test_integers_of_a_context_keep_their_value():
    context = np.full((N, 3), 3_000_000_000)
    np.testing.assert_array_equal(check_context(TOLD, context), context.astype(np.float32))
    np.testing.assert_array_equal(check_data(TOLD, X, context=context).context, context)


def test_masks_combine_an_entry_is_observed_where_both_say_so():
    hidden, mask = np.zeros((N, D), bool), np.ones((N, D), bool)
    hidden[0, 0], mask[1, 1] = True, False
    found = check_data(V, Batch(np.ma.array(X, mask=hidden), mask=mask))
    np.testing.assert_array_equal(found.mask, ~hidden & mask)
    assert check_data(V, np.ma.array(X, mask=False)).mask is None


def test_what_float32_merges_is_told_of_data_and_context_and_the_remedies_work():
    seconds = 1.7e9 + 30 * RANDOM.normal(size=(500, D))
    for given in (seconds, StreamedData(Rows(seconds)), np.ma.array(seconds, mask=seconds > 1.7e9)):
        with pytest.warns(UserWarning, match="x: JAX computes in float32.*Subtract an offset"):
            check_data(V, given)
    with pytest.warns(UserWarning, match="x: JAX computes in float32"):
        check_data(V, StreamedData(Rows(seconds)), keep_streamed=True)
    with pytest.warns(UserWarning, match="context: JAX computes in float32"):
        check_context(TOLD, seconds)
    x = check_data(V, (seconds - seconds.mean(axis=0)) / seconds.std(axis=0)).x
    assert len(np.unique(x)) > 0.99 * x.size


def test_training_data_that_float32_merges_are_refused():
    seconds = 1.7e9 + 30 * RANDOM.normal(size=(500, D))
    with pytest.raises(ValueError, match="train: JAX computes in float32.*Subtract an offset"):
        fit(V, seconds, rng_key=jax.random.key(0), epochs=1, batch_size=50, progress=False)


def test_in_double_precision_nothing_is_merged(float64):
    seconds = 1.7e9 + 30 * RANDOM.normal(size=(500, D))
    assert len(np.unique(check_data(V, seconds).x)) == len(np.unique(seconds))


def test_a_file_whose_values_float32_merges_says_so(tmp_path):
    np.save(tmp_path / "x.npy", 1.7e9 + 30 * RANDOM.normal(size=(500, D)))
    with pytest.warns(UserWarning, match="float32.*Subtract an offset"):
        data.load(tmp_path / "x.npy")


def refused(call, message):
    with pytest.raises((TypeError, ValueError), match=f"(?s){message}") as caught:
        call()
    assert "event_shape=()" not in str(caught.value)
    assert "context_shape=()" not in str(caught.value) or "this VAE has" in str(caught.value)


SERIES = RANDOM.normal(size=(N, 4, 2)).astype(np.float32)
GAPS = np.where(SEEN, X, np.nan)
EVENTS = {1: tiny((1,)), 2: tiny((4, 2)), 3: V, 4: TOLD}
SHAPES = {
    "a mask (n,)": (3, Batch(X, mask=np.ones(N, bool)), r"\(40,\).*np\.broadcast_to\(mask\[:, None\], x\.shape\)"),
    "a mask (n, T)": (2, Batch(SERIES, mask=np.ones((N, 4), bool)), r"\(40, 4\).*mask\[\.\.\., None\], x\.shape"),
    "a mask (n,) of series": (2, Batch(SERIES, mask=np.ones(N, bool)), r"mask\[:, None, None\], x\.shape"),
    "a mask of fewer rows": (3, Batch(X, mask=SEEN[:5]), "mask expects a row for each of the 40 rows of x; got 5"),
    "a mask inverted": (3, Batch(GAPS, mask=np.isnan(GAPS)), r"inverted: Batch\(x, mask=~mask\)"),
    "a mask that misses a gap": (3, Batch(GAPS, mask=SEEN | (np.arange(N) == 7)[:, None] | (np.arange(N) == 0)[:, None]), "NaN"),
    "gaps without a mask": (3, GAPS, r"Batch\(x, mask=np\.isfinite\(x\)\)"),
    "x (n,) for (1,)": (1, X[:, 0], r"\(40,\).*x\[:, None\]"),
    "x (n,) for (3,)": (3, X[:, 0], r"\(40,\).*x\[:, None\].*event_shape=\(1,\)"),
    "one datum": (3, X[0], r"x\[None\]"),
    "a number": (3, 3.0, "a row per datum"),
    "another order of axes": (2, SERIES.reshape(N, 8), r"x\.reshape\(-1, 4, 2\)"),
    "beyond float32": (3, np.full((N, D), 1e300), "above the largest float32.*Divide by a unit"),
    "codes (n,)": (4, Batch(X, CODES), r"context has shape \(40,\).*np\.eye\(3\)\[context\]"),
    "NaN in the context": (4, Batch(X, GAPS), "context holds NaN.*add a column"),
    "a masked context": (4, Batch(X, MASKED), "context holds .* masked.*add a column"),
    "text as context": (4, Batch(X, np.array(["A", "B", "C"])[CODES]), "one-hot"),
    "a context of fewer rows": (4, Batch(X, X[:5]), "context expects a row for each of the 40 rows of x; got 5"),
    "a context of codes that is not taken": (3, Batch(X, CODES), r"context_shape=\(1,\).*context\[:, None\]"),
    "a batch in a batch": (3, Batch(Batch(X)), "Batch inside a Batch"),
    "a masked mask": (3, Batch(X, mask=np.ma.array(SEEN, mask=~SEEN)), r"mask\.filled\(False\)"),
    "a data set": (3, data.Data("mine", train=X, test=X), r"'mine'\. Use data\.train"),
}  # fmt: skip


@pytest.mark.parametrize(("vae", "given", "message"), SHAPES.values(), ids=SHAPES)
def test_the_error_says_the_true_shape_and_the_remedy(vae, given, message):
    refused(lambda: check_data(EVENTS[vae], given), message)


@pytest.mark.parametrize("name", ["train", "validation"])
def test_the_error_says_which_data_are_meant(name):
    given = {"train": X, "validation": X, name: X[:, 0]}
    refused(
        lambda: trained(given["train"], validation=given["validation"]),
        rf"{name} has shape \(40,\).*{name}\[:, None\]",
    )


def test_following_the_remedies_works():
    for vae, given in (
        (3, Batch(X, mask=np.broadcast_to(SEEN[:, 0][:, None], X.shape))),
        (2, Batch(SERIES, mask=np.broadcast_to((SERIES[..., 0] > 0)[..., None], SERIES.shape))),
        (2, Batch(SERIES, mask=np.broadcast_to(SEEN[:, 0][:, None, None], SERIES.shape))),
        (3, Batch(GAPS, mask=~np.isnan(GAPS))),
        (3, Batch(GAPS, mask=np.isfinite(GAPS))),
        (1, X[:, 0][:, None]),
        (2, SERIES.reshape(N, 8).reshape(-1, 4, 2)),
        (4, Batch(X, np.eye(3)[CODES])),
        (4, Batch(X, np.column_stack([np.nan_to_num(GAPS[:, :2]), np.isnan(GAPS).any(axis=1)]))),
    ):
        assert len(check_data(EVENTS[vae], given).x) == N
    assert len(check_data(tiny(context_shape=(1,)), X, context=CODES[:, None]).context) == N


def test_a_mask_that_is_false_everywhere_is_doubted():
    refused(lambda: trained(Batch(X, mask=np.isnan(X))), r"train mask is false everywhere.*mask=~mask")


def test_programs_refuse_what_loses_its_mask():
    with pytest.raises(ValueError, match=r"masked or missing entries.*mask=~x\.mask"):
        V.model(MASKED)
    with pytest.raises(ValueError, match="masked or missing"):
        priors.VampPrior(3).start_at(MASKED, rng_key=KEY)


@pytest.mark.parametrize(
    "given", [Rows(X), StreamedData(Rows(X), chunk_bytes=100), scipy.sparse.csr_array(X)]
)
def test_a_source_that_fit_reads_is_read_by_queries(given):
    np.testing.assert_array_equal(check_data(V, given).x, X)
    assert isinstance(check_data(V, given, keep_streamed=True).x, StreamedData | np.ndarray)


def test_a_source_larger_than_the_memory_is_asked_about_in_parts(monkeypatch):
    monkeypatch.setattr(data_checks, "free_memory", lambda: 100)
    refused(lambda: check_data(V, Rows(X)), "exceed the free memory.*source.rows.")


class Door(Exception):
    """Raised in the place of the check, to see that data come through it."""


WITH_DATA = [
    (Fitted, name)
    for name in ("encode", "reconstruct", "impute", "responsibilities", "elbo", "log_prob")
] + [
    (criticism, name)
    for name in criticism.__all__
    if inspect.isfunction(getattr(criticism, name))
    and {"fitted", "x"} <= set(inspect.signature(getattr(criticism, name)).parameters)
]


@pytest.mark.parametrize(("owner", "name"), WITH_DATA, ids=[name for _, name in WITH_DATA])
def test_every_query_and_measure_takes_data_through_the_door(fitted, monkeypatch, owner, name):
    def raise_door(*_, **__):
        raise Door

    monkeypatch.setattr(Fitted, "check_data", raise_door)
    function = getattr(owner, name)
    key = {"rng_key": KEY} if "rng_key" in inspect.signature(function).parameters else {}
    first = {"a": fitted, "b": fitted} if name == "compare" else fitted
    with pytest.raises(Door):
        function(first, X, **key)


def test_large_data_are_checked_in_chunks_and_not_copied(monkeypatch):
    x = np.zeros((40_000, D * 10), np.float32)
    monkeypatch.setattr(data_checks, "CHUNK_BYTES", 2**16)
    monkeypatch.setattr(data_checks, "check_values", lambda *_, **__: None)
    vae = tiny((D * 10,))
    check_data(vae, x[:10])
    tracemalloc.start()
    try:
        found = check_data(vae, x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.shares_memory(found.x, x)
    assert peak < 0.2 * x.nbytes


@pytest.mark.parametrize("query", [False, True], ids=["fit", "a query"])
def test_a_bar_says_what_is_read_before_all_is_read(monkeypatch, query):
    read, at_print, words = [0], [], io.StringIO()

    class Counted(Rows):
        def __getitem__(self, rows):
            read[0] += len(np.atleast_1d(rows))
            return super().__getitem__(rows)

    class Screen(io.StringIO):
        def write(self, text):
            if text.strip():
                at_print.append(read[0])
            return words.write(text)

        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Screen())
    source = StreamedData(Counted(X), chunk_bytes=60)
    check_data(V, source, "train", keep_streamed=not query, progress=True)
    assert at_print[0] < N < read[0]
    assert "reading train" in words.getvalue()


def test_fit_asks_for_that_bar(monkeypatch):
    asked = []

    def check(*_, progress, **__):
        asked.append(progress)
        raise Door

    monkeypatch.setattr(sys.modules["probvae.training.preparation"], "check_data", check)
    for progress in (True, False):
        with pytest.raises(Door):
            trained(X, progress=progress)
    assert asked == [True, False]


def test_ordinary_data_give_no_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x in (X, X.astype(float), X.tolist(), pd.DataFrame(X), 1e3 * X.astype(float)):
            assert check_data(V, x).x.dtype == np.float32
