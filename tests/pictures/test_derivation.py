"""A derivation must hold what is true, refuse what is not, and show both."""

import math
import re

import numpy as np
import pytest
import torch

from vae_helpers.pictures.derivation import Derivation, DerivationError


def two_lines(above, here, relation="=", **options):
    return Derivation("Two lines", **options).line("a", above).line("b", here, relation)


def holds(proof):
    try:
        return proof.check() is proof
    except DerivationError:
        return False


# --- what holds and what does not -------------------------------------------------------


def test_a_kl_in_two_ways_holds_and_gives_its_values():
    kl = lambda: 0.5 * (0.3 + 0.25 - 1 - math.log(0.3))  # noqa: E731
    proof = Derivation("KL").line(r"\tfrac12(\sigma^2 + \mu^2 - 1 - \log\sigma^2)", kl)
    proof.line("parts", lambda: -0.5 * (1 + math.log(0.3)) + 0.5 * 0.55, reason="entropy apart")
    assert proof.check() is proof
    assert proof.values() == [pytest.approx(0.3769864, abs=1e-7)] * 2


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, -1.0, 143.9, -1e6])
@pytest.mark.parametrize("sign", [1, -1])
def test_an_equality_holds_to_one_billionth(scale, sign):
    slack = 1e-9  # nats, however large the values are
    assert holds(two_lines(scale, scale + sign * 0.9 * slack))
    assert not holds(two_lines(scale, scale + sign * 1.1 * slack))


@pytest.mark.parametrize(("relation", "sign"), [("≥", 1), (">=", 1), ("≤", -1), ("<=", -1)])
@pytest.mark.parametrize("scale", [0.0, 1.0, -150.0, 1e4])
def test_an_inequality_holds_in_its_direction_only(relation, sign, scale):
    slack = 1e-9
    assert holds(two_lines(scale, scale - sign * 5, relation))
    assert holds(two_lines(scale, scale, relation))
    assert holds(two_lines(scale, scale + sign * 0.9 * slack, relation))
    assert not holds(two_lines(scale, scale + sign * 1.1 * slack, relation))
    assert not holds(two_lines(scale, scale + sign * 5, relation))


def test_the_tolerance_can_be_chosen():
    assert holds(two_lines(1.0, 1.0 + 0.9e-3, tolerance=1e-3))
    assert not holds(two_lines(1.0, 1.0 + 1.1e-3, tolerance=1e-3))
    assert not holds(two_lines(1.0, 1.0 + 1e-12, tolerance=0.0))


