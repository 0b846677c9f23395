"""Checking a function that should be a known sum of terms, and naming what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_helpers.checks.engine.calling import Failed, Student
from vae_helpers.checks.engine.fitting import (
    Reading,
    agrees,
    in_words,
    names_of,
    overall_factor,
    read,
    same,
    simple,
)
from vae_helpers.checks.engine.measuring import BATCH, Draw, Measurement, Sample, measure
from vae_helpers.checks.engine.report import Finding, Report, report, safely

Array = NDArray[np.float64]
Terms = Mapping[str, Callable[..., Array]]
Key = tuple[str, float | str]
Findings = tuple[Finding, ...]
Pattern = Callable[[Mapping[str, float], Mapping[str, float]], list[Finding]]


@dataclass(frozen=True)
class Formula:
    """The right answer as a sum of terms, and what the mistakes in it are called.

    Attributes:
        exercise: what is checked.
        where: where the course treats it.
        noun: what the value is, as in "twice the divergence".
        arguments: names of the arguments.
        truth: the right answer, (n, d) arrays -> (n,), by an implementation of its own.
        draw: random arguments.
        true: coefficients of the right answer's terms (`core`).
        core: these terms, elementwise; "1" is the constant.
        extras: elementwise terms that mistakes bring in.
        whole: such terms that are functions of a whole row.
        stands_for: for a term, the extra terms that are likely to have replaced it.
        special: findings of their own for (term, factor) or (term, extra term that replaced it).
        pattern: the findings for a mistake that touches several terms, given factors and extras.
        averaged: code and sentence for a mean over the event instead of a sum.
        constant: the sentence about a wrong constant.
        axis: what the event axis holds.
        simple: small arguments for an example, the smallest first; numbers, one for each argument.
        extreme: rows at which a right function must stay right, each a tuple of sequences.
        beyond: rows at which it is only noted if it does not.
        stable_where: where the course treats such rows.
        harmless: other draws to look at when values are not finite, or when nothing fits.
        shown: how a message writes the terms, where not by their own name.
        half: the likely cause of a value that is twice as large.
        is_log: the value is a logarithm, which may be forgotten.
    """

    exercise: str
    where: str
    noun: str
    arguments: tuple[str, ...]
    truth: Callable[..., Array]
    draw: Draw
    true: Mapping[str, float]
    core: Terms
    extras: Terms
    averaged: tuple[str, str]
    constant: str
    whole: Terms = field(default_factory=dict)
    stands_for: Mapping[str, Sequence[str]] = field(default_factory=dict)
    special: Mapping[Key, Findings] = field(default_factory=dict)
    pattern: Pattern = lambda factors, extras: []
    axis: str = "latents"
    dims: tuple[int, int] = (3, 5)
    simple: Sequence[tuple[float, ...]] = ()
    extreme: Sequence[tuple[Sequence[float], ...]] = ()
    beyond: Sequence[tuple[Sequence[float], ...]] = ()
    stable_where: str = ""
    harmless: Sequence[Draw] = ()
    shown: Mapping[str, str] = field(default_factory=dict)
    half: str = "a factor ½ is lost"
    is_log: bool = False

    @property
    def terms(self) -> dict[str, Callable[..., Array]]:
        """All terms by their names: of the right answer and of mistakes."""
        return {**self.core, **self.extras, **self.whole}

    def write(self, names: Any) -> str:
        """Terms as a message writes them."""
        return names_of([self.shown.get(name, name) for name in names])


def check_formula(fn: Callable[..., Any], formula: Formula) -> Report:
    """Compares a function with a formula, and names its mistakes.

    Args:
        fn: the student's function.
        formula: what it should be.

    Raises:
        TypeError: fn is not a function.
    """
    student = Student(fn)
    return safely(formula.exercise, lambda: _check(student, formula))


def _check(student: Student, formula: Formula) -> Report:
    try:
        found = measure(student, formula.draw, formula.dims, formula.axis)
    except Failed as failed:
        rescued = _elsewhere(student, formula)
        findings = rescued if rescued and failed.finding.code == "error" else [failed.finding]
        return report(formula.exercise, findings, where=formula.where)
    if not found.samples:
        return report(formula.exercise, found.findings, notes=found.notes, where=formula.where)
    if all(agrees(sample, formula.truth) for sample in found.samples):
        right = Reading(dict(formula.true), frozenset())
        findings = [*found.findings, *_unstable(student, formula, found, right)]
        if not findings and (beyond := _unstable(student, formula, found, right, formula.beyond)):
            found.notes.append(beyond[0].text[0].lower() + beyond[0].text[1:])
    else:
        findings = [*found.findings, *diagnose(student, formula, found)]
    seen = smallest_example(student, formula, found.noise) if findings else ""
    return report(formula.exercise, findings, seen, found.notes, formula.where)


def diagnose(student: Student, formula: Formula, found: Measurement) -> list[Finding]:
    """The mistakes in values that are not right."""
    reading = read(found, formula.core, formula.extras, formula.whole)
    if reading is not None and (reading.exact or _simple(formula, reading)):
        findings = name_mistakes(formula, reading, noisy=bool(found.noise))
        return [*findings, *_unstable(student, formula, found, reading)]
    if formula.is_log and all((sample.values > 0).all() for sample in found.samples):
        logarithms = [Sample(sample.rows, np.log(sample.values)) for sample in found.samples]
        reading = read(Measurement(logarithms), formula.core, formula.extras)
        if reading is not None:
            forgotten = Finding(
                "not-log", "Your values are probabilities (densities): their logarithm is asked for."
            )
            return [forgotten, *name_mistakes(formula, reading)]
    if all(agrees(sample, formula.truth, tolerance=0.03) for sample in found.samples):
        return [
            Finding(
                "unstable",
                "Your values are nearly right, which is too little for a closed form: perhaps a small "
                "number is added inside a logarithm or a square root, or a value is clipped.",
            )
        ]
    return _elsewhere(student, formula) or [
        Finding(
            "unknown", "This fits no mistake that is known here. Work the example out by hand, term by term."
        )
    ]


def _simple(formula: Formula, reading: Reading) -> bool:
    """Whether the coefficients are such as people write; chance fits of other functions have odd ones."""
    true = formula.true
    factors = {n: reading.coefficients.get(n, 0.0) / true[n] for n in true}
    scale = overall_factor(factors)
    return all(simple(value / scale) for value in factors.values()) and all(
        simple(value / scale) for name, value in reading.coefficients.items() if name not in true
    )


def _elsewhere(student: Student, formula: Formula) -> list[Finding]:
    """The mistakes seen at arguments that spare the function what it cannot take."""
    for draw in formula.harmless:
        try:
            found = measure(student, draw, formula.dims, formula.axis)
        except Failed:
            continue
        if found.samples:
            reading = read(found, formula.core, formula.extras, formula.whole)
            findings = name_mistakes(formula, reading) if reading is not None else []
            if findings:
                return [*found.findings, *findings]
    return []


def name_mistakes(formula: Formula, reading: Reading, noisy: bool = False) -> list[Finding]:
    """The mistakes that coefficients show; none when they are those of the right answer."""
    coefficients = dict(reading.coefficients)
    if noisy:  # the nearest quarter of its own: a Monte Carlo estimate cannot be read any finer
        coefficients = {n: _to_quarters(c, formula.true.get(n, 1.0)) for n, c in coefficients.items()}
        coefficients = {name: value for name, value in coefficients.items() if value}
    if not coefficients:
        return [Finding("unknown", "Your function gives 0, whatever its arguments are.")]
    findings: list[Finding] = []
    averaged = set(reading.averaged)
    if averaged == {"1"} and set(coefficients) != {"1"}:
        findings.append(
            Finding("constant", f"The constant is added once; each of the {formula.axis} has its own.")
        )
        others = {n: coefficients.get(n, 0.0) / formula.true[n] for n in formula.core if n != "1"}
        coefficients["1"] = formula.true["1"] * overall_factor(others)
    elif averaged:
        code, text = formula.averaged
        if not averaged >= set(coefficients) - {"1"}:
            text += f" It concerns {formula.write(sorted(averaged))}."
        findings.append(Finding(code, text))
    extras = {name: value for name, value in coefficients.items() if name not in formula.core}
    factors = {name: coefficients.get(name, 0.0) / formula.true[name] for name in formula.core}
    scale = overall_scale(formula, factors, extras, reading.grown)
    factors = {name: factor / scale for name, factor in factors.items()}
    extras = {name: value / scale for name, value in extras.items()}
    whole = not extras and all(same(f, 1) for f in factors.values())
    findings += _scale_findings(formula, scale, partly=not whole)
    pattern = formula.pattern(factors, extras)
    return [*findings, *(pattern or _term_findings(formula, factors, extras))]


def _to_quarters(value: float, unit: float) -> float:
    return round(4 * value / unit) / 4 * unit


def overall_scale(
    formula: Formula,
    factors: Mapping[str, float],
    extras: Mapping[str, float],
    grown: frozenset[str] = frozenset(),
) -> float:
    """The factor in front of everything; one that leaves a pattern with a name is preferred.

    Args:
        formula: the right answer.
        factors: what multiplies its terms.
        extras: coefficients of other terms.
        grown: terms whose factor depends on the event's size, and says little.
    """
    others = {sign * abs(c) for c in (*extras.values(), *factors.values()) if c for sign in (1, -1)}
    for scale in (1.0, -1.0, 2.0, -2.0, 0.5, -0.5, *sorted(others, reverse=True)):
        rest = {n: f / scale for n, f in factors.items()}, {n: c / scale for n, c in extras.items()}
        if formula.pattern(*rest):
            return scale
    # A relative that replaced a term with the same coefficient speaks for the factor, though less.
    votes = dict(factors)
    missing = {name for name, factor in factors.items() if not factor}
    for term in missing:
        for name in formula.stands_for.get(term, ()):
            if name in extras:
                votes[term] = extras[name] / formula.true[term]
    if len(missing) == len(factors):  # nothing of the right answer is left: only a sign can be told
        return -1.0 if any(votes.values()) and max(votes.values()) <= 0 else 1.0
    return overall_factor(votes, {**dict.fromkeys(missing, 0.5), **dict.fromkeys(grown, 0.1)})


def _scale_findings(formula: Formula, scale: float, partly: bool) -> list[Finding]:
    """What a factor before everything means, or before all but the terms that are named after it."""
    findings = []
    value = "Most of your value" if partly else "Your value"
    if scale < 0:
        findings.append(Finding("sign", f"{value} has the opposite sign: this is minus {formula.noun}."))
    if same(abs(scale), 2):
        exactly = "" if partly else "exactly "
        findings.append(Finding("half", f"{value} is {exactly}twice {formula.noun}: {formula.half}."))
    elif not same(abs(scale), 1):
        bits = " In nats, not bits?" if same(abs(scale), 1 / np.log(2)) else ""
        findings.append(Finding("scale", f"{value} is {in_words(abs(scale))} times {formula.noun}.{bits}"))
    return findings


def _term_findings(
    formula: Formula, factors: Mapping[str, float], extras: Mapping[str, float]
) -> list[Finding]:
    """Mistakes term by term, after the overall factor."""
    findings, missing, left = [], [], dict(extras)
    for term, factor in factors.items():
        if same(factor, 1):
            continue
        if factor:
            findings += _factor_findings(formula, term, factor)
            continue
        shown = formula.write([term])
        stand_in = next((name for name in formula.stands_for.get(term, ()) if name in left), None)
        if stand_in is not None:
            text = f"Your value contains {formula.write([stand_in])}, in the place of another term."
            named = formula.special.get((term, stand_in), (Finding("term-wrong", text),))
            size = abs(left[stand_in] / formula.true[term])
            if not same(size, 1) and any(factors.values()):
                named = (
                    named[0]._replace(text=f"{named[0].text} Its factor is {in_words(size)}."),
                    *named[1:],
                )
            findings += named
            del left[stand_in]
        elif (term, 0.0) in formula.special:
            findings += formula.special[term, 0.0]
        elif term == "1":
            findings.append(Finding("constant", formula.constant))
        else:
            missing.append(Finding("term-missing", f"{shown} is not in your value at all."))
    if any(factors.values()) or not left:  # else the value is so different that nothing is said of its parts
        findings += missing
    if left.pop("1", None):
        findings.append(Finding("constant", formula.constant))
    if left:
        findings.append(Finding("term-wrong", f"A term with {formula.write(left)} does not belong here."))
    return findings


def _factor_findings(formula: Formula, term: str, factor: float) -> Findings:
    """What a wrong factor of a term that is there means."""
    shown, findings = formula.write([term]), ()
    if term == "1":
        findings = (Finding("constant", formula.constant),)
    if factor < 0 and (term != "1" or same(factor, -1)):
        turned = Finding("term-sign", f"The sign of {shown} is turned round.")
        findings += formula.special.get((term, -1.0), (turned,))
    size = abs(factor)
    if term != "1" and not same(size, 1):
        text = (
            f"{shown} has {in_words(size)} times the coefficient that it should have, compared with the "
            "other terms."
        )
        named = [
            f
            for (t, k), f in formula.special.items()
            if t == term and isinstance(k, float) and k and same(size, k)
        ]
        findings += named[0] if named else (Finding("term-scale", text),)
    return findings


def _unstable(
    student: Student,
    formula: Formula,
    found: Measurement,
    reading: Reading,
    rows: Sequence[tuple[Sequence[float], ...]] | None = None,
) -> list[Finding]:
    """Whether a function stays at extreme arguments what it is at moderate ones."""
    if found.noise:
        return []
    for row in formula.extreme if rows is None else rows:
        arguments = [np.array([values], float) for values in row]
        try:
            value = _value_at(student, arguments, found)
        except Failed:
            value = np.nan
        expected = reading.at(formula.terms, *arguments)
        if np.isfinite(expected) and not abs(value - expected) <= 1e-3 * abs(expected) + 1e-3:
            shown = " and ".join(
                f"{name} = {_numbers(values)}" for name, values in zip(formula.arguments, row, strict=True)
            )
            return [
                Finding(
                    "unstable",
                    f"For {shown} your function gives {value:.4g} where, by its values at moderate "
                    f"arguments, {expected:.4g} is to be expected. Something overflows or is rounded away "
                    "before a logarithm is taken, or a small number added for safety, or a clip, wins.",
                    formula.stable_where,
                )
            ]
    return []


def _value_at(student: Student, arguments: list[Array], found: Measurement) -> float:
    """The value for one row; as one of many equal rows where the function was measured in a batch."""
    if any(finding.code == "batch-reduced" for finding in found.findings):
        return float(student(*arguments).sum())
    return float(student(*(np.repeat(a, BATCH, axis=0) for a in arguments)).reshape(BATCH, -1)[0].sum())


def smallest_example(student: Student, formula: Formula, noise: float = 0.0) -> str:
    """The smallest example at which the function is wrong, in words: one row of one entry, or of two."""
    rows = [[(value,) for value in values] for values in formula.simple]
    if formula.dims[1] > 1:
        rows += [[(value, value) for value in values] for values in formula.simple[:3]]
    for row in rows:
        arguments = [np.array([values], float) for values in row]
        try:
            value = student(*arguments)
        except Failed:
            return ""
        expected = float(formula.truth(*arguments)[0])
        if value.size == 1 and not abs(value.item() - expected) <= 1e-4 * (1 + abs(expected)) + 5 * noise:
            shown = [_numbers(v) if formula.dims[1] == 1 else f"[{_numbers(v)}]" for v in row]
            named = [f"{n} = {v}" for n, v in zip(formula.arguments, shown, strict=True)]
            given, right = (f"{number + 0.0:.4g}" for number in (value.item(), expected))
            return f"For {names_of(named)} your function gives {given}; {formula.noun} is {right}."
    return ""


def _numbers(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in values) + "]"
