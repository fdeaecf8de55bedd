"""fit: one program, one key, a faithful record, a usable end."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors.numpy import load_file, save_file

import probvae
from probvae import (
    VAE,
    Batch,
    Fitted,
    NonFiniteLossError,
    fit,
    latent_paths,
    likelihoods,
    load,
    nets,
    priors,
)
from probvae.data import Binarize
from probvae.fitted import serialization
from probvae.tracing import trace_structure
from probvae.training import loop

SHAPE = (3, 2)


def tiny(**changes):
    return VAE(
        event_shape=SHAPE,
        latent_dim=2,
        **{"encoder": nets.Linear(), "decoder": nets.Linear(), **changes},
    )


def binary(n=24, seed=0):
    return np.asarray(jax.random.bernoulli(jax.random.key(seed), 0.4, (n, *SHAPE)), np.uint8)


def quick(vae=None, x=None, **options):
    options = {
        "rng_key": jax.random.key(0),
        "epochs": 3,
        "batch_size": 8,
        "progress": False,
        **options,
    }
    return fit(tiny() if vae is None else vae, binary() if x is None else x, **options)


@pytest.fixture(scope="module")
def fitted():
    return quick(validation=binary(10, 1))


def test_history_has_every_step_and_every_epoch(fitted):
    history = fitted.history
    assert {name: len(v) for name, v in history.steps.items()} == dict.fromkeys(
        ("loss", "bound", "log_likelihood", "kl", "scale_x", "scale_z"), 9
    )
    assert set(history.train) == set(history.steps) | {"elbo"}
    assert set(history.validation) == {"elbo", "log_likelihood", "kl", "scale_x", "scale_z"}
    assert all(len(v) == 3 for part in (history.train, history.validation) for v in part.values())
    steps = history.steps
    np.testing.assert_allclose(steps["loss"], -8 * steps["bound"], rtol=1e-5)
    np.testing.assert_allclose(steps["bound"], steps["log_likelihood"] - steps["kl"], rtol=1e-4)
    np.testing.assert_allclose(history.train["kl"], steps["kl"].reshape(3, 3).mean(1), rtol=1e-5)
    assert ((history.validation["scale_x"] > 0.3) & (history.validation["scale_x"] <= 0.5)).all()


def test_validation_row_is_the_validation_elbo():
    valid = binary(300, 1)
    fitted = quick(validation=valid)
    row = fitted.history.validation
    bound = fitted.elbo(valid, rng_key=jax.random.key(5), num_particles=20)
    noise = bound.standard_error.mean() * np.sqrt(20 / 300)
    assert abs(row["elbo"][-1] - bound.mean) < 4 * noise
    assert row["elbo"][-1] == pytest.approx(row["log_likelihood"][-1] - row["kl"][-1], rel=1e-5)


def known(n):
    """A VAE whose decoder says 0 for ever, rows 0, 1, ..., n - 1, and each row's log p(x|z)."""
    vae = tiny(likelihood=likelihoods.Gaussian(scale=likelihoods.FixedScale(1.0)))
    x = np.ones((n, *SHAPE), np.float32) * np.arange(n, dtype=np.float32)[:, None, None]
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape), trace_structure(vae).params["decoder$params"])
    options = {"init_params": {"decoder$params": zeros}, "optimizer": optax.sgd(0.0)}
    return vae, x, -0.5 * 6 * (np.arange(n) ** 2 + np.log(2 * np.pi)), options


def test_validation_that_fills_no_batch_counts_each_row_once():
    vae, x, log_likelihood, options = known(10)
    fitted = quick(vae, x, validation=x, epochs=1, **options)
    got = fitted.history.validation["log_likelihood"][-1]
    assert got == pytest.approx(log_likelihood.mean(), rel=1e-5)


def test_one_compilation_whatever_the_epochs(fitted):
    vae, x = tiny(), binary(32, 3)
    before = loop.run_epoch._cache_size()
    quick(vae, x, epochs=5)
    assert loop.run_epoch._cache_size() == before + 1
    quick(vae, x, epochs=2, rng_key=jax.random.key(9))
    quick(tiny(), x, epochs=2)
    assert loop.run_epoch._cache_size() == before + 1, "equal VAEs share one program"


