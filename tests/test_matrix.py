"""Every pair of parts: joined, trained, generated from and bounded, or refused by name (slow).

    python -m pytest -m slow tests/test_matrix.py               # one in 5 joins; one in 90 trains
    PROBVAE_ALL_PAIRS=1 python -m pytest -n 2 -m slow tests/test_matrix.py   # every pair

With all pairs, what fits is written to `docs/explanation/compatibility.md`; without, what is joined is held against
that page. Each prior, and each objective, meets every guide in `tests/test_contracts.py`.
"""

import functools
import os
import zlib
from pathlib import Path

import jax
import pytest
import registry
from numpyro.infer import RenyiELBO, Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO
from pairs import check_pair, default_objective, guide_of, joined, refuse, tiny

PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "compatibility.md"
ALL = os.environ.get("PROBVAE_ALL_PAIRS")
TRAINS, JOINS = 90, 5  # one in so many, where not all pairs are asked for
NUMPYRO = {
    "numpyro Trace_ELBO": Trace_ELBO,
    "numpyro TraceMeanField_ELBO": TraceMeanField_ELBO,
    "numpyro RenyiELBO": lambda: RenyiELBO(0.5, num_particles=2),
    "numpyro TraceGraph_ELBO": TraceGraph_ELBO,
}
OBJECTIVES = {**NUMPYRO, **registry.OBJECTIVES}
REFUSALS = (TypeError, ValueError)
pytestmark = pytest.mark.slow


def with_guide(prior, guide):
    return joined(prior, registry.GUIDES[guide]()), None


def with_prior(likelihood, prior):
    return joined(prior, guide_of(prior), likelihood=registry.LIKELIHOODS[likelihood]()), None


def likelihood_with_guide(likelihood, guide):
    prior = registry.first_prior(guide)
    part = registry.LIKELIHOODS[likelihood]()
    return joined(prior, registry.GUIDES[guide](), likelihood=part), None


def with_net(likelihood, net):
    encoder, decoder = registry.NETS[net]()
    part = registry.LIKELIHOODS[likelihood]()
    return tiny(encoder=encoder, decoder=decoder, likelihood=part), None


def with_objective(objective, guide):
    asked = registry.ASKS.get(objective, {})
    vae = joined(registry.first_prior(guide), registry.GUIDES[guide](), **asked)
    return vae, OBJECTIVES[objective]()


TABLES = {  # what a row is, what a column is, and the VAE of both
    "prior x guide": (registry.PRIORS, registry.GUIDES, with_guide),
    "likelihood x prior": (registry.LIKELIHOODS, registry.PRIORS, with_prior),
    "likelihood x guide": (registry.LIKELIHOODS, registry.GUIDES, likelihood_with_guide),
    "likelihood x net": (registry.LIKELIHOODS, registry.NETS, with_net),
    "objective x guide": (OBJECTIVES, registry.GUIDES, with_objective),
}


@pytest.fixture(autouse=True)
def _forget_programs():
    """A thousand compiled programs in one process are more mappings than Linux grants it."""
    yield
    if ALL:
        jax.clear_caches()


ROWS = [pytest.param(t, row, id=f"{t}-{row}") for t, (rows, *_) in TABLES.items() for row in rows]


FITS = {  # what the registry expects, so that a page of refusals alone is no success
    "prior x guide": {
        (p, g): registry.fit_together(p, g) for p in registry.PRIORS for g in registry.GUIDES
    },
    "objective x guide": {
        (o, g): registry.objective_fits(o, g) for o in registry.OBJECTIVES for g in registry.GUIDES
    },
}


def chosen(one_in, table, row, column):
    return ALL or zlib.crc32(f"{table} {row} {column}".encode()) % one_in == 0


def refusal(table, row, column):
    """None where a pair fits; else the words of the error that the join or the fit raises."""
    try:
        vae, objective = TABLES[table][2](row, column)
        refuse(vae, objective or default_objective(vae))
    except REFUSALS as error:
        return str(error)
    return None


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_pairs_train_and_stay_below_log_prob(table, row):
    _, columns, make = TABLES[table]
    failed = []
    for column in columns:
        if not chosen(TRAINS, table, row, column) or refusal(table, row, column):
            continue
        try:
            check_pair(*make(row, column))
        except Exception as error:  # every pair of the row is to be seen
            failed.append(f"{column}: {error!r}"[:400])
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("table", TABLES)
def test_what_does_not_fit_is_refused_by_name_and_the_page_says_so(table):
    rows, columns, _ = TABLES[table]
    fits, page = FITS.get(table, {}), _marks(table)
    for row in rows:
        for i, column in enumerate(columns):
            if not chosen(JOINS, table, row, column):
                continue
            words = refusal(table, row, column)
            assert (words is None) == fits.get((row, column), words is None), (row, column, words)
            assert page[row][i] == ("-" if words else "yes"), (
                f"{row}, {column}: the page is not of today"
            )
            if words:
                assert any(hint in words for hint in ("Use ", "use a", "Build")), words
                assert _named(row, words) or _named(column, words), (row, column, words)


def _marks(table):
    """Return the page's cells of a table, by row; all pairs asked for, write them first."""
    if ALL:
        _write()
    _, _, rest = PAGE.read_text().partition(f"## {table.capitalize()}\n")
    lines = [line.split(" | ") for line in rest.split("\n## ")[0].splitlines() if line.startswith("| ")]
    return {
        name.removeprefix("| "): [cell.removesuffix(" |") for cell in cells] for name, *cells in lines
    }


@functools.cache
def _write():
    lines = [HEAD]
    for table, (rows, columns, _) in TABLES.items():
        found = {row: {c: refusal(table, row, c) for c in columns} for row in rows}
        lines += [f"## {table.capitalize()}", "", *_table(found, columns)]
    PAGE.write_text("\n".join(lines).rstrip() + "\n")


def _table(found, columns):
    numbers = {name: str(i + 1) for i, name in enumerate(columns)}
    yield "Columns: " + ", ".join(f"{number} {name}" for name, number in numbers.items()) + "."
    yield ""
    yield "| | " + " | ".join(numbers.values()) + " |"
    yield "| --- |" + " --- |" * len(columns)
    for row, cells in found.items():
        marks = ["-" if words else "yes" for words in cells.values()]
        yield f"| {row} | " + " | ".join(marks) + " |"
    yield ""


def _named(part, words):
    """Whether an error names a part by its class: without its settings, and without NumPyro's."""
    return part.split("(")[0].removeprefix("numpyro ") in words


HEAD = """# Which parts go together

Written by `tests/test_matrix.py` from the registry of all parts (`tests/registry.py`). *yes*: the two are joined, and
`fit` takes them; *-*: refused, where they are joined or before the fit starts, by an error that names a part and what to
take instead. The VAE around a pair: an event of 3 x 2, two latent units, the first parts of the registry that fit.

One pair in 90 is trained by the slow tests, all pairs with `PROBVAE_ALL_PAIRS=1`: 150 SVI steps must lower the loss
at 15 of 20 draws (but for the game of `AdversarialELBO`); the mean ELBO of 100 draws be at most the importance-weighted bound of 400 others; `Predictive` give the
sites and shapes of the model, in the likelihood's support.
"""
