"""VAEs in the style of five public sources, right and wrong ones, and what is true about the number of each.

The code follows pytorch/examples, the Keras example, Pyro's VAE, Lightning Bolts and PyTorch-VAE on small
networks. Nothing here knows how `audit` works: a case says which diagnoses an expert would call true.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from vae_helpers.audit.adapters import keras_pair, lightning, pyro_pair, pytorch_example, pytorch_vae

SIDE, LATENTS, IMAGES = 12, 5, 96
PIXELS = SIDE * SIDE
Codes = frozenset[frozenset[str]]


class Case(NamedTuple):
    """A VAE with the number that it logs.

    Attributes:
        name: its source, and what was done.
        make: returns the arguments of `audit` but for images.
        codes: sets of codes, each of which is a true diagnosis; empty for a right one.
        images: returns what the encoder takes, shape (n, ...), float32.
    """

    name: str
    make: Callable[[], dict[str, Any]]
    codes: Codes
    images: Callable[[], Tensor]

    @property
    def right(self) -> bool:
        """Whether the number is -ELBO, with its gradient, of each image by itself."""
        return not self.codes


CASES: list[Case] = []


def add(name: str, codes: Codes | str, make: Callable[[], dict], images: Callable[[], Tensor]) -> None:
    """Adds a case; codes in a string stand for that one diagnosis."""
    assert all(case.name != name for case in CASES), name
    CASES.append(Case(name, make, either(codes) if isinstance(codes, str) else codes, images))


def either(*diagnoses: str) -> Codes:
    """Each string is a true diagnosis, its codes separated by spaces; an empty one says nothing is wrong."""
    return frozenset(frozenset(each.split()) for each in diagnoses if each)


def some(needed: str, also: str) -> Codes:
    """Diagnoses with one at least of the first codes, and any others of both strings."""
    every = sorted({*needed.split(), *also.split()})
    chosen = itertools.chain.from_iterable(itertools.combinations(every, n) for n in range(1, len(every) + 1))
    return frozenset(frozenset(each) for each in chosen if set(each) & set(needed.split()))


def together(first: Codes, second: Codes) -> Codes:
    """Diagnoses of two mistakes in one number."""
    return frozenset(a | b for a, b in itertools.product(first, second))


# A part with a weight that is not 1; a small weight cannot be told from none at all.
WEIGHT = either("term-scale")
TINY = either("term-missing")
TINY_WEIGHT = WEIGHT | TINY
# Minus the KL in the loss.
MINUS_KL = either("kl-added", "term-sign")
# A mean of squares over the pixels where the likelihood is N(mean, 1): no half, no constant, no sum.
MEAN_SQUARE = some("mean-pixels squared-error term-scale", "half constant scale")
# A sum of squares in the same place.
SUM_SQUARE = some("half term-scale squared-error", "constant")
# One part is summed over the batch, the other one averaged.
SUMMED = either("batch-sum", "batch-weight", "batch-sum batch-weight")
# Another function of the right things.
OTHER = either("unknown", "term-wrong")
OTHER_NOISE = either("noise-not-normal", "unknown")


# --- images ------------------------------------------------------------------------------------------------


@cache
def _grey() -> np.ndarray:
    """Bars and blobs in [0, 1], shape (n, side, side)."""
    rng = np.random.default_rng(12)
    at = np.arange(SIDE)
    images = []
    for _ in range(IMAGES):
        picture = np.zeros((SIDE, SIDE))
        for _ in range(rng.integers(1, 4)):
            place, width, height = (
                rng.uniform(1, SIDE - 2, size=2),
                rng.uniform(0.7, 2.5),
                rng.uniform(0.6, 1),
            )
            y, x = (np.exp(-0.5 * ((at - each) / width) ** 2) for each in place)
            shape = [np.outer(y, x), np.outer(y, np.ones(SIDE)), np.outer(np.ones(SIDE), x)][rng.integers(3)]
            picture = np.maximum(picture, height * shape)
        images.append(np.clip(picture + 0.03 * rng.normal(size=picture.shape), 0, 1))
    return np.stack(images).astype(np.float32)


def grey(*shape: int) -> Tensor:
    """Images in [0, 1], each of this shape."""
    return torch.from_numpy(_grey().copy()).reshape(IMAGES, *(shape or (PIXELS,)))


def binary(*shape: int) -> Tensor:
    """Images of zeros and ones, each of this shape."""
    return (grey(*shape) > 0.4).float()


def signed(*shape: int) -> Tensor:
    """Images in [-1, 1], each of this shape."""
    return 2 * grey(*shape) - 1


def coloured() -> Tensor:
    """Images of zeros and ones with three channels, the last axis as in Keras."""
    one = binary(SIDE, SIDE)
    return torch.stack([one, one.flip(0), one.flip(1)], dim=-1)


# --- networks that use their latents ---------------------------------------------------------------------


def seeded(make: Callable[[], Any], seed: int = 4) -> Any:
    """What make() gives with this seed; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


@torch.no_grad()
def settle(model: nn.Module, encode: Callable, decode: Callable, x: Tensor) -> None:
    """Lets batch norms see images and draws from the prior, then puts the model into evaluation mode."""
    z = torch.from_numpy(np.random.default_rng(2).normal(size=(200, LATENTS)).astype(np.float32))
    model.eval()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.train().momentum = None  # what it sees once counts in full
            encode(x)
            decode(z)
            norm.eval().momentum = 0.1


