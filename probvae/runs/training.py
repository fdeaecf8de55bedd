"""A run from its settings to its report."""

import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optax

from probvae.column_checks import describe_unscaled_columns
from probvae.data import Data
from probvae.fitted import Fitted, History
from probvae.runs import figures, report
from probvae.runs import folder as files
from probvae.runs.account import account, epochs_text
from probvae.runs.evaluation import batch, evaluate, keys, sentences
from probvae.runs.model_file import load_model_file
from probvae.runs.record import add_digests, record
from probvae.runs.run import Run
from probvae.runs.settings import (
    Settings,
    add_query_context,
    assemble,
    check_settings,
    keep_best,
    protocol,
    recovery,
    sizes,
    stopping,
)
from probvae.training import (
    Checkpoints,
    DataParallel,
    EarlyStopping,
    LostProcessError,
    NonFiniteLossError,
    fit,
)
from probvae.training.callbacks import JSONLines
from probvae.variant import Variant


def train(
    settings: Settings,
    *,
    command: str = "",
    say: Callable[[str], Any] = print,
    progress: bool = False,
    devices: DataParallel | None = None,
) -> Run:
    """Train a model file on data and write the run's folder: parameters, numbers, figures, report.

    The folder is made, and proved writable, before training, and kept up to date with checkpoints:
    ``resume`` goes on from the last. An interrupt (Ctrl-C) in training ends it after the epoch, a
    second one at once, and the run is finished with that; SIGTERM ends it without a report.

    Args:
        settings: what to do.
        command: the command that asked for it, for the record.
        say: is given each line of the account.
        progress: show bars.
        devices: as in ``fit``; with several processes, the others call ``assist``.

    Raises:
        TypeError, ValueError, OSError: before training, and nothing stays on disk.
        NonFiniteLossError: from ``fit``; the VAE at the last good epoch is in the folder.
    """
    check_settings(settings)
    file = load_model_file(settings.model)
    variant, data, binarize = assemble(file, settings)
    name = f"{file.path.stem}-{Path(data.name).stem}"
    with files.new_folder(settings.out, name=name) as folder:
        say(protocol(data, settings, variant))
        if note := describe_unscaled_columns(variant.vae.likelihood, data.train):
            say(note)
        say(str(variant.vae))
        config = add_digests(record(settings, file, variant, data, binarize, command), file.source)
        files.write_json(folder / files.CONFIG, config)
        files.write_text(folder / files.MODEL, file.source)
        return complete_run(
            folder, config, settings, variant, data, say, devices=devices, progress=progress
        )


def complete_run(
    folder: Path,
    config: dict[str, Any],
    settings: Settings,
    variant: Variant,
    data: Data,
    say: Callable[[str], Any],
    *,
    devices: DataParallel | None,
    progress: bool,
) -> Run:
    """Train, or go on training, a run that has been written down; evaluate it and report."""
    before = files.epochs_kept(folder)
    fitted, seconds = _fit_run(folder, settings, variant, data, devices=devices, progress=progress)
    over = is_finished(fitted.history, config["training"]["epochs"], stopping(settings))
    try:
        _keep(folder, fitted)
        run = Run(folder, config, fitted, lambda: add_query_context(variant, data))
        say(account(run, seconds, interrupted=not over))
        metrics = _evaluate_run(run, seconds, before, progress=progress)
        path = _write_report(run, metrics, say)
    except KeyboardInterrupt as stop:
        raise type(stop)(f"after training: the fitted VAE is kept in {folder}") from None
    except Exception as error:  # a full disk, or a package for figures that does not work
        error.add_note(f"(Training is over, and kept. To evaluate and report: {_resume_words(folder)})")
        raise
    for line in [*sentences(metrics, len(data.test)), f"report: {path}"]:
        say(line)
    if over:
        shutil.rmtree(folder / files.CHECKPOINTS, ignore_errors=True)
    else:
        say(f"to train on: {_resume_words(folder)}")
    return run


def is_finished(history: History, epochs: int, early: EarlyStopping | None) -> bool:
    """Tell whether a run of so many epochs has come to its end."""
    stopped = early is not None and early.is_over(history.validation["elbo"])
    return stopped or history.num_epochs >= epochs


