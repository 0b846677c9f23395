"""Small notebooks made for a test, and the explorers of the course's notebooks, each made once a session."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import pytest

from vae_helpers.widgets import stage

FIRST = "from vae_helpers.widgets import choice, explore, numbers, pictures, plot, slider, steps, stops\n"


@pytest.fixture
def notebook(tmp_path):
    """Writes a notebook of code cells, before a cell that imports the widgets, and gives its path."""

    def write(*cells: str, name: str = "90_made") -> Path:
        sources = [FIRST, *map(textwrap.dedent, cells)]
        described = [{"cell_type": "code", "source": source, "outputs": []} for source in sources]
        path = tmp_path / f"{name}.ipynb"
        path.write_text(json.dumps({"cells": described, "nbformat": 4}), encoding="utf-8")
        return path

    return write


@pytest.fixture(autouse=True)
def tidy():
    """Closes what a test has left on the stage."""
    yield
    while stage.ON_STAGE:
        stage.ON_STAGE.popitem()[1].close_all()
