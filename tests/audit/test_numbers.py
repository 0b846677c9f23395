"""Numbers that are logged in unusual ways: right ones that are not accused, wrong ones and what is said."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

from vae_helpers.audit import Figure, audit, model

D, LATENTS = 20, 4


@pytest.fixture(autouse=True)
def elbo_alone(monkeypatch):
    """Of the model only its ELBO: what else is measured of it says nothing of the code."""

    def figures(subject, x, train, plan, generator, done):
        draws = model.draw(subject, x, 100, generator)
        return {"negative_elbo": Figure(-draws.elbo.mean().item(), draws.noise, "nats per image", "")}, []

    monkeypatch.setattr(model, "figures", figures)


class Net(nn.Module):
    """An untrained VAE of which every part matters."""

    def __init__(self, dropout=0.0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.body = nn.Sequential(nn.Linear(D, 32), nn.Tanh(), nn.Dropout(dropout))
            self.head = nn.Linear(32, 2 * LATENTS)
            self.decoder = nn.Sequential(nn.Linear(LATENTS, 32), nn.Tanh(), nn.Linear(32, D))
            with torch.no_grad():
                for layer in (self.body[0], self.head, self.decoder[0], self.decoder[2]):
                    layer.weight.mul_(3)
        self.eval()

    def encode(self, x):
        return self.head(self.body(x)).chunk(2, -1)

    def decode(self, z):
        return self.decoder(z)


NET = Net()
X = (torch.rand(130, D, generator=torch.Generator().manual_seed(1)) < 0.4).float()


def draw(mu, log_var):
    return mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)


def cross_entropy(x, logits):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


def kl(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)


def each(x, net=NET):
    """-ELBO of each image by one draw."""
    mu, log_var = net.encode(x)
    return cross_entropy(x, net.decode(draw(mu, log_var))) + kl(mu, log_var)


def number(x):
    return each(x).mean()


def looked_at(loss=None, net=NET, images=X, **more):
    given = {"encode": net.encode, "decode": net.decode, "loss": loss, "images": images}
    return audit(**{**given, **more}, effort="quick", progress=False)


def normal(x):
    mu, log_var = NET.encode(x)
    return Normal(mu, torch.exp(0.5 * log_var))


def by_distribution(x):
    q = normal(x)
    return (cross_entropy(x, NET.decode(q.rsample())) + kl_divergence(q, Normal(0.0, 1.0)).sum(-1)).mean()


def two_of_each(x):
    """Antithetic draws."""
    mu, log_var = NET.encode(x)
    eps = torch.exp(0.5 * log_var) * torch.randn_like(mu)
    both = [cross_entropy(x, NET.decode(mu + sign * eps)) for sign in (1, -1)]
    return (sum(both) / 2 + kl(mu, log_var)).mean()


def by_numpy(x):
    mu, log_var = NET.encode(x)
    eps = torch.from_numpy(np.random.randn(*mu.shape)).float()  # noqa: NPY002
    return (cross_entropy(x, NET.decode(mu + torch.exp(0.5 * log_var) * eps)) + kl(mu, log_var)).mean()


def in_chunks(x):
    return sum(each(part).sum() for part in x.split(4)) / len(x)


def with_own_modes(x):
    NET.eval()
    value = number(x)
    NET.train()
    return value


RIGHT = {
    "a batch turned round": lambda x: number(x.flip(0)),
    "a batch shuffled": lambda x: number(x[torch.randperm(len(x))]),
    "a batch sorted": lambda x: number(x[x.sum(1).argsort()]),
    "chunks that are summed": in_chunks,
    "antithetic draws": two_of_each,
    "NumPy's noise": by_numpy,
    "a distribution": by_distribution,
    "modes set by the number": with_own_modes,
    "half precision at the end": lambda x: float(number(x)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_number_is_not_accused(name):
    report = looked_at(RIGHT[name])
    assert not report.codes, report


def test_an_encoder_may_return_a_distribution():
    for encode in (normal, lambda x: Independent(normal(x), 1)):
        report = looked_at(by_distribution, encode=encode)
        told = looked_at(by_distribution).figures["negative_elbo"].value
        assert report.passed and report.figures["negative_elbo"].value == pytest.approx(told)


def test_an_expectation_in_closed_form_is_not_accused_of_decoding_the_mean():
    weight = torch.randn(LATENTS, D, generator=torch.Generator().manual_seed(2))

    def loss(x):
        mu, log_var = NET.encode(x)
        squares = ((x - mu @ weight) ** 2).sum(-1) + log_var.exp() @ (weight**2).sum(-1)
        return (0.5 * (squares + D * math.log(2 * math.pi)) + kl(mu, log_var)).mean()

    report = looked_at(loss, decode=lambda z: z @ weight, likelihood="gaussian")
    assert not report.codes, report


def test_any_number_of_images_counts_each_of_them_once():
    """Images in an order, the brightest last: whoever drops the last batch sees another average."""
    x = torch.cat([X, X, (torch.rand(30, D, generator=torch.Generator().manual_seed(7)) < 0.9).float()])
    report = looked_at(number, images=x)
    assert report.passed and report.figures["logged"].error < 0.1, report


def test_a_decoder_that_draws_pixels_is_told_so():
    report = looked_at(
        decode=lambda z: torch.bernoulli(torch.sigmoid(NET.decode(z))), decoder_gives="probabilities"
    )
    assert report.codes == {"unknown"} and "draws pixels" in report.mistakes[0].text


def test_latents_may_be_maps():
    report = looked_at(
        number,
        encode=lambda x: [part.reshape(-1, 1, 2, 2) for part in NET.encode(x)],
        decode=lambda z: NET.decode(z.reshape(-1, *{(1, 2, 2): [LATENTS]}[tuple(z.shape[1:])])),
    )
    assert not report.codes, report


def test_pixels_have_no_values_but_those_of_the_images():
    levels = torch.tensor([0.0, 0.25, 1.0])
    x = levels[torch.randint(3, X.shape, generator=torch.Generator().manual_seed(4))]

    def loss(x):
        assert torch.isin(x, levels).all()
        return number(x)

    assert not looked_at(loss, images=x).codes


# ---- wrong ones -----------------------------------------------------------------------------------


def mean_of_chunk_means(x):
    return torch.stack([number(part) for part in x.split(32)]).mean()


def all_but_the_last_chunk(x):
    return number(x[: max(32 * (len(x) // 32), min(len(x), 32))])


def other_prior(x):
    mu, log_var = NET.encode(x)
    q = Normal(mu, torch.exp(0.5 * log_var))
    return (cross_entropy(x, NET.decode(q.rsample())) + kl_divergence(q, Normal(0.3, 2.0)).sum(-1)).mean()


def absolute(x):
    mu, log_var = NET.encode(x)
    distance = (torch.sigmoid(NET.decode(draw(mu, log_var))) - x).abs().sum(-1)
    return (distance + kl(mu, log_var)).mean()


def reverse(x):
    mu, log_var = NET.encode(x)
    backwards = 0.5 * (mu**2 / log_var.exp() + 1 / log_var.exp() - 1 + log_var).sum(-1)
    return (cross_entropy(x, NET.decode(draw(mu, log_var))) + backwards).mean()


def importance_weighted(x, k=5):
    mu, log_var = NET.encode(x)
    eps = torch.randn(k, *mu.shape)
    z = mu + torch.exp(0.5 * log_var) * eps
    ratio = -cross_entropy(x.expand(k, -1, -1), NET.decode(z)) + 0.5 * (eps**2 - z**2 + log_var).sum(-1)
    return -(torch.logsumexp(ratio, 0) - math.log(k)).mean()


def free_bits(x):
    mu, log_var = NET.encode(x)
    parts = 0.5 * (mu**2 + log_var.exp() - 1 - log_var)
    return (cross_entropy(x, NET.decode(draw(mu, log_var))) + parts.clamp(min=2.0).sum(-1)).mean()


def numpy_uniform(x):
    mu, log_var = NET.encode(x)
    eps = torch.from_numpy(np.random.rand(*mu.shape)).float()  # noqa: NPY002
    return (cross_entropy(x, NET.decode(mu + torch.exp(0.5 * log_var) * eps)) + kl(mu, log_var)).mean()


def log_var_as_std(x):
    """An encoder's log σ² in the KL as if it were log σ, as the draw has it right."""
    mu, log_var = NET.encode(x)
    return (cross_entropy(x, NET.decode(draw(mu, log_var))) + kl(mu, 2 * log_var)).mean()


