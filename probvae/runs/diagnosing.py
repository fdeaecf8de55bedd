"""A run diagnosed: the verdict, its figures, and a section of the report."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np

from probvae import plots
from probvae.criticism import Budget, Diagnosis, diagnose
from probvae.criticism.diagnosis.budgets import QUICK, THOROUGH, USUAL
from probvae.criticism.diagnosis.diagnose import LEAST, spread
from probvae.criticism.diagnosis.diagnosis_tree import check_arviz
from probvae.data import Data
from probvae.evidence import Batch
from probvae.runs import figures, report
from probvae.runs import folder as files
from probvae.runs.evaluation import batch
from probvae.runs.run import Run
from probvae.typing import RngKey
from probvae.vae import VAE

BUDGETS: dict[str, Budget] = {"quick": QUICK, "usual": USUAL, "thorough": THOROUGH}
FILES = (".nc", ".txt")
NETCDF = ("h5netcdf", "netCDF4")  # either writes the tree


def check_installed() -> None:
    """Raise ``ImportError`` unless all that a diagnosis needs to measure and to write is installed."""
    check_arviz()
    if not any(map(find_spec, NETCDF)):
        raise ImportError(
            "diagnosis.nc is written by h5netcdf, which is not installed: pip install 'probvae[arviz]'."
        )


def diagnose_run(run: Run, *, rng_key: RngKey, budget: Budget, say: Callable[[Any], None]) -> Diagnosis:
    """Diagnose a run on its test data, beside its training data; write what was found into its folder.

    ``diagnosis.txt`` is the verdict, ``diagnosis.nc`` the tree, ``diagnosis/`` the figures (each name
    numbered where it is taken); the report's section is that of the last diagnosis.

    Args:
        run: a run.
        rng_key: a typed key.
        budget: what it may cost.
        say: called with each line of progress, and with what was written.

    Raises:
        ImportError: without ArviZ: ``pip install 'probvae[arviz]'``.
        ValueError: for fewer than 50 held-out data, or a model with a part that is no density.
    """
    check_installed()
    vae, data = run.fitted.vae, run.data
    test = select_held_out(vae, data, say)
    train = batch(vae, data, "train", spread(len(data.train), budget.num_local))
    train = train._replace(x=np.asarray(data.observation(jax.random.fold_in(rng_key, 0), train.x)))
    found = diagnose(run.fitted, test, train=train, rng_key=rng_key, budget=budget, say=say)
    stem = files.free_stem(run.folder, "diagnosis", suffixes=("", *FILES))
    say(files.write_text(Path(f"{stem}.txt"), f"{found}\n"))
    say(files.write(Path(f"{stem}.nc"), found.tree.to_netcdf))
    pictures = []
    if figures.available():
        stem.mkdir()
        for each in draw_diagnosis_figures(found):
            path = figures.save(each.figure, stem / f"{each.name}.png")
            pictures.append(report.Picture(each.name, each.caption, path.read_bytes()))
    else:
        say(f"no figures: {figures.HINT}")
    _into_report(run.folder / files.REPORT, found, pictures, say)
    return found


def select_held_out(vae: VAE, data: Data, say: Callable[[Any], None]) -> Batch:
    """Return the test data, and the validation data with them where alone they are too few.

    No gradient came from either: a small file, of which a tenth is for test, can be diagnosed, too.
    """
    test = batch(vae, data, "test")
    if len(test.x) >= LEAST or data.valid is None:
        return test
    valid = batch(vae, data, "valid")
    say(f"held out: {len(test.x)} test data, fewer than {LEAST}, and {len(valid.x)} validation data")
    return jax.tree.map(lambda *parts: np.concatenate(parts), test, valid)


def draw_diagnosis_figures(found: Diagnosis) -> Iterator[figures.RunFigure]:
    """Yield the figures of a diagnosis, of what was measured."""
    m = found.measured
    if m.units is not None:
        yield figures.RunFigure("unit_use", UNIT_USE, plots.unit_use(m.units))
    if m.pareto is not None:
        yield figures.RunFigure("tails", TAILS, plots.tails(m.pareto))
    if m.gap is not None:
        yield figures.RunFigure("gaps", GAPS, plots.gaps(m.gap, m.train_gap))
    if m.calibration is not None:
        yield figures.RunFigure("calibration", CALIBRATION, plots.calibration(_ranks(m.calibration)))
    if m.predictive is not None:
        yield figures.RunFigure("predictions", PREDICTIONS, plots.predictions(m.predictive))


def _ranks(found: Any) -> np.ndarray:
    return np.concatenate([site.pit for site in found.sites.values()], axis=1)


UNIT_USE = (
    "Units whose KL is near 0 and whose activity is below the line say nothing of the datum; some are "
    "normal where the code is longer than the data need, all of them are posterior collapse."
)
TAILS = (
    "Above the line, the importance-weighted log p(x) of a datum is a lower bound of unknown slack: do "
    "not compare models by it."
)
GAPS = (
    "What the ELBO lacks of log p(x): the part of the guide's family is mended by a richer guide, the "
    "encoder's by a larger encoder or more training; scales well below 1 are those of a guide too "
    "narrow."
)
CALIBRATION = (
    "Each line is a unit: inside the band the guide is the posterior as far as can be seen; an S that "
    "falls, then rises says that it is too narrow, the reverse too wide, an arch that it is shifted."
)
PREDICTIONS = (
    "Bars outside the grey are properties of the data that draws of the model do not have; points "
    "below "
    "the diagonal are intervals that promise too much."
)


def _into_report(
    path: Path, found: Diagnosis, pictures: list[report.Picture], say: Callable[[Any], None]
) -> None:
    if not path.is_file():
        say(f"no section was added: {path} is not there")
        return
    page = report.with_diagnosis(path.read_text(encoding="utf-8"), found.verdict, pictures)
    say(files.rewrite_text(path, page))
