"""The ELBO of a whole model: its likelihood, its KL, how they are joined, and how z is drawn."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from vae_helpers.checks.calling import Failed, Student
from vae_helpers.checks.fitting import Reading, agrees, in_words, read, same
from vae_helpers.checks.formula import name_mistakes, overall_scale
from vae_helpers.checks.kl import KL
from vae_helpers.checks.measuring import Measurement, Sample, measure
from vae_helpers.checks.report import Finding, Report, report
from vae_helpers.gaussian import kl_standard_normal

if TYPE_CHECKING:
    import torch

    from vae_helpers.models import VAE

Array = NDArray[np.float64]
EXERCISE = "The ELBO"
WHERE = "notebook 2, section 5"
PIXELS = 784
COPIES = 600  # draws for each image when an average over the noise is asked for
IMAGES = 6

KL_ADDED = Finding(
    "kl-added",
    "The KL enters with the wrong sign: a better q, nearer to the prior, would lower your bound instead of "
    "raising it.",
)

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
    if "log p(x | z)" in reading.coefficients:
        findings += _sampling(fn, reading, bool(found.findings))
    return report(EXERCISE, findings, _model_example(found, findings), where=WHERE)


def _student(fn: Callable[..., Any], latents: int, **options: Any) -> Student:
    """The function of images alone, with a model of its own in the precision of the images."""
    import torch

    models = {
        dtype: copy.deepcopy(_model(latents, **options)).to(dtype) for dtype in (torch.float64, torch.float32)
    }
    return Student(lambda x: fn(models[x.dtype], x), ("torch float64", "torch float32"))


def _exact(fn: Callable[..., Any], unit: bool) -> tuple[Measurement, Reading | None]:
    """Values for a decoder that ignores z, and the sum of terms that they are."""
    merged = Measurement()
    for latents in (3, 5):
        found = measure(_student(fn, latents, unit=unit), _draw_images, (PIXELS,), "pixels")
        if not found.samples:
            return found, None
        merged.findings = merged.findings or found.findings
        merged.samples.append(_with_terms(found.samples[0], _model(latents, unit)))
    if all(agrees(sample, _model_truth) for sample in merged.samples):
        return merged, _RIGHT
    if merged.noise:
        return merged, _read_noisy(merged)
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


def _draw_images(rng: np.random.Generator, batch: int, dim: int) -> tuple[Array]:
    """Black images with a few white pixels: their log-likelihoods differ, and are not large."""
    density = rng.uniform(0.005, 0.06, (batch, 1))
    return ((rng.uniform(size=(batch, dim)) < density).astype(float),)


@lru_cache(maxsize=8)
def _model(latents: int, unit: bool = False, slope: float = 0.0) -> VAE:
    """A small VAE with an encoder of some width.

    Args:
        latents: latent dimension.
        unit: put the logits between 0 and 1, where they could be probabilities.
        slope: how much the logits depend on the first latent; 0 for a decoder that ignores z.
    """
    import torch

    from vae_helpers.models import VAE

    generator = torch.Generator().manual_seed(latents)
    model = VAE(latents, 8, num_hidden=1, activation="tanh", generator=generator)
    with torch.no_grad():
        model.encoder[0].weight.mul_(8)
        model.encoder[2].weight.mul_(3.5)
        model.decoder[2].weight.zero_()
        if slope:  # one hidden unit that is nearly linear in the first latent
            model.decoder[0].weight.zero_()
            model.decoder[0].weight[0, 0] = 0.5
            model.decoder[0].bias.zero_()
            model.decoder[2].weight[::16, 0] = slope * torch.linspace(-1, 1, 49)
        logits = torch.linspace(0.2, 0.8, PIXELS) if unit else torch.linspace(-4.5, -2.5, PIXELS)
        model.decoder[2].bias.copy_(logits)
    return model.eval()


def _encode(model: VAE, x: Array) -> tuple[Array, Array]:
    import torch

    with torch.no_grad():
        mu, log_var = model.encode(torch.tensor(x, dtype=torch.float32))
    return mu.double().numpy(), log_var.double().numpy()


def _with_terms(sample: Sample, model: VAE) -> Sample:
    """The sample with mu, log_var and the likelihood's relatives as its rows."""
    n, group, _ = sample.rows[0].shape
    x = sample.rows[0].reshape(n * group, -1)
    mu, v = _encode(model, x)
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
_MODEL_CORE = {"log p(x | z)": _of_image(0), **{name: _of_latents(term) for name, term in KL.core.items()}}
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
    elif name in {"probabilities as logits", "logits as probabilities"}:
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
    if not set(divergence) & (set(KL.core) - {"1"} | set(KL.extras) | set(KL.whole)):
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
    return (
        f"For an image with log p(x | z) = {likelihood:.4g} for every z, and a KL of {divergence:.4g}, your "
        f"function gives {value:.4g}."
    )


# The expectation over q


def _sampling(fn: Callable[..., Any], reading: Reading, reduced: bool) -> list[Finding]:
    """Whether z is drawn from q: the average over many draws against quadrature."""
    import torch

    model = _model(1, slope=1.5)
    x = np.repeat(_draw_images(np.random.default_rng(9), IMAGES, PIXELS)[0], COPIES, axis=0)
    mu, v = _encode(model, x[::COPIES])
    factor = reading.coefficients["log p(x | z)"]
    student = _student(fn, 1, slope=1.5)
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
    wanted = dict(_expectations(model, x[::COPIES], mu, v))
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
    if (
        not findings
        and not reduced
        and _detached(fn, model, torch.tensor(x[:: COPIES // 4], dtype=torch.float32), reading)
    ):
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


def _expectations(model: VAE, x: Array, mu: Array, v: Array) -> Iterator[tuple[str, Array]]:
    """E[log p(x given z)] by quadrature for the right distribution of z and for wrong ones."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    uniform, uniform_weights = np.polynomial.legendre.leggauss(40)
    std = np.exp(v / 2)
    yield "q", _average(model, x, mu + std * nodes, weights)
    yield "mean", _average(model, x, mu, np.ones(1))
    yield "variance", _average(model, x, mu + std**2 * nodes, weights)
    yield "unit", _average(model, x, mu + nodes, weights)
    yield "log", _average(model, x, mu + v * nodes, weights)
    yield "prior", _average(model, x, np.broadcast_to(nodes, (len(mu), 60)), weights)
    yield "uniform", _average(model, x, mu + std * (uniform + 1) / 2, uniform_weights / 2)


def _average(model: VAE, x: Array, z: Array, weights: Array) -> Array:
    """Σ_k w_k log p(x given z_k) for each image, z of shape (images, nodes), in float64."""
    first, second = model.decoder[0], model.decoder[2]
    hidden = np.tanh(
        z[..., None] * first.weight.detach().double().numpy()[:, 0] + first.bias.detach().double().numpy()
    )
    logits = hidden @ second.weight.detach().double().numpy().T + second.bias.detach().double().numpy()
    log_p = (x[:, None] * logits - np.logaddexp(0, logits)).sum(-1)
    return log_p @ weights


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
        if not set(reading.coefficients) <= {*terms, "log p(x | z)"}:
            return False
        alone = sum(c * terms[n].sum() for n, c in reading.coefficients.items() if n in terms)
        if not isinstance(alone, torch.Tensor):
            return bool((found == 0).all())
        (expected,) = torch.autograd.grad(alone, bias)
    return bool(torch.allclose(found, expected, rtol=1e-3, atol=1e-3))
