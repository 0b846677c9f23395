"""Reports word by word: headline, lines, places, notes, HTML, and the table of codes."""

import pytest
import torch

from vae_helpers.checks.engine import codes, settings
from vae_helpers.checks.engine import report as reports
from vae_helpers.checks.engine.codes import CODES, Code
from vae_helpers.checks.engine.report import Failed, Finding, Report, report, safely, said

SHAPE = Finding("shape", "It has another shape.")  # CODES: notebook 0, section 4
REVERSE = Finding("reverse", "It is the reverse one.")  # CODES: notebook 3, section 6
HALF = Finding("half", "A factor is lost.")  # CODES: no place
EMPTY = Finding("not-attempted", "Nothing yet.")


def test_words_become_a_code_and_one_line_of_text():
    assert said("half: A factor:\n    ½ is\n  lost.") == Finding("half", "A factor: ½ is lost.", "")


def test_a_failure_carries_its_finding_and_its_text():
    failed = Failed(HALF)
    assert failed.finding is HALF and str(failed) == "A factor is lost."


@pytest.mark.parametrize(
    "codes, headline",
    [
        ((), "✓ A task: right"),
        (("not-attempted",), "○ A task: not attempted yet"),
        (("half", "sign"), "✗ A task: not yet right"),
    ],
)
def test_headlines(codes, headline):
    shown = Report("A task", frozenset(codes), "")
    assert shown.verdict == headline
    assert repr(shown) == headline
    assert repr(Report("A task", frozenset(codes), "Seen.")) == f"{headline}\nSeen."
    assert shown.passed == (not codes)


def test_a_note_comes_last():
    first = Report("A task", frozenset(), "")
    assert first.with_note("so it is.").message == "Note: so it is."
    both = Report("A task", frozenset({"half"}), "Seen.").with_note("so it is.")
    assert both == Report("A task", frozenset({"half"}), "Seen.\nNote: so it is.")


@pytest.mark.parametrize(
    "codes, colour, listed",
    [
        ((), "#2a7f3f", ""),
        (("not-attempted",), "#8a8a8a", "<code>not-attempted</code>"),
        (("sign", "half"), "#b3261e", "<code>half</code> <code>sign</code>"),
    ],
)
def test_the_framed_text(codes, colour, listed):
    shown = Report("A <task>", frozenset(codes), "One & two.\n\nThree.")
    assert shown._repr_html_() == (
        f'<div style="border-left: 5px solid {colour}; padding: 2px 0 2px 12px; max-width: 48em">'
        f"<p><b>{shown.verdict.replace('<task>', '&lt;task&gt;')}</b> {listed}</p>"
        "<p>One &amp; two.</p><p>Three.</p></div>"
    )


@pytest.mark.parametrize(
    "findings, where, message",
    [
        ([], "", ""),
        ([HALF], "", "Seen.\nA factor is lost."),
        ([HALF], "notebook 2, section 1", "Seen.\nA factor is lost. See notebook 2, section 1."),
        ([SHAPE], "", "Seen.\nIt has another shape. See notebook 0, section 4."),
        ([EMPTY], "notebook 2, section 1", "Seen.\nNothing yet."),
        # An exercise does not send its reader ahead, nor does a code that was treated before.
        ([REVERSE], "notebook 2, section 1", "Seen.\nIt is the reverse one. See notebook 2, section 1."),
        ([REVERSE], "notebook 10, section 1", "Seen.\nIt is the reverse one. See notebook 3, section 6."),
        ([HALF, HALF], "", "Seen.\nA factor is lost."),
        # A place is named once, after the last finding that it is for.
        (
            [SHAPE, SHAPE._replace(text="Still."), HALF],
            "",
            "Seen.\nIt has another shape.\nStill. See notebook 0, section 4.\nA factor is lost.",
        ),
        ([HALF._replace(where="notebook 7, section 2")], "notebook 1, section 1",
         "Seen.\nA factor is lost. See notebook 7, section 2."),
    ],
)  # fmt: skip
def test_what_a_report_says(findings, where, message):
    shown = report("A task", findings, "Seen.", (), where)
    assert (shown.exercise, shown.message) == ("A task", message)
    assert shown.codes == {finding.code for finding in findings}


