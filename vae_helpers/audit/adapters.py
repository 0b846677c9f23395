"""From five kinds of public VAE code to the arguments of `audit`: one line for each.

An adapter returns a dictionary of arguments: `audit(**pytorch_example(model, loss_function), images=x)`.
It calls the code as its authors do and changes nothing, neither weights nor modes: a model that is to be
audited as it is evaluated is set to `model.eval()` first, as its own test loop does. Each takes further
arguments of `audit` (`x_std=0.5`, `effort="quick"`), which go before what it would give itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vae_helpers.models._validate import check_model
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import as_count, as_number, as_text, told

Arguments = dict[str, Any]


def pytorch_example(model: nn.Module, loss_function: Callable[..., Tensor], **more: Any) -> Arguments:
    """The class of the VAE in pytorch/examples, and what follows it.

        model.eval()
        x = next(iter(test_loader))[0]
        audit(**pytorch_example(model, loss_function), images=x)

    The example sums its loss over the batch and prints the sum over all images divided by their number;
    so the number that is audited is loss_function(...) / len(x).

    Args:
        model: has encode(x) -> (mu, log_var), decode(z) -> probabilities, and is called as
            model(x) -> (recon, mu, log_var). Images with more axes than (n, D) are flattened for an encode
            whose first layer is a linear one of D inputs, as the example's forward does.
        loss_function: loss_function(recon, x, mu, log_var) -> one number, summed over the batch.
        **more: further arguments of `audit`, instead of the ones given here or beside them.

    Returns:
        Arguments of `audit`: encode, decode, loss, and that the decoder gives probabilities.

    Raises:
        TypeError: the model lacks a method, or one of the two cannot be called. When it is called: the
            loss is not a number.
        ValueError: when it is called: the model returns fewer than three tensors.

    Source: pytorch/examples, vae/main.py.
    """
    encode, decode = _method("model", model, "encode", more), _method("model", model, "decode", more)
    _callable("model", model)
    _callable("loss_function", loss_function)

    def encode_flat(x: Tensor) -> Any:
        return encode(x.flatten(1) if _starts_linear(model, x[0].numel()) else x)

    def loss(x: Tensor) -> Any:
        output = model(x)
        if not isinstance(output, Sequence) or len(output) < 3:
            raise ValueError(f"model: expected model(x) to return recon, mu and log_var, got {_told(output)}")
        return _number("loss_function", loss_function(output[0], x, *output[1:3])) / len(x)

    return {"encode": encode_flat, "decode": decode, "loss": loss, **_probabilities(more), **more}


def keras_pair(
    encoder: Callable, decoder: Callable, loss: Callable[[Tensor], Tensor | float] | None = None, **more: Any
) -> Arguments:
    """The two models of the Keras example: an encoder that also samples, and a decoder.

        audit(**keras_pair(vae.encoder, vae.decoder), images=x)
        audit(**keras_pair(vae.encoder, vae.decoder, loss=lambda x: vae.train_loss(x)), images=x)

    An encoder that samples draws whenever it is called, from the generator of its own library.

    Args:
        encoder: encoder(x) -> [z_mean, z_log_var] or [z_mean, z_log_var, z].
        decoder: decoder(z) -> probabilities.
        loss: loss(x) -> the number that is logged for a batch; None audits the two models alone.
        **more: further arguments of `audit`, instead of the ones given here or beside them.

    Returns:
        Arguments of `audit`: encode, decode, loss, and that the decoder gives probabilities. What
        the models return as arrays of another library becomes tensors.

    Raises:
        TypeError: something that cannot be called.
        ValueError: when it is called: the encoder returns fewer than two arrays.

    Source: keras.io, "Variational AutoEncoder" (generative/vae.py).
    """
    _callable("encoder", encoder)
    _callable("decoder", decoder)
    if loss is not None:
        _callable("loss", loss)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        output = encoder(x)
        if not isinstance(output, Sequence) or len(output) < 2:
            raise ValueError(f"encoder: expected z_mean and z_log_var, got {_told(output)}")
        return _tensor(output[0], x), _tensor(output[1], x)

    def decode(z: Tensor) -> Tensor:
        return _tensor(decoder(z), z)

    return {"encode": encode, "decode": decode, "loss": loss, **_probabilities(more), **more}


def pyro_pair(
    model: Callable, guide: Callable, image_shape: Sequence[int] | None = None, **more: Any
) -> Arguments:
    """The model and the guide of Pyro's VAE example.

        audit(**pyro_pair(vae.model, vae.guide), images=x)
        audit(**pyro_pair(vae.model, vae.guide, image_shape=x.shape[1:]), images=x)

    The encoder is read off the guide's latent site, the decoder off the model's observed one, given z.
    The number is what `svi.evaluate_loss` gives with `Trace_ELBO`, divided by the number of images.
    The guide's z is not drawn when it encodes, and Pyro's store of parameters is left as it was.

    Args:
        model: model(x) with a prior z ~ N(0, I) and one observed site, Bernoulli or a Normal with one
            constant scale.
        guide: guide(x) with one latent site, a Normal of shape (n, d).
        image_shape: shape of one image. With it the family of the pixels and its scale are read off the
            model at once; without it they are as in **more, Bernoulli by default, and the shape is
            that of the first images that are encoded.
        **more: further arguments of `audit`, instead of the ones given here or beside them.

    Returns:
        Arguments of `audit`: encode (with the standard deviation), decode (with probabilities, or the
        logits where **more has decoder_gives="logits", or means), loss, likelihood, and x_std of a Normal.

    Raises:
        TypeError: something that cannot be called, or an image_shape that is not made of whole numbers.
        ValueError: the guide has not one latent site, or it is no Normal; the prior is not N(0, I); the
            observed site is of another family than the likelihood. With image_shape at once, else when
            it is called.
        ModuleNotFoundError: Pyro is not installed.

    Source: pyro-ppl/pyro, examples/vae/vae.py.
    """
    from pyro.infer import Trace_ELBO

    _callable("model", model)
    _callable("guide", guide)
    if image_shape is not None:
        if not isinstance(image_shape, Sequence):
            raise TypeError(f"image_shape: expected a shape such as (784,), got {told(image_shape)}")
        image_shape = tuple(as_count("image_shape", size) for size in image_shape)
    known = {"shape": image_shape, "site": None}

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        known["shape"] = tuple(x.shape[1:])
        known["site"], q = _latent_site(guide, x)
        return q.loc, q.scale

    def pixels(z: Tensor) -> torch.distributions.Distribution:
        if known["shape"] is None:
            raise ValueError("image_shape: expected the shape of one image, unless images are encoded first")
        x = z.new_zeros(len(z), *known["shape"])
        known["site"] = known["site"] or _latent_site(guide, x)[0]
        return _observed_site(model, x, known["site"], z)

    arguments = {"encoder_gives": "std"}
    if image_shape is not None and "likelihood" not in more:
        with torch.no_grad():
            dummy = torch.zeros(2, *image_shape)  # two, as batch norm in training mode refuses a single one
            arguments |= _family(pixels(encode(dummy)[0]))
    arguments = {"likelihood": "bernoulli", **arguments, **more}
    if arguments["likelihood"] == "bernoulli":
        arguments.setdefault("decoder_gives", "probabilities")

    def decode(z: Tensor) -> Tensor:
        p = pixels(z)
        if isinstance(arguments["likelihood"], str):
            _check_family(_family(p), arguments)
        if isinstance(p, torch.distributions.Normal):
            return p.loc
        return p.logits if arguments.get("decoder_gives") == "logits" else p.probs

    def loss(x: Tensor) -> float:
        with _parameters_kept():
            return float(Trace_ELBO().loss(model, guide, x)) / len(x)

    return {"encode": encode, "decode": decode, "loss": loss, **arguments}


def lightning(
    module: nn.Module,
    encode: Callable | None = None,
    decode: Callable | None = None,
    logged: str | None = None,
    step: str = "training_step",
    **more: Any,
) -> Arguments:
    """A LightningModule: what a step returns or logs, without a trainer.

        model.eval()
        known = {"likelihood": "gaussian", "x_std": model.log_scale.exp().item()}
        audit(**lightning(model, logged="val_loss", step="validation_step", **known), images=x)

    The step gets (x, labels) with zeros as labels, and 0 for the number of the batch. While it runs, the
    module's `log` and `log_dict` only note what they are given; then they are put back.

    Args:
        module: the module. Lightning itself need not be installed.
        encode: encode(x) -> (mu, log_var); None takes the module's method of this name.
        decode: decode(z) -> logits, or means for a Gaussian likelihood; None takes the module's method.
        logged: the name under which the step logs the number; None takes what the step returns, or the
            entry "loss" of a dictionary.
        step: the name of the step.
        **more: further arguments of `audit`, instead of the ones given here or beside them.

    Returns:
        Arguments of `audit`: encode, decode and loss. Likelihood and decoder_gives are those of `audit`.

    Raises:
        TypeError: the module lacks a method. When it is called: the number is none.
        ValueError: when it is called: nothing is logged under this name, or the step returns a
            dictionary without "loss".

    Source: Lightning-Universe/lightning-bolts, autoencoders/basic_vae.
    """
    encode = _method("module", module, "encode", more) if encode is None else encode
    decode = _method("module", module, "decode", more) if decode is None else decode
    _callable("encode", encode)
    _callable("decode", decode)
    run = _method("module", module, as_text("step", step), {})
    if logged is not None and not isinstance(logged, str):
        raise TypeError(f"logged: expected the name of what is logged, got {told(logged)}")

    def loss(x: Tensor) -> Any:
        labels = torch.zeros(len(x), dtype=torch.long, device=x.device)
        with _notes(module) as noted:
            value = run((x, labels), 0)
        if logged is not None:
            return _number("logged", _entry("logged", noted, logged))
        if isinstance(value, dict):
            value = _entry(step, value, "loss")
        return _number(step, value)

    return {"encode": encode, "decode": decode, "loss": loss, **more}


def pytorch_vae(model: nn.Module, M_N: float = 1.0, key: str = "loss", **more: Any) -> Arguments:
    """A model of AntixK/PyTorch-VAE.

        model = experiment.model.eval()
        audit(**pytorch_vae(model, M_N=config["exp_params"]["kld_weight"]), images=x)

    Args:
        model: has encode(x) -> [mu, log_var], decode(z) -> images, and loss_function(*model(x), M_N=...)
            -> dictionary, where model(x) -> [recons, input, mu, log_var].
        M_N: the weight of the KL that loss_function is given, under its name there.
        key: the entry of that dictionary which is audited.
        **more: further arguments of `audit`, instead of the ones given here or beside them.

    Returns:
        Arguments of `audit`: encode, decode, loss, and the likelihood "gaussian".

    Raises:
        TypeError: the model lacks a method, or M_N is no number. When it is called: the entry is no number.
        ValueError: when it is called: the dictionary has no such entry.

    Source: AntixK/PyTorch-VAE, models/vanilla_vae.py.
    """
    encode, decode = _method("model", model, "encode", more), _method("model", model, "decode", more)
    loss_function = _method("model", model, "loss_function", {})
    _callable("model", model)
    as_number("M_N", M_N)
    if not isinstance(key, str):
        raise TypeError(f"key: expected the name of an entry such as 'loss', got {told(key)}")

    def loss(x: Tensor) -> Any:
        found = loss_function(*model(x), M_N=M_N)
        if not isinstance(found, dict):
            raise TypeError(f"model: expected loss_function to return a dictionary, got {_told(found)}")
        return _number("key", _entry("key", found, key))

    return {"encode": encode, "decode": decode, "loss": loss, "likelihood": "gaussian", **more}


def course_vae(model: VAE, **more: Any) -> Arguments:
    """The course's own `VAE`, whose likelihood it knows.

        audit(**course_vae(load_pretrained("latent_20")), images=x)

    Args:
        model: the VAE.
        **more: further arguments of `audit`, instead of the ones given here or beside them.

    Returns:
        Arguments of `audit`: encode, decode, likelihood, and x_std of a Gaussian one.

    Raises:
        ValueError: a likelihood that `audit` does not know by its name.
    """
    check_model(model)
    arguments = {"encode": model.encode, "decode": model.decode, "likelihood": model.likelihood}
    if model.likelihood == "gaussian":
        arguments["x_std"] = math.exp(0.5 * model.x_log_var.item())
    elif model.likelihood != "bernoulli" and "likelihood" not in more:
        raise ValueError(
            f"model: expected a bernoulli or a gaussian likelihood, got {model.likelihood!r}; give "
            "likelihood=…, a function from the decoder's output to a distribution"
        )
    return arguments | more


# --- what is called, and what it returns -----------------------------------------------------------------


def _callable(name: str, value: object) -> None:
    if not callable(value):
        raise TypeError(f"{name}: expected something to call, got {type(value).__name__}")


def _method(name: str, owner: object, method: str, instead: Arguments) -> Callable:
    """The method of `owner`, or what the reader gives under its name; it must be there."""
    found = instead.get(method, getattr(owner, method, None))
    if not callable(found):
        raise TypeError(f"{name}: expected an object with a method {method}, got {type(owner).__name__}")
    return found


def _probabilities(more: Arguments) -> Arguments:
    """That a decoder gives probabilities, unless the pixels have another likelihood."""
    return {"decoder_gives": "probabilities"} if more.get("likelihood", "bernoulli") == "bernoulli" else {}


def _starts_linear(model: object, size: int) -> bool:
    """Whether the first layer with weights is a linear one for images of so many pixels."""
    layers = model.modules() if isinstance(model, nn.Module) else ()
    first = next((layer for layer in layers if isinstance(getattr(layer, "weight", None), Tensor)), None)
    return isinstance(first, nn.Linear) and first.in_features == size


def _tensor(value: Any, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value)).to(like)


def _number(name: str, value: Any) -> Any:
    """Returns `value` when it is one number; as it is, since a tensor carries its gradient."""
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.reshape(())
    if not isinstance(value, Real):
        raise TypeError(f"{name}: expected one number, got {_told(value)}")
    return value


def _entry(name: str, found: Arguments, key: str) -> Any:
    if key not in found:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, found)) or 'none'}, got {key!r}")
    return found[key]


def _told(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return type(value).__name__ + (f" of {len(value)}" if isinstance(value, tuple | list) else "")


@contextmanager
def _notes(module: nn.Module) -> Iterator[Arguments]:
    """What `module` logs meanwhile; its two methods are replaced on the object and put back."""
    noted: Arguments = {}

    def log(name: str, value: Any, *args: Any, **kwargs: Any) -> None:
        noted[name] = value

    def log_dict(dictionary: dict, *args: Any, **kwargs: Any) -> None:
        noted.update(dictionary)

    before = {name: vars(module)[name] for name in ("log", "log_dict") if name in vars(module)}
    vars(module).update(log=log, log_dict=log_dict)
    try:
        yield noted
    finally:
        del vars(module)["log"], vars(module)["log_dict"]
        vars(module).update(before)


# --- Pyro ------------------------------------------------------------------------------------------------


@contextmanager
def _parameters_kept() -> Iterator[None]:
    """Whatever `pyro.module` and `pyro.param` register meanwhile is forgotten afterwards.

    A network that stays in the store under its name would be trained in place of a later one.
    """
    from pyro import get_param_store

    store = get_param_store()
    with store.scope(store.get_state()):
        yield


def _latent_site(guide: Callable, x: Tensor) -> tuple[str, torch.distributions.Normal]:
    """Name and distribution of the guide's one latent site. Its value is its mean, so that none is drawn."""
    from pyro import poutine
    from pyro.poutine.messenger import Messenger

    class AtTheMean(Messenger):
        def _pyro_sample(self, msg: dict) -> None:
            if msg["value"] is None and isinstance(_base(msg["fn"]), torch.distributions.Normal):
                msg["value"] = msg["fn"].mean

    with _parameters_kept(), AtTheMean():
        sites = _samples(poutine.trace(guide).get_trace(x))
    latent = {name: _base(site["fn"]) for name, site in sites.items() if not site["is_observed"]}
    if len(latent) != 1:
        raise ValueError(f"guide: expected one latent site, got {', '.join(map(repr, latent)) or 'none'}")
    ((name, q),) = latent.items()
    if not isinstance(q, torch.distributions.Normal):
        raise ValueError(f"guide: expected a Normal for {name!r}, got {type(q).__name__}")
    return name, q


