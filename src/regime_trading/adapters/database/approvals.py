"""Requests that people must agree to: every step one transaction, and only from where the step before left them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, update

from regime_trading.adapters.database.approval_tables import APPROVAL_COMMENTS, APPROVAL_VOTES, APPROVALS
from regime_trading.adapters.database.audit_log import append_chain
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.messages import publish
from regime_trading.adapters.database.previews import claim, finish, remember
from regime_trading.core.approvals import PENDING, Approval, ApprovalStatus, Comment, Request, Vote
from regime_trading.core.audit import chain_of, require_firm
from regime_trading.core.commands.previews import Done, Given, Use
from regime_trading.core.errors import BadInput, CheckFailed, Conflict
from regime_trading.core.messages import Message
from regime_trading.core.schemas import AuditEvent


class SqlApprovals:
    """Requests of one firm.

    Parameters
    ----------
    engine : Engine
    firm_id : str
        Tenant; requests of any other firm are refused.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

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
        """Store a new request with the entries and messages that tell of it.

        Parameters
        ----------
        approval : Approval
        events : sequence of AuditEvent
            Consecutive entries of one chain of the firm.
        messages : sequence of Message
        use, done, given : optional
            The use of the preview it came from, how that ended, and the line of its maker's history.

        Raises
        ------
        BadInput
            A request of another firm.
        Conflict
            The preview was used before.
        NotDurable
            A database that cannot write, or a taken id. Nothing was stored.
        """
        request = approval.request
        if request.firm_id != self._firm_id or (
            request.account and request.account.split("/")[0] != self._firm_id
        ):
            raise BadInput(
                expected=f"a request of firm {self._firm_id}",
                found=f"{request.firm_id} {request.account}",
                where="request",
            )
        row = {
            "firm_id": self._firm_id,
            "request_id": request.request_id,
            "account": request.account,
            "kind": request.kind.value,
            "created_ns": request.created_ns,
            "expires_ns": request.expires_ns,
            "payload_hash": request.payload_hash,
            "body": request.model_dump_json(),
            "status": approval.status.value,
            "version": approval.version,
            "why": approval.why,
        }
        with writing(self._engine) as connection:
            if use is not None:
                claim(connection, self._firm_id, use)
                if done is not None:
                    finish(connection, self._firm_id, use, done)
            connection.execute(insert(APPROVALS), row)
            self._insert_votes(connection, approval, 0)
            if given is not None:
                remember(connection, self._firm_id, given)
            self._tell(connection, events, messages)

    def move(
        self,
        before: Approval,
        after: Approval,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """Take one step of a request.

        Raises
        ------
        BadInput
            Not one step of one request.
        Conflict
            ``version``: it is no longer as it was ``before``. Nothing was stored.
        NotDurable
            A database that cannot write. Nothing was stored.
        """
        if (after.request, after.version) != (before.request, before.version + 1):
            raise BadInput(expected="one step of one request", found="another change", where="approval")
        mine = (APPROVALS.c.firm_id == self._firm_id) & (APPROVALS.c.request_id == before.request.request_id)
        same = (APPROVALS.c.version == before.version) & (APPROVALS.c.status == before.status.value)
        values = {"status": after.status.value, "version": after.version, "why": after.why}
        with writing(self._engine) as connection:
            moved = connection.execute(update(APPROVALS).where(mine, same).values(**values)).rowcount
            if moved != 1:
                raise Conflict("version", f"request {before.request.request_id} has changed meanwhile")
            self._insert_votes(connection, after, len(before.votes))
            self._tell(connection, events, messages)

    def comment(
        self,
        request_id: str,
        comment: Comment,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """Store what somebody said about a request that is open; it takes no step.

        Raises
        ------
        Conflict
            ``request``: it has ended, or there is none. Nothing was stored.
        NotDurable
            A database that cannot write. Nothing was stored.
        """
        c = APPROVAL_COMMENTS.c
        place = {"firm_id": self._firm_id, "request_id": request_id}
        mine = (APPROVALS.c.firm_id == self._firm_id) & (APPROVALS.c.request_id == request_id)
        count = select(func.count()).where(c.firm_id == self._firm_id, c.request_id == request_id)
        with writing(self._engine) as connection:
            status = connection.execute(select(APPROVALS.c.status).where(mine).with_for_update()).scalar()
            if status not in PENDING:
                raise Conflict("request", f"{request_id} is {status or 'not there'}")
            said = {"position": connection.execute(count).scalar_one()} | comment.model_dump()
            connection.execute(insert(APPROVAL_COMMENTS), place | said)
            self._tell(connection, events, messages)

    def get(self, request_id: str) -> Approval | None:
        """A request as it is now; None where the firm has none of that id.

        Raises
        ------
        CheckFailed
            What is stored is no longer what was stored.
        """
        query = select(APPROVALS).where(
            APPROVALS.c.firm_id == self._firm_id, APPROVALS.c.request_id == request_id
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
            return None if row is None else self._approval(connection, row)

    def listed(
        self, statuses: Collection[ApprovalStatus], accounts: Collection[str] | None = None, limit: int = 200
    ) -> tuple[Approval, ...]:
        """Requests of some statuses, those of the firm as a whole and those of ``accounts`` (None = all), oldest
        first; raises as :meth:`get`."""
        query = select(APPROVALS).where(
            APPROVALS.c.firm_id == self._firm_id,
            APPROVALS.c.status.in_([status.value for status in statuses]),
        )
        if accounts is not None:
            query = query.where(APPROVALS.c.account.in_(["", *accounts]))
        query = query.order_by(APPROVALS.c.created_ns, APPROVALS.c.request_id).limit(limit)
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
            return tuple(self._approval(connection, row) for row in rows)

    def _tell(
        self, connection: Connection, events: Sequence[AuditEvent], messages: Sequence[Message]
    ) -> None:
        if events:
            append_chain(connection, self._firm_id, chain_of(events[0]), events)
        publish(connection, self._firm_id, messages)

    def _insert_votes(self, connection: Connection, approval: Approval, known: int) -> None:
        place = {"firm_id": self._firm_id, "request_id": approval.request.request_id}
        rows = [
            place | {"position": n} | vote.model_dump() for n, vote in enumerate(approval.votes) if n >= known
        ]
        if rows:
            connection.execute(insert(APPROVAL_VOTES), rows)

    def _approval(self, connection: Connection, row: RowMapping) -> Approval:
        names = list(Vote.model_fields)
        query = (
            select(*(APPROVAL_VOTES.c[name] for name in names))
            .where(
                APPROVAL_VOTES.c.firm_id == self._firm_id, APPROVAL_VOTES.c.request_id == row["request_id"]
            )
            .order_by(APPROVAL_VOTES.c.position)
        )
        c = APPROVAL_COMMENTS.c
        said = (
            select(*(c[name] for name in Comment.model_fields))
            .where(c.firm_id == self._firm_id, c.request_id == row["request_id"])
            .order_by(c.position)
        )
        try:
            request = Request.model_validate_json(row["body"])
            comments = tuple(Comment(**one) for one in connection.execute(said).mappings())
            votes = tuple(Vote(**vote) for vote in connection.execute(query).mappings())
            status = ApprovalStatus(row["status"])
        except (ValidationError, ValueError) as error:
            raise CheckFailed(f"request {row['request_id']}: what is stored cannot be read") from error
        if (request.payload_hash, request.firm_id) != (row["payload_hash"], self._firm_id):
            raise CheckFailed(f"request {row['request_id']}: it is no longer what was stored")
        return Approval(
            request=request,
            status=status,
            votes=votes,
            version=row["version"],
            why=row["why"],
            comments=comments,
        )
