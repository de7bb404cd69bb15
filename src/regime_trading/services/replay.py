"""Replay: every recorded decision made again from its stored inputs, and compared to the byte.

Nothing but the record and the stored inputs is read: no prices, no configuration folder. A decision of this code
version must come out as the bytes that were recorded. One of another version may be worded or hashed differently, as
long as it means the same; what it means differently is told, and fails.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Any

import orjson

from regime_trading.core.audit import chain_of, event_of
from regime_trading.core.decision_inputs import RecordedRun
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.instants import instant_text
from regime_trading.core.ports import InputStore, RecordedDecisions
from regime_trading.core.rules import RuleParams
from regime_trading.core.schemas import AuditEvent
from regime_trading.core.trader_profile import recorded_rules
from regime_trading.engine.inputs import CycleInputs, cycles_of
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
    told = Replayed()
    together = groupby(
        sorted(chosen, key=lambda r: (r.firm_id, r.run_id)), key=lambda r: (r.firm_id, r.run_id)
    )
    for n, ((firm_id, run_id), runs) in enumerate(together):
        _replay_run(firm_id, run_id, tuple(runs), request, deps, told)
        if progress is not None:
            progress("replay", n + 1, len({(run.firm_id, run.run_id) for run in chosen}))
    if not told.decisions and not told.held:
        found = ", ".join(sorted({run.run_id for run in known})[:10]) or "no decisions"
        raise BadInput(
            expected="recorded decisions of that run, days and accounts", found=found, where="record"
        )
    return told


def _replay_run(
    firm_id: str,
    run_id: str,
    runs: Sequence[RecordedRun],
    request: ReplayRequest,
    deps: ReplayDeps,
    told: Replayed,
) -> None:
    """Replay one run of one firm."""
    waiting = _recorded(runs, request, deps, told)
    knobs = _Knobs(firm_id, deps.inputs)
    corrupt = list[str]()
    for cycle in _cycles(firm_id, run_id, deps.inputs, corrupt):
        mine = {name: waiting[name] for name in cycle.decision_ids if name in waiting}
        if mine:
            _replay_cycle(cycle, mine, knobs, deps.code_version, told)
            for name in mine:
                del waiting[name]
    for event in sorted((e for events in waiting.values() for e in events), key=lambda e: e.ts_event_ns):
        kind, detail = "inputs_missing", f"no stored inputs in run {run_id} of {firm_id}"
        if corrupt:
            kind, detail = "inputs_corrupt", "; ".join(corrupt)
        told.miss(event, kind, detail=detail)


def _recorded(
    runs: Sequence[RecordedRun], request: ReplayRequest, deps: ReplayDeps, told: Replayed
) -> dict[str, list[AuditEvent]]:
    """Decisions that are asked for, by their ids; the same entry in two places counts once."""
    found: dict[str, list[AuditEvent]] = {}
    for event in dict.fromkeys(e for run in runs for source in deps.recorded for e in source.decisions(run)):
        if not request.wants_at(event.ts_event_ns):
            continue
        try:
            event_of(event.body)
        except BadInput as err:
            told.decisions += 1
            told.miss(event, "not_readable", detail=str(err))
            continue
        entry = orjson.loads(event.body)
        if entry.get("outcome") == "hold":
            told.held += 1
            continue
        told.decisions += 1
        told.versions[entry["code_version"]] += 1
        found.setdefault(str(entry.get("decision_id")), []).append(event)
    return found


def _cycles(firm_id: str, run_id: str, inputs: InputStore, corrupt: list[str]) -> Iterator[CycleInputs]:
    """Stored cycles of a run; what cannot be read is named in ``corrupt``."""
    for part in inputs.parts(firm_id, run_id):
        try:
            yield from cycles_of(inputs.read(part))
        except (BadInput, CheckFailed) as err:
            corrupt.append(str(err))


class _Knobs:
    """Parameters of the accounts of a firm as arrays, from the stored configurations."""

    def __init__(self, firm_id: str, inputs: InputStore) -> None:
        self._firm_id, self._inputs = firm_id, inputs
        self._rules: dict[str, Mapping[str, RuleParams]] = {}
        self.stacked = lru_cache(maxsize=64)(self._stacked)

    def _stacked(self, hashes: tuple[str, ...], symbols: tuple[str, ...]) -> Knobs:
        return stack_params([self._of(name) for name in hashes], symbols)

    def _of(self, name: str) -> Mapping[str, RuleParams]:
        if name not in self._rules:
            self._rules[name] = recorded_rules(self._inputs.config(self._firm_id, name))
        return self._rules[name]


def _replay_cycle(
    cycle: CycleInputs,
    recorded: Mapping[str, Sequence[AuditEvent]],
    knobs: _Knobs,
    code_version: str,
    told: Replayed,
) -> None:
    try:
        known = knobs.stacked(cycle.config_hashes, cycle.view.market.symbols)
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
