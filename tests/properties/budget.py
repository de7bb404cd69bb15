"""How long the property tests may take: a fixed number of examples, the same where the same modules are loaded."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

#: ``make test-full`` asks for 10,000.
LEAST = int(os.environ.get("REGIME_EXAMPLES", "500"))


def examples(count: int = 500) -> settings:
    """At least ``count`` examples; as many as the environment asks for, if more."""
    return settings(
        max_examples=max(count, LEAST),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
