"""Runs: begun from a request, resumed after a kill, re-used where nothing has changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from regime_trading.core.audit import Dataset
from regime_trading.core.canonical import content_hash, sha256_hex
from regime_trading.core.controls import InForce, nobody_halts
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.ports import ArtifactStore, Ledger, MarketData, RecordSealer
from regime_trading.core.ports import Runs as RunRecords
from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import Mode, Proposal, RunRecord, Wait
from regime_trading.core.settings import Settings
from regime_trading.core.state import Approval, Looked, PipelineState, Question, RunRequest
from regime_trading.core.trader_profile import TraderProfile, require_baskets
from regime_trading.engine.tape_history import tapes_hash
from regime_trading.engine.universe import AD_HOC, choose_accounts, choose_universe
from regime_trading.services.run_approvals import RunApprovals, request_id_of

Effort = Literal["fast", "thorough"]
_DAY_NS = 86_400_000_000_000


class Flow(Protocol):
    """The pipeline, as this service sees it."""

    def status(self, run_id: str) -> str: ...

    def start(self, request: RunRequest) -> PipelineState: ...

    def resume(self, run_id: str, answers: Sequence[Approval] = ()) -> PipelineState: ...

    def answered(self, run_id: str) -> bool: ...

    def question(self, run_id: str) -> Question | None: ...

    def look(self, run_id: str) -> tuple[Looked, ...]: ...

    def request(self, run_id: str) -> RunRequest: ...

    def forget(self, run_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Ask:
    """What a person asks for. At most one of ``basket``, ``symbols`` and ``proposal``.

    Parameters
    ----------
    source : str
        Name or path of the data source.
    basket : str, optional
        Accounts that follow this basket, each with all of its baskets.
    symbols : tuple of str
        Every account follows one basket of these symbols, by risk parity.
    proposal : Proposal, optional
        Every account follows these weights.
    accounts : tuple of str
        Only these; all by default.
    as_of_ns : int, optional
        Decide at the last bar up to here; the last complete bar of the source by default.
    """

    source: str = "bundled"
    basket: str | None = None
    symbols: tuple[str, ...] = ()
    proposal: Proposal | None = None
    accounts: tuple[str, ...] = ()
    as_of_ns: int | None = None
    effort: Effort = "fast"


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that went as far as it can go now: done, or at its approval stage where ``waits`` says which requests it
    waits for. ``fresh`` is False where an identical one was found, verified and re-used."""

    state: PipelineState
    fresh: bool
    waits: tuple[Wait, ...] = ()


