"""The node with which ComfyUI's scripts get pictures straight over the WebSocket."""

from __future__ import annotations

import io

import PIL.Image

from graphflow.node import Artifact, node
from graphflow.values import Image


@node("SaveImageWebsocket", category="api/image", title="Save Image (WebSocket)", output_node=True)
def save_image_websocket(images: Image) -> list[Artifact]:
    """Sends each picture to the client that queued the prompt, as PNG over ComfyUI's WebSocket; none is kept."""
    pixels = (255.0 * images.data).clamp(0, 255).byte().cpu().numpy()
    return [_artifact(picture) for picture in map(PIL.Image.fromarray, pixels)]


def _artifact(picture: PIL.Image.Image) -> Artifact:
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    details = {"temporary": True, "socket": True, "width": picture.width, "height": picture.height}
    return Artifact("image/png", out.getvalue(), "websocket", details)
