"""What students hand in besides formulas: nothing, errors, other shapes, side effects. For every check."""

from __future__ import annotations

import random
import time
import warnings
from functools import wraps

import numpy as np
import torch
from scipy.special import expit
from scipy.stats import norm

from gallery._entry import CHECKS, wrong


def right_kl(mu, log_var):
    return 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var).sum(axis=-1)


def right_log_prob(x, mu, log_var):
    return norm.logpdf(x, mu, np.exp(0.5 * log_var)).sum(axis=-1)


def right_bernoulli(x, x_logits):
    return (x * x_logits - np.logaddexp(0, x_logits)).sum(axis=-1)


def right_reparameterize(mu, log_var, eps):
    return mu + np.exp(0.5 * log_var) * eps


def right_elbo(log_px_z, kl):
    return np.asarray(log_px_z) - np.asarray(kl)


REFERENCE = {
    "kl": right_kl,
    "log_prob": right_log_prob,
    "bernoulli": right_bernoulli,
    "reparameterize": right_reparameterize,
    "elbo": right_elbo,
}
NOTHING = ("not-attempted",)
NOT_A_NUMBER = ("error", "unknown", "error unknown", "unstable", "shape", "error shape")
ANOTHER_SHAPE = ("shape",)
# One number for the whole batch, and not its sum or mean: a shape, or a reduction, or neither.
A_SCALAR = ("shape", "batch-reduced", "unknown", "batch-reduced unknown", "shape unknown")


def raising(error):
    def make(base):
        def fn(*args):
            raise error

        return fn

    return make


def returning(value):
    return lambda base: lambda *args: value


def changing(change):
    """The right answer, changed afterwards."""
    return lambda base: lambda *args: change(base(*args))


def beside(act):
    """The right answer, and something else that is done."""

    def make(base):
        def fn(*args):
            value = base(*args)
            act(*args)
            return value

        return fn

    return make


def overwrite(*args):
    for each in args:
        if isinstance(each, np.ndarray):
            each[...] = 99.0
        elif isinstance(each, torch.Tensor) and not each.requires_grad:
            each.fill_(99.0)


def spend_randomness(*args):
    random.seed(3)
    random.random()
    np.random.seed(3)  # noqa: NPY002
    np.random.rand(7)  # noqa: NPY002
    torch.manual_seed(3)
    torch.rand(7)


def in_torch_with_parameter(base):
    weight = torch.nn.Parameter(torch.ones((), dtype=torch.float64))

    def fn(*args):
        arrays = [a.detach().numpy() if isinstance(a, torch.Tensor) else np.asarray(a) for a in args]
        return torch.as_tensor(base(*arrays)) * weight

    return fn


def stateful(base):
    calls = []

    def fn(*args):
        calls.append(args)
        return base(*args)

    return fn


def one_argument(base):
    return lambda only: base(only, only)


def lazy(base):
    def fn(*args):
        yield from base(*args)

    return fn


ODD = {
    "raises_not_implemented": (raising(NotImplementedError()), NOTHING),
    "raises_not_implemented_class": (raising(NotImplementedError), NOTHING),
    "returns_none": (returning(None), NOTHING),
    "returns_ellipsis": (returning(...), NOTHING),
    # NotImplemented, the value: a stub, or what is not a number.
    "returns_not_implemented": (returning(NotImplemented), ("not-attempted", "error")),
    "raises_value_error": (raising(ValueError("shapes (5,3) and (4,) not aligned")), ("error",)),
    "raises_assertion": (raising(AssertionError()), ("error",)),
    "raises_keyboard_interrupt": (raising(KeyboardInterrupt()), ("error",)),
    "raises_system_exit": (raising(SystemExit(1)), ("error",)),
    "raises_recursion": (raising(RecursionError("maximum recursion depth exceeded")), ("error",)),
    "raises_stop_iteration": (raising(StopIteration()), ("error",)),
    "one_argument": (one_argument, ("error",)),
    "returns_text": (returning("0.5 * sum"), ("error",)),
    "returns_text_of_numbers": (changing(lambda v: [str(each) for each in v]), ("error",)),
    "returns_object": (returning(object()), ("error",)),
    "returns_dict": (changing(lambda v: {"loss": v}), ("error",)),
    "returns_set": (changing(lambda v: {1.0, 2.0}), ("error",)),
    "returns_class": (returning(float), ("error",)),
    "returns_ragged": (returning([[1.0], [1.0, 2.0]]), ("error", "shape")),
    "returns_generator": (lazy, ("error", "")),
    "returns_nan": (changing(lambda v: np.full(np.shape(v), np.nan)), NOT_A_NUMBER),
    "returns_inf": (changing(lambda v: np.full(np.shape(v), np.inf)), NOT_A_NUMBER),
    "returns_complex": (changing(lambda v: v + 1j), (*NOT_A_NUMBER, "constant", "term-wrong")),
    "returns_bool": (
        changing(lambda v: np.asarray(v) > 0),
        (*NOT_A_NUMBER, "term-wrong", "noise-not-normal"),
    ),
    "returns_empty": (returning(np.array([])), ANOTHER_SHAPE),
    "returns_empty_list": (returning([]), (*ANOTHER_SHAPE, "not-attempted")),
    "returns_all_but_one": (changing(lambda v: v[1:]), ANOTHER_SHAPE),
    "returns_leading_axis": (changing(lambda v: v[None]), ANOTHER_SHAPE),
    "returns_trailing_axis": (changing(lambda v: v[..., None]), ANOTHER_SHAPE),
    "returns_batch_twice": (changing(lambda v: np.concatenate([v, v])), ANOTHER_SHAPE),
    "returns_first_only": (changing(lambda v: np.ravel(v)[0]), A_SCALAR),
    "returns_42": (returning(42), A_SCALAR),
    "returns_huge": (changing(lambda v: v * 1e200 * 1e150), NOT_A_NUMBER),
    "list": (changing(lambda v: np.asarray(v).tolist()), ("",)),
    "tuple": (changing(lambda v: tuple(np.asarray(v).tolist())), ("",)),
    "objects": (changing(lambda v: np.asarray(v).astype(object)), ("", "error")),
    "read_only": (changing(lambda v: np.broadcast_to(v, np.shape(v))), ("",)),
    "backwards_memory": (changing(lambda v: np.array(v)[::-1].copy()[::-1]), ("",)),
    "changes_its_arguments": (beside(overwrite), ("",)),
    "takes_a_while": (beside(lambda *args: time.sleep(0.3)), ("",)),
    "prints": (beside(lambda *args: print("mu", args[0])), ("",)),
    "warns": (beside(lambda *args: warnings.warn("careful", stacklevel=2)), ("",)),
    "divides_by_zero": (beside(lambda *args: np.float64(1.0) / np.float64(0.0)), ("",)),
    "spends_global_randomness": (beside(spend_randomness), ("",)),
    "requires_grad": (in_torch_with_parameter, ("",)),
    "remembers_its_calls": (stateful, ("",)),
}
for check in CHECKS:
    base = REFERENCE[check]
    for name, (make, codes) in ODD.items():
        fn = make(base)
        if name != "one_argument":
            fn = wraps(base)(fn)
        if (check, name) == ("reparameterize", "returns_leading_axis"):
            codes = (*codes, "")  # the course's own function has an axis of samples there
        if (check, name) == ("reparameterize", "tuple"):
            codes = (*codes, "error")  # a tuple is more often (z, eps) than the rows of z
        if (check, name) == ("reparameterize", "requires_grad"):
            continue  # has to be differentiable in its arguments: see below
        wrong(check, *codes, name=f"odd_{name}")(fn)

