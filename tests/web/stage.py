"""A server of its own for what a browser measures: it speaks at any rate, and is killed and started again by its pid.

One JSON document a line on standard input, one answer a line on standard output:

``{"do": "open"}`` is answered with ``url`` and ``cookie`` of a portfolio manager of ``firm``; ``{"do": "speak", "kind",
"rate", "seconds"}`` publishes from a process that is not the server's, each message with its own instant in its text,
and is answered at the end with how many there were and the last number; ``{"do": "restart"}`` kills and starts, and is
answered with when it was up again; ``{"do": "last"}`` with the last number that the firm's channel has.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.api.process import Served, nursery, running

from regime_trading.adapters.database import SqlMessages, open_database
from regime_trading.bootstrap import database_url
from regime_trading.core.messages import BreachData, Data, Message, ModeData, RunLogData

FIRM, ACCOUNT = "north-pier", "north-pier/core"


def log(n: int, stamp: int) -> Data:
    return RunLogData(job_id="measured", line=f"said {n} {stamp}")


def breach(n: int, stamp: int) -> Data:
    said = f"said {n} {stamp}"
    return BreachData(breach_id=f"b-{stamp}", rule_id="LD-01", value="2", limit="1", rationale=said)


def mode(n: int, stamp: int) -> Data:
    return ModeData(mode="dry_run", trading_state=None, kill_level=None, reason=f"said {n} {stamp}")


KINDS: dict[str, Callable[[int, int], Data]] = {"log": log, "breach": breach, "mode": mode}


def speak(store: SqlMessages, kind: str, rate: float, seconds: float) -> int:
    """Messages at a rate, each stamped when it is due; what is due together is one transaction."""
    said, count, began = KINDS[kind], int(rate * seconds), time.time_ns()
    done = 0
    while done < count:
        due = min(count, int((time.time_ns() - began) * rate / 1e9) + 1)
        stamps = [(n, began + int(n * 1e9 / rate)) for n in range(done, due)]
        store.publish([Message(stamp, said(n, stamp), ACCOUNT) for n, stamp in stamps])
        done = due
        time.sleep(max(0.0, (began + done * 1e9 / rate - time.time_ns()) / 1e9))
    return count


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, nursery() as where:
        served = Served(where, Path(folder))
        served.witness.mkdir(mode=0o700)
        with running(served):
            person = served.admin(FIRM).invite(f"pm@{FIRM}.example", "pm")
            engine = open_database(database_url(served.artifacts))
            store = SqlMessages(engine, firm_id=FIRM)
            for line in sys.stdin:
                asked: dict[str, Any] = json.loads(line)
                match asked.pop("do"):
                    case "open":
                        found: dict[str, Any] = {"url": served.home, "cookie": person.client.cookies["sid"]}
                    case "speak":
                        found = {"sent": speak(store, **asked), "last": store.span()[1]}
                    case "restart":
                        served.end(signal.SIGKILL)
                        down = time.time_ns()
                        served.start()
                        found = {"up_ms": time.time_ns() / 1e6, "down_s": (time.time_ns() - down) / 1e9}
                    case _:
                        found = {"last": store.span()[1]}
                print(json.dumps(found), flush=True)
            engine.dispose()


if __name__ == "__main__":
    main()
