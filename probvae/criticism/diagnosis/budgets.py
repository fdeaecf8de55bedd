"""What a diagnosis may cost."""

from typing import NamedTuple


class Budget(NamedTuple):
    """What a diagnosis may cost: counts, of data and of draws for each.

    ``num_data`` is for what needs a pass or some (units, surgery, codes, predictive checks, bounds);
    ``num_local`` for the best local guides, which take ``num_steps`` gradients each, and for the tree,
    which draws 100 x from p(x|z) for each, and as many from the model. A bound takes
    ``num_particles`` draws of z for each datum, a predictive check ``num_replicates`` data sets, the
    calibration ``num_simulations`` data drawn from the model.
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
