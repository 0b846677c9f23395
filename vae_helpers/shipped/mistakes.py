"""What the wrong losses of notebook 10 claim, and what is true of the models that they train.

`python notebooks/mistakes.py` makes the figures: the code of the losses stands in the notebook.
"""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from vae_helpers.shipped.recipes import FOLDER, checked

FILE = FOLDER / "mistakes.json"


def load_mistakes() -> dict[str, dict[str, NDArray[np.float64]]]:
    """The figures of each model of notebook 10, from several seeds.

    Returns:
        For each name of the notebook's `CASES`, arrays of shape (seeds,), NaN where there is no number. In
        nats per image, on the first 1,000 test images: "claim", the author's own objective, and "true", the
        ELBO; and beside them "active", the number of active units, "std", the mean σ of q, and "error", the
        squared error of a reconstruction, summed over pixels. Where there are two latents also "evidence",
        log p(x) of the first 100 images by quadrature; where pixels are grey also "noise", the decoder's σ.
        All are NaN for a training that came to a loss which is no number.
    """
    models = json.loads(checked(FILE).read_text(encoding="utf-8"))["models"]
    return {name: {key: np.array(row, float) for key, row in rows.items()} for name, rows in models.items()}
