"""Likelihoods against torch.distributions, and a new one by the recipe of CONTRIBUTING."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from support.worlds import EACH_LIKELIHOOD, ORACLES, distribution, generator, small_images, small_vae
from torch import Tensor

from vae_helpers.models import VAE, elbo, fit, load, log_evidence_quadrature, save
from vae_helpers.models.likelihoods import LIKELIHOODS, Likelihood, register
from vae_helpers.shipped import load_mnist


@EACH_LIKELIHOOD
def test_the_log_density_is_that_of_torch(likelihood):
    model, z = small_vae(likelihood, scale=3).double(), torch.randn(3, 5, 2, generator=generator()).double()
    x = model.observation.observe(small_images(5).double(), generator())
    expected = distribution(model, z).log_prob(x).sum(dim=-1)
    torch.testing.assert_close(model.log_likelihood(x, z), expected, rtol=1e-10, atol=1e-10)


@EACH_LIKELIHOOD
def test_the_log_density_of_all_pairs_is_that_of_each(likelihood):
    model, z = small_vae(likelihood, scale=3).double(), torch.randn(7, 2, generator=generator()).double()
    x = model.observation.observe(small_images(5).double(), generator())
    expected = distribution(model, z[:, None]).log_prob(x).sum(dim=-1)
    pairs = model.pairwise_log_likelihood(x, z)
    assert pairs.shape == (7, 5)
    torch.testing.assert_close(pairs, expected, rtol=1e-9, atol=1e-9)
    slow = Likelihood.pairwise_log_prob(
        model.observation, x, model.decode(z), **{n: getattr(model, n) for n in model.observation.parameters}
    )
    torch.testing.assert_close(slow, expected, rtol=1e-9, atol=1e-9)


@EACH_LIKELIHOOD
def test_the_mean_is_that_of_torch(likelihood):
    model, z = small_vae(likelihood, scale=3).double(), torch.randn(5, 2, generator=generator()).double()
    torch.testing.assert_close(model.mean(z), distribution(model, z).mean, rtol=1e-10, atol=1e-10)


@EACH_LIKELIHOOD
def test_the_decoder_starts_where_the_mean_is_the_mean_image(likelihood):
    mean = torch.tensor([0.2, 0.5, 0.9])
    observation = LIKELIHOODS[likelihood]
    torch.testing.assert_close(observation.mean(observation.output_of(mean)), mean)


@EACH_LIKELIHOOD
def test_what_is_observed_of_grey_images_is_known_and_has_their_mean(likelihood):
    num, images = 20_000, torch.full((20_000, 3), 0.3)
    x = LIKELIHOODS[likelihood].observe(images, generator())
    assert LIKELIHOODS[likelihood].check("x", x) is x and x.shape == images.shape
    assert (x.mean(dim=0) - 0.3).abs().max() < 5 * math.sqrt(0.3 * 0.7 / num)  # standard errors of a coin


def test_a_likelihood_without_an_oracle_fails():
    assert set(ORACLES) == {"bernoulli", "gaussian"}
    model = small_vae()
    model.likelihood = "unheard of"
    with pytest.raises(KeyError, match="unheard of"):
        distribution(model, torch.zeros(1, 2))


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="name: expected one that is not taken, got 'gaussian'"):
        register(type("Other", (LIKELIHOODS["gaussian"].__class__,), {}))


def test_the_registry_is_what_a_vae_accepts():
    with pytest.raises(
        ValueError, match=r"likelihood: expected one of \('bernoulli', 'gaussian'\), got 'poisson'"
    ):
        VAE(2, likelihood="poisson")


# --- A new likelihood, by the recipe of CONTRIBUTING -------------------------------------------------


class StudentT(Likelihood):
    """Grey pixels with rare large errors: Student's t with 5 degrees of freedom and one learned scale."""

    name = "student_t"
    parameters = {"x_log_scale": math.log(0.2)}
    degrees = 5.0

    def log_prob(self, x: Tensor, output: Tensor, x_log_scale: Tensor) -> Tensor:
        n = self.degrees
        constant = math.lgamma((n + 1) / 2) - math.lgamma(n / 2) - 0.5 * math.log(math.pi * n)
        squared = ((x - output) * torch.exp(-x_log_scale)) ** 2
        return (constant - x_log_scale - (n + 1) / 2 * torch.log1p(squared / n)).sum(dim=-1)

    def mean(self, output: Tensor) -> Tensor:
        return output


@pytest.fixture(scope="module")
def trained():
    register(StudentT)
    model = VAE(2, 64, "student_t", generator=generator())
    images = load_mnist("test")[0][:1000]
    history = fit(model, images, 15, generator=generator(1), progress=False)
    yield model, images, history
    del LIKELIHOODS["student_t"]


def test_a_new_likelihood_trains_on_digits(trained):
    model, images, history = trained
    assert history.train[-1] < history.train[0] - 100
    assert model.x_log_scale.item() != pytest.approx(math.log(0.2), abs=0.05)
    expected = torch.distributions.StudentT(5.0, model.decode(torch.zeros(1, 2)), model.x_log_scale.exp())
    ours = model.log_likelihood(images[:50], torch.zeros(50, 2))
    torch.testing.assert_close(ours, expected.log_prob(images[:50]).sum(dim=-1), rtol=1e-5, atol=0)


def test_a_new_likelihood_has_quadrature(trained):
    model, images, _ = trained
    x, axis = images[:3], np.linspace(-5, 5, 81)
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    with torch.no_grad():
        output = model.decode(torch.from_numpy(z).float()).double().numpy()
    log_prior = stats.norm.logpdf(z).sum(axis=-1)
    scale = math.exp(model.x_log_scale.item())
    by_scipy = [
        special.logsumexp(stats.t.logpdf(image, 5, output, scale).sum(axis=-1) + log_prior)
        + 2 * math.log(axis[1] - axis[0])
        for image in x.double().numpy()
    ]
    found = log_evidence_quadrature(model, x, num_grid=81)
    np.testing.assert_allclose(found.numpy(), by_scipy, atol=1e-3)
    assert (elbo(model, x, num_samples=50, generator=generator()).elbo < found + 0.5).all()


def test_a_new_likelihood_is_saved_and_loaded(trained, tmp_path):
    model, images, _ = trained
    save(model, tmp_path / "model.safetensors")
    again, z = load(tmp_path / "model.safetensors"), torch.zeros(5, 2)
    assert torch.equal(again.log_likelihood(images[:5], z), model.log_likelihood(images[:5], z))
