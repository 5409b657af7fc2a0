"""IP-Adapters: pictures as prompts, for one job at a time, on models that stay as they are."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

from graphflow.api import ClipVision, File, Folder, Image, IpAdapter, Mask, Model, node
from graphflow.diffusion.image_prompts import PicturePrompt
from graphflow.models import ip_adapter, loaded

from ._fields import said, span
from .conditioning import Percent

Weight = Annotated[float, span(-1.0, 5.0, 0.05, "How strongly the pictures count beside the text.")]
WeightType = Annotated[
    Literal[
        "linear",
        "weak input",
        "weak output",
        "weak middle",
        "strong middle",
        "style transfer",
        "composition",
        "style and composition",
    ],
    said("Where in the network the pictures count; style and composition are told apart on SDXL alone."),
]
Combine = Annotated[
    Literal["concat", "add", "subtract", "average", "norm average"],
    said("How several pictures become one prompt: one after another, or as one picture between them."),
]
Scaling = Annotated[
    Literal["V only", "K+V"], said("The weight scales what is seen, or also how strongly it is looked at.")
]


@node("IPAdapterModelLoader", title="IPAdapter Model Loader", category="ipadapter/loaders")
def ip_adapter_model_loader(ipadapter_file: Annotated[File, Folder("ipadapter")]) -> IpAdapter:
    """Opens an IP-Adapter, by which a model of Stable Diffusion 1.5, XL, 3.5 or Flux looks at pictures as at a prompt."""
    return ip_adapter(ipadapter_file)


@node("IPAdapterAdvanced", title="IPAdapter Advanced", category="ipadapter")
def ip_adapter_advanced(
    model: Model,
    ipadapter: IpAdapter,
    image: Image,
    weight: Weight = 1.0,
    weight_type: WeightType = "linear",
    combine_embeds: Combine = "concat",
    start_at: Percent = 0.0,
    end_at: Percent = 1.0,
    embeds_scaling: Scaling = "V only",
    image_negative: Image | None = None,
    attn_mask: Mask | None = None,
    clip_vision: ClipVision | None = None,
) -> Model:
    """Shows pictures to a model beside the prompt: their subject, style or layout comes through.

    The image encoder is the one that the adapter was trained with. Several nodes in a row add up, each in its part of the
    sampling and, with a mask, of the picture. Other jobs on the same model do not see the pictures.
    """
    if clip_vision is None:
        raise ValueError("an IP-Adapter looks through an image encoder: connect clip_vision to Load CLIP Vision")
    if weight == 0:
        return model
    if weight_type in ("style transfer", "composition", "style and composition") and ipadapter.weights.family == "sd15":
        raise ValueError(f"{weight_type!r} is known for SDXL's network alone: choose linear, or a weak or strong part")
    if weight_type != "linear" and ipadapter.weights.family in ("flux", "sd3"):
        raise ValueError(f"{weight_type!r} speaks of a U-Net's parts, which this model has not: choose linear")
    with loaded(clip_vision) as encoder, loaded(ipadapter) as adapter:
        seen = adapter.looks_at(encoder.encode(image.data, adapter.crop))
        if image_negative is not None:
            nothing = adapter.looks_at(encoder.encode(image_negative.data, adapter.crop))
        else:
            nothing = adapter.nothing(encoder, seen)
        tokens, uncond = (adapter.tokens(_combined(one, combine_embeds)) for one in (seen, nothing))
    tokens, uncond = tokens.flatten(0, 1)[None], uncond.flatten(0, 1)[None]
    repeated = -(-tokens.shape[1] // uncond.shape[1])
    return model.patched(
        PicturePrompt(
            ipadapter,
            tokens,
            uncond.repeat(1, repeated, 1)[:, : tokens.shape[1]],
            weight,
            weight_type,
            embeds_scaling == "K+V",
            start_at,
            end_at,
            None if attn_mask is None else attn_mask.data,
        )
    )


def _combined(seen: Tensor, how: str) -> Tensor:
    """(B, ...) of several pictures to (B, ...) or (1, ...)."""
    match how:
        case "add":
            return seen.sum(0, keepdim=True)
        case "subtract":
            return seen[:1] - seen[1:].sum(0, keepdim=True)
        case "average":
            return seen.mean(0, keepdim=True)
        case "norm average":
            return (seen / seen.norm(dim=0, keepdim=True).clamp(min=1e-8)).mean(0, keepdim=True)
        case _:
            return seen
