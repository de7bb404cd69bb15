"""The document of one run's report: at a glance, regime, proposals, judge."""

from __future__ import annotations

from decimal import Decimal

from regime_trading.core.schemas import Outcome, Proposal, Regime, RuleOutcome
from regime_trading.core.state import Contradiction, Judgement
from regime_trading.tools.candidates import Candidate
from regime_trading.tools.report_decision import OUTCOME_TONES, approval_said, decision_section, rule_list
from regime_trading.tools.report_document import (
    Block,
    Bullets,
    Cell,
    Document,
    Facts,
    Part,
    Row,
    Section,
    Table,
    Text,
    Value,
    gap,
    num,
)
from regime_trading.tools.report_evidence import evidence_parts
from regime_trading.tools.report_model import AccountRun, RunReport
from regime_trading.tools.report_shared import (
    MODE_WORDS,
    columns,
    data_missing,
    heaviest_mode,
    known,
    reading_section,
    ribbon,
    scope_notice,
    source_section,
    state_tag,
    tag,
)
from regime_trading.tools.report_tape import tape_section
from regime_trading.tools.report_tenancy import firms
from regime_trading.tools.report_text import (
    MISSING,
    NBSP,
    count,
    day,
    moment,
    money,
    number,
    percent,
    rule_name,
    signed,
    words,
)


def run_document(report: RunReport) -> Document:
    """The whole document of one run."""
    mode = heaviest_mode(item.profile.mode for item in report.accounts)
    facts = Facts(
        (
            ("Run", Cell(report.run_id, kind="code")),
            ("As of", num(moment(report.as_of_ns))),
            ("Source", Cell(report.source.name, kind="code")),
            ("Evidence grade", report.tape.evidence),
            ("Mode", MODE_WORDS[mode]),
            ("Code", Cell(report.code_version, kind="code") if report.code_version else gap()),
        )
    )
    sections = (
        _glance(report),
        *((_candidate_section(report.candidates),) if report.candidates else ()),
        _regime_section(report),
        *(_deciding(report) if report.decides else ()),
        source_section(report.source, report.health),
        tape_section(report.tape, report.source, report.tracks, [item.decision for item in report.accounts]),
        reading_section(),
    )
    notice = scope_notice(report.firm, len(firms(report)))
    return Document("Run", report.title, mode.value, facts, notice, sections)


def _deciding(report: RunReport) -> tuple[Section, ...]:
    return (
        _proposal_section(report.proposals),
        decision_section(report.accounts),
        _judge_section(report.verdict),
    )


# --- at a glance ------------------------------------------------------------------------------------------


def _glance(report: RunReport) -> Section:
    rows = tuple(Row(_glance_cells(item)) for item in report.accounts)
    titles = columns(
        "Account", "Outcome", "Trading state", ">Equity", ">Gross now", ">Gross target", "Limited by"
    )
    table = Table("Decisions", titles, rows, "No account was decided in this run.")
    needs = tuple(_needs_attention(report))
    blocks: tuple[Block, ...] = (table,)
    if needs:
        blocks += (Part("attention", "Needs attention", (Bullets(needs),)),)
    return Section("glance", "At a glance", _glance_lead(report), blocks)


def _glance_lead(report: RunReport) -> str:
    outcomes = [item.decision.outcome for item in report.accounts]
    told = ", ".join(f"{outcomes.count(o)} {words(o.value)}" for o in Outcome if o in outcomes)
    decided = f" {count(len(outcomes), 'account')}: {told}." if outcomes else ""
    if report.regime is None:
        return f"At {moment(report.as_of_ns)} no regime was known.{decided}"
    market = report.regime.market
    return (
        f"At {moment(report.as_of_ns)} the market proxy {market.symbol} is {words(market.label.value)}, "
        f"confidence {percent(_confidence(report), 0)} after caps, risk state {_state_text(market)}.{decided}"
    )


def _confidence(report: RunReport) -> float | None:
    """Confidence after the caps of the evidence grade and of the contradictor."""
    if report.regime is None:
        return None
    caps = [report.tape.confidence_cap]
    caps += [report.contradiction.confidence_cap] if report.contradiction else []
    return min(report.regime.market.confidence, *caps)


def _state_text(regime: Regime) -> str:
    state, n = regime.risk.state, regime.risk.n_states
    if state is None:
        return f"{MISSING} ({regime.risk.reason or 'not known'})"
    name = "calm" if state == 0 else "turbulent" if state == n - 1 else "in between"
    return name if n == 2 else f"{name} (state {state} of 0 to {n - 1})"