@torch.no_grad()
@torch.random.fork_rng(devices=[])
def enliven(encode: Callable, decode: Callable, layers: tuple, x: Tensor, spread: float = 2.0) -> None:
    """Sets the last layers so that q is far from N(0, I) and depends on the image, as after training.

    Args:
        encode: encode(x) -> what the first two layers give.
        decode: decode(z); what comes before its output's nonlinearity is what the third layer gives.
        layers: the last layers of mu, of the log-variance, and of the decoder.
        x: images.
        spread: standard deviation of what the third layer gives; its mean is -0.5 spread, as most pixels
            are dark.
    """
    given: dict[nn.Module, Tensor] = {}
    hooks = [layer.register_forward_hook(lambda m, _, out: given.update({m: out})) for layer in layers]
    encode(x)
    for layer, mean, std in ((layers[0], 0.0, 1.2), (layers[1], -2.0, 0.5)):
        out = given[layer]
        factor = std / out.std(dim=0)
        shift = mean + torch.linspace(-0.5, 0.5, len(factor)) * (mean != 0)
        layer.weight *= factor[:, None]
        layer.bias.copy_((layer.bias - out.mean(dim=0)) * factor + shift)
    z = torch.from_numpy(np.random.default_rng(3).normal(size=(200, out.shape[1])).astype(np.float32))
    decode(z)
    out = given[layers[2]]
    layers[2].weight *= spread / out.std()
    layers[2].bias.fill_(-0.5 * spread)
    for hook in hooks:
        hook.remove()


# --- pytorch/examples --------------------------------------------------------------------------------------


def draw(mu, logvar):
    """z of the example."""
    std = torch.exp(0.5 * logvar)
    eps = torch.randn_like(std)
    return mu + eps * std


class Example(nn.Module):
    """The class of pytorch/examples; `sample` stands for its method reparameterize."""

    def __init__(
        self, sample=draw, latents=LATENTS, pixels=PIXELS, dropout=0.0, norm=False, squash=torch.sigmoid
    ):
        super().__init__()
        self.fc1 = nn.Linear(pixels, 64)
        self.fc21 = nn.Linear(64, latents)
        self.fc22 = nn.Linear(64, latents)
        self.fc3 = nn.Linear(latents, 64)
        self.fc4 = nn.Linear(64, pixels)
        self.between = nn.BatchNorm1d(64) if norm else nn.Dropout(dropout)
        self.pixels, self.sample, self.squash = pixels, sample, squash

    def encode(self, x):
        h1 = self.between(F.relu(self.fc1(x)))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        return self.sample(mu, logvar)

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return self.squash(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, self.pixels))
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


def kld(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def bce(recon, x):
    return F.binary_cross_entropy(recon, x.view(len(x), -1), reduction="sum")


def example_loss(recon, x, mu, logvar):
    return bce(recon, x) + kld(mu, logvar)


def an_example(loss=example_loss, training=False, images=binary, more=(), kind=None, **settings):
    """Arguments for a model of the example with this loss."""
    model, flat = seeded(lambda: (kind or Example)(**settings)), images().flatten(1)
    if settings.get("norm"):
        settle(model, model.encode, model.decode, flat)
    model.eval()
    enliven(model.encode, model.decode, (model.fc21, model.fc22, model.fc4), flat)
    return pytorch_example(model.train(training), loss, **dict(more))


def example(name, codes, loss=example_loss, images=binary, **settings):
    add(f"example: {name}", codes, partial(an_example, loss, images=images, **settings), images)


example("right", "")
example("right, grey pixels", "", images=grey)
example("right, images with channels", "", images=lambda: binary(1, SIDE, SIDE))
example("right, its dropout is off", "", dropout=0.3)
example("right, its batch norm is off", "", norm=True)
example("right, two latents", "", latents=2)


def mean_times_size(recon, x, mu, logvar):
    return F.binary_cross_entropy(recon, x) * x.numel() + kld(mu, logvar)


def with_logits(logits, x, mu, logvar):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + kld(mu, logvar)


def by_distributions(recon, x, mu, logvar):
    q = Normal(mu, logvar.div(2).exp())
    return -Bernoulli(recon).log_prob(x).sum() + kl_divergence(q, Normal(0.0, 1.0)).sum()


example("right, a mean times its size", "", mean_times_size)
example("right, by torch.distributions", "", by_distributions)
example("right, logits", "", with_logits, squash=nn.Identity(), more={"decoder_gives": "logits"})

NUMPY = np.random.default_rng(8)


def numpy_noise(mu, logvar):
    eps = torch.from_numpy(NUMPY.normal(size=tuple(mu.shape))).float()
    return mu + torch.exp(logvar / 2) * eps


example("right, noise from NumPy", "", sample=numpy_noise)


def draw_log_std(mu, log_std):
    return mu + torch.exp(log_std) * torch.randn_like(mu)


def log_std_loss(recon, x, mu, log_std):
    kl = torch.sum(0.5 * (mu.pow(2) + torch.exp(2 * log_std) - 1) - log_std)
    return bce(recon, x) + kl


LOG_STD = {"encoder_gives": "log_std"}
example("right, log_std", "", log_std_loss, sample=draw_log_std, more=LOG_STD)

# The weight of the KL.


def weighted(weight):
    """A loss whose KL has this weight, a number or a function of the images."""

    def loss(recon, x, mu, logvar):
        return bce(recon, x) + (weight(x) if callable(weight) else weight) * kld(mu, logvar)

    return loss


example("KL by the batch's share of the data", "batch-weight", weighted(lambda x: x.shape[0] / 1000))
example("KL over the batch's size", some("batch-weight", "term-scale"), weighted(lambda x: 1 / len(x)))
example(
    "KL /= batch * pixels",
    some("batch-weight", "term-scale") | TINY,
    weighted(lambda x: 1 / (x.shape[0] * PIXELS)),
)
example("kld_weight 0.00025", TINY_WEIGHT, weighted(0.00025))
example("KL still annealed", WEIGHT, weighted(0.1))
example("beta 4", WEIGHT, weighted(4.0))
example("KL times pixels", WEIGHT, weighted(784.0))
example("KL over pixels", TINY_WEIGHT, weighted(1 / PIXELS))
example("KL missing", "term-missing", weighted(0.0))
example("KL with the other sign", MINUS_KL, weighted(-1.0))
example("the half of the KL is lost", either("half", "term-scale"), weighted(2.0))

# The reductions. The sum that the loss is taken for is divided by the number of images afterwards.


def mean_pixels(recon, x, mu, logvar):
    return F.binary_cross_entropy(recon, x, reduction="none").mean(dim=1).sum() + kld(mu, logvar)


def mean_latents(recon, x, mu, logvar):
    kl = -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)
    return bce(recon, x) + kl.sum()


