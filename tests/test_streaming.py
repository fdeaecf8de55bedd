"""Data that are streamed: the losses of data in memory, and faults of the source in words."""

import json
import os
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from test_cli_sweep import TINY

from probvae import VAE, Checkpoints, DataParallel, EarlyStopping, fit, likelihoods, nets, sweep
from probvae.cli import main
from probvae.data import Binarize, DataError, StreamedData
from probvae.data_checks import check_data
from probvae.evidence import Batch
from probvae.training import feeds
from probvae.training.checkpointing.fingerprint import fingerprint

SHAPE, N, ADAM = (3, 2), 45, optax.adam(0.05)
RAN = np.random.default_rng(0)
GREY = RAN.integers(0, 256, (N, *SHAPE), dtype=np.uint8)
REAL = RAN.normal(size=(N, *SHAPE))
VALID = (RAN.random((11, *SHAPE)) > 0.5).astype(np.uint8)


def vae(**parts):
    return VAE(
        **{"event_shape": SHAPE, "latent_dim": 2, "encoder": nets.Linear(), "decoder": nets.Linear()}
        | parts
    )


def on_disk(folder, array, name="x.npy"):
    np.save(folder / name, array)
    return np.load(folder / name, mmap_mode="r")


def small(array):
    return StreamedData(array, chunk_bytes=100)  # of 6 bytes a datum: two steps of 8 at a time


def trained(data, **options):
    told = {"rng_key": jax.random.key(0), "epochs": 3, "batch_size": 8, "optimizer": ADAM}
    told |= {"observation": Binarize(255.0), "progress": False}
    return fit(options.pop("model", vae()), data, **told | options)


def checked(array):
    return check_data(vae(), array, observation=Binarize(255.0), keep_streamed=True).x


