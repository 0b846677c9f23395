"""The linear-Gaussian world against SciPy, torch.distributions, quadrature and brute force."""

import mpmath
import numpy as np
import pytest
import torch
import torch.distributions as td
from scipy import integrate, stats

from vae_helpers.numerics.linear_gaussian import LinearGaussian

SIZES = [(data, latent) for data in range(1, 7) for latent in range(1, 6)]


def random_world(data_dim, latent_dim):
    """A random model, five points x and one random q for each."""
    rng = np.random.default_rng(10 * data_dim + latent_dim)
    world = LinearGaussian(
        rng.normal(size=(data_dim, latent_dim)), rng.normal(size=data_dim), rng.uniform(0.4, 2)
    )
    x = 2 * rng.normal(size=(5, data_dim))
    return world, x, rng.normal(size=(5, latent_dim)), rng.normal(size=(5, latent_dim))


def joint(world):
    """Mean and covariance of (z, x), which is an affine map of d + D standard normals."""
    d, size = world.latent_dim, world.data_dim
    affine = np.block([[np.eye(d), np.zeros((d, size))], [world.weight, world.noise_std * np.eye(size)]])
    return np.concatenate([np.zeros(d), world.bias]), affine @ affine.T


def brute_posterior(world, x):
    """Conditions the joint Gaussian on x: needs the inverse of a D x D block, not of a d x d one."""
    d = world.latent_dim
    mean, cov = joint(world)
    gain = cov[:d, d:] @ np.linalg.inv(cov[d:, d:])
    return (x - mean[d:]) @ gain.T, cov[:d, :d] - gain @ cov[d:, :d]


# --- exact quantities -------------------------------------------------------------------


@pytest.mark.parametrize(("data_dim", "latent_dim"), SIZES)
def test_elbo_plus_gap_is_the_log_evidence(data_dim, latent_dim):
    world, x, mu, log_var = random_world(data_dim, latent_dim)
    elbo, gap = world.elbo(x, mu, log_var), world.gap(x, mu, log_var)
    assert elbo.shape == gap.shape == (5,)
    assert (gap > 0).all()
    np.testing.assert_allclose(elbo + gap, world.log_evidence(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("data_dim", "latent_dim"), SIZES)
def test_log_evidence_matches_scipy(data_dim, latent_dim):
    world, x, *_ = random_world(data_dim, latent_dim)
    mean, cov = joint(world)
    marginal = stats.multivariate_normal(mean[latent_dim:], cov[latent_dim:, latent_dim:])
    expected = np.reshape(marginal.logpdf(x), 5)
    np.testing.assert_allclose(world.log_evidence(x), expected, rtol=1e-10)


@pytest.mark.parametrize(("data_dim", "latent_dim"), SIZES)
def test_posterior_matches_brute_force_conditioning(data_dim, latent_dim):
    world, x, *_ = random_world(data_dim, latent_dim)
    mean, cov = world.posterior(x)
    expected_mean, expected_cov = brute_posterior(world, x)
    np.testing.assert_allclose(mean, expected_mean, rtol=0, atol=1e-11)
    np.testing.assert_allclose(cov, expected_cov, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(cov, cov.T)


@pytest.mark.parametrize(("data_dim", "latent_dim"), SIZES)
def test_gap_matches_torch(data_dim, latent_dim):
    world, x, mu, log_var = random_world(data_dim, latent_dim)
    mean, cov = map(torch.tensor, brute_posterior(world, x))
    q = td.Independent(td.Normal(torch.tensor(mu), torch.tensor(np.exp(log_var / 2))), 1)
    q = td.MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    expected = td.kl_divergence(q, td.MultivariateNormal(mean, (cov + cov.T) / 2))
    np.testing.assert_allclose(world.gap(x, mu, log_var), expected.numpy(), rtol=1e-9)


@pytest.mark.parametrize(("data_dim", "latent_dim"), [(1, 1), (4, 2), (2, 3)])
def test_log_likelihood_matches_scipy_and_bayes_rule(data_dim, latent_dim):
    world, x, z, _ = random_world(data_dim, latent_dim)
    got = world.log_likelihood(x, z)
    expected = stats.norm.logpdf(x, z @ world.weight.T + world.bias, world.noise_std).sum(axis=-1)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    # log p(x | z) + log p(z) - log p(z | x) is log p(x), whatever z.
    mean, cov = brute_posterior(world, x)
    log_posterior = [
        stats.multivariate_normal(m, cov).logpdf(point) for m, point in zip(mean, z, strict=True)
    ]
    bayes = got + stats.norm.logpdf(z).sum(axis=-1) - np.ravel(log_posterior)
    np.testing.assert_allclose(bayes, world.log_evidence(x), rtol=0, atol=1e-10)


def test_gap_vanishes_at_a_diagonal_posterior():
    # Orthogonal columns make the posterior factorise; then q can reach it.
    columns, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 3)))
    world = LinearGaussian(columns * [2.0, 1.0, 0.3], 0.5, 0.7)
    x = np.random.default_rng(2).normal(size=(4, 5))
    mean, cov = world.posterior(x)
    log_var = np.log(np.diag(cov))
    np.testing.assert_allclose(world.gap(x, mean, log_var), 0, rtol=0, atol=1e-14)
    np.testing.assert_allclose(world.elbo(x, mean, log_var), world.log_evidence(x), rtol=1e-13)
    # Close to it the gap is far below the rounding error of log p(x) - ELBO, and still accurate.
    expected = 0.5 * 1e-7**2 * np.exp(-log_var).sum()
    np.testing.assert_allclose(world.gap(x, mean + 1e-7, log_var), expected, rtol=1e-6)


