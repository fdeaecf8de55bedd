"""Figures: each kind of datum, what they say, and that pyplot's global state is left alone."""

import io
import itertools
import sys

import jax
import numpy as np
import pytest
from compiled import random_values

from probvae import VAE, Fitted, History, Sweep, likelihoods, nets, plots, priors
from probvae.criticism import ActiveUnits
from probvae.plots.canvas import side_by_side

KEY = jax.random.key(0)
NAMES = ("elbo", "log_likelihood", "kl", "scale_x", "scale_z")
CURVE = {name: np.arange(3.0) + at for at, name in enumerate(NAMES)}
HISTORY = History({}, CURVE, {name: values + 0.5 for name, values in CURVE.items()})


def fitted_on(event_shape, *, latent_dim=3, prior=None):
    """A VAE with random weights (nothing is trained, so nothing is compiled), and data."""
    x = np.asarray(jax.random.uniform(KEY, (24, *event_shape)), np.float32)
    vae = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        prior=prior or priors.StandardNormal(),
        likelihood=likelihoods.Gaussian(),
        encoder=nets.Linear(),
        decoder=nets.Linear(),
    )
    return Fitted(vae, random_values(vae), HISTORY), x


@pytest.fixture(scope="module", params=[(4, 5), (6,)], ids=str)
def shaped(request):
    return fitted_on(request.param, prior=priors.VampPrior(components=3))


@pytest.fixture(scope="module")
def vector():
    return fitted_on((6,))


