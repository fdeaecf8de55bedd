"""Posterior checks: how close q(z|x) is to the posterior, and bounds on log p(x)."""
