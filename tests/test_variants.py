"""Variants over seeds: pairs, standard errors, the closed form, programs, and refusals."""

import dataclasses
import re

import jax
import numpy as np
import optax
import oracle
import pytest

from probvae import VAE, Batch, Variant, compare_variants, fit, guides, likelihoods, nets, objectives
from probvae.training.sweeps.vmapped import _run_epoch
from probvae.variant_comparison import VariantComparison

KEYS = [jax.random.key(seed) for seed in (3, 5, 8)]
X = (np.random.default_rng(0).random((80, 3, 3)) < 0.3).astype(np.uint8)
DATA = {"validation": X[40:60], "test": X[60:]}
FEW = {"epochs": 2, "batch_size": 10, "num_particles": 20, "progress": False}


BETA = objectives.ELBO(beta=4.0)


def small(**parts):
    net = nets.Linear()
    return VAE(event_shape=(3, 3), **{"latent_dim": 2, "encoder": net, "decoder": net, **parts})


def compared(variants, **changes):
    return compare_variants(variants, X[:40], **{"rng_keys": KEYS, **DATA, **FEW, **changes})


@pytest.fixture(scope="module")
def result():
    """Three variants that share every program, so that these tests compile only once."""
    return compared({"plain": small(), "same": small(), "beta": Variant(small(), BETA)})


def test_a_variant_against_itself_differs_by_exactly_nothing(result):
    np.testing.assert_array_equal(result.log_prob[0], result.log_prob[1])
    assert (
        result.difference[1] == result.difference_standard_error[1] == result.row_standard_error[1] == 0
    )
    assert result.num_agree[1] == 3
    assert result.difference[2] != 0


def test_each_training_is_that_of_fit_with_its_key(result):
    alone = fit(
        small(), X[:40], validation=X[40:60], rng_key=KEYS[1], epochs=2, batch_size=10, progress=False
    )
    own = result.fitted[0][1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), own.values, alone.values)
    np.testing.assert_allclose(own.history.steps["loss"], alone.history.steps["loss"], rtol=1e-4)


def test_numbers_are_means_over_rows_and_errors_over_keys(result):
    of_keys = result.log_prob.mean(2)
    assert result.log_prob.shape == result.elbo.shape == (3, 3, 20)
    assert (result.elbo.mean(2) < of_keys).all()
    np.testing.assert_allclose(result.mean, of_keys.mean(1))
    np.testing.assert_allclose(result.standard_error, of_keys.std(1, ddof=1) / np.sqrt(3))
    paired = of_keys - of_keys[0]
    np.testing.assert_allclose(result.difference, paired.mean(1))
    np.testing.assert_allclose(result.difference_standard_error, paired.std(1, ddof=1) / np.sqrt(3))
    rows = (result.log_prob - result.log_prob[0]).mean(1)
    np.testing.assert_allclose(result.row_standard_error, rows.std(1, ddof=1) / np.sqrt(20))
    agree = (np.sign(paired[2]) == np.sign(paired[2].mean())).sum()
    assert result.num_agree[2] == agree


def test_the_table_and_its_forms(result):
    table = result.table()
    assert dict(table.sizes) == {"variant": 3, "key": 3}
    assert float(table["difference"].sel(variant="beta", key=2)) == result.differences[2, 2]
    lines = str(result).splitlines()
    assert repr(result) == str(result)
    assert len(lines) == 5
    assert "20 data, 20 particles" in lines[0]
    assert re.match(rf"beta +{result.mean[2]:.3f} \+- {result.standard_error[2]:.3f} ", lines[4])
    assert f"{result.num_agree[2]} of 3" in lines[4]
    shown = result._repr_html_()
    assert "<td" in shown
    assert f"{result.difference[2]:+.3f}" in shown


def test_the_order_of_a_difference_follows_the_reference():
    of = compared(
        {"plain": small(), "beta": Variant(small(), BETA)}, rng_keys=KEYS[:2], reference="beta"
    )
    assert of.difference[1] == 0
    np.testing.assert_allclose(of.difference[0], of.mean[0] - of.mean[1])


def test_one_key_gives_a_difference_and_says_that_it_has_no_error():
    one = compared([small(), Variant(small(), BETA)], rng_keys=KEYS[:1])
    assert one.names == ("A", "B")
    assert np.isnan(one.difference_standard_error).all()
    assert np.isfinite(one.difference).all()
    assert "one key gives no standard error: train each variant with three keys or more" in str(one)


@pytest.mark.slow
def test_variants_that_differ_in_a_weight_share_a_program_and_others_have_one_each():
    before = _run_epoch._cache_size()
    wide, adam = small(latent_dim=3), optax.adam(2e-3)
    variants = {
        "elbo": Variant(wide, optimizer=adam),
        "beta": Variant(wide, BETA, optax.adam(2e-3)),
        "again": Variant(wide, optimizer=adam),
    }
    shared = compared(variants)
    assert _run_epoch._cache_size() == before + 1
    assert shared.difference[2] == 0 != shared.difference[1]
    assert [row[0].history.best_epoch is None for row in shared.fitted] == [False, True, False]
    alone = fit(
        wide, X[:40], validation=X[40:60], objective=BETA, optimizer=adam,
        rng_key=KEYS[2], epochs=2, batch_size=10, progress=False,
    )  # fmt: skip
    own = shared.fitted[1][2]
    np.testing.assert_allclose(own.history.steps["loss"], alone.history.steps["loss"], rtol=1e-4)
    compared({"elbo": Variant(wide), "iwae": Variant(wide, objectives.IWAE(num_particles=2))})
    assert _run_epoch._cache_size() == before + 3


