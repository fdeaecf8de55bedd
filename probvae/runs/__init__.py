"""Runs: model files trained on data, each in a folder that you can open again, and sweeps of them."""

from typing import TYPE_CHECKING

from probvae.lazy_names import lazy_names

# `probvae --help` reads the default settings in this package, and needs nothing else of it.
if TYPE_CHECKING:
    from probvae.runs.comparing import compare
    from probvae.runs.evaluation import evaluate
    from probvae.runs.figures import draw_run_figures
    from probvae.runs.model_file import ModelFile, ModelFileError, load_model_file
    from probvae.runs.resuming import assist_resumed, resume
    from probvae.runs.run import Run, open_run
    from probvae.runs.settings import Settings
    from probvae.runs.sweeping import SweptError, sweep
    from probvae.runs.training import assist, train
    from probvae.runs.variants import VariantFile, compare_variants
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "comparing": ("compare",),
            "evaluation": ("evaluate",),
            "figures": ("draw_run_figures",),
            "model_file": ("ModelFile", "ModelFileError", "load_model_file"),
            "resuming": ("assist_resumed", "resume"),
            "run": ("Run", "open_run"),
            "settings": ("Settings",),
            "sweeping": ("SweptError", "sweep"),
            "training": ("assist", "train"),
            "variants": ("VariantFile", "compare_variants"),
        },
        submodules=(
            "comparing",
            "diagnosing",
            "evaluation",
            "figures",
            "folder",
            "model_file",
            "record",
            "report",
            "run",
            "settings",
            "sweeping",
            "training",
            "variants",
        ),
    )

__all__ = [
    "ModelFile",
    "ModelFileError",
    "Run",
    "Settings",
    "SweptError",
    "VariantFile",
    "assist",
    "assist_resumed",
    "compare",
    "compare_variants",
    "draw_run_figures",
    "evaluate",
    "load_model_file",
    "open_run",
    "resume",
    "sweep",
    "train",
]
