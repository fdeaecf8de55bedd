"""Several runs on the same test data, compared by their log p(x)."""

from collections.abc import Sequence
from typing import Any

from probvae.criticism import Comparison
from probvae.criticism import compare as compare_fitted
from probvae.evidence import Batch
from probvae.runs.evaluation import batch, test_rows
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
    """Compare runs by bounds on log p(x) of the same rows of the test data, by name of their folders.

    Args:
        runs: two or more, whose test data are the same.
        rng_key: a typed key.
        num_particles: draws of z per datum, the same for all.
        max_test: at most so many rows of the test data, drawn as in ``evaluate``.
        progress: show bars.

    Raises:
        ValueError: for fewer than two, one that is given twice, test data that differ, or models whose
            log p(x) does not compare.
    """
    check_runs(runs)
    told = next((run for run in runs if run.fitted.vae.context_shape), runs[0])
    rows = test_rows(len(told.data.test), max_test)
    x: Batch = batch(told.fitted.vae, told.data, "test", rows)
    fitted = dict(zip(_names(runs), (run.fitted for run in runs), strict=True))
    return compare_fitted(fitted, x, rng_key=rng_key, num_particles=num_particles, progress=progress)


def check_runs(runs: Sequence[Run]) -> None:
    """Raise unless there are several runs, each once, that saw the same test data."""
    if len(runs) < 2:
        raise ValueError(
            f"a comparison expects two runs or more; got {len(runs)}. For the numbers of one: probvae "
            f"evaluate {' '.join(str(run.folder) for run in runs) or 'RUN'}."
        )
    folders = [run.folder.resolve() for run in runs]
    twice = [run.folder for run in runs if folders.count(run.folder.resolve()) > 1]
    if twice:
        raise ValueError(f"a comparison expects each run once; got {twice[0]} more than once.")
    first = runs[0]
    for other in runs[1:]:
        if other.config["data"]["sha256"] != first.config["data"]["sha256"]:
            raise ValueError(
                "a comparison expects runs on the same test data; "
                f"{first.folder} has {describe_test_data(first.config['data'])}, and "
                f"{other.folder} has {describe_test_data(other.config['data'])}. Train both on one of them."
            )


def describe_test_data(config: dict[str, Any]) -> str:
    """Describe a run's test data, as its configuration has them."""
    shape = "x".join(map(str, config["event_shape"]))
    low, high = config["range"]
    return (
        f"{config['sizes']['test']:,} data of {config['name']} ({config['description']}), of shape "
        f"{shape}, in [{low:.4g}, {high:.4g}], digest {config['sha256'][:12]}"
    )


def _names(runs: Sequence[Run]) -> list[str]:
    """Return the folders' names, or their paths where two have one name."""
    names = [run.folder.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.folder) for run in runs]
