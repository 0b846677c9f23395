"""Closed forms against mpmath at 50 digits, torch.distributions and SciPy."""

import inspect

import mpmath as mp
import numpy as np
import pytest
import torch
import torch.distributions as td
from scipy import stats

from vae_helpers.numerics import gaussian

TINY = [sign * 10.0**-k for k in range(1, 13) for sign in (1, -1)]
LOG_VARS = [-40.0, -17.3, -3.0, -1.0, -0.5, -0.499, 0.0, 0.499, 0.5, 0.7, 3.0, 17.3, 40.0, *TINY]
MUS = [0.0, 0.3, -2.0, 1e3, -1e6, 1e6, *TINY]
DIAGONAL = [gaussian.log_prob, gaussian.entropy, gaussian.kl_standard_normal, gaussian.kl_diagonal]
ALL = [*DIAGONAL, gaussian.kl_full]


def big(x):
    """The float64 number itself, with 50 digits to calculate in."""
    return mp.mpf(float(x))


def relative_error(got, truth):
    return float(abs(got - truth)) if truth == 0 else float(abs(big(got) / truth - 1))


def exact_log_prob(x, mu, log_var):
    return -(mp.log(2 * mp.pi) + big(log_var) + (big(x) - big(mu)) ** 2 / mp.exp(big(log_var))) / 2


def exact_entropy(log_var):
    return (1 + mp.log(2 * mp.pi) + big(log_var)) / 2


def exact_kl(mu_q, log_var_q, mu_p=0.0, log_var_p=0.0):
    log_ratio = big(log_var_q) - big(log_var_p)
    shift = (big(mu_q) - big(mu_p)) ** 2 / mp.exp(big(log_var_p))
    return (mp.exp(log_ratio) + shift - 1 - log_ratio) / 2


def exact_kl_full(mu_q, cov_q, mu_p, cov_p):
    cov_q, cov_p = mp.matrix(np.asarray(cov_q).tolist()), mp.matrix(np.asarray(cov_p).tolist())
    shift = mp.matrix(list(map(float, mu_q))) - mp.matrix(list(map(float, mu_p)))
    inverse = cov_p**-1
    trace = sum((inverse * cov_q)[i, i] for i in range(len(shift)))
    log_ratio = mp.log(mp.det(cov_p)) - mp.log(mp.det(cov_q))
    return (trace - len(shift) + (shift.T * inverse * shift)[0] + log_ratio) / 2


def exact_covariance(rng, dim, size=1.0):
    """A random covariance, symmetric to the last bit, with entries of about `size`."""
    a = rng.normal(size=(dim, dim))
    cov = a @ a.T / dim + 0.1 * np.eye(dim)
    return (cov + cov.T) / 2 * size


def arguments(function, dim=2, batch=()):
    """Valid arguments of a function by name."""
    rng = np.random.default_rng(5)
    return {
        name: np.broadcast_to(exact_covariance(rng, dim), (*batch, dim, dim))
        if name.startswith("cov")
        else rng.normal(size=(*batch, dim))
        for name in inspect.signature(function).parameters
    }


# --- fifty digits -----------------------------------------------------------------------


@mp.workdps(50)
def test_kl_standard_normal_to_fifty_digits():
    mu, log_var = np.meshgrid(MUS, LOG_VARS)
    got = gaussian.kl_standard_normal(mu[..., None], log_var[..., None])
    errors = [relative_error(*t) for t in zip(got.flat, map(exact_kl, mu.flat, log_var.flat), strict=True)]
    assert max(errors) <= 1e-14
    assert gaussian.kl_standard_normal(0.0, 0.0) == 0


@mp.workdps(50)
@pytest.mark.parametrize("log_var_p", [-40.0, -1.7, 0.0, 2.3, 40.0])
def test_kl_diagonal_to_fifty_digits(log_var_p):
    mu_p, std_p = 0.7, np.exp(log_var_p / 2)
    near_p = [log_var_p + t for t in TINY]
    mu_q, log_var_q = np.meshgrid([mu_p + std_p * m for m in MUS], [*LOG_VARS, *near_p])
    got = gaussian.kl_diagonal(mu_q[..., None], log_var_q[..., None], mu_p, log_var_p)
    truth = [exact_kl(m, v, mu_p, log_var_p) for m, v in zip(mu_q.flat, log_var_q.flat, strict=True)]
    assert max(map(relative_error, got.flat, truth)) <= 1e-14
    assert gaussian.kl_diagonal(mu_p, log_var_p, mu_p, log_var_p) == 0


