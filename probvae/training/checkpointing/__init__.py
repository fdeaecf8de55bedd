"""Checkpoints: files from which training resumes."""
