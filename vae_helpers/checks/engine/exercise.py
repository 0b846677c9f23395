"""An exercise: its answer by another road, a program whose steps may slip, and a teacher's words.

def _by_formula(mu, std, *, half=0.5, spread=np.square):  # each step that may slip is a keyword
    return half * (spread(std) + mu**2 - 1) - np.log(std)

check_kl = Exercise(
    ..., truth=_by_quadrature, program=_by_formula, cases=[(0.0, 2.0), (1.0, 0.5), (-2.0, 1.5)],
    mistakes=["σ stands where σ² belongs.", Mistake("std-for-var", spread=float)],
)
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise, product
from typing import Any

import numpy as np

from vae_helpers.checks.engine import comparing
from vae_helpers.checks.engine.calling import KINDS, Failed, Student, as_function
from vae_helpers.checks.engine.codes import CODES
from vae_helpers.checks.engine.report import Finding, Report, report, safely
from vae_helpers.numerics._validate import Array

Answer = Callable[..., Any]
Case = tuple[Any, ...]


class AnyOf(tuple[Any, ...]):
    """Several ways to get one step wrong to which a teacher says the same: `AnyOf(1, 2, np.sqrt(3))`."""

    def __new__(cls, *ways: Any) -> AnyOf:
        """Takes the ways as separate arguments."""
        return super().__new__(cls, ways)


Way = Answer | AnyOf | None


class Mistake:
    """A mistake that an exercise invites: how the program has to be changed to make it.

    Args:
        code: a key of `CODES`.
        where: where the reader should look; empty: where the exercise does.
        then: what is done to the program's result in the end.
        instead: another program, where no step of the exercise's program can slip in this way.
        steps: keyword-only arguments of the program, and what they become.

    Each of the last three may be an `AnyOf`.
    """

    def __init__(
        self, code: str, *, where: str = "", then: Way = None, instead: Way = None, **steps: Any
    ) -> None:
        self.code, self.where, self.then, self.instead, self.steps = code, where, then, instead, steps

    def together_with(self, **steps: Any) -> Mistake:
        """This mistake with further steps that slip at the same time."""
        return Mistake(
            self.code, where=self.where, then=self.then, instead=self.instead, **self.steps, **steps
        )

    def variants(self, program: Answer) -> list[Answer]:
        """What someone computes who makes the mistake, in each of the ways that it is made."""
        steps = self.instead or program, self.then, *self.steps.values()
        choices = [step if isinstance(step, AnyOf) else [step] for step in steps]
        return [
            partial(_slipped, answer, then, dict(zip(self.steps, values, strict=True)))
            for answer, then, *values in product(*choices)
        ]


def _slipped(answer: Answer, then: Callable[[Any], Any] | None, steps: Mapping[str, Any], *case: Any) -> Any:
    result = answer(*case, **steps)
    return result if then is None else then(result)


@dataclass(frozen=True)
class Extremes:
    """Arguments at which numbers become infinite or vanish, though the answer is an ordinary number.

    Attributes:
        cases: such arguments.
        cause: what a teacher says of an answer that is right at moderate arguments only.
        tolerance: largest error, relative to 1 + |value|.
        where: where the reader should look; empty: where the exercise does.
    """

    cases: Sequence[Case]
    cause: str
    tolerance: float = 1e-4
    where: str = ""


@dataclass(frozen=True)
class Exercise:
    """One exercise. Calling it checks a function; `help` of it says what the function takes and returns.

    Attributes:
        title: its name, as the report shows it.
        takes: the arguments of the function that is asked for, in words.
        returns: its result, in words.
        source: where the formula stands.
        where: where the course treats the subject.
        truth: the answer, by another road than the exercise suggests; its arguments have the names that
            a report uses. It returns numbers: a number, an array or a tuple of them.
        program: the answer by the suggested road; its keyword-only arguments are the steps that may slip.
        cases: arguments to try, the smallest first, and so many that no constant fits. What is no array is
            handed over as a copy.
        mistakes: sentences of a teacher, each followed by the mistakes to which it is said, in the order in
            which they are tried.
        tolerance: largest error, relative to 1 + |value|.
        kinds: which arrays the function is given ("numpy", "torch float32", …), in this order.
        extremes: what a right answer should survive, too.
        further: a second exercise for whoever passes this one.
        also_right: steps of the program that make another right answer.
    """

    title: str
    takes: str
    returns: str
    source: str
    where: str
    truth: Answer
    program: Answer
    cases: Sequence[Case]
    mistakes: Sequence[str | Mistake]
    tolerance: float = 1e-4
    kinds: Sequence[str] = KINDS
    extremes: Extremes | None = None
    further: Exercise | None = None
    also_right: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        parameters = inspect.signature(self.program).parameters.values()
        known = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        for mistake, _ in self._marked():
            if mistake.code not in CODES:
                raise ValueError(f"mistakes: expected a key of CODES, got {mistake.code!r} in {self.title!r}")
            if mistake.instead is None and (unknown := set(mistake.steps) - known):
                wanted, got = f"steps of the program, {', '.join(sorted(known))}", ", ".join(sorted(unknown))
                raise ValueError(f"mistakes: expected {wanted}, got {got} in {self.title!r}")
        manual = (
            f"Checks an answer to the exercise “{self.title}”.\n\n"
            f"Args:\n    fn: takes {self.takes}; returns {self.returns}.\n\n"
            "Returns:\n    A `Report`; its codes are explained in `vae_helpers.checks.CODES`.\n\n"
            "Raises:\n    TypeError: fn is not a function.\n\n"
            f"Source: {self.source}."
        )
        object.__setattr__(self, "__doc__", manual)

    def __repr__(self) -> str:
        """As a reader sees it who forgot to call it."""
        return f"the check of “{self.title}”: call it with your function"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the arguments."""
        parameters = inspect.signature(self.truth).parameters.values()
        return tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)

    def slips(self) -> list[tuple[Mistake, str, Answer]]:
        """Each mistake, what a teacher says to it, and what someone computes who makes it."""
        marked = self._marked()
        return [(mistake, said, way) for mistake, said in marked for way in mistake.variants(self.program)]

    def _marked(self) -> Iterator[tuple[Mistake, str]]:
        """Each mistake with the sentence before it."""
        said = ""
        for item, after in pairwise([*self.mistakes, ""]):
            if isinstance(item, Mistake) and said:
                yield item, said
            elif isinstance(item, str) and isinstance(after, Mistake):
                said = item
            else:
                wanted = "sentences, each before its mistakes"
                raise ValueError(f"mistakes: expected {wanted}, got {item!r} in {self.title!r}")

    def __call__(self, fn: Answer) -> Report:
        """Checks a function.

        Raises:
            TypeError: fn is not a function.
        """
        conventions = [self]
        if self.also_right is not None:
            other = partial(self.program, **self.also_right)
            conventions.append(replace(self, truth=other, program=other, also_right=None))
        as_function(fn)
        reports = [safely(self.title, partial(each._check_both, fn)) for each in conventions]
        best = min(reports, key=lambda report: (not report.passed, "unknown" in report.codes))
        return self.further(fn) if best.passed and self.further else best

    def _check_both(self, fn: Answer) -> Report:
        """At moderate arguments, and then at the extremes: what fails only there is called unstable."""
        student = Student(_on_copies(fn), self.kinds, comparing.as_numbers)
        report_of_cases = self._check(student)
        if not report_of_cases.passed or self.extremes is None:
            return report_of_cases
        extreme = replace(self, cases=self.extremes.cases, tolerance=self.extremes.tolerance)
        with np.errstate(all="ignore"):  # infinity is to be expected there
            at_extremes = extreme._check(student)
        if at_extremes.passed:
            return at_extremes
        lines = at_extremes.message.splitlines()
        seen = " ".join(lines[: 2 if "error" in at_extremes.codes else 1])
        unstable = Finding("unstable", self.extremes.cause, self.extremes.where or self.where)
        return report(self.title, [unstable], seen)

    def _check(self, student: Student) -> Report:
        wanted: list[Array] = []
        given: list[Array] = []
        for case in self.cases:
            seen = f"For {comparing.show(self.names, case)}:"
            try:
                value = student(*case)  # first: where nothing is attempted, no truth is needed
                expected = comparing.as_numbers(self.truth(*case))
                value = comparing.in_shape_of(expected, value)
            except Failed as failed:
                not_attempted = failed.finding.code == "not-attempted"
                return report(self.title, [failed.finding], "" if not_attempted else seen)
            if value.shape != expected.shape:
                return report(self.title, [self._placed(comparing.wrong_shape(case, value, expected))], seen)
            given.append(value)
            wanted.append(expected)
        if comparing.all_close(given, wanted, self.tolerance):
            return report(self.title, notes=student.notes)
        seen = comparing.counterexample(self.names, self.cases, given, wanted, self.tolerance)
        return report(self.title, [self._diagnose(given, wanted)], seen)

    def _diagnose(self, given: list[Array], wanted: list[Array]) -> Finding:
        """The mistake whose answers these are, or else what can be said of any numbers."""
        for mistake, said, answer in self.slips():
            with np.errstate(all="ignore"):
                answers = [comparing.as_numbers(answer(*case)) for case in self.cases]
            same_shape = all(a.shape == w.shape for a, w in zip(answers, wanted, strict=True))
            if same_shape and comparing.all_close(given, answers, self.tolerance):
                return Finding(mistake.code, said, mistake.where or self.where)
        return self._placed(comparing.describe(given, wanted, self.tolerance))

    def _placed(self, finding: Finding) -> Finding:
        return finding._replace(where=self.where) if self.where else finding


def _on_copies(fn: Answer) -> Answer:
    """The function, called with copies of what is no array, so that no call can harm the next.

    Arrays are made anew for each call, and looked at afterwards for changes.
    """

    def is_array(argument: Any) -> bool:
        floating = getattr(argument, "is_floating_point", None)  # a tensor's; those of indices are shared
        return isinstance(argument, np.ndarray) or (floating is not None and floating())

    return lambda *arguments: fn(*(a if is_array(a) else copy.deepcopy(a) for a in arguments))