@dataclass(frozen=True, slots=True)
class RunService:
    """The verbs of a run. Everything it reaches is handed in.

    ``alone`` holds a run, by its id, for as long as somebody goes on with it; False where another process does.
    """

    settings: Settings
    profiles: tuple[TraderProfile, ...]
    least_state: Mapping[str, TradingState]
    code_version: str
    source: Callable[[str], MarketData]
    ledger: Callable[[str, Mode], Ledger]
    records: Callable[[str], RunRecords]
    sealer: RecordSealer
    store: ArtifactStore
    flow: Flow
    in_force: Callable[[TraderProfile, int], TraderProfile]
    approvals: RunApprovals
    alone: Callable[[str], AbstractContextManager[bool]]
    halts: InForce = nobody_halts

    def run(self, ask: Ask) -> Finished:
        """Run the pipeline, or verify and re-use the identical run that was made before.

        Raises
        ------
        BadInput
            A request that cannot be served, naming what could be.
        CheckFailed
            The identical run is there, and its files are no longer what it wrote.
        """
        return self.carry_out(self.request(ask))

    def resume(self, run_id: str) -> Finished:
        """Continue a run after its last finished stage; a finished one is verified and returned. One that waits for
        people goes on where all that it asked has been answered; what has changed meanwhile voids what was to leave.

        Raises
        ------
        BadInput
            No such run.
        CheckFailed
            The configuration or the code is not what an unfinished run was begun with.
        """
        request = self.flow.request(run_id)
        if self.flow.status(run_id) == "waiting" or self.flow.answered(run_id):
            return self.carry_out(request)  # where each account is held to what it was asked about
        for name, found in (
            ("config_hash", self._config_hash(request.accounts, request.as_of_ns)),
            ("code_version", self.code_version),
        ):
            if (expected := getattr(request, name)) != found:
                raise CheckFailed(f"run {run_id}: expected {name} {expected}, found {found}; start a new run")
        return self.carry_out(request)

    def request(self, ask: Ask) -> RunRequest:
        """The request behind what a person asks for; its id follows from everything the answer follows from."""
        if sum((ask.basket is not None, bool(ask.symbols), ask.proposal is not None)) > 1:
            raise BadInput(
                expected="one of a basket, symbols and a proposal", found="several", where="request"
            )
        profiles = self._profiles(ask)
        if not ask.symbols and ask.proposal is None:
            require_baskets(profiles)
        source = self.source(ask.source)
        as_of_ns = _last_bar(source, ask.as_of_ns)
        chosen = choose_universe(
            self.settings, profiles, ask.source, source.symbols, symbols=_symbols(ask) or None
        )
        books = [_book(self.ledger, profile, as_of_ns) for profile in profiles]
        traded = tuple(sorted(set(chosen.symbols).union(*(held for held, _ in books))))
        symbols = tuple(sorted({*traded, *([chosen.proxy] if chosen.proxy else [])}))
        names = tuple(basket.name for basket in chosen.baskets)
        accounts = tuple(profile.account for profile in profiles)
        fields: dict[str, Any] = {
            "as_of_ns": as_of_ns,
            "source": ask.source,
            "symbols": symbols,
            "traded": traded,
            "baskets": () if AD_HOC in names else names,
            "accounts": accounts,
            "effort": ask.effort,
            "ad_hoc": chosen.symbols if AD_HOC in names and ask.proposal is None else (),
            "proposal": ask.proposal,
            "notes": chosen.notes,
            "data_hash": source.window(until=as_of_ns, symbols=symbols).content_hash(),
            "tape_hash": tapes_hash({s: tape for s in traded if (tape := source.tape(s)) is not None}),
            "config_hash": self._config_hash(accounts, as_of_ns),
            "ledger_hash": content_hash([book for _, book in books]),
            "code_version": self.code_version,
        }
        return RunRequest(run_id=run_id_of("run", fields), **fields)

    def last_bar(self, source: str, as_of_ns: int | None) -> int:
        """Time of the last complete bar of a source up to ``as_of_ns``; ``BadInput`` where there is none."""
        return _last_bar(self.source(source), as_of_ns)

    def _profiles(self, ask: Ask) -> tuple[TraderProfile, ...]:
        chosen = choose_accounts(self.profiles, ask.accounts or None)
        if ask.basket is None:
            return chosen
        if ask.basket not in self.settings.baskets:
            known = ", ".join(sorted(self.settings.baskets))
            raise BadInput(expected=f"one of {known}", found=ask.basket, where="basket")
        following = tuple(p for p in chosen if any(b.name == ask.basket for b in p.baskets))
        if not following:
            raise BadInput(expected="a basket that an account follows", found=ask.basket, where="basket")
        return following

    def _config_hash(self, accounts: Iterable[str], as_of_ns: int) -> str:
        """Hash of the settings and of the configurations in force, session overrides, standing and halts included."""
        mine = (self.in_force(p, as_of_ns) for p in self.profiles if p.account in accounts)
        own = {profile.account: profile.config_hash for profile in mine}
        least = {name: state.name for name, state in self.least_state.items() if name in own}
        standing: dict[str, Any] = {"least_state": least} if least else {}
        halts = {
            name: [h.level, h.lifted] for name, h in self.halts(list(own)).items() if h.level or h.lifted
        }
        standing |= {"halts": halts} if halts else {}
        return content_hash({"settings": self.settings.content_hash(), "profiles": own, **standing})

    def can_resume(self, run_id: str) -> bool:
        """Whether a run of that id was begun and is not finished."""
        return self.flow.status(run_id) in ("unfinished", "waiting")

    def accounts_of(self, run_id: str) -> tuple[str, ...]:
        """Accounts of a run that was begun; ``BadInput`` where there is none of that id."""
        return self.flow.request(run_id).accounts

    def look(self, run_id: str) -> dict[str, Looked]:
        """Every account of a run that waits for people, as it would be decided now; raises ``BadInput`` for any other
        run."""
        begun_with = self.flow.request(run_id).code_version
        found = {looked.decision.account: looked for looked in self.flow.look(run_id)}
        if begun_with == self.code_version:
            return found
        return {name: one.model_copy(update={"changed": "the program"}) for name, one in found.items()}

    def carry_out(self, request: RunRequest) -> Finished:
        """Begin a request, continue it where it stopped, or verify and re-use what it gave; raises as :meth:`run`, and
        ``CheckFailed`` while another process goes on with it."""
        with self.alone(request.run_id) as mine:
            if not mine:
                raise CheckFailed(f"run {request.run_id}: another process is at work on it")
            return self._carry_out(request)

    def _carry_out(self, request: RunRequest) -> Finished:
        status = self.flow.status(request.run_id)
        if status == "finished":
            state = self.flow.resume(request.run_id)
            if self._is_whole(state):
                self._verify(state)
                return Finished(state, fresh=False)
            self.flow.forget(request.run_id)
            status = "absent"
        for firm, record in self._records(request):
            self.records(firm).start(record)
        try:
            state = self._go_on(request, status)
        except Exception:
            self._finish(request, "failed")
            raise
        if isinstance(state, Finished):
            return state
        self._finish(request, "done")
        return Finished(state, fresh=True)

    def _go_on(self, request: RunRequest, status: str) -> PipelineState | Finished:
        """The run to its end, or as far as it waits for people."""
        run_id = request.run_id
        state = self.flow.start(request) if status == "absent" else self.flow.resume(run_id)
        question = self.flow.question(run_id)
        if question is None:
            return state
        for firm in _firms(request):  # before anybody is asked: who answers at once finds a run that waits
            self.records(firm).pause(run_id, _waits(run_id, question, firm))
        answers = self._answers(run_id, question)
        if waits := tuple(one for one in answers if isinstance(one, Wait)):
            return Finished(state, fresh=True, waits=waits)
        return self.flow.resume(run_id, [one for one in answers if isinstance(one, Approval)])

    def _answers(self, run_id: str, question: Question) -> list[Approval | Wait]:
        """Of each account whether its decision may leave, in the world as it is now; or that it waits."""
        return [
            self.approvals.answer(run_id, looked)
            if account in question.waiting
            else Approval(
                account=account,
                status="void" if looked.changed else "not_required",
                why=f"{looked.changed} changed while the run waited" if looked.changed else "",
            )
            for account, looked in self.look(run_id).items()
        ]

    def _records(self, request: RunRequest) -> tuple[tuple[str, RunRecord], ...]:
        record = RunRecord(
            run_id=request.run_id,
            kind="run",
            status="started",
            inputs_hash=inputs_hash_of(request.model_dump(exclude={"run_id"})),
            as_of_ns=request.as_of_ns,
            path=f"runs/{request.run_id}",
        )
        return tuple((firm, record) for firm in _firms(request))

    def _finish(self, request: RunRequest, status: Literal["done", "failed"]) -> None:
        for firm in _firms(request):
            self.records(firm).finish(request.run_id, status)

    def _is_whole(self, state: PipelineState) -> bool:
        """Whether every file of the run is still there; one that was removed is made again, not missed."""
        assert state.data is not None and state.regime is not None and state.report is not None
        files = (state.data.prices, state.regime.history, *state.report.files)
        sealed = (
            self.sealer.sealed(state.request.run_id, *account.split("/"))
            for account in state.request.accounts
        )
        return all(self.store.exists(ref.path) for ref in files) and all(part is not None for part in sealed)

    def _verify(self, state: PipelineState) -> None:
        assert state.report is not None and state.receipts is not None
        for ref in state.report.files:
            if (found := sha256_hex(self.store.read_bytes(ref.path))) != ref.sha256:
                raise CheckFailed(f"{ref.path}: expected SHA-256 {ref.sha256}, found {found}")
        last = {sent.account: sent.receipt for sent in state.executions or () if sent.receipt is not None}
        for receipt in state.receipts:
            who = (state.request.run_id, *receipt.account.split("/"))
            datasets: tuple[Dataset, ...] = ("audit",)
            if receipt.event_id:  # where nothing was decided there is nothing that could be learnt from
                datasets = ("audit", "state", "action")
            for dataset in datasets:
                head = last.get(receipt.account, receipt.receipt) if dataset == "audit" else None
                check = self.sealer.verify_sealed(*who, dataset, head=head)
                if not check.ok:
                    raise CheckFailed(f"{dataset} of {receipt.account}: {check.reason} at {check.first_bad}")


