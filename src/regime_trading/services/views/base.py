"""What all views share: their models' base and field types, who asks, and what an asker may see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from regime_trading.core.access import Answer, Permission, Principal, Target, may, reachable, shows_amounts
from regime_trading.core.errors import NotThere
from regime_trading.core.instants import instant_text
from regime_trading.core.rules import UNLIMITED

Instant = Annotated[
    str,
    Field(
        pattern=r"^-?\d{4,6}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{9})?Z$",
        description="ISO 8601, UTC, nanoseconds where needed",
    ),
]
DecimalText = Annotated[
    str, Field(pattern=r"^-?(\d+(\.\d+)?|unlimited)$", description="exact decimal number as text")
]
Fraction = Annotated[float, Field(allow_inf_nan=False, description="fraction: 0.01 is 1 %")]
Measured = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(allow_inf_nan=False, description="seconds")]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256, hexadecimal")]
Account = Annotated[str, Field(description="full name of an account, firm/account")]


class Shown(BaseModel):
    """Base of every view: immutable; unknown keys and other types than the declared ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for a view, and when (UTC nanoseconds)."""

    principal: Principal
    now_ns: int

    def may(self, permission: Permission, firm_id: str, account: str | None = None) -> bool:
        """Whether the asker has a permission over a whole firm, or over one account of it."""
        return may(self.principal, permission, Target(firm_id, account), self.now_ns) is Answer.ALLOWED

    def among(self, permission: Permission, accounts: Iterable[str]) -> tuple[str, ...]:
        """Those of ``accounts`` (full names) over which the asker has a permission."""
        return tuple(reachable(self.principal, permission, accounts, self.now_ns))

    def require(self, permission: Permission, account: str, known: Iterable[str]) -> str:
        """``account`` where it is known and the asker has the permission over it.

        Raises
        ------
        NotThere
            Else.
        """
        if account not in known or not self.among(permission, (account,)):
            raise NotThere("account", account)
        return account

    def shows_amounts(self, account: str) -> bool:
        """Whether amounts of money of an account are shown to the asker."""
        return shows_amounts(self.principal, account)

    def age_s(self, ts_ns: int) -> float:
        """Seconds since an instant; negative where it lies ahead."""
        return (self.now_ns - ts_ns) / 1e9


def instant(ts_ns: int | None) -> str | None:
    """Text of an instant; null stays null."""
    return None if ts_ns is None else instant_text(ts_ns)


def plain(value: Any) -> str | None:
    """A recorded number as plain decimal text; null where there is none or it is not a number."""
    if value is None:
        return None
    text = str(value)
    if text in (UNLIMITED, f"-{UNLIMITED}"):
        return text
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if number.is_nan():
        return None
    if number.is_infinite():
        return UNLIMITED if number > 0 else f"-{UNLIMITED}"
    return format(number.normalize(), "f") if number else "0"


def number(value: Any) -> float | None:
    """A recorded number as a finite float; null where there is none."""
    if value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if found - found == 0 else None


def nano(value: int) -> float:
    """A weight in multiples of 1e-9 as a fraction."""
    return value / 1e9
