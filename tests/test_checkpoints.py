"""Checkpoints: a run that was stopped goes on to the bits of one that was not, or says why it cannot."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from parts import BatchNormNet

from probvae import VAE, Checkpoints, EarlyStopping, fit, guides, likelihoods, nets, objectives
from probvae.data import Binarize
from probvae.training import loop
from probvae.training.checkpointing import file_format
from probvae.training.checkpointing.fingerprint import fingerprint

SHAPE = (3, 2)
ADAM, FAST = optax.adam(0.05), optax.adam(0.6)  # so fast that the best epoch is not the last


def grey(n, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, *SHAPE), dtype=np.uint8)


def real(n, seed):
    return np.random.default_rng(seed).normal(size=(n, *SHAPE)).astype(np.float32)


def plain(**options):
    vae = VAE(event_shape=SHAPE, latent_dim=2, encoder=nets.Linear(), decoder=nets.Linear())
    told = {"observation": Binarize(255.0), "validation": (grey(6, 1) > 127).astype(np.uint8)}
    return fit(vae, grey(24, 0), **TOLD | told | options)


def state_vae(**parts):
    return VAE(
        event_shape=SHAPE,
        latent_dim=2,
        encoder=BatchNormNet,
        decoder=nets.Linear(),
        likelihood=likelihoods.Gaussian(scale=likelihoods.OptimalScale()),
        **parts,
    )


def with_state(posterior=None, **options):
    told = {"validation": real(6, 1), "early_stopping": EarlyStopping(50), "objective": WARMED}
    told |= {"optimizer": FAST, **options}
    return fit(state_vae(posterior=posterior or guides.MeanField()), real(24, 0), **TOLD | told)


TOLD = {
    "rng_key": jax.random.key(3),
    "batch_size": 8,
    "optimizer": ADAM,
    "progress": False,
    "epochs": 6,
}
WARMED = objectives.ELBO(beta=optax.linear_schedule(0.0, 1.0, 9))


def at(folder, **options):
    return Checkpoints(folder, **{"seconds": 0.0, **options})


def assert_same(one, other):
    for a, b in zip(jax.tree.leaves(one.values), jax.tree.leaves(other.values), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [list(series) for series in one.history[:3]] == [list(s) for s in other.history[:3]]
    assert one.history.best_epoch == other.history.best_epoch
    assert one.data == other.data
    assert one.data is not None
    for a, b in zip(jax.tree.leaves(one.history), jax.tree.leaves(other.history), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype


@pytest.fixture(scope="module")
def whole():
    return plain()


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with the checkpoints of epochs 2 and 3."""
    folder = tmp_path_factory.mktemp("kept")
    plain(epochs=3, checkpoints=at(folder))
    return folder


