"""Errors about values outside the support: each names a remedy, and following it works."""

import re

import jax
import numpy as np
import optax
import pytest

from probvae import VAE, Batch, NonFiniteLossError, data, fit, likelihoods, nets
from probvae.data import Cast
from probvae.data_checks import check_values

RANDOM = np.random.default_rng(0)
N = 60
CODES = RANDOM.integers(0, 3, (N, 2))
CODES[:3] = [[0, 1], [1, 2], [2, 0]]
BITS = RANDOM.integers(0, 2, (N, 2))
SHARES = RANDOM.uniform(0.01, 0.99, (N, 2))
GAP = RANDOM.random((N, 2)) < 0.2
CATEGORICAL, BERNOULLI, BETA = likelihoods.Categorical(3), likelihoods.Bernoulli(), likelihoods.Beta()
GREY = likelihoods.DiscretizedLogistic(16)
ENVIRONMENT = {"np": np, "jax": jax, "data": data, "likelihoods": likelihoods, "Batch": Batch}


def check(likelihood, x, name="train", observation=None):
    """Check data as `fit` and the queries do, without compiling a fit."""
    batch = x if isinstance(x, Batch) else Batch(np.asarray(x))
    vae = VAE(event_shape=batch.x.shape[1:], latent_dim=1, likelihood=likelihood, **LINEAR)
    check_values(vae, np.asarray(batch.x), batch.mask, name, observation or Cast())


LINEAR = {"encoder": nets.Linear(), "decoder": nets.Linear()}


def refusal(likelihood, x, **options):
    with pytest.raises(ValueError) as error:
        check(likelihood, x, **options)
    return str(error.value)


# likelihood, data that it refuses, what stands in the error, the code in it that mends x
REMEDIES = {
    "levels 1..3": (CATEGORICAL, CODES + 1, "subtract 1", r"subtract 1, (.*?)\.$"),
    "-1 for a missing level": (
        CATEGORICAL,
        np.where(GAP, -1, CODES),
        "means a missing",
        "mask: (.*)\\.",
    ),
    "-1 for a missing bit": (
        BERNOULLI,
        np.where(GAP, -1, BITS),
        "means a missing",
        "mask: (.*)\\.",
    ),
    "bits -1 and 1": (BERNOULLI, 2 * BITS - 1, "recode -1 and 1", r"use (.*)\.$"),
    "bits 1 and 2": (BERNOULLI, BITS + 1, "recode 1 and 2", r"use (.*)\.$"),
    "a share of 0": (BETA, np.where(GAP, 0.0, SHARES), "exactly 0 or 1", r"shares by (.*?) with"),
    "a share of 1": (BETA, np.where(GAP, 1.0, SHARES), "exactly 0 or 1", r"shares by (.*?) with"),
    "0 for a missing share": (BETA, np.where(GAP, 0.0, SHARES), "0 means", r"a mask, (.*)\.$"),
    "shares in percent": (BETA, 100 * SHARES, "percent", r"by 100: (.*)\.$"),
    "grey values 0..255": (
        likelihoods.ContinuousBernoulli(),
        255 * SHARES,
        "by 255",
        r"by 255: (.*)\.$",
    ),
    "greys under bits": (BERNOULLI, SHARES, "Binarise grey values", r"\((data.Binarize.*x\))\)"),
    "fractions under counts": (likelihoods.Poisson(), CODES + 0.3, "np.round", r"use (np\.round\(x\))"),
    "-9 for a missing count": (
        likelihoods.Poisson(),
        np.where(GAP, -9, CODES),
        "missing",
        "mask: (.*)\\.",
    ),
    "0 for a missing amount": (
        likelihoods.LogNormal(),
        np.where(GAP, 0.0, SHARES),
        "0 means a missing",
        r"mask: (.*)\.$",
    ),
    "0 for a small amount": (
        likelihoods.Gamma(),
        np.where(GAP, 0.0, SHARES),
        "too small to measure",
        r"above 0: (.*?)\. For",
    ),
    "0 for a small whole number": (
        likelihoods.Rounded(likelihoods.LogNormal()),
        CODES,
        "too small to measure",
        r"add 1 to all: (.*?)\. For",
    ),
    "0 for a missing whole number": (
        likelihoods.Rounded(likelihoods.Standardized(likelihoods.LogNormal())),
        CODES,
        "0 means a missing",
        r"mask: (.*)\.$",
    ),
    "-9 for a missing amount": (
        likelihoods.LogNormal(),
        np.where(GAP, -9.0, SHARES),
        "means a missing",
        "mask: (.*)\\.",
    ),
    "integers under grey levels": (GREY, 5 * CODES, "divide by 15", r"by 15: (.*)\.$"),
    "numbers off the levels": (GREY, SHARES, "Round them to the levels", r"levels, (.*), or"),
}


