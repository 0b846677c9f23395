"""The tables of the general checks: every row can be reached, names only what exists, and is all it takes."""

import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from support.cells import ROOT

from vae_helpers.checks import (
    CODES,
    check_bernoulli,
    check_elbo,
    check_kl,
    check_log_prob,
    check_reparameterize,
)
from vae_helpers.checks.engine.fitting import Reading
from vae_helpers.checks.engine.formula import Pattern, check_formula, name_mistakes, perhaps
from vae_helpers.checks.engine.report import Finding
from vae_helpers.checks.parts import sampling
from vae_helpers.checks.parts.bernoulli import BERNOULLI
from vae_helpers.checks.parts.elbo.check import PARTS
from vae_helpers.checks.parts.elbo.likelihoods import AS_PROBABILITIES, LIKELIHOODS, RIGHT
from vae_helpers.checks.parts.elbo.sampling import THE_MEAN, WRONG_DRAWS
from vae_helpers.checks.parts.kl import KL
from vae_helpers.checks.parts.log_prob import LOG_PROB
from vae_helpers.checks.parts.reparameterize import SAMPLE, SHARING
from vae_helpers.numerics.gaussian import kl_standard_normal

FORMULAS = [KL, LOG_PROB, BERNOULLI, PARTS, SAMPLE]
EACH = pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: f.exercise)
CHECKS = ROOT / "vae_helpers" / "checks"


@EACH
def test_a_row_names_terms_that_exist(formula):
    named = {name for pattern in formula.patterns for name in pattern.seen}
    for name, term in formula.core.items():
        stand_ins = set(filter(None, formula.stand_ins.get(name, "").split(", ")))
        named |= stand_ins
        assert set(term.replaced) <= stand_ins
    assert set(formula.stand_ins) <= set(formula.core)
    assert named <= set(formula.terms)
    assert len(formula.terms) == len(formula.core) + len(formula.extras) + len(formula.whole)


@EACH
def test_a_row_names_codes_that_exist(formula):
    said = [finding for pattern in formula.patterns for finding in pattern.findings]
    for term in formula.core.values():
        said += [
            term.missing,
            term.turned,
            *term.scaled.values(),
            *sum(map(list, term.replaced.values()), []),
        ]
    assert {finding.code for finding in [*said, formula.averaged, formula.unknown] if finding} <= set(CODES)


def coefficients(formula, pattern):
    """An example of what a pattern describes, with 0.7 or -0.7 where any coefficient may be there."""
    seen = {name: w if not callable(w) else 0.7 if w(0.7) else -0.7 for name, w in pattern.seen.items()}
    return {name: value * formula.true.get(name, 1.0) for name, value in seen.items() if value}


@EACH
def test_no_pattern_hides_behind_another(formula):
    for pattern in formula.patterns:
        reading = Reading(coefficients(formula, pattern), frozenset())
        assert name_mistakes(formula, reading) == pattern.findings


@EACH
def test_a_pattern_is_no_pattern_with_one_term_more(formula):
    for pattern in formula.patterns:
        seen = formula.relative(coefficients(formula, pattern))
        for name in set(formula.terms) - set(pattern.seen):
            assert not pattern.fits({**seen, name: 0.3})
        for name, wanted in pattern.seen.items():
            if wanted is not perhaps and wanted:
                assert not pattern.fits({other: value for other, value in seen.items() if other != name})


def test_a_new_message_takes_one_row():
    message = "The mean of q counts by its fourth power: a square was taken twice."
    term = replace(KL.core["μ²"], replaced={"μ⁴": [Finding("term-wrong", message)]})
    pattern = Pattern({"μ⁴": 0.5, "σ⁴": 0.5}, [Finding("unknown", "Fourth powers alone.")])
    formula = replace(KL, core={**KL.core, "μ²": term}, patterns=[*KL.patterns, pattern])
    one = check_formula(lambda mu, v: 0.5 * (mu**4 + np.exp(v) - 1 - v).sum(-1), formula)
    assert one.codes == {"term-wrong"} and message in one.message
    both = check_formula(lambda mu, v: 0.5 * (mu**4 + np.exp(2 * v)).sum(-1), formula)
    assert both.codes == {"unknown"} and "Fourth powers alone." in both.message


@EACH
def test_no_two_terms_are_the_same(formula):
    rng = np.random.default_rng(3)
    rows = rng.uniform(-2, 2, (3 + len(SHARING), 300, 1)) if formula is SAMPLE else formula.draw(rng, 300, 3)
    with np.errstate(all="ignore"):
        columns = {name: np.sum(term(*rows).reshape(300, -1), axis=1) for name, term in formula.terms.items()}
    # Where a term cannot be computed differs between terms, too.
    columns = {name: np.where(np.isfinite(column), column, 0) for name, column in columns.items()}
    assert all(np.count_nonzero(column) > 10 for column in columns.values())
    for (one, a), (other, b) in combinations(columns.items(), 2):
        assert abs(a @ b) < (1 - 1e-9) * np.linalg.norm(a) * np.linalg.norm(b), (one, other)


