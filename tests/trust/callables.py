"""The public functions, each with good arguments and an oracle: SciPy, PyTorch or plain loops."""

from __future__ import annotations

import html
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import Tensor
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from trust.bad_input import Arguments, Target, exported, found

TARGETS: list[Target] = []
MODERATE = 50.0  # up to here an oracle is exact enough


def add(name: str, good: Any, right: Any, **more: Any) -> None:
    """Adds a function; `right` gets the result and the arguments by their names."""
    TARGETS.append(Target(name, good, lambda result, a: right(result, **a), **more))


def seeded(draw: st.DrawFn) -> np.random.Generator:
    """NumPy's generator, from a seed that Hypothesis chooses."""
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


def small(draw: st.DrawFn, low: int = 1, high: int = 3) -> int:
    """A size."""
    return draw(st.integers(low, high))


def number_of(value: Any) -> float:
    """One number that was taken, as Python's."""
    array = np.array(value)
    assert array.size == 1 and array.dtype.kind in "biuf", "not a number"
    return float(array.item())


def count_of(value: Any) -> int:
    """A whole number that was taken."""
    assert isinstance(value, int | np.integer) and not isinstance(value, bool), "not a whole number"
    return int(value)


# ---- numerics -------------------------------------------------------------------------------


def vectors_of(*values: Any) -> list[np.ndarray]:
    """What was taken as vectors, as float64 with an event axis."""
    found = []
    for value in values:
        assert not isinstance(value, str | bytes | dict) and value is not None, "not numbers"
        if isinstance(value, np.ma.MaskedArray):
            assert not np.ma.getmaskarray(value).any(), "masked numbers were taken"
        array = np.array(value)
        assert array.dtype.kind in "biuf" and array.size, f"not numbers: {array.dtype}"
        array = array.astype(np.float64)
        assert np.isfinite(array).all(), "numbers that are not finite were taken"
        found.append(array)
    event = max((a.shape[-1] for a in found if a.ndim), default=1)
    return [np.full((event,), a) if a.ndim == 0 else a for a in found]


def close(result: Any, truth: np.ndarray, *given: np.ndarray, tolerance: float = 1e-9) -> None:
    """Float64 numbers of the truth's shape; its values where the arguments are moderate, else no NaN."""
    assert isinstance(result, np.ndarray | np.float64) and result.dtype == np.float64, type(result)
    assert result.shape == np.shape(truth), f"expected shape {np.shape(truth)}"
    assert not np.isnan(result).any(), "NaN"
    if all(np.abs(a).max() <= MODERATE for a in given):
        assert_allclose(result, truth, rtol=tolerance, atol=tolerance)


def some_vectors(draw: st.DrawFn, *names: str) -> Arguments:
    """Arrays of (batch, d) that broadcast, some of them scalars."""
    rng, shape = seeded(draw), (*draw(st.sampled_from([(), (1,), (3,), (2, 3)])), small(draw))
    arguments: Arguments = {}
    for number, name in enumerate(names):
        cut = draw(st.integers(0, len(shape) - 1)) if number else 0
        arguments[name] = rng.normal(size=shape[cut:]).astype(draw(st.sampled_from(["f8", "f4", "f2"])))
        if number and draw(st.integers(0, 4)) == 0:
            arguments[name] = draw(st.sampled_from([0.5, np.float32(1), 2, np.array(-1.0), True]))
    return arguments


def truth_of_log_prob(result: Any, x: Any, mu: Any, log_var: Any) -> None:
    x, mu, v = given = vectors_of(x, mu, log_var)
    close(result, scipy.stats.norm.logpdf(x, mu, np.exp(v / 2)).sum(-1), *given)


def truth_of_entropy(result: Any, log_var: Any) -> None:
    (v,) = vectors_of(log_var)
    close(result, scipy.stats.norm.entropy(scale=np.exp(v / 2)).sum(-1), v)


def kl_of(mu_q: np.ndarray, v_q: np.ndarray, mu_p: np.ndarray, v_p: np.ndarray) -> np.ndarray:
    """The KL of diagonal Gaussians, by PyTorch."""
    tensors = (torch.from_numpy(np.array(a)) for a in (mu_q, v_q, mu_p, v_p))
    mu_q, v_q, mu_p, v_p = torch.broadcast_tensors(*tensors)
    q, p = (Normal(mu, torch.exp(v / 2), validate_args=False) for mu, v in ((mu_q, v_q), (mu_p, v_p)))
    return kl_divergence(q, p).sum(-1).numpy()


def truth_of_kl(result: Any, mu: Any, log_var: Any) -> None:
    mu, v = vectors_of(mu, log_var)
    close(result, kl_of(mu, v, np.zeros(1), np.zeros(1)), mu, v)
    assert (np.asarray(result) >= 0).all()


def truth_of_kl_diagonal(result: Any, **given: Any) -> None:
    vectors = vectors_of(*(given[name] for name in ("mu_q", "log_var_q", "mu_p", "log_var_p")))
    close(result, kl_of(*vectors), *vectors)
    assert (np.asarray(result) >= 0).all()