@mp.workdps(50)
@pytest.mark.parametrize("deviation", [0.0, 1e-6, 0.5, -3.0, 30.0])
def test_log_prob_to_fifty_digits(deviation):
    mu, log_var = np.meshgrid(MUS, LOG_VARS)
    x = mu + deviation * np.exp(log_var / 2)
    got = gaussian.log_prob(x[..., None], mu[..., None], log_var[..., None])
    truth = list(map(exact_log_prob, x.flat, mu.flat, log_var.flat))
    assert max(map(relative_error, got.flat, truth)) <= 1e-12


@mp.workdps(50)
def test_entropy_to_fifty_digits():
    got = gaussian.entropy(np.array(LOG_VARS)[:, None])
    assert max(map(relative_error, got, map(exact_entropy, LOG_VARS))) <= 1e-12


@mp.workdps(50)
@pytest.mark.parametrize("offset", [0.0, 1e-12, -1e-9, 1e-6, -1e-3])
def test_zero_crossings_keep_their_absolute_accuracy(offset):
    """Where the terms cancel no relative accuracy is left, but the absolute one is: 2 eps of a term."""
    for log_var in np.linspace(-40, -2, 77):
        # log N(x; 0, σ²) = 0 at x² = -σ² log(2πσ²).
        x = np.sqrt(-(gaussian.LOG_2PI + log_var) * np.exp(log_var)) * (1 + offset)
        error = abs(big(gaussian.log_prob(x, 0.0, log_var)) - exact_log_prob(x, 0.0, log_var))
        assert error <= 4.5e-16 * abs(log_var)
    log_var = -1 - gaussian.LOG_2PI + offset
    assert abs(big(gaussian.entropy(log_var)) - exact_entropy(log_var)) <= 4.5e-16


@mp.workdps(50)
def test_coordinates_are_summed():
    rng = np.random.default_rng(0)
    x, mu, log_var, log_var_p = rng.normal(size=(4, 7))
    cases = [
        (gaussian.log_prob(x, mu, log_var), map(exact_log_prob, x, mu, log_var)),
        (gaussian.entropy(log_var), map(exact_entropy, log_var)),
        (gaussian.kl_standard_normal(mu, log_var), map(exact_kl, mu, log_var)),
        (gaussian.kl_diagonal(mu, log_var, x, log_var_p), map(exact_kl, mu, log_var, x, log_var_p)),
    ]
    for got, terms in cases:
        assert got.shape == ()
        assert relative_error(got, sum(terms)) <= 1e-13


@pytest.mark.parametrize("log_var", [-1e300, -1e5, -1500.0, 1500.0, 1e300])
def test_equal_means_have_no_distance_however_narrow_the_density_is(log_var):
    """Where 1 / σ is larger than the largest float, 0 / σ is still 0."""
    assert gaussian.log_prob(0.3, 0.3, log_var) == -0.5 * (gaussian.LOG_2PI + log_var)
    assert gaussian.kl_diagonal(0.3, log_var, 0.3, log_var) == 0


@mp.workdps(50)
@pytest.mark.parametrize("x", [1e-320, 3e-310, 1e-300, 1e300, -2e307])
def test_points_of_any_size_at_a_width_of_that_size(x):
    log_var = 2 * np.log(abs(x)) - 1
    assert relative_error(gaussian.log_prob(x, 0, log_var), exact_log_prob(x, 0, log_var)) <= 1e-15
    assert (
        relative_error(gaussian.kl_diagonal(x, log_var, 0, log_var), exact_kl(x, log_var, 0, log_var))
        <= 1e-13
    )


# --- full covariances -------------------------------------------------------------------


