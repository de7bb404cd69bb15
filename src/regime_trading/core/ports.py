"""Ports: what the inside asks of the world. Adapters implement them; ``bootstrap`` picks them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import JsonValue

from regime_trading.core.access import Grant, Role
from regime_trading.core.actors import ActorName
from regime_trading.core.approvals import Approval, ApprovalStatus
from regime_trading.core.audit import Backlog, ChainCheck, ChainEntry, Dataset, SealedHead, SealedPart
from regime_trading.core.bars import IntradayGrid
from regime_trading.core.checkpoint import SealedEntries
from regime_trading.core.commands.previews import Done, Given, Preview, StoredPreview, Use
from regime_trading.core.commits import DecisionCommit
from regime_trading.core.config_status import LastGood
from regime_trading.core.config_versions import ConfigVersion, Reading, VersionStatus
from regime_trading.core.controls import Clearing, Control, Effect, Flag, NewControl
from regime_trading.core.decision_inputs import InputBlock, RecordedRun
from regime_trading.core.firm_files import RunFile, TableHead
from regime_trading.core.jobs import Hold, Job, JobKind, JobStatus, Step
from regime_trading.core.messages import Message, Numbered
from regime_trading.core.notes import Signer
from regime_trading.core.notifications import Notice
from regime_trading.core.numbers import B1, I8
from regime_trading.core.overrides import SessionOverride
from regime_trading.core.record_files import Rows, RunManifest
from regime_trading.core.record_query import EntryQuery, Key
from regime_trading.core.recorded import Recorded, Selection
from regime_trading.core.schemas import (
    AccountState,
    AuditEvent,
    DataHealth,
    EventType,
    Fill,
    Mode,
    Order,
    OrderStatus,
    PortfolioSnapshot,
    PriceWindow,
    Provides,
    Receipt,
    RLBlock,
    RunRecord,
)
from regime_trading.core.stored_state import StoredState
from regime_trading.core.tape import TapeChunk, TapeInfo, TapeTally
from regime_trading.core.throttling import Budget
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.core.users import (
    Account,
    ApiToken,
    Factor,
    Member,
    OneTimeLink,
    Passkey,
    Rotation,
    Session,
    Site,
    Spent,
    Tally,
    Told,
    User,
)


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

    def entries(self, chain_id: str, after_seq: int = 0, limit: int | None = None) -> tuple[ChainEntry, ...]:
        """Entries of a chain after ``after_seq``, in order, at most ``limit``; those that have gone into the sealed
        record raise ``BadInput``."""
        ...

    def last(self, chain_id: str, event_type: EventType) -> ChainEntry | None:
        """Last entry of a kind; None where there is none. Of decisions it is never sealed away."""
        ...

    def sealed(self, chain_id: str) -> SealedHead:
        """How far a chain is sealed, and how far its rows have gone."""
        ...

    def backlog(self) -> tuple[Backlog, ...]:
        """Chains with entries that are not sealed yet, dry runs left out, by name."""
        ...

    def drop_sealed(self, chain_id: str, seq: int, entry_hash: str) -> int:
        """Forget rows up to ``seq``, which the caller has read back from the sealed record; the last decision stays."""
        ...

    def sealing(self) -> AbstractContextManager[bool]:
        """Exclusive right to seal this firm's chains, across processes; False where somebody else has it."""
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

    def entries(self, run_id: str, firm_id: str, account_id: str, after_seq: int = 0) -> Iterable[ChainEntry]:
        """Sealed audit entries of a run after ``after_seq``, in order, each once whatever is compacted meanwhile;
        unchecked."""
        ...

    def runs(self, firm_id: str, account_id: str, env: str) -> tuple[str, ...]:
        """Runs of an account with sealed audit entries of an environment, in the order of their entries."""
        ...

    def compact(self, run_id: str, firm_id: str, account_id: str, *, closed: bool) -> tuple[SealedPart, ...]:
        """Merge small audit parts of a run, all of them where the run is ``closed``; returns all its parts."""
        ...


class RecordedDecisions(Protocol):
    """Decisions as a record holds them, for replay: read, never checked, never changed."""

    def runs(self) -> tuple[RecordedRun, ...]:
        """Runs that have decisions, sorted."""
        ...

    def decisions(self, run: RecordedRun) -> Iterator[AuditEvent]:
        """DECISION entries of a run, in the order of time."""
        ...


