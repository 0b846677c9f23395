"""The mistakes in a logged number, named from the weights of its terms."""

from __future__ import annotations

import math
from typing import NamedTuple

from vae_helpers.audit.calls import SIZES
from vae_helpers.audit.reading import Fit, LossReading
from vae_helpers.audit.report import Check
from vae_helpers.audit.subject import Subject
from vae_helpers.audit.terms import ABSOLUTE, CONSTANT, KL_CLOSED, SQUARED
from vae_helpers.checks.engine.fitting import Reading, in_words, same
from vae_helpers.checks.engine.formula import name_mistakes, overall_scale
from vae_helpers.checks.parts.elbo.likelihoods import LIKELIHOODS, RIGHT
from vae_helpers.checks.parts.kl import KL

DISTANCES = (SQUARED, "the squared distance of logits", ABSOLUTE)
EXCHANGED = "the probability judged by x"
# What is tested, in the order of a report.
LIKELIHOOD, DIVERGENCE = "the number's likelihood", "the number's KL"
WEIGHTS, BATCH, CONSTANTS = "the weights of the two", "the average over the batch", "the number's constants"
OF_THE_LOSS = (LIKELIHOOD, DIVERGENCE, WEIGHTS, BATCH, CONSTANTS)


class Mistake(NamedTuple):
    """A mistake, and the point of the report that it belongs to."""

    point: str
    code: str
    text: str


class Weight(NamedTuple):
    """What multiplies a part of the number: value · (batch size)^power."""

    value: float
    error: float
    power: int | None  # None where it depends on the batch in another way

    @property
    def written(self) -> str:
        """The number as it is known: a simple fraction that is near enough, or its digits."""
        for denominator in range(1, 13):
            near = round(self.value * denominator) / denominator
            if near and self.is_(near):
                return in_words(near)
        digits = 2 if self.error > 3e-3 * abs(self.value) else 3
        return f"{self.value:.{digits}g}"

    def is_(self, number: float) -> bool:
        """Whether it is this number, as far as rounding lets it be seen."""
        return abs(self.value - number) <= 2e-3 * abs(number) + 4 * self.error


def judge_loss(subject: Subject, reading: LossReading) -> list[Check]:
    """What is right and what is wrong with the terms of the number, and with their weights."""
    mistakes = _mistakes(subject, reading)
    checks = []
    for point in OF_THE_LOSS:
        own = [mistake for mistake in mistakes if mistake.point == point]
        checks += [Check(point, "wrong", m.code, m.text) for m in own] or [Check(point, "right")]
    return checks


def _mistakes(subject: Subject, reading: LossReading) -> list[Mistake]:
    likelihood = _likelihood_weight(reading)
    if reading.likelihood == EXCHANGED and not likelihood.is_(math.copysign(1, likelihood.value)):
        # On black and white, 100 times the absolute distance looks like it.
        reading = reading._replace(
            likelihood=ABSOLUTE,
            fits={
                b: f._replace(
                    coefficients={**f.coefficients, ABSOLUTE: -100 * f.coefficients[EXCHANGED]},
                    errors={**f.errors, ABSOLUTE: 100 * f.errors[EXCHANGED]},
                )
                for b, f in reading.fits.items()
            },
        )
        for fit in reading.fits.values():
            del fit.coefficients[EXCHANGED], fit.errors[EXCHANGED]
        likelihood = _likelihood_weight(reading)
    divergence, relative, inner = _divergence(subject, reading)
    name = reading.likelihood if likelihood.value else ""
    found = [*_of_likelihood(subject, name), *inner]
    if likelihood.value and divergence.value:
        found += _of_batch(likelihood, divergence)
    elif 1 in (likelihood.power, divergence.power) and (likelihood.value or divergence.value):
        found.append(Mistake(BATCH, "batch-sum", "the number is a sum over the batch: divide it by its size"))
    right = _right_weight(subject, reading.likelihood)
    found += _of_weights(subject, likelihood, divergence, right)
    factor = likelihood.value / right if likelihood.value and right else 1.0
    if likelihood.value:
        found += _of_constants(subject, reading, factor, abs(divergence.value) or 1.0, bool(relative))
    return found


# ---- weights --------------------------------------------------------------------------------


