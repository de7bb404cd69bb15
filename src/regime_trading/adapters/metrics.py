"""Metrics in the text format of Prometheus, in a registry of their own; no firm, person or account is in a label."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0
OUTCOMES = frozenset({"approve", "resize", "block", "reduce_only", "flatten", "lock", "hold"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"  #: in the place of a label that is not among those that are known, so that nobody can make new ones
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """What one process counts; each instance stands alone."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._decisions = Counter(
            "regime_decisions", "Decisions, by outcome.", ["outcome"], registry=registry
        )
        self._decision_s = Histogram(
            "regime_decision_seconds",
            "From a request to its durable decision.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._jobs = Counter("regime_jobs_ended", "Jobs that ended.", ["kind", "status"], registry=registry)
        self._waiting = Gauge(
            "regime_jobs", "Jobs of each status, over all firms.", ["status"], registry=registry
        )
        self._messages = Counter(
            "regime_messages", "Messages of the live channel.", ["type"], registry=registry
        )
        self._requests = Counter(
            "regime_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._request_s = Histogram(
            "regime_request_seconds", "Time to an answer.", ["route"], buckets=_SECONDS, registry=registry
        )
        self._ready = Gauge(
            "regime_ready", "Whether each check of readiness holds.", ["check"], registry=registry
        )

    def decided(self, outcome: str, seconds: float) -> None:
        """A decision was made durable."""
        self._decisions.labels(outcome if outcome in OUTCOMES else OTHER).inc()
        self._decision_s.observe(seconds)

    def job_ended(self, kind: str, status: str) -> None:
        """A job ended; both words are of ``core.jobs``."""
        self._jobs.labels(kind, status).inc()

    def jobs(self, counts: Mapping[str, int]) -> None:
        """How many jobs there are of each status now; one that is not named has none."""
        self._waiting.clear()
        for status, n in counts.items():
            self._waiting.labels(status).set(n)

    def told(self, type_: str, n: int = 1) -> None:
        """Messages of a type of ``core.messages`` were sent."""
        self._messages.labels(type_).inc(n)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered.

        Parameters
        ----------
        method : str
        route : str
            The template of the route (``/v1/jobs/{job_id}``), empty where none matched; never the path.
        status : int
        seconds : float
        """
        name = route or OTHER
        self._requests.labels(method if method in METHODS else OTHER, name, f"{status // 100}xx").inc()
        self._request_s.labels(name).observe(seconds)

    def ready(self, checks: Mapping[str, bool]) -> None:
        """What readiness found last."""
        for name, ok in checks.items():
            self._ready.labels(name).set(ok)

    def render(self) -> bytes:
        """Everything as text (``CONTENT_TYPE``)."""
        return generate_latest(self._registry)
