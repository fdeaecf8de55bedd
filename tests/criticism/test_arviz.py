"""ArviZ's functions take our tree without a keyword, and what they say is right."""

import inspect
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import arviz_trees
import jax
import numpy as np
import numpyro.distributions as dist
import oracle
import pytest

from probvae import VAE, Batch, likelihoods, nets, to_datatree
from probvae.criticism import compare_values, drop_missing, elpd, events, psense_per_row, sbc
from probvae.criticism.posterior import calibration
from probvae.interfaces import AbstractDistributionGuide, AbstractDistributionPrior

arviz_stats = pytest.importorskip("arviz_stats", reason="pip install 'probvae[arviz]'")
arviz_plots = pytest.importorskip("arviz_plots", reason="pip install 'probvae[arviz]'")
matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
xarray = pytest.importorskip("xarray")

KEY = jax.random.key(0)
PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "arviz.md").read_text()
MODULES = {"arviz_plots": arviz_plots, "arviz_stats": arviz_stats}
NAMED = (  # those that a user calls first
    "plot_dist", "plot_forest", "plot_trace", "plot_ppc_dist", "plot_ppc_pit", "plot_ppc_tstat",
    "plot_psense_dist", "plot_rank", "plot_ess", "summary", "psense_summary", "ess", "rhat",
)  # fmt: skip
NO_FUNCTIONS = {"plot_collection", "plots"}
GRIDS = (
    "combine_plots", "plot_dgof_dist", "plot_psense_dist", "plot_psense_quantities",
    "plot_rank_dist", "plot_trace_dist",
)  # fmt: skip
OLD_GRID = int(arviz_plots.__version__[0]) < 1 and xarray.__version__ >= "2026.4"


def table(heading):
    """The rows of the page's table below a heading: lists of cells."""
    text = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def names(cell):
    return re.findall(r"`(?:arviz_\w+\.)?(\w+)[^`]*`", cell)


WORK = [name for row in table("Functions that work without a keyword") for name in names(row[0])]
CALLS = [row[0].strip("`") for row in table("Functions that need an argument")]
REASONS = {name: row[1] for row in table("Functions that do not apply") for name in names(row[0])}


@lru_cache
def make(name):
    """A tree, or what else the page speaks of, by the name that it has there."""
    one, x, _ = arviz_trees.rows(8)
    random = np.random.default_rng(0)
    context = random.normal(size=(20, 1)).astype(np.float32)
    if name == "tree":
        return to_datatree(one, x[:2], rng_key=KEY)
    if name == "sbc_tree":
        return calibration.to_datatree(sbc(one, rng_key=KEY, num_data=100, num_draws=20))
    if name.startswith("elpd"):
        wide, _ = arviz_trees.fitted(1.5)
        return elpd(wide if name == "elpd_b" else one, arviz_trees.rows(40)[1], rng_key=KEY)
    data = {
        "context_tree": lambda: (likelihoods.Gaussian(), random.normal(size=(20, 2)), context),
        "count_tree": lambda: (likelihoods.Poisson(), random.poisson(4, (20, 2))),
        "binary_tree": lambda: (likelihoods.Bernoulli(), random.integers(0, 2, (20, 2)), context),
    }
    likelihood, values, *told = data[name]()
    coded = arviz_trees.coded(likelihood, values.astype(np.float32), *told)
    return to_datatree(*coded, rng_key=KEY, num_samples=50)


