"""Which arguments a function takes, and in which order: its parameters' names tell."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from types import FunctionType, SimpleNamespace
from typing import Any, NamedTuple

from vae_helpers.checks.engine.report import Report

Function = Callable[..., Any]
# What people call an argument, as a pattern for the whole name in small letters without underscores.
NAMES = {
    "model": r"model|vae|net|network|m",
    "x": r"x|y|z|target|targets|ytrue|true|xtrue|label|labels|images?|imgs?|data|values?|samples?|obs"
    r"|observed|observations?|originals?|inputx|xin|origx|xorig|batch",
    "x_logits": r".*logits?.*|.*recon.*|xrec|recx|xhat|hatx|yhat|outputs?|outs?|preds?|predictions?|ypred"
    r"|xpred|decoded|xdecoded.*|decoderoutput|a|eta|input|p|probs?|xtilde|generated",
    "mu": r"mu|mus|.*mu|mu.*|.*means?|means?.*|loc|m|qm",
    "log_var": r".*log_?(var|sigma|std|sd|scale|s2|cov).*|lv|logv|zlogv|logvariance|lnvar|v|qv|scale|rho",
    "eps": r"eps|epsilon|noise|e|u|xi|randn?|normal",
    "log_px_z": r"logp.*|loglik.*|ll|.*recon.*|rec|recloss|.*likelihood.*|nll|bce|xent|negloglik",
    "kl": r".*kl.*|.*divergence.*|latentloss|regulari.*|reg|regloss",
}


def parameters_of(fn: Function) -> list[inspect.Parameter] | None:
    """The function's positional parameters; None where Python cannot tell, as for `lambda *args: …`."""
    fn = _called(fn)
    if schema := _schema(fn):
        return schema
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return None
    named = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return None if any(p.kind == p.VAR_POSITIONAL for p in parameters) and not named else named


def _called(fn: Function) -> Function:
    """What has the signature: of a module of PyTorch its `forward`."""
    torch = sys.modules.get("torch")
    return fn.forward if torch and isinstance(fn, torch.nn.Module) else fn


def _schema(fn: Function) -> list[inspect.Parameter]:
    """The parameters of what TorchScript has compiled, which keeps them in a schema of its own."""
    arguments = getattr(getattr(fn, "schema", None), "arguments", ())
    empty, kind = inspect.Parameter.empty, inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [
        inspect.Parameter(a.name, kind, default=a.default_value if a.has_default_value() else empty)
        for a in arguments
        if a.name != "self"
    ]


def bound(fn: Function) -> Function:
    """A method that was taken from its class, with an object that has nothing; all else as it is."""
    parameters = parameters_of(fn)
    if isinstance(fn, FunctionType) and parameters and parameters[0].name == "self":
        return functools.partial(fn, SimpleNamespace(training=True))
    return fn


class Ordered(NamedTuple):
    """A function that takes its arguments in the order of the roles, and what is said of it."""

    fn: Function
    note: str


def in_order(fn: Function, roles: Sequence[str]) -> Ordered | None:
    """The function with its arguments in another order, if its parameters' names ask for one.

    Args:
        fn: the function.
        roles: keys of `NAMES`, in the order in which a check hands the arguments over.

    Returns:
        None where the names say that nothing is to be changed, or do not say enough.
    """
    parameters = parameters_of(fn)
    if parameters is None or len(parameters) < len(roles):
        return None
    names = [parameter.name for parameter in parameters[: len(roles)]]
    meant = [role_of(name, roles) for name in names]
    left = [role for role in roles if role not in meant]
    clear = all(len(name) > 1 for name, role in zip(names, meant, strict=True) if role)
    if meant.count(None) == len(left) == 1 and clear:  # `a` alone says little
        meant[meant.index(None)] = left[0]
    if sorted(map(str, meant)) != sorted(roles) or meant == list(roles):
        return None
    places = [roles.index(role) for role in meant]

    def reordered(*arguments: Any) -> Any:
        return fn(*(arguments[place] for place in places), *arguments[len(places) :])

    sorted_ones = [parameters[meant.index(role)] for role in roles]
    reordered.__signature__ = inspect.Signature([*sorted_ones, *parameters[len(roles) :]])
    called = f"fn({', '.join(names)})"
    return Ordered(reordered, f"your function is called as {called}, which its parameters' names ask for.")


def role_of(name: str, roles: Sequence[str]) -> str | None:
    """The one of these roles that a name means; None where it may mean none or several."""
    name = name.lower().strip("_")
    plain = name.replace("_", "")
    fitting = [role for role in roles if re.fullmatch(NAMES[role], plain) or re.fullmatch(NAMES[role], name)]
    if "log_var" in fitting and "mu" in fitting:
        fitting.remove("mu")
    return fitting[0] if len(fitting) == 1 else None


def whichever_order(fn: Function, roles: Sequence[str], check: Callable[[Function], Report]) -> Report:
    """The report on a function whose arguments may stand in another order.

    It is right if it is right in either order; its mistakes are those in the order of its names.
    """
    ordered = in_order(fn, roles)
    if ordered is None:
        return check(fn)
    found = check(ordered.fn)
    if not found.passed and (as_given := check(fn)).passed:
        return as_given
    return found.with_note(ordered.note)
