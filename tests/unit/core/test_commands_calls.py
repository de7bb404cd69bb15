"""What a command shows, as the one GET request it stands for."""

from __future__ import annotations

import pytest

from regime_trading.core.commands.calls import request_of
from regime_trading.core.commands.grammar import parse

NOW = 1_795_680_000_000_000_000  # 2026-11-26T08:00:00Z
AT = "/api/v1/firms/alpha"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/show constraints account:alpha/main", f"{AT}/accounts/main/constraints"),
        ("/show constraints account:alpha/main rule:LD-02", f"{AT}/accounts/main/constraints/LD-02"),
        ("/show portfolio account:alpha/main --json", f"{AT}/accounts/main/portfolio"),
        ("/show regime", f"{AT}/regimes"),
        ("/show regime symbol:KO", f"{AT}/regimes/KO"),
        ("/show run id:#paced-1", f"{AT}/runs/paced-1"),
        ("/show rl account:alpha/main", f"{AT}/rl?account=alpha%2Fmain"),
        ("/show diff account:alpha/main from:1 to:2", f"{AT}/configs/diff?from=1&to=2"),
        ("/config diff account:alpha/main from:2", f"{AT}/configs/diff?from=2&to=2"),
        ("/show artifact id:#run-1 v:market/regime.json",
         f"{AT}/artifacts/preview?path=runs%2Frun-1%2Fmarket%2Fregime.json"),
        ("/show artifact id:#run-1 v:runs/run-1/rules.json", f"{AT}/artifacts/preview?path=runs%2Frun-1%2Frules.json"),
        ("/show audit account:alpha/main rule:LD-02 from:2026-11-01",
         f"{AT}/audit/entries?rule_id=LD-02&from=2026-11-01T00%3A00%3A00Z&account=alpha%2Fmain"),
        ("/halt account:alpha/main", ""),
        ("/go runs", ""),
        ("/run backtest account:alpha/main", ""),
    ],
)  # fmt: skip
def test_what_is_shown_is_asked_for_where_the_catalogue_says(text: str, path: str) -> None:
    assert request_of(parse(text), "alpha", NOW) == path
