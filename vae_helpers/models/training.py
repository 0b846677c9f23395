"""Training on a tensor that fits in memory (PyTorch)."""

from __future__ import annotations

import ctypes
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from vae_helpers.models._bar import bar as progress_bar
from vae_helpers.models._validate import check_batch, check_images, check_model, fresh_generator, trusted
from vae_helpers.models.objectives import elbo, iwae_for_training
from vae_helpers.models.storage import Checkpoint, as_path, fingerprint
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import as_count, as_flag, as_function, as_number, told

OPTIMIZERS = ("adam", "muon")
_NUMBERS = ("learning_rate", "beta", "warmup", "free_bits")


@dataclass
class History:
    """What `fit` recorded, one entry an epoch, in nats per image; the KL counts with the weight beta.

    Attributes:
        train: -ELBO (or minus the importance-weighted bound, if that is what is trained on) averaged over
            the epoch's batches, while the weights were moving.
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


@dataclass(frozen=True)
class Settings:
    """The options of `fit` that decide which weights a training ends with, checked; as documented there.

    Raises:
        TypeError: a count that is not a whole number, or another option that is not a number.
        ValueError: an option outside its range, or options that do not go together.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    beta: float
    warmup: float
    free_bits: float
    num_samples: int | None
    optimizer: str
    precision: torch.dtype
    binarize: bool

    def __post_init__(self) -> None:
        """Checks each, and makes Python's own numbers of NumPy's."""
        counts = {name: as_count(name, getattr(self, name)) for name in ("epochs", "batch_size")}
        if self.num_samples is not None:
            counts["num_samples"] = as_count("num_samples", self.num_samples)
        numbers = {name: as_number(name, getattr(self, name), minimum=0) for name in _NUMBERS}
        as_number("learning_rate", self.learning_rate, positive=True)
        self.__dict__.update(counts | numbers)  # Python's own numbers; frozen for everybody else
        if self.warmup >= 1:
            raise ValueError(f"warmup: expected a part of the training in [0, 1), got {self.warmup!r}")
        if self.num_samples is not None and (self.beta, self.warmup, self.free_bits) != (1, 0, 0):
            raise ValueError(
                "num_samples: expected beta = 1, warmup = 0 and free_bits = 0 beside it, got "
                f"{self.beta!r}, {self.warmup!r} and {self.free_bits!r}"
            )
        if not isinstance(self.optimizer, str) or self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer: expected one of {OPTIMIZERS}, got {told(self.optimizer)}")
        if not any(self.precision is known for known in (torch.float32, torch.bfloat16)):
            raise ValueError(
                f"precision: expected torch.float32 or torch.bfloat16, got {told(self.precision)}"
            )
        self.__dict__["binarize"] = as_flag("binarize", self.binarize)


