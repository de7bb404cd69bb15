"""The section "Tape health": score, grade, the numbers behind it, the chart, and what it changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regime_trading.core.schemas import (
    BarSpreads,
    MicrostructureFeatures,
    PMDecision,
    RuleOutcome,
    TapeSummary,
)
from regime_trading.tools.chart_sheet import Size
from regime_trading.tools.chart_tape import TapeTrack, tape_panels
from regime_trading.tools.report_document import (
    Block,
    Bullets,
    Cell,
    Details,
    Facts,
    Figure,
    Part,
    Row,
    Section,
    Table,
    Tone,
    Value,
    gap,
    num,
)
from regime_trading.tools.report_model import SourceNote
from regime_trading.tools.report_shared import columns, tag
from regime_trading.tools.report_text import NBSP, count, moment, number, percent, rule_name, signed, words

GRADE_TONES: Mapping[str, Tone] = {"healthy": "good", "thin": "warn", "stressed": "warn", "broken": "bad"}
TAPE_RULES = ("DS-04", "XL-05")
_EXPANDED = 4  #: more symbols than this are folded away


def tape_section(
    tape: TapeSummary,
    source: SourceNote,
    tracks: Mapping[str, TapeTrack] | None = None,
    decisions: Sequence[PMDecision] = (),
) -> Section:
    """What the tape said and what that changed, or plainly that there was none."""
    effect = (Part("tape-effect", "What it changed", (Bullets(_effects(tape, source, decisions)),)),)
    if not tape.features:
        return Section(
            "tape", "Tape health", _lead_without(tape), (_missing_facts(tape), *_bar_table(tape), *effect)
        )
    parts = tuple(_symbol_part(item, (tracks or {}).get(item.symbol)) for item in tape.features)
    folded: tuple[Block, ...] = (
        parts if len(parts) <= _EXPANDED else (Details(f"Details of {len(parts)} symbols", parts),)
    )
    return Section(
        "tape", "Tape health", _lead_with(tape), (_summary(tape), *folded, *_bar_table(tape), *effect)
    )


# --- leads ------------------------------------------------------------------------------------------------


def _lead_without(tape: TapeSummary) -> str:
    if tape.evidence == "bars":
        return (
            "The evidence grade is bars: there were no quotes and no trades. Spread, order-flow imbalance (OFI) and "
            "microprice were not measured, and nothing here pretends to them."
        )
    return f"The evidence grade is {tape.evidence}, but the tape holds no row up to this time."


def _lead_with(tape: TapeSummary) -> str:
    worst = min(tape.features, key=lambda item: item.health.score)
    told = (
        f"The tape of {count(len(tape.features), 'symbol')} was read; the weakest is {worst.symbol}, "
        f"{worst.health.grade} with {worst.health.score:.0f} of 100."
    )
    return f"{told} The run as a whole rests on evidence grade {tape.evidence}."


def _missing_facts(tape: TapeSummary) -> Facts:
    facts: list[tuple[str, Value]] = [
        ("Evidence grade", tag(tape.evidence, "info")),
        ("Cap on confidence", num(percent(tape.confidence_cap, 0))),
    ]
    facts += [(name, gap("no quotes")) for name in ("Spread", "OFI", "Microprice gap")]
    facts += [(name, gap("no trades")) for name in ("Effective spread", "Kyle lambda")]
    return Facts(tuple(facts))


# --- tables -----------------------------------------------------------------------------------------------


def _summary(tape: TapeSummary) -> Table:
    titles = columns(
        "Symbol", "Grade", ">Score", "Evidence", ">Spread, bp", ">Effective, bp", ">R² of OFI",
        ">Microprice gap, bp", ">VPIN", ">Rows used", ">Rows dropped",
    )  # fmt: skip
    return Table(
        "Tapes", titles, tuple(Row(_summary_cells(item)) for item in tape.features), "No tape was read."
    )


def _summary_cells(item: MicrostructureFeatures) -> tuple[Value, ...]:
    dropped = item.counts.rows - item.counts.used
    return (
        Cell(item.symbol, kind="code"),
        tag(item.health.grade, GRADE_TONES[item.health.grade]),
        num(f"{item.health.score:.0f}"),
        item.evidence,
        _measure(item, "spread.time_weighted_bps", item.spread.time_weighted_bps, 2),
        _measure(item, "spread.effective_bps", item.spread.effective_bps, 2),
        _measure(item, "ofi.r2", item.ofi.r2, 2),
        _measure(item, "microprice.gap_bps", item.microprice.gap_bps, 2, plus=True),
        _measure(item, "trades.vpin", item.trades.vpin, 2),
        num(f"{item.counts.used:,}"),
        num(f"{dropped:,}"),
    )


def _measure(
    item: MicrostructureFeatures, path: str, value: float | None, digits: int, *, plus: bool = False
) -> Value:
    if value is None:
        return gap(item.unknown.get(path, "not known"))
    return num(signed(value, digits) if plus else number(value, digits))


def _bar_table(tape: TapeSummary) -> tuple[Block, ...]:
    """Estimates of the spread from bars alone, said to be estimates."""
    if not tape.bars:
        return ()
    titles = columns(
        "Symbol", ">EDGE, bp", ">Roll, bp", ">Corwin-Schultz, bp", ">Abdi-Ranaldo, bp", ">Bars", "Note"
    )
    rows = tuple(Row(_bar_cells(symbol, item)) for symbol, item in sorted(tape.bars.items()))
    table = Table("Spread estimated from bars", titles, rows, "No bars.")
    identified = sum(item.identified for item in tape.bars.values())
    told = f"Spread from bars alone: identified for {identified} of {count(len(tape.bars), 'symbol')}"
    return (Details(told, (table,)),)


def _bar_cells(symbol: str, item: BarSpreads) -> tuple[Value, ...]:
    values = (item.edge_bps, item.roll_bps, item.corwin_schultz_bps, item.abdi_ranaldo_bps)
    shown = (gap("not identified") if value is None else num(number(value, 1)) for value in values)
    return (Cell(symbol, kind="code"), *shown, num(f"{item.n_bars:,}"), item.reason)


# --- one symbol -------------------------------------------------------------------------------------------


def _symbol_part(item: MicrostructureFeatures, track: TapeTrack | None) -> Part:
    counts, health = item.counts, item.health
    dropped = {
        "crossed": counts.crossed,
        "one side missing": counts.one_sided,
        "not positive": counts.non_positive,
        **{words(name): n for name, n in counts.removed.items()},
    }
    told = ", ".join(f"{name} {n:,}" for name, n in dropped.items() if n) or "none"
    facts: list[tuple[str, Value]] = [
        ("From", num(moment(item.start_ns))),
        ("To", num(moment(item.end_ns))),
        ("Quote rows", num(f"{counts.rows:,}")),
        ("Dropped", f"{counts.rows - counts.used:,} ({told})"),
        ("Kept but locked", num(f"{counts.locked:,}")),
        ("Out of order, put in place", num(f"{counts.out_of_order:,}")),
    ]
    facts += [(_PARTS.get(name, (words(name), ""))[0], _part(name, v)) for name, v in health.parts.items()]
    notes = (*health.reasons, *item.notes)
    blocks: tuple[Block, ...] = (_figure(item, track), Facts(tuple(facts)))
    if notes:
        blocks += (Bullets(notes),)
    grade = tag(f"{health.grade} {health.score:.0f}", GRADE_TONES[health.grade])
    return Part(f"tape-{item.symbol.lower()}", item.symbol, blocks, (grade,))


_PARTS = {
    "n_quotes": ("Valid quotes", "count"),
    "share_invalid": ("Invalid quotes", "share"),
    "share_crossed": ("Crossed quotes", "share"),
    "share_one_sided": ("One-sided quotes", "share"),
    "share_stale": ("Time without expected quotes", "share"),
    "spread_bps": ("Spread, time-weighted", "bp"),
    "spread_ratio": ("Spread against its own history", "ratio"),
    "depth_ratio": ("Depth against its own history", "ratio"),
    "r2": ("Moves of the mid explained by OFI", "share"),
    "vpin_percentile": ("VPIN, rank in its own history", "share"),
    "feed_age_ratio": ("Age of the feed against its cadence", "ratio"),
}


def _part(name: str, value: float | None) -> Value:
    """A number behind the score, in its unit."""
    if value is None:
        return gap("not known")
    match _PARTS.get(name, ("", ""))[1]:
        case "count":
            return num(f"{value:,.0f}")
        case "share":
            return num(percent(value, 1))
        case "bp":
            return num(f"{number(value, 2)}{NBSP}bp")
        case "ratio":
            return num(f"{number(value, 2)}×")
    return num(number(value, 3))


def _figure(item: MicrostructureFeatures, track: TapeTrack | None) -> Figure:
    drawable = track is not None and len(track.ts_ns) > 1
    beta = "" if item.ofi.r2 is None else f" OFI explains {percent(item.ofi.r2, 0)} of the mid's moves (R²)."
    seconds = number(item.ofi.interval_s, 0)

    def draw(size: Size) -> str:
        assert track is not None
        return tape_panels(track, f"Mid, order-flow imbalance and spread of {item.symbol}", size)

    return Figure(
        name=f"tape-{item.symbol.replace('/', '-')}",
        title=f"Tape of {item.symbol}",
        caption=f"Buckets of {seconds} s, {moment(item.start_ns)} to {moment(item.end_ns)}.{beta}"
        if drawable
        else "",
        draw=draw if drawable else None,
        empty="Too few buckets to draw.",
    )


# --- what it changed --------------------------------------------------------------------------------------


def _effects(tape: TapeSummary, source: SourceNote, decisions: Sequence[PMDecision]) -> tuple[str, ...]:
    cap = percent(tape.confidence_cap, 0)
    said = [
        f"Effect: no regime confidence above {cap} counts, however clear the prices look."
        if tape.confidence_cap < 1
        else "Effect: the tape lowers no confidence."
    ]
    for rule_id in TAPE_RULES:
        bound = [d.account for d in decisions for r in d.rules if r.rule_id == rule_id and _limits(r.outcome)]
        if bound:
            said.append(f"{rule_name(rule_id)} limited {', '.join(bound)}.")
    stand_ins = "; ".join(f"{s.wanted}: {s.used}" for s in source.substitutes)
    return (*said, *((f"Stand-ins: {stand_ins}.",) if stand_ins else ()), *tape.notes)


def _limits(outcome: RuleOutcome) -> bool:
    return outcome in (RuleOutcome.BOUND, RuleOutcome.UNKNOWN)
