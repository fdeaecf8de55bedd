"""Every pair of parts: joined, trained, generated from and bounded, or refused by name (slow).

    python -m pytest -m slow tests/test_matrix.py               # one in 5 joins; one in 90 trains
    PROBVAE_ALL_PAIRS=1 python -m pytest -n 2 -m slow tests/test_matrix.py   # every pair

With all pairs, what fits is written to `docs/explanation/compatibility.md`; without, what is joined is held against
that page. Each prior, and each objective, meets every guide in `tests/test_contracts.py`.
"""

import functools
import os
import re
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
    "prior and guide": (registry.PRIORS, registry.GUIDES, with_guide),
    "likelihood and prior": (registry.LIKELIHOODS, registry.PRIORS, with_prior),
    "likelihood and guide": (registry.LIKELIHOODS, registry.GUIDES, likelihood_with_guide),
    "likelihood and net": (registry.LIKELIHOODS, registry.NETS, with_net),
    "objective and guide": (OBJECTIVES, registry.GUIDES, with_objective),
}


@pytest.fixture(autouse=True)
def _forget_programs():
    """A thousand compiled programs in one process are more mappings than Linux grants it."""
    yield
    if ALL:
        jax.clear_caches()


ROWS = [pytest.param(t, row, id=f"{t}-{row}") for t, (rows, *_) in TABLES.items() for row in rows]


FITS = {  # what the registry expects, so that a page of refusals alone is no success
    "prior and guide": {
        (p, g): registry.fit_together(p, g) for p in registry.PRIORS for g in registry.GUIDES
    },
    "objective and guide": {
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
        for column in columns:
            if not chosen(JOINS, table, row, column):
                continue
            words = refusal(table, row, column)
            assert (words is None) == fits.get((row, column), words is None), (row, column, words)
            assert (column in page[row]) == (words is None), (
                f"{row}, {column}: the page is not of today"
            )
            if words:
                assert any(hint in words for hint in ("Use ", "use a", "Build")), words
                assert _named(row, words) or _named(column, words), (row, column, words)


def _marks(table):
    """Return what the page says of a table: for each row, the columns that fit it. With all pairs, write it first."""
    if ALL:
        _write()
    _, columns, _ = TABLES[table]
    _, _, rest = PAGE.read_text().partition(f"## {table.capitalize()}\n")
    lines = [line for line in rest.split("\n## ")[0].splitlines() if line.startswith("| ")]
    marks = {}
    for line in lines[1:]:
        names, _, fitting = line.strip("| ").partition(" | ")
        for name in _split(names):
            marks[name] = _parse(fitting, columns)
    return marks


def _parse(words, columns):
    """Return the set that ``_list`` wrote."""
    if words.startswith("all"):
        return set(columns) - set(_split(words.removeprefix("all").removeprefix(" but ")))
    return set(_split(words)) - {"none"}


def _split(words):
    """Return names between commas. A comma inside of parentheses belongs to a name."""
    return re.split(r", (?![^(]*\))", words)


def _list(fitting, columns):
    """Return the shorter of two lists: what fits, or all but what does not."""
    others = [name for name in columns if name not in fitting]
    if not others:
        return "all"
    if len(others) < len(fitting):
        return "all but " + ", ".join(others)
    return ", ".join(fitting) or "none"


@functools.cache
def _write():
    lines = [HEAD]
    for table, (rows, columns, _) in TABLES.items():
        found = {row: [c for c in columns if not refusal(table, row, c)] for row in rows}
        lines += [f"## {table.capitalize()}", "", *_table(table, found, columns)]
    PAGE.write_text("\n".join(lines).rstrip() + "\n")


def _table(table, found, columns):
    """Two columns, which a phone shows: rows that fit the same parts share a line."""
    row, _, column = table.partition(" and ")
    groups = {}
    for name, fitting in found.items():
        groups.setdefault(tuple(fitting), []).append(name)
    yield f"| {row} | fits these {PLURALS[column]} |"
    yield "| --- | --- |"
    for fitting, names in groups.items():
        yield f"| {', '.join(names)} | {_list(fitting, columns)} |"
    yield ""


def _named(part, words):
    """Whether an error names a part by its class: without its settings, and without NumPyro's."""
    return part.split("(")[0].removeprefix("numpyro ") in words


PLURALS = {"guide": "guides", "prior": "priors", "net": "nets"}
HEAD = """# Which parts go together

`tests/test_matrix.py` writes this page from the registry of all parts. A pair that fits is joined by `VAE` and taken
by `fit`. Any other pair is refused, when you build the VAE or before the fit starts. The error names a part and what to
use instead.

The VAE around a pair has an event of 3 x 2 and two latent units. Its other parts are the first of the registry that
fit. Parentheses show a part inside a part, or a setting.

The slow tests train one pair in 90, and all pairs with `PROBVAE_ALL_PAIRS=1`. They demand three things. 150 SVI steps
lower the loss at 15 of 20 draws (except for the game of `AdversarialELBO`). The mean ELBO of 100 draws is at most the
importance-weighted bound of 400 others. `Predictive` gives the sites and shapes of the model, in the likelihood's
support.
"""
