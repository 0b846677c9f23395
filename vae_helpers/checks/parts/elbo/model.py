"""The ELBO of a whole model: its likelihood, its KL, how they are joined, and how z is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from vae_helpers.checks.engine.calling import Failed
from vae_helpers.checks.engine.fitting import Reading, agrees, in_words, read, same
from vae_helpers.checks.engine.formula import name_mistakes, overall_scale
from vae_helpers.checks.engine.measuring import Measurement, Sample, measure
from vae_helpers.checks.engine.report import Finding, Report, report
from vae_helpers.checks.parts.elbo.probe_models import PIXELS, draw_images, encode, guarded, probe_model
from vae_helpers.checks.parts.elbo.sampling import LIKELIHOODS, has_gradient, sampling_findings
from vae_helpers.checks.parts.kl import KL
from vae_helpers.numerics.gaussian import kl_standard_normal

if TYPE_CHECKING:
    from vae_helpers.models.vae import VAE

Array = NDArray[np.float64]
EXERCISE = "The ELBO"
WHERE = "notebook 2, section 5"
KL_ADDED = Finding(
    "kl-added",
    "The KL enters with the wrong sign: moving q towards the prior would lower your value, where it should "
    "raise it.",
)

NO_GRADIENT = "your value carries no gradient, which is fine for looking at it; for training it needs one."
UNKNOWN = Finding(
    "unknown", "This fits no mistake that is known here. Compare the parts one by one, for one image."
)


def check_model(fn: Callable[..., Any]) -> Report:
    """Checks a function of a model and images.

    Its encoder is first joined to a decoder that ignores z, so that the value is an exact sum of
    terms; then to one whose expectation over q is known by quadrature.

    Args:
        fn: takes a `VAE` and x, (batch, 784); returns the ELBO of each image, (batch,).
    """
    failure = None
    found, reading = Measurement(), None
    try:
        found, reading = _exact(fn, unit=False)
    except Failed as failed:
        if failed.finding.code != "error":
            return report(EXERCISE, [failed.finding])
        failure = failed.finding
    likelihoods = {"log p(x | z)", *_LIKELIHOODS} & set(reading.coefficients if reading else ())
    doubtful = len(likelihoods) != 1 or bool(likelihoods & _DOUBTFUL)
    if doubtful and (failure or found.samples):
        # Perhaps the logits are taken for probabilities: then let them be some.
        try:
            other, as_probabilities = _exact(fn, unit=True)
        except Failed:
            other, as_probabilities = Measurement(), None
        if as_probabilities is not None and (
            reading is None or _AS_PROBABILITIES in as_probabilities.coefficients
        ):
            found, reading, failure = other, as_probabilities, None
    if failure:
        return report(EXERCISE, [failure])
    if not found.samples:
        return report(EXERCISE, found.findings, notes=found.notes, where=WHERE)
    if reading is None:
        return report(EXERCISE, [*found.findings, UNKNOWN], notes=found.notes, where=WHERE)
    findings = [*found.findings, *_name_parts(reading)]
    if set(LIKELIHOODS) & set(reading.coefficients):
        findings += sampling_findings(fn, reading, _reduced(found))
    notes = [] if findings or found.findings or has_gradient(fn) else [NO_GRADIENT]
    return report(EXERCISE, findings, _model_example(found, findings), notes, WHERE)


def _reduced(found: Measurement) -> str:
    """Whether the function mixes the images of a batch, "wholly" or only "partly"."""
    if all(finding.code != "batch-reduced" for finding in found.findings):
        return ""
    return "wholly" if found.samples[0].rows[0].shape[1] > 1 else "partly"  # the latter was seen one by one


def _exact(fn: Callable[..., Any], unit: bool) -> tuple[Measurement, Reading | None]:
    """Values for a decoder that ignores z, and the sum of terms that they are."""
    merged = Measurement()
    for latents in (3, 5):
        found = measure(guarded(fn, latents, unit=unit), draw_images, (PIXELS,), "pixels")
        if not found.samples:
            return found, None
        merged.findings = merged.findings or found.findings
        merged.samples.append(_with_terms(found.samples[0], probe_model(latents, unit)))
    if all(agrees(sample, _model_truth) for sample in merged.samples):
        return merged, _RIGHT
    if merged.noise:
        return merged, _read_noisy(merged)
    # Likelihoods are linear in x and can imitate each other; one that alone explains it all comes first.
    for name in ("log p(x | z)", *_LIKELIHOODS):
        core = {name: {**_MODEL_CORE, **_MODEL_EXTRAS}[name], **_KL_CORE}
        reading = read(merged, core, {}, max_extras=0)
        if reading is not None and "1" not in reading.averaged | reading.grown:
            return merged, reading
    return merged, read(merged, _MODEL_CORE, _MODEL_EXTRAS, max_extras=2)


def _read_noisy(found: Measurement) -> Reading | None:
    """The likely factors of likelihood and KL in a random function; None if none fits or several do."""
    fitting = []
    for likelihood, divergence in product((1, -1, 0, 2, 1 / PIXELS, -1 / PIXELS), (1, -1, 0, 2, 0.5)):
        reading = Reading(
            {"log p(x | z)": likelihood, **{n: -divergence * likelihood * c for n, c in KL.true.items()}},
            frozenset(),
        )
        if abs(likelihood) < 0.1:
            factor = (likelihood > 0) - (likelihood < 0) or 1
            reading.coefficients.update({n: -divergence * factor * c for n, c in KL.true.items()})
        reading.coefficients = {n: c for n, c in reading.coefficients.items() if c}

        def value(*rows: Array, terms: dict[str, float] = reading.coefficients) -> Array:
            parts = [c * _MODEL_CORE[n](*rows) for n, c in terms.items()]
            return np.sum([p.sum(-1) if p.ndim == 2 else p for p in parts], axis=0)

        if reading.coefficients and all(agrees(sample, value) for sample in found.samples):
            fitting.append(reading)
    if not fitting:  # off by a constant for each latent?
        constants = [
            float(np.mean(sample.values - sample.column(_model_truth))) / sample.rows[0].shape[-1]
            for sample in found.samples
        ]
        constant = float(np.mean(constants))

        def shifted(mu: Array, *rows: Array) -> Array:
            return _model_truth(mu, *rows) + constant * mu.shape[-1]

        if abs(constant) > 0.1 and all(agrees(sample, shifted) for sample in found.samples):
            return Reading({**_RIGHT.coefficients, "1": _RIGHT.coefficients["1"] + constant}, frozenset())
    return fitting[0] if len(fitting) == 1 else None


def _with_terms(sample: Sample, model: VAE) -> Sample:
    """The sample with mu, log_var and the likelihood's relatives as its rows."""
    n, group, _ = sample.rows[0].shape
    x = sample.rows[0].reshape(n * group, -1)
    mu, v = encode(model, x)
    logits = model.decoder[2].bias.detach().double().numpy()
    p = special.expit(logits)
    of_image = [
        x @ special.log_expit(logits) + (1 - x) @ special.log_expit(-logits),
        ((x - p) ** 2).sum(-1),
        ((x - logits) ** 2).sum(-1),
        x @ p - np.logaddexp(0, p).sum(),
        x @ np.log(np.clip(logits, 1e-9, 1)) + (1 - x) @ np.log(np.clip(1 - logits, 1e-9, 1)),
        x @ special.log_expit(logits),
        (1 - x) @ special.log_expit(logits) + x @ special.log_expit(-logits),
        x.sum(-1),
    ]
    rows = [mu, v, *(np.repeat(values[:, None], mu.shape[1], axis=1) for values in of_image)]
    return Sample(tuple(row.reshape(n, group, -1) for row in rows), sample.values, sample.errors)


