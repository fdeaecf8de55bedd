"""The figures of a run, each with a caption on how to read it."""

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from probvae import criticism, plots
from probvae.criticism.samples.column_checks import describe_check
from probvae.data import Data, DataError, Table
from probvae.interfaces import AbstractDistributionGuide
from probvae.plots import series
from probvae.plots.canvas import is_image
from probvae.runs import folder as files
from probvae.runs.drawing import draw_panels
from probvae.runs.evaluation import select_batch
from probvae.runs.report import Picture
from probvae.runs.run import Run
from probvae.typing import RngKey

NUM_IMAGES = 20  # test data that are drawn as images
NUM_ROWS = 500  # test data, and draws, that are drawn in panels by column
NUM_TABLE_DRAWS = 2_000  # draws in the panels of a table
NUM_CHECKED = 2_000  # test rows of a table whose associations and statistics are checked
MAX_MAP_LEVELS = 8  # of a column that colours the map of the latent space
NUM_CODES = 2_000  # test data that are drawn as dots in latent space
DPI = 200
HINT = "matplotlib is not installed: pip install 'probvae[plots]'"

CURVES = (
    "The ELBO should have levelled off. If the validation curve falls while the training curve rises, "
    "the VAE overfits."
)
RECONSTRUCTIONS = (
    "Each test datum, next to its reconstruction from the code. Where they differ, p(x|z) treats the "
    "difference as noise."
)
RECONSTRUCTED_COLUMNS = (
    "Each dot is a test datum. A column that the code holds has its dots near the dashed line, where "
    "reconstruction and datum are equal. R\u00b2 is the share of the column's variance that the "
    "reconstructions explain. p(x|z) treats the rest as noise."
)
SAMPLES = (
    "Each draw of the model, next to the mean of the p(x|z) that it comes from. Draws should look like "
    "the data, and be as varied."
)
SAMPLED_COLUMNS = (
    "Bars are the distribution of the test data, and lines that of draws of the model. The two should "
    "agree. The number is the distance of the two distribution functions, between 0 and 1."
)
SAMPLED_SERIES = (
    "The band holds 90 % of the test data at each step, and the dashed lines hold 90 % of the draws of "
    "the model. The two should agree. Single draws should have the shape of single data."
)
TABLE_RECONSTRUCTIONS = (
    "Numbers and dates: each dot is a test row. A column that the code holds has its dots near the "
    "dashed line. R\u00b2 is the share of the column's variance that the reconstructions explain. "
    "Levels: the bar is the share of rows of that level whose reconstruction has the same level."
)
TABLE_SAMPLES = (
    "Filled bars are the test rows, and outlines draws of the model. The two should agree. The number "
    "is their distance, between 0 and 1: of the distribution functions, or of the shares of levels."
)
TABLE_INTERPOLATION = (
    "Between two test rows in latent space: the points between the two codes, decoded. Levels change "
    "in steps. Each step should look like a row."
)
TABLE_LATENT_MAP = (
    "Each dot is a test row at the mean of its q(z|x). Colour and shape show the column {name}, the "
    "one that the map separates best."
)
ASSOCIATIONS = (
    "Each mark is a pair of columns: rank correlation of two numbers, correlation ratio of a number "
    "and levels, Cramer's V of levels. Lines are one standard deviation of draws of the same size. "
    "Pairs below the dashed line are too weak in draws. The mean difference is {mean:.3f}. {words}"
)
COLUMN_CHECKS = (
    "Statistics of the test rows against those of {num} tables of draws of the same size. A correct "
    "model has nearly all marks inside the band. With many rows, a mark can leave it although the "
    "difference is too small to matter. The largest: {words}."
)
INTERPOLATION = (
    "Between two test data, in data space (one fades into the other) and in latent space (the points "
    "between the two codes, decoded). In latent space, each step should look like a datum."
)
LATENT_MAP = (
    "Each dot is a test datum at the mean of its q(z|x). Colour and shape show its label, if any. "
    "Training did not use them: if the classes lie apart, the VAE found them from x alone."
)
PSEUDO_INPUTS = (
    "Each one is a learned point u of data space, and q(z|u) is one component of the prior. It need "
    "not look like data, since only its code matters."
)


