"""Likelihoods against torch.distributions and mpmath, and a new one by the recipe of CONTRIBUTING."""

import math
from types import MappingProxyType

import mpmath
import numpy as np
import pytest
import torch
from scipy import special, stats
from support.worlds import (
    EACH_LIKELIHOOD,
    ORACLES,
    distribution,
    generator,
    small_images,
    small_vae,
    small_x,
)
from torch import Tensor, nn

from vae_helpers.models import VAE, elbo, fit, load, log_evidence_quadrature, observed, save
from vae_helpers.models.likelihoods import LIKELIHOODS, Likelihood, register
from vae_helpers.shipped import load_mnist


def model_x_z(likelihood, *leading):
    """A model, five images that its likelihood knows and latents for each (float64)."""
    model = small_vae(likelihood).double()
    return model, small_x(model, 5), torch.randn(*leading, 5, 2, generator=generator()).double()


@EACH_LIKELIHOOD
def test_each_likelihood_has_an_oracle(likelihood):
    assert likelihood in ORACLES, "tests/support/worlds.py: ORACLES lacks it"


@EACH_LIKELIHOOD
@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_the_log_likelihood_is_the_sum_over_pixels_of_torch_distributions(likelihood, leading):
    model, x, z = model_x_z(likelihood, *leading)
    expected = distribution(model, z).log_prob(x).sum(dim=-1)
    torch.testing.assert_close(model.log_likelihood(x, z), expected, rtol=1e-12, atol=1e-12)


@EACH_LIKELIHOOD
@pytest.mark.parametrize("of", ["the likelihood", "any"])
def test_the_log_likelihood_of_all_pairs_is_that_of_each(likelihood, of):
    model, x, _ = model_x_z(likelihood)
    z = torch.randn(7, 2, generator=generator()).double()
    kind = type(model.observation) if of == "the likelihood" else Likelihood
    parameters = {name: getattr(model, name) for name in model.observation.parameters}
    pairs = kind.pairwise_log_prob(model.observation, x, model.decode(z), **parameters)
    expected = distribution(model, z[:, None]).log_prob(x).sum(dim=-1)
    assert pairs.shape == (7, 5)
    torch.testing.assert_close(pairs, expected, rtol=1e-9, atol=1e-9)


@EACH_LIKELIHOOD
def test_a_model_gives_the_log_likelihood_of_all_pairs(likelihood):
    model, x, z = model_x_z(likelihood)
    expected = distribution(model, z[:, None]).log_prob(x).sum(dim=-1)
    torch.testing.assert_close(model.pairwise_log_likelihood(x, z), expected, rtol=1e-9, atol=1e-9)


@EACH_LIKELIHOOD
def test_the_mean_is_the_mean_of_the_distribution(likelihood):
    model, _, z = model_x_z(likelihood, 2)
    torch.testing.assert_close(model.mean(z), distribution(model, z).mean, rtol=1e-12, atol=1e-12)


@EACH_LIKELIHOOD
def test_the_decoder_starts_where_the_mean_is_the_mean_image(likelihood):
    mean = torch.tensor([0.2, 0.5, 0.9])
    observation = LIKELIHOODS[likelihood]
    torch.testing.assert_close(observation.mean(observation.output_of(mean)), mean)


@EACH_LIKELIHOOD
def test_what_is_observed_of_grey_images_is_known(likelihood):
    images = small_images()
    x = LIKELIHOODS[likelihood].observe(images, generator())
    assert LIKELIHOODS[likelihood].check("x", x) is x and x.shape == images.shape


@EACH_LIKELIHOOD
def test_what_is_observed_of_grey_images_has_their_mean(likelihood):
    num, grey = 20_000, 0.3
    x = LIKELIHOODS[likelihood].observe(torch.full((num, 3), grey), generator())
    # 5 standard errors of a coin: sees a mean that is off by 0.016.
    assert (x.mean(dim=0) - grey).abs().max() < 5 * math.sqrt(grey * (1 - grey) / num)


