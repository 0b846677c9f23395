"""The report of `audit`: its figures against exact answers, what it leaves alone, what it refuses."""

import json
import math
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Independent, Laplace, MultivariateNormal, Normal

import vae_helpers.audit as audit_package
from vae_helpers.audit import audit, course_vae
from vae_helpers.audit.subject import as_images
from vae_helpers.checks import CODES
from vae_helpers.models import VAE, log_evidence_quadrature
from vae_helpers.shipped import load_pretrained

D, LATENTS = 16, 3
KEYS = {"schema", "about", "score", "passed", "mistakes", "checks", "figures", "notes"}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def small():
    """A VAE whose latents matter, and images of black and white."""
    model = VAE(LATENTS, 8, num_hidden=1, data_dim=D, generator=seeded())
    with torch.no_grad():
        for layer in (model.encoder[0], model.decoder[0], model.decoder[-1]):
            layer.weight.mul_(3)
    return model, (torch.rand(60, D, generator=seeded(1)) < 0.4).float()


def loss_of(model, kl_weight=1.0, draw=None):
    def loss(x):
        mu, log_var = model.encode(x)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
        cross_entropy = F.binary_cross_entropy_with_logits(model.decode(z), x, reduction="none").sum(-1)
        return (cross_entropy + kl_weight * kl).mean()

    return loss


def quick(model, x, **more):
    return audit(
        **{"encode": model.encode, "decode": model.decode, "effort": "quick", "progress": False, **more},
        images=x,
    )


@pytest.fixture(scope="module")
def report(small):
    model, x = small
    return quick(model, x, loss=loss_of(model), train_images=1 - x)


# ---- the figures ------------------------------------------------------------------------------


class Linear:
    """x ~ N(W z + b, s²): everything of it is known in closed form."""

    def __init__(self, narrow=1.0):
        self.w = torch.randn(6, LATENTS, generator=seeded(3)).double()
        self.b, self.s = torch.linspace(-1, 1, 6).double(), 0.8
        precision = torch.eye(LATENTS) + self.w.T @ self.w / self.s**2
        self.cov = torch.linalg.inv(precision.double())
        self.std = (
            narrow / precision.double().diagonal().sqrt()
        )  # of the best diagonal Gaussian, if not narrow

    def encode(self, x):
        mu = (x - self.b) @ self.w @ self.cov / self.s**2
        return mu, self.std.expand_as(mu)

    def decode(self, z):
        return z @ self.w.T + self.b

    def log_evidence(self, x):
        return MultivariateNormal(self.b, self.w @ self.w.T + self.s**2 * torch.eye(6).double()).log_prob(x)

    def elbo(self, x):
        mu, std = self.encode(x)
        posterior = MultivariateNormal(mu, self.cov)
        q = MultivariateNormal(mu, torch.diag_embed(std**2))
        return self.log_evidence(x) - torch.distributions.kl_divergence(q, posterior)

    def images(self, num):
        z = torch.randn(num, LATENTS, generator=seeded(5)).double()
        return self.decode(z) + self.s * torch.randn(num, 6, generator=seeded(6)).double()


@pytest.fixture(scope="module", params=[1.0, 0.7])
def linear(request):
    world = Linear(request.param)
    x = world.images(200)
    given = {"likelihood": "gaussian", "x_std": world.s, "encoder_gives": "std", "progress": False}
    return world, x, audit(world.encode, world.decode, x, **given)


def near(figure, truth, errors=5.0, floor=1e-6):
    return abs(figure.value - truth) <= errors * (figure.error or 0.0) + floor


def test_figures_of_a_linear_model_are_the_exact_ones(linear):
    world, x, report = linear
    figures = report.figures
    evidence, elbo = world.log_evidence(x), world.elbo(x)
    assert near(figures["negative_elbo"], -elbo.mean().item())
    assert near(figures["log_evidence_below"], evidence.mean().item(), floor=2e-3)
    # Its gap is the same for every image.
    gap = (evidence - elbo).mean().item()
    assert near(figures["simulated_gap"], gap) and figures["simulated_gap"].error < 0.1
    exact = Linear()
    best = (exact.log_evidence(x) - exact.elbo(x)).mean().item()
    assert near(figures["approximation_gap"], best, floor=0.01)
    assert near(figures["amortization_gap"], gap - best, floor=0.01)
    spread = math.sqrt((world.cov.diagonal() / world.std**2).mean().item())
    assert near(figures["calibration"], spread)
    assert figures["active_units"].value == LATENTS
    assert figures["rate"].value == pytest.approx(
        torch.distributions.kl_divergence(Normal(*world.encode(x)), Normal(0.0, 1.0)).sum(-1).mean().item()
    )


