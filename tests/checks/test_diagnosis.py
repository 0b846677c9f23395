"""From values to codes: measuring, fitting, naming. The gallery has the breadth; here are the joints."""

import re
import time

import numpy as np
import pytest
import torch
from support.cells import PATHS, ROOT, markdown

from vae_helpers.checks import (
    CODES,
    check_bernoulli,
    check_elbo,
    check_kl,
    check_log_prob,
    check_reparameterize,
)
from vae_helpers.checks.engine.codes import ALL, table
from vae_helpers.checks.engine.fitting import Reading, in_words, read
from vae_helpers.checks.engine.formula import name_mistakes
from vae_helpers.checks.engine.measuring import Measurement, Sample
from vae_helpers.checks.engine.report import Finding, Report, report
from vae_helpers.checks.parts.bernoulli import BERNOULLI
from vae_helpers.checks.parts.elbo.check import PARTS
from vae_helpers.checks.parts.kl import KL
from vae_helpers.checks.parts.log_prob import LOG_PROB
from vae_helpers.checks.parts.reparameterize import SAMPLE
from vae_helpers.numerics import gaussian

FORMULAS = [KL, LOG_PROB, BERNOULLI, PARTS, SAMPLE]
CHECKS = [check_kl, check_log_prob, check_bernoulli, check_reparameterize, check_elbo]


def combination(coefficients, terms, draw, dims=(3, 5)):
    samples = []
    for dim in dims:
        rows = tuple(a[:, None, :] for a in draw(np.random.default_rng(dim), 40, dim))
        sample = Sample(rows, np.zeros(40))
        sample.values = sum(c * sample.column(terms[name]) for name, c in coefficients.items())
        samples.append(sample)
    return Measurement(samples)


@pytest.mark.parametrize("seed", range(20))
def test_random_combinations_are_read_off(seed):
    rng = np.random.default_rng(seed)
    names = [*rng.choice(list(KL.core), 3, replace=False), *rng.choice(list(KL.extras)[:8], 2, replace=False)]
    wanted = {str(name): float(c) for name, c in zip(names, rng.uniform(0.3, 2, 5), strict=True)}
    reading = read(combination(wanted, {**KL.core, **KL.extras}, KL.draw), KL.core, KL.extras)
    assert set(reading.coefficients) == set(wanted) and not reading.averaged
    assert all(abs(reading.coefficients[name] - c) < 1e-6 for name, c in wanted.items())


def test_noise_is_not_read_as_a_formula():
    rows = combination({"μ²": 1.0}, KL.core, KL.draw)
    for number, sample in enumerate(rows.samples):
        sample.values = sample.values + np.random.default_rng(number).standard_normal(40)
    assert read(rows, KL.core, KL.extras, KL.whole) is None


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: f.exercise)
def test_the_right_coefficients_are_not_accused(formula):
    assert name_mistakes(formula, Reading(dict(formula.true), frozenset())) == []


@pytest.mark.parametrize("formula", [KL, LOG_PROB, BERNOULLI], ids=lambda f: f.exercise)
def test_a_formula_is_its_own_truth(formula):
    """The terms with their coefficients against an implementation that shares no code with them."""
    for sample in combination(formula.true, formula.core, formula.draw, formula.dims).samples:
        assert np.allclose(sample.values, sample.column(formula.truth), rtol=1e-12)


@pytest.mark.parametrize(
    "factor, codes", [(2, {"half"}), (-2, {"sign", "half"}), (-1, {"sign"}), (0.25, {"scale"})]
)
@pytest.mark.parametrize("formula", [KL, LOG_PROB, BERNOULLI], ids=lambda f: f.exercise)
def test_overall_factors(formula, factor, codes):
    findings = name_mistakes(formula, Reading({n: factor * c for n, c in formula.true.items()}, frozenset()))
    assert {finding.code for finding in findings} == codes


def test_a_message_says_what_where_and_gives_nothing_away():
    message = check_kl(lambda mu, v: (np.exp(v) + mu**2 - 1 - v).sum(axis=1)).message
    assert message.startswith(
        "For mu = [[1]] and log_var = [[0]] your function gives 1; the divergence is 0.5."
    )
    assert "½" in message and message.endswith("See notebook 3, section 3.")


def test_scales_are_given():
    assert (
        "1/784 times" in check_kl(lambda mu, v: 0.5 * (np.exp(v) + mu**2 - 1 - v).sum(axis=1) / 784).message
    )
    assert in_words(1 / 3) == "1/3" and in_words(1 / np.log(2)) == "1.44"


def test_reports_show_themselves():
    right = check_kl(lambda mu, v: 0.5 * (np.exp(v) + mu**2 - 1 - v).sum(axis=1))
    assert right.passed and right.codes == frozenset() and repr(right).startswith("✓")
    stub = check_kl(lambda mu, v: None)
    assert not stub.passed and stub.codes == {"not-attempted"} and "not attempted yet" in repr(stub)
    wrong = report("A & B", [Finding("sign", "1 < 2"), Finding("half", "again")], "seen", where="notebook 1")
    assert wrong.codes == {"sign", "half"} and repr(wrong).startswith("✗ A & B")
    assert "<code>half</code> <code>sign</code>" in wrong._repr_html_() and "1 &lt; 2" in wrong._repr_html_()
    assert wrong.message.count("See notebook 1.") == 1


def test_an_example_without_a_mistake_is_not_shown():
    assert report("A", seen="seen", notes=["take care."]) == Report("A", frozenset(), "Note: take care.")