def _glance_cells(item: AccountRun) -> tuple[Value, ...]:
    d = item.decision
    return (
        d.account,
        tag(words(d.outcome.value), OUTCOME_TONES[d.outcome]),
        state_tag(d.trading_state_after),
        "not known" if d.equity is None else num(money(float(d.equity), item.currency)),
        num(percent(float(sum(abs(t.current_w) for t in d.targets)))),
        num(percent(float(sum(abs(t.target_w) for t in d.targets)))),
        rule_list(d.binding_rules) or "no rule",
    )


def _needs_attention(report: RunReport) -> list[str]:
    found: list[str] = []
    if report.verdict is not None and report.verdict.action == "HOLD":
        found.append("The judge turned this run into HOLD: no orders leave. See The judge.")
    for item in report.accounts:
        d = item.decision
        for latch in item.latches:
            released = words(latch.release.name)
            found.append(
                f"{d.account}: {rule_name(latch.rule_id)} holds the account at {words(latch.trading_state.name)} "
                f"since {day(latch.since_ns)}; release: {released}."
            )
        unknown = tuple(r.rule_id for r in d.rules if r.outcome == RuleOutcome.UNKNOWN)
        if unknown:
            found.append(
                f"{d.account}: an input was missing for {rule_list(unknown)}; the cautious effect applied."
            )
        if item.approval is not None and not item.approval.leaves:
            found.append(f"{d.account}: the approval is {approval_said(item.approval)}; no orders leave.")
    return found


# --- regime -----------------------------------------------------------------------------------------------


def _regime_section(report: RunReport) -> Section:
    blocks: list[Block] = []
    if report.regime is None:
        blocks.append(data_missing("Regime"))
    else:
        blocks.append(_market_facts(report, report.regime.market))
        blocks += evidence_parts(report.regime.market, report.coupling)
    blocks.append(ribbon(report.history))
    blocks.append(Part("second-opinion", "Second opinion", _second_opinion(report.contradiction)))
    blocks.append(Part("symbols", "Symbols", (_symbol_table(report),)))
    return Section("regime", "Market regime", "", tuple(blocks))


def _market_facts(report: RunReport, market: Regime) -> Facts:
    structure, risk = market.structure, market.risk
    p_value = known(f"{number(structure.p_value, 3)}", structure.reason or "test not run")
    return Facts(
        (
            ("Proxy", Cell(market.symbol, kind="code")),
            ("Label", tag(words(market.label.value), "info")),
            (
                "Confidence",
                num(percent(market.confidence, 0), f"after caps {percent(_confidence(report), 0)}"),
            ),
            ("Risk state", _state_text(market)),
            ("Expected to last", known(_bars(risk.expected_duration_bars), risk.reason or "not estimated")),
            ("Structure", f"{words(structure.label.value)}, confidence {percent(structure.confidence, 0)}"),
            ("Structure test, p-value", p_value),
            (
                "Variance ratio",
                known(number(structure.variance_ratio, 3), structure.reason or "not estimated"),
            ),
            ("Hurst exponent", _hurst(market)),
            ("Half-life", known(_bars(structure.half_life_bars), structure.reason or "no reversion found")),
            ("Probability of the state", known(percent(risk.probability, 0), risk.reason or "not known")),
            ("Model", risk.model or MISSING),
            ("Model fitted", known(day(risk.fitted_at_ns), risk.reason or "never")),
        )
    )


def _hurst(market: Regime) -> Value:
    h, interval = market.structure.hurst, market.structure.hurst_ci
    if h is None or interval is None:
        return gap(market.structure.reason or "not estimated")
    return num(number(h, 2), f"95 % interval {number(interval[0], 2)} to {number(interval[1], 2)}")


def _bars(value: float | None) -> str:
    text = number(value, 0)
    return text if text == MISSING else f"{text}{NBSP}bars"


def _second_opinion(contradiction: Contradiction | None) -> tuple[Block, ...]:
    if contradiction is None:
        return (data_missing("Contradictor"),)
    verdicts = {
        True: tag("agrees"),
        False: tag("disagrees", "warn"),
        None: tag("no verdict: counts as disagreeing", "warn"),
    }
    risk = {True: "turbulent", False: "calm", None: MISSING}
    rows = tuple(
        Row((a.name, risk[a.turbulent], verdicts[a.agrees], a.detail)) for a in contradiction.alternates
    )
    cap = percent(contradiction.confidence_cap, 0)
    return (
        Text(
            f"The verdict was recomputed on the same data another way. Main model: {risk[contradiction.turbulent]}. "
            f"Cap on confidence from this check: {cap}. A second opinion can lower confidence, never raise it."
        ),
        Table(
            "Second opinions",
            columns("How", "Risk state", "Verdict", "Detail"),
            rows,
            "No alternate was computed.",
            headed=False,
        ),
    )


