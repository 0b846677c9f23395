"""The page of what was tried shows what was found, and a share of a run does not pass for the whole."""

import subprocess
import sys

import pytest

from trust import ledger

ROW = ledger.Row("KL is never negative", 10_000, "points", 3, "worst -1e-17")


def test_the_page_shows_what_the_runs_found():
    assert ledger.PAGE.read_text(encoding="utf-8") == ledger.page()
    for part in ledger.PARTS:
        for row in ledger.kept(part):
            assert 0 <= row.failed <= row.tried, row
            assert row.tried > 0 or "not tried yet" in row.found, row


def test_a_row_is_kept_and_shown_whole(tmp_path):
    ledger.keep("ulps", [ROW], tmp_path)
    assert ledger.kept("ulps", tmp_path) == [ROW]
    assert "| KL is never negative | 10,000 points | 3 | worst -1e-17 |" in ledger.tables(tmp_path)
    assert "Not run yet." in ledger.tables(tmp_path)


def test_a_run_that_is_broken_off_keeps_the_older_figures_of_other_claims(tmp_path):
    other, again = ledger.Row("Densities", 5, "points", 0), ledger.Row(ROW.what, 20_000, "points", 0)
    ledger.keep("ulps", [ROW, other], tmp_path)
    ledger.keep("ulps", [again], tmp_path, beside=True)
    assert ledger.kept("ulps", tmp_path) == [again, other]
    ledger.keep("ulps", [again], tmp_path)
    assert ledger.kept("ulps", tmp_path) == [again]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--share", "0"], "--share: expected a number above 0 and at most 1, got 0"),
        (["--share", "0.5"], "--share: figures of less than the long run need another folder"),
        (["luck"], "parts: expected some of ulps"),
    ],
)
def test_a_mistake_in_the_command_is_told(arguments, message):
    command = [sys.executable, "tests/trust", *arguments]
    done = subprocess.run(command, cwd=ledger.ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and message in done.stderr
