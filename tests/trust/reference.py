"""Points and values for programs in any language: this command writes docs/reference_values.json.

What the file holds stands in it, and in docs/trust.md. The points are some of those of `trust.ulps`; the
values are of `trust.exact` at 120 digits.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from mpmath import mp

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(TESTS)  # in place of this folder, so that its modules have the names that tests use

from trust import ledger, ulps  # noqa: E402
from vae_helpers.models.storage import whole_file  # noqa: E402

PATH = ledger.ROOT / "docs" / "reference_values.json"
POINTS = 220  # of each function, about
DIGITS, SHOWN = 120, 45  # calculated with; written
LARGEST = 1e300  # of an argument or a value: larger ones are of interest to nobody
LONGEST = 5  # size of a point

KINGMA = "Kingma & Welling 2014 (arXiv:1312.6114)"
BISHOP = "Bishop 2006, Pattern Recognition and Machine Learning"
FUNCTIONS = {  # name: (case of trust.ulps, arguments, formula, source)
    "kl_standard_normal": (
        "gaussian.kl_standard_normal",
        ("mu", "log_var"),
        "1/2 sum_i (exp(log_var_i) + mu_i^2 - 1 - log_var_i)",
        f"{KINGMA}, appendix B, with the sign turned",
    ),
    "kl_diagonal": (
        "gaussian.kl_diagonal",
        ("mu_q", "log_var_q", "mu_p", "log_var_p"),
        "1/2 sum_i (exp(r_i) - 1 - r_i + (mu_q_i - mu_p_i)^2 exp(-log_var_p_i)), r = log_var_q - log_var_p",
        f"{KINGMA}, appendix B, for any second Gaussian",
    ),
    "gaussian_log_prob": (
        "gaussian.log_prob",
        ("x", "mu", "log_var"),
        "-1/2 sum_i (log(2 pi) + log_var_i + (x_i - mu_i)^2 exp(-log_var_i))",
        f"{KINGMA}, appendix C.2",
    ),
    "bernoulli_log_prob": (
        "Bernoulli.log_prob",
        ("x", "logits"),
        "sum_i (x_i logits_i - log(1 + exp(logits_i))), x_i in [0, 1]",
        f"{KINGMA}, appendix C.1, eq. 11",
    ),
    "linear_gaussian_log_evidence": (
        "LinearGaussian.log_evidence",
        ("weight", "bias", "noise_std", "x"),
        "log N(x; bias, weight weight^T + noise_std^2 I): z ~ N(0, I), x ~ N(weight z + bias, noise_std^2 I)",
        f"{BISHOP}, eq. 12.35",
    ),
    "linear_gaussian_elbo": (
        "LinearGaussian.elbo",
        ("weight", "bias", "noise_std", "x", "mu", "log_var"),
        "E_q[log N(x; weight z + bias, noise_std^2 I)] - KL(q, N(0, I)), q = N(mu, diag(exp(log_var)))",
        f"{KINGMA}, eq. 3",
    ),
}
ABOUT = {
    "what": "Values of closed forms of variational autoencoders, for tests of programs in any language.",
    "numbers": "Arguments are decimal strings that give back one IEEE 754 double exactly; values have "
    f"{SHOWN} correct digits. Vectors are lists, matrices lists of rows; noise_std is a list of one number.",
    "units": "nats (natural logarithms); log_var is log of the variance; vectors are summed over.",
    "unit": "ulp(value) + sum over arguments a of |d value / d a| ulp(a), ulp(a) being the distance from |a| "
    "to the next larger double: an error of a few such units is what rounding makes unavoidable. Pixels x of "
    "0 or 1 are exact and count nothing.",
    "made_by": "python tests/trust/reference.py",
    "licence": "CC BY 4.0",
}


def points(name: str) -> Iterator[tuple[np.ndarray, ...]]:
    """The first points of each kind and size whose numbers are moderate enough."""
    case = ulps.CASES[f"{FUNCTIONS[name][0]}, float64"]
    number = -(-POINTS // (len(case.makes) * sum(size <= LONGEST for size in case.sizes)))
    for arrays in ulps.batches(case, 1.0):
        good = (p for p in zip(*arrays, strict=True) if all(np.abs(a).max() < LARGEST for a in p))
        if arrays[0].shape[1] <= LONGEST:
            yield from islice(good, number)


def value_and_unit(name: str, point: tuple) -> tuple[str, str]:
    """The truth at a point, and the unit of errors."""
    case = ulps.CASES[f"{FUNCTIONS[name][0]}, float64"]
    with mp.workdps(DIGITS):
        units = [ulps.ulp(a, case.dtype) for a in point]
        value, unit = ulps.value_and_unit(case, point, units)
        return mp.nstr(value, SHOWN), mp.nstr(unit, 4)


def record(name: str, point: tuple) -> dict:
    """A point as the file holds it, with its value."""
    value, unit = value_and_unit(name, point)
    given = {key: _texts(a) for key, a in zip(FUNCTIONS[name][1], point, strict=True)}
    return {**given, "value": value, "unit": unit}


def text() -> str:
    """The whole file, a point a line."""
    blocks = []
    for name, (_, arguments, formula, source) in FUNCTIONS.items():
        head = json.dumps({"formula": formula, "source": source, "arguments": arguments})[:-1]
        records = (record(name, point) for point in points(name))
        lines = [json.dumps(one) for one in records if abs(float(one["value"])) < LARGEST]
        blocks.append(f'"{name}": {head}, "points": [\n' + ",\n".join(lines) + "\n]}")
    about = json.dumps(ABOUT, indent=1)
    return f'{{"about": {about},\n"functions": {{\n' + ",\n".join(blocks) + "\n}}\n"


def _texts(a: np.ndarray) -> list:
    return [_texts(row) if row.ndim else repr(float(row)) for row in a]


if __name__ == "__main__":
    with whole_file(PATH) as temporary:
        temporary.write_text(text(), encoding="utf-8")
    print(f"wrote {PATH.relative_to(ledger.ROOT)}")