def _symbol_table(report: RunReport) -> Table:
    bars = f", {report.momentum_bars} bars" if report.momentum_bars else ""
    titles = columns("Symbol", "Regime", ">Confidence", "Risk state", "Strategy", f">Momentum{bars}")
    exposures = {e.symbol: words(e.exposure.value) for e in report.regime.exposures} if report.regime else {}
    rows = tuple(
        Row(
            (
                Cell(r.symbol, kind="code"),
                words(r.label.value),
                num(percent(r.confidence, 0)),
                _state_text(r),
                exposures.get(r.symbol, gap("no strategy")),
                known(_signed_percent(report.momentum.get(r.symbol)), "too little history"),
            )
        )
        for r in (report.regime.symbols if report.regime else ())
    )
    return Table("Regime of each symbol", titles, rows, "No symbol has a regime yet.", headed=False)


def _signed_percent(value: float | None) -> str:
    text = signed(None if value is None else value * 100, 1)
    return text if text == MISSING else f"{text}{NBSP}%"


def _candidate_section(candidates: tuple[Candidate, ...]) -> Section:
    lead = "Ranked by what the regime budget leaves of a book under each label, times the confidence in it."
    titles = columns(">Rank", "Symbol", "Regime", ">Confidence", ">Score", "Risk state", "Strategy")
    rows = tuple(
        Row(
            (
                num(str(one.rank)),
                Cell(one.regime.symbol, kind="code"),
                words(one.regime.label.value),
                num(percent(one.regime.confidence, 0)),
                num(number(one.score)),
                _state_text(one.regime),
                gap("no strategy") if one.strategy is None else words(one.strategy),
            )
        )
        for one in candidates
    )
    return Section(
        "candidates", "Candidates", lead, (Table("Candidates", titles, rows, "None.", headed=False),)
    )


# --- proposals --------------------------------------------------------------------------------------------


def _proposal_section(proposals: tuple[Proposal, ...]) -> Section:
    lead = "Wished-for weights before any account's rules, as a share of the equity given to the basket."
    parts: tuple[Block, ...] = tuple(_proposal_part(k, p) for k, p in enumerate(proposals, 1))
    return Section("proposals", "Proposals", lead, parts or (Text("No proposal was made in this run."),))


def _proposal_part(k: int, proposal: Proposal) -> Part:
    name = f"Basket {proposal.basket}" if proposal.basket else "Given by the user"
    largest = max((abs(float(w)) for w in proposal.weights.values()), default=0.0) or 1.0
    ordered = sorted(proposal.weights.items(), key=lambda item: (-abs(item[1]), item[0]))
    rows = tuple(
        Row(
            (
                Cell(s, kind="code"),
                Cell(percent(float(w)), kind="bar", scale=(abs(float(w)) / largest, float("nan"))),
            )
        )
        for s, w in ordered
    )
    gross = sum((abs(w) for w in proposal.weights.values()), Decimal(0))
    rest = "absent symbols are 0" if proposal.complete else "absent symbols are kept as they are"
    facts = Facts(
        (
            ("Proposal", Cell(proposal.proposal_id, kind="code")),
            ("Made", num(day(proposal.as_of_ns))),
            ("Gross", num(f"{percent(float(gross))} of equity")),
            ("Confidence", num(percent(proposal.confidence, 0))),
            ("Complete", rest),
        )
    )
    empty = "The proposal is empty: hold nothing."
    table = Table(f"Weights, {name}", columns("Symbol", "Weight"), rows, empty, "narrow", headed=False)
    return Part(f"proposal-{k}", name, (facts, table))


# --- judge ------------------------------------------------------------------------------------------------


def _judge_section(verdict: Judgement | None) -> Section:
    if verdict is None:
        return Section("judge", "The judge", "", (data_missing("Judge"),))
    lead = (
        "The judge checks every output for bounds, gaps and completeness. Verdict: HOLD, no orders leave."
        if verdict.action == "HOLD"
        else "The judge checks every output for bounds, gaps and completeness. Verdict: valid."
    )
    rows = tuple(Row((c.check, c.account or "the run", c.expected, c.found)) for c in verdict.findings)
    empty = "The reason lies outside this report." if verdict.action == "HOLD" else "Nothing was found wrong."
    table = Table("Findings", columns("Check", "About", "Expected", "Found"), rows, empty)
    return Section("judge", "The judge", lead, (table,))