class InputStore(Protocol):
    """Inputs of decisions, named by their content: what a decision was made of is durable before the decision is.

    The same inputs again change nothing; nothing of another firm lies in a firm's folder."""

    def put(self, block: InputBlock) -> str:
        """Make a block and its configurations durable; returns the path of the part."""
        ...

    def parts(self, firm_id: str, run_id: str) -> tuple[str, ...]:
        """Paths of a run's parts, by time; empty where there are none."""
        ...

    def read(self, part: str) -> InputBlock:
        """A part, without its configurations; raises ``CheckFailed`` where the file is not what was stored."""
        ...

    def config(self, firm_id: str, config_hash: str) -> bytes:
        """What a ``config_hash`` is the SHA-256 of; raises ``BadInput`` where there is none and ``CheckFailed`` where
        it is not what was stored."""
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

    def commit_decisions(self, decisions: Sequence[DecisionCommit]) -> tuple[Receipt, ...]:
        """Decisions of many accounts in one durable transaction, all or none, each as :meth:`commit_decision`."""
        ...

    def decided(self, account: str, decision_id: str) -> bool:
        """Whether this decision of an account is committed."""
        ...

    def mark_orders(self, receipt: Receipt, status_of: Mapping[str, OrderStatus]) -> None:
        """Move orders (by ``client_order_id``) of the decision behind ``receipt`` to a new status."""
        ...


class Spool(Protocol):
    """Second place of one firm's record, for decisions that only reduce while the store cannot take them."""

    def append(self, bodies: Sequence[bytes]) -> None:
        """Make bodies durable, all or none; one that waits already is left as it is. Raises ``NotDurable``."""
        ...

    def pending(self) -> tuple[bytes, ...]:
        """Bodies that wait, in order; damage raises ``CheckFailed``."""
        ...

    def settle(self, apply: Callable[[Sequence[bytes]], None]) -> int:
        """Hand everything that waits to an idempotent ``apply``, and put it away once that has returned."""
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


class Jobs(Protocol):
    """Jobs of one firm; each step is one transaction with what it tells."""

    def add(self, job: Job, *, max_waiting: int, events: Sequence[AuditEvent] = ()) -> Job:
        """Queue a job, or return the one that is there under its id; raises ``TooManyJobs`` beyond ``max_waiting`` of
        whoever asks."""
        ...

    def fire(self, basket: str, slot_ns: int, job: Job | None) -> Job | None:
        """Fire a slot of a schedule, once over all processes; None where it was fired, or has no job."""
        ...

    def last_slot(self, basket: str) -> int | None: ...

    def get(self, job_id: str) -> Job | None: ...

    def page(
        self,
        *,
        status: JobStatus | None = None,
        kind: JobKind | None = None,
        before: tuple[int, str] | None = None,
        limit: int = 50,
    ) -> tuple[Job, ...]:
        """Jobs from the newest on, of those before ``(created_ns, job_id)``."""
        ...

    def lines(self, job_id: str, after: int = 0, limit: int = 500) -> tuple[tuple[int, int, str], ...]:
        """Lines of a job's log: number, UTC nanoseconds, text."""
        ...

    def change(
        self,
        job_id: str,
        step: Step,
        now_ns: int,
        *,
        hold: Hold | None = None,
        lines: Sequence[str] = (),
        messages: Sequence[Message] = (),
        events: Sequence[AuditEvent] = (),
    ) -> Job | None:
        """One step of a job; None where ``hold`` is no longer who holds it, and nothing happened."""
        ...


class MessageReader(Protocol):
    """One lasting reader of a firm's messages: what it has not put behind it, it gets again."""

    def next(self, limit: int = 100) -> tuple[tuple[Numbered, ...], int]:
        """Messages it has not read, in order, and how many were dropped before it could."""
        ...

    def advance(self, seq: int) -> None:
        """Everything up to ``seq`` is behind it."""
        ...