def mean_both(recon, x, mu, logvar):
    kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp())
    return len(x) * (F.binary_cross_entropy(recon, x) + kl.mean())


def mean_everything(recon, x, mu, logvar):
    return F.binary_cross_entropy(recon, x) + kld(mu, logvar)


def mean_kl(recon, x, mu, logvar):
    return bce(recon, x) - 0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())


def per_pixel(recon, x, mu, logvar):
    return example_loss(recon, x, mu, logvar) / PIXELS


def averaged_already(recon, x, mu, logvar):
    return example_loss(recon, x, mu, logvar) / x.size(0)


def averaged_then_times_square(recon, x, mu, logvar):
    return example_loss(recon, x, mu, logvar) * x.size(0)


def old_example(recon, x, mu, logvar, batch_size=128):
    return F.binary_cross_entropy(recon, x) + kld(mu, logvar) / (batch_size * PIXELS)


example("mean over pixels", "mean-pixels", mean_pixels)
example("mean over latents", "mean-latent", mean_latents)
example("mean over pixels and latents", "mean-pixels mean-latent", mean_both)
example(
    "cross-entropy's default mean",
    some("batch-weight", "mean-pixels term-scale"),
    mean_everything,
)
example("torch.mean of the KL", some("batch-weight", "mean-latent term-scale") | TINY, mean_kl)
example("all of it per pixel", "scale", per_pixel)
example("averaged twice over the batch", some("batch-weight", "scale"), averaged_already)
example("the sum of the batch", "batch-sum", averaged_then_times_square)
example("of 2016", some("batch-weight", "mean-pixels term-scale scale"), old_example)

# The reconstruction.


def default_mse(recon, x, mu, logvar):
    return F.mse_loss(recon, x) * len(x) + kld(mu, logvar)


def summed_squares(recon, x, mu, logvar):
    return F.mse_loss(recon, x, reduction="sum") + kld(mu, logvar)


def half_squares(recon, x, mu, logvar):
    return 0.5 * F.mse_loss(recon, x, reduction="sum") + kld(mu, logvar)


def logits_of_probabilities(recon, x, mu, logvar):
    return F.binary_cross_entropy_with_logits(recon, x, reduction="sum") + kld(mu, logvar)


def exchanged(recon, x, mu, logvar):
    return F.binary_cross_entropy(x, recon, reduction="sum") + kld(mu, logvar)


def inverted(recon, x, mu, logvar):
    return bce(recon, 1 - x) + kld(mu, logvar)


def one_side(recon, x, mu, logvar):
    return -(x * torch.log(recon + 1e-8)).sum() + kld(mu, logvar)


example("mse_loss of sigmoids", some("squared-error", "mean-pixels"), default_mse)
example("summed squares of sigmoids", "squared-error", summed_squares)
example("half the summed squares of sigmoids", "squared-error", half_squares, images=grey)
example("logits expected, sigmoids given", "probabilities-not-logits", logits_of_probabilities)
example(
    "probabilities read as logits",
    "probabilities-not-logits",
    lambda recon, x, mu, logvar: with_logits(recon.sigmoid(), x, mu, logvar),
    squash=nn.Identity(),
    more={"decoder_gives": "logits"},
)
example("cross-entropy's arguments exchanged", either("swapped", *"unknown term-wrong".split()), exchanged)
example("x and 1 - x exchanged", either("targets-flipped", "term-wrong", "unknown"), inverted)
example("only the pixels with ink", either("term-wrong", "unknown", "term-missing"), one_side)

# The KL.


def kl_is(kl):
    return lambda recon, x, mu, logvar: bce(recon, x) + kl(mu, logvar)


example("KL without its 1", "constant", kl_is(lambda mu, lv: -0.5 * torch.sum(lv - mu.pow(2) - lv.exp())))
example("KL with mu, not mu^2", OTHER, kl_is(lambda mu, lv: -0.5 * torch.sum(1 + lv - mu - lv.exp())))
example(
    "KL without mu^2",
    either("term-wrong", "unknown", "term-missing"),
    kl_is(lambda mu, lv: -0.5 * torch.sum(1 + lv - lv.exp())),
)
example(
    "KL with the standard deviation",
    either("std-for-var"),
    kl_is(lambda mu, lv: -0.5 * torch.sum(1 + lv - mu.pow(2) - torch.exp(0.5 * lv))),
)
example(
    "KL reads log_std as log_var",
    either("log-std", "log-std std-for-var"),
    sample=draw_log_std,
    more=LOG_STD,
)
example(
    "log_std, told as log_var",
    some("log-std", "var-for-std") | either("var-for-std term-wrong", "var-for-std unknown"),
    log_std_loss,
    sample=draw_log_std,
    latents=10,
)
example(
    "free bits, two nats for each latent",
    OTHER,
    kl_is(lambda mu, lv: (-0.5 * (1 + lv - mu.pow(2) - lv.exp())).clamp(min=2.0).sum()),
)
example(
    "capacity of 25 nats",
    OTHER | either("kl-added constant", "term-sign constant"),
    kl_is(lambda mu, lv: (kld(mu, lv) / len(mu) - 25).abs() * len(mu)),
)

# The draw.


def normal_sample(mu, logvar):
    return Normal(mu, logvar.mul(0.5).exp()).sample()


def by_numpy(mu, logvar):
    mean, std = mu.detach().numpy(), np.exp(0.5 * logvar.detach().numpy())
    return torch.from_numpy(NUMPY.normal(mean, std)).float()


def shared_over_the_batch(mu, logvar):
    return mu + torch.exp(0.5 * logvar) * torch.randn(mu.shape[1])


def shared_over_the_latents(mu, logvar):
    return mu + torch.exp(0.5 * logvar) * torch.randn(len(mu), 1)


