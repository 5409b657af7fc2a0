"""Published clients of ComfyUI's protocol, unchanged, against our server; its own editor in a real browser."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import comfy_api_simplified
import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, async_playwright

from graphflow import pictures
from graphflow.comfy.door import add_routes
from graphflow.config import Config
from graphflow.server import create_app
from graphflow.service.build import build_service
from tests import test_autoencoders, test_text_encoders
from tests.comfy.conftest import prompt
from tests.comfy.recording import SESSIONS, recorded
from tests.fakes import World, png
from tests.tiny import TINY, network, single_file

HERE = Path(__file__).parent
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def needed(found: str | None, hint: str) -> str:
    """What a test cannot do without: missing, it is skipped, but fails in CI."""
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(hint)
    assert found is not None
    return found


@pytest.fixture
async def server(it: World, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[TestServer]:
    made = TestServer(create_app(it.service, Config(data=tmp_path, front_end="comfyui"), doors=[add_routes]))
    async with made:
        if "GRAPHFLOW_RECORD" not in os.environ:
            yield made
            return
        async with recorded(made, SESSIONS / f"{request.node.name.removeprefix('test_')}.json") as proxy:
            yield proxy


def address(server: TestServer) -> str:
    return f"http://{server.host}:{server.port}"


def titled(nodes: dict[str, Any]) -> dict[str, Any]:
    return {id: {**node, "_meta": {"title": node["class_type"]}} for id, node in nodes.items()}


async def test_comfy_api_simplified(server: TestServer, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(png())

    def work() -> dict[str, Any]:
        api = comfy_api_simplified.ComfyApiWrapper(address(server))
        workflow = comfy_api_simplified.ComfyWorkflowWrapper(titled(prompt()))
        workflow.set_node_param("Color", "color", "blue")
        return {
            "pictures": api.queue_and_wait_images(workflow, "Show"),
            "upload": api.upload_image(tmp_path / "cat.png"),
            "queue": api.get_queue(),
            "nodes": list(api.get_object_info("Show")),
            "embeddings": api.get_embeddings(),
            "device": api.get_system_stats()["devices"][0]["type"],
        }

    found = await asyncio.to_thread(work)
    ((name, data),) = found.pop("pictures").items()
    assert (name, data[:4]) == ("x_00001_.png", b"\x89PNG")
    assert found == {
        "upload": {"name": "cat.png", "subfolder": "default_upload_folder", "type": "input"},
        "queue": {"queue_running": [], "queue_pending": []},
        "nodes": ["Show"],
        "embeddings": [],
        "device": "cpu",
    }


async def test_stable_canvas_comfyui_client(server: TestServer, it: World) -> None:
    node = needed(shutil.which("node"), "needs Node.js")
    needed("" if (HERE / "clients" / "node_modules").is_dir() else None, "run: npm ci --prefix tests/comfy/clients")
    it.worker.gate.set()
    process = await asyncio.create_subprocess_exec(
        node, str(HERE / "clients" / "run.cjs"), f"{server.host}:{server.port}",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(json.dumps(prompt("Wait")).encode()), 60)
    assert process.returncode == 0, err.decode()
    found = json.loads(out)

    assert [one for one in found["heard"] if one != ["executing", None]] == [
        ["execution_start", None],
        ["execution_cached", None],
        ["executing", "1"],
        ["executing", "2"],
        ["progress", "2"],
        ["progress", "2"],
        ["progress", "2"],
        ["executing", "3"],
        ["executed", "3"],
        ["execution_success", None],
    ]
    assert (found["picture"], found["history"], found["queue"], found["device"]) == ("PNG", 1, [0, 0], "cpu")
    assert set(found["nodes"]) >= {"Color", "Wait", "Show"}


# --- the editor ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    async with async_playwright() as playwright:
        executable = needed(path, "needs Chromium: apt-get install chromium")
        made = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield made
        await made.close()


async def opened(browser: Browser, server: TestServer, type: str = "Show") -> Page:
    """The editor, once it knows our nodes, of which `type` is one."""
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    settings = {"Comfy.TutorialCompleted": True}  # or it greets with a gallery of templates
    await page.request.post(f"{address(server)}/settings", data=settings)
    await page.goto(address(server))
    known = f"!!(window.app?.graph && LiteGraph.registered_node_types['{type}'])"
    await page.wait_for_function(known, timeout=120_000)
    return page


@pytest.mark.browser
@pytest.mark.slow
async def test_the_reference_editor_queues_and_shows_progress_and_picture(
    browser: Browser, server: TestServer, it: World
) -> None:
    page = await opened(browser, server)
    await page.evaluate("prompt => app.loadApiJson(prompt, 'default')", prompt("Wait"))
    nodes = await page.evaluate("app.graph._nodes.map(node => node.type).sort()")
    assert nodes == ["Color", "Show", "Wait"]
    assert await page.evaluate("app.graph._nodes.find(n => n.type === 'Color').widgets[0].value") == "red"

    await page.get_by_test_id("queue-button").click()
    await page.wait_for_function("app.graph._nodes.find(n => n.type === 'Wait').progress === 1", timeout=60_000)
    it.worker.gate.set()
    await page.wait_for_function(
        "app.graph._nodes.find(n => n.type === 'Show').imgs?.[0]?.naturalWidth", timeout=60_000
    )
    width, source = await page.evaluate(
        "(image => [image.naturalWidth, image.src])(app.graph._nodes.find(n => n.type === 'Show').imgs[0])"
    )
    assert width == 4
    assert "/view?filename=x_00001_.png" in source
    (job,) = await it.service.jobs.history()
    stored = await it.service.jobs.get(job.id)
    assert json.loads(stored.extra["texts"]["workflow"])["nodes"]


@pytest.mark.browser
@pytest.mark.slow
async def test_the_reference_editor_shows_a_fault_at_its_node(browser: Browser, server: TestServer) -> None:
    page = await opened(browser, server)
    await page.evaluate("prompt => app.loadApiJson(prompt, 'default')", {"1": {"class_type": "Show", "inputs": {}}})
    async with page.expect_response(lambda answer: answer.url.endswith("/api/prompt")) as answered:
        await page.get_by_test_id("queue-button").click()
    answer = await (await answered.value).json()
    assert answer["node_errors"]["1"]["errors"][0]["type"] == "required_input_missing"
    await page.wait_for_function("!!app.lastNodeErrors?.['1']", timeout=30_000)


@pytest.mark.browser
@pytest.mark.slow
async def test_the_reference_editor_runs_a_pack_s_script(browser: Browser, it: World, tmp_path: Path) -> None:
    pack = tmp_path / "custom_nodes" / "Greets"
    (pack / "web").mkdir(parents=True)
    (pack / "__init__.py").write_text('WEB_DIRECTORY = "./web"')
    (pack / "web" / "hello.js").write_text("""
        import { app } from "../../scripts/app.js";
        app.registerExtension({ name: "test.greets", setup() { window.greeted = app.graph !== undefined; } });
    """)
    config = Config(data=tmp_path, front_end="comfyui", packs=(f"comfyui={pack.parent}",))
    async with TestServer(create_app(it.service, config, doors=[add_routes])) as server:
        page = await opened(browser, server)
        await page.wait_for_function("window.greeted === true", timeout=30_000)


@pytest.fixture
async def real_server(tmp_path: Path) -> AsyncIterator[TestServer]:
    """All nodes, and the model that the editor's own first workflow names, tiny and with random weights."""
    write_z_image(tmp_path / "models")
    config = Config(data=tmp_path, front_end="comfyui", workers="local", device="cpu")
    service, database = build_service(config, {})
    async with TestServer(create_app(service, config, doors=[add_routes])) as made:
        await service.slots[0].worker.ready()
        yield made
    database.close()


