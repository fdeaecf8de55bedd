"""Results print on one line, without the contents of their arrays."""

import numpy as np

from probvae.criticism import ActiveUnits, Comparison, PriorGap, compare_values


def test_numbers_are_rounded_and_arrays_are_shapes():
    assert repr(PriorGap(2 / 3, 1 / 3, 0.05, 100)) == (
        "PriorGap(accuracy=0.6667, total_variation=0.3333, standard_error=0.05, num_data=100)"
    )
    units = ActiveUnits({"z": np.ones((20, 2))}, {"z": np.ones(2)})
    assert repr(units) == "ActiveUnits(kl={'z': array(20, 2)}, variance={'z': array(2,)}, noise={})"


def test_a_comparison_of_many_rows_has_a_short_repr():
    values = np.random.default_rng(0).normal(size=1000)
    comparison = compare_values({"a": values, "b": values - 1})
    assert isinstance(comparison, Comparison)
    assert len(repr(comparison)) < 300
