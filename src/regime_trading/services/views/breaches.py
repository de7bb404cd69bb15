"""Breaches that somebody should see: the last one of each rule, and who said that they have seen it."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from regime_trading.core.record_query import EntryQuery
from regime_trading.core.recorded import Recorded
from regime_trading.core.schemas import EventType
from regime_trading.services.breaches import BROKEN, Acknowledgement, Where, acknowledgements
from regime_trading.services.views.base import Account, Asker, DecimalText, Instant, Shown, instant, plain
from regime_trading.services.views.current import Current, current, title_of
from regime_trading.services.views.decisions import Place, place_of
from regime_trading.services.views.redaction import is_money, safe_rationale
from regime_trading.services.views.sources import FirmSources, ids_of

LOOKED_AT = 500  #: the newest breaches of an account, and acknowledgements of them


class Acknowledged(Shown):
    """Who said that they had seen a breach, and when."""

    by: str = Field(description="pseudonym")
    at: Instant
    reason: str = Field(description="empty where none was given, or amounts are not shown")


class BreachRow(Shown):
    """The last breach of a rule in what an account trades in now."""

    account: Account
    rule_id: str
    title: str
    as_of: Instant
    value: DecimalText | None
    limit: DecimalText | None
    rationale: str
    stands: bool = Field(description="the rule did not hold at the last decision, or still holds the account")
    acknowledged: Acknowledged | None = Field(description="null = nobody has yet")
    place: Place


def breaches(sources: FirmSources, asker: Asker) -> tuple[BreachRow, ...]:
    """Breaches of the accounts that the asker may see that nobody has acknowledged, and those that stand: what nobody
    has seen first, then the newest. One for each rule of an account, the last of the chain that it is decided in."""
    rows = [
        row
        for account in sources.readable(asker)
        for row in _of_account(sources, asker, current(sources, account))
        if row.stands or row.acknowledged is None
    ]
    rows.sort(key=lambda row: row.as_of, reverse=True)
    return tuple(sorted(rows, key=lambda row: row.acknowledged is not None))


def breaches_in(sources: FirmSources, account: str, rule_id: str = "") -> tuple[Recorded, ...]:
    """Breaches of an account in the chain that it is decided in now, of one rule or of all, the newest first."""
    mode = None if (profile := sources.standings[account].profile) is None else profile.mode
    stored = None if mode is None else sources.states.latest(account, mode)
    if stored is None:
        return ()
    query = EntryQuery(ids_of((account,)), kinds=_BREACH, chain_id=stored.chain_id, rule_id=rule_id)
    return sources.record.newest(query, None, LOOKED_AT)


def breach_named(sources: FirmSources, account: str, rule_id: str, breach_id: str) -> Recorded | None:
    """A breach of a rule of an account by the id of its entry, wherever it was; None where there is none."""
    query = EntryQuery(ids_of((account,)), kinds=_BREACH, rule_id=rule_id, named=breach_id)
    return next((one for one in sources.record.newest(query, None, 1) if said_id(one) == breach_id), None)


def acknowledged_of(
    sources: FirmSources, account: str, rule_id: str = "", breach_id: str = ""
) -> dict[Where, Acknowledgement]:
    """Acknowledgements of the breaches of an account, of one rule or of all, or of one breach."""
    query = EntryQuery(ids_of((account,)), kinds=_SEEN, rule_id=rule_id, named=breach_id)
    return acknowledgements(sources.record.newest(query, None, LOOKED_AT))


def acknowledged(made: Acknowledgement | None, amounts: bool) -> Acknowledged | None:
    """An acknowledgement as it is shown; its text only to who is shown amounts."""
    if made is None:
        return None
    return Acknowledged(by=made.by, at=instant(made.at_ns) or "", reason=made.reason if amounts else "")


def said_id(entry: Recorded) -> str:
    """The id of an entry."""
    return str(entry.fields()["event_id"])


_BREACH = (EventType.RULE_BREACH.value,)
_SEEN = (EventType.BREACH_ACKNOWLEDGED.value,)


def _of_account(sources: FirmSources, asker: Asker, of: Current) -> Iterable[BreachRow]:
    found = breaches_in(sources, of.account)
    seen = acknowledged_of(sources, of.account) if found else {}
    amounts, told = asker.shows_amounts(of.account), set[str]()
    for entry in found:
        said = entry.fields()
        rule_id = said["rule_id"]
        if rule_id in told:
            continue
        told.add(rule_id)
        shows = amounts or not is_money(rule_id)
        yield BreachRow(
            account=of.account,
            rule_id=rule_id,
            title=title_of(rule_id),
            as_of=instant(entry.ts_event_ns) or "",
            value=plain(said["value"]) if shows else None,
            limit=plain(said["limit"]) if shows else None,
            rationale=said["rationale"] if shows else safe_rationale(said),
            stands=_stands(of, rule_id),
            acknowledged=acknowledged(seen.get((entry.chain_id, entry.seq)), amounts),
            place=place_of(entry, said),
        )


def _stands(of: Current, rule_id: str) -> bool:
    said = of.rule(rule_id)
    latches = () if of.stored is None else of.stored.state.latches
    return (said is not None and said["outcome"] in BROKEN) or any(one.rule_id == rule_id for one in latches)
