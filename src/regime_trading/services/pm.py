"""The gate: proposals of other engines and bots through every rule, and a record of it before the answer."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import orjson

from regime_trading.core.audit import chain_id
from regime_trading.core.commits import DecisionCommit
from regime_trading.core.config_status import Standing
from regime_trading.core.controls import InForce as Halted
from regime_trading.core.controls import nobody_halts
from regime_trading.core.errors import NotDurable, RegimeError, StoreDown
from regime_trading.core.instants import EARLIEST_NS, LATEST_NS, instant_text
from regime_trading.core.ports import AuditLog, InputStore, Ledger, Spool
from regime_trading.core.request_reading import InvalidRequest, Problem
from regime_trading.core.requests import PMRequest
from regime_trading.core.rules import RULE_BY_ID, RULE_IDS, Guard, TradingState
from regime_trading.core.schemas import AccountState, EventType, Mode, PMDecision, RuleOutcome
from regime_trading.core.settings import Settings
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.engine.record import Chain, write_cycle
from regime_trading.engine.request_books import Subject
from regime_trading.engine.request_firm import Sibling
from regime_trading.engine.request_rl import RLNotes, notes_of
from regime_trading.engine.requests import Answer, decide_requests, inputs_of
from regime_trading.engine.rl_body import OpenEnd, open_end
from regime_trading.services.controls import Carried
from regime_trading.services.degraded import (
    AUDIT_DEGRADED,
    SAID,
    BlindLedger,
    Waiting,
    reconcile,
    waiting,
    waiting_body,
)
from regime_trading.services.sealing import BackgroundSealing

InForce = Callable[[TraderProfile, int], TraderProfile]


@dataclass(frozen=True, slots=True)
class GateConfig:
    """Under what is decided: settings, how every account stands, and the code."""

    settings: Settings
    standings: Mapping[str, Standing]
    code_version: str


@dataclass(frozen=True, slots=True)
class GateStore:
    """What is remembered and recorded.

    Parameters
    ----------
    ledger : callable
        Store of one firm's accounts in one environment.
    audit : callable
        Write-ahead record of one firm.
    inputs : InputStore
        What decisions were made of.
    in_force : callable
        A configuration with the session overrides that tighten it at an instant.
    spool : callable, optional
        Second place of one firm's record. Without it a store that is down stops exits too.
    alarm : callable
        Told in one sentence what a person must hear of now.
    sealing : BackgroundSealing, optional
        Seals what is due after a decision.
    halts : callable
        What people have put in force for accounts, asked before each decision.
    under_halt : callable
        Told of durable decisions that were made under a halt.
    """

    ledger: Callable[[str, Mode], Ledger]
    audit: Callable[[str], AuditLog]
    inputs: InputStore
    in_force: InForce
    spool: Callable[[str], Spool] | None = None
    alarm: Callable[[str], None] = lambda _: None
    sealing: BackgroundSealing | None = None
    halts: Halted = nobody_halts
    under_halt: Callable[[Sequence[Carried]], None] = lambda _: None


def decide(
    requests: Sequence[PMRequest], *, config: GateConfig, store: GateStore | None = None
) -> list[PMDecision]:
    """One decision per request, in their order.

    A request with ``state`` is answered from itself and the configuration; nothing is stored. Without ``state`` the
    account's state comes from ``store``, and decision, entries, state and latches are durable before this returns; the
    same request again gives the same decision and stores nothing. Without a store such a request is that of an account
    without a past.

    Decisions of one firm and environment are durable in one transaction, all or none. Where the store is down, each
    decision that is not durable is made again under REDUCE_ONLY and kept in the spool before this returns (its
    rationale says ``AUDIT_DEGRADED``); the next call writes the spool into the record before anything else. A spool
    that cannot be written there holds its firm under REDUCE_ONLY.

    Raises
    ------
    InvalidRequest
        An account that is not configured, or a request that is older than the account's last decision.
    NotDurable
        The record could not be written in either place, or the account was decided by somebody else meanwhile. Nothing
        may be sent.
    """
    if store is None:
        return [answer.decision for answer in _answers(_subjects(requests, config, None), config, None)]
    done: dict[int, PMDecision] = {}
    try:
        _record(requests, config, store, done)
        _nudge(requests, store)
    except StoreDown as down:
        if store.spool is None:
            raise
        store.alarm(f"{AUDIT_DEGRADED}: {down}; entries are blocked, exits are kept in the spool")
        _spool(requests, config, store, done, str(down))
    return [done[n] for n in range(len(requests))]


def _subjects(
    requests: Sequence[PMRequest],
    config: GateConfig,
    store: GateStore | None,
    held: Container[str] = (),
) -> list[Subject]:
    """What decides each request; firms that are ``held`` may only reduce. A halt tightens a request with a state of its
    own as well, but it is for whoever keeps that state to let go of it."""
    profiles = _profiles(requests, config, None if store is None else store.in_force)
    halts = (nobody_halts if store is None else store.halts)([request.account for request in requests])
    return [
        Subject(
            request=request,
            profile=profile,
            state=request.state if request.state is not None else _remembered(profile, request, store),
            least_state=_least(config, request.account, profile.firm_id in held),
            hermetic=request.state is not None or store is None,
            halt=halts[request.account]
            if request.state is None
            else replace(halts[request.account], lifted=0),
        )
        for request, profile in zip(requests, profiles, strict=True)
    ]


def _least(config: GateConfig, account: str, held: bool) -> TradingState:
    own = config.standings[account].least_state
    return max(own, TradingState.REDUCE_ONLY) if held else own


def _answers(subjects: Sequence[Subject], config: GateConfig, store: GateStore | None) -> tuple[Answer, ...]:
    siblings = {} if store is None else _siblings(subjects, config, store)
    return decide_requests(subjects, siblings, config.settings, config.code_version)


def _profiles(
    requests: Sequence[PMRequest], config: GateConfig, in_force: InForce | None
) -> list[TraderProfile]:
    found, problems = list[TraderProfile](), list[Problem]()
    for n, request in enumerate(requests):
        standing = config.standings.get(request.account)
        path = f"[{n}].account" if len(requests) > 1 else "account"
        if standing is None:
            known = ", ".join(config.standings) or "an account in traders.yaml"
            problems.append(Problem(path, f"one of {known}", request.account))
        elif standing.profile is None:
            problems.append(Problem(path, "an account with a configuration that verifies", standing.why))
        else:
            profile = standing.profile
            found.append(profile if in_force is None else in_force(profile, request.as_of_ns))
    if problems:
        raise InvalidRequest(problems)
    return found


def _remembered(profile: TraderProfile, request: PMRequest, store: GateStore | None) -> AccountState | None:
    if store is None:
        return None
    stored = store.ledger(profile.firm_id, profile.mode).load(request.account, request.as_of_ns)
    return None if stored is None else stored[0]


def _siblings(
    subjects: Sequence[Subject], config: GateConfig, store: GateStore
) -> dict[str, tuple[Sibling, ...]]:
    """By firm the accounts that are not asked about, in the environments of those that are and lean on the store."""
    asked = {subject.account for subject in subjects}
    return {
        firm: tuple(
            _firm_siblings(firm, [s for s in subjects if s.profile.firm_id == firm], asked, config, store)
        )
        for firm in sorted({subject.profile.firm_id for subject in subjects if not subject.hermetic})
    }


def _firm_siblings(
    firm: str, own: Sequence[Subject], asked: set[str], config: GateConfig, store: GateStore
) -> Iterator[Sibling]:
    leaning = [subject for subject in own if not subject.hermetic]
    modes = {subject.profile.mode for subject in leaning}
    last = max(leaning, key=lambda subject: (subject.request.as_of_ns, subject.account))
    for account, standing in config.standings.items():
        profile = standing.profile
        if profile is None or profile.firm_id != firm or profile.mode not in modes or account in asked:
            continue
        ledger = store.ledger(firm, profile.mode)
        stored = ledger.load_beside(account, last.account, last.request.as_of_ns)
        yield Sibling(profile, *(stored or (None, None)))


# --- the record ---------------------------------------------------------------------------------------------


def _ledger(answer: Answer, store: GateStore) -> Ledger:
    return store.ledger(answer.identity.firm_id, Mode(answer.identity.env))


def _is_replay(pair: tuple[Subject, Answer], store: GateStore) -> bool:
    """Whether this very decision is recorded already."""
    subject, answer = pair
    return _ledger(answer, store).decided(subject.account, answer.decision.decision_id)


def _require_newest(
    fresh: Sequence[tuple[Subject, Answer]], requests: Sequence[PMRequest], store: GateStore
) -> None:
    """Refuse requests of the past: their account was decided at their time, or later, already."""
    problems = []
    for subject, answer in fresh:
        latest = _ledger(answer, store).load(subject.account, LATEST_NS)
        if latest is not None and latest[0].as_of_ns >= subject.request.as_of_ns:
            n = requests.index(subject.request)
            problems.append(
                Problem(
                    f"[{n}].as_of" if len(requests) > 1 else "as_of",
                    f"a time after the last decision of {subject.account}, {instant_text(latest[0].as_of_ns)}",
                    instant_text(subject.request.as_of_ns),
                )
            )
    if problems:
        raise InvalidRequest(problems)


def _record(
    requests: Sequence[PMRequest], config: GateConfig, store: GateStore, done: dict[int, PMDecision]
) -> None:
    """Decide, and put into ``done`` by position what needs no record, or has it."""
    subjects = _subjects(requests, config, store, _settle(requests, config, store))
    answers = _answers(subjects, config, store)
    pairs = dict(enumerate(zip(subjects, answers, strict=True)))
    fresh = {n: pair for n, pair in pairs.items() if not pair[0].hermetic and not _is_replay(pair, store)}
    done.update({n: answer.decision for n, (_, answer) in pairs.items() if n not in fresh})
    _require_newest(list(fresh.values()), requests, store)
    rows = _rl_rows(fresh, store)
    _keep_inputs([answer for _, answer in fresh.values()], store)
    batches: dict[tuple[str, str], dict[int, tuple[Subject, Answer]]] = {}
    for n, pair in fresh.items():
        who = pair[1].identity
        batches.setdefault((who.firm_id, who.env), {})[n] = pair
    for (firm, env), batch in batches.items():
        audit = store.audit(firm)
        made = [_commit(*pair, rows[n], audit) for n, pair in batch.items()]
        store.ledger(firm, Mode(env)).commit_decisions(made)
        done.update({n: answer.decision for n, (_, answer) in batch.items()})
        store.under_halt([_carried(answer) for _, answer in batch.values()])


def _carried(answer: Answer) -> Carried:
    decision, held = answer.decision, answer.portfolio.positions
    return Carried(
        decision.account, decision.decision_id, decision.as_of_ns, answer.state.kill_level, len(held)
    )


def _keep_inputs(answers: Sequence[Answer], store: GateStore) -> None:
    """What the decisions were made of, durable before they are; a place that cannot take it is a store that is down."""
    try:
        for block in inputs_of(answers):
            store.inputs.put(block)
    except StoreDown:
        raise
    except NotDurable as err:
        raise StoreDown(str(err)) from err


def _rl_rows(fresh: Mapping[int, tuple[Subject, Answer]], store: GateStore) -> dict[int, RLNotes]:
    """Rows of new decisions in the RL dataset, by position; nothing is written where something in them was not known
    yet."""
    asked: dict[tuple[str, str], list[str]] = {}
    for _, answer in fresh.values():
        who = answer.identity
        asked.setdefault((who.firm_id, who.env), []).append(who.name)
    ends: dict[str, OpenEnd] = {}
    for (firm, env), accounts in asked.items():
        found = store.ledger(firm, Mode(env)).open_ends(accounts)
        ends |= {account: open_end(text) for account, text in found.items()}
    pairs = list(fresh.values())
    notes = notes_of([answer for _, answer in pairs], [subject for subject, _ in pairs], ends)
    return dict(zip(fresh, notes, strict=True))


def _commit(subject: Subject, answer: Answer, rows: RLNotes, audit: AuditLog) -> DecisionCommit:
    """Decision, entries, state, latches and RL rows. The orders are the sender's to send."""
    who = answer.identity
    name = chain_id(who.env, who.run_id, who.firm_id, who.account_id)
    head, _ = audit.head(name)
    told = audit.last(name, EventType.DECISION)
    mode = int(answer.cycle.decisions.mode_before[answer.row])
    chain = Chain(who, seq=head, mode=mode)
    if told is not None:
        chain.breached = breached_rules(told.event.body)
    released = [gone for gone in answer.cycle.released if gone.account == answer.row]
    seq = write_cycle(chain, answer.cycle, answer.row, answer.hashes, released)
    return DecisionCommit(
        state=answer.state,
        portfolio=answer.portfolio,
        orders=(),
        events=chain.take(),
        run_id=who.run_id,
        decision_id=answer.decision.decision_id,
        newest_ns=EARLIEST_NS if subject.state is None else subject.state.as_of_ns,
        rl=rows.at(seq),
    )


