"""What was weighed for the market's label: every piece of evidence, the tiers, and the groups beside the market."""

from __future__ import annotations

from regime_trading.core.schemas import Regime, TierRegime
from regime_trading.core.state import Coupling, GroupLink
from regime_trading.tools.report_document import Block, Cell, Details, Part, Row, Table, Value, gap, num
from regime_trading.tools.report_shared import columns, tag
from regime_trading.tools.report_text import count, duration, number, percent, signed, words

_CAUSAL = ("drives", "driven", "bidirectional")


def evidence_parts(market: Regime, coupling: Coupling | None) -> tuple[Block, ...]:
    """Evidence and tiers, and the coupling of groups folded away."""
    weighed = Table(
        "Evidence",
        columns("Evidence", "Grade", "Finding", ">Allows at most"),
        tuple(
            Row((words(item.source), item.grade, item.finding, num(percent(item.confidence_cap, 0))))
            for item in market.evidence
        ),
        "No evidence is on record.",
    )
    tiers = Table(
        "Tiers",
        columns("Tier", ">Bar", "Label", ">Confidence", ">Risk state", "Note"),
        tuple(Row(_tier_cells(item)) for item in market.tiers),
        "No tier was asked for.",
    )
    parts: tuple[Block, ...] = (Part("evidence", "What was weighed", (weighed, tiers)),)
    return (*parts, *_groups(coupling))


def _tier_cells(item: TierRegime) -> tuple[Value, ...]:
    if item.label is None:
        blank = gap(item.reason)
        return (item.tier, num(duration(item.bar_s)), blank, gap(), gap(), "")
    state = gap("not known") if item.risk_state is None else num(str(item.risk_state))
    return (
        item.tier,
        num(duration(item.bar_s)),
        tag(words(item.label.value), "info"),
        num(percent(item.confidence, 0)),
        state,
        item.reason,
    )


def _groups(coupling: Coupling | None) -> tuple[Block, ...]:
    if coupling is None or not coupling.groups:
        return ()
    causal = sum(link.verdict in _CAUSAL for link in coupling.groups)
    apart = sum(link.verdict == "decoupled" for link in coupling.groups)
    told = (
        f"Coupling of {count(len(coupling.groups), 'group')} with the market: {causal} with causal evidence, "
        f"{apart} decoupled, the rest correlation"
    )
    titles = columns(
        "Group", "Verdict", ">Correlation", ">95 % interval", ">Cross-map skill", ">Lag, bars", "Reason"
    )
    table = Table("Groups", titles, tuple(Row(_group_cells(link)) for link in coupling.groups), "No group.")
    return (Details(told, (table,)),)


def _group_cells(link: GroupLink) -> tuple[Value, ...]:
    interval = gap("not known")
    if link.correlation_low is not None and link.correlation_high is not None:
        interval = num(f"{signed(link.correlation_low)} to {signed(link.correlation_high)}")
    return (
        Cell(link.group),
        tag(
            words(link.verdict),
            "info" if link.verdict in _CAUSAL else "warn" if link.verdict == "decoupled" else "",
        ),
        gap("not known") if link.correlation is None else num(signed(link.correlation)),
        interval,
        gap("not known") if link.skill is None else num(number(link.skill)),
        gap() if link.best_lag_bars is None else num(signed(link.best_lag_bars, 0)),
        link.reason,
    )
