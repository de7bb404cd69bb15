"""People's own weights as rows: each step one transaction, and only from where the step before left them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, tuple_, update

from regime_trading.adapters.database.audit_log import append_chain
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.jobs import insert_job
from regime_trading.adapters.database.messages import publish
from regime_trading.adapters.database.proposal_tables import PROPOSALS
from regime_trading.core.audit import chain_of, require_firm
from regime_trading.core.errors import BadInput, CheckFailed, Conflict
from regime_trading.core.jobs import Job
from regime_trading.core.messages import Message
from regime_trading.core.proposals import MOST_DRAFTS, BasketProposal, ProposalStatus
from regime_trading.core.schemas import AuditEvent

_T = PROPOSALS


class SqlProposals:
    """Proposals of one firm.

    Parameters
    ----------
    engine : Engine
    firm_id : str
        Tenant; proposals of any other firm are refused.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def add(
        self,
        proposal: BasketProposal,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> BasketProposal:
        """Store a new proposal, or return the one that is there under its id.

        Parameters
        ----------
        proposal : BasketProposal
        events : sequence of AuditEvent
            Consecutive entries of one chain of the firm.
        messages : sequence of Message

        Raises
        ------
        BadInput
            A proposal of another firm, an id that was used for other weights, or too many open drafts of its maker.
        NotDurable
            A database that cannot write. Nothing was stored.
        """
        self._require_own(proposal)
        with writing(self._engine) as connection:
            found = self._get(connection, proposal.proposal_id)
            if found is not None:
                if (found.maker, found.content) != (proposal.maker, proposal.content):
                    raise BadInput(
                        expected="the proposal that this key was used for",
                        found="another",
                        where="idempotency key",
                    )
                return found
            self._require_room(connection, proposal.maker)
            row = {"firm_id": self._firm_id, "proposal_id": proposal.proposal_id}
            row |= {"created_ns": proposal.created_ns, "maker": proposal.maker}
            connection.execute(insert(_T), row | _changing(proposal))
            self._tell(connection, events, messages)
            return proposal

    def move(
        self,
        before: BasketProposal,
        after: BasketProposal,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
        *,
        job: Job | None = None,
        max_waiting: int | None = None,
    ) -> None:
        """Take one step of a proposal, and queue the job that it becomes with it.

        Raises
        ------
        BadInput
            Not one step of one proposal, another firm's job, or too many jobs of whoever asks (``TooManyJobs``).
        Conflict
            ``version``: it is no longer as it was ``before``. Nothing was stored.
        NotDurable
            A database that cannot write. Nothing was stored.
        """
        self._require_own(after)
        kept = (before.proposal_id, before.maker, before.created_ns, before.version + 1)
        if (after.proposal_id, after.maker, after.created_ns, after.version) != kept:
            raise BadInput(expected="one step of one proposal", found="another change", where="proposal")
        if job is not None and job.firm_id != self._firm_id:
            raise BadInput(expected=f"a job of firm {self._firm_id}", found=job.firm_id, where="job")
        mine = (_T.c.firm_id == self._firm_id) & (_T.c.proposal_id == before.proposal_id)
        same = (_T.c.version == before.version) & (_T.c.status == before.status.value)
        with writing(self._engine) as connection:
            moved = connection.execute(update(_T).where(mine, same).values(**_changing(after))).rowcount
            if moved != 1:
                raise Conflict("version", f"proposal {before.proposal_id} has changed meanwhile")
            if job is not None:
                insert_job(connection, job, max_waiting)
            self._tell(connection, events, messages)

    def get(self, proposal_id: str) -> BasketProposal | None:
        """A proposal as it is now; None where the firm has none of that id.

        Raises
        ------
        CheckFailed
            What is stored is no longer what was stored.
        """
        with reading(self._engine) as connection:
            return self._get(connection, proposal_id)

    def page(
        self,
        *,
        statuses: Collection[ProposalStatus] = (),
        before: tuple[int, str] | None = None,
        limit: int = 50,
    ) -> tuple[BasketProposal, ...]:
        """Proposals from the newest on, at most ``limit``, of those before ``(created_ns, proposal_id)``; of any status
        where none is named. Raises as :meth:`get`."""
        query = select(_T).where(_T.c.firm_id == self._firm_id)
        query = query.order_by(_T.c.created_ns.desc(), _T.c.proposal_id.desc()).limit(limit)
        if statuses:
            query = query.where(_T.c.status.in_([status.value for status in statuses]))
        if before is not None:
            query = query.where(tuple_(_T.c.created_ns, _T.c.proposal_id) < tuple_(*before))
        with reading(self._engine) as connection:
            return tuple(_read(row) for row in connection.execute(query).mappings())

    def _get(self, connection: Connection, proposal_id: str) -> BasketProposal | None:
        query = select(_T).where(_T.c.firm_id == self._firm_id, _T.c.proposal_id == proposal_id)
        row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _read(row)

    def _require_own(self, proposal: BasketProposal) -> None:
        named = {proposal.firm_id, *(account.split("/")[0] for account in proposal.content.accounts)}
        if named != {self._firm_id}:
            raise BadInput(
                expected=f"a proposal of firm {self._firm_id}",
                found=", ".join(sorted(named)),
                where="proposal",
            )

    def _require_room(self, connection: Connection, maker: str) -> None:
        drafts = select(func.count()).where(
            _T.c.firm_id == self._firm_id, _T.c.maker == maker, _T.c.status == ProposalStatus.DRAFT.value
        )
        if (n := connection.execute(drafts).scalar_one()) >= MOST_DRAFTS:
            raise BadInput(expected=f"fewer than {MOST_DRAFTS} open drafts", found=str(n), where="proposals")

    def _tell(
        self, connection: Connection, events: Sequence[AuditEvent], messages: Sequence[Message]
    ) -> None:
        if events:
            append_chain(connection, self._firm_id, chain_of(events[0]), events)
        publish(connection, self._firm_id, messages)


def _changing(proposal: BasketProposal) -> dict[str, Any]:
    """Columns that a step may change."""
    return {
        "status": proposal.status.value,
        "version": proposal.version,
        "content_hash": proposal.content_hash,
        "body": proposal.model_dump_json(),
    }


def _read(row: RowMapping) -> BasketProposal:
    where = f"proposal {row['proposal_id']}"
    try:
        found = BasketProposal.model_validate_json(row["body"])
    except ValidationError as error:
        raise CheckFailed(f"{where}: what is stored cannot be read") from error
    names = ("firm_id", "proposal_id", "version", "created_ns", "maker", "content_hash")
    if any(getattr(found, name) != row[name] for name in names) or found.status.value != row["status"]:
        raise CheckFailed(f"{where}: it is no longer what was stored")
    return found
