"""The Lab's engine, run by node, against PyTorch: objectives, gradients, the exact evidence, and chance."""

import base64

import numpy as np
import pytest
import torch
from lab_engine import run_node
from lab_losses import PARTS, objective
from scipy import stats
from support import worlds

from vae_helpers.checks import check_elbo
from vae_helpers.checks.engine.codes import CODES
from vae_helpers.models import VAE
from vae_helpers.models.evaluation import elbo_quadrature, quadrature
from vae_helpers.shipped import load_mnist
from vae_helpers.widgets.lab import data

HIDDEN, IMAGES, BETA = 12, 9, 1.7
RELATIVE = 1e-4  # by which a gradient may differ, of its largest part
NATS = 1e-4
SHAPES = pytest.mark.parametrize("latents", [1, 2])
EVERY_LOSS = pytest.mark.parametrize("name", PARTS)


@pytest.fixture(scope="module")
def table():
    """The Lab's table of losses."""
    return {row["name"]: row for row in run_node("answer(losses.LOSSES);", "losses")}


def some_images(grey=False, count=IMAGES):
    levels = data.levels(load_mnist("test")[0][:count].numpy())
    return levels / 3 if grey else (levels >= 2).astype(float)


def a_model(latents, hidden=HIDDEN, scale=3.0):
    """A VAE of the course in double precision, with large weights that the engine can hold exactly."""
    model = VAE(
        latents, hidden, num_hidden=1, activation="tanh", data_dim=196, generator=worlds.generator(latents)
    )
    with torch.no_grad():
        for values in model.parameters():
            values.mul_(scale)
        model.decoder[2].bias.sub_(2)
    return model.double()


def flat(parameters):
    """Weights or gradients of the course's model, in the order of the engine."""
    parts = dict(parameters)
    order = [("encoder.0", True), ("encoder.2", False), ("decoder.0", True), ("decoder.2", False)]
    return torch.cat(
        [
            part.flatten()
            for layer, turned in order
            for part in (
                parts[f"{layer}.weight"].T if turned else parts[f"{layer}.weight"],
                parts[f"{layer}.bias"],
            )
        ]
    ).detach()


def weights(model):
    return flat(model.named_parameters()).tolist()


GIVEN = """
const model = engine.makeModel(given.hidden, given.latents, Float32Array.from(given.weights));
const images = engine.makeImages(given.images);
const rows = Int32Array.from(given.images, (_, i) => i);
"""


def run(script, model, images, *modules, **given):
    latents, hidden = model.latent_dim, model.config["hidden_dim"]
    given |= {"weights": weights(model), "latents": latents, "hidden": hidden, "images": images.tolist()}
    return run_node(GIVEN + script, "engine", *modules, **given)


def noise(*shape):
    return torch.randn(*shape, generator=worlds.generator(5)).double()


@SHAPES
@EVERY_LOSS
def test_objective_and_gradient_of_every_loss_are_those_of_autograd(name, latents):
    model, eps, x = a_model(latents), noise(IMAGES, latents), some_images(grey=name == "grey")
    value = objective(name, BETA)(model, torch.tensor(x), eps).mean()
    expected = flat(
        zip(dict(model.named_parameters()), torch.autograd.grad(value, model.parameters()), strict=True)
    )
    got = run(
        """const gradient = engine.makeModel(given.hidden, given.latents);
        const value = engine.objectiveAndGradient(
          model, given.name, given.beta, images, rows, Float32Array.from(given.eps.flat()), gradient);
        answer([value, gradient.all]);""",
        model, x, name=name, beta=BETA, eps=eps.tolist(),
    )  # fmt: skip
    assert abs(got[0] - value.item()) < NATS
    off = np.linalg.norm(np.array(got[1]) - expected.numpy()) / expected.norm()
    assert off < RELATIVE and np.abs(got[1] - expected.numpy()).max() < RELATIVE * expected.abs().max()


