"""Right and wrong losses, many of them from public repositories, restated for the five checkers.

Nothing here knows how a checker works: an entry is a function and what is true about it.
"""

from gallery import bernoulli, elbo, generated, kl, log_prob, odd, reparameterize, wild
from gallery._entry import CHECKS, ENTRIES, Entry

__all__ = [
    "CHECKS",
    "ENTRIES",
    "Entry",
    "bernoulli",
    "elbo",
    "generated",
    "kl",
    "log_prob",
    "odd",
    "reparameterize",
    "wild",
]
