"""A run over several devices is that of one, to rounding: rows and draws do not depend on them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import parallel_run
import pytest

from probvae import VAE, DataParallel, fit

HERE = Path(__file__).parent


def started(out, devices=8, **told):
    """A run in a process of its own, with so many devices."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    path = os.pathsep.join(map(str, (HERE.parent, HERE)))
    return subprocess.Popen(
        [sys.executable, HERE / "parallel_run.py", out, json.dumps(told)],
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process, timeout=240):
    """What a process has said, when it has ended."""
    try:
        said, _ = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, said


def on_devices(tmp_path, devices=8, **told):
    out = tmp_path / f"{devices}.npz"
    code, said = ended(started(out, devices, **told))
    assert code == 0, said
    return np.load(out)


def assert_close(found, single, rtol):
    """The loss of every step and the validation's ELBO, relative to those of one device."""
    assert len(found["loss"]) == len(single["loss"])
    np.testing.assert_allclose(found["loss"], single["loss"], rtol=rtol)
    np.testing.assert_allclose(found["elbo"], single["elbo"], rtol=10 * rtol)


def test_eight_devices_are_one_in_double_precision(tmp_path, float64):
    single = parallel_run.series(parallel_run.fitted(epochs=2))
    assert_close(on_devices(tmp_path, x64=True, epochs=2), single, 1e-9)


@pytest.mark.slow
def test_eight_devices_are_one_over_200_steps(tmp_path, float64):
    single = parallel_run.series(parallel_run.fitted())
    assert len(single["loss"]) == 200
    assert_close(on_devices(tmp_path, x64=True), single, 1e-9)


@pytest.mark.slow
def test_eight_devices_are_one_in_single_precision(tmp_path):
    single = parallel_run.series(parallel_run.fitted())
    found = on_devices(tmp_path)
    np.testing.assert_allclose(found["loss"][:20], single["loss"][:20], rtol=1e-5)
    assert abs(found["elbo"][0] - single["elbo"][0]) < 0.1


@pytest.mark.slow
def test_draws_of_another_kind_of_key_do_not_depend_on_devices(tmp_path, float64):
    single = parallel_run.series(parallel_run.fitted(epochs=2, impl="rbg"))
    assert_close(on_devices(tmp_path, x64=True, epochs=2, impl="rbg"), single, 1e-9)


@pytest.mark.slow
def test_the_pass_for_a_training_set_value_is_that_of_one_device(tmp_path, float64):
    options = {"epochs": 2, "stateful": True}
    single = parallel_run.series(parallel_run.fitted(**options))
    found = on_devices(tmp_path, x64=True, skip=True, **options)
    assert_close(found, single, 1e-9)
    np.testing.assert_allclose(found["values"], single["values"], rtol=1e-6, atol=1e-9)


def small_fit(**options):
    vae = VAE(event_shape=(2,), latent_dim=1)
    told = {"batch_size": 4, "rng_key": jax.random.key(0), "progress": False, "epochs": 1}
    return fit(vae, np.zeros((8, 2), np.float32), **told | options)


def test_a_batch_that_does_not_split_says_what_does(monkeypatch):
    real = jax.devices()
    monkeypatch.setattr(jax, "devices", lambda: real * 3)
    with pytest.raises(ValueError, match="batch_size=4 .* over 3 devices.*batch_size=3 or 6"):
        small_fit(devices=DataParallel())


@pytest.mark.parametrize("odd", [2, "gpu", [0]], ids=str)
def test_what_is_no_device_says_so(odd):
    with pytest.raises(TypeError, match="devices expects JAX's devices"):
        DataParallel(odd)
    with pytest.raises(TypeError, match=r"devices expects DataParallel\(\)"):
        small_fit(devices=odd)


def test_each_device_is_named_once():
    with pytest.raises(ValueError, match="each named once"):
        DataParallel(jax.devices() * 2)
    with pytest.raises(ValueError, match="one or more"):
        DataParallel(())
