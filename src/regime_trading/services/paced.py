"""A paced dry run: history decided bar by bar through the cycle of every other run, each bar durable before the next.

What is stored is what decides: every bar starts from the ledger's own words, so a run that was stopped, or killed, goes
on as one that never was. Halts and changed configurations take effect at the next bar. Nothing here knows the time:
whoever runs it says when the next bar is due.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from regime_trading.core.commits import DecisionCommit
from regime_trading.core.controls import NOT_KNOWN, Halt
from regime_trading.core.errors import BadInput, Overtaken
from regime_trading.core.event_payloads import OrderCancelled
from regime_trading.core.events import payload_of, rationale_of
from regime_trading.core.instants import EARLIEST_NS
from regime_trading.core.rules import TradingState, decimal_text
from regime_trading.core.schemas import ActorType, RunRecord
from regime_trading.engine.attempts import AttemptClock
from regime_trading.engine.backtest import Book, Played, play_bar
from regime_trading.engine.carry import carried_from, orders_of, portfolio_of, state_of
from regime_trading.engine.cycle_inputs import CycleInputs, of_firm
from regime_trading.engine.halts import halted, impose, without_entries
from regime_trading.engine.inputs import input_block
from regime_trading.engine.record import SCHEDULER, Chain
from regime_trading.engine.rl_trail import decision_rows
from regime_trading.guards.chain import OUTCOMES
from regime_trading.services.backtest_plan import BacktestRequest
from regime_trading.services.controls import Carried
from regime_trading.services.paced_plan import (
    Loaded,
    PacedDeps,
    Prepared,
    paced_run_id,
    prepare,
    request_hash,
    under,
)
from regime_trading.services.paced_seats import (
    Seat,
    last_decided_ns,
    load_clock,
    load_seat,
    seats_after,
)
from regime_trading.services.study import Progress

KIND = "paced"
Pace = Callable[[], bool]  #: waits until the next bar is due; False = stop


@dataclass(frozen=True, slots=True)
class Decided:
    """What one bar came to for one account."""

    account: str
    decision_id: str
    outcome: str
    trading_state: TradingState
    kill_level: int
    equity: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar that is durable now: its index from the first of the run, its time, and its decisions."""

    number: int
    bars: int
    ts_ns: int
    decided: tuple[Decided, ...]


