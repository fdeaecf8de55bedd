"""The confusion table of `diagnose`, on one fault and one healthy fit."""

import pytest
from inference_runs import run


@pytest.mark.slow
def test_a_fault_is_named_and_a_healthy_fit_is_left_alone():
    lines = run("planted_faults", "--quick", "--only", "collapsed", "linear_gaussian").splitlines()
    assert lines[2].startswith("| collapsed | posterior collapse | 1 of 1 | none |")
    assert lines[3].startswith("| linear gaussian | none | - | none |")
