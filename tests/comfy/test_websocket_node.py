"""Scripts get pictures straight over the WebSocket."""

from __future__ import annotations

import io

import PIL.Image
import torch

from graphflow.comfy.packs.websocket import save_image_websocket
from graphflow.registry import discover
from graphflow.values import Image


def test_each_picture_becomes_a_png_for_the_socket_alone() -> None:
    first, second = save_image_websocket(Image(torch.tensor([0.5, 1.0]).reshape(2, 1, 1, 1).expand(2, 2, 3, 3)))

    assert first.details == {"temporary": True, "socket": True, "width": 3, "height": 2}
    picture = PIL.Image.open(io.BytesIO(second.data))
    assert (picture.format, picture.size, picture.getpixel((0, 0))) == ("PNG", (3, 2), (255, 255, 255))
    assert PIL.Image.open(io.BytesIO(first.data)).getpixel((0, 0)) == (127, 127, 127)


def test_the_node_is_installed() -> None:
    assert discover().nodes["SaveImageWebsocket"].definition.output_node
