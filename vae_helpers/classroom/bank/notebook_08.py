"""Questions to notebook 8 (how tight is the bound)."""

from __future__ import annotations

import numpy as np

from vae_helpers.checks.exercises.notebook_08 import (
    check_approximation_gap,
    check_grouped_bound,
)
from vae_helpers.classroom.bank.notebook_02 import gap
from vae_helpers.classroom.bank.question import Question, Slip, Statement, Values, between, pick, some
from vae_helpers.numerics import LinearGaussian, gaussian, importance_gap


def _ratios(rng: np.random.Generator) -> Values:
    count = pick(rng, 3, 4, 5)
    return {"log_r": tuple(sorted(some(rng, count, -6.0, 0.0, 0.1))), "k": count}


def _bound(log_r: tuple[float, ...]) -> float:
    """log of the mean of the ratios: the estimate by one group of all draws."""
    return float(np.ravel(check_grouped_bound.truth(np.array(log_r)[:, None], len(log_r)))[0])


def _beside(rng: np.random.Generator) -> Values:
    """A posterior, a q that is none, and two numbers of draws."""
    few, many = pick(rng, (5, 50), (3, 30), (10, 100), (5, 100))
    centre, width = between(rng, -0.5, 0.5, 0.1), pick(rng, 0.5, 0.8, 1.0)
    evidence = -between(rng, 60, 120, 0.5)
    off = {
        "mean": round(centre + pick(rng, -1, 1) * width * pick(rng, 0.8, 1.0, 1.2, 1.5), 3),
        "std": round(width * pick(rng, 0.8, 1.0, 1.5), 3),
    }
    return off | {"centre": centre, "width": width, "few": few, "many": many, "evidence": evidence}


def _missed(mean: float, std: float, centre: float, width: float, k: int) -> float:
    return float(importance_gap(mean, std, [k], centre, width)[0])


def _lk(mean, std, centre, width, evidence, k):
    return evidence - _missed(mean, std, centre, width, k)


def _guess_of_three(rng: np.random.Generator) -> Values:
    centre, width = between(rng, -1, 1, 0.25), pick(rng, 0.4, 0.5, 0.6, 0.8)
    shift, factor = pick(rng, (0, 1), (1.0, 1), (0, 2), (0, 0.5), (-1.0, 1.5))
    return {
        "centre": centre,
        "width": width,
        "mean": round(centre + shift * width, 3),
        "std": round(factor * width, 3),
        "k": pick(rng, 2, 5, 10, 50),
    }


def _plane(rng: np.random.Generator) -> Values:
    """Two latents, three pixels, an image, and a grid that is fine enough."""
    weight = tuple(some(rng, 2, -1.5, 1.5, 0.1) for _ in range(3))
    x = some(rng, 3, -2, 2, 0.1)
    return {"weight": weight, "x": x, "s": pick(rng, 0.5, 0.6, 0.8), "step": pick(rng, 0.05, 0.1, 0.15, 0.2)}


def _log_sum(weight, s: float, x, step: float) -> float:
    """The logarithm of the plain sum of p(x, z) over the points of a grid with this spacing."""
    axis = np.arange(-6, 6 + step / 2, step)
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    log_joint = LinearGaussian(weight, 0.0, s).log_likelihood(x, z) + gaussian.log_prob(z, 0.0, 0.0)
    return float(np.logaddexp.reduce(log_joint))


def _three_bounds(rng: np.random.Generator) -> Values:
    """A world, its posterior with another width for the best of a family, and what an encoder returned."""
    w, b, s = pick(rng, 0.6, 0.8, 1.2), between(rng, 0.2, 0.8, 0.2), between(rng, 0.4, 0.8, 0.1)
    x = round(b + pick(rng, -1, 1) * between(rng, 0.4, 1.2, 0.2), 1)
    mean, cov = LinearGaussian(w, b, s).posterior(x)
    best = {"mu": float(mean[0]), "std": float(np.sqrt(cov[0, 0])) * pick(rng, 0.6, 0.7, 1.4, 1.6)}
    return (
        {"w": w, "b": b, "s": s, "x": x}
        | best
        | {"off": best["mu"] + pick(rng, -1, 1) * between(rng, 0.2, 0.6, 0.1)}
    )


def _family(w, b, s, x, mu, std):
    return gap(w, b, s, x, mu, std)


def _amortized(w, b, s, x, mu, std, off):
    return gap(w, b, s, x, off, std) - gap(w, b, s, x, mu, std)


