"""Kinds of guidance, and changes of a model's forward pass, put on a model's recipe; they compose."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from graphflow.api import Clip, Model, node
from graphflow.diffusion.guidance_patches import (
    CfgNorm,
    CfgZeroStar,
    DifferentialDiffusion,
    EpsilonScaling,
    FrameScale,
    FrequencyScale,
    GuidanceInterval,
    Mahiro,
    PerturbedAttention,
    ProjectedGuidance,
    RenormCfg,
    RescaleCfg,
    SelfAttention,
    SkipLayers,
    SkipLayersUncond,
    TangentialDamping,
)
from graphflow.diffusion.resizing import LatentMethod
from graphflow.diffusion.sampling_patches import AttentionScalePatch, FreeUPatch, HyperTilePatch, MergeTokensPatch
from graphflow.diffusion.shrink import ShrinkPatch
from graphflow.models import Scale

from ._fields import Fraction, span
from .conditioning import Percent

Factor = Annotated[float, span(0.0, 10.0, 0.01)]
Layers = Annotated[str, span(None, None, description="Numbers of blocks, with commas.")]
ShrinkMethod = Literal["bicubic", "nearest-exact", "bilinear", "area", "bislerp"]
GUIDANCE = "advanced/guidance"


@node("GuidanceInterval", title="Guidance Interval", category=GUIDANCE)
def guidance_interval(model: Model, start_percent: Percent = 0.0, end_percent: Percent = 1.0) -> Model:
    """Guidance in a part of the sampling alone; elsewhere the positive prompt is followed as it is, at half the cost."""
    return model.patched(GuidanceInterval(start_percent, end_percent))


@node("RescaleCFG", category="advanced/model")
def rescale_cfg(model: Model, multiplier: Fraction = 0.7) -> Model:
    """Holds the picture's contrast under strong guidance; for models that predict v above all."""
    return model.patched(RescaleCfg(multiplier))


@node("RenormCFG", category="advanced/model")
def renorm_cfg(
    model: Model,
    cfg_trunc: Annotated[float, span(0.0, 100.0, 0.01)] = 100.0,
    renorm_cfg: Annotated[float, span(0.0, 100.0, 0.01)] = 1.0,
) -> Model:
    """Lets guidance make the prediction no longer than the prompt alone does; no guidance above sigma `cfg_trunc`."""
    return model.patched(RenormCfg(cfg_trunc, renorm_cfg))


@node("CFGZeroStar", category=GUIDANCE, outputs=("patched_model",))
def cfg_zero_star(model: Model) -> Model:
    """Fits the unguided prediction to the guided one's length first: fewer artefacts of flow models early on."""
    return model.patched(CfgZeroStar())


@node("CFGNorm", category=GUIDANCE, outputs=("patched_model",), experimental=True)
def cfg_norm(model: Model, strength: Annotated[float, span(0.0, 100.0, 0.01)] = 1.0) -> Model:
    """Lets guidance make no pixel of the latent longer than the prompt alone does."""
    return model.patched(CfgNorm(strength))


@node("TCFG", title="Tangential Damping CFG", category=GUIDANCE, outputs=("patched_model",))
def tcfg(model: Model) -> Model:
    """Damps what of the negative prediction does not lie along both predictions' main direction."""
    return model.patched(TangentialDamping())


@node("APG", title="Adaptive Projected Guidance", category="sampling/custom_sampling")
def apg(
    model: Model,
    eta: Annotated[float, span(-10.0, 10.0, 0.01, "Share of the part that oversaturates.")] = 1.0,
    norm_threshold: Annotated[float, span(0.0, 50.0, 0.1, "Longest guidance; 0 for any.")] = 5.0,
    momentum: Annotated[float, span(-5.0, 1.0, 0.01, "Weight of the steps before; below 0 is usual.")] = 0.0,
) -> Model:
    """Strong guidance without oversaturation: the part along the prediction is scaled apart."""
    return model.patched(ProjectedGuidance(eta, norm_threshold, momentum))


@node(
    "Mahiro",
    title="Mahiro is so cute that she deserves a better guidance function!! (。・ω・。)",
    category="_for_testing",
    outputs=("patched_model",),
    experimental=True,
)
def mahiro(model: Model) -> Model:
    """Follows the direction of the prompt more than its difference from the negative one."""
    return model.patched(Mahiro())


