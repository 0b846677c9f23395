"""Checking a function that should be a known sum of terms, and naming what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from vae_helpers.checks.engine import fitting
from vae_helpers.checks.engine.arguments import bound, whichever_order
from vae_helpers.checks.engine.calling import Failed, Student, as_function
from vae_helpers.checks.engine.fitting import Coefficients, Reading, Terms, in_words, names_of, read, same
from vae_helpers.checks.engine.measuring import BATCH, SLOW, Draw, Measurement, Sample, measure
from vae_helpers.checks.engine.report import Finding, Report, report, safely, said
from vae_helpers.numerics._validate import Array

CONSTANT = "1"  # the name of the term that is a constant
Rows = Sequence[tuple[Sequence[float], ...]]  # one row of each argument, several times
UNKNOWN = said("""unknown: This fits no mistake that is known here. Work the example out by hand, term by
    term.""")
NEARLY = said("""unstable: Your values are nearly right, which is too little for a closed form: perhaps a
    small number is added inside a logarithm or a square root, or a value is clipped.""")
DENSITIES = said("not-log: Your values are probabilities (densities): their logarithm is asked for.")
# What a loop that is a step short, or an index, leaves of the entries of a row.
LEFT_OF = {
    "the last of the {axis} is not counted": slice(None, -1),
    "the first of the {axis} is not counted": slice(1, None),
    "only the first of the {axis} is counted": slice(None, 1),
    "only the last of the {axis} is counted": slice(-1, None),
}


@dataclass(frozen=True)
class Term:
    """A term of a right answer, and what is said when it is not as it should be."""

    coefficient: float  # what multiplies it in the right answer
    value: Callable[..., Array]  # the term itself, elementwise in the rows of the arguments
    written: str = ""  # how a message writes it, where not by its name
    missing: Finding | None = None  # the mistake if it is not there and nothing stands for it
    turned: Finding | None = None  # … if its sign is turned round
    scaled: Mapping[float, Finding] = field(default_factory=dict)  # … if it has this factor, or minus it
    replaced: Mapping[str, Sequence[Finding]] = field(default_factory=dict)  # … if such a term stands for it

    def __call__(self, *rows: Array) -> Array:
        """The term at rows of the arguments."""
        return self.value(*rows)


present = bool  # in a pattern: a term that is there with any coefficient


def perhaps(coefficient: float) -> bool:
    """In a pattern: a term that may be there or not."""
    return True


class Pattern(NamedTuple):
    """A mistake that touches several terms at once: what is seen of it, and what is said.

    What is seen names each term that is there with its factor (a term of the right answer) or its
    coefficient (any other), as a number or as a function that says whether it fits.
    """

    seen: Mapping[str, float | Callable[[float], bool]]
    findings: list[Finding]

    def fits(self, relative: Coefficients) -> bool:
        """Whether this is what is seen: these terms, and no others."""
        pairs = ((self.seen.get(name, 0.0), relative.get(name, 0.0)) for name in {**relative, **self.seen})
        return all(wanted(value) if callable(wanted) else same(value, wanted) for wanted, value in pairs)


@dataclass(frozen=True)
class Formula:
    """The right answer as a sum of terms, and what the mistakes in it are called."""

    exercise: str  # what is checked
    where: str  # where the course treats it
    noun: str  # what the value is, as in "twice the divergence"
    arguments: tuple[str, ...]
    truth: Callable[..., Array]  # the right answer, (n, d) arrays -> (n,), by an implementation of its own
    draw: Draw  # random arguments
    core: Mapping[str, Term]  # the right answer's terms by their names; "1" is the constant
    stand_ins: Mapping[str, str]  # what may replace each of these, the likeliest first, with commas between
    extras: Terms  # elementwise terms that mistakes bring in
    whole: Terms = field(default_factory=dict)  # such terms that are functions of a whole row
    patterns: Sequence[Pattern] = ()  # mistakes that touch several terms; the first that fits is named
    averaged: Finding | None = None  # the mistake of a mean over the event; None where there is no such event
    constant: str = "A constant is added that does not belong here."  # the sentence about a wrong constant
    answer: str = ""  # what comes before the right value in an example, where not "… is"
    half: str = "a factor ½ is lost"  # the likely cause of a value that is twice as large
    unknown: Finding = UNKNOWN  # what is said when nothing fits
    letters: Mapping[str, str] = field(default_factory=dict)  # what the names of terms call the arguments
    is_log: bool = False  # the value is a logarithm, which may be forgotten
    axis: str = "latents"  # what the event axis holds
    dims: tuple[int, int] = (3, 5)  # two event sizes
    simple: Sequence[tuple[float, ...]] = ()  # arguments for an example, one number each, the smallest first
    extreme: Rows = ()  # rows at which a right function must stay right
    beyond: Rows = ()  # rows at which it is only noted if it does not
    safety: frozenset[str] = frozenset()  # terms that a small number added for safety brings in
    stable_where: str = ""  # where the course treats such rows
    harmless: Sequence[Draw] = ()  # other draws, for when values are not finite or nothing fits
    # Reads a random function exactly, told whether it mixes the rows of a batch; None where it cannot.
    read_random: Callable[[Student, bool], Reading | None] = lambda student, reduced: None

    @property
    def true(self) -> dict[str, float]:
        """The coefficients of the right answer."""
        return {name: term.coefficient for name, term in self.core.items()}

    @property
    def terms(self) -> dict[str, Callable[..., Array]]:
        """All terms by their names: of the right answer and of mistakes."""
        return {**self.core, **self.extras, **self.whole}

    def relative(self, coefficients: Coefficients) -> dict[str, float]:
        """What multiplies the right answer's terms, and the coefficients of other terms."""
        return {name: value / self.true.get(name, 1.0) for name, value in coefficients.items()}

    def factors(self, relative: Coefficients) -> dict[str, float]:
        """What multiplies the right answer's terms, 0 where one is missing."""
        return {name: relative.get(name, 0.0) for name in self.core}

    def replaced_by(self, name: str, others: Iterable[str]) -> list[str]:
        """Those of other terms that may have replaced one, the likeliest first."""
        return [other for other in self.stand_ins.get(name, "").split(", ") if other in others]

    def pattern(self, relative: Coefficients) -> list[Finding]:
        """The findings of the first pattern that fits."""
        return next((pattern.findings for pattern in self.patterns if pattern.fits(relative)), [])

    def write(self, names: Iterable[str]) -> str:
        """Terms as a message writes them."""
        text = names_of([self.core[n].written or n if n in self.core else n for n in names])
        for letter, argument in self.letters.items():
            text = re.sub(rf"\b{letter}\b", argument, text)
        return text


