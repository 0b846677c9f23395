"""What stands around the notebooks: the README's promises, pins, licenses, links."""

import json
import os
import re
import tomllib

import pytest
from support.cells import PATHS, ROOT, markdown

import vae_helpers

README = (ROOT / "README.md").read_text(encoding="utf-8")
REQUIREMENTS = (ROOT / "requirements.txt").read_text(encoding="utf-8")
DEV = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
NPM = {}
for folder in ("tests/browser", "docs"):
    NPM |= json.loads((ROOT / folder / "package.json").read_text(encoding="utf-8"))["dependencies"]
PROSE = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]


def course_time(path):
    """(minutes to read, minutes of Deeper, time to run) as the notebook's first cell says."""
    time = r"\*\*Time\.\*\* (\d+) minutes to read, (\d+) more for Deeper, (\d+ \w+) to run"
    return re.search(time, markdown(path)[0]).groups()


def test_readme_has_the_two_lines():
    assert "\npip install -r requirements.txt && jupyter lab notebooks/00_start_here.ipynb\n" in README
    assert "\npip install -r requirements-dev.txt && pytest\n" in README


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_maps_name_each_notebook_with_its_own_times(path):
    minutes, more, run = course_time(path)
    row = rf"\| \[[^\]]+\]\((?:notebooks/)?{path.name}\) \| [^|]+\? \| {minutes} \+ {more} min \| {run} \|"
    assert re.search(row, README)
    assert re.search(row, "\n".join(markdown(PATHS[0])))


def test_maps_name_nothing_else():
    for prose in (README, "\n".join(markdown(PATHS[0]))):
        assert len(re.findall(r"^\| \[\d+ · ", prose, flags=re.MULTILINE)) == len(PATHS)


def test_notebooks_in_order():
    assert [p.stem[:2] for p in PATHS] == [f"{n:02d}" for n in range(len(PATHS))]


def test_every_requirement_is_pinned():
    lines = [line for line in (REQUIREMENTS + DEV).splitlines() if line and not line.startswith("#")]
    allowed = {"--editable .", "-r requirements.txt"}
    assert any(line.startswith("torch==") for line in lines)  # a bare torch would bring gigabytes
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", line) for line in lines if line not in allowed)
    assert DEV.splitlines()[0] == "-r requirements.txt"
    assert all(re.fullmatch(r"[\d.]+", version) for version in NPM.values())


def test_the_course_has_versions_that_the_library_takes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)$", REQUIREMENTS + "\n" + DEV, flags=re.MULTILINE))
    assert [line.split(">=")[0] for line in project["dependencies"]] == ["numpy", "scipy"]
    for line in [*project["dependencies"], *(line for lines in extras.values() for line in lines)]:
        if line != "vae_helpers[torch]":
            name, least = line.split(">=")
            numbers = [[int(n) for n in version.split(".")] for version in (least, pinned[name])]
            assert numbers[0] <= numbers[1], line


def test_ci_tries_the_oldest_and_the_newest_core():
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "tests/library/core.py" in text and "pyproject.toml" in text


def test_contributing_says_why_each_dependency_is_here():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    names = re.findall(r"^([\w-]+)==", REQUIREMENTS + "\n" + DEV, flags=re.MULTILINE)
    names += [name.split("==")[0] for name in build] + list(NPM)
    rows = re.findall(r"^\| ([\w.-]+)(?: \([\w, ]+\))? \| \w", text, flags=re.MULTILINE)
    assert set(names) <= set(rows)


@pytest.mark.parametrize("name", PROSE)
def test_links_and_pictures_resolve(name):
    for label, target in re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", (ROOT / name).read_text(encoding="utf-8")):
        assert target.startswith("https://") or (ROOT / target).exists(), target
        assert label


def test_ci_runs_the_line_of_the_readme():
    assert "pip install -r requirements-dev.txt && pytest" in (ROOT / ".ci" / "run").read_text(
        encoding="utf-8"
    )


def test_pre_commit_has_the_same_versions_and_keeps_outputs():
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    pins = set(re.findall(r"\[([\w-]+==[\d.]+)\]", text))
    assert text.count("additional_dependencies: [") == text.count("language: python") == 3
    assert {pin for pin in pins if pin.startswith("ruff")} == set(
        re.findall(r"^ruff==.+$", DEV, re.MULTILINE)
    )
    assert "nbstripout --keep-output --keep-count --keep-id" in text and '"metadata.widgets"' in text
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert all(f"| {pin.partition('==')[0]} (" in contributing for pin in pins)


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {vae_helpers.__version__}\n" in text
    assert f"\n## {vae_helpers.__version__}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_binder_installs_what_the_course_runs_on_without_libraries_of_gpus():
    script = ROOT / "binder" / "postBuild"
    assert os.access(script, os.X_OK)
    assert "--torch-backend cpu -r requirements.txt" in script.read_text(encoding="utf-8")
    python = (ROOT / "binder" / "runtime.txt").read_text(encoding="utf-8")
    assert re.fullmatch(r"python-3\.(1[1-9])\n", python)


def test_licenses_are_there():
    assert "MIT License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Attribution 4.0 International" in (ROOT / "LICENSE-CC-BY-4.0").read_text(encoding="utf-8")
    assert "ShareAlike 3.0" in (ROOT / "vae_helpers" / "shipped" / "mnist" / "LICENSE").read_text(
        encoding="utf-8"
    )
    fashion = (ROOT / "vae_helpers" / "shipped" / "fashion" / "LICENSE").read_text(encoding="utf-8")
    assert "MIT License" in fashion and "2017 Zalando SE" in fashion


def test_the_quick_loop_executes_no_notebook_and_opens_no_browser(request):
    """Of what this run has collected; a whole one has collected all."""
    for item in request.session.items:
        if item.get_closest_marker("quick"):
            assert item.path.suffix == ".py" and "browser" not in item.path.parts, item.nodeid
            assert not {"chromium", "open_notebook"} & set(item.fixturenames), item.nodeid