@node("FreSca", title="FreSca", category="_for_testing", experimental=True)
def fresca(
    model: Model,
    scale_low: Annotated[float, span(0, 10, 0.01)] = 1.0,
    scale_high: Annotated[float, span(0, 10, 0.01)] = 1.25,
    freq_cutoff: Annotated[int, span(1, 10000, 1)] = 20,
) -> Model:
    """Guides coarse shapes and fine details with scales of their own."""
    return model.patched(FrequencyScale(scale_low, scale_high, freq_cutoff))


@node("Epsilon Scaling", category="model_patches/unet")
def epsilon_scaling(model: Model, scaling_factor: Annotated[float, span(0.5, 1.5, 0.001)] = 1.005) -> Model:
    """Scales the predicted noise down a little: sharper pictures with few steps."""
    return model.patched(EpsilonScaling(scaling_factor))


@node("PerturbedAttentionGuidance", category="model_patches/unet")
def perturbed_attention_guidance(model: Model, scale: Annotated[float, span(0.0, 100.0, 0.01)] = 3.0) -> Model:
    """Better structure: also away from what the model paints with its attention disturbed. One more call a step."""
    return model.patched(PerturbedAttention(scale))


@node("SelfAttentionGuidance", title="Self-Attention Guidance", category="_for_testing", experimental=True)
def self_attention_guidance(
    model: Model,
    scale: Annotated[float, span(-2.0, 5.0, 0.01)] = 0.5,
    blur_sigma: Annotated[float, span(0.0, 10.0, 0.1)] = 2.0,
) -> Model:
    """Finer details: also away from a prediction that is blurred where the model looks most."""
    return model.patched(SelfAttention(scale, blur_sigma))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.replace(",", " ").split())
    except ValueError as error:
        raise ValueError(f"{text!r} are no block numbers; write them with commas, such as 7, 8, 9") from error


SkipScale: Any = Annotated[float, span(0.0, 10.0, 0.1)]


@node("SkipLayerGuidanceSD3", category=GUIDANCE, experimental=True)
def skip_layer_guidance_sd3(
    model: Model,
    layers: Layers = "7, 8, 9",
    scale: SkipScale = 3.0,
    start_percent: Percent = 0.01,
    end_percent: Percent = 0.15,
) -> Model:
    """Better anatomy of Stable Diffusion 3.5: also away from what the model paints without some of its blocks."""
    return model.patched(SkipLayers(_numbers(layers), (), scale, start_percent, end_percent))


@node("SkipLayerGuidanceDiT", category=GUIDANCE, experimental=True)
def skip_layer_guidance_dit(
    model: Model,
    double_layers: Layers = "7, 8, 9",
    single_layers: Layers = "7, 8, 9",
    scale: SkipScale = 3.0,
    start_percent: Percent = 0.01,
    end_percent: Percent = 0.15,
    rescaling_scale: Factor = 0.0,
) -> Model:
    """The same for any transformer with blocks of two streams and of one."""
    double, single = _numbers(double_layers), _numbers(single_layers)
    return model.patched(SkipLayers(double, single, scale, start_percent, end_percent, rescaling_scale))


@node("SkipLayerGuidanceDiTSimple", category=GUIDANCE, experimental=True)
def skip_layer_guidance_dit_simple(
    model: Model,
    double_layers: Layers = "7, 8, 9",
    single_layers: Layers = "7, 8, 9",
    start_percent: Percent = 0.0,
    end_percent: Percent = 1.0,
) -> Model:
    """The negative side of guidance painted without some of the blocks."""
    double, single = _numbers(double_layers), _numbers(single_layers)
    return model.patched(SkipLayersUncond(double, single, start_percent, end_percent))


@node("DifferentialDiffusion", title="Differential Diffusion", category="_for_testing", experimental=True)
def differential_diffusion(model: Model, strength: Fraction = 1.0) -> Model:
    """Soft masks: the darker a place in the noise mask, the later it begins to change."""
    return model.patched(DifferentialDiffusion(strength))


# --- the forward pass ------------------------------------------------------------------------------------------------


@node("FreeU", category="model_patches/unet")
def freeu(model: Model, b1: Factor = 1.1, b2: Factor = 1.2, s1: Factor = 0.9, s2: Factor = 0.2) -> Model:
    """More of the network's own features, less of the skips' coarse ones; first version. Only UNets."""
    return model.patched(FreeUPatch(b1, b2, s1, s2, version=1))


@node("FreeU_V2", category="model_patches/unet")
def freeu_v2(model: Model, b1: Factor = 1.3, b2: Factor = 1.4, s1: Factor = 0.9, s2: Factor = 0.2) -> Model:
    """More of the network's own features where they are strong, less of the skips' coarse ones. Only UNets."""
    return model.patched(FreeUPatch(b1, b2, s1, s2, version=2))


