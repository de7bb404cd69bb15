"""Runs stories and checks in processes of their own, each forked from this one, which has imported everything once.

One JSON document a line on standard input: ``{folder, at, variant}`` ends the story at a boundary, ``{folder, acks,
delay_s}`` kills it so long after so many acknowledgements. One a line comes back: what was seen and what does not hold.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.crash.faults import EXIT_CODE, Faults
from tests.crash.story import check, gate_config, tell, warm


def forked(act: Callable[[int], None]) -> tuple[int, int]:
    """A child that runs ``act`` with the write end of a pipe; its id, and the read end."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        code = 1
        try:
            act(write)
            code = 0
        except BaseException:
            os.write(write, json.dumps({"error": traceback.format_exc()}).encode() + b"\n")
        finally:
            os._exit(code)
    os.close(write)
    return child, read


def lines(read: int, until: int | None = None) -> list[dict[str, Any]]:
    """What came through a pipe, to its end or until so many lines; a line that was cut off was not said."""
    data = b""
    while until is None or data.count(b"\n") < until:
        more = os.read(read, 65_536)
        if not more:
            break
        data += more
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def trial(asked: dict[str, Any]) -> dict[str, Any]:
    folder, config = Path(asked["folder"]), gate_config()

    def story(pipe: int) -> None:
        faults = Faults(asked.get("at", 0), asked.get("variant", "before"))
        faults.install()

        def ack(**said: Any) -> None:
            os.write(pipe, json.dumps(said | {"boundary": len(faults.seen)}).encode() + b"\n")

        tell(folder, config, ack)
        os.write(pipe, json.dumps({"seen": faults.seen}).encode() + b"\n")

    child, read = forked(story)
    said = lines(read, asked.get("acks"))
    if "acks" in asked:
        time.sleep(asked["delay_s"])
        os.kill(child, signal.SIGKILL)
        said += lines(read)
    os.close(read)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    errors = [line["error"] for line in said if "error" in line]
    seen = next((line["seen"] for line in said if "seen" in line), None)
    acks = [line for line in said if "boundary" in line]
    child, read = forked(lambda pipe: _report(pipe, check(folder, config, acks)))
    (found,) = lines(read)
    os.close(read)
    os.waitpid(child, 0)
    if status not in (0, EXIT_CODE, -signal.SIGKILL) and not errors:
        errors.append(f"the story ended with {status}")
    counts = {name: sum(name in ack for ack in acks) for name in ("refused", "spooled")}
    return {"seen": seen, "acks": len(acks), "status": status, "errors": errors} | counts | found


def _report(pipe: int, found: dict[str, int]) -> None:
    os.write(pipe, json.dumps(found).encode() + b"\n")


def main() -> None:
    warm()
    for line in sys.stdin:
        print(json.dumps(trial(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
