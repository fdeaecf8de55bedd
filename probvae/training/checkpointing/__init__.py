"""Checkpoints: a run on disk, from which training resumes."""
