"""Messages about a table name its columns, and give advice that works for a frame."""

import re

import numpy as np
import pandas as pd
import pytest

from probvae import VAE, data, likelihoods
from probvae.data_checks import check_data
from probvae.data_description import DataComparison, DataSummary

RANDOM = np.random.default_rng(0)
N = 60
FRAME = pd.DataFrame(
    {
        "temperature": RANDOM.normal(size=N),
        "grams": RANDOM.integers(3000, 5000, N),
        "pay": np.where(RANDOM.random(N) < 0.2, 0.0, RANDOM.gamma(2, 100, N)),
        "day": pd.Timestamp("2024-03-01") + pd.to_timedelta(RANDOM.integers(0, 90, N), unit="D"),
    }
)
ENVIRONMENT = {"np": np, "data": data, "likelihoods": likelihoods, "VAE": VAE}
AMOUNT = {"pay": likelihoods.Standardized(likelihoods.LogNormal())}


def check(table, vae=None):
    """Check a table as ``fit`` does."""
    summary = DataSummary((len(table.schema.modelled),), data.Cast())
    check_data(vae or VAE.for_table(table), table, "train", record=summary)
    return summary.description()


def check_new(frame, name="x"):
    """Check new rows as the queries of a fit do, and ``validation`` as ``fit`` does."""
    table = data.Table(FRAME)
    compared = DataComparison(check(table), name, names_cells=name == "validation")
    return check_data(VAE.for_table(table), frame, name, record=compared)


def refusal(function, *arguments):
    with pytest.raises(ValueError) as error:
        function(*arguments)
    return str(error.value)


def evaluate(pattern, text, **values):
    return eval(re.search(pattern, text).group(1), ENVIRONMENT | values)  # noqa: S307


@pytest.mark.parametrize("code", [r"0: (.*?)\. For", r"cells: (.*?)\. See"])
def test_amounts_of_zero_are_changed_as_the_error_says(code):
    table = data.Table(FRAME)
    text = refusal(check, table, VAE.for_table(table, likelihoods=AMOUNT))
    first = int((FRAME["pay"] == 0).argmax())
    assert f'column "pay" of train holds {(FRAME["pay"] == 0).sum()} other values' in text
    assert f"The first is in row {first}." in text
    frame = FRAME.assign(pay=evaluate(code, text, frame=FRAME))
    table = data.Table(frame)
    check(table, VAE.for_table(table, likelihoods=AMOUNT))


def test_amounts_of_zero_fit_the_likelihood_that_the_error_names():
    table = data.Table(FRAME)
    text = refusal(check, table, VAE.for_table(table, likelihoods=AMOUNT))
    check(table, evaluate(r"zeros, use (.*?)\. If", text, table=table))


def test_new_numbers_with_decimals_are_rounded_as_the_error_says():
    frame = FRAME.assign(grams=FRAME["grams"] + 0.25)
    text = refusal(check_new, frame)
    assert 'Rounded(Standardized(Gaussian)) expects whole numbers; column "grams" of x holds 60' in text
    assert f"such as {FRAME['grams'][0]}.25" in text
    check_new(frame.assign(grams=evaluate(r"them, (.*?), or", text, frame=frame)))
    vae = evaluate(r"or use (.*?)\. See", text, table=data.Table(FRAME))
    assert vae.likelihood.named_blocks["grams"].likelihood.support is likelihoods.Gaussian().support


def test_a_time_of_day_in_a_column_of_days_is_explained():
    frame = FRAME.assign(day=FRAME["day"] + pd.Timedelta("3h"))
    text = refusal(check_new, frame)
    assert 'column "day" of x holds 60 other values' in text
    assert f"(days since {FRAME['day'].min():%Y-%m-%d})" in text
    assert "Give dates without a time of day" in text
    check_new(frame.assign(day=frame["day"].dt.normalize()))
    check(data.Table(frame))


@pytest.mark.parametrize("value", [1e30, 1e300])
def test_a_value_that_overflows_is_named_by_its_column(value):
    frame = FRAME.astype({"temperature": float}).copy()
    frame.loc[5, "temperature"] = value
    assert 'in row 5, column "temperature"; expected' in refusal(check_new, frame)
    frame.loc[5, "temperature"] = None
    check_new(frame)


def test_an_absurd_value_of_the_validation_rows_is_named_by_its_column():
    frame = FRAME.copy()
    frame.loc[5, "temperature"] = -9999
    with pytest.warns(
        UserWarning, match='holds -9999 in row 5, column "temperature"; the training'
    ) as said:
        check_new(frame, "validation")
    assert "leave that cell empty (None)" in str(said[0].message)
    frame.loc[5, "temperature"] = None
    check_new(frame, "validation")


@pytest.mark.filterwarnings("ignore:validation holds")
def test_an_absurd_date_is_written_as_a_date():
    frame = FRAME.astype({"day": "datetime64[s]"}).copy()
    frame.loc[5, "day"] = pd.Timestamp("9999-12-31").as_unit("s")
    with pytest.warns(UserWarning, match='holds 9999-12-31 in row 5, column "day"; .* in .2024-03-'):
        check_new(frame, "validation")


def test_numbers_that_float32_merges_are_named_by_their_column():
    seconds = 1.7e9 + RANDOM.permutation(N) + 0.5
    frame = FRAME.assign(seconds=np.where(np.arange(N) == 3, 0.0, seconds))
    text = refusal(check, data.Table(frame))
    assert 'merges the values of column "seconds". 60 distinct values' in text
    check(data.Table(frame, types=evaluate(r"types=(\{.*?\})", text)))
    check(data.Table(frame.assign(seconds=evaluate(r"those cells: (.*?)\. Other", text, frame=frame))))
