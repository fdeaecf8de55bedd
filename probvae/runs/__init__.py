"""Runs: model files trained on data, each in a folder that you can open again, and sweeps of them."""

from probvae.runs.comparing import compare
from probvae.runs.evaluation import evaluate
from probvae.runs.figures import draw_run_figures
from probvae.runs.model_file import ModelFile, ModelFileError, load_model_file
from probvae.runs.resuming import assist_resumed, resume
from probvae.runs.run import Run, open_run
from probvae.runs.settings import Settings
from probvae.runs.sweeping import SweptError, sweep
from probvae.runs.training import assist, train

__all__ = [
    "ModelFile",
    "ModelFileError",
    "Run",
    "Settings",
    "SweptError",
    "assist",
    "assist_resumed",
    "compare",
    "draw_run_figures",
    "evaluate",
    "load_model_file",
    "open_run",
    "resume",
    "sweep",
    "train",
]
