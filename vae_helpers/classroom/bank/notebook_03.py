"""Questions to notebook 3 (the Gaussian KL)."""

from __future__ import annotations

import numpy as np

from vae_helpers.checks.exercises.notebook_03 import check_kl_of_uniform
from vae_helpers.classroom.bank.question import Question, Slip, Statement, Values, between, pick, some
from vae_helpers.numerics import gaussian

_LATENTS = r"$\mu = (<mu>)$ and $\sigma = (<std>)$"


def _one(rng: np.random.Generator) -> Values:
    return {
        "mu": pick(rng, -1, 1) * between(rng, 0.4, 1.8, 0.2),
        "std": pick(rng, 0.3, 0.4, 0.5, 0.6, 0.7, 1.4, 1.6),
    }


def _several(rng: np.random.Generator) -> Values:
    size = pick(rng, 2, 3, 4)
    return {"mu": some(rng, size, -1.5, 1.5, 0.1), "std": some(rng, size, 0.3, 1.5, 0.1), "d": size}


def _two(rng: np.random.Generator) -> Values:
    (mu, mean), (std, width) = some(rng, 2, -1.5, 1.5, 0.5), some(rng, 2, 0.4, 1.6, 0.2)
    return {"mu": mu, "std": std, "mean": mean, "width": width}


def _kl(mu: float, std: float) -> float:
    return float(gaussian.kl_standard_normal(mu, 2 * np.log(std)))


def _between_two(mu: float, std: float, mean: float, width: float) -> float:
    return float(gaussian.kl_diagonal(mu, 2 * np.log(std), mean, 2 * np.log(width)))


def _orders(std: float, mu: float) -> tuple[float, float]:
    """Of q and the prior: KL(q, p) and KL(p, q)."""
    return _between_two(mu, std, 0.0, 1.0), _between_two(0.0, 1.0, mu, std)


