"""How a whole model's ELBO draws z: its average over many draws against quadrature."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from vae_helpers.checks.calling import Failed, Student
from vae_helpers.checks.fitting import Reading
from vae_helpers.checks.kl import KL
from vae_helpers.checks.probe_models import PIXELS, draw_images, encode, guarded, probe_model
from vae_helpers.checks.report import Finding

if TYPE_CHECKING:
    import torch

    from vae_helpers.models import VAE

Array = NDArray[np.float64]
COPIES = 600  # draws for each image when an average over the noise is asked for
IMAGES = 6
# What the log-likelihood may be or be replaced by, for each pixel, as a function of x and the logits.
LIKELIHOODS: dict[str, Callable[[Array, Array], Array]] = {
    "log p(x | z)": lambda x, a: x * a - np.logaddexp(0, a),
    "the squared distance": lambda x, a: (x - special.expit(a)) ** 2,
    "the squared distance of logits": lambda x, a: (x - a) ** 2,
}


def sampling_findings(fn: Callable[..., Any], reading: Reading, reduced: bool) -> list[Finding]:
    """Whether z is drawn from q: the average over many draws against quadrature.

    Args:
        fn: takes a model and images.
        reading: what its value is a sum of, where the decoder ignores z.
        reduced: whether it averages or sums over the batch.
    """
    import torch

    model = probe_model(1, slope=1.5)
    x = np.repeat(draw_images(np.random.default_rng(9), IMAGES, PIXELS)[0], COPIES, axis=0)
    mu, v = encode(model, x[::COPIES])
    kind = next(name for name in LIKELIHOODS if name in reading.coefficients)
    factor = reading.coefficients[kind]
    student = guarded(fn, 1, slope=1.5)
    try:
        if reduced:
            values = _reduced_values(student, x)
        else:
            values = student(x)
            values = values.reshape(IMAGES, COPIES, -1).sum(-1)
    except (Failed, ValueError):
        return []
    rest = sum(
        value * {**KL.core, **KL.extras, **KL.whole}[name](mu, v).reshape(IMAGES, -1).sum(-1)
        for name, value in reading.coefficients.items()
        if name in KL.core or name in KL.extras or name in KL.whole
    )
    terms = (values - np.asarray(rest).reshape(-1, 1)) / factor
    mean, spread = terms.mean(1), terms.std(1)
    allowed = 5.5 * spread / np.sqrt(terms.shape[1]) + 2e-3
    wanted = dict(_expectations(kind, model, x[::COPIES], mu, v))
    findings: list[Finding] = []
    if np.all(np.abs(mean - wanted["mean"]) < 2e-3) and spread.max() < 2e-3:
        return [
            Finding(
                "noise-missing",
                "The mean of q is decoded, not a draw from it: that is no estimate of the expectation, and "
                "the value is no bound on log p(x).",
            )
        ]
    if spread.max() < 2e-3 and terms.shape[1] > 1 and not np.all(np.abs(mean - wanted["q"]) < 5e-3):
        return [
            Finding(
                "noise-shared", "All rows of a batch use the same noise; each image needs a draw of its own."
            )
        ]
    if not np.all(np.abs(mean - wanted["q"]) < allowed):
        named = {
            "variance": Finding("var-for-std", "z is drawn with σ² in place of σ."),
            "unit": Finding(
                "std-missing", "z is drawn with a standard deviation of 1, whatever log_var says."
            ),
            "uniform": Finding("noise-not-normal", "The noise of z is uniform between 0 and 1."),
            "prior": Finding("term-wrong", "z is drawn from the prior instead of q."),
            "log": Finding("term-wrong", "log_var itself is used as the standard deviation of z."),
        }
        for name, finding in named.items():
            if np.all(np.abs(mean - wanted[name]) < allowed):
                findings.append(finding)
                break
        else:
            findings.append(
                Finding(
                    "term-wrong", "The average over many calls is not the expectation over q: how is z drawn?"
                )
            )
    if not findings and _detached(fn, model, torch.tensor(x[:: COPIES // 4], dtype=torch.float32), reading):
        findings.append(
            Finding(
                "not-differentiable",
                "The log-likelihood sends no gradient through z to the encoder: z is cut off from mu and "
                "log_var.",
            )
        )
    return findings


def _reduced_values(student: Student, x: Array) -> Array:
    """Values of each image from batches of its copies, for a function that averages or sums over them."""
    one = student(x[:1]).sum()
    two = student(x[:COPIES]).sum()
    count = COPIES if abs(two / one) > COPIES / 4 else 1
    groups = [x[n * COPIES : (n + 1) * COPIES] for n in range(IMAGES)]
    return np.array([[student(group).sum() / count for _ in range(6)] for group in groups])


def _expectations(kind: str, model: VAE, x: Array, mu: Array, v: Array) -> Iterator[tuple[str, Array]]:
    """E[log p(x given z)] by quadrature for the right distribution of z and for wrong ones."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    uniform, uniform_weights = np.polynomial.legendre.leggauss(40)
    std = np.exp(v / 2)
    yield "q", _average(kind, model, x, mu + std * nodes, weights)
    yield "mean", _average(kind, model, x, mu, np.ones(1))
    yield "variance", _average(kind, model, x, mu + std**2 * nodes, weights)
    yield "unit", _average(kind, model, x, mu + nodes, weights)
    yield "log", _average(kind, model, x, mu + v * nodes, weights)
    yield "prior", _average(kind, model, x, np.broadcast_to(nodes, (len(mu), 60)), weights)
    yield "uniform", _average(kind, model, x, mu + std * (uniform + 1) / 2, uniform_weights / 2)


