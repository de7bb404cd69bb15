"""Modes and halts as they are shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from regime_trading.api.shapes import InstantText, Shape
from regime_trading.core.controls import Control, Effect, Flag, HaltStatus
from regime_trading.core.instants import instant_text
from regime_trading.core.numbers import LARGEST_NUMBER
from regime_trading.core.schemas import Mode
from regime_trading.services.views.accounts import AccountSummary, Latch
from regime_trading.services.views.ladder import GateShown

LevelName = Literal["K1", "K2", "K3"]
Reason = Annotated[
    str,
    Field(min_length=1, max_length=400, description="stays in the record", examples=["the tape is wrong"]),
]


class HaltIn(Shape):
    """A halt: K1 stops new risk, K2 also cancels every working entry, K3 also sells everything and locks."""

    level: LevelName = Field(default="K1", examples=["K1"])
    reason: Reason


class ResumeIn(Shape):
    """Which halt shall end, and why."""

    control_no: int = Field(ge=1, le=LARGEST_NUMBER, examples=[3])
    reason: Reason


class ModeIn(Shape):
    """A mode on the way to trading with money."""

    mode: Literal["shadow", "gated_live"]
    reason: Reason


class HaltOut(Shape):
    """What halts an account, and how far that has come; never "done" before it is."""

    level: int | None = Field(
        description="0 = none, 1 to 3 = K1 to K3; null = cannot be told: it may only reduce"
    )
    text: str = Field(examples=["K3, NOT FLAT: 2 of 7"])
    reason: str
    set_by: str = Field(description="pseudonym, or service:local")
    since: InstantText | None
    effective: InstantText | None = Field(
        description="when the first decision under it was durable; null = not yet"
    )
    decision_id: str = Field(description="of that decision; else empty")
    flat: bool | None = Field(description="nothing is held; null = positions cannot be read")
    left: tuple[str, ...] = Field(description="symbols that are still held")
    of: int = Field(description="positions held when it took effect")
    controls: tuple[int, ...] = Field(description="numbers of the halts in force over it")


class LiveAccountOut(Shape):
    """Where an account stands."""

    account: str = Field(examples=["north-pier/core"])
    mode: Mode | None
    trading_state: str | None = Field(description="null = not known")
    latches: tuple[Latch, ...] | None = Field(description="null = cannot be read now")
    halt: HaltOut
    next_gate: GateShown | None = Field(
        description="the first gate between this mode and the next; null at the top, or where the record cannot be read"
    )


class LiveOut(Shape):
    """Accounts that one may see."""

    accounts: tuple[LiveAccountOut, ...]
    degraded: str = Field(description="what cannot be read now; empty = nothing")


class HaltedOut(Shape):
    """A halt that is in force."""

    control_no: int | None = Field(description="null while it is a flag")
    scope: str = Field(description="account, or firm")
    level: LevelName
    set_at: InstantText
    flag: bool = Field(
        description="the store is down: it is a file that every decision reads, and counts all the same"
    )
    voided: int | None = Field(description="pending requests to loosen that it voided; null = not known yet")
    detail: str


class HaltEffectOut(Shape):
    """The first decision of an account that carried a halt."""

    account: str
    decision_id: str
    effective: InstantText
    positions: int
    cancelled: int
    flat: InstantText | None


class ControlOut(Shape):
    """One halt, in force or ended."""

    control_no: int
    scope: str
    account: str = Field(description="full name; empty = every account of the firm")
    level: LevelName
    reason: str
    set_by: str
    set_at: InstantText
    in_force: bool
    cleared_by: str
    cleared_at: InstantText | None
    approval_id: str
    effects: tuple[HaltEffectOut, ...] = Field(description="on the accounts that one may see")


def text_at(ts_ns: int | None) -> str | None:
    """An instant as text; none stays none."""
    return None if ts_ns is None else instant_text(ts_ns)


def halt_out(status: HaltStatus, controls: Iterable[Control], *, positions_known: bool) -> HaltOut:
    """What halts an account, as it is shown."""
    effect = status.effect
    standing = (one.control_no for one in controls if one.cleared_ns is None and one.covers(status.account))
    text = status.text if positions_known or status.level < 3 else f"K{status.level}, NOT KNOWN whether flat"
    return HaltOut(
        level=None if status.level < 0 else status.level,
        text=text,
        reason=status.reason,
        set_by=status.set_by,
        since=text_at(status.since_ns),
        effective=None if effect is None else instant_text(effect.effective_ns),
        decision_id="" if effect is None else effect.decision_id,
        flat=status.flat if positions_known else None,
        left=status.left,
        of=status.of,
        controls=tuple(standing),
    )


def account_out(
    account: str, mode: Mode | None, summary: AccountSummary | None, halt: HaltOut, gate: GateShown | None
) -> LiveAccountOut:
    """Where an account stands, as it is shown."""
    return LiveAccountOut(
        account=account,
        mode=mode,
        trading_state=None if summary is None else summary.trading_state,
        latches=None if summary is None else summary.latches,
        halt=halt,
        next_gate=gate,
    )


def halted_out(made: Control | Flag, voided: int | None) -> HaltedOut:
    """A halt that was just set, as it is shown."""
    flag = isinstance(made, Flag)
    detail = "in force with the next decision"
    if flag:
        detail = (
            "the store is down: a flag is laid down, which counts with the next decision and is adopted later"
        )
    return HaltedOut(
        control_no=None if isinstance(made, Flag) else made.control_no,
        scope=made.account or made.firm_id,
        level=made.level.name,
        set_at=instant_text(made.set_ns),
        flag=flag,
        voided=voided,
        detail=detail,
    )


def control_out(control: Control, effects: Iterable[Effect]) -> ControlOut:
    """A halt of the history, with what it did to the accounts that are shown."""
    return ControlOut(
        control_no=control.control_no,
        scope=control.scope,
        account=control.account,
        level=control.level.name,
        reason=control.reason,
        set_by=control.set_by,
        set_at=instant_text(control.set_ns),
        in_force=control.cleared_ns is None,
        cleared_by=control.cleared_by,
        cleared_at=text_at(control.cleared_ns),
        approval_id=control.approval_id,
        effects=tuple(_effect(one) for one in effects if one.control_no == control.control_no),
    )


def _effect(effect: Effect) -> HaltEffectOut:
    return HaltEffectOut(
        account=effect.account,
        decision_id=effect.decision_id,
        effective=instant_text(effect.effective_ns),
        positions=effect.positions,
        cancelled=effect.cancelled,
        flat=text_at(effect.flat_ns),
    )
