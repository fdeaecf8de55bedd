"""The page for strangers runs, and its parts pass the contracts that ours pass."""

import re
from pathlib import Path

import numpy as np
import pairs
import pytest
import test_contracts as contracts

from probvae import priors

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "how-to" / "write-your-own-part.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
PARTS = ("Laplace", "SharedScale", "LogNormal", "Residual")


@pytest.fixture(scope="module")
def page():
    names = {}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_the_page_runs_to_its_end(page):
    assert np.isfinite(page["fitted"].history.steps["loss"]).all()
    assert page["fitted"].history.train["elbo"][-1] > page["fitted"].history.train["elbo"][0]


def test_each_part_is_short():
    for name in PARTS:
        (block,) = (block for block in BLOCKS if f"class {name}(" in block)
        assert len(block.splitlines()) <= 40


def test_the_new_prior_likelihood_and_encoder_pass_the_contract_tests(page):
    parts = {"prior": page["Laplace"](), "likelihood": page["LogNormal"](), "encoder": page["Residual"]}
    pairs.check_pair(pairs.tiny(**parts))


@pytest.mark.slow
def test_the_new_likelihood_takes_a_mask(page):
    make = page["LogNormal"]
    contracts.test_masked_gradients_are_those_of_the_observed_part_alone(make)
    contracts.test_density_of_a_datum_is_the_same_alone_and_in_company(make)


def test_the_new_guide_serves_the_vamp_prior_and_the_decoder_passes_the_contract_tests(page):
    parts = {
        "posterior": page["SharedScale"](),
        "prior": priors.VampPrior(3),
        "decoder": page["Residual"],
    }
    pairs.check_pair(pairs.tiny(**parts))


@pytest.mark.slow
def test_the_page_on_diagnosis_runs(capsys):
    (block,) = re.findall(
        r"```python\n(.*?)```", (DOCS / "explanation" / "diagnosis.md").read_text(), flags=re.DOTALL
    )
    exec(compile(block, "diagnosis.md", "exec"), {})
    assert capsys.readouterr().out.startswith("Verdict: ")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # inside of ArviZ
def test_the_page_on_arviz_runs():
    pytest.importorskip("arviz_plots")
    pytest.importorskip("matplotlib").use("Agg")
    (block,) = re.findall(
        r"```python\n(.*?)```", (DOCS / "how-to" / "arviz.md").read_text(), flags=re.DOTALL
    )
    names = {}
    exec(compile(block, "arviz.md", "exec"), names)
    assert list(names["tree"]["observed_data"].data_vars) == names["names"]
