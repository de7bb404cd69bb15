"""Registers: the lists that an allocator or a regulator asks for, read from the record and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from regime_trading.core.audit import ADMIN_ENV, FIRM_ACCOUNT, PLATFORM
from regime_trading.core.errors import BadInput
from regime_trading.core.instants import EARLIEST_NS, LATEST_NS, instant_text, parse_instant
from regime_trading.core.ports import RecordHistory
from regime_trading.core.recorded import Recorded, Selection
from regime_trading.core.rules import RULE_BY_ID
from regime_trading.core.schemas import EventType as E
from regime_trading.services.breaches import acknowledgements, breach_rows

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose record, and which part of it. Always of one firm.

    Parameters
    ----------
    firm_id : str
        Tenant, or ``_platform``.
    account_id : str
        One account of the firm; empty = all.
    run_id : str
        One run; empty = all.
    from_ns, to_ns : int
        UTC nanoseconds, both included.
    """

    firm_id: str
    account_id: str = ""
    run_id: str = ""
    from_ns: int = EARLIEST_NS
    to_ns: int = LATEST_NS

    @property
    def account(self) -> str:
        """``firm/account``, empty where all are meant."""
        return f"{self.firm_id}/{self.account_id}" if self.account_id else ""

    def holds(self, ts_ns: int) -> bool:
        """Whether an instant lies in the scope."""
        return self.from_ns <= ts_ns <= self.to_ns

    def of_accounts(self, *kinds: E) -> Selection:
        """Entries of the trading of the accounts, from the beginning to the end of the scope."""
        accounts = (self.account_id,) if self.account_id else ()
        return Selection(
            kinds=tuple(k.value for k in kinds), accounts=accounts, run_id=self.run_id, to_ns=self.to_ns
        )

    def of_firm(self, *kinds: E) -> Selection:
        """Entries of the firm's own acts, from the beginning to the end of the scope."""
        account = PLATFORM if self.firm_id == PLATFORM else FIRM_ACCOUNT
        return Selection(kinds=tuple(k.value for k in kinds), accounts=(account,), to_ns=self.to_ns)


