"""The board of notebook 7: its pictures and numbers, each by a way of its own."""

import pytest
import torch

from vae_helpers.models.vae import VAE
from vae_helpers.widgets import Family

DIMS = (2, 5)


@pytest.fixture(scope="module")
def family():
    generator = torch.Generator().manual_seed(0)
    models = {d: VAE(d, 8, data_dim=16, generator=generator).eval() for d in DIMS}
    digits = torch.randint(0, 2, (10, 16), generator=generator).float()
    kl = {2: torch.tensor([0.5, 2.0]), 5: torch.tensor([0.1, 3.0, 0.2, 1.0, 0.0])}
    return Family(models, digits, {2: (100.0, 7.0), 5: (80.0, 12.5)}, kl, {2: 2, 5: 4})


@pytest.mark.parametrize("d", DIMS)
def test_reconstructions_stand_below_their_digits(family, d):
    shown = family.kept_and_invented(d)
    assert shown.shape == (2, 18, 16)
    assert torch.equal(shown[0, :10], family.digits) and not shown[:, 10].any()
    assert torch.allclose(shown[1, :10], family.models[d].reconstruct(family.digits), atol=1e-6)


def test_samples_are_those_of_a_fixed_seed(family):
    samples = family.models[5].sample(14, torch.Generator().manual_seed(7))
    assert torch.equal(family.kept_and_invented(5)[:, 11:].reshape(14, 16), samples)


def test_the_most_used_latent_is_the_first_that_moves(family):
    with torch.no_grad():
        z = family.models[5].encode(family.digits[3:4])[0]
        z[0, 1] = -3.0  # the largest KL is that of number 1, counted from 0
        assert torch.allclose(family.walks(5, 1, 3, 7)[0, 0], family.models[5].mean(z)[0], atol=1e-6)


@pytest.mark.parametrize("d", DIMS)
def test_the_line_begins_and_ends_at_reconstructions(family, d):
    walk = family.walks(d, d, 4, 9)[0]
    ends = family.models[d].reconstruct(family.digits[[4, 9]])
    assert walk.shape == (18, 16) and not walk[9].any()
    assert torch.allclose(walk[[10, 17]], ends, atol=1e-6)


def test_numbers(family):
    wanted = {"log-likelihood": -80.0, "KL": 12.5, "−ELBO": 92.5, "active units": "4 of 5"}
    assert family.report_model(5) == wanted
    with torch.no_grad():
        mu = family.models[5].encode(family.digits)[0]
    said = family.report_walks(5, 2, 4, 9)
    assert said["KL of this latent"] == 1.0
    length = sum(((a + b) / 2) ** 2 for a, b in zip(mu[4].tolist(), mu[9].tolist(), strict=True))
    assert said["squared length halfway"] == (pytest.approx(length, rel=1e-5), "")
