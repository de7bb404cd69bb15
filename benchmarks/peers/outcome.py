"""What a scenario came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """``held``: what must happen did happen. ``what``: one sentence with the numbers that were measured."""

    held: bool
    what: str
