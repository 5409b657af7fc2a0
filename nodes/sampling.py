"""Sampling: KSampler and its advanced forms, and the parts that they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from graphflow.api import Conditioning, Control, Guider, Latent, Model, Noise, Sampler, Seed, Sigmas, Steps, node
from graphflow.diffusion.conds import cut_to_aspect, fit_batch, hooks_of
from graphflow.diffusion.guidance import Cfg, DualCfg, PerpNeg, Rule
from graphflow.diffusion.hooks import Strengths
from graphflow.diffusion.network import ControlNetwork, DiffusionNetwork
from graphflow.diffusion.patches import EditPatch, patched
from graphflow.diffusion.preview import previewer
from graphflow.diffusion.samplers import SamplerName
from graphflow.diffusion.sampling import Sampled, Task, controls_needed, fit_latent, noise_for, sample
from graphflow.diffusion.schedules import SchedulerName, model_sigmas, window
from graphflow.models import check_lora, hooked_model, loaded, loras_for_networks, on_base
from graphflow.models.previews import tiny_decoder

from ._fields import Fraction, span

Count = Annotated[int, span(1, 10000, description="More steps follow the model more closely.")]
Scale = Annotated[
    float, span(0.0, 100.0, 0.1, "How strongly the prompts steer, 1 for the positive one alone, unsteered.")
]
Step = Annotated[int, span(0, 10000)]
Switch = Literal["enable", "disable"]


@node("KSampler", category="sampling", example="text-to-image")
def k_sampler(
    model: Model,
    *,
    seed: Seed = 0,
    steps: Count = 20,
    cfg: Scale = 8.0,
    sampler_name: SamplerName = "euler",
    scheduler: SchedulerName = "simple",
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    denoise: Fraction = 1.0,
) -> Steps[Latent]:
    """Paints: puts noise on a latent and takes it off again, step by step, as the prompts say.

    With a `denoise` below 1 the latent's picture shows through; with 0 it is kept as it is. The same seed gives the same
    picture.
    """
    with loaded(model) as network:
        sigmas = model_sigmas(patched(network.parametrisation, model.patches), scheduler, steps, denoise, sampler_name)
    sampled = yield from _sample(
        model, Cfg(cfg), _pair(positive, negative), Sampler(sampler_name), Sigmas(sigmas), latent_image, seed, seed
    )
    return sampled.latent


@node("KSamplerAdvanced", title="KSampler (Advanced)", category="sampling")
def k_sampler_advanced(
    model: Model,
    *,
    add_noise: Switch = "enable",
    noise_seed: Seed = 0,
    steps: Count = 20,
    cfg: Scale = 8.0,
    sampler_name: SamplerName = "euler",
    scheduler: SchedulerName = "simple",
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    start_at_step: Step = 0,
    end_at_step: Step = 10000,
    return_with_leftover_noise: Literal["disable", "enable"] = "disable",
) -> Steps[Latent]:
    """Does some of the steps: from `start_at_step` up to `end_at_step`.

    So a picture is begun by one model and finished by another: the first returns with leftover noise, the second adds
    none.
    """
    with loaded(model) as network:
        sigmas = model_sigmas(patched(network.parametrisation, model.patches), scheduler, steps, 1.0, sampler_name)
    sigmas = window(sigmas, start_at_step, end_at_step, leftover_noise=return_with_leftover_noise == "enable")
    seed = noise_seed if add_noise == "enable" else None
    sampled = yield from _sample(
        model,
        Cfg(cfg),
        _pair(positive, negative),
        Sampler(sampler_name),
        Sigmas(sigmas),
        latent_image,
        seed,
        noise_seed,
    )
    return sampled.latent


class SampledPair(NamedTuple):
    """A sampling's two results."""

    output: Latent
    denoised_output: Latent


@node("SamplerCustom", category="sampling/custom_sampling")
def sampler_custom(
    model: Model,
    *,
    add_noise: bool = True,
    noise_seed: Seed = 0,
    cfg: Scale = 8.0,
    positive: Conditioning,
    negative: Conditioning,
    sampler: Sampler,
    sigmas: Sigmas,
    latent_image: Latent,
) -> Steps[SampledPair]:
    """Samples along sigmas of your own.

    Where they end above 0, `output` still has noise, and `denoised_output` is the model's last idea of the picture.
    """
    seed = noise_seed if add_noise else None
    sampled = yield from _sample(
        model, Cfg(cfg), _pair(positive, negative), sampler, sigmas, latent_image, seed, noise_seed
    )
    return SampledPair(sampled.latent, sampled.denoised)


