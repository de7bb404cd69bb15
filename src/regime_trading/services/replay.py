"""Replay: every recorded decision made again from its stored inputs, and compared to the byte.

Nothing but the record and the stored inputs is read: no prices, no configuration folder. A decision of this code
version must come out as the bytes that were recorded. One of another version may be worded or hashed differently, as
long as it means the same; what it means differently is told, and fails.
"""

from __future__ import annotations

import datetime as dt
import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from itertools import groupby
from typing import Any

import orjson

from regime_trading.core.audit import chain_of, event_of
from regime_trading.core.decision_inputs import RecordedRun
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.event_payloads import UNDECIDED
from regime_trading.core.instants import LATEST_NS, instant_text
from regime_trading.core.ports import InputStore, RecordedDecisions
from regime_trading.core.rules import RuleParams
from regime_trading.core.schemas import AuditEvent
from regime_trading.core.trader_profile import recorded_rules
from regime_trading.engine.cycle_inputs import CycleInputs, join_key, joined
from regime_trading.engine.inputs import cycles_of
from regime_trading.engine.record import market_hash
from regime_trading.engine.replay import Difference, changed_keys, decide_again, differences
from regime_trading.guards.chain import Knobs
from regime_trading.guards.snapshot import stack_params

LISTED = 100  #: mismatches that are listed; all are counted
SHOWN = 10  #: differences that are listed of each kind

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Which decisions; everything where nothing is said. Days are UTC dates, both included."""

    run_id: str | None = None
    first_day: dt.date | None = None
    last_day: dt.date | None = None
    accounts: tuple[str, ...] = ()

    def wants(self, run: RecordedRun) -> bool:
        """Whether a run may have decisions that are asked for."""
        return self.run_id in (None, run.run_id) and (not self.accounts or run.account in self.accounts)

    def wants_at(self, ts_ns: int) -> bool:
        """Whether a decision at this time is asked for."""
        day = dt.datetime.fromtimestamp(ts_ns // 1_000_000_000, dt.UTC).date()
        return (self.first_day or day) <= day <= (self.last_day or day)


@dataclass(frozen=True, slots=True)
class ReplayDeps:
    """What the service reaches the world through."""

    recorded: tuple[RecordedDecisions, ...]
    inputs: InputStore
    code_version: str


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A decision that does not come out as it was recorded.

    Parameters
    ----------
    kind : str
        ``inputs_missing``, ``inputs_corrupt``, ``not_repeatable`` (deciding failed), ``not_equal`` (of this code
        version), ``not_readable`` (an entry that is no decision).
    what : tuple of str
        Keys of the entry that differ.
    detail : str
        The file, or the reason.
    """

    kind: str
    chain: str
    seq: int
    ts_event: str
    what: tuple[str, ...] = ()
    detail: str = ""


@dataclass(slots=True)
class Replayed:
    """Tally of a replay. ``equal`` decisions are so to the byte, ``same_meaning`` ones of another code version in all
    that they mean; ``held`` entries say that a run was held back, so nothing was decided."""

    decisions: int = 0
    equal: int = 0
    same_meaning: int = 0
    held: int = 0
    mismatched: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    differing: int = 0
    differences: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    versions: Counter[str] = field(default_factory=Counter)

    @property
    def ok(self) -> bool:
        return not self.mismatched and not self.differing

    def answer(self, code_version: str) -> dict[str, Any]:
        """The ``--json`` answer (``contracts.md`` 14)."""
        return {
            "ok": self.ok,
            "decisions": self.decisions,
            "equal": self.equal,
            "same_meaning": self.same_meaning,
            "held": self.held,
            "mismatched": self.mismatched,
            "mismatches": [asdict(one) for one in self.mismatches],
            "differing": self.differing,
            "differences": {
                kind: {"count": self.kinds[kind], "first": shown} for kind, shown in self.differences.items()
            },
            "code_version": code_version,
            "recorded_by": dict(sorted(self.versions.items())),
        }

    def miss(self, event: AuditEvent, kind: str, what: Sequence[str] = (), detail: str = "") -> None:
        """Count a mismatch."""
        self.mismatched += 1
        if len(self.mismatches) < LISTED:
            at = instant_text(event.ts_event_ns)
            self.mismatches.append(Mismatch(kind, chain_of(event), event.seq, at, tuple(what), detail))

    def differ(self, event: AuditEvent, found: Sequence[Difference]) -> None:
        """Count what a decision means differently."""
        self.differing += 1
        place = {"chain": chain_of(event), "seq": event.seq, "ts_event": instant_text(event.ts_event_ns)}
        for one in found:
            self.kinds[one.kind] += 1
            listed = self.differences.setdefault(one.kind, [])
            if len(listed) < SHOWN:
                listed.append(place | {"name": one.name, "before": one.before, "after": one.after})


