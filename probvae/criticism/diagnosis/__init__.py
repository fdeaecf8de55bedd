"""Diagnosis of a fit: measurements, and rules that turn them into findings with remedies."""
