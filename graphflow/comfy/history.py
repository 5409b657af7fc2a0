"""Jobs as ComfyUI's queue and history list them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graphflow.comfy.messages import Message, Run, message, milliseconds, ui_output
from graphflow.comfy.prompt import Prompt, write_prompt
from graphflow.comfy.signatures import Signatures
from graphflow.errors import GraphflowError
from graphflow.events import BaseEvent, NodeCached, Output
from graphflow.jobs import Job, Stored
from graphflow.workflow import parse

SECRETS = ("auth_token_comfy_org", "api_key_comfy_org")
"""Keys of `extra_data` that are given on to nobody."""


def prompt_of(stored: Stored, signatures: Signatures) -> Prompt:
    """The prompt that a job was queued with; for one that came through another door, its workflow written as one."""
    kept = stored.extra.get("prompt")
    if isinstance(kept, dict):
        return kept
    try:
        return write_prompt(parse(json.loads(stored.workflow)), signatures)
    except (GraphflowError, ValueError):
        return {}


def queue_item(stored: Stored, signatures: Signatures, number: float | None = None) -> list[Any]:
    """`[number, id, prompt, extra_data, outputs]`."""
    extra = stored.extra.get("extra_data")
    prompt = prompt_of(stored, signatures)
    own = stored.extra.get("number")
    outputs = stored.targets if stored.targets is not None else _output_nodes(prompt, signatures)
    return [
        own if isinstance(own, int | float) else number or 0,
        stored.job.id,
        prompt,
        without_secrets(extra if isinstance(extra, dict) else {}),
        list(outputs),
    ]


def without_secrets(extra_data: Mapping[str, Any]) -> dict[str, Any]:
    """`extra_data` without keys and tokens."""
    return {key: value for key, value in extra_data.items() if key not in SECRETS}


def _output_nodes(prompt: Prompt, signatures: Signatures) -> list[str]:
    lookup = signatures.definitions.lookup
    return [id for id, node in prompt.items() if (found := lookup(node["class_type"])) and found.output_node]


def outputs_of(outputs: Iterable[Output], texts: Mapping[str, str]) -> dict[str, Any]:
    """Everything a job made, by node."""
    by_node: dict[str, list[Output]] = defaultdict(list)
    for output in outputs:
        by_node[output.node].append(output)
    return {node: ui_output(made, texts) for node, made in by_node.items()}


def history_entry(
    stored: Stored, signatures: Signatures, events: Sequence[BaseEvent] = (), texts: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A finished job; `events` add which nodes were cached."""
    job = stored.job
    item = queue_item(stored, signatures)
    return {
        "prompt": item,
        "outputs": outputs_of(job.outputs, texts or {}),
        "status": {
            "status_str": "success" if job.status == "done" else "error",
            "completed": job.status == "done",
            "messages": [[one["type"], one["data"]] for one in _messages(job, item[2], events)],
        },
        "meta": {
            node: {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node}
            for node in dict.fromkeys(output.node for output in job.outputs)
        },
    }


def _messages(job: Job, prompt: Prompt, events: Sequence[BaseEvent]) -> list[Message]:
    run = Run(job.id, {id: str(node.get("class_type")) for id, node in prompt.items()})
    start, end = milliseconds(job.started or job.created), milliseconds(job.finished or job.created)
    cached = [event.node for event in events if isinstance(event, NodeCached)]
    told = [
        message("execution_start", prompt_id=job.id, timestamp=start),
        message("execution_cached", nodes=cached, prompt_id=job.id, timestamp=start),
    ]
    if job.status == "failed" and job.error is not None:
        return [*told, message("execution_error", **run.failure(job.error), timestamp=end)]
    if job.status == "cancelled":
        about = {"prompt_id": job.id, "node_id": "", "node_type": "", "executed": []}
        return [*told, message("execution_interrupted", **about, timestamp=end)]
    return [*told, message("execution_success", prompt_id=job.id, timestamp=end)]
