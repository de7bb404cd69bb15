"""Every test: private keys and witnesses lie in temporary folders, also for the processes a test starts."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


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


@pytest.fixture(autouse=True)
def _own_witness(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A witness for each test: two records of one firm do not go to one."""
    monkeypatch.setenv("REGIME_WITNESS", os.fspath(tmp_path_factory.mktemp("witness")))
