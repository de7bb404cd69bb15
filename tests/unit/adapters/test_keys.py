"""Private keys: whole or not there, their owner's only, never outside their folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from regime_trading.adapters import keys as module
from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.keys import KeyFolder, publish, read_public_key, read_public_keys
from regime_trading.core.checkpoint import NotSigned
from regime_trading.core.errors import BadInput
from regime_trading.core.notes import read_note, sign


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def keys(folder: Path, tmp_path: Path) -> KeyFolder:
    return KeyFolder(folder, artifacts=tmp_path / "artifacts")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_made_kept_and_used(keys: KeyFolder, folder: Path) -> None:
    assert keys.only("alpha") is None and keys.held() == ()
    made = keys.create("alpha")
    (path,) = folder.iterdir()
    assert path.name == f"alpha.{made.public.key_hash}.key" and mode(path) == 0o600
    for found in (keys.only("alpha"), keys.signer("alpha", made.public.key_hash)):
        assert found is not None and found.public == made.public
        (signature,) = read_note(sign(b"text\n", [found]), "note").signatures
        assert made.public.verifies(signature.raw, b"text\n")
    assert keys.only("beta") is None and [key.firm_id for key in keys.held()] == ["alpha"]


def test_the_private_half_is_in_no_repr_and_no_error(keys: KeyFolder, folder: Path, tmp_path: Path) -> None:
    made = keys.create("alpha")
    (path,) = folder.iterdir()
    secret = path.read_text().splitlines()[1]
    sealed = KeyFolder(folder, artifacts=tmp_path / "artifacts", passphrase="not this one")
    with pytest.raises(NotSigned) as told:
        sealed.only("alpha")
    said = f"{made!r} {made} {keys!r} {sealed!r} {told.value} {told.value.__cause__} {vars(keys)}"
    assert secret not in said and "not this one" not in repr(sealed) + str(told.value)
    assert told.value.__suppress_context__


def test_a_passphrase_encrypts(folder: Path, tmp_path: Path) -> None:
    sealed = KeyFolder(folder, artifacts=tmp_path / "artifacts", passphrase="correct horse")
    made = sealed.create("alpha")
    (path,) = folder.iterdir()
    assert "ENCRYPTED" in path.read_text()
    found = sealed.only("alpha")
    assert found is not None and found.public == made.public
    for passphrase, said in ((None, "without a passphrase"), ("wrong", "under REGIME_KEY_PASSPHRASE")):
        with pytest.raises(NotSigned, match=said):
            KeyFolder(folder, artifacts=tmp_path / "artifacts", passphrase=passphrase).only("alpha")


@pytest.mark.parametrize("wide", [0o644, 0o640, 0o604, 0o700])
def test_a_file_that_others_can_read_is_refused(keys: KeyFolder, folder: Path, wide: int) -> None:
    made = keys.create("alpha")
    (path,) = folder.iterdir()
    path.chmod(wide)
    with pytest.raises(NotSigned, match=f"mode 0600 of your own, found {wide:04o}"):
        keys.signer("alpha", made.public.key_hash)


@pytest.mark.parametrize("wide", [0o755, 0o750, 0o701])
def test_a_folder_that_others_can_look_into_is_refused(keys: KeyFolder, folder: Path, wide: int) -> None:
    made = keys.create("alpha")
    folder.chmod(wide)
    for act in (
        lambda: keys.create("beta"),
        lambda: keys.only("alpha"),
        lambda: keys.signer("alpha", made.public.key_hash),
    ):
        with pytest.raises(NotSigned, match=f"mode 0700 of your own, found {wide:04o}"):
            act()
    assert len(list(folder.iterdir())) == 1


def test_a_folder_of_somebody_else_is_refused(
    keys: KeyFolder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.create("alpha")
    monkeypatch.setattr(module.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(NotSigned, match="of user"):
        keys.only("alpha")


@pytest.mark.parametrize("inside", ["artifacts", "artifacts/keys", "link"])
def test_a_folder_inside_the_artifacts_is_refused(tmp_path: Path, inside: str) -> None:
    (tmp_path / "artifacts" / "keys").mkdir(parents=True, mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "artifacts" / "keys")
    keys = KeyFolder(tmp_path / inside, artifacts=tmp_path / "artifacts", may_make=True)
    with pytest.raises(NotSigned, match="outside the artifacts"):
        keys.create("alpha")
    assert not list((tmp_path / "artifacts").rglob("*.key"))


def test_a_named_folder_that_is_not_there_is_an_error_and_the_default_is_made(tmp_path: Path) -> None:
    there = tmp_path / "deep" / "keys"
    with pytest.raises(NotSigned, match="an existing folder of keys"):
        KeyFolder(there, artifacts=tmp_path / "artifacts").only("alpha")
    default = KeyFolder(there, artifacts=tmp_path / "artifacts", may_make=True)
    assert default.only("alpha") is None and not there.exists()
    default.create("alpha")
    assert mode(there) == 0o700


def test_two_keys_of_one_firm_need_a_word_of_which(keys: KeyFolder) -> None:
    one, two = keys.create("alpha").public, keys.create("alpha").public
    with pytest.raises(NotSigned, match="one key of alpha"):
        keys.only("alpha")
    assert keys.signer("alpha", two.key_hash).public == two
    keys.retire("alpha", one.key_hash, keep=False)
    found = keys.only("alpha")
    assert found is not None and found.public == two


def test_a_retired_key_is_kept_on_request_and_signs_no_more(keys: KeyFolder, folder: Path) -> None:
    made = keys.create("alpha").public
    keys.retire("alpha", made.key_hash, keep=True)
    (path,) = folder.iterdir()
    assert path.suffix == ".retired" and mode(path) == 0o600
    assert keys.only("alpha") is None and not keys.held()[0].active
    with pytest.raises(NotSigned, match=made.key_hash):
        keys.signer("alpha", made.key_hash)


def test_a_key_under_another_name_or_of_another_kind_is_refused(keys: KeyFolder, folder: Path) -> None:
    one, two = keys.create("alpha").public, keys.create("beta").public
    (folder / f"alpha.{one.key_hash}.key").write_bytes((folder / f"beta.{two.key_hash}.key").read_bytes())
    with pytest.raises(NotSigned, match=f"key {one.key_hash}"):
        keys.only("alpha")
    other = ec.generate_private_key(ec.SECP256R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"beta.{two.key_hash}.key").write_bytes(pem)
    with pytest.raises(NotSigned, match="an Ed25519 key"):
        keys.only("beta")


def test_a_key_that_cannot_be_written_leaves_nothing(
    keys: KeyFolder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(NotSigned, match="No space left"):
        keys.create("alpha")
    assert list(folder.iterdir()) == []


def test_public_keys_are_published_and_read(keys: KeyFolder, tmp_path: Path) -> None:
    store = LocalArtifacts(tmp_path / "artifacts")
    made = {firm: keys.create(firm).public for firm in ("alpha", "beta")}
    for firm, key in made.items():
        publish(store, firm, key)
        publish(store, firm, key)
    folder = store.root / "audit" / "_keys"
    assert sorted(path.name for path in folder.rglob("*.pub")) == sorted(
        f"{key.key_hash}.pub" for key in made.values()
    )
    assert set(read_public_keys(folder)) == set(made.values())
    assert read_public_keys(folder / "alpha") == (made["alpha"],)
    assert not any("PRIVATE" in path.read_text() for path in store.root.rglob("*") if path.is_file())


def test_a_folder_without_keys_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(BadInput, match="public keys"):
            read_public_keys(folder)
    for data in (b"", b"text\n", b"\xff\n"):
        with pytest.raises(BadInput, match=r"^here"):
            read_public_key(data, "here")
