"""What is known of each family before any weight is read: how its files look, and what goes with it.

One `Known` a family, free of torch; `graphflow.models.families` has a `Family` of the same name that computes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from graphflow.detect.header import Header
from graphflow.errors import UnsupportedFile

Shape = tuple[str, int, Callable[[int], bool]]
"""A tensor's name, an axis, and what must hold for its length there."""


@dataclass(frozen=True)
class Signature:
    """How a part of a family is recognised: tensors that are there, tensors that are not, and shapes."""

    has: tuple[str, ...]
    without: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = ()
    ndim: tuple[tuple[str, int], ...] = ()
    layout: str = ""
    """`diffusers` where the names are those of diffusers' classes."""
    part: str = "model"
    family: str = ""

    def matches(self, header: Header, prefix: str) -> bool:
        """Whether the tensors under `prefix` are this part."""
        tensors = header.tensors
        return (
            all(prefix + key in tensors for key in self.has)
            and not any(prefix + key in tensors for key in self.without)
            and all(len(header.shape(prefix + key)) == n for key, n in self.ndim)
            and all(_length(header, prefix + key, axis, test) for key, axis, test in self.shapes)
        )


def _length(header: Header, key: str, axis: int, test: Callable[[int], bool]) -> bool:
    shape = header.shape(key)
    return len(shape) > axis and test(shape[axis])


@dataclass(frozen=True)
class LoraLooks:
    """How a LoRA for a transformer family is told, by names in which every dot is an underscore."""

    names: tuple[str, ...]
    """Expressions, one of which is found in a name."""
    never: tuple[str, ...] = ()
    """Expressions that are found in no name."""
    widths: tuple[int, ...] = ()
    """Of the picture's tokens in the family's models; any for none."""
    blocks: int = 1000
    """The most blocks of the kind that sees picture and text apart."""


@dataclass(frozen=True)
class Known:
    """A family, as far as its files and what goes with them are concerned."""

    name: str
    title: str
    space: str
    """The space of its latents, named for who used it first."""
    encoders: tuple[str, ...]
    """The text encoders that its prompts go through."""
    networks: tuple[Signature, ...]
    class_name: str
    """Of its network in diffusers folders."""
    types: tuple[tuple[str, str], ...] = ()
    """What the text encoders' loader nodes call it, and which encoder tells it from others of that type (any for the
    empty one)."""
    loras: LoraLooks | None = None
    """None for U-Nets, whose LoRAs are told by the width of the text that they look at."""
    context: int = 0
    """Of U-Nets: the width of the text that they look at."""


_UNET = ("input_blocks.0.0.weight", "time_embed.0.weight", "middle_block.0.in_layers.0.weight")
_UNET_D = ("down_blocks.0.resnets.0.norm1.weight", "time_embedding.linear_1.weight", "conv_in.weight")
_LABEL, _ADDED = "label_emb.0.0.weight", "add_embedding.linear_1.weight"
PROJ, PROJ_D = "middle_block.1.proj_in.weight", "mid_block.attentions.0.proj_in.weight"

UNCLIP_WIDTHS = (1536, 2048)
"""What the networks of unCLIP take beside the time: an image embedding of CLIP-L or CLIP-H, and as many numbers of noise."""

_FLUX_BLOCKS = (r"double_blocks_\d+_", r"(?<!stream_)single_blocks_\d+_", r"single_transformer_blocks_\d+_")
_JOINT = r"(?<!joint_)(?<!single_)transformer_blocks_\d+_"
_JOINT_ATTENTION = rf"{_JOINT}attn_(add_|to_add_out)"