@SHAPES
@EVERY_LOSS
def test_the_printed_number_is_the_expectation_of_the_authors_own(name, latents):
    model, x, printed = a_model(latents, scale=2), some_images(), some_images(grey=name == "grey")
    got = run(
        """const printed = engine.makeImages(given.printed), nodes = engine.makeNodes(given.latents);
        answer(engine.evaluate(model, given.name, given.beta, images, printed, nodes));""",
        model, x, name=name, beta=BETA, printed=some_images(grey=True).tolist(),
    )  # fmt: skip
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(10)
    grids = np.stack(np.meshgrid(*[nodes] * latents), axis=-1).reshape(-1, latents)
    products = np.prod(np.meshgrid(*[node_weights / node_weights.sum()] * latents), axis=0).ravel()
    with torch.no_grad():
        fn, given = objective(name, BETA), torch.tensor(printed)
        values = [fn(model, given, torch.tensor(e).expand(IMAGES, -1)).mean().item() for e in grids]
    assert abs(got["printed"] - np.dot(products, values)) < NATS


@SHAPES
def test_elbo_rate_and_distortion_are_those_of_the_course(latents):
    model, x = a_model(latents, scale=2), some_images()
    got = run(
        """answer(engine.evaluate(model, "half", 3, images, images, engine.makeNodes(given.latents)));""",
        model, x,
    )  # fmt: skip
    expected = elbo_quadrature(model, torch.tensor(x)).mean().item()
    with torch.no_grad():
        mu, log_var = model.encode(torch.tensor(x))
    q = torch.distributions.Normal(mu, (0.5 * log_var).exp())
    rate = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(dim=-1).mean()
    assert abs(got["elbo"] - expected) < NATS
    assert abs(got["rate"] - rate.item()) < NATS
    assert abs(got["rate"] + got["distortion"] + expected) < NATS


@SHAPES
@pytest.mark.parametrize("seed", [0, 1])
def test_a_right_loss_prints_the_elbo_and_stays_below_log_px(latents, seed):
    got = run_node(
        """const images = engine.makeImages(given.images);
        const options = { hidden: 16, batch: 32, rate: 0.01, beta: 1, loss: "right", ...given.options };
        const training = engine.makeTraining(options, images);
        for (let i = 0; i < 150; i++) training.step();
        const found = engine.evaluate(
          training.model, "right", 1, images, images, engine.makeNodes(options.latents));
        const { values } = quadrature.logEvidence(training.model, images, 121);
        answer([found.printed, found.elbo, values.reduce((a, b) => a + b) / values.length]);""",
        "engine", "quadrature",
        images=some_images(count=60).tolist(), options={"latents": latents, "seed": seed},
    )  # fmt: skip
    assert got[0] == got[1] < got[2]


@SHAPES
@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_log_px_is_that_of_pytorch(latents, scale):
    model, x = a_model(latents, scale=scale), some_images()
    got = run("answer(quadrature.logEvidence(model, images, 161).values);", model, x, "quadrature")
    expected = quadrature(model, torch.tensor(x), num_grid=400, limit=8.0)
    assert expected.error.max() < NATS / 10
    np.testing.assert_allclose(got, expected.log_evidence, rtol=0, atol=NATS)


TRAINED = """
const images = engine.makeImages(given.images);
const options = { hidden: 32, latents: 2, seed: 3, batch: 64, rate: 0.01, beta: 1, loss: given.loss };
const training = engine.makeTraining(options, images);
for (let i = 0; i < 600; i++) training.step();
const few = engine.makeImages(given.images.slice(0, 20));
"""


@pytest.mark.parametrize("loss", ["right", "log", "mean"])
def test_a_finer_grid_changes_log_px_by_less_than_the_page_promises(loss):
    got = run_node(
        TRAINED
        + """const chosen = quadrature.findGrid(training.model, few);
        const fine = quadrature.logEvidence(training.model, few, 301, 7);
        answer({ chosen: chosen.values, points: chosen.points, mean: chosen.error, fine: fine.values });""",
        "engine", "quadrature", images=some_images(count=500).tolist(), loss=loss,
    )  # fmt: skip
    assert abs(np.mean(got["chosen"]) - np.mean(got["fine"])) < NATS
    assert got["mean"] < NATS or got["points"] == 241  # it says so where even the finest leaves doubts


