"""Questions to notebook 6 (a VAE in PyTorch)."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from vae_helpers.checks.exercises.notebook_06 import check_best_constant, check_hidden_beta
from vae_helpers.classroom.bank.question import Question, Slip, Values, between, pick, some
from vae_helpers.models.likelihoods import Bernoulli
from vae_helpers.models.objectives import kl_standard_normal
from vae_helpers.numerics import gaussian
from vae_helpers.shipped.spread import load_spread

_PIXELS = "For $<d>$ black and white pixels"
_LATENTS = (1, 2, 3, 5, 10, 20, 50)


@cache
def figures(name: str) -> dict[str, np.ndarray]:
    """The figures of a recipe from three seeds, read once."""
    return load_spread(name)


def log_prob(x: tuple[int, ...], logits: tuple[float, ...]) -> float:
    """log p(x given logits) of Bernoulli pixels, by the course's likelihood."""
    pair = (torch.tensor(values, dtype=torch.float64) for values in (x, logits))
    return float(Bernoulli().log_prob(*pair))


def _ink(logits: tuple[float, ...]) -> np.ndarray:
    """The probability of ink of each pixel."""
    return Bernoulli().mean(torch.tensor(logits, dtype=torch.float64)).numpy()


def _some_pixels(rng: np.random.Generator) -> Values:
    size = pick(rng, 3, 4)
    x = tuple(int(v) for v in rng.permutation([1, 0, *rng.integers(0, 2, size - 2)]))
    return {"x": x, "logits": some(rng, size, -3, 3, 0.5), "d": size}


def _one_pixel(rng: np.random.Generator) -> Values:
    return {"x": pick(rng, 0, 1), "a": pick(rng, -1, 1) * between(rng, 0.4, 3.0, 0.2)}


def _kl(mu: float, log_var: float) -> float:
    pair = (torch.tensor([value], dtype=torch.float64) for value in (mu, log_var))
    return float(kl_standard_normal(*pair))


def _ledger(rng: np.random.Generator) -> Values:
    """Distortion and rate of a model that ships, by one of its three seeds."""
    name, seed = pick(rng, *(f"latent_{d}" for d in _LATENTS)), pick(rng, 0, 1, 2)
    elbo, lik, rate = (float(figures(name)[figure][seed]) for figure in ("elbo", "log_likelihood", "kl"))
    return {"latents": int(name.split("_")[1]), "elbo": elbo, "lik": lik, "rate": rate}


def _gaussian_pixels(error: float, d: int, s: float) -> float:
    """log N(x; mean, s² I) of d pixels with this squared distance in all."""
    return float(gaussian.log_prob(np.full(d, np.sqrt(error / d)), 0.0, 2 * np.log(s)))


def _best_noise(error: float, d: int) -> float:
    """The s with the highest log-density, found by a search."""
    found = minimize_scalar(
        lambda log_s: -_gaussian_pixels(error, d, np.exp(log_s)), bracket=(-3.0, 1.0), tol=1e-12
    )
    return float(np.exp(found.x))


def _grey(rng: np.random.Generator) -> Values:
    return {
        "d": pick(rng, 100, 196, 400, 784, 1024),
        "error": between(rng, 6, 40, 1),
        "s": pick(rng, 0.1, 0.15, 0.2, 0.25, 0.3),
    }


def _reductions(rng: np.random.Generator) -> Values:
    pixels, latents = pick(rng, ("averaged", "summed"), ("averaged", "averaged"), ("summed", "averaged"))
    return {
        "d": pick(rng, 100, 196, 784, 1024),
        "latents": pick(rng, 2, 5, 8, 10, 16, 20, 32, 50),
        "pixel": pixels,
        "kl": latents,
    }


def _beta(d: int, latents: int, pixel: str, kl: str) -> float:
    words = {"averaged": "mean", "summed": "sum"}
    return float(check_hidden_beta.truth(d, latents, words[pixel], words[kl]))


