"""What all tests share: strictness, haste, and double precision where a test asks for it."""

import gc
import os
import signal
import sys
import threading
from pathlib import Path

import jax
import pytest
from jax._src.interpreters import mlir

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
os.environ.setdefault("OMP_NUM_THREADS", "1")  # scikit-learn's threads wait for each other, spinning
jax.config.update("jax_disable_most_optimizations", True)  # most of the tests' time is compilation
if jax.__version_info__ < (0, 11):  # and half of that the fusion emitters'; an unknown flag is fatal
    os.environ["XLA_FLAGS"] = (
        "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    )
gc.set_threshold(20_000, 10, 10)  # what is traced is many objects that stay: a tenth of the time
make_ir_context, contexts = getattr(mlir, "make_ir_context", None), threading.local()


def share_ir_context():
    """Return this thread's MLIR context: a new one for each program takes as long as its lowering."""
    if not hasattr(contexts, "own"):
        contexts.own = make_ir_context()
    return contexts.own


if make_ir_context is not None:  # private to JAX: without it, the tests are only slower
    mlir.make_ir_context = share_ir_context
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is born deaf to it


@pytest.fixture
def float64():
    """Run a test in double precision."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.fixture(autouse=True, scope="module")
def _forget():
    """Give compiled programs back before they add up to gigabytes: each is a few mappings of memory."""
    yield
    mappings = Path("/proc/self/maps")
    if not mappings.exists() or mappings.read_text().count("\n") > 20_000:
        jax.clear_caches()
