"""The worker: takes jobs from the queue, has each done by a process of its own, and tells how far it is."""

from __future__ import annotations

import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import SqlJobs, SqlQueue, open_database
from regime_trading.adapters.job_channel import LOST
from regime_trading.adapters.job_process import JobProcess
from regime_trading.bootstrap import artifacts_folder, config_folder, database_url, load_valid
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.job_report import Heard, log_messages, record_of
from regime_trading.bootstrap.notifications import NotificationThread
from regime_trading.bootstrap.readiness import readiness_of
from regime_trading.bootstrap.schedules import scheduled, watched
from regime_trading.bootstrap.version import code_version
from regime_trading.core.actors import masked_text
from regime_trading.core.errors import NotDurable
from regime_trading.core.jobs import (
    Hold,
    Job,
    JobStatus,
    Step,
    done,
    failed,
    lost,
    released,
    stopped,
)
from regime_trading.core.ports import Clock
from regime_trading.services.acts import Act, Acts, place_of_firm, record_acts
from regime_trading.services.readiness import is_ready

CHILD = (sys.executable, "-P", "-m", "regime_trading.bootstrap.job_process")
_TELL_EVERY_S = 0.5  #: at most one status and one line of log each time: four messages a second
_LOOK_EVERY_S = 0.1
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker works.

    Parameters
    ----------
    slots : int
        Jobs at a time.
    lease_s : float
        How long a job stays with a worker that says nothing; renewed three times as often.
    poll_s : float
        Between two looks at an empty queue.
    grace_s : float
        Between asking the process of a job to end and ending it.
    max_of_firm : int
        Jobs of one firm at work at a time, over all workers.
    command : sequence of str
        Starts the process of a job.
    """

    slots: int = 1
    lease_s: float = 30.0
    poll_s: float = 0.5
    grace_s: float = 1.0
    max_of_firm: int = 2
    command: Sequence[str] = CHILD


@dataclass(frozen=True, slots=True)
class Ending:
    """The last step of a job, and the entry of the record that goes with it."""

    step: Step
    act: Act | None = None


class Worker:
    """Slots that each do one job at a time, in threads of this process; the jobs themselves run in processes of their
    own, so that nothing a job does can take the worker down.

    Parameters
    ----------
    engine : Engine
        Of the database of ``artifacts``.
    artifacts, config : Path
        Folders.
    settings : WorkerSettings
    acts : Acts
        Through which runs get into the record.
    clock : Clock
    tell : callable
        Told, in one sentence, of what goes wrong.
    tick : callable, optional
        Called about every second while it works (schedules).
    ended : callable, optional
        Called with every job that it has ended, as it is stored.
    """

    def __init__(
        self,
        engine: Any,
        artifacts: Path,
        config: Path,
        settings: WorkerSettings,
        acts: Acts,
        clock: Clock,
        tell: Callable[[str], None],
        tick: Callable[[], object] | None = None,
        ended: Callable[[Job], object] | None = None,
    ) -> None:
        self.name = f"{socket.gethostname()[:40]}:{secrets.token_hex(6)}"
        self._artifacts, self._config, self._settings = artifacts, config, settings
        self._acts, self._clock, self._tell, self._tick, self._ended = acts, clock, tell, tick, ended
        self._queue = SqlQueue(engine)
        self._jobs = cache(lambda firm: SqlJobs(engine, firm_id=firm))
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to take jobs."""
        self._begin(once=False)
        beat = threading.Thread(target=self._beat, name="worker-beat", daemon=True)
        beat.start()
        self._threads.append(beat)

    def stop(self) -> None:
        """Give back what is at work, end its processes, and return when all of that is done."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._quietly(lambda: self._queue.leave(self.name))

    def drain(self) -> None:
        """Do everything that can be taken now, and return."""
        self._begin(once=True)
        while any(thread.is_alive() for thread in self._threads):
            for thread in self._threads:
                thread.join(0.2)
        self.stop()

    def _begin(self, *, once: bool) -> None:
        for number in range(self._settings.slots):
            thread = threading.Thread(target=self._slot, args=(once,), name=f"worker-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _beat(self) -> None:
        while True:
            self._quietly(lambda: self._queue.beat(self.name, self._clock.now_ns()))
            if self._tick is not None:
                self._quietly(self._tick)
            if self._stopping.wait(2.0):
                return

    def _slot(self, once: bool) -> None:
        while not self._stopping.is_set():
            job = self._quietly(self._claim)
            if job is not None:
                self._quietly(lambda job=job: self._carry_out(job))  # type: ignore[misc]
            elif once:
                return
            else:
                self._stopping.wait(self._settings.poll_s)

    def _claim(self) -> Job | None:
        return self._queue.claim(
            self.name,
            self._clock.now_ns(),
            lease_ns=int(self._settings.lease_s * _NS),
            max_of_firm=self._settings.max_of_firm,
        )

    def _quietly(self, act: Callable[[], Any]) -> Any:
        """What ``act`` gives; None where it failed, which is told. A worker goes on whatever one job does to it."""
        try:
            return act()
        except Exception as error:
            self._tell(f"worker {self.name}: {masked_text(str(error) or type(error).__name__)[0]}")
            return None

    # --- one job ------------------------------------------------------------------------------------------------

    def _carry_out(self, job: Job) -> None:
        try:
            process = JobProcess(self._settings.command, self._ask(job))
        except OSError as error:
            why = f"its process could not be started: {error.strerror}"
            self._finish(job, Heard(), Ending(lambda one: failed(one, why, self._clock.now_ns())))
            return
        heard = Heard()
        try:
            ending = self._accompany(job, process, heard)
        finally:
            if process.exit_code is None:
                process.end(self._settings.grace_s)
        if ending is not None:
            self._finish(job, heard, ending)

    def _ask(self, job: Job) -> dict[str, Any]:
        return {
            "job": asdict(job),
            "artifacts": str(self._artifacts),
            "config": str(self._config),
            "lease_s": self._settings.lease_s * 0.8,
        }

    def _accompany(self, job: Job, process: JobProcess, heard: Heard) -> Ending | None:
        """Listen until the process ends or must end; what becomes of the job, None where it is somebody else's."""
        told = renewed = time.monotonic()
        while True:
            said, over = process.said(_LOOK_EVERY_S)
            for one in said:
                heard.take(one)
            if over:
                return self._ending(job, process.close(), heard)
            if self._stopping.is_set():
                process.end(self._settings.grace_s)
                return Ending(lambda one: released(one, self._clock.now_ns()))
            if time.monotonic() - told < _TELL_EVERY_S:
                continue
            told = time.monotonic()
            due = told - renewed >= self._settings.lease_s / 3
            found = self._quietly(lambda due=due: self._look(job, heard, renew=due))  # type: ignore[misc]
            if found is _GONE:
                process.end(self._settings.grace_s)
                return None
            if found is not None and due:
                process.renew()
                renewed = told
            if found is not None and found.status is JobStatus.CANCELLING:
                process.end(self._settings.grace_s)
                return Ending(lambda one: stopped(one, self._clock.now_ns()))

    def _look(self, job: Job, heard: Heard, *, renew: bool) -> Any:
        """Tell what is new and renew the lease where that is due, else only look; the job as it is stored now."""
        rows = self._jobs(job.firm_id)
        hold = Hold.of(job)
        if not (renew or heard.new):
            found = rows.get(job.job_id)
            return found if found is not None and Hold.of(found) == hold else _GONE
        now_ns = self._clock.now_ns()
        lines = tuple(heard.lines)
        until_ns = now_ns + int(self._settings.lease_s * _NS)

        def step(one: Job) -> Job:
            new = heard.step(one)
            return replace(new, lease_ns=until_ns) if renew else new

        found = rows.change(
            job.job_id, step, now_ns, hold=hold, lines=lines, messages=log_messages(job, lines, now_ns)
        )
        heard.new = False
        del heard.lines[: len(lines)]
        return _GONE if found is None else found

    def _ending(self, job: Job, code: int, heard: Heard) -> Ending:
        """What becomes of a job whose process has ended."""
        now_ns, result = self._clock.now_ns, heard.result
        if result is not None and code == 0:
            return Ending(lambda one: done(one, result, now_ns()), record_of(job, heard))
        if heard.error:
            return Ending(lambda one: failed(one, heard.error, now_ns()))
        if code < 0 or code == LOST:
            why = f"its process was ended by signal {-code}" if code < 0 else "its process lost its worker"
            return Ending(lambda one: lost(one, why, now_ns()))
        why = f"its process ended with exit code {code} and said nothing"
        return Ending(lambda one: failed(one, why, now_ns()))

    def _finish(self, job: Job, heard: Heard, ending: Ending) -> None:
        """Store the last step, as long as the job is this worker's; a run goes into the record with it."""
        until = time.monotonic() + self._settings.lease_s
        while True:
            try:
                found = self._store(job, heard, ending)
                break
            except NotDurable as error:
                self._tell(f"job {job.job_id}: {masked_text(str(error))[0]}")
                if time.monotonic() > until:
                    return  # its lease is over: whoever takes it finds what it made
                time.sleep(_TELL_EVERY_S)
        ended = self._ended
        if found is not None and ended is not None:
            self._quietly(lambda: ended(found))

    def _store(self, job: Job, heard: Heard, ending: Ending) -> Job | None:
        """The job as it is stored; None where it is somebody else's."""
        rows, now_ns, lines = self._jobs(job.firm_id), self._clock.now_ns(), tuple(heard.lines)

        def whole(one: Job) -> Job:
            return ending.step(heard.step(one) if heard.new else one)

        def store(events: Sequence[Any]) -> Job | None:
            return rows.change(
                job.job_id, whole, now_ns, hold=Hold.of(job), lines=lines,
                messages=log_messages(job, lines, now_ns), events=events,
            )  # fmt: skip

        if ending.act is None:
            return store(())
        return record_acts(self._acts, place_of_firm(job.firm_id), (ending.act,), store)


