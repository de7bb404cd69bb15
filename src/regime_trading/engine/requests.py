"""Requests to decisions: the guards in front of somebody else's orders. Pure.

Requests that share one market, one account currency and one set of symbols are decided in one vectorised call, others
apart, so that no answer depends on who else asked; accounts of one firm are the exception (LD-13, CC-12, XL-12), and
they are always looked at together.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal

import numpy as np

from regime_trading.core.canonical import canonical_bytes_trusted, sha256_hex
from regime_trading.core.decision_inputs import InputBlock
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8
from regime_trading.core.schemas import AccountState, Mode, PMDecision, PortfolioSnapshot
from regime_trading.core.settings import Settings
from regime_trading.core.trader_profile import TraderProfile, effective_bytes
from regime_trading.core.trading_day import EPOCH
from regime_trading.engine.answers import answered, measures
from regime_trading.engine.carry import load_state, state_of
from regime_trading.engine.cycle import Cycle, Desk, Released, firm_index, mark, rates_of, release, remember
from regime_trading.engine.cycle_inputs import CycleInputs, of_firm
from regime_trading.engine.desk import fill_costs
from regime_trading.engine.fills import Fills, Marks, Positions
from regime_trading.engine.halts import impose
from regime_trading.engine.inputs import input_block
from regime_trading.engine.record import DecisionHashes, Identity, decision_hashes, market_hash
from regime_trading.engine.request_books import (
    Subject,
    balances,
    booked,
    broker_says,
    brokerage_of,
    financed,
    least_equity,
    new_flows,
    own_symbols,
    positions_of,
    proposed,
    what_happened,
    working_exits,
)
from regime_trading.engine.request_firm import (
    Neighbour,
    Sibling,
    day_id,
    firm_digests,
    stored_neighbour,
    with_firm,
    with_neighbours,
)
from regime_trading.engine.request_market import DAYS_A_YEAR, market_of, specs_of
from regime_trading.guards import anchors
from regime_trading.guards.chain import decide
from regime_trading.guards.floors import Floor
from regime_trading.guards.memory import advance
from regime_trading.guards.snapshot import (
    Books,
    Happened,
    Market,
    States,
    View,
    fresh_states,
    nano_weights,
    nothing_happened,
    stack_params,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision, and everything that makes it durable.

    ``cycle``, ``row`` and ``hashes`` are what the record is written from, ``seen`` what it is decided again from, with
    the ``configs`` of all accounts in it; ``portfolio`` is the account's book, its cash in account currency, and
    ``floors`` are those of the cycle, by rule.
    """

    decision: PMDecision
    identity: Identity
    state: AccountState
    portfolio: PortfolioSnapshot
    cycle: Cycle
    row: int
    hashes: DecisionHashes
    seen: CycleInputs
    configs: Mapping[str, bytes]
    floors: Mapping[str, Floor]