@pytest.mark.parametrize("case", REMEDIES)
def test_the_code_in_an_error_mends_the_data(case):
    likelihood, x, words, code = REMEDIES[case]
    text = refusal(likelihood, x, name="x").partition(" See docs/faq.md")[0]
    assert words in text
    mended = eval(re.search(code, text).group(1), {**ENVIRONMENT, "x": x, "n": N})  # noqa: S307
    check(likelihood, mended)


@pytest.mark.parametrize(
    ("likelihood", "x", "observation"),
    [(BERNOULLI, SHARES, "data.Binarize(high=1)"), (BERNOULLI, 255 * SHARES, "data.Binarize(high=255)"),
     (GREY, 5 * CODES, "data.Rescale(15)"), (BETA, 100 * SHARES, "data.Rescale(100)"),
     (likelihoods.ContinuousBernoulli(), 255 * SHARES, "data.Rescale(255)")],
)  # fmt: skip
def test_training_data_are_mended_by_the_observation_that_the_error_names(likelihood, x, observation):
    assert f"observation={observation})" in refusal(likelihood, x)
    check(likelihood, x, observation=eval(observation, ENVIRONMENT))  # noqa: S307


@pytest.mark.parametrize(
    ("likelihood", "x", "other"),
    [(CATEGORICAL, CODES + 3, "likelihoods.Categorical(6)"),
     (likelihoods.Ordinal(3), CODES + 3, "likelihoods.Ordinal(6)"), (BERNOULLI, CODES, "likelihoods.Categorical(3)"),
     (CATEGORICAL, CODES + 0.5, "likelihoods.Gaussian()"), (BERNOULLI, SHARES - 9, "likelihoods.Gaussian()"),
     (likelihoods.Poisson(), SHARES - 0.5, "likelihoods.Gaussian()"),
     (likelihoods.Poisson(), CODES - 2, "likelihoods.Gaussian()"),
     (likelihoods.LogNormal(), SHARES - 0.5, "likelihoods.Gaussian()"),
     (likelihoods.Gamma(), CODES, "likelihoods.StudentT()"),
     (BETA, SHARES * 999, "likelihoods.Gaussian()"), (GREY, SHARES * 999, "likelihoods.Gaussian()")],
)  # fmt: skip
def test_the_other_likelihood_in_an_error_takes_the_data(likelihood, x, other):
    assert other in refusal(likelihood, x)
    check(eval(other, ENVIRONMENT), x)  # noqa: S307


def test_digits_with_17_grey_levels_are_scaled_as_the_error_says():
    x = np.arange(17.0).repeat(4).reshape(17, 4)
    text = refusal(BERNOULLI, x)
    assert "likelihoods.Categorical(17)" in text
    assert "grey levels" in text
    for code, likelihood in (
        ("data.Rescale(16)", likelihoods.ContinuousBernoulli()),
        ("data.Binarize(high=16)", BERNOULLI),
    ):
        assert f"observation={code}" in text
        check(likelihood, x, observation=eval(code, ENVIRONMENT))  # noqa: S307


def test_levels_are_numbered_as_the_error_says():
    x = CODES * 10.0 + 0.5
    assert "np.unique(column, return_inverse=True)[1]" in refusal(CATEGORICAL, x)
    check(CATEGORICAL, np.stack([np.unique(column, return_inverse=True)[1] for column in x.T], 1))


JOINT = likelihoods.Joint(
    size=(1, likelihoods.Gaussian()), grade=(2, CATEGORICAL), owner=(1, BERNOULLI)
)
TABLE = np.concatenate([RANDOM.normal(size=(N, 1)), CODES, BITS[:, :1]], 1)


@pytest.mark.parametrize(
    ("column", "change", "block", "remedy"),
    [(1, lambda x: x + 1, "grade", "subtract 1, x[..., 1:3] - 1"),
     (3, lambda x: x + 1, "owner", "x[..., 3:4] - 1"),
     (3, lambda x: x * 0.5, "owner", "np.random.default_rng(0).random(x[..., 3:4].shape) < x[..., 3:4] / 1")],
)  # fmt: skip
def test_a_joint_names_the_block_and_its_columns(column, change, block, remedy):
    columns = slice(1, 3) if block == "grade" else slice(3, 4)
    x = TABLE.copy()
    x[:, columns] = change(x[:, columns])
    text = refusal(JOINT, x)
    assert f"block '{block}' of train" in text
    assert remedy in text
    x[:, columns] = eval(remedy.removeprefix("subtract 1, "), {**ENVIRONMENT, "x": x})  # noqa: S307
    check(JOINT, x)