def test_best_factorised_q_keeps_a_gap_when_the_posterior_is_correlated():
    world = LinearGaussian([[1.0, 1.0]], 0.0, 0.5)
    mean, cov = world.posterior([0.8])
    # Bishop 2006, eq. 10.12: the best q has the precisions of the posterior as its own.
    precision = np.diag(np.linalg.inv(cov))
    gap = world.gap([0.8], mean, -np.log(precision))
    assert gap == pytest.approx(0.5 * (np.log(precision).sum() + np.log(np.linalg.det(cov))), rel=1e-10)
    assert gap > 0.1


@pytest.mark.parametrize("angle", [1e-2, 1e-4, 1e-6])
def test_the_posterior_keeps_its_digits_where_latents_are_hard_to_tell_apart(angle):
    """WᵀW would have the square of the condition number of W."""
    noise_std, x = 1e-4, np.array([0.5, -0.2, 0.3])
    weight = np.array([[1.0, 1.0], [0.5, 0.5 + angle], [0.2, 0.2 - angle]])
    world = LinearGaussian(weight, 0.0, noise_std)
    mean, cov = world.posterior(x)
    with mpmath.workdps(60):
        w, s = mpmath.matrix(weight.tolist()), mpmath.mpf(noise_std)
        exact_cov = (mpmath.eye(2) + w.T * w / s**2) ** -1
        exact_mean = exact_cov * w.T * mpmath.matrix(x.tolist()) / s**2
        expected_cov, expected_mean = (np.array(a.tolist(), dtype=float) for a in (exact_cov, exact_mean))
    condition = min(1 / angle, 1 / noise_std)  # of W, with its rows for the prior
    np.testing.assert_allclose(cov, expected_cov, rtol=1e-15 * condition)
    np.testing.assert_allclose(mean, expected_mean[:, 0], rtol=1e-15 * condition)
    np.testing.assert_array_equal(cov, cov.T)


def test_weak_latents_keep_the_digits_of_their_posterior():
    weight, x = 1e-12 * np.array([[1.0, -0.3], [0.4, 0.7]]), np.array([0.7, -0.2])
    mean, cov = LinearGaussian(weight, 0.0, 1.0).posterior(x)
    np.testing.assert_allclose(mean, weight.T @ x, rtol=1e-15)  # the prior's but for this
    np.testing.assert_allclose(cov, np.eye(2), rtol=0, atol=3e-16)
    assert LinearGaussian([[1e-12]], 0.0, 1.0).gap([0.0], [0.0], [1e-9]) == pytest.approx(2.5e-19, rel=1e-8)


# --- one latent: quadrature -------------------------------------------------------------

W, B, S, X = 1.3, -0.4, 0.6, 1.1


def integral(f):
    return integrate.quad(f, -12, 12, points=[-1, 0, 1, 2], epsabs=1e-13, epsrel=1e-12, limit=400)[0]


