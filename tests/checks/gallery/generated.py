"""Wrong forms put together from independent fragments: terms, factors, reductions, libraries."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch

from gallery._entry import wrong

LOG_2PI = math.log(2 * math.pi)

# Each fragment: how it is named, what it does, and which codes it carries.
KL_TERMS: dict[str, tuple[Callable, str]] = {
    "exact": (lambda m, v, xp: xp.exp(v) + m**2 - 1 - v, ""),
    "sigma": (lambda m, v, xp: xp.exp(v / 2) + m**2 - 1 - v, "std-for-var"),
    "log_sigma": (lambda m, v, xp: xp.exp(v) + m**2 - 1 - v / 2, "log-std"),
    "read_as_log_sigma": (lambda m, v, xp: xp.exp(2 * v) + m**2 - 1 - 2 * v, "log-std"),
    "no_one": (lambda m, v, xp: xp.exp(v) + m**2 - v, "constant"),
    "another_constant": (lambda m, v, xp: xp.exp(v) + m**2 - 0.5 - v, "constant"),
    "plus_log": (lambda m, v, xp: xp.exp(v) + m**2 - 1 + v, "term-sign"),
    "minus_mean": (lambda m, v, xp: xp.exp(v) - m**2 - 1 - v, "term-sign"),
    "minus_variance": (lambda m, v, xp: -xp.exp(v) + m**2 - 1 - v, "term-sign"),
    "no_mean": (lambda m, v, xp: xp.exp(v) - 1 - v, "term-missing"),
    "no_log": (lambda m, v, xp: xp.exp(v) + m**2 - 1, "term-missing"),
    "log_tripled": (lambda m, v, xp: xp.exp(v) + m**2 - 1 - 3 * v, "term-scale"),
    "mean_halved": (lambda m, v, xp: xp.exp(v) + m**2 / 2 - 1 - v, "term-scale"),
    "variance_tenfold": (lambda m, v, xp: 10 * xp.exp(v) + m**2 - 1 - v, "term-scale"),
    "mean_cubed": (lambda m, v, xp: xp.exp(v) + m**3 - 1 - v, "term-wrong"),
    "mean_absolute": (lambda m, v, xp: xp.exp(v) + xp.abs(m) - 1 - v, "term-wrong"),
    "log_squared": (lambda m, v, xp: xp.exp(v) + m**2 - 1 - v**2, "term-wrong"),
    "exchanged": (lambda m, v, xp: v + m**2 - 1 - xp.exp(v), "swapped"),
    "reversed": (lambda m, v, xp: v + (1 + m**2) / xp.exp(v) - 1, "reverse"),
    "guarded": (lambda m, v, xp: xp.exp(v) + m**2 - 1 - xp.log(xp.exp(v) + 1e-8), "unstable"),
    "sigma_and_no_one": (lambda m, v, xp: xp.exp(v / 2) + m**2 - v, "std-for-var constant"),
    "plus_log_no_one": (lambda m, v, xp: xp.exp(v) + m**2 + v, "term-sign constant"),
}
LOG_PROB_TERMS: dict[str, tuple[Callable, str]] = {
    "exact": (lambda x, m, v, xp: LOG_2PI + v + (x - m) ** 2 / xp.exp(v), ""),
    "no_two_pi": (lambda x, m, v, xp: v + (x - m) ** 2 / xp.exp(v), "log-two-pi-missing"),
    "no_log_sigma": (lambda x, m, v, xp: LOG_2PI + (x - m) ** 2 / xp.exp(v), "log-sigma-missing"),
    "sigma": (lambda x, m, v, xp: LOG_2PI + v + (x - m) ** 2 / xp.exp(v / 2), "std-for-var"),
    "variance": (lambda x, m, v, xp: LOG_2PI + 2 * v + ((x - m) / xp.exp(v)) ** 2, "var-for-std"),
    "log_sigma": (lambda x, m, v, xp: LOG_2PI + v / 2 + (x - m) ** 2 / xp.exp(v), "log-std"),
    "minus_square": (lambda x, m, v, xp: LOG_2PI + v - (x - m) ** 2 / xp.exp(v), "term-sign"),
    "square_doubled": (lambda x, m, v, xp: LOG_2PI + v + 2 * (x - m) ** 2 / xp.exp(v), "term-scale"),
    "no_square": (lambda x, m, v, xp: LOG_2PI + v + 0 * x, "term-missing"),
    "not_squared": (lambda x, m, v, xp: LOG_2PI + v + (x - m) / xp.exp(v), "term-wrong"),
    "two_pi_squared": (lambda x, m, v, xp: 2 * LOG_2PI + v + (x - m) ** 2 / xp.exp(v), "constant"),
    "sigma_no_two_pi": (
        lambda x, m, v, xp: v + (x - m) ** 2 / xp.exp(v / 2),
        "std-for-var log-two-pi-missing",
    ),
    "log_sigma_no_two_pi": (
        lambda x, m, v, xp: v / 2 + (x - m) ** 2 / xp.exp(v),
        "log-std log-two-pi-missing",
    ),
}
BERNOULLI_TERMS: dict[str, tuple[Callable, str]] = {
    "exact": (lambda x, a, plus: x * a - plus(a), ""),
    "flipped": (lambda x, a, plus: (1 - x) * a - plus(a), "targets-flipped"),
    "twice_sigmoid": (
        lambda x, a, plus: x / (1 + (-a).exp()) - plus(1 / (1 + (-a).exp())),
        "probabilities-not-logits",
    ),
    "only_ones": (lambda x, a, plus: x * (a - plus(a)), "term-missing"),
    "only_zeros": (lambda x, a, plus: (x - 1) * plus(a), "term-missing"),
    "square": (lambda x, a, plus: -((x - torch.sigmoid(a)) ** 2), "squared-error"),
}
FACTORS = {"": (1.0, ""), "twice": (2.0, "half"), "minus": (-1.0, "sign"), "third": (1 / 3, "scale"),
           "minus_twice": (-2.0, "sign half")}  # fmt: skip


def reductions(per_coordinate: str) -> dict[str, tuple[Callable, str]]:
    """How (batch, d) becomes what is returned; `per_coordinate` is the code of a mean over the last axis."""
    return {
        "sum": (lambda t: t.sum(-1), ""),
        "mean": (lambda t: t.mean(-1), per_coordinate),
        "batch_sum": (lambda t: t.sum(), "batch-reduced"),
        "batch_mean": (lambda t: t.sum(-1).mean(), "batch-reduced"),
        "mean_of_all": (lambda t: t.mean(), f"batch-reduced {per_coordinate}"),
        "unsummed": (lambda t: t, "shape"),
        "column": (lambda t: t.sum(-1).reshape(-1, 1), "shape"),
        "loop": (lambda t: [sum(row[j] for j in range(t.shape[1])) for row in t], ""),
    }


def spread(terms: dict, seed_of_factor: int, per_coordinate: str):
    """For each wrong term: alone, with a factor, with a reduction, with both; in turn through all of them."""
    factors, reduce = list(FACTORS), reductions(per_coordinate)
    wheel_of_factors = itertools.cycle(factors[seed_of_factor:] + factors[1:seed_of_factor])
    wheel_of_reductions = itertools.cycle([name for name in reduce if name != "sum"])
    for term in terms:
        if term == "exact":
            yield from ((term, factor, "sum") for factor in factors[1:])
            yield from ((term, "", name) for name in reduce if name not in ("sum", "loop"))
            yield from ((term, "minus", name) for name in ("mean", "batch_sum", "mean_of_all", "column"))
            continue
        yield term, "", "sum"
        yield term, "", next(wheel_of_reductions)
        yield term, next(wheel_of_factors), "sum"
        yield term, next(wheel_of_factors), next(wheel_of_reductions)


def ambiguous(term_codes: str, factor_codes: str) -> bool:
    """A factor on top of these can be told in another way, as true as this one."""
    # With a factor -1, "swapped" is also two other terms with the wrong sign, and so on.
    loose = {"swapped", "term-sign", "squared-error", "term-missing", "log-sigma-missing"}
    codes = set(term_codes.split())
    two_left_that_differ = {"log-std", "log-two-pi-missing"} <= codes
    return factor_codes != "" and bool(loose & codes or two_left_that_differ)


def name_of(*parts: str) -> str:
    return "_".join(["made", *(part for part in parts if part)])


# One function of its own for each form: a default argument would be a parameter that a checker sees.
def make_kl(element, number, reduce, library):
    return lambda mu, log_var: reduce(0.5 * number * element(mu, log_var, library))


def make_log_prob(element, number, reduce, library):
    return lambda x, mu, log_var: reduce(-0.5 * number * element(x, mu, log_var, library))


def make_bernoulli(element, number, reduce, _):
    return lambda x, x_logits: reduce(number * element(x, x_logits, torch.nn.Softplus(threshold=40)))


for check, terms, make, per_coordinate, start in (
    ("kl", KL_TERMS, make_kl, "mean-latent", 1),
    ("log_prob", LOG_PROB_TERMS, make_log_prob, "mean-pixels", 2),
    ("bernoulli", BERNOULLI_TERMS, make_bernoulli, "mean-pixels", 3),
):
    for n, (term, factor, how) in enumerate(spread(terms, start, per_coordinate)):
        element, term_codes = terms[term]
        number, factor_codes = FACTORS[factor]
        reduce, reduce_codes = reductions(per_coordinate)[how]
        if not ambiguous(term_codes, factor_codes):
            fn = make(element, number, reduce, (np, torch)[n % 2])
            codes = f"{term_codes} {factor_codes} {reduce_codes}"
            wrong(check, codes, name=name_of(term, factor, how), source="fragments")(fn)


SCALES: dict[str, tuple[Callable, str]] = {
    "std": (lambda v: torch.exp(0.5 * v), ""),
    "root": (lambda v: torch.sqrt(v.exp()), ""),
    "variance": (lambda v: torch.exp(v), "var-for-std"),
    "one": (lambda v: torch.ones_like(v), "std-missing"),
    "raw": (lambda v: v, "term-wrong"),
    "inverse": (lambda v: torch.exp(-0.5 * v), "term-wrong"),
}
NOISES: dict[str, tuple[Callable, str]] = {
    "given": (None, ""),
    "own": (torch.randn_like, ""),
    "row": (lambda m: torch.randn(m.shape[1], dtype=m.dtype), "noise-shared"),
    "uniform": (torch.rand_like, "noise-not-normal"),
}


def make_noise(sigma, noise):
    if noise is None:
        return lambda mu, log_var, eps: mu + sigma(log_var) * eps
    return lambda mu, log_var: mu + sigma(log_var) * noise(mu)


for (scale, (sigma, codes)), (which, (noise, noise_codes)) in itertools.product(
    SCALES.items(), NOISES.items()
):
    fn = make_noise(sigma, noise)
    wrong("reparameterize", f"{codes} {noise_codes}", name=name_of(scale, which), source="fragments")(fn)

LEVELS: dict[str, tuple[Callable, str]] = {
    "exact": (lambda a, k: a - k, ""),
    "plus": (lambda a, k: a + k, "kl-added"),
    "beta_two": (lambda a, k: a - 2 * k, "term-scale"),
    "beta_hundredth": (lambda a, k: a - 0.01 * k, "term-scale"),
    "only_likelihood": (lambda a, k: a + 0 * k, "term-missing"),
}
AFTER: dict[str, tuple[Callable, str]] = {
    "": (lambda t: t, ""),
    "minus": (lambda t: -t, "sign"),
    "mean": (lambda t: t.mean(), "batch-reduced"),
    "minus_sum": (lambda t: -t.sum(), "sign batch-reduced"),
    "column": (lambda t: t.reshape(-1, 1), "shape"),
}


def make_elbo(combine, finish):
    return lambda log_px_z, kl: finish(combine(log_px_z, kl))


for (level, (combine, level_codes)), (after, (finish, codes)) in itertools.product(
    LEVELS.items(), AFTER.items()
):
    fn = make_elbo(combine, finish)
    wrong("elbo", f"{level_codes} {codes}", name=name_of(level, after), source="fragments")(fn)