wrong("kl", "shape", name="odd_transposed")(lambda m, v: (0.5 * (m**2 + np.exp(v) - 1 - v)).T)
wrong("log_prob", "shape", name="odd_transposed")(lambda x, m, v: norm.logpdf(x, m, np.exp(0.5 * v)).T)
wrong("bernoulli", "shape", name="odd_transposed")(lambda x, a: (x * a - np.logaddexp(0, a)).T)
wrong("reparameterize", "shape", name="odd_transposed")(lambda m, v, e: (m + np.exp(0.5 * v) * e).T)


# Zeros: a stub that returns a number, or every term gone.
ALL_GONE = ("unknown", "term-missing", "scale", "not-attempted", "noise-missing", "shape")
for check, fn in {
    "kl": lambda mu, log_var: np.zeros(len(mu)),
    "log_prob": lambda x, mu, log_var: np.zeros(len(mu)),
    "bernoulli": lambda x, x_logits: np.zeros(len(x)),
    "reparameterize": lambda mu, log_var, eps: np.zeros(np.shape(mu)),
    "elbo": lambda log_px_z, kl: np.zeros(len(kl)),
}.items():
    wrong(check, *ALL_GONE, name="odd_zeros")(fn)


@wrong("kl", "")
def odd_uses_its_arguments_as_workspace(mu, log_var):
    np.square(mu, out=mu)
    mu -= log_var
    np.exp(log_var, out=log_var)
    mu += log_var
    return (mu.sum(-1) - mu.shape[-1]) / 2


@wrong("kl", "")
def odd_workspace_in_torch(mu, log_var):
    mu.pow_(2).sub_(log_var).add_(log_var.exp_()).sub_(1)
    return mu.sum(-1).mul_(0.5)


@wrong("bernoulli", "")
def odd_workspace_of_logits(x, x_logits):
    x_logits *= 2 * x - 1
    np.negative(x_logits, out=x_logits)
    return -np.logaddexp(0, x_logits).sum(-1)


WEIGHT = torch.nn.Parameter(torch.ones((), dtype=torch.float64))


@wrong("reparameterize", "")
def odd_requires_grad(mu, log_var, eps):
    return mu + torch.exp(0.5 * log_var) * eps * WEIGHT


# In place on what may be a leaf that requires a gradient: torch itself may refuse.
@wrong("reparameterize", "", "error")
def odd_workspace_noise(mu, log_var):
    std = log_var.mul_(0.5).exp_()
    return torch.randn_like(std).mul_(std).add_(mu)


@wrong("bernoulli", "error", "unknown", "shape")
def odd_rounds(x, x_logits):
    return "accuracy: " + str(np.mean((expit(x_logits) > 0.5) == x))


@wrong("elbo", "not-attempted")
def odd_whole_model_stub(model, x):
    mu, log_var = model.encode(x)
    # TODO: draw z, decode it, and subtract the KL


@wrong("elbo", "error")
def odd_whole_model_raises(model, x):
    raise RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x784 and 400x20)")


@wrong("elbo", "error")
def odd_whole_model_text(model, x):
    return f"loss: {model.encode(x)[0].mean():.3f}"


@wrong("elbo", "error", "unknown", "not-differentiable", "error unknown")
def odd_whole_model_nan(model, x):
    return model.encode(x)[0].sum(-1) * float("nan")


@wrong("elbo", "")
def odd_whole_changes_everything(model, x):
    mu, log_var = model.encode(x)
    z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
    value = model.log_likelihood(x, z) - 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
    with torch.no_grad():  # the pictures are overwritten once they have been used
        x.data = torch.full_like(x, 0.5)
    print("elbo", value.mean().item())
    return value
