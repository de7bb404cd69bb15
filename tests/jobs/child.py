"""A job of the tests: small steps, each of which leaves a file by what was asked, as runs do; or some way to go wrong.

``as_of`` of the request says which: words such as ``steps=5 pause=0.02``, ``exit=7``, ``raise``, ``refuse``,
``stubborn``.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regime_trading.adapters.job_channel import Tell, serve
from regime_trading.core.errors import BadInput


def act(ask: dict[str, Any], tell: Tell) -> Mapping[str, Any]:
    job, folder = ask["job"], Path(ask["artifacts"])
    words = dict(word.partition("=")[::2] for word in json.loads(job["request"])["as_of"].split())
    with (folder / f"{job['job_id']}.attempts").open("a") as attempts:
        attempts.write(f"{os.getpid()}\n")
    alone = os.open(folder / f"{job['job_id']}.lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with this process
    except BlockingIOError:
        (folder / f"{job['job_id']}.two-at-once").touch()
    if "stubborn" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "exit" in words:
        os._exit(int(words["exit"]))
    if "raise" in words:
        raise RuntimeError("password=hunter2hunter2 of a@b.example is wrong")
    if "refuse" in words:
        raise BadInput(expected="something else", found="this", where="request")
    print("noise on the output")
    tell({"run_id": f"run-{job['job_id'][4:16]}"})
    steps = int(words.get("steps", 1))
    for n in range(steps):
        tell({"stage": f"step {n}", "status": "finished", "detail": "", "progress": (n + 1) / steps})
        time.sleep(float(words.get("pause", 0)))
        part = folder / f"{job['job_id']}.{n}"
        part.with_suffix(".tmp").write_text(f"{job['firm_id']} {n}")
        part.with_suffix(".tmp").replace(part)
    with (folder / f"{job['job_id']}.ends").open("a") as ends:
        ends.write("end\n")
    return {"result": {"run_id": f"run-{job['job_id'][4:16]}", "path": "", "summary": {"steps": steps}}}


serve(act)