def test_same_key_same_bits_and_other_key_other_fit(fitted):
    again, other = (
        quick(validation=binary(10, 1)),
        quick(validation=binary(10, 1), rng_key=jax.random.key(1)),
    )
    for a, b in zip(jax.tree.leaves(fitted.params), jax.tree.leaves(again.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(fitted.history.steps["loss"], other.history.steps["loss"])


def test_every_row_is_seen_once_an_epoch_in_another_order():
    vae, x, log_likelihood, options = known(24)
    fitted = quick(vae, x, epochs=5, **options)
    np.testing.assert_allclose(fitted.history.train["log_likelihood"], log_likelihood.mean(), rtol=1e-5)
    assert len(np.unique(fitted.history.steps["log_likelihood"].round(2))) == 15


def test_observation_is_drawn_anew_at_each_step():
    grey = np.full((24, *SHAPE), 128, np.uint8)
    fitted = quick(x=grey, observation=Binarize(255.0), optimizer=optax.sgd(0.0))
    assert len(np.unique(fitted.history.steps["log_likelihood"])) == 9


def test_init_params_warm_start(fitted):
    warm = quick(init_params=fitted.params, optimizer=optax.sgd(0.0), epochs=1)
    for a, b in zip(jax.tree.leaves(fitted.params), jax.tree.leaves(warm.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state():
    vae = tiny(likelihood=likelihoods.Gaussian(scale=likelihoods.FixedScale(1.0)))
    x = np.asarray(jax.random.normal(jax.random.key(0), (24, *SHAPE)))
    schedule = optax.piecewise_constant_schedule(1e-3, {7: 1e30})
    with pytest.raises(
        NonFiniteLossError, match=r"step \d+ \(epoch 2\): .*(log_likelihood|kl) = "
    ) as caught:
        quick(vae, x, optimizer=optax.sgd(schedule), epochs=9)
    kept = caught.value.fitted
    assert kept.history.num_epochs == 2
    assert kept.data.num_rows == 24
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept.params))
    assert np.isfinite(kept.elbo(x, rng_key=jax.random.key(0)).value).all()


def test_an_interrupt_returns_what_is_fitted(monkeypatch):
    real, calls = loop.run_epoch, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(loop, "run_epoch", interrupted)
    assert quick(epochs=50).history.num_epochs == 2


def test_programs_of_a_fit_are_plain_numpyro(fitted):
    from numpyro.infer import Predictive

    drawn = Predictive(fitted.model, num_samples=5)(jax.random.key(0))
    assert drawn["x"].shape == (5, 1, *SHAPE)
    codes = Predictive(fitted.guide, num_samples=500)(jax.random.key(0), binary(4))["z"]
    q = fitted.encode(binary(4))
    np.testing.assert_allclose(codes.mean(0), q.mean, atol=4 * np.sqrt(float(q.variance.max()) / 500))


def test_samples_and_reconstructions(fitted):
    drawn = fitted.sample(300, rng_key=jax.random.key(0))
    assert drawn.z.shape == (300, 2)
    assert set(np.unique(drawn.x)) <= {0, 1}
    np.testing.assert_allclose(drawn.mean, fitted.decode(drawn.z).mean, rtol=1e-4)
    assert abs(float(drawn.x.mean() - drawn.mean.mean())) < 0.05
    x = binary(4)
    np.testing.assert_allclose(
        fitted.reconstruct(x), fitted.decode(fitted.encode(x).mean).mean, rtol=1e-5
    )


@pytest.mark.parametrize("path", [latent_paths.straight, latent_paths.spherical])
def test_interpolation_starts_and_ends_at_the_reconstructions(fitted, path):
    a, b = binary(2)
    between = fitted.interpolate(a, b, num_points=5, path=path)
    np.testing.assert_allclose(
        between[jnp.array([0, -1])], fitted.reconstruct(np.stack([a, b])), rtol=1e-4
    )


def test_spherical_path_keeps_the_length():
    a, b = jnp.array([3.0, 0.0, 0.0]), jnp.array([0.0, 3.0, 0.0])
    middle = latent_paths.spherical(a, b, 0.5)
    np.testing.assert_allclose(middle, np.array([1.0, 1.0, 0.0]) * 3 / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(latent_paths.spherical(a, a, 0.3), a)
    np.testing.assert_allclose(latent_paths.straight(a, b, 0.25), [2.25, 0.75, 0.0])


@pytest.mark.parametrize("num_particles", [1, 3, 5000, 5001, 12000])
def test_exactly_the_particles_asked_for(num_particles, monkeypatch):
    """Count them: a log weight of 0 for each makes the sum their number."""
    from probvae import batching, evidence

    class One:
        log_weight = jnp.zeros(1)

    monkeypatch.setattr(evidence, "datum_terms", lambda *_: One)
    first, _ = evidence._average_weights.__wrapped__(
        tiny(),
        {},
        batching.all_rows(Batch(jnp.zeros((2, *SHAPE))), jax.random.key(0)),
        num_particles,
    )
    np.testing.assert_allclose(first, 0.0, atol=1e-4)


def test_log_prob_is_chunked_over_data_without_a_trace(fitted, monkeypatch):
    from probvae import evidence

    x = binary(23)
    whole = fitted.log_prob(x, rng_key=jax.random.key(0), num_particles=40)
    monkeypatch.setattr(evidence, "BLOCK", 200)
    blocks = fitted.log_prob(x, rng_key=jax.random.key(0), num_particles=40)
    np.testing.assert_allclose(whole.value, blocks.value, rtol=1e-5)
    assert whole.value.shape == (23,)


def test_evidence_reads_as_a_sentence(fitted):
    bound = fitted.log_prob(binary(9), rng_key=jax.random.key(0), num_particles=30)
    assert str(bound).endswith("(9 data, 30 particles)")
    assert bound.mean == pytest.approx(bound.value.mean())
    assert bound.mean_standard_error == pytest.approx(bound.value.std(ddof=1) / 3)
    alone = fitted.log_prob(binary(1), rng_key=jax.random.key(0), num_particles=1)
    assert np.isnan(alone.standard_error).all()
    assert np.isnan(alone.mean_standard_error)


def test_save_and_load(fitted, tmp_path):
    path = tmp_path / "fit.safetensors"
    fitted.save(path)
    back = load(path, tiny())
    for a, b in zip(jax.tree.leaves(fitted.values), jax.tree.leaves(back.values), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(fitted.history[:3], back.history[:3], strict=True):
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[name], b[name]) for name in a)
    x = binary(5)
    np.testing.assert_array_equal(back.reconstruct(x), fitted.reconstruct(x))
    with pytest.raises(FileExistsError, match=r"fit.safetensors exists.*overwrite=True"):
        fitted.save(path)
    fitted.save(path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["fit.safetensors"]


def test_running_state_is_saved(tmp_path):
    vae = tiny(likelihood=likelihoods.Gaussian(scale=likelihoods.OptimalScale()))
    fitted = quick(vae, np.asarray(jax.random.normal(jax.random.key(0), (24, *SHAPE))))
    fitted.save(tmp_path / "a")
    back = load(tmp_path / "a", vae)
    assert float(back.values["likelihood$state"]["mean_square"]) == float(
        fitted.values["likelihood$state"]["mean_square"]
    )


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (
            lambda path: path.unlink(),
            FileNotFoundError,
            "no such file. Expected a file that `fitted.save",
        ),
        (
            lambda path: path.write_bytes(path.read_bytes()[:50]),
            ValueError,
            "is corrupt, or `fitted.save` did not write it",
        ),
        (
            lambda path: path.write_bytes(b""),
            ValueError,
            "is corrupt, or `fitted.save` did not write it",
        ),
        (
            lambda path: path.write_bytes(b"\x80\x04." * 30),
            ValueError,
            "is corrupt, or `fitted.save` did not write it",
        ),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x01"),
            ValueError,
            "is corrupt: its checksum is wrong",
        ),
        (
            lambda path: path.write_bytes(path.read_bytes().replace(b'"sha256"', b'"sha257"')),
            ValueError,
            "is corrupt: its checksum is wrong",
        ),
        (
            lambda path: save_file({"a": np.zeros(3)}, path),
            ValueError,
            "format None; expected 'probvae-1'",
        ),
    ],
)
def test_files_that_are_no_fit(fitted, tmp_path, spoil, error, message):
    path = tmp_path / "fit"
    fitted.save(path)
    spoil(path)
    with pytest.raises(error, match=message):
        load(path, tiny())


