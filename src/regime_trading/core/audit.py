"""The audit chain: how a fact becomes an entry, and how anyone checks a chain of them.

An entry is one canonical JSON object (header fields and payload at one level) without its hashes. Its hash
binds it to the entry before it (:func:`regime_trading.core.canonical.entry_hash`), its ``seq`` counts from 1
without gaps, and its time never runs backwards. Instants are decimal strings of UTC nanoseconds, because
they do not fit the 53 bits of a canonical integer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType
from typing import Any, Literal

import orjson

from regime_trading.core.canonical import GENESIS, canonical_json, chain_hashes, entry_hash, sha256_hex
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import ActorType, AuditEvent, EventType, Mode

SCHEMA_NAME = "PMAuditEvent"
SCHEMA_VERSION = 1
PLATFORM = "_platform"
FIRM_ACCOUNT = (
    "_firm"  #: the account under which a firm's own acts are recorded: configuration, overrides, keys
)
ADMIN_ENV = (
    "admin"  #: the environment of those acts and of the platform's; they belong to no account's trading
)
GATE_RUNS = "_gate"  #: the folder that RL rows of the gate's dry runs share (no run can have this id)
Dataset = Literal["audit", "state", "action", "transition"]

_IDENT = re.compile(r"[a-z0-9-]{1,40}")
_TRADING_DAY, _GATE_RUN = re.compile(r"\d{4}-\d{2}-\d{2}"), re.compile(r"pm-\d{8}-[0-9a-f]{12}")
_ENVS = frozenset(mode.value for mode in Mode) | {ADMIN_ENV}
_STRICT = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_CONTAINERS = frozenset({dict, list, tuple})
_PLAIN = _CONTAINERS | {str, bool, NoneType, int}


@dataclass(frozen=True, slots=True)
class EventHeader:
    """Who, what, when of one entry.

    Parameters
    ----------
    seq : int
        Position in the chain, from 1, without gaps.
    ts_event_ns : int
        When it happened, UTC nanoseconds.
    rule_id : str
        The binding rule; empty where no rule is involved.
    correlation_id, causation_id : str
        What the entry belongs to (a decision) and the ``event_id`` that caused it; empty where there is none.
    ts_recorded_ns : int or None
        When it was recorded. In a dry run it is ``ts_event_ns`` and may be left out;
        elsewhere it is required.
    """

    firm_id: str
    account_id: str
    run_id: str
    env: str
    seq: int
    ts_event_ns: int
    event_type: EventType
    actor_type: ActorType
    actor_id: str
    feature_set_version: str
    config_hash: str
    code_version: str
    rule_id: str = ""
    rationale: str = ""
    reason_codes: tuple[str, ...] = ()
    correlation_id: str = ""
    causation_id: str = ""
    ts_recorded_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ChainEntry:
    """An event with the two hashes that tie it into its chain."""

    event: AuditEvent
    prev_hash: str
    entry_hash: str


@dataclass(frozen=True, slots=True)
class ChainCheck:
    """Verdict over consecutive entries.

    Parameters
    ----------
    entries : int
        Entries that hold, counted up to the first bad one.
    head : str
        Hash of the last entry that holds.
    first_bad : int or None
        Sequence number at which the chain first fails; None where all of it holds.
    reason : str
        What failed there; empty where nothing did.
    """

    entries: int
    head: str
    first_bad: int | None = None
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.first_bad is None


@dataclass(frozen=True, slots=True)
class SealedPart:
    """What the manifest says of one sealed file.

    Parameters
    ----------
    path : str
        Relative to the artifacts folder.
    rows, seq_from, seq_to : int
        Number of rows and the sequence numbers of the first and the last; the gate's dry runs, whose RL rows lie
        together in the order of their times, are counted from 1.
    sha256 : str
        Of the file.
    schema_fingerprint : str
        Of its column names and types.
    prev_hash, first_entry_hash, last_entry_hash : str
        Where the part hangs in its chain; empty for RL parts.
    content_hash : str
        Of the columns of an RL part, whatever library wrote the file; empty for audit parts, whose
        ``last_entry_hash`` says as much.
    """

    path: str
    rows: int
    seq_from: int
    seq_to: int
    sha256: str
    schema_fingerprint: str
    prev_hash: str = ""
    first_entry_hash: str = ""
    last_entry_hash: str = ""
    content_hash: str = ""


@dataclass(frozen=True, slots=True)
class SealedHead:
    """How far a chain is sealed: its last sealed entry (0 = none), and the last that is in the sealed record only."""

    seq: int
    entry_hash: str
    dropped_seq: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """Entries of a chain, or RL rows of a trail, that wait to be sealed: how many, and the time of the oldest, UTC
    nanoseconds."""

    chain_id: str
    rows: int
    oldest_ns: int


def require_ident(value: str, where: str) -> str:
    """``value`` if it is a legal id, ``[a-z0-9-]{1,40}``; such an id is safe as one folder name.

    Raises
    ------
    BadInput
        Anything else.
    """
    if not (isinstance(value, str) and _IDENT.fullmatch(value)):
        raise BadInput(expected="an id of a-z, 0-9 and '-', 1 to 40 long", found=repr(value), where=where)
    return value


def require_firm(firm_id: str) -> str:
    """``firm_id`` if it names a tenant: a legal id, or ``_platform`` for the platform's own events.

    Raises
    ------
    BadInput
        Anything else.
    """
    return firm_id if firm_id == PLATFORM else require_ident(firm_id, "firm_id")


def require_account(firm_id: str, account_id: str) -> str:
    """Full name ``firm/account`` of a legal pair; ``_platform`` has one account, ``_platform``, and every firm has
    ``_firm`` for its own acts.

    Raises
    ------
    BadInput
        An illegal firm or account id.
    """
    if (firm_id, account_id) != (PLATFORM, PLATFORM):
        require_ident(firm_id, "firm_id")
        if account_id != FIRM_ACCOUNT:
            require_ident(account_id, "account_id")
    return f"{firm_id}/{account_id}"


@lru_cache(maxsize=65_536)
def chain_id(env: str, run_id: str, firm_id: str, account_id: str) -> str:
    """Name of a chain: one per account and run in dry runs, one per account elsewhere (``contracts.md`` 8).

    Acts of a firm or of the platform are in ``admin/<firm>/_firm`` and ``admin/_platform/_platform``; no other account
    has an ``admin`` chain.

    Raises
    ------
    BadInput
        An unknown environment or an illegal id.
    """
    if env not in _ENVS:
        raise BadInput(expected="one of " + ", ".join(sorted(_ENVS)), found=repr(env), where="env")
    require_ident(run_id, "run_id")
    account = require_account(firm_id, account_id)
    if env == ADMIN_ENV and account_id not in (FIRM_ACCOUNT, PLATFORM):
        raise BadInput(expected=f"account {FIRM_ACCOUNT} in {ADMIN_ENV}", found=account, where="account_id")
    return f"{Mode.DRY_RUN.value}/{run_id}/{account}" if env == Mode.DRY_RUN else f"{env}/{account}"


def is_gate_run(env: str, run_id: str) -> bool:
    """Whether a run is the gate's, whose decisions of one account follow each other from run to run: a trading day, or
    in dry runs a single decision."""
    return bool((_GATE_RUN if env == Mode.DRY_RUN else _TRADING_DAY).fullmatch(run_id))


def rl_folder(env: str, run_id: str) -> str:
    """In which folder of an account the RL rows of a run lie: its own, but those of the gate's dry runs, each of which
    is a single decision, in one together."""
    return GATE_RUNS if env == Mode.DRY_RUN and is_gate_run(env, run_id) else run_id


def trail_of(env: str, run_id: str, firm_id: str, account_id: str) -> str:
    """Name of the trail that a decision is part of, where each follows the one before: in dry runs that of its run, but
    of the gate, whose decisions lead from run to run, that of its account."""
    if is_gate_run(env, run_id):
        return f"{env}/{require_account(firm_id, account_id)}"
    return chain_id(env, run_id, firm_id, account_id)


def chain_of(event: AuditEvent) -> str:
    """Chain an event belongs to."""
    return chain_id(event.env, event.run_id, event.firm_id, event.account_id)


def event_id(chain: str, seq: int) -> str:
    """Identifier of the entry ``seq`` of ``chain``: a UUID (version 8, RFC 9562) made of their SHA-256."""
    h = sha256_hex(f"{chain}#{seq}".encode())
    return f"{h[:8]}-{h[8:12]}-8{h[13:16]}-{'89ab'[int(h[16], 16) & 3]}{h[17:20]}-{h[20:32]}"


def event_body(header: EventHeader, payload: Mapping[str, Any], *, trusted: bool = False) -> bytes:
    """Canonical JSON of one entry: header fields and ``payload`` at one level.

    ``trusted`` leaves out the search for floats; only for payloads built by code that writes none.

    Raises
    ------
    BadInput
        A payload key that the header owns, a float, an integer beyond 53 bits (instants and money travel as
        decimal strings, weights as ``*_e9`` integers), an illegal id, ``seq < 1``, or a missing or (in a dry
        run) deviating ``ts_recorded_ns``.
    """
    entry = _header_fields(header)
    taken = entry.keys() & payload.keys()
    if taken:
        raise BadInput(
            expected="payload keys beside the header's", found=", ".join(sorted(taken)), where="payload"
        )
    entry.update(payload)
    return _canonical(entry, trusted)


def audit_event(header: EventHeader, payload: Mapping[str, Any], *, trusted: bool = False) -> AuditEvent:
    """The entry as an event: its body and the columns projected from it. Arguments as :func:`event_body`."""
    event = AuditEvent(
        header.firm_id,
        header.account_id,
        header.run_id,
        header.env,
        header.seq,
        header.ts_event_ns,
        header.event_type.value,
        header.rule_id,
        event_body(header, payload, trusted=trusted),
        header.feature_set_version,
    )
    object.__setattr__(event, "projected", True)
    return event


def event_of(body: bytes) -> AuditEvent:
    """The event a stored body describes.

    Raises
    ------
    BadInput
        Bytes that are not the canonical form of an entry of a known schema version.
    """
    try:
        entry = orjson.loads(body)
        if (entry["schema_name"], entry["schema_version"]) != (SCHEMA_NAME, SCHEMA_VERSION):
            raise ValueError(f"schema {entry['schema_name']} {entry['schema_version']}")
        if orjson.dumps(entry, option=_STRICT) != body:
            raise ValueError("bytes that are not in canonical form")
        return AuditEvent(
            entry["firm_id"],
            entry["account_id"],
            entry["run_id"],
            entry["env"],
            entry["seq"],
            int(entry["ts_event_ns"]),
            entry["event_type"],
            entry["rule_id"],
            body,
            entry["feature_set_version"],
        )
    except (ValueError, KeyError, TypeError) as err:
        raise BadInput(
            expected=f"a canonical {SCHEMA_NAME} of version {SCHEMA_VERSION}",
            found=f"{type(err).__name__}: {err}",
            where="body",
        ) from err


def link(events: Sequence[AuditEvent], prev_hash: str = GENESIS) -> list[ChainEntry]:
    """Consecutive events with their hashes, the first bound to ``prev_hash``."""
    hashes = chain_hashes(prev_hash, [event.body for event in events])
    return [
        ChainEntry(event, before, own)
        for event, before, own in zip(events, [prev_hash, *hashes], hashes, strict=False)
    ]


def verify_chain(
    entries: Iterable[ChainEntry],
    *,
    chain: str,
    first_seq: int = 1,
    prev_hash: str = GENESIS,
    not_before_ns: int = -(2**63),
) -> ChainCheck:
    """Check every entry and every link: no skipping.

    An entry holds where its body is canonical and says what its columns say, belongs to ``chain``, has the
    expected ``seq``, a time not before its predecessor's, and both hashes follow from the bodies. What this
    cannot see is a tail that was cut off: compare ``head`` with a receipt or a checkpoint for that.

    Parameters
    ----------
    entries : iterable of ChainEntry
        In chain order.
    chain : str
        Chain they must belong to (:func:`chain_id`).
    first_seq : int
        Sequence number expected of the first entry.
    prev_hash : str
        Hash of the entry before the first; ``GENESIS`` at the start of a chain.
    not_before_ns : int
        Time of the entry before the first, UTC nanoseconds.
    """
    seq, head, ts_ns = first_seq, prev_hash, not_before_ns
    for entry in entries:
        reason = _fault(entry, chain, seq, head, ts_ns)
        if reason:
            return ChainCheck(seq - first_seq, head, seq, reason)
        head, ts_ns = entry.entry_hash, entry.event.ts_event_ns
        seq += 1
    return ChainCheck(seq - first_seq, head)


def continuation_fault(events: Sequence[AuditEvent], chain: str, seq: int, not_before_ns: int) -> str:
    """Why ``events`` cannot follow entry ``seq`` of ``chain``; empty where they can.

    What :func:`verify_chain` asks of entries before they have hashes. Events whose columns were made together with
    their body are not read again.
    """
    for event in events:
        seq += 1
        if event.seq != seq:
            return f"entry {seq}: seq {event.seq} where {seq} follows"
        if event.ts_event_ns < not_before_ns:
            return f"entry {seq}: time before the entry before"
        not_before_ns = event.ts_event_ns
        try:
            if not event.projected and event_of(event.body) != event:
                return f"entry {seq}: columns differ from the body"
            if chain_of(event) != chain:
                return f"entry {seq}: entry of chain {chain_of(event)}"
        except BadInput as err:
            return f"entry {seq}: {err}"
    return ""


def _fault(entry: ChainEntry, chain: str, seq: int, head: str, not_before_ns: int) -> str:
    event = entry.event
    if event.seq != seq:
        return f"seq {event.seq} where {seq} follows"
    if entry.prev_hash != head:
        return "prev_hash is not the hash of the entry before"
    if entry_hash(head, event.body) != entry.entry_hash:
        return "entry_hash does not follow from the body"
    if event.ts_event_ns < not_before_ns:
        return "time before the entry before"
    try:
        if event_of(event.body) != event:
            return "columns differ from the body"
        if chain_of(event) != chain:
            return f"entry of chain {chain_of(event)}"
    except BadInput as err:
        return str(err)
    return ""


def _header_fields(header: EventHeader) -> dict[str, Any]:
    chain = chain_id(header.env, header.run_id, header.firm_id, header.account_id)
    if header.seq < 1:
        raise BadInput(expected="a sequence number from 1", found=str(header.seq), where="seq")
    return {
        "schema_name": SCHEMA_NAME,
        "schema_version": SCHEMA_VERSION,
        "event_id": event_id(chain, header.seq),
        "firm_id": header.firm_id,
        "account_id": header.account_id,
        "run_id": header.run_id,
        "env": header.env,
        "feature_set_version": header.feature_set_version,
        "seq": header.seq,
        "ts_event_ns": str(header.ts_event_ns),
        "ts_recorded_ns": str(_recorded_ns(header)),
        "event_type": header.event_type.value,
        "rule_id": header.rule_id,
        "actor": {"type": header.actor_type.value, "id": header.actor_id},
        "correlation_id": header.correlation_id,
        "causation_id": header.causation_id,
        "config_hash": header.config_hash,
        "code_version": header.code_version,
        "rationale": header.rationale,
        "reason_codes": list(header.reason_codes),
    }


def _recorded_ns(header: EventHeader) -> int:
    if header.env == Mode.DRY_RUN:
        if header.ts_recorded_ns not in (None, header.ts_event_ns):
            raise BadInput(
                expected="ts_recorded_ns = ts_event_ns in a dry run",
                found=str(header.ts_recorded_ns),
                where="ts_recorded_ns",
            )
        return header.ts_event_ns
    if header.ts_recorded_ns is None:
        raise BadInput(expected="the instant of recording", found="none", where="ts_recorded_ns")
    return header.ts_recorded_ns


def _canonical(entry: dict[str, Any], trusted: bool) -> bytes:
    """:func:`canonical_json`, with a quick yes where exact types alone show that it would accept."""
    try:
        if trusted or _plain(entry):
            return orjson.dumps(entry, option=_STRICT)
    except orjson.JSONEncodeError:
        pass
    try:
        return canonical_json(entry)
    except orjson.JSONEncodeError as err:
        raise BadInput(expected="valid Unicode text", found=str(err), where="payload") from err


def _plain(value: Any) -> bool:
    """Only str, bool, None, int, lists, tuples and dicts with ASCII keys, by exact type, at every depth."""
    level: list[Any] = [value]
    keys: list[Any] = []
    while level:
        items: list[Any] = []
        for container in level:
            if type(container) is dict:
                keys.extend(container)
                items.extend(container.values())
            else:
                items.extend(container)
        kinds = set(map(type, items))
        if not kinds <= _PLAIN:
            return False
        level = [item for item in items if type(item) in _CONTAINERS] if kinds & _CONTAINERS else []
    return set(map(type, keys)) <= {str} and "".join(keys).isascii()
