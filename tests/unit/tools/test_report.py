"""Reports: structure, units, escaping, determinism, tenants, missing values, sizes."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from regime_trading.core.errors import BadInput
from regime_trading.core.rules import RULE_BY_ID, RULE_IDS, Authority, Release, TradingState
from regime_trading.core.schemas import (
    ActorType,
    DataHealth,
    Exposure,
    FrameRef,
    HealthStatus,
    Latch,
    Mode,
    Order,
    Outcome,
    PMDecision,
    Proposal,
    Provides,
    Regime,
    RegimeLabel,
    RiskState,
    RuleOutcome,
    RuleResult,
    Structure,
    StructureLabel,
    SymbolHealth,
    TapeSummary,
    Target,
)
from regime_trading.core.settings import Operators
from regime_trading.core.state import (
    Acceptance,
    Alternate,
    Check,
    Contradiction,
    Judgement,
    MarketRegime,
    ProfileRef,
    SymbolExposure,
)
from regime_trading.tools.performance import performance
from regime_trading.tools.report import charts, document, firms, for_firm, render_html, render_markdown
from regime_trading.tools.report_controls import gap_sentence
from regime_trading.tools.report_document import (
    Block,
    Cell,
    Details,
    Facts,
    Part,
    Section,
    Table,
    Text,
    escape_markdown,
)
from regime_trading.tools.report_history import pass_rate
from regime_trading.tools.report_model import (
    AccountHistory,
    AccountRun,
    Attempt,
    BacktestReport,
    CashFlow,
    Comparison,
    LatchRecord,
    RegimeHistory,
    RuleHistory,
    RunReport,
    SharpeGap,
    SourceNote,
    Substitute,
    Track,
)
from regime_trading.tools.report_text import (
    MISSING,
    moment,
    number,
    percent,
    rule_value,
    signed,
    units,
    utilisation,
    wilson_interval,
)

DAY_NS = 86_400 * 10**9
NAMES = ("northwind/core", "northwind/eval-50k", "harbor/growth", "harbor/income")
SYMBOLS = ("AAPL", "BAC", "CVX", "GE", "HD", "JNJ", "JPM", "KO", "MSFT", "XOM")
SOURCE = SourceNote(
    name="bundled",
    provides=("close",),
    calendar="XNYS",
    substitutes=(
        Substitute("market status", "exchange calendar XNYS"),
        Substitute("quoted spread", "declared per instrument, 2 bps"),
        Substitute("average daily volume", "declared per instrument, 500,000,000 USD"),
    ),
    notes=(
        "Survivorship: these are 20 companies that were still listed in 2022; results look better than they were.",
    ),
)
TAPE = TapeSummary(
    evidence="bars",
    confidence_cap=0.8,
    notes=("Tiers of 4 hours and 15 minutes are unavailable on daily closes.",),
)


def sessions(n: int) -> np.ndarray:
    """Weekday closes at 21:00 UTC from 1990-01-02."""
    days = np.datetime64("1990-01-02") + np.arange(int(n * 1.5) + 10)
    weekdays = days[(days.astype("datetime64[D]").astype(np.int64) + 3) % 7 < 5][:n]
    return weekdays.astype("datetime64[ns]").astype(np.int64) + 21 * 3600 * 10**9


def names(n: int) -> tuple[str, ...]:
    return NAMES[:n] + tuple(f"firm-{k % 3}/account-{k}" for k in range(max(0, n - len(NAMES))))


def history(n: int, seed: int = 7) -> RegimeHistory:
    rng = np.random.default_rng(seed)
    state, turbulent = np.zeros(n, dtype=np.int8), 0
    for t in range(n):
        if rng.random() < (0.012 if turbulent else 0.0025):
            turbulent = 1 - turbulent
        state[t] = turbulent
    drift, spread = np.where(state, -0.0006, 0.0006), np.where(state, 0.017, 0.0078)
    close = 100 * np.exp(np.cumsum(drift + spread * rng.standard_normal(n)))
    block = np.repeat(rng.choice([0, 0, 1, 2, 2, 4], size=n // 42 + 1), 42)[:n]
    label = np.where(state == 1, 3, block).astype(np.int8)
    label[: min(504, n)] = -1
    return RegimeHistory("SPX", sessions(n), close, state, label, 2)


def regime(symbol: str, label: RegimeLabel, confidence: float, state: int | None = 0) -> Regime:
    return Regime(
        symbol=symbol,
        as_of_ns=int(sessions(8300)[-1]),
        label=label,
        confidence=confidence,
        structure=Structure(
            label=StructureLabel.TRENDING,
            confidence=0.7,
            variance_ratio=1.12,
            p_value=0.031,
            half_life_bars=None,
            n_obs=504,
            reason="",
        ),
        risk=RiskState(
            state=state,
            n_states=2,
            margin=0.4,
            expected_duration_bars=None if state is None else 214.0,
            fitted_at_ns=int(sessions(8300)[-60]),
            reason="" if state is not None else "fewer than 504 bars",
        ),
    )


def rule_results(kind: int) -> tuple[RuleResult, ...]:
    """One result per registered rule, a different story per ``kind``."""
    known: dict[str, tuple[str, str]] = {
        "DS-01": ("0", "1.5"), "DS-02": ("0", "0"), "DS-03": ("0.0231", "0.2"), "DS-05": ("0.998", "0.95"),
        "DS-11": ("0", "7"), "DS-12": ("252", "60"), "DS-14": ("0", "1"), "UT-06": ("345600", "300"),
        "LD-01": ("4210.5", "20000"), "LD-02": ("0.0612", "0.1"), "VT-01": ("0.214", "0.15"), "VT-04": ("0.62", "0.5"),
        "VT-06": ("0", "0"), "CC-01": ("0.262", "0.2"), "CC-02": ("0.97", "1"), "CC-03": ("0.97", "1"),
        "CC-04": ("0.31", "0.4"), "CC-08": ("10", "10"), "XL-03": ("0.0123", "0.05"), "XL-04": ("0.12", "0.5"),
        "XL-06": ("0.34", "0.5"),
    }  # fmt: skip
    bound = [{"CC-01", "VT-01"}, {"LD-02", "CC-01"}, set(), {"UT-14"}][kind % 4]
    off, unknown = {"LD-03", "LD-13"}, ({"XL-04"} if kind % 4 == 1 else set())
    results = []
    for rule_id in RULE_IDS:
        value, limit = known.get(rule_id, (None, None))
        outcome = (
            RuleOutcome.OFF if rule_id in off else RuleOutcome.BOUND if rule_id in bound else RuleOutcome.PASS
        )
        if rule_id in unknown:
            outcome, value = RuleOutcome.UNKNOWN, None
        codes = {
            RuleOutcome.BOUND: (f"{rule_id.replace('-', '_')}_LIMIT",),
            RuleOutcome.UNKNOWN: ("ADV_UNKNOWN",),
        }
        results.append(
            RuleResult(
                rule_id=rule_id,
                outcome=outcome,
                value=value,
                limit=limit,
                reason_codes=codes.get(outcome, ()),
            )
        )
    return tuple(results)


def account_run(name: str, kind: int) -> AccountRun:
    rng = np.random.default_rng(kind)
    wanted = np.round(rng.dirichlet(np.ones(len(SYMBOLS)) * 2), 4)
    targets = tuple(
        Target(
            symbol=s,
            proposed_w=Decimal(str(w)),
            current_w=Decimal(str(round(w * 0.8, 4))),
            target_w=Decimal(str(round(min(w * 0.7, 0.2), 4))),
            current_qty=Decimal(100 * (k + 1)),
            target_qty=Decimal(90 * (k + 1)),
            step_qty=Decimal(-10 * (k + 1)),
            limiting_rules=("VT-01", "CC-01") if w > 0.2 else ("VT-01",),
        )
        for k, (s, w) in enumerate(zip(SYMBOLS, wanted.tolist(), strict=True))
    )
    outcome = (Outcome.RESIZE, Outcome.REDUCE_ONLY, Outcome.APPROVE, Outcome.BLOCK)[kind % 4]
    state = TradingState.REDUCE_ONLY if outcome is Outcome.REDUCE_ONLY else TradingState.NORMAL
    orders = tuple(
        Order(
            client_order_id=f"{kind:02d}-{k:04x}", leg=k, symbol=s, intent="exit", qty=Decimal(-10 * (k + 1))
        )
        for k, s in enumerate(SYMBOLS[:4])
    )
    decision = PMDecision(
        decision_id=f"dec-{kind:04d}",
        account=name,
        as_of_ns=int(sessions(8300)[-1]),
        proposal_id="prop-core",
        outcome=outcome,
        trading_state_before=TradingState.NORMAL,
        trading_state_after=state,
        authority=Authority.RISK_REDUCING if state else Authority.ALL,
        equity=Decimal("1012345.67") + 1000 * kind,
        throttle=Decimal("0.75"),
        budget_factor=Decimal("0.7009"),
        targets=targets,
        orders=orders,
        rules=rule_results(kind),
        binding_rules=tuple(r.rule_id for r in rule_results(kind) if r.outcome is RuleOutcome.BOUND),
        latches_added=(),
        latches_cleared=(),
        rationale=f"Book volatility 21.4 % against 15.0 %: every weight of {name} was scaled by 0.70.",
        snapshot_hash="0" * 64,
        proposal_hash="1" * 64,
        state_hash="2" * 64,
        config_hash="3" * 64,
        code_version="0.1.0",
    )
    latch = Latch(
        rule_id="LD-01",
        trading_state=TradingState.REDUCE_ONLY,
        release=Release.NEXT_SESSION,
        since_ns=int(sessions(8300)[-1]),
        since_session=8299,
        detail=f"daily loss of {name}",
    )
    firm = name.split("/")[0]
    return AccountRun(
        decision=decision,
        profile=ProfileRef(account=name, mode=Mode.DRY_RUN, config_hash="3" * 64, baskets=(f"{firm}-core",)),
        latches=(latch,) if state else (),
        acceptance=Acceptance(account=name, order_ids=tuple(o.client_order_id for o in orders)),
    )


def health(n: int) -> DataHealth:
    ts = sessions(n) if n else None
    return DataHealth(
        source="bundled",
        calendar="XNYS",
        as_of_ns=int(sessions(8300)[-1]),
        provides=(Provides.CLOSE,),
        bar_s=86_400,
        content_hash="ab" * 32,
        symbols=tuple(
            SymbolHealth(
                symbol=s,
                bars=n,
                first_ts_ns=None if ts is None else int(ts[0]),
                last_ts_ns=None if ts is None else int(ts[-1]),
                duplicates=0,
                out_of_order=0,
                missing=3 if s == "GE" else 0,
                non_positive=0,
                off_calendar=0,
                longest_gap=2 if s == "GE" else 0,
                current_gap=0,
                longest_stale_run=1,
                completeness=0.9996 if s == "GE" else float(n > 0),
                status=HealthStatus.DEGRADED
                if s == "GE"
                else HealthStatus.OK
                if n
                else HealthStatus.UNUSABLE,
                reasons=("MISSING_BARS",) if s == "GE" else (),
            )
            for s in SYMBOLS
        ),
    )


def make_run(n_accounts: int = 4, n_days: int = 8300) -> RunReport:
    """A plausible run over ``n_days`` sessions."""
    accounts = tuple(account_run(name, k) for k, name in enumerate(names(n_accounts)))
    firms = sorted({name.split("/")[0] for name in names(n_accounts)})
    cycle = (RegimeLabel.TRENDING, RegimeLabel.RANDOM, RegimeLabel.MEAN_REVERTING, RegimeLabel.UNCERTAIN)
    return RunReport(
        title="Regime run of 2022-12-28",
        run_id="run-2022-12-28-a1b2c3",
        as_of_ns=int(sessions(8300)[-1]),
        source=SOURCE,
        tape=TAPE,
        health=health(n_days),
        regime=MarketRegime(
            market=regime("SPX", RegimeLabel.TRENDING, 0.74),
            symbols=tuple(regime(s, cycle[k % 4], 0.3 + 0.06 * k) for k, s in enumerate(SYMBOLS)),
            exposures=tuple(
                SymbolExposure(symbol=s, exposure=list(Exposure)[k % 4]) for k, s in enumerate(SYMBOLS)
            ),
            history=FrameRef(path="market/regime.parquet", sha256="cd" * 32, rows=n_days),
        ),
        history=history(n_days) if n_days else None,
        momentum={s: None if s == "XOM" else 0.02 * k - 0.07 for k, s in enumerate(SYMBOLS)},
        momentum_bars=126,
        contradiction=Contradiction(
            turbulent=False,
            alternates=(
                Alternate(
                    name="weekly bars", turbulent=False, agrees=True, detail="jump model on weekly closes"
                ),
                Alternate(
                    name="Gaussian HMM", turbulent=True, agrees=False, detail="filtered probability 0.71"
                ),
            ),
            confidence_cap=0.5,
        ),
        proposals=tuple(
            Proposal(
                proposal_id=f"prop-{firm}",
                as_of_ns=int(sessions(8300)[-3]),
                weights={s: Decimal(k + 1) / Decimal(55) for k, s in enumerate(SYMBOLS)},
                confidence=0.5,
                basket=f"{firm}-core",
            )
            for firm in firms
        ),
        accounts=accounts,
        verdict=Judgement(action="ok"),
        code_version="0.1.0+3f2a",
    )


def rule_history(
    rule_id: str, n: int, drawdown: np.ndarray, rng: np.random.Generator, ts: np.ndarray
) -> RuleHistory:
    if rule_id in ("LD-03", "LD-13"):
        return RuleHistory(rule_id, 0, 0, off=n, reach="off")
    if rule_id == "UT-06":
        return RuleHistory(rule_id, 0, 0, not_evaluable=n, reach="not evaluable")
    if rule_id == "CC-12":
        return RuleHistory(rule_id, n, 0, reach="unreachable")
    scale = {"CC-01": 0.9, "VT-01": 0.8, "CC-02": 0.9, "LD-02": 0.0, "XL-06": 0.3, "LD-01": 0.25}.get(rule_id)
    if scale is None or n == 0:
        return RuleHistory(rule_id, n, 0, reach="reachable")
    slow = np.abs(np.convolve(rng.standard_normal(n + 62), np.ones(63) / 63, "valid"))[:n] * 3.2
    use = drawdown / 0.15 if rule_id == "LD-02" else scale * (0.35 + slow)
    use = use + 0.02 * rng.random(n)
    use[:60] = np.nan
    hit = np.flatnonzero(use >= 1)
    return RuleHistory(
        rule_id,
        n,
        len(hit),
        unknown=60,
        last_bound_ns=int(ts[hit[-1]]) if len(hit) else None,
        reach="reachable",
        utilisation=use,
    )


def account_history(name: str, k: int, past: RegimeHistory) -> AccountHistory:
    n, ts = len(past.ts_ns), past.ts_ns
    rng = np.random.default_rng(100 + k)
    evaluation = "eval" in name
    calm = np.where(past.state == 0, 1.0, 0.45)
    returns = np.diff(past.close, prepend=past.close[:1]) / past.close * calm * (0.55 + 0.1 * k)
    returns = returns + 0.001 * rng.standard_normal(n)
    starts = list(range(0, n, 700)) if evaluation else [0][:n]
    ends = [*starts[1:], n][: len(starts)]
    equity, drawdown = np.full(n, np.nan), np.full(n, np.nan)
    for a, b in zip(starts, ends, strict=True):
        equity[a:b] = (50_000 if evaluation else 1e6) * np.cumprod(1 + returns[a:b])
        drawdown[a:b] = 1 - equity[a:b] / np.maximum.accumulate(equity[a:b])
    state = np.select([drawdown > 0.19, drawdown > 0.14, drawdown > 0.11], [3, 2, 1], 0).astype(np.int8)
    throttle = np.select([drawdown > 0.10, drawdown > 0.05], [0.5, 0.75], 1.0)
    edges = np.flatnonzero(np.diff((state >= 2).astype(int)) == 1) + 1
    latches = tuple(
        LatchRecord(
            "LD-02",
            TradingState(int(state[i])),
            Release.MANUAL,
            int(ts[i]),
            int(ts[i + 5]) if i + 5 < n else None,
            "operator-1" if i + 5 < n else "",
            ActorType.SIMULATED if i + 5 < n else None,
            f"drawdown {drawdown[i]:.1%} of unit value",
        )
        for i in edges.tolist()[:12]
    )
    results = ("passed", "failed", "expired", "failed")
    attempts = tuple(
        Attempt(
            j + 1,
            int(ts[a]),
            int(ts[b - 1]) if b < n else None,
            results[j % 4] if b < n else "running",
            b - a,
            float(equity[b - 1] - 50_000),
            ("LD-01", "LD-02")[j % 2] if b < n and results[j % 4] == "failed" else None,
        )
        for j, (a, b) in enumerate(zip(starts, ends, strict=True))
        if n
    )
    flows = tuple(
        CashFlow(int(ts[i]), amount, "deposit" if amount > 0 else "withdrawal", "yearly plan")
        for i, amount in ((n // 5, 50_000.0), (n // 2, -30_000.0))
        if n and not evaluation and k % 2 == 0
    )
    counts = {"approve": n // 3, "resize": n - n // 3 - n // 20, "block": n // 20}
    return AccountHistory(
        account=name,
        mode=Mode.DRY_RUN,
        currency="USD",
        initial_capital=50_000.0 if evaluation else 1e6,
        ts_ns=ts,
        equity=equity,
        drawdown=drawdown,
        throttle=throttle,
        trading_state=state,
        performance=performance(returns[1:]) if n > 2 else None,
        turnover_pa=2.4 + k if n else None,
        fees=1234.5 * (k + 1) if n else None,
        profile="prop-50k" if evaluation else "",
        baskets=(f"{name.split('/')[0]}-core",),
        outcomes=counts,
        rules=tuple(rule_history(r, n, drawdown, rng, ts) for r in RULE_IDS),
        latches=latches,
        flows=flows,
        attempts=attempts if evaluation else None,
    )


def make_backtest(n_accounts: int = 4, n_days: int = 8300) -> BacktestReport:
    """A plausible history over ``n_days`` sessions."""
    past = history(n_days)
    own = np.diff(past.close, prepend=past.close[:1]) / np.where(past.close > 0, past.close, 1)
    calm = own * np.where(past.state == 0, 1.0, 0.3)
    noise = np.random.default_rng(3).standard_normal((3, n_days)) * 0.002

    def track(name: str, returns: np.ndarray, about: str) -> Track:
        stats = performance(returns) if n_days > 2 else None
        return Track(name, np.cumprod(1 + returns), stats, 1.3 if n_days else None, about)

    comparison = Comparison(
        name="Index timing on SPX: the regime alone, before any account's rules",
        ts_ns=past.ts_ns,
        strategy=track("regime strategy", calm, "in when calm, out when turbulent, one bar of lag"),
        controls=(
            track("buy & hold", own, "always in"),
            track("200-day average", calm * 0.7 + noise[0] * 0.3, "in above the mean of the last 200 closes"),
            track(
                "volatility rule",
                calm * 0.8 + noise[1] * 0.3,
                "in while 20-day volatility is below its median",
            ),
        ),
        gaps=(
            SharpeGap("buy & hold", 0.21, 0.02, 0.43),
            SharpeGap("200-day average", 0.05, -0.17, 0.28),
            SharpeGap("volatility rule", -0.04, -0.22, 0.13),
        ),
        note="10 bps for each change of position; cash earns nothing.",
    )
    return BacktestReport(
        title="Backtest 1990 to 2022",
        run_id="bt-1990-2022-9f8e7d",
        first_ns=int(past.ts_ns[0]) if n_days else None,
        last_ns=int(past.ts_ns[-1]) if n_days else None,
        source=SOURCE,
        tape=TAPE,
        fill_price="A decision at a close fills at the close of the next bar: this source has no open.",
        costs="Half a spread of 2 bps, 2 bps slippage and 1 bp fee on each fill.",
        health=health(n_days),
        history=past if n_days else None,
        comparisons=(comparison,) if n_days else (),
        accounts=tuple(account_history(name, k, past) for k, name in enumerate(names(n_accounts))),
        operators=Operators(),
        code_version="0.1.0+3f2a",
    )


SMALL = 900


@pytest.fixture(scope="module")
def run() -> RunReport:
    return make_run(n_days=SMALL)


@pytest.fixture(scope="module")
def backtest() -> BacktestReport:
    return make_backtest(n_days=SMALL)


@pytest.fixture(scope="module")
def pages(run: RunReport, backtest: BacktestReport) -> tuple[str, str]:
    return render_html(run), render_html(backtest)


# --- what a page contains ---------------------------------------------------------------------------------


class Page(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def walk(blocks: tuple[Block | Section, ...]) -> Iterator[Block]:
    for block in blocks:
        if isinstance(block, Section | Part | Details):
            yield from walk(block.blocks)
        else:
            yield block


def headings(markdown: str) -> list[str]:
    return re.findall(r"^## (.*)$", markdown, re.MULTILINE)


def table_cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line.strip())[1:-1]


RUN_SECTIONS = [
    "At a glance", "Market regime", "Proposals", "Accounts", "The judge", "Data and source", "Tape health",
    "How to read this",
]  # fmt: skip
BACKTEST_SECTIONS = [
    "What happened", "Beside simple controls", "Regimes", "Who was limited by what", "Accounts", "Guard liveness",
    "How it was simulated", "Data and source", "Tape health", "How to read this",
]  # fmt: skip


def test_every_section_is_there_in_both_forms(
    run: RunReport, backtest: BacktestReport, pages: tuple[str, str]
) -> None:
    for report, html, expected in ((run, pages[0], RUN_SECTIONS), (backtest, pages[1], BACKTEST_SECTIONS)):
        assert headings(render_markdown(report)) == expected
        page = Page(html)
        anchors = [a["href"] for tag, a in page.tags if tag == "a"]
        ids = {a["id"] for _, a in page.tags if "id" in a}
        assert all(href and href[1:] in ids for href in anchors)
        assert all(title in page.text for title in expected)


def test_ids_are_unique_in_the_page(pages: tuple[str, str]) -> None:
    for html in pages:
        ids = [a["id"] for _, a in Page(html).tags if "id" in a]
        assert len(ids) == len(set(ids))


def rules_in(blocks: tuple[Block | Section, ...]) -> list[str]:
    """Rule ids in the first column of every table, and in the sentences, in reading order."""
    found: list[str] = []
    for block in walk(blocks):
        if isinstance(block, Table):
            found += [cell_text(row.cells[0]).split(" ")[0] for row in block.rows]
        elif isinstance(block, Text):
            found += re.findall(r"\b[A-Z]{2}-\d{2}\b", block.text)
    return found


def rule_blocks(part: Part) -> tuple[Block, ...]:
    """Blocks of an account in a run, from the table of rules on."""
    at = [isinstance(b, Table) and b.name.startswith("What limited") for b in part.blocks].index(True)
    return part.blocks[at:]


def parts_of(report: RunReport | BacktestReport, anchor: str) -> dict[str, Part]:
    section = next(s for s in document(report).sections if s.anchor == anchor)
    return {block.title: block for block in section.blocks if isinstance(block, Part)}


def test_every_rule_is_told_once_for_every_account(run: RunReport, backtest: BacktestReport) -> None:
    decided, alive = parts_of(run, "accounts"), parts_of(backtest, "liveness")
    for item in run.accounts:
        assert sorted(rules_in(rule_blocks(decided[item.account]))) == sorted(RULE_IDS)
    for account in backtest.accounts:
        assert sorted(rules_in(alive[account.account].blocks)) == sorted(RULE_IDS)


def test_what_bound_comes_first_then_what_came_near_and_the_rest_is_folded(run: RunReport) -> None:
    table, folded, off = rule_blocks(parts_of(run, "accounts")["northwind/core"])
    assert isinstance(table, Table) and isinstance(folded, Details) and isinstance(off, Text)
    first = [(cell_text(row.cells[0])[:5], cell_text(row.cells[1])) for row in table.rows]
    assert first == [
        ("VT-01", "bound"), ("CC-01", "bound"), ("CC-02", "passed"), ("CC-03", "passed"), ("CC-08", "passed"),
    ]  # fmt: skip
    inside = rules_in((folded,))
    assert "CC-04" in inside, "0.31 of 0.4 is below 80 % of the limit"
    assert (
        folded.summary.startswith(f"{len(inside)}\u00a0other rules passed")
        and "off" not in folded.summary.lower()
    )
    assert off.text.startswith("Off") and off.text.endswith("LD-03, LD-13.")


def test_markdown_lists_the_folded_rules_by_id_only(run: RunReport, backtest: BacktestReport) -> None:
    for report in (run, backtest):
        text = render_markdown(report)
        assert "DS-13, DS-14" in text and "| DS-14 Equity freshness" not in text
        assert "DS-14 Equity freshness" in Page(render_html(report)).text


def cell_text(value: Cell | str) -> str:
    return value.text if isinstance(value, Cell) else value


def test_a_rule_without_a_record_is_called_so_and_never_passed(backtest: BacktestReport) -> None:
    accounts = tuple(
        dataclasses.replace(a, rules=tuple(r for r in a.rules if r.rule_id != "CC-03"))
        for a in backtest.accounts
    )
    text = render_markdown(dataclasses.replace(backtest, accounts=accounts))
    lines = [line for line in text.splitlines() if line.startswith("| CC-03")]
    assert len(lines) == len(accounts) and all("no record" in line for line in lines)
    assert not any("reachable" in line for line in lines)


def test_liveness_tells_the_bound_first_and_collapses_off_and_not_evaluable(backtest: BacktestReport) -> None:
    part = parts_of(backtest, "liveness")["northwind/core"]
    told, table, folded, off, deaf = part.blocks
    assert isinstance(told, Text) and isinstance(table, Table) and isinstance(folded, Details)
    assert isinstance(off, Text) and isinstance(deaf, Text)
    item = next(a for a in backtest.accounts if a.account == "northwind/core")
    bound = sorted((r for r in item.rules if r.bound), key=lambda r: -r.bound)
    rows = {cell_text(row.cells[0])[:5]: [cell_text(c) for c in row.cells] for row in table.rows}
    assert list(rows)[: len(bound)] == [r.rule_id for r in bound] and len(bound) >= 2
    assert rows[bound[0].rule_id][1:4] == [
        f"{SMALL:,}",
        f"{bound[0].bound:,}",
        percent(bound[0].bound / SMALL),
    ]
    assert rows["CC-12"][-1] == "unreachable" and rows["CC-12"][2] == "0"
    assert off.text.endswith(": LD-03, LD-13.") and deaf.text.endswith(": UT-06.")
    n = len(RULE_IDS)
    assert (
        told.text
        == f"Reachable {n - 4}, unreachable 1, off 2, not evaluable 1, never bound {n - 3 - len(bound)}."
    )
    assert "DS-01" in rules_in((folded,)) and folded.brief.startswith("DS-01, DS-02")


def test_an_unknown_input_is_never_folded_away(backtest: BacktestReport) -> None:
    rules = (RuleHistory("XL-04", 900, 0, unknown=12, reach="reachable"), RuleHistory("XL-05", 900, 0))
    account = dataclasses.replace(backtest.accounts[0], rules=rules)
    line = next(
        line
        for line in render_markdown(dataclasses.replace(backtest, accounts=(account,))).splitlines()
        if line.startswith("| XL-04")
    )
    assert "900 (12 unknown)" in line and "reachable" in line


UNITLESS = {"Leg", "Attempt", "Sharpe ratio", "Difference", "Evaluated", "Bound", "Bars",
            "Structure test, p-value", "Variance ratio", "Units now", "Step, units", "Units"}  # fmt: skip
"""Columns and facts whose header is the unit, and ratios that have none."""
WITH_UNIT = re.compile(
    r"(%|×|USD|bars?|sessions?|symbols?|returns?|positions?|min|h|s|days?|orders?|latch(es)?|exits?|fills?|rejects?|contracts?|"
    r"level|beta|bp|ms|UTC|to)\b|%|×|σ|\d{4}-\d{2}-\d{2}"
)


def test_no_number_without_its_unit(run: RunReport, backtest: BacktestReport) -> None:
    seen = 0
    for report in (run, backtest):
        for block in walk(document(report).sections):
            named: list[tuple[str, Cell | str]] = []
            if isinstance(block, Table):
                titles = [c.title for c in block.columns]
                named = [(t, v) for row in block.rows for t, v in zip(titles, row.cells, strict=True)]
            elif isinstance(block, Facts):
                named = list(block.items)
            for title, value in named:
                if not isinstance(value, Cell) or value.kind not in ("number", "bar", "heat"):
                    continue
                if value.text == MISSING or title in UNITLESS:
                    continue
                seen += 1
                assert WITH_UNIT.search(value.text), (title, value.text)
    assert seen > 500


def test_measures_agree_with_the_registry() -> None:
    """The direction of a rule's measure is that of the first comparison in its inequality."""
    for rule_id, spec in RULE_BY_ID.items():
        measure, first = spec.measure, re.search("[≥≤]", spec.inequality)
        if first is not None and rule_id != "VT-04":  # measures the confidence, its inequality the multiplier
            assert measure.at_least == (first.group() == "≥"), rule_id


