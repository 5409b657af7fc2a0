"""Patches on the forward pass of a small UNet, against the same reckoned apart: other weights, numpy, masked attention."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.diffusion.patches import EditPatch
from graphflow.values import Model, Weights
from graphflow_nodes import model_patches as m

MODEL = Model(Weights((), "model"))


@pytest.fixture(scope="module")
def unet() -> Any:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=16, block_out_channels=(8, 16, 32), layers_per_block=1, cross_attention_dim=8, attention_head_dim=4,
        norm_num_groups=4, down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    ).eval()  # fmt: skip


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with torch.inference_mode():
        yield


def run(unet: Any) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    x, context = torch.randn(2, 4, 16, 16, generator=rng), torch.randn(2, 5, 8, generator=rng)
    return unet(x, torch.tensor([10.0, 500.0]), context).sample  # type: ignore[no-any-return]


@contextlib.contextmanager
def changed(unet: Any, model: Model) -> Iterator[None]:
    """The network under what a node put on a model's recipe."""
    with contextlib.ExitStack() as stack:
        for patch in model.patches:
            assert isinstance(patch, EditPatch)
            for edit in patch.edits(1.0, Parametrisation()):
                stack.enter_context(edit.applied(unet))
        yield


def blocks(unet: Any) -> list[Any]:
    return [module for module in unet.modules() if hasattr(module, "attn1") and hasattr(module, "attn2")]


@pytest.mark.parametrize(
    ("make", "self_factors", "cross_factors"),
    [
        (lambda: m.unet_self_attention_multiply(MODEL, 2.0, 3.0, 0.5, 0.25), (2.0, 3.0, 0.5, 0.25), (1, 1, 1, 1)),
        (lambda: m.unet_cross_attention_multiply(MODEL, 2.0, 3.0, 0.5, 0.25), (1, 1, 1, 1), (2.0, 3.0, 0.5, 0.25)),
        (lambda: m.unet_temporal_attention_multiply(MODEL, 0.5, 9.0, 2.0, 9.0), (1, 1, 1, 0.5), (1, 1, 1, 2.0)),
    ],
)
def test_multiplied_attention_is_that_of_multiplied_weights(
    unet: Any, make: Callable[[], Model], self_factors: tuple[float, ...], cross_factors: tuple[float, ...]
) -> None:
    other = copy.deepcopy(unet)
    for block in blocks(other):
        for attention, factors in ((block.attn1, self_factors), (block.attn2, cross_factors)):
            layers = (attention.to_q, attention.to_k, attention.to_v, attention.to_out[0])
            for layer, factor in zip(layers, factors, strict=True):
                for parameter in layer.parameters():
                    parameter.mul_(factor)
    with changed(unet, make()):
        found = run(unet)
    torch.testing.assert_close(found, run(other), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, run(unet), atol=1e-3)


def low_frequencies(x: Tensor, scale: float) -> np.ndarray[Any, Any]:
    """With the frequencies -1 and 0 multiplied in both directions."""
    rows, columns = (np.isin(np.rint(np.fft.fftfreq(side) * side), (-1, 0)) for side in x.shape[-2:])
    spectrum = np.fft.fft2(x.numpy()) * np.where(rows[:, None] & columns, scale, 1.0)
    return np.fft.ifft2(spectrum).real  # type: ignore[no-any-return]


