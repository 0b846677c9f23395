"""z = mu + σ eps, with eps given or drawn inside, written by hand after public code."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Independent, MultivariateNormal, Normal

from gallery._entry import right, wrong

# --- right ---------------------------------------------------------------------------------------


@right("reparameterize", source="pytorch/examples vae/main.py")
def torch_classic(mu, log_var):
    std = torch.exp(0.5 * log_var)
    return mu + torch.randn_like(std) * std


@right("reparameterize")
def given_eps(mu, log_var, eps):
    return mu + torch.exp(0.5 * log_var) * eps


@right("reparameterize")
def given_eps_numpy(mu, log_var, eps):
    return mu + np.exp(0.5 * log_var) * eps


@right("reparameterize", source="PaddlePaddle/Paddle #3770: sqrt(exp(logvar))")
def root_of_exp(mu, log_var, eps):
    return mu + log_var.exp().sqrt() * eps


@right("reparameterize")
def optional_eps(mu, log_var, eps=None):
    if eps is None:
        eps = torch.randn_like(mu)
    return torch.addcmul(mu, torch.exp(log_var / 2), eps)


@right("reparameterize")
def eps_by_keyword(mu, log_var, *, eps=None):
    eps = torch.randn(mu.shape, dtype=mu.dtype) if eps is None else eps
    return mu + torch.exp(log_var / 2) * eps


@right("reparameterize", source="tensorflow CVAE tutorial: eps * exp(logvar * .5) + mean")
def tensorflow_tutorial(mean, logvar):
    eps = np.random.normal(size=mean.shape)  # noqa: NPY002
    return eps * np.exp(logvar * 0.5) + mean


@right("reparameterize", source="public NumPy VAE: np.random.randn(*mu.shape)")
def numpy_legacy(mu, log_var):
    return mu + np.random.randn(*mu.shape) * np.sqrt(np.exp(log_var))  # noqa: NPY002


@right("reparameterize")
def numpy_generator(mu, log_var):
    return np.random.default_rng().normal(mu, np.exp(0.5 * log_var))


@right("reparameterize")
def rsample(mu, log_var):
    return Normal(mu, torch.exp(0.5 * log_var)).rsample()


@right("reparameterize")
def rsample_independent(mu, log_var):
    return Independent(Normal(mu, log_var.mul(0.5).exp()), 1).rsample()


@right("reparameterize")
def rsample_multivariate(mu, log_var):
    return MultivariateNormal(mu, torch.diag_embed(log_var.exp())).rsample()


@right("reparameterize", source="old PyTorch: std.new(...).normal_(), add_")
def old_style(mu, logvar):
    std = logvar.mul(0.5).exp_()
    eps = torch.empty_like(std).normal_()
    return eps.mul(std).add_(mu)


@right("reparameterize", source="a public encoder: mu + sigma * self.N.sample(mu.shape)")
def standard_normal_object(mu, log_var):
    standard = Normal(0, 1)
    return mu + torch.exp(log_var / 2) * standard.sample(mu.shape).to(mu.dtype)


@right("reparameterize")
def minus_own_noise(mu, log_var):
    return mu - torch.exp(0.5 * log_var) * torch.randn_like(mu)


@right("reparameterize")
def noise_detached(mu, log_var):
    eps = torch.randn_like(log_var).detach()
    return torch.add(mu, torch.mul(eps, torch.exp(torch.mul(log_var, 0.5))))


@right("reparameterize")
def row_by_row(mu, log_var, eps):
    return torch.stack([m + e * (v / 2).exp() for m, v, e in zip(mu, log_var, eps, strict=True)])


@right("reparameterize")
def einsum_noise(mu, log_var, eps):
    return mu + np.einsum("bi,bi->bi", np.exp(log_var / 2), eps)


@right("reparameterize")
def float32_noise(mu, log_var):
    std = torch.exp(0.5 * log_var.float())
    return mu.float() + std * torch.randn(std.shape)


right("reparameterize", name="lambda_given")(lambda m, v, e: m + (v / 2).exp() * e)
right("reparameterize", name="list_of_lists")(
    lambda m, v, e: [
        [a + np.exp(b / 2) * c for a, b, c in zip(*r, strict=True)] for r in zip(m, v, e, strict=True)
    ]
)


class Sampler:
    """Keeps its own generator, as a careful library does."""

    def __init__(self, seed=0):
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, mu, log_var):
        eps = torch.randn(mu.shape, generator=self.generator, dtype=mu.dtype)
        return mu + torch.exp(0.5 * log_var) * eps


right("reparameterize", name="object_with_generator")(Sampler())


# The same noise at every call: within one call it is right, over a training it is not.
@wrong("reparameterize", "", "noise-missing", "noise-shared", "noise-not-normal")
def seeded_inside(mu, log_var):
    torch.manual_seed(0)
    return mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)


# --- wrong ---------------------------------------------------------------------------------------


@wrong("reparameterize", "var-for-std", source="rachtsingh/ibp_vae #3, zfjsail/gae-pytorch #8")
def variance_as_std(mu, logvar):
    noise = torch.zeros_like(mu).normal_(0, 1)
    return mu + noise * logvar.exp()


@wrong("reparameterize", "var-for-std", source="ctallec/world-models #13, keras-team/keras #9972")
def variance_as_std_given(mu, log_var, eps):
    return eps * np.exp(log_var) + mu


@wrong("reparameterize", "var-for-std", source="public encoders: Normal(mu, torch.exp(log_var)).rsample()")
def rsample_with_variance(mu, log_var):
    return Normal(mu, torch.exp(log_var)).rsample()


@wrong("reparameterize", "std-missing")
def unit_noise(mu, log_var):
    return mu + torch.randn_like(mu)


@wrong("reparameterize", "std-missing")
def unit_noise_given(mu, log_var, eps):
    return mu + eps


@wrong("reparameterize", "noise-missing", source="levihsu/OOTDiffusion #132: latent_dist.mode()")
def the_mean(mu, log_var):
    return mu


@wrong("reparameterize", "noise-missing")
def the_mean_in_evaluation(mu, log_var, eps, training=False):
    return mu + torch.exp(0.5 * log_var) * eps if training else mu


# A constant for the noise: no noise at all, or noise that is not normal; right if a checker hands eps to it.
@wrong("reparameterize", "noise-missing", "noise-not-normal", "", source="twairball/keras_lstm_vae #1")
def keras_lstm_epsilon_std(z_mean, z_log_var, epsilon_std=1.0):
    return z_mean + np.exp(0.5 * z_log_var) * epsilon_std


@wrong("reparameterize", "noise-shared", source="FluxML/model-zoo: randn(Float32), one number for all")
def one_number_for_all(mu, log_var):
    return mu + torch.exp(0.5 * log_var) * torch.randn(())


@wrong("reparameterize", "noise-shared", source="public Julia VAE: randn(size(logσ, 1))")
def one_row_for_all(mu, log_var):
    return mu + torch.exp(0.5 * log_var) * torch.randn(mu.shape[-1], dtype=mu.dtype)


@wrong("reparameterize", "noise-shared")
def one_column_for_all(mu, log_var):
    return mu + torch.exp(0.5 * log_var) * torch.randn(mu.shape[0], 1, dtype=mu.dtype)


@wrong("reparameterize", "noise-shared")
def one_row_numpy(mu, log_var):
    return mu + np.exp(0.5 * log_var) * np.random.default_rng().standard_normal((1, mu.shape[1]))


@wrong("reparameterize", "noise-shared")
def generator_one_row(mu, log_var, generator):
    return mu + torch.exp(0.5 * log_var) * torch.randn(mu.shape[1], generator=generator, dtype=mu.dtype)


@wrong("reparameterize", "noise-shared")
def generator_one_column(mu, log_var, generator):
    return mu + torch.exp(0.5 * log_var) * torch.randn(len(mu), 1, generator=generator, dtype=mu.dtype)


@wrong("reparameterize", "noise-shared var-for-std")
def generator_one_number(mu, log_var, rng):
    return mu + np.exp(log_var) * rng.standard_normal()


@wrong("reparameterize", "noise-missing")
def generator_unused(mu, log_var, generator):
    return mu + torch.exp(0.5 * log_var)


@wrong("reparameterize", "noise-not-normal", source="public VAEs: torch.rand_like(std)")
def uniform_noise(mu, logvar):
    std = torch.exp(0.5 * logvar)
    return mu + torch.rand_like(std) * std


@wrong("reparameterize", "noise-not-normal")
def centred_uniform_noise(mu, log_var):
    return mu + np.exp(0.5 * log_var) * np.random.default_rng().uniform(-1, 1, mu.shape)


# Uniform with mean 0 and variance 1: only its shape betrays it.
@wrong("reparameterize", "noise-not-normal")
def uniform_of_unit_variance(mu, log_var):
    return mu + torch.exp(0.5 * log_var) * (2 * torch.rand_like(mu) - 1) * 3**0.5


@wrong("reparameterize", "noise-not-normal")
def rademacher_noise(mu, log_var):
    return mu + torch.exp(0.5 * log_var) * (2.0 * torch.randint(0, 2, mu.shape) - 1)


# Normal, but of another width: not standard normal, or the term with another factor.
@wrong(
    "reparameterize",
    "noise-not-normal",
    "term-scale",
    "scale",
    source="keras-team/keras #4211: epsilon_std = 0.01",
)
def keras_narrow_noise(z_mean, z_log_var):
    epsilon = np.random.normal(0.0, 0.01, z_mean.shape)  # noqa: NPY002
    return z_mean + np.exp(z_log_var / 2) * epsilon


@wrong("reparameterize", "noise-not-normal", "term-scale", "scale")
def noise_twice_as_wide(mu, log_var):
    return mu + 2 * torch.exp(0.5 * log_var) * torch.randn_like(mu)


@wrong("reparameterize", "term-scale", "scale", "noise-not-normal")
def given_eps_halved(mu, log_var, eps):
    return mu + 0.5 * torch.exp(0.5 * log_var) * eps


@wrong("reparameterize", "noise-not-normal", "term-wrong", "unknown")
def given_eps_squared(mu, log_var, eps):
    return mu + torch.exp(0.5 * log_var) * eps**2


@wrong("reparameterize", "not-differentiable", source="s-vae-pytorch #9, AntixK/PyTorch-VAE #12: sample()")
def sample_for_rsample(mu, log_var):
    return Normal(mu, torch.exp(0.5 * log_var)).sample()


@wrong("reparameterize", "not-differentiable", source="public comment on torch.normal(mu, std)")
def torch_dot_normal(mu, log_var):
    return torch.normal(mu, torch.exp(0.5 * log_var))


@wrong("reparameterize", "not-differentiable")
def under_no_grad(mu, log_var):
    with torch.no_grad():
        return mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)


@wrong("reparameterize", "not-differentiable")
def std_detached(mu, log_var, eps):
    return mu + torch.exp(0.5 * log_var).detach() * eps


@wrong("reparameterize", "not-differentiable")
def mean_detached(mu, log_var):
    return mu.detach() + torch.exp(0.5 * log_var) * torch.randn_like(mu)


@wrong("reparameterize", "not-differentiable")
def round_trip_through_numpy(mu, log_var):
    m, v = mu.detach().numpy(), log_var.detach().numpy()
    return torch.from_numpy(m + np.exp(0.5 * v) * np.random.default_rng().standard_normal(m.shape))


@wrong("reparameterize", "not-differentiable")
def through_data(mu, log_var, eps):
    return torch.tensor((mu + torch.exp(0.5 * log_var) * eps).tolist(), dtype=mu.dtype)


@wrong("reparameterize", "not-differentiable var-for-std")
def sample_with_variance(mu, log_var):
    return Normal(mu, log_var.exp()).sample()


@wrong("reparameterize", "sign")
def given_eps_subtracted(mu, log_var, eps):
    return mu - torch.exp(0.5 * log_var) * eps


@wrong("reparameterize", "swapped")
def std_plus_mean_times_eps(mu, log_var, eps):
    return torch.exp(0.5 * log_var) + mu * eps


@wrong("reparameterize", "swapped")
def exchanged_own_noise(mu, log_var):
    return torch.exp(0.5 * log_var) + mu * torch.randn_like(mu)


# The bracket multiplies the mean as well.
@wrong("reparameterize", "term-wrong", "unknown", "term-scale", "swapped",
       source="catniplab/latent_dynamics_workshop #1: (eps + mu) * sigma")  # fmt: skip
def bracket_around_mean(mu, log_var, eps):
    return (eps + mu) * torch.exp(0.5 * log_var)


@wrong("reparameterize", "term-wrong", source="UNIT GaussianVAE2D's softplus, with a log-variance")
def softplus_as_std(mu, log_var, eps):
    return mu + F.softplus(log_var) * eps


@wrong("reparameterize", "term-wrong", source="pyni in twairball/keras_lstm_vae #1: log σ itself")
def log_var_as_std(mu, log_var, eps):
    return mu + log_var * eps


@wrong("reparameterize", "term-wrong")
def quarter(mu, log_var, eps):
    return mu + np.exp(0.25 * log_var) * eps


@wrong("reparameterize", "term-wrong", source="public reparam: logvar.mul(0.1).exp()")
def noise_ratio(mu, logvar):
    return mu + torch.randn_like(mu) * logvar.mul(0.1).exp()


@wrong("reparameterize", "term-wrong")
def precision_as_std(mu, log_var):
    return mu + torch.exp(-0.5 * log_var) * torch.randn_like(mu)


@wrong("reparameterize", "term-missing")
def mean_missing(mu, log_var, eps):
    return torch.exp(0.5 * log_var) * eps


@wrong("reparameterize", "term-missing", source="NATSpeech/NATSpeech #34: the encoder's mean is not used")
def mean_missing_own_noise(mu, log_var):
    return torch.exp(0.5 * log_var) * torch.randn_like(mu)


@wrong("reparameterize", "noise-not-normal var-for-std", source="public reparam_: exp(logvar) and rand_like")
def uniform_with_variance(mu, logvar):
    return mu + torch.exp(logvar) * torch.rand_like(logvar)


@wrong("reparameterize", "noise-shared var-for-std")
def shared_with_variance(mu, log_var):
    return mu + torch.exp(log_var) * torch.randn(mu.shape[1], dtype=mu.dtype)


# vae_helpers.models.reparameterize returns this shape itself, for one sample.
@wrong("reparameterize", "shape", "")
def extra_sample_axis(mu, log_var):
    return mu + torch.exp(0.5 * log_var) * torch.randn(1, *mu.shape, dtype=mu.dtype)


@wrong("reparameterize", "shape")
def summed(mu, log_var, eps):
    return (mu + torch.exp(0.5 * log_var) * eps).sum(-1)


@wrong("reparameterize", "shape", "error")
def pair_of_results(mu, log_var):
    eps = torch.randn_like(mu)
    return mu + torch.exp(0.5 * log_var) * eps, eps


# eps is always 1: nothing is random. And exp's result is overwritten, which torch needs for the gradient.
@wrong(
    "reparameterize",
    "noise-missing",
    "noise-not-normal",
    "noise-missing not-differentiable",
    source="Project-MONAI/MONAI #8413: mu + std",
)
def monai_at_inference(mu, log_var):
    std = torch.exp(0.5 * log_var)
    return std.add_(mu)


@wrong("reparameterize", "term-wrong", source="public script: exp(logvar) * noise * exp(logvar)")
def variance_twice(mu, logvar):
    return mu + torch.exp(logvar) * torch.randn_like(logvar) * torch.exp(logvar)


@wrong("reparameterize", "var-for-std", source="alecGraves/BVAE-tf #7, keras-team/keras #3283")
def keras_exp_of_log_var(mean, logvar):
    epsilon = np.random.default_rng().standard_normal(np.shape(mean))
    return mean + np.exp(logvar) * epsilon


@wrong("reparameterize", "noise-not-normal", source="toshikwa/slac.pytorch #6: uniform for normal")
def slac_uniform(mu, log_var):
    return mu + torch.rand(mu.shape, dtype=mu.dtype) * torch.exp(log_var / 2)


@right("reparameterize", source="public VAEs: torch.sqrt(torch.exp(log_var)) * epsilon")
def root_of_exp_own(mean, log_var):
    epsilon = torch.randn(*mean.shape, dtype=mean.dtype)
    return mean + torch.sqrt(torch.exp(log_var)) * epsilon


@wrong("reparameterize", "noise-not-normal", "noise-not-normal term-scale", source="tf.truncated_normal")
def truncated_noise(mu, log_var):
    eps = torch.nn.init.trunc_normal_(torch.empty_like(mu), a=-2, b=2)
    return mu + torch.exp(0.5 * log_var) * eps
