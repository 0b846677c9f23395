"""How a whole model's ELBO draws z: its average over many draws against quadrature."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from vae_helpers.checks.engine.calling import Failed, Student
from vae_helpers.checks.engine.fitting import Reading
from vae_helpers.checks.engine.report import Finding
from vae_helpers.checks.parts.elbo.probe_models import PIXELS, draw_images, encode, guarded, probe_model
from vae_helpers.checks.parts.kl import KL

if TYPE_CHECKING:
    import torch

    from vae_helpers.models.vae import VAE

Array = NDArray[np.float64]
COPIES = 600  # draws for each image when an average over the noise is asked for
IMAGES = 6
SLOPE = 1.5  # how much the probed decoder depends on z
SIZES = 0.01, 0.1, 0.5, 2.0  # of noise that is scaled by hand
# What the log-likelihood may be or be replaced by, for each pixel, as a function of x and the logits.
LIKELIHOODS: dict[str, Callable[[Array, Array], Array]] = {
    "log p(x | z)": lambda x, a: x * a - np.logaddexp(0, a),
    "the squared distance": lambda x, a: (x - special.expit(a)) ** 2,
    "the squared distance of logits": lambda x, a: (x - a) ** 2,
}


def sampling_findings(fn: Callable[..., Any], reading: Reading, reduced: str) -> list[Finding]:
    """Whether z is drawn from q: the average over many draws against quadrature.

    Args:
        fn: takes a model and images.
        reading: what its value is a sum of, where the decoder ignores z.
        reduced: "wholly" or "partly" if it averages or sums over the batch; else empty.
    """
    import torch

    model = probe_model(1, slope=SLOPE)
    images = draw_images(np.random.default_rng(9), IMAGES, PIXELS)[0]
    mu, v = encode(model, images)
    kind = next(name for name in LIKELIHOODS if name in reading.coefficients)
    factor = reading.coefficients[kind]
    try:
        values = _values(guarded(fn, 1, slope=SLOPE), images, reduced)
    except (Failed, ValueError):
        return []
    rest = sum(
        value * KL.terms[name](mu, v).reshape(IMAGES, -1).sum(-1)
        for name, value in reading.coefficients.items()
        if name in KL.terms
    )
    terms = (values - np.asarray(rest).reshape(-1, 1)) / factor
    mean, spread = terms.mean(1), terms.std(1)
    allowed = 5.5 * spread / np.sqrt(terms.shape[1]) + 2e-3
    wanted = dict(_expectations(kind, model, images, mu, v))
    findings: list[Finding] = []
    if np.all(np.abs(mean - wanted["mean"]) < 2e-3) and spread.max() < 2e-3:
        return [
            Finding(
                "noise-missing",
                "The mean of q is decoded, not a draw from it: that is no estimate of the expectation, and "
                "the value is no bound on log p(x).",
            )
        ]
    shared = Finding(
        "noise-shared", "All rows of a batch use the same noise; each image needs a draw of its own."
    )
    if reduced != "partly":
        if spread.max() < 2e-3 and not np.all(np.abs(mean - wanted["q"]) < 5e-3):
            return [shared]
        # An average over many draws of its own hardly varies; one over a single draw does.
        if reduced and np.all(spread > 0.2 * np.sqrt(wanted["q squared"] - wanted["q"] ** 2)):
            return [shared]
    if not np.all(np.abs(mean - wanted["q"]) < allowed):
        named = {
            "variance": Finding("var-for-std", "z is drawn with σ² in place of σ."),
            "unit": Finding(
                "std-missing", "z is drawn with a standard deviation of 1, whatever log_var says."
            ),
            "uniform": Finding("noise-not-normal", "The noise of z is uniform between 0 and 1."),
            "prior": Finding("term-wrong", "z is drawn from the prior instead of q."),
            "log": Finding("term-wrong", "log_var itself is used as the standard deviation of z."),
            **{
                f"{size:g} of σ": Finding("term-scale", f"The noise of z has {size:g} times the size of σ.")
                for size in SIZES
            },
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
    if not findings and (names := _detached(fn, torch.tensor(images, dtype=torch.float32), reading)):
        text = f"The log-likelihood sends no gradient through z to {names}: z is cut off from it."
        findings.append(Finding("not-differentiable", text))
    return findings


def _values(student: Student, images: Array, reduced: str) -> Array:
    """Values for each image and many draws, shape (images, draws).

    A function that sums or averages over the batch gets batches of copies of one image; one that
    does so with a part of its value gets images one at a time.
    """
    if reduced == "partly":
        return np.array([[student(image[None]).sum() for _ in range(60)] for image in images])
    copies = COPIES
    if not reduced:
        student(images)
        copies = COPIES if student.seconds * COPIES < 3 else COPIES // 5
        return student(np.repeat(images, copies, axis=0)).reshape(len(images), copies, -1).sum(-1)
    one = student(images[:1]).sum()
    many = student(np.repeat(images[:1], copies, axis=0)).sum()
    count = copies if abs(many / one) > copies / 4 else 1
    batches = [np.repeat(image[None], copies, axis=0) for image in images]
    return np.array([[student(batch).sum() / count for _ in range(6)] for batch in batches])


def _expectations(kind: str, model: VAE, images: Array, mu: Array, v: Array) -> Iterator[tuple[str, Array]]:
    """E[log p(x given z)] by quadrature for the right distribution of z and for wrong ones."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    uniform, uniform_weights = np.polynomial.legendre.leggauss(40)
    std = np.exp(v / 2)
    yield "q", _average(kind, model, images, mu + std * nodes, weights)
    yield "q squared", _average(kind, model, images, mu + std * nodes, weights, power=2)
    for size in SIZES:
        yield f"{size:g} of σ", _average(kind, model, images, mu + size * std * nodes, weights)
    yield "mean", _average(kind, model, images, mu, np.ones(1))
    yield "variance", _average(kind, model, images, mu + std**2 * nodes, weights)
    yield "unit", _average(kind, model, images, mu + nodes, weights)
    yield "log", _average(kind, model, images, mu + v * nodes, weights)
    yield "prior", _average(kind, model, images, np.broadcast_to(nodes, (len(mu), 60)), weights)
    yield "uniform", _average(kind, model, images, mu + std * (uniform + 1) / 2, uniform_weights / 2)


