"""Speed switches in jobs run by the engine: what they say is what happens, and nothing of it stays behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch._dynamo.backends.registry import register_backend
from torch.utils._python_dispatch import TorchDispatchMode

from graphflow.cache import Cache
from graphflow.diffusion.speed_patches import ChannelsLast, Compiled, CompilePatch, Kernels, repeated
from graphflow.engine import Engine
from graphflow.events import JobDone
from graphflow.files import ModelFiles
from graphflow.models import Residency, loaded
from graphflow.node import Artifact, Node, node, node_of
from graphflow.plan import compile
from graphflow.registry import discover
from graphflow.values import Latent, Model, Weights
from graphflow.workflow import parse
from tests.test_model_workflows import LOADED, NODES, of, sampled
from tests.test_speed import deeper, recipe, row
from tests.tiny import TINY, golden_sd15

GRAPHS: list[int] = []
"""Of each compiled graph, how often it has run."""


@register_backend  # type: ignore[misc]
def counting(graph: Any, _: Any) -> Any:
    """Compiles to the graph as it is, counted."""
    GRAPHS.append(0)
    number = len(GRAPHS) - 1

    def run(*inputs: Any) -> Any:
        GRAPHS[number] += 1
        return graph(*inputs)

    return run


@node("CompileWith", category="test")
def compile_with(model: Model, backend: str) -> Model:
    return model.patched(CompilePatch(backend))


class World:
    """An engine with a tiny model, and the latents of the jobs that it ran."""

    def __init__(self, root: Path) -> None:
        (root / "checkpoints").mkdir()
        (root / "loras").mkdir()
        golden_sd15(root / "checkpoints")
        key = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_v"
        torch.manual_seed(0)
        self.residency = Residency(device="cpu", dtype="float32")
        self.latents: list[Tensor] = []
        self.weights: Weights | None = None

        @node("Keep", category="test", output_node=True)
        def keep(latent: Latent, model: Model) -> Artifact:
            self.latents.append(latent.data)
            self.weights = model.weights
            return Artifact("text/plain", b"kept", "kept")

        with self.residency.active():
            extra: list[Node] = [node_of(keep), node_of(compile_with)]
            self.engine = Engine(discover().with_nodes(extra), Cache(10**7), ModelFiles([root]))
        width = self.unet().mid_block.attentions[0].transformer_blocks[0].attn1.to_v.weight.shape[0]
        save_file({f"{key}.lora_up.weight": torch.randn(width, 2), f"{key}.lora_down.weight": torch.randn(2, width)},
                  root / "loras" / "strong.safetensors")  # fmt: skip

    def run(self, nodes: dict[str, Any], model: dict[str, str]) -> Tensor:
        """The latent of a job that samples with a model."""
        kept = {"keep": {"type": "Keep", "inputs": {"latent": of("sample", "LATENT"), "model": model}}}
        graph = {key: value for key, value in sampled(model).items() if key == "sample"}
        document = parse({"graphflow": 1, "nodes": {**NODES, **nodes, **graph, **kept}})
        events: list[Any] = []
        shop = self.engine.shop
        shop.cache.clear()
        self.engine.run(compile(document, shop.definitions, shop.finder, job="j"), events.append)
        assert isinstance(events[-1], JobDone), events[-1]
        return self.latents[-1]

    def unet(self) -> Any:
        """The network, which a job has loaded."""
        if self.weights is None:
            self.run({}, LOADED)
        assert self.weights is not None
        with self.residency.active():
            return self.residency.get(self.weights, lambda: None).content.module  # type: ignore[arg-type,return-value,attr-defined]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("models"))
    yield made
    made.engine.close()


def compiled(backend: str, model: dict[str, str] = LOADED) -> dict[str, Any]:
    return {"fast": {"type": "CompileWith", "inputs": {"model": model, "backend": backend}}}


FAST = of("fast", "MODEL")
STRONG = {"strong": {"type": "LoraLoaderModelOnly", "inputs": {"model": LOADED, "lora_name": "strong.safetensors"}}}


def test_a_job_with_a_compiled_model_paints_the_same_and_leaves_the_network_as_it_was(world: World) -> None:
    plain = world.run({}, LOADED)
    blocks = repeated(world.unet())
    GRAPHS.clear()

    fast = world.run(compiled("counting"), FAST)

    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-3)
    assert 0 < len(GRAPHS) <= len(blocks)
    assert sum(GRAPHS) == 4 * len(blocks), "each block runs compiled at each of four steps"
    assert all("forward" not in block.__dict__ for block in blocks)
    ran = sum(GRAPHS)
    assert torch.equal(world.run({}, LOADED), plain)
    assert sum(GRAPHS) == ran, "another job's network is not the compiled one"

    made = len(GRAPHS)
    assert torch.equal(world.run(compiled("counting"), FAST), fast)
    assert len(GRAPHS) == made, "what was compiled is kept"


def test_a_lora_goes_on_a_compiled_model_and_off_again(world: World) -> None:
    plain = world.run({}, LOADED)
    strong = world.run(STRONG, of("strong", "MODEL"))
    fast = world.run(compiled("counting"), FAST)

    both = world.run({**STRONG, **compiled("counting", of("strong", "MODEL"))}, FAST)

    assert (strong - plain).abs().max() > 1e-2
    torch.testing.assert_close(both, strong, atol=1e-4, rtol=1e-3)
    assert torch.equal(world.run(compiled("counting"), FAST), fast)
    assert torch.equal(world.run({}, LOADED), plain)


@pytest.mark.slow
def test_the_node_s_own_compiler_paints_the_same(world: World) -> None:
    node = {"fast": {"type": "TorchCompileModel", "inputs": {"model": LOADED, "backend": "inductor"}}}

    torch.testing.assert_close(world.run(node, FAST), world.run({}, LOADED), atol=1e-4, rtol=1e-3)


def test_blocks_of_one_kind_share_what_is_compiled(tmp_path: Path) -> None:
    GRAPHS.clear()
    model = deeper(tmp_path, "z_image")
    with Residency(device="cpu", dtype="float32").active() as home, loaded(model) as live:
        for _ in range(2):
            live.predict([row(live, TINY["z_image"], None, edits=(Compiled("counting"),))])
        blocks = repeated(home.get(model.weights, lambda: None).content.module)  # type: ignore[arg-type,return-value,attr-defined]

    assert 0 < len(GRAPHS) < len(blocks)
    assert sum(GRAPHS) == 2 * len(blocks)


# --- the same work, done otherwise -----------------------------------------------------------------------------------


class Watch(TorchDispatchMode):
    """Notes how the pictures that go into convolutions lie: whether their channels are side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.lying: set[bool] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name == "aten::conv2d" and args[0].ndim == 4 and args[0].shape[1] > 1:
            self.lying.add(args[0].is_contiguous(memory_format=torch.channels_last))
        return func(*args, **(kwargs or {}))


def asked(folder: Path, watch: AbstractContextManager[Any], *edits: Any) -> None:
    with Residency(device="cpu", dtype="float32").active(), loaded(recipe(folder, "sd15")) as live, watch:
        live.predict([row(live, TINY["sd15"], None, edits=edits)])


def operations(folder: Path, *edits: Any) -> set[str]:
    """All that PyTorch computed."""
    profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
    asked(folder, profile, *edits)
    return {event.name for event in profile.events()}


def lying(folder: Path, *edits: Any) -> set[bool]:
    watch = Watch()
    asked(folder, watch, *edits)
    return watch.lying


def test_attention_is_computed_by_the_kernel_that_is_named(tmp_path: Path) -> None:
    flash = "aten::_scaled_dot_product_flash_attention_for_cpu"
    assert flash in operations(tmp_path)
    assert flash in operations(tmp_path, Kernels("flash"))
    assert flash not in operations(tmp_path, Kernels("math"))


def test_pictures_lie_with_their_channels_side_by_side_in_every_convolution(tmp_path: Path) -> None:
    assert False in lying(tmp_path)
    assert lying(tmp_path, ChannelsLast()) == {True}
    assert False in lying(tmp_path)
