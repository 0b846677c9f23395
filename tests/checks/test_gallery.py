"""The checkers on a gallery of right and wrong losses; what is true about each is computed without them."""

from __future__ import annotations

import inspect
import random
import warnings
from collections import Counter
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from gallery import CHECKS, ENTRIES, Entry
from scipy import stats
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from vae_helpers import checks
from vae_helpers.checks.engine.codes import CODES
from vae_helpers.models.vae import VAE

EACH = pytest.mark.parametrize("entry", ENTRIES, ids=[f"{e.check}-{e.name}" for e in ENTRIES])
NAMED_EXACTLY = 0.95


# --- what is true, computed without the checkers -------------------------------------------------


def outcome(fn, *args):
    """What fn returns for NumPy arrays, or, where that fails, for tensors; None where both fail."""
    for convert in (np.array, lambda a: torch.tensor(a)):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                value = fn(*(convert(a) for a in args))
                if isinstance(value, torch.Tensor):
                    value = value.detach().numpy()
                return None if value is None else np.asarray(value)
            except BaseException:  # noqa: B036 - SystemExit and its like are entries of the gallery
                continue
    return None


def agrees(value, truth) -> bool:
    """Whether a value is the truth: a real array of that shape, to the accuracy of float32."""
    if value is None or value.shape != truth.shape or value.dtype.kind not in "fiuO":
        return False
    try:
        return np.allclose(value.astype(float), truth, rtol=3e-6, atol=3e-6)
    except (TypeError, ValueError):
        return False


def points(check: str):
    """Arguments and true values: moderate ones at several shapes, then extreme ones."""
    rng = np.random.default_rng(8)
    sizes = ((5, 3, 0), (4, 6, 0), (2, 1, 0), (1, 4, 0), (6, 2, -30), (6, 2, 30))
    for batch, d, extreme in sizes:
        mu, log_var = rng.normal(size=(2, batch, d)) * (0.2 if d == 4 else 1.3)  # small values, too
        if extreme:
            log_var = np.full((batch, d), float(extreme))
        tensors = [torch.tensor(each) for each in (mu, log_var)]
        q = Normal(tensors[0], torch.exp(0.5 * tensors[1]))
        if check == "kl":
            p = Normal(torch.zeros_like(tensors[0]), torch.ones_like(tensors[0]))
            yield (mu, log_var), kl_divergence(q, p).sum(-1).numpy()
        elif check == "log_prob":
            x = rng.normal(size=(batch, d))
            yield (x, mu, log_var), stats.norm(mu, np.exp(0.5 * log_var)).logpdf(x).sum(-1)
        elif check == "bernoulli":
            x, a = rng.integers(0, 2, (batch, d)).astype(float), rng.normal(size=(batch, d)) * 2
            a = 2.0 * extreme * np.sign(a) if extreme else a
            yield (x, a), Bernoulli(logits=torch.tensor(a)).log_prob(torch.tensor(x)).sum(-1).numpy()
        else:
            log_px_z, kl = -100 * rng.random(batch), 10 * rng.random(batch)
            yield (log_px_z, kl), log_px_z - kl


def takes(fn, *names) -> bool:
    try:
        inspect.signature(fn).bind(*names)
    except TypeError:
        return False
    except ValueError:  # a built-in function that tells no signature
        return len(names) == 2
    return True


