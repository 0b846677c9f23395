"""Arguments that are no VAE, no dense tensor, no flag: each once gave an error without a name."""

import pytest
import torch

from vae_helpers import models
from vae_helpers.models import VAE

MODEL = VAE(2, 4, num_hidden=1, data_dim=16, generator=torch.Generator().manual_seed(0))
X = torch.zeros(3, 16)
NESTED = torch.nested.nested_tensor([torch.ones(1), torch.ones(2)], layout=torch.jagged)
TAKE_A_MODEL = {
    "elbo": lambda model: models.elbo(model, X),
    "iwae": lambda model: models.iwae(model, X, 2),
    "iwae_for_training": lambda model: models.iwae_for_training(model, X, 2),
    "log_weights": lambda model: models.log_weights(model, X, 2),
    "mean_elbo": lambda model: models.mean_elbo(model, X, None),
    "observed": lambda model: models.observed(model, X, 0),
    "fit": lambda model: models.fit(model, X),
    "quadrature": lambda model: models.quadrature(model, X),
    "gaps": lambda model: models.gaps(model, X),
    "importance_bounds": lambda model: models.importance_bounds(model, X),
    "active_units": lambda model: models.active_units(model, X),
    "save": lambda model: models.save(model, "nowhere.safetensors"),
}
REFUSED = {
    "images: expected a dense tensor": lambda: models.binarize(NESTED),
    "x: expected a dense tensor": lambda: MODEL.encode(X.to_sparse()),
    "decoder: expected one of": lambda: VAE(2, decoder=torch.zeros(0)),
    "x: expected a floating-point tensor, got NoneType": lambda: models.mean_elbo(MODEL, None, None),
    "batch_size: expected at least 1": lambda: models.mean_elbo(MODEL, X, None, batch_size=0),
    "images: expected a floating-point tensor, got NoneType": lambda: models.observed(MODEL, None, 0),
    "generator: expected at least 0": lambda: models.observed(MODEL, X, -1),
    "generator: expected a torch.Generator": lambda: models.observed(MODEL, X, True),
    "counts: expected numbers of draws": lambda: models.importance_bounds(MODEL, X, torch.tensor(3)),
    "progress: expected True or False": lambda: models.importance_bounds(MODEL, X, progress="no"),
    "init_bias: expected True or False": lambda: models.fit(MODEL, X, init_bias=None),
}


@pytest.mark.parametrize("name", TAKE_A_MODEL)
@pytest.mark.parametrize("model", [None, VAE, torch.nn.Identity(), torch.zeros(2)])
def test_what_is_no_model(name, model):
    with pytest.raises(TypeError, match="^model: expected a VAE, got"):
        TAKE_A_MODEL[name](model)


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_refused(message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        REFUSED[message]()


def test_a_seed_may_be_large():
    assert models.observed(MODEL, X, 2**40).shape == X.shape


@pytest.mark.parametrize("x, z, name", [(X[0], torch.zeros(5, 2), "x"), (X, torch.zeros(2), "z")])
def test_pairs_are_of_batches(x, z, name):
    with pytest.raises(ValueError, match=f"^{name}: expected shape "):
        MODEL.pairwise_log_likelihood(x, z)
