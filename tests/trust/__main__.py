"""How hard it was tried to break the course: `python tests/trust`, or with names only those parts.

Each part tries its claims as often as the page says, mends nothing, writes what it found to
results/PART.json beside this file, and from all of them the table of docs/trust.md. The tests of this folder
run a small share of the same code; `--share 0.01` does that here.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
# In place of this folder, so that modules have the names that tests use.
sys.path[:1] = [str(TESTS), str(TESTS.parent / "notebooks")]

from trust import ledger  # noqa: E402


def main() -> None:
    """Runs the parts named on the command line, or all."""
    parser = argparse.ArgumentParser("python tests/trust", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"what to try, of {', '.join(ledger.PARTS)}; all by default")
    parser.add_argument("--share", type=float, default=1.0, help="of the tries of the long run; 1 by default")
    parser.add_argument("--results", type=Path, default=ledger.RESULTS, help="the folder of the figures")
    parser.add_argument("--page", action="store_true", help="try nothing, write docs/trust.md anew")
    options = parser.parse_args()
    if not 0 < options.share <= 1:
        parser.error(f"--share: expected a number above 0 and at most 1, got {options.share:g}")
    if options.share < 1 and options.results == ledger.RESULTS:
        parser.error("--share: figures of less than the long run need another folder, --results")
    if unknown := set(options.parts) - ledger.PARTS.keys():
        known = ", ".join(ledger.PARTS)
        parser.error(f"parts: expected some of {known}, got {', '.join(sorted(unknown))}")
    for name in [] if options.page else options.parts or ledger.PARTS:
        print(f"\n{name}", flush=True)
        rows = []
        for row in importlib.import_module(f"trust.{name}").rows(options.share):
            print(row.line(), flush=True)
            rows.append(row)
            ledger.keep(name, rows, options.results, beside=True)  # should the run be broken off
        ledger.keep(name, rows, options.results)
    if options.results == ledger.RESULTS:
        ledger.write_page()


if __name__ == "__main__":
    main()
