"""Kinds of guidance that people put on a model: each one small frozen patch with one function, and its paper."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, interpolate, normalize, pad

from graphflow.diffusion.edits import AttentionMaps, CaptureAttention, IdentitySelfAttention, SkipBlocks
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.diffusion.patches import (
    AfterMix,
    Again,
    Asking,
    AskingAfterMix,
    BeforeMix,
    InsteadOfMix,
    MaskPatch,
    Mix,
    ScalePatch,
)


def _over_sample(tensor: Tensor) -> tuple[int, ...]:
    """The dimensions of one sample."""
    return tuple(range(1, tensor.ndim))


def _per_sample(values: Tensor, like: Tensor) -> Tensor:
    """(B,) to (B, 1, ...)."""
    return values.reshape(-1, *([1] * (like.ndim - 1)))


def between(sigma: float, start: float, end: float, parametrisation: Parametrisation) -> bool:
    """Whether sigma lies between two shares of the sampling."""
    first = parametrisation.percent_to_sigma(start) if start > 0 else math.inf
    last = parametrisation.percent_to_sigma(end) if end < 1 else -math.inf
    return last <= sigma <= first


# --- the scale -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GuidanceInterval(ScalePatch):
    """Guidance in a part of the sampling alone (https://arxiv.org/abs/2404.07724): elsewhere the scale is 1."""

    start: float = 0.0
    end: float = 1.0

    def scale(self, sigma: float, scale: float, parametrisation: Parametrisation) -> float:
        """The scale inside, 1 outside."""
        return scale if between(sigma, self.start, self.end, parametrisation) else 1.0


@dataclass(frozen=True)
class FrameScale(InsteadOfMix):
    """A scale for each sample of a batch of frames: rising from the first to the last, or to the middle and back."""

    least: float = 1.0
    triangle: bool = False

    def mixed(self, mix: Mix) -> Tensor:
        """Plain guidance, frame by frame."""
        assert mix.uncond is not None
        count = len(mix.cond)
        ramp = torch.linspace(0, 1, count, device=mix.cond.device)
        ramp = 1 - (2 * ramp - 1).abs() if self.triangle else ramp
        scale = _per_sample(self.least + (mix.scale - self.least) * ramp, mix.cond)
        return mix.uncond + scale * (mix.cond - mix.uncond)


# --- in place of the mix ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RescaleCfg(InsteadOfMix):
    """The guided prediction brought back to the conditional one's spread (https://arxiv.org/abs/2305.08891, section 3.4).

    It is done on v, whatever the network predicts; `multiplier` mixes with plain guidance.
    """

    multiplier: float = 0.7

    def mixed(self, mix: Mix) -> Tensor:
        """(rescaled * multiplier + plain * (1 - multiplier)), back to a denoised prediction."""
        assert mix.uncond is not None
        sigma = mix.sigma
        root = (sigma**2 + 1.0) ** 0.5
        scaled = mix.x / (sigma * sigma + 1.0)
        cond = (scaled - mix.cond) * root / sigma
        uncond = (scaled - mix.uncond) * root / sigma
        plain = uncond + mix.scale * (cond - uncond)
        dims = _over_sample(cond)
        rescaled = plain * (cond.std(dim=dims, keepdim=True) / plain.std(dim=dims, keepdim=True))
        v = self.multiplier * rescaled + (1.0 - self.multiplier) * plain
        return scaled - v * sigma / root


@dataclass(frozen=True)
class RenormCfg(InsteadOfMix):
    """Guidance whose prediction is no longer than the conditional one, in a part of the noise levels (Lumina 2)."""

    cfg_trunc: float = 100.0
    """At this sigma and above the positive conditioning is followed as it is."""
    renorm_cfg: float = 1.0
    """Largest ratio of the guided prediction's length to the conditional one's; 0 for any."""

    def mixed(self, mix: Mix) -> Tensor:
        """Plain guidance, shortened where it is too long."""
        if float(mix.sigma) >= self.cfg_trunc or mix.uncond is None:
            return mix.cond
        plain = mix.uncond + mix.scale * (mix.cond - mix.uncond)
        if self.renorm_cfg <= 0.0:
            return plain
        dims = _over_sample(plain)
        most = torch.linalg.vector_norm(mix.cond, dim=dims, keepdim=True) * self.renorm_cfg
        length = torch.linalg.vector_norm(plain, dim=dims, keepdim=True)
        return torch.where(length >= most, plain * (most / length), plain)


# --- before the mix --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ProjectedGuidance(BeforeMix):
    """APG (https://arxiv.org/abs/2410.02416): the part of guidance along the prediction is scaled by `eta`.

    The guidance's length is held to `norm_threshold` (0: not at all), and it is averaged over steps by `momentum`.
    """

    eta: float = 1.0
    norm_threshold: float = 5.0
    momentum: float = 0.0

    def before(self, mix: Mix) -> tuple[Tensor, Tensor]:
        """cond replaced so that mixing adds the projected guidance."""
        assert mix.uncond is not None
        dims = _over_sample(mix.cond)
        guidance = self._averaged(mix, mix.cond - mix.uncond)
        if self.norm_threshold > 0:
            length = torch.linalg.vector_norm(guidance, dim=dims, keepdim=True)
            guidance = guidance * torch.clamp(self.norm_threshold / length, max=1.0)
        direction = normalize(mix.cond.flatten(1), dim=1).reshape(mix.cond.shape)
        along = (guidance * direction).sum(dim=dims, keepdim=True) * direction
        projected = guidance - along + self.eta * along
        return mix.uncond + projected + (mix.cond - mix.uncond) / mix.scale, mix.uncond

    def _averaged(self, mix: Mix, guidance: Tensor) -> Tensor:
        if self.momentum == 0:
            return guidance
        sigma = float(mix.sigma)
        last_sigma, average = mix.memory.get(self, (sigma, None))
        if average is not None and sigma <= last_sigma and average.shape == guidance.shape:
            guidance = guidance + self.momentum * average
        mix.memory[self] = (sigma, guidance)
        return guidance


@dataclass(frozen=True)
class TangentialDamping(BeforeMix):
    """TCFG (https://arxiv.org/abs/2503.18137): the unguided score keeps its part along the two scores' main direction."""

    def before(self, mix: Mix) -> tuple[Tensor, Tensor]:
        """uncond damped."""
        assert mix.uncond is not None
        cond, uncond = ((mix.x - d).float().flatten(1)[:, None] for d in (mix.cond, mix.uncond))
        _, _, directions = torch.linalg.svd(torch.cat([cond, uncond], dim=1), full_matrices=False)
        main = directions[:, 0:1]
        damped = (uncond @ main.transpose(1, 2)) * main
        return mix.cond, mix.x - damped.reshape(mix.x.shape).to(mix.x.dtype)


@dataclass(frozen=True)
class FrequencyScale(BeforeMix):
    """FreSca (https://arxiv.org/abs/2504.02154): guidance scaled apart for low and for high frequencies."""

    scale_low: float = 1.0
    scale_high: float = 1.25
    freq_cutoff: int = 20

    def before(self, mix: Mix) -> tuple[Tensor, Tensor]:
        """cond replaced."""
        assert mix.uncond is not None
        guidance = mix.cond - mix.uncond
        spectrum = torch.fft.fftshift(torch.fft.fft2(guidance.float()), dim=(-2, -1))
        weight = torch.full_like(spectrum.real, self.scale_high)
        height, width = guidance.shape[-2:]
        rows = slice(max(0, height // 2 - self.freq_cutoff), height // 2 + self.freq_cutoff)
        columns = slice(max(0, width // 2 - self.freq_cutoff), width // 2 + self.freq_cutoff)
        weight[..., rows, columns] = self.scale_low
        scaled = torch.fft.ifft2(torch.fft.ifftshift(spectrum * weight, dim=(-2, -1))).real
        return mix.uncond + scaled.to(guidance.dtype), mix.uncond


# --- after the mix ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CfgZeroStar(AfterMix):
    """CFG-Zero* (https://arxiv.org/abs/2503.18886): the unguided velocity scaled to fit the conditional one best."""

    def after(self, mix: Mix) -> Tensor:
        """The guided prediction with the scaled unguided one."""
        if mix.uncond is None:
            return mix.guided
        cond, uncond = (mix.x - mix.cond).flatten(1), (mix.x - mix.uncond).flatten(1)
        alpha = (cond * uncond).sum(1) / ((uncond**2).sum(1) + 1e-8)
        alpha = _per_sample(alpha, mix.cond)
        return mix.guided + mix.uncond * (alpha - 1.0) + mix.scale * mix.uncond * (1.0 - alpha)


@dataclass(frozen=True)
class CfgNorm(AfterMix):
    """The guided prediction no longer, over its channels, than the conditional one."""

    strength: float = 1.0

    def after(self, mix: Mix) -> Tensor:
        """guided * min(1, |cond| / |guided|) * strength, pixel by pixel."""
        most = torch.linalg.vector_norm(mix.cond, dim=1, keepdim=True)
        length = torch.linalg.vector_norm(mix.guided, dim=1, keepdim=True)
        return mix.guided * (most / (length + 1e-8)).clamp(0.0, 1.0) * self.strength


@dataclass(frozen=True)
class Mahiro(AfterMix):
    """Leans towards the conditional prediction, scaled, the less it resembles the guided one."""

    def after(self, mix: Mix) -> Tensor:
        """A mean of both by the similarity of their signed roots."""
        if mix.uncond is None:
            return mix.guided
        leap, base = mix.cond * mix.scale, mix.uncond * mix.scale
        merged = (leap + mix.guided) / 2
        one, other = (t.abs().sqrt() * t.sign() for t in (base, merged))
        weight = 2 * (cosine_similarity(one, other).mean() + 1)
        return (weight * mix.guided + (4 - weight) * leap) / 4


@dataclass(frozen=True)
class EpsilonScaling(AfterMix):
    """The predicted noise divided by a factor a little above 1, against exposure bias (https://arxiv.org/abs/2308.15321)."""

    factor: float = 1.005

    def after(self, mix: Mix) -> Tensor:
        """x - (x - guided) / factor."""
        return mix.x - (mix.x - mix.guided) / self.factor


# --- after the mix, asking again -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PerturbedAttention(AskingAfterMix):
    """PAG (https://arxiv.org/abs/2403.17377): away from the prediction whose middle self-attention is the identity."""

    scale: float = 3.0

    def asking(self, mix: Mix, again: Again) -> Asking:
        """guided + scale * (cond - perturbed)."""
        if self.scale == 0:
            return mix.guided
        perturbed = yield from again("positive", edits=(IdentitySelfAttention(),))
        return mix.guided + (mix.cond - perturbed) * self.scale


@dataclass(frozen=True)
class SkipLayers(AskingAfterMix):
    """Away from the prediction of a network without some of its blocks, in a part of the sampling.

    `rescale` brings the result's spread back to the conditional prediction's.
    """

    double: tuple[int, ...] = (7, 8, 9)
    single: tuple[int, ...] = ()
    scale: float = 3.0
    start: float = 0.01
    end: float = 0.15
    rescale: float = 0.0

    def asking(self, mix: Mix, again: Again) -> Asking:
        """guided + scale * (cond - skipped)."""
        if self.scale <= 0 or not between(float(mix.sigma), self.start, self.end, mix.parametrisation):
            return mix.guided
        skipped = yield from again("positive", edits=(SkipBlocks(self.double, self.single),))
        guided = mix.guided + (mix.cond - skipped) * self.scale
        if self.rescale != 0:
            factor = mix.cond.std() / guided.std()
            guided = guided * (self.rescale * factor + (1 - self.rescale))
        return guided


@dataclass(frozen=True)
class SkipLayersUncond(AskingAfterMix):
    """The unguided prediction is made by a network without some of its blocks, in a part of the sampling."""

    double: tuple[int, ...] = (7, 8, 9)
    single: tuple[int, ...] = ()
    start: float = 0.0
    end: float = 1.0

    def asking(self, mix: Mix, again: Again) -> Asking:
        """Guided against the skipped unguided prediction."""
        if mix.uncond is None or not between(float(mix.sigma), self.start, self.end, mix.parametrisation):
            return mix.guided
        skipped = yield from again("negative", edits=(SkipBlocks(self.double, self.single),))
        return skipped + (mix.cond - skipped) * mix.scale


@dataclass(frozen=True)
class SelfAttention(AskingAfterMix):
    """SAG (https://arxiv.org/abs/2210.00939): away from a prediction whose most attended places are blurred."""

    scale_: float = 0.5
    blur_sigma: float = 2.0

    needs_uncond: bool = dataclasses.field(default=True, init=False)

    def asking(self, mix: Mix, again: Again) -> Asking:
        """guided + scale * (degraded - prediction of the degraded)."""
        if mix.uncond is None or min(mix.x.shape[-2:]) <= 4 or self.scale_ == 0:
            return mix.guided
        maps = AttentionMaps()
        yield from again("negative", edits=(CaptureAttention(maps),))
        degraded = _blurred_where(mix.uncond, maps.mean_over_heads(), self.blur_sigma)
        seen = yield from again("negative", x=degraded + mix.x - mix.uncond)
        return mix.guided + (degraded - seen) * self.scale_


def _blurred_where(picture: Tensor, attention: Tensor, sigma: float, threshold: float = 1.0) -> Tensor:
    """Blurred where the attention (B, hw, hw) paid to a place sums to more than the threshold."""
    mask = attention.sum(1) > threshold
    rows = _rows_of(mask.shape[-1], picture.shape[-2] / picture.shape[-1])
    mask = mask.reshape(len(mask), 1, rows, -1).to(picture)
    mask = interpolate(mask, size=picture.shape[-2:])
    return gaussian_blur(picture, sigma) * mask + picture * (1 - mask)


def _rows_of(tokens: int, aspect: float) -> int:
    """The divisor of `tokens` nearest to the number of rows that the aspect asks for."""
    wanted = math.sqrt(aspect * tokens)
    return min((d for d in range(1, tokens + 1) if tokens % d == 0), key=lambda d: abs(d - wanted))


def gaussian_blur(picture: Tensor, sigma: float, size: int = 9) -> Tensor:
    """(B, C, h, w) blurred by a Gaussian of `size` taps, the borders mirrored."""
    if sigma <= 0:
        return picture
    half = min((size - 1) // 2, picture.shape[-2] - 1, picture.shape[-1] - 1)
    taps = torch.exp(-0.5 * (torch.arange(-half, half + 1, dtype=torch.float32) / sigma) ** 2)
    taps = (taps / taps.sum()).to(picture)
    channels = picture.shape[1]
    padded = pad(picture, (half, half, half, half), mode="reflect")
    across = torch.conv2d(padded, taps.expand(channels, 1, 1, -1), groups=channels)
    return torch.conv2d(across, taps[:, None].expand(channels, 1, -1, 1), groups=channels)


# --- the inpainting mask ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DifferentialDiffusion(MaskPatch):
    """Each place is painted from the step on that its grey asks for (https://arxiv.org/abs/2306.00950)."""

    strength: float = 1.0

    def mask(self, mask: Tensor, sigma: Tensor, sigmas: Tensor, parametrisation: Parametrisation) -> Tensor:
        """1 where the mask is at least the share of timesteps that are still to go."""
        last = sigmas[-1] if float(sigmas[-1]) > float(parametrisation.sigma_min) else parametrisation.sigma_min
        start, end, here = (float(parametrisation.timestep(s)) for s in (sigmas[0], last.to(sigmas), sigma))
        threshold = (here - end) / (start - end) if start != end else 0.0
        binary = (mask >= threshold).to(mask.dtype)
        return binary if self.strength >= 1 else self.strength * binary + (1 - self.strength) * mask
