"""A job's events as ComfyUI's clients hear them, and finished jobs as its history lists them."""

from __future__ import annotations

import json
from typing import Any

from graphflow.comfy.history import history_entry, queue_item
from graphflow.comfy.messages import Run, status, ui_output
from graphflow.comfy.prompt import read_prompt
from graphflow.comfy.signatures import Signatures
from graphflow.errors import ErrorBody, Problem
from graphflow.events import (
    JobCancelled,
    JobDone,
    JobFailed,
    JobStarted,
    NodeCached,
    NodeDone,
    NodeOutput,
    NodeProgress,
    NodeSkipped,
    NodeStarted,
    Output,
    Preview,
)
from graphflow.jobs import Job, Stored
from graphflow.workflow import canonical
from tests.comfy.world import DEFAULT, DEFINITIONS

SIGNATURES = Signatures(DEFINITIONS)
PICTURE = Output(node="9", name="sub/x_00001_.png", asset="a1", media_type="image/png")


def run() -> Run:
    return Run("j", {id: node["class_type"] for id, node in DEFAULT.items()}, frozenset({"9"}))


def brief(run: Run, *events: Any) -> list[tuple[str, Any]]:
    out = []
    for event in events:
        for one in run.messages(event):
            data = one["data"]
            if one["type"] == "progress_state":
                out.append((one["type"], {id: (s["state"], s["value"], s["max"]) for id, s in data["nodes"].items()}))
            elif one["type"] == "execution_cached":
                out.append((one["type"], data["nodes"]))
            else:
                out.append((one["type"], data.get("node")))
    return out


def test_a_run_is_told_in_the_order_that_clients_expect() -> None:
    events = [
        JobStarted(job="j", nodes=("4", "3", "9"), time=1.5),
        NodeCached(job="j", node="4"),
        NodeStarted(job="j", node="3"),
        NodeProgress(job="j", node="3", value=1, total=2),
        NodeProgress(job="j", node="3", value=2, total=2),
        NodeDone(job="j", node="3", seconds=1),
        NodeStarted(job="j", node="9"),
        NodeDone(job="j", node="9", seconds=1),
        NodeOutput(job="j", node="9", outputs=(PICTURE,)),
        JobDone(job="j", time=2.0),
    ]
    assert brief(run(), *events) == [
        ("execution_start", None),
        ("execution_cached", ["4"]),
        ("progress_state", {"3": ("running", 0, 1)}),
        ("executing", "3"),
        ("progress_state", {"3": ("running", 1, 2)}),
        ("progress", "3"),
        ("progress_state", {"3": ("running", 2, 2)}),
        ("progress", "3"),
        ("progress_state", {"3": ("finished", 2, 2)}),
        ("progress_state", {"3": ("finished", 2, 2), "9": ("running", 0, 1)}),
        ("executing", "9"),
        ("executed", "9"),
        ("progress_state", {"3": ("finished", 2, 2), "9": ("finished", 1, 1)}),
        ("execution_success", None),
    ]
    assert run().ending(0) == [
        status(0),
        {"type": "executing", "data": {"node": None, "prompt_id": "j"}},
    ]


def test_a_run_from_the_cache_tells_its_files_again() -> None:
    events = [
        JobStarted(job="j"),
        NodeCached(job="j", node="3"),
        NodeCached(job="j", node="9"),
        NodeOutput(job="j", node="9", outputs=(PICTURE,)),
        JobDone(job="j"),
    ]
    assert brief(run(), *events) == [
        ("execution_start", None),
        ("execution_cached", ["3", "9"]),
        ("executed", "9"),
        ("progress_state", {"9": ("finished", 1, 1)}),
        ("execution_success", None),
    ]


def test_messages_carry_their_data() -> None:
    one = run()
    start, *_ = one.messages(JobStarted(job="j", time=1.5))
    _, state, executing = one.messages(NodeStarted(job="j", node="3"))
    _, progress = one.messages(NodeProgress(job="j", node="3", value=1.0, total=20.0))

    assert start == {"type": "execution_start", "data": {"prompt_id": "j", "timestamp": 1500}}
    assert executing == {"type": "executing", "data": {"node": "3", "display_node": "3", "prompt_id": "j"}}
    assert progress == {"type": "progress", "data": {"value": 1, "max": 20, "prompt_id": "j", "node": "3"}}
    assert state["data"]["nodes"]["3"] == {
        "value": 0, "max": 1, "state": "running", "node_id": "3", "prompt_id": "j",
        "display_node_id": "3", "parent_node_id": None, "real_node_id": "3",
    }  # fmt: skip


def test_a_failure_names_the_node_and_its_inputs() -> None:
    problem = Problem(
        node="3", message="boom", code="node_failed", details={"type": "KSampler", "inputs": {"cfg": "8"}}
    )
    error = ErrorBody(code="node_failed", message="boom", problems=(problem,))
    one = run()
    one.messages(JobStarted(job="j"))
    one.messages(NodeStarted(job="j", node="3"))
    *_, failed = one.messages(JobFailed(job="j", error=error, time=2.0))

    assert failed["type"] == "execution_error"
    assert failed["data"] == {
        "prompt_id": "j",
        "node_id": "3",
        "node_type": "KSampler",
        "executed": [],
        "exception_message": "boom",
        "exception_type": "node_failed",
        "traceback": [],
        "current_inputs": {"cfg": ["8"]},
        "current_outputs": list(DEFAULT),
        "timestamp": 2000,
    }