def _weight(per_size: dict[int, tuple[float, float]]) -> Weight:
    """A weight from its values and errors for two sizes of the batch."""
    (small, large), ((a, da), (b, db)) = tuple(per_size), tuple(per_size.values())
    if abs(a) <= 4 * da and abs(b) <= 4 * db:
        return Weight(0.0, da, 0)
    if a * b <= 0:
        return Weight(a, da, None)
    power = math.log(b / a) / math.log(large / small)
    near = round(power)
    slack = 0.02 + 4 * (da / abs(a) + db / abs(b)) / math.log(large / small)
    if abs(power - near) > min(slack, 0.3):
        return Weight(a, da, None)
    return Weight(a / small**near, da / small**near, near)


def _likelihood_weight(reading: LossReading) -> Weight:
    """What multiplies minus the log-likelihood, or the distance that stands for it."""
    if not reading.likelihood:
        return Weight(0.0, 0.0, 0)
    sign = 1 if reading.likelihood in DISTANCES else -1
    name = reading.likelihood
    return _weight({b: (sign * f.coefficients[name], f.errors[name]) for b, f in reading.fits.items()})


def _divergence(subject: Subject, reading: LossReading) -> tuple[Weight, dict[str, float], list[Mistake]]:
    """What multiplies the KL; its terms, if they are not those of a KL; and what is wrong with these."""
    names = set(next(iter(reading.fits.values())).coefficients) - {reading.likelihood}
    missing = [Mistake(DIVERGENCE, "term-missing", "there is no KL in the number")]
    whole = next((name for name in names if name.startswith(KL_CLOSED)), "")
    if whole:
        weight = _weight({b: (f.coefficients[whole], f.errors[whole]) for b, f in reading.fits.items()})
        if not weight.value:
            seen = f"there is no KL in the number, or one that counts less than {4 * weight.error:.1g} times"
            return weight, {}, [Mistake(DIVERGENCE, "term-missing", seen)]
        return weight, {}, _of_reading(whole, subject.encoder_gives)
    if names <= {CONSTANT}:
        return Weight(0.0, 0.0, 0), {}, missing
    if drawn := _of_densities(subject, reading):
        return drawn
    terms = {size: _as_divergence(subject, fit, reading.likelihood) for size, fit in reading.fits.items()}
    size = min(SIZES)
    largest = max((n for n in terms[size] if n != "1"), key=lambda n: abs(terms[size][n]))
    overall = _weight({b: (t[largest], 0.0) for b, t in terms.items()})
    per_image = {n: value / size ** (overall.power or 0) for n, value in terms[size].items()}
    if set(per_image) <= {"1"}:
        return Weight(0.0, 0.0, 0), {}, missing
    per_image = _snapped(reading, per_image)
    if prior := _other_prior(per_image):
        weight, text = prior
        return Weight(weight, 0.0, overall.power), per_image, [Mistake(DIVERGENCE, "term-wrong", text)]
    scale = overall_scale(KL, KL.relative(per_image))
    findings = name_mistakes(KL, Reading(per_image, frozenset()))
    inner = [Mistake(DIVERGENCE, f.code, f.text) for f in findings if f.code not in {"sign", "half", "scale"}]
    return Weight(scale, 0.0, overall.power), per_image, inner


def _of_reading(name: str, encoder_gives: str) -> list[Mistake]:
    """Whether the KL takes what the encoder gives second for something else."""
    kind = name.partition(" by ")[2]
    if not kind:
        return []
    pair = {kind, encoder_gives}
    code = "log-std" if pair == {"log_var", "log_std"} else "term-wrong"
    code = "std-for-var" if pair == {"std", "var"} else code
    text = f"the KL takes what encode gives second for {kind}; it is {encoder_gives}"
    return [Mistake(DIVERGENCE, code, text)]


