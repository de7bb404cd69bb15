"""Starts ``regime`` in processes forked from this one, which has imported everything once: they are up in a second.

One JSON document a line on standard input: ``{"argv", "env", "log"}`` begins a command with its output in a file and
answers with its process id; ``{"wait": pid}`` answers with its exit code.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path

CONFIG = Path(__file__).parents[2] / "config"


def warm() -> None:
    """Import what a server needs and make what it makes, once."""
    for name in ("uvicorn.protocols.http.h11_impl", "uvicorn.protocols.websockets.websockets_sansio_impl"):
        import_module(name)
    from regime_trading.bootstrap.serve import open_server
    from regime_trading.bootstrap.server import ServeOptions

    import_module("regime_trading.cli")
    os.environ.pop("REGIME_DATABASE", None)
    with tempfile.TemporaryDirectory() as folder, open_server(ServeOptions(jobs=0), Path(folder), CONFIG):
        pass


def begun(argv: list[str], env: dict[str, str], log: str) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.environ.clear()
        os.environ.update(env)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in (1, 2):
            os.dup2(file, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        from regime_trading.cli import app

        app(argv)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    warm()
    for line in sys.stdin:
        asked = json.loads(line)
        print(ended(asked["wait"]) if "wait" in asked else begun(**asked), flush=True)


if __name__ == "__main__":
    main()
