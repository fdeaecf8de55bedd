"""Tables: held-out log p of ``VAE.for_table`` and imputation error, beside other methods.

    python benchmarks/tables.py sklearn            breast cancer, wine, diabetes: seeds 0 to 4
    python benchmarks/tables.py sklearn --score valid   the same on validation rows, to choose settings
    python benchmarks/tables.py adult ADULT.csv    mixed types, three trainings
    python benchmarks/tables.py hivae FOLDER       imputation, with HI-VAE's data and masks
    python benchmarks/tables.py speed ADULT.csv --torch-python PATH   training beside TVAE

All contenders see the same rows and the same column types, which come from the training rows.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import optax
import table_baselines as baselines
import table_imputation as imputation
from harness import interleaved, run
from harness import table as markdown
from sklearn import datasets
from sklearn.decomposition import FactorAnalysis

from probvae import VAE, Fitted, fit, fit_table, guides, likelihoods, nets, recommend_training
from probvae.data import Table
from probvae.data.column_types import AbstractNumber

DATA: dict[str, Callable] = {
    "breast cancer": lambda: datasets.load_breast_cancer(as_frame=True).data,
    "wine": lambda: datasets.load_wine(as_frame=True).data,
    "diabetes": lambda: datasets.load_diabetes(as_frame=True, scaled=False).data,
}
CONTENDERS = [
    "independent columns",
    "PCA",
    "FactorAnalysis",
    "full Gaussian",
    "Gaussian mixture",
    "FactorAnalysis of logs",
    "full Gaussian of logs",
    "Gaussian mixture of logs",
    "VAE.for_table",
]
PARTICLES = 5000


def log_p(fitted: Fitted, rows: Table, particles: int = PARTICLES) -> tuple[float, float]:
    """Return the mean log p of rows, and its rise over that with a fifth of the particles."""
    few, many = (
        fitted.log_prob(rows, rng_key=jax.random.key(10), num_particles=k).mean
        for k in (particles // 5, particles)
    )
    return many, many - few


# scikit-learn's tables ---------------------------------------------------------------------------


def train_linear(x: np.ndarray, units: int, seed: int, steps: int = 6000) -> Fitted:
    """Fit the linear VAE with a scale per column to standardized numbers, without early stopping."""
    vae = VAE(
        event_shape=x.shape[1:],
        latent_dim=units,
        posterior=guides.FullRank(),
        likelihood=likelihoods.Gaussian(likelihoods.ColumnScale()),
        encoder=nets.Linear(),
        decoder=nets.Linear(),
    )
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-2, steps))
    return fit(
        vae,
        x,
        rng_key=jax.random.key(seed),
        optimizer=optimizer,
        epochs=steps,
        batch_size=len(x),
        progress=False,
    )


def score_small(name: str, seed: int, part: str, contenders: list[str]) -> dict[str, float]:
    """Return the log p of each contender: nats per row, in units of the training columns' s.d."""
    train, valid, test = Table(DATA[name]()).split((0.6, 0.2, 0.2), seed=seed)
    rows = {"valid": valid, "test": test}[part]
    numbers = [isinstance(c, AbstractNumber) for c in train.schema.modelled]
    units = float(np.log(train.x.std(0))[numbers].sum())
    sizes = [k for k in (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25) if k < train.x.shape[1]]
    results = {}
    for contender in contenders:
        if contender == "VAE.for_table":
            results[contender] = units + _score_default(train, valid, rows, seed)
            print(f"{name}, seed {seed}: {contender} {results[contender]:.2f}", flush=True)
            continue
        kind, logs = contender.removesuffix(" of logs"), contender.endswith(" of logs")
        candidates = {
            "independent columns": lambda: baselines.fit_independent(train, valid),
            "PCA": lambda logs=logs: baselines.fit_pca(train, sizes, logs=logs),
            "FactorAnalysis": lambda logs=logs: baselines.fit_factors(train, sizes, logs=logs),
            "full Gaussian": lambda logs=logs: baselines.fit_full(train, logs=logs),
            "Gaussian mixture": lambda logs=logs: baselines.fit_normals(train, (1, 2, 3, 4), logs=logs),
        }[kind]()
        best, score = baselines.choose(candidates, valid)
        results[contender] = units + float(score(rows).mean())
        print(f"{name}, seed {seed}: {contender} ({best}) {results[contender]:.2f}", flush=True)
    return results