def test_notes_stand_below_and_accuse_nobody():
    shown = report("A task", notes=["one.", "two."])
    assert shown.passed and shown.message == "Note: one.\nNote: two."
    assert report("A task", [HALF], notes=["one."]).message == "A factor is lost.\nNote: one."


def test_what_confounds_a_check_is_reported():
    def fails():
        raise Failed(HALF)

    def breaks():
        raise KeyError("a")

    assert safely("A task", lambda: report("A task", notes=["one."])).message == "Note: one."
    assert safely("A task", fails) == report("A task", [HALF])
    broken = safely("A task", breaks)
    assert broken.exercise == "A task" and broken.codes == {"unknown"}
    assert broken.message == ("This answer could not be analysed (KeyError: 'a'). Try it on a small example.")


def test_places_are_in_the_order_of_the_notebooks():
    assert reports._notebook("notebook 10, Deeper") == 10
    assert reports._place("half", "") == ""
    assert reports._place("error", "notebook 1, section 1") == ""


# ---- settings -------------------------------------------------------------------------------


def test_pytorch_is_found():
    assert settings.has_torch() is True


def test_inside_all_is_as_after_the_import_and_outside_as_it_was():
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.no_grad(), settings.as_after_import():
            assert torch.get_default_dtype() == torch.float32
            assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
            torch.set_default_dtype(torch.float16)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_inside_there_is_no_autocast_and_no_other_device():
    with torch.device("meta"), torch.autocast("cpu", dtype=torch.bfloat16):
        with settings.as_after_import():
            assert torch.zeros(1).device.type == "cpu"
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
        assert torch.get_default_device().type == "meta"


def test_a_device_that_a_block_sets_is_set_back():
    before = torch.get_default_device()
    try:
        with settings.as_after_import():
            torch.set_default_device("meta")
        assert torch.get_default_device() == before
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("loaded, installed", [(True, False), (False, True), (False, False), (True, True)])
def test_pytorch_is_loaded_or_installed(monkeypatch, loaded, installed):
    forget = getattr(settings.has_torch, "cache_clear", lambda: None)
    forget()
    with monkeypatch.context() as patch:
        patch.setattr(settings.sys, "modules", {"torch": torch} if loaded else {})
        patch.setattr(
            settings.importlib.util,
            "find_spec",
            lambda name: "a" if (name, installed) == ("torch", True) else None,
        )
        found = settings.has_torch()
    forget()
    assert found is (loaded or installed)


# ---- the table of codes ---------------------------------------------------------------------


def test_a_row_of_the_table():
    lines = codes.table().splitlines()
    assert lines[:2] == ["| code | what it says | used by | see |", "|---|---|---|---|"]
    assert len(lines) == 2 + len(CODES)
    assert "| `half` | Exactly twice the value: a factor ½ is lost. | all |  |" in lines
    assert (
        "| `reverse` | KL(p, q) instead of KL(q, p). | `check_kl`, `check_elbo` | notebook 3, section 6 |"
        in lines
    )


def test_the_table_is_written_below_the_prose(tmp_path, monkeypatch):
    readme = tmp_path / "README.md"
    readme.write_text("# σ\n\n| code | old |\n|---|\n| x |\n", encoding="utf-8")
    monkeypatch.setattr(codes, "README", readme)
    monkeypatch.setattr(codes, "CODES", {"a": Code("kl log_prob", "σ.", "notebook 1, section 2")})
    codes.write_table()
    assert readme.read_bytes().decode("utf-8") == (
        "# σ\n\n| code | what it says | used by | see |\n|---|---|---|---|\n"
        "| `a` | σ. | `check_kl`, `check_log_prob` | notebook 1, section 2 |\n"
    )
