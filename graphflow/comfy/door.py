"""ComfyUI's routes, beside ours on the same port: each bare, and once more below `/api`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from graphflow.comfy import about, files, later, logs, pack_files, pack_routes, queueing, userdata
from graphflow.comfy.call import DOOR, Door
from graphflow.comfy.front_end import add_front_end
from graphflow.comfy.socket import serve_socket
from graphflow.comfy.users import Users
from graphflow.server.call import CONFIG, SERVICE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/ws", serve_socket),
    ("GET", "/prompt", queueing.get_prompt),
    ("POST", "/prompt", queueing.post_prompt),
    ("GET", "/queue", queueing.get_queue),
    ("POST", "/queue", queueing.post_queue),
    ("POST", "/interrupt", queueing.post_interrupt),
    ("POST", "/free", queueing.post_free),
    ("GET", "/history", queueing.get_history),
    ("POST", "/history", queueing.post_history),
    ("GET", "/history/{id}", queueing.get_history_of),
    ("GET", "/jobs", later.get_jobs),
    ("GET", "/jobs/{id}", later.get_job),
    ("GET", "/jobs/{id}/assets", later.get_job_assets),
    ("POST", "/jobs/{id}/cancel", later.cancel_job),
    ("GET", "/view", files.view),
    ("POST", "/upload/image", files.upload_image),
    ("POST", "/upload/mask", files.upload_mask),
    ("GET", "/view_metadata/{folder}", files.view_metadata),
    ("GET", "/object_info", about.get_object_info),
    ("GET", "/object_info/{type:.+}", about.get_object_info_of),
    ("GET", "/embeddings", about.get_embeddings),
    ("GET", "/models", about.get_models),
    ("GET", "/models/{folder}", about.get_models_in),
    ("GET", "/experiment/models", about.get_model_folders),
    ("GET", "/experiment/models/preview/{folder}/{index}/{name:.+}", about.get_model_preview),
    ("GET", "/experiment/models/{folder}", about.get_model_files),
    ("GET", "/system_stats", about.get_system_stats),
    ("GET", "/features", about.get_features),
    ("GET", "/extensions", pack_files.get_extensions),
    ("GET", "/users", userdata.get_users),
    ("POST", "/users", userdata.post_users),
    ("GET", "/settings", userdata.get_settings),
    ("POST", "/settings", userdata.post_settings),
    ("GET", "/settings/{id}", userdata.get_setting),
    ("POST", "/settings/{id}", userdata.post_setting),
    ("GET", "/userdata", userdata.list_userdata),
    ("GET", "/v2/userdata", userdata.list_userdata_v2),
    ("GET", "/userdata/{file}", userdata.get_userdata),
    ("POST", "/userdata/{file}", userdata.post_userdata),
    ("DELETE", "/userdata/{file}", userdata.delete_userdata),
    ("POST", "/userdata/{file}/move/{dest}", userdata.move_userdata),
    ("GET", "/workflow_templates", pack_files.get_workflow_templates),
    ("GET", "/workflow_templates/{pack}/{name}", pack_files.get_workflow_template),
    ("GET", "/i18n", pack_files.get_translations),
    ("GET", "/global_subgraphs", about.empty_object),
    ("GET", "/node_replacements", about.empty_object),
)
INTERNAL: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/internal/logs", logs.get_logs),
    ("GET", "/internal/logs/raw", logs.get_raw_logs),
    ("PATCH", "/internal/logs/subscribe", logs.subscribe),
    ("GET", "/internal/folder_paths", about.get_folder_paths),
    ("GET", "/internal/files/{kind}", about.get_files),
)
"""These have no twin below `/api`."""


def add_routes(app: web.Application) -> None:
    """Adds the door to the application."""
    service, config = app[SERVICE], app[CONFIG]
    app[DOOR] = Door(service, config, Users(config.data / "user", several=config.multi_user))
    for method, path, handler in ROUTES:
        for prefix in ("", "/api"):
            app.router.add_route(method, prefix + path, handler)
            if method == "GET" and path != "/ws":
                app.router.add_route("HEAD", prefix + path, handler)
    for method, path, handler in INTERNAL:
        app.router.add_route(method, path, handler)
    if config.front_end == "comfyui":
        add_front_end(app)
    if config.packs:
        app.middlewares.append(pack_routes.pass_on)
    app.on_shutdown.append(_close_sockets)


async def _close_sockets(app: web.Application) -> None:
    for socket in list(app[DOOR].sockets.values()):
        await socket.close()