def _average(kind: str, model: VAE, images: Array, z: Array, weights: Array, power: int = 1) -> Array:
    """Σ_k w_k log p(x given z_k), or what replaces it, for each image; z of shape (images, nodes)."""
    first, second = model.decoder[0], model.decoder[2]
    hidden = np.tanh(
        z[..., None] * first.weight.detach().double().numpy()[:, 0] + first.bias.detach().double().numpy()
    )
    logits = hidden @ second.weight.detach().double().numpy().T + second.bias.detach().double().numpy()
    return LIKELIHOODS[kind](images[:, None], logits).sum(-1) ** power @ weights


def has_gradient(fn: Callable[..., Any]) -> bool:
    """Whether a value of the function can be differentiated at all."""
    import torch

    x = torch.tensor(draw_images(np.random.default_rng(9), 2, PIXELS)[0], dtype=torch.float32)
    try:
        value = Student(fn).raw(copy.deepcopy(probe_model(1, slope=SLOPE)), x)
    except Failed:
        return True  # nothing can be said
    return isinstance(value, torch.Tensor) and value.requires_grad


def _detached(fn: Callable[..., Any], x: torch.Tensor, reading: Reading) -> str:
    """What gets no gradient through z: for it, the encoder's gradient is that of the KL's terms alone."""
    import torch

    model = copy.deepcopy(probe_model(1, slope=SLOPE))
    bias = model.encoder[2].bias  # of mu, and of log_var
    try:
        with torch.enable_grad():
            value = Student(fn).raw(model, x)
    except Failed:
        return ""
    if not isinstance(value, torch.Tensor) or not value.requires_grad:
        return ""  # a value without gradients, for looking at only
    (found,) = torch.autograd.grad(value.sum(), bias, allow_unused=True)
    if found is None:
        return "mu and log_var"
    mu, log_var = model.encode(x)
    terms = {"1": 0 * mu, "μ²": mu**2, "σ²": log_var.exp(), "log σ²": log_var}
    if not set(reading.coefficients) <= {*terms, *LIKELIHOODS}:
        return ""
    alone = sum((c * terms[n].sum() for n, c in reading.coefficients.items() if n in terms), 0 * mu.sum())
    (expected,) = torch.autograd.grad(alone, bias)
    names = []
    for name, given, of_kl in zip(("mu", "log_var"), found.chunk(2), expected.chunk(2), strict=True):
        # The function may sum or average over the batch.
        slack = 2e-5 * float(found.abs().max())
        if any(torch.allclose(given, of_kl / count, rtol=2e-5, atol=slack) for count in (1, len(x))):
            names.append(name)
    return " and ".join(names)