@torch.inference_mode(False)  # a training needs gradients, wherever it is called
@torch.enable_grad()
def fit(
    model: VAE,
    images: Tensor,
    epochs: int = 5,
    *,
    test_images: Tensor | None = None,
    batch_size: int = 200,
    learning_rate: float = 5e-3,
    beta: float = 1.0,
    warmup: float = 0.2,
    free_bits: float = 0.0,
    num_samples: int | None = None,
    optimizer: str = "adam",
    binarize: bool = True,
    precision: torch.dtype | None = None,
    device: torch.device | str | None = None,
    init_bias: bool = True,
    generator: torch.Generator | None = None,
    progress: bool = True,
    on_step: Callable[[int, int, float], object] | None = None,
    checkpoint: str | Path | None = None,
    keep_checkpoint: bool = False,
) -> History:
    """Trains the model by gradient steps with a one-cycle schedule on -ELBO, and returns the curves.

    For a Bernoulli likelihood every epoch draws new black-and-white images from the grey ones. The
    learning rate climbs to its peak in the first tenth of the steps and falls to zero along a line. The
    recorded -ELBO always has the full weight beta. The defaults are for a good model of digits soon;
    more epochs make a better one, and then a lower learning_rate (3e-3 for 20).

    Args:
        model: trained in place, and afterwards in evaluation mode. One on the CPU is trained on the
            machine's GPU (CUDA, MPS) if there is one, and comes back; see `device`.
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
        binarize: False to train on the grey values themselves, where a likelihood of black-and-white
            pixels (Bernoulli) is asked for, as much public code does: faster, but the loss is then a
            cross-entropy, and minus it no bound on a log-likelihood.
        precision: of the matrix products: `torch.bfloat16`, which is faster where there is hardware
            for it, or `torch.float32`; None takes the first where there is (`fast_precision`). Weights,
            bounds and gradient steps stay in single precision.
        device: where it is trained; None for where the model is, or the machine's GPU if that is the CPU.
        init_bias: set the decoder's last bias to the mean image before the first step; False to go
            on with a model that has been trained before.
        generator: where all randomness of training comes from; None takes fresh entropy.
        progress: show a bar with the running -ELBO.
        on_step: called after each step with the steps done, the steps in all and the batch's -ELBO
            in nats per image; when it returns True, training ends there.
        checkpoint: a file that holds the state of the training after each epoch. If it is there at
            the start, training goes on from it, to the same weights bit by bit as without the
            interruption; it is deleted after the last epoch. If it cannot be written, as on a full disk, a
            warning says so at once, the state before stays, and training goes on.
        keep_checkpoint: leave it after the last epoch, for a caller who deletes it once the model is stored.

    Returns:
        A `History`.

    Raises:
        ValueError: images of the wrong shape or outside [0, 1], a count below 1, settings that do
            not go together, or a checkpoint of a training with other settings, images or another
            generator.
        TypeError: a count that is not a whole number, or what is no tensor or no generator.
        FileNotFoundError, PermissionError: the checkpoint's folder does not exist, or takes no files.
        FloatingPointError: the loss became NaN or infinite; told at the end of the epoch, with the step.

    Source: Kingma & Welling 2014, algorithm 1; Smith & Topin 2018 for the schedule; Bowman et al.
    2016, section 3.1, for the warm-up; Kingma et al. 2016, eq. 15, for the free bits; Jordan et al.
    2024 and Liu et al. 2025, section 2.2, for Muon.
    """
    check_images(images, check_model(model).data_dim)
    if test_images is not None:
        check_images(test_images, model.data_dim, name="test_images")
    if on_step is not None:
        as_function("on_step", on_step)
    init_bias, progress = as_flag("init_bias", init_bias), as_flag("progress", progress)
    keep_checkpoint = as_flag("keep_checkpoint", keep_checkpoint)
    if checkpoint is not None:
        checkpoint = as_path("checkpoint", checkpoint)
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise ValueError("model: expected weights that can be trained, got some made in torch.inference_mode")
    if images.dtype != (dtype := next(model.parameters()).dtype):
        raise ValueError(f"images: expected {dtype} like the model's weights, got {images.dtype}")
    home, device = next(model.parameters()).device, where_to_train(model, device)
    seeded = None if generator is None else fingerprint(fresh_generator(generator, home).get_state())
    generator = fresh_generator(generator, home)
    if device != home:  # a stream of its own there, which follows from the caller's
        seed = int(torch.randint(2**62, (), generator=generator, device=home))
        generator = torch.Generator(device).manual_seed(seed)
    settings = Settings(
        epochs=epochs,
        batch_size=min(as_count("batch_size", batch_size), len(images)),
        learning_rate=learning_rate,
        beta=beta,
        warmup=warmup,
        free_bits=free_bits,
        num_samples=num_samples,
        optimizer=optimizer,
        binarize=binarize,
        precision=fast_precision(device) if precision is None else precision,
    )
    images = images.to(device)
    with _at_work(model, device):
        # Its own stream for the test images: the same zeros and ones after every epoch.
        test_x = None if test_images is None else test_images.to(device)
        if binarize and test_x is not None:
            test_x = observed(model, test_x, 0)
        mover = _Mover(model, settings)
        history, finished, saved = History(), 0, None
        if checkpoint is not None:
            recipe = asdict(settings) | {
                "precision": str(settings.precision),
                "model": model.config,
                "images": fingerprint(images),
                "test_images": None if test_images is None else fingerprint(test_images),
                "init_bias": init_bias,
                "generator": seeded,
            }
            saved = Checkpoint(checkpoint, recipe, model, mover.optimizers, generator)
            finished, curves = saved.restore()
            history = History(**curves)
        if init_bias and not finished:
            model.set_output_bias(images)
        levels = model.observation.levels(images) if binarize else images
        watch = _Watch(settings, len(images), finished, progress, on_step)
        with watch.bar:
            for epoch in range(finished + 1, settings.epochs + 1):
                started = time.perf_counter()
                history.train.append(
                    _train_epoch(model, levels, images.dtype, settings, mover, generator, watch)
                )
                history.seconds.append(time.perf_counter() - started)
                if test_x is not None:
                    _record(history, model, test_x, settings.beta)
                watch.bar.set_postfix_str(f"epoch {epoch}: {(history.test or history.train)[-1]:.1f} nats")
                if watch.stopped:
                    break
                if saved is not None:
                    with _told(saved.path, f"written after epoch {epoch}; the training goes on"):
                        saved.save(epoch, asdict(history))
    if saved is not None and not watch.stopped and not keep_checkpoint:
        with _told(saved.path, "deleted"):
            saved.delete()
    model.eval()
    return history