@mp.workdps(80)
@pytest.mark.parametrize("dim", [1, 2, 3, 5])
@pytest.mark.parametrize("near", [None, 1e-1, 1e-3, 1e-6, 1e-9, 1e-12])
def test_kl_full_to_eighty_digits(dim, near):
    rng = np.random.default_rng(dim)
    cov_p = exact_covariance(rng, dim)
    e = rng.normal(size=(dim, dim))
    cov_q = exact_covariance(rng, dim) if near is None else cov_p + near * 0.05 / dim * (e + e.T)
    mu_q, mu_p = rng.normal(size=(2, dim)) if near is None else np.zeros((2, dim))
    truth = exact_kl_full(mu_q, cov_q, mu_p, cov_p)
    assert relative_error(gaussian.kl_full(mu_q, cov_q, mu_p, cov_p), truth) <= 1e-12
    assert gaussian.kl_full(mu_q, cov_q, mu_q, cov_q) == pytest.approx(0, abs=1e-28)


@mp.workdps(80)
@pytest.mark.parametrize("size_q", [1e-8, 1e-3, 1.0, 1e8])
@pytest.mark.parametrize("size_p", [1e-8, 1.0, 1e8])
def test_kl_full_at_very_different_scales(size_q, size_p):
    rng = np.random.default_rng(2)
    cov_q, cov_p = exact_covariance(rng, 3, size_q), exact_covariance(rng, 3, size_p)
    mu_q, mu_p = rng.normal(size=(2, 3))
    truth = exact_kl_full(mu_q, cov_q, mu_p, cov_p)
    assert relative_error(gaussian.kl_full(mu_q, cov_q, mu_p, cov_p), truth) <= 1e-12


@mp.workdps(80)
def test_kl_full_with_coordinates_of_very_different_scales():
    rng = np.random.default_rng(3)
    std = np.array([1e-4, 1.0, 1e4])
    cov_q, cov_p = (exact_covariance(rng, 3) * np.outer(std, std) for _ in range(2))
    cov_q, cov_p = (cov_q + cov_q.T) / 2, (cov_p + cov_p.T) / 2
    mu_q, mu_p = rng.normal(size=(2, 3)) * std
    truth = exact_kl_full(mu_q, cov_q, mu_p, cov_p)
    assert relative_error(gaussian.kl_full(mu_q, cov_q, mu_p, cov_p), truth) <= 1e-12


@mp.workdps(80)
@pytest.mark.parametrize("size", [1e-250, 1e-90, 1e90, 1e250])
def test_kl_full_is_the_same_in_any_unit(size):
    """The logarithms of two large determinants would cancel."""
    truth = exact_kl_full([0.0], [[1.75 * size]], [0.0], [[size]])
    assert relative_error(gaussian.kl_full([0.0], [[1.75 * size]], [0.0], [[size]]), truth) <= 3e-15


def test_kl_full_equals_kl_diagonal_for_diagonal_covariances():
    rng = np.random.default_rng(4)
    mu_q, log_var_q, mu_p, log_var_p = rng.normal(size=(4, 6, 3))
    covs = [np.exp(v)[..., None] * np.eye(3) for v in (log_var_q, log_var_p)]
    full = gaussian.kl_full(mu_q, covs[0], mu_p, covs[1])
    np.testing.assert_allclose(full, gaussian.kl_diagonal(mu_q, log_var_q, mu_p, log_var_p), rtol=1e-12)


@pytest.mark.parametrize("shapes", [((), (), (), ()), ((4,), (4,), (), ()), ((3, 1), (), (4,), (3, 4))])
def test_kl_full_matches_torch_in_batches(shapes):
    rng = np.random.default_rng(6)
    mu_q, mu_p = (rng.normal(size=(*shapes[i], 2)) for i in (0, 2))
    a, b = (rng.normal(size=(*shapes[i], 2, 4)) for i in (1, 3))
    cov_q, cov_p = a @ a.swapaxes(-1, -2), b @ b.swapaxes(-1, -2)
    q, p = (
        td.MultivariateNormal(torch.tensor(mu), torch.tensor(cov))
        for mu, cov in ((mu_q, cov_q), (mu_p, cov_p))
    )
    got = gaussian.kl_full(mu_q, cov_q, mu_p, cov_p)
    expected = td.kl_divergence(q, p).numpy()
    assert got.shape == expected.shape == np.broadcast_shapes(*shapes)
    np.testing.assert_allclose(got, expected, rtol=1e-11)


