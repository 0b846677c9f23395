"""How a whole model's ELBO draws z: its average over many draws against quadrature."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vae_helpers.checks.engine.calling import Failed, Student
from vae_helpers.checks.engine.fitting import Reading
from vae_helpers.checks.engine.report import Finding, said
from vae_helpers.checks.parts import sampling
from vae_helpers.checks.parts.elbo.likelihoods import LIKELIHOODS
from vae_helpers.checks.parts.elbo.probe_models import PIXELS, draw_images, encode, guarded, probe_model
from vae_helpers.checks.parts.elbo.same_noise import DRAWS, wrong_draws
from vae_helpers.checks.parts.kl import KL
from vae_helpers.numerics._validate import Array

if TYPE_CHECKING:
    import torch

    from vae_helpers.models.vae import VAE

COPIES = 600  # draws for each image when an average over the noise is asked for
IMAGES = 6
ROOM = 5.5  # standard errors that an average may be off
SLOPE = 1.5  # how much the probed decoder depends on z
SHARED = said("noise-shared: All rows of a batch use the same noise; each image needs a draw of its own.")
MEAN_DECODED = said("""noise-missing: The mean of q is decoded, not a draw from it: that is no estimate of the
    expectation, and the value is no bound on log p(x).""")
STD_MISSING = said("std-missing: z is drawn with a standard deviation of 1, whatever log_var says.")
READ_AS_STD = said("term-wrong: log_var itself is used as the standard deviation of z.")
UNKNOWN_DRAW = said("term-wrong: The average over many calls is not the expectation over q: how is z drawn?")
# Noise as nodes and weights of a quadrature.
_nodes, _weights = np.polynomial.hermite_e.hermegauss(60)
NORMAL = _nodes, _weights / _weights.sum()
_nodes, _weights = np.polynomial.legendre.leggauss(40)
UNIFORM = (_nodes + 1) / 2, _weights / 2


class Draw(NamedTuple):
    """A way to draw z, and what is said of it."""

    z: Callable[[Array, Array, Array], Array]  # from mu and log_var, (images, 1), and noise e, (nodes,)
    finding: Finding | None = None  # the mistake; None for the right way
    noise: tuple[Array, Array] = NORMAL


def _scaled(size: float) -> Draw:
    said_of_it = said(f"term-scale: The noise of z has {size:g} times the size of σ.")
    return Draw(lambda mu, v, e: mu + size * np.exp(v / 2) * e, said_of_it)


FROM_Q = Draw(lambda mu, v, e: mu + np.exp(v / 2) * e)
THE_MEAN = Draw(lambda mu, v, e: mu + 0 * e, MEAN_DECODED)
WRONG_DRAWS = [
    Draw(lambda mu, v, e: mu + np.exp(v) * e, said("var-for-std: z is drawn with σ² in place of σ.")),
    Draw(lambda mu, v, e: mu + e, STD_MISSING),
    Draw(FROM_Q.z, said("noise-not-normal: The noise of z is uniform between 0 and 1."), UNIFORM),
    Draw(lambda mu, v, e: 0 * mu + e, said("term-wrong: z is drawn from the prior instead of q.")),
    Draw(lambda mu, v, e: mu + v * e, READ_AS_STD),
    *(_scaled(size) for size in (0.01, 0.1, 0.5, 2.0)),
]


# What is said of a draw, and of the draw of a model.
OF_A_MODEL = {
    sampling.MISSING: MEAN_DECODED,
    sampling.VARIANCE: WRONG_DRAWS[0].finding,
    sampling.STD_MISSING: STD_MISSING,
    sampling.READ_AS_STD: READ_AS_STD,
    sampling.MU_MISSING: WRONG_DRAWS[3].finding,
}


class Probe(NamedTuple):
    """A model whose decoder depends on its only latent, images, and q's mu and log_var for these."""

    model: VAE
    images: Array
    mu: Array
    v: Array

    def average(self, of_pixel: Callable[[Array, Array], Array], draw: Draw, power: int = 1) -> Array:
        """The expectation of the log-likelihood, or of what replaces it, for each image, by quadrature."""
        import torch

        nodes, weights = draw.noise
        z = torch.tensor(draw.z(self.mu, self.v, nodes))[..., None]
        with torch.no_grad():
            logits = copy.deepcopy(self.model.decoder).double()(z).numpy()
        return of_pixel(self.images[:, None], logits).sum(-1) ** power @ weights


@lru_cache(maxsize=1)
def _probe() -> Probe:
    model = probe_model(1, slope=SLOPE)
    images = draw_images(np.random.default_rng(9), IMAGES, PIXELS)[0]
    return Probe(model, images, *encode(model, images))


def sampling_findings(fn: Callable[..., Any], reading: Reading, reduced: str) -> tuple[list[Finding], str]:
    """Whether z is drawn from q, and lets gradients pass; and what that was judged by, in a sentence.

    Args:
        fn: takes a model and images.
        reading: what its value is a sum of, where the decoder ignores z.
        reduced: "wholly" or "partly" if it averages or sums over the batch; else empty.
    """
    name = next(name for name in LIKELIHOODS if name in reading.coefficients)
    row, named = LIKELIHOODS[name], []
    if not reduced:
        seen, average = wrong_draws(fn, row.of_pixel, reading.coefficients[name])
        if sampling.MU_MISSING in (seen or []):
            seen = [finding for finding in seen if finding != sampling.STD_MISSING]
        named = [OF_A_MODEL.get(finding, finding) for finding in seen or []]
        if seen is not None and not average:
            return named or _cut_off(fn, reading), sampling.seen_by(DRAWS)
    try:
        values = _values(guarded(fn, 1, slope=SLOPE), _probe().images, reduced)
    except (Failed, ValueError):
        return [], ""
    for term, coefficient in reading.coefficients.items():
        if term in KL.terms:
            of_kl = coefficient * KL.terms[term](_probe().mu, _probe().v)
            values = values - of_kl.reshape(IMAGES, 1)
    likelihoods = values / reading.coefficients[name]
    wrong = _wrong_draw(likelihoods, row.of_pixel, reduced)
    return (named if wrong and named else wrong) or _cut_off(fn, reading), _seen_on_average(likelihoods)