@pytest.mark.slow
def test_the_difference_is_that_of_the_closed_form():
    """The optimum of a linear VAE is probabilistic PCA. Training starts there, and moves around it."""
    x = oracle.dataset(1200).astype(np.float32)
    train, test = x[:800], x[1000:]
    optima = {q: oracle.optimum(np.asarray(train, float), q) for q in (1, 3)}
    exact = {q: oracle.log_prob(test, *optima[q]).mean() for q in optima}
    variants = {
        f"{q} units": Variant(
            oracle.vae(q=q),
            optimizer=optax.adam(1e-3),
            init_params=jax.tree.map(jax.numpy.asarray, oracle.params(*optima[q])),
        )
        for q in optima
    }
    found = compare_variants(
        variants, train, validation=x[800:1000], test=test, rng_keys=jax.random.split(jax.random.key(0), 4),
        epochs=2, batch_size=100, num_particles=50, progress=False,
    )  # fmt: skip
    error = found.difference_standard_error[1]
    assert 0 < error < 0.05 < exact[3] - exact[1]
    assert abs(found.difference[1] - (exact[3] - exact[1])) < 3 * error
    assert found.num_agree[1] == 4


@pytest.mark.parametrize(
    ("variants", "changes", "error", "message"),
    [
        ({"a": small()}, {}, ValueError, "two or more variants, such as {'a': vae_a, 'b': vae_b}; got 1"),
        (small(), {}, ValueError, "two or more variants"),
        ({"a": small(), "b": 3}, {}, TypeError, "variants['b'] expects a VAE or a Variant; got 3"),
        ([small()] * 2, {"rng_keys": KEYS[:1] * 2}, ValueError, "rng_keys has a key twice"),
        ([small()] * 2, {"rng_keys": []}, ValueError, "rng_keys expects one typed key or more"),
        ([small()] * 2, {"reference": "c"}, ValueError, "reference expects one of the variants ['A', 'B']; got 'c'"),
        ([small()] * 2, {"epochs": 0}, ValueError, "epochs expects a positive integer; got 0"),
        ([small()] * 2, {"num_particles": 0}, ValueError, "num_particles expects a positive integer"),
        ({"a": small(), "b": small(posterior=guides.PointMass())}, {}, ValueError, "the guide PointMass has none"),
        ({"a": small(), "b": small(likelihood=likelihoods.Gaussian())}, {}, ValueError, "'a': probabilities; 'b': densities"),
        ({"a": small(), "b": dataclasses.replace(small(), event_shape=(9,))}, {}, ValueError, "differ in event shape"),
    ],
    ids=str,
)  # fmt: skip
def test_what_does_not_compare_is_refused_before_any_training(
    variants, changes, error, message, monkeypatch
):
    monkeypatch.setattr("probvae.variant_training.sweep", lambda *_, **__: pytest.fail("it trained"))
    with pytest.raises(error, match=re.escape(message)) as raised:
        compared(variants, **changes)
    if "PointMass" in message:
        assert raised.value.__notes__ == ["(the model 'b')"]


@pytest.mark.slow
def test_a_context_reaches_only_the_variant_that_takes_one():
    context = np.eye(2, dtype=np.float32)[np.arange(80) % 2]
    batches = [Batch(X[rows], context[rows]) for rows in (slice(40), slice(40, 60), slice(60, None))]
    train, valid, test = batches
    of = compare_variants(
        {"plain": small(), "labels": small(context_shape=(2,))}, train, validation=valid, test=test,
        rng_keys=KEYS[:1], **FEW,
    )  # fmt: skip
    assert of.fitted[1][0].vae.context_shape == (2,)
    assert np.isfinite(of.log_prob).all()


def test_an_interrupt_compares_nothing(monkeypatch):
    from probvae.fitted import Sweep

    monkeypatch.setattr(
        "probvae.variant_training.sweep", lambda *_, **__: Sweep({}, 3, (), interrupted=True)
    )
    with pytest.raises(KeyboardInterrupt, match="in the training of A, B: nothing to compare"):
        compared([small(), small()])


def test_rows_and_trainings_that_are_not_finite_are_named(result):
    log_prob = result.log_prob.copy()
    log_prob[1, 2, :4] = -np.inf
    with np.errstate(invalid="ignore"):
        shown = str(result._replace(log_prob=log_prob))
    assert "same, key 2: log p(x) is not finite for 4 rows" in shown
    assert "not finite" in shown.splitlines()[3]


def test_the_figure_has_a_dot_for_each_training(result):
    plots = pytest.importorskip("probvae.plots")
    pytest.importorskip("matplotlib")
    figure = plots.variants(result, names=(3, 5, 8))
    left, right = figure.axes[:2]
    assert [tick.get_text() for tick in left.get_yticklabels()] == list(result.names)
    dots = np.array([line.get_xdata() for line in left.lines[:3]])
    np.testing.assert_allclose(dots, result.log_prob.mean(2).T)
    assert "difference to 'plain'" in right.get_title(loc="left")
    assert isinstance(result, VariantComparison)
