"""Switches that make a model faster, each for what it costs in likeness; `python -m benchmarks.speed` measures them."""

from __future__ import annotations

from typing import Annotated, Literal

from graphflow.api import Model, node
from graphflow.diffusion.speed_patches import (
    ChannelsLastPatch,
    CompilePatch,
    DeepCachePatch,
    EasyCachePatch,
    FirstBlockPatch,
    Kernel,
    KernelPatch,
)

from ._fields import said, span
from .conditioning import Percent

SPEED = "advanced/speed"


@node("DeepCache", title="DeepCache", category=SPEED)
def deep_cache(
    model: Model,
    interval: Annotated[int, span(1, 20, 1, "One call of so many computes everything.")] = 3,
    depth: Annotated[int, span(1, 8, 1, "How many outer levels are always computed.")] = 1,
    start_percent: Percent = 0.0,
    end_percent: Percent = 1.0,
) -> Model:
    """Faster U-Nets: deep features are taken from an earlier step, which changes details of the picture a little.

    On the model on board, in 20 steps: interval 2 gives 57 dB of likeness (PSNR), 3 gives 52, 4 gives 40, 5 gives
    37. For Stable Diffusion 1.5, 2 and XL. Other jobs on the same model are not touched.
    """
    return model.patched(DeepCachePatch(interval, depth, start_percent, end_percent))


@node("FirstBlockCache", title="First Block Cache", category=SPEED)
def first_block_cache(
    model: Model,
    threshold: Annotated[float, span(0.0, 1.0, 0.01, "A larger one skips more, and changes the picture more.")] = 0.1,
    max_skips: Annotated[int, span(1, 100, 1, "Steps skipped in a row, at most.")] = 3,
    start_percent: Percent = 0.0,
    end_percent: Percent = 1.0,
) -> Model:
    """Faster transformers: while the first block sees little change, the others repeat what they said before.

    The default is not measured here: others publish 0.05 to 0.12 for Flux. For Stable Diffusion 3, Flux,
    Qwen-Image, Z-Image, Wan and their kin. Other jobs on the same model are not touched.
    """
    return model.patched(FirstBlockPatch(threshold, max_skips, start_percent, end_percent))


Reuse = Annotated[float, span(0.0, 3.0, 0.01, "A larger one computes less, and changes the picture more.")]


@node("EasyCache", title="EasyCache", category="advanced/debug/model", experimental=True)
def easy_cache(
    model: Model,
    reuse_threshold: Reuse = 0.2,
    start_percent: Percent = 0.15,
    end_percent: Percent = 0.95,
    verbose: bool = False,
) -> Model:
    """Faster models of every family: while the output moves along with the input, whole calls are left out.

    On the model on board, in 20 steps: a threshold of 0.1 gives 54 dB of likeness (PSNR), 0.2 gives 40, 0.3 gives 33.
    `verbose` makes no difference here. Other jobs on the same model are not touched.
    """
    return model.patched(EasyCachePatch(reuse_threshold, start_percent, end_percent))


@node("LazyCache", title="LazyCache", category="advanced/debug/model", experimental=True)
def lazy_cache(
    model: Model,
    reuse_threshold: Reuse = 0.2,
    start_percent: Percent = 0.15,
    end_percent: Percent = 0.95,
    verbose: bool = False,
) -> Model:
    """The same as EasyCache, which here serves every family and kind of guidance already."""
    return easy_cache(model, reuse_threshold, start_percent, end_percent, verbose)


@node("TorchCompileModel", category="_for_testing", experimental=True)
def torch_compile_model(model: Model, backend: Literal["inductor", "cudagraphs"] = "inductor") -> Model:
    """Compiles the model's repeated blocks at their first use, which takes a while, and is faster from then on.

    Needs a C++ compiler, on NVIDIA cards Triton. The last bits of a picture may differ.
    """
    return model.patched(CompilePatch(backend))


@node("AttentionKernel", title="Attention Kernel", category=SPEED)
def attention_kernel(
    model: Model, kernel: Annotated[Kernel, said("Which there are depends on the device and the dtype.")] = "efficient"
) -> Model:
    """Computes attention by one of PyTorch's kernels, instead of the one that PyTorch chooses."""
    return model.patched(KernelPatch(kernel))


@node("ChannelsLast", title="Channels Last", category=SPEED)
def channels_last(model: Model) -> Model:
    """Lays pictures out for convolutions with their channels side by side: faster U-Nets on many devices."""
    return model.patched(ChannelsLastPatch())
