"""What the parameters of rules are made of: enumerations of the lattice, limits, merge operators, specifications."""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
)

UNLIMITED = "unlimited"


class Merge(StrEnum):
    """How two layers of one key combine."""

    OVERRIDE = "override"  #: last layer wins
    FIXED = "fixed"  #: no direction is stricter: unchangeable below the firm
    LOWER = "lower"  #: lower is safer: minimum
    HIGHER = "higher"  #: higher is safer: maximum
    PROTECT = "protect"  #: a safety switch: logical or
    PERMIT = "permit"  #: a permission: logical and
    UNION = "union"  #: deny lists and windows: union (objects by ``id``)
    INTERSECT = "intersect"  #: allow lists: intersection
    LADDER = "ladder"  #: pointwise the stricter step
    STEPS = "steps"  #: pointwise the smaller number
    ORDERED = "ordered"  #: later member of the enumeration is stricter: maximum


class Guard(IntEnum):
    """The six guards, in the order in which they are evaluated and shown."""

    DATA_SANITY = 1
    BLACKOUT = 2
    DRAWDOWN = 3
    VOL_TARGET = 4
    CONCENTRATION = 5
    LIQUIDITY = 6


class TradingState(IntEnum):
    """Account-level lattice component, ascending conservatism."""

    NORMAL = 0
    REDUCE_ONLY = 1
    FLATTEN = 2
    LOCKED = 3


class Authority(IntEnum):
    """What may be sent, ascending conservatism."""

    ALL = 0
    RISK_REDUCING = 1
    CANCEL_ONLY = 2
    NONE = 3


class Release(IntEnum):
    """Who or what may clear a latch, ascending conservatism."""

    AUTO = 0
    TIMED = 1
    NEXT_SESSION = 2
    MANUAL = 3
    DUAL = 4
    TERMINAL = 5


def _by_name(kind: type[IntEnum]) -> BeforeValidator:
    def parse(value: Any) -> Any:
        if isinstance(value, str):
            if value not in kind.__members__:
                raise ValueError(f"expected one of {', '.join(kind.__members__)}, found {value!r}")
            return kind[value]
        return value

    return BeforeValidator(parse)


_NAME = PlainSerializer(lambda member: member.name, return_type=str)
TradingStateName = Annotated[TradingState, _by_name(TradingState), _NAME]
AuthorityName = Annotated[Authority, _by_name(Authority), _NAME]
ReleaseName = Annotated[Release, _by_name(Release), _NAME]


def _parse_limit(value: Any) -> Any:
    return Decimal("Infinity") if value == UNLIMITED else value


def _check_limit(value: Decimal) -> Decimal:
    if value.is_nan() or value < 0:
        raise ValueError(f"expected a number ≥ 0 or {UNLIMITED!r}, found {value}")
    return value


def decimal_text(value: Decimal) -> str:
    """Plain decimal text; infinity is ``unlimited``."""
    return UNLIMITED if value.is_infinite() else format(value.normalize(), "f")


_DECIMAL_TEXT = PlainSerializer(decimal_text, return_type=str)
Limit = Annotated[
    Decimal,
    Field(allow_inf_nan=True),
    BeforeValidator(_parse_limit),
    AfterValidator(_check_limit),
    _DECIMAL_TEXT,
]


def _check_share(value: Decimal) -> Decimal:
    if value.is_finite() and value > 1:
        raise ValueError(f"expected a fraction of at most 1 or {UNLIMITED!r}, found {value}")
    return value


ShareLimit = Annotated[Limit, AfterValidator(_check_share)]
Number = Annotated[Decimal, _DECIMAL_TEXT]
Fraction = Annotated[Decimal, Field(ge=0, le=1), _DECIMAL_TEXT]


class Frozen(BaseModel):
    """Base of every schema: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RuleParams(Frozen):
    """Base of every rule's parameters."""

    enabled: bool = Field(default=True, json_schema_extra={"unit": "", "merge": Merge.PROTECT})


def param(default: Any, *, unit: str, merge: Merge, **constraints: Any) -> Any:
    """A rule parameter with its unit and merge operator."""
    return Field(default=default, json_schema_extra={"unit": unit, "merge": merge}, **constraints)


# --- specifications ---------------------------------------------------------------------------------------

Unit = Literal[
    "equity", "share", "move", "annual", "adv", "money", "bars", "returns", "symbols", "positions", "seconds",
    "confidence", "condition", "bp", "milliseconds", "observations", "days", "sigmas", "beta", "contracts", "orders",
    "fills", "rejects", "trips", "level", "ratio", "exits",
]  # fmt: skip


class Measure(Frozen):
    """Unit of a rule's value and limit; ``at_least`` = the value must not fall below the limit.

    Values in ``equity`` are nanoweights inside the guards and fractions everywhere else.
    """

    unit: Unit
    at_least: bool = False


class RuleSpec(Frozen):
    """What configuration, guards and documents share about one rule.

    Parameters
    ----------
    key : str
        Name of the rule under ``risk:`` in configuration files; ``aliases`` are other names it is known by there.
    principal : str, optional
        The parameter that a bare scalar under that key sets (``gross: "1.0"``).
    inputs : tuple of str
        What a source must say, itself or by a declared substitute (``contracts.md`` 3).
    measured : tuple of str
        What a source must say itself: nothing stands in for it.
    hard : bool
        A breach by a move of the market is trimmed at once; else only beyond the passive band (``risk.md`` P5).
    latch : bool
        The rule may latch an account.
    timer : bool
        The rule may hold single assets until a time.
    recovers : bool
        What it blocks stays blocked until ``clean_observations`` observations in a row were clean.
    """

    rule_id: str = Field(pattern=r"^[A-Z]{2}-\d{2}$")
    key: str
    guard: Guard
    title: str
    inequality: str
    effect: str
    recovery: str
    params: type[RuleParams]
    measure: Measure
    principal: str | None = None
    aliases: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    hard: bool = True
    latch: bool = False
    timer: bool = False
    recovers: bool = False


def merge_of(params: type[RuleParams], name: str) -> Merge:
    """Merge operator of one parameter."""
    extra = params.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    return Merge(str(extra["merge"]))


def unit_of(params: type[RuleParams], name: str) -> str:
    """Unit of one parameter, in words."""
    extra = params.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    return str(extra["unit"])