# --- the store is down --------------------------------------------------------------------------------------


def _settle(requests: Sequence[PMRequest], config: GateConfig, store: GateStore) -> set[str]:
    """Write what waits in the spools of the firms into the record; the firms of which it still waits."""
    held = set[str]()
    if store.spool is None:
        return held
    for firm in _leaning_firms(requests, config):
        try:
            reconcile(store.spool(firm), store.audit(firm), partial(store.ledger, firm), store.alarm)
        except StoreDown:
            raise
        except RegimeError as error:
            store.alarm(f"{AUDIT_DEGRADED}: the spool of {firm} waits, its accounts may only reduce: {error}")
            held.add(firm)
    return held


def _leaning_firms(requests: Sequence[PMRequest], config: GateConfig) -> list[str]:
    """Firms whose store is asked."""
    leaning = {request.account for request in requests if request.state is None} & config.standings.keys()
    return sorted({account.split("/")[0] for account in leaning})


def _nudge(requests: Sequence[PMRequest], store: GateStore) -> None:
    """Seal what is due, behind the answer."""
    leaning = [request for request in requests if request.state is None]
    if store.sealing is not None and leaning:
        firms = sorted({request.account.split("/")[0] for request in leaning})
        store.sealing.nudge(firms, max(request.as_of_ns for request in leaning), len(leaning))


