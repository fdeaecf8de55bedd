"""A sweep from its settings to its folder: many trainings of one model file, compared by validation."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from probvae import plots
from probvae.data import Data
from probvae.evidence import no_density
from probvae.runs import figures
from probvae.runs import folder as files
from probvae.runs import sweep_words as words
from probvae.runs.context import asked
from probvae.runs.evaluation import batch, keys
from probvae.runs.model_file import ModelFile, load_model_file
from probvae.runs.record import record, sealed
from probvae.runs.settings import (
    Settings,
    assembled,
    check_seed,
    check_settings,
    keep_best,
    recovery,
    sizes,
    stopping,
)
from probvae.runs.swept import RATE, Over, check_swept, optimizer
from probvae.training import Sweep
from probvae.training import sweep as trained
from probvae.training.checks import check_count
from probvae.variant import Variant


def sweep(
    settings: Settings,
    over: Mapping[str, Sequence[float]] | None = None,
    *,
    num_seeds: int = 3,
    at_once: int | None = None,
    command: str = "",
    say: Callable[[str], Any] = print,
    progress: bool = False,
) -> Sweep:
    """Train a model file once for each seed and combination of numbers; write what was found.

    The training of a seed is that of ``train`` with it. The folder has the configuration, a row for
    each training (``sweep.csv``), their picture (``sweep.png``) and the parameters of the one with the
    highest validation ELBO (``best.safetensors``; ``probvae.load`` reads it). An interrupt (Ctrl-C)
    ends a sweep as in ``probvae.sweep``, and what is trained by then is written; a second one at once,
    and nothing is.

    Args:
        settings: what to do, as for ``train``; ``seed`` is the first.
        over: by name, the values of weights of the model's objective, and of ``"learning_rate"``,
            which Adam has then, whatever the model file's optimizer.
        num_seeds: how many trainings each combination has: seeds ``seed``, ``seed + 1``, ...
        at_once: as in ``probvae.sweep``.
        command: the command that asked for it, for the record.
        say: is given each line of the account.
        progress: show a bar.

    Returns:
        every training, its keys those of the seeds.

    Raises:
        SweptError: for a name that cannot be swept, or numbers that it cannot have.
        TypeError, ValueError, OSError: before training, and nothing stays on disk.
    """
    seeds, over = _checked_seeds(settings, num_seeds, at_once), dict(over or {})
    file = load_model_file(settings.model)
    variant, data, binarize = assembled(file, settings)
    check_swept(over, variant, settings)
    _check_compared(variant, data)
    name = f"sweep-{file.path.stem}-{Path(data.name).stem}"
    with files.new_folder(settings.out, name=name) as folder:
        for line in words.protocol(settings, over, seeds, variant, data):
            say(line)
        config = _record(settings, over, seeds, file, variant, data, binarize, command)
        files.write_json(folder / files.CONFIG, config)
        files.write_text(folder / files.MODEL, file.source)
        begun = time.perf_counter()
        options = {"at_once": at_once, "progress": progress}
        found = _trained(settings, over, seeds, variant, data, **options)
        say(words.account(found, time.perf_counter() - begun))
        try:
            _write(folder, found, seeds, say)
        except KeyboardInterrupt as stop:
            if not (folder / files.BEST).exists():
                raise
            raise type(stop)(f"after training: what was found is kept in {folder}") from None
    return found


def _checked_seeds(settings: Settings, num_seeds: Any, at_once: Any) -> range:
    """Return the seeds; raise for settings and numbers that would only fail later."""
    check_settings(settings)
    check_count("seeds", num_seeds)
    if at_once is not None:
        check_count("at_once", at_once)
    if recovery(settings) is not None:
        raise ValueError(
            "a sweep takes no skip_batches and no halve_rate: a training whose loss is not finite is "
            "over, with its last good epoch. Train that one by `probvae train`."
        )
    check_seed(settings.seed + num_seeds - 1)
    return range(settings.seed, settings.seed + num_seeds)


def _check_compared(variant: Variant, data: Data) -> None:
    """Raise unless trainings have a validation ELBO to be compared by."""
    if data.valid is None:
        raise ValueError(
            f"a sweep compares trainings by validation data, and {data.name} has none. Give data with "
            "an array `valid`, or without splits of their own: they are then split 80 / 10 / 10."
        )
    if reason := no_density(variant.vae):
        raise ValueError(
            f"a sweep compares trainings by the validation ELBO, and there is none here: {reason} "
            "Train each by `probvae train`."
        )


def _record(
    settings: Settings,
    over: Over,
    seeds: range,
    file: ModelFile,
    variant: Variant,
    data: Data,
    binarize: str | None,
    command: str,
) -> dict[str, Any]:
    """Return a sweep's configuration: a run's, with what is swept in place of what only a run has."""
    config = record(settings, file, variant, data, binarize, command)
    kept = {name: held for name, held in config.items() if name not in ("evaluation", "settings")}
    training = {name: held for name, held in config["training"].items() if name != "seed"}
    swept = {"optimizer": "optax.adam"} if RATE in over else {}
    kept["training"] = {**training, **swept, "seeds": list(seeds)}
    kept["swept"] = {name: list(values) for name, values in over.items()}
    return sealed(kept, file.source)


def _trained(
    settings: Settings, over: Over, seeds: range, variant: Variant, data: Data, **options: Any
) -> Sweep:
    epochs, batch_size = sizes(settings, variant, data)
    return trained(
        variant.vae,
        batch(variant.vae, data, "train"),
        validation=batch(variant.vae, asked(variant, data), "valid"),
        rng_keys=[keys(seed).fit for seed in seeds],
        over=over,
        observation=data.observation,
        objective=variant.objective,
        optimizer=optimizer(over, variant, settings),
        epochs=epochs,
        batch_size=batch_size,
        init_params=variant.init_params,
        early_stopping=stopping(settings),
        keep_best=keep_best(settings),
        **options,
    )


def _write(folder: Path, found: Sweep, seeds: range, say: Callable[[str], Any]) -> None:
    """Write the best training, the table, the picture; say what there is."""
    best = words.best(found, seeds)
    found.best().save(folder / files.BEST)
    files.write_text(folder / files.SWEEP, words.csv_text(found, seeds))
    for line in [*words.lines(found), best]:
        say(line)
    if figures.available():
        path = folder / f"{Path(files.SWEEP).stem}.png"
        say(f"picture: {figures.save(plots.sweep(found, names=seeds), path)}")
    else:
        say(f"no picture: {figures.HINT}")
    say(f"every training: {folder / files.SWEEP}; the best: {folder / files.BEST}")
