"""What a run says to people and machines, as files: the report with its charts, and what all firms may see as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import polars as pl

from regime_trading.agents.deps import Deps
from regime_trading.agents.frames import load, save_bytes
from regime_trading.agents.research import run_features, run_regimes, run_window, source_settings
from regime_trading.core.numbers import F8
from regime_trading.core.schemas import FrameRef, Latch
from regime_trading.core.state import PipelineState
from regime_trading.engine.desk import said_by
from regime_trading.engine.universe import source_key
from regime_trading.tools.chart_tape import TapeTrack
from regime_trading.tools.report import charts, render_html, render_markdown
from regime_trading.tools.report_model import AccountRun, RegimeHistory, RunReport, SourceNote, Substitute

_STANDS_IN = {
    "volume": "declared average daily notional of each instrument",
    "quotes": "declared spread of each instrument",
    "status": "exchange calendar",
}


def write_pages(deps: Deps, folder: str, report: RunReport) -> list[FrameRef]:
    """``report.md``, ``report.html`` and their charts."""
    texts = {f"charts/{name}.svg": svg for name, svg in charts(report).items()}
    texts["report.md"] = render_markdown(report, "charts")
    texts["report.html"] = render_html(report)
    return [save_bytes(deps.store, f"{folder}/{name}", text.encode()) for name, text in texts.items()]


def write_json(deps: Deps, path: str, value: Any) -> FrameRef:
    """A value as a JSON file for people and machines."""
    data = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
    return save_bytes(deps.store, path, data)


def market_facts(state: PipelineState) -> dict[str, Any]:
    """What all firms may see: data, tape, regime and proposals."""
    shared = {"request", "data", "tape", "features", "coupling", "regime", "contradiction", "proposals"}
    plain = state.model_dump(mode="json", include=shared)
    plain["request"].pop("accounts")
    return plain


def run_report(state: PipelineState, deps: Deps) -> RunReport:
    """What a run says to people, as far as its stages have come."""
    assert state.data is not None and state.tape is not None and state.features is not None
    return RunReport(
        title="Regime run",
        run_id=state.request.run_id,
        as_of_ns=state.request.as_of_ns,
        source=_source(state, deps),
        tape=state.tape,
        tracks=_tracks(state, deps),
        health=state.data.health,
        coupling=state.coupling,
        regime=state.regime,
        history=_history(state, deps),
        momentum={item.symbol: item.values.get("momentum") for item in state.features.latest},
        momentum_bars=deps.settings.features.momentum_lookback_bars,
        contradiction=state.contradiction,
        proposals=state.proposals or (),
        accounts=_accounts(state, deps),
        verdict=state.verdict,
        code_version=state.request.code_version,
        decides=state.profiles is not None,
    )


def _tracks(state: PipelineState, deps: Deps) -> dict[str, TapeTrack]:
    """The charts of the tapes, from the table that their stage wrote."""
    assert state.tape is not None
    if state.tape.series is None:
        return {}
    table = load(deps.store, state.tape.series)
    return {
        str(name): _track(str(name), part) for (name,), part in table.group_by("symbol", maintain_order=True)
    }


def _track(symbol: str, part: pl.DataFrame) -> TapeTrack:
    def column(name: str) -> F8:
        return part[name].fill_null(np.nan).to_numpy()

    ts_ns, session = part["ts_event"].cast(pl.Int64).to_numpy(), part["session"].to_numpy()
    starts = np.flatnonzero(np.diff(session, prepend=session[:1]))
    breaks = tuple(int(t) for t in ts_ns[starts])
    return TapeTrack(symbol, ts_ns, column("mid"), column("spread_bps"), column("ofi_cumulative"), breaks)


def _source(state: PipelineState, deps: Deps) -> SourceNote:
    assert state.data is not None
    health, source = state.data.health, state.request.source
    _, substituted = said_by(
        frozenset(health.provides), deps.settings.evidence[source_key(deps.settings, source)]
    )
    survivorship = source_settings(deps, source).survivorship_note
    return SourceNote(
        name=source,
        provides=tuple(sorted(health.provides)),
        calendar=health.calendar,
        substitutes=tuple(Substitute(name, _STANDS_IN[name]) for name in sorted(substituted)),
        notes=(*state.request.notes, *health.notes, *([survivorship] if survivorship else [])),
    )


def _history(state: PipelineState, deps: Deps) -> RegimeHistory:
    window = run_window(state, deps)
    features, regimes = run_features(state, deps, window), run_regimes(state, deps)
    market = regimes.symbols.index(regimes.market)
    if regimes.market in window.symbols:
        close = window.close[:, window.symbols.index(regimes.market)]
    else:
        close = 100.0 * np.exp(np.cumsum(np.nan_to_num(features.market_returns, nan=0.0)))
    return RegimeHistory(
        symbol=regimes.market,
        ts_ns=window.ts_ns,
        close=close,
        state=regimes.risk_state[:, market],
        label=regimes.label[:, market],
        n_states=regimes.n_states,
    )


def _accounts(state: PipelineState, deps: Deps) -> tuple[AccountRun, ...]:
    profiles = {profile.account: profile for profile in state.profiles or ()}
    approvals = {answer.account: answer for answer in state.approval or ()}
    accepted = {answer.account: answer for answer in state.executions or ()}
    return tuple(
        AccountRun(
            decision=decision,
            profile=profiles[decision.account],
            currency=deps.profile(decision.account, state.request.as_of_ns).account_currency,
            latches=_latches(state, deps, decision.account),
            approval=approvals.get(decision.account),
            acceptance=accepted.get(decision.account),
        )
        for decision in state.decisions or ()
        if decision.account in profiles
    )


def _latches(state: PipelineState, deps: Deps, account: str) -> tuple[Latch, ...]:
    """Latches held after the decision, as the ledger has them."""
    as_of_ns = state.request.as_of_ns
    firm, mode = account.split("/")[0], deps.profile(account, as_of_ns).mode
    stored = deps.ledger(firm, mode).load(account, as_of_ns + 1)
    return () if stored is None else stored[0].latches
