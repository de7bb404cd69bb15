"""Sections that both kinds of report share: data and source, tape health, regime ribbon, how to read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from regime_trading.core.rules import RULE_BY_ID, RULE_IDS, Guard, TradingState
from regime_trading.core.schemas import (
    REGIME_LABELS,
    DataHealth,
    HealthStatus,
    Mode,
    SymbolHealth,
)
from regime_trading.tools.chart_sheet import Size
from regime_trading.tools.charts import regime_ribbon
from regime_trading.tools.report_document import (
    Block,
    Bullets,
    Cell,
    Column,
    Facts,
    Figure,
    KeyEntry,
    Row,
    Section,
    Table,
    Text,
    Tone,
    Value,
    gap,
    num,
)
from regime_trading.tools.report_model import RegimeHistory, SourceNote
from regime_trading.tools.report_text import (
    GUARD_TITLES,
    MISSING,
    count,
    day,
    percent,
    words,
)

STATE_TONES: dict[TradingState, Tone] = {
    TradingState.NORMAL: "",
    TradingState.REDUCE_ONLY: "warn",
    TradingState.FLATTEN: "bad",
    TradingState.LOCKED: "bad",
}
MODE_WORDS: dict[Mode, str] = {
    Mode.DRY_RUN: "dry run: simulated orders only",
    Mode.SHADOW: "shadow: decisions beside a live account, no orders",
    Mode.GATED_LIVE: "gated live: orders reach a broker",
}
_HEALTH_TONES: dict[HealthStatus, Tone] = {
    HealthStatus.OK: "",
    HealthStatus.DEGRADED: "warn",
    HealthStatus.UNUSABLE: "bad",
}


NEAR = 0.8  #: share of a limit from which on a rule is near it


def slug(text: str) -> str:
    """A name that is safe as an anchor and as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def columns(*titles: str) -> tuple[Column, ...]:
    """Columns by title; a title that starts with ``>`` is set right, for numbers."""
    return tuple(Column(title.removeprefix(">"), title.startswith(">")) for title in titles)


def known(text: str, reason: str = "") -> Cell:
    """A number, or a gap with its reason where the text says that it is missing."""
    return gap(reason) if text.startswith(MISSING) else num(text)


def tag(text: str, tone: Tone = "") -> Cell:
    return Cell(text, kind="tag", tone=tone)


def state_tag(state: TradingState) -> Cell:
    return tag(words(state.name), STATE_TONES[state])


def heaviest_mode(modes: Iterable[Mode]) -> Mode:
    """The mode nearest to real money."""
    order = list(Mode)
    return max(modes, key=order.index, default=Mode.DRY_RUN)


def in_rule_order(rule_ids: Iterable[str]) -> list[str]:
    """Rule ids in the order of the registry, unknown ones after them by name."""
    given = set(rule_ids)
    return [r for r in RULE_IDS if r in given] + sorted(given - set(RULE_IDS))


def guard_title(rule_id: str) -> str:
    spec = RULE_BY_ID.get(rule_id)
    return GUARD_TITLES[Guard(spec.guard)] if spec else "Other rules"


def silent_sentences(off: Sequence[str], not_evaluable: Sequence[str]) -> tuple[str, ...]:
    """One sentence on the rules that are off and one on those that are told nothing, by their ids."""
    told = (
        ("Off, being disabled or without a limit", off),
        ("Not evaluable, as the source does not say what they need", not_evaluable),
    )
    return tuple(f"{why} ({count(len(ids), 'rule')}): {', '.join(ids)}." for why, ids in told if ids)


def scope_notice(firm: str | None, n_firms: int) -> str:
    """Who the report is for."""
    if firm is not None:
        return (
            f"Report of firm {firm}. It holds this firm's accounts only; market data and regimes are shared."
        )
    if not n_firms:
        return "No account belongs to this report."
    firms = count(n_firms, "firm")
    return f"Covers every firm ({firms}). For the local operator only; each firm has a report of its own."


# --- regime -----------------------------------------------------------------------------------------------


def ribbon(history: RegimeHistory | None) -> Figure:
    """Regime ribbon over the price of the market proxy."""
    has_price = history is not None and bool((history.close > 0).any())
    name = history.symbol if history else "market proxy"

    def draw(size: Size) -> str:
        assert history is not None
        title = f"Price of {history.symbol} with its regimes, {_span(history)}"
        return regime_ribbon(
            history.ts_ns,
            history.close,
            history.state,
            history.label,
            REGIME_LABELS,
            history.n_states,
            title,
            size,
        )

    return Figure(
        name="regime",
        title=f"Regimes over the price of {name}",
        caption=_ribbon_caption(history) if has_price and history else "",
        draw=draw if has_price else None,
        empty="No price history yet.",
        key=(KeyEntry("shade", "shaded: the most turbulent risk state"),),
    )