def test_likelihoods_are_what_their_names_say():
    x, a = np.array([0.0, 1.0, 1.0]), np.array([-2.0, 0.3, 0.8])
    p = 1 / (1 + np.exp(-a))
    q = 1 / (1 + np.exp(-p))
    named = {
        RIGHT: x * np.log(p) + (1 - x) * np.log(1 - p),
        "the squared distance": (x - p) ** 2,
        "the squared distance of logits": (x - a) ** 2,
        "probabilities as logits": x * np.log(q) + (1 - x) * np.log(1 - q),
        AS_PROBABILITIES: np.log([1, 0.3, 0.8]),  # -2 is no probability; it is cut off at 0
        "the output judged by x": x * a - np.log(1 + np.exp(x)),
        "the probability judged by x": -100 * np.abs(x - p),
        "x log p": x * np.log(p),
        "flipped": (1 - x) * np.log(p) + x * np.log(1 - p),
        "the number of white pixels": x,
    }
    assert set(named) == set(LIKELIHOODS)
    for name, likelihood in LIKELIHOODS.items():
        assert np.allclose(likelihood.of_pixel(x, a), named[name], atol=1e-8), name
        assert (likelihood.finding is None) == (name == RIGHT)


MU, LOG_VAR = np.array([[0.7], [-0.4]]), np.array([[-0.8], [1.1]])
STD = np.exp(LOG_VAR / 2)
DRAWS = {  # what is said: mean and standard deviation of z
    "The mean of q": (MU, 0 * STD),
    "σ² in place of σ": (MU, STD**2),
    "a standard deviation of 1": (MU, STD**0),
    "uniform between 0 and 1": (MU + STD / 2, STD / 12**0.5),
    "from the prior": (0 * MU, STD**0),
    "log_var itself": (MU, abs(LOG_VAR)),
    "0.01 times": (MU, 0.01 * STD),
    "0.1 times": (MU, 0.1 * STD),
    "0.5 times": (MU, 0.5 * STD),
    "2 times": (MU, 2 * STD),
}


@pytest.mark.parametrize("text", DRAWS)
def test_a_wrong_draw_has_the_moments_that_it_speaks_of(text):
    assert len([THE_MEAN, *WRONG_DRAWS]) == len(DRAWS)
    (draw,) = (draw for draw in [THE_MEAN, *WRONG_DRAWS] if f" {text}" in f" {draw.finding.text}")
    nodes, weights = draw.noise
    z = draw.z(MU, LOG_VAR, nodes)
    mean, spread = DRAWS[text]
    assert np.isclose(weights.sum(), 1)
    assert np.allclose(z @ weights, mean[:, 0])
    assert np.allclose((z - mean) ** 2 @ weights, spread[:, 0] ** 2, atol=1e-12)


OWN_SCALES = {
    "": lambda v: np.exp(v / 2),
    "var-for-std": lambda v: np.exp(v),
    "std-missing": lambda v: np.ones_like(v),
    "term-wrong": lambda v: v,
    "term-wrong ": lambda v: np.exp(-v / 2),
}
OWN_SHARING = [
    lambda e: e[:1],
    lambda e: e[:, :1],
    lambda e: e[0, 0],
    lambda e: e.mean(axis=0),
    lambda e: e.mean(axis=1, keepdims=True),
    lambda e: e.mean(),
]


@pytest.mark.parametrize("codes", OWN_SCALES)
@pytest.mark.parametrize("share", OWN_SHARING)
def test_shared_noise_is_named_with_its_scale(codes, share):
    report = check_reparameterize(lambda mu, v, eps: mu + OWN_SCALES[codes](v) * share(eps))
    assert report.codes == {"noise-shared", *codes.split()} and "factor" not in report.message


def test_every_scale_of_noise_is_recognised():
    noise, index = np.random.default_rng(0).standard_normal(6000), np.arange(6000)
    v = sampling.LEVELS[index % 5]
    for power, findings in sampling.EXPONENTS.items():
        size = [np.std((np.exp(power * v) * noise)[v == level]) for level in sampling.LEVELS]
        assert sampling._of_size(size) == findings


def test_how_a_batch_is_reduced_is_said_at_any_event_size():
    def late(mu, log_var):
        kl = kl_standard_normal(mu, log_var)
        return kl if mu.shape[1] < 5 else kl.sum()

    message = check_kl(late).message
    assert "a single number, the sum over the batch; expected one number for each row" in message


