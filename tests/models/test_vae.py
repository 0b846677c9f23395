"""The VAE's networks and its draws against torch.distributions and moments."""

import json
import math

import numpy as np
import pytest
import torch
from support.draws import assert_mean
from support.worlds import (
    EACH_LIKELIHOOD,
    all_weights,
    approximate_posterior,
    distribution,
    generator,
    small_images,
    small_vae,
    small_x,
)
from torch import nn

from vae_helpers.models import VAE, fit, load, reparameterize, save
from vae_helpers.models.likelihoods import LIKELIHOODS

NOT_COUNTS = pytest.mark.parametrize(
    "count, error", [(0, ValueError), (-1, ValueError), (True, TypeError), (2.0, TypeError)]
)


@EACH_LIKELIHOOD
def test_leading_axes_are_kept_and_pixels_are_summed(likelihood):
    model = small_vae(likelihood, latent_dim=3)
    x, z = small_x(model, 5), torch.randn(4, 2, 5, 3, generator=generator())
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


@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_decode_gives_what_the_decoder_gives(leading):
    model, z = small_vae(), torch.randn(*leading, 5, 2, generator=generator())
    assert torch.equal(model.decode(z), model.decoder(z))


def test_encode_gives_mu_first_then_log_var():
    model = small_vae(latent_dim=3)
    model.encoder[-1].weight.data.zero_()
    model.encoder[-1].bias.data.copy_(torch.arange(6.0))
    mu, log_var = model.encode(small_images(2))
    assert mu.tolist() == [[0, 1, 2]] * 2 and log_var.tolist() == [[3, 4, 5]] * 2


@EACH_LIKELIHOOD
def test_reconstruct_decodes_the_mean_without_noise_or_graph(likelihood):
    model = small_vae(likelihood, latent_dim=3).double()
    x = small_x(model)
    expected = distribution(model, approximate_posterior(model, x).mean).mean
    result = model.reconstruct(x)
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)
    assert expected.requires_grad and not result.requires_grad


def test_sample_decodes_standard_normal_draws():
    model = VAE(2, likelihood="gaussian", data_dim=2)
    model.decoder = nn.Identity()
    num = 40_000
    draws = model.sample(num, generator())
    assert_mean(draws, 0, sees=0.05)
    assert_mean(draws**2, 1, sees=0.06)
    assert_mean(draws[:, 0] * draws[:, 1], 0, sees=0.05)


@EACH_LIKELIHOOD
def test_sample_gives_pixel_means(likelihood):
    model = small_vae(likelihood)
    z = torch.randn(4, 2, generator=generator(5))
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
    a, b, c = (VAE(3, 8, data_dim=6, generator=generator(seed)) for seed in (0, 0, 1))
    fresh, other = (VAE(3, 8, data_dim=6) for _ in range(2))
    sampled = [a.sample(3, generator(2)), a.sample(3, generator(2)), a.sample(3), a.sample(3)]
    reparameterize(torch.zeros(2, 3), torch.zeros(2, 3))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(all_weights(a), all_weights(b))
    for left, right in ((a, c), (fresh, other)):
        assert (all_weights(left) != all_weights(right)).float().mean() > 0.99
    assert torch.equal(sampled[0], sampled[1]) and not torch.equal(sampled[2], sampled[3])


def test_initial_weights_are_uniform_with_the_bound_of_pytorch():
    model = VAE(50, 300, generator=generator())
    for layer in (m for m in model.modules() if isinstance(m, nn.Linear)):
        bound = 1 / math.sqrt(layer.in_features)
        for values in (layer.weight, layer.bias):
            assert values.abs().max() <= bound
            # For uniform numbers the square has the mean b²/3 and the variance 4b⁴/45; 5 standard errors
            # see bounds that are off by 0.3 % (784 · 300 weights) to 11 % (100 biases).
            tolerance = 5 * math.sqrt(4 / 45 / values.numel())
            assert (values**2).mean().item() / bound**2 == pytest.approx(1 / 3, abs=tolerance)


@EACH_LIKELIHOOD
@pytest.mark.parametrize("d, h, n, size", [(2, 5, 1, 7), (3, 4, 2, 6), (1, 6, 4, 3)])
def test_the_networks_have_so_many_weights_and_the_likelihood_its_own(likelihood, d, h, n, size):
    model = VAE(d, h, likelihood, num_hidden=n, data_dim=size)
    encoder = (size + 1) * h + (n - 1) * (h + 1) * h + (h + 1) * 2 * d
    decoder = (d + 1) * h + (n - 1) * (h + 1) * h + (h + 1) * size
    expected = encoder + decoder + len(LIKELIHOODS[likelihood].parameters)
    assert sum(p.numel() for p in model.parameters()) == expected
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name, kind", [("gelu", nn.GELU), ("tanh", nn.Tanh), ("relu", nn.ReLU)])
def test_activation_follows_every_hidden_layer_and_no_output(name, kind):
    model = VAE(2, 5, num_hidden=3, activation=name, data_dim=4)
    for net in (model.encoder, model.decoder):
        assert [type(layer) for layer in net] == [nn.Linear, kind] * 3 + [nn.Linear]


@EACH_LIKELIHOOD
def test_config_rebuilds_the_model(likelihood):
    model = VAE(3, 7, likelihood, num_hidden=1, activation="tanh", data_dim=4)
    twin = VAE(**model.config)
    assert twin.config == model.config
    assert [p.shape for p in twin.parameters()] == [p.shape for p in model.parameters()]