def _score_default(train: Table, valid: Table, rows: Table, seed: int) -> float:
    start = time.perf_counter()
    fitted = fit_table(train, validation=valid, rng_key=jax.random.key(seed), progress=False)
    seconds = time.perf_counter() - start
    value, rise = log_p(fitted, rows)
    elbo = fitted.elbo(rows, rng_key=jax.random.key(11)).mean
    epochs = len(fitted.history.train["elbo"])
    print(
        f"log p - ELBO {value - elbo:.2f}, rise from 1,000 to 5,000 particles {rise:.2f}, epoch "
        f"{fitted.history.best_epoch} of {epochs}, {seconds:.0f} s",
        flush=True,
    )
    return value


def compare_linear(name: str, seed: int, part: str, units: int = 5) -> tuple[float, float]:
    """Return log p under FactorAnalysis and under the linear VAE with as many units."""
    train, valid, test = Table(DATA[name]()).split((0.6, 0.2, 0.2), seed=seed)
    rows = {"valid": valid, "test": test}[part].x
    mean, sd = train.x.mean(0), train.x.std(0)
    x, rows = (train.x - mean) / sd, (rows - mean) / sd
    value = train_linear(x, units, seed).log_prob(rows, rng_key=jax.random.key(1), num_particles=2000)
    return FactorAnalysis(units, tol=1e-8, max_iter=20000).fit(x).score(rows), value.mean


def run_sklearn(part: str, seeds: int, names: list[str], only: list[str], file: str) -> None:
    """Print the table of held-out log p, mean and standard error over splits.

    Args:
        part: "valid" or "test".
        seeds: the number of splits.
        names: the data sets.
        only: the contenders to run. Those of earlier runs come from the file.
        file: a JSON file of results by data set, seed and contender, or "".
    """
    results = json.loads(Path(file).read_text()) if file and Path(file).exists() else {}
    for name in names:
        for seed in range(seeds):
            done = results.setdefault(f"{part} {name} {seed}", {})
            done |= score_small(name, seed, part, [each for each in only if each not in done])
            if file:
                Path(file).write_text(json.dumps(results))

    def gather(name: str, contender: str, base: str | None = None) -> list[float]:
        splits = [results[f"{part} {name} {seed}"] for seed in range(seeds)]
        return [split[contender] - (split[base] if base else 0.0) for split in splits]

    complete = [each for each in CONTENDERS if each in results[f"{part} {names[0]} 0"]]
    rows = [[each, *(_summarize(gather(name, each)) for name in names)] for each in complete]
    print("\n" + markdown(["log p, nats per row", *names], rows))
    if "VAE.for_table" in complete:
        gains = [
            [each, *(_summarize(gather(name, "VAE.for_table", each)) for name in names)]
            for each in complete[:-1]
        ]
        print("\n" + markdown(["VAE.for_table minus", *names], gains))


def run_linear(part: str, seeds: int, names: list[str]) -> None:
    """Print log p under the linear VAE and under FactorAnalysis, 5 units each."""
    rows = []
    for name in names:
        for seed in range(seeds):
            factors, vae = compare_linear(name, seed, part)
            row = [name, str(seed), f"{factors:.3f}", f"{vae:.3f}", f"{vae - factors:+.3f}"]
            print(" | ".join(row), flush=True)
            rows.append(row)
    print("\n" + markdown(["data", "seed", "FactorAnalysis", "linear VAE", "difference"], rows))


# Adult ---------------------------------------------------------------------------------------------


def run_adult(path: str, trainings: int, iterations: int, *, with_baselines: bool) -> None:
    """Print held-out log p of one 80/10/10 split of Adult, in nats per row."""
    train, valid, test = Table(path).split((0.8, 0.1, 0.1), seed=0)
    contenders = {
        "independent columns": lambda: baselines.fit_independent(train, valid),
        "Gaussian copula of the numbers": lambda: baselines.fit_copula(train),
        "mixture of independent columns": lambda: baselines.fit_latent_classes(
            train, (10, 30, 100), iterations=iterations
        ),
    }
    rows = []
    for name, fit_candidates in contenders.items() if with_baselines else ():
        start = time.perf_counter()
        best, score = baselines.choose(fit_candidates(), valid)
        values = [float(score(each).mean()) for each in (valid, test)]
        rows.append([name, best, *(f"{value:.2f}" for value in values)])
        print(" | ".join(rows[-1]), f"{time.perf_counter() - start:.0f} s", flush=True)
    values = []
    # The trainings share one optimizer, so that the program is compiled once.
    variant = recommend_training(VAE.for_table(train), train)
    settings = {name: value for name, value in variant._asdict().items() if value is not None}
    for seed in range(trainings):
        start = time.perf_counter()
        key = jax.random.key(seed)
        fitted = fit(train=train, validation=valid, rng_key=key, progress=False, **settings)
        seconds = time.perf_counter() - start
        pairs = [log_p(fitted, each, 500) for each in (valid, test)]
        values.append([value for value, _ in pairs])
        print(
            f"VAE.for_table, key {seed}: valid {pairs[0]}, test {pairs[1]}, {seconds:.0f} s", flush=True
        )
    if values:
        rows.append(
            ["VAE.for_table", "", *(_summarize(list(each)) for each in zip(*values, strict=True))]
        )
    print("\n" + markdown(["log p, nats per row", "chosen by validation", "valid", "test"], rows))