def covariance(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """A symmetric positive definite matrix, (..., d, d)."""
    a = rng.normal(size=(*shape, shape[-1]))
    return a @ np.swapaxes(a, -1, -2) + 0.1 * np.eye(shape[-1])


def good_full(draw: st.DrawFn) -> Arguments:
    rng, batch, d = seeded(draw), draw(st.sampled_from([(), (2,)])), small(draw)
    arguments = {f"mu_{of}": rng.normal(size=(*batch, d)) for of in "qp"}
    return arguments | {f"cov_{of}": covariance(rng, *batch, d) for of in "qp"}


def truth_of_kl_full(result: Any, mu_q: Any, cov_q: Any, mu_p: Any, cov_p: Any) -> None:
    mu_q, mu_p = vectors_of(mu_q, mu_p)
    cov_q, cov_p = vectors_of(cov_q, cov_p)
    batch = np.broadcast_shapes(mu_q.shape[:-1], mu_p.shape[:-1], cov_q.shape[:-2], cov_p.shape[:-2])
    d = mu_q.shape[-1]
    parts = [np.broadcast_to(a, (*batch, d)) for a in (mu_q, mu_p)]
    parts += [np.broadcast_to(a, (*batch, d, d)) for a in (cov_q, cov_p)]
    mu_q, mu_p, cov_q, cov_p = (torch.from_numpy(np.array(part)) for part in parts)
    low = min(np.linalg.eigvalsh(cov).min() for cov in (cov_q.numpy(), cov_p.numpy()))
    if low < 1e-6 or max(part.abs().max() for part in (mu_q, mu_p, cov_q, cov_p)) > MODERATE:
        assert np.shape(result) == batch and not np.isnan(result).any()
        return
    q, p = MultivariateNormal(mu_q, cov_q), MultivariateNormal(mu_p, cov_p)
    close(result, kl_divergence(q, p).numpy(), tolerance=1e-6)


def good_expectation(draw: st.DrawFn) -> Arguments:
    return {"f": np.square, "mu": draw(st.floats(-3, 3)), "std": draw(st.floats(0.01, 3))}


def truth_of_expectation(result: Any, f: Any, mu: Any, std: Any) -> None:
    assert isinstance(result, float) and not math.isnan(result)
    mu, std = number_of(mu), number_of(std)
    assert std > 0 and math.isfinite(mu) and math.isfinite(std)
    if f is np.square and abs(mu) < MODERATE and std < MODERATE:
        assert_allclose(result, mu**2 + std**2, rtol=1e-9)


def good_linear(draw: st.DrawFn) -> Arguments:
    rng, d, latent = seeded(draw), small(draw), small(draw)
    return {
        "weight": rng.normal(size=(d, latent)),
        "bias": draw(st.sampled_from([0.5, rng.normal(size=d)])),
        "noise_std": draw(st.floats(0.1, 2)),
    }


def truth_of_linear(result: Any, weight: Any, bias: Any, noise_std: Any) -> None:
    weight, bias = (np.array(a, dtype=float) for a in (weight, bias))
    shape = weight.shape if weight.ndim else (1, 1)
    assert (result.data_dim, result.latent_dim) == shape and result.bias.shape == shape[:1]
    assert number_of(noise_std) > 0
    x = np.ones(shape[0])
    for value in (result.log_evidence(x), *result.posterior(x), result.elbo(x, np.zeros(shape[1]), 0.0)):
        assert not np.isnan(value).any(), "NaN in what it computes"


@cache
def linear() -> Any:
    from vae_helpers.numerics import LinearGaussian

    rng = np.random.default_rng(3)
    return LinearGaussian(rng.normal(size=(3, 2)), rng.normal(size=3), 0.7)


def good_q(draw: st.DrawFn, *names: str) -> Arguments:
    sizes = {"x": 3, "z": 2, "mu": 2, "log_var": 2}
    rng, batch = seeded(draw), draw(st.sampled_from([(), (1,), (4,), (2, 3)]))
    return {name: rng.normal(size=(*batch, sizes[name])) for name in names}


def evidence(x: np.ndarray) -> np.ndarray:
    """log p(x) of the linear world, by SciPy."""
    world = linear()
    cov = world.weight @ world.weight.T + world.noise_std**2 * np.eye(3)
    return np.reshape(scipy.stats.multivariate_normal(world.bias, cov).logpdf(x.reshape(-1, 3)), x.shape[:-1])


def posterior(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The posterior of the linear world, with the inverse in the space of data."""
    world, w = linear(), linear().weight
    gain = w.T @ np.linalg.inv(w @ w.T + world.noise_std**2 * np.eye(3))
    return (x - world.bias) @ gain.T, np.eye(2) - gain @ w


def gap_of(mu: np.ndarray, v: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """KL(N(mu, exp v), N(mean, cov)), by PyTorch."""
    shape = np.broadcast_shapes(mu.shape, v.shape, mean.shape)
    mu, v, mean = (torch.from_numpy(np.array(np.broadcast_to(a, shape))) for a in (mu, v, mean))
    p = MultivariateNormal(mean, torch.from_numpy(cov))
    return kl_divergence(MultivariateNormal(mu, torch.diag_embed(torch.exp(v))), p).numpy()


def truth_of_log_likelihood(result: Any, x: Any, z: Any) -> None:
    x, z = given = vectors_of(x, z)
    mean = (z[..., None, :] * linear().weight).sum(-1) + linear().bias
    close(result, scipy.stats.norm.logpdf(x, mean, linear().noise_std).sum(-1), *given)


def truth_of_log_evidence(result: Any, x: Any) -> None:
    (x,) = vectors_of(x)
    close(result, evidence(x), x)


def truth_of_posterior(result: Any, x: Any) -> None:
    (x,) = vectors_of(x)
    mean, cov = posterior(x)
    close(result[0], mean, x)
    close(result[1], cov)


def truth_of_gap(result: Any, x: Any, mu: Any, log_var: Any) -> None:
    given = [*vectors_of(x), *vectors_of(mu), *vectors_of(log_var)]
    x, (mu, v) = given[0], (as_latents(a) for a in given[1:])
    close(result, moderate(lambda: gap_of(mu, v, *posterior(x)), given), *given, tolerance=1e-7)


def truth_of_linear_elbo(result: Any, x: Any, mu: Any, log_var: Any) -> None:
    given = [*vectors_of(x), *vectors_of(mu), *vectors_of(log_var)]
    x, (mu, v) = given[0], (as_latents(a) for a in given[1:])
    close(result, moderate(lambda: evidence(x) - gap_of(mu, v, *posterior(x)), given), *given, tolerance=1e-7)


def as_latents(value: np.ndarray) -> np.ndarray:
    """Two latents, where one number stands for both."""
    return np.broadcast_to(value, (*value.shape[:-1], 2))


def moderate(truth: Any, given: list[np.ndarray]) -> np.ndarray:
    """The truth, or zeros of its shape where the oracle does not reach."""
    if all(np.abs(a).max() <= MODERATE for a in given):
        return truth()
    return np.zeros(np.broadcast_shapes(*(a.shape[:-1] for a in given)))


def truth_of_world(result: Any, num: Any, rng: Any) -> None:
    z, x = result
    assert z.shape == (count_of(num), 2) and x.shape == (count_of(num), 3)
    assert_allclose(z, rng.standard_normal(z.shape))
    noise = (x - linear().bias - z @ linear().weight.T) / linear().noise_std
    assert_allclose(noise, rng.standard_normal(x.shape), atol=1e-9)


def good_estimate(draw: st.DrawFn) -> Arguments:
    shape = (draw(st.integers(2, 9)), *draw(st.sampled_from([(), (2,), (1, 3)])))
    return {"values": seeded(draw).normal(size=shape), "level": draw(st.floats(0.01, 0.99))}


def truth_of_estimate(result: Any, values: Any, level: Any = 0.95) -> None:
    (values,) = vectors_of(values)
    mean, error = values.mean(0), scipy.stats.sem(values)
    assert 0 < number_of(level) < 1 and result.count == len(values) >= 2
    close(np.asarray(result.mean), mean, values)
    close(np.asarray(result.standard_error), error, values)
    half = error * scipy.stats.t.ppf(0.5 + number_of(level) / 2, len(values) - 1)
    for end, truth in zip(result.interval, (mean - half, mean + half), strict=True):
        close(np.asarray(end), truth, values)


def truth_of_mc(result: Any, mu: Any, log_var: Any, num_samples: Any, rng: Any) -> None:
    mu, v = given = vectors_of(mu, log_var)
    z = mu + np.exp(v / 2) * rng.standard_normal(
        (count_of(num_samples), *np.broadcast_shapes(mu.shape, v.shape))
    )
    log_ratio = scipy.stats.norm.logpdf(z, mu, np.exp(v / 2)) - scipy.stats.norm.logpdf(z)
    close(np.asarray(result.mean), log_ratio.sum(-1).mean(0), *given, tolerance=1e-7)


def good_importance(draw: st.DrawFn) -> Arguments:
    counts = draw(st.lists(st.sampled_from([1, 2, 5, 64, 10**6]), min_size=1, max_size=3))
    place = {"mean": draw(st.sampled_from([-1.0, 0, 0.5])), "std": draw(st.sampled_from([0.5, 1, 2.0]))}
    return place | {"counts": counts, "post_mean": draw(st.sampled_from([0.0, 1])), "post_std": 1.0}


def truth_of_importance(
    result: Any, mean: Any, std: Any, counts: Any, post_mean: Any = 0.0, post_std: Any = 1.0
) -> None:
    mean, std, post_mean, post_std = map(number_of, (mean, std, post_mean, post_std))
    counts = [count_of(count) for count in counts]
    assert result.shape == (len(counts),) and (result > -1e-11).all()
    kl = float(kl_of(*(np.full(1, a) for a in (mean, 2 * np.log(std), post_mean, 2 * np.log(post_std)))))
    for count, gap in zip(counts, result, strict=True):
        assert_allclose(gap, kl, atol=1e-9, rtol=1e-9) if count == 1 else None
        assert gap <= kl + 1e-9


add("numerics.gaussian.log_prob", lambda draw: some_vectors(draw, "x", "mu", "log_var"), truth_of_log_prob)
add("numerics.gaussian.entropy", lambda draw: some_vectors(draw, "log_var"), truth_of_entropy)
add("numerics.kl_standard_normal", lambda draw: some_vectors(draw, "mu", "log_var"), truth_of_kl)
add(
    "numerics.gaussian.kl_diagonal",
    lambda draw: some_vectors(draw, "mu_q", "log_var_q", "mu_p", "log_var_p"),
    truth_of_kl_diagonal,
)
add("numerics.gaussian.kl_full", good_full, truth_of_kl_full)
add("numerics.gaussian.expectation", good_expectation, truth_of_expectation)
add("numerics.LinearGaussian", good_linear, truth_of_linear)
for _name, _takes, _truth in (
    ("log_likelihood", ("x", "z"), truth_of_log_likelihood),
    ("log_evidence", ("x",), truth_of_log_evidence),
    ("posterior", ("x",), truth_of_posterior),
    ("elbo", ("x", "mu", "log_var"), truth_of_linear_elbo),
    ("gap", ("x", "mu", "log_var"), truth_of_gap),
):
    add(f"numerics.LinearGaussian.{_name}", lambda d, takes=_takes: good_q(d, *takes), _truth, on=linear)
add(
    "numerics.LinearGaussian.sample",
    lambda draw: {"num": small(draw), "rng": seeded(draw)},
    truth_of_world,
    on=linear,
)
add("numerics.estimate", good_estimate, truth_of_estimate)
add(
    "numerics.kl_standard_normal_mc",
    lambda d: some_vectors(d, "mu", "log_var") | {"num_samples": small(d, 2, 9), "rng": seeded(d)},
    truth_of_mc,
)
add("numerics.importance_gap", good_importance, truth_of_importance, cost=5)


# ---- models ---------------------------------------------------------------------------------

PIXELS, LATENTS = 16, 2


@cache
def model(likelihood: str = "bernoulli", decoder: str = "connected") -> Any:
    """A small VAE that no call is to change."""
    from vae_helpers.models import VAE

    made = VAE(
        LATENTS,
        4,
        likelihood,
        num_hidden=1,
        data_dim=PIXELS,
        activation="tanh",
        decoder=decoder,
        generator=torch.Generator().manual_seed(1),
    )
    return made.eval()


def some_model(draw: st.DrawFn) -> Any:
    """One of the small ones."""
    return draw(st.sampled_from([model(), model("gaussian"), model("bernoulli", "convolutional")]))


def torch_rng(draw: st.DrawFn) -> torch.Generator:
    """PyTorch's generator, from a seed that Hypothesis chooses."""
    return torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))


