"""Right functions are right in whatever form, order and precision, and whatever is set before."""

import functools
import inspect
import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vae_helpers.checks import check_bernoulli, check_elbo, check_kl, check_log_prob, check_reparameterize
from vae_helpers.checks.engine.arguments import bound, in_order, parameters_of

LOG_2PI = math.log(2 * math.pi)


def kl(mu, log_var):
    return 0.5 * (log_var.exp() + mu**2 - 1 - log_var).sum(dim=-1)


def log_prob(x, mu, log_var):
    return -0.5 * ((x - mu) ** 2 / log_var.exp() + log_var + LOG_2PI).sum(dim=-1)


def bernoulli(x, x_logits):
    return -F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").sum(dim=-1)


def draw(mu, log_var):
    return mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)


def with_noise(mu, log_var, eps):
    return mu + torch.exp(0.5 * log_var) * eps


def elbo(log_px_z, kl):
    return log_px_z - kl


def whole(model, x):
    mu, log_var = model.encode(x)
    return bernoulli(x, model.decode(draw(mu, log_var))) - kl(mu, log_var)


RIGHT = [
    (check_kl, kl),
    (check_log_prob, log_prob),
    (check_bernoulli, bernoulli),
    (check_reparameterize, draw),
    (check_reparameterize, with_noise),
    (check_elbo, elbo),
    (check_elbo, whole),
]
EACH = pytest.mark.parametrize("check, fn", RIGHT, ids=[f"{c.__name__}-{f.__name__}" for c, f in RIGHT])


# ---- whatever form it has -------------------------------------------------------------------


def as_module(fn):
    class Layer(nn.Module):
        forward = staticmethod(fn)

    return Layer()


def as_method(fn):
    """A bound method with the parameters of the function."""
    names = ", ".join(inspect.signature(fn).parameters)
    space = {"fn": fn}
    exec(f"class Loss:\n    def method(self, {names}):\n        return fn({names})", space)
    return space["Loss"]().method


def as_object(fn):
    method = as_method(fn)
    owner = type(method.__self__)
    owner.__call__ = owner.method
    return owner()


FORMS = {
    "module": as_module,
    "bound method": as_method,
    "unbound method": lambda fn: as_method(fn).__func__,
    "callable object": as_object,
    "partial": lambda fn: functools.partial(lambda scale, *args: scale * fn(*args), 1.0),
    "partial by keyword": lambda fn: functools.partial(as_method(fn)),
    "lambda of anything": lambda fn: lambda *args: fn(*args),
    "lambda of anything and keywords": lambda fn: lambda *args, **kwargs: fn(*args, **kwargs),
    "wrapped": lambda fn: functools.wraps(fn)(lambda *args, **kwargs: fn(*args, **kwargs)),
    "cached": functools.lru_cache(maxsize=None),
}


@EACH
@pytest.mark.parametrize("form", FORMS)
def test_a_right_function_is_right_in_every_form(check, fn, form):
    report = check(FORMS[form](fn))
    assert report.passed, report.message


@EACH
@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_function_is_named_in_every_form(check, fn, form):
    def wrong(*args):
        return -2 * fn(*args)

    wrong.__signature__ = inspect.signature(fn)
    report = check(FORMS["wrapped" if form == "wrapped" else form](functools.wraps(fn)(wrong)))
    wanted = check(fn=functools.wraps(fn)(wrong))
    assert not report.passed and report.codes == wanted.codes, report.message


@pytest.mark.parametrize("check, fn", [(check_kl, kl), (check_log_prob, log_prob), (check_elbo, elbo)])
def test_what_torchscript_compiles_is_right(check, fn):
    names = list(inspect.signature(fn).parameters)
    code = {kl: "0.5 * (log_var.exp() + mu**2 - 1 - log_var).sum(-1)", elbo: "log_px_z - kl"}.get(
        fn, f"-0.5 * ((x - mu) ** 2 / log_var.exp() + log_var + {LOG_2PI}).sum(-1)"
    )
    compiled = torch.jit.CompilationUnit(f"def fn({', '.join(names)}):\n    return {code}\n").fn
    assert [parameter.name for parameter in parameters_of(compiled)] == names
    assert check(compiled).passed


def test_a_module_with_a_state_and_noise_of_its_own():
    class Sampling(nn.Module):
        def __init__(self):
            super().__init__()
            self.drawn = 0

        def forward(self, mu, log_var):
            self.drawn += 1
            return draw(mu, log_var)

    assert check_reparameterize(Sampling()).passed
    assert check_reparameterize(torch.nn.Sequential()).codes  # not what is asked for, and no exception


