"""Counted once, by known words, in a registry that nobody shares, and written down in the guide."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from regime_trading.adapters.metrics import CONTENT_TYPE, READ, Metrics, Readings

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "operations.md"


def samples(metrics: Metrics, found: Readings | None = None) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(metrics.render(found or {}).decode())
    return {
        (one.name, tuple(one.labels.values())): one.value for family in families for one in family.samples
    }


def test_what_happened_is_counted() -> None:
    metrics = Metrics()
    metrics.answered("GET", "/v1/jobs/{job_id}", 204, 0.02)
    found = samples(metrics, {"regime_jobs": {("run", "queued"): 2}, "regime_decisions_total": {(): 7}})
    assert found["regime_http_requests_total", ("GET", "/v1/jobs/{job_id}", "2xx")] == 1
    assert found["regime_http_request_seconds_sum", ("/v1/jobs/{job_id}",)] == 0.02
    assert found["regime_jobs", ("run", "queued")] == 2
    assert found["regime_decisions_total", ()] == 7
    assert not [name for name, _ in found if name == "regime_halts"], "what is not known is not told"
    assert "text/plain" in CONTENT_TYPE


def test_nobody_outside_can_make_new_labels() -> None:
    metrics = Metrics()
    for n in range(50):
        metrics.answered(f"VERB{n}", "", 404, 0.001)
    labels = {key[1] for key in samples(metrics) if key[0] == "regime_http_requests_total"}
    assert labels == {("other", "other", "4xx")}


def test_each_instance_stands_alone() -> None:
    one, two = Metrics(), Metrics()
    one.answered("GET", "/x", 200, 0.1)
    assert ("regime_http_requests_total", ("GET", "/x", "2xx")) not in samples(two)


def test_the_guide_lists_what_is_told_and_nothing_else() -> None:
    """Name, kind, labels and text of each."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", GUIDE.read_text(), re.MULTILINE)
    text = Metrics().render({}).decode()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    assert {name: kind for name, kind, _, _ in rows} == kinds
    said = {name: (labels, what) for name, _, labels, what in rows}
    for one in READ:
        assert said[one.name] == (", ".join(f"`{label}`" for label in one.labels), one.help), one.name
