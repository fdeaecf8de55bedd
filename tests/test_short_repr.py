"""Every public result shows as what `print` shows, without the contents of its arrays."""

import inspect
from functools import cache
from pathlib import Path
from typing import get_args, get_type_hints

import jax
import numpy as np
import optax
import pytest

import probvae
from probvae import VAE, Fitted, History, Incident, Sweep, Variant, criticism, data, fitted, nets
from probvae.checks import Checked
from probvae.criticism import ActiveUnits, Comparison, Finding, PriorGap, Verdict, compare_values
from probvae.criticism.samples.predictive import compare_statistic
from probvae.data_description import DataDescription, Ranges
from probvae.fitted.history import EpochRecord
from probvae.training.callbacks import Epoch

N = 1_000
NET = nets.MLP((16,))
SERIES = dict.fromkeys(("loss", "elbo", "log_likelihood", "kl"), np.linspace(-3.0, -2.0, N))
INCIDENT = Incident(3, 70, "the loss is not finite", "the step was skipped", tuple(range(N)))
HISTORY = History(SERIES, SERIES, SERIES, N - 1, (INCIDENT,) * 9)
FINDING = Finding("fault", "collapse", "No unit is used. " * 5, 0.0, 0.1, "a convention", "Train. " * 5)


@cache
def vae():
    return VAE(event_shape=(8, 8), latent_dim=2, encoder=NET, decoder=NET)


def fit_of(size=N):
    values = {"encoder$params": {"w": np.zeros((size, 30))}, "decoder$params": np.zeros((size, 40))}
    return Fitted(vae(), values, HISTORY, 12.3)


@pytest.fixture(autouse=True)
def _any_values(monkeypatch):
    """The arrays here are larger than those of the VAE."""
    monkeypatch.setattr("probvae.fitted.fitted.check_values", lambda vae, values: None)


EXAMPLES = {
    "VAE": vae,
    "Fitted": fit_of,
    "History": lambda: HISTORY,
    "Incident": lambda: INCIDENT,
    "Sweep": lambda: Sweep({"beta": tuple(range(N))}, 1, (fit_of(2),) * N, True),
    "Variant": lambda: Variant(vae(), optimizer=optax.adam(1e-3), init_params=fit_of().params),
    "DecoderPrior": lambda: fitted.DecoderPrior(vae(), fit_of().values),
    "Data": lambda: data.Data("x", train=np.zeros((N, 8, 8)), test=np.zeros((N, 8, 8))),
    "DatasetInfo": lambda: data.DatasetInfo("digits " * 30, (Path("a" * 100),) * 5, True),
    "Verdict": lambda: Verdict((FINDING,) * 5),
    "Finding": lambda: FINDING,
    "Epoch": lambda: Epoch(3, {"loss": 1 / 3}, {"elbo": 2 / 3}, 0.1),
    "EpochRecord": lambda: EpochRecord(SERIES, {"loss": 1 / 3}, None),
    "DataDescription": lambda: DataDescription(
        (N,), "uint8", N, "", (0, 1), Ranges(*((0.0,) * N,) * 4)
    ),
    "ClassifierFeatures": lambda: criticism.ClassifierFeatures(
        ((np.ones((N, 3)), np.ones(3)),), 0.9, 0.1
    ),
    "Imputed": lambda: fitted.Imputed(
        *(np.ones((N, 2)),) * 4, {i / N: np.ones((N, 2)) for i in range(1, 9)}
    ),
    "Pooled": lambda: fitted.Pooled(*(np.ones(N),) * 6, 5),
    "Comparison": lambda: compare_values({f"model {i}": np.arange(N) * i / N for i in range(9)}),
}
EXAMPLES["Association"] = lambda: criticism.Association("a " * 60, "b " * 60, "V", 1 / 3, 2 / 3, 0.1)
EXAMPLES["Associations"] = lambda: criticism.Associations(
    tuple(f"column {i}" for i in range(90)), *(np.ones((90, 90)),) * 3, np.ones(90, bool)
)
EXAMPLES["ColumnChecks"] = lambda: criticism.ColumnChecks(
    {f"column {i}": {"mean": compare_statistic(np.ones(()), np.ones(N))} for i in range(90)}, N, N
)
EXAMPLES["VariantComparison"] = lambda: probvae.VariantComparison(
    ("a", "b"), "a", np.ones((2, 3, N)), np.ones((2, 3, N)), 10, ((fit_of(2),) * 3,) * 2
)
# set by the user, and shown by the call that makes them
SETTINGS = {"Checkpoints", "DataParallel", "EarlyStopping", "MovingAverage"}
LISTS_COLUMNS = {"Table"}  # print(table) has a line for each column, repr(table) one line


