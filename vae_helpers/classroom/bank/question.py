"""A question whose numbers are drawn; its answer comes from an oracle, each wrong one from a named mistake.

Question(
    "03-kl-by-hand", section=4, level=1,
    text="What is the KL divergence of $q = \\mathcal{N}(<mu>, <std>^2)$ from $\\mathcal{N}(0, 1)$?",
    draw=lambda rng: {"mu": between(rng, -2, 2, 0.1), "std": pick(rng, 0.5, 2.0)},
    answer=lambda mu, std: gaussian.kl_standard_normal(mu, 2 * np.log(std)),
    slips=[Slip("half", "The ½ in front is lost.", lambda mu, std: …), …],
    solution="$\\tfrac12(<std>^2 + <(mu)>^2 - 1 - \\log <std>^2) = <answer>$ nats.",
)
"""

from __future__ import annotations

import inspect
import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from vae_helpers.classroom.bank.mistakes import meaning
from vae_helpers.numerics._validate import as_count, as_rng

MOST_TRIES = 500  # draws of parameters until one has answers that can be told apart
_PLACE = re.compile(r"<(\(?)(\w+)\)?>")
Values = dict[str, Any]


@dataclass(frozen=True)
class Slip:
    """A mistake that a question invites.

    Attributes:
        name: a key of `CODES` or of `mistakes.NAMES`.
        said: what a teacher says to it; may name parameters.
        value: what someone computes who makes it; its arguments are parameters by their names.
    """

    name: str
    said: str
    value: Callable[..., Any]


@dataclass(frozen=True)
class Statement:
    """An option in words, which holds or does not.

    Attributes:
        text: the option; may name parameters.
        holds: whether it is true at the drawn parameters.
        name: the mistake of someone who chooses it where it is false; as in `Slip`.
        said: what a teacher says then.
    """

    text: str
    holds: Callable[..., Any]
    name: str
    said: str


@dataclass(frozen=True)
class Question:
    """One question. `<name>` in its texts is that parameter, `<(name)>` the same with brackets if negative.

    Attributes:
        key: its name, which begins with the two digits of the notebook.
        section: the number of the notebook's section that answers it.
        level: how difficult it is, from 1 to 3.
        text: what is asked, with formulas between dollars and code between backquotes.
        draw: takes a generator and returns the parameters.
        solution: the way to the answer with its numbers; may name parameters, steps and `<answer>`.
        answer: the number that is asked for, by an oracle of the course.
        slips: the mistakes that lead to other numbers, of different names.
        statements: instead of a number: options of which exactly one holds.
        typed: whether the number is typed in; otherwise it is chosen among those of the slips.
        unit: of the number.
        digits: decimals that are printed; 0 for whole numbers.
        trim: whether zeros at the end of the decimals are left out.
        relative: share of the number by which a typed one may be off, where that is more than half a unit of
            the last decimal but one.
        steps: numbers on the way, for the texts.
    """

    key: str
    section: int
    level: int
    text: str
    draw: Callable[[np.random.Generator], Values]
    solution: str
    answer: Callable[..., Any] | None = None
    slips: Sequence[Slip] = ()
    statements: Sequence[Statement] = ()
    typed: bool = False
    unit: str = "nats"
    digits: int = 3
    trim: bool = False
    relative: float = 0.0
    steps: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wrong = self.slips or self.statements
        if not re.fullmatch(r"0[1-9](-[a-z0-9]+)+", self.key):
            raise ValueError(f"key: expected two digits of a notebook and words, got {self.key!r}")
        if self.level not in (1, 2, 3):
            raise ValueError(f"level: expected 1, 2 or 3, got {self.level!r} in {self.key}")
        if (self.answer is None) == (not self.statements) or self.slips and self.statements:
            raise ValueError(f"answer: expected it with slips, or statements alone, in {self.key}")
        if len(wrong) < 3:
            raise ValueError(f"slips: expected at least 3, got {len(wrong)} in {self.key}")
        names = [one.name for one in wrong]
        if self.slips and len(set(names)) < len(names):
            raise ValueError(f"slips: expected different names, got {', '.join(names)} in {self.key}")
        for name in names:
            meaning(name)

    @property
    def notebook(self) -> str:
        """The two digits of its notebook."""
        return self.key[:2]