def shared_by_numpy(mu, logvar):
    return mu + torch.exp(0.5 * logvar) * torch.from_numpy(NUMPY.normal(size=mu.shape[1])).float()


example("the mean is decoded", "noise-missing", sample=lambda mu, logvar: mu)
example(
    "std is exp(logvar)",
    either("var-for-std", "log-std"),
    sample=lambda mu, lv: mu + lv.exp() * torch.randn_like(mu),
)
example(
    "logvar is taken for std",
    either("swapped", "log-std", "std-missing", "unknown", "term-wrong"),
    sample=lambda mu, lv: mu + lv * torch.randn_like(mu),
)
example("noise without std", "std-missing", sample=lambda mu, lv: mu + torch.randn_like(mu))
example("uniform noise", OTHER_NOISE, sample=lambda mu, lv: mu + (0.5 * lv).exp() * torch.rand_like(mu))
example("one noise for the batch", "noise-shared", sample=shared_over_the_batch)
example("one number for all latents", "noise-shared", sample=shared_over_the_latents)
example("one noise for the batch, from NumPy", "noise-shared", sample=shared_by_numpy)
example("z is detached", "not-differentiable", sample=lambda mu, lv: draw(mu, lv).detach())
example("sample, not rsample", "not-differentiable", sample=normal_sample)
example("z drawn by NumPy", "not-differentiable", sample=by_numpy)

# The modes, and the whole.
example("dropout left on", "dropout-on", dropout=0.3, training=True)
example("batch norm left on", "batch-statistics", norm=True, training=True)
example("the ELBO itself", "sign", lambda *given: -example_loss(*given))


class Dropping(Example):
    """Drops in every mode: the functional form without its argument `training`."""

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.dropout(F.relu(self.fc3(z)), 0.3)))


class MeanInEvaluation(Example):
    """As an old version of the example: the mean in evaluation mode."""

    def reparameterize(self, mu, logvar):
        return draw(mu, logvar) if self.training else mu


example("F.dropout in the decoder", "dropout-on", kind=Dropping)
example("the mean in evaluation mode", "noise-missing", kind=MeanInEvaluation)


# --- Keras -------------------------------------------------------------------------------------------------


def binary_crossentropy(data, reconstruction, from_logits=False):
    """Keras's loss of this name: averaged over the last axis, probabilities clipped at 1e-7."""
    if from_logits:
        each = F.binary_cross_entropy_with_logits(reconstruction, data, reduction="none")
    else:
        p = reconstruction.clip(1e-7, 1 - 1e-7)
        each = -(data * torch.log(p) + (1 - data) * torch.log(1 - p))
    return each.mean(dim=-1)


def sampling(z_mean, z_log_var):
    """The call of the Keras example's sampling layer."""
    epsilon = torch.randn(z_mean.shape)
    return z_mean + torch.exp(0.5 * z_log_var) * epsilon


class KerasEncoder(nn.Module):
    """Dense layers on images whose last axis are channels; gives z_mean, z_log_var and z."""

    def __init__(self, size, call=sampling, dropout=0.0):
        super().__init__()
        self.dense = nn.Sequential(nn.Flatten(), nn.Linear(size, 48), nn.ReLU(), nn.Dropout(dropout))
        self.z_mean, self.z_log_var, self.call = nn.Linear(48, LATENTS), nn.Linear(48, LATENTS), call

    def forward(self, x):
        x = self.dense(x)
        z_mean, z_log_var = self.z_mean(x), self.z_log_var(x)
        return [z_mean, z_log_var, self.call(z_mean, z_log_var)]


class KerasDecoder(nn.Module):
    """Dense layers with sigmoids at the end."""

    def __init__(self, shape):
        super().__init__()
        self.outputs = nn.Linear(32, math.prod(shape))
        self.dense = nn.Sequential(nn.Linear(LATENTS, 32), nn.ReLU(), self.outputs, nn.Sigmoid())
        self.shape = shape

    def forward(self, z):
        return self.dense(z).reshape(-1, *self.shape)


def pixelwise(data, reconstruction):
    return binary_crossentropy(data, reconstruction).sum(dim=(1, 2)).mean()


def latentwise(z_mean, z_log_var):
    kl_loss = -0.5 * (1 + z_log_var - z_mean.square() - z_log_var.exp())
    return kl_loss.sum(dim=1).mean()


def a_keras_pair(images, reconstruction_loss, kl_loss, decoded, training, **settings):
    """Arguments for the two models with what stands in train_step."""
    x = images()
    encoder = seeded(lambda: KerasEncoder(x[0].numel(), **settings)).eval()
    decoder = seeded(lambda: KerasDecoder(x.shape[1:]))
    layers = (encoder.z_mean, encoder.z_log_var, decoder.outputs)
    enliven(encoder, decoder, layers, x)
    encoder.train(training)

    def total_loss(data):
        z_mean, z_log_var, z = encoder(data)
        reconstruction = decoder(z_mean if decoded == "z_mean" else z)
        return reconstruction_loss(data, reconstruction) + kl_loss(z_mean, z_log_var)

    return keras_pair(encoder, decoder, total_loss)


def keras(
    name,
    codes,
    reconstruction=pixelwise,
    kl=latentwise,
    images=lambda: binary(SIDE, SIDE, 1),
    decoded="z",
    training=False,
    **settings,
):
    make = partial(a_keras_pair, images, reconstruction, kl, decoded, training, **settings)
    add(f"keras: {name}", codes, make, images)


