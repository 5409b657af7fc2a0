"""The API's description (OpenAPI 3.1), made from the table of routes and the models that check and write it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from graphflow import __version__
from graphflow.events import NodeSaid, event_adapter
from graphflow.server.call import Nothing, Route
from graphflow.server.schemas import ErrorAnswer
from graphflow.service import AssetNotice, Hello, NodesNotice, QueueNotice, WorkerNotice
from graphflow.workflow import Workflow

REF = "#/components/schemas/{model}"
LIVE: Sequence[type[BaseModel]] = (Hello, NodeSaid, QueueNotice, WorkerNotice, NodesNotice, AssetNotice)
HEADERS = {
    "Idempotency-Key": ("submit_job",),
    "If-Match": ("save_workflow", "keep_draft"),
    "Last-Event-ID": ("stream_events",),
}


@cache
def describe(routes: tuple[Route, ...]) -> dict[str, Any]:
    """The document."""
    bodies = dict.fromkeys(route.body for route in routes if route.body is not None)
    answers: dict[type[BaseModel], None] = dict.fromkeys(r.answer for r in routes if r.answer is not None)
    answers |= dict.fromkeys([ErrorAnswer, *LIVE])
    wanted: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in bodies]
    wanted += [(model, "serialization") for model in answers]
    names, schemas = models_json_schema(wanted, ref_template=REF)
    components = dict(schemas.get("$defs", {}))
    components |= _with_definitions("Event", event_adapter.json_schema(ref_template=REF, mode="serialization"))
    components |= _with_definitions("Workflow", Workflow.model_json_schema(by_alias=True, ref_template=REF))
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": "GraphFlow", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _with_definitions(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    definitions = schema.pop("$defs", {})
    return {**definitions, name: schema}


def _operation(route: Route, names: Any) -> dict[str, Any]:
    summary, _, description = (route.handler.__doc__ or "").partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": " ".join(summary.split()),
        "tags": [route.path.split("/")[2] if route.path.startswith("/v1/") else "system"],
        "parameters": _parameters(route),
        "responses": _responses(route, names),
    }
    if description:
        operation["description"] = " ".join(description.split())
    if route.body is not None:
        content = {"application/json": {"schema": names[route.body, "validation"]}}
        operation["requestBody"] = {"required": _requires_anything(route.body), "content": content}
    elif route.takes:
        types = (route.takes, "multipart/form-data") if route.name == "upload_asset" else (route.takes,)
        operation["requestBody"] = {"required": True, "content": {type: {"schema": {}} for type in types}}
    return operation


def _requires_anything(model: type[BaseModel]) -> bool:
    return any(field.is_required() for field in model.model_fields.values())


def _parameters(route: Route) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if route.query is not Nothing:
        schema = route.query.model_json_schema(mode="validation")
        required = schema.get("required", [])
        for name, property in schema["properties"].items():
            parameter = {"name": name, "in": "query", "required": name in required, "schema": property}
            if "items" in str(property):
                parameter |= {"style": "form", "explode": False}
            parameters.append(parameter)
    for header, operations in HEADERS.items():
        if route.name in operations:
            parameters.append({"name": header, "in": "header", "required": False, "schema": {"type": "string"}})
    return parameters


def _responses(route: Route, names: Any) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.answer is not None:
        success["content"] = {"application/json": {"schema": names[route.answer, "serialization"]}}
    elif route.media and route.status == 200:
        success["content"] = {route.media: {"schema": {}}}
    responses = {str(route.status): success}
    if route.name == "get_ready":
        responses["503"] = {**success, "description": "No worker is up yet"}
    if route.name == "stream_events":
        responses["204"] = {"description": "The job ended, and nothing is left to tell"}
    error = {"application/json": {"schema": names[ErrorAnswer, "serialization"]}}
    for status in sorted({*route.errors, 401, 403}):
        responses.setdefault(str(status), {"description": HTTPStatus(status).phrase, "content": error})
    responses["default"] = {"description": "Any other error", "content": error}
    return responses
