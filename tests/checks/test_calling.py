"""Student functions are called safely: nothing they do harms the caller."""

import random
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from vae_helpers.checks import check_kl
from vae_helpers.checks.engine.calling import Failed, Student, as_array, protected

MU, LOG_VAR = np.zeros((4, 2)), np.ones((4, 2))


def test_numpy_is_tried_first():
    student = Student(lambda mu, log_var: mu[:, 0] + log_var[:, 0])
    assert np.array_equal(student(MU, LOG_VAR), np.ones(4)) and student.kind == "numpy"


def test_torch_comes_where_numpy_is_not_taken():
    student = Student(lambda mu, log_var: torch.exp(log_var).sum(dim=1))
    assert np.allclose(student(MU, LOG_VAR), 2 * np.e) and student.kind == "torch float64"


def test_float32_comes_last():
    layer = torch.ones(2, 1)
    student = Student(lambda mu, log_var: (log_var @ layer)[:, 0])
    assert np.allclose(student(MU, LOG_VAR), 2) and student.kind == "torch float32"


@pytest.mark.parametrize("nothing", [None, ..., NotImplemented])
def test_nothing_is_no_answer(nothing):
    with pytest.raises(Failed) as failed:
        Student(lambda mu: nothing)(MU)
    assert failed.value.finding.code == "not-attempted"


def test_a_stub_that_raises_is_no_answer():
    def stub(mu):
        raise NotImplementedError

    with pytest.raises(Failed) as failed:
        Student(stub)(MU)
    assert failed.value.finding.code == "not-attempted"


@pytest.mark.parametrize(
    "error", [ValueError("bad news"), SystemExit(1), RecursionError(), KeyboardInterrupt()]
)
def test_exceptions_become_findings(error):
    def fails(mu):
        raise error

    with pytest.raises(Failed) as failed:
        Student(fails)(MU)
    assert failed.value.finding.code == "error" and type(error).__name__ in failed.value.finding.text


def test_an_exception_that_cannot_be_written():
    class Mute(Exception):
        def __str__(self):
            raise ValueError

    def fails(mu):
        raise Mute

    with pytest.raises(Failed) as failed:
        Student(fails)(MU)
    assert "Mute" in failed.value.finding.text


def test_the_telling_complaint_is_shown():
    # NumPy arrays have no .exp; what is wrong shows with tensors.
    with pytest.raises(Failed) as failed:
        Student(lambda mu: mu.exp().reshape(7, 7))(MU)
    assert "RuntimeError" in failed.value.finding.text


def test_a_reader_may_interrupt():
    def slow(mu):
        time.sleep(0.1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Student(slow)(MU)


@pytest.mark.parametrize("value", ["x", {"a": 1}, 1j, True, [1, "x"], object(), (MU, MU), np.array(["a"])])
def test_what_is_not_made_of_numbers(value):
    with pytest.raises(Failed) as failed:
        as_array(value)
    assert failed.value.finding.code == "error"


@pytest.mark.parametrize(
    "value", [[1, 2.0], (1.0, 2), np.float32([1, 2]), torch.tensor([1, 2]), [torch.tensor(1.0), 2]]
)
def test_what_is(value):
    assert np.array_equal(as_array(value), [1.0, 2.0]) and as_array(value).dtype == np.float64


def test_what_is_no_array_is_handed_over_as_it_is():
    options = {"d": 2}
    student = Student(lambda mu, given, scale: scale * mu[:, given["d"] - 1].clone())
    assert np.array_equal(student(LOG_VAR, options, 3.0), 3 * np.ones(4)) and student.kind == "torch float64"
    assert Student(lambda scale, given: scale + len(given))(2.0, options) == 3


def test_a_student_keeps_its_function():
    def fn(mu, scale):
        raise ValueError

    student = Student(fn)
    with pytest.raises(Failed):
        student(MU, 2.0)
    assert student.fn is fn


def test_arguments_are_copies_and_changes_are_noticed():
    def spoil(mu):
        mu *= 0
        return mu[:, 0]

    array = np.ones((4, 2))
    student = Student(spoil)
    student(array)
    assert np.array_equal(array, np.ones((4, 2))) and student.changed


def test_a_change_is_a_note_and_no_accusation():
    def right(mu, log_var):
        kl = 0.5 * (np.exp(log_var) + mu**2 - 1 - log_var).sum(axis=1)
        log_var *= 0
        return kl

    report = check_kl(right)
    assert report.passed and "in place" in report.message


def test_global_random_states_do_not_move():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    expected = random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002

    def noisy(mu):
        return mu[:, 0] + random.random() + np.random.rand() + torch.rand(1).item()  # noqa: NPY002

    Student(noisy)(MU)
    assert expected == (random.random(), np.random.rand(), torch.rand(1))  # noqa: NPY002


def test_one_slow_call_makes_no_slow_function():
    naps = iter([0.05, 0.0, 0.05])

    def fn(mu):
        time.sleep(next(naps))
        return mu[:, 0]

    student = Student(fn)
    for _ in range(3):
        student(MU)
    assert student.seconds < 0.05


def test_what_computes_is_not_blamed_for_waiting():
    def fn(mu):
        until = time.thread_time() + 0.005
        while time.thread_time() < until:
            pass
        time.sleep(0.3)
        return mu[:, 0]

    student = Student(fn)
    student(MU)
    assert 0.005 <= student.seconds == student.work < 0.3


def test_a_pause_hides_no_noise():
    naps = iter([0.3])

    def noisy(mu, log_var):
        time.sleep(next(naps, 0.0))
        kl = 0.5 * (np.exp(log_var) + mu**2 - 1 - log_var).sum(axis=1)
        return kl + np.random.randn(len(mu))  # noqa: NPY002

    assert check_kl(noisy).passed and "random" in check_kl(noisy).message


def test_settings_of_pytorch_stay():
    def meddles(mu):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        return mu[:, 0]

    Student(meddles)(MU)
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()


def test_the_same_check_says_the_same():
    def noisy(mu, log_var):
        return 0.5 * (np.exp(log_var) + mu**2 - log_var).sum(axis=1) + np.random.randn(len(mu))  # noqa: NPY002

    assert check_kl(noisy) == check_kl(noisy)


def test_output_and_warnings_are_dropped(capsys, recwarn):
    with protected(0):
        print("hello")
        print("hello", file=sys.stderr)
        np.log(np.zeros(1))
        import warnings

        warnings.warn("hello", stacklevel=1)
    captured = capsys.readouterr()
    assert captured.out == captured.err == "" and not recwarn.list


def test_only_functions_are_checked():
    with pytest.raises(TypeError, match="fn: expected a function, got float"):
        check_kl(3.0)


def test_an_answer_in_numpy_needs_no_torch():
    code = (
        "import numpy as np, sys; from vae_helpers.checks import check_kl;"
        "r = check_kl(lambda mu, v: 0.5 * (np.exp(v) + mu**2 - 1 - v).sum(1));"
        "assert r.passed and 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