def _of_image(number: int) -> Callable[..., Array]:
    return lambda mu, v, *of_image: of_image[number][:, 0]


def _of_latents(term: Callable[..., Array]) -> Callable[..., Array]:
    return lambda mu, v, *_: term(mu, v)


def _model_truth(mu: Array, v: Array, likelihood: Array, *_: Array) -> Array:
    return likelihood[:, 0] - kl_standard_normal(mu, v)


_RIGHT = Reading({"log p(x | z)": 1.0, **{name: -value for name, value in KL.true.items()}}, frozenset())
_KL_CORE = {name: _of_latents(term) for name, term in KL.core.items()}
_MODEL_CORE = {"log p(x | z)": _of_image(0), **_KL_CORE}
_AS_PROBABILITIES = "logits as probabilities"
_DOUBTFUL = {"x log p", "flipped", "the number of white pixels"}
_LIKELIHOODS = {
    "the squared distance": 1,
    "the squared distance of logits": 2,
    "probabilities as logits": 3,
    _AS_PROBABILITIES: 4,
    "x log p": 5,
    "flipped": 6,
    "the number of white pixels": 7,
}
_MODEL_EXTRAS = {
    **{name: _of_image(number) for name, number in _LIKELIHOODS.items()},
    **{name: _of_latents(term) for name, term in {**KL.extras, **KL.whole}.items()},
}