def some_x(draw: st.DrawFn, *shape: int, binary: bool = True) -> Tensor:
    """Images of zeros and ones, or of grey values."""
    x = torch.rand(*shape, PIXELS, generator=torch_rng(draw))
    return x.round() if binary else x


def latents(draw: st.DrawFn, *shape: int) -> Tensor:
    """Points of the latent plane."""
    return torch.randn(*shape, LATENTS, generator=torch_rng(draw))


def leading(draw: st.DrawFn) -> tuple[int, ...]:
    """The axes before the last."""
    return draw(st.sampled_from([(1,), (3,), (2, 3)]))


def tensor_of(value: Any, *shape: int | None, dtype: torch.dtype | None = torch.float32) -> Tensor:
    """What was taken as a tensor, in double precision."""
    assert isinstance(value, Tensor) and value.is_floating_point() and value.numel(), "not numbers"
    assert dtype is None or value.dtype == dtype, value.dtype
    assert value.isfinite().all(), "numbers that are not finite were taken"
    if shape:
        assert value.ndim == len(shape), value.shape
        assert all(want in (None, got) for want, got in zip(shape, value.shape, strict=True)), value.shape
    return value.detach().double()


def layers(network: Any, x: Tensor) -> Tensor:
    """What a network of linear layers and tanh makes of x, in double precision by NumPy."""
    values = x.numpy()
    for layer in network:
        if hasattr(layer, "weight"):
            weight, bias = (part.detach().double().numpy() for part in (layer.weight, layer.bias))
            values = values @ weight.T + bias
        else:
            values = np.tanh(values)
    return torch.from_numpy(values)


def agree(result: Any, truth: Tensor, *given: Tensor, dtype: torch.dtype = torch.float32) -> None:
    """A tensor like the truth, to single precision."""
    assert isinstance(result, Tensor) and result.dtype == dtype and result.shape == truth.shape, (
        f"expected {dtype} of shape {tuple(truth.shape)}, got {result.dtype} of {tuple(result.shape)}"
    )
    if any(part.abs().max() > MODERATE for part in given):
        assert not result.isnan().any(), "NaN"
        return
    assert_allclose(result.detach().numpy(), truth.numpy(), rtol=2e-4, atol=2e-4)


def encoded(x: Tensor) -> tuple[Tensor, Tensor]:
    mu, log_var = layers(model().encoder, x).chunk(2, dim=-1)
    return mu, log_var


def truth_of_encode(result: Any, x: Any) -> None:
    x = tensor_of(x)
    for part, truth in zip(result, encoded(x), strict=True):
        agree(part, truth, x)


def truth_of_decode(result: Any, z: Any) -> None:
    z = tensor_of(z)
    agree(result, layers(model().decoder, z), z)


def truth_of_mean(result: Any, z: Any) -> None:
    z = tensor_of(z)
    agree(result, Bernoulli(logits=layers(model().decoder, z), validate_args=False).mean, z)


def truth_of_model_log_likelihood(result: Any, x: Any, z: Any) -> None:
    x, z = tensor_of(x), tensor_of(z)
    assert 0 <= x.min() and x.max() <= 1
    p = Bernoulli(logits=layers(model().decoder, z), validate_args=False)
    agree(result, p.log_prob(x).sum(-1), x, z)


def truth_of_pairs(result: Any, x: Any, z: Any) -> None:
    x, z = tensor_of(x, None, PIXELS), tensor_of(z, None, LATENTS)
    p = Bernoulli(logits=layers(model().decoder, z)[:, None], validate_args=False)
    agree(result, p.log_prob(x).sum(-1), x, z)


def truth_of_sample(result: Any, num: Any, generator: Any) -> None:
    assert result.shape == (count_of(num), PIXELS) and not result.requires_grad
    if generator is not None:
        z = torch.randn(count_of(num), LATENTS, generator=generator).double()
        agree(result, torch.sigmoid(layers(model().decoder, z)))


def truth_of_reconstruct(result: Any, x: Any) -> None:
    x = tensor_of(x)
    agree(result, torch.sigmoid(layers(model().decoder, encoded(x)[0])), x)


def fresh() -> Any:
    """A VAE that a call may change."""
    from vae_helpers.models import VAE

    return VAE(LATENTS, 4, num_hidden=1, data_dim=PIXELS, generator=torch.Generator().manual_seed(1))


def set_bias(images: Any) -> Tensor:
    made = fresh()
    made.set_output_bias(images)
    return made.decoder[-1].bias


def truth_of_bias(result: Any, images: Any) -> None:
    mean = tensor_of(images, None, PIXELS, dtype=None).mean(0).clamp(1e-3, 1 - 1e-3)
    assert_allclose(torch.sigmoid(result.detach()).numpy(), mean.numpy(), rtol=2e-2)


def good_vae(draw: st.DrawFn) -> Arguments:
    return {
        "latent_dim": small(draw),
        "hidden_dim": small(draw),
        "likelihood": draw(st.sampled_from(["bernoulli", "gaussian"])),
        "num_hidden": small(draw),
        "activation": draw(st.sampled_from(["gelu", "tanh", "relu"])),
        "data_dim": 16,
        "decoder": draw(st.sampled_from(["connected", "convolutional"])),
        "generator": draw(st.sampled_from([None, torch.Generator().manual_seed(3)])),
    }


