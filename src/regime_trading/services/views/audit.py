"""The record (``/audit``): entries with before and after, where they stand, how far they are proved; registers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from pydantic import Field, JsonValue

from regime_trading.core.access import Permission
from regime_trading.core.audit import ADMIN_ENV, FIRM_ACCOUNT
from regime_trading.core.canonical import GENESIS
from regime_trading.core.errors import NotThere
from regime_trading.core.events import SEVERITY
from regime_trading.core.instants import EARLIEST_NS, LATEST_NS
from regime_trading.core.jobs import Job
from regime_trading.core.record_query import EntryQuery, fits, key_of
from regime_trading.core.recorded import Recorded
from regime_trading.core.schemas import EventType
from regime_trading.services.registers import REGISTERS, Scope, register
from regime_trading.services.views.base import Asker, Instant, Seconds, Shown, instant
from regime_trading.services.views.decisions import Place, before_of, place_of
from regime_trading.services.views.pages import Page, page_of, require_limit
from regime_trading.services.views.proof import ProofState, ProofStatus
from regime_trading.services.views.redaction import payload_of, safe_payload, safe_rationale
from regime_trading.services.views.sources import FirmSources, ids_of

REGISTER_ROWS = 5_000
_BEFORE_AFTER: Mapping[str, tuple[str, str]] = {
    "DECISION": ("trading_state_before", "trading_state_after"),
    "DEGRADED": ("trading_state_before", "trading_state_after"),
    "MODE_CHANGE": ("before", "after"),
    "CONFIG_ACCEPTED": ("before_hash", "after_hash"),
    "CONFIG_CHANGED": ("before_hash", "after_hash"),
}


class Actor(Shown):
    """Who or what acted."""

    type: Literal["user", "service", "rule", "simulated"]
    id: str = Field(description="pseudonym of a person, name of a service, id of a rule")


class EntryRow(Shown):
    """One entry of the record in a list."""

    event_id: str = Field(description="UUID made of chain and position")
    event_type: str
    severity: Literal["info", "notice", "warning", "critical"]
    account: str = Field(description="firm/account; firm/_firm = the firm's own acts")
    about: str | None = Field(description="account that an act of the firm is about")
    env: str
    run_id: str
    as_of: Instant
    recorded_at: Instant
    actor: Actor
    rule_id: str
    correlation_id: str = Field(description="what it belongs to, such as a decision")
    causation_id: str
    config_hash: str
    reason_codes: tuple[str, ...]
    rationale: str
    proof: ProofStatus = Field(
        description="signed = a checkpoint covers it; witnessed = a witness holds that too"
    )
    redacted: bool
    place: Place


class Entry(EntryRow):
    """One entry whole."""

    before: JsonValue = Field(description="what was in force before; null where nothing changed hands")
    after: JsonValue
    payload: dict[str, JsonValue] = Field(description="everything it says, as recorded")
    code_version: str
    feature_set_version: str
    body: str | None = Field(
        description="the canonical bytes that are hashed; null where amounts are not shown"
    )
    previous: int | None = Field(
        description="position of the entry before in the chain; null = it is the first"
    )
    follows: bool = Field(description="the entry before has the hash this one is bound to")


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries; empty = any. Instants are UTC nanoseconds, both included."""

    account: str = ""
    kinds: tuple[str, ...] = ()
    actor_id: str = ""
    rule_id: str = ""
    env: str = ""
    run_id: str = ""
    chain_id: str = ""
    correlation_id: str = ""
    named: str = ""
    from_ns: int = EARLIEST_NS
    to_ns: int = LATEST_NS


class RegisterInfo(Shown):
    """A register that can be asked for."""

    name: str
    description: str


