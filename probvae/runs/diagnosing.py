"""The diagnosis of a run: the verdict, its figures, and its section of the report."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np

from probvae import plots
from probvae.criticism import ActiveUnits, Budget, Diagnosis, diagnose
from probvae.criticism.diagnosis.budgets import QUICK, THOROUGH, USUAL
from probvae.criticism.diagnosis.diagnose import MIN_DATA, spread_rows
from probvae.criticism.diagnosis.diagnosis_tree import check_arviz
from probvae.criticism.latents.active_units import ACTIVE
from probvae.data import Data, Table
from probvae.evidence import Batch
from probvae.faq import cite
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
    "A unit whose KL is near 0 and whose activity is in the band carries no information about x. A "
    "few are normal if the code is longer than necessary. All of them mean posterior collapse."
)
TAILS = (
    "Above the line, the importance-weighted log p(x) of a datum can be far below the true value. Do "
    "not compare models by it. A cross is a datum that the verdict counts, because its weights also "
    "change log p(x)."
)
GAPS = (
    "log p(x) - ELBO, in two parts. The approximation gap comes from the guide's family: use a richer "
    "guide. The amortization gap comes from the encoder: use a larger encoder, or train longer. If "
    "the median of the scale ratios is in the band, the guide is too narrow."
)
CALIBRATION = (
    "Left: each line is a unit of the code. Inside the band, the guide cannot be told from the "
    "posterior. A line above 0 on the left and below 0 on the right means that the guide is too "
    "narrow. The opposite means that it is too wide. A line on one side of 0 means that it is shifted. "
    "Right: how large the difference is. The verdict counts the units outside of the box. With many "
    "rows, a line can leave its band although the difference is too small to matter."
)
PREDICTIONS = (
    "Held-out data against draws of p(x|z), z ~ q(z|x). Left: if the curve leaves the band, the "
    "likelihood is wrong for these data. Middle: if the last point and its error bar are below the "
    "band, the intervals are too narrow. Right: properties of the data set, of which the largest can "
    "show you what the draws lack. The verdict does not judge them, because with enough data every "
    "model differs in some."
)


def check_installed() -> None:
    """Raise ``ImportError`` unless the packages that a diagnosis needs are installed."""
    check_arviz()
    if not any(map(find_spec, NETCDF)):
        raise ImportError(
            "diagnosis.nc needs h5netcdf, which is not installed: pip install 'probvae[arviz]'. "
            f"{cite('missing-extra')}"
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
    if not data.tables:  # a table has no observation
        train = train._replace(x=np.asarray(data.observation(jax.random.fold_in(rng_key, 0), train.x)))
    diagnosis = diagnose(run.fitted, test, train=train, rng_key=rng_key, budget=budget, say=say)
    stem = files.free_stem(run.folder, "diagnosis", suffixes=("", *SUFFIXES))
    say(files.write_text(Path(f"{stem}.txt"), f"{diagnosis}\n"))
    say(files.write(Path(f"{stem}.nc"), diagnosis.tree.to_netcdf))
    pictures: list[report.Picture] = []
    if figures.can_draw():
        pictures = figures.save_pictures(draw_diagnosis_figures(diagnosis), stem)
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
    if data.tables:
        test, valid = (batch._replace(x=_mask_missing(batch.x)) for batch in (test, valid))
        join = np.ma.concatenate
    else:
        join = np.concatenate
    return jax.tree.map(lambda *parts: join(parts), test, valid)


def _mask_missing(table: Table) -> np.ma.MaskedArray:
    return np.ma.array(np.where(table.mask, table.x, 0.0), mask=~table.mask)


def draw_diagnosis_figures(diagnosis: Diagnosis) -> Iterator[figures.RunFigure]:
    """Yield a figure for each measurement of a diagnosis."""
    m = diagnosis.measurements
    if m.units is not None:
        yield _draw_unit_use(m.units)
    if m.pareto is not None:
        yield figures.RunFigure("tails", TAILS, plots.tails(m.pareto))
    if m.gap is not None:
        yield figures.RunFigure("gaps", GAPS, plots.gaps(m.gap, m.train_gap))
    if m.calibration is not None:
        yield figures.RunFigure("calibration", CALIBRATION, plots.calibration(m.calibration))
    if m.predictive is not None:
        yield figures.RunFigure("predictions", PREDICTIONS, plots.predictions(m.predictive))


def _draw_unit_use(units: ActiveUnits) -> figures.RunFigure:
    """Return the figure of the units, or a sentence about the only one."""
    variance = np.concatenate(list(units.variance.values()))
    if len(variance) > 1:
        return figures.RunFigure("unit_use", UNIT_USE, plots.unit_use(units))
    kl = sum(float(each.sum(axis=1).mean()) for each in units.kl.values())
    sentence = (
        f"The code has one unit. Its KL is {kl:.3g} nats per datum. The variance over data of its "
        f"mean, E_q[z|x], is {variance[0]:.3g}. At {ACTIVE:g} or less, the unit would carry no "
        "information about x."
    )
    return figures.RunFigure("unit_use", sentence, None)