def _of_densities(
    subject: Subject, reading: LossReading
) -> tuple[Weight, dict[str, float], list[Mistake]] | None:
    """The same where log q(z given x) and log p(z) stand in the number with weights of their own."""
    per_size = {}
    for size, fit in reading.fits.items():
        if not {"z²", "ε²", "log σ²"} <= set(fit.coefficients):
            return None
        of_z, of_eps, of_v = (fit.coefficients[name] for name in ("z²", "ε²", "log σ²"))
        error = max(fit.errors[name] for name in ("z²", "ε²", "log σ²"))
        others = [fit.coefficients.get(name, 0.0) for name in ("μ²", "σ²")]
        near = 2e-3 * max(abs(of_z), abs(of_eps)) + 4 * error
        if abs(of_eps - of_v) > near or max(map(abs, others)) > near:
            return None
        constant = fit.coefficients.get(CONSTANT, 0.0) - _pixel_constant(subject, fit, reading.likelihood)
        both = 0.5 * subject.latent_dim * math.log(2 * math.pi) * (2 * of_z + 2 * of_eps)
        if abs(constant - both) > 2e-3 * abs(both) + 4 * fit.errors.get(CONSTANT, 0.0):
            return None
        per_size[size] = (2 * of_z, 2 * error), (-2 * of_eps, 2 * error)
    prior, posterior = (_weight({size: pair[k] for size, pair in per_size.items()}) for k in (0, 1))
    found = []
    if not (prior.value and posterior.value):
        name = "log q(z given x)" if prior.value else "log p(z)"
        found = [Mistake(DIVERGENCE, "term-missing", f"{name} is not in the number")]
    elif not same(prior.value, posterior.value):
        of_prior = f"log p(z) {in_words(prior.value)} times"
        counts = f"log q(z given x) counts {in_words(posterior.value)} times, {of_prior}"
        found = [Mistake(DIVERGENCE, "term-scale", counts)]
    overall = prior if prior.value and (prior.is_(1) or not posterior.is_(1)) else posterior
    return overall, {"1": 0.0}, found


def _snapped(reading: LossReading, terms: dict[str, float]) -> dict[str, float]:
    """The terms, those of a KL with their exact coefficients where they are these as far as can be seen."""
    errors = next(iter(reading.fits.values())).errors
    likelihood = abs(_likelihood_weight(reading).value)
    found = dict(terms)
    for scale in (1.0, likelihood):
        for name, value in terms.items():
            right = scale * KL.true.get(name, 0.0)
            if right and abs(value - right) <= 5 * errors.get(name, 0.0) + 5e-3 * abs(right):
                found[name] = right
    return found


def _as_divergence(subject: Subject, fit: Fit, likelihood: str) -> dict[str, float]:
    """The terms in mu and log σ², with z² and ε² as they are on average; the constant for each latent."""
    terms = {name: value for name, value in fit.coefficients.items() if name != likelihood}
    of_z, of_eps = terms.pop("z²", 0.0), terms.pop("ε²", 0.0)
    terms["μ²"] = terms.get("μ²", 0.0) + of_z
    terms["σ²"] = terms.get("σ²", 0.0) + of_z
    constant = terms.pop(CONSTANT, 0.0) - _pixel_constant(subject, fit, likelihood)
    terms["1"] = constant / subject.latent_dim + of_eps
    size = max(map(abs, terms.values()))
    errors = {name: fit.errors.get(name, 0.0) for name in terms} | {"1": fit.errors.get(CONSTANT, 0.0)}
    return {n: value for n, value in terms.items() if abs(value) > 2e-3 * size + 4 * errors[n]}


def _other_prior(terms: dict[str, float]) -> tuple[float, str] | None:
    """The weight of a KL to N(m, s²), and what is said of it; None where the terms are no such KL."""
    if not {"μ²", "σ²", "log σ²"} <= set(terms) or set(terms) - {"μ²", "σ²", "log σ²", "μ", "1"}:
        return None
    weight, precision = -2 * terms["log σ²"], 2 * terms["σ²"]
    if weight <= 0 or precision <= 0 or not same(terms["μ²"], terms["σ²"]):
        return None
    variance, mean = weight / precision, -terms.get("μ", 0.0) / precision
    mean = mean if abs(mean) > 1e-3 else 0.0
    constant = 0.5 * weight * (math.log(variance) - 1 + mean**2 / variance)
    if abs(terms.get("1", 0.0) - constant) > 3e-3 * abs(constant) or (same(variance, 1) and abs(mean) < 1e-3):
        return None
    return weight, f"it is the KL to a prior N({mean:.3g}, {variance:.3g}) for each latent, not to N(0, 1)"


def _right_weight(subject: Subject, likelihood: str) -> float:
    """What should multiply the term that stands for the log-likelihood; 0 where nothing is right."""
    if subject.likelihood == "gaussian" and likelihood == SQUARED:
        return 0.5 / subject.x_std**2
    return 1.0 if likelihood == RIGHT else 0.0