def truth_of_vae(result: Any, **given: Any) -> None:
    d, pixels = count_of(given["latent_dim"]), count_of(given["data_dim"])
    assert result.encode(torch.zeros(2, pixels))[0].shape == (2, d)
    assert result.mean(torch.zeros(3, d)).shape == (3, pixels)
    assert all(weight.isfinite().all() for weight in result.parameters())


def good_pair(draw: st.DrawFn) -> Arguments:
    shape, dtype = (*leading(draw), small(draw)), draw(st.sampled_from([torch.float32, torch.float64]))
    return {name: torch.randn(shape, generator=torch_rng(draw), dtype=dtype) for name in ("mu", "log_var")}


def truth_of_torch_kl(result: Any, mu: Any, log_var: Any) -> None:
    dtype = mu.dtype
    mu, v = tensor_of(mu, dtype=None), tensor_of(log_var, dtype=None)
    assert mu.shape == v.shape
    truth = torch.from_numpy(kl_of(mu.numpy(), v.numpy(), np.zeros(1), np.zeros(1)))
    assert not result.isnan().any() and (result >= 0).all()
    if dtype in (torch.float32, torch.float64):
        agree(result, truth, mu, v, dtype=dtype)


def truth_of_reparameterize(result: Any, mu: Any, log_var: Any, num_samples: Any, generator: Any) -> None:
    dtype = mu.dtype
    mean, v = tensor_of(mu, dtype=None), tensor_of(log_var, dtype=None)
    assert mean.shape == v.shape and result.shape == (count_of(num_samples), *mean.shape)
    if generator is not None and dtype in (torch.float32, torch.float64):
        eps = torch.randn(result.shape, generator=generator, dtype=dtype).double()
        agree(result, mean + eps * torch.exp(v / 2), mean, v, dtype=dtype)


def good_objective(draw: st.DrawFn, **more: Any) -> Arguments:
    return {"model": model(), "x": some_x(draw, small(draw)), "generator": torch_rng(draw), **more}


def drawn(x: Any, num_samples: Any, generator: Any) -> tuple[Tensor, Tensor, Tensor]:
    """log p(x given z), log p(z) - log q(z given x) and KL of the same draws, by PyTorch."""
    x = tensor_of(x)
    assert 0 <= x.min() and x.max() <= 1
    mu, v = encoded(x)
    eps = torch.randn(count_of(num_samples), *mu.shape, generator=generator).double()
    z = mu + torch.exp(v / 2) * eps
    log_likelihood = Bernoulli(logits=layers(model().decoder, z), validate_args=False).log_prob(x).sum(-1)
    q = Normal(mu, torch.exp(v / 2))
    prior = Normal(torch.zeros(()).double(), 1.0)
    ratio = (prior.log_prob(z) - q.log_prob(z)).sum(-1)
    return log_likelihood, ratio, kl_divergence(q, prior).sum(-1)


def truth_of_elbo(
    result: Any, model: Any, x: Any, generator: Any, beta: Any = 1.0, num_samples: Any = 1
) -> None:
    shape = (*tensor_of(x).shape[:-1],)
    assert all(part.shape == shape and not part.isnan().any() for part in result)
    if generator is not None:
        log_likelihood, _, kl = drawn(x, num_samples, generator)
        if number_of(beta) <= MODERATE:
            agree(result.elbo, log_likelihood.mean(0) - number_of(beta) * kl)
        agree(result.kl, kl)


def truth_of_iwae(result: Any, model: Any, x: Any, num_samples: Any, generator: Any) -> None:
    assert result.shape == tensor_of(x).shape[:-1] and not result.isnan().any()
    if generator is not None:
        log_likelihood, ratio, _ = drawn(x, num_samples, generator)
        agree(result, torch.logsumexp(log_likelihood + ratio, 0) - math.log(count_of(num_samples)))


def truth_of_log_weights(result: Any, model: Any, x: Any, num_samples: Any, generator: Any) -> None:
    assert result.shape == (count_of(num_samples), *tensor_of(x).shape[:-1])
    if generator is not None:
        log_likelihood, ratio, _ = drawn(x, num_samples, generator)
        agree(result, log_likelihood + ratio)


def truth_of_mean_elbo(
    result: Any, model: Any, x: Any, generator: Any, beta: Any = 1.0, batch_size: Any = 1000
) -> None:
    assert len(result) == 3 and all(isinstance(part, float) for part in result)
    assert count_of(batch_size) >= 1 and not any(map(math.isnan, result))
    assert_allclose(result[2], drawn(x, 1, None)[2].mean(), rtol=1e-3)
    if number_of(beta) < 1e30:  # beyond, single precision has infinity
        assert_allclose(result[0], result[1] - number_of(beta) * result[2], rtol=1e-3, atol=1e-3)


def truth_of_binarize(result: Any, images: Any, generator: Any = None) -> None:
    grey = tensor_of(images, dtype=None)
    assert (
        result.shape == grey.shape and result.dtype == images.dtype and ((result == 0) | (result == 1)).all()
    )
    assert (result[grey == 0] == 0).all() and (result[grey == 1] == 1).all()


def truth_of_observed(result: Any, model: Any, images: Any, generator: Any = None) -> None:
    truth_of_binarize(result, images)


def evidence_of(x: Any) -> Tensor:
    """log p(x) of the small model, by SciPy's Simpson rule."""
    axis = np.linspace(-7, 7, 101)
    z = torch.from_numpy(np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2))
    p = Bernoulli(logits=layers(model().decoder, z)[:, None], validate_args=False)
    joint = (
        p.log_prob(tensor_of(x, None, PIXELS)).sum(-1)
        - 0.5 * (z**2).sum(-1, keepdim=True)
        - math.log(2 * math.pi)
    )
    grid = joint.exp().numpy().reshape(101, 101, -1)
    return torch.from_numpy(
        np.log(scipy.integrate.simpson(scipy.integrate.simpson(grid, x=axis, axis=0), x=axis, axis=0))
    )


def good_grid(draw: st.DrawFn) -> Arguments:
    return {
        "model": model(),
        "x": some_x(draw, small(draw)),
        "num_grid": 41,
        "limit": draw(st.floats(4.5, 7)),
    }


def truth_of_quadrature(result: Any, model: Any, x: Any, num_grid: Any = 41, limit: Any = 5.0) -> None:
    off = (result.log_evidence - evidence_of(x)).abs()
    assert result.error.shape == off.shape and count_of(num_grid) >= 4 and number_of(limit) > 0
    assert not result.log_evidence.isnan().any(), "NaN"
    if number_of(limit) < 10 and count_of(num_grid) > 20:
        assert (off <= result.error + 1e-4).all(), f"off by {off.max()}"


def truth_of_evidence(result: Any, **given: Any) -> None:
    from vae_helpers.models.evaluation import Quadrature

    # The sum over a grid that ends before the posterior does lacks what lies beyond.
    error = 1e-2 if number_of(given["limit"]) >= 4.5 else math.inf
    truth_of_quadrature(Quadrature(result, torch.full_like(result, error)), **given)


def truth_of_exact_elbo(result: Any, model: Any, x: Any, num_nodes: Any = 10) -> None:
    assert result.dtype == torch.float64 and result.shape == tensor_of(x, None, PIXELS).shape[:1]
    assert count_of(num_nodes) >= 1 and not result.isnan().any()
    if count_of(num_nodes) > 5:
        assert (result <= evidence_of(x) + 1e-3).all()


def truth_of_bounds(
    result: Any, model: Any, x: Any, counts: Any, generator: Any = None, progress: Any = False
) -> None:
    counts = [count_of(count) for count in counts]
    assert list(result) == list(dict.fromkeys(counts))
    for bound in result.values():
        assert bound.shape == tensor_of(x, None, PIXELS).shape[:1] and bound.dtype == torch.float64
        assert bound.isfinite().all()


