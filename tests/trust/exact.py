"""Closed forms and their gradients in mpmath, at 50 digits or more: what ours are held against.

Each function takes the numbers of one point, a list of mpf for each argument (a list of lists for a matrix),
and returns the value and the gradient, in the same shape as the arguments. They are written from the
formulas and share no code with `vae_helpers`.
"""

from __future__ import annotations

from mpmath import mp, mpf

DIGITS = 50
Numbers = list  # of mpf, or of such lists


def excess(x: mpf) -> mpf:
    """exp(x) - 1 - x; by its Taylor series near 0, where the three terms would cancel."""
    if abs(x) > 0.1:
        return mp.exp(x) - 1 - x
    term = total = x * x / 2
    k = 3
    while abs(term) > abs(total) * mpf(10) ** -(mp.dps + 5):
        term *= x / k
        total += term
        k += 1
    return total


def dot(a: Numbers, b: Numbers) -> mpf:
    """Σ a_i b_i."""
    return mp.fsum(x * y for x, y in zip(a, b, strict=True))


# ---- diagonal Gaussians ---------------------------------------------------------------------


def log_prob(x: Numbers, mu: Numbers, log_var: Numbers) -> tuple:
    """log N(x; mu, exp(log_var))."""
    precision = [mp.exp(-v) for v in log_var]
    apart = [a - b for a, b in zip(x, mu, strict=True)]
    squares = [d * d * p for d, p in zip(apart, precision, strict=True)]
    value = -mp.fsum(mp.log(2 * mp.pi) + v + s for v, s in zip(log_var, squares, strict=True)) / 2
    slope = [-d * p for d, p in zip(apart, precision, strict=True)]
    return value, (slope, [-g for g in slope], [(s - 1) / 2 for s in squares])


def entropy(log_var: Numbers) -> tuple:
    """½ Σ (1 + log 2π + log_var)."""
    return mp.fsum((1 + mp.log(2 * mp.pi) + v) / 2 for v in log_var), ([mpf(1) / 2] * len(log_var),)


def kl_standard_normal(mu: Numbers, log_var: Numbers) -> tuple:
    """KL(N(mu, exp(log_var)), N(0, I))."""
    value = mp.fsum((m * m + excess(v)) / 2 for m, v in zip(mu, log_var, strict=True))
    return value, (mu, [mp.expm1(v) / 2 for v in log_var])


def kl_diagonal(mu_q: Numbers, log_var_q: Numbers, mu_p: Numbers, log_var_p: Numbers) -> tuple:
    """KL between two diagonal Gaussians."""
    ratio = [a - b for a, b in zip(log_var_q, log_var_p, strict=True)]
    apart = [a - b for a, b in zip(mu_q, mu_p, strict=True)]
    slope = [d * mp.exp(-v) for d, v in zip(apart, log_var_p, strict=True)]
    value = mp.fsum((d * s + excess(r)) / 2 for d, s, r in zip(apart, slope, ratio, strict=True))
    width = [mp.expm1(r) / 2 for r in ratio]
    of_p = [-w - d * s / 2 for w, d, s in zip(width, apart, slope, strict=True)]
    return value, (slope, width, [-s for s in slope], of_p)


def log_ratio(mu: Numbers, log_var: Numbers, eps: Numbers) -> tuple:
    """log p(z) - log q(z) at z = mu + exp(log_var / 2) eps, for the prior N(0, I)."""
    std = [mp.exp(v / 2) for v in log_var]
    z = [m + s * e for m, s, e in zip(mu, std, eps, strict=True)]
    value = mp.fsum((e * e + v - a * a) / 2 for e, v, a in zip(eps, log_var, z, strict=True))
    of_log_var = [(1 - a * s * e) / 2 for a, s, e in zip(z, std, eps, strict=True)]
    return value, ([-a for a in z], of_log_var, [e - a * s for e, a, s in zip(eps, z, std, strict=True)])


def reparameterized(mu: Numbers, log_var: Numbers, eps: Numbers) -> tuple:
    """The one number mu + exp(log_var / 2) eps."""
    (m,), (v,), (e,) = mu, log_var, eps
    std = mp.exp(v / 2)
    return m + std * e, ([mpf(1)], [std * e / 2], [std])


