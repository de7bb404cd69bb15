"""One decision cycle from the state and the ledger: what the portfolio manager decides and the journal repeats."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from regime_trading.agents.deps import Deps
from regime_trading.agents.research import run_features, run_regimes, run_window
from regime_trading.core.canonical import content_hash
from regime_trading.core.decision_inputs import InputBlock
from regime_trading.core.errors import CheckFailed
from regime_trading.core.numbers import F8, nano_of
from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import (
    AccountState,
    AuditEvent,
    PMDecision,
    PortfolioSnapshot,
    Proposal,
    TapeSummary,
)
from regime_trading.core.state import PipelineState
from regime_trading.core.trader_profile import TraderProfile, effective_bytes
from regime_trading.core.trading_day import trading_day_ids
from regime_trading.engine.attempts import attempt_terms
from regime_trading.engine.backtest import BasketPath, HistoryInputs, proposal_times, tick_at
from regime_trading.engine.carry import Stored, carried_from, decision_of, portfolio_of, state_of
from regime_trading.engine.cycle import Carried, Cycle, Tick, step
from regime_trading.engine.desk import annual_bars, make_desk, market_path, research_params
from regime_trading.engine.fills import Fills, Positions, apply_fills
from regime_trading.engine.halts import impose
from regime_trading.engine.inputs import InputBuffer
from regime_trading.engine.market import MarketPath, TapePath
from regime_trading.engine.proposals import correlation_rows, correlations
from regime_trading.engine.record import Chain, Identity, decision_hashes, market_hash, write_cycle
from regime_trading.engine.rl import RLRows
from regime_trading.engine.rl_context import context_of
from regime_trading.engine.tape_history import guard_inputs
from regime_trading.engine.universe import USER, source_key
from regime_trading.guards.snapshot import NO_BOOK, NO_TAPE


@dataclass(frozen=True, slots=True)
class Decided:
    """Everything that follows from one decision, account by account in the order of the request."""

    identities: tuple[Identity, ...]
    decisions: tuple[PMDecision, ...]
    states: tuple[AccountState, ...]
    portfolios: tuple[PortfolioSnapshot, ...]
    events: tuple[tuple[AuditEvent, ...], ...]
    rl: RLRows
    inputs: tuple[InputBlock, ...]


def identities(state: PipelineState) -> tuple[Identity, ...]:
    """Whose chains this run writes."""
    assert state.profiles is not None
    return tuple(
        Identity(
            *profile.account.split("/"),
            run_id=state.request.run_id,
            env=profile.mode.value,
            config_hash=profile.config_hash,
            code_version=state.request.code_version,
        )
        for profile in state.profiles
    )


def profiles_of(
    state: PipelineState, deps: Deps, bound: Collection[str] | None = None
) -> tuple[TraderProfile, ...]:
    """The configurations now, which of ``bound`` accounts (None = all) must be the ones the run was begun with.

    Raises
    ------
    CheckFailed
        A bound account's configuration is another one.
    """
    assert state.profiles is not None
    as_of_ns = state.request.as_of_ns
    found = tuple(deps.profile(reference.account, as_of_ns) for reference in state.profiles)
    for reference, profile in zip(state.profiles, found, strict=True):
        held = bound is None or profile.account in bound
        if held and profile.config_hash != reference.config_hash:
            raise CheckFailed(
                f"{reference.account}: expected configuration {reference.config_hash}, "
                f"found {profile.config_hash}; start a new run"
            )
    return found


def stored_accounts(state: PipelineState, deps: Deps) -> tuple[Stored | None, ...]:
    """What the ledger holds of each account before this run's bar; None = it was never decided."""
    assert state.profiles is not None
    found = []
    for profile in state.profiles:
        firm = profile.account.split("/")[0]
        item = deps.ledger(firm, profile.mode).load(profile.account, state.request.as_of_ns)
        found.append(None if item is None else Stored(*item))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Stepped:
    """One cycle at the last bar, with what went into it and what the accounts carry on."""

    profiles: tuple[TraderProfile, ...]
    stored: tuple[Stored | None, ...]
    inputs: HistoryInputs
    tick: Tick
    cycle: Cycle
    after: Carried