def _average(kind: str, model: VAE, x: Array, z: Array, weights: Array) -> Array:
    """Σ_k w_k log p(x given z_k), or what replaces it, for each image; z of shape (images, nodes)."""
    first, second = model.decoder[0], model.decoder[2]
    hidden = np.tanh(
        z[..., None] * first.weight.detach().double().numpy()[:, 0] + first.bias.detach().double().numpy()
    )
    logits = hidden @ second.weight.detach().double().numpy().T + second.bias.detach().double().numpy()
    return LIKELIHOODS[kind](x[:, None], logits).sum(-1) @ weights


def has_gradient(fn: Callable[..., Any]) -> bool:
    """Whether a value of the function can be differentiated at all."""
    import torch

    x = torch.tensor(draw_images(np.random.default_rng(9), 2, PIXELS)[0], dtype=torch.float32)
    try:
        value = Student(fn).raw(copy.deepcopy(probe_model(1, slope=1.5)), x)
    except Failed:
        return True  # nothing can be said
    return isinstance(value, torch.Tensor) and value.requires_grad


def _detached(fn: Callable[..., Any], model: VAE, x: torch.Tensor, reading: Reading) -> bool:
    """Whether the encoder's gradient is that of the KL's terms alone."""
    import torch

    model = copy.deepcopy(model)
    bias = model.encoder[2].bias
    try:
        with torch.enable_grad():
            value = Student(fn).raw(model, x)
    except Failed:
        return False
    if not isinstance(value, torch.Tensor) or not value.requires_grad:
        return False  # a value without gradients, for looking at only
    (found,) = torch.autograd.grad(value.sum(), bias, allow_unused=True)
    if found is None:
        return True
    with torch.enable_grad():
        mu, log_var = model.encode(x)
        terms = {"1": 0 * mu, "μ²": mu**2, "σ²": log_var.exp(), "log σ²": log_var}
        if not set(reading.coefficients) <= {*terms, *LIKELIHOODS}:
            return False
        alone = sum(c * terms[n].sum() for n, c in reading.coefficients.items() if n in terms)
        if not isinstance(alone, torch.Tensor):
            return bool((found == 0).all())
        (expected,) = torch.autograd.grad(alone, bias)
    # Up to a factor: the function may average over the batch.
    aligned = (found @ expected) / (expected @ expected) * expected
    return bool(torch.allclose(found, aligned, rtol=2e-5, atol=2e-5 * float(found.abs().max())))