def _pixel_constant(subject: Subject, fit: Fit, likelihood: str) -> float:
    """The constant of a Gaussian likelihood, if it is in the number."""
    if subject.likelihood != "gaussian" or likelihood != SQUARED:
        return 0.0
    factor = fit.coefficients[likelihood] / _right_weight(subject, likelihood)
    constant = factor * _gaussian_constant(subject)
    given = fit.coefficients.get(CONSTANT, 0.0)
    return constant if abs(given - constant) < abs(given) else 0.0


def _gaussian_constant(subject: Subject, std: float | None = None) -> float:
    return subject.data_dim * (math.log(std or subject.x_std) + 0.5 * math.log(2 * math.pi))


# ---- what they mean --------------------------------------------------------------------------


def _of_likelihood(subject: Subject, name: str) -> list[Mistake]:
    if not name:
        return [Mistake(LIKELIHOOD, "term-missing", "there is no log-likelihood in the number")]
    if name == RIGHT or (subject.likelihood == "gaussian" and name == SQUARED):
        return []
    if subject.likelihood == "bernoulli" and name in LIKELIHOODS:
        finding = LIKELIHOODS[name].finding
        return [Mistake(LIKELIHOOD, finding.code, finding.text)]
    code = "squared-error" if name == SQUARED else "term-wrong"
    wanted = "log p(x given z)" if subject.likelihood != "gaussian" else "the squared distance"
    return [Mistake(LIKELIHOOD, code, f"{name} stands in the place of {wanted}")]


def _of_batch(likelihood: Weight, divergence: Weight) -> list[Mistake]:
    powers = likelihood.power, divergence.power
    if powers == (0, 0):
        return []
    if powers == (1, 1):
        text = "the number is a sum over the batch: divide it by its size"
        if likelihood.is_(divergence.value) and not divergence.is_(math.copysign(1, divergence.value)):
            by = f"{float(f'{1 / abs(divergence.value):.3g}'):,g}"
            text = f"the number is a sum over the batch divided by {by}, whatever the batch's size"
        return [Mistake(BATCH, "batch-sum", text)]
    if powers == (None, None):
        return [Mistake(BATCH, "batch-weight", "what multiplies the number depends on the batch's size")]
    if powers == (-1, -1):
        text = "the number is divided by the batch's size twice"
        return [Mistake(BATCH, "batch-weight", text)]
    found = []
    for part, weight in (("log-likelihood", likelihood), ("KL", divergence)):
        if weight.power == 1 and weight.is_(math.copysign(1, weight.value)):
            text = f"the {part} is summed over the batch, the other part is not"
            found.append(Mistake(BATCH, "batch-sum", text))
        elif weight.power != 0:
            how = {1: "grows with", -1: "falls with"}.get(weight.power, "depends on")
            number = "" if weight.power != 1 else f": it is {in_words(weight.value)} times the size"
            text = f"the weight of the {part} {how} the batch's size{number}"
            found.append(Mistake(BATCH, "batch-weight", text))
    return found


