"""The table of the API: every route with its handler, what it takes and what it answers."""

from __future__ import annotations

from graphflow.assets import Asset
from graphflow.jobs import Job
from graphflow.server import assets, jobs, library, live, nodes, system
from graphflow.server import schemas as s
from graphflow.server.call import Route
from graphflow.workflows import Draft, Saved, Version

INVALID = (400, 413, 415, 422)
"""What can be wrong with a body that holds a workflow."""
BODY = (400, 413, 415)

ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/jobs", jobs.submit_job, body=s.SubmitBody, answer=Job, status=201, errors=(*INVALID, 409, 503)),
    Route("GET", "/v1/jobs", jobs.list_jobs, query=s.JobsQuery, answer=s.JobsAnswer, errors=(400,)),
    Route("DELETE", "/v1/jobs", jobs.clear_jobs, query=s.ClearQuery, answer=s.ClearAnswer, errors=(400,)),
    Route("GET", "/v1/jobs/{id}", jobs.get_job, answer=s.JobAnswer, errors=(404,)),
    Route("DELETE", "/v1/jobs/{id}", jobs.cancel_job, answer=Job, errors=(404,)),
    Route("PATCH", "/v1/jobs/{id}", jobs.move_job, body=s.MoveBody, answer=Job, errors=(*BODY, 404, 409)),
    Route(
        "GET", "/v1/jobs/{id}/events", live.stream_events, query=s.EventsQuery, media="text/event-stream", errors=(404,)
    ),
    Route(
        "POST", "/v1/jobs/{id}/freeze", jobs.freeze_node,
        body=s.FreezeBody, answer=s.FreezeAnswer, errors=(*BODY, 404),
    ),
    Route("GET", "/v1/queue", jobs.get_queue, answer=s.QueueAnswer),
    Route("PATCH", "/v1/queue", jobs.pause_queue, body=s.QueueBody, answer=s.QueueAnswer, errors=BODY),
    Route("POST", "/v1/plans", jobs.make_plan, body=s.PlanBody, answer=s.PlanAnswer, errors=(*INVALID, 503)),
    Route("GET", "/v1/live", live.live, status=101, media=""),
    Route("GET", "/v1/nodes", nodes.list_nodes, answer=s.NodesAnswer, errors=(503,)),
    Route("GET", "/v1/models", nodes.list_models, answer=s.ModelsAnswer),
    Route("GET", "/v1/assets", assets.list_assets, query=s.AssetsQuery, answer=s.AssetsAnswer, errors=(400,)),
    Route(
        "POST", "/v1/assets", assets.upload_asset,
        query=s.UploadQuery, takes="application/octet-stream", answer=Asset, status=201, errors=BODY,
    ),
    Route("GET", "/v1/assets/{id}", assets.get_asset, media="application/octet-stream", errors=(404,)),
    Route(
        "GET", "/v1/assets/{id}/thumbnail", assets.get_thumbnail,
        query=s.ThumbnailQuery, media="image/webp", errors=(400, 404, 415),
    ),
    Route("GET", "/v1/assets/{id}/workflow", assets.get_asset_workflow, answer=s.ConvertedAnswer, errors=(400, 404, 413)),
    Route("GET", "/v1/workflows", library.list_workflows, query=s.WorkflowsQuery, answer=s.WorkflowsAnswer),
    Route("POST", "/v1/workflows", library.create_workflow, body=s.CreateBody, answer=Saved, status=201, errors=INVALID),
    Route(
        "POST", "/v1/workflows/convert", assets.convert_workflow,
        takes="application/octet-stream", answer=s.ConvertedAnswer, errors=INVALID,
    ),
    Route("GET", "/v1/workflows/{id}", library.get_workflow, answer=Saved, errors=(404,)),
    Route(
        "PUT", "/v1/workflows/{id}", library.save_workflow,
        body=s.SaveBody, answer=Saved, errors=(*INVALID, 404, 412, 428),
    ),
    Route("DELETE", "/v1/workflows/{id}", library.delete_workflow, status=204, errors=(404,)),
    Route("GET", "/v1/workflows/{id}/versions", library.list_workflow_versions, answer=s.VersionsAnswer, errors=(404,)),
    Route("GET", "/v1/workflows/{id}/versions/{version}", library.get_workflow_version, answer=Version, errors=(404,)),
    Route(
        "POST", "/v1/workflows/{id}/versions/{version}/restore", library.restore_version,
        body=s.RestoreBody, answer=Saved, errors=(*BODY, 404),
    ),
    Route(
        "POST", "/v1/workflows/{id}/share", library.share_workflow,
        body=s.ShareBody, answer=s.ShareAnswer, errors=(*BODY, 404),
    ),
    Route("DELETE", "/v1/workflows/{id}/share", library.unshare_workflow, status=204),
    Route("GET", "/v1/shared/{token}", library.get_shared, answer=Saved, errors=(404,)),
    Route("GET", "/v1/drafts", library.list_drafts, answer=s.DraftsAnswer),
    Route("GET", "/v1/drafts/{id}", library.get_draft, answer=Draft, errors=(404,)),
    Route("PUT", "/v1/drafts/{id}", library.keep_draft, body=s.DraftBody, answer=Draft, errors=(*BODY, 412)),
    Route("DELETE", "/v1/drafts/{id}", library.drop_draft, status=204),
    Route("GET", "/v1/templates", library.list_templates, answer=s.TemplatesAnswer),
    Route("GET", "/v1/templates/{name}/thumbnail", library.get_template_picture, media="image/webp", errors=(404,)),
    Route("POST", "/v1/free", jobs.free_memory, body=s.FreeBody, status=204, errors=BODY),
    Route("GET", "/v1/version", system.get_version, answer=s.VersionAnswer),
    Route("GET", "/v1/system", system.get_system, answer=s.SystemAnswer),
    Route("GET", "/v1/openapi.json", system.get_openapi),
    Route("GET", "/healthz", system.get_health, answer=s.HealthAnswer),
    Route("GET", "/readyz", system.get_ready, answer=s.ReadyAnswer),
    Route("GET", "/metrics", system.get_metrics, media="text/plain"),
)  # fmt: skip
