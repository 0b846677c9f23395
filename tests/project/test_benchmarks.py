"""The benchmarks run and say what they measured; how fast anything is, no test decides."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vae_helpers.shipped.burda import RECIPES

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
import harness  # noqa: E402
import readme  # noqa: E402

sys.path.pop(0)


def run(*arguments):
    command = [sys.executable, "tests/benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_group_is_measured_printed_and_stored_beside_those_of_before(tmp_path):
    stored = tmp_path / "results.json"
    stored.write_text('{"older": 1}')
    done = run("numerics", "--rounds", "2", "--output", str(stored))
    assert done.returncode == 0, done.stderr
    content = json.loads(stored.read_text())
    assert content["older"] == 1 and content["numerics"]["rounds"] == 2
    assert content["numerics"]["machine"]["processor"] and content["numerics"]["machine"]["torch"]
    (closed, memory) = content["numerics"]["figures"].values()
    assert all(len(row["values"]) == 2 and min(row["values"]) > 0 for row in closed)
    assert re.search(r"KL, torch\.distributions +[\d.]+ ns +\([\d.]+ to [\d.]+\)", done.stdout)
    # Ten times the draws in the same memory.
    assert memory[-1]["what"] == "memory with ten times the draws" and memory[-1]["median"] < 1.1


@pytest.mark.skipif(torch.accelerator.is_available(), reason="a GPU, which is not of CUDA, is seen here")
def test_without_a_gpu_its_script_runs_and_writes_nothing():
    kept = ROOT / "tests/benchmarks/gpu.json"
    before = kept.read_bytes() if kept.exists() else None
    short = "--epochs=1 --num-images=200 --num-samples=2".split()
    command = [sys.executable, "tests/benchmarks/gpu.py", *short, "check", "vae"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads("{" + done.stdout.partition("check {")[2].partition("\n}\nvae")[0] + "}")
    assert set(told) == set(RECIPES) and all(50 < model["here"] < 120 for model in told.values())
    assert "no GPU here" in done.stdout
    assert (kept.read_bytes() if kept.exists() else None) == before


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["speed"], "groups: expected some of quality, training, numerics"),
        (["numerics", "--rounds", "0"], "--rounds: expected at least 1, got 0"),
        (["--loud"], "unrecognized arguments: --loud"),
    ],
)
def test_a_wrong_option_is_told_in_a_line(tmp_path, arguments, message):
    done = run(*arguments, "--output", str(tmp_path / "r.json"))
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_contestants_take_turns_and_every_round_begins_with_another():
    told = []
    rows = harness.in_turn({name: lambda name=name: told.append(name) or len(told) for name in "abc"}, 3)
    assert "".join(told) == "abc" + "abc" + "bca" + "cab"
    assert {row.what: row.values for row in rows} == {"a": [4, 9, 11], "b": [5, 7, 12], "c": [6, 8, 10]}


@pytest.mark.parametrize(
    "values, goal, told",
    [
        ([1, 5, 3], {"at_least": 3}, "at least 3: reached"),
        ([1, 5, 2], {"at_least": 3}, "at least 3: MISSED"),
        ([1, 5, 3], {"at_most": 3}, "at most 3: reached"),
        ([1, 5, 4], {"at_most": 3}, "at most 3: MISSED"),
        ([1, 5, 4], {}, ""),
    ],
)
def test_a_goal_is_for_the_median(values, goal, told):
    claim = harness.Claim("it", values, **goal)
    assert claim.goal == told
    assert told in harness.table({"group": [claim]})


def test_a_ratio_is_of_the_same_round():
    pair = harness.Row("a", [2.0, 9.0]), harness.Row("b", [1.0, 3.0])
    assert harness.ratio("a over b", *pair).values == [2.0, 3.0]


def test_the_readme_says_what_the_stored_results_say():
    results = json.loads((ROOT / "tests/benchmarks/results.json").read_text(encoding="utf-8"))
    assert min(group["rounds"] for group in results.values()) >= 5
    told = readme.SECTION.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert told and told[0] == readme.section(results)


@pytest.mark.parametrize("before", ["", "| older |\n\n"])
def test_only_that_section_of_the_readme_is_written(tmp_path, monkeypatch, before):
    path = tmp_path / "README.md"
    path.write_text(f"# A\n\n## How fast\n\n{before}## Next\n\nkept\n\n## Last\n")
    monkeypatch.setattr(readme, "README", path)
    monkeypatch.setattr(readme, "section", lambda results: "| new |\n\n")
    readme.write({})
    assert path.read_text() == "# A\n\n## How fast\n\n| new |\n\n## Next\n\nkept\n\n## Last\n"