def _waits(run_id: str, question: Question, firm: str) -> tuple[Wait, ...]:
    """Accounts of a firm that wait, each with the id of its request."""
    own = (account for account in question.waiting if account.split("/")[0] == firm)
    return tuple(Wait(account, request_id_of(run_id, account)) for account in own)


def _symbols(ask: Ask) -> tuple[str, ...]:
    """Symbols that take the place of the accounts' baskets."""
    return ask.symbols if ask.proposal is None else tuple(sorted(ask.proposal.weights))


def _firms(request: RunRequest) -> tuple[str, ...]:
    return tuple(sorted({account.split("/")[0] for account in request.accounts}))


def _last_bar(source: MarketData, as_of_ns: int | None) -> int:
    """Time of the last complete bar up to ``as_of_ns``."""
    bars = source.window(until=as_of_ns)
    if not len(bars.ts_ns):
        first = source.window().ts_ns[:1]
        begin = f", which begins {time_text(int(first[0]))}" if len(first) else ""
        raise BadInput(
            expected=f"a time at or after the first bar of source {source.name}{begin}",
            found="nothing before" if as_of_ns is None else time_text(as_of_ns),
            where="as-of",
        )
    return int(bars.ts_ns[-1])


def _book(
    ledger: Callable[[str, Mode], Ledger], profile: TraderProfile, as_of_ns: int
) -> tuple[set[str], Any]:
    """What an account holds or has ordered, and all that is stored of it, as canonical values."""
    stored = ledger(profile.firm_id, profile.mode).load(profile.account, as_of_ns)
    if stored is None:
        return set(), {"account": profile.account, "stored": None}
    state, portfolio, orders = stored
    held = {position.symbol for position in portfolio.positions} | {order.symbol for order in orders}
    texts = [state.model_dump_json(), portfolio.model_dump_json(), *(o.model_dump_json() for o in orders)]
    return held, {"account": profile.account, "stored": texts}