def check_formula(fn: Callable[..., Any], formula: Formula) -> Report:
    """Compares a function with a formula, and names its mistakes.

    Args:
        fn: the student's function.
        formula: what it should be.

    Raises:
        TypeError: fn is not a function.
    """
    as_function(fn)

    def check(fn: Callable[..., Any]) -> Report:
        return safely(formula.exercise, lambda: compare(Student(fn), formula))

    return whichever_order(bound(fn), formula.arguments, check)


def compare(student: Student, formula: Formula) -> Report:
    """The same for a guarded function.

    Raises:
        Failed: it gave nothing that can be compared.
    """
    try:
        measurement = measure(student, formula.draw, formula.dims, formula.axis)
    except Failed as failed:
        rescued = _elsewhere(student, formula) if failed.finding.code == "error" else []
        if not rescued:
            raise
        return report(formula.exercise, rescued, where=formula.where)
    findings, notes = measurement.findings, measurement.notes
    if measurement.noise or (measurement.mixes_rows and not measurement.samples):
        reading = formula.read_random(student, measurement.mixes_rows)
        if reading is not None:
            findings = [*findings, *name_mistakes(formula, reading)]
            seen = smallest_example(student, formula, measurement.noise) if findings else ""
            return report(formula.exercise, findings, seen, notes, formula.where)
    if not measurement.samples:
        if student.seconds < SLOW:
            findings = _elsewhere(student, formula) or findings
        return report(formula.exercise, findings, "", notes, formula.where)
    if all(fitting.agrees(sample, formula.truth) for sample in measurement.samples):
        right = Reading(formula.true, frozenset())
        findings = [*findings, *_unstable(student, formula, measurement, right)]
        if not findings and (event := _breakdown(student, formula, measurement, right, formula.beyond)):
            notes.append(f"for {event}")
    else:
        findings = [*findings, *_diagnose(student, formula, measurement)]
    seen = smallest_example(student, formula, measurement.noise) if findings else ""
    return report(formula.exercise, findings, seen, notes, formula.where)