def reparameterizes(fn) -> bool:
    """Whether z = mu + σ eps: the given eps, or normal noise of its own; with its gradient in torch."""
    rng = np.random.default_rng(4)
    mu, log_var, eps = rng.normal(size=(3, 3000, 3))
    std = np.exp(0.5 * log_var)
    noise = None
    if takes(fn, 0, 0, 0):
        value = outcome(fn, mu, log_var, eps)
        if not agrees(value, mu + std * eps):
            return False
    else:
        value = outcome(fn, mu, log_var)
        if value is None or value.shape != mu.shape or value.dtype.kind != "f":
            return False
        noise = (value - mu) / std
        normal = all(stats.kstest(noise[:, j], "norm").pvalue > 1e-6 for j in range(3))
        related = np.abs(np.corrcoef(noise.T) - np.eye(3)).max()
        width = [noise[where].std() for where in (log_var > 0.5, log_var < -0.5)]  # whatever σ is
        if not normal or related > 0.1 or not np.allclose(width, 1, atol=0.1):
            return False
    try:
        fn(*(np.array(a) for a in (mu, log_var, eps)[: 2 if noise is not None else 3]))
        return True  # plain NumPy, where there is no gradient to ask for
    except BaseException:  # noqa: B036
        pass
    leaves = [torch.tensor(each, requires_grad=True) for each in (mu, log_var)]
    try:
        z = fn(*leaves, *([] if noise is not None else [torch.tensor(eps)]))
    except RuntimeError:
        return False
    if not z.requires_grad:
        return False
    z.sum().backward()
    if any(leaf.grad is None for leaf in leaves):
        return False
    half = 0.5 * (z - leaves[0]).detach().numpy()
    return np.allclose(leaves[0].grad, 1) and np.allclose(leaves[1].grad, half, atol=1e-5)


@cache
def world():
    """A VAE whose q is far from N(0, I), a few images, and the two parts of their ELBO."""
    generator = torch.Generator().manual_seed(2)
    model = VAE(3, 16, num_hidden=1, generator=generator).double()
    with torch.no_grad():
        for layer in model.encoder:
            if isinstance(layer, nn.Linear):
                layer.weight *= 3
        model.encoder[-1].bias += torch.tensor([1.0, -1.0, 0.5, -3.0, -2.5, 1.5])
        model.decoder[-1].weight *= 0.5
    x = torch.randint(0, 2, (3, 784), generator=generator).double()
    with torch.no_grad():
        mu, log_var = model.encode(x)
        eps = torch.randn(8000, 1, 3, generator=generator).double()
        likelihood = torch.cat(
            [model.log_likelihood(x, mu + torch.exp(0.5 * log_var) * e) for e in eps.split(500)]
        )
        prior = Normal(torch.zeros_like(mu), torch.ones_like(mu))
        kl = kl_divergence(Normal(mu, torch.exp(0.5 * log_var)), prior).sum(-1)
    return model, x, likelihood.mean(0) - kl, likelihood.std(0) / len(eps) ** 0.5


def is_elbo(fn) -> bool:
    """Whether the mean of many calls is the ELBO, its rows draw their own noise, and z carries a gradient."""
    model, x, truth, error = world()
    many = 800
    try:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            value = fn(model, x.repeat(many, 1))
            if not isinstance(value, torch.Tensor) or value.shape != (3 * many,):
                return False
            mu, log_var = (each.detach().requires_grad_() for each in model.encode(x))

            def encode(batch):
                rows = (batch[:, None] == x).all(-1).double().argmax(1)
                return mu[rows], log_var[rows]

            model.encode = encode
            through_kl = -mu.detach()
            try:
                gradient = torch.autograd.grad(fn(model, x.clone()).sum(), mu)[0]
            finally:
                del model.encode
    except BaseException:  # noqa: B036
        return False
    value = value.detach().reshape(many, 3)
    spread = value.std(0) / many**0.5
    close = (value.mean(0) - truth).abs() < 5 * torch.sqrt(spread**2 + error**2) + 1e-9
    own_noise = (value.std(0) > 1e-6).all()
    return bool(close.all() and own_noise and not torch.allclose(gradient, through_kl))


# Where the arguments stand in an order of their own, which the parameters' names tell.
ORDERS = {
    "wild_kl_log_var_first": (1, 0),
    "wild_lp_x_last": (1, 2, 0),
    "wild_be_jax_logaddexp": (1, 0),
    "wild_be_jax_where": (1, 0),
    "wild_be_logits_first_lambda": (1, 0),
    "wild_be_flax_expm1": (1, 0),
    "wild_be_flipped_batch_mean": (1, 0),
    "wild_be_log_of_logits": (1, 0),
    "wild_el_kl_first": (1, 0),
}


