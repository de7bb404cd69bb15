"""The watcher of a schedule hears of each run that is done, and of nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from regime_trading.bootstrap.schedules import watched
from regime_trading.core.jobs import Job, JobKind, JobStatus
from regime_trading.services.schedules import BY


@pytest.fixture
def watcher() -> Iterator[tuple[str, list[str]]]:
    """An address, and the paths it was asked for; ``/ill`` answers that it is."""
    asked = list[str]()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(503 if self.path == "/ill" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def job(
    by: str = BY, status: JobStatus = JobStatus.DONE, firm: str = "north-pier", basket: str = "us-core"
) -> Job:
    return Job("job-1", firm, JobKind.RUN, f'{{"basket":"{basket}"}}', by, 1, status=status)


def test_only_a_scheduled_run_that_is_done_is_told(
    watcher: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    where, asked = watcher
    told = list[str]()
    monkeypatch.setenv("REGIME_OUTBOUND_ALLOW", "127.0.0.1")
    monkeypatch.setenv("REGIME_DEADMAN_NORTH_PIER_US_CORE", f"{where}/well")
    monkeypatch.setenv("REGIME_DEADMAN_NORTH_PIER_US_GROWTH", f"{where}/ill")
    ended = watched(told.append)
    for one in (
        job(by="u-abcdefgh23456777"),
        job(status=JobStatus.FAILED),
        job(status=JobStatus.CANCELLED),
        job(status=JobStatus.QUEUED),
        job(firm="kestrel-lane"),
        job(basket="us-defensive"),
    ):
        ended(one)
    assert (asked, told) == ([], [])
    ended(job())
    assert (asked, told) == (["/well"], [])
    ended(job(basket="us-growth"))
    assert asked == ["/well", "/ill"]
    assert told == ["the watcher of basket us-growth of north-pier did not hear that its run is done"]
    assert where not in str(told), "an address is a secret"
