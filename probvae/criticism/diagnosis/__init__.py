"""Diagnosis: measures of a fit, and the rules that judge them."""
