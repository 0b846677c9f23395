"""Binarization by its statistics."""

import math

import numpy as np
import pytest
import torch
from support.draws import assert_mean, assert_near
from support.worlds import generator

from vae_helpers.models._validate import check_images, fresh_generator
from vae_helpers.models.likelihoods import binarize


def test_binarize_has_the_grey_values_as_means():
    grey = torch.linspace(0, 1, 101)
    draws = 20_000
    mean = binarize(grey.expand(draws, 101), generator()).double().mean(dim=0)
    inner = slice(1, -1)  # the two ends have no variance
    p = grey.double()[inner]
    error = (p * (1 - p) / draws).sqrt()
    assert_near(mean[inner], error, p, 0.03, draws)
    # Squares of standard normals, of noise that is neither larger nor smaller than that of coins.
    assert_mean((mean[inner] - p) ** 2 / error**2, 1, sees=1.5)


@pytest.mark.parametrize("axis", [0, 1])
def test_binarize_draws_each_pixel_and_each_image_anew(axis):
    x = binarize(torch.full((400, 400), 0.5), generator())
    # Means over 400 fair coins have the standard deviation 0.5/20; shared noise gives 0.5 or 0.
    assert x.mean(dim=axis).std().item() == pytest.approx(0.025, rel=5 / math.sqrt(2 * 400))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_binarize_gives_zeros_and_ones_and_keeps_black_and_white(dtype):
    images = torch.tensor([0.0, 0.5, 1.0], dtype=dtype).expand(10_000, 3)
    x = binarize(images, generator())
    assert x.dtype == dtype and x.shape == images.shape
    assert x.unique().tolist() == [0, 1]
    assert (x[:, 0] == 0).all() and (x[:, 2] == 1).all()


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
def test_binarize_keeps_black_and_white_at_the_ends_of_the_uniform_numbers(monkeypatch, uniform):
    monkeypatch.setattr(torch, "rand", lambda shape, **options: torch.full(shape, uniform))
    assert binarize(torch.tensor([[0.0, 1.0]])).tolist() == [[0, 1]]


def test_binarize_follows_its_generator_and_leaves_the_global_state():
    images = torch.full((50, 8), 0.5)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, again = binarize(images, generator(1)), binarize(images, generator(1))
    fresh, other = binarize(images), binarize(images)
    assert torch.equal(first, again)
    assert not torch.equal(first, binarize(images, generator(2)))
    assert not torch.equal(fresh, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_binarize_leaves_its_argument():
    images = torch.full((4, 5), 0.5)
    binarize(images, generator())
    assert (images == 0.5).all()


@pytest.mark.parametrize(
    "images, error, message",
    [
        (torch.tensor([[0.0, 255.0]]), ValueError, "0 to 255; divide bytes by 255"),
        (torch.tensor([[-0.1, 0.5]]), ValueError, r"values in \[0, 1\], got -0.1 to 0.5"),
        (torch.tensor([[math.nan, 0.5]]), ValueError, "finite numbers, got NaN or infinity"),
        (torch.tensor([[0.5, math.inf]]), ValueError, "finite numbers, got NaN or infinity"),
        (torch.zeros(0, 784), ValueError, r"not empty, got \(0, 784\)"),
        (torch.zeros(2, 3, dtype=torch.uint8), TypeError, "floating-point tensor, got torch.uint8 tensor"),
        (np.zeros((2, 3), np.float32), TypeError, "floating-point tensor, got ndarray"),
    ],
)
def test_binarize_refuses_what_is_no_grey_image(images, error, message):
    with pytest.raises(error, match=f"images: expected .*{message}"):
        binarize(images)


def test_binarize_refuses_a_seed_for_a_generator():
    with pytest.raises(TypeError, match=r"generator: expected a torch.Generator or None, got int"):
        binarize(torch.zeros(1, 2), 7)


@pytest.mark.parametrize("shape", [(3, 5), (4,), (1, 2, 4)])
def test_check_images_gives_both_shapes(shape):
    with pytest.raises(ValueError) as caught:
        check_images(torch.zeros(shape), 4)
    assert str(caught.value) == f"images: expected shape (batch, 4), got {shape}"


def test_a_generator_of_another_device_is_named():
    with pytest.raises(ValueError, match="generator: expected one on meta, got one on cpu"):
        fresh_generator(torch.Generator(), "meta")