_GONE = object()  #: the job is no longer this worker's


# --- wiring -----------------------------------------------------------------------------------------------------


@contextmanager
def open_worker(
    artifacts: Path | None,
    config: Path | None,
    settings: WorkerSettings,
    tell: Callable[[str], None],
    notify: bool = False,
) -> Iterator[Worker]:
    """A worker over an artifacts folder and a configuration; it also fires what the schedules make due.

    Parameters
    ----------
    notify : bool
        Also send what is worth telling, and tell the watcher outside that all is well while it is.

    Raises
    ------
    BadInput
        No such folder, or a configuration that cannot be read at all.
    NotDurable
        A database that cannot be opened.
    """
    folder, store = config_folder(config), LocalArtifacts(artifacts_folder(artifacts))
    with ExitStack() as stack:
        engine = open_database(database_url(store.root))
        stack.callback(engine.dispose)
        tick = scheduled(engine, lambda: load_valid(folder), tell)
        acts = make_acts(engine, store, code_version())
        if notify:
            sender = _sender(engine, store.root, folder, tell)
            sender.start()
            stack.callback(sender.stop)
        yield Worker(engine, store.root, folder, settings, acts, SystemClock(), tell, tick, watched(tell))


def _sender(engine: Any, artifacts: Path, config: Path, tell: Callable[[str], None]) -> NotificationThread:
    firms = sorted({profile.firm_id for profile in load_valid(config).profiles})

    def alive() -> bool:
        return is_ready(readiness_of(engine, artifacts, config, with_worker=False))

    return NotificationThread(engine, firms, tell, alive)