class RunFigure(NamedTuple):
    """A figure, its name, and a caption on how to read it. The figure is None if a sentence will do."""

    name: str
    caption: str
    figure: Any


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_run_figures(run: Run, rng_key: RngKey) -> Iterator[RunFigure]:
    """Yield the figures of a run. The parts of its VAE decide which ones there are."""
    sample_key, code_key = jax.random.split(rng_key)
    captions = _choose_captions(run)
    yield RunFigure("curves", CURVES, plots.curves(run.fitted.history))
    num = NUM_IMAGES if _shows_images(run) or _shows_series(run) else NUM_ROWS
    yield RunFigure(
        "reconstructions", captions.reconstructions, draw_reconstructions(run, num, code_key)
    )
    num = 2 * NUM_IMAGES if _shows_images(run) else NUM_TABLE_DRAWS if run.data.tables else NUM_ROWS
    yield RunFigure("samples", captions.samples, draw_samples(run, num, sample_key))
    if run.data.tables:
        yield from _draw_table_checks(run, jax.random.fold_in(sample_key, 1))
    if has_mean_code(run):
        if not run.fitted.vae.context_shape and has_endpoints(run.data):
            figure = draw_interpolation(run, *choose_endpoints(run.data))
            yield RunFigure("interpolation", captions.interpolation, figure)
        yield _draw_latent_map(run)
    if plots.data_space.PSEUDO_INPUTS in run.fitted.params:
        figure = plots.pseudo_inputs(run.fitted, limits=run.limits)
        yield RunFigure("pseudo_inputs", PSEUDO_INPUTS, figure)


class _Captions(NamedTuple):
    reconstructions: str
    samples: str
    interpolation: str = INTERPOLATION


def _choose_captions(run: Run) -> _Captions:
    if run.data.tables:
        return _Captions(TABLE_RECONSTRUCTIONS, TABLE_SAMPLES, TABLE_INTERPOLATION)
    if _shows_series(run):
        return _Captions(RECONSTRUCTIONS, SAMPLED_SERIES)
    if _shows_images(run):
        return _Captions(RECONSTRUCTIONS, SAMPLES)
    return _Captions(RECONSTRUCTED_COLUMNS, SAMPLED_COLUMNS)


def _draw_table_checks(run: Run, rng_key: RngKey) -> Iterator[RunFigure]:
    """Yield the figures of the associations and of the checks by column."""
    test = select_batch(run.fitted.vae, run.data, "test", slice(NUM_CHECKED))
    pair_key, column_key = jax.random.split(rng_key)
    pairs = criticism.associations(run.fitted, test, rng_key=pair_key)
    if pairs.pairs:
        words = f"The largest: {pairs.pairs[0]}."
        caption = ASSOCIATIONS.format(mean=pairs.mean_difference, words=words)
        yield RunFigure("associations", caption, plots.associations(pairs))
    checks = criticism.column_checks(run.fitted, test, rng_key=column_key)
    words = "; ".join(describe_check(*check) for check in checks.largest(3))
    caption = COLUMN_CHECKS.format(num=checks.num_replicates, words=words)
    yield RunFigure("column_checks", caption, plots.column_checks(checks))


def save_pictures(drawn: Iterable[RunFigure], folder: Path) -> list[Picture]:
    """Write each figure as a PNG file into a new folder, and return all as pictures of a report."""
    folder.mkdir()
    pictures = []
    for name, caption, figure in drawn:
        if figure is None:
            pictures.append(Picture(name, caption))
            continue
        save_figure(figure, folder / f"{name}.png")
        pictures.append(Picture(name, caption, draw_panels(figure, name)))
    return pictures


def _shows_series(run: Run) -> bool:
    return series.is_series(run.fitted.vae.event_shape)


def _shows_images(run: Run) -> bool:
    return is_image(run.fitted.vae.event_shape) and not _shows_series(run)


def has_mean_code(run: Run) -> bool:
    """Return whether q(z|x) is one distribution with a known mean, the code of a datum."""
    if not isinstance(run.fitted.vae.posterior, AbstractDistributionGuide):
        return False
    x, context, _ = select_batch(run.fitted.vae, run.data, "test", slice(1))
    try:
        return bool(run.fitted.encode(x, context).mean.size)
    except NotImplementedError:  # a flow
        return False


def draw_reconstructions(run: Run, num: int, rng_key: RngKey) -> Any:
    """Draw test data next to their reconstructions."""
    x, context, _ = select_batch(run.fitted.vae, run.data, "test", slice(num))
    key = None if has_mean_code(run) else rng_key
    return plots.reconstructions(run.fitted, x, context=context, rng_key=key, limits=run.limits)