# --- words and numbers ------------------------------------------------------------------------------------


def test_texts_of_numbers() -> None:
    assert (
        number(-1234.5, 1) == "−1,234.5" and number(-0.001, 2) == "0.00" and number(float("nan")) == MISSING
    )
    assert (
        signed(0.0) == "0.00"
        and signed(1.5) == "+1.50"
        and signed(-1.5) == "−1.50"
        and signed(None) == MISSING
    )
    assert percent(0.123) == "12.3\u00a0%" and percent(None) == MISSING and percent(float("inf")) == MISSING
    assert units(Decimal("-10.500"), signed=True) == "−10.5" and units(Decimal(1000)) == "1,000"
    assert units(Decimal("0E-9"), signed=True) == "0" and units(Decimal("1E+3")) == "1,000"
    assert moment(int(sessions(1)[0])) == "1990-01-02 21:00 UTC" and moment(None) == MISSING
    assert rule_value("CC-01", 0.2, "USD").replace("\u00a0", " ") == "20.0 % of equity"
    assert (
        rule_value("LD-01", float("inf"), "USD") == "no limit"
        and rule_value("DS-01", 1.0, "USD") == "1\u00a0bar"
    )


@pytest.mark.parametrize(
    ("rule_id", "value", "told"),
    [
        ("CC-07", 1.0, "beta 1.00"),
        ("LD-15", 1.0, "level 1"),
        ("VT-03", 3.25, "3.2 σ"),
        ("DS-07", 80.0, "80 ms"),
        ("DS-10", 0.0213, "2.1 % from a split"),
        ("UT-07", 1.0, "1 day"),
        ("XL-14", 2.0, "2 rejects"),
        ("LD-08", 1.0, "1 exit"),
        ("UT-09", 12.5, "12.5 days"),
        ("XL-17", 86_400.0, "1 day"),
        ("VT-05", 0.031, "3.1 % of equity"),
    ],
)
def test_measures_read_well(rule_id: str, value: float, told: str) -> None:
    assert rule_value(rule_id, value, "USD").replace("\u00a0", " ") == told


