"""Whether the gradient of a number reaches the encoder through z."""

from __future__ import annotations

import torch
from torch import Tensor

from vae_helpers.audit.calls import SIZES, Call
from vae_helpers.audit.reading import LossReading, draw_of
from vae_helpers.audit.report import Check
from vae_helpers.audit.subject import Subject
from vae_helpers.audit.terms import KL_CLOSED, KL_DRAWN, SQUARED
from vae_helpers.checks.parts.elbo.likelihoods import RIGHT
from vae_helpers.models.objectives import kl_standard_normal

GRADIENT = "a gradient reaches the encoder through z"
UNKNOWN = Check(GRADIENT, "untested", "", "it could not be told apart from that of the other terms")


def judge_gradient(subject: Subject, reading: LossReading, call: Call) -> Check:
    """Whether the log-likelihood's gradient reaches the encoder through z.

    Args:
        subject: the model.
        reading: what the loss is.
        call: a call of it, with the gradient that its result carries.
    """
    value, z = call.result, draw_of(call, reading)
    if not isinstance(value, Tensor) or not value.requires_grad:
        return Check(GRADIENT, "untested", "", "the number carries no gradient")
    if z is None or reading.likelihood not in (RIGHT, SQUARED):
        return UNKNOWN
    with torch.enable_grad():
        mu, log_var = subject.encode(call.x)
        leaves = [p for m in subject.modules for p in m.parameters() if p.requires_grad] + [call.x]
        touched = torch.autograd.grad(mu.sum() + log_var.sum(), leaves, allow_unused=True)
        leaves = [leaf for leaf, gradient in zip(leaves, touched, strict=True) if gradient is not None]
        if not leaves:
            return UNKNOWN
        leaves = leaves[:-1] or leaves  # weights, or the images where none were found
        given = _flat(torch.autograd.grad(value.sum(), leaves, allow_unused=True), leaves)
        whole = _flat(_gradient(subject, reading, call.x, z, leaves, cut=False), leaves)
        alone = _flat(_gradient(subject, reading, call.x, z, leaves, cut=True), leaves)
    through = (whole - alone).norm()
    if through < 1e-3 * whole.norm():
        return UNKNOWN
    if (given - whole).norm() < 0.02 * max(whole.norm(), through):
        return Check(GRADIENT, "right")
    if (given - alone).norm() < 0.02 * max(alone.norm(), through):
        text = "none does: z is cut off; trained by this number, the encoder would learn from the KL alone"
        return Check(GRADIENT, "wrong", "not-differentiable", text)
    return UNKNOWN


def _gradient(
    subject: Subject, reading: LossReading, x: Tensor, drawn: Tensor, leaves: list[Tensor], cut: bool
) -> tuple[Tensor | None, ...]:
    """The gradient of the sum of terms that the loss is, with z cut off or not."""
    fit = reading.fits[min(SIZES)]
    mu, log_var = subject.encode(x)
    std = torch.exp(0.5 * log_var)
    eps = ((drawn.to(mu) - mu) / std).detach()
    z = mu + std * eps
    z = z.detach() if cut else z
    output = subject.decode(z)
    if reading.likelihood == RIGHT:
        term = subject.log_prob(x, output, z.shape[:-1])
    else:
        term = ((x - subject.mean(output)) ** 2).sum(-1)
    total = fit.coefficients[reading.likelihood] * term.mean()
    parts = {
        KL_CLOSED: kl_standard_normal(mu, log_var),
        KL_DRAWN: 0.5 * (z**2 - ((z - mu) / std) ** 2 - log_var).sum(-1),
        "μ²": (mu**2).sum(-1),
        "σ²": (std**2).sum(-1),
        "log σ²": log_var.sum(-1),
    }
    for name, part in parts.items():
        total = total + fit.coefficients.get(name, 0.0) * part.mean()
    return torch.autograd.grad(total, leaves, allow_unused=True)


def _flat(gradients: tuple[Tensor | None, ...], leaves: list[Tensor]) -> Tensor:
    filled = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, leaves, strict=True)]
    return torch.cat([g.flatten() for g in filled])
