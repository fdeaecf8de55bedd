"""The comparison of model files over seeds, from its settings to its folder."""

import csv
import io
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from probvae import plots
from probvae.checks import check_positive_integer
from probvae.criticism.comparison import check_comparable
from probvae.data import Data
from probvae.runs import figures
from probvae.runs import folder as files
from probvae.runs.evaluation import derive_keys, draw_test_rows, select_batch
from probvae.runs.model_file import ModelFile
from probvae.runs.plan import RunPlan, resolve
from probvae.runs.record import DATA_DIGESTS, digest_data, make_record
from probvae.runs.settings import Settings
from probvae.runs.settings_checks import check_seed
from probvae.variant_comparison import VariantComparison
from probvae.variant_training import Trial, compare_trials

TABLE, ROWS, PICTURE = "variants.txt", "variants.csv", "variants.png"


class VariantFile(NamedTuple):
    """A model file, and the keyword arguments for its function."""

    file: ModelFile
    arguments: Mapping[str, Any] = {}


def compare_variants(
    variants: Mapping[str, VariantFile],
    settings: Settings,
    *,
    num_seeds: int = 5,
    at_once: int | None = None,
    command: str = "",
    say: Callable[[str], Any] = print,
    progress: bool = False,
) -> VariantComparison:
    """Train every model file once with every seed, compare their log p(x), and write the results.

    Each training, and its log p(x), is that of ``train`` with the same seed. The folder has the table
    (``variants.txt``), a row per training (``variants.csv``), a picture (``variants.png``), the
    configuration, and the model files. It is empty until the comparison is complete.

    Args:
        variants: two or more model files by name.
        settings: as for ``train``, of every variant. ``seed`` is the first seed. ``model`` and
            ``arguments`` are not used.
        num_seeds: trainings of each variant, with the seeds ``seed``, ``seed + 1``, ...
        at_once: as in ``probvae.sweep``.
        command: the command line, for the record.
        say: a function that prints a line.
        progress: show bars.

    Returns:
        the comparison. Its keys are those of the seeds.

    Raises:
        TypeError, ValueError, OSError: before training. Nothing stays on disk.
        KeyboardInterrupt: after Ctrl-C. Nothing stays on disk.
    """
    check_positive_integer("seeds", num_seeds)
    check_seed(settings.seed + num_seeds - 1)
    seeds = range(settings.seed, settings.seed + num_seeds)
    plans = {
        name: resolve(settings._replace(model=file.path, arguments=dict(arguments)), file)
        for name, (file, arguments) in variants.items()
    }
    _check_plans(plans)
    stems = dict.fromkeys(plan.file.path.stem for plan in plans.values())
    data = next(iter(plans.values())).data
    name = f"variants-{'-'.join(stems)}-{Path(data.name).stem}"
    with files.new_folder(settings.out, name=name) as folder:
        for each, plan in plans.items():
            say(f"variant {each}:")
            for line in plan.describe():
                say(f"  {line}".replace("\n", "\n  "))
        if not figures.can_draw():
            say(f"note: there will be no picture: {figures.HINT}")
        start = time.perf_counter()
        keys = [derive_keys(seed) for seed in seeds]
        result = compare_trials(
            [_make_trial(each, plan) for each, plan in plans.items()],
            [key.fit for key in keys],
            [key.evaluation for key in keys],
            num_particles=settings.num_particles,
            at_once=at_once,
            progress=progress,
            say=say,
        )
        say(f"trained and evaluated in {time.perf_counter() - start:.1f} s")
        say(f"\n{result}")
        _write_results(folder, result, plans, seeds, command)
        say(f"\ntable, trainings{', picture' * figures.can_draw()}: {folder}")
    return result


def _make_trial(name: str, plan: RunPlan) -> Trial:
    rows = draw_test_rows(len(plan.data.test), plan.settings.max_test)
    test = select_batch(plan.variant.vae, plan.query_data, "test", rows)
    options = {**plan.fit_options(), "optimizer": plan.optimizer}
    return Trial(name, plan.variant.vae, options, test)


def _check_plans(plans: Mapping[str, RunPlan]) -> None:
    """Raise ``ValueError`` unless the variants can be trained and compared on the same data."""
    if len(plans) < 2:
        raise ValueError(
            f"A comparison expects two or more variants; got {len(plans)}. For the seeds of one model "
            "file, use: probvae sweep MODEL.py --seeds 5."
        )
    (first, plan), *others = plans.items()
    if plan.recovery is not None:
        raise ValueError("A comparison of variants does not support skip_batches and halve_rate.")
    if plan.data.valid is None:
        raise ValueError(
            f"A comparison of variants needs validation data; {plan.data.name} has none. Add an array "
            "`valid`, or remove the splits: the data are then split 80 / 10 / 10."
        )
    check_comparable({name: plan.variant.vae for name, plan in plans.items()})
    digests = digest_data(_without_context(plan))
    for name, other in others:
        for kind, digest in digest_data(_without_context(other)).items():
            if digest != digests[kind]:
                raise ValueError(
                    f"A comparison expects the same data for every variant; {DATA_DIGESTS[kind]} of "
                    f"{first!r} and {name!r} differ: {plan.data.description}, and "
                    f"{other.data.description}. Set --binarize for both."
                )


def _without_context(plan: RunPlan) -> Data:
    """Return a plan's data without the context, which a conditional variant has and others do not."""
    return replace(plan.data, context={})


def _write_results(
    folder: Path,
    result: VariantComparison,
    plans: Mapping[str, RunPlan],
    seeds: Sequence[int],
    command: str,
) -> None:
    for number, (name, plan) in enumerate(plans.items(), start=1):
        stem = re.sub(r"\W+", "-", name).strip("-")
        files.write_text(folder / f"model-{number}-{stem}.py", plan.file.source)
    records = {name: make_record(plan, command) for name, plan in plans.items()}
    config = {
        "command": command,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "compared": list(plans),
        "seeds": list(seeds),
        "variants": records,
    }
    files.write_json(folder / files.CONFIG, config)
    files.write_text(folder / ROWS, variants_to_csv(result, seeds))
    if figures.can_draw():
        figures.save_figure(plots.variants(result, names=seeds), folder / PICTURE)
    files.write_text(folder / TABLE, f"{result}\n")


def variants_to_csv(result: VariantComparison, seeds: Sequence[int]) -> str:
    """Return variants.csv, a row per training with means over the test rows in nats per datum.

    ``difference`` is log p(x) minus that of the first variant with the same seed. ``kept_epoch`` counts
    from 1.
    """
    columns, text = result.columns(), io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["variant", "seed", "test_log_prob", "test_elbo", "difference", "epochs", "kept_epoch"]
    )
    for at, name in enumerate(result.names):
        for key, seed in enumerate(seeds):
            numbers = [f"{columns[c][at, key]:.8g}" for c in ("log_prob", "elbo", "difference")]
            epochs, kept = int(columns["epochs"][at, key]), int(columns["kept_epoch"][at, key]) + 1
            table.writerow([name, seed, *numbers, epochs, kept])
    return text.getvalue()
