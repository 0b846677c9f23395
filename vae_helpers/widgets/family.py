"""What a board shows of models that differ in the number of their latents alone."""

from __future__ import annotations

import torch
from torch import Tensor

from vae_helpers.models._validate import check_batch, check_model
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import as_count, told

NUM_SAMPLES = 14
_BLANK = torch.zeros(2, 1, 1)


class Family:
    """Pictures and numbers of a family of VAEs, one for each latent dimension, as views of `explore`.

    All that is heavy is computed at the start, so that a slider costs a few decoded points. Latents are
    numbered by their KL, from 1: the first is the most used one.
    """

    def __init__(
        self,
        models: dict[int, VAE],
        digits: Tensor,
        curve: dict[int, tuple[float, float]],
        kl: dict[int, Tensor],
        active: dict[int, int],
    ) -> None:
        """Encodes and decodes some images, and draws samples of each model.

        Args:
            models: each model by its latent dimension d.
            digits: ten images, shape (10, D), zeros and ones.
            curve: distortion and rate of each model, in nats per image.
            kl: the KL of each latent, averaged over images, shape (d,), in nats.
            active: the number of active units of each model.
        """
        if not isinstance(models, dict) or not models:
            raise TypeError(f"models: expected a dict of VAEs by their latent dimensions, got {told(models)}")
        for name, part in {"curve": curve, "kl": kl, "active": active}.items():
            if not isinstance(part, dict) or not models.keys() <= part.keys():
                raise TypeError(f"{name}: expected a dict with the keys {list(models)}, got {told(part)}")
        for model in models.values():
            check_batch("digits", digits, check_model(model, "models").data_dim)
        self.models, self.digits = models, digits
        self._curve, self._kl, self._active = curve, kl, active
        self._order = {d: each.argsort(descending=True) for d, each in kl.items()}
        with torch.no_grad():
            self.codes = {d: model.encode(digits)[0] for d, model in models.items()}
            self._pictures = {d: self._beside(model, self.codes[d]) for d, model in models.items()}

    def _beside(self, model: VAE, codes: Tensor) -> Tensor:
        samples = model.sample(NUM_SAMPLES, torch.Generator().manual_seed(7))
        left = torch.stack([self.digits, model.mean(codes)])
        blank = _BLANK.expand(2, 1, self.digits.shape[-1])
        return torch.cat([left, blank, samples.reshape(2, NUM_SAMPLES // 2, -1)], dim=1)

    def _known(self, latent_dim: int) -> int:
        if as_count("latent_dim", latent_dim) not in self.models:
            raise ValueError(f"latent_dim: expected one of {list(self.models)}, got {latent_dim}")
        return latent_dim

    def _check(self, latent_dim: int, latent: int, first: int, second: int) -> None:
        most = {
            "latent": self._known(latent_dim),
            "first": len(self.digits) - 1,
            "second": len(self.digits) - 1,
        }
        for (name, high), value in zip(most.items(), (latent, first, second), strict=True):
            if as_count(name, value, minimum=int(name == "latent")) > high:
                raise ValueError(f"{name}: expected at most {high}, got {value}")

    def kept_and_invented(self, latent_dim: int) -> Tensor:
        """Left: ten digits above their reconstructions; right: fourteen samples. Shape (2, 18, D)."""
        return self._pictures[self._known(latent_dim)]

    @torch.no_grad()
    def walks(self, latent_dim: int, latent: int, first: int, second: int) -> Tensor:
        """Left: a latent of the first digit moved from -3 to 3; right: the line to the second. (1, 18, D)"""
        self._check(latent_dim, latent, first, second)
        start, end = self.codes[latent_dim][first], self.codes[latent_dim][second]
        traversal = start.repeat(9, 1)
        traversal[:, self._order[latent_dim][latent - 1]] = torch.linspace(-3, 3, 9)
        line = torch.lerp(start, end, torch.linspace(0, 1, 8)[:, None])
        images = self.models[latent_dim].mean(torch.cat([traversal, line]))
        return torch.cat([images[:9], torch.zeros_like(images[:1]), images[9:]])[None]

    def report_model(self, latent_dim: int) -> dict[str, float | str]:
        """The numbers of the chosen model, averages over the test set, in nats per image."""
        distortion, rate = self._curve[self._known(latent_dim)]
        shown = {"log-likelihood": -distortion, "KL": rate, "−ELBO": distortion + rate}
        return shown | {"active units": f"{self._active[latent_dim]} of {latent_dim}"}

    def report_walks(
        self, latent_dim: int, latent: int, first: int, second: int
    ) -> dict[str, float | tuple[float, str]]:
        """The KL of the moved latent, and the squared length halfway between the two digits."""
        self._check(latent_dim, latent, first, second)
        kl = self._kl[latent_dim][self._order[latent_dim][latent - 1]].item()
        halfway = (self.codes[latent_dim][first] + self.codes[latent_dim][second]) / 2
        return {"KL of this latent": kl, "squared length halfway": (halfway.square().sum().item(), "")}