def test_bounds_of_simulated_images_lie_on_both_sides(linear):
    figures = linear[2].figures
    below, above = (figures[f"simulated_log_evidence_{side}"] for side in ("below", "above"))
    assert below.value <= above.value + 3 * (below.error + above.error)


def test_in_the_plane_the_evidence_is_that_of_quadrature(small):
    model, x = load_pretrained("latent_2"), (torch.rand(30, 784, generator=seeded()) < 0.1).float()
    report = quick(model, x)
    truth = log_evidence_quadrature(model, x).mean().item()
    assert near(report.figures["log_evidence"], truth, errors=1, floor=1e-3)
    assert report.figures["log_evidence_below"].value < truth
    gap = truth + report.figures["negative_elbo"].value
    parts = [report.figures[f"{name}_gap"].value for name in ("approximation", "amortization")]
    assert min(parts) > -1e-3 and gap > 0


def test_a_likelihood_may_be_any_distribution(small):
    model, x = small
    own = quick(model, x, likelihood=lambda output: Laplace(output, 0.3))
    mu, log_var = model.encode(x)
    z = mu + torch.exp(0.5 * log_var) * torch.randn(4000, *mu.shape, generator=seeded(2))
    truth = -Independent(Laplace(model.decode(z), 0.3), 1).log_prob(x).mean().item()
    assert near(own.figures["distortion"], truth, errors=6, floor=0.02)
    assert "simulated_gap" in own.figures


def test_training_images_are_compared(report, small):
    model, x = small
    same = quick(model, x, train_images=x).figures["overfitting"]
    assert abs(same.value) < 0.2 < same.error
    assert {"negative_elbo_train", "overfitting"} <= set(report.figures)


def test_arrays_are_taken_too(small):
    model, x = small

    def encode(x):
        return tuple(part.detach().numpy() for part in model.encode(torch.from_numpy(x)))

    def decode(z):
        return model.decode(torch.from_numpy(z)).detach().numpy()

    given = audit(encode, decode, x.numpy(), effort="quick", progress=False)
    assert given.figures["negative_elbo"] == quick(model, x).figures["negative_elbo"]
    assert any("no gradient" in note for note in given.notes) and "simulated_gap" not in given.figures


def test_pictures_of_any_shape(small):
    model, x = small
    flat = quick(model, x, loss=loss_of(model))
    shaped = audit(
        lambda x: model.encode(x.flatten(1)),
        lambda z: model.decode(z).reshape(-1, 1, 4, 4),
        x.reshape(-1, 1, 4, 4),
        lambda x: loss_of(model)(x.flatten(1)),
        effort="quick",
        progress=False,
    )
    assert shaped.figures == flat.figures and shaped.codes == flat.codes == frozenset()


# ---- the report ---------------------------------------------------------------------------------


def test_a_right_number_is_found_right(report):
    assert report.passed and not report.codes and report.score == 1
    logged, truth = report.figures["logged"], report.figures["negative_elbo"]
    assert abs(logged.value - truth.value) < 5 * math.hypot(logged.error, truth.error)


def test_a_wrong_number_is_named_with_what_it_should_be(small):
    model, x = small
    report = quick(model, x, loss=loss_of(model, kl_weight=4.0))
    assert report.codes == {"term-scale"} and not report.passed and 0 < report.score < 1
    assert "counts 4 times" in report.mistakes[0].text
    assert "you log" in str(report) and "✗" in report.verdict


def test_losses_of_named_arguments(small):
    model, x = small

    def loss_function(recon_x, x, mu, logvar):
        kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum()
        return (F.binary_cross_entropy_with_logits(recon_x, x, reduction="sum") + kl) / len(x)

    assert quick(model, x, loss=loss_function).passed
    assert quick(
        model, x, loss=lambda x, x_logits, mu, logvar: 2 * loss_function(x_logits, x, mu, logvar)
    ).codes == {"half"}


def test_the_same_seed_gives_the_same_report(small):
    model, x = small
    one, other = (quick(model, x, loss=loss_of(model)) for _ in range(2))
    assert one == other
    assert quick(model, x, generator=seeded(7)).figures != one.figures