def step_once(state: PipelineState, deps: Deps, bound: Collection[str] | None = None) -> Stepped:
    """Fill what was ordered before, mark, and decide for every account at the last bar; writes nothing.

    Parameters
    ----------
    bound : collection of str, optional
        Accounts that must have the configuration the run was begun with; all by default. Every other one is decided
        under the configuration it has, as which it is another decision.

    Raises
    ------
    CheckFailed
        As :func:`profiles_of`.
    BadInput
        An account holds what the run has no prices of.
    """
    profiles, stored = profiles_of(state, deps, bound), stored_accounts(state, deps)
    inputs = _inputs(state, deps, profiles)
    tick = _tick(state, inputs)
    carried = carried_from(stored, inputs.desk.initial_capital, inputs.market.symbols)
    fills, positions = _fill_waiting(state, deps, inputs, carried)
    halts = deps.halts(inputs.desk.accounts)
    states, ended = impose(carried.states, [halts[account] for account in inputs.desk.accounts])
    ready = Carried(states, positions, np.zeros_like(carried.orders))
    cycle, after = step(inputs.desk, ready, tick)
    cycle = replace(cycle, fills=fills, released=(*ended, *cycle.released))
    return Stepped(profiles, stored, inputs, tick, cycle, after)


def decide_run(state: PipelineState, deps: Deps, bound: Collection[str] | None = None) -> Decided:
    """Everything that follows from :func:`step_once`, which it raises as; ``bound`` as there."""
    done = step_once(state, deps, bound)
    profiles, stored, inputs, tick = done.profiles, done.stored, done.inputs, done.tick
    cycle, after = done.cycle, done.after
    market, symbols, bar = inputs.market, inputs.market.symbols, inputs.last
    who = inputs.identities
    digest = market_hash(tick.market)
    hashes = decision_hashes(cycle.view, digest, who)
    kept = list[InputBlock]()
    seen = InputBuffer(
        inputs.desk.annual, who, {p.config_hash: effective_bytes(p) for p in profiles}, kept.append
    )
    seen.add(cycle.view, digest, hashes)
    seen.flush()
    chains = [
        Chain(identity, mode=int(m)) for identity, m in zip(who, cycle.decisions.mode_before, strict=True)
    ]
    seq = [
        write_cycle(chain, cycle, row, hashes[row], [r for r in cycle.released if r.account == row])
        for row, chain in enumerate(chains)
    ]
    rl = RLRows(who, inputs.desk, market, bar, 1, inputs.context)
    rl.add(cycle, seq, np.ones(len(who), dtype=np.int64), tick.flow, proposal_times(inputs, bar))
    ts_ns, session = int(market.ts_ns[bar]), int(market.session[bar])
    before = [None if item is None else item.state for item in stored]
    return Decided(
        identities=who,
        decisions=tuple(
            decision_of(cycle, row, identity, hashes[row], proposal_id(state, profiles[row]))
            for row, identity in enumerate(who)
        ),
        states=tuple(
            state_of(after.states, row, identity.name, symbols, ts_ns, session, before[row])
            for row, identity in enumerate(who)
        ),
        portfolios=tuple(
            portfolio_of(after.positions, row, identity.name, symbols, ts_ns)
            for row, identity in enumerate(who)
        ),
        events=tuple(tuple(chain.take()) for chain in chains),
        rl=rl,
        inputs=tuple(kept),
    )


def account_proposals(state: PipelineState, profile: TraderProfile) -> tuple[tuple[Proposal, float], ...]:
    """Proposals an account follows, each with its share: its baskets, or all of the user's own."""
    assert state.proposals is not None
    whole = state.request.ad_hoc or state.request.proposal is not None
    shares = {basket.name: float(basket.share) for basket in profile.baskets}
    return tuple(
        (proposal, 1.0 if whole else shares.get(str(proposal.basket), 0.0)) for proposal in state.proposals
    )


def proposal_id(state: PipelineState, profile: TraderProfile) -> str:
    """Name of what an account was proposed: one basket's proposal, or the sum of several."""
    followed = [p.proposal_id for p, share in account_proposals(state, profile) if share > 0]
    return followed[0] if len(followed) == 1 else content_hash(sorted(followed))[:32]