def truth_of_evidence_iwae(
    result: Any, model: Any, x: Any, num_samples: Any = 1, generator: Any = None
) -> None:
    truth_of_bounds({count_of(num_samples): result}, model, x, [num_samples])
    if generator is not None:
        log_likelihood, ratio, _ = drawn(x, num_samples, generator)
        truth = torch.logsumexp(log_likelihood + ratio, 0) - math.log(count_of(num_samples))
        agree(result, truth, dtype=torch.float64)


def truth_of_units(result: Any, model: Any, x: Any, threshold: Any = 0.01) -> None:
    variance = encoded(tensor_of(x, None, PIXELS))[0].var(0)
    assert result.dtype == torch.bool and result.shape == (LATENTS,)
    sure = (variance - number_of(threshold)).abs() > 1e-4
    assert (result == (variance > number_of(threshold)))[sure].all()


def truth_of_gaps(result: Any, model: Any, x: Any, **counts: Any) -> None:
    tensor_of(x, None, PIXELS)
    assert all(part.dtype == torch.float64 and part.isfinite().all() for part in result)
    assert (result.amortization >= -1e-6).all()


def good_fit(draw: st.DrawFn) -> Arguments:
    return {
        "model": fresh(),
        "images": some_x(draw, 4, binary=False),
        "epochs": 1,
        "test_images": draw(st.sampled_from([None, torch.rand(2, PIXELS)])),
        "batch_size": small(draw, 1, 9),
        "learning_rate": 1e-3,
        "beta": draw(st.sampled_from([1.0, 0, 2])),
        "warmup": draw(st.sampled_from([0, 0.5])),
        "free_bits": draw(st.sampled_from([0, 0.25])),
        "num_samples": None,
        "optimizer": draw(st.sampled_from(["adam", "muon"])),
        "binarize": draw(st.booleans()),
        "precision": torch.float32,
        "device": draw(st.sampled_from([None, "cpu"])),
        "init_bias": draw(st.booleans()),
        "generator": torch_rng(draw),
        "progress": False,
        "on_step": None,
        "checkpoint": None,
    }


def truth_of_fit(result: Any, images: Any, epochs: Any, test_images: Any, **given: Any) -> None:
    tensor_of(images, None, PIXELS)
    # One that took "any function" in the place of on_step may have ended it; none of those here does.
    assert len(result.train) == count_of(epochs) == len(result.seconds)
    assert len(result.test) == (0 if test_images is None else count_of(epochs))
    assert all(math.isfinite(value) for value in [*result.train, *result.test])


for _name, _good, _truth in (
    ("encode", lambda d: {"x": some_x(d, *leading(d))}, truth_of_encode),
    ("decode", lambda d: {"z": latents(d, *leading(d))}, truth_of_decode),
    ("mean", lambda d: {"z": latents(d, *leading(d))}, truth_of_mean),
    (
        "log_likelihood",
        lambda d: {"x": some_x(d, 3), "z": latents(d, *d(st.sampled_from([(3,), (2, 3), (1,)])))},
        truth_of_model_log_likelihood,
    ),
    (
        "pairwise_log_likelihood",
        lambda d: {"x": some_x(d, small(d)), "z": latents(d, small(d))},
        truth_of_pairs,
    ),
    ("sample", lambda d: {"num": small(d), "generator": torch_rng(d)}, truth_of_sample),
    ("reconstruct", lambda d: {"x": some_x(d, small(d))}, truth_of_reconstruct),
):
    add(f"models.VAE.{_name}", _good, _truth, on=model)
add(
    "models.VAE.set_output_bias",
    lambda d: {"images": some_x(d, small(d), binary=False)},
    truth_of_bias,
    call=set_bias,
)
add("models.VAE", good_vae, truth_of_vae, cost=2)
add("models.kl_standard_normal", good_pair, truth_of_torch_kl)
add(
    "models.reparameterize",
    lambda d: good_pair(d) | {"num_samples": small(d), "generator": torch_rng(d)},
    truth_of_reparameterize,
)
add("models.elbo", lambda d: good_objective(d, beta=1.5, num_samples=small(d)), truth_of_elbo)
for _name, _truth in (
    ("iwae", truth_of_iwae),
    ("iwae_for_training", truth_of_iwae),
    ("log_weights", truth_of_log_weights),
):
    add(f"models.{_name}", lambda d: good_objective(d, num_samples=small(d)), _truth)
add("models.mean_elbo", lambda d: good_objective(d, beta=1.0, batch_size=2), truth_of_mean_elbo)
add(
    "models.binarize",
    lambda d: {"images": some_x(d, *leading(d), binary=False), "generator": torch_rng(d)},
    truth_of_binarize,
)
add(
    "models.observed",
    lambda d: {
        "model": model(),
        "images": some_x(d, small(d), binary=False),
        "generator": d(st.sampled_from([0, 7, None, torch_rng(d)])),
    },
    truth_of_observed,
)
add("models.quadrature", good_grid, truth_of_quadrature, cost=4)
add("models.log_evidence_quadrature", good_grid, truth_of_evidence, cost=4)
add(
    "models.elbo_quadrature",
    lambda d: {"model": model(), "x": some_x(d, small(d)), "num_nodes": 6},
    truth_of_exact_elbo,
    cost=2,
)
add(
    "models.importance_bounds",
    lambda d: good_objective(d, counts=(1, 3), progress=False),
    truth_of_bounds,
)
add("models.log_evidence_iwae", lambda d: good_objective(d, num_samples=5), truth_of_evidence_iwae)
add(
    "models.active_units",
    lambda d: {"model": model(), "x": some_x(d, small(d, 2, 5)), "threshold": 0.01},
    truth_of_units,
)
add(
    "models.gaps",
    lambda d: {"model": model(), "x": some_x(d, 2), "steps": 2, "num_nodes": 4, "num_grid": 21},
    truth_of_gaps,
    cost=10,
)
add("models.fit", good_fit, truth_of_fit, told=(FloatingPointError,), cost=10)


def stored(draw: st.DrawFn) -> str:
    """The place of a model on disk, in the working directory."""
    from vae_helpers.models import save

    save(model(), "model.safetensors")
    return draw(st.sampled_from(["model.safetensors", "./model.safetensors"]))


def truth_of_load(result: Any, path: Any) -> None:
    assert all(torch.equal(a, b) for a, b in zip(result.parameters(), model().parameters(), strict=True))


def truth_of_save(result: Any, model: Any, path: Any, dtype: Any) -> None:
    from vae_helpers.models import load

    found = load(path).state_dict()
    for name, value in model.state_dict().items():
        assert_allclose(found[name], value.to(dtype or value.dtype).float())


def truth_of_sees(result: Any, false_alarm: Any, miss: Any) -> None:
    t = scipy.stats.t(19)
    quantile = t.ppf(1 - number_of(false_alarm) / 2) + t.ppf(1 - number_of(miss))
    assert_allclose(result, quantile * some_estimate().standard_error, rtol=1e-9)


@cache
def some_estimate() -> Any:
    from vae_helpers.numerics import estimate

    return estimate(np.arange(20.0))


add("models.load", lambda d: {"path": stored(d)}, truth_of_load, told=(FileNotFoundError,), cost=4)
add(
    "models.save",
    lambda d: {
        "model": model(),
        "path": "made.safetensors",
        "dtype": d(st.sampled_from([None, torch.float16])),
    },
    truth_of_save,
    told=(FileNotFoundError,),
    cost=4,
)
add(
    "numerics.monte_carlo.Estimate.sees",
    lambda d: {"false_alarm": d(st.floats(0.01, 0.5)), "miss": d(st.floats(0.01, 0.5))},
    truth_of_sees,
    on=some_estimate,
)


