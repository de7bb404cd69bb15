"""A whole chain as a reader beside a sealer sees it."""

from __future__ import annotations

from collections.abc import Iterator

from regime_trading.core.audit import ChainEntry
from regime_trading.core.errors import BadInput
from regime_trading.core.ports import AuditLog, RecordSealer


def whole_chain(audit: AuditLog, sealer: RecordSealer, chain: str) -> Iterator[ChainEntry]:
    """Every entry of a chain of shadow, live or administration once and in order: sealed ones, then those that wait."""
    env, firm, account = chain.split("/")
    seen, told = 0, -1
    while True:
        for run_id in sealer.runs(firm, account, env):
            for entry in sealer.entries(run_id, firm, account, after_seq=seen):
                seen = entry.event.seq
                yield entry
        try:
            waiting = audit.entries(chain, seen)
        except BadInput:
            if seen == told:
                raise
            told = seen
            continue  # sealed while we read
        yield from waiting
        return
