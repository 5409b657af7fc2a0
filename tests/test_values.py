"""Every value comes back from its bytes as it was."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow.errors import UnsupportedFile
from graphflow.node import Artifact, Blocked, File
from graphflow.values import (
    Area,
    Cond,
    Conditioning,
    Guider,
    Image,
    Latent,
    Lora,
    Model,
    Noise,
    Sampler,
    Sigmas,
    Weights,
    dumps,
    loads,
    nbytes,
    summary,
)

FILE = File("a/b.safetensors", Path("/models/a/b.safetensors"), "ab" * 32)
MODEL = Model(Weights((FILE,), "model", "sd15"), (Lora(FILE, 0.8),))
COND = Conditioning((Cond(torch.randn(1, 77, 4), torch.randn(1, 4), area=Area(8, 8, 0, 0), extras={"width": 64}),))

VALUES = [
    Image(torch.rand(2, 4, 5, 3)),
    Latent(torch.randn(1, 4, 2, 2), torch.ones(1, 1, 16, 16), (3,)),
    MODEL,
    COND,
    Sigmas(torch.tensor([14.6, 1.0, 0.0])),
    Sampler("euler_ancestral", (("eta", 0.1),)),
    Noise(2**64 - 1),
    Guider("cfg", MODEL, (("positive", COND),), (("cfg", 7.5),)),
    Artifact("image/png", b"\x89PNG", "apple", {"width": 1}),
    Artifact("text/plain", b"", "empty"),
    Blocked("switched off"),
    (1, 0.1, "text", None, True, [float("inf")], {"a": (2,)}),
    torch.arange(3, dtype=torch.bfloat16),
]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert same(loads(dumps(value)), value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists))
def test_plain_data_comes_back_as_it_was(value: Any) -> None:
    assert loads(dumps(value)) == value


@pytest.mark.parametrize("damage", [b"", b"garbage", dumps(VALUES[0])[:-5], b"\xff" * 64])
def test_damaged_bytes_are_refused_with_a_reason(damage: bytes) -> None:
    with pytest.raises(UnsupportedFile, match="no encoded value"):
        loads(damage)


def test_what_has_no_exact_encoding_is_refused() -> None:
    with pytest.raises(TypeError, match="no exact encoding"):
        dumps(object())


def test_a_shared_tensor_counts_once() -> None:
    picture = torch.zeros(1, 4, 4, 3)
    assert nbytes((Image(picture), Image(picture))) == picture.numel() * 4
    assert nbytes(Artifact("text/plain", b"abc", "t")) == 3


def test_a_summary_is_short() -> None:
    assert summary(VALUES[0]) == "Image(2x4x5x3)"
    assert len(summary("x" * 500)) == 120