def _diagnose(student: Student, formula: Formula, measurement: Measurement) -> list[Finding]:
    """The mistakes in values that are not right."""
    for factor in (-1.0, 2.0, -2.0, 0.5, -0.5) if measurement.noise else ():
        multiple = partial(_times, factor, formula.truth)
        if all(fitting.agrees(sample, multiple) for sample in measurement.samples):
            return name_mistakes(
                formula, Reading({n: factor * c for n, c in formula.true.items()}, frozenset())
            )
    if left_out := _left_out(formula, measurement):
        return left_out
    reading = read(measurement, formula.core, formula.extras, formula.whole)
    if reading is not None and (small := _for_safety(formula, reading)):
        rest = {name: value for name, value in reading.coefficients.items() if name not in small}
        return [NEARLY, *name_mistakes(formula, replace(reading, coefficients=rest))]
    if reading is not None and (reading.exact or _simple(formula, reading)):
        findings = name_mistakes(formula, reading, noisy=bool(measurement.noise))
        return [*findings, *_unstable(student, formula, measurement, reading)]
    if formula.is_log and all((sample.values > 0).all() for sample in measurement.samples):
        logarithms = [Sample(sample.rows, np.log(sample.values)) for sample in measurement.samples]
        reading = read(Measurement(logarithms), formula.core, formula.extras)
        if reading is not None:
            return [DENSITIES, *name_mistakes(formula, reading)]
    if all(fitting.agrees(sample, formula.truth, tolerance=0.03) for sample in measurement.samples):
        return [NEARLY]
    return _elsewhere(student, formula) or [formula.unknown]


def _left_out(formula: Formula, measurement: Measurement) -> list[Finding]:
    """Whether the values are right but for entries of the rows that are not counted."""
    for words, part in LEFT_OF.items():

        def shorter(*rows: Array, part: slice = part) -> Array:
            return formula.truth(*(row[..., part] for row in rows))

        if all(fitting.agrees(sample, shorter) for sample in measurement.samples):
            text = words.format(axis=formula.axis)
            return [said(f"term-missing: Of each row {text}: the sum goes over all of them.")]
    return []


def _for_safety(formula: Formula, reading: Reading) -> set[str]:
    """The terms that a small number leaves which is added inside a logarithm or a denominator."""
    return {n for n, value in reading.coefficients.items() if n in formula.safety and abs(value) < 0.01}


def _times(factor: float, truth: Callable[..., Array], *rows: Array) -> Array:
    return factor * truth(*rows)


def _simple(formula: Formula, reading: Reading) -> bool:
    """Whether the coefficients are such as people write; chance fits of other functions have odd ones."""
    relative = formula.relative(reading.coefficients)
    scale = fitting.overall_factor(formula.factors(relative))
    return all(fitting.simple(value / scale) for value in relative.values())


def _elsewhere(student: Student, formula: Formula) -> list[Finding]:
    """The mistakes seen at arguments that spare the function what it cannot take."""
    for draw in formula.harmless:
        try:
            measurement = measure(student, draw, formula.dims, formula.axis)
        except Failed:
            continue
        if measurement.samples:
            reading = read(measurement, formula.core, formula.extras, formula.whole)
            if reading is not None and (findings := name_mistakes(formula, reading)):
                return [*measurement.findings, *findings]
    return []


def name_mistakes(formula: Formula, reading: Reading, noisy: bool = False) -> list[Finding]:
    """The mistakes that coefficients show; none when they are those of the right answer.

    Args:
        formula: the right answer.
        reading: the coefficients.
        noisy: they are read off a Monte Carlo estimate, and taken as the nearest quarter of the right ones.
    """
    relative = formula.relative(reading.coefficients)
    if noisy:
        relative = {name: round(4 * c) / 4 for name, c in relative.items() if round(4 * c)}
    if not relative:
        return [said("unknown: Your function gives 0, whatever its arguments are.")]
    findings: list[Finding] = []
    if reading.averaged == {CONSTANT} and set(relative) != {CONSTANT}:
        if CONSTANT in formula.core:  # elsewhere any constant is one too many, which is said below
            once = said(f"constant: The constant is added once; each of the {formula.axis} has its own.")
            findings.append(once)
            factors = formula.factors(relative)
            relative[CONSTANT] = fitting.overall_factor({n: f for n, f in factors.items() if n != CONSTANT})
    elif reading.averaged and formula.averaged:
        code, text, where = formula.averaged
        if not reading.averaged >= set(relative) - {CONSTANT}:
            text += f" It concerns {formula.write(sorted(reading.averaged))}."
        findings.append(Finding(code, text, where))
    scale = overall_scale(formula, relative, reading.grown)
    relative = {name: value / scale for name, value in relative.items()}
    whole = set(relative) == set(formula.core) and all(same(factor, 1) for factor in relative.values())
    findings += _scale_findings(formula, scale, partly=not whole)
    return [*findings, *(formula.pattern(relative) or _term_findings(formula, relative))]


