"""Break the guards one expression at a time and count what the tests see.

``python -m tests.mutants --share 0.02`` collects the tests once, runs them once to learn which lines each of them
reaches, and then forks one process per mutant. The child swaps the code of one function in memory, runs the tests
that reach the broken line (those that killed most in that module first, then the quickest) and stops at the first
failure. No file is written. Compiled functions (``numba.njit``) are left alone: their plain form in
``tests/unit/guards/reference_parts`` and the differential tests watch them.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from itertools import zip_longest
from pathlib import Path

import coverage
import pytest
from _pytest.runner import runtestprotocol
from tests.mutant_operators import ROOT, Mutant, apply, mutants_of

GUARDS = ROOT / "src" / "regime_trading" / "guards"
TESTS = ("tests/unit/guards", "tests/properties/test_differential.py")

VERDICTS = KILLED, SURVIVED, TIMEOUT, UNREACHED = "killed", "survived", "timeout", "unreached"


def passes(item: pytest.Item, following: pytest.Item | None = None) -> bool:
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=following))


def in_child(work: Callable[[], None], seconds: float = 0.0) -> int:
    """Run ``work`` in a fork whose output goes nowhere; ``seconds`` of processor time, if any, are its limit."""
    pid = os.fork()
    if pid == 0:
        null, stderr = os.open(os.devnull, os.O_WRONLY), os.dup(2)
        os.dup2(null, 1)
        os.dup2(null, 2)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            work()
            os._exit(0)
        except BaseException:
            os.dup2(stderr, 2)
            traceback.print_exc()
            os._exit(1)
    return pid


class Campaign:
    """A pytest plug-in that runs the collected tests against every mutant instead of once."""

    def __init__(self, share: float, seed: int, jobs: int) -> None:
        self.jobs = jobs
        self.trees = {path: ast.parse(path.read_text()) for path in sorted(GUARDS.glob("*.py"))}
        every = [m for path, tree in self.trees.items() for m in mutants_of(path, tree)]
        chosen = sorted(random.Random(seed).sample(range(len(every)), round(share * len(every))))
        self.total, self.mutants = len(every), [every[i] for i in chosen]
        self.verdicts: dict[Mutant, str] = {}
        self.kills: dict[Path, Counter[int]] = defaultdict(Counter)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Failed("the tests could not be collected")
        self.items = session.items
        with tempfile.TemporaryDirectory() as folder:
            self.folder = Path(folder)
            self.learn()
            self.run()
        return True

    def learn(self) -> None:
        """Run every test once, unbroken: how long it takes and which lines of the guards it reaches."""
        os.waitpid(in_child(self.measure), 0)
        self.seconds, self.reached, failed = json.loads((self.folder / "learnt").read_text())
        if failed:
            raise pytest.UsageError("these tests fail with nothing broken: " + ", ".join(failed[:9]))
        print(
            f"{len(self.items)} tests in {sum(self.seconds):.0f} s; {len(self.mutants)} of {self.total} mutants"
        )

    def measure(self) -> None:
        tracer = coverage.Coverage(source=[str(GUARDS)], data_file=None, config_file=False)
        seconds, failed = [], []
        tracer.start()
        for i, (item, following) in enumerate(zip_longest(self.items, self.items[1:])):
            tracer.switch_context(str(i))
            started = time.process_time()
            if not passes(item, following):
                failed.append(item.nodeid)
            seconds.append(time.process_time() - started)
        tracer.stop()
        lines = {str(path): tracer.get_data().contexts_by_lineno(str(path)) for path in self.trees}
        (self.folder / "learnt").write_text(json.dumps([seconds, lines, failed]))

    def tests_of(self, mutant: Mutant) -> list[int]:
        lines = self.reached[str(mutant.path)]
        reaching = {int(i) for line in mutant.lines for i in lines.get(str(line), ()) if i}
        kills = self.kills[mutant.path]
        return sorted(reaching, key=lambda i: (-kills[i], self.seconds[i], i))

    def run(self) -> None:
        running: dict[int, Mutant] = {}
        for number, mutant in enumerate(self.mutants, 1):
            order = self.tests_of(mutant)
            if len(running) == self.jobs:
                self.finish(running)
            if order:
                limit = 10 + 5 * sum(self.seconds[i] for i in order)
                running[in_child(partial(self.attack, mutant, order), limit)] = mutant
            else:
                self.judge(mutant, UNREACHED)
            if number % 25 == 0:
                print(f"{number} of {len(self.mutants)}", flush=True)
        while running:
            self.finish(running)

    def attack(self, mutant: Mutant, order: list[int]) -> None:
        apply(mutant, self.trees[mutant.path])
        killer = next((i for i in order if not passes(self.items[i])), -1)
        (self.folder / str(os.getpid())).write_text(str(killer))

    def finish(self, running: dict[int, Mutant]) -> None:
        """Wait for one child; a child that dies of the mutant is killed, one that outlives its limit times out."""
        pid, status = os.wait()
        mutant = running.pop(pid)
        if os.WIFSIGNALED(status):
            self.judge(mutant, TIMEOUT if os.WTERMSIG(status) == signal.SIGPROF else KILLED)
            return
        killer = int((self.folder / str(pid)).read_text())
        self.judge(mutant, KILLED if killer >= 0 else SURVIVED)
        if killer >= 0:
            self.kills[mutant.path][killer] += 1

    def judge(self, mutant: Mutant, verdict: str) -> None:
        self.verdicts[mutant] = verdict
        if verdict in (SURVIVED, UNREACHED):
            print(f"{verdict:<10}{mutant}", flush=True)

    def report(self) -> None:
        print(f"\n{'module':<16}" + "".join(f"{verdict:>11}" for verdict in VERDICTS))
        for path in (*self.trees, None):
            counts = Counter(v for m, v in self.verdicts.items() if path in (None, m.path))
            if counts:
                print(f"{path.stem if path else 'all':<16}" + "".join(f"{counts[v]:>11}" for v in VERDICTS))
        seen = counts[KILLED] + counts[TIMEOUT]
        print(f"score {seen} of {counts.total()} = {100 * seen / max(counts.total(), 1):.1f} %")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="the part of all mutants to try, 0 to 1")
    parser.add_argument("--seed", type=int, default=1, help="which mutants a share picks")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    given = parser.parse_args()
    campaign = Campaign(given.share, given.seed, given.jobs)
    options = ["-qq", "-s", "-p", "no:cacheprovider", "-m", "not full", *TESTS]
    status = pytest.main([*options, f"--rootdir={ROOT}"], plugins=[campaign])
    if status:
        print("no result: the tests must pass before anything is broken", file=sys.stderr)
        return 2
    campaign.report()
    return 0


if __name__ == "__main__":
    sys.exit(main())
