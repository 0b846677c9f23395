"""The VAE's networks and likelihoods against torch.distributions, mpmath and moments."""

import copy
import math

import mpmath
import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Normal

from vae_helpers.models.vae import VAE, reparameterize

BOTH = pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
NOT_COUNTS = pytest.mark.parametrize(
    "count, error", [(0, ValueError), (-1, ValueError), (True, TypeError), (2.0, TypeError)]
)
SMALL = {"latent_dim": 3, "hidden_dim": 8, "data_dim": 6}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small_vae(likelihood="bernoulli", **changes):
    return VAE(**{**SMALL, **changes}, likelihood=likelihood, generator=generator()).double()


def distribution(model, z):
    """p(x given z), one distribution for each pixel, made by torch.distributions."""
    output = model.decoder(z)
    if model.likelihood == "bernoulli":
        return Bernoulli(logits=output)
    return Normal(output, torch.exp(0.5 * model.x_log_var))


def random_x_z(*leading):
    g = generator(1)
    x = torch.randint(0, 2, (5, 6), generator=g).double()
    return x, torch.randn(*leading, 5, 3, generator=g, dtype=torch.float64)


@BOTH
def test_shapes(likelihood):
    model = VAE(**SMALL, likelihood=likelihood)
    x, z = torch.rand(5, 6), torch.randn(4, 2, 5, 3)
    mu, log_var = model.encode(x)
    assert mu.shape == log_var.shape == (5, 3)
    assert model.decode(z).shape == model.mean(z).shape == (4, 2, 5, 6)
    assert model.log_likelihood(x, z).shape == (4, 2, 5)
    assert model.sample(7).shape == (7, 6)
    assert model.reconstruct(x).shape == (5, 6)


def test_default_is_a_bernoulli_vae_of_mnist():
    model = VAE(2)
    assert model.likelihood == "bernoulli" and model.data_dim == 784
    assert not hasattr(model, "x_log_var")


@BOTH
@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_log_likelihood_is_the_sum_over_pixels_of_torch_distributions(likelihood, leading):
    model = small_vae(likelihood)
    if likelihood == "gaussian":
        model.x_log_var.data.fill_(-1.3)
    x, z = random_x_z(*leading)
    expected = distribution(model, z).log_prob(x).sum(dim=-1)
    torch.testing.assert_close(model.log_likelihood(x, z), expected, rtol=1e-12, atol=1e-12)


def test_bernoulli_log_likelihood_of_grey_values_is_the_cross_entropy():
    model = small_vae()
    _, z = random_x_z()
    x = torch.rand(5, 6, generator=generator(), dtype=torch.float64)
    expected = -nn.functional.binary_cross_entropy_with_logits(model.decoder(z), x, reduction="none")
    torch.testing.assert_close(model.log_likelihood(x, z), expected.sum(dim=-1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-13)])
@pytest.mark.parametrize("pixel", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-1000.0, -100.0, -20.0, 0.0, 20.0, 100.0, 1000.0])
def test_extreme_logits(logit, pixel, dtype, tolerance):
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


def test_gaussian_noise_is_a_parameter_with_the_right_gradient():
    model = small_vae("gaussian")
    assert model.x_log_var.shape == () and "x_log_var" in dict(model.named_parameters())
    assert model.x_log_var.item() == pytest.approx(math.log(0.1))
    x, z = random_x_z()
    model.log_likelihood(x, z).sum().backward()
    squared = ((x - model.decoder(z)) ** 2 * torch.exp(-model.x_log_var)).sum()
    # d/dv of -½ Σ [r² exp(-v) + v] = ½ Σ r² exp(-v) - ½ N
    assert model.x_log_var.grad.item() == pytest.approx(0.5 * (squared.item() - x.numel()), rel=1e-12)


