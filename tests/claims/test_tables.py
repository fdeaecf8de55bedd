"""The published tables: recipes as their papers state them, and a row as it is run."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from inference_runs import needs_data, run

from inference.comparison import draw_rows
from inference.recipes import NETS, ROWS, TOMCZAK, adam_of_normed_gradients, rate_by_thirds
from inference.tables import line, read_or_make, shorten


@pytest.mark.parametrize(
    ("epoch", "power"),
    [(0, 0), (1, 1), (3, 1), (4, 2), (12, 2), (13, 3), (1092, 6), (1093, 7), (3279, 7)],
)
def test_the_rate_falls_by_thirds(epoch, power):
    """Burda et al.: 1e-3 * 10^(-i/7) for 3^i passes, 3280 in all; ours changes with the step after."""
    rate = rate_by_thirds(20)(20 * epoch + 10)
    np.testing.assert_allclose(rate, 1e-3 * 10 ** (-power / 7), rtol=1e-5)
    assert ROWS["static-iwae-50"].training.epochs == sum(3**i for i in range(8))


def test_each_tensor_has_a_step_of_its_own_length():
    """With gradients of any size the first steps are Adam's of unit vectors: as long, all in all."""
    optimizer = adam_of_normed_gradients(1)
    weights = {"a": jnp.zeros((3, 4)), "b": jnp.zeros(5)}
    gradient = {"a": jnp.full((3, 4), 1e-3), "b": jnp.linspace(1.0, 2.0, 5) * 1e6}
    state = optimizer.init(weights)
    _, state = optimizer.update(gradient, state, weights)
    (moments,) = (part for part in state[1] if hasattr(part, "mu"))
    for name in weights:
        np.testing.assert_allclose(jnp.linalg.norm(moments.mu[name]), 0.1, rtol=1e-3)


def test_a_shorter_run_warms_up_in_a_quarter_of_it():
    assert shorten(TOMCZAK, None) == TOMCZAK
    assert shorten(TOMCZAK, 40)[:4] == (40, 100, 10, 50)
    assert shorten(TOMCZAK, 1000).warm_up == 100


def test_every_row_has_data_nets_and_a_prior():
    assert len(ROWS) == 3 * len(NETS) * 4 - 3 + 6 + 1
    assert ROWS["dynamic-vae-standard"].reference == "-84.45 +- 0.12"
    grey, binary = (ROWS[f"{data}-vae-vampprior"].vae((4, 4)) for data in ("frey", "static"))
    assert (grey.prior.start_mean, binary.prior.start_mean) == (0.5, 0.05)
    assert grey.prior.components == 500
    for net in NETS:
        assert ROWS[f"static-{net}-standard"].vae((4, 4)).latent_dim == 40


def test_what_was_made_is_kept_and_not_mistaken(tmp_path):
    path, made = tmp_path / "record.json", []
    first = read_or_make(path, {"epochs": 1}, lambda: made.append(1) or {"elbo": -1.0})
    assert read_or_make(path, {"epochs": 1}, lambda: made.append(1) or {}) == first
    assert (first["elbo"], len(made)) == (-1.0, 1)
    with pytest.raises(SystemExit, match="take another --out"):
        read_or_make(path, {"epochs": 2}, dict)


def test_a_line_is_the_spread_over_trainings():
    same = {"elbo": -90.0, "active_units": 20.0, "share_above": 0.5, "epochs": 9, "kept_epoch": 8}
    same |= {"faults": [], "draws_per_second": 100.0, "training_minutes": 1.0, "device": "cpu"}
    rows = [{**same, "log_prob": value} for value in (-88.0, -90.0)]
    assert "| -89.00 +- 1.00 | -90.00 +- 0.00 | 20.0 +- 0.0 |" in line("static-vae-standard", rows)


@needs_data
@pytest.mark.slow
def test_a_row_is_one_command(tmp_path):
    printed = run("tables", "static-vae-vampprior", "--quick", "--out", str(tmp_path))
    assert "| static-vae-vampprior | -85.57 | -" in printed
    record = json.loads((tmp_path / "static-vae-vampprior" / "key-0" / "criticism.json").read_text())
    assert record["elbo"] < record["log_prob"] < 0
    assert record["settings"]["particles"] == 100


def test_some_of_the_test_data_are_of_all_kinds():
    """Static MNIST's test file is sorted by digit: its first rows are no sample."""
    rows = np.repeat(np.arange(10), 100)
    assert len(set(draw_rows(rows, 60))) == 10
    assert sorted(draw_rows(rows, None)) == sorted(rows)
    np.testing.assert_array_equal(draw_rows(rows, 60), draw_rows(rows, 60))