def test_a_coarse_grid_says_how_far_it_may_be_off():
    got = run_node(
        TRAINED
        + """const fine = quadrature.logEvidence(training.model, few, 301);
        const coarse = quadrature.logEvidence(training.model, few, 41);
        answer({ fine: fine.values, coarse: coarse.values, errors: coarse.errors });""",
        "engine", "quadrature", images=some_images(count=500).tolist(), loss="log",
    )  # fmt: skip
    off = np.abs(np.array(got["fine"]) - got["coarse"])
    assert off.max() > 1e-3 and (off <= np.array(got["errors"]) + 1e-6).all()


@SHAPES
def test_the_posterior_on_the_grid_is_bayes_rule(latents):
    model, x = a_model(latents), some_images()
    points, limit = 31, 4.0
    got = run(f"answer(quadrature.posterior(model, images, 2, {points}, {limit}));", model, x, "quadrature")
    line = torch.linspace(-limit, limit, points, dtype=torch.float64)
    z = torch.cartesian_prod(*[line] * latents).reshape(-1, latents)
    with torch.no_grad():
        joint = model.log_likelihood(torch.tensor(x[2]).expand(len(z), -1), z) - 0.5 * z.square().sum(dim=-1)
    np.testing.assert_allclose(got["probabilities"], torch.softmax(joint, dim=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("latents", [1, 2])
def test_nodes_and_weights_are_those_of_gauss_and_hermite(latents):
    got = run_node("answer(engine.makeNodes(given.latents));", "engine", latents=latents)
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(10)
    first = np.array(got["epsilon"]).reshape(-1, latents)[:, 0]
    np.testing.assert_allclose(np.unique(first), nodes.astype(np.float32), atol=1e-6)
    for node, weight in zip(nodes, node_weights / node_weights.sum(), strict=True):
        np.testing.assert_allclose(
            np.array(got["weights"])[np.abs(first - node) < 1e-4].sum(), weight, rtol=1e-9
        )


def test_rows_by_rows_is_the_product_with_the_transpose_for_sizes_that_no_tile_fits():
    for m, n, k in [(1, 1, 3), (4, 2, 5), (7, 3, 4), (9, 5, 1)]:
        rng = np.random.default_rng(m)
        left, right = rng.normal(size=(m, k)), rng.normal(size=(n, k))
        got = run_node(
            """const result = new Float64Array(given.m * given.n);
            engine.rowsByRows(given.left.flat(), given.right.flat(), result, given.m, given.n, given.k);
            answer(result);""",
            "engine", left=left.tolist(), right=right.tolist(), m=m, n=n, k=k,
        )  # fmt: skip
        np.testing.assert_allclose(np.reshape(got, (m, n)), left @ right.T)


def a_run(script, **options):
    settings = {"hidden": 8, "latents": 2, "seed": 4, "batch": 16, "rate": 0.01, "beta": 1, "loss": "right"}
    return run_node(
        "const images = engine.makeImages(given.images);"
        "const training = engine.makeTraining(given.options, images);" + script,
        "engine",
        images=some_images(count=50).tolist(),
        options=settings | options,
    )


STEPS = """
const values = Array.from({ length: 30 }, () => training.step());
answer([values, training.model.all]);
"""


def test_a_seeded_run_repeats_to_the_bit():
    assert a_run(STEPS) == a_run(STEPS)


def test_another_seed_is_another_run():
    first, second = a_run(STEPS), a_run(STEPS, seed=5)
    assert first[0][0] != second[0][0] and first[1][0] != second[1][0]


def test_the_steps_are_adams():
    got = a_run("""
        const weights = [Array.from(training.model.all)], slopes = [];
        for (let i = 0; i < 6; i++) {
          training.step();
          weights.push(Array.from(training.model.all));
          slopes.push(Array.from(training.gradient.all));
        }
        answer({ weights, slopes });""")
    parameter = torch.nn.Parameter(torch.tensor(got["weights"][0], dtype=torch.float64))
    adam = torch.optim.Adam([parameter], lr=0.01, maximize=True)
    for slopes, after in zip(got["slopes"], got["weights"][1:], strict=True):
        parameter.grad = torch.tensor(slopes, dtype=torch.float64)
        adam.step()
        np.testing.assert_allclose(after, parameter.detach(), rtol=0, atol=2e-6)


def test_each_image_comes_once_before_any_comes_again():
    seen = a_run("""
        const order = [];
        for (let i = 0; i < 50; i++) order.push(training.nextRow());
        answer(order);""")
    assert sorted(seen) == list(range(50)) and seen != sorted(seen)


def test_training_raises_the_elbo():
    values = a_run("answer(Array.from({ length: 400 }, () => training.step()));", hidden=32)
    assert np.mean(values[-20:]) > np.mean(values[:20]) + 10  # in nats; the noise of such a mean is below 1


def test_the_first_model_decodes_the_mean_image():
    logits = a_run("answer(training.model.outBias);")
    expected = (some_images(count=50).sum(axis=0) + 0.5) / 51
    np.testing.assert_allclose(1 / (1 + np.exp(-np.array(logits))), expected, rtol=1e-5)


def test_noise_is_standard_normal():
    draws = run_node(
        """const generator = engine.makeGenerator(7);
        answer(Array.from({ length: 20000 }, generator.normal));""",
        "engine",
    )
    assert stats.kstest(draws, "norm").pvalue > 1e-3  # sees a distribution function that is off by 0.014
    assert abs(np.var(draws) - 1) < 4 * (2 / 20000) ** 0.5
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 4 / 20000**0.5


@pytest.mark.parametrize("draw, of", [("uniform", stats.norm.cdf), ("std", lambda e: e)])
def test_noise_is_shaped_as_the_mistake_says(draw, of):
    eps = np.linspace(-5, 5, 101)
    got = run_node(
        "answer(given.eps.map((e) => losses.shapeNoise(given.draw, e)));",
        "losses",
        eps=eps.tolist(),
        draw=draw,
    )
    np.testing.assert_allclose(got, of(eps), atol=1e-7)


# ---- the table of losses ----------------------------------------------------------------------


def test_the_table_names_every_loss_once(table):
    assert list(table) == list(PARTS)
    assert all(row["title"] and row["formula"] and row["printed"] and row["effect"] for row in table.values())


@EVERY_LOSS
def test_check_elbo_names_the_mistake_that_the_page_says(name, table):
    report = check_elbo(lambda model, x: objective(name)(model, x))
    code = table[name]["code"]
    assert sorted(report.codes) == ([code] if code else []), report.message
    assert not code or code in CODES


# ---- the data ---------------------------------------------------------------------------------


def bits(text, count):
    packed = np.frombuffer(base64.b64decode(text), np.uint8)
    return np.unpackbits(packed, count=count * 196).reshape(count, 196)


@pytest.mark.parametrize("split, name", [("train", "train"), ("test", "test")])
def test_bits_are_the_rounded_means_of_two_by_two_pixels(split, name):
    made = data.make_data(num_train=40, num_test=30)
    part, (images, labels) = made[name], load_mnist(split)
    count = part["count"]
    means = torch.nn.functional.avg_pool2d(images[:count].double().reshape(-1, 1, 28, 28), 2).flatten(1)
    got = (2 * bits(part["upper"], count) + bits(part["lower"], count)) / 3
    assert np.abs(got - means.numpy()).max() <= 1 / 6 + 1e-6
    np.testing.assert_array_equal(bits(part["upper"], count), means.numpy() >= 0.5)
    assert part["labels"] == "".join(map(str, labels[:count].tolist()))


def test_the_page_unpacks_the_same_images():
    made = data.make_data(num_train=8, num_test=5)
    got = run_node(
        """const part = given.made.train;
        answer([engine.unpackRows(part, false), engine.unpackRows(part, true)]);""",
        "engine", made=made,
    )  # fmt: skip
    levels = data.levels(load_mnist("train")[0][:8].numpy())
    np.testing.assert_array_equal(got[0], levels >= 2)
    np.testing.assert_allclose(got[1], levels / 3, rtol=1e-6)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"num_train": 0}, ValueError, "num_train: expected"),
        ({"num_test": 10_001}, ValueError, "num_test: expected at most 10000 images, got 10001"),
        ({"num_train": "5"}, (TypeError, ValueError), "num_train: expected"),
    ],
)
def test_wrong_sizes_are_refused(options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        data.make_data(**options)