@dataclass(frozen=True)
class Option:
    """What may be chosen or typed.

    Attributes:
        text: as it is shown.
        right: whether it is the answer.
        name: of the mistake; empty for the answer.
        said: what a teacher says to it; empty for the answer.
        number: as a program reads it, where it is a number; with the decimals that are printed.
    """

    text: str
    right: bool
    name: str = ""
    said: str = ""
    number: str = ""


@dataclass(frozen=True)
class Variant:
    """A question with its numbers.

    Attributes:
        question: whose variant it is.
        values: the parameters.
        text: what is asked.
        options: in the order in which they are shown; exactly one is right.
        solution: the way to the answer.
        tolerance: by how much a typed number may be off.
    """

    question: Question
    values: Values
    text: str
    options: tuple[Option, ...]
    solution: str
    tolerance: float = 0.0


# ---- what a draw is made of ------------------------------------------------------------------


def pick(rng: np.random.Generator, *values: Any) -> Any:
    """One of these values."""
    return values[int(rng.integers(len(values)))]


def between(rng: np.random.Generator, low: float, high: float, step: float) -> float:
    """A number from low to high, both included, in steps; no more decimals than the step, and no -0."""
    return float(round(low + step * int(rng.integers(round((high - low) / step) + 1)), 10)) + 0.0


def some(rng: np.random.Generator, count: int, low: float, high: float, step: float) -> tuple[float, ...]:
    """So many different numbers as `between` gives, in the order in which they were drawn."""
    places = rng.choice(round((high - low) / step) + 1, size=count, replace=False)
    return tuple(float(round(low + step * int(place), 10)) + 0.0 for place in places)


# ---- drawing ---------------------------------------------------------------------------------


def generator(key: str, seed: int) -> np.random.Generator:
    """The generator of a question: what is drawn for one does not depend on the others."""
    seed = as_count("seed", seed, minimum=0, maximum=2**63 - 1)
    return np.random.default_rng([seed, zlib.crc32(key.encode())])


def variants(question: Question, count: int, seed: int) -> list[Variant]:
    """So many variants with different texts.

    Args:
        question: whose variants they are.
        count: how many.
        seed: the same seed gives the same variants, and fewer of them the first of more.

    Raises:
        ValueError: there are no numbers, or not enough, whose answers can be told apart.
    """
    rng, found, repeats = generator(question.key, seed), {}, 0
    as_count("count", count)
    while repeats < MOST_TRIES:
        variant = draw(question, rng)
        face = variant.text, frozenset(option.text for option in variant.options)
        repeats = repeats + 1 if face in found else 0
        found.setdefault(face, variant)
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"count: expected at most {len(found)} variants of {question.key}, got {count}")


def draw(question: Question, rng: np.random.Generator) -> Variant:
    """One variant, drawn anew until its options can be told apart.

    Raises:
        ValueError: that did not come in `MOST_TRIES` draws.
    """
    as_rng("rng", rng)
    for _ in range(MOST_TRIES):
        values = question.draw(rng)
        with np.errstate(all="ignore"):
            variant = _stated(question, values) if question.statements else _computed(question, values)
        if variant is not None:
            order = rng.permutation(len(variant.options))
            options = tuple(variant.options[place] for place in order)
            return Variant(question, values, variant.text, options, variant.solution, variant.tolerance)
    raise ValueError(f"draw: expected answers that can be told apart, got none for {question.key}")


def call(function: Callable[..., Any], values: Values) -> Any:
    """A function's value at those parameters that it asks for; what has a default may be missing."""
    wanted = inspect.signature(function).parameters.values()
    return function(**{p.name: values[p.name] for p in wanted if p.name in values or p.default is p.empty})


