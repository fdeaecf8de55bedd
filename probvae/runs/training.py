"""The training of a run, from its settings to its report."""

import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from probvae.column_checks import describe_useless_fit
from probvae.fitted import Fitted, History
from probvae.runs import figures, report
from probvae.runs import folder as files
from probvae.runs.evaluation import derive_keys, describe_metrics, evaluate
from probvae.runs.plan import RunPlan, resolve
from probvae.runs.record import make_record
from probvae.runs.run import Run
from probvae.runs.settings import Settings
from probvae.runs.training_summary import epochs_to_csv, summarize_training
from probvae.training import Checkpoints, DataParallel, LostProcessError, NonFiniteLossError, fit
from probvae.training.callbacks import JSONLines


def train(
    settings: Settings,
    *,
    command: str = "",
    say: Callable[[str], Any] = print,
    progress: bool = False,
    devices: DataParallel | None = None,
) -> Run:
    """Train a model file on data and write the run's folder: parameters, numbers, figures, report.

    The folder is made, and proved writable, before training. Checkpoints keep it up to date, and
    ``resume`` continues from the last one. An interrupt (Ctrl-C) ends the training after the current
    epoch, and the run is evaluated with that. A second interrupt ends the epoch at once. SIGTERM ends
    the run without a report.

    Args:
        settings: the settings of the run.
        command: the command line, for the record.
        say: a function that prints a line.
        progress: show bars.
        devices: as in ``fit``. With several processes, the others call ``assist``.

    Raises:
        TypeError, ValueError, OSError: before training. Nothing stays on disk.
        NonFiniteLossError: from ``fit``. The folder has the VAE at the last good epoch.
    """
    plan = resolve(settings)
    name = f"{plan.file.path.stem}-{Path(plan.data.name).stem}"
    with files.new_folder(settings.out, name=name) as folder:
        for line in plan.describe():
            say(line)
        config = make_record(plan, command)
        files.write_json(folder / files.CONFIG, config)
        files.write_text(folder / files.MODEL, plan.file.source)
        return complete_run(folder, config, plan, say, devices=devices, progress=progress)


def assist(settings: Settings, *, devices: DataParallel) -> bool:
    """Take part, as a further process, in the training of a run that the first process writes.

    Returns:
        whether the training reached its end. An interrupt (Ctrl-C) ends it early.

    Args:
        settings: the settings of the run, the same as in the first process.
        devices: those of all processes.

    Raises:
        TypeError, ValueError: before training.
        LostProcessError: if another process has ended.
    """
    return assist_plan(resolve(settings), devices)


def assist_plan(plan: RunPlan, devices: DataParallel) -> bool:
    """Train as a further process. Return whether the training reached its end."""
    fitted = fit_plan(plan, None, devices=devices, progress=False)
    return _is_finished(plan, fitted.history)


def complete_run(
    folder: Path,
    config: dict[str, Any],
    plan: RunPlan,
    say: Callable[[str], Any],
    *,
    devices: DataParallel | None,
    progress: bool,
) -> Run:
    """Train a run from its start or its last checkpoint, evaluate it, and write its report."""
    if not figures.can_draw():  # now, and not after hours of training
        say(f"note: the report will have no figures: {figures.HINT}")
    first_epoch = files.last_checkpoint_epoch(folder)
    fitted, seconds = _train(folder, plan, devices=devices, progress=progress)
    finished = _is_finished(plan, fitted.history)
    # From here on the training is safe on disk, and no error may cost it: each one says how to get the
    # report without training again. The checkpoints go last, so that a kill at any line can be resumed.
    try:
        _save_fitted(folder, fitted)
        run = Run(folder, config, fitted, lambda: plan.query_data)
        say(summarize_training(run, seconds, interrupted=not finished))
        metrics = _evaluate_run(run, seconds, first_epoch, progress=progress)
        path = _write_report(run, metrics)
    except KeyboardInterrupt as stop:
        raise type(stop)(f"after training: the fitted VAE is saved in {folder}") from None
    except Exception as error:  # a full disk, or a broken installation of matplotlib
        error.add_note(
            "(The training is complete and saved. To evaluate and report: "
            f"{files.resume_command(folder)})"
        )
        raise
    for line in [*describe_metrics(metrics, len(plan.data.test)), f"report: {path}"]:
        say(line)
    elbo = (fitted.history.validation or fitted.history.train).get("elbo")
    if elbo is not None:
        at_end = elbo[fitted.history.kept_epoch]
        if note := describe_useless_fit(plan.variant.vae.likelihood, plan.data.train, at_end):
            say(note)
    if finished:
        shutil.rmtree(folder / files.CHECKPOINTS, ignore_errors=True)
    else:
        say(f"to continue training: {files.resume_command(folder)}")
    return run


