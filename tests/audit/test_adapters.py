"""The adapters on public styles of code: what they hand on, what they leave alone, what they refuse."""

import math
from types import SimpleNamespace

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from families import CASE_OF, CASES, either
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from vae_helpers.audit.adapters import keras_pair, lightning, pyro_pair, pytorch_example, pytorch_vae
from vae_helpers.checks.engine.codes import CODES

EACH = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
RIGHT = [case for case in CASES if case.right]
NEW_CODES = {"batch-sum", "batch-weight", "dropout-on", "batch-statistics"}
# Mistakes after which the number may be right all the same, or right for other networks.
BESIDE_THE_NUMBER = {"noise-shared", "not-differentiable", "dropout-on", "batch-statistics"}
DRAWS, ERRORS, ROUNDING = 20, 6, 2e-5

# One image of two pixels, with a hand-set encoder and decoder: mu = (1, 0), var = (1, 4), p = (0.8, 0.4).
X = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
MU, LOG_VAR = torch.tensor([1.0, 0.0]), torch.tensor([0.0, math.log(4.0)])
KL = 0.5 * (1 + 0 + (4 - 1 - math.log(4.0)))
CROSS_ENTROPY = -math.log(0.8) - math.log(0.6)
GAUSSIAN = math.log(2 * math.pi) + 0.5 * (0.2**2 + 0.4**2)


def encode(x):
    return MU.expand(len(x), 2), LOG_VAR.expand(len(x), 2)


def decode(z):
    return torch.tensor([0.8, 0.4]).expand(len(z), 2)


def cross_entropy(x, p):
    return -(x * torch.log(p) + (1 - x) * torch.log(1 - p))


def kl(mu, log_var):
    return -0.5 * (1 + log_var - mu**2 - log_var.exp())


class ByHand(nn.Module):
    """All the methods that an adapter may ask for."""

    def encode(self, x):
        return encode(x)

    def decode(self, z):
        return decode(z)

    def forward(self, x):
        return decode(self.encode(x)[0]), *encode(x)

    def log(self, name, value):
        raise RuntimeError("no trainer")

    log_dict = log

    def training_step(self, batch, batch_idx):
        x, y = batch
        assert y.dtype == torch.long and y.shape == (len(x),) and batch_idx == 0
        p, mu, log_var = self(x)
        loss = (cross_entropy(x, p).sum(-1) + kl(mu, log_var).sum(-1)).mean()
        self.log("first", loss + 1)
        self.log_dict({"kl": kl(mu, log_var).sum(-1).mean(), "second": 2.0}, on_epoch=True)
        return loss

    def nothing_step(self, batch, batch_idx):
        self.log(name="late", value=3.0, prog_bar=True)

    def other_step(self, batch, batch_idx):
        return {"objective": torch.tensor(0.0)}

    def raising_step(self, batch, batch_idx):
        raise ArithmeticError


def summed_loss(p, x, mu, log_var):
    return cross_entropy(x, p).sum() + kl(mu, log_var).sum()


class PyTorchVae(ByHand):
    """With a dictionary of losses."""

    def forward(self, x):
        return [decode(x), x, *encode(x)]

    def loss_function(self, recons, x, mu, log_var, M_N):
        nll = -Normal(recons, 1.0).log_prob(x).sum(-1).mean()
        return {"loss": nll + M_N * kl(mu, log_var).sum(-1).mean(), "nll": nll, "each": kl(mu, log_var)}


def a_model(prior=None, pixels=None, observed=True, latent="z"):
    def model(x):
        with pyro.plate("data", len(x)):
            p = prior or dist.Normal(0.0, 1.0).expand([2]).to_event(1)
            z = pyro.sample(latent, p)
            likelihood = pixels or dist.Bernoulli(decode(z)).to_event(1)
            pyro.sample("obs", likelihood, obs=x if observed else None)

    return model


def guide(x):
    with pyro.plate("data", len(x)):
        mu, log_var = encode(x)
        pyro.sample("z", dist.Normal(mu, torch.exp(0.5 * log_var)).to_event(1))


