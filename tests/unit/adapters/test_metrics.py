"""Counted once, by known words, in a registry that nobody shares."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from regime_trading.adapters.metrics import CONTENT_TYPE, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (one.name, tuple(one.labels.values())): one.value for family in families for one in family.samples
    }


def test_what_happened_is_counted() -> None:
    metrics = Metrics()
    metrics.decided("resize", 0.004)
    metrics.decided("resize", 0.004)
    metrics.job_ended("run", "done")
    metrics.jobs({"queued": 3, "running": 1})
    metrics.jobs({"queued": 2})
    metrics.told("pm.action", 5)
    metrics.answered("GET", "/v1/jobs/{job_id}", 204, 0.02)
    metrics.ready({"store": True, "disk": False})
    found = samples(metrics)
    assert found["regime_decisions_total", ("resize",)] == 2
    assert found["regime_decision_seconds_count", ()] == 2
    assert found["regime_jobs_ended_total", ("run", "done")] == 1
    assert [key for key in found if key[0] == "regime_jobs"] == [("regime_jobs", ("queued",))]
    assert found["regime_jobs", ("queued",)] == 2
    assert found["regime_messages_total", ("pm.action",)] == 5
    assert found["regime_requests_total", ("GET", "/v1/jobs/{job_id}", "2xx")] == 1
    assert (found["regime_ready", ("store",)], found["regime_ready", ("disk",)]) == (1, 0)
    assert "text/plain" in CONTENT_TYPE


def test_nobody_outside_can_make_new_labels() -> None:
    metrics = Metrics()
    for n in range(50):
        metrics.answered(f"VERB{n}", "", 404, 0.001)
        metrics.decided(f"outcome {n}", 0.001)
    labels = {
        key[1] for key in samples(metrics) if key[0] in ("regime_requests_total", "regime_decisions_total")
    }
    assert labels == {("other", "other", "4xx"), ("other",)}


def test_each_instance_stands_alone() -> None:
    one, two = Metrics(), Metrics()
    one.decided("block", 0.1)
    assert samples(two).get(("regime_decisions_total", ("block",))) is None
