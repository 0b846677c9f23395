"""Training: time to quality, distance from the matrix products alone, and peers."""

from __future__ import annotations

import contextlib
import io
import itertools

import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from harness import Claim, Row, in_turn, ratio
from PIL import Image
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from vae_helpers.models import VAE, fit
from vae_helpers.models.training import fast_precision
from vae_helpers.shipped import load_mnist

# The usual public recipe: its architecture, steps and epochs.
USUAL = {"latent_dim": 20, "hidden_dim": 400, "num_hidden": 1, "activation": "relu"}
USUAL_BATCH, USUAL_EPOCHS, USUAL_RATE = 128, 10, 1e-3
# What of `fit` leads to the usual recipe's test loss: so small a network needs no warm-up and a high rate,
# and a loss of grey pixels is best trained on them.
EPOCHS = 4
SETTINGS = {
    "batch_size": 480,
    "learning_rate": 1.6e-2,
    "warmup": 0.0,
    "binarize": False,
    "progress": False,
}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def grey_loss(model: nn.Module, x: Tensor) -> Tensor:
    """The loss that public code trains on: cross-entropy with grey pixels plus KL, in nats per image."""
    mu, log_var = model.encoder(x).chunk(2, dim=-1)
    z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
    cross_entropy = F.binary_cross_entropy_with_logits(model.decoder(z), x, reduction="sum")
    kl = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
    return (cross_entropy + kl) / len(x)


@torch.no_grad()
def test_loss(model: nn.Module) -> float:
    """`grey_loss` of all test images."""
    return grey_loss(model, load_mnist("test")[0]).item()


class Pictures(Dataset):
    """MNIST as torchvision gives it: one PIL image at a time, made a tensor by a transform."""

    def __init__(self, images: Tensor) -> None:
        self.bytes = (images * 255).round().to(torch.uint8).reshape(-1, 28, 28).numpy()

    def __len__(self) -> int:
        return len(self.bytes)

    def __getitem__(self, index: int) -> Tensor:
        picture = Image.fromarray(self.bytes[index])
        content = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        return content.view(picture.height, picture.width, 1).permute(2, 0, 1).contiguous().float().div(255)


def plain_epochs(model: nn.Module, loader: DataLoader, epochs: int) -> None:
    """The loop of public code; a batch is a tensor of pictures, or a tuple with it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=USUAL_RATE)
    for _ in range(epochs):
        for batch in loader:
            x = batch if isinstance(batch, Tensor) else batch[0]
            loss = grey_loss(model, x.view(len(x), -1))
            optimizer.zero_grad()
            loss.backward()
            loss.item()
            optimizer.step()


def time_to_quality(rounds: int) -> dict[str, list[Row]]:
    """The usual recipe's ten epochs against `fit`, until it has the same test loss."""
    images = load_mnist("train")[0]
    pictures, losses, seeds = Pictures(images), {"usual": [], "fit": []}, iter(range(1, 10_000))

    def usual() -> None:
        model = VAE(**USUAL)
        plain_epochs(model, DataLoader(pictures, USUAL_BATCH, shuffle=True), USUAL_EPOCHS)
        losses["usual"].append(test_loss(model))

    def ours() -> None:
        model = VAE(**USUAL)
        generator = torch.Generator().manual_seed(next(seeds))
        fit(model, images, EPOCHS, **SETTINGS, generator=generator)
        losses["fit"].append(test_loss(model))

    theirs, own = in_turn({"usual recipe, 10 epochs": usual, f"fit, {EPOCHS} epochs": ours}, rounds, False)
    behind = [own - usual for own, usual in zip(losses["fit"], losses["usual"], strict=True)]
    return {
        "Time to the usual recipe's test loss": [
            theirs,
            own,
            Row("test loss of the usual recipe (grey cross-entropy + KL)", losses["usual"], "nats"),
            Row("test loss of fit", losses["fit"], "nats"),
            Claim("fit's test loss minus that of the usual recipe", behind, "nats", at_most=0),
            ratio("the usual recipe's time over that of fit", theirs, own, at_least=12),
        ]
    }