def words(figure):
    """All text of a figure, its subfigures included."""
    return " ".join(t.get_text() for t in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def drawn(figure):
    """Draw a figure; return the size of the picture."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=60)
    assert file.getvalue().startswith(b"\x89PNG")
    return words(figure)


@pytest.mark.slow
def test_every_figure_of_data_draws_for_every_event_shape(shaped):
    fitted, x = shaped
    assert "E[x|z]" in drawn(plots.reconstructions(fitted, x[:5]))
    assert "x ~ p(x|z)" in drawn(plots.samples(fitted, 12, rng_key=KEY))
    assert "latent space" in drawn(plots.interpolation(fitted, x[0], x[1], num_points=5))
    assert "3 of 3" in drawn(plots.pseudo_inputs(fitted))


@pytest.mark.parametrize("items", [12, 40])
@pytest.mark.parametrize("dpi", [80, 150])
def test_the_names_of_rows_lie_within_the_picture(dpi, items):
    groups = {name: np.zeros((items, 8, 8)) for name in ("x ~ p(x|z)", "E[x|z]")}
    figure = side_by_side(groups, title="title", item="one")
    figure.savefig(io.BytesIO(), format="png", dpi=dpi)
    figure.set_dpi(dpi)
    figure.canvas.draw()
    for label in figure.axes[0].get_yticklabels():
        assert label.get_window_extent().x0 > 0
    assert figure.axes[-1].get_tightbbox().x1 < figure.bbox.x1


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1)])
def test_images_are_clipped_to_the_data_range_and_tiled(shape):
    x = np.random.default_rng(0).uniform(size=(3, *shape))
    groups = {"x": x, "E[x|z]": 1 - x}
    axes = side_by_side(groups, title="title", item="one", limits=(0.25, 0.5)).axes[0]
    picture = axes.images[0].get_array()
    assert picture.min() == 0.25
    assert picture.max() == 0.5
    assert picture.shape == (2 * 4 + 1, 3 * 5 + 2)
    np.testing.assert_allclose(picture[:4, :5], np.clip(x[0], 0.25, 0.5).reshape(4, 5))
    np.testing.assert_allclose(picture[5:, 6:11], np.clip(1 - x[1], 0.25, 0.5).reshape(4, 5))
    assert picture.mask[4].all()
    assert [t.get_text() for t in axes.get_yticklabels()] == ["x", "E[x|z]"]


def test_colours_fill_the_range_and_gaps_are_transparent():
    x = np.random.default_rng(0).uniform(-2, 2, size=(3, 4, 5, 3))
    figure = side_by_side({"x": x}, title="title", item="one", limits=(-1.0, 1.0), columns=2)
    picture = figure.axes[0].images[0].get_array()
    assert picture.shape == (2 * 4 + 1, 2 * 5 + 1, 4)
    np.testing.assert_allclose(picture[:4, :5, :3], (np.clip(x[0], -1, 1) + 1) / 2)
    assert (picture[:4, :5, 3] == 1).all()
    assert (picture[4, :, 3] == 0).all()
    assert (picture[5:, 5:, 3] == 0).all()
    drawn(figure)


def test_other_shapes_are_lines():
    x = np.random.default_rng(0).uniform(size=(3, 2, 2, 4))
    lines = side_by_side({"x": x}, title="title", item="one").axes[1].lines
    np.testing.assert_array_equal(lines[0].get_ydata(), x[1].ravel())


@pytest.mark.parametrize(
    ("latent_dim", "said"), [(1, "mean and scale"), (2, "means of q"), (4, "% of the variance")]
)
def test_latent_map_says_what_its_axes_are(latent_dim, said):
    fitted, x = fitted_on((6,), latent_dim=latent_dim)
    figure = plots.latent_map(fitted, x, np.arange(24) % 3)
    assert said in drawn(figure)
    dots = figure.axes[0].collections
    assert sum(len(group.get_offsets()) for group in dots) == 24
    assert {"0", "1", "2"} <= set(words(figure).split())


def test_latent_map_of_two_units_shows_the_means(vector):
    fitted, x = fitted_on((6,), latent_dim=2)
    dots = plots.latent_map(fitted, x).axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(dots, fitted.encode(x).mean, atol=1e-5)


def test_latent_map_of_more_units_keeps_distances_within_the_plane(vector):
    """Principal components: no other plane holds more of the means' variance."""
    fitted, x = vector
    means = np.asarray(fitted.encode(x).mean, np.float64)
    dots = np.asarray(plots.latent_map(fitted, x).axes[0].collections[0].get_offsets())
    held = np.linalg.eigvalsh(np.cov(means.T, bias=True))[-2:].sum()
    np.testing.assert_allclose(dots.var(axis=0).sum(), held, rtol=1e-4)


@pytest.mark.parametrize("labels", [np.linspace(0, 1, 24), np.array(list("abcdefghijklmnopqrstuvwx"))])
def test_many_labels_draw(vector, labels):
    fitted, x = vector
    assert "label" in drawn(plots.latent_map(fitted, x, labels))


def test_curves_show_train_and_validation_of_all_five(vector):
    fitted, _ = vector
    figure = plots.curves(fitted.history)
    assert len(figure.axes) == 5
    for axes, name in zip(figure.axes, NAMES, strict=True):
        train, validation = (line.get_ydata() for line in axes.lines)
        np.testing.assert_array_equal(train, fitted.history.train[name])
        np.testing.assert_array_equal(validation, fitted.history.validation[name])
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel() in ("nats per datum", "units of x", "units of z")
    drawn(figure)


def test_curves_of_a_loss_alone_show_the_loss():
    history = History({}, {"loss": np.array([3.0, 2.0])}, {})
    assert "loss (minimised)" in drawn(plots.curves(history))
    assert "not recorded" in drawn(plots.curves(History({}, {}, {})))


def test_pseudo_inputs_without_any_name_the_prior(vector):
    with pytest.raises(ValueError, match="VampPrior; got the prior StandardNormal"):
        plots.pseudo_inputs(vector[0])


def test_without_matplotlib_the_hint_says_what_to_install(vector, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "probvae.plots.notebook_figure", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'probvae\[plots\]'"):
        plots.curves(vector[0].history)


def test_pyplot_is_not_used(vector):
    drawn(plots.curves(vector[0].history))
    if "matplotlib.pyplot" in sys.modules:
        assert not sys.modules["matplotlib.pyplot"].get_fignums()


@pytest.mark.parametrize(("columns", "part"), [(2, "site"), (4, "unit")])
def test_a_kl_without_parts_by_unit_is_said_to_be_the_sites(columns, part):
    units = ActiveUnits({"z": np.full((5, columns), 3.0)}, {"z": np.linspace(0.1, 1.0, 4)})
    figure = plots.unit_use(units)
    drawn(figure)
    left = figure.axes[0]
    assert left.get_title(loc="left") == f"KL of each {part}, mean over data"
    assert len(left.patches) == columns
    np.testing.assert_allclose(left.get_xticks() % 1, 0.0)


def test_a_kl_with_one_part_is_drawn_over_data_and_not_as_one_bar():
    kl = np.linspace(1.0, 2.0, 50)[:, None]
    left = plots.unit_use(ActiveUnits({"z": kl}, {"z": np.linspace(0.1, 1.0, 4)})).axes[0]
    assert left.get_title(loc="left") == "KL of the site, over data"
    assert sum(bar.get_height() for bar in left.patches) == 50


def test_a_scale_that_is_not_known_is_said_to_be_so():
    unknown = {**CURVE, "scale_x": np.full(3, np.nan)}
    assert "not recorded" in drawn(plots.curves(History({}, unknown, {})))
    assert "not recorded" not in drawn(plots.curves(History({}, CURVE, {})))


def test_a_wild_start_does_not_hide_what_follows():
    wild = {name: np.r_[-1e6, np.linspace(-3.0, -2.0, 29)] for name in NAMES}
    figure = plots.curves(History({}, wild, wild))
    assert "first epochs are off the scale" in drawn(figure)
    np.testing.assert_allclose(figure.axes[0].get_ylim(), (-2.97, -1.95), atol=0.05)
    calm = plots.curves(History({}, {name: np.linspace(-9.0, -2.0, 30) for name in NAMES}, {}))
    assert "off the scale" not in drawn(calm)


def sweep_of(over, num_keys, elbo=lambda *_: -3.0):
    """A sweep as if it had been trained: each training has two epochs, or none where its ELBO is nan."""

    nothing = {"encoder": nets.Linear(), "decoder": nets.Linear()}
    vae = VAE(event_shape=(2,), latent_dim=1, likelihood=likelihoods.Gaussian(), **nothing)

    def one(key, *numbers):
        value = elbo(key, *numbers)
        if np.isnan(value):
            return Fitted(vae, {}, History({}, {}, {}))
        parts = {"elbo": value, "log_likelihood": value + 1.0, "kl": 1.0}
        seen = {name: np.array([part - 1.0, part]) for name, part in parts.items()}
        return Fitted(vae, {}, History({}, {"loss": np.zeros(2)}, seen))

    told = itertools.product(range(num_keys), *over.values())
    return Sweep(over, num_keys, tuple(one(*each) for each in told))


def test_a_sweep_has_a_dot_for_each_training_and_a_line_for_each_combination():
    over = {"beta": (2.0, 0.1, 4.0), "learning_rate": (1e-3, 1e-2)}
    found = sweep_of(over, 3, lambda key, beta, rate: -90.0 + key - beta + 100 * rate)
    figure = plots.sweep(found)
    assert "Validation ELBO of 18 trainings" in drawn(figure)
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_xlabel(), axes.get_ylabel()) == (
        "log",
        "beta",
        "nats per datum",
    )
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "2", "4"]
    assert axes.get_legend_handles_labels()[1] == ["learning_rate = 0.001", "learning_rate = 0.01"]
    (dots, line), (_, other) = axes.lines[:2], axes.lines[2:]
    np.testing.assert_array_equal(line.get_xdata(), [0.1, 2.0, 4.0])
    np.testing.assert_allclose(line.get_ydata(), -89.0 - np.array([0.1, 2.0, 4.0]) + 0.1)
    np.testing.assert_allclose(other.get_ydata() - line.get_ydata(), 0.9)
    seen = set(zip(dots.get_xdata(), dots.get_ydata().round(6), strict=True))
    assert seen == {(b, round(-89.9 + key - b, 6)) for b in over["beta"] for key in range(3)}