def inputs_of(answers: Sequence[Answer]) -> tuple[InputBlock, ...]:
    """What the answers were decided from, once for each firm and run."""
    blocks = {
        (id(answer.seen), answer.identity.firm_id, answer.identity.run_id): answer for answer in answers
    }
    return tuple(
        input_block(firm_id, run_id, [of_firm(answer.seen, firm_id)], answer.configs)
        for (_, firm_id, run_id), answer in blocks.items()
    )


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One group of requests before its decision: everything but the neighbours. ``new_day`` bool [A]."""

    subjects: tuple[Subject, ...]
    market: Market
    states: States
    positions: Positions
    marks: Marks
    books: Books
    new_day: B1
    released: tuple[Released, ...]
    desk: Desk


def decide_requests(
    subjects: Sequence[Subject],
    siblings: Mapping[str, Sequence[Sibling]],
    settings: Settings,
    code_version: str,
) -> tuple[Answer, ...]:
    """One answer per request, in their order.

    Parameters
    ----------
    subjects : sequence of Subject
        Each account once.
    siblings : mapping
        By firm: the accounts that are not asked about but count in rules across a firm. Hermetic requests have none.
    settings : Settings
    code_version : str
    """
    groups = [_prepare(key, group, settings) for key, group in _groups(subjects, siblings)]
    near = [_neighbours(group) for group in groups]
    found: dict[str, Answer] = {}
    for n, group in enumerate(groups):
        firms = sorted({subject.profile.firm_id for subject in group.subjects})
        others = [one for m, there in enumerate(near) if m != n for one in there]
        others += [
            stored_neighbour(one, group.market.ts_ns, group.market.session)
            for firm in firms
            for one in siblings.get(firm, ())
        ]
        counted = sorted((o for o in others if o.profile.firm_id in firms), key=lambda o: o.profile.account)
        for answer in _decide(group, counted, code_version):
            found[answer.decision.account] = answer
    return tuple(found[subject.account] for subject in subjects)


# --- groups -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Key:
    """What requests that are decided in one call have in common."""

    market: str
    as_of_ns: int
    currency: str
    symbols: tuple[str, ...]
    broker: frozenset[str]
    reference: tuple[tuple[str, float], ...]


def _groups(
    subjects: Sequence[Subject], siblings: Mapping[str, Sequence[Sibling]]
) -> list[tuple[_Key, tuple[Subject, ...]]]:
    """Requests by what they share, accounts in the order of their names."""
    digests: dict[int, str] = {}
    found: dict[_Key, list[Subject]] = {}
    for subject in sorted(subjects, key=lambda one: one.account):
        market = subject.request.market
        if id(market) not in digests:
            digests[id(market)] = sha256_hex(canonical_bytes_trusted(market.model_dump(mode="json")))
        symbols = _symbols(subject, subjects, siblings.get(subject.profile.firm_id, ()))
        key = _Key(
            market=digests[id(market)],
            as_of_ns=subject.request.as_of_ns,
            currency=subject.profile.account_currency,
            symbols=symbols,
            broker=broker_says(subject),
            reference=_reference(subject, symbols),
        )
        found.setdefault(key, []).append(subject)
    return [(key, tuple(group)) for key, group in found.items()]


def _symbols(subject: Subject, subjects: Sequence[Subject], siblings: Sequence[Sibling]) -> tuple[str, ...]:
    """What the request is about, and what its firm holds or asks for in the same underlyings."""
    own = own_symbols(subject.request)
    issuer = {spec.symbol: spec.underlying or spec.symbol for spec in subject.request.market.instruments}
    mine = {issuer.get(symbol, symbol) for symbol in own}
    firm = {
        s
        for one in subjects
        if one.profile.firm_id == subject.profile.firm_id
        for s in own_symbols(one.request)
    }
    firm |= {p.symbol for one in siblings if one.portfolio is not None for p in one.portfolio.positions}
    return tuple(sorted(own | {symbol for symbol in firm if symbol in issuer and issuer[symbol] in mine}))


def _reference(subject: Subject, symbols: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Last good prices of the account, the references of quotes that bring none."""
    known = {} if subject.state is None else subject.state.last_good_price
    brought = {quote.symbol for quote in subject.request.market.quotes if quote.reference is not None}
    return tuple((s, float(known[s])) for s in symbols if s in known and s not in brought)


# --- before the decision ------------------------------------------------------------------------------------


