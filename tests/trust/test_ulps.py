"""A share of the points of `python tests/trust ulps`, and whether that measure sees what it should."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mpmath import mp, mpf

from trust import exact, reference, ulps
from vae_helpers.numerics import importance_gap

SHARE = 0.005
REFERENCE = json.loads(reference.PATH.read_text(encoding="utf-8"))["functions"]


# ---- what is kept ---------------------------------------------------------------------------


@pytest.mark.parametrize("key", ulps.CASES)
def test_no_error_is_larger_than_the_figure_that_is_kept(key):
    found = ulps.measure(key, SHARE, ulps.bound(key))
    assert found.tried >= 50 and found.above == 0, found


def test_every_function_has_a_figure_of_at_most_two_bits():
    assert ulps.kept().keys() == ulps.CASES.keys()
    assert max(ulps.kept().values()) <= ulps.GOAL


def test_kept_figures_only_shrink(tmp_path):
    path = tmp_path / "ulps.json"
    for worst, kept in ((1.7, 2.0), (3.1, 2.0), (0.2, 0.5), (9.0, 0.5)):
        ulps.keep([ulps.Found("f, float64", 1, worst, "", 0)], path)
        assert ulps.kept(path) == {"f, float64": kept}
    path.unlink()  # the way to allow a larger one
    ulps.keep([ulps.Found("f, float64", 1, 3.1, "", 0)], path)
    assert ulps.bound("f, float64", path) == 3.5


# ---- KL and gradients -----------------------------------------------------------------------


@pytest.mark.parametrize("key", ulps.DIVERGENCES)
def test_no_kl_is_negative(key):
    tried, failed = ulps.negative(key, SHARE)
    assert tried >= 50 and failed == 0


def test_the_kl_of_a_gaussian_from_itself_is_exactly_zero():
    tried, failed = ulps.not_zero(SHARE)
    assert tried >= 100 and failed == 0


@pytest.mark.parametrize("dtype", [ulps.DOUBLE, ulps.SINGLE], ids=str)
@pytest.mark.parametrize("name", ulps.GRADIENTS)
def test_where_a_value_is_finite_so_is_its_gradient(name, dtype):
    tried, failed = ulps.without_gradient(name, dtype, SHARE)
    assert tried >= 40 and failed == 0


def test_the_gap_of_one_draw_is_the_kl():
    assert max(ulps.gap_errors(12)) <= ulps.NATS


def test_the_gap_of_two_draws_to_thirty_digits():
    case = 0.3, 0.75
    mean, std = map(mpf, case)
    with mp.workdps(30):
        step, nodes = mpf(1) / 4, range(-38, 39)
        z = [k * step for k in nodes]
        weight = [mp.exp(-u * u / 2) * step / mp.sqrt(2 * mp.pi) for u in z]
        ratio = [mp.exp((u * u - (mean + std * u) ** 2) / 2) * std for u in z]
        pairs = ((a * b, r, s) for a, r in zip(weight, ratio) for b, s in zip(weight, ratio))  # noqa: B905
        bound = mp.fsum(w * mp.log((r + s) / 2) for w, r, s in pairs if w > 1e-22)
    assert abs(importance_gap(*case, [2])[0] + bound) < 1e-8


# ---- the measure itself ---------------------------------------------------------------------


def naive_kl(mu, log_var):
    return 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var).sum(axis=-1)


def naive_log_prob(x, mu, log_var):
    return -0.5 * (np.log(2 * np.pi) + log_var + (x - mu) ** 2 / np.exp(log_var)).sum(axis=-1)


def naive_bernoulli(x, logits):
    return (x * logits - F.softplus(logits)).sum(dim=-1)


def naive_weight(mu, log_var, eps):
    z = mu + torch.exp(0.5 * log_var) * eps
    return ulps.LOG_P + 0.5 * ((z - mu) ** 2 / torch.exp(log_var) + log_var - z**2).sum(dim=-1)


def naive_expectation(mu, std, a):
    u = np.linspace(-12, 12, 1201)
    weight = np.exp(-0.5 * (u**2 + np.log(2 * np.pi))) * (u[1] - u[0])
    return (weight * np.exp(a * (mu + std * u))).sum(axis=-1)


@pytest.mark.parametrize(
    "key, naive",
    [
        ("gaussian.kl_standard_normal, float64", naive_kl),
        ("gaussian.log_prob, float64", naive_log_prob),
        ("gaussian.expectation of exp(a z), float64", naive_expectation),
        (
            "models.kl_standard_normal, float32",
            ulps.of_torch(lambda m, v: 0.5 * (m**2 + torch.exp(v) - 1 - v).sum(dim=-1)),
        ),
        ("Bernoulli.log_prob, float32", ulps.of_torch(naive_bernoulli)),
        ("models.log_weights, float32", ulps.of_torch(naive_weight)),
        ("estimate, standard error, float64", lambda v: v.std(axis=1, ddof=1) / np.sqrt(v.shape[1])),
    ],
)
def test_the_form_of_the_textbook_is_seen_to_miss_two_bits(key, naive, monkeypatch):
    naive_ulps = replace(ulps.CASES[key], ours=lambda *arrays: np.asarray(naive(*arrays), arrays[0].dtype))
    monkeypatch.setitem(ulps.CASES, key, naive_ulps)
    found = ulps.measure(key, SHARE)
    assert found.above > 0 and found.worst > 10


EXACT = {("Bernoulli", 0), ("gaussian.expectation", 2)}  # black and white pixels, and what belongs to f


@pytest.mark.parametrize("key", [key for key in ulps.CASES if key.endswith("64")])
def test_the_gradient_of_the_truth_is_its_slope(key):
    """Or the allowance for rounded arguments would be no allowance but a gift."""
    case = ulps.CASES[key]
    (rng,), step = (np.random.default_rng(s) for s in (3,)), mpf(10) ** -30
    size = 2 if 2 in case.sizes else 1
    arrays = case.makes[0](rng, 1, size, case.dtype)
    with mp.workdps(80):
        point = [ulps._big(a[0]) for a in arrays]
        _, gradient, *_ = case.truth(*point)
        for i, (argument, slopes) in enumerate(zip(point, gradient, strict=True)):
            along = [_directions(a, rng) for a in argument]
            wanted = mp.fsum(g * d for g, d in zip(ulps._flat(slopes), ulps._flat(along), strict=True))
            if i in case.covariances:  # which stay symmetric
                along = [[(a + b) / 2 for a, b in zip(*rows)] for rows in zip(along, zip(*along))]  # noqa: B905
                wanted = mp.fsum(g * d for g, d in zip(ulps._flat(slopes), ulps._flat(along), strict=True))
            high, low = (
                case.truth(*point[:i], _moved(argument, along, sign * step), *point[i + 1 :])[0]
                for sign in (1, -1)
            )
            if (re.split(r"\.[lmp]| of", key)[0], i) in EXACT:
                continue
            assert abs((high - low) / (2 * step) - wanted) <= mpf(10) ** -20 * (1 + abs(wanted)), (i, wanted)


def _directions(a, rng):
    return [_directions(b, rng) for b in a] if isinstance(a, list) else mpf(float(rng.normal()))


def _moved(a, along, step):
    if isinstance(a, list):
        return [_moved(b, d, step) for b, d in zip(a, along, strict=True)]
    return a + step * along


def test_an_ulp_is_the_step_to_the_next_float():
    assert ulps.ulp(1.0, ulps.DOUBLE) == 2.0**-52 and ulps.ulp(-1.5, ulps.SINGLE) == 2.0**-23
    assert ulps.ulp(0.0, ulps.DOUBLE) == 5e-324 and ulps.ulp(1e-42, ulps.SINGLE) == 2.0**-149


# ---- the published points -------------------------------------------------------------------


@pytest.mark.parametrize("name", reference.FUNCTIONS)
def test_ours_agree_with_all_published_values(name):
    key, arguments, *_ = reference.FUNCTIONS[name]
    points = REFERENCE[name]["points"]
    assert len(points) >= 200 and REFERENCE[name]["arguments"] == list(arguments)
    with mp.workdps(exact.DIGITS):
        for point in points:
            given = [np.array(point[argument], dtype=float)[None] for argument in arguments]
            got = ulps.CASES[f"{key}, float64"].ours(*given)[0]
            assert abs(got - mpf(point["value"])) <= ulps.GOAL * mpf(point["unit"]), point


@pytest.mark.parametrize("name", reference.FUNCTIONS)
def test_published_values_come_out_again_digit_by_digit(name):
    published = REFERENCE[name]["points"]
    for made in list(reference.points(name))[::40]:
        assert reference.record(name, made) in published


def test_published_arguments_give_back_their_doubles():
    for name, function in REFERENCE.items():
        for point in function["points"]:
            for argument in function["arguments"]:
                for text in np.ravel(point[argument]):
                    assert repr(float(text)) == text, (name, text)
