"""The terms of random functions, read exactly off values for the same noise."""

import numpy as np
import pytest

from vae_helpers.checks.engine import same_noise
from vae_helpers.checks.engine.calling import Failed, Student
from vae_helpers.checks.engine.report import Finding
from vae_helpers.checks.engine.same_noise import Values, read_terms, repeated, terms_of

NOISES = 4000


def values_of(function, beside=lambda mu, v: {}, noises=NOISES):
    """Values of a function of mu, std, v and noise, each of shape (codes, noises, d)."""

    def values(mu, v, many):
        eps = np.random.default_rng(5).standard_normal((noises, mu.shape[1]))
        shapes = np.broadcast_arrays(mu[:, None], np.exp(v / 2)[:, None], v[:, None], eps)
        return Values(function(*shapes), beside(mu, v))

    return values


def of_draw(function, scale=1.0):
    """A function of z = mu + scale σ ε, mu, v, ε, elementwise and summed."""
    return lambda mu, std, v, eps: function(mu + scale * std * eps, mu, v, eps).sum(axis=-1)


def kl(z, mu, v, eps):
    return 0.5 * z**2 - 0.5 * (v + eps**2)


KL = {"1": -0.5, "σ²": 0.5, "μ²": 0.5, "log σ²": -0.5}


@pytest.mark.parametrize(
    "function, coefficients, averaged",
    [
        (of_draw(kl), KL, ()),
        (lambda mu, std, v, eps: 2 * of_draw(kl)(mu, std, v, eps), {n: 2 * c for n, c in KL.items()}, ()),
        (lambda mu, std, v, eps: of_draw(kl)(mu, std, v, eps) / mu.shape[-1], KL, tuple(KL)),
        (of_draw(lambda z, mu, v, eps: z**2), {"σ²": 1.0, "μ²": 1.0}, ()),
        (of_draw(lambda z, mu, v, eps: z**2 + 3 * mu - 2), {"1": -2.0, "σ²": 1.0, "μ²": 1.0, "μ": 3.0}, ()),
        (lambda mu, std, v, eps: (mu**2 + std**2 - v).sum(-1), {"σ²": 1.0, "μ²": 1.0, "log σ²": -1.0}, ()),
        (lambda mu, std, v, eps: (mu**2 + 2 * std).sum(-1), {"σ": 2.0, "μ²": 1.0}, ()),
        (lambda mu, std, v, eps: (3 * std**2 + v).sum(-1), {"σ²": 3.0, "log σ²": 1.0}, ()),
        # A constant that is added once is one that is averaged.
        (
            lambda mu, std, v, eps: of_draw(kl)(mu, std, v, eps) + 6,
            KL | {"1": 5.5},
            None,
        ),
    ],
)
def test_terms_are_read(function, coefficients, averaged):
    reading = read_terms(values_of(function))
    if averaged is None:
        assert reading is None
        return
    assert reading.coefficients == pytest.approx(coefficients, rel=1e-6)
    assert reading.averaged == frozenset(averaged)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_noise_of_another_size_is_seen(scale):
    reading = read_terms(values_of(of_draw(kl, scale)))
    assert reading.coefficients["μ²"] == pytest.approx(0.5, rel=1e-6)
    assert reading.coefficients["log σ²"] == pytest.approx(-0.5, rel=1e-6)
    assert reading.coefficients["σ²"] == pytest.approx(0.5 * scale**2, rel=1e-6)
    assert reading.coefficients["1"] == pytest.approx(-0.5, rel=1e-6)


def test_the_average_of_several_draws():
    def function(mu, std, v, eps):
        others = np.random.default_rng(6).standard_normal(eps.shape[1:])
        return 0.5 * (
            of_draw(kl)(mu, std, v, eps) + of_draw(kl)(mu, std, v, np.broadcast_to(others, mu.shape))
        )

    reading = read_terms(values_of(function))
    assert reading.coefficients == pytest.approx(KL, rel=1e-3)


def test_terms_that_stand_beside():
    def beside(mu, v):
        return {"max": mu.max(axis=1), "other": np.cos(mu).sum(axis=1)}

    def function(mu, std, v, eps):
        return of_draw(kl)(mu, std, v, eps) + 4 * np.cos(mu).sum(axis=-1)

    reading = read_terms(values_of(function, beside))
    assert reading.coefficients == pytest.approx(KL | {"other": 4.0}, rel=1e-6)
    assert read_terms(values_of(function)) is None