WRONG = {
    "chunk means": (mean_of_chunk_means, {"batch-weight"}, "not all are equal"),
    "the last chunk dropped": (all_but_the_last_chunk, {"batch-weight"}, "decoded"),
    "another prior": (other_prior, {"term-wrong"}, "a prior N(0.3, 4)"),
    "an absolute distance": (absolute, {"term-wrong"}, "the absolute distance stands in the place of"),
    "the reverse KL": (reverse, {"reverse"}, "changed places"),
    "an importance-weighted bound": (importance_weighted, {"term-wrong"}, "importance-weighted bound of 5"),
    "free bits": (free_bits, {"unknown"}, "you log"),
    "uniform noise of NumPy": (numpy_uniform, {"noise-not-normal"}, "not standard normal"),
    "a sum over 128": (lambda x: each(x).sum() / 128, {"batch-sum"}, "divided by 128, whatever"),
    "n - 1": (lambda x: each(x).sum() / (len(x) - 1), {"batch-weight"}, "depends on the batch's size"),
    "log σ² as log σ": (log_var_as_std, {"log-std"}, "takes what encode gives second for log_std"),
    "β = ½": (lambda x: number(x) - 0.5 * kl(*NET.encode(x)).mean(), {"term-scale"}, "counts 1/2 times"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_number_is_named_in_a_true_sentence(name):
    loss, codes, words = WRONG[name]
    report = looked_at(loss)
    assert report.codes == codes, report
    assert any(words in mistake.text for mistake in report.mistakes), report


def test_what_changes_from_call_to_call_is_told():
    calls = []

    def loss(x):
        calls.append(1)
        mu, log_var = NET.encode(x)
        return (
            cross_entropy(x, NET.decode(draw(mu, log_var))) + min(1, len(calls) / 500) * kl(mu, log_var)
        ).mean()

    report = looked_at(loss)
    assert report.codes == {"unknown"} and "depends on the calls before" in report.mistakes[0].text


def test_dropout_in_the_number_alone_is_named():
    noisy = Net(dropout=0.3).train()
    calm = Net()
    report = looked_at(lambda x: each(x, noisy).mean(), calm)
    assert report.codes == {"dropout-on"}, report


def test_a_wrong_word_about_the_encoder_is_noticed():
    """All of the code is right, but what encode gives second is σ, and audit is told that it is log σ²."""

    def encode(x):
        mu, second = NET.encode(x)
        return mu, F.softplus(second)

    def loss(x):
        mu, std = encode(x)
        z = mu + std * torch.randn_like(mu)
        return (cross_entropy(x, NET.decode(z)) + kl(mu, 2 * std.log())).mean()

    assert looked_at(loss, encode=encode, encoder_gives="std").passed
    report = looked_at(loss, encode=encode)
    assert report.codes and any('encoder_gives="std"' in note for note in report.notes), report


def test_a_number_that_trains_the_model_is_refused_and_leaves_it_as_it_was():
    net = Net()
    before = [p.clone() for p in net.parameters()]
    adam = torch.optim.Adam(net.parameters(), 1e-2)

    @torch.enable_grad()
    def step(x):
        adam.zero_grad()
        value = each(x, net).mean()
        value.backward()
        adam.step()
        return value.item()

    with pytest.raises(ValueError, match="loss: expected a function that leaves the model as it is"):
        looked_at(step, net)
    assert all(map(torch.equal, net.parameters(), before)) and all(p.grad is None for p in net.parameters())


MODELS = {"vae": Net(dropout=0.2).train()}


def test_models_are_found_in_what_functions_name():
    report = audit(
        lambda x: [part for part in [MODELS["vae"].encode(x)]][0],
        lambda z: MODELS["vae"].decode(z),
        X,
        effort="quick",
        progress=False,
    )
    assert report.codes == {"dropout-on"} and MODELS["vae"].training
    assert report.figures == looked_at(net=Net(dropout=0.2)).figures
