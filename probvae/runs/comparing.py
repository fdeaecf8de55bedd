"""The comparison of several runs on the same test data by their log p(x)."""

from collections.abc import Sequence
from typing import Any

from probvae.criticism import Comparison
from probvae.criticism import compare as compare_fitted
from probvae.runs.evaluation import draw_test_rows, select_batch
from probvae.runs.run import Run
from probvae.typing import RngKey


def compare(
    runs: Sequence[Run],
    *,
    rng_key: RngKey,
    num_particles: int,
    max_test: int,
    progress: bool = False,
) -> Comparison:
    """Compare runs by bounds on log p(x) of the same test rows. Their names are those of their folders.

    Args:
        runs: two or more runs on the same test data.
        rng_key: a typed key.
        num_particles: draws of z per row, the same for all runs.
        max_test: the largest number of test rows, drawn as in ``evaluate``.
        progress: show bars.

    Raises:
        ValueError: for fewer than two runs, a run that you pass twice, different test data, or models
            whose log p(x) are not comparable.
    """
    _check_runs(runs)
    # Conditional and unconditional runs compare on one batch, so it needs the context if any run does.
    source = next((run for run in runs if run.fitted.vae.context_shape), runs[0])
    rows = draw_test_rows(len(source.data.test), max_test)
    batch = select_batch(source.fitted.vae, source.data, "test", rows)
    fitted = dict(zip(_name_runs(runs), (run.fitted for run in runs), strict=True))
    return compare_fitted(
        fitted, batch, rng_key=rng_key, num_particles=num_particles, progress=progress
    )


def _check_runs(runs: Sequence[Run]) -> None:
    if len(runs) < 2:
        fix = f"For one run, use: probvae evaluate {runs[0].folder if runs else 'RUN'}."
        raise ValueError(f"A comparison expects two or more runs; got {len(runs)}. {fix}")
    folders = [run.folder.resolve() for run in runs]
    for run, folder in zip(runs, folders, strict=True):
        if folders.count(folder) > 1:
            raise ValueError(f"A comparison expects each run once; got {run.folder} more than once.")
    first = runs[0]
    for other in runs[1:]:
        if other.config["data"]["sha256"] != first.config["data"]["sha256"]:
            both = (f"{r.folder} has {describe_test_data(r.config['data'])}" for r in (first, other))
            raise ValueError(f"A comparison expects runs on the same test data; {', and '.join(both)}.")


def describe_test_data(record: dict[str, Any]) -> str:
    """Return a run's test data in words, from the data entry of its configuration."""
    shape = "x".join(map(str, record["event_shape"]))
    low, high = record["range"]
    return (
        f"{record['sizes']['test']:,} data of {record['name']} ({record['description']}), of shape "
        f"{shape}, in [{low:.4g}, {high:.4g}], digest {record['sha256'][:12]}"
    )


def _name_runs(runs: Sequence[Run]) -> list[str]:
    """Return the names of the folders, or their paths if two folders have the same name."""
    names = [run.folder.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.folder) for run in runs]
