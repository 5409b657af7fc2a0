"""Image encoders see what transformers' classes see, and a style model puts it after the text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from graphflow.detect import detect
from graphflow.models import Residency
from graphflow.models.vision import Redux, prepared
from graphflow.node import File
from graphflow.values import ClipVisionOutput, Cond, Conditioning, Image
from graphflow_nodes.vision import clip_vision_encode, clip_vision_loader, style_model_apply, style_model_loader
from tests.tiny import file, write_config


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


SIZES: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14,
}  # fmt: skip


def write(folder: Path, kind: str) -> tuple[nn.Module, File]:
    import transformers

    torch.manual_seed(0)
    if kind == "clip":
        module: Any = transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(**SIZES, projection_dim=12)
        )
    else:
        module = transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**SIZES))
    path = folder / f"{kind}.safetensors"
    state = {k: v.contiguous().clone() for k, v in module.state_dict().items() if not k.endswith("position_ids")}
    state = {
        k if k.startswith(("vision_model.", "visual_projection")) else f"vision_model.{k}": v for k, v in state.items()
    }
    save_file(state, path)
    write_config(path, "image_encoder", SIZES | ({"projection_dim": 12} if kind == "clip" else {}))
    return module.eval(), file(path)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
@torch.inference_mode()
def test_an_image_encoder_sees_what_transformers_sees(tmp_path: Path, kind: str) -> None:
    module, written = write(tmp_path, kind)
    picture = torch.rand(2, 40, 56, 3)
    assert detect(written.path).kind == "clip_vision"

    output = clip_vision_encode(clip_vision_loader(written), Image(picture))

    x = prepared(picture, 28, "center", siglip=kind == "siglip")
    expected = module(pixel_values=x, output_hidden_states=True)
    embeds = expected.image_embeds if kind == "clip" else expected.pooler_output
    torch.testing.assert_close(output.image_embeds, embeds)
    torch.testing.assert_close(output.last_hidden_state, expected.last_hidden_state)
    torch.testing.assert_close(output.penultimate_hidden_state, expected.hidden_states[-2])


def test_pictures_are_cut_square_or_squashed() -> None:
    picture = torch.zeros(1, 28, 84, 3)
    picture[:, :, 28:56] = 1

    assert prepared(picture, 28, "center").min() > 1.9  # the white middle alone
    assert prepared(picture, 28, "none").shape == (1, 3, 28, 28)


def redux(folder: Path) -> tuple[Redux, File]:
    torch.manual_seed(1)
    module = Redux(16, 24, 32)
    save_file(module.state_dict(), folder / "redux.safetensors")
    return module, file(folder / "redux.safetensors")


@torch.inference_mode()
def test_redux_puts_the_picture_s_tokens_after_the_text_s(tmp_path: Path) -> None:
    module, written = redux(tmp_path)
    seen = torch.randn(1, 5, 16)
    text = Cond(torch.randn(1, 7, 32), attention_mask=torch.ones(1, 7))

    (made,) = style_model_apply(
        Conditioning((text,)),
        style_model_loader(written),
        ClipVisionOutput(torch.zeros(1, 4), seen, seen),
        strength=0.5,
    ).entries

    torch.testing.assert_close(made.context, torch.cat([text.context, 0.5 * module(seen)], dim=1))
    assert made.attention_mask is not None
    assert made.attention_mask.shape == (1, 12)


def test_another_encoder_s_output_is_refused(tmp_path: Path) -> None:
    _, written = redux(tmp_path)
    seen = torch.randn(1, 5, 20)

    with pytest.raises(ValueError, match="looks at 16 channels, the image encoder gave 20"):
        style_model_apply(
            Conditioning((Cond(torch.zeros(1, 7, 32)),)),
            style_model_loader(written),
            ClipVisionOutput(seen[:, 0], seen, seen),
        )