@BOTH
def test_mean_is_the_mean_of_the_distribution(likelihood):
    model = small_vae(likelihood)
    _, z = random_x_z(2)
    torch.testing.assert_close(model.mean(z), distribution(model, z).mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.decode(z), model.decoder(z), rtol=0, atol=0)


def test_encode_gives_mu_first_then_log_var():
    model = small_vae()
    model.encoder[-1].weight.data.zero_()
    model.encoder[-1].bias.data.copy_(torch.arange(6.0))
    mu, log_var = model.encode(torch.rand(2, 6, dtype=torch.float64))
    assert mu.tolist() == [[0, 1, 2]] * 2 and log_var.tolist() == [[3, 4, 5]] * 2


@BOTH
def test_reconstruct_decodes_the_mean_without_noise_or_graph(likelihood):
    model = small_vae(likelihood)
    x, _ = random_x_z()
    expected = distribution(model, model.encoder(x)[:, :3]).mean
    result = model.reconstruct(x)
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)
    assert expected.requires_grad and not result.requires_grad


def test_sample_decodes_standard_normal_draws():
    model = VAE(2, likelihood="gaussian", data_dim=2)
    model.decoder = nn.Identity()
    draws = model.sample(40_000, generator())
    assert draws.mean(dim=0).abs().max() < 5 / math.sqrt(40_000)  # 5 standard errors
    cov = torch.cov(draws.T)
    assert (cov.diagonal() - 1).abs().max() < 5 * math.sqrt(2 / 40_000)
    assert cov[0, 1].abs() < 5 / math.sqrt(40_000)


@BOTH
def test_sample_gives_pixel_means(likelihood):
    model = VAE(**SMALL, likelihood=likelihood)
    z = torch.randn(4, 3, generator=generator(5))
    result = model.sample(4, generator(5))
    torch.testing.assert_close(result, distribution(model, z).mean, rtol=1e-6, atol=1e-6)
    assert not result.requires_grad


@NOT_COUNTS
def test_sample_refuses_other_counts(count, error):
    with pytest.raises(error, match="num: expected"):
        small_vae().sample(count)


def test_randomness_comes_from_the_generator_alone():
    torch.manual_seed(4)
    state = torch.get_rng_state()
    a, b, c = (VAE(**SMALL, generator=generator(seed)) for seed in (0, 0, 1))
    fresh, other = VAE(**SMALL), VAE(**SMALL)
    sampled = [a.sample(3, generator(2)), a.sample(3, generator(2)), a.sample(3), a.sample(3)]
    reparameterize(torch.zeros(2, 3), torch.zeros(2, 3))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    for left, right in ((a, c), (fresh, other)):
        assert not any(torch.equal(p, q) for p, q in zip(left.parameters(), right.parameters(), strict=True))
    assert torch.equal(sampled[0], sampled[1]) and not torch.equal(sampled[2], sampled[3])


def test_initial_weights_are_uniform_with_the_bound_of_pytorch():
    model = VAE(50, 300, generator=generator())
    for layer in (m for m in model.modules() if isinstance(m, nn.Linear)):
        bound = 1 / math.sqrt(layer.in_features)
        for values in (layer.weight, layer.bias):
            assert values.abs().max() <= bound
            # For uniform numbers the square has the mean b²/3 and the variance 4b⁴/45; 5 standard errors.
            tolerance = 5 * math.sqrt(4 / 45 / values.numel())
            assert (values**2).mean().item() / bound**2 == pytest.approx(1 / 3, abs=tolerance)


