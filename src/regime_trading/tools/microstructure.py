"""What the tape of a source is worth as evidence."""

from __future__ import annotations

from typing import Literal

from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import Provides
from regime_trading.core.settings import ConfidenceCaps

Evidence = Literal["L2", "L1", "trades", "bars"]

#: Measures that need quotes; on a lower grade they are not identified, and never estimated from bars.
QUOTE_MEASURES = ("spread", "order-flow imbalance", "microprice")


def evidence_grade(provides: frozenset[Provides]) -> Evidence:
    """Best grade of microstructure evidence a source can give.

    Grades, best first: ``L2`` (depth) > ``L1`` (best quotes) > ``trades`` > ``bars``. No source declares depth
    yet, so ``L2`` is never given; a grade is never assumed.

    Raises
    ------
    BadInput
        A source that does not even say closing prices.
    """
    if Provides.QUOTES in provides:
        return "L1"
    if Provides.TRADES in provides:
        return "trades"
    if Provides.CLOSE in provides or Provides.OHLC in provides:
        return "bars"
    raise BadInput(
        expected="a source that provides close, ohlc, trades or quotes",
        found=", ".join(sorted(provides)) or "nothing",
        where="provides",
    )


def grade(provides: frozenset[Provides], caps: ConfidenceCaps) -> tuple[Evidence, float]:
    """Evidence grade of a source and the highest confidence a regime may have on it.

    Parameters
    ----------
    provides : frozenset of Provides
        What the source says (``contracts.md`` 3).
    caps : ConfidenceCaps
        Cap per grade, fractions, descending from L2 to bars: a lower grade never raises a confidence.

    Raises
    ------
    BadInput
        As :func:`evidence_grade`.
    """
    evidence = evidence_grade(provides)
    return evidence, float(getattr(caps, evidence))


def unavailable_tiers(tiers: dict[str, int], bar_s: int) -> tuple[str, ...]:
    """Tiers whose bars are finer than the source's own, finest last: never made up from coarser bars.

    Parameters
    ----------
    tiers : dict of str to int
        Seconds of each tier's bar.
    bar_s : int
        Seconds of the source's bar.
    """
    finer = [name for name, seconds in tiers.items() if seconds < bar_s]
    return tuple(sorted(finer, key=lambda name: (-tiers[name], name)))