def replay(request: ReplayRequest, deps: ReplayDeps, progress: Progress | None = None) -> Replayed:
    """Make every chosen decision again.

    Raises
    ------
    BadInput
        There is no such decision in the record.
    CheckFailed
        A file of the record that cannot be read.
    """
    known = sorted({run for source in deps.recorded for run in source.runs()})
    chosen = [run for run in known if request.wants(run)]
    run_ids = sorted({run.run_id for run in chosen})
    told = Replayed()
    for n, run_id in enumerate(run_ids):
        _replay_run(run_id, [run for run in chosen if run.run_id == run_id], request, deps, told)
        if progress is not None:
            progress("replay", n + 1, len(run_ids))
    if not told.decisions and not told.held:
        found = ", ".join(sorted({run.run_id for run in known})[:10]) or "no decisions"
        raise BadInput(
            expected="recorded decisions of that run, days and accounts", found=found, where="record"
        )
    return told


def _replay_run(
    run_id: str, runs: Sequence[RecordedRun], request: ReplayRequest, deps: ReplayDeps, told: Replayed
) -> None:
    """Replay one run: its decisions as their time comes, so that only those without inputs pile up.

    A second pass looks for the inputs of decisions that were not where time has them.
    """
    firms = sorted({run.firm_id for run in runs})
    feed, waiting = _Feed(runs, request, deps, told), dict[str, list[AuditEvent]]()
    knobs, corrupt = _Knobs(deps.inputs), dict[str, str]()
    for _ in range(2):
        for cycle in _cycles(firms, run_id, deps.inputs, corrupt):
            feed.until(cycle.view.market.ts_ns, waiting)
            mine = {name: waiting.pop(name) for name in cycle.decision_ids if name in waiting}
            if mine:
                _replay_cycle(cycle, mine, knobs, deps.code_version, told)
        feed.until(LATEST_NS, waiting)
        if not waiting:
            return
    for event in (event for events in waiting.values() for event in events):
        if event.firm_id in corrupt:
            told.miss(event, "inputs_corrupt", detail=corrupt[event.firm_id])
        else:
            told.miss(event, "inputs_missing", detail=f"no stored inputs in run {run_id} of {event.firm_id}")


class _Feed:
    """Recorded decisions of one run in the order of time; an entry that two places hold comes once."""

    def __init__(
        self, runs: Sequence[RecordedRun], request: ReplayRequest, deps: ReplayDeps, told: Replayed
    ) -> None:
        self._request, self._told = request, told
        streams = (source.decisions(run) for run in runs for source in deps.recorded)
        self._events = heapq.merge(*streams, key=_place)
        self._next: AuditEvent | None = None
        self._step()

    def until(self, ts_ns: int, waiting: dict[str, list[AuditEvent]]) -> None:
        """Put everything up to ``ts_ns`` where it waits for its inputs, by decision id."""
        while self._next is not None and self._next.ts_event_ns <= ts_ns:
            event = self._next
            self._step()
            if self._request.wants_at(event.ts_event_ns):
                self._put(event, waiting)

    def _step(self) -> None:
        before = self._next
        self._next = next((event for event in self._events if event != before), None)

    def _put(self, event: AuditEvent, waiting: dict[str, list[AuditEvent]]) -> None:
        try:
            event_of(event.body)
        except BadInput as err:
            self._told.decisions += 1
            self._told.miss(event, "not_readable", detail=str(err))
            return
        entry = orjson.loads(event.body)
        if _is_held(entry):
            self._told.held += 1
            return
        self._told.decisions += 1
        self._told.versions[entry["code_version"]] += 1
        waiting.setdefault(str(entry.get("decision_id")), []).append(event)


