"""Halts, overrides, approvals and commands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from regime_trading.core.approvals import Approval, ApprovalStatus, Comment
from regime_trading.core.commands.previews import Done, Given, Preview, StoredPreview, Use
from regime_trading.core.controls import Clearing, Control, Effect, Flag, NewControl
from regime_trading.core.intents import Intent, Kept
from regime_trading.core.messages import Message
from regime_trading.core.overrides import SessionOverride
from regime_trading.core.schemas import AuditEvent


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

    def comment(
        self,
        request_id: str,
        comment: Comment,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """What somebody said about a request; ``Conflict`` (``request``) where it has ended."""
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
    """Answers to requests by their Idempotency-Key, for a day. It belongs to a login: reached by user id only. The key
    itself is stored by whatever transaction first changes something for :data:`~regime_trading.core.intents.INTENT`."""

    def find(self, intent: Intent) -> Kept | None:
        """What is stored under a key; None where nothing is (any more)."""
        ...

    def keep(self, intent: Intent, status: int, response: str) -> None:
        """Keep the answer to a request that has changed something; the first one stays."""
        ...

    def forget(self, intent: Intent) -> None:
        """Give a key back whose request was refused."""
        ...

    def drop_before(self, now_ns: int) -> None:
        """Drop what is older than a day."""
        ...
