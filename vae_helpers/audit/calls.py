"""Calling the number that somebody logs, and keeping what it draws and decodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vae_helpers.audit.recording import Noise, Recorder, inputs_of, modes_kept, numpy_noise
from vae_helpers.audit.subject import Subject
from vae_helpers.checks.engine.arguments import parameters_of, role_of
from vae_helpers.checks.engine.calling import protected

SIZES = {6: 40, 18: 24}  # images in a batch, and how many such batches


class Call(NamedTuple):
    """A call of the loss, and what was seen of it."""

    x: Tensor  # (batch, D)
    value: float
    result: Any  # the same as the loss returned it, perhaps with a gradient
    mu: Tensor  # (batch, d), as all that follow in double precision
    log_var: Tensor
    noises: list[Noise]
    masks: list[torch.Size]
    rows: int  # how many z reached the decoder
    decoded: list[Tensor]  # these z, (K, batch, d), in the ways in which they may be laid out

    @property
    def std(self) -> Tensor:
        """The standard deviations of q, (batch, d)."""
        return torch.exp(0.5 * self.log_var)


def as_loss(subject: Subject, loss: Callable[..., Any], modules: list[nn.Module]) -> Callable[[Tensor], Any]:
    """The loss as a function of flat images alone, after which the modules are in the modes of before.

    A loss that wants more than the images gets what its parameters' names ask for: what the encoder gives, a
    draw of z, what the decoder makes of it.

    Raises:
        TypeError: it is no function, or its parameters' names do not say what they are.
    """
    if not callable(loss):
        raise TypeError(f"loss: expected a function of images, got {type(loss).__name__}")
    of_images = _by_names(subject, loss)

    def of_batch(x: Tensor) -> Any:
        with modes_kept(modules):
            return of_images(x)

    return of_batch


def _by_names(subject: Subject, loss: Callable[..., Any]) -> Callable[[Tensor], Any]:
    wanted = [p.name for p in parameters_of(loss) or [] if p.default is p.empty]
    if len(wanted) <= 1:
        return lambda x: loss(subject.shaped(x))
    roles = ("x", "x_logits", "mu", "log_var")
    is_std = subject.encoder_gives == "std"
    meant = [
        "log_var" if is_std and name in ("std", "sigma", "scale", "stddev") else role_of(name, roles)
        for name in wanted
    ]
    if "x" not in meant or None in meant or len(set(meant)) < len(meant):
        names = ", ".join(wanted)
        raise TypeError(
            f"loss: expected a function of images, or of x, recon_x, mu and log_var by such names, got one "
            f"of ({names}); wrap it: loss=lambda x: …"
        )

    def of_images(x: Tensor) -> Any:
        images = subject.shaped(x)
        first, second = subject.encode_raw(images)[:2]
        mu, log_var = subject.encode(x)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        given = {"x": images, "mu": first, "log_var": second}
        if "x_logits" in meant:
            z = z.reshape(-1, *subject.latent_shape)
            given["x_logits"] = subject.decode_raw(z.numpy() if subject.is_numpy else z)
        return loss(*(given[role] for role in meant))

    return of_images


def value_of(loss: Callable[[Tensor], Any], x: Tensor) -> Any:
    """What the loss returns for images, if it is one number.

    Raises:
        ValueError: it fails, returns several numbers, or none.
        TypeError: it returns what is no number.
    """
    try:
        value = loss(x)
    except Exception as error:  # whatever it is, the reader is told of which function
        first = str(error).splitlines()[0] if str(error) else ""
        hint = "; it is called without gradients: leave the optimiser's step out"
        hint = hint if "does not require grad" in first else ""
        raise ValueError(
            f"loss: expected a function that takes images, got {type(error).__name__} for {len(x)} of them: "
            f"{first}{hint}"
        ) from error
    if isinstance(value, dict):
        raise TypeError(f"loss: expected one number, got a dict with {', '.join(map(str, value))}: pick one")
    if isinstance(value, tuple | list):
        raise TypeError(f"loss: expected one number, got {len(value)} of them: pick one")
    shape = tuple(getattr(value, "shape", ()))
    if math.prod(shape) != 1:
        raise ValueError(f"loss: expected one number for a batch, got shape {shape}; average over the batch")
    try:
        if isinstance(value, str):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"loss: expected one number, got {type(value).__name__}") from None
    if not math.isfinite(number):
        raise ValueError(f"loss: expected a finite number, got {number}")
    return value


def listen(subject: Subject, loss: Callable[[Tensor], Any], x: Tensor, seed: int, entry: Any = None) -> Call:
    """Calls the loss with images and keeps what it draws and decodes."""
    with protected(seed):
        recorder = Recorder()
        with inputs_of(entry) as given, numpy_noise(recorder), recorder:
            result = value_of(loss, x)
    with torch.no_grad():
        mu, log_var = (part.double() for part in subject.encode(x))
    decoded = list(_laid_out(given, *mu.shape))
    rows = sum(z.numel() for z in given) // mu.shape[1]
    return Call(x, float(result), result, mu, log_var, recorder.noises, recorder.masks, rows, decoded)


def _laid_out(given: list[Tensor], batch: int, d: int) -> Iterator[Tensor]:
    """The z of a call as (K, batch, d)."""
    if not given or sum(z.numel() for z in given) % (batch * d):
        return
    z = torch.cat([z.reshape(-1, d) for z in given]).reshape(-1, batch, d).double()
    yield z
    if len(z) > len(given) and not any(
        z.numel() % (batch * d) for z in given
    ):  # several draws in one call: perhaps those of an image are neighbours
        yield torch.cat([z.reshape(batch, -1, d).transpose(0, 1) for z in given]).double()


def probe_batches(images: Tensor, generator: torch.Generator, copies: bool = False) -> list[Tensor]:
    """Batches of images, and of such as make q wide, narrow and far away: blends, noise, mixed pixels.

    No pixel gets a value that it does not have in one of the images.

    Args:
        images: (n, D).
        generator: where the choice comes from.
        copies: whether all images of a batch are the same.
    """
    batches = []
    device = images.device

    def rows(num: int) -> Tensor:
        return images[torch.randint(len(images), (num,), generator=generator, device="cpu").to(device)]

    for size, count in SIZES.items():
        for number in range(count):
            num = 1 if copies else size
            x = rows(num)
            if number % 2:
                share = torch.rand(num, 1, generator=generator, device="cpu")
                chosen = (torch.rand(x.shape, generator=generator, device="cpu") < share).to(device)
                order = torch.randperm(x.shape[1], generator=generator, device="cpu").to(device)
                kind = torch.randint(3, (num, 1), generator=generator, device="cpu").to(device)
                blend, mixed = torch.where(chosen, x, rows(num)), rows(num)[:, order]
                extreme = torch.where(chosen, x.amax(1, keepdim=True), x.amin(1, keepdim=True))
                x = torch.where(kind == 0, blend, torch.where(kind == 1, mixed, extreme))
            batches.append(x.expand(size, -1).contiguous() if copies else x)
    return batches