def test_the_json_is_as_it_is_documented(report, tmp_path):
    report.save(tmp_path / "out.json")
    read = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert read == json.loads(report.as_json()) and set(read) == KEYS
    assert read["schema"] == "vae_helpers.audit/1"
    assert set(read["about"]) == {"latents", "pixels", "images", "likelihood", "effort", "seed"}
    for figure in read["figures"].values():
        assert set(figure) == {"value", "error", "unit", "how"} and isinstance(figure["value"], float)
    for check in read["checks"]:
        assert set(check) == {"name", "verdict", "code", "text"}
        assert check["verdict"] in {"right", "wrong", "untested"}
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_nothing_is_written_where_no_folder_is(report, tmp_path):
    with pytest.raises(FileNotFoundError, match="path: expected a folder that exists"):
        report.save(tmp_path / "nowhere" / "out.json")


def test_all_figures_stand_in_text_and_table(report):
    text, table = repr(report), report._repr_html_()
    for name, figure in report.figures.items():
        assert name.replace("_", " ") in text and str(figure) in text
        assert str(figure) in table.replace("\u00a0", " ")
    assert max(map(len, text.splitlines())) <= 110
    assert "<script" not in table


def test_without_a_loss_the_number_is_untested(small):
    report = quick(*small)
    assert not report.codes and "logged" not in report.figures
    assert [check.verdict for check in report.checks if check.name == "on average it is -ELBO"] == [
        "untested"
    ]


def test_grey_images_are_noted(small):
    model, x = small
    assert any("grey" in note for note in quick(model, 0.9 * x).notes)


def test_the_duration_is_told_before_it_starts(small, capsys):
    model, x = small
    audit(model.encode, model.decode, x, effort="quick")
    said = capsys.readouterr()
    assert "audit, about" in said.err and not said.out


# ---- what it leaves alone -------------------------------------------------------------------------