def test_an_unbound_method_that_asks_whether_it_trains():
    class VAE(nn.Module):
        def reparameterize(self, mu, logvar):
            if self.training:
                return draw(mu, logvar)
            return mu

    assert check_reparameterize(VAE.reparameterize).passed
    assert check_reparameterize(VAE().reparameterize).passed
    assert check_reparameterize(VAE().eval().reparameterize).codes == {"noise-missing"}


def test_other_functions_are_bound_to_nothing():
    assert bound(kl) is kl and bound(len) is len


# ---- whatever order -------------------------------------------------------------------------


ORDERS = [
    (check_kl, lambda log_var, mu: kl(mu, log_var)),
    (check_kl, lambda logvar, mean: kl(mean, logvar)),
    (check_kl, lambda z_log_var, z_mean: kl(z_mean, z_log_var)),
    (check_kl, lambda log_sigma_sq, m: kl(m, log_sigma_sq)),
    (check_log_prob, lambda mu, log_var, x: log_prob(x, mu, log_var)),
    (check_log_prob, lambda mean, logvar, z: log_prob(z, mean, logvar)),
    (check_log_prob, lambda x, log_var, mu: log_prob(x, mu, log_var)),
    (check_log_prob, lambda log_var, mu, sample: log_prob(sample, mu, log_var)),
    (check_bernoulli, lambda x_logits, x: bernoulli(x, x_logits)),
    (check_bernoulli, lambda logits, target: bernoulli(target, logits)),
    (check_bernoulli, lambda input, target: bernoulli(target, input)),  # as PyTorch has them
    (check_bernoulli, lambda recon_x, x: bernoulli(x, recon_x)),
    (check_bernoulli, lambda x_hat, x: bernoulli(x, x_hat)),
    (check_bernoulli, lambda pred, y_true: bernoulli(y_true, pred)),
    (check_reparameterize, lambda log_var, mu: draw(mu, log_var)),
    (check_reparameterize, lambda eps, mu, log_var: with_noise(mu, log_var, eps)),
    (check_reparameterize, lambda log_var, mu, noise: with_noise(mu, log_var, noise)),
    (check_elbo, lambda kl, log_px_z: log_px_z - kl),
    (check_elbo, lambda kld, recon: recon - kld),
    (check_elbo, lambda x, model: whole(model, x)),
    (check_elbo, lambda images, vae: whole(vae, images)),
]


@pytest.mark.parametrize(
    "check, fn", ORDERS, ids=[", ".join(inspect.signature(f).parameters) for _, f in ORDERS]
)
def test_arguments_in_another_order_are_understood_and_told(check, fn):
    report = check(fn)
    assert report.passed, report.message
    called = ", ".join(inspect.signature(fn).parameters)
    assert f"Note: your function is called as fn({called})" in report.message


@pytest.mark.parametrize(
    "check, fn, codes",
    [
        (check_kl, lambda log_var, mu: -kl(mu, log_var), {"sign"}),
        (check_bernoulli, lambda x_logits, x: -bernoulli(x, x_logits), {"sign"}),
        (check_elbo, lambda kl, log_px_z: log_px_z + kl, {"kl-added"}),
        (check_reparameterize, lambda log_var, mu: draw(mu, 2 * log_var), {"var-for-std"}),
    ],
)
def test_a_mistake_is_named_in_the_order_of_the_names(check, fn, codes):
    report = check(fn)
    assert report.codes == codes and "Note: your function is called as" in report.message


@pytest.mark.parametrize(
    "check, fn",
    [
        (check_kl, lambda a, b: kl(a, b)),
        (check_kl, lambda m, v: kl(m, v)),
        (check_bernoulli, lambda x, y: bernoulli(x, y)),
        (check_bernoulli, lambda target, input: bernoulli(target, input)),
        (check_bernoulli, lambda labels, logits: bernoulli(labels, logits)),
        (check_bernoulli, lambda inputs, outputs: bernoulli(inputs, outputs)),
        (check_log_prob, lambda value, loc, logvar: log_prob(value, loc, logvar)),
        (check_log_prob, lambda z, mean, logvar: log_prob(z, mean, logvar)),
        (check_elbo, lambda recon, kld: recon - kld),
        # Names that mislead: what is right as it stands is right.
        (check_kl, lambda log_var, mu: kl(log_var, mu)),
        (check_bernoulli, lambda x_logits, x: bernoulli(x_logits, x)),
    ],
)
def test_nothing_is_turned_round_without_need(check, fn):
    report = check(fn)
    assert report.passed and "is called as" not in report.message, report.message


