"""What all tests share: strictness, and double precision where a test asks for it."""

import sys
from pathlib import Path

import jax
import numpyro
import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
jax.config.update("jax_numpy_rank_promotion", "allow")
numpyro.enable_validation(is_validate=False)


@pytest.fixture
def float64():
    """Run a test in double precision."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)