# Imputation ----------------------------------------------------------------------------------------


def run_hivae(folder: str, percents: list[int], trainings: int, only: list[str]) -> None:
    """Print imputation errors under HI-VAE's masks, by type of column."""
    rows = []
    for percent in percents:
        for method in only:
            is_random = method == "VAE.for_table"
            start = time.perf_counter()
            errors = [
                imputation.compare(Path(folder), percent, method, seed)
                for seed in range(trainings if is_random else 1)
            ]
            each = [_summarize([e[kind] for e in errors], 4) for kind in errors[0]]
            rows.append([f"{percent} %", method, *each])
            print(" | ".join(rows[-1]), f"{time.perf_counter() - start:.0f} s", flush=True)
    print("\n" + markdown(["hidden", "method", "numbers", "levels", "ordered levels"], rows))


# Speed ---------------------------------------------------------------------------------------------


def run_speed(path: str, torch_python: str, epochs: int, batch: int, rounds: int) -> None:
    """Print times of training beside ctgan's TVAE, at equal rows and steps, interleaved."""
    contenders = {
        "VAE.for_table, IWAE(5)": lambda: run(sys.executable, "for_table", path, epochs, batch),
        "TVAE": lambda: run(torch_python, "tvae", path, epochs, batch),
    }
    results = interleaved(contenders, rounds)
    names = ("start", "start cpu", "epoch", "epoch cpu", "peak")
    rows = [
        [name, *(f"{statistics.median(each[key] for each in runs):.1f}" for key in names)]
        for name, runs in results.items()
    ]
    head = ["start, s", "CPU s", "epoch, s", "CPU s", "peak MiB"]
    print("\n" + markdown(["contender", *head], rows))


def _summarize(values: list[float], digits: int = 2) -> str:
    mean = float(np.mean(values))
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    return f"{mean:.{digits}f} +- {error:.{digits}f}"


def main() -> None:
    """Run a subcommand."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("sklearn", "linear"):
        small = commands.add_parser(name)
        small.add_argument("--score", choices=("valid", "test"), default="test")
        small.add_argument("--seeds", type=int, default=5)
        small.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA))
        small.add_argument("--only", nargs="+", choices=CONTENDERS, default=CONTENDERS)
        small.add_argument("--file", default="", help="JSON file of results, which a later run extends")
    adult = commands.add_parser("adult")
    adult.add_argument("path")
    adult.add_argument("--trainings", type=int, default=3)
    adult.add_argument("--no-baselines", action="store_true")
    adult.add_argument("--em", type=int, default=100, help="iterations of EM at most")
    hivae = commands.add_parser("hivae")
    hivae.add_argument("folder")
    hivae.add_argument("--percents", type=int, nargs="+", default=[10, 20, 50])
    hivae.add_argument("--trainings", type=int, default=3)
    hivae.add_argument(
        "--only", nargs="+", choices=list(imputation.METHODS), default=list(imputation.METHODS)
    )
    speed = commands.add_parser("speed")
    speed.add_argument("path")
    speed.add_argument("--torch-python", required=True, help="an interpreter with ctgan")
    for name, default in {"epochs": 5, "batch": 500, "rounds": 1}.items():
        speed.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    if options.command == "sklearn":
        run_sklearn(options.score, options.seeds, options.data, options.only, options.file)
    elif options.command == "linear":
        run_linear(options.score, options.seeds, options.data)
    elif options.command == "adult":
        run_adult(options.path, options.trainings, options.em, with_baselines=not options.no_baselines)
    elif options.command == "speed":
        run_speed(options.path, options.torch_python, options.epochs, options.batch, options.rounds)
    else:
        run_hivae(options.folder, options.percents, options.trainings, options.only)


if __name__ == "__main__":
    main()
