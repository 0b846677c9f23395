"""The audit from its beginning to its end: what is tested, in which order, in which mode of the modules."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vae_helpers.audit import model as of_model
from vae_helpers.audit.calls import SIZES, as_loss, value_of
from vae_helpers.audit.code import (
    BATCH,
    NUMBER,
    OfCode,
    average,
    compare_numbers,
    explain,
    judge_modes,
    judge_number,
    repeats_of,
)
from vae_helpers.audit.recording import evaluate, modules_of, untouched, weights_of
from vae_helpers.audit.report import Audit, Check, Figure
from vae_helpers.audit.subject import Images, Subject, as_images
from vae_helpers.checks.engine.calling import protected
from vae_helpers.models._bar import bar
from vae_helpers.numerics import _validate

NEVER_SEEDED = torch.Generator().initial_seed()


def audit(
    encode: Callable[[Any], Any],
    decode: Callable[[Any], Any],
    images: Images,
    loss: Callable[..., Any] | None = None,
    likelihood: str | Callable[[Tensor], Distribution] = "bernoulli",
    *,
    encoder_gives: str = "log_var",
    decoder_gives: str | None = None,
    x_std: float = 1.0,
    train_images: Images | None = None,
    effort: str = "default",
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Audit:
    """Says whether the number that you log is -ELBO, what is wrong in it if not, and how good the model is.

    The loss is called with many small batches while its noise and what its decoder is handed are recorded:
    so its terms are known for each call, and their weights are read off to the last digits. Encoder and
    decoder are tested as they are handed over; then the modules among them are put into evaluation mode,
    and back at the end. Neither weights nor random states of yours are changed.

    Args:
        encode: images (n, …) -> mu and log_var of q(z given x), each (n, d). What comes after these two is
            passed over.
        decode: z (n, d) -> logits, probabilities or means, with as many numbers for each z as pixels.
        images: n of them, at least 2, a tensor (or array) of the shape that encode takes. Images that the
            model was not trained on say most.
        loss: the number that you log: takes a batch of images and returns one number, averaged over the
            batch; or takes x, recon_x, mu and log_var by such names.
        likelihood: "bernoulli", "gaussian", or a function from what decode returns to a distribution of
            `torch.distributions` over the pixels.
        encoder_gives: what the second of encode's results is: "log_var", "std", "var" or "log_std".
        decoder_gives: "logits" or "probabilities" for a Bernoulli likelihood, the first by default.
        x_std: σ of a Gaussian likelihood.
        train_images: images that the model was trained on, to compare with the others.
        effort: "quick", "default" or "thorough": how many draws and images are taken.
        generator: where the audit's own draws come from, on the CPU; None takes one with the seed 0, so that
            the report is the same each time.
        progress: say how long it will take, and show a bar.

    Returns:
        `Audit`: shown as a table in a notebook, as text by `print`, as JSON by `save`.

    Raises:
        TypeError: encode, decode or loss is no function, or returns something of another kind.
        ValueError: images that do not fit the model, NaN, a loss that returns several numbers, or an option
            that is not known.

    Source: Kingma & Welling 2014, eq. 3 and 10; Burda, Grosse & Salakhutdinov 2016, eq. 8; Grosse, Ghahramani
    & Adams 2015; Cremer, Li & Duvenaud 2018; Talts et al. 2018; Vehtari et al. 2024.
    """
    if not isinstance(effort, str) or effort not in of_model.EFFORTS:
        raise ValueError(f"effort: expected one of {tuple(of_model.EFFORTS)}, got {_validate.told(effort)}")
    generator = _seeded(generator)
    seed = generator.initial_seed()
    modules = modules_of(encode, decode, loss)
    x = as_images(images)
    on_cuda = [x.device] if x.device.type == "cuda" else []
    with (
        untouched(modules),
        torch.random.fork_rng(devices=on_cuda),
        torch.inference_mode(False),
        torch.no_grad(),
    ):
        with protected(0):
            subject = Subject(encode, decode, images, likelihood, encoder_gives, decoder_gives, x_std)
            x = x.reshape(len(x), -1)
            train = None if train_images is None else _like(train_images, images)
            number = None if loss is None else as_loss(subject, loss, modules)
            plan = of_model.plan(subject, x, train, of_model.EFFORTS[effort])
            seconds = 0.0 if number is None else _seconds_of(number, x, modules)
        total = 1.2 * (plan.seconds + seconds)  # with what is not timed
        told = {"desc": f"audit, about {total:.0f} s", "bar_format": "{desc}: {percentage:3.0f}%|{bar}|"}
        with bar(progress=progress, total=total, **told) as shown, protected(0):
            of_code, judge_average = _judge_code(subject, number, x, modules, generator)
            shown.update(seconds)
            evaluate(modules)
            figures, remarks = of_model.figures(subject, x, train, plan, generator, shown.update)
            figures, of_average = judge_average(figures)
    about = {
        "latents": subject.latent_dim,
        "pixels": subject.data_dim,
        "images": len(x),
        "likelihood": subject.likelihood,
        "effort": effort,
        "seed": seed,
    }
    return Audit(about, figures, (*of_code.checks, *of_average), (*of_code.notes, *remarks))


Figures = dict[str, Figure]


def _judge_code(
    subject: Subject,
    loss: Callable[[Tensor], Any] | None,
    x: Tensor,
    modules: list[nn.Module],
    generator: torch.Generator,
) -> tuple[OfCode, Callable[[Figures], tuple[Figures, list[Check]]]]:
    """What is tested of the code; and what judges the number's average, once the model's ELBO is known."""
    checks = judge_modes(subject, x)
    if loss is None:
        unknown = Check(NUMBER, "untested", "", "no loss was given")
        return OfCode(checks, []), lambda figures: (figures, [unknown])
    logged, notes = average(loss, x), []
    if modules and any(check.verdict == "wrong" for check in checks):
        evaluate(modules)
        notes = [EVALUATED]
    modes = [(m, m.training) for module in modules for m in module.modules()]
    of_number, unread = judge_number(subject, loss, x, generator)
    checks += of_number.checks

    def judge_average(figures: Figures) -> tuple[Figures, list[Check]]:
        how = f"your number, over batches of {min(BATCH, len(x))}; the error is that of its noise"
        own = Figure(logged.value, logged.error, "as you log it", how)
        compared = compare_numbers(logged, figures["negative_elbo"], any(check.code for check in checks))
        of_average = [compared]
        if unread and compared.verdict == "wrong":
            for module, training in modes:  # as they were when it was called
                module.training = training
            of_average = explain(subject, loss, unread, compared)
        return {"logged": own, **figures}, of_average

    return OfCode(checks, [*notes, *of_number.notes]), judge_average


EVALUATED = (
    "the number was read with the modules in evaluation mode, and so are the figures; what you log is as you "
    "handed the model over."
)


def _seconds_of(loss: Callable[[Tensor], Any], x: Tensor, modules: list[nn.Module]) -> float:
    """How long the calls of the loss will take.

    Raises:
        ValueError: it changes weights.
    """
    before = weights_of(modules)
    started = time.perf_counter()
    with protected(1):
        value_of(loss, x[: min(SIZES)])
        first = time.perf_counter() - started
        value_of(loss, x[:BATCH])
    large = time.perf_counter() - started - first
    if not all(map(torch.equal, before, weights_of(modules))):
        raise ValueError(
            "loss: expected a function that leaves the model as it is, got one that changes its weights; "
            "give the number alone, without the optimiser's step"
        )
    return 3 * sum(SIZES.values()) * min(first, large) + repeats_of(len(x)) * max(1, len(x) // BATCH) * large


def _seeded(generator: torch.Generator | None) -> torch.Generator:
    if generator is None:
        return torch.Generator().manual_seed(0)
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator or None, got {type(generator).__name__}")
    if generator.device.type != "cpu":
        raise ValueError(f"generator: expected one on the CPU, got one on {generator.device}")
    if generator.initial_seed() == NEVER_SEEDED:
        raise ValueError(
            "generator: expected one with a seed, so that the report can be had again, got one that was "
            "never seeded: torch.Generator().manual_seed(0)"
        )
    return generator


def _like(train_images: Images, images: Images) -> Tensor:
    train = as_images(train_images, "train_images")
    if train.shape[1:] != images.shape[1:] or train.dtype != as_images(images).dtype:
        raise ValueError(
            f"train_images: expected images like the others, {images.dtype} of shape (n, "
            f"{', '.join(map(str, images.shape[1:]))}), got {train.dtype} of shape {tuple(train.shape)}"
        )
    return train.reshape(len(train), -1).to(as_images(images).device)
