"""The document of a long dry run's report: its order, what happened, how it was simulated."""

from __future__ import annotations

from regime_trading.tools.report_controls import comparison_section, performance_cells, turnover_cell
from regime_trading.tools.report_document import (
    Bullets,
    Cell,
    Document,
    Facts,
    Row,
    Section,
    Table,
    Value,
    gap,
)
from regime_trading.tools.report_history import history_section
from regime_trading.tools.report_limits import limits_section, liveness_section
from regime_trading.tools.report_model import (
    AccountHistory,
    Attempt,
    BacktestReport,
    LatchRecord,
)
from regime_trading.tools.report_shared import (
    MODE_WORDS,
    columns,
    ends,
    heaviest_mode,
    known,
    reading_section,
    ribbon,
    scope_notice,
    source_section,
)
from regime_trading.tools.report_tape import tape_section
from regime_trading.tools.report_tenancy import firms
from regime_trading.tools.report_text import (
    count,
    day,
    money,
    number,
    words,
)

_NS_PER_YEAR = 365.25 * 86_400e9


def backtest_document(report: BacktestReport) -> Document:
    """The whole document of a long dry run."""
    mode = heaviest_mode(item.mode for item in report.accounts)
    facts = Facts(
        (
            ("Run", Cell(report.run_id, kind="code")),
            ("From", known(day(report.first_ns), "no data yet")),
            ("To", known(day(report.last_ns), "no data yet")),
            ("Source", Cell(report.source.name, kind="code")),
            ("Evidence grade", report.tape.evidence),
            ("Mode", MODE_WORDS[mode]),
            ("Code", Cell(report.code_version, kind="code") if report.code_version else gap()),
        )
    )
    sections = (
        _outcome_section(report),
        comparison_section(report.comparisons),
        Section("regime", "Regimes", "", (ribbon(report.history),)),
        limits_section(report.accounts),
        history_section(report.accounts),
        liveness_section(report.accounts),
        _simulation_section(report),
        source_section(report.source, report.health),
        tape_section(report.tape, report.source),
        reading_section(*_READING),
    )
    notice = scope_notice(report.firm, len(firms(report)))
    return Document("Backtest", report.title, mode.value, facts, notice, sections)


_READING = (
    "Look first at the simple controls: a regime strategy is worth its trouble only where it beats them. An interval "
    "that includes 0 means that these years do not show a difference. Several intervals are shown, so one may exclude "
    "0 by chance.",
    "Then look at who was limited by what: a rule that binds nearly every day shapes the strategy; a rule that never "
    "bound is not shown to work on this history.",
)


# --- what happened --------------------------------------------------------------------------------


def _outcome_section(report: BacktestReport) -> Section:
    titles = columns(
        "Account", ">Return p.a.", ">Volatility p.a.", ">Sharpe ratio", ">Worst drawdown", ">Turnover p.a.", ">Fees",
        ">Equity at the end", "Attempts", "Latches",
    )  # fmt: skip
    rows = tuple(Row(_outcome_cells(item)) for item in report.accounts)
    table = Table("Accounts", titles, rows, "No account has a history yet.", headed=False)
    return Section("outcome", "What happened", _outcome_lead(report), (table,))


def _outcome_lead(report: BacktestReport) -> str:
    if report.first_ns is None or report.last_ns is None or not report.accounts:
        return "There is no history yet: nothing was simulated."
    years = (report.last_ns - report.first_ns) / _NS_PER_YEAR
    latches = sum(len(item.latches) for item in report.accounts)
    attempts = [a for item in report.accounts for a in item.attempts or ()]
    passed = sum(a.result == "passed" for a in attempts)
    finished = sum(a.result != "running" for a in attempts)
    trials = f" {passed} of {count(finished, 'finished evaluation attempt')} passed." if attempts else ""
    return (
        f"{number(years, 1)} years, {count(len(report.accounts), 'account')}. Latches fired "
        f"{count(latches, 'time')}.{trials}"
    )


def _outcome_cells(item: AccountHistory) -> tuple[Value, ...]:
    return (
        item.account,
        *performance_cells(item.performance),
        turnover_cell(item.turnover_pa),
        known(money(item.fees, item.currency), "not recorded"),
        known(money(ends(item.equity), item.currency), "not known"),
        _attempt_summary(item.attempts),
        _latch_summary(item.latches),
    )


def _attempt_summary(attempts: tuple[Attempt, ...] | None) -> str:
    if attempts is None:
        return "no evaluation"
    finished = [a for a in attempts if a.result != "running"]
    return f"{sum(a.result == 'passed' for a in finished)} of {len(finished)} passed"


def _latch_summary(latches: tuple[LatchRecord, ...]) -> str:
    if not latches:
        return "none"
    held = sum(latch.released_ns is None for latch in latches)
    return f"{len(latches)}, {held} still held" if held else f"{len(latches)}, all released"


# --- how it was simulated --------------------------------------------------------------------------


def _simulation_section(report: BacktestReport) -> Section:
    notes = [f"Fills: {report.fill_price}"]
    if report.costs:
        notes.append(f"Costs: {report.costs}")
    if report.operators is not None:
        told = {"MANUAL": report.operators.MANUAL, "DUAL": report.operators.DUAL}
        after = "; ".join(
            f"{words(kind)} latches "
            + ("are never released" if n == "never" else f"after {count(n, 'session')}")
            for kind, n in told.items()
        )
        notes.append(f"Simulated operators release {after}. Every such release is marked simulated.")
    notes.append(
        "One decision engine: the history loop runs the same cycle as a live account, day by day, with data up to that "
        "day only."
    )
    return Section("simulation", "How it was simulated", "", (Bullets(tuple(notes)),))
