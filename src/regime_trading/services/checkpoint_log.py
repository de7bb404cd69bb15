"""A firm's checkpoints as an auditor reads them: one after the other, under keys that are trusted, beside witnesses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from regime_trading.core.checkpoint import Checkpoint, LogState, checkpoint_path, extend, origin
from regime_trading.core.errors import CheckFailed, RegimeError
from regime_trading.core.notes import PublicKey, read_vkey
from regime_trading.core.ports import RecordReader, Witness
from regime_trading.core.record_files import kind_of
from regime_trading.services.chains import Claim, Fault


@dataclass(slots=True)
class LogReport:
    """What the checkpoints of one firm say, as far as they hold.

    Parameters
    ----------
    checkpoints : list of Checkpoint
        That hold, in order.
    last : LogState or None
        After the last of them.
    keys : list of PublicKey
        That signed them, in order.
    faults, gaps : list of Fault
        What was changed, and what is missing.
    witnessed : int
        Number of the last checkpoint that a witness holds as it is here.
    """

    firm_id: str
    checkpoints: list[Checkpoint] = field(default_factory=list)
    last: LogState | None = None
    keys: list[PublicKey] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    gaps: list[Fault] = field(default_factory=list)
    witnessed: int = 0

    def claims(self) -> dict[str, list[Claim]]:
        """By chain, what every checkpoint that holds says of it, by size."""
        found: dict[str, list[Claim]] = {}
        for made in self.checkpoints:
            file = checkpoint_path(self.firm_id, made.seq)
            for head in made.chains:
                found.setdefault(head.chain_id, []).append(Claim(head, made.seq, file))
        return found

    def sizes(self, seq: int) -> dict[str, int]:
        """Entries of every chain as of checkpoint ``seq``."""
        return {head.chain_id: head.size for made in self.checkpoints[:seq] for head in made.chains}

    def bad(self, seq: int | None, file: str, reason: str) -> None:
        self.faults.append(Fault(origin(self.firm_id), seq, file, reason))

    def missing(self, seq: int | None, file: str, reason: str) -> None:
        self.gaps.append(Fault(origin(self.firm_id), seq, file, reason))


def read_log(reader: RecordReader, paths: Iterable[str], firm_id: str) -> LogReport:
    """Every checkpoint of a firm up to the first that does not hold, and the keys published beside it."""
    report, mine = LogReport(firm_id), list(paths)
    extend_log(reader, report, [path for path in mine if kind_of(path) == ("checkpoint", firm_id)])
    _check_published(reader, [path for path in mine if kind_of(path) == ("key", firm_id)], report)
    return report


def extend_log(reader: RecordReader, report: LogReport, there: Sequence[str]) -> None:
    """Add to a report the checkpoints that follow those it has, up to the first that does not hold.

    Parameters
    ----------
    there : sequence of str
        Paths of all checkpoints of the firm, in order.
    """
    known, firm_id = len(report.checkpoints), report.firm_id
    for n, path in enumerate(there[known:], known + 1):
        if path != (due := checkpoint_path(firm_id, n)):
            report.missing(n, due, f"checkpoint {n} is gone, {path.rsplit('/', 1)[1]} is there")
            return
        try:
            report.last = extend(report.last, reader.read(path), firm_id, path)
        except RegimeError as err:
            report.bad(n, path, str(err))
            return
        made = report.last.last
        report.checkpoints.append(made)
        if made.key is not None:
            report.keys.append(made.key)


def _check_published(reader: RecordReader, paths: Sequence[str], report: LogReport) -> None:
    published = {}
    for path in paths:
        try:
            key = _published(reader, path, report.firm_id)
        except RegimeError as err:
            report.bad(None, path, str(err))
            continue
        published[key] = path
    if report.faults or report.gaps:
        return  # the keys of a log that breaks off are not all known
    for key, path in published.items():
        if key not in report.keys:
            report.missing(None, path, f"key {key.label} is published and signs no checkpoint")
    for key in report.keys:
        if key not in published:
            path = f"audit/_keys/{report.firm_id}/{key.key_hash}.pub"
            report.missing(None, path, f"key {key.label} signs checkpoints and is not published")


def _published(reader: RecordReader, path: str, firm_id: str) -> PublicKey:
    data = reader.read(path)
    key = read_vkey(data.decode("ascii", errors="replace").removesuffix("\n"), path)
    if data != f"{key.vkey}\n".encode() or key.name != origin(firm_id):
        raise CheckFailed(f"{path}: not a key of {origin(firm_id)}")
    if path.rsplit("/", 1)[1] != f"{key.key_hash}.pub":
        raise CheckFailed(f"{path}: key {key.key_hash} under another name")
    return key


def check_trust(report: LogReport, trusted: Sequence[PublicKey]) -> None:
    """Whether the keys of a log are those of ``trusted`` keys of the firm, and each of these signed in it.

    One trusted key in the line of keys is enough for all of it: what came before is bound by the hashes it signed, and
    what follows was introduced by it. A trusted key that signed nothing means that the line was cut off before it.
    """
    own = [key for key in trusted if key.name == origin(report.firm_id)]
    if report.checkpoints and not set(own) & set(report.keys):
        report.bad(
            1,
            checkpoint_path(report.firm_id, 1),
            f"signed by {report.keys[0].label}, and none of its keys is one you trust",
        )
    if report.faults:
        return
    for key in own:
        if key not in report.keys:
            report.missing(None, "", f"the key you trust, {key.label}, signed nothing here")


def check_witness(reader: RecordReader, report: LogReport, witness: Witness) -> None:
    """Compare every checkpoint that a witness holds of the firm with the one here.

    Raises
    ------
    NotDurable
        The witness cannot be reached.
    """
    for n, held in enumerate(witness.held(report.firm_id), 1):
        path = checkpoint_path(report.firm_id, n)
        try:
            here = reader.read(path)
        except CheckFailed:
            report.missing(n, path, f"checkpoint {n} is gone; witness {witness.name} holds it")
            return
        if here != held:
            report.bad(n, path, f"checkpoint {n} is not the one that witness {witness.name} holds")
            return
        if n <= len(report.checkpoints):
            report.witnessed = max(report.witnessed, n)