def _spool(
    requests: Sequence[PMRequest],
    config: GateConfig,
    store: GateStore,
    done: dict[int, PMDecision],
    why: str,
) -> None:
    """Decide what is not done yet as if nothing could be added to any position, and keep it in the second place."""
    assert store.spool is not None
    firms = {account.split("/")[0] for account in config.standings}
    waits = {
        firm: [waiting(body) for body in store.spool(firm).pending()]
        for firm in _leaning_firms(requests, config)
    }
    blind = _blind(store, waits)
    subjects = _subjects(requests, config, blind, firms)
    answers = _answers(subjects, config, blind)
    kept: dict[str, list[bytes]] = {}
    told: dict[int, PMDecision] = {}
    for n, (subject, answer) in enumerate(zip(subjects, answers, strict=True)):
        if n in done:
            continue
        decision = answer.decision
        if any(order.intent != "exit" for order in decision.orders):
            raise NotDurable(f"{decision.account}: the store is down and the decision does not only reduce")
        told[n] = decision.model_copy(update={"rationale": decision.rationale + SAID})
        if not subject.hermetic:
            firm = subject.profile.firm_id
            _require_later(n, subject, decision, waits[firm], requests)
            kept.setdefault(firm, []).append(waiting_body(answer, decision, why))
    for firm, bodies in kept.items():
        store.spool(firm).append(bodies)
    done.update(told)


