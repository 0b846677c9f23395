"""Training on a tensor that fits in memory (PyTorch)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from vae_helpers.models._bar import bar as progress_bar
from vae_helpers.models._validate import check_beta, check_count, check_images, fresh_generator
from vae_helpers.models.data import binarize
from vae_helpers.models.objectives import elbo, iwae_for_training, kl_standard_normal
from vae_helpers.models.storage import Checkpoint, fingerprint
from vae_helpers.models.vae import VAE

OPTIMIZERS = ("adam", "muon")


@dataclass
class History:
    """What `fit` recorded, one entry an epoch, in nats per image.

    Attributes:
        train: -ELBO averaged over the epoch's batches, while the weights were moving.
        test: -ELBO on the test images after the epoch; empty when none were given.
        test_log_likelihood: its part E_q[log p(x given z)] (minus the distortion).
        test_kl: its part KL(q, prior) (the rate).
        seconds: what the epoch took.
    """

    train: list[float] = field(default_factory=list)
    test: list[float] = field(default_factory=list)
    test_log_likelihood: list[float] = field(default_factory=list)
    test_kl: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list, compare=False)


def fit(
    model: VAE,
    images: Tensor,
    epochs: int = 20,
    *,
    test_images: Tensor | None = None,
    batch_size: int = 200,
    learning_rate: float = 3e-3,
    beta: float = 1.0,
    warmup: float = 0.2,
    free_bits: float = 0.0,
    num_samples: int | None = None,
    optimizer: str = "adam",
    precision: torch.dtype = torch.float32,
    init_bias: bool = True,
    generator: torch.Generator | None = None,
    progress: bool = True,
    on_step: Callable[[int, int, float], object] | None = None,
    checkpoint: str | Path | None = None,
) -> History:
    """Trains the model by gradient steps with a one-cycle schedule on -ELBO, and returns the curves.

    For a Bernoulli likelihood every epoch draws new black-and-white images from the grey ones. The
    learning rate climbs to its peak in the first tenth of the steps and falls to nearly zero along
    a cosine. The recorded -ELBO always has the full weight beta.

    Args:
        model: trained in place, on the device that it is on; afterwards in evaluation mode.
        images: grey values in [0, 1], shape (n, D).
        epochs: passes over the images.
        test_images: grey values of images to evaluate after each epoch, shape (m, D).
        batch_size: images in a step; what does not fill a batch waits for the next epoch's order.
        learning_rate: the peak of the schedule.
        beta: weight of the KL.
        warmup: part of the training, in [0, 1), during which the weight climbs from 0 to beta
            (KL annealing), so that latents are not given up before the decoder can use them.
        free_bits: nats of KL that each latent has for nothing: a latent whose KL, averaged over the
            batch, is smaller is not pressed to make it smaller still. The recorded -ELBO counts all.
        num_samples: train on the importance-weighted bound with so many draws for each image instead
            (1: the ELBO), by `iwae_for_training`; the history's train then holds that bound. Goes with
            beta = 1, warmup = 0 and free_bits = 0 alone.
        optimizer: "adam", or "muon": every weight matrix moves by its momentum's nearest matrix with
            orthonormal rows or columns, scaled to the size of Adam's steps, and Adam moves the biases.
            A step costs more and achieves more; so Muon likes larger batches.
        precision: of the matrix products: `torch.bfloat16` is about twice as fast on a processor that
            has it in hardware. Weights, bounds and gradient steps stay in single precision.
        init_bias: set the decoder's last bias to the mean image before the first step; False to go
            on with a model that has been trained before.
        generator: where all randomness of training comes from; None takes fresh entropy.
        progress: show a bar with the running -ELBO.
        on_step: called after each step with the steps done, the steps in all and the batch's -ELBO
            in nats per image; when it returns True, training ends there.
        checkpoint: a file that holds the state of the training after each epoch. If it is there at
            the start, training goes on from it, to the same weights bit by bit as without the
            interruption; it is deleted after the last epoch.

    Returns:
        A `History`.

    Raises:
        ValueError: images of the wrong shape or outside [0, 1], a count below 1, settings that do
            not go together, or a checkpoint of a training with other settings, images or another
            generator.
        FileNotFoundError: the checkpoint's folder does not exist.
        FloatingPointError: the loss became NaN or infinite; the message gives the epoch.

    Source: Kingma & Welling 2014, algorithm 1; Smith & Topin 2018 for the schedule; Bowman et al.
    2016, section 3.1, for the warm-up; Kingma et al. 2016, eq. 15, for the free bits; Jordan et al.
    2024 and Liu et al. 2025, section 2.2, for Muon.
    """
    settings = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "beta": beta,
        "warmup": warmup,
        "free_bits": free_bits,
        "num_samples": num_samples,
        "optimizer": optimizer,
        "precision": precision,
    }
    check_images(images, model.data_dim)
    if test_images is not None:
        check_images(test_images, model.data_dim, name="test_images")
    _check_settings(**settings)
    batch_size = min(batch_size, len(images))
    device = next(model.parameters()).device
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == torch.bfloat16)
    images = images.to(device)
    seed = None if generator is None else fingerprint(fresh_generator(generator, device).get_state())
    generator = fresh_generator(generator, device)
    # Its own stream for the test images: the same zeros and ones after every epoch.
    test_x = None if test_images is None else observed(model, test_images.to(device), 0)
    if init_bias:
        model.set_output_bias(images)
    steps = len(images) // batch_size
    optimizers = _optimizers(model, optimizer, learning_rate)
    # A little over a tenth: PyTorch divides by zero when a tenth of the steps is exactly one.
    schedules = [
        torch.optim.lr_scheduler.OneCycleLR(
            each, learning_rate, total_steps=epochs * steps, pct_start=0.1001, cycle_momentum=False
        )
        for each in optimizers
    ]
    history, finished, stopped = History(), 0, False
    if checkpoint is not None:
        told = {
            "model": model.config,
            "images": fingerprint(images),
            "test_images": None if test_images is None else fingerprint(test_images),
            "init_bias": init_bias,
            "generator": seed,
            "batch_size": batch_size,  # as it is used: at most all images
            "precision": str(precision),
        }
        state = Checkpoint(Path(checkpoint), settings | told, model, optimizers, schedules, generator)
        finished, curves = state.restore()
        history = History(**curves)
    model.train()
    done = finished * steps
    bar = progress_bar(progress=progress, total=epochs * steps, initial=done, unit="step")
    with bar:
        for epoch in range(finished + 1, epochs + 1):
            started = time.perf_counter()
            order = torch.randperm(len(images), generator=generator, device=device)
            total = 0.0
            for step in range(steps):
                batch = images[order[step * batch_size : (step + 1) * batch_size]]
                done = ((epoch - 1) * steps + step) / (epochs * steps)
                annealed = min(1.0, done / warmup) if warmup else 1.0
                try:
                    x = observed(model, batch, generator)
                    with autocast:
                        if num_samples is None:
                            loss, recorded = _elbo_loss(model, x, beta, annealed, free_bits, generator)
                        else:
                            loss = recorded = -iwae_for_training(model, x, num_samples, generator).mean()
                except ValueError as error:  # the images were checked, so the weights are NaN
                    raise FloatingPointError(
                        f"the loss became NaN in epoch {epoch}, step {step + 1}"
                    ) from error
                batch_loss = recorded.item()
                total += batch_loss
                if not math.isfinite(total):
                    raise FloatingPointError(f"the loss became {total} in epoch {epoch}, step {step + 1}")
                model.zero_grad()
                loss.backward()
                for each in (*optimizers, *schedules):
                    each.step()
                bar.update()
                if on_step is not None:
                    stopped = on_step((epoch - 1) * steps + step + 1, epochs * steps, batch_loss) is True
                    if stopped:
                        break
            history.train.append(total / (step + 1))
            history.seconds.append(time.perf_counter() - started)
            if test_x is not None:
                _record(history, model, test_x, beta)
            bar.set_postfix_str(f"epoch {epoch}: {(history.test or history.train)[-1]:.1f} nats")
            if stopped:
                break
            if checkpoint is not None:
                state.save(epoch, asdict(history))
    if checkpoint is not None and not stopped:
        state.delete()
    model.eval()
    return history


def _check_settings(
    epochs: int,
    batch_size: int,
    learning_rate: float,
    beta: float,
    warmup: float,
    free_bits: float,
    num_samples: int | None,
    optimizer: str,
    precision: torch.dtype,
) -> None:
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate: expected a number above 0, got {learning_rate!r}")
    check_beta(beta)
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup: expected a part of the training in [0, 1), got {warmup!r}")
    if not 0 <= free_bits < math.inf:
        raise ValueError(f"free_bits: expected a finite number of nats of at least 0, got {free_bits!r}")
    if num_samples is not None:
        check_count("num_samples", num_samples)
        if (beta, warmup, free_bits) != (1, 0, 0):
            raise ValueError(
                "num_samples: expected beta = 1, warmup = 0 and free_bits = 0 beside it, got "
                f"{beta!r}, {warmup!r} and {free_bits!r}"
            )
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer: expected one of {OPTIMIZERS}, got {optimizer!r}")
    if precision not in (torch.float32, torch.bfloat16):
        raise ValueError(f"precision: expected torch.float32 or torch.bfloat16, got {precision!r}")


def _optimizers(model: VAE, name: str, learning_rate: float) -> list[torch.optim.Optimizer]:
    """What moves the weights: Adam alone, or Muon for the matrices and Adam for all else."""
    parameters, settings = list(model.parameters()), {"lr": learning_rate, "betas": (0.9, 0.99)}
    if name == "adam":
        return [torch.optim.Adam(parameters, fused=True, **settings)]
    matrices = [parameter for parameter in parameters if parameter.ndim == 2]
    others = [parameter for parameter in parameters if parameter.ndim != 2]
    muon = torch.optim.Muon(matrices, learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.Adam(others, fused=True, **settings)]


def _elbo_loss(
    model: VAE, x: Tensor, beta: float, annealed: float, free_bits: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What is minimised, and the -ELBO with the full weight of the KL, both averaged over the batch."""
    parts = elbo(model, x, beta, generator=generator)
    kl = parts.kl
    if free_bits:
        mu, log_var = model.encode(x)
        per_latent = kl_standard_normal(mu[..., None], log_var[..., None]).mean(dim=0)  # (d,)
        kl = per_latent.clamp(min=free_bits).sum()
    return -(parts.log_likelihood - beta * annealed * kl).mean(), -parts.elbo.mean()


