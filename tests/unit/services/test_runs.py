"""What a run is named by, and how a person's words become a request."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from regime_trading.adapters.config_files import load_configuration
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import (
    AccountState,
    Order,
    PortfolioSnapshot,
    Position,
    PriceWindow,
    Proposal,
)
from regime_trading.core.trader_profile import (
    SessionOverride,
    TraderProfile,
    effective_hash,
    with_overrides,
)
from regime_trading.services.runs import Ask, RunService, parse_time, time_text

CONFIG = Path(__file__).parents[3] / "config"
CONFIGURATION = load_configuration(CONFIG / "settings.yaml", CONFIG / "traders.yaml")
SYMBOLS = (*sorted(CONFIGURATION.settings.baskets["us-core"].symbols), "SPX", "TLT")
DAY = 86_400_000_000_000
TS = np.arange(10, dtype=np.int64) * DAY + parse_time("2020-01-01T21:00:00Z", "t")
CLOSE = np.arange(10 * len(SYMBOLS), dtype=np.float64).reshape(10, -1) + 1.0


class Source:
    name, symbols = "bundled", SYMBOLS

    def __init__(self, close: np.ndarray = CLOSE) -> None:
        self._bars = PriceWindow(SYMBOLS, TS, close)

    def window(self, until: int | None = None, symbols: tuple[str, ...] | None = None) -> PriceWindow:
        bars = self._bars if until is None else self._bars.until(until)
        return bars if symbols is None else bars.select(symbols)

    def tape(self, symbol: str) -> None:
        return None


class Books:
    """A ledger that holds one account."""

    def __init__(self, stored: dict[str, Any] | None = None) -> None:
        self._stored = stored or {}

    def load(self, account: str, before_ns: int) -> Any:
        return self._stored.get(account)


def service(source: Source | None = None, stored: dict[str, Any] | None = None, **changes: Any) -> RunService:
    made = RunService(
        settings=CONFIGURATION.settings,
        profiles=CONFIGURATION.profiles,
        least_state={},
        code_version="0.1.0+a",
        source=lambda name: source or Source(),
        ledger=lambda firm, mode: Books(stored),
        records=SimpleNamespace,
        sealer=SimpleNamespace(),
        store=SimpleNamespace(),
        flow=SimpleNamespace(),
        in_force=lambda profile, as_of_ns: profile,
        approvals=SimpleNamespace(),
        alone=lambda run_id: nullcontext(True),
    )
    return replace(made, **changes)


def state(account: str, session: int) -> AccountState:
    zero = {
        name: Decimal(0)
        for name in (
            "units",
            "unit_hwm",
            "last_equity",
            "last_balance",
            "day_anchor_balance",
            "day_anchor_equity",
            "day_flow",
        )
    }
    return AccountState(
        account=account, as_of_ns=1, initial_capital=Decimal(1), day_id=0, session=session, **zero
    )


def held(account: str, *symbols: str, session: int = 0, ordered: tuple[str, ...] = ()) -> dict[str, Any]:
    positions = tuple(Position(symbol=s, qty=Decimal(1), avg_price=Decimal(1)) for s in symbols)
    orders = tuple(Order(client_order_id=s, leg=1, symbol=s, intent="entry", qty=Decimal(1)) for s in ordered)
    portfolio = PortfolioSnapshot(account=account, as_of_ns=1, cash=Decimal(1), positions=positions)
    return {account: (state(account, session), portfolio, orders)}


def test_the_default_is_every_account_its_own_baskets_at_the_last_bar() -> None:
    request = service().request(Ask())
    assert request.as_of_ns == TS[-1]
    assert request.accounts == tuple(profile.account for profile in CONFIGURATION.profiles)
    assert request.baskets == tuple(sorted({b.name for p in CONFIGURATION.profiles for b in p.baskets}))
    assert set(request.symbols) - set(request.traded) == {"SPX"}
    assert list(request.symbols) == sorted(request.symbols)


def test_a_run_id_follows_from_the_inputs_and_from_nothing_else() -> None:
    one = service().request(Ask())
    assert service().request(Ask()) == one
    assert one.run_id.startswith("run-20200110-") and len(one.run_id) <= 40
    altered = CLOSE.copy()
    altered[3, 4] += 1e-9
    later = CLOSE.copy()
    later[-1, 0] += 1.0
    account = CONFIGURATION.profiles[0].account
    settings = CONFIGURATION.settings.model_copy(update={"schema_version": 1, "sealed": ("risk.gross",)})
    others = [
        service(Source(altered)).request(Ask()),
        service(code_version="0.1.0+b").request(Ask()),
        service(settings=settings).request(Ask()),
        service().request(Ask(effort="thorough")),
        service().request(Ask(as_of_ns=int(TS[-2]))),
        service().request(Ask(symbols=("KO",))),
        service().request(Ask(symbols=("KO", "PEP"))),
        service().request(Ask(basket="us-growth")),
        service().request(Ask(accounts=(account,))),
        service(stored=held(account, "KO")).request(Ask()),
        service(stored=held(account, "KO", session=1)).request(Ask()),
        service(stored=held(account, "KO", ordered=("KO",))).request(Ask()),
        service().request(
            Ask(proposal=Proposal(proposal_id="p", as_of_ns=1, weights={"KO": Decimal("0.1")}))
        ),
        service().request(
            Ask(proposal=Proposal(proposal_id="p", as_of_ns=1, weights={"KO": Decimal("0.2")}))
        ),
    ]
    ids = [one.run_id, *(request.run_id for request in others)]
    assert len(set(ids)) == len(ids)
    before = Ask(as_of_ns=int(TS[-2]))
    assert service(Source(later)).request(before) == service().request(before)


def test_a_run_id_follows_from_the_overrides_in_force() -> None:
    def in_force(profile: TraderProfile, as_of_ns: int) -> TraderProfile:
        said = {
            "path": "risk.gross",
            "value": "0.5",
            "reason": "a bad day",
            "created_by": "local",
            "exact": True,
        }
        start = int(TS[-1])
        own = SessionOverride(account=profile.account, created_at_ns=start, expires_at_ns=start + 1, **said)
        return with_overrides(profile, [own], as_of_ns)

    tightened = service(in_force=in_force)
    assert tightened.request(Ask()).run_id != service().request(Ask()).run_id
    before = Ask(as_of_ns=int(TS[-2]))
    assert tightened.request(before) == service().request(before)


def test_an_account_without_baskets_wants_symbols_or_a_proposal() -> None:
    idle = CONFIGURATION.profiles[0]
    fields = {**idle.model_dump(), "baskets": (), "config_hash": ""}
    fields["config_hash"] = effective_hash(TraderProfile.model_construct(**{**dict(idle), "baskets": ()}))
    idle = TraderProfile.model_validate(fields)
    with pytest.raises(BadInput, match="account north-pier/core: expected baskets in the account"):
        service(profiles=(idle,)).request(Ask())
    assert service(profiles=(idle,)).request(Ask(symbols=("KO",))).accounts == ("north-pier/core",)


def test_what_an_account_holds_or_has_ordered_is_traded_whatever_is_asked() -> None:
    account = CONFIGURATION.profiles[0].account
    request = service(stored=held(account, "TLT", ordered=("XOM",))).request(Ask(symbols=("KO",)))
    assert request.traded == ("KO", "TLT", "XOM") and request.ad_hoc == ("KO",) and request.baskets == ()


def test_a_basket_names_the_accounts_that_follow_it_with_all_of_theirs() -> None:
    request = service().request(Ask(basket="us-defensive"))
    following = [p for p in CONFIGURATION.profiles if any(b.name == "us-defensive" for b in p.baskets)]
    assert request.accounts == tuple(p.account for p in following)
    assert request.baskets == tuple(sorted({b.name for p in following for b in p.baskets}))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (Ask(basket="nope"), "us-core.*found nope"),
        (Ask(symbols=("NOPE",)), "NOPE"),
        (Ask(accounts=("nobody/nowhere",)), "north-pier/core.*nobody"),
        (Ask(basket="us-core", symbols=("KO",)), "one of a basket, symbols and a proposal"),
        (Ask(as_of_ns=int(TS[0]) - 1), "begins 2020-01-01"),
        (Ask(basket="us-growth", accounts=("north-pier/core",)), "an account follows"),
    ],
)
def test_an_ask_that_cannot_be_served_says_what_could_be(ask: Ask, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        service().request(ask)


def test_times() -> None:
    assert parse_time("2022-12-28", "x") == parse_time("2022-12-28T23:59:59Z", "x") + 999_999_999
    assert parse_time("2022-12-28T21:00:00", "x") == parse_time("2022-12-28T16:00:00-05:00", "x")
    assert time_text(parse_time("2022-12-28T21:00:00Z", "x")) == "2022-12-28T21:00:00Z"
    for text in ("28.12.2022", "2022-13-01", "", "now"):
        with pytest.raises(BadInput, match="--as-of"):
            parse_time(text, "--as-of")
