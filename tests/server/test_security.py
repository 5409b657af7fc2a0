"""A browser tab is a way into this machine: who may ask, and what is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError
from aiohttp.test_utils import TestClient

from graphflow.server.security import COOKIE, PAGE_POLICY, cookie_of
from tests.fakes import World, png, workflow
from tests.server.conftest import MakeClient

BROWSER = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}


def origin(client: TestClient[Any, Any]) -> str:
    return f"http://{client.host}:{client.port}"


async def post(client: TestClient[Any, Any], headers: dict[str, str]) -> int:
    response = await client.post("/v1/free", json={}, headers=headers)
    if response.status >= 400:
        assert set((await response.json())["error"]) == {"code", "message", "problems"}
    return response.status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 204),
        ({"Sec-Fetch-Mode": "cors"}, 204),
        (BROWSER, 403),
        ({"Cookie": "a=b"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://127.0.0.1.evil.example"}, 403),
    ],
)
async def test_changes_come_from_programs_or_from_our_own_pages(
    client: TestClient[Any, Any], headers: dict[str, str], status: int
) -> None:
    assert await post(client, headers) == status


async def test_our_own_page_may_change_things(client: TestClient[Any, Any]) -> None:
    assert await post(client, {**BROWSER, "Origin": origin(client)}) == 204


async def test_the_socket_asks_for_the_origin_too(client: TestClient[Any, Any]) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, BROWSER):
        with pytest.raises(WSServerHandshakeError, match="403"):
            await client.ws_connect("/v1/live", headers=headers)
    async with client.ws_connect("/v1/live", headers={**BROWSER, "Origin": origin(client)}) as socket:
        assert (await socket.receive_json())["type"] == "hello"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:8188", 200),
        ("[::1]:8188", 200),
        ("comfy.localhost", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("192.168.1.5", 403),
        ("", 403),
    ],
)
async def test_a_loopback_server_answers_to_loopback_names_only(
    client: TestClient[Any, Any], host: str, status: int
) -> None:
    assert (await client.get("/v1/version", headers={"Host": host})).status == status


async def test_further_hosts_can_be_allowed(make_client: MakeClient) -> None:
    client = await make_client(allowed_hosts=("gpu.example",))
    assert (await client.get("/v1/version", headers={"Host": "gpu.example:443"})).status == 200


async def test_a_public_server_answers_to_addresses_but_not_to_strange_names(make_client: MakeClient) -> None:
    client = await make_client(host="0.0.0.0", token="t")
    shown = {"Authorization": "Bearer t"}
    assert (await client.get("/v1/version", headers={"Host": "192.168.1.5:8188", **shown})).status == 200
    assert (await client.get("/v1/version", headers={"Host": "rebound.example", **shown})).status == 403


async def test_a_token_is_asked_for_everywhere_but_for_health(make_client: MakeClient) -> None:
    client = await make_client(token="secret")
    for path in ("/v1/nodes", "/v1/assets", "/metrics", "/editor.js", "/nothing"):
        response = await client.get(path)
        assert response.status == 401, path
        assert (await response.json())["error"]["code"] == "unauthorized"
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    with pytest.raises(WSServerHandshakeError, match="401"):
        await client.ws_connect("/v1/live")
    for wrong in ("Bearer secre", "Bearer secret2", "Basic secret", "secret"):
        assert (await client.get("/v1/version", headers={"Authorization": wrong})).status == 401
    assert (await client.get("/v1/version", headers={"Authorization": "Bearer secret"})).status == 200
    assert (await client.get("/healthz")).status == 200


async def test_the_browser_logs_in_once_by_its_address(make_client: MakeClient) -> None:
    client = await make_client(token="secret")
    page = await client.get("/", headers={"Accept": "text/html"})
    assert page.status == 401
    assert "asks for its token" in await page.text()

    wrong = await client.get("/?token=wrong", allow_redirects=False)
    assert (wrong.status, wrong.cookies) == (401, {})
    right = await client.get("/?token=secret", allow_redirects=False)
    cookie = right.cookies[COOKIE]
    assert (right.status, right.headers["Location"]) == (303, "/")
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
    assert "secret" not in cookie.value
    assert (await client.get("/v1/version", headers={"Cookie": f"{COOKIE}={cookie.value}"})).status == 200


async def test_a_share_link_needs_no_token(make_client: MakeClient, it: World) -> None:
    client = await make_client(token="secret")
    saved = await it.service.workflows.create(workflow())
    token = await it.service.workflows.share(saved.id)
    assert (await client.get(f"/v1/shared/{token}")).status == 200


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("page.html", b"<script>alert(1)</script>"),
        ("picture.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("script.js", b"alert(1)"),
        ("feed.xml", b"<?xml version='1.0'?><x/>"),
    ],
)
async def test_active_content_is_a_download_in_a_sandbox(client: TestClient[Any, Any], name: str, data: bytes) -> None:
    asset = await (await client.post(f"/v1/assets?name={name}", data=data)).json()
    response = await client.get(f"/v1/assets/{asset['id']}")
    assert await response.read() == data
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Disposition"].startswith("attachment")
    assert response.headers["Content-Security-Policy"].startswith("sandbox")
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_pictures_are_shown_and_never_change(client: TestClient[Any, Any]) -> None:
    asset = await (await client.post("/v1/assets?name=a 'b' é.png", data=png())).json()
    response = await client.get(f"/v1/assets/{asset['id']}")
    assert (response.content_type, await response.read()) == ("image/png", png())
    assert response.headers["ETag"] == f'"{asset["id"]}"'
    assert "immutable" in response.headers["Cache-Control"]
    assert response.headers["Content-Disposition"].startswith("inline")
    again = await client.get(f"/v1/assets/{asset['id']}", headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")


async def test_part_of_a_file_can_be_asked_for(client: TestClient[Any, Any]) -> None:
    asset = await (await client.post("/v1/assets?name=a.txt", data=b"0123456789")).json()
    response = await client.get(f"/v1/assets/{asset['id']}", headers={"Range": "bytes=2-4"})
    assert (response.status, await response.read()) == (206, b"234")


async def test_every_answer_forbids_sniffing_and_framing(client: TestClient[Any, Any]) -> None:
    for path in ("/", "/v1/version", "/v1/nothing"):
        headers = (await client.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "no-referrer"


async def test_the_page_may_load_nothing_from_elsewhere_and_run_nothing_inline(client: TestClient[Any, Any]) -> None:
    response = await client.get("/")
    assert (response.status, response.content_type) == (200, "text/html")
    assert response.headers["Content-Security-Policy"] == PAGE_POLICY
    assert "unsafe" not in PAGE_POLICY
    assert "default-src 'none'" in PAGE_POLICY


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/%2e%2e/%2e%2e/pyproject.toml",
        "/..%2fpyproject.toml",
        "/.git/config",
        "/%00",
        "/a%5c..%5cb",
    ],
)
async def test_the_editor_serves_nothing_but_its_own_folder(client: TestClient[Any, Any], path: str) -> None:
    from yarl import URL

    response = await client.session.get(URL(f"{origin(client)}{path}", encoded=True))
    assert response.status == 404
    assert (await response.json())["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    "name", ["../up.png", "/etc/passwd.png", "..\\up.png", "a/../../up.png", "C:\\up.png", "%00.png", "nul", "x" * 2000]
)
async def test_uploads_stay_in_their_folder(client: TestClient[Any, Any], tmp_path: Path, name: str) -> None:
    before = {path for path in tmp_path.rglob("*") if path.suffix == ".png"}
    response = await client.post("/v1/assets", params={"name": name}, data=png())
    assert response.status in (201, 400)
    new = {path for path in tmp_path.rglob("*") if path.suffix == ".png"} - before
    assert all(path.is_relative_to(tmp_path / "input") for path in new)
    assert not list(tmp_path.parent.glob("up*.png"))


@pytest.mark.parametrize("id", ["..", "%2e%2e%2fdb.sqlite", "db.sqlite", "0" * 31, "Z" * 32])
async def test_ids_lead_to_assets_only(client: TestClient[Any, Any], id: str) -> None:
    from yarl import URL

    response = await client.session.get(URL(f"{origin(client)}/v1/assets/{id}", encoded=True))
    assert response.status == 404


SITE = "https://app.example"


async def test_an_allowed_site_may_do_what_our_own_pages_may(make_client: MakeClient) -> None:
    client = await make_client(allowed_origins=(f"{SITE}/",))
    asks = {"Origin": SITE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    first = await client.options("/v1/jobs", headers=asks)
    assert first.status == 204
    assert first.headers["Access-Control-Allow-Origin"] == SITE
    assert "POST" in first.headers["Access-Control-Allow-Methods"]
    assert "Content-Type" in first.headers["Access-Control-Allow-Headers"]

    page = {"Sec-Fetch-Site": "cross-site", "Origin": SITE}
    assert await post(client, page) == 204
    read = await client.get("/v1/jobs", headers=page)
    told = [read.headers[f"Access-Control-Allow-{name}"] for name in ("Origin", "Credentials")]
    assert (told, read.headers["Vary"]) == ([SITE, "true"], "Origin")
    assert read.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    async with client.ws_connect("/v1/live", headers=page) as socket:
        assert (await socket.receive_json())["type"] == "hello"


@pytest.mark.parametrize("origin", ["https://app.example.evil", "http://app.example", "https://app.example:8", "null"])
async def test_other_sites_stay_out(make_client: MakeClient, origin: str) -> None:
    client = await make_client(allowed_origins=(SITE,))
    assert await post(client, {"Origin": origin}) == 403
    answer = await client.options("/v1/jobs", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_no_site_is_allowed_from_the_start(client: TestClient[Any, Any]) -> None:
    answer = await client.get("/v1/jobs", headers={"Origin": SITE})
    assert not [name for name in answer.headers if name.startswith("Access-Control")]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_where_any_site_is_allowed_a_page_must_show_the_token_itself(make_client: MakeClient) -> None:
    with pytest.raises(ValueError, match="set a token"):
        await make_client(allowed_origins=("*",))
    client = await make_client(allowed_origins=("*",), token="secret")
    page = {"Origin": SITE}
    assert await post(client, page) == 401
    assert await post(client, {**page, "Cookie": f"{COOKIE}={cookie_of('secret')}"}) == 401
    assert await post(client, {**page, "Authorization": "Bearer secret"}) == 204
    assert await post(client, {"Origin": origin(client), "Cookie": f"{COOKIE}={cookie_of('secret')}"}) == 204
    answer = await client.get("/v1/jobs", headers={**page, "Authorization": "Bearer secret"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    asks = {**page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    assert (await client.options("/v1/jobs", headers=asks)).status == 204


async def test_a_named_site_may_use_the_cookie_and_must_still_show_the_token(make_client: MakeClient) -> None:
    client = await make_client(allowed_origins=(SITE,), token="secret")
    assert await post(client, {"Origin": SITE}) == 401
    assert await post(client, {"Origin": SITE, "Cookie": f"{COOKIE}={cookie_of('secret')}"}) == 204


@pytest.mark.parametrize("site", ["app.example", "ftp://app.example", "https://app.example/page", "https://"])
async def test_a_site_is_named_by_its_scheme_and_host(make_client: MakeClient, site: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        await make_client(allowed_origins=(site,))
