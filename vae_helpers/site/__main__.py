"""Makes the web edition: pages whose sliders need no kernel; opened from a server or from the folder."""

from __future__ import annotations

import argparse
import sys
import time

from vae_helpers.numerics._validate import path_option
from vae_helpers.pictures.plotting import COURSE


def main(arguments: list[str] | None = None) -> int:
    """Reads the line and makes the edition; says how long it took."""
    parser = argparse.ArgumentParser(prog="python -m vae_helpers site", description=__doc__)
    parser.add_argument("--out", type=path_option, default=COURSE / "site", help="its folder (default: site)")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw (default: 2)")
    parser.add_argument(
        "--cache", type=path_option, help="keeps what was drawn for the next time in this folder"
    )
    options = parser.parse_args(arguments)
    begin = time.perf_counter()
    try:
        from vae_helpers.site.build import build
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("vae_helpers"):
            raise
        print(f"{error.name} is missing; pip install -r requirements-dev.txt brings it", file=sys.stderr)
        return 2
    try:
        out = build(options.out, workers=options.workers, cache=options.cache)
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{out / 'index.html'}, in {time.perf_counter() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
