"""Samples of the model against data: predictive checks, tests and distances."""