def _is_held(entry: Mapping[str, Any]) -> bool:
    """Whether an entry says that a run was held back by its judge, or by people: nothing was decided."""
    codes = entry["reason_codes"]
    return "findings" in entry and "snapshot_hash" not in entry and len(codes) == 1 and codes[0] in UNDECIDED


def _place(event: AuditEvent) -> tuple[int, str, str, str, int]:
    return event.ts_event_ns, event.env, event.firm_id, event.account_id, event.seq


def _cycles(
    firms: Sequence[str], run_id: str, inputs: InputStore, corrupt: dict[str, str]
) -> Iterator[CycleInputs]:
    """Stored cycles of a run in the order of time, those of several firms at one instant in one."""
    streams = [_firm_cycles(firm, run_id, inputs, corrupt) for firm in firms]
    merged = heapq.merge(*streams, key=lambda cycle: cycle.view.market.ts_ns)
    for _, together in groupby(merged, key=join_key):
        group: dict[str, CycleInputs] = {}
        for cycle in together:
            firm = cycle.view.books.accounts[0].partition("/")[0]
            if firm in group:  # two cycles of one firm must not see each other
                yield joined(list(group.values()))
                group = {}
            group[firm] = cycle
        yield joined(list(group.values()))


def _firm_cycles(
    firm_id: str, run_id: str, inputs: InputStore, corrupt: dict[str, str]
) -> Iterator[CycleInputs]:
    """Stored cycles of one firm, each with the digest of the market that was read back; what cannot be read is named
    in ``corrupt``."""
    for part in inputs.parts(firm_id, run_id):
        try:
            for cycle in cycles_of(inputs.read(part)):
                yield replace(cycle, market=market_hash(cycle.view.market))
        except (BadInput, CheckFailed) as err:
            corrupt[firm_id] = str(err)


class _Knobs:
    """Parameters of accounts as arrays, from the stored configurations of their firms."""

    def __init__(self, inputs: InputStore) -> None:
        self._inputs = inputs
        self._rules = lru_cache(maxsize=1024)(self._read)
        self._stacked = lru_cache(maxsize=64)(self._stack)

    def of(self, cycle: CycleInputs) -> Knobs:
        """``stack_params`` of all accounts of a cycle."""
        firms = tuple(name.partition("/")[0] for name in cycle.view.books.accounts)
        return self._stacked(firms, cycle.config_hashes, cycle.view.market.symbols)

    def _stack(self, firms: tuple[str, ...], hashes: tuple[str, ...], symbols: tuple[str, ...]) -> Knobs:
        return stack_params([self._rules(*one) for one in zip(firms, hashes, strict=True)], symbols)

    def _read(self, firm_id: str, config_hash: str) -> Mapping[str, RuleParams]:
        return recorded_rules(self._inputs.config(firm_id, config_hash))


def _replay_cycle(
    cycle: CycleInputs,
    recorded: Mapping[str, Sequence[AuditEvent]],
    knobs: _Knobs,
    code_version: str,
    told: Replayed,
) -> None:
    try:
        known = knobs.of(cycle)
    except (BadInput, CheckFailed) as err:
        kind = "inputs_corrupt" if isinstance(err, CheckFailed) else "inputs_missing"
        for event in (e for events in recorded.values() for e in events):
            told.miss(event, kind, detail=str(err))
        return
    for n in range(
        max(map(len, recorded.values()))
    ):  # one decision id has one entry, unless somebody added another
        events = {name: found[n] for name, found in recorded.items() if n < len(found)}
        entries = {name: orjson.loads(event.body) for name, event in events.items()}
        try:
            made = decide_again(cycle, known, entries)
        except Exception as err:
            for event in events.values():
                told.miss(event, "not_repeatable", detail=f"{type(err).__name__}: {err}")
            continue
        for name, event in events.items():
            _compare(event, entries[name], made[name], code_version, told)


def _compare(
    event: AuditEvent, entry: Mapping[str, Any], now: bytes, code_version: str, told: Replayed
) -> None:
    if now == event.body:
        told.equal += 1
    elif entry["code_version"] == code_version:
        told.miss(event, "not_equal", changed_keys(entry, orjson.loads(now)))
    elif found := differences(entry, orjson.loads(now)):
        told.differ(event, found)
    else:
        told.same_meaning += 1
