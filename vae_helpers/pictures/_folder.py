"""Where the course lies on this machine, whatever the working directory is."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2]


def course_file(path: str | Path) -> Path:
    """A file of the course by its place in the course's folder, such as "figures/manifold.png".

    Args:
        path: relative to the course's folder, or absolute.

    Raises:
        FileNotFoundError: there is no such file; the message says where it was looked for.
    """
    found = FOLDER / path
    if not found.is_file():
        raise FileNotFoundError(f"path: expected a file of the course in {FOLDER}, got {str(path)!r}")
    return found
