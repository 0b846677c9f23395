"""Widgets are tested without a browser, and each test begins with an empty stage."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import pytest

from vae_helpers.widgets import stage


@pytest.fixture(autouse=True)
def tidy():
    """Closes what a test has shown; no figure of pyplot may be open then."""
    yield
    while stage.ON_STAGE:
        stage.ON_STAGE.popitem()[1].close_all()
    assert plt.get_fignums() == []
