"""What an ELBO may be made of, and what mistakes put in its place: averages over a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import logit
from torch import Tensor

from vae_helpers.audit.calls import Call
from vae_helpers.audit.subject import ENCODER_GIVES, SECOND, Subject
from vae_helpers.checks.parts.elbo.likelihoods import LIKELIHOODS, RIGHT
from vae_helpers.checks.parts.kl import KL
from vae_helpers.numerics._validate import Array
from vae_helpers.numerics.gaussian import kl_standard_normal

SQUARED, ABSOLUTE = "the squared distance", "the absolute distance"


KL_CLOSED, KL_DRAWN, CONSTANT = "the KL", "the KL of the draws", "1"


READ = ((), (CONSTANT,))


FAMILIES = [
    (KL_CLOSED,),
    (KL_DRAWN,),
    (),
    (KL_CLOSED, CONSTANT),
    (KL_DRAWN, CONSTANT),
    (CONSTANT,),
    *((f"{kl} by {kind}", *rest) for kind in ENCODER_GIVES for kl in (KL_CLOSED, KL_DRAWN) for rest in READ),
    ("μ²", "σ²", "log σ²", CONSTANT),
    ("z²", "ε²", "log σ²", CONSTANT),
    ("μ²", "σ²", "log σ²", "z²", "ε²", CONSTANT),
    ("μ²/σ²", "1/σ²", "log σ²", CONSTANT),
    *(("μ²", "σ²", "log σ²", CONSTANT, extra) for extra in {**KL.extras, **KL.whole}),
]


def pixel_terms(subject: Subject) -> dict[str, Callable[[Tensor, Tensor], Array]]:
    """What may stand for the log-likelihood: functions of images and outputs, summed over pixels."""

    def with_means(term: Callable[[Array, Array], Array]) -> Callable[[Tensor, Tensor], Array]:
        return lambda x, output: term(x.double().cpu().numpy(), _double(subject.mean(output))).sum(-1)

    def with_logits(term: Callable[[Array, Array], Array]) -> Callable[[Tensor, Tensor], Array]:
        return lambda x, output: term(x.double().cpu().numpy(), _logits(subject, output)).sum(-1)

    distances = {
        SQUARED: with_means(lambda x, m: (x - m) ** 2),
        ABSOLUTE: with_means(lambda x, m: np.abs(x - m)),
    }
    if subject.likelihood == "bernoulli":
        rows = {name: with_logits(row.of_pixel) for name, row in LIKELIHOODS.items()}
        return rows | {ABSOLUTE: distances[ABSOLUTE]}
    if subject.likelihood == "gaussian":  # its constant is told apart below
        wrong = {
            "the cross-entropy of means": with_means(_cross_entropy),
            "the cross-entropy of logits": with_means(LIKELIHOODS[RIGHT].of_pixel),
        }
        return distances | wrong
    right = {RIGHT: lambda x, output: _double(subject.log_prob(x, output, x.shape[:-1]))}
    return right | distances if subject.has_mean else right


def _cross_entropy(x: Array, p: Array) -> Array:
    p = np.clip(p, 0, 1)
    with np.errstate(divide="ignore"):
        white, black = (np.clip(np.log(q), -100, 0) for q in (p, 1 - p))
    return x * white + (1 - x) * black


def _double(value: Tensor) -> Array:
    return value.detach().double().cpu().numpy()


def _logits(subject: Subject, output: Tensor) -> Array:
    if subject.decoder_gives == "logits":
        return _double(output)
    with np.errstate(divide="ignore"):
        return np.clip(logit(_double(output)), -100, 100)


def read_as(call: Call, encoder_gives: str) -> dict[str, Tensor]:
    """log σ² in each other way to read what the encoder gives second, where that makes sense."""
    second = SECOND[encoder_gives](call.log_var)
    others = {kind: to_log_var(second) for kind, to_log_var in ENCODER_GIVES.items() if kind != encoder_gives}
    return {kind: v for kind, v in others.items() if torch.isfinite(v).all()}


def latent_terms(call: Call, z: Tensor, encoder_gives: str) -> dict[str, float]:
    """Averages over the batch of what a KL may be made of."""
    others = {}
    for kind, log_var in read_as(call, encoder_gives).items():
        closed = kl_standard_normal(call.mu.cpu().numpy(), log_var.cpu().numpy())
        drawn = 0.5 * (z**2 - (z - call.mu) ** 2 * torch.exp(-log_var) - log_var).sum(-1)
        others |= {f"{KL_CLOSED} by {kind}": closed.mean(), f"{KL_DRAWN} by {kind}": drawn.mean().item()}
    mu, v = (part.cpu().numpy() for part in (call.mu, call.log_var))
    eps_squared = (((z - call.mu) / call.std) ** 2).sum(-1).mean().item()
    z_squared = (z**2).sum(-1).mean().item()
    values = {name: term(mu, v).sum(-1).mean() for name, term in KL.core.items()}
    values[CONSTANT] = 1.0
    values |= {KL_CLOSED: kl_standard_normal(mu, v).mean(), "z²": z_squared, "ε²": eps_squared}
    values[KL_DRAWN] = 0.5 * (z_squared - eps_squared - values["log σ²"])
    with np.errstate(all="ignore"):
        others |= {name: term(mu, v).sum(-1).mean() for name, term in KL.extras.items()}
        others |= {name: term(mu, v).mean() for name, term in KL.whole.items()}
    return values | others


@torch.no_grad()
def table_of(subject: Subject, calls: list[Call], way: list[Tensor], terms: Any) -> list[dict[str, float]]:
    """For each call the average over the batch of each term."""
    rows = []
    for call, z in zip(calls, way, strict=True):
        values = latent_terms(call, z, subject.encoder_gives)
        outputs = [subject.decode(draw.to(subject.dtype)) for draw in z]
        for name, term in terms.items():
            values[name] = float(np.mean([term(call.x, output).mean() for output in outputs]))
        rows.append(values)
    return rows
