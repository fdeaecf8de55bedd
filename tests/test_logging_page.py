"""The page on logging runs, W&B and MLflow stood in for, and what the pages say of gradients is so."""

import json
import re
import sys
import types
from contextlib import nullcontext
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from test_checkpoints import SHAPE, TOLD, assert_same, at, real

from probvae import VAE, fit, guides, likelihoods, nets

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "logging.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def loggers(logged):
    """Modules with the names that the page calls, which keep what they are given."""

    def log(metrics, step):
        logged.append((step, metrics))

    run = types.SimpleNamespace(log=log, finish=lambda: logged.append("finished"))
    wandb = types.SimpleNamespace(init=lambda project, config: run)
    mlflow = types.SimpleNamespace(start_run=nullcontext, log_param=lambda *_: None, log_metrics=log)
    return {"wandb": wandb, "mlflow": mlflow}


@pytest.mark.slow
def test_the_page_runs_and_each_logger_is_given_every_epoch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logged, names = [], {}
    for name, module in loggers(logged).items():
        monkeypatch.setitem(sys.modules, name, module)
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
    lines = (tmp_path / "digits.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    steps = [each if each == "finished" else each[0] for each in logged]
    assert steps == [1, 2, 3, "finished", 1, 2, 3]
    assert all("validation_elbo" in each[1] for each in logged if each != "finished")


def test_a_logger_takes_five_lines():
    for name in ("wandb", "mlflow"):
        (block,) = (block for block in BLOCKS if f"import {name}" in block)
        assert len([line for line in block.splitlines() if line]) <= 5


def without_draws(**options):
    """A fit in which a step's gradient is a function of its data: no code is drawn."""
    vae = VAE(
        event_shape=SHAPE,
        latent_dim=2,
        encoder=nets.Linear(),
        decoder=nets.Linear(),
        posterior=guides.PointMass(),
        likelihood=likelihoods.Gaussian(),
    )
    return fit(vae, real(24, 0), **TOLD | {"epochs": 2} | options)


def flat(fitted):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(fitted.params)])


def accumulating(optimizer):
    return optax.MultiSteps(optimizer, 3, use_grad_mean=False).gradient_transformation()


@pytest.mark.slow
def test_accumulated_gradients_are_those_of_the_larger_batch():
    sgd = optax.sgd(1e-3, momentum=0.9)
    small = without_draws(optimizer=accumulating(sgd), batch_size=4)
    large = without_draws(optimizer=sgd, batch_size=12)
    np.testing.assert_allclose(flat(small), flat(large), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_accumulation_goes_on_from_a_checkpoint(tmp_path):
    told = {"optimizer": accumulating(optax.adam(0.02)), "batch_size": 5}  # 4 steps: not all of 3
    for epochs in (1, 2):
        went_on = without_draws(**told, epochs=epochs, checkpoints=at(tmp_path))
    assert_same(went_on, without_draws(**told))


@pytest.mark.slow
def test_a_clipped_gradient_is_the_gradient_at_the_norm_asked_for():
    one = {"epochs": 1, "batch_size": 24}
    start = flat(without_draws(**one, optimizer=optax.sgd(0.0)))
    bare = flat(without_draws(**one, optimizer=optax.sgd(1e-3))) - start
    clip = optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(1e-3))
    clipped = flat(without_draws(**one, optimizer=clip)) - start
    assert np.linalg.norm(bare) > 2e-3
    assert np.linalg.norm(clipped) == pytest.approx(5e-4, rel=1e-3)
    np.testing.assert_allclose(clipped / 5e-4, bare / np.linalg.norm(bare), atol=1e-3)


SCHEDULES = [
    optax.constant_schedule(0.01),
    optax.linear_schedule(0.0, 0.01, 3),
    optax.polynomial_schedule(0.01, 0.001, 2.0, 3),
    optax.piecewise_constant_schedule(0.01, {1: 0.5}),
    optax.piecewise_interpolate_schedule("linear", 0.01, {2: 0.5}),
    optax.exponential_decay(0.01, 2, 0.5),
    optax.cosine_decay_schedule(0.01, 3),
    optax.warmup_constant_schedule(0.0, 0.01, 2),
    optax.warmup_cosine_decay_schedule(0.0, 0.01, 1, 3),
    optax.warmup_exponential_decay_schedule(0.0, 0.01, 1, 2, 0.5),
    optax.linear_onecycle_schedule(3, 0.01),
    optax.cosine_onecycle_schedule(3, 0.01),
    optax.sgdr_schedule([{"init_value": 0.0, "peak_value": 0.01, "warmup_steps": 1, "decay_steps": 3}]),
]


@pytest.mark.slow
def test_every_schedule_of_optax_is_followed_step_by_step():
    """All of them after one another, three steps each, against the table of their values."""
    ends = list(range(3, 3 * len(SCHEDULES), 3))
    table = np.array([float(s(step)) for s in SCHEDULES for step in range(3)], np.float32)
    told = {"epochs": len(table) // 3, "batch_size": 8}
    by_rule = without_draws(**told, optimizer=optax.sgd(optax.join_schedules(SCHEDULES, ends)))
    by_table = without_draws(**told, optimizer=optax.sgd(lambda step: jax.numpy.asarray(table)[step]))
    np.testing.assert_allclose(flat(by_rule), flat(by_table), rtol=1e-4, atol=1e-6)