class RegisterTable(Shown):
    """A register: a list that an allocator or a regulator asks for, from the record alone."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[JsonValue, ...], ...] = Field(description="by time")
    total: int
    truncated: bool = Field(description="there are older rows than are shown; narrow the time")


class ChainReach(Shown):
    """How far one chain is signed and witnessed."""

    chain_id: str
    signed_to: int = Field(description="position of the last entry that a checkpoint covers; 0 = none")
    witnessed_to: int


class Reach(Shown):
    """How far the record is proved: "witnessed up to seq N, 41 s ago"."""

    checkpoint: int = Field(description="number of the last checkpoint; 0 = none")
    made_at: Instant | None
    age_s: Seconds | None
    witnessed_checkpoint: int
    witnessed_at: Instant | None
    witnessed_age_s: Seconds | None
    witnesses: int = Field(description="how many are configured")
    witness_faults: int = Field(description="how many cannot be reached or hold another past")
    checkpoints_ok: bool = Field(description="every checkpoint's signature and link holds")
    chains: tuple[ChainReach, ...]


class Fault(Shown):
    """Where the record does not hold."""

    chain_id: str | None
    seq: int | None
    reason: str


class Verification(Shown):
    """Verdict over the sealed record of the firm, every link read, as a job of the firm came to it."""

    ok: bool
    job_id: str
    checked_at: Instant
    age_s: Seconds
    entries: int
    chains: int
    first_bad: Fault | None = Field(description="the first entry that was changed; null = none was")
    gaps: tuple[Fault, ...] = Field(description="what is missing")
    reach: Reach
    limits: str = Field(description="what this cannot see")


LIMITS = (
    "Entries after the last witnessed checkpoint can be cut off by whoever can write the folder and has the key; "
    "entries that are not sealed yet are not read."
)


def entries(
    sources: FirmSources,
    asker: Asker,
    wanted: EntryFilter | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[EntryRow]:
    """Entries of the record that the asker may read, newest first.

    Acts of the firm are shown to who may read the audit of all of it; to others those about their accounts.

    Raises
    ------
    NotThere
        An account that is filtered for does not exist, or not for this asker.
    BadInput
        A cursor of other filters, or a limit that no page has.
    """
    wanted = wanted or EntryFilter()
    query = _query(sources, asker, wanted)
    asked = ["audit", sources.firm_id, *(str(getattr(wanted, name)) for name in wanted.__slots__)]
    found = sources.record.newest(query, before_of(cursor, asked), require_limit(limit) + 1)
    state = sources.proofs.state()
    return page_of(found, asked, limit, lambda e: EntryRow(**_row(sources, asker, state, e)), key_of)


def entry(sources: FirmSources, asker: Asker, chain_id: str, seq: int) -> Entry:
    """One entry whole, by its place.

    Raises
    ------
    NotThere
        There is none, or not for this asker.
    """
    found = sources.record.entry(chain_id, seq) if seq >= 1 else None
    accounts = sources.readable(asker, Permission.READ_AUDIT)
    if found is None or not fits(_all(sources, asker, accounts), sources.firm_id, found):
        raise NotThere("entry", f"{chain_id} {seq}")
    said, shows = found.fields(), _shows(sources, asker, found)
    before, after = _change(said, shows)
    earlier = sources.record.entry(chain_id, seq - 1) if seq > 1 else None
    return Entry(
        **_row(sources, asker, sources.proofs.state(), found),
        before=before,
        after=after,
        payload=payload_of(said) if shows else safe_payload(said),
        code_version=said["code_version"],
        feature_set_version=said["feature_set_version"],
        body=found.body.decode() if shows else None,
        previous=seq - 1 if seq > 1 else None,
        follows=_follows(found, earlier),
    )


def registers() -> tuple[RegisterInfo, ...]:
    """Registers there are."""
    return tuple(
        RegisterInfo(name=name, description=" ".join((query.__doc__ or name).split("\n\n")[0].split()))
        for name, query in sorted(REGISTERS.items())
    )


def register_of(
    sources: FirmSources,
    asker: Asker,
    name: str,
    account: str = "",
    from_ns: int = EARLIEST_NS,
    to_ns: int = LATEST_NS,
) -> RegisterTable:
    """A register of the whole firm, or of one account.

    Raises
    ------
    NotThere
        No such register or account, or not for this asker: that of the firm is for who may read all of its audit,
        and an asker who is shown no amounts has none.
    """
    if name not in REGISTERS or not _may_register(sources, asker, account):
        raise NotThere("register", f"{name} {account}".strip())
    scope = Scope(sources.firm_id, account.split("/")[1] if account else "", from_ns=from_ns, to_ns=to_ns)
    made = register(name, sources.history, scope)
    shown = made.rows[-REGISTER_ROWS:]  # the newest: what is asked of a register is what it says now
    return RegisterTable(
        name=made.name,
        columns=made.columns,
        rows=tuple(tuple(_cell(row.get(column)) for column in made.columns) for row in shown),
        total=len(made.rows),
        truncated=len(made.rows) > len(shown),
    )


def reach(sources: FirmSources, asker: Asker) -> Reach:
    """How far the record is signed and witnessed, with its age. Chains are those the asker may read."""
    return _reach(sources, asker, sources.proofs.state())


def verification(sources: FirmSources, asker: Asker, job: Job) -> Verification:
    """What a verification of the firm found that is done; for who may read all of its audit.

    Raises
    ------
    NotThere
        The asker may not.
    """
    if not asker.may(Permission.READ_AUDIT, sources.firm_id) or job.finished_ns is None:
        raise NotThere("verification", sources.firm_id)
    said, state = orjson.loads(job.result)["summary"], sources.proofs.state()
    bad = said["integrity"]["first_bad"]
    return Verification(
        ok=said["ok"] and not state.witness_faults,
        job_id=job.job_id,
        checked_at=instant(job.finished_ns) or "",
        age_s=asker.age_s(job.finished_ns),
        entries=said["entries"],
        chains=len(said["chains"]),
        first_bad=None if bad is None else _fault(bad),
        gaps=tuple(map(_fault, said["completeness"]["gaps"][:100])),
        reach=_reach(sources, asker, state),
        limits=LIMITS,
    )


# --- who may see what ---------------------------------------------------------------------------------------


def _query(sources: FirmSources, asker: Asker, wanted: EntryFilter) -> EntryQuery:
    accounts = sources.readable(asker, Permission.READ_AUDIT)
    whole = asker.may(Permission.READ_AUDIT, sources.firm_id)
    envs = (wanted.env,) if wanted.env else ()
    if wanted.account == f"{sources.firm_id}/{FIRM_ACCOUNT}":
        envs = (ADMIN_ENV,)
    elif wanted.account:
        sources.require(asker, wanted.account, Permission.READ_AUDIT)
        accounts, whole = (wanted.account,), False
    return EntryQuery(
        accounts=ids_of(accounts),
        firm_acts=whole,
        kinds=wanted.kinds,
        envs=envs,
        chain_id=wanted.chain_id,
        run_id=wanted.run_id,
        rule_id=wanted.rule_id,
        actor_id=wanted.actor_id,
        correlation_id=wanted.correlation_id,
        named=wanted.named,
        from_ns=wanted.from_ns,
        to_ns=wanted.to_ns,
    )


def _all(sources: FirmSources, asker: Asker, accounts: tuple[str, ...]) -> EntryQuery:
    whole = asker.may(Permission.READ_AUDIT, sources.firm_id)
    return EntryQuery(accounts=ids_of(accounts), firm_acts=whole)


def _shows(sources: FirmSources, asker: Asker, entry: Recorded) -> bool:
    """Whether amounts in an entry are shown: those of its account, in an act of the firm those of all accounts."""
    if not entry.account.endswith(f"/{FIRM_ACCOUNT}"):
        return asker.shows_amounts(entry.account)
    about = str(entry.fields().get("account", ""))
    concerned = [about] if about else list(sources.standings)
    return all(asker.shows_amounts(account) for account in concerned)


def _may_register(sources: FirmSources, asker: Asker, account: str) -> bool:
    if account:
        known = account in sources.standings
        return known and bool(asker.among(Permission.READ_AUDIT, (account,))) and asker.shows_amounts(account)
    whole = asker.may(Permission.READ_AUDIT, sources.firm_id)
    return whole and all(map(asker.shows_amounts, sources.standings))


# --- telling ------------------------------------------------------------------------------------------------


def _row(sources: FirmSources, asker: Asker, state: ProofState, entry: Recorded) -> dict[str, Any]:
    said, shows = entry.fields(), _shows(sources, asker, entry)
    return {
        "event_id": said["event_id"],
        "event_type": entry.event_type,
        "severity": SEVERITY[EventType(entry.event_type)].value,
        "account": entry.account,
        "about": said.get("account"),
        "env": said["env"],
        "run_id": said["run_id"],
        "as_of": instant(entry.ts_event_ns),
        "recorded_at": instant(int(said["ts_recorded_ns"])),
        "actor": Actor(**said["actor"]),
        "rule_id": said["rule_id"],
        "correlation_id": said["correlation_id"],
        "causation_id": said["causation_id"],
        "config_hash": said["config_hash"],
        "reason_codes": tuple(said["reason_codes"]),
        "rationale": said["rationale"] if shows else safe_rationale(said),
        "proof": state.of(entry.chain_id, entry.seq),
        "redacted": not shows,
        "place": place_of(entry, said),
    }


def _change(said: Mapping[str, Any], shows: bool) -> tuple[JsonValue, JsonValue]:
    """What was in force before and after; of a changed configuration key by key."""
    if shows and said.get("changes"):
        changes = said["changes"]
        return ({c["path"]: c["before"] for c in changes}, {c["path"]: c["after"] for c in changes})
    first, second = _BEFORE_AFTER.get(said["event_type"], ("", ""))
    return said.get(first), said.get(second)


def _follows(found: Recorded, earlier: Recorded | None) -> bool:
    if found.seq == 1:
        return found.prev_hash == GENESIS
    return earlier is not None and earlier.entry_hash == found.prev_hash


def _cell(value: Any) -> JsonValue:
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _reach(sources: FirmSources, asker: Asker, state: ProofState) -> Reach:
    accounts = {*sources.readable(asker, Permission.READ_AUDIT)}
    if asker.may(Permission.READ_AUDIT, sources.firm_id):
        accounts.add(f"{sources.firm_id}/{FIRM_ACCOUNT}")
    made = state.log.checkpoints
    witnessed = state.reached
    last_ns = made[-1].ts_ns if made else None
    witnessed_ns = made[witnessed - 1].ts_ns if witnessed else None
    return Reach(
        checkpoint=len(made),
        made_at=instant(last_ns),
        age_s=None if last_ns is None else asker.age_s(last_ns),
        witnessed_checkpoint=witnessed,
        witnessed_at=instant(witnessed_ns),
        witnessed_age_s=None if witnessed_ns is None else asker.age_s(witnessed_ns),
        witnesses=sources.proofs.witnesses,
        witness_faults=len(state.witness_faults),
        checkpoints_ok=not state.log.faults and not state.log.gaps,
        chains=tuple(
            ChainReach(chain_id=chain, signed_to=size, witnessed_to=state.witnessed.get(chain, 0))
            for chain, size in sorted(state.signed.items())
            if "/".join(chain.split("/")[-2:]) in accounts
        ),
    )


def _fault(said: Mapping[str, Any]) -> Fault:
    return Fault(chain_id=said["chain"], seq=said["seq"], reason=said["reason"])
