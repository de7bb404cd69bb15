"""Requests of the gate that its tests share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from regime_trading.adapters.config_files import load_configuration
from regime_trading.core.request_reading import read_requests
from regime_trading.core.requests import PMRequest
from regime_trading.core.schemas import PMDecision
from regime_trading.core.settings import Settings
from regime_trading.core.trader_profile import TraderProfile, fields_hash
from regime_trading.engine.request_books import Subject
from regime_trading.engine.request_firm import Sibling
from regime_trading.engine.requests import Answer, decide_requests

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "config"
AS_OF = "2026-11-20T15:30:00Z"
T = 1_795_188_600_000_000_000
CORE, DEFENSIVE = "north-pier/core", "north-pier/defensive"
GROWTH = "kestrel-lane/growth"

TREE: dict[str, Any] = {
    "as_of": AS_OF,
    "account": CORE,
    "portfolio": {"cash": "938000", "positions": [{"symbol": "KO", "qty": "1000", "avg_price": "60"}]},
    "proposal": {
        "proposal_id": "p-1",
        "as_of": "2026-11-20T15:29:50Z",
        "complete": True,
        "weights": {"KO": "0.10", "XOM": "0.30"},
    },
    "market": {
        "instruments": [{"symbol": "KO", "group": "staples"}, {"symbol": "XOM", "group": "energy"}],
        "quotes": [
            {"symbol": "KO", "bid": "61.99", "ask": "62.01", "ts": "2026-11-20T15:29:59Z"},
            {"symbol": "XOM", "bid": "110.00", "ask": "110.02", "ts": "2026-11-20T15:29:59.5Z"},
        ],
        "adv": {"KO": "800000000", "XOM": "1500000000"},
        "status": {"KO": "open", "XOM": "open"},
        "covariance": {
            "symbols": ["KO", "XOM"],
            "matrix": [[0.03, 0.01], [0.01, 0.08]],
            "annualised": True,
            "n_obs": 252,
        },
        "regime": {"label": "trending", "confidence": 0.8},
    },
}


def tree(*changes: tuple[str, Any], **top: Any) -> dict[str, Any]:
    """A request as plain data; ``("market.quotes.0.bid", 1)`` changes one place, ``...`` removes it."""
    made = json.loads(json.dumps(TREE)) | top
    for path, value in changes:
        *way, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
        place = made
        for step in way:
            place = place[step]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return made


def request(*changes: tuple[str, Any], **top: Any) -> PMRequest:
    return read_requests(json.dumps(tree(*changes, **top)))[0][0]


@cache
def shipped() -> tuple[Settings, dict[str, TraderProfile]]:
    loaded = load_configuration(CONFIG / "settings.yaml", CONFIG / "traders.yaml")
    return loaded.settings, {profile.account: profile for profile in loaded.profiles}


def changed(profile: TraderProfile, **fields: Any) -> TraderProfile:
    """The configuration with other fields, and its own hash."""
    whole = {**dict(profile), **fields}
    return TraderProfile(**{**whole, "config_hash": fields_hash(whole)})


def answers(
    requests: Sequence[PMRequest],
    profiles: Mapping[str, TraderProfile] | None = None,
    siblings: Mapping[str, Sequence[Sibling]] | None = None,
) -> tuple[Answer, ...]:
    settings, own = shipped()
    known = own if profiles is None else profiles
    subjects = [Subject(one, known[one.account], one.state) for one in requests]
    return decide_requests(subjects, siblings or {}, settings, "test")


def decided(*changes: tuple[str, Any], **top: Any) -> PMDecision:
    """The decision of one request."""
    return answers([request(*changes, **top)])[0].decision


def outcome(decision: PMDecision, rule_id: str) -> str:
    return next(rule.outcome.value for rule in decision.rules if rule.rule_id == rule_id)


def codes(decision: PMDecision, rule_id: str) -> tuple[str, ...]:
    return next(rule.reason_codes for rule in decision.rules if rule.rule_id == rule_id)


def weights(decision: PMDecision) -> dict[str, str]:
    return {target.symbol: format(target.target_w, "f") for target in decision.targets}
