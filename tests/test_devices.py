"""A run over several devices is that of one, to rounding: rows and draws do not depend on them."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import parallel_run
import pytest

from probvae import VAE, Checkpoints, DataParallel, EarlyStopping, fit

HERE = Path(__file__).parent


def started(out, jobs, devices=1, at=None):
    """Fits in a process of their own, with so many devices."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    path = os.pathsep.join(map(str, (HERE.parent, HERE)))
    return subprocess.Popen(
        [sys.executable, HERE / "parallel_run.py", out, json.dumps(at), json.dumps(jobs)],
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def started_together(tmp_path, count, jobs):
    """The same fits in several processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at = {"coordinator": f"127.0.0.1:{free.getsockname()[1]}", "processes": count}
    return [
        started(tmp_path / f"{process}.npz", jobs, at={**at, "process": process})
        for process in range(count)
    ]


def ended(process, timeout=300):
    """How a process has ended, and what it said."""
    try:
        said, _ = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, said


def results(path, jobs):
    found = np.load(path)
    return [
        {name: found[f"{i} {name}"] for name in ("loss", "elbo", "values")} for i in range(len(jobs))
    ]


def on_devices(tmp_path, *jobs):
    code, said = ended(started(tmp_path / "found.npz", jobs, devices=8))
    assert code == 0, said
    return results(tmp_path / "found.npz", jobs)


def in_processes(tmp_path, count, *jobs):
    for code, said in map(ended, started_together(tmp_path, count, jobs)):
        assert code == 0, said
    found = [results(tmp_path / f"{process}.npz", jobs) for process in range(count)]
    for each in found[1:]:
        jax.tree.map(np.testing.assert_array_equal, each, found[0])
    return found[0]


def single(**options):
    """The same fit on one device."""
    return parallel_run.series(parallel_run.fitted(**options))


def assert_close(found, one, rtol=1e-9):
    """The loss of every step, the validation's ELBO and what is fitted."""
    for name in ("loss", "elbo", "values"):
        np.testing.assert_allclose(found[name], one[name], rtol=rtol, atol=rtol)


def assert_close_in_single_precision(found):
    one = single()
    np.testing.assert_allclose(found["loss"][:20], one["loss"][:20], rtol=1e-5)
    assert abs(found["elbo"][0] - one["elbo"][0]) < 0.1


@pytest.mark.slow
def test_eight_devices_are_one_over_200_steps(tmp_path, float64):
    (found,) = on_devices(tmp_path, {})
    assert len(found["loss"]) == 200
    assert_close(found, single())


@pytest.mark.slow
def test_eight_devices_are_one_in_single_precision_with_state_and_other_keys(tmp_path):
    odd = {"epochs": 2, "stateful": True, "impl": "rbg", "stops": True}
    other, found = on_devices(tmp_path, odd, {"x64": False})
    assert_close_in_single_precision(found)
    odd["early_stopping"] = EarlyStopping(3) if odd.pop("stops") else None
    with jax.enable_x64(True):
        assert_close(other, single(**odd), 1e-6)  # the start of running state is in single precision


@pytest.mark.slow
def test_batch_norm_over_eight_devices_is_over_the_whole_batch(tmp_path, float64):
    """Each device has one row of a batch of eight."""
    (found,) = on_devices(tmp_path, {"norm": True, "epochs": 2})
    assert_close(found, single(norm=True, epochs=2), 1e-5)


@pytest.mark.slow
def test_two_processes_are_one_also_where_they_go_on(tmp_path):
    kept = {"checkpoints": str(tmp_path / "checkpoints")}
    _, found, less = in_processes(tmp_path, 2, {**kept, "epochs": 2}, kept, {"x64": False, "epochs": 1})
    with jax.enable_x64(True):
        assert len(found["loss"]) == 200
        assert_close(found, single())
    assert_close_in_single_precision(less)


@pytest.mark.slow
@pytest.mark.skipif(
    (os.cpu_count() or 1) < 4, reason="four processes want four cores: by hand, on fewer"
)
def test_four_processes_are_one(tmp_path, float64):
    (found,) = in_processes(tmp_path, 4, {})
    assert_close(found, single())


@pytest.mark.slow
def test_a_checkpoint_goes_on_with_another_number_of_devices(tmp_path, float64):
    ours, theirs = (str(tmp_path / name) for name in ("ours", "theirs"))
    single(epochs=2, checkpoints=Checkpoints(ours))
    (went_on, _) = on_devices(
        tmp_path, {"epochs": 4, "checkpoints": ours}, {"epochs": 2, "checkpoints": theirs}
    )
    whole = single(epochs=4)
    assert_close(went_on, whole)
    assert_close(single(epochs=4, checkpoints=Checkpoints(theirs)), whole)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_one_process_killed_ends_the_others_and_the_run_goes_on(tmp_path, float64, victim):
    folder = tmp_path / "checkpoints"
    job = {"epochs": 10_000, "checkpoints": str(folder)}
    run = started_together(tmp_path, 2, [job])
    while len(list(folder.glob("epoch-*"))) < 2:
        assert all(process.poll() is None for process in run), ended(run[0])
        time.sleep(0.1)
    run[victim].kill()
    run[victim].communicate()
    begun = time.monotonic()
    code, said = ended(run[1 - victim])
    assert time.monotonic() - begun < 60
    assert code != 0
    ours = "LostProcessError: another process of this run has ended"  # or JAX's service is first
    assert ours in said or (victim == 0 and "indicates that another task died" in said)
    kept = max(int(path.stem.split("-")[1]) for path in folder.glob("epoch-*"))
    found = single(epochs=kept + 2, checkpoints=Checkpoints(folder))
    assert len(found["loss"]) == 20 * (kept + 2)
    assert_close(found, single(epochs=kept + 2))


def small_fit(**options):
    vae = VAE(event_shape=(2,), latent_dim=1)
    told = {"batch_size": 4, "rng_key": jax.random.key(0), "progress": False, "epochs": 1}
    return fit(vae, np.zeros((8, 2), np.float32), **told | options)


def test_a_batch_that_does_not_split_says_what_does(monkeypatch):
    real = jax.devices()
    monkeypatch.setattr(jax, "devices", lambda: real * 3)
    with pytest.raises(ValueError, match="batch_size=4 .* over 3 devices.*batch_size=3 or 6"):
        small_fit(devices=DataParallel())


def test_each_device_is_named_once():
    with pytest.raises(ValueError, match="each named once"):
        DataParallel(jax.devices() * 2)
    with pytest.raises(ValueError, match="one or more"):
        DataParallel(())
