"""Questions to notebook 1 (Bayes' rule)."""

from __future__ import annotations

import numpy as np

from vae_helpers.classroom.bank.question import Question, Slip, Statement, Values, between, pick
from vae_helpers.numerics import LinearGaussian, gaussian

WORLD = r"In the world $z \sim \mathcal{N}(0, 1)$, $x \mid z \sim \mathcal{N}(<w> z + <b>, <s>^2)$"


def world(rng: np.random.Generator) -> Values:
    """Weight, bias and noise of a world, and a reading that is not at its centre."""
    b, far = between(rng, 0.2, 0.9, 0.1), pick(rng, -1, 1) * between(rng, 0.4, 1.5, 0.1)
    return {
        "w": pick(rng, 0.4, 0.5, 0.6, 0.8, 1.2, 1.5),
        "b": b,
        "s": between(rng, 0.3, 0.9, 0.1),
        "x": round(b + far, 1),
    }


def spread(w: float, b: float, s: float) -> float:
    """The standard deviation of x, from the height of its density at the centre."""
    return float(np.exp(-LinearGaussian(w, b, s).log_evidence(b) - 0.5 * gaussian.LOG_2PI))


def posterior(w: float, b: float, s: float, x: float) -> tuple[float, float]:
    """Mean and standard deviation of p(z given x)."""
    mean, cov = LinearGaussian(w, b, s).posterior(x)
    return float(mean[0]), float(np.sqrt(cov[0, 0]))


def log_normal(x: float, mean: float, std: float) -> float:
    """log N(x; mean, std²) in nats."""
    return float(gaussian.log_prob(x, mean, 2 * np.log(std)))


def _two_causes(rng: np.random.Generator) -> Values:
    return world(rng) | {"z": between(rng, 0.3, 1.8, 0.3), "other": -between(rng, 0.2, 1.7, 0.3)}


def _share(z: float, w: float, b: float, s: float, x: float) -> float:
    return float(LinearGaussian(w, b, s).log_likelihood([x], [z]))


def _g(w: float, b: float, s: float, x: float) -> float:
    """E[p(x given z)²] / p(x)², for z from the prior."""
    model = LinearGaussian(w, b, s)
    ratio = lambda z: np.exp(2 * (model.log_likelihood([x], z[:, None]) - model.log_evidence(x)))  # noqa: E731
    return gaussian.expectation(ratio, 0.0, 1.0)


def _gauges(rng: np.random.Generator) -> Values:
    """A world, so many gauges and draws that the relative error of the evidence is below 100 percent."""
    while True:
        found = world(rng)
        d, n = pick(rng, 2, 3, 4, 5, 6), pick(rng, 100, 400, 1000, 2500, 10000)
        if _g(**found) ** d < n:
            return found | {"n": n, "d": d}


def _narrower(here: tuple[float, ...], there: tuple[float, ...]) -> bool:
    """Whether the posterior of the world and reading `there` is narrower than that of `here`."""
    return posterior(*there)[1] < posterior(*here)[1] - 1e-6


def _changes(rng: np.random.Generator) -> Values:
    """A world, and another value for each of its numbers."""
    old, up = world(rng), pick(rng, True, False)
    new = {
        "w2": round(old["w"] * (1.5 if up else 0.5), 2),
        "b2": round(old["b"] + pick(rng, -0.4, 0.4, 0.6), 1),
        "s2": round(old["s"] * (2 if up else 0.5), 2),
        "x2": round(old["x"] + pick(rng, -0.7, -0.5, 0.5, 0.7), 1),
    }
    return old | new