def _train(folder: Path, plan: RunPlan, **options: Any) -> tuple[Fitted, float]:
    """Fit the VAE, and tell in every error what is saved and how to continue."""
    start = time.perf_counter()
    resume = f"To continue training: {files.resume_command(folder)}"
    try:
        fitted = fit_plan(plan, folder, **options)
    except NonFiniteLossError as error:
        _save_fitted(folder, error.fitted)
        epochs, path = error.fitted.history.num_epochs, folder / files.FITTED
        saved = f"The VAE after {epochs} epochs is saved as {path}."
        raise NonFiniteLossError(f"{error} {saved}", error.fitted) from error
    except LostProcessError as error:
        if not files.list_checkpoints(folder):
            raise
        raise LostProcessError(f"{error} {resume} (in each process)") from error
    except KeyboardInterrupt as stop:
        if not files.list_checkpoints(folder):
            raise
        raise type(stop)(f"in training. {resume}") from None
    if not fitted.history.num_epochs:
        raise KeyboardInterrupt("in the first epoch. Nothing is saved.")
    return fitted, time.perf_counter() - start


def fit_plan(
    plan: RunPlan, folder: Path | None, *, devices: DataParallel | None, progress: bool
) -> Fitted:
    """Fit the VAE of a plan. A process that only assists has no folder, and writes nothing."""
    folder = Path() if folder is None else folder  # never used: only process 0 writes
    return fit(
        plan.variant.vae,
        **plan.fit_options(),
        optimizer=plan.optimizer,
        recovery=plan.recovery,
        checkpoints=Checkpoints(folder / files.CHECKPOINTS),
        callbacks=(JSONLines(folder / files.LINES),),
        devices=devices,
        rng_key=derive_keys(plan.settings.seed).fit,
        progress=progress,
    )


def _is_finished(plan: RunPlan, history: History) -> bool:
    early = plan.early_stopping
    stopped = early is not None and early.should_stop(history.validation["elbo"])
    return stopped or history.num_epochs >= plan.epochs


def _save_fitted(folder: Path, fitted: Fitted) -> None:
    files.remove_results(folder)
    fitted.save(folder / files.FITTED, overwrite=True)
    files.write_text(folder / files.EPOCHS, epochs_to_csv(fitted.history))


def _evaluate_run(run: Run, seconds: float, first_epoch: int, *, progress: bool) -> dict[str, Any]:
    key, options = derive_keys(run.seed).evaluation, run.config["evaluation"]
    numbers = evaluate(run.fitted, run.data, rng_key=key, progress=progress, **options)
    history = run.fitted.history
    training: dict[str, Any] = {"epochs": history.num_epochs, "seconds": round(seconds, 2)}
    if first_epoch:  # the seconds are those of this process
        training["since_epoch"] = first_epoch
    if history.num_epochs:
        training["kept_epoch"] = history.kept_epoch + 1
    if epoch := history.describe_kept_epoch():
        training["kept"] = epoch
    if history.incidents:
        training["incidents"] = [str(each) for each in history.incidents]
    validation = {name: float(v[history.kept_epoch]) for name, v in history.validation.items()}
    metrics = {**numbers, "fit": training, "validation_at_end": validation}
    files.write_json(run.folder / files.METRICS, metrics)
    return metrics


def _write_report(run: Run, metrics: dict[str, Any]) -> Path:
    pictures: list[report.Picture] = []
    if figures.can_draw():
        drawn = figures.draw_run_figures(run, derive_keys(run.seed).figures)
        pictures = figures.save_pictures(drawn, run.folder / files.FIGURES)
    command = shlex.join(["probvae", "diagnose", str(run.folder)])
    page = report.render_report(run.config, metrics, pictures, command=command)
    return files.write_text(run.folder / files.REPORT, page)
