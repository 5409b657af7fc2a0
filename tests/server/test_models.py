"""What the server tells of the models on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient

from graphflow.listing import listing
from tests.fakes import World
from tests.tiny import golden_sd15


async def test_models_are_told_as_the_command_line_tells_them(
    it: World, client: TestClient[Any, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "models/checkpoints"
    folder.mkdir(parents=True)
    file = golden_sd15(folder)
    (folder / "broken.safetensors").write_bytes(b"nothing")

    async def told() -> dict[str, dict[str, Any]]:
        folders = (await (await client.get("/v1/models")).json())["folders"]
        own = listing(it.service.models)
        assert folders == {f: [m.model_dump(mode="json") for _, m in found] for f, found in own.items()}
        return {model["name"]: model for model in folders["checkpoints"]}

    models = await told()
    tiny = models["tiny-sd15.safetensors"]
    assert (tiny["family"], tiny["families"], tiny["dtype"]) == ("sd15", ["Stable Diffusion 1.5"], "F32")
    assert (tiny["parts"], tiny["lacks"], tiny["problem"]) == (["model", "vae", "clip_l"], [], "")
    assert tiny["size"] == file.path.stat().st_size
    assert models["broken.safetensors"]["problem"]
    assert tiny["sha256"] == "", "a listing reads no whole file"

    it.service.models.find("checkpoints", "tiny-sd15.safetensors")
    assert (await told())["tiny-sd15.safetensors"]["sha256"] == hashlib.sha256(file.path.read_bytes()).hexdigest()