QUESTIONS = (
    Question(
        "03-kl-by-hand",
        section=3,
        level=1,
        text=r"How large is $\mathrm{KL}(q \,\|\, p)$ for $q = \mathcal{N}(<mu>, <std>^2)$ and $p = "
        r"\mathcal{N}(0, 1)$?",
        draw=_one,
        answer=_kl,
        typed=True,
        slips=[
            Slip(
                "half", "Exactly twice the value: the ½ in front is lost.", lambda mu, std: 2 * _kl(mu, std)
            ),
            Slip(
                "std-for-var",
                "$\\sigma$ stands where $\\sigma^2$ belongs.",
                lambda mu, std: 0.5 * (std + mu**2 - 1 - np.log(std**2)),
            ),
            Slip(
                "log-std",
                "The logarithm is that of $\\sigma^2$, and not of $\\sigma$.",
                lambda mu, std: 0.5 * (std**2 + mu**2 - 1 - np.log(std)),
            ),
            Slip(
                "constant",
                "Too large by ½: the lone 1 is lost. At $\\mu = 0$, $\\sigma = 1$ the KL is 0.",
                lambda mu, std: 0.5 * (std**2 + mu**2 - np.log(std**2)),
            ),
        ],
        solution=r"$\tfrac12(<std>^2 + <(mu)>^2 - 1 - \log <std>^2) = <answer>$ nats.",
    ),
    Question(
        "03-kl-of-latents",
        section=4,
        level=1,
        text=f"An encoder returns {_LATENTS} for an image with $d = <d>$ latents. What does the KL to the "
        f"prior $\\mathcal{{N}}(0, I)$ add to the loss of this image?",
        draw=_several,
        answer=lambda mu, std: gaussian.kl_standard_normal(np.array(mu), 2 * np.log(std)),
        slips=[
            Slip(
                "mean-latent",
                "You have averaged over the $<d>$ latents. The KL is their sum.",
                lambda mu, std: np.mean([_kl(m, s) for m, s in zip(mu, std, strict=True)]),
            ),
            Slip(
                "half",
                "Exactly twice the value: the ½ in front is lost.",
                lambda mu, std: 2 * sum(_kl(m, s) for m, s in zip(mu, std, strict=True)),
            ),
            Slip(
                "constant",
                "The 1 is to be subtracted for each latent, and not once.",
                lambda mu, std, d: sum(_kl(m, s) for m, s in zip(mu, std, strict=True)) + 0.5 * (d - 1),
            ),
            Slip(
                "term-missing",
                "These latents have means as well as widths, and the means cost, too.",
                lambda std: sum(_kl(0.0, s) for s in std),
            ),
        ],
        steps={"each": lambda mu, std: [_kl(m, s) for m, s in zip(mu, std, strict=True)]},
        solution="The latents cost, one by one, $<each>$ nats, together $<answer>$.",
    ),
    Question(
        "03-kl-from-log-var",
        section=1,
        level=2,
        text="An encoder returns `mu` $= <mu>$ and `log_var` $= <log_var>$ for an image with one latent. "
        "How large is the KL to the prior $\\mathcal{N}(0, 1)$?",
        draw=lambda rng: {
            "mu": pick(rng, -1, 1) * between(rng, 0.2, 1.4, 0.2),
            "log_var": pick(rng, -2.5, -2.0, -1.6, -1.2, -0.8, 0.6, 0.9),
        },
        answer=lambda mu, log_var: gaussian.kl_standard_normal(mu, log_var),
        typed=True,
        slips=[
            Slip(
                "log-std",
                "`log_var` is $\\log\\sigma^2$. You have read it as $\\log\\sigma$.",
                lambda mu, log_var: gaussian.kl_standard_normal(mu, 2 * log_var),
            ),
            Slip(
                "std-for-var",
                "$e^{\\mathtt{log\\_var}/2}$ is $\\sigma$; the formula wants $\\sigma^2$.",
                lambda mu, log_var: 0.5 * (np.exp(log_var / 2) + mu**2 - 1 - log_var),
            ),
            Slip(
                "swapped",
                "$\\sigma^2$ and $\\log\\sigma^2$ have changed places.",
                lambda mu, log_var: 0.5 * (log_var + mu**2 - 1 - np.exp(log_var)),
            ),
            Slip(
                "term-sign",
                "The logarithm is subtracted: a narrow $q$ says more, and costs more.",
                lambda mu, log_var: 0.5 * (np.exp(log_var) + mu**2 - 1 + log_var),
            ),
        ],
        steps={"var": lambda log_var: np.exp(log_var)},
        solution=r"$\sigma^2 = e^{<log_var>} = <var>$, so $\tfrac12(<var> + <(mu)>^2 - 1 - <(log_var)>) = "
        r"<answer>$ nats.",
    ),
    Question(
        "03-cross-entropy",
        section=2,
        level=2,
        text=r"Some density $q$ has the mean $<mu>$ and the standard deviation $<std>$; its shape is not "
        r"known. How large is its cross-entropy $\mathbb{E}_q[-\log p(z)]$ with $p = \mathcal{N}(0, "
        r"1)$?",
        draw=_one,
        answer=lambda mu, std: (
            -gaussian.expectation(lambda z: gaussian.log_prob(z[:, None], 0.0, 0.0), mu, std)
        ),
        typed=True,
        slips=[
            Slip(
                "log-two-pi-missing",
                "The constant $\\tfrac12\\log 2\\pi$ of the prior is lost.",
                lambda mu, std: 0.5 * (mu**2 + std**2),
            ),
            Slip(
                "std-for-var",
                "The mean square of $z$ is $\\mu^2 + \\sigma^2$, not $\\mu^2 + \\sigma$.",
                lambda mu, std: 0.5 * (gaussian.LOG_2PI + mu**2 + std),
            ),
            Slip(
                "term-missing",
                "The mean has no part in your value. A $q$ that stands far from 0 surprises the prior more.",
                lambda std: 0.5 * (gaussian.LOG_2PI + std**2),
            ),
            Slip(
                "term-scale",
                "The ½ belongs to the mean square, too.",
                lambda mu, std: 0.5 * gaussian.LOG_2PI + mu**2 + std**2,
            ),
        ],
        solution=r"Two moments are enough: $\tfrac12\log 2\pi + \tfrac12(<std>^2 + <(mu)>^2) = <answer>$ "
        r"nats.",
    ),
    Question(
        "03-entropy",
        section=3,
        level=2,
        text=r"How large is the entropy of $q = \mathcal{N}(<mu>, <std>^2)$?",
        draw=_one,
        answer=lambda std: gaussian.entropy(2 * np.log(std)),
        slips=[
            Slip(
                "log-two-pi-missing",
                "The constant $\\tfrac12\\log 2\\pi$ is lost.",
                lambda std: 0.5 + np.log(std),
            ),
            Slip(
                "constant",
                "Too small by ½: a squared distance in units of $\\sigma$ averages to 1, not to 0.",
                lambda std: 0.5 * gaussian.LOG_2PI + np.log(std),
            ),
            Slip(
                "term-wrong",
                "The mean does not enter: moving a density does not change how spread out it is.",
                lambda mu, std: 0.5 * (1 + gaussian.LOG_2PI + np.log(std**2)) + 0.5 * mu**2,
            ),
            Slip(
                "sign",
                "This is $\\mathbb{E}_q[\\log q]$, the entropy with the opposite sign.",
                lambda std: -0.5 * (1 + gaussian.LOG_2PI + np.log(std**2)),
            ),
        ],
        solution=r"$\tfrac12(1 + \log 2\pi + \log <std>^2) = <answer>$ nats.",
    ),
    Question(
        "03-uniform",
        section=3,
        level=3,
        text=r"$q$ is *uniform* with mean $<mu>$ and standard deviation $<std>$, so that its width is "
        r"$\sqrt{12} \cdot <std>$. How large is its KL to $\mathcal{N}(0, 1)$?".replace("*", ""),
        draw=_one,
        answer=check_kl_of_uniform.truth,
        typed=True,
        slips=[
            Slip(
                "term-wrong",
                "This is the KL of the Gaussian with the same two moments. The entropy depends on the shape.",
                _kl,
            ),
            Slip(
                "term-missing",
                "This is the cross-entropy alone; the entropy, the logarithm of the width, is not yet "
                "subtracted.",
                lambda mu, std: 0.5 * (gaussian.LOG_2PI + std**2 + mu**2),
            ),
            Slip(
                "log-two-pi-missing",
                "The constant $\\tfrac12\\log 2\\pi$ of the prior is lost. It cancels between two "
                "Gaussians, but not here.",
                lambda mu, std: 0.5 * (std**2 + mu**2) - np.log(np.sqrt(12) * std),
            ),
            Slip(
                "term-sign",
                "The entropy is subtracted from the cross-entropy, and not added.",
                lambda mu, std: 0.5 * (gaussian.LOG_2PI + std**2 + mu**2) + np.log(np.sqrt(12) * std),
            ),
        ],
        steps={
            "cross": lambda mu, std: 0.5 * (gaussian.LOG_2PI + std**2 + mu**2),
            "own": lambda std: np.log(np.sqrt(12) * std),
        },
        solution=r"Cross-entropy $\tfrac12(\log 2\pi + <std>^2 + <(mu)>^2) = <cross>$, entropy "
        r"$\log(\sqrt{12} \cdot <std>) = <own>$, difference $<answer>$ nats.",
    ),
    Question(
        "03-two-gaussians",
        section=4,
        level=3,
        text=r"How large is $\mathrm{KL}(q \,\|\, p)$ for $q = \mathcal{N}(<mu>, <std>^2)$ and $p = "
        r"\mathcal{N}(<mean>, <width>^2)$?",
        draw=_two,
        answer=_between_two,
        typed=True,
        slips=[
            Slip(
                "reverse",
                "This is $\\mathrm{KL}(p \\,\\|\\, q)$. The first argument is the one that is averaged over.",
                lambda mu, std, mean, width: _between_two(mean, width, mu, std),
            ),
            Slip(
                "half",
                "Exactly twice the value: the ½ in front is lost.",
                lambda mu, std, mean, width: 2 * _between_two(mu, std, mean, width),
            ),
            Slip(
                "term-scale",
                "The distance of the means is to be measured in units of $\\sigma_p$.",
                lambda mu, std, mean, width: (
                    0.5 * ((std / width) ** 2 + (mu - mean) ** 2 - 1 - 2 * np.log(std / width))
                ),
            ),
            Slip(
                "prior-for-posterior",
                "This is the KL to $\\mathcal{N}(0, 1)$; here $p$ is another Gaussian.",
                lambda mu, std: _kl(mu, std),
            ),
        ],
        solution=r"$\tfrac12\big(\frac{<std>^2 + (<mu> - <(mean)>)^2}{<width>^2} - 1 - "
        r"\log\frac{<std>^2}{<width>^2}\big) = <answer>$ nats.",
    ),
    Question(
        "03-order",
        section=6,
        level=2,
        text=r"Let $q = \mathcal{N}(<mu>, <std>^2)$ and $p = \mathcal{N}(0, 1)$. Which holds?",
        draw=lambda rng: {
            "mu": pick(rng, 0.0, 0.2, 0.4, 0.6),
            "std": pick(rng, 0.3, 0.4, 0.5, 0.6, 1.0, 1.6, 2.0, 2.5),
        },
        statements=[
            Statement(
                r"$\mathrm{KL}(q \,\|\, p)$ is the larger of the two orders.",
                lambda mu, std: _orders(std, mu)[0] > _orders(std, mu)[1] + 0.01,
                "reverse",
                "Who averages over the wide one meets places where the narrow one has next to nothing, and "
                "pays much. That order is the larger. With equal widths neither is: then the two orders "
                "agree.",
            ),
            Statement(
                r"$\mathrm{KL}(p \,\|\, q)$ is the larger of the two orders.",
                lambda mu, std: _orders(std, mu)[1] > _orders(std, mu)[0] + 0.01,
                "reverse",
                "Who averages over the wide one meets places where the narrow one has next to nothing, and "
                "pays much. That order is the larger. With equal widths neither is: then the two orders "
                "agree.",
            ),
            Statement(
                "Both orders give the same number.",
                lambda mu, std: abs(np.subtract(*_orders(std, mu))) < 1e-9,
                "term-wrong",
                "The KL is no distance. Its two orders agree for equal widths, and hardly ever otherwise.",
            ),
            Statement(
                "One of the two orders is negative.",
                lambda mu, std: min(_orders(std, mu)) < -1e-9,
                "sign",
                "A KL divergence is never negative, in whichever order.",
            ),
        ],
        steps={"there": lambda mu, std: _orders(std, mu)[0], "back": lambda mu, std: _orders(std, mu)[1]},
        solution=r"$\mathrm{KL}(q \,\|\, p) = <there>$ and $\mathrm{KL}(p \,\|\, q) = <back>$ nats. So: "
        r"<answer>",
    ),
)
