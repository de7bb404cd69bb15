"""The record: what is written down, sealed, signed, witnessed and read back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from regime_trading.core.actors import ActorName
from regime_trading.core.audit import Backlog, ChainCheck, ChainEntry, Dataset, SealedHead, SealedPart
from regime_trading.core.checkpoint import SealedEntries
from regime_trading.core.commits import DecisionCommit
from regime_trading.core.decision_inputs import InputBlock, RecordedRun
from regime_trading.core.ladder import RunSpan
from regime_trading.core.notes import Signer
from regime_trading.core.record_files import Rows, RunManifest
from regime_trading.core.record_query import EntryQuery, Key
from regime_trading.core.recorded import Recorded, Selection
from regime_trading.core.rl_rows import RLUnsealed, RLWaiting
from regime_trading.core.schemas import (
    AccountState,
    AuditEvent,
    EventType,
    Mode,
    Order,
    OrderStatus,
    PortfolioSnapshot,
    Receipt,
    RLBlock,
)
from regime_trading.core.stored_state import StoredState


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

    def turn(self) -> AbstractContextManager[None]:
        """Whatever the thread reads and stores within the block is one transaction, and no other writer comes
        between."""
        ...

    def sealed(self, chain_id: str) -> SealedHead:
        """How far a chain is sealed, and how far its rows have gone."""
        ...

    def backlog(self, run_ids: Collection[str] = ()) -> tuple[Backlog, ...]:
        """Chains with entries that are not sealed yet, by name; of dry runs only those of ``run_ids``."""
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

    def contents(
        self, run_id: str, firm_id: str, account_id: str, dataset: Dataset = "audit"
    ) -> tuple[bytes, ...]:
        """Files of all parts of a run in sequence, as of one instant whatever is compacted meanwhile; unchecked."""
        ...

    def runs(self, firm_id: str, account_id: str, env: str) -> tuple[str, ...]:
        """Runs of an account with sealed audit entries of an environment, in the order of their entries."""
        ...

    def compact(
        self, run_id: str, firm_id: str, account_id: str, dataset: Dataset = "audit", *, closed: bool
    ) -> tuple[SealedPart, ...]:
        """Merge small parts of a run, all of them where the run is ``closed``; returns all its parts."""
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

    def open_ends(self, accounts: Sequence[str], run_id: str = "") -> Mapping[str, bytes]:
        """By account what its last decision at the gate, or in the run ``run_id``, left open in the RL dataset
        (``DecisionCommit.rl``)."""
        ...

    def decided(self, account: str, decision_id: str) -> bool:
        """Whether this decision of an account is committed."""
        ...

    def mark_orders(self, receipt: Receipt, status_of: Mapping[str, OrderStatus]) -> None:
        """Move orders (by ``client_order_id``) of the decision behind ``receipt`` to a new status."""
        ...


class RLLog(Protocol):
    """RL rows of one firm's decisions that were made durable with them and are not sealed yet."""

    def waiting(self) -> tuple[tuple[RLWaiting, ...], tuple[AuditEvent, ...]]:
        """All rows that are not sealed, and the decisions whose entries lie in the store, as of one instant."""
        ...

    def unsealed(self) -> tuple[RLUnsealed, ...]:
        """Of every run with rows that are not sealed, how many there are; by account and run."""
        ...

    def sealable(self, limit: int) -> tuple[RLWaiting, ...]:
        """The oldest rows that are not sealed though the entries of their decisions are, or never will be: those of the
        gate's dry runs."""
        ...

    def backlog(self) -> tuple[Backlog, ...]:
        """How many rows are sealable, by trail (``core.audit.trail_of``)."""
        ...

    def dry_runs(self) -> tuple[str, ...]:
        """Paced runs with rows in the store: their entries are sealed as well."""
        ...

    def drop_sealed(self, rows: Sequence[RLWaiting]) -> None:
        """Forget rows that are sealed; the last of each trail stays."""
        ...


class AccountStates(Protocol):
    """States in force of one firm's accounts."""

    def latest(self, account: str, env: Mode) -> StoredState | None:
        """What the last decision of an account (``firm/account``) in an environment left; None where there is none."""
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

    def spans(self) -> tuple[RunSpan, ...]:
        """Decisions of every dry run of every account, by run and account."""
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