def assert_same(one, other):
    for name, seen in one.history._asdict().items():
        for a, b in zip(
            jax.tree.leaves(seen), jax.tree.leaves(getattr(other.history, name)), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6, err_msg=name)
    for a, b in zip(jax.tree.leaves(one.values), jax.tree.leaves(other.values), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_streamed_is_resident(tmp_path):
    early = {"early_stopping": EarlyStopping(patience=1)}
    resident = trained(GREY, validation=VALID, **early)
    mapped = small(on_disk(tmp_path, GREY))
    assert_same(resident, trained(mapped, validation=small(on_disk(tmp_path, VALID, "v.npy")), **early))
    assert_same(resident, trained(mapped, validation=VALID, **early))


@pytest.mark.slow
def test_a_pass_over_all_and_missing_entries(tmp_path):
    model = vae(likelihood=likelihoods.Gaussian(scale=likelihoods.OptimalScale()))
    mask = RAN.random((N, *SHAPE)) > 0.2
    told = {"model": model, "observation": None, "epochs": 2}
    resident = trained(Batch(REAL, None, mask), **told)
    assert_same(resident, trained(Batch(small(on_disk(tmp_path, REAL)), None, mask), **told))


@pytest.mark.slow
def test_a_source_by_rows_and_a_slice_of_a_map(tmp_path):
    class Rows:
        def __len__(self):
            return N - 5

        def __getitem__(self, rows):
            return GREY[5:][rows]

    resident = trained(GREY[5:], epochs=1)
    assert_same(resident, trained(Rows(), epochs=1))
    assert_same(resident, trained(small(on_disk(tmp_path, GREY)[5:]), epochs=1))


@pytest.mark.slow
def test_goes_on_from_a_checkpoint(tmp_path):
    mapped = small(on_disk(tmp_path, GREY))
    folder = Checkpoints(tmp_path / "run")
    trained(mapped, epochs=1, checkpoints=folder)
    assert_same(trained(GREY), trained(mapped, checkpoints=folder))


def test_the_rule(tmp_path, monkeypatch):
    mapped = on_disk(tmp_path, GREY)
    assert not isinstance(checked(mapped), StreamedData)
    monkeypatch.setattr("probvae.data.streamed.free_memory", lambda: 4 * GREY.nbytes - 1)
    assert isinstance(checked(mapped), StreamedData)
    assert not isinstance(checked(GREY), StreamedData)


def test_fingerprint_is_of_the_content(tmp_path):
    one, same = small(on_disk(tmp_path, GREY)), StreamedData(on_disk(tmp_path, GREY, "b.npy"))
    other = small(on_disk(tmp_path, GREY[::-1], "c.npy"))
    digests = [fingerprint({"x": each})["x"] for each in (one, same, other)]
    assert digests[0] == digests[1] != digests[2]


def spoiled(path):
    bad = np.load(path)
    bad[-1] = np.nan
    np.save(path, bad)


FAULTS = {
    "gone": (os.unlink, "FileNotFoundError"),
    "cut": (lambda path: os.truncate(path, 300), "300 bytes"),
    "corrupt": (spoiled, "NaN or infinite"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_middle_is_named(tmp_path, fault):
    mapped = small(on_disk(tmp_path, REAL.astype(np.float32)))
    damage, words = FAULTS[fault]
    kept = Checkpoints(tmp_path / "run")

    def strike(epoch):
        if epoch.number == 2:
            damage(tmp_path / "x.npy")

    told = {
        "model": vae(likelihood=likelihoods.Gaussian()),
        "observation": None,
        "callbacks": (strike,),
    }
    with pytest.raises(DataError, match=rf"x\.npy: cannot read rows .*{words}") as found:
        trained(mapped, checkpoints=kept, **told)
    assert found.value.fitted.history.num_epochs == 2
    assert any((tmp_path / "run").iterdir())


def test_bad_values_are_found_before_training(tmp_path):
    with pytest.raises(ValueError, match="expects boolean"):
        trained(small(on_disk(tmp_path, GREY)), observation=None)
    with pytest.raises(TypeError, match=r"len\(source\)"):
        StreamedData(iter(GREY))


def test_what_needs_data_in_memory_says_so():
    data = small(GREY)
    with pytest.raises(ValueError, match="DataParallel splits data in memory.*streamed"):
        trained(data, devices=DataParallel())
    with pytest.raises(ValueError, match="sweep keeps its data on the device.*streamed"):
        sweep(
            vae(),
            data,
            validation=VALID,
            rng_keys=[jax.random.key(0)],
            observation=Binarize(255.0),
            epochs=1,
            batch_size=8,
            progress=False,
        )


def test_a_folder_of_splits_is_streamed_by_the_command_line(tmp_path, monkeypatch):
    """`probvae train --data FOLDER` reads rows as it wants them, and comes to the numbers of an .npz."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(TINY)
    (tmp_path / "mapped").mkdir()
    splits = {"train": np.tile(GREY, (4, 1, 1)), "valid": GREY[:20], "test": GREY[20:40]}
    np.savez("whole.npz", **splits)
    for split, array in splits.items():
        np.save(f"mapped/{split}.npy", array)
    monkeypatch.setattr("probvae.data.streamed.free_memory", lambda: 0)
    monkeypatch.setattr("probvae.runs.figures.can_draw", lambda: False)
    fed, numbers, make_feed = [], [], feeds.make_feed
    monkeypatch.setattr(
        "probvae.training.epochs.make_feed", lambda *a: fed.append(make_feed(*a)) or fed[-1]
    )
    for data in ("whole.npz", "mapped"):
        few = ["--epochs", "2", "--batch-size", "8", "--particles", "5"]
        assert main(["train", "tiny.py", "--data", data, "--out", f"run-{data}", *few]) == 0
        numbers.append(json.loads(Path(f"run-{data}/metrics.json").read_text())["test_elbo"]["mean"])
    assert [type(each) for each in fed] == [feeds.ResidentFeed, feeds.StreamedFeed]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-5)