QUESTIONS = (
    Question(
        "01-spread-of-x",
        section=1,
        level=1,
        text=WORLD + ", how large is the standard deviation of $x$?",
        draw=world,
        answer=spread,
        unit="",
        slips=[
            Slip(
                "stds-added",
                "Independent parts add their variances, not their standard deviations.",
                lambda w, s: w + s,
            ),
            Slip("no-root", "This is the variance of $x$; its root is asked for.", lambda w, s: w**2 + s**2),
            Slip(
                "term-missing", "This is the noise alone. The cause $z$ moves the reading too.", lambda s: s
            ),
        ],
        solution=r"$\sqrt{<w>^2 + <s>^2} = <answer>$: the variances of $w z$ and of the noise add.",
    ),
    Question(
        "01-log-evidence",
        section=1,
        level=2,
        text=WORLD + " one sees $x = <x>$. How large is $\\log p(x)$?",
        draw=world,
        answer=lambda w, b, s, x: LinearGaussian(w, b, s).log_evidence(x),
        typed=True,
        slips=[
            Slip(
                "not-log",
                "This is the density itself. Take its logarithm.",
                lambda w, b, s, x: np.exp(log_normal(x, b, np.hypot(w, s))),
            ),
            Slip(
                "stds-added",
                "The spread of $x$ is $\\sqrt{w^2 + s^2}$, not $w + s$.",
                lambda w, b, s, x: log_normal(x, b, w + s),
            ),
            Slip(
                "log-two-pi-missing",
                "The constant $-\\tfrac12 \\log 2\\pi$ is lost.",
                lambda w, b, s, x: log_normal(x, b, np.hypot(w, s)) + 0.5 * gaussian.LOG_2PI,
            ),
            Slip(
                "term-missing",
                "You let the noise alone spread $x$: this is $\\log p(x \\mid z)$ at $z = 0$.",
                lambda b, s, x: log_normal(x, b, s),
            ),
        ],
        steps={"var": lambda w, s: w**2 + s**2},
        solution=r"$p(x) = \mathcal{N}(<b>, <w>^2 + <s>^2)$, so $\log p(x) = -\tfrac12[\log(2\pi \cdot "
        r"<var>) + (<x> - <b>)^2 / <var>] = <answer>$ nats.",
    ),
    Question(
        "01-posterior-mean",
        section=2,
        level=2,
        text=WORLD + " one sees $x = <x>$. What is the mean of the posterior $p(z \\mid x)$?",
        draw=world,
        answer=lambda w, b, s, x: posterior(w, b, s, x)[0],
        typed=True,
        unit="",
        slips=[
            Slip(
                "prior-forgotten",
                "This reads the gauge backwards, $(x - b)/w$. The prior pulls the mean towards 0.",
                lambda w, b, x: (x - b) / w,
            ),
            Slip(
                "bias-forgotten",
                "The bias $b$ is to be subtracted from the reading first.",
                lambda w, s, x: w * x / (w**2 + s**2),
            ),
            Slip(
                "std-for-var",
                "The trust is $w^2/(w^2 + s^2)$: it compares variances, and you compare $w$ with $s$.",
                lambda w, b, s, x: (x - b) / (w + s),
            ),
            Slip(
                "ratio-upside-down",
                "You trust the prior as much as the reading deserves, and the other way round.",
                lambda w, b, s, x: (x - b) / w * s**2 / (w**2 + s**2),
            ),
        ],
        solution=r"$\frac{w (x - b)}{w^2 + s^2} = \frac{<w> \cdot (<x> - <b>)}{<w>^2 + <s>^2} = <answer>$.",
    ),
    Question(
        "01-posterior-std",
        section=2,
        level=2,
        text=WORLD + " one sees $x = <x>$. What is the standard deviation of the posterior $p(z \\mid x)$?",
        draw=world,
        answer=lambda w, b, s, x: posterior(w, b, s, x)[1],
        unit="",
        slips=[
            Slip(
                "prior-forgotten",
                "Without a prior it would be this wide, $s/w$. Two sources of information know more than "
                "one.",
                lambda w, s: s / w,
            ),
            Slip("no-root", "This is the variance of the posterior.", lambda w, s: s**2 / (w**2 + s**2)),
            Slip(
                "precision-for-variance",
                "This is the root of the precision. It is precisions that add, and the variance is one "
                "over their sum.",
                lambda w, s: np.sqrt(1 + w**2 / s**2),
            ),
            Slip(
                "data-forgotten",
                "This is the prior's width. The reading has told you something.",
                lambda: 1.0,
            ),
        ],
        steps={"precision": lambda w, s: 1 + w**2 / s**2},
        solution=r"Precisions add: $1 + <w>^2 / <s>^2 = <precision>$, and $1/\sqrt{<precision>} = "
        r"<answer>$, whatever $x$ is.",
    ),
    Question(
        "01-two-causes",
        section=2,
        level=2,
        text=WORLD
        + " one sees $x = <x>$. How large is $\\log p(z = <z> \\mid x) - \\log p(z = <other> \\mid x)$?",
        draw=_two_causes,
        answer=lambda z, other, w, b, s, x: np.subtract(
            *(log_normal(at, *posterior(w, b, s, x)) for at in (z, other))
        ),
        typed=True,
        slips=[
            Slip(
                "prior-forgotten",
                "This compares the likelihoods alone. How probable were the two causes beforehand?",
                lambda z, other, w, b, s, x: _share(z, w, b, s, x) - _share(other, w, b, s, x),
            ),
            Slip(
                "data-forgotten",
                "This compares the two causes under the prior alone.",
                lambda z, other: log_normal(z, 0, 1) - log_normal(other, 0, 1),
            ),
            Slip(
                "sign",
                "Right size, wrong sign: you have subtracted the first from the second.",
                lambda z, other, w, b, s, x: np.subtract(
                    *(log_normal(at, *posterior(w, b, s, x)) for at in (other, z))
                ),
            ),
            Slip(
                "term-sign",
                "The prior's part has the wrong sign: likelihood and prior are multiplied, so their "
                "logarithms add.",
                lambda z, other, w, b, s, x: (
                    _share(z, w, b, s, x)
                    - _share(other, w, b, s, x)
                    - log_normal(z, 0, 1)
                    + log_normal(other, 0, 1)
                ),
            ),
        ],
        steps={
            "lik": lambda z, other, w, b, s, x: _share(z, w, b, s, x) - _share(other, w, b, s, x),
            "pri": lambda z, other: log_normal(z, 0, 1) - log_normal(other, 0, 1),
        },
        solution="The evidence cancels. The likelihoods give $<lik>$, the priors $<pri>$, together "
        "$<answer>$ nats.",
    ),
    Question(
        "01-what-narrows",
        section=2,
        level=1,
        text=WORLD
        + " one sees $x = <x>$. Which single change makes the posterior $p(z \\mid x)$ *narrower*?".replace(
            "*", ""
        ),
        draw=_changes,
        statements=[
            Statement(
                "The reading is $x = <x2>$.",
                lambda w, b, s, x, x2: _narrower((w, b, s, x), (w, b, s, x2)),
                "term-wrong",
                "The variance of the posterior does not contain $x$: another reading moves the posterior "
                "and keeps its width.",
            ),
            Statement(
                "The bias is $b = <b2>$.",
                lambda w, b, s, x, b2: _narrower((w, b, s, x), (w, b2, s, x)),
                "term-wrong",
                "Another bias shifts all readings alike. It moves the posterior and keeps its width.",
            ),
            Statement(
                "The noise is $s = <s2>$.",
                lambda w, b, s, x, s2: _narrower((w, b, s, x), (w, b, s2, x)),
                "too-large",
                "More noise makes the reading say less, so that the posterior widens towards the prior.",
            ),
            Statement(
                "The weight is $w = <w2>$.",
                lambda w, b, s, x, w2: _narrower((w, b, s, x), (w2, b, s, x)),
                "too-large",
                "With a smaller weight the cause moves the reading less, so that the reading says less "
                "about it.",
            ),
        ],
        steps={"ratio": lambda w, s: w / s},
        solution=r"The precision is $1 + w^2/s^2$, before the change with $w/s = <ratio>$. It grows with "
        r"$w$, falls with $s$, and contains neither $x$ nor $b$. So: <answer>",
    ),
    Question(
        "01-same-at-every-z",
        section=3,
        level=1,
        text=WORLD
        + " one sees $x = <x>$. At $z = <z>$ the log-likelihood is $<lik>$, the log of the prior $<pri>$ "
        "and the log of the posterior $<post>$, all in nats. How large is $\\log p(x)$?",
        draw=lambda rng: world(rng) | {"z": between(rng, -1.8, 1.8, 0.6)},
        answer=lambda w, b, s, x: LinearGaussian(w, b, s).log_evidence(x),
        digits=2,
        slips=[
            Slip(
                "term-sign",
                "The posterior's logarithm is to be subtracted: solve Bayes' rule for the evidence.",
                lambda z, w, b, s, x: (
                    _share(z, w, b, s, x) + log_normal(z, 0, 1) + log_normal(z, *posterior(w, b, s, x))
                ),
            ),
            Slip(
                "term-missing",
                "This is the log of the joint, $\\log p(x, z)$. It is not yet divided by the posterior.",
                lambda z, w, b, s, x: _share(z, w, b, s, x) + log_normal(z, 0, 1),
            ),
            Slip(
                "prior-forgotten",
                "Likelihood over posterior is not enough: the prior belongs to the joint.",
                lambda z, w, b, s, x: _share(z, w, b, s, x) - log_normal(z, *posterior(w, b, s, x)),
            ),
        ],
        steps={
            "lik": lambda z, w, b, s, x: _share(z, w, b, s, x),
            "pri": lambda z: log_normal(z, 0, 1),
            "post": lambda z, w, b, s, x: log_normal(z, *posterior(w, b, s, x)),
        },
        solution="$<(lik)> + <(pri)> - <(post)> = <answer>$ nats, and the same at every other $z$.",
    ),
    Question(
        "01-naive-monte-carlo",
        section=4,
        level=3,
        text=WORLD + " one sees $x = <x>$. For one such gauge a draw $p(x \\mid z)/p(x)$, with $z$ from the "
        "prior, has the mean square $g = <g>$. Now $d = <d>$ independent gauges like this show the same "
        "reading, and $<n>$ draws are averaged. How large is the relative standard error of this "
        "estimate of their joint evidence?",
        draw=_gauges,
        answer=lambda w, b, s, x, n, d: 100 * np.sqrt((_g(w, b, s, x) ** d - 1) / n),
        unit="percent",
        digits=1,
        slips=[
            Slip(
                "linear-in-n",
                "The error falls like $1/\\sqrt n$, not like $1/n$.",
                lambda w, b, s, x, n, d: 100 * np.sqrt(_g(w, b, s, x) ** d - 1) / n,
            ),
            Slip(
                "one-draw",
                "This is the relative spread of one draw. You have averaged.",
                lambda w, b, s, x, d: 100 * np.sqrt(_g(w, b, s, x) ** d - 1),
            ),
            Slip(
                "wrong-dimension",
                "The mean squares of independent gauges are multiplied, not added: $g^d$.",
                lambda w, b, s, x, n, d: 100 * np.sqrt((d * _g(w, b, s, x) - 1) / n),
            ),
        ],
        steps={"g": lambda w, b, s, x: f"{_g(w, b, s, x):.7g}"},
        solution=r"$\sqrt{(<g>^{<d>} - 1)/<n>}$ is $<answer>$ percent.",
    ),
)