_ALL: tuple[Known, ...] = (
    Known(
        "sd15", "Stable Diffusion 1.5", "sd", ("clip_l",),
        (Signature(_UNET, (_LABEL,), ndim=((PROJ, 4),)), Signature(_UNET_D, (_ADDED,), ndim=((PROJ_D, 4),), layout="diffusers")),
        "UNet2DConditionModel", (("stable_diffusion", "clip_l"),), context=768,
    ),
    Known(
        "sd2", "Stable Diffusion 2", "sd", ("clip_h",),
        (
            Signature(_UNET, shapes=((_LABEL, 1, lambda n: n in UNCLIP_WIDTHS),)),
            Signature(_UNET, (_LABEL,), ndim=((PROJ, 2),)),
            Signature(_UNET_D, (_ADDED,), ndim=((PROJ_D, 2),), layout="diffusers"),
        ),
        "UNet2DConditionModel", (("stable_diffusion", "clip_h"),), context=1024,
    ),
    Known(
        "sdxl_refiner", "Stable Diffusion XL refiner", "sdxl", ("clip_g",),
        (
            Signature((*_UNET, _LABEL, "input_blocks.11.0.in_layers.0.weight")),
            Signature((*_UNET_D, _ADDED, "down_blocks.3.resnets.0.norm1.weight"), layout="diffusers"),
        ),
        "UNet2DConditionModel", (("stable_diffusion", "clip_g"),), context=1280,
    ),
    Known(
        "sdxl", "Stable Diffusion XL", "sdxl", ("clip_l", "clip_g"),
        (Signature((*_UNET, _LABEL)), Signature((*_UNET_D, _ADDED), layout="diffusers")),
        "UNet2DConditionModel", (("sdxl", ""),), context=2048,
    ),
    Known(
        "sd3", "Stable Diffusion 3", "sd3", ("clip_l", "clip_g", "t5"),
        (
            Signature(("joint_blocks.0.context_block.adaLN_modulation.1.weight", "x_embedder.proj.weight")),
            Signature(("transformer_blocks.0.norm1_context.linear.weight", "pos_embed.proj.weight"), layout="diffusers"),
        ),
        "SD3Transformer2DModel", (("sd3", ""),),
        LoraLooks(
            (r"joint_blocks_\d+_(x|context)_block", _JOINT_ATTENTION, rf"{_JOINT}(norm1_context|ff_context)"),
            (*_FLUX_BLOCKS, rf"{_JOINT}(img|txt)_"), (1536, 2432), 38,
        ),
    ),
    Known(
        "chroma", "Chroma", "flux", ("t5",),
        (
            Signature(("double_blocks.0.img_attn.qkv.weight", "distilled_guidance_layer.in_proj.weight")),
            Signature(
                ("transformer_blocks.0.attn.to_q.weight", "distilled_guidance_layer.in_proj.weight"), layout="diffusers",
            ),
        ),
        "ChromaTransformer2DModel", (("chroma", ""),),
        LoraLooks(
            (*_FLUX_BLOCKS, _JOINT_ATTENTION, rf"{_JOINT}ff_context", "distilled_guidance_layer"),
            (r"_mod_lin", "modulation_lin", "vector_in", "guidance_in", r"norm1?_(context_)?linear", r"blocks_\d+_processor",
             rf"{_JOINT}(img|txt)_"), (3072,), 19,
        ),
    ),
    Known(
        "flux2", "Flux 2", "flux2", ("qwen3",),
        (
            Signature(("double_stream_modulation_img.lin.weight", "img_in.weight")),
            Signature(
                ("transformer_blocks.0.attn.to_q.weight", "double_stream_modulation_img.linear.weight"), layout="diffusers",
            ),
        ),
        "Flux2Transformer2DModel", (("flux2", ""),),
        LoraLooks(
            (*_FLUX_BLOCKS, _JOINT_ATTENTION, rf"{_JOINT}ff_context", "double_stream_modulation_img", "to_qkv_mlp_proj"),
            (r"(img|txt)_mod_lin", r"\d_modulation_lin", "vector_in", r"blocks_\d+_processor", "distilled_guidance_layer",
             rf"{_JOINT}(img|txt)_"), (3072, 4096, 6144), 8,
        ),
    ),
    Known(
        "flux", "Flux", "flux", ("clip_l", "t5"),
        (
            Signature(("double_blocks.0.img_attn.qkv.weight", "img_in.weight", "vector_in.in_layer.weight"),
                      ("distilled_guidance_layer.in_proj.weight",)),
            Signature(
                ("transformer_blocks.0.attn.add_q_proj.weight", "single_transformer_blocks.0.proj_mlp.weight"),
                ("distilled_guidance_layer.in_proj.weight",), layout="diffusers",
            ),
        ),
        "FluxTransformer2DModel", (("flux", ""),),
        LoraLooks(
            (*_FLUX_BLOCKS, _JOINT_ATTENTION, rf"{_JOINT}(norm1_context|ff_context)"),
            ("distilled_guidance_layer", "double_stream_modulation", "to_qkv_mlp_proj", rf"{_JOINT}(img|txt)_"), (3072,), 19,
        ),
    ),
    Known(
        "qwen_image", "Qwen-Image", "wan", ("qwen25_vl",),
        (Signature(("transformer_blocks.0.img_mod.1.weight", "txt_norm.weight"), layout="diffusers"),),
        "QwenImageTransformer2DModel", (("qwen_image", ""),),
        LoraLooks(
            (rf"{_JOINT}(img|txt)_(mod|mlp)", _JOINT_ATTENTION),
            (*_FLUX_BLOCKS, rf"{_JOINT}(norm1_context|ff_context)"), (3072,), 60,
        ),
    ),
    Known(
        "z_image", "Z-Image", "flux", ("qwen3",),
        (Signature(("layers.0.adaLN_modulation.0.weight", "cap_embedder.0.weight")),),
        "ZImageTransformer2DModel", (("lumina2", "qwen3"), ("z_image", "")),
        LoraLooks((r"(layers|refiner)_\d+_(attention|feed_forward)_",), ("_attn_", "linear_[123]"), (3840,)),
    ),
    Known(
        "lumina2", "Lumina 2", "flux", ("gemma2",),
        (
            Signature(("layers.0.adaLN_modulation.1.weight", "cap_embedder.0.weight")),
            Signature(("layers.0.norm1.linear.weight", "time_caption_embed.caption_embedder.0.weight"), layout="diffusers"),
        ),
        "Lumina2Transformer2DModel", (("lumina2", "gemma2"),),
        LoraLooks((r"(layers|refiner)_\d+_(attention|attn|feed_forward)_",), widths=(2304,)),
    ),
    Known(
        "auraflow", "AuraFlow", "sdxl", ("umt5",),
        (
            Signature(("double_layers.0.attn.w1q.weight", "cond_seq_linear.weight")),
            Signature(("joint_transformer_blocks.0.attn.add_q_proj.weight", "register_tokens"), layout="diffusers"),
        ),
        "AuraFlowTransformer2DModel", (("auraflow", ""),),
        LoraLooks((r"joint_transformer_blocks_\d+_", r"(double|single)_layers_\d+_")),
    ),
    Known(
        "sana", "Sana", "sana", ("gemma2",),
        (
            Signature(("blocks.0.cross_attn.q_linear.weight", "blocks.0.mlp.inverted_conv.conv.weight")),
            Signature(
                ("transformer_blocks.0.ff.conv_inverted.weight", "caption_projection.linear_1.weight"), layout="diffusers",
            ),
        ),
        "SanaTransformer2DModel", (("sana", ""),),
        LoraLooks((r"^(lora_|unet_|transformer_|base_model_model_)*transformer_blocks_\d+_attn[12]_", r"blocks_\d+_cross_attn_(q|kv)_linear")),
    ),
    Known(
        "hidream", "HiDream", "flux", ("clip_l", "clip_g", "t5", "llama"),
        (Signature(("double_stream_blocks.0.block.adaLN_modulation.1.weight",)),),
        "HiDreamImageTransformer2DModel", (("hidream", ""),),
        LoraLooks((r"(double|single)_stream_blocks_\d+_",)),
    ),
    Known(
        "wan", "Wan", "wan", ("umt5",),
        (
            Signature(("head.modulation", "blocks.0.cross_attn.norm_k.weight", "patch_embedding.weight")),
            Signature(("condition_embedder.time_proj.weight", "blocks.0.attn2.norm_k.weight"), layout="diffusers"),
        ),
        "WanTransformer3DModel", (("wan", ""),),
        LoraLooks((r"blocks_\d+_(cross_attn|self_attn)_[qkvo](_img)?(_|$)", r"(?<!transformer_)(?<!down_)(?<!up_)blocks_\d+_attn[12]_")),
    ),
)  # fmt: skip
KNOWN: Mapping[str, Known] = {one.name: one for one in _ALL}