def draw(function, *arguments):
    """Call a function; what ArviZ's own parts deprecate is no warning of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = function(*arguments)
    matplotlib.pyplot.close("all")
    return result


def find(name):
    module = next((m for m in MODULES.values() if callable(getattr(m, name, None))), None)
    if module is None:
        pytest.skip(f"this ArviZ has no {name}")
    if OLD_GRID and name in GRIDS:
        pytest.skip("arviz-plots 0.8 draws grids with xarray before 2026.4 only")
    return getattr(module, name)


@pytest.mark.parametrize("name", NAMED)
def test_named_functions_take_the_tree_without_a_keyword(name):
    assert name in WORK
    assert draw(find(name), make("tree")) is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WORK if name not in NAMED])
def test_functions_take_the_tree_without_a_keyword(name):
    function = find(name)
    assert draw(function, make("tree")) is not None


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_functions_work_with_the_argument_that_the_page_gives(call):
    find(re.match(r"arviz_\w+\.(\w+)", call)[1])
    values = {name: make(name) for name in re.findall(r"\b(?:\w+_)?tree\b|elpd_[ab]", call)}
    result = draw(lambda: eval(call, {**MODULES, **values}))
    assert result is not None


def public_functions():
    for module in MODULES.values():
        for name in dir(module):
            if inspect.isfunction(getattr(module, name)) and not name.startswith(("_", "add_")):
                yield name


@pytest.mark.parametrize("name", sorted(set(public_functions()) - NO_FUNCTIONS))
def test_every_function_of_arviz_is_on_the_page(name):
    with_argument = [re.match(r"arviz_\w+\.(\w+)", call)[1] for call in CALLS]
    assert [name in WORK, name in with_argument, name in REASONS].count(True) == 1


@lru_cache
def small(data, per_entry):
    one, x, *_ = data(3)
    return to_datatree(one, x, rng_key=KEY, num_samples=30, per_entry=per_entry)


@pytest.mark.parametrize("name", [name for name in REASONS if "loo" in name and "kfold" not in name])
@pytest.mark.parametrize("per_entry", [False, True])
def test_no_function_scores_rows_by_p_of_x_given_z(name, per_entry):
    """A flat variable and one per column: none has a namesake in log_likelihood."""
    function = find(name)
    parameters = inspect.signature(function).parameters
    if not {"data", "dt"} & parameters.keys():
        pytest.skip("it takes no tree")
    required = [p for p, at in parameters.items() if at.default is at.empty and at.kind < 2]
    for data in (arviz_trees.rows, arviz_trees.images):
        tree = small(data, per_entry)
        values = [tree if p in ("data", "dt") else None for p in required]
        with pytest.raises(Exception, match="."):  # each refuses in its own way
            draw(function, *values)


def test_loo_names_what_to_use():
    with pytest.raises(TypeError, match="not_for_loo_use_probvae_criticism_elpd"):
        arviz_stats.loo(make("tree"))


@pytest.mark.parametrize("scale", [1.0, 1.4])
def test_elpd_is_log_p_of_x_with_k_hat(scale):
    _, x, weights = arviz_trees.rows(30)
    one, _ = arviz_trees.fitted(scale)
    found = elpd(one, x, rng_key=KEY, num_particles=400)
    exact = oracle.log_prob(x.astype(float), weights, arviz_trees.MU, arviz_trees.VARIANCE)
    np.testing.assert_allclose(found.elpd_i, exact, atol=1e-3 if scale == 1 else 0.3)
    assert found.elpd == pytest.approx(exact.sum(), abs=1e-2 if scale == 1 else 1.0)
    assert found.kind == "loo"
    assert found.n_samples == 400
    k_hat = found.pareto_k.to_numpy()
    assert (k_hat == -np.inf).all() if scale == 1 else np.isfinite(k_hat).all()
    assert "elpd" in str(found)


def test_independent_draws_have_r_hat_1_and_ess_n():
    posterior = make("tree")["posterior"]
    n = posterior.sizes["chain"] * posterior.sizes["draw"]
    assert float(abs(arviz_stats.rhat(make("tree"))["z"] - 1).max()) < 0.02
    ratio = arviz_stats.ess(make("tree"))["z"].to_numpy() / n
    assert ratio.min() > 0.7
    assert ratio.max() < 1.4


@pytest.fixture(scope="module")
def conflict():
    one, x, _ = arviz_trees.rows(8, conflict=(2, 5))
    return to_datatree(one, x, rng_key=KEY, num_samples=500)


@pytest.mark.parametrize("summarise", [arviz_stats.psense_summary, psense_per_row])
def test_psense_names_the_two_rows_whose_prior_and_data_disagree(conflict, summarise):
    found = summarise(conflict, var_names="z")
    flagged = found.index[found["diagnosis"].astype(str).str.contains("conflict")]
    rows = {int(re.search(r"\[(\d+)", name)[1]) for name in flagged}
    assert rows == {2, 5}


def test_power_scaling_of_a_row_does_not_depend_on_the_others(conflict):
    whole = psense_per_row(conflict)
    alone = psense_per_row(conflict.isel(datum=slice(2, 3)))
    np.testing.assert_array_equal(
        whole.filter(like="z[2", axis=0)["prior"], alone.filter(like="z[2", axis=0)["prior"]
    )


def test_log_prior_and_log_likelihood_are_those_of_each_row(conflict):
    z = conflict["posterior"]["z"].to_numpy()
    exact = -0.5 * (z**2 + np.log(2 * np.pi)).sum(-1)
    np.testing.assert_allclose(conflict["log_prior"]["z"], exact, rtol=1e-4)
    weight = conflict["sample_stats"]["log_weight"].mean(("chain", "draw"))
    _, x, weights = arviz_trees.rows(8, conflict=(2, 5))
    truth = oracle.log_prob(x.astype(float), weights, arviz_trees.MU, arviz_trees.VARIANCE)
    np.testing.assert_allclose(weight, truth, rtol=1e-3)


@pytest.mark.parametrize("data", [arviz_trees.rows, arviz_trees.images])
def test_entries_of_the_log_likelihood_add_up_to_that_of_the_row(data):
    whole = small(data, per_entry=False)["log_likelihood"]["x_given_z"].to_numpy()
    entries = small(data, per_entry=True)["log_likelihood"]
    parts = [entries[name].to_numpy().reshape(4, 30, 3, -1) for name in entries.data_vars]
    np.testing.assert_allclose(sum(part.sum(-1) for part in parts), whole, rtol=1e-5)


def masked():
    one, x, _ = arviz_trees.rows(30)
    mask = np.random.default_rng(1).random(x.shape) < 0.7
    return x, mask, to_datatree(one, Batch(x, mask=mask), rng_key=KEY, num_samples=50)


def test_missing_entries_are_nan_and_the_mask_is_constant_data():
    x, mask, tree = masked()
    np.testing.assert_array_equal(events(tree["observed_data"]), np.where(mask, x, np.nan))
    masks = [tree["constant_data"][f"x_{j}_mask"].to_numpy() for j in range(3)]
    np.testing.assert_array_equal(np.stack(masks, axis=1), mask)
    assert np.isfinite(events(tree["posterior_predictive"])).all()


def test_missing_entries_of_images_are_nan():
    one, x = arviz_trees.images(3)
    mask = np.random.default_rng(1).random(x.shape) < 0.7
    tree = to_datatree(one, Batch(x, mask=mask), rng_key=KEY, num_samples=2)
    np.testing.assert_array_equal(events(tree["observed_data"]), np.where(mask, x, np.nan))
    assert tree["constant_data"]["x_mask"].to_numpy().reshape(mask.shape).tolist() == mask.tolist()


def test_without_missing_entries_pit_values_are_those_of_the_observed():
    x, mask, tree = masked()
    small = drop_missing(tree)
    for j in range(3):
        observed = small["observed_data"][f"x_{j}"]
        np.testing.assert_array_equal(observed, x[mask[:, j], j])
        drawn = small["posterior_predictive"][f"x_{j}"]
        assert drawn.shape == (4, 50, mask[:, j].sum())
        pit = float((drawn <= observed).mean())
        with_nan = (tree["posterior_predictive"][f"x_{j}"] <= tree["observed_data"][f"x_{j}"]).mean()
        assert float(with_nan) == pytest.approx(pit * mask[:, j].mean())  # each NaN counts as 0
    draw(find("plot_ppc_pit"), small)


def test_counts_are_integers_and_missing_counts_are_not():
    tree = make("count_tree")
    assert tree["observed_data"]["x_0"].dtype.kind == "i"
    assert tree["posterior_predictive"]["x_0"].dtype.kind == "i"


def test_columns_have_their_names():
    one, x, _ = arviz_trees.rows(4)
    options = {"rng_key": KEY, "num_samples": 2}
    tree = to_datatree(one, x, column_names=["age", "BC/ring", "c"], **options)
    assert list(tree["observed_data"].data_vars) == ["age", "BC_ring", "c"]
    np.testing.assert_array_equal(events(tree["observed_data"]), x)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(x, columns=["a", "b", "c"])
    assert list(to_datatree(one, frame, **options)["observed_data"].data_vars) == ["a", "b", "c"]
    for wrong in (["a", "b"], ["a", "a", "b"]):
        with pytest.raises(ValueError, match="3 different names"):
            to_datatree(one, x, column_names=wrong, **options)


def test_blocks_of_a_joint_are_variables():
    parts = likelihoods.Joint(a=(15, likelihoods.Gaussian()), b=(10, likelihoods.Bernoulli()))
    x = np.random.default_rng(0).integers(0, 2, (3, 25)).astype(np.float32)
    tree = to_datatree(*arviz_trees.coded(parts, x), rng_key=KEY, num_samples=2)
    assert {name: v.dtype.kind for name, v in tree["observed_data"].data_vars.items()} == {
        "x_a": "f",
        "x_b": "i",
    }
    np.testing.assert_array_equal(events(tree["observed_data"]), x)


def test_large_events_keep_every_kth_draw(monkeypatch):
    one, x = arviz_trees.images(3)
    options = {"rng_key": KEY, "num_samples": 10, "num_chains": 2}
    whole = to_datatree(one, x, **options)
    monkeypatch.setattr("probvae.criticism.datatree.MAX_VALUES", 2 * 3 * 25 * 4)
    monkeypatch.setattr("probvae.criticism.datatree.MIN_PREDICTIVE", 2)
    few = to_datatree(one, x, **options)
    assert few["posterior_predictive"]["draw"].to_numpy().tolist() == [0, 3, 6, 9]
    for group in ("posterior_predictive", "prior_predictive"):
        np.testing.assert_array_equal(events(few[group]), events(whole[group])[:, ::3])
    np.testing.assert_array_equal(few["posterior"]["z"], whole["posterior"]["z"])
    assert whole["posterior_predictive"]["x"].dims == ("chain", "draw", "x_entry")


@dataclass(frozen=True)
class PositivePrior(AbstractDistributionPrior):
    def distribution(self, scope):
        return dist.LogNormal(np.zeros(scope.latent_dim), 1.0).to_event(1)


@dataclass(frozen=True)
class PositiveGuide(AbstractDistributionGuide):
    def output_shape(self, latent_dim):
        return (latent_dim,)

    def distribution(self, outputs, scope):
        return dist.LogNormal(outputs, 0.1).to_event(1)


def test_codes_with_bounds_have_unconstrained_draws():
    net, x = nets.Linear(), np.zeros((2, 3), np.float32)
    parts = {"prior": PositivePrior(), "posterior": PositiveGuide(), "encoder": net, "decoder": net}
    vae = VAE(event_shape=(3,), latent_dim=2, **parts)
    tree = to_datatree(arviz_trees.random_values(vae), x, rng_key=KEY, num_samples=3)
    free = tree["unconstrained_posterior"]["z"]
    np.testing.assert_allclose(np.exp(free), tree["posterior"]["z"], rtol=1e-5)
    assert "unconstrained_posterior" not in make("tree").children


@pytest.mark.parametrize("tree_of", [lambda: masked()[2], lambda: make("context_tree")])
def test_the_whole_tree_saves_as_netcdf(tree_of, tmp_path):
    tree = tree_of()
    tree.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    back = xarray.open_datatree(tmp_path / "fit.nc", engine="h5netcdf")
    for name in ("observed_data", "posterior_predictive"):
        np.testing.assert_array_equal(events(back[name]), events(tree[name]))
    assert set(back["constant_data"].data_vars) == set(tree["constant_data"].data_vars)
    back.close()


def test_members_of_a_sweep_are_side_by_side():
    from probvae.fitted.sweep import Sweep

    (one, x, _), (wide, _) = arviz_trees.rows(3), arviz_trees.fitted(1.5)
    sweep = Sweep({"beta": (0.5, 1.0)}, 1, (one, wide))
    tree = to_datatree(sweep, x, rng_key=KEY, num_samples=20)
    assert tree["posterior"]["z"].dims == ("chain", "draw", "member", "datum", "latent")
    assert tree["posterior"]["beta"].to_numpy().tolist() == [0.5, 1.0]
    for member, fitted in enumerate((one, wide)):
        alone = to_datatree(fitted, x, rng_key=KEY, num_samples=20)
        for group in ("posterior", "posterior_predictive", "log_prior", "sample_stats"):
            xarray.testing.assert_allclose(
                tree[group].to_dataset().isel(member=member).drop_vars(["member", "key", "beta"]),
                alone[group].to_dataset(),
            )
        xarray.testing.assert_equal(tree["observed_data"].dataset, alone["observed_data"].dataset)
    assert len(draw(find("summary"), tree)) == 2 * (3 * 2 + 1)


def test_a_comparison_has_a_tree():
    values = np.random.default_rng(0).normal(-10, 1, (2, 30))
    found = compare_values({"a": values[0], "b": values[1]})
    group = found.to_datatree()["elpd"]
    assert group["elpd_i"].dims == ("model", "datum")
    np.testing.assert_allclose(group["elpd_i"].sum("datum"), group["elpd"])
    assert group["model"].to_numpy().tolist() == list(found.names)
