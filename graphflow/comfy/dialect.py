"""Workflows of ComfyUI, read into our document: the API format and the editor format, whatever the version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphflow.comfy.convert import read_editor
from graphflow.comfy.graph import is_graph
from graphflow.comfy.parameters import is_parameters, read_parameters
from graphflow.comfy.prompt import Prompt, is_prompt, read_prompt, write_prompt
from graphflow.comfy.signatures import Signatures
from graphflow.node import NodeDef
from graphflow.workflow import Converted, Workflow


def read(document: Any, definitions: Mapping[str, NodeDef]) -> Converted | None:
    """The workflow in JSON data; None when it is in neither of ComfyUI's formats.

    A text may be what AUTOMATIC1111's web UI writes into pictures, which ComfyUI reads, too. A request body with a `prompt` in it is taken, too; the editor's workflow beside it is the better source.
    """
    if isinstance(document, str):
        return read_parameters(document) if is_parameters(document) else None
    signatures = Signatures(definitions)
    if is_graph(document):
        return read_editor(document, signatures)
    if is_prompt(document):
        return read_prompt(document, signatures)
    if isinstance(document, dict) and is_prompt(document.get("prompt")):
        return read_prompt(document["prompt"], signatures)
    return None


def export(workflow: Workflow, definitions: Mapping[str, NodeDef]) -> Prompt:
    """The workflow in the API format, which scripts and the editor itself read.

    Raises `InvalidWorkflow` when a subgraph is missing or contains itself.
    """
    return write_prompt(workflow, Signatures(definitions))
