"""Tickets for the live channel over HTTP: for a person's own session, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.edge_world import Edge

from regime_trading.adapters.database import open_database, sqlite_url
from regime_trading.adapters.database.tickets import SqlTickets
from regime_trading.api.app import PREFIX
from regime_trading.api.v1.tickets import tickets_router
from regime_trading.core.instants import instant_text
from regime_trading.services.stream_tickets import GOOD_FOR_NS, redeem

NOW = 1_795_680_000_000_000_000


class Tickets(Edge):
    def __init__(self, path: Path) -> None:
        self.engine = open_database(sqlite_url(path / "store.db"))
        self.store, given = SqlTickets(self.engine), iter(range(100))
        router = tickets_router(self.store, lambda n: next(given).to_bytes(n))
        own = frozenset({f"POST {PREFIX}/ws-ticket"})
        super().__init__([router], {"alpha": ("alpha/main",)}, "alpha", NOW, own)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Tickets]:
    made = Tickets(tmp_path)
    yield made
    made.engine.dispose()


def test_a_ticket_opens_ones_own_session_once(edge: Tickets) -> None:
    first, second = (edge.post("/ws-ticket", "viewer", 201) for _ in range(2))
    assert first["ticket"] != second["ticket"]
    assert first["expires_at"] == instant_text(NOW + GOOD_FOR_NS)
    assert redeem(edge.store, first["ticket"], NOW + 1) == "s-viewer"
    assert redeem(edge.store, first["ticket"], NOW + 1) is None
    assert redeem(edge.store, second["ticket"], NOW + GOOD_FOR_NS + 1) is None


def test_nobody_else_gets_one(edge: Tickets) -> None:
    assert edge.ask("POST", "/ws-ticket").status_code == 401
    for known in ({"token": "pm"}, {"cookie": "pm+bare"}):
        refused = edge.ask("POST", "/ws-ticket", **known)
        assert (refused.status_code, refused.json()["code"]) == (403, "not_by_token")
    sent = edge.ask("POST", "/ws-ticket", "pm", headers={"sec-fetch-site": "cross-site"})
    assert (sent.status_code, sent.json()["code"]) == (403, "cross_site")
