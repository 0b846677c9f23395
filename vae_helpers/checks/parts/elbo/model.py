"""The ELBO of a whole model: its likelihood, its KL, how they are joined, and how z is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_helpers.checks.engine.calling import Failed
from vae_helpers.checks.engine.fitting import Reading, Terms, agrees, in_words, read, same
from vae_helpers.checks.engine.formula import CONSTANT, name_mistakes, overall_scale
from vae_helpers.checks.engine.measuring import Measurement, Sample, measure
from vae_helpers.checks.engine.report import Finding, Report, report, said
from vae_helpers.checks.engine.settings import has_torch
from vae_helpers.checks.parts.elbo.likelihoods import AS_PROBABILITIES, LIKELIHOODS, NONE, RIGHT, Likelihood
from vae_helpers.checks.parts.elbo.probe_models import PIXELS, draw_images, encode, guarded, probe_model
from vae_helpers.checks.parts.elbo.same_noise import terms_of_model
from vae_helpers.checks.parts.elbo.sampling import has_gradient, sampling_findings
from vae_helpers.checks.parts.kl import KL
from vae_helpers.numerics._validate import Array
from vae_helpers.numerics.gaussian import kl_standard_normal

if TYPE_CHECKING:
    from vae_helpers.models.vae import VAE

EXERCISE = "The ELBO"
WHERE = "notebook 2, section 5"
NO_GRADIENT = "your value carries no gradient, which is fine for looking at it; for training it needs one."
NO_TORCH = said("""error: The ELBO of a model is checked with a model of PyTorch, which is not installed here:
    `pip install vae_helpers[torch]`.""")
KL_ADDED = said("""kl-added: The KL has the same sign as the log-likelihood, from which it is to be
    subtracted.""")
KL_MISSING = said("term-missing: The KL is not in your value at all.")
LOSS = said("sign: This is the loss, minus the ELBO; the bound itself is asked for.")
MEAN_PIXELS = said("""mean-pixels: The log-likelihood is a mean over the pixels, the KL a sum over the
    latents: the KL counts 784 times.""")
UNKNOWN = said("""unknown: This fits no mistake that is known here. Compare the parts one by one, for one
    image.""")


def check_model(fn: Callable[..., Any]) -> Report:
    """Checks a function of a model and images.

    Its encoder is first joined to a decoder that ignores z, so that the value is an exact sum of
    terms; then to one whose expectation over q is known by quadrature.

    Args:
        fn: takes a `VAE` and x, (batch, 784); returns the ELBO of each image, (batch,).

    Raises:
        Failed: it gave nothing that can be compared.
    """
    if not has_torch():
        raise Failed(NO_TORCH)
    measurement, reading = _read(fn)
    if reading is None:
        unknown = [UNKNOWN] if measurement.samples else []
        return report(EXERCISE, [*measurement.findings, *unknown], where=WHERE)
    findings = [*measurement.findings, *_name_parts(reading)]
    judged_by = ""
    # Of what is random and mixes the batch the KL varies as well, and z cannot be seen.
    hidden = measurement.mixes_rows and (measurement.noise or not measurement.samples)
    if not hidden and any(LIKELIHOODS[name].averaged for name in _likelihoods(reading)):
        wrong, judged_by = sampling_findings(fn, reading, _reduced(measurement))
        findings += wrong
    notes = [] if findings or has_gradient(fn) else [NO_GRADIENT]
    if judged_by and not findings:
        notes.append(judged_by)
    return report(EXERCISE, findings, _example(measurement) if findings else "", notes, WHERE)


def _likelihoods(reading: Reading | None) -> list[str]:
    return [name for name in LIKELIHOODS if reading is not None and name in reading.coefficients]


def _reduced(measurement: Measurement) -> str:
    """Whether the function mixes the images of a batch, "wholly" or only "partly"."""
    one_by_one = bool(measurement.samples) and measurement.samples[0].rows[0].shape[1] == 1
    return ("partly" if one_by_one else "wholly") if measurement.mixes_rows else ""


def _value(coefficients: Mapping[str, float]) -> Callable[..., Array]:
    """A sum of terms as a function of the rows mu, log_var, x and the logits."""
    return lambda *rows: sum(c * CORE[name](*rows).sum(-1) for name, c in coefficients.items())


def _of_latents(terms: Terms) -> dict[str, Callable[..., Array]]:
    return {name: lambda mu, v, x, a, term=term: term(mu, v) for name, term in terms.items()}


def _truth(mu: Array, v: Array, x: Array, a: Array) -> Array:
    return LIKELIHOODS[RIGHT].of_pixel(x, a).sum(-1) - kl_standard_normal(mu, v)


OF_PIXELS = {name: lambda mu, v, x, a, row=row: row.of_pixel(x, a) for name, row in LIKELIHOODS.items()}
OF_KL = _of_latents(KL.core)
CORE = {RIGHT: OF_PIXELS[RIGHT], **OF_KL}
WRONG_LIKELIHOODS = {name: term for name, term in OF_PIXELS.items() if name != RIGHT}
EXTRAS = {**WRONG_LIKELIHOODS, **_of_latents({**KL.extras, **KL.whole})}
TRUE = {RIGHT: 1.0, **{name: -coefficient for name, coefficient in KL.true.items()}}


def _read(fn: Callable[..., Any]) -> tuple[Measurement, Reading | None]:
    """The function's values, and the sum of terms that they are; None if they are none."""
    failure, measurement, reading = None, Measurement(), None
    try:
        measurement, reading = _read_with(fn, unit=False)
    except Failed as failed:
        if failed.finding.code != "error":
            raise
        failure = failed
    likelihoods = _likelihoods(reading)
    doubtful = len(likelihoods) != 1 or LIKELIHOODS[likelihoods[0]].doubtful
    if doubtful and (failure or measurement.samples):
        # Perhaps the logits are taken for probabilities: then let them be some.
        try:
            other, as_probabilities = _read_with(fn, unit=True)
        except Failed:
            other, as_probabilities = Measurement(), None
        if as_probabilities and (reading is None or AS_PROBABILITIES in as_probabilities.coefficients):
            return other, as_probabilities
    if failure:
        raise failure
    return measurement, reading


