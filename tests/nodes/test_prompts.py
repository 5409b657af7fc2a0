"""A text for each encoder reaches that one: it gives what it gives where all encoders are told the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from graphflow.models import Residency
from graphflow.node import File, Text
from graphflow.values import Clip, Cond
from graphflow_nodes import prompts
from graphflow_nodes.conditioning import clip_text_encode
from graphflow_nodes.loaders import dual_clip_loader, quadruple_clip_loader, triple_clip_loader
from tests.test_text_encoders import clip, llm, t5, write

CAT, RED, A, BOTH = (Text(text) for text in ("a cat", "red", "a", "red cat"))


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, File]:
    """CLIP's L is 16 wide and its G 24."""
    folder = tmp_path_factory.mktemp("text_encoders")
    return {
        "l": write(folder, "l", clip(16), tokenizer=False),
        "g": write(folder, "g", clip(24, seed=5), tokenizer=False),
        "t5": write(folder, "t5", t5(64)),
        "llama": write(folder, "llama", llm("Llama"), prefix="model."),
    }


def alone(text: Text, encoder: Clip) -> Cond:
    """All encoders told the same."""
    return clip_text_encode(text, encoder).entries[0]


def assert_equal(found: torch.Tensor | None, *parts: torch.Tensor) -> None:
    assert found is not None
    torch.testing.assert_close(found, torch.cat(parts, -1))


def pooled(text: Text, encoder: Clip) -> tuple[torch.Tensor, torch.Tensor]:
    """L's and G's."""
    both = alone(text, encoder).pooled
    assert both is not None
    return both[:, :16], both[:, 16:]


def test_sdxl_and_flux(files: dict[str, File]) -> None:
    xl = dual_clip_loader(files["l"], files["g"], "sdxl")
    (cond,) = prompts.clip_text_encode_sdxl(xl, text_g=CAT, text_l=RED).entries
    assert_equal(cond.context, alone(RED, xl).context[..., :16], alone(CAT, xl).context[..., 16:])
    assert torch.equal(alone(CAT, xl).pooled, cond.pooled)
    assert not torch.equal(alone(RED, xl).pooled, cond.pooled)
    flux = dual_clip_loader(files["l"], files["t5"], "flux")
    (cond,) = prompts.clip_text_encode_flux(flux, CAT, RED).entries
    assert torch.equal(alone(CAT, flux).pooled, cond.pooled)
    assert torch.equal(alone(RED, flux).context, cond.context)
    assert not torch.equal(alone(CAT, flux).context, cond.context)


def test_stable_diffusion_3(files: dict[str, File]) -> None:
    sd3 = triple_clip_loader(files["l"], files["g"], files["t5"])
    (cond,) = prompts.clip_text_encode_sd3(sd3, CAT, RED, A).entries
    cat, red, a = (alone(text, sd3).context for text in (CAT, RED, A))
    assert_equal(cond.context[:, :77], cat[:, :77, :16], red[:, :77, 16:])
    assert torch.equal(cond.context[:, 77:], a[:, 77:])
    assert not torch.equal(cond.context[:, 77:], cat[:, 77:])
    assert_equal(cond.pooled, pooled(CAT, sd3)[0], pooled(RED, sd3)[1])


def test_hidream(files: dict[str, File]) -> None:
    four = quadruple_clip_loader(files["l"], files["g"], files["t5"], files["llama"])
    (cond,) = prompts.clip_text_encode_hidream(four, CAT, RED, A, BOTH).entries
    assert torch.equal(cond.context, alone(A, four).context)
    assert torch.equal(cond.extras["llama"], alone(BOTH, four).extras["llama"])
    assert not torch.equal(cond.extras["llama"], alone(CAT, four).extras["llama"])
    assert_equal(cond.pooled, pooled(CAT, four)[0], pooled(RED, four)[1])


@pytest.mark.parametrize(
    ("texts", "left"),
    [
        ({"l": "", "g": "a", "t5xxl": "a"}, (0.0, 1.0, 1.0, 1.0)),
        ({"l": "a", "g": " ", "t5xxl": "a"}, (1.0, 0.0, 1.0, 1.0)),
        ({"l": "a", "g": "a", "t5xxl": ""}, (1.0, 1.0, 1.0, 0.0)),
    ],
)
def test_without_padding_an_empty_text_is_silence_where_its_encoder_wrote(
    texts: dict[str, str], left: tuple[float, ...]
) -> None:
    """In Stable Diffusion 3's own widths: 768 channels of L, 1280 of G, no more of CLIP's tokens; then T5's tokens."""
    context = prompts._silenced(torch.ones(1, 154, 4096), texts)
    parts = context[:, :77, :768], context[:, :77, 768:2048], context[:, :77, 2048:], context[:, 77:]
    assert tuple(part.mean().item() for part in parts) == left
