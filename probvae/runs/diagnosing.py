"""The diagnosis of a run: the verdict, its figures, and its section of the report."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np

from probvae import plots
from probvae.criticism import Budget, Diagnosis, diagnose
from probvae.criticism.diagnosis.budgets import QUICK, THOROUGH, USUAL
from probvae.criticism.diagnosis.diagnose import MIN_DATA, spread_rows
from probvae.criticism.diagnosis.diagnosis_tree import check_arviz
from probvae.data import Data
from probvae.evidence import Batch
from probvae.runs import figures, report
from probvae.runs import folder as files
from probvae.runs.evaluation import select_batch
from probvae.runs.run import Run
from probvae.typing import RngKey
from probvae.vae import VAE

BUDGETS: dict[str, Budget] = {"quick": QUICK, "usual": USUAL, "thorough": THOROUGH}
SUFFIXES = (".nc", ".txt")
NETCDF = ("h5netcdf", "netCDF4")  # the packages that can write the tree

UNIT_USE = (
    "A unit whose KL is near 0 and whose activity is below the line carries no information about x. A "
    "few are normal if the code is longer than necessary. All of them mean posterior collapse."
)
TAILS = (
    "Above the line, the importance-weighted log p(x) of a datum can be far below the true value. Do "
    "not compare models by it."
)
GAPS = (
    "log p(x) - ELBO, in two parts. The approximation gap comes from the guide's family: use a richer "
    "guide. The amortization gap comes from the encoder: use a larger encoder, or train longer. If "
    "many scale ratios are far below 1, the guide is too narrow."
)
CALIBRATION = (
    "Each line is a unit of the code. Inside the band, the guide cannot be told from the posterior. A "
    "line above 0 on the left and below 0 on the right means that the guide is too narrow. The "
    "opposite means that it is too wide. A line on one side of 0 means that it is shifted."
)
PREDICTIONS = (
    "A bar outside the grey area is a property of the data that the model's draws do not have. A point "
    "below the diagonal is an interval that is too narrow."
)


def check_installed() -> None:
    """Raise ``ImportError`` unless the packages that a diagnosis needs are installed."""
    check_arviz()
    if not any(map(find_spec, NETCDF)):
        raise ImportError(
            "diagnosis.nc needs h5netcdf, which is not installed: pip install 'probvae[arviz]'."
        )


def diagnose_run(run: Run, *, rng_key: RngKey, budget: Budget, say: Callable[[Any], None]) -> Diagnosis:
    """Diagnose a run on its test and training data, and write the result into its folder.

    ``diagnosis.txt`` is the verdict, ``diagnosis.nc`` the tree, ``diagnosis/`` the figures. A name that
    exists gets a number. The report has the section of the last diagnosis only.

    Args:
        run: a run.
        rng_key: a typed key.
        budget: the numbers of data and draws.
        say: a function that prints a line.

    Raises:
        ImportError: without ArviZ: ``pip install 'probvae[arviz]'``.
        ValueError: for fewer than 50 held-out data, or a model with a part that is not a density.
    """
    check_installed()
    if not figures.can_draw():
        say(f"note: there will be no figures: {figures.HINT}")
    vae, data = run.fitted.vae, run.data
    test = select_held_out(vae, data, say)
    train = select_batch(vae, data, "train", spread_rows(len(data.train), budget.num_local))
    train = train._replace(x=np.asarray(data.observation(jax.random.fold_in(rng_key, 0), train.x)))
    diagnosis = diagnose(run.fitted, test, train=train, rng_key=rng_key, budget=budget, say=say)
    stem = files.free_stem(run.folder, "diagnosis", suffixes=("", *SUFFIXES))
    say(files.write_text(Path(f"{stem}.txt"), f"{diagnosis}\n"))
    say(files.write(Path(f"{stem}.nc"), diagnosis.tree.to_netcdf))
    pictures = []
    if figures.can_draw():
        stem.mkdir()
        for each in draw_diagnosis_figures(diagnosis):
            path = figures.save_figure(each.figure, stem / f"{each.name}.png")
            pictures.append(report.Picture(each.name, each.caption, path.read_bytes()))
    path = run.folder / files.REPORT
    if path.is_file():
        page = report.insert_diagnosis(path.read_text(encoding="utf-8"), diagnosis.verdict, pictures)
        say(files.rewrite_text(path, page))
    else:
        say(f"no section in the report: {path} does not exist")
    return diagnosis


def select_held_out(vae: VAE, data: Data, say: Callable[[Any], None]) -> Batch:
    """Return the test data, together with the validation data if the test data alone are too few.

    No gradient came from either, so a small file with a tenth of its rows for test can be diagnosed.
    """
    test = select_batch(vae, data, "test")
    if len(test.x) >= MIN_DATA or data.valid is None:
        return test
    valid = select_batch(vae, data, "valid")
    say(f"held out: {len(test.x)} test data (fewer than {MIN_DATA}) and {len(valid.x)} validation data")
    return jax.tree.map(lambda *parts: np.concatenate(parts), test, valid)


def draw_diagnosis_figures(diagnosis: Diagnosis) -> Iterator[figures.RunFigure]:
    """Yield a figure for each measurement of a diagnosis."""
    m = diagnosis.measurements
    if m.units is not None:
        yield figures.RunFigure("unit_use", UNIT_USE, plots.unit_use(m.units))
    if m.pareto is not None:
        yield figures.RunFigure("tails", TAILS, plots.tails(m.pareto))
    if m.gap is not None:
        yield figures.RunFigure("gaps", GAPS, plots.gaps(m.gap, m.train_gap))
    if m.calibration is not None:
        ranks = np.concatenate([site.pit for site in m.calibration.sites.values()], axis=1)
        yield figures.RunFigure("calibration", CALIBRATION, plots.calibration(ranks))
    if m.predictive is not None:
        yield figures.RunFigure("predictions", PREDICTIONS, plots.predictions(m.predictive))