def _read_with(fn: Callable[..., Any], unit: bool) -> tuple[Measurement, Reading | None]:
    """The same for a decoder that ignores z, with logits that could be probabilities or not."""
    both = Measurement()
    for latents in (3, 5):
        measurement = measure(guarded(fn, latents, unit=unit), draw_images, (PIXELS,), "pixels")
        if not measurement.samples:  # perhaps random, and summed over the batch
            hidden = measurement.mixes_rows and not unit
            return measurement, terms_of_model(fn, reduced=True) if hidden else None
        both.findings = both.findings or measurement.findings
        both.samples.append(_with_latents(measurement.samples[0], probe_model(latents, unit)))
    if both.noise and not unit and (exact := terms_of_model(fn, both.mixes_rows)):
        return both, exact
    if all(agrees(sample, _truth) for sample in both.samples):
        return both, Reading(TRUE, frozenset())
    if both.noise:
        return both, _read_noisy(both)
    # Likelihoods are linear in x and can imitate each other; one that alone explains it all comes first.
    for name, term in OF_PIXELS.items():
        reading = read(both, {name: term, **OF_KL}, {}, max_extras=0)
        if reading is not None and CONSTANT not in reading.averaged | reading.grown:
            return both, reading
    return both, read(both, CORE, EXTRAS, max_extras=2)


def _with_latents(sample: Sample, model: VAE) -> Sample:
    """The sample of images with mu, log_var, x and the logits as its rows."""
    n, group, _ = sample.rows[0].shape
    x = sample.rows[0].reshape(n * group, -1)
    logits = np.broadcast_to(model.decoder[2].bias.detach().double().numpy(), x.shape)
    rows = tuple(row.reshape(n, group, -1) for row in (*encode(model, x), x, logits))
    return Sample(rows, sample.values, sample.errors)