def test_an_interrupted_run_and_a_blocked_node_are_told() -> None:
    one = run()
    one.messages(JobStarted(job="j"))
    one.messages(NodeStarted(job="j", node="3"))
    (blocked,) = one.messages(NodeSkipped(job="j", node="9", reason="no face found"))
    (interrupted,) = one.messages(JobCancelled(job="j", time=1.0))

    assert blocked["data"]["exception_message"] == "Execution Blocked: no face found"
    assert interrupted == {
        "type": "execution_interrupted",
        "data": {"prompt_id": "j", "node_id": "3", "node_type": "KSampler", "executed": [], "timestamp": 1000},
    }


def test_a_second_attempt_begins_anew() -> None:
    one = run()
    events = [JobStarted(job="j"), NodeStarted(job="j", node="3"), JobStarted(job="j"), NodeStarted(job="j", node="3")]
    assert [kind for kind, _ in brief(one, *events)] == [
        "execution_start", "execution_cached", "progress_state", "executing",
    ] * 2  # fmt: skip


def test_previews_have_both_binary_forms() -> None:
    preview = Preview("j", "3", "image/jpeg", b"jpeg")

    assert run().preview(preview, metadata=False) == b"\0\0\0\x01\0\0\0\x01jpeg"
    frame = run().preview(preview, metadata=True)
    length = int.from_bytes(frame[4:8], "big")
    assert (frame[:4], frame[8 + length :]) == (b"\0\0\0\x04", b"jpeg")
    assert json.loads(frame[8 : 8 + length]) == {
        "node_id": "3", "prompt_id": "j", "display_node_id": "3", "parent_node_id": None, "real_node_id": "3",
        "image_type": "image/jpeg",
    }  # fmt: skip


def test_results_are_shown_by_kind() -> None:
    video = Output(node="9", name="v_00001_.mp4", asset="a2", media_type="video/mp4")
    words = Output(node="9", name="t_00001_.txt", asset="a3", media_type="text/plain", details={"temporary": True})
    sound = Output(node="9", name="s_00001_.flac", asset="a4", media_type="audio/flac", details={"temporary": True})

    assert ui_output([PICTURE]) == {"images": [{"filename": "x_00001_.png", "subfolder": "sub", "type": "output"}]}
    assert ui_output([video, words, sound], {"a3": "hello"}) == {
        "images": [{"filename": "v_00001_.mp4", "subfolder": "", "type": "output"}],
        "text": ["hello"],
        "audio": [{"filename": "s_00001_.flac", "subfolder": "", "type": "temp"}],
        "animated": [True],
    }


# --- queue and history -----------------------------------------------------------------------------------------------


def stored(status: Any = "done", **extra: Any) -> Stored:
    job = Job(id="j", status=status, priority=0, created=1.0, started=2.0, finished=3.0, outputs=(PICTURE,))
    return Stored(job, canonical(read_prompt(DEFAULT, SIGNATURES).workflow), None, extra)


def test_a_finished_job_is_an_entry_of_the_history() -> None:
    entry = history_entry(
        stored(number=4, prompt=DEFAULT, extra_data={"client_id": "c", "api_key_comfy_org": "secret"}),
        SIGNATURES,
        [NodeCached(job="j", node="4")],
    )
    assert entry == {
        "prompt": [4, "j", DEFAULT, {"client_id": "c"}, ["9"]],
        "outputs": {"9": {"images": [{"filename": "x_00001_.png", "subfolder": "sub", "type": "output"}]}},
        "status": {
            "status_str": "success",
            "completed": True,
            "messages": [
                ["execution_start", {"prompt_id": "j", "timestamp": 2000}],
                ["execution_cached", {"nodes": ["4"], "prompt_id": "j", "timestamp": 2000}],
                ["execution_success", {"prompt_id": "j", "timestamp": 3000}],
            ],
        },
        "meta": {"9": {"node_id": "9", "display_node": "9", "parent_node": None, "real_node_id": "9"}},
    }


def test_a_job_of_another_door_is_listed_with_its_workflow_as_a_prompt() -> None:
    number, id, prompt, extra, outputs = queue_item(stored(), SIGNATURES)
    assert (number, id, extra, outputs) == (0, "j", {}, ["9"])
    assert prompt["8"]["inputs"] == {"samples": ["3", 0], "vae": ["4", 2]}


def test_a_cancelled_job_is_no_success() -> None:
    entry = history_entry(stored("cancelled"), SIGNATURES)
    assert entry["status"]["status_str"] == "error"
    assert [kind for kind, _ in entry["status"]["messages"]][-1] == "execution_interrupted"
