"""Ports: what the inside asks of the world. Adapters implement them; ``bootstrap`` picks them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from regime_trading.core.actors import ActorName
from regime_trading.core.audit import ChainCheck, ChainEntry, Dataset, SealedPart
from regime_trading.core.bars import IntradayGrid
from regime_trading.core.config_status import LastGood
from regime_trading.core.numbers import B1, I8
from regime_trading.core.overrides import SessionOverride
from regime_trading.core.recorded import Recorded, Selection
from regime_trading.core.schemas import (
    AccountState,
    AuditEvent,
    DataHealth,
    Fill,
    Order,
    OrderStatus,
    PortfolioSnapshot,
    PriceWindow,
    Provides,
    Receipt,
    RLBlock,
    RunRecord,
)
from regime_trading.core.tape import TapeChunk, TapeInfo, TapeTally
from regime_trading.core.trader_profile import TraderProfile


class Clock(Protocol):
    def now_ns(self) -> int:
        """Wall clock, UTC nanoseconds. Outside shadow and live it dates log lines only, never a decision."""
        ...


class MarketData(Protocol):
    """A source of bars. ``window(until=t)`` is the only way to see prices."""

    @property
    def name(self) -> str: ...

    @property
    def provides(self) -> frozenset[Provides]: ...

    @property
    def symbols(self) -> tuple[str, ...]: ...

    @property
    def calendar(self) -> str:
        """Name of the exchange calendar (``XNYS``, ``24/7`` …)."""
        ...

    def window(self, until: int | None = None, symbols: Sequence[str] | None = None) -> PriceWindow:
        """Bars with ``ts_event ≤ until`` (all bars where None)."""
        ...

    def health(self, until: int | None = None, symbols: Sequence[str] | None = None) -> DataHealth:
        """Integrity record of the same bars."""
        ...

    def tape(self, symbol: str) -> TapeSource | None:
        """Quotes and trades of a symbol; None where the source has none."""
        ...


class TapeSource(Protocol):
    """Quotes and trades of one symbol. Only what is not later than ``until`` can be seen."""

    @property
    def info(self) -> TapeInfo: ...

    def chunks(self, until: int | None = None) -> Iterator[TapeChunk]:
        """The tape from its beginning, up to and including ``until`` (UTC nanoseconds), in chunks of bounded size."""
        ...

    def tally(self) -> TapeTally:
        """What the last complete reading left out; raises ``RuntimeError`` before there was one."""
        ...


class Calendar(Protocol):
    """Sessions of a venue. Ordinals number its sessions; only their differences mean something."""

    @property
    def name(self) -> str: ...

    def closes_ns(self, first_ns: int, last_ns: int) -> I8:
        """Session closes in [first, last], int64 UTC nanoseconds."""
        ...

    def close_of(self, ordinal: int) -> int:
        """Close of one session, UTC nanoseconds."""
        ...

    def session_ordinal(self, ts_ns: I8) -> I8:
        """Ordinal of the session with ``previous close < ts ≤ close``."""
        ...

    def nearest_session(self, ts_ns: I8) -> tuple[I8, B1]:
        """Ordinal of the nearest session close, and whether the time is that close exactly."""
        ...

    def grid(self, bar_ns: int) -> IntradayGrid:
        """Intraday slots of ``bar_ns`` within the trading hours."""
        ...


class AuditLog(Protocol):
    """Write-ahead record of one firm. Nothing that depends on an event may leave before its receipt."""

    def append(self, events: Sequence[AuditEvent]) -> tuple[Receipt, ...]:
        """Make events durable (fsync), all or none, one receipt per chain. Appending the same events again
        returns the same receipts; a gap, or a different event at a taken sequence number, raises
        ``NotDurable``."""
        ...

    def head(self, chain_id: str) -> tuple[int, str]:
        """Last sequence number (0 = none) and entry hash of a chain."""
        ...

    def entries(self, chain_id: str, after_seq: int = 0) -> tuple[ChainEntry, ...]:
        """Entries of a chain after ``after_seq``, in order, for sealing."""
        ...


class RecordSealer(Protocol):
    """Sealed, partitioned Parquet under ``artifacts/audit`` and ``artifacts/rl_dataset``.

    Sealing what is sealed already verifies and re-uses it; rows that contradict it raise ``NotDurable``,
    files that are no longer what was sealed raise ``CheckFailed``.
    """

    def seal_audit(
        self, chain_id: str, prev_hash: str, events: Sequence[AuditEvent]
    ) -> tuple[SealedPart, ...]:
        """Seal consecutive events of one run; returns all parts of that run."""
        ...

    def seal_rl(self, block: RLBlock) -> tuple[SealedPart, ...]:
        """Seal RL rows; the columns include ``seq`` and ``ts_event_ns``."""
        ...

    def sealed(
        self, run_id: str, firm_id: str, account_id: str, dataset: Dataset = "audit"
    ) -> tuple[SealedPart, ...] | None:
        """Parts of a run that count as sealed; None where there are none."""
        ...

    def verify_sealed(
        self,
        run_id: str,
        firm_id: str,
        account_id: str,
        dataset: Dataset = "audit",
        head: Receipt | None = None,
    ) -> ChainCheck:
        """Check files against the manifest and entries against their chain, up to ``head`` where given."""
        ...

    def entries(self, run_id: str, firm_id: str, account_id: str) -> Iterable[ChainEntry]:
        """Sealed audit entries of a run, in order, unchecked."""
        ...


class Ledger(Protocol):
    """Persisted account state, simulated positions and pending orders of one firm in one environment.

    Accounts are named ``firm/account``; those of another firm are refused."""

    def load(
        self, account: str, before_ns: int
    ) -> tuple[AccountState, PortfolioSnapshot, tuple[Order, ...]] | None:
        """Latest state strictly before ``before_ns``, with its portfolio and its decision's open orders."""
        ...

    def load_beside(
        self, account: str, decided: str, as_of_ns: int
    ) -> tuple[AccountState, PortfolioSnapshot] | None:
        """Latest state of ``account`` at or before ``as_of_ns``, as it was when ``decided``, another account, was
        decided at that instant; as it is now where it was not."""
        ...

    def commit_decision(
        self,
        *,
        state: AccountState,
        portfolio: PortfolioSnapshot,
        orders: Sequence[Order],
        events: Sequence[AuditEvent],
        run_id: str,
        decision_id: str,
        newest_ns: int | None = None,
    ) -> Receipt:
        """Decision, latches, write-ahead rows and outbox in one durable transaction; idempotent by
        ``decision_id``. With ``newest_ns`` nothing is committed after a state that is later than that."""
        ...

    def decided(self, account: str, decision_id: str) -> bool:
        """Whether this decision of an account is committed."""
        ...

    def mark_orders(self, receipt: Receipt, status_of: Mapping[str, OrderStatus]) -> None:
        """Move orders (by ``client_order_id``) of the decision behind ``receipt`` to a new status."""
        ...


