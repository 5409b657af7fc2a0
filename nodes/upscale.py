"""Upscale models: networks that enlarge or restore pictures."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from graphflow.api import File, Folder, Image, Steps, UpscaleModel, node
from graphflow.models import loaded, upscale_model


@node("UpscaleModelLoader", title="Load Upscale Model", category="loaders", example="upscale")
def upscale_model_loader(model_name: Annotated[File, Folder("upscale_models")]) -> UpscaleModel:
    """Opens a network that enlarges or restores pictures: ESRGAN, SwinIR, DAT and the others that spandrel knows."""
    return upscale_model(model_name)


@node("ImageUpscaleWithModel", title="Upscale Image (using Model)", category="image/upscaling", example="upscale")
def image_upscale_with_model(upscale_model: UpscaleModel, image: Image) -> Steps[Image]:
    """Enlarges pictures by the factor of the model, tile by tile."""
    with loaded(upscale_model) as upscaler:
        for step in upscaler.upscale(image.data):
            if isinstance(step, Tensor):
                return Image(step)
            yield step
    raise AssertionError("an upscaler ends with a picture")