def test_a_file_from_before_there_was_a_checksum_is_read(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(
        serialization, "save_file", lambda arrays, path, told: save_file(arrays, path, without(told))
    )
    fitted.save(tmp_path / "fit")
    old = load(tmp_path / "fit", tiny())
    assert old.history.num_epochs == fitted.history.num_epochs
    assert old.data is None


def without(told):
    """Leave out what old files do not hold: a checksum, descriptions of training data and parts."""
    return {name: value for name, value in told.items() if name not in ("sha256", "data", "parts")}


OTHER = {
    "encoder is Linear in the file and MLP": tiny(encoder=nets.MLP((9,))),
    "prior is StandardNormal in the file and LearnedNormal": tiny(prior=priors.LearnedNormal()),
    "decoder is Linear in the file and MLP": tiny(decoder=nets.MLP((9,))),
}


@pytest.mark.parametrize("difference", OTHER)
def test_a_fit_of_another_vae_is_refused(fitted, tmp_path, difference):
    fitted.save(tmp_path / "fit")
    with pytest.raises(ValueError, match=f"was saved from another VAE: {difference}"):
        load(tmp_path / "fit", OTHER[difference])


def test_a_saved_fit_holds_arrays_and_text_alone(fitted, tmp_path):
    fitted.save(tmp_path / "fit")
    assert all(isinstance(array, np.ndarray) for array in load_file(tmp_path / "fit").values())


def test_import_needs_neither_arviz_nor_plotting():
    code = (
        "import sys, probvae; "
        "bad = [m for m in sys.modules if m.split('.')[0] in ('matplotlib', 'arviz', 'arviz_base', 'xarray')]; "
        "sys.exit(repr(bad) if bad else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""


def test_public_names_are_explicit_and_alphabetic():
    assert probvae.__all__ == sorted(probvae.__all__)
    assert all(hasattr(probvae, name) for name in probvae.__all__)
    assert Fitted in vars(probvae).values()


def test_an_equal_fit_works_after_its_svi_left_the_cache():
    from probvae.training.loop import build_svi

    vae = VAE(event_shape=(3,), latent_dim=1, likelihood=likelihoods.Gaussian())
    x = np.random.default_rng(0).normal(size=(40, 3))
    options = {"rng_key": jax.random.key(0), "epochs": 1, "batch_size": 20, "progress": False}
    first = fit(vae, x, **options)
    build_svi.cache_clear()  # as after fits of 32 other VAEs
    again = fit(vae, x, **options)
    for a, b in zip(jax.tree.leaves(first.values), jax.tree.leaves(again.values), strict=True):
        np.testing.assert_array_equal(a, b)