@EACH_LIKELIHOOD
@pytest.mark.parametrize("grey", [0.001, 0.3, 0.999])
def test_what_is_drawn_for_training_has_the_mean_of_what_is_observed(likelihood, grey):
    observation, num = LIKELIHOODS[likelihood], 1_000_000
    levels = observation.levels(torch.full((num // 10, 10), grey))
    x = observation.draw(levels, generator())
    observation.check("x", x)
    # 5 standard errors of a coin: sees a mean that is off by 0.0023, for rare ones by 0.00016.
    assert abs(x.double().mean() - grey) < 5 * math.sqrt(grey * (1 - grey) / num)


def test_black_and_white_are_drawn_for_sure():
    observation = LIKELIHOODS["bernoulli"]
    images = torch.tensor([0.0, 1.0]).repeat(500, 1000)  # a million; each 16 bits come 15 times
    assert torch.equal(observation.draw(observation.levels(images), generator()), images)


def test_draws_are_independent_from_pixel_to_pixel_and_call_to_call():
    observation, stream = LIKELIHOODS["bernoulli"], generator()
    levels = observation.levels(torch.full((1000, 403), 0.5))  # not a multiple of the four in a word
    first, second = (observation.draw(levels, stream) - 0.5 for _ in range(2))
    for a, b in [(first, second), *((first[:, :-lag], first[:, lag:]) for lag in (1, 2, 3, 4))]:
        # Products of two fair coins of ±½: their mean is 0, its standard error ¼ / √n.
        assert abs((a * b).double().mean()) < 5 * 0.25 / math.sqrt(a.numel())


@EACH_LIKELIHOOD
def test_what_is_observed_follows_a_seed_as_its_generator(likelihood):
    model, images = small_vae(likelihood), small_images(500)
    assert torch.equal(observed(model, images, 4), observed(model, images, generator(4)))


@EACH_LIKELIHOOD
def test_what_the_likelihood_learns_is_held_by_the_model_under_its_name(likelihood):
    model, start = VAE(2, 8, likelihood), LIKELIHOODS[likelihood].parameters
    held = {name: value.item() for name, value in model.named_parameters() if value.ndim == 0}
    assert held == pytest.approx(dict(start), rel=1e-6)


@EACH_LIKELIHOOD
def test_every_number_that_the_likelihood_learns_has_the_gradient_of_the_oracle(likelihood):
    model, x, z = model_x_z(likelihood)
    learned = [getattr(model, name) for name in model.observation.parameters]
    values = model.log_likelihood(x, z).sum(), distribution(model, z).log_prob(x).sum()
    ours, expected = (torch.autograd.grad(value, [*learned, model.decoder[-1].bias]) for value in values)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_an_oracle_that_does_not_know_a_likelihood_says_so():
    model = small_vae()
    model.likelihood = "unheard of"
    with pytest.raises(KeyError, match="add the distribution of 'unheard of' to ORACLES"):
        distribution(model, torch.zeros(1, 2))


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="name: expected one that is not taken, got 'gaussian'"):
        register(type("Other", (LIKELIHOODS["gaussian"].__class__,), {}))


def test_the_registry_is_what_a_vae_accepts():
    with pytest.raises(ValueError) as caught:
        VAE(2, likelihood="poisson")
    assert str(caught.value) == f"likelihood: expected one of {tuple(LIKELIHOODS)}, got 'poisson'"


# --- Black-and-white and grey pixels ------------------------------------------------------------------


def test_bernoulli_log_likelihood_of_grey_values_is_the_cross_entropy():
    model, _, z = model_x_z("bernoulli")
    x = small_images(5).double()
    expected = -nn.functional.binary_cross_entropy_with_logits(model.decoder(z), x, reduction="none")
    torch.testing.assert_close(model.log_likelihood(x, z), expected.sum(dim=-1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-13)])
@pytest.mark.parametrize("pixel", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-1000.0, -100.0, -25.0, 0.0, 25.0, 100.0, 1000.0])
def test_bernoulli_keeps_its_digits_at_extreme_logits(logit, pixel, dtype, tolerance):
    model = VAE(1, 1, num_hidden=1, data_dim=1).to(dtype)
    model.decoder[-1].weight.data.zero_()
    model.decoder[-1].bias.data.fill_(logit)
    value = model.log_likelihood(torch.tensor([[pixel]], dtype=dtype), torch.zeros(1, 1, dtype=dtype))
    value.sum().backward()
    with mpmath.workdps(1000):
        p = 1 / (1 + mpmath.exp(-mpmath.mpf(logit)))
        expected = float(mpmath.log(p if pixel else 1 - p))
    assert value.item() == pytest.approx(expected, rel=tolerance, abs=tolerance)
    # d/da log p = x - sigmoid(a)
    assert model.decoder[-1].bias.grad.item() == pytest.approx(pixel - float(p), abs=tolerance)


