"""How fast the course is, side by side with others: `python tests/benchmarks`.

With names only those groups: `python tests/benchmarks training numerics`. Contestants take turns in one
process, so that a busy machine slows all of them; a figure is the median of all rounds, with its smallest
and largest value. Prints one table, writes results.json (of all groups so far) beside this file, and from it
the section "How fast" of the README.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import bounds
import growth
import numerics
import readme
import starting
import training
from harness import as_json, machine, table

from vae_helpers.models.storage import whole_file

RESULTS = Path(__file__).parent / "results.json"
GROUPS = {
    "quality": training.time_to_quality,
    "training": training.epochs,
    "numerics": numerics.measure,
    "bounds": bounds.measure,
    "imports": starting.imports,
    "notebooks": starting.notebooks,
    "growth": growth.measure,
}


def main() -> None:
    """Measures the groups named on the command line, or all."""
    parser = argparse.ArgumentParser("python tests/benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*", help=f"what to measure, of {', '.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of each; 5 by default")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the figures go")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {options.rounds}")
    if unknown := set(options.groups) - GROUPS.keys():
        parser.error(f"groups: expected some of {', '.join(GROUPS)}, got {', '.join(sorted(unknown))}")
    stored = json.loads(options.output.read_text()) if options.output.is_file() else {}
    for name in options.groups or GROUPS:
        here = machine()
        groups = GROUPS[name](options.rounds)
        print(table(groups), flush=True)
        stored[name] = {"machine": here, "rounds": options.rounds, "figures": as_json(groups)}
        with whole_file(options.output) as temporary:
            temporary.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    if options.output == RESULTS and readme.GROUPS <= stored.keys():
        readme.write(stored)


if __name__ == "__main__":
    main()
