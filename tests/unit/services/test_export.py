"""A bundle verifies alone in an empty folder; whatever is changed in it, is missing or added is refused."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine
from tests.register_samples import recorded, seal
from tests.unit.services.test_registers import Store, T, made

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import SqlActors, SqlAuditLog
from regime_trading.bootstrap.registers import Words, export_bundle
from regime_trading.core.audit import chain_of
from regime_trading.core.canonical import chain_hashes, sha256_hex
from regime_trading.core.checkpoint import (
    ChainHead,
    checkpoint_path,
    next_checkpoint,
    origin,
    sign_checkpoint,
)
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.event_payloads import Beat
from regime_trading.core.merkle import leaf_hash, root
from regime_trading.core.notes import Signer
from regime_trading.core.schemas import AuditEvent
from regime_trading.services.acts import Act, place_of_firm, record_act
from regime_trading.services.export import Bundle, make_bundle
from regime_trading.services.registers import Scope
from regime_trading.services.verify_bundle import Refused, check, zip_bytes

SEALED, UNSEALED = 40, 60


def signer(firm: str = "north") -> Signer:
    return Signer(origin(firm), Ed25519PrivateKey.from_private_bytes(b"\x07" * 32))


def head_of(events: tuple[AuditEvent, ...]) -> ChainHead:
    hashes = chain_hashes("0" * 64, [e.body for e in events])
    tree = root([leaf_hash(bytes.fromhex(h)) for h in hashes])
    return ChainHead(chain_of(events[0]), len(events), tree.hex(), hashes[-1])


def sign(store: Store, *heads: ChainHead) -> None:
    made_ = next_checkpoint(None, "north", heads, ts_ns=T, key=signer().public)
    LocalArtifacts(store.folder).write_bytes(checkpoint_path("north", 1), sign_checkpoint(made_, signer()))


@cache
def chains() -> tuple[tuple[AuditEvent, ...], ...]:
    return tuple(chain[:UNSEALED] for chain in recorded())


def filled(folder: Path, *, signed: bool = True) -> Store:
    """Two accounts of north and one of south: partly sealed, the sealed part signed, an act of each firm."""
    store = made(folder)
    for chain in chains():
        seal(folder, chain[:SEALED])
        SqlAuditLog(store.engine, firm_id=chain[0].firm_id).append(chain)
    for firm in ("north", "south"):
        SqlActors(store.engine, firm_id=firm).pseudonym("local:mary", T, name="Mary Major")
        record_act(store.acts(), place_of_firm(firm), Act(Beat(component=f"{firm} engine")))
    if signed:
        sign(store, *(head_of(chain[:SEALED]) for chain in chains()[:2]))
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filled(tmp_path_factory.mktemp("record"))


def bundle_of(store: Store, **scope: Any) -> Bundle:
    return make_bundle(store.record.history("north"), LocalArtifacts(store.folder), Scope("north", **scope))


@pytest.fixture(scope="module")
def bundle(store: Store) -> Bundle:
    return bundle_of(store)


def written(bundle: Bundle, folder: Path) -> Path:
    for name, data in bundle.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


# --- what is in it ------------------------------------------------------------------------------------------


def test_a_bundle_has_every_entry_of_the_firm_and_nothing_of_another(store: Store, bundle: Bundle) -> None:
    assert (bundle.entries, bundle.covered) == (2 * UNSEALED + 1, 2 * SEALED)
    bodies = [
        json.loads(line)["body"].encode()
        for name in sorted(bundle.files)
        if name.startswith("entries/")
        for line in bundle.files[name].splitlines()
    ]
    own = [e.event.body for e in SqlAuditLog(store.engine, firm_id="north").entries("admin/north/_firm")]
    assert bodies == own + [event.body for chain in chains()[:2] for event in chain]
    whole = b"".join(bundle.files.values()).lower()
    assert b"south" not in whole and b"mary" not in whole and b"local:" not in whole


def test_the_same_record_gives_the_same_bytes(store: Store, bundle: Bundle, tmp_path: Path) -> None:
    assert bundle_of(store).zipped() == bundle.zipped()
    assert filled_like(tmp_path).zipped() == zip_without_acts(store)


def filled_like(folder: Path) -> Bundle:
    """Another record of the same entries, all of them sealed: pseudonyms apart it is the same."""
    store = made(folder)
    for chain in chains():
        seal(folder, chain)
    sign(store, *(head_of(chain[:SEALED]) for chain in chains()[:2]))
    return bundle_of(store, account_id="a")


def zip_without_acts(store: Store) -> bytes:
    return bundle_of(store, account_id="a").zipped()


def test_a_range_is_cut_where_it_was_asked_for(store: Store) -> None:
    middle = chains()[0][20].ts_event_ns
    part = bundle_of(store, account_id="a", from_ns=middle, to_ns=middle)
    wanted = [e.seq for e in chains()[0] if e.ts_event_ns == middle]
    (about,) = part.about["chains"]
    assert about["entries"] == len(wanted) == part.covered
    with pytest.raises(BadInput, match="entries in that range"):
        bundle_of(store, run_id="no-run")


def test_a_record_that_was_not_signed_so_is_not_exported(tmp_path: Path) -> None:
    store = filled(tmp_path / "a", signed=False)
    sign(store, replace(head_of(chains()[0][:SEALED]), root="0" * 64))
    with pytest.raises(CheckFailed, match="is not what checkpoint 1 signed"):
        bundle_of(store)
    longer = filled(tmp_path / "b", signed=False)
    sign(longer, head_of(recorded()[0][: UNSEALED + 5]))
    with pytest.raises(CheckFailed, match="were signed"):
        bundle_of(longer)


# --- alone --------------------------------------------------------------------------------------------------


def alone(folder: Path, *words: str, isolated: bool = True) -> subprocess.CompletedProcess[str]:
    """The verifier of the bundle in a folder of its own; isolated, it sees the standard library and nothing else."""
    flags = ["-I", "-S"] if isolated else ["-I"]
    command = [sys.executable, *flags, "verify_bundle.py", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={})


def test_it_verifies_in_an_empty_folder_with_python_alone(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_bytes(bundle.zipped())
    (tmp_path / "verify_bundle.py").write_bytes(bundle.files["verify_bundle.py"])
    done = alone(tmp_path, "bundle.zip", "--sha256", bundle.digest)
    assert done.returncode == 0, done.stderr
    assert f"{bundle.entries} entries of 3 chains hold" in done.stdout
    assert f"{bundle.covered} of them are in the checkpoint" in done.stdout
    assert "signatures: NOT CHECKED" in done.stdout
    assert alone(tmp_path, "nothing.zip").returncode == 2


def test_with_the_library_it_checks_who_signed(bundle: Bundle, tmp_path: Path) -> None:
    folder = written(bundle, tmp_path)
    done = alone(folder, ".", "--key", signer().public.vkey, isolated=False)
    assert done.returncode == 0 and f"signed by {signer().public.label} (a key you named)" in done.stdout
    stranger = Signer(origin("north"), Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)).public.vkey
    done = alone(folder, ".", "--key", stranger, isolated=False)
    assert done.returncode == 3 and "no key that is known here" in done.stderr
    blind = alone(folder, ".", "--key", signer().public.vkey)
    assert blind.returncode == 3 and "with the key you named" in blind.stderr, "a check that was asked for"


def test_a_bundle_stripped_of_its_checkpoint_is_not_that_of_the_key(bundle: Bundle, tmp_path: Path) -> None:
    files = {n: d for n, d in bundle.files.items() if not n.startswith(("checkpoints/", "keys/"))}
    about = json.loads(files["bundle.json"])
    nothing = {"size": 0, "root": None, "index": None, "proof": None}
    about |= {"checkpoint": None, "chains": [one | nothing for one in about["chains"]]}
    files["bundle.json"] = json.dumps(about).encode()
    for name in [n for n in files if n.startswith("entries/")]:
        files[name] = lines_of([row | {"proof": None} for row in rows_of(files[name])])
    (tmp_path / "bundle.zip").write_bytes(zip_bytes(resummed(files)))
    assert check(tmp_path / "bundle.zip")["covered"] == 0
    with pytest.raises(Refused, match="the key you named"):
        check(tmp_path / "bundle.zip", trusted=signer().public.vkey)


def test_a_bundle_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    bare = bundle_of(filled(tmp_path / "record", signed=False))
    (tmp_path / "out").mkdir()
    folder = written(bare, tmp_path / "out")
    done = alone(folder, ".")
    assert done.returncode == 0 and "nothing is signed" in done.stdout
    assert b"nothing here is signed" in bare.files["README.txt"]


# --- changed ------------------------------------------------------------------------------------------------


def refused(path: Path, digest: str | None = None) -> bool:
    try:
        check(path, digest)
    except Exception:  # whatever goes wrong in reading is a refusal (``main``)
        return True
    return False


def test_any_changed_byte_of_the_file_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    data = bundle.zipped()
    path = tmp_path / "bundle.zip"
    path.write_bytes(data)
    assert not refused(path)
    rng = random.Random(5)
    places = [*range(40), *range(len(data) - 80, len(data)), *rng.sample(range(len(data)), 120)]
    for place in places:
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :])
        assert refused(path), place
    for cut in (0, 1, len(data) - 1):
        path.write_bytes(data[:cut])
        assert refused(path)
    path.write_bytes(data + b"\0")
    assert refused(path)


def test_files_added_and_removed_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    folder = written(bundle, tmp_path / "b")
    assert not refused(folder)
    (folder / "more.txt").write_text("x")
    assert refused(folder)
    (folder / "more.txt").unlink()
    for name in bundle.files:
        (folder / name).rename(tmp_path / "aside")
        assert refused(folder), name
        (tmp_path / "aside").rename(folder / name)
    assert refused(folder, digest="0" * 64) and not refused(folder, bundle.digest)


def resummed(files: dict[str, bytes]) -> dict[str, bytes]:
    """What a careful forger does: every sum is made anew."""
    files = {name: data for name, data in files.items() if name != "SHA256SUMS"}
    told = "".join(f"{sha256_hex(files[name])}  {name}\n" for name in sorted(files))
    return files | {"SHA256SUMS": told.encode()}


def rows_of(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def lines_of(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, sort_keys=True).encode() + b"\n" for row in rows)


def _edit(rows: list[dict[str, Any]]) -> None:
    rows[4]["body"] = rows[4]["body"].replace('"seq":', '"seq": ', 1)


def _rehash(rows: list[dict[str, Any]]) -> None:
    """Edit an entry and make every hash from there on anew."""
    rows[4]["body"] = rows[4]["body"].replace("engine", "angine", 1)
    for n in range(4, len(rows)):
        rows[n]["prev_hash"] = rows[n - 1]["entry_hash"]
        body = bytes.fromhex(rows[n]["prev_hash"]) + rows[n]["body"].encode()
        rows[n]["entry_hash"] = sha256_hex(b"\x00" + body)


def _drop(rows: list[dict[str, Any]]) -> None:
    del rows[4]


def _swap(rows: list[dict[str, Any]]) -> None:
    rows[4], rows[5] = rows[5], rows[4]


def _repeat(rows: list[dict[str, Any]]) -> None:
    rows.insert(4, rows[4])


def _unproved(rows: list[dict[str, Any]]) -> None:
    rows[4]["proof"] = None


def _proof(rows: list[dict[str, Any]]) -> None:
    rows[4]["proof"] = rows[5]["proof"]


@pytest.mark.parametrize("forge", [_edit, _rehash, _drop, _swap, _repeat, _unproved, _proof])
def test_a_forger_who_makes_the_sums_anew_is_found_out(bundle: Bundle, tmp_path: Path, forge: Any) -> None:
    files = dict(bundle.files)
    rows = rows_of(files["entries/00002.jsonl"])
    forge(rows)
    files["entries/00002.jsonl"] = lines_of(rows)
    (tmp_path / "bundle.zip").write_bytes(zip_bytes(resummed(files)))
    with pytest.raises(Refused):
        check(tmp_path / "bundle.zip")


def test_a_forger_of_the_checkpoint_has_no_key(bundle: Bundle, tmp_path: Path) -> None:
    files = dict(bundle.files)
    name = next(n for n in files if n.startswith("checkpoints/"))
    files[name] = files[name].replace(b"time 1", b"time 2", 1)
    (tmp_path / "bundle.zip").write_bytes(zip_bytes(resummed(files)))
    with pytest.raises(Refused, match="signature"):
        check(tmp_path / "bundle.zip")


def test_the_zip_is_one_that_others_can_read(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_bytes(bundle.zipped())
    shutil.unpack_archive(tmp_path / "bundle.zip", tmp_path / "out")
    found = {
        p.relative_to(tmp_path / "out").as_posix(): p.read_bytes()
        for p in (tmp_path / "out").rglob("*")
        if p.is_file()
    }
    assert found == dict(bundle.files)


# --- recorded -----------------------------------------------------------------------------------------------


def test_an_export_is_in_the_record_before_it_leaves(tmp_path: Path) -> None:
    store = filled(tmp_path / "record")
    told = export_bundle(tmp_path / "b.zip", Words("north"), tmp_path / "record")
    last = SqlAuditLog(store.engine, firm_id="north").entries("admin/north/_firm")[-1]
    said = json.loads(last.event.body)
    assert (said["event_type"], said["sha256"]) == ("EXPORT", told["sha256"])
    assert (said["range"]["entries"], said["seq"]) == (told["entries"], told["recorded"]["seq"])
    assert check(tmp_path / "b.zip", told["sha256"])["entries"] == told["entries"]
    again = export_bundle(tmp_path / "folder", Words("north", account="a"), tmp_path / "record")
    assert check(tmp_path / "folder", again["sha256"])["entries"] == UNSEALED


def test_what_cannot_be_recorded_does_not_leave(tmp_path: Path) -> None:
    store = filled(tmp_path / "record")
    _full(store.engine)
    with pytest.raises(Exception, match="disk"):
        export_bundle(tmp_path / "b.zip", Words("north"), tmp_path / "record")
    assert not (tmp_path / "b.zip").exists()


def test_a_place_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_text("mine")
    with pytest.raises(BadInput, match="not there yet"):
        export_bundle(tmp_path / "b.zip", Words("north"), tmp_path)
    with pytest.raises(BadInput, match="folder that exists"):
        export_bundle(tmp_path / "no" / "b.zip", Words("north"), tmp_path)


def _full(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "create trigger full before insert on wal begin select raise(abort, 'disk'); end"
        )
