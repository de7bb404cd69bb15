"""Registers, dossiers, exports and actors over an artifacts folder. No configuration is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import SqlActors, open_database
from regime_trading.adapters.database.history import recorded_firms
from regime_trading.bootstrap import DATABASE, artifacts_folder, database_url, has_database
from regime_trading.bootstrap.acts import firm_history, make_acts
from regime_trading.bootstrap.version import code_version
from regime_trading.core.audit import PLATFORM, require_firm, require_ident
from regime_trading.core.errors import BadInput
from regime_trading.core.event_payloads import KeyAct
from regime_trading.core.instants import EARLIEST_NS, LATEST_NS
from regime_trading.core.ports import RecordHistory
from regime_trading.services.acts import Act, Acts, place_of_firm, record_acts
from regime_trading.services.export import make_bundle, record_export
from regime_trading.services.registers import Scope, moment


@dataclass(frozen=True, slots=True)
class Words:
    """What was typed: whose record, and which part of it."""

    firm: str | None = None
    account: str | None = None
    run: str | None = None
    first: str | None = None
    last: str | None = None


class Record:
    """The record under an artifacts folder, firm by firm."""

    def __init__(self, store: LocalArtifacts, engine: Any | None) -> None:
        self._store, self._engine = store, engine

    @property
    def store(self) -> LocalArtifacts:
        """The artifacts folder."""
        return self._store

    def firms(self) -> tuple[str, ...]:
        """Firms of which something is recorded, sorted, without the platform itself."""
        folder = self._store.root / "audit" / "_manifest" / "schema=1"
        sealed = {path.name.removeprefix("firm=") for path in folder.glob("firm=*")}
        waiting = () if self._engine is None else recorded_firms(self._engine)
        return tuple(sorted({*sealed, *waiting} - {PLATFORM}))

    def history(self, firm_id: str) -> RecordHistory:
        """Everything recorded of a firm."""
        return firm_history(self._engine, self._store, firm_id)

    def acts(self) -> Acts:
        """What acts are recorded through.

        Raises
        ------
        BadInput
            No database: there is nothing to record into.
        """
        return make_acts(self._require_engine(), self._store, code_version())

    def actors(self, firm_id: str) -> SqlActors:
        """Actors of a firm; raises as :meth:`acts`."""
        return SqlActors(self._require_engine(), firm_id=firm_id)

    def scope(self, words: Words) -> Scope:
        """Whose record is meant: the firm that is named, or the only one there is.

        Raises
        ------
        BadInput
            A firm, account, run or time that is none; no firm where there are several, or of which nothing is
            recorded.
        """
        firm, _, account = (words.account or "").rpartition("/")
        if firm and words.firm and firm != words.firm:
            raise BadInput(
                expected=f"an account of {words.firm}", found=str(words.account), where="--account"
            )
        chosen = words.firm or firm or self._only_firm()
        require_firm(chosen)
        if chosen != PLATFORM and chosen not in (known := self.firms()):
            raise BadInput(
                expected=f"one of {', '.join(known) or 'no firm: nothing is recorded'}",
                found=chosen,
                where="--firm",
            )
        return Scope(
            firm_id=chosen,
            account_id=require_ident(account, "--account") if account else "",
            run_id=require_ident(words.run, "--run") if words.run else "",
            from_ns=EARLIEST_NS if words.first is None else moment(words.first, "--from", end=False),
            to_ns=LATEST_NS if words.last is None else moment(words.last, "--to", end=True),
        )

    def _only_firm(self) -> str:
        firms = self.firms()
        if len(firms) != 1:
            found = "several" if firms else "nothing is recorded here"
            raise BadInput(
                expected=f"--firm, one of {', '.join(firms)}" if firms else "a record",
                found=found,
                where=str(self._store.root),
            )
        return firms[0]

    def _require_engine(self) -> Any:
        if self._engine is None:
            raise BadInput(
                expected=f"an artifacts folder with its database (state/{DATABASE})",
                found="none",
                where=str(self._store.root),
            )
        return self._engine


@contextmanager
def open_record(artifacts: Path | None) -> Iterator[Record]:
    """The record under an artifacts folder, and close it again. No database is made where there is none.

    Raises
    ------
    BadInput
        No such folder.
    """
    root = artifacts_folder(artifacts)
    if not root.is_dir():
        raise BadInput(expected="an artifacts folder", found="none", where=str(root))
    store = LocalArtifacts(root)
    engine = None
    if has_database(root):
        engine = open_database(database_url(root))
    try:
        yield Record(store, engine)
    finally:
        if engine is not None:
            engine.dispose()


# --- actors -------------------------------------------------------------------------------------------------


def list_actors(words: Words, artifacts: Path | None) -> list[dict[str, Any]]:
    """Actors of a firm with their names, for the local operator."""
    with open_record(artifacts) as record:
        return [
            {
                "actor": one.pseudonym,
                "subject": one.subject,
                "name": one.name,
                "email": one.email,
                "since_ns": str(one.created_ns),
                "erased": one.erased,
            }
            for one in record.actors(record.scope(words).firm_id).all()
        ]


def erase_actor(pseudonym: str, words: Words, artifacts: Path | None) -> dict[str, Any]:
    """Make the name of an actor irrecoverable, and record that it was done, in one transaction.

    Raises
    ------
    BadInput
        No such actor, or one that was erased already.
    NotDurable
        It could not be recorded; nothing was erased.
    """
    with open_record(artifacts) as record:
        firm = record.scope(words).firm_id
        actors, acts = record.actors(firm), record.acts()
        gone = KeyAct(action="shredded", key_hash=actors.fingerprint(pseudonym), subject=pseudonym)
        now_ns = acts.clock.now_ns()
        record_acts(
            acts, place_of_firm(firm), (Act(gone),), lambda events: actors.erase(pseudonym, now_ns, events)
        )
        return {"firm": firm, "actor": pseudonym, "erased": True}


# --- bundles ------------------------------------------------------------------------------------------------


def export_bundle(to: Path, words: Words, artifacts: Path | None) -> dict[str, Any]:
    """Write a bundle, a ZIP file or a folder, after its export is recorded.

    Raises
    ------
    BadInput
        A place that is taken or cannot be written, or nothing to export.
    CheckFailed
        A record that is not what was recorded or signed.
    NotDurable
        The export could not be recorded (nothing was written), or not be written.
    """
    _require_free(to)
    with open_record(artifacts) as record:
        scope, acts = record.scope(words), record.acts()
        bundle = make_bundle(record.history(scope.firm_id), record.store, scope)
        receipt = record_export(acts, scope, bundle)
    place = LocalArtifacts(to.parent)
    if to.suffix.lower() == ".zip":
        place.write_bytes(to.name, bundle.zipped())
    else:
        for name in sorted(bundle.files):
            place.write_bytes(f"{to.name}/{name}", bundle.files[name])
    return {
        "path": str(to),
        "firm": scope.firm_id,
        "entries": bundle.entries,
        "covered": bundle.covered,
        "chains": len(bundle.about["chains"]),
        "sha256": bundle.digest,
        "recorded": {"chain": receipt.chain_id, "seq": receipt.seq},
    }


def _require_free(to: Path) -> None:
    if to.exists():
        raise BadInput(expected="a file or folder that is not there yet", found="one that is", where=str(to))
    if not to.parent.is_dir():
        raise BadInput(
            expected="a place in a folder that exists", found="no such folder", where=str(to.parent)
        )