def _narrow(rng: np.random.Generator) -> Values:
    """A posterior and a narrower q, perhaps beside it."""
    centre, width = between(rng, -1, 1, 0.25), pick(rng, 0.4, 0.5, 0.6, 0.8)
    shift, factor = pick(rng, -1, 1) * between(rng, 0.0, 0.6, 0.1), between(rng, 0.25, 0.4, 0.01)
    mean, std = round(centre + shift * width, 3), round(factor * width, 3)
    return {"centre": centre, "width": width, "mean": mean, "std": std}


def _divergence(mean: float, std: float, other: float, width: float) -> float:
    """KL(N(mean, std²), N(other, width²))."""
    return float(gaussian.kl_diagonal(mean, 2 * np.log(std), other, 2 * np.log(width)))


def _variance(ratio: float, shift: float) -> float:
    """The variance of posterior/q under q by an integral; the posterior is N(0, 1), q N(shift, ratio²)."""

    def over(z: np.ndarray) -> np.ndarray:  # posterior over q, averaged over the posterior
        z = z[:, None]
        return np.exp(gaussian.log_prob(z, 0.0, 0.0) - gaussian.log_prob(z, shift, 2 * np.log(ratio)))

    return gaussian.expectation(over, 0.0, 1.0) - 1


def _full(rho: float) -> float:
    return float(check_approximation_gap.truth(np.array([[1.0, rho], [rho, 1.0]])))