def drawn_gaussian(sites, law=dist.Normal):
    def guide(x):
        with pyro.plate("data", len(x)):
            for name in sites:
                pyro.sample(name, law(torch.zeros(len(x), 2), torch.ones(len(x), 2)).to_event(1))

    return guide


# --- the numbers -----------------------------------------------------------------------------------------


def test_the_sum_of_the_example_is_divided_by_the_images():
    given = pytorch_example(ByHand(), summed_loss)
    assert given["loss"](X).item() == pytest.approx(CROSS_ENTROPY + KL, rel=1e-6)
    assert given["decoder_gives"] == "probabilities"


def test_what_keras_returns_becomes_tensors():
    def as_arrays(x):
        return [np.asarray(each, dtype=np.float64) for each in (*encode(x), x)]

    given = keras_pair(as_arrays, lambda z: decode(z).numpy(), lambda x: 3.5)
    mu, log_var = given["encode"](X)
    assert torch.equal(mu, encode(X)[0]) and torch.equal(log_var, encode(X)[1]) and mu.dtype == X.dtype
    assert torch.equal(given["decode"](mu), decode(mu))
    assert given["loss"](X) == 3.5 and keras_pair(as_arrays, decode)["loss"] is None


@pytest.mark.parametrize(
    "settings, number",
    [
        ({}, CROSS_ENTROPY + KL),
        ({"logged": "first"}, CROSS_ENTROPY + KL + 1),
        ({"logged": "kl"}, KL),
        ({"logged": "second"}, 2.0),
        ({"logged": "late", "step": "nothing_step"}, 3.0),
    ],
)
def test_what_a_step_returns_or_logs(settings, number):
    assert float(lightning(ByHand(), **settings)["loss"](X)) == pytest.approx(number, rel=1e-6)


def test_encoder_and_decoder_of_a_module_may_be_given():
    given = lightning(ByHand(), encode=abs, decode=round)
    assert given["encode"] is abs and given["decode"] is round


@pytest.mark.parametrize(
    "settings, number",
    [({}, GAUSSIAN + KL), ({"M_N": 0.25}, GAUSSIAN + KL / 4), ({"key": "nll"}, GAUSSIAN)],
)
def test_an_entry_of_the_dictionary_of_losses(settings, number):
    given = pytorch_vae(PyTorchVae(), **settings)
    assert given["loss"](X).item() == pytest.approx(number, rel=1e-6)
    assert given["likelihood"] == "gaussian"


def test_pyro_gives_the_deviation_of_the_guide_and_the_pixels_of_the_model():
    given = pyro_pair(a_model(), guide)
    mu, std = given["encode"](X)
    assert torch.equal(mu, encode(X)[0]) and torch.allclose(std, torch.tensor([1.0, 2.0]).expand(3, 2))
    assert torch.allclose(given["decode"](torch.zeros(5, 2)), decode(torch.zeros(5, 2)))
    assert (given["encoder_gives"], given["decoder_gives"]) == ("std", "probabilities")


def test_the_decoder_of_pyro_is_given_z():
    def model(x):
        z = pyro.sample("z", dist.Normal(torch.zeros(len(x), 2), 1.0).to_event(2))
        pyro.sample("obs", dist.Bernoulli(logits=3 * z).to_event(2), obs=x)

    z = torch.tensor([[0.5, -1.0]])
    assert torch.allclose(pyro_pair(model, guide, (2,))["decode"](z), torch.sigmoid(3 * z))
    given = pyro_pair(model, guide, (2,), decoder_gives="logits")
    assert torch.allclose(given["decode"](z), 3 * z)