@pytest.mark.parametrize("relation", ["=", "≥", "≤"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_holds(relation, bad):
    assert not holds(two_lines(1.0, bad, relation))
    assert not holds(two_lines(bad, 1.0, relation))
    assert not holds(two_lines(bad, bad, relation))


def test_each_line_is_compared_with_the_one_above_and_not_with_the_first():
    proof = Derivation("Steps")
    for value in (3.0, 2.0, 1.0):
        proof.line("x", value, "≥")
    assert holds(proof)
    assert not holds(proof.line("y", 1.5, "≥"))


def test_a_wrong_line_is_named():
    proof = (
        Derivation("Jensen").line("first", 1.0).line("second", 1.0).line(r"\log \bar w", 0.75).line("d", 0.75)
    )
    with pytest.raises(DerivationError) as error:
        proof.check()
    message = "Jensen: line 3 does not hold: 1.000000 = 0.750000 is false (difference 0.25) at: "
    assert str(error.value) == message + r"\log \bar w"
    assert isinstance(error.value, AssertionError)


def test_a_violated_inequality_and_a_bad_first_line_are_named():
    with pytest.raises(DerivationError, match=r"line 2 does not hold: -2\.0+ ≥ -1\.0+ is false .* at: b$"):
        two_lines(-2.0, -1.0, ">=").check()
    with pytest.raises(DerivationError, match=r"line 1 does not hold: .*nan.* at: a$"):
        two_lines(math.nan, 1.0).check()


def test_every_line_is_evaluated_anew_each_time():
    slider = {"mu": 1.0}
    proof = Derivation("Slider").line("square", lambda: slider["mu"] ** 2)
    proof.line("product", lambda: slider["mu"] * 1.0)
    assert proof.check().values() == [1.0, 1.0]
    slider["mu"] = 3.0
    assert proof.values() == [9.0, 3.0]
    assert "9.000000" in proof._repr_html_()
    with pytest.raises(DerivationError, match=r"line 2 does not hold: 9\.0+ = 3\.0+ is false"):
        proof.check()


def test_a_number_is_kept_as_it_was():
    number = np.array(2.0)
    proof = two_lines(number, 2.0)
    number[...] = 5.0
    assert holds(proof)


# --- arguments --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2), np.array(2.0), torch.tensor(2.0)])
def test_numbers_and_functions_of_any_library_are_values(value):
    assert two_lines(value, lambda: value).check().values() == [2.0, 2.0]


@pytest.mark.parametrize(
    "value",
    ["two", "2.0", None, [1.0], np.ones(2), np.ones(1), 1j, np.complex64(1), {}],
    ids=lambda v: repr(v),
)
def test_a_value_that_is_not_one_number_is_refused(value):
    with pytest.raises(TypeError, match=r"^value: expected one number for the line \\log x, got "):
        Derivation("Bad").line(r"\log x", value)
    late = Derivation("Bad").line(r"\log x", lambda: value)  # seen only when it is evaluated
    with pytest.raises(TypeError, match=r"^value: expected one number for the line \\log x, got "):
        late.values()


@pytest.mark.parametrize("relation", ["<", "==", "", "≈", "\\geq"])
def test_a_relation_that_cannot_be_checked_is_refused(relation):
    proof = Derivation("Bad").line("a", 1.0)
    message = f"relation: expected one of =, ≥, >=, ≤, <=, got {relation!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        proof.line("b", 1.0, relation)
    assert len(proof.lines) == 1


@pytest.mark.parametrize("number", [0, 1])
def test_fewer_than_two_lines_prove_nothing(number):
    proof = Derivation("Short")
    for _ in range(number):
        proof.line("a", 1.0)
    with pytest.raises(ValueError, match=f"^check: expected at least 2 lines to compare, got {number}$"):
        proof.check()
    assert proof._repr_html_().count("<tr>") == 1 + number


# --- what a notebook shows --------------------------------------------------------------


def cells(proof):
    """The table as lists of cell texts, without the heading."""
    rows = re.findall(r"<tr>(.*?)</tr>", proof._repr_html_())[1:]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]


def test_the_table_holds_every_line():
    proof = Derivation("Sum").line(r"\log p(x)", -1.0, reason="ignored relation")
    proof.line(r"\mathcal{L}", -1.5, ">=", "Jensen").line(r"\mathcal{L}'", -1.5)
    assert cells(proof) == [
        [r" $\displaystyle \log p(x)$", "ignored relation", "-1.000000", "✓"],
        [r"≥ $\displaystyle \mathcal{L}$", "Jensen", "-1.500000", "✓"],
        [r"= $\displaystyle \mathcal{L}&#x27;$", "", "-1.500000", "✓"],
    ]
    assert proof._repr_html_().startswith("<table><caption>Sum</caption>")


def test_the_table_marks_what_does_not_hold():
    proof = two_lines(1.0, 2.0).line("c", 2.0).line("d", math.nan)
    marks = [row[-1] for row in cells(proof)]
    assert marks == ["✓", "✗ does not hold", "✓", "✗ does not hold"]
    assert cells(proof)[3][2] == "nan"
    assert [row[-1] for row in cells(two_lines(math.nan, 1.0))] == ["✗ does not hold"] * 2


def test_the_table_escapes_html():
    proof = Derivation("p < q & r").line("a < b & c", 1.0).line("d > e", 1.0, "=", "<script>")
    shown = proof._repr_html_()
    assert "<caption>p &lt; q &amp; r</caption>" in shown
    assert [row[:2] for row in cells(proof)] == [
        [r" $\displaystyle a &lt; b &amp; c$", ""],
        [r"= $\displaystyle d &gt; e$", "&lt;script&gt;"],
    ]


@pytest.mark.parametrize("value", [-0.0, -1e-12, -4.9e-7])
def test_the_table_shows_no_negative_zero(value):
    assert [row[2] for row in cells(two_lines(value, 0.0, "≤"))] == ["0.000000", "0.000000"]
    assert cells(two_lines(-6e-7, 0.0, "≤"))[0][2] == "-0.000001"


def test_rounding_errors_do_not_decide_how_a_tie_is_shown():
    # Both would be ties at the sixth decimal, were it not for the error in the thirteenth.
    above, here = (row[2] for row in cells(two_lines(1.0000005 - 1e-12, 1.0000005 + 1e-12)))
    assert above == here
    assert cells(two_lines(0.1234564, math.inf))[0][2] == "0.123456"


@pytest.mark.parametrize(("options", "shown"), [({}, "nats"), ({"unit": "<bits>"}, "&lt;bits&gt;")])
def test_the_head_of_the_table_names_the_unit(options, shown):
    names = re.findall(r"<th[^>]*>(.*?)</th>", two_lines(1.0, 1.0, **options)._repr_html_())
    assert names == ["formula", "reason", f"value ({shown})", "holds"]


def test_the_repr_is_the_same_on_every_machine():
    assert repr(two_lines(1.0, lambda: 1.0)) == "Derivation('Two lines', 2 lines)"