def _seen_on_average(likelihoods: Array) -> str:
    """What an average of log-likelihoods, (images, draws), would show but for one case in a thousand."""
    error = (ROOM + 3.3) * likelihoods.std(1) / np.sqrt(likelihoods.shape[1])
    if not error.max() > 0.01:
        return ""
    return (
        f"z could not be seen; averages over {likelihoods.shape[1]} values would show an expected "
        f"log-likelihood that is off by {error.max():.2g} nats."
    )


def _wrong_draw(likelihoods: Array, of_pixel: Callable[..., Array], reduced: str) -> list[Finding]:
    """What the average of log-likelihoods, (images, draws), says about the draws, held against quadrature."""
    mean, spread = likelihoods.mean(1), likelihoods.std(1)
    constant = spread.max() < 2e-3

    def is_drawn(draw: Draw, error: Array | float) -> bool:
        return bool(np.all(np.abs(mean - _probe().average(of_pixel, draw)) < error))

    if constant and is_drawn(THE_MEAN, 2e-3):
        return [MEAN_DECODED]
    if reduced != "partly" and constant and not is_drawn(FROM_Q, 5e-3):
        return [SHARED]
    if reduced == "wholly":
        # An average over many draws of its own hardly varies; one over a single draw does.
        variance = _probe().average(of_pixel, FROM_Q, power=2) - _probe().average(of_pixel, FROM_Q) ** 2
        if np.all(spread > 0.2 * np.sqrt(variance)):
            return [SHARED]
    error = ROOM * spread / np.sqrt(likelihoods.shape[1]) + 2e-3
    if is_drawn(FROM_Q, error):
        return []
    return [next((draw.finding for draw in WRONG_DRAWS if is_drawn(draw, error)), UNKNOWN_DRAW)]


def _values(student: Student, images: Array, reduced: str) -> Array:
    """Values for each image and many draws, shape (images, draws).

    A function that sums or averages over the batch gets batches of copies of one image; one that
    does so with a part of its value gets images one at a time.
    """
    if reduced == "partly":
        return np.array([[student(image[None]).sum() for _ in range(60)] for image in images])
    if not reduced:
        student(images)
        copies = COPIES if student.work * COPIES < 3 else COPIES // 5
        return student(np.repeat(images, copies, axis=0)).reshape(len(images), copies, -1).sum(-1)
    batches = [np.repeat(image[None], COPIES, axis=0) for image in images]
    single = student(images[:1]).sum()
    count = COPIES if abs(student(batches[0]).sum() / single) > COPIES / 4 else 1
    return np.array([[student(batch).sum() / count for _ in range(6)] for batch in batches])


def has_gradient(fn: Callable[..., Any]) -> bool:
    """Whether a value of the function can be differentiated at all."""
    try:
        return _differentiable(fn)[2] is not None
    except Failed:
        return True  # nothing can be said


def _differentiable(fn: Callable[..., Any]) -> tuple[VAE, torch.Tensor, torch.Tensor | None]:
    """A model of its own, images, and the function's value for them; None if it carries no gradient."""
    import torch

    for dtype in (torch.float64, torch.float32):  # the likelihood's part of a gradient may be small
        model, images = copy.deepcopy(_probe().model).to(dtype), torch.tensor(_probe().images, dtype=dtype)
        try:
            with torch.enable_grad():
                value = Student(fn).raw(model, images)
            break
        except Failed:
            if dtype == torch.float32:
                raise
    carries = isinstance(value, torch.Tensor) and value.requires_grad
    return model, images, value if carries else None


def _cut_off(fn: Callable[..., Any], reading: Reading) -> list[Finding]:
    """Whether z sends no gradient to mu or log_var: the encoder's is that of the KL's terms alone."""
    import torch

    try:
        model, images, value = _differentiable(fn)
    except Failed:
        return []
    if value is None:  # for looking at only
        return []
    bias = model.encoder[2].bias  # of mu, and of log_var
    (gradient,) = torch.autograd.grad(value.sum(), bias, allow_unused=True)
    if gradient is None:
        return [_no_gradient(["mu", "log_var"])]
    mu, log_var = model.encode(images.to(bias))  # the function may have changed the model's precision
    terms = {"1": 0 * mu, "μ²": mu**2, "σ²": log_var.exp(), "log σ²": log_var}
    if not set(reading.coefficients) <= {*terms, *LIKELIHOODS}:
        return []
    alone = sum((c * terms[n].sum() for n, c in reading.coefficients.items() if n in terms), 0 * mu.sum())
    (expected,) = torch.autograd.grad(alone, bias)
    rounding = 2e-5 if gradient.dtype == torch.float32 else 1e-10
    names, slack = [], rounding * float(gradient.abs().max())
    for name, given, of_kl in zip(("mu", "log_var"), gradient.chunk(2), expected.chunk(2), strict=True):
        # The function may sum or average over the batch.
        if any(torch.allclose(given, of_kl / count, rtol=rounding, atol=slack) for count in (1, IMAGES)):
            names.append(name)
    return [_no_gradient(names)] if names else []


def _no_gradient(names: list[str]) -> Finding:
    return said(f"""not-differentiable: The log-likelihood sends no gradient through z to
        {" and ".join(names)}: z is cut off from it.""")