@BOTH
@pytest.mark.parametrize("d, h, n, size", [(2, 5, 1, 7), (3, 4, 2, 6), (1, 6, 4, 3)])
def test_number_of_parameters(likelihood, d, h, n, size):
    model = VAE(d, h, likelihood, num_hidden=n, data_dim=size)
    encoder = (size + 1) * h + (n - 1) * (h + 1) * h + (h + 1) * 2 * d
    decoder = (d + 1) * h + (n - 1) * (h + 1) * h + (h + 1) * size
    expected = encoder + decoder + (likelihood == "gaussian")
    assert sum(p.numel() for p in model.parameters()) == expected
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name, kind", [("gelu", nn.GELU), ("tanh", nn.Tanh), ("relu", nn.ReLU)])
def test_activation_follows_every_hidden_layer_and_no_output(name, kind):
    model = VAE(2, 5, num_hidden=3, activation=name, data_dim=4)
    for net in (model.encoder, model.decoder):
        assert [type(layer) for layer in net] == [nn.Linear, kind] * 3 + [nn.Linear]


@BOTH
def test_config_rebuilds_the_model(likelihood):
    model = VAE(3, 7, likelihood, num_hidden=1, activation="tanh", data_dim=4)
    twin = VAE(**model.config)
    assert twin.config == model.config
    assert [p.shape for p in twin.parameters()] == [p.shape for p in model.parameters()]


@pytest.mark.parametrize("name", ["latent_dim", "hidden_dim", "num_hidden", "data_dim"])
@NOT_COUNTS
def test_sizes_below_one_or_not_whole(name, count, error):
    with pytest.raises(error, match=f"{name}: expected .*got {count}"):
        VAE(**{**SMALL, name: count})


def test_unknown_likelihood_or_activation():
    with pytest.raises(ValueError, match=r"likelihood: expected one of .*'gaussian'.*, got 'poisson'"):
        VAE(2, likelihood="poisson")
    with pytest.raises(ValueError, match=r"activation: expected one of .*'tanh'.*, got 'swish'"):
        VAE(2, activation="swish")


@pytest.mark.parametrize(
    "call, name, size",
    [
        (lambda m, v: m.encode(v), "x", 6),
        (lambda m, v: m.reconstruct(v), "x", 6),
        (lambda m, v: m.log_likelihood(v, torch.zeros(5, 3)), "x", 6),
        (lambda m, v: m.decode(v), "z", 3),
        (lambda m, v: m.mean(v), "z", 3),
        (lambda m, v: m.log_likelihood(torch.zeros(5, 6), v), "z", 3),
    ],
)
def test_wrong_arguments_are_named_with_both_shapes(call, name, size):
    model = VAE(**SMALL)
    for shape in ((5, 4), (0, size), ()):
        with pytest.raises(ValueError) as caught:
            call(model, torch.zeros(shape))
        assert str(caught.value) == f"{name}: expected shape (batch, {size}), got {shape}"
    integers = torch.zeros(5, size, dtype=torch.uint8)
    for value, got in ((integers, "torch.uint8 tensor"), ([0.0] * size, "list")):
        with pytest.raises(TypeError, match=f"{name}: expected a floating-point tensor, got {got}"):
            call(model, value)


@BOTH
def test_output_bias_starts_at_the_mean_image(likelihood):
    model = VAE(**SMALL, likelihood=likelihood)
    before = copy.deepcopy(model.state_dict())
    # Always black, always white, and in between.
    images = torch.tensor([[0.0, 1.0, 0.25, 0.5, 0.1, 0.9], [0.0, 1.0, 0.75, 0.3, 0.3, 0.7]])
    model.set_output_bias(images)
    bias = model.decoder[-1].bias
    mean = torch.sigmoid(bias) if likelihood == "bernoulli" else bias
    assert torch.isfinite(bias).all() and bias.requires_grad
    torch.testing.assert_close(mean[2:], torch.tensor([0.5, 0.4, 0.2, 0.8]), rtol=1e-5, atol=0)
    torch.testing.assert_close(mean[:2], torch.tensor([0.0, 1.0]), rtol=0, atol=2e-3)
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["decoder.4.bias"]


def test_output_bias_refuses_bytes_and_other_widths():
    model = VAE(**SMALL)
    with pytest.raises(ValueError, match="images: .*divide bytes by 255"):
        model.set_output_bias(torch.full((2, 6), 255.0))
    with pytest.raises(ValueError, match=r"images: expected shape \(batch, 6\), got \(2, 5\)"):
        model.set_output_bias(torch.zeros(2, 5))


