"""A training by a recipe that can be counted and interrupted."""

import pytest

from vae_helpers.shipped import recipes


class CountedFit:
    """`fit`, with the name of the checkpoint for each step that was made, and Ctrl-C at one of them.

    Attributes:
        steps: since the start or the last `clear`.
        interrupt_at: the number of steps at which it comes; None for never.
    """

    def __init__(self):
        self.fit, self.steps, self.interrupt_at = recipes.fit, [], None

    def __call__(self, *args, checkpoint, **options):
        def on_step(*_):
            self.steps.append(checkpoint.name)
            if len(self.steps) == self.interrupt_at:
                raise KeyboardInterrupt

        return self.fit(*args, checkpoint=checkpoint, on_step=on_step, **options)


@pytest.fixture
def counted_fit(monkeypatch):
    counted = CountedFit()
    monkeypatch.setattr(recipes, "fit", counted)
    return counted
