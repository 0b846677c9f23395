"""The shipped figures of notebook 10: complete, and what the figures themselves can vouch for."""

import math

import numpy as np
import pytest

from vae_helpers.shipped import load_mistakes

RESULTS = load_mistakes()
EACH = pytest.mark.parametrize("name", list(RESULTS))
UNTRAINED = 784 * math.log(2)  # nats of a decoder that gives each pixel probability ½


@EACH
def test_each_case_has_all_figures_from_at_least_three_seeds(name):
    kind, figures = name.partition(":")[0], RESULTS[name]
    more = {"2 latents": {"evidence"}, "grey": {"noise"}}.get(kind, set())
    assert figures.keys() == {"claim", "true", "active", "std", "error"} | more
    shapes = {row.shape for row in figures.values()}
    assert shapes == {RESULTS["right"]["claim"].shape} and shapes.pop()[0] >= 3
    assert all(row.dtype == np.float64 for row in figures.values())


@EACH
def test_a_training_that_broke_off_has_no_figures(name):
    broken = np.isnan(RESULTS[name]["claim"])
    for figure, row in RESULTS[name].items():
        assert np.isnan(row[broken]).all(), figure
    assert name in ("swapped", "KL added", "grey: log of the square") or not broken.any()


@pytest.mark.parametrize("name", ["right", "2 latents: right", "grey: right"])
def test_a_right_loss_claims_what_is_true(name):
    # Each is a mean over the same 1,000 images; draws differ, one in the claim and five in the truth.
    assert np.abs(RESULTS[name]["claim"] - RESULTS[name]["true"]).max() < 1.5


def test_no_bound_of_binary_pixels_is_positive():
    for name, figures in RESULTS.items():
        if not name.startswith("grey"):
            assert not (figures["true"] > 0).any(), name


def test_the_elbo_is_below_the_evidence():
    for name in ("2 latents: right", "2 latents: no noise"):
        # The first 100 images are not the first 1,000: their means differ by a few nats, alike for all seeds.
        assert (RESULTS[name]["true"] < RESULTS[name]["evidence"] + 15).all()
    gap = [
        RESULTS[f"2 latents: {name}"]["evidence"] - RESULTS[f"2 latents: {name}"]["true"]
        for name in ("right", "no noise")
    ]
    assert (gap[1] - gap[0] > 100).all()


def test_two_sigmoids_cost_as_much_as_knowing_nothing():
    assert np.abs(RESULTS["sigmoid twice"]["claim"] + UNTRAINED).max() < 1