def _observed_site(model: Callable, x: Tensor, latent: str, z: Tensor) -> torch.distributions.Distribution:
    """The distribution of the model's pixels given z, once its prior is known to be N(0, I)."""
    from pyro import poutine

    with _parameters_kept():
        sites = _samples(poutine.trace(poutine.condition(model, data={latent: z})).get_trace(x))
    prior = sites.pop(latent, None)
    if prior is None:
        raise ValueError(f"model: expected the guide's site {latent!r}, got none of this name")
    p = _base(prior["fn"])
    if not isinstance(p, torch.distributions.Normal) or (p.loc != 0).any() or (p.scale != 1).any():
        raise ValueError(f"model: expected the prior N(0, I) for {latent!r}, got {_normal_told(p)}")
    drawn = [name for name, site in sites.items() if not site["is_observed"]]
    if drawn or len(sites) != 1:
        got = ", ".join(map(repr, sites)) or "none"
        raise ValueError(f"model: expected one site beside {latent!r}, the observed images, got {got}")
    (site,) = sites.values()
    return _base(site["fn"])


def _samples(trace: Any) -> dict[str, dict]:
    """The sample sites of a trace without those of plates."""
    from pyro.poutine.util import site_is_subsample

    sites = {name: site for name, site in trace.nodes.items() if site["type"] == "sample"}
    return {name: site for name, site in sites.items() if not site_is_subsample(site)}