def _of_weights(subject: Subject, likelihood: Weight, divergence: Weight, right: float) -> list[Mistake]:
    """What is wrong with the signs and the sizes of the two weights, per image."""
    found, sign = [], 1.0
    if likelihood.value < 0 or (not likelihood.value and divergence.value < 0):
        sign = -1.0
        text = (
            "this is the ELBO itself, to be maximised; a loss is minus that"
            if likelihood.value
            else "minus the KL"
        )
        found.append(Mistake(WEIGHTS, "sign", text))
    a = likelihood._replace(value=sign * likelihood.value)
    b = divergence._replace(value=sign * divergence.value)
    if a.value and b.value < 0:
        b = b._replace(value=-b.value)
        text = "the KL enters with the wrong sign, compared with the likelihood"
        found.append(Mistake(WEIGHTS, "kl-added", text))
    of_batch = a.power == b.power == 1 and same(a.value, b.value) and right == 1
    if of_batch or a.power is None or b.power is None:
        return found  # named with the batch
    free_a, free_b = a.power == 0 or a.is_(1), b.power == 0 or b.is_(1)  # else, too
    pixels, latents = subject.data_dim, subject.latent_dim
    if right and a.value and b.value and same(a.value / right, b.value) and not b.is_(1):
        if a.power == b.power:
            code = "half" if b.is_(2) else "scale"
            text = f"the number is {b.written} times -ELBO"
            if b.is_(1 / pixels):
                text = f"the number is -ELBO divided by {pixels}, the number of pixels"
            return [*found, Mistake(WEIGHTS, code, text)]
    averaged = next((part for part in (1.0, 0.5) if a.is_(part / pixels)), None)
    if a.value and averaged is None and a.is_(right / pixels):
        averaged = right
    if averaged is not None and pixels > 1:
        beside = b.value / a.value * (right or 1.0)
        beside = f"{beside:,.0f}" if beside > 100 else in_words(beside)
        text = (
            f"the likelihood is averaged over the {pixels} pixels, not summed: the KL counts {beside} times"
        )
        found.append(Mistake(WEIGHTS, "mean-pixels", text))
    elif right and a.value and not a.is_(right) and (free_a or a.power == b.power):
        found.append(Mistake(WEIGHTS, *_likelihood_counts(subject, a.value, right)))
    if b.value and (free_b or a.power == b.power):
        if latents > 1 and b.is_(1 / latents):
            text = f"the KL is averaged over the {latents} latents instead of summed"
            found.append(Mistake(WEIGHTS, "mean-latent", text))
        elif b.is_(2):
            text = "the KL counts twice: a factor ½ is lost, or β is 2"
            found.append(Mistake(WEIGHTS, "half", text))
        elif not b.is_(1):
            text = f"the KL counts {b.written} times (β): only with 1 is the number -ELBO"
            found.append(Mistake(WEIGHTS, "term-scale", text))
    return found


def _likelihood_counts(subject: Subject, value: float, right: float) -> tuple[str, str]:
    """The code and the sentence of a likelihood with a weight of its own."""
    if subject.likelihood != "gaussian":
        return "term-scale", f"the log-likelihood counts {in_words(value / right)} times"
    implied = math.sqrt(0.5 / value)
    if same(implied, subject.x_std**2) and not same(subject.x_std, 1):
        return "var-for-std", f"the squared distance has the weight for σ = {implied:.3g}: σ² stands as σ"
    return "term-scale", (
        f"the squared distance counts {in_words(value)} times, which is right for σ = {implied:.3g}; "
        f"x_std says {subject.x_std:.3g}: is x_std={implied:.3g} meant?"
    )


def _of_constants(
    subject: Subject, reading: LossReading, factor: float, scale: float, is_told: bool
) -> list[Mistake]:
    """What is wrong with the constants of the number, per image."""
    size = min(SIZES)
    fit = reading.fits[size]
    given, error = fit.coefficients.get(CONSTANT, 0.0), fit.errors.get(CONSTANT, 0.0)
    per_batch = _weight(
        {b: (f.coefficients.get(CONSTANT, 0.0), f.errors.get(CONSTANT, 0.0)) for b, f in reading.fits.items()}
    )
    given = per_batch.value if per_batch.power is not None else given
    found = []
    if subject.likelihood == "gaussian" and reading.likelihood == SQUARED:
        implied = subject.x_std / math.sqrt(abs(factor))  # the σ for which the weight is right
        constants = [factor * _gaussian_constant(subject)]
        constants += [_gaussian_constant(subject, std) for std in (subject.x_std, implied)]
        wanted = min(constants, key=lambda value: abs(value - given))
        if is_told:  # with terms that are no KL, a constant may be the KL's
            wanted = wanted if abs(given - wanted) < abs(given) else 0.0
            given = wanted
        if abs(given - wanted) > 1e-3 * abs(wanted) + 4 * error:
            name = "the constant of the log-density,"
            text = f"{name} {_gaussian_constant(subject):.4g} nats for each image, is not in the number"
            if given:
                text = f"{name} {wanted:.4g} nats, is {given:.4g} in the number"
            found.append(Mistake(CONSTANTS, "constant", text))
    elif not is_told and abs(given) > 4 * error and abs(given) > 1e-3:
        each = given / scale / subject.latent_dim
        why = ": the -1 of each latent's KL is lost" if same(each, 0.5) else ""
        found.append(
            Mistake(CONSTANTS, "constant", f"{given:.4g} nats are added that do not belong here{why}")
        )
    return found