@pytest.mark.parametrize("leading", [((3,), (3,)), ((3,), (2, 3)), ((2, 3), (3,)), ((3,), (1,))])
def test_bernoulli_has_first_and_second_derivatives_however_its_shapes_meet(leading):
    stream = generator()
    x, logits = (torch.randn(*of, 4, dtype=torch.float64, generator=stream) for of in leading)
    inputs = torch.sigmoid(x).requires_grad_(), (2 * logits).requires_grad_()
    log_prob = LIKELIHOODS["bernoulli"].log_prob
    assert torch.autograd.gradcheck(log_prob, inputs) and torch.autograd.gradgradcheck(log_prob, inputs)
    (grad,) = torch.autograd.grad(log_prob(*inputs).sum(), inputs[1])  # without a graph it works in place
    expected = inputs[0] - torch.sigmoid(inputs[1])
    torch.testing.assert_close(grad, expected.sum_to_size(grad.shape).detach())


def test_gaussian_noise_has_the_gradient_of_its_formula():
    model, x, z = model_x_z("gaussian")
    model.log_likelihood(x, z).sum().backward()
    squared = ((x - model.decoder(z)) ** 2 * torch.exp(-model.x_log_var)).sum()
    # d/dv of -½ Σ [r² exp(-v) + v] = ½ Σ r² exp(-v) - ½ N
    assert model.x_log_var.grad.item() == pytest.approx(0.5 * (squared.item() - x.numel()), rel=1e-12)