@node("SamplerCustomAdvanced", category="sampling/custom_sampling", example="custom-sampling")
def sampler_custom_advanced(
    noise: Noise, guider: Guider, sampler: Sampler, sigmas: Sigmas, latent_image: Latent
) -> Steps[SampledPair]:
    """Samples with noise, guidance, sampler and sigmas each from a node of its own."""
    sampled = yield from _sample(
        guider.model,
        _rule(guider),
        dict(guider.conditionings),
        sampler,
        sigmas,
        latent_image,
        noise.seed,
        noise.seed or 0,
    )
    return SampledPair(sampled.latent, sampled.denoised)


def _pair(positive: Conditioning, negative: Conditioning) -> dict[str, Conditioning]:
    return {"positive": positive, "negative": negative}


def _rule(guider: Guider) -> Rule:
    options = dict(guider.options)
    match guider.kind:
        case "dual_cfg":
            style: Literal["regular", "nested"] = "nested" if options["style"] == "nested" else "regular"
            return DualCfg(float(options["scale"]), float(options["scale_middle"]), style)
        case "perp_neg":
            return PerpNeg(float(options["scale"]), float(options["neg_scale"]))
        case _:
            return Cfg(float(options.get("scale", 1.0)))


def _sample(
    model: Model,
    rule: Rule,
    conditionings: Mapping[str, Conditioning],
    sampler: Sampler,
    sigmas: Sigmas,
    latent: Latent,
    noise_seed: int | None,
    seed: int,
) -> Steps[Sampled]:
    """Loads what a sampling needs and runs it; noise of `noise_seed` at its start, of `seed` on its way."""
    with loaded(model) as network:
        latent = fit_latent(latent, network.latent_format)
        if len(sigmas.data) == 0:
            return Sampled(latent, latent)
        for lora in loras_for_networks(hooks_of(conditionings)):
            check_lora(lora, model)
        controls = controls_needed(conditionings)
        nets = {id(control): _control_network(control, model) for control in controls}
        task = Task(
            network=network,
            model=_ready(model, network, latent),
            rule=rule,
            conditionings=conditionings,
            sampler=sampler,
            sigmas=sigmas.data,
            latent=latent,
            noise=noise_for(latent, noise_seed),
            seed=seed,
            controls=nets,
            hints={
                id(c): hint for c in controls if (hint := _latent_hint(c, nets[id(c)], latent, network)) is not None
            },
            picture=previewer(network.latent_format, tiny_decoder(network.latent_format)),
            hooked=lambda strengths: _hooked(model, strengths, network),
        )
        sampled: Sampled = yield from sample(task)
        return sampled


def _ready(model: Model, network: DiffusionNetwork, latent: Latent) -> Model:
    """The model, its patches with all that they need for this sampling."""
    size = (latent.data.shape[-2], latent.data.shape[-1])
    patches = (p.ready(network, size) if isinstance(p, EditPatch) else p for p in model.patches)
    return replace(model, patches=tuple(patches))


def _hooked(model: Model, strengths: Strengths, base: DiffusionNetwork) -> DiffusionNetwork:
    with loaded(hooked_model(model, strengths)) as network:
        if network.concat != base.concat:
            raise ValueError(
                "a LoRA that lets the model see a picture beside the latent cannot come and go on the way: load it with "
                "LoraLoaderModelOnly"
            )
        return network


def _control_network(control: Control, model: Model) -> ControlNetwork:
    with loaded(on_base(control.net, model)) as net:
        return net


def _latent_hint(control: Control, net: ControlNetwork, latent: Latent, network: DiffusionNetwork) -> Tensor | None:
    """The hint as a latent, for nets that look at latents."""
    if net.latent_format is None:
        return None
    if control.vae is None:
        raise ValueError("this ControlNet looks at latents: wire a VAE to the node that applies it")
    scale = network.latent_format.downscale
    size = (latent.data.shape[-2] * scale, latent.data.shape[-1] * scale)
    pixels = interpolate(cut_to_aspect(control.hint.movedim(-1, 1), size), size=size, mode="nearest-exact")
    pixels = net.picture(pixels)
    with loaded(control.vae) as autoencoder:
        hint = net.latent_format.process_in(autoencoder.encode(pixels.movedim(1, -1)))
    return torch.cat([hint, _kept(control, hint)], dim=1) if net.takes_mask else hint


def _kept(control: Control, hint: Tensor) -> Tensor:
    """(B, 1, [F,] h, w): 1 where the picture stays."""
    if control.mask is None:
        raise ValueError("this ControlNet inpaints: apply it with ControlNetInpaintingAliMamaApply, and a mask")
    size = (hint.shape[-2], hint.shape[-1])
    kept = interpolate(cut_to_aspect(control.mask[:, None], size), size=size, mode="nearest")
    kept = fit_batch(kept, len(hint))
    return kept[:, :, None] if hint.ndim == 5 else kept
