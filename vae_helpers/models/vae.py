"""The variational autoencoder: a Gaussian encoder, and a decoder for any likelihood (PyTorch)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vae_helpers.models._validate import (
    check_batch,
    check_images,
    check_same_shape,
    check_tensor,
    fresh_generator,
)
from vae_helpers.models.likelihoods import LIKELIHOODS
from vae_helpers.numerics._validate import as_count, told

ACTIVATIONS = {"gelu": nn.GELU, "tanh": nn.Tanh, "relu": nn.ReLU}
DECODERS = ("connected", "convolutional")


class VAE(nn.Module):
    """A VAE with prior N(0, I), q(z given x) = N(mu, diag(exp(log_var))), and fully connected nets.

    Args:
        latent_dim: size d of z.
        hidden_dim: units in each hidden layer of the encoder, and of a fully connected decoder.
        likelihood: a key of `LIKELIHOODS`, such as "bernoulli" (binary pixels; the decoder gives logits)
            or "gaussian" (the decoder gives means; one standard deviation σ for all pixels is learned).
        num_hidden: hidden layers in each fully connected network.
        activation: "gelu", "tanh" or "relu".
        data_dim: number of pixels D.
        decoder: "connected", or "convolutional" for a `ConvolutionalDecoder`, which knows that pixels
            have neighbours; the images are then squares whose side is a multiple of 4, such as 28 × 28.
        generator: where the initial weights come from; None takes fresh entropy.

    Attributes:
        config: the arguments above without the generator, as a dict; `save` stores it. The decoder is in
            it where it is convolutional alone, so that files without one are of connected decoders.
        likelihood: the name of the likelihood; its parameters are scalars of the model, such as
            x_log_var, the log σ² of the Gaussian one.

    Raises:
        ValueError: an unknown likelihood, activation or decoder, a size below 1, or images that a
            convolutional decoder cannot make.

    Source: Kingma & Welling 2014, section 3 and appendix C.
    """

    def __init__(
        self,
        latent_dim: int,
        hidden_dim: int = 400,
        likelihood: str = "bernoulli",
        *,
        num_hidden: int = 2,
        activation: str = "gelu",
        data_dim: int = 784,
        decoder: str = "connected",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = {
            "latent_dim": latent_dim,
            "hidden_dim": hidden_dim,
            "num_hidden": num_hidden,
            "data_dim": data_dim,
        }
        sizes = {name: as_count(name, size) for name, size in sizes.items()}
        if not isinstance(likelihood, str) or likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood: expected one of {tuple(LIKELIHOODS)}, got {told(likelihood)}")
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(f"activation: expected one of {tuple(ACTIVATIONS)}, got {told(activation)}")
        if not isinstance(decoder, str) or decoder not in DECODERS:
            raise ValueError(f"decoder: expected one of {DECODERS}, got {told(decoder)}")
        self.config = {**sizes, "likelihood": likelihood, "activation": activation}
        self.latent_dim, self.data_dim, self.likelihood = sizes["latent_dim"], sizes["data_dim"], likelihood
        hidden = [sizes["hidden_dim"]] * sizes["num_hidden"]
        self.encoder = _mlp([self.data_dim, *hidden, 2 * self.latent_dim], ACTIVATIONS[activation])
        if decoder == "convolutional":
            self.config["decoder"] = decoder
            self.decoder = ConvolutionalDecoder(self.latent_dim, self.data_dim, ACTIVATIONS[activation])
        else:
            self.decoder = _mlp([self.latent_dim, *hidden, self.data_dim], ACTIVATIONS[activation])
        self.observation = LIKELIHOODS[likelihood]
        for name, start in self.observation.parameters.items():
            self.register_parameter(name, nn.Parameter(torch.tensor(start)))
        self._initialize(fresh_generator(generator))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """q(z given x) for x of shape (..., D): mu and log_var, each of shape (..., d).

        Raises:
            ValueError: a wrong shape or dtype, an empty tensor, NaN.
        """
        self._check("x", x, self.data_dim)
        # Under autocast a layer's output has half precision; what comes of it should not.
        mu, log_var = self.encoder(x).to(x.dtype).chunk(2, dim=-1)
        return mu, log_var

    def decode(self, z: Tensor) -> Tensor:
        """The decoder's output for z of shape (..., d): x_logits or x_mean, shape (..., D).

        Raises:
            ValueError: a wrong shape or dtype, an empty tensor, NaN.
        """
        self._check("z", z, self.latent_dim)
        return self.decoder(z).to(z.dtype)

    def mean(self, z: Tensor) -> Tensor:
        """E[x given z] for z of shape (..., d): pixel means of shape (..., D).

        Raises:
            ValueError: a wrong shape or dtype, an empty tensor, NaN.
        """
        return self.observation.mean(self.decode(z))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x given z) in nats, summed over pixels.

        Args:
            x: images, shape (..., D), with pixels that the likelihood knows.
            z: latents, shape (..., d); their leading axes broadcast with those of x.

        Returns:
            Tensor of shape (...).

        Raises:
            ValueError: shapes that do not go together, a wrong dtype, NaN, or pixels that the
                likelihood does not know.
        """
        self._check("x", x, self.data_dim)
        output = self.decode(z)
        if x.shape != output.shape[-x.ndim :]:  # or they go together; to ask takes long in a training
            try:
                torch.broadcast_shapes(x.shape, output.shape)
            except RuntimeError:
                raise ValueError(
                    f"z: expected a batch like that of x, {tuple(x.shape)}, got {tuple(z.shape)}"
                ) from None
        self.observation.check("x", x)
        return self.observation.log_prob(x, output, **self._parameters_of_likelihood())

    def pairwise_log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x_j given z_i) in nats for all pairs of x (batch, D) and z (num_z, d): (num_z, batch)."""
        for name, value, size in (("x", x, self.data_dim), ("z", z, self.latent_dim)):
            self._check(name, value, size)
            check_batch(name, value, size)
        self.observation.check("x", x)
        parameters = self._parameters_of_likelihood()
        return self.observation.pairwise_log_prob(x, self.decode(z), **parameters)

    @torch.no_grad()
    def sample(self, num: int, generator: torch.Generator | None = None) -> Tensor:
        """Pixel means of `num` draws z from the prior, shape (num, D).

        Args:
            num: number of images, at least 1.
            generator: where the draws come from; None takes fresh entropy.
        """
        like = next(self.parameters())
        shape = as_count("num", num), self.latent_dim
        generator = fresh_generator(generator, like.device)
        return self.mean(torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype))

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Pixel means decoded from the mean of q(z given x), for x (batch, D): shape (batch, D)."""
        return self.mean(self.encode(x)[0])

    @torch.no_grad()
    def set_output_bias(self, images: Tensor) -> None:
        """Starts the decoder at the mean image, which spares the first epochs of training.

        Args:
            images: values in [0, 1], shape (n, D).
        """
        mean = check_images(images, self.data_dim).mean(dim=0)
        self.decoder[-1].bias.copy_(self.observation.output_of(mean))

    def _parameters_of_likelihood(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in self.observation.parameters}

    def _check(self, name: str, value: Tensor, size: int) -> None:
        like = next(self.parameters())
        if isinstance(value, Tensor) and value.device != like.device:
            where = f"on {like.device} like the model's weights"
            raise ValueError(f"{name}: expected a tensor {where}, got one on {value.device}")
        check_tensor(name, value, size)
        if value.dtype != like.dtype:
            raise ValueError(f"{name}: expected {like.dtype} like the model's weights, got {value.dtype}")

    @torch.no_grad()
    def _initialize(self, generator: torch.Generator) -> None:
        """PyTorch's own scheme for linear layers (uniform, ±1/√fan_in), from this generator."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                fan_in = layer.in_features
            elif isinstance(layer, nn.ConvTranspose2d):  # what meets in a number of the larger map
                fan_in = layer.in_channels * (layer.kernel_size[0] // layer.stride[0]) ** 2
            else:
                continue
            bound = 1 / math.sqrt(fan_in)
            for values in layer.parameters():
                values.uniform_(-bound, bound, generator=generator)


class ConvolutionalDecoder(nn.Sequential):
    """From z of shape (..., d) to pixels of shape (..., D), by maps that are doubled twice in each direction.

    A linear layer makes 64 maps of a quarter of the image's side (7 × 7 for 28 × 28 pixels). Two transposed
    convolutions follow: each number of a map adds a little picture of 4 × 4, the same at every place, to
    maps of twice the side. Last comes a bias for each pixel, where the mean image goes.

    Args:
        latent_dim: size d of z.
        data_dim: number of pixels D.
        activation: the class of what follows each layer but the last.

    Raises:
        ValueError: D pixels are no square, or its side is no multiple of 4.

    Source: Radford, Metz & Chintala 2016, section 3 (they call the convolutions fractionally strided).
    """

    def __init__(self, latent_dim: int, data_dim: int, activation: type[nn.Module]) -> None:
        side = math.isqrt(data_dim)
        if side**2 != data_dim or side % 4:
            raise ValueError(
                "data_dim: expected a square whose side is a multiple of 4 for a convolutional decoder, such "
                f"as 28 * 28, got {data_dim}"
            )
        skip_init, double = nn.utils.skip_init, {"kernel_size": 4, "stride": 2, "padding": 1}
        super().__init__(
            skip_init(nn.Linear, latent_dim, 64 * (side // 4) ** 2),
            activation(),
            nn.Unflatten(-1, (64, side // 4, side // 4)),
            skip_init(nn.ConvTranspose2d, 64, 32, **double),
            activation(),
            skip_init(nn.ConvTranspose2d, 32, 1, **double, bias=False),
            nn.Flatten(),
            _Bias(data_dim),
        )

    def forward(self, z: Tensor) -> Tensor:
        """The pixels; a convolution knows one leading axis, z may have any."""
        return super().forward(z.reshape(-1, z.shape[-1])).reshape(*z.shape[:-1], -1)


class _Bias(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


def reparameterize(
    mu: Tensor, log_var: Tensor, num_samples: int = 1, generator: torch.Generator | None = None
) -> Tensor:
    """Draws z = mu + std · eps with eps ~ N(0, I), differentiable in mu and log_var.

    Args:
        mu: means, shape (batch, d).
        log_var: log-variances, shape (batch, d).
        num_samples: draws for each row.
        generator: where eps comes from; None takes fresh entropy.

    Returns:
        Tensor of shape (num_samples, batch, d).

    Raises:
        ValueError: shapes that differ, or num_samples below 1.

    Source: Kingma & Welling 2014, section 2.4.
    """
    check_same_shape(mu, log_var)
    eps = torch.randn(
        as_count("num_samples", num_samples),
        *mu.shape,
        generator=fresh_generator(generator, mu.device),
        device=mu.device,
        dtype=mu.dtype,
    )
    return mu + torch.exp(0.5 * log_var) * eps


def _mlp(sizes: list[int], activation: type[nn.Module]) -> nn.Sequential:
    # skip_init, since `_initialize` fills the layers: PyTorch's own filling moves the global state.
    layers: list[nn.Module] = []
    for size_in, size_out in zip(sizes[:-2], sizes[1:-1], strict=True):
        layers += [nn.utils.skip_init(nn.Linear, size_in, size_out), activation()]
    return nn.Sequential(*layers, nn.utils.skip_init(nn.Linear, sizes[-2], sizes[-1]))