def overall_scale(formula: Formula, relative: Coefficients, grown: frozenset[str] = frozenset()) -> float:
    """The factor in front of everything; one that leaves a pattern with a name is preferred.

    Args:
        formula: the right answer.
        relative: what multiplies its terms, and the coefficients of others.
        grown: terms whose factor depends on the event's size, and says little.
    """
    sizes = {sign * abs(value) for value in relative.values() if value for sign in (1, -1)}
    for scale in (1.0, -1.0, 2.0, -2.0, 0.5, -0.5, *sorted(sizes, reverse=True)):
        if formula.pattern({name: value / scale for name, value in relative.items()}):
            return scale
    # A relative that replaced a term with the same coefficient speaks for the factor, though less.
    votes = formula.factors(relative)
    missing = [name for name, factor in votes.items() if not factor]
    for name in missing:
        for stand_in in formula.replaced_by(name, relative):
            votes[name] = relative[stand_in] / formula.true[name]
    if len(missing) == len(votes):  # nothing of the right answer is left: only a sign can be told
        return -1.0 if any(votes.values()) and max(votes.values()) <= 0 else 1.0
    return fitting.overall_factor(votes, {**dict.fromkeys(missing, 0.5), **dict.fromkeys(grown, 0.1)})


def _scale_findings(formula: Formula, scale: float, partly: bool) -> list[Finding]:
    """What a factor before everything means, or before all but the terms that are named after it."""
    findings = []
    value, exactly = ("Most of your value", "") if partly else ("Your value", "exactly ")
    if scale < 0:
        findings.append(Finding("sign", f"{value} has the opposite sign: this is minus {formula.noun}."))
    if same(abs(scale), 2):
        findings.append(Finding("half", f"{value} is {exactly}twice {formula.noun}: {formula.half}."))
    elif not same(abs(scale), 1):
        bits = " In nats, not bits?" if same(abs(scale), 1 / np.log(2)) else ""
        findings.append(Finding("scale", f"{value} is {in_words(abs(scale))} times {formula.noun}.{bits}"))
    return findings


def _term_findings(formula: Formula, relative: Coefficients) -> list[Finding]:
    """Mistakes term by term, after the overall factor."""
    findings, missing, factors = [], [], formula.factors(relative)
    left = {name: value for name, value in relative.items() if name not in factors}
    constant = Finding("constant", formula.constant)
    for name, factor in factors.items():
        term = formula.core[name]
        if same(factor, 1):
            continue
        stand_ins = formula.replaced_by(name, left)
        if factor:
            findings += _factor_findings(formula, name, factor)
        elif stand_ins:
            size = abs(left.pop(stand_ins[0]) / term.coefficient)
            findings += _replaced(formula, term, stand_ins[0], size if any(factors.values()) else 1.0)
        elif term.missing or name == CONSTANT:
            findings.append(term.missing or constant)
        else:
            missing.append(
                said(f"term-missing: {_begin(formula.write([name]))} is not in your value at all.")
            )
    if any(factors.values()) or not left:  # else the value is so different that nothing is said of its parts
        findings += missing
    if left.pop(CONSTANT, None):
        findings.append(constant)
    if left:
        findings.append(said(f"term-wrong: A term with {formula.write(left)} does not belong here."))
    return findings