def observed(model: VAE, images: Tensor, generator: torch.Generator | int | None) -> Tensor:
    """The x that the model's likelihood speaks of: binarized pixels, or the grey values.

    Args:
        model: the VAE; its likelihood decides.
        images: grey values in [0, 1], shape (n, D).
        generator: for the binarization: a generator, a seed for a new one, or None.
    """
    if model.likelihood != "bernoulli":
        return images
    if isinstance(generator, int):
        generator = torch.Generator(images.device).manual_seed(generator)
    return binarize(images, generator)


@torch.no_grad()
def mean_elbo(
    model: VAE, x: Tensor, generator: torch.Generator, beta: float = 1.0, batch_size: int = 1000
) -> tuple[float, float, float]:
    """Averages over images of the ELBO, E_q[log p(x given z)] and the KL, in nats per image."""
    parts = [elbo(model, batch, beta, generator=generator) for batch in x.split(batch_size)]
    means = [torch.cat(column).double().mean().item() for column in zip(*parts, strict=True)]
    return means[0], means[1], means[2]


def _record(history: History, model: VAE, x: Tensor, beta: float) -> None:
    model.eval()
    generator = torch.Generator(x.device).manual_seed(1)
    value, log_likelihood, kl = mean_elbo(model, x, generator, beta)
    history.test.append(-value)
    history.test_log_likelihood.append(log_likelihood)
    history.test_kl.append(kl)
    model.train()