def test_gaussian_noise_starts_at_a_variance_of_a_tenth():
    assert VAE(2, 8, "gaussian").x_log_var.item() == pytest.approx(math.log(0.1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [12.0, 20.0, 45.0, 80.0])
def test_a_pixel_of_which_the_decoder_is_sure_keeps_its_digits(logit, dtype):
    """x a - log(1 + exp(a)) is the difference of two equal numbers there."""
    sure = torch.tensor([[1.0, logit], [0.0, -logit]], dtype=dtype)
    got = LIKELIHOODS["bernoulli"].log_prob(sure[:, :1], sure[:, 1:])
    expected = torch.full((2,), -math.log1p(math.exp(-logit)), dtype=dtype)
    torch.testing.assert_close(got, expected, rtol=4 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_var", [-1e4, -200.0, 200.0, 1e4])
def test_gaussian_pixels_that_are_met_exactly_have_a_density_however_narrow_it_is(log_var, dtype):
    x, log_var = torch.tensor([0.3, 0.7], dtype=dtype), torch.tensor(log_var, dtype=dtype)
    output, log_var = x.clone().requires_grad_(), log_var.requires_grad_()
    got = LIKELIHOODS["gaussian"].log_prob(x, output, log_var)
    torch.testing.assert_close(got, -(log_var + math.log(2 * math.pi)), rtol=1e-6, atol=0)
    got.backward()
    assert (output.grad == 0).all() and log_var.grad == -1


@pytest.mark.parametrize("power", [-35, -25, 25, 35])
def test_gaussian_pixels_of_any_size_at_a_width_of_that_size(power):
    x, log_var = torch.tensor([10.0**power]), torch.tensor(2 * power * math.log(10.0))
    got = LIKELIHOODS["gaussian"].log_prob(x, torch.zeros(1), log_var)
    expected = stats.norm.logpdf(x.double().numpy(), scale=math.exp(log_var.item() / 2))
    assert got.item() == pytest.approx(expected.item(), rel=1e-6)


def test_pixels_that_bernoulli_does_not_know_are_refused():
    with pytest.raises(ValueError, match=r"x: expected values in \[0, 1\], got 200 to 200"):
        small_vae().log_likelihood(torch.full((3, 6), 200.0), torch.zeros(3, 2))


# --- A new likelihood, by the recipe of CONTRIBUTING -------------------------------------------------


# `@register` would stand here; the fixture below does it, for the tests of this file alone.
class StudentT(Likelihood):
    """Grey pixels with rare large errors: Student's t with 5 degrees of freedom and one learned scale."""

    name = "student_t"
    parameters = MappingProxyType({"x_log_scale": math.log(0.2)})
    degrees = 5.0

    def log_prob(self, x: Tensor, output: Tensor, x_log_scale: Tensor) -> Tensor:
        """Σ log t((x - output) / scale) - log scale."""
        n = self.degrees
        constant = math.lgamma((n + 1) / 2) - math.lgamma(n / 2) - 0.5 * math.log(math.pi * n)
        squared = ((x - output) * torch.exp(-x_log_scale)) ** 2
        return (constant - x_log_scale - (n + 1) / 2 * torch.log1p(squared / n)).sum(dim=-1)

    def mean(self, output: Tensor) -> Tensor:
        """The output itself."""
        return output


GRID, LIMIT = 41, 4.0  # points on an axis and its end, for quadrature of digits


@pytest.fixture(scope="module")
def trained():
    register(StudentT)
    model = VAE(2, 64, "student_t", generator=generator())
    images = load_mnist("test")[0][:1000]
    history = fit(model, images, 12, generator=generator(1), progress=False)
    yield model, images, history
    del LIKELIHOODS["student_t"]


def test_a_new_likelihood_trains_on_digits(trained):
    _, _, history = trained
    assert history.train[-1] < history.train[0] - 100


def test_training_moves_what_a_new_likelihood_learns(trained):
    assert trained[0].x_log_scale.item() != pytest.approx(math.log(0.2), abs=0.05)


def test_a_new_likelihood_is_that_of_torch(trained):
    model, images, _ = trained
    expected = torch.distributions.StudentT(5.0, model.decode(torch.zeros(1, 2)), model.x_log_scale.exp())
    ours = model.log_likelihood(images[:50], torch.zeros(50, 2))
    torch.testing.assert_close(ours, expected.log_prob(images[:50]).sum(dim=-1), rtol=1e-5, atol=0)


def test_a_new_likelihood_has_quadrature(trained):
    model, images, _ = trained
    x, axis = images[:3], np.linspace(-LIMIT, LIMIT, GRID)
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
    np.testing.assert_allclose(log_evidence_quadrature(model, x, GRID, LIMIT), by_scipy, atol=1e-3)


def test_the_elbo_of_a_new_likelihood_is_below_its_evidence(trained):
    model, images, _ = trained
    found = log_evidence_quadrature(model, images[:3], GRID, LIMIT)
    # The gaps are 0.9 to 4 nats, the mean of 1,000 draws is known to 0.2: sees a nat too many.
    assert (elbo(model, images[:3], num_samples=1000, generator=generator()).elbo < found).all()


def test_a_new_likelihood_is_saved_and_loaded(trained, tmp_path):
    model, images, _ = trained
    save(model, tmp_path / "model.safetensors")
    again, z = load(tmp_path / "model.safetensors"), torch.zeros(5, 2)
    assert torch.equal(again.log_likelihood(images[:5], z), model.log_likelihood(images[:5], z))