def test_kl_full_matches_cross_entropy_minus_entropy_of_scipy():
    rng = np.random.default_rng(7)
    (mu_q, mu_p), cov_q, cov_p = rng.normal(size=(2, 4)), exact_covariance(rng, 4), exact_covariance(rng, 4)
    q, p = stats.multivariate_normal(mu_q, cov_q), stats.multivariate_normal(mu_p, cov_p)
    # E_q of a quadratic: its value at the mean plus the trace of its curvature.
    cross_entropy = -p.logpdf(mu_q) + 0.5 * np.trace(np.linalg.inv(cov_p) @ cov_q)
    assert gaussian.kl_full(mu_q, cov_q, mu_p, cov_p) == pytest.approx(cross_entropy - q.entropy(), rel=1e-12)


# --- torch.distributions, shapes and types ----------------------------------------------


@pytest.mark.parametrize(
    "shapes",
    [
        ((2,), (2,), (2,)),
        ((3, 2), (2,), (3, 2)),
        ((5, 1, 2), (3, 2), (2,)),
        ((5, 3, 1), (3, 1), (1,)),
    ],
)
def test_diagonal_formulas_match_torch(shapes):
    rng = np.random.default_rng(8)
    x, mu, log_var = (rng.normal(size=shape) for shape in shapes)
    # Torch sums over the last axis only when every argument has it in full.
    mu_t, std_t = np.broadcast_arrays(mu, np.exp(0.5 * log_var))
    q = td.Independent(td.Normal(torch.tensor(mu_t), torch.tensor(std_t)), 1)
    x_t = np.broadcast_to(x, np.broadcast_shapes(*shapes)).copy()
    p = td.Independent(td.Normal(torch.tensor(x_t), torch.full(x_t.shape, 1.5, dtype=torch.float64)), 1)
    standard = td.Independent(td.Normal(torch.zeros_like(q.mean), torch.ones_like(q.mean)), 1)
    cases = [
        (gaussian.log_prob(x, mu, log_var), q.log_prob(torch.tensor(x))),
        (gaussian.entropy(np.broadcast_to(log_var, mu_t.shape)), q.entropy()),
        (gaussian.kl_standard_normal(mu, log_var), td.kl_divergence(q, standard)),
        (gaussian.kl_diagonal(mu, log_var, x, 2 * np.log(1.5)), td.kl_divergence(q.expand(p.batch_shape), p)),
    ]
    for got, expected in cases:
        assert got.shape == tuple(expected.shape)
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-11, atol=1e-14)


def test_scalars_stand_for_every_coordinate():
    x, ones = np.array([[0.3, -1.0, 2.0]]), np.ones((1, 3))
    assert gaussian.log_prob(x, 1.0, -1) == gaussian.log_prob(x, ones, -ones)
    assert gaussian.kl_standard_normal(x, -1) == gaussian.kl_standard_normal(x, -ones)
    assert gaussian.kl_standard_normal(1, x) == gaussian.kl_standard_normal(ones, x)
    assert gaussian.kl_diagonal(x, 1, 1, -1) == gaussian.kl_diagonal(x, ones, ones, -ones)
    assert gaussian.log_prob(0, 0, 0) == pytest.approx(-0.5 * np.log(2 * np.pi), rel=1e-15)


CONVERSIONS = {
    "float32": np.float32,
    "float16": np.float16,
    "int64": np.int64,
    "list": np.ndarray.tolist,
    "torch float64": torch.tensor,
    "torch float32": lambda a: torch.tensor(a, dtype=torch.float32),
}


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)
def test_other_types_give_the_float64_result(function, convert):
    # Whole numbers, so that no type rounds them.
    exact = {name: np.array([1.0, -2.0]) for name in arguments(function)}
    exact |= {name: np.diag([2.0, 3.0]) for name in exact if name.startswith("cov")}
    got = function(**{name: convert(value) for name, value in exact.items()})
    assert got.dtype == np.float64
    assert got == function(**exact)


