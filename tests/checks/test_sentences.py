"""Sentences that were false or unclear for functions of others, and what is said now."""

import pytest
import torch
import torch.nn.functional as F

from vae_helpers.checks import check_bernoulli, check_elbo


def model_elbo(beta):
    def elbo(model, x):
        mu, log_var = model.encode(x)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
        return model.log_likelihood(x, z) - beta * kl

    return elbo


@pytest.mark.parametrize("sign", [1, -1])
def test_two_parts_of_one_sign_are_told_so_whatever_the_sign(sign):
    report = check_elbo(lambda log_px_z, kl: sign * (log_px_z + kl))
    assert "kl-added" in report.codes and "same sign as the log-likelihood" in report.message


@pytest.mark.parametrize("beta, words", [(4, "a factor above 1 this is a bound"), (0.5, "this is no bound")])
def test_a_heavy_kl_leaves_a_bound_and_a_light_one_does_not(beta, words):
    report = check_elbo(model_elbo(beta))
    assert report.codes == {"term-scale"} and words in report.message


def test_forgotten_parentheses_are_a_lost_normaliser_and_a_constant():
    report = check_bernoulli(lambda x, a: (x * F.logsigmoid(a) + 1 - x * F.logsigmoid(-a)).sum(1))
    assert report.codes == {"term-missing", "constant"}
    assert "The normalising part, the one without x, is not there." in report.message


def test_a_message_calls_the_logits_by_their_argument_and_begins_with_a_capital():
    report = check_bernoulli(lambda x, a: (x * a - F.softplus(-a)).sum(1))
    assert "A term with x_logits does not belong here." in report.message
    half = check_bernoulli(lambda x, a: (x * F.logsigmoid(a) - (1 - x) * F.logsigmoid(-a)).sum(1))
    assert "The sign of the black pixels' half is turned round." in half.message
