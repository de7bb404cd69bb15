"""The side of a job's process: one line of JSON in, lines of JSON out, and an end when nobody holds the job any more.

Standard library only, so that a process that is ended at once has cost nothing.
"""

from __future__ import annotations

import json
import os
import select
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from regime_trading.core.errors import RegimeError

LOST = 75  #: exit code of a process whose worker is gone, or can no longer renew (EX_TEMPFAIL)
Tell = Callable[[Mapping[str, Any]], None]


def serve(act: Callable[[dict[str, Any], Tell], Mapping[str, Any]]) -> NoReturn:
    """Do what is asked, say the answer of ``act`` or ``{error}``, and end; a traceback goes to stderr alone.

    Further lines on the input say that the lease goes on. Where none comes within ``lease_s`` of what was asked, or the
    input ends, so does this process, whatever it is doing.
    """
    tell, code = _own_output(), 0
    ask = json.loads(_first_line())
    threading.Thread(target=_watch, args=(float(ask["lease_s"]),), daemon=True).start()
    try:
        tell(act(ask, tell))
    except RegimeError as error:
        tell({"error": str(error)})
        code = error.exit_code
    except BaseException as error:
        traceback.print_exc()
        tell({"error": f"unexpected {type(error).__name__}: {error}"})
        code = 1
    sys.stderr.flush()
    os._exit(code)


def _own_output() -> Tell:
    """The worker's pipe for answers; whatever else prints goes to the errors."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    turn = threading.Lock()

    def tell(said: Mapping[str, Any]) -> None:
        with turn:
            pipe.write(json.dumps(said) + "\n")
            pipe.flush()

    return tell


def _first_line() -> bytes:
    """Byte by byte, so that nothing behind it is taken."""
    line = bytearray()
    while not line.endswith(b"\n"):
        if not (letter := os.read(0, 1)):
            os._exit(LOST)
        line += letter
    return bytes(line)


def _watch(lease_s: float) -> NoReturn:
    while select.select([0], [], [], lease_s)[0] and os.read(0, 4096):
        pass
    os._exit(LOST)
