"""Question: can a row of a published table be reproduced?

`python -m inference.tables` lists the rows. A row is trained as in its paper's code
(`inference/recipes.py`), from several keys. Its test log p(x) is the importance-weighted bound with
5000 particles on all test images. `--epochs` trains for fewer epochs, with a warm-up of at most a
quarter of them. Such a number is shown with the reference, but is not a reproduction. The results of
each training are saved in the folder `--out`, and the same command resumes there.

    python -m inference.tables ROW [--seeds 3] [--epochs N] [--images N] [--out tables] [--quick]
        [--together]

``--together`` trains from all keys in one program (``probvae.sweep``), for a GPU, without checkpoints.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from inference.claims import format_values
from inference.comparison import draw_rows
from inference.recipes import ROWS, Row, Training
from probvae import Checkpoints, EarlyStopping, criticism, fit, sweep
from probvae import load as load_fitted
from probvae.criticism.diagnosis.budgets import QUICK
from probvae.data import Data, load

TAILS = 500  # test images, drawn at random, whose k-hat is looked at
HEAD = (
    "| row | reference | test log p(x) (nats) | test ELBO | active units | k-hat above {k:.2f} "
    "| faults | draws / s | epochs (kept) | minutes of training | device |\n|" + " --- |" * 11
)


def shorten(training: Training, epochs: int | None) -> Training:
    """Return the training with at most ``epochs`` epochs and a warm-up of at most a quarter of them."""
    if epochs is None:
        return training
    return training._replace(epochs=epochs, warm_up=min(training.warm_up, epochs // 4))


def train_row(row: Row, training: Training, data: Data, key: jax.Array, folder: Path) -> Any:
    """Train one VAE of a row, or resume from the checkpoints in the folder."""
    steps = len(data.train) // training.batch_size
    return fit(
        row.vae(data.event_shape),
        data.train,
        validation=data.valid,
        observation=data.observation,
        rng_key=key,
        objective=training.objective(training.warm_up * steps),
        optimizer=training.optimizer(steps),
        epochs=training.epochs,
        batch_size=training.batch_size,
        early_stopping=_stopping(training),
        checkpoints=Checkpoints(folder, seconds=120.0),
    )


def train_together(row: Row, training: Training, data: Data, keys: list) -> tuple:
    """Train the VAEs of a row from all keys in one program."""
    steps = len(data.train) // training.batch_size
    return sweep(
        row.vae(data.event_shape),
        data.train,
        validation=data.valid,
        observation=data.observation,
        rng_keys=keys,
        objective=training.objective(training.warm_up * steps),
        optimizer=training.optimizer(steps),
        epochs=training.epochs,
        batch_size=training.batch_size,
        early_stopping=_stopping(training),
        at_once=len(keys),
    ).fitted


def train_all(name: str, settings: dict, data: Data, out: Path, seeds: int) -> None:
    """Train a row from all keys together, and write the records that ``measure`` reads."""
    folders = [out / name / f"key-{key}" for key in range(seeds)]
    if all((folder / "training.json").is_file() for folder in folders):
        return
    began = time.monotonic()
    keys = [jax.random.split(jax.random.key(key))[0] for key in range(seeds)]
    recipe = shorten(ROWS[name].training, settings["epochs"])
    for folder, fitted in zip(folders, train_together(ROWS[name], recipe, data, keys), strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        fitted.save(folder / "fitted.safetensors", overwrite=True)
        (folder / "training.json").unlink(missing_ok=True)
        run = fitted.history
        record = {
            "epochs": run.num_epochs,
            "kept_epoch": run.kept_epoch + 1,
            "validation_elbo": float(run.validation["elbo"][run.kept_epoch]),
            "together": seeds,
        }
        read_or_make(folder / "training.json", {"epochs": settings["epochs"]}, lambda: record, began)  # noqa: B023


def _stopping(training: Training) -> EarlyStopping | None:
    if training.patience is None:
        return None
    return EarlyStopping(training.patience, start=training.warm_up)


def criticise_fit(fitted: Any, test: np.ndarray, key: jax.Array, particles: int) -> dict[str, Any]:
    """Return the entries of a row for a fitted VAE: nats per image, counts, and its faults."""
    keys = jax.random.split(key, 5)
    bound = fitted.log_prob(test, rng_key=keys[0], num_particles=particles, progress=True)
    tails = criticism.pareto_shape(fitted, test[:TAILS], rng_key=keys[1], num_particles=particles)
    active = criticism.active_units(fitted, test[:TAILS], rng_key=keys[2]).active_mask()
    return {
        "log_prob": bound.mean,
        "standard_error_over_images": bound.mean_standard_error,
        "elbo": fitted.elbo(test, rng_key=keys[3]).mean,
        "active_units": float(sum(each.sum() for each in active.values())),
        "share_above": tails.share_above,
        "threshold": tails.threshold,
        "draws_per_second": _drawing(fitted),
        "faults": _faults(fitted, test, keys[4]) if len(test) >= QUICK.num_data else ["not looked for"],
    }


def _faults(fitted: Any, test: np.ndarray, key: jax.Array) -> list[str]:
    diagnosis = criticism.diagnose(fitted, test, rng_key=key, budget=QUICK)
    return [each.name for each in diagnosis.verdict.of(criticism.Kind.FAULT)]


def _drawing(fitted: Any, num_draws: int = 64) -> float:
    """Return the number of images drawn per second, after compilation."""
    for seed in range(2):
        began = time.monotonic()
        jax.block_until_ready(fitted.sample(num_draws, rng_key=jax.random.key(seed)))
    return num_draws / (time.monotonic() - began)


def measure(name: str, key: int, settings: dict, data: Data, out: Path) -> dict[str, Any]:
    """Return the records of one training and of its results. Existing records are read."""
    folder = out / name / f"key-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    fit_key, test_key = jax.random.split(jax.random.key(key))

    def train() -> dict[str, Any]:
        recipe = shorten(ROWS[name].training, settings["epochs"])
        fitted = train_row(ROWS[name], recipe, data, fit_key, folder / "checkpoints")
        fitted.save(folder / "fitted.safetensors")
        run = fitted.history
        return {"epochs": run.num_epochs, "kept_epoch": run.kept_epoch + 1}

    def criticise() -> dict[str, Any]:
        fitted = load_fitted(folder / "fitted.safetensors", ROWS[name].vae(data.event_shape))
        return criticise_fit(
            fitted, draw_rows(data.test, settings["images"]), test_key, settings["particles"]
        )

    training = read_or_make(folder / "training.json", {"epochs": settings["epochs"]}, train)
    record = read_or_make(folder / "criticism.json", settings, criticise)
    return {**training, **record, "training_minutes": training["minutes"]}


def read_or_make(
    path: Path, settings: dict, make: Callable[[], dict], began: float | None = None
) -> dict[str, Any]:
    """Return the record in a file if it exists and has these settings. Otherwise create it."""
    if path.is_file():
        record = json.loads(path.read_text())
        if record["settings"] != settings:
            raise SystemExit(
                f"{path} was made with {record['settings']}, not {settings}: take another --out, "
                "or remove it."
            )
        return record
    began = time.monotonic() if began is None else began
    made = {
        **make(),
        "settings": settings,
        "minutes": (time.monotonic() - began) / 60,
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }
    path.write_text(json.dumps(made, indent=1))
    return made


def line(name: str, records: list[dict]) -> str:
    """Return a row of the table: means over trainings, and their standard errors."""

    def cell(what: str, digits: int = 2) -> str:
        return format_values([record[what] for record in records], digits)

    epochs = ", ".join(f"{r['epochs']} ({r['kept_epoch']})" for r in records)
    faults = sorted({fault for record in records for fault in record["faults"]})
    cells = [cell("log_prob"), cell("elbo"), cell("active_units", 1), cell("share_above")]
    cells += [", ".join(faults) or "none", cell("draws_per_second", 0), epochs]
    last = [cell("training_minutes", 1), records[0]["device"]]
    return f"| {name} | {ROWS[name].reference} | " + " | ".join([*cells, *last]) + " |"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("row", nargs="?", choices=[*ROWS], metavar="ROW", help="without it: the rows")
    parser.add_argument("--seeds", type=int, default=3, help="trainings, from keys 0, 1, ...")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument(
        "--images", type=int, help="test images, drawn at random; all of them by default"
    )
    parser.add_argument("--particles", type=int, default=5000)
    parser.add_argument("--out", type=Path, default=Path("tables"), help="folder of the records")
    parser.add_argument("--together", action="store_true", help="all keys in one program")
    parser.add_argument("--quick", action="store_true", help="one epoch, few data, no diagnosis")
    return parser.parse_args()


def main() -> None:
    """Train the row from each key, and print its line."""
    args = arguments()
    if args.row is None:
        print("\n".join(f"{name:28} {row.reference}" for name, row in ROWS.items()))
        return
    row = ROWS[args.row]
    data = load(row.data, binarize=row.binarize)
    if args.quick:
        args.epochs, args.images, args.particles, args.seeds = 1, 60, 100, 1
        data = replace(data, train=data.train[:500], valid=data.valid[:100], labels={})
    settings = {what: getattr(args, what) for what in ("epochs", "images", "particles")}
    if args.together:
        train_all(args.row, settings, data, args.out, args.seeds)
    records = [measure(args.row, key, settings, data, args.out) for key in range(args.seeds)]
    print(HEAD.format(k=records[0]["threshold"]))
    print(line(args.row, records))


if __name__ == "__main__":
    main()
