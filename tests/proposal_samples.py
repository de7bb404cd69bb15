"""Proposals for tests."""

from __future__ import annotations

from typing import Any

from regime_trading.core.proposals import BasketProposal, Content

T = 1_700_000_000 * 10**9
MARY, ANN = "u-abcdefgh23456777", "u-bbbbbbbb23456777"


def content(firm_id: str = "alpha", **changes: Any) -> Content:
    plain = {"name": "my-mix", "accounts": [f"{firm_id}/main"], "weights": {"KO": "0.3", "PEP": "-0.1"}}
    return Content.model_validate(plain | changes)


def proposal(n: int = 1, firm_id: str = "alpha", maker: str = MARY, **changes: Any) -> BasketProposal:
    return BasketProposal(
        proposal_id=f"pr-{n}",
        firm_id=firm_id,
        content=content(firm_id, **changes),
        maker=maker,
        by=maker,
        created_ns=T + n,
        changed_ns=T + n,
    )
