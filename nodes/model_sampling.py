"""What a model's output means and which noise levels it knows, said anew."""

from __future__ import annotations

from typing import Annotated, Literal

from graphflow.api import Latent, Model, node
from graphflow.diffusion.noise import NoiseCompat
from graphflow.diffusion.sampling_patches import (
    ContinuousMeaning,
    ContinuousSampling,
    DiscreteSampling,
    FlowSampling,
    Meaning,
    MovedFlowSampling,
    NoiseVersion,
)

from ._fields import MAX_SIDE, span

Shift = Annotated[float, span(0.0, 100.0, 0.01, "How far time is moved towards noise; larger pictures want more.")]
Sigma = Annotated[float, span(0.0, 1000.0, 0.001)]
PictureSide = Annotated[int, span(16, MAX_SIDE, 8, "In pixels.")]
CATEGORY = "advanced/model"


@node("ModelSamplingDiscrete", category=CATEGORY)
def model_sampling_discrete(model: Model, sampling: Meaning = "eps", zsnr: bool = False) -> Model:
    """For models whose file does not say what they predict: noise, v, the picture; `lcm` for consistency models.

    `zsnr` is for models that were trained from pure noise on.
    """
    return model.patched(DiscreteSampling(sampling, zsnr))


@node("ModelSamplingContinuousEDM", category=CATEGORY)
def model_sampling_continuous_edm(
    model: Model, sampling: ContinuousMeaning = "v_prediction", sigma_max: Sigma = 120.0, sigma_min: Sigma = 0.002
) -> Model:
    """Noise levels between two of your choice, for models trained in EDM's way."""
    return model.patched(ContinuousSampling(sampling, sigma_max, sigma_min))


@node("ModelSamplingContinuousV", category=CATEGORY)
def model_sampling_continuous_v(
    model: Model,
    sampling: Literal["v_prediction"] = "v_prediction",
    sigma_max: Sigma = 500.0,
    sigma_min: Sigma = 0.03,
) -> Model:
    """Noise levels between two of your choice, for models that predict v and are told an angle."""
    return model.patched(ContinuousSampling(sampling, sigma_max, sigma_min, angular=True))


@node("ModelSamplingSD3", category=CATEGORY)
def model_sampling_sd3(model: Model, shift: Shift = 3.0) -> Model:
    """A flow model's shift, with the timestep from 0 to 1000: Stable Diffusion 3, Wan, HiDream."""
    return model.patched(FlowSampling(shift, 1000.0))


@node("ModelSamplingAuraFlow", category=CATEGORY)
def model_sampling_aura_flow(model: Model, shift: Shift = 1.73) -> Model:
    """A flow model's shift, with the timestep from 0 to 1: AuraFlow, Qwen-Image, Lumina 2, Z-Image."""
    return model.patched(FlowSampling(shift, 1.0))


@node("ModelSamplingFlux", category=CATEGORY)
def model_sampling_flux(
    model: Model,
    max_shift: Shift = 1.15,
    base_shift: Shift = 0.5,
    width: PictureSide = 1024,
    height: PictureSide = 1024,
) -> Model:
    """Flux's shift for a picture of that size: `base_shift` at 256 by 256 pixels, `max_shift` at 1024 by 1024."""
    tokens = width * height / (8 * 8 * 2 * 2)
    slope = (max_shift - base_shift) / (4096 - 256)
    return model.patched(MovedFlowSampling(tokens * slope + base_shift - slope * 256))


@node("ModelSamplingLTXV", category=CATEGORY)
def model_sampling_ltxv(
    model: Model, max_shift: Shift = 2.05, base_shift: Shift = 0.95, latent: Latent | None = None
) -> Model:
    """LTX-Video's shift for a latent of that size; of 4096 tokens without one."""
    tokens = 4096 if latent is None else latent.data.shape[2:].numel()
    slope = (max_shift - base_shift) / (4096 - 1024)
    return model.patched(MovedFlowSampling(tokens * slope + base_shift - slope * 1024))


@node("NoiseCompatibility", title="Noise Compatibility", category="advanced/model")
def noise_compatibility(model: Model, version: NoiseCompat = "0.3.64") -> Model:
    """Which version of ComfyUI the noise of ancestral samplers agrees with on a CPU: up to 0.3.64, or later ones.

    On a GPU there is no difference.
    """
    return model.patched(NoiseVersion(version))
