"""The doctor of notebook 0: what it sees, and that it has one thing to do for each fault."""

import html
import os
import sys
from collections import namedtuple

import pytest
from ipywidgets.widgets.widget import _instances

from vae_helpers.widgets import checkup, stage
from vae_helpers.widgets.checkup import doctor, look_at_machine

GIB = 2**30
Memory = namedtuple("Memory", "available total")


@pytest.fixture(autouse=True)
def no_widget_is_left():
    before = len(_instances)
    yield
    while stage.ON_STAGE:
        stage.ON_STAGE.popitem()[1].close_all()
    assert len(_instances) == before


def finding_of(what, findings=None):
    (finding,) = [f for f in findings or look_at_machine() if f.what == what]
    return finding


def text_of(panel):
    return html.unescape(panel._table.value)


def test_this_machine_is_well_by_what_its_own_tools_say():
    findings = look_at_machine()
    assert [f.what for f in findings] == ["Python", "packages", "memory", "images"]
    assert finding_of("Python", findings).seen == ".".join(map(str, sys.version_info[:3]))
    assert finding_of("packages", findings).well and finding_of("images", findings).well
    assert "60,000 of MNIST" in finding_of("images", findings).seen
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    assert f"of {total:.1f} GiB free" in finding_of("memory", findings).seen


@pytest.mark.parametrize("info, well", [((3, 10, 9), False), ((3, 11, 0), True), ((3, 14, 1), True)])
def test_an_old_python_is_found(monkeypatch, info, well):
    monkeypatch.setattr(checkup.sys, "version_info", info)
    assert finding_of("Python").well is well


@pytest.mark.parametrize("wrong, words", [("0.1", "numpy 0.1, not "), (None, "numpy missing, not ")])
def test_packages_of_another_version_are_named(monkeypatch, wrong, words):
    real = checkup.version

    def version(name):
        if name != "numpy":
            return real(name) + "+cpu"  # a local part does not matter
        if wrong is None:
            raise checkup.PackageNotFoundError
        return wrong

    monkeypatch.setattr(checkup, "version", version)
    finding = finding_of("packages")
    assert finding.well is False and words in finding.seen
    assert "pip install -r requirements.txt" in finding.do


@pytest.mark.parametrize("free, well", [(1.9, False), (2.1, True)])
def test_little_memory_is_found(monkeypatch, free, well):
    monkeypatch.setattr(checkup.psutil, "virtual_memory", lambda: Memory(int(free * GIB), 16 * GIB))
    finding = finding_of("memory")
    assert finding.well is well and finding.seen == f"{free} of 16.0 GiB free, 2 are needed"


@pytest.mark.parametrize("error", [ValueError("another checksum"), FileNotFoundError("no file")])
def test_damaged_images_are_found(monkeypatch, error):
    def broken(split):
        raise error

    monkeypatch.setattr(checkup, "load_mnist", broken)
    finding = finding_of("images")
    assert finding.well is False and finding.seen == str(error) and "mnist.npz" in finding.do


def test_the_panel_waits_for_the_page_and_for_its_slider():
    panel = doctor()
    assert "○ sliders in the page" in text_of(panel) and "○ the slider below: not moved yet" in text_of(panel)
    assert panel.verdict.startswith("○ To do: run pip install")
    panel._stage.set_state({"seen": {"handles": 1}})
    assert "✓ sliders in the page" in text_of(panel)
    assert panel.verdict == "○ To do: move the slider below, by mouse or by the arrow keys."
    panel.control.input.value = 7
    assert "✓ the slider below: moved, and the kernel reads 7" in text_of(panel)
    assert panel.verdict == "✓ All is well: this machine runs the course." and panel.verdict in text_of(panel)


def test_a_page_without_ipywidgets_is_named():
    panel = doctor()
    panel._stage.set_state({"seen": {"handles": 0}})
    assert panel.verdict.startswith("✗ To do: run pip install -r requirements.txt")
    assert "anywidget answers, ipywidgets does not" in text_of(panel)


def test_the_first_fault_is_the_one_thing_to_do(monkeypatch):
    monkeypatch.setattr(checkup, "version", lambda name: "0")
    monkeypatch.setattr(checkup.psutil, "virtual_memory", lambda: Memory(0, GIB))
    assert doctor().verdict == f"✗ To do: {finding_of('packages').do}."


def test_its_output_is_the_same_on_every_machine(monkeypatch):
    data, metadata = doctor()._repr_mimebundle_()
    monkeypatch.setattr(checkup, "version", lambda name: "0")
    other, _ = doctor()._repr_mimebundle_()
    assert data["text/plain"] == other["text/plain"] and metadata == {} and "image/png" not in data
    assert "the browser side of the sliders is missing" in data["text/html"]