def log_joint(z):
    return stats.norm.logpdf(z) + stats.norm.logpdf(X, W * z + B, S)


def test_evidence_and_posterior_match_quadrature():
    world = LinearGaussian(W, B, S)
    evidence = integral(lambda z: np.exp(log_joint(z)))
    assert world.log_evidence(X) == pytest.approx(np.log(evidence), rel=1e-10)
    mean = integral(lambda z: z * np.exp(log_joint(z))) / evidence
    variance = integral(lambda z: (z - mean) ** 2 * np.exp(log_joint(z))) / evidence
    got_mean, got_cov = world.posterior(X)
    np.testing.assert_allclose(got_mean, [mean], rtol=1e-9)
    np.testing.assert_allclose(got_cov, [[variance]], rtol=1e-9)


@pytest.mark.parametrize(("mu", "log_var"), [(0.0, 0.0), (0.9, -1.5), (-2.0, 0.7)])
def test_elbo_and_gap_match_quadrature(mu, log_var):
    world = LinearGaussian(W, B, S)
    q = stats.norm(mu, np.exp(log_var / 2))
    elbo = integral(lambda z: q.pdf(z) * (log_joint(z) - q.logpdf(z)))
    assert world.elbo(X, mu, log_var) == pytest.approx(elbo, rel=1e-9)
    log_evidence = np.log(integral(lambda z: np.exp(log_joint(z))))
    gap = integral(lambda z: q.pdf(z) * (q.logpdf(z) - (log_joint(z) - log_evidence)))
    assert world.gap(X, mu, log_var) == pytest.approx(gap, rel=1e-9)


def test_elbo_matches_quadrature_with_several_observed_numbers():
    world, x, mu, log_var = random_world(3, 1)
    for i in range(3):
        q = stats.norm(mu[i, 0], np.exp(log_var[i, 0] / 2))

        def integrand(z, q=q, x=x[i]):
            likelihood = stats.norm.logpdf(x, world.weight[:, 0] * z + world.bias, world.noise_std).sum()
            return q.pdf(z) * (likelihood + stats.norm.logpdf(z) - q.logpdf(z))

        assert world.elbo(x[i], mu[i], log_var[i]) == pytest.approx(integral(integrand), rel=1e-9)


# --- sampling ---------------------------------------------------------------------------


def test_sample_moments_within_five_standard_errors():
    world, *_ = random_world(3, 2)
    num = 40_000
    z, x = world.sample(num, np.random.default_rng(3))
    assert (z.shape, x.shape) == ((num, 2), (num, 3))
    draws = np.concatenate([z, x], axis=1)
    mean, cov = joint(world)
    variance = np.diag(cov)
    # Sees a mean that is off by 2.5 % of a standard deviation, and variances that are off by 3.5 %.
    assert (np.abs(draws.mean(axis=0) - mean) < 5 * np.sqrt(variance / num)).all()
    # Variance of an empirical covariance of Gaussians (Wishart): (C_ii C_jj + C_ij²) / n.
    error = np.sqrt((np.outer(variance, variance) + cov**2) / num)
    assert (np.abs(np.cov(draws.T) - cov) < 5 * error).all()


