"""The gate: proposals of other engines and bots through every rule, and a record of it before the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from regime_trading.core.audit import chain_id
from regime_trading.core.config_status import Standing
from regime_trading.core.instants import EARLIEST_NS, LATEST_NS, instant_text
from regime_trading.core.ports import AuditLog, InputStore, Ledger
from regime_trading.core.request_reading import InvalidRequest, Problem
from regime_trading.core.requests import PMRequest
from regime_trading.core.rules import RULE_BY_ID, RULE_IDS, Guard
from regime_trading.core.schemas import AccountState, EventType, Mode, PMDecision, RuleOutcome
from regime_trading.core.settings import Settings
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.engine.record import Chain, write_cycle
from regime_trading.engine.request_books import Subject
from regime_trading.engine.request_firm import Sibling
from regime_trading.engine.requests import Answer, decide_requests, inputs_of

_TAIL = 200  #: entries in which the last decision of a chain is found; one decision writes fewer


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
    """

    ledger: Callable[[str, Mode], Ledger]
    audit: Callable[[str], AuditLog]
    inputs: InputStore
    in_force: Callable[[TraderProfile, int], TraderProfile]


def decide(
    requests: Sequence[PMRequest], *, config: GateConfig, store: GateStore | None = None
) -> list[PMDecision]:
    """One decision per request, in their order.

    A request with ``state`` is answered from itself and the configuration; nothing is stored. Without ``state`` the
    account's state comes from ``store``, and decision, entries, state and latches are durable before this returns; the
    same request again gives the same decision and stores nothing. Without a store such a request is that of an account
    without a past.

    Raises
    ------
    InvalidRequest
        An account that is not configured, or a request that is older than the account's last decision.
    NotDurable
        The record could not be written, or the account was decided by somebody else meanwhile.
    """
    profiles = _profiles(requests, config, store)
    subjects = [
        Subject(
            request=request,
            profile=profile,
            state=request.state if request.state is not None else _remembered(profile, request, store),
            least_state=config.standings[request.account].least_state,
            hermetic=request.state is not None or store is None,
        )
        for request, profile in zip(requests, profiles, strict=True)
    ]
    siblings = {} if store is None else _siblings(subjects, config, store)
    answers = decide_requests(subjects, siblings, config.settings, config.code_version)
    if store is not None:
        open_ends = [(s, a) for s, a in zip(subjects, answers, strict=True) if not s.hermetic]
        fresh = [pair for pair in open_ends if not _is_replay(pair, store)]
        _require_newest(fresh, requests, store)
        for block in inputs_of([answer for _, answer in fresh]):
            store.inputs.put(block)
        for subject, answer in fresh:
            _commit(subject, answer, store)
    return [answer.decision for answer in answers]


def _profiles(
    requests: Sequence[PMRequest], config: GateConfig, store: GateStore | None
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
            found.append(profile if store is None else store.in_force(profile, request.as_of_ns))
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


def _commit(subject: Subject, answer: Answer, store: GateStore) -> None:
    """Decision, entries, state and latches in one durable transaction. The orders are the sender's to send."""
    who = answer.identity
    audit = store.audit(who.firm_id)
    name = chain_id(who.env, who.run_id, who.firm_id, who.account_id)
    head, _ = audit.head(name)
    mode = int(answer.cycle.decisions.mode_before[answer.row])
    chain = Chain(who, seq=head, mode=mode)
    if head:
        bodies = [entry.event.body for entry in audit.entries(name, max(head - _TAIL, 0))]
        chain.breached = _breached(bodies)
    released = [gone for gone in answer.cycle.released if gone.account == answer.row]
    write_cycle(chain, answer.cycle, answer.row, answer.hashes, released)
    _ledger(answer, store).commit_decision(
        state=answer.state,
        portfolio=answer.portfolio,
        orders=(),
        events=chain.take(),
        run_id=who.run_id,
        decision_id=answer.decision.decision_id,
        newest_ns=EARLIEST_NS if subject.state is None else subject.state.as_of_ns,
    )


_TRANSITIONS = frozenset({Guard.DATA_SANITY, Guard.BLACKOUT, Guard.DRAWDOWN})


def _breached(bodies: Sequence[bytes]) -> np.ndarray:
    """Rules of guards 1 to 3 that did not hold at the last decision of a chain, so that only changes are written."""
    told = [entry for body in bodies if (entry := orjson.loads(body))["event_type"] == EventType.DECISION]
    said = {rule["rule_id"]: rule["outcome"] for rule in told[-1]["rules"]} if told else {}
    broken = (RuleOutcome.BOUND, RuleOutcome.UNKNOWN)
    return np.array(
        [said.get(r) in broken and RULE_BY_ID[r].guard in _TRANSITIONS for r in RULE_IDS], dtype=np.bool_
    )
