"""The library where there is nothing but NumPy and SciPy: `python core.py` in such an environment.

`.ci/run` does so with the oldest versions that pyproject.toml allows, and with the newest that there are.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import sys
import warnings
from pathlib import Path

import numpy as np
import scipy
from scipy import integrate, stats

from vae_helpers.checks import (
    check_bernoulli,
    check_elbo,
    check_kl,
    check_log_prob,
    check_reparameterize,
)
from vae_helpers.checks.exercises import notebook_00, notebook_01, notebook_02, notebook_03, notebook_04
from vae_helpers.numerics import LinearGaussian, estimate, gaussian, kl_standard_normal, kl_standard_normal_mc

warnings.simplefilter("error")  # what a later version takes away is announced before
rng = np.random.default_rng(0)
MU, LOG_VAR = rng.normal(size=(2, 7, 3))
STD = np.exp(LOG_VAR / 2)


def right_kl(mu, log_var):
    return 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var).sum(axis=-1)


def right_log_prob(x, mu, log_var):
    return stats.norm.logpdf(x, mu, np.exp(log_var / 2)).sum(axis=-1)


def right_bernoulli(x, x_logits):
    return (x * x_logits - np.logaddexp(0, x_logits)).sum(axis=-1)


def right_draw(mu, log_var, eps):
    return mu + np.exp(log_var / 2) * eps


def own_draw(mu, log_var):
    return mu + np.exp(log_var / 2) * np.random.standard_normal(mu.shape)  # noqa: NPY002 - as people write it


def noisy_kl(mu, log_var):
    z = own_draw(mu, log_var)
    return (stats.norm.logpdf(z, mu, np.exp(log_var / 2)) - stats.norm.logpdf(z)).sum(axis=-1)


def numerics() -> None:
    """Closed forms against quadrature and SciPy."""
    for mu, log_var in zip(MU[0], LOG_VAR[0], strict=True):
        q = stats.norm(mu, math.exp(log_var / 2))
        value = integrate.quad(
            lambda z, q=q: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)), *q.ppf([1e-12, 1 - 1e-12])
        )[0]
        assert abs(kl_standard_normal([mu], [log_var]) - value) < 1e-7
    assert np.allclose(kl_standard_normal(MU, LOG_VAR), right_kl(MU, LOG_VAR), rtol=1e-12)
    x = rng.normal(size=MU.shape)
    assert np.allclose(gaussian.log_prob(x, MU, LOG_VAR), right_log_prob(x, MU, LOG_VAR), rtol=1e-12)
    found = kl_standard_normal_mc(MU[0], LOG_VAR[0], 100_000, np.random.default_rng(1))
    assert abs(found.mean - right_kl(MU[0], LOG_VAR[0])) < 5 * found.standard_error
    assert abs(estimate(np.array([1.0, 2.0, 3.0])).mean - 2) < 1e-15
    world = LinearGaussian(1.2, 0.5, 0.6)
    mean, cov = world.posterior(2.0)
    bound = world.elbo(2.0, mean, np.log(np.diag(cov)))
    assert np.allclose(bound, world.log_evidence(2.0), rtol=1e-12)  # of the posterior there is no gap


def checks() -> None:
    """Right functions are right, wrong ones are named."""
    cases = [
        (check_kl, right_kl, {}),
        (check_kl, lambda mu, log_var: -right_kl(mu, log_var), {"sign"}),
        (check_kl, lambda mu, log_var: right_kl(mu, log_var) / mu.shape[-1], {"mean-latent"}),
        (check_kl, lambda log_var, mu: right_kl(mu, log_var), {}),
        (check_kl, noisy_kl, {}),
        (check_kl, lambda mu, log_var: 0.9 * noisy_kl(mu, log_var), {"scale"}),
        (check_log_prob, right_log_prob, {}),
        (
            check_log_prob,
            lambda x, mu, log_var: stats.norm.logpdf(x, mu, np.exp(log_var)).sum(-1),
            {"var-for-std"},
        ),
        (check_bernoulli, right_bernoulli, {}),
        (check_bernoulli, lambda x, x_logits: -right_bernoulli(x, x_logits), {"sign"}),
        (check_reparameterize, right_draw, {}),
        (check_reparameterize, own_draw, {}),
        (check_reparameterize, lambda mu, log_var, eps: mu + np.exp(log_var) * eps, {"var-for-std"}),
        (check_elbo, lambda log_px_z, kl: log_px_z - kl, {}),
        (check_elbo, lambda log_px_z, kl: log_px_z + kl, {"kl-added"}),
    ]
    told = check_elbo(lambda model, x: 0).message
    assert "pip install vae_helpers[torch]" in told, told
    for check, fn, codes in cases:
        report = check(fn)
        assert report.codes == frozenset(codes), f"{check.__name__}: {report}"


def files() -> None:
    """What is shipped is installed, each data set with its license."""
    shipped = Path(importlib.util.find_spec("vae_helpers").origin).parent / "shipped"
    for name in (
        "mnist/mnist.npz",
        "mnist/LICENSE",
        "fashion/t10k-images-idx3-ubyte.gz",
        "fashion/t10k-labels-idx1-ubyte.gz",
        "fashion/LICENSE",
        "weights/latent_2.safetensors",
    ):
        assert (shipped / name).is_file(), f"{name} is not installed"


def main() -> None:
    """All of it, in an environment without PyTorch."""
    for name in ("torch", "matplotlib", "ipywidgets", "IPython", "tqdm"):
        assert importlib.util.find_spec(name) is None, f"{name} is installed here"
    numerics()
    checks()
    files()
    assert all(module.__doc__ for module in (notebook_00, notebook_01, notebook_02, notebook_03, notebook_04))
    assert "torch" not in sys.modules
    version = importlib.metadata.version("vae_helpers")
    print(f"vae_helpers {version}, NumPy {np.__version__}, SciPy {scipy.__version__}: right")


if __name__ == "__main__":
    main()