# ---- pixels ---------------------------------------------------------------------------------


def sigmoid(a: mpf) -> mpf:
    """1 / (1 + exp(-a))."""
    return 1 / (1 + mp.exp(-a)) if a >= 0 else mp.exp(a) / (1 + mp.exp(a))


def bernoulli(x: Numbers, logits: Numbers) -> tuple:
    """Σ x a - log(1 + exp(a)); the gradient in x is 0 where x is 0 or 1, which are exact."""
    pixels = zip(x, logits, strict=True)
    # As a sum of terms of one sign, in which nothing cancels however large a is.
    value = -mp.fsum(
        (max(a, mpf(0)) - t * a if t not in (0, 1) else (abs(a) if (a > 0) != (t == 1) else mpf(0)))
        + mp.log1p(mp.exp(-abs(a)))
        for t, a in pixels
    )
    of_x = [a if t not in (0, 1) else mpf(0) for t, a in zip(x, logits, strict=True)]
    return value, (of_x, [bernoulli_slope([t], [a])[0] for t, a in zip(x, logits, strict=True)])


def bernoulli_slope(x: Numbers, logits: Numbers) -> tuple:
    """x - σ(a) of one pixel, the derivative by a."""
    (x,), (a,) = x, logits
    value = sigmoid(-a) if x == 1 else x - sigmoid(a)
    return value, ([mpf(1)], [-sigmoid(a) * sigmoid(-a)])


def mean_of_bernoulli(logits: Numbers) -> tuple:
    """σ(a) of one pixel."""
    (a,) = logits
    return sigmoid(a), ([sigmoid(a) * sigmoid(-a)],)


def gaussian_pixels(x: Numbers, output: Numbers, log_var: Numbers) -> tuple:
    """log N(x; output, exp(log_var)) with one log-variance for all."""
    value, (of_x, of_output, of_log_var) = log_prob(x, output, log_var * len(x))
    return value, (of_x, of_output, [mp.fsum(of_log_var)])


def gaussian_pixels_by_log_var(x: Numbers, output: Numbers, log_var: Numbers) -> tuple:
    """The derivative of that by the log-variance, ½ Σ (s² - 1)."""
    precision = mp.exp(-log_var[0])
    apart = [a - b for a, b in zip(x, output, strict=True)]
    squares = mp.fsum(d * d for d in apart) * precision
    slope = [d * precision for d in apart]
    return (squares - len(x)) / 2, (slope, [-s for s in slope], [-squares / 2])


def gaussian_pixels_by_output(x: Numbers, output: Numbers, log_var: Numbers) -> tuple:
    """The derivative of the log-density of one pixel by the decoder's output."""
    (x,), (o,), (v,) = x, output, log_var
    precision = mp.exp(-v)
    return (x - o) * precision, ([precision], [-precision], [(o - x) * precision])


# ---- full covariances -----------------------------------------------------------------------


def inverse_and_log_det(rows: Numbers) -> tuple:
    """Of a symmetric positive definite matrix."""
    # By elimination; mpmath's own Cholesky factorization takes entries of 1e-60 for zero.
    size, left, log_det = len(rows), [list(row) for row in rows], mpf(0)
    right = [[mpf(i == j) for j in range(size)] for i in range(size)]
    for k in range(size):
        log_det += mp.log(left[k][k])  # real, as pivots of a positive definite matrix are above 0
        for i in range(size):
            if i != k:
                factor = left[i][k] / left[k][k]
                left[i] = [a - factor * b for a, b in zip(left[i], left[k], strict=True)]
                right[i] = [a - factor * b for a, b in zip(right[i], right[k], strict=True)]
    return [[b / left[i][i] for b in right[i]] for i in range(size)], log_det


def by_vector(matrix: Numbers, vector: Numbers) -> Numbers:
    """The product of a matrix and a vector."""
    return [dot(row, vector) for row in matrix]


