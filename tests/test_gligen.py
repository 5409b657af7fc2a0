"""GLIGEN's boxes reach the network as its reference implementation takes them, and other rows do not see them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from graphflow.diffusion.conds import Canvas, resolve, row_cond
from graphflow.errors import UnsupportedFile
from graphflow.models import Residency, loaded
from graphflow.models.gligen import Grounder
from graphflow.node import File, Row, Text
from graphflow.values import Cond, Conditioning, Gligen, Grounding, Model, TextBox, Weights
from graphflow_nodes.conditioning import clip_text_encode, gligen_text_box_apply
from graphflow_nodes.loaders import checkpoint_loader_simple, gligen_loader
from tests.tiny import TINY, file, golden_sd15, network, single_file

SD = TINY["sd15"]


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home, torch.inference_mode():
        yield home


def blocks(unet: Any) -> list[tuple[str, nn.Module]]:
    """A U-Net's transformer blocks in the order of the forward pass, with the original layout's places for them."""
    found = []
    for place, part in (
        ("input_blocks", unet.down_blocks),
        ("middle_block", unet.mid_block),
        ("output_blocks", unet.up_blocks),
    ):
        inner = [m for m in part.modules() if hasattr(m, "attn1") and hasattr(m, "attn2")]
        # numbers that sort wrongly as texts: 9, 10, 11, ...
        found += [(f"{place}.{i + 9}.1.transformer_blocks.0.fuser.", m) for i, m in enumerate(inner)]
    return found


def grounder(unet: Any, width: int) -> Grounder:
    torch.manual_seed(4)
    made = Grounder(12, width, [block.attn1.to_q.in_features for _, block in blocks(unet)])
    with torch.no_grad():
        for parameter in made.parameters():
            if not parameter.any():
                parameter.copy_(torch.randn_like(parameter) * 0.5)
    return made


def written(folder: Path, made: Grounder, unet: Any) -> File:
    state = {}
    for name, tensor in made.state_dict().items():
        _, number, rest = [*name.split(".", 2), "", ""][:3]
        theirs = blocks(unet)[int(number)][0] + rest if name.startswith("fusers.") else name
        state[theirs] = tensor.contiguous().clone()
    save_file(state, folder / "gligen.safetensors")
    return file(folder / "gligen.safetensors")


def reference(
    unet: Any, made: Grounder, x: Tensor, t: Tensor, context: Tensor, boxes: Tensor, masks: Tensor, texts: Tensor
) -> Tensor:
    """diffusers' own GLIGEN: the network with its fusers in place."""
    unet.position_net = made.position_net
    for (_, block), fuser in zip(blocks(unet), made.fusers, strict=True):
        block.fuser = fuser
    given = {"gligen": {"boxes": boxes, "masks": masks, "positive_embeddings": texts}}
    out: Tensor = unet(x, t, encoder_hidden_states=context, cross_attention_kwargs=given, return_dict=False)[0]
    return out


def test_boxes_are_seen_as_diffusers_own_gligen_sees_them(tmp_path: Path) -> None:
    unet: Any = network(SD)
    made = grounder(unet, SD.width)
    net = gligen_loader(written(tmp_path, made, unet))
    model = Model(Weights((single_file(tmp_path, SD, network(SD)),), "model", "sd15"))
    x, context, text = torch.randn(1, 4, 8, 8), torch.randn(1, 5, SD.width), torch.randn(1, 12)
    box = TextBox(text, height=4, width=2, y=1, x=6)
    sigma = torch.tensor(2.0)
    with loaded(model) as live:
        canvas = Canvas(live, live.parametrisation, x)
        plain = Conditioning((Cond(context),))
        roles = {"positive": Conditioning((Cond(context, grounding=Grounding(net, (box,))),)), "negative": plain}
        regions = resolve(roles, canvas)
        rows = [
            Row(live, x, sigma, row_cond(regions[role][0], x, 2.0, canvas, uncond=False, edits=()))
            for role in ("positive", "negative")
        ]
        alone = Row(
            live,
            x,
            sigma,
            row_cond(resolve({"positive": plain}, canvas)["positive"][0], x, 2.0, canvas, uncond=False, edits=()),
        )
        both, bare = live.predict(rows), live.predict([alone])[0]
        assert live.batch_key(rows[0]) == live.batch_key(rows[1]) != live.batch_key(alone)
        scaled, time = live.parametrisation.scale_in(x, sigma), live.parametrisation.timestep(sigma)

    boxes, masks, texts = torch.zeros(1, 30, 4), torch.zeros(1, 30), torch.zeros(1, 30, 12)
    boxes[0, 0], masks[0, 0], texts[0, 0] = torch.tensor([6 / 8, 1 / 8, 8 / 8, 5 / 8]), 1.0, text[0]
    expected = x - sigma * reference(unet, made, scaled, time, context, boxes, masks, texts)
    torch.testing.assert_close(both[0], expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(both[0], both[1])  # the negative prompt is shown the boxes as well
    assert not torch.allclose(bare, both[0], atol=1e-3)
    assert torch.equal(live.predict([alone])[0], bare)  # and the network is as it was


def test_boxes_pile_up_in_latent_pixels_with_the_texts_end_state(tmp_path: Path) -> None:
    parts = checkpoint_loader_simple(golden_sd15(tmp_path))
    net = Gligen(Weights((), "gligen"))
    prompt = clip_text_encode(Text("a cat and a dog"), parts.CLIP)
    one = gligen_text_box_apply(prompt, parts.CLIP, net, Text("a cat"), 64, 128, 8, 16)
    two = gligen_text_box_apply(one, parts.CLIP, net, Text("a dog"), 8, 8)
    boxes = two.entries[0].grounding.boxes
    assert [(b.width, b.height, b.x, b.y) for b in boxes] == [(8, 16, 1, 2), (1, 1, 0, 0)]
    pooled = clip_text_encode(Text("a cat"), parts.CLIP).entries[0].pooled  # this encoder has no projection
    assert torch.equal(boxes[0].embedding, pooled)


def test_other_files_and_other_networks_are_told(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UnsupportedFile, match="is no GLIGEN"):
        gligen_loader(file(tmp_path / "other.safetensors"))
    unet: Any = network(SD)
    net = gligen_loader(written(tmp_path, Grounder(12, SD.width, [32]), unet))
    model = Model(Weights((single_file(tmp_path, SD, unet),), "model", "sd15"))
    x = torch.zeros(1, 4, 8, 8)
    with loaded(model) as live:
        canvas = Canvas(live, live.parametrisation, x)
        box = TextBox(torch.zeros(1, 12), 1, 1, 0, 0)
        cond = Cond(torch.zeros(1, 5, SD.width), grounding=Grounding(net, (box,)))
        region = resolve({"positive": Conditioning((cond,))}, canvas)["positive"][0]
        row = Row(live, x, torch.tensor(1.0), row_cond(region, x, 1.0, canvas, uncond=False, edits=()))
        with pytest.raises(ValueError, match="for a network of 1 blocks"):
            live.predict([row])