def _name_parts(reading: Reading) -> list[Finding]:
    """The mistakes of a whole model: of its likelihood, of its KL, and of how they are joined."""
    coefficients = dict(reading.coefficients)
    findings: list[Finding] = []
    name, likelihood = next(
        ((n, coefficients.pop(n)) for n in ("log p(x | z)", *_LIKELIHOODS) if n in coefficients), ("", 0.0)
    )
    averaged = frozenset(reading.averaged) - {name}
    divergence = {n: -value for n, value in coefficients.items() if n not in _LIKELIHOODS}
    if name in {"the squared distance", "the squared distance of logits"}:
        findings.append(Finding("squared-error", "A squared distance stands where a log-likelihood belongs."))
        likelihood = -likelihood
    elif name in {"probabilities as logits", _AS_PROBABILITIES}:
        findings.append(
            Finding(
                "probabilities-not-logits",
                "Logits and probabilities are confused: what does the decoder return?",
            )
        )
    elif name == "flipped":
        findings.append(Finding("targets-flipped", "White pixels are judged as black ones."))
    elif name == "x log p":
        findings.append(Finding("term-missing", "The black pixels' half of the log-likelihood is not there."))
    elif not name or "the number of white pixels" == name:
        findings.append(Finding("term-missing", "The log-likelihood is not in your value at all."))
    if not set(divergence) & (set(KL.terms) - {"1"}):
        findings.append(Finding("term-missing", "The KL is not in your value at all."))
        return [*findings, *_join(likelihood, 1.0 if likelihood > 0 else -1.0, name)]
    inner = [
        f for f in name_mistakes(KL, Reading(divergence, averaged)) if f.code not in {"sign", "half", "scale"}
    ]
    return [*findings, *_join(likelihood, _divergence_scale(divergence, averaged), name), *inner]


def _divergence_scale(divergence: Mapping[str, float], averaged: frozenset[str]) -> float:
    """The KL's overall factor, as `name_mistakes` sees it."""
    factors = {name: divergence.get(name, 0.0) / KL.true[name] for name in KL.core}
    extras = {name: value for name, value in divergence.items() if name not in KL.core}
    return overall_scale(KL, factors, extras)


def _join(likelihood: float, divergence: float, name: str) -> list[Finding]:
    """What is wrong with the factors of the two parts."""
    findings: list[Finding] = []
    free = name.startswith("the squared distance")  # its factor has no right value
    overall = 1.0
    if likelihood < 0:
        overall = -1.0
        findings.append(Finding("sign", "This is the loss, minus the ELBO; the bound itself is asked for."))
    likelihood, divergence = likelihood * overall, divergence * overall
    if divergence < 0:
        findings.append(KL_ADDED)
        divergence = -divergence
    if likelihood and not free and same(likelihood, divergence) and not same(likelihood, 1):
        text = f"The value is {in_words(likelihood)} times the ELBO."
        return [*findings, Finding("half" if same(likelihood, 2) else "scale", text)]
    if name and same(likelihood * PIXELS, 1):
        text = (
            "The log-likelihood is a mean over the pixels, the KL a sum over the latents: the KL counts "
            "784 times."
        )
        findings.append(Finding("mean-pixels", text))
    elif name and not free and not same(likelihood, 1):
        findings.append(Finding("term-scale", f"The log-likelihood counts {in_words(likelihood)} times."))
    if same(divergence, 2):
        findings.append(Finding("half", "The KL counts twice: a factor ½ is lost."))
    elif not same(divergence, 1):
        text = (
            f"The KL counts {in_words(divergence)} times; only with the factor 1 is this a bound on log p(x)."
        )
        findings.append(Finding("term-scale", text))
    return findings


def _model_example(found: Measurement, findings: list[Finding]) -> str:
    if not findings or not found.samples:
        return ""
    sample = found.samples[0]
    value = float(sample.values[0])
    likelihood, divergence = (
        float(sample.column(term)[0]) for term in (_of_image(0), lambda mu, v, *_: kl_standard_normal(mu, v))
    )
    if abs(value - likelihood + divergence) <= 1e-3 * abs(likelihood):
        return ""
    return (
        f"For an image with log p(x | z) = {likelihood:.4g} for every z, and a KL of {divergence:.4g}, your "
        f"function gives {value:.4g}."
    )