class Noisy(nn.Module):
    """A VAE with batch norm and dropout."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Linear(D, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2))
            self.head, self.decoder = nn.Linear(12, 2 * LATENTS), nn.Linear(LATENTS, D)

    def encode(self, x):
        return self.head(self.body(x)).chunk(2, -1)

    def decode(self, z):
        return self.decoder(z)


def states():
    return random.getstate()[1], np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002


def test_modes_buffers_gradients_and_random_states_are_as_before(small):
    model, x = Noisy(), small[1]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rng = states()
    report = quick(model, x, loss=loss_of(model))
    assert report.codes == {"dropout-on"}
    assert model.training and all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert states() == rng and torch.is_grad_enabled()
    assert not any(m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_settings_of_the_caller_do_not_matter(small, dtype):
    model, x = small
    was = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.inference_mode():
            assert quick(model, x, loss=loss_of(model)).passed
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(was)


# ---- what it refuses -------------------------------------------------------------------------------


def nan_in(part):
    return lambda model: (
        lambda x: tuple(value * (float("nan") if i == part else 1) for i, value in enumerate(model.encode(x)))
    )


def too_few(x):
    if len(x) < 16:
        raise ValueError("too few")
    return 1.0


BAD = {
    "encode: expected two tensors, mu and log_var, got one of shape": {
        "encode": lambda m: lambda x: torch.cat(m.encode(x), 1)
    },
    "encode: expected finite numbers": {"encode": nan_in(1)},
    "encode: expected a std above 0": {"encoder_gives": "std"},
    "encode: expected a function, got int": {"encode": lambda m: 3},
    "images: expected them on meta like the model's weights, got cpu": {"model": "meta"},
    "encode: expected a function that takes images as a tensor of shape .2, 9., got ValueError": {
        "images": lambda x: x[:, :9]
    },
    "from 0 to 1.*divide bytes by 255": {"images": lambda x: 255 * x},
    "images: expected finite numbers, got NaN or infinity in image 4": {
        "images": lambda x: torch.cat([x[:4], x[4:] * float("nan")])
    },
    "images: expected a tensor of floating-point numbers, got a tensor of torch.uint8": {
        "images": lambda x: x.byte()
    },
    "images: expected at least 2": {"images": lambda x: x[:1]},
    "decode: expected 16 numbers for each z": {"decode": lambda m: lambda z: m.decode(z)[:, :9]},
    "decode: expected logits, got numbers from .* as probabilities are": {
        "decode": lambda m: lambda z: torch.sigmoid(m.decode(z))
    },
    "decode: expected probabilities from 0 to 1": {"decoder_gives": "probabilities"},
    "decode: expected a function that takes z.*ZeroDivisionError": {"decode": lambda m: lambda z: 1 / 0},
    "loss: expected one number for a batch, got shape .6,.; average over the batch": {
        "loss": lambda x: x.sum(1)
    },
    "loss: expected one number, got a dict with loss": {"loss": lambda x: {"loss": 1.0}},
    "loss: expected a finite number, got nan": {"loss": lambda x: float("nan")},
    "loss: expected one number, got NoneType": {"loss": lambda x: None},
    "loss: expected a function of images, or of x, recon_x": {"loss": lambda first, second: 1.0},
    "likelihood: expected one of": {"likelihood": "poisson"},
    "likelihood: expected a function from the decoder's output.*got the class Bernoulli": {
        "likelihood": torch.distributions.Bernoulli
    },
    "likelihood: expected a function that returns a distribution": {"likelihood": lambda output: output},
    "images: expected pixels that the likelihood knows": {
        "likelihood": lambda output: torch.distributions.Exponential(output.exp()),
        "images": lambda x: x - 2.0,
    },
    "images: expected images with numbers, got a tensor on the device meta": {
        "images": lambda x: x.to("meta")
    },
    "loss: expected a function that takes images, got ValueError for 6 of them: too few": {"loss": too_few},
    "loss: expected one number, got str": {"loss": lambda x: "12.5"},
    "decoder_gives: expected one of": {"decoder_gives": "means"},
    "encoder_gives: expected one of": {"encoder_gives": "sigma"},
    "x_std: expected a number above 0": {"likelihood": "gaussian", "x_std": 0.0},
    "effort: expected one of": {"effort": "all"},
    "effort: expected one of.*quick.\\]": {"effort": ["quick"]},
    "generator: expected one with a seed": {"generator": torch.Generator()},
    "generator: expected a torch.Generator": {"generator": np.random.default_rng(0)},
    "train_images: expected images like the others": {"train_images": torch.zeros(5, 9)},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_told_in_one_sentence(message, small):
    changed = dict(BAD[message])
    model, x = small
    if changed.pop("model", None):
        model = VAE(LATENTS, 8, num_hidden=1, data_dim=D, generator=seeded()).to("meta")
    given = {"encode": model.encode, "decode": model.decode, "images": x}
    for name, change in changed.items():
        is_made = name in ("encode", "decode", "images")
        given[name] = change(x if name == "images" else model) if is_made else change
    with pytest.raises((ValueError, TypeError), match=message) as raised:
        audit(**given, progress=False)
    assert "\n" not in str(raised.value)


def test_the_courses_own_models_are_taken_as_they_are():
    model = load_pretrained("grey_20")
    arguments = course_vae(model)
    assert arguments["likelihood"] == "gaussian"
    assert arguments["x_std"] == pytest.approx(math.exp(0.5 * model.x_log_var.item()))


# ---- the folder's README --------------------------------------------------------------------------

README = (Path(audit_package.__file__).parent / "README.md").read_text(encoding="utf-8")


def test_the_readme_names_all_figures_keys_and_files(report, small):
    in_plane = quick(VAE(2, 8, num_hidden=1, data_dim=D, generator=seeded()), small[1])
    figures = set(report.figures) | set(in_plane.figures)
    rows = README.split("| figure |")[1]
    assert (
        set(re.findall(r"`([a-z_]+)`", "".join(row.split("|")[1] for row in rows.splitlines()[2:])))
        == figures
    )
    assert all(f"| `{key}` |" in README for key in KEYS)
    files = {path.stem for path in Path(audit_package.__file__).parent.glob("*.py")} - {"__init__"}
    table = README.split("| file |")[1].split("\n\n")[0]
    assert (
        set(re.findall(r"`([a-z_]+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:]))) == files
    )


def test_the_readme_explains_each_code_that_the_checks_do_not_have():
    sources = [path.read_text(encoding="utf-8") for path in Path(audit_package.__file__).parent.glob("*.py")]
    new = {"batch-sum", "batch-weight", "dropout-on", "batch-statistics"}
    assert all(f"| `{code}` |" in README and f'"{code}"' in "".join(sources) for code in new)
    assert not new & set(CODES)


@pytest.mark.parametrize("dtype", [object, "longdouble", ">i4"])
def test_arrays_that_are_no_floating_point_numbers_of_torch_are_named(dtype):
    with pytest.raises(
        TypeError, match="^images: expected a tensor of floating-point numbers, got an array of"
    ):
        as_images(np.zeros((4, 6), dtype=dtype))


def test_images_of_the_other_byte_order_are_taken():
    images = np.random.default_rng(0).random((4, 6))
    assert torch.equal(as_images(images.astype(">f8")), torch.from_numpy(images))
