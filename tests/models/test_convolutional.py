"""The convolutional decoder against loops in NumPy, and a VAE that has one in all that is done with a VAE."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import special
from support.worlds import (
    EACH_LIKELIHOOD,
    all_weights,
    distribution,
    generator,
    integrals,
    small_images,
    small_vae,
    small_x,
)
from torch import nn
from torch.func import functional_call

from vae_helpers.audit import audit, course_vae
from vae_helpers.models import VAE, active_units, elbo, fit, gaps, importance_bounds, load, quadrature, save

SIDE = 8
PIXELS = SIDE**2
conv_vae = partial(small_vae, decoder="convolutional", data_dim=PIXELS)
ACTIVATIONS = {
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "gelu": lambda a: a * (1 + special.erf(a / math.sqrt(2))) / 2,
}


# --- What it computes ---------------------------------------------------------------------------------


def doubled(maps, kernel, bias):
    """A transposed convolution: each number adds its picture of 4 × 4 to a map of twice the side.

    Args:
        maps: (in, side, side).
        kernel: (in, out, 4, 4).
        bias: (out,).
    """
    side = maps.shape[-1]
    padded = np.zeros((kernel.shape[1], 2 * side + 2, 2 * side + 2))
    for row in range(side):
        for column in range(side):
            picture = np.einsum("i,ioab->oab", maps[:, row, column], kernel)
            padded[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += picture
    return padded[:, 1:-1, 1:-1] + bias[:, None, None]  # the rim, on which half a picture falls, goes


def by_loops(model, z):
    """The decoder's output for one z, from its weights."""
    weight = {name: value.detach().numpy() for name, value in model.decoder.state_dict().items()}
    activation = ACTIVATIONS[model.config["activation"]]
    maps = activation(weight["0.weight"] @ z + weight["0.bias"])
    maps = maps.reshape(64, *[math.isqrt(model.data_dim) // 4] * 2)
    maps = activation(doubled(maps, weight["3.weight"], weight["3.bias"]))
    return doubled(maps, weight["5.weight"], np.zeros(1)).ravel() + weight["7.bias"]


@pytest.mark.parametrize("side", [4, 8, 28])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_the_decoder_gives_what_loops_give(side, activation):
    model = conv_vae(latent_dim=3, data_dim=side**2, activation=activation).double()
    model.set_output_bias(small_images(data_dim=side**2).double())
    z = torch.randn(2, 3, generator=generator(), dtype=torch.float64)
    expected = [by_loops(model, row) for row in z.numpy()]
    np.testing.assert_allclose(model.decode(z).detach(), expected, rtol=1e-12, atol=1e-12)


@EACH_LIKELIHOOD
def test_leading_axes_are_kept_and_pixels_are_summed(likelihood):
    model = conv_vae(likelihood, latent_dim=3)
    x, z = small_x(model, 5), torch.randn(4, 2, 5, 3, generator=generator())
    assert model.decode(z).shape == model.mean(z).shape == (4, 2, 5, PIXELS)
    assert model.log_likelihood(x, z).shape == (4, 2, 5)
    assert model.sample(7).shape == (7, PIXELS) and model.reconstruct(x).shape == (5, PIXELS)
    assert model.pairwise_log_likelihood(x, z[0, 0]).shape == (5, 5)


def test_each_z_is_decoded_by_itself_whatever_the_axes():
    model, z = conv_vae(latent_dim=3).double(), torch.randn(4, 2, 3, generator=generator()).double()
    decoded = model.decode(z)
    assert torch.equal(decoded, model.decoder(z))
    torch.testing.assert_close(decoded[2, 1], model.decode(z[2, 1]), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(decoded[:, 1], model.decode(z[:, 1]), rtol=1e-12, atol=1e-12)


@EACH_LIKELIHOOD
def test_log_likelihoods_are_those_of_the_distribution(likelihood):
    model = conv_vae(likelihood).double()
    x, z = small_x(model, 3), torch.randn(5, 2, generator=generator()).double()
    expected = distribution(model, z[:, None]).log_prob(x).sum(dim=-1)
    torch.testing.assert_close(model.pairwise_log_likelihood(x, z), expected, rtol=1e-10, atol=1e-9)
    torch.testing.assert_close(model.log_likelihood(x, z[:, None]), expected, rtol=1e-10, atol=1e-9)


def test_the_gradient_by_z_is_that_of_differences():
    model = conv_vae(latent_dim=3, activation="tanh", data_dim=16).double()
    z = torch.randn(2, 3, generator=generator()).double().requires_grad_()
    assert torch.autograd.gradcheck(model.decode, z)


def test_the_gradient_of_the_loss_by_each_weight_is_that_of_differences():
    model = conv_vae(data_dim=16).double()
    x = small_x(model)
    weights = dict(model.named_parameters())
    direction = {name: torch.randn(w.shape, generator=generator()).double() for name, w in weights.items()}

    def loss(step, name):
        moved = weights | {name: weights[name] + step * direction[name]}
        call = functional_call(_Elbo(model), {f"model.{n}": value for n, value in moved.items()}, (x,))
        return -call.mean()

    for name, weight in weights.items():
        (gradient,) = torch.autograd.grad(loss(0.0, name), weight)
        with torch.no_grad():
            slope = (loss(1e-5, name) - loss(-1e-5, name)) / 2e-5
        assert (gradient * direction[name]).sum().item() == pytest.approx(slope.item(), rel=1e-6, abs=1e-8)
        assert gradient.abs().max() > 1e-6, name


class _Elbo(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return elbo(self.model, x, generator=generator(4)).elbo


# --- How it is made, and what is refused --------------------------------------------------------------


@EACH_LIKELIHOOD
@pytest.mark.parametrize("latent_dim, side", [(2, 4), (50, 28)])
def test_it_has_so_many_weights(likelihood, latent_dim, side):
    model = VAE(latent_dim, 5, likelihood, decoder="convolutional", data_dim=side**2)
    linear = (latent_dim + 1) * 64 * (side // 4) ** 2
    expected = linear + 64 * 32 * 16 + 32 + 32 * 16 + side**2
    assert sum(p.numel() for p in model.decoder.parameters()) == expected
    assert all(p.requires_grad for p in model.parameters())


def test_an_mnist_model_is_smaller_than_its_connected_twin():
    sizes = [sum(p.numel() for p in VAE(50, decoder=d).parameters()) for d in ("convolutional", "connected")]
    assert sizes[0] < sizes[1]


def test_the_encoder_and_its_initial_weights_are_those_of_the_connected_twin():
    one, other = (
        VAE(3, 8, data_dim=64, decoder=d, generator=generator()) for d in ("convolutional", "connected")
    )
    assert torch.equal(all_weights(one.encoder), all_weights(other.encoder))


def test_initial_weights_are_uniform_with_a_bound_by_what_meets_in_a_number():
    """A number of the larger map is a sum over the maps and over 2 × 2 places; see the weights of ones."""
    model = VAE(50, decoder="convolutional", generator=generator())
    for place, maps in ((3, 64), (5, 32)):
        layer = model.decoder[place]
        with torch.no_grad():
            ones = nn.functional.conv_transpose2d(
                torch.ones(1, maps, 7, 7), torch.ones_like(layer.weight), stride=2, padding=1
            )
        fan_in = ones[0, 0, 7, 7].item()
        bound = 1 / math.sqrt(fan_in)
        for values in layer.parameters():
            assert values.abs().max() <= bound
            # 5 standard errors of the mean square, as for the connected layers
            tolerance = 5 * math.sqrt(4 / 45 / values.numel())
            assert (values**2).mean().item() / bound**2 == pytest.approx(1 / 3, abs=tolerance)
    assert not model.decoder[-1].bias.any()


def test_randomness_comes_from_the_generator_alone():
    torch.manual_seed(4)
    state = torch.get_rng_state()
    a, b, c = (VAE(3, 8, data_dim=16, decoder="convolutional", generator=generator(s)) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(all_weights(a), all_weights(b)) and not torch.equal(all_weights(a), all_weights(c))


@pytest.mark.parametrize("data_dim", [1, 4, 6, 36, 50, 783, 785, 27 * 27, 30 * 30])
def test_images_that_are_no_square_of_fours_are_refused(data_dim):
    with pytest.raises(
        ValueError, match=f"^data_dim: expected a square whose side is .* 4 .*, got {data_dim}$"
    ):
        VAE(2, decoder="convolutional", data_dim=data_dim)


@pytest.mark.parametrize("decoder", ["conv", "", None, ["connected"], 3])
def test_an_unknown_decoder_is_refused_with_the_known_ones(decoder):
    with pytest.raises(ValueError, match=r"^decoder: expected one of \('connected', 'convolutional'\), got "):
        VAE(2, decoder=decoder)


# --- Files --------------------------------------------------------------------------------------------


@EACH_LIKELIHOOD
def test_config_rebuilds_the_model_and_files_keep_it(likelihood, tmp_path):
    model = conv_vae(likelihood, activation="tanh")
    twin = VAE(**model.config)
    assert twin.config == model.config and model.config["decoder"] == "convolutional"
    assert [p.shape for p in twin.parameters()] == [p.shape for p in model.parameters()]
    save(model, tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert loaded.config == model.config and torch.equal(all_weights(loaded), all_weights(model))


def test_a_connected_model_is_written_as_before_there_was_a_choice():
    before = {"latent_dim", "hidden_dim", "num_hidden", "data_dim", "likelihood", "activation"}
    assert set(VAE(2, decoder="connected").config) == before
    assert [type(layer) for layer in VAE(**VAE(2).config).decoder] == [nn.Linear, nn.GELU] * 2 + [nn.Linear]


# --- Training and evaluation --------------------------------------------------------------------------


@EACH_LIKELIHOOD
def test_output_bias_alone_moves_to_the_mean_image(likelihood):
    model, images = conv_vae(likelihood), small_images(data_dim=PIXELS)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.set_output_bias(images)
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["decoder.7.bias"]
    with torch.no_grad():
        model.decoder[5].weight.zero_()  # the bias alone
    mean = distribution(model, torch.zeros(2)).mean
    torch.testing.assert_close(mean, images.mean(dim=0), rtol=1e-5, atol=1e-6)


def squares(num=400, seed=1):
    """Images of a bright square of 4 × 4 somewhere on a dark ground."""
    places = torch.randint(SIDE - 3, (num, 2), generator=generator(seed))
    images = torch.full((num, SIDE, SIDE), 0.05)
    for image, (row, column) in zip(images, places.tolist(), strict=True):
        image[row : row + 4, column : column + 4] = 0.95
    return images.reshape(num, PIXELS)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=["32", "16"])
@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_training_learns(optimizer, precision):
    model = VAE(6, 32, decoder="convolutional", data_dim=PIXELS, generator=generator())
    options = {
        "batch_size": 20,
        "learning_rate": 0.02,
        "optimizer": optimizer,
        "precision": precision,
        "progress": False,
    }
    history = fit(model, squares(), 6, warmup=0.0, generator=generator(2), **options)
    mean = squares().mean(dim=0)
    blind = torch.distributions.Bernoulli(mean).entropy().sum().item()  # nats without z: 34.1
    assert history.train[-1] < blind - 8  # 21.5 by Adam, 22.9 by Muon; the pixels' own noise has 12.7
    assert next(model.parameters()).dtype == torch.float32


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path):
    def trained(**options):
        model = VAE(2, 8, decoder="convolutional", data_dim=PIXELS, generator=generator())
        fit(model, squares(40), 3, batch_size=20, progress=False, generator=generator(2), **options)
        return all_weights(model)

    def interrupt(step, *_):
        if step == 3:
            raise KeyboardInterrupt

    expected = trained()
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint=tmp_path / "c", on_step=interrupt)
    assert (tmp_path / "c").exists()
    assert torch.equal(trained(checkpoint=tmp_path / "c"), expected)


def test_quadrature_and_bounds_are_those_of_gauss():
    model = conv_vae(latent_dim=1, data_dim=16).double()
    x = small_x(model, 3)
    exact, evidence = integrals(model, x)
    torch.testing.assert_close(quadrature(model, x, 200).log_evidence, evidence, rtol=0, atol=1e-6)
    split = gaps(model, x, steps=20)
    torch.testing.assert_close(split.elbo, exact, rtol=0, atol=1e-3)
    assert (split.best_elbo <= evidence + 1e-6).all()
    (bound,) = importance_bounds(model, x, [2000], generator()).values()
    torch.testing.assert_close(bound, evidence, rtol=0, atol=0.2)


def test_active_units_are_counted():
    assert active_units(conv_vae(latent_dim=5), squares(50)).shape == (5,)


def test_the_audit_finds_no_mistake_in_its_elbo():
    model = conv_vae(data_dim=16).eval()
    x = model.observation.observe(small_images(60, 16), generator())
    seeded = generator(3)
    number = lambda x: -elbo(model, x, generator=seeded).elbo.mean()  # noqa: E731
    report = audit(**course_vae(model, loss=number), images=x, effort="quick", progress=False)
    assert not report.mistakes, report