def _blind(store: GateStore, waits: Mapping[str, Sequence[Waiting]]) -> GateStore:
    """The store as far as it can be read: what cannot be is not known, and the spool is newer than what can."""

    def in_force(profile: TraderProfile, as_of_ns: int) -> TraderProfile:
        try:
            return store.in_force(profile, as_of_ns)
        except StoreDown:
            return profile  # overrides only tighten, and nothing may be added anyway

    def ledger(firm: str, mode: Mode) -> Ledger:
        return BlindLedger(lambda: store.ledger(firm, mode), waits.get(firm, ()), mode.value)

    return replace(store, in_force=in_force, ledger=ledger)


def _require_later(
    n: int, subject: Subject, decision: PMDecision, waits: Sequence[Waiting], requests: Sequence[PMRequest]
) -> None:
    """Refuse a request at or before the last one of its account that waits, unless it is that very one."""
    own = [one for one in waits if one.identity.name == subject.account]
    if any(one.decision_id == decision.decision_id for one in own):
        return
    latest = max((one.as_of_ns for one in own), default=EARLIEST_NS)
    if latest >= subject.request.as_of_ns:
        expected = f"a time after the last decision of {subject.account}, {instant_text(latest)}"
        path = f"[{n}].as_of" if len(requests) > 1 else "as_of"
        raise InvalidRequest([Problem(path, expected, instant_text(subject.request.as_of_ns))])


_TRANSITIONS = frozenset({Guard.DATA_SANITY, Guard.BLACKOUT, Guard.DRAWDOWN})


def breached_rules(body: bytes) -> np.ndarray:
    """Rules of guards 1 to 3 that did not hold at the last decision of a chain, so that only changes are written."""
    said = {rule["rule_id"]: rule["outcome"] for rule in orjson.loads(body)["rules"]}
    broken = (RuleOutcome.BOUND, RuleOutcome.UNKNOWN)
    return np.array(
        [said.get(r) in broken and RULE_BY_ID[r].guard in _TRANSITIONS for r in RULE_IDS], dtype=np.bool_
    )