def where_to_train(model: VAE, device: torch.device | str | None = None) -> torch.device:
    """The device that is asked for, or that of the model, or the machine's GPU if that is the CPU.

    Raises:
        TypeError, ValueError: what is no device.
    """
    if device is not None:
        if not isinstance(device, torch.device | str):
            raise TypeError(f"device: expected a torch.device, its name or None, got {told(device)}")
        try:
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:  # no such name, or none in this machine
            raise ValueError(f"device: expected one of this machine, got {device!r}: {error}") from error
    home = next(model.parameters()).device
    return torch.accelerator.current_accelerator(check_available=True) or home if home.type == "cpu" else home


def fast_precision(device: torch.device) -> torch.dtype:
    """torch.bfloat16 where the device multiplies matrices of it in hardware, else torch.float32."""
    if device.type == "cuda":
        in_hardware = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        can = torch.cpu.get_capabilities() if device.type == "cpu" else {}
        in_hardware = can.get("avx512_bf16", False) or can.get("amx_bf16", False)
    return torch.bfloat16 if in_hardware else torch.float32


@contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    """Turns an error of the disk into a warning: a trained model is worth more than its checkpoint."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        warnings.warn(f"checkpoint: {path} could not be {what}: {why}", RuntimeWarning, stacklevel=6)


@contextmanager
def _at_work(model: VAE, device: torch.device) -> Iterator[None]:
    """The model on the device, and the processor set for training; at the end all is as it was."""
    home = next(model.parameters()).device
    # Moments of weights that no pixel moves sink below the smallest ordinary number, where a
    # processor is many times slower; they may as well be zero.
    flushed = not torch.tensor(1e-39).mul(0.5).item()
    torch.set_flush_denormal(True)
    _keep_freed_memory()
    model.to(device)
    try:
        yield
    finally:
        model.to(home)
        torch.set_flush_denormal(flushed)


def _keep_freed_memory() -> None:
    """Lets a step take the memory of the step before instead of the system's, which has to clear it first.

    It holds for the process from then on. Arrays over 32 MB still come from the system and go back to it.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):  # glibc's
        for option, size in {"M_MMAP_THRESHOLD": (-3, 2**25), "M_TRIM_THRESHOLD": (-1, 2**28)}.values():
            mallopt(option, size)


def _train_epoch(
    model: VAE,
    levels: Tensor,
    dtype: torch.dtype,
    settings: Settings,
    mover: _Mover,
    generator: torch.Generator,
    watch: _Watch,
) -> float:
    """One pass over the images; the mean -ELBO of its batches, while the weights were moving."""
    bfloat16 = settings.precision == torch.bfloat16
    model.train()
    for index in _batches(len(levels), settings.batch_size, generator):
        x = levels.index_select(0, index)
        if settings.binarize:
            x = model.observation.draw(x, generator).to(dtype)
        with trusted(), torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
            loss, minus_elbo = _loss(model, x, settings, watch.done / watch.total, generator)
        mover.zero_grad()
        loss.backward()
        mover.step(watch.done / watch.total)
        if watch.tell(minus_elbo):
            break
    return watch.mean()


