"""Checks of the posterior: how close q(z|x) is to p(z|x), and bounds on log p(x)."""