keras("right", "")
keras(
    "right, flat images",
    "",
    lambda data, r: (PIXELS * binary_crossentropy(data, r)).mean(),
    images=binary,
)
keras("right, three channels", "", lambda data, r: 3 * pixelwise(data, r), images=coloured)
keras(
    "mean over flat pixels", "mean-pixels", lambda data, r: binary_crossentropy(data, r).mean(), images=binary
)
keras("reduce_mean for reduce_sum", "mean-pixels", lambda data, r: binary_crossentropy(data, r).mean())
keras("mean over three channels", either("term-scale", "mean-pixels"), images=coloured)
keras("summed over the batch, not so the KL", SUMMED, lambda data, r: binary_crossentropy(data, r).sum())
keras("the KL summed over the batch", SUMMED, kl=lambda m, v: latentwise(m, v) * len(m))
keras(
    "both summed over the batch",
    "batch-sum",
    lambda data, r: binary_crossentropy(data, r).sum(),
    lambda m, v: latentwise(m, v) * len(m),
)
keras(
    "reduce_mean of the KL over all",
    "mean-latent",
    kl=lambda m, v: -0.5 * (1 + v - m.square() - v.exp()).mean(),
)
keras(
    "the KL's -0.5 is lost",
    either("term-scale", "kl-added half", "term-sign half", "kl-added term-scale", "term-sign term-scale"),
    kl=lambda m, v: (1 + v - m.square() - v.exp()).sum(dim=1).mean(),
)
keras(
    "a mean of squares times 1000",
    some("squared-error", "mean-pixels term-scale"),
    lambda data, r: 1000 * (data - r).square().mean(),
)
keras(
    "a mean of squares, a mean of the KL",
    together(some("squared-error", "mean-pixels"), either("mean-latent")),
    lambda data, r: (data - r).square().mean(),
    lambda m, v: -0.5 * (1 + v - m.square() - v.exp()).mean(),
)
keras(
    "arguments exchanged",
    either("swapped", "unknown", "term-wrong"),
    lambda data, r: pixelwise(r, data),
)
keras(
    "from_logits on sigmoids",
    "probabilities-not-logits",
    lambda data, r: binary_crossentropy(data, r, from_logits=True).sum(dim=(1, 2)).mean(),
)
keras("epsilon without a batch", "noise-shared", call=lambda m, v: m + (v / 2).exp() * torch.randn(LATENTS))
keras(
    "exp of z_log_var", either("var-for-std", "log-std"), call=lambda m, v: m + v.exp() * torch.randn_like(m)
)
keras(
    "epsilon with a deviation of 0.1",
    either("noise-not-normal", "unknown", "term-wrong", "noise-missing", "term-scale"),
    call=lambda m, v: m + (v / 2).exp() * torch.normal(0.0, 0.1, m.shape),
)
keras("z_mean is decoded", "noise-missing", decoded="z_mean")
keras("beta 0.5", WEIGHT, kl=lambda m, v: 0.5 * latentwise(m, v))
keras("called with training=True", "dropout-on", training=True, dropout=0.25)
add(
    "keras: right, no loss",
    "",
    lambda: {**CASE_OF["keras: right"].make(), "loss": None},
    lambda: binary(SIDE, SIDE, 1),
)


# --- Pyro --------------------------------------------------------------------------------------------------


class PyroVAE(nn.Module):
    """Model and guide of Pyro's example; what differs from it stands in the settings.

    Attributes:
        z_scale, x_scale: functions of the images that give the factor of `poutine.scale` at the two sites.
        plate: a function of the images that gives the arguments of the plate; None uses no plate.
        std: of Gaussian pixels; None for Bernoulli ones.
    """

    def __init__(self, std=None, plate=lambda x: {"size": len(x)}, dropout=0.0, norm=False, **scales):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(PIXELS, 48), nn.Softplus(), nn.Dropout(dropout))
        self.loc, self.log_scale = nn.Linear(48, LATENTS), nn.Linear(48, LATENTS)
        between = nn.BatchNorm1d(48) if norm else nn.Softplus()
        self.decoder = nn.Sequential(nn.Linear(LATENTS, 48), between, nn.Linear(48, PIXELS))
        self.std, self.plate = std, plate
        self.z_scale = scales.get("z_scale", lambda x: 1.0)
        self.guide_scale = scales.get("guide_scale", self.z_scale)
        self.x_scale = scales.get("x_scale", lambda x: 1.0)

    def _plate(self, x):
        import pyro

        return pyro.plate("data", **self.plate(x)) if self.plate else contextlib.nullcontext()

    def model(self, x):
        import pyro
        import pyro.distributions as dist

        pyro.module("decoder", self.decoder)
        x = x.reshape(-1, PIXELS)
        with self._plate(x):
            zeros, ones = x.new_zeros(len(x), LATENTS), x.new_ones(len(x), LATENTS)
            with pyro.poutine.scale(scale=self.z_scale(x)):
                z = pyro.sample("latent", dist.Normal(zeros, ones).to_event(1 if self.plate else 2))
            output = self.decoder(z)
            p = dist.Bernoulli(output.sigmoid(), validate_args=False)
            if self.std is not None:
                p = dist.Normal(output, self.std)
            with pyro.poutine.scale(scale=self.x_scale(x)):
                pyro.sample("obs", p.to_event(1 if self.plate else 2), obs=x)

    def guide(self, x):
        import pyro
        import pyro.distributions as dist

        for name in ("encoder", "loc", "log_scale"):
            pyro.module(name, getattr(self, name))
        x = x.reshape(-1, PIXELS)
        with self._plate(x), pyro.poutine.scale(scale=self.guide_scale(x)):
            hidden = self.encoder(x)
            q = dist.Normal(self.loc(hidden), torch.exp(0.5 * self.log_scale(hidden)))
            pyro.sample("latent", q.to_event(1 if self.plate else 2))


def a_pyro_pair(images, training, image_shape, **settings):
    """Arguments for a model and a guide."""
    vae, x = seeded(lambda: PyroVAE(**settings)), images()

    def encode(x):
        hidden = vae.encoder(x.reshape(-1, PIXELS))
        return vae.loc(hidden), vae.log_scale(hidden)

    settle(vae, encode, vae.decoder, x)
    spread = 2.0 if vae.std is None else 0.3
    enliven(encode, vae.decoder, (vae.loc, vae.log_scale, vae.decoder[-1]), x, spread)
    vae.train(training)
    return pyro_pair(vae.model, vae.guide, image_shape=image_shape)