def test_a_constant_that_is_added_once_to_a_formula_without_one():
    report = check_bernoulli(lambda x, a: (x * a - np.logaddexp(0, a)).sum(-1) + 1.7)
    assert report.codes == {"constant"} and "off by a constant" in report.message


def test_the_readme_names_every_file():
    prose = (CHECKS / "README.md").read_text(encoding="utf-8").split("## How")[0]
    named = set(re.findall(r"`(\w+)/?`", prose))
    files = {path.stem for folder in ("engine", "parts") for path in (CHECKS / folder).rglob("*.py")}
    assert files - {"__init__"} <= named
    assert {path.name for path in CHECKS.iterdir() if path.is_dir() and "__" not in path.name} <= named


def log_of_square(own, inside):
    """A Gaussian log-density with a logarithm of its squared distance, and what else stands in the sum."""

    def fn(x, mu, v):
        return (own(v) - 0.5 * np.log((x - mu) ** 2 / inside(v))).sum(-1)

    return fn


LOG_2PI = np.log(2 * np.pi)
SEVERAL_TERMS = [
    (
        check_log_prob,
        "var-for-std",
        lambda x, m, v: (-LOG_2PI / 2 - v - ((x - m) / np.exp(v)) ** 2 / 2).sum(-1),
    ),
    (
        check_log_prob,
        "var-for-std log-two-pi-missing",
        lambda x, m, v: (-v - ((x - m) / np.exp(v)) ** 2 / 2).sum(-1),
    ),
    (
        check_log_prob,
        "var-for-std constant",
        lambda x, m, v: (-1 - v - ((x - m) / np.exp(v)) ** 2 / 2).sum(-1),
    ),
    (check_log_prob, "not-log", lambda x, m, v: stats.norm(m, np.exp(v / 2)).pdf(x).sum(-1)),
    (check_log_prob, "term-wrong", lambda x, m, v: (-(np.log(v) + (x - m) ** 2 / v) / 2).sum(-1)),
    (check_log_prob, "log-of-square", log_of_square(lambda v: -(LOG_2PI + v) / 2, np.exp)),
    (check_log_prob, "log-of-square log-sigma-missing", log_of_square(lambda v: -LOG_2PI / 2, np.exp)),
    (check_log_prob, "log-of-square log-two-pi-missing", log_of_square(lambda v: -v / 2, np.exp)),
    (
        check_log_prob,
        "log-of-square log-two-pi-missing",
        log_of_square(lambda v: -v / 2, lambda v: 2 * np.exp(v)),
    ),
    (
        check_log_prob,
        "log-of-square log-sigma-missing log-two-pi-missing",
        log_of_square(np.zeros_like, lambda v: 2 * np.exp(v)),
    ),
    (check_log_prob, "log-of-square", lambda x, m, v: (-(LOG_2PI + v) / 2 - np.log((x - m) ** 2)).sum(-1)),
    (
        check_log_prob,
        "log-of-square log-sigma-missing log-two-pi-missing",
        lambda x, m, v: -np.log((x - m) ** 2 / np.exp(v) / 2).sum(-1),
    ),
    (check_bernoulli, "term-sign", lambda x, a: (x * a + np.logaddexp(0, a)).sum(-1)),
    (check_bernoulli, "term-missing", lambda x, a: (x * a).sum(-1)),
    (check_bernoulli, "term-missing", lambda x, a: -np.logaddexp(0, a).sum(-1)),
    (check_bernoulli, "squared-error", lambda x, a: -((x - a) ** 2).sum(-1)),
    (check_bernoulli, "squared-error", lambda x, a: (0.7 - 3 * (x - a) ** 2).sum(-1)),
    (check_bernoulli, "squared-error sign", lambda x, a: ((x - a) ** 2).sum(-1) / 5),
    (check_elbo, "term-wrong", lambda log_px_z, kl: log_px_z * kl),
    (check_reparameterize, "swapped", lambda mu, log_var, eps: np.exp(log_var / 2) + mu * eps),
]


@pytest.mark.parametrize("check, codes, fn", SEVERAL_TERMS)
def test_mistakes_that_touch_several_terms(check, codes, fn):
    assert check(fn).codes == set(codes.split())


def test_one_mistake_that_can_be_read_in_two_ways_is_named_in_both():
    """The halves of a Bernoulli log-likelihood, x a and log(1 + exp a) depend on each other."""
    x, a = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.6, 0.3, 0.9])
    for code, values in (("term-sign", x * a + np.logaddexp(0, a)), ("term-missing", x * a)):
        same = [
            pattern
            for pattern in BERNOULLI.patterns
            if not any(map(callable, pattern.seen.values()))
            and np.allclose(sum(c * BERNOULLI.terms[name](x, a) for name, c in pattern.seen.items()), values)
        ]
        assert len(same) == 2 and {pattern.findings[0].code for pattern in same} == {code}
