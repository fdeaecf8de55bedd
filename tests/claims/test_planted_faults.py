"""The confusion table of `diagnose`, on one fault; a healthy fit is in `tests/criticism/test_diagnose.py`."""

import pytest
from inference_runs import run


@pytest.mark.slow
def test_a_fault_is_named():
    lines = run("planted_faults", "--quick", "--only", "collapsed").splitlines()
    assert lines[2].startswith("| collapsed | posterior collapse | 1 of 1 | none |")