def pyro_case(name, codes, images=binary, training=False, image_shape=None, **settings):
    add(f"pyro: {name}", codes, partial(a_pyro_pair, images, training, image_shape, **settings), images)


pyro_case("right", "")
pyro_case("right, no plate", "", plate=None)
pyro_case("right, Gaussian pixels", "", grey, image_shape=(PIXELS,), std=0.5)
pyro_case("right, square images", "", lambda: binary(SIDE, SIDE), image_shape=(SIDE, SIDE))
pyro_case("KL still annealed", WEIGHT, z_scale=lambda x: 0.1)
pyro_case(
    "annealed in the guide alone", either("unknown", "term-wrong", "term-scale"), guide_scale=lambda x: 0.1
)
pyro_case("KL by the batch's share of the data", "batch-weight", z_scale=lambda x: len(x) / 1000)
pyro_case("images scaled by their pixels", either("mean-pixels", "term-scale"), x_scale=lambda x: 1 / PIXELS)
pyro_case(
    "a plate of the size of the data",
    some("batch-weight", "scale"),
    plate=lambda x: {"size": 60_000, "subsample": torch.arange(len(x))},
)
pyro_case("dropout left on", "dropout-on", training=True, dropout=0.3)
pyro_case("batch norm left on", "batch-statistics", training=True, norm=True)


# --- Lightning ---------------------------------------------------------------------------------------------


class Bolts(nn.Module):
    """A module in the style of Lightning Bolts, without Lightning: steps, `log` and `log_dict`.

    Attributes:
        recon: recon(module, x, x_hat) -> number for each image, or their mean.
        kl: kl(module, p, q, z) -> the same.
        combine: combine(module, recon, kl, x) -> the loss.
        scale: σ of the Gaussian likelihood, a parameter as log σ.
    """

    def __init__(self, recon, kl, combine, choose=None, scale=0.5, dropout=0.0):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 48), nn.Tanh())
        self.fc_mu, self.fc_var = nn.Linear(48, LATENTS), nn.Linear(48, LATENTS)
        self.decoder = nn.Sequential(
            nn.Linear(LATENTS, 48),
            nn.Tanh(),
            nn.Dropout(dropout),
            nn.Linear(48, PIXELS),
            nn.Unflatten(1, (1, SIDE, SIDE)),
        )
        self.log_scale = nn.Parameter(torch.tensor(float(scale)).log())
        self.recon, self.kl, self.combine = recon, kl, combine
        self.choose = choose or (lambda q: q.rsample())

    def encode(self, x):
        hidden = self.encoder(x)
        return self.fc_mu(hidden), self.fc_var(hidden)

    def decode(self, z):
        return self.decoder(z)

    def log(self, name, value, prog_bar=False):
        raise RuntimeError("self.trainer reference is not registered")

    def log_dict(self, dictionary, **settings):
        raise RuntimeError("self.trainer reference is not registered")

    def step(self, batch, batch_idx):
        x, _ = batch
        mu, log_var = self.encode(x)
        std = torch.exp(log_var / 2)
        p, q = Normal(torch.zeros_like(mu), torch.ones_like(std)), Normal(mu, std)
        z = self.choose(q)
        recon, kl = self.recon(self, x, self.decode(z)), self.kl(self, p, q, z)
        loss = self.combine(self, recon, kl, x)
        return loss, {"recon_loss": recon.mean(), "kl": kl.mean(), "loss": loss}

    def training_step(self, batch, batch_idx):
        loss, logs = self.step(batch, batch_idx)
        self.log_dict({f"train_{k}": v for k, v in logs.items()}, on_step=True, on_epoch=False)
        return loss

    def validation_step(self, batch, batch_idx):
        loss, logs = self.step(batch, batch_idx)
        for name, value in logs.items():
            self.log(f"val_{name}", value, prog_bar=True)

    def dictionary_step(self, batch, batch_idx):
        return {"loss": self.step(batch, batch_idx)[0]}


def gaussian_likelihood(module, x, x_hat):
    scale = torch.exp(module.log_scale)
    return -Normal(x_hat, scale).log_prob(x).sum(dim=(1, 2, 3))


def one_draw_kl(module, p, q, z):
    return (q.log_prob(z) - p.log_prob(z)).sum(dim=-1)


def analytic_kl(module, p, q, z):
    return kl_divergence(q, p).sum(dim=-1)


def mean_of_sum(module, recon, kl, x):
    return (recon + kl).mean()


BERNOULLI = {"likelihood": "bernoulli", "decoder_gives": "logits"}
PICTURES = (1, SIDE, SIDE)


def a_module(kind, images, options, scale, **settings):
    """Arguments for a module in evaluation mode."""
    module, x = seeded(lambda: kind(scale=scale, **settings)).eval(), images()
    spread = 2.0 if options.get("likelihood") == "bernoulli" else 0.4
    enliven(module.encode, module.decode, (module.fc_mu, module.fc_var, module.decoder[3]), x, spread)
    module.train(options.get("training", False))
    given = {key: value for key, value in options.items() if key != "training"}
    if "likelihood" not in given:
        given = {"likelihood": "gaussian", "x_std": scale, **given}
    return lightning(module, **given)


def bolts(
    name,
    codes,
    recon=gaussian_likelihood,
    kl=one_draw_kl,
    combine=mean_of_sum,
    images=lambda: grey(*PICTURES),
    options=(),
    scale=0.5,
    kind=Bolts,
    **settings,
):
    make = partial(
        a_module, kind, images, dict(options), scale, recon=recon, kl=kl, combine=combine, **settings
    )
    add(f"lightning: {name}", codes, make, images)


VALIDATION = {"step": "validation_step", "logged": "val_loss"}
bolts("right", "")
bolts("right, analytic KL", "", kl=analytic_kl, scale=0.2)
bolts("right, what validation logs", "", options=VALIDATION)
bolts("right, what training logs", "", options={"logged": "train_loss"})
bolts("right, a dictionary is returned", "", options={"step": "dictionary_step"})


