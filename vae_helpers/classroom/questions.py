"""Writes the bank of questions as Moodle XML: numbers drawn, answers computed, mistakes with their names.

A seed gives the same file to the byte. A file that is there is replaced only if this command wrote it and
nobody has changed it since.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vae_helpers.numerics._validate import path_option

SEED, VARIANTS = 0, 5


def write(
    out: str | Path, *, seed: int = SEED, variants: int = VARIANTS, notebooks: list[str] | None = None
) -> int:
    """Writes a file that Moodle imports.

    Args:
        out: the file.
        seed: of all draws.
        variants: of each question, so that students of a class have different numbers.
        notebooks: those that are asked about, as two digits; None for all.

    Returns:
        How many questions it has, variants counted.

    Raises:
        FileExistsError: `out` is there and is not as this command has written it.
        FileNotFoundError: its folder is not there.
        ValueError: no such notebook, a seed below 0, or more variants than a question has.
    """
    from vae_helpers.classroom import bank
    from vae_helpers.classroom.bank import moodle, question
    from vae_helpers.models.storage import as_path, check_folder, whole_file

    out = as_path("out", out)
    if out.exists() and not (out.is_file() and moodle.is_ours(_read(out))):
        raise FileExistsError(f"out: expected no file, or one that this command wrote, unchanged; got {out}")
    check_folder(out, "out")
    asked = bank.load(bank.NOTEBOOKS if notebooks is None else notebooks)
    drawn = {name: [question.variants(one, variants, seed) for one in asked[name]] for name in asked}
    about = f"notebooks {' '.join(asked)}, variants {variants}, seed {seed}"
    with whole_file(out) as temporary:
        temporary.write_text(moodle.document(drawn, about), encoding="utf-8", newline="\n")
    return sum(map(len, drawn.values())) * variants


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")


def main(arguments: list[str] | None = None) -> int:
    """Reads the line and writes the file; says how many questions it has."""
    parser = argparse.ArgumentParser(
        prog="python -m vae_helpers questions", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--out",
        type=path_option,
        default=Path("questions.xml"),
        metavar="FILE.xml",
        help="default: questions.xml",
    )
    parser.add_argument("--seed", type=int, default=SEED, help=f"of all draws (default: {SEED})")
    parser.add_argument(
        "--variants",
        type=int,
        default=VARIANTS,
        help=f"of each question, with other numbers (default: {VARIANTS})",
    )
    parser.add_argument(
        "--notebook",
        nargs="+",
        type=lambda number: number.zfill(2),
        metavar="NN",
        help="only these, as 03 07 (default: 01 to 09)",
    )
    options = parser.parse_args(arguments)
    try:
        count = write(options.out, seed=options.seed, variants=options.variants, notebooks=options.notebook)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.out}: {count} questions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
