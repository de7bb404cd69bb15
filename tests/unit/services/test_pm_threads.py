"""One gate, many threads: every account's chain goes on without a gap."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

from tests.gate_samples import CONFIG, CORE, DEFENSIVE, GROWTH, T, tree

from regime_trading import pm
from regime_trading.adapters.database import SqlAuditLog, open_database, sqlite_url
from regime_trading.core.audit import verify_chain
from regime_trading.core.schemas import PMDecision

S = 10**9
EACH = 6


def asked(account: str, n: int) -> dict[str, Any]:
    ts = T + n * S
    fresh = [(path, ts) for path in ("proposal.as_of", "market.quotes.0.ts", "market.quotes.1.ts")]
    return tree(*fresh, as_of=ts, account=account)


def test_threads_share_a_gate(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(CONFIG, config)
    traders = config / "traders.yaml"
    traders.write_text(traders.read_text().replace("mode: dry_run", "mode: shadow"))
    accounts, errors, told = (CORE, DEFENSIVE, GROWTH), list[BaseException](), dict[str, list[str]]()
    start = threading.Barrier(len(accounts))
    with pm.Gate(config, tmp_path / "artifacts") as gate:

        def run(account: str) -> None:
            try:
                start.wait()
                for n in range(EACH):
                    decision = gate.decide(asked(account, n))
                    assert isinstance(decision, PMDecision)
                    told.setdefault(account, []).append(decision.decision_id)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=run, args=(account,)) for account in accounts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    engine = open_database(sqlite_url(tmp_path / "artifacts" / "state" / "regime.db"))
    for account in accounts:
        firm, chain = account.split("/")[0], f"shadow/{account}"
        entries = SqlAuditLog(engine, firm_id=firm).entries(chain)
        assert verify_chain(entries, chain=chain).ok
        made = [e.event for e in entries if e.event.event_type == "DECISION"]
        assert len(made) == EACH and len(set(told[account])) == EACH
    engine.dispose()