def _batches(num_images: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """The numbers of the images in a new order, as many as fill whole batches."""
    order = torch.randperm(num_images, generator=generator, device=generator.device)
    for start in range(0, num_images - size + 1, size):
        yield order[start : start + size]


def _loss(
    model: VAE, x: Tensor, settings: Settings, part_done: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What is minimised, and the -ELBO with the full weight of the KL, both averaged over the batch."""
    if settings.num_samples is not None:
        loss = -iwae_for_training(model, x, settings.num_samples, generator).mean()
        return loss, loss
    parts = elbo(model, x, settings.beta, generator=generator)
    kl = parts.kl
    if settings.free_bits:
        kl = parts.kl_per_latent.mean(dim=0).clamp(min=settings.free_bits).sum()
    weight = settings.beta * (min(1.0, part_done / settings.warmup) if settings.warmup else 1.0)
    return -(parts.log_likelihood - weight * kl).mean(), -parts.elbo.mean()


class _Mover:
    """What moves the weights: Adam alone, or Muon for the matrices and Adam for all else."""

    def __init__(self, model: VAE, settings: Settings) -> None:
        self.peak = settings.learning_rate
        adam = partial(torch.optim.Adam, lr=self.peak, betas=(0.9, 0.99), fused=True)
        self.parameters = parameters = list(model.parameters())
        if settings.optimizer == "adam":
            self.optimizers = [adam(parameters)]
        else:
            muon = torch.optim.Muon(
                [parameter for parameter in parameters if parameter.ndim == 2],
                self.peak,
                weight_decay=0.0,
                adjust_lr_fn="match_rms_adamw",
            )
            self.optimizers = [muon, adam([parameter for parameter in parameters if parameter.ndim != 2])]

    def zero_grad(self) -> None:
        """Forgets the gradients of the step before."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self, part_done: float) -> None:
        """One step of the weights; its size climbs for a tenth of the training and falls to zero then."""
        size = self.peak * min(0.04 + part_done / 0.1, (1 - part_done) / 0.9)
        for each in self.optimizers:
            for group in each.param_groups:
                group["lr"] = size
            each.step()


class _Watch:
    """Where a training is, and who is told: the bar and the caller's `on_step`.

    Attributes:
        done, total: the steps so far, and in all.
        stopped: whether `on_step` has ended it.
    """

    def __init__(
        self,
        settings: Settings,
        num_images: int,
        finished: int,
        progress: bool,
        on_step: Callable[[int, int, float], object] | None,
    ) -> None:
        self.steps_per_epoch, self.on_step, self.stopped = num_images // settings.batch_size, on_step, False
        self.done, self.total = finished * self.steps_per_epoch, settings.epochs * self.steps_per_epoch
        self.bar = progress_bar(progress=progress, total=self.total, initial=self.done, unit="step")
        self._losses: list[Tensor] = []

    def tell(self, loss: Tensor) -> bool:
        """Tells of a step that was made; whether training ends here.

        Raises:
            FloatingPointError: the caller is told of each step, and the loss is NaN or infinite.
        """
        self._losses.append(loss.detach())  # not its number: a GPU would have to wait for it
        self.done += 1
        self.bar.update()
        if self.on_step is not None:
            self._check(value := loss.item(), self.done)
            self.stopped = self.on_step(self.done, self.total, value) is True
        return self.stopped

    def mean(self) -> float:
        """The mean loss of the steps since the last call.

        Raises:
            FloatingPointError: one of them is NaN or infinite.
        """
        losses, self._losses = torch.stack(self._losses).tolist(), []
        for step, value in enumerate(losses, self.done - len(losses) + 1):
            self._check(value, step)
        return sum(losses) / len(losses)

    def _check(self, value: float, step: int) -> None:
        if not math.isfinite(value):
            epoch, place = divmod(step - 1, self.steps_per_epoch)
            raise FloatingPointError(f"the loss became {value} in epoch {epoch + 1}, step {place + 1}")


def observed(model: VAE, images: Tensor, generator: torch.Generator | int | None) -> Tensor:
    """The x that the model's likelihood speaks of: binarized pixels, or the grey values.

    Args:
        model: the VAE; its likelihood decides.
        images: grey values in [0, 1], shape (n, D).
        generator: for the binarization: a generator, a seed for a new one, or None.
    """
    check_images(images, check_model(model).data_dim)
    if isinstance(generator, int) and not isinstance(generator, bool):
        seed = as_count("generator", generator, minimum=0, maximum=2**63 - 1)
        generator = torch.Generator(images.device).manual_seed(seed)
    return model.observation.observe(images, generator)


@torch.no_grad()
def mean_elbo(
    model: VAE, x: Tensor, generator: torch.Generator, beta: float = 1.0, batch_size: int = 1000
) -> tuple[float, float, float]:
    """Averages over images of the ELBO, E_q[log p(x given z)] and the KL, in nats per image."""
    check_batch("x", x, check_model(model).data_dim)
    batch_size = as_count("batch_size", batch_size)
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
