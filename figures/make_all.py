"""Makes every picture of this folder again: `python figures/make_all.py`."""

from __future__ import annotations

import runpy
from pathlib import Path


def main() -> None:
    """Runs each script that draws a picture."""
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        if path.name != Path(__file__).name:
            runpy.run_path(str(path), run_name="__main__")
            print(path.with_suffix(".png").name)


if __name__ == "__main__":
    main()