def test_an_amount_of_zero_is_named_by_its_row_and_column():
    table = likelihoods.Joint(size=(1, likelihoods.Gaussian()), pay=(2, likelihoods.LogNormal()))
    x = np.concatenate([np.zeros((N, 1)), SHARES], 1)
    x[[7, 9], [2, 1]] = 0.0
    text = refusal(table, x)
    assert "the likelihood LogNormal expects numbers above 0; block 'pay' of train holds 2" in text
    assert "The first is in row 7, column 2." in text
    told = {**ENVIRONMENT, "x": x}
    exec(re.search("give a mask: (.*); Batch", text).group(1), told)  # noqa: S102
    assert (~told["mask"]).sum() == 2
    check(table, Batch(x, mask=told["mask"]))
    x[:, 1:] = eval(re.search(r"above 0: (.*?)\. For", text).group(1), told)  # noqa: S307
    check(table, x)
    images = refusal(likelihoods.LogNormal(), np.zeros((9, 2, 3)))
    assert "The first is in row 0, entry (0, 0)." in images


def test_wrapped_likelihoods_are_named_with_their_bases():
    """A ``Rounded`` or ``Standardized`` likelihood, of all columns or of a block of a ``Joint``."""
    amount = likelihoods.Standardized(likelihoods.LogNormal())
    whole = likelihoods.Rounded(likelihoods.Standardized(likelihoods.Gaussian()))
    for part, x, words in (
        (amount, BITS, "Standardized(LogNormal) expects numbers above 0;"),
        (whole, SHARES, "Rounded(Standardized(Gaussian)) expects whole numbers;"),
        (
            likelihoods.Rounded(amount),
            BITS,
            "(Standardized(LogNormal)) expects whole numbers from 1 on;",
        ),
    ):
        assert words in refusal(part, x)
        text = refusal(likelihoods.Joint(a=(1, BERNOULLI), b=(2, part)), np.c_[BITS[:, :1], x])
        assert f"{words} block 'b' of train holds" in text
    nested = likelihoods.Joint(
        a=(1, BERNOULLI), b=(2, likelihoods.Joint(c=(1, BERNOULLI), d=(1, whole)))
    )
    assert "block 'b.d' of train holds" in refusal(nested, np.c_[BITS, SHARES[:, :1]])


@pytest.mark.parametrize("base", [likelihoods.Gaussian(), likelihoods.LogNormal()])
def test_numbers_with_decimals_are_rounded_as_the_error_says(base):
    x = 4000 + SHARES
    text = refusal(likelihoods.Rounded(base), x, name="x")
    assert "The first is in row 0, column 0." in text
    check(
        likelihoods.Rounded(base),
        eval(re.search(r"them, (.*?), or", text).group(1), {"np": np, "x": x}),
    )  # noqa: S307
    assert "use the base alone, without likelihoods.Rounded" in text
    check(base, x)


def test_a_missing_code_in_a_joint_is_masked_in_its_block_alone():
    x = TABLE.copy()
    x[:9, 1], x[:9, 0] = -1, -1
    code = re.search("give a mask: (.*); Batch", refusal(JOINT, x)).group(1)
    told = {**ENVIRONMENT, "x": x}
    exec(code, told)  # noqa: S102
    assert (~told["mask"]).sum() == 9
    check(JOINT, Batch(x, mask=told["mask"]))


def test_no_mask_is_proposed_where_none_is_taken():
    one_after_another = likelihoods.Autoregressive(nets.MADE((4,)), base=CATEGORICAL)
    text = refusal(one_after_another, np.where(GAP, -1, CODES))
    assert "the likelihood Autoregressive(Categorical) expects levels 0, ..., 2" in text
    assert "drop these rows" in text and "mask=" not in text  # noqa: PT018


def test_values_under_a_mask_are_not_asked_about():
    check(CATEGORICAL, Batch(np.where(GAP, -1, CODES), mask=~GAP))
    masked = Batch(np.where(GAP, -1, CODES + 1), mask=~GAP)
    assert "subtract 1" in refusal(CATEGORICAL, masked)


def test_what_an_observation_made_of_the_data_is_said():
    text = refusal(BERNOULLI, 255 * SHARES, observation=data.Rescale(255.0))
    assert "train, after Rescale(high=255.0), holds" in text
    assert "data.Binarize(high=1)" in text


def test_a_loss_of_counts_that_overflows_names_log1p_and_clipping():
    x = RANDOM.poisson(5.0, (60, 2))
    vae = VAE(event_shape=(2,), latent_dim=1, likelihood=likelihoods.Poisson(), **LINEAR)
    told = {"rng_key": jax.random.key(0), "epochs": 3, "batch_size": 30, "progress": False}
    with pytest.raises(NonFiniteLossError, match="large counts.*InputTransform.*log1p.*clip") as error:
        fit(vae, x, optimizer=optax.sgd(float("inf")), **told)
    assert "standardise" not in str(error.value)


def test_a_mean_of_0_to_255_is_no_reason_to_refuse_a_validation_of_real_numbers():
    check(likelihoods.Gaussian(), 255 * SHARES, name="validation")
    with pytest.raises(ValueError, match=r"validation holds bytes in 0\.\.255.* x / 255"):
        check(likelihoods.Gaussian(), np.array([[0, 255]], np.uint8), name="validation")
