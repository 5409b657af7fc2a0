"""ControlNets: networks that steer another by a picture, through what they add to its skip connections or blocks."""

from __future__ import annotations

from collections.abc import Mapping

from graphflow.models.control.base import UNION_TYPES, ControlContent, Kind, ResidentControl
from graphflow.models.control.flows import FLUX, QWEN_IMAGE, SANA, SD3, SD35
from graphflow.models.control.t2i import ADAPTER
from graphflow.models.control.unets import PLAIN, UNION

KINDS: Mapping[str, Kind] = {
    "sd15": PLAIN, "sd2": PLAIN, "sdxl": PLAIN, "union": UNION, "t2i": ADAPTER, "flux": FLUX, "sd3": SD3, "sd35": SD35,
    "qwen_image": QWEN_IMAGE, "sana": SANA,
}  # fmt: skip
"""By family; `union` for SDXL's networks of several kinds in one, `t2i` for T2I-Adapters, `sd35` for Stability's."""

__all__ = ["KINDS", "UNION_TYPES", "ControlContent", "Kind", "ResidentControl"]