@pytest.mark.parametrize("function", ALL)
def test_float32_input_is_computed_in_float64(function):
    single = {k: v.astype(np.float32) for k, v in arguments(function).items()}
    assert function(**single) == function(**{k: v.astype(np.float64) for k, v in single.items()})


@pytest.mark.parametrize("function", ALL)
def test_inputs_are_left_alone(function):
    inputs = {name: np.array(value) for name, value in arguments(function, batch=(3,)).items()}
    before = {name: value.copy() for name, value in inputs.items()}
    function(**inputs)
    for name, value in inputs.items():
        np.testing.assert_array_equal(value, before[name])


# --- refusals ---------------------------------------------------------------------------

BAD = {
    "nan": (float("nan"), ValueError, "finite numbers, got nan"),
    "inf": ([[1.0, float("-inf")]], ValueError, r"finite numbers, got -inf in an array of shape \(1, 2\)"),
    "empty": (np.zeros((0, 2)), ValueError, r"at least one number, got an empty array of shape \(0, 2\)"),
    "string": ("1.0", TypeError, "real numbers, got str"),
    "none": (None, TypeError, "real numbers, got NoneType"),
    "complex": (np.ones(2, dtype=complex), TypeError, "real numbers, got ndarray"),
    "ragged": ([[1.0], [1.0, 2.0]], TypeError, "real numbers, got list"),
    "attached": (torch.ones(2, requires_grad=True), TypeError, "real numbers, got Tensor"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(("function", "name"), [(f, n) for f in ALL for n in arguments(f)])
def test_bad_values_are_refused_by_name(function, name, bad):
    value, error, message = BAD[bad]
    with pytest.raises(error, match=f"^{name}: expected .*{message}"):
        function(**(arguments(function) | {name: value}))


@pytest.mark.parametrize("function", [f for f in DIAGONAL if f is not gaussian.entropy])
@pytest.mark.parametrize("shape", [(64, 3), (64, 1), (63, 2)])
def test_shapes_that_do_not_go_together_are_refused(function, shape):
    inputs = arguments(function, batch=(64,))
    first, *later = inputs
    for name in later:
        with pytest.raises(ValueError) as error:
            function(**(inputs | {name: np.zeros(shape)}))
        assert str(error.value) == f"{name}: expected shape (64, 2) like {first}, got {shape}"


def test_event_axis_of_one_does_not_broadcast_either_way():
    with pytest.raises(ValueError, match=r"^mu: expected shape \(64, 1\) like x, got \(64, 2\)$"):
        gaussian.log_prob(np.zeros((64, 1)), np.zeros((64, 2)), 0.0)
    with pytest.raises(ValueError, match=r"^log_var: expected shape \(2,\) like mu, got \(1,\)$"):
        gaussian.kl_standard_normal(np.zeros(2), np.zeros(1))


def test_a_third_shape_must_go_with_the_first_two_together():
    x, mu = np.zeros((5, 1, 2)), np.zeros((3, 2))
    assert gaussian.log_prob(x, mu, np.zeros((5, 3, 2))).shape == (5, 3)
    # It goes with x alone, and must not stretch the mean's three rows.
    with pytest.raises(ValueError, match=r"^log_var: expected shape \(5, 3, 2\) like x, got \(4, 2\)$"):
        gaussian.log_prob(x, mu, np.zeros((4, 2)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mu_p": np.zeros(3)}, r"mu_p: expected shape \(2,\) like mu_q, got \(3,\)"),
        ({"cov_q": np.eye(3)}, r"cov_q: expected shape \(..., 2, 2\) for means of size 2, got \(3, 3\)"),
        ({"cov_p": 1.0}, r"cov_p: expected shape \(..., 2, 2\) for means of size 2, got \(\)"),
        ({"cov_p": np.ones(2)}, r"cov_p: expected shape \(..., 2, 2\) for means of size 2, got \(2,\)"),
        (
            {"mu_q": np.zeros((4, 2)), "cov_p": np.stack([np.eye(2)] * 3)},
            r"cov_p: expected shape \(4, 2, 2\), got \(3, 2, 2\)",
        ),
        (
            {"cov_q": np.stack([np.eye(2)] * 4), "cov_p": np.stack([np.eye(2)] * 3)},
            r"cov_p: expected shape \(4, 2, 2\), got \(3, 2, 2\)",
        ),
        ({"cov_q": [[1.0, 0.5], [0.4, 1.0]]}, "cov_q: expected a symmetric matrix"),
        # A large neighbour in the batch must not hide the asymmetry of a small matrix.
        ({"cov_p": [1e12 * np.eye(2), [[1.0, 0.5], [0.4, 1.0]]]}, "cov_p: expected a symmetric matrix"),
        ({"cov_q": [[1.0, 2.0], [2.0, 1.0]]}, "cov_q: expected a positive definite matrix"),
        ({"cov_p": -np.eye(2)}, "cov_p: expected a positive definite matrix"),
        ({"cov_p": np.zeros((2, 2))}, "cov_p: expected a positive definite matrix"),
        ({"cov_p": [np.eye(2), -np.eye(2)]}, "cov_p: expected a positive definite matrix"),
    ],
)
def test_kl_full_refuses_what_is_no_covariance(change, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        gaussian.kl_full(**(arguments(gaussian.kl_full) | change))


def test_kl_full_forgives_the_rounding_of_a_symmetric_matrix():
    cov = np.array([[1.0, 0.5], [0.5 * (1 + 1e-14), 1.0]])
    assert gaussian.kl_full([0, 0], cov, [0, 0], cov) == pytest.approx(0, abs=1e-13)


# --- expectation ------------------------------------------------------------------------


@pytest.mark.parametrize(("mu", "std"), [(0.0, 1.0), (-1.3, 0.4), (3.0, 2.0), (0.5, 1e-6)])
def test_expectation_of_moments_and_of_exp(mu, std):
    # Fourth raw moment of a Gaussian, and the mean of a log-normal: textbook closed forms.
    fourth = mu**4 + 6 * mu**2 * std**2 + 3 * std**4
    assert gaussian.expectation(lambda z: z**4, mu, std) == pytest.approx(fourth, rel=1e-12)
    assert gaussian.expectation(np.exp, mu, std) == pytest.approx(np.exp(mu + std**2 / 2), rel=1e-12)
    assert gaussian.expectation(lambda z: 1.0, mu, std) == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize("std", [1e-3, 1.0, 70.0])
def test_expectation_of_a_constant_is_the_constant_to_the_last_digits(std):
    """With the step as the difference of two of its points it was off by 60 of these units."""
    assert abs(gaussian.expectation(lambda z: 1.0, 0.3, std) - 1) <= 2**-52


def test_expectation_gives_the_kl():
    mu, log_var = 0.8, -1.1
    log_ratio = lambda z: (  # noqa: E731
        gaussian.log_prob(z[:, None], mu, log_var) - gaussian.log_prob(z[:, None], 0.0, 0.0)
    )
    integral = gaussian.expectation(log_ratio, mu, np.exp(log_var / 2))
    assert integral == pytest.approx(gaussian.kl_standard_normal(mu, log_var), rel=1e-12)


@pytest.mark.parametrize(
    ("f", "mu", "std", "message"),
    [
        (np.exp, 0.0, 0.0, "std: expected a number above 0, got 0"),
        (np.exp, 0.0, -1.0, "std: expected a number above 0, got -1"),
        (np.exp, float("nan"), 1.0, "mu: expected finite numbers"),
        (np.exp, [0.0, 1.0], 1.0, r"mu: expected one number, got an array of shape \(2,\)"),
        # Broadcast against the weights, such a column would give a wrong number without a word.
        (lambda z: z[:, None], 0.0, 1.0, r"f: expected values of shape \(1201,\), got \(1201, 1\)"),
    ],
)
def test_expectation_refuses_what_it_cannot_integrate(f, mu, std, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        gaussian.expectation(f, mu, std)