def inputs_hash_of(fields: dict[str, Any]) -> str:
    """SHA-256 of what an answer follows from."""
    return content_hash(_canonical(fields))


def _canonical(value: Any) -> Any:
    """Large integers, floats and decimals as text, models as their JSON."""
    if isinstance(value, dict):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if hasattr(value, "model_dump"):
        return _canonical(value.model_dump())
    if value is None or isinstance(value, str | bool):
        return value
    return str(value)


def run_id_of(kind: str, fields: dict[str, Any]) -> str:
    """``<kind>-<date of the bar>-<12 hex digits of the inputs>``."""
    day = dt.datetime.fromtimestamp(fields["as_of_ns"] // 1_000_000_000, dt.UTC).strftime("%Y%m%d")
    return f"{kind}-{day}-{inputs_hash_of(fields)[:12]}"


def time_text(ts_ns: int) -> str:
    """ISO 8601 text of UTC nanoseconds, to the second."""
    return dt.datetime.fromtimestamp(ts_ns // 1_000_000_000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str, where: str) -> int:
    """UTC nanoseconds of an ISO 8601 date or time; a date is the end of that day, no zone is UTC.

    Raises
    ------
    BadInput
        Any other text.
    """
    try:
        if len(text) == 10:
            day = dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC)
            return int(day.timestamp()) * 1_000_000_000 + _DAY_NS - 1
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            expected="a date (2022-12-28) or a time (2022-12-28T21:00:00Z)", found=repr(text), where=where
        ) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return round(moment.timestamp() * 1e6) * 1000


def answer(finished: Finished, folder: str) -> dict[str, Any]:
    """The machine answer of a run (``contracts.md`` 14), ``path`` being ``folder``. ``status`` is ``done`` or
    ``waiting``; ``waiting`` names the requests that people must answer first, ``approval`` what became of each."""
    state = finished.state
    approvals = {one.account: one.status for one in state.approval or ()}
    held = state.verdict is not None and state.verdict.action == "HOLD"
    return {
        "run_id": state.request.run_id,
        "as_of": time_text(state.request.as_of_ns),
        "path": folder,
        "accounts": [
            {
                "account": decision.account,
                "outcome": "hold" if held else decision.outcome.value,
                "trading_state": decision.trading_state_after.name,
                "binding_rules": list(decision.binding_rules),
                "approval": approvals.get(decision.account, "waiting" if finished.waits else "not_required"),
            }
            for decision in state.decisions or ()
        ],
        "status": "waiting" if finished.waits else "done",
        "waiting": [{"account": one.account, "request_id": one.request_id} for one in finished.waits],
    }