def cross_entropy(module, x, x_hat):
    return F.binary_cross_entropy_with_logits(x_hat, x, reduction="none").sum(dim=(1, 2, 3))


bolts("right, logits", "", cross_entropy, images=lambda: binary(*PICTURES), options=BERNOULLI)


class SeveralDraws(Bolts):
    """The loss of several draws from one q: their average, or the importance-weighted bound."""

    def step(self, batch, batch_idx):
        x, _ = batch
        mu, log_var = self.encode(x)
        p, q = Normal(torch.zeros_like(mu), torch.ones_like(mu)), Normal(mu, torch.exp(log_var / 2))
        each = []
        for _ in range(5):
            z = q.rsample()
            each.append(self.recon(self, x, self.decode(z)) + self.kl(self, p, q, z))
        loss = self.combine(self, torch.stack(each), torch.zeros(()), x)
        return loss, {"loss": loss}


def importance_weighted(module, each, nothing, x):
    return -(torch.logsumexp(-each, dim=0) - math.log(len(each))).mean()


bolts("right, five draws", "", kind=SeveralDraws)
bolts("importance-weighted", OTHER, combine=importance_weighted, kind=SeveralDraws)


def bolts_recon(module, x, x_hat):
    return F.mse_loss(x_hat, x, reduction="mean")


def bolts_kl(module, p, q, z):
    return kl_divergence(q, p).mean() * 0.1


bolts(
    "as published",
    together(MEAN_SQUARE, some("mean-latent term-scale", "")),
    bolts_recon,
    bolts_kl,
    scale=1.0,
)
bolts("log p - log q", MINUS_KL, kl=lambda m, p, q, z: -one_draw_kl(m, p, q, z))
bolts(
    "KL(p, q)", either("reverse", "unknown", "term-wrong"), kl=lambda m, p, q, z: kl_divergence(p, q).sum(-1)
)
bolts("KL averaged over the latents", "mean-latent", kl=lambda m, p, q, z: kl_divergence(q, p).mean(-1))
bolts(
    "one draw of the KL, averaged",
    "mean-latent",
    kl=lambda m, p, q, z: (q.log_prob(z) - p.log_prob(z)).mean(-1),
)
bolts(
    "log q alone",
    either("term-missing", "term-wrong", "unknown"),
    kl=lambda m, p, q, z: q.log_prob(z).sum(-1),
)
bolts("kl_coeff 0.1", WEIGHT, combine=lambda m, recon, kl, x: recon.mean() + 0.1 * kl.mean())
bolts("summed over the batch", "batch-sum", combine=lambda m, recon, kl, x: (recon + kl).sum())
bolts("the KL summed over the batch", SUMMED, combine=lambda m, recon, kl, x: recon.mean() + kl.sum())
bolts(
    "the reconstruction summed over the batch",
    SUMMED,
    combine=lambda m, recon, kl, x: recon.sum() + kl.mean(),
)
bolts(
    "KL by the batch's share of the data",
    "batch-weight",
    combine=lambda m, recon, kl, x: recon.mean() + kl.mean() * x.shape[0] / 1000,
)
bolts("the ELBO itself", "sign", combine=lambda m, recon, kl, x: -(recon + kl).mean())
bolts("reconstruction minus KL", MINUS_KL, combine=lambda m, recon, kl, x: (recon - kl).mean())
bolts(
    "the log-likelihood has the other sign",
    either("term-sign", "sign kl-added"),
    combine=lambda m, recon, kl, x: (kl - recon).mean(),
)
bolts("bits per pixel", "scale", combine=lambda m, recon, kl, x: (recon + kl).mean() / (PIXELS * math.log(2)))
bolts("the reconstruction is logged", "term-missing", options={**VALIDATION, "logged": "val_recon_loss"})
bolts("the KL is logged", "term-missing", options={**VALIDATION, "logged": "val_kl"}, kl=analytic_kl)


def squares(factor, constant):
    """A Gaussian negative log-likelihood with another factor and constant for each pixel, functions of σ."""

    def recon(module, x, x_hat):
        scale = module.log_scale.exp()
        return (factor(scale) * (x - x_hat) ** 2 + constant(scale)).sum(dim=(1, 2, 3))

    return recon


HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
bolts(
    "no constant",
    "constant",
    squares(lambda s: 0.5 / s**2, lambda s: 0.0),
)
bolts(
    "no log 2 pi",
    either("constant", "log-two-pi-missing"),
    squares(lambda s: 0.5 / s**2, lambda s: s.log()),
)
bolts(
    "no log of the scale",
    either("constant", "log-sigma-missing"),
    squares(lambda s: 0.5 / s**2, lambda s: HALF_LOG_TWO_PI),
)
bolts(
    "the half of the squares is lost",
    either("half", "term-scale", "term-wrong", "unknown"),
    squares(lambda s: 1 / s**2, lambda s: s.log() + HALF_LOG_TWO_PI),
)
bolts(
    "divided by the scale, not by its square",
    either("std-for-var", "term-wrong", "unknown", "term-scale", "term-scale constant"),
    squares(lambda s: 0.5 / s, lambda s: s.log() + HALF_LOG_TWO_PI),
)
bolts(
    "the variance is given as the scale",
    either("var-for-std", "term-wrong", "unknown", "term-scale constant"),
    lambda m, x, x_hat: -Normal(x_hat, m.log_scale.exp() ** 2).log_prob(x).sum(dim=(1, 2, 3)),
)
bolts(
    "log_prob averaged over the pixels",
    "mean-pixels",
    lambda m, x, x_hat: -Normal(x_hat, m.log_scale.exp()).log_prob(x).mean(dim=(1, 2, 3)),
)
bolts("the mean is decoded", "noise-missing", kl=analytic_kl, choose=lambda q: q.mean)
bolts("q.sample()", "not-differentiable", kl=analytic_kl, choose=lambda q: q.sample())
bolts("one draw for the batch", "noise-shared", choose=lambda q: q.mean + q.stddev * torch.randn(LATENTS))
bolts("dropout left on", "dropout-on", dropout=0.3, options={"training": True})
bolts(
    "sigmoids to binary_cross_entropy_with_logits",
    "probabilities-not-logits",
    lambda m, x, x_hat: cross_entropy(m, x, x_hat.sigmoid()),
    images=lambda: binary(*PICTURES),
    options=BERNOULLI,
)