class Runs(Protocol):
    """Runs of one firm."""

    def start(self, run: RunRecord) -> RunRecord:
        """Record a run, or return what is recorded of it; other inputs under its id raise ``BadInput``."""
        ...

    def finish(self, run_id: str, status: Literal["done", "failed"]) -> None:
        """Record how a started run ended."""
        ...

    def get(self, run_id: str) -> RunRecord | None: ...

    def all(self) -> tuple[RunRecord, ...]:
        """All runs, by ``as_of_ns`` and id."""
        ...


class Broker(Protocol):
    def submit(self, account: str, orders: Sequence[Order], receipt: Receipt) -> None:
        """Accept orders for the next bar; idempotent by ``client_order_id``."""
        ...

    def fills(self, account: str, until_ns: int) -> Iterable[Fill]: ...


class ProgressSink(Protocol):
    def emit(self, event: Mapping[str, Any]) -> None:
        """One progress event: ``run_id``, ``stage``, ``status`` (started, finished, failed), ``detail``."""
        ...


class ArtifactStore(Protocol):
    """Files under one folder, by relative path. Every write is temp → fsync → rename."""

    @property
    def root(self) -> Path: ...

    def write_bytes(self, relative: str, data: bytes) -> Path: ...

    def read_bytes(self, relative: str) -> bytes: ...

    def exists(self, relative: str) -> bool: ...

    def names(self, folder: str) -> tuple[str, ...]:
        """Relative paths of the files directly in ``folder``, sorted."""
        ...

    def remove(self, relative: str) -> None: ...


class Overrides(Protocol):
    """Session overrides of one firm. Added, never changed, never removed: they end by themselves."""

    def add(
        self,
        override: SessionOverride,
        check: Callable[[tuple[SessionOverride, ...]], None],
        events: Sequence[AuditEvent] = (),
    ) -> None:
        """Store an override durably; ``check`` sees what is stored of the account, within the same transaction, and
        refuses by raising. ``events`` tell of it, in the same transaction. The same override again changes nothing."""
        ...

    def of(self, account: str) -> tuple[SessionOverride, ...]:
        """Every override that was ever made of an account, oldest first."""
        ...


class LastGoodConfigs(Protocol):
    """The last accepted configuration of each account of one firm."""

    def accept(
        self, profiles: Sequence[TraderProfile], now_ns: int, events: Sequence[AuditEvent] = ()
    ) -> None:
        """Remember configurations that were just accepted, all or none; an account has one. ``events`` tell of it, in
        the same transaction."""
        ...

    def hashes(self) -> Mapping[str, str]:
        """Hash of the last accepted configuration of each account, whether it still verifies or not."""
        ...

    def get(self, account: str) -> LastGood | None:
        """The last accepted configuration; None where there is none, or where its hash does not verify."""
        ...

    def accounts(self) -> tuple[str, ...]:
        """Accounts that were accepted before, sorted."""
        ...


class Actors(Protocol):
    """Whose the pseudonyms of one firm are."""

    def pseudonym(self, subject: str, now_ns: int, *, name: str = "", email: str = "") -> str:
        """Pseudonym of a subject, made where it has none."""
        ...

    def all(self) -> tuple[ActorName, ...]:
        """Every actor, oldest first, with the names of those that were not erased."""
        ...

    def fingerprint(self, pseudonym: str) -> str:
        """SHA-256 of the encrypted name, which stays after erasure."""
        ...

    def erase(self, pseudonym: str, now_ns: int, events: Sequence[AuditEvent]) -> None:
        """Make a name irrecoverable, together with the entry that says so."""
        ...


class RecordHistory(Protocol):
    """Everything that is recorded of one firm, sealed or not yet, each entry once."""

    def entries(self, wanted: Selection) -> Iterator[Recorded]:
        """Entries that fit, chain by chain in the order of their names, in sequence.

        Raises ``CheckFailed`` where an entry does not follow from its hashes, or two different ones claim one place.
        """
        ...

    def chains(self) -> tuple[str, ...]:
        """Names of all chains of the firm, sorted."""
        ...

    def hashes(self, chain_id: str) -> list[str]:
        """Entry hashes of a whole chain in sequence, from entry 1; a hole raises ``CheckFailed``."""
        ...