# ---- shipped ----------------------------------------------------------------------------------


def truth_of_images(result: Any, split: Any, folder: Any = None) -> None:
    images, labels = result
    assert (
        images.shape == (len(labels), 784) and images.dtype == torch.float32 and labels.dtype == torch.int64
    )
    assert 0 <= images.min() and images.max() <= 1 and 0 <= labels.min() and labels.max() <= 9
    assert len(images) == (1000 if folder is not None else {"train": 60_000, "test": 10_000}[split])


def truth_of_shipped(result: Any, name: Any) -> None:
    assert isinstance(name, str)
    assert result.sample(1).shape == (1, result.data_dim)


def named(*names: str) -> Any:
    """Draws one of the names."""
    return lambda draw: {"name": draw(st.sampled_from(names))}


def good_idx(draw: st.DrawFn) -> Arguments:
    from vae_helpers.shipped import FASHION

    return {"folder": draw(st.sampled_from([FASHION, str(FASHION)])), "split": "test"}


def truth_of_nll(result: Any, name: Any) -> None:
    assert result.shape == (10_000,) and result.isfinite().all() and 60 < result.mean() < 110


def truth_of_spread(result: Any, name: Any) -> None:
    assert all(row.shape == (3,) for row in result.values())
    assert (result["elbo"] <= result["log_likelihood"]).all()


def truth_of_log(result: Any, name: Any) -> None:
    assert result["stages"] and result["test"]["nll"] < 110


add(
    "shipped.load_mnist",
    lambda d: {"split": d(st.sampled_from(["train", "test"]))},
    truth_of_images,
    cost=40,
)
add("shipped.load_idx", good_idx, truth_of_images, told=(FileNotFoundError,), cost=4)
add("shipped.load_pretrained", named("digits_2", "latent_5", "conv_50"), truth_of_shipped, cost=4)
add("shipped.load_trained", named("vae", "iwae", "wide"), truth_of_shipped, cost=4)
add("shipped.load_test_nll", named("vae", "iwae", "wide"), truth_of_nll)
add("shipped.load_log", named("vae", "iwae", "wide"), truth_of_log)
add("shipped.load_spread", named("latent_2", "beta_4", "remedy_none"), truth_of_spread)
add(
    "shipped.load_mistakes",
    lambda d: {},
    lambda result: all(row.dtype == np.float64 for model in result.values() for row in model.values()),
    cost=100,
)


# ---- pictures ---------------------------------------------------------------------------------


def axes() -> Any:
    """Axes of a new figure, of which Matplotlib keeps none."""
    from matplotlib.figure import Figure

    return Figure(figsize=(2, 2)).subplots()


def good_density(draw: st.DrawFn) -> Arguments:
    grid = np.linspace(-1, 1, small(draw, 2, 5))
    role = draw(st.sampled_from(["prior", "q", "posterior"]))
    label = draw(st.sampled_from(["", "words"]))
    return {"ax": axes(), "grid": grid, "density": np.exp(-(grid**2)), "role": role, "label": label}


def truth_of_density(result: Any, ax: Any, grid: Any, density: Any, role: Any, label: Any) -> None:
    drawn = ax.lines[0].get_xydata()
    assert_allclose(drawn[:, 0], np.array(grid, dtype=float))
    assert_allclose(drawn[:, 1], np.array(density, dtype=float))
    assert np.isfinite(drawn).all()
    ax.clear()  # for the next call


def good_pictures(draw: st.DrawFn) -> Arguments:
    images = seeded(draw).random((small(draw), 4))
    images = draw(st.sampled_from([images, torch.from_numpy(images).float()]))
    return {"ax": axes(), "images": images, "num_cols": small(draw), "shape": (2, 2)}


def truth_of_pictures(result: Any, ax: Any, images: Any, num_cols: Any, shape: Any) -> None:
    drawn, columns = np.asarray(ax.images[0].get_array()), count_of(num_cols)
    for place, image in enumerate(np.array(images, dtype=float)):
        row, column = divmod(place, columns)
        found = drawn[row * shape[0] :, column * shape[1] :][: shape[0], : shape[1]]
        assert_allclose(found, image.reshape(shape), rtol=1e-6)
    ax.clear()


def good_points(draw: st.DrawFn) -> Arguments:
    num, rng = small(draw, 1, 5), seeded(draw)
    return {
        "ax": axes(),
        "points": rng.normal(size=(num, 2)),
        "labels": rng.integers(10, size=num),
        "apart": draw(st.sampled_from([0.26, 0, 1])),
    }


def truth_of_points(result: Any, ax: Any, points: Any, labels: Any, apart: Any) -> None:
    assert len(ax.texts) + len(ax.lines) == len(np.array(points))
    assert {text.get_text() for text in ax.texts} <= {str(int(label)) for label in np.array(labels)}
    assert np.isfinite(np.array(points, dtype=float)).all() and number_of(apart) >= 0
    ax.clear()


def good_show(draw: st.DrawFn) -> Arguments:
    return {"fig": axes().figure, "alt": draw(st.sampled_from(["A picture.", "ζ"]))}


def nothing(result: Any, **arguments: Any) -> None:
    assert result is None


@cache
def derivation() -> Any:
    from vae_helpers.pictures import Derivation

    return Derivation("A sum").line("1 + 1", 2.0).line("2", lambda: 2)


def added(latex: Any, value: Any, relation: Any, reason: Any) -> Any:
    from vae_helpers.pictures import Derivation

    return Derivation("A sum").line(latex, value, relation, reason).line("2", 2.0)


def truth_of_line(result: Any, **arguments: Any) -> None:
    value = arguments["value"]
    if callable(value):
        return
    assert result.values()[0] == float(value) or math.isnan(float(value))
    assert "<table>" in result._repr_html_() and len(result.rows()) == 2


def truth_of_derivation(result: Any, title: Any, tolerance: Any, unit: Any) -> None:
    result.line("1", 1.0).line("1", 1).check()
    assert "<table>" in result._repr_html_() and number_of(tolerance) >= 0


add("pictures.draw_density", good_density, truth_of_density, cost=10)
add("pictures.draw_images", good_pictures, truth_of_pictures, cost=10)
add("pictures.draw_labelled_points", good_points, truth_of_points, cost=10)
add("pictures.show", good_show, nothing, cost=20)
add(
    "pictures.show_picture",
    lambda d: {"path": "figures/manifold.png", "alt": "Digits."},
    nothing,
    told=(FileNotFoundError,),
    cost=40,
)
add("pictures.use_style", lambda d: {}, nothing, cost=100)
add(
    "pictures.Derivation",
    lambda d: {"title": d(st.sampled_from(["", "A proof"])), "tolerance": 1e-9, "unit": "nats"},
    truth_of_derivation,
)
add(
    "pictures.Derivation.line",
    lambda d: {
        "latex": "1 + 1",
        "value": d(st.sampled_from([2.0, 2, lambda: 2.0])),
        "relation": d(st.sampled_from(["=", "≥", "<="])),
        "reason": "by counting",
    },
    truth_of_line,
    call=added,
)
for _name, _truth in (
    ("values", lambda result: result == [2.0, 2.0] or _fail()),
    ("check", lambda result: result is derivation() or _fail()),
    ("rows", lambda result: all(row.holds for row in result) or _fail()),
):
    add(f"pictures.Derivation.{_name}", lambda d: {}, _truth, on=derivation, cost=100)


def _fail() -> None:
    raise AssertionError


# ---- checks -----------------------------------------------------------------------------------