def _replaced(formula: Formula, term: Term, stand_in: str, size: float) -> list[Finding]:
    """What another term in the place of one means, with so many times its coefficient."""
    unnamed = f"term-wrong: Your value contains {formula.write([stand_in])}, in the place of another term."
    first, *others = term.replaced.get(stand_in, [said(unnamed)])
    if not same(size, 1):
        first = first._replace(text=f"{first.text} Its factor is {in_words(size)}.")
    return [first, *others]


def _begin(words: str) -> str:
    """The words as a sentence begins with them; a formula stays as it is."""
    return f"T{words[1:]}" if words.startswith("the ") else words


def _factor_findings(formula: Formula, name: str, factor: float) -> list[Finding]:
    """What a wrong factor of a term that is there means."""
    term, size, written = formula.core[name], abs(factor), formula.write([name])
    findings = [Finding("constant", formula.constant)] if name == CONSTANT else []
    if factor < 0 and (name != CONSTANT or same(size, 1)):
        findings.append(term.turned or said(f"term-sign: The sign of {written} is turned round."))
    if name != CONSTANT and not same(size, 1):
        named = [finding for scale, finding in term.scaled.items() if same(size, scale)]
        unnamed = said(f"""term-scale: {_begin(written)} has {in_words(size)} times the coefficient that it
            should have, compared with the other terms.""")
        findings += named[:1] or [unnamed]
    return findings


def _unstable(student: Student, formula: Formula, seen: Measurement, reading: Reading) -> list[Finding]:
    """Whether a function stays at extreme arguments what it is at moderate ones."""
    event = _breakdown(student, formula, seen, reading, formula.extreme)
    # Networks have single precision; of other sums the parts may cancel, which says nothing more.
    if not event and student.kind == "torch float64" and reading.coefficients == formula.true:
        single = Student(student.fn, ("torch float32",), student.result)
        event = _breakdown(single, formula, seen, reading, formula.extreme)
        event = event and f"{event} (In single precision, that of networks; in double it is right.)"
    return [Finding("unstable", f"For {event}", formula.stable_where)] if event else []


def _breakdown(student: Student, formula: Formula, seen: Measurement, reading: Reading, rows: Rows) -> str:
    """The first of some rows where a function is not what it is at moderate ones, and its value there."""
    copies = 1 if seen.mixes_rows else BATCH  # it was measured in a batch
    for row in rows if not seen.noise else ():
        arguments = [np.tile(values, (copies, 1)) for values in row]
        try:
            value = float(student(*arguments).reshape(copies, -1)[0].sum())
        except Failed:
            value = np.nan
        expected = reading.at(formula.terms, *(argument[:1] for argument in arguments))
        if np.isfinite(expected) and not abs(value - expected) <= 1e-3 * abs(expected) + 1e-3:
            shown = " and ".join(f"{n} = {_numbers(v)}" for n, v in zip(formula.arguments, row, strict=True))
            return (
                f"{shown} your function gives {value:.4g} where, by its values at moderate "
                f"arguments, {expected:.4g} is to be expected. Something overflows or is rounded away "
                "before a logarithm is taken, or a small number added for safety, or a clip, wins."
            )
    return ""


def smallest_example(student: Student, formula: Formula, noise: float = 0.0) -> str:
    """The smallest example at which the function is wrong, in words: one row of one entry, or of two.

    Args:
        student: the function.
        formula: what it should be.
        noise: the standard error of its values.
    """
    student.calls = 0  # which seeds the noise: what is said must not depend on how many calls time allowed
    rows = [[(value,) for value in values] for values in formula.simple]
    if formula.dims[1] > 1:
        rows += [[(value, value) for value in values] for values in formula.simple[:3]]
    for row in rows:
        arguments = [np.array([values], float) for values in row]
        try:
            value = student(*arguments)
        except Failed:
            return ""
        right = float(np.sum(formula.truth(*arguments)))
        if value.size == 1 and not abs(value.item() - right) <= 1e-4 * (1 + abs(right)) + 5 * noise:
            shown = [_numbers(v) if formula.dims[1] == 1 else f"[{_numbers(v)}]" for v in row]
            named = names_of(f"{n} = {v}" for n, v in zip(formula.arguments, shown, strict=True))
            given, right = (f"{number + 0.0:.4g}" for number in (value.item(), right))
            answer = formula.answer or f"{formula.noun} is"
            return f"For {named} your function gives {given}; {answer} {right}."
    return ""


def _numbers(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in values) + "]"
