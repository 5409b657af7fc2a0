"""Caches that skip work in a network by what an earlier step of the same sampling computed.

What is kept belongs to one sampling and to one set of rows: jobs on the same network neither see nor share it, and a job
that asks a question in another way (one more region, another batch) begins anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.diffusion.edits import hooked, replaced

State = MutableMapping[str, Any]
"""What one set of rows keeps from call to call."""


class _Inside:
    """A cache that changes a module while it runs."""

    def applied(self, module: nn.Module, state: State, *, steered: bool) -> AbstractContextManager[object]:
        """Changes the module on entry and restores it on exit."""
        raise NotImplementedError

    def answer(
        self, module: nn.Module, x: Tensor, state: State, compute: Callable[[], Tensor], *, steered: bool
    ) -> Tensor:
        """What the changed module gives."""
        with self.applied(module, state, steered=steered):
            return compute()


@dataclass(frozen=True)
class EasyCache:
    """EasyCache (https://arxiv.org/abs/2507.02860): while the output moves along with the input, it is not computed.

    What an output differs by from its input is put on the next inputs, as long as the changes that are to be expected add
    up to less than `threshold`, relative to the output, in the row that changes most.
    """

    threshold: float = 0.2

    def answer(
        self, module: nn.Module, x: Tensor, state: State, compute: Callable[[], Tensor], *, steered: bool
    ) -> Tensor:
        """The output, of a network of any kind."""
        if self._repeats(x, state):
            state["last"] = x
            change: Tensor = state["change"]
            return x[:, : change.shape[1]] + change
        out = compute()
        if "out" in state and state["out"].shape == out.shape:
            state["rate"] = _size(out - state["out"]) / _size(x - state["x"]).clamp(min=1e-12)
        state.update(x=x, last=x, out=out, change=out - x[:, : out.shape[1]], error=0.0)
        return out

    def _repeats(self, x: Tensor, state: State) -> bool:
        if "rate" not in state or state["last"].shape != x.shape:
            return False
        moved = state["rate"] * _size(x - state["last"]) / _size(state["out"]).clamp(min=1e-12)
        state["error"] += float(moved.max())
        return bool(state["error"] < self.threshold)


def _size(x: Tensor) -> Tensor:
    """(N,): the mean absolute value of each row."""
    return x.float().abs().flatten(1).mean(1)


@dataclass(frozen=True)
class DeepCache(_Inside):
    """DeepCache (https://arxiv.org/abs/2312.00858): a U-Net's deep features change slowly, so most calls reuse them.

    One call of `interval` computes everything; the others compute the `depth` outermost levels alone.
    """

    interval: int = 3
    depth: int = 1

    def applied(self, module: nn.Module, state: State, *, steered: bool) -> AbstractContextManager[object]:
        """For the length of one call. Raises `ValueError` for a network that is no U-Net."""
        unet: Any = module
        if not hasattr(unet, "up_blocks"):
            raise ValueError("DeepCache is for U-Nets; for this model take FirstBlockCache")
        depth = min(self.depth, len(unet.up_blocks) - 1)
        if depth < 1:
            return contextlib.nullcontext()
        calls = state["calls"] = state.get("calls", -1) + 1
        if calls % self.interval == 0 or "deep" not in state:
            return hooked([unet.up_blocks[-depth - 1].register_forward_hook(_kept(state))])
        return self._shallow(unet, state["deep"], depth)

    @contextlib.contextmanager
    def _shallow(self, unet: Any, deep: Tensor, depth: int) -> Iterator[None]:
        """The inner levels make nothing, but for the last of them, which gives what it gave before."""
        down, up = list(unet.down_blocks[depth:]), list(unet.up_blocks[:-depth])
        middle = [] if unet.mid_block is None else [unet.mid_block]

        def outermost(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
            inside = kwargs.get("down_intrablock_additional_residuals")
            return args, {**kwargs, "down_intrablock_additional_residuals": inside[:depth] if inside else None}

        with (
            hooked([unet.register_forward_pre_hook(outermost, with_kwargs=True)]),
            replaced(down, "forward", _no_skips),
            replaced([*middle, *up[:-1]], "forward", lambda _: lambda *a, **k: _nothing(a, k)),
            replaced(up[-1:], "forward", lambda _: lambda *_, **__: deep),
        ):
            yield


def _kept(state: State) -> Callable[[nn.Module, Any, Tensor], None]:
    def hook(module: nn.Module, args: Any, output: Tensor) -> None:
        state["deep"] = output

    return hook


def _nothing(args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    """A number that can be added to a tensor of any shape, as ControlNets do."""
    x = args[0] if args else kwargs["hidden_states"]
    return torch.zeros((), dtype=x.dtype, device=x.device)


def _no_skips(block: Any) -> Callable[..., Any]:
    count = len(block.resnets) + len(block.downsamplers or ())

    def forward(*args: Any, **kwargs: Any) -> Any:
        nothing = _nothing(args, kwargs)
        return nothing, (nothing,) * count

    return forward


BLOCKS = ("transformer_blocks", "joint_transformer_blocks", "blocks", "layers", "single_transformer_blocks")
"""What transformers call their lists of blocks, in the order in which they run."""


@dataclass(frozen=True)
class FirstBlockCache(_Inside):
    """First-block cache: while what a transformer's first block adds changes little, the other blocks are not asked.

    What they added before is added again. `threshold` is the mean change relative to the last whole call's, of the row
    that changes most; after `most` calls in a row without them they are asked anyway. With a ControlNet, whose residuals
    come between the blocks, everything is computed.
    """

    threshold: float = 0.1
    most: int = 3

    def applied(self, module: nn.Module, state: State, *, steered: bool) -> AbstractContextManager[object]:
        """For the length of one call. Raises `ValueError` for a network without a list of blocks."""
        blocks = [block for name in BLOCKS for block in getattr(module, name, ())]
        if not blocks or hasattr(module, "up_blocks"):
            raise ValueError("FirstBlockCache is for transformers; for this model take DeepCache")
        if steered or len(blocks) < 2:
            return contextlib.nullcontext()
        number = {id(block): n for n, block in enumerate(blocks)}
        return replaced(
            blocks, "forward", lambda block: self._wrapped(block.forward, number[id(block)], len(blocks), state)
        )

    def _wrapped(self, forward: Callable[..., Any], number: int, count: int, state: State) -> Callable[..., Any]:
        def first(*args: Any, **kwargs: Any) -> Any:
            out = forward(*args, **kwargs)
            text, picture = _streams(out)
            change = picture - _picture(args, kwargs)
            if self._repeats(change, state):
                state["skipped"] += 1
                return _like(out, text, picture + state["rest"])
            state.update(change=change, head=picture, skipped=0, skip=False)
            return out

        def later(*args: Any, **kwargs: Any) -> Any:
            if state["skip"]:
                return (
                    (_text(args, kwargs), _picture(args, kwargs))
                    if state[f"pairs {number}"]
                    else _picture(args, kwargs)
                )
            out = forward(*args, **kwargs)
            state[f"pairs {number}"] = isinstance(out, tuple)
            if number == count - 1:
                head = state.pop("head")
                state["rest"] = _streams(out)[1][:, -head.shape[1] :] - head  # text may stand before the picture
            return out

        return later if number else first

    def _repeats(self, change: Tensor, state: State) -> bool:
        before = state.get("change")
        state["skip"] = False
        if before is None or "rest" not in state or before.shape != change.shape or state["skipped"] >= self.most:
            return False
        moved = _size(change - before) / _size(before).clamp(min=1e-12)
        state["skip"] = bool(moved.max() < self.threshold)
        return bool(state["skip"])


def _picture(args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    """The picture's tokens among a block's inputs."""
    tokens: Tensor = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
    return tokens


def _text(args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return kwargs["encoder_hidden_states"] if "encoder_hidden_states" in kwargs else args[1]


def _streams(out: Any) -> tuple[Any, Tensor]:
    """A block's output as (text's tokens or None, picture's tokens); of two, blocks give the text's first."""
    return out if isinstance(out, tuple) else (None, out)


def _like(out: Any, text: Any, picture: Tensor) -> Any:
    return (text, picture) if isinstance(out, tuple) else picture
