"""The pages: files as they were built, compressed ahead, under a strict policy; and never in the way of the API."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from regime_trading.api.pages import PAGE_CSP, Pages

FILES = {
    "index.html": b"<!doctype html>first",
    "index.html.gz": gzip.compress(b"<!doctype html>first"),
    "index.html.br": b"as brotli",
    "assets/app-1a2b.js": b"let x = 1",
    "sw.js": b"worker",
    "manifest.webmanifest": b"{}",
}


@pytest.fixture
def client() -> Iterator[TestClient]:
    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"the application: {request.url.path}")

    inner = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    with TestClient(Pages(inner, FILES)) as found:
        yield found


@pytest.mark.parametrize(
    "path", ["/", "/overview", "/constraints/VT-01", "/artifacts/runs/x/report.md", "/login"]
)
def test_a_place_inside_is_the_first_page(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"accept-encoding": "identity"})
    assert answer.text == "<!doctype html>first"
    assert answer.headers["content-security-policy"] == PAGE_CSP
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "path", ["/api/v1/me", "/api", "/ws", "/healthz", "/readyz", "/metrics", "/assets/gone-0000.js"]
)
def test_what_is_the_applications_stays_its_own(client: TestClient, path: str) -> None:
    assert client.get(path).text == f"the application: {path}"


def test_only_reading_is_answered(client: TestClient) -> None:
    assert client.post("/overview").text == "the application: /overview"
    assert client.head("/overview").status_code == 200


def test_names_with_a_hash_are_kept_for_ever_and_the_worker_never(client: TestClient) -> None:
    kept = client.get("/assets/app-1a2b.js").headers
    assert "immutable" in kept["cache-control"] and kept["content-type"].startswith("text/javascript")
    assert client.get("/sw.js").headers["cache-control"] == "no-cache"
    assert client.get("/manifest.webmanifest").headers["content-type"] == "application/manifest+json"


@pytest.mark.parametrize(
    ("accepts", "encoding"),
    [("br, gzip", "br"), ("gzip", "gzip"), ("gzip;q=0.5", "gzip"), ("identity", ""), ("zstd", ""), ("", "")],
)
def test_it_comes_compressed_as_it_is_accepted(client: TestClient, accepts: str, encoding: str) -> None:
    with client.stream("GET", "/", headers={"accept-encoding": accepts}) as answer:
        assert answer.headers.get("content-encoding", "") == encoding
        body = b"".join(answer.iter_raw())
    assert body == FILES[f"index.html{ {'br': '.br', 'gzip': '.gz', '': ''}[encoding] }"]
    assert answer.headers["vary"] == "accept-encoding"


def test_what_is_there_already_is_not_sent_again(client: TestClient) -> None:
    plain, packed = (
        client.get("/sw.js", headers={"accept-encoding": "identity"}).headers["etag"],
        client.get("/", headers={"accept-encoding": "gzip"}).headers["etag"],
    )
    assert client.get("/sw.js", headers={"if-none-match": plain}).status_code == 304
    again = client.get("/", headers={"accept-encoding": "gzip", "if-none-match": f'"x", {packed}'})
    assert again.status_code == 304 and again.content == b""
    assert (
        client.get("/", headers={"accept-encoding": "identity", "if-none-match": packed}).status_code == 200
    )


def test_the_policy_lets_no_script_in_but_ours() -> None:
    rules = dict(one.strip().split(" ", 1) for one in PAGE_CSP.split(";"))
    assert rules["default-src"] == rules["script-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["object-src"] == "'none'"