def checked(check: Any) -> Any:
    """Calls a check with a function, or with one that returns what is given."""

    def call(fn: Any, returned: Any) -> Any:
        return check(fn) if fn is not checked else check(lambda *args, **kwargs: returned)

    return call


def truth_of_check(result: Any, fn: Any, returned: Any) -> None:
    from vae_helpers.checks import CODES, Report

    assert isinstance(result, Report) and not result.passed and result.codes <= CODES.keys()
    assert repr(result) and result._repr_html_().startswith("<div")


def _add_checks() -> None:
    for name in sorted(name for name in exported() if name.startswith("checks.") and "check_" in name):
        add(
            name,
            lambda d: {"fn": checked, "returned": 0.0},
            truth_of_check,
            call=checked(found(name)),
            cost=10,
        )


_add_checks()


# ---- audit ------------------------------------------------------------------------------------


def good_audit(draw: st.DrawFn) -> Arguments:
    return {
        "encode": model().encode,
        "decode": model().decode,
        "images": some_x(draw, 8),
        "loss": draw(st.sampled_from([None, logged])),
        "likelihood": "bernoulli",
        "encoder_gives": "log_var",
        "decoder_gives": draw(st.sampled_from([None, "logits"])),
        "x_std": 1.0,
        "train_images": None,
        "effort": "quick",
        "generator": torch_rng(draw),
        "progress": False,
    }


def logged(x: Tensor) -> Tensor:
    """-ELBO, as somebody logs it."""
    from vae_helpers.models import elbo

    return -elbo(model(), x).elbo.mean()


def truth_of_audit(result: Any, **arguments: Any) -> None:
    assert json.loads(result.as_json())["schema"] and repr(result) and result._repr_html_()
    assert "negative_elbo" in result.figures and isinstance(result.passed, bool)


def good_bracket(draw: st.DrawFn) -> Arguments:
    counts = {"num_chains": 2, "num_steps": 1, "num_leapfrog": 1}
    arguments = {"model": model(), "x": some_x(draw, 2), "z": latents(draw, 2), "progress": False}
    return arguments | counts | {"generator": torch_rng(draw)}


def truth_of_bracket(result: Any, x: Any, z: Any, **arguments: Any) -> None:
    assert len(tensor_of(z, None, LATENTS)) == len(tensor_of(x, None, PIXELS))
    assert result.lower.shape == result.upper.shape == (len(x),)
    assert result.lower.isfinite().all() and result.upper.isfinite().all()


def truth_of_pareto(result: Any, log_weights: Any) -> None:
    from vae_helpers.audit import pareto_k

    (values,) = vectors_of(log_weights)
    assert result.shape == values.shape[1:] and not np.isnan(result).any() and len(values) >= 25
    if np.abs(values).max() < MODERATE:
        assert_allclose(pareto_k(values + 1), result, rtol=1e-5, atol=1e-5)


class Example(torch.nn.Module):
    """A model with the methods of public code."""

    encode, decode = staticmethod(model().encode), staticmethod(model().decode)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """What a model returns when it is called."""
        mu, log_var = model().encode(x)
        return model().mean(mu), x, mu, log_var

    def loss_function(self, *args: Tensor, M_N: float) -> dict[str, Tensor]:
        """The loss of one of them."""
        return {"loss": args[0].sum() * M_N}

    def training_step(self, batch: Any, number: int) -> Tensor:
        """The step of another one."""
        return batch[0].sum()


