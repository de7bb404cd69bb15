"""What the process does that is ended: decisions through the gate with a lockout, orders, a store that is down for a
while, dry runs, sealing, compaction, a new trading day. And what must hold afterwards, whenever it was ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select
from tests import record_samples as sample
from tests.gate_samples import CORE, DEFENSIVE, GROWTH, T, answers, changed, request, shipped
from tests.whole_chain import whole_chain

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.config_files import Configuration
from regime_trading.adapters.database import SqlLedger, SqlRLLog, open_database, sqlite_url
from regime_trading.adapters.database.engine import reading
from regime_trading.adapters.database.tables import ACCOUNT_STATE, OUTBOX, RL_ROWS
from regime_trading.adapters.journal import ParquetSealer, compaction
from regime_trading.adapters.journal.spool import FirmSpool
from regime_trading.adapters.rl_files import block_table
from regime_trading.bootstrap.gate import _store
from regime_trading.core.audit import verify_chain
from regime_trading.core.commits import DecisionCommit
from regime_trading.core.config_status import standing
from regime_trading.core.errors import RegimeError, StoreDown
from regime_trading.core.instants import LATEST_NS
from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import EventType, Mode, PMDecision
from regime_trading.engine.request_books import Subject
from regime_trading.engine.request_rl import notes_of
from regime_trading.engine.rl_body import RECORDS
from regime_trading.services.degraded import AUDIT_DEGRADED, waiting
from regime_trading.services.pm import GateConfig, GateStore, decide
from regime_trading.services.rl import check as rl_check
from regime_trading.services.rl_dataset import RLDataset, unsealed
from regime_trading.services.sealing import Sealing

FIRM, OTHER, DRY = "north-pier", "alpha", "kestrel-lane"
FIRMS = [FIRM, OTHER, DRY]
DAY = 86_400
RECON = ("portfolio.recon", {"status": "ok", "count": 2, "equity_gap": 0})
LOST = ("portfolio.cash", "900000")
EXIT = ("proposal.weights", {"KO": "0"})
FAN_IN = 3  #: small parts that become one, so that a short story merges some
ROUNDS = FAN_IN + 1
Ack = Callable[..., None]


@cache
def configuration() -> Configuration:
    """The shipped accounts of one firm in shadow, and one of another in dry runs."""
    settings, profiles = shipped()
    shadow = (changed(profiles[name], mode=Mode.SHADOW) for name in (CORE, DEFENSIVE))
    return Configuration(settings, (*shadow, profiles[GROWTH]))


def gate_config() -> GateConfig:
    own = configuration()
    standings = {
        profile.account: standing(profile.account, profile, None, (), now_ns=T, starting=True)
        for profile in own.profiles
    }
    return GateConfig(own.settings, standings, "crash")


class Place:
    """Everything over one artifacts folder, opened as the gate opens it."""

    def __init__(self, folder: Path, config: GateConfig, stack: ExitStack) -> None:
        self.folder, self.config = folder, config
        store, *_ = _store(folder, stack, configuration())
        self.store: GateStore = replace(store, alarm=lambda _: None, sealing=None)
        self.files = LocalArtifacts(folder)
        self.sealer = ParquetSealer(self.files)
        engine = open_database(sqlite_url(folder / "state" / "regime.db"))
        stack.callback(engine.dispose)
        self.sealing = Sealing(store.audit, self.sealer, rl=lambda firm: SqlRLLog(engine, firm_id=firm))
        self.spool = FirmSpool(folder / "spool", firm_id=FIRM)

    def ask(
        self, seconds: int, *changes: tuple[str, Any], accounts: tuple[str, ...] = (CORE,)
    ) -> list[PMDecision]:
        ts = T + seconds * 10**9
        fresh = [(path, ts) for path in ("proposal.as_of", "market.quotes.0.ts", "market.quotes.1.ts")]
        asked = [request(*fresh, RECON, *changes, as_of=ts, account=name) for name in accounts]
        return decide(asked, config=self.config, store=self.store)


def tell(folder: Path, config: GateConfig, ack: Ack) -> None:
    """The story; everything that was promised is acknowledged at once. A step that is refused was not promised."""
    compaction.FAN_IN = FAN_IN
    with ExitStack() as stack:
        try:
            place = Place(folder, config, stack)
        except (
            RegimeError
        ) as error:  # a disk that was read-only from the start: there is nobody to promise anything
            ack(refused=type(error).__name__)
            return

        def act(step: Callable[..., object], *more: Any, **named: Any) -> None:
            try:
                step(*more, **named)
            except RegimeError as error:
                ack(refused=type(error).__name__)

        for n in range(ROUNDS):
            act(_decide, place, ack, 10 * n, LOST if n == 1 else None, both=n == 0)
            act(_order, place, ack, n + 1)
            act(_dry_run, place, ack, 10 * n)
            act(place.sealing.seal_all, FIRMS)
            if n == 2:
                act(_while_down, place, ack, 10 * n + 5)
        act(_decide, place, ack, DAY)
        act(_dry_run, place, ack, DAY)
        act(place.sealing.seal_all, FIRMS)
        ack(end=True)


def _decide(
    place: Place, ack: Ack, seconds: int, change: tuple[str, Any] | None = None, both: bool = True
) -> None:
    accounts = (CORE, DEFENSIVE) if both else (CORE,)
    for decision in place.ask(seconds, *([change] if change else []), accounts=accounts):
        if AUDIT_DEGRADED in decision.rationale:
            assert all(order.intent == "exit" for order in decision.orders)
            ack(spooled=decision.decision_id)
            continue
        chain = f"shadow/{decision.account}"
        seq, entry_hash = place.store.audit(FIRM).head(chain)
        assert decision.state is not None
        ack(
            chain=chain, seq=seq, hash=entry_hash, decision=decision.decision_id,
            account=decision.account, latches=[latch.rule_id for latch in decision.state.latches],
        )  # fmt: skip


def _order(place: Place, ack: Ack, n: int) -> None:
    """Orders are only in the outbox of runs, not of the gate."""
    run_id, ledger = "2026-11-20", place.store.ledger(OTHER, Mode.SHADOW)
    orders = sample.orders(n)
    event = sample.event(n, env=Mode.SHADOW, run_id=run_id)
    made = DecisionCommit(
        sample.state(n), sample.portfolio(n), orders, [event], run_id, sample.decision_id(n), None
    )
    (receipt,) = ledger.commit_decisions([made])
    ack(
        chain=receipt.chain_id, seq=receipt.seq, hash=receipt.entry_hash, decision=sample.decision_id(n),
        orders=[order.client_order_id for order in orders],
    )  # fmt: skip


def _dry_run(place: Place, ack: Ack, seconds: int) -> None:
    (decision,) = place.ask(seconds, accounts=(GROWTH,))
    if AUDIT_DEGRADED not in decision.rationale:
        ack(account=GROWTH, decision=decision.decision_id, latches=[])


def _while_down(place: Place, ack: Ack, seconds: int) -> None:
    def refuse(*_: object) -> None:
        raise StoreDown("disk I/O error")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqlLedger, "commit_decisions", refuse)
        for n in range(2):
            (decision,) = place.ask(seconds + n, EXIT)
            assert all(order.intent == "exit" for order in decision.orders)
            ack(spooled=decision.decision_id)


def warm() -> None:
    """Load and compile everything that a decision needs, without a file or a thread that a fork would share."""
    import alembic.command
    import pyarrow.dataset  # noqa: F401

    assert alembic.command is not None
    asked = [request(RECON), request(RECON, account=DEFENSIVE)]
    decide(asked, config=gate_config())
    subjects = [Subject(one, shipped()[1][one.account], None) for one in asked]
    assert all(notes.at(1) for notes in notes_of(answers(asked), subjects, {}))


# --- afterwards ---------------------------------------------------------------------------------------------


def check(folder: Path, config: GateConfig, acks: list[dict[str, Any]]) -> dict[str, int]:
    """Everything that must hold, in a new process; raises where it does not."""
    compaction.FAN_IN = FAN_IN
    with ExitStack() as stack:
        engine = open_database(sqlite_url(folder / "state" / "regime.db"))
        stack.callback(engine.dispose)
        place = Place(folder, config, stack)
        waits = [waiting(body).decision_id for body in place.spool.pending()]
        before = {chain: _whole(place, chain) for chain in _chains()}
        _acknowledged(before, waits, acks)
        _latched(place, acks)
        _outbox(engine, before)
        _go_on(place, acks)
        _rows(_dataset(place, engine), acks)
        place.sealing.seal_all(FIRMS)
        _sealed_rows(folder, engine)
        _rows(_dataset(place, engine), acks)
        after = {chain: _whole(place, chain) for chain in _chains()}
        for chain, hashes in before.items():
            assert after[chain][: len(hashes)] == hashes, f"{chain} was rewritten"
        told = {json.loads(body)["decision_id"] for body in _bodies(place, EventType.DEGRADED)}
        assert set(waits) <= told and place.spool.pending() == ()
        return {"entries": sum(map(len, after.values())), "files": _glob(place, after)}


def _chains() -> tuple[str, ...]:
    return (f"shadow/{CORE}", f"shadow/{DEFENSIVE}", f"shadow/{OTHER}/main")


def _whole(place: Place, chain: str) -> list[str]:
    """Hashes of a whole chain, sealed and waiting, checked link by link."""
    _, firm, account = chain.split("/")
    audit = place.store.audit(firm)
    entries = list(whole_chain(audit, place.sealer, chain))
    held = verify_chain(entries, chain=chain)
    assert held.ok and held.entries == len(entries), held
    hashes = [entry.entry_hash for entry in entries]
    assert audit.head(chain) == ((len(hashes), hashes[-1]) if hashes else (0, "0" * 64)), chain
    sealed = audit.sealed(chain)
    assert sealed.seq == 0 or hashes[sealed.seq - 1] == sealed.entry_hash
    for row in audit.entries(chain, sealed.dropped_seq):
        assert row.entry_hash == hashes[row.event.seq - 1]
    for run_id in place.sealer.runs(firm, account, "shadow"):
        found = place.sealer.verify_sealed(run_id, firm, account)
        assert found.ok, found
    return hashes


def _acknowledged(whole: dict[str, list[str]], waits: list[str], acks: list[dict[str, Any]]) -> None:
    for ack in acks:
        if "chain" in ack:
            assert whole[ack["chain"]][ack["seq"] - 1 : ack["seq"]] == [ack["hash"]], f"lost: {ack}"


def _latched(place: Place, acks: list[dict[str, Any]]) -> None:
    for account in (CORE, DEFENSIVE):
        promised = [ack["latches"] for ack in acks if ack.get("account") == account]
        stored = place.store.ledger(FIRM, Mode.SHADOW).load(account, LATEST_NS)
        if promised:
            assert stored is not None
            assert set(promised[-1]) <= {latch.rule_id for latch in stored[0].latches}, "a latch was cleared"


def _outbox(engine: Any, whole: dict[str, list[str]]) -> None:
    """Every order belongs to a decision that is durable."""
    with reading(engine) as connection:
        decided = {
            (row.chain_id, row.decision_id, row.seq, row.entry_hash)
            for row in connection.execute(select(ACCOUNT_STATE).where(ACCOUNT_STATE.c.firm_id != DRY))
        }
        orders = [
            (row.chain_id, row.decision_id, row.seq, row.entry_hash)
            for row in connection.execute(select(OUTBOX))
        ]
    assert set(orders) <= decided
    for chain, _, seq, entry_hash in decided:
        assert whole[chain][seq - 1] == entry_hash


def _dataset(place: Place, engine: Any) -> RLDataset:
    """RL rows, sealed and waiting."""
    told = [SqlRLLog(engine, firm_id=firm).waiting() for firm in FIRMS]
    rows, decisions = ([one for part in told for one in part[n]] for n in (0, 1))
    return RLDataset(place.files, place.sealer, waiting=unsealed(rows, decisions, block_table))


def _rows(dataset: RLDataset, acks: list[dict[str, Any]]) -> None:
    """Every decision of the gate has its RL rows, and leads to the next one of its account, wherever they lie."""
    found = rl_check(dataset)
    assert found.ok, [(chain.chain, chain.run_id, chain.faults) for chain in found.chains]
    assert set(found.uncovered) <= {f"shadow/{OTHER}/main"}, found.uncovered  # a run, not the gate
    of: dict[str, list[tuple[int, int]]] = {}
    for chain in found.chains:
        assert chain.decisions == chain.transitions + chain.open
        of.setdefault(f"{chain.env}/{chain.account}", []).append((chain.decisions, chain.open))
    for name, runs in of.items():
        assert sum(opened for _, opened in runs) == 1, f"{name}: more than the last decision is open: {runs}"
    told = {
        json.loads(body)["decision_id"] for run in dataset.runs() for body in dataset.decisions(run).values()
    }
    promised = {ack["decision"] for ack in acks if "account" in ack}
    assert promised <= told, "an acknowledged decision has no rows"


def _sealed_rows(folder: Path, engine: Any) -> None:
    """After a sealing everything is in files, each row once; the store keeps the last of each account."""
    with reading(engine) as connection:
        left = [(row.account, row.sealed) for row in connection.execute(select(RL_ROWS))]
    assert len(left) == len(set(left)) and all(sealed for _, sealed in left), left
    for record in RECORDS:
        seen: list[tuple[str, str]] = []
        for path in (folder / f"rl_dataset/schema=1/record={record}").rglob("*.parquet"):
            table = pq.read_table(path, partitioning=None)
            seen += zip(*(table[name].to_pylist() for name in ("account_id", "state_id")), strict=True)
        assert len(seen) == len(set(seen)), f"{record}: a row lies in two files"
    for manifest in (folder / "rl_dataset/_manifest").rglob("run=*.json"):
        parts = json.loads(manifest.read_bytes())["parts"]
        there = (folder / parts[0]["path"]).parent.glob("*.parquet")
        assert {part["path"].rsplit("/", 1)[1] for part in parts} == {path.name for path in there}
        assert len(parts) < 2 * FAN_IN, f"{manifest}: {len(parts)} parts"


def _go_on(place: Place, acks: list[dict[str, Any]]) -> None:
    """The chain goes on, spooled decisions first; who was locked out still is, where nothing released it."""
    spooled = {ack["spooled"] for ack in acks if "spooled" in ack}
    locked = any("LD-01" in ack.get("latches", ()) for ack in acks)
    decision = _next(place)
    if locked and decision.trading_state_before is TradingState.NORMAL:
        assert decision.latches_cleared or _released(place), "a lockout was forgotten"
    told = {json.loads(body)["decision_id"] for body in _bodies(place, EventType.DEGRADED)}
    assert spooled <= told, "a spooled decision was lost"


def _next(place: Place) -> PMDecision:
    stored = place.store.ledger(FIRM, Mode.SHADOW).load(CORE, LATEST_NS)
    waits = [waiting(body).as_of_ns for body in place.spool.pending()]
    last = max([T, *waits, *([] if stored is None else [stored[0].as_of_ns])])
    (decision,) = place.ask((last - T) // 10**9 + 1)
    return decision


def _released(place: Place) -> bool:
    return any(json.loads(body)["rule_id"] == "LD-01" for body in _bodies(place, EventType.UNLOCK))


def _bodies(place: Place, kind: EventType) -> Iterator[bytes]:
    for account in (CORE, DEFENSIVE):
        for entry in whole_chain(place.store.audit(FIRM), place.sealer, f"shadow/{account}"):
            if entry.event.event_type == kind:
                yield entry.event.body


def _glob(place: Place, whole: dict[str, list[str]]) -> int:
    """After a sealing one glob sees every entry once, every file can be read, and nothing else lies about."""
    seen: dict[str, list[str]] = {chain: [] for chain in whole}
    files = sorted((place.folder / "audit").rglob("*.parquet"))
    for path in files:
        table = pq.read_table(path, partitioning=None)
        for firm, account, entry_hash in zip(
            *(table[name].to_pylist() for name in ("firm_id", "account_id", "entry_hash")), strict=True
        ):
            seen[f"shadow/{firm}/{account}"].append(entry_hash)
    for chain, hashes in whole.items():
        assert sorted(seen[chain]) == sorted(hashes), (
            f"{chain}: {len(seen[chain])} by glob, {len(hashes)} in all"
        )
    return len(files)
