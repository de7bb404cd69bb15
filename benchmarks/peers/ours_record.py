"""This project in the scorecard's scenarios about what was sent and what was written down: 9, 12.

They run the SQL ledger, the simulated broker and the Parquet record in a temporary folder.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.peers.ours import shown, silence
from benchmarks.peers.ours_over_time import ACCOUNT, RUN, Desk, falling, ledger_in
from benchmarks.peers.outcome import Outcome
from tests.history_samples import DAY_NS

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.broker.simulated import SimulatedBroker
from regime_trading.adapters.database import SqlLedger
from regime_trading.adapters.journal import ParquetSealer, files
from regime_trading.adapters.journal.manifest import Manifest, SealedRun, read_manifest, write_manifest
from regime_trading.core.audit import ChainEntry, chain_of, event_of, link
from regime_trading.core.canonical import GENESIS, canonical_json, sha256_hex
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import (
    AuditEvent,
    InstrumentSpec,
    Order,
    OrderStatus,
    PriceWindow,
    Receipt,
)
from regime_trading.engine.backtest import HistoryInputs, run_history
from regime_trading.engine.fills import FillCosts

# --- 9: no answer -------------------------------------------------------------------------------------------


class Bars:
    """The closes of a history as a source of bars."""

    def __init__(self, made: HistoryInputs) -> None:
        self._bars = PriceWindow(made.market.symbols, made.market.ts_ns, made.market.close)

    def window(self, until: int | None = None, symbols: tuple[str, ...] | None = None) -> PriceWindow:
        bars = self._bars if until is None else self._bars.until(until)
        return bars.select(symbols or bars.symbols)


def resend() -> Outcome:
    """9: entries were sent and nobody answered; the ledger is opened again and the same decision sent again, twice."""
    made = falling()
    ts_ns = int(made.market.ts_ns[0])
    with tempfile.TemporaryDirectory() as name:
        with ledger_in(Path(name)) as ledger:
            desk = Desk(made, ledger)
            _, orders, receipt = desk.decide(0)
            ids = [order.client_order_id for order in orders]
            ledger.mark_orders(receipt, dict.fromkeys(ids, OrderStatus.SENDING))
            ledger.mark_orders(receipt, dict.fromkeys(ids, OrderStatus.UNKNOWN))
        with ledger_in(Path(name)) as ledger:
            waiting = [order.client_order_id for order in _open_orders(ledger, ts_ns + 1)]
            again = Desk(made, ledger)
            _, same, second = again.decide(0)
            broker = SimulatedBroker(
                ledger, Bars(made), FillCosts(0, 0, 0), lambda symbol: InstrumentSpec(symbol=symbol)
            )
            for _ in range(2):
                broker.submit(ACCOUNT, same, second)
            fills = [fill.client_order_id for fill in broker.fills(ACCOUNT, ts_ns + DAY_NS)]
            ledger.mark_orders(second, dict.fromkeys(fills, OrderStatus.FILLED))
            later = [fill.client_order_id for fill in broker.fills(ACCOUNT, ts_ns + DAY_NS)]
            refused = _refuses(lambda: broker.submit(ACCOUNT, same, second))
    authority, sent = silence()
    held = (
        (authority, sent) == ("CANCEL_ONLY", {})
        and waiting == ids
        and [order.client_order_id for order in same] == ids
        and second == receipt
        and sorted(fills) == sorted(ids)
        and not later
        and refused
        and len(ids) > 0
    )
    same_ids = len(set(ids) & {order.client_order_id for order in same})
    return Outcome(
        held,
        f"{len(waiting)} of {len(ids)} orders without answer open after reopening; decided again: {same_ids} of the "
        f"same ids; sent twice more: {len(fills)} fills, {len(later)} later; once filled a resend is "
        f"{'refused' if refused else 'ACCEPTED'}; two unanswered in a minute: {authority}, sent {shown(sent)}",
    )


def _open_orders(ledger: SqlLedger, before_ns: int) -> tuple[Order, ...]:
    found = ledger.load(ACCOUNT, before_ns)
    return () if found is None else found[2]


def _refuses(send: Callable[[], None]) -> bool:
    try:
        send()
    except BadInput:
        return True
    return False


# --- 12: tampering ------------------------------------------------------------------------------------------


def tampering() -> Outcome:
    """12: a sealed record is changed in seven ways by someone who also rewrites the manifest."""
    made = falling()
    written: list[AuditEvent] = []
    run_history(made, lambda _, events: written.extend(events))
    entries = link(written)
    middle = len(entries) // 2
    head = Receipt(chain_of(written[0]), len(entries), entries[-1].entry_hash)
    changed = _edited(entries[middle].event)
    rehashed = link([*written[:middle], changed])[-1]
    rest = link([*written[:middle], changed, *written[middle + 1 :]])
    forgeries = {
        "edit": _swap(entries, middle, replace(entries[middle], event=changed)),
        "edit and re-hash the entry": _swap(entries, middle, rehashed),
        "delete": entries[:middle] + entries[middle + 1 :],
        "insert": [*entries[:middle], entries[middle], *entries[middle:]],
        "reorder": _swap(_swap(entries, middle, entries[middle + 1]), middle + 1, entries[middle]),
        "cut the tail": entries[:middle],
        "re-hash everything after the edit": rest,
    }
    with tempfile.TemporaryDirectory() as name:
        store = LocalArtifacts(Path(name))
        sealer = ParquetSealer(store)
        sealer.seal_audit(head.chain_id, GENESIS, written)
        intact = sealer.verify_sealed(RUN, "north", "a", head=head)
        alone, witnessed = [], []
        for kind, forged in forgeries.items():
            _forge(store, forged)
            alone += [kind] if not sealer.verify_sealed(RUN, "north", "a").ok else []
            witnessed += [kind] if not sealer.verify_sealed(RUN, "north", "a", head=head).ok else []
    missed = [kind for kind in forgeries if kind not in alone]
    held = intact.ok and len(witnessed) == len(forgeries) and len(alone) == len(forgeries) - 2
    return Outcome(
        held,
        f"{intact.entries} entries intact: {'ok' if intact.ok else 'ACCUSED'}; {len(witnessed)} of "
        f"{len(forgeries)} forgeries found with the last receipt, {len(alone)} by the files alone (not: "
        f"{', '.join(missed)})",
    )


def _edited(event: AuditEvent) -> AuditEvent:
    """The same entry with another reason in it."""
    body = json.loads(event.body)
    return event_of(canonical_json(body | {"rationale": "nothing happened"}))


def _swap(entries: list[ChainEntry], at: int, entry: ChainEntry) -> list[ChainEntry]:
    return [*entries[:at], entry, *entries[at + 1 :]]


def _forge(store: LocalArtifacts, entries: list[ChainEntry]) -> None:
    """Write the entries over what is sealed, with a manifest that vouches for them."""
    run = SealedRun("audit", "north", "a", RUN)
    manifest = read_manifest(store, run)
    assert manifest is not None
    for part in manifest.parts:
        store.remove(part.path)
    data = files.encode(files.audit_table(entries))
    digest, first, last = sha256_hex(data), entries[0], entries[-1]
    path = f"{run.folder}/part-{first.event.seq}-{last.event.seq}-{digest[:8]}.parquet"
    store.write_bytes(path, data)
    part = replace(
        manifest.parts[0],
        path=path,
        rows=len(entries),
        seq_from=first.event.seq,
        seq_to=last.event.seq,
        sha256=digest,
        prev_hash=first.prev_hash,
        first_entry_hash=first.entry_hash,
        last_entry_hash=last.entry_hash,
    )
    write_manifest(store, run, Manifest(manifest.env, (part,)))


SCENARIOS = {9: resend, 12: tampering}
