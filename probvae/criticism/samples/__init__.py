"""Samples of the model beside data: tests, checks and distances."""
