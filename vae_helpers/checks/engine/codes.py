"""The table of all codes that a report can carry: what each one says, and where the course treats it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

README = Path(__file__).parents[1] / "README.md"
ALL = "all"


class Code(NamedTuple):
    """One row of the table; the checks of single exercises may use any."""

    checks: str  # which of the five general checks may use it: "all", or names such as "kl log_prob"
    meaning: str  # what was seen, in one sentence
    where: str = ""  # where the course treats it; empty where that depends on the exercise


def _at(notebook: int, section: int) -> str:
    return f"notebook {notebook}, section {section}"


CODES: dict[str, Code] = {
    # About the answer as a whole.
    "not-attempted": Code(ALL, "The function still returns nothing."),
    "error": Code(ALL, "It raises an exception, or returns what is not a number."),
    "shape": Code(ALL, "The result has the wrong shape for a batch.", _at(0, 4)),
    "batch-reduced": Code(ALL, "Summed or averaged over the batch, too.", _at(6, 3)),
    "unstable": Code(ALL, "Right at moderate values, infinite or wrong at extreme ones."),
    "unknown": Code(ALL, "Wrong in a way that fits no known mistake."),
    "sign": Code(ALL, "The value with the opposite sign."),
    "half": Code(ALL, "Exactly twice the value: a factor ½ is lost."),
    "scale": Code(ALL, "The value times another factor, which is given."),
    "constant": Code(ALL, "Off by a constant (for each dimension)."),
    # About single terms of a sum.
    "term-sign": Code(ALL, "One term has the wrong sign."),
    "term-scale": Code(ALL, "One term has another factor, which is given."),
    "term-missing": Code(ALL, "One term is not there."),
    "term-wrong": Code(ALL, "One term is replaced by another function."),
    "std-for-var": Code("kl log_prob elbo", "σ stands where σ² belongs.", _at(5, 5)),
    "log-std": Code(
        "kl log_prob elbo", "log σ stands where log σ² belongs, or log_var is read as log σ.", _at(0, 4)
    ),
    "mean-latent": Code("kl elbo", "Averaged over the latents instead of summed.", _at(6, 3)),
    "mean-pixels": Code("log_prob bernoulli elbo", "Averaged over the pixels instead of summed.", _at(6, 3)),
    # The Gaussian KL.
    "swapped": Code(
        "kl bernoulli reparameterize elbo",
        "Two quantities have changed places (σ² and log σ²; mean and std; image and prediction).",
        _at(10, 2),
    ),
    "reverse": Code("kl elbo", "KL(p, q) instead of KL(q, p).", _at(3, 6)),
    # Log-densities.
    "log-sigma-missing": Code("log_prob", "The term with log σ² is not there.", _at(6, 6)),
    "log-two-pi-missing": Code("log_prob", "The constant with log 2π is not there.", _at(6, 6)),
    "log-of-square": Code(
        "log_prob", "The logarithm was taken of the squared distance too.", "notebook 10, Deeper"
    ),
    "not-log": Code("log_prob bernoulli", "A probability (density) instead of its logarithm.", _at(1, 1)),
    "var-for-std": Code("log_prob reparameterize elbo", "σ² stands where σ belongs.", _at(5, 5)),
    "probabilities-not-logits": Code(
        "bernoulli elbo", "Logits are taken for probabilities, or probabilities for logits.", _at(6, 3)
    ),
    "targets-flipped": Code("bernoulli elbo", "x and 1 - x have changed places.", _at(6, 3)),
    "squared-error": Code("bernoulli elbo", "A squared distance instead of a log-likelihood.", _at(6, 6)),
    # The reparameterized sample.
    "noise-shared": Code("reparameterize elbo", "Rows or latents share their noise.", _at(5, 2)),
    "noise-missing": Code(
        "reparameterize elbo", "No noise at all: the mean is returned or decoded.", _at(5, 2)
    ),
    "noise-not-normal": Code("reparameterize elbo", "The noise is not standard normal.", _at(5, 2)),
    "std-missing": Code("reparameterize elbo", "The noise is not scaled by σ.", _at(5, 2)),
    "not-differentiable": Code("reparameterize elbo", "No gradient reaches mu or log_var.", _at(5, 3)),
    # The ELBO.
    "kl-added": Code("elbo", "The KL is added to the log-likelihood.", _at(2, 5)),
}


def table() -> str:
    """The table in Markdown, as it stands in this folder's README."""
    rows = [f"| `{name}` | {c.meaning} | {_users(c)} | {c.where} |" for name, c in CODES.items()]
    return "\n".join(["| code | what it says | used by | see |", "|---|---|---|---|", *rows])


def write_table() -> None:
    """Puts the table into this folder's README, in the place of the one that is there."""
    prose, _ = README.read_text(encoding="utf-8").split("| code |")
    README.write_text(prose + table() + "\n", encoding="utf-8")


def _users(code: Code) -> str:
    return "all" if code.checks == ALL else ", ".join(f"`check_{name}`" for name in code.checks.split())
