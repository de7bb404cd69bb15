"""How far the record of a firm is signed and witnessed, from its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from regime_trading.core.checkpoint import checkpoint_path
from regime_trading.core.errors import CheckFailed, NotDurable
from regime_trading.core.ports import RecordReader
from regime_trading.services.checkpoint_log import LogReport, read_log
from regime_trading.services.views.sources import FirmSources

ProofStatus = Literal["witnessed", "signed", "not_signed"]


@dataclass(frozen=True, slots=True)
class ProofState:
    """What checkpoints say of the chains of a firm.

    Parameters
    ----------
    log : LogReport
        Every checkpoint up to the first that does not hold.
    reached : int
        Number of the last checkpoint that a witness holds; 0 = none.
    signed, witnessed : mapping
        Entries of every chain that are signed, and of those the ones that a witness holds too.
    witness_faults : tuple of str
        Witnesses that cannot be reached, or hold another past.
    """

    log: LogReport
    reached: int
    signed: Mapping[str, int]
    witnessed: Mapping[str, int]
    witness_faults: tuple[str, ...] = field(default=())

    def of(self, chain_id: str, seq: int) -> ProofStatus:
        """Proof status of one entry."""
        if seq <= self.witnessed.get(chain_id, 0):
            return "witnessed"
        return "signed" if seq <= self.signed.get(chain_id, 0) else "not_signed"


def proof_state(sources: FirmSources) -> ProofState:
    """How far the record of a firm is signed and witnessed now.

    Every checkpoint is read and its signature checked; of a witness only the last one it holds is compared, since
    each checkpoint binds all before it. Whether the entries are those that were signed is what verifying says.
    """
    reader, paths = sources.reader(), sources.proof_paths()
    log = read_log(reader, paths, sources.firm_id)
    last = len(log.checkpoints)
    reached, faults = 0, list[str]()
    for witness in sources.witnesses:
        try:
            held = witness.latest(sources.firm_id)
        except NotDurable:
            faults.append(f"{witness.name}: cannot be reached")
            continue
        n = 0 if held is None else _number(reader, log, held)
        if n is None:
            faults.append(f"{witness.name}: holds another past")
        else:
            reached = max(reached, n)
    return ProofState(log, reached, log.sizes(last), log.sizes(reached), tuple(faults))


def _number(reader: RecordReader, log: LogReport, held: bytes) -> int | None:
    """Number of the checkpoint here that a witness holds; None where it is none of them."""
    for n in range(len(log.checkpoints), 0, -1):
        try:
            if reader.read(checkpoint_path(log.firm_id, n)) == held:
                return n
        except CheckFailed:
            return None
    return None