def _inputs(state: PipelineState, deps: Deps, profiles: Sequence[TraderProfile]) -> HistoryInputs:
    """The inputs of a history of one bar: the last."""
    assert state.data is not None and state.tape is not None and state.contradiction is not None
    assert state.regime is not None
    window = run_window(state, deps)
    features, regimes = run_features(state, deps, window), run_regimes(state, deps)
    params, traded = research_params(deps.settings), state.request.traded
    health, last = state.data.health, len(window.ts_ns) - 1
    bar_ns, calendar = health.bar_s * 1_000_000_000, deps.calendar(health.calendar)
    market = market_path(
        window,
        traded,
        features,
        regimes,
        correlations(features, params, correlation_rows(last + 1, params)[-1:], symbols=traded),
        settings=deps.settings,
        source=source_key(deps.settings, state.request.source),
        provides=frozenset(health.provides),
        calendar=calendar,
        bar_ns=bar_ns,
        confidence_cap=min(state.regime.confidence_cap, state.contradiction.confidence_cap),
        tape=_tape(state.tape, traded, last),
    )
    least = [deps.least_state.get(profile.account, TradingState.NORMAL) for profile in profiles]
    desk = make_desk(profiles, traded, deps.settings, annual_bars(calendar.name, bar_ns), None, least)
    day_ids = np.zeros((last + 1, len(profiles)), dtype=np.int64)
    day_ids[last] = [_day_id(profile, int(window.ts_ns[last])) for profile in profiles]
    return HistoryInputs(
        desk=desk,
        market=market,
        baskets=_baskets(state, profiles, market),
        day_ids=day_ids,
        flows=np.zeros((last + 1, len(profiles))),
        terms=attempt_terms([None] * len(profiles)),
        identities=tuple(
            replace(who, config_hash=profile.config_hash)
            for who, profile in zip(identities(state), profiles, strict=True)
        ),
        first=last,
        last=last,
        context=context_of(
            market,
            features,
            regimes,
            tape={item.symbol: {last: item} for item in state.tape.features},
            tiers=state.regime.market.tiers,
        ),
    )


def _tape(said: TapeSummary, traded: Sequence[str], last: int) -> TapePath:
    """What the tape said before the last bar, in the place of that bar."""
    shape = (last + 1, len(traded))
    spread = np.full(shape, np.nan)
    book, grade = np.full(shape, NO_BOOK, dtype=np.int8), np.full(shape, NO_TAPE, dtype=np.int8)
    for item in said.features:
        column = traded.index(item.symbol)
        spread[last, column], book[last, column], grade[last, column] = guard_inputs(item)
    return TapePath(spread, book, grade)


def _day_id(profile: TraderProfile, ts_ns: int) -> int:
    day = profile.trading_day
    at = np.array([ts_ns], dtype=np.int64)
    return int(trading_day_ids(at, dt.time.fromisoformat(day.reset_at), day.zone)[0])


def _baskets(
    state: PipelineState, profiles: Sequence[TraderProfile], market: MarketPath
) -> tuple[BasketPath, ...]:
    assert state.proposals is not None
    shares = [{p.proposal_id: share for p, share in account_proposals(state, who)} for who in profiles]
    return tuple(
        BasketPath(
            name=proposal.basket or USER,
            rows=np.array([_row(market, proposal.as_of_ns)], dtype=np.int64),
            weights=_aligned(proposal, market.symbols)[None, :],
            share=np.array([share[proposal.proposal_id] for share in shares]),
            made_ns=np.array([proposal.as_of_ns], dtype=np.int64),
        )
        for proposal in state.proposals
    )


def _row(market: MarketPath, as_of_ns: int) -> int:
    """Bar at which a proposal was made: the last one it could know."""
    return int(np.searchsorted(market.ts_ns, as_of_ns, side="right")) - 1


def _aligned(proposal: Proposal, symbols: tuple[str, ...]) -> F8:
    return np.array([nano_of(proposal.weights[s]) if s in proposal.weights else 0.0 for s in symbols])


def _tick(state: PipelineState, inputs: HistoryInputs) -> Tick:
    tick = tick_at(inputs, inputs.last)
    own = state.request.proposal
    if own is None or own.complete:
        return tick
    named = np.array([symbol in own.weights for symbol in inputs.market.symbols])
    return replace(tick, mentioned=np.broadcast_to(named, tick.mentioned.shape).copy())


def _fill_waiting(
    state: PipelineState, deps: Deps, inputs: HistoryInputs, carried: Carried
) -> tuple[Fills, Positions]:
    """What the brokers have done since each account's last decision, and the positions after it."""
    qty = np.zeros_like(carried.orders)
    price, fee = qty.copy(), qty.copy()
    for row, account in enumerate(inputs.desk.accounts):
        broker = deps.broker(account, state.request.source)
        for fill in broker.fills(account, state.request.as_of_ns):
            column = inputs.market.symbols.index(fill.symbol)
            qty[row, column] += fill.qty
            price[row, column] = fill.price
            fee[row, column] += fill.fee
    fills = Fills(qty, price, fee)
    return fills, apply_fills(carried.positions, fills, inputs.market.unit)