def _resume_words(folder: Path) -> str:
    return shlex.join(["probvae", "train", "--resume", str(folder)])


def _fit_run(
    folder: Path, settings: Settings, variant: Variant, data: Data, **options: Any
) -> tuple[Fitted, float]:
    start = time.perf_counter()
    try:
        fitted = fit_of(folder, settings, variant, data, **options)
    except NonFiniteLossError as error:
        _keep(folder, error.fitted)
        kept = f"It is saved as {folder / files.FITTED}, of {error.fitted.history.num_epochs} epochs."
        raise NonFiniteLossError(f"{error} {kept}", error.fitted) from error
    except LostProcessError as error:
        if not files.checkpoints(folder):
            raise
        raise LostProcessError(f"{error} To train on, in each: {_resume_words(folder)}") from error
    except KeyboardInterrupt as stop:
        if not files.checkpoints(folder):
            raise
        raise type(stop)(f"in training; to train on: {_resume_words(folder)}") from None
    if not fitted.history.num_epochs:
        raise KeyboardInterrupt("in the first epoch: nothing is fitted yet, and nothing kept")
    return fitted, time.perf_counter() - start


def _keep(folder: Path, fitted: Fitted) -> None:
    files.remove_results(folder)
    fitted.save(folder / files.FITTED, overwrite=True)
    files.write_text(folder / files.EPOCHS, epochs_text(fitted.history))


def fit_of(
    folder: Path | None,
    settings: Settings,
    variant: Variant,
    data: Data,
    *,
    devices: DataParallel | None,
    progress: bool,
) -> Fitted:
    """Fit what a run's settings say; without a folder another process keeps it."""
    folder = Path() if folder is None else folder
    epochs, batch_size = sizes(settings, variant, data)
    rate = settings.learning_rate
    return fit(
        variant.vae,
        batch(variant.vae, data, "train"),
        validation=None
        if data.valid is None
        else batch(variant.vae, add_query_context(variant, data), "valid"),
        observation=data.observation,
        objective=variant.objective,
        optimizer=variant.optimizer if rate is None else optax.adam(rate),
        epochs=epochs,
        batch_size=batch_size,
        init_params=variant.init_params,
        early_stopping=stopping(settings),
        keep_best=keep_best(settings),
        recovery=recovery(settings),
        checkpoints=Checkpoints(folder / files.CHECKPOINTS),
        callbacks=(JSONLines(folder / files.LINES),),
        devices=devices,
        rng_key=keys(settings.seed).fit,
        progress=progress,
    )


def _evaluate_run(run: Run, fit_seconds: float, before: int, *, progress: bool) -> dict[str, Any]:
    asked = run.config["evaluation"]
    found = evaluate(
        run.fitted, run.data, rng_key=keys(run.seed).evaluation, progress=progress, **asked
    )
    history = run.fitted.history
    done: dict[str, Any] = {"epochs": history.num_epochs, "seconds": round(fit_seconds, 2)}
    done |= {"since_epoch": before} if before else {}  # the seconds are those of this process
    done |= {"kept_epoch": history.kept_epoch + 1} if history.num_epochs else {}
    done |= {"kept": kept} if (kept := history.describe_kept_epoch()) else {}
    done |= {"incidents": [str(each) for each in history.incidents]} if history.incidents else {}
    ends = {k: float(v[history.kept_epoch]) for k, v in history.validation.items()}
    metrics = {**found, "fit": done, "validation_at_end": ends}
    files.write_json(run.folder / files.METRICS, metrics)
    return metrics


def _write_report(run: Run, metrics: dict[str, Any], say: Callable[[str], Any]) -> Path:
    shown = []
    if figures.available():
        (run.folder / files.FIGURES).mkdir()
        for drawn in figures.draw_run_figures(run, keys(run.seed).figures):
            path = run.folder / files.FIGURES / f"{drawn.name}.png"
            shown.append((drawn, figures.save(drawn.figure, path)))
    else:
        say(f"no figures: {figures.HINT}")
    pictures = [report.Picture(d.name, d.caption, path.read_bytes()) for d, path in shown]
    page = report.page(run.config, metrics, pictures)
    return files.write_text(run.folder / files.REPORT, page)