@pytest.mark.parametrize(
    "function",
    [
        of_draw(lambda z, mu, v, eps: np.sin(3 * z)),
        of_draw(lambda z, mu, v, eps: z**2 + eps * v),  # noise times log σ²
        of_draw(lambda z, mu, v, eps: z**2 + eps * mu),
        of_draw(lambda z, mu, v, eps: z**2 + eps),  # a constant that is noise
        lambda mu, std, v, eps: of_draw(kl)(mu, std, v, eps) * mu.shape[-1] ** 2,
        lambda mu, std, v, eps: (std * eps).sum(-1) + (mu * std * eps).sum(-1),
    ],
)
def test_what_is_no_such_sum_is_not_read(function):
    assert read_terms(values_of(function)) is None


def test_nothing_is_read_where_there_are_no_values():
    def fails(mu, v, many):
        raise Failed(Finding("error", ""))

    def wrong(mu, v, many):
        raise ValueError

    assert read_terms(fails) is None and read_terms(wrong) is None
    assert read_terms(lambda mu, v, many: None) is None
    whole = values_of(of_draw(kl))
    assert read_terms(lambda mu, v, many: whole(mu, v, many) if mu.shape[1] == 1 else None) is None


def test_mean_and_spread_of_the_noise_in_z_are_found_over_many_noises():
    asked = []
    whole = values_of(of_draw(kl, 0.5))

    def counting(mu, v, many):
        asked.append((mu.shape, many))
        return whole(mu, v, many)

    read_terms(counting)
    assert asked == [((24, 1), False), ((40, 3), False), ((24, 1), True)]
    asked.clear()
    whole = values_of(of_draw(kl))
    read_terms(counting)
    assert asked == [((24, 1), False), ((40, 3), False)]


# ---- calls ----------------------------------------------------------------------------------


def noisy(mu, v):
    return kl(mu + np.exp(v / 2) * (e := np.random.standard_normal(mu.shape)), mu, v, e).sum(-1)  # noqa: NPY002


def students(fn):
    return lambda seed: Student(fn, ("numpy",), seed=seed)


ROWS = [(np.array([1.0, -1.0]), np.array([0.5, 0.0])), (np.array([0.3, 2.0]), np.array([-0.5, 1.0]))]


def expected(row, seed, count):
    eps = np.random.RandomState(seed).standard_normal((count, 2))
    mu, v = (np.tile(argument, (count, 1)) for argument in row)
    return kl(mu + np.exp(v / 2) * eps, mu, v, eps).sum(-1)


def test_rows_are_repeated_with_the_same_noise():
    found = repeated(students(noisy), ROWS, reduced=False, many=False)
    assert found.shape in {(2, same_noise.NOISES), (2, same_noise.FEW)}
    for row, values in zip(ROWS, found, strict=True):
        assert np.allclose(values, expected(row, 1, found.shape[1]))


def test_many_noises_are_taken_on_request():
    assert repeated(students(noisy), ROWS, reduced=False, many=True).shape == (2, 1500)


@pytest.mark.parametrize("many, count", [(False, 9), (True, 99)])
def test_what_reduces_a_batch_is_given_a_row_with_one_seed_after_another(many, count):
    found = repeated(students(lambda mu, v: noisy(mu, v).mean()), ROWS, reduced=True, many=many)
    assert found.shape == (2, count)
    for row, values in zip(ROWS, found, strict=True):
        assert np.allclose(values, [expected(row, seed, 1)[0] for seed in range(1, count + 1)])


def test_what_is_slow_is_given_fewer_noises_or_none(monkeypatch):
    monkeypatch.setattr(same_noise, "_seconds", lambda student, batch: 0.4)
    assert repeated(students(noisy), ROWS, False, False).shape == (2, same_noise.FEW)
    monkeypatch.setattr(same_noise, "_seconds", lambda student, batch: 1.01)
    assert repeated(students(noisy), ROWS, False, False) is None
    monkeypatch.setattr(same_noise, "_seconds", lambda student, batch: 0.1)
    assert repeated(students(noisy), ROWS, False, False).shape == (2, same_noise.NOISES)


@pytest.mark.parametrize(
    "fn",
    [
        lambda mu, v: np.random.default_rng().standard_normal(len(mu)),  # never the same again
        lambda mu, v: noisy(mu, v) * np.nan,
        lambda mu, v: noisy(mu, v)[:-1],
    ],
)
def test_what_cannot_be_repeated(fn):
    assert repeated(students(fn), ROWS, False, False) is None


def test_the_terms_of_a_function():
    student = Student(noisy, ("numpy",))
    assert terms_of(student, reduced=False).coefficients == pytest.approx(KL, rel=1e-6)
    student = Student(lambda mu, v: noisy(mu, v).sum(), ("numpy",))
    assert terms_of(student, reduced=True).coefficients == pytest.approx(KL, rel=1e-6)
    assert terms_of(Student(lambda mu, v: np.sin(noisy(mu, v)), ("numpy",)), reduced=False) is None