@pytest.mark.parametrize(
    "fn, roles",
    [
        (lambda a, b: 0, ("mu", "log_var")),
        (lambda a, b: 0, ("x", "x_logits")),
        (lambda p, q: 0, ("x", "x_logits")),
        (lambda v, w: 0, ("mu", "log_var")),
        (lambda mu, mean: 0, ("mu", "log_var")),
        (lambda *args: 0, ("mu", "log_var")),
        (lambda mu: 0, ("mu", "log_var")),
        (lambda x, input: 0, ("x", "x_logits")),
        (min, ("mu", "log_var")),
    ],
)
def test_names_that_do_not_say_enough_change_nothing(fn, roles):
    assert in_order(fn, roles) is None


# ---- whatever a notebook has set ------------------------------------------------------------


@pytest.fixture(params=["float64", "no gradients", "inference", "meta device", "autocast", "errors"])
def setting(request):
    """Something that a reader may have set before a check; afterwards it is looked for."""
    name = request.param
    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    if name == "float64":
        torch.set_default_dtype(torch.float64)
        yield lambda: torch.get_default_dtype() == torch.float64
    elif name == "no gradients":
        torch.set_grad_enabled(False)
        yield lambda: not torch.is_grad_enabled()
    elif name == "inference":
        with torch.inference_mode():
            yield torch.is_inference_mode_enabled
    elif name == "meta device":
        torch.set_default_device("meta")
        yield lambda: torch.get_default_device() == torch.device("meta")
    elif name == "autocast":
        with torch.autocast("cpu", dtype=torch.bfloat16):
            yield lambda: torch.is_autocast_enabled("cpu")
    else:
        with np.errstate(all="raise"), warnings.catch_warnings():
            warnings.simplefilter("error")
            yield lambda: np.geterr()["divide"] == "raise" and warnings.filters[0][0] == "error"
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(gradients)
    torch.set_default_device(None)


@EACH
def test_a_right_function_is_right_whatever_is_set_and_it_stays_set(check, fn, setting):
    report = check(fn)
    assert report.passed, report.message
    assert setting()
    notes = [line for line in report.message.splitlines() if "judged by" not in line]
    assert not notes, report.message


def test_a_check_under_other_settings_leaves_nothing_for_the_next(monkeypatch):
    from vae_helpers.checks.parts.elbo import probe_models, sampling

    for cache in (probe_models.probe_model, sampling._probe):
        cache.cache_clear()
    monkeypatch.setattr(torch, "get_default_dtype", torch.get_default_dtype)
    torch.set_default_dtype(torch.float64)
    try:
        assert check_elbo(whole).passed
    finally:
        torch.set_default_dtype(torch.float32)
    assert check_elbo(whole).passed


def test_what_a_function_sets_is_set_back():
    def sets(mu, log_var):
        torch.set_default_device("meta")
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        return 0.5 * (log_var.exp() + mu**2 - 1 - log_var).sum(dim=-1)

    assert check_kl(sets).passed
    assert torch.get_default_device() == torch.device("cpu") and torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


# ---- whatever precision ---------------------------------------------------------------------


SHORT = (torch.float16, torch.bfloat16)
VALUES = [row for row in RIGHT if row[1] not in (draw, with_noise, whole)]


@pytest.mark.parametrize("dtype", SHORT, ids=str)
@pytest.mark.parametrize("check, fn", VALUES, ids=[f.__name__ for _, f in VALUES])
def test_numbers_of_16_bits_are_numbers(check, fn, dtype):
    def short(*args):
        return fn(*args).to(dtype)

    report = check(functools.wraps(fn)(short))
    assert report.passed, report.message
    assert "numbers of 16 bits" in report.message


@pytest.mark.parametrize("dtype", SHORT, ids=str)
def test_a_mistake_is_seen_in_numbers_of_16_bits(dtype):
    for wrong, code in [(lambda m, v: 2 * kl(m, v), "half"), (lambda m, v: -kl(m, v), "sign")]:
        assert check_kl(lambda mu, log_var, wrong=wrong: wrong(mu, log_var).to(dtype)).codes == {code}


def test_numpys_float16_is_a_number():
    def short(mu, log_var):
        return (0.5 * (np.exp(log_var) + mu**2 - 1 - log_var).sum(axis=-1)).astype(np.float16)

    assert check_kl(short).passed
