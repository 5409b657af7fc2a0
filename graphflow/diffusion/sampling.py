"""One sampling from latent to latent: what stands between a sampler's generator and the nodes.

Puts noise on, runs the sampler along the sigmas under guidance, takes the result back to the autoencoder's space, and
says plainly when numbers stop being numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from graphflow.diffusion.conds import Canvas, controls_of, fit_batch, resolve
from graphflow.diffusion.guidance import Guided, Inpaint, Rule
from graphflow.diffusion.hooks import Strengths
from graphflow.diffusion.latents import LatentFormat
from graphflow.diffusion.network import ControlNetwork, DiffusionNetwork
from graphflow.diffusion.noise import NoiseSource, initial_noise
from graphflow.diffusion.patches import AskingInsteadOfMix, only, patched
from graphflow.diffusion.samplers import FRESH_MASK_NOISE, RESIZING, sampler_function
from graphflow.diffusion.sampling_patches import noise_version
from graphflow.diffusion.watch import check_sigmas, watched
from graphflow.node import Denoise, Progress
from graphflow.values import Conditioning, Control, Latent, Model, Sampler


@dataclass(frozen=True, eq=False)
class Sampled:
    """What a sampling gives, in the autoencoder's space, on the CPU."""

    latent: Latent
    denoised: Latent
    """The last prediction of the picture; the latent that comes out when no step ran."""


@dataclass(frozen=True, eq=False)
class Task:
    """Everything that a sampling needs, with weights."""

    network: DiffusionNetwork
    model: Model
    rule: Rule
    conditionings: Mapping[str, Conditioning | None]
    """By role: `positive`, `negative`, ..."""
    sampler: Sampler
    sigmas: Tensor
    latent: Latent
    noise: Tensor
    """Shaped like the latent, from `noise_for`."""
    seed: int = 0
    """Of the noise that the sampler adds on its way."""
    controls: Mapping[int, ControlNetwork] = field(default_factory=dict)
    """Loaded ControlNets by the id of their `Control`."""
    hints: Mapping[int, Tensor] = field(default_factory=dict)
    picture: Callable[[Tensor], bytes] = lambda _: b""
    hooked: Callable[[Strengths], DiffusionNetwork] | None = None
    """The network with hooks on its weights."""


def fit_latent(latent: Latent, form: LatentFormat) -> Latent:
    """An empty latent with the model's channels and dimensions; others as they are.

    Raises `ValueError` when a latent that holds a picture is of another family.
    """
    data = latent.data.float()
    if not data.isfinite().all():
        raise ValueError("the latent holds NaN or infinity; look at the node that made it")
    if data.shape[1] != form.channels:
        if bool(data.any()):
            raise ValueError(
                f"the latent has {data.shape[1]} channels, the model {form.channels}: it was made by the autoencoder of "
                "another family; decode it with that one and encode it with the model's"
            )
        data = _empty(data, form)
    if form.dims == 3 and data.ndim == 4:
        data = data[:, :, None]
    return latent.with_data(data)


def _empty(data: Tensor, form: LatentFormat) -> Tensor:
    """Zeros for a model of other channels; made for 8 pixels to the latent's one, brought to the model's."""
    count, _, *size = data.shape
    size = [max(1, side * 8 // form.downscale) for side in size[-2:]] if form.downscale != 8 else size
    return data.new_zeros((count, form.channels, *size))


def noise_for(latent: Latent, seed: int | None) -> Tensor:
    """Initial noise shaped like a latent that `fit_latent` has seen; zeros without a seed."""
    return initial_noise(latent.data.shape, seed, latent.batch_index)


def sample(task: Task) -> Generator[Denoise | Progress, Any, Sampled]:
    """Samples. Without sigmas the latent comes back as it is; a single one is no step, but its noise is put on."""
    if len(task.sigmas) == 0:
        return Sampled(task.latent, task.latent)
    form, device = task.network.latent_format, task.network.device
    start = task.latent.data.to(device, torch.float32)
    start = form.process_in(start) if bool(start.any()) else start
    noise = task.noise.to(start)
    sigmas = task.sigmas.cpu().float()  # asked for their values each step; a GPU's scalars would wait for it each time
    guided = _guided(task, start, noise, sigmas)
    check_sigmas(sigmas, guided.parametrisation.flow)
    x = guided.parametrisation.start(sigmas[0], noise, start)
    walk = sampler_function(task.sampler.name)(
        guided, x, sigmas, NoiseSource(x, task.seed, noise_version(task.model.patches)), **dict(task.sampler.options)
    )
    x, last = yield from watched(walk, task.sampler.name, sigmas)
    latent = task.latent.with_data(form.process_out(guided.parametrisation.undo(sigmas[-1], x)).cpu())
    return Sampled(latent, latent if last is None else task.latent.with_data(form.process_out(last).cpu()))


def _guided(task: Task, start: Tensor, noise: Tensor, sigmas: Tensor) -> Guided:
    mask = None if task.latent.noise_mask is None else _noise_mask(task.latent.noise_mask, start)
    canvas = Canvas(
        task.network,
        patched(task.network.parametrisation, task.model.patches),
        start,
        mask,
        task.controls,
        task.hints,
        task.hooked,
    )
    asked = {
        role: c for patch in only(task.model.patches, AskingInsteadOfMix) for role, c in patch.conditionings().items()
    }
    if mask is not None and task.sampler.name in RESIZING:
        raise ValueError(
            "a sampler that enlarges the latent on its way cannot keep a part of it: take the noise mask off"
        )
    if mask is not None and task.sampler.name in FRESH_MASK_NOISE:
        noise = initial_noise(noise.shape, (task.seed + 1) % 2**64).to(noise)
    return Guided(
        canvas=canvas,
        regions={**resolve(task.conditionings, canvas), **resolve(asked, canvas)},
        rule=task.rule,
        patches=task.model.patches,
        inpaint=None if mask is None else Inpaint(mask, start, noise, clean=task.network.concat == "known"),
        sigmas=sigmas,
        picture=task.picture,
    )


def _noise_mask(mask: Tensor, latent: Tensor) -> Tensor:
    """(B or 1, 1, H, W) of any size, or (B or 1, 1, F, H, W), to the latent's shape; soft values stay soft."""
    if mask.ndim == 5 and latent.ndim == 5:
        frames = interpolate(mask.flatten(1, 2).to(latent), size=latent.shape[-2:], mode="bilinear")
        return fit_batch(frames[:, None], len(latent)).expand(latent.shape)
    mask = mask.reshape(-1, 1, *mask.shape[-2:]).to(latent)
    mask = interpolate(mask, size=latent.shape[-2:], mode="bilinear")
    mask = fit_batch(mask, len(latent))
    mask = mask[:, :, None] if latent.ndim == 5 else mask
    return mask.expand(latent.shape)


def controls_needed(conditionings: Mapping[str, Conditioning | None]) -> list[Control]:
    """The controls whose ControlNets a sampling has to load."""
    return controls_of(conditionings)
