"""Budgets of a diagnosis: numbers of rows, draws and gradient steps."""

from typing import NamedTuple

from probvae.short_repr import short_repr


@short_repr
class Budget(NamedTuple):
    """The numbers of rows and draws in a diagnosis. Larger numbers cost more time.

    ``num_data`` rows enter the cheaper measures: active units, ELBO decomposition, prior gap,
    predictive checks and bounds on log p(x). ``num_local`` rows enter the expensive ones: the best
    local guides, with ``num_steps`` gradient steps per row, and the ArviZ tree.

    Bounds on log p(x) use ``num_particles`` draws of z per row. Predictive checks use
    ``num_replicates`` data sets, and calibration uses ``num_simulations`` rows drawn from the model.
    """

    num_data: int = 500
    num_particles: int = 1000
    num_replicates: int = 50
    num_local: int = 64
    num_steps: int = 300
    num_simulations: int = 500


QUICK = Budget(200, 200, 20, 16, 100, 200)
USUAL = Budget()
THOROUGH = Budget(2000, 5000, 200, 256, 1000, 2000)
