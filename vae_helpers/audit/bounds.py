"""log p(x) between two bounds for any number of latents, and what the encoder loses (PyTorch)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from vae_helpers.models._bar import bar
from vae_helpers.models._validate import check_batch, check_model, fresh_generator, trusted
from vae_helpers.models.objectives import kl_standard_normal
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import as_count

_CHUNK = 2**20  # numbers in a decoder's output: 4 MB, or 8 in double precision, of which several are held
_ACCEPTANCE = 0.75  # the share of trajectories that the step size is to let pass
_PILOTS = 4  # chains of each image that look for step sizes and temperatures
_FAR = 1e3  # standard deviations of q: where a trajectory comes as far as this, it has diverged


class Bracket(NamedTuple):
    """log p(x) of each image between two bounds, each of shape (batch,), float64, in nats.

    Attributes:
        lower: its expectation is at most log p(x).
        lower_error: its standard error.
        upper: its expectation is at least log p(x).
        upper_error: its standard error.
    """

    lower: Tensor
    lower_error: Tensor
    upper: Tensor
    upper_error: Tensor


class AnnealedBound(NamedTuple):
    """A bound on log p(x) from below, each of shape (batch,), float64, in nats.

    Attributes:
        lower: its expectation is at most log p(x).
        lower_error: its standard error.
    """

    lower: Tensor
    lower_error: Tensor


class Amortization(NamedTuple):
    """What the encoder loses by serving all images at once, each of shape (batch,), float64, in nats.

    Attributes:
        elbo: the ELBO of the encoder's Gaussian.
        elbo_error: its standard error.
        best_elbo: the ELBO of the best diagonal Gaussian that was found for this image.
        best_elbo_error: its standard error.
        gap: best_elbo - elbo, from the same draws.
        gap_error: its standard error, which is far smaller than those of the two.
    """

    elbo: Tensor
    elbo_error: Tensor
    best_elbo: Tensor
    best_elbo_error: Tensor
    gap: Tensor
    gap_error: Tensor


def bracket(
    model: VAE,
    x: Tensor,
    z: Tensor,
    num_chains: int = 8,
    num_steps: int = 200,
    num_leapfrog: int = 3,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> Bracket:
    """Two bounds between which log p(x) lies, for images that were simulated from the model.

    A draw z from the prior and an x from p(x given z) are a draw from p(x, z): given x, that z is an
    exact draw from the posterior, which is known for no other image. From it a chain runs backwards, from
    the posterior to q, and gives the upper bound; chains forwards from q give the lower one, as in
    `annealed_bound`. What the two are apart tells how near they are, whatever the chains do.

    Why the bounds hold. Let F be the distribution of one chain forwards, that is of all its states, and B
    that of one backwards. Its weight W is p(x) dB/dF, so that E_F[W] = p(x). Let V = (1/K) Σ_k W_k
    over K chains. When all run forwards, E[V] = p(x), and by Jensen's inequality E[log V] ≤ log p(x). When
    one of them, drawn by lot, runs backwards, the density of all K is that of K forwards times V / p(x). So
    E[log V] is then E_F[V log V] / p(x) ≥ log p(x), by Jensen's inequality for the convex v log v. V does
    not care which one it is, so that the lot need not be drawn.

    Where the posterior has a mode that chains from q do not find, an image may be far from the others:
    its bracket is as wide as that mode is surprising. More steps help, if slowly.

    Args:
        model: the VAE. The bounds are for its p(x); its encoder tells where the chains start.
        x: images drawn from p(x given z), shape (batch, D).
        z: the latents that they were drawn from, themselves drawn from the prior, shape (batch, d).
        num_chains: chains forwards for each image, at least 2.
        num_steps: temperatures between q and the posterior. 1 gives the importance-weighted bounds.
        num_leapfrog: leapfrog steps at each temperature; each costs a gradient of the decoder.
        generator: where the draws come from; None takes fresh entropy.
        progress: show a bar.

    Returns:
        `Bracket`. The standard errors are those of one image's bounds as estimates of their
        expectations, by the delta method over its chains, and too small where few chains carry all the
        weight. The two bounds share num_chains - 1 chains, so that upper - lower is known better than either.
        For many images, the spread of upper - lower over them tells the error of its mean.

    Raises:
        ValueError: a count too small, or x or z of a wrong shape or with NaN.

    Source: Grosse, Ghahramani & Adams 2015 for chains in both directions; Wu, Burda, Salakhutdinov &
    Grosse 2017 for decoders; Brekelmans et al. 2022 for the bounds of several chains.
    """
    _check(model, x, num_chains, num_steps, num_leapfrog)
    check_batch("z", z, model.latent_dim)
    if len(z) != len(x):
        raise ValueError(f"z: expected a row for each of the {len(x)} images, got shape {tuple(z.shape)}")
    return Bracket(*_bounds(model, x, z, num_chains, num_steps, num_leapfrog, generator, progress))


def annealed_bound(
    model: VAE,
    x: Tensor,
    num_chains: int = 8,
    num_steps: int = 200,
    num_leapfrog: int = 3,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> AnnealedBound:
    """A lower bound on log p(x) by annealed importance sampling from q(z given x), for any images.

    Each chain starts with a draw from q(z given x) and passes through the densities
    q(z given x)^(1-β) p(x, z)^β, at each by one transition of Hamiltonian Monte Carlo, from β = 0 to 1. Its
    weight has the expectation p(x), however well the chains mix. Step sizes and temperatures are found by
    other chains before and do not depend on those that count, or that would not be so.

    Args:
        model: the VAE.
        x: images, shape (batch, D).
        num_chains: chains for each image, at least 2.
        num_steps: temperatures. 1 gives the importance-weighted bound.
        num_leapfrog: leapfrog steps at each temperature; each costs a gradient of the decoder.
        generator: where the draws come from; None takes fresh entropy.
        progress: show a bar.

    Returns:
        `AnnealedBound`: log (1/K) Σ_k W_k over the K chains, and its standard error by the delta method.
        How far it lies below log p(x) it does not tell: `bracket` does, for simulated images.

    Raises:
        ValueError: a count too small, or x of a wrong shape or with NaN.

    Source: Neal 2001; Wu, Burda, Salakhutdinov & Grosse 2017 for decoders, where chains start
    at the prior.
    """
    _check(model, x, num_chains, num_steps, num_leapfrog)
    return AnnealedBound(*_bounds(model, x, None, num_chains, num_steps, num_leapfrog, generator, progress))


def amortization(
    model: VAE,
    x: Tensor,
    steps: int = 200,
    num_draws: int = 100,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> Amortization:
    """How much a Gaussian of its own would add to the ELBO of each image, for any number of latents.

    The search starts at the encoder's Gaussian and follows, by Adam, the gradient of the ELBO with eight
    draws for each image and step. Where it ends, num_draws new draws tell whether that is better than the
    encoder's; if not, the encoder's is kept, and the gap is exactly 0. A third set of num_draws
    then gives all that is reported. So no draw judges what it has chosen: the larger of two noisy
    estimates would be too large on average, while this gap has the expectation of a true
    difference of two ELBOs, in which the second is at most the best. It is an estimate from below of the
    amortization gap: a search may end early or in a lower maximum. Noise may make the estimate for one image
    negative, by about its standard error.

    Args:
        model: a VAE; its weights are not changed.
        x: images, shape (batch, D).
        steps: optimisation steps.
        num_draws: draws for each image by which both are judged, in pairs eps and -eps: an even number of
            at least 4.
        generator: where the draws come from; None takes fresh entropy.
        progress: show a bar.

    Returns:
        `Amortization`; the standard errors come from the pairs.

    Raises:
        ValueError: a count too small, an odd num_draws, or x of a wrong shape or with NaN.

    Source: Cremer, Li & Duvenaud 2018, table 1.
    """
    _check_images(model, x)
    steps, num_draws = as_count("steps", steps), as_count("num_draws", num_draws, minimum=4)
    if num_draws % 2:
        raise ValueError(f"num_draws: expected an even number, since draws come in pairs, got {num_draws}")
    generator = fresh_generator(generator, x.device)
    batches = _split(x, 8)
    with bar(progress=progress, total=len(batches) * steps, unit="step") as shown:
        parts = [_amortization(model, batch, steps, num_draws, generator, shown) for batch in batches]
    return Amortization(*(torch.cat(column) for column in zip(*parts, strict=True)))


# --- Chains between q and the posterior ---------------------------------------------------------------


class _State(NamedTuple):
    """Points of chains in units of q, with what is known there: (chains, batch, d), (chains, batch), as eps.

    `log_ratio` is log p(x, z) - log q(z given x), and `slope` its gradient.
    """

    eps: Tensor
    log_ratio: Tensor
    slope: Tensor


class _Path:
    """The densities N(eps; 0, I) exp(β log_ratio(eps)), with z = mu + std eps: q at β = 0, p(x, z) at 1."""

    def __init__(self, model: VAE, x: Tensor, generator: torch.Generator) -> None:
        self.model, self.x, self.generator = model, x, generator
        with torch.no_grad():
            self.mu, log_var = model.encode(x)
        self.std = torch.exp(0.5 * log_var)
        self.log_det = 0.5 * log_var.double().sum(dim=-1)

    def at(self, eps: Tensor) -> _State:
        z = (self.mu + self.std * eps).requires_grad_()
        with torch.enable_grad():
            log_likelihood = self.model.log_likelihood(self.x, z)
            (slope,) = torch.autograd.grad(log_likelihood.sum(), z)
        z = z.detach()
        log_ratio = log_likelihood.detach().double() + 0.5 * _squared(eps) - 0.5 * _squared(z) + self.log_det
        return _State(eps, log_ratio, self.std * (slope - z) + eps)

    def normal(self, num: int) -> Tensor:
        return torch.randn(
            num, *self.mu.shape, dtype=self.mu.dtype, device=self.mu.device, generator=self.generator
        )

    def transition(
        self, state: _State, beta: float, step: Tensor, num_leapfrog: int
    ) -> tuple[_State, Tensor]:
        """One step of Hamiltonian Monte Carlo that leaves the density at beta as it is (Neal 2011).

        Args:
            state: where the chains are.
            beta: the inverse temperature.
            step: step size of each image, shape (batch,).
            num_leapfrog: leapfrog steps of the trajectory.

        Returns:
            Where they are then, and the probability with which each was to move, (chains, batch).
        """
        step = step[:, None]
        momentum = self.normal(len(state.eps))
        before = 0.5 * _squared(state.eps) - beta * state.log_ratio + 0.5 * _squared(momentum)
        moved, diverged = state, torch.zeros_like(before, dtype=torch.bool)
        for i in range(num_leapfrog):
            force = beta * moved.slope - moved.eps
            momentum = momentum + (0.5 if i == 0 else 1.0) * step * force
            eps = moved.eps + step * momentum
            # A trajectory that has left the region stays where it started; so would the same one from its
            # other end, so that this is right. A decoder need not stand such numbers, and gets others.
            diverged |= ~(eps.abs().amax(dim=-1) < _FAR)
            moved = self.at(torch.where(diverged[..., None], state.eps, eps))
        momentum = momentum + 0.5 * step * (beta * moved.slope - moved.eps)
        after = 0.5 * _squared(moved.eps) - beta * moved.log_ratio + 0.5 * _squared(momentum)
        probability = torch.exp((before - after).clamp(max=0)).nan_to_num(0.0).masked_fill_(diverged, 0.0)
        uniform = torch.rand(before.shape, dtype=before.dtype, device=before.device, generator=self.generator)
        accepted = uniform < probability
        every = accepted[..., None]
        return _State(
            torch.where(every, moved.eps, state.eps),
            torch.where(accepted, moved.log_ratio, state.log_ratio),
            torch.where(every, moved.slope, state.slope),
        ), probability


def _bounds(
    model: VAE,
    x: Tensor,
    z: Tensor | None,
    num_chains: int,
    num_steps: int,
    num_leapfrog: int,
    generator: torch.Generator | None,
    progress: bool,
) -> list[Tensor]:
    """The bounds and their errors, of so many images at a time as fit into memory."""
    generator = fresh_generator(generator, x.device)
    batches = _split(x, num_chains)
    latents = [None] * len(batches) if z is None else z.split(len(batches[0]))
    num_pilot = num_steps // 4 + 10
    runs = (num_pilot if num_steps > 1 else 0) + num_steps * (1 if z is None else 2)
    parts = []
    with trusted(), bar(progress=progress, total=len(batches) * runs, unit="temperature") as shown:
        for batch, latent in zip(batches, latents, strict=True):
            path = _Path(model, batch, generator)
            betas, sizes = _pilot(path, num_steps, num_pilot, num_leapfrog, shown)
            start = path.at(path.normal(num_chains))
            log_weights = _anneal(path, start, betas, sizes, num_leapfrog, shown)
            parts.append(_lower(log_weights))
            if latent is not None:
                start = path.at(((latent - path.mu) / path.std)[None])
                backward = _anneal(path, start, betas, sizes, num_leapfrog, shown, backward=True)
                parts[-1] += _upper(log_weights, backward[0])
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def _anneal(
    path: _Path,
    state: _State,
    betas: list[float],
    sizes: Tensor,
    num_leapfrog: int,
    shown: tqdm,
    backward: bool = False,
) -> Tensor:
    """The log-weights of chains from q to the posterior, or of the same chains backwards, (chains, batch).

    Σ_t (β_t - β_{t-1}) log_ratio, where the state was under both of the two (Neal 2001, eq. 11).

    Args:
        path: the densities.
        state: draws from q, or from the posterior.
        betas: the inverse temperatures from 0 to 1, num_steps + 1 of them.
        sizes: step sizes of each image at all but the first and the last, shape (num_steps - 1, batch).
        num_leapfrog: leapfrog steps of a transition.
        shown: a bar to move.
        backward: whether the chains start at the posterior.
    """
    num_steps = len(betas) - 1
    gaps = [after - before for before, after in zip(betas[:-1], betas[1:], strict=True)]
    log_weight = gaps[-1 if backward else 0] * state.log_ratio
    shown.update()
    for t in reversed(range(1, num_steps)) if backward else range(1, num_steps):
        state, _ = path.transition(state, betas[t], sizes[t - 1], num_leapfrog)
        log_weight = log_weight + gaps[t - 1 if backward else t] * state.log_ratio
        shown.update()
    return log_weight


def _pilot(
    path: _Path, num_steps: int, num_pilot: int, num_leapfrog: int, shown: tqdm
) -> tuple[list[float], Tensor]:
    """Temperatures for all images, and step sizes for each, by chains whose draws are used for nothing else.

    The bounds lose about ½ Σ (β_t - β_{t-1})² Var_β[log_ratio], so that the temperatures stand in
    intervals of equal √Var dβ (Gelman & Meng 1998).

    Returns:
        num_steps + 1 inverse temperatures from 0 to 1, and step sizes of shape (num_steps - 1, batch).
    """
    batch, d = path.mu.shape
    if num_steps == 1:
        return [0.0, 1.0], path.mu.new_zeros(0, batch)
    # Dense at both ends, where an encoder that is off makes all change quickly.
    grid = torch.sigmoid(torch.linspace(-5, 5, num_pilot, dtype=torch.float64))
    grid = (grid - grid[0]) / (grid[-1] - grid[0])
    state = path.at(path.normal(_PILOTS))
    log_size = path.mu.new_full((batch,), -0.25 * math.log(d))
    log_sizes, roughness = [], []
    for beta in grid.tolist():
        state, probability = path.transition(state, beta, torch.exp(log_size), num_leapfrog)
        log_size = log_size + (probability.mean(dim=0) - _ACCEPTANCE).to(log_size.dtype)
        log_sizes.append(log_size)
        variance = state.log_ratio.var(dim=0)
        variance = variance[variance.isfinite()]  # without what a decoder gave of infinite numbers
        roughness.append(variance.mean().sqrt().item() if len(variance) else 0.0)
        shown.update()
    density = torch.tensor(roughness, dtype=torch.float64)
    density = density + 0.1 * density.mean() + 1e-9
    length = torch.cat([density.new_zeros(1), torch.cumulative_trapezoid(density, grid)])
    wanted = torch.linspace(0, 1, num_steps + 1, dtype=torch.float64) * length[-1]
    betas = _interpolate(wanted, length, grid[:, None])[:, 0]
    betas[0], betas[-1] = 0.0, 1.0
    sizes = torch.exp(_interpolate(betas[1:-1], grid, torch.stack(log_sizes)))
    return betas.tolist(), sizes


def _interpolate(at: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """The values (knots, …) between the knots, linear between them."""
    right = torch.searchsorted(knots, at).clamp(1, len(knots) - 1)
    share = ((at - knots[right - 1]) / (knots[right] - knots[right - 1])).to(values)
    return torch.lerp(values[right - 1], values[right], share[:, None])


def _lower(log_weights: Tensor) -> list[Tensor]:
    """log of the mean of the weights (chains, batch), and its standard error by the delta method."""
    num = len(log_weights)
    log_mean = torch.logsumexp(log_weights, dim=0) - math.log(num)
    return [log_mean, torch.exp(log_weights - log_mean).std(dim=0) / math.sqrt(num)]


def _upper(forward: Tensor, backward: Tensor) -> list[Tensor]:
    """log of the mean of one weight of a chain backwards and all but one forwards, and its error.

    One chain tells nothing of the spread of such weights. But their distribution is that of the weights
    forwards, in which each has its weight as its share.
    """
    num = len(forward)
    log_weights = torch.cat([backward[None], forward[1:]])
    log_mean = torch.logsumexp(log_weights, dim=0) - math.log(num)
    weights, shares = torch.exp(forward - log_mean), torch.softmax(forward, dim=0)
    of_backward = (shares * (weights - (shares * weights).sum(dim=0)) ** 2).sum(dim=0) * num / (num - 1)
    return [log_mean, torch.sqrt((num - 1) * weights.var(dim=0) + of_backward) / num]


def _squared(value: Tensor) -> Tensor:
    """The squared norm of each row, in double precision."""
    return value.double().square().sum(dim=-1)


def _split(x: Tensor, num_draws: int) -> tuple[Tensor, ...]:
    """Batches of about the same size whose decoded draws fit into a chunk."""
    parts = math.ceil(num_draws * x.numel() / _CHUNK)
    return x.split(math.ceil(len(x) / min(parts, len(x))))


def _check(model: VAE, x: Tensor, num_chains: int, num_steps: int, num_leapfrog: int) -> None:
    _check_images(model, x)
    as_count("num_chains", num_chains, minimum=2)
    as_count("num_steps", num_steps)
    as_count("num_leapfrog", num_leapfrog)


@torch.no_grad()
def _check_images(model: VAE, x: Tensor) -> None:
    """Lets the model look at each image once: later, it is `trusted`."""
    check_batch("x", x, check_model(model).data_dim)
    for batch in _split(x, 1):
        shape = model.log_likelihood(batch, model.encode(batch)[0]).shape
        if shape != (len(batch),):
            raise ValueError(f"model: expected log_likelihood of shape ({len(batch)},), got {tuple(shape)}")


# --- The best Gaussian of each image ------------------------------------------------------------------


def _amortization(
    model: VAE, x: Tensor, steps: int, num_draws: int, generator: torch.Generator, shown: tqdm
) -> list[Tensor]:
    with torch.no_grad():
        encoded = torch.stack(model.encode(x))  # (mu and log_var, batch, d)
    with trusted():
        found = _search(model, x, encoded, steps, generator, shown)
        better = _elbo_pairs(model, x, encoded, found, num_draws, generator).diff(dim=0).mean(dim=1)[0] > 0
        kept = torch.where(better[:, None], found, encoded)
        elbo, best = _elbo_pairs(model, x, encoded, kept, num_draws, generator)
    parts = []
    for values in (elbo, best, best - elbo):
        parts += [values.mean(dim=0), values.std(dim=0) / math.sqrt(len(values))]
    return parts


def _search(
    model: VAE, x: Tensor, encoded: Tensor, steps: int, generator: torch.Generator, shown: tqdm
) -> Tensor:
    """The diagonal Gaussian of each image that Adam finds from the encoder's, as `encoded`."""
    std = torch.exp(0.5 * encoded[1])
    scale = torch.stack([std, torch.ones_like(std)])  # a step is a part of q's own width
    away = torch.zeros_like(encoded).requires_grad_()
    optimizer = torch.optim.Adam([away], lr=0.05, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        eps = _mirrored(4, encoded[0], generator)
        with torch.enable_grad():
            elbo = _elbos(model, x, encoded + scale * away, eps).mean(dim=0)
            (gradient,) = torch.autograd.grad(-elbo.sum(), away)
        # One image whose draw went astray must not take the others, or its own past, with it.
        away.grad = gradient.nan_to_num(0.0, 0.0, 0.0)
        optimizer.step()
        schedule.step()
        shown.update()
    return (encoded + scale * away).detach()


@torch.no_grad()
def _elbo_pairs(
    model: VAE, x: Tensor, one: Tensor, other: Tensor, num_draws: int, generator: torch.Generator
) -> Tensor:
    """The ELBOs of two Gaussians by the same pairs of draws, (2, num_draws / 2, batch), float64."""
    pairs = []
    for start in range(0, num_draws // 2, 4):
        eps = _mirrored(min(4, num_draws // 2 - start), one[0], generator)
        halves = torch.stack([_elbos(model, x, q, eps).double() for q in (one, other)])
        pairs.append(halves.unflatten(1, (2, -1)).mean(dim=1))
    return torch.cat(pairs, dim=1)


def _elbos(model: VAE, x: Tensor, q: Tensor, eps: Tensor) -> Tensor:
    """One estimate of the ELBO for each draw, (draws, batch); the KL is exact."""
    mu, log_var = q
    return model.log_likelihood(x, mu + torch.exp(0.5 * log_var) * eps) - kl_standard_normal(mu, log_var)


def _mirrored(num_pairs: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """eps and -eps: what is odd in them cancels, which is most of the noise; (2 num_pairs, batch, d)."""
    shape = (num_pairs, *like.shape)
    eps = torch.randn(shape, dtype=like.dtype, device=like.device, generator=generator)
    return torch.cat([eps, -eps])