@node("HyperTile", category="model_patches/unet")
def hyper_tile(
    model: Model,
    tile_size: Annotated[int, span(1, 2048)] = 256,
    swap_size: Annotated[int, span(1, 128)] = 2,
    max_depth: Annotated[int, span(0, 10)] = 0,
    scale_depth: bool = False,
) -> Model:
    """Faster large pictures: self-attention in tiles, which change from step to step. Only UNets."""
    return model.patched(HyperTilePatch(tile_size, swap_size, max_depth, scale_depth))


@node("TomePatchModel", category="model_patches/unet")
def tome_patch_model(model: Model, ratio: Fraction = 0.3) -> Model:
    """Faster: that share of the picture's tokens is merged with others like them in self-attention. Only UNets."""
    return model.patched(MergeTokensPatch(ratio))


@node(
    "PatchModelAddDownscale", title="PatchModelAddDownscale (Kohya Deep Shrink)", category="model_patches/unet"
)  # fmt: skip
def patch_model_add_downscale(
    model: Model,
    block_number: Annotated[int, span(1, 32, 1)] = 3,
    downscale_factor: Annotated[float, span(0.1, 9.0, 0.001)] = 2.0,
    start_percent: Percent = 0.0,
    end_percent: Percent = 0.35,
    downscale_after_skip: bool = True,
    downscale_method: ShrinkMethod = "bicubic",
    upscale_method: ShrinkMethod = "bicubic",
) -> Model:
    """Whole figures in pictures larger than the model knows: it lays them out on a smaller latent. Only UNets."""
    methods: tuple[LatentMethod, LatentMethod] = (downscale_method, upscale_method)
    return model.patched(
        ShrinkPatch(block_number, downscale_factor, start_percent, end_percent, downscale_after_skip, *methods)
    )


VIDEO = "sampling/video_models"
LeastScale = Annotated[float, span(0.0, 100.0, 0.5, "Of the frames that are guided least.")]


@node("VideoLinearCFGGuidance", category=VIDEO)
def video_linear_cfg_guidance(model: Model, min_cfg: LeastScale = 1.0) -> Model:
    """Guidance that rises from the first frame to the last; the frames are the batch."""
    return model.patched(FrameScale(min_cfg))


@node("VideoTriangleCFGGuidance", category=VIDEO)
def video_triangle_cfg_guidance(model: Model, min_cfg: LeastScale = 1.0) -> Model:
    """Guidance that rises to the middle frame and falls again; the frames are the batch."""
    return model.patched(FrameScale(min_cfg, triangle=True))


ATTENTION = "_for_testing/attention_experiments"


@node("CLIPAttentionMultiply", category=ATTENTION, experimental=True)
def clip_attention_multiply(clip: Clip, q: Factor = 1.0, k: Factor = 1.0, v: Factor = 1.0, out: Factor = 1.0) -> Clip:
    """Multiplies queries, keys, values and output of a text encoder's attention."""
    layers = (("q_proj", q), ("k_proj", k), ("v_proj", v), ("out_proj", out))
    return clip.patched(Scale(tuple((f"self_attn.{layer}", factor) for layer, factor in layers)))


@node("UNetSelfAttentionMultiply", category=ATTENTION, experimental=True)
def unet_self_attention_multiply(
    model: Model, q: Factor = 1.0, k: Factor = 1.0, v: Factor = 1.0, out: Factor = 1.0
) -> Model:
    """Multiplies queries, keys, values and output of self-attention."""
    return model.patched(AttentionScalePatch(False, q, k, v, out))


@node("UNetTemporalAttentionMultiply", category=ATTENTION, experimental=True)
def unet_temporal_attention_multiply(
    model: Model,
    self_structural: Factor = 1.0,
    self_temporal: Factor = 1.0,
    cross_structural: Factor = 1.0,
    cross_temporal: Factor = 1.0,
) -> Model:
    """Multiplies the output of attention, apart for places and for moments; networks for pictures have places alone."""
    places = AttentionScalePatch(False, 1.0, 1.0, 1.0, self_structural)
    return model.patched(places, AttentionScalePatch(True, 1.0, 1.0, 1.0, cross_structural))


@node("UNetCrossAttentionMultiply", category=ATTENTION, experimental=True)
def unet_cross_attention_multiply(
    model: Model, q: Factor = 1.0, k: Factor = 1.0, v: Factor = 1.0, out: Factor = 1.0
) -> Model:
    """Multiplies queries, keys, values and output of the attention to the prompt."""
    return model.patched(AttentionScalePatch(True, q, k, v, out))
