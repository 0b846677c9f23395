"""Reading the number that somebody logs: which sum of terms it is, and how it draws z.

The loss is called with many small batches. What it draws and decodes is recorded, so that each term of an
ELBO is known for each call, and a fit shows the weights to the last digits: no average is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import stats
from scipy.special import logit
from torch import Tensor, nn

from vae_helpers.audit.recording import Noise, Recorder, entry_of, inputs_of, modes_kept, numpy_noise
from vae_helpers.audit.subject import ENCODER_GIVES, SECOND, Subject
from vae_helpers.checks.engine.arguments import parameters_of, role_of
from vae_helpers.checks.engine.calling import protected
from vae_helpers.checks.parts.elbo.likelihoods import LIKELIHOODS, RIGHT
from vae_helpers.checks.parts.kl import KL
from vae_helpers.numerics._validate import Array
from vae_helpers.numerics.gaussian import kl_standard_normal

SIZES = {6: 40, 18: 24}  # images in a batch, and how many such batches
# What rounding leaves of a value of float32, as a part of it: on average, at most, at most of many terms.
EXACT, NEAR, NEAR_MANY = 1.5e-7, 1.5e-6, 5e-7
DRAWS = 4000  # of single latents that the distribution of the noise is judged by, at least
BY_CHANCE = 1e-7  # how improbable a right sample may look
SQUARED, ABSOLUTE = "the squared distance", "the absolute distance"
KL_CLOSED, KL_DRAWN, CONSTANT = "the KL", "the KL of the draws", "1"


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


class Fit(NamedTuple):
    """A value as a sum of terms, for batches of one size."""

    coefficients: dict[str, float]
    errors: dict[str, float]  # their standard errors, from the rounding that is left
    left: float  # the root mean square of what is left, as a part of the largest term


class LossReading(NamedTuple):
    """What the logged number is made of.

    Attributes:
        likelihood: the term that stands for the log-likelihood, a key of `pixel_terms`; "" for none.
        fits: the coefficients for each size of the batch.
        z: for each call the z that fit, (K, batch, d).
        calls: the calls, of all sizes.
        copies: whether each batch held copies of one image: what mixes the order of a batch can be read so.
    """

    likelihood: str
    fits: dict[int, Fit]
    z: list[Tensor]
    calls: list[Call]
    copies: bool = False

    @property
    def names(self) -> set[str]:
        """The terms beside the likelihood."""
        return set(next(iter(self.fits.values())).coefficients) - {self.likelihood}


# ---- calling it ---------------------------------------------------------------------------


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


# ---- the terms ----------------------------------------------------------------------------


def pixel_terms(subject: Subject) -> dict[str, Callable[[Tensor, Tensor], Array]]:
    """What may stand for the log-likelihood: functions of images and outputs, summed over pixels."""

    def with_means(term: Callable[[Array, Array], Array]) -> Callable[[Tensor, Tensor], Array]:
        return lambda x, output: term(x.double().cpu().numpy(), _double(subject.mean(output))).sum(-1)

    def with_logits(term: Callable[[Array, Array], Array]) -> Callable[[Tensor, Tensor], Array]:
        return lambda x, output: term(x.double().cpu().numpy(), _logits(subject, output)).sum(-1)

    distances = {
        SQUARED: with_means(lambda x, m: (x - m) ** 2),
        ABSOLUTE: with_means(lambda x, m: np.abs(x - m)),
    }
    if subject.likelihood == "bernoulli":
        rows = {name: with_logits(row.of_pixel) for name, row in LIKELIHOODS.items()}
        return rows | {ABSOLUTE: distances[ABSOLUTE]}
    if subject.likelihood == "gaussian":  # its constant is told apart below
        wrong = {
            "the cross-entropy of means": with_means(_cross_entropy),
            "the cross-entropy of logits": with_means(LIKELIHOODS[RIGHT].of_pixel),
        }
        return distances | wrong
    right = {RIGHT: lambda x, output: _double(subject.log_prob(x, output, x.shape[:-1]))}
    return right | distances if subject.has_mean else right


def _cross_entropy(x: Array, p: Array) -> Array:
    p = np.clip(p, 0, 1)
    with np.errstate(divide="ignore"):
        white, black = (np.clip(np.log(q), -100, 0) for q in (p, 1 - p))
    return x * white + (1 - x) * black


def _double(value: Tensor) -> Array:
    return value.detach().double().cpu().numpy()


def _logits(subject: Subject, output: Tensor) -> Array:
    if subject.decoder_gives == "logits":
        return _double(output)
    with np.errstate(divide="ignore"):
        return np.clip(logit(_double(output)), -100, 100)


def read_as(call: Call, encoder_gives: str) -> dict[str, Tensor]:
    """log σ² in each other way to read what the encoder gives second, where that makes sense."""
    second = SECOND[encoder_gives](call.log_var)
    others = {kind: to_log_var(second) for kind, to_log_var in ENCODER_GIVES.items() if kind != encoder_gives}
    return {kind: v for kind, v in others.items() if torch.isfinite(v).all()}


def latent_terms(call: Call, z: Tensor, encoder_gives: str) -> dict[str, float]:
    """Averages over the batch of what a KL may be made of."""
    others = {}
    for kind, log_var in read_as(call, encoder_gives).items():
        closed = kl_standard_normal(call.mu.cpu().numpy(), log_var.cpu().numpy())
        drawn = 0.5 * (z**2 - (z - call.mu) ** 2 * torch.exp(-log_var) - log_var).sum(-1)
        others |= {f"{KL_CLOSED} by {kind}": closed.mean(), f"{KL_DRAWN} by {kind}": drawn.mean().item()}
    mu, v = (part.cpu().numpy() for part in (call.mu, call.log_var))
    eps_squared = (((z - call.mu) / call.std) ** 2).sum(-1).mean().item()
    z_squared = (z**2).sum(-1).mean().item()
    values = {name: term(mu, v).sum(-1).mean() for name, term in KL.core.items()}
    values[CONSTANT] = 1.0
    values |= {KL_CLOSED: kl_standard_normal(mu, v).mean(), "z²": z_squared, "ε²": eps_squared}
    values[KL_DRAWN] = 0.5 * (z_squared - eps_squared - values["log σ²"])
    with np.errstate(all="ignore"):
        others |= {name: term(mu, v).sum(-1).mean() for name, term in KL.extras.items()}
        others |= {name: term(mu, v).mean() for name, term in KL.whole.items()}
    return values | others


READ = ((), (CONSTANT,))
FAMILIES = [
    (KL_CLOSED,),
    (KL_DRAWN,),
    (),
    (KL_CLOSED, CONSTANT),
    (KL_DRAWN, CONSTANT),
    (CONSTANT,),
    *((f"{kl} by {kind}", *rest) for kind in ENCODER_GIVES for kl in (KL_CLOSED, KL_DRAWN) for rest in READ),
    ("μ²", "σ²", "log σ²", CONSTANT),
    ("z²", "ε²", "log σ²", CONSTANT),
    ("μ²", "σ²", "log σ²", "z²", "ε²", CONSTANT),
    ("μ²/σ²", "1/σ²", "log σ²", CONSTANT),
    *(("μ²", "σ²", "log σ²", CONSTANT, extra) for extra in {**KL.extras, **KL.whole}),
]


# ---- reading it ----------------------------------------------------------------------------


def read_loss(
    subject: Subject, loss: Callable[[Tensor], Any], images: Tensor, generator: torch.Generator
) -> LossReading | list[Call]:
    """Which sum of terms the loss is; only the calls where it cannot be read as one of those known here."""
    with protected(0), torch.no_grad():
        probe = subject.randn(2, subject.latent_dim, generator=generator)
        entry = entry_of(subject.decode, subject.modules, probe)
    batches = probe_batches(images, generator)
    calls = [listen(subject, loss, x, seed + 1, entry) for seed, x in enumerate(batches)]
    if len({call.value for call in calls}) == 1:  # whatever the images are
        return calls
    if found := _search(subject, calls):
        return found
    batches = probe_batches(images, generator, copies=True)
    of_copies = [listen(subject, loss, x, seed + 1, entry) for seed, x in enumerate(batches)]
    found = _search(subject, of_copies)
    # What can be read so, and not otherwise, is exact if its order is all that is in the way.
    exact = found and max(fit.left for fit in found.fits.values()) < NEAR_MANY
    return found._replace(copies=True) if exact and _agrees(subject, found, calls, generator) else calls


def _agrees(subject: Subject, found: LossReading, calls: list[Call], generator: torch.Generator) -> bool:
    """Whether what was read with copies is the number of other batches, too, on average over draws from q."""
    plain = [call for call in calls[::2] if len(call.x) == max(SIZES)]
    fit, terms = found.fits[max(SIZES)], pixel_terms(subject)
    way = [c.mu[None] + c.std * subject.randn(1, *c.mu.shape, generator=generator).double() for c in plain]
    table = table_of(subject, plain, way, terms)
    expected = [sum(value * row[name] for name, value in fit.coefficients.items()) for row in table]
    apart = np.array([call.value for call in plain]) - expected
    error = apart.std(ddof=1) / math.sqrt(len(apart))
    return bool(abs(apart.mean()) < 6 * error + 1e-4 * abs(np.mean(expected)))


class _Found(NamedTuple):
    """A sum of terms that fits, and how well."""

    reading: LossReading
    error: float  # what it leaves, as a part of the value


def _search(subject: Subject, calls: list[Call]) -> LossReading | None:
    """The simplest sum of terms, of the draw that accuses least, that fits nearly as well as any."""
    terms, found = pixel_terms(subject), []
    for way in _ways(calls):
        table = table_of(subject, calls, way, terms)
        for family in FAMILIES:
            for likelihood in ("", *terms):
                names = (likelihood, *family) if likelihood else family
                fits = _fits(calls, table, names) if names else None
                if fits:
                    error = max(fit.left for fit in fits.values())
                    found.append(_Found(LossReading(likelihood, fits, way, calls), error))
    if not found:
        return None
    good = 2.5 * max(min(each.error for each in found), EXACT)
    order = list(terms)

    def innocence(each: _Found) -> tuple[int, int]:
        names = set(next(iter(each.reading.fits.values())).coefficients) - {each.reading.likelihood}
        family = next(n for n, family in enumerate(FAMILIES) if set(family) == names)
        return family, order.index(each.reading.likelihood) if each.reading.likelihood else len(order)

    return min((each for each in found if each.error <= good), key=innocence).reading


@torch.no_grad()
def table_of(subject: Subject, calls: list[Call], way: list[Tensor], terms: Any) -> list[dict[str, float]]:
    """For each call the average over the batch of each term."""
    rows = []
    for call, z in zip(calls, way, strict=True):
        values = latent_terms(call, z, subject.encoder_gives)
        outputs = [subject.decode(draw.to(subject.dtype)) for draw in z]
        for name, term in terms.items():
            values[name] = float(np.mean([term(call.x, output).mean() for output in outputs]))
        rows.append(values)
    return rows


def _ways(calls: list[Call]) -> Iterator[list[Tensor]]:
    """The z that the calls may have decoded: those that were seen, or else those that noise may have made."""
    layouts = min(len(call.decoded) for call in calls)
    if layouts:
        yield from ([call.decoded[k] for call in calls] for k in range(layouts))
        return
    for form in FORMS.values():
        way = [_made(call, form) for call in calls]
        if all(z is not None for z in way):
            yield way
    yield [call.mu[None] for call in calls]


FORMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "": lambda mu, std, r: mu + std * r,
    "drawn": lambda mu, std, r: r,
    "var-for-std": lambda mu, std, r: mu + std**2 * r,
    "std-missing": lambda mu, std, r: mu + r,
    "root": lambda mu, std, r: mu + std.sqrt() * r,
    "log": lambda mu, std, r: mu + 2 * std.log() * r,
    "noise": lambda mu, std, r: std * r,
}


def draw_of(call: Call, reading: LossReading) -> Tensor | None:
    """The z of another call, known in the way in which those of the reading are; None where it is not."""
    ways = list(_ways([*reading.calls, call]))
    same = (way[-1] for way in ways if all(map(torch.equal, way[:-1], reading.z)))
    return next(same, None)


def _made(call: Call, form: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor | None:
    """What a form makes of the last noise that may have become a z; None where there is none."""
    noise = _noise_of(call)
    return None if noise is None else form(call.mu, call.std, noise)


def _noise_of(call: Call) -> Tensor | None:
    """The last noise that may have become a z, as it broadcasts to (K, batch, d)."""
    batch, d = call.mu.shape
    for noise in reversed(call.noises):
        values = noise.values.to(call.mu)
        if values.numel() and values.numel() % (batch * d) == 0:
            return values.reshape(-1, batch, d)
        for shape in ((1, batch, 1), (1, 1, d), (1, 1, 1)):
            if values.numel() == math.prod(shape):
                return values.reshape(shape).expand(1, batch, d)
    return None


def _fits(calls: list[Call], table: list[dict[str, float]], names: Iterable[str]) -> dict[int, Fit] | None:
    """The coefficients of some terms for each size of the batch; None where they do not give the values."""
    names, found = tuple(names), {}
    for size in SIZES:
        rows = [row for row, call in zip(table, calls, strict=True) if len(call.x) == size]
        values = np.array([call.value for call in calls if len(call.x) == size])
        matrix = np.array([[row.get(name, math.nan) for name in names] for row in rows])
        fit = _fit(matrix, values, names)
        if fit is None:
            return None
        found[size] = fit
    return found


def _fit(matrix: Array, values: Array, names: tuple[str, ...]) -> Fit | None:
    if not np.isfinite(matrix).all():
        return None
    near = NEAR if len(names) < 4 else NEAR_MANY
    norm = np.linalg.norm(matrix, axis=0)
    norm[norm == 0] = 1
    solution, _, rank, _ = np.linalg.lstsq(matrix / norm, values, rcond=1e-12)
    coefficients = solution / norm
    largest = np.abs(values).max()
    size = max(largest, min(np.abs(matrix * coefficients).max(), 1e3 * largest))
    residual = matrix @ coefficients - values
    left = math.sqrt((residual**2).sum() / max(len(values) - rank, 1))
    if left > near * size:
        return None
    spread = np.sqrt(np.diag(np.linalg.pinv((matrix / norm).T @ (matrix / norm)))) / norm
    errors = max(left, EXACT * largest) * spread
    return Fit(
        dict(zip(names, coefficients, strict=True)), dict(zip(names, errors, strict=True)), left / size
    )


# ---- the draws -------------------------------------------------------------------------------


class Drawn(NamedTuple):
    """How z is drawn: the code of the mistake, empty for none; what is said of it; draws seen."""

    code: str
    text: str
    count: int


MEAN_DECODED = """the mean of q is decoded, not a draw from it: the number is no estimate of the expectation
    and no bound on log p(x)"""
SHARED_ROWS = "all images of a batch share their noise"
SHARED_LATENTS = "all latents of an image share one number as their noise"
FIXED = "each call draws the same noise: its generator is started anew each time"
NOT_NORMAL = "(z - mu) / σ is not standard normal"


def judge_draws(reading: LossReading, more: list[Call], encoder_gives: str) -> Drawn:
    """Whether z is drawn from q, by each draw that was seen.

    Args:
        reading: what the loss is.
        more: calls of larger batches, for the distribution's sake.
        encoder_gives: what the second of the encoder's results is.
    """
    pairs = [(call, z) for call, z in zip(reading.calls, reading.z, strict=True)]
    pairs += [(call, call.decoded[0]) for call in more if call.decoded]
    eps = [(z - call.mu) / call.std for call, z in pairs]
    count = sum(e.numel() for e in eps)
    size = max(z.abs().max().item() for _, z in pairs) + 1
    if all((z - call.mu).abs().max() < 1e-4 * size for call, z in pairs):
        return Drawn("noise-missing", MEAN_DECODED, count)
    if all(_same(e - e[:, :1]) for e in eps):
        return Drawn("noise-shared", SHARED_ROWS, count)
    if eps[0].shape[-1] > 1 and all(_same(e - e[..., :1]) for e in eps):
        return Drawn("noise-shared", SHARED_LATENTS, count)
    if eps[0].shape == eps[1].shape and _same(eps[0] - eps[1]):
        return Drawn("noise-shared", FIXED, count)
    known = [(call, z, noise) for call, z in pairs if (noise := _noise_of(call)) is not None]
    if len(known) == len(pairs) and all(r.shape == z.shape for _, z, r in known):
        if found := _by_known_noise(known, encoder_gives):
            return Drawn(*found, count)
    pooled = torch.cat([e.flatten() for e in eps]).cpu().numpy()
    if stats.kstest(pooled, "norm").pvalue > BY_CHANCE and _variance_fits(pooled):
        return Drawn("", "", count)
    latents = torch.cat([z.flatten() for _, z in pairs]).cpu().numpy()
    if stats.kstest(latents, "norm").pvalue > 1e-3:
        return Drawn("term-wrong", "z is drawn from the prior instead of q", count)
    scaled = pooled / pooled.std()
    if abs(pooled.mean()) < 0.05 and stats.kstest(scaled, "norm").pvalue > 1e-3:
        return Drawn("term-scale", f"the noise of z has {pooled.std():.3g} times the size of σ", count)
    return Drawn("noise-not-normal", NOT_NORMAL, count)


def _by_known_noise(known: list[tuple[Call, Tensor, Tensor]], encoder_gives: str) -> tuple[str, str] | None:
    """The code and the words for z that are a wrong function of mu, σ and noise; None where they are none."""
    for kind in ENCODER_GIVES:
        readings = [read_as(call, encoder_gives).get(kind) for call, _, _ in known]
        if all(v is not None for v in readings) and all(
            _close(call.mu + torch.exp(0.5 * v) * r, z)
            for v, (call, z, r) in zip(readings, known, strict=True)
        ):
            code = "var-for-std" if {kind, encoder_gives} == {"log_var", "log_std"} else "term-wrong"
            code = "var-for-std" if {kind, encoder_gives} == {"std", "var"} else code
            words = f"z is drawn as if what encode gives second were {kind}; it is {encoder_gives}"
            if (kind, encoder_gives) in (("log_std", "log_var"), ("std", "var")):
                words = f"{words}: σ² stands in place of σ"
            return code, words
    for code, form in FORMS.items():
        if code and code != "drawn" and all(_close(form(c.mu, c.std, r), z) for c, z, r in known):
            return WORDS[code]
    scale = torch.cat([((z - c.mu) / c.std / r)[r.abs() > 0.1].flatten() for c, z, r in known])
    if len(scale) and (scale - scale.mean()).abs().max() < 1e-2 * scale.mean().abs():
        if not math.isclose(scale.mean(), 1, rel_tol=5e-3):
            return "term-scale", f"the noise of z has {scale.mean().item():.3g} times the size of σ"
    return None


WORDS = {
    "var-for-std": ("var-for-std", "z is drawn with σ² in place of σ"),
    "std-missing": ("std-missing", "z is drawn with a standard deviation of 1, whatever q's is"),
    "root": ("term-wrong", "z is drawn with √σ in place of σ"),
    "log": ("term-wrong", "log σ² itself is used as the standard deviation of z"),
    "noise": ("term-wrong", "the mean of q is not in z"),
}


def _same(difference: Tensor) -> bool:
    return bool(difference.abs().max() < 1e-4)


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() < 1e-4 * (1 + b.abs().max()))


def _variance_fits(values: Array) -> bool:
    """Whether the mean square of a sample is that of standard normal numbers."""
    return abs(np.mean(values**2) - 1) < stats.norm.isf(BY_CHANCE) * math.sqrt(2 / len(values))