def _base(p: Any) -> Any:
    while isinstance(p, torch.distributions.Independent):
        p = p.base_dist
    return p


def _normal_told(p: Any) -> str:
    if not isinstance(p, torch.distributions.Normal):
        return type(p).__name__
    parts = (("loc", p.loc), ("scale", p.scale))
    spans = (f"{name} {v.min().item():g} to {v.max().item():g}" for name, v in parts)
    return "a Normal with " + ", ".join(spans)


def _family(p: Any) -> Arguments:
    """The likelihood that a distribution of pixels is, in the words of `audit`."""
    if isinstance(p, torch.distributions.Bernoulli):
        return {"likelihood": "bernoulli"}
    if not isinstance(p, torch.distributions.Normal):
        raise ValueError(f"model: expected a Bernoulli or a Normal for the pixels, got {type(p).__name__}")
    if p.scale.min() != p.scale.max():
        raise ValueError(f"model: expected one constant scale for all pixels, got {_normal_told(p)}")
    return {"likelihood": "gaussian", "x_std": p.scale.min().item()}


def _check_family(found: Arguments, told: Arguments) -> None:
    if found["likelihood"] != told["likelihood"]:
        raise ValueError(
            f"likelihood: expected {found['likelihood']!r} as in the model, got {told['likelihood']!r}; "
            "image_shape lets it be read off the model"
        )
    x_std = told.get("x_std", 1.0)
    if "x_std" in found and abs(found["x_std"] / x_std - 1) > 1e-5:
        raise ValueError(f"x_std: expected {found['x_std']:g} as in the model, got {x_std!r}")
