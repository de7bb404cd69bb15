"""How far the record of a firm is signed and witnessed, from its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from regime_trading.core.audit import require_firm
from regime_trading.core.checkpoint import checkpoint_path
from regime_trading.core.errors import CheckFailed, NotDurable
from regime_trading.core.ports import RecordReader, Witness
from regime_trading.services.checkpoint_log import LogReport, extend_log

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
    witness_faults: tuple[str, ...]

    def of(self, chain_id: str, seq: int) -> ProofStatus:
        """Proof status of one entry."""
        if seq <= self.witnessed.get(chain_id, 0):
            return "witnessed"
        return "signed" if seq <= self.signed.get(chain_id, 0) else "not_signed"


class ProofReader:
    """Reads the checkpoints of one firm, each once as long as it lives, and checks signature and link of each.

    Parameters
    ----------
    firm_id : str
        Tenant.
    reader : callable
        Opens the sealed record.
    checkpoints : callable
        Paths of the firm's checkpoints, in order.
    witnesses : sequence of Witness
    """

    def __init__(
        self,
        firm_id: str,
        reader: Callable[[], RecordReader],
        checkpoints: Callable[[], Sequence[str]],
        witnesses: Sequence[Witness] = (),
    ) -> None:
        self.firm_id = require_firm(firm_id)
        self._reader, self._checkpoints, self._witnesses = reader, checkpoints, tuple(witnesses)
        self._known = LogReport(firm_id)

    @property
    def witnesses(self) -> int:
        """How many there are."""
        return len(self._witnesses)

    def state(self) -> ProofState:
        """How far the record is signed and witnessed now.

        Of a witness only the last checkpoint it holds is compared, since each binds all before it. Whether the entries
        are those that were signed is what verifying says.
        """
        reader = self._reader()
        log = self._log(reader)
        reached, faults = 0, list[str]()
        for witness in self._witnesses:
            try:
                held = witness.latest(self.firm_id)
            except NotDurable:
                faults.append(f"{witness.name}: cannot be reached")
                continue
            n = 0 if held is None else _number(reader, log, held)
            if n is None:
                faults.append(f"{witness.name}: holds another past")
            else:
                reached = max(reached, n)
        return ProofState(log, reached, log.sizes(len(log.checkpoints)), log.sizes(reached), tuple(faults))

    def _log(self, reader: RecordReader) -> LogReport:
        """The log as it is now; what was read before is read again only where the log is shorter than it was."""
        there, known = self._checkpoints(), self._known
        if len(there) < len(known.checkpoints):
            known = LogReport(self.firm_id)
        log = LogReport(self.firm_id, list(known.checkpoints), known.last, list(known.keys))
        extend_log(reader, log, there)
        self._known = LogReport(self.firm_id, list(log.checkpoints), log.last, list(log.keys))
        return log


def _number(reader: RecordReader, log: LogReport, held: bytes) -> int | None:
    """Number of the checkpoint here that a witness holds; None where it is none of them."""
    for n in range(len(log.checkpoints), 0, -1):
        try:
            if reader.read(checkpoint_path(log.firm_id, n)) == held:
                return n
        except CheckFailed:
            return None
    return None