MODELS: tuple[Signature, ...] = tuple(replace(s, family=one.name) for one in _ALL for s in one.networks)
"""Denoising networks; the first that matches wins."""
USUAL_ENCODERS: Mapping[str, tuple[str, ...]] = {one.name: one.encoders for one in _ALL}
"""The text encoders that a family's prompts go through."""
UNDERSTOOD = ", ".join(one.title for one in _ALL)


# --- types of text encoders ------------------------------------------------------------------------------------------


def _types() -> dict[str, dict[str, str]]:
    types: dict[str, dict[str, str]] = {}
    for one in _ALL:
        for type, encoder in one.types:
            types.setdefault(type, {})[encoder] = one.name
    return types


TYPES: Mapping[str, Mapping[str, str]] = _types()
"""A `type` of the text encoders' loader nodes: by the encoder that a file holds (any for the empty one), the family."""


def family_of_type(type: str, encoders: Collection[str]) -> str:
    """The family whose prompts go through these encoders. Raises `UnsupportedFile` when the type has none of them."""
    families = TYPES.get(type)
    if families is None:
        raise UnsupportedFile(
            f"text encoders of the type {type!r} are not supported; those that are: {', '.join(TYPES)}"
        )
    if "" in families:
        family = families[""]
        wanted = USUAL_ENCODERS[family]
        if not any(_may_be(encoder, other) for encoder in encoders for other in wanted):
            raise UnsupportedFile(
                f"prompts of the type {type!r} go through {', '.join(wanted)}, not {', '.join(encoders)}"
            )
        return family
    found = next((families[encoder] for encoder in families if encoder in encoders), None)
    if found is None:
        raise UnsupportedFile(f"the type {type!r} takes {', '.join(families)}, not {', '.join(encoders)}")
    return found


def lacking(family: str, parts: Collection[str]) -> tuple[str, ...]:
    """Parts that a checkpoint of the family usually has, and that are not among these."""
    encoders = (name for name in USUAL_ENCODERS[family] if not any(_alike(name, part) for part in parts))
    return (*encoders, *(() if "vae" in parts else ("vae",)))


_ALIKE = ({"t5", "umt5"}, {"qwen25", "qwen25_vl"}, {"qwen3", "mistral3"})


def _alike(one: str, other: str) -> bool:
    return one == other or any({one, other} <= kinds for kinds in _ALIKE)


def _may_be(one: str, other: str) -> bool:
    """CLIPs of unusual widths are told by the loader node."""
    return _alike(one, other) or (one.startswith("clip_") and other.startswith("clip_"))
