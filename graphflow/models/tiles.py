"""A function of pictures applied tile by tile, so that its memory does not grow with the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from graphflow.diffusion.memory import is_out_of_memory
from graphflow.node import Progress

Shape = tuple[int, int]


def three_passes(tile: int) -> list[Shape]:
    """Three shapes of tiles, so that a seam of one pass lies inside a tile of another."""
    return [(tile, tile), (tile * 2, tile // 2), (tile // 2, tile * 2)]


def tiled(
    x: Tensor, call: Callable[[Tensor], Tensor], shapes: Sequence[Shape], overlap: int, scale: float
) -> Iterator[Progress | Tensor]:
    """`call` on tiles of x (..., H, W), whose sides it multiplies by `scale`; tiles fade into each other at their edges.

    With several shapes of tiles, the mean of a pass with each. Progress by tile, and the whole at the end.
    """
    passes = [(shape, places(x.shape[-2], x.shape[-1], shape, overlap)) for shape in shapes]
    total, done = sum(len(tiles) for _, tiles in passes), 0
    results = []
    for shape, tiles in passes:
        canvas = _Canvas(round(x.shape[-2] * scale), round(x.shape[-1] * scale), max(1, round(overlap * scale)))
        for top, left in tiles:
            piece = call(x[..., top : top + shape[0], left : left + shape[1]].contiguous())
            canvas.add(piece, round(top * scale), round(left * scale))
            done += 1
            yield Progress(done, total)
        results.append(canvas.mean())
    yield torch.stack(results).mean(dim=0) if len(results) > 1 else results[0]


def shrinking(
    run: Callable[[int], Iterator[Progress | Tensor]], tile: int, least: int, free: Callable[[], object]
) -> Iterator[Progress | Tensor]:
    """What `run` gives with tiles of that size; when memory runs out, from the start with half, down to `least`."""
    while True:
        try:
            yield from run(tile)
            return
        except Exception as error:
            if not is_out_of_memory(error) or tile // 2 < least:
                raise
        free()  # behind the exception, which holds on to what the failed tile had in memory
        tile //= 2


class _Canvas:
    """Overlapping pieces added up with weights that fall towards their edges."""

    def __init__(self, height: int, width: int, overlap: int) -> None:
        self._size, self._overlap = (height, width), overlap
        self._sum: Tensor | None = None
        self._weight = torch.zeros(height, width)

    def add(self, piece: Tensor, top: int, left: int) -> None:
        if self._sum is None:
            self._sum = piece.new_zeros(*piece.shape[:-2], *self._size)
        mask = _fade(piece.shape[-2], self._overlap)[:, None] * _fade(piece.shape[-1], self._overlap)[None, :]
        where = (..., slice(top, top + piece.shape[-2]), slice(left, left + piece.shape[-1]))
        self._sum[where] += piece * mask
        self._weight[where] += mask

    def mean(self) -> Tensor:
        assert self._sum is not None
        return self._sum / self._weight


def places(height: int, width: int, shape: Shape, overlap: int) -> list[tuple[int, int]]:
    """Top left corners of tiles that cover the whole, each overlapping its neighbours."""
    lefts = _starts(width, shape[1], overlap)
    return [(top, left) for top in _starts(height, shape[0], overlap) for left in lefts]


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    last = max(0, length - tile)
    return [*range(0, last, max(1, tile - min(overlap, tile // 2))), last]


def _fade(length: int, overlap: int) -> Tensor:
    """(length,): 1 inside, falling towards both ends over `overlap`, never 0."""
    position = torch.arange(length, dtype=torch.float32)
    return (torch.minimum(position, length - 1 - position) + 1).clamp(max=overlap) / overlap