def test_every_unit_of_the_registry_is_written_out() -> None:
    for rule_id, spec in RULE_BY_ID.items():
        for value in (0.0, 1.0, 2.5, 1234.0):
            text = rule_value(rule_id, value, "USD")
            plain = spec.measure.unit == "condition" or WITH_UNIT.search(text)
            assert plain, (rule_id, spec.measure.unit, text)


def test_utilisation_counts_toward_the_limit_from_either_side() -> None:
    assert utilisation("CC-01", 0.1, 0.2) == 0.5 and utilisation("DS-05", 0.95, 0.95) == 1.0
    assert utilisation("DS-12", 30.0, 60.0) == 2.0, "too few returns is outside the limit"
    assert utilisation("DS-05", 1.0, 0.95) == 0.0, "nothing is missing: nothing of the limit is used"
    assert utilisation("VT-04", 0.0, 0.2) == 1.25, "no confidence is past its limit, not infinitely"
    assert utilisation("DS-02", 0.0, 0.0) == 0.0 and utilisation("DS-02", 1.0, 0.0) == np.inf
    assert np.isnan(utilisation("CC-01", np.array([np.nan, 0.1]), np.array([0.2, np.inf]))).all()


def test_pass_rate_is_an_honest_count() -> None:
    def attempt(result: str) -> Attempt:
        return Attempt(1, 0, None if result == "running" else 1, result, 10)  # type: ignore[arg-type]

    told = pass_rate(tuple(map(attempt, ("passed", "failed", "expired", "failed", "running")))).replace(
        "\u00a0", " "
    )
    assert (
        told.startswith("Passed 1 of 4 finished attempts: 25 %")
        and "2 failed, 1 expired. 1 still running." in told
    )
    assert pass_rate((attempt("running"),)).startswith("No attempt has finished")
    assert wilson_interval(3, 11) == pytest.approx((0.0975, 0.5656), abs=1e-4)
    assert np.isnan(wilson_interval(0, 0)[0])


