"""What parameters' names say of their order, and what has which parameters."""

import inspect
from types import SimpleNamespace

import pytest
import torch

from vae_helpers.checks.engine import arguments
from vae_helpers.checks.engine.arguments import bound, in_order, parameters_of, role_of, whichever_order
from vae_helpers.checks.engine.report import Report

KL = ["mu", "log_var"]


def names(fn):
    found = parameters_of(fn)
    return None if found is None else [parameter.name for parameter in found]


class Module(torch.nn.Module):
    def forward(self, x, scale=2):
        return x * scale


@pytest.mark.parametrize(
    "fn, expected",
    [
        (lambda a, b=1: 0, ["a", "b"]),
        (lambda a, /, b, *, c: 0, ["a", "b"]),
        (lambda *args: 0, None),
        (lambda a, *args: 0, ["a"]),
        (lambda **options: 0, []),
        (lambda: 0, []),
        (Module(), ["x", "scale"]),
        (min, None),
    ],
)
def test_positional_parameters(fn, expected):
    assert names(fn) == expected


def test_parameters_of_a_schema():
    def argument(name, *default):
        return SimpleNamespace(
            name=name, has_default_value=lambda: bool(default), default_value=default[0] if default else 7
        )

    fn = SimpleNamespace(
        schema=SimpleNamespace(arguments=[argument("self"), argument("a"), argument("b", 3)])
    )
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert parameters_of(fn) == [
        inspect.Parameter("a", kind),
        inspect.Parameter("b", kind, default=3),
    ]
    assert arguments._schema(SimpleNamespace(schema=None)) == []


def test_a_method_of_a_class_gets_an_object_that_trains():
    def method(self, a):
        return self.training, a

    assert bound(method)(3) == (True, 3)
    for other in (lambda a, self: 0, lambda: 0, lambda *args: 0, Module(), min):
        assert bound(other) is other


@pytest.mark.parametrize(
    "name, role",
    [
        ("mu", "mu"), ("Mean", "mu"), ("_z_mu_", "mu"), ("m", "mu"), ("loc", "mu"),
        ("log_var", "log_var"), ("logvar", "log_var"), ("LOG_SIGMA", "log_var"), ("lv", "log_var"),
        ("mu_log_var", "log_var"), ("std", None), ("foo", None), ("", None),
    ],
)  # fmt: skip
def test_roles(name, role):
    assert role_of(name, KL) == role


def test_a_name_of_two_roles_says_nothing():
    assert role_of("m", ["model", "mu"]) is None
    assert role_of("m", ["model"]) == "model"


@pytest.mark.parametrize(
    "fn",
    [
        lambda mu, log_var: 0,
        lambda a, b: 0,
        lambda log_var: 0,
        lambda *args: 0,
        lambda log_var, lv: 0,
        lambda std, log_var: 0,  # the right order already
    ],
)
def test_names_that_change_nothing(fn):
    assert in_order(fn, KL) is None


@pytest.mark.parametrize(
    "fn, called",
    [
        (lambda log_var, mu, extra=5: (mu, log_var, extra), "fn(log_var, mu)"),
        (lambda lv, centre, extra=5: (centre, lv, extra), "fn(lv, centre)"),  # the one that is left is clear
    ],
)
def test_another_order(fn, called):
    ordered = in_order(fn, KL)
    assert ordered.fn(1, 2) == (1, 2, 5) and ordered.fn(1, 2, 3) == (1, 2, 3)
    assert ordered.note == f"your function is called as {called}, which its parameters' names ask for."
    first, second = list(inspect.signature(fn).parameters)[:2]
    assert list(inspect.signature(ordered.fn).parameters) == [second, first, "extra"]


def test_a_single_letter_says_too_little():
    assert in_order(lambda v, q: 0, KL) is None
    assert in_order(lambda v, mu: 0, KL) is not None


def test_three_roles_are_put_into_order():
    ordered = in_order(lambda log_var, x, mu: (x, mu, log_var), ["x", "mu", "log_var"])
    assert ordered.fn("x", "mu", "log_var") == ("x", "mu", "log_var")


def reported(passing):
    """A check that passes the functions whose value at (1, 2) is among those that pass."""
    return lambda fn: Report("A task", frozenset() if fn(1, 2) in passing else frozenset({"half"}), "Seen.")


def test_the_report_is_that_of_the_better_order():
    def turned(log_var, mu):
        return mu, log_var

    note = "Note: your function is called as fn(log_var, mu), which its parameters' names ask for."
    assert whichever_order(turned, KL, reported([(1, 2)])) == Report("A task", frozenset(), f"Seen.\n{note}")
    assert whichever_order(turned, KL, reported([(2, 1)])) == Report("A task", frozenset(), "Seen.")
    assert whichever_order(turned, KL, reported([])) == Report(
        "A task", frozenset({"half"}), f"Seen.\n{note}"
    )
    assert whichever_order(lambda mu, log_var: (mu, log_var), KL, reported([])).message == "Seen."
