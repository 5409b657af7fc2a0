"""Edits of a network's forward pass, on a small UNet: they change what they should, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from torch import Tensor, nn

from graphflow.diffusion.edits import (
    AttentionMaps,
    CaptureAttention,
    FreeU,
    IdentitySelfAttention,
    MergeTokens,
    ScaleAttention,
    SkipBlocks,
    Tiles,
)
from graphflow.diffusion.network import NetworkEdit
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.diffusion.sampling_patches import HyperTilePatch, MergeTokensPatch
from graphflow.diffusion.shrink import Shrink, ShrinkPatch
from graphflow.values import Model, Weights
from graphflow_nodes.model_patches import unet_temporal_attention_multiply


@pytest.fixture(scope="module")
def unet() -> nn.Module:
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


def run(unet: nn.Module, *edits: NetworkEdit, size: tuple[int, int] = (16, 16)) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    x, context = torch.randn(2, 4, *size, generator=rng), torch.randn(2, 5, 8, generator=rng)
    if not edits:
        return unet(x, torch.tensor([10.0, 500.0]), context).sample
    with edits[0].applied(unet):
        return run(unet, *edits[1:], size=size)


EDITS = [
    IdentitySelfAttention(),
    ScaleAttention(cross=False, q=2.0),
    ScaleAttention(cross=True, out=0.5),
    FreeU(1.3, 1.4, 0.9, 0.2, 1),
    FreeU(1.3, 1.4, 0.9, 0.2, 2),
    Tiles(size=4, swap=1, depth=1, scale_depth=False, seed=0),
    MergeTokens(0.4, seed=0),
    Shrink(block=2, factor=2.0, after_skip=True, down="bicubic", up="bilinear"),
    Shrink(block=0, factor=2.0, after_skip=True, down="area", up="bicubic"),
    Shrink(block=2, factor=1.5, after_skip=False, down="bicubic", up="bicubic"),
    Shrink(block=4, factor=2.0, after_skip=True, down="bicubic", up="bicubic"),
    Shrink(block=2, factor=2.0, after_skip=True, down="bislerp", up="bislerp"),
]


@pytest.mark.parametrize("edit", EDITS, ids=lambda e: type(e).__name__)
def test_an_edit_changes_the_answer_and_leaves_the_network_as_it_was(unet: nn.Module, edit: NetworkEdit) -> None:
    plain = run(unet)
    edited = run(unet, edit)
    assert edited.isfinite().all()
    assert not torch.allclose(plain, edited)
    assert torch.equal(run(unet), plain)
    assert torch.equal(run(unet, edit), edited)


@pytest.mark.parametrize("edit", EDITS, ids=lambda e: type(e).__name__)
def test_an_edit_is_undone_when_the_call_fails(unet: nn.Module, edit: NetworkEdit) -> None:
    plain = run(unet)
    with pytest.raises(RuntimeError, match="failed"), edit.applied(unet):
        raise RuntimeError("the call failed")
    assert torch.equal(run(unet), plain)


NOTHING = [
    ScaleAttention(cross=False),
    FreeU(1.0, 1.0, 1.0, 1.0, 1),
    FreeU(1.0, 1.0, 1.0, 1.0, 2),
    MergeTokens(0.0, seed=0),
    Tiles(size=16, swap=1, depth=0, scale_depth=False, seed=0),
]


@pytest.mark.parametrize("edit", NOTHING, ids=lambda e: type(e).__name__)
def test_neutral_numbers_change_nothing(unet: nn.Module, edit: NetworkEdit) -> None:
    torch.testing.assert_close(run(unet, edit), run(unet), atol=1e-5, rtol=1e-4)


def test_the_middles_attention_is_seen_and_not_changed(unet: nn.Module) -> None:
    maps = AttentionMaps()
    seen = run(unet, CaptureAttention(maps))
    torch.testing.assert_close(seen, run(unet), atol=1e-5, rtol=1e-4)
    assert maps.mean_over_heads().shape == (2, 16, 16)
    torch.testing.assert_close(maps.mean_over_heads().sum(-1), torch.ones(2, 16))


def test_edits_compose(unet: nn.Module) -> None:
    one, other = ScaleAttention(cross=False, v=0.5), FreeU(1.3, 1.4, 0.9, 0.2)
    both = run(unet, one, other)
    assert not torch.allclose(both, run(unet, one))
    assert not torch.allclose(both, run(unet, other))


def test_sides_that_tiles_do_not_fit_stay_whole(unet: nn.Module) -> None:
    assert run(unet, Tiles(4, 2, 2, True, 0), size=(12, 20)).shape == (2, 4, 12, 20)
    assert run(unet, MergeTokens(0.9, 0), size=(12, 20)).isfinite().all()


def test_drawn_tilings_follow_the_noise_level() -> None:
    p = Parametrisation()
    for patch in (HyperTilePatch(256, 4), MergeTokensPatch(0.3)):
        assert patch.edits(3.0, p) == patch.edits(3.0, p)
        assert patch.edits(3.0, p) != patch.edits(2.0, p)


def test_a_transformer_without_a_block_is_told_apart_from_a_unet() -> None:
    torch.manual_seed(0)
    flux = FluxTransformer2DModel(
        in_channels=4, num_layers=2, num_single_layers=2, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, pooled_projection_dim=8, axes_dims_rope=(2, 2, 4),
    ).eval()  # fmt: skip

    def ask() -> Tensor:
        rng = torch.Generator().manual_seed(1)
        return flux(
            torch.randn(1, 4, 4, generator=rng), torch.randn(1, 3, 8, generator=rng),
            torch.randn(1, 8, generator=rng), torch.tensor([0.5]),
            img_ids=torch.zeros(4, 3), txt_ids=torch.zeros(3, 3),
        ).sample  # fmt: skip

    plain = ask()
    with SkipBlocks((1,), (0, 9)).applied(flux):
        skipped = ask()
    assert not torch.allclose(plain, skipped)
    assert torch.equal(ask(), plain)
    with pytest.raises(ValueError, match="changes the attention of UNets"):
        MergeTokens(0.5, 0).applied(nn.Sequential())


def test_the_middle_sees_a_smaller_latent_while_it_is_shrunk(unet: nn.Module) -> None:
    seen: list[tuple[int, ...]] = []
    handle = unet.mid_block.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape[-2:])))
    run(unet)
    run(unet, Shrink(2, 2.0, True, "bicubic", "bicubic"))
    handle.remove()
    assert seen == [(4, 4), (2, 2)]


def test_shrinking_holds_in_its_part_of_the_sampling_and_names_a_block_that_is_not_there(unet: nn.Module) -> None:
    p, patch = Parametrisation(), ShrinkPatch(end=0.35)
    assert len(patch.edits(p.percent_to_sigma(0.2), p)) == 1
    assert patch.edits(p.percent_to_sigma(0.5), p) == ()
    with pytest.raises(ValueError, match="block_number is 9; this model has 6 blocks"):
        Shrink(9, 2.0, True, "area", "area").applied(unet)


def test_attention_to_places_is_scaled_and_networks_for_pictures_have_no_other() -> None:
    model = unet_temporal_attention_multiply(Model(Weights((), "model")), 0.5, 9.0, 2.0, 9.0)
    edits = [edit for patch in model.patches for edit in patch.edits(1.0, Parametrisation())]
    assert edits == [ScaleAttention(False, out=0.5), ScaleAttention(True, out=2.0)]
