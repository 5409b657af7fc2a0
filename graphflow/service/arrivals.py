"""A job's files on their way from its worker into the store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from graphflow.assets import Asset, Assets, Incoming, Kind, NewFile
from graphflow.errors import GraphflowError, NodeFailed
from graphflow.events import Chunk, Made, Output


class Arrivals:
    """Stores one job's files, the workflow embedded, whole or in chunks. `close` takes away what did not end."""

    def __init__(self, assets: Assets, texts: Mapping[str, str], stored: Callable[[Asset], None]) -> None:
        """`texts` are written into the files; `stored` hears of each file that is in its place."""
        self._assets = assets
        self._texts = texts
        self._stored = stored
        self._incoming: dict[tuple[str, int], Incoming] = {}
        """By node and place among its files."""

    async def chunk(self, chunk: Chunk) -> None:
        """Writes a piece of a large file beside its place. Raises `NodeFailed` when there is no room."""
        with _storing(chunk.node, "the result"):
            data, place = chunk.data, (chunk.node, chunk.index)
            if place not in self._incoming:
                self._incoming[place] = self._assets.incoming("output")
                data = await self._embedded(data, chunk.media_type)
            await asyncio.to_thread(self._incoming[place].write, data)

    async def made(self, made: Made) -> Output:
        """A file in its place, before anybody hears of it.

        Raises `NodeFailed` when it cannot be stored: the name leads elsewhere, or the disk is full.
        """
        incoming = self._incoming.pop((made.node, made.index), None)
        with _storing(made.node, f"the result {made.name!r}"), incoming or contextlib.nullcontext():
            data = incoming or await self._embedded(made.data, made.media_type)
            details = dict(made.details)
            kind: Kind = "temp" if details.get("temporary") else "output"
            file = NewFile(data, made.media_type, details.get("width"), details.get("height"), made.job, made.node)
            prefix = made.name.replace("%batch_num%", str(made.index))
            asset = await self._assets.save(kind, prefix, file, suffix=details.pop("suffix", ""))
        self._stored(asset)
        return Output(node=made.node, name=asset.name, asset=asset.id, media_type=made.media_type, details=details)

    def close(self) -> None:
        """No half file stays behind."""
        while self._incoming:
            self._incoming.popitem()[1].discard()

    async def _embedded(self, data: bytes, media_type: str) -> bytes:
        from graphflow import pictures  # Pillow is loaded with the first picture

        return await asyncio.to_thread(partial(pictures.embed, data, media_type, self._texts))


@contextlib.contextmanager
def _storing(node: str, what: str) -> Iterator[None]:
    """Says at the node why a file of its cannot be stored."""
    try:
        yield
    except (GraphflowError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NodeFailed(node, f"{what} cannot be stored: {reason}") from error