def some_loss(recon: Tensor, x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """A loss of four arguments."""
    return (recon - x).square().sum()


def truth_of_adapter(result: Any, **arguments: Any) -> None:
    assert callable(result["encode"]) and callable(result["decode"])


@cache
def report() -> Any:
    from vae_helpers.audit import Audit, Check, Figure

    figures = {"negative_elbo": Figure(1.0, math.nan, "nats per image", "by hand")}
    about = {"latents": 2, "pixels": 16, "images": 8, "likelihood": "bernoulli"}
    return Audit(about, figures, (Check("It holds", "right"),))


def truth_of_report(result: Any, path: Any) -> None:
    assert json.loads(Path(path).expanduser().read_text(encoding="utf-8")) == report().as_dict()


add("audit.audit", good_audit, truth_of_audit, cost=100)
add("audit.bracket", good_bracket, truth_of_bracket, cost=20)
add(
    "audit.pareto_k",
    lambda d: {"log_weights": seeded(d).normal(size=(small(d, 25, 40), *d(st.sampled_from([(), (2,)]))))},
    truth_of_pareto,
)
add("audit.course_vae", lambda d: {"model": some_model(d)}, truth_of_adapter)
add(
    "audit.keras_pair",
    lambda d: {
        "encoder": model().encode,
        "decoder": model().decode,
        "loss": d(st.sampled_from([None, logged])),
    },
    truth_of_adapter,
)
add(
    "audit.lightning",
    lambda d: {"module": Example(), "encode": None, "decode": None, "logged": None, "step": "training_step"},
    truth_of_adapter,
    also=("module",),  # which has no step of another name
)
add(
    "audit.pytorch_example",
    lambda d: {"model": Example(), "loss_function": some_loss},
    truth_of_adapter,
)
add("audit.pytorch_vae", lambda d: {"model": Example(), "M_N": 1.0, "key": "loss"}, truth_of_adapter)
add(
    "audit.Audit.save",
    lambda d: {"path": "report.json"},
    truth_of_report,
    on=report,
    told=(FileNotFoundError,),
    cost=4,
)


# ---- widgets ----------------------------------------------------------------------------------


def curve(ax: Any, mean: float) -> None:
    """Draws a line."""
    ax.plot([0.0, mean])


def good_slider(draw: st.DrawFn) -> Arguments:
    place = draw(st.sampled_from([(0.5, -1.0, 1.0, 0.1), (2, 0, 5, 1), (0.0, 0, 1, 0.25)]))
    words = {"label": "mean μ", "unit": draw(st.sampled_from(["", "nats"])), "at_most": ""}
    return dict(zip(("value", "low", "high", "step"), place, strict=True)) | words


def truth_of_slider(result: Any, value: Any, low: Any, high: Any, **words: Any) -> None:
    assert result.input.value == number_of(value) == result.start
    assert (result.input.min, result.input.max) == (number_of(low), number_of(high))
    assert result.input.description == words["label"] and result.unit == words["unit"]


def good_list(draw: st.DrawFn) -> Arguments:
    return {"label": "d", "value": draw(st.sampled_from([1, 2])), "options": [1, 2, 50], "unit": ""}


def truth_of_list(result: Any, label: Any, value: Any, options: Any, unit: Any) -> None:
    assert result.input.value == value and result.input.description == label and result.unit == unit


def good_plot(draw: st.DrawFn) -> Arguments:
    return {
        "draws": curve,
        "alt": "A line.",
        "size": draw(st.sampled_from([(3.0, 2.0), (2, 2)])),
        "widths": draw(st.sampled_from([None, [1.0]])),
        "under": (),
    }


def plotted(draws: Any, alt: Any, size: Any, widths: Any, under: Any) -> Any:
    from vae_helpers.widgets import plot

    return plot(draws, alt=alt, size=size, widths=widths, under=under)


def truth_of_plot(result: Any, draws: Any, size: Any, **arguments: Any) -> None:
    if draws is curve and not arguments["under"]:
        result.update({"mean": 1.0})
        assert result.png.startswith(b"\x89PNG")


def truth_of_view(result: Any, **arguments: Any) -> None:
    from vae_helpers.widgets.views import View

    assert isinstance(result, View) and len(result.functions) == 1


def some_images(mean: float) -> np.ndarray:
    """One picture."""
    return np.full((1, 1, 2, 2), mean)


def explored(view: Any, name: Any, mean: Any) -> Any:
    from vae_helpers.widgets import explore

    return explore(view, name=name, mean=mean)


def good_explorer(draw: st.DrawFn) -> Arguments:
    from vae_helpers.widgets import numbers, pictures, slider

    views = [lambda: numbers(lambda mean: {"it": mean}), lambda: pictures(some_images, alt="A square.")]
    return {"view": draw(st.sampled_from(views))(), "name": "it", "mean": slider("mean", 0.5, 0.0, 1.0)}


def truth_of_explorer(result: Any, view: Any, name: Any, mean: Any) -> None:
    assert result.values == {"mean": mean.input.value} and not result.error
    assert len(result.still()) == 3
    result.close_all()


MADE = object()


def live(train: Any, alt: Any, losses: Any, mean: Any) -> Any:
    from vae_helpers.widgets import slider, train_live

    mean = slider("mean", 0.5, 0.0, 1.0) if mean is MADE else mean  # anew, since a later call closes it
    return train_live(train, alt=alt, losses=losses, mean=mean)


def good_live(draw: st.DrawFn) -> Arguments:
    losses = draw(st.sampled_from([(), [200.0, 150.0], np.array([180.0])]))
    return {"train": lambda on_step, mean: mean, "alt": "A curve.", "losses": losses, "mean": MADE}


def truth_of_live(result: Any, **arguments: Any) -> None:
    assert result.still()[0].startswith(b"\x89PNG") and not result.running
    result.close_all()


@cache
def family() -> Any:
    from vae_helpers.widgets import Family

    return Family(**family_parts())


def family_parts() -> Arguments:
    """What a family of one model is made of."""
    digits = torch.rand(10, PIXELS, generator=torch.Generator().manual_seed(1)).round()
    return {
        "models": {2: model()},
        "digits": digits,
        "curve": {2: (90.0, 20.0)},
        "kl": {2: torch.tensor([1.0, 2.0])},
        "active": {2: 2},
    }


def truth_of_family(result: Any, **arguments: Any) -> None:
    for d in arguments["models"]:
        assert result.kept_and_invented(d).shape == (2, 18, PIXELS)
        assert result.walks(d, 1, 0, 9).shape == (1, 18, PIXELS)
        assert result.report_model(d) and result.report_walks(d, 2, 0, 1)


def truth_of_walks(result: Any, **arguments: Any) -> None:
    assert arguments["latent_dim"] == 2
    assert result.shape == (1, 18, PIXELS) if isinstance(result, Tensor) else result


def good_walk(draw: st.DrawFn) -> Arguments:
    place = {"latent_dim": 2, "latent": small(draw, 1, 2)}
    return place | {"first": small(draw, 0, 9), "second": small(draw, 0, 9)}


def good_lab(draw: st.DrawFn) -> Arguments:
    return {
        "loss": draw(st.sampled_from(["right", "half"])),
        "beta": draw(st.sampled_from([1, 0.5])),
        "rate": 0.1,
        "batch": 64,
        "hidden": 16,
        "latents": small(draw, 1, 2),
        "seed": small(draw, 0, 9999),
    }


def made_lab(loss: Any, beta: Any, rate: Any, batch: Any, hidden: Any, latents: Any, seed: Any) -> Any:
    from vae_helpers.widgets import Lab

    settings = {"beta": beta, "rate": rate, "batch": batch, "hidden": hidden, "latents": latents}
    return Lab(loss=loss, seed=seed, **settings)


def truth_of_lab(result: Any, **arguments: Any) -> None:
    assert json.loads(json.dumps(result.settings)) == arguments
    result.close_all()


@cache
def lab() -> Any:
    from vae_helpers.widgets import Lab

    return Lab()


@cache
def plane_model() -> Any:
    from vae_helpers.models import VAE

    return VAE(2, 4, num_hidden=1, generator=torch.Generator().manual_seed(1))


@cache
def plane() -> Any:
    from vae_helpers.widgets import LatentExplorer

    return LatentExplorer(plane_model(), torch.zeros(2, 2), torch.tensor([1, 2]), alt="A plane.")


def good_plane(draw: st.DrawFn) -> Arguments:
    num = small(draw, 1, 4)
    labels = torch.randint(10, (num,), generator=torch_rng(draw))
    arguments = {"model": plane_model(), "mu": latents(draw, num), "labels": labels}
    return arguments | {"alt": "A plane.", "z": draw(st.sampled_from([(0.0, 0.0), (1, -1)]))}


def truth_of_plane(result: Any, mu: Any, labels: Any, z: Any, **arguments: Any) -> None:
    assert result.labels == [int(label) for label in labels] and len(result.labels) == len(mu)
    assert result.z == [float(value) for value in z]
    assert result.still()[0].startswith(b"\x89PNG")
    result.close_all()


def truth_of_page(result: Any, path: Any, title: Any) -> None:
    page = Path(path).expanduser().read_text(encoding="utf-8")
    assert f"<title>{html.escape(title)}</title>" in page


def good_page(draw: st.DrawFn) -> Arguments:
    return {"path": "page.html", "title": draw(st.sampled_from(["It", "a < b"]))}


add("widgets.slider", good_slider, truth_of_slider, cost=5)
add("widgets.stops", good_list, truth_of_list, also=("value",), cost=5)
add("widgets.choice", good_list, truth_of_list, also=("value",), cost=5)
add("widgets.plot", good_plot, truth_of_plot, call=plotted, cost=20)
add(
    "widgets.pictures",
    lambda d: {"make": some_images, "alt": "A square.", "title": "", "scale": small(d)},
    truth_of_view,
    cost=5,
)
add(
    "widgets.numbers",
    lambda d: {"report": lambda mean: {"it": mean}, "unit": "nats", "digits": small(d, 0, 5)},
    truth_of_view,
    cost=5,
)
add("widgets.steps", lambda d: {"derive": lambda mean: derivation()}, truth_of_view, cost=5)
add("widgets.explore", good_explorer, truth_of_explorer, call=explored, also=("views",), cost=10)
add("widgets.train_live", good_live, truth_of_live, call=live, cost=20)
add("widgets.Family", lambda d: family_parts(), truth_of_family, cost=5)
add("widgets.Family.kept_and_invented", lambda d: {"latent_dim": 2}, lambda r, latent_dim: None, on=family)
add("widgets.Family.report_model", lambda d: {"latent_dim": 2}, lambda r, latent_dim: None, on=family)
add("widgets.Family.walks", good_walk, truth_of_walks, on=family)
add("widgets.Family.report_walks", good_walk, truth_of_walks, on=family)
add("widgets.Lab", good_lab, truth_of_lab, call=made_lab, cost=60)
add("widgets.Lab.save_html", good_page, truth_of_page, on=lab, told=(FileNotFoundError,), cost=40)
add("widgets.LatentExplorer", good_plane, truth_of_plane, cost=40)
add(
    "widgets.LatentExplorer.save_html", good_page, truth_of_page, on=plane, told=(FileNotFoundError,), cost=10
)


# ---- what is not called, and why --------------------------------------------------------------

_RECORD = "a record of what was found: a function of the course makes it"
LEFT_OUT = {
    "audit.Audit": _RECORD,
    "audit.Audit.as_dict": "takes no argument",
    "audit.Audit.as_json": "takes no argument",
    "audit.Check": _RECORD,
    "audit.Figure": _RECORD,
    "audit.pyro_pair": "needs Pyro, which is not installed",
    "checks.Report": _RECORD,
    "checks.Report.with_note": "a step of the checks themselves",
    "models.History": _RECORD,
    "numerics.monte_carlo.Estimate": _RECORD,
    "pictures.DerivationError": "an error",
    "widgets.Lab.still": "takes no argument",
    "widgets.LatentExplorer.still": "takes no argument",
    "widgets.doctor": "takes no argument",
}
