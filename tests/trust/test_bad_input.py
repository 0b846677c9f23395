"""A few examples for each public function: an answer is right, or an error names the argument."""

import numpy as np
import pytest

from trust.bad_input import Fault, Target, exported, outcome, rows, tried
from trust.callables import LEFT_OUT, TARGETS
from vae_helpers.__main__ import main
from vae_helpers.numerics import gaussian

BY_NAME = {target.name: target for target in TARGETS}
ENTROPY = BY_NAME["numerics.gaussian.entropy"]


def test_no_public_function_is_missing():
    assert len(BY_NAME) == len(TARGETS)
    assert exported() == BY_NAME.keys() | LEFT_OUT.keys()
    assert not BY_NAME.keys() & LEFT_OUT.keys() and all(LEFT_OUT.values())


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "audit.audit"])  # which takes long
def test_an_answer_is_right_or_an_error_names_the_argument(name):
    target = BY_NAME[name]
    tally = tried(target, max(1, 3 // target.cost))  # some 20 calls
    assert not tally.faults, "\n".join(tally.examples.values())
    assert tally.right, "no call was answered"


def broken(function):
    """The entropy, computed by another function."""
    return Target("entropy", ENTROPY.good, ENTROPY.right, call=function)


def unnamed(log_var):
    return gaussian.entropy(np.asarray(log_var, dtype=float) if log_var is None else log_var)


def wrong(log_var):
    return gaussian.entropy(log_var) + 1e-6


def blames_another(log_var, mu=0.0):
    try:
        return gaussian.entropy(log_var)
    except (TypeError, ValueError) as error:
        raise type(error)(f"mu: {error}") from None


def raw(log_var):
    return gaussian.entropy(log_var) if hasattr(log_var, "shape") else log_var.size


def changes(log_var):
    found = gaussian.entropy(log_var)
    log_var[...] = 0
    return found


def warns(log_var):
    return gaussian.entropy(np.log(np.exp(np.asarray(log_var) - 1000)) * 0 + log_var)


@pytest.mark.parametrize(
    "function, message",
    [
        (wrong, "a wrong answer"),
        (raw, "AttributeError"),
        (blames_another, "this names a good argument"),
        (changes, "has changed log_var"),
        (warns, "warns: divide by zero"),
        (lambda log_var: gaussian.entropy(np.nan_to_num(log_var)), "numbers that are not finite were taken"),
        (lambda log_var: gaussian.entropy(log_var=-log_var) * 0, "a wrong answer"),
    ],
)
def test_a_faulty_function_is_found(function, message):
    faults = tried(broken(function), 60).examples.values()
    assert any(message in fault for fault in faults), faults


def test_good_arguments_must_be_taken():
    def never(log_var):
        raise ValueError("log_var: expected something else")

    with pytest.raises(Fault, match="these arguments are good"):
        outcome(broken(never), {"log_var": np.zeros(2)})


def test_a_call_that_does_not_end_is_found(monkeypatch):
    monkeypatch.setattr("trust.bad_input.SECONDS", 0.05)

    def endless(log_var):
        while True:
            pass

    with pytest.raises(Fault, match="does not end"):
        outcome(broken(endless), {"log_var": np.zeros(2)})


def test_rows_count_what_was_tried(monkeypatch):
    monkeypatch.setattr("trust.callables.TARGETS", [ENTROPY])
    monkeypatch.setattr("trust.bad_input.EXAMPLES", 5)
    whole, numerics = rows()
    tally = tried(ENTROPY, 5)
    assert (numerics.tried, numerics.failed) == (tally.calls, 0) and whole.tried == tally.refused > 0


COMMANDS = [
    ("nosuch",),
    ("pretrained", "nosuch"),
    ("pretrained", "latent_2", "--workers", "many"),
    ("pretrained", "latent_2", "--workers", "0", "--folder", "out"),
    ("pretrained", "latent_2", "--folder", "afile"),
    ("pretrained", "latent_2", "--data", "afile", "--folder", "out"),
    ("pretrained", "latent_2", "--folder", "~nobody-of-this-name/out"),
    ("burda", "nosuch"),
    ("burda", "vae", "--threads", "-3", "--evaluate"),
    ("burda", "vae", "--num-samples", "0", "--evaluate"),
    ("burda", "vae", "--folder", "nowhere", "--evaluate"),
    ("spread", "nosuch", "--folder", "out"),
    ("spread", "latent_2", "--workers", "0", "--folder", "out"),
    ("records", "nosuch"),
    ("records", "burda", "--folder", "afile"),
    ("sweep", "--epochs", "x"),
    ("sweep", "--latent-dims", "0"),
    ("sweep", "--budget", "nan"),
    ("sweep", "--workers", "0"),
    ("audit", ""),
    ("audit", "afile:make"),
    ("audit", "nowhere.py:make"),
    ("edition", "nosuch", "--out", "out"),
    ("edition", "student", "--out", "afile"),
    ("grade", "afile"),
    ("grade", ".", "--seconds", "x"),
    ("questions", "--out", "afile/x.xml"),
    ("questions", "--out", "."),
    ("questions", "--variants", "0", "--out", "x.xml"),
    ("questions", "--notebook", "99", "--out", "x.xml"),
    ("site", "--out", "afile"),
    ("site", "--workers", "0", "--out", "out"),
]


@pytest.mark.parametrize("words", COMMANDS)
def test_a_mistake_in_a_command_is_told_in_a_line(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").touch()
    try:
        code = main(list(words))
    except SystemExit as end:  # argparse's
        code = end.code
    told = capsys.readouterr().err
    assert code == 2 and told.strip() and "Traceback" not in told


def test_the_home_folder_is_where_a_command_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["questions", "--out", "~/x.xml", "--variants", "1", "--notebook", "01"]) == 0
    assert (tmp_path / "x.xml").is_file()