class Channel(Protocol):
    """One way out of the house."""

    @property
    def name(self) -> str:
        """What it is called in what the operator reads; holds no secret."""
        ...

    def send(self, notice: Notice) -> bool:
        """Whether it was taken."""
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


class SealedFiles(Protocol):
    """The little of a file system that the sealed record needs, so that an object store serves as well: whole files by
    relative path with ``/``."""

    def write_bytes(self, relative: str, data: bytes) -> object:
        """Write or replace a file in one step: when this returns it is durable, and nobody ever sees half of it. Raises
        ``NotDurable``."""
        ...

    def read_bytes(self, relative: str) -> bytes:
        """Content of a file; ``BadInput`` where there is none."""
        ...

    def exists(self, relative: str) -> bool: ...

    def names(self, folder: str) -> tuple[str, ...]:
        """Relative paths of the files directly in ``folder``, sorted; none where it does not exist."""
        ...

    def remove(self, relative: str) -> None:
        """Remove a file; nothing happens where it is not there. Raises ``NotDurable``."""
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


class Approvals(Protocol):
    """Requests of one firm that people must agree to."""

    def add(
        self,
        approval: Approval,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
        *,
        use: Use | None = None,
        done: Done | None = None,
        given: Given | None = None,
    ) -> None:
        """Store a new request, together with the use of the preview it came from."""
        ...

    def move(
        self,
        before: Approval,
        after: Approval,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """One step of a request; ``Conflict`` (``version``) where it is no longer as it was ``before``."""
        ...

    def get(self, request_id: str) -> Approval | None: ...

    def listed(
        self, statuses: Collection[ApprovalStatus], accounts: Collection[str] | None = None, limit: int = 200
    ) -> tuple[Approval, ...]:
        """Requests of some statuses, those of the firm as a whole and those of ``accounts`` (None = all), oldest
        first."""
        ...


class Previews(Protocol):
    """Previews of commands of one firm, and what each person has commanded."""

    def add(
        self,
        preview: Preview,
        given: Given,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None: ...

    def get(self, preview_id: str) -> StoredPreview | None: ...

    def claim(self, use: Use) -> None:
        """Use a preview: the first use wins, every other raises ``Conflict`` (``used``)."""
        ...

    def finish(
        self,
        use: Use,
        done: Done,
        given: Given,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """How the claimed use ended."""
        ...

    def void_loosening(self, account: str | None, now_ns: int) -> int:
        """Void unused previews of unsafe commands of an account and of the firm as a whole (None = all)."""
        ...

    def note(self, given: Given, events: Sequence[AuditEvent] = ()) -> None:
        """Remember a command that had no preview."""
        ...

    def history(self, user_id: str, limit: int = 100) -> tuple[Given, ...]:
        """What somebody commanded, the newest first."""
        ...


class Idempotency(Protocol):
    """Answers to requests by their Idempotency-Key, for a day. It belongs to a login: reached by user id only."""

    def begin(self, user_id: str, key: str, request_hash: str, now_ns: int) -> tuple[int, str] | None:
        """None for the first request with a key; the answer (status, response) for the same one again. ``Conflict``
        for another one with the same key, or while the first is not answered."""
        ...

    def finish(self, user_id: str, key: str, status: int, response: str) -> None: ...

    def forget(self, user_id: str, key: str) -> None:
        """The request changed nothing, and may be sent again."""


class Messages(Protocol):
    """Messages of the live channel of one firm, numbered without gaps in the order of commits."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Store messages that tell of nothing but themselves (progress, logs)."""
        ...

    def span(self) -> tuple[int, int]:
        """Number of the oldest message that is kept and of the last one given out; (1, 0) where there is none."""
        ...

    def after(self, seq: int, limit: int = 1_000) -> tuple[Numbered, ...]:
        """Messages after ``seq`` in order, at most ``limit`` of them."""
        ...


class Tickets(Protocol):
    """Tickets for the live channel, known by their hash only; each counts once."""

    def add(self, ticket_hash: str, user_id: str, session_id: str, expires_ns: int) -> None:
        """Remember a ticket of a session, good until ``expires_ns``."""
        ...

    def take(self, ticket_hash: str, now_ns: int) -> str | None:
        """Use a ticket up and return its session; None where it is unknown, used or no longer good."""


class Controls(Protocol):
    """Halts of one firm (``core.controls``)."""

    def set(
        self, new: NewControl, events: Sequence[AuditEvent] = (), messages: Sequence[Message] = ()
    ) -> Control:
        """Put a halt in force, in one transaction with what tells of it; a flag counts once."""
        ...

    def clear(
        self,
        control_nos: Sequence[int],
        clearing: Clearing,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """End halts that are in force, all or none, in one transaction with what tells of it."""
        ...

    def all(self) -> tuple[Control, ...]:
        """Every halt that ever was; StoreDown where that cannot be read."""
        ...

    def note(
        self, effects: Sequence[Effect], events: Sequence[AuditEvent] = (), messages: Sequence[Message] = ()
    ) -> None:
        """Remember the first decisions that carried halts; of a known one only ``flat_ns`` is added."""
        ...

    def effects(self) -> tuple[Effect, ...]: ...


class Flags(Protocol):
    """Halts as files beside the database: the second path."""

    def put(self, flag: NewControl) -> Flag:
        """Lay a flag down durably; one that is there already never gets weaker."""
        ...

    def all(self) -> tuple[Flag, ...]:
        """Every flag; StoreDown where the folder cannot be read."""
        ...

    def lower(self, flag: Flag) -> None:
        """Take a flag away, if it is still that very one."""
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


class FirmFile(Protocol):
    """``traders.yaml``, one firm's section at a time (``adapters.traders_file``)."""

    def now(self, firm_id: str) -> Reading:
        """The section as it is, and what the loader says of it."""
        ...

    def with_document(self, firm_id: str, document: str) -> Reading:
        """The same if the section were ``document``."""
        ...

    def edited(self, document: str, account_id: str, values: Mapping[str, JsonValue]) -> str:
        """``document`` with values of one account set, by dotted path; the rest of it as it is."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """The right to replace the file; waits for it."""
        ...

    def replace(self, before: bytes, after: bytes) -> None:
        """Replace the file durably where it still is ``before``."""
        ...


class ConfigVersions(Protocol):
    """Versions of one firm's section; each change is one transaction with its ``events`` and ``messages``."""

    def get(self, version: int) -> ConfigVersion: ...

    def all(self, before: int | None = None, limit: int = 1_000) -> tuple[ConfigVersion, ...]: ...

    def of_status(self, *statuses: VersionStatus) -> tuple[ConfigVersion, ...]: ...

    def in_force(self) -> ConfigVersion | None: ...

    def add(
        self, version: ConfigVersion, events: Sequence[AuditEvent] = (), messages: Sequence[Message] = ()
    ) -> ConfigVersion:
        """Store a new version under the next number."""
        ...

    def take_in(
        self,
        version: ConfigVersion,
        profiles: Sequence[TraderProfile],
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> ConfigVersion:
        """Store what somebody wrote into the file."""
        ...

    def change(
        self,
        before: ConfigVersion,
        after: ConfigVersion,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """Move a version on."""
        ...

    def start(
        self,
        before: ConfigVersion,
        after: ConfigVersion,
        holds: Sequence[SessionOverride],
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """Move a version to ``applying``."""
        ...

    def finish(
        self,
        before: ConfigVersion,
        after: ConfigVersion,
        profiles: Sequence[TraderProfile],
        messages: Sequence[Message] = (),
    ) -> None:
        """Move a version from ``applying`` to ``applied``."""
        ...


class RecordReader(Protocol):
    """The sealed record of every firm, read back for checking. Paths are relative to the artifacts folder."""

    def paths(self) -> tuple[str, ...]:
        """Every file under ``audit/``, sorted."""
        ...

    def read(self, path: str) -> bytes:
        """Content of a file; one that cannot be read raises ``CheckFailed``."""
        ...

    def manifest(self, path: str) -> RunManifest:
        """The manifest at ``path``; anything else raises ``CheckFailed``."""
        ...

    def rows(self, part: SealedPart) -> Iterator[Rows]:
        """Rows of a part in batches, unchecked; a file that is not what the manifest says raises
        ``CheckFailed``."""
        ...


class Signers(Protocol):
    """Private keys of firms. One that is missing or cannot be used raises ``NotSigned``."""

    @property
    def name(self) -> str:
        """Where they are."""
        ...

    def signer(self, firm_id: str, key_hash: str) -> Signer:
        """The key of a firm with this hash."""
        ...

    def only(self, firm_id: str) -> Signer | None:
        """The one key of a firm that has signed nothing yet; None where there is none."""
        ...

    def create(self, firm_id: str) -> Signer:
        """A new key, durable before this returns."""
        ...

    def retire(self, firm_id: str, key_hash: str, *, keep: bool) -> None:
        """Take a key out of use."""
        ...


class Notary(Protocol):
    """Signs what was sealed."""

    def sign(self, firm_id: str, sealed: Sequence[SealedEntries]) -> None:
        """Make the checkpoint that covers ``sealed`` and whatever of the firm is sealed and not signed yet; none where
        there is nothing new. A dry run that cannot be signed is said to be unsigned, and goes on."""
        ...


class Witness(Protocol):
    """Keeps every checkpoint of every firm, out of the operator's reach. One that cannot be reached raises
    ``NotDurable``."""

    @property
    def name(self) -> str:
        """Where it is."""
        ...

    def latest(self, firm_id: str) -> bytes | None:
        """The last checkpoint it holds of a firm."""
        ...

    def put(self, firm_id: str, checkpoint: bytes) -> None:
        """Keep the checkpoint that follows the last one. The last one again changes nothing; one that does not follow
        raises ``CheckFailed``."""
        ...

    def firms(self) -> tuple[str, ...]:
        """Firms it holds checkpoints of, sorted."""
        ...

    def held(self, firm_id: str) -> tuple[bytes, ...]:
        """Every checkpoint it holds of a firm, in order."""
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


# --- people -------------------------------------------------------------------------------------------------


class Passwords(Protocol):
    """Hashing of passwords; deliberately slow."""

    def hash(self, password: str) -> str:
        """A salted hash."""
        ...

    def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password fits; without a hash the same work, and False."""
        ...

    def is_dated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        ...


class Totp(Protocol):
    """Time-based one-time codes (RFC 6238)."""

    def seed(self) -> str:
        """A new seed, base32."""
        ...

    def uri(self, seed: str, login: str) -> str:
        """What an authenticator scans."""
        ...

    def step_of(self, seed: str, code: str, now_ns: int) -> int | None:
        """Time step of a code that is valid now, one step early or late; None of any other."""
        ...


class Sealer(Protocol):
    """Encryption at rest; ``bound`` ties a secret to the row it is in."""

    def seal(self, plain: bytes, bound: bytes) -> bytes: ...

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """Raises ``CheckFailed`` where it was not sealed so."""
        ...


class PasskeyProtocol(Protocol):
    """WebAuthn, user verification required. Options are JSON for the browser, answers JSON from it."""

    def registration(self, site: Site, user: User, known: Sequence[Passkey], challenge: bytes) -> str: ...

    def registered(
        self, site: Site, user_id: str, answer: str, challenge: bytes, name: str, now_ns: int
    ) -> Passkey:
        """The new passkey; raises ``NotIdentified`` where the answer does not verify."""
        ...

    def authentication(self, site: Site, known: Sequence[Passkey], challenge: bytes) -> str: ...

    def credential_id(self, answer: str) -> bytes | None:
        """Whose key an answer says it is of; None where it is no answer."""
        ...

    def authenticated(self, site: Site, passkey: Passkey, answer: str, challenge: bytes) -> int:
        """The new sign count; raises ``NotIdentified`` where the answer does not verify."""
        ...


class ExternalIdentity(Protocol):
    """Who somebody is by the word of an identity provider (OpenID Connect), checked already."""

    @property
    def issuer(self) -> str: ...

    @property
    def subject(self) -> str: ...

    @property
    def email_verified(self) -> bool: ...


class Logins(Protocol):
    """What belongs to a login, reached by login, user, cookie, link and token only."""

    def by_login(self, login: str) -> Account | None: ...

    def account(self, user_id: str) -> Account | None: ...

    def by_external(self, issuer: str, subject: str) -> Account | None: ...

    def link_external(self, user_id: str, issuer: str, subject: str) -> None:
        """Remember who a person is elsewhere."""
        ...

    def token(self, token_hash: str) -> tuple[ApiToken, Account] | None: ...

    def touch_token(self, token: ApiToken, now_ns: int) -> None:
        """Note that a token was used."""
        ...

    def set_disabled(self, user_id: str, disabled_ns: int | None, only_firm: str | None, told: Told) -> None:
        """Disable (all sessions end) or enable a user; with ``only_firm`` only one whose roles are all in that firm.
        Raises ``BadInput`` for the last Admin of a firm."""
        ...

    def set_password(self, account: Account, password_hash: str, rotation: Rotation, told: Told) -> None:
        """Replace a password; all sessions but one end. Raises ``NotIdentified`` where it was replaced meanwhile."""
        ...

    def add_link(self, link_hash: str, link: OneTimeLink, only_firm: str | None, told: Told) -> None:
        """Store a link in the place of earlier ones; ``only_firm`` as in :meth:`set_disabled`."""
        ...

    def link(self, link_hash: str) -> tuple[OneTimeLink, User] | None: ...

    def use_link(self, link_hash: str, now_ns: int, password_hash: str, told: Told) -> None:
        """Set the password of a link's user and end all their sessions, once; raises ``NotIdentified`` otherwise."""
        ...


class Sessions(Protocol):
    """Sessions, found by the hash of their cookie."""

    def open(self, cookie_hash: str, session: Session, password: tuple[str, str] | None, told: Told) -> None:
        """Store a session; with ``password`` only while that hash stands, which is replaced by the second. Raises
        ``NotIdentified`` where the user was disabled or the password replaced meanwhile."""
        ...

    def get(self, cookie_hash: str) -> tuple[Session, Account] | None: ...

    def by_ids(self, session_ids: Sequence[str]) -> tuple[tuple[Session, Account], ...]: ...

    def touch(self, cookie_hash: str, now_ns: int) -> None:
        """Note that a session was used."""
        ...

    def prove(self, rotation: Rotation, spent: Spent, told: Told) -> None:
        """Use up a proof and replace the cookie, or neither; raises ``NotIdentified`` where either is gone."""
        ...

    def of(self, user_id: str) -> tuple[Session, ...]:
        """Sessions of a person, newest first."""
        ...

    def end(self, user_id: str, session_ids: Sequence[str] | None, keep: str, told: Told) -> int:
        """End some sessions of a person (all where None) but ``keep``; how many ended."""
        ...


class Factors(Protocol):
    """Second factors of people."""

    def totp(self, user_id: str, *, confirmed: bool) -> tuple[bytes, int] | None:
        """The sealed seed and the time step used last."""
        ...

    def offer_totp(self, user_id: str, sealed: bytes, now_ns: int) -> None:
        """Store a seed that counts for nothing yet."""
        ...

    def confirm_totp(
        self, rotation: Rotation, sealed: bytes, step: int, codes: Sequence[str], told: Told
    ) -> None:
        """Let the offered seed count, in the place of another; ``codes`` are hashes of new recovery codes."""
        ...

    def add_passkey(self, rotation: Rotation, passkey: Passkey, codes: Sequence[str], told: Told) -> None:
        """Store a passkey; raises ``BadInput`` where it is known already."""
        ...

    def passkeys(self, user_id: str) -> tuple[Passkey, ...]: ...

    def put_challenge(self, session_id: str, purpose: str, challenge: bytes, expires_ns: int) -> None:
        """Remember a challenge in the place of an earlier one."""
        ...

    def take_challenge(self, session_id: str, purpose: str, now_ns: int) -> bytes | None:
        """The challenge, once; None where there is none or it has expired."""
        ...

    def replace_codes(self, user_id: str, codes: Sequence[str], told: Told) -> None:
        """New recovery codes, by hash; earlier ones are gone."""
        ...

    def codes_left(self, user_id: str) -> int: ...

    def remove(self, user_id: str, factor: Factor, credential_id: bytes | None, told: Told) -> None:
        """Remove a factor; raises ``BadInput`` where there is none such, or it is the last of a PM or Admin."""
        ...


class Throttles(Protocol):
    """Budgets of attempts, shared by all processes."""

    def admit(self, places: Sequence[tuple[str, Budget]], now_ns: int) -> int:
        """Charge each budget, or none; how long to wait, 0 = go on."""
        ...

    def give_back(self, places: Sequence[str], *, whole: Sequence[str]) -> None:
        """Give back a try that succeeded; those in ``whole`` are forgotten altogether."""
        ...


class Tallies(Protocol):
    """What happens again and again in a firm, counted."""

    def count(self, key: str, now_ns: int, window_ns: int) -> int | None:
        """Count one more within the window; outside of it how many wait to be recorded, this one left out."""
        ...

    def start(self, tally: Tally, waiting: int, events: Sequence[AuditEvent]) -> bool:
        """Begin a window with the entries of what waited; False, and nothing, where somebody else was faster."""
        ...

    def due(self, before_ns: int) -> tuple[tuple[Tally, int], ...]:
        """Windows that began before an instant, and how many wait in each."""
        ...

    def close(self, tally: Tally, waiting: int, events: Sequence[AuditEvent]) -> bool:
        """End a window with the entries of what waited; False, and nothing, where it has moved on."""
        ...


class Members(Protocol):
    """People of one firm."""

    def all(self) -> tuple[Member, ...]:
        """Everybody with a role in the firm, by login."""
        ...

    def get(self, user_id: str) -> Member | None: ...

    def create(self, user: User, grant: Grant, link_hash: str, link: OneTimeLink, told: Told) -> None:
        """A new person with a role and a link; raises ``BadInput`` where the login is taken."""
        ...

    def grant(self, user_id: str, grant: Grant, now_ns: int, told: Told) -> None:
        """Give a role, or change what it covers. Raises ``BadInput`` where the firm would lose its last Admin."""
        ...

    def revoke(self, user_id: str, roles: Sequence[Role], told: Told) -> None:
        """Take roles away. Raises ``BadInput`` where there is none such, or for the last Admin of the firm."""
        ...


class ApiTokens(Protocol):
    """API tokens of one firm."""

    def add(self, token: ApiToken, token_hash: str, told: Told) -> None: ...

    def all(self, user_id: str | None = None) -> tuple[ApiToken, ...]:
        """Tokens of a person, or of everybody in the firm, newest first."""
        ...

    def revoke(self, token_id: str, user_id: str | None, told: Told) -> None:
        """End a token (of a person, where one is named); raises ``BadInput`` where there is none such."""
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


class RecordQuery(Protocol):
    """Entries of one firm, sealed or not yet, newest first. Each entry follows from its own hashes; whether a chain as
    a whole holds is what verifying says. A question that takes too long or too much raises ``TooMuch``."""

    def newest(self, query: EntryQuery, before: Key | None, limit: int) -> tuple[Recorded, ...]:
        """At most ``limit`` entries that fit and stand before ``before`` (the newest where None), newest first."""
        ...

    def entry(self, chain_id: str, seq: int) -> Recorded | None:
        """One entry of a chain of the firm; None where there is none."""
        ...

    def runs(self) -> Mapping[str, frozenset[str]]:
        """Run ids of the firm's dry-run chains, with the ids of their accounts."""
        ...


class AccountStates(Protocol):
    """States in force of one firm's accounts."""

    def latest(self, account: str, env: Mode) -> StoredState | None:
        """What the last decision of an account (``firm/account``) in an environment left; None where there is none."""
        ...


class FirmFiles(Protocol):
    """Files of runs that one firm may be shown. Whatever else there is does not exist here: other paths, links, other
    firms, the record."""

    def listed(self, run_id: str) -> tuple[RunFile, ...]:
        """Files of a run by path; none where there is no such run."""
        ...

    def read(self, path: str, limit: int) -> bytes | None:
        """The first ``limit`` bytes of a file; None where there is none that may be shown."""
        ...

    def digest(self, path: str) -> tuple[int, str] | None:
        """Size and SHA-256 of a file; None as in :meth:`read`."""
        ...

    def head(self, path: str, rows: int) -> TableHead | None:
        """Beginning of a CSV or Parquet file; None as in :meth:`read`. Raises ``TooMuch`` as a query of the record,
        ``CheckFailed`` where it is no table."""
        ...
