"""Sweeps: many trainings of one VAE."""