def test_pyro_averages_the_loss_of_its_images():
    """The draws of one z are averaged: log q - log p has a deviation of about 1.5 nats."""
    given = pyro_pair(a_model(), guide)
    many = X[:1].expand(20_000, 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        assert given["loss"](many) == pytest.approx(CROSS_ENTROPY + KL, abs=0.06)


def test_a_shape_lets_the_likelihood_be_read_off_the_model():
    gaussian = a_model(pixels=dist.Normal(torch.zeros(2), 0.5).to_event(1))
    given = pyro_pair(gaussian, guide, image_shape=torch.Size([2]))
    assert (given["likelihood"], given["x_std"]) == ("gaussian", 0.5) and "decoder_gives" not in given
    assert given["decode"](torch.zeros(4, 2)).shape == (4, 2)
    assert pyro_pair(a_model(), guide, (2,))["likelihood"] == "bernoulli"
    by_hand = pyro_pair(gaussian, guide, likelihood="gaussian", x_std=0.5)
    by_hand["encode"](X)
    assert torch.equal(by_hand["decode"](torch.zeros(4, 2)), torch.zeros(4, 2))


def test_further_arguments_go_first():
    for given in (
        pytorch_example(ByHand(), summed_loss, decoder_gives="logits", effort="quick"),
        keras_pair(encode, decode, decoder_gives="logits", effort="quick"),
        pyro_pair(a_model(), guide, decoder_gives="logits", effort="quick"),
        lightning(ByHand(), decoder_gives="logits", effort="quick"),
        pytorch_vae(PyTorchVae(), likelihood="bernoulli", decoder_gives="logits", effort="quick"),
    ):
        assert given["decoder_gives"] == "logits" and given["effort"] == "quick"
        assert given.get("likelihood", "bernoulli") == "bernoulli"
    assert "decoder_gives" not in pytorch_example(ByHand(), summed_loss, likelihood="gaussian")
    assert pytorch_example(object, summed_loss, encode=abs, decode=round)["decode"] is round


def test_images_are_flattened_for_a_linear_encoder_alone():
    class Convolutional(ByHand):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 1, 1), nn.Linear(2, 2)

        def encode(self, x):
            return x.shape

    class Linear(Convolutional):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(2, 2)

    class OverRows(Convolutional):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(1, 2)

    images = torch.zeros(3, 1, 1, 2)
    assert pytorch_example(OverRows(), summed_loss)["encode"](images) == (3, 1, 1, 2)
    assert pytorch_example(Convolutional(), summed_loss)["encode"](images) == (3, 1, 1, 2)
    assert pytorch_example(Linear(), summed_loss)["encode"](images) == (3, 2)


# --- what is left as it was ------------------------------------------------------------------------------


def test_log_is_put_back():
    module = ByHand()
    lightning(module, logged="kl")["loss"](X)
    assert "log" not in vars(module) and "log_dict" not in vars(module)
    own = vars(module)["log"] = lambda *given: None
    with pytest.raises(ArithmeticError):
        lightning(module, step="raising_step")["loss"](X)
    assert vars(module)["log"] is own and "log_dict" not in vars(module)


def test_the_parameters_of_pyro_are_kept():
    store, mine, theirs = pyro.get_param_store(), nn.Linear(2, 2), nn.Linear(2, 2)

    def with_module(x):
        pyro.module("theirs", theirs)
        guide(x)

    with store.scope():
        pyro.module("mine", mine)
        given = pyro_pair(a_model(), with_module, (2,))
        given["encode"](X), given["decode"](torch.zeros(1, 2)), given["loss"](X)
        assert set(store.keys()) == {"mine$$$weight", "mine$$$bias"}
        assert store["mine$$$bias"] is mine.bias


# An encoder in the style of Keras samples z whenever it is called.
WITHOUT_NOISE = [case for case in RIGHT if not case.name.startswith("keras")]


@pytest.mark.parametrize("case", WITHOUT_NOISE, ids=[case.name for case in WITHOUT_NOISE])
def test_encoding_and_decoding_draw_nothing(case):
    state, x = torch.get_rng_state(), case.images()
    given = case.make()
    mu, _ = given["encode"](x[:4])
    given["decode"](mu)
    assert torch.equal(torch.get_rng_state(), state)


# --- what is refused -------------------------------------------------------------------------------------


def loss_of(adapter, *given, **settings):
    return lambda: adapter(*given, **settings)["loss"](X)


def decoded(*given, **settings):
    def run():
        arguments = pyro_pair(*given, **settings)
        arguments["encode"](X)
        arguments["decode"](torch.zeros(3, 2))

    return run