def _read_noisy(measurement: Measurement) -> Reading | None:
    """The likely factors of likelihood and KL in a random function; None if none fits or several do."""
    fitting = []
    for likelihood, divergence in product((1, -1, 0, 2, 1 / PIXELS, -1 / PIXELS), (1, -1, 0, 2, 0.5)):
        beside = likelihood if abs(likelihood) > 0.1 else np.sign(likelihood) or 1  # a mean over the pixels
        factors = {name: beside * divergence for name in OF_KL} | {RIGHT: likelihood}
        coefficients = {name: factors[name] * c for name, c in TRUE.items() if factors[name]}
        if coefficients and all(agrees(sample, _value(coefficients)) for sample in measurement.samples):
            fitting.append(Reading(coefficients, frozenset()))
    if fitting:
        return fitting[0] if len(fitting) == 1 else None
    # Off by a constant for each latent?
    offsets = [np.mean(s.values - s.column(_truth)) / s.rows[0].shape[-1] for s in measurement.samples]
    offset = float(np.mean(offsets))
    coefficients = {**TRUE, CONSTANT: TRUE[CONSTANT] + offset}
    agree = abs(offset) > 0.1 and all(agrees(s, _value(coefficients)) for s in measurement.samples)
    return Reading(coefficients, frozenset()) if agree else None


def _name_parts(reading: Reading) -> list[Finding]:
    """The mistakes of a whole model: of its likelihood, of its KL, and of how they are joined."""
    name = next(iter(_likelihoods(reading)), "")
    likelihood = LIKELIHOODS.get(name, NONE)
    factor = likelihood.sign * reading.coefficients.get(name, 0.0)
    divergence = {n: -value for n, value in reading.coefficients.items() if n not in LIKELIHOODS}
    findings = [likelihood.finding] if likelihood.finding else []
    if not set(divergence) & (set(KL.terms) - {CONSTANT}):
        return [*findings, KL_MISSING, *_join(likelihood, factor, 1.0 if factor > 0 else -1.0)]
    inner = name_mistakes(KL, Reading(divergence, reading.averaged - {name}))
    inner = [finding for finding in inner if finding.code not in {"sign", "half", "scale"}]
    return [*findings, *_join(likelihood, factor, overall_scale(KL, KL.relative(divergence))), *inner]


def _join(likelihood: Likelihood, factor: float, divergence: float) -> list[Finding]:
    """What is wrong with the factors of the likelihood (0: it is not there) and of minus the KL."""
    findings: list[Finding] = []
    if factor < 0:
        factor, divergence = -factor, -divergence
        findings.append(LOSS)
    if divergence < 0:
        divergence = -divergence
        findings.append(KL_ADDED)
    has_right_factor = bool(factor) and likelihood.sign > 0
    if has_right_factor and same(factor, divergence) and not same(factor, 1):
        text = f"The value is {in_words(factor)} times the ELBO."
        return [*findings, Finding("half" if same(factor, 2) else "scale", text)]
    if same(factor * PIXELS, 1):
        findings.append(MEAN_PIXELS)
    elif has_right_factor and not same(factor, 1):
        findings.append(said(f"term-scale: The log-likelihood counts {in_words(factor)} times."))
    if same(divergence, 2):
        findings.append(said("half: The KL counts twice: a factor ½ is lost."))
    elif not same(divergence, 1):
        counts = f"The KL counts {in_words(divergence)} times"
        bound = "this is no bound on log p(x)" if divergence < 1 else "this is a bound, but not the ELBO"
        findings.append(
            said(f"term-scale: {counts}; with a factor {'below' if divergence < 1 else 'above'} 1 {bound}.")
        )
    return findings


def _example(measurement: Measurement) -> str:
    if not measurement.samples:
        return ""
    sample = measurement.samples[0]
    value, right = float(sample.values[0]), float(sample.column(_truth)[0])
    likelihood = float(sample.column(OF_PIXELS[RIGHT])[0])
    divergence = likelihood - right
    if abs(value - right) <= 1e-3 * abs(likelihood):
        return ""
    image = f"an image with log p(x | z) = {likelihood:.4g} for every z, and a KL of {divergence:.4g}"
    return f"For {image}, your function gives {value:.4g}."