def _computed(question: Question, values: Values) -> Variant | None:
    """The variant with these numbers; None if two of its answers look alike."""
    numbers = [float(call(one, values)) for one in (question.answer, *(s.value for s in question.slips))]
    if not all(map(math.isfinite, numbers)):
        return None
    printed = [_printed(number, question.digits, question.trim) for number in numbers]
    least = 5 * 10.0**-question.digits if question.digits else 0.0
    tolerance = max(least, float(f"{question.relative * abs(numbers[0]):.1g}"))
    apart = max(2 * tolerance, 0.5) if not question.digits else 2 * tolerance
    if any(abs(float(one) - float(other)) <= apart for one, other in combinations(printed, 2)):
        return None
    shown = _shown(question, values) | {"answer": _grouped(printed[0])}
    options = [Option(_with_unit(printed[0], question.unit), True, number=printed[0])]
    for slip, text in zip(question.slips, printed[1:], strict=True):
        said = _filled(slip.said, shown, question.key)
        options.append(Option(_with_unit(text, question.unit), False, slip.name, said, text))
    text, solution = (_filled(t, shown, question.key) for t in (question.text, question.solution))
    return Variant(question, values, text, tuple(options), solution, tolerance)


def _stated(question: Question, values: Values) -> Variant | None:
    """The variant with these numbers; None unless exactly one statement holds."""
    holds = [bool(call(statement.holds, values)) for statement in question.statements]
    if sum(holds) != 1:
        return None
    shown = _shown(question, values)
    options = []
    for statement, right in zip(question.statements, holds, strict=True):
        text, said = (_filled(t, shown, question.key) for t in (statement.text, statement.said))
        options.append(Option(text, True) if right else Option(text, False, statement.name, said))
    if len({option.text for option in options}) < len(options):
        return None
    shown["answer"] = next(option.text for option in options if option.right)
    text, solution = (_filled(t, shown, question.key) for t in (question.text, question.solution))
    return Variant(question, values, text, tuple(options), solution)


# ---- how numbers look ------------------------------------------------------------------------


def _printed(number: float, digits: int, trim: bool) -> str:
    """With so many decimals, or without the zeros at their end; zero has no sign."""
    text = f"{number:.{digits}f}"
    if trim and digits:
        text = text.rstrip("0").rstrip(".")
    return text.lstrip("-") if float(text) == 0 else text


def _grouped(text: str) -> str:
    """The same for TeX, with commas from 10,000 on."""
    whole, point, decimals = text.partition(".")
    return f"{int(whole):,}".replace(",", "{,}") + point + decimals if len(whole.lstrip("-")) > 4 else text


def _with_unit(text: str, unit: str) -> str:
    return f"${_grouped(text)}$ {unit}".strip()


def _text(value: Any) -> str:
    """A parameter as it is shown, with all its digits; zero has no sign."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple | list):
        return ", ".join(map(_text, value))
    if isinstance(value, int | np.integer):
        return _grouped(str(int(value)))
    return _grouped(np.format_float_positional(float(value) + 0.0, trim="-"))


def _shown(question: Question, values: Values) -> dict[str, str]:
    steps = {name: _rounded(call(step, values)) for name, step in question.steps.items()}
    return {name: _text(value) for name, value in (values | steps).items()}


def _rounded(value: Any) -> Any:
    """A step as it is shown: words as they are, numbers with four decimals, below 0.1 with four digits."""
    if isinstance(value, str):
        return value
    return [float(f"{one:.4g}") if abs(one) < 0.1 else round(float(one), 4) for one in np.ravel(value)]


def _filled(template: str, shown: Mapping[str, str], key: str) -> str:
    def found(place: re.Match[str]) -> str:
        if place[2] not in shown:
            raise ValueError(f"text: expected the name of a parameter, got {place[0]} in {key}")
        text = shown[place[2]]
        return f"({text})" if place[1] and text.startswith("-") else text

    return _PLACE.sub(found, template)