def products(batch_size: int, num_images: int, precision: torch.dtype) -> None:
    """The matrix products of an epoch alone, forward and backward; shapes of the usual architecture."""
    pixels, hidden, latents = 784, USUAL["hidden_dim"], USUAL["latent_dim"]
    sizes = [(pixels, hidden), (hidden, 2 * latents), (latents, hidden), (hidden, pixels)]
    weights = [torch.rand(out, into, dtype=precision) for into, out in sizes]
    inputs = [torch.rand(batch_size, into, dtype=precision) for into, _ in sizes]
    outputs = [torch.rand(batch_size, out, dtype=precision) for _, out in sizes]
    for _ in range(num_images // batch_size):
        for layer, (weight, x, gradient) in enumerate(zip(weights, inputs, outputs, strict=True)):
            F.linear(x, weight)
            gradient.T @ x
            if layer:  # no gradient of the pixels
                gradient @ weight


def pyro_epoch(images: Tensor, batch_size: int) -> None:
    """An epoch of Pyro's SVI on the same networks, by its tutorial's model and guide."""
    nets = VAE(**USUAL)

    def model(x: Tensor) -> None:
        pyro.module("decoder", nets.decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x), 20), x.new_ones(len(x), 20)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=nets.decoder(z), validate_args=False).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", nets.encoder)
        with pyro.plate("data", len(x)):
            mu, log_var = nets.encoder(x).chunk(2, dim=-1)
            pyro.sample("z", dist.Normal(mu, torch.exp(0.5 * log_var)).to_event(1))

    pyro.clear_param_store()
    svi = SVI(model, guide, pyro.optim.Adam({"lr": USUAL_RATE}), Trace_ELBO())
    for (x,) in DataLoader(TensorDataset(images), batch_size, shuffle=True):
        svi.step(x)


def epochs(rounds: int) -> dict[str, list[Row]]:
    """An epoch of `fit` against its matrix products, Pyro and a plain loop, with the same model and steps."""
    images, groups = load_mnist("train")[0], {}
    fastest = fast_precision(torch.device("cpu"))
    for batch_size in (USUAL_BATCH, 200, 512):

        def by_fit(precision: torch.dtype, binarize: bool, size: int = batch_size) -> float:
            settings = {"batch_size": size, "precision": precision, "binarize": binarize, "progress": False}
            return fit(VAE(**USUAL), images, 1, **settings).seconds[0]

        contestants = {"Pyro's SVI": lambda size=batch_size: pyro_epoch(images, size)}
        contestants["DataLoader(TensorDataset)"] = lambda size=batch_size: plain_epochs(
            VAE(**USUAL), DataLoader(TensorDataset(images), size, shuffle=True), 1
        )
        names = [name for name, kind in PRECISIONS.items() if kind in (torch.float32, fastest)]
        for name in names:
            kind = PRECISIONS[name]
            contestants[f"fit, {name}"] = lambda kind=kind: by_fit(kind, True)
            contestants[f"fit on grey pixels, {name}"] = lambda kind=kind: by_fit(kind, False)
            contestants[f"matrix products alone, {name}"] = lambda kind=kind, size=batch_size: products(
                size, len(images), kind
            )
        with contextlib.redirect_stdout(io.StringIO()):
            rows = {row.what: row for row in in_turn(contestants, rounds)}
        claims = []
        for name, ours in itertools.product(names, ("fit", "fit on grey pixels")):
            floor = rows[f"matrix products alone, {name}"]
            what = f"{ours} over its matrix products, {name}"
            claims.append(ratio(what, rows[f"{ours}, {name}"], floor, at_most=1.25))
        # The peers train on grey pixels; so the same steps are those of `fit` on them.
        ours, drawn = rows[f"fit on grey pixels, {names[-1]}"], rows[f"fit, {names[-1]}"]
        claims.append(ratio("Pyro over fit on grey pixels", rows["Pyro's SVI"], ours, at_least=2))
        plain = rows["DataLoader(TensorDataset)"]
        claims.append(ratio("the plain loop over fit on grey pixels", plain, ours, at_least=1.7))
        claims.append(ratio("the plain loop over fit", plain, drawn))
        groups[f"An epoch, batches of {batch_size}"] = [*rows.values(), *claims]
    return groups
