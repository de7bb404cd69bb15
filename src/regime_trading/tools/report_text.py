"""Numbers, times and rule values as text. Every number carries its unit; what is not known is ``–``."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np

from regime_trading.core.numbers import F8
from regime_trading.core.rules import RULE_BY_ID, Guard

MISSING = "–"
NBSP = "\u00a0"

GUARD_TITLES: dict[Guard, str] = {
    Guard.DATA_SANITY: "Guard 1 · data sanity",
    Guard.BLACKOUT: "Guard 2 · universe and blackouts",
    Guard.DRAWDOWN: "Guard 3 · loss and drawdown",
    Guard.VOL_TARGET: "Guard 4 · volatility",
    Guard.CONCENTRATION: "Guard 5 · concentration",
    Guard.LIQUIDITY: "Guard 6 · execution and liquidity",
}


def utilisation(rule_id: str, value: F8 | float, limit: F8 | float) -> F8:
    """Share of a limit that is used: 1 = at the limit, above = outside it.

    ``value / limit``; ``limit / value`` for rules whose value must not fall below the limit, and what is missing of
    the whole over what may be missing where the value is a share or a confidence. A limit of 0 (nothing is allowed)
    is used by 0 or, as soon as there is anything, infinitely.

    Parameters
    ----------
    rule_id : str
    value, limit : float or float64 [T]
        In the rule's own unit; NaN or an infinite limit = not known.

    Returns
    -------
    float64, the broadcast shape; NaN = not known.
    """
    top, bottom = np.asarray(value, dtype=np.float64), np.asarray(limit, dtype=np.float64)
    if rule_id in RULE_BY_ID and (measure := RULE_BY_ID[rule_id].measure).at_least:
        whole = measure.unit in ("share", "confidence")
        top, bottom = (1.0 - top, 1.0 - bottom) if whole else (bottom, top)
    with np.errstate(divide="ignore", invalid="ignore"):
        used = np.where((bottom == 0) & (top == 0), 0.0, np.abs(top / bottom))
    known = np.isfinite(top) & np.isfinite(bottom)
    return np.where(known, used, np.nan)


# --- text -------------------------------------------------------------------------------------------------


def is_known(value: float | None) -> bool:
    """True for a finite number."""
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int = 2) -> str:
    """``1,234.50`` with a real minus sign; ``–`` where not known."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:,.{digits}f}"
    if not any(c in "123456789" for c in text):
        text = text.lstrip("-")
    return text.replace("-", "−")


def signed(value: float | None, digits: int = 2) -> str:
    """As :func:`number`, with a plus sign in front of a gain."""
    text = number(value, digits)
    return f"+{text}" if is_known(value) and text[0] != "−" and any(c in "123456789" for c in text) else text


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as ``12.3 %``."""
    return f"{number(value * 100, digits)}{NBSP}%" if value is not None and math.isfinite(value) else MISSING


def money(value: float | None, currency: str, digits: int = 0) -> str:
    """``1,255,300 USD``."""
    return f"{number(value, digits)}{NBSP}{currency}" if is_known(value) else MISSING


def count(value: int, noun: str, plural: str | None = None) -> str:
    """``1 bar``, ``3 bars``."""
    return f"{value:,}{NBSP}{noun if value == 1 else plural or noun + 's'}"


def units(quantity: Decimal, *, signed: bool = False) -> str:
    """Units of an instrument, with exactly the decimals it has."""
    text = f"{quantity.normalize():{'+' if signed and quantity else ''},f}"
    return text.replace("-", "−")


def day(ts_ns: int | None) -> str:
    """UTC day, ``2022-12-28``."""
    return MISSING if ts_ns is None else str(np.datetime64(ts_ns, "ns").astype("datetime64[D]"))


def moment(ts_ns: int | None) -> str:
    """UTC minute, ``2022-12-28 21:00 UTC``."""
    return (
        MISSING
        if ts_ns is None
        else f"{np.datetime64(ts_ns, 'ns').astype('datetime64[m]')}".replace("T", " ") + " UTC"
    )


def words(name: str) -> str:
    """A name from the code as words: ``mean_reverting`` → ``mean reverting``."""
    return name.replace("_", " ").lower()


def rule_name(rule_id: str) -> str:
    """``CC-01 Single name``; the bare id where the registry does not know it."""
    spec = RULE_BY_ID.get(rule_id)
    return f"{rule_id} {spec.title}" if spec else rule_id


def rule_value(rule_id: str, value: float | None, currency: str) -> str:
    """A rule's value or limit with its unit."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "no limit"
    unit = RULE_BY_ID[rule_id].measure.unit if rule_id in RULE_BY_ID else "condition"
    match unit:
        case "money":
            return money(value, currency)
        case "equity" | "share" | "move" | "annual" | "ratio":
            suffix = {"equity": " of equity", "annual": " p.a.", "ratio": " from a split"}.get(unit, "")
            return percent(value) + suffix.replace(" ", NBSP)
        case "seconds":
            return duration(value)
        case "confidence":
            return percent(value, 0)
        case "condition":
            return number(value)
        case "bp":
            return f"{number(value, 1)}{NBSP}bp"
        case "beta" | "level":
            return f"{unit}{NBSP}{number(value, 2 if unit == 'beta' else 0)}"
        case "sigmas" | "milliseconds":
            return f"{number(value, 1 if unit == 'sigmas' else 0)}{NBSP}{'σ' if unit == 'sigmas' else 'ms'}"
        case _:
            return f"{number(value, 0 if float(value).is_integer() else 1)}{NBSP}{unit[:-1] if value == 1 else unit}"


def duration(seconds: float) -> str:
    """``5 min``, ``3.5 h``, ``12 days``."""
    for unit, size in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if abs(seconds) >= size:
            unit = "day" if seconds == 86_400.0 else unit
            return f"{number(seconds / size, 0 if (seconds / size).is_integer() else 1)}{NBSP}{unit}"
    return f"{number(seconds, 0)}{NBSP}s"


def wilson_interval(passed: int, finished: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927, *JASA* 22:209); NaN without any finished trial."""
    if finished == 0:
        return math.nan, math.nan
    z, p = 1.959963984540054, passed / finished
    centre = p + z * z / (2 * finished)
    half = z * math.sqrt(p * (1 - p) / finished + z * z / (4 * finished**2))
    scale = 1 + z * z / finished
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