def _prepare(key: _Key, subjects: tuple[Subject, ...], settings: Settings) -> _Prepared:
    """Market, states and books of a group: day rolled, flows counted, positions marked, latches ended."""
    said, symbols = subjects[0].request.market, key.symbols
    market = market_of(said, symbols, key.as_of_ns, key.currency, dict(key.reference), settings)
    specs, _ = specs_of(said, symbols)
    desk = _desk([subject.profile for subject in subjects], symbols, _capital(subjects), settings)
    states = fresh_states(desk.initial_capital, len(symbols))
    for row, subject in enumerate(subjects):
        if subject.state is not None:
            load_state(states, row, subject.state, symbols)
    positions = positions_of(subjects, symbols)
    rate, _ = rates_of(desk, states, positions, market)
    unit = market.multiplier * rate
    positions = financed(positions, specs, unit)

    days = [day_id(subject.profile, key.as_of_ns) for subject in subjects]
    missed = anchors.unseen(states, market.session)
    states, new_day = anchors.roll(states, np.array(days, dtype=np.int64), missed)
    states = anchors.add_flows(states, new_flows(subjects, states.day_flow), desk.knobs)
    marks = least_equity(subjects, mark(desk, states, positions, market, market.spread_bps))
    balance = balances(subjects, positions, unit)
    balance = np.where(np.isfinite(balance), balance, states.last_balance)
    states = replace(remember(states, marks, positions, market, unit), last_balance=balance)
    states, released = release(desk, states, new_day, market.session, market.ts_ns)
    states, ended = impose(states, [subject.halt for subject in subjects])
    released = (*released, *ended)
    books = _books(subjects, desk, market, states, positions, marks)
    return _Prepared(subjects, market, states, positions, marks, books, new_day, released, desk)


def _desk(
    profiles: Sequence[TraderProfile], symbols: tuple[str, ...], capital: F8, settings: Settings
) -> Desk:
    accounts = tuple(profile.account for profile in profiles)
    return Desk(
        accounts=accounts,
        firm=firm_index(accounts)[1],
        initial_capital=capital,
        knobs=stack_params([profile.rules for profile in profiles], symbols),
        costs=fill_costs(settings),
        annual=DAYS_A_YEAR,
    )


def _capital(subjects: Sequence[Subject]) -> F8:
    return np.array([float(first_capital(subject)) for subject in subjects], dtype=np.float64)


def first_capital(subject: Subject) -> Decimal:
    """What an account without a past started with: what the configuration states, else what the broker says it has.

    Raises
    ------
    BadInput
        Neither says it.
    """
    if subject.state is not None:
        return subject.state.initial_capital
    book = subject.book
    for said in (subject.profile.stated_capital, book.equity_broker, book.equity):
        if said is not None and said > 0:
            return said
    raise BadInput(
        expected="equity_broker, or initial_capital in the configuration, at the first decision of an account",
        found="neither",
        where=f"portfolio of {subject.account}",
    )


def _books(
    subjects: Sequence[Subject],
    desk: Desk,
    market: Market,
    states: States,
    positions: Positions,
    marks: Marks,
) -> Books:
    symbols, qty = market.symbols, positions.qty
    weight, mentioned, age = proposed(subjects, symbols)
    bar_ns = float(market.bar_ns)
    return Books(
        accounts=desk.accounts,
        firm=desk.firm,
        equity=marks.equity,
        balance=states.last_balance,
        equity_estimated=marks.estimated,
        equity_age_bars=np.array([(market.ts_ns - s.book.as_of_ns) / bar_ns for s in subjects]),
        qty=qty,
        working_exit_qty=working_exits(subjects, {s: i for i, s in enumerate(symbols)}, qty),
        current=nano_weights(qty, marks.unit_value, marks.equity),
        proposed=weight,
        mentioned=mentioned,
        proposal_age_bars=age,
        broker=brokerage_of(subjects, market, positions, marks),
        imposed_state=np.array([subject.least_state for subject in subjects], dtype=np.int8),
    )


# --- the rest of the firm -----------------------------------------------------------------------------------


def _neighbours(group: _Prepared) -> list[Neighbour]:
    """The accounts of a group as its firms' other accounts see them."""
    books, states, symbols = group.books, group.states, group.market.symbols

    def by_symbol(values: F8) -> dict[str, float]:
        return {s: v for s, v in zip(symbols, values.tolist(), strict=True) if v != 0}

    return [
        Neighbour(
            profile=subject.profile,
            equity=float(books.equity[row]),
            estimated=bool(books.equity_estimated[row]),
            anchor=float(states.day_anchor_equity[row]),
            flow=float(states.day_flow[row]),
            qty=by_symbol(books.qty[row]),
            asked=by_symbol(books.proposed[row]) if books.mentioned[row].all() else None,
            working=by_symbol(books.broker.working_entry_qty[row]),
        )
        for row, subject in enumerate(group.subjects)
    ]