def test_an_interval_with_zero_shows_no_difference() -> None:
    assert "no difference shown" in gap_sentence("s", SharpeGap("c", 0.2, -0.01, 0.4))
    assert "no difference shown" in gap_sentence("s", SharpeGap("c", 0.2, 0.0, 0.4))
    assert "higher by 0.20" in gap_sentence("s", SharpeGap("c", 0.2, 0.01, 0.4))
    assert "lower by 0.20" in gap_sentence("s", SharpeGap("c", -0.2, -0.4, -0.1))
    assert "not comparable" in gap_sentence("s", SharpeGap("c", 0.2, np.nan, np.nan))


def test_the_tape_section_says_plainly_what_was_not_measured(run: RunReport) -> None:
    text = render_markdown(run).split("## Tape health")[1]
    assert "no quotes and no trades" in text and "were not measured" in text
    assert "Spread: – (no quotes)" in text and "no regime confidence above 80 % counts" in text
    assert "exchange calendar XNYS" in text


def test_the_history_names_fill_price_survivorship_and_simulated_people(backtest: BacktestReport) -> None:
    text = render_markdown(backtest)
    assert "fills at the close of the next bar" in text and "Survivorship" in text
    assert "dual latches after 20 sessions" in text
    latch = LatchRecord("LD-01", TradingState.FLATTEN, Release.DUAL, 0, 1, "operator-1", ActorType.SIMULATED)
    person = dataclasses.replace(latch, released_by="k. ito", actor=ActorType.USER)
    account = dataclasses.replace(backtest.accounts[0], latches=(latch, person))
    text = render_markdown(dataclasses.replace(backtest, accounts=(account,)))
    assert text.count("operator-1 (simulated)") == 1 and re.search(r"\| k\. ito +\|", text)