def takes_model(fn) -> bool:
    try:
        return {"model", "vae"} & set(inspect.signature(fn).parameters) != set()
    except ValueError:
        return False


def is_right(entry: Entry) -> bool:
    if entry.check == "reparameterize":
        return reparameterizes(entry.fn)
    if entry.check == "elbo" and ("whole" in entry.name or takes_model(entry.fn)):
        turned = next(iter(inspect.signature(entry.fn).parameters)) == "x"
        return is_elbo((lambda model, x: entry.fn(x, model)) if turned else entry.fn)
    order = ORDERS.get(entry.name, (0, 1, 2))
    return all(
        agrees(outcome(entry.fn, *(args[n] for n in order[: len(args)])), truth)
        for args, truth in points(entry.check)
    )


class Kept:
    """Keeps the three global random states, and puts them back."""

    def __enter__(self):
        self.before = self.now()
        return self

    def __exit__(self, *_):
        random.setstate(self.before[0])
        np.random.set_state(self.before[1])  # noqa: NPY002
        torch.set_rng_state(self.before[2])

    @staticmethod
    def now():
        return random.getstate(), np.random.get_state(legacy=True), torch.get_rng_state()  # noqa: NPY002

    def untouched(self) -> bool:
        a, b = self.before, self.now()
        return (
            a[0] == b[0] and str(a[1]) == str(b[1]) and bool((a[1][1] == b[1][1]).all()) and a[2].equal(b[2])
        )


@EACH
def test_gallery_labels_are_true(entry, recwarn):
    with Kept():
        truth = is_right(entry)
    if entry.kind != "debatable" and entry.name != "wild_el_nine_tenths_of_sigma":  # too fine for `is_elbo`
        assert truth == (entry.kind == "right")
    assert frozenset().union(*entry.expected) <= set(CODES)


# What the simplest labels say about a value, as a factor on the true one (rows of d coordinates).
FACTOR = {
    "sign": lambda d: -1.0,
    "half": lambda d: 2.0,
    "mean-latent": lambda d: 1 / d,
    "mean-pixels": lambda d: 1 / d,
}
ONLY_FACTORS = [
    e
    for e in ENTRIES
    if e.kind == "wrong" and e.check in ("kl", "log_prob", "bernoulli")
    if len(e.expected) == 1 and e.expected[0] <= set(FACTOR)
]


@pytest.mark.parametrize("entry", ONLY_FACTORS, ids=[f"{e.check}-{e.name}" for e in ONLY_FACTORS])
def test_a_label_of_factors_gives_the_value(entry):
    for args, truth in list(points(entry.check))[:-2]:
        d = args[0].shape[-1]
        factor = np.prod([FACTOR[code](d) for code in entry.expected[0]])
        assert agrees(outcome(entry.fn, *args), truth * factor)


def test_gallery_is_large_and_varied():
    kinds = Counter(entry.kind for entry in ENTRIES)
    sources = {e.source for e in ENTRIES if "/" in e.source}
    by_hand = [e for e in ENTRIES if e.source != "fragments" and not e.name.startswith("odd_")]
    assert kinds["wrong"] >= 110 and kinds["right"] >= 60
    assert sum(e.kind == "wrong" for e in by_hand) >= 110 and sum(e.kind == "right" for e in by_hand) >= 60
    assert len(sources) >= 50
    for check in CHECKS:
        here = [e for e in ENTRIES if e.check == check]
        said = frozenset().union(*(codes for e in here for codes in e.expected))
        whose = {code for code, row in CODES.items() if check in row.checks.split()}
        assert whose <= said, whose - said


# --- what the checkers say -----------------------------------------------------------------------


class Verdict(NamedTuple):
    passed: bool
    codes: frozenset
    message: str
    raised: str
    untouched: bool