def product(a: Numbers, b: Numbers) -> Numbers:
    """The product of two matrices."""
    return [[dot(row, column) for column in zip(*b, strict=True)] for row in a]


def kl_full(mu_q: Numbers, cov_q: Numbers, mu_p: Numbers, cov_p: Numbers) -> tuple:
    """KL between two Gaussians with full covariances."""
    with mp.extradps(40):  # near equality, half of the digits go
        size = range(len(mu_q))
        inverse_q, log_det_q = inverse_and_log_det(cov_q)
        inverse_p, log_det_p = inverse_and_log_det(cov_p)
        apart = [a - b for a, b in zip(mu_q, mu_p, strict=True)]
        slope = by_vector(inverse_p, apart)
        trace = mp.fsum(dot(inverse_p[i], cov_q[i]) for i in size)
        value = (trace - len(mu_q) + dot(apart, slope) + log_det_p - log_det_q) / 2
        inner = product(product(inverse_p, cov_q), inverse_p)
        of_q = [[(inverse_p[i][j] - inverse_q[i][j]) / 2 for j in size] for i in size]
        of_p = [[(inverse_p[i][j] - inner[i][j] - slope[i] * slope[j]) / 2 for j in size] for i in size]
        return value, (slope, of_q, [-s for s in slope], of_p)


# ---- the linear-Gaussian world --------------------------------------------------------------


def log_likelihood(weight: Numbers, bias: Numbers, std: Numbers, x: Numbers, z: Numbers) -> tuple:
    """log p(x given z)."""
    (s,), size = std, len(x)
    residual = [a - b - m for a, b, m in zip(x, bias, by_vector(weight, z), strict=True)]
    square = dot(residual, residual)
    value = -(square / s**2 + size * (2 * mp.log(s) + mp.log(2 * mp.pi))) / 2
    of_x = [-r / s**2 for r in residual]
    of_weight = [[-g * a for a in z] for g in of_x]
    of_z = [-dot(of_x, column) for column in zip(*weight, strict=True)]
    return value, (of_weight, [-g for g in of_x], [square / s**3 - size / s], of_x, of_z)


def log_evidence(weight: Numbers, bias: Numbers, std: Numbers, x: Numbers) -> tuple:
    """log p(x), by the covariance W Wᵀ + s² I."""
    (s,), size = std, range(len(x))
    cov = product(weight, [list(column) for column in zip(*weight, strict=True)])
    cov = [[cov[i][j] + (s**2 if i == j else 0) for j in size] for i in size]
    inverse, log_det = inverse_and_log_det(cov)
    residual = [a - b for a, b in zip(x, bias, strict=True)]
    alpha = by_vector(inverse, residual)
    value = -(dot(residual, alpha) + log_det + len(x) * mp.log(2 * mp.pi)) / 2
    of_cov = [[alpha[i] * alpha[j] - inverse[i][j] for j in size] for i in size]
    of_std = s * mp.fsum(of_cov[i][i] for i in size)
    return value, (product(of_cov, weight), alpha, [of_std], [-a for a in alpha])


def _posterior(weight: Numbers, bias: Numbers, std: Numbers, x: Numbers) -> tuple:
    (s,), columns = std, [list(column) for column in zip(*weight, strict=True)]
    size = range(len(columns))
    precision = product(columns, weight)
    precision = [[precision[i][j] / s**2 + (1 if i == j else 0) for j in size] for i in size]
    cov, log_det = inverse_and_log_det(precision)
    residual = [a - b for a, b in zip(x, bias, strict=True)]
    mean = by_vector(cov, [dot(column, residual) / s**2 for column in columns])
    return mean, cov, precision, log_det, residual


def posterior_mean(weight: Numbers, bias: Numbers, std: Numbers, x: Numbers) -> tuple:
    """The last number of the posterior's mean."""
    mean, cov, _, _, residual = _posterior(weight, bias, std, x)
    (s,), last = std, len(mean) - 1
    gain = [dot(cov[last], row) / s**2 for row in weight]  # ∂ mean / ∂ x
    left = [r - m for r, m in zip(residual, by_vector(weight, mean), strict=True)]
    of_weight = [
        [cov[last][j] * left[i] / s**2 - gain[i] * mean[j] for j in range(len(mean))] for i in range(len(x))
    ]
    return mean[last], (of_weight, [-g for g in gain], [-2 * dot(cov[last], mean) / s], gain)


