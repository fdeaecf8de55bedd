"""Rows taken together: within the bound, and without a rest where a divisor is near."""

import pytest

from probvae.batching import ROWS, rows_per_block


@pytest.mark.parametrize(
    ("n", "rows_each", "want"),
    [(1, 1, 1), (40, 16, 40), (2000, 200, 5), (2000, 1, 1000), (2003, 1, ROWS), (7, 10 * ROWS, 1)],
)
def test_rows_taken_together(n, rows_each, want):
    assert rows_per_block(n, rows_each) == want