def _span(history: RegimeHistory) -> str:
    return f"{day(int(history.ts_ns[0]))} to {day(int(history.ts_ns[-1]))}"


def _ribbon_caption(history: RegimeHistory) -> str:
    shares = [(words(name), float((history.label == k).mean())) for k, name in enumerate(REGIME_LABELS)]
    shares.append(("no label yet, too little history", float((history.label < 0).mean())))
    told = ", ".join(f"{name} {percent(share, 0)}" for name, share in shares if share)
    turbulent = percent(float((history.state == history.n_states - 1).mean()), 0)
    return (
        f"Close of {history.symbol} on a log scale, {_span(history)}; one lane per regime. Share of bars: {told}; "
        f"turbulent {turbulent}. Every bar was labelled with data up to that bar only."
    )


# --- data and tape ----------------------------------------------------------------------------------------


def source_section(source: SourceNote, health: DataHealth | None) -> Section:
    """Where the data came from, what stood in for what, and how sound each symbol is."""
    blocks: list[Block] = [
        Facts(
            (
                ("Source", Cell(source.name, kind="code")),
                ("Provides", ", ".join(source.provides) or MISSING),
                ("Calendar", Cell(source.calendar, kind="code")),
                (
                    "Content hash",
                    Cell(health.content_hash[:16], kind="code") if health else gap("no health record"),
                ),
            )
        )
    ]
    notes = (*source.notes, *(health.notes if health else ()))
    if notes:
        blocks.append(Bullets(notes))
    blocks += [_substitutes(source), _health_table(health)]
    return Section("data", "Data and source", "", tuple(blocks))


def _substitutes(source: SourceNote) -> Table:
    rows = tuple(Row((s.wanted, s.used)) for s in source.substitutes)
    return Table(
        "Substitutes", columns("The source cannot say", "Used instead"), rows, "No substitute was used."
    )


def _health_table(health: DataHealth | None) -> Table:
    titles = columns(
        "Symbol", "Status", ">Bars", "First", "Last", ">Complete", ">Missing", ">Longest gap",
        ">Longest stale run", "Reasons",
    )  # fmt: skip
    rows = tuple(Row(_health_cells(s)) for s in health.symbols) if health else ()
    return Table("Data health", titles, rows, "No data health record: nothing was read.")


def _health_cells(s: SymbolHealth) -> tuple[Value, ...]:
    return (
        Cell(s.symbol, kind="code"),
        tag(s.status.value, _HEALTH_TONES[s.status]),
        num(f"{s.bars:,}"),
        known(day(s.first_ts_ns), "no bar"),
        known(day(s.last_ts_ns), "no bar"),
        num(percent(s.completeness, 2)),
        num(count(s.missing, "bar")),
        num(count(s.longest_gap, "session")),
        num(count(s.longest_stale_run, "session")),
        ", ".join(words(r) for r in s.reasons),
    )


# --- how to read ------------------------------------------------------------------------------------------

_READING = (
    "A proposal is what the allocator or you would like to hold. Every rule returns a constraint; the decision is the "
    "proposal brought inside all of them at once. Adding or tightening a rule can only make a decision smaller.",
    "Outcome: approve = the proposal unchanged; resize = smaller; block = no new risk; reduce only, flatten and lock = "
    "what the trading state allows; hold = the run itself was not valid, so no orders.",
    "Trading state: normal, then reduce only, flatten, locked, each more restricted. A latch holds a state until its "
    "release: by itself, next session, by one person (manual) or by two (dual).",
    "A rule passed, bound (it made the decision smaller), was unknown (an input was missing, so its cautious effect "
    "applied), was not evaluable (this source can never provide the input and no substitute is declared) or was off.",
    "Used is the value as a share of its limit: 100 % is at the limit; the hatched end is beyond it. For rules where "
    "more is better it is the limit as a share of the value, so 100 % still means: at the limit.",
    "Regime: trending, mean reverting or random by tests on returns; volatile trending when the risk state is "
    "turbulent; uncertain when the evidence does not agree. Confidence runs from 0 to 100 %.",
    f"{MISSING} means not known or not measured; it never stands for 0. Dates are UTC. This report is no advice and "
    "promises no return.",
)


def reading_section(*more: str) -> Section:
    return Section("reading", "How to read this", "", (Bullets((*more, *_READING)),))


def data_missing(part: str) -> Text:
    return Text(f"{part}: this stage has said nothing, so there is nothing to show.", tone="warn")


def ends(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float | None:
    """Last known value, None without one."""
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else None


def finite(value: float | None) -> float | None:
    """The value, or None where it is NaN or infinite."""
    return value if value is not None and math.isfinite(value) else None