# --- nothing from outside is trusted ----------------------------------------------------------------------

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=y>\n|a|[l](javascript:x)\n# h `c` ${{7*7}} $x^2$ "
    "\u202e\x00 &amp; https://e.vil"
)


def hostile_run() -> RunReport:
    report = make_run(1, 300)
    item = report.accounts[0]
    decision = item.decision.model_copy(
        update={"rationale": HOSTILE, "decision_id": HOSTILE, "binding_rules": (HOSTILE,)}
    )
    assert report.health is not None
    symbols = tuple(
        s.model_copy(update={"symbol": HOSTILE, "reasons": (HOSTILE,)}) for s in report.health.symbols[:2]
    )
    return dataclasses.replace(
        report,
        title=HOSTILE,
        run_id=HOSTILE,
        source=SourceNote(HOSTILE, (HOSTILE,), HOSTILE, (Substitute(HOSTILE, HOSTILE),), (HOSTILE,)),
        tape=TapeSummary(evidence="bars", confidence_cap=0.5, notes=(HOSTILE,)),
        health=report.health.model_copy(update={"symbols": symbols, "notes": (HOSTILE,)}),
        accounts=(dataclasses.replace(item, decision=decision, currency=HOSTILE),),
        verdict=Judgement(
            action="HOLD", findings=(Check(account=None, check=HOSTILE, expected=HOSTILE, found=HOSTILE),)
        ),
    )


