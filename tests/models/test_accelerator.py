"""On a GPU: the same numbers as on the processor, and a training there that comes back.

Where the tests run no GPU is seen (`conftest.py`), so that what is stored stays what a processor computes;
`VAE_GPU_TESTS=required pytest tests/models/test_accelerator.py` shows it to these.
"""

import os

import pytest
import torch
from support.worlds import all_weights, generator

from vae_helpers.audit import audit
from vae_helpers.checks import check_elbo, check_kl
from vae_helpers.models import VAE, fit, mean_elbo
from vae_helpers.models.evaluation import elbo_quadrature, gaps, importance_bounds, log_evidence_quadrature
from vae_helpers.models.likelihoods import binarize
from vae_helpers.models.objectives import elbo, iwae_for_training
from vae_helpers.models.training import where_to_train
from vae_helpers.shipped import load_mnist, load_pretrained

REQUIRED = os.environ.get("VAE_GPU_TESTS") == "required"
pytestmark = pytest.mark.skipif(not REQUIRED, reason="VAE_GPU_TESTS=required shows a GPU to the tests")
CPU, SINGLE = torch.device("cpu"), {"precision": torch.float32}


@pytest.fixture(scope="module")
def gpu():
    found = torch.accelerator.current_accelerator(check_available=True)
    assert found is not None, "VAE_GPU_TESTS=required: expected a GPU, found none"
    return found


@pytest.fixture(scope="module")
def x():
    return binarize(load_mnist("test")[0][:200], generator(4))


def generator_on(device, seed):
    return torch.Generator(device).manual_seed(seed)


def on_both(gpu, name):
    return load_pretrained(name), load_pretrained(name).to(gpu)


def test_integrals_over_the_plane_are_those_of_the_processor(gpu, x):
    here, there = on_both(gpu, "digits_2")
    for integral in (log_evidence_quadrature, elbo_quadrature):
        value = integral(there, x.to(gpu))
        assert value.device.type == gpu.type
        torch.testing.assert_close(value.cpu(), integral(here, x), rtol=0, atol=2e-3)
    one, other = gaps(here, x[:4]), gaps(there, x[:4].to(gpu))
    torch.testing.assert_close(other.amortization.cpu(), one.amortization, rtol=0, atol=0.02)


def test_importance_bounds_have_the_means_of_the_processor(gpu, x):
    here, there = on_both(gpu, "digits_20")
    one = importance_bounds(here, x, (1, 100, 1000), generator(1))
    other = importance_bounds(there, x.to(gpu), (1, 100, 1000), generator_on(gpu, 1))
    for count, bound in one.items():
        apart = other[count].cpu() - bound
        # Other draws: four standard errors; a chunk that is left out or counted twice would be 0.1 and more.
        assert abs(apart.mean()) < 4 * apart.std() / len(apart) ** 0.5 + 1e-3


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_gradients_at_the_same_noise_are_those_of_the_processor(gpu, x, likelihood, monkeypatch):
    eps, found = torch.randn(len(x), 5, generator=generator(6)), []
    for device in (CPU, gpu):
        model = VAE(latent_dim=5, hidden_dim=64, likelihood=likelihood, generator=generator(3)).to(device)
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randn", lambda *size, on=device, **_: eps.to(on).reshape(*size))
            elbo(model, x.to(device), generator=generator_on(device, 0)).elbo.mean().backward()
        found.append(torch.cat([p.grad.flatten().cpu() for p in model.parameters()]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(  # within what seeds differ by on the processor; untrained it is 70 off
    "options, within",
    [({}, 9), ({"optimizer": "muon"}, 2.5), ({"num_samples": 5, "warmup": 0.0}, 11)],
    ids=["adam", "muon", "iwae"],
)
def test_a_training_there_learns_as_here_and_comes_back(gpu, options, within):
    images, test = load_mnist("train")[0][:6000], load_mnist("test")[0][:500]
    reached, weights = {}, []
    for device in (CPU, None, None):
        model = VAE(latent_dim=10, hidden_dim=100, generator=generator(1))
        assert device is CPU or where_to_train(model) == gpu
        fit(model, images, 8, progress=False, device=device, generator=generator(2), **SINGLE, **options)
        assert {p.device for p in model.parameters()} == {CPU} and not model.training
        reached[device] = mean_elbo(model, binarize(test, generator(5)), generator(7))[0]
        weights.append(all_weights(model))
    assert reached[None] == pytest.approx(reached[CPU], abs=within)
    torch.testing.assert_close(weights[1], weights[2], rtol=0, atol=1e-4)  # the same seeds


def test_an_interrupted_training_there_goes_on_to_the_same_weights(gpu, tmp_path):
    images = load_mnist("train")[0][:2000]

    def train(**options):
        model = VAE(latent_dim=5, hidden_dim=50, generator=generator(1))
        fit(model, images, 3, progress=False, generator=generator(2), batch_size=100, **options)
        return all_weights(model)

    def stop(done, total, loss):
        if done == 45:
            raise KeyboardInterrupt

    whole = train()
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=tmp_path / "c", on_step=stop)
    torch.testing.assert_close(train(checkpoint=tmp_path / "c"), whole, rtol=0, atol=1e-4)


def test_a_model_there_stays_there(gpu, x):
    model = load_pretrained("digits_2").to(gpu)
    assert model.sample(3, generator_on(gpu, 1)).device.type == gpu.type
    assert model.reconstruct(x.to(gpu)).device.type == gpu.type
    fit(
        model,
        load_mnist("train")[0][:400],
        1,
        progress=False,
        init_bias=False,
        generator=generator_on(gpu, 2),
    )
    assert {p.device.type for p in model.parameters()} == {gpu.type}
    bound = iwae_for_training(model, x.to(gpu), 5, generator_on(gpu, 3))
    assert bound.device.type == gpu.type and bound.isfinite().all()


def test_checks_take_functions_that_compute_there(gpu):
    def kl(mu, log_var):
        mu, log_var = (torch.as_tensor(each).to(gpu) for each in (mu, log_var))
        return (0.5 * (mu**2 + log_var.exp() - 1 - log_var)).sum(-1)

    assert check_kl(kl).passed
    assert check_kl(lambda *a: kl(*a) / 2).codes == check_kl(lambda m, v: kl(m, v).cpu() / 2).codes

    def bound(model, x):
        model, x = model.to(gpu), x.to(gpu)
        mu, log_var = model.encode(x)
        z = mu + (log_var / 2).exp() * torch.randn_like(mu)
        logits = model.decode(z)
        likelihood = -torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(
            -1
        )
        return likelihood - kl(mu, log_var)

    report = check_elbo(bound)
    assert report.passed, str(report)


def test_an_audit_takes_a_model_that_is_there(gpu):
    model = load_pretrained("digits_20").to(gpu)
    images = binarize(load_mnist("test")[0][:64], generator(1)).to(gpu)
    report = audit(model.encode, model.decode, images, loss=lambda x: -elbo(model, x).elbo.mean())
    assert report.passed, str(report)
