"""Keys, witnesses and checkpoints over an artifacts folder; verification of a record from its files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import open_database
from regime_trading.adapters.disk import locked
from regime_trading.adapters.journal.reader import FolderFiles, SealedRecord
from regime_trading.adapters.keys import KeyFolder, publish, read_public_keys
from regime_trading.adapters.witness import open_witnesses
from regime_trading.bootstrap import (
    artifacts_folder,
    database_url,
    has_database,
    key_passphrase,
    keys_folder,
    load,
    state_file,
    witness_places,
)
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.version import code_version
from regime_trading.core.audit import require_firm
from regime_trading.core.canonical import sha256_hex
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.event_payloads import KeyAct
from regime_trading.core.notes import PublicKey
from regime_trading.core.settings import InvalidConfig
from regime_trading.services.acts import Act, place_of_firm, record_act
from regime_trading.services.proof import Proof, ProofDeps
from regime_trading.services.verify import Verified, verify


def open_proof(store: LocalArtifacts, configured: Sequence[str], tell: Callable[[str], None]) -> Proof:
    """What signs the record of ``store``; ``configured`` are the witnesses of the settings.

    Nothing is opened before the first checkpoint, so that a place that cannot be used stops nothing else.
    """
    places = witness_places(configured, store.root)
    return Proof(
        ProofDeps(
            store=store,
            reader=lambda: SealedRecord(FolderFiles(store.root)),
            clock=SystemClock(),
            keys=_keys(store.root),
            publish=lambda firm, key: publish(store, firm, key),
            witnesses=lambda: open_witnesses(places),
            lock=lambda firm: _turn(store.root, firm),
            tell=tell,
        )
    )


@contextmanager
def _turn(artifacts: Path, firm: str) -> Iterator[None]:
    """One process makes checkpoints of a firm at a time; another holder is waited for.

    Raises
    ------
    NotDurable
        The lock file cannot be made or locked.
    """
    with ExitStack() as stack:
        try:
            path = state_file(artifacts, f"checkpoint-{require_firm(firm)}.lock")
            stack.enter_context(locked(path))
        except OSError as err:
            raise NotDurable(f"lock of the checkpoints of {firm}: {err.strerror}") from err
        yield


def to_stderr(text: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"regime: {text}\n")


def _keys(artifacts: Path) -> KeyFolder:
    folder, may_make = keys_folder()
    return KeyFolder(folder, artifacts=artifacts, may_make=may_make, passphrase=key_passphrase())


# --- commands -----------------------------------------------------------------------------------------------


def create_keys(firm: str | None, artifacts: Path | None, config: Path | None) -> list[dict[str, Any]]:
    """A key for a firm that has none, for every configured firm where none is named.

    Raises
    ------
    BadInput
        The firm named has one already, or no key can be made.
    """
    store = LocalArtifacts(artifacts_folder(artifacts))
    keys = _keys(store.root)
    firms = [require_firm(firm)] if firm else sorted({profile.firm_id for profile in load(config).profiles})
    made = []
    for name in firms:
        held = [key for key in keys.held(name) if key.active]
        if held and firm:
            raise BadInput(
                expected="a firm without a key (regime audit keys rotate hands over to a new one)",
                found=f"key {held[0].key_hash}",
                where=name,
            )
        if not held:
            public = keys.create(name).public
            _told(store, name, "created", public)
            made.append({"firm": name, "key": public.label, "public": public.vkey, "folder": keys.name})
    return made


def rotate_key(firm: str, keep: bool, artifacts: Path | None, config: Path | None) -> dict[str, Any]:
    """Hand the record of a firm over to a new key.

    Raises
    ------
    BadInput, CheckFailed, NotDurable
        Why it cannot be; the old key stays.
    """
    store = LocalArtifacts(artifacts_folder(artifacts))
    keys = _keys(store.root)
    proof = open_proof(store, configured_witnesses(config), to_stderr)
    old = proof.state(require_firm(firm))
    public = proof.rotate(firm, keep=keep)
    _told(store, firm, "rotated", public)
    last = proof.state(firm)
    return {
        "firm": firm,
        "key": public.label,
        "public": public.vkey,
        "replaces": None if old is None else old.key.label,
        "checkpoint": None if last is None else last.last.seq,
        "folder": keys.name,
    }


def list_keys(firm: str | None, artifacts: Path | None) -> list[dict[str, Any]]:
    """Every key of a firm, or of all: its hash, whether its private half is here, and what it does."""
    store = LocalArtifacts(artifacts_folder(artifacts))
    keys = _keys(store.root)
    held = {(key.firm_id, key.key_hash): key.active for key in keys.held(firm)}
    published = {
        (found.parent.name, found.stem) for found in sorted((store.root / "audit" / "_keys").glob("*/*.pub"))
    }
    proof = open_proof(store, (), to_stderr)
    told = []
    for name, key_hash in sorted(held.keys() | {key for key in published if firm in (None, key[0])}):
        state = proof.state(name)
        signs = state is not None and state.key.key_hash == key_hash
        used = "signs" if signs else "signed" if (name, key_hash) in published else "not used"
        private = {True: "here", False: "retired"}.get(held.get((name, key_hash)), "not here")  # type: ignore[arg-type]
        told.append({"firm": name, "key": key_hash, "use": used, "private": private, "folder": keys.name})
    return told


def verify_record(
    path: Path | None, keys: Path | None, firm: str | None, witnesses: Sequence[str]
) -> Verified:
    """Verify a record from its files, trusted keys and witnesses alone.

    Raises
    ------
    BadInput
        No record, no keys, no such witness.
    NotDurable
        A witness that cannot be reached.
    """
    opened = open_witnesses(witnesses)
    for witness in opened:
        witness.require()
    return verify(
        SealedRecord(FolderFiles(artifacts_folder(path))),
        now_ns=SystemClock().now_ns(),
        trusted=None if keys is None else read_public_keys(keys),
        firm_id=firm,
        witnesses=opened,
    )


def configured_witnesses(config: Path | None) -> tuple[str, ...]:
    """Witnesses of the settings, where there are settings; those that cannot be read are refused."""
    try:
        return load(config).settings.audit.witness
    except InvalidConfig:
        raise
    except BadInput:
        return ()


def _told(store: LocalArtifacts, firm: str, action: Literal["created", "rotated"], key: PublicKey) -> None:
    """Record what was done with a key, where there is a store to record it in."""
    if not has_database(store.root):
        return
    engine = open_database(database_url(store.root))
    try:
        act = Act(KeyAct(action=action, key_hash=sha256_hex(key.raw), key_name=key.label))
        record_act(make_acts(engine, store, code_version()), place_of_firm(firm), act)
    finally:
        engine.dispose()