@pytest.fixture
def folder(kept, tmp_path):
    for path in kept.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def held(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("train", [plain, with_state])
def test_a_run_goes_on_to_the_bits_of_one_that_was_never_stopped(train, tmp_path):
    whole = train()
    assert whole.history.kept_epoch < 4 or train is plain
    for epochs in (1, 4, 4):
        train(epochs=epochs, checkpoints=at(tmp_path))
    went_on = train(checkpoints=at(tmp_path))
    assert_same(went_on, whole)
    assert names(tmp_path) == ["epoch-00000005.safetensors", "epoch-00000006.safetensors"]


def test_a_run_that_is_over_is_not_run_again(whole, tmp_path, monkeypatch):
    plain(checkpoints=at(tmp_path))
    monkeypatch.setattr(loop, "run_epoch", None)
    assert_same(plain(checkpoints=at(tmp_path)), whole)


def test_checkpoints_are_written_when_they_are_due(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(file_format, "write", lambda path, *_: seen.append(path.name[12:14]))
    plain(checkpoints=at(tmp_path / "a", every=4))
    plain(checkpoints=at(tmp_path / "b", seconds=1000.0))
    assert seen == ["04", "06", "06"]


def test_one_program_for_a_run_that_goes_on(whole, folder):
    before = loop.run_epoch._cache_size()
    plain(checkpoints=at(folder))
    assert loop.run_epoch._cache_size() == before


def cut(content):
    return content[: len(content) // 2]


def flipped(share):
    def flip(content):
        place = int(len(content) * share)
        return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

    return flip


DAMAGES = {
    "cut": (cut, "is corrupt or incomplete"),
    "empty": (lambda content: b"", "is corrupt or incomplete"),
    "flipped in the arrays": (flipped(0.95), "does not match its checksum"),
    "flipped in the head": (flipped(0.0), "is corrupt"),
    "flipped in the names": (
        lambda c: c.replace(b"history/", b"hjstory/", 1),
        "does not match its check",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(damage, whole, folder):
    change, message = DAMAGES[damage]
    last = folder / "epoch-00000003.safetensors"
    last.write_bytes(change(last.read_bytes()))
    with pytest.warns(UserWarning, match=f"00000003.*{message}.*00000002.* of 2 epochs"):
        assert_same(plain(checkpoints=at(folder, every=2)), whole)
    assert names(folder) == ["epoch-00000004.safetensors", "epoch-00000006.safetensors"]


def test_a_checkpoint_of_an_earlier_version_is_named_as_such(tmp_path):
    """The file was written before modules and classes got their present names."""
    name = "epoch-00000001.safetensors"
    old = Path(__file__).parent / "data" / "saved_before_renaming" / name
    (tmp_path / name).write_bytes(old.read_bytes())
    vae = VAE(event_shape=(2,), latent_dim=1, encoder=nets.Linear(), decoder=nets.Linear())
    x = np.arange(8, dtype=np.uint8).reshape(4, 2) % 2
    told = {"rng_key": jax.random.key(0), "epochs": 2, "batch_size": 2, "progress": False}
    with pytest.raises(ValueError, match=f"{name} comes from another version of ProbVAE.*new folder"):
        fit(vae, x, checkpoints=at(tmp_path), **told)
    assert (tmp_path / name).read_bytes() == old.read_bytes()


def test_a_missing_checkpoint_is_done_without(whole, folder):
    (folder / "epoch-00000003.safetensors").unlink()
    (folder / ".epoch-00000003.safetensors.partial").write_bytes(b"begun")
    assert_same(plain(checkpoints=at(folder)), whole)


def test_where_none_is_whole_nothing_is_begun_anew(folder):
    for path in folder.iterdir():
        path.write_bytes(cut(path.read_bytes()))
    before = held(folder)
    with pytest.raises(ValueError, match="No checkpoint in .* is complete: .*00003.*00002.*new folder"):
        plain(checkpoints=at(folder))
    assert held(folder) == before


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"optimizer": optax.adam(0.06)}, "optimizer"),
        ({"rng_key": jax.random.key(4)}, "rng_key"),
        (
            {"batch_size": 12, "validation": (grey(6, 2) > 127).astype(np.uint8)},
            "batch_size, validation",
        ),
        ({"observation": Binarize(256.0)}, "observation"),
        ({"objective": WARMED, "early_stopping": EarlyStopping()}, "objective"),
    ],
)
def test_another_runs_folder_is_refused_and_left_alone(change, names, folder):
    before = held(folder)
    with pytest.raises(ValueError, match=f"was written by another run: {names} differ"):
        plain(checkpoints=at(folder), **change)
    assert held(folder) == before


def test_fewer_epochs_than_are_kept_are_refused(folder):
    with pytest.raises(ValueError, match="has 3 epochs, and this run ends after 2. Use epochs=3"):
        plain(epochs=2, checkpoints=at(folder))


def test_another_version_is_told_of_and_goes_on(folder, whole, monkeypatch):
    now = file_format.describe_environment()
    monkeypatch.setattr(file_format, "describe_environment", lambda: now | {"jax": "0.99"})
    with pytest.warns(UserWarning, match=f"jax {now['jax']}, now 0.99.*its bits differ"):
        plain(checkpoints=at(folder))


def test_a_full_disk_ends_the_run_and_leaves_what_was_there(folder, whole, monkeypatch):
    before = held(folder)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left.*are intact. Free some space"):
            plain(checkpoints=at(folder))
    assert held(folder) == before
    assert_same(plain(checkpoints=at(folder)), whole)


def test_a_folder_that_vanished_ends_the_run(tmp_path, monkeypatch):
    folder = tmp_path / "there"
    on_epoch(monkeypatch, 2, lambda: (folder / "lock").unlink(), folder.rmdir)
    with pytest.raises(FileNotFoundError, match="No such file.*restore the folder"):
        plain(checkpoints=at(folder, every=9))


def test_a_folder_that_cannot_be_made_is_an_error_before_training(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(loop, "initialize", None)
    with pytest.raises(OSError, match="cannot be written there"):
        plain(checkpoints=at(tmp_path / "file" / "below"))


def test_a_second_writer_is_refused_by_the_name_of_the_first(tmp_path, monkeypatch):
    found = []

    def second():
        with pytest.raises(BlockingIOError, match=rf"being written by process {os.getpid()} on"):
            plain(checkpoints=at(tmp_path))
        found.append(names(tmp_path))

    on_epoch(monkeypatch, 2, second)
    plain(checkpoints=at(tmp_path, every=9))
    assert found == [["lock"]]
    assert names(tmp_path) == ["epoch-00000006.safetensors"]


def test_a_lock_that_a_killed_process_left_is_no_lock(tmp_path):
    (tmp_path / "lock").write_text("process 1 on nowhere")
    plain(epochs=1, checkpoints=at(tmp_path))
    assert names(tmp_path) == ["epoch-00000001.safetensors"]


def on_epoch(monkeypatch, number, *do):
    """Do something while an epoch runs, counted from 1."""
    real, calls = loop.run_epoch, []

    def epoch(*given):
        calls.append(1)
        if len(calls) == number:
            for each in do:
                each()
        return real(*given)

    monkeypatch.setattr(loop, "run_epoch", epoch)


def sent(number):
    return lambda: signal.raise_signal(number)


def test_ctrl_c_ends_a_run_after_the_epoch_and_again_at_once(whole, tmp_path, monkeypatch, capfd):
    for presses, epochs in ((1, 3), (2, 2)):
        folder = tmp_path / str(presses)
        with monkeypatch.context() as patch:
            on_epoch(patch, 3, *[sent(signal.SIGINT)] * presses)
            ended = plain(checkpoints=at(folder, every=9))
        assert ended.history.num_epochs == epochs
        assert "ending after this epoch" in capfd.readouterr().err
        assert names(folder) == [f"epoch-{epochs:08d}.safetensors"]
        assert_same(plain(checkpoints=at(folder)), whole)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_is_ignored_stays_so(whole, monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        on_epoch(monkeypatch, 2, sent(signal.SIGINT))
        assert plain().history.num_epochs == 6
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_sigterm_ends_a_run_with_a_checkpoint_and_then_the_process(whole, tmp_path, monkeypatch):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(names(tmp_path)))
    try:
        with monkeypatch.context() as patch:
            on_epoch(patch, 2, sent(signal.SIGTERM))
            plain(checkpoints=at(tmp_path, every=9))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [["epoch-00000002.safetensors"]]
    assert_same(plain(checkpoints=at(tmp_path)), whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, r"every=...\) expects a positive integer"),
        ({"keep": 1}, r"keep=...\) expects an integer >= 2"),
        ({"seconds": -1.0}, r"seconds=...\) expects a finite number >= 0"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Checkpoints("folder", **options)


def settings():
    def tiny(n):
        return VAE(event_shape=SHAPE, latent_dim=2, encoder=nets.MLP((n,)), decoder=nets.MLP((4,)))

    steps, adam = optax.cosine_decay_schedule, optax.adam
    clipped = [optax.chain(optax.clip_by_global_norm(at), adam(1e-3)) for at in (1.0, 2.0)]
    warmed = [objectives.ELBO(beta=optax.linear_schedule(0.0, 1.0, n)) for n in (9, 8)]
    return {
        "rate": (adam(1e-3), adam(2e-3), adam(1e-3, b1=0.8), optax.sgd(1e-3), *clipped),
        "schedule": (adam(steps(1e-3, 100)), adam(steps(1e-3, 200))),
        "code": (adam(lambda step: 0.5**step), adam(lambda step: 0.4**step)),
        "names in code": (lambda x: jax.nn.tanh(x), lambda x: jax.nn.relu(x)),
        "integers in code": (lambda x: x**2, lambda x: x**3),
        "vae": (tiny(4), tiny(5)),
        "key": (jax.random.key(0), jax.random.key(1)),
        "objective": (objectives.ELBO(), *warmed),
        "data": (real(3, 0), real(3, 1), real(4, 0), real(3, 0).astype(np.float16)),
        "what": (plain, with_state, None, Binarize, {"a": 1}, {"a": 2}, {1, 2}, {1, 3}),
    }


def test_a_fingerprint_tells_settings_apart_and_knows_them_again():
    one, other = (
        [fingerprint({"x": each})["x"] for group in settings().values() for each in group]
        for _ in range(2)
    )
    assert one == other
    assert len(set(one)) == len(one)


SCRIPT = """
import sys
from test_checkpoints import at, plain
plain(epochs=int(sys.argv[2]), checkpoints=at(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_bits_in_another_process(tmp_path):
    def begun(epochs, seed):
        there = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed}
        told = {**os.environ, **there, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
        return subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path), str(epochs)], env=told)

    killed = begun(9999, "1")
    while not list(tmp_path.glob("epoch-*")):
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    epochs = at(tmp_path).files[0].name[6:14]
    assert begun(int(epochs) + 3, "2").wait() == 0
    on_disk = file_format.read(at(tmp_path).files[0])
    plain(epochs=on_disk.num_epochs, checkpoints=at(tmp_path / "whole"))
    whole = file_format.read(at(tmp_path / "whole").files[0])
    assert int(epochs) + 3 == whole.num_epochs
    assert on_disk.configuration == whole.configuration
    assert on_disk.arrays.keys() == whole.arrays.keys()
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(on_disk.arrays[name], array)