@cache
def verdict(entry: Entry) -> Verdict:
    with Kept() as state, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = np.geterr(), torch.is_grad_enabled(), torch.get_default_dtype()
        try:
            report, raised = getattr(checks, f"check_{entry.check}")(entry.fn), ""
            passed, codes, message = report.passed, report.codes, report.message
            report._repr_html_() if hasattr(report, "_repr_html_") else repr(report)
        except BaseException as error:  # noqa: B036 - whatever gets out of a checker is its defect
            passed, codes, message, raised = False, frozenset(), "", repr(error)
        same = before == (np.geterr(), torch.is_grad_enabled(), torch.get_default_dtype())
        return Verdict(passed, codes, message, raised, state.untouched() and same)


def words(codes) -> str:
    return " + ".join(sorted(codes)) or "right"


@EACH
def test_the_checker_names_it(entry):
    said = verdict(entry)
    assert not said.raised
    assert isinstance(said.passed, bool) and isinstance(said.codes, frozenset)
    assert said.passed == (not said.codes) and (said.passed or said.message)
    if entry.kind == "right":
        assert said.passed, f"accused of {words(said.codes)}: {said.message}"
    if entry.kind == "wrong":
        assert not said.passed
    accepted = [words(codes) for codes in entry.expected]
    assert said.codes in entry.expected, f"said {words(said.codes)}, true {' or '.join(accepted)}"


@EACH
def test_the_checker_leaves_no_trace(entry):
    assert verdict(entry).untouched


def truth_nearest_to(entry: Entry, codes: frozenset) -> frozenset:
    return min(entry.expected, key=lambda true: len(true ^ codes))


def table(entries) -> list[str]:
    """A row for each true code: how often it was said, and what was said beside it that is not true."""
    rows: dict[str, Counter] = {}
    for entry in entries:
        said = verdict(entry).codes
        true = truth_nearest_to(entry, said)
        for code in true or {"right"}:
            row = rows.setdefault(code, Counter())
            row["n"] += 1
            row["said"] += code in said or (not true and not said)
            row.update(f"-> {other}" for other in said - true)
            if not said and true:
                row["-> right"] += 1
    lines = [f"{'true code':26}{'n':>5}{'said':>6}   said, but not true"]
    for code, row in sorted(rows.items(), key=lambda each: (-each[1]["n"], each[0])):
        others = ", ".join(f"{key[3:]} ({count})" for key, count in row.items() if key.startswith("-> "))
        lines.append(f"{code:26}{row['n']:>5}{row['said']:>6}   {others}")
    return lines


def test_confusion_matrix(capsys):
    lines, totals = [], Counter()
    columns = ("right", "accused", "wrong", "named", "otherwise", "passed", "open")
    header = f"{'check':16}" + "".join(f"{name:>10}" for name in columns)
    for check in CHECKS:
        here = [e for e in ENTRIES if e.check == check]
        rights, wrongs = ([e for e in here if e.kind == kind] for kind in ("right", "wrong"))
        named = [e for e in wrongs if verdict(e).codes in e.expected]
        passed = [e for e in wrongs if verdict(e).passed]
        accused = sum(not verdict(e).passed for e in rights)
        otherwise = len(wrongs) - len(named) - len(passed)
        open_ones = len(here) - len(rights) - len(wrongs)
        counts = (len(rights), accused, len(wrongs), len(named), otherwise, len(passed), open_ones)
        totals.update(dict(zip(columns, counts, strict=True)))
        lines.append(f"{check:16}" + "".join(f"{n:>10}" for n in counts))
    lines.append(f"{'all':16}" + "".join(f"{totals[name]:>10}" for name in columns))
    with capsys.disabled():
        print("", header, *lines, "", *table(ENTRIES), sep="\n")
    assert totals["accused"] == 0
    assert totals["passed"] == 0
    assert totals["named"] >= NAMED_EXACTLY * totals["wrong"]
