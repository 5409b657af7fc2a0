"""The description says what the server does: every route is called, and every answer held against it."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from aiohttp.test_utils import TestClient
from openapi_spec_validator import validate

from graphflow.node import NodeDef
from graphflow.registry import Definitions
from graphflow.server.nodes import Catalog
from graphflow.server.openapi import describe
from graphflow.server.routes import ROUTES
from tests.fakes import World, png, workflow

DOCUMENT = describe(ROUTES)


def operation(method: str, path: str) -> dict[str, Any]:
    return DOCUMENT["paths"][path][method.lower()]


def check(method: str, path: str, status: int, body: Any) -> None:
    """Raises unless the description foresees this answer."""
    responses = operation(method, path)["responses"]
    response = responses.get(str(status)) or (responses["default"] if status >= 400 else None)
    assert response is not None, f"{method} {path} answered {status}, which is not described"
    schema = response["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(body)


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


def test_every_operation_says_what_it_does() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for method, described in operations.items():
            assert len(described["summary"]) > 5, f"{method} {path}"
    ids = [described["operationId"] for operations in DOCUMENT["paths"].values() for described in operations.values()]
    assert len(ids) == len(set(ids))


async def test_the_server_has_the_routes_that_are_described_and_no_others(client: TestClient[Any, Any]) -> None:
    assert client.app is not None
    served = {
        (route.method, route.resource.canonical)
        for route in client.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = {(route.method, route.path) for route in ROUTES}
    assert served - {("GET", "/"), ("GET", "/{path}")} == described


async def test_every_answer_is_as_described(client: TestClient[Any, Any], it: World) -> None:
    called: set[tuple[str, str]] = set()

    async def call(method: str, path: str, wanted: int, json: Any = None, **more: Any) -> Any:
        template = more.pop("as_", path.partition("?")[0])
        response = await client.request(method, path, json=json, **more)
        called.add((method, template))
        assert response.status == wanted, await response.text()
        if response.content_type != "application/json":
            return await response.read()
        body = await response.json()
        if template != "/v1/openapi.json":
            check(method, template, wanted, body)
        return body

    job = await call("POST", "/v1/jobs", 201, {"workflow": workflow()})
    await it.until(job["id"])
    id = job["id"]
    await call("GET", "/v1/jobs?status=done,failed&limit=5", 200)
    done = await call("GET", f"/v1/jobs/{id}", 200, as_="/v1/jobs/{id}")
    await call("GET", f"/v1/jobs/{id}/events", 200, as_="/v1/jobs/{id}/events")
    await call("POST", f"/v1/jobs/{id}/freeze", 200, {"node": "color"}, as_="/v1/jobs/{id}/freeze")
    await call("DELETE", f"/v1/jobs/{id}", 200, as_="/v1/jobs/{id}")
    await call("PATCH", f"/v1/jobs/{id}", 409, {"position": "front"}, as_="/v1/jobs/{id}")
    await call("DELETE", "/v1/jobs?status=queued", 200)
    await call("PATCH", "/v1/queue", 200, {"paused": True})
    await call("GET", "/v1/queue", 200)
    await call("POST", "/v1/plans", 200, {"workflow": workflow()})
    await call("POST", "/v1/plans", 422, {"workflow": workflow("Nonsense")})
    await call("GET", "/v1/nodes", 200)
    await call("GET", "/v1/models", 200)
    await call("POST", "/v1/assets?name=cat.png", 201, data=png())
    await call("GET", "/v1/assets?kind=output", 200)
    asset = done["outputs"][0]["asset"]
    await call("GET", f"/v1/assets/{asset}", 200, as_="/v1/assets/{id}")
    await call("GET", f"/v1/assets/{asset}/thumbnail?size=64", 200, as_="/v1/assets/{id}/thumbnail")
    await call("GET", f"/v1/assets/{asset}/workflow", 200, as_="/v1/assets/{id}/workflow")
    saved = await call("POST", "/v1/workflows", 201, {"workflow": workflow(), "tags": ["a"]})
    one = f"/v1/workflows/{saved['id']}"
    await call("GET", "/v1/workflows?search=show", 200)
    await call("GET", one, 200, as_="/v1/workflows/{id}")
    changed = {"workflow": workflow(color="blue")}
    await call("PUT", one, 428, changed, as_="/v1/workflows/{id}")
    await call("PUT", one, 200, changed, headers={"If-Match": '"1"'}, as_="/v1/workflows/{id}")
    await call("PUT", one, 412, changed, headers={"If-Match": '"1"'}, as_="/v1/workflows/{id}")
    await call("GET", f"{one}/versions", 200, as_="/v1/workflows/{id}/versions")
    await call("GET", f"{one}/versions/1", 200, as_="/v1/workflows/{id}/versions/{version}")
    await call("POST", f"{one}/versions/1/restore", 200, as_="/v1/workflows/{id}/versions/{version}/restore")
    share = await call("POST", f"{one}/share", 200, {}, as_="/v1/workflows/{id}/share")
    await call("GET", f"/v1/shared/{share['token']}", 200, as_="/v1/shared/{token}")
    await call("DELETE", f"{one}/share", 204, as_="/v1/workflows/{id}/share")
    await call("DELETE", one, 204, as_="/v1/workflows/{id}")
    await call("POST", "/v1/workflows/convert", 200, workflow())
    await call("PUT", "/v1/drafts/d", 200, {"workflow": {}, "file": None}, as_="/v1/drafts/{id}")
    await call("GET", "/v1/drafts", 200)
    await call("GET", "/v1/drafts/d", 200, as_="/v1/drafts/{id}")
    await call("DELETE", "/v1/drafts/d", 204, as_="/v1/drafts/{id}")
    await call("GET", "/v1/templates", 200)
    await call("GET", "/v1/templates/nothing/thumbnail", 404, as_="/v1/templates/{name}/thumbnail")
    await call("POST", "/v1/free", 204, {"models": True})
    for path in ("/v1/version", "/v1/system", "/v1/openapi.json", "/healthz", "/readyz", "/metrics"):
        await call("GET", path, 200)

    assert {(route.method, route.path) for route in ROUTES} - called == {("GET", "/v1/live")}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_every_unknown_thing_is_told_in_the_one_shape(client: TestClient[Any, Any], route: Any) -> None:
    if "{" not in route.path or route.method not in ("GET", "DELETE"):
        return
    path = (
        route.path.replace("{id}", "nothing").replace("{version}", "x").replace("{token}", "t").replace("{name}", "n")
    )
    response = await client.request(route.method, path)
    if response.status not in (204, 200):
        assert response.status == 404
        check(route.method, route.path, 404, await response.json())


async def test_templates_come_with_the_first_steps_first_and_those_that_need_other_files_last(
    client: TestClient[Any, Any],
) -> None:
    templates = (await (await client.get("/v1/templates")).json())["templates"]
    tags = [template["workflow"]["tags"][0] for template in templates]
    assert templates[0]["name"] == "text-to-image"
    assert list(dict.fromkeys(tags)) == ["first steps", "prompts", "samplers", "tools", "own files"]


def test_a_node_names_a_template_that_shows_it_or_is_given_one() -> None:
    node = NodeDef(type="SamplerLMS", title="SamplerLMS", category="sampling")
    named = node.model_copy(update={"type": "KSampler", "example": "text-to-image"})
    unknown = node.model_copy(update={"type": "Nowhere"})
    _, text = Catalog().written(Definitions({one.type: one for one in (node, named, unknown)}), ())
    told = {one["type"]: one["example"] for one in json.loads(text)["nodes"]}
    assert told == {"SamplerLMS": "samplers", "KSampler": "text-to-image", "Nowhere": ""}