NORMAL = dist.Normal(torch.zeros(2), torch.tensor([1.0, 2.0])).to_event(1)
REFUSED = {
    "model: expected an object with a method encode, got object": lambda: pytorch_example(
        object(), summed_loss
    ),
    "model: expected an object with a method decode, got SimpleNamespace": lambda: pytorch_example(
        SimpleNamespace(encode=encode), summed_loss
    ),
    "model: expected something to call, got SimpleNamespace": lambda: pytorch_example(
        SimpleNamespace(encode=encode, decode=decode), summed_loss
    ),
    "loss_function: expected something to call, got float": lambda: pytorch_example(ByHand(), 1.0),
    r"loss_function: expected one number, got tuple of 2": loss_of(
        pytorch_example, ByHand(), lambda *x: (1, 2)
    ),
    r"loss_function: expected one number, got a tensor of shape \(3, 2\)": loss_of(
        pytorch_example, ByHand(), lambda p, x, mu, log_var: p
    ),
    r"model: expected model\(x\) to return recon, mu and log_var, got a tensor of shape": loss_of(
        pytorch_example, nn.Identity(), summed_loss, encode=encode, decode=decode
    ),
    "encoder: expected something to call, got None": lambda: keras_pair(None, decode),
    "loss: expected something to call, got float": lambda: keras_pair(encode, decode, 1.0),
    r"encoder: expected z_mean and z_log_var, got a tensor": lambda: keras_pair(decode, decode)["encode"](X),
    "module: expected an object with a method test_step, got ByHand": lambda: lightning(
        ByHand(), step="test_step"
    ),
    "module: expected an object with a method encode, got Identity": lambda: lightning(nn.Identity()),
    "decode: expected something to call, got int": lambda: lightning(ByHand(), decode=3),
    "logged: expected the name": lambda: lightning(ByHand(), logged=3),
    "logged: expected one of 'first', 'kl', 'second', got 'loss'": loss_of(
        lightning, ByHand(), logged="loss"
    ),
    "logged: expected one of none, got 'loss'": loss_of(
        lightning, ByHand(), logged="loss", step="other_step"
    ),
    "nothing_step: expected one number, got NoneType": loss_of(lightning, ByHand(), step="nothing_step"),
    "other_step: expected one of 'objective', got 'loss'": loss_of(lightning, ByHand(), step="other_step"),
    "model: expected an object with a method loss_function": lambda: pytorch_vae(ByHand()),
    "M_N: expected a number, got 'a'": lambda: pytorch_vae(PyTorchVae(), "a"),
    "key: expected the name of an entry": lambda: pytorch_vae(PyTorchVae(), key=0),
    "key: expected one of 'loss', 'nll', 'each', got 'Loss'": loss_of(pytorch_vae, PyTorchVae(), key="Loss"),
    r"key: expected one number, got a tensor of shape \(3, 2\)": loss_of(
        pytorch_vae, PyTorchVae(), key="each"
    ),
    "guide: expected something to call, got None": lambda: pyro_pair(a_model(), None),
    "image_shape: expected a shape such as": lambda: pyro_pair(a_model(), guide, 2),
    "image_shape: expected at least 1, got 0": lambda: pyro_pair(a_model(), guide, (0, 2)),
    "image_shape: expected the shape of one image": lambda: pyro_pair(a_model(), guide)["decode"](X),
    "guide: expected one latent site, got none": decoded(a_model(), drawn_gaussian([])),
    "guide: expected one latent site, got 'z', 'y'": decoded(a_model(), drawn_gaussian("zy")),
    "guide: expected a Normal for 'z', got LogNormal": decoded(
        a_model(), drawn_gaussian("z", dist.LogNormal)
    ),
    r"model: expected the prior N\(0, I\) for 'z', got a Normal with loc 0 to 0, scale 1 to 2": decoded(
        a_model(prior=NORMAL), guide
    ),
    r"model: expected the prior N\(0, I\) for 'z', got Laplace": decoded(
        a_model(prior=dist.Laplace(torch.zeros(2), 1.0).to_event(1)), guide
    ),
    "model: expected the guide's site 'z', got none": decoded(a_model(latent="latent"), guide),
    "model: expected one site beside 'z', the observed images, got 'obs'": decoded(
        a_model(observed=False), guide
    ),
    "model: expected a Bernoulli or a Normal for the pixels, got Beta": decoded(
        a_model(pixels=dist.Beta(torch.ones(2), 1.0, validate_args=False).to_event(1)), guide
    ),
    "model: expected one constant scale for all pixels, got a Normal with loc": lambda: pyro_pair(
        a_model(pixels=NORMAL), guide, (2,)
    ),
    "likelihood: expected 'gaussian' as in the model, got 'bernoulli'; image_shape": decoded(
        a_model(pixels=dist.Normal(torch.zeros(2), 1.0).to_event(1)), guide
    ),
    "x_std: expected 0.5 as in the model, got 1.0": decoded(
        a_model(pixels=dist.Normal(torch.zeros(2), 0.5).to_event(1)), guide, likelihood="gaussian"
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_told(message):
    with pytest.raises((ValueError, TypeError), match="^" + message):
        REFUSED[message]()


# --- the families themselves -----------------------------------------------------------------------------


def negative_elbo(given, x, seed):
    """-ELBO of the images with one draw of z, by torch.distributions."""
    mu, second = given["encode"](x)[:2]
    reading = {"log_var": lambda s: (s / 2).exp(), "std": lambda s: s, "log_std": torch.exp}
    q = Normal(mu, reading[given.get("encoder_gives", "log_var")](second))
    torch.manual_seed(seed)
    output = given["decode"](mu + q.stddev * torch.randn_like(mu)).flatten(1)
    if given.get("likelihood") == "gaussian":
        p = Normal(output, given.get("x_std", 1.0))
    elif given.get("decoder_gives") == "probabilities":
        p = Bernoulli(output, validate_args=False)
    else:
        p = Bernoulli(logits=output, validate_args=False)
    return (kl_divergence(q, Normal(0.0, 1.0)).sum(-1) - p.log_prob(x.flatten(1)).sum(-1)).mean().item()


@torch.no_grad()
def off(case, size=None):
    """How far the number is from -ELBO, mostly with the same noise: mean, and what it may be off."""
    given, x, apart = case.make(), case.images()[:size], []
    with torch.random.fork_rng(devices=[]):
        for seed in range(DRAWS):
            torch.manual_seed(seed)
            number = float(given["loss"](x))
            truth = negative_elbo(given, x, seed)
            apart.append(number - truth)
    return np.mean(apart), ERRORS * np.std(apart) / math.sqrt(DRAWS) + ROUNDING * abs(truth)


@EACH
def test_a_right_number_is_the_elbo_and_a_wrong_one_is_not(case):
    if case.make()["loss"] is None:
        return
    apart, error = off(case)
    if case.right:
        few, error_of_few = off(case, 24)
        assert abs(apart) < error and abs(few) < error_of_few
    elif not any(diagnosis & BESIDE_THE_NUMBER for diagnosis in case.codes):
        assert abs(apart) > error


@EACH
def test_z_carries_a_gradient_unless_that_is_the_mistake(case):
    given, x, z = case.make(), case.images()[:8], []
    if case.name.startswith("pyro") or given["loss"] is None:
        return  # Trace_ELBO's loss is a plain number
    shape = given["encode"](x)[0].shape

    def note(module, inputs):
        z.extend(each for each in inputs if each.shape == shape)

    hook = nn.modules.module.register_module_forward_pre_hook(note)
    try:
        with torch.random.fork_rng(devices=[]):
            given["loss"](x)
    finally:
        hook.remove()
    mistaken = case.codes == either("not-differentiable")
    assert z and all(each.requires_grad is not mistaken for each in z)


@EACH
def test_making_a_case_leaves_the_global_random_state(case):
    state = torch.get_rng_state()
    case.make(), case.images()
    assert torch.equal(torch.get_rng_state(), state)


def test_the_families_are_many_and_speak_of_known_codes():
    assert len(CASE_OF) == len(CASES) and len(RIGHT) >= 20 and len(CASES) - len(RIGHT) >= 100
    told = {code for case in CASES for diagnosis in case.codes for code in diagnosis}
    assert told <= CODES.keys() | NEW_CODES
    for case in CASES:
        x = case.images()
        assert x.dtype == torch.float32 and len(x) > 64 and x.abs().max() <= 1
        assert all(case.codes)  # no empty diagnosis
