"""The secret of the server: random, private, made once; and keys that have nothing to do with each other."""

from __future__ import annotations

import base64
import secrets
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from regime_trading.bootstrap.secrets import FILE, Purpose, ServerSecret, decoded, server_secret
from regime_trading.core.errors import BadInput

RANDOM = bytes.fromhex("8f1c5a07d3e94b62c0a17f3398e4d25b6e0fb18a4cd97723e51a960c42bd83f7")


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("REGIME_KEYS", str(folder))
    monkeypatch.delenv("REGIME_SECRET", raising=False)
    return folder


@pytest.mark.parametrize(
    "text",
    [RANDOM.hex(), RANDOM.hex().upper(), base64.b64encode(RANDOM).decode(), base64.urlsafe_b64encode(RANDOM).decode(),
     base64.b64encode(RANDOM).decode().rstrip("=") + "\n"],
)  # fmt: skip
def test_it_is_read_however_it_is_written(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGIME_SECRET", text)
    assert server_secret() == ServerSecret(RANDOM)


@pytest.mark.parametrize(
    "text",
    [
        "changeme", "secret", "not base64 at all!", "-", "é" * 50, "0" * 64, "00" * 40, "ab" * 32,
        RANDOM[:31].hex(), base64.b64encode(RANDOM[:31]).decode(), RANDOM[:8].hex() * 4,
        bytes(range(32)).hex(), bytes(range(0, 96, 3)).hex(),
        base64.b64encode(b"the quick brown fox jumps over the lazy dog 0123456789").decode(),
        base64.b64encode(RANDOM.hex().encode()).decode(),
    ],
)  # fmt: skip
def test_one_that_is_known_short_or_not_random_is_refused_without_a_word_of_it(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGIME_SECRET", text)
    with pytest.raises(
        BadInput, match="REGIME_SECRET: expected base64 or hex of at least 32 random bytes"
    ) as caught:
        server_secret()
    assert text not in str(caught.value).replace("openssl rand -base64 32", "") or len(text) < 7


def test_random_ones_are_accepted() -> None:
    for _ in range(2_000):
        assert decoded(secrets.token_hex(32), "x") and decoded(
            base64.b64encode(secrets.token_bytes(32)).decode(), "x"
        )


def test_a_file_is_made_once_and_private(keys: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: server_secret(), range(8)))
    assert len({one.value for one in found}) == 1
    assert stat.S_IMODE((keys / FILE).stat().st_mode) == 0o600
    assert [path.name for path in keys.iterdir()] == [FILE]
    assert found[0].value.hex() not in repr(found[0]) and repr(found[0]) == "ServerSecret()"


def test_a_file_or_folder_that_others_may_read_is_refused(keys: Path) -> None:
    server_secret()
    (keys / FILE).chmod(0o640)
    with pytest.raises(BadInput, match="expected mode 0600 of your own, found 0640"):
        server_secret()
    (keys / FILE).chmod(0o600)
    keys.chmod(0o750)
    with pytest.raises(BadInput, match="expected mode 0700 of your own, found 0750"):
        server_secret()


def test_a_file_that_was_emptied_is_refused_and_not_replaced(keys: Path) -> None:
    server_secret()
    (keys / FILE).write_text("")
    with pytest.raises(BadInput, match="expected base64 or hex"):
        server_secret()
    assert (keys / FILE).read_text() == ""


def test_no_folder_is_made_where_one_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGIME_SECRET", raising=False)
    monkeypatch.setenv("REGIME_KEYS", str(tmp_path / "none"))
    with pytest.raises(BadInput, match="an existing folder of keys"):
        server_secret()
    monkeypatch.delenv("REGIME_KEYS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    assert server_secret() == server_secret()
    made = tmp_path / "home" / "regime-trading" / "keys"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_each_purpose_has_its_own_key() -> None:
    found = {ServerSecret(RANDOM).key(purpose) for purpose in Purpose}
    assert len(found) == len(Purpose) and all(len(key) == 32 for key in found) and RANDOM not in found
    assert ServerSecret(RANDOM).key(Purpose.PEPPER) == ServerSecret(RANDOM).key(Purpose.PEPPER)
    assert ServerSecret(RANDOM[::-1]).key(Purpose.PEPPER) not in found
