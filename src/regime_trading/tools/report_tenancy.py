"""What of a report one firm may see (``contracts.md`` 9)."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, TypeVar

from regime_trading.core.errors import BadInput
from regime_trading.tools.report_model import BacktestReport, RunReport

AnyReport = TypeVar("AnyReport", RunReport, BacktestReport)


def firm_of(account: str) -> str:
    """Firm of ``firm/account``."""
    return account.split("/", 1)[0]


def firms(report: RunReport | BacktestReport) -> tuple[str, ...]:
    """Firms of the report's accounts, sorted."""
    return tuple(sorted({firm_of(item.account) for item in report.accounts}))


def for_firm(report: AnyReport, firm_id: str) -> AnyReport:
    """The same report with only what one firm may see.

    Other firms' accounts, their baskets' proposals and comparisons, and findings about them are left out.
    Shared sentences (notes, run-level findings) that name another firm or account are left out too. Market
    data, regimes and data health are shared by every firm (``contracts.md`` 9).

    Raises
    ------
    BadInput
        The report has no account of that firm. The message names no other firm.
    """
    own = {item.account for item in report.accounts if firm_of(item.account) == firm_id}
    if not own:
        raise BadInput(expected="a firm with an account in this report", found=firm_id, where="firm")
    foreign = {item.account for item in report.accounts} - own
    hidden = tuple(sorted(foreign | {firm_of(account) for account in foreign}))
    kept = (
        _run_for_firm(report, own, hidden)
        if isinstance(report, RunReport)
        else _history_for_firm(report, own)
    )
    shared: dict[str, Any] = {
        "firm": firm_id,
        "title": "".join(_silent_on(hidden, (report.title,))) or "Report",
        "source": dataclasses.replace(report.source, notes=_silent_on(hidden, report.source.notes)),
        "tape": report.tape.model_copy(update={"notes": _silent_on(hidden, report.tape.notes)}),
        "health": report.health
        and report.health.model_copy(update={"notes": _silent_on(hidden, report.health.notes)}),
    }
    return dataclasses.replace(report, **kept, **shared)


def _run_for_firm(report: RunReport, own: set[str], hidden: tuple[str, ...]) -> dict[str, Any]:
    accounts = tuple(item for item in report.accounts if item.account in own)
    baskets = {basket for item in accounts for basket in item.profile.baskets}
    verdict = report.verdict
    if verdict is not None:
        visible = tuple(
            check
            for check in verdict.findings
            if (check.account is None or check.account in own)
            and len(_silent_on(hidden, (check.check, check.expected, check.found))) == 3
        )
        verdict = verdict.model_copy(update={"findings": visible})
    return {
        "accounts": accounts,
        "proposals": tuple(p for p in report.proposals if p.basket is None or p.basket in baskets),
        "verdict": verdict,
    }


def _history_for_firm(report: BacktestReport, own: set[str]) -> dict[str, Any]:
    accounts = tuple(item for item in report.accounts if item.account in own)
    baskets = {basket for item in accounts for basket in item.baskets}
    comparisons = tuple(
        c
        for c in report.comparisons
        if (c.account is None or c.account in own) and (c.basket is None or c.basket in baskets)
    )
    return {"accounts": accounts, "comparisons": comparisons}


def _silent_on(hidden: tuple[str, ...], texts: tuple[str, ...]) -> tuple[str, ...]:
    """The texts that name none of the hidden firms and accounts."""
    names = "|".join(re.escape(name) for name in hidden)
    pattern = re.compile(rf"(?<![a-z0-9-])(?:{names})(?![a-z0-9-])", re.IGNORECASE) if hidden else None
    return tuple(text for text in texts if pattern is None or not pattern.search(text))
