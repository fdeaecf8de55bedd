"""Sweeps: many trainings of one VAE in one compiled program."""
