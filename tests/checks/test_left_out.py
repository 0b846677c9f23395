"""Entries that are left out of a sum, a softmax for a sigmoid, and what only single precision shows."""

import numpy as np
import pytest
import scipy.special
import torch
import torch.nn.functional as F

from vae_helpers.checks import check_bernoulli, check_kl, check_log_prob
from vae_helpers.numerics import gaussian, kl_standard_normal

PARTS = {
    "the last of the {} is not counted": slice(None, -1),
    "the first of the {} is not counted": slice(1, None),
    "only the first of the {} is counted": slice(None, 1),
    "only the last of the {} is counted": slice(-1, None),
}


def bernoulli(x, x_logits):
    return -F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").sum(dim=1)


RIGHT = [
    (check_kl, kl_standard_normal, "latents"),
    (check_log_prob, gaussian.log_prob, "dimensions"),
    (check_bernoulli, bernoulli, "pixels"),
]
EACH = pytest.mark.parametrize("check, right, axis", RIGHT, ids=["kl", "log_prob", "bernoulli"])


@EACH
@pytest.mark.parametrize("words", PARTS)
def test_what_is_not_counted_is_named(check, right, axis, words):
    report = check(lambda *rows: right(*(row[:, PARTS[words]] for row in rows)))
    assert report.codes == {"term-missing"} and words.format(axis) in report.message


@EACH
def test_what_counts_everything_is_not_accused(check, right, axis):
    assert check(right).passed


@pytest.mark.parametrize("parts", [("white", "black"), ("white",)])
def test_a_softmax_over_the_pixels_is_named(parts):
    def answer(x, x_logits):
        p = scipy.special.softmax(x_logits, axis=1)
        halves = {"white": x * np.log(p), "black": (1 - x) * np.log(1 - p)}
        return sum(halves[part] for part in parts).sum(axis=1)

    report = check_bernoulli(answer)
    assert report.codes == {"term-wrong"} and "A softmax over the pixels" in report.message


def test_a_sigmoid_before_the_logarithm_is_unstable_in_the_precision_of_networks():
    report = check_bernoulli(
        lambda x, a: -F.binary_cross_entropy(torch.sigmoid(a), x, reduction="none").sum(dim=1)
    )
    assert report.codes == {"unstable"} and "In single precision" in report.message


def test_numpy_is_not_judged_in_a_precision_that_nobody_uses_there():
    assert check_kl(lambda mu, v: 0.5 * (np.expm1(v) - v + mu**2).sum(axis=1)).passed