def hostile_backtest() -> BacktestReport:
    report = make_backtest(2, 300)
    item = report.accounts[1]
    latch = LatchRecord("LD-01", TradingState.LOCKED, Release.DUAL, 0, 1, HOSTILE, ActorType.USER, HOSTILE)
    hostile = dataclasses.replace(
        item,
        account=HOSTILE,
        currency=HOSTILE,
        profile=HOSTILE,
        latches=(latch,),
        flows=(CashFlow(int(item.ts_ns[5]), 1.0, HOSTILE, HOSTILE),),
        rules=(*item.rules, RuleHistory(HOSTILE, 5, 1, reach=HOSTILE, utilisation=np.full(300, 0.5))),
    )
    first = report.comparisons[0]
    tracks = tuple(
        dataclasses.replace(t, name=f"{k}{HOSTILE}", about=HOSTILE) for k, t in enumerate(first.controls)
    )
    gaps = (SharpeGap(HOSTILE, 0.1, -0.1, 0.3),)
    comparison = dataclasses.replace(first, name=HOSTILE, controls=tracks, gaps=gaps, note=HOSTILE)
    return dataclasses.replace(
        report,
        title=HOSTILE,
        accounts=(report.accounts[0], hostile),
        comparisons=(comparison,),
        fill_price=HOSTILE,
    )