@pytest.mark.parametrize("name", ["latent_dim", "hidden_dim", "num_hidden", "data_dim"])
@NOT_COUNTS
def test_sizes_below_one_or_not_whole_are_refused(name, count, error):
    with pytest.raises(error, match=f"{name}: expected .*got {count}"):
        VAE(**{"latent_dim": 3, "hidden_dim": 8, "data_dim": 6} | {name: count})


def test_an_unknown_likelihood_or_activation_is_refused_with_the_known_ones():
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
    model = small_vae(latent_dim=3)
    for shape in ((5, 4), (0, size), ()):
        with pytest.raises(ValueError) as caught:
            call(model, torch.zeros(shape))
        assert str(caught.value) == f"{name}: expected shape (batch, {size}), got {shape}"
    integers = torch.zeros(5, size, dtype=torch.uint8)
    for value, got in ((integers, "torch.uint8 tensor"), ([0.0] * size, "list")):
        with pytest.raises(TypeError, match=f"{name}: expected a floating-point tensor, got {got}"):
            call(model, value)


@EACH_LIKELIHOOD
def test_output_bias_starts_at_the_mean_image(likelihood):
    model = small_vae(likelihood)
    # Always black, always white, and in between.
    images = torch.tensor([[0.0, 1.0, 0.25, 0.5, 0.1, 0.9], [0.0, 1.0, 0.75, 0.3, 0.3, 0.7]])
    model.set_output_bias(images)
    model.decoder[-1].weight.data.zero_()  # the bias alone
    mean = distribution(model, torch.zeros(2)).mean
    assert torch.isfinite(model.decoder[-1].bias).all() and model.decoder[-1].bias.requires_grad
    torch.testing.assert_close(mean[2:], torch.tensor([0.5, 0.4, 0.2, 0.8]), rtol=1e-5, atol=0)
    torch.testing.assert_close(mean[:2], torch.tensor([0.0, 1.0]), rtol=0, atol=2e-3)


@EACH_LIKELIHOOD
def test_output_bias_alone_moves_to_the_mean_image(likelihood):
    model = small_vae(likelihood)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.set_output_bias(small_images())
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["decoder.2.bias"]


def test_output_bias_refuses_bytes_and_other_widths():
    model = small_vae()
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
    assert_mean(z, mu, sees=0.03 * var.sqrt())
    assert_mean((z - mu) ** 2, var, sees=0.04 * var)


def test_reparameterized_noise_is_new_in_every_sample_row_and_latent():
    zeros, num = torch.zeros(4, 3), 50_000
    z = reparameterize(zeros, zeros, num, generator())
    columns = torch.corrcoef(z.reshape(num, 12).T) - torch.eye(12)
    assert columns.abs().max() < 5 / math.sqrt(num)  # rows and latents: sees a correlation of 0.022
    assert z.unique().numel() > 0.9 * z.numel()  # samples


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_of_a_draw_is_one_by_mu_and_half_its_deviation_by_log_var(dtype):
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
    with pytest.raises(ValueError, match=r"z: expected a batch like that of x, \(4, 6\), got \(3, 2\)"):
        small_vae().log_likelihood(torch.zeros(4, 6), torch.zeros(3, 2))


@pytest.mark.parametrize("method", ["encode", "reconstruct", "decode", "mean"])
def test_nan_and_another_precision_are_refused(method):
    model = small_vae(latent_dim=5, data_dim=5)
    with pytest.raises(ValueError, match="expected finite numbers, got NaN"):
        getattr(model, method)(torch.full((3, 5), torch.nan))
    with pytest.raises(
        ValueError, match="expected torch.float32 like the model's weights, got torch.float64"
    ):
        getattr(model, method)(torch.zeros(3, 5, dtype=torch.float64))


# --- NumPy's numbers ----------------------------------------------------------------------------------


@pytest.fixture
def of_numpy_sizes():
    sizes = {"num_hidden": np.int64(1), "data_dim": np.int64(6)}
    return VAE(np.int64(2), np.int32(8), generator=generator(), **sizes)


def test_a_config_of_numpy_sizes_holds_numbers_of_python(of_numpy_sizes):
    numbers = [value for value in of_numpy_sizes.config.values() if not isinstance(value, str)]
    assert [type(number) for number in numbers] == [int] * 4
    assert json.loads(json.dumps(of_numpy_sizes.config)) == of_numpy_sizes.config


def test_a_model_of_numpy_sizes_trains_to_the_weights_of_python_sizes(of_numpy_sizes):
    of_python = VAE(2, 8, num_hidden=1, data_dim=6, generator=generator())
    for model in (of_numpy_sizes, of_python):
        fit(model, small_images(), 2, batch_size=10, progress=False, generator=generator(2))
    assert torch.equal(all_weights(of_numpy_sizes), all_weights(of_python))


def test_a_model_of_numpy_sizes_is_saved_and_loaded(of_numpy_sizes, tmp_path):
    save(of_numpy_sizes, tmp_path / "m")
    assert torch.equal(all_weights(load(tmp_path / "m")), all_weights(of_numpy_sizes))


@pytest.mark.parametrize("option", ["likelihood", "activation"])
def test_a_list_is_no_name(option):
    with pytest.raises(ValueError, match=f"{option}: expected one of .*, got \\['a'\\]"):
        VAE(2, **{option: ["a"]})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_samples_have_the_precision_of_the_model(dtype):
    model = small_vae().to(dtype)
    assert model.sample(4, generator(1)).dtype == dtype


def test_a_tensor_elsewhere_is_told_with_both_places():
    model, message = small_vae(), "^x: expected a tensor on cpu like the model's weights, got one on meta$"
    with pytest.raises(ValueError, match=message):
        model.encode(small_x(model).to("meta"))