def test_sample_depends_on_the_generator_alone():
    world, *_ = random_world(3, 2)
    state = np.random.get_state()  # noqa: NPY002
    first, second, other = (world.sample(4, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(np.hstack(first), np.hstack(second))
    assert (np.hstack(first) != np.hstack(other)).all()
    assert all(np.array_equal(a, b) for a, b in zip(state, np.random.get_state(), strict=True))  # noqa: NPY002


# --- shapes -----------------------------------------------------------------------------


def test_unbatched_x_gives_the_row_of_the_batch():
    world, x, mu, log_var = random_world(4, 2)
    for name, arguments in {"log_evidence": [x], "elbo": [x, mu, log_var], "gap": [x, mu, log_var]}.items():
        method = getattr(world, name)
        one = method(*(a[1] for a in arguments))
        assert one.shape == ()
        assert one == pytest.approx(method(*arguments)[1], rel=1e-13)
    mean, cov = world.posterior(x[1])
    assert (mean.shape, cov.shape) == ((2,), (2, 2))
    np.testing.assert_allclose(mean, world.posterior(x)[0][1], rtol=1e-13)


def test_leading_axes_broadcast():
    world, x, mu, log_var = random_world(4, 2)
    samples = x[:, None]  # five points against five q's
    for method in (world.elbo, world.gap):
        table = method(samples, mu, log_var)
        assert table.shape == (5, 5)
        assert table[3, 1] == pytest.approx(method(x[3], mu[1], log_var[1]), rel=1e-13)
        np.testing.assert_allclose(method(x, mu, -1.0), method(x, mu, np.full((5, 2), -1.0)), rtol=1e-14)
    table = world.log_likelihood(samples, mu)
    assert table[3, 1] == pytest.approx(world.log_likelihood(x[3], mu[1]), rel=1e-13)


def test_scalars_make_the_world_of_one_latent():
    scalar, full = LinearGaussian(W, B, S), LinearGaussian([[W]], [B], S)
    assert (scalar.data_dim, scalar.latent_dim) == (1, 1)
    assert (scalar.weight.shape, scalar.bias.shape, scalar.noise_std) == ((1, 1), (1,), S)
    assert scalar.log_evidence(X).shape == ()
    assert scalar.log_evidence(X) == full.log_evidence([X])
    assert scalar.elbo(X, 0.2, -1.0) == full.elbo([X], [0.2], [-1.0])
    assert scalar.gap(X, 0.2, -1.0) == full.gap([X], [0.2], [-1.0])


def test_scalar_bias_is_the_same_in_every_coordinate():
    world = LinearGaussian(np.ones((3, 2)), 0.7, 1)
    np.testing.assert_array_equal(world.bias, [0.7, 0.7, 0.7])
    assert (world.data_dim, world.latent_dim) == (3, 2)


def test_the_model_keeps_its_own_copy_and_accepts_other_types():
    weight, bias = np.ones((2, 1)), torch.ones(2, dtype=torch.float64)
    world = LinearGaussian(weight, bias, 2)
    before = world.log_evidence(np.float32([0.5, 0.5]))
    weight[:], bias[:] = 7, 7
    assert world.log_evidence(torch.tensor([0.5, 0.5])) == before
    assert before.dtype == world.weight.dtype == world.bias.dtype == np.float64


# --- refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0, 2.0], 0.0, 1.0), ValueError, r"weight: expected shape \(D, d\) or a scalar, got \(2,\)"),
        ((np.ones((2, 2, 2)), 0.0, 1.0), ValueError, r"weight: expected shape .* got \(2, 2, 2\)"),
        (
            (np.ones((3, 2)), [0.0, 0.0], 1.0),
            ValueError,
            r"bias: expected shape \(3,\) .*\(3, 2\), got \(2,\)",
        ),
        ((np.ones((3, 2)), [0.0], 1.0), ValueError, r"bias: expected shape \(3,\) .*, got \(1,\)"),
        ((1.0, np.zeros((1, 1)), 1.0), ValueError, r"bias: expected shape \(1,\) .*, got \(1, 1\)"),
        ((1.0, 0.0, 0.0), ValueError, "noise_std: expected a number above 0, got 0"),
        ((1.0, 0.0, -0.5), ValueError, "noise_std: expected a number above 0, got -0.5"),
        ((1.0, 0.0, [1.0, 1.0]), ValueError, r"noise_std: expected one number, got an array of shape \(2,\)"),
        ((1.0, 0.0, float("nan")), ValueError, "noise_std: expected finite numbers, got nan"),
        ((1.0, 0.0, True), TypeError, "noise_std: expected a number, got True"),
        ((float("inf"), 0.0, 1.0), ValueError, "weight: expected finite numbers, got inf"),
        ((np.ones((0, 2)), 0.0, 1.0), ValueError, r"weight: .* got an empty array of shape \(0, 2\)"),
        ((1.0, None, 1.0), TypeError, "bias: expected an array of real numbers, got NoneType"),
        (("w", 0.0, 1.0), TypeError, "weight: expected an array of real numbers, got str"),
        ((1.0, 1j, 1.0), TypeError, "bias: expected an array of real numbers, got complex"),
    ],
)
def test_the_constructor_refuses_what_makes_no_world(arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        LinearGaussian(*arguments)


@pytest.mark.parametrize("method", ["log_evidence", "posterior", "log_likelihood", "elbo", "gap"])
@pytest.mark.parametrize("shape", [(5, 2), (5, 1), (3, 4), (1,), ()])
def test_x_of_the_wrong_size_is_refused_by_name(method, shape):
    world, _, mu, log_var = random_world(3, 2)
    rest = {"log_likelihood": [mu], "elbo": [mu, log_var], "gap": [mu, log_var]}.get(method, [])
    came = shape or (1,)
    with pytest.raises(ValueError) as error:
        getattr(world, method)(np.zeros(shape), *rest)
    assert str(error.value) == f"x: expected shape (..., 3), got {came}"


@pytest.mark.parametrize("method", ["elbo", "gap"])
def test_q_of_the_wrong_size_is_refused_by_name(method):
    world, x, mu, log_var = random_world(3, 2)
    call = getattr(world, method)
    with pytest.raises(ValueError, match=r"^mu: expected shape \(..., 2\), got \(5, 3\)$"):
        call(x, x, log_var)
    with pytest.raises(ValueError, match=r"^log_var: expected shape \(5, 2\) like mu, got \(5, 3\)$"):
        call(x, mu, x)
    with pytest.raises(ValueError, match=r"^log_var: expected finite numbers, got nan"):
        call(x, mu, log_var * np.nan)
    with pytest.raises(ValueError, match=r"^z: expected shape \(..., 2\), got \(5, 3\)$"):
        world.log_likelihood(x, x)


def test_one_draw_is_enough():
    z, x = LinearGaussian(np.ones((3, 2)), 0.0, 1.0).sample(np.int64(1), np.random.default_rng(0))
    assert (z.shape, x.shape) == ((1, 2), (1, 3))


@pytest.mark.parametrize(
    ("num", "rng", "error", "message"),
    [
        (0, np.random.default_rng(0), ValueError, "num: expected at least 1, got 0"),
        (True, np.random.default_rng(0), TypeError, "num: expected a whole number, got True"),
        (3.0, np.random.default_rng(0), TypeError, "num: expected a whole number, got 3.0"),
        (3, 0, TypeError, r"rng: expected numpy.random.default_rng\(seed\), got int"),
        (3, np.random.RandomState(0), TypeError, "rng: expected .*, got RandomState"),
        (3, None, TypeError, "rng: expected .*, got NoneType"),
    ],
)
def test_sample_refuses_other_counts_and_generators(num, rng, error, message):
    with pytest.raises(error, match=f"^{message}"):
        LinearGaussian(1.0, 0.0, 1.0).sample(num, rng)


def test_batches_that_do_not_match_are_named():
    world = LinearGaussian(np.ones((3, 2)), 0.0, 1.0)
    x, mu = np.zeros((4, 3)), np.zeros((4, 2))
    with pytest.raises(ValueError, match=r"z: expected a batch like that of x, \(4, 3\), got \(5, 2\)"):
        world.log_likelihood(x, np.zeros((5, 2)))
    for function in (world.elbo, world.gap):
        with pytest.raises(ValueError, match=r"mu: expected a batch like that of x, \(4, 3\), got \(5, 2\)"):
            function(x, np.zeros((5, 2)), 0.0)
        with pytest.raises(ValueError, match=r"log_var: expected shape \(4, 2\) like mu, got \(5, 2\)"):
            function(x, mu, np.zeros((5, 2)))


@pytest.mark.parametrize("noise_std", [1e-2, 1e-4, 1e-6])
def test_log_evidence_keeps_its_digits_when_the_noise_is_small(noise_std):
    rng = np.random.default_rng(3)
    weight, x = rng.normal(size=(4, 2)), rng.normal(size=4)
    with mpmath.workdps(60):
        w, s2 = mpmath.matrix(weight.tolist()), mpmath.mpf(noise_std) ** 2
        cov = w * w.T + s2 * mpmath.eye(4)
        r = mpmath.matrix(x.tolist())
        exact = -(mpmath.log(mpmath.det(2 * mpmath.pi * cov)) + (r.T * mpmath.inverse(cov) * r)[0]) / 2
    found = LinearGaussian(weight, 0.0, noise_std).log_evidence(x)
    assert found == pytest.approx(float(exact), rel=1e-12)