def example(kind):
    """An instance with long arrays in every field that may have one."""
    if kind.__name__ in EXAMPLES:
        return EXAMPLES[kind.__name__]()
    hints = get_type_hints(kind)
    return kind(*(value_of(hints[name]) for name in kind._fields))


def value_of(hint):
    if hint in (int, float, bool, str):
        return {int: N, float: 2 / 3, bool: True, str: "a text " * 100}[hint]
    if getattr(hint, "__origin__", None) is dict:
        return {f"name {i}": np.ones((N, 2)) for i in range(40)}
    if getattr(hint, "__origin__", None) is tuple:
        return ("name",) * N
    inner = next((arg for arg in (hint, *get_args(hint)) if hasattr(arg, "_fields")), None)
    return np.ones((N, 20)) if inner is None else example(inner)


def public_results():
    shown = {"probvae": probvae, "data": data, "criticism": criticism, "fitted": fitted}
    classes = {
        c
        for module in shown.values()
        for n in module.__all__
        if inspect.isclass(c := getattr(module, n))
    }
    kinds = {c for c in classes if hasattr(c, "_fields") or hasattr(c, "__dataclass_fields__")}
    kinds = {
        c
        for c in kinds
        if c.__name__ not in SETTINGS | LISTS_COLUMNS
        and (c in (Fitted, VAE) or not issubclass(c, Checked))
    }
    return sorted(kinds | {Verdict, Epoch, EpochRecord, DataDescription}, key=lambda c: c.__name__)


@pytest.mark.parametrize("kind", public_results(), ids=lambda kind: kind.__name__)
def test_a_result_shows_as_it_prints_and_stays_short(kind):
    result = example(kind)
    text = repr(result)
    assert text == str(result)
    assert len(text) <= 2_000
    assert "Array(" not in text
    assert "array([" not in text
    assert " object at 0x" not in text


def test_numbers_are_rounded_and_arrays_are_shapes():
    assert repr(PriorGap(2 / 3, 1 / 3, 0.05, 100)) == (
        "PriorGap(accuracy=0.6667, total_variation=0.3333, standard_error=0.05, num_data=100)"
    )
    units = ActiveUnits({"z": np.ones((20, 2))}, {"z": np.ones(2)})
    assert repr(units) == "ActiveUnits(kl={'z': array(20, 2)}, variance={'z': array(2,)}, noise={})"


def test_a_comparison_of_many_rows_has_a_short_repr():
    values = np.random.default_rng(0).normal(size=1000)
    comparison = compare_values({"a": values, "b": values - 1})
    assert isinstance(comparison, Comparison)
    assert len(repr(comparison)) < 400


def test_the_range_of_data_larger_than_memory_is_not_read():
    rows = np.broadcast_to(np.zeros((), np.uint8), (2**30, 8))  # 8 GB of which one byte exists
    assert "in data.range (8.6 GB)" in repr(data.Data("x", train=rows, test=rows[:1]))


def test_results_show_inside_a_compiled_program():
    texts = []

    @jax.jit
    def program(x):
        texts.append(
            repr(fitted.Imputed(x, x[0, :, 0], x[0], x[0, :, 0])) + repr(fitted.Samples(x, x, x))
        )
        return x

    program(np.ones((5, 3, 2)))
    assert "draws 5 of 3 data" in texts[0]


def test_a_sweep_prints_as_a_table():
    sweep = Sweep({"beta": (0.5, 4.0)}, 1, (fit_of(2),) * 2)
    assert str(sweep).splitlines() == [
        "Sweep of 2 fitted VAEs: 1 key x 2 values of beta. Validation means at the kept epoch, in nats.",
        "  key  beta   elbo  log_likelihood     kl  epochs",
        "    0   0.5  -2.00           -2.00  -2.00    1000",
        "    0     4  -2.00           -2.00  -2.00    1000",
    ]
