"""LoRA and its kin change weights by their formulas, whatever their files' names, and leave no trace when taken out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow.errors import UnsupportedFile
from graphflow.models import Residency, check_lora, checkpoint, loaded, residency
from graphflow.models.lora import groups
from graphflow.node import File
from graphflow.values import Clip, Lora, Model, Weights
from graphflow_nodes.lora import lora_loader, lora_loader_model_only
from tests.tiny import TINY, file, golden_sd15, network, single_file

OURS = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
THEIRS = "middle_block.1.transformer_blocks.0.attn2.to_k"
TEXT = "text_model.encoder.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> File:
    return golden_sd15(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def weight(recipe: Model | Clip, name: str = f"{OURS}.weight") -> Tensor:
    """A weight as it is with the recipe's patches."""

    def load() -> Any:
        raise AssertionError("it is loaded already")

    with loaded(recipe), residency().ready(recipe.weights, recipe.patches, load) as resident:
        return resident.content.modules[0].get_parameter(name).clone()


def write(folder: Path, state: dict[str, Tensor]) -> File:
    path = folder / f"{abs(hash(tuple(state)))}.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    return file(path)


def r(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))) * 0.1


STYLES: dict[str, tuple[str, str, str]] = {
    "kohya": ("lora_unet_" + OURS.replace(".", "_"), ".lora_up.weight", ".lora_down.weight"),
    "kohya with original names": ("lora_unet_" + THEIRS.replace(".", "_"), ".lora_up.weight", ".lora_down.weight"),
    "diffusers": (f"unet.{OURS}", ".lora_B.weight", ".lora_A.weight"),
    "diffusers of old": (f"unet.{OURS}", ".lora.up.weight", ".lora.down.weight"),
    "attention processors": (
        f"unet.{OURS.replace('.to_k', '.processor.to_k')}", "_lora.up.weight", "_lora.down.weight",
    ),
    "peft": (f"base_model.model.{OURS}", ".lora_B.default.weight", ".lora_A.default.weight"),
    "original names": (f"diffusion_model.{THEIRS}", ".lora_B.weight", ".lora_A.weight"),
    "bare names": (OURS, ".lora_B.weight", ".lora_A.weight"),
    "lycoris": ("lycoris_" + OURS.replace(".", "_"), ".lora_up.weight", ".lora_down.weight"),
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_a_lora_is_understood_in_every_style_of_names(tiny: File, tmp_path: Path, style: str) -> None:
    name, up, down = STYLES[style]
    model = checkpoint(tiny).model
    before = weight(model)
    lora = write(tmp_path, {name + up: r(128, 4), name + down: r(4, 32)})

    after = weight(lora_loader_model_only(model, lora, 0.5))

    torch.testing.assert_close(after, before + 0.5 * r(128, 4) @ r(4, 32))


def test_alpha_over_rank_scales_the_change(tiny: File, tmp_path: Path) -> None:
    name = STYLES["kohya"][0]
    state = {
        f"{name}.lora_up.weight": r(128, 4),
        f"{name}.lora_down.weight": r(4, 32),
        f"{name}.alpha": torch.tensor(2.0),
    }
    model = checkpoint(tiny).model

    after = weight(lora_loader_model_only(model, write(tmp_path, state)))

    torch.testing.assert_close(after, weight(model) + 0.5 * r(128, 4) @ r(4, 32))


def test_several_loras_add_up_and_are_taken_out_without_a_trace(tiny: File, tmp_path: Path) -> None:
    name = STYLES["diffusers"][0]
    one = write(tmp_path, {f"{name}.lora_B.weight": r(128, 4), f"{name}.lora_A.weight": r(4, 32)})
    other = write(tmp_path, {f"{name}.diff": r(128, 32)})
    model = checkpoint(tiny).model
    before = weight(model)

    both = weight(model.patched(Lora(one, 0.7), Lora(other, -0.2)))
    torch.testing.assert_close(both, before + 0.7 * r(128, 4) @ r(4, 32) - 0.2 * r(128, 32))

    assert torch.equal(weight(model), before)


def test_the_model_is_not_read_again_when_loras_change(tiny: File, tmp_path: Path, home: Residency) -> None:
    name = STYLES["diffusers"][0]
    lora = write(tmp_path, {f"{name}.diff": r(128, 32)})
    model = checkpoint(tiny).model
    for recipe in (model, model.patched(Lora(lora, 1.0)), model):
        weight(recipe)

    assert [entry["part"] for entry in home.report()] == ["model"]


@pytest.mark.parametrize("name", ["lora_te_" + TEXT.replace(".", "_"), "lora_te1_" + TEXT.replace(".", "_"),
                                  f"text_encoder.{TEXT}", f"text_encoders.clip_l.transformer.{TEXT}"])  # fmt: skip
def test_the_text_encoder_is_changed_by_its_own_strength(tiny: File, tmp_path: Path, name: str) -> None:
    parts = checkpoint(tiny)
    assert isinstance(parts.clip, Clip)
    lora = write(tmp_path, {f"{name}.lora_up.weight": r(32, 2), f"{name}.lora_down.weight": r(2, 32)})
    before = weight(parts.clip, f"{TEXT}.weight")

    model, clip = lora_loader(parts.model, parts.clip, lora, strength_model=0.0, strength_clip=2.0)

    assert model == parts.model
    torch.testing.assert_close(weight(clip, f"{TEXT}.weight"), before + 2 * r(32, 2) @ r(2, 32))


def test_strength_zero_leaves_the_recipes_alone(tiny: File, tmp_path: Path) -> None:
    parts = checkpoint(tiny)
    assert isinstance(parts.clip, Clip)

    assert lora_loader(parts.model, parts.clip, File("not read", tmp_path, ""), 0, 0) == (parts.model, parts.clip)


def test_a_bias_is_changed_by_its_difference(tiny: File, tmp_path: Path) -> None:
    model = checkpoint(tiny).model
    lora = write(tmp_path, {"lora_unet_conv_in.diff_b": r(32)})
    before = weight(model, "conv_in.bias")

    torch.testing.assert_close(weight(lora_loader_model_only(model, lora), "conv_in.bias"), before + r(32))


def test_a_file_of_which_nothing_applies_is_refused_with_its_keys(tiny: File, tmp_path: Path) -> None:
    lora = write(
        tmp_path, {"lora_unet_elsewhere.lora_up.weight": r(4, 2), "lora_unet_elsewhere.lora_down.weight": r(2, 4)}
    )

    with pytest.raises(UnsupportedFile, match=r"nothing in .* applies to this model; its keys are lora_unet_elsewhere"):
        lora_loader_model_only(checkpoint(tiny).model, lora)


def test_unknown_keys_are_listed_beside_what_applies(tiny: File, tmp_path: Path) -> None:
    state = {f"{OURS}.diff": r(128, 32), "lora_unet_elsewhere.diff": r(2, 2), "what": r(1)}

    fit = check_lora(write(tmp_path, state), checkpoint(tiny).model)

    assert (fit.applied, fit.unknown) == (1, ("what", "lora_unet_elsewhere"))


def test_a_lora_of_other_widths_is_refused_at_the_weight_that_does_not_fit(tiny: File, tmp_path: Path) -> None:
    lora = write(tmp_path, {f"{OURS}.lora_B.weight": r(320, 4), f"{OURS}.lora_A.weight": r(4, 768)})
    model = checkpoint(tiny).model
    before = weight(model)

    with pytest.raises(UnsupportedFile, match=r"does not fit this model at .*attn2\.to_k"):
        weight(model.patched(Lora(lora, 1.0)))

    assert torch.equal(weight(model), before)


def test_a_checkpoint_is_no_lora(tiny: File) -> None:
    with pytest.raises(UnsupportedFile, match=r"is no LoRA: it is a checkpoint for Stable Diffusion 1\.5"):
        lora_loader_model_only(checkpoint(tiny).model, tiny)


def test_half_precision_weights_are_merged_in_single(tiny: File, tmp_path: Path) -> None:
    name = STYLES["diffusers"][0]
    lora = write(tmp_path, {f"{name}.diff": r(128, 32)})
    model = checkpoint(tiny).model
    with Residency(device="cpu", dtype="float16").active():
        before, after = weight(model), weight(model.patched(Lora(lora, 0.3)))

    assert torch.equal(after, (before.float() + 0.3 * r(128, 32)).half())


def test_every_end_of_a_name_is_told_from_the_module() -> None:
    found, unknown = groups(
        ["a.b.lora_up.weight", "a.b.lora_down.weight", "a.b.alpha", "c.hada_w1_a", "c.w_norm", "loss"]
    )

    assert [(g.name, sorted(g.keys)) for g in found] == [("a.b", ["alpha", "down", "up"]), ("c", ["diff", "hada_w1_a"])]
    assert unknown == ["loss"]


@pytest.mark.parametrize("prefix", ["", "diffusion_model."])
def test_xlabs_loras_change_the_blocks_of_flux_as_diffusers_converts_them(tmp_path: Path, prefix: str) -> None:
    from diffusers.loaders.lora_conversion_utils import _convert_xlabs_flux_lora_to_diffusers

    module = network(TINY["flux"])
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    sizes = {"double_blocks.0.processor.qkv_lora1": (96, 32), "double_blocks.0.processor.proj_lora1": (32, 32),
             "double_blocks.0.processor.qkv_lora2": (96, 32), "double_blocks.0.processor.proj_lora2": (32, 32),
             "single_blocks.0.processor.qkv_lora": (96, 32), "single_blocks.0.processor.proj_lora": (32, 160)}  # fmt: skip
    state = {}
    for number, (name, (rows, columns)) in enumerate(sizes.items()):
        state[f"{prefix}{name}.up.weight"] = r(rows, 2) * (number + 1)
        state[f"{prefix}{name}.down.weight"] = r(2, columns)
    lora = write(tmp_path, state)
    model = Model(Weights((single_file(tmp_path, TINY["flux"], module),), "model", "flux"))

    fit = check_lora(lora, model)
    changed = lora_loader_model_only(model, lora, 0.5)

    converted = _convert_xlabs_flux_lora_to_diffusers(dict(state))
    names = {key.removeprefix("transformer.").rsplit(".lora_", 1)[0] for key in converted}
    assert (fit.applied, fit.unknown) == (len(sizes), ())
    assert len(names) == 3 + 1 + 3 + 1 + 3 + 1
    for name in names:
        delta = converted[f"transformer.{name}.lora_B.weight"] @ converted[f"transformer.{name}.lora_A.weight"]
        torch.testing.assert_close(weight(changed, f"{name}.weight"), before[f"{name}.weight"] + 0.5 * delta)
    untouched = "single_transformer_blocks.0.proj_mlp.weight"
    assert torch.equal(weight(changed, untouched), before[untouched])


def test_a_bias_beside_a_lora_s_second_matrix_is_added(tiny: File, tmp_path: Path) -> None:
    model = checkpoint(tiny).model
    name, bias = OURS.replace("attn2.to_k", "attn2.to_out.0"), r(128)
    before = weight(model, f"{name}.bias")
    lora = write(tmp_path, {f"unet.{name}.lora_A.weight": r(2, 128), f"unet.{name}.lora_B.weight": r(128, 2),
                            f"unet.{name}.lora_B.bias": bias})  # fmt: skip

    changed = lora_loader_model_only(model, lora, 0.5)

    torch.testing.assert_close(weight(changed, f"{name}.bias"), before + 0.5 * bias)


def test_a_bias_of_the_second_matrix_is_scaled_as_it_is(tiny: File, tmp_path: Path) -> None:
    model = checkpoint(tiny).model
    name, bias = OURS.replace("attn2.to_k", "attn2.to_out.0"), r(128)
    lora = write(tmp_path, {f"unet.{name}.lora_A.weight": r(4, 128), f"unet.{name}.lora_B.weight": r(128, 4),
                            f"unet.{name}.lora_B.bias": bias, f"unet.{name}.alpha": torch.tensor(2.0)})  # fmt: skip

    changed = weight(lora_loader_model_only(model, lora), f"{name}.bias")

    torch.testing.assert_close(changed, weight(model, f"{name}.bias") + bias * 2 / 4)


@pytest.mark.parametrize(
    ("said", "scale"),
    [
        ({"unet.r": 4, "unet.lora_alpha": 8}, 8 / 4),
        ({"unet.r": 4, "unet.lora_alpha": 8, "unet.use_rslora": True}, 8 / 2),
        ({"unet.r": 9, "unet.lora_alpha": 8, "unet.use_rslora": True, "unet.rank_pattern": {"attn2.to_k": 4},
          "unet.alpha_pattern": {"attn2.to_k": 6}}, 6 / 2),
        ({"text_encoder.r": 4, "text_encoder.lora_alpha": 8}, 1.0),
    ],
)  # fmt: skip
def test_metadata_of_peft_say_how_strong_a_lora_was_trained_to_be(
    tiny: File, tmp_path: Path, said: dict[str, Any], scale: float
) -> None:
    path, model = tmp_path / "peft.safetensors", checkpoint(tiny).model
    state = {f"unet.{OURS}.lora_B.weight": r(128, 4), f"unet.{OURS}.lora_A.weight": r(4, 32)}
    save_file(state, path, {"lora_adapter_metadata": json.dumps(said)})

    after = weight(lora_loader_model_only(model, file(path)))

    torch.testing.assert_close(after, weight(model) + scale * r(128, 4) @ r(4, 32))


@pytest.mark.parametrize("said", ["no json", "[1]", '{"unet.lora_alpha": "x", "unet.alpha_pattern": {"(": 1}}'])
def test_metadata_that_say_nothing_are_let_be(tiny: File, tmp_path: Path, said: str) -> None:
    path, model = tmp_path / "peft.safetensors", checkpoint(tiny).model
    state = {f"unet.{OURS}.lora_B.weight": r(128, 4), f"unet.{OURS}.lora_A.weight": r(4, 32)}
    save_file(state, path, {"lora_adapter_metadata": said})

    torch.testing.assert_close(weight(lora_loader_model_only(model, file(path))), weight(model) + r(128, 4) @ r(4, 32))


def test_norms_are_changed_by_their_differences_or_replaced(tiny: File, tmp_path: Path) -> None:
    name, model = OURS.replace("attn2.to_k", "norm2"), checkpoint(tiny).model
    flat = "lora_unet_" + name.replace(".", "_")
    before = [weight(model, f"{name}.{end}") for end in ("weight", "bias")]

    differences = lora_loader_model_only(
        model, write(tmp_path, {f"{flat}.w_norm": r(128), f"{flat}.b_norm": 2 * r(128)}), 0.5
    )
    replaced = lora_loader_model_only(model, write(tmp_path, {f"{name}.set_weight": r(128)}))
    halfway = model.patched(Lora(write(tmp_path, {f"{name}.set_weight": r(128)}), 0.5))

    torch.testing.assert_close(weight(differences, f"{name}.weight"), before[0] + 0.5 * r(128))
    torch.testing.assert_close(weight(differences, f"{name}.bias"), before[1] + r(128))
    torch.testing.assert_close(weight(replaced, f"{name}.weight"), r(128))
    torch.testing.assert_close(weight(halfway, f"{name}.weight"), (before[0] + r(128)) / 2)


@pytest.mark.parametrize(
    ("end", "title"),
    [("boft_R", "BOFT of peft"), ("oft_r.default", "OFT of peft before 0.15"), ("vera_lambda_d", "VeRA"), ("hra_u", "HRA"),
     ("ia3_l", "IA3 of peft")],
)  # fmt: skip
def test_a_kind_that_is_not_supported_is_named(tiny: File, tmp_path: Path, end: str, title: str) -> None:
    lora = write(tmp_path, {f"base_model.model.{OURS}.{end}": r(2, 2)})

    with pytest.raises(UnsupportedFile, match=rf"a kind that is not supported \({title}\); those that are: LoRA, "):
        lora_loader_model_only(checkpoint(tiny).model, lora)