@pytest.mark.parametrize(("node", "version"), [(m.freeu, 1), (m.freeu_v2, 2)])
@pytest.mark.parametrize(("place", "channels", "b", "s"), [((0, 0), 32, 1.5, 0.7), ((1, 1), 16, 1.2, 0.2)])
def test_freeu_lifts_half_of_the_backbone_and_lowers_coarse_skips(
    unet: Any, node: Any, version: int, place: tuple[int, int], channels: int, b: float, s: float
) -> None:
    seen: list[Tensor] = []
    resnet = unet.up_blocks[place[0]].resnets[place[1]]

    def look(_: Any, args: Any) -> None:
        seen.append(args[0])

    before = resnet.register_forward_pre_hook(look)
    with changed(unet, node(MODEL, 1.5, 1.2, 0.7, 0.2)):
        after = resnet.register_forward_pre_hook(look)
        run(unet)
    before.remove()
    after.remove()
    plain, lifted = seen
    half = channels // 2
    mean = plain[:, :channels].mean(1, keepdim=True).numpy()
    low, high = mean.min((2, 3), keepdims=True), mean.max((2, 3), keepdims=True)
    factor = b if version == 1 else 1 + (b - 1) * (mean - low) / (high - low)
    close = {"atol": 1e-5, "rtol": 1e-4}
    np.testing.assert_allclose(lifted[:, :half].numpy(), plain[:, :half].numpy() * factor, **close)
    assert torch.equal(lifted[:, half:channels], plain[:, half:channels])
    np.testing.assert_allclose(lifted[:, channels:].numpy(), low_frequencies(plain[:, channels:], s), **close)


def test_tiles_attend_to_themselves_alone(unet: Any) -> None:
    seen: list[tuple[Tensor, Tensor]] = []
    attention = blocks(unet)[0].attn1
    handle = attention.register_forward_hook(lambda _, args, output: seen.append((args[0], output)))
    with changed(unet, m.hyper_tile(MODEL, 32, 1)):  # 4 latent pixels, one way to cut them
        run(unet)
    handle.remove()
    (tokens, found), *_ = seen
    row, column = torch.arange(256) // 16, torch.arange(256) % 16
    tile = row // 4 * 4 + column // 4

    def heads(layer: Any) -> Tensor:
        return layer(tokens).reshape(2, 256, attention.heads, -1).transpose(1, 2)  # type: ignore[no-any-return]

    q, k, v = heads(attention.to_q), heads(attention.to_k), heads(attention.to_v)
    paid = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(tile[:, None] != tile, -torch.inf).softmax(-1)
    wanted = attention.to_out[0]((paid @ v).transpose(1, 2).reshape(2, 256, -1))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_below_a_block_the_latent_is_the_mean_of_squares_and_grows_again_where_it_meets_its_skip(unet: Any) -> None:
    """Block 2 is the first halving: from 8 x 8 the second level goes on with 4 x 4."""
    seen: dict[str, list[Tensor]] = {"down": [], "up": []}
    places = {"down": unet.down_blocks[1].resnets[0], "up": unet.up_blocks[1].resnets[1]}

    def look(name: str) -> Any:
        return places[name].register_forward_pre_hook(lambda _, args: seen[name].append(args[0]))

    handles = [look("down")]
    with changed(unet, m.patch_model_add_downscale(MODEL, 2, 2.0, 0.0, 1.0, True, "area", "nearest-exact")):
        handles += [look("down"), look("up")]
        run(unet)
    for handle in handles:
        handle.remove()
    before, after = seen["down"]
    torch.testing.assert_close(after, before.unflatten(3, (4, 2)).unflatten(2, (4, 2)).mean((3, 5)))
    (up,) = seen["up"]
    grown = up[:, :16]
    assert (tuple(up.shape[2:]), torch.equal(grown, grown[..., ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3))) == (
        (8, 8), True,
    )  # fmt: skip


def test_places_that_are_alike_ask_together_and_are_answered_as_each_of_them(unet: Any) -> None:
    """Where each square of four holds one value, three of four can join without changing anything."""
    squares = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(2))
    tokens = squares.repeat_interleave(2, 1).repeat_interleave(2, 2).flatten(1, 2)
    attention, asked, answers = blocks(unet)[0].attn1, list[int](), list[Tensor]()
    handles = [
        attention.register_forward_pre_hook(lambda _, args: (tokens, *args[1:])),
        attention.register_forward_hook(lambda _, args, output: answers.append(output)),
        attention.to_q.register_forward_pre_hook(lambda _, args: asked.append(args[0].shape[1])),
    ]
    with changed(unet, m.tome_patch_model(MODEL, 0.75)):
        run(unet)
    for handle in handles:
        handle.remove()
    assert asked == [64]
    torch.testing.assert_close(answers[0], attention(tokens), atol=1e-5, rtol=1e-4)