def test_reparameterized_draws_have_the_moments():
    mu = torch.tensor([[0.0, -3.0], [10.0, 1.0]], dtype=torch.float64)
    log_var = torch.tensor([[0.0, 2.0], [-3.0, 1.0]], dtype=torch.float64)
    n = 100_000
    z = reparameterize(mu, log_var, n, generator())
    var = log_var.exp()
    # 5 standard errors: σ/√n for the mean, σ² √(2/n) for the variance.
    assert ((z.mean(dim=0) - mu).abs() < 5 * (var / n).sqrt()).all()
    assert ((z.var(dim=0) - var).abs() < 5 * var * math.sqrt(2 / n)).all()


def test_reparameterized_noise_is_new_in_every_sample_row_and_latent():
    zeros = torch.zeros(4, 3)
    z = reparameterize(zeros, zeros, 50_000, generator())
    columns = torch.corrcoef(z.reshape(50_000, 12).T) - torch.eye(12)
    assert columns.abs().max() < 5 / math.sqrt(50_000)  # rows and latents, 5 standard errors
    assert z.unique().numel() > 0.9 * z.numel()  # samples


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reparameterize_gradients(dtype):
    mu = torch.randn(4, 3, generator=generator(1), dtype=dtype).requires_grad_()
    log_var = torch.randn(4, 3, generator=generator(2), dtype=dtype).requires_grad_()
    z = reparameterize(mu, log_var, 2, generator())
    assert z.shape == (2, 4, 3) and z.dtype == dtype
    for sample in z:
        d_mu, d_log_var = torch.autograd.grad(sample.sum(), (mu, log_var), retain_graph=True)
        assert (d_mu == 1).all()
        half_std_eps = 0.5 * (sample - mu)
        torch.testing.assert_close(d_log_var, half_std_eps, rtol=1e-4, atol=1e-6)


def test_reparameterize_follows_its_generator():
    mu = torch.zeros(2, 3)
    first, again = (reparameterize(mu, mu, 1, generator(1)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(reparameterize(mu, mu), reparameterize(mu, mu))


def test_reparameterize_refuses_shapes_that_would_broadcast():
    mu = torch.zeros(4, 3)
    with pytest.raises(ValueError, match=r"log_var: expected shape \(4, 3\) like mu, got \(4, 1\)"):
        reparameterize(mu, torch.zeros(4, 1))


@NOT_COUNTS
def test_reparameterize_refuses_counts(count, error):
    with pytest.raises(error, match="num_samples: expected"):
        reparameterize(torch.zeros(4, 3), torch.zeros(4, 3), count)


def test_log_likelihood_names_batches_that_do_not_match():
    model = VAE(2, 8, data_dim=5)
    with pytest.raises(ValueError, match=r"z: expected a batch like that of x, \(4, 5\), got \(3, 2\)"):
        model.log_likelihood(torch.zeros(4, 5), torch.zeros(3, 2))


@pytest.mark.parametrize("method", ["encode", "reconstruct", "decode", "mean"])
def test_nan_and_another_precision_are_refused(method):
    model = VAE(5, 8, data_dim=5)
    with pytest.raises(ValueError, match="expected finite numbers, got NaN"):
        getattr(model, method)(torch.full((3, 5), torch.nan))
    with pytest.raises(
        ValueError, match="expected torch.float32 like the model's weights, got torch.float64"
    ):
        getattr(model, method)(torch.zeros(3, 5, dtype=torch.float64))


def test_pixels_that_bernoulli_does_not_know_are_refused():
    with pytest.raises(ValueError, match=r"x: expected values in \[0, 1\], got 200 to 200"):
        VAE(2, 8, data_dim=5).log_likelihood(torch.full((3, 5), 200.0), torch.zeros(3, 2))
