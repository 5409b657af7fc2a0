"""Nodes that put something on a recipe put just that on it; and every node is named by some test."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from graphflow.diffusion import guidance_patches as g
from graphflow.diffusion import sampling_patches as s
from graphflow.diffusion.guidance import PerpNegPatch
from graphflow.diffusion.shrink import ShrinkPatch
from graphflow.models import Residency
from graphflow.node import File, Text
from graphflow.registry import discover
from graphflow.values import Cond, Conditioning, ControlNet, Image, Mask, Model, Sampler, Vae, Weights
from graphflow_nodes import conditioning as c
from graphflow_nodes import control, guidance, latent_operations, loaders, prompts, samplers
from graphflow_nodes import model_patches as m
from graphflow_nodes import model_sampling as ms
from graphflow_nodes.speed import torch_compile_model
from tests.tiny import golden_sd15

MODEL = Model(Weights((), "model"))
A, B = (Conditioning((Cond(torch.full((1, 3, 2), n)),)) for n in (1.0, 2.0))

PATCHES: dict[str, tuple[Callable[[], Model], Any]] = {
    "RescaleCFG": (lambda: m.rescale_cfg(MODEL, 0.5), g.RescaleCfg(0.5)),
    "RenormCFG": (lambda: m.renorm_cfg(MODEL, 10.0, 0.9), g.RenormCfg(10.0, 0.9)),
    "CFGZeroStar": (lambda: m.cfg_zero_star(MODEL), g.CfgZeroStar()),
    "CFGNorm": (lambda: m.cfg_norm(MODEL, 0.8), g.CfgNorm(0.8)),
    "TCFG": (lambda: m.tcfg(MODEL), g.TangentialDamping()),
    "APG": (lambda: m.apg(MODEL, 0.5, 10.0, -0.5), g.ProjectedGuidance(0.5, 10.0, -0.5)),
    "Mahiro": (lambda: m.mahiro(MODEL), g.Mahiro()),
    "FreSca": (lambda: m.fresca(MODEL, 0.9, 1.5, 7), g.FrequencyScale(0.9, 1.5, 7)),
    "Epsilon Scaling": (lambda: m.epsilon_scaling(MODEL, 1.01), g.EpsilonScaling(1.01)),
    "DifferentialDiffusion": (lambda: m.differential_diffusion(MODEL, 0.4), g.DifferentialDiffusion(0.4)),
    "VideoLinearCFGGuidance": (lambda: m.video_linear_cfg_guidance(MODEL, 1.5), g.FrameScale(1.5)),
    "VideoTriangleCFGGuidance": (lambda: m.video_triangle_cfg_guidance(MODEL, 1.5), g.FrameScale(1.5, triangle=True)),
    "SkipLayerGuidanceSD3": (
        lambda: m.skip_layer_guidance_sd3(MODEL, "7, 9", 2.0, 0.1, 0.2), g.SkipLayers((7, 9), (), 2.0, 0.1, 0.2),
    ),
    "SkipLayerGuidanceDiT": (
        lambda: m.skip_layer_guidance_dit(MODEL, "1", "2 3", 2.0, 0.1, 0.2, 0.5),
        g.SkipLayers((1,), (2, 3), 2.0, 0.1, 0.2, 0.5),
    ),
    "SkipLayerGuidanceDiTSimple": (
        lambda: m.skip_layer_guidance_dit_simple(MODEL, "1", "", 0.1, 0.2), g.SkipLayersUncond((1,), (), 0.1, 0.2),
    ),
    "FreeU": (lambda: m.freeu(MODEL), s.FreeUPatch(1.1, 1.2, 0.9, 0.2, 1)),
    "FreeU_V2": (lambda: m.freeu_v2(MODEL), s.FreeUPatch(1.3, 1.4, 0.9, 0.2, 2)),
    "HyperTile": (lambda: m.hyper_tile(MODEL, 128, 3, 1, True), s.HyperTilePatch(128, 3, 1, True)),
    "TomePatchModel": (lambda: m.tome_patch_model(MODEL, 0.5), s.MergeTokensPatch(0.5)),
    "PatchModelAddDownscale": (
        lambda: m.patch_model_add_downscale(MODEL, 2, 1.5, 0.1, 0.4, False, "bislerp", "area"),
        ShrinkPatch(2, 1.5, 0.1, 0.4, False, "bislerp", "area"),
    ),
    "UNetSelfAttentionMultiply": (
        lambda: m.unet_self_attention_multiply(MODEL, 1.0, 2.0, 3.0, 4.0), s.AttentionScalePatch(False, 1.0, 2.0, 3.0, 4.0),
    ),
    "UNetCrossAttentionMultiply": (
        lambda: m.unet_cross_attention_multiply(MODEL, 1.0, 2.0, 3.0, 4.0), s.AttentionScalePatch(True, 1.0, 2.0, 3.0, 4.0),
    ),
    "ModelSamplingContinuousEDM": (
        lambda: ms.model_sampling_continuous_edm(MODEL, "eps", 80.0, 0.01), s.ContinuousSampling("eps", 80.0, 0.01),
    ),
    "ModelSamplingContinuousV": (
        lambda: ms.model_sampling_continuous_v(MODEL, "v_prediction", 80.0, 0.01),
        s.ContinuousSampling("v_prediction", 80.0, 0.01, angular=True),
    ),
    "ModelSamplingSD3": (lambda: ms.model_sampling_sd3(MODEL, 5.0), s.FlowSampling(5.0, 1000.0)),
    "ModelSamplingAuraFlow": (lambda: ms.model_sampling_aura_flow(MODEL, 2.0), s.FlowSampling(2.0, 1.0)),
    "PerpNeg": (lambda: guidance.perp_neg(MODEL, A, 0.5), None),
    "TorchCompileModel": (lambda: torch_compile_model(MODEL, "cudagraphs"), None),
    "LatentApplyOperationCFG": (
        lambda: latent_operations.latent_apply_operation_cfg(
            MODEL, latent_operations.latent_operation_tonemap_reinhard(2.0)
        ),
        latent_operations.OperationOnGuidance(latent_operations.latent_operation_tonemap_reinhard(2.0)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("type", PATCHES)
def test_a_patch_is_put_on_the_model_with_its_numbers(type: str) -> None:
    make, expected = PATCHES[type]
    (patch,) = make().patches
    assert expected is None or patch == expected
    if type == "PerpNeg":
        assert isinstance(patch, PerpNegPatch)
        assert (patch.empty, patch.neg_scale) == (A, 0.5)
    if type == "TorchCompileModel":
        assert patch.backend == "cudagraphs"  # type: ignore[attr-defined]


def test_flows_are_moved_by_the_pictures_size() -> None:
    def mu(model: Model) -> float:
        (patch,) = model.patches
        assert isinstance(patch, s.MovedFlowSampling)
        return patch.mu

    # 256 tokens of 16 x 16 pixels take the base shift, 4096 the largest, and those between lie on a line
    assert mu(ms.model_sampling_flux(MODEL, 1.15, 0.5, 256, 256)) == pytest.approx(0.5)
    assert mu(ms.model_sampling_flux(MODEL, 1.15, 0.5, 1024, 1024)) == pytest.approx(1.15)
    assert mu(ms.model_sampling_ltxv(MODEL, 2.05, 0.95)) == pytest.approx(2.05)


# --- samplers --------------------------------------------------------------------------------------------------------

OPTIONS: dict[str, tuple[Sampler, str, dict[str, Any]]] = {
    "SamplerEulerAncestral": (samplers.sampler_euler_ancestral(0.5, 0.9), "euler_ancestral", {"eta": 0.5, "s_noise": 0.9}),
    "SamplerEulerAncestralCFGPP": (
        samplers.sampler_euler_ancestral_cfg_pp(0.5, 0.9), "euler_ancestral_cfg_pp", {"eta": 0.5, "s_noise": 0.9},
    ),
    "SamplerEulerCFGpp": (samplers.sampler_euler_cfg_pp("alternative"), "euler_cfg_pp", {"alternative": 1.0}),
    "SamplerDPMPP_2S_Ancestral": (
        samplers.sampler_dpmpp_2s_ancestral(0.5, 0.9), "dpmpp_2s_ancestral", {"eta": 0.5, "s_noise": 0.9},
    ),
    "SamplerDPMPP_SDE": (
        samplers.sampler_dpmpp_sde(0.5, 0.9, 0.4, "cpu"), "dpmpp_sde", {"eta": 0.5, "s_noise": 0.9, "r": 0.4},
    ),
    "SamplerDPMPP_2M_SDE": (
        samplers.sampler_dpmpp_2m_sde("heun", 0.5, 0.9, "gpu"), "dpmpp_2m_sde_gpu",
        {"eta": 0.5, "s_noise": 0.9, "solver_type": "heun"},
    ),
    "SamplerDPMPP_3M_SDE": (
        samplers.sampler_dpmpp_3m_sde(0.5, 0.9, "cpu"), "dpmpp_3m_sde", {"eta": 0.5, "s_noise": 0.9},
    ),
    "SamplerLMS": (samplers.sampler_lms(2), "lms", {"order": 2}),
    "SamplerDPMAdaptative": (
        samplers.sampler_dpm_adaptative(2, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), "dpm_adaptive",
        {
            "order": 2, "rtol": 0.1, "atol": 0.2, "h_init": 0.3, "pcoeff": 0.4, "icoeff": 0.5, "dcoeff": 0.6,
            "accept_safety": 0.7, "eta": 0.8, "s_noise": 0.9,
        },
    ),
    "SamplerER_SDE": (
        samplers.sampler_er_sde("ODE", 2, 0.5, 0.9), "er_sde",
        {"solver_type": "ODE", "max_stage": 2, "eta": 0.5, "s_noise": 0.9},
    ),
    "SamplerLCMUpscale": (
        samplers.sampler_lcm_upscale(1.5, 3, "area"), "lcm_upscale",
        {"total_upscale": 1.5, "upscale_steps": 3, "upscale_method": "area"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("type", OPTIONS)
def test_a_sampler_is_told_its_options(type: str) -> None:
    sampler, name, options = OPTIONS[type]
    assert (sampler.name, dict(sampler.options)) == (name, options)


def test_guiders_keep_their_roles_and_scales() -> None:
    perp = guidance.perp_neg_guider(MODEL, A, B, A, 4.0, 0.5)
    assert (perp.kind, [role for role, _ in perp.conditionings]) == ("perp_neg", ["positive", "negative", "empty"])
    assert dict(perp.options) == {"scale": 4.0, "neg_scale": 0.5}
    dual = guidance.dual_cfg_guider(MODEL, A, B, A, 2.0, 3.0, "nested")
    assert (dual.kind, [role for role, _ in dual.conditionings]) == ("dual_cfg", ["positive", "middle", "negative"])
    assert dict(dual.options) == {"scale": 2.0, "scale_middle": 3.0, "style": "nested"}


# --- with a small model ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> File:
    return golden_sd15(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def parts(tiny: File) -> Iterator[loaders.CheckpointParts]:
    with Residency(device="cpu", dtype="float32").active(), torch.inference_mode():
        yield loaders.checkpoint_loader_simple(tiny)


def test_a_solver_asks_the_model_where_its_noise_begins_and_ends(parts: loaders.CheckpointParts) -> None:
    sa = dict(samplers.sampler_sa_solver(parts.MODEL, sde_start_percent=0.0, sde_end_percent=1.0, eta=0.5).options)
    assert (sa["eta"], sa["sde_start_sigma"], sa["sde_end_sigma"]) == (0.5, 999999999.9, 0.0)


def test_prompts_for_several_encoders_reach_those_that_are_there(parts: loaders.CheckpointParts) -> None:
    clip = parts.CLIP
    cat = c.clip_text_encode(Text("a cat"), clip).entries[0].context
    no = Text("")
    xl = prompts.clip_text_encode_sdxl(
        clip, width=8, height=16, target_width=24, target_height=32, text_g=no, text_l=Text("a cat")
    )
    assert torch.equal(xl.entries[0].context, cat)
    assert dict(xl.entries[0].extras) == {
        "width": 8, "height": 16, "crop_w": 0, "crop_h": 0, "target_width": 24, "target_height": 32,
    }  # fmt: skip
    flux = prompts.clip_text_encode_flux(clip, Text("a cat"), no, 2.5).entries[0]
    assert (torch.equal(flux.context, cat), flux.guidance) == (True, 2.5)
    assert torch.equal(prompts.clip_text_encode_sd3(clip, Text("a cat"), no, no).entries[0].context, cat)
    assert torch.equal(prompts.clip_text_encode_hidream(clip, Text("a cat"), no, no, no).entries[0].context, cat)
    told = prompts.clip_text_encode_lumina2(system_prompt="superior", user_prompt=Text("a cat"), clip=clip)
    whole = f"{prompts.LUMINA2['superior']} <Prompt Start> a cat"
    assert torch.equal(told.entries[0].context, c.clip_text_encode(Text(whole), clip).entries[0].context)


def test_a_folder_loader_gives_what_the_checkpoint_loader_gives(tiny: File, parts: loaders.CheckpointParts) -> None:
    assert loaders.diffusers_loader(tiny) == parts


def test_pictures_beside_the_latent_and_controls_on_both_prompts(parts: loaders.CheckpointParts) -> None:
    picture = Image(torch.rand(1, 20, 16, 3))
    pair = control.instruct_pix_to_pix_conditioning(A, B, parts.VAE, picture)
    beside = pair.positive.entries[0].concat_latent
    assert beside is not None
    assert (tuple(beside.shape), pair.latent.data.abs().sum().item()) == ((1, 4, 2, 2), 0.0)  # 16 of the 20 rows
    net, vae = ControlNet(Weights((), "controlnet")), Vae(Weights((), "vae"))
    steered = control.control_net_apply_sd3(A, B, net, vae, picture, 0.5, 0.1, 0.9)
    one = steered.negative.entries[0].controls[0]
    assert (one.strength, one.start, one.end, one.vae) == (0.5, 0.1, 0.9, vae)
    hole = torch.zeros(1, 20, 16)
    hole[:, :10] = 1.0
    masked = control.control_net_inpainting_alimama_apply(A, B, net, vae, picture, Mask(hole))
    told = masked.positive.entries[0].controls[0]
    assert told.hint[0, :10].abs().sum() == 0
    assert torch.equal(told.hint[0, 10:], picture.data[0, 10:])
    assert told.mask is not None
    assert torch.equal(told.mask, 1 - hole)


def test_properties_and_pairs_stand_beside_what_was_there() -> None:
    both = c.conditioning_set_properties_and_combine(A, B, 0.5, mask=Mask(torch.ones(1, 2, 2)))
    assert [(e.strength, e.mask_strength) for e in both.entries] == [(1.0, 1.0), (1.0, 0.5)]
    pair = c.pair_conditioning_set_properties(A, B, 0.5)
    assert [side.entries[0].strength for side in pair] == [0.5, 0.5]
    defaults = c.pair_conditioning_set_default_combine(A, B, B, A)
    assert [[e.default for e in side.entries] for side in defaults] == [[False, True], [False, True]]
    combined = c.pair_conditioning_combine(A, B, B, A)
    assert [[e.context.mean().item() for e in side.entries] for side in combined] == [[1.0, 2.0], [2.0, 1.0]]


# --- all of them -----------------------------------------------------------------------------------------------------


def test_every_node_is_named_by_a_test() -> None:
    """By its function, or by its type in a workflow: that says a test is about it, not how good the test is."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].rglob("*.py"))
    words, quoted = set(re.findall(r"\w+", text)), set(re.findall(r"[\"']([^\"'\n]+)[\"']", text))
    ours = {type: node for type, node in discover().nodes.items() if node.definition.pack == "core"}
    unnamed = {type for type, node in ours.items() if node.function.__name__ not in words and type not in quoted}
    assert unnamed == set(), "write a test that calls them on small values and states the numbers"