class Paced:
    """One paced dry run. One thread calls :meth:`step` or :meth:`run`; :meth:`stop` may be called from any other.

    An account that somebody else decides for a later time is left to them: the others go on without it.

    Until :meth:`start` has read the state of an account back and found it to be the one that its chain tells of,
    nothing is decided; an account of which that cannot be said may only reduce.

    Parameters
    ----------
    request : BacktestRequest
        Source, baskets or symbols, days and accounts; all accounts in dry_run by default.
    deps : PacedDeps
    progress : callable, optional
        Told of the research before the first bar.
    """

    def __init__(self, request: BacktestRequest, deps: PacedDeps, progress: Progress | None = None) -> None:
        self._request, self._deps, self._progress = request, deps, progress
        self._run_id = paced_run_id(request)
        self._prepared: Prepared | None = None
        self._seats: list[Seat] = []
        self._refused: Loaded | None = None
        self._left: set[str] = set()
        self._clock: AttemptClock | None = None
        self._bar = 0
        self._stopped = False

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self._run_id

    @property
    def left(self) -> tuple[str, ...]:
        """Accounts that this run decides no more: somebody else decided them for a later time."""
        return tuple(sorted(self._left))

    def start(self) -> int:
        """Read back where the run stands, latches before anything else, and prepare its research; the number of bars
        that are done.

        Raises
        ------
        BadInput
            A request, a source or a configuration that cannot be accepted.
        CheckFailed
            An account of which the chain and the store contradict each other so that nobody knows what it holds.
        NotDurable
            The store cannot be used.
        """
        self._stopped = False
        self._prepare(first=True)
        prepared = self._ready()
        return self._bar - prepared.plan.first

    def step(self) -> Bar | None:
        """Decide the next bar and make it durable; None where there is none left.

        Raises
        ------
        NotDurable
            The bar could not be made durable; the next call tries again from what is stored.
        """
        prepared = self._ready()
        try:
            if not self._seats:
                self._bar = self._position(prepared)
                self._load(prepared)
            if self._is_changed(self._deps.configuration(), prepared):
                self._reload()
            return self._step(self._ready())
        except Overtaken as overtaken:
            self._seats = []
            self._leave(overtaken)
            return self.step()
        except BaseException:
            self._seats = []  # what is in memory may be ahead of what is stored
            raise

    def run(self, until: int | None = None, pace: Pace = lambda: True) -> Bar | None:
        """Step until there is no bar left, ``until`` bars are done, ``pace`` says no, or :meth:`stop`; the last bar.

        Raises as :meth:`step`.
        """
        last: Bar | None = None
        while not self._stopped and (until is None or self._done() < until) and pace() and not self._stopped:
            bar = self.step()
            if bar is None:
                break
            last = bar
        return last

    def stop(self) -> None:
        """No further bar; the one that is being decided is finished."""
        self._stopped = True

    def _done(self) -> int:
        return self._bar - self._ready().plan.first

    def _ready(self) -> Prepared:
        if self._prepared is None:
            raise BadInput(expected="start() first", found="none", where="paced run")
        return self._prepared

    # --- configuration --------------------------------------------------------------------------------------

    def _prepare(self, *, first: bool = False) -> None:
        """Everything under the configuration as it is now; the position is that of the record where ``first``."""
        loaded = self._deps.configuration()
        prepared = self._prepared_of(loaded, self._held())
        if first:
            self._prepared = prepared
            self._bar = self._position(prepared)
            self._load(prepared)
            held = self._held()
            if not held <= set(prepared.inputs.market.symbols):
                prepared = self._prepared_of(loaded, held)
        else:
            now_ns = int(self._ready().inputs.market.ts_ns[self._bar - 1]) if self._bar else EARLIEST_NS
            self._bar = max(
                int(np.searchsorted(prepared.inputs.market.ts_ns, now_ns, side="right")), prepared.plan.first
            )
        self._prepared = prepared
        self._register(prepared)
        self._load(prepared)

    def _prepared_of(self, loaded: Loaded, held: set[str]) -> Prepared:
        return prepare(self._request, loaded, held, self._deps, self._progress, left=self._left)

    def _is_changed(self, loaded: Loaded, prepared: Prepared) -> bool:
        return loaded is not prepared.loaded and loaded is not self._refused

    def _reload(self) -> None:
        """Take a changed configuration over between two bars; one that cannot be run leaves the earlier in force."""
        try:
            self._prepare()
        except BadInput as error:
            self._refused = self._deps.configuration()
            self._deps.alarm(f"the changed configuration is not taken over: {error}")

    def _leave(self, overtaken: Overtaken) -> None:
        """Go on without an account that is ahead of this run; raises it where no other is left."""
        self._left.add(overtaken.account)
        if self._left >= set(self._ready().accounts):
            raise overtaken
        self._deps.alarm(
            f"{overtaken.account} was decided by somebody else for a later time: it is left alone"
        )
        self._prepare()

    def _held(self) -> set[str]:
        """Symbols that an account holds or has ordered."""
        found = set[str]()
        for seat in self._seats:
            if seat.stored is not None:
                found |= {p.symbol for p in seat.stored.portfolio.positions}
                found |= {o.symbol for o in seat.stored.orders}
        return found

    # --- where it stands ------------------------------------------------------------------------------------

    def _position(self, prepared: Prepared) -> int:
        """The first bar that a firm has not decided yet."""
        return min(self._firm_position(prepared, firm) for firm in prepared.firms)

    def _firm_position(self, prepared: Prepared, firm: str) -> int:
        ts_ns = prepared.inputs.market.ts_ns
        own = [who for who in prepared.inputs.identities if who.firm_id == firm]
        told = [ns for who in own if (ns := last_decided_ns(who, self._deps)) is not None]
        if told:
            return int(np.searchsorted(ts_ns, max(told), side="right"))
        run = self._deps.runs(firm).get(self._run_id)
        begun = int(ts_ns[prepared.plan.first]) if run is None else run.as_of_ns
        return int(np.searchsorted(ts_ns, begun))

    def _register(self, prepared: Prepared) -> None:
        """A row among the runs of each firm, from the bar at which it joins."""
        at = min(self._bar, prepared.plan.last)
        for firm in prepared.firms:
            self._deps.runs(firm).start(
                RunRecord(
                    run_id=self._run_id,
                    kind="paced",
                    status="started",
                    inputs_hash=request_hash(self._request),
                    as_of_ns=int(prepared.inputs.market.ts_ns[at]),
                    path=f"runs/{self._run_id}",
                )
            )

    def _load(self, prepared: Prepared) -> None:
        """Seats and attempts from what is stored, before the bar that is due."""
        ts_ns, bar = prepared.inputs.market.ts_ns, self._bar
        before_ns = int(ts_ns[bar]) if bar < len(ts_ns) else int(ts_ns[-1]) + 1
        self._seats = [load_seat(who, before_ns, self._deps) for who in prepared.inputs.identities]
        histories = {firm: self._deps.recorded(firm) for firm in prepared.firms}
        self._clock = load_clock(prepared.inputs, min(bar, len(ts_ns) - 1), histories)

    # --- one bar --------------------------------------------------------------------------------------------

    def _step(self, prepared: Prepared) -> Bar | None:
        plan = prepared.plan
        if self._bar > plan.last:
            for firm in prepared.firms:
                self._deps.runs(firm).finish(self._run_id, "done")
            return None
        prepared = self._prepared = self._tightened(prepared)
        halts = self._halts(prepared)
        chains = [seat.chain(who) for seat, who in zip(self._seats, prepared.inputs.identities, strict=True)]
        ts_ns = int(prepared.inputs.market.ts_ns[self._bar])
        cancelled = [
            _cancel(chain, seat, halt, ts_ns)
            for chain, seat, halt in zip(chains, self._seats, halts, strict=True)
        ]
        assert self._clock is not None
        stored = [seat.stored for seat in self._seats]
        carried = carried_from(stored, prepared.inputs.desk.initial_capital, prepared.inputs.market.symbols)
        states, ended = impose(carried.states, halts)
        carried = without_entries(replace(carried, states=states), halted(halts))
        played, book = play_bar(prepared.inputs, chains, Book(carried, self._clock), self._bar, ended)
        return self._commit(prepared, played, book, chains, cancelled)

    def _tightened(self, prepared: Prepared) -> Prepared:
        """Under the session overrides of this instant."""
        ts_ns = int(prepared.inputs.market.ts_ns[self._bar])
        known = {profile.account: profile for profile in prepared.loaded.profiles}
        profiles = tuple(self._deps.in_force(known[account], ts_ns) for account in prepared.accounts)
        if [p.config_hash for p in profiles] == [p.config_hash for p in prepared.plan.profiles]:
            return prepared
        return under(prepared, profiles, self._deps.history.code_version)

    def _halts(self, prepared: Prepared) -> list[Halt]:
        """What is in force for each account; nothing is known of one whose state is not confirmed."""
        found = self._deps.halts(prepared.accounts)
        return [
            found[account] if seat.confirmed or found[account].level > 0 else NOT_KNOWN
            for account, seat in zip(prepared.accounts, self._seats, strict=True)
        ]

    def _commit(
        self,
        prepared: Prepared,
        played: Played,
        book: Book,
        chains: Sequence[Chain],
        cancelled: Sequence[int],
    ) -> Bar:
        """Make the bar durable, firm by firm; a firm that had decided it before a crash is left as it is."""
        due = (
            [firm for firm in prepared.firms if self._firm_position(prepared, firm) <= self._bar]
            if self._is_behind(prepared)
            else list(prepared.firms)
        )
        made = self._made(prepared, played, book, chains)
        self._put_inputs(prepared, played, due)
        rows = [row for row, who in enumerate(prepared.inputs.identities) if who.firm_id in due]
        for firm in due:
            own = [made[row] for row in rows if prepared.inputs.identities[row].firm_id == firm]
            self._deps.ledger(firm).commit_decisions(own)
            self._deps.decided(firm, len(own))
        kill = played.carried.states.kill_level
        self._deps.under_halt(
            [
                Carried(made[row].state.account, made[row].decision_id, made[row].state.as_of_ns, int(kill[row]),
                        len(made[row].portfolio.positions), cancelled[row])
                for row in rows
            ]
        )  # fmt: skip
        self._seats = seats_after(self._seats, chains, made, rows) if len(due) == len(prepared.firms) else []
        self._clock = book.clock
        self._deps.shown(prepared, self._bar)
        done = self._told(prepared, played)
        self._bar += 1
        return done

    def _is_behind(self, prepared: Prepared) -> bool:
        """Whether some firm may have decided this bar already: only where a chain goes on beyond its state."""
        return any(not seat.confirmed for seat in self._seats)

    def _made(
        self,
        prepared: Prepared,
        played: Played,
        book: Book,
        chains: Sequence[Chain],
    ) -> list[DecisionCommit]:
        """What each account's decision makes durable."""
        market, closed = prepared.inputs.market, {result.account for result in played.ended}
        ts_ns, session = int(market.ts_ns[self._bar]), int(market.session[self._bar])
        learnt = decision_rows(prepared.inputs, played, self._bar, [seat.end for seat in self._seats])
        made = []
        for row, (account, seat) in enumerate(zip(prepared.accounts, self._seats, strict=True)):
            before = None if seat.stored is None else seat.stored.state
            decision_id = played.hashes[row].decision_id
            made.append(
                DecisionCommit(
                    state=state_of(
                        book.carried.states,
                        row,
                        account,
                        market.symbols,
                        ts_ns,
                        session,
                        None if row in closed else before,
                    ),
                    portfolio=portfolio_of(book.carried.positions, row, account, market.symbols, ts_ns),
                    orders=() if row in closed else orders_of(played.cycle, row, decision_id),
                    events=chains[row].take(),
                    run_id=self._run_id,
                    decision_id=decision_id,
                    newest_ns=EARLIEST_NS if before is None else before.as_of_ns,
                    rl=learnt[row],
                )
            )
        return made

    def _put_inputs(self, prepared: Prepared, played: Played, firms: Sequence[str]) -> None:
        """What the decisions were made of, durable before they are."""
        identities = prepared.inputs.identities
        cycle = CycleInputs(
            view=played.cycle.view,
            annual=prepared.inputs.desk.annual,
            firm_bound=False,
            decision_ids=tuple(hashes.decision_id for hashes in played.hashes),
            config_hashes=tuple(who.config_hash for who in identities),
            market=played.market,
        )
        for firm in firms:
            block = input_block(firm, self._run_id, [of_firm(cycle, firm)], prepared.configs)
            self._deps.history.inputs.put(block)

    def _told(self, prepared: Prepared, played: Played) -> Bar:
        d = played.cycle.decisions
        decided = tuple(
            Decided(
                account,
                played.hashes[row].decision_id,
                OUTCOMES[d.outcome[row]],
                TradingState(int(d.mode[row])),
                int(played.carried.states.kill_level[row]),
                float(played.cycle.marks.equity[row]),
            )
            for row, account in enumerate(prepared.accounts)
        )
        plan, ts_ns = prepared.plan, int(prepared.inputs.market.ts_ns[self._bar])
        return Bar(self._bar - plan.first + 1, plan.last - plan.first + 1, ts_ns, decided)


def _cancel(chain: Chain, seat: Seat, halt: Halt, ts_ns: int) -> int:
    """Write the entries that a halt cancels before they could fill; how many they are."""
    if halt.level == 0 or seat.stored is None:
        return 0
    entries = [order for order in seat.stored.orders if order.intent == "entry"]
    code = f"KILL_K{halt.level}" if halt.level > 0 else "KILL_UNKNOWN"
    for order in entries:
        payload = OrderCancelled(
            client_order_id=order.client_order_id,
            decision_id=seat.last_decision,
            symbol=order.symbol,
            qty_open=decimal_text(order.qty),
        )
        chain.write(
            ts_ns,
            payload.kind,
            payload_of(payload),
            actor=(ActorType.SERVICE, SCHEDULER),
            rule_id="LD-15",
            rationale=rationale_of(payload),
            reason_codes=(code,),
            correlation_id=seat.last_decision,
        )
    return len(entries)
