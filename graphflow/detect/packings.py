"""Ways to keep weights in few bits that cannot be computed with here, told by names and dtypes, and refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from graphflow.errors import UnsupportedFile
from graphflow.header import Entry, Header

_PACKINGS: tuple[tuple[str, Callable[[str, Entry], bool]], ...] = (
    ("NF4 or FP4 of bitsandbytes", lambda name, _: ".quant_state.bitsandbytes__" in name),
    ("SVDQuant (Nunchaku)", lambda name, _: name.endswith((".wscales", ".smooth_factor"))),
    ("NVFP4", lambda name, _: name.endswith(".weight_scale_2")),
    ("MXFP8", lambda name, entry: name.endswith(".weight_scale") and entry.dtype in ("F8_E8M0", "U8")),
)


def refuse_packings(header: Header) -> None:
    """Raises `UnsupportedFile` when the file keeps its weights in a way that cannot be computed with."""
    for what, is_mark in _PACKINGS:
        if any(is_mark(name, entry) for name, entry in header.tensors.items()):
            _refuse(header, what)
    if any(_is_int8(name, entry, header.tensors) for name, entry in header.tensors.items()):
        _refuse(header, "INT8")


def _is_int8(name: str, entry: Entry, tensors: Mapping[str, Entry]) -> bool:
    return entry.dtype == "I8" and name.endswith(".weight") and f"{name}_scale" in tensors


def _refuse(header: Header, what: str) -> None:
    raise UnsupportedFile(
        f"{header.path.name} keeps its weights as {what}, which cannot be used here: take the same model in bf16, fp16, "
        "fp8 (scaled or not) or GGUF"
    )