# --- the decision -------------------------------------------------------------------------------------------


def _decide(group: _Prepared, others: Sequence[Neighbour], code_version: str) -> list[Answer]:
    """Decide a group, with the other accounts of its firms in view."""
    subjects, market = group.subjects, group.market
    books, states = with_neighbours(group.books, group.states, market, others)
    profiles = [subject.profile for subject in subjects] + [other.profile for other in others]
    knobs = (
        stack_params([profile.rules for profile in profiles], market.symbols) if others else group.desk.knobs
    )
    at = {symbol: column for column, symbol in enumerate(market.symbols)}
    own = what_happened(subjects, at, group.positions, group.new_day)
    happened = _joined_happened(own, len(others))
    view = View(market, books, states)
    view = replace(view, states=advance(view, knobs, happened))
    decisions, after = decide(view, knobs, annual=DAYS_A_YEAR)
    nothing = np.zeros((len(subjects), len(market.symbols)))
    cycle = Cycle(Fills(nothing, nothing, nothing), group.marks, view, decisions, after, group.released)
    identities = [_identity(subject, code_version) for subject in subjects]
    digest, firms = market_hash(market), firm_digests(view)
    plain = [with_firm(h, f) for h, f in zip(decision_hashes(view, digest, identities), firms, strict=False)]
    identities = [
        replace(who, run_id=_run_id(subject, h))
        for who, subject, h in zip(identities, subjects, plain, strict=True)
    ]
    hashes = [with_firm(h, f) for h, f in zip(decision_hashes(view, digest, identities), firms, strict=False)]
    measured = measures(cycle, knobs)
    seen = CycleInputs(
        view=view,
        annual=DAYS_A_YEAR,
        firm_bound=True,
        decision_ids=(*(h.decision_id for h in hashes), *("" for _ in others)),
        config_hashes=tuple(profile.config_hash for profile in profiles),
        market=digest,
    )
    configs = {profile.config_hash: effective_bytes(profile) for profile in profiles}
    answers = []
    for row, subject in enumerate(subjects):
        account, ts_ns = subject.account, market.ts_ns
        state = state_of(after, row, account, market.symbols, ts_ns, market.session, subject.state)
        decision = answered(
            cycle,
            row,
            identities[row],
            hashes[row],
            subject.request,
            subject.profile,
            state,
            measured,
            group.desk.costs.fee_bps,
        )
        book = booked(subject)
        answers.append(
            Answer(
                decision,
                identities[row],
                state,
                book,
                cycle,
                row,
                hashes[row],
                seen,
                configs,
                measured.floors,
            )
        )
    return answers


def _joined_happened(own: Happened, others: int) -> Happened:
    """To the other accounts nothing happened."""
    theirs = nothing_happened(others, own.flat_side.shape[1])
    return Happened(
        **{f.name: np.concatenate([getattr(own, f.name), getattr(theirs, f.name)]) for f in fields(own)}
    )


def _identity(subject: Subject, code_version: str) -> Identity:
    profile = subject.profile
    return Identity(
        profile.firm_id, profile.account_id, "", profile.mode.value, profile.config_hash, code_version
    )


def _run_id(subject: Subject, content: DecisionHashes) -> str:
    """Outside dry runs the trading day; in a dry run what the decision is made of: it has a chain of its own."""
    day = EPOCH + dt.timedelta(days=day_id(subject.profile, subject.request.as_of_ns))
    if subject.profile.mode is not Mode.DRY_RUN:
        return day.isoformat()
    named = f"{content.decision_id}|{subject.request.proposal.proposal_id}"
    return f"pm-{day:%Y%m%d}-{sha256_hex(named.encode())[:12]}"