QUESTIONS = (
    Question(
        "08-bound-of-some-draws",
        section=1,
        level=1,
        text="$<k>$ draws of $q$ have the log-ratios $\\log r = <log_r>$ nats. Which estimate of the "
        "importance-weighted bound $\\mathcal{L}_{<k>}$ do they give?",
        draw=_ratios,
        answer=_bound,
        typed=True,
        digits=2,
        slips=[
            Slip(
                "density-of-averages",
                "This is the mean of the logarithms, an estimate of the ELBO. Average the ratios first, "
                "then take the logarithm.",
                lambda log_r: np.mean(log_r),
            ),
            Slip(
                "constant",
                "The ratios are added and not averaged: $\\log <k>$ too much.",
                lambda log_r: np.logaddexp.reduce(log_r),
            ),
            Slip(
                "term-missing",
                "This is the largest log-ratio. The others count, too.",
                lambda log_r: np.max(log_r),
            ),
            Slip(
                "not-log",
                "This is the average of the ratios; its logarithm is asked for.",
                lambda log_r: np.mean(np.exp(log_r)),
            ),
        ],
        solution=r"$\log\big(\tfrac{1}{<k>}\sum_i e^{\log r_i}\big) = <answer>$ nats.",
    ),
    Question(
        "08-which-bound",
        section=1,
        level=1,
        text="For one image and one $q$, which is not the posterior, the ELBO, $\\mathcal{L}_{<few>}$, "
        "$\\mathcal{L}_{<many>}$ and $\\log p(x)$ are, in some order, the four numbers below. Which "
        "of them is $\\mathcal{L}_{<many>}$?",
        draw=_beside,
        answer=lambda mean, std, centre, width, evidence, many: _lk(mean, std, centre, width, evidence, many),
        slips=[
            Slip(
                "bound-for-truth",
                "This is the largest, $\\log p(x)$. No bound exceeds it.",
                lambda evidence: evidence,
            ),
            Slip(
                "limit-turned",
                "With more draws the bound rises. This is the one with fewer.",
                lambda mean, std, centre, width, evidence, few: _lk(mean, std, centre, width, evidence, few),
            ),
            Slip(
                "other-bound",
                "This is the lowest, the ELBO: the bound by one draw.",
                lambda mean, std, centre, width, evidence: _lk(mean, std, centre, width, evidence, 1),
            ),
        ],
        solution=r"ELBO $= \mathcal{L}_1 \le \mathcal{L}_{<few>} \le \mathcal{L}_{<many>} \le \log p(x)$, "
        r"so it is the second largest, $<answer>$ nats.",
    ),
    Question(
        "08-more-draws",
        section=1,
        level=2,
        text=r"The posterior is $\mathcal{N}(<centre>, <width>^2)$, and $q = \mathcal{N}(<mean>, "
        r"<std>^2)$. How does $\mathcal{L}_{<k>}$, the bound by $<k>$ draws, compare with the ELBO "
        r"and with $\log p(x)$?",
        draw=_guess_of_three,
        statements=[
            Statement(
                r"All three are equal.",
                lambda mean, std, centre, width, k: _missed(mean, std, centre, width, 1) < 1e-9,
                "bound-for-truth",
                "They would be if $q$ were the posterior: then every ratio is $p(x)$. This $q$ is not.",
            ),
            Statement(
                r"$\mathcal{L}_{<k>}$ lies between the two.",
                lambda mean, std, centre, width, k: (
                    1e-6 < _missed(mean, std, centre, width, k) < _missed(mean, std, centre, width, 1) - 1e-6
                ),
                "bound-for-truth",
                "Compare $q$ with the posterior. Where they are the same, there is no gap in which a bound "
                "could lie.",
            ),
            Statement(
                r"$\mathcal{L}_{<k>}$ exceeds $\log p(x)$.",
                lambda mean, std, centre, width, k: _missed(mean, std, centre, width, k) < -1e-6,
                "too-large",
                "On average the logarithm of an average lies below that of the expectation (Jensen): no "
                "number of draws gives a bound above $\\log p(x)$. A single estimate may.",
            ),
            Statement(
                r"$\mathcal{L}_{<k>}$ lies below the ELBO.",
                lambda mean, std, centre, width, k: (
                    _missed(mean, std, centre, width, k) > _missed(mean, std, centre, width, 1) + 1e-6
                ),
                "limit-turned",
                "More draws never lower the bound: an average of more ratios varies less, and Jensen takes "
                "less.",
            ),
        ],
        steps={
            "gap1": lambda mean, std, centre, width: abs(round(_missed(mean, std, centre, width, 1), 9)),
            "gapk": lambda mean, std, centre, width, k: abs(round(_missed(mean, std, centre, width, k), 9)),
        },
        solution=r"The ELBO misses $<gap1>$ nats of $\log p(x)$, $\mathcal{L}_{<k>}$ misses $<gapk>$. So: "
        r"<answer>",
    ),
    Question(
        "08-grid",
        section=2,
        level=2,
        text="On the plane of two latents $p(x, z)$ is summed over the points of a wide and fine grid "
        "whose spacing is $<step>$ in both directions. The logarithm of the sum is $<total>$ nats. How "
        "large is $\\log p(x)$?",
        draw=_plane,
        answer=lambda weight, s, x: LinearGaussian(weight, 0.0, s).log_evidence(x),
        digits=2,
        slips=[
            Slip(
                "no-step",
                "A sum over points is not yet an integral: each point stands for a cell of the plane.",
                _log_sum,
            ),
            Slip(
                "wrong-dimension",
                "A cell of the plane has the area $<step>^2$; you have used the length of one side.",
                lambda weight, s, x, step: _log_sum(weight, s, x, step) + np.log(step),
            ),
            Slip(
                "term-sign",
                "You have divided by the area of a cell. A sum over smaller cells has more terms, so the "
                "sum has to be multiplied by the area.",
                lambda weight, s, x, step: _log_sum(weight, s, x, step) - 2 * np.log(step),
            ),
        ],
        steps={"total": _log_sum},
        solution=r"$<total> + 2 \log <step> = <answer>$ nats.",
    ),
    Question(
        "08-two-gaps",
        section=4,
        level=1,
        text="For one image $\\log p(x)$ is $<evidence>$ nats. The best ELBO of the family of $q$ is "
        "$<best>$, and the encoder's $q$ has $<own>$. How large is the amortization gap?",
        draw=_three_bounds,
        answer=_amortized,
        digits=2,
        slips=[
            Slip(
                "approximation-for-amortization",
                "This is the approximation gap: what even the best $q$ of the family loses.",
                _family,
            ),
            Slip(
                "not-divided",
                "This is the whole gap, both shares together.",
                lambda w, b, s, x, std, off: gap(w, b, s, x, off, std),
            ),
            Slip(
                "sign",
                "A gap is not negative: the encoder's $q$ cannot beat the best of its family.",
                lambda w, b, s, x, mu, std, off: -_amortized(w, b, s, x, mu, std, off),
            ),
        ],
        steps={
            "evidence": lambda w, b, s, x: LinearGaussian(w, b, s).log_evidence(x),
            "best": lambda w, b, s, x, mu, std: LinearGaussian(w, b, s).elbo(x, mu, 2 * np.log(std)),
            "own": lambda w, b, s, x, std, off: LinearGaussian(w, b, s).elbo(x, off, 2 * np.log(std)),
        },
        solution="The encoder loses $<best> - <(own)> = <answer>$ nats against the best of the family.",
    ),
    Question(
        "08-correlated-posterior",
        section=4,
        level=3,
        text=r"The posterior of two latents is a Gaussian with variances 1 and correlation $<rho>$. How "
        r"far does the ELBO of the best *diagonal* Gaussian lie below $\log p(x)$?".replace("*", ""),
        draw=lambda rng: {"rho": pick(rng, -1, 1) * between(rng, 0.3, 0.98, 0.02)},
        answer=_full,
        typed=True,
        slips=[
            Slip("half", "Twice too large: the determinant comes with a ½.", lambda rho: -np.log(1 - rho**2)),
            Slip(
                "term-missing",
                "A diagonal $q$ can have the right means and variances, but it cannot tilt. That costs "
                "something.",
                lambda: 0.0,
            ),
            Slip(
                "reverse",
                "A $q$ with the variances 1 of the posterior is the best for $\\mathrm{KL}(p \\,\\|\\, "
                "q)$. With $q$ first the best one is narrower.",
                lambda rho: float(
                    gaussian.kl_full([0.0, 0.0], np.eye(2), [0.0, 0.0], [[1.0, rho], [rho, 1.0]])
                ),
            ),
            Slip(
                "std-for-var",
                "The determinant of the covariance is $1 - \\rho^2$.",
                lambda rho: -0.5 * np.log(1 - abs(rho)),
            ),
        ],
        solution=r"The best diagonal $q$ has the variances $1 - \rho^2$, and loses $-\tfrac12\log(1 - "
        r"<(rho)>^2) = <answer>$ nats (exercise 4 of the notebook).",
    ),
    Question(
        "08-small-and-many",
        section=1,
        level=3,
        text=r"A single ratio $r(z)/p(x)$ has the variance $<variance>$ under $q$. By the rule for many "
        r"draws, how far does $\mathcal{L}_{<k>}$ lie below $\log p(x)$?",
        draw=lambda rng: {
            "ratio": between(rng, 0.8, 1.6, 0.05),
            "shift": between(rng, 0.0, 1.0, 0.1),
            "k": pick(rng, 10, 20, 50, 100),
        },
        answer=lambda ratio, shift, k: _variance(ratio, shift) / (2 * k),
        unit="nats",
        digits=4,
        slips=[
            Slip(
                "half",
                "A ½ is lost: $\\log(1 + \\varepsilon) \\approx \\varepsilon - \\tfrac12\\varepsilon^2$.",
                lambda ratio, shift, k: _variance(ratio, shift) / k,
            ),
            Slip(
                "std-for-var",
                "It is the variance of the average that counts, and not its standard deviation.",
                lambda ratio, shift, k: np.sqrt(_variance(ratio, shift) / k),
            ),
            Slip(
                "one-draw",
                "This is for one draw. The average of $<k>$ ratios varies less.",
                lambda ratio, shift: _variance(ratio, shift) / 2,
            ),
            Slip(
                "linear-in-n",
                "The variance of an average falls like $1/k$, so the bound closes like $1/k$ and not like "
                "$1/k^2$.",
                lambda ratio, shift, k: _variance(ratio, shift) / (2 * k**2),
            ),
        ],
        steps={"variance": lambda ratio, shift: _variance(ratio, shift)},
        solution=r"$<variance>/(2 \cdot <k>) = <answer>$ nats.",
    ),
    Question(
        "08-draws-that-it-takes",
        section=1,
        level=3,
        text=r"The posterior is $\mathcal{N}(<centre>, <width>^2)$, and $q = \mathcal{N}(<mean>, <std>^2)$ "
        r"is narrower. By the rule of Chatterjee and Diaconis, about how many draws of $q$ does an average "
        r"of ratios need before it begins to be right?",
        draw=_narrow,
        answer=lambda mean, std, centre, width: np.exp(_divergence(centre, width, mean, std)),
        unit="draws",
        digits=0,
        slips=[
            Slip(
                "reverse",
                "The KL is the other one: averaged over the posterior, whose flanks $q$ does not visit.",
                lambda mean, std, centre, width: np.exp(_divergence(mean, std, centre, width)),
            ),
            Slip(
                "term-wrong",
                "This is the KL itself. The number of draws grows exponentially with it.",
                lambda mean, std, centre, width: _divergence(centre, width, mean, std),
            ),
            Slip(
                "wrong-unit",
                "The KL is in nats, so the base is $e$, and not 2.",
                lambda mean, std, centre, width: 2 ** _divergence(centre, width, mean, std),
            ),
        ],
        steps={"kl": lambda mean, std, centre, width: _divergence(centre, width, mean, std)},
        solution=r"$\mathrm{KL}(p(z \mid x) \,\|\, q) = <kl>$ nats, so roughly $e^{<kl>} = <answer>$ draws.",
    ),
)
