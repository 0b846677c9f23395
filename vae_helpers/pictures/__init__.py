"""Figures in the colours of the course, and derivations whose every line is evaluated."""

from vae_helpers.pictures.derivation import Derivation, DerivationError
from vae_helpers.pictures.plotting import (
    CLASS_COLORS,
    ROLES,
    draw_density,
    draw_images,
    draw_labelled_points,
    show,
    show_picture,
    use_style,
)