def test_a_sweep_over_no_decade_is_linear_and_over_nothing_is_of_keys():
    linear = plots.sweep(sweep_of({"beta": (1.0, 2.0)}, 2, lambda key, beta: -beta - key))
    assert linear.axes[0].get_xscale() == "linear"
    assert plots.sweep(sweep_of({"beta": (0.0, 20.0)}, 1)).axes[0].get_xscale() == "linear"
    keys = plots.sweep(sweep_of({}, 3, lambda key: -float(key)), names=range(7, 10)).axes[0]
    assert [label.get_text() for label in keys.get_xticklabels()] == ["7", "8", "9"]
    np.testing.assert_array_equal(keys.lines[0].get_ydata(), [0.0, -1.0, -2.0])
    np.testing.assert_array_equal(keys.lines[1].get_ydata(), [-1.0, -1.0])
    assert keys.get_xlabel() == "seed"
    assert plots.sweep(sweep_of({}, 1)).axes[0].get_xlabel() == "key"


def test_a_sweep_says_what_is_not_shown():
    rates = {"learning_rate": (1e-3, 2e-3, 3e-3, 1.0, 2.0)}
    bad = {1.0: -1e6, 2.0: np.nan}
    figure = plots.sweep(sweep_of(rates, 1, lambda _, rate: bad.get(rate, -90.0 + 1e3 * rate)))
    assert "1 far below the others (off the scale); 1 not finite from the start" in drawn(figure)
    low, high = figure.axes[0].get_ylim()
    assert -100 < low < -89
    assert high > -87
    assert "Validation ELBO of 2 trainings" in drawn(plots.sweep(sweep_of({}, 2, lambda _: np.nan)))


def test_the_line_of_a_guide_that_is_too_narrow_is_above_zero_on_the_left():
    """The caption in the report says so: true codes then lie in the tails of q(z|x)."""
    from scipy import stats

    from probvae.plots.diagnosis import calibration
    from probvae.runs.diagnosing import CALIBRATION

    assert (
        "above 0 on the left and below 0 on the right means that the guide is too narrow" in CALIBRATION
    )
    z = stats.norm.ppf((np.arange(200) + 0.5) / 200)  # N(0, 1), ranked by a guide of half the scale
    for scale, sign in ((0.5, 1), (2.0, -1)):
        at, line = calibration(stats.norm.cdf(z / scale)[:, None]).axes[0].lines[0].get_data()
        assert sign * line[at == 0.25] > 0.05
        assert sign * line[at == 0.75] < -0.05