def write_z_image(models: Path) -> None:
    for folder in ("text_encoders", "vae", "diffusion_models"):
        (models / folder).mkdir(parents=True)
    test_text_encoders.write(models / "text_encoders", "qwen_3_4b", test_text_encoders.llm("Qwen3"), prefix="model.")
    vae = test_autoencoders.kl(16, use_quant_conv=False, use_post_quant_conv=False)
    written = test_autoencoders.write(models / "vae", vae, "kl")
    written.path.rename(models / "vae" / "ae.safetensors")
    tiny = TINY["z_image"]
    network_file = single_file(models / "diffusion_models", tiny, network(tiny), "").path
    for path in (network_file, network_file.with_suffix(".config")):
        path.rename(path.with_name(f"z_image_turbo_bf16{path.suffix}"))


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_the_reference_editor_runs_its_default_workflow(browser: Browser, real_server: TestServer) -> None:
    page = await opened(browser, real_server, "KSampler")
    await page.evaluate("app.loadGraphData()")
    types = await page.evaluate(
        "app.graph._nodes.map(node => node.type).filter(type => type !== 'MarkdownNote').sort()"
    )
    assert set(types) > {"UNETLoader", "CLIPLoader", "VAELoader", "KSampler", "VAEDecode", "SaveImage"}
    assert not await page.evaluate("app.graph._nodes.some(node => node.has_errors)")
    await page.evaluate(  # small, so that it is quick; everything else is as the editor has it
        """app.graph._nodes.filter(node => node.type === 'EmptySD3LatentImage').forEach(node =>
             node.widgets.filter(widget => /width|height/.test(widget.name)).forEach(widget => { widget.value = 64 }))"""
    )
    await page.evaluate("() => { app.canvas.ds.scale = 0.4; app.canvas.ds.offset = [300, 200] }")  # all in sight
    await page.evaluate(
        """() => { window.heard = []
             for (const type of ['progress', 'b_preview_with_metadata', 'executed', 'execution_success'])
               app.api.addEventListener(type, event => heard.push([type, event.detail?.value])) }"""
    )
    await page.get_by_test_id("queue-button").click()
    await page.wait_for_function(
        "app.graph._nodes.find(n => n.type === 'SaveImage').imgs?.[0]?.naturalWidth === 16", timeout=120_000
    )

    heard = await page.evaluate("heard")
    steps = [value for type, value in heard if type == "progress"]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) > 3
    assert "b_preview_with_metadata" in [type for type, _ in heard]
    assert [type for type, _ in heard if type.startswith("exec")] == ["executed", "execution_success"]
    saved = await page.request.get(f"{address(real_server)}/view?filename=ComfyUI_00001_.png")
    texts = pictures.texts(await saved.body())
    assert sorted(node["class_type"] for node in json.loads(texts["prompt"]).values()) == types
    assert len(json.loads(texts["workflow"])["nodes"]) >= len(types)