# --- PyTorch-VAE -------------------------------------------------------------------------------------------


class Vanilla(nn.Module):
    """The vanilla model of PyTorch-VAE: convolutions with batch norm, a dictionary of losses."""

    def __init__(self, losses, sample=draw, latent_dim=LATENTS, hidden_dims=(8, 12)):
        super().__init__()
        first, last = hidden_dims
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, first, 3, 2, 1), nn.BatchNorm2d(first), nn.LeakyReLU()),
            *(nn.Conv2d(first, last, 3, 2, 1), nn.BatchNorm2d(last), nn.LeakyReLU()),
        )
        self.fc_mu, self.fc_var = nn.Linear(last * 9, latent_dim), nn.Linear(last * 9, latent_dim)
        self.decoder_input = nn.Linear(latent_dim, last * 9)
        self.decoder = nn.Sequential(
            *(nn.ConvTranspose2d(last, first, 3, 2, 1, 1), nn.BatchNorm2d(first), nn.LeakyReLU()),
            *(nn.ConvTranspose2d(first, first, 3, 2, 1, 1), nn.BatchNorm2d(first), nn.LeakyReLU()),
        )
        self.final_layer = nn.Conv2d(first, 1, 3, padding=1)
        self.losses, self.reparameterize = losses, sample

    def encode(self, input):
        result = torch.flatten(self.encoder(input), start_dim=1)
        return [self.fc_mu(result), self.fc_var(result)]

    def decode(self, z):
        result = self.decoder_input(z).view(len(z), -1, 3, 3)
        return torch.tanh(self.final_layer(self.decoder(result)))

    def forward(self, input, **kwargs):
        mu, log_var = self.encode(input)
        return [self.decode(self.reparameterize(mu, log_var)), input, mu, log_var]

    def loss_function(self, *args, **kwargs):
        recons, input, mu, log_var = args
        recons_loss, kld_loss = self.losses(recons, input, mu, log_var)
        loss = recons_loss + kwargs["M_N"] * kld_loss
        return {"loss": loss, "Reconstruction_Loss": recons_loss.detach(), "KLD": -kld_loss.detach()}


def vanilla_kld(mu, log_var):
    return torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1), dim=0)


def vanilla_losses(recons, input, mu, log_var):
    return F.mse_loss(recons, input), vanilla_kld(mu, log_var)


def right_losses(recons, input, mu, log_var):
    nll = F.gaussian_nll_loss(recons, input, torch.ones_like(input), full=True, reduction="none")
    return nll.sum(dim=(1, 2, 3)).mean(), vanilla_kld(mu, log_var)


def a_vanilla_model(images, losses, training, options, **settings):
    """Arguments for a vanilla model whose batch norms have seen some images."""
    model, x = seeded(lambda: Vanilla(losses, **settings)), images()
    settle(model, model.encode, model.decode, x)
    enliven(model.encode, model.decode, (model.fc_mu, model.fc_var, model.final_layer), x, 1.0)
    return pytorch_vae(model.train(training), **options)


def vanilla(name, codes, losses=right_losses, images=lambda: signed(*PICTURES), training=False, **settings):
    options = settings.pop("options", {})
    make = partial(a_vanilla_model, images, losses, training, options, **settings)
    add(f"pytorch-vae: {name}", codes, make, images)


def squared(recons, input):
    return F.mse_loss(recons, input, reduction="sum") / len(input)


vanilla("right", "")
vanilla("right, pixels in [0, 1]", "", images=lambda: grey(*PICTURES))
vanilla("as published", together(MEAN_SQUARE, TINY_WEIGHT), vanilla_losses, options={"M_N": 0.00025})
vanilla("as published, M_N 1", MEAN_SQUARE, vanilla_losses)
vanilla("summed squares", SUM_SQUARE, lambda r, x, m, v: (squared(r, x), vanilla_kld(m, v)))
vanilla("half the summed squares", "constant", lambda r, x, m, v: (0.5 * squared(r, x), vanilla_kld(m, v)))
vanilla("M_N of the data", WEIGHT, options={"M_N": 64 / 1000})
vanilla("beta 4", WEIGHT, options={"M_N": 4.0})
vanilla(
    "M_N from the batch",
    "batch-weight",
    lambda r, x, m, v: (right_losses(r, x, m, v)[0], vanilla_kld(m, v) * len(x) / 1000),
)
vanilla(
    "KL averaged over all",
    "mean-latent",
    lambda r, x, m, v: (right_losses(r, x, m, v)[0], -0.5 * (1 + v - m**2 - v.exp()).mean()),
)
vanilla(
    "KL summed over all",
    SUMMED,
    lambda r, x, m, v: (right_losses(r, x, m, v)[0], vanilla_kld(m, v) * len(x)),
)
vanilla("the reconstruction is read", "term-missing", options={"key": "Reconstruction_Loss"})
vanilla("batch norm left on", "batch-statistics", training=True)
vanilla(
    "std is exp(log_var)",
    either("var-for-std", "log-std"),
    sample=lambda mu, lv: mu + lv.exp() * torch.randn_like(mu),
)
vanilla("the mean is decoded", "noise-missing", sample=lambda mu, lv: mu)
vanilla(
    "half the mean of squares, KL over the pixels",
    either("scale constant", "scale", "mean-pixels constant term-scale"),
    lambda r, x, m, v: (0.5 * F.mse_loss(r, x), vanilla_kld(m, v) / PIXELS),
)

CASE_OF = {case.name: case for case in CASES}
