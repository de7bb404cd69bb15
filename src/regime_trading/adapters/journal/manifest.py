"""Where sealed files lie, and the manifest that makes them count.

A part without a manifest entry is an orphan of a run that did not finish: readers of the manifest do not see
it, and the next sealing or compaction of that run removes it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import get_args

import orjson

from regime_trading.core.audit import (
    GATE_RUNS,
    Dataset,
    SealedPart,
    chain_id,
    require_account,
    require_ident,
)
from regime_trading.core.canonical import canonical_json
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.ports import SealedFiles

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class SealedRun:
    """Address of what one run of one account left in one dataset; RL rows of the gate's dry runs have one for all
    (:data:`~regime_trading.core.audit.GATE_RUNS`).

    Raises
    ------
    BadInput
        An unknown dataset, environment or an illegal id: no address ever leaves its folder.
    """

    dataset: Dataset
    firm_id: str
    account_id: str
    run_id: str

    def __post_init__(self) -> None:
        if self.dataset not in get_args(Dataset):
            raise BadInput(expected=" | ".join(get_args(Dataset)), found=repr(self.dataset), where="dataset")
        require_account(self.firm_id, self.account_id)
        if self.dataset == "audit" or self.run_id != GATE_RUNS:
            require_ident(self.run_id, "run_id")

    @property
    def folder(self) -> str:
        """Folder of the parts, relative to the artifacts folder."""
        return f"{self._root}/{self._partition}/run={self.run_id}"

    @property
    def manifest(self) -> str:
        """Path of the manifest, relative to the artifacts folder."""
        return f"{self._root}/_manifest/{self._partition}/run={self.run_id}.json"

    @property
    def siblings(self) -> str:
        """Folder of the manifests of all runs of the account."""
        return self.manifest.rsplit("/", 1)[0]

    def chain(self, env: str) -> str:
        """Chain that the run's audit entries belong to."""
        return chain_id(env, self.run_id, self.firm_id, self.account_id)

    @property
    def _root(self) -> str:
        return "audit" if self.dataset == "audit" else "rl_dataset"

    @property
    def _partition(self) -> str:
        record = "" if self.dataset == "audit" else f"record={self.dataset}/"
        return f"schema={SCHEMA}/{record}firm={self.firm_id}/account={self.account_id}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Parts of one run in sequence, and the environment they were recorded in."""

    env: str
    parts: tuple[SealedPart, ...]


def read_manifest(store: SealedFiles, run: SealedRun) -> Manifest | None:
    """The manifest of a run; None where nothing of it is sealed.

    Raises
    ------
    CheckFailed
        A file that is no manifest of this run.
    """
    if not store.exists(run.manifest):
        return None
    try:
        found = orjson.loads(store.read_bytes(run.manifest))
        if {key: found.get(key) for key in _address(run)} != _address(run):
            raise ValueError("manifest of another run")
        parts = tuple(SealedPart(**part) for part in found["parts"])
        if any(not part.path.startswith(f"{run.folder}/part-") for part in parts) or not parts:
            raise ValueError("parts outside the run's folder")
        return Manifest(found["env"], parts)
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise CheckFailed(f"{run.manifest}: not the manifest of this run: {err}") from err


def write_manifest(store: SealedFiles, run: SealedRun, manifest: Manifest) -> None:
    """Write the manifest; from here on its parts count."""
    parts = [asdict(part) for part in manifest.parts]
    store.write_bytes(run.manifest, canonical_json(_address(run) | {"env": manifest.env, "parts": parts}))


def _address(run: SealedRun) -> dict[str, str | int]:
    return {
        "schema": SCHEMA,
        "dataset": run.dataset,
        "firm_id": run.firm_id,
        "account_id": run.account_id,
        "run_id": run.run_id,
    }
