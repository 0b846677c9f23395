"""Closed forms, the linear-Gaussian world and Monte Carlo, in NumPy and SciPy alone.

The files say `import scipy`, which loads a part of SciPy where it is first used: a notebook that needs
none of it starts as fast as NumPy, and `scipy.stats` alone takes longer than all else here.
"""

from vae_helpers.numerics import gaussian, linear_gaussian, monte_carlo
from vae_helpers.numerics.gaussian import kl_standard_normal
from vae_helpers.numerics.importance import importance_gap
from vae_helpers.numerics.linear_gaussian import LinearGaussian
from vae_helpers.numerics.monte_carlo import estimate, kl_standard_normal_mc