def posterior_cov(weight: Numbers, bias: Numbers, std: Numbers, x: Numbers) -> tuple:
    """The corner of the posterior's covariance, of the first and the last latent."""
    mean, cov, precision, _, _ = _posterior(weight, bias, std, x)
    (s,), last = std, len(mean) - 1
    first_gain, last_gain = ([dot(cov[k], row) / s**2 for row in weight] for k in (0, last))
    of_weight = [
        [-first_gain[i] * cov[last][j] - last_gain[i] * cov[0][j] for j in range(len(mean))]
        for i in range(len(x))
    ]
    inner = [[precision[i][j] - (i == j) for j in range(len(mean))] for i in range(len(mean))]
    of_std = 2 * dot(cov[0], by_vector(inner, cov[last])) / s
    gradient = of_weight, [mpf(0)] * len(x), [of_std], [mpf(0)] * len(x)
    return cov[0][last], gradient, mpf(2) ** -52 * mp.sqrt(cov[0][0] * cov[last][last])


def elbo(weight: Numbers, bias: Numbers, std: Numbers, x: Numbers, mu: Numbers, log_var: Numbers) -> tuple:
    """The ELBO of q = N(mu, exp(log_var))."""
    (s,) = std
    value, (of_weight, of_bias, (of_std,), of_x, of_mu) = log_likelihood(weight, bias, std, x, mu)
    kl, (kl_mu, kl_log_var) = kl_standard_normal(mu, log_var)
    norms = [dot(column, column) / s**2 for column in zip(*weight, strict=True)]
    var = [mp.exp(v) for v in log_var]
    spread = dot(norms, var)
    of_weight = [
        [g - w * a / s**2 for g, w, a in zip(gs, ws, var, strict=True)]
        for gs, ws in zip(of_weight, weight, strict=True)
    ]
    return value - spread / 2 - kl, (
        of_weight,
        of_bias,
        [of_std + spread / s],
        of_x,
        [a - b for a, b in zip(of_mu, kl_mu, strict=True)],
        [-n * a / 2 - b for n, a, b in zip(norms, var, kl_log_var, strict=True)],
    )


def gap(weight: Numbers, bias: Numbers, std: Numbers, x: Numbers, mu: Numbers, log_var: Numbers) -> tuple:
    """KL(q, posterior); its gradient is that of log_evidence - elbo."""
    with mp.extradps(30):
        mean, cov, precision, log_det, _ = _posterior(weight, bias, std, x)
        apart = [a - b for a, b in zip(mu, mean, strict=True)]
        trace = mp.fsum(mp.exp(v) * precision[i][i] for i, v in enumerate(log_var))
        square = dot(apart, by_vector(precision, apart))
        value = (trace - len(mu) + square - log_det - mp.fsum(log_var)) / 2
        _, whole = log_evidence(weight, bias, std, x)
        _, part = elbo(weight, bias, std, x, mu, log_var)
        less = [_minus(a, b) for a, b in zip(whole, part, strict=False)]
        return value, (*less, *(_minus([mpf(0)] * len(mu), g) for g in part[4:]))


def _minus(a: Numbers, b: Numbers) -> Numbers:
    return [_minus(x, y) if isinstance(x, list) else x - y for x, y in zip(a, b, strict=True)]


# ---- integrals and estimates ----------------------------------------------------------------


def estimate_mean(values: Numbers) -> tuple:
    """The mean."""
    return mp.fsum(values) / len(values), ([mpf(1) / len(values)] * len(values),)


def standard_error(values: Numbers) -> tuple:
    """s / √n."""
    n = len(values)
    mean = mp.fsum(values) / n
    apart = [v - mean for v in values]
    error = mp.sqrt(dot(apart, apart) / (n - 1) / n)
    return error, ([a / (n * (n - 1) * error) if error else mpf(0) for a in apart],)
