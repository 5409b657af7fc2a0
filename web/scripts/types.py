"""Writes `src/graph/api.ts`: what the server tells, as TypeScript, from the server's own description of itself.

python web/scripts/types.py           writes the file
python web/scripts/types.py --check   fails when the file is not what would be written
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphflow.server import openapi
from graphflow.server.routes import ROUTES

TARGET = Path(__file__).parents[1] / "src" / "graph" / "api.ts"
ROOTS = (
    "NodesAnswer", "ModelsAnswer", "PlanAnswer", "JobAnswer", "Hello", "NodeSaid", "QueueNotice", "WorkerNotice", "NodesNotice",
    "AssetNotice", "Event", "FreezeAnswer", "Saved", "Version", "Template", "Draft",
)  # fmt: skip
HEAD = "/** Written by scripts/types.py from the server's OpenAPI description; do not edit. */\n"


def typescript(schema: Mapping[str, Any]) -> str:
    """The type of a JSON schema."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "const" in schema or "enum" in schema:
        return " | ".join(f'"{value}"' for value in schema.get("enum", [schema.get("const")]))
    for many in ("anyOf", "oneOf"):
        if many in schema:
            return " | ".join(dict.fromkeys(typescript(one) for one in schema[many]))
    match schema.get("type"):
        case "integer" | "number":
            return "number"
        case "string":
            return "string"
        case "boolean":
            return "boolean"
        case "null":
            return "null"
        case "array":
            item = typescript(schema.get("items", {}))
            return f"readonly ({item})[]" if "|" in item else f"readonly {item}[]"
        case "object":
            value = schema.get("additionalProperties")
            return f"Readonly<Record<string, {typescript(value) if isinstance(value, dict) else 'Json'}>>"
    return "Json"


def lines_of(schema: Mapping[str, Any]) -> list[str]:
    """An interface's properties, one a line; none for any other type. Answers hold every key, those with defaults too."""
    return [f"  readonly {key}: {typescript(one)};" for key, one in schema.get("properties", {}).items()]


def declared(name: str, schemas: Mapping[str, Any], bases: Mapping[str, list[str]]) -> str:
    """A schema's declaration; it extends that of `bases` of which it has most lines, where it has most of them."""
    if "properties" not in schemas[name]:
        return f"export type {name} = {typescript(schemas[name])};\n"
    lines = lines_of(schemas[name])
    base = max(bases, key=lambda one: len(set(lines) & set(bases[one])), default="")
    left_out = [line.split()[1].rstrip(":") for line in bases.get(base, []) if line not in lines]
    shared = len(bases.get(base, [])) - len(left_out)
    if shared < 3 or len(left_out) > 1:
        return "\n".join([f"export interface {name} {{", *lines, "}"]) + "\n"
    parent = f'Omit<{base}, "{left_out[0]}">' if left_out else base
    own = [line for line in lines if line not in bases[base]]
    return "\n".join([f"export interface {name} extends {parent} {{", *own, "}"]) + "\n"


def reached(schemas: Mapping[str, Any]) -> list[str]:
    """The names that the roots lead to, in order."""
    seen: dict[str, None] = {}

    def visit(part: Any) -> None:
        if isinstance(part, dict):
            if "$ref" in part and (name := part["$ref"].rsplit("/", 1)[-1]) not in seen:
                seen[name] = None
                visit(schemas[name])
            for one in part.values():
                visit(one)
        elif isinstance(part, list):
            for one in part:
                visit(one)

    for root in ROOTS:
        visit({"$ref": f"#/{root}"})
    return sorted(seen)


def written() -> str:
    """The file's text."""
    document = openapi.describe(ROUTES)
    schemas = document["components"]["schemas"]
    bases: dict[str, list[str]] = {}
    written = [HEAD + 'import type { Json } from "./json";\n']
    for name in reached(schemas):
        text = declared(name, schemas, bases)
        written.append(text)
        if "properties" in schemas[name] and " extends " not in text:
            bases[name] = lines_of(schemas[name])
    return "\n".join(written)


def main() -> int:
    """Writes or checks."""
    if "--check" not in sys.argv:
        TARGET.write_text(written(), encoding="utf-8")
        return 0
    if TARGET.read_text(encoding="utf-8") == written():
        return 0
    sys.stderr.write("web/src/graph/api.ts is stale: run `python web/scripts/types.py` and build the editor again\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
