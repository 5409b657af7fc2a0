"""Where noise comes from, and how prompts steer: the parts of a custom sampling."""

from __future__ import annotations

from typing import Annotated, Literal

import torch

from graphflow.api import Conditioning, Guider, Latent, Model, Noise, Seed, Sigmas, node
from graphflow.diffusion.guidance import PerpNegPatch
from graphflow.diffusion.patches import patched
from graphflow.diffusion.sampling import fit_latent, noise_for
from graphflow.models import loaded

from ._fields import span

Scale = Annotated[float, span(0.0, 100.0, 0.1)]


@node("RandomNoise", category="sampling/custom_sampling/noise", example="custom-sampling")
def random_noise(noise_seed: Seed = 0) -> Noise:
    """Noise from a seed."""
    return Noise(noise_seed)


@node("DisableNoise", category="sampling/custom_sampling/noise")
def disable_noise() -> Noise:
    """No noise: for a latent that has some left."""
    return Noise(None)


@node("AddNoise", category="_for_testing/custom_sampling/noise")
def add_noise(model: Model, noise: Noise, sigmas: Sigmas, latent_image: Latent) -> Latent:
    """Puts noise on a latent, as much as lies between the first and the last sigma."""
    if len(sigmas.data) == 0:
        return latent_image
    with loaded(model) as network:
        latent = fit_latent(latent_image, network.latent_format)
        parametrisation = patched(network.parametrisation, model.patches)
        scale = (sigmas.data[0] - sigmas.data[-1]).abs() if len(sigmas.data) > 1 else sigmas.data[0]
        start = network.latent_format.process_in(latent.data) if bool(latent.data.any()) else latent.data
        noisy = parametrisation.add_noise(scale, noise_for(latent, noise.seed), start)
        return latent.with_data(torch.nan_to_num(network.latent_format.process_out(noisy), 0.0, 0.0, 0.0))


@node("BasicGuider", category="sampling/custom_sampling/guiders")
def basic_guider(model: Model, conditioning: Conditioning) -> Guider:
    """One prompt, followed as it is: for models that are guided already."""
    return Guider("basic", model, (("positive", conditioning),))


@node("CFGGuider", category="sampling/custom_sampling/guiders", example="custom-sampling")
def cfg_guider(model: Model, positive: Conditioning, negative: Conditioning, cfg: Scale = 8.0) -> Guider:
    """Classifier-free guidance: towards the positive, away from the negative prompt."""
    return Guider("cfg", model, (("positive", positive), ("negative", negative)), (("scale", cfg),))


@node("DualCFGGuider", category="sampling/custom_sampling/guiders")
def dual_cfg_guider(
    model: Model,
    cond1: Conditioning,
    cond2: Conditioning,
    negative: Conditioning,
    cfg_conds: Scale = 8.0,
    cfg_cond2_negative: Scale = 8.0,
    style: Literal["regular", "nested"] = "regular",
) -> Guider:
    """Two scales: of the first prompt against the second, and of the second against the negative one."""
    roles = (("positive", cond1), ("middle", cond2), ("negative", negative))
    options = (("scale", cfg_conds), ("scale_middle", cfg_cond2_negative), ("style", style))
    return Guider("dual_cfg", model, roles, options)


@node("PerpNegGuider", category="_for_testing", experimental=True)
def perp_neg_guider(
    model: Model,
    positive: Conditioning,
    negative: Conditioning,
    empty_conditioning: Conditioning,
    cfg: Scale = 8.0,
    neg_scale: Annotated[float, span(0.0, 100.0, 0.01)] = 1.0,
) -> Guider:
    """Away from only that part of the negative prompt which does not lie along the positive one."""
    roles = (("positive", positive), ("negative", negative), ("empty", empty_conditioning))
    return Guider("perp_neg", model, roles, (("scale", cfg), ("neg_scale", neg_scale)))


@node(
    "PerpNeg",
    title="Perp-Neg (DEPRECATED by PerpNegGuider)",
    category="_for_testing",
    experimental=True,
    deprecated=True,
)
def perp_neg(
    model: Model, empty_conditioning: Conditioning, neg_scale: Annotated[float, span(0.0, 100.0, 0.01)] = 1.0
) -> Model:
    """As PerpNegGuider, put on a model: any sampler then steers it so, with its own prompts and scale."""
    return model.patched(PerpNegPatch(empty_conditioning, neg_scale))
