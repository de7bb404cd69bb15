"""The process of one job: started fresh, heard line by line, told that its lease goes on, ended by its own id."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import orjson

RENEWED = b"+\n"
_MAX_LINE = 4_000_000


class JobProcess:
    """A child process that is given one line of JSON and answers with lines of JSON.

    It has a session of its own, so that a signal from the terminal reaches the worker alone, and sees the end of its
    input when the worker is gone, however that ended.

    Parameters
    ----------
    command : sequence of str
    ask : mapping
        The first line.
    """

    def __init__(self, command: Sequence[str], ask: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._write(orjson.dumps(ask) + b"\n")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative where a signal did it; None while it runs."""
        return self._process.poll()

    def said(self, wait_s: float) -> tuple[list[dict[str, Any]], bool]:
        """What it said since the last time, after at most ``wait_s`` seconds; and whether that was all of it."""
        found: list[dict[str, Any]] = []
        with suppress(queue.Empty):
            one = self._said.get(timeout=wait_s)
            while one is not None:
                found.append(one)
                one = self._said.get_nowait()
            self._said.put(None)
            return found, True
        return found, False

    def renew(self) -> None:
        """Its lease goes on."""
        self._write(RENEWED)

    def end(self, grace_s: float) -> None:
        """Ask it to end, then end it; it is gone when this returns."""
        self._process.terminate()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.close()

    def close(self) -> int:
        """Wait for its end, and let go of its pipes; returns the exit code."""
        code = self._process.wait()
        self._reader.join(5)
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        return code

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it is gone already; its exit code tells
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with suppress(OSError, ValueError):
            while line := self._process.stdout.readline(_MAX_LINE):
                with suppress(orjson.JSONDecodeError):
                    said = orjson.loads(line)
                    if isinstance(said, dict):
                        self._said.put(said)
        self._said.put(None)