@pytest.mark.parametrize("build", [hostile_run, hostile_backtest])
def test_hostile_text_stays_text_in_html(build: object) -> None:
    html = render_html(build())  # type: ignore[operator]
    page = Page(html)
    assert not {"script", "img", "iframe", "object", "link", "base", "form"} & {tag for tag, _ in page.tags}
    assert not [a for _, a in page.tags for name in a if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.text and "\u202e" not in html and "\x00" not in html
    plain = Page(render_html(make_run(1, 300) if build is hostile_run else make_backtest(2, 300)))
    assert {tag for tag, _ in page.tags} - {tag for tag, _ in plain.tags} <= {"small", "details", "summary"}


@pytest.mark.parametrize("build", [hostile_run, hostile_backtest])
def test_hostile_text_stays_text_in_markdown(build: object) -> None:
    text = render_markdown(build())  # type: ignore[operator]
    assert not re.search(r"(?<!\\)<", text) and not re.search(r"(?<!\\)\[l", text) and "https://" not in text
    clean = render_markdown(make_run(1, 300) if build is hostile_run else make_backtest(2, 300))
    assert headings(text) == headings(clean), "no text may start a section"
    lines = text.splitlines()
    for k, line in enumerate(lines):
        if line.startswith("| ") and k and lines[k - 1].startswith("| "):
            assert len(table_cells(line)) == len(table_cells(lines[k - 1])), line
    assert not [line for line in lines if line.startswith("|") and not line.endswith("|")]


@pytest.mark.parametrize(
    "text", ["- item", "+ item", "= x", "1. item", "2) item", "# title", "> quote", "| cell"]
)
def test_text_starts_no_markdown_block(text: str) -> None:
    report = dataclasses.replace(make_run(1, 0), source=dataclasses.replace(SOURCE, notes=(text,)))
    line = next(
        line for line in render_markdown(report).splitlines() if text.split()[1] in line and "\\" in line
    )
    assert re.match(r"- (\\[-+=#>|]|\d\\[.)])", line)


def test_markdown_leaves_plain_numbers_alone() -> None:
    assert escape_markdown("31.8 years −2 %") == "31.8 years −2 %" and escape_markdown("BRK_B") == "BRK\\_B"


def test_the_page_asks_for_nothing_outside_itself(pages: tuple[str, str]) -> None:
    for html in pages:
        page = Page(html)
        assert not [
            a for _, a in page.tags for name in ("src", "srcset", "xlink:href", "data", "action") if name in a
        ]
        assert all((a.get("href") or "#").startswith("#") for _, a in page.tags)
        assert (
            set(re.findall(r"url\(([^)]*)\)", html)) <= {"#hatch"}
            and "@import" not in html
            and "://" not in html
        )
        policy = next(
            a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"
        )
        assert policy == "default-src 'none'; style-src 'unsafe-inline'"


# --- the same bytes ---------------------------------------------------------------------------------------


def digest(n_days: int = 400) -> str:
    """Hash of everything that is written for both kinds of report."""
    found = hashlib.sha256()
    for report in (make_run(2, n_days), make_backtest(2, n_days)):
        found.update(render_html(report).encode())
        found.update(render_markdown(report, "charts").encode())
        for name, svg in charts(report).items():
            found.update(f"{name}{svg}".encode())
    return found.hexdigest()


def test_the_same_report_is_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    """Hash seed, time zone and the machine's own matplotlib style must not matter."""
    style = (
        "lines.marker: o",
        "font.style: italic",
        "lines.linewidth: 9",
        "patch.antialiased: False",
        "svg.id: x",
    )
    (tmp_path / "matplotlibrc").write_text("\n".join(style))
    program = (
        "import importlib.util as u, sys;"
        f"s = u.spec_from_file_location('report_module', {str(Path(__file__))!r});"
        "m = u.module_from_spec(s); sys.modules['report_module'] = m; s.loader.exec_module(m); print(m.digest())"
    )
    results = []
    for seed, zone, styled in (("1", "Asia/Tokyo", False), ("77", "America/Chicago", True)):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        if styled:
            environment["MATPLOTLIBRC"] = str(tmp_path / "matplotlibrc")
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        results.append(done.stdout.strip())
    assert results[0] == results[1] == digest()


# --- one firm never sees another --------------------------------------------------------------------------


def secrets_of(report: RunReport | BacktestReport, firm: str) -> set[str]:
    """Texts by which a reader could recognise another firm."""
    found: set[str] = set()
    for item in report.accounts:
        if item.account.startswith(f"{firm}/"):
            continue
        found |= {item.account, item.account.split("/")[0]}
        if isinstance(item, AccountRun):
            found |= {
                f"{float(item.decision.equity):,.0f}",
                item.decision.decision_id,
                item.decision.rationale,
            }
            found |= {o.client_order_id for o in item.decision.orders} | set(item.profile.baskets)
        else:
            found |= set(item.baskets) | {f"{item.equity[-1]:,.0f}"}
            found |= {latch.detail for latch in item.latches} | (
                {f"{item.fees:,.0f}"} if item.fees else set()
            )
    return found


@pytest.mark.parametrize("kind", ["run", "backtest"])
def test_nothing_of_another_firm_leaks(kind: str, run: RunReport, backtest: BacktestReport) -> None:
    report: RunReport | BacktestReport = run if kind == "run" else backtest
    note = "harbor/growth was late; northwind/core was not"
    report = dataclasses.replace(report, source=dataclasses.replace(SOURCE, notes=(*SOURCE.notes, note)))
    if isinstance(report, RunReport):
        checks = tuple(
            Check(account=account, check="bounds", expected="≤ 1", found=f"2 at {account}")
            for account in NAMES
        )
        loose = Check(account=None, check="sum", expected="0", found="1 in Harbor/Growth and northwind/core")
        report = dataclasses.replace(report, verdict=Judgement(action="HOLD", findings=(*checks, loose)))
    else:
        own = dataclasses.replace(report.comparisons[0], name="of harbor", account="harbor/growth")
        other = dataclasses.replace(report.comparisons[0], name="of northwind", basket="northwind-core")
        report = dataclasses.replace(report, comparisons=(report.comparisons[0], own, other))
    assert firms(report) == ("harbor", "northwind")
    whole = render_markdown(report)
    for firm in firms(report):
        narrow = for_firm(report, firm)
        hidden = secrets_of(report, firm)
        assert len(hidden) > 6 and sum(secret in whole for secret in hidden) > 6
        files = charts(narrow)
        outputs = [render_html(narrow), render_markdown(narrow), *files, *files.values()]
        for text in outputs:
            for secret in hidden:
                assert not re.search(
                    rf"(?<![a-z0-9-]){re.escape(secret)}(?![a-z0-9-])", text, re.IGNORECASE
                ), secret
        assert all(item.account in outputs[0] for item in narrow.accounts)
        assert "20 companies" in outputs[0], "a shared note that names nobody stays"


def test_a_firm_that_is_held_because_of_another_is_told_no_more_than_that(run: RunReport) -> None:
    check = Check(account="harbor/growth", check="bounds", expected="≤ 1", found="2")
    held = dataclasses.replace(run, verdict=Judgement(action="HOLD", findings=(check,)))
    text = render_markdown(for_firm(held, "northwind"))
    assert "HOLD" in text and "outside this report" in text and "harbor" not in text


def test_an_unknown_firm_is_refused_without_naming_the_others(run: RunReport) -> None:
    with pytest.raises(BadInput) as caught:
        for_firm(run, "nobody")
    assert (
        "nobody" in str(caught.value)
        and "harbor" not in str(caught.value)
        and "northwind" not in str(caught.value)
    )


def test_a_firm_prefix_is_not_a_firm() -> None:
    report = make_run(1, 0)
    with pytest.raises(BadInput):
        for_firm(report, "north")


# --- what is not known ------------------------------------------------------------------------------------


def no_nan(report: RunReport | BacktestReport) -> str:
    """Markdown of the report, once neither form shows a raw NaN, None or infinity."""
    markdown, html = render_markdown(report), render_html(report)
    for text in (markdown, Page(html).text, *charts(report).values()):
        assert not re.search(r"\b(nan|inf|None|NaT)\b", text), text[:200]
    return markdown


def test_gaps_in_the_data_are_gaps_in_the_report(backtest: BacktestReport) -> None:
    item = backtest.accounts[0]
    holes = np.where(np.arange(SMALL) % 7 == 0, np.nan, item.equity)
    nothing = np.full(SMALL, np.nan)
    blind = dataclasses.replace(
        backtest.accounts[1],
        equity=nothing,
        drawdown=nothing,
        throttle=nothing,
        trading_state=np.full(SMALL, -1, dtype=np.int8),
        performance=performance(np.full(3, np.nan)),
        turnover_pa=float("nan"),
        fees=None,
        rules=(),
    )
    report = dataclasses.replace(
        backtest, accounts=(dataclasses.replace(item, equity=holes, performance=None), blind)
    )
    text = no_nan(report)
    line = next(line for line in text.splitlines() if line.startswith("| northwind/eval-50k"))
    assert line.count(MISSING) >= 6 and " 0 " not in line and "too few returns" in line
    assert "No equity is known yet." in text


def test_a_run_that_knows_nothing_says_so(run: RunReport) -> None:
    empty = RunReport("Regime run", "run-1", int(sessions(1)[0]), SOURCE, TAPE)
    text = no_nan(empty)
    assert headings(text) == RUN_SECTIONS
    for sentence in (
        "No account was decided",
        "No proposal was made",
        "Regime: this stage has said nothing",
        "Judge: this stage has said nothing",
        "No data health record",
        "No price history yet.",
    ):
        assert sentence in text
    assert run.regime is not None
    unknown = regime("SPX", RegimeLabel.UNCERTAIN, 0.0, state=None)
    market = run.regime.model_copy(update={"market": unknown, "symbols": (unknown,)})
    assert "fewer than 504 bars" in no_nan(dataclasses.replace(run, regime=market))


def test_no_history_yet() -> None:
    text = no_nan(make_backtest(2, 0))
    assert (
        headings(text) == BACKTEST_SECTIONS
        and "There is no history yet" in text
        and "No price history yet." in text
    )
    assert headings(no_nan(make_backtest(0, 0))) == BACKTEST_SECTIONS
    assert headings(no_nan(make_run(0, 0))) == RUN_SECTIONS


@pytest.mark.parametrize("n_days", [1, 2, 5])
def test_the_first_days_of_a_history(n_days: int) -> None:
    report = make_backtest(2, n_days)
    no_nan(report)
    assert {"regime", "account-1-northwind-core"} <= set(charts(report))


@pytest.mark.parametrize("n_accounts", [1, 10])
def test_one_account_and_ten(n_accounts: int) -> None:
    for report in (make_run(n_accounts, 50), make_backtest(n_accounts, 50)):
        page = Page(render_html(report))
        assert (
            len([t for t, a in page.tags if t == "article" and (a["id"] or "").startswith("account-")])
            == n_accounts
        )
        assert all(name in page.text for name in names(n_accounts))


def test_arrays_of_different_length_are_refused(backtest: BacktestReport) -> None:
    with pytest.raises(BadInput, match="one length"):
        dataclasses.replace(backtest.accounts[0], equity=np.zeros(3))


def test_long_lists_fold_with_a_count(backtest: BacktestReport) -> None:
    latch = LatchRecord("LD-01", TradingState.FLATTEN, Release.MANUAL, int(backtest.accounts[0].ts_ns[3]))
    report = dataclasses.replace(
        backtest, accounts=(dataclasses.replace(backtest.accounts[0], latches=(latch,) * 40, flows=()),)
    )
    page = Page(render_html(report))
    assert "Latches: 40 by LD-01 Daily loss" in page.text and page.text.count("still held") >= 40


# --- charts and size --------------------------------------------------------------------------------------


def test_every_chart_is_a_file_of_its_own_that_the_markdown_names(backtest: BacktestReport) -> None:
    files = charts(backtest)
    named = re.findall(r"\]\(charts/([a-z0-9-]+)\.svg\)", render_markdown(backtest, "charts"))
    assert named == list(files) and len(named) == 2 + 2 * len(backtest.accounts)
    assert "](" not in render_markdown(backtest)
    for svg in files.values():
        assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"') and "prefers-color-scheme" in svg
        assert "#fe" not in svg and " id=" not in svg and "font-family: " not in svg


def test_decades_for_four_accounts_render_quickly_and_small() -> None:
    report = make_backtest(4, 8300)
    start = time.perf_counter()
    html = render_html(report)
    seconds, size = time.perf_counter() - start, len(html.encode())
    print(f"8,300 days x 4 accounts: {seconds:.1f} s, {size / 1e6:.2f} MB")
    assert seconds < 10 and size < 3_000_000
