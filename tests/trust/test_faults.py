"""A share of `python tests/trust faults`, and its judges against what they should see."""

import pytest
import torch

from trust import faults
from vae_helpers.models import storage, training

SHARE = 0.03


@pytest.mark.parametrize(
    "part", [faults.killed_trainings, faults.damaged_files, faults.no_room, faults.foreign_programs]
)
def test_a_share_of_the_tries_holds(part):
    row = part(SHARE)
    assert not row.failed, row.line()


@pytest.mark.parametrize("part", [faults.no_openers, faults.archives, faults.pages])
def test_no_program_of_the_course_runs_what_is_foreign(part):
    row = part(1.0)
    assert not row.failed, row.line()
    assert row.tried > 20


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from zipfile import ZipFile",
        "torch.load(path)",
        "shutil.unpack_archive(path)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_what_reads_pickles_or_archives_is_seen(source):
    assert faults.dangers(source) and not faults.dangers("np.load(path, allow_pickle=False)")


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js">',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        "@import url(https://fonts.example/x.css)",
        'import x from "https://esm.example/x"',
        'await import("https://esm.example/x")',
        "eval(field.value)",
        "new Function(field.value)()",
        'fetch("https://example.org")',
    ],
)
def test_what_a_page_would_take_from_elsewhere_is_seen(text):
    assert faults.foreign_in(text)
    assert not faults.foreign_in('<a href="https://arxiv.org">import {x} from "./x.js"; fetch("x.json")')


def test_a_training_that_goes_on_with_other_numbers_is_seen(tmp_path, monkeypatch):
    whole = faults.trained(None, "adam", 2)
    with torch.no_grad():
        next(whole.parameters()).view(-1)[0] += 1e-6
    monkeypatch.setattr(faults, "EPOCHS", 2)
    assert not faults.same(faults.trained(None, "adam", 2), whole)
    (tmp_path / "c.part").write_text("half")
    assert "left" in faults._gone_on(tmp_path, "adam", faults.trained(None, "adam", 20))


def test_weights_without_a_checksum_are_seen_by_a_turned_bit(monkeypatch):
    monkeypatch.setattr(storage, "_digest", lambda *_: "")
    monkeypatch.setattr(faults, "DAMAGE", ("bit turned",))
    assert faults.damaged_files(0.2).failed


def test_a_file_that_is_written_in_its_place_is_seen_on_a_full_disk(monkeypatch):
    class Careless:
        def __init__(self, path):
            self.path = path

        def __enter__(self):
            return self.path

        def __exit__(self, *_):
            return False

    monkeypatch.setattr(storage, "whole_file", Careless)
    assert faults.no_room(SHARE).failed


def test_a_training_that_stops_at_a_full_disk_is_seen(monkeypatch):
    monkeypatch.setattr(training, "_told", lambda *_: faults.nullcontext())
    assert faults.no_room(SHARE).failed


def test_a_disk_is_full_only_inside(tmp_path):
    with faults.largest_file(1000), pytest.raises(OSError, match="too large"):
        (tmp_path / "f").write_bytes(bytes(2000))
    (tmp_path / "f").write_bytes(bytes(2000))


def test_a_pickle_that_is_read_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_read", lambda path: faults.pickle.loads(path.read_bytes()))
    assert faults.foreign_programs(1.0).failed