@dataclass(frozen=True, slots=True)
class Register:
    """A list: what it is, its columns in order, and its rows by time."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...] = field(repr=False)


def moment(text: str, where: str, *, end: bool) -> int:
    """UTC nanoseconds of an instant, or of the beginning or the end of a day.

    Raises
    ------
    BadInput
        Any other text.
    """
    day = len(text) == 10
    try:
        found = parse_instant(f"{text}T00:00:00Z" if day else text)
    except ValueError as error:
        raise BadInput(
            expected="a day (2022-12-28) or an instant (2022-12-28T21:00:00Z)", found=repr(text), where=where
        ) from error
    return found + _DAY_NS - 1 if day and end else found


_DAY_NS = 86_400_000_000_000
Query = Callable[[RecordHistory, Scope], Register]


def _register(name: str, columns: str, rows: Iterable[Row]) -> Register:
    names = tuple(columns.split())
    ordered = sorted(
        rows, key=lambda row: (row["first_ns"], row.get("account", ""), row["chain"], row["seq"])
    )
    return Register(name, names, tuple({n: row.get(n) for n in names} for row in ordered))


def place_of(entry: Recorded) -> Row:
    """Where an entry lies."""
    return {"chain": entry.chain_id, "seq": entry.seq, "entry_hash": entry.entry_hash}


# --- breaches -----------------------------------------------------------------------------------------------


def breaches(history: RecordHistory, scope: Scope) -> Register:
    """One row per breach: a rule of guards 1 to 3 that did not hold, or a rule that latched, from its first entry to
    the decision at which it held again and nobody and nothing held the account by it any more.

    ``ended`` is null where the record ends before. ``released_by`` is who or what released the latch,
    ``acknowledged_by`` who said first, whenever that was, that they had seen it.
    """
    wanted = scope.of_accounts(E.RULE_BREACH, E.LATCH, E.UNLOCK, E.ATTEMPT, E.DECISION)
    rows = []
    for chain, entries in groupby(history.entries(wanted), lambda entry: entry.chain_id):
        if not chain.startswith(f"{ADMIN_ENV}/"):
            rows += breach_rows(entries)
    kept = [
        row
        for row in rows
        if row.first_ns <= scope.to_ns and (row.ended_ns is None or row.ended_ns >= scope.from_ns)
    ]
    columns = "started ended duration_s account run rule_id rule value limit trading_state latches ended_by "
    columns += "released_by acknowledged_by acknowledged chain seq"
    seen = acknowledgements(
        history.entries(replace(scope.of_firm(E.BREACH_ACKNOWLEDGED), to_ns=LATEST_NS)) if kept else ()
    )
    return _register("breaches", columns, [row.row(RULE_BY_ID[row.rule_id].title, seen) for row in kept])


# --- limits and overrides -----------------------------------------------------------------------------------


def limit_changes(history: RecordHistory, scope: Scope) -> Register:
    """One row per key that changed with an accepted configuration; one for an account that was new."""
    rows = []
    for entry in history.entries(scope.of_firm(E.CONFIG_ACCEPTED, E.CONFIG_CHANGED)):
        said = entry.fields()
        if not scope.holds(entry.ts_event_ns) or not _is_of(scope, said["account"]):
            continue
        common = {
            "at": instant_text(entry.ts_event_ns),
            "first_ns": entry.ts_event_ns,
            "account": said["account"],
            "by": said["actor"]["id"],
            "before_config": said["before_hash"],
            "after_config": said["after_hash"],
            "request": said.get("request_id", ""),
            "codes": " ".join(said["reason_codes"]),
            **place_of(entry),
        }
        changes = said["changes"] or [{"path": "", "before": None, "after": None, "direction": ""}]
        rows += [common | change for change in changes]
    columns = "at account path before after direction by request codes before_config after_config chain seq"
    return _register("limit-changes", columns, rows)


def overrides(history: RecordHistory, scope: Scope) -> Register:
    """One row per session override."""
    rows = []
    for entry in history.entries(scope.of_firm(E.OVERRIDE)):
        said = entry.fields()
        if scope.holds(entry.ts_event_ns) and _is_of(scope, said["account"]):
            times = {
                name: instant_text(int(said[f"{key}_at_ns"]))
                for name, key in (("in_force_from", "created"), ("expires", "expires"), ("ends", "ends"))
            }
            rows.append(
                {key: said[key] for key in ("override_id", "account", "path", "value", "reason", "exact")}
                | {"at": instant_text(entry.ts_event_ns), "first_ns": entry.ts_event_ns}
                | {"by": said["actor"]["id"]}
                | times
                | place_of(entry)
            )
    columns = "at account path value in_force_from ends exact reason by override_id chain seq"
    return _register("overrides", columns, rows)


# --- people -------------------------------------------------------------------------------------------------

_ANSWERS = {E.APPROVAL_GIVEN: "given", E.APPROVAL_REFUSED: "refused", E.APPROVAL_VOID: "void"}


def approvals(history: RecordHistory, scope: Scope) -> Register:
    """One row per request that people had to agree to: who asked, who agreed, how it ended."""
    found: dict[str, Row] = {}
    for entry in history.entries(scope.of_firm(E.APPROVAL_REQUESTED, *_ANSWERS)):
        said = entry.fields()
        at = instant_text(entry.ts_event_ns)
        row = found.setdefault(
            said["request_id"],
            {
                "at": at,
                "first_ns": entry.ts_event_ns,
                "account": said["account"],
                "request": said["request_id"],
                "kind": said["request_kind"],
                "payload_hash": said["payload_hash"],
                "required": said["required"],
                "asked_by": said["actor"]["id"] if entry.event_type == E.APPROVAL_REQUESTED else "",
                "state": "open",
                "answered": None,
                **place_of(entry),
            },
        )
        row["agreed"] = " ".join(said["by"])
        if entry.event_type in _ANSWERS and (
            entry.event_type != E.APPROVAL_GIVEN or len(said["by"]) >= said["required"]
        ):
            row |= {
                "state": _ANSWERS[E(entry.event_type)],
                "answered": at,
                "answered_by": said["actor"]["id"],
            }
    kept = [row for row in found.values() if scope.holds(row["first_ns"]) and _is_of(scope, row["account"])]
    columns = (
        "at account kind request state required agreed asked_by answered answered_by payload_hash chain seq"
    )
    return _register("approvals", columns, kept)


def kills(history: RecordHistory, scope: Scope) -> Register:
    """One row per use of a kill switch and scope, drills included, with how long it took; the latest entry tells."""
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    wanted = (scope.of_firm(E.KILL), scope.of_accounts(E.KILL))
    for entry in _each_once(history, wanted):
        said = entry.fields()
        if scope.holds(entry.ts_event_ns) and _is_of(scope, said["scope"]):
            asked = int(said["asked_at_ns"])
            use = (said["scope"], said["level"], asked)
            first = rows.get(use)
            rows[use] = (
                {key: said[key] for key in ("level", "scope", "drill", "cancelled_orders", "reason")}
                | {
                    "at": instant_text(asked),
                    "first_ns": asked,
                    "effective_s": _seconds(asked, said["effective_at_ns"]),
                    "flat_s": _seconds(asked, said["flat_at_ns"]),
                    "by": said["actor"]["id"] if first is None else first["by"],
                }
                | place_of(entry)
            )
    columns = "at level scope drill effective_s flat_s cancelled_orders by reason chain seq"
    return _register("kills", columns, list(rows.values()))


def denials(history: RecordHistory, scope: Scope) -> Register:
    """One row per refusal: who asked for what, and how often within a minute; what was not there for them by the name
    they gave. That of an account has refusals over the account alone."""
    rows = []
    for entry in history.entries(scope.of_firm(E.DENIED)):
        said = entry.fields()
        if scope.holds(entry.ts_event_ns) and scope.account in ("", said["account"]):
            rows.append(
                {key: said[key] for key in ("permission", "account", "answer", "route", "count")}
                | {key: said.get(key, "") for key in ("what", "asked")}
                | {"at": instant_text(entry.ts_event_ns), "first_ns": entry.ts_event_ns}
                | {"by": said["actor"]["id"], "request": said["correlation_id"].removeprefix("request-")}
                | place_of(entry)
            )
    columns = "at by answer what asked account route permission count request chain seq"
    return _register("denials", columns, rows)


def _each_once(history: RecordHistory, wanted: Sequence[Selection]) -> Iterator[Recorded]:
    seen: set[tuple[str, int]] = set()
    for selection in wanted:
        for entry in history.entries(selection):
            if (entry.chain_id, entry.seq) not in seen:
                seen.add((entry.chain_id, entry.seq))
                yield entry


def _seconds(first_ns: int, last: str | None) -> str | None:
    """Seconds between two instants, to the millisecond."""
    return None if last is None else f"{(int(last) - first_ns) / 1e9:.3f}"


def _is_of(scope: Scope, account: str) -> bool:
    """Whether something about ``account`` (a firm, an account, or nothing) concerns the account of the scope."""
    return not scope.account_id or account in ("", scope.firm_id, scope.account)


# --- orders -------------------------------------------------------------------------------------------------

_ORDERS = (E.ORDER_SENT, E.ORDER_ACKNOWLEDGED, E.ORDER_CANCELLED, E.ORDER_REJECTED)
_STATES = {E.ORDER_ACKNOWLEDGED: "open", E.ORDER_CANCELLED: "not filled", E.ORDER_REJECTED: "rejected"}


def orders(history: RecordHistory, scope: Scope) -> Register:
    """One row per order: what a run sent and what became of it; of histories, which send nothing, what was executed.

    The entry of an execution does not name its order. An order of a run is ``filled`` by the first later execution of
    its account in its symbol outside histories.
    """
    told: dict[tuple[str, str], Row] = {}
    fills: dict[str, list[Recorded]] = {}
    rows: list[Row] = []
    wanted = replace(scope.of_accounts(*_ORDERS, E.FILL), run_id="", to_ns=LATEST_NS)
    for entry in sorted(history.entries(wanted), key=lambda e: (e.ts_event_ns, e.chain_id, e.seq)):
        if entry.event_type == E.FILL:
            said = entry.fields()
            if said["correlation_id"]:
                rows += _executions(entry, said)
            else:
                fills.setdefault(entry.account, []).append(entry)
        else:
            _follow(told, entry)
    for row in told.values():
        _fill(row, fills.get(row["account"], ()))
    kept = [
        row
        for row in (*told.values(), *rows)
        if scope.holds(row["first_ns"]) and scope.run_id in ("", row["run"])
    ]
    columns = "at account run symbol intent qty limit_price state ended price order decision chain seq"
    return _register("orders", columns, kept)


def _follow(told: dict[tuple[str, str], Row], entry: Recorded) -> None:
    said = entry.fields()
    key = (entry.account, said["client_order_id"])
    if entry.event_type == E.ORDER_SENT:
        told.setdefault(
            key,
            {
                "at": instant_text(entry.ts_event_ns),
                "first_ns": entry.ts_event_ns,
                "account": entry.account,
                "run": said["run_id"],
                "symbol": said["symbol"],
                "intent": said["intent"],
                "qty": said["qty"],
                "limit_price": said["limit_price"],
                "state": "sent",
                "ended": None,
                "price": None,
                "order": said["client_order_id"],
                "decision": said["decision_id"],
                **place_of(entry),
            },
        )
    elif key in told:
        state = _STATES[E(entry.event_type)]
        ended = None if state == "open" else instant_text(entry.ts_event_ns)
        told[key] |= {"state": state, "ended": ended}


def _fill(row: Row, fills: Sequence[Recorded]) -> None:
    if row["state"] not in ("sent", "open"):
        return
    for entry in fills:
        if entry.ts_event_ns > row["first_ns"]:
            said = entry.fields()
            if row["symbol"] in said["symbol"]:
                price = said["price"][said["symbol"].index(row["symbol"])]
                row |= {"state": "filled", "ended": instant_text(entry.ts_event_ns), "price": price}
                return


def _executions(entry: Recorded, said: Mapping[str, Any]) -> Iterator[Row]:
    at = instant_text(entry.ts_event_ns)
    for symbol, qty, price in zip(said["symbol"], said["qty"], said["price"], strict=True):
        yield {
            "at": at,
            "first_ns": entry.ts_event_ns,
            "account": entry.account,
            "run": said["run_id"],
            "symbol": symbol,
            "qty": qty,
            "state": "filled",
            "ended": at,
            "price": price,
            "decision": said["correlation_id"],
            **place_of(entry),
        }


REGISTERS: Mapping[str, Query] = {
    "breaches": breaches,
    "limit-changes": limit_changes,
    "overrides": overrides,
    "approvals": approvals,
    "kills": kills,
    "denials": denials,
    "orders": orders,
}


def register(name: str, history: RecordHistory, scope: Scope) -> Register:
    """The register of that name.

    Raises
    ------
    BadInput
        No such register.
    CheckFailed
        Entries that are no longer what was recorded.
    """
    if name not in REGISTERS:
        raise BadInput(expected=f"one of {', '.join(REGISTERS)}", found=name, where="register")
    return REGISTERS[name](history, scope)