def draw_samples(run: Run, num: int, rng_key: RngKey) -> Any:
    """Draw samples of the model. With a context, there is one for each of the first test data."""
    context = select_context(run, num)
    x = None if _shows_images(run) else run.data.tables.get("test", run.data.test)
    return plots.samples(run.fitted, num, rng_key=rng_key, x=x, context=context, limits=run.limits)


def select_context(run: Run, num: int) -> np.ndarray | None:
    """Return the context of the first test data, if the VAE has one."""
    return run.data.context["test"][:num] if run.fitted.vae.context_shape else None


def choose_endpoints(data: Data) -> tuple[int, int]:
    """Return the first test row, and the next one with another label. Without labels, the last one.

    Rows of a table are the first without missing cells, and the one that differs from it most.

    Raises:
        DataError: fewer than two rows of a table are complete.
    """
    if data.tables:
        complete = np.flatnonzero(data.tables["test"].mask.all(axis=1))
        if len(complete) < 2:
            raise DataError(
                "an interpolation expects two test rows without missing cells; "
                f"{data.name} has {len(complete)}."
            )
        first = int(complete[0])
        return first, int(complete[np.argmax(_measure_differences(data, first, complete))])
    labels = data.labels.get("test", np.arange(len(data.test)))
    others = np.flatnonzero(labels != labels[0])
    return 0, int(others[0]) if len(others) else len(data.test) - 1


def _measure_differences(data: Data, first: int, others: np.ndarray) -> np.ndarray:
    """Return how much rows differ from the first one: 1 for another level, and shares of ranges."""
    table = data.tables["test"]
    total = np.zeros(len(others))
    for i, column in enumerate(table.schema.modelled):
        distance = np.abs(table.x[others, i] - table.x[first, i])
        width = np.ptp(table.x[others, i])
        total += distance > 0 if hasattr(column, "levels") else distance / (width or 1.0)
    return total


def check_complete(data: Data, *rows: int) -> None:
    """Raise ``DataError`` if test rows of a table have missing cells."""
    if data.schema is None:
        return
    for row in rows:
        mask = data.tables["test"].mask[row]
        if not mask.all():
            missing = [name for name, seen in zip(data.schema.names, mask, strict=True) if not seen]
            raise DataError(
                f"an interpolation expects test rows without missing cells; row {row} has no value in "
                f"{', '.join(missing)}. Choose others with --start and --end."
            )


def has_endpoints(data: Data) -> bool:
    """Return whether there are two test rows to interpolate between."""
    return not data.tables or int(data.tables["test"].mask.all(axis=1).sum()) >= 2


def draw_interpolation(run: Run, start: int, end: int, *, num_points: int = 10) -> Any:
    """Draw the path between two rows of the test data."""
    ends = run.data.test[start], run.data.test[end]
    return plots.interpolation(run.fitted, *ends, num_points=num_points, limits=run.limits)


def _draw_latent_map(run: Run) -> RunFigure:
    x, context, _ = select_batch(run.fitted.vae, run.data, "test", slice(NUM_CODES))
    caption, labels = LATENT_MAP, run.data.labels.get("test")
    if run.data.schema is not None:
        caption, labels = _label_by_column(run, x, context)
    labels = None if labels is None else labels[:NUM_CODES]
    return RunFigure("latent_map", caption, plots.latent_map(run.fitted, x, labels, context=context))


def _label_by_column(run: Run, table: Table, context: Any) -> tuple[str, np.ndarray | None]:
    """Return the caption of a map, and as labels the column that the codes separate best."""
    codes = np.asarray(run.fitted.encode(table, context).mean)
    best, share = None, 0.0
    for i, column in enumerate(table.schema.modelled):
        levels = getattr(column, "levels", ())
        values = np.where(table.mask[:, i], table.x[:, i], -1).astype(int)
        if not 2 <= len(levels) <= MAX_MAP_LEVELS or len(set(values)) < 2:
            continue
        means = np.stack([codes[values == k].mean(axis=0) for k in np.unique(values)])
        sizes = np.unique(values, return_counts=True)[1]
        between = (sizes[:, None] * (means - codes.mean(axis=0)) ** 2).sum()
        if between > share:
            names = np.array([*map(str, levels), "missing"])
            best, share = (column.name, names[values]), between
    if best is None:
        return LATENT_MAP.replace("Colour and shape show its label, if any. ", ""), None
    return TABLE_LATENT_MAP.format(name=best[0]), best[1]


def save_figure(figure: Any, path: Path) -> Path:
    """Write a figure as a PNG file."""
    return files.write(path, lambda partial: figure.savefig(partial, dpi=DPI, format="png"))
