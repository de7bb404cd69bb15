"""Keys and checkpoints that the tests of the proof share."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from regime_trading.core.canonical import sha256_hex
from regime_trading.core.checkpoint import (
    ChainHead,
    LogState,
    extend,
    next_checkpoint,
    origin,
    sign_checkpoint,
)
from regime_trading.core.notes import Signer

T_NS = 1_795_188_600_000_000_000
SECOND_NS = 1_000_000_000


def signer(n: int = 1, firm: str = "alpha") -> Signer:
    """A key that follows from ``n``; nothing outside the tests is signed with it."""
    return Signer(origin(firm), Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32))


def head(account: str, size: int, *, run: str = "run-1", firm: str = "alpha") -> ChainHead:
    chain = f"dry_run/{run}/{firm}/{account}"
    return ChainHead(
        chain, size, sha256_hex(f"root {chain} {size}".encode()), sha256_hex(f"{chain} {size}".encode())
    )


class Log:
    """A firm's checkpoints as they grow."""

    def __init__(self, firm: str = "alpha") -> None:
        self.firm, self.state, self.notes = firm, None, list[bytes]()
        self.signer = signer(1, firm)

    def add(self, *grown: ChainHead, new: Signer | None = None, at_ns: int | None = None) -> bytes:
        """One more checkpoint, signed by the key in force and by ``new`` where it takes over."""
        first = self.state is None
        key = new.public if new else self.signer.public if first else None
        ts_ns = T_NS + len(self.notes) * 60 * SECOND_NS if at_ns is None else at_ns
        made = next_checkpoint(self.state, self.firm, grown, ts_ns=ts_ns, key=key)
        note = sign_checkpoint(made, *([self.signer] + ([new] if new else [])))
        return self.take(note, new)

    def take(self, note: bytes, new: Signer | None = None) -> bytes:
        self.state: LogState | None = extend(self.state, note, self.firm, f"checkpoint {len(self.notes) + 1}")
        self.notes.append(note)
        self.signer = new or self.signer
        return note


def sample_log() -> Log:
    """Three checkpoints, the second of which changes the key."""
    log = Log()
    log.add(head("core", 10), head("main", 3))
    log.add(head("core", 12), new=signer(2))
    log.add(head("main", 7), head("late", 1, run="run-2"))
    return log