QUESTIONS = (
    Question(
        "06-fair-coins",
        section=3,
        level=1,
        text="A fresh decoder returns the logit 0 for each of $<d>$ black and white pixels, and the KL is "
        "0. What is $-$ELBO of an image?",
        draw=lambda rng: {"d": pick(rng, *(side**2 for side in range(10, 33)))},
        answer=lambda d: -log_prob((1,) * d, (0.0,) * d),
        typed=True,
        digits=1,
        slips=[
            Slip(
                "mean-pixels",
                "You have averaged over the pixels. Log-probabilities of pixels are summed.",
                lambda: np.log(2),
            ),
            Slip(
                "wrong-unit",
                "This is the number in bits, one for each pixel. Nats are asked for.",
                lambda d: d,
            ),
            Slip(
                "half",
                "Twice too large: a fair coin costs $\\log 2$, and not $2 \\log 2$.",
                lambda d: 2 * d * np.log(2),
            ),
        ],
        solution=r"Fair coins: $<d> \cdot \log 2 = <answer>$ nats. An untrained VAE that starts elsewhere "
        r"does not sum over pixels as it should.",
    ),
    Question(
        "06-one-pixel",
        section=3,
        level=1,
        text="A decoder returns the logit $a = <a>$ for a pixel with $x = <x>$. How large is $\\log p(x "
        "\\mid a)$?",
        draw=_one_pixel,
        answer=lambda x, a: log_prob((x,), (a,)),
        typed=True,
        slips=[
            Slip(
                "targets-flipped",
                "This is the log-probability of the other colour: $x$ and $1 - x$ have changed places.",
                lambda x, a: log_prob((1 - x,), (a,)),
            ),
            Slip(
                "not-log",
                "This is the probability, and not its logarithm.",
                lambda x, a: np.exp(log_prob((x,), (a,))),
            ),
            Slip(
                "sign",
                "This is the cross-entropy, a loss: the log-likelihood with the opposite sign.",
                lambda x, a: -log_prob((x,), (a,)),
            ),
            Slip(
                "squared-error",
                "This is a squared distance with a minus sign. The pixel is a coin.",
                lambda x, a: -((x - _ink((a,))[0]) ** 2),
            ),
        ],
        solution=r"$x a - \log(1 + e^a) = <x> \cdot <(a)> - \log(1 + e^{<a>}) = <answer>$ nats.",
    ),
    Question(
        "06-some-pixels",
        section=3,
        level=2,
        text="An image has the pixels $x = (<x>)$, and the decoder returns for $z$ the logits "
        "$a = (<logits>)$. How large is $\\log p(x \\mid z)$?",
        draw=_some_pixels,
        answer=lambda x, logits: log_prob(x, logits),
        digits=2,
        slips=[
            Slip(
                "mean-pixels",
                "You have averaged over the $<d>$ pixels. The logarithm of a product is a sum.",
                lambda x, logits, d: log_prob(x, logits) / d,
            ),
            Slip(
                "targets-flipped",
                "$x$ and $1 - x$ have changed places.",
                lambda x, logits: log_prob(tuple(1 - v for v in x), logits),
            ),
            Slip(
                "squared-error",
                "This is a squared distance between pixels and probabilities of ink, with a minus sign.",
                lambda x, logits: -np.sum((np.array(x) - _ink(logits)) ** 2),
            ),
            Slip(
                "term-missing",
                "Only the pixels with ink are counted. An empty pixel has a probability, too.",
                lambda x, logits: np.sum(np.array(x) * np.log(_ink(logits))),
            ),
        ],
        steps={"each": lambda x, logits: [log_prob((v,), (a,)) for v, a in zip(x, logits, strict=True)]},
        solution=r"$x_i a_i - \log(1 + e^{a_i})$ is $<each>$, and the sum $<answer>$ nats.",
    ),
    Question(
        "06-hidden-beta",
        section=3,
        level=2,
        text="A loss is the cross-entropy, <pixel> over $<d>$ pixels, plus the KL, <kl> over $<latents>$ "
        "latents. Up to a factor it is the loss of a β-VAE. What is β?",
        draw=_reductions,
        answer=_beta,
        unit="",
        digits=4,
        trim=True,
        slips=[
            Slip(
                "ratio-upside-down",
                "Multiply the loss so that the cross-entropy is a sum over pixels. What stands before the "
                "KL then?",
                lambda d, latents, pixel, kl: 1 / _beta(d, latents, pixel, kl),
            ),
            Slip(
                "beta-forgotten",
                "The factors do not cancel: the two terms are not reduced alike.",
                lambda: 1.0,
            ),
            Slip(
                "wrong-dimension",
                "Only an average counts: one over pixels multiplies β, one over latents divides it, and a "
                "sum does nothing.",
                lambda d, latents, pixel, kl: d * latents if pixel == kl else d / latents,
            ),
        ],
        solution="With both sums the loss is right, and β is 1. Averaging over the pixels multiplies β by "
        "$<d>$, averaging over the latents divides it by $<latents>$. Here β is $<answer>$.",
    ),
    Question(
        "06-ledger",
        section=4,
        level=1,
        text="A model with $d = <latents>$ has the rate $<rate>$ and the expected log-likelihood $<lik>$ "
        "nats per test image. How large is its ELBO?",
        draw=_ledger,
        answer=lambda elbo: elbo,
        typed=True,
        digits=2,
        slips=[
            Slip("kl-added", "The rate is a cost: it is subtracted.", lambda lik, rate: lik + rate),
            Slip(
                "term-missing",
                "This is the log-likelihood alone. The message has to be paid as well.",
                lambda lik: lik,
            ),
            Slip("sign", "This is $-$ELBO, distortion plus rate.", lambda elbo: -elbo),
        ],
        solution="$<lik> - <rate> = <answer>$ nats.",
    ),
    Question(
        "06-gaussian-pixels",
        section=6,
        level=2,
        text="A Gaussian decoder has noise of the standard deviation $s = <s>$ in each pixel, and an image "
        "of $<d>$ pixels lies at the squared distance $<error>$ (summed over pixels) from its mean. How "
        "large is $\\log p(x \\mid z)$?",
        draw=_grey,
        answer=_gaussian_pixels,
        typed=True,
        digits=1,
        slips=[
            Slip(
                "log-sigma-missing",
                "The term $-\\log s$ of each pixel is lost.",
                lambda d, error, s: _gaussian_pixels(error, d, s) + d * np.log(s),
            ),
            Slip(
                "log-two-pi-missing",
                "The constant $-\\tfrac12\\log 2\\pi$ of each pixel is lost.",
                lambda d, error, s: _gaussian_pixels(error, d, s) + 0.5 * d * gaussian.LOG_2PI,
            ),
            Slip(
                "mean-pixels",
                "You have averaged over the $<d>$ pixels.",
                lambda d, error, s: _gaussian_pixels(error, d, s) / d,
            ),
            Slip(
                "std-for-var",
                "The squared distance is divided by $2 s^2$, and not by $2 s$.",
                lambda d, error, s: _gaussian_pixels(error, d, s) + error / (2 * s**2) - error / (2 * s),
            ),
        ],
        solution=r"$-\frac{<error>}{2 \cdot <s>^2} - \frac{<d>}{2}\log(2\pi \cdot <s>^2) = <answer>$ nats.",
    ),
    Question(
        "06-best-noise",
        section=6,
        level=2,
        text="Images of $<d>$ pixels lie on average at the squared distance $<error>$ (summed over pixels) "
        "from the mean that a Gaussian decoder returns. Which noise $s$ makes the log-likelihood largest?",
        draw=_grey,
        answer=_best_noise,
        unit="",
        slips=[
            Slip(
                "no-root",
                "This is the best $s^2$, the squared distance per pixel.",
                lambda d, error: error / d,
            ),
            Slip(
                "not-divided",
                "You have taken the distance of the whole image. The noise of each pixel has the size $s$.",
                lambda error: np.sqrt(error),
            ),
            Slip(
                "scale",
                "A ½ too many. Differentiate: the ½ stands at both terms.",
                lambda d, error: np.sqrt(error / (2 * d)),
            ),
            Slip(
                "std-for-var",
                "$s^2$ is the squared distance per pixel; you have divided the distance by the number of "
                "pixels.",
                lambda d, error: np.sqrt(error) / d,
            ),
        ],
        solution=r"$s^2 = <error>/<d>$, so $s = <answer>$.",
    ),
    Question(
        "06-what-squared-error-assumes",
        section=6,
        level=3,
        text="A loss is the squared error, summed over pixels, plus $<beta>$ times the KL. Up to a factor "
        "and a constant it is $-$ELBO of a Gaussian decoder. What is its noise $s$?",
        draw=lambda rng: {"beta": between(rng, 0.05, 4.0, 0.05)},
        answer=lambda beta: np.sqrt(
            minimize_scalar(
                lambda v: (1 / (2 * v) - 1 / beta) ** 2,
                bounds=(beta / 20, 3 * beta),
                method="bounded",
                options={"xatol": 1e-12},
            ).x
        ),
        unit="",
        slips=[
            Slip("no-root", "This is $s^2$.", lambda beta: beta / 2),
            Slip(
                "term-scale",
                "The exponent of a Gaussian has a ½: the squared error is divided by $2 s^2$.",
                lambda beta: np.sqrt(beta),
            ),
            Slip(
                "ratio-upside-down",
                "A larger weight of the KL means more noise, and not less.",
                lambda beta: np.sqrt(1 / (2 * beta)),
            ),
            Slip("beta-forgotten", "This is $s$ for the weight 1.", lambda: np.sqrt(0.5)),
        ],
        solution=r"Divided by $<beta>$ the loss is squared error$/<beta>$ + KL, so $2 s^2 = <beta>$ and $s "
        r"= <answer>$.",
    ),
    Question(
        "06-entropy-floor",
        section=4,
        level=2,
        text="Grey values $<grey>$ of four pixels are probabilities of ink, and pixels are tossed with "
        "them. What is the lowest $-\\log p$, on average over tosses, that any model can reach on "
        "this image?",
        draw=lambda rng: {"grey": some(rng, 4, 0.05, 0.95, 0.05)},
        answer=lambda grey: check_best_constant.truth(np.array([grey])),
        slips=[
            Slip(
                "term-missing",
                "The tosses cannot be foreseen, not even by someone who knows each coin. So it is not 0.",
                lambda: 0.0,
            ),
            Slip(
                "mean-pixels",
                "You have averaged over the pixels. The entropies of independent pixels add up.",
                lambda grey: check_best_constant.truth(np.array([grey])) / 4,
            ),
            Slip(
                "wrong-unit",
                "This is the entropy in bits.",
                lambda grey: check_best_constant.truth(np.array([grey])) / np.log(2),
            ),
            Slip(
                "density-of-averages",
                "You have put the average grey value into the formula: this is the cost of a model that "
                "does not tell the pixels apart.",
                lambda grey: 4 * check_best_constant.truth(np.array([[np.mean(grey)]])),
            ),
        ],
        solution=r"The entropy of the tosses, $-x\log x - (1 - x)\log(1 - x)$ summed over the pixels: "
        r"$<answer>$ nats.",
    ),
)
