"""Nodes that mix prompts and say where, when and how strongly they hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from graphflow.values import Area, Cond, Conditioning, ControlNet, Image, Latent, Mask, Weights, dumps
from graphflow_nodes import conditioning as nodes
from graphflow_nodes.control import control_net_apply, control_net_apply_advanced, set_union_control_net_type

A = Conditioning((Cond(torch.ones(1, 77, 4), pooled=torch.ones(1, 2)),))
B = Conditioning((Cond(torch.full((1, 154, 4), 3.0), pooled=torch.full((1, 2), 3.0)),))
NET = ControlNet(Weights((), "controlnet"))


def test_combine_keeps_both() -> None:
    assert nodes.conditioning_combine(A, B).entries == (*A.entries, *B.entries)


def test_concat_puts_the_first_entrys_tokens_behind() -> None:
    (entry,) = nodes.conditioning_concat(A, B).entries
    assert entry.context.shape == (1, 231, 4)
    assert entry.context[0, [76, 77], 0].tolist() == [1.0, 3.0]
    assert torch.equal(entry.pooled, A.entries[0].pooled)
    with pytest.raises(ValueError, match="conditioning_from is empty"):
        nodes.conditioning_concat(A, Conditioning(()))


def test_average_cuts_or_fills_the_second_to_the_firsts_tokens() -> None:
    (entry,) = nodes.conditioning_average(A, B, 0.25).entries
    assert entry.context.shape == (1, 77, 4)
    assert entry.context.unique().tolist() == [0.25 + 3 * 0.75]
    assert entry.pooled.unique().tolist() == [0.25 + 3 * 0.75]
    (entry,) = nodes.conditioning_average(B, A, 0.5).entries
    assert entry.context[0, [0, 100], 0].tolist() == [2.0, 1.5]


def test_zero_out_has_the_same_shape() -> None:
    (entry,) = nodes.conditioning_zero_out(B).entries
    assert (entry.context.shape, entry.context.any().item(), entry.pooled.any().item()) == ((1, 154, 4), False, False)


def test_areas_are_counted_in_latent_pixels_or_in_shares() -> None:
    (entry,) = nodes.conditioning_set_area(A, 128, 64, 8, 16, 0.7).entries
    assert (entry.area, entry.strength) == (Area(8, 16, 2, 1), 0.7)
    (entry,) = nodes.conditioning_set_area_percentage(A, 0.5, 0.25, 0.1, 0.2).entries
    assert entry.area == Area(0.25, 0.5, 0.2, 0.1, relative=True)
    (entry,) = nodes.conditioning_set_area_strength(A, 2.0).entries
    assert (entry.area, entry.strength) == (None, 2.0)


def test_masks_and_ranges() -> None:
    (entry,) = nodes.conditioning_set_mask(A, Mask(torch.ones(1, 8, 8)), 0.5, "mask bounds").entries
    assert (entry.mask.shape, entry.mask_strength, entry.mask_bounds) == ((1, 8, 8), 0.5, True)
    (entry,) = nodes.conditioning_set_timestep_range(A, 0.2, 0.6).entries
    assert (entry.start, entry.end) == (0.2, 0.6)


def test_pairs_take_properties_and_defaults() -> None:
    ranges = nodes.conditioning_timesteps_range(0.25, 0.5)
    assert [(r.start, r.end) for r in ranges] == [(0.25, 0.5), (0.0, 0.25), (0.5, 1.0)]
    pair = nodes.pair_conditioning_set_properties_and_combine(A, B, B, A, 2.0, timesteps=ranges.BEFORE_RANGE)
    assert [len(side.entries) for side in pair] == [2, 2]
    assert (pair.positive.entries[1].strength, pair.positive.entries[1].end) == (2.0, 0.25)
    assert nodes.conditioning_set_default_combine(A, B).entries[1].default


RICH = Cond(
    torch.ones(1, 2, 4), pooled=torch.ones(1, 2), strength=0.8, area=Area(1, 2, 3, 4), mask=torch.ones(1, 2, 2),
    mask_strength=0.6, mask_bounds=True, start=0.1, end=0.9, guidance=2.0, reference_latents=(torch.ones(1, 4, 1, 1),),
)  # fmt: skip
"""An entry with something of everything."""
P, WHERE, RANGE = Conditioning((RICH,)), Mask(torch.full((1, 4, 4), 0.5)), nodes.TimestepsRange(0.3, 0.4)
MASKED = {"mask": WHERE.data, "mask_strength": 0.5, "mask_bounds": True}

CHANGED: dict[str, tuple[Callable[[], Conditioning], dict[str, Any]]] = {
    "area": (
        lambda: nodes.conditioning_set_area(P, 128, 64, 8, 16, 0.7),
        {"area": Area(8, 16, 2, 1), "strength": 0.7, "mask_bounds": False},
    ),
    "area in shares": (
        lambda: nodes.conditioning_set_area_percentage(P, 0.5, 0.25, 0.1, 0.2, 0.7),
        {"area": Area(0.25, 0.5, 0.2, 0.1, relative=True), "strength": 0.7, "mask_bounds": False},
    ),
    "strength": (lambda: nodes.conditioning_set_area_strength(P, 0.7), {"strength": 0.7}),
    "mask": (lambda: nodes.conditioning_set_mask(P, WHERE, 0.5), {**MASKED, "mask_bounds": False}),
    "the mask's bounds": (lambda: nodes.conditioning_set_mask(P, WHERE, 0.5, "mask bounds"), MASKED),
    "time": (lambda: nodes.conditioning_set_timestep_range(P, 0.3, 0.4), {"start": 0.3, "end": 0.4}),
    "zeros": (lambda: nodes.conditioning_zero_out(P), {"context": torch.zeros(1, 2, 4), "pooled": torch.zeros(1, 2)}),
    "guidance": (lambda: nodes.flux_guidance(P, 4.5), {"guidance": 4.5}),
    "no guidance": (lambda: nodes.flux_disable_guidance(P), {"guidance": None}),
    "reference": (
        lambda: nodes.reference_latent(P, Latent(torch.zeros(1, 4, 2, 2))),
        {"reference_latents": (torch.ones(1, 4, 1, 1), torch.zeros(1, 4, 2, 2))},
    ),
    "average": (
        lambda: nodes.conditioning_average(P, A, 0.75), {"context": torch.ones(1, 2, 4), "pooled": torch.ones(1, 2)},
    ),
    "behind": (lambda: nodes.conditioning_concat(P, P), {"context": torch.ones(1, 4, 4)}),
    "strength of many": (lambda: nodes.conditioning_set_properties(P, 0.7), {"strength": 0.7}),
    "mask and time": (
        lambda: nodes.conditioning_set_properties(P, 0.5, "mask bounds", WHERE, None, RANGE), {**MASKED, "start": 0.3, "end": 0.4},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGED)
def test_what_is_not_asked_for_stays_as_it_was(case: str) -> None:
    make, changes = CHANGED[case]
    assert dumps(make()) == dumps(Conditioning((replace(RICH, **changes),)))


def test_what_is_put_beside_others_has_its_properties_and_they_keep_theirs() -> None:
    changed = Conditioning((replace(RICH, **MASKED, start=0.3, end=0.4),))
    default = P.each(default=True)
    single = nodes.conditioning_set_properties_and_combine(B, P, 0.5, "mask bounds", WHERE, None, RANGE)
    assert dumps(single) == dumps(Conditioning((*B.entries, *changed.entries)))
    assert dumps(nodes.conditioning_set_default_combine(B, P)) == dumps(Conditioning((*B.entries, *default.entries)))
    assert dumps(nodes.conditioning_combine(B, P)) == dumps(Conditioning((*B.entries, RICH)))
    pairs = {
        "properties": (
            nodes.pair_conditioning_set_properties(P, A, 0.5, "mask bounds", WHERE, None, RANGE),
            (changed, A.each(**MASKED, start=0.3, end=0.4)),
        ),
        "beside": (
            nodes.pair_conditioning_set_properties_and_combine(A, B, P, P, 0.5, "mask bounds", WHERE, None, RANGE),
            (nodes.conditioning_combine(A, changed), nodes.conditioning_combine(B, changed)),
        ),
        "default": (
            nodes.pair_conditioning_set_default_combine(A, B, P, P),
            (nodes.conditioning_combine(A, default), nodes.conditioning_combine(B, default)),
        ),
        "both": (
            nodes.pair_conditioning_combine(A, B, P, A),
            (nodes.conditioning_combine(A, P), nodes.conditioning_combine(B, A)),
        ),
    }
    assert {name: dumps(tuple(found)) for name, (found, _) in pairs.items()} == {
        name: dumps(wanted) for name, (_, wanted) in pairs.items()
    }


def test_flux_guidance_and_references() -> None:
    assert nodes.flux_guidance(A, 2.5).entries[0].guidance == 2.5
    assert nodes.flux_disable_guidance(nodes.flux_guidance(A)).entries[0].guidance is None
    once = nodes.reference_latent(A, Latent(torch.zeros(1, 16, 8, 8)))
    twice = nodes.reference_latent(once, Latent(torch.ones(1, 16, 4, 4)))
    assert [tuple(r.shape) for r in twice.entries[0].reference_latents] == [(1, 16, 8, 8), (1, 16, 4, 4)]
    assert nodes.reference_latent(A) is A


def test_control_nets_pile_up_and_strength_0_does_nothing() -> None:
    picture = Image(torch.rand(1, 8, 8, 3))
    assert control_net_apply_advanced(A, B, NET, picture, 0.0) == (A, B)
    depth = set_union_control_net_type(NET, "depth")
    pair = control_net_apply_advanced(A, B, NET, picture, 0.5, 0.1, 0.9)
    pair = control_net_apply_advanced(*pair, depth, picture)
    controls = pair.negative.entries[0].controls
    assert [(c.net.union_type, c.strength, c.start, c.end) for c in controls] == [
        ("", 0.5, 0.1, 0.9),
        ("depth", 1.0, 0.0, 1.0),
    ]
    assert not pair.positive.entries[0].controls_uncond
    assert control_net_apply(A, NET, picture).entries[0].controls_uncond
    assert set_union_control_net_type(depth, "auto").union_type == ""