def test_codes_that_are_not_in_the_table_cannot_be_reported():
    with pytest.raises(KeyError):
        report("A", [Finding("nonsense", "…")])


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_slow_functions_are_called_seldom(check):
    calls = []

    def slow(*arguments):
        calls.append(1)
        time.sleep(0.25)
        return (
            np.zeros(len(np.asarray(arguments[0])))
            if check is not check_elbo
            else arguments[0] - arguments[1]
        )

    slow.__signature__ = __import__("inspect").signature(lambda a, b: None)
    if check is check_log_prob:
        slow.__signature__ = __import__("inspect").signature(lambda a, b, c: None)
    check(slow)
    # At most 12 on an idle machine; on a busy one, whose waiting looks like work, some more.
    assert len(calls) <= 20


def test_the_readme_has_the_table():
    text = (ROOT / "vae_helpers" / "checks" / "README.md").read_text(encoding="utf-8")
    assert text.endswith(table() + "\n")


def test_users_of_a_code_are_checks():
    names = {check.__name__.removeprefix("check_") for check in CHECKS}
    assert all(code.checks == ALL or set(code.checks.split()) <= names for code in CODES.values())


def test_places_exist():
    places = {code.where for code in CODES.values()} | {formula.where for formula in FORMULAS}
    for place in filter(None, places):
        number, section = place.removeprefix("notebook ").split(", ")
        text = "\n".join(markdown(next(p for p in PATHS if int(p.stem[:2]) == int(number))))
        heading = section if section == "Deeper" else section.removeprefix("section ") + "."
        assert re.search(rf"^## {heading}\s", text, flags=re.MULTILINE), place


def test_noise_hides_no_offset():
    """An offset well below the noise of a single value shows in the mean over all rows."""

    def noisy(offset):
        def kl(mu, log_var):
            noise = 12 * np.random.standard_normal(len(mu))  # noqa: NPY002
            return gaussian.kl_standard_normal(mu, log_var) + noise + offset

        return kl

    assert check_kl(noisy(0.0)).passed and not check_kl(noisy(2.5)).passed


def test_what_belongs_to_the_event_may_stand_in_each_coordinate():
    def counted_n_times(x, mu, log_var):
        n = x.shape[1]
        return (-0.5 * n * (np.log(2 * np.pi) + log_var) - 0.5 * (x - mu) ** 2 / np.exp(log_var)).sum(axis=1)

    assert check_log_prob(counted_n_times).codes == {"constant", "term-scale"}


def test_monte_carlo_with_a_fixed_seed_is_judged_by_its_average():
    def kl(mu, log_var):
        eps = np.random.default_rng(0).standard_normal((500, *mu.shape))
        z = mu + np.exp(log_var / 2) * eps
        return (0.5 * (z**2 - eps**2 - log_var)).sum(axis=-1).mean(axis=0)

    assert check_kl(kl).passed and "random" in check_kl(kl).message
    assert check_kl(lambda mu, log_var: 2 * kl(mu, log_var)).codes == {"half"}


def test_a_batch_of_one_may_be_too_small():
    def normalised(mu, log_var):
        if len(mu) < 2:
            raise ValueError("more than one row, please")
        kl = gaussian.kl_standard_normal(mu, log_var)
        return kl - kl.mean()

    assert check_kl(normalised).codes == {"batch-reduced"}


def test_bits_are_recognised():
    assert "bits" in check_kl(lambda mu, v: gaussian.kl_standard_normal(mu, v) / np.log(2)).message


def test_given_noise_must_be_used():
    verdict = check_reparameterize(
        lambda mu, log_var, eps: mu + torch.exp(log_var / 2) * torch.randn_like(mu)
    )
    assert verdict.codes == {"term-wrong"} and "eps is given" in verdict.message


def test_a_generator_that_is_handed_in_is_no_fixed_noise():
    def draw(mu, log_var, generator):
        eps = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
        return mu + torch.exp(log_var / 2) * eps

    found = check_reparameterize(draw)
    assert found.passed and "same noise" not in found.message


def test_rows_that_share_their_noise_in_pairs_are_found():
    def in_pairs(mu, log_var):
        eps = torch.randn((len(mu) + 1) // 2, mu.shape[1], dtype=mu.dtype).repeat_interleave(2, dim=0)
        return mu + torch.exp(0.5 * log_var) * eps[: len(mu)]

    assert check_reparameterize(in_pairs).codes == {"noise-shared"}


def test_values_without_gradients_are_noted():
    from vae_helpers.models.objectives import elbo

    verdict = check_elbo(lambda model, x: elbo(model, x).elbo)
    assert verdict.passed and "no gradient" not in verdict.message
    verdict = check_elbo(torch.no_grad()(lambda model, x: elbo(model, x).elbo))
    assert verdict.passed and "no gradient" in verdict.message


def test_far_logits_are_noted():
    verdict = check_bernoulli(lambda x, a: (x * a - np.log1p(np.exp(a))).sum(axis=-1))
    assert verdict.passed and "1000" in verdict.message
    assert "Note" not in check_bernoulli(lambda x, a: (x * a - np.logaddexp(0, a)).sum(axis=-1)).message


def test_no_place_is_named_that_lies_ahead():
    message = check_log_prob(
        lambda x, mu, v: -0.5 * ((x - mu) ** 2 / np.exp(v) + np.log(2 * np.pi)).sum(-1)
    ).message
    assert message.endswith("See notebook 1, section 1.")


def test_extreme_arguments_are_tried():
    clipped = check_kl(lambda mu, v: gaussian.kl_standard_normal(mu, np.clip(v, -20, 20)))
    assert clipped.codes == {"unstable"} and "-30" in clipped.message or "30" in clipped.message
