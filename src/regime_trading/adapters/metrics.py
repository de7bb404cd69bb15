"""Metrics in the text format of Prometheus; no firm, person or account is in a label.

What a process does itself (requests) is counted in it. Everything else happens in whichever process, so it is read from
the store when somebody asks (``adapters.database.gauges``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"  #: in the place of a label that is not among those that are known, so that nobody can make new ones
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

#: Values by labels, by metric; a metric that is not named is not known now, and not told.
Readings = Mapping[str, Mapping[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class Read:
    """A metric that is read when somebody asks; ``total`` only ever grows."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    total: bool = False


READ = (
    Read("regime_ready", "Whether a check of readiness holds (0 or 1).", ("check",)),
    Read("regime_decisions_total", "Decisions that are durable, of every mode and process.", total=True),
    Read("regime_last_entry_seconds", "Age of the newest entry of the record outside dry runs, in seconds."),
    Read("regime_unsealed_entries", "Entries of the record that are not sealed into files yet."),
    Read("regime_jobs", "Jobs by kind and status.", ("kind", "status")),
    Read("regime_oldest_queued_job_seconds", "Age of the job that has waited longest, in seconds."),
    Read("regime_workers", "Workers that were alive within 15 seconds."),
    Read("regime_halts", "Halts in force by kill level.", ("level",)),
    Read("regime_requests_waiting", "Requests that wait for somebody to agree."),
    Read("regime_oldest_request_seconds", "Age of the request that has waited longest, in seconds."),
    Read("regime_messages_total", "Messages that were written for the live channel.", total=True),
    Read("regime_live_lag_seconds", "Age of the oldest message that this process has not read, in seconds."),
    Read("regime_live_connections", "Connections of the live channel of this process."),
    Read(
        "regime_notices_behind", "Messages that the slowest channel of notifications has not put behind it."
    ),
)


class Metrics:
    """What one process counts; each instance stands alone."""

    def __init__(self) -> None:
        disable_created_metrics()
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "regime_http_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._request_s = Histogram(
            "regime_http_request_seconds",
            "Time to an answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        ProcessCollector(registry=registry)

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

    def render(self, found: Readings) -> bytes:
        """What was counted, and what was ``found`` of :data:`READ`, as text (``CONTENT_TYPE``)."""
        read = CollectorRegistry()
        read.register(_Found(found))
        return generate_latest(self._registry) + generate_latest(read)


class _Found(Collector):
    def __init__(self, found: Readings) -> None:
        self._found = found

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        for one in READ:
            kind = CounterMetricFamily if one.total else GaugeMetricFamily
            family = kind(one.name, one.help, labels=one.labels)
            for labels, value in self._found.get(one.name, {}).items():
                family.add_metric(labels, value)
            yield family
